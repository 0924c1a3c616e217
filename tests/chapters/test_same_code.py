"""A function that a chapter shows whole is the one that ftlib holds: the syntax trees
are equal, docstrings aside. What ftlib puts around it to refuse bad input,
`@checked(...)`, is not on the page: it says nothing about what is taught.
"""

import ast
import copy

import notebooks
import pytest
from syntax import WithoutDocstrings

FTLIB = notebooks.ROOT / "ftlib"


def library():
    """name -> the syntax trees that carry it (several modules have a `load`)."""
    trees = {}
    for path in sorted(FTLIB.glob("*/*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(
                node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
            ) and not node.name.startswith("_"):
                trees.setdefault(node.name, []).append(node)
    return trees


def is_check(decorator):
    """Whether it is `checked(...)`, which looks at the arguments and no more."""
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "checked"


def normal(node):
    return ast.dump(WithoutDocstrings().visit(copy.deepcopy(node)))


def shown(node):
    """A tree of the library as a chapter shows it: without its check."""
    node = copy.deepcopy(node)
    node.decorator_list = [d for d in node.decorator_list if not is_check(d)]
    return normal(node)


def drift(definitions, trees):
    """-> (names compared, names that differ from every ftlib function of that name)."""
    compared = [(name, node) for name, node in definitions if name in trees]
    return [n for n, _ in compared], [
        name for name, node in compared if normal(node) not in map(shown, trees[name])
    ]


@pytest.mark.parametrize("path", notebooks.chapters(), ids=lambda path: path.stem)
def test_chapter_shows_what_ftlib_holds(path, counted):
    compared, drifted = drift(notebooks.definitions(notebooks.read(path)), library())
    assert drifted == [], (
        "these differ from ftlib's; change both, or give the chapter's its own name"
    )
    counted("name", len(compared))


@pytest.mark.parametrize("path", notebooks.chapters(), ids=lambda path: path.stem)
def test_exercises_do_not_use_library_names(path):
    taken = [
        exercise.name
        for exercise in notebooks.exercises(path)
        if exercise.name in library()
    ]
    assert taken == [], "the reader's function would hide ftlib's"


@pytest.mark.skipif(
    not (FTLIB / "objectives" / "mlm.py").exists(),
    reason="there is no ftlib/objectives/mlm.py yet",
)
def test_planted_drift_is_caught(counted):
    """0.8 becomes 0.9 in a copy of mask_tokens: the mistake that no picture and no loss
    curve would show.
    """
    text = (FTLIB / "objectives" / "mlm.py").read_text(encoding="utf-8")
    (original,) = library()["mask_tokens"]
    shown = ast.get_source_segment(text, original)
    assert drift(notebooks.definitions(chapter(shown)), library()) == (
        ["mask_tokens"],
        [],
    )
    assert "0.8" in shown
    changed = (
        shown.replace("0.8", "0.9", 1) if '"""' not in shown else replace_in_code(shown)
    )
    assert drift(notebooks.definitions(chapter(changed)), library()) == (
        ["mask_tokens"],
        ["mask_tokens"],
    )
    counted("fault")


def replace_in_code(shown):
    """0.8 -> 0.9 behind the docstring."""
    head, doc, code = shown.split('"""', 2)
    assert "0.8" in code
    return head + '"""' + doc + '"""' + code.replace("0.8", "0.9")


def chapter(*sources):
    cells = [{"cell_type": "code", "source": text, "metadata": {}} for text in sources]
    return {"cells": cells}


WHOLE = 'def band(x, y=2):\n    """Adds."""\n    return x + y'
TREES = {"band": [ast.parse(WHOLE).body[0]]}
SAME = {
    "the same": WHOLE,
    "another docstring": 'def band(x, y=2):\n    """Shorter."""\n    return x + y',
    "no docstring, a comment": "def band(x, y=2):\n    # why\n    return x + y",
    "beside a magic line": "%pip install x\n" + WHOLE,
}
OTHER = {
    "default": "def band(x, y=3):\n    return x + y",
    "operator": "def band(x, y=2):\n    return x - y",
    "name": "def band(x, z=2):\n    return x + z",
    "decorator": "@cache\ndef band(x, y=2):\n    return x + y",
    "annotation": "def band(x: int, y=2):\n    return x + y",
    "statement": "def band(x, y=2):\n    x = x + 0\n    return x + y",
}


@pytest.mark.parametrize("name", SAME)
def test_docstrings_and_comments_may_differ(name):
    assert drift(notebooks.definitions(chapter(SAME[name])), TREES) == (["band"], [])


@pytest.mark.parametrize("name", OTHER)
def test_everything_else_is_drift(name, counted):
    assert drift(notebooks.definitions(chapter(OTHER[name])), TREES) == (
        ["band"],
        ["band"],
    )
    counted("fault")


@pytest.mark.parametrize(
    "decorator", ["checked(rows)", "cache", "checked", "c.cache()"]
)
def test_a_check_of_the_library_alone_is_not_on_the_page(decorator, counted):
    """The page may leave out `@checked(...)`, nothing else, and must not add it."""
    guarded = f"@{decorator}\n{WHOLE}"
    trees = {"band": [ast.parse(guarded).body[0]]}
    bare = drift(notebooks.definitions(chapter(WHOLE)), trees)
    assert bare == (["band"], [] if decorator == "checked(rows)" else ["band"])
    assert drift(notebooks.definitions(chapter(guarded)), TREES) == (["band"], ["band"])
    counted("fault")


def test_sketches_and_exercises_are_left_out():
    cells = chapter("# sketch\n" + OTHER["default"], OTHER["name"])
    cells["cells"][1]["metadata"]["tags"] = ["exercise"]
    assert drift(notebooks.definitions(cells), TREES) == ([], [])
