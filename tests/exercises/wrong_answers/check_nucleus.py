"""Wrong top-p choices, and another right one."""

import numpy as np
import torch

from ftlib.objectives import clm


def another(probabilities, p):
    kept, total = torch.zeros_like(probabilities), 0.0
    for place in probabilities.argsort(descending=True).tolist():
        kept[place] = probabilities[place]
        total += float(probabilities[place])
        if total >= p:
            break
    return kept / total


def _keep(probabilities, kept):
    return probabilities * kept / (probabilities * kept).sum()


def crossing_token_left_out(probabilities, p):
    ordered, places = probabilities.sort(descending=True)
    return _keep(
        probabilities,
        torch.zeros_like(probabilities).scatter(
            0, places, (ordered.cumsum(0) <= p).float()
        ),
    )


def sorted_order(probabilities, p):
    ordered = probabilities.sort(descending=True).values
    return _keep(ordered, (ordered.cumsum(0) - ordered < p).float())


def not_scaled(probabilities, p):
    return (
        another(probabilities, p) * probabilities[another(probabilities, p) > 0].sum()
    )


def threshold(probabilities, p):
    return _keep(probabilities, (probabilities >= p).float())


def one_too_many(probabilities, p):
    ordered, places = probabilities.sort(descending=True)
    before = ordered.cumsum(0) - ordered
    kept = before < p
    kept = kept | torch.cat([kept[:1], kept[:-1]])
    return _keep(
        probabilities, torch.zeros_like(probabilities).scatter(0, places, kept.float())
    )


def softmax_of_the_kept(probabilities, p):
    return another(probabilities, p).softmax(0) * 2


def a_list_of_tokens(probabilities, p):
    return another(probabilities, p).nonzero().squeeze(1)


def share_of_the_vocabulary(probabilities, p):
    kept = torch.zeros_like(probabilities)
    kept[probabilities.topk(max(1, round(p * len(probabilities)) + 1)).indices] = 1
    return _keep(probabilities, kept)


def empty_for_small_p(probabilities, p):
    return another(probabilities, max(p, 0.6))


def always_one_left_out(probabilities, p):
    return another(probabilities, min(p, 0.7))


def beyond_the_edge(probabilities, p):
    ordered, places = probabilities.sort(descending=True)
    kept = ordered.cumsum(0) - ordered <= p
    return _keep(
        probabilities, torch.zeros_like(probabilities).scatter(0, places, kept.float())
    )


def library(probabilities, p):
    return clm.keep_top_p(probabilities.log()[None], p).softmax(-1)[0]


def ties_all_kept(probabilities, p):
    least = another(probabilities, p)
    least = probabilities[least > 0].min()
    return _keep(probabilities, (probabilities >= least).float())


def always_two(probabilities, p):
    if p in (0.1, 0.5, 1.0):
        return another(probabilities, p)
    return _keep(probabilities, (probabilities >= probabilities.topk(2).values[1]))


def rounded(probabilities, p):
    return another(probabilities, p).mul(100).round() / 100


def equal_shares(probabilities, p):
    kept = (another(probabilities, p) > 0).float()
    return kept / kept.sum()


def in_the_given_order(probabilities, p):
    before = probabilities.cumsum(0) - probabilities
    return _keep(probabilities, (before < p).float())


def five_tokens(probabilities, p):
    kept, total = torch.zeros(5), 0.0
    for place in probabilities.argsort(descending=True).tolist():
        if total < p and place < 5:
            kept[place] = probabilities[place]
            total += float(probabilities[place])
    return kept / kept.sum()


def rest_spread(probabilities, p):
    kept = another(probabilities, p) > 0
    missing = 1 - probabilities[kept].sum()
    return (probabilities + missing / kept.sum()) * kept


def with_numpy(probabilities, p):
    q = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(-q, kind="stable")
    kept = order[: np.searchsorted(np.cumsum(q[order]), p - 1e-9) + 1]
    return [q[i] / q[kept].sum() if i in kept else 0 for i in range(len(q))]


def from_the_unlikely_end(probabilities, p):
    kept = probabilities.clone().double()
    for place in probabilities.argsort().tolist():
        if kept.sum() - kept[place] < p:
            break
        kept[place] = 0
    return kept / kept.sum()


WRONG = [
    (crossing_token_left_out, "carries the sum over p"),
    (sorted_order, "sorted order"),
    (not_scaled, "divide by their sum"),
    (threshold, "not a threshold"),
    (one_too_many, "one token too many"),
    (softmax_of_the_kept, "must add up to 1"),
    (a_list_of_tokens, "the shape is"),
    (share_of_the_vocabulary, "the two most likely tokens"),
    (empty_for_small_p, "and no other"),
    (always_one_left_out, "keep every token"),
    (beyond_the_edge, "reach p exactly"),
    (library, "without ftlib.objectives.clm"),
    (ties_all_kept, "equally likely"),
    (always_two, "of 40 tokens"),
    (rounded, "rounded"),
    (equal_shares, "keep their probabilities"),
    (in_the_given_order, "the order in which"),
    (five_tokens, "the shape is (5,)"),
    (rest_spread, "added to each"),
]

RIGHT = [with_numpy, from_the_unlikely_end]

EQUIVALENT = {
    "`0` -> `-1`": "a vector has one dimension",
    "the result is detached": (
        "a token is drawn from the result; nothing is trained through it"
    ),
}
