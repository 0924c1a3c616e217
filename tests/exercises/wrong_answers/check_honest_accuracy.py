"""Wrong ways to score a classifier, and another right one."""

import hashlib

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


def by_row(texts, labels, fit):
    test = [row % 10 == 9 for row in range(len(texts))]
    return share(
        fit(*pick(texts, labels, [not t for t in test])), *pick(texts, labels, test)
    )


def by_position(texts, labels, fit):
    return share(fit(texts[:360], labels[:360]), texts[360:], labels[360:])


def half_and_half(texts, labels, fit):
    return share(fit(texts[:200], labels[:200]), texts[200:], labels[200:])


def count(texts, labels, fit):
    model = fit(*pick(texts, labels, [bucket(t) < 90 for t in texts]))
    test = pick(texts, labels, [bucket(t) >= 90 for t in texts])
    return share(model, *test) * len(test[0])


WRONG = [
    (on_the_training_data, "by heart"),
    (trained_on_all, "leave the test texts out"),
    (asked_about_training, "use the others"),
    (by_row, "both sets"),
    (by_position, "the test set has one class"),
    (half_and_half, "the training set has one class"),
    (count, "the accuracy on the test texts"),
]
