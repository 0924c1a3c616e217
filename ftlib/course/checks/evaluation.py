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

import math

import torch

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import memorise
from ftlib.evaluation import metrics


def _answers(n=300, seed=0):
    """Labels (N,), and two columns of predictions that mostly agree: b finds more of
    the rare class and is wrong elsewhere.
    """
    g = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, generator=g) < 0.3).long()
    a = torch.where(torch.rand(n, generator=g) < 0.2, 1 - labels, labels)
    b = torch.where(torch.rand(n, generator=g) < 0.12, labels, a)
    return a, b, labels


def _f1(predicted, labels):
    return metrics.precision_recall(predicted, labels)[2]


@exercise
def check_paired_f1(answer):
    """answer(said_a (N,), said_b (N,), labels (N,), samples, seed) -> (F1 of b - F1 of
    a, low, high).
    """
    a, b, labels = _answers()
    result = answer(a.clone(), b.clone(), labels.clone(), 600, 0)
    expect(
        isinstance(result, (tuple, list)) and len(result) == 3,
        "return three numbers: (difference, low, high)",
    )
    difference, low, high = map(float, result)
    expected = _f1(b, labels) - _f1(a, labels)
    expect(
        abs(difference + expected) > 1e-9,
        "the result has the wrong sign; the difference is F1 of b minus F1 of a",
    )
    accuracy = float((b == labels).double().mean() - (a == labels).double().mean())
    expect(
        abs(difference - accuracy) > 1e-9,
        "this is the difference of the accuracies; take "
        "the third number of precision_recall",
    )
    macro = metrics.macro_f1(b, labels, 2) - metrics.macro_f1(a, labels, 2)
    expect(
        abs(difference - macro) > 1e-9,
        "this is macro-F1, the mean over both classes; use F1 of class 1",
    )
    expect(
        abs(difference - expected) < 1e-9,
        f"the difference is {difference:.4f}, expected {expected:.4f}; compute it "
        "from all texts, each once, not from resampled ones",
    )
    expect(low <= high, "low is larger than high; the quantile 0.025 comes first")
    rows = torch.randint(300, (4000, 300), generator=torch.Generator().manual_seed(5))
    redrawn = torch.tensor(
        [_f1(b[r], labels[r]) - _f1(a[r], labels[r]) for r in rows[:1500]],
        dtype=torch.float64,
    )
    wanted = float(redrawn.quantile(0.975) - redrawn.quantile(0.025))
    width = high - low
    expect(
        width > 1e-9,
        "low equals high, because each sample has the same texts; draw them with "
        "replacement (torch.randint, not randperm)",
    )
    expect(
        width < 1.35 * wanted
        or not abs(low - difference + (high - difference)) < 0.6 * width,
        f"the interval is {width / wanted:.1f} times as wide as it should be; draw "
        "the same texts for a and b, or what is hard for both no longer cancels",
    )
    expect(
        width < 1.35 * wanted,
        "the interval lies far to one side of the difference; take the middle 95 %, "
        "between the quantiles 0.025 and 0.975",
    )
    expect(
        width > 0.4 * wanted,
        "the interval is far too narrow: it is that of the mean of the samples; take "
        "the quantiles of the samples, and do not divide by the root of their number",
    )
    expect(
        not width < 0.9 * wanted,
        f"the interval has {width / wanted:.2f} of the expected width; take the "
        "quantiles 0.025 and 0.975 (0.05 and 0.95 hold only 90 %), of samples with "
        "as many texts as there are",
    )
    again, other = answer(a, b, labels, 600, 0), answer(a, b, labels, 600, 1)
    expect(
        list(map(float, again)) == [difference, low, high],
        "a second call with the same seed gives another interval; make a generator "
        "from the seed",
    )
    expect(
        (float(other[1]), float(other[2])) != (low, high),
        "another seed gives the same interval; the draws must depend on seed",
    )
    same = list(map(float, answer(a, a, labels, 200, 0)))
    expect(
        same == [0, 0, 0],
        "two equal columns differ, so a and b are scored on different texts; use the "
        "same rows for both",
    )
    return correct(
        f"b is better by {difference:.2f}, and the interval from {low:.2f} to "
        f"{high:.2f} is as wide as pairs allow"
    )


TRAIN = [
    "A fine film.",
    "Dull, dull, dull!",
    "It was<br />over too soon",
    "非常好的书，推荐",
    "The end of it",
    "well made",
    "Caf\u00e9 society",
]
TEST = [
    (
        "A  fine\nfilm.",
        True,
        "white space is taken as part of the text; runs of it count as one",
    ),
    (
        "a FINE film.",
        True,
        "capitals are taken as a difference; use lower() on both sides",
    ),
    (
        "A fine film",
        True,
        "punctuation is taken as a difference; compare the words only",
    ),
    (
        "It was over too soon",
        True,
        "a line break in training hides the copy; replace `<br />` by a space on "
        "both sides",
    ),
    (
        "It was<BR>over too soon",
        True,
        "`<br>` is written in several ways; allow it with or without slash and "
        "space, and in capitals",
    ),
    (
        "非常好的书 推荐。",
        True,
        "the Chinese copy differs in punctuation only; drop the punctuation of every "
        "script",
    ),
    (
        "非常差的书，退货",
        False,
        "two Chinese texts became equal: your words are a to z only, so nothing is "
        "left of them; use \\w",
    ),
    (
        "fine a film",
        False,
        "another order of the same words is another text; compare lists, not sets",
    ),
    (
        "The end",
        False,
        "a text that is only part of a training text is not a copy; compare whole "
        "texts",
    ),
    (
        "Dull!",
        False,
        "a word that occurs once is not the same as three times; "
        "compare lists, not sets of words",
    ),
    (
        "wellmade",
        False,
        "two words became one; put a space between words, or compare lists of words",
    ),
    (
        "Cafe society",
        False,
        "an accent was dropped, but letters of any language count; use \\w",
    ),
    (
        "New to everybody",
        False,
        "a text that is not in training is reported; report only copies of training "
        "texts",
    ),
]


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
        plain != [1],
        "you return the rows that are new; return those that are also in training",
    )
    expect(
        plain == [0, 2],
        "for the test texts 'three', 'four', 'one two' and the training texts 'one "
        f"two', 'three' you return {plain} instead of [0, 2]",
    )
    for text, leaks, message in TEST:
        rows = list(answer(list(TRAIN), ["nothing known", text]))
        expect((1 in rows) == leaks and 0 not in rows, f"{text!r}: {message}")
    twice = list(answer(["one two"], ["one two", "x", "One two!"]))
    expect(
        twice == [0, 2],
        "a text that occurs twice in the test set is reported once; report every row",
    )
    import time

    start, many = time.perf_counter(), [f"number {i} of the many" for i in range(3000)]
    rows = list(answer(many, [f"Number {i} of the many!" for i in range(2000, 4000)]))
    expect(
        rows == list(range(1000)),
        "of 2,000 test texts the first 1,000 are also in training, and you return "
        "others; keep the order",
    )
    expect(
        time.perf_counter() - start < 5,
        "2,000 texts against 3,000 took more than 5 s; put the training texts into a "
        "set first",
    )
    return correct("every planted copy found, and nothing else")


@exercise
def check_recall_at(answer):
    """answer(scores (N,), labels (N,), precision) -> (threshold, recall)."""
    #                       precision at each threshold, from the top: 1, 1/2, 2/3, 3/4,
    # 3/5, 4/6, 4/7, 4/8
    scores = torch.tensor(
        [0.95, 0.90, 0.80, 0.70, 0.60, 0.55, 0.30, 0.10], dtype=torch.float64
    )
    labels = torch.tensor([1, 0, 1, 1, 0, 1, 0, 0])
    mix = torch.tensor([3, 0, 6, 2, 7, 5, 1, 4])

    def ask(precision, s=scores, y=labels):
        result = answer(
            s[mix].clone() if len(s) == 8 else s.clone(),
            y[mix].clone() if len(y) == 8 else y.clone(),
            precision,
        )
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
        "the required precision",
    )
    expect(
        abs(r - 0.75) > 1e-9 or abs(t - 0.70) < 1e-9,
        f"the recall is correct and the threshold {t:.2f} is not; return the score "
        "itself, 0.70, which still counts as 1",
    )
    expect(
        not (abs(t - 0.95) < 1e-9),
        "you stop at the first threshold that is not precise enough (0.90); at lower "
        "ones the precision rises again, so try all",
    )
    expect(
        not (abs(t - 0.55) < 1e-9),
        "at 0.55 the precision is 4/6, below 0.75; F1 is highest there, but the "
        "precision is too low",
    )
    expect(
        abs(t - 0.70) < 1e-9 and abs(r - 0.75) < 1e-9,
        f"for a precision of 0.75 you return ({t:.2f}, {r:.2f}), expected (0.70, 0.75)",
    )
    t, r = ask(0.5)
    expect(
        abs(r - 1) < 1e-9,
        f"for a precision of 0.5 you return a recall of {r:.2f}, expected 1",
    )
    expect(
        abs(t - 0.55) < 1e-9,
        f"several thresholds have recall 1, and you return {t:.2f}; return the "
        "highest of them, 0.55",
    )
    t, r = ask(0.9)
    expect(
        abs(t - 0.95) < 1e-9 and abs(r - 0.25) < 1e-9,
        f"for a precision of 0.9 you return ({t:.2f}, {r:.2f}), expected (0.95, "
        "0.25): only the first review may be predicted as 1",
    )
    t, r = ask(0.9, torch.tensor([0.9, 0.5, 0.4]), torch.tensor([0, 1, 0]))
    expect(
        math.isinf(t) and r == 0,
        f"you return ({t:.2f}, {r:.2f}), expected (math.inf, 0.0): no threshold is "
        "precise enough here, so nothing is predicted as 1",
    )
    t, r = ask(0.6, torch.tensor([0.8, 0.8, 0.8, 0.2]), torch.tensor([1, 1, 0, 0]))
    expect(
        abs(t - 0.8) < 1e-6 and abs(r - 1) < 1e-9,
        f"you return ({t:.2f}, {r:.2f}), expected (0.80, 1.00): three reviews share "
        "the score 0.8 and stay together",
    )
    t, r = ask(0.9, torch.tensor([0.8, 0.8, 0.8, 0.2]), torch.tensor([1, 1, 0, 1]))
    expect(
        math.isinf(t),
        f"you return ({t:.2f}, {r:.2f}), expected (math.inf, 0.0): three reviews "
        "share the score 0.8 and two of them are 1, below 0.9; a threshold cannot "
        "separate equal scores",
    )
    return correct(
        "the highest recall that the required precision allows, on six cases"
    )


@exercise
def check_keep_epoch(answer):
    """answer(losses, patience) -> (epoch kept, last epoch run)."""

    def ask(losses, patience):
        kept = list(losses)
        result = answer(losses, patience)
        expect(
            isinstance(result, (tuple, list)) and len(result) == 2,
            "return two integers: (kept, stopped)",
        )
        expect(losses == kept, "your function changes the list it was given")
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
    return correct("the best epoch is kept, and no loss after the stop was used")


def _expect_interval(score, low, high, n):
    """Refuse an interval that is not about the 95 % one of an accuracy on n texts."""
    expect(
        low < score < high,
        f"the interval from {low:.3f} to {high:.3f} does not contain the accuracy "
        f"{score:.3f}",
    )
    half = 1.96 * math.sqrt(score * (1 - score) / n)
    expect(
        high - low < 2.6 * half,
        f"the interval is {high - low:.2f} wide, expected about {2 * half:.2f} for "
        f"{n:.0f} texts; low and high belong to the mean, not to single predictions",
    )
    expect(
        high - low > 1.7 * half,
        f"the interval is only {high - low:.3f} wide, expected about {2 * half:.3f} "
        f"for {n:.0f} texts; one standard deviation to each side holds 68 %, not 95 %",
    )


@exercise
def check_honest_report(answer):
    """Clinic. answer(texts, labels, fit) -> dict(n, accuracy, low, high, baseline) on
    texts that fit() has not seen.
    """
    # each text is in the file twice
    texts = [f"review number {i // 2}" for i in range(600)]
    labels = [int(i < 200) for i in range(600)]  # a third of class 1, sorted
    trained, requests = [], []

    def fit(texts, labels):
        trained.append((list(texts), list(labels)))
        known = memorise(texts, labels)

        def predict(texts):
            requests.append(list(texts))
            # knows what it was trained on, and of the rest every third one
            return [
                known([t])[0] if t in seen or int(t.split()[-1]) % 3 else truth[t]
                for t in texts
            ]

        seen = set(texts)
        return predict

    truth = dict(zip(texts, labels))
    report = answer(list(texts), list(labels), fit)
    expect(
        isinstance(report, dict),
        "return a dict with n, accuracy, low, high and baseline",
    )
    missing = [
        key for key in ("n", "accuracy", "low", "high", "baseline") if key not in report
    ]
    expect(
        trained and requests,
        "fit() or its model was not called; train on the training set, then predict "
        "the test set",
    )
    questions = [t for request in requests for t in request]
    expect(
        len(questions) >= 60,
        f"the model is evaluated on {len(questions)} texts; use 10 to 50 % of them as "
        "the test set",
    )
    expect(
        len(trained[0][0]) < 600,
        "the model is trained on all texts, also on the test set; leave the test "
        "texts out of fit()",
    )
    both = set(trained[0][0]) & set(questions)
    expect(
        not both or len(trained[0][0]) + len(questions) <= 600,
        "the model is evaluated on texts that it was trained on; use the test set only",
    )
    expect(
        not both,
        "some texts are in both sets, because they occur twice; split by the text "
        "(tables.bucket), not by the row",
    )
    expect(
        len({truth[t] for t in questions}) == 2,
        "all test texts have one class, because the file is sorted; split by the "
        "text, not by position",
    )
    expect(
        len(questions) <= 320,
        f"{len(questions)} of 600 texts are in the test set; keep at least half for "
        "training",
    )
    expect(not missing, f"the report lacks {', '.join(missing)}")
    n, score, low, high, base = (
        float(report[key]) for key in ("n", "accuracy", "low", "high", "baseline")
    )
    predicted = fit(*trained[0])(questions)
    hits = torch.tensor(
        [float(s == truth[t]) for s, t in zip(predicted, questions)],
        dtype=torch.float64,
    )
    expect(
        n == len(questions),
        f"n is {n:.0f}, expected {len(questions)}, the number of test texts; n counts "
        "the texts behind the accuracy",
    )
    expect(
        abs(score - float(hits.mean())) < 1e-6,
        f"the accuracy is {score:.3f}, expected {hits.mean():.3f}",
    )
    counted = list(trained[0][1])
    usual = max(sorted(set(counted)), key=counted.count)
    wanted = sum(truth[t] == usual for t in questions) / len(questions)
    expect(
        abs(base - counted.count(usual) / len(counted)) > 1e-9
        or abs(base - wanted) < 1e-9,
        "the baseline is the frequency of the majority class in training; evaluate "
        "it on the same texts as the model",
    )
    expect(
        abs(base - 0.5) > 1e-9 or abs(wanted - 0.5) < 1e-9,
        "the baseline is 0.5, that of a coin; always predicting the majority class "
        "of the training set is better, and costs as little",
    )
    expect(
        abs(base - wanted) < 1e-6,
        f"the baseline is {base:.3f}, expected {wanted:.3f}, the accuracy of "
        f"predicting {usual} for every test text",
    )
    _expect_interval(score, low, high, n)
    return correct(
        f"{score:.2f} ({low:.2f} to {high:.2f}) on {n:.0f} test texts, the majority "
        f"class gets {base:.2f}"
    )
