"""What the tests share: the tools and the recipes on the path, and small notebooks with
one planted fault each.
"""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "recipes")]


@pytest.fixture
def counted():
    """`counted(kind, number=1, **more)` adds to the counts that tools/test.py prints
    and compares with their floors.
    """
    import importlib.util

    spec = importlib.util.spec_from_file_location("root_conftest", ROOT / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def count(kind, number=1, **more):
        assert kind in module.stages.COUNTS, f"nobody adds up {kind!r}"
        module.record(kind=kind, number=number, **more)

    return count


@pytest.fixture
def mutated(monkeypatch):
    """`mutated(module, old, new)` is the module of ftlib with one piece of its text
    changed: a planted fault, in the library and in what a chapter would show alike.
    """
    import inspect
    import types

    def change(module, old, new):
        text = inspect.getsource(module)
        assert text.count(old) == 1, f"{text.count(old)} times: {old}"
        made = types.ModuleType("mutated")
        made.__package__ = module.__package__  # for `from .shown import ...`
        # where dataclasses look for the names of their module
        monkeypatch.setitem(sys.modules, "mutated", made)
        exec(compile(text.replace(old, new), "mutated", "exec"), vars(made))
        return made

    return change


@pytest.fixture
def two_processes(tmp_path_factory):
    """`two_processes(work)` runs work(rank) in two forked processes that talk over gloo
    -> [exit status]; 0: it returned a true value.
    """
    import signal

    import torch
    import torch.distributed as dist

    def run(work):
        meet, children = tmp_path_factory.mktemp("meet") / "file", []
        for rank in range(2):
            torch.manual_seed(0)
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    signal.alarm(60)
                    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
                    dist.init_process_group(
                        "gloo", init_method=f"file://{meet}", rank=rank, world_size=2
                    )
                    status = 0 if work(rank) else 2
                finally:
                    os._exit(status)
            children.append(pid)
        return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]

    return run


@pytest.fixture
def validate():
    """`validate(path, timeout=...)` runs nbval strictly over a notebook, as
    tools/test.py does.
    """

    def run(path, timeout=60):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--nbval",
            "--nbval-current-env",
            f"--nbval-cell-timeout={timeout}",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            f"--rootdir={path.parent}",
            "-c",
            os.devnull,
            "-p",
            "conftest",
            str(path),
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "offline"), str(ROOT)]),
        }
        for name in ("FTLIB_RECORD", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
            environment.pop(name, None)
        return subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout + 120,
            cwd=path.parent,
        )

    return run
