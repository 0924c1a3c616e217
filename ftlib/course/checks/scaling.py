"""Checks of chapter 10: n-gram overlap, the fraction of real tokens in padded batches,
the fitted law, what a run costs, and a broken filter that leaves test texts in a
corpus.

>>> from ftlib.course.checks.scaling import check_filled_share
>>> check_filled_share(
...     lambda lengths, batch: sum(lengths) / (len(lengths) * max(lengths))
... )
hint: you pad every batch to the longest text of all; pad each batch to its own longest
text

What it is not: a test of speed, or of the last digits: numbers are compared as closely
as float32 answers allow (1e-5, or 3e-6 of the number).
Needs: torch, ftlib, and data/results/scaling.json for the last step of
`check_predict_loss`.
"""

import json
import math
import pathlib
import random
import re

import ftlib
from ftlib.course.checks import correct, exercise, expect, forbid
from ftlib.course.checks.numeric import (
    expect_none_of,
    expect_unrounded,
    near,
    two_numbers,
    uses,
)
from ftlib.data import corpus
from ftlib.evaluation import cost, scaling


def _number(value):
    """A plain float of whatever the reader returns: numpy and torch numbers too."""
    return float(value.item() if hasattr(value, "item") else value)


def _runs(text, n, words=r"\w+"):
    """The runs of n words of a text, in their order, each a tuple."""
    word_list = re.findall(words, text)
    return [tuple(word_list[i : i + n]) for i in range(len(word_list) - n + 1)]


def _jaccard(one, two):
    one, two = set(one), set(two)
    return len(one & two) / len(one | two)


def _right_overlap(a, b, n):
    return _jaccard(_runs(a.lower(), n), _runs(b.lower(), n))


def _wrong_overlaps(a, b, n):
    """[(a wrong similarity, its hint)]."""
    low = a.lower(), b.lower()
    lists = [_runs(text, n) for text in low]
    one, two = map(set, lists)
    shared, union = len(one & two), len(one | two)

    def of(change):
        return _jaccard(*map(change, (a, b)))

    return [
        (
            _jaccard(*(_runs(text, 1) for text in low)),
            "you compare single words; two reviews share most of those without being "
            "copies, so compare runs of n words",
        ),
        (
            _jaccard(*(_runs(text, n, r"(?s).") for text in low)),
            "you count runs of n letters; use runs of n words",
        ),
        (
            of(lambda text: _runs(text, n, r"\S+")),
            "your function keeps case and punctuation: 'thin.' and 'thin,' differ, "
            "'IS' and 'is' too; remove both",
        ),
        (
            of(lambda text: _runs(text, n)),
            "your function takes 'The' and 'the' as two words; lower the case before "
            "you compare",
        ),
        (
            of(lambda text: _runs(text.lower(), n, r"\S+")),
            "your function takes 'thin.' and 'thin,' as two words; take letters and "
            "digits alone, `\\w+`",
        ),
        (
            _jaccard(lists[0][:-1], lists[1][:-1]),
            "the last run of n words is missing: there are len(words) - n + 1 of them",
        ),
        (
            _jaccard(lists[0][::n], lists[1][::n]),
            "your runs stand side by side; they are overlapping, and one starts at "
            "every word",
        ),
        (
            shared / min(len(one), len(two)),
            "you divide by the smaller set (containment, another useful measure); "
            "Jaccard divides by the union",
        ),
        (shared / len(one), "you divide by the runs of the first text; take the union"),
        (
            shared / len(two),
            "you divide by the runs of the second text; take the union",
        ),
        (
            shared / (len(one) + len(two)),
            "you divide by the sum of both sizes, which counts the shared runs twice; "
            "two equal texts would get 0.5",
        ),
        (
            sum(run in two for run in lists[0]) / union,
            "a run that occurs twice counts twice in your function; make sets first",
        ),
        (
            of(lambda text: map(frozenset, _runs(text.lower(), n))),
            "runs of the same words in another order are equal in your function; keep "
            "the order of the words",
        ),
        (
            of(lambda text: (tuple(sorted(run)) for run in _runs(text.lower(), n))),
            "runs of the same words in another order are equal in your function; keep "
            "the order of the words",
        ),
    ]


def _spelling(a, b, n):
    """Hints for texts with apostrophes, digits and letters beyond a to z."""

    def of(words, removed="(?!)"):
        texts = (re.sub(removed, "", text.lower()) for text in (a, b))
        return _jaccard(*(_runs(text, n, words) for text in texts))

    return [
        (
            of("[a-z0-9]+"),
            "letters beyond a to z are no part of your words; `\\w+` takes 'ö' and 'ï' "
            "too",
        ),
        (of("[a-z]+"), "your words have letters alone, from a to z; `\\w+` is more"),
        (of(r"[^\W\d]+"), "your words have no digits; `\\w+` takes them too"),
        (
            of(r"\w+", r"[^\w\s]"),
            "an apostrophe or a hyphen ends a run of letters: 'it's' is two words; "
            "your function deletes it and glues the parts",
        ),
        (
            of(r"[\w']+"),
            "an apostrophe ends a run of letters: 'it's' is two words by `\\w+`",
        ),
    ]


@exercise
def check_overlap_of(answer):
    """answer(a, b, n) -> float: shared word n-grams over all word n-grams of two
    texts.
    """
    own = "write the similarity yourself, without corpus"
    for function in (corpus.ngrams, corpus.jaccard):
        expect(
            not uses(answer, function),
            f"your function calls {function.__name__}; {own}",
        )
    paths = ("ngrams", "jaccard", "signature", "exact_pairs", "near_duplicates")
    with forbid(*(f"ftlib.data.corpus.{name}" for name in paths), instead=own):
        _expect_overlaps(answer)
    return correct("runs of words, each once, shared over all")


def _expect_overlaps(answer):
    b = "The plot is thin. The plot is thin, but the cast is fine, and so is the music!"
    a = (
        "At first the plot is thin but the cast IS wonderful, and so is the lake. And "
        "so is the music, now and then: the plot is thin. Music is the key"
    )
    got, expected = _number(answer(a, b, 3)), _right_overlap(a, b, 3)
    expect(
        0 <= got <= 1,
        f"the overlap is {got:.3g}; shared over all is a number between 0 and 1",
    )
    expect_none_of(got, expected, _wrong_overlaps(a, b, 3))
    expect_unrounded(got, expected, "the overlap")
    expect(
        near(got, expected),
        f"the overlap is {got:.7g}, expected {expected:.7g}; print both sets and "
        "compare",
    )
    a = "It's a naïve film of 2001, a well-made naïve film: 9 of 10 by Jörg. It's fine."
    b = "Its score: 8 of 10. A well made naive film of 1999; it's a naïve film by Jürg."
    got, expected = _number(answer(a, b, 2)), _right_overlap(a, b, 2)
    expect_none_of(got, expected, _spelling(a, b, 2))
    expect(
        near(got, expected),
        f"correct for runs of 3 words; for runs of 2 words, in {a!r} and {b!r}, the "
        f"overlap is {got:.7g}, expected {expected:.7g}",
    )
    expect(
        near(_number(answer("no where to go", "now here to go", 2)), 0.2),
        "'no where' and 'now here' are equal in your function: the words of a run are "
        "glued; keep them apart",
    )
    expect(
        near(_number(answer(a, a, 2)), 1.0),
        "a text and itself must have an overlap of 1",
    )
    expect(
        near(_number(answer("one two three four", "five six seven eight", 2)), 0.0),
        "texts that share nothing must have an overlap of 0",
    )
    draw = random.Random(0)
    for n, size in ((1, 6), (4, 30), (5, 60), (5, 5)):
        a, b = (" ".join(draw.choices("ab", k=size)) for _ in range(2))
        got, expected = _number(answer(a, b, n)), _right_overlap(a, b, n)
        expect(
            near(got, expected),
            f"for runs of {n} words in {a!r} and {b!r} the overlap is {got:.7g}, "
            f"expected {expected:.7g}",
        )


def _share_of_text(groups, width=max, rows=len):
    text = sum(map(sum, groups))
    return text / sum(rows(group) * width(group) for group in groups)


def _wrong_shares(lengths, batch):
    """[(a wrong fraction, its hint)]."""
    groups = _groups(lengths, batch)
    correct_share, number = _share_of_text(groups), len(groups)
    full = [group for group in groups if len(group) == batch]
    return [
        (
            1 - correct_share,
            "this is the fraction that is padding; return the fraction that holds text",
        ),
        (
            sum(lengths) / (len(lengths) * max(lengths)),
            "you pad every batch to the longest text of all; pad each batch to its own "
            "longest text",
        ),
        (
            sum(_share_of_text([group]) for group in groups) / number,
            "you take the mean of the batches' fractions, but a wide batch has more "
            "positions than a narrow one; add up text and positions first",
        ),
        (
            _share_of_text(groups, rows=lambda group: batch),
            "the last batch has 2 texts, not 3; give it as many rows as it has texts",
        ),
        (
            _share_of_text(_groups(sorted(lengths), batch)),
            "you sort by length first, a good idea, but not here; make the batches in "
            "the order given",
        ),
        (
            _share_of_text(_groups(sorted(lengths, reverse=True), batch)),
            "you sort by length first, a good idea, but not here; make the batches in "
            "the order given",
        ),
        (
            _share_of_text(full),
            "the last, shorter batch is left out; it is computed as well",
        ),
        (
            1 / correct_share,
            "this is positions over text; return text over positions",
        ),
        (100 * correct_share, "this is a percentage; return a fraction, from 0 to 1"),
        (
            _share_of_text(groups, width=lambda group: -(-max(group) // 8) * 8),
            "you pad to a multiple of 8; pad to the longest text of the batch",
        ),
        (
            _share_of_text([lengths[i::number] for i in range(number)]),
            "the texts are dealt to the batches in turn; a batch takes the next texts "
            "in their order",
        ),
        (
            _share_of_text(groups, width=lambda group: group[-1]),
            "the last text of each batch gives the width; the longest does",
        ),
        (
            _share_of_text(groups, width=lambda group: group[0]),
            "the first text of each batch gives the width, and longer ones do not fit "
            "into these positions; the longest does",
        ),
    ]


def _groups(lengths, batch):
    return [lengths[i : i + batch] for i in range(0, len(lengths), batch)]


@exercise
def check_filled_share(answer):
    """answer(lengths: list of int, batch: int) -> float: the fraction of
    positions that hold real tokens when batches are padded.
    """
    lengths = [10, 2, 4, 8, 100, 20, 30, 6]
    got, expected = (
        _number(answer(list(lengths), 3)),
        _share_of_text(_groups(lengths, 3)),
    )
    expect_none_of(got, expected, _wrong_shares(lengths, 3))
    expect(
        got != 0,
        "the fraction is 0, a whole number: // drops what is behind the point; use /",
    )
    expect_unrounded(got, expected, "the fraction")
    expect(
        near(got, expected),
        f"180 of 390 positions hold text, expected {expected:.7g}, and you return "
        f"{got:.7g}",
    )
    draw = random.Random(0)
    for size, batch in ((50, 8), (7, 7), (5, 1), (4, 10), (1, 3)):
        many = [draw.randint(1, 300) for _ in range(size)]
        expected = _share_of_text(_groups(many, batch))
        got = _number(answer(list(many), batch))
        expect(
            near(got, expected),
            f"correct for eight texts, wrong for {size} texts in batches of {batch}: "
            f"you return {got:.7g}, expected {expected:.7g}",
        )
    return correct("text over positions, each batch as wide as its own longest text")


def stored():
    """data/results/scaling.json as a dict."""
    path = (
        pathlib.Path(ftlib.__file__).resolve().parent.parent
        / "data"
        / "results"
        / "scaling.json"
    )
    return json.loads(path.read_text(encoding="utf-8"))


def _line(x, y):
    """(intercept, slope) of least squares."""
    mx, my = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mx) * (b - my) for a, b in zip(x, y)) / sum(
        (a - mx) ** 2 for a in x
    )
    return my - slope * mx, slope


def _fit(sizes, losses, irreducible, new):
    """(alpha, predicted loss), as asked for."""
    start, slope = _line(
        [math.log(n) for n in sizes], [math.log(loss - irreducible) for loss in losses]
    )
    return -slope, math.exp(start + slope * math.log(new)) + irreducible


def _wrong_alphas(sizes, losses, irreducible, alpha):
    """[(a wrong exponent, its hint)]; the runs are sorted by size."""
    x = [math.log(n) for n in sizes]
    y = [math.log(loss - irreducible) for loss in losses]
    upwards = sorted(y)
    kinds = sorted(set(x))
    means = []
    for kind in kinds:
        same = [b for a, b in zip(x, y) if a == kind]
        means.append(sum(same) / len(same))
    return [
        (
            -alpha,
            f"your alpha is {-alpha:.7g}, the slope itself; L falls with N as "
            "N^-alpha, so alpha is minus the slope",
        ),
        (
            -_line(x, [math.log(v) for v in losses])[1],
            "you take the logarithm of the total loss; subtract the irreducible loss "
            "(floor) first: log(L - floor)",
        ),
        (
            -_line(x, losses)[1],
            "you fit the loss against log N; its logarithm is a straight line, the "
            "loss is not",
        ),
        (
            -_line(sizes, y)[1],
            "you fit log loss against N itself; take the logarithm of both",
        ),
        (
            -(y[-1] - y[0]) / (x[-1] - x[0]),
            "your line goes through the first and the last run; "
            "least squares uses all of them",
        ),
        (
            -1 / _line(y, x)[1],
            "you fit size against loss; the errors are in the loss, so size is x",
        ),
        (
            -_line(x, upwards[::-1])[1],
            "sizes and losses are sorted apart: a size gets the loss of another run; "
            "keep the pairs together",
        ),
        (
            -_line(x, upwards)[1],
            "sizes and losses are sorted apart, so that the smallest size gets the "
            "smallest loss; keep the pairs together",
        ),
        (
            -_line(kinds, means)[1],
            "each size counts once in your fit, with its mean; each run is a point of "
            "the fit",
        ),
        (
            alpha * math.log(10),
            "the logarithm of one axis is natural and that of the other has base 10; "
            "take the same for both",
        ),
        (
            alpha / math.log(10),
            "the logarithm of one axis is natural and that of the other has base 10; "
            "take the same for both",
        ),
    ]


@exercise
def check_predict_loss(answer):
    """answer(sizes, losses, floor, new_size) -> (alpha, predicted loss) of L = a
    N^-alpha + floor by least squares on logs.
    """
    own = "use nothing from scaling"
    names = ("fit_power", "fit_irreducible", "bootstrap_laws", "predict", "residuals")
    expect(
        not uses(answer, scaling.fit_power, scaling.fit_irreducible),
        f"your function calls a fit of scaling; {own}",
    )
    with forbid(*(f"ftlib.evaluation.scaling.{name}" for name in names), instead=own):
        _expect_first_fit(answer)
        _expect_other_fits(answer)
        alpha, loss, foretold, seen = _expect_stored_fit(answer)
    low, high = foretold["low"], foretold["high"]
    inside = "inside" if low <= seen <= high else "outside"
    return correct(
        f"alpha {alpha:.2f}, predicted {loss:.2f}; the run that was not used for the "
        f"fit reached {seen:.2f}, {inside} the band {low:.2f} to {high:.2f}"
    )


def _expect_first_fit(answer):
    sizes, irreducible, new = [1e3, 1e3, 1e4, 1e5, 1e5, 3e5], 1.0, 1e6
    losses = [5.1, 4.7, 3.5, 2.9, 2.7, 2.79]
    expected = _fit(sizes, losses, irreducible, new)
    alpha, loss = two_numbers(
        answer(list(sizes), list(losses), irreducible, new), "alpha, predicted loss"
    )
    expect(
        not (near(alpha, expected[1]) and near(loss, expected[0])),
        "both numbers are correct and the other way round; alpha comes first",
    )
    expect_none_of(
        alpha, expected[0], _wrong_alphas(sizes, losses, irreducible, expected[0])
    )
    expect_unrounded(alpha, expected[0], "alpha")
    expect(
        near(alpha, expected[0]),
        f"alpha is {alpha:.7g}, expected {expected[0]:.7g} by least squares on the "
        "logarithms of these six runs",
    )
    bare = expected[1] - irreducible
    start = bare * new ** expected[0]
    log = (
        "alpha is correct, but the line gives the logarithm of the loss; take exp of it"
    )
    wrong = [
        (
            bare,
            "alpha is correct, but the predicted loss lacks the irreducible loss "
            "(floor); add it again after the fit",
        ),
        (math.log(bare), log),
        (math.log(bare) + irreducible, log),
        (
            losses[-1],
            "alpha is correct, but this is the loss of the largest run; extend the "
            "line to the new size",
        ),
        (
            expected[1] + irreducible,
            "alpha is correct, but the irreducible loss (floor) is added twice",
        ),
        (
            start + irreducible,
            "alpha is correct, but this is the loss of the law at N = 1",
        ),
    ]
    expect_none_of(loss, expected[1], wrong)
    expect_unrounded(loss, expected[1], "alpha is correct, but the predicted loss")
    expect(
        near(loss, expected[1]),
        f"alpha is correct, but at N = {new:.0e} the predicted loss is {loss:.7g}, "
        f"expected {expected[1]:.7g}",
    )


def _expect_other_fits(answer):
    """Runs in any order, other floors, a size in between, and a loss that rises."""
    draw = random.Random(3)
    for law, irreducible, new in (
        ((30.0, 0.3), 0.3, 2e8),
        ((80.0, 0.5), 2.5, 3e4),
        ((9.0, 0.2), 0.0, 1e9),
        ((0.5, -0.1), 1.2, 1e7),
    ):
        sizes = [round(math.exp(draw.uniform(7, 16))) for _ in range(8)]
        losses = [
            law[0] * n ** -law[1] * math.exp(draw.gauss(0, 0.05)) + irreducible
            for n in sizes
        ]
        expected = _fit(sizes, losses, irreducible, new)
        got = two_numbers(
            answer(sizes, losses, irreducible, new), "alpha, predicted loss"
        )
        expect(
            expected[0] > 0 or not near(got[0], -expected[0]),
            f"alpha is {got[0]:.7g}, but the loss rises with the size in these runs; "
            "alpha is negative then",
        )
        between = min(sizes) < new < max(sizes)
        side = "between" if between else "beyond"
        expect(
            near(got[0], expected[0]) and near(got[1], expected[1]),
            "correct for the first runs; for 8 others in any order, "
            f"floor {irreducible:g} "
            f"and a new size {side} the sizes of the runs you return ({got[0]:.7g}, "
            f"{got[1]:.7g}), expected ({expected[0]:.7g}, {expected[1]:.7g})",
        )


def _expect_stored_fit(answer):
    record = stored()
    runs, foretold = record["runs"], record["prediction"]
    given = (
        [r["weights"] for r in runs],
        [r["loss"] for r in runs],
        foretold["law"]["irreducible_loss"],
        foretold["weights"],
    )
    alpha, loss = two_numbers(answer(*given), "alpha, predicted loss")
    expected = _fit(*given)
    expect(
        near(loss, expected[1]) and near(alpha, expected[0]),
        f"correct for six runs, but for the stored family you predict {loss:.7g}, "
        f"expected {expected[1]:.7g}",
    )
    return alpha, loss, foretold, record["held_out"]["loss"]


def _plan(case):
    """(hours, money) of a run, a dict with the names of the task."""
    work = 6 * case["weights"] * case["tokens"]
    hours = work / (case["peak"] * case["share"] * case["gpus"]) / 3600
    return hours, hours * case["gpus"] * case["price"]


def _wrong_hours(hours, case):
    """[(a wrong number of hours, its hint)]."""
    mfu, gpus = case["share"], case["gpus"]
    return [
        (hours * 3600, "these are seconds; an hour has 3,600"),
        (hours * 60, "these are minutes; return hours"),
        (hours / 24, "these are days; return hours"),
        (
            hours / 3,
            "you count 2 operations for each parameter and token, a forward pass; "
            "training costs 6",
        ),
        (
            hours / 6,
            "you count 1 operation for each parameter and token; training costs 6",
        ),
        (
            hours * mfu,
            "you divide by the full peak; the machine reaches only a fraction of it "
            "(share, the MFU), so the run takes longer",
        ),
        (
            hours * mfu**2,
            "share, the MFU, makes your run shorter; divide by it, do not multiply",
        ),
        (
            hours * gpus,
            "this is the time on one GPU; divide the work by the number of GPUs, here "
            "eight",
        ),
        (
            hours * gpus**2,
            "more GPUs make your run longer; divide the operations among them",
        ),
        (
            math.ceil(hours),
            "these are whole hours, rounded up; return the time itself",
        ),
    ]


@exercise
def check_hours_and_money(answer):
    """answer(weights, tokens, gpus, peak, share, price) -> (hours, money); price for
    one GPU and hour.
    """
    own = "use neither run_cost nor anything from cost"
    expect(not uses(answer, cost.run_cost), f"your function calls run_cost; {own}")
    names = ("run_cost", "training_flops", "flops", "parameters")
    with forbid(*(f"ftlib.evaluation.cost.{name}" for name in names), instead=own):
        _expect_plan(answer)
    return correct(
        "operations over speed; twice the GPUs take half the time and cost the same, "
        "if the MFU stays"
    )


def _expect_plan(answer):
    case = dict(weights=2e9, tokens=3.1e11, gpus=8, peak=4e14, share=0.3, price=2.0)
    expected, pay = _plan(case)
    hours, money = two_numbers(answer(**case), "hours, money")
    expect(
        not (near(hours, pay) and near(money, expected)),
        "both numbers are correct and the other way round; the hours come first",
    )
    expect_none_of(hours, expected, _wrong_hours(expected, case))
    expect_unrounded(hours, expected, "the number of hours")
    expect(
        near(hours, expected),
        f"the run takes {hours:,.7g} hours, expected {expected:,.7g}; compute the "
        "operations first, then the speed",
    )
    so_far = "the hours are correct, but"
    wrong = [
        (
            expected * case["price"],
            f"{so_far} this is the money for one GPU, and you pay for all eight",
        ),
        (expected * 8, f"{so_far} the money lacks the price; multiply by it"),
        (
            math.ceil(expected) * 16,
            f"{so_far} you pay for whole hours, and the task for the time itself",
        ),
        (
            pay * case["share"],
            f"{so_far} the money is multiplied by share; you pay for the whole hour, "
            "whatever the GPU reaches in it",
        ),
        (pay / case["share"], f"{so_far} the money is divided by share once more"),
    ]
    expect_none_of(money, pay, wrong)
    expect_unrounded(money, pay, f"{so_far} the money")
    expect(
        near(money, pay),
        f"{so_far} the money is {money:,.7g}, expected {pay:,.7g}",
    )
    other = dict(weights=1.5e8, tokens=2e9, gpus=1, peak=9e13, share=0.45, price=0.7)
    for name, value in other.items():
        one = answer(**{**case, name: value})
        _expect_same_plan(one, {**case, name: value}, f"with {name}={value:g}")
    _expect_same_plan(answer(**other), other, "for a small run on one GPU")
    _expect_same_plan(
        answer(*other.values()), other, "for arguments without names, in their order,"
    )


def _expect_same_plan(result, case, prefix):
    got, expected = two_numbers(result, "hours, money"), _plan(case)
    expect(
        all(map(near, got, expected)),
        f"correct for the first run; {prefix} the result is ({got[0]:,.7g}, "
        f"{got[1]:,.7g}), expected ({expected[0]:,.7g}, {expected[1]:,.7g}); is a "
        "number written into your function?",
    )


_TESTS = [
    "The lake at night, a boat, and a man who will not say his name to anyone.",
    "I laughed twice: once at the wig and once at the bill for the tickets we "
    "had bought.",
]


@exercise
def check_repaired_corpus(answer):
    """answer(documents, tests, n) -> the documents that share no run of n words with a
    test text.
    """
    fine = [
        "One lake, a night and a boat make a poster and no film.",
        "I laughed once.",
        "  Nobody bought a ticket\nfor the  second part. ",
        "a man who will not leave his house learns to swim",
    ]
    exact = [_TESTS[0]]
    altered = [
        "the LAKE at night; a boat -- and a MAN who will not SAY his name to anyone!!"
    ]
    inside = [
        f"Somebody wrote: {_TESTS[1]} I agree, and would add that the music was good."
    ]
    partly = [
        "My own review begins. once at the wig and once at the bill for the "
        "tickets, said a friend, and she was right."
    ]
    documents = [fine[0], *exact, fine[1], *altered, *inside, fine[2], *partly, fine[3]]
    kept = answer(documents, list(_TESTS), 8)
    expect(
        isinstance(kept, (list, tuple)) and all(isinstance(text, str) for text in kept),
        "return the list of the documents that you keep",
    )
    kept = list(kept)
    expect(kept != documents, "every document is kept; the test texts are still inside")
    expect(
        not (set(kept) & set(exact)),
        "a document that equals a test text, letter by letter, is still there; "
        "remove it",
    )
    expect(
        set(kept) <= set(documents)
        or not {" ".join(text.split()) for text in kept}
        <= {" ".join(text.split()) for text in documents},
        "spaces and line ends of a kept document have changed; keep it as written",
    )
    expect(
        set(kept) <= set(documents),
        "the kept documents have changed; compare in lower case, but keep them as "
        "written",
    )
    expect(
        set(kept) & set(inside) or not set(kept) & set(altered),
        "quotations are removed, but a copy with 'LAKE' for 'lake' stays; lower the "
        "case and drop punctuation before you make the runs",
    )
    expect(
        not (set(kept) & set(altered)),
        "a copy with other case and punctuation is "
        "still there; compare words, lower-cased",
    )
    expect(
        not (set(kept) & set(inside)),
        "a document that quotes a test text inside a longer one is still there; look "
        "for runs of words, not for equal texts",
    )
    expect(
        not (set(kept) & set(partly)),
        "a document that quotes half a test text is still there; one common run of "
        "n words is enough to drop it",
    )
    lost = [text for text in fine if text not in kept]
    expect(
        lost != [fine[1]],
        "a document of fewer than n words has no run of n words, and is removed; keep "
        "it",
    )
    expect(
        len(lost) < len(fine),
        "no document is kept; remove a document for a common run of n words, not for "
        "a common word",
    )
    expect(
        not lost,
        "a document without a common run of 8 words is removed: "
        f"{lost[0] if lost else ''!r}",
    )
    expect(
        kept == fine,
        "the list has other documents or another order; return what you keep in the "
        "order in which it came",
    )
    wider = answer(documents, list(_TESTS), 40)
    expect(
        partly[0] in wider,
        "with n = 40 no quotation of half a text is that long, but the document is "
        "removed; is n used?",
    )
    _expect_short_runs(answer)
    _expect_random_corpora(answer)
    return correct(
        "copies, edited copies and quotations are removed, everything else is kept "
        "as written"
    )


_FILM_TESTS = [
    "A man sold the boat he had built.",
    "We never saw the end of it!",
    "电影 很好 看 吗",
    "Not one of these ten words is new to us.",
]
# (document, whether it is kept, the hint), for runs of 4 words
_FILM_DOCUMENTS = [
    (
        "I say: man sold the boat, again",
        False,
        "with n = 4 a document has exactly one run in common with a test, 'man sold "
        "the boat', and is still there; one is enough, and it starts at any word",
    ),
    (
        "He told us these ten words once",
        True,
        "with n = 4 a document is removed that shares three words with a test",
    ),
    (
        "a woman sold the boat",
        True,
        "'a woman sold the boat' is removed, because 'man sold the boat' is found as "
        "part of a word in it; compare words, not letters",
    ),
    (
        "had built we never knew what",
        True,
        "a document is removed for the end of one test text with the beginning of "
        "the next; make the runs of each test by itself",
    ),
    (
        "boat the sold man",
        True,
        "a document is removed that has the words of a run in another order; a run "
        "keeps its order",
    ),
    (
        "not one of these ten",
        False,
        "a document that quotes the last of several tests is still there; compare "
        "with each of them",
    ),
    (
        "she asked 电影 很好 看 吗 and left",
        False,
        "a document that quotes a Chinese test is still there; letters beyond a to z "
        "are letters, `\\w+` takes them",
    ),
    ("A new film.", True, "a document of fewer than n words is removed"),
]


def _expect_short_runs(answer):
    documents = [text for text, _, _ in _FILM_DOCUMENTS]
    kept = list(answer(documents, list(_FILM_TESTS), 4))
    expect(
        kept != documents,
        "with n = 4 every document is kept; is n used as it is given?",
    )
    for text, stays, words in _FILM_DOCUMENTS:
        expect((text in kept) == stays, words)
    twice = [documents[2], "A new film.", documents[2]]
    expect(
        list(answer(twice, list(_FILM_TESTS), 4)) == twice,
        "a document that stands twice in the corpus is kept once; this is no task for "
        "removing duplicates: return the others as they are",
    )
    expect(
        list(answer(documents, [], 4)) == documents
        and list(answer([], ["a b c d"], 4)) == [],
        "without test texts every document stays, and without documents the result is "
        "an empty list",
    )


def _expect_random_corpora(answer):
    """Documents of few different words, so that runs of 1 to 5 words are shared."""
    draw = random.Random(1)
    for n, words in ((1, "abcdefghij"), (2, "abcdef"), (3, "abcd"), (5, "ab")):
        texts = [" ".join(draw.choices(words, k=draw.randint(n, 8))) for _ in range(24)]
        documents, tests = texts[:20], texts[20:22]
        banned = set().union(*(_runs(text, n) for text in tests))
        wanted = [text for text in documents if banned.isdisjoint(_runs(text, n))]
        kept = list(answer(documents, tests, n))
        expect(
            kept == wanted,
            f"with n = {n} you keep {len(kept)} of 20 documents of letters, expected "
            f"{len(wanted)}; is n used as it is given?",
        )
