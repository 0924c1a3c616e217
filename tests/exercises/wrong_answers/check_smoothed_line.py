"""Wrong bigram lines, and another right one."""

import math
from collections import Counter

import numpy as np
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


def all_tokens_counted(train, held, V, add):
    first = torch.bincount(train.flatten(), minlength=V).double()
    return _cost((_table(train, V) + add) / (first[:, None] + add * V), held)


def rounded(train, held, V, add):
    return round(another(train, held, V, add), 3)


def twelve_written_in(train, held, V, add):
    table = _table(train, V)
    return _cost((table + add) / (table.sum(1, keepdim=True) + add * 12), held)


def width_of_training(train, held, V, add):
    rows = held.flatten()[: held.numel() // train.shape[1] * train.shape[1]]
    return another(train, rows.view(-1, train.shape[1]), V, add)


def each_pair_once(train, held, V, add):
    table = _table(train, V) + add
    p = table / table.sum(1, keepdim=True)
    return float(-p[_table(held, V) > 0].log().mean())


def at_least_add(train, held, V, add):
    table = _table(train, V).clamp(min=add)
    return _cost(table / table.sum(1, keepdim=True), held)


def held_out_counted_too(train, held, V, add):
    table = _table(train, V) + _table(held, V) + add
    return _cost(table / table.sum(1, keepdim=True), held)


def whole_numbers_alone(train, held, V, add):
    return another(train, held, V, max(1, round(add)))


def seen_pairs_alone(train, held, V, add):
    table = _table(train, V)
    p = (table + add) / (table.sum(1, keepdim=True) + add * V)
    seen = table[held[:, :-1], held[:, 1:]] > 0
    return float(-p[held[:, :-1], held[:, 1:]][seen].log().mean())


def with_numpy(train_ids, held_ids, vocab_size, add):
    table = np.full((vocab_size, vocab_size), float(add), dtype=np.float32)
    for row in train_ids.numpy():
        for a, b in zip(row[:-1], row[1:]):
            table[a, b] += 1
    p = table / table.sum(axis=1, keepdims=True)
    held = held_ids.numpy()
    return -np.log(p[held[:, :-1], held[:, 1:]]).mean()


def a_tensor(train_ids, held_ids, vocab_size, add):
    table = _table(train_ids, vocab_size).float() + add
    log_p = table.log() - table.sum(1, keepdim=True).log()
    return -log_p[held_ids[:, :-1], held_ids[:, 1:]].mean()


def at_most_three(train, held, V, add):
    return another(train, held, V, min(add, 3))


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
    (all_tokens_counted, "last tokens of the rows"),
    (rounded, "rounded"),
    (twelve_written_in, "a vocabulary of 20"),
    (width_of_training, "rows of 5 tokens"),
    (each_pair_once, "each kind of pair counts once"),
    (at_least_add, "raised to `add`"),
    (held_out_counted_too, "counted in both texts"),
    (whole_numbers_alone, "a whole number"),
    (seen_pairs_alone, "that the training text has"),
    (at_most_three, "with add=25"),
]

RIGHT = [with_numpy, a_tensor]

EQUIVALENT = {
    (
        "`counts.view(vocab_size, vocab_size).double()` -> "
        "`counts.view(vocab_size, vocab_size)`"
    ): "float32 is exact enough here, and the task names no dtype",
    (
        "`counts.view(vocab_size, vocab_size)` -> `counts.view(vocab_size, vocab_size)`"
    ): "the same call: both arguments are equal",
}
