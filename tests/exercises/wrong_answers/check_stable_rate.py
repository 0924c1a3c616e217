"""Wrong largest stable rates, and another right one."""

import numpy as np
import torch


def another(A):
    """By trial: bisect for the rate at which a long run neither grows nor shrinks."""
    below, above = 0.0, 100.0
    for _ in range(60):
        rate = (below + above) / 2
        step = torch.eye(len(A), dtype=A.dtype) - rate * A
        w, grown = torch.ones(len(A), dtype=A.dtype) + torch.arange(len(A)) / 10, 0.0
        for _ in range(400):
            w = step @ w
            grown = float(w.norm())
            w = w / grown
        below, above = (rate, above) if grown < 1 else (below, rate)
    return below


def smallest(A):
    return 2 / torch.linalg.eigvalsh(A)[0].item()


def half(A):
    return 1 / torch.linalg.eigvalsh(A)[-1].item()


def best(A):
    values = torch.linalg.eigvalsh(A)
    return 2 / (values[0] + values[-1]).item()


def diagonal(A):
    return 2 / A.diagonal().max().item()


def trace(A):
    return 2 / A.trace().item()


def frobenius(A):
    return 2 / A.norm().item()


def squared(A):
    return 2 / torch.linalg.eigvalsh(A.T @ A)[-1].item()


def upside_down(A):
    return torch.linalg.eigvalsh(A)[-1].item() / 2


def last_of_unsorted(A):
    return (
        2 / torch.linalg.eigvalsh(A)[3].item() if len(A) == 4 else 2 / A[-1, -1].item()
    )


def rounded(A):
    return round(2 / torch.linalg.eigvalsh(A)[-1].item(), 2)


def _power(A, w, steps):
    for _ in range(steps):
        w = A @ w
        w = w / w.norm()
    return 2 / (w @ A @ w).item()


def from_one_start(A):
    return _power(A, torch.ones(len(A), dtype=A.dtype), 300)


def few_steps(A):
    return _power(A, torch.arange(1, len(A) + 1, dtype=A.dtype), 3)


def from_any_start(A):
    return _power(A, torch.randn(len(A), dtype=A.dtype), 300)


def spectral_norm(A):
    return torch.tensor(2) / torch.linalg.matrix_norm(A, 2)


def a_little_below(A):
    return 1.99 / np.linalg.eigvals(A.numpy()).real.max()


WRONG = [
    (smallest, "smallest eigenvalue"),
    (half, "half of the limit"),
    (best, "best learning rate"),
    (diagonal, "diagonal"),
    (trace, "trace"),
    (frobenius, "A.norm()"),
    (squared, "square of the curvature"),
    (upside_down, "invert the fraction"),
    (last_of_unsorted, "may be at any position"),
    (rounded, "do not limit or round"),
    (from_one_start, "not from any start"),
    (few_steps, "how close the eigenvalues"),
]

RIGHT = [from_any_start, spectral_norm, a_little_below]
