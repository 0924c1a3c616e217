"""Wrong attentions with a bias, and another right one."""

import torch.nn.functional as F


def another(q, k, v, bias):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


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
]
