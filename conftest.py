"""Hooks for all tests, the notebooks included (`pytest --nbval chapters/`): what is compared, and a record.

Where the variable FTLIB_RECORD names a file, every test and every notebook cell leaves a line of JSON there;
tools/test.py counts them.
"""

import json
import os

import pytest


def record(**fields):
    """Append one line to the record, if one is kept; one short write, so that processes may do it at the same time."""
    path = os.environ.get("FTLIB_RECORD")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": os.environ.get("FTLIB_STAGE", ""), **fields}) + "\n")


def pytest_collectstart(collector):
    # warnings go to stderr and hold the paths and line numbers of other people's packages
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)


def is_compared(item):
    """Whether nbval looks at anything that this cell put out. A silent cell is compared: it has to stay silent."""
    if not item.options["check"] or item.cell.execution_count is None:
        return False
    if not item.cell.outputs:
        return True
    seen = ("text/plain", "text/html", "text/markdown", "text/latex")
    return any(
        output.get("name") == "stdout" or any(kind in output.get("data", {}) for kind in seen)
        for output in item.cell.outputs
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and hasattr(item, "cell_num") and report.outcome != "skipped":
        record(
            kind="cell", chapter=item.path.stem, cell=item.cell_num, compared=is_compared(item), outcome=report.outcome
        )


def pytest_runtest_logreport(report):
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return  # the controller sees the same report again
    if report.when == "call" or (report.when == "setup" and report.outcome != "passed") or report.outcome == "failed":
        record(kind="test", test=report.nodeid, outcome=report.outcome)
