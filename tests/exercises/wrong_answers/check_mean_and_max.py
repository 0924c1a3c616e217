"""Wrong ways to pool maps, and another right one."""

import torch
import torch.nn.functional as F


def another(maps):
    means = F.adaptive_avg_pool2d(maps, 1).flatten(1)
    return torch.hstack([means, F.adaptive_max_pool2d(maps, 1).flatten(1)])


def mean_only(maps):
    return maps.mean((2, 3))


def along_images(maps):
    return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))])


def keeps_sides(maps):
    return torch.cat(
        [F.adaptive_avg_pool2d(maps, 1), F.adaptive_max_pool2d(maps, 1)], 1
    )


def flattened(maps):
    return maps.flatten(1)


def max_first(maps):
    return torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], 1)


def absolute(maps):
    return torch.cat([maps.mean((2, 3)), maps.abs().amax((2, 3))], 1)


def from_zero(maps):
    return torch.cat([maps.mean((2, 3)), maps.clamp(min=0).amax((2, 3))], 1)


def fixed_size(maps):
    return torch.cat([maps.sum((2, 3)) / 24, maps.amax((2, 3))], 1)


def squeezed(maps):
    both = [maps.mean((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)]
    return torch.cat(both, 1).squeeze()


def half_detached(maps):
    return torch.cat([maps.mean((2, 3)), maps.detach().amax((2, 3))], 1)


def all_detached(maps):
    return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1).detach()


def viewed(maps):
    flat = maps.view(len(maps), maps.shape[1], -1)
    return torch.cat([flat.mean(2), flat.amax(2)], 1)


def columns_flattened(maps):
    """Right for maps that are contiguous in memory."""
    size = maps.shape[2] * maps.shape[3]
    strides = (maps.shape[1] * size, size, 1)
    flat = maps.as_strided((*maps.shape[:2], size), strides)
    return torch.cat([flat.mean(2), flat.amax(2)], 1)


def one_by_one(maps):
    """Right: in plain loops."""
    rows = [[m.mean() for m in x] + [m.max() for m in x] for x in maps]
    return torch.stack([torch.stack(row) for row in rows])


def side_by_side(maps):
    """Right: the maximum side by side, the mean as a quotient."""
    top = maps.max(3).values.max(2).values
    return torch.hstack([maps.sum((2, 3)) / (maps.shape[2] * maps.shape[3]), top])


def rounded(maps):
    return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1).round(decimals=3)


RIGHT = [one_by_one, side_by_side]

WRONG = [
    (mean_only, "5 numbers came back"),
    (along_images, "along the images"),
    (keeps_sides, "no height and no width"),
    (flattened, "reduce over dims 2 and 3"),
    (max_first, "maxima come first"),
    (absolute, "absolute values"),
    (from_zero, "came back as 0"),
    (fixed_size, "9 x 9"),
    (squeezed, "length 1 is kept"),
    (half_detached, "one half of the result"),
    (all_detached, "leave out detach()"),
    (viewed, "view size is not compatible"),
    (columns_flattened, "not contiguous in memory"),
    (rounded, "are rounded"),
]
