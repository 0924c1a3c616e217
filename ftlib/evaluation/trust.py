"""What a model can be trusted with: slices, calibration, fairness between groups, and
inputs that should not change the answer.

Use it:

    >>> correct = [1] * 18 + [0] * 2 + [1] * 9 + [0] * 11
    >>> rows = slice_report(correct, ["long"] * 20 + ["short"] * 20)
    >>> for row in rows:
    ...     print(f"{row.name}: {row.accuracy:.2f} [{row.low:.2f}, {row.high:.2f}]")
    long: 0.90 [0.70, 0.97]
    short: 0.45 [0.26, 0.66]
    >>> predicted, label = [1, 1, 0, 1, 0, 0], [1, 0, 0, 1, 1, 0]
    >>> group = ["a", "a", "a", "b", "b", "b"]
    >>> round(demographic_parity_difference(predicted, group), 2)
    0.33
    >>> swap_words("Mary likes Anna's film.", {"mary": "james", "anna": "john"})
    "James likes John's film."

What it is not: a verdict. Equal rates on one test set do not make a decision fair. The
tests compare with fairlearn, statsmodels' formulas and scikit-learn. Needs: torch, and
scipy for p-values.

Shapes: N texts or people, C classes, logits (N, C).
"""

import math
import random
import re
import statistics
from collections import Counter
from typing import NamedTuple

import torch
from scipy.stats import false_discovery_control, fisher_exact

# --- slices


class Slice(NamedTuple):
    """One part of the test set: its name, size, accuracy with a 95 % interval, the
    p-value against the rest, and that p-value corrected for the number of slices.
    """

    name: str
    n: int
    accuracy: float
    low: float
    high: float
    p: float
    p_corrected: float


def wilson_interval(correct, n, level=0.95):
    """Interval of a proportion from counts alone (Wilson 1927): `correct` of `n` ->
    (low, high).

    It holds what it promises where the bootstrap cannot: 3 correct of 3 leave no spread
    to resample, and give (0.44, 1).
    """
    if not 0 <= correct <= n or n < 1:
        raise ValueError(
            f"{correct} correct of {n} is no proportion; correct must lie between 0 "
            "and n, and n be at least 1"
        )
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    centre = correct + z * z / 2
    spread = z * math.sqrt(correct * (n - correct) / n + z * z / 4)
    return max(0.0, (centre - spread) / (n + z * z)), min(
        1.0, (centre + spread) / (n + z * z)
    )


def holm(p_values) -> list[float]:
    """Corrected p-values (Holm 1979): if those up to 0.05 are called findings, the
    chance of *any* false one is at most 5 %, however the tests depend on each other.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def benjamini_hochberg(p_values) -> list[float]:
    """Corrected p-values (Benjamini and Hochberg 1995): of those up to 0.05, about 5 %
    are expected to be false. Milder than `holm`; the tests should not be negatively
    dependent.
    """
    return false_discovery_control(p_values).tolist() if len(p_values) else []


def slice_report(correct, slices, correction=holm, level=0.95) -> list[Slice]:
    """Accuracy of each slice, with Wilson intervals and Fisher's exact test of the
    slice against the rest, corrected for the number of slices.

    correct: N numbers, 1 for a correct answer. slices: N names. Raises ValueError for
    lengths that differ.
    """
    correct, slices = [int(c) for c in correct], list(slices)
    if len(correct) != len(slices) or not correct:
        raise ValueError(
            f"there are {len(correct)} answers and {len(slices)} slice names; give one "
            "name for each answer, and at least one"
        )
    n, hits = Counter(slices), Counter(s for s, c in zip(slices, correct) if c)
    names, total, all_hits = sorted(n), len(correct), sum(correct)
    p_values = []
    for name in names:
        outside = total - n[name]
        rest = all_hits - hits[name]
        table = [[hits[name], n[name] - hits[name]], [rest, outside - rest]]
        p_values.append(float(fisher_exact(table).pvalue) if outside else 1.0)
    rows = []
    for name, p, fixed in zip(names, p_values, correction(p_values)):
        low, high = wilson_interval(hits[name], n[name], level)
        rows.append(Slice(name, n[name], hits[name] / n[name], low, high, p, fixed))
    return rows


# --- calibration


def reliability_bins(logits, labels, bins=10):
    """What a reliability diagram shows: (count, mean confidence, accuracy), each
    (bins,), of equal-width bins of confidence; NaN in an empty bin.
    """
    confidence, predicted = torch.softmax(logits.double(), dim=-1).max(dim=-1)
    correct = (predicted == labels).double()
    bucket = (confidence * bins).ceil().long().clamp(1, bins) - 1  # (0, 0.1] is bin 0
    count, sums, hits = (
        torch.zeros(bins, dtype=torch.float64).index_add(0, bucket, values)
        for values in (torch.ones_like(correct), confidence, correct)
    )
    return count.long(), sums / count, hits / count


def fit_temperature(logits, labels) -> float:
    """The temperature T that makes softmax(logits / T) most likely on validation data
    (Guo et al. 2017). It changes how sure the answers are, and none of the answers.

    The likelihood is concave in 1/T, so halving finds the one maximum. Raises
    ValueError where it has none: every validation answer is correct.
    """
    logits = logits.double()
    at_label = logits.gather(1, labels[:, None])[:, 0]
    if bool((at_label >= logits.max(dim=1).values).all()):
        raise ValueError(
            f"all {len(labels)} answers are correct, so the likelihood grows without "
            "end as T falls to 0; use validation texts, and more of them"
        )

    def slope(inverse):  # of the mean loss, at inverse = 1/T; it only grows
        expected = (torch.softmax(logits * inverse, dim=1) * logits).sum(dim=1)
        return float((expected - at_label).mean())

    low, high = math.log(1e-4), math.log(1e4)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(math.exp(middle)) > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def calibrated_ece(logits, bins=10, samples=200, seed=0) -> list[float]:
    """The expected calibration errors that a *perfectly* calibrated model with these
    confidences would show on as many texts, sorted: chance alone makes them positive.
    """
    confidence = torch.softmax(logits.double(), dim=-1).max(dim=-1).values
    bucket = (confidence * bins).ceil().long().clamp(1, bins) - 1
    generator = torch.Generator().manual_seed(seed)
    errors = []
    for _ in range(samples):
        draw = torch.rand(len(confidence), generator=generator, dtype=torch.float64)
        distance = confidence - (draw < confidence).double()
        sums = torch.zeros(bins, dtype=torch.float64).index_add(0, bucket, distance)
        errors.append(float(sums.abs().sum() / len(confidence)))
    return sorted(errors)


# --- fairness between groups


class Rates(NamedTuple):
    """Of one group: its size, the fraction that is selected (predicted 1), the fraction
    of those with label 1 that is (true positive rate), and with label 0 (false
    positive rate).
    """

    n: int
    selected: float
    tpr: float
    fpr: float


def group_rates(predicted, labels, groups) -> dict[str, Rates]:
    """{group: Rates}. predicted, labels: N of 0 and 1. A rate of nobody is NaN."""

    def mean(values):
        return sum(values) / len(values) if values else math.nan

    rates, rows = {}, list(zip(predicted, labels, groups, strict=True))
    for group in sorted({g for _, _, g in rows}):
        own = [(int(p), int(y)) for p, y, g in rows if g == group]
        rates[group] = Rates(
            len(own),
            mean([p for p, _ in own]),
            mean([p for p, y in own if y == 1]),
            mean([p for p, y in own if y == 0]),
        )
    return rates


def demographic_parity_difference(predicted, groups) -> float:
    """Largest minus smallest selection rate over the groups; 0 is demographic parity
    (as fairlearn.metrics.demographic_parity_difference).
    """
    rates = group_rates(predicted, predicted, groups).values()
    return max(r.selected for r in rates) - min(r.selected for r in rates)


def equalized_odds_difference(predicted, labels, groups) -> float:
    """The larger of two differences between groups: of true positive rates and of false
    positive rates; 0 is equalised odds (Hardt et al. 2016; as in fairlearn).
    """
    rates = group_rates(predicted, labels, groups).values()
    return max(
        max(r.tpr for r in rates) - min(r.tpr for r in rates),
        max(r.fpr for r in rates) - min(r.fpr for r in rates),
    )


def difference_interval(measure, *columns, groups, level=0.95, samples=500, seed=0):
    """Bootstrap interval of `measure(*columns, groups)`, drawing people anew within
    each group -> (low, high).

    A difference that is a maximum is never negative, so an interval near 0 need not
    hold 0 even where the groups are equal: compare with `shuffled_differences`.
    """
    rows_of = {}
    for row, group in enumerate(groups):
        rows_of.setdefault(group, []).append(row)
    draw, values = random.Random(seed), []
    for _ in range(samples):
        drawn = [
            row for rows in rows_of.values() for row in draw.choices(rows, k=len(rows))
        ]
        picked = [[column[row] for row in drawn] for column in (*columns, groups)]
        values.append(measure(*picked))
    values = sorted(v for v in values if v == v)  # a drawn group without a label 1
    edge = (1 - level) / 2
    return values[int(edge * len(values))], values[
        min(len(values) - 1, int((1 - edge) * len(values)))
    ]


def shuffled_differences(measure, *columns, groups, samples=200, seed=0):
    """`measure` with the group names dealt out at random, sorted: what it shows where
    the groups do not differ at all.
    """
    draw, values = random.Random(seed), []
    for _ in range(samples):
        mixed = list(groups)
        draw.shuffle(mixed)
        values.append(measure(*columns, mixed))
    return sorted(v for v in values if v == v)


def group_thresholds(scores, groups, rate, labels=None) -> dict[str, float]:
    """One threshold a group, so that the same `rate` of each is selected: of everybody
    (demographic parity), or with `labels` of those with label 1 (equal opportunity).

    scores: N, higher means rather 1; `scores >= threshold` selects.
    """
    thresholds = {}
    for group in sorted(set(groups)):
        own = sorted(
            (
                float(score)
                for i, (score, g) in enumerate(zip(scores, groups))
                if g == group and (labels is None or labels[i] == 1)
            ),
            reverse=True,
        )
        count = round(rate * len(own))
        thresholds[group] = own[count - 1] if count else math.inf
    return thresholds


# --- inputs that should not change the answer, or should


def swap_words(text, table) -> str:
    """`text` with whole words exchanged by `table` {lower-case word: word}, all at
    once, so that a and b may change places. A capital at the beginning is kept.
    """

    def other(match):
        word = match.group()
        new = table.get(word.lower(), word)
        if word[0].isupper() and new is not word:
            return new[0].upper() + new[1:]
        return new

    return re.sub(r"[^\W\d_]+", other, text)


def misspell(word) -> str:
    """The word with its two middle letters exchanged ("terrible" -> "terirble"); one of
    fewer than four letters, or whose middle letters are equal, stays as it is.
    """
    if len(word) < 4:
        return word
    i = len(word) // 2
    return word[: i - 1] + word[i] + word[i - 1] + word[i + 1 :]


def worst_misspelling(text, scores, budget=1) -> str:
    """The text with up to `budget` words misspelled, each time the word that lowers the
    score most (a greedy attack, as Ebrahimi et al. 2018 in small).

    scores(texts) -> a number a text, such as the probability of the correct class.
    """
    words, changed = text.split(), set()
    for _ in range(budget):
        trials = {
            i: [*words[:i], misspell(word), *words[i + 1 :]]
            for i, word in enumerate(words)
            if i not in changed and misspell(word) != word
        }
        if not trials:
            break
        values = [float(s) for s in scores([" ".join(t) for t in trials.values()])]
        _, worst = min(zip(values, trials))
        words = trials[worst]
        changed.add(worst)
    return " ".join(words)


def negated(sentence) -> str:
    """The sentence with "not" behind its first is, are, was or were; ValueError if it
    has none.
    """
    new, count = re.subn(r"\b(is|are|was|were)\b", r"\1 not", sentence, count=1)
    if not count:
        raise ValueError(
            f"{sentence[:40]!r} has no is, are, was or were to stand a 'not' behind"
        )
    return new
