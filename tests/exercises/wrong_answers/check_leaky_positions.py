"""Chapter 16: which positions see what they have to predict."""

import torch


def another(logits_of, labels, vocab):
    before, leaky = logits_of(labels), []
    for t in range(len(labels)):
        changed = labels.clone()
        for i in range(t, len(labels)):
            changed[i] = (labels[i] + 5) % vocab
        if (logits_of(changed)[t] - before[t]).abs().max() > 1e-9:
            leaky.append(t)
    return leaky


def several_tries(logits_of, labels, vocab):
    leaky = set()
    for shift in range(1, vocab):
        for t in range(len(labels)):
            changed = labels.clone()
            changed[t:] = (labels[t:] + shift) % vocab
            if not torch.allclose(logits_of(changed)[t], logits_of(labels)[t]):
                leaky.add(t)
    return sorted(leaky)


def change_all(logits_of, labels, vocab):
    same = logits_of(labels) == logits_of((labels + 1) % vocab)
    return [t for t in range(len(labels)) if not same[t].all()]


def from_the_next(logits_of, labels, vocab):
    leaky = []
    for t in range(len(labels)):
        changed = labels.clone()
        changed[t + 1 :] = (labels[t + 1 :] + 1) % vocab
        if not torch.equal(logits_of(changed)[t], logits_of(labels)[t]):
            leaky.append(t)
    return leaky


def change_before(logits_of, labels, vocab):
    leaky = []
    for t in range(len(labels)):
        changed = labels.clone()
        changed[: t + 1] = (labels[: t + 1] + 1) % vocab
        if not torch.equal(logits_of(changed)[t], logits_of(labels)[t]):
            leaky.append(t)
    return leaky


def outside(logits_of, labels, vocab):
    leaky = []
    for t in range(len(labels)):
        changed = labels.clone()
        changed[t:] = vocab
        if not torch.equal(logits_of(changed)[t], logits_of(labels)[t]):
            leaky.append(t)
    return leaky


def by_the_guess(logits_of, labels, vocab):
    return (logits_of(labels).argmax(1) == labels).nonzero()[:, 0].tolist()


def no_call(logits_of, labels, vocab):
    return []


def shorter(logits_of, labels, vocab):
    return [t for t in range(1, len(labels)) if len(logits_of(labels[:t])) != t]


def only_the_last(logits_of, labels, vocab):
    changed = labels.clone()
    changed[-1] = (labels[-1] + 1) % vocab
    same = logits_of(changed) == logits_of(labels)
    return [t for t in range(len(labels)) if not same[t].all()]


def flags(logits_of, labels, vocab):
    found = another(logits_of, labels, vocab)
    return torch.tensor([t in found for t in range(len(labels))])


def backwards(logits_of, labels, vocab):
    return another(logits_of, labels, vocab)[::-1]


WRONG = [
    (change_all, "changed at once"),
    (from_the_next, "is not named"),
    (change_before, "change no label before"),
    (outside, "must be a token of the vocabulary"),
    (by_the_guess, "never called with changed"),
    (no_call, "call logits_of"),
    (shorter, "same length"),
    (only_the_last, "one change is tried"),
    (flags, "list of position numbers"),
    (backwards, "in order"),
]

RIGHT = [several_tries]

OTHER = "any other valid ids will do"
EQUIVALENT = {
    "`labels[t:] + 1` -> `labels[t:] - 1`": OTHER,
    "`1` -> `2`": OTHER,
    "`torch.equal(logits_of(changed)[t], before[t])` -> "
    "`torch.equal(before[t], logits_of(changed)[t])`": "equality has no order",
}
