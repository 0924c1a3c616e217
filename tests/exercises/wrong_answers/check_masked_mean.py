"""Wrong ways to pool a padded batch, and another right one."""

import torch


def another(hidden, attention_mask):
    return torch.stack(
        [
            h[m.bool()].mean(0) if m.any() else torch.zeros(hidden.shape[-1])
            for h, m in zip(hidden, attention_mask)
        ]
    )


def over_all(hidden, attention_mask):
    return hidden.mean(1)


def number_of_places(hidden, attention_mask):
    return (hidden * attention_mask[..., None]).mean(1)


def a_sum(hidden, attention_mask):
    return (hidden * attention_mask[..., None]).sum(1)


def whole_batch(hidden, attention_mask):
    return (hidden * attention_mask[..., None]).sum(1) / attention_mask.sum()


def first(hidden, attention_mask):
    return hidden[:, 0]


def one_vector(hidden, attention_mask):
    return hidden[attention_mask.bool()].mean(0)


def empty_text(hidden, attention_mask):
    return (hidden * attention_mask[..., None]).sum(1) / attention_mask.sum(
        1, keepdim=True
    )


def mean_of_padding(hidden, attention_mask):
    weight = attention_mask[..., None]
    return torch.where(
        weight.sum(1) > 0,
        (hidden * weight).sum(1) / weight.sum(1).clamp(min=1),
        hidden.mean(1),
    )


def by_lengths(hidden, attention_mask):
    lengths = attention_mask.sum(1).tolist()
    return torch.stack([h[:n].sum(0) / max(n, 1) for h, n in zip(hidden, lengths)])


def two_at_least(hidden, attention_mask):
    weight = attention_mask[..., None]
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=2)


def squeezed(hidden, attention_mask):
    return another(hidden, attention_mask).squeeze()


def nan_afterwards(hidden, attention_mask):
    weight = attention_mask[..., None]
    return ((hidden * weight).sum(1) / weight.sum(1)).nan_to_num(0)


def detached(hidden, attention_mask):
    return another(hidden.detach(), attention_mask)


def count_plus_a_bit(hidden, attention_mask):
    weight = attention_mask[..., None]
    return (hidden * weight).sum(1) / (weight.sum(1) + 0.01)


def half_detached(hidden, attention_mask):
    return (
        another(hidden, attention_mask) + another(hidden.detach(), attention_mask)
    ) / 2


def as_a_product(hidden, attention_mask):
    """Right: a row of weights times a matrix, with a tiny count instead of 0."""
    weight = attention_mask / attention_mask.sum(1, keepdim=True).clamp(min=1e-9)
    return (weight[:, None].to(hidden.dtype) @ hidden).squeeze(1)


def filled(hidden, attention_mask):
    """Right: padding is filled with 0, whatever stood there."""
    zeroed = hidden.masked_fill(attention_mask[..., None] == 0, 0)
    return zeroed.sum(1) / torch.clamp(attention_mask.sum(-1, keepdim=True), 1)


def rounded(hidden, attention_mask):
    return another(hidden, attention_mask).round(decimals=4)


RIGHT = [as_a_product, filled]

WRONG = [
    (over_all, "padding counts"),
    (number_of_places, "not out of the count"),
    (a_sum, "this is a sum"),
    (whole_batch, "whole batch"),
    (first, "first token"),
    (one_vector, "the shape is"),
    (empty_text, "clamp"),
    (mean_of_padding, "return zeros"),
    (by_lengths, "padded on the left"),
    (two_at_least, "of one real token"),
    (squeezed, "dimensions of length 1"),
    (nan_afterwards, "gradients of NaN"),
    (detached, "cut off from `hidden`"),
    (count_plus_a_bit, "divide by the mask's sum"),
    (half_detached, "a part of it cut off"),
    (rounded, "are rounded"),
]

EQUIVALENT = {
    "`attention_mask[..., None].float()` -> `attention_mask[..., None]`": (
        "a mask of whole numbers multiplies and divides floats as well"
    ),
}
