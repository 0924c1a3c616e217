"""Chapter 00: is a difference larger than its noise?"""

import math
import statistics

from ftlib.evaluation.intervals import sign_flip_test, t_interval


def another(first, second):
    low, high = t_interval([b - a for a, b in zip(first, second)])
    if low <= 0 <= high:
        return "undecided"
    return "first" if high < 0 else "second"


def means(first, second):
    return "first" if sum(first) > sum(second) else "second"


def separate(first, second):
    (low1, high1), (low2, high2) = t_interval(first), t_interval(second)
    return "first" if low1 > high2 else "second" if low2 > high1 else "undecided"


def one_sided(first, second):
    return (
        "first"
        if t_interval([a - b for a, b in zip(first, second)])[0] > 0
        else "undecided"
    )


def reversed_sign(first, second):
    return {"first": "second", "second": "first"}.get(
        another(first, second), "undecided"
    )


def truth(first, second):
    return sum(first) > sum(second)


def _differences(first, second):
    return [a - b for a, b in zip(first, second)]


def _by(low, high):
    return "first" if low > 0 else "second" if high < 0 else "undecided"


def closed(first, second):
    low, high = t_interval(_differences(first, second))
    return "first" if low >= 0 else "second" if high <= 0 else "undecided"


def rounded(first, second):
    return _by(*t_interval([round(d, 2) for d in _differences(first, second)]))


def the_median(first, second):
    median = statistics.median(_differences(first, second))
    return _by(median - 0.002, median + 0.002)


def most_wins(first, second):
    wins = [d > 0 for d in _differences(first, second) if d]
    share = statistics.mean(wins) if wins else 0.5
    return "first" if share > 0.6 else "second" if share < 0.4 else "undecided"


def wins_everywhere(first, second):
    return _by(min(_differences(first, second)), max(_differences(first, second)))


def _normal(first, second, width, root=math.sqrt):
    differences = _differences(first, second)
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / root(len(differences))
    return _by(mean - width * error, mean + width * error)


def without_the_root_of_n(first, second):
    return _normal(first, second, 1.96, lambda n: 1)


def by_n(first, second):
    return _normal(first, second, 1.96, lambda n: n)


def half_of_the_means(first, second):
    return _by(*t_interval(_differences(first, second), level=0.5))


def nearly_all_of_the_means(first, second):
    return _by(*t_interval(_differences(first, second), level=0.999))


def sorted_apart(first, second):
    return another(sorted(first), sorted(second))


def by_a_test(first, second):
    if sign_flip_test(first, second) > 0.05:
        return "undecided"
    return "first" if sum(first) > sum(second) else "second"


def student(first, second):
    return _normal(first, second, 2.2)


def of_all_means_but_one_percent(first, second):
    return _by(*t_interval(_differences(first, second), level=0.99))


WRONG = [
    (means, "is noise"),
    (separate, "each list alone"),
    (one_sided, "never says so"),
    (reversed_sign, "subtract the second"),
    (truth, "one of the words"),
    (closed, "two lists are equal"),
    (rounded, "do not round"),
    (the_median, "a mean difference of 0.05 is large"),
    (most_wins, "number of wins"),
    (wins_everywhere, "need not win on each"),
    (without_the_root_of_n, "6 of its standard errors"),
    (by_n, "not by N"),
    (half_of_the_means, "too narrow"),
    (nearly_all_of_the_means, "too wide"),
    (sorted_apart, "do not sort"),
]

RIGHT = [by_a_test, student, of_all_means_but_one_percent]
