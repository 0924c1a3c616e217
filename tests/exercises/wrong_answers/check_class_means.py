"""Wrong class means, and another right one."""

import numpy as np
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


def in_blocks(vectors, labels, new):
    groups = [*vectors.split(torch.bincount(labels).tolist()), new]
    rows = [F.normalize(group, dim=-1).mean(0) for group in groups]
    return F.normalize(torch.stack(rows), dim=-1)


def squeezed(vectors, labels, new):
    groups = [vectors[labels == c] for c in range(int(labels.max()) + 1)] + [new]
    rows = [
        F.normalize(g, dim=-1).mean(0) if len(g) > 1 else g.squeeze() for g in groups
    ]
    return torch.stack([row / row.norm().clamp(max=2) for row in rows])


def two_classes_at_least(vectors, labels, new):
    rows = means(vectors, labels, new)
    return rows if len(rows) > 2 else torch.cat([rows[:1], rows])


def sum_is_one(vectors, labels, new):
    rows = means(vectors, labels, new, last=False)
    return rows / rows.abs().sum(-1, keepdim=True)


def along_the_texts(vectors, labels, new):
    rows = [F.normalize(vectors[labels == c], dim=0).mean(0) for c in labels.unique()]
    rows.append(F.normalize(new, dim=0).mean(0))
    return F.normalize(torch.stack(rows), dim=-1)


def with_numpy(vectors, labels, new):
    """Right: an array, class by class."""
    vectors, labels, new = vectors.numpy(), labels.numpy(), new.numpy()
    rows = []
    for group in [vectors[labels == c] for c in np.unique(labels)] + [new]:
        row = (group / np.linalg.norm(group, axis=1, keepdims=True)).mean(0)
        rows.append(row / np.linalg.norm(row))
    return np.array(rows)


def as_lists(vectors, labels, new):
    """Right: lists of numbers."""
    return means(vectors, labels, new).tolist()


def rounded(vectors, labels, new):
    return means(vectors, labels, new).round(decimals=3)


RIGHT = [with_numpy, as_lists]

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
    (in_blocks, "taken for neighbours"),
    (two_classes_at_least, "expected (2, 3)"),
    (squeezed, "one text is enough"),
    (sum_is_one, "have lengths [0.4"),
    (along_the_texts, "over the texts"),
    (rounded, "are rounded"),
]

EQUIVALENT = {
    "`int(labels.max())` -> `labels.max()`": (
        "range() takes a 0-d tensor of whole numbers"
    ),
    "`F.normalize(group, dim=-1).mean(0)` -> `F.normalize(group, dim=-1).sum(0)`": (
        "the sum and the mean point the same way, and are scaled to length 1"
    ),
    "`F.normalize(group, dim=-1)` -> `F.normalize(group)`": (
        "a tensor of two dimensions is normalized along dim 1, which is its last"
    ),
    "`-1` -> `1`": (
        "a tensor of two dimensions is normalized along dim 1, which is its last"
    ),
    "`F.normalize(torch.stack(means), dim=-1)` -> `F.normalize(torch.stack(means))`": (
        "a tensor of two dimensions is normalized along dim 1, which is its last"
    ),
    "`-1` -> `1` (2)": (
        "a tensor of two dimensions is normalized along dim 1, which is its last"
    ),
    "the result is detached": (
        "the means are a classifier made of finished vectors; nothing is trained "
        "through them"
    ),
}
