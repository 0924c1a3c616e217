"""Chapter 19's checkers on more right forms than `another`, and on wrong ones that
share their hint with a catalogued one.
"""

import importlib.util

import pytest
from stages import TESTS

from ftlib.course.checks import lora as checks

FOLDER = TESTS / "exercises" / "wrong_answers"


def catalogue(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RIGHT = [
    (name, form)
    for name in ("check_start_pair", "check_largest_rank", "check_repaired_layer")
    for form in catalogue(name).RIGHT
]


@pytest.mark.parametrize("name, form", RIGHT, ids=[form.__name__ for _, form in RIGHT])
def test_right_form(name, form):
    for _ in range(20):  # a start is random: no draw may be refused
        assert getattr(checks, name)(form).status == "correct"


@pytest.mark.parametrize(
    "name, form, words",
    [
        ("check_largest_rank", "largest_layer_only", "ANY layer"),
        ("check_repaired_layer", "a_free_copy", "base still trains"),
    ],
)
def test_wrong_form_with_a_shared_hint(name, form, words):
    verdict = getattr(checks, name)(getattr(catalogue(name), form))
    assert verdict.status == "hint" and words in repr(verdict)
