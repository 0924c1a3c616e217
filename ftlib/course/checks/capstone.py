"""Checks of chapter 25: the rows that may stay, the rule of one standard error, an
honest end of a project, and what choosing on the test set does.

>>> from ftlib.course.checks.capstone import check_one_error
>>> def sketch(correct, baseline):
...     return None
>>> check_one_error(sketch)
not yet: your function returns None; fill it in and run the cell again

What it is not: a library (ftlib/course/project holds the functions). Needs: ftlib.
"""

import random

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import experiment


def wanted_rows(texts, labels, both=True, later=True):
    """The rows that may stay. both: rows of a text with two labels go; later: repeated
    ones go.
    """
    names, kept, seen = {}, [], set()
    for text, label in zip(texts, labels):
        if text.strip():
            names.setdefault(text.strip().lower(), set()).add(label)
    for row, text in enumerate(texts):
        key = text.strip().lower()
        if not key or (both and len(names[key]) > 1) or (later and key in seen):
            continue
        seen.add(key)
        kept.append(row)
    return kept


def row_cases():
    yield ["good", " Good ", "bad", "so so"], ["1", "1", "0", "0"]
    yield ["", "  ", "fine", "fine"], ["1", "0", "1", "0"]
    yield ["a", "b", "A", "c", "b", "b ", "d"], list("1010110")
    draw = random.Random(0)
    for _ in range(20):
        texts = [draw.choice(["a", "A ", "b", " b", "c", "", " "]) for _ in range(6)]
        yield texts, [draw.choice("01") for _ in texts]


@exercise
def check_kept_rows(answer):
    """answer(texts, labels) -> the numbers of the rows that may stay."""
    cases = list(row_cases())
    kept = []
    for texts, labels in cases:
        kept.append(answer(list(texts), list(labels)))
        expect(isinstance(kept[-1], list), "return a list of row numbers, from 0")
        expect(
            all(texts[row].strip() for row in kept[-1] if row in range(len(texts))),
            f"texts {texts}: a row without a text stays; spaces alone are no text",
        )
    expect(
        kept != [wanted_rows(*case, later=False) for case in cases],
        "a repeated text stays twice; keep its first row",
    )
    expect(
        kept != [wanted_rows(*case, both=False) for case in cases],
        "a text with two labels stays; nobody knows which label is correct, so none of "
        "its rows may",
    )
    for (texts, labels), rows in zip(cases, kept):
        wanted = wanted_rows(texts, labels)
        expect(
            rows == wanted,
            f"texts {texts}, labels {labels}: you keep {rows}, and {wanted} may stay",
        )
    return correct("each text once, with one label")


def drawn_answers(seed, n, accuracy):
    draw = random.Random(seed)
    return {k: [int(draw.random() < p) for _ in range(n)] for k, p in accuracy.items()}


def one_error_of(correct, baseline, errors=1.0, paired=True):
    """(what is taken, lead, standard error)."""
    mean = {name: sum(row) / len(row) for name, row in correct.items()}
    best, n = max(mean, key=mean.get), len(correct[baseline])
    differences = [a - b for a, b in zip(correct[best], correct[baseline])]
    lead = mean[best] - mean[baseline]
    squares = sum((d - lead) ** 2 for d in differences) / (n - 1)
    if not paired:
        squares = sum(mean[k] * (1 - mean[k]) * n / (n - 1) for k in (best, baseline))
    error = (squares / n) ** 0.5
    return (baseline if lead < errors * error else best), lead, error


def one_error_cases():
    for seed in range(60):
        n = (20, 60, 200)[seed % 3]
        levels = {"words": 0.7, "frozen": 0.72, "tuned": 0.7 + 0.01 * (seed % 8)}
        yield drawn_answers(seed, n, levels)
    yield {"words": [1, 1, 0, 1], "frozen": [0, 1, 0, 0]}  # the baseline is best
    for agreed in (30, 60):  # answers that nearly agree: pairs see it, means do not
        shared = [1] * agreed + [0] * agreed
        yield {"words": shared + [0] * 3, "frozen": shared + [1] * 3}


RULES = (
    ({"errors": 0.0}, "its lead is below one standard error, so take the baseline"),
    ({"errors": 1.96}, "one standard error is enough here, not 1.96 of them"),
    (
        {"paired": False},
        "take the standard error of the paired differences, as both models answered "
        "the same reviews",
    ),
)


@exercise
def check_one_error(answer):
    """answer(correct, baseline) -> the name of the model to take."""
    cases, names = list(one_error_cases()), []
    for rows in cases:
        names.append(answer({k: list(row) for k, row in rows.items()}, "words"))
        expect(
            isinstance(names[-1], str) and names[-1] in rows,
            f"return one of the names {list(rows)}, not {names[-1]!r}",
        )
        mean = {name: sum(row) / len(row) for name, row in rows.items()}
        expect(
            mean[names[-1]] == max(mean.values()) or names[-1] == "words",
            f"{names[-1]} is neither the best nor the baseline",
        )
    for rule, sentence in RULES:
        expect(
            names != [one_error_of(rows, "words", **rule)[0] for rows in cases]
            or names == [one_error_of(rows, "words")[0] for rows in cases],
            f"the best is not always taken as it should be: {sentence}",
        )
    for rows, name in zip(cases, names):
        wanted, lead, error = one_error_of(rows, "words")
        told = f"lead {lead:.3f}, standard error {error:.3f}"
        expect(name == wanted, f"{told}: you take {name}, and it is {wanted}")
    return correct("the simpler model, unless the lead is more than noise")


class Model:
    """Answers with what it was given, and remembers what it has read."""

    def __init__(self, answers):
        self.answers, self.read = answers, []

    def __call__(self, texts):
        self.read.append(tuple(texts))
        return [self.answers[text] for text in texts]


def project_of(seed):
    """(models, {part: (texts, labels)}): the best differs from part to part."""
    draw, parts, models = random.Random(seed), {}, {}
    usual = seed % 2  # the label that is more frequent in training, and rarer in test
    for part, ones in (("train", 7), ("validation", 9), ("test", 9)):
        texts = [f"{part} {i}" for i in range(20)]
        labels = [int(i < ones) for i in range(20)]
        draw.shuffle(labels)
        flipped = (part == "train") == bool(usual)
        parts[part] = texts, [1 - y if flipped else y for y in labels]
    levels = [("a", 1.0, 0.75, 0.7), ("b", 0.8, 0.9, 0.75), ("c", 0.85, 0.8, 0.95)]
    draw.shuffle(levels)
    for name, *accuracies in levels:
        answers = {}
        for (texts, labels), accuracy in zip(parts.values(), accuracies):
            good = set(draw.sample(range(20), round(20 * accuracy)))
            answers |= {
                t: y if i in good else 1 - y
                for i, (t, y) in enumerate(zip(texts, labels))
            }
        models[name] = Model(answers)
    return models, parts


@exercise
def check_honest_end(answer):
    """answer(models, train, validation, test) -> {"chosen", "accuracy", "baseline"}."""
    for seed in range(12):
        models, parts = project_of(seed)
        got = answer(dict(models), *parts.values())
        expect(
            isinstance(got, dict) and set(got) == {"chosen", "accuracy", "baseline"},
            "return a dict with chosen, accuracy and baseline",
        )
        texts, labels = parts["test"]
        expect(
            got["chosen"] != "c",
            "c is the best on the *test* part, and chosen for it; choose on the "
            "validation part",
        )
        expect(
            got["chosen"] != "a",
            "a is the best on its own training texts; choose on the validation part",
        )
        expect(got["chosen"] == "b", "return the name of the best on the validation")
        others = [m for name, m in models.items() if name != "b"]
        expect(
            not any(set(texts) & set(batch) for m in others for batch in m.read),
            "models that were not chosen have answered the test part; nobody needs "
            "those answers, and whoever has them looks at them",
        )
        predicted = [models["b"].answers[text] for text in texts]
        accuracy = sum(a == y for a, y in zip(predicted, labels)) / len(labels)
        expect(
            abs(got["accuracy"] - accuracy) < 1e-9,
            f"the accuracy is {got['accuracy']:.2f}; of the chosen model on the test "
            f"part it is {accuracy:.2f}",
        )
        usual = int(2 * sum(parts["train"][1]) > len(parts["train"][1]))
        wanted = labels.count(usual) / len(labels)
        expect(
            abs(got["baseline"] - max(labels.count(0), labels.count(1)) / 20) > 1e-9
            or abs(got["baseline"] - wanted) < 1e-9,
            "the baseline takes the most frequent label of the test part; who has not "
            "seen the test knows that of the training part only",
        )
        expect(
            abs(got["baseline"] - wanted) < 1e-9,
            f"the baseline is {got['baseline']:.2f}; always saying the most frequent "
            f"training label gets {wanted:.2f} of the test part",
        )
    return correct("chosen on validation, tested once, beside the simplest answer")


@exercise
def check_test_choice(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(many, seed) is a reported minus a true accuracy.
    """
    return experiment(answer, "best of twenty minus one")
