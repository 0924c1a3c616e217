"""Wrong class means, and another right one."""

import torch
import torch.nn.functional as F


def means(vectors, labels, new, each=True, last=True):
    scale = F.normalize if each else (lambda v, dim: v)
    rows = torch.stack(
        [
            scale(vectors[labels == c], dim=-1).mean(0)
            for c in range(int(labels.max()) + 1)
        ]
        + [scale(new, dim=-1).mean(0)]
    )
    return F.normalize(rows, dim=-1) if last else rows


def another(vectors, labels, new):
    everything, classes = (
        torch.cat([vectors, new]),
        torch.cat([labels, torch.full((len(new),), int(labels.max()) + 1)]),
    )
    unit = everything / everything.norm(dim=-1, keepdim=True)
    # the mean and the sum point the same way
    sums = F.one_hot(classes).float().T @ unit
    return sums / sums.norm(dim=-1, keepdim=True)


def plain(vectors, labels, new):
    return means(vectors, labels, new, each=False, last=False)


def last_only(vectors, labels, new):
    return means(vectors, labels, new, each=False)


def first_only(vectors, labels, new):
    return means(vectors, labels, new, last=False)


def in_front(vectors, labels, new):
    return means(vectors, labels, new).roll(1, 0)


def drifted(vectors, labels, new):
    rows = means(vectors, labels, new)
    return torch.cat([F.normalize(rows[:3] + 0.1 * rows[3], dim=-1), rows[3:]])


def one_text(vectors, labels, new):
    rows = means(vectors, labels, new)
    return torch.cat([rows[:3], F.normalize(new[:1], dim=-1)])


def without_new(vectors, labels, new):
    return means(vectors, labels, new)[:3]


def three_classes(vectors, labels, new):
    return means(vectors[labels < 3], labels[labels < 3], new)


def drops_above_three(vectors, labels, new):
    rows = means(vectors, labels.clamp(max=3), new)
    return torch.cat(
        [
            rows[:-1],
            rows[-2:-1].expand(int(labels.max()) + 2 - len(rows), -1),
            rows[-1:],
        ]
    )


WRONG = [
    (plain, "plain means"),
    (last_only, "scale each text first"),
    (first_only, "scale the means too"),
    (in_front, "append it as the last row"),
    (drifted, "must not enter them"),
    (one_text, "treat it like the old ones"),
    (without_new, "(4, 6)"),
    (three_classes, "take C from the labels"),
    (drops_above_three, "number of classes written into"),
]
