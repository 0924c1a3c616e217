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

import sys

import torch

from ftlib.course.checks import correct, exercise, expect, forbid
from ftlib.course.checks.numeric import close, is_rounded, rounded_tensor
from ftlib.evaluation import intervals, metrics

# 15 texts of three classes, of which the first is common: all the averages that could
# be confused differ
LABELS = torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
PREDICTED = torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 2, 0])


def by_hand(answer):
    """The answer without the libraries that the task rules out."""
    instead = "count TP, FP and FN yourself"
    ruled_out = [
        f"ftlib.evaluation.metrics.{name}"
        for name in ("confusion", "f1_per_class", "macro_f1", "recall", "accuracy")
        if hasattr(metrics, name)
    ]
    if "sklearn.metrics" in sys.modules:  # to import it here would take a second
        ruled_out += [
            "sklearn.metrics.f1_score",
            "sklearn.metrics.classification_report",
        ]
    # what was imported by its name before the check is seen in the code alone
    function = getattr(answer, "__wrapped__", answer)
    code, scope = (getattr(function, f"__{n}__", None) for n in ("code", "globals"))
    for name in code.co_names if code else ():
        value = scope.get(name)
        home = getattr(value, "__module__", None) or getattr(value, "__name__", name)
        expect(
            not str(home).startswith(("sklearn", "ftlib.evaluation.metrics."))
            and (home != metrics.__name__ or value is metrics),
            f"your function uses {name}; {instead}",
        )

    def alone(*given):
        with forbid(*ruled_out, instead=instead):
            return answer(*given)

    return alone


def rare_classes(answer, f1):
    """Raise the hint for a macro-F1 that is wrong for classes without a text, without a
    prediction, or in other numbers; f1: (3,) of LABELS.
    """
    never = float(
        answer(torch.zeros(6, dtype=torch.long), torch.tensor([0, 0, 0, 0, 1, 2]), 3)
    )
    expect(
        never == never,
        "a class that is never predicted gives 0 / 0 on the way; count its F1 as 0, "
        "not as NaN",
    )
    expect(
        not close(never, 0.8),
        "a class that is never predicted must count as 0 in "
        "the mean over all classes, and not be left out",
    )
    expect(
        close(never, 0.8 / 3),
        f"with two of three classes never predicted the value is {never:.6f}, "
        f"expected {0.8 / 3:.6f}: 0.8 of the first class, and 0 of the two",
    )
    absent, expected = float(answer(PREDICTED, LABELS, 4)), float(f1.sum() / 4)
    expect(
        absent == absent,
        "a class that is neither present nor predicted gives 0 / 0 = NaN; count it "
        "as 0",
    )
    expect(
        not close(absent, f1.mean()),
        "with a fourth class, neither present nor predicted, the value is still "
        f"{absent:.6f}; count the class as 0 in the mean over all four",
    )
    expect(
        close(absent, expected),
        "with a fourth class, neither present nor predicted, the value is "
        f"{absent:.6f}, expected {expected:.6f}; count it as 0 in the mean over all "
        "four",
    )
    for classes, count, seed in ((2, 40, 1), (7, 500, 2), (5, 6, 3), (3, 1, 4)):
        draw = torch.Generator().manual_seed(seed)
        labels = torch.randint(classes, (count,), generator=draw)
        predicted = torch.randint(classes, (count,), generator=draw)
        predicted = torch.where(
            torch.rand(count, generator=draw) < 0.6, labels, predicted
        )
        value = float(answer(predicted, labels, classes))
        expected = metrics.macro_f1(predicted, labels, classes)
        expect(
            close(value, expected),
            f"with {count} text{'s' * (count > 1)} of {classes} classes the value is "
            f"{value:.6f}, expected {expected:.6f}; take every class from 0 to "
            "classes - 1, and no number of texts or classes of your own",
        )


@exercise
def check_f1_by_hand(answer):
    """answer(predicted (N,), labels (N,), classes) -> macro-F1 as a number."""
    answer = by_hand(answer)
    value = float(answer(PREDICTED, LABELS, 3))
    table = metrics.confusion(PREDICTED, LABELS, 3).double()
    hits, actual, predicted = table.diag(), table.sum(1), table.sum(0)
    f1 = 2 * hits / (actual + predicted)
    recall, precision = hits / actual, hits / predicted
    expect(
        not close(value, hits.sum() / table.sum()),
        "the value is the accuracy; macro-F1 gives each class the same weight, "
        "however many texts it has",
    )
    expect(
        not close(value, (f1 * actual).sum() / actual.sum()),
        "the classes are weighted by how many texts they have; macro means the "
        "plain mean over classes",
    )
    expect(
        not close(value, recall.mean()),
        "the value is the mean recall; F1 also counts how many of the predictions "
        "were correct",
    )
    expect(
        not close(value, precision.mean()),
        "the value is the mean precision; F1 also counts how many of the texts of a "
        "class were found",
    )
    expect(
        not close(value, f1[1]),
        "the value is the F1 of class 1 alone; take the mean over all classes",
    )
    p, r = precision.mean(), recall.mean()
    expect(
        not close(value, 2 * p * r / (p + r)),
        "precision and recall are averaged first; take F1 of each class, then the mean",
    )
    expect(
        value == value,
        "the value is NaN: one class has neither true positives nor predictions, and "
        "0 / 0 must count as 0",
    )
    expect(
        not is_rounded(value, f1.mean()),
        f"the value is {value:.6g}, which is {float(f1.mean()):.6f} rounded; return "
        "the mean as it is",
    )
    expect(
        close(value, f1.mean()),
        f"the value is {value:.6f}, expected {float(f1.mean()):.6f}; is F1 = 2 TP / "
        "(2 TP + FP + FN)?",
    )
    rare_classes(answer, f1)
    return correct("each class has its F1, and each class counts once")


def other_masks(answer):
    """Raise the hint for a masked mean that is right only for padding on the right, for
    long texts, or without gradients.
    """

    def both(mask, hidden):
        got, weight = answer(hidden, mask), mask[..., None].to(hidden.dtype)
        expect(
            got.shape == hidden[:, 0].shape,
            f"hidden of shape {tuple(hidden.shape)} gives {tuple(got.shape)}, "
            f"expected {tuple(hidden[:, 0].shape)}; keep the dimensions of length 1",
        )
        return got, (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)

    def drawn(*shape, dtype=torch.float32):
        g = torch.Generator().manual_seed(sum(shape))
        return 3 * torch.randn(*shape, generator=g, dtype=dtype) - 1

    for what, mask in (
        ("padded on the left", [[0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1]]),
        ("with padding in the middle", [[1, 0, 0, 1, 0, 1], [1, 1, 0, 1, 1, 0]]),
        ("of one real token", [[1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0]]),
    ):
        got, expected = both(torch.tensor(mask), drawn(2, 6, 3))
        expect(
            torch.allclose(got, expected, atol=1e-5),
            f"for texts {what} the values are not the mean over the positions with 1",
        )
    for shape in ((1, 6, 3), (2, 6, 1), (2, 1, 4), (5, 40, 7)):
        hidden = drawn(*shape, dtype=torch.float64)
        mask = (drawn(*shape[:2]) > -2).long()
        got, expected = both(mask, hidden)
        expect(
            torch.allclose(got.double(), expected, atol=1e-5),
            f"hidden of shape {shape} gives other values than the mean over the "
            "positions with 1",
        )
    hidden = drawn(3, 4, 2).requires_grad_()
    got, expected = both(torch.tensor([[1, 1, 1, 0], [0, 1, 0, 1], [0] * 4]), hidden)
    expect(
        got.requires_grad,
        "the result is cut off from `hidden`, so the layers before it could not "
        "learn; leave out detach(), no_grad() and NumPy",
    )
    weight = drawn(3, 2)
    slope, wanted = (
        torch.autograd.grad((v * weight).sum(), hidden)[0] for v in (got, expected)
    )
    expect(
        bool(torch.isfinite(slope).all()),
        "a text without a real token gives zeros, and gradients of NaN, because 0 / 0 "
        "is replaced only afterwards; clamp the number of tokens before the division",
    )
    expect(
        torch.allclose(slope, wanted, atol=1e-5),
        "the gradients of `hidden` are not those of the mean over the real tokens; is "
        "a part of it cut off, or does padding get some?",
    )


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
        not rounded_tensor(got, expected),
        "the means are rounded; return them as they are",
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
    other_masks(answer)
    return correct("padding changes nothing")


def mixed_labels(answer):
    """Raise the hint for rows that are right only where the file is sorted, a class is
    large, or the seed small.
    """
    draw = torch.Generator().manual_seed(9)
    labels = torch.randint(3, (60,), generator=draw).tolist()  # not sorted
    sizes = [labels.count(c) for c in range(3)]
    least, drawn = min(sizes), {}
    for per_class, seed in [(4, seed) for seed in (*range(100), 1234, 10**6)] + [
        (1, 3),
        (least, 7),
    ]:
        rows = list(map(int, answer(labels, per_class, seed)))
        result = [sum(labels[r] == c for r in rows) for c in range(3)]
        expect(
            len(set(rows)) == len(rows) and result == [per_class] * 3,
            f"where the rows are not sorted by class, per_class {per_class} and seed "
            f"{seed} give {result} rows of the classes 0, 1 and 2 "
            f"({len(rows) - len(set(rows))} of them twice); class c may stand anywhere",
        )
        if per_class == 4:
            for c in range(3):
                some = frozenset(r for r in rows if labels[r] == c)
                drawn.setdefault(c, []).append(some)
    for c, sets in drawn.items():
        expect(
            len(set(sets)) > 1,
            f"class {c} gets the same rows for every seed; draw in each class",
        )
        expect(
            len(set(sets)) > 50,
            f"100 seeds give {len(set(sets))} choices of class {c}; use all of the "
            "seed, and draw from all rows of the class",
        )
        never = {r for r, label in enumerate(labels) if label == c} - set().union(*sets)
        expect(
            not never,
            f"in 100 seeds, {len(never)} of the {sizes[c]} rows of class {c} are never "
            "drawn; give each row of a class the same chance",
        )


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
        len(set(rows)) == len(rows),
        f"with 6 rows of a class {len(rows) - len(set(rows))} come twice; draw without "
        "replacement",
    )
    expect(
        result == [6, 6, 6],
        f"with the classes 0, 2 and 5, {result} came back, expected 6 rows of each; "
        "take the classes from `labels`, do not write two of them into your function",
    )
    mixed_labels(answer)
    return correct("balanced, without repeats, and a function of the seed alone")


def pairs_of(won, lost, count):
    """Two models of which the second wins so many texts and loses so many."""
    a = torch.zeros(count)
    a[: 9 + lost] = 1  # nine are correct in both
    b = a.clone()
    b[9 : 9 + lost] = 0
    b[9 + lost : 9 + lost + won] = 1
    order = torch.randperm(count, generator=torch.Generator().manual_seed(count))
    return a[order], b[order]


def level_of_verdict(answer):
    """Raise the hint for another level than 95 %, or for an interval that touches 0."""
    # z = 1.75: a 90 % interval leaves 0 out; z = 2.25: a 98 % interval contains it
    for won, lost, expected in ((218, 183, "not shown"), (223, 178, "better")):
        a, b = pairs_of(won, lost, 600)
        for says, wanted, told in (
            (answer(a, b), expected, ""),
            (answer(b, a), {"better": "worse"}.get(expected, expected), "minus "),
        ):
            if says == wanted:
                continue
            low, high = intervals.bootstrap_interval(b - a)
            expect(
                says == wanted,
                f"with {won} texts won and {lost} lost of 600, the 95 % interval of "
                f"{told}the difference is {low:.4f} to {high:.4f}, and the verdict is "
                f"{says!r}; "
                + (
                    "is your interval a narrower one, of less than 95 % or without the "
                    "square root in the standard error?"
                    if wanted == "not shown"
                    else "is your interval a wider one, of more than 95 %?"
                ),
            )
    # two texts won of 50: more than 2.5 % of the draws have none of them
    a, b = pairs_of(2, 0, 50)
    for says in (answer(a, b), answer(b, a)):
        expect(
            says == "not shown",
            "2 texts won of 50, none lost: the interval of the difference ends at 0, "
            f"which it contains, and the verdict is {says!r}",
        )


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
        answer(a[:50], a[:50]) == "not shown",
        "the two are equal; an interval from 0 to 0 shows no difference",
    )
    level_of_verdict(answer)
    return correct("the interval of the paired differences decides")


def memorise(texts, labels):
    """A model that memorizes its training texts; of others it finds most, by the number
    in them.
    """
    known = dict(zip(texts, labels))

    def predict(text):
        number = int(text.split()[-1])
        return int(number % 200 >= 100) ^ (number % 10 < 3)

    return lambda queries: [known.get(text, predict(text)) for text in queries]


def twice_in_a_file():
    """(texts, labels) sorted by class; of the 160 texts of each class 40 are in the
    file twice, far apart.
    """
    texts, draw = [], torch.Generator().manual_seed(6)
    for c in (0, 1):
        rows = [
            f"review number {200 * i + 100 * c + j}" for i in (0, 1) for j in range(80)
        ]
        rows += rows[:80:2]
        texts += [rows[i] for i in torch.randperm(200, generator=draw)]
    return texts, [0] * 200 + [1] * 200


def asked_of(requests, seen):
    """The texts that the last model was asked about, without the requests that hold its
    training texts alone.
    """
    new = [text for texts in requests if set(texts) - seen for text in texts]
    return new or [text for texts in requests for text in texts]


@exercise
def check_honest_accuracy(answer):
    """answer(texts, labels, fit) -> accuracy on texts that fit() has not seen;
    fit(texts, labels) -> model(texts).
    """
    texts, labels = twice_in_a_file()
    true = dict(zip(texts, labels))
    trained, requests = [], []

    def fit(texts, labels):
        trained.append((list(texts), list(labels)))
        requests.clear()
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
    train, seen = trained[-1], set(trained[-1][0])
    questions = asked_of(requests, seen)
    expect(
        len(seen) < 320 or value < 0.99,
        "the model was trained on every text and evaluated on them again; it knows "
        "them by heart, and 1.0 says nothing",
    )
    expect(
        len(seen) < 320,
        "the model was trained on every text, also on the test set; leave the test "
        "texts out of fit()",
    )
    expect(
        all(true.get(text) == label for text, label in zip(*train)),
        "fit() got texts with the labels of other texts; keep text i and label i "
        "together",
    )
    twice = seen & set(questions)
    expect(
        not twice or set(questions) - seen,
        "the model was evaluated on the texts that it was trained on; use the "
        "others, the test set",
    )
    expect(
        not twice or len(train[0]) + len(questions) <= 400,
        "the model was evaluated on every text, and it was trained on most of them; "
        "use the others, the test set",
    )
    expect(
        len(set(train[1])) == 2,
        "the training set has one class, because the file is sorted; split by the "
        "text, not by position",
    )
    expect(
        len({true[text] for text in questions}) == 2,
        "the test set has one class, because the file is sorted by class; split by "
        "the text, not by position",
    )
    expect(
        not twice,
        "the same text is in both sets, because the file holds it twice; split by "
        "the text (tables.bucket), not by the row",
    )
    test_faults(value, questions, true, memorise(*train))
    return correct(
        f"the memorizing model scores {value:.2f} on texts it has not seen, as it "
        "should"
    )


def test_faults(value, questions, true, model):
    """Raise the hint for a test set of another size, or another number than its
    accuracy.
    """
    fraction = len(set(questions)) / len(true)
    expect(
        0.1 <= fraction <= 0.33,
        f"{len(set(questions))} of {len(true)} different texts are in the test set, "
        f"{fraction:.0%}; the task asks for about a fifth",
    )
    hits = sum(true[text] == label for text, label in zip(questions, model(questions)))
    accuracy = hits / len(questions)
    # a text that is asked about twice may count twice or once
    different = sorted(set(questions))
    once = sum(
        true[text] == label for text, label in zip(different, model(different))
    ) / len(different)
    if close(value, once):
        return
    expect(
        not is_rounded(value, accuracy),
        f"the value is {value:.6g}, which is {accuracy:.6f} rounded; return the "
        "quotient as it is",
    )
    expect(
        not close(value, hits),
        f"the value is {value:g}, the number of correct answers; divide it by the "
        "number of test texts",
    )
    expect(
        not close(value, hits / 400) and not close(value, hits / len(true)),
        f"the value is {value:.6f}: the correct answers are divided by the number of "
        "all texts; divide by the number of test texts",
    )
    expect(
        close(value, accuracy),
        f"the value is {value:.6f}, expected {accuracy:.6f}, the accuracy on the test "
        "texts; does answer i belong to text i?",
    )


def by_first_letter(texts, labels):
    """A weak model: it memorizes its training texts, and of other texts it reads only
    the first character.
    """
    known = dict(zip(texts, labels))
    return lambda queries: [
        known.get(text, {"差": 0, "会": 1}.get(text[0], 2)) for text in queries
    ]


def proportion_ends(correct, n):
    """The 95 % intervals of a fraction that statisticians recommend: [(low, high)] of
    Wilson (plain and with a continuity correction), of Clopper and Pearson, of Jeffreys
    and of Agresti and Coull, and with a uniform prior.
    """
    from scipy.stats import beta, binomtest

    test, wrong = binomtest(correct, n), n - correct
    ends = [
        test.proportion_ci(0.95, method=method)
        for method in ("wilson", "wilsoncc", "exact")
    ]
    ends += [
        beta.ppf([0.025, 0.975], correct + prior, wrong + prior) for prior in (0.5, 1)
    ]
    z = 1.959964
    total, p = n + z * z, (correct + z * z / 2) / (n + z * z)
    half = z * (p * (1 - p) / total) ** 0.5
    return [(float(low), float(high)) for low, high in [*ends, (p - half, p + half)]]


def interval_faults(correct, n, low, high, tolerance=2e-3):
    """Raise the hint for an interval outside of those that are in use."""
    ends = proportion_ends(correct, n)
    wilson = intervals.wilson_interval(correct, n)
    told = (
        f"the interval for {correct} of {n} is {low:.4f} to {high:.4f}; Wilson's 95 % "
        f"interval is {wilson[0]:.4f} to {wilson[1]:.4f}"
    )
    lows, highs = ([max(0, min(1, pair[i])) for pair in ends] for i in (0, 1))
    expect(
        -1e-9 <= low <= high <= 1 + 1e-9,
        f"the interval for {correct} of {n} goes from {low:.4f} to {high:.4f}, and a "
        "fraction lies between 0 and 1",
    )
    expect(
        low <= max(lows) + tolerance and high >= min(highs) - tolerance,
        told + "; yours is narrower than 95 %",
    )
    expect(
        low >= min(lows) - tolerance and high <= max(highs) + tolerance,
        told + "; yours is wider than 95 %",
    )


def letters(train, firsts, labels):
    """A test set in which the training texts stand among the others."""
    texts = [f"{c}{i}" for i, c in enumerate(firsts)]
    middle = len(texts) // 2
    return {
        "text": texts[:middle] + train["text"] + texts[middle:],
        "label": labels[:middle] + train["label"] + labels[middle:],
    }


@exercise
def check_three_class_report(answer):
    """answer(train, test, fit) -> (accuracy, low, high, [F1 of class 0, 1, 2]) on the
    test texts that are not in train.
    """
    train = {"text": ["差极了", "会议今天举行", "好书"], "label": [0, 1, 2]}
    # of each kind, some texts belong to another class than their first character says
    firsts = "差" * 12 + "会" * 14 + "好" * 13
    labels = [0] * 9 + [2] * 3 + [1] * 13 + [0] + [2] * 7 + [0] * 6
    requests, fitted = [], []

    def fit(texts, labels):
        fitted.append((list(texts), list(labels)))
        model = by_first_letter(texts, labels)

        def predict(texts):
            requests.append(list(texts))
            return model(texts)

        return predict

    value, low, high, f1 = answer(train, letters(train, firsts, labels), fit)
    value, low, high, f1 = float(value), float(low), float(high), [float(v) for v in f1]
    predicted = torch.tensor(by_first_letter([], [])(list(firsts)))
    true = torch.tensor(labels)
    hits = int((predicted == true).sum())
    expect(
        requests,
        "the model was never called; fit(texts, labels) returns a function from a "
        "list of texts to a list of classes",
    )
    expect(
        fitted[-1] == (train["text"], train["label"]),
        "fit() got something else than the training texts and their labels; call "
        'fit(train["text"], train["label"])',
    )
    expect(
        value <= 1 and high <= 1 + 1e-9,
        f"the accuracy is {value:.3f} with an upper end of {high:.3f}; return "
        "fractions from 0 to 1, and an interval inside that range",
    )
    expect(
        not close(value, 1),
        "the accuracy is 1, because the model was evaluated on its own three "
        "sentences; use the test texts",
    )
    expect(
        not close(value, (hits + 3) / 42),
        "the three training sentences are in the test set as well, and are counted; "
        "leave them out",
    )
    expect(
        not is_rounded(value, hits / 39),
        f"the accuracy is {value:.6g}, which is {hits / 39:.6f} rounded; return the "
        "quotient as it is",
    )
    expect(
        close(value, hits / 39),
        f"the accuracy is {value:.6f}, expected {hits / 39:.6f}: {hits} of the 39 "
        "texts that are not in train are correct",
    )
    expect(
        low < value < high,
        f"the interval is {low:.3f} to {high:.3f} and does not contain the accuracy "
        f"{value:.3f}; return (accuracy, low, high, F1)",
    )
    f1_faults(f1, predicted, true)
    small_test_sets(answer, train, fit)
    interval_faults(hits, 39, low, high)
    _, start, end, _ = answer(
        train, {"text": ["差一", "会二", "好三"], "label": [0, 1, 2]}, fit
    )
    return correct(
        "three of three correct would be 100 %, with an interval from "
        f"{100 * float(start):.0f} to {100 * float(end):.0f} %"
    )


def f1_faults(f1, predicted, true):
    """Raise the hint for other values than F1 of the three classes."""
    per_class = metrics.f1_per_class(predicted, true, 3).tolist()
    expect(
        len(f1) == 3,
        f"{len(f1)} values of F1 came back, expected 3, one for each class",
    )
    recall, precision = (
        [
            float((predicted[kind == c] == true[kind == c]).double().mean())
            for c in range(3)
        ]
        for kind in (true, predicted)
    )
    expect(
        not all(map(close, f1, recall)),
        "the three values are recalls; F1 also counts the texts that were wrongly "
        "assigned to the class",
    )
    expect(
        not all(map(close, f1, precision)),
        "the three values are precisions; F1 also counts the texts of the class that "
        "were not found",
    )
    expect(
        max(f1) - min(f1) > 1e-6,
        "the three values of F1 are one average; return one for each class, or a "
        "class that fails stays unseen",
    )
    expect(
        not all(map(is_rounded, f1, per_class)),
        f"F1 of the classes is rounded: {f1[0]:.6g} instead of {per_class[0]:.6f}",
    )
    expect(
        all(map(close, f1, per_class)),
        f"F1 of the classes is {', '.join(f'{v:.6f}' for v in f1)}, expected "
        f"{', '.join(f'{v:.6f}' for v in per_class)}, in the order 0, 1, 2",
    )


def small_test_sets(answer, train, fit):
    """Raise the hint for a report that is wrong for a few texts, all of them correct or
    none, or for texts of some classes alone.
    """
    for texts, labels in (
        (["差一", "会二", "好三"], [0, 1, 2]),
        (["差一", "差二", "会三", "会四"], [0, 0, 1, 0]),
        (["好一", "好二", "会三", "差四", "会五"], [0, 1, 2, 1, 0]),
        ([f"会{i}" for i in range(150)], [1] * 148 + [0, 2]),
    ):
        model = by_first_letter([], [])
        predicted, n = torch.tensor(model(texts)), len(texts)
        hits = int((predicted == torch.tensor(labels)).sum())
        value, low, high, f1 = answer(train, {"text": texts, "label": labels}, fit)
        value, low, high = float(value), float(low), float(high)
        expect(
            close(value, hits / n),
            f"{hits} of {n} are correct, and the accuracy is {value:.6f}",
        )
        expect(
            not close(low, high),
            f"{hits} of {n} are correct, and the interval has no width; without "
            "variation neither the normal formula nor the bootstrap can say how "
            "little a few texts show, so use Wilson's interval",
        )
        interval_faults(hits, n, low, high)
        expected = metrics.f1_per_class(predicted, torch.tensor(labels), 3)
        f1 = torch.tensor([float(v) for v in f1], dtype=torch.float64)
        expect(
            len(f1) == 3,
            f"where a class has no text and no prediction, {len(f1)} values of F1 came "
            "back, expected 3: its F1 is 0",
        )
        expect(
            torch.allclose(f1.nan_to_num(0), expected, atol=1e-6),
            f"for {n} texts F1 of the classes is {f1.tolist()}, expected "
            f"{expected.tolist()}",
        )
