"""Fine-tune a pretrained encoder on labelled texts: chapter 14 as a program.

    python recipes/finetune.py --model reviews-bert-mini --labels 1000
    torchrun --nproc_per_node=2 recipes/finetune.py ...
    accelerate launch recipes/finetune.py ...

`finetune()` is the function that chapter 14, the demo and the label-efficiency grid
call.
"""

import argparse

import torch

from ftlib.course import hub, reproducibility, sources
from ftlib.data import tables, tokenization
from ftlib.evaluation import intervals
from ftlib.models import hf_format, transformer
from ftlib.objectives import classify
from ftlib.training import distributed, oom, optim, train


def encoder_of(name, scratch=False):
    """(encoder, tokenizer) of a name in hub.MODELS or a folder; `scratch` keeps the
    architecture and forgets the weights.
    """
    folder = hub.resolve(name)
    # so few steps need no dropout inside, and every stored result was made without
    net = transformer.from_state(*hf_format.load(folder, dropout=0.0))
    net = getattr(net, "encoder", net)  # a language model lends its encoder
    return (transformer.Transformer(net.config) if scratch else net), tokenization.load(
        folder
    )


def rows_of(tokenizer, texts, tokens, head=None):
    """Token ids of each text, at most `tokens`; of long texts the front, or `head`
    pieces of it and the rest from the end.

    Reviews give their verdict at the end, so that the two ends tell more than the front
    alone (Sun et al. 2019).
    """
    if head is not None and not 0 < head < tokens:
        raise ValueError(
            f"head is {head} of {tokens} tokens; take 1 to {tokens - 1}, which leaves "
            "something for the other end, or None for the front alone"
        )
    if head is None:
        return tokenization.encode(tokenizer, texts, tokens)
    rows = tokenization.encode(tokenizer, texts)
    return [
        row if len(row) <= tokens else [*row[:head], *row[head - tokens :]]
        for row in rows
    ]


def check_run(epochs, size, lr):
    """Raise ValueError for numbers with which no run could learn."""
    if min(epochs, size) < 1:
        raise ValueError(
            f"epochs is {epochs} and size {size}; train for 1 or more, with steps of 1 "
            "row or more"
        )
    if not 0 < lr < 1:
        raise ValueError(
            f"lr is {lr:g}; take a learning rate above 0 and below 1, such as 3e-4"
        )


def check_lengths(rows, config):
    """Raise ValueError for a row that the encoder has no positions for."""
    # ftlib and transformers name it differently; some encoders have no limit
    most = getattr(config, "max_tokens", None) or getattr(
        config, "max_position_embeddings", None
    )
    longest = max(map(len, rows), default=0)
    if most and longest > most:
        raise ValueError(
            f"the longest text has {longest} tokens, the encoder has positions for "
            f"{most}; ask for tokens={most} or fewer"
        )


def finetune(
    encoder,
    tokenizer,
    texts,
    labels,
    *,
    epochs=3,
    size=16,
    lr=3e-4,
    tokens=128,
    layer_decay=1.0,
    seed=0,
    classes=2,
    head=None,
    ctx=None,
    min_steps=0,
    show=False,
    accumulate=1,
):
    """A Classifier trained on `texts`, own loop, all layers. Returns (model, list of
    train.Step).

    size: rows of one step; pieces: the micro-batches that each process cuts its share
        of them into.
    """
    ctx = ctx or distributed.DistributedContext(torch.device("cpu"), 0, 1, None)
    config = encoder.config
    check_run(epochs, size, lr)
    rows = rows_of(tokenizer, texts, tokens, head)
    check_lengths(rows, config)
    tables.check_trainable(
        {"input_ids": rows, "label": labels},
        vocab_size=config.vocab_size,
        classes=classes,
    )
    torch.manual_seed(seed)
    net = distributed.wrap(classify.Classifier(encoder, classes), ctx)
    per_epoch = -(-len(rows) // size)
    # ten labels for three epochs would be three steps
    epochs = max(epochs, -(-min_steps // per_epoch))
    lengths = [len(row) for row in rows]
    order = [
        batch
        for epoch in range(epochs)
        for batch in classify.length_grouped(lengths, size, seed, epoch)
    ]
    total = per_epoch * epochs
    warmup = min(max(1, total // 10), total - 1)  # none in a run of one step

    def mine():
        shares = [batch[ctx.rank :: ctx.world_size] or batch[:1] for batch in order]
        read = classify.batches_of(rows, labels, order=shares, classes=classes)
        for batch, micro_batch in zip(order, read, strict=True):
            # no row is left for this process: it reads one, asks nothing, and joins the
            # exchange
            if ctx.rank >= len(batch):
                micro_batch["labels"].fill_(-100)
            yield from train.split_micro_batches(micro_batch, accumulate)

    run = train.steps(
        net,
        mine(),
        classify.classification_loss,
        optim.adamw(optim.parameter_groups(net, lr, layer_decay=layer_decay)),
        dtype=ctx.dtype,
        accumulate=accumulate,
        schedule=lambda step: optim.warmup_linear(step, warmup, total),
    )
    return distributed.unwrap(net), list(
        train.progress(run, total) if show and ctx.rank == 0 else run
    )


def score(net, tokenizer, texts, labels, tokens=128, ctx=None, head=None):
    """Logits and the share of right answers (1 or 0 for each text) on held-out
    texts.
    """
    rows = rows_of(tokenizer, texts, tokens, head)
    labels = classify.class_ids(labels)
    if len(rows) != len(labels):
        raise ValueError(
            f"there are {len(rows)} texts and {len(labels)} labels; each text needs one"
        )
    logits = classify.predict(
        net, classify.batches_of(rows), ctx.dtype if ctx else None
    )
    return logits, (logits.argmax(-1) == torch.tensor(labels)).float()


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in dict(
        model="reviews-bert-mini",
        data="rotten_tomatoes",
        labels=1000,
        epochs=3,
        size=16,
        tokens=128,
        seed=0,
    ).items():
        a.add_argument(f"--{name}", type=type(value), default=value)
    a.add_argument("--lr", type=float, default=3e-4)
    a.add_argument("--scratch", action="store_true")
    a = a.parse_args()
    check_run(a.epochs, a.size, a.lr)
    ctx = distributed.setup(a.seed)
    if ctx.device.type == "cpu" and ctx.world_size == 1:
        print(reproducibility.pick_threads(), flush=True)
    distributed.print0(ctx, f"{reproducibility.machine()}; {distributed.describe(ctx)}")
    splits = sources.load(a.data)
    train_subset = tables.subset(splits["train"], a.labels, a.seed)
    test = splits["test"]
    tables.check_trainable(train_subset, test, a.size)

    def attempt(_, accumulate):
        # fresh, because a failed attempt has trained it
        encoder, tokenizer = encoder_of(a.model, a.scratch)
        return tokenizer, finetune(
            encoder,
            tokenizer,
            train_subset["text"],
            train_subset["label"],
            epochs=a.epochs,
            size=a.size,
            lr=a.lr,
            tokens=a.tokens,
            seed=a.seed,
            ctx=ctx,
            show=True,
            accumulate=accumulate,
        )[0]

    # out of memory: again, the same steps in smaller pieces
    tokenizer, net = oom.retry_on_oom(attempt, a.size)
    _, correct = score(net, tokenizer, test["text"], test["label"], a.tokens, ctx)
    low, high = intervals.bootstrap_interval(correct)
    distributed.print0(
        ctx,
        f"test accuracy {correct.mean():.3f}, 95 % interval "
        f"{low:.3f} to {high:.3f} over {len(correct)} texts",
    )
    distributed.cleanup()


if __name__ == "__main__":
    main()
