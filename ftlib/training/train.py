"""The training loop as a generator: what you do between steps is ordinary code in your
own `for` body.

Use it:

    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Linear(3, 2)
    >>> rows = [
    ...     {"x": torch.randn(4, 3), "labels": torch.tensor([0, 1, 1, -100])}
    ...     for _ in range(6)
    ... ]
    >>> # the SUM over the targets, never a mean
    >>> def loss_fn(model, batch):
    ...     return torch.nn.functional.cross_entropy(
    ...         model(batch["x"]), batch["labels"], reduction="sum"
    ...     )
    >>> optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    >>> [
    ...     (step.number, step.targets)
    ...     for step in steps(model, rows, loss_fn, optimizer, accumulate=4)
    ... ]
    [(0, 12), (1, 6)]

The same loop runs on one core, one GPU, and many under torchrun: if torch.distributed
is initialised, counts and losses are summed over all processes (see distributed.py).
Logging, evaluating, saving and `break` belong to your loop body.

What it is not: a Trainer. No callbacks, no config. Needs: torch; tqdm for `progress`.

Words: a *micro-batch* is one forward and backward; a *step* is one optimizer step over
`accumulate` micro-batches.
"""

import contextlib
import inspect
import itertools
import sys
import time
import warnings
from typing import NamedTuple

import torch
import torch.distributed as dist


class Step(NamedTuple):
    """What one optimizer step did, the same on every process."""

    number: int  # counted from 0
    loss: float  # mean over all targets of the step, nats
    targets: int  # how many there were, over all micro-batches and processes
    lr: float  # of the first parameter group
    grad_norm: float  # before clipping
    tokens: int  # real tokens read, over all processes
    skipped: bool  # True if nothing was updated: not finite, or no target


def order(rows, seed, epoch):
    """A permutation of range(rows), LongTensor (rows,), that depends on (seed, epoch)
    and nothing else.
    """
    # a generator of its own: whatever else draws random numbers, a dropout layer say,
    # cannot move the order
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch % 1_000_003)
    # after so many epochs the numbers are those of the next seed; a further draw is not
    for _ in range(1 + epoch // 1_000_003):
        shuffled = torch.randperm(rows, generator=generator)
    return shuffled


def sample_rows(rows, size, seed=0, *, first=0, epochs=None):
    """Yield (epoch, row numbers) of each optimizer step, endlessly or for `epochs`,
    from step `first`.

    size: rows of a step, over all its micro-batches and processes. The last step of an
        epoch may be shorter; no row is lost or repeated.
    Nothing is remembered, and the rows of a step are a function of (seed, number of the
    step) alone: share them out afterwards (`split_micro_batches`), and a run that
    resumes at `first` continues exactly, with another number of micro-batches or
    processes too. Raises ValueError for no row, a size below 1 or a step below 0.
    """
    if rows < 1 or size < 1 or first < 0:
        raise ValueError(
            f"{rows} rows in steps of {size} from step {first}; give at least 1 row, "
            "steps of 1 or more, and count them from 0"
        )
    # the number of the step says the epoch and the position in it, so a resumed run
    # reads nothing twice
    epoch, step = divmod(first, -(-rows // size))
    while epochs is None or epoch < epochs:
        shuffled = order(rows, seed, epoch).tolist()
        for start in range(step * size, rows, size):
            yield epoch, shuffled[start : start + size]
        epoch, step = epoch + 1, 0


def _total(values, device):
    """Sum a list of numbers over all processes."""
    # float64, because float32 counts exactly only up to 16.7 million; MPS has no
    # float64
    t = torch.tensor(
        values, dtype=torch.float64, device=device if device.type != "mps" else "cpu"
    )
    if dist.is_initialized():
        dist.all_reduce(t)
    return t.tolist()


def _label_columns(batch):
    columns = [k for k in batch if k == "labels" or k.endswith("_label")]
    if not columns:
        raise ValueError(
            f"a batch has the columns {sorted(batch)}; targets are read from `labels` "
            "and from columns that end in `_label`, so give one of them that name"
        )
    return columns


def _tokens(batch):
    """Real tokens of a micro-batch; without a mask every label or id counts."""
    if "attention_mask" in batch:
        return int(batch["attention_mask"].sum())
    names = [name for name in ("labels", "input_ids") if name in batch]
    return batch[(names or _label_columns(batch))[0]].numel()


def _groups(batches, size):
    """Lists of `size` micro-batches; the last may be shorter."""
    batches = iter(batches)
    while group := list(itertools.islice(batches, size)):
        yield group


def _check(optimizer, accumulate):
    """ValueError for what no step can work with, before the first."""
    if accumulate < 1:
        raise ValueError(
            f"accumulate is {accumulate}, a step has at least 1 micro-batch; give 1 or "
            "more"
        )
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"{type(optimizer).__name__} computes the loss several times a step, "
            "through a closure, and this loop once; take an optimizer whose step() "
            "needs none, AdamW say, or write the loop yourself"
        )


def _loss(loss_fn, model, batch):
    """The loss of a micro-batch. What batch norm says to a single row does not name the
    remedy.
    """
    try:
        return loss_fn(model, batch)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        rows = len(next(iter(batch.values())))
        raise ValueError(
            f"a micro-batch has {rows} row, and batch norm needs at "
            "least 2 to train; choose a size or `accumulate` that leaves no single "
            "row, leave the last batch out (drop_last=True of a DataLoader), or freeze "
            "the batch norm"
        ) from error


# A Ctrl-C that comes inside torch's own no_grad can leave gradients off for good
@torch.enable_grad()
def _gradients(model, group, counts, loss_fn, dtype, world_size):
    """Backward through every micro-batch of one step. Returns the summed loss of each
    label column, this process only.
    """
    sums = dict.fromkeys(counts, 0.0)
    for i, batch in enumerate(group):
        # Gradients travel between processes once per step, in the last backward; FSDP2
        # has no no_sync here and sends them in every backward, because keeping whole
        # ones until the last would need the memory that sharding saves
        hold = i + 1 < len(group) and hasattr(model, "no_sync")
        with model.no_sync() if hold else contextlib.nullcontext():
            device = next(iter(batch.values())).device.type
            with torch.autocast(device, dtype) if dtype else contextlib.nullcontext():
                loss = _loss(loss_fn, model, batch)
            # one form for both kinds of loss function from here on
            loss = loss if isinstance(loss, dict) else {"labels": loss}
            if not loss.keys() <= counts.keys():
                raise ValueError(
                    f"the loss has the sums {sorted(loss)}, the batch the label "
                    f"columns {sorted(counts)}; return {{label column: sum}}, or a "
                    "tensor for `labels`"
                )
            # DDP averages gradients over processes; we want the sum, so multiply by
            # their number
            sum(
                value * (world_size / max(counts[k], 1)) for k, value in loss.items()
            ).backward()
        # detached, or the graphs of all micro-batches would stay in memory
        for k, value in loss.items():
            sums[k] += value.detach().double()
    return {k: float(v) for k, v in sums.items()}


def _rows(group):
    rows = [i for batch in group if "index" in batch for i in batch["index"].tolist()]
    return (
        f"rows {rows[:8]}{' ...' if len(rows) > 8 else ''}"
        if rows
        else "rows unknown (batches carry no `index`)"
    )


def _state_beside_weights(model, device):
    """What a forward may change: buffers (the running statistics of a batch norm) and
    the generators that dropout draws from.
    """
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    return buffers, torch.get_rng_state(), cuda


@torch.no_grad()
def _restore(state, device):
    buffers, cpu, cuda = state
    for buffer, before in buffers:
        buffer.copy_(before)
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda, device)


def steps(
    model,
    batches,
    loss_fn,
    optimizer,
    *,
    accumulate=1,
    schedule=None,
    clip=1.0,
    dtype=None,
    first=0,
    patience=3,
):
    """Train, yielding a Step after each optimizer step.

    batches: iterable of micro-batches, dicts of tensors with "labels" (any shape, -100
        at ignored positions); a column "index" (B,) with row numbers makes warnings
        exact. Tensors are moved to the model's device.
    loss_fn(model, batch): the sum over batch["labels"] != -100 as a scalar tensor, or
        {label column: sum} for a joint loss (label columns are `labels` and those
        ending in `_label`). The step's loss divides each sum by the number of targets
        in the *whole* step over all micro-batches and processes; a mean of means weighs
        short batches too much.
    schedule(number): factor on each group's "initial_lr"; None leaves the learning
        rates to you (a scheduler of torch, say).
    clip: largest gradient norm, or None.
    dtype: torch.bfloat16 for mixed precision (weights stay float32), None for none.
    first: number of the first step.

    A step with a non-finite loss or gradient leaves weights, buffers, optimizer and
    random state untouched and warns; after `patience` such steps in a row it raises
    FloatingPointError. A step without targets changes nothing. Raises ValueError for
    `accumulate` below 1, for batches and losses without a label column in common, for
    an optimizer whose step needs a closure (LBFGS), and for a micro-batch of one row
    where batch norm trains.
    """
    _check(optimizer, accumulate)
    device = next(model.parameters()).device
    world_size = dist.get_world_size() if dist.is_initialized() else 1
    params = [p for g in optimizer.param_groups for p in g["params"]]
    for g in optimizer.param_groups if schedule else ():
        # the schedule multiplies this, never its own last result
        g.setdefault("initial_lr", g["lr"])
    bad = 0
    for number, group in enumerate(_groups(batches, accumulate), start=first):
        # the whole step at once: its targets must be counted before the first backward
        group = [
            {k: v.to(device, non_blocking=True) for k, v in batch.items()}
            for batch in group
        ]
        model.train()  # the reader's loop body may have evaluated
        for g in optimizer.param_groups if schedule else ():
            g["lr"] = g["initial_lr"] * schedule(number)
        before = _state_beside_weights(model, device)
        columns = _label_columns(group[0])
        counted = [sum(int((b[k] != -100).sum()) for b in group) for k in columns]
        tokens = sum(map(_tokens, group))
        *counted, tokens = _total([*counted, tokens], device)
        counts = dict(zip(columns, counted))
        sums = _gradients(model, group, counts, loss_fn, dtype, world_size)
        # no name for the list: it would keep the gradients through the next backward
        total = torch.nn.utils.get_total_norm(
            [p.grad for p in params if p.grad is not None]
        )
        # of sharded weights it is a DTensor: each process knows the norm of its share
        # until they are put together
        norm = float(total.full_tensor() if hasattr(total, "full_tensor") else total)
        # torch's clip_grad_norm_ multiplies all gradients by 1 where none is too large
        if clip and norm > clip:
            torch.nn.utils.clip_grads_with_norm_(params, clip, total)
        loss = sum(
            s / max(c, 1)
            for s, c in zip(_total([sums[k] for k in columns], device), counted)
        )
        lr = optimizer.param_groups[0]["lr"]
        finite = norm < float("inf") and abs(loss) < float("inf")  # NaN compares false
        # the norm and the loss are those of all processes, so all decide alike
        if finite and sum(counted):
            optimizer.step()
        else:
            _restore(before, device)
        optimizer.zero_grad(set_to_none=True)  # frees the memory as well
        bad = 0 if finite else bad + 1
        if not finite:
            message = (
                f"step {number}: loss {loss}, gradient norm {norm}, learning rate "
                f"{lr:.3g}, {_rows(group)}; nothing was updated"
            )
            if bad >= patience:
                raise FloatingPointError(
                    f"{message}; {bad} steps in a row were not "
                    "finite, so lower the rate or look at these "
                    "rows"
                )
            warnings.warn(message, stacklevel=2)
        yield Step(
            number,
            loss,
            int(sum(counted)),
            lr,
            norm,
            int(tokens),
            not finite or not sum(counted),
        )


def progress(run, total, every=10.0, file=None):
    """Pass the Steps of `run` through, showing loss, tokens/s and time left.

    A bar from tqdm where there is a terminal or a notebook, a plain line every `every`
    seconds where there is neither.
    """
    file = file or sys.stderr
    if file.isatty() or "ipykernel" in sys.modules:
        yield from _bar(run, total, file)
        return
    start = shown_at = time.perf_counter()
    tokens = done = 0  # counted here, because a resumed run does not start at step 0
    for step in run:
        tokens, done, now = tokens + step.tokens, done + 1, time.perf_counter()
        if now - shown_at > every or step.number + 1 == total:
            shown_at, left = now, (total - step.number - 1) * (now - start) / done
            print(
                f"step {step.number + 1}/{total}  loss {step.loss:.3f}  "
                f"{tokens / (now - start):,.0f} tokens/s  "
                f"{left / 60:.1f} min left",
                file=file,
                flush=True,
            )
        yield step


def _bar(run, total, file):
    from tqdm.auto import tqdm  # only here, so that the file works without tqdm

    start, tokens = time.perf_counter(), 0
    with tqdm(
        total=total, file=None if "ipykernel" in sys.modules else file, unit="step"
    ) as bar:
        for step in run:
            tokens += step.tokens
            bar.n = step.number
            bar.update()
            bar.set_postfix_str(
                f"loss {step.loss:.3f}, "
                f"{tokens / (time.perf_counter() - start):,.0f} "
                "tokens/s"
            )
            yield step


def split_micro_batches(batch, accumulate, rank=0, world_size=1):
    """Share out the batch of a step, a dict of tensors (B, ...): this process's
    `accumulate` micro-batches, for `steps(..., accumulate=accumulate)`.

    batch["labels"] says how many rows there are. Processes and micro-batches get a row
    in turn, so none has two more than another. One for which no row is left reads the
    first and has no target: all its label columns (`labels` and those ending in
    `_label`) are -100. So every step has `accumulate` micro-batches in every process,
    and all take part in the exchange of gradients. Where making a row is slow, share
    out the row numbers before (`rows[rank::world_size]`), in the same way. Raises
    ValueError for `accumulate` below 1 or a rank outside 0 to world_size - 1.
    """
    if accumulate < 1 or not 0 <= rank < world_size:
        raise ValueError(
            f"accumulate is {accumulate} and rank {rank} of {world_size}; give 1 "
            "micro-batch or more, and ranks from 0 to world_size - 1"
        )
    parts = accumulate * world_size
    for part in range(rank, parts, world_size):
        if part < len(batch["labels"]):
            # dealt out like cards: at most one row apart
            yield {key: value[part::parts] for key, value in batch.items()}
        else:
            asks = [key for key in batch if key == "labels" or key.endswith("_label")]
            yield {
                key: torch.full_like(value[:1], -100) if key in asks else value[:1]
                for key, value in batch.items()
            }
