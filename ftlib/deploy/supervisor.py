"""A service that is back at once: a parent that has imported everything forks a child
that serves, and another one when it dies.

    python -m ftlib.deploy.supervisor ftlib.deploy.serve SHELF --port 8000

Use it, with any function that works until it is told to end:

    >>> notes = Path(tempfile.mkdtemp(), "notes")
    >>> def work():  # dies twice, as by kill -9, and then ends by itself
    ...     with open(notes, "a", encoding="utf-8") as file:
    ...         file.write("life ")
    ...     if notes.stat().st_size < 15:
    ...         os.kill(os.getpid(), signal.SIGKILL)
    >>> keep_alive(work, pause=0)
    0
    >>> notes.read_text(encoding="utf-8")
    'life life life '

Most of a start is imports. The parent does them once and nothing else, so there is
little that could fail in it. The model is loaded in the child, where native code runs.
SIGTERM and control-C go on to the child, which finishes what it took.

What it is not: a cure. A child that dies again and again is given up, and the status
says so to whatever started this (systemd, Kubernetes). Needs: os.fork (Linux, macOS).
"""

import argparse
import collections
import contextlib
import importlib
import logging
import os
import signal
import sys
import tempfile  # noqa: F401  (the example)
import time
from pathlib import Path  # noqa: F401  (the example)

log = logging.getLogger("service")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# what serve.py loads by name, and whose imports take time
PRELOAD = tuple(
    f"ftlib.deploy.{name}" for name in ("export", "batching", "versions", "http_server")
)


class Keeper:
    """The child that runs, and whether the end was asked for."""

    def __init__(self):
        self.child, self.ending = None, False

    def pass_on(self, number, frame):
        """A signal handler: the child ends, and no other follows."""
        self.ending = True
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child, number)

    def run(self, work):
        """Fork work() -> its exit status; negative: the signal that killed it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # none gets lost in between
        self.child = os.fork()
        if self.child == 0:
            for number in SIGNALS:
                signal.signal(number, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            os._exit(_status_of(work))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        _, status = os.waitpid(self.child, 0)
        self.child = None
        return os.waitstatus_to_exitcode(status)


def _status_of(work):
    try:
        work()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(bool(error.code))
    except BaseException:
        log.exception("the service failed")
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def keep_alive(work, pause=0.05, most=5, seconds=60.0) -> int:
    """Run work() in a child, and again when the child dies, until it ends by itself or
    somebody asks -> its last exit status.

    pause: seconds before the next one. A child that dies `most` times in `seconds` is
    given up.
    """
    keeper, deaths = Keeper(), collections.deque(maxlen=most)
    before = {number: signal.signal(number, keeper.pass_on) for number in SIGNALS}
    try:
        while True:
            status = keeper.run(work)
            if status == 0 or keeper.ending:
                return status
            deaths.append(time.monotonic())
            log.error("died", extra={"facts": {"status": status}})
            if len(deaths) == most and deaths[-1] - deaths[0] < seconds:
                return status
            time.sleep(pause)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", help="whose main(arguments) serves")
    parser.add_argument("--preload", nargs="*", default=PRELOAD, metavar="MODULE")
    args, rest = parser.parse_known_args(arguments)
    module = importlib.import_module(args.module)
    for name in args.preload:
        importlib.import_module(name)
    status = keep_alive(lambda: module.main(rest))
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
