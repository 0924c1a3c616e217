"""Repairs of the snippet that leave a fault, and another right one."""

import torch
import torch.nn.functional as F


def another(q, k, v, mask):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask.bool())


def as_printed(q, k, v, mask):
    scores = torch.matmul(q, k.transpose(-2, -1))
    scores = scores + (1 - mask) * -float("inf")
    return torch.matmul(torch.softmax(scores, dim=1), v)


def _repaired(q, k, v, mask, fill=float("-inf"), scale=None, dim=-1):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = (q @ k.transpose(-2, -1) * scale).masked_fill(mask == 0, fill)
    return scores.softmax(dim) @ v


def still_unscaled(q, k, v, mask):
    return _repaired(q, k, v, mask, scale=1.0)


def wrong_axis_left(q, k, v, mask):
    return _repaired(q, k, v, mask, dim=1)


def only_the_mask(q, k, v, mask):
    return _repaired(q, k, v, mask, dim=1, scale=1.0)


def turned_round(q, k, v, mask):
    return _repaired(q, k, v, 1 - mask)


def tiny_fill(q, k, v, mask):
    return _repaired(q, k, v, mask, fill=1e-9)


def masked_late(q, k, v, mask):
    return ((q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) * mask) @ v


def mask_left_out(q, k, v, mask):
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v


def over_k(q, k, v, mask):
    return _repaired(q, k, v, mask, scale=0.2)


def detached(q, k, v, mask):
    return another(q, k, v, mask).detach()


def causal_always(q, k, v, mask):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def minus_ten_thousand(q, k, v, mask):
    return _repaired(q, k, v, mask, fill=-1e4)


def width_of_five(q, k, v, mask):
    return _repaired(q, k, v, mask, scale=5**-0.5)


def keys_only(q, k, v, mask):
    return another(q, k.detach(), v, mask)


def always_float64(q, k, v, mask):
    return another(q.double(), k.double(), v.double(), mask)


def by_logarithm(q, k, v, mask):
    scores = torch.einsum("btk,bsk->bts", q, k) * q.size(-1) ** -0.5
    return torch.bmm((scores + mask.log()).softmax(2), v)


def as_transformers(q, k, v, mask):
    """A large negative number is added, as transformers does."""
    scores = torch.matmul(q, k.transpose(-2, -1)) / q.shape[-1] ** 0.5
    scores = scores + (1.0 - mask) * torch.finfo(scores.dtype).min
    return torch.matmul(torch.softmax(scores, dim=-1), v)


WRONG = [
    (as_printed, "0 * -inf"),
    (still_unscaled, "the third fault is left"),
    (wrong_axis_left, "over dim=1"),
    (only_the_mask, "still not scaled, and the softmax"),
    (turned_round, "inverted"),
    (tiny_fill, "nearly 0"),
    (masked_late, "after the softmax"),
    (mask_left_out, "nothing is masked"),
    (over_k, "its square root"),
    (detached, "the result is detached"),
    (causal_always, "use the mask that is given"),
    (minus_ten_thousand, "scores of many thousands"),
    (width_of_five, "K is q's"),
    (keys_only, "k gets no gradient"),
    (always_float64, "keep the dtype"),
]

RIGHT = [by_logarithm, as_transformers]

EQUIVALENT = {
    "`k.transpose(-2, -1)` -> `k.transpose(-1, -2)`": (
        "two axes are exchanged in either order"
    ),
}
