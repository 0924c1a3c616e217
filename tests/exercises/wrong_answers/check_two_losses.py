"""Wrong ways to take a masked loss apart, and other right ones."""

import torch


def another(losses, input_ids, labels, mask_id):
    sums, counts = [0.0, 0.0], [0, 0]
    rows = zip(losses.tolist(), input_ids.tolist(), labels.tolist())
    for row in rows:
        for nats, shown, label in zip(*row):
            if label != -100:
                kind = int(shown != mask_id)
                sums[kind] += nats
                counts[kind] += 1
    return sums[0] / counts[0], sums[1] / counts[1]


def _kinds(input_ids, labels, mask_id):
    target = labels != -100
    return target & (input_ids == mask_id), target & (input_ids != mask_id)


def _means(losses, kinds):
    return tuple(losses[kind].mean() for kind in kinds)


def every_mask(losses, input_ids, labels, mask_id):
    hidden, visible = _kinds(input_ids, labels, mask_id)
    return _means(losses, (input_ids == mask_id, visible))


def every_visible(losses, input_ids, labels, mask_id):
    hidden, _ = _kinds(input_ids, labels, mask_id)
    return _means(losses, (hidden, input_ids != mask_id))


def all_targets_first(losses, input_ids, labels, mask_id):
    _, visible = _kinds(input_ids, labels, mask_id)
    return _means(losses, (labels != -100, visible))


def all_targets_second(losses, input_ids, labels, mask_id):
    hidden, _ = _kinds(input_ids, labels, mask_id)
    return _means(losses, (hidden, labels != -100))


def exchanged(losses, input_ids, labels, mask_id):
    return another(losses, input_ids, labels, mask_id)[::-1]


def kept_alone(losses, input_ids, labels, mask_id):
    hidden, _ = _kinds(input_ids, labels, mask_id)
    return _means(losses, (hidden, input_ids == labels))


def random_alone(losses, input_ids, labels, mask_id):
    hidden, visible = _kinds(input_ids, labels, mask_id)
    return _means(losses, (hidden, visible & (input_ids != labels)))


def no_targets(losses, input_ids, labels, mask_id):
    hidden, _ = _kinds(input_ids, labels, mask_id)
    return _means(losses, (hidden, labels == -100))


def sums(losses, input_ids, labels, mask_id):
    return tuple(losses[kind].sum() for kind in _kinds(input_ids, labels, mask_id))


def second_sum(losses, input_ids, labels, mask_id):
    hidden, visible = _kinds(input_ids, labels, mask_id)
    return losses[hidden].mean(), losses[visible].sum()


def by_all_targets(losses, input_ids, labels, mask_id):
    kinds = _kinds(input_ids, labels, mask_id)
    return tuple(losses[kind].sum() / (labels != -100).sum() for kind in kinds)


def _rows(losses, kind):
    means = [row[part].mean() for row, part in zip(losses, kind) if part.any()]
    return torch.stack(means).mean()


def means_of_rows(losses, input_ids, labels, mask_id):
    return tuple(_rows(losses, kind) for kind in _kinds(input_ids, labels, mask_id))


def second_by_rows(losses, input_ids, labels, mask_id):
    hidden, visible = _kinds(input_ids, labels, mask_id)
    return losses[hidden].mean(), _rows(losses, visible)


def median(losses, input_ids, labels, mask_id):
    hidden, visible = _kinds(input_ids, labels, mask_id)
    return losses[hidden].median(), losses[visible].mean()


def always_four(losses, input_ids, labels, mask_id):
    return _means(losses, _kinds(input_ids, labels, 4))


def one_mask_a_row(losses, input_ids, labels, mask_id):
    hidden, visible = _kinds(input_ids, labels, mask_id)
    first = hidden & (hidden.cumsum(1) == 1)
    return _means(losses, (first, visible))


def rounded(losses, input_ids, labels, mask_id):
    return tuple(round(x, 2) for x in another(losses, input_ids, labels, mask_id))


def one_number(losses, input_ids, labels, mask_id):
    return losses[labels != -100].mean()


def with_where(losses, input_ids, labels, mask_id):
    found = []
    for kind in _kinds(input_ids, labels, mask_id):
        found.append((losses * kind).sum() / kind.sum())
    return found


def with_numpy(losses, input_ids, labels, mask_id):
    losses, ids, labels = (x.numpy() for x in (losses, input_ids, labels))
    target, hidden = labels != -100, ids == mask_id
    return losses[target & hidden].mean(), losses[target & ~hidden].mean()


WRONG = [
    (every_mask, "the first number is wrong: it counts positions"),
    (every_visible, "the second number is wrong: it counts positions"),
    (all_targets_first, "first number is the mean over all targets"),
    (all_targets_second, "second number is the mean over all targets"),
    (exchanged, "exchanged"),
    (kept_alone, "show another token"),
    (random_alone, "show their own token"),
    (no_targets, "of no target at all"),
    (sums, "the first number is a sum"),
    (second_sum, "the second number is a sum"),
    (by_all_targets, "first sum is divided by all"),
    (means_of_rows, "first number is a mean of the rows"),
    (second_by_rows, "second number is a mean of the rows"),
    (median, "a median"),
    (always_four, "not a number"),
    (one_mask_a_row, "and not"),
    (rounded, "is rounded"),
    (one_number, "return two numbers"),
]

RIGHT = [with_where, with_numpy]
