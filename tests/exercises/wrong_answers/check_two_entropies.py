"""Wrong entropies of a text, and another right way to count them."""

import math
from collections import Counter

import numpy as np
import torch


def another(ids, vocab_size):
    single = Counter(ids.flatten().tolist())
    pairs = Counter(pair for row in ids.tolist() for pair in zip(row, row[1:]))
    first = Counter()
    for (a, _), n in pairs.items():
        first[a] += n
    one = -sum(n / ids.numel() * math.log(n / ids.numel()) for n in single.values())
    two = -sum(n * math.log(n / first[a]) for (a, _), n in pairs.items()) / sum(
        pairs.values()
    )
    return one, two


def _table(ids, V):
    return (
        torch.bincount((ids[:, :-1] * V + ids[:, 1:]).flatten(), minlength=V * V)
        .view(V, V)
        .double()
    )


def _one(ids, V):
    p = torch.bincount(ids.flatten(), minlength=V).double() / ids.numel()
    return float(-torch.special.xlogy(p, p).sum())


def _given(table):
    q = table / table.sum(1, keepdim=True).clamp(min=1)
    return float(-torch.special.xlogy(table, q).sum() / table.sum())


def zero_times_log(ids, V):
    p = torch.bincount(ids.flatten(), minlength=V).double() / ids.numel()
    return float(-(p * p.log()).sum()), 1.0


def pairs_that_never_occur(ids, V):
    q = _table(ids, V) / ids[:, 1:].numel()
    return _one(ids, V), float(-(q * q.log()).sum())


def in_bits(ids, V):
    return tuple(x / math.log(2) for x in another(ids, V))


def fair_draw(ids, V):
    return math.log(V), _given(_table(ids, V))


def one_added(ids, V):
    p = (torch.bincount(ids.flatten(), minlength=V).double() + 1) / (ids.numel() + V)
    return float(-(p * p.log()).sum()), _given(_table(ids, V))


def one_number(ids, V):
    return (_one(ids, V),)


def both_tokens(ids, V):
    p = _table(ids, V) / ids[:, 1:].numel()
    return _one(ids, V), float(-torch.special.xlogy(p, p).sum())


def each_pair_once(ids, V):
    table = _table(ids, V)
    q = table / table.sum(1, keepdim=True).clamp(min=1)
    return _one(ids, V), float(-q[table > 0].log().mean())


def each_token_once(ids, V):
    table = _table(ids, V)
    q = table / table.sum(1, keepdim=True).clamp(min=1)
    return _one(ids, V), float(
        -torch.special.xlogy(q, q).sum(1)[table.sum(1) > 0].mean()
    )


def across_rows(ids, V):
    return _one(ids, V), _given(_table(ids.flatten()[None], V))


def backwards(ids, V):
    return _one(ids, V), _given(_table(ids, V).T)


def only_one_row(ids, V):
    return _one(ids, V), _given(_table(ids[:1], V))


def first_row_alone(ids, V):
    return _one(ids[:1], V), _given(_table(ids, V))


def other_order(ids, V):
    return another(ids, V)[::-1]


def first_tokens_alone(ids, V):
    return _one(ids[:, :-1], V), _given(_table(ids, V))


def chain_rule_of_all_tokens(ids, V):
    p = _table(ids, V) / ids[:, 1:].numel()
    return _one(ids, V), float(-torch.special.xlogy(p, p).sum()) - _one(ids, V)


def rounded(ids, V):
    return tuple(round(x, 3) for x in another(ids, V))


def last_two_ids_left_out(ids, V):
    p = torch.bincount(ids.flatten(), minlength=V).double()[:10] / ids.numel()
    return float(-(p * p.log()).sum()), _given(_table(ids, V))


def twelve_written_in(ids, V):
    return _one(ids, V), _given(_table(ids.clamp(max=11), 12))


def bits_of_pairs(ids, V):
    one, two = another(ids, V)
    return one, two / math.log(2)


def pairs_as_perplexity(ids, V):
    one, two = another(ids, V)
    return one, math.exp(two)


def rare_pairs_left_out(ids, V):
    table = _table(ids, V)
    q = table / table.sum(1, keepdim=True).clamp(min=1)
    return _one(ids, V), float(-torch.special.xlogy(table * (table > 1), q).sum()) / (
        table.sum().item()
    )


def rows_of_one_pair_halved(ids, V):
    table = _table(ids, V)
    q = table / table.sum(1, keepdim=True).clamp(min=2)
    return _one(ids, V), float(-torch.special.xlogy(table, q).sum() / table.sum())


def with_numpy(ids, vocab_size):
    table = np.zeros((vocab_size, vocab_size))
    np.add.at(table, (ids[:, :-1].numpy().ravel(), ids[:, 1:].numpy().ravel()), 1)
    p = np.bincount(ids.numpy().ravel()) / ids.numel()
    p, joint, first = p[p > 0], table / table.sum(), table.sum(1) / table.sum()
    joint, first = joint[joint > 0], first[first > 0]
    two = -(joint * np.log(joint)).sum() + (first * np.log(first)).sum()
    return np.array([-(p * np.log(p)).sum(), two])


def float32_tensors(ids, vocab_size):
    return torch.tensor(another(ids, vocab_size), dtype=torch.float32)


def larger_first(ids, V):
    return tuple(sorted(another(ids, V), reverse=True))


WRONG = [
    (zero_times_log, "0 log 0"),
    (pairs_that_never_occur, "most pairs never occur"),
    (in_bits, "bits"),
    (fair_draw, "ln V"),
    (one_added, "1 was added"),
    (one_number, "return two"),
    (both_tokens, "both tokens together"),
    (each_pair_once, "each kind of pair counts once"),
    (each_token_once, "each token a counts once"),
    (across_rows, "border of two rows"),
    (backwards, "given the next one"),
    (only_one_row, "the bigram entropy is"),
    (first_row_alone, "the unigram entropy is"),
    (other_order, "the other way round"),
    (first_tokens_alone, "last token of each row"),
    (chain_rule_of_all_tokens, "tokens that stand before another"),
    (rounded, "rounded"),
    (last_two_ids_left_out, "the unigram entropy is"),
    (twelve_written_in, "vocabulary of 31, the bigram entropy"),
    (bits_of_pairs, "bigram entropy is in bits"),
    (pairs_as_perplexity, "this is a perplexity"),
    (rare_pairs_left_out, "occur once"),
    (rows_of_one_pair_halved, "stands only once before another"),
    (larger_first, "its place is still the second"),
]

RIGHT = [with_numpy, float32_tensors]

EQUIVALENT = {
    (
        "`torch.bincount(ids.flatten(), minlength=vocab_size).double()` -> "
        "`torch.bincount(ids.flatten(), minlength=vocab_size)`"
    ): "float32 is exact enough here, and the task names no dtype",
    (
        "`torch.bincount(ids.flatten(), minlength=vocab_size)` -> "
        "`torch.bincount(ids.flatten())`"
    ): "ids above the largest one of the text add 0 to the sum",
    (
        "`pairs.view(vocab_size, vocab_size).double()` -> "
        "`pairs.view(vocab_size, vocab_size)`"
    ): "float32 is exact enough here, and the task names no dtype",
    (
        "`pairs.view(vocab_size, vocab_size)` -> `pairs.view(vocab_size, vocab_size)`"
    ): "the same call: both arguments are equal",
    "`torch.special.xlogy(p, p)` -> `torch.special.xlogy(p, p)`": (
        "the same call: both arguments are equal"
    ),
}
