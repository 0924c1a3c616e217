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


def eight_bytes_each(shapes, bytes_allowed, bytes_each=8):
    return another(shapes, bytes_allowed, bytes_each)


def no_default(shapes, bytes_allowed, bytes_each):
    return another(shapes, bytes_allowed, bytes_each)


def at_most_256(shapes, bytes_allowed, bytes_each=4):
    return min(256, no_end(shapes, bytes_allowed, bytes_each), *map(min, shapes))


def one_byte_over(shapes, bytes_allowed, bytes_each=4):
    return another(shapes, bytes_allowed + 1, bytes_each)


def inputs_twice(shapes, bytes_allowed, bytes_each=4):
    cap = no_end([(a, a) for a, _ in shapes], bytes_allowed, bytes_each)
    return min(cap, *map(min, shapes))


def capped_numbers(shapes, bytes_allowed, bytes_each=4):
    return min(numbers(shapes, bytes_allowed), *map(min, shapes))


def cut_quotient(shapes, bytes_allowed, bytes_each=4):
    """Right: a quotient cut to an int."""
    total = bytes_each * sum(d_in + d_out for d_in, d_out in shapes)
    return int(min(min(map(min, shapes)), bytes_allowed / total))


def largest_of_all(shapes, bytes_allowed, bytes_each=4):
    """Right: every rank is tried."""

    def size(rank):
        return sum(bytes_each * rank * (a + b) for a, b in shapes)

    ranks = range(1, min(min(pair) for pair in shapes) + 1)
    return max((rank for rank in ranks if size(rank) <= bytes_allowed), default=0)


RIGHT = [with_numpy, cut_quotient, largest_of_all]

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
    (eight_bytes_each, "a parameter takes 4 bytes"),
    (no_default, "missing 1 required"),
    (at_most_256, "rank is 256, expected 1000"),
    (one_byte_over, "one byte less"),
    (inputs_twice, "rank is 5, expected 4"),
    (capped_numbers, "its file is larger than allowed"),
]

EQUIVALENT = {
    "`min(smallest, bytes_allowed // bytes_a_rank)` -> `min(bytes_allowed // "
    "bytes_a_rank, smallest)`": (
        "the smaller of two whole numbers is the smaller in either order"
    ),
}
