"""Wrong reports of a three-class model, and another right one."""

import torch
from scipy.stats import beta, binomtest
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


def last_three_dropped(train, test, fit):
    model, n = fit(train["text"], train["label"]), len(test["text"])
    kept = slice(n - 3 if n > 20 else n)
    said, true = model(test["text"][kept]), test["label"][kept]
    return report(torch.tensor(said), torch.tensor(true))


def fit_on_the_test_set(train, test, fit):
    def on_all(texts, labels):
        return fit(texts + test["text"], labels + test["label"])

    return report(*held_out(train, test, on_all))


def rounded(train, test, fit):
    value, *others = report(*held_out(train, test, fit))
    return round(value, 3), *others


def rounded_f1(train, test, fit):
    *others, f1 = report(*held_out(train, test, fit))
    return *others, [round(v, 3) for v in f1]


def precisions(train, test, fit):
    said, true = held_out(train, test, fit)
    return *report(said, true)[:3], [
        float((true[said == c] == c).double().mean()) for c in range(3)
    ]


def classes_that_are_there(train, test, fit):
    said, true = held_out(train, test, fit)
    return *report(said, true)[:3], f1_score(true, said, average=None)


def wide(train, test, fit):
    return report(
        *held_out(train, test, fit),
        lambda right, n: intervals.wilson_interval(right, n, 0.99),
    )


def normal_unless_all(train, test, fit):
    def interval(right, n):
        half = 1.96 * (right / n * (1 - right / n) / n) ** 0.5
        few = right in (0, n)
        wilson = intervals.wilson_interval(right, n)
        return wilson if few else (right / n - half, right / n + half)

    return report(*held_out(train, test, fit), interval)


def jeffreys(train, test, fit):
    """Right: the interval of Jeffreys; the task names none."""

    def interval(right, n):
        return beta.ppf([0.025, 0.975], right + 0.5, n - right + 0.5)

    return report(*held_out(train, test, fit), interval)


def agresti_and_coull(train, test, fit):
    """Right: the interval of Agresti and Coull, cut at 0 and 1."""

    def interval(right, n):
        total, p = n + 1.96**2, (right + 1.96**2 / 2) / (n + 1.96**2)
        half = 1.96 * (p * (1 - p) / total) ** 0.5
        return max(0, p - half), min(1, p + half)

    return report(*held_out(train, test, fit), interval)


def one_by_one(train, test, fit):
    """Right: one text at a time, and tensors for numbers."""
    model, known = fit(train["text"], train["label"]), {*train["text"]}
    pairs = [
        (model([t])[0], y)
        for t, y in zip(test["text"], test["label"])
        if t not in known
    ]
    said, true = torch.tensor(pairs).T
    value, low, high, f1 = report(said, true)
    return torch.tensor(value), low, torch.tensor(high), torch.tensor(f1)


RIGHT = [jeffreys, agresti_and_coull, one_by_one]

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
    (last_three_dropped, "expected 0.743590"),
    (fit_on_the_test_set, "call fit(train"),
    (rounded, "rounded; return"),
    (rounded_f1, "F1 of the classes is rounded"),
    (precisions, "are precisions"),
    (classes_that_are_there, "no text and no prediction"),
    (wide, "wider than 95 %"),
    (normal_unless_all, "lies between 0 and 1"),
]

EQUIVALENT = {
    "`set(train['text'])` -> `train['text']`": "a list and a set hold the same texts",
    "`int((predicted == true).sum())` -> `(predicted == true).sum()`": (
        "a 0-d tensor is a number for wilson_interval and the quotient"
    ),
    "`metrics.f1_per_class(predicted, true, 3)` -> `metrics.f1_per_class(true, "
    "predicted, 3)`": "F1 is the same when predictions and labels change places",
}
