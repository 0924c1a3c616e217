"""Each file of ftlib can be copied alone into another project: it imports, its own
example runs, and it is small.
"""

import ast
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from jupyter_client.manager import start_new_kernel

ROOT = pathlib.Path(__file__).resolve().parent.parent
FTLIB = ROOT / "ftlib"
ROOMS = ("data", "models", "objectives", "training", "evaluation", "deploy")
MODULES = sorted(
    path
    for room in ROOMS
    for path in (FTLIB / room).glob("*.py")
    if path.stem != "__init__"
)
# lines of a file formatted at 88 columns, statements of a function
LINES, FUNCTION = (60, 450), 40

# Runs as a script of the folder that holds the one file, so the folder stands first on
# the path, as it does for a reader: a file named as something that torch imports would
# break `import torch`. ftlib is blocked by name (it is installed in the test
# environment), the network too.
ALONE = """
import pathlib, sys
exec(compile(pathlib.Path(sys.argv[2]).read_text(), "offline", "exec"))
sys.modules["ftlib"] = None
import torch
import doctest, importlib
name = sys.argv[1]
module = importlib.import_module(name)
home = pathlib.Path(module.__file__).parent
assert home == pathlib.Path.cwd(), f"{name} lies in {home}, not here"
result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
found = doctest.DocTestFinder(recurse=False).find(module)
assert found[0].examples, "no example (a line with >>>)"
print("examples", result.attempted)
sys.exit(result.failed > 0)
"""


def run_alone(path, folder):
    """Copy `path` into the empty `folder` and run its examples there -> the finished
    process.
    """
    assert list(folder.iterdir()) == []
    shutil.copy(path, folder)
    (folder / "run_examples.py").write_text(ALONE, encoding="utf-8")
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH"
    }
    return subprocess.run(
        [
            sys.executable,
            "run_examples.py",
            path.stem,
            str(ROOT / "tests/offline/sitecustomize.py"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


def inner_imports(tree, package="ftlib"):
    """Every way in which a module reaches for another module of the package ->
    [description].
    """
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (
            node.level or (node.module or "").split(".")[0] == package
        ):
            found.append(
                f"line {node.lineno}: from "
                f"{'.' * node.level}{node.module or ''} import ..."
            )
        if isinstance(node, ast.Import):
            found += [
                f"line {node.lineno}: import {a.name}"
                for a in node.names
                if a.name.split(".")[0] == package
            ]
        if isinstance(node, ast.Call) and getattr(
            node.func, "attr", getattr(node.func, "id", "")
        ) in (
            "import_module",
            "__import__",
        ):
            name = (
                node.args[0].value
                if node.args and isinstance(node.args[0], ast.Constant)
                else ""
            )
            if str(name).split(".")[0] == package:
                found.append(f"line {node.lineno}: import by name")
    return found


def sizes(text):
    """Where a module is outside the sizes -> [description]."""
    count = len(text.splitlines())
    found = (
        []
        if LINES[0] <= count <= LINES[1]
        else [f"{count} lines, between {LINES[0]} and {LINES[1]} are readable"]
    )
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = sum(isinstance(part, ast.stmt) for part in ast.walk(node)) - 1
            if inside > FUNCTION:
                found.append(f"{node.name}: {inside} statements, at most {FUNCTION}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module_works_alone(path, tmp_path, counted):
    result = run_alone(path, tmp_path)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    counted("copied")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module_imports_no_other(path):
    assert inner_imports(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module_is_small(path):
    assert sizes(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_public_names_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [
        n
        for n in tree.body
        if isinstance(n, (ast.FunctionDef, ast.ClassDef))
        and not n.name.startswith("_")
        and n.name != "main"
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


def test_all_files_together_break_nothing(tmp_path):
    """Every copyable file in one folder, and a notebook kernel started there: torch and
    the kernel still import.
    """
    for path in MODULES:
        shutil.copy(path, tmp_path)
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH"
    }
    manager, client = start_new_kernel(cwd=str(tmp_path), env=environment)
    try:
        names = ", ".join(path.stem for path in MODULES)
        reply = client.execute_interactive(
            f"import torch, transformers, {names}",
            timeout=120,
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok", reply["content"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_file_hides_another_package(path):
    assert path.stem not in sys.stdlib_module_names
    assert path.stem not in {
        name.split(".")[0] for name in importlib.metadata.packages_distributions()
    }


def test_a_name_of_the_standard_library_is_caught(tmp_path, counted):
    """What happened: a file called tokenize.py, copied into a folder, broke `import
    torch` there.
    """
    (tmp_path / "tokenize.py").write_text(GOOD, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    assert run_alone(tmp_path / "tokenize.py", tmp_path / "empty").returncode != 0
    counted("fault")


def test_import_ftlib_is_light():
    heavy = ("torch", "transformers", "numpy", "matplotlib", "tokenizers")
    code = (
        f"import sys, ftlib; print([name for name in {heavy} if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
        ).stdout.strip()
        == "[]"
    )


def test_the_map_names_every_module():
    documentation = (
        ast.get_docstring(
            ast.parse((FTLIB / "__init__.py").read_text(encoding="utf-8"))
        )
        or ""
    )
    assert [path.name for path in MODULES if path.stem not in documentation] == []


# --- planted faults

GOOD = '"""Doubles.\n\n>>> double(2)\n4\n"""\n\n\ndef double(x):\n    return 2 * x\n'
BAD = {
    "reaches for a neighbour": "import seed\n",
    "reaches for the package": "import ftlib.course.reproducibility\n",
    "reaches relatively": "from . import seed\n",
    "goes to the network": "import socket\nsocket.getaddrinfo('example.org', 80)\n",
}


def plant(tmp_path, text):
    path = tmp_path / "double.py"
    path.write_text(text, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    return run_alone(path, tmp_path / "empty")


def test_good_module_passes(tmp_path):
    result = plant(tmp_path, GOOD)
    assert result.returncode == 0 and result.stdout.strip() == "examples 1", (
        result.stderr
    )


@pytest.mark.parametrize("name", BAD)
def test_needy_module_is_caught(name, tmp_path, counted):
    assert plant(tmp_path, GOOD + BAD[name]).returncode != 0
    counted("fault")


@pytest.mark.parametrize(
    "text", [GOOD.replace("\n4\n", "\n5\n"), GOOD.replace(">>> double(2)\n4", "")]
)
def test_wrong_or_missing_example_is_caught(text, tmp_path, counted):
    assert text != GOOD and plant(tmp_path, text).returncode != 0
    counted("fault")


@pytest.mark.parametrize(
    "text",
    [
        "from ftlib import plot",
        "import ftlib.course.plot as p",
        "from . import plot",
        "from .plot import show",
        "def f():\n    from ftlib.plot import show",
        "import importlib\nimportlib.import_module('ftlib.course.plot')",
        "__import__('ftlib')",
    ],
)
def test_inner_import_is_caught(text, counted):
    assert inner_imports(ast.parse(text))
    counted("fault")


def test_sizes_are_caught(counted):
    body = "\n".join("    x = 1" for _ in range(60))
    assert (
        sizes("x = 1\n" * 59)
        and sizes("x = 1\n" * 451)
        and sizes(f"def f():\n{body}\n" + "x = 1\n" * 40)
    )
    assert not sizes("x = 1\n" * 60)
    counted("fault", 3)
