"""Chapter 15: labels padded with -100."""

import torch
from torch.nn.utils.rnn import pad_sequence


def another(rows):
    longest = max(map(len, rows))
    return torch.tensor([row + [-100] * (longest - len(row)) for row in rows])


def zeros(rows):
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


def turned(rows):
    return another(rows).T


def floats(rows):
    return another(rows).float()


def lists(rows):
    return another(rows).tolist()


def all_ignored(rows):
    return torch.full_like(another(rows), -100)


def in_front(rows):
    longest = max(map(len, rows))
    return torch.tensor([[-100] * (longest - len(row)) + row for row in rows])


def to_eight(rows):
    return torch.tensor([row + [-100] * (8 - len(row)) for row in rows])


WRONG = [
    (zeros, "0 is the class O"),
    (turned, "as long as the longest row"),
    (floats, "class numbers are whole"),
    (lists, "return a tensor"),
    (all_ignored, "keep them"),
    (in_front, "keep them"),
    (to_eight, "as long as the longest row"),
]
