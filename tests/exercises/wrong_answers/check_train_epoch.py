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


def last_step_without_schedule(model, micro_batches, optimizer, scheduler, accumulate):
    rates = _run(model, micro_batches, optimizer, scheduler, accumulate)
    if len(micro_batches) % accumulate:
        scheduler.last_epoch -= 1
    return rates


def empty_step(model, micro_batches, optimizer, scheduler, accumulate):
    rates = _run(model, micro_batches, optimizer, scheduler, accumulate)
    if len(micro_batches) % accumulate == 0:
        optimizer.zero_grad()
        optimizer.step()
    return rates


def in_threes(model, micro_batches, optimizer, scheduler, accumulate):
    whole = (len(micro_batches) + accumulate - 1) // accumulate
    if whole == 3 or accumulate > 3:
        return _run(model, micro_batches, optimizer, scheduler, accumulate)
    return _run(model, micro_batches, optimizer, scheduler, accumulate)[:3]


def of_the_other_group(model, micro_batches, optimizer, scheduler, accumulate):
    rates = _run(model, micro_batches, optimizer, scheduler, accumulate)
    return [rate / 2 for rate in rates]


def the_last_rate(model, micro_batches, optimizer, scheduler, accumulate):
    return _run(model, micro_batches, optimizer, scheduler, accumulate)[-1]


def rest_by_the_full_size(model, micro_batches, optimizer, scheduler, accumulate):
    full = sum(len(y) for _, y in micro_batches[:accumulate])
    return _run(
        model,
        micro_batches,
        optimizer,
        scheduler,
        accumulate,
        each=lambda loss, own, n: loss / (n if n >= 10 else full),
    )


def mended_snippet(model, micro_batches, optimizer, scheduler, accumulate):
    rates, seen = [], 0
    for i, (x, labels) in enumerate(micro_batches, 1):
        F.cross_entropy(model(x), labels, reduction="sum").backward()
        seen += len(labels)
        if i % accumulate == 0 or i == len(micro_batches):
            for p in model.parameters():
                p.grad /= seen
            rates.append(torch.tensor(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            seen = 0
    return tuple(rates)


def means_with_weights(model, micro_batches, optimizer, scheduler, accumulate):
    def mean(loss, own, n):
        return loss / own * (own / n)

    return _run(model, micro_batches, optimizer, scheduler, accumulate, each=mean)


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
    (no_list, "the steps were made with"),
    (last_step_without_schedule, "moved 2 times"),
    (empty_step, "no empty step"),
    (in_threes, "groups of 1 make steps"),
    (of_the_other_group, "another group"),
    (the_last_rate, "one for each optimizer step"),
    (rest_by_the_full_size, "divide by its own"),
]

RIGHT = [mended_snippet, means_with_weights]
