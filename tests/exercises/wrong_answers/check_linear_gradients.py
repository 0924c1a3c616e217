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


WRONG = [
    (transposed, "which factor comes first"),
    (bias_not_summed, "added to N rows"),
    (bias_mean, "is a mean"),
    (divided, "the factor 1/N already"),
    (without_g, "wrong numbers"),
    (summed_over_rows, "shape of x itself"),
    (descent, "wrong sign"),
    (two_only, "return three"),
]
