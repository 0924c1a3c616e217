"""Wrong loops with a schedule, and another right one."""

import torch
import torch.nn.functional as F


def another(model, micro_batches, optimizer, scheduler, accumulate):
    rates = []
    while micro_batches:
        group, micro_batches = micro_batches[:accumulate], micro_batches[accumulate:]
        x, labels = torch.cat([x for x, _ in group]), torch.cat([y for _, y in group])
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def _run(
    model,
    micro_batches,
    optimizer,
    scheduler,
    accumulate,
    *,
    each=None,
    before=False,
    inner=False,
    moves=True,
    rest=True,
    zero=True,
):
    rates = []
    for start in range(0, len(micro_batches), accumulate):
        group = micro_batches[start : start + accumulate]
        if len(group) < accumulate and not rest:
            break
        n = sum(len(y) for _, y in group)
        if zero:
            optimizer.zero_grad()
        for x, y in group:
            loss = F.cross_entropy(model(x), y, reduction="sum")
            (each(loss, len(y), n) if each else loss / n).backward()
            if inner:
                scheduler.step()
        if before:
            scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if moves and not inner and not before:
            scheduler.step()
    return rates


def inner(*args):
    return _run(*args, inner=True)


def printed(model, micro_batches, optimizer, scheduler, accumulate):
    rates = []
    for i, (x, labels) in enumerate(micro_batches):
        loss = F.cross_entropy(model(x), labels) / accumulate
        loss.backward()
        if (i + 1) % accumulate == 0:
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            optimizer.zero_grad()
        scheduler.step()
    return rates


def before(*args):
    return _run(*args, before=True)


def stands_still(*args):
    return _run(*args, moves=False)


def mean_of_means(*args):
    return _run(*args, each=lambda loss, own, n: loss / own / args[-1])


def means_added(*args):
    return _run(*args, each=lambda loss, own, n: loss / own)


def sums(*args):
    return _run(*args, each=lambda loss, own, n: loss)


def kept(*args):
    return _run(*args, zero=False)


def every_micro_batch(model, micro_batches, optimizer, scheduler, accumulate):
    return _run(model, micro_batches, optimizer, scheduler, 1)


def no_list(*args):
    return [rate * 2 for rate in _run(*args)]


WRONG = [
    (inner, "moves with each micro-batch"),
    (printed, "too few for a full group"),
    (before, "before the first optimizer step"),
    (stands_still, "does not move"),
    (mean_of_means, "mean still counts the same"),
    (means_added, "never divided"),
    (sums, "sums are not divided"),
    (kept, "zero_grad"),
    (every_micro_batch, "after every micro-batch"),
    (no_list, "list of the learning rates"),
]
