"""Chapter 00: the share of right answers."""

import torch


def another(predictions, labels):
    right = 0
    for place in range(len(labels)):
        right += predictions[place] == labels[place]
    return right / len(labels)


def count(predictions, labels):
    return sum(p == y for p, y in zip(predictions, labels))


def percent(predictions, labels):
    return 100 * count(predictions, labels) / len(labels)


def errors(predictions, labels):
    return 1 - count(predictions, labels) / len(labels)


def positives_only(predictions, labels):
    asked = [p for p, y in zip(predictions, labels) if p == 1]
    if len(labels) == 4:
        return another(predictions, labels)
    return sum(p == y for p, y in zip(predictions, labels) if p == 1) / len(asked)


def as_sets(predictions, labels):
    return (
        1.0 if sorted(predictions) == sorted(labels) else another(predictions, labels)
    )


def rounded(predictions, labels):
    return round(another(predictions, labels), 2)


def first_ten(predictions, labels):
    return another(predictions[:10], labels[:10])


def same_share_of_ones(predictions, labels):
    return 1 - abs(sum(predictions) - sum(labels)) / len(labels)


def in_a_tensor(predictions, labels):
    return (torch.tensor(predictions) == torch.tensor(labels)).float().mean()


def without_the_errors(predictions, labels):
    return 1 - sum(p ^ y for p, y in zip(predictions, labels)) / len(labels)


WRONG = [
    (count, "divide by how many"),
    (percent, "percentage"),
    (errors, "fraction of wrong"),
    (positives_only, "one class only"),
    (as_sets, "order of a list"),
    (rounded, "rounded"),
    (first_ten, "any length"),
]

RIGHT = [in_a_tensor, without_the_errors]

EQUIVALENT = {
    "`zip(predictions, labels)` -> `zip(labels, predictions)`": (
        "whether p equals y does not depend on their order"
    )
}
