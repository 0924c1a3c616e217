"""tools/test.py: what it counts, what it compares with its floors, and that a stage cannot fail unseen."""

import importlib.util
import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("runner", ROOT / "tools" / "test.py")
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)


def cells(compared, uncompared):
    return [{"kind": "cell", "compared": number < compared} for number in range(compared + uncompared)]


def test_counts():
    lines = [
        *cells(9, 1),
        {"kind": "name", "number": 4},
        {"kind": "name", "number": 3},
        {"kind": "test", "outcome": "passed"},
    ]
    total = runner.count(lines)
    assert (total["cells executed"], total["cells compared"], total["names compared"], total["tests passed"]) == (
        10,
        9,
        7,
        1,
    )


def test_too_few_compared_cells_are_noticed(counted):
    assert runner.shortfalls(runner.count(cells(86, 14)), {}) == []
    assert "16 of 100" in runner.shortfalls(runner.count(cells(84, 16)), {})[0]
    counted("fault")


def test_a_count_under_its_floor_is_noticed(counted):
    assert runner.shortfalls(runner.count(cells(9, 0)), {"cells executed": 9}) == []
    assert runner.shortfalls(runner.count(cells(8, 0)), {"cells executed": 9}) == [
        "cells executed: 8, at least 9 are expected"
    ]
    counted("fault")


def test_every_floor_is_a_count_and_every_count_has_a_floor():
    floors = json.loads(runner.FLOORS.read_text())
    assert set(floors) == {name for name in runner.count([])}


@pytest.mark.parametrize(
    "text, code, ending",
    [
        ("def test_a():\n    assert True", 0, "1 passed, 0 failed"),
        ("def test_a():\n    assert False\ndef test_b():\n    pass", 1, "1 passed, 1 failed"),
        ("import nothing_of_that_name", 1, "0 passed, 1 failed"),
        (
            "import pytest\n@pytest.fixture\ndef broken():\n    1 / 0\ndef test_a(broken):\n    pass",
            1,
            "0 passed, 1 failed",
        ),
        (
            "import pytest\n@pytest.fixture\ndef broken():\n    yield\n    1 / 0\ndef test_a(broken):\n    pass",
            1,
            "1 passed, 1 failed",
        ),
        ("import socket\ndef test_a():\n    socket.getaddrinfo('example.org', 80)", 1, "0 passed, 1 failed"),
    ],
)
def test_the_last_line_tells_the_truth(text, code, ending, tmp_path, monkeypatch, capfd):
    path = tmp_path / "test_planted.py"
    path.write_text(text)
    monkeypatch.setattr(
        runner, "stages", lambda: {"planted": ["-p", "conftest", f"--rootdir={tmp_path}", "-p", "no:xdist", str(path)]}
    )
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    assert runner.main(["planted"]) == code
    assert capfd.readouterr().out.strip().splitlines()[-1] == ending
