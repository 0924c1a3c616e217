"""Wrong repairs of a CLIP loss, and another right one."""

import torch
import torch.nn.functional as F


def table_of(pictures, texts, temperature):
    return F.normalize(pictures, dim=1) @ F.normalize(texts, dim=1).T / temperature


def loss_of(logits):
    return F.cross_entropy(logits, torch.arange(len(logits)))


def hidden(names, diagonal=False):
    return torch.tensor(
        [
            [a == b and (diagonal or i != j) for j, b in enumerate(names)]
            for i, a in enumerate(names)
        ]
    )


def another(pictures, texts, names, temperature):
    logits = table_of(pictures, texts, temperature)
    logits = logits - 1e9 * hidden(names).float()
    own = logits.diagonal()
    return ((logits.logsumexp(0) + logits.logsumexp(1)) / 2 - own).mean()


def friends_are_enemies(pictures, texts, names, temperature):
    logits = table_of(pictures, texts, temperature)
    return (loss_of(logits) + loss_of(logits.T)) / 2


def masked(pictures, texts, names, temperature):
    return table_of(pictures, texts, temperature).masked_fill(
        hidden(names), float("-inf")
    )


def one_direction(pictures, texts, names, temperature):
    return loss_of(masked(pictures, texts, names, temperature))


def other_direction(pictures, texts, names, temperature):
    return loss_of(masked(pictures, texts, names, temperature).T)


def added(pictures, texts, names, temperature):
    return 2 * another(pictures, texts, names, temperature)


def summed(pictures, texts, names, temperature):
    return len(names) * another(pictures, texts, names, temperature)


def long_wins(pictures, texts, names, temperature):
    logits = (pictures @ texts.T / temperature).masked_fill(
        hidden(names), float("-inf")
    )
    return (loss_of(logits) + loss_of(logits.T)) / 2


def multiplied(pictures, texts, names, temperature):
    return another(pictures, texts, names, 1 / temperature)


def hidden_too_much(pictures, texts, names, temperature):
    logits = table_of(pictures, texts, temperature)
    logits = logits.masked_fill(hidden(names, diagonal=True), float("-inf"))
    return (loss_of(logits) + loss_of(logits.T)) / 2


def zero_is_no_mask(pictures, texts, names, temperature):
    logits = table_of(pictures, texts, temperature).masked_fill(hidden(names), 0.0)
    return (loss_of(logits) + loss_of(logits.T)) / 2


RIGHT = []

WRONG = [
    (friends_are_enemies, "negatives of each other"),
    (one_direction, "way back"),
    (other_direction, "other direction"),
    (added, "both directions are added"),
    (summed, "take the mean"),
    (long_wins, "length 1"),
    (multiplied, "divide by it"),
    (hidden_too_much, "the loss is inf"),
    (zero_is_no_mask, "four faults"),
]

# F.normalize takes dimension 1 by default, and the vectors have two dimensions
SAME = "dimension 1 of two is the last one, and the default"
EQUIVALENT = {
    "`F.normalize(pictures, dim=-1)` -> `F.normalize(pictures)`": SAME,
    "`F.normalize(texts, dim=-1)` -> `F.normalize(texts)`": SAME,
    "`-1` -> `1`": SAME,
    "`-1` -> `1` (2)": SAME,
}
