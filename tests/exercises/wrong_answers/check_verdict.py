"""Wrong ways to say that b is better than a, and another right one."""

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


WRONG = [
    (two_intervals, "text by text"),
    (larger_mean, "20 texts and loses 17"),
    (wrong_way_round, "b minus a"),
    (one_sided, "side of 0"),
    (a_truth_value, "return one of"),
    (touching_zero, "from 0 to 0"),
]
