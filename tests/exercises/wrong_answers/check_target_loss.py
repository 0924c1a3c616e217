"""Wrong ways to sum the loss over asked places, and another right one."""

import math

import torch
import torch.nn.functional as F


def another(logits, labels):
    log_p = logits.log_softmax(-1)
    picked = -log_p.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
    return (picked * (labels != -100)).sum()


def a_mean(logits, labels):
    asked = labels != -100
    return F.cross_entropy(logits[asked], labels[asked])


def over_all_places(logits, labels):
    return another(logits, labels) / labels.numel()


def zero_is_asked(logits, labels):
    return F.cross_entropy(
        logits.flatten(0, 1), labels.flatten().clamp(min=0), reduction="sum"
    )


def mean_with_zero(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten().clamp(min=0))


def zero_left_out(logits, labels):
    asked = labels > 0
    return F.cross_entropy(logits[asked], labels[asked], reduction="sum")


def sign(logits, labels):
    return -another(logits, labels)


def in_bits(logits, labels):
    return another(logits, labels) / math.log(2)


def index_error(logits, labels):
    log_p = logits.log_softmax(-1)
    return -log_p[torch.arange(4)[:, None], torch.arange(10), labels].sum()


WRONG = [
    (a_mean, "this is a mean;"),
    (over_all_places, "number of all positions"),
    (zero_is_asked, "count as targets with token 0"),
    (mean_with_zero, "mean in which ignored"),
    (zero_left_out, "ordinary id"),
    (sign, "wrong sign"),
    (in_bits, "bits"),
    (index_error, "IndexError"),
]
