"""Wrong intersections over union, and another right form."""

import numpy as np
import torch


def area(box):
    return (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])


def inner(a, b):
    width = (torch.minimum(a[:, 2], b[:, 2]) - torch.maximum(a[:, 0], b[:, 0])).clamp(
        min=0
    )
    return width * (
        torch.minimum(a[:, 3], b[:, 3]) - torch.maximum(a[:, 1], b[:, 1])
    ).clamp(min=0)


def another(a, b):
    values = []
    for (left, t, r, d), (m, u, s, e) in zip(a.tolist(), b.tolist()):
        both = max(0.0, min(r, s) - max(left, m)) * max(0.0, min(d, e) - max(t, u))
        values.append(both / ((r - left) * (d - t) + (s - m) * (e - u) - both))
    return torch.tensor(values)


def intersection(a, b):
    return inner(a, b)


def counted_twice(a, b):
    return inner(a, b) / (area(a) + area(b))


def of_the_smaller(a, b):
    return inner(a, b) / torch.minimum(area(a), area(b))


def without_clamp(a, b):
    size = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    both = size.prod(1)
    return both / (area(a) + area(b) - both)


def all_pairs(a, b):
    return torch.stack([another(a, row.expand_as(a)) for row in b])


def width_only(a, b):
    width = (torch.minimum(a[:, 2], b[:, 2]) - torch.maximum(a[:, 0], b[:, 0])).clamp(
        min=0
    )
    return width / (a[:, 2] - a[:, 0] + b[:, 2] - b[:, 0] - width)


def apart_in_both(a, b):
    size = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    both = size.prod(1).where((size > 0).any(1), torch.tensor(0.0))
    return both / (area(a) + area(b) - both)


def clamped(a, b, side):
    size = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    size[:, side] = size[:, side].clamp(min=0)
    both = size.prod(1)
    return both / (area(a) + area(b) - both)


def width_clamped(a, b):
    return clamped(a, b, 0)


def height_clamped(a, b):
    return clamped(a, b, 1)


def over_union(both, a, b):
    return both / (area(a) + area(b) - both)


def pixels(a, b):
    wider = torch.tensor([0.0, 0, 1, 1])
    return over_union(inner(a + wider, b + wider), a + wider, b + wider)


def positive_corners(a, b):
    return over_union(inner(a.clamp(min=0), b.clamp(min=0)), a, b)


def left_for_top(a, b):
    size = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :1], b[:, :2])
    return over_union(size.clamp(min=0).prod(1), a, b)


def sides_up_to_100(a, b):
    size = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    return over_union(size.clamp(0, 100).prod(1), a, b)


def squeezed(a, b):
    return over_union(inner(a, b), a, b).squeeze()


def rounded(a, b):
    return over_union(inner(a, b), a, b).round(decimals=3)


def touching_counts(a, b):
    value = over_union(inner(a, b), a, b)
    touching = torch.minimum(a[:, 2], b[:, 2]) == torch.maximum(a[:, 0], b[:, 0])
    return value + 0.01 * touching


def with_numpy(a, b):
    """Right: an array, computed in float64."""
    a, b = a.double().numpy(), b.double().numpy()
    size = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    both = size.clip(0).prod(1)
    return both / (sum((x[:, 2:] - x[:, :2]).prod(1) for x in (a, b)) - both)


def as_list(a, b):
    """Right: a list of numbers."""
    return over_union(inner(a, b), a, b).tolist()


RIGHT = [with_numpy, as_list]

WRONG = [
    (intersection, "area of the intersection"),
    (counted_twice, "counts the intersection twice"),
    (of_the_smaller, "smaller area"),
    (without_clamp, "do not touch"),
    (all_pairs, "one number for each pair"),
    (width_only, ", expected ["),
    (apart_in_both, "one negative side"),
    (width_clamped, "clamp the height too"),
    (height_clamped, "clamp the width too"),
    (pixels, "one too large"),
    (positive_corners, "get 0, expected"),
    (left_for_top, "the boxes [-0."),
    (sides_up_to_100, "the boxes [-4"),
    (squeezed, "expected (1,)"),
    (rounded, "are rounded"),
    (touching_counts, "share an edge"),
]

EQUIVALENT = {
    "`torch.maximum(a[:, :2], b[:, :2])` -> `torch.maximum(b[:, :2], a[:, :2])`": (
        "the larger of two is the larger in either order"
    ),
    "`torch.minimum(a[:, 2:], b[:, 2:])` -> `torch.minimum(b[:, 2:], a[:, 2:])`": (
        "the smaller of two is the smaller in either order"
    ),
    "the result is detached": (
        "the overlap is measured; the task trains nothing through it"
    ),
}
