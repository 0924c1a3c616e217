"""Chapter 23: int8 with a scale for each row."""

import torch


def scales(weight):
    return (weight.abs().amax(1, keepdim=True) / 127).clamp(min=1e-12)


def another(weight):
    rows = []
    for row in weight:
        largest = max(abs(float(x)) for x in row) or 127.0
        rows.append((torch.round(row * (127 / largest)).to(torch.int8), largest / 127))
    values = torch.stack([values for values, _ in rows])
    return values, torch.tensor([[scale] for _, scale in rows])


def in_double(weight):
    """Right: computed in float64, and a list."""
    scale = scales(weight.double())
    return [(weight.double() / scale).round().to(torch.int8), scale]


def per_tensor(weight):
    scale = weight.abs().max() / 127
    return torch.round(weight / scale).to(torch.int8), scale


def columns(weight):
    scale = weight.abs().amax(0, keepdim=True) / 127
    return torch.round(weight / scale).to(torch.int8), scale


def without_round(weight):
    return (weight / scales(weight)).to(torch.int8), scales(weight)


def by_128(weight):
    scale = scales(weight) * 127 / 128
    return torch.round(weight / scale).clamp(-128, 127).to(torch.int8), scale


def nan_row(weight):
    scale = weight.abs().amax(1, keepdim=True) / 127
    return torch.round(weight / scale).to(torch.int8), scale / (scale > 0)


def signed(weight):
    scale = (weight.amax(1, keepdim=True) / 127).clamp(min=1e-12)
    return torch.round(weight / scale).clamp(-127, 127).to(torch.int8), scale


def flat(weight):
    scale = scales(weight)
    return torch.round(weight / scale).to(torch.int8), scale.flatten()


def floats(weight):
    return torch.round(weight / scales(weight)), scales(weight)


def back(weight):
    scale = scales(weight)
    return torch.round(weight / scale) * scale


def shifted(weight):
    scale = scales(weight)
    return torch.round(weight / scale + 1).clamp(-127, 127).to(torch.int8), scale


RIGHT = [in_double]

EQUIVALENT = {
    "the result is detached": "the weight is stored; nothing is trained through it",
}

WRONG = [
    (per_tensor, "each row needs its own"),
    (columns, "one for each row"),
    (without_round, "cut off"),
    (by_128, "divide by 127"),
    (nan_row, "a row of zeros"),
    (signed, "largest magnitude"),
    (flat, "one for each row"),
    (floats, "torch.int8"),
    (back, "(values, scale)"),
    (shifted, "rounded to the nearest"),
]
