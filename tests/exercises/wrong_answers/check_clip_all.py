"""Wrong ways to clip, and another right one."""

import numpy as np
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


def to_one(grads, limit):
    return [g / max(float(_norm(grads)), 1e-12) for g in grads], float(_norm(grads))


def by_sizes(grads, limit):
    total = sum(float(g.abs().sum()) for g in grads)
    return _scaled(grads, limit / total if total else 1.0)


def by_mean_square(grads, limit):
    count = sum(g.numel() for g in grads)
    norm = float(_norm(grads))
    return _scaled(grads, limit * count**0.5 / norm if norm else 1.0)


def limit_of_two(grads, limit):
    return another(grads, 2.0)


def signs(grads, limit):
    norm = float(_norm(grads))
    if norm <= limit:
        return another(grads, limit)
    count = sum(g.numel() for g in grads)
    return [g.sign() * limit / count**0.5 for g in grads], norm


def a_little_less(grads, limit):
    norm = float(_norm(grads))
    return _scaled(grads, 0.99 * limit / norm if norm > limit else 1.0)


def first_three(grads, limit):
    clipped, norm = another(grads[:3], limit)
    return clipped + grads[3:], norm


def rounded_norm(grads, limit):
    clipped, norm = another(grads, limit)
    return clipped, round(norm, 3)


def other_type(grads, limit):
    clipped, norm = another(grads, limit)
    return [g.float() for g in clipped], norm


def by_torch(grads, limit):
    copies = [torch.nn.Parameter(g.clone()) for g in grads]
    for copy, g in zip(copies, grads):
        copy.grad = g.clone()
    norm = torch.nn.utils.clip_grad_norm_(copies, limit)
    return tuple(copy.grad for copy in copies), norm


def in_numpy(grads, limit):
    norm = np.sqrt(sum(np.square(g.numpy()).sum(dtype=np.float64) for g in grads))
    factor = min(1.0, limit / (norm + 1e-30))
    return [torch.from_numpy(np.asarray(g.numpy() * factor)).to(g) for g in grads], norm


def of_norms(grads, limit):
    """The norm of the norms."""
    norm = torch.stack([g.norm() for g in grads]).norm()
    return [g * (limit / norm).clamp(max=1) for g in grads], norm


WRONG = [
    (each_value, "each number is clamped"),
    (each_tensor, "its own norm"),
    (norms_added, "norms are added up"),
    (no_root, "squared norm"),
    (largest, "largest number"),
    (always, "never increases a norm"),
    (norm_after, "the one before"),
    (in_place, "changes grads"),
    (nan_of_zeros, "norm of 0"),
    (squared_norm, "in your result"),
    (to_one, "the norm becomes 1"),
    (by_sizes, "sum of the sizes"),
    (by_mean_square, "nothing is clipped"),
    (limit_of_two, "and the limit 0.5"),
    (signs, "another direction"),
    (a_little_less, "the norm of the clipped gradient is 1.98"),
    (first_three, "for 5 gradients the norm"),
    (rounded_norm, "is rounded to 5.112"),
    (other_type, "come back in float32"),
]

RIGHT = [by_torch, in_numpy, of_norms]

EQUIVALENT = {
    "`norm > limit` -> `norm >= limit`": "at the limit the factor is 1 either way",
    "the result is detached": "gradients to step with; nobody takes their gradient",
}
