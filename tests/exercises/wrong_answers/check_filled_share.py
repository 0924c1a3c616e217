"""Wrong shares of text in padded batches, and another right one."""


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
]
