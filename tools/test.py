"""Every test, in the order in which a failure is cheapest to find. `make test` and CI call this file.

    python tools/test.py                  # all stages
    python tools/test.py rules exercises  # some of them (then no floors are checked)
    python tools/test.py --raise-floors   # all stages; what is counted today becomes the floor

Each stage leaves lines of JSON in a record (see conftest.py); what they count is compared with the floors in
tools/floors.json, so that a test that silently stops looking at anything fails here.
The last line is `N passed, N failed`.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
FLOORS = ROOT / "tools" / "floors.json"
# A cell that hangs ends here. Far above the 60 s that a cell may take alone (tools/measure_chapters.py and the contract look
# at that), because two chapters run at once, and a shared machine can be several times slower
CELL_SECONDS = 400
UNCOMPARED = 0.15  # the largest share of executed cells whose output nobody compares
PYTEST = [sys.executable, "-m", "pytest", "-q", "--durations=5", "-p", "no:cacheprovider"]
# two processes with one torch thread each: two threads on two busy cores are slower
PARALLEL = ["-n", "2", "--dist", "loadfile"]
LATER = {
    "rules": ("test_notebook_rules.py", "test_same_code.py", "test_figures.py"),
    "exercises": ("test_exercises.py",),
    "copy-alone": ("test_copy_alone.py",),
}

# what a line of the record adds to (number fields; a test or a cell counts one)
COUNTS = {
    "name": "names compared",
    "exercise": "exercises checked",
    "wrong answer": "wrong answers caught",
    "fault": "planted faults caught",
    "chapter": "chapters",
    "figure": "figures described",
    "widget": "widgets moved",
    "copied": "modules copied",
}


def stages():
    """name -> the pytest arguments of the stage, or None where there is nothing to run yet."""
    later = {name for names in LATER.values() for name in names}
    unit = sorted(str(path) for path in TESTS.glob("test_*.py") if path.name not in later)
    notebooks = sorted(str(path) for path in (ROOT / "chapters").glob("[0-9][0-9]_*.ipynb"))
    return {
        "unit": PARALLEL + unit if unit else None,
        "chapters": ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}", *PARALLEL, *notebooks]
        if notebooks
        else None,
        **{
            name: PARALLEL + [str(TESTS / file) for file in files if (TESTS / file).exists()]
            for name, files in LATER.items()
        },
        "browser": [str(TESTS / "browser")],
    }


def environment(stage, record):
    """The stage's variables. The network is blocked in every Python that starts from here, the notebooks' kernels
    included.
    """
    paths = [str(TESTS / "offline"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
        "NO_COLOR": "1",
        "MPLBACKEND": "agg",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "FTLIB_RECORD": str(record),
        "FTLIB_STAGE": stage,
        # a chapter must run, and print what is stored, on a machine that has no GPU
        **({"CUDA_VISIBLE_DEVICES": "", "FTLIB_DEVICE": "cpu"} if stage == "chapters" else {}),
    }


def run_stage(name, arguments, record):
    """Run one stage -> (seconds, whether pytest was content)."""
    print(f"\n=== {name} ===", flush=True)
    if arguments is None:
        print("nothing to run")
        return 0.0, True
    variables = environment(name, record)
    if name == "chapters":
        variables.pop("MPLBACKEND")  # kernels choose their own
    start = time.perf_counter()
    code = subprocess.run(PYTEST + arguments, cwd=ROOT, env=variables).returncode
    return time.perf_counter() - start, code == 0


def count(lines):
    """What the record holds -> Counter."""
    total = collections.Counter(
        {name: 0 for name in ("cells executed", "cells compared", *COUNTS.values(), "tests passed")}
    )
    for line in lines:
        kind = line["kind"]
        if kind == "test":
            total["tests " + line["outcome"]] += 1
        elif kind == "cell":
            total["cells executed"] += 1
            total["cells compared"] += line["compared"]
        else:
            total[COUNTS[kind]] += line["number"]
    return total


def shortfalls(total, floors):
    """Where a count is under its floor, or too few cells are compared -> [sentence]."""
    found = [
        f"{name}: {total[name]}, at least {floor} are expected" for name, floor in floors.items() if total[name] < floor
    ]
    uncompared = total["cells executed"] - total["cells compared"]
    if uncompared > UNCOMPARED * total["cells executed"]:
        share = f"{uncompared} of {total['cells executed']} executed cells"
        found.append(f"{share} are not compared, at most {UNCOMPARED:.0%} may be")
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "stages", nargs="*", metavar="stage", help=f"of {', '.join(stages())}; all of them if none is named"
    )
    parser.add_argument("--raise-floors", action="store_true", help="if all is well, the floors become 0.95 of the counts")
    options = parser.parse_args(arguments)
    plan = stages()
    unknown = set(options.stages) - set(plan)
    if unknown:
        parser.error(f"no stage {', '.join(sorted(unknown))}; there are {', '.join(plan)}")
    with tempfile.TemporaryDirectory() as folder:
        record = pathlib.Path(folder) / "record.jsonl"
        record.touch()
        results = {
            name: run_stage(name, plan[name], record) for name in plan if not options.stages or name in options.stages
        }
        total = count([json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()])
    broken = [name for name, (_, good) in results.items() if not good]
    short = shortfalls(total, {} if options.stages else json.loads(FLOORS.read_text(encoding="utf-8")))
    # a stage that ends badly without a failed test (it could not be collected, it crashed) is a failure too
    failed = max(total["tests failed"], len(broken)) + len(short)
    if options.raise_floors and not failed and not options.stages:
        raised = {name: int(0.95 * total[name]) for name in json.loads(FLOORS.read_text(encoding="utf-8"))}
        FLOORS.write_text(json.dumps(raised, indent=1) + "\n", encoding="utf-8")
    print("\n=== times ===")
    for name, (seconds, good) in results.items():
        print(f"{name:12} {seconds:7.1f} s  {'ok' if good else 'FAILED'}")
    print(f"{'all':12} {sum(seconds for seconds, _ in results.values()):7.1f} s")
    for sentence in short:
        print("under its floor:", sentence)
    shown = [name for name in total if not name.startswith("tests ")] + ["tests passed"]
    print(", ".join(f"{total[name]} {name}" for name in shown) + f", {total['tests skipped']} skipped")
    print(f"{total['tests passed']} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
