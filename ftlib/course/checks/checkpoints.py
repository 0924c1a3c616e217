"""Checks of chapter 11: a snapshot that restores everything, the rows of a resumed run,
the losses of several workers, the mean over clients, and the newest valid file.

>>> from ftlib.course.checks.checkpoints import check_latest_good
>>> check_latest_good(lambda names, is_whole: sorted(names)[-1])
hint: step-999 was taken before step-1000; names sort as text, so compare the numbers
in them

What it is not: a test of speed, or of files on a real disk. States are compared bit by
bit, gradients in float64.
Needs: torch.
"""

import math
import re

import torch
from torch import nn

from ftlib.course.checks import correct, exercise, expect

# --- a snapshot


def _job(seed=0):
    """A small model with dropout, its optimizer, and a function that trains both for n
    steps.
    """
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(3, 4)).square().sum().backward()
            optimizer.step()
            for group in optimizer.param_groups:
                group["lr"] *= 0.9  # a schedule that leaves its mark in the optimizer

    return model, optimizer, train


def _now(model, optimizer):
    return {
        "weights": [p.detach().clone() for p in model.parameters()],
        "moments": [
            t.clone() for slot in optimizer.state.values() for t in slot.values()
        ],
        "rates": [torch.tensor(group["lr"]) for group in optimizer.param_groups],
        "random": [torch.get_rng_state()],
    }


def _same(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


@exercise
def check_snapshot(answer):
    """answer(model, optimizer) -> back(), a function that restores model,
    optimizer and torch's generator to their present state.
    """
    model, optimizer, train = _job()
    train(3)
    before = _now(model, optimizer)
    back = answer(model, optimizer)
    expect(
        callable(back),
        f"the result is a {type(back).__name__}; return a function, "
        "`back`, that takes no arguments",
    )
    after = _now(model, optimizer)
    expect(
        _same(before["random"], after["random"]),
        "taking the snapshot drew random numbers; it must only read the state",
    )
    expect(
        all(_same(before[part], after[part]) for part in before),
        "taking the snapshot changed the training state; it must only read it",
    )
    train(4)
    end = _now(model, optimizer)
    back()
    got = _now(model, optimizer)
    expect(
        not _same(got["weights"], end["weights"]),
        "after back() the weights are still those of 4 steps later; state_dict() "
        "hands out the tensors themselves, and training changes them in place: keep "
        "copies (copy.deepcopy)",
    )
    expect(
        _same(got["weights"], before["weights"]),
        "after back() the weights are neither the old nor the new ones",
    )
    expect(
        len(got["moments"]) == len(before["moments"]),
        "the optimizer's moments are gone after back(), and AdamW would begin again "
        "as if at step 0; restore its state_dict() too",
    )
    expect(
        not _same(got["moments"], end["moments"]),
        "the optimizer still has the moments of 4 steps later; a training state is "
        "more than the weights, so keep a copy of optimizer.state_dict() too",
    )
    expect(
        _same(got["moments"], before["moments"]),
        "the optimizer's moments are not those of the snapshot",
    )
    expect(
        _same(got["rates"], before["rates"]),
        f"the learning rate is {float(got['rates'][0]):.3f} after back() and was "
        f"{float(before['rates'][0]):.3f}; it is stored in optimizer.param_groups, "
        "which state_dict() includes",
    )
    expect(
        _same(got["random"], before["random"]),
        "the random generator was not restored, so dropout draws other masks; use "
        "torch.get_rng_state and torch.set_rng_state",
    )
    train(4)
    again = _now(model, optimizer)
    expect(
        all(_same(again[part], end[part]) for part in end),
        "the state is correct right after back(), but 4 steps later it differs",
    )
    back()
    third = _now(model, optimizer)
    expect(
        all(_same(third[part], before[part]) for part in before),
        "back() works once and not a second time: load_state_dict of an optimizer "
        "keeps the tensors that it gets and changes them in place, so pass it a new "
        "copy each time",
    )
    return correct("resumed twice, each time bit for bit the same")


# --- clinic: which rows a resumed run reads


def rows_right(rows, size, seed, first, last, fault=None):
    """The rows of steps first .. last - 1, or those of a known mistake."""
    result, per_epoch = [], rows // size if fault == "short" else -(-rows // size)
    shift = {"restart": -first, "epoch start": -(first % per_epoch)}.get(fault, 0)
    for step in range(first + shift, last + shift):
        epoch, position = divmod(step, per_epoch)
        epoch = (
            0
            if fault == "one order"
            else epoch - first // per_epoch
            if fault == "epoch 0"
            else epoch
        )
        order = torch.randperm(
            rows, generator=torch.Generator().manual_seed(seed + epoch)
        ).tolist()
        result.append(order[position * size : (position + 1) * size])
    return result


ROW_HINTS = {
    "restart": (
        "the resumed run starts at the first step again: rows of the beginning are "
        "seen twice, those of the end never"
    ),
    "epoch start": (
        "the epoch is correct, but its rows start over, so the rows before the "
        "interruption are read twice; skip them"
    ),
    "epoch 0": (
        "the position in the epoch is correct, but the order is that of epoch 0; "
        "compute the number of the epoch from the step, too"
    ),
    "one order": "every epoch has the order of epoch 0; seed the generator with seed + "
    "epoch",
}


@exercise
def check_rows_of_steps(answer):
    """answer(rows, size, seed, first, last) -> [rows of step first, ..., rows of step
    last - 1], lists of numbers.
    """

    def ask(*arguments):
        return [[int(row) for row in step] for step in answer(*arguments)]

    got, expected = ask(10, 4, 7, 0, 9), rows_right(10, 4, 7, 0, 9)
    expect(
        len(got) > 3,
        f"steps 0 to 8 gave {len(got)} lists of rows, expected 9; after an epoch the "
        "next one begins",
    )
    expect(got != rows_right(10, 4, 7, 0, 9, "one order"), ROW_HINTS["one order"])
    expect(
        got != rows_right(10, 4, 7, 0, 9, "short"),
        "the last rows of each epoch, fewer than `size`, are never read; return them "
        "as a shorter batch",
    )
    expect(
        got == expected,
        f"without any interruption step 1 reads {got[1]}, expected {expected[1]}; the "
        "order of epoch e is torch.randperm(rows, "
        "generator=torch.Generator().manual_seed(seed + e))",
    )
    for first, last in ((5, 9), (4, 11), (3, 6), (1, 3)):
        got, expected = ask(10, 4, 7, first, last), rows_right(10, 4, 7, first, last)
        for fault, words in ROW_HINTS.items():
            expect(
                got == expected or got != rows_right(10, 4, 7, first, last, fault),
                words,
            )
        expect(
            got == expected,
            f"a run resumed at step {first} reads {got[:1]} first, "
            f"and the uninterrupted one {expected[:1]}",
        )
    expect(
        ask(12, 4, 0, 3, 4) == rows_right(12, 4, 0, 3, 4),
        "with 12 rows in steps of 4, step 3 is the first of epoch 1",
    )
    return correct("resumed at any step, each row once in each epoch")


# --- clinic: a mean of means


def _worker_sums(targets, seed=0):
    """A weight (3,) and for each worker the sum of a loss over its targets."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, generator=generator, dtype=torch.float64).requires_grad_()
    sums = []
    for n in targets:
        x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
        sums.append(((x @ weight - 1) ** 2).sum())
    return weight, sums


def _averaged(losses, weight):
    """What DDP does: the gradient of each worker's loss, averaged over the workers."""
    grads = [torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in losses]
    return sum(grads) / len(grads)


@exercise
def check_worker_losses(answer):
    """answer(sums, counts) -> [the loss that worker r calls backward on], so that the
    averaged gradient is that of the whole batch.
    """

    def near(a, b):
        return bool((a - b).abs().max() < 1e-9 * (1 + b.abs().max()))

    counts = [2, 9, 4]
    weight, sums = _worker_sums(counts)
    single = [torch.autograd.grad(s, weight, retain_graph=True)[0] for s in sums]
    total = sum(counts)
    expected = sum(single) / total
    got = list(answer(sums, counts))
    expect(
        len(got) == 3,
        f"{len(got)} losses came back for 3 workers; each worker calls backward on "
        "its own loss",
    )
    expect(
        all(isinstance(loss, torch.Tensor) and loss.requires_grad for loss in got),
        "the losses have no graph any more, so backward cannot start from them; do "
        "not call .item(), .detach() or float()",
    )
    result = _averaged(got, weight)
    expect(
        not near(result, sum(g / n for g, n in zip(single, counts)) / 3),
        "this is a mean of means: a target of the worker with 2 weighs more than one "
        "of the worker with 9; divide all by the same number, that of all targets",
    )
    expect(
        not near(result, expected / 3),
        "the gradient is 3 times too small: DDP divides by the number of workers as "
        "well, so multiply by it",
    )
    expect(
        not near(result, sum(single) / 3),
        "the sums are not divided by the number of targets",
    )
    expect(
        not near(result, sum(g / n for g, n in zip(single, counts))),
        "the factor is correct, but each worker still divides by its own targets; "
        "divide by the sum of all counts",
    )
    expect(
        not near(result, expected * 3),
        "the gradient is 3 times too large: DDP averages the gradients and does not "
        "add them up",
    )
    expect(
        near(result, expected),
        "the norm of the averaged gradient is "
        f"{float(result.norm() / expected.norm()):.2f} times the expected one",
    )
    weight, sums = _worker_sums([0, 5])
    got = list(answer(sums, [0, 5]))
    expect(
        not any(loss.isnan() for loss in got),
        "a worker without targets gives NaN; do not divide by its own count",
    )
    expect(
        near(_averaged(got, weight), torch.autograd.grad(sums[1], weight)[0] / 5),
        "when one worker has no targets, the averaged gradient must be that of the "
        "other",
    )
    got = list(answer(_worker_sums([0, 0])[1], [0, 0]))
    expect(
        all(loss == 0 for loss in got),
        "when no worker has targets, the loss must be 0, not NaN; divide by at least 1",
    )
    return correct(
        "the averaged gradient is that of the whole batch, also for workers with few "
        "or no targets"
    )


# --- federated averaging


@exercise
def check_merge_clients(answer):
    """answer(states, sizes) -> state dict: each weight the mean over the clients,
    weighted by their sizes.
    """
    generator = torch.Generator().manual_seed(0)
    states = [
        {
            "layer.weight": torch.randn(3, 2, generator=generator),
            "layer.bias": torch.randn(3, generator=generator),
        }
        for _ in range(3)
    ]
    kept, sizes = [{k: v.clone() for k, v in s.items()} for s in states], [10, 30, 60]

    def mean(by):
        return {name: sum(n * s[name] for n, s in zip(by, kept)) for name in kept[0]}

    def near(a, b):
        return all(
            torch.allclose(a[name].double(), b[name].double(), rtol=0, atol=1e-5)
            for name in b
        )

    got = answer(states, list(sizes))
    expect(
        isinstance(got, dict) and got.keys() == kept[0].keys(),
        "return a dict with the names of the clients' state dicts",
    )
    expect(
        all(got[k].shape == v.shape for k, v in kept[0].items()),
        "the tensors have other shapes than the clients'",
    )
    expect(
        all(torch.equal(s[k], o[k]) for s, o in zip(states, kept) for k in s),
        "a client's own tensors were changed; += works inside the first client's "
        "tensor, so start from zeros or a copy",
    )
    expect(
        not near(got, mean([1 / 3] * 3)),
        "every client counts the same, a mean of means; weight each by its fraction "
        "of all rows",
    )
    expect(
        not near(got, mean(sizes)),
        "the weighted sum is not divided by the number of all rows",
    )
    expect(
        not near(got, mean([n / 300 for n in sizes])),
        "divided once too often; the fractions already add up to 1",
    )
    expect(
        not near(got, mean([0, 0, 1])),
        "only the last client is left; add up all clients",
    )
    expect(
        near(got, mean([n / 100 for n in sizes])),
        "the weights differ from the mean weighted by the clients' sizes, 10, 30 and "
        "60 of 100",
    )
    got["layer.bias"] += 1
    expect(
        all(
            torch.equal(s["layer.bias"], o["layer.bias"]) for s, o in zip(states, kept)
        ),
        "the result shares a tensor with a client; return new tensors",
    )
    states = [{"w": torch.tensor([math.nan])}, {"w": torch.tensor([2.0])}]
    got = answer(states, [0, 5])
    expect(
        bool(torch.isfinite(got["w"]).all()),
        "0 x NaN is NaN; leave out a client without rows instead of weighting it "
        "with 0",
    )
    expect(
        float(got["w"]) == 2.0, "with one client that has rows, the mean is that client"
    )
    return correct("weighted by rows, and a client without rows has no influence")


# --- the newest valid file


@exercise
def check_latest_good(answer):
    """answer(names, is_whole) -> the name of the newest valid checkpoint;
    "" where there is none.
    """

    def ask(steps, broken=(), other=()):
        names = [f"step-{n}.safetensors" for n in steps] + list(other)
        got = answer(
            list(names), lambda name: int(re.search(r"\d+", name).group()) not in broken
        )
        expect(
            isinstance(got, str),
            f"the result is a {type(got).__name__}; return a name, or an empty string",
        )
        return int(re.search(r"\d+", got).group()) if got else None

    got = ask([5, 20, 999, 1000])
    expect(
        got != 999,
        "step-999 was taken before step-1000; names sort as text, so "
        "compare the numbers in them",
    )
    expect(got != 5, "the oldest was taken; the newest loses the fewest steps")
    expect(
        got == 1000,
        f"of steps 5, 20, 999 and 1000 step-{got} was taken, expected step-1000",
    )
    got = ask([5, 1000, 20], broken=(1000,))
    expect(got != 1000, "a damaged file was taken; check is_whole(name) first")
    expect(
        got is not None,
        "the newest file is damaged, and you return nothing; an older one is valid",
    )
    expect(
        got == 20,
        f"of steps 5, 20 and a damaged 1000 step-{got} was taken, expected 20, the "
        "newest valid one",
    )
    got = ask([5, 20], other=(".step-25.safetensors.77.tmp",))
    expect(
        got != 25,
        "a temporary file was taken, left behind by a killed process; skip names "
        "that begin with a dot",
    )
    expect(got == 20, f"of steps 5 and 20 step-{got} was taken, expected step-20")
    expect(
        ask([]) is None and ask([5], broken=(5,)) is None,
        "where no file is valid, return an empty string; the run then starts from "
        "step 0",
    )
    return correct("the newest valid file, by number")
