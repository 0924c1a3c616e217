"""Files of ftlib import nothing from each other, so what two of them need stands in
both: a twin. Twins have one syntax tree, and no public function drifts away unseen.
"""

import ast
import collections
import pathlib
import re

import pytest
from syntax import WithoutDocstrings

FTLIB = pathlib.Path(__file__).resolve().parent.parent / "ftlib"
TWINS = {"freeze", "in_eval_mode", "pad", "trainable"}
# one verb for different things: a file's own `load` is its namesake's no twin
NAMESAKES = {"load", "predict", "save"}
ROOMS = "data models objectives training evaluation deploy".split()


def functions():
    """name -> [(file, syntax tree without docstring)] of the public functions of ftlib
    outside course/.
    """
    found = collections.defaultdict(list)
    for path in sorted(p for room in ROOMS for p in (FTLIB / room).glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                tree = ast.dump(WithoutDocstrings().visit(node))
                found[node.name].append((path.name, tree))
    return found


def drifted(found):
    """The names in several files whose syntax trees differ, namesakes aside."""
    return {
        name
        for name, places in found.items()
        if name not in NAMESAKES and len({tree for _, tree in places}) > 1
    }


def test_twins_are_equal():
    found = functions()
    assert not drifted(found)
    several = {name for name, places in found.items() if len(places) > 1}
    assert TWINS == several - NAMESAKES
    assert NAMESAKES <= several


def test_a_twin_that_drifts_is_caught(counted):
    found = functions()
    file, tree = found["pad"][0]
    found["pad"][0] = (file, tree.replace("'input_ids'", "'ids'"))
    assert drifted(found) == {"pad"}
    counted("fault")


# the state of a generator from (seed, epoch[, row]), wherever one is made
EPOCH = re.compile(r"seed \* 1_000_003 \+ (epoch|number)\b")
PRIMES = re.compile(r"\b1_000_003\b")


@pytest.mark.parametrize("room", ROOMS)
def test_one_formula_makes_every_seed(room):
    """Two answers to "which seed has epoch 3" would be two orders of the same rows."""
    for path in (FTLIB / room).glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(PRIMES.findall(text)) == len(EPOCH.findall(text)), path.name
