"""Wrong gradients of a linear layer, and another right form."""

import torch


def another(x, weight, bias, g):
    return (
        torch.einsum("ne,ed->nd", g, weight),
        torch.einsum("ne,nd->ed", g, x),
        torch.ones(len(g), dtype=g.dtype) @ g,
    )


def transposed(x, weight, bias, g):
    return g @ weight, x.T @ g, g.sum(0)


def bias_not_summed(x, weight, bias, g):
    return g @ weight, g.T @ x, g


def bias_mean(x, weight, bias, g):
    return g @ weight, g.T @ x, g.mean(0)


def divided(x, weight, bias, g):
    return g @ weight, g.T @ x / len(x), g.sum(0)


def without_g(x, weight, bias, g):
    return torch.ones_like(g) @ weight, g.T @ x, g.sum(0)


def summed_over_rows(x, weight, bias, g):
    return (g @ weight).sum(0), g.T @ x, g.sum(0)


def descent(x, weight, bias, g):
    return -(g @ weight), -(g.T @ x), -g.sum(0)


def two_only(x, weight, bias, g):
    return g @ weight, g.T @ x


def by_the_shape(x, weight, bias, g):
    slope = x.T @ g
    slope = slope if slope.shape == weight.shape else slope.T
    return g @ weight, slope, g.sum(0)


def five_rows(x, weight, bias, g):
    return g @ weight, g.T @ x, sum(g[i % len(g)] for i in range(5))


def reshaped(x, weight, bias, g):
    return g @ weight, (x.T @ g).reshape(weight.shape), g.sum(0)


def rounded(x, weight, bias, g):
    return tuple(each.round(decimals=3) for each in another(x, weight, bias, g))


def by_autograd(x, weight, bias, g):
    with torch.enable_grad():
        given = [each.clone().requires_grad_() for each in (x, weight, bias)]
        y = torch.nn.functional.linear(*given)
        return torch.autograd.grad(y, given, g)


def row_by_row(x, weight, bias, g):
    weights = sum(torch.outer(a, b) for a, b in zip(g, x))
    return [g @ weight, weights, torch.stack([column.sum() for column in g.T])]


def in_numpy(x, weight, bias, g):
    x, weight, g = x.numpy(), weight.numpy(), g.numpy()
    return g.dot(weight), g.T.dot(x), g.sum(axis=0)


WRONG = [
    (transposed, "which factor comes first"),
    (bias_not_summed, "added to N rows"),
    (bias_mean, "is a mean"),
    (divided, "the factor 1/N already"),
    (without_g, "wrong numbers"),
    (summed_over_rows, "shape of x itself"),
    (descent, "wrong sign"),
    (two_only, "return three"),
    (by_the_shape, "which axis is which"),
    (five_rows, "N = 1"),
    (reshaped, "the gradient of weight has the correct shape"),
    (rounded, "is rounded"),
]

RIGHT = [by_autograd, row_by_row, in_numpy]

EQUIVALENT = {
    "the result is detached": "gradients by formula; nobody takes their gradient"
}
