"""One style for every file, notebooks included: what ruff's configuration in
pyproject.toml asks for.
"""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def ruff(*words, cwd=ROOT):
    """(status, what it prints) of ruff with this project's configuration."""
    ended = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "--config", ROOT / "pyproject.toml"],
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_every_file_is_formatted():
    status, text = ruff("format", "--check", "--no-cache", ".")
    assert status == 0, text[-3000:]


def test_every_file_passes_the_checks():
    status, text = ruff("check", "--no-cache", "--output-format", "concise", ".")
    assert status == 0, text[-3000:]


FAULTS = {
    "a long line": ("check", "value = '" + "x" * 90 + "'\n", "E501"),
    "an import that nobody uses": ("check", "import os\n", "F401"),
    "imports out of order": ("check", "import sys\nimport os\n\nos, sys\n", "I001"),
    "a name that does not exist": ("check", "print(nowhere)\n", "F821"),
    "two statements in a line": ("check", "a = 1; b = 2\n", "E702"),
    "quotes of the other kind": ("format", "a = 'b'\n", "would be reformatted"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(name, tmp_path, counted):
    command, text, words = FAULTS[name]
    (tmp_path / "sample.py").write_text(text, encoding="utf-8")
    options = ["--check"] if command == "format" else []
    status, printed = ruff(command, *options, "--no-cache", "sample.py", cwd=tmp_path)
    assert status == 1 and words in printed
    counted("fault")
