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
from collections.abc import Iterable, Mapping, Set
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


def check_labels(labels, classes):
    """The labels (B,) as a LongTensor, each from 0 to classes - 1, or -100.

    Raises ValueError for others: on a GPU, torch would stop the whole process.
    """
    if labels.ndim != 1 or labels.is_floating_point():
        raise ValueError(
            f"labels are {labels.dtype} {tuple(labels.shape)}, class ids are whole "
            "numbers (B,); give one a row, and call .long()"
        )
    if classes < 2:
        raise ValueError(
            f"the head has {classes} class, so the loss is 0 whatever it says; take 2 "
            "or more"
        )
    labels = labels.long()
    wrong = (labels != -100) & ((labels < 0) | (labels >= classes))
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"row {row} of the batch has label {int(labels[row])}, the head has the "
            f"classes 0 to {classes - 1}; number them from 0, or make a larger head"
        )
    return labels


def classification_loss(model, batch):
    """The SUM of the cross-entropies, in nats, over the labels (B,) that are
    not -100. Raises ValueError for a label that is no class of the head.
    """
    logits = model(**inputs_of(batch)).logits  # (B, C)
    labels = check_labels(batch["labels"], logits.shape[-1])
    return F.cross_entropy(logits.float(), labels, reduction="sum")


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

    Raises TypeError for a string (its letters are no values), a dict or a table (they
    would give the names of their columns) and a set, which has no order.
    """
    kinds = (str, bytes, Mapping, Set)
    if isinstance(values, kinds) or hasattr(values, "columns"):
        raise TypeError(
            f"a list of values is needed, this is a {type(values).__name__}, "
            f"{repr(values)[:40]!r}; give one column, as a list or an array"
        )
    return values.tolist() if hasattr(values, "tolist") else list(values)


def class_ids(labels, classes=None):
    """A list of ints: the labels, each a class id from 0 to classes - 1, or -100 for a
    row that is no target.

    labels: N numbers, in a list, a tensor, a NumPy array or a pandas column. What is a
        whole number is converted: 1.0, which pandas makes of 1 beside a missing value,
        and True. classes: None sets no upper limit.
    Raises ValueError with row, value and remedy for anything else: another number, a
    fraction, text ("1" too, which may be a name), None, NaN.
    """
    ids, most = [], "" if classes is None else f" to {classes - 1}"
    for row, label in enumerate(by_position(labels)):
        try:
            number = int(label)
            exact = bool(label == number)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            number, exact = 0, False
        limit = number + 1 if classes is None else classes
        if not exact or not (number == -100 or 0 <= number < limit):
            raise ValueError(
                f"row {row} has label {repr(label)[:40]}, a class id is a whole number "
                f"from 0{most}; number the classes from 0 (take 1 from labels that "
                "begin at 1) and remove rows without a label"
            )
        ids.append(number)
    return ids


def length_grouped(lengths, size, seed=0, epoch=0, window=50):
    """Batches of texts of like length, so that padding is rare; in random order, a
    function of (seed, epoch) alone.

    lengths: N ints. The rows are shuffled, sorted by length inside windows of `window`
        batches, cut into batches of `size`, and the batches are shuffled. Sorting
        everything instead would show the same neighbours in every epoch. Returns a list
        of lists of row numbers; each row occurs exactly once. Raises ValueError for a
        size or window below 1, TypeError for rows in place of their lengths.
    """
    if min(size, window) < 1:
        raise ValueError(
            f"size is {size} and window {window}; a batch and a window hold 1 or more"
        )
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    lengths = by_position(lengths)
    if lengths and hasattr(lengths[0], "__len__"):
        raise TypeError(
            f"length 0 is {repr(lengths[0])[:40]}, not a number of tokens; give "
            "[len(row) for row in rows]"
        )
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


def check_rows(rows, pad_id=0):
    """The rows as lists of ints, each an id: a whole number from 0 on.

    rows: lists, arrays or tensors. Raises TypeError for a row that is none; ValueError
        for an id, or a `pad_id`, below 0 or beyond int64, and for 1.7 or True, as torch
        would make 1 of them.
    """
    lists = {"pad_id": [pad_id]} | {f"row {n}": row for n, row in enumerate(rows)}
    for name, row in lists.items():
        row = row.tolist() if hasattr(row, "tolist") else row
        if isinstance(row, (str, Mapping, set)) or not isinstance(row, Iterable):
            raise TypeError(
                f"{name} is {repr(row)[:40]}, not a list of token ids; encode the "
                "texts first, and write [row] for a single one"
            )
        # numbers of NumPy and torch become Python's
        ids = [i if type(i) is int else getattr(i, "tolist", lambda: i)() for i in row]
        wrong = [i for i in ids if type(i) is not int or not 0 <= i < 2**63]
        if wrong:
            raise ValueError(
                f"{name} has {repr(wrong[0])[:40]}, token ids are whole numbers from 0 "
                "to 2**63 - 1; encode texts first, and give ids, not labels with -100"
            )
        lists[name] = ids
    return list(lists.values())[1:]


def pad(rows, pad_id=0):
    """Make one batch of rows of different lengths, padded to the longest of them and no
    further.

    rows: B lists of ids, see `check_rows`. Returns {"input_ids": (B, T),
        "attention_mask": (B, T)} as LongTensors; 1 marks real tokens.
    """
    rows = check_rows(rows, pad_id)
    if not rows:
        raise ValueError("pad got no rows; a batch needs at least one")
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def _checked_rows(rows, labels, classes):
    """(rows, labels) as lists that belong together and can be read."""
    rows = check_rows(by_position(rows))
    if not rows:
        raise ValueError("there are 0 rows; a batch needs at least one")
    for row, ids in enumerate(rows):
        if not ids:
            raise ValueError(
                f"row {row} has no token, so there is nothing to attend to; remove the "
                "row"
            )
    if labels is None:
        return rows, None
    labels = class_ids(labels, classes)
    if len(rows) != len(labels):
        raise ValueError(
            f"there are {len(rows)} rows and {len(labels)} labels; each row needs one"
        )
    return rows, labels


def batches_of(rows, labels=None, size=32, order=None, pad_id=0, classes=None):
    """Padded batches {"input_ids", "attention_mask"[, "labels"], "index"}, one after
    the other; each padded to its own longest row.

    rows: N lists of token ids. labels: N class ids, see `class_ids`; below `classes`,
        if that is given. order: lists of row numbers (from length_grouped), or None for
        batches from the shortest rows to the longest, which is the cheapest order where
        order does not matter (evaluation).
    Raises at once, before the first batch: ValueError or TypeError with row, value and
    remedy for rows or labels that cannot be read or do not belong together.
    """
    if size < 1:
        raise ValueError(f"size is {size}; a batch holds 1 row or more")
    rows, labels = _checked_rows(rows, labels, classes)
    if order is None:
        by_length = sorted(range(len(rows)), key=lambda r: len(rows[r]))
        order = [by_length[i : i + size] for i in range(0, len(rows), size)]
    return _batches(rows, labels, order, pad_id)


def _batches(rows, labels, order, pad_id):
    for picked in order:
        if not all(0 <= r < len(rows) for r in picked):
            raise ValueError(
                f"the order has row {max(picked, key=abs)}, the rows are 0 to "
                f"{len(rows) - 1}; make it from the lengths of these rows"
            )
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
    if isinstance(batches, Mapping):
        raise TypeError("a list of batches is needed, this is one; write [batch]")
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
    if not rows:
        raise ValueError(
            "there are 0 batches; an iterator gives its batches once, so make it anew"
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
