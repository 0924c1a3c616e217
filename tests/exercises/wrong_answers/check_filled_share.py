"""Wrong shares of text in padded batches, and another right one."""

import numpy as np
import torch


def another(lengths, batch):
    text = places = 0
    while lengths:
        now, lengths = lengths[:batch], lengths[batch:]
        text += sum(now)
        places += max(now) * len(now)
    return text / places


def _cut(lengths, batch):
    return [lengths[i : i + batch] for i in range(0, len(lengths), batch)]


def waste(lengths, batch):
    return 1 - another(lengths, batch)


def one_width(lengths, batch):
    return sum(lengths) / (len(lengths) * max(lengths))


def mean_of_shares(lengths, batch):
    parts = _cut(lengths, batch)
    return sum(sum(b) / (len(b) * max(b)) for b in parts) / len(parts)


def full_last_batch(lengths, batch):
    return sum(lengths) / sum(batch * max(b) for b in _cut(lengths, batch))


def by_length(lengths, batch):
    return another(sorted(lengths), batch)


def without_the_rest(lengths, batch):
    return another(lengths[: len(lengths) // batch * batch], batch)


def upside_down(lengths, batch):
    return 1 / another(lengths, batch)


def batches_of_three(lengths, batch):
    return another(lengths, 3)


def longest_first(lengths, batch):
    return sum(lengths) / sum(len(b) * b[0] for b in _cut(lengths, batch))


def rounded(lengths, batch):
    return round(another(lengths, batch), 2)


def percent(lengths, batch):
    return 100 * another(lengths, batch)


def multiple_of_eight(lengths, batch):
    positions = sum(len(b) * -(-max(b) // 8) * 8 for b in _cut(lengths, batch))
    return sum(lengths) / positions


def dealt_in_turn(lengths, batch):
    number = -(-len(lengths) // batch)
    parts = [lengths[i::number] for i in range(number)]
    return sum(lengths) / sum(len(b) * max(b) for b in parts)


def last_text_is_longest(lengths, batch):
    return sum(lengths) / sum(len(b) * b[-1] for b in _cut(lengths, batch))


def at_least_a_full_batch(lengths, batch):
    parts = _cut(lengths, batch)
    rows = [batch] if len(parts) == 1 else [len(b) for b in parts]
    return sum(lengths) / sum(n * max(b) for n, b in zip(rows, parts))


def whole_division(lengths, batch):
    return sum(lengths) // sum(len(b) * max(b) for b in _cut(lengths, batch))


def with_numpy(lengths, batch):
    x = np.asarray(lengths, dtype=np.float32)
    starts = np.arange(0, len(x), batch)
    widths = np.maximum.reduceat(x, starts)
    rows = np.diff(np.append(starts, len(x)))
    return x.sum() / (widths * rows).sum()


def padded(lengths, batch):
    filled = places = torch.tensor(0)
    for part in torch.tensor(lengths).split(batch):
        real = torch.arange(int(part.max())) < part[:, None]
        filled, places = filled + real.sum(), places + real.numel()
    return filled / places


WRONG = [
    (waste, "fraction that is padding"),
    (one_width, "pad each batch to its own longest text"),
    (mean_of_shares, "mean of the batches"),
    (full_last_batch, "last batch has 2 texts"),
    (by_length, "sort by length"),
    (without_the_rest, "left out"),
    (upside_down, "positions over text"),
    (batches_of_three, "in batches of 8"),
    (longest_first, "positions"),
    (rounded, "rounded"),
    (percent, "percentage"),
    (multiple_of_eight, "multiple of 8"),
    (dealt_in_turn, "in turn"),
    (last_text_is_longest, "last text"),
    (at_least_a_full_batch, "4 texts in batches of 10"),
    (whole_division, "whole number"),
]

RIGHT = [with_numpy, padded]
