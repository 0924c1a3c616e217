"""Wrong cross-entropies from logits, and another right one."""

import math

import torch


def another(logits, labels):
    """The differences to the true class's logit: ln(sum of exp(z_k - z_y)), with the
    largest difference taken out.
    """
    total = 0.0
    for row, label in zip(logits, labels):
        away = row - row[label]
        total = total + max(away) + sum(math.e ** (away - max(away))).log()
    return total / len(labels)


def _picked(values, labels):
    return values[torch.arange(len(labels)), labels]


def _log_p(logits):
    z = logits - logits.amax(1, keepdim=True)
    return z - z.exp().sum(1, keepdim=True).log()


def naive(logits, labels):
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    return -_picked(p, labels).log().mean()


def softmax_first(logits, labels):
    return -_picked(logits.softmax(1), labels).log().mean()


def clamped(logits, labels):
    return -_picked(logits.softmax(1), labels).clamp(min=1e-12).log().mean()


def one_maximum(logits, labels):
    z = logits - logits.max()
    return (z.exp().sum(1).log() - _picked(z, labels)).mean()


def summed(logits, labels):
    return -_picked(_log_p(logits), labels).sum()


def in_bits(logits, labels):
    return -_picked(_log_p(logits), labels).mean() / math.log(2)


def all_classes(logits, labels):
    return -_log_p(logits).mean()


def mean_first(logits, labels):
    return -_picked(logits.softmax(1), labels).mean().log()


def no_minus(logits, labels):
    return _picked(_log_p(logits), labels).mean()


def built_in(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels)


def with_logsumexp(logits, labels):
    return (logits.logsumexp(1) - _picked(logits, labels)).mean()


def detached(logits, labels):
    return -_picked(_log_p(logits.detach()), labels).mean()


def a_number(logits, labels):
    return detached(logits, labels).item()


def half_detached(logits, labels):
    z = logits - logits.amax(1, keepdim=True)
    return (z.exp().sum(1).log() - _picked(z.detach(), labels)).mean()


def in_place(logits, labels):
    with torch.no_grad():
        logits -= logits.amax(1, keepdim=True)
    return -_picked(_log_p(logits), labels).mean()


def rounded(logits, labels):
    return (-_picked(_log_p(logits), labels).mean()).round(decimals=4)


def of_twelve(logits, labels):
    return -_picked(_log_p(logits), labels).sum() / 12


def down_the_columns(logits, labels):
    return -_picked(_log_p(logits.T).T, labels).mean()


def _less(logits, labels, shift):
    z = logits - shift
    return (z.exp().sum(1).log() - _picked(z, labels)).mean()


def less_the_mean(logits, labels):
    return _less(logits, labels, logits.mean(1, keepdim=True))


def less_the_largest_size(logits, labels):
    return _less(logits, labels, logits.abs().amax(1, keepdim=True))


def pairwise(logits, labels):
    total = logits[:, 0]
    for column in logits.T[1:]:
        total = torch.logaddexp(total, column)
    return (total - _picked(logits, labels)).mean()


def by_one_hot(logits, labels):
    z = logits.float() - logits.max(1, keepdim=True).values.detach()
    one_hot = torch.eye(logits.shape[1])[labels]
    log_p = z - z.exp().sum(1, keepdim=True).log()
    return -(log_p * one_hot).sum(1, keepdim=True).mean(0)


WRONG = [
    (naive, "infinity / infinity"),
    (softmax_first, "has become 0"),
    (clamped, "hides how wrong"),
    (one_maximum, "one maximum for all rows"),
    (summed, "sum over the rows"),
    (in_bits, "bits"),
    (all_classes, "every class of a row"),
    (mean_first, "mean first"),
    (no_minus, "sign"),
    (built_in, "calls cross_entropy"),
    (with_logsumexp, "calls logsumexp"),
    (detached, "cut off from the logits (detach, item"),
    (a_number, "return a tensor"),
    (half_detached, "not its gradient"),
    (in_place, "changes logits"),
    (rounded, "is rounded"),
    (of_twelve, "sizes from logits"),
    (down_the_columns, "down the columns"),
    (less_the_mean, "neither its mean"),
    (less_the_largest_size, "with its sign"),
]

RIGHT = [pairwise, by_one_hot]
