"""Wrong ways to fold a part into its base, and another right one."""

import torch


def another(weight, A, B, alpha):
    scaled = (alpha / B.shape[1] * B).float() if weight.dtype == torch.float16 else alpha / B.shape[1] * B
    wide = torch.promote_types(weight.dtype, scaled.dtype)
    return torch.addmm(weight.to(wide), scaled.to(wide), A.to(wide)).to(weight.dtype)


def no_factor(weight, A, B, alpha):
    return weight + B @ A


def alpha_alone(weight, A, B, alpha):
    return weight + alpha * B @ A


def by_inputs(weight, A, B, alpha):
    return weight + alpha / A.shape[1] * B @ A


def by_outputs(weight, A, B, alpha):
    return weight + alpha / len(B) * B @ A


def upside_down(weight, A, B, alpha):
    return weight + len(A) / alpha * B @ A


def no_base(weight, A, B, alpha):
    return alpha / len(A) * B @ A


def taken_out(weight, A, B, alpha):
    return weight - alpha / len(A) * B @ A


def in_place(weight, A, B, alpha):
    weight += alpha / len(A) * B @ A
    return weight


def wide(weight, A, B, alpha):
    return weight + alpha / len(A) * B @ A


def rounded_twice(weight, A, B, alpha):
    return weight + (alpha / len(A) * B @ A).to(weight.dtype)


def on_one_side(weight, A, B, alpha):
    return weight + alpha / len(A) * (B @ A).roll(1, 0)


WRONG = [(no_factor, "without alpha / rank"), (alpha_alone, "alpha alone"), (by_inputs, "divided by d_in"), (by_outputs, "divided by d_out"),
         (upside_down, "upside down"), (no_base, "base's weight is missing"), (taken_out, "subtracted"), (in_place, "return a new tensor"),
         (wide, "give back the type"), (rounded_twice, "round once"), (on_one_side, "differ from W + alpha / rank")]
