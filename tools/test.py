"""Every test, in the order in which a failure is cheapest to find. `make test` and CI
call this file.

    python tools/test.py                  # all stages
    python tools/test.py rules exercises  # some of them (then no floors are checked)
    python tools/test.py --raise-floors   # all stages; what is counted today becomes
    the floor

Each stage leaves lines of JSON in a record (see conftest.py); what they count is
compared with the floors in tools/minimum_counts.json, so that a test that silently
stops looking at anything fails here. The last line is `N passed, N failed`.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import stages as tests  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLOORS = ROOT / "tools" / "minimum_counts.json"
UNCOMPARED = 0.10  # the largest share of executed cells whose output nobody compares
REFUSED = 0.95  # the smallest share of wrong mutants of solutions that checkers refuse
PYTEST = [
    sys.executable,
    "-m",
    "pytest",
    "-q",
    "-rs",  # which tests were skipped, and why
    "--durations=5",
    "-p",
    "no:cacheprovider",
]
# Two processes with one torch thread each: two threads on two busy cores are slower.
TWO = ["-n", "2", "--dist"]
# Each file whole, because its tests or cells share what was trained or run before them,
# and in the order in which stages.files gives them: xdist's own order (most tests
# first) started the longest chapter last, and one process waited for it
WHOLE = [*TWO, "loadfile", "--no-loadscope-reorder"]
# Stages of one to three files whose tests stand alone: shared out test by test, because
# whole files would leave one process with nothing to do
SPREAD = [*TWO, "worksteal"]
SPREAD_STAGES = ("rules", "exercises", "copy_alone", "browser")
COUNTS = tests.COUNTS


def stages():
    """name -> the pytest arguments of the stage, or None where there is nothing to run
    yet.
    """
    plan = {name: tests.files(name) for name in tests.STAGES}
    return {
        name: (SPREAD if name in SPREAD_STAGES else WHOLE) + files if files else None
        for name, files in plan.items()
    }


def run_stage(name, arguments, record):
    """Run one stage -> (seconds, whether pytest was content)."""
    print(f"\n=== {name} ===", flush=True)
    if arguments is None:
        print("nothing to run")
        return 0.0, True
    variables = {**tests.environment(name), "FTLIB_RECORD": str(record)}
    start = time.perf_counter()
    code = subprocess.run(PYTEST + arguments, cwd=ROOT, env=variables).returncode
    return time.perf_counter() - start, code == 0


def count(lines):
    """What the record holds -> Counter."""
    total = collections.Counter(
        {
            name: 0
            for name in (
                "cells executed",
                "cells compared",
                "numbers compared",
                *COUNTS.values(),
                "tests passed",
            )
        }
    )
    for line in lines:
        kind = line["kind"]
        if kind == "test":
            total["tests " + line["outcome"]] += 1
        elif kind == "cell":
            total["cells executed"] += 1
            total["cells compared"] += line["compared"]
            total["numbers compared"] += line.get("numbers", 0)
        else:
            total[COUNTS[kind]] += line["number"]
    return total


def shortfalls(total, floors):
    """Where a count is under its floor, or too few cells are compared -> [sentence]."""
    found = [
        f"{name}: {total[name]}, at least {floor} are expected"
        for name, floor in floors.items()
        if total[name] < floor
    ]
    uncompared = total["cells executed"] - total["cells compared"]
    if uncompared > UNCOMPARED * total["cells executed"]:
        share = f"{uncompared} of {total['cells executed']} executed cells"
        found.append(f"{share} are not compared, at most {UNCOMPARED:.0%} may be")
    refused, taken = (total[COUNTS[k]] for k in ("mutant", "tolerated mutant"))
    if refused < REFUSED * (refused + taken):
        found.append(
            f"checkers refuse {refused} of {refused + taken} wrong mutants, at least "
            f"{REFUSED:.0%} are expected"
        )
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "stages",
        nargs="*",
        metavar="stage",
        help=f"of {', '.join(stages())}; all of them if none is named",
    )
    parser.add_argument(
        "--raise-floors",
        action="store_true",
        help="if all is well, the floors become 0.95 of the counts",
    )
    options = parser.parse_args(arguments)
    plan = stages()
    unknown = set(options.stages) - set(plan)
    if unknown:
        parser.error(
            f"no stage {', '.join(sorted(unknown))}; there are {', '.join(plan)}"
        )
    with tempfile.TemporaryDirectory() as folder:
        record = pathlib.Path(folder) / "record.jsonl"
        record.touch()
        results = {
            name: run_stage(name, plan[name], record)
            for name in plan
            if not options.stages or name in options.stages
        }
        total = count(
            [
                json.loads(line)
                for line in record.read_text(encoding="utf-8").splitlines()
            ]
        )
    broken = [name for name, (_, good) in results.items() if not good]
    short = shortfalls(
        total, {} if options.stages else json.loads(FLOORS.read_text(encoding="utf-8"))
    )
    # a stage that ends badly without a failed test (it could not be collected, it
    # crashed) is a failure too
    failed = max(total["tests failed"], len(broken)) + len(short)
    if options.raise_floors and not failed and not options.stages:
        raised = {
            name: int(0.95 * total[name])
            for name in json.loads(FLOORS.read_text(encoding="utf-8"))
        }
        FLOORS.write_text(json.dumps(raised, indent=1) + "\n", encoding="utf-8")
    print("\n=== times ===")
    for name, (seconds, good) in results.items():
        print(f"{name:12} {seconds:7.1f} s  {'ok' if good else 'FAILED'}")
    print(f"{'all':12} {sum(seconds for seconds, _ in results.values()):7.1f} s")
    for sentence in short:
        print("under its floor:", sentence)
    shown = [name for name in total if not name.startswith("tests ")] + ["tests passed"]
    print(
        ", ".join(f"{total[name]} {name}" for name in shown)
        + f", {total['tests skipped']} skipped"
    )
    print(f"{total['tests passed']} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
