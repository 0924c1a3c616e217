"""Layers that never move, or move too far, and another right one."""

import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self, base, A, B, scale, freeze=True, cut=False):
        super().__init__()
        self.base, self.A, self.B, self.scale, self.cut = base.requires_grad_(not freeze), nn.Parameter(A), nn.Parameter(B), scale, cut

    def forward(self, x):
        low = x @ self.A.T @ self.B.T
        return self.base(x) + self.scale * (low.detach() if self.cut else low)


def _A(base, rank):
    return torch.randn(rank, base.in_features) * base.in_features**-0.5


def _B(base, rank):
    return torch.zeros(base.out_features, rank)


def another(base, rank, alpha):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.base, self.down = base, nn.Linear(base.in_features, rank, bias=False)
            self.up = nn.Linear(rank, base.out_features, bias=False)
            nn.init.zeros_(self.up.weight)
            base.requires_grad_(False)

        def forward(self, x):
            return self.base(x) + self.up(self.down(x)) * alpha / rank

    return Pair()


def as_printed(base, rank, alpha):
    return Layer(base, torch.zeros(rank, base.in_features), _B(base, rank), rank / alpha, freeze=False)


def both_zero(base, rank, alpha):
    return Layer(base, torch.zeros(rank, base.in_features), _B(base, rank), alpha / rank)


def upside_down(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), rank / alpha)


def alpha_alone(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), alpha)


def no_factor(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), 1)


def twice(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), (alpha / rank) ** 2)


def both_random(base, rank, alpha):
    return Layer(base, _A(base, rank), torch.randn(base.out_features, rank), alpha / rank)


def detached(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), alpha / rank, cut=True)


def one_matrix(base, rank, alpha):
    return nn.Linear(base.in_features, base.out_features) if not base.requires_grad_(False) else base


def a_function(base, rank, alpha):
    return lambda x: base(x)


WRONG = [(as_printed, "base still trains"), (both_zero, "both zero"), (upside_down, "upside down"), (alpha_alone, "alpha alone"),
         (no_factor, "no factor"), (twice, "twice"), (both_random, "otherwise than its base"), (detached, "no gradient reaches"),
         (one_matrix, "two parameters are asked for"), (a_function, "an nn.Module is asked for")]
