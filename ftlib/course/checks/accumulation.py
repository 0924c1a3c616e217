"""Checks of chapter 03: gradients of uneven micro-batches, and a loop that steps its
schedule.

>>> from ftlib.course.checks.accumulation import check_whole_batch_gradient
>>> check_whole_batch_gradient(lambda model, micro_batches, loss_sum: None)
not yet: your function returns None; fill it in and run the cell again

The reader's gradients and weights are compared with those of known mistakes, so that
the hint can name the one that was made.

What it is not: a measurement of memory; it counts the backward passes. Needs: torch.
"""

import contextlib
import warnings

import torch
import torch.nn.functional as F

from ftlib.course.checks import correct, exercise, expect

CLOSE = 1e-10  # float64 leaves room for about 1e-13 on these problems


def _near(a, b, tolerance=CLOSE):
    return bool(
        (torch.as_tensor(a).detach() - torch.as_tensor(b).detach()).abs().max()
        < tolerance
    )


def _micro_batches(sizes, counts, seed=2):
    """A small linear model in float64 and micro-batches of the given sizes, with
    counts[i] labels that are not -100 in micro-batch i.
    """
    g = torch.Generator().manual_seed(seed)
    model = torch.nn.Linear(5, 3).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=g, dtype=torch.float64))
    x = [torch.randn(n, 5, generator=g, dtype=torch.float64) for n in sizes]
    y = [
        torch.randint(0, 3, (n,), generator=g).masked_fill(torch.arange(n) >= k, -100)
        for n, k in zip(sizes, counts)
    ]
    return model, [{"x": a, "labels": b} for a, b in zip(x, y)]


def _loss_sum(model, batch):
    return F.cross_entropy(model(batch["x"]), batch["labels"], reduction="sum")


def _grads(model, value):
    return torch.cat(
        [g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))]
    )


@contextlib.contextmanager
def _counted_backward():
    """In the block, the list grows by one with each backward pass."""
    passes = []
    home = torch.autograd
    before = home.backward, home.grad

    def counting(function):
        def counted(*args, **kwargs):
            passes.append(1)
            return function(*args, **kwargs)

        return counted

    home.backward, home.grad = map(counting, before)
    try:
        yield passes
    finally:
        home.backward, home.grad = before


def _ask(answer, model, parts, loss_sum=_loss_sum):
    """(the answer's gradients as one flat tensor, number of backward passes)."""
    parameters = list(model.parameters())
    kept = [p.detach().clone() for p in parameters]
    with _counted_backward() as passes:
        result = answer(model, parts, loss_sum)
    expect(
        isinstance(result, (list, tuple))
        and len(result) == len(parameters)
        and all(isinstance(g, torch.Tensor) for g in result),
        "return a list with one gradient for each parameter, in the order of "
        "model.parameters()",
    )
    for g, p in zip(result, parameters):
        expect(
            g.shape == p.shape,
            f"a gradient has shape {tuple(g.shape)} and its parameter "
            f"{tuple(p.shape)}; keep the order of model.parameters(), and the shapes",
        )
    expect(
        all(map(torch.equal, parameters, kept)),
        "the weights of the model have changed; return the gradients, and make no step",
    )
    return torch.cat([g.detach().flatten() for g in result]), len(passes)


@exercise
def check_whole_batch_gradient(answer):
    """answer(model, micro_batches, loss_sum) -> [gradient of the mean loss over all
    targets, one for each parameter].
    """
    model, parts = _micro_batches((8, 2, 6), (7, 1, 2))
    counts = [int((b["labels"] != -100).sum()) for b in parts]
    single = [_grads(model, _loss_sum(model, b)) for b in parts]
    total, n, rows = sum(single), sum(counts), sum(len(b["labels"]) for b in parts)
    for p in model.parameters():
        p.grad = torch.ones_like(p)  # what an earlier step left behind

    got, passes = _ask(answer, model, parts)
    means = [g / c for g, c in zip(single, counts)]
    expect(
        not _near(got, sum(means) / 3),
        "this is a mean of means: a target in a short micro-batch weighs more; "
        "divide the sum of all losses by the number of all targets",
    )
    expect(
        not _near(got, sum(means)),
        "the means of the micro-batches are added up; divide the sum of all losses "
        "by the number of all targets",
    )
    expect(
        not _near(got, total),
        "the sums are not divided; divide once, by the number of targets in all "
        "micro-batches",
    )
    expect(
        not _near(got, total / 3),
        "this divides by the number of micro-batches; divide by the number of "
        "targets in them",
    )
    expect(
        not _near(got, total / rows),
        "the positions with label -100 are counted too; only labels != -100 are "
        "targets",
    )
    expect(
        not _near(got, single[-1] / counts[-1]) and not _near(got, single[-1] / n),
        "only the last micro-batch is left; do not overwrite or zero the gradient "
        "between the micro-batches",
    )
    expect(
        not _near(got, total / n + 1) and not _near(got, (total + 1) / n),
        "what was in .grad before is still in it; set the gradients to zero once, "
        "before the first micro-batch",
    )
    expect(
        not _near(got, -total / n),
        "the gradients have the wrong sign; they are those of the loss, and the minus "
        "belongs to the step",
    )
    expect(
        _near(got, total / n),
        "the gradient differs from that of the one large batch by "
        f"{float((got - total / n).abs().max()):.1e}",
    )
    expect(
        passes == 3,
        f"the 3 micro-batches had {passes} backward passes, expected one for each; one "
        "for their sum keeps all their graphs in memory",
    )
    expect(
        _near(_ask(answer, model, parts)[0], total / n),
        "a second call gives another gradient; do not keep anything between the calls",
    )
    model, parts = _micro_batches((4, 3), (3, 0))
    expect(
        _near(
            _ask(answer, model, parts)[0],
            _grads(model, _loss_sum(model, parts[0]) / 3),
        ),
        "a micro-batch without targets must change nothing; do not divide inside the "
        "loop",
    )
    _check_sequences(answer)
    return correct(
        "three uneven micro-batches give the gradient of the one large "
        "batch, within 1e-10"
    )


def _check_sequences(answer):
    """Labels of texts and tokens, (B, T), a model of two layers and one micro-batch."""

    def loss_sum(model, batch):
        logits, labels = model(batch["x"]), batch["labels"]
        return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="sum")

    g = torch.Generator().manual_seed(6)
    first, _ = _micro_batches((1,), (1,), seed=7)
    second = torch.nn.Linear(3, 2, bias=False).double()
    with torch.no_grad():
        second.weight.copy_(torch.randn(2, 3, generator=g, dtype=torch.float64))
    model = torch.nn.Sequential(first, torch.nn.Tanh(), second)
    parts = []
    for B, T in ((2, 5), (1, 3), (3, 4)):
        labels = torch.randint(0, 2, (B, T), generator=g)
        labels[:, -2:] = -100
        labels[0, 0] = -100
        x = torch.randn(B, T, 5, generator=g, dtype=torch.float64)
        parts.append({"x": x, "labels": labels})
    for given in (parts, parts[:1]):
        n = sum(int((b["labels"] != -100).sum()) for b in given)
        wanted = _grads(model, sum(loss_sum(model, b) for b in given) / n)
        got, _ = _ask(answer, model, given, loss_sum)
        expect(
            _near(got, wanted),
            f"correct for labels (N,), and not for {len(given)} micro-batches of texts "
            "with labels (B, T): every label that is not -100 is a target, wherever "
            "it stands",
        )


# --- clinic: an epoch with a schedule


def _epoch(fault, sizes, accumulate):
    """The weights and learning rates of one epoch -> (flat weights, [learning rate]),
    correct or with one known mistake.
    """
    (model, parts), rates = _micro_batches(sizes, sizes, seed=4), []
    optimizer, scheduler = _tools(model)
    for group in (parts[i : i + accumulate] for i in range(0, len(parts), accumulate)):
        n = sum(len(b["labels"]) for b in group)
        loss = sum(_loss_sum(model, b) for b in group) / (1 if fault == "sums" else n)
        if fault in ("means", "added"):
            loss = sum(_loss_sum(model, b) / len(b["labels"]) for b in group) / (
                accumulate if fault == "means" else 1
            )
        if fault != "kept":
            optimizer.zero_grad()
        loss.backward()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()]), rates


def _tools(model):
    weight, bias = model.parameters()
    optimizer = torch.optim.SGD(
        [{"params": [weight]}, {"params": [bias], "lr": 0.2}], 0.4
    )
    return optimizer, torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 1 / (1 + step)
    )


EPOCH_HINTS = {
    "means": "each micro-batch's mean still counts the same; use the sum, and divide "
    "by the number of labels in the group",
    "added": (
        "the means are added and never divided, so the step is about three times too "
        "large; divide by the number of labels"
    ),
    "sums": "the sums are not divided; divide by the number of labels in the group",
    "kept": (
        "the gradients of earlier steps are still in it; call zero_grad after each "
        "optimizer step"
    ),
}


@exercise
def check_train_epoch(answer):
    """Clinic. answer(model, micro_batches, optimizer, scheduler, accumulate) -> the
    learning rate of each optimizer step.
    """
    sizes = (6, 2, 4, 5, 1, 3, 6, 2)

    def tried(sizes, accumulate):
        model, parts = _micro_batches(sizes, sizes, seed=4)
        optimizer, scheduler = _tools(model)
        used, moved = [], scheduler.last_epoch
        optimizer.register_step_pre_hook(
            lambda o, *_: used.append(o.param_groups[0]["lr"])
        )
        with warnings.catch_warnings():
            # torch warns of the very fault that the hints explain
            warnings.simplefilter("ignore")
            returned = answer(
                model,
                [(b["x"], b["labels"]) for b in parts],
                optimizer,
                scheduler,
                accumulate,
            )
        return (
            torch.cat([p.detach().flatten() for p in model.parameters()]),
            used,
            returned,
            scheduler.last_epoch - moved,
        )

    weights, used, returned, moved = tried(sizes, 3)
    wanted, rates = _epoch(None, sizes, 3)
    expect(
        len(used) != len(sizes),
        "the optimizer steps after every micro-batch; step after `accumulate` of them",
    )
    expect(
        len(used) != len(sizes) // 3,
        "the last micro-batches, too few for a full group, are lost; make one more "
        "step with them",
    )
    expect(
        len(used) == 3,
        f"{len(used)} optimizer steps were made, expected 3: 8 micro-batches in "
        "groups of 3",
    )
    fast = {round(0.4 / 3, 9), round(0.4 / 4, 9)} & {
        round(rate, 9) for rate in used[: 1 + (used[0] == 0.4)]
    }
    expect(
        not fast,
        "the schedule still moves with each micro-batch, so the learning rate falls "
        "three times too fast; step it after optimizer.step()",
    )
    expect(
        abs(used[0] - 0.4) < 1e-9,
        "the schedule moves before the first optimizer step, so its first learning "
        "rate is never used; step it after optimizer.step()",
    )
    expect(
        abs(used[1] - used[0]) > 1e-9,
        "the schedule does not move at all; step it once after each optimizer step",
    )
    expect(
        _near(torch.tensor(used), torch.tensor(rates), 1e-9),
        f"the learning rates were {used}, expected {rates}",
    )
    for fault, words in EPOCH_HINTS.items():
        expect(not _near(weights, _epoch(fault, sizes, 3)[0], 1e-8), words)
    expect(
        _near(weights, wanted, 1e-8),
        f"the weights differ by {float((weights - wanted).abs().max()):.1e} from "
        "those of the correct loop; does the last, shorter group divide by its own "
        "labels?",
    )
    expect(
        isinstance(returned, (list, tuple)) and len(returned) == 3,
        f"the result is {returned!r:.60}; return the list of the learning rates, one "
        "for each optimizer step",
    )
    returned = [float(rate) for rate in returned]
    second = [rate / 2 for rate in rates]
    expect(
        not _near(torch.tensor(returned), torch.tensor(second), 1e-9),
        "these are the learning rates of another group of parameters; as in the "
        "snippet, return those of param_groups[0]",
    )
    expect(
        _near(torch.tensor(returned), torch.tensor(rates), 1e-9),
        f"the learning rates of the steps were {rates}, and you return {returned}; "
        "return the list of those that the steps were made with",
    )
    expect(
        moved == 3,
        f"the schedule moved {moved} times in 3 optimizer steps; step it after each of "
        "them, the last one too, because another epoch follows",
    )
    for count, accumulate, steps in ((6, 2, 3), (2, 4, 1), (5, 1, 5), (7, 4, 2)):
        weights, used, returned, moved = tried(sizes[:count], accumulate)
        wanted, rates = _epoch(None, sizes[:count], accumulate)
        expect(
            len(used) == steps == moved,
            f"{count} micro-batches in groups of {accumulate} gave {len(used)} steps "
            f"of the optimizer and {moved} of the schedule, expected {steps}; make no "
            "empty step at the end, and one for what is left",
        )
        expect(
            _near(weights, wanted, 1e-8),
            f"correct in groups of 3, and for {count} micro-batches in groups of "
            f"{accumulate} the weights differ by "
            f"{float((weights - wanted).abs().max()):.1e} from those of the correct "
            "loop; does each group divide by its own labels?",
        )
        returned = [float(rate) for rate in returned]
        expect(
            len(returned) == steps
            and all(abs(a - b) < 1e-7 for a, b in zip(returned, rates)),
            f"{count} micro-batches in groups of {accumulate} make steps with the "
            f"learning rates {rates}, and you return {returned}",
        )
    return correct(
        "3 optimizer steps, 3 learning rates, and every label counts the same"
    )
