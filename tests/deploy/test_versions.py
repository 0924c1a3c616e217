"""Versions: the pointer, the way back, the canary, and what a monitor may do."""

import asyncio
import contextlib
import json
import os

import numpy
import pytest

from ftlib.deploy import versions


class Fixed:
    """Answers with its version's number."""

    def __init__(self, name):
        if name == "broken":
            raise ValueError("no model")
        self.name, self.closed = name, False

    async def submit(self, texts):
        return numpy.full((len(texts), 2), float(self.name[1:]))

    async def close(self):
        self.closed = True


@pytest.fixture
def shelf(tmp_path):
    for name in ("v1", "v2", "v3", "broken"):
        (tmp_path / name).mkdir()
    versions.activate(tmp_path, "v1")
    return tmp_path


BAD_NAMES = ["../v1", "v1/../..", "", ".", "..", "/etc", "v1\n", "a" * 65, "v1\0", "é"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leads_elsewhere_is_refused(shelf, name):
    with pytest.raises(ValueError):
        versions.activate(shelf, name)
    assert versions.current(shelf) == "v1"


def test_an_unknown_version_is_refused(shelf):
    with pytest.raises(FileNotFoundError):
        versions.activate(shelf, "v9")
    assert versions.current(shelf) == "v1"


def test_back_and_back(shelf):
    for name in ("v2", "v3", "v3"):
        versions.activate(shelf, name)
    assert versions.history(shelf) == ["v1", "v2", "v3"]
    assert [versions.rollback(shelf) for _ in range(2)] == ["v2", "v1"]
    with pytest.raises(LookupError):
        versions.rollback(shelf)
    assert versions.current(shelf) == "v1"


def test_a_crash_leaves_the_old_pointer(shelf, monkeypatch):
    def crash(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        versions.activate(shelf, "v2")
    assert versions.current(shelf) == "v1"


def test_the_history_does_not_grow_for_ever(shelf):
    for i in range(60):
        versions.activate(shelf, ("v1", "v2")[i % 2])
    names = json.loads((shelf / versions.POINTER).read_text(encoding="utf-8"))
    assert len(names["history"]) == 20


def test_a_digest_sees_one_byte(shelf):
    (shelf / "v1" / "model").write_bytes(b"0" * 1000)
    before = versions.digest(shelf / "v1")
    (shelf / "v1" / "model").write_bytes(b"0" * 999 + b"1")
    assert versions.digest(shelf / "v1") != before


def rollout(shelf, monitor=None):
    return versions.Rollout(Fixed, shelf, monitor)


async def asked(service, n, start=0):
    return [
        (await service.answer(["a"], f"request{i}"))[0] for i in range(start, start + n)
    ]


def test_a_canary_answers_its_fraction(shelf):
    async def scene():
        service = rollout(shelf)
        await service.begin()
        await service.canary("v2", 0.2)
        first, again = await asked(service, 4000), await asked(service, 4000)
        # a client that asks again with its id gets the same version
        assert first == again
        # 0.2 and five standard errors
        assert abs(first.count("v2") / 4000 - 0.2) < 0.032
        assert versions.current(shelf) == "v1"
        await service.rollback()
        assert set(await asked(service, 200)) == {"v1"}
        await service.activate("v2")
        assert set(await asked(service, 200)) == {"v2"} and not service.candidate
        assert await service.rollback() == "v1" == versions.current(shelf)

    asyncio.run(scene())


def test_a_version_that_does_not_load_changes_nothing(shelf):
    async def scene():
        service = rollout(shelf)
        await service.begin()
        for move in (service.activate("broken"), service.canary("broken", 0.5)):
            with pytest.raises(ValueError):
                await move
        assert set(await asked(service, 50)) == {"v1"}
        assert versions.current(shelf) == "v1" and list(service.running) == ["v1"]

    asyncio.run(scene())


def test_old_versions_are_closed(shelf):
    async def scene():
        service = rollout(shelf)
        await service.begin()
        old = service.running["v1"]
        await service.canary("v2", 0.5)
        assert not old.closed
        await service.activate("v2")
        await asyncio.sleep(0)
        assert old.closed and list(service.running) == ["v2"]
        await service.close()
        assert not service.ready and not service.running

    asyncio.run(scene())


class Counting:
    """Goes back after `patience` wrong answers of v2."""

    def __init__(self, patience, go_back):
        self.left, self.go_back, self.seen = patience, go_back, 0

    def answered(self, version, texts, rows):
        self.seen += 1

    def feedback(self, version, is_correct):
        self.left -= version == "v2" and not is_correct
        return None if self.left else ("too many wrong answers", self.go_back)


@pytest.mark.parametrize("go_back", [False, True])
def test_an_alarm_takes_the_canary_away(shelf, go_back):
    async def scene():
        monitor = Counting(3, go_back)
        service = rollout(shelf, monitor)
        await service.begin()
        await service.canary("v2", 0.5)
        for i in range(100):
            version, _ = await service.answer(["a"], f"id{i}")
            if monitor.left:
                service.feedback(f"id{i}", version == "v1")
        assert monitor.seen == 100 and len(service.alarms) == 1
        assert service.candidate == (None if go_back else "v2")
        assert versions.current(shelf) == "v1"

    asyncio.run(scene())


def test_a_candidate_that_fails_goes(shelf):
    """No judgement is needed, and the requests of the others are answered."""

    class Full(Exception):
        status = 429

    async def failing(texts, kind=RuntimeError):
        raise kind("the model is broken")

    async def scene():
        service = rollout(shelf)
        await service.begin()
        await service.canary("v2", 0.5)
        service.running["v2"].submit = lambda texts: failing(texts, Full)
        for i in range(100):  # a full queue is no fault of the version
            with contextlib.suppress(Full):
                await service.answer(["a"], f"id{i}")
        assert service.candidate == "v2"
        service.running["v2"].submit = failing
        failed = 0
        for i in range(100):
            try:
                await service.answer(["a"], f"id{i}")
            except RuntimeError:
                failed += 1
        assert failed == 5 and service.candidate is None
        assert list(service.alarms) == ["the candidate failed 5 times"]
        assert set(await asked(service, 50)) == {"v1"}

    asyncio.run(scene())


def test_a_monitor_that_raises_costs_no_answer(shelf):
    class Raising:
        def answered(self, version, texts, rows):
            raise ZeroDivisionError

        feedback = answered

    async def scene():
        service = rollout(shelf, Raising())
        await service.begin()
        assert (await service.answer(["a"], "id"))[0] == "v1"

    asyncio.run(scene())


def test_feedback_counts_once_and_memory_is_bounded(shelf):
    async def scene():
        service = rollout(shelf)
        await service.begin()
        await asked(service, 10_100)
        assert len(service.answered_by) == 10_000
        service.feedback("request10000", True)
        for name in ("request10000", "request0", "never"):
            with pytest.raises(KeyError):
                service.feedback(name, True)

    asyncio.run(scene())


def test_without_a_pointer_it_says_what_to_do(tmp_path):
    with pytest.raises(LookupError, match="activate a version"):
        asyncio.run(rollout(tmp_path).begin())


def test_two_rollbacks_at_once_leave_a_version_that_answers(shelf):
    """A double click: one call after the other, and each loads what it serves."""

    async def scene():
        service = rollout(shelf)
        await service.begin()
        await service.activate("v2")
        ends = await asyncio.gather(
            service.rollback(), service.rollback(), return_exceptions=True
        )
        # there is one version before, and the second call says so
        assert ends[0] == "v1" and isinstance(ends[1], LookupError)
        assert service.version in service.running
        assert set(await asked(service, 20)) == {service.version}
        loaded = await asyncio.gather(service.activate("v2"), service.activate("v2"))
        assert loaded == [None, None] and list(service.running) == ["v2"]
        await service.close()

    asyncio.run(scene())
