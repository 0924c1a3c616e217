"""Wrong reports, and another right one."""

import collections
import hashlib

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
]
