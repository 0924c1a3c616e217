"""Wrong losses of workers, and another right one."""

import torch


def another(sums, counts):
    share = torch.tensor(counts, dtype=torch.float64) / max(1, sum(counts))
    return [
        loss / max(1, n) * float(s) * len(counts)
        for loss, n, s in zip(sums, counts, share)
    ]


def printed(sums, counts):
    return [loss / n for loss, n in zip(sums, counts)]


def no_factor(sums, counts):
    return [loss / sum(counts) for loss in sums]


def no_division(sums, counts):
    return list(sums)


def own_count(sums, counts):
    return [loss / n * len(counts) for loss, n in zip(sums, counts)]


def added(sums, counts):
    return [loss / sum(counts) * len(counts) ** 2 for loss in sums]


def numbers(sums, counts):
    return [loss.item() / sum(counts) * len(counts) for loss in sums]


def one_number(sums, counts):
    return [sum(sums) / sum(counts)]


def not_a_number(sums, counts):
    return [
        loss / torch.tensor(float(n)) * (n / sum(counts)) * len(counts)
        for loss, n in zip(sums, counts)
    ]


def nobody_asked(sums, counts):
    total = torch.tensor(float(sum(counts)))
    return [loss * len(counts) / total for loss in sums]


WRONG = [
    (printed, "mean of means"),
    (no_factor, "too small"),
    (no_division, "not divided"),
    (own_count, "still divides by its own"),
    (added, "too large"),
    (numbers, "no graph"),
    (one_number, "for 3 workers"),
    (not_a_number, "do not divide by its own count"),
    (nobody_asked, "at least 1"),
]
