"""Wrong attentions with a bias, and another right one."""

import math

import torch
import torch.nn.functional as F

from ftlib.models import attention


def another(q, k, v, bias):
    scores = torch.einsum("bhtk,bhsk->bhts", q / q.shape[-1] ** 0.5, k) + bias
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return weights / weights.sum(-1, keepdim=True) @ v


def _scores(q, k):
    return q @ k.transpose(-1, -2)


def _scaled(q, k):
    return _scores(q, k) / k.shape[-1] ** 0.5


def ignored(q, k, v, bias):
    return _scaled(q, k).softmax(-1) @ v


def scaled_too(q, k, v, bias):
    return ((_scores(q, k) + bias) / k.shape[-1] ** 0.5).softmax(-1) @ v


def after_softmax(q, k, v, bias):
    return (_scaled(q, k).softmax(-1) + bias) @ v


def multiplied(q, k, v, bias):
    return (_scaled(q, k) * bias).softmax(-1) @ v


def subtracted(q, k, v, bias):
    return (_scaled(q, k) - bias).softmax(-1) @ v


def bias_through_softmax(q, k, v, bias):
    return (_scaled(q, k) + bias.softmax(-1)).softmax(-1) @ v


def unscaled(q, k, v, bias):
    return (_scores(q, k) + bias).softmax(-1) @ v


def over_k(q, k, v, bias):
    return (_scores(q, k) / k.shape[-1] + bias).softmax(-1) @ v


def over_keys(q, k, v, bias):
    return (_scores(q, k) / k.shape[-2] ** 0.5 + bias).softmax(-1) @ v


def wrong_axis(q, k, v, bias):
    return (_scaled(q, k) + bias).softmax(-2) @ v


def with_the_library(q, k, v, bias):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def with_attend(q, k, v, bias):
    return attention.attend(q, k, v, bias)


def detached(q, k, v, bias):
    return another(q, k, v, bias).detach()


def bias_as_a_constant(q, k, v, bias):
    return another(q, k, v, bias.detach())


def scaled_by_seven(q, k, v, bias):
    return (_scores(q, k) / 7**0.5 + bias).softmax(-1) @ v


def clamped(q, k, v, bias):
    return another(q, k, v, bias.clamp(max=100.0))


def own_softmax(q, k, v, bias):
    weights = (_scaled(q, k) + bias).exp()
    return weights / weights.sum(-1, keepdim=True) @ v


def turned_where_square(q, k, v, bias):
    bias = bias.T if len(bias) == bias.shape[1] else bias
    return another(q, k, v, bias)


def always_float64(q, k, v, bias):
    return another(q.double(), k.double(), v.double(), bias.double())


def bias_over_width(q, k, v, bias):
    return (_scaled(q, k) + bias / k.shape[-1]).softmax(-1) @ v


def query_by_query(q, k, v, bias):
    found = []
    for t in range(q.shape[2]):
        scores = (k @ q[:, :, t, :, None]).squeeze(-1) / math.sqrt(q.shape[-1])
        weights = torch.softmax(scores.add(bias[t]), -1)
        found.append((weights.unsqueeze(-2) @ v).squeeze(-2))
    return torch.stack(found, 2)


def in_one_product(q, k, v, bias):
    """The bias as more columns of the queries, and the unit vectors as keys' ones."""
    B, H, T, K = q.shape
    q = torch.cat([q / K**0.5, bias.nan_to_num(neginf=-1e30).expand(B, H, -1, -1)], -1)
    unit = torch.eye(k.shape[2], dtype=k.dtype).expand(B, H, -1, -1)
    return (q @ torch.cat([k, unit], -1).mT).softmax(-1) @ v


WRONG = [
    (ignored, "no effect"),
    (scaled_too, "scale first"),
    (after_softmax, "after the softmax"),
    (multiplied, "multiplied by the bias"),
    (subtracted, "subtracted"),
    (bias_through_softmax, "of its own"),
    (unscaled, "not scaled"),
    (over_k, "its square root"),
    (over_keys, "number of keys"),
    (wrong_axis, "over the queries"),
    (with_the_library, "calls scaled_dot_product_attention"),
    (with_attend, "calls attend"),
    (detached, "the result is detached"),
    (bias_as_a_constant, "bias gets no gradient"),
    (scaled_by_seven, "bias is (T, S)"),
    (clamped, "neither clamp it"),
    (own_softmax, "contains NaN"),
    (turned_where_square, "as many keys as queries"),
    (always_float64, "keep the dtype"),
    (bias_over_width, "differ from those of SDPA"),
]

RIGHT = [query_by_query, in_one_product]

EQUIVALENT = {
    "`-2` -> `2`": "the third of four axes is the last but one",
    "`k.transpose(-1, -2)` -> `k.transpose(-2, -1)`": (
        "two axes are exchanged in either order"
    ),
}
