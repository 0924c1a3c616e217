"""Wrong places of padded rows, and another right form."""

import numpy as np
import torch

from ftlib.models import positions


def another(attention_mask):
    rows = []
    for row in attention_mask.tolist():
        n = 0
        rows.append([])
        for real in row:
            rows[-1].append(n if real else 0)
            n += real
    return torch.tensor(rows)


def column_numbers(attention_mask):
    return torch.arange(attention_mask.shape[1]).expand_as(attention_mask)


def masked_columns(attention_mask):
    return torch.arange(attention_mask.shape[1]) * attention_mask


def from_one(attention_mask):
    return attention_mask.cumsum(-1)


def minus_one_left(attention_mask):
    return attention_mask.cumsum(-1) - 1


def as_roberta(attention_mask):
    return attention_mask.cumsum(-1) * attention_mask + 1


def from_the_end(attention_mask):
    return (attention_mask.flip(-1).cumsum(-1).flip(-1) - 1).clamp(min=0)


def down_the_batch(attention_mask):
    return (attention_mask.cumsum(0) - 1).clamp(min=0)


def one_row(attention_mask):
    return torch.arange(attention_mask.shape[1])


def floats(attention_mask):
    return (attention_mask.float().cumsum(-1) - 1).clamp(min=0)


def zeros(attention_mask):
    return torch.zeros_like(attention_mask)


def padding_at_the_end(attention_mask):
    return (attention_mask.cumsum(-1) - 1).masked_fill(
        attention_mask == 0, attention_mask.shape[1]
    )


def with_the_library(attention_mask):
    return positions.position_ids(attention_mask)


def padded_on_the_left(attention_mask):
    T = attention_mask.shape[1]
    return (torch.arange(T) - (T - attention_mask.sum(1, keepdim=True))).clamp(min=0)


def of_six_tokens(attention_mask):
    return (attention_mask.cumsum(-1) - 1).clamp(0, 5)[:, :6] * torch.ones(
        1, 6, dtype=torch.long
    )


def last_row_for_padding(attention_mask):
    return (attention_mask.cumsum(-1) - 1).masked_fill(attention_mask == 0, 5)


def at_most_four_rows(attention_mask):
    return another(attention_mask[:4])


def minus_one_for_none(attention_mask):
    """A row without any token keeps -1."""
    found = (attention_mask.cumsum(-1) - 1).clamp(min=0)
    return found - (attention_mask.sum(-1, keepdim=True) == 0).long()


def from_the_first(attention_mask):
    T = attention_mask.shape[1]
    first = attention_mask.argmax(dim=-1, keepdim=True)
    return torch.arange(T).sub(first).clamp_min(0)


def by_numpy(attention_mask):
    mask = attention_mask.numpy()
    found = np.where(mask, np.cumsum(mask, axis=1) - 1, 0)
    return torch.from_numpy(found).to(torch.int32)


WRONG = [
    (column_numbers, "padding on the left counts"),
    (masked_columns, "still has position 2"),
    (from_one, "subtract 1"),
    (minus_one_left, "not a row of the table"),
    (as_roberta, "RoBERTa"),
    (from_the_end, "right end"),
    (down_the_batch, "down the batch"),
    (one_row, "(B, T)"),
    (floats, "dtype"),
    (zeros, "all positions are 0"),
    (padding_at_the_end, "has no such row"),
    (with_the_library, "calls position_ids"),
    (padded_on_the_left, "as padded on the left"),
    (of_six_tokens, "mask"),
    (last_row_for_padding, "the rows 0 to"),
    (at_most_four_rows, "the shape (4,"),
    (minus_one_for_none, "padding takes a row too"),
]

RIGHT = [from_the_first, by_numpy]

EQUIVALENT = {
    "`-1` -> `1`": "the last of two axes is the second",
}
