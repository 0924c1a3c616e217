"""Chapter 20: the loss of pairs."""

import torch
import torch.nn.functional as F


def another(chosen, rejected):
    return F.softplus(rejected - chosen).sum()


def as_cross_entropy(chosen, rejected):
    labels = torch.zeros(len(chosen), dtype=torch.long)
    scores = torch.stack([chosen, rejected], dim=1)
    return F.cross_entropy(scores, labels, reduction="sum")


def with_logaddexp(chosen, rejected):
    return torch.logaddexp(torch.zeros_like(chosen), rejected - chosen).sum()


def log_of_sigmoid(chosen, rejected):
    return -torch.sigmoid(chosen - rejected).log().sum()


def mean(chosen, rejected):
    return another(chosen, rejected) / len(chosen)


def turned(chosen, rejected):
    return another(rejected, chosen)


def positive(chosen, rejected):
    return -another(chosen, rejected)


def item(chosen, rejected):
    return another(chosen, rejected).item()


def each_pair(chosen, rejected):
    return torch.stack([F.softplus(rejected - chosen)] * 2)


def probability(chosen, rejected):
    return torch.sigmoid(rejected - chosen).sum()


RIGHT = [as_cross_entropy, with_logaddexp]

WRONG = [
    (log_of_sigmoid, "in one step"),
    (mean, "that is the mean"),
    (turned, "chosen one should win"),
    (positive, "minus the log"),
    (item, "no gradient"),
    (each_pair, "one number"),
    (probability, "natural logarithm"),
]
