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


WRONG = [
    (turned_round, "exchanged"),
    (two_axes, "does not broadcast"),
    (numbers, "dtype"),
    (queries, "masked as a query, and"),
    (both, "may attend to nothing"),
    (always_zero, "pad_id, which is 7"),
    (causal_too, "also causal"),
]
