"""Chapter 16: what the decoder reads while it is taught."""

import torch
import torch.nn.functional as F


def another(labels, bos_id, pad_id):
    shifted = F.pad(labels, (1, 0), value=bos_id)[:, :-1]
    return torch.where(shifted == -100, pad_id, shifted)


def by_roll(labels, bos_id, pad_id):
    rolled = labels.roll(1, dims=1)
    rolled[:, 0] = bos_id
    rolled[rolled == -100] = pad_id
    return rolled


def not_shifted(labels, bos_id, pad_id):
    return labels.masked_fill(labels == -100, pad_id)


def to_the_left(labels, bos_id, pad_id):
    start = torch.full_like(labels[:, :1], bos_id)
    return torch.cat([start, labels[:, 1:]], dim=1).masked_fill(labels == -100, pad_id)


def one_more(labels, bos_id, pad_id):
    return F.pad(labels, (1, 0), value=bos_id).clamp(min=pad_id)


def ignored_stay(labels, bos_id, pad_id):
    return F.pad(labels, (1, 0), value=bos_id)[:, :-1]


def always_two(labels, bos_id, pad_id):
    return another(labels, 2, pad_id)


def always_zero(labels, bos_id, pad_id):
    return another(labels, bos_id, 0)


def as_lists(labels, bos_id, pad_id):
    return another(labels, bos_id, pad_id).tolist()


def as_floats(labels, bos_id, pad_id):
    return another(labels, bos_id, pad_id).float()


def only_the_first_row(labels, bos_id, pad_id):
    shifted = another(labels, bos_id, pad_id)
    shifted[1:, 0] = labels[1:, 0]
    return shifted


WRONG = [
    (not_shifted, "the decoder's first input is the start token"),
    (to_the_left, "moved to the left"),
    (one_more, "one input for each label"),
    (ignored_stay, "-100 is no token"),
    (always_two, "the decoder's first input is the start token"),
    (always_zero, "expected"),
    (as_lists, "return a tensor"),
    (as_floats, "torch.long"),
    (only_the_first_row, "row 1 begins with"),
]

RIGHT = [by_roll]
