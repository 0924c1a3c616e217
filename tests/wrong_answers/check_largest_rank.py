"""Wrong largest ranks, and another right one."""

import math


def another(shapes, bytes_allowed, bytes_each=4):
    rank = 0
    while rank < min(min(pair) for pair in shapes) and (rank + 1) * bytes_each * sum(map(sum, shapes)) <= bytes_allowed:
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
    return max(1, min(min(map(min, shapes)), bytes_allowed // (bytes_each * sum(map(sum, shapes)))))


def halved(shapes, bytes_allowed, bytes_each=4):
    return bytes_allowed // (2 * bytes_each * sum(map(sum, shapes)))


WRONG = [(whole_matrices, "whole matrix"), (numbers, "limit is in bytes"), (one_layer, "one layer"), (one_matrix, "one of the two matrices"),
         (rounded_up, "one too high"), (not_whole, "not a whole number"), (first_times_many, "unequal widths"), (no_end, "no low rank any more"),
         (at_least_one, "not even rank 1"), (halved, "is right")]
