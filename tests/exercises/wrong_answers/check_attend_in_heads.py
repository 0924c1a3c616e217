"""Wrong ways to split and join heads, and another right one."""

import torch
import torch.nn.functional as F


def another(q, k, v, heads):
    parts = zip(*(x.chunk(heads, dim=-1) for x in (q, k, v)))
    return torch.cat([F.scaled_dot_product_attention(*part) for part in parts], dim=-1)


def _split(x, heads):
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def left_apart(q, k, v, heads):
    return F.scaled_dot_product_attention(*(_split(x, heads) for x in (q, k, v)))


def one_head(q, k, v, heads):
    return F.scaled_dot_product_attention(q, k, v)


def view_at_once(q, k, v, heads):
    B, T, D = q.shape
    y = F.scaled_dot_product_attention(
        *(x.reshape(B, heads, T, D // heads) for x in (q, k, v))
    )
    return y.transpose(1, 2).reshape(B, T, D)


def joined_without_transpose(q, k, v, heads):
    return left_apart(q, k, v, heads).reshape(q.shape)


def among_heads(q, k, v, heads):
    B, T, D = q.shape
    return F.scaled_dot_product_attention(
        *(x.view(B, T, heads, -1) for x in (q, k, v))
    ).reshape(B, T, D)


def woven(q, k, v, heads):
    B, T, D = q.shape
    y = F.scaled_dot_product_attention(
        *(x.view(B, T, D // heads, heads).permute(0, 3, 1, 2) for x in (q, k, v))
    )
    return y.permute(0, 2, 3, 1).reshape(B, T, D)


def swapped(q, k, v, heads):
    return another(q, k, v, q.shape[-1] // heads)


def scaled_by_width(q, k, v, heads):
    y = F.scaled_dot_product_attention(
        *(_split(x, heads) for x in (q, k, v)), scale=q.shape[-1] ** -0.5
    )
    return y.transpose(1, 2).reshape(q.shape)


def three_always(q, k, v, heads):
    return another(q, k, v, 3)


WRONG = [
    (left_apart, "still apart"),
    (one_head, "one head of width D"),
    (view_at_once, "mixes numbers"),
    (joined_without_transpose, "joined without transpose"),
    (among_heads, "attend to each other"),
    (woven, "every third feature"),
    (swapped, "K heads of H features"),
    (scaled_by_width, "sqrt(D)"),
    (three_always, "heads=1"),
]
