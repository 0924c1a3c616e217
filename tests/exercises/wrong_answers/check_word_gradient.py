"""Wrong gradients of the linear classifier, and another right one."""

import numpy as np
import torch


def another(X, y, w, b):
    """Review by review."""
    dw, db = torch.zeros_like(w), 0.0
    for row, label in zip(X, y):
        error = 1 / (1 + torch.exp(-(row @ w + b))) - label
        dw, db = dw + error * row, db + error
    return dw / len(y), db / len(y)


def _p(X, w, b):
    return torch.sigmoid(X @ w + b)


def uphill(X, y, w, b):
    return X.T @ (y - _p(X, w, b)) / len(y), (y - _p(X, w, b)).mean()


def summed(X, y, w, b):
    return X.T @ (_p(X, w, b) - y), (_p(X, w, b) - y).sum()


def without_sigmoid(X, y, w, b):
    error = X @ w + b - y
    return X.T @ error / len(y), error.mean()


def squared_error(X, y, w, b):
    p = _p(X, w, b)
    error = (p - y) * p * (1 - p)
    return X.T @ error / len(y), error.mean()


def no_bias(X, y, w, b):
    error = _p(X, w, 0) - y
    return X.T @ error / len(y), error.mean()


def hard_answers(X, y, w, b):
    error = (_p(X, w, b) > 0.5).double() - y
    return X.T @ error / len(y), error.mean()


def bias_summed(X, y, w, b):
    error = _p(X, w, b) - y
    return X.T @ error / len(y), error.sum()


def only_w(X, y, w, b):
    return X.T @ (_p(X, w, b) - y) / len(y)


def per_review(X, y, w, b):
    error = _p(X, w, b) - y
    return X * error[:, None], error.mean()


def by_autograd(X, y, w, b):
    w, b = (torch.as_tensor(each).clone().requires_grad_() for each in (w, b))
    p = torch.sigmoid(X @ w + b)
    (-(y * p.log() + (1 - y) * (1 - p).log())).mean().backward()
    return w.grad, b.grad


def rounded(X, y, w, b):
    return tuple(each.round(decimals=4) for each in another(X, y, w, b))


def of_thirty(X, y, w, b):
    error = _p(X, w, b) - y
    return X.T @ error / 30, error.sum() / 30


def of_the_positives(X, y, w, b):
    error = (_p(X, w, b) - y) * y
    return X.T @ error / len(y), error.mean()


def in_numpy(X, y, w, b):
    X, y, w, b = (each.numpy() for each in (X, y, w, b))
    error = 1 / (1 + np.exp(-(X @ w + b))) - y
    return X.T @ error / len(y), error.mean()


def in_single_precision(X, y, w, b):
    dw, db = another(*(each.float() for each in (X, y, w, b)))
    return [dw, db.item()]


def by_differences(X, y, w, b):
    def loss(w, b):
        z = X @ w + b
        return (torch.nn.functional.softplus(z) - y * z).mean()

    h = 1e-5
    slopes = [
        (loss(w + e, b) - loss(w - e, b)) / (2 * h)
        for e in h * torch.eye(len(w), dtype=w.dtype)
    ]
    return torch.stack(slopes), (loss(w, b + h) - loss(w, b - h)) / (2 * h)


WRONG = [
    (uphill, "wrong sign"),
    (summed, "sum over the reviews"),
    (without_sigmoid, "the logit where the probability"),
    (squared_error, "p (1 - p)"),
    (no_bias, "b is left out"),
    (hard_answers, "instead of the probabilities"),
    (bias_summed, "that of b is a sum"),
    (only_w, "return two things"),
    (per_review, "one number for each word"),
    (by_autograd, "without autograd"),
    (rounded, "are rounded"),
    (of_thirty, "not for 9 and 9"),
    (of_the_positives, "use X^T (p - y) / N"),
]

RIGHT = [in_numpy, in_single_precision, by_differences]

EQUIVALENT = {
    "the result is detached": "a gradient by formula; nobody takes its gradient"
}
