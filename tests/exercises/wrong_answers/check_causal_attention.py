"""Wrong causal attentions, and other right ones."""

import torch
import torch.nn.functional as F

from ftlib.models import attention


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
    return _scores(q, k).softmax(-1) @ v


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


def with_the_library(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def with_attend(q, k, v):
    return attention.attend(q, k, v, attention.causal_mask(q.shape[-2]))


def detached(q, k, v):
    return another(q, k, v).detach()


def values_only(q, k, v):
    return another(q.detach(), k.detach(), v)


def minus_ten_thousand(q, k, v):
    return _scores(q, k).masked_fill(~_may(q), -1e4).softmax(-1) @ v


def own_softmax(q, k, v):
    weights = _scores(q, k).exp() * _may(q)
    return weights / weights.sum(-1, keepdim=True) @ v


def of_seven_tokens(q, k, v):
    T = q.shape[-2]
    later = torch.ones(7, 7, dtype=torch.bool).triu(1)[:T, :T]
    return _scores(q, k).masked_fill(later, float("-inf")).softmax(-1) @ v


def always_float64(q, k, v):
    return another(q.double(), k.double(), v.double())


def width_of_five(q, k, v):
    scores = q @ k.transpose(-1, -2) / 5**0.5
    return scores.masked_fill(~_may(q), float("-inf")).softmax(-1) @ v


def token_by_token(q, k, v):
    found = []
    for t in range(q.shape[2]):
        scores = (q[:, :, t : t + 1] * k[:, :, : t + 1]).sum(-1) * q.shape[-1] ** -0.5
        weights = torch.softmax(scores, dim=-1)
        found.append((weights[..., None] * v[:, :, : t + 1]).sum(-2))
    return torch.stack(found, dim=-2)


def stable_by_hand(q, k, v):
    """Scaled before the product, a large negative number, softmax by hand."""
    scores = (q / q.shape[-1] ** 0.5) @ k.mT
    scores = scores + torch.full_like(scores[0, 0], -1e30).triu(1)
    weights = (scores - scores.max(dim=-1, keepdim=True).values).exp()
    return (weights @ v) / weights.sum(-1, keepdim=True)


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
    (with_the_library, "calls scaled_dot_product_attention"),
    (with_attend, "calls attend"),
    (detached, "the result is detached"),
    (values_only, "q gets no gradient"),
    (minus_ten_thousand, "scores of many thousands the result differs"),
    (own_softmax, "scores of many thousands the result contains NaN"),
    (of_seven_tokens, "RuntimeError"),
    (always_float64, "keep the dtype of v"),
    (width_of_five, "sizes come from q"),
]

RIGHT = [token_by_token, stable_by_hand]

EQUIVALENT = {
    "`-2` -> `2`": "the third of four axes is the last but one",
    "`-2` -> `2` (2)": "the third of four axes is the last but one",
    "`k.transpose(-1, -2)` -> `k.transpose(-2, -1)`": (
        "two axes are exchanged in either order"
    ),
    (
        "`torch.ones(T, T, dtype=torch.bool)` -> `torch.ones(T, T, dtype=torch.bool)`"
    ): "T and T are the same number",
}
