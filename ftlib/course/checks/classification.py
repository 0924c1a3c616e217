"""Checks of chapter 14: macro-F1, pooling, balanced few labels, a paired verdict,
honest scores with two and three classes.

>>> from ftlib.course.checks.classification import check_f1_by_hand
>>> check_f1_by_hand(
...     lambda predicted, labels, classes: float((predicted == labels).float().mean())
... )
hint: the value is the accuracy; macro-F1 gives each class the same weight, however
many texts it has

What it is not: a metric library (metrics.py holds the metrics). Needs: torch, ftlib.
"""

import torch

from ftlib.course.checks import correct, exercise, expect
from ftlib.evaluation import intervals, metrics

# 14 texts of three classes, of which the first is common: all the averages that could
# be confused differ
LABELS = torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
PREDICTED = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 2, 0])


def near(a, b, tolerance=1e-4):
    return abs(float(a) - float(b)) < tolerance


@exercise
def check_f1_by_hand(answer):
    """answer(predicted (N,), labels (N,), classes) -> macro-F1 as a number."""
    value = float(answer(PREDICTED, LABELS, 3))
    table = metrics.confusion(PREDICTED, LABELS, 3).double()
    hits, actual, predicted = table.diag(), table.sum(1), table.sum(0)
    f1 = 2 * hits / (actual + predicted)
    recall, precision = hits / actual, hits / predicted
    expect(
        not near(value, hits.sum() / table.sum()),
        "the value is the accuracy; macro-F1 gives each class the same weight, "
        "however many texts it has",
    )
    expect(
        not near(value, (f1 * actual).sum() / actual.sum()),
        "the classes are weighted by how many texts they have; macro means the "
        "plain mean over classes",
    )
    expect(
        not near(value, recall.mean()),
        "the value is the mean recall; F1 also counts how many of the predictions "
        "were correct",
    )
    expect(
        not near(value, precision.mean()),
        "the value is the mean precision; F1 also counts how many of the texts of a "
        "class were found",
    )
    expect(
        not near(value, f1[1]),
        "the value is the F1 of class 1 alone; take the mean over all classes",
    )
    p, r = precision.mean(), recall.mean()
    expect(
        not near(value, 2 * p * r / (p + r)),
        "precision and recall are averaged first; take F1 of each class, then the mean",
    )
    expect(
        value == value,
        "the value is NaN: one class has neither true positives nor predictions, and "
        "0 / 0 must count as 0",
    )
    expect(
        near(value, f1.mean()),
        f"the value is {value:.4f}, expected {float(f1.mean()):.4f}; is F1 = 2 TP / "
        "(2 TP + FP + FN)?",
    )
    never = float(
        answer(torch.zeros(6, dtype=torch.long), torch.tensor([0, 0, 0, 0, 1, 2]), 3)
    )
    expect(
        never == never,
        "a class that is never predicted gives 0 / 0 on the way; count its F1 as 0, "
        "not as NaN",
    )
    expect(
        near(never, 0.8 / 3),
        "a class that is never predicted must count as 0 in "
        "the mean over all classes, and not be left out",
    )
    absent, expected = float(answer(PREDICTED, LABELS, 4)), float(f1.sum() / 4)
    expect(
        absent == absent,
        "a class that is neither present nor predicted gives 0 / 0 = NaN; count it "
        "as 0",
    )
    expect(
        near(absent, expected),
        "with a fourth class, neither present nor predicted, the value is "
        f"{absent:.4f}, expected {expected:.4f}; count it as 0 in the mean over all "
        "four",
    )
    return correct("each class has its F1, and each class counts once")


@exercise
def check_masked_mean(answer):
    """answer(hidden (B, T, D), attention_mask (B, T)) -> (B, D), the mean over real
    tokens.
    """
    hidden = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1)) + 1
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
    got, weight = answer(hidden, mask), mask[..., None].float()
    expect(
        tuple(got.shape) == (3, 4),
        f"the shape is {tuple(got.shape)}, expected (3, 4): one vector for each text",
    )
    expected = (hidden * weight).sum(1) / weight.sum(1)

    def same(other):
        return torch.allclose(got, other, atol=1e-5)

    expect(
        not same(hidden.mean(1)),
        "padding counts: this is the mean over all positions; use the mask in the "
        "sum and in the count",
    )
    expect(
        not same((hidden * weight).mean(1)),
        "padding is left out of the sum but not out of the count; divide by the real "
        "tokens of each text",
    )
    expect(
        not same((hidden * weight).sum(1)),
        "this is a sum: a long text gets a long vector; divide by its number of real "
        "tokens",
    )
    expect(
        not same((hidden * weight).sum(1) / weight.sum()),
        "the sum is divided by the real tokens of the whole batch; divide each text "
        "by its own number of tokens",
    )
    expect(
        not same(hidden[:, 0]),
        "this is the first token; return the mean over the real tokens",
    )
    expect(
        same(expected),
        "the values are not the mean over the real tokens; multiply by the mask, sum "
        "over positions, divide by the mask's sum",
    )
    empty = answer(hidden, mask * torch.tensor([[1], [1], [0]]))
    expect(
        bool(torch.isfinite(empty).all()),
        "a text without a real token gives 0 / 0 = NaN; clamp the number of tokens "
        "to at least 1",
    )
    expect(
        not empty[2].abs().max() > 1e-6,
        "a text without a real token gives a vector of its padding; return zeros for "
        "it",
    )
    return correct("padding changes nothing")


@exercise
def check_few_per_class(answer):
    """answer(labels: list of int, per_class: int, seed: int) -> list of row numbers."""
    labels = [0] * 300 + [1] * 100  # sorted by class, as files often are
    rows = list(map(int, answer(labels, 8, 0)))
    expect(
        len(rows) == 16,
        f"{len(rows)} rows came back, expected 16: 8 of each of 2 classes",
    )
    result = [sum(labels[r] == c for r in rows) for c in (0, 1)]
    expect(
        len(set(rows)) == 16,
        "a row is drawn twice; draw without replacement, or you have even fewer labels",
    )
    expect(
        result != [16, 0],
        "all rows are of one class, because the file is sorted by class; draw from "
        "each class",
    )
    expect(
        result == [8, 8],
        f"the classes have {result[0]} and {result[1]} rows; draw "
        "inside each class, not from all rows",
    )
    again = list(map(int, answer(labels, 8, 0)))
    torch_seed = list(map(int, answer(labels, 8, 1)))
    expect(
        again == rows,
        "the same seed gives other rows at a second call; make a "
        "generator from the seed, inside the function",
    )
    expect(
        set(torch_seed) != set(rows),
        "another seed gives the same rows, so several seeds would measure one choice "
        "of labels again and again; use the seed",
    )
    # three classes, and their names are no count
    labels = [0] * 30 + [2] * 50 + [5] * 40
    rows = list(map(int, answer(labels, 6, 0)))
    result = [sum(labels[r] == c for r in rows) for c in (0, 2, 5)]
    expect(
        len(set(rows)) == len(rows) and result == [6, 6, 6],
        f"with the classes 0, 2 and 5, {result} came back, expected 6 rows of each; "
        "take the classes from `labels`, do not write two of them into your function",
    )
    return correct("balanced, without repeats, and a function of the seed alone")


@exercise
def check_verdict(answer):
    """answer(right_a (N,), right_b (N,)) -> "better", "worse" or "not shown", about b
    against a.
    """
    g = torch.Generator().manual_seed(0)
    a = (torch.rand(400, generator=g) < 0.75).float()
    paired = a.clone()
    # 14 more correct and none wrong: clear if paired, lost in the noise if not
    paired[(a == 0).nonzero()[:14, 0]] = 1
    says = answer(a, paired)
    expect(
        says in ("better", "worse", "not shown"),
        f'the answer is {says!r}; return one of "better", "worse", "not shown"',
    )
    expect(
        says != "not shown",
        "b is correct wherever a is and 14 times more; take the differences text by "
        "text, because two separate intervals overlap when both models find the same "
        "texts hard",
    )
    expect(
        says == "better",
        'b has more correct predictions and the verdict is "worse"; take b minus a',
    )
    luck = a.clone()
    # 20 won, 17 lost
    luck[(a == 0).nonzero()[:20, 0]], luck[(a == 1).nonzero()[:17, 0]] = 1, 0
    expect(
        answer(a, luck) == "not shown",
        "b wins 20 texts and loses 17, and the interval of the difference contains "
        "0; a larger mean alone shows nothing",
    )
    expect(
        answer(paired, a) == "worse",
        "b is worse here: the whole interval lies below 0; check on which side of 0 "
        "it lies",
    )
    expect(
        answer(a, a) == "not shown",
        "the two are equal; an interval from 0 to 0 shows no difference",
    )
    return correct("the interval of the paired differences decides")


def memorise(texts, labels):
    """A model that memorizes its training texts and predicts the majority class
    otherwise.
    """
    known = dict(zip(texts, labels))
    commonest = max(sorted(set(labels)), key=list(labels).count)
    return lambda queries: [known.get(text, commonest) for text in queries]


@exercise
def check_honest_accuracy(answer):
    """answer(texts, labels, fit) -> accuracy on texts that fit() has not seen;
    fit(texts, labels) -> model(texts).
    """
    # each text is in the file twice
    texts = [f"review number {i // 2}" for i in range(400)]
    labels = [0] * 200 + [1] * 200
    trained, requests = [], []

    def fit(texts, labels):
        trained.append((list(texts), list(labels)))
        model = memorise(texts, labels)

        def predict(texts):
            requests.append(list(texts))
            return model(texts)

        return predict

    value = float(answer(texts, labels, fit))
    expect(
        trained and requests,
        "fit() or its model was not called; train on the training set, then predict "
        "the test set",
    )
    seen, questions = set(trained[-1][0]), requests[-1]
    expect(
        len(trained[-1][0]) < 400 or value < 0.99,
        "the model was trained on every text and evaluated on them again; it knows "
        "them by heart, and 1.0 says nothing",
    )
    expect(
        len(trained[-1][0]) < 400,
        "the model was trained on every text, also on the test set; leave the test "
        "texts out of fit()",
    )
    twice = seen & set(questions)
    expect(
        not twice or len(trained[-1][0]) + len(questions) <= 400,
        "the model was evaluated on the texts that it was trained on; use the "
        "others, the test set",
    )
    expect(
        not twice,
        "the same text is in both sets, because the file holds it twice; split by "
        "the text (tables.bucket), not by the row",
    )
    expect(
        len(set(trained[-1][1])) == 2,
        "the training set has one class, because the file is sorted; split by the "
        "text, not by position",
    )
    kinds = {labels[texts.index(text)] for text in questions}
    expect(
        len(kinds) == 2,
        "the test set has one class, because the file is sorted by class; split by "
        "the text, not by position",
    )
    expect(
        20 <= len(questions) <= 200,
        f"{len(questions)} of 400 texts are in the test set; use about a tenth to a "
        "half",
    )
    known = dict(zip(texts, labels))
    predicted = memorise(*trained[-1])(questions)
    accuracy = sum(
        known[text] == label for text, label in zip(questions, predicted)
    ) / len(questions)
    expect(
        near(value, accuracy),
        f"the value is {value:.3f}, expected {accuracy:.3f}, the accuracy on the test "
        "texts",
    )
    return correct(
        f"the memorizing model scores {value:.2f} on texts it has not seen, as it "
        "should"
    )


def by_first_letter(texts, labels):
    """A weak model: it memorizes its training texts, and of other texts it reads only
    the first character.
    """
    known = dict(zip(texts, labels))
    return lambda queries: [
        known.get(text, {"差": 0, "会": 1}.get(text[0], 2)) for text in queries
    ]


def proportion_intervals(correct, n):
    """The two honest 95 % intervals of a fraction: Wilson's and the exact one of
    Clopper and Pearson.
    """
    from scipy.stats import binomtest

    exact = binomtest(correct, n).proportion_ci(0.95, method="exact")
    return intervals.wilson_interval(correct, n), (exact.low, exact.high)


@exercise
def check_three_class_report(answer):
    """answer(train, test, fit) -> (accuracy, low, high, [F1 of class 0, 1, 2]) on the
    test texts that are not in train.
    """
    train = {"text": ["差极了", "会议今天举行", "好书"], "label": [0, 1, 2]}
    # of each kind, some texts belong to another class than their first character says
    firsts = "差" * 12 + "会" * 14 + "好" * 14
    labels = [0] * 9 + [2] * 3 + [1] * 13 + [0] + [2] * 7 + [0] * 7
    test = {
        "text": [f"{c}{i}" for i, c in enumerate(firsts)] + train["text"],
        "label": labels + train["label"],
    }
    requests = []

    def fit(texts, labels):
        model = by_first_letter(texts, labels)

        def predict(texts):
            requests.append(list(texts))
            return model(texts)

        return predict

    value, low, high, f1 = answer(train, test, fit)
    value, low, high, f1 = float(value), float(low), float(high), [float(v) for v in f1]
    predicted = torch.tensor(by_first_letter([], [])(test["text"][:40]))
    true = torch.tensor(labels)
    hits = int((predicted == true).sum())
    expect(
        requests,
        "the model was never called; fit(texts, labels) returns a function from a "
        "list of texts to a list of classes",
    )
    expect(
        value <= 1 and high <= 1 + 1e-9,
        f"the accuracy is {value:.3f} with an upper end of {high:.3f}; return "
        "fractions from 0 to 1, and an interval inside that range",
    )
    expect(
        not near(value, 1),
        "the accuracy is 1, because the model was evaluated on its own three "
        "sentences; use the test texts",
    )
    expect(
        not near(value, (hits + 3) / 43),
        "the three training sentences are in the test set as well, and are counted; "
        "leave them out",
    )
    expect(
        near(value, hits / 40),
        f"the accuracy is {value:.3f}, expected {hits / 40:.3f}: {hits} of the 40 "
        "texts that are not in train are correct",
    )
    expect(
        low < value < high,
        f"the interval is {low:.3f} to {high:.3f} and does not contain the accuracy "
        f"{value:.3f}; return (accuracy, low, high, F1)",
    )
    per_class = metrics.f1_per_class(predicted, true, 3).tolist()
    expect(
        len(f1) == 3,
        f"{len(f1)} values of F1 came back, expected 3, one for each class",
    )
    recall = [float((predicted[true == c] == c).double().mean()) for c in range(3)]
    expect(
        not all(map(near, f1, recall)),
        "the three values are recalls; F1 also counts the texts that were wrongly "
        "assigned to the class",
    )
    expect(
        max(f1) - min(f1) > 1e-6,
        "the three values of F1 are one average; return one for each class, or a "
        "class that fails stays unseen",
    )
    expect(
        all(map(near, f1, per_class)),
        f"F1 of the classes is {', '.join(f'{v:.3f}' for v in f1)}, expected "
        f"{', '.join(f'{v:.3f}' for v in per_class)}, in the order 0, 1, 2",
    )
    tiny = {"text": ["差一", "会二", "好三"], "label": [0, 1, 2]}
    again, start, end, _ = answer(train, tiny, fit)  # three of three
    expect(
        not near(start, end),
        "3 of 3 are correct, and the interval has no width; without variation "
        "neither the normal formula nor the bootstrap can say how little three texts "
        "show, so use Wilson's interval",
    )
    allowed = [
        (proportion_intervals(hits, 40)[i], proportion_intervals(3, 3)[i])
        for i in (0, 1)
    ]
    expect(
        any(
            near(low, a[0], 2e-3)
            and near(high, a[1], 2e-3)
            and near(start, b[0], 2e-3)
            and near(end, b[1], 2e-3)
            for a, b in allowed
        ),
        f"the interval for {hits} of 40 is {low:.3f} to {high:.3f}; Wilson's 95 % "
        f"interval is {allowed[0][0][0]:.3f} to {allowed[0][0][1]:.3f}",
    )
    return correct(
        f"three of three correct would be {100 * float(again):.0f} %, with an "
        f"interval from {100 * float(start):.0f} to 100 %"
    )
