"""Checks of chapter 10: n-gram overlap, the fraction of real tokens in padded batches,
the fitted law, what a run costs, and a broken filter that leaves test texts in a
corpus.

>>> from ftlib.course.checks.scaling import check_filled_share
>>> check_filled_share(
...     lambda lengths, batch: sum(lengths) / (len(lengths) * max(lengths))
... )
hint: you pad every batch to the longest text of all; pad each batch to its own longest
text

What it is not: a test of speed. Fractions and exponents are compared within 1e-6,
predicted losses within 1e-4.
Needs: torch, ftlib, and data/results/scaling.json for the last step of
`check_predict_loss`.
"""

import json
import math
import pathlib
import random
import re

import ftlib
from ftlib.course.checks import correct, exercise, expect
from ftlib.data import corpus


def _near(got, expected, within=1e-6):
    return (
        isinstance(got, (int, float))
        and math.isfinite(got)
        and abs(got - expected) <= within
    )


def _number(value):
    """A plain float of whatever the reader returns: numpy and torch numbers too."""
    return float(value.item() if hasattr(value, "item") else value)


def _grams(text, n):
    words = re.findall(r"\w+", text.lower())
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]


@exercise
def check_overlap_of(answer):
    """answer(a, b, n) -> float: shared word n-grams over all word n-grams of two
    texts.
    """
    a = "The plot is thin. The plot is thin, but the cast is fine, and so is the music!"
    b = (
        "At first the plot is thin but the cast IS wonderful, and so is the lake. And "
        "so is the music, now and then"
    )
    got, one, two = _number(answer(a, b, 3)), _grams(a, 3), _grams(b, 3)
    shared, union = set(one) & set(two), set(one) | set(two)
    expected = len(shared) / len(union)
    letters = [
        {t[i : i + 3] for i in range(len(t) - 2)} for t in (a.lower(), b.lower())
    ]
    cased = [
        {tuple(t[i : i + 3]) for i in range(len(t) - 2)}
        for t in (re.findall(r"\w+", a), re.findall(r"\w+", b))
    ]
    split = [
        {tuple(t[i : i + 3]) for i in range(len(t) - 2)}
        for t in (a.lower().split(), b.lower().split())
    ]
    rough = [
        {tuple(t[i : i + 3]) for i in range(len(t) - 2)} for t in (a.split(), b.split())
    ]
    short = [set(grams[:-1]) for grams in (one, two)]
    expect(
        0 <= got <= 1,
        f"the overlap is {got:.3g}; shared over all is a number between 0 and 1",
    )
    expect(
        not _near(got, corpus.jaccard(*map(set, (_grams(a, 1), _grams(b, 1))))),
        "you compare single words; two reviews share most of those without being "
        "copies, so compare runs of n words",
    )
    expect(
        not _near(got, corpus.jaccard(*letters)),
        "you count runs of n letters; use runs of n words",
    )
    expect(
        not _near(got, corpus.jaccard(*rough)),
        "your function keeps case and punctuation: 'thin.' and 'thin,' differ, 'IS' "
        "and 'is' too; remove both",
    )
    expect(
        not _near(got, corpus.jaccard(*cased)),
        "your function takes 'The' and 'the' as two words; lower the case before you "
        "compare",
    )
    expect(
        not _near(got, corpus.jaccard(*split)),
        "your function takes 'thin.' and 'thin,' as two words; take letters and "
        "digits alone, `\\w+`",
    )
    expect(
        not _near(got, corpus.jaccard(*short)),
        "the last run of n words is missing: there are len(words) - n + 1 of them",
    )
    expect(
        not _near(got, len(shared) / min(len(set(one)), len(set(two)))),
        "you divide by the smaller set (containment, another useful measure); "
        "Jaccard divides by the union",
    )
    expect(
        not _near(got, len(shared) / (len(set(one)) + len(set(two)))),
        "you divide by the sum of both sizes, which counts the shared runs twice; "
        "two equal texts would get 0.5",
    )
    expect(
        not _near(got, sum(g in two for g in one) / len(union)),
        "a run that occurs twice counts twice in your function; make sets first",
    )
    expect(
        _near(got, expected),
        f"the overlap is {got:.4f}, expected {expected:.4f}; print both sets and "
        "compare",
    )
    expect(
        _near(_number(answer(a, a, 2)), 1.0),
        "a text and itself must have an overlap of 1",
    )
    expect(
        _near(_number(answer("one two three four", "five six seven eight", 2)), 0.0),
        "texts that share nothing must have an overlap of 0",
    )
    return correct("runs of words, each once, shared over all")


@exercise
def check_filled_share(answer):
    """answer(lengths: list of int, batch: int) -> float: the fraction of
    positions that hold real tokens when batches are padded.
    """
    lengths = [10, 2, 4, 8, 100, 20, 30, 6]
    got = _number(answer(list(lengths), 3))
    batches = [lengths[:3], lengths[3:6], lengths[6:]]
    filled, positions = sum(lengths), sum(len(b) * max(b) for b in batches)
    expect(
        not _near(got, 1 - filled / positions),
        "this is the fraction that is padding; return the fraction that holds text",
    )
    expect(
        not _near(got, filled / (len(lengths) * max(lengths))),
        "you pad every batch to the longest text of all; pad each batch to its own "
        "longest text",
    )
    expect(
        not _near(got, sum(sum(b) / (len(b) * max(b)) for b in batches) / 3),
        "you take the mean of the batches' fractions, but a wide batch has more "
        "positions than a narrow one; add up text and positions first",
    )
    expect(
        not _near(got, filled / sum(3 * max(b) for b in batches)),
        "the last batch has 2 texts, not 3; give it as many rows as it has texts",
    )
    in_order = [sorted(lengths)[i : i + 3] for i in range(0, 8, 3)]
    expect(
        not _near(got, filled / sum(len(b) * max(b) for b in in_order)),
        "you sort by length first, a good idea, but not here; make the batches in "
        "the order given",
    )
    expect(
        not _near(
            got, sum(sum(b) for b in batches[:2]) / sum(3 * max(b) for b in batches[:2])
        ),
        "the last, shorter batch is left out; it is computed as well",
    )
    expect(
        not _near(got, positions / filled),
        "this is positions over text; return text over positions",
    )
    expect(
        _near(got, filled / positions),
        f"{filled} of {positions} positions hold text, expected "
        f"{filled / positions:.4f}, and you return {got:.4f}",
    )
    draw = random.Random(0)
    for size, batch in ((50, 8), (7, 7), (5, 1)):
        many = [draw.randint(1, 300) for _ in range(size)]
        groups = [many[i : i + batch] for i in range(0, size, batch)]
        expected = sum(many) / sum(len(b) * max(b) for b in groups)
        got = _number(answer(list(many), batch))
        expect(
            _near(got, expected),
            f"correct for eight texts, wrong for {size} texts in batches of {batch}: "
            f"you return {got:.4f}, expected {expected:.4f}",
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


@exercise
def check_predict_loss(answer):
    """answer(sizes, losses, floor, new_size) -> (alpha, predicted loss) of L = a
    N^-alpha + floor by least squares on logs.
    """
    sizes, irreducible, new = [1e3, 1e3, 1e4, 1e5, 1e5], 1.0, 1e6
    losses = [5.1, 4.7, 3.5, 2.9, 2.7]
    x = [math.log(n) for n in sizes]
    y = [math.log(loss - irreducible) for loss in losses]
    start, slope = _line(x, y)
    expected = (-slope, math.exp(start + slope * math.log(new)) + irreducible)
    result = answer(list(sizes), list(losses), irreducible, new)
    expect(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "return two numbers: (alpha, predicted loss)",
    )
    alpha, loss = map(_number, result)
    expect(
        not _near(alpha, slope),
        f"your alpha is {alpha:.3f}, the slope itself; L falls with N as N^-alpha, so "
        "alpha is minus the slope",
    )
    bare = _line(x, [math.log(v) for v in losses])
    expect(
        not _near(alpha, -bare[1]),
        "you take the logarithm of the total loss; subtract the irreducible loss "
        "(floor) first: log(L - floor)",
    )
    expect(
        not _near(alpha, -_line(x, losses)[1]),
        "you fit the loss against log N; its logarithm is a straight line, the loss "
        "is not",
    )
    expect(
        not _near(alpha, -_line(sizes, y)[1]),
        "you fit log loss against N itself; take the logarithm of both",
    )
    ends = -(math.log(losses[-1] - irreducible) - math.log(losses[0] - irreducible)) / (
        x[-1] - x[0]
    )
    expect(
        not _near(alpha, ends),
        "your line goes through the first and the last run; "
        "least squares uses all of them",
    )
    expect(
        not _near(alpha, -1 / _line(y, x)[1]),
        "you fit size against loss; the errors are in the loss, so size is x",
    )
    expect(
        _near(alpha, expected[0]),
        f"alpha is {alpha:.4f}, expected {expected[0]:.4f} by least squares on the "
        "logarithms of these five runs",
    )
    expect(
        not _near(loss, expected[1] - irreducible, 1e-4),
        "alpha is correct, but the predicted loss lacks the irreducible loss "
        "(floor); add it again after the fit",
    )
    expect(
        not _near(loss, math.log(expected[1] - irreducible), 1e-4)
        and not _near(loss, math.log(expected[1] - irreducible) + irreducible, 1e-4),
        "alpha is correct, but the line gives the logarithm of the loss; take exp of "
        "it",
    )
    expect(
        not _near(loss, losses[-1], 1e-4),
        "alpha is correct, but this is the loss of the largest run; extend the line "
        "to the new size",
    )
    expect(
        _near(loss, expected[1], 1e-4),
        f"alpha is correct, but at N = {new:.0e} the predicted loss is {loss:.3f}, "
        f"expected {expected[1]:.3f}",
    )
    record = stored()
    runs, foretold = record["runs"], record["prediction"]
    got = answer(
        [r["weights"] for r in runs],
        [r["loss"] for r in runs],
        foretold["law"]["irreducible_loss"],
        foretold["weights"],
    )
    alpha, loss = map(_number, got)
    low, high, seen = foretold["low"], foretold["high"], record["held_out"]["loss"]
    expect(
        low <= loss <= high,
        f"correct for five runs, but for the stored family you predict {loss:.3f}, "
        f"outside of {low:.3f} to {high:.3f}",
    )
    inside = "inside" if low <= seen <= high else "outside"
    return correct(
        f"alpha {alpha:.2f}, predicted {loss:.2f}; the run that was not used for the "
        f"fit reached {seen:.2f}, {inside} the band {low:.2f} to {high:.2f}"
    )


@exercise
def check_hours_and_money(answer):
    """answer(weights, tokens, gpus, peak, share, price) -> (hours, money); price for
    one GPU and hour.
    """
    case = dict(weights=2e9, tokens=3e11, gpus=8, peak=4e14, share=0.3, price=2.0)
    flops = 6 * case["weights"] * case["tokens"]
    expected = flops / (case["peak"] * case["share"] * case["gpus"]) / 3600
    result = answer(**case)
    expect(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "return two numbers: (hours, money)",
    )
    hours, money = map(_number, result)

    def is_(times):
        return _near(hours / expected, times, 1e-6)

    expect(not is_(3600), "these are seconds; an hour has 3,600")
    expect(not is_(60), "these are minutes; return hours")
    expect(
        not is_(1 / 3),
        "you count 2 operations for each parameter and token, a forward pass; "
        "training costs 6",
    )
    expect(
        not is_(1 / 6),
        "you count 1 operation for each parameter and token; training costs 6",
    )
    expect(
        not is_(case["share"]),
        "you divide by the full peak; the machine reaches only a fraction of it "
        "(share, the MFU), so the run takes longer",
    )
    expect(
        not is_(case["share"] ** 2),
        "share, the MFU, makes your run shorter; divide by it, do not multiply",
    )
    expect(
        not is_(8),
        "this is the time on one GPU; divide the work by the number of GPUs, here "
        "eight",
    )
    expect(
        not is_(64),
        "more GPUs make your run longer; divide the operations among them",
    )
    expect(
        is_(1),
        f"the run takes {hours:,.3g} hours, expected {expected:,.0f}; compute the "
        "operations first, then the speed",
    )
    expect(
        not _near(money, expected * case["price"], 1e-3),
        "the hours are correct, but this is the money for one GPU, and you pay for "
        "all eight",
    )
    expect(
        not _near(money, expected * case["gpus"], 1e-3),
        "the hours are correct, but the money lacks the price; multiply by it",
    )
    expect(
        _near(money / (expected * 16), 1, 1e-6),
        f"the hours are correct, but the money is {money:,.3g}, expected "
        f"{expected * 16:,.0f}",
    )
    one = answer(**{**case, "gpus": 1})
    expect(
        _near(_number(one[1]) / money, 1, 1e-6),
        "correct for 8 GPUs and not for 1; is a number written into your function?",
    )
    return correct(
        "operations over speed; twice the GPUs take half the time and cost the same, "
        "if the MFU stays"
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
        "Nobody bought a ticket for the second part.",
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
    given = list(documents)
    kept = answer(documents, list(_TESTS), 8)
    expect(
        isinstance(kept, list) and all(isinstance(text, str) for text in kept),
        "return the list of the documents that you keep",
    )
    expect(
        documents == given,
        "your function changes the list that it was given; build a new one",
    )
    expect(kept != documents, "every document is kept; the test texts are still inside")
    expect(
        not (set(kept) & set(exact)),
        "a document that equals a test text, letter by letter, is still there; "
        "remove it",
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
        "the list has other documents or another order; return each document once, "
        "in the order in which it came",
    )
    wider = answer(documents, list(_TESTS), 40)
    expect(
        partly[0] in wider,
        "with n = 40 no quotation of half a text is that long, but the document is "
        "removed; is n used?",
    )
    return correct(
        "copies, edited copies and quotations are removed, everything else is kept "
        "as written"
    )
