"""Checks of chapter 22: calibration by bins, a planted feature, chance among few
people, gradients of each row, the price of privacy, and what deleting tokens shows.

>>> from ftlib.course.checks.trust import check_row_gradients
>>> def sketch(model, loss_fn, x, y):
...     return None
>>> check_row_gradients(sketch)
not yet: your function returns None; fill it in and run the cell again

What it is not: a library (evaluation/trust.py, privacy.py and explain.py hold the
functions). Needs: torch, ftlib.
"""

import random

import torch
import torch.nn.functional as F
from torch import nn

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import experiment
from ftlib.course.checks.numeric import close, expect_none_of, is_rounded
from ftlib.evaluation import privacy, trust


def bin_sums(confidence, is_correct, bins):
    """[(rows in the bin, mean confidence, accuracy)] of the bins that are not empty."""
    bucket = (confidence.double() * bins).ceil()
    rows = [(bucket == b) for b in range(1, bins + 1)]
    return [
        (int(r.sum()), float(confidence[r].mean()), float(is_correct[r].float().mean()))
        for r in rows
        if r.any()
    ]


@exercise
def check_binned_error(answer):
    """answer(confidence, is_correct, bins) -> the expected calibration error."""
    draw = torch.Generator().manual_seed(0)
    cases = [
        (torch.tensor([0.6, 0.6, 0.6, 0.6, 0.9]), torch.tensor([1, 1, 1, 1, 0]), 10),
        # exactly on an edge: (0.25, 0.5] holds 0.5
        (torch.tensor([0.5, 0.5, 0.5, 0.75, 0.3]), torch.tensor([1, 1, 0, 1, 0]), 4),
        (torch.tensor([0.05, 0.1, 1.0, 1.0]), torch.tensor([0, 1, 1, 0]), 5),
    ]
    for n, bins in ((200, 10), (57, 15), (300, 7), (40, 1)):
        confidence = 0.02 + 0.98 * torch.rand(n, generator=draw)
        hits = torch.rand(n, generator=draw) < confidence.square()
        cases.append((confidence, hits.long(), bins))
    for confidence, is_correct, bins in cases:
        got = float(answer(confidence, is_correct, bins))
        sums = bin_sums(confidence, is_correct, bins)
        n, used = len(confidence), len(sums)
        wanted = sum(count / n * abs(c - a) for count, c, a in sums)
        overall = float(confidence.mean() - is_correct.float().mean())
        wrong = [
            (
                sum(abs(c - a) for _, c, a in sums) / used,
                "every bin counts the same; weigh a bin by the share of answers in it",
            ),
            (
                min(overall, 0.0),
                "the sum is negative, so differences of both signs cancel; take the "
                "absolute value in each bin",
            ),
            (
                abs(overall),
                "this compares the means over all answers; compare within each bin",
            ),
            (
                float((confidence - is_correct).abs().mean()),
                "this takes the absolute value of single answers; first the means of "
                "the bin, then their difference",
            ),
            (
                sum(count / n * (c - a) ** 2 for count, c, a in sums),
                "the differences are squared; take their absolute value",
            ),
            (
                max(abs(c - a) for _, c, a in sums),
                "this is the largest difference of a bin; take the weighted mean",
            ),
            (
                sum(count * abs(c - a) for count, c, a in sums),
                "this is a sum over answers; divide by their number",
            ),
        ]
        expect(got == got, "the result is NaN; a bin without an answer is left out")
        expect_none_of(got, wanted, wrong)
        expect(not is_rounded(got, wanted), "the error is rounded; return it as it is")
        expect(
            close(got, wanted, 1e-5),
            f"the error is {got:.5f}, expected {wanted:.5f} with {bins} bins; a bin "
            "holds its upper edge: (0.8, 0.9]",
        )
    return correct("confidence and accuracy are compared bin by bin")


# seeds at which a column of many codes looks worst to the eye and is not
PLANTED = (1, 3, 11, 9, 20, 26, 27, 66, 104)


def planted(seed):
    """(columns, is_correct, name of the column on which the mistakes hang)."""
    rng, n = random.Random(seed), 800
    kinds = {"age": 4, "region": 5, "device": 2, "shop": 150, "weekday": 7}
    columns = {k: [rng.randrange(m) for _ in range(n)] for k, m in kinds.items()}
    name = rng.choice([k for k in kinds if k != "shop"])
    is_correct = [
        int(rng.random() < (0.75 if columns[name][i] == 1 else 0.86)) for i in range(n)
    ]
    return columns, is_correct, name


def misleading(columns, is_correct):
    """{a way to be fooled: the column that it names}."""
    reports = {
        name: trust.slice_report(is_correct, codes) for name, codes in columns.items()
    }
    lowest = {name: min(r.accuracy for r in rows) for name, rows in reports.items()}
    raw = {name: min(r.p for r in rows) for name, rows in reports.items()}
    return {
        "raw": min(raw, key=raw.get),
        "lowest": min(lowest, key=lowest.get),
    }


@exercise
def check_planted_feature(answer):
    """answer(columns, is_correct) -> the name of one column."""
    for seed in PLANTED:
        columns, is_correct, name = planted(seed)
        got = answer(columns, is_correct)
        expect(
            isinstance(got, str) and got in columns,
            f"return the name of a column, one of {', '.join(columns)}",
        )
        if got == name:
            continue
        ways = misleading(columns, is_correct)
        expect(
            got != ways["raw"],
            f"you name {got!r}, which has {len({*columns[got]})} codes and the lowest "
            "p-value before any correction; many codes are many chances",
        )
        expect(
            got != ways["lowest"],
            f"you name {got!r}, whose worst slice has few rows; how low an accuracy is "
            "says little without its number of rows",
        )
        expect(False, f"the mistakes hang on {name!r}, you name {got!r}")
    return correct("the column is found, and no column of many small slices fools you")


@exercise
def check_chance_of(answer):
    """answer(predicted, groups, shuffles) -> the fraction of dealings, the observed one
    included, with a difference at least as large.
    """
    rng = random.Random(3)
    for size in (2, 4, 8, 8, 16):
        groups = ["a"] * size + ["b"] * size
        predicted = [int(rng.random() < (0.7 if g == "a" else 0.3)) for g in groups]
        if len(set(predicted)) == 1:
            predicted[0] = 1 - predicted[0]
        shuffles = [rng.sample(groups, len(groups)) for _ in range(60)]
        got = float(answer(predicted, groups, shuffles))
        measure = trust.demographic_parity_difference
        observed = measure(predicted, groups)
        dealt = [measure(predicted, other) for other in shuffles]
        at_least = sum(value >= observed for value in dealt)
        above = sum(value > observed for value in dealt)
        signed = sum(
            rate_of(predicted, other, "a") - rate_of(predicted, other, "b")
            >= rate_of(predicted, groups, "a") - rate_of(predicted, groups, "b")
            for other in shuffles
        )
        wanted = (1 + at_least) / 61
        wrong = [
            (at_least / 60, "count the observed dealing as well: it is one of 61"),
            ((1 + at_least) / 60, "with the observed one there are 61 dealings"),
            (1 - wanted, "this is the fraction of smaller differences; take the rest"),
            ((1 + above) / 61, "equal differences count as well: at least as large"),
            (
                (1 + signed) / 61,
                "the sign counts in yours; a difference in favour of either group is "
                "one",
            ),
        ]
        expect_none_of(got, wanted, wrong)
        expect(
            close(got, wanted),
            f"the fraction is {got:.4f}, expected {wanted:.4f} for {2 * size} people",
        )
    return correct("chance alone is what a difference has to beat")


def rate_of(predicted, groups, name):
    own = [p for p, g in zip(predicted, groups) if g == name]
    return sum(own) / len(own)


def drawn_network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


@exercise
def check_row_gradients(answer):
    """answer(model, loss_fn, x, y) -> (B, P): each row's gradient, all parameters in
    their order, flat.
    """
    for seed, rows in ((0, 5), (1, 3), (2, 1)):
        model = drawn_network(seed)
        x = torch.randn(rows, 4)
        y = torch.arange(rows) % 2
        got = answer(model, F.cross_entropy, x, y)
        parts = privacy.per_example_gradients(model, F.cross_entropy, x, y)
        wanted = torch.cat([parts[n].flatten(1) for n in parts], dim=1)
        expect(torch.is_tensor(got), "return one tensor; torch.stack makes it of rows")
        got = got.detach()
        expect(
            got.shape == wanted.shape,
            f"the shape is {tuple(got.shape)}, expected {tuple(wanted.shape)}: a row "
            "an example, all parameters side by side",
        )
        same = torch.allclose(got, wanted, atol=1e-5)
        expect(
            same or not torch.allclose(got, wanted.cumsum(0), atol=1e-5),
            "row by row the gradients add up; backward adds to what is there, so set "
            "it to zero before each row",
        )
        mean = wanted.mean(0).expand_as(wanted)
        expect(
            same or not torch.allclose(got, mean, atol=1e-5),
            "every row has the gradient of the whole batch; give the loss one row",
        )
        expect(
            same or not torch.allclose(got, wanted / rows, atol=1e-5),
            "each row is divided by the batch size; no mean is taken here",
        )
        unit = F.normalize(wanted, dim=1)
        expect(
            same or not torch.allclose(F.normalize(got, dim=1), unit, atol=1e-4),
            "the directions are right and the lengths are not; clipping comes later",
        )
        expect(same, "the gradients differ from those of single rows")
    return correct("one gradient a row, and their mean is the usual one")


@exercise
def check_price(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(private, seed) is an accuracy.
    """
    return experiment(answer, "private minus not private")


@exercise
def check_deletion_gain(answer):
    """answer(score, tokens, relevance, draws, k) -> how much further the score falls
    than after random deletions.
    """
    rng = random.Random(4)
    for length, k in ((6, 1), (9, 3), (12, 5), (8, 2), (10, 4)):
        tokens = [f"word{i}" for i in range(length)]
        worth = {token: rng.uniform(-1, 2) for token in tokens}
        relevance = [worth[t] + rng.uniform(-0.5, 0.5) for t in tokens]
        draws = [rng.sample(range(length), k) for _ in range(7)]

        def score(words, worth=worth):
            # not a sum alone: what is left matters as well
            total = sum(worth[word] for word in words)
            return total + 0.1 * len(words) ** 2

        def fall(positions, tokens=tokens, score=score):
            left = [t for i, t in enumerate(tokens) if i not in positions]
            return score(tokens) - score(left)

        order = sorted(range(length), key=lambda i, r=relevance: -r[i])
        by_chance = [fall(draw) for draw in draws]
        mean, own = sum(by_chance) / len(draws), fall(order[:k])
        wrong = [
            (own, "this is the fall alone; take off what random deletions do"),
            (mean - own, "the sign is turned: relevant minus random"),
            (fall(order[-k:]) - mean, "the least relevant tokens are deleted"),
            (own - sum(by_chance), "take the mean over the draws, not their sum"),
            (own - by_chance[0], "one random draw is chance; take the mean of all"),
            (own - max(by_chance), "compare with the mean of the draws, not the best"),
            (fall(range(k)) - mean, "the first tokens are deleted, not the relevant"),
            (own / mean, "this is a ratio; take the difference"),
        ]
        got = float(answer(score, tokens, relevance, draws, k))
        expect_none_of(got, own - mean, wrong)
        expect(
            close(got, own - mean, 1e-5),
            f"the gain is {got:.4f}, expected {own - mean:.4f} with {k} tokens deleted",
        )
    return correct("an explanation has to beat deleting at random")
