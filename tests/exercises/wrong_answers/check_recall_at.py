"""Wrong ways to choose a threshold, and another right one."""

import math

import torch


def curve(scores, labels, call=lambda s, t: s >= t):
    found = []
    for t in scores.unique().tolist():
        said = call(scores, t)
        hits = int((said & (labels == 1)).sum())
        found.append(
            (t, hits / max(1, int(said.sum())), hits / max(1, int((labels == 1).sum())))
        )
    return found


def best(points):
    points = [(r, t) for t, r in points if r > 0]
    return (max(points)[1], max(points)[0]) if points else (math.inf, 0.0)


def another(scores, labels, precision):
    """Sorted from the top, with running counts; a threshold lies where the next score
    is lower.
    """
    order = scores.argsort(descending=True)
    s, y = scores[order], labels[order].double()
    hits = y.cumsum(0)
    last = torch.ones(len(s), dtype=torch.bool)
    last[:-1] = s[:-1] != s[1:]
    fine = last & (hits / torch.arange(1, len(s) + 1) >= precision) & (hits > 0)
    if not fine.any():
        return math.inf, 0.0
    most = hits[fine].max()
    at = int((fine & (hits == most)).nonzero()[0])
    return s[at].item(), (most / y.sum()).item()


def turned_round(scores, labels, precision):
    return another(scores, labels, precision)[::-1]


def first_failure(scores, labels, precision):
    found = (math.inf, 0.0)
    for t, p, r in reversed(curve(scores, labels)):
        if p < precision:
            break
        found = (t, r)
    return found


def best_f1(scores, labels, precision):
    return max(
        (
            (2 * p * r / (p + r) if p + r else 0, t, r)
            for t, p, r in curve(scores, labels)
        )
    )[1:]


def above_only(scores, labels, precision):
    return best(
        [
            (t, r)
            for t, p, r in curve(scores, labels, lambda s, t: s > t)
            if p >= precision
        ]
    )


def half(scores, labels, precision):
    said = scores >= 0.5
    return 0.5, float((said & (labels == 1)).sum() / (labels == 1).sum())


def lowest(scores, labels, precision):
    fine = [(t, r) for t, p, r in curve(scores, labels) if p >= precision]
    top = max([r for _, r in fine], default=0.0)
    return min([(t, r) for t, r in fine if r == top], default=(math.inf, 0.0))


def nothing_fits(scores, labels, precision):
    found = another(scores, labels, precision)
    return found if found[1] else (0.0, 1.0)


def between(scores, labels, precision):
    t, r = another(scores, labels, precision)
    lower = scores[scores < t]
    return (t + lower.max().item()) / 2 if len(lower) else t, r


def ties_apart(scores, labels, precision):
    order = scores.argsort(descending=True, stable=True)
    hits = labels[order].cumsum(0)
    fine = [
        (scores[order][k].item(), hits[k].item() / labels.sum().item())
        for k in range(len(order))
        if hits[k] / (k + 1) >= precision and hits[k]
    ]
    return max(fine, key=lambda found: (found[1], found[0]), default=(math.inf, 0.0))


def rounded(scores, labels, precision):
    t, r = another(scores, labels, precision)
    return round(t, 2), r


def recall_rounded(scores, labels, precision):
    t, r = another(scores, labels, precision)
    return t, round(r, 2)


def sorted_apart(scores, labels, precision):
    scores, labels = (x.sort(descending=True).values for x in (scores, labels))
    return another(scores, labels, precision)


def below_zero(scores, labels, precision):
    t, r = another(scores, labels, precision)
    return (-t if math.isinf(t) else t), r


def from_a_half(scores, labels, precision):
    return best(
        [(t, r) for t, p, r in curve(scores, labels) if p >= precision and t >= 0.5]
    )


def of_all_texts(scores, labels, precision):
    t, r = another(scores, labels, precision)
    return t, r * float(labels.double().mean())


def plainly(scores, labels, precision):
    pairs, found = list(zip(scores.tolist(), labels.tolist())), [(0.0, math.inf)]
    for t in set(scores.tolist()):
        said = [y for s, y in pairs if s >= t]
        if sum(said) >= precision * len(said):
            found.append((sum(said) / max(1, int(labels.sum())), t))
    r, t = max(found)
    return [t, r] if r else [float("inf"), 0]


def as_tensors(scores, labels, precision):
    t, r = another(scores, labels, precision)
    return torch.tensor(t, dtype=torch.float64), torch.tensor(r)


WRONG = [
    (turned_round, "order of the two numbers"),
    (first_failure, "try all"),
    (best_f1, "the precision is too low"),
    (above_only, ">="),
    (half, "for a precision of 0.75 you return"),
    (lowest, "highest of them"),
    (nothing_fits, "nothing is predicted as 1"),
    (between, "the score itself"),
    (ties_apart, "cannot separate equal scores"),
    (rounded, "the threshold is rounded"),
    (recall_rounded, "recall is rounded"),
    (sorted_apart, "(0.7, 1)"),
    (below_zero, "(-inf, 0)"),
    (from_a_half, "the recall is"),
    (of_all_texts, "0.375"),
]

RIGHT = [plainly, as_tensors]

EQUIVALENT = {
    "`(scores >= t).long()` -> `scores >= t`": (
        "True and False are compared as 1 and 0"
    ),
}
