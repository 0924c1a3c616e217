"""Runs of pytest that need no start: what every run imports is imported once, and each
run is a fork of that process.

    python tools/warm_tests.py

reads requests, a line of JSON each, {"files": [...], "names": [...], "seconds": 60}
and answers each with pytest's exit status, or with -1 for a run that took longer. What
pytest prints goes into the file "log" of the request, if it names one. The
tests whose text has one of `names` come first: with `-x`, a fault of the function of
that name ends the run early. The verdict does not depend on the order.

tools/mutation_score.py keeps one such process for each copy of the repository. Works
where Python can fork (not on Windows).
"""

import importlib.util
import inspect
import json
import os
import re
import signal
import sys
import time

import pytest

# nothing of this repository: a run must import the files as they are then
PRELOADED = ("torch", "numpy", "tokenizers", "transformers", "sklearn", "matplotlib")


class First:
    """A plugin of pytest: tests whose text has one of the names are run first."""

    def __init__(self, names):
        self.word = re.compile("|".join(rf"\b{re.escape(n)}\b" for n in names) or "$^")

    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: not self.word.search(text_of(item)))


def text_of(item):
    """The source of a test, as far as it has any."""
    try:
        return inspect.getsource(getattr(item, "function", None) or item.obj)
    except (AttributeError, OSError, TypeError):
        return ""


def run(files, names=(), seconds=600, log=os.devnull):
    """pytest's exit status for the files, in a fork of this process; -1 for a run that
    was stopped after `seconds`.
    """
    process = os.fork()
    if process == 0:
        os.setsid()  # a group of its own, so that what it started ends with it
        written = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        for stream in (0, 1, 2):
            os.dup2(written, stream)
        options = ["-q", "-x", "-p", "no:cacheprovider", *files]
        status = 1
        try:
            status = int(pytest.main(options, plugins=[First(names)]))
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    status = None
    while status is None and time.monotonic() < end:
        done, code = os.waitpid(process, os.WNOHANG)
        status = os.waitstatus_to_exitcode(code) if done else None
        time.sleep(0.02)
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:
        pass
    if status is None:
        os.waitpid(process, 0)
    return -1 if status is None else status


def main():
    for name in PRELOADED:
        if importlib.util.find_spec(name):
            importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
