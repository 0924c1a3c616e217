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


def ignored_as_an_index(logits, labels):
    log_p = logits.log_softmax(-1)
    return -log_p[torch.arange(4)[:, None], torch.arange(10), labels].sum()


def a_number(logits, labels):
    return another(logits, labels).item()


def without_graph(logits, labels):
    return another(logits, labels).detach()


def softmax_then_log(logits, labels):
    asked = labels != -100
    p = logits[asked].softmax(-1)
    return -p[torch.arange(len(p)), labels[asked]].log().sum()


def exponentials(logits, labels):
    asked = labels != -100
    x, y = logits[asked], labels[asked]
    return (x.exp().sum(-1).log() - x.gather(1, y[:, None])[:, 0]).sum()


def small_number_added(logits, labels):
    asked = labels != -100
    p = logits[asked].softmax(-1)
    return -(p[torch.arange(len(p)), labels[asked]] + 1e-9).log().sum()


def mean_times_count(logits, labels):
    asked = labels != -100
    return F.cross_entropy(logits[asked], labels[asked]) * asked.sum()


def rounded(logits, labels):
    return (another(logits, labels) * 100).round() / 100


def label_smoothing(logits, labels):
    return F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="sum", label_smoothing=0.1
    )


def first_four_rows(logits, labels):
    return sum(another(logits[i : i + 1], labels[i : i + 1]) for i in range(4))


def last_id_ignored(logits, labels):
    return another(logits, labels.masked_fill(labels == logits.shape[-1] - 1, -100))


def right_value_wrong_gradient(logits, labels):
    value = another(logits, labels).detach()
    return value + (logits - logits.detach()).mean()


def largest_logit(logits, labels):
    asked = labels != -100
    x, y = logits[asked], labels[asked]
    return (x.logsumexp(-1) - x.gather(1, y[:, None])[:, 0]).clamp(max=20).sum()


def position_by_position(logits, labels):
    total = logits.sum() * 0
    for b, t in (labels != -100).nonzero().tolist():
        total = total + logits[b, t].logsumexp(0) - logits[b, t, labels[b, t]]
    return total


def plain_call(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2).double(), labels, reduction="sum")


def graph_set_afterwards(logits, labels):
    with torch.no_grad():
        value = another(logits, labels)
    return value.requires_grad_()


WRONG = [
    (a_mean, "this is a mean;"),
    (over_all_places, "number of all positions"),
    (zero_is_asked, "count as targets with token 0"),
    (mean_with_zero, "mean in which ignored"),
    (zero_left_out, "ordinary id"),
    (sign, "wrong sign"),
    (in_bits, "bits"),
    (ignored_as_an_index, "counts from the end"),
    (a_number, "no gradient"),
    (without_graph, "cut off"),
    (softmax_then_log, "log_softmax"),
    (exponentials, "exp of such a logit"),
    (small_number_added, "cut off by a small number"),
    (mean_times_count, "without targets"),
    (rounded, "rounded"),
    (label_smoothing, "smoothing"),
    (first_four_rows, "another batch, of 6 rows"),
    (last_id_ignored, "the last id"),
    (right_value_wrong_gradient, "the value is correct"),
    (largest_logit, "clamped"),
    (graph_set_afterwards, "requires_grad was set afterwards"),
]

RIGHT = [position_by_position, plain_call]

EQUIVALENT = {
    "`100` -> `101`": "cross_entropy leaves out the labels of -100 itself",
    "`100` -> `99`": "cross_entropy leaves out the labels of -100 itself",
}
