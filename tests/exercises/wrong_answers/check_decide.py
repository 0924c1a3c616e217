"""Chapter 00: is a difference larger than its noise?"""

from ftlib.evaluation.intervals import bootstrap_interval


def another(first, second):
    low, high = bootstrap_interval([b - a for a, b in zip(first, second)], seed=1)
    if low <= 0 <= high:
        return "undecided"
    return "first" if high < 0 else "second"


def means(first, second):
    return "first" if sum(first) > sum(second) else "second"


def separate(first, second):
    (low1, high1), (low2, high2) = bootstrap_interval(first), bootstrap_interval(second)
    return "first" if low1 > high2 else "second" if low2 > high1 else "undecided"


def one_sided(first, second):
    return (
        "first"
        if bootstrap_interval([a - b for a, b in zip(first, second)])[0] > 0
        else "undecided"
    )


def reversed_sign(first, second):
    return {"first": "second", "second": "first"}.get(
        another(first, second), "undecided"
    )


def truth(first, second):
    return sum(first) > sum(second)


WRONG = [
    (means, "is noise"),
    (separate, "on each subset first"),
    (one_sided, "never says so"),
    (reversed_sign, "subtract the second"),
    (truth, "one of the words"),
]
