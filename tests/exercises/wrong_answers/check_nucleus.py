"""Wrong top-p choices, and another right one."""

import torch


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
]
