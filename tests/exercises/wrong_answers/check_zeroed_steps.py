"""The clinic's faults, each alone and together, and another right repair."""

import numpy as np
import torch


def another(X, y, rate, steps):
    w = torch.zeros(X.shape[1], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(X @ w, y).backward()
        optimizer.step()
    return w


def _steps(X, y, rate, steps, sign, empty, reduce="mean"):
    w = torch.zeros(X.shape[1], requires_grad=True)
    for _ in range(steps):
        if empty == "first":
            w.grad = None
        p = torch.sigmoid(X @ w)
        surprise = -(y * torch.log(p) + (1 - y) * torch.log(1 - p))
        getattr(surprise, reduce)().backward()
        if empty == "between":
            w.grad.zero_()
        with torch.no_grad():
            w += sign * rate * w.grad
    return w


def as_printed(X, y, rate, steps):
    return _steps(X, y, rate, steps, +1, None)


def only_the_sign(X, y, rate, steps):
    return _steps(X, y, rate, steps, -1, None)


def only_emptied(X, y, rate, steps):
    return _steps(X, y, rate, steps, +1, "first")


def emptied_between(X, y, rate, steps):
    return _steps(X, y, rate, steps, -1, "between")


def summed(X, y, rate, steps):
    return _steps(X, y, rate, steps, -1, "first", "sum")


def one_step(X, y, rate, steps):
    return _steps(X, y, rate, 1, -1, "first")


def returns_the_loss(X, y, rate, steps):
    return torch.nn.functional.binary_cross_entropy_with_logits(
        X @ _steps(X, y, rate, steps, -1, "first"), y
    )


def one_less(X, y, rate, steps):
    return another(X, y, rate, steps - 1)


def always_six(X, y, rate, steps):
    return another(X, y, rate, 6)


def rounded(X, y, rate, steps):
    return another(X, y, rate, steps).detach().round(decimals=3)


def of_the_squared_error(X, y, rate, steps):
    w = torch.zeros(X.shape[1])
    for _ in range(steps):
        p = torch.sigmoid(X @ w)
        w = w - rate * X.T @ ((p - y) * p * (1 - p)) / len(y)
    return w


def by_formula(X, y, rate, steps):
    X, y = X.numpy(), y.numpy()
    w = np.zeros(X.shape[1])
    for _ in range(steps):
        w = w - rate * X.T @ (1 / (1 + np.exp(-X @ w)) - y) / len(y)
    return w


def by_new_tensors(X, y, rate, steps):
    w = torch.zeros(X.shape[1], requires_grad=True)
    for _ in range(steps):
        z = X @ w
        loss = (torch.nn.functional.softplus(z) - y * z).mean()
        (slope,) = torch.autograd.grad(loss, w)
        w = (w - rate * slope).detach().requires_grad_()
    return w.tolist()


WRONG = [
    (as_printed, "both faults"),
    (only_the_sign, "never set to zero"),
    (only_emptied, "uphill"),
    (emptied_between, "still 0"),
    (summed, "sum now"),
    (one_step, "one step"),
    (returns_the_loss, "return the weights"),
    (one_less, "after 5 steps"),
    (always_six, "use the arguments"),
    (rounded, "rounded"),
    (of_the_squared_error, "after 6 steps w[1]"),
]

RIGHT = [by_formula, by_new_tensors]

EQUIVALENT = {
    "the result is detached": "trained weights; no gradient goes through them"
}
