"""Wrong ways to draw few labels, and another right one."""

import random

import torch


def another(labels, per_class, seed):
    drawn = []
    for c in sorted(set(labels)):
        rows = [r for r, label in enumerate(labels) if label == c]
        random.Random(seed * 1000 + c).shuffle(rows)
        drawn += rows[:per_class]
    return drawn


def first_rows(labels, per_class, seed):
    return list(range(per_class * len(set(labels))))


def from_all(labels, per_class, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(len(labels), generator=generator)[
        : per_class * len(set(labels))
    ].tolist()


def without_seed(labels, per_class, seed):
    return [
        r
        for c in sorted(set(labels))
        for r in random.sample(
            [i for i, label in enumerate(labels) if label == c], per_class
        )
    ]


def seed_ignored(labels, per_class, seed):
    return another(labels, per_class, 0)


def with_repeats(labels, per_class, seed):
    draw, classes = random.Random(seed), sorted(set(labels))
    return [
        draw.choice([i for i, label in enumerate(labels) if label == c][:6])
        for c in classes
        for _ in range(per_class)
    ]


def too_few(labels, per_class, seed):
    return another(labels, per_class // len(set(labels)), seed)


def two_names(labels, per_class, seed):
    return [r for r in another(labels, per_class, seed) if labels[r] in (0, 1)]


WRONG = [
    (first_rows, "of one class"),
    (from_all, "draw inside each class"),
    (without_seed, "second call"),
    (seed_ignored, "another seed"),
    (with_repeats, "drawn twice"),
    (too_few, "rows came back"),
    (two_names, "classes 0, 2 and 5"),
]
