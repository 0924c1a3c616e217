"""Wrong fits of a power law, and another right one."""

import math

import numpy as np


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
    (mixed_bases, "by least squares"),
    (size_written_in, "stored family"),
]
