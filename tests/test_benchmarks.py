"""The measurements can be repeated: each benchmark runs at a tiny size, and the page of
tables is the one its records give.
"""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "benchmarks"


def renderer():
    spec = importlib.util.spec_from_file_location("render", FOLDER / "render.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_records(monkeypatch, counted):
    render, page = renderer(), (FOLDER / "README.md").read_text(encoding="utf-8")
    assert render.page() == page
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert len(headings) > 8 and len(headings) == len(set(headings))
    # the control: other numbers give another page
    read = render.read
    monkeypatch.setattr(
        render, "read", lambda name: {**read(name), "machine": "another machine"}
    )
    assert render.page() != page
    counted("fault")


def race_record(**curves):
    rows = [
        {"contender": name, "seed": seed, "steps": 10 * seed + 10, "curve": curve}
        for name, made in curves.items()
        for seed, curve in enumerate(made)
    ]
    return {
        "task": "mlm",
        "budget": 60.0,
        "precision": "torch.float32",
        "rates": {"0.001": 3.0},
        "baseline": {"unigram": 6.5},
        "rows": rows,
        "command": "python benchmarks/time_to_loss.py",
        "commit": "0123456789",
        "machine": "a machine",
        "threads": 2,
        "versions": "torch",
    }


def test_the_time_to_their_loss_is_read_off_the_curve():
    render = renderer()
    ours = [[10, 5.0], [20, 4.0], [60, 3.0]]
    assert render.time_until(ours, 4.5) == 15 and render.time_until(ours, 3.5) == 40
    assert render.time_until(ours, 5.5) == 10 and render.time_until(ours, 2.9) is None
    theirs = [[30, 5.0], [60, 4.0]]
    record = race_record(ftlib=[ours, ours], Trainer=[theirs, [[30, 5.0], [60, 4.5]]])
    assert render.shares(record, "Trainer") == [20 / 60, 15 / 60]
    page = render.time_to_loss(record)
    assert "0.29 of its time, 95 % interval" in page and "0.001: 3.000" in page
    assert "a guess that reads nothing (unigram), 6.500." in page
    assert "Within 0.1 nats" not in page
    near = render.time_to_loss(record | {"baseline": {"unigram": 4.3}})
    assert "Within 0.1 nats of it at the end: Trainer." in near
    # a run of a fifth of the time is compared by its end
    ends = [[[12, 3.9]], [[12, 4.6]]]
    fifth = {render.FIFTH: ends, "Trainer": [theirs, [[30, 5.0], [60, 4.5]]]}
    page = render.time_to_loss(race_record(ftlib=[ours, ours], **fifth))
    assert (
        "the Trainer after the whole time at 4.250: as good or better in 1 of" in page
    )
    assert f"| {render.FIFTH} | 0.2 | 4.250 | 3.900 to 4.600 |" in page
    # where it does not get there, the page says so
    record = race_record(ftlib=[theirs, theirs], Trainer=[ours, theirs])
    assert "reached by 1 of 2" in render.time_to_loss(record)
    picture = render.curves_svg(record)
    assert "<svg" in picture and picture == render.curves_svg(record)


def test_contenders_take_turns_and_measuring_stops_the_clock(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import time_to_loss

    assert renderer().FIFTH == time_to_loss.FIFTH
    now, order = [0.0], []

    class Task:
        def measure(self, model):
            now[0] += 100.0  # seconds that nobody is charged for
            return 1.0

    def contender(name, seconds):
        def run(seed, clock):
            clock.now = lambda: now[0]
            clock.begin()
            while True:
                order.append(name)
                now[0] += seconds
                if clock.step(None):
                    return

        return run

    each = {"a": contender("a", 1.0), "b": contender("b", 2.0)}
    short = contender("short", 0.5)
    rows = time_to_loss.race(
        Task(), {**each, time_to_loss.FIFTH: short}, 0, budget=12.0, seconds=3.0
    )
    assert [row["curve"][-1][0] for row in rows] == [12.0, 12.0, 2.5]
    order.clear()
    rows = time_to_loss.race(Task(), each, 0, budget=12.0, seconds=3.0)
    assert [row["steps"] for row in rows] == [12, 6]
    assert [row["curve"][-1][0] for row in rows] == [12.0, 12.0]
    assert "a" in order[order.index("b") :] and order[0] == "a"
    order.clear()
    time_to_loss.race(Task(), each, 1, budget=12.0, seconds=3.0)
    assert order[0] == "b"  # the next seed begins with the other


def test_a_seed_is_added_to_what_was_made_alike(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import time_to_loss

    line = [[60, 3.0]]
    before = race_record(ftlib=[line, line], Trainer=[line, line]) | {"sizes": {}}
    after = {**before, "machine": "another", "rates": {"1": 2.0}}
    after["rows"] = [{**row, "seed": row["seed"] + 2} for row in before["rows"]]
    made = time_to_loss.joined(before, after)
    assert sorted({row["seed"] for row in made["rows"]}) == [0, 1, 2, 3]
    assert made["machine"] == "a machine; another" and made["rates"] == before["rates"]
    assert made["commit"] == before["commit"]
    nowhere = {**after, "commit": None}
    assert time_to_loss.joined(before | {"commit": None}, nowhere)["commit"] is None
    with pytest.raises(SystemExit, match="seed 0 already"):
        time_to_loss.joined(before, before)
    for name in time_to_loss.SAME:
        with pytest.raises(SystemExit, match=f"^{name} is another, in the record"):
            time_to_loss.joined(before, {**after, name: "another"})


def test_a_seed_that_stops_loses_none_before_it(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(FOLDER))
    import time_to_loss

    class Task:
        def __init__(self, sizes, data):
            self.ours = self.theirs = None

        def baseline(self):
            return {"unigram": 6.5}

    def race(task, contenders, seed, budget, seconds):
        if seed == 2:
            raise KeyboardInterrupt
        return [
            {"contender": name, "seed": seed, "steps": 1, "curve": [[60.0, seed]]}
            for name in contenders
        ]

    out = tmp_path / "clm.json"
    monkeypatch.setitem(time_to_loss.TASKS, "clm", Task)
    monkeypatch.setattr(time_to_loss, "race", race)
    line = ["time_to_loss.py", "--task", "clm", "--minutes", "1", "--out", str(out)]
    seeds = []
    for more in (["--seeds", "0", "1", "2"], ["--seeds", "3", "2", "--add"]):
        monkeypatch.setattr(sys, "argv", [*line, *more])
        with pytest.raises(KeyboardInterrupt):
            time_to_loss.main()
        record = json.loads(out.read_text(encoding="utf-8"))
        seeds.append([row["seed"] for row in record["rows"]])
    assert seeds == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1, 3, 3, 3]]
    assert list(record["rates"]) == ["0.0003", "0.001", "0.003"]


def test_an_error_of_one_contender_ends_the_race(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import time_to_loss

    def broken(seed, clock):
        clock.begin()
        raise ValueError("a planted fault")

    class Task:
        measure = None

    with pytest.raises(ValueError, match="a planted fault"):
        time_to_loss.race(Task(), {"a": broken, "b": broken}, 0, 1.0, 1.0)


def test_a_loss_of_another_training_stops_the_processes(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import processes

    def start(processes, threads, shard, *_):
        return {"rate": 1.0, "loss": 9.04 + apart * shard}

    monkeypatch.setattr(processes, "start", start)
    monkeypatch.setattr(sys, "argv", ["processes.py", "--quick"])
    apart = 1e-5  # bfloat16's rounding
    processes.main()
    apart = 5e-4  # a learning rate twice as high
    with pytest.raises(SystemExit, match="^two processes, FSDP2 has a loss of 9.0405"):
        processes.main()


@pytest.mark.parametrize(
    "name, words",
    [
        ("mlm_step", "Trainer"),
        ("loop", "steps"),
        ("pipeline", "mask"),
        ("changes", "everywhere"),
        ("time_to_loss", "with Muon"),
        (
            "stream_size",
            '"two processes": 8,\n  "one process": 8,\n  '
            '"one process, one row further": 0',
        ),
        ("cost_model", "three numbers"),
        ("processes", "two processes, FSDP2"),
    ],
)
def test_a_benchmark_runs(name, words):
    root = str(FOLDER.parent)
    ended = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", "--quick"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
        },
    )
    assert ended.returncode == 0 and words in ended.stdout, ended.stderr[-2000:]


@pytest.mark.parametrize("kind", ["mlm", "clm", "classify"])
def test_the_operations_of_the_cost_model_are_those_of_its_runs(monkeypatch, kind):
    monkeypatch.syspath_prepend(str(FOLDER))
    import cost_model

    spec = (kind, 300, 48, 3, 4, 16)
    net, loss, batch, targets = cost_model.made(*spec)
    # the counter does not know the fused kernel of processors
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss(net, batch)
    operations = 1e9 * cost_model.terms(*spec, targets)[0] / 3
    # the classifier's own head is left out: 2 x width x 2 operations a row
    head = 4 * 2 * 48 * 2 if kind == "classify" else 0
    assert counter.get_total_flops() == pytest.approx(operations + head)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_of_a_process_is_what_the_formula_says():
    root = str(FOLDER.parent)
    ended = subprocess.run(
        [sys.executable, FOLDER / "process_memory.py", "--quick"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    ratios = re.findall(r"quick, (.+?):.* formula / measured ([\d.]+)", ended.stdout)
    assert [way for way, _ in ratios] == ["one process", "DDP", "FSDP2"]
    assert all(0.9 <= float(ratio) <= 1.1 for _, ratio in ratios), ratios
