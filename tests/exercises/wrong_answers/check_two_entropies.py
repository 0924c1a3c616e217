"""Wrong entropies of a text, and another right way to count them."""

import math
from collections import Counter

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
]
