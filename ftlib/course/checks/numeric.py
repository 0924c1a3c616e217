"""Comparing a reader's numbers with the expected ones, for the checks of every topic.

>>> from ftlib.course.checks.numeric import near
>>> near(2.0000001, 2.0), near(2.0001, 2.0)
(True, False)

What it is not: a bound for sums of many float32 numbers; those come nearer to 1e-6 of
the sum than to 1e-7 of it, and that is what the default allows.
Needs: torch, and the hints of `ftlib.course.checks`.
"""

import torch

from ftlib.course.checks import expect


def near(got, expected, within=1e-5, of=3e-6):
    """Closer than two right answers in float32 differ: `within`, or `of` of the
    expected number if that is more. False for NaN.
    """
    return abs(got - expected) <= max(within, of * abs(expected))


def close(a, b, tolerance=1e-6):
    """Whether two numbers, or tensors of one, differ by less than the tolerance."""
    return abs(float(a) - float(b)) < tolerance


def is_rounded(value, expected):
    """Whether `value` is `expected` rounded to some digits, and not `expected`."""
    return not close(value, expected) and any(
        abs(float(value) - round(float(expected), k)) < 1e-7 for k in range(1, 7)
    )


def rounded_tensor(value, expected):
    """Whether `value` is the tensor `expected` rounded to some digits, and not it."""
    value, expected = value.detach().double(), expected.detach().double()
    return not torch.allclose(value, expected, atol=1e-6) and any(
        torch.allclose(value, expected.round(decimals=k), atol=1e-6, rtol=0)
        for k in range(1, 6)
    )


def expect_none_of(got, expected, wrong):
    """A hint for each known wrong number [(number, hint)], unless `got` is right."""
    for value, words in wrong:
        expect(near(got, expected) or not near(got, value), words)


def expect_unrounded(got, expected, what):
    """A hint if `got` is the expected number with fewer digits."""
    # a small whole number may have come about in many ways
    for digits in range(0 if abs(expected) >= 10 else 1, 6):
        fewer = round(expected, digits)
        expect(
            # a rounded float32 is 1e-7 off
            near(got, expected)
            or not fewer
            or not near(got, fewer, within=1e-9, of=1e-7),
            f"{what} is rounded, {got:.7g} for {expected:.7g}; return the number as "
            "it is",
        )


def two_numbers(result, names):
    """Two plain floats of a tuple, a list, an array or a tensor; `names` says which."""
    several = hasattr(result, "__len__") and getattr(result, "ndim", 1) == 1
    expect(
        several and not hasattr(result, "keys") and len(result) == 2,
        f"return two numbers: ({names})",
    )
    return tuple(float(x.detach() if hasattr(x, "detach") else x) for x in result)


def uses(answer, *functions):
    """Whether the code of the reader's function names one of `functions`, imported by
    name or written out as in a chapter's cell. A call through a module is for `forbid`.
    """
    function = getattr(answer, "__wrapped__", answer)
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    functions_named = [function.__globals__.get(name) for name in _names(code)]
    return any(_alike(f, g) for f in functions_named for g in functions)


def _names(code):
    """The names in a function's code and in that of the functions inside it."""
    names = set(code.co_names)
    for part in code.co_consts:
        if hasattr(part, "co_names"):
            names |= _names(part)
    return names


def _alike(one, other):
    """The same function, or its text in another place: a chapter shows comments where
    the library has a docstring.
    """
    # the library's may stand behind a check of its arguments, the chapter's does not
    plain = [getattr(f, "__wrapped__", f) for f in (one, other)]
    codes = [getattr(f, "__code__", None) for f in plain]
    if one is other or None in codes:
        return one is other
    names = [(c.co_name, c.co_varnames, c.co_names) for c in codes]
    return names[0] == names[1]
