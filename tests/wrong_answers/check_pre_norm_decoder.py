"""Decoder blocks with a fault, and another right one."""

import torch.nn.functional as F


def another(x, memory, mask, norms, attend, read, think):
    def normed(n, y):
        return F.layer_norm(y, y.shape[-1:], n.weight, n.bias, n.eps)

    first = attend(normed(norms[0], x), mask=mask)
    second = read(normed(norms[1], x + first), memory)
    return x + first + second + think(normed(norms[2], x + first + second))


def post_norm(x, memory, mask, norms, attend, read, think):
    x = norms[0](x + attend(x, mask=mask))
    x = norms[1](x + read(x, context=memory))
    return norms[2](x + think(x))


def no_residual(x, memory, mask, norms, attend, read, think):
    x = attend(norms[0](x), mask=mask)
    x = read(norms[1](x), context=memory)
    return think(norms[2](x))


def normed_residual(x, memory, mask, norms, attend, read, think):
    x = norms[0](x)
    x = x + attend(x, mask=mask)
    x = norms[1](x)
    x = x + read(x, context=memory)
    x = norms[2](x)
    return x + think(x)


def from_the_start(x, memory, mask, norms, attend, read, think):
    y = x + attend(norms[0](x), mask=mask)
    y = x + read(norms[1](y), context=memory)
    return x + think(norms[2](y))


def _right(x, memory, mask, norms, attend, read, think, context=None):
    x = x + attend(norms[0](x), mask=mask)
    x = x + read(norms[1](x), context=memory if context is None else context(x))
    return x + think(norms[2](x))


def without_mask(x, memory, mask, norms, attend, read, think):
    return _right(x, memory, None, norms, attend, read, think)


def reads_itself(x, memory, mask, norms, attend, read, think):
    x = x + attend(norms[0](x), mask=mask)
    x = x + read(norms[1](x))
    return x + think(norms[2](x))


def normed_memory(x, memory, mask, norms, attend, read, think):
    return _right(x, norms[1](memory), mask, norms, attend, read, think)


def think_first(x, memory, mask, norms, attend, read, think):
    x = x + attend(norms[0](x), mask=mask)
    x = x + think(norms[2](x))
    return x + read(norms[1](x), context=memory)


def read_first(x, memory, mask, norms, attend, read, think):
    x = x + read(norms[1](x), context=memory)
    x = x + attend(norms[0](x), mask=mask)
    return x + think(norms[2](x))


def never_reads(x, memory, mask, norms, attend, read, think):
    x = x + attend(norms[0](x), mask=mask)
    return x + think(norms[2](x))


def one_norm(x, memory, mask, norms, attend, read, think):
    return _right(x, memory, mask, [norms[0]] * 3, attend, read, think)


def norm_at_the_end(x, memory, mask, norms, attend, read, think):
    return norms[2](_right(x, memory, mask, norms, attend, read, think))


def swapped(x, memory, mask, norms, attend, read, think):
    x = x + attend(norms[0](x), mask=mask)
    return memory + read(memory, context=norms[1](x))


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
    (never_reads, "never read"),
    (one_norm, "share one norm"),
    (norm_at_the_end, "one norm too many"),
    (swapped, "length of memory"),
]
