"""Write constraints.txt: one list of exact versions for every Python and every system.

    python tools/lock.py                           keep the pins that still fit
    python tools/lock.py --upgrade                 the newest of everything but torch
    python tools/lock.py --upgrade-package torch   the newest of this one

uv resolves all extras of pyproject.toml at once, for Python 3.11.0 and later on every
system. Where no version serves all of them, a package has several lines, and markers
behind the versions say which line is for whom. torch moves only when it is named: the
last digits of the chapters' stored numbers follow its version.

After a change: `make env`, then `make test`.
"""

import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIRST_PYTHON = "3.11.0"
HEADER = """\
# The exact versions this course is tested with, for Python 3.11.0 and later on Linux,
# macOS and Windows. `make` installs with them; pyproject.toml holds the ranges.
# Written by tools/lock.py: do not edit. torch's line has no "+cpu" behind its version,
# so that it fits every platform's build.
"""


def plain(text: str) -> str:
    """uv's list without comments and without local versions ("+cpu").

    >>> plain("# made by uv\\ntorch==2.13.0+cpu ; python_version < '4'\\n")
    "torch==2.13.0 ; python_version < '4'\\n"
    """
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return "".join(re.sub(r"(==[^\s+]+)\+\S+", r"\1", line) + "\n" for line in lines)


def held(text: str, arguments: list[str]) -> str:
    """The line that keeps torch where it is; empty if torch is named to be moved.

    >>> held("six==1.17.0\\ntorch==2.13.0\\n", ["--upgrade"])
    'torch==2.13.0\\n'
    >>> held("torch==2.13.0\\n", ["--upgrade-package", "torch"])
    ''
    """
    if any(word in ("torch", "--upgrade-package=torch") for word in arguments):
        return ""
    return "".join(line + "\n" for line in text.splitlines() if line[:7] == "torch==")


def index_options() -> list[str]:
    """pip's configured indexes as options of uv, as tools/bootstrap.py reads them."""
    spec = importlib.util.spec_from_file_location(
        "bootstrap", ROOT / "tools" / "bootstrap.py"
    )
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    return bootstrap.uv_options(bootstrap.pip_settings([sys.executable, "-m", "pip"]))


def main(arguments: list[str]) -> int:
    """Resolve and write -> uv's exit status; the file changes only if it is 0."""
    target = ROOT / "constraints.txt"
    before = target.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        output, limits = pathlib.Path(folder, "out.txt"), pathlib.Path(folder, "in.txt")
        output.write_text(plain(before), encoding="utf-8")  # uv prefers what it holds
        limits.write_text(held(before, arguments), encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "--universal", "-q"]
        command += ["--python-version", FIRST_PYTHON, "--all-extras", "pyproject.toml"]
        command += ["--no-header", "--no-annotate", "-c", limits, "-o", output]
        run = subprocess.run([*command, *index_options(), *arguments], cwd=ROOT)
        if run.returncode == 0:
            text = HEADER + plain(output.read_text(encoding="utf-8"))
            target.write_text(text, encoding="utf-8", newline="\n")
    return run.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
