"""The measurements can be repeated: each benchmark runs at a tiny size, and the page of
tables is the one its records give.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "benchmarks"


def renderer():
    spec = importlib.util.spec_from_file_location("render", FOLDER / "render.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_records(monkeypatch, counted):
    render, page = renderer(), (FOLDER / "README.md").read_text(encoding="utf-8")
    assert render.page() == page
    # the control: other numbers give another page
    read = render.read
    monkeypatch.setattr(
        render, "read", lambda name: {**read(name), "machine": "another machine"}
    )
    assert render.page() != page
    counted("fault")


@pytest.mark.parametrize(
    "name, words",
    [
        ("mlm_step", "Trainer"),
        ("loop", "steps"),
        ("pipeline", "mask"),
        ("changes", "everywhere"),
    ],
)
def test_a_benchmark_runs(name, words):
    root = str(FOLDER.parent)
    ended = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", "--quick"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
        },
    )
    assert ended.returncode == 0 and words in ended.stdout, ended.stderr[-2000:]
