"""Wrong gradients through broadcasting, and another right form."""

import torch


def another(x, scale, shift, g):
    with torch.enable_grad():
        given = [t.clone().requires_grad_() for t in (x, scale, shift)]
        y = (given[0] - given[2]) * given[1]
        return torch.autograd.grad(y, given, g)


def not_summed(x, scale, shift, g):
    return g * scale, g * (x - shift), -g * scale


def axes_lost(x, scale, shift, g):
    return g * scale, (g * (x - shift)).sum((0, 1)), (-g * scale).sum((1, 2))


def one_axis(x, scale, shift, g):
    return g * scale, (g * (x - shift)).sum(0), (-g * scale).sum((1, 2), keepdim=True)


def means(x, scale, shift, g):
    return (
        g * scale,
        (g * (x - shift)).mean((0, 1)),
        (-g * scale).mean((1, 2), keepdim=True),
    )


def forgot_shift(x, scale, shift, g):
    return g * scale, (g * x).sum((0, 1)), (-g * scale).sum((1, 2), keepdim=True)


def sign(x, scale, shift, g):
    return (
        g * scale,
        (g * (x - shift)).sum((0, 1)),
        (g * scale).sum((1, 2), keepdim=True),
    )


def forgot_scale(x, scale, shift, g):
    return g, (g * (x - shift)).sum((0, 1)), -g.sum((1, 2), keepdim=True)


def one_number(x, scale, shift, g):
    return g * scale, (g * (x - shift)).sum((0, 1)), -(g * scale).sum()


def by_the_shape(x, scale, shift, g):
    slope = g * (x - shift)
    axes = [i for i, n in enumerate(slope.shape) if n != len(scale)]
    return g * scale, slope.sum(axes), (-g * scale).sum((1, 2), keepdim=True)


def two_texts(x, scale, shift, g):
    shifts = (-g * scale).sum((1, 2))
    shifts = torch.stack([shifts[0], shifts[-1]]) if len(x) > 1 else shifts
    return g * scale, (g * (x - shift)).sum((0, 1)), shifts.reshape(-1, 1, 1)


def shift_without_scale(x, scale, shift, g):
    return g * scale, (g * (x - shift)).sum((0, 1)), -g.sum((1, 2), keepdim=True)


def rounded(x, scale, shift, g):
    return tuple(each.round(decimals=3) for each in another(x, scale, shift, g))


def in_numpy(x, scale, shift, g):
    x, scale, shift, g = (each.numpy() for each in (x, scale, shift, g))
    slope = (g * (x - shift)).reshape(-1, len(scale)).sum(0)
    return [g * scale, slope, -(g * scale).sum((1, 2), keepdims=True)]


def by_einsum(x, scale, shift, g):
    slope = torch.einsum("btd,btd->d", g, x - shift)
    return g * scale, slope, -torch.einsum("btd,d->b", g, scale)[:, None, None]


WRONG = [
    (not_summed, "still has the broadcast shape"),
    (axes_lost, "lost its axes of 1"),
    (one_axis, "one of the two"),
    (means, "means over the copies"),
    (forgot_shift, "multiplies x - shift"),
    (sign, "shift is subtracted"),
    (forgot_scale, "gradient of x has the correct shape and wrong numbers"),
    (one_number, "shape of shift itself"),
    (by_the_shape, "which axis is which"),
    (two_texts, "take the sizes from the tensors"),
    (shift_without_scale, "gradient of shift has the correct shape and wrong"),
    (rounded, "is rounded"),
]

RIGHT = [in_numpy, by_einsum]

EQUIVALENT = {
    "the result is detached": "gradients by formula; nobody takes their gradient"
}
