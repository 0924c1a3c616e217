"""tools/test.py: what it counts, what it compares with its floors, and that a stage
cannot fail unseen.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tomllib

import pytest
import stages

ROOT = pathlib.Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("runner", ROOT / "tools" / "test.py")
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)


def cells(compared, uncompared):
    return [
        {"kind": "cell", "compared": number < compared}
        for number in range(compared + uncompared)
    ]


def test_counts():
    lines = [
        *cells(9, 1),
        {"kind": "cell", "compared": True, "numbers": 5},
        {"kind": "name", "number": 4},
        {"kind": "name", "number": 3},
        {"kind": "test", "outcome": "passed"},
    ]
    total = runner.count(lines)
    assert {name: number for name, number in total.items() if number} == {
        "cells executed": 11,
        "cells compared": 10,
        "numbers compared": 5,
        "names compared": 7,
        "tests passed": 1,
    }


def test_too_few_compared_cells_are_noticed(counted):
    assert runner.shortfalls(runner.count(cells(90, 10)), {}) == []
    assert "11 of 100" in runner.shortfalls(runner.count(cells(89, 11)), {})[0]
    counted("fault")


def test_a_count_under_its_floor_is_noticed(counted):
    assert runner.shortfalls(runner.count(cells(9, 0)), {"cells executed": 9}) == []
    assert runner.shortfalls(runner.count(cells(8, 0)), {"cells executed": 9}) == [
        "cells executed: 8, at least 9 are expected"
    ]
    counted("fault")


def test_every_floor_is_a_count_and_every_count_has_a_floor():
    floors = json.loads(runner.FLOORS.read_text(encoding="utf-8"))
    assert set(floors) == set(runner.count([])) - {runner.COUNTS["tolerated mutant"]}


@pytest.mark.parametrize(
    "text, code, ending",
    [
        ("def test_a():\n    assert True", 0, "1 passed, 0 failed"),
        (
            "def test_a():\n    assert False\ndef test_b():\n    pass",
            1,
            "1 passed, 1 failed",
        ),
        ("import nothing_of_that_name", 1, "0 passed, 1 failed"),
        (
            "import pytest\n@pytest.fixture\ndef broken():\n    1 / 0\ndef "
            "test_a(broken):\n    pass",
            1,
            "0 passed, 1 failed",
        ),
        (
            "import pytest\n@pytest.fixture\ndef broken():\n    yield\n    1 / 0\ndef "
            "test_a(broken):\n    pass",
            1,
            "1 passed, 1 failed",
        ),
        (
            "import socket\ndef test_a():\n    socket.getaddrinfo('example.org', 80)",
            1,
            "0 passed, 1 failed",
        ),
    ],
)
def test_the_last_line_tells_the_truth(
    text, code, ending, tmp_path, monkeypatch, capfd
):
    path = tmp_path / "test_planted.py"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(
        runner,
        "stages",
        lambda: {
            "planted": [
                "-p",
                "conftest",
                f"--rootdir={tmp_path}",
                "-p",
                "no:xdist",
                str(path),
            ]
        },
    )
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    assert runner.main(["planted"]) == code
    assert capfd.readouterr().out.strip().splitlines()[-1] == ending


PLANTED = """
import time, pytest
@pytest.mark.parametrize("number", range(4))
def test_a(number, worker_id):
    import conftest
    conftest.record(kind="fault", number=1)
    conftest.record(kind="widget", number=10 ** int(worker_id == "gw1"))
    time.sleep(0.2)  # so that each of the two processes gets some
    assert number != 3
"""


@pytest.mark.parametrize("way", ["WHOLE", "SPREAD"])
def test_two_processes_count_and_fail_as_one_does(
    way, tmp_path, monkeypatch, capfd, counted
):
    """Eight tests of two files, two of them fail: all are counted, whichever process
    ran them.
    """
    for name in ("test_one.py", "test_two.py"):
        (tmp_path / name).write_text(PLANTED, encoding="utf-8")
    words = ["-p", "conftest", f"--rootdir={tmp_path}", str(tmp_path)]
    plan = {"planted": getattr(runner, way) + words}
    monkeypatch.setattr(runner, "stages", lambda: plan)
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    assert runner.main(["planted"]) == 1
    lines = capfd.readouterr().out.strip().splitlines()
    assert lines[-1] == "6 passed, 2 failed"
    # four tests in each process
    assert "8 planted faults caught" in lines[-2] and "44 widgets moved" in lines[-2]
    counted("fault")


# --- stages: one table for tools/test.py, for markers, and for plain pytest


def test_long_files_start_first(monkeypatch, counted):
    """Each stage that is shared out by files; a stage that is shared out test by test
    may have any order.
    """
    minutes = json.loads(
        (ROOT / "chapters" / "measured.json").read_text(encoding="utf-8")
    )
    listed = [pathlib.Path(path).stem for path in stages.files("chapters")]
    long = [minutes[name]["minutes"] for name in listed]
    assert len(long) == len(minutes) and long == sorted(long, reverse=True)
    known = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert stages.SECONDS.keys() <= known
    first = stages.files("unit")[: len(stages.SECONDS)]
    assert {pathlib.Path(path).name for path in first} == set(stages.SECONDS)
    # planted: a short file that is said to be the longest one goes to the front
    monkeypatch.setitem(stages.SECONDS, "test_runner.py", 1e6)
    assert pathlib.Path(stages.files("unit")[0]).name == "test_runner.py"
    counted("fault")


def test_files_are_shared_out_in_the_order_of_the_stages():
    """xdist would sort them by their number of tests."""
    for name, words in runner.stages().items():
        assert words[-len(stages.files(name)) :] == stages.files(name)
        way = words[: -len(stages.files(name))]
        assert way[:2] == ["-n", "2"]
        assert ("--no-loadscope-reorder" in way) == ("loadfile" in way)
        assert ("worksteal" in way) == (name in runner.SPREAD_STAGES)


def test_every_test_file_and_chapter_belongs_to_one_stage():
    plan = runner.stages()
    assert list(plan) == list(stages.STAGES)
    listed = [path for name in plan for path in stages.files(name)]
    tests = {str(path) for path in (ROOT / "tests").rglob("test_*.py")}
    notebooks = {str(path) for path in (ROOT / "chapters").glob("[0-9]*.ipynb")}
    assert sorted(listed) == sorted(tests | notebooks)
    assert set(stages.FILES) <= {pathlib.Path(path).name for path in listed}
    assert all(set(stages.files(name)) <= set(plan[name]) for name in plan)


def collected(*arguments):
    """What plain pytest collects -> its lines."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", *arguments]
    environment = {k: v for k, v in os.environ.items() if k not in stages.variables("")}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    return result.stdout


def test_a_marker_selects_its_stage():
    """Of a file of each kind; all files would take a minute to import."""
    files = ("tests/chapters/test_same_code.py", "tests/test_runner.py")
    lines = collected("-m", "rules", *files).strip().splitlines()
    assert {line.split(":")[0] for line in lines if line.startswith("tests/")} == {
        "tests/chapters/test_same_code.py"
    }


def test_plain_pytest_collects_notebooks_in_the_same_settings():
    first = next(iter(stages.files("chapters")))
    assert pathlib.Path(first).name in collected(first)


@pytest.mark.parametrize("stage", ["unit", "chapters"])
def test_plain_pytest_sets_the_environment_of_a_stage(stage):
    before = {"MPLBACKEND": "tkagg", "CUDA_VISIBLE_DEVICES": "0", "HOME": "h"}
    changed = stages.environment(stage, before)
    assert changed["HOME"] == "h" and changed["HF_HUB_OFFLINE"] == "1"
    if stage == "unit":
        assert changed["MPLBACKEND"] == "agg" and changed["CUDA_VISIBLE_DEVICES"] == "0"
    else:
        assert "MPLBACKEND" not in changed and changed["CUDA_VISIBLE_DEVICES"] == ""


def test_plain_pytest_blocks_the_network(tmp_path, counted):
    """Without any variable set: the conftest at the root sees to it."""
    path = tmp_path / "test_reach.py"
    path.write_text(
        "import os, socket\ndef test_a():\n    assert os.environ['NO_COLOR'] == '1'\n"
        "def test_b():\n    socket.getaddrinfo('example.org', 80)",
        encoding="utf-8",
    )
    keep = {k: v for k, v in os.environ.items() if k not in stages.variables("")}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "conftest", str(path)],
        cwd=ROOT,
        env={**keep, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert "NetworkBlocked" in result.stdout and "1 failed, 1 passed" in result.stdout
    counted("fault")


# ---- every chapter runs, without a network and without a GPU: RELIABILITY 26 ----


def test_every_chapter_is_run_without_network_and_gpu(counted):
    run = {
        pathlib.Path(word).name
        for word in runner.stages()["chapters"]
        if word.endswith(".ipynb")
    }
    there = {path.name for path in (ROOT / "chapters").glob("*.ipynb")}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    options = settings["tool"]["pytest"]["ini_options"]["addopts"]
    assert run == there and "--nbval" in options
    variables = runner.tests.environment("chapters")
    ask = [
        sys.executable,
        "-c",
        "import socket, torch; "
        "print(torch.cuda.is_available())\n"
        "try: socket.create_connection(('192.0.2.1', 9), timeout=2)\nexcept "
        "BaseException as error: print(error)",
    ]
    seen = subprocess.run(
        ask, env=variables, capture_output=True, text=True, timeout=100
    ).stdout
    assert seen.startswith("False\n") and "network is blocked" in seen, seen
    # control: without the variables of the stage nothing is blocked
    plain = {key: value for key, value in variables.items() if key != "PYTHONPATH"}
    assert (
        "network is blocked"
        not in subprocess.run(
            ask, env=plain, capture_output=True, text=True, timeout=100
        ).stdout
    )
    assert (variables["CUDA_VISIBLE_DEVICES"], variables["FTLIB_DEVICE"]) == ("", "cpu")
    assert "FTLIB_DEVICE" not in {
        key: value
        for key, value in runner.tests.environment("unit").items()
        if key not in os.environ
    }
    counted("fault")


def test_too_many_wrong_mutants_taken_is_short(counted):
    def lines(refused, taken):
        return [
            {"kind": "mutant", "number": refused},
            {"kind": "tolerated mutant", "number": taken},
        ]

    assert runner.shortfalls(runner.count(lines(95, 5)), {}) == []
    assert "94 of 100" in runner.shortfalls(runner.count(lines(94, 6)), {})[0]
    counted("fault")
