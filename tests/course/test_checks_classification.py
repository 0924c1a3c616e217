"""Chapter 14's check of a verdict on wrong forms that share their hint with a
catalogued one.
"""

import importlib.util

import pytest
from stages import TESTS

from ftlib.course.checks.classification import check_verdict

FILE = TESTS / "exercises" / "wrong_answers" / "check_verdict.py"


def catalogue():
    spec = importlib.util.spec_from_file_location("check_verdict", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name, words",
    [
        ("half_of_the_draws", "a narrower one"),
        ("ninety_percent", "a narrower one"),
        ("divided_by_n", "20 texts and loses 17"),
        ("two_points", "a narrower one"),
    ],
)
def test_wrong_form_with_a_shared_hint(name, words, counted):
    verdict = check_verdict(getattr(catalogue(), name))
    assert verdict.status == "hint" and words in repr(verdict)
    counted("wrong answer")
