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


def in_a_turned_order(w, rows, gradient, rate, size, seed):
    for batch in ((torch.arange(rows) + seed + 1) % rows).split(size):
        w = w - rate * gradient(w, batch)
    return w


def shuffles_the_batches(w, rows, gradient, rate, size, seed):
    batches = torch.arange(rows).split(size)
    order = torch.cat([batches[i] for i in _order(len(batches), seed)])
    for batch in order.split(size):
        w = w - rate * gradient(w, batch)
    return w


def shuffles_each_batch(w, rows, gradient, rate, size, seed):
    for batch in torch.arange(rows).split(size):
        w = w - rate * gradient(w, batch[_order(len(batch), seed)])
    return w


def few_seeds(w, rows, gradient, rate, size, seed):
    return another(w, rows, gradient, rate, size, seed % 2)


def its_own_rate(w, rows, gradient, rate, size, seed):
    return another(w, rows, gradient, 0.1, size, seed)


def falling_rate(w, rows, gradient, rate, size, seed):
    for i, batch in enumerate(_order(rows, seed).split(size)):
        w = w - rate * 0.9**i * gradient(w, batch)
    return w


def smaller_last_step(w, rows, gradient, rate, size, seed):
    for batch in _order(rows, seed).split(size):
        w = w - rate * gradient(w, batch) * len(batch) / size
    return w


def before_the_last_update(w, rows, gradient, rate, size, seed):
    for batch in _order(rows, seed).split(size):
        before, w = w, w - rate * gradient(w, batch)
    return before


def asks_twice(w, rows, gradient, rate, size, seed):
    for batch in _order(rows, seed).split(size):
        if gradient(w, batch).norm() > 0:
            w = w - rate * gradient(w, batch)
    return w


def even_batches(w, rows, gradient, rate, size, seed):
    for batch in _order(rows, seed).tensor_split(-(-rows // size)):
        w = w - rate * gradient(w, batch)
    return w


def batches_of_five(w, rows, gradient, rate, size, seed):
    return another(w, rows, gradient, rate, 5, seed)


def by_a_loader(w, rows, gradient, rate, size, seed):
    order = torch.Generator().manual_seed(seed)
    for batch in torch.utils.data.DataLoader(
        range(rows), size, shuffle=True, generator=order
    ):
        w = w - rate * gradient(w, batch)
    return w


def on_a_copy(w, rows, gradient, rate, size, seed):
    torch.manual_seed(seed)
    w = w.clone()
    for batch in torch.randperm(rows).split(size):
        w -= rate * gradient(w, batch.sort().values)
    return w


WRONG = [
    (with_replacement, "read twice"),
    (drops_the_last, "rows are lost"),
    (in_file_order, "order of the file"),
    (stale, "first weights"),
    (uphill, "uphill"),
    (divided_again, "divide by the batch size again"),
    (in_place, "changes w"),
    (ignores_seed, "another seed"),
    (global_generator, "same seed"),
    (all_at_once, "more than size"),
    (in_a_turned_order, "equal steps"),
    (shuffles_the_batches, "[20, 21"),
    (shuffles_each_batch, "neighbouring rows"),
    (few_seeds, "five orders"),
    (its_own_rate, "still 0.1 times"),
    (falling_rate, "batch 2 of 5"),
    (smaller_last_step, "3 rows of the last batch"),
    (before_the_last_update, "last gradient is not used"),
    (asks_twice, "46 rows"),
    (even_batches, "[5, 5, 5, 4, 4]"),
    (batches_of_five, "in batches of 4"),
]

RIGHT = [by_a_loader, on_a_copy]
