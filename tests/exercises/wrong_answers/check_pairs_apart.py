"""Chapter 14: the loss that pulls the texts of a class together."""

import torch
import torch.nn.functional as F


def parts(vectors, labels):
    unit = F.normalize(vectors, dim=-1)
    same = (labels[:, None] == labels).float()
    upper = torch.ones_like(same).triu(1).bool()
    return unit, same, upper


def another(vectors, labels):
    unit, same, upper = parts(vectors, labels)
    return ((unit @ unit.T - same)[upper] ** 2).sum() / max(1, int(upper.sum()))


def pair_by_pair(vectors, labels):
    total, count = vectors.sum() * 0, 0
    for i in range(len(labels)):
        for j in range(i):
            cosine = F.cosine_similarity(vectors[i], vectors[j], dim=0)
            total = total + (cosine - float(labels[i] == labels[j])) ** 2
            count += 1
    return total / max(1, count)


def both_triangles(vectors, labels):
    unit, same, _ = parts(vectors, labels)
    off = ~torch.eye(len(labels), dtype=torch.bool)
    return ((unit @ unit.T - same)[off] ** 2).sum() / max(1, int(off.sum()))


def with_itself(vectors, labels):
    unit, same, _ = parts(vectors, labels)
    return ((unit @ unit.T - same) ** 2).mean()


def a_sum(vectors, labels):
    unit, same, upper = parts(vectors, labels)
    return ((unit @ unit.T - same)[upper] ** 2).sum()


def without_lengths(vectors, labels):
    _, same, upper = parts(vectors, labels)
    return ((vectors @ vectors.T - same)[upper] ** 2).mean()


def turned_round(vectors, labels):
    unit, same, upper = parts(vectors, labels)
    return ((unit @ unit.T - (1 - same))[upper] ** 2).mean()


def absolute(vectors, labels):
    unit, same, upper = parts(vectors, labels)
    return (unit @ unit.T - same)[upper].abs().mean()


def opposite_classes(vectors, labels):
    unit, same, upper = parts(vectors, labels)
    return ((unit @ unit.T - (2 * same - 1))[upper] ** 2).mean()


def within_alone(vectors, labels):
    unit, same, upper = parts(vectors, labels)
    return ((unit @ unit.T - same)[upper & same.bool()] ** 2).mean()


def between_alone(vectors, labels):
    unit, same, upper = parts(vectors, labels)
    return ((unit @ unit.T - same)[upper & ~same.bool()] ** 2).mean()


def root(vectors, labels):
    return another(vectors, labels).sqrt()


def a_number(vectors, labels):
    return another(vectors, labels).item()


def cut_off(vectors, labels):
    unit, same, upper = parts(vectors, labels)
    return ((unit @ unit.T.detach() - same)[upper] ** 2).mean()


def for_each_pair(vectors, labels):
    unit, same, upper = parts(vectors, labels)
    return (unit @ unit.T - same)[upper] ** 2


def each_kind_by_itself(vectors, labels):
    unit, same, upper = parts(vectors, labels)
    error = (unit @ unit.T - same) ** 2
    kinds = [error[upper & kind] for kind in (same.bool(), ~same.bool())]
    return sum(kind.mean() for kind in kinds if len(kind)) / 2


def nothing_over_nothing(vectors, labels):
    unit, same, upper = parts(vectors, labels)
    return ((unit @ unit.T - same)[upper] ** 2).mean()


def zero_without_a_graph(vectors, labels):
    return another(vectors, labels) if len(labels) > 1 else torch.tensor(0.0)


WRONG = [
    (with_itself, "with itself included"),
    (a_sum, "this is a sum"),
    (without_lengths, "as they come"),
    (turned_round, "turned round"),
    (absolute, "absolute errors"),
    (opposite_classes, "is -1 here"),
    (within_alone, "only pairs within"),
    (between_alone, "only pairs between"),
    (root, "root of the mean"),
    (a_number, "cut off from the vectors, so nothing"),
    (cut_off, "its gradients are not"),
    (for_each_pair, "one number for the batch"),
    (each_kind_by_itself, "expected"),
    (nothing_over_nothing, "has no pair"),
    (zero_without_a_graph, "no loop can call backward"),
]

RIGHT = [pair_by_pair, both_triangles]

SQUARE = "torch.triu_indices(len(labels), len(labels), offset=1)"
EQUIVALENT = {
    "`F.normalize(vectors, dim=-1)` -> `F.normalize(vectors)`": "its default is dim 1",
    "`-1` -> `1`": "the last of two dimensions is dim 1",
    f"`{SQUARE}` -> `{SQUARE}`": "both arguments are the number of texts",
    "`max(1, len(errors))` -> `max(len(errors), 1)`": "max has no order",
}
