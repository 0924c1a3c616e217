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


WRONG = [
    (mean_only, "5 numbers came back"),
    (along_images, "along the images"),
    (keeps_sides, "no height and no width"),
    (flattened, "reduce over dims 2 and 3"),
    (max_first, "maxima come first"),
    (absolute, "absolute values"),
    (from_zero, "came back as 0"),
    (fixed_size, "9 x 9"),
]
