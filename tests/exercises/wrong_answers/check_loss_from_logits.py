"""Wrong cross-entropies from logits, and another right one."""

import math

import torch


def another(logits, labels):
    """The differences to the true class's logit: ln(sum of exp(z_k - z_y)), with the
    largest difference taken out.
    """
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist()):
        away = [z - row[label] for z in row]
        total += max(away) + math.log(sum(math.exp(d - max(away)) for d in away))
    return total / len(labels)


def _picked(values, labels):
    return values[torch.arange(len(labels)), labels]


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
    return -_picked(logits.log_softmax(1), labels).sum()


def in_bits(logits, labels):
    return -_picked(logits.log_softmax(1), labels).mean() / math.log(2)


def all_classes(logits, labels):
    return -logits.log_softmax(1).mean()


def mean_first(logits, labels):
    return -_picked(logits.softmax(1), labels).mean().log()


def no_minus(logits, labels):
    return _picked(logits.log_softmax(1), labels).mean()


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
]
