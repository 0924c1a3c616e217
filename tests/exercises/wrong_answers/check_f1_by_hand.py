"""Wrong forms of macro-F1, and another right one."""

import numpy as np
import torch

from ftlib.evaluation import metrics


def another(predicted, labels, classes):
    scores = []
    for c in range(classes):
        hits = int(((predicted == c) & (labels == c)).sum())
        total = int((predicted == c).sum() + (labels == c).sum())
        scores.append(2 * hits / total if total else 0.0)
    return sum(scores) / classes


def parts(predicted, labels, classes):
    hits = torch.tensor(
        [float(((predicted == c) & (labels == c)).sum()) for c in range(classes)]
    )
    said = torch.tensor([float((predicted == c).sum()) for c in range(classes)])
    asked = torch.tensor([float((labels == c).sum()) for c in range(classes)])
    return hits, said, asked


def accuracy(predicted, labels, classes):
    return float((predicted == labels).float().mean())


def weighted(predicted, labels, classes):
    hits, said, asked = parts(predicted, labels, classes)
    return (2 * hits / (said + asked) * asked).sum() / asked.sum()


def mean_recall(predicted, labels, classes):
    hits, said, asked = parts(predicted, labels, classes)
    return (hits / asked).mean()


def mean_precision(predicted, labels, classes):
    hits, said, asked = parts(predicted, labels, classes)
    return (hits / said).mean()


def one_class(predicted, labels, classes):
    hits, said, asked = parts(predicted, labels, classes)
    return (2 * hits / (said + asked))[1]


def averaged_first(predicted, labels, classes):
    hits, said, asked = parts(predicted, labels, classes)
    p, r = (hits / said).mean(), (hits / asked).mean()
    return 2 * p * r / (p + r)


def not_a_number(predicted, labels, classes):
    hits, said, asked = parts(predicted, labels, classes)
    p, r = hits / said, hits / asked
    return (2 * p * r / (p + r)).mean()


def left_out(predicted, labels, classes):
    hits, said, asked = parts(predicted, labels, classes)
    return (2 * hits / (said + asked))[said > 0].mean()


def scores_of(predicted, labels, classes):
    hits, said, asked = parts(predicted, labels, classes)
    return 2 * hits / (said + asked)


def absent_is_nan(predicted, labels, classes):
    return scores_of(predicted, labels, classes).mean()


def absent_left_out(predicted, labels, classes):
    return scores_of(predicted, labels, classes).nanmean()


def from_the_library(predicted, labels, classes):
    return metrics.macro_f1(predicted, labels, classes)


def from_its_table(predicted, labels, classes):
    table = metrics.confusion(predicted, labels, classes)
    return (2 * table.diag() / (table.sum(0) + table.sum(1)).clamp(min=1)).mean()


def from_scikit_learn(predicted, labels, classes):
    from sklearn.metrics import f1_score

    return f1_score(labels, predicted, average="macro", zero_division=0)


def rounded(predicted, labels, classes):
    return round(another(predicted, labels, classes), 4)


def three_at_least(predicted, labels, classes):
    return another(predicted, labels, max(3, classes))


def with_pseudo_counts(predicted, labels, classes):
    hits, said, asked = parts(predicted, labels, classes)
    return ((2 * hits + 1) / (said + asked + 1)).mean()


def from_a_table(predicted, labels, classes):
    """Right: NumPy, from a table of counts."""
    table = np.zeros((classes, classes))
    np.add.at(table, (labels.numpy(), predicted.numpy()), 1)
    return np.mean(2 * table.diagonal() / np.maximum(table.sum(0) + table.sum(1), 1))


def from_precision_and_recall(predicted, labels, classes):
    """Right: by way of precision and recall, where both exist; a 0-d tensor."""
    scores = []
    for c in range(classes):
        said, asked = predicted == c, labels == c
        hits = (said & asked).sum()
        p, r = hits / said.sum().clamp(min=1), hits / asked.sum().clamp(min=1)
        scores.append(2 * p * r / (p + r) if hits else torch.tensor(0.0))
    return torch.stack(scores).mean()


RIGHT = [from_a_table, from_precision_and_recall]

WRONG = [
    (accuracy, "is the accuracy"),
    (weighted, "weighted by how many"),
    (mean_recall, "mean recall"),
    (mean_precision, "mean precision"),
    (one_class, "class 1 alone"),
    (averaged_first, "averaged first"),
    (left_out, "left out"),
    (not_a_number, "0 / 0"),
    (absent_is_nan, "neither present nor predicted gives"),
    (absent_left_out, "mean over all four"),
    (from_the_library, "calls macro_f1"),
    (from_its_table, "calls confusion"),
    (from_scikit_learn, "uses sklearn"),
    (rounded, "rounded"),
    (three_at_least, "of 2 classes"),
    (with_pseudo_counts, "expected 0.58"),
]

EQUIVALENT = {
    "`1` -> `2`": "where 2 TP + FP + FN is 1, TP is 0, and so is the quotient",
}
