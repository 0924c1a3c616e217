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


WRONG = [
    (not_summed, "still has the broadcast shape"),
    (axes_lost, "lost its axes of 1"),
    (one_axis, "one of the two"),
    (means, "means over the copies"),
    (forgot_shift, "multiplies x - shift"),
    (sign, "shift is subtracted"),
    (forgot_scale, "gradient of x has the correct shape and wrong numbers"),
    (one_number, "shape of shift itself"),
]
