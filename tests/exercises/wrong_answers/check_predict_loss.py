"""Wrong fits of a power law, and another right one."""

import math

import numpy as np
import torch

from ftlib.evaluation import scaling


def another(sizes, losses, floor, new_size):
    slope, start = np.polyfit(np.log10(sizes), np.log10(np.array(losses) - floor), 1)
    return -slope, 10 ** (start + slope * np.log10(new_size)) + floor


def _line(x, y):
    slope, start = np.polyfit(x, y, 1)
    return float(slope), float(start)


def _logs(sizes, losses, floor):
    return np.log(sizes), np.log(np.array(losses) - floor)


def sign(sizes, losses, floor, new_size):
    alpha, loss = another(sizes, losses, floor, new_size)
    return -alpha, loss


def whole_loss(sizes, losses, floor, new_size):
    return another(sizes, losses, 0.0, new_size)


def half_logarithm(sizes, losses, floor, new_size):
    slope, start = _line(np.log(sizes), losses)
    return -slope, start + slope * math.log(new_size)


def other_half(sizes, losses, floor, new_size):
    slope, start = _line(np.array(sizes), np.log(np.array(losses) - floor))
    return -slope, math.exp(start + slope * new_size) + floor


def two_ends(sizes, losses, floor, new_size):
    x, y = _logs(sizes, losses, floor)
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    return -slope, math.exp(y[-1] + slope * (math.log(new_size) - x[-1])) + floor


def other_way_round(sizes, losses, floor, new_size):
    x, y = _logs(sizes, losses, floor)
    slope, start = _line(y, x)
    return -1 / slope, math.exp((math.log(new_size) - start) / slope) + floor


def floor_forgotten(sizes, losses, floor, new_size):
    alpha, loss = another(sizes, losses, floor, new_size)
    return alpha, loss - floor


def still_a_logarithm(sizes, losses, floor, new_size):
    alpha, loss = another(sizes, losses, floor, new_size)
    return alpha, math.log(loss - floor)


def nearest_run(sizes, losses, floor, new_size):
    return another(sizes, losses, floor, new_size)[0], losses[-1]


def alpha_alone(sizes, losses, floor, new_size):
    return another(sizes, losses, floor, new_size)[0]


def mixed_bases(sizes, losses, floor, new_size):
    slope, start = _line(np.log10(sizes), np.log(np.array(losses) - floor))
    return -slope, math.exp(start + slope * math.log10(new_size)) + floor


def size_written_in(sizes, losses, floor, new_size):
    return (
        another(sizes, losses, floor, 1e6)
        if floor == 1.0
        else another(sizes, losses, floor, min(sizes))
    )


def sorted_apart(sizes, losses, floor, new_size):
    return another(sorted(sizes), sorted(losses, reverse=True), floor, new_size)


def both_sorted_upwards(sizes, losses, floor, new_size):
    return another(sorted(sizes), sorted(losses), floor, new_size)


def with_scaling(sizes, losses, floor, new_size):
    law = scaling.fit_power(sizes, [loss - floor for loss in losses])
    return law.alpha, law(new_size) + floor


def never_negative(sizes, losses, floor, new_size):
    alpha, loss = another(sizes, losses, floor, new_size)
    return abs(alpha), loss


def floor_of_one(sizes, losses, floor, new_size):
    return another(sizes, losses, min(floor, 1.0), new_size)


def mean_of_each_size(sizes, losses, floor, new_size):
    kinds = sorted(set(sizes))
    means = [
        math.exp(
            np.mean([math.log(x - floor) for n, x in zip(sizes, losses) if n == k])
        )
        for k in kinds
    ]
    return another(kinds, [mean + floor for mean in means], floor, new_size)


def rounded(sizes, losses, floor, new_size):
    alpha, loss = another(sizes, losses, floor, new_size)
    return round(alpha, 4), loss


def rounded_loss(sizes, losses, floor, new_size):
    alpha, loss = another(sizes, losses, floor, new_size)
    return alpha, round(float(loss), 3)


def never_above_the_best(sizes, losses, floor, new_size):
    alpha, loss = another(sizes, losses, floor, new_size)
    return alpha, min(loss, min(losses))


def floor_twice(sizes, losses, floor, new_size):
    alpha, loss = another(sizes, losses, floor, new_size)
    return alpha, loss + floor


def mean_slope(sizes, losses, floor, new_size):
    x, y = _logs(sizes, losses, floor)
    slopes = [
        (y[i] - y[j]) / (x[i] - x[j])
        for i in range(len(x))
        for j in range(i)
        if x[i] != x[j]
    ]
    slope = float(np.mean(slopes))
    return -slope, math.exp(y.mean() + slope * (math.log(new_size) - x.mean())) + floor


def loss_first(sizes, losses, floor, new_size):
    return another(sizes, losses, floor, new_size)[::-1]


def factor_alone(sizes, losses, floor, new_size):
    slope, start = _line(*_logs(sizes, losses, floor))
    return -slope, math.exp(start) + floor


def least_squares(sizes, losses, floor, new_size):
    x = torch.tensor([[1.0, math.log(n)] for n in sizes], dtype=torch.float64)
    y = torch.tensor([[math.log(loss - floor)] for loss in losses], dtype=torch.float64)
    start, slope = torch.linalg.lstsq(x, y).solution[:, 0]
    return [-slope, (start + slope * math.log(new_size)).exp() + floor]


def float32_sums(sizes, losses, floor, new_size):
    x = torch.tensor(sizes, dtype=torch.float32).log()
    y = (torch.tensor(losses, dtype=torch.float32) - floor).log()
    x0, y0 = x.mean(), y.mean()
    slope = (x - x0) @ (y - y0) / ((x - x0) @ (x - x0))
    return torch.stack([-slope, (y0 + slope * (math.log(new_size) - x0)).exp() + floor])


WRONG = [
    (sign, "minus the slope"),
    (whole_loss, "subtract the irreducible loss"),
    (half_logarithm, "loss against log N"),
    (other_half, "logarithm of both"),
    (two_ends, "first and the last"),
    (other_way_round, "size against loss"),
    (floor_forgotten, "lacks the irreducible loss"),
    (still_a_logarithm, "take exp"),
    (nearest_run, "largest run"),
    (alpha_alone, "two numbers"),
    (mixed_bases, "natural and that of the other"),
    (size_written_in, "8 others"),
    (sorted_apart, "sorted apart"),
    (both_sorted_upwards, "smallest size"),
    (with_scaling, "nothing from scaling"),
    (never_negative, "the loss rises"),
    (floor_of_one, "floor 2.5"),
    (mean_of_each_size, "each size"),
    (rounded, "alpha is rounded"),
    (rounded_loss, "loss is rounded"),
    (never_above_the_best, "between the sizes"),
    (floor_twice, "twice"),
    (mean_slope, "alpha is"),
    (loss_first, "the other way round"),
    (factor_alone, "at N = 1"),
]

RIGHT = [least_squares, float32_sums]

EQUIVALENT = {
    "`torch.tensor(sizes, dtype=torch.float64)` -> `torch.tensor(sizes)`": (
        "float32 logarithms are exact enough here, and the task names no dtype"
    ),
    "`torch.tensor(losses, dtype=torch.float64)` -> `torch.tensor(losses)`": (
        "float32 logarithms are exact enough here, and the task names no dtype"
    ),
    "`x - x.mean()` -> `x + x.mean()`": (
        "the deviations of y add up to 0, so a constant beside x changes nothing"
    ),
    "`x.mean()` -> `x.sum()`": (
        "the deviations of y add up to 0, so a constant beside x changes nothing"
    ),
    "`y - y.mean()` -> `y + y.mean()`": (
        "the deviations of x add up to 0, so a constant beside y changes nothing"
    ),
    "`y.mean()` -> `y.sum()`": (
        "the deviations of x add up to 0, so a constant beside y changes nothing"
    ),
}
