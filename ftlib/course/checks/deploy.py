"""Checks of chapter 24: the next batch, an answer that leaks nothing, a drift test that
does not ring every day, CUSUM, and how large a canary should be.

>>> from ftlib.course.checks.deploy import check_cusum
>>> def sketch(scores, mean, std, slack, line):
...     return None
>>> check_cusum(sketch)
not yet: your function returns None; fill it in and run the cell again

What it is not: a library (deploy/batching.py and evaluation/drift.py hold the
functions). Needs: numpy, scipy, ftlib.
"""

import collections
import random

import numpy
from scipy.stats import ks_2samp

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import experiment


def batch_of(requests, most):
    """(what is taken, what is left) of a list of requests."""
    size = 0
    for i, texts in enumerate(requests):
        if i and size + len(texts) > most:
            return requests[:i], requests[i:]
        size += len(texts)
    return requests, []


def skipping(requests, most):
    """What is taken by who passes over a request that does not fit."""
    taken, size = [], 0
    for texts in requests:
        if not taken or size + len(texts) <= most:
            taken.append(texts)
            size += len(texts)
    return taken


@exercise(changes=("waiting",))
def check_next_batch(answer):
    """answer(waiting, most) -> the next batch, which is no longer in waiting."""
    sizes = [([1, 2, 1], 4), ([3, 3, 1], 4), ([9, 1], 4), ([2, 2, 2], 4), ([4], 4)]
    sizes += [([1, 9, 1], 4), ([5, 4], 5), ([1, 1, 1, 1], 3), ([2, 3, 1], 4)]
    rng = random.Random(0)
    for _ in range(20):
        sizes.append(([rng.randint(1, 6) for _ in range(8)], rng.randint(1, 12)))
    for lengths, most in sizes:
        requests = [[f"{i}{j}" for j in range(n)] for i, n in enumerate(lengths)]
        wanted, left = batch_of(requests, most)
        waiting = collections.deque(requests)
        got = answer(waiting, most)
        told = f"requests of {lengths} texts with most={most}"
        expect(
            isinstance(got, list) and all(isinstance(r, list) for r in got),
            "return a list of requests, each of them a list of texts as it was",
        )
        expect(
            all(r in requests for r in got),
            "a request stays whole: return requests as they came, not their texts",
        )
        expect(
            got or not wanted,
            f"{told}: nothing is taken, and the first request would wait for ever; one "
            "that is larger than `most` goes alone",
        )
        if got != wanted:
            expect(
                got[0] == requests[0],
                f"{told}: you do not begin with the oldest request; it stands on the "
                "left",
            )
            expect(
                got != skipping(requests, most),
                f"{told}: a request that came earlier is passed over by a smaller one; "
                "stop at the first that does not fit",
            )
            size = sum(map(len, got))
            expect(
                size <= most or len(got) == 1,
                f"{told}: the batch has {size} texts; stop before it is too large",
            )
            expect(False, f"{told}: one more would fit, {len(wanted)} instead of "
                   f"{len(got)}")  # fmt: skip
        expect(
            list(waiting) == left,
            f"{told}: {len(waiting)} requests wait afterwards, it should be "
            f"{len(left)}; take what you return out of `waiting`, and nothing else",
        )
    return correct("first come, first served, and no batch too large")


class Broken(Exception):
    """What the model raises in the check."""


NO_TEXTS = (
    {"texts": "ab"},
    {},
    [],
    None,
    "texts",
    ["texts"],
    {"texts": []},
    {"texts": [1]},
    {"texts": ["a", None]},
    {"texts": {"a": "b"}},
    {"texts": ("a",)},
    {"text": ["a"]},
)


@exercise
def check_safe_answer(answer):
    """answer(predict, body, log) -> {"status", "answer" or "error"}."""
    for body in NO_TEXTS:
        called, logged = [], []
        got = answer(called.append, body, logged.append)
        expect(
            isinstance(got, dict) and "status" in got,
            "return a dict with the status in it",
        )
        expect(
            not called,
            f"predict is called with the body {body!r}; look at the body first",
        )
        expect(
            got["status"] == 422,
            f"the body {body!r} gets the status {got['status']}; it is 422, because "
            "the client sent no list of strings",
        )
        expect(
            isinstance(got.get("error"), str) and "Traceback" not in got["error"],
            "a refusal has one sentence under `error`, and no trace",
        )
        expect(not logged, "a wrong body is no failure of ours; do not log it")
    given_texts, logged = [], []
    got = answer(
        lambda texts: given_texts.append(texts) or [7], {"texts": ["a"]}, logged.append
    )
    expect(
        got == {"status": 200, "answer": [7]},
        f"where all is well you return {got!r}; it is the status 200 and the answer",
    )
    expect(
        given_texts == [["a"]] and not logged,
        f"predict was called with {given_texts}; call it once, and log nothing",
    )
    for failure in (Broken("/home/ada/model.py"), ValueError("secret")):
        logged = []

        def fails(texts, failure=failure):
            raise failure

        got = answer(fails, {"texts": ["a"]}, logged.append)
        expect(
            str(failure) not in str(got) and "Traceback" not in str(got),
            "the client reads what went wrong inside; it gets `internal error` alone",
        )
        expect(
            got.get("status") == 500,
            f"a failure gets the status {got.get('status')}; with anything but 500 no "
            "monitor sees it",
        )
        expect(
            got == {"status": 500, "error": "internal error"},
            f"a failure is answered with {got!r}; it is the status 500 and `internal "
            "error`",
        )
        expect(
            logged == [failure],
            f"{len(logged)} things were logged; call log once, with the exception "
            "itself",
        )
    stopped = False
    try:
        answer(_interrupt, {"texts": ["a"]}, logged.append)
    except KeyboardInterrupt:
        stopped = True
    expect(stopped, "control-C is swallowed; catch Exception, not everything")
    return correct("the trace stays inside, and the status tells the truth")


def _interrupt(texts):
    raise KeyboardInterrupt


def shifted(n, k):
    """Two columns of n values whose KS statistic is k / n."""
    values = numpy.arange(n, dtype=float)
    return values, values + k


def rings(reference, today, days):
    """The rule of the task."""
    tests = [ks_2samp(reference[k], today[k]) for k in reference]
    return any(
        t.pvalue * len(tests) * days < 0.05 and t.statistic >= 0.1 for t in tests
    )


def column_cases():
    """(reference, today, days, what the case is about)."""
    n, quiet = 400, shifted(400, 0)
    many = {f"b{i}": quiet for i in range(19)}
    yield {"a": shifted(60, 15), **many}, 1, "many columns"
    for k in (46, 50, 54, 60, 66):  # KS from 0.115 to 0.165
        p = float(ks_2samp(*shifted(n, k)).pvalue)
        for product in (0.035, 0.045, 0.056, 0.08):
            for columns in (1, 4):
                days = product / p / columns
                if days >= 1:
                    pairs = {"a": shifted(n, k)}
                    pairs |= {f"b{i}": quiet for i in range(columns - 1)}
                    yield pairs, int(days), "a p-value near the limit"
    for k, about in ((600, "a difference that is too small"), (3000, "a large shift")):
        yield {"a": shifted(20_000, k), "b": quiet}, 365, about
    for k in (1900, 2000, 2100, 3900):
        yield {"a": shifted(20_000, k)}, 30, "the size of the difference"
    yield {"a": shifted(1000, 100)}, 30, "a statistic of 0.1 exactly"
    # small and sure in one column, large and unsure in another
    mixed = {"a": shifted(20_000, 900), "b": shifted(40, 8)}
    yield mixed, 1, "the two conditions in different columns"
    yield {"a": quiet, "b": shifted(400, 200)}, 365, "a shift in the last column"
    yield {"a": shifted(400, 200), "b": quiet}, 365, "a shift in the first column"


@exercise
def check_daily_alarm(answer):
    """answer(reference, today, days) -> whether it rings."""
    for pairs, days, about in column_cases():
        reference = {k: v[0] for k, v in pairs.items()}
        today = {k: v[1] for k, v in pairs.items()}
        got = answer(reference, today, days)
        expect(
            isinstance(got, (bool, numpy.bool_)),
            f"return True or False, not {type(got).__name__}",
        )
        tests = [ks_2samp(reference[k], today[k]) for k in reference]
        wanted = rings(reference, today, days)
        told = f"{about} ({len(tests)} columns, {days} days)"
        if bool(got) == wanted:
            continue
        p, largest = min(t.pvalue for t in tests), max(t.statistic for t in tests)
        if got:
            expect(
                largest >= 0.1,
                f"{told}: it rings with a KS statistic of {largest:.3f}; with so many "
                "requests a difference is significant long before it matters",
            )
            expect(
                p * len(tests) >= 0.05 or p * len(tests) * days < 0.05,
                f"{told}: it rings with p = {p:.2g}, which is below 0.05 for one day; "
                "correct for all days as well",
            )
            expect(
                p * len(tests) * days < 0.05,
                f"{told}: it rings with p = {p:.2g}; that is not below 0.05 after a "
                "correction for the columns",
            )
            expect(False, f"{told}: no column has both; look at one column at a time")
        expect(
            False,
            f"{told}: it is silent with p = {p:.2g} and a KS statistic of "
            f"{largest:.3f}; it should ring",
        )
    return correct("it rings for what is sure and large, in one and the same column")


def cusum_of(scores, mean, std, slack, line):
    value, numbers = 0.0, []
    for i, score in enumerate(scores):
        value = max(0.0, value + (score - mean) / std - slack)
        if value > line:
            numbers.append(i)
            value = 0.0
    return numbers


@exercise
def check_cusum(answer):
    """answer(scores, mean, std, slack, line) -> numbers of the alarms."""
    cases = [([-9.0, -9.0, 4.0, 4.0], 0.0, 2.0, 0.5, 2.0)]
    cases += [([9.0] + [0.0] * 3 + [9.0], 0.0, 1.0, 0.5, 8.0), ([], 0.0, 1.0, 0.5, 1.0)]
    rng = numpy.random.default_rng(0)
    for line in (1.0, 3.0, 6.0):
        scores = rng.normal(5, 2, 300)
        scores[150:] += 2
        cases.append((scores.tolist(), 5.0, 2.0, 0.3, line))
    # 1, 2, 3, which is on the line exactly, 4
    cases.append(([3.0] * 6, 1.0, 1.0, 1.0, 3.0))
    for scores, mean, std, slack, line in cases:
        got = answer(list(scores), mean, std, slack, line)
        expect(isinstance(got, list), "return a list of numbers, one for each alarm")
        got = [int(i) for i in got]
        wanted = cusum_of(scores, mean, std, slack, line)
        if got == wanted:
            continue
        told = f"{got[:5]} instead of {wanted[:5]}"
        expect(
            got != [i + 1 for i in wanted],
            f"{told}: count the scores from 0",
        )
        expect(
            got != never_reset(scores, mean, std, slack, line),
            f"{told}: after an alarm the value starts again at 0",
        )
        expect(
            got != without_floor(scores, mean, std, slack, line),
            f"{told}: the value never goes below 0, or quiet times would be saved up",
        )
        expect(
            got != cusum_of(scores, mean, 1.0, slack, line),
            f"{told}: divide the distance by the standard deviation",
        )
        expect(
            got != cusum_of(scores, mean, std, slack / std, line),
            f"{told}: subtract the slack after the division; it is in standard "
            "deviations",
        )
        expect(
            got != cusum_of(scores, mean, std, 0.0, line),
            f"{told}: the slack is missing, so that the value wanders up by itself",
        )
        expect(
            got != cusum_of(scores, mean, std, slack, line - 1e-9),
            f"{told}: it is an alarm above the line, not on it",
        )
        expect(False, f"the alarms are at {told}")
    return correct("it climbs after a shift, and falls back when all is well")


def never_reset(scores, mean, std, slack, line):
    value, numbers = 0.0, []
    for i, score in enumerate(scores):
        value = max(0.0, value + (score - mean) / std - slack)
        if value > line:
            numbers.append(i)
    return numbers


def without_floor(scores, mean, std, slack, line):
    value, numbers = 0.0, []
    for i, score in enumerate(scores):
        value += (score - mean) / std - slack
        if value > line:
            numbers.append(i)
            value = 0.0
    return numbers


@exercise
def check_canary(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(half, seed) is a fraction of correct answers.
    """
    return experiment(answer, "half minus a twentieth")
