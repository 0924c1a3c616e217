"""Wrong ways to count what a search finds, and another right one."""

import torch


def another(scores, own, k):
    found = 0
    for row, right in zip(scores.tolist(), own.tolist()):
        others = row[:right] + row[right + 1 :]
        found += sum(s >= row[right] for s in others) < k
    return found / len(scores)


def in_a_tensor(scores, own, k):
    mine = scores[torch.arange(len(scores)), own][:, None]
    return ((scores >= mine).sum(1) <= k).double().mean()


def a_count(scores, own, k):
    return another(scores, own, k) * len(scores)


def first_only(scores, own, k):
    return another(scores, own, 1)


def topk_with_ties(scores, own, k):
    mine = scores[torch.arange(len(scores)), own][:, None]
    return float(((scores > mine).sum(1) < k).float().mean())


def on_the_diagonal(scores, own, k):
    return another(scores, torch.arange(len(scores)) % scores.shape[1], k)


def lowest_first(scores, own, k):
    return another(-scores, own, k)


def one_too_many(scores, own, k):
    return another(scores, own, k + 1)


RIGHT = [in_a_tensor]

WRONG = [
    (a_count, "divide by all"),
    (first_only, "only the very first"),
    (topk_with_ties, "count as better"),
    (on_the_diagonal, "own[i]"),
    (lowest_first, "higher is better"),
    (one_too_many, "expected"),
]
