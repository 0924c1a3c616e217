"""The stages of the tests: which test belongs to which, and the variables it runs with.

The one place for both: conftest.py gives every test the marker of its stage from here
(`pytest -m rules`), and tools/test.py runs the stages in this order.
"""

import json
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
STAGES = {
    "unit": "tests of the library, the recipes and the tools",
    "chapters": "every cell of every chapter, and whether it puts out what is stored",
    "rules": "the rules of a chapter, and the same code in chapters and library",
    "exercises": "solutions pass their checks, wrong answers get their hints",
    "copy_alone": "each file of the library works alone in an empty folder",
    "browser": "widgets by keyboard in a real browser",
}
FILES = {  # what a file's name tells; every other file of tests/ is a unit test
    "test_notebook_rules.py": "rules",
    "test_same_code.py": "rules",
    "test_plot.py": "rules",
    "test_exercises.py": "exercises",
    "test_mutation.py": "exercises",
    "test_copy_alone.py": "copy_alone",
}
# what a line of the record adds to (number fields; a test or a cell counts one)
COUNTS = {
    "name": "names compared",
    "exercise": "exercises checked",
    "right answer": "right answers taken",
    "wrong answer": "wrong answers caught",
    "mutant": "mutants of solutions refused",
    "tolerated mutant": "mutants of solutions taken",
    "fault": "planted faults caught",
    "chapter": "chapters",
    "figure": "figures described",
    "widget": "widgets moved",
    "copied": "modules copied",
}
# About how many seconds a test file of a stage that is shared out by files takes alone,
# where it is more than ten. Only the order follows from it: what is missing or wrong
# here costs time and nothing else
SECONDS = {
    "test_recipes.py": 150,
    "test_gpu_program.py": 70,
}


def stage_of(path) -> str:
    """The stage that a test file or a notebook belongs to."""
    path = pathlib.Path(path)
    if path.suffix == ".ipynb":
        return "chapters"
    return "browser" if path.parent.name == "browser" else FILES.get(path.name, "unit")


def seconds() -> dict[str, float]:
    """name -> about how long a long test file or a chapter takes (measured.json)."""
    measured = ROOT / "chapters" / "measured.json"
    entries = json.loads(measured.read_text(encoding="utf-8"))
    chapters = {f"{name}.ipynb": 60 * one["minutes"] for name, one in entries.items()}
    return {**SECONDS, **chapters}


def files(stage) -> list[str]:
    """The test files or notebooks of a stage, the longest first: whoever shares them
    out in this order is not left with a long one at the end.
    """
    everything = [
        *TESTS.rglob("test_*.py"),
        *(ROOT / "chapters").glob("[0-9][0-9]_*.ipynb"),
    ]
    long = seconds()
    return sorted(
        (str(path) for path in everything if stage_of(path) == stage),
        key=lambda path: (-long.get(pathlib.Path(path).name, 0), path),
    )


def variables(stage) -> dict[str, str | None]:
    """The variables of the environment that a stage needs; None: it must not be set.

    The network is blocked in every Python that starts with them, kernels included.
    """
    paths = [str(TESTS / "offline"), str(ROOT)]
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths += [path for path in given if path and path not in paths]
    chapter = stage == "chapters"
    return {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
        "NO_COLOR": "1",
        "PYTHONPATH": os.pathsep.join(paths),
        "FTLIB_STAGE": stage,
        "MPLBACKEND": None if chapter else "agg",  # kernels choose their own
        # a chapter must run, and print what is stored, on a machine that has no GPU
        **({"CUDA_VISIBLE_DEVICES": "", "FTLIB_DEVICE": "cpu"} if chapter else {}),
    }


def environment(stage, before=None) -> dict[str, str]:
    """A whole environment for a stage: `before` (default: this process's) changed."""
    changed = dict(os.environ if before is None else before)
    for name, value in variables(stage).items():
        if value is None:
            changed.pop(name, None)
        else:
            changed[name] = value
    return changed
