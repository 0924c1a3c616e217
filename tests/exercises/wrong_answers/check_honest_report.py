"""Wrong reports, and another right one."""

import collections
import hashlib
import random

import scipy.stats

from ftlib.data.tables import bucket
from ftlib.evaluation import intervals


def report(train, test, fit, base=None, level=0.95):
    model = fit([t for t, _ in train], [y for _, y in train])
    right = [
        float(said == y) for said, (_, y) in zip(model([t for t, _ in test]), test)
    ]
    usual = collections.Counter(y for _, y in train).most_common(1)[0][0]
    low, high = intervals.bootstrap_interval(right, level=level)
    base = (
        sum(y == usual for _, y in test) / len(test)
        if base is None
        else base(train, test)
    )
    return {
        "n": len(test),
        "accuracy": sum(right) / len(test),
        "low": low,
        "high": high,
        "baseline": base,
    }


def by_text(texts, labels, limit=80):
    rows = list(zip(texts, labels))
    return [r for r in rows if bucket(r[0]) < limit], [
        r for r in rows if bucket(r[0]) >= limit
    ]


def another(texts, labels, fit):
    """Another hash, each text once, Wilson's interval."""
    rows = sorted(dict(zip(texts, labels)).items())
    side = {t: hashlib.md5(t.encode()).digest()[0] < 80 for t, _ in rows}
    train, test = [r for r in rows if not side[r[0]]], [r for r in rows if side[r[0]]]
    found = report(train, test, fit)
    found["low"], found["high"] = intervals.wilson_interval(
        round(found["accuracy"] * len(test)), len(test)
    )
    return found


def as_printed(texts, labels, fit):
    model = fit(texts, labels)
    right = [answer == label for answer, label in zip(model(texts[:3]), labels[:3])]
    return {"accuracy": sum(right) / 3}


def all_trained(texts, labels, fit):
    return report(list(zip(texts, labels)), by_text(texts, labels)[1], fit)


def asked_training(texts, labels, fit):
    train, _ = by_text(texts, labels)
    return report(train, train, fit)


def by_row(texts, labels, fit):
    rows = list(zip(texts, labels))
    return report([r for i, r in enumerate(rows) if i % 5], rows[::5], fit)


def by_position(texts, labels, fit):
    rows = list(zip(texts, labels))
    return report(rows[:480], rows[480:], fit)


def too_much(texts, labels, fit):
    return report(*by_text(texts, labels, 30), fit)


def no_baseline(texts, labels, fit):
    found = report(*by_text(texts, labels), fit)
    del found["baseline"]
    return found


def coin(texts, labels, fit):
    return report(*by_text(texts, labels), fit, base=lambda train, test: 0.5)


def share_in_training(texts, labels, fit):
    return report(
        *by_text(texts, labels),
        fit,
        base=lambda train, test: (
            max(collections.Counter(y for _, y in train).values()) / len(train)
        ),
    )


def one_deviation(texts, labels, fit):
    return report(*by_text(texts, labels), fit, level=0.68)


def of_single_answers(texts, labels, fit):
    found = report(*by_text(texts, labels), fit)
    spread = (found["accuracy"] * (1 - found["accuracy"])) ** 0.5
    return {
        **found,
        "low": found["accuracy"] - 1.96 * spread,
        "high": found["accuracy"] + 1.96 * spread,
    }


def counted_all(texts, labels, fit):
    return {**report(*by_text(texts, labels), fit), "n": len(texts)}


def commonest_of_the_test_set(texts, labels, fit):
    def base(train, test):
        return max(collections.Counter(y for _, y in test).values()) / len(test)

    return report(*by_text(texts, labels), fit, base=base)


def always_class_0(texts, labels, fit):
    def base(train, test):
        return sum(y == 0 for _, y in test) / len(test)

    return report(*by_text(texts, labels), fit, base=base)


def always_a_third(texts, labels, fit):
    return report(*by_text(texts, labels), fit, base=lambda train, test: 1 / 3)


def _level(texts, labels, fit, level):
    return report(*by_text(texts, labels), fit, level=level)


def fifty(texts, labels, fit):
    return _level(texts, labels, fit, 0.5)


def ninety(texts, labels, fit):
    return _level(texts, labels, fit, 0.9)


def ninety_nine(texts, labels, fit):
    return _level(texts, labels, fit, 0.99)


def _around(found, half):
    return {**found, "low": found["accuracy"] - half, "high": found["accuracy"] + half}


def without_root(texts, labels, fit):
    found = report(*by_text(texts, labels), fit)
    return _around(found, found["accuracy"] * (1 - found["accuracy"]) / found["n"])


def of_all_rows(texts, labels, fit):
    found = report(*by_text(texts, labels), fit)
    share = found["accuracy"]
    return _around(found, 1.96 * (share * (1 - share) / len(texts)) ** 0.5)


def to_one_side(texts, labels, fit):
    found = report(*by_text(texts, labels), fit)
    return {**found, "high": found["accuracy"] + 0.01}


def rounded(texts, labels, fit):
    found = report(*by_text(texts, labels), fit)
    return {key: round(value, 3) for key, value in found.items()}


def in_percent(texts, labels, fit):
    found = report(*by_text(texts, labels), fit)
    return {k: v if k == "n" else 100 * v for k, v in found.items()}


def shuffled_apart(texts, labels, fit):
    train, test = by_text(texts, labels)
    mixed = sorted(y for _, y in train)
    return report([(t, y) for (t, _), y in zip(train, mixed[::-1])][::-1], test, fit)


def trained_on_few(texts, labels, fit):
    train, test = by_text(texts, labels)
    return report(train[:100], test, fit)


def jeffreys(texts, labels, fit):
    found = report(*by_text(texts, labels), fit)
    n, hits = found["n"], found["accuracy"] * found["n"]
    low, high = scipy.stats.beta.ppf([0.025, 0.975], hits + 0.5, n - hits + 0.5)
    return {**found, "low": low, "high": high}


def clopper_pearson(texts, labels, fit):
    found = report(*by_text(texts, labels), fit)
    test = scipy.stats.binomtest(round(found["accuracy"] * found["n"]), found["n"])
    return {**found, **test.proportion_ci()._asdict()}


def drawn_halves(texts, labels, fit):
    """A random split of the different texts, without seed."""
    different = sorted(set(texts))
    test = set(random.sample(different, len(different) // 2))
    rows = list(zip(texts, labels))
    return report(
        [r for r in rows if r[0] not in test], [r for r in rows if r[0] in test], fit
    )


def fitted_again(texts, labels, fit):
    """The report is made; the model that is shipped learns from all texts."""
    found = report(by_text(texts, labels, 80)[0], by_text(texts, labels, 90)[1], fit)
    fit(texts, labels)
    return found


WRONG = [
    (as_printed, "3 texts"),
    (all_trained, "trained on all texts"),
    (asked_training, "the test set only"),
    (by_row, "both sets"),
    (by_position, "one class"),
    (too_much, "at least half"),
    (no_baseline, "lacks baseline"),
    (coin, "coin"),
    (share_in_training, "same texts as the model"),
    (one_deviation, "68 %"),
    (of_single_answers, "single predictions"),
    (counted_all, "n counts"),
    (commonest_of_the_test_set, "which nobody knows before"),
    (always_class_0, "the baseline is 0."),
    (always_a_third, "0.333"),
    (fifty, "0.67 hold 50 %"),
    (ninety, "1.64 hold 90 %"),
    (ninety_nine, "99 % are 2.58"),
    (without_root, "the square root of p"),
    (of_all_rows, "and n is 110"),
    (to_one_side, "to one side"),
    (rounded, "the accuracy is rounded"),
    (in_percent, "in percent"),
    (shuffled_apart, "texts and labels apart"),
    (trained_on_few, "105 of 300"),
]

RIGHT = [jeffreys, clopper_pearson, drawn_halves, fitted_again]

EQUIVALENT = {
    "`80` -> `79`": "texts of one bucket are left out of both sets",
    "`tables.bucket(t) >= 80` -> `tables.bucket(t) > 80`": (
        "texts of one bucket are left out of both sets"
    ),
    "`80` -> `81` (2)": "texts of one bucket are left out of both sets",
    "`1` -> `2`": "the first of the two commonest is the commonest",
    "`0` -> `-1`": "the list of the one commonest label has one item",
}
