"""Decoder blocks with a fault, and another right one."""

import torch
import torch.nn.functional as F
from torch import nn

from ftlib.models import attention, blocks


def another(x, memory, mask, norms, self_attn, cross_attn, mlp):
    def normed(n, y):
        return F.layer_norm(y, y.shape[-1:], n.weight, n.bias, n.eps)

    first = self_attn(normed(norms[0], x), mask=mask)
    second = cross_attn(normed(norms[1], x + first), memory)
    return x + first + second + mlp(normed(norms[2], x + first + second))


def post_norm(x, memory, mask, norms, self_attn, cross_attn, mlp):
    x = norms[0](x + self_attn(x, mask=mask))
    x = norms[1](x + cross_attn(x, context=memory))
    return norms[2](x + mlp(x))


def no_residual(x, memory, mask, norms, self_attn, cross_attn, mlp):
    x = self_attn(norms[0](x), mask=mask)
    x = cross_attn(norms[1](x), context=memory)
    return mlp(norms[2](x))


def normed_residual(x, memory, mask, norms, self_attn, cross_attn, mlp):
    x = norms[0](x)
    x = x + self_attn(x, mask=mask)
    x = norms[1](x)
    x = x + cross_attn(x, context=memory)
    x = norms[2](x)
    return x + mlp(x)


def from_the_start(x, memory, mask, norms, self_attn, cross_attn, mlp):
    y = x + self_attn(norms[0](x), mask=mask)
    y = x + cross_attn(norms[1](y), context=memory)
    return x + mlp(norms[2](y))


def _right(x, memory, mask, norms, self_attn, cross_attn, mlp, context=None):
    x = x + self_attn(norms[0](x), mask=mask)
    x = x + cross_attn(norms[1](x), context=memory if context is None else context(x))
    return x + mlp(norms[2](x))


def without_mask(x, memory, mask, norms, self_attn, cross_attn, mlp):
    return _right(x, memory, None, norms, self_attn, cross_attn, mlp)


def reads_itself(x, memory, mask, norms, self_attn, cross_attn, mlp):
    x = x + self_attn(norms[0](x), mask=mask)
    x = x + cross_attn(norms[1](x))
    return x + mlp(norms[2](x))


def normed_memory(x, memory, mask, norms, self_attn, cross_attn, mlp):
    return _right(x, norms[1](memory), mask, norms, self_attn, cross_attn, mlp)


def think_first(x, memory, mask, norms, self_attn, cross_attn, mlp):
    x = x + self_attn(norms[0](x), mask=mask)
    x = x + mlp(norms[2](x))
    return x + cross_attn(norms[1](x), context=memory)


def read_first(x, memory, mask, norms, self_attn, cross_attn, mlp):
    x = x + cross_attn(norms[1](x), context=memory)
    x = x + self_attn(norms[0](x), mask=mask)
    return x + mlp(norms[2](x))


def never_reads(x, memory, mask, norms, self_attn, cross_attn, mlp):
    x = x + self_attn(norms[0](x), mask=mask)
    return x + mlp(norms[2](x))


def one_norm(x, memory, mask, norms, self_attn, cross_attn, mlp):
    return _right(x, memory, mask, [norms[0]] * 3, self_attn, cross_attn, mlp)


def norm_at_the_end(x, memory, mask, norms, self_attn, cross_attn, mlp):
    return norms[2](_right(x, memory, mask, norms, self_attn, cross_attn, mlp))


def swapped(x, memory, mask, norms, self_attn, cross_attn, mlp):
    x = x + self_attn(norms[0](x), mask=mask)
    return memory + cross_attn(memory, context=norms[1](x))


def with_residual(x, memory, mask, norms, self_attn, cross_attn, mlp):
    block = blocks.Residual(mlp, x.shape[-1])
    return block(_right(x, memory, mask, norms, self_attn, cross_attn, mlp))


def detached(x, memory, mask, norms, self_attn, cross_attn, mlp):
    return another(x, memory, mask, norms, self_attn, cross_attn, mlp).detach()


def memory_as_a_constant(x, memory, mask, norms, self_attn, cross_attn, mlp):
    memory = memory.detach()
    return another(x, memory, mask, norms, self_attn, cross_attn, mlp)


def own_mask(x, memory, mask, norms, self_attn, cross_attn, mlp):
    mask = attention.causal_mask(x.shape[1])
    return another(x, memory, mask, norms, self_attn, cross_attn, mlp)


def norms_made_anew(x, memory, mask, norms, self_attn, cross_attn, mlp):
    norms = [nn.LayerNorm(x.shape[-1], dtype=x.dtype) for _ in norms]
    return another(x, memory, mask, norms, self_attn, cross_attn, mlp)


def norms_exchanged(x, memory, mask, norms, self_attn, cross_attn, mlp):
    norms = [norms[0], norms[2], norms[1]]
    return another(x, memory, mask, norms, self_attn, cross_attn, mlp)


def in_place(x, memory, mask, norms, self_attn, cross_attn, mlp):
    x += self_attn(norms[0](x), mask=mask)
    x += cross_attn(norms[1](x), context=memory)
    x += mlp(norms[2](x))
    return x


def by_loop(x, memory, mask, norms, self_attn, cross_attn, mlp):
    sublayers = (
        lambda y: self_attn(y, mask=mask),
        lambda y: cross_attn(y, context=memory),
        mlp,
    )
    for norm, sublayer in zip(norms, sublayers):
        x = torch.add(x, sublayer(norm(x)))
    return x


def text_by_text(x, memory, mask, norms, self_attn, cross_attn, mlp):
    rows = zip(x.split(1), memory.split(1))
    return torch.cat(
        [_right(a, b, mask, norms, self_attn, cross_attn, mlp) for a, b in rows]
    )


WRONG = [
    (post_norm, "after the sums"),
    (no_residual, "no residual"),
    (normed_residual, "from before the norm"),
    (from_the_start, "adds to the first x"),
    (without_mask, "mask is not used"),
    (reads_itself, "context=memory"),
    (normed_memory, "memory went through a norm"),
    (think_first, "feed-forward comes before"),
    (read_first, "before self-attention"),
    (never_reads, "never used"),
    (one_norm, "share one norm"),
    (norm_at_the_end, "one norm too many"),
    (swapped, "length of memory"),
    (with_residual, "calls Residual"),
    (detached, "the result is detached"),
    (memory_as_a_constant, "memory gets no gradient"),
    (own_mask, "the mask that is given"),
    (norms_made_anew, "made anew"),
    (norms_exchanged, "another sub-layer than its own"),
    (in_place, "changes x"),
]

RIGHT = [by_loop, text_by_text]
