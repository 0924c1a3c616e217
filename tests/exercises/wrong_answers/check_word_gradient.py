"""Wrong gradients of the linear classifier, and another right one."""

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
]
