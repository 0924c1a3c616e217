"""Wrong rehearsals, and another right one."""

import itertools
import math
import random

import torch


def deal(new, memory, share, size, seed, shuffle=True, fair=True, past=None):
    rng, batches, pile = random.Random(seed), [], []
    past = round(share * size) if past is None else past
    new = rng.sample(new, len(new)) if shuffle else list(new)
    for i in range(0, len(new), size - past):
        while len(pile) < past:
            pile += rng.sample(memory, len(memory))
        old = pile[:past] if fair else [rng.choice(memory[:3]) for _ in range(past)]
        pile = pile[past:]
        batches.append(new[i : i + size - past] + old)
    return batches


def another(new, memory, share, size, seed):
    return deal(new, memory, share, size, seed)


def naive(new, memory, share, size, seed):
    return deal(new, memory, share, size, seed, past=0)


def with_repeats(new, memory, share, size, seed):
    batches = deal(new, memory, share, size, seed)
    return [[batches[0][0], *b[1:]] for b in batches]


def drops_the_rest(new, memory, share, size, seed):
    return [b for b in deal(new, memory, share, size, seed) if len(b) == size][:-1]


def on_top(new, memory, share, size, seed):
    rng, shuffled = random.Random(seed), random.Random(seed).sample(new, len(new))
    return [
        shuffled[i : i + size] + rng.sample(memory, 2) for i in range(0, len(new), size)
    ]


def old_batches(new, memory, share, size, seed):
    return [b for b in deal(new, memory, share, size, seed, past=0)] + [
        random.Random(seed).choices(memory, k=size)
    ]


def at_the_end(new, memory, share, size, seed):
    batches = deal(new, memory, share, size, seed, past=0)
    return [*batches[:-1], batches[-1] + memory[:1]]


def left_to_chance(new, memory, share, size, seed):
    rng, shuffled, batches = (
        random.Random(seed),
        random.Random(seed).sample(new, len(new)),
        [],
    )
    while shuffled:
        past = rng.choice([1, 3])
        batches.append(shuffled[: size - past] + rng.sample(memory, past))
        shuffled = shuffled[size - past :]
    return batches


def in_file_order(new, memory, share, size, seed):
    return deal(new, memory, share, size, seed, shuffle=False)


def favourites(new, memory, share, size, seed):
    return deal(new, memory, share, size, seed, fair=False)


def no_generator(new, memory, share, size, seed):
    return deal(new, memory, share, size, int(torch.randint(10**9, ())))


def one_seed(new, memory, share, size, seed):
    return deal(new, memory, share, size, 0)


def without_the_last(new, memory, share, size, seed):
    batches = deal(new, memory, share, size, seed)
    return [b for b in batches if len(b) == size]


def last_by_share(new, memory, share, size, seed):
    batches = deal(new, memory, share, size, seed)
    past = round(share * size)
    fresh = len(batches[-1]) - past
    return [*batches[:-1], batches[-1][: fresh + round(share * fresh)]]


def cut_off(new, memory, share, size, seed):
    return deal(new, memory, share, size, seed, past=int(share * size))


def rounded_up(new, memory, share, size, seed):
    return deal(new, memory, share, size, seed, past=math.ceil(share * size))


def filled_once(new, memory, share, size, seed, keep=1):
    rng, batches, pile, past = random.Random(seed), [], [], round(share * size)
    new = rng.sample(new, len(new))
    for i in range(0, len(new), size - past):
        if len(pile) < past:
            pile = keep * pile + rng.sample(memory, len(memory))
        batches.append(new[i : i + size - past] + pile[:past])
        pile = pile[past:]
    return batches


def pile_thrown_away(new, memory, share, size, seed):
    if len(memory) < round(share * size):
        return deal(new, memory, share, size, seed)
    return filled_once(new, memory, share, size, seed, keep=0)


def in_order(new, memory, share, size, seed, order):
    """As it should be, but the new rows come in `order(rows, random generator)`."""
    ordered = order(list(new), random.Random(seed))
    return deal(ordered, memory, share, size, seed, shuffle=False)


def shuffled_inside_batches(new, memory, share, size, seed):
    step = size - round(share * size)

    def order(rows, rng):
        cut = [rows[i : i + step] for i in range(0, len(rows), step)]
        return [r for part in cut for r in rng.sample(part, len(part))]

    return in_order(new, memory, share, size, seed, order)


def every_seventh(new, memory, share, size, seed):
    def order(rows, rng):
        return [row for start in range(7) for row in rows[start::7]]

    return in_order(new, memory, share, size, seed, order)


def new_rows_of_seed_0(new, memory, share, size, seed):
    def order(rows, rng):
        return random.Random(0).sample(rows, len(rows))

    return in_order(new, memory, share, size, seed, order)


def equal_rows_once(new, memory, share, size, seed):
    return deal(sorted(set(new)), memory, share, size, seed)


def half_goes_up(new, memory, share, size, seed):
    return deal(new, memory, share, size, seed, past=int(share * size + 0.5))


def one_at_least(new, memory, share, size, seed):
    past = max(1, round(share * size))
    return deal(new, memory, share, size, seed, past=past)


def seven_of_the_memory(new, memory, share, size, seed):
    return deal(new, memory[:7], share, size, seed)


def memory_in_turn(new, memory, share, size, seed):
    """Right: the memory in a circle; the task asks to shuffle only the new rows."""
    new, turn = list(new), itertools.cycle(memory)
    random.Random(seed).shuffle(new)
    past = round(share * size)
    return [
        new[i : i + size - past] + [next(turn) for _ in range(past)]
        for i in range(0, len(new), size - past)
    ]


def old_rows_anywhere(new, memory, share, size, seed):
    """Right: batches are tuples, shuffled inside as well."""
    rng = random.Random(seed + 1)
    batches = deal(new, memory, share, size, seed)
    return tuple(tuple(rng.sample(batch, len(batch))) for batch in batches)


def batches_of_eight(new, memory, share, size, seed):
    return deal(new, memory, share, 8, seed)


RIGHT = [memory_in_turn, old_rows_anywhere]

WRONG = [
    (naive, "naive training"),
    (with_repeats, "twice in one epoch"),
    (drops_the_rest, "cost the new task its texts"),
    (on_top, "not put on top"),
    (old_batches, "to and fro"),
    (at_the_end, "must include the old task"),
    (left_to_chance, "leave it to chance"),
    (in_file_order, "sorted by class"),
    (favourites, "shuffled queue"),
    (no_generator, "second call"),
    (one_seed, "another seed"),
    (without_the_last, "a batch is lost"),
    (last_by_share, "still 2 old"),
    (cut_off, "rounds to 3"),
    (rounded_up, "rounds to 2"),
    (filled_once, "`while`, not `if`"),
    (pile_thrown_away, "thrown away"),
    (shuffled_inside_batches, "before you cut them"),
    (every_seventh, "regular order"),
    (new_rows_of_seed_0, "use the seed for them too"),
    (equal_rows_once, "equal rows are rows as well"),
    (half_goes_up, "rounds a half to the even"),
    (one_at_least, "rounds to 0 old rows"),
    (seven_of_the_memory, "use the whole memory"),
    (batches_of_eight, "use `size`"),
]

EQUIVALENT = {
    "`len(pile) < past` -> `len(pile) <= past`": (
        "the pile is refilled a batch earlier, and still taken from its front"
    ),
}
