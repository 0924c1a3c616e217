"""Chapter 15: the best span whose ends fit together."""

import torch


def another(start, end, longest):
    scores = start[:, None] + end
    ones = torch.ones_like(scores)
    valid = (ones.triu() - ones.triu(longest)).bool()
    best = scores.masked_fill(~valid, float("-inf")).argmax()
    return divmod(int(best), len(start))


def each_alone(start, end, longest):
    return int(start.argmax()), int(end.argmax())


def end_after_start(start, end, longest):
    first = int(start.argmax())
    return first, first + int(end[first : first + longest].argmax())


def any_length(start, end, longest):
    return another(start, end, len(start))


def one_too_short(start, end, longest):
    return another(start, end, max(1, longest - 1))


def product(start, end, longest):
    pairs = [
        (float(start[i] * end[j]), i, j)
        for i in range(len(start))
        for j in range(i, min(i + longest, len(start)))
    ]
    return max(pairs)[1:]


def as_tensor(start, end, longest):
    """Right: a tensor of two."""
    return torch.tensor(another(start, end, longest))


RIGHT = [as_tensor]

WRONG = [
    (each_alone, "ends before it starts"),
    (end_after_start, "try every pair"),
    (any_length, "are allowed"),
    (one_too_short, "try every pair"),
    (product, "try every pair"),
]

EQUIVALENT = {
    "`min(i + longest, len(start))` -> `min(len(start), i + longest)`": (
        "the smaller of two numbers, in whatever order"
    ),
}
