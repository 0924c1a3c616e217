"""Wrong epochs, and another right one."""

import random

import torch


def another(w, rows, gradient, rate, size, seed):
    left = list(range(rows))
    random.Random(seed).shuffle(left)
    while left:
        batch, left = left[:size], left[size:]
        w = w - rate * gradient(w, torch.tensor(batch))
    return w


def _order(rows, seed):
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))


def with_replacement(w, rows, gradient, rate, size, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(rows // size + 1):
        w = w - rate * gradient(w, torch.randint(rows, (size,), generator=generator))
    return w


def drops_the_last(w, rows, gradient, rate, size, seed):
    order = _order(rows, seed)
    for start in range(0, rows - size + 1, size):
        w = w - rate * gradient(w, order[start : start + size])
    return w


def in_file_order(w, rows, gradient, rate, size, seed):
    for batch in torch.arange(rows).split(size):
        w = w - rate * gradient(w, batch)
    return w


def stale(w, rows, gradient, rate, size, seed):
    slopes = [gradient(w, batch) for batch in _order(rows, seed).split(size)]
    return w - rate * sum(slopes)


def uphill(w, rows, gradient, rate, size, seed):
    for batch in _order(rows, seed).split(size):
        w = w + rate * gradient(w, batch)
    return w


def divided_again(w, rows, gradient, rate, size, seed):
    for batch in _order(rows, seed).split(size):
        w = w - rate * gradient(w, batch) / len(batch)
    return w


def in_place(w, rows, gradient, rate, size, seed):
    for batch in _order(rows, seed).split(size):
        w -= rate * gradient(w, batch)
    return w


def ignores_seed(w, rows, gradient, rate, size, seed):
    for batch in _order(rows, 0).split(size):
        w = w - rate * gradient(w, batch)
    return w


def global_generator(w, rows, gradient, rate, size, seed):
    for batch in torch.randperm(rows).split(size):
        w = w - rate * gradient(w, batch)
    return w


def all_at_once(w, rows, gradient, rate, size, seed):
    return w - rate * gradient(w, _order(rows, seed))


WRONG = [
    (with_replacement, "read twice"),
    (drops_the_last, "rows are lost"),
    (in_file_order, "order of the file"),
    (stale, "first weights"),
    (uphill, "uphill"),
    (divided_again, "divide by the batch size again"),
    (in_place, "changes the weights it was given"),
    (ignores_seed, "another seed"),
    (global_generator, "same seed"),
    (all_at_once, "more than size"),
]
