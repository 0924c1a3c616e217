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
    params, counts = list(model.parameters()), [_count(b) for b in parts]
    means = [
        [g / torch.tensor(n) for g in torch.autograd.grad(loss_sum(model, b), params)]
        for b, n in zip(parts, counts)
    ]
    shares = [n / sum(counts) for n in counts]
    return [sum(m * share for m, share in zip(g, shares)) for g in zip(*means)]


def one_list(model, parts, loss_sum):
    return [torch.cat([g.flatten() for g in another(model, parts, loss_sum)])]


def at_once(model, parts, loss_sum):
    model.zero_grad()
    (sum(loss_sum(model, b) for b in parts) / sum(map(_count, parts))).backward()
    return [p.grad for p in model.parameters()]


def first_places(model, parts, loss_sum):
    """Counts the labels of the first text that are targets, times the texts."""
    total = sum(
        int((torch.atleast_2d(b["labels"])[-1] != -100).sum())
        * len(torch.atleast_2d(b["labels"]))
        for b in parts
    )
    return _run(model, parts, loss_sum, lambda b: 1 / total)


def turned(model, parts, loss_sum):
    return another(model, parts, loss_sum)[::-1]


def flattened(model, parts, loss_sum):
    return [g.flatten() for g in another(model, parts, loss_sum)]


def makes_a_step(model, parts, loss_sum):
    gradients = another(model, parts, loss_sum)
    with torch.no_grad():
        for p, g in zip(model.parameters(), gradients):
            p -= 0.1 * g
    return gradients


def downhill(model, parts, loss_sum):
    return [-g for g in another(model, parts, loss_sum)]


def sums_divided_at_the_end(model, parts, loss_sum):
    for p in model.parameters():
        p.grad = None
    for batch in parts:
        loss_sum(model, batch).backward()
    return tuple(p.grad / sum(map(_count, parts)) for p in model.parameters())


def skips_the_empty(model, parts, loss_sum):
    return another(model, [b for b in parts if _count(b)], loss_sum)


WRONG = [
    (mean_of_means, "mean of means"),
    (means_added, "added up"),
    (sums, "not divided"),
    (by_batches, "number of micro-batches"),
    (all_places, "-100 are counted"),
    (only_last, "only the last"),
    (not_zeroed, "before is still in it"),
    (mean_of_nothing, "without targets"),
    (one_list, "one gradient for each parameter"),
    (at_once, "keeps all their graphs"),
    (first_places, "wherever it stands"),
    (flattened, "a gradient has shape (15,)"),
    (turned, "a gradient has shape (3,)"),
    (makes_a_step, "make no step"),
    (downhill, "wrong sign"),
]

RIGHT = [sums_divided_at_the_end, skips_the_empty]

EQUIVALENT = {
    "`int((batch['labels'] != -100).sum())` -> "
    "`(batch['labels'] != -100).sum()`": "the same count in a tensor",
    "`p.grad.clone()` -> `p.grad`": "the task asks for the gradients, not for copies",
}
