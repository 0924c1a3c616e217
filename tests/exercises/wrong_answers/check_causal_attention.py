"""Wrong causal attentions, and other right ones."""

import torch
import torch.nn.functional as F


def another(q, k, v):
    later = torch.ones(q.shape[-2], q.shape[-2]).triu(1) > 0
    scores = torch.einsum("bhtk,bhsk->bhts", q, k) / q.shape[-1] ** 0.5
    weights = torch.where(later, -torch.inf, scores).softmax(dim=3)
    return torch.einsum("bhts,bhsk->bhtk", weights, v)


def _scores(q, k):
    return q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5


def _may(q, diagonal=0):
    return torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).tril(diagonal)


def no_mask(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def product_mask(q, k, v):
    return (_scores(q, k) + (~_may(q)).double() * float("-inf")).softmax(-1) @ v


def without_itself(q, k, v):
    return _scores(q, k).masked_fill(~_may(q, -1), float("-inf")).softmax(-1) @ v


def sees_the_next(q, k, v):
    return _scores(q, k).masked_fill(~_may(q, 1), float("-inf")).softmax(-1) @ v


def only_future(q, k, v):
    return _scores(q, k).masked_fill(_may(q, -1), float("-inf")).softmax(-1) @ v


def masked_late(q, k, v):
    return (_scores(q, k).softmax(-1) * _may(q)) @ v


def divided_again(q, k, v):
    weights = _scores(q, k).softmax(-1) * _may(q)
    return weights / weights.sum(-1, keepdim=True) @ v


def zero_scores(q, k, v):
    return (_scores(q, k) * _may(q)).softmax(-1) @ v


def unscaled(q, k, v):
    return (q @ k.transpose(-1, -2)).masked_fill(~_may(q), float("-inf")).softmax(
        -1
    ) @ v


def over_k(q, k, v):
    return (q @ k.transpose(-1, -2) / q.shape[-1]).masked_fill(
        ~_may(q), float("-inf")
    ).softmax(-1) @ v


def over_tokens(q, k, v):
    return (q @ k.transpose(-1, -2) / q.shape[-2] ** 0.5).masked_fill(
        ~_may(q), float("-inf")
    ).softmax(-1) @ v


def wrong_axis(q, k, v):
    return _scores(q, k).masked_fill(~_may(q), float("-inf")).softmax(-2) @ v


WRONG = [
    (no_mask, "sees the whole row"),
    (product_mask, "0 * -inf"),
    (without_itself, "does not see itself"),
    (sees_the_next, "sees the next one"),
    (only_future, "the future and not to the past"),
    (masked_late, "after the softmax, so rows"),
    (divided_again, "in the last bits"),
    (zero_scores, "exp(0) is 1"),
    (unscaled, "not scaled"),
    (over_k, "its square root"),
    (over_tokens, "number of keys"),
    (wrong_axis, "over the queries"),
]
