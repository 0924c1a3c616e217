"""Wrong ways to say that b is better than a, and another right one."""

import numpy as np

from ftlib.evaluation.intervals import bootstrap_interval


def another(right_a, right_b):
    won, lost = ((right_b > right_a).sum(), (right_b < right_a).sum())
    difference = (won - lost) / len(right_a)
    spread = ((right_b - right_a).var() / len(right_a)).sqrt()
    if abs(difference) <= 1.96 * spread or spread == 0:
        return "not shown"
    return "better" if difference > 0 else "worse"


def two_intervals(right_a, right_b):
    a, b = bootstrap_interval(right_a), bootstrap_interval(right_b)
    return "better" if b[0] > a[1] else "worse" if b[1] < a[0] else "not shown"


def larger_mean(right_a, right_b):
    return "better" if right_b.mean() > right_a.mean() else "worse"


def wrong_way_round(right_a, right_b):
    low, high = bootstrap_interval(right_a - right_b)
    return "better" if low > 0 else "worse" if high < 0 else "not shown"


def one_sided(right_a, right_b):
    low, _ = bootstrap_interval(right_b - right_a)
    return "better" if low > 0 else "not shown"


def a_truth_value(right_a, right_b):
    return bool(bootstrap_interval(right_b - right_a)[0] > 0)


def touching_zero(right_a, right_b):
    low, high = bootstrap_interval(right_b - right_a)
    return "better" if low >= 0 else "worse" if high < 0 else "not shown"


def verdict_of(low, high):
    return "better" if low > 0 else "worse" if high < 0 else "not shown"


def half_of_the_draws(right_a, right_b):
    return verdict_of(*bootstrap_interval(right_b - right_a, level=0.5))


def ninety_percent(right_a, right_b):
    return verdict_of(*bootstrap_interval(right_b - right_a, level=0.9))


def nearly_all_draws(right_a, right_b):
    return verdict_of(*bootstrap_interval(right_b - right_a, level=0.999))


def normal(right_a, right_b, error):
    d = right_b - right_a
    half = 1.96 * error(d)
    return verdict_of(d.mean() - half, d.mean() + half)


def without_the_root(right_a, right_b):
    return normal(right_a, right_b, lambda d: d.var() / len(d) ** 0.5)


def divided_by_n(right_a, right_b):
    return normal(right_a, right_b, lambda d: d.std() / len(d))


def two_points(right_a, right_b):
    d = float((right_b - right_a).mean())
    return "better" if d > 0.02 else "worse" if d < -0.02 else "not shown"


def worse_at_zero(right_a, right_b):
    low, high = bootstrap_interval(right_b - right_a)
    return "better" if low > 0 else "worse" if low < 0 and high <= 0 else "not shown"


def better_at_zero(right_a, right_b):
    low, high = bootstrap_interval(right_b - right_a)
    return "better" if low >= 0 and high > 0 else "worse" if high < 0 else "not shown"


def wide_on_one_side(right_a, right_b):
    d = right_b - right_a
    return verdict_of(bootstrap_interval(d)[0], bootstrap_interval(d, level=0.9)[1])


def with_numpy(right_a, right_b):
    """Right: draws of its own, 2000 of them."""
    d, draw = (right_b - right_a).numpy(), np.random.default_rng(3)
    means = d[draw.integers(0, len(d), (2000, len(d)))].mean(1)
    return verdict_of(*np.percentile(means, [2.5, 97.5]))


def population_variance(right_a, right_b):
    """Right: the normal interval, whose variance may be that of the population."""
    return normal(right_a, right_b, lambda d: d.std(unbiased=False) / len(d) ** 0.5)


RIGHT = [with_numpy, population_variance]

WRONG = [
    (two_intervals, "text by text"),
    (larger_mean, "20 texts and loses 17"),
    (wrong_way_round, "b minus a"),
    (one_sided, "side of 0"),
    (a_truth_value, "return one of"),
    (touching_zero, "from 0 to 0"),
    (without_the_root, "218 texts won"),
    (nearly_all_draws, "a wider one"),
    (worse_at_zero, "ends at 0, which it contains, and the verdict is 'worse'"),
    (better_at_zero, "ends at 0, which it contains, and the verdict is 'better'"),
    (wide_on_one_side, "of minus the difference"),
]
