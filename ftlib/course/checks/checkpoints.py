"""Checks of chapter 11: a snapshot that restores everything, the rows of a resumed run,
the losses of several workers, the mean over clients, and the newest valid file.

>>> from ftlib.course.checks.checkpoints import check_latest_good
>>> check_latest_good(lambda names, is_whole: max(names))
hint: step-999 was taken before step-1000; names sort as text, so compare the numbers
in them

What it is not: a test of speed, or of files on a real disk. States are compared bit by
bit, gradients and means as closely as float32 answers allow.
Needs: torch.
"""

import math
import random

import torch
from torch import nn

from ftlib.course.checks import correct, exercise, expect

# --- a snapshot


def _job(seed=0):
    """A small model with dropout and buffers, its optimizer with two groups, and a
    function that trains both for n steps.
    """
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 2)
    )
    head, body = list(model[3].parameters()), list(model[:2].parameters())
    optimizer = torch.optim.AdamW([{"params": body}, {"params": head, "lr": 0.02}], 0.1)
    x = torch.randn(3, 4)

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
            for group in optimizer.param_groups:
                group["lr"] *= 0.9  # a schedule that leaves its mark in the optimizer

    return model, optimizer, train


def _now(model, optimizer):
    return {
        "weights": [p.detach().clone() for p in model.parameters()],
        "buffers": [b.clone() for b in model.buffers()],
        "moments": [
            t.clone() for slot in optimizer.state.values() for t in slot.values()
        ],
        "rates": [torch.tensor(group["lr"]) for group in optimizer.param_groups],
        "random": [torch.get_rng_state()],
    }


def _same(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def _all_same(a, b):
    return all(_same(a[part], b[part]) for part in b)


def _expect_restored(got, before, end):
    """What back() restores, part by part; `end` is where the training had come."""
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
        _same(got["buffers"], before["buffers"]),
        "the model's buffers are not those of the snapshot, here BatchNorm's running "
        "mean and variance: parameters() leaves them out, state_dict() has them",
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
    rates = zip(got["rates"], before["rates"], ("first", "other"))
    for rate, wanted, which in rates:
        expect(
            torch.equal(rate, wanted),
            f"the learning rate of the {which} group is {float(rate):.7g} after back() "
            f"and was {float(wanted):.7g}; it is stored in optimizer.param_groups, "
            "which state_dict() includes",
        )
    expect(
        _same(got["random"], before["random"]),
        "the random generator was not restored, so dropout draws other masks; use "
        "torch.get_rng_state and torch.set_rng_state",
    )


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
        _all_same(after, before),
        "taking the snapshot changed the training state; it must only read it",
    )
    train(4)
    end = _now(model, optimizer)
    back()
    _expect_restored(_now(model, optimizer), before, end)
    train(4)
    expect(
        _all_same(_now(model, optimizer), end),
        "the state is correct right after back(), but 4 steps later it differs",
    )
    back()
    expect(
        _all_same(_now(model, optimizer), before),
        "back() works once and not a second time: load_state_dict of an optimizer "
        "keeps the tensors that it gets and changes them in place, so pass it a new "
        "copy each time",
    )
    train(2)
    back()
    expect(
        _all_same(_now(model, optimizer), before),
        "back() works twice and not a third time; it must restore as often as it is "
        "called",
    )
    _expect_two_snapshots(answer)
    return correct("resumed three times, each time bit for bit the same")


def _expect_two_snapshots(answer):
    """A snapshot before any step, when AdamW has no moments, and two at a time."""
    model, optimizer, train = _job(1)
    start, back = _now(model, optimizer), answer(model, optimizer)
    train(2)
    back()
    expect(
        _all_same(_now(model, optimizer), start),
        "a snapshot from before the first step does not bring back its state: AdamW "
        "has no moments then, and those of later steps must go",
    )
    states, backs = [], []
    for _ in range(2):
        train(2)
        states.append(_now(model, optimizer))
        backs.append(answer(model, optimizer))
    for back, state, words in (
        (
            backs[1],
            states[1],
            "of two snapshots the second does not bring back its own state",
        ),
        (
            backs[0],
            states[0],
            "the first of two snapshots does not bring back its own state; does the "
            "second overwrite it?",
        ),
    ):
        back()
        expect(_all_same(_now(model, optimizer), state), words)


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
        more = {"wrap": order, "not shuffled": []}.get(fault, [])
        order = list(range(rows)) if fault == "not shuffled" else order + more
        step_rows = order[position * size : (position + 1) * size]
        result.append(sorted(step_rows) if fault == "sorted" else step_rows)
    return result


def _one_stream(rows, size, seed, steps, one_generator=False):
    """Steps cut from one stream of epochs, or epochs drawn from one generator."""
    generator, stream, parts = torch.Generator().manual_seed(seed), [], []
    for epoch in range(steps):
        if not one_generator:
            generator = torch.Generator().manual_seed(seed + epoch)
        order = torch.randperm(rows, generator=generator)
        stream += order.tolist()
        parts += [part.tolist() for part in order.split(size)]
    steps_of_stream = [stream[s * size : (s + 1) * size] for s in range(steps)]
    return parts[:steps] if one_generator else steps_of_stream


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
WHOLE_RUN_HINTS = {
    "one order": ROW_HINTS["one order"],
    "short": (
        "the last rows of each epoch, fewer than `size`, are never read; return them "
        "as a shorter batch"
    ),
    "wrap": (
        "the short step at the end of an epoch is filled up with rows that were "
        "read already, so they are read twice in one epoch; leave it short"
    ),
    "sorted": "the rows of each step are sorted; keep the order of torch.randperm",
    "not shuffled": "the rows come in the order of the file; shuffle each epoch",
}


def _asked_rows(answer, *arguments):
    """The reader's rows as lists of ints; tensors are taken too."""
    result = list(answer(*arguments))
    expect(
        all(hasattr(step, "__iter__") and getattr(step, "ndim", 1) for step in result),
        "the rows of all steps are one list; return a list of lists, one for each step",
    )
    return [[int(row) for row in step] for step in result]


def _expect_rows(answer, rows, size, seed, first, last):
    case = (rows, size, seed, first, last)
    got, expected = _asked_rows(answer, *case), rows_right(*case)
    for fault, words in ROW_HINTS.items():
        expect(got == expected or got != rows_right(*case, fault), words)
    prefix = f"for {rows} rows in steps of {size}, seed {seed}"
    expect(
        len(got) == last - first,
        f"{prefix}, steps {first} to {last - 1} gave {len(got)} lists "
        "of rows, expected "
        f"{last - first}",
    )
    for step, (one, two) in enumerate(zip(got, expected), first):
        expect(
            one == two,
            f"{prefix}, a run resumed at step {first} reads {one} in step {step}, and "
            f"the uninterrupted one {two}",
        )


@exercise
def check_rows_of_steps(answer):
    """answer(rows, size, seed, first, last) -> [rows of step first, ..., rows of step
    last - 1], lists of numbers.
    """
    case = (10, 4, 7, 0, 9)
    got, expected = _asked_rows(answer, *case), rows_right(*case)
    expect(
        len(got) > 3,
        f"steps 0 to 8 gave {len(got)} lists of rows, expected 9; after an epoch the "
        "next one begins",
    )
    expect(
        len(got) == 9,
        f"steps 0 to 8 gave {len(got)} lists of rows, expected 9; step `first` is the "
        "first of them, and step `last` is not among them",
    )
    for fault, words in WHOLE_RUN_HINTS.items():
        expect(got != rows_right(*case, fault), words)
    expect(
        got != _one_stream(10, 4, 7, 9),
        "the short step at the end of an epoch is filled up with rows of the next "
        "epoch; leave it short",
    )
    expect(
        got != _one_stream(10, 4, 7, 9, one_generator=True),
        "one generator draws the orders of all epochs; each epoch has a generator of "
        "its own, with seed + epoch",
    )
    for step, (one, two) in enumerate(zip(got, expected)):
        expect(
            one == two,
            f"without any interruption step {step} reads {one}, expected {two}; the "
            "order of epoch e is torch.randperm(rows, "
            "generator=torch.Generator().manual_seed(seed + e))",
        )
    for first, last in ((5, 9), (4, 11), (3, 6), (1, 3), (6, 6)):
        _expect_rows(answer, 10, 4, 7, first, last)
    for case in (
        (12, 4, 0, 3, 4),
        (11, 3, 5, 2, 9),
        (30, 7, 123, 40, 44),
        (3, 5, 1, 0, 4),
        (8, 1, 2, 6, 11),
    ):
        _expect_rows(answer, *case)
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


def _parallel(a, b):
    """Equal within what a factor in float32 changes."""
    return bool((a - b).abs().max() <= 1e-6 * (1e-3 + b.abs().max()))


def _asked_losses(answer, counts):
    """(averaged gradient, the right one, losses, sums) for workers with `counts`."""
    weight, sums = _worker_sums(counts)
    got = list(answer(sums, counts))
    prefix = f"for workers with {counts} targets"
    expect(
        len(got) == len(counts),
        f"{prefix} {len(got)} losses came back for {len(counts)} workers; each worker "
        "calls backward on its own loss, also one without targets",
    )
    expect(
        not any(bool(torch.as_tensor(loss).isnan()) for loss in got),
        "a worker without targets gives NaN; divide by the same number for all, and "
        "do not divide by its own count"
        if sum(counts)
        else "where no worker has targets the losses are NaN, and must be 0; divide by "
        "at least 1",
    )
    for r, loss in enumerate(got):
        expect(
            isinstance(loss, torch.Tensor) and loss.requires_grad,
            f"{prefix} the loss of worker {r} has no graph any more, so "
            "backward cannot "
            "start from it; do not call .item(), .detach() or float(), and make no "
            "new tensor for a worker without targets",
        )
    single = [torch.autograd.grad(s, weight, retain_graph=True)[0] for s in sums]
    return _averaged(got, weight), sum(single) / max(1, sum(counts)), got, sums


def _expect_own_sum(losses, sums):
    """The loss of worker r may come from sums[r] alone."""
    for r, loss in enumerate(losses):
        grads = torch.autograd.grad(loss, sums, retain_graph=True, allow_unused=True)
        for other, grad in enumerate(grads):
            expect(
                other == r or grad is None or not bool(grad),
                f"the average is correct, but the loss of worker {r} contains the sum "
                f"of worker {other}; a worker has only its own sum and the counts",
            )


@exercise
def check_worker_losses(answer):
    """answer(sums, counts) -> [the loss that worker r calls backward on], so that the
    averaged gradient is that of the whole batch.
    """
    counts = [2, 9, 4]
    result, expected, losses, sums = _asked_losses(answer, counts)
    weight, again = _worker_sums(counts)
    single = [torch.autograd.grad(s, weight)[0] for s in again]
    means = sum(g / n for g, n in zip(single, counts))
    for wrong, words in (
        (
            means / 3,
            "this is a mean of means: a target of the worker with 2 weighs more than "
            "one of the worker with 9; divide all by the same number, that of all "
            "targets",
        ),
        (
            expected / 3,
            "the gradient is 3 times too small: DDP divides by the number of workers "
            "as well, so multiply by it",
        ),
        (sum(single) / 3, "the sums are not divided by the number of targets"),
        (
            means,
            "the factor is correct, but each worker still divides by its own targets; "
            "divide by the sum of all counts",
        ),
        (
            sum(single) / 9 / 3,
            "the sums are divided by the largest count; divide by the sum of all "
            "counts, and mind that DDP averages",
        ),
        (
            expected * 3,
            "the gradient is 3 times too large: DDP averages the gradients and does "
            "not add them up",
        ),
    ):
        expect(_parallel(result, expected) or not _parallel(result, wrong), words)
    expect(
        _parallel(result, expected),
        "the norm of the averaged gradient is "
        f"{float(result.norm() / expected.norm()):.7g} times the expected one; is a "
        "small number or another factor in it?",
    )
    _expect_own_sum(losses, sums)
    _expect_other_workers(answer)
    return correct(
        "the averaged gradient is that of the whole batch, also for workers with few "
        "or no targets"
    )


def _expect_other_workers(answer):
    for counts, words in (
        (
            [1, 2, 3, 4, 5],
            "the factor is the number of workers, here 5, and not always 3",
        ),
        (
            [0, 5],
            "when one worker has no targets, the averaged gradient must be that of the "
            "other; DDP divides by both, so each counts as a worker",
        ),
        ([1, 0], "with one target in all, divide by 1"),
        ([6], "one worker alone has the mean over its targets"),
    ):
        result, expected, _, _ = _asked_losses(answer, counts)
        ratio = float(result.norm() / expected.norm())
        expect(
            _parallel(result, expected),
            f"for workers with {counts} targets the averaged gradient is {ratio:.7g} "
            f"times the expected one; {words}",
        )
    _, _, losses, _ = _asked_losses(answer, [0, 0])
    expect(
        all(float(loss.detach()) == 0 for loss in losses),
        "when no worker has targets, each loss must be 0",
    )


# --- federated averaging


def _clients(count, seed=0):
    """State dicts of clients, with tensors of 2, 1 and 0 dimensions."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"layer.weight": (3, 2), "layer.bias": (3,), "scale": ()}
    return [
        {
            name: torch.randn(shape, generator=generator)
            for name, shape in shapes.items()
        }
        for _ in range(count)
    ]


def _mean_of(states, weights):
    return {
        name: sum(w * state[name].double() for state, w in zip(states, weights) if w)
        for name in states[0]
    }


def _by_rows(states, sizes):
    return _mean_of(states, [n / sum(sizes) for n in sizes])


def _near_states(a, b):
    """The same numbers, NaN where NaN is, within what float32 sums differ."""
    return all(
        torch.allclose(a[name].double(), b[name], rtol=0, atol=1e-5, equal_nan=True)
        for name in b
    )


def _merged(answer, states, sizes):
    """The reader's mean, once its names and shapes are right."""
    got = answer(states, list(sizes))
    expect(
        hasattr(got, "keys"),
        f"the result is a {type(got).__name__}; return a dict with the names of the "
        "clients' state dicts",
    )
    expect(
        set(got) == set(states[0]),
        f"the names are {sorted(got)}, and those of the clients' state dicts "
        f"{sorted(states[0])}",
    )
    got = {name: torch.as_tensor(value) for name, value in got.items()}
    expect(
        all(got[name].shape == value.shape for name, value in states[0].items()),
        "the tensors have other shapes than the clients'",
    )
    return got


def _wrong_means(states, sizes):
    """[(a wrong mean of three clients, its hint)]."""
    total, roots = sum(sizes), [n**0.5 for n in sizes]
    correct_mean = _by_rows(states, sizes)
    return [
        (
            _mean_of(states, [1 / 3] * 3),
            "every client counts the same, a mean of means; weight each by its "
            "fraction of all rows",
        ),
        (
            _mean_of(states, sizes),
            "the weighted sum is not divided by the number of all rows",
        ),
        (
            _mean_of(states, [n / total / 3 for n in sizes]),
            "divided once too often; the fractions already add up to 1",
        ),
        (states[2], "only the last client is left; add up all clients"),
        (states[sizes.index(max(sizes))], "this is the client with most rows"),
        (
            _by_rows(states, sorted(sizes)),
            "the sizes are sorted and the clients are not; keep each client's size "
            "with it",
        ),
        (
            _by_rows(states, sorted(sizes, reverse=True)),
            "the sizes are sorted and the clients are not; keep each client's size "
            "with it",
        ),
        (
            _mean_of(states, [root / sum(roots) for root in roots]),
            "the weights are square roots of the rows; take the rows themselves",
        ),
        *(
            (
                {name: value.round(decimals=d) for name, value in correct_mean.items()},
                "the mean is rounded; return the numbers as they are",
            )
            for d in (1, 2, 3, 4)
        ),
        (
            {name: value.half() for name, value in correct_mean.items()},
            "the mean is in half precision; keep the clients' own",
        ),
    ]


@exercise
def check_merge_clients(answer):
    """answer(states, sizes) -> state dict: each weight the mean over the clients,
    weighted by their sizes.
    """
    states, sizes = _clients(3), [30, 10, 60]
    got, correct_mean = _merged(answer, states, sizes), _by_rows(states, sizes)
    for wrong, words in _wrong_means(states, sizes):
        wrong = {name: value.double() for name, value in wrong.items()}
        expect(_near_states(got, correct_mean) or not _near_states(got, wrong), words)
    worst = max(
        float((got[name] - correct_mean[name]).abs().max()) for name in correct_mean
    )
    expect(
        _near_states(got, correct_mean),
        f"the weights differ by up to {worst:.3g} from the mean weighted by the "
        "clients' sizes, 30, 10 and 60 of 100",
    )
    _expect_other_clients(answer)
    return correct("weighted by rows, and a client without rows has no influence")


def _expect_other_clients(answer):
    """No rows, one row, one client, many clients, and weights that are no numbers."""
    for number in (math.nan, math.inf):
        for sizes in ([0, 5, 3], [2, 0, 7], [4, 1, 0]):
            states = _clients(3, seed=1)
            states[sizes.index(0)] = {
                name: torch.full_like(value, number)
                for name, value in states[0].items()
            }
            got = _merged(answer, states, sizes)
            expect(
                all(bool(value.isfinite().all()) for value in got.values()),
                f"0 x NaN is NaN, and 0 x inf too; leave out a client without rows, "
                f"here one of {sizes}, instead of weighting it with 0",
            )
            expect(
                _near_states(got, _by_rows(states, sizes)),
                f"for clients with {sizes} rows the mean is wrong; leave out clients "
                "with 0 rows, and no others: one row counts too",
            )
    for count, sizes in ((1, [9]), (5, [3, 1, 4, 1, 5]), (2, [2000000, 1])):
        states = _clients(count, seed=2)
        got = _merged(answer, states, sizes)
        expect(
            _near_states(got, _by_rows(states, sizes)),
            f"correct for three clients; for {count} with {sizes} rows the mean is "
            "wrong",
        )
        expect(
            all(got[n].data_ptr() != s[n].data_ptr() for s in states for n in s),
            "the result shares a tensor with a client; return new tensors",
        )
    states = _clients(2, seed=3)
    states[1]["scale"] = torch.tensor(math.nan)
    got = _merged(answer, states, [3, 2])
    expect(
        _near_states(got, _by_rows(states, [3, 2])),
        "the NaN of a client with rows is hidden; the mean there is NaN, and only a "
        "client without rows is left out",
    )


# --- the newest valid file


NO_FILE = (
    "where no file is valid, return an empty string; the run then starts from step 0"
)


def _file(step):
    return f"step-{step}.safetensors"


def _asked_name(answer, names, broken=()):
    """A name of the folder or "", as the reader's function returns it."""
    damaged = set(map(_file, broken))
    names = list(names)
    got = answer(list(names), lambda name: name not in damaged)
    expect(
        isinstance(got, str),
        f"the result is of type {type(got).__name__}; return a name, or an empty "
        "string",
    )
    expect(names or not got, NO_FILE)
    expect(
        not got or got in names,
        f"{got!r} is no name of the folder; return the name as it stands in `names`",
    )
    expect(
        not got.startswith("."),
        f"a temporary file was taken, {got!r}, left behind by a killed process; skip "
        "names that begin with a dot",
    )
    return got


@exercise
def check_latest_good(answer):
    """answer(names, is_whole) -> the name of the newest valid checkpoint;
    "" where there is none.
    """
    got = _asked_name(answer, list(map(_file, (999, 5, 1000, 20))))
    for step, words in (
        (
            999,
            "step-999 was taken before step-1000; names sort as text, so compare the "
            "numbers in them",
        ),
        (5, "the oldest was taken; the newest loses the fewest steps"),
        (
            20,
            "the last of the list was taken; the names have no order, so compare the "
            "numbers in them",
        ),
    ):
        expect(got != _file(step), words)
    expect(
        got == _file(1000),
        f"of steps 999, 5, 1000 and 20 {got!r} was taken, expected step-1000",
    )
    got = _asked_name(answer, map(_file, (5, 1000, 20)), broken=(1000,))
    expect(got != _file(1000), "a damaged file was taken; check is_whole(name) first")
    expect(
        got,
        "the newest file is damaged, and you return nothing; an older one is valid",
    )
    expect(
        got == _file(20),
        f"of steps 5, 20 and a damaged 1000 {got!r} was taken, expected 20, the "
        "newest valid one",
    )
    expect(
        _asked_name(answer, []) == "" and _asked_name(answer, [_file(5)], (5,)) == "",
        NO_FILE,
    )
    _expect_temporary_files(answer)
    _expect_other_folders(answer)
    return correct("the newest valid file, by number")


def _expect_temporary_files(answer):
    """Whatever their names end with, and whether or not there is a file besides."""
    for left in (
        ".step-25.safetensors.77.tmp",
        ".step-40.safetensors.a1b2",
        ".step-30",
    ):
        name = left if left.count(".") > 1 else f"{left}.safetensors"
        got = _asked_name(answer, [_file(5), name, _file(20)])
        expect(
            got == _file(20), f"of steps 5 and 20 {got!r} was taken, expected step-20"
        )
        expect(
            _asked_name(answer, [name]) == "",
            "where there are only temporary files, return an empty string",
        )


def _expect_other_folders(answer):
    """Numbers of other lengths, step 0, several damaged files, and random folders."""
    expect(
        _asked_name(answer, [_file(10000), _file(9999), _file(123)]) == _file(10000),
        "step-9999 was taken before step-10000; numbers have any number of digits",
    )
    expect(
        _asked_name(answer, [_file(0)]) == _file(0),
        "step-0 is a checkpoint too; an empty string says that there is none",
    )
    steps = [700, 800, 5, 900, 1100]
    expect(
        _asked_name(answer, map(_file, steps), broken=(1100, 900, 800)) == _file(700),
        "when the three newest are damaged the fourth is still valid; walk on to the "
        "oldest",
    )
    draw = random.Random(0)
    for _ in range(20):
        steps = draw.sample(range(200), 6) + draw.sample(range(200, 200000), 6)
        draw.shuffle(steps)
        broken = draw.sample(steps, draw.randint(0, 11))
        wanted = max(set(steps) - set(broken))
        got = _asked_name(answer, map(_file, steps), broken)
        expect(
            got == _file(wanted),
            f"of steps {sorted(steps)}, of which {sorted(broken)} are damaged, {got!r} "
            f"was taken, expected step-{wanted}",
        )
