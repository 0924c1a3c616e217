"""Wrong padding masks, and another right one."""

import torch


def another(input_ids, pad_id):
    keep = input_ids.ne(pad_id).unsqueeze(1).unsqueeze(1)
    return keep.expand(-1, 1, input_ids.shape[1], -1)  # (B, 1, T, T)


def turned_round(input_ids, pad_id):
    return (input_ids == pad_id)[:, None, None, :]


def two_axes(input_ids, pad_id):
    return input_ids != pad_id


def numbers(input_ids, pad_id):
    return (input_ids != pad_id)[:, None, None, :].float()


def queries(input_ids, pad_id):
    return (input_ids != pad_id)[:, None, :, None]


def both(input_ids, pad_id):
    keep = input_ids != pad_id
    return keep[:, None, :, None] & keep[:, None, None, :]


def always_zero(input_ids, pad_id):
    return (input_ids != 0)[:, None, None, :]


def causal_too(input_ids, pad_id):
    T = input_ids.shape[1]
    return (input_ids != pad_id)[:, None, None, :] & torch.ones(
        T, T, dtype=torch.bool
    ).tril()


def larger_ids(input_ids, pad_id):
    return (input_ids > pad_id)[:, None, None, :]


def by_length(input_ids, pad_id):
    """As if padding could stand on the right only."""
    lengths = (input_ids != pad_id).sum(dim=1)
    places = torch.arange(input_ids.shape[1])
    return (places < lengths[:, None])[:, None, None, :]


def unlike_the_last(input_ids, pad_id):
    keep = input_ids != input_ids[:, -1:]
    keep[(input_ids != pad_id).all(dim=1)] = True
    return keep[:, None, None, :]


def by_lists(input_ids, pad_id):
    rows = [[[[i != pad_id for i in row]]] for row in input_ids.tolist()]
    return torch.tensor(rows)


def in_full(input_ids, pad_id):
    B, T = input_ids.shape
    hidden = torch.eq(input_ids, pad_id).view(B, 1, 1, T).repeat(1, 1, T, 1)
    return torch.logical_not(hidden)


WRONG = [
    (turned_round, "exchanged"),
    (two_axes, "does not broadcast"),
    (numbers, "dtype"),
    (queries, "masked as a query, and"),
    (both, "may attend to nothing"),
    (always_zero, "pad_id, which is 7"),
    (causal_too, "also causal"),
    (larger_ids, "at some position"),
    (by_length, "stands on the left"),
    (unlike_the_last, "pad_id="),
]

RIGHT = [by_lists, in_full]
