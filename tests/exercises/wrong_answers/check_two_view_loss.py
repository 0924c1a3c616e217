"""Wrong ways to write the loss of SimCLR, and another right one."""

import torch
import torch.nn.functional as F


def table(first, second, temperature):
    views = F.normalize(torch.cat([first, second]), dim=-1)
    return views @ views.T / temperature


def another(first, second, temperature):
    logits = table(first, second, temperature)
    others = ~torch.eye(len(logits), dtype=torch.bool)
    B = len(first)
    own = torch.cat([logits.diagonal(B), logits.diagonal(-B)])
    return (logits.where(others, logits.new_tensor(-1e9)).logsumexp(1) - own).mean()


def the_sum(first, second, temperature):
    return another(first, second, temperature) * 2 * len(first)


def over_pictures(first, second, temperature):
    return another(first, second, temperature) * 2


def finds_itself(first, second, temperature):
    logits = table(first, second, temperature)
    return F.cross_entropy(logits, torch.arange(len(logits)).roll(len(first)))


def any_length(first, second, temperature):
    views = torch.cat([first, second])
    logits = (views @ views.T / temperature).fill_diagonal_(float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(logits)).roll(len(first)))


def multiplied(first, second, temperature):
    return another(first, second, 1 / temperature)


def no_temperature(first, second, temperature):
    return another(first, second, 1.0)


def half(first, second, temperature):
    logits = table(first, second, temperature).fill_diagonal_(float("-inf"))
    B = len(first)
    return F.cross_entropy(logits[:B], torch.arange(B, 2 * B))


def other_half(first, second, temperature):
    logits = table(first, second, temperature).fill_diagonal_(float("-inf"))
    B = len(first)
    return F.cross_entropy(logits[B:], torch.arange(B))


def one_kind(first, second, temperature):
    logits = table(first, second, temperature)
    B = len(first)
    return F.cross_entropy(logits[:B, B:], torch.arange(B))


def as_clip(first, second, temperature):
    logits = table(first, second, temperature)[: len(first), len(first) :]
    own = torch.arange(len(first))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def neighbour(first, second, temperature):
    logits = table(first, second, temperature).fill_diagonal_(float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(logits)).roll(1))


def detached(first, second, temperature):
    return another(first.detach(), second, temperature)


def a_number(first, second, temperature):
    return another(first, second, temperature).item()


RIGHT = []

WRONG = [
    (the_sum, "take the mean"),
    (over_pictures, "all 2B views"),
    (finds_itself, "finds itself"),
    (any_length, "length 1"),
    (multiplied, "divide by the temperature"),
    (no_temperature, "does nothing"),
    (half, "only the first views"),
    (other_half, "only the second views"),
    (one_kind, "2B rows and columns"),
    (as_clip, "loss of CLIP"),
    (neighbour, "the partner of view i is"),
    (detached, "detach nothing"),
    (a_number, "tensor of one number"),
]

# F.normalize takes dimension 1 by default, and the vectors have two dimensions
SAME = "dimension 1 of two is the last one, and the default"
EQUIVALENT = {
    "`F.normalize(torch.cat([first, second]), dim=-1)` -> "
    "`F.normalize(torch.cat([first, second]))`": SAME,
    "`-1` -> `1`": SAME,
}
