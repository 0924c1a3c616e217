"""Wrong ways to draw few labels, and another right one."""

import random

import numpy as np
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


def by_class(labels):
    groups = {}
    for row, label in enumerate(labels):
        groups.setdefault(label, []).append(row)
    return [groups[c] for c in sorted(groups)]


def sorted_file(labels, per_class, seed):
    return [
        labels.index(c) + i
        for c in sorted(set(labels))
        for i in random.Random(seed).sample(range(labels.count(c)), per_class)
    ]


def a_block(labels, per_class, seed):
    starts = [
        seed * per_class % (len(rows) - per_class + 1) for rows in by_class(labels)
    ]
    return [
        row
        for rows, i in zip(by_class(labels), starts)
        for row in rows[i : i + per_class]
    ]


def never_the_last(labels, per_class, seed):
    draw, drawn = random.Random(seed), []
    for rows in by_class(labels):
        drawn += draw.sample(rows[:-1] if len(rows) > per_class else rows, per_class)
    return drawn


def one_class_fixed(labels, per_class, seed):
    draw, (first, *others) = random.Random(seed), by_class(labels)
    return first[:per_class] + [
        row for rows in others for row in draw.sample(rows, per_class)
    ]


def last_digit_of_the_seed(labels, per_class, seed):
    return another(labels, per_class, seed % 10)


def two_at_least(labels, per_class, seed):
    return another(labels, max(2, per_class), seed)


def with_replacement(labels, per_class, seed):
    draw = random.Random(seed)
    return [row for rows in by_class(labels) for row in draw.choices(rows, k=per_class)]


def with_numpy(labels, per_class, seed):
    """Right: an array of rows."""
    draw, labels = np.random.default_rng(seed), np.array(labels)
    drawn = [
        draw.choice(np.flatnonzero(labels == c), per_class, replace=False)
        for c in np.unique(labels)
    ]
    return np.concatenate(drawn)


def in_one_pass(labels, per_class, seed):
    """Right: one shuffle, and a count of what is left to take; the classes in any
    order.
    """
    order, left, drawn = list(range(len(labels))), dict.fromkeys(labels, per_class), []
    random.Random(seed).shuffle(order)
    for row in order:
        if left[labels[row]]:
            left[labels[row]] -= 1
            drawn.append(row)
    return drawn


def global_generator(labels, per_class, seed):
    """Right: the global generator, seeded at every call; the rows in a tensor."""
    torch.manual_seed(seed)
    rows = [torch.tensor(rows) for rows in by_class(labels)]
    return torch.cat([r[torch.randperm(len(r))[:per_class]] for r in rows])


RIGHT = [with_numpy, in_one_pass, global_generator]

WRONG = [
    (first_rows, "of one class"),
    (from_all, "draw inside each class"),
    (without_seed, "second call"),
    (seed_ignored, "another seed"),
    (with_repeats, "drawn twice"),
    (too_few, "rows came back"),
    (two_names, "classes 0, 2 and 5"),
    (sorted_file, "class c may stand anywhere"),
    (a_block, "choices of class 0"),
    (never_the_last, "never drawn"),
    (one_class_fixed, "same rows for every seed"),
    (last_digit_of_the_seed, "100 seeds give 10 choices"),
    (two_at_least, "per_class 1 and seed 3"),
    (with_replacement, "come twice"),
]

EQUIVALENT = {
    "`sorted(set(labels))` -> `set(labels)`": (
        "the task names no order of the classes, and that of a set of numbers is fixed"
    ),
}
