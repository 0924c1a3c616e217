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


WRONG = [
    (over_all, "padding counts"),
    (number_of_places, "not out of the count"),
    (a_sum, "this is a sum"),
    (whole_batch, "whole batch"),
    (first, "first token"),
    (one_vector, "the shape is"),
    (empty_text, "clamp"),
    (mean_of_padding, "return zeros"),
]
