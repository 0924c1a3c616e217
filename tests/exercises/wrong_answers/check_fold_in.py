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


def kept_in(dtype, weight, A, B, alpha):
    return (weight.to(dtype) + alpha / len(A) * B.to(dtype) @ A.to(dtype)).to(
        weight.dtype
    )


def always_float32(weight, A, B, alpha):
    return kept_in(torch.float32, weight, A, B, alpha)


def float16_alone(weight, A, B, alpha):
    if weight.dtype == torch.float16:
        return always_float32(weight, A, B, alpha)
    return kept_in(weight.dtype, weight, A, B, alpha)


def squeezed(weight, A, B, alpha):
    dtype = torch.promote_types(weight.dtype, torch.float32)
    product = B.squeeze().to(dtype) @ A.squeeze().to(dtype)
    return (weight.to(dtype) + alpha / len(A) * product).to(weight.dtype)


def rounded(weight, A, B, alpha):
    return (weight + alpha / len(A) * B @ A).round(decimals=4)


def in_float64(weight, A, B, alpha):
    """Right: always in float64."""
    product = B.double() @ A.double()
    return weight.double().add(product, alpha=alpha / len(A)).type_as(weight)


def one_row_after_another(weight, A, B, alpha):
    """Right: the product as a sum over the rank."""
    dtype = torch.promote_types(weight.dtype, torch.float32)
    total = weight.to(dtype)
    for a, b in zip(A.to(dtype), B.T.to(dtype)):
        total = total + alpha / A.shape[0] * torch.outer(b, a)
    return total.to(weight.dtype)


RIGHT = [in_float64, one_row_after_another]

WRONG = [
    (no_factor, "without alpha / rank"),
    (alpha_alone, "alpha alone"),
    (by_inputs, "divided by d_in"),
    (by_outputs, "divided by d_out"),
    (upside_down, "upside down"),
    (no_base, "base's weight is missing"),
    (taken_out, "subtracted"),
    (in_place, "changes weight, which it was given"),
    (wide, "return the dtype"),
    (rounded_twice, "round once"),
    (on_one_side, "differ from W + alpha / rank"),
    (cut_factor, "not //"),
    (rank_written_in, "3 is written into"),
    (scaled_in_place, "changes A, which it was given"),
    (always_float32, "keep float64"),
    (float16_alone, "a bfloat16 weight"),
    (squeezed, "for a weight (4, 4), rank 1"),
    (rounded, "rounded to a few digits"),
]

EQUIVALENT = {
    "`torch.promote_types(weight.dtype, torch.float32)` -> "
    "`torch.promote_types(torch.float32, weight.dtype)`": (
        "the wider of two dtypes is the wider in either order"
    ),
    "`weight.to(wide)` -> `weight`": (
        "torch adds a float16 and a float32 tensor in float32"
    ),
    "the result is detached": (
        "a merged weight is used and stored; no training goes through it"
    ),
}
