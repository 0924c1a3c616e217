"""Chapter 16: BLEU of token lists, without smoothing."""

import math
from collections import Counter

from ftlib.evaluation import translation


def grams(tokens, n):
    return Counter(zip(*(tokens[i:] for i in range(n))))


def sums(hypotheses, references, clip=True):
    matches, totals = [0] * 4, [0] * 4
    for h, r in zip(hypotheses, references):
        for n in range(4):
            ours, theirs = grams(h, n + 1), grams(r, n + 1)
            for gram, count in ours.items():
                most = theirs[gram] if clip else count * (gram in theirs)
                matches[n] += min(count, most)
                totals[n] += count
    return matches, totals


def precisions(hypotheses, references, clip=True):
    return [m / t if t else 0 for m, t in zip(*sums(hypotheses, references, clip))]


def penalty(hypotheses, references):
    ours, theirs = sum(map(len, hypotheses)), sum(map(len, references))
    return 1 if ours >= theirs else math.exp(1 - theirs / ours) if ours else 0


def another(hypotheses, references):
    product = math.prod(precisions(hypotheses, references))
    return 100 * penalty(hypotheses, references) * product**0.25


def not_clipped(hypotheses, references):
    product = math.prod(precisions(hypotheses, references, clip=False))
    return 100 * penalty(hypotheses, references) * product**0.25


def no_penalty(hypotheses, references):
    return 100 * math.prod(precisions(hypotheses, references)) ** 0.25


def reward_for_length(hypotheses, references):
    ours, theirs = sum(map(len, hypotheses)), sum(map(len, references))
    reward = math.exp(1 - theirs / max(1, ours))
    return 100 * reward * math.prod(precisions(hypotheses, references)) ** 0.25


def mean_of_sentences(hypotheses, references):
    each = [another([h], [r]) for h, r in zip(hypotheses, references)]
    return sum(each) / len(each)


def plain_mean(hypotheses, references):
    return (
        100 * penalty(hypotheses, references)
        * sum(precisions(hypotheses, references)) / 4
    )  # fmt: skip


def swapped(hypotheses, references):
    return another(references, hypotheses)


def a_fraction(hypotheses, references):
    return another(hypotheses, references) / 100


def rounded(hypotheses, references):
    return round(another(hypotheses, references), 2)


def the_library(hypotheses, references):
    rows = [translation.bleu_counts(" ".join(h), " ".join(r)) for h, r in
            zip(hypotheses, references)]  # fmt: skip
    return translation.bleu_of([sum(column) for column in zip(*rows)])


def penalty_by_sentence(hypotheses, references):
    each = [penalty([h], [r]) for h, r in zip(hypotheses, references)]
    product = math.prod(precisions(hypotheses, references)) ** 0.25
    return 100 * product * sum(each) / len(each)


def smoothed(hypotheses, references):
    matches, totals = sums(hypotheses, references)
    product = math.prod((m or 0.5) / max(1, t) for m, t in zip(matches, totals))
    return 100 * penalty(hypotheses, references) * product**0.25


WRONG = [
    (not_clipped, "clip"),
    (no_penalty, "brevity penalty is missing"),
    (reward_for_length, "never above 1"),
    (mean_of_sentences, "mean over sentences"),
    (plain_mean, "geometric mean"),
    (swapped, "swapped"),
    (a_fraction, "0 to 100"),
    (rounded, "rounded"),
    (the_library, "count the n-grams yourself"),
    (penalty_by_sentence, "expected"),
    (smoothed, "expected"),
]

SIGNS = "all four precisions are negative, and their product is what it was"
EQUIVALENT = {
    "`matches + (a & b).total()` -> `matches - (a & b).total()`": SIGNS,
    "`total + a.total()` -> `total - a.total()`": SIGNS,
    "`min(1, exp(1 - r / h))` -> `min(exp(1 - r / h), 1)`": (
        "the smaller of two numbers, in whatever order"
    ),
}
