"""supervisor.py: a child that dies comes back, an end that was asked for stays one."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import psutil
import pytest

from ftlib.deploy import supervisor

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def lives(path):
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def noting(path, act):
    def work():
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} ")
        act(len(lives(path)))

    return work


def killed(n):
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_ends_by_itself_is_not_started_again(tmp_path):
    for act, status in ((lambda n: None, 0), (lambda n: sys.exit(), 0)):
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        assert supervisor.keep_alive(noting(path, act), pause=0) == status
        assert len(lives(path)) == 1


def test_a_child_that_dies_at_once_is_given_up(tmp_path):
    assert supervisor.keep_alive(noting(tmp_path / "a", killed), pause=0, most=4) == -9
    assert len(set(lives(tmp_path / "a"))) == 4
    work = noting(tmp_path / "b", lambda n: 1 / 0)
    assert supervisor.keep_alive(work, pause=0, most=3) == 1
    assert len(lives(tmp_path / "b")) == 3


def test_deaths_that_lie_apart_are_forgiven(tmp_path):
    def act(n):
        time.sleep(0.05)
        if n < 6:
            killed(n)

    path = tmp_path / "a"
    assert supervisor.keep_alive(noting(path, act), pause=0, most=3, seconds=0.02) == 0
    assert len(lives(path)) == 6


def test_the_handlers_that_were_there_come_back():
    before = signal.getsignal(signal.SIGTERM)
    supervisor.keep_alive(lambda: None)
    assert signal.getsignal(signal.SIGTERM) is before


SERVICE = """
import pathlib, signal, sys, time
def main(arguments):
    path = pathlib.Path(arguments[0])
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
    with open(path, "a") as file:
        file.write("life ")
    while not ending:
        time.sleep(0.01)
    time.sleep(0.2)  # what was taken
    with open(path, "a") as file:
        file.write("end ")
"""


def until(condition, seconds=20):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds
        time.sleep(0.02)


def test_kill_9_and_then_sigterm(tmp_path):
    """The child is killed and another serves; SIGTERM lets that one finish."""
    (tmp_path / "service.py").write_text(SERVICE, encoding="utf-8")
    path = tmp_path / "notes"
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "ftlib.deploy.supervisor", "service", str(path)]
    process = subprocess.Popen(
        [*command, "--preload"], env={**os.environ, "PYTHONPATH": paths}
    )
    try:
        until(lambda: lives(path) == ["life"])
        (child,) = psutil.Process(process.pid).children()
        child.kill()
        until(lambda: lives(path) == ["life", "life"])
        process.terminate()
        assert process.wait(20) == 0
        assert lives(path) == ["life", "life", "end"]
    finally:
        if process.poll() is None:
            process.kill()
