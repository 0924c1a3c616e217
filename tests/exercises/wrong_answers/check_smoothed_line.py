"""Wrong bigram lines, and another right one."""

import math
from collections import Counter

import torch


def another(train_ids, held_ids, vocab_size, add):
    pairs, first = Counter(), Counter()
    for row in train_ids.tolist():
        pairs.update(zip(row, row[1:]))
        first.update(row[:-1])
    asked = [pair for row in held_ids.tolist() for pair in zip(row, row[1:])]
    return -sum(
        math.log((pairs[a, b] + add) / (first[a] + add * vocab_size)) for a, b in asked
    ) / len(asked)


def _table(ids, V):
    return (
        torch.bincount((ids[:, :-1] * V + ids[:, 1:]).flatten(), minlength=V * V)
        .view(V, V)
        .double()
    )


def _cost(p, ids):
    return float(-p[ids[:, :-1], ids[:, 1:]].log().mean())


def nothing_added(train, held, V, add):
    table = _table(train, V)
    return _cost(table / table.sum(1, keepdim=True).clamp(min=1), held)


def in_bits(train, held, V, add):
    return another(train, held, V, add) / math.log(2)


def added_once(train, held, V, add):
    table = _table(train, V)
    return _cost((table + add) / (table.sum(1, keepdim=True) + add), held)


def added_above_only(train, held, V, add):
    table = _table(train, V)
    return _cost((table + add) / table.sum(1, keepdim=True).clamp(min=1), held)


def counted_in_held_out(train, held, V, add):
    return another(held, held, V, add)


def cost_of_training(train, held, V, add):
    return another(train, train, V, add)


def wrong_axis(train, held, V, add):
    table = _table(train, V) + add
    return _cost(table / table.sum(0, keepdim=True), held)


def no_neighbour(train, held, V, add):
    counts = torch.bincount(train.flatten(), minlength=V).double() + add
    return float(-(counts / counts.sum())[held[:, 1:]].log().mean())


def perplexity(train, held, V, add):
    return math.exp(another(train, held, V, add))


def a_sum(train, held, V, add):
    return another(train, held, V, add) * held[:, 1:].numel()


def across_rows(train, held, V, add):
    return another(train.flatten()[None], held.flatten()[None], V, add)


def always_half(train, held, V, add):
    return another(train, held, V, 0.5)


WRONG = [
    (nothing_added, "infinite"),
    (in_bits, "bits"),
    (added_once, "`add` once"),
    (added_above_only, "count(a) must grow"),
    (counted_in_held_out, "counted in the validation text"),
    (cost_of_training, "the loss on the training text"),
    (wrong_axis, "each column adds up to 1"),
    (no_neighbour, "ignores the token before"),
    (perplexity, "its logarithm"),
    (a_sum, "this is the sum"),
    (across_rows, "inside the rows"),
    (always_half, "use the argument `add`"),
]
