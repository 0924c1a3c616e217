"""Wrong gradients of the softmax cross-entropy, and another right form."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def another(logits, labels):
    """Row by row, in Python's numbers."""
    loss, gradient = 0.0, []
    for row, label in zip(logits.tolist(), labels.tolist()):
        away = [math.exp(z - max(row)) for z in row]
        loss += max(row) + math.log(sum(away)) - row[label]
        p = [each / sum(away) for each in away]
        gradient.append([(q - (k == label)) / len(labels) for k, q in enumerate(p)])
    return loss / len(labels), gradient


def _gradient(logits, labels):
    return (logits.softmax(1) - F.one_hot(labels, logits.shape[1])) / len(labels)


def sum_of_losses(logits, labels):
    return F.cross_entropy(logits, labels, reduction="sum"), _gradient(
        logits, labels
    ) * len(labels)


def not_divided(logits, labels):
    return F.cross_entropy(logits, labels), _gradient(logits, labels) * len(labels)


def turned_round(logits, labels):
    return F.cross_entropy(logits, labels), -_gradient(logits, labels)


def softmax_alone(logits, labels):
    return F.cross_entropy(logits, labels), logits.softmax(1) / len(labels)


def label_alone(logits, labels):
    return F.cross_entropy(logits, labels), _gradient(logits, labels) * F.one_hot(
        labels, logits.shape[1]
    )


def down_the_columns(logits, labels):
    p = logits.softmax(0)
    loss = -p[torch.arange(len(labels)), labels].log().mean()
    return loss, (p - F.one_hot(labels, logits.shape[1])) / len(labels)


def overflows(logits, labels):
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    one_hot = F.one_hot(labels, logits.shape[1])
    return -(p.log() * one_hot).sum() / len(labels), (p - one_hot) / len(labels)


def writes_into_the_logits(logits, labels):
    gradient = logits.sub_(logits.max(1, keepdim=True).values).softmax(1)
    return F.cross_entropy(logits, labels), gradient


def of_each_row(logits, labels):
    return F.cross_entropy(logits, labels, reduction="none"), _gradient(logits, labels)


def by_autograd(logits, labels):
    with torch.enable_grad():
        z = logits.clone().requires_grad_()
        loss = F.cross_entropy(z, labels)
        return loss.item(), torch.autograd.grad(loss, z)[0]


def of_six(logits, labels):
    factor = len(labels) / 6
    return F.cross_entropy(logits, labels) * factor, _gradient(logits, labels) * factor


def rounded_loss(logits, labels):
    return round(F.cross_entropy(logits, labels).item(), 4), _gradient(logits, labels)


def rounded_gradient(logits, labels):
    return F.cross_entropy(logits, labels), _gradient(logits, labels).round(decimals=3)


def limited(logits, labels):
    return with_the_library(logits.clamp(-100, 100), labels)


def with_the_library(logits, labels):
    return F.cross_entropy(logits, labels), _gradient(logits, labels)


def _less(logits, labels, shift):
    z = logits - shift
    log_p = z - z.exp().sum(1, keepdim=True).log()
    one_hot = F.one_hot(labels, logits.shape[1])
    return -(log_p * one_hot).sum() / len(labels), (log_p.exp() - one_hot) / len(labels)


def less_the_mean(logits, labels):
    return _less(logits, labels, logits.mean(1, keepdim=True))


def less_the_largest_of_all(logits, labels):
    return _less(logits, labels, logits.max())


def the_loss_alone(logits, labels):
    return F.cross_entropy(logits, labels)


def every_label_in_every_row(logits, labels):
    p = logits.softmax(1)
    p[:, labels] -= 1
    return F.cross_entropy(logits, labels), p / len(labels)


def in_numpy(logits, labels):
    z, rows = (
        logits.numpy() - logits.numpy().max(1, keepdims=True),
        np.arange(len(logits)),
    )
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    gradient = np.exp(log_p)
    gradient[rows, labels.numpy()] -= 1
    return [-log_p[rows, labels.numpy()].mean(), gradient / len(rows)]


def in_single_precision(logits, labels):
    return with_the_library(logits.float(), labels)


WRONG = [
    (sum_of_losses, "loss is a sum"),
    (not_divided, "N times too large"),
    (turned_round, "wrong sign"),
    (softmax_alone, "softmax alone"),
    (label_alone, "only the label's own logit"),
    (down_the_columns, "down the columns"),
    (overflows, "overflows"),
    (writes_into_the_logits, "work on a copy"),
    (of_each_row, "one number"),
    (by_autograd, "without autograd"),
    (of_six, "not for 1 of 5"),
    (rounded_loss, "the loss is rounded"),
    (rounded_gradient, "the gradient is rounded"),
    (limited, "limit on p or on the logits"),
    (less_the_mean, "[1000.0, -1000.0]"),
    (less_the_largest_of_all, "numbers far below 0"),
    (the_loss_alone, "the pair"),
    (every_label_in_every_row, "for logit ("),
]

RIGHT = [with_the_library, in_numpy, in_single_precision]

EQUIVALENT = {
    "the result is detached": "the gradient is beside it; nothing is trained through"
}
