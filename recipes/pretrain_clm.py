"""Pretrain a small GPT on film reviews: chapter 08 as a program. Interrupt it, start it
again: it goes on where it was.

    python recipes/pretrain_clm.py --out runs/reviews-gpt-mini
    torchrun --nproc_per_node=2 recipes/pretrain_clm.py ...
    accelerate launch recipes/pretrain_clm.py ...

--batch counts the rows of one optimizer step over all processes and micro-batches.
Writes a transformers folder (config.json, model.safetensors, tokenizer.json), which
opens as GPT-2, and run.json.
"""

import argparse
import itertools
import math
import time
from pathlib import Path

import outputs  # beside this file
import pretraining
import torch

from ftlib.course import sources
from ftlib.data import tokenization
from ftlib.evaluation import metrics
from ftlib.models import transformer
from ftlib.objectives import clm
from ftlib.training import distributed, optim, train


def arguments():
    kind = argparse.RawDescriptionHelpFormatter
    a = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    pretraining.options(
        a, steps=6000, length=128, batch=32, accumulate=1, vocab=8000, seed=0
    )
    pretraining.options(a, width=256, layers=4, heads=4, init_std=0.06, dropout=0.0)
    pretraining.options(a, lr=2e-3, warmup=100, weight_decay=0.01)
    a.add_argument("--data", nargs="+", default=["imdb", "rotten_tomatoes"])
    a.add_argument("--out", default="runs/pretrain_clm")
    return a.parse_args()


def corpus(names, vocab, length):
    """(tokenizer, packed rows (M, T) of the training texts, held-out documents as lists
    of ids and as texts).

    The vocabulary is byte-level BPE, so that what the model writes is text again.
    Test texts stay unread.
    """
    splits = [sources.load(name) for name in names]
    texts = {
        split: [t for s in splits for t in s[split]["text"]]
        for split in ("train", "validation")
    }
    tokenizer = tokenization.train_bpe(texts["train"], vocab)
    rows = tokenization.pack(tokenization.encode(tokenizer, texts["train"]), length)
    return (
        tokenizer,
        rows,
        tokenization.encode(tokenizer, texts["validation"]),
        texts["validation"],
    )


def batches_from(rows, step, a, ctx):
    """The micro-batches of this process from optimizer step `step` on."""
    parts = a.accumulate, ctx.rank, ctx.world_size
    for _, i in train.sample_rows(len(rows), a.batch, a.seed, first=step):
        batch = clm.causal_batch(rows[i]) | {"index": torch.tensor(i)}
        yield from train.split_micro_batches(batch, *parts)


def report(net, rows, tokenizer, documents, texts, length):
    """The finished model on whole held-out documents, each read from its beginning,
    beside what counting alone reaches.
    """
    total, targets = clm.document_nll(net, documents, window=length)
    held_out = torch.tensor([[i for ids in documents for i in ids]])
    V = tokenizer.get_vocab_size()
    # no document's first token
    is_target = torch.tensor(
        [[position > 0 for ids in documents for position in range(len(ids))]]
    )
    return {
        "documents": {
            "nats": round(total / targets, 4),
            "perplexity": round(metrics.perplexity(total / targets), 2),
            "tokens": targets,
            "bits_per_byte": round(
                total / math.log(2) / sum(len(t.encode()) for t in texts), 4
            ),
        },
        "uniform": round(math.log(V), 4),
        "unigram": round(metrics.unigram_loss(rows, held_out[is_target], V), 4),
        "bigram": round(
            metrics.bigram_loss(rows, held_out, V, target_mask=is_target), 4
        ),
    }


def main(a):
    ctx = distributed.setup(a.seed)
    # before anything is computed: a second run, or no right to write there
    with outputs.claim(a.out, rank=ctx.rank):
        pretrain(a, ctx, Path(a.out))
        distributed.cleanup()


def pretrain(a, ctx, out):
    if a.batch < a.accumulate * ctx.world_size:
        raise ValueError(
            f"--batch {a.batch} has no row for each of {a.accumulate} micro-batches x "
            f"{ctx.world_size} processes; change one of them"
        )
    commit = pretraining.commit()
    pretraining.describe(ctx)
    tokenizer, rows, documents, texts = corpus(a.data, a.vocab, a.length)
    sizes = (tokenizer.get_vocab_size(), a.width, a.layers, a.heads, 4 * a.width)
    more = dict(causal=True, dropout=a.dropout, init_std=a.init_std)
    config = transformer.Config(*sizes, a.length, **more)
    net, optimizer = pretraining.start(config, a, ctx)
    meta = pretraining.meaning(config, tokenizer, a)
    info = pretraining.resume(out, net, optimizer, meta)
    run = train.steps(
        net,
        batches_from(rows, info["step"], a, ctx),
        clm.clm_loss,
        optimizer,
        accumulate=a.accumulate,
        first=info["step"],
        dtype=ctx.dtype,
        schedule=lambda step: optim.warmup_linear(step, a.warmup, a.steps),
    )
    run = itertools.islice(run, a.steps - info["step"])
    held_out = tokenization.pack(documents, a.length)
    held_out = held_out[pretraining.everywhere(held_out, 256)]
    tests = [clm.causal_batch(ids) for ids in held_out.split(32)]

    def held_out_loss():
        mine = pretraining.dealt(tests, ctx)
        return metrics.mean_loss(net, mine, clm.clm_loss)

    # all there is to write if the run was over already
    now = {"curve": info["curve"], "seconds": info["seconds"]}
    begin = time.time()
    for step in train.progress(run, a.steps) if ctx.rank == 0 else run:
        done = step.number + 1
        pretraining.record_loss(step, info, a, ctx, held_out_loss)
        # by the step, not by the clock: all processes save together
        if done % 500 == 0 or done == a.steps:
            now = {
                "curve": info["curve"],
                "seconds": info["seconds"] + time.time() - begin,
            }
            pretraining.save(out, net, optimizer, done, meta | now)
    if ctx.rank == 0:
        net = distributed.unwrap(net)
        quality = report(net, rows, tokenizer, documents, texts, a.length)
        record = pretraining.record_of(net, a, ctx, commit, meta | now, **quality)
        pretraining.write(out, net, tokenizer, a.length, record)


if __name__ == "__main__":
    main(arguments())
