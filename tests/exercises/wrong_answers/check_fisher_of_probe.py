"""Wrong Fisher diagonals, and another right one."""

import numpy as np
import torch
import torch.nn.functional as F


def gradients(x, W):
    """p (N, C) and the gradient of log p of each class c at W, (C, N, C, D)."""
    p = (x @ W.T).softmax(-1)
    return p, torch.stack(
        [
            (F.one_hot(torch.tensor(c), len(W)) - p)[:, :, None] * x[:, None, :]
            for c in range(len(W))
        ]
    )


def another(x, W):
    """By automatic differentiation, class by class."""
    W, total = W.clone().requires_grad_(), torch.zeros_like(W)
    for row in x:
        log_p = (row @ W.T).log_softmax(-1)
        for c in range(len(W)):
            (g,) = torch.autograd.grad(log_p[c], W, retain_graph=True)
            total += log_p[c].exp().detach() * g.square()
    return total / len(x)


def summed(x, W):
    return another(x, W) * len(x)


def likeliest(x, W):
    p, g = gradients(x, W)
    return g[p.argmax(-1), torch.arange(len(x))].square().mean(0)


def unweighted(x, W):
    return gradients(x, W)[1].square().mean((0, 1))


def square_last(x, W):
    p, g = gradients(x, W)
    return (p.T[:, :, None, None] * g).sum(0).mean(0).square()


def texts_first(x, W):
    p = (x @ W.T).softmax(-1)
    return (p * (1 - p)).mean(0)[:, None] * x.mean(0).square()


def only_p(x, W):
    return (x @ W.T).softmax(-1).mean(0)[:, None] * x.square().mean(0)


def turned(x, W):
    return another(x, W).T


def without_square(x, W):
    p = (x @ W.T).softmax(-1)
    return ((p * (1 - p))[:, :, None] * x[:, None, :].abs()).mean(0)


def formula(x, p):
    return ((p * (1 - p))[:, :, None] * x[:, None, :].square()).mean(0)


def exponentials(x, W):
    e = (x @ W.T).exp()
    return formula(x, e / e.sum(-1, keepdim=True))


def forty_texts(x, W):
    return formula(x, (x @ W.T).softmax(-1)) * len(x) / 40


def over_the_texts(x, W):
    return formula(x, (x @ W.T).softmax(0))


def rounded(x, W):
    return formula(x, (x @ W.T).softmax(-1)).round(decimals=3)


def with_numpy(x, W):
    """Right: NumPy, in float64."""
    x, W = x.double().numpy(), W.double().numpy()
    z = x @ W.T
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return np.einsum("nc,nd->cd", p * (1 - p), x**2) / len(x)


def one_product(x, W):
    """Right: one product of matrices."""
    p = (x @ W.T).softmax(-1)
    return (p - p * p).T @ (x * x) / len(x)


RIGHT = [with_numpy, one_product]

WRONG = [
    (summed, "make the penalty stronger"),
    (likeliest, "only the most likely class"),
    (unweighted, "weight each by the model's own probability p"),
    (square_last, "cancel"),
    (texts_first, "numbers of each text"),
    (only_p, "variance of a prediction"),
    (turned, "expected (3, 5)"),
    (without_square, "which factor differs"),
    (exponentials, "overflows"),
    (forty_texts, "is a size or a smallest"),
    (over_the_texts, "goes over the texts"),
    (rounded, "are rounded"),
]

EQUIVALENT = {
    "`-1` -> `1`": "of two dimensions the last one is number 1",
    "the result is detached": (
        "the Fisher diagonal is a constant in the penalty; nothing is trained "
        "through it"
    ),
}
