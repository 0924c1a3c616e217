"""Wrong reports of a three-class model, and another right one."""

import torch
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from ftlib.evaluation import intervals, metrics


def another(train, test, fit):
    model, known = fit(train["text"], train["label"]), set(train["text"])
    rows = [i for i, text in enumerate(test["text"]) if text not in known]
    said, true = (
        model([test["text"][i] for i in rows]),
        [test["label"][i] for i in rows],
    )
    right = sum(a == b for a, b in zip(said, true))
    exact = binomtest(right, len(rows)).proportion_ci(0.95, method="exact")
    return (
        right / len(rows),
        exact.low,
        exact.high,
        f1_score(true, said, labels=[0, 1, 2], average=None, zero_division=0),
    )


def held_out(train, test, fit):
    model = fit(train["text"], train["label"])
    new = [
        (t, y) for t, y in zip(test["text"], test["label"]) if t not in train["text"]
    ]
    return torch.tensor(model([t for t, _ in new])), torch.tensor([y for _, y in new])


def report(said, true, interval=intervals.wilson_interval):
    right = int((said == true).sum())
    return (
        right / len(true),
        *interval(right, len(true)),
        metrics.f1_per_class(said, true, 3).tolist(),
    )


def on_its_own_sentences(train, test, fit):
    model = fit(train["text"], train["label"])
    model(test["text"])
    return report(torch.tensor(model(train["text"])), torch.tensor(train["label"]))


def with_the_training_texts(train, test, fit):
    model = fit(train["text"], train["label"])
    return report(torch.tensor(model(test["text"])), torch.tensor(test["label"]))


def percent(train, test, fit):
    value, low, high, f1 = report(*held_out(train, test, fit))
    return 100 * value, 100 * low, 100 * high, f1


def normal_formula(train, test, fit):
    def interval(right, n):
        p = right / n
        half = 1.96 * (p * (1 - p) / n) ** 0.5
        return p - half, p + half

    return report(*held_out(train, test, fit), interval)


def narrow(train, test, fit):
    return report(
        *held_out(train, test, fit),
        lambda right, n: intervals.wilson_interval(right, n, 0.68),
    )


def interval_of_the_loss(train, test, fit):
    value, low, high, f1 = report(*held_out(train, test, fit))
    return value, 1 - high, 1 - low, f1


def macro_three_times(train, test, fit):
    said, true = held_out(train, test, fit)
    return *report(said, true)[:3], [metrics.macro_f1(said, true, 3)] * 3


def recalls(train, test, fit):
    said, true = held_out(train, test, fit)
    return *report(said, true)[:3], [
        float((said[true == c] == c).double().mean()) for c in range(3)
    ]


def one_value(train, test, fit):
    said, true = held_out(train, test, fit)
    return *report(said, true)[:3], [metrics.macro_f1(said, true, 3)]


def backwards(train, test, fit):
    value, low, high, f1 = report(*held_out(train, test, fit))
    return value, low, high, f1[::-1]


WRONG = [
    (on_its_own_sentences, "its own three sentences"),
    (with_the_training_texts, "leave them out"),
    (percent, "fractions from 0 to 1"),
    (normal_formula, "no width"),
    (narrow, "Wilson's 95 % interval is"),
    (interval_of_the_loss, "does not contain the accuracy"),
    (macro_three_times, "one average"),
    (recalls, "are recalls"),
    (one_value, "expected 3"),
    (backwards, "in the order 0, 1, 2"),
]
