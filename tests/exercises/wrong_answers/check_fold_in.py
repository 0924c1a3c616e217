"""Wrong ways to fold a part into its base, and another right one."""

import torch


def another(weight, A, B, alpha):
    scaled = (
        (alpha / B.shape[1] * B).float()
        if weight.dtype == torch.float16
        else alpha / B.shape[1] * B
    )
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


def cut_factor(weight, A, B, alpha):
    wide = torch.promote_types(weight.dtype, torch.float32)
    return (weight.to(wide) + alpha // len(A) * B.to(wide) @ A.to(wide)).to(
        weight.dtype
    )


def rank_written_in(weight, A, B, alpha):
    wide = torch.promote_types(weight.dtype, torch.float32)
    return (weight.to(wide) + alpha / 3 * B.to(wide) @ A.to(wide)).to(weight.dtype)


def scaled_in_place(weight, A, B, alpha):
    A *= alpha / len(A)
    return weight + B @ A


WRONG = [
    (no_factor, "without alpha / rank"),
    (alpha_alone, "alpha alone"),
    (by_inputs, "divided by d_in"),
    (by_outputs, "divided by d_out"),
    (upside_down, "upside down"),
    (no_base, "base's weight is missing"),
    (taken_out, "subtracted"),
    (in_place, "return a new tensor"),
    (wide, "return the dtype"),
    (rounded_twice, "round once"),
    (on_one_side, "differ from W + alpha / rank"),
    (cut_factor, "not //"),
    (rank_written_in, "3 is written into"),
    (scaled_in_place, "A or B itself was changed"),
]
