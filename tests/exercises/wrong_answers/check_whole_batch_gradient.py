"""Wrong ways to accumulate, and another right one."""

import torch


def _count(batch):
    return int((batch["labels"] != -100).sum())


def another(model, micro_batches, loss_sum):
    params, total = list(model.parameters()), sum(map(_count, micro_batches))
    parts = [
        torch.autograd.grad(loss_sum(model, batch), params) for batch in micro_batches
    ]
    return [sum(grads) / total for grads in zip(*parts)]


def _run(model, micro_batches, loss_sum, share, zero="first"):
    for i, batch in enumerate(micro_batches):
        if zero == "always" or (zero == "first" and i == 0):
            model.zero_grad()
        (loss_sum(model, batch) * share(batch)).backward()
    return [p.grad.clone() for p in model.parameters()]


def mean_of_means(model, parts, loss_sum):
    return _run(model, parts, loss_sum, lambda b: 1 / _count(b) / len(parts))


def means_added(model, parts, loss_sum):
    return _run(model, parts, loss_sum, lambda b: 1 / _count(b))


def sums(model, parts, loss_sum):
    return _run(model, parts, loss_sum, lambda b: 1.0)


def by_batches(model, parts, loss_sum):
    return _run(model, parts, loss_sum, lambda b: 1 / len(parts))


def all_places(model, parts, loss_sum):
    return _run(
        model, parts, loss_sum, lambda b: 1 / sum(len(p["labels"]) for p in parts)
    )


def only_last(model, parts, loss_sum):
    return _run(
        model, parts, loss_sum, lambda b: 1 / sum(map(_count, parts)), zero="always"
    )


def not_zeroed(model, parts, loss_sum):
    return _run(
        model, parts, loss_sum, lambda b: 1 / sum(map(_count, parts)), zero="never"
    )


def mean_of_nothing(model, parts, loss_sum):
    total = sum(map(_count, parts))
    return _run(
        model,
        parts,
        loss_sum,
        lambda b: (1 / total) * (torch.tensor(float(_count(b))) / _count(b)),
    )


def one_list(model, parts, loss_sum):
    return [torch.cat([g.flatten() for g in another(model, parts, loss_sum)])]


WRONG = [
    (mean_of_means, "mean of means"),
    (means_added, "added up"),
    (sums, "not divided"),
    (by_batches, "number of micro-batches"),
    (all_places, "-100 are counted"),
    (only_last, "only the last"),
    (not_zeroed, "before is still in it"),
    (mean_of_nothing, ""),
    (one_list, "one gradient for each parameter"),
]
