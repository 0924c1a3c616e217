"""Wrong intersections over union, and another right form."""

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
]
