"""Chapter 22: expected calibration error."""

import torch


def by_bin(confidence, is_correct, bins):
    bucket = (confidence * bins).ceil()
    for b in range(1, bins + 1):
        rows = bucket == b
        if rows.any():
            weight = float(rows.float().mean())
            means = confidence[rows].mean(), is_correct[rows].float().mean()
            yield weight, float(means[0]), float(means[1])


def another(confidence, is_correct, bins):
    return sum(w * abs(c - a) for w, c, a in by_bin(confidence, is_correct, bins))


def plain_mean(confidence, is_correct, bins):
    rows = list(by_bin(confidence, is_correct, bins))
    return sum(abs(c - a) for _, c, a in rows) / len(rows)


def signed(confidence, is_correct, bins):
    return sum(w * (c - a) for w, c, a in by_bin(confidence, is_correct, bins))


def one_bin(confidence, is_correct, bins):
    return abs(float(confidence.mean() - is_correct.float().mean()))


def single_answers(confidence, is_correct, bins):
    return float((confidence - is_correct).abs().mean())


def squared(confidence, is_correct, bins):
    return sum(w * (c - a) ** 2 for w, c, a in by_bin(confidence, is_correct, bins))


def largest(confidence, is_correct, bins):
    return max(abs(c - a) for _, c, a in by_bin(confidence, is_correct, bins))


def not_divided(confidence, is_correct, bins):
    return len(confidence) * another(confidence, is_correct, bins)


def nan_bins(confidence, is_correct, bins):
    bucket, total = (confidence * bins).ceil(), torch.tensor(0.0)
    for b in range(1, bins + 1):
        rows = bucket == b
        apart = confidence[rows].mean() - is_correct[rows].float().mean()
        total = total + rows.float().mean() * apart.abs()
    return total


def lower_edge(confidence, is_correct, bins):
    bucket = (confidence * bins).floor().clamp(max=bins - 1)
    total = 0.0
    for b in range(bins):
        rows = bucket == b
        if rows.any():
            apart = confidence[rows].mean() - is_correct[rows].float().mean()
            total += float(rows.float().mean() * apart.abs())
    return total


def rounded(confidence, is_correct, bins):
    return round(another(confidence, is_correct, bins), 3)


WRONG = [
    (plain_mean, "weigh a bin"),
    (signed, "differences of both signs cancel"),
    (one_bin, "means over all answers"),
    (single_answers, "absolute value of single answers"),
    (squared, "squared"),
    (largest, "largest difference"),
    (not_divided, "divide by their number"),
    (nan_bins, "NaN"),
    (lower_edge, "holds its upper edge"),
    (rounded, "is rounded"),
]

EMPTY = "no confidence is in that bin, so it adds nothing"
EQUIVALENT = {
    "`1` -> `0`": EMPTY,
    "`1` -> `2` (2)": EMPTY,
}
