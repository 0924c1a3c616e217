"""Layers that never move, or move too far, and another right one."""

import copy

import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self, base, A, B, scale, freeze=True, cut=False):
        super().__init__()
        self.base, self.A, self.B, self.scale, self.cut = (
            base.requires_grad_(not freeze),
            nn.Parameter(A),
            nn.Parameter(B),
            scale,
            cut,
        )

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
    return Layer(
        base,
        torch.zeros(rank, base.in_features),
        _B(base, rank),
        rank / alpha,
        freeze=False,
    )


def both_zero(base, rank, alpha):
    return Layer(
        base, torch.zeros(rank, base.in_features), _B(base, rank), alpha / rank
    )


def upside_down(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), rank / alpha)


def alpha_alone(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), alpha)


def no_factor(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), 1)


def twice(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), (alpha / rank) ** 2)


def both_random(base, rank, alpha):
    return Layer(
        base, _A(base, rank), torch.randn(base.out_features, rank), alpha / rank
    )


def detached(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), alpha / rank, cut=True)


def one_matrix(base, rank, alpha):
    return (
        nn.Linear(base.in_features, base.out_features)
        if not base.requires_grad_(False)
        else base
    )


def a_function(base, rank, alpha):
    return lambda x: base(x)


def cut_factor(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), alpha // rank)


def ones(base, rank, alpha):
    return Layer(base, torch.ones(rank, base.in_features), _B(base, rank), alpha / rank)


def one_row(base, rank, alpha):
    return Layer(base, _A(base, 1).repeat(rank, 1), _B(base, rank), alpha / rank)


def next_to_zero(base, rank, alpha):
    return Layer(base, 1e-9 * _A(base, rank), _B(base, rank), alpha / rank)


def a_hundred_times(base, rank, alpha):
    return Layer(base, 100 * _A(base, rank), _B(base, rank), alpha / rank)


def a_free_copy(base, rank, alpha):
    """The same fault as in `as_printed`, in a copy; in the list below the hint of that
    one stands for both.
    """
    return Layer(
        copy.deepcopy(base), _A(base, rank), _B(base, rank), alpha / rank, freeze=False
    )


def a_frozen_copy(base, rank, alpha):
    """Right: the base stays as it is, and the layer keeps a frozen copy."""
    return Layer(copy.deepcopy(base), _A(base, rank), _B(base, rank), alpha / rank)


def with_dropout(base, rank, alpha):
    """Right: dropout on the part's input, and the layer in train mode."""
    layer = Layer(base, _A(base, rank), _B(base, rank), alpha / rank)
    drop = nn.Dropout(0.2)
    layer.drop = drop
    layer.forward = lambda x: (
        layer.base(x) + layer.scale * (drop(x) @ layer.A.T @ layer.B.T)
    )
    return layer.train()


def small_numbers(base, rank, alpha):
    """Right: A with a standard deviation of 0.01, as many programs draw it."""
    return Layer(
        base, 0.01 * torch.randn(rank, base.in_features), _B(base, rank), alpha / rank
    )


class Freely(Layer):
    """A layer whose forward is a function of (layer, x)."""

    def __init__(self, base, rank, alpha, function):
        super().__init__(base, _A(base, rank), _B(base, rank), alpha / rank)
        self.function = function

    def forward(self, x):
        return self.function(self, x)


def base_without_gradients(base, rank, alpha):
    def forward(layer, x):
        with torch.no_grad():
            y = layer.base(x)
        return y + layer.scale * x @ layer.A.T @ layer.B.T

    return Freely(base, rank, alpha, forward)


def two_dimensions(base, rank, alpha):
    def forward(layer, x):
        return layer.base(x) + layer.scale * (layer.B @ (layer.A @ x.t())).T

    return Freely(base, rank, alpha, forward)


def needs_a_bias(base, rank, alpha):
    def forward(layer, x):
        low = layer.scale * x @ layer.A.T @ layer.B.T
        return x @ layer.base.weight.T + layer.base.bias + low

    return Freely(base, rank, alpha, forward)


def factor_written_in(base, rank, alpha):
    return Layer(base, _A(base, rank), _B(base, rank), 2.5)


def one_matrix_detached(base, rank, alpha):
    def forward(layer, x):
        low = x @ layer.A.T @ layer.B.detach().T
        return layer.base(x) + layer.scale * low + 0 * layer.B.sum()

    return Freely(base, rank, alpha, forward)


def changed_base(base, rank, alpha):
    layer = Layer(base, _A(base, rank), _B(base, rank), alpha / rank)
    layer.register_buffer("kept", base.weight.detach().clone())
    with torch.no_grad():
        base.weight.zero_()
    layer.forward = lambda x: (
        nn.functional.linear(x, layer.kept, base.bias)
        + layer.scale * (x @ layer.A.T @ layer.B.T)
    )
    return layer


def merged_at_every_call(base, rank, alpha):
    """Right: the sum of the weights, made anew at every call."""

    def forward(layer, x):
        weight = layer.base.weight + layer.scale * layer.B @ layer.A
        return nn.functional.linear(x, weight, layer.base.bias)

    return Freely(base, rank, alpha, forward)


def random_b(base, rank, alpha):
    """Right: A is zero and B is random; it learns as well."""
    random = torch.randn(base.out_features, rank) * rank**-0.5
    return Layer(base, torch.zeros(rank, base.in_features), random, alpha / rank)


RIGHT = [a_frozen_copy, with_dropout, small_numbers, merged_at_every_call, random_b]

WRONG = [
    (as_printed, "base still trains"),
    (both_zero, "both zero"),
    (upside_down, "upside down"),
    (alpha_alone, "alpha alone"),
    (no_factor, "no factor"),
    (twice, "applied twice"),
    (both_random, "differ from those of the base"),
    (detached, "no gradient reaches"),
    (one_matrix, "expected two"),
    (a_function, "return an nn.Module"),
    (cut_factor, "// cuts it"),
    (ones, "are the same"),
    (one_row, "multiples of one another"),
    (next_to_zero, "next to zero"),
    (a_hundred_times, "so large"),
    (base_without_gradients, "layers before this one"),
    (two_dimensions, "inputs (2, 3, 6) the layer raised"),
    (needs_a_bias, "and a base without bias"),
    (factor_written_in, "does not give base(x)"),
    (one_matrix_detached, "gradients of A and B"),
    (changed_base, "weight of the base was changed"),
]

EQUIVALENT = {
    "`base.in_features ** 0.5` -> `base.in_features * 0.5`": (
        "the clinic names no standard deviation, and programs draw smaller ones"
    ),
    "`0.5` -> `1.0`": (
        "the clinic names no standard deviation, and programs draw smaller ones"
    ),
}
