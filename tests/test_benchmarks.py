"""The measurements can be repeated: each benchmark runs at a tiny size, and the page of
tables is the one its records give.
"""

import importlib.util
import json
import math
import os
import pathlib
import re
import subprocess
import sys

import pytest
import torch
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


def plant_race(task):
    def plant(stored, share):
        ours = [[5, 5.0], [60 * share, 4.0], [60, 3.0]]
        record = race_record(ftlib=[ours] * 3, Trainer=[[[30, 5.0], [60, 4.0]]] * 3)
        stored[f"time_to_loss_{task}"] = record | {"task": task}

    return plant


def plant_rates(stored, kind, rates, **more):
    """In place of all records of a kind, one with these tokens a second."""
    for name in [name for name in stored if name.startswith(kind)]:
        del stored[name]
    rows = [
        {"contender": name, "precision": precision, "tokens_per_second": [rate] * 2}
        for (name, precision), rate in rates.items()
    ]
    stored[kind] = {"machine": "a machine", "rows": rows, **more}


def plant_step(stored, ratio, precision="float32", **more):
    rates = {("ftlib", precision): 2048.0 * ratio, ("Trainer", precision): 2048.0}
    sizes = {"batch": 16, "tokens": 128}
    plant_rates(stored, "mlm_step", rates, sizes=sizes, **more)


def plant_mfu(stored, part):
    # ten steps a second
    operations, peaks = {"ftlib": 30e9}, {"bfloat16": [300e9 / part] * 2}
    plant_step(stored, 10.0, "bfloat16", operations=operations, peaks=peaks)


def plant_processes(way):
    def plant(stored, ratio, precisions=("float32", "bfloat16")):
        rates = {}
        for kind in precisions:
            rates["one process, two threads", kind] = 4096.0
            rates[f"two processes, {way}", kind] = 4096.0 * ratio
        plant_rates(stored, "processes", rates, step_rows=32)

    return plant


def plant_memory(gives_back):
    def plant(stored, off):
        for row in stored["process_memory"]["rows"]:
            if row["gives_back"] is gives_back:
                row["formula"] = row["measured"] * (1 - off)

    return plant


def plant_cost(stored, off):
    for kind in stored["cost_model"]["kinds"]:
        for row in kind["rows"]:
            terms = zip(kind["numbers"]["three numbers"], row["terms"])
            row["seconds"] = [sum(a * b for a, b in terms) / (1 - off)]


def plant_peak(stored, peak):
    stored["stream_size"]["rows"][1]["peak"] = peak


def plant_lanes(name):
    return lambda stored, lanes: stored["stream_size"]["equal_lanes"].update(
        {name: lanes}
    )


def plant_stream(stored, ratio):
    stored["stream_size"]["ratio"] = ratio
    plant_reading(stored, 1.0)


def plant_reading(stored, ratio):
    """The whole text, read at this part of the tokens a second in memory."""
    record = stored["stream_size"]
    for one in record["race"]:
        one["memory"] = [1e6]
    for row in record["rows"]:
        row["seconds"] = row["tokens"] / (1e6 * ratio)


def plant_gpu(stored, part, ratio=1.6):
    stage = {"ftlib, compiled": {"mfu": part}, "against_trainer": ratio}
    stages = {"bert_base": stage, "gpt2_small": stage}
    stored["gpu"] = {"rehearsal": False, "stages": stages}


def state_of(render, stored, start):
    """What the page says of the goal whose row begins so."""
    (row,) = [
        r for r in render.goals(stored).splitlines() if r.startswith(f"| {start}")
    ]
    return re.search(r"\*\*(.+?)\*\*", row)[1], row


GOALS = [
    ("Masked LM", plant_race("mlm"), 0.19, 0.21),
    ("Causal LM", plant_race("clm"), 0.19, 0.21),
    ("Classifier", plant_race("classify"), 0.19, 0.21),
    ("float32 step", plant_step, 2.21, 2.19),
    ("bfloat16 step", plant_mfu, 0.61, 0.59),
    ("Two processes, DDP", plant_processes("DDP"), 0.91, 0.89),
    ("Two processes, FSDP2", plant_processes("FSDP2"), 0.91, 0.89),
    (
        "Memory of a process within 10 % of the formula, freed memory given back",
        plant_memory(True),
        0.09,
        0.11,
    ),
    (
        "Memory of a process within 10 % of the formula, freed memory kept",
        plant_memory(False),
        0.09,
        0.11,
    ),
    ("Cost model", plant_cost, 0.14, 0.16),
    ("10 GB through", plant_peak, 599e6, 601e6),
    ("10 GB through", plant_lanes("two processes"), 8, 7),
    ("10 GB through", plant_lanes("one process, one row further"), 0, 1),
    ("Stream:", plant_stream, 0.91, 0.89),
    ("GPU", plant_gpu, 0.51, 0.49),
    ("GPU", lambda stored, ratio: plant_gpu(stored, 0.51, ratio), 1.51, 1.49),
]


@pytest.mark.parametrize("start, plant, good, bad", GOALS)
def test_a_goal_is_met_by_the_numbers_alone(start, plant, good, bad, counted):
    render = renderer()
    rows = []
    for value, wanted in ((good, "met"), (bad, "not met")):
        stored = render.records_stored()
        plant(stored, value)
        state, row = state_of(render, stored, start)
        assert state == wanted, row
        rows.append(row)
    assert rows[0] != rows[1]
    counted("fault")


def test_a_goal_without_a_record_is_not_measured():
    render = renderer()
    rows = render.goals({}).splitlines()
    rows = [row for row in rows if row.startswith("| ")][2:]
    assert len(rows) == len({start for start, *_ in GOALS})
    assert all("|  | **not measured**." in row for row in rows), rows
    stored = render.records_stored()
    for name, start in [
        ("time_to_loss_mlm", "Masked LM"),
        ("cost_model", "Cost model"),
        ("stream_size", "Stream:"),
    ]:
        del stored[name]
        assert state_of(render, stored, start)[0] == "not measured"
    # a rehearsal on a processor is no GPU
    plant_gpu(stored, 0.9)
    stored["gpu"]["rehearsal"] = True
    state, row = state_of(render, stored, "GPU")
    assert state == "not measured" and "No GPU yet" in row


def test_a_goal_is_not_measured_in_full():
    render = renderer()

    def told(change, start, plant, value):
        stored = render.records_stored()
        plant(stored, value)
        change(stored)
        return state_of(render, stored, start)[1]

    race = ("Masked LM", plant_race("mlm"), 0.19)
    row = told(lambda stored: stored["time_to_loss_mlm"]["rows"].pop(), *race)
    assert "**not measured** in full: 2 of 3 seeds." in row
    rates = {"rates": {"0.001": 3.0, "0.01": 2.0, "0.1": 2.5}, "rate": "0.001"}
    row = told(lambda stored: stored["time_to_loss_mlm"].update(rates), *race)
    assert (
        "**not measured** in full: to be run again with the learning rate 0.01" in row
    )
    near = {"baseline": {"unigram": 4.05}}
    row = told(lambda stored: stored["time_to_loss_mlm"].update(near), *race)
    assert (
        "**met**. The Trainer ends at 4.000, near the unigram guess (4.050 nats)" in row
    )
    stored = render.records_stored()
    plant_processes("DDP")(stored, 0.95, ["float32"])
    row = state_of(render, stored, "Two processes, DDP")[1]
    assert "**not measured** in full: bfloat16." in row
    one = ("10 GB through", plant_peak, 599e6)
    row = told(lambda stored: stored["stream_size"].update(bytes=1e9), *one)
    assert "**not measured** in full: 1.0 GB." in row
    row = told(lambda stored: plant_reading(stored, 0.5), "Stream:", plant_stream, 0.95)
    assert "**not measured** in full: over all 10 GB 0.50, not in turns." in row
    # a record of older code counts for nothing
    step = ("float32 step", plant_step, 2.3)
    row = told(lambda stored: stored["mlm_step"].update(note="older"), *step)
    assert "**not measured**." in row


def test_the_goal_says_what_holds_it_back():
    render = renderer()
    stored = render.records_stored()
    operations = {"ftlib": 30e9, "transformers": 60e9}
    peaks = {"float32": [100e9, 100e9]}
    plant_step(stored, 2.0, operations=operations, peaks=peaks)
    _, row = state_of(render, stored, "float32 step")
    assert "| 2.00 (16 rows) | **not met**. 2.00 of the ratio is arithmetic; " in row
    assert (
        "an MFU of 100 % would make it 3.3. Of 500 ms a step (16 rows) 300 are" in row
    )
    assert "at the peak, 200 the rest, for which the goal leaves 155." in row
    plant_processes("FSDP2")(stored, 0.8)
    _, row = state_of(render, stored, "Two processes, FSDP2")
    assert "per step: float32 250 ms, allowed 111 (32 rows); bfloat16 250 ms" in row


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
    # a curve that crosses the score by chance, and leaves it again, is not there yet
    noisy = [[10, 5.0], [20, 3.0], [30, 5.0], [40, 3.0], [60, 2.0]]
    assert render.time_until(noisy, 4.0) == 35
    assert render.time_until([*noisy, [70, 4.5]], 4.0) is None
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
    # a Trainer that learns nothing more from 30 s on is compared with its 30 s
    plateau = race_record(ftlib=[ours], Trainer=[[[15, 5.0], [30, 4.5], [60, 4.5]]])
    assert render.shares(plateau, "Trainer") == [0.5]
    picture = render.curves_svg(record)
    assert "<svg" in picture and picture == render.curves_svg(record)


def strokes(picture):
    """The styles of the curves and of the lines across a picture, not of the grid."""
    styles = re.findall(r'clip-path="[^"]*" style="(fill: none; [^"]*)"', picture)
    styles = [dict(s.split(": ") for s in style.split("; ")) for style in styles]
    return [style for style in styles if style["stroke"] != "#e3e3e3"]


def test_the_picture_tells_nine_ideas_apart_and_draws_the_goal():
    render = renderer()
    line = [[30, 5.0], [60, 4.0]]
    ideas = race_record(**{f"idea {number}": [line] for number in range(9)})
    looks = strokes(render.curves_svg(ideas))
    assert len({look["stroke"] for look in looks}) == len(looks) == 10
    # grey is the baseline's alone; there is no goal
    grey = [look for look in looks if look["stroke"] == "#757575"]
    assert len(grey) == 1 and grey[0]["stroke-dasharray"].startswith("1,")
    looks = strokes(render.curves_svg(race_record(ftlib=[line], Trainer=[line])))
    dashed = [look for look in looks if look.get("stroke-width") == "0.6"]
    assert len(looks) == 5 and len(dashed) == 2
    assert all("stroke-dasharray" in look for look in dashed)


def test_the_page_has_a_run_that_failed():
    render = renderer()
    line = [[30, 5.0], [60, 4.0]]
    record = race_record(ftlib=[line, line], Trainer=[line, [[30, 4.9]]])
    record["rows"][3] |= {"stopped": "FloatingPointError: a\nplanted fault"}
    page = render.time_to_loss(record)
    assert "| Trainer | 1.0 | 4.000 | 4.000 to 4.000 | 10 | 1.00 of its time |" in page
    told = (
        "Trainer, seed 1, stopped early, after 20 steps, and is left out of the table"
    )
    assert f"{told}: FloatingPointError: a planted fault\n" in page
    # ftlib's own failure counts as not there
    record["rows"][0]["stopped"] = "ValueError: another"
    assert "reached by 0 of 1" in render.time_to_loss(record)
    # no point at all, in any seed
    fails = {"curve": [], "stopped": "ValueError: at once"}
    record["rows"][2:] = [row | fails for row in record["rows"][2:]]
    page = render.time_to_loss(record)
    assert "| Trainer |  | stopped early |  |  |  |" in page
    assert "<svg" in render.curves_svg(record)


def test_contenders_take_turns_and_measuring_stops_the_clock(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import time_to_loss

    now, order, made = [0.0], [], []

    class Task:
        points = time_to_loss.POINTS

        def measure(self, model):
            now[0] += 100.0  # seconds that nobody is charged for
            return 1.0

    def contender(name, seconds):
        def make(seed, clock):
            assert not order, "a contender was made while another one computed"
            now[0] += 50.0  # seconds of making a model
            clock.now = lambda: now[0]
            made.append((name, torch.rand(()).item()))

            def run():
                order.append(name)  # what is left to make is its own turn's
                clock.begin()
                assert clock.spent == 0
                while True:
                    order.append(name)
                    now[0] += seconds
                    if clock.step(None):
                        return

            return run

        return make

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
    # the weights are the seed's, whoever was made before
    first = [torch.manual_seed(seed) and torch.rand(()).item() for seed in (0, 1)]
    values = [value for _, value in made]
    assert [name for name, _ in made[-2:]] == ["b", "a"]
    assert values == 5 * [first[0]] + 2 * [first[1]]
    order.clear()
    time_to_loss.race(Task(), each, 0, budget=12.0, seconds=3.0)
    # b starts, which takes time too, when the first turn of a is over
    assert order[:4] == ["a", "a", "a", "b"]


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

    def race(task, contenders, seed, budget, seconds):
        if seed == 2:
            raise KeyboardInterrupt
        return finished(contenders, seed, 0.001)

    out = tmp_path / "clm.json"
    monkeypatch.setitem(time_to_loss.TASKS, "clm", FakeTask)
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
    assert record["rate"] == "0.001" and record["tuning_seconds"] == 20


def test_a_contender_that_fails_leaves_the_others_their_hour(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import time_to_loss

    now = [0.0]

    class Task:
        points = time_to_loss.POINTS

        def measure(self, model):
            return model

    def contender(score=4.0, fails_after=99):
        def make(seed, clock):
            clock.now = lambda: now[0]

            def run():
                clock.begin()
                for step in range(99):
                    if step == fails_after:
                        raise FloatingPointError("a planted fault")
                    now[0] += 1.0
                    if clock.step(score):
                        return

            return run

        return make

    contenders = {
        "ftlib": contender(),
        "at once": contender(fails_after=0),
        "later": contender(fails_after=2),
        "no number": contender(score=float("nan")),
    }
    rows = time_to_loss.race(Task(), contenders, 0, budget=6.0, seconds=1.5)
    assert [row["contender"] for row in rows] == list(contenders)
    assert [len(row["curve"]) for row in rows] == [6, 0, 2, 0]
    errors = [row.get("stopped") for row in rows]
    assert errors[:3] == [None, *["FloatingPointError: a planted fault"] * 2]
    assert errors[3] == "FloatingPointError: the score is nan at step 1"

    class Rates(Task):
        def theirs(self, seed, clock, lr):
            return contender(fails_after=99 if lr < 1e-3 else 1)(seed, clock)

    # a rate with which the Trainer fails is not the best one
    tried = time_to_loss.tuned(Rates(), [1e-3, 3e-4, 1e-4], 18.0, 9.0)
    assert tried == {"0.001": None, "0.0003": 4.0, "0.0001": 4.0}
    assert renderer().best_rate(tried) == "0.0003"


def test_tuning_goes_on_beyond_the_edge(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import time_to_loss

    best, seconds = 1e-3, set()

    def try_rate(task, lr, budget, turn):
        seconds.add(budget)
        return abs(math.log(lr / best))

    monkeypatch.setattr(time_to_loss, "try_rate", try_rate)

    def tried(rates=(3e-4, 1e-3, 3e-3)):
        return list(time_to_loss.tuned(None, rates, 1800.0, 30.0))

    inside = ["0.0003", "0.001", "0.003"]
    assert tried() == inside
    best = 3e-4
    assert tried() == [*inside, "0.0001"]
    best = 1e-6  # two more at the most
    assert tried() == [*inside, "0.0001", "3e-05"]
    best = 1.0
    assert tried() == [*inside, "0.01", "0.03"]
    assert seconds == {600.0}
    assert tried([1e-3]) == ["0.001"]  # a single one is taken as it is
    render = renderer()
    assert render.edge({"0.003": 1.0, "1e-05": 3.0, "0.001": 2.0}) == "highest"
    assert render.edge({"0.003": 3.0, "1e-05": None, "0.001": 2.0}) is None
    record = race_record(ftlib=[[[60, 3.0]]], Trainer=[[[60, 4.0]]])
    page = render.time_to_loss(record | {"rates": {"0.001": 2.0, "0.0003": None}})
    assert "0.0003: failed, 0.001: 2.000." in page
    assert "The best is the highest of them" in page


def finished(contenders, seed, best):
    """Rows of runs that reached their end; of the rates, `best` has the lowest loss."""
    return [
        {
            "contender": name,
            "seed": seed,
            "steps": 1,
            "curve": [[60.0, 3.0 + (name != f"rate {best:g}")]],
        }
        for name in contenders
    ]


class FakeTask:
    points = [1.0]

    def __init__(self, sizes, data):
        self.ours = self.theirs = None

    def baseline(self):
        return {"unigram": 6.5}


def stored_race(monkeypatch, tmp_path, best):
    """(run, record, calls): `run(*words)` starts the program with a copy of the stored
    `record` of mlm, and gives back what it makes of it. Its races take no time, stand
    in `calls`, and have `best` as the best rate.
    """
    monkeypatch.syspath_prepend(str(FOLDER))
    import time_to_loss

    def race(task, contenders, seed, budget, seconds):
        calls.append((list(contenders), seed, budget))
        return finished(contenders, seed, best)

    stored = FOLDER / "results" / "time_to_loss_mlm.json"
    record = json.loads(stored.read_text(encoding="utf-8"))
    # as before anything was added to its tuning
    record = {k: v for k, v in record.items() if k not in ("rate", "tuning_seconds")}
    record["rates"] = {"0.0003": 6.6619, "0.001": 6.6746, "0.003": 6.6739}
    record |= {"threads": 2, "precision": "torch.bfloat16", "budget": 1800.0}
    out, calls = tmp_path / "mlm.json", []
    out.write_text(json.dumps(record), encoding="utf-8")
    monkeypatch.setattr(time_to_loss.torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(time_to_loss, "precision", lambda _: torch.bfloat16)
    monkeypatch.setitem(time_to_loss.TASKS, "mlm", FakeTask)
    monkeypatch.setattr(time_to_loss, "race", race)

    def run(*words):
        line = ["time_to_loss.py", "--out", str(out), *words]
        monkeypatch.setattr(sys, "argv", line)
        time_to_loss.main()
        return json.loads(out.read_text(encoding="utf-8"))

    return run, record, calls


def test_a_rate_is_added_to_the_tuning_of_a_record(monkeypatch, tmp_path, capsys):
    run, record, calls = stored_race(monkeypatch, tmp_path, best=1e-4)
    own = {"rates": {"0.0003": 1.0, "0.001": 2.0, "0.003": 3.0}, "rate": "0.0003"}
    (tmp_path / "mlm.json").write_text(
        json.dumps(record | own | {"tuning_seconds": 600.0, "rows": []}),
        encoding="utf-8",
    )
    made = run("--tune-more", "1e-5")
    assert "still the best" in capsys.readouterr().out
    assert made["rates"] == {**own["rates"], "1e-05": 4.0}
    assert calls == [(["rate 1e-05"], 100, 600.0)]
    # a record from before there was --tune-more: seconds and rate are worked out
    calls.clear()
    (tmp_path / "mlm.json").write_text(json.dumps(record), encoding="utf-8")
    made = run("--tune-more", "1e-4", "3e-5")
    assert calls == [(["rate 0.0001"], 100, 600.0), (["rate 3e-05"], 100, 600.0)]
    assert made["rates"] == {**record["rates"], "0.0001": 3.0, "3e-05": 4.0}
    assert made["rows"] == record["rows"] and made["rate"] == "0.0003"
    assert "THE BEST RATE IS NOW 0.0001." in capsys.readouterr().out
    page = renderer().time_to_loss(made)
    assert "**The race was run with 0.0003, before 0.0001" in page
    # a seed more would be one of a race that no longer holds
    with pytest.raises(SystemExit, match="raced with the rate 0.0003"):
        run("--seeds", "1", "--add")
    with pytest.raises(SystemExit, match="has the rate 0.001 already"):
        run("--tune-more", "1e-3")


def test_seeds_can_be_added_to_the_stored_record(monkeypatch, tmp_path):
    run, record, calls = stored_race(monkeypatch, tmp_path, best=1e-3)
    missing = [str(seed) for seed in (91, 92)]
    made = run("--seeds", *missing, "--add")
    assert [seed for _, seed, _ in calls] == [91, 92]
    assert made["rows"][: len(record["rows"])] == record["rows"]
    assert made["rates"] == record["rates"] and len(calls[0][0]) == 3


def test_ideas_have_short_rows_for_longer_and_what_they_are_compared_with(
    monkeypatch, tmp_path
):
    run, _, calls = stored_race(monkeypatch, tmp_path, best=1e-3)
    import time_to_loss

    recipes = {}

    def race(task, contenders, seed, budget, seconds):
        for name, make in contenders.items():
            recipes[name] = make(seed, None)
        return finished(contenders, seed, 1e-3)

    class Task(FakeTask):
        def __init__(self, sizes, data):
            self.ours = lambda seed, clock, **changes: changes

    monkeypatch.setattr(time_to_loss, "race", race)
    monkeypatch.setitem(time_to_loss.TASKS, "mlm", Task)
    (tmp_path / "mlm.json").unlink()
    record = run("--ideas", "--seeds", "0", "1")
    record = run("--ideas", "--seeds", "2", "--add")
    assert [row["seed"] for row in record["rows"]] == 9 * [0] + 9 * [1] + 9 * [2]
    short = ((16, 0.3), (64, 0.58), (128, 0.12))
    long = {"without short rows", "padded and cut at 128, not packed"}
    for name, changes in recipes.items():
        assert changes["stages"] == (((128, 1.0),) if name in long else short), name
    # the recipe that the record of mlm was made with is as it was
    assert time_to_loss.MLM["stages"] == ((16, 0.06), (64, 0.82), (128, 0.12))
    assert record["budget"] == 360 and not record["rates"]
    against = {row["contender"]: row["against"] for row in record["rows"]}
    assert against.pop("padded and cut at 128, not packed") == "without short rows"
    assert set(against.values()) == {"ftlib"}
    # they are compared by their curves: that of packed rows crosses 4.5 at 30 s
    curves = {"without short rows": [[20, 5.0], [40, 4.0], [60, 3.0]]}
    curves["padded and cut at 128, not packed"] = [[20, 5.0], [60, 4.5]]
    for row in record["rows"]:
        row["curve"] = curves.get(row["contender"], [[20, 9.0], [60, 9.0]])
    page = renderer().time_to_loss(record)
    words = "padded and cut at 128, not packed | 1.0 | 4.500 | 4.500 to 4.500 | 1 |"
    assert f"| {words} without short rows | 0.50 of its time" in page
    assert "16 for 30%, 64 for 58%, 128 for 12%" in page


def test_muon_decays_as_adamw_does(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import time_to_loss

    from ftlib.models import transformer

    model = transformer.LanguageModel(transformer.Config(20, 8, 1, 2, 16, 8))
    muon, adamw = time_to_loss.Both(model, 1e-3).parts
    decay = {group["weight_decay"] for group in adamw.param_groups} - {0.0}
    assert {group["weight_decay"] for group in muon.param_groups} == decay
    assert len(decay) == 1


def test_a_classifier_is_scored_on_all_sentences_after_other_labels(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import time_to_loss

    task = time_to_loss.Labels(time_to_loss.SIZES, [])
    validation = time_to_loss.sources.load("rotten_tomatoes")["validation"]
    scored = sum(len(batch["labels"]) for batch in task.tests)
    assert scored == len(validation["text"]) > 2 * time_to_loss.SIZES["held_out"]
    first, second = task.labelled(0)["text"], task.labelled(1)["text"]
    assert len(first) == len(second) == 1000
    assert len(set(first) & set(second)) < 300
    # the curve begins within the first steps of two minutes, and ends at their end
    points = [120 * fraction for fraction in task.points]
    assert points == sorted(points) and points[0] < 0.5 and points[-1] == 120
    record = race_record(ftlib=[[[60, 0.2]]], Trainer=[[[60, 0.3]]])
    page = renderer().time_to_loss(record | {"task": "classify"})
    assert "run_glue.py pads each text to 128 tokens by default" in page


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
        ("roofline", "bandwidth"),
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


@pytest.fixture
def roofline(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import roofline

    return roofline


def rows_of(roofline, call):
    """What the recorder writes down of a call: [(name, operations, bytes)]."""
    with roofline.Recorder() as recorder:
        call()
    return [row for row in recorder.calls if row[1] or row[2]]


def test_the_roofline_counts_what_is_read_and_written(roofline):
    x, y, ids = torch.ones(8, 4), torch.ones(4, 3), torch.tensor([0, 2])
    for call, expected in [
        (lambda: x @ y, ("aten::mm", 2 * 8 * 4 * 3, 4 * (32 + 12 + 24))),
        (lambda: x + 1, ("aten::add", 0, 4 * (32 + 32))),
        (lambda: x.add_(1), ("aten::add_", 0, 4 * (32 + 32))),
        (lambda: x.clone(), ("aten::clone", 0, 4 * (32 + 32))),
        (lambda: x.zero_(), ("aten::zero_", 0, 4 * 32)),
        (lambda: x.bfloat16(), ("aten::_to_copy", 0, (4 + 2) * 32)),
        # of a table only the rows that are asked for, and the ids
        (
            lambda: torch.nn.functional.embedding(ids, x),
            ("aten::embedding", 0, 2 * 4 * 8 + 2 * 8),
        ),
    ]:
        assert rows_of(roofline, call) == [expected]
    # views move nothing, and asking for memory writes nothing
    for call in (
        lambda: x.t(),
        lambda: x.view(4, 8)[1:],
        lambda: torch.ops.aten._unsafe_view(x, [4, 8]),
        lambda: torch.empty(9),
    ):
        assert not rows_of(roofline, call)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_the_roofline_counts_the_operations_of_a_step(roofline, dtype):
    from ftlib.models import transformer
    from ftlib.objectives import mlm

    data = roofline.batches(3, 4, 16, 100)
    net = transformer.LanguageModel(transformer.Config(100, 32, 2, 2, 128, 16))
    rows, products = roofline.counted(net, data, dtype)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        mlm.mlm_loss(net.train(), data[1]).backward()
    counted = sum(row["operations"] * row["calls"] for row in rows)
    assert counted == counter.get_total_flops()
    # the optimizer reads a weight, its gradient and two averages, and writes three
    weights = sum(p.numel() for p in net.parameters())
    update = sum(r["bytes"] for r in rows if "adamw" in r["name"])
    assert update == pytest.approx(7 * 4 * weights, rel=0.01)
    assert {row["kind"] for row in rows if row["operations"]} <= {
        "matrix products",
        "attention",
    }
    for call in products.values():
        assert 0 < roofline.alone(*call, tries=2) < 1


def test_a_product_alone_has_the_strides_that_it_had(roofline):
    seen = []
    call = (
        lambda a, b: seen.append(a.stride()),
        (roofline.Like(torch.ones(6, 4).t()),),
    )
    roofline.alone(call[0], (*call[1], 3), {}, tries=1)
    assert seen == [(1, 4)]


def test_the_roofline_of_a_record():
    render = renderer()
    rows = [
        # 2 ms of arithmetic, then 3 ms of copying, twice
        {"kind": "matrix products", "operations": 2e6, "bytes": 1e3, "calls": 1},
        {"kind": "update", "operations": 0, "bytes": 3e6, "calls": 2},
    ]
    rows[0]["alone"] = 0.004
    turn = {"peak": 1e9, "bandwidth": 1e9, "ftlib": 0.02, "Trainer": 0.024}
    shares = {"matrix products": 0.5, "update": 0.4, "calls and Python": 0.1}
    part = {"precision": "float32", "operations": rows, "shares": shares}
    # a slow round: the bound takes the best speeds of all, the step its median
    slow = turn | {"peak": 0.5e9, "bandwidth": 0.5e9}
    part["rounds"] = [slow, turn, slow]
    found = render.bounds(part)
    assert found["matrix products"]["bound"] == pytest.approx(2)
    assert found["matrix products"]["alone"] == pytest.approx(4)
    assert found["update"]["bound"] == found["update"]["alone"] == pytest.approx(6)
    assert found["calls and Python"]["measured"] == pytest.approx(2)
    assert render.roof_ratios(part) == pytest.approx([1.2, 3.0, 2.4])
    assert render.roof_mfu(part) == pytest.approx([0.25, 0.2])
    for trainer, judged in (
        (0.0221, "does not rule the goal out"),
        (0.0219, "below the goal"),
    ):
        turn["Trainer"] = slow["Trainer"] = trainer
        (words,) = render.roof_words({"roofline": {"parts": [part]}})
        assert judged in words
    part["precision"] = "bfloat16"
    assert "below the goal" in render.roof_mfu_words({"roofline": {"parts": [part]}})[0]


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
