"""Checks of chapter 14: macro-F1, pooling, an experiment on the draw of few labels, a
loss of pairs, honest scores with two and three classes.

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


# ten seeds, of which one arm differs by much: paired, a gain of three points is clear
SCATTER = (0.02, -0.03, 0.05, -0.06, 0.01, 0.04, -0.05, 0.03, -0.02, 0.01)
NOISE = (0.01, -0.015, 0.005, 0.02, -0.01, -0.005, 0.015, 0.0, -0.02, 0.0)
VERDICTS = ("helps", "hurts", "not shown")


def recorded(gain, calls, noise=1.0):
    """A `run(balanced, seed)` that gains so much by balance and notes who called."""

    def run(balanced, seed):
        seed = int(seed)
        calls.append((bool(balanced), seed))
        turn, shift = seed % 10, 0.0007 * (seed // 10)
        value = 0.56 + SCATTER[turn] + shift
        return value + (gain + noise * NOISE[turn]) * bool(balanced)

    return run


def reported(answer, run, verdicts=VERDICTS, of_accuracies=True):
    """What the experiment returned, its parts looked at -> (predicted, measured, low,
    high, conclusion).
    """
    result = answer(run)
    expect(
        isinstance(result, dict)
        and set(result) == {"predicted", "measured", "interval", "conclusion"},
        'return a dictionary with the keys "predicted", "measured", "interval" and '
        '"conclusion"',
    )
    predicted = result["predicted"]
    expect(
        predicted is not None,
        "your prediction is still empty; write down a number before you run anything",
    )
    predicted = float(predicted)
    expect(
        abs(predicted) <= 1 or not of_accuracies,
        f"you predict {predicted:g}; a difference of two accuracies lies between -1 "
        "and 1, and three points are 0.03",
    )
    interval = result["interval"]
    expect(
        hasattr(interval, "__len__") and len(interval) == 2,
        "the interval is a pair of numbers, (low, high)",
    )
    expect(
        result["conclusion"] in verdicts,
        f"you conclude {result['conclusion']!r}; say one of {', '.join(verdicts)}",
    )
    low, high = map(float, interval)
    return predicted, float(result["measured"]), low, high, result["conclusion"]


def seeds_of(calls):
    """The seeds that both arms ran with; raises the hint where there is no pair."""
    arms = [[seed for even, seed in calls if even is arm] for arm in (True, False)]
    expect(all(arms), "call run both ways: run(True, seed) and run(False, seed)")
    expect(
        all(len(set(arm)) == len(arm) for arm in arms),
        "a seed is run twice in the same way; each seed gives one pair",
    )
    expect(
        set(arms[0]) == set(arms[1]),
        "the two ways ran with different seeds; a pair has the same seed, so that what "
        "makes a draw hard for both cancels",
    )
    expect(
        len(arms[0]) >= 10,
        f"{len(arms[0])} seeds are few where a run takes a moment; take at least ten",
    )
    return arms[0]


def interval_of_draws(differences, measured, low, high, order):
    """Raise the hint for another mean than that of the differences, or another interval
    than Student's.
    """
    mean = sum(differences) / len(differences)
    expect(
        not close(measured, -mean) or close(mean, 0),
        f"measured has the wrong sign; take {order}",
    )
    expect(
        not close(measured, 100 * mean) or close(mean, 0),
        "measured is in percentage points; leave the accuracies between 0 and 1",
    )
    expect(
        close(measured, mean),
        f"measured is {measured:.6f}, and the mean of the paired differences is "
        f"{mean:.6f}",
    )
    expect(
        max(differences) - min(differences) < 1e-6
        or not (close(low, min(differences)) and close(high, max(differences))),
        "your interval reaches from the lowest to the highest draw; that shows the "
        "scatter of single draws, not how far their mean may be off",
    )
    expect(
        close(low + high, 2 * mean, 1e-5),
        "your interval does not have the mean of the differences in its middle",
    )
    start, end = intervals.t_interval(differences)
    expect(
        high - low > end - start - 1e-6,
        f"your interval is {high - low:.4f} wide, and Student's t interval of the "
        f"differences {end - start:.4f}; yours is narrower than 95 %",
    )
    expect(
        high - low < end - start + 1e-6,
        f"your interval is {high - low:.4f} wide, and Student's t interval of the "
        f"differences {end - start:.4f}; yours is wider, are the runs paired?",
    )


# clear gain, clear loss, a gain that the draws do not decide, no difference at all:
# each with a factor of the draws' scatter
GAINS = (0.03, 1), (-0.03, 1), (0.003, 1), (-0.003, 1), (0.0, 0)


def experiment(
    answer,
    order,
    seen_by=lambda run: run,
    *,
    border=0.0,
    verdicts=VERDICTS,
    gains=GAINS,
    of_accuracies=True,
):
    """What an experiment of paired runs, answer(run), has to get right; the words of
    the verdict. order: what is taken minus what. seen_by(run): the function that the
    answer calls, where its first argument is not a bool. verdicts: of an interval above
    the border, below it, and around it.
    """
    guesses = set()
    for gain, noise in gains:
        calls = []
        run = seen_by(recorded(gain, calls, noise))
        report = reported(answer, run, verdicts, of_accuracies)
        predicted, measured, low, high, says = report
        guesses.add(predicted)
        expect(
            len(guesses) == 1,
            "your prediction changes with the result; a prediction is a fixed number, "
            "written down before the run",
        )
        replay, seeds = recorded(gain, [], noise), seeds_of(calls)
        differences = [replay(True, seed) - replay(False, seed) for seed in seeds]
        interval_of_draws(differences, measured, low, high, order)
        above, below, around = verdicts
        wanted = above if low > border else below if high < border else around
        expect(
            says == wanted or wanted != around,
            f"the interval is {low:+.4f} to {high:+.4f} and holds {border:g}, and you "
            f"conclude {says!r}; the draws do not decide, whatever was predicted",
        )
        expect(
            says == wanted,
            f"the interval is {low:+.4f} to {high:+.4f}, and you conclude {says!r}; "
            f"look on which side of {border:g} the whole interval lies",
        )
    return correct(
        f"a guess of {predicted:+.3f}, paired runs, and a conclusion that the interval "
        "allows"
    )


@exercise
def check_balance(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(balanced, seed) is an accuracy.
    """
    return experiment(answer, "balanced minus any")


def pair_errors(vectors, labels):
    """(cosine - same class)^2 of each pair of different texts, in double."""
    unit = torch.nn.functional.normalize(vectors.double(), dim=-1)
    same = (labels[:, None] == labels).double()
    pairs = torch.ones_like(same).triu(1).bool()
    return ((unit @ unit.T - same)[pairs]) ** 2


def drawn_texts(count, width, classes, seed, longer=1.0):
    """`count` vectors of different lengths, and their classes."""
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, width, generator=draw) + 0.5
    vectors = vectors * longer * (torch.rand(count, 1, generator=draw) + 0.5)
    return vectors, torch.randint(classes, (count,), generator=draw)


def known_losses(vectors, labels):
    """[(a wrong value, its hint)] of the misunderstandings that have one."""
    unit = torch.nn.functional.normalize(vectors.double(), dim=-1)
    same, raw = (labels[:, None] == labels).double(), vectors.double()
    error, pairs = (unit @ unit.T - same) ** 2, torch.ones_like(same).triu(1).bool()
    cosine = (unit @ unit.T)[pairs]
    return [
        (
            error.mean(),
            "the mean is over all B * B entries, every text with itself included; "
            "those cosines are 1 whatever the model does, leave them out",
        ),
        (error[pairs].sum(), "this is a sum; return the mean over the pairs"),
        (
            ((raw @ raw.T - same) ** 2)[pairs].mean(),
            "these are products of the vectors as they come; a cosine needs vectors of "
            "length 1",
        ),
        (
            (error - 2 * (unit @ unit.T) * (1 - 2 * same) + 1 - 2 * same)[pairs].mean(),
            "the target is turned round: 1 within a class, 0 between classes",
        ),
        (
            (cosine - same[pairs]).abs().mean(),
            "these are absolute errors; square them",
        ),
        (
            (cosine - 2 * same[pairs] + 1).square().mean(),
            "the target between classes is -1 here; the task says 0",
        ),
        (
            error[pairs & same.bool()].mean(),
            "only pairs within a class count; the pairs between classes belong to it",
        ),
        (
            error[pairs & ~same.bool()].mean(),
            "only pairs between classes count; the pairs within a class belong to it",
        ),
        (
            error[pairs].mean().sqrt(),
            "this is the root of the mean; return the mean squared error",
        ),
    ]


def trained_by(answer, vectors, labels):
    """Raise the hint for gradients that are not those of the loss."""
    given = vectors.clone().requires_grad_()
    value = answer(given, labels)
    expect(
        torch.is_tensor(value) and value.requires_grad,
        "the result is cut off from the vectors, so nothing could be trained; return "
        "a tensor without item() and detach()",
    )
    ours = vectors.double().requires_grad_()
    wanted = torch.autograd.grad(pair_errors(ours, labels).mean(), ours)[0]
    slope = torch.autograd.grad(value, given)[0]
    expect(
        torch.allclose(slope.double(), wanted, atol=1e-5, rtol=1e-3),
        "the value is correct and its gradients are not; a part of the computation "
        "is cut off from the vectors",
    )


@exercise
def check_pairs_apart(answer):
    """answer(vectors (B, D), labels (B,)) -> the mean over pairs of
    (cosine - same class)^2.
    """
    for count, width, classes, seed, longer in (
        (6, 4, 2, 0, 1.0),
        (9, 3, 3, 1, 1.0),
        (16, 12, 2, 2, 10.0),
        (5, 8, 7, 3, 0.01),
        (2, 3, 2, 4, 1.0),
    ):
        vectors, labels = drawn_texts(count, width, classes, seed, longer)
        value = answer(vectors, labels)
        expect(
            getattr(value, "ndim", 0) == 0,
            f"the result has the shape {tuple(getattr(value, 'shape', ()))}; return "
            "one number for the batch",
        )
        wanted = float(pair_errors(vectors, labels).mean())
        if not close(value, wanted, 1e-5):
            for wrong, words in known_losses(vectors, labels):
                expect(not close(value, wrong, 1e-5), words)
        expect(
            close(value, wanted, 1e-5),
            f"with {count} texts of {len(set(labels.tolist()))} classes the loss is "
            f"{float(value):.6f}, expected {wanted:.6f}",
        )
        trained_by(answer, vectors, labels)
    vectors, _ = drawn_texts(4, 6, 2, 5)
    for labels in (torch.zeros(4).long(), torch.arange(4)):
        value, wanted = answer(vectors, labels), pair_errors(vectors, labels).mean()
        expect(
            close(value, wanted, 1e-5),
            f"a batch of the classes {labels.tolist()} gives {float(value):.6f}, "
            f"expected {float(wanted):.6f}; average over all pairs, not within each "
            "kind",
        )
    lonely, _ = drawn_texts(1, 6, 2, 6)
    given = lonely.requires_grad_()
    value = answer(given, torch.tensor([1]))
    number = float(value.detach() if torch.is_tensor(value) else value)
    expect(
        number == 0,
        f"a batch of one text has no pair and gives {number:.4g}; return 0, a mean "
        "over nothing is not a number",
    )
    expect(
        torch.is_tensor(value) and value.requires_grad,
        "a batch of one text gives a 0 that no loop can call backward() on; let it "
        "come from the vectors",
    )
    return correct("each pair counts once, and only the angle matters")


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
