"""Wrong ways to split and join heads, and another right one."""

import torch
import torch.nn.functional as F

from ftlib.models import attention


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


def with_split_heads(q, k, v, heads):
    parts = (attention.split_heads(x, heads) for x in (q, k, v))
    return attention.join_heads(F.scaled_dot_product_attention(*parts))


def detached(q, k, v, heads):
    return another(q, k, v, heads).detach()


def values_only(q, k, v, heads):
    return another(q.detach(), k.detach(), v, heads)


def causal(q, k, v, heads):
    y = F.scaled_dot_product_attention(
        *(_split(x, heads) for x in (q, k, v)), is_causal=True
    )
    return y.transpose(1, 2).reshape(q.shape)


def one_or_three(q, k, v, heads):
    return another(q, k, v, min(heads, 3))


def six_tokens(q, k, v, heads):
    y = F.scaled_dot_product_attention(*(_split(x, heads) for x in (q, k, v)))
    return y.transpose(1, 2).reshape(-1, 6, q.shape[-1])


def always_float64(q, k, v, heads):
    return another(q.double(), k.double(), v.double(), heads)


def written_out(q, k, v, heads):
    B, T, D = q.shape
    q, k, v = (torch.reshape(x, (B, T, heads, D // heads)) for x in (q, k, v))
    weights = torch.einsum("bthk,bshk->bhts", q, k) * (D // heads) ** -0.5
    return torch.einsum("bhts,bshk->bthk", weights.softmax(-1), v).flatten(2)


def head_by_head(q, k, v, heads):
    found, K = [], q.shape[2] // heads
    for h in range(heads):
        part = [x[..., h * K : (h + 1) * K] for x in (q, k, v)]
        found.append(F.scaled_dot_product_attention(*part))
    return torch.concatenate(found, -1)


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
    (with_split_heads, "calls join_heads"),
    (detached, "the result is detached"),
    (values_only, "q gets no gradient"),
    (causal, "differ from those of split"),
    (one_or_three, "and 4 heads"),
    (six_tokens, "RuntimeError"),
    (always_float64, "keep the dtype of v"),
]

RIGHT = [written_out, head_by_head]

EQUIVALENT = {
    (
        "`x.view(B, T, heads, D // heads).transpose(1, 2)` -> `x.view(B, "
        "T, heads, D // heads).transpose(2, 1)`"
    ): ("two axes are exchanged in either order"),
    (
        "`F.scaled_dot_product_attention(q, k, v).transpose(1, 2)` -> "
        "`F.scaled_dot_product_attention(q, k, v).transpose(2, 1)`"
    ): ("two axes are exchanged in either order"),
}
