"""Wrong ways to go on with the data, and another right one."""

import torch


def _order(rows, seed, epoch):
    return torch.randperm(
        rows, generator=torch.Generator().manual_seed(seed + epoch)
    ).tolist()


def another(rows, size, seed, first, last):
    everything, epoch = [], 0
    while len(everything) < last:
        everything += [
            list(part) for part in torch.tensor(_order(rows, seed, epoch)).split(size)
        ]
        epoch += 1
    return everything[first:last]


def printed(rows, size, seed, first, last):
    """What articles print: a loader is built, and the loop counts on from `first`."""
    found, step, epoch = [], first, 0
    while step < last:
        for part in torch.tensor(_order(rows, seed, epoch)).split(size):
            if step < last:
                found.append(part.tolist())
            step += 1
        epoch += 1
    return found


def epoch_again(rows, size, seed, first, last):
    per_epoch = -(-rows // size)
    start = first - first % per_epoch
    return another(rows, size, seed, start, start + last - first)


def order_of_epoch_0(rows, size, seed, first, last):
    skip = -(-rows // size) * (first // -(-rows // size))
    return another(rows, size, seed, first - skip, last - skip)


def one_order(rows, size, seed, first, last):
    return [
        _order(rows, seed, 0)[s % -(-rows // size) * size :][:size]
        for s in range(first, last)
    ]


def drops_the_rest(rows, size, seed, first, last):
    per_epoch = rows // size
    return [
        _order(rows, seed, s // per_epoch)[s % per_epoch * size :][:size]
        for s in range(first, last)
    ]


def one_epoch(rows, size, seed, first, last):
    return another(rows, size, seed, first, min(last, -(-rows // size)))


def not_shuffled(rows, size, seed, first, last):
    return [
        list(range(rows))[s % -(-rows // size) * size :][:size]
        for s in range(first, last)
    ]


WRONG = [
    (printed, "those of the end never"),
    (epoch_again, "its rows start over"),
    (order_of_epoch_0, "the order is that of epoch 0"),
    (one_order, "every epoch has the order of epoch 0"),
    (drops_the_rest, "never read"),
    (one_epoch, "the next one begins"),
    (not_shuffled, "without any interruption"),
]
