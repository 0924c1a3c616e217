"""The clinic's faults, each alone and together, and another right repair."""

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


WRONG = [
    (as_printed, "both faults"),
    (only_the_sign, "never set to zero"),
    (only_emptied, "uphill"),
    (emptied_between, "still 0"),
    (summed, "sum now"),
    (one_step, "one step"),
    (returns_the_loss, "return the weights"),
]
