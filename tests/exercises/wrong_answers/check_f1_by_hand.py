"""Wrong forms of macro-F1, and another right one."""

import torch


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
]
