"""Where the rows of pretrain_mlm.py come from: texts in memory, or a stream of files or
of the `datasets` library that does not fit there.

    tokenizer, rows, held_out = corpus(["imdb"], vocab=8000, longest=64, length=64)
    stages = stages_of(settings)                   # [(tokens a row, steps), ...]
    for batch in batches_from(rows, stages, 0, tokenizer, settings, ctx):
        ...

A batch is a dict of tensors (B, T) with `input_ids`, `labels` and `index`.
"""

import functools
import itertools
import zlib
from pathlib import Path

import torch
from pretraining import dealt, everywhere  # beside this file

from ftlib.course import sources
from ftlib.data import streaming, tokenization
from ftlib.evaluation import metrics
from ftlib.objectives import mlm
from ftlib.training import distributed, train

# tokens of a vocabulary; the counts of its pairs take 4 bytes each, 0.6 GB
MOST_COUNTED = 12_000


def corpus(names, vocab, longest, length):
    """(tokenizer, rows (N, longest), validation rows (M, length)) of the course's own
    data sets; test texts stay unread.
    """
    splits = [sources.load(name) for name in names]
    texts = {
        split: [t for s in splits for t in s[split]["text"]]
        for split in ("train", "validation")
    }
    tokenizer = tokenization.train_wordpiece(texts["train"], vocab)
    encoded = {k: tokenization.encode(tokenizer, v) for k, v in texts.items()}
    rows = tokenization.pack(encoded["train"], longest)
    return tokenizer, rows, tokenization.pack(encoded["validation"], length)


def stream_of(a):
    """The source of --text or --hub, cut so that each lane has at least four parts, or
    None: the texts are in memory.
    """
    if a.text:
        letters = sum(Path(path).stat().st_size for path in a.text)
        size = min(1 << 20, max(1, letters // (4 * a.lanes)))
        return streaming.Files(a.text, size, a.field)
    if not a.hub:
        return None
    import datasets  # only who asks for it needs it

    builder = datasets.load_dataset_builder(*a.hub)
    # every lane has a file open, of which the library would read 10 MB of text, or a
    # whole row group of parquet, at once
    for name, most in (("chunksize", 1 << 18), ("batch_size", 1000)):
        if hasattr(builder.config, name):
            size = min(getattr(builder.config, name) or most, most)
            setattr(builder.config, name, size)
    dataset = builder.as_streaming_dataset(split="train")
    return streaming.Shards(dataset, a.lanes, a.field)


def trained_on(text):
    """Whether a streamed text is for training. A function of the text: however often it
    comes, it stays on its side. Raises ValueError for half a character.
    """
    try:
        # not tables.bucket: the text may be one side of a split by that
        return zlib.crc32(text.encode()) % 100 > 0
    except UnicodeEncodeError as error:
        raise ValueError(
            f"a text has half a character at {error.start} (a lone surrogate, "
            f"{text[error.start]!a}) and begins {text[:40]!a}; mend it or leave it out"
        ) from error


def streamed_corpus(source, vocab, longest, length):
    """As `corpus`, from a sample of the stream; its rows serve for counting tokens
    only.
    """
    texts = streaming.sample(source)
    tokenizer = tokenization.train_wordpiece(filter(trained_on, texts), vocab)
    # ids take far more memory than letters
    sample = filter(trained_on, streaming.sample(source, letters=1_000_000))
    held_out = [text for text in texts if not trained_on(text)][:1000]
    rows = tokenization.pack(tokenization.encode(tokenizer, list(sample)), longest)
    held_out = tokenization.encode(tokenizer, held_out)
    return tokenizer, rows, tokenization.pack(held_out, length)


def stages_of(a):
    """[(tokens a row, steps)]; without --stages one stage of rows of --length.
    ValueError if they do not fit together.
    """
    stages = [(a.length, a.steps)]
    if a.stages:
        stages = [tuple(map(int, stage.split(":"))) for stage in a.stages]
    lengths = [length for length, _ in stages]
    steps = sum(n for _, n in stages)
    if steps != a.steps:
        raise ValueError(
            f"the --stages have {steps} steps and --steps is {a.steps}; make them equal"
        )
    if any(max(lengths) % length or a.batch * a.length % length for length in lengths):
        raise ValueError(
            f"rows of {lengths} tokens must divide {max(lengths)} and the "
            f"{a.batch * a.length} tokens of a step; change --stages"
        )
    return stages


def check_rows(a, stages, world_size, source):
    """ValueError where a step has too few rows, or the lanes of a stream cannot share
    them evenly.
    """
    for rows in (a.batch * a.length // length for length, _ in stages):
        if rows < a.accumulate * world_size:
            raise ValueError(
                f"--batch gives steps of {rows} rows, not one for each of "
                f"{a.accumulate} micro-batches x {world_size} processes; change one "
                "of them"
            )
    longest = max(length for length, _ in stages)
    rows = a.batch * a.length // longest
    if source and rows % a.lanes:
        raise ValueError(
            f"a step has {rows} rows of {longest} tokens, not a multiple of --lanes "
            f"{a.lanes}; change one of them"
        )


def batches_from(rows, stages, step, tokenizer, a, ctx):
    """The micro-batches of this process from optimizer step `step` on, (B, T) with B x
    T the same in all stages.
    """
    parts = a.accumulate, ctx.rank, ctx.world_size
    for length, steps in stages:
        view = rows.view(-1, length)  # the same text, cut more often
        size = a.batch * a.length // length
        if step < steps:
            order = train.sample_rows(len(view), size, a.seed, first=step)
            for epoch, i in itertools.islice(order, steps - step):
                index = torch.tensor(i)
                batch = mlm.masked_batch(
                    view[index],
                    index,
                    tokenizer,
                    seed=a.seed,
                    epoch=epoch,
                    mask_prob=a.mask_prob,
                )
                yield from train.split_micro_batches(batch, *parts)
        step = max(0, step - steps)


def batches_from_stream(stream, stages, step, tokenizer, a, ctx):
    """As `batches_from`, of rows that the stream packs on the way; after each step the
    stream stands behind its rows.
    """
    for length, steps in stages:
        cuts = stream.length // length  # the longest rows, cut more often
        per_step = a.batch * a.length // (stream.length * ctx.world_size)
        for _ in range(steps - step):
            rows, numbers = stream.take(per_step)
            rows = rows.view(-1, length)
            index = (numbers[:, None] * cuts + torch.arange(cuts)).flatten()
            # epoch 0: a row's number never comes again
            batch = mlm.masked_batch(
                rows, index, tokenizer, seed=a.seed, mask_prob=a.mask_prob
            )
            # the rows are this process's own already
            yield from train.split_micro_batches(batch, a.accumulate)
        step = max(0, step - steps)


def test_batches(rows, tokenizer, count=512):
    """Masked batches of 32 rows for measuring: always the same rows and masks."""
    return [
        mlm.masked_batch(rows[i], i, tokenizer, seed=999)
        for i in everywhere(rows, count).split(32)
    ]


def loss_apart(net, tests, rows, tokenizer, ctx):
    """Validation loss where [MASK] is shown and at visible targets, and for each the
    best guess without context (the unigram of `rows`; a copy of the shown token). Every
    process calls it, because the losses are added up over all.

    Of the hidden targets also `neighbours`, a guess from the counts of `rows`: it sees
    the true tokens on both sides, which the model may find covered. So `beside` has the
    targets between two shown ones alone, where both know their neighbours, and
    `beside_neighbours` the counts there; `beside_share` says how many these are. A
    vocabulary of more than MOST_COUNTED has no such table.
    """
    special = [tokenizer.token_to_id(name) for name in tokenization.SPECIAL]
    vocab, mask_id = tokenizer.get_vocab_size(), special[-1]
    together = {k: torch.cat([b[k] for b in tests]) for k in ("input_ids", "labels")}
    asked = together["labels"] != -100
    truth = torch.where(asked, together["labels"], together["input_ids"])
    hidden = asked & (together["input_ids"] == mask_id)
    beside = hidden & _between(~asked)

    def loss(mask):
        parts = [
            {**batch, "labels": batch["labels"].masked_fill(~part, -100)}
            for batch, part in zip(tests, mask.split([len(b["labels"]) for b in tests]))
        ]
        mine = dealt(parts, ctx)
        return metrics.mean_loss(distributed.unwrap(net), mine, mlm.mlm_loss)

    found = {
        "hidden": loss(hidden),
        "unigram": metrics.unigram_loss(rows, truth[hidden], vocab),
        "visible": loss(asked & ~hidden),
        "copy": mlm.copy_loss(rows, together, vocab, mask_id, special),
    }
    if vocab <= MOST_COUNTED and beside.any():
        counts = functools.partial(metrics.neighbours_loss, rows, truth, vocab)
        found |= {
            "neighbours": counts(target_mask=hidden),
            "beside": loss(beside),
            "beside_neighbours": counts(target_mask=beside),
            "beside_share": int(beside.sum()) / int(hidden.sum()),
        }
    return {name: round(nats, 4) for name, nats in found.items()}


def _between(shown):
    """Where the tokens on both sides are shown; bool (N, T) -> bool (N, T)."""
    between = torch.zeros_like(shown)
    between[:, 1:-1] = shown[:, :-2] & shown[:, 2:]
    return between


def loss_by_quarter(net, held_out, tokenizer, a, ctx):
    """Validation loss in each quarter of rows of --max_tokens: are the last positions
    as good as the first? Every process calls it.
    """
    k = max(1, a.max_tokens // a.length)
    rows = held_out[: len(held_out) // k * k].view(-1, a.length * k)
    model = distributed.unwrap(net)
    quarter, losses = rows.shape[1] // 4, []
    for first in range(0, 4 * quarter, quarter):
        tests = test_batches(rows, tokenizer, 256)
        for batch in tests:
            batch["labels"][:, :first] = batch["labels"][:, first + quarter :] = -100
        mine = dealt(tests, ctx)
        losses.append(round(metrics.mean_loss(model, mine, mlm.mlm_loss), 4))
    return losses
