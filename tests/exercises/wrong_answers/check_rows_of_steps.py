"""Wrong ways to go on with the data, and another right one."""

import itertools

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


def four_written_in(rows, size, seed, first, last):
    return another(rows, 4, seed, first, last)


def seed_forgotten(rows, size, seed, first, last):
    return another(rows, size, 7 if seed else 0, first, last)


def at_most_twelve_rows(rows, size, seed, first, last):
    return another(min(rows, 12), size, seed, first, last)


def last_step_too(rows, size, seed, first, last):
    return another(rows, size, seed, first, last + 1)


def first_step_missing(rows, size, seed, first, last):
    return another(rows, size, seed, first + 1, last)


def rest_joins_next_epoch(rows, size, seed, first, last):
    everything, epoch = [], 0
    while len(everything) < last * size:
        everything += _order(rows, seed, epoch)
        epoch += 1
    return [everything[s * size : (s + 1) * size] for s in range(first, last)]


def full_batches_by_wrapping(rows, size, seed, first, last):
    per_epoch, found = -(-rows // size), []
    for step in range(first, last):
        epoch, position = divmod(step, per_epoch)
        order = _order(rows, seed, epoch) * 2
        found.append(order[position * size : (position + 1) * size])
    return found


def sorted_rows(rows, size, seed, first, last):
    return [sorted(step) for step in another(rows, size, seed, first, last)]


def flat(rows, size, seed, first, last):
    return sum(another(rows, size, seed, first, last), [])


def one_generator(rows, size, seed, first, last):
    generator, everything = torch.Generator().manual_seed(seed), []
    while len(everything) < last:
        order = torch.randperm(rows, generator=generator)
        everything += [part.tolist() for part in order.split(size)]
    return everything[first:last]


def tensors(rows, size, seed, first, last):
    found, per_epoch = [], (rows + size - 1) // size
    for step in range(first, last):
        torch.manual_seed(seed + step // per_epoch)
        order = torch.randperm(rows)
        found.append(order.split(size)[step % per_epoch])
    return tuple(found)


def with_a_sampler(rows, size, seed, first, last):
    def steps():
        for epoch in itertools.count():
            order = _order(rows, seed, epoch)
            yield from torch.utils.data.BatchSampler(order, size, drop_last=False)

    return list(itertools.islice(steps(), first, last))


WRONG = [
    (printed, "those of the end never"),
    (epoch_again, "its rows start over"),
    (order_of_epoch_0, "the order is that of epoch 0"),
    (one_order, "every epoch has the order of epoch 0"),
    (drops_the_rest, "never read"),
    (one_epoch, "the next one begins"),
    (not_shuffled, "order of the file"),
    (four_written_in, "steps of 3"),
    (seed_forgotten, "seed 5, "),
    (at_most_twelve_rows, "for 30 rows"),
    (last_step_too, "gave 10 lists"),
    (first_step_missing, "gave 8 lists"),
    (rest_joins_next_epoch, "filled up with rows of the next"),
    (full_batches_by_wrapping, "twice in one epoch"),
    (sorted_rows, "sorted"),
    (flat, "one list"),
    (one_generator, "one generator"),
]

RIGHT = [tensors, with_a_sampler]
