"""Wrong places of padded rows, and another right form."""

import torch


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
]
