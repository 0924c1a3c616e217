"""Checks of chapter 04: a paired bootstrap, planted duplicates, a threshold, early
stopping, and an honest report.

>>> from ftlib.course.checks.evaluation import check_keep_epoch
>>> check_keep_epoch(
...     lambda losses, patience: (losses.index(min(losses)), len(losses) - 1)
... )
hint: patience is not used: you looked at losses after the stop, and those epochs were
never run

What it is not: a test of statistics (tests/evaluation/test_intervals.py compares with
scipy). Needs: torch, ftlib.

Shapes: N texts.
"""

import inspect
import math
import random
import re
import time

import torch

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import memorise
from ftlib.evaluation import metrics


def _apart(got, expected):
    """Two different numbers with as many digits as it takes to see the difference."""
    for digits in range(3, 17):
        texts = f"{got:.{digits}g}", f"{expected:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return repr(got), repr(expected)


def _decimals(values, most=5):
    """The number of decimals that all values were rounded to; None if they were not."""
    for k in range(most + 1):
        if all(abs(value - round(value, k)) < 1e-12 for value in values):
            return k
    return None


def _expect_number(got, expected, name, advice, within=5e-7):
    """Refuse a number that is not the expected one; say so if it was rounded or is in
    percent.
    """
    if abs(got - expected) <= within:
        return
    k = _decimals([got])
    expect(
        k is None or k == 0 or abs(got - expected) > 0.500001 * 10**-k,
        f"{name} is rounded to {k} decimals; return it as it is, and round where it "
        "is printed",
    )
    expect(
        abs(got - 100 * expected) > 1e-4 * abs(100 * expected),
        f"{name} is in percent; return a fraction, {expected:.3g}",
    )
    expect(
        False, f"{name} is {{}}, expected {{}}{advice}".format(*_apart(got, expected))
    )


def _answers(n=300, positive=0.3, wrong=0.2, gained=0.12, seed=0):
    """Labels (N,), and two columns of predictions that mostly agree: b finds more of
    the rare class and is wrong elsewhere.
    """
    g = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, generator=g) < positive).long()
    a = torch.where(torch.rand(n, generator=g) < wrong, 1 - labels, labels)
    b = torch.where(torch.rand(n, generator=g) < gained, labels, a)
    return a, b, labels


def _f1(predicted, labels):
    return metrics.precision_recall(predicted, labels)[2]


def _redrawn(a, b, labels, samples=4000, seed=5):
    """F1 of b minus F1 of a on many redrawn test sets: (samples,) float64."""
    rows = torch.randint(
        len(labels),
        (samples, len(labels)),
        generator=torch.Generator().manual_seed(seed),
    )
    # how often each text was drawn, instead of the texts themselves
    times = torch.zeros(rows.shape, dtype=torch.float64)
    times.scatter_add_(1, rows, torch.ones_like(times))

    def f1(predicted):
        hits, total = (
            times @ (predicted * labels).double(),
            times @ (predicted + labels).double(),
        )
        return 2 * hits / total.clamp(min=1)

    return f1(b) - f1(a)


def _expect_difference(difference, a, b, labels):
    """Refuse a number that is not F1 of b minus F1 of a."""
    expected = _f1(b, labels) - _f1(a, labels)
    accuracy = float((b == labels).double().mean() - (a == labels).double().mean())
    macro = metrics.macro_f1(b, labels, 2) - metrics.macro_f1(a, labels, 2)
    for wrong, message in (
        (
            -expected,
            "the result has the wrong sign; the difference is F1 of b minus F1 of a",
        ),
        (
            accuracy,
            "this is the difference of the accuracies; take "
            "the third number of precision_recall",
        ),
        (
            macro,
            "this is macro-F1, the mean over both classes; use F1 of class 1",
        ),
        (
            expected / _f1(a, labels),
            "the difference is divided by F1 of a; return F1 of b minus F1 of a",
        ),
    ):
        expect(abs(difference - wrong) > 1e-6, message)
    _expect_number(
        difference,
        expected,
        "the difference",
        "; it comes from all texts, each once, and not from the redrawn ones",
    )


def _expect_width(difference, low, high, redrawn):
    """Refuse an interval that is far from the middle 95 % of `redrawn`."""
    expect(low <= high, "low is larger than high; the quantile 0.025 comes first")
    wanted = float(redrawn.quantile(0.975) - redrawn.quantile(0.025))
    width = high - low
    expect(
        width > 1e-9,
        "low equals high, because each sample has the same texts; draw them with "
        "replacement (torch.randint, not randperm), from one generator that is made "
        "before the loop",
    )
    expect(
        width < 1.35 * wanted
        or not abs(low - difference + (high - difference)) < 0.6 * width,
        f"the interval is {width / wanted:.1f} times as wide as it should be; draw "
        "the same texts for a and b, or what is hard for both no longer cancels, as "
        "many as there are, and take the quantiles 0.025 and 0.975",
    )
    expect(
        width < 1.35 * wanted,
        "the interval lies far to one side of the difference; take the middle 95 %, "
        "between the quantiles 0.025 and 0.975",
    )
    expect(
        width > 0.25 * wanted,
        "the interval is far too narrow: it is that of the mean of the samples; take "
        "the quantiles of the samples, and do not divide by the root of their number",
    )
    expect(
        width > 0.9 * wanted,
        f"the interval has {width / wanted:.2f} of the expected width; take the "
        "quantiles 0.025 and 0.975 (0.05 and 0.95 hold only 90 %, 0.25 and 0.75 half), "
        "of samples with as many texts as there are",
    )


def _share_below(redrawn, value, target):
    """The share of redrawn differences below a value; `target` if it is one of the
    shares that an equal value leaves open.
    """
    below = float((redrawn < value - 1e-7).double().mean())
    up_to = float((redrawn <= value + 1e-7).double().mean())
    return min(max(target, below), up_to)


def _expect_tails(results):
    """found: [(low, high, redrawn)] of several calls. 2.5 % of the differences lie
    outside of each end, whatever was drawn.
    """
    n = len(results)
    below = sum(_share_below(r, low, 0.025) for low, _, r in results) / n
    above = 1 - sum(_share_below(r, high, 0.975) for _, high, r in results) / n
    expect(
        # the quantile of 2,000 draws lies within 0.0125 of its share but for one
        # answer in a thousand
        max(abs(below - 0.025), abs(above - 0.025)) < 0.0125,
        f"{below:.1%} of the redrawn differences lie below low and {above:.1%} above "
        "high, expected 2.5 % each; take the quantiles 0.025 and 0.975 of the "
        "differences themselves (they need not lie evenly around the first number), of "
        "samples with as many texts as there are",
    )
    for low, high, redrawn in results:
        expect(
            float(redrawn.min()) - 1e-9 <= low and high <= float(redrawn.max()) + 1e-9,
            f"the interval from {low:.3g} to {high:.3g} goes beyond every difference "
            f"that redrawn texts give, {float(redrawn.min()):.3g} to "
            f"{float(redrawn.max()):.3g}; take quantiles of the differences",
        )


def _expect_defaults(answer, a, b, labels):
    """Refuse other defaults than samples=1000 and seed=0."""
    named = inspect.signature(answer).parameters
    kept = [named[k].default if k in named else None for k in ("samples", "seed")]
    if kept != [1000, 0]:
        expect(
            tuple(map(float, answer(a, b, labels)))
            == tuple(map(float, answer(a, b, labels, 1000, 0))),
            "without samples and seed the result is not that of samples=1000 and "
            "seed=0; keep the defaults of the blank",
        )


@exercise
def check_paired_f1(answer):
    """answer(said_a (N,), said_b (N,), labels (N,), samples, seed) -> (F1 of b - F1 of
    a, low, high).
    """

    def ask(columns, samples, seed):
        result = answer(*(column.clone() for column in columns), samples, seed)
        expect(
            isinstance(result, (tuple, list)) and len(result) == 3,
            "return three numbers: (difference, low, high)",
        )
        return tuple(map(float, result))

    large = _answers()
    # a few texts, so that the differences lie unevenly around that of all texts
    uneven_set = _answers(40, 0.25, 0.3, 0.3, seed=7)
    redrawn, redrawn_uneven = _redrawn(*large), _redrawn(*uneven_set)
    brief = ask(large, 40, 0)
    _expect_difference(brief[0], *large)
    expect(  # before the width: an interval drawn without a seed has any width
        ask(large, 40, 0) == brief,
        "a second call with the same seed gives another interval; make a generator "
        "from the seed",
    )
    difference, low, high = first = ask(large, 500, 0)
    _expect_width(difference, low, high, redrawn)
    expect(
        brief != first,
        "40 samples give the interval of 500; the number of redrawn test sets is "
        "`samples`",
    )
    second = ask(large, 500, 1)
    expect(
        second[1:] != (low, high),
        "another seed gives the same interval; the draws must depend on seed",
    )
    k = _decimals([*first[1:], *brief[1:], *second[1:]])
    expect(
        k is None,
        f"low and high are rounded to {k} decimals; return them as they are, and "
        "round where they are printed",
    )
    turned = ask((large[1], large[0], large[2]), 40, 0)
    expect(
        turned[0] < 0 and turned[1] < 0 and turned[1] <= turned[2],
        "where b is worse than a, the difference and low are not negative; take no "
        "absolute values",
    )
    same = ask((large[0], large[0], large[2]), 40, 0)
    expect(
        max(map(abs, same)) < 1e-9,
        "two equal columns differ, so a and b are scored on different texts; use the "
        "same rows for both",
    )
    uneven = ask(uneven_set, 500, 0)
    _expect_difference(uneven[0], *uneven_set)
    _expect_tails(
        [(*call[1:], redrawn) for call in (first, second, ask(large, 500, 2))]
        + [(*uneven[1:], redrawn_uneven)]
    )
    _expect_defaults(answer, *uneven_set)
    return correct(
        f"b is better by {difference:.2f}, and the interval from {low:.2f} to "
        f"{high:.2f} is as wide as pairs allow"
    )


# what stands in training, what stands in the test set, is it a copy, and the hint
COPIES = [
    (
        "a fine film",
        " a  fine\n\tfilm ",
        True,
        "white space is taken as part of the text; runs of it count as one, and at "
        "the ends it goes",
    ),
    (
        "a fine film",
        "a FINE film",
        True,
        "capitals are taken as a difference; use lower() on both sides",
    ),
    (
        "Quite a Film",
        "quite a film",
        True,
        "capitals in the training text are taken as a difference; use lower() on both "
        "sides",
    ),
    (
        "dull dull dull",
        "dull, dull: dull!",
        True,
        "punctuation is taken as a difference; compare the words only",
    ),
    (
        "(Dull) - 'dull'; dull?",
        "dull dull dull",
        True,
        "punctuation in the training text is taken as a difference; compare the words "
        "only, on both sides",
    ),
    (
        "it was<br />over too soon",
        "it was over too soon",
        True,
        "a line break in training hides the copy; replace `<br />` by a space on "
        "both sides",
    ),
    (
        "it was over too soon",
        "it was<br />over<br /><br />too soon",
        True,
        "a line break in the test text hides the copy; replace `<br />` by a space on "
        "both sides",
    ),
    (
        "it was over too soon",
        "it was<BR>over<br/>too<Br>soon",
        True,
        "`<br>` is written in several ways; allow it with or without slash and "
        "space, and in capitals",
    ),
    (
        "rated <3 stars> overall",
        "rated overall",
        False,
        "words between < and > were dropped; only `<br />` is a line break",
    ),
    (
        "非常好的书，推荐",
        "非常好的书 推荐。",
        True,
        "the Chinese copy differs in punctuation only; put a space where punctuation "
        "of any script stands",
    ),
    (
        "非常好的书，推荐",
        "非常差的书，退货",
        False,
        "two Chinese texts became equal: your words are a to z only, so nothing is "
        "left of them; use \\w",
    ),
    (
        "what a film",
        "what film",
        False,
        "short words were dropped; `a` is a word, and every word counts",
    ),
    (
        "a fine film",
        "fine a film",
        False,
        "another order of the same words is another text; compare lists, not sets",
    ),
    (
        "the end of it",
        "the end",
        False,
        "a text that is only part of a training text is not a copy; compare whole "
        "texts",
    ),
    (
        "the end",
        "it is the end of it",
        False,
        "a text that holds a training text and more is not a copy; compare whole texts",
    ),
    (
        "so " * 20 + "good",
        "so " * 20 + "bad",
        False,
        "two long texts that differ in the last word became equal; compare all words",
    ),
    (
        "dull dull dull",
        "dull",
        False,
        "a word that occurs once is not the same as three times; "
        "compare lists, not sets of words",
    ),
    (
        "well made",
        "wellmade",
        False,
        "two words became one; put a space between words, or compare lists of words",
    ),
    (
        "part 2 was good",
        "part 3 was good",
        False,
        "two texts with different numbers became equal; a number is a word too",
    ),
    (
        "the films",
        "the film",
        False,
        "two forms of a word became equal; compare words as they are",
    ),
    (
        "café society",
        "cafe society",
        False,
        "an accent was dropped, but letters of any language count; use \\w",
    ),
    (
        "Ein Überblick",
        "ein überblick",
        True,
        "a capital with an accent is taken as a difference; lower() knows every "
        "language",
    ),
    (
        "a fine film",
        "new to everybody",
        False,
        "a text that is not in training is reported; report only copies of training "
        "texts",
    ),
]


def _plain_leaks(train_texts, test_texts):
    """A right answer, to compare times with."""

    def form(text):
        return tuple(re.findall(r"\w+", re.sub(r"(?i)<br\s*/?>", " ", text).lower()))

    known = {form(text) for text in train_texts}
    return [row for row, text in enumerate(test_texts) if form(text) in known]


def _expect_quick(answer, n):
    """Refuse an answer that compares every pair of n training and n test texts. Its
    own processor time is measured, so that a busy machine does not matter.
    """
    train = [f"the text {i} of many" for i in range(n)]
    test = [f"The text {i} of many!" for i in range(2 * n // 3, 2 * n // 3 + n)]
    start = time.process_time()
    _plain_leaks(train, test)
    plain, start = time.process_time() - start, time.process_time()
    rows = list(answer(train, test))
    took = time.process_time() - start
    leaks = n - 2 * n // 3
    expect(
        sorted(rows) == list(range(leaks)),
        f"of {n:,} test texts the first {leaks:,} are also in training, and you return "
        f"{len(rows):,} rows that are not these",
    )
    expect(
        rows == list(range(leaks)),
        "the rows are not in ascending order; sort them by number",
    )
    expect(
        took < 12 * plain + 0.05,
        f"{n:,} texts against {n:,} took {took / plain:.0f} times as long as one pass "
        "over them; put the training texts into a set, and do not compare pairs",
    )


@exercise
def check_find_leaks(answer):
    """answer(train texts, test texts) -> list of the test rows that are also in
    training, ascending.
    """
    plain = list(answer(["one two", "three"], ["three", "four", "one two"]))
    expect(
        plain != ["three", "one two"],
        "you return the texts; return their row numbers: enumerate gives both",
    )
    expect(
        plain != [1, 0] and plain != [0, 1],
        "these are row numbers of the training texts; return those of the test texts",
    )
    expect(
        plain != [True, False, True],
        "you return True or False for each text; return the row numbers",
    )
    expect(
        plain != [1],
        "you return the rows that are new; return those that are also in training",
    )
    expect(
        plain == [0, 2],
        "for the test texts 'three', 'four', 'one two' and the training texts 'one "
        f"two', 'three' you return {plain} instead of [0, 2]",
    )
    for known, text, leaks, message in COPIES:
        rows = list(answer(["something else", known], ["nothing known", text]))
        expect(rows == [1] * leaks, f"{text!r} and {known!r}: {message}")
    twice = list(answer(["one two", "one two"], ["one two", "x", "One two!"]))
    expect(
        twice == [0, 2],
        f"where one text stands twice on both sides you return {twice} instead of "
        "[0, 2]; report every test row, each once",
    )
    for train, test in (([], ["one", "two"]), (["one"], [])):
        rows = list(answer(train, test))
        expect(
            rows == [],
            f"for {len(train)} training and {len(test)} test texts you return {rows}; "
            "there is no copy",
        )
    for n in (300, 3000):
        _expect_quick(answer, n)
    return correct("every planted copy found, and nothing else")


def _best_recall(scores, labels, precision):
    """(threshold, recall) as the task asks for it, by trying every threshold."""
    best = (math.inf, 0.0)
    for t in sorted(set(scores.tolist())):
        predicted = scores >= t
        hits = int((predicted & (labels == 1)).sum())
        recall = hits / max(1, int((labels == 1).sum()))
        if hits >= precision * int(predicted.sum()) and recall >= best[1] and hits:
            best = (t, recall)
    return best


def _drawn_reviews(seed):
    """Scores (N,), labels (N,) and a precision: unsorted, sometimes with equal scores,
    in float32 or float64.
    """
    g = torch.Generator().manual_seed(seed)
    n = int(torch.randint(1, 40, (), generator=g))
    scores = torch.rand(n, generator=g, dtype=torch.float64)
    scores = (scores * 8).round() / 9 if seed % 3 == 0 else scores
    labels = (torch.rand(n, generator=g).double() < 0.2 + 0.6 * scores).long()
    # a float32 precision of an answer must not decide
    precision = float(torch.rand((), generator=g)) * 0.6 + 0.4
    precision = [precision, 0.5, 0.75, 1.0][seed % 4]
    return scores.float() if seed % 2 else scores, labels, precision


def _expect_thresholds(ask):
    """Compare with every threshold tried, on drawn scores."""
    for seed in range(60):
        scores, labels, precision = _drawn_reviews(seed)
        (t, r), (wanted, most) = (
            ask(precision, scores, labels),
            _best_recall(scores, labels, precision),
        )
        same = t == wanted or abs(t - wanted) < 1e-7
        k = None if same or math.isinf(t) else _decimals([t])
        expect(
            k is None or abs(r - most) > 1e-6 or abs(t - wanted) > 0.50001 * 10**-k,
            f"the threshold is rounded to {k} decimals; return the score itself, or a "
            "review with this score is no longer predicted as 1",
        )
        _expect_number(
            r,
            most,
            f"for {len(scores)} drawn scores and precision {precision:.4g} the recall",
            "; scores come in any order and may be equal",
            1e-6,
        )
        expect(
            same,
            f"for {len(scores)} drawn scores and precision {precision:.4g} the recall "
            "is correct, and the threshold is {}, expected {}; return the highest "
            "score that gives this recall".format(*_apart(t, wanted)),
        )


@exercise
def check_recall_at(answer):
    """answer(scores (N,), labels (N,), precision) -> (threshold, recall)."""
    # precision at each threshold, from the top: 1, 1/2, 2/3, 3/4, 3/5, 4/6, 4/7, 4/8
    scores = torch.tensor(
        [0.95, 0.90, 0.80, 0.70, 0.60, 0.55, 0.30, 0.10], dtype=torch.float64
    )
    labels = torch.tensor([1, 0, 1, 1, 0, 1, 0, 0])
    mix = torch.tensor([3, 0, 6, 2, 7, 5, 1, 4])

    def ask(precision, s=scores[mix], y=labels[mix]):
        result = answer(s.clone(), y.clone(), precision)
        expect(
            isinstance(result, (tuple, list)) and len(result) == 2,
            "return two numbers: (threshold, recall)",
        )
        return float(result[0]), float(result[1])

    t, r = ask(0.75)
    expect(
        (round(t, 6), round(r, 6)) != (0.75, 0.70),
        "the order of the two numbers is wrong; return (threshold, recall)",
    )
    expect(
        not (abs(t - 0.60) < 1e-9 or abs(t - 0.80) < 1e-9),
        "a score equal to the threshold is predicted as 1; use >= for scores and for "
        "the required precision, and mind that scores come in any order",
    )
    expect(
        abs(r - 0.75) > 1e-6 or abs(t - 0.70) < 1e-7,
        f"the recall is correct and the threshold {t:.6g} is not; return the score "
        "itself, 0.7, which still counts as 1",
    )
    expect(
        not (abs(t - 0.95) < 1e-7),
        "at 0.70 the precision is 0.75 again, and recall is higher; try all, "
        "do not stop at the first that is not precise enough (0.90), and let a "
        "precision of exactly 0.75 do",
    )
    expect(
        not (abs(t - 0.55) < 1e-7),
        "at 0.55 the precision is 4/6, below 0.75; recall is higher there, but the "
        "precision is too low",
    )
    expect(
        abs(t - 0.70) < 1e-7 and abs(r - 0.75) < 1e-6,
        f"for a precision of 0.75 you return ({t:.6g}, {r:.6g}), expected (0.7, 0.75)",
    )
    t, r = ask(0.5)
    expect(
        abs(r - 1) < 1e-6,
        f"for a precision of 0.5 you return a recall of {r:.6g}, expected 1",
    )
    expect(
        abs(t - 0.55) < 1e-7,
        f"several thresholds have recall 1, and you return {t:.6g}; return the "
        "highest of them, 0.55",
    )
    t, r = ask(0.9)
    expect(
        abs(t - 0.95) < 1e-7 and abs(r - 0.25) < 1e-6,
        f"for a precision of 0.9 you return ({t:.6g}, {r:.6g}), expected (0.95, "
        "0.25): only the first review may be predicted as 1",
    )
    t, r = ask(0.9, torch.tensor([0.9, 0.5, 0.4]), torch.tensor([0, 1, 0]))
    expect(
        math.isinf(t) and t > 0 and r == 0,
        f"you return ({t:.6g}, {r:.6g}), expected (math.inf, 0.0): no threshold is "
        "precise enough here, so nothing is predicted as 1",
    )
    t, r = ask(0.6, torch.tensor([0.8, 0.8, 0.8, 0.2]), torch.tensor([1, 1, 0, 0]))
    expect(
        abs(t - 0.8) < 1e-6 and abs(r - 1) < 1e-6,
        f"you return ({t:.6g}, {r:.6g}), expected (0.8, 1): three reviews share "
        "the score 0.8 and stay together",
    )
    t, r = ask(0.9, torch.tensor([0.8, 0.8, 0.8, 0.2]), torch.tensor([1, 1, 0, 1]))
    expect(
        math.isinf(t),
        f"you return ({t:.6g}, {r:.6g}), expected (math.inf, 0.0): three reviews "
        "share the score 0.8 and two of them are 1, below 0.9; a threshold cannot "
        "separate equal scores",
    )
    _expect_thresholds(ask)
    return correct("the highest recall that the required precision allows, on 66 cases")


def _stop(losses, patience):
    """(epoch kept, last epoch run) as the task asks for it."""
    kept = 0
    for epoch, loss in enumerate(losses):
        kept = epoch if loss < losses[kept] else kept
        if epoch - kept == patience:
            return kept, epoch
    return kept, len(losses) - 1


def _expect_stops(ask):
    """Compare on drawn losses: of any size and sign, some equal, some nearly equal."""
    got = ask([0.5, 0.4999, 0.49985, 0.49981], 2)
    expect(
        got == (3, 3),
        f"for 0.5, 0.4999, 0.49985, 0.49981 and patience 2 you return {got}, expected "
        "(3, 3): a loss that is lower by a little is lower",
    )
    got = ask([7.5, 6.0, 6.5, 6.2], 2)
    expect(
        got == (1, 3),
        f"for 7.5, 6.0, 6.5, 6.2 and patience 2 you return {got}, expected (1, 3); a "
        "loss may be larger than 1, so start from the first one",
    )
    got = ask([-1.0, -2.0, -1.5, -1.7], 2)
    expect(
        got == (1, 3),
        f"for -1, -2, -1.5, -1.7 and patience 2 you return {got}, expected (1, 3); a "
        "loss may be negative (a density can be above 1)",
    )
    g = torch.Generator().manual_seed(0)
    for seed in range(200):
        n = int(torch.randint(1, 16, (), generator=g))
        patience = int(torch.randint(1, 6, (), generator=g))
        losses = torch.randn(n, generator=g).double() * [0.1, 1, 100][seed % 3]
        losses = (losses.round() if seed % 2 else losses).tolist()
        got, wanted = ask(losses, patience), _stop(losses, patience)
        expect(
            got == wanted,
            f"for {[round(loss, 3) for loss in losses]} and patience {patience} you "
            f"return {got}, expected {wanted}",
        )


@exercise
def check_keep_epoch(answer):
    """answer(losses, patience) -> (epoch kept, last epoch run)."""

    def ask(losses, patience):
        result = answer(list(losses), patience)
        expect(
            isinstance(result, (tuple, list)) and len(result) == 2,
            "return two integers: (kept, stopped)",
        )
        return tuple(int(x) for x in result)

    # best so far at epoch 2; patience 3 ends after epoch 5
    losses = [0.9, 0.7, 0.6, 0.65, 0.64, 0.66, 0.67, 0.5, 0.4]
    got = ask(losses, 3)
    expect(
        got != (8, 8),
        "patience is not used: you looked at losses after the stop, and those epochs "
        "were never run",
    )
    expect(
        got != (5, 5),
        "the weights of the last epoch are kept; keep those of the "
        "epoch with the lowest loss",
    )
    expect(
        got != (5, 2), "the order of the two numbers is wrong; return (kept, stopped)"
    )
    expect(
        got != (2, 6),
        "one epoch too many was run; stop after `patience` epochs without a lower loss",
    )
    expect(
        got != (2, 4),
        "one epoch too few was run; stop after `patience` epochs without a lower "
        "loss, and there were only two",
    )
    expect(
        got != (3, 6) and got != (3, 5), "you count epochs from 1; the first epoch is 0"
    )
    expect(
        got != (8, 5),
        "the kept epoch was chosen from the whole list; only epochs "
        "up to the stop were run",
    )
    expect(
        got == (2, 5), f"for {losses} and patience 3 you return {got}, expected (2, 5)"
    )
    got = ask([0.9, 0.8, 0.85, 0.82, 0.86, 0.7], 3)
    expect(
        got == (1, 4),
        f"you return {got}, expected (1, 4): 0.82 is lower than the loss before it, "
        "but not lower than the best, so patience keeps running out",
    )
    got = ask([0.9, 0.8, 0.85, 0.7, 0.75, 0.6, 0.65, 0.66], 2)
    expect(
        got == (5, 7),
        f"you return {got}, expected (5, 7): epochs without a gain count in a row, "
        "and a lower loss starts the count again",
    )
    got = ask([0.5, 0.5, 0.5, 0.5], 2)
    expect(
        got == (0, 2),
        f"for four times 0.5 you return {got}, expected epoch 0 kept and epoch 2 as "
        "the last; an equal loss is not lower",
    )
    got = ask([0.9, 0.8, 0.7], 2)
    expect(
        got == (2, 2),
        f"for 0.9, 0.8, 0.7 you return {got}, expected (2, 2); patience never runs "
        "out there",
    )
    got = ask([0.3], 1)
    expect(got == (0, 0), f"for a single epoch you return {got}, expected (0, 0)")
    got = ask([0.9, 0.7, 0.8, 0.7, 0.7, 0.8], 4)
    expect(
        got == (1, 5),
        f"for 0.9, 0.7, 0.8, 0.7, 0.7, 0.8 and patience 4 you return {got}, expected "
        "(1, 5): of equal losses the first is kept, and the others are no gain",
    )
    _expect_stops(ask)
    return correct("the best epoch is kept, and no loss after the stop was used")


def _expect_interval(score, low, high, n):
    """Refuse an interval that is not about the 95 % one of an accuracy on n texts."""
    half = 1.96 * math.sqrt(score * (1 - score) / n)
    expect(
        low < score < high,
        f"the interval from {low:.3f} to {high:.3f} does not contain the accuracy "
        f"{score:.3f}",
    )
    expect(
        abs((low + high) / 2 - score) < 0.3 * half,
        f"the interval from {low:.3f} to {high:.3f} lies to one side of the accuracy "
        f"{score:.3f}; 2.5 % are left out at each end",
    )
    wide, times = high - low, (high - low) / (2 * half)
    expect(
        times < 4,
        f"the interval is {wide:.2f} wide, expected about {2 * half:.2f} for "
        f"{n:.0f} texts; low and high belong to the mean, not to single predictions: "
        "a standard error is divided by the square root of n",
    )
    # the bootstrap of 1,000 samples is within 5 %, Clopper and Pearson's within 7 %
    expect(
        times < 1.13,
        f"the interval is {wide:.3f} wide, {times:.2f} times as wide as one of 95 % on "
        f"{n:.0f} texts, {2 * half:.3f}; 99 % are 2.58 standard errors, 95 % are 1.96",
    )
    expect(
        times > 0.12,
        f"the interval is only {wide:.4f} wide, expected about {2 * half:.3f} for "
        f"{n:.0f} texts; a standard error is the square root of p (1 - p) / n",
    )
    expect(
        times > 0.92,
        f"the interval is only {wide:.3f} wide, {times:.2f} times as wide as one of "
        f"95 %, {2 * half:.3f}; one standard error to each side holds 68 %, 0.67 hold "
        f"50 %, 1.64 hold 90 %, 1.96 hold 95 %, and n is {n:.0f}, the test texts",
    )


class _Course:
    """What an answer is given, and what it did: `fit` keeps the training sets, and the
    texts that each model was asked.
    """

    def __init__(self, texts, labels):
        self.texts, self.labels = texts, labels
        self.truth = dict(zip(texts, labels))
        self.trained, self.requests = [], []

    def fit(self, texts, labels):
        self.trained.append((list(texts), list(labels)))
        self.requests.append([])
        mine = self.requests[-1]
        known, seen = memorise(texts, labels), set(texts)

        def predict(texts):
            texts = list(texts)
            mine.extend(texts)
            return [known([t])[0] if t in seen else self.guess(t) for t in texts]

        return predict

    def guess(self, text):
        """What a model says of a text that it has not seen: two of three are right."""
        if int(text.split()[-1]) % 3:
            return self.truth[text]
        return next(y for y in sorted(set(self.labels)) if y != self.truth[text])

    def used(self):
        """(texts, labels) of the training set, and the test texts, of the model that
        was asked.
        """
        which = max(range(len(self.requests)), key=lambda i: len(self.requests[i]))
        return self.trained[which], self.requests[which]


def _expect_split(course):
    """Refuse a test set that is too small or large, or stands in training too."""
    expect(
        course.trained and any(course.requests),
        "fit() or its model was not called; train on the training set, then predict "
        "the test set",
    )
    (train, answers), questions = course.used()
    n = len(course.texts)
    expect(
        len(questions) >= n // 10 - 5,
        f"the model is evaluated on {len(questions)} texts; use 10 to 50 % of them as "
        "the test set",
    )
    expect(
        len(train) < n,
        "the model is trained on all texts, also on the test set; leave the test "
        "texts out of fit()",
    )
    both = set(train) & set(questions)
    expect(
        not both or len(train) + len(questions) <= n,
        "the model is evaluated on texts that it was trained on; use the test set only",
    )
    expect(
        not both,
        "some texts are in both sets, because they occur twice; split by the text "
        "(tables.bucket), not by the row",
    )
    expect(
        all(course.truth[t] == y for t, y in zip(train, answers)),
        "fit() got texts with the labels of other texts; shuffle or sort the pairs, "
        "not texts and labels apart",
    )
    distinct = len(set(course.texts))
    expect(
        len(set(questions)) <= 0.54 * distinct,
        f"{len(questions)} of {n} texts are in the test set; keep at least half for "
        "training",
    )
    expect(
        len(set(questions) | set(train)) >= 0.7 * distinct,
        f"training and test set hold {len(set(questions) | set(train))} of {distinct} "
        "different texts; train on what is not in the test set",
    )


def _expect_baseline(base, course):
    """Refuse another baseline than the accuracy of the commonest training label."""
    (_, answers), questions = course.used()
    truth = [course.truth[t] for t in questions]
    counted = {y: answers.count(y) for y in sorted(set(answers))}
    most = max(counted.values())
    # of equally common labels any will do
    wanted = {truth.count(y) / len(truth) for y in counted if counted[y] == most}
    if any(abs(base - w) < 1e-6 for w in wanted):
        return
    for wrong, message in (
        (
            most / len(answers),
            "the baseline is the frequency of the majority class in training; evaluate "
            "it on the same texts as the model",
        ),
        (
            max(map(truth.count, truth)) / len(truth),
            "the baseline is that of the commonest label of the test set, which nobody "
            "knows before; take the commonest training label",
        ),
        (
            0.5,
            "the baseline is 0.5, that of a coin; always predicting the majority class "
            "of the training set is better, and costs as little",
        ),
        (
            1 / len(set(course.labels)),
            "the baseline is that of guessing one of the classes by chance; always "
            "predict the commonest training label",
        ),
    ):
        expect(abs(base - wrong) > 1e-6, message)
    _expect_number(
        base,
        max(wanted),
        "the baseline",
        ", the accuracy of predicting the commonest training label for every test text",
    )


def _expect_report(report, course):
    """Refuse a report that lacks a number or holds a wrong one -> its five numbers."""
    names = ("n", "accuracy", "low", "high", "baseline")
    expect(
        isinstance(report, dict),
        "return a dict with n, accuracy, low, high and baseline",
    )
    _expect_split(course)
    missing = [key for key in names if key not in report]
    expect(not missing, f"the report lacks {', '.join(missing)}")
    n, score, low, high, base = (float(report[key]) for key in names)
    (train, answers), questions = course.used()
    predicted = _Course(course.texts, course.labels).fit(train, answers)(questions)
    hits = sum(p == course.truth[t] for p, t in zip(predicted, questions))
    expect(
        n == len(questions),
        f"n is {n:.0f}, expected {len(questions)}, the number of test texts; n counts "
        "the texts behind the accuracy",
    )
    _expect_number(
        score,
        hits / len(questions),
        "the accuracy",
        ", the share of the test texts that are predicted correctly",
    )
    _expect_baseline(base, course)
    _expect_interval(score, low, high, n)
    return n, score, low, high, base


@exercise
def check_honest_report(answer):
    """Clinic. answer(texts, labels, fit) -> dict(n, accuracy, low, high, baseline) on
    texts that fit() has not seen.
    """
    # each text is in the file twice; a third is of class 1, and they are sorted
    texts = [f"review number {i // 2}" for i in range(600)]
    course = _Course(texts, [int(i < 200) for i in range(600)])
    numbers = _expect_report(
        answer(list(texts), list(course.labels), course.fit), course
    )
    questions = course.used()[1]
    expect(
        len({course.truth[t] for t in questions}) == 2,
        "all test texts have one class, because the file is sorted; split by the "
        "text, not by position",
    )
    # another file of three classes, in which the commonest label of those test texts
    # is not the commonest one of the training texts
    g = random.Random(0)
    test = set(questions)
    labels = {
        t: g.choices((0, 1, 2), (2, 5, 3) if t in test else (2, 3, 5))[0]
        for t in sorted(set(texts))
    }
    again = _Course(texts, [labels[t] for t in texts])
    _expect_report(answer(list(texts), list(again.labels), again.fit), again)
    n, score, low, high, base = numbers
    return correct(
        f"{score:.2f} ({low:.2f} to {high:.2f}) on {n:.0f} test texts, the majority "
        f"class gets {base:.2f}"
    )
