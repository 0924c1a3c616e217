"""Wrong gradients of the softmax cross-entropy, and another right form."""

import torch
import torch.nn.functional as F


def another(logits, labels):
    with torch.enable_grad():
        z = logits.clone().requires_grad_()
        loss = F.cross_entropy(z, labels)
        return loss.item(), torch.autograd.grad(loss, z)[0]


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
]
