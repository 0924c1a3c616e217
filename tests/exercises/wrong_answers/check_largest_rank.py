"""Wrong largest ranks, and another right one."""

import math

import numpy as np


def another(shapes, bytes_allowed, bytes_each=4):
    rank = 0
    while (
        rank < min(min(pair) for pair in shapes)
        and (rank + 1) * bytes_each * sum(map(sum, shapes)) <= bytes_allowed
    ):
        rank += 1
    return rank


def whole_matrices(shapes, bytes_allowed, bytes_each=4):
    return bytes_allowed // (bytes_each * sum(a * b for a, b in shapes))


def numbers(shapes, bytes_allowed, bytes_each=4):
    return bytes_allowed // sum(map(sum, shapes))


def one_layer(shapes, bytes_allowed, bytes_each=4):
    return bytes_allowed // (bytes_each * sum(shapes[0]))


def one_matrix(shapes, bytes_allowed, bytes_each=4):
    return bytes_allowed // (bytes_each * sum(a for a, _ in shapes))


def rounded_up(shapes, bytes_allowed, bytes_each=4):
    return math.ceil(bytes_allowed / (bytes_each * sum(map(sum, shapes))))


def not_whole(shapes, bytes_allowed, bytes_each=4):
    return bytes_allowed / (bytes_each * sum(map(sum, shapes)))


def first_times_many(shapes, bytes_allowed, bytes_each=4):
    return bytes_allowed // (bytes_each * len(shapes) * sum(shapes[0]))


def no_end(shapes, bytes_allowed, bytes_each=4):
    return bytes_allowed // (bytes_each * sum(map(sum, shapes)))


def at_least_one(shapes, bytes_allowed, bytes_each=4):
    return max(
        1,
        min(
            min(map(min, shapes)), bytes_allowed // (bytes_each * sum(map(sum, shapes)))
        ),
    )


def halved(shapes, bytes_allowed, bytes_each=4):
    return bytes_allowed // (2 * bytes_each * sum(map(sum, shapes)))


def nearest(shapes, bytes_allowed, bytes_each=4):
    return min(
        min(map(min, shapes)),
        round(bytes_allowed / (bytes_each * sum(map(sum, shapes)))),
    )


def strictly_less(shapes, bytes_allowed, bytes_each=4):
    rank = 0
    while (
        rank < min(map(min, shapes))
        and (rank + 1) * bytes_each * sum(map(sum, shapes)) < bytes_allowed
    ):
        rank += 1
    return rank


def _capped(shapes, bytes_allowed, bytes_each, cap):
    return min(cap, bytes_allowed // (bytes_each * sum(map(sum, shapes))))


def outputs_only(shapes, bytes_allowed, bytes_each=4):
    return _capped(shapes, bytes_allowed, bytes_each, min(out for _, out in shapes))


def first_layer_only(shapes, bytes_allowed, bytes_each=4):
    return _capped(shapes, bytes_allowed, bytes_each, min(shapes[0]))


def largest_layer_only(shapes, bytes_allowed, bytes_each=4):
    return _capped(shapes, bytes_allowed, bytes_each, max(map(min, shapes)))


def last_layer_only(shapes, bytes_allowed, bytes_each=4):
    return _capped(shapes, bytes_allowed, bytes_each, min(shapes[-1]))


def with_numpy(shapes, bytes_allowed, bytes_each=4):
    """Right: a whole number of numpy's type."""
    widths = np.array(shapes)
    return min(widths.min(), np.int64(bytes_allowed) // (bytes_each * widths.sum()))


RIGHT = [with_numpy]

WRONG = [
    (whole_matrices, "full matrix"),
    (numbers, "limit is in bytes"),
    (one_layer, "one layer"),
    (one_matrix, "one of the two matrices"),
    (rounded_up, "one too high"),
    (not_whole, "not an integer"),
    (first_times_many, "unequal widths"),
    (no_end, "no longer a low rank"),
    (at_least_one, "not even rank 1"),
    (halved, "your rank is"),
    (nearest, "rounded to the nearest"),
    (strictly_less, "not <"),
    (outputs_only, "stop at one side"),
    (first_layer_only, "ANY layer is the limit"),
    (last_layer_only, "last or the largest"),
]
