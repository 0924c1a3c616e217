"""Classification on top of any encoder: a head, freezing, batches of like length,
prediction, frozen features.

Use it:

    >>> # stands for ftlib's Transformer or transformers' AutoModel
    >>> class Encoder(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.tokens = torch.nn.Embedding(50, 16)
    ...
    ...     def forward(self, input_ids, attention_mask=None):
    ...         return Output(self.tokens(input_ids))
    >>> model = Classifier(Encoder(), classes=2, width=16)
    >>> batch = {
    ...     "input_ids": torch.ones(4, 7, dtype=torch.long),
    ...     "attention_mask": torch.ones(4, 7, dtype=torch.long),
    ... }
    >>> model(**batch).logits.shape
    torch.Size([4, 2])
    >>> # only the head is left: 16 x 2 weights and 2 biases
    >>> freeze(model.encoder)  # how many parameters of it still learn
    0
    >>> trainable(model)
    34

What it is not: the loop (train.py) or the metrics (metrics.py). Needs: torch only.

Shapes: B batch, T tokens, D width, C classes, N texts.
"""

import functools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


class Output(NamedTuple):
    """Named as in transformers: `last_hidden_state` (B, T, D), `logits` (B, C)."""

    last_hidden_state: torch.Tensor
    logits: torch.Tensor | None = None


def pool(hidden, attention_mask=None, how="mean"):
    """One vector per text, (B, T, D) -> (B, D): the mean over real tokens, or the first
    token ([CLS]).

    Padding must not count: with it, the same text would get another vector in a batch
    with longer neighbours.
    """
    if how == "first":
        return hidden[:, 0]
    if how != "mean":
        raise ValueError(
            f"pooling is {how!r}, known are 'mean' and 'first'; choose one of them"
        )
    if attention_mask is None:
        return hidden.mean(dim=1)
    weight = attention_mask.unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
    # clamp: a row of nothing but padding gets zeros instead of NaN, which would spread
    # to the whole batch
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


class Classifier(nn.Module):
    """Encoder, pooling, dropout and one new dense layer: (B, T) ids -> `Output.logits`
    (B, C).

    encoder: anything whose output has `.last_hidden_state`. `width` is read from its
        config if it has one. What else a batch has for it, `token_type_ids` of text
        pairs, goes on to the encoder.
    """

    def __init__(self, encoder, classes, pooling="mean", dropout=0.1, width=None):
        super().__init__()
        config = getattr(encoder, "config", None)
        # transformers says hidden_size, ftlib says width
        width = (
            width
            or getattr(config, "hidden_size", None)
            or getattr(config, "width", None)
        )
        if width is None:
            raise ValueError(
                "width is None and the encoder has no config to read it "
                "from; pass width="
            )
        self.encoder, self.pooling = encoder, pooling
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(width, classes)
        # small: the first predictions should be undecided
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids, attention_mask=None, **more):
        hidden = self.encoder(
            input_ids, attention_mask=attention_mask, **more
        ).last_hidden_state
        return Output(
            hidden, self.head(self.dropout(pool(hidden, attention_mask, self.pooling)))
        )


def inputs_of(batch):
    """The entries of a batch that a model reads; labels and row numbers stay behind."""
    return {
        k: batch[k]
        for k in ("input_ids", "attention_mask", "token_type_ids")
        if k in batch
    }


def classification_loss(model, batch):
    """The SUM of the cross-entropies, in nats, over the labels (B,) that are
    not -100.
    """
    logits = model(**inputs_of(batch)).logits  # (B, C)
    return F.cross_entropy(logits.float(), batch["labels"], reduction="sum")


def freeze(module, frozen=True):
    """Stop (or, frozen=False, let) a module's parameters learn -> how many of them
    still do. A frozen one has no gradient, and so no update and no decay.
    """
    for p in module.parameters():
        p.requires_grad = not frozen
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def trainable(model):
    """How many weights an optimizer would change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def by_position(values):
    """A list of the values in their order, whatever holds them: a pandas column would
    be looked up by its index, and the numbers of a tensor are no keys of a dict.
    """
    return values.tolist() if hasattr(values, "tolist") else list(values)


def length_grouped(lengths, size, seed=0, epoch=0, window=50):
    """Batches of texts of like length, so that padding is rare; in random order, a
    function of (seed, epoch) alone.

    lengths: N ints. The rows are shuffled, sorted by length inside windows of `window`
        batches, cut into batches of `size`, and the batches are shuffled. Sorting
        everything instead would show the same neighbours in every epoch. Returns a list
        of lists of row numbers; each row occurs exactly once.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    lengths = by_position(lengths)
    rows = torch.randperm(len(lengths), generator=generator).tolist()
    # wide enough for like lengths, narrow enough that neighbours change from epoch to
    # epoch
    span = size * window
    windows = [
        sorted(rows[i : i + span], key=lambda r: lengths[r])
        for i in range(0, len(rows), span)
    ]
    batches = [w[i : i + size] for w in windows for i in range(0, len(w), size)]
    return [
        batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()
    ]


def pad(rows, pad_id=0):
    """Make one batch of rows of different lengths, padded to the longest of them and no
    further.

    rows: B lists of ints. Returns {"input_ids": (B, T), "attention_mask": (B, T)} as
        LongTensors; 1 marks real tokens.
    """
    if not rows:
        raise ValueError("pad got no rows; a batch needs at least one")
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def batches_of(rows, labels=None, size=32, order=None, pad_id=0):
    """Yield padded batches {"input_ids", "attention_mask"[, "labels"], "index"}; each
    padded to its own longest row.

    rows: N lists of token ids. order: lists of row numbers (from length_grouped), or
        None for batches from the shortest rows to the longest, which is the cheapest
        order where order does not matter (evaluation).
    """
    rows = by_position(rows)
    labels = None if labels is None else by_position(labels)
    if order is None:
        by_length = sorted(range(len(rows)), key=lambda r: len(rows[r]))
        order = [by_length[i : i + size] for i in range(0, len(rows), size)]
    for picked in order:
        # to the longest of this batch, not of the corpus: padding costs time
        batch = pad([rows[r] for r in picked], pad_id)
        batch["index"] = torch.tensor(picked)
        if labels is not None:
            batch["labels"] = torch.tensor([labels[r] for r in picked])
        yield batch


def in_eval_mode(function):
    """`function(model, ...)` with dropout and the like switched off; afterwards every
    module has the mode that it had, also after an error or Ctrl-C.
    """

    @functools.wraps(function)
    def switched(model, *arguments, **keywords):
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            return function(model, *arguments, **keywords)
        finally:
            for module, training in modes.items():
                module.training = training

    return switched


@in_eval_mode
def _collect(model, batches, of, dtype):
    """Run `of(batch)` -> (B, ...) without gradients in eval mode, and put the rows back
    in the order of `index`.
    """
    device = next(model.parameters()).device
    rows, index = [], []
    with (
        torch.no_grad(),
        torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None),
    ):
        for batch in batches:
            # float32 on the CPU, so that a whole data set of results does not fill the
            # GPU
            rows.append(of({k: v.to(device) for k, v in batch.items()}).float().cpu())
            # batches without row numbers are taken to be in order
            index.append(
                batch.get(
                    "index", torch.arange(len(rows[-1])) + sum(map(len, rows[:-1]))
                )
            )
    rows, index = torch.cat(rows), torch.cat(index)
    return rows[index.argsort()]


def predict(model, batches, dtype=None):
    """Logits (N, C) of all batches, in the order of their `index` column,
    dropout off.
    """
    return _collect(
        model, batches, lambda batch: model(**inputs_of(batch)).logits, dtype
    )


def features(encoder, batches, pooling="mean", dtype=None):
    """Frozen features (N, D): the pooled last hidden state of each text. Computed once,
    then a head costs seconds.
    """

    def vectors(batch):
        hidden = encoder(**inputs_of(batch)).last_hidden_state
        # pooled in float32: a mean over hundreds of bfloat16 vectors loses digits
        return pool(hidden.float(), batch.get("attention_mask"), pooling)

    return _collect(encoder, batches, vectors, dtype)
