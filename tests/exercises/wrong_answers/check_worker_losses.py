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


def sum_of_all_workers(sums, counts):
    whole = sum(sums) / max(1, sum(counts))
    return [whole for _ in sums]


def three_workers(sums, counts):
    return [loss * 3 / max(1, sum(counts)) for loss in sums]


def at_least_two(sums, counts):
    return [loss * len(counts) / max(2, sum(counts)) for loss in sums]


def only_workers_with_targets(sums, counts):
    active = sum(n > 0 for n in counts)
    return [loss * active / max(1, sum(counts)) for loss in sums]


def zero_without_graph(sums, counts):
    total = max(1, sum(counts))
    return [
        loss * len(counts) / total if n else torch.tensor(0.0, dtype=torch.float64)
        for loss, n in zip(sums, counts)
    ]


def a_small_number(sums, counts):
    total = sum(counts) + 1e-3
    return [loss * len(counts) / total for loss in sums]


def largest_count(sums, counts):
    return [loss / max(1, *counts) for loss in sums]


def left_out(sums, counts):
    total = max(1, sum(counts))
    return [loss * len(counts) / total for loss, n in zip(sums, counts) if n]


def square_root(sums, counts):
    return [loss * len(counts) ** 0.5 / max(1, sum(counts)) for loss in sums]


def stacked(sums, counts):
    total = torch.tensor(counts).sum().clamp(min=1)
    return torch.stack(list(sums)) * (len(counts) / total)


def weighted_means(sums, counts):
    total = sum(counts)
    return tuple(
        (loss / n) * (n / total) * len(counts) if n else loss * 1.0
        for loss, n in zip(sums, counts)
    )


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
    (sum_of_all_workers, "only its own sum"),
    (three_workers, "not always 3"),
    (at_least_two, "one target in all"),
    (only_workers_with_targets, "counts as a worker"),
    (zero_without_graph, "no graph"),
    (a_small_number, "0.9999333"),
    (largest_count, "largest count"),
    (left_out, "for 2 workers"),
    (square_root, "0.5773503"),
]

RIGHT = [stacked, weighted_means]

EQUIVALENT = {
    "`max(1, sum(counts))` -> `max(sum(counts), 1)`": (
        "the larger of two numbers, whatever their order"
    ),
}
