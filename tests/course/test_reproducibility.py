"""ftlib/course/reproducibility.py: the same seed gives the same numbers, and machine()
says nothing about who you are.
"""

import getpass
import platform
import random
import re
import shutil
import subprocess
import sys

import numpy
import pytest
import torch

from ftlib.course import reproducibility


def draw():
    return random.random(), float(numpy.random.rand()), float(torch.rand(()))


def test_the_three_generators_are_seeded():
    reproducibility.seed_everything(3)
    first = draw()
    assert all(
        a != b for a, b in zip(first, draw())
    )  # the control: without a seed they go on
    reproducibility.seed_everything(3)
    assert draw() == first
    reproducibility.seed_everything(4)
    assert all(a != b for a, b in zip(first, draw()))


def test_threads():
    before = torch.get_num_threads()
    try:
        reproducibility.seed_everything(0, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


class Machine:
    """A clock that goes on as a step with so many threads takes it, in turn."""

    def __init__(self, **seconds):
        self.now, self.seconds = 0.0, {int(k[1:]): v for k, v in seconds.items()}
        self.turns = dict.fromkeys(self.seconds, 0)

    def step(self):
        threads = torch.get_num_threads()
        each = self.seconds[threads]
        self.now += each[self.turns[threads] % len(each)]
        self.turns[threads] += 1

    def clock(self):
        return self.now


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "one, two, best",
    [
        ([0.010], [0.006], 2),  # an idle machine
        ([0.010], [0.050], 1),  # a busy one: five times slower
        ([0.010], [0.0095], 1),  # not worth a core
        # mostly faster, but one step in four waits for a core
        ([0.010], [0.006, 0.006, 0.006, 0.040], 1),
        # what the first turn costs does not count
        ([0.010], [0.9] + [0.006] * 1000, 2),
    ],
)
def test_the_faster_number_of_threads_is_taken(one, two, best, two_threads):
    machine = Machine(t1=one, t2=two)
    said = reproducibility.pick_threads(1.0, machine.step, machine.clock)
    assert torch.get_num_threads() == best
    assert said.startswith(f"{best} thread") and "10.0 ms with 1" in said
    # about as long as it was told to, and both equally often
    assert machine.now < 2.1 and machine.turns[1] == machine.turns[2] > 2


def test_a_slow_machine_is_asked_twice(two_threads):
    machine = Machine(t1=[3.0], t2=[2.0])
    said = reproducibility.pick_threads(1.0, machine.step, machine.clock)
    assert machine.turns == {1: 2, 2: 2} and "2000.0 ms with 2" in said


def test_a_number_that_is_given_stays(two_threads, monkeypatch):
    def never():
        raise AssertionError("it was timed")

    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    said = reproducibility.pick_threads(step=never)
    assert said == "2 threads, as OMP_NUM_THREADS says"
    torch.set_num_threads(1)
    monkeypatch.delenv("OMP_NUM_THREADS")
    said = reproducibility.pick_threads(step=never)
    assert said == "1 thread, as this machine says"


def test_a_notebook_on_busy_cores_takes_fewer_threads_and_says_so(
    two_threads, monkeypatch, capsys
):
    probes = []

    def one():
        probes.append(1)
        torch.set_num_threads(1)
        return "1 thread: because"

    monkeypatch.setattr(reproducibility, "pick_threads", one)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    reproducibility._threads_of_a_notebook.cache_clear()
    reproducibility.seed_everything(0)
    assert probes == []  # a program asks for itself
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    reproducibility.seed_everything(0)
    reproducibility.seed_everything(0, threads=2)
    monkeypatch.delenv("OMP_NUM_THREADS")
    reproducibility.seed_everything(0, threads=2)
    assert probes == []  # who says how many is obeyed
    reproducibility.seed_everything(0)
    assert probes == [1] and torch.get_num_threads() == 1
    assert (
        capsys.readouterr().out
        == "Fewer threads are faster here now. 1 thread: because\n"
    )
    reproducibility.seed_everything(0)
    assert probes == [1] and capsys.readouterr().out == ""
    reproducibility._threads_of_a_notebook.cache_clear()


def test_a_notebook_on_quiet_cores_says_nothing(two_threads, monkeypatch, capsys):
    monkeypatch.setattr(reproducibility, "pick_threads", lambda: "2 threads: because")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    reproducibility._threads_of_a_notebook.cache_clear()
    reproducibility.seed_everything(0)
    assert torch.get_num_threads() == 2 and capsys.readouterr().out == ""
    reproducibility._threads_of_a_notebook.cache_clear()


def test_the_probe_draws_no_random_number(two_threads):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    said = reproducibility.pick_threads(seconds=0.05)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() in (1, 2) and "ms with 1 and" in said


@pytest.mark.parametrize(
    "arguments, words",
    [((-1,), "seed is -1"), ((2**32,), "2\\*\\*32 - 1"), ((0, 0), "threads is 0")],
)
def test_values_outside_the_limits_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        reproducibility.seed_everything(*arguments)


def test_machine_is_one_line_without_names():
    line = reproducibility.machine()
    assert (
        "\n" not in line
        and f"{reproducibility.cores()} core" in line
        and "bf16" in line
        and "/" not in line.replace("w/", "")
    )
    assert platform.node() not in line.split(", ")
    assert getpass.getuser() not in line.split()


@pytest.mark.parametrize("count, words", [(1, "1 core"), (2, "2 cores")])
def test_machine_says_what_was_found(count, words, monkeypatch):
    monkeypatch.setattr(reproducibility, "cores", lambda: count)
    monkeypatch.setattr(reproducibility, "memory_gb", lambda: 7.6)
    monkeypatch.setattr(reproducibility, "has_bf16", lambda: count == 2)
    said = reproducibility.machine().split(", ")
    start = said.index(words)
    assert said[start + 1 : start + 3] == ["8 GB", "bf16" if count == 2 else "no bf16"]
    monkeypatch.setattr(reproducibility, "memory_gb", lambda: None)
    assert "memory unknown" in reproducibility.machine().split(", ")


def test_memory_is_plausible():
    assert (
        reproducibility.memory_gb() is None or 0.5 < reproducibility.memory_gb() < 1e5
    )


def test_versions():
    # a build's local part ("+cpu", "+cu130") is in torch.__version__ and need not be in
    # the package's version
    before = f"Python {platform.python_version()}, torch "
    build, found = (
        torch.__version__,
        reproducibility.versions(("torch", "no-such-package")),
    )
    assert found in (before + build, before + build.split("+")[0])


# --- the commit


def git(folder, *words):
    names = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=0"]
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    """A repository with one followed file in recipes/."""
    folder = tmp_path / "course"
    (folder / "recipes").mkdir(parents=True)
    (folder / "recipes" / "run.py").write_text("a = 1\n", encoding="utf-8")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_the_one_of_the_files_own_repository(
    repository, tmp_path, monkeypatch, counted
):
    """Whatever folder you are in: asked there, another project's commit would be
    recorded, or none.
    """
    file = repository / "recipes" / "run.py"
    monkeypatch.chdir(tmp_path)
    commit = reproducibility.commit(file)
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert reproducibility.changed(file) is False
    file.write_text("a = 2\n", encoding="utf-8")
    assert reproducibility.changed(file) is True
    monkeypatch.chdir(repository)
    assert reproducibility.commit(tmp_path / "elsewhere.py") is None
    # an environment inside of the repository, which it ignores
    (repository / ".gitignore").write_text(".venv/\n", encoding="utf-8")
    (repository / ".venv").mkdir()
    (repository / ".venv" / "reproducibility.py").write_text("", encoding="utf-8")
    assert reproducibility.commit(repository / ".venv" / "reproducibility.py") is None
    counted("fault", 2)


def test_without_git_the_commit_is_unknown(monkeypatch, tmp_path, counted):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert reproducibility.commit() is None and reproducibility.changed() is None
    counted("fault")


def test_memory_of_windows_is_the_second_field(monkeypatch):
    """The structure tells its own size in its first 32 bits, or Windows refuses it."""
    import ctypes
    import types

    def fill(pointer):
        fields = pointer._obj
        ctypes.cast(fields, ctypes.POINTER(ctypes.c_ulonglong))[1] = 16 * 2**30
        return int(fields[0] & 0xFFFFFFFF == 64)

    kernel32 = types.SimpleNamespace(GlobalMemoryStatusEx=fill)
    windll = types.SimpleNamespace(kernel32=kernel32)
    monkeypatch.setattr(ctypes, "windll", windll, raising=False)
    assert reproducibility._windows_memory() == 16 * 2**30
