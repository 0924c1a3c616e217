"""Processes for tests of what survives one: `from forked import child`."""

import os
import sys


def child(work):
    """Run `work` in a forked process -> its wait status (0: it returned); an exception
    is written to stderr and gives 256.
    """
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
    return os.waitpid(pid, 0)[1]
