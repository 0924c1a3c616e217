"""The batcher: order, limits, deadlines, clients that go away, texts that break it."""

import asyncio
import concurrent.futures
import random
import threading
import time

import numpy
import pytest

from ftlib.deploy import batching


def lengths(texts):
    """Each text's own row, so that a row in the wrong place is seen."""
    return numpy.array([[len(t), hash(t) % 97] for t in texts], float)


def slowly(texts):
    time.sleep(0.02)
    return lengths(texts)


async def asked(batcher, requests, gaps):
    async def one(texts, gap):
        await asyncio.sleep(gap)
        return await batcher.submit(texts)

    rows = await asyncio.gather(*map(one, requests, gaps))
    await batcher.close()
    return rows


def requests_of(seed):
    rng = random.Random(seed)
    texts = iter(f"{i} {'x' * rng.randrange(50)}" for i in range(10_000))
    return [[next(texts) for _ in range(rng.randrange(1, 6))] for _ in range(60)]


@pytest.mark.parametrize("seed", range(3))
def test_each_request_gets_its_own_rows(seed):
    requests, rng = requests_of(seed), random.Random(seed)
    batcher = batching.Batcher(slowly, batch_texts=8, workers=1 + seed)
    rows = asyncio.run(asked(batcher, requests, [rng.random() / 10 for _ in requests]))
    for own, texts in zip(rows, requests):
        assert (own == lengths(texts)).all()
    assert max(batcher.sizes) <= 8 and len(batcher.sizes) < len(requests)


FAULTS = {
    "everybody gets the last rows": (
        "rows[start : start + len(own)]",
        "rows[: len(own)]",
    ),
    "never moves on": ("start += len(own)", "start += 0"),
    "batches without a limit": ("size += len(texts)", "size += 0"),
    "gives rows of another": (
        "in jobs for text in own]",
        "in jobs[::-1] for text in own]",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_batcher_is_noticed(mutated, counted, monkeypatch, fault):
    module = mutated(batching, *FAULTS[fault])
    monkeypatch.setattr(batching, "Batcher", module.Batcher)
    with pytest.raises(AssertionError):
        test_each_request_gets_its_own_rows(0)
    counted("fault")


def test_first_come_first_served():
    seen = []

    def note(texts):
        seen.extend(texts)
        return slowly(texts)

    batcher = batching.Batcher(note, batch_texts=3)
    requests = [[str(i)] for i in range(20)]
    asyncio.run(asked(batcher, requests, [0] * 20))
    assert seen == [str(i) for i in range(20)]


def test_a_request_larger_than_a_batch_goes_alone():
    batcher = batching.Batcher(slowly, batch_texts=4)
    rows = asyncio.run(asked(batcher, [["a"], ["b"] * 9, ["c"]], [0, 0, 0]))
    assert list(batcher.sizes) == [1, 9, 1] and [len(r) for r in rows] == [1, 9, 1]


class Told(batching.Batcher):
    """A batcher that notes when it gives a batch to the model, and answers out."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.steps = []

    def _call(self, jobs):
        self.steps.append("begin")
        return super()._call(jobs)

    async def _give_out(self, *arguments):
        self.steps.append("give out")
        await super()._give_out(*arguments)


def test_the_next_batch_begins_before_the_answers_are_given_out():
    async def scene():
        batcher = Told(slowly, batch_texts=1)
        await asyncio.gather(*(batcher.submit([text]) for text in "abc"))
        return batcher.steps

    begin, out = "begin", "give out"
    assert asyncio.run(scene()) == [begin, begin, out, begin, out, out]


def test_a_second_batch_is_computed_beside_the_first():
    both = threading.Barrier(2, timeout=10)  # each waits for the other

    def meet(texts):
        both.wait()
        return lengths(texts)

    batcher = batching.Batcher(meet, workers=2)
    # the second comes when the first has been with the model for a while
    rows = asyncio.run(asked(batcher, [["a"], ["bb"]], [0, 0.05]))
    assert [r[0, 0] for r in rows] == [1, 2] and list(batcher.sizes) == [1, 1]


def test_one_batcher_in_two_event_loops(monkeypatch):
    batcher, looked = batching.Batcher(slowly, workers=2), []
    begin = batcher._begin
    monkeypatch.setattr(batcher, "_begin", lambda r: looked.append(1) or begin(r))

    async def scene():
        return await asyncio.gather(*(batcher.submit([text]) for text in "ab"))

    for _ in range(2):
        assert [rows.shape for rows in asyncio.run(scene())] == [(1, 2)] * 2
    # an event of the other loop would be looked at again and again, at full speed
    assert len(looked) < 20
    batcher.executor.shutdown()


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_batches_at_a_time_than_workers(workers):
    inside, most, lock = 0, [], threading.Lock()

    def note(texts):
        nonlocal inside
        with lock:
            inside += 1
            most.append(inside)
        rows = slowly(texts)
        with lock:
            inside -= 1
        return rows

    # threads for more, so that it is the batcher that holds back
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        batcher = batching.Batcher(note, 2, workers=workers, executor=threads)
        asyncio.run(asked(batcher, [["a"]] * 20, [i / 500 for i in range(20)]))
    assert max(most) == workers


@pytest.mark.parametrize("name", ["batch_texts", "queue_texts", "workers"])
def test_nothing_of_nothing(name):
    with pytest.raises(ValueError, match=f"{name} (is )?0"):
        batching.Batcher(slowly, **{name: 0})


def test_too_many_wait():
    async def scene():
        batcher = batching.Batcher(slowly, batch_texts=2, queue_texts=10)
        many = [batcher.submit([str(i)]) for i in range(30)]
        answers = await asyncio.gather(*many, return_exceptions=True)
        refused = [a for a in answers if isinstance(a, batching.Refused)]
        assert 0 < len(refused) <= 20 and batcher.queued == 0
        assert all(r.status == 429 and r.retry_after >= 1 for r in refused)
        # after the rush it answers again
        assert (await batcher.submit(["z"]) == lengths(["z"])).all()

    asyncio.run(scene())


@pytest.mark.parametrize("workers, seconds", [(1, 10), (2, 5)])
def test_retry_after_grows_with_the_queue(workers, seconds):
    batcher = batching.Batcher(slowly, queue_texts=100, workers=workers)
    batcher.queued, batcher.seconds_a_text = 100, 0.1
    with pytest.raises(batching.Refused) as refused:
        asyncio.run(batcher.submit(["a"]))
    assert refused.value.retry_after == seconds


def test_deadline():
    async def scene():
        batcher = batching.Batcher(lambda t: time.sleep(0.3) or lengths(t), seconds=0.1)
        with pytest.raises(batching.Refused) as late:
            await batcher.submit(["a"])
        assert late.value.status == 504
        await batcher.close()

    asyncio.run(scene())


def test_nobody_computes_for_clients_that_have_gone():
    seen = []

    def note(texts):
        seen.extend(texts)
        return slowly(texts)

    async def scene():
        batcher = batching.Batcher(note, batch_texts=1)
        tasks = [asyncio.create_task(batcher.submit([str(i)])) for i in range(10)]
        await asyncio.sleep(0.03)
        for task in tasks[3:8]:
            task.cancel()
        kept = await asyncio.gather(*tasks[:3], *tasks[8:])
        assert len(kept) == 5 and batcher.queued == 0

    asyncio.run(scene())
    assert seen == ["0", "1", "2", "8", "9"]


@pytest.mark.parametrize("bad", ["raise", "nan", "short"])
def test_one_text_does_not_spoil_the_answers_of_others(bad):
    def fragile(texts):
        rows = lengths(texts)
        if "bad" in texts:
            if bad == "raise":
                raise RuntimeError
            if bad == "short":
                return rows[:-1]
            rows[texts.index("bad"), 0] = numpy.inf
        return rows

    async def scene():
        batcher = batching.Batcher(fragile)
        texts = [["a"], ["bad"], ["b", "c"]]
        return await asyncio.gather(*map(batcher.submit, texts), return_exceptions=True)

    first, broken, last = asyncio.run(scene())
    assert isinstance(broken, (RuntimeError, ValueError))
    assert (first == lengths(["a"])).all() and (last == lengths(["b", "c"])).all()


def test_close_finishes_what_was_taken():
    async def scene():
        batcher = batching.Batcher(slowly, batch_texts=2)
        tasks = [asyncio.create_task(batcher.submit([str(i)])) for i in range(9)]
        await asyncio.sleep(0.01)
        await batcher.close()
        assert not batcher.waiting and batcher.task.done()
        with pytest.raises(batching.Refused):
            await batcher.submit(["late"])
        return [float((await task)[0, 0]) for task in tasks]

    assert asyncio.run(scene()) == [1.0] * 9


def test_no_text_is_refused_and_the_service_goes_on():
    async def scene():
        batcher = batching.Batcher(lambda texts: numpy.zeros((len(texts), 2)))
        with pytest.raises(ValueError, match="give one or more"):
            await batcher.submit([])
        rows = await batcher.submit(["a"])
        await batcher.close()
        return rows

    assert asyncio.run(scene()).shape == (1, 2)
