"""Comparisons that the checkers share: what is near, what is rounded, what is used."""

import functools
import math

import pytest
import torch

from ftlib.course.checks import correct, exercise
from ftlib.course.checks.numeric import (
    expect_none_of,
    expect_unrounded,
    near,
    uses,
)


def test_near_takes_float32_and_nothing_coarser():
    for number in (0.1679324, 2.0731432, 15.256413, 2360.3941):
        assert near(float(torch.tensor(number, dtype=torch.float32)), number)
        assert not near(number + 2e-5 * max(1, number), number)
    assert not near(math.nan, 1.0) and not near(math.inf, 1.0)


@exercise
def check_number(answer):
    got = float(answer())
    expect_none_of(got, 2.0731432, [(4.1462864, "twice"), (2.0731432, "correct")])
    expect_unrounded(got, 2.0731432, "the number")
    return correct("found")


@pytest.mark.parametrize("digits", range(1, 5))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_rounded_result_is_told_so(digits, dtype, counted):
    rounded = torch.tensor(round(2.0731432, digits), dtype=dtype)
    assert "the number is rounded" in repr(check_number(lambda: rounded))
    counted("fault")


def test_a_right_number_is_never_taken_for_a_wrong_one():
    assert check_number(lambda: 2.0731432)
    assert check_number(lambda: torch.tensor(2.0731432))
    assert "twice" in repr(check_number(lambda: 4.1462864))


def library(x, y):
    """A function of the library."""
    return math.sqrt(x) + y


def as_in_a_chapter():
    # the same text with a comment for a docstring
    scope = {"math": math}
    exec("def library(x, y):\n    # adds\n    return math.sqrt(x) + y", scope)
    return scope["library"]


def own_of_that_name():
    scope = {}
    exec("def library(x, y):\n    return x**0.5 + y", scope)
    return scope["library"]


def answer_with(function):
    """A reader's function that calls `function` by its name, inside another one."""
    scope = {"library": function}
    exec(
        "def answer(x):\n    def add(y):\n        return library(x, y)\n"
        "    return add(1)",
        scope,
    )
    return scope["answer"]


@pytest.mark.parametrize("function", [library, as_in_a_chapter()])
def test_a_call_of_the_library_by_name_is_seen(function, counted):
    @exercise
    def check_uses(answer):
        return correct(f"{answer(4)} {uses(answer, library)}")

    assert check_uses(answer_with(function)).message == "3.0 True"
    counted("fault")


def test_the_librarys_function_behind_a_check_is_seen(counted):
    """The chapter shows it without the check of its arguments."""

    @functools.wraps(library)
    def guarded(*arguments):
        return library(*arguments)

    assert uses(answer_with(as_in_a_chapter()), guarded)
    assert uses(answer_with(guarded), guarded)
    assert not uses(answer_with(own_of_that_name()), guarded)
    counted("fault")


def test_an_own_function_of_the_same_name_is_fine():
    assert not uses(answer_with(own_of_that_name()), library)
    assert not uses(answer_with(print), library) and not uses(print, library)
