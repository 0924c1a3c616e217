"""Chapter 20: rewards relative to their group."""

import torch


def another(rewards):
    spread, mean = torch.std_mean(rewards, dim=1)
    return ((rewards.T - mean) / (spread + 1e-4)).T


def row_by_row(rewards):
    return torch.stack([(row - row.mean()) / (row.std() + 1e-4) for row in rewards])


def over_all(rewards):
    return (rewards - rewards.mean()) / (rewards.std() + 1e-4)


def columns(rewards):
    return (rewards - rewards.mean(0)) / (rewards.std(0) + 1e-4)


def only_centred(rewards):
    return rewards - rewards.mean(1, keepdim=True)


def by_g(rewards):
    centred = rewards - rewards.mean(1, keepdim=True)
    return centred / (rewards.std(1, keepdim=True, correction=0) + 1e-4)


def one_spread(rewards):
    return (rewards - rewards.mean(1, keepdim=True)) / (rewards.std() + 1e-4)


def variance(rewards):
    return (rewards - rewards.mean(1, keepdim=True)) / rewards.var(1, keepdim=True)


def without_epsilon(rewards):
    return (rewards - rewards.mean(1, keepdim=True)) / rewards.std(1, keepdim=True)


def flat(rewards):
    return another(rewards).flatten()


def ranks(rewards):
    return rewards.argsort(1).argsort(1).float()


EQUIVALENT = {"the result is detached": "rewards come from a judge, without gradient"}

RIGHT = [row_by_row]

WRONG = [
    (over_all, "its own row"),
    (columns, "its own row"),
    (only_centred, "the spread is missing"),
    (by_g, "G - 1"),
    (one_spread, "of all rows together"),
    (variance, "deviation of the row, plus 1e-4"),
    (without_epsilon, "is missing: a row"),
    (flat, "of the shape"),
    (ranks, "its own row"),
]
