"""Wrong rates by depth, and another right form."""

import torch


def another(parts, lr, decay):
    # float32 is exact enough for a rate
    return lr * decay ** torch.arange(parts - 1, -1, -1)


def one_rate(parts, lr, decay):
    return [lr] * parts


def turned_round(parts, lr, decay):
    return [lr * decay**k for k in range(parts)]


def head_decays(parts, lr, decay):
    return [lr * decay ** (parts - k) for k in range(parts)]


def straight(parts, lr, decay):
    return [lr * (k + 1) / parts for k in range(parts)]


def without_head(parts, lr, decay):
    return [lr * decay ** (parts - 1 - k) for k in range(parts - 1)]


def factors(parts, lr, decay):
    return [decay ** (parts - 1 - k) for k in range(parts)]


def one_minus(parts, lr, decay):
    return [lr * (1 - decay) ** (parts - 1 - k) for k in range(parts)]


def halves(parts, lr, decay):
    return [lr / 2 ** (parts - 1 - k) for k in range(parts)]


def rounded(parts, lr, decay):
    return [round(lr * decay ** (parts - 1 - k), 4) for k in range(parts)]


def with_a_bottom(parts, lr, decay):
    return [max(1e-4, lr * decay ** (parts - 1 - k)) for k in range(parts)]


def four_layers_at_most(parts, lr, decay):
    return [lr * decay ** min(parts - 1 - k, 3) for k in range(parts)]


def step_by_step(parts, lr, decay):
    """Right: from the head downwards."""
    rates = [lr]
    while len(rates) < parts:
        rates.insert(0, rates[0] * decay)
    return tuple(rates)


def generated(parts, lr, decay):
    """Right: a generator is read like a list."""
    return (lr * decay**below for below in reversed(range(parts)))


RIGHT = [step_by_step, generated]

WRONG = [
    (one_rate, "one learning rate"),
    (turned_round, "order is wrong"),
    (head_decays, "the head itself learns at lr"),
    (straight, "straight line"),
    (without_head, "head counts as a layer"),
    (factors, "lr is missing"),
    (one_minus, "not by 1 - decay"),
    (halves, "still halves"),
    (rounded, "are rounded: 0.0001 instead of"),
    (with_a_bottom, "no learning rate is below 0.0001"),
    (four_layers_at_most, "no learning rate is below 0.000198"),
]
