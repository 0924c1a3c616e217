"""Chapter 21: the probability of labels under CTC."""

import itertools
import math

import torch

from ftlib.data import audio


def another(probabilities, labels):
    logits = torch.tensor(probabilities, dtype=torch.float64).log()[None]
    if not labels:
        return math.prod(p[0] for p in probabilities)
    twice = sum(a == b for a, b in zip(labels, labels[1:]))
    if len(labels) + twice > len(probabilities):
        return 0.0
    return math.exp(-float(audio.ctc_loss(logits, torch.tensor([labels]))))


def forward(probabilities, labels, skip=lambda states, s: True, last=2, end=True):
    states = [0]
    for label in labels:
        states += [label, 0]
    states = states if end else states[:-1]
    alpha = [1.0] + [0.0] * (len(states) - 1)
    for frame in probabilities:
        new = []
        for s, state in enumerate(states):
            ways = alpha[s] + (alpha[s - 1] if s else 0.0)
            if s > 1 and state and skip(states, s):
                ways += alpha[s - 2]
            new.append(ways * frame[state])
        alpha = new
    return sum(alpha[-last:])


def differs(states, s):
    return states[s] != states[s - 2]


def without_the_blank_between(probabilities, labels):
    return forward(probabilities, labels)


def never_skips(probabilities, labels):
    return forward(probabilities, labels, lambda states, s: False)


def ends_in_a_blank(probabilities, labels):
    return forward(probabilities, labels, differs, last=1)


def ends_in_a_label(probabilities, labels):
    return forward(probabilities, labels, differs, last=1, end=False)


def best_path(probabilities, labels):
    best = 0.0
    classes = range(len(probabilities[0]))
    for path in itertools.product(classes, repeat=min(5, len(probabilities))):
        read = [c for i, c in enumerate(path) if c and (not i or path[i - 1] != c)]
        if read == labels:
            best = max(best, math.prod(p[c] for p, c in zip(probabilities, path)))
    return best


def negative_log(probabilities, labels):
    return -math.log(max(1e-300, another(probabilities, labels)))


def one_frame_a_label(probabilities, labels):
    return math.prod(p[c] for p, c in zip(probabilities, labels))


def log_probability(probabilities, labels):
    return math.log(max(1e-300, another(probabilities, labels)))


def nothing_for_none(probabilities, labels):
    return another(probabilities, labels) if labels else 1.0


WRONG = [
    (without_the_blank_between, "two equal labels need a blank"),
    (never_skips, "may be absent"),
    (ends_in_a_blank, "6 of 8 paths"),
    (ends_in_a_label, "6 of 8 paths"),
    (best_path, "6 of 8 paths"),
    (negative_log, "6 of 8 paths"),
    (one_frame_a_label, "6 of 8 paths"),
    (log_probability, "not -0.1625"),
    (nothing_for_none, "only blanks are left"),
]

LONGER = "states behind the last are never read"
EQUIVALENT = {
    "`len(states) - 1` -> `len(states) + 1`": LONGER,
    "`1` -> `0`": LONGER,
    "`1` -> `2` (3)": "state 2 is a blank, and so is state 0",
}
