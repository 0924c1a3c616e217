"""Hooks for all tests, the notebooks included: the environment they run in, the markers
of their stages (`pytest -m rules`; tools/stages.py), what is compared, and a record.

Plain `pytest` runs what `make test` runs, in one process.

Where the variable FTLIB_RECORD names a file, every test and every notebook cell leaves
a line of JSON there; tools/test.py counts them.
"""

import importlib.util
import json
import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.append(str(ROOT / "tools"))
import numeric  # noqa: E402
import stages  # noqa: E402

BEFORE = dict(os.environ)


def enter(stage):
    """Give this process, and what it starts, the environment of a stage."""
    wanted = stages.environment(stage, BEFORE)
    names = {name for each in stages.STAGES for name in stages.variables(each)}
    for name in names:
        if name in wanted:
            os.environ[name] = wanted[name]
        else:
            os.environ.pop(name, None)


def block_network():
    """As tests/offline does for every Python that starts with it on PYTHONPATH."""
    if hasattr(sys.modules.get("sitecustomize"), "NetworkBlocked"):
        return
    path = ROOT / "tests" / "offline" / "sitecustomize.py"
    spec = importlib.util.spec_from_file_location("sitecustomize", path)
    sys.modules["sitecustomize"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["sitecustomize"])


# before any test imports torch or transformers, which read some of them at once
enter("unit")
block_network()


def pytest_configure(config):
    for name, meaning in stages.STAGES.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_itemcollected(item):
    item.add_marker(stages.stage_of(item.path))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    stage = stages.stage_of(item.path)
    if os.environ.get("FTLIB_STAGE") != stage:
        enter(stage)


def record(**fields):
    """Append one line to the record, if one is kept; one short write, so that processes
    may do it at the same time.
    """
    path = os.environ.get("FTLIB_RECORD")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(
                json.dumps({"stage": os.environ.get("FTLIB_STAGE", ""), **fields})
                + "\n"
            )


def pytest_collectstart(collector):
    # warnings go to stderr and hold the paths and line numbers of other people's
    # packages
    if hasattr(collector, "skip_compare"):
        from nbval.plugin import IPyNbCell

        IPyNbCell.compare_outputs = compare
        collector.skip_compare += ("stderr",)


def compare(item, fresh, stored, skip_compare=None):
    """nbval's comparison of a cell's outputs, with a tolerance for numbers
    (tools/numeric.py) -> whether they agree.
    """
    item.numbers_compared = 0
    try:
        tolerance = numeric.Tolerance.of(item.cell.metadata)
    except ValueError as error:
        found = [str(error)]
    else:
        skipped = skip_compare or item.parent.skip_compare
        found, item.numbers_compared = numeric.compare_outputs(
            stored, fresh, tolerance, skipped
        )
    item.comparison_traceback = found
    return not found


def is_compared(item):
    """Whether nbval looks at anything that this cell put out. A silent cell is
    compared: it has to stay silent.
    """
    if not item.options["check"] or item.cell.execution_count is None:
        return False
    if not item.cell.outputs:
        return True
    seen = ("text/plain", "text/html", "text/markdown", "text/latex")
    return any(
        output.get("name") == "stdout"
        or any(kind in output.get("data", {}) for kind in seen)
        for output in item.cell.outputs
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if (
        report.when == "call"
        and hasattr(item, "cell_num")
        and report.outcome != "skipped"
    ):
        record(
            kind="cell",
            chapter=item.path.stem,
            cell=item.cell_num,
            compared=is_compared(item),
            numbers=getattr(item, "numbers_compared", 0),
            outcome=report.outcome,
        )


def pytest_runtest_logreport(report):
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return  # the controller sees the same report again
    if (
        report.when == "call"
        or (report.when == "setup" and report.outcome != "passed")
        or report.outcome == "failed"
    ):
        record(
            kind="test",
            stage=stages.stage_of(report.fspath),
            test=report.nodeid,
            outcome=report.outcome,
        )
