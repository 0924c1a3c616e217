"""Wrong ways to score a classifier, and another right one."""

import hashlib
import random

import numpy as np
import torch

from ftlib.data.tables import bucket


def share(model, texts, labels):
    return sum(said == label for said, label in zip(model(texts), labels)) / len(texts)


def pick(texts, labels, kept):
    pairs = [(t, y) for t, y, k in zip(texts, labels, kept) if k]
    return [t for t, _ in pairs], [y for _, y in pairs]


def another(texts, labels, fit):
    side = [hashlib.md5(t.encode()).digest()[0] < 64 for t in texts]
    model = fit(*pick(texts, labels, [not s for s in side]))
    return share(model, *pick(texts, labels, side))


def on_the_training_data(texts, labels, fit):
    return share(fit(texts, labels), texts, labels)


def trained_on_all(texts, labels, fit):
    test = pick(texts, [1 - y for y in labels], [bucket(t) >= 90 for t in texts])
    return share(fit(texts, labels), *test)


def asked_about_training(texts, labels, fit):
    train = pick(texts, labels, [bucket(t) < 90 for t in texts])
    return share(fit(*train), *train)


def by_position(texts, labels, fit):
    return share(fit(texts[:360], labels[:360]), texts[360:], labels[360:])


def half_and_half(texts, labels, fit):
    return share(fit(texts[:200], labels[:200]), texts[200:], labels[200:])


def count(texts, labels, fit):
    model = fit(*pick(texts, labels, [bucket(t) < 80 for t in texts]))
    test = pick(texts, labels, [bucket(t) >= 80 for t in texts])
    return share(model, *test) * len(test[0])


def of_a_fifth(texts, labels, fit, after=lambda value, n: value):
    test = [bucket(t) >= 80 for t in texts]
    model = fit(*pick(texts, labels, [not t for t in test]))
    asked = pick(texts, labels, test)
    return after(share(model, *asked), len(asked[0]))


def blocks_of_ten(texts, labels, fit):
    test = [row // 10 % 5 == 4 for row in range(len(texts))]
    train = pick(texts, labels, [not t for t in test])
    kept = pick(texts, labels, test)
    return share(fit(*train), *kept)


def half(texts, labels, fit):
    test = [bucket(t) >= 50 for t in texts]
    model = fit(*pick(texts, labels, [not t for t in test]))
    return share(model, *pick(texts, labels, test))


def rounded(texts, labels, fit):
    return of_a_fifth(texts, labels, fit, lambda value, n: round(value, 4))


def of_all_texts(texts, labels, fit):
    return of_a_fifth(texts, labels, fit, lambda value, n: value * n / len(texts))


def sorted_apart(texts, labels, fit):
    test = [bucket(t) >= 80 for t in texts]
    model = fit(*pick(texts, labels, [not t for t in test]))
    asked, true = pick(texts, labels, test)
    return share(model, sorted(asked), true)


def labels_from_the_front(texts, labels, fit):
    test = [bucket(t) >= 80 for t in texts]
    train, _ = pick(texts, labels, [not t for t in test])
    return share(fit(train, labels[: len(train)]), *pick(texts, labels, test))


def guessed(texts, labels, fit):
    return of_a_fifth(texts, labels, fit, lambda value, n: 0.5)


def one_by_one(texts, labels, fit):
    """Right: one text at a time, after a look at the training texts."""
    test = [i for i, t in enumerate(texts) if bucket(t) >= 80]
    train = [i for i, t in enumerate(texts) if bucket(t) < 80]
    model = fit([texts[i] for i in train], [labels[i] for i in train])
    model([texts[i] for i in train])
    hits = [model([texts[i]])[0] == labels[i] for i in test]
    return torch.tensor(hits).float().mean()


def each_text_once(texts, labels, fit):
    """Right: doubles are left out, and a fifth of the rest is drawn."""
    known = dict(zip(texts, labels))
    order = random.Random(0).sample(sorted(known), len(known))
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    model = fit(train, [known[t] for t in train])
    return np.mean([a == known[t] for a, t in zip(model(test), test)])


RIGHT = [one_by_one, each_text_once]

WRONG = [
    (on_the_training_data, "by heart"),
    (trained_on_all, "leave the test texts out"),
    (asked_about_training, "use the others"),
    (blocks_of_ten, "both sets"),
    (by_position, "the test set has one class"),
    (half_and_half, "the training set has one class"),
    (count, "the number of correct answers"),
    (half, "160 of 320"),
    (rounded, "rounded"),
    (of_all_texts, "divided by the number of all texts"),
    (sorted_apart, "does answer i belong to text i"),
    (labels_from_the_front, "keep text i and label i"),
    (guessed, "the value is 0.500000"),
]

EQUIVALENT = {
    "`80` -> `79`": "a text in neither set is not seen by fit() either",
    "`tables.bucket(text) >= 80` -> `tables.bucket(text) > 80`": (
        "a text in neither set is not seen by fit() either"
    ),
    "`80` -> `81` (2)": "a text in neither set is not seen by fit() either",
}
