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


WRONG = [
    (one_rate, "one learning rate"),
    (turned_round, "order is wrong"),
    (head_decays, "the head itself learns at lr"),
    (straight, "straight line"),
    (without_head, "head counts as a layer"),
    (factors, "lr is missing"),
    (one_minus, "not by 1 - decay"),
    (halves, "still halves"),
]
