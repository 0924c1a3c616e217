"""Wrong ways to write InfoNCE, and another right one."""

import torch.nn.functional as F


def scores(q, k, temperature):
    return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).T / temperature


def another(queries, keys, temperature):
    table = scores(queries, keys, temperature)
    return (table.logsumexp(1) - table.diagonal()).sum()


def a_mean(queries, keys, temperature):
    return another(queries, keys, temperature) / len(queries)


def keys_look(queries, keys, temperature):
    return another(keys, queries, temperature)


def any_length(queries, keys, temperature):
    table = queries @ keys.T / temperature
    return (table.logsumexp(1) - table.diagonal()).sum()


def multiplied(queries, keys, temperature):
    return another(queries, keys, 1 / temperature)


def no_temperature(queries, keys, temperature):
    return another(queries, keys, 1.0)


def detached(queries, keys, temperature):
    return another(queries.detach(), keys.detach(), temperature)


def half_detached(queries, keys, temperature):
    return another(queries, keys.detach(), temperature)


def a_number(queries, keys, temperature):
    return another(queries, keys, temperature).item()


def both_ways(queries, keys, temperature):
    there = another(queries, keys, temperature)
    return (there + another(keys, queries, temperature)) / 2


RIGHT = []

WRONG = [
    (a_mean, "return the sum"),
    (keys_look, "turn it round"),
    (any_length, "length 1"),
    (multiplied, "divide by it"),
    (no_temperature, "does nothing"),
    (detached, "lost its gradients"),
    (half_detached, "detach nothing"),
    (a_number, "tensor of one number"),
    (both_ways, "diagonal"),
]

# F.normalize takes dimension 1 by default, and the vectors have two dimensions
SAME = "dimension 1 of two is the last one, and the default"
EQUIVALENT = {
    "`F.normalize(queries, dim=-1)` -> `F.normalize(queries)`": SAME,
    "`F.normalize(keys, dim=-1)` -> `F.normalize(keys)`": SAME,
    "`-1` -> `1`": SAME,
    "`-1` -> `1` (2)": SAME,
}
