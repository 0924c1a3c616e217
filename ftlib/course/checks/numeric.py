"""Comparing a reader's numbers with the expected ones, for the checks of every topic.

>>> from ftlib.course.checks.numeric import near
>>> near(2.0000001, 2.0), near(2.0001, 2.0)
(True, False)

What it is not: a bound for sums of many float32 numbers; those come nearer to 1e-6 of
the sum than to 1e-7 of it, and that is what the default allows.
Needs: the standard library, and the hints of `ftlib.course.checks`.
"""

from ftlib.course.checks import expect


def near(got, expected, within=1e-5, of=3e-6):
    """Closer than two right answers in float32 differ: `within`, or `of` of the
    expected number if that is more. False for NaN.
    """
    return abs(got - expected) <= max(within, of * abs(expected))


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


def uses(answer, *names):
    """Whether the code of the reader's function has one of `names`, wherever that was
    defined.
    """
    code = getattr(getattr(answer, "__wrapped__", answer), "__code__", None)
    return code is not None and _has(code, names)


def _has(code, names):
    """Functions inside the function are its constants."""
    inner = [part for part in code.co_consts if hasattr(part, "co_names")]
    return bool(set(names) & set(code.co_names)) or any(_has(c, names) for c in inner)
