"""Contrastive learning: InfoNCE in one direction or both (CLIP), NT-Xent (SimCLR), and
embeddings gathered from all processes with their gradients.

Use it:

    >>> _ = torch.manual_seed(0)
    >>> model = TwoTowers(torch.nn.Linear(8, 4), torch.nn.Linear(6, 4))
    >>> # columns of the first tower begin with query_, of the second with key_
    >>> batch = {
    ...     "query_input": torch.randn(5, 8),
    ...     "key_input": torch.randn(5, 6),
    ...     "labels": torch.arange(5),
    ... }
    >>> contrastive_loss(model, batch).shape  # the sum over 5 pairs
    torch.Size([])
    >>> # pairs that cannot be told apart: log(5) each
    >>> round(float(clip_loss(torch.ones(5, 4), torch.ones(5, 4))) / 5, 4)
    1.6094

Row i of the queries and row i of the keys are a pair; the other rows of the batch are
the negatives. `labels` (B,) says what a pair is about: pairs with the same number are
no negatives of each other, and a pair with -100 is neither target nor negative. Number
the pairs 0, 1, 2, ... where each is another thing.

Negatives come from the micro-batch, of all processes together. So `accumulate` of
train.py, which cuts a step into micro-batches, takes negatives away, and processes do
not. Every process must call the loss equally often, when evaluating too.

What it is not: the encoders or the loop (train.py). Needs: torch only.

Shapes: B pairs of this process, M pairs of all processes, D width.
"""

import math
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn


class Embeddings(NamedTuple):
    """`queries` and `keys` (B, D), and the `temperature` (1,) that they are compared
    with.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    temperature: torch.Tensor


class Temperature(nn.Module):
    """A temperature that learns: exp(-log_scale), (1,), as in CLIP (Radford et al.
    2021), where `logit_scale` is log_scale.

    start: the first value. 0.07 is that of CLIP, SimCLR has 0.1 to 0.5. learnable:
        False keeps it. lowest: it is stopped there, or it could fall until the loss
        overflows; CLIP stops at 0.01.
    """

    def __init__(self, start=0.07, learnable=True, lowest=0.01):
        super().__init__()
        if not 0 < lowest <= start < float("inf"):
            raise ValueError(
                f"the temperature starts at {start} with {lowest} as its lowest value; "
                "both are above 0, and the start is not below the lowest"
            )
        self.lowest = lowest
        # (1,), because FSDP cannot share out a tensor without dimensions
        log_scale = torch.tensor([-math.log(start)])
        self.log_scale = nn.Parameter(log_scale, requires_grad=learnable)

    def forward(self) -> torch.Tensor:
        if self.training and self.log_scale.requires_grad:
            # the parameter itself is put back: clamping the value alone would leave it
            # without a gradient, and so for ever beyond the limit
            with torch.no_grad():
                self.log_scale.clamp_(max=-math.log(self.lowest))
        return (-self.log_scale).exp()


class TwoTowers(nn.Module):
    """Two encoders and a temperature -> `Embeddings`.

    query_tower, key_tower: modules that give one vector a row, (B, D). The same module
        twice is one encoder with shared weights (SimCLR, sentence embeddings).
    temperature: a number, where a learnable one starts, or a `Temperature`.
    """

    def __init__(self, query_tower, key_tower, temperature=0.07):
        super().__init__()
        self.query_tower, self.key_tower = query_tower, key_tower
        known = isinstance(temperature, nn.Module)
        self.temperature = temperature if known else Temperature(temperature)

    def forward(self, **columns) -> Embeddings:
        """columns: those of the batch whose names begin with `query_` or `key_`. A
        tower gets its columns by name without the prefix; a single column that is
        called `query_input` or `key_input` is its only positional argument.
        """
        embeddings = []
        for prefix, tower in (("query_", self.query_tower), ("key_", self.key_tower)):
            own = {
                name.removeprefix(prefix): column
                for name, column in columns.items()
                if name.startswith(prefix)
            }
            if not own:
                raise ValueError(
                    f"a batch has the columns {sorted(columns)}, none begins with "
                    f"{prefix}; rename those of that tower, {prefix}input_ids say"
                )
            embeddings.append(
                tower(own["input"]) if own.keys() == {"input"} else tower(**own)
            )
        return Embeddings(*embeddings, self.temperature())


class _Gather(torch.autograd.Function):
    """(B, ...) of each process -> (M, ...). Its backward adds up what the losses of all
    processes say about the rows of this one.
    """

    @staticmethod
    def forward(ctx, rows, sizes):
        ctx.sizes = sizes
        # all_gather wants equal shapes, the last process may have fewer rows
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        received = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(received, padded)
        return torch.cat([part[:size] for part, size in zip(received, sizes)])

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient.split(ctx.sizes)[dist.get_rank()], None


def gather_rows(rows) -> tuple[torch.Tensor, int]:
    """(B, ...) of each process -> (M, ...) of all in the order of their ranks, and the
    number of this process's first row among them. One process: (rows, 0).

    B may differ. Gradients flow: a row gets those of the losses of all processes, not
    only of its own, which torch's all_gather would leave out. The sum of the losses
    over processes has then the gradient of one process with all rows.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows, 0
    size = torch.tensor([len(rows)], device=rows.device)
    sizes = [torch.empty_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    sizes = torch.cat(sizes).tolist()
    return _Gather.apply(rows, sizes), sum(sizes[: dist.get_rank()])


def _check_pairs(queries, keys, labels, temperature):
    if queries.shape != keys.shape or queries.ndim != 2 or 0 in queries.shape:
        raise ValueError(
            f"queries are {tuple(queries.shape)}, keys {tuple(keys.shape)}; both are "
            "(B, D), row i of one belongs to row i of the other"
        )
    if not queries.is_floating_point():
        raise ValueError(
            f"queries are {queries.dtype}, vectors are needed; give embeddings, not ids"
        )
    temperature = float(temperature.detach())
    if temperature <= 0:
        raise ValueError(
            f"the temperature is {temperature}, similarities are divided by it; "
            "give a number above 0, 0.07 say"
        )
    if labels is None:
        return
    if labels.shape != queries.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"labels are {labels.dtype} {tuple(labels.shape)}, there are "
            f"{len(queries)} pairs; give one whole number a pair, (B,)"
        )
    if ((labels < 0) & (labels != -100)).any():
        row = int(((labels < 0) & (labels != -100)).nonzero()[0])
        raise ValueError(
            f"pair {row} has the label {int(labels[row])}; number what pairs are about "
            "from 0, or give -100 for a pair that is left out"
        )


def _prepared(embedding, normalize):
    """(B, D) in float32 at least, of length 1 if `normalize`."""
    dtype = torch.promote_types(embedding.dtype, torch.float32)
    embedding = embedding.to(dtype)
    return F.normalize(embedding, dim=-1) if normalize else embedding


def _pair_table(labels, not_negative, size, device):
    """(hidden, own, is_target) of the `size` pairs of this process: bool (B, M), True
    where pair j is no negative of pair i; (B,), the numbers of its pairs among all; and
    bool (B,).
    """
    own = torch.arange(size, device=device)
    everyone, first = gather_rows(own)
    own = own + first
    labels = own if labels is None else labels.long()
    every, _ = gather_rows(labels)
    hidden = (labels[:, None] == every) | (every == -100)
    if not_negative is not None:
        if not_negative.shape != hidden.shape or not_negative.dtype != torch.bool:
            raise ValueError(
                f"not_negative is {not_negative.dtype} {tuple(not_negative.shape)}, "
                f"torch.bool {tuple(hidden.shape)} is needed: a row for each pair of "
                "this process, a column for each pair of all processes"
            )
        hidden = hidden | not_negative
    # a pair's own key always stays: a row of nothing but -inf would give NaN
    is_own = own[:, None] == torch.arange(len(everyone), device=device)
    return hidden & ~is_own, own, labels != -100


def _cross_entropy(rows, candidates, temperature, hidden, positive, is_target):
    """Sum over the targets of -log softmax(similarity / temperature)[positive]."""
    visible = (~hidden).sum(dim=1)[is_target]
    if len(visible) and visible.max() < 2:
        raise ValueError(
            f"none of the {len(visible)} pairs has a negative, so the loss is 0 "
            "whatever the model does; give micro-batches of 2 pairs or more "
            "(`accumulate` cuts a step into them) with different labels"
        )
    # bfloat16 knows 3 digits, and 1 / temperature makes the error 10 to 100 times
    # as large
    with torch.autocast(rows.device.type, enabled=False):
        logits = rows @ candidates.T / temperature.to(rows)
        logits = logits.masked_fill(hidden, float("-inf"))
        targets = positive.masked_fill(~is_target, -100)
        return F.cross_entropy(logits, targets, reduction="sum")


def _ready(queries, keys, labels, temperature, not_negative, normalize):
    """Checked and prepared (queries, keys, temperature, (hidden, own, is_target))."""
    if not isinstance(temperature, torch.Tensor):
        temperature = torch.tensor(temperature, dtype=torch.float64)
    _check_pairs(queries, keys, labels, temperature)
    table = _pair_table(labels, not_negative, len(queries), queries.device)
    queries, keys = _prepared(queries, normalize), _prepared(keys, normalize)
    return queries, keys, temperature, table


def info_nce(
    queries, keys, labels=None, temperature=0.07, not_negative=None, normalize=True
) -> torch.Tensor:
    """InfoNCE (van den Oord et al. 2018): each query looks for its key among the keys
    of all pairs. The SUM over pairs of -log softmax(similarity / temperature), in nats.

    queries, keys: (B, D), row i of one belongs to row i of the other. labels: whole
        numbers (B,), equal where pairs are about the same thing and so no negatives of
        each other; -100 for a pair that is left out. None: all are different.
    temperature: a number or a tensor of one, which may learn. not_negative: bool
        (B, M), True where pair j must not be a negative of pair i, M pairs of all
        processes. normalize: compare by the cosine; False takes the scalar product.
    Under torch.distributed the keys are those of all processes, and the sum is over
    the pairs of this one. Raises ValueError for shapes that do not belong together, a
    temperature of 0 or less, labels below 0, and a batch without any negative.
    """
    queries, keys, temperature, (hidden, own, is_target) = _ready(
        queries, keys, labels, temperature, not_negative, normalize
    )
    every, _ = gather_rows(keys)
    return _cross_entropy(queries, every, temperature, hidden, own, is_target)


def clip_loss(
    queries, keys, labels=None, temperature=0.07, not_negative=None, normalize=True
) -> torch.Tensor:
    """InfoNCE in both directions, as in CLIP (Radford et al. 2021): the SUM over pairs
    of the mean of the two, so that the sum over B pairs / B is the loss of the paper.

    Arguments and errors as in `info_nce`; not_negative holds in both directions.
    """
    queries, keys, temperature, (hidden, own, is_target) = _ready(
        queries, keys, labels, temperature, not_negative, normalize
    )
    every_query, every_key = gather_rows(queries)[0], gather_rows(keys)[0]
    there = _cross_entropy(queries, every_key, temperature, hidden, own, is_target)
    back = _cross_entropy(keys, every_query, temperature, hidden, own, is_target)
    return (there + back) / 2


def nt_xent(
    first, second, labels=None, temperature=0.5, not_negative=None, normalize=True
) -> torch.Tensor:
    """The loss of SimCLR (Chen et al. 2020): two views of B images; each view looks for
    the other one of its image among all 2 M - 1 others, of both kinds. The SUM over
    images of the mean of their two views, so that the sum / B is that of the paper.

    first, second: (B, D), row i of both shows image i. Arguments and errors as in
        `info_nce`; an image that is no negative is none with either view.
    """
    first, second, temperature, (hidden, own, is_target) = _ready(
        first, second, labels, temperature, not_negative, normalize
    )
    every = torch.cat([gather_rows(first)[0], gather_rows(second)[0]])  # (2 M, D)
    M = len(every) // 2
    both = hidden.repeat(1, 2)
    total = 0.0
    for views, itself, positive in ((first, own, own + M), (second, own + M, own)):
        # no view is compared with itself
        without = both.scatter(1, itself[:, None], True)
        total = total + _cross_entropy(
            views, every, temperature, without, positive, is_target
        )
    return total / 2


def contrastive_loss(model, batch, objective=clip_loss) -> torch.Tensor:
    """The SUM over pairs, for train.steps: the model reads the columns that begin with
    `query_` and `key_`, and `labels` (B,) are the numbers of `info_nce`.

    model: a TwoTowers, or what else returns `.queries`, `.keys` and `.temperature`.
    objective: `clip_loss`, `info_nce` or `nt_xent`; for another than the first write
        functools.partial(contrastive_loss, objective=nt_xent).
    """
    columns = {
        name: column
        for name, column in batch.items()
        if name.startswith(("query_", "key_"))
    }
    output = model(**columns)
    return objective(
        output.queries,
        output.keys,
        batch["labels"],
        temperature=output.temperature,
    )
