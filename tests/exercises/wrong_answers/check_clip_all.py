"""Wrong ways to clip, and another right one."""

import torch


def another(grads, limit):
    squares = sum((g.double() ** 2).sum().item() for g in grads)
    norm = squares**0.5
    if norm <= limit:
        return [g.clone() for g in grads], norm
    return [g / norm * limit for g in grads], norm


def _norm(grads):
    return torch.cat([g.flatten() for g in grads]).norm()


def _scaled(grads, factor, said=None):
    return [g * min(1.0, float(factor)) for g in grads], float(
        _norm(grads)
    ) if said is None else said


def each_value(grads, limit):
    return [g.clamp(-limit, limit) for g in grads], float(_norm(grads))


def each_tensor(grads, limit):
    return [g * min(1.0, limit / float(g.norm())) for g in grads], float(_norm(grads))


def norms_added(grads, limit):
    total = sum(float(g.norm()) for g in grads)
    return _scaled(grads, limit / total, total)


def no_root(grads, limit):
    return _scaled(grads, limit / float(_norm(grads)) ** 2)


def largest(grads, limit):
    return _scaled(grads, limit / max(float(g.abs().max()) for g in grads))


def always(grads, limit):
    return [g * limit / (_norm(grads) + 1e-12) for g in grads], float(_norm(grads))


def norm_after(grads, limit):
    norm = float(_norm(grads))
    return _scaled(grads, limit / norm if norm else 1.0, min(limit, norm))


def in_place(grads, limit):
    norm = float(_norm(grads))
    return [g.mul_(min(1.0, limit / norm)) for g in grads], norm


def nan_of_zeros(grads, limit):
    norm = _norm(grads)
    return [g * torch.minimum(norm, torch.tensor(limit)) / norm for g in grads], float(
        norm
    )


def squared_norm(grads, limit):
    norm = float(_norm(grads))
    return _scaled(grads, limit / norm if norm else 1.0, norm**2)


WRONG = [
    (each_value, "each number is clamped"),
    (each_tensor, "its own norm"),
    (norms_added, "norms are added up"),
    (no_root, "squared norm"),
    (largest, "largest number"),
    (always, "never increases a norm"),
    (norm_after, "the one before"),
    (in_place, "have changed"),
    (nan_of_zeros, "norm of 0"),
    (squared_norm, "in your result"),
]
