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
import hashlib
import itertools
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import torch

from ftlib.course import reproducibility, sources
from ftlib.data import tokenization
from ftlib.evaluation import metrics
from ftlib.models import hf_format, transformer
from ftlib.objectives import clm
from ftlib.training import checkpoint, distributed, optim, train


def arguments():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = dict(
        steps=6000,
        length=128,
        batch=32,
        accumulate=1,
        warmup=100,
        vocab=8000,
        width=256,
        layers=4,
        heads=4,
        seed=0,
    )
    for name, value in sizes.items():
        a.add_argument(f"--{name}", type=int, default=value)
    for name, value in dict(lr=2e-3, weight_decay=0.01, dropout=0.0).items():
        a.add_argument(f"--{name}", type=float, default=value)
    a.add_argument(
        "--gain",
        type=float,
        default=3.0,
        help="how much larger than 0.02 the blocks' matrices start",
    )
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
    size = a.batch // (a.accumulate * ctx.world_size)
    for _, i in train.sample_rows(
        len(rows), size, a.seed, ctx.rank, ctx.world_size, start=step * a.accumulate
    ):
        yield clm.causal_batch(rows[i]) | {"index": torch.tensor(i)}


def report(net, rows, tokenizer, documents, texts, length):
    """The finished model on whole held-out documents, each read from its beginning,
    beside what counting alone reaches.
    """
    total, targets = clm.document_nll(net, documents, window=length)
    held_out, V = (
        torch.tensor([[i for ids in documents for i in ids]]),
        tokenizer.get_vocab_size(),
    )
    # no document's first token
    asked_places = torch.tensor(
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
        "unigram": round(metrics.unigram_loss(rows, held_out[asked_places], V), 4),
        "bigram": round(
            metrics.bigram_loss(rows, held_out, V, target_mask=asked_places), 4
        ),
    }


def main(a):
    ctx, out = distributed.setup(a.seed), Path(a.out)
    if a.batch % (a.accumulate * ctx.world_size):
        raise ValueError(
            f"--batch {a.batch} is not a multiple of {a.accumulate} "
            f"micro-batches x {ctx.world_size} processes; change one of "
            "them"
        )
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    distributed.print0(ctx, distributed.describe(ctx))
    tokenizer, rows, documents, texts = corpus(a.data, a.vocab, a.length)
    config = transformer.Config(
        tokenizer.get_vocab_size(),
        a.width,
        a.layers,
        a.heads,
        4 * a.width,
        a.length,
        causal=True,
        dropout=a.dropout,
    )
    net = transformer.LanguageModel(config)
    for matrix in (p for p in net.encoder.blocks.parameters() if p.ndim == 2):
        # 0.02 suits GPT-2's width of 768; in a narrow model the blocks hardly change
        # what passes through
        matrix.data *= a.gain
    net = distributed.wrap(net, ctx)
    optimizer = optim.adamw(optim.parameter_groups(net, a.lr, a.weight_decay))
    meta = {
        "config": vars(config),
        "data": a.data,
        "batch": a.batch,
        "steps": a.steps,
        "seed": a.seed,
        # other ids would scramble the embeddings
        "vocabulary": hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:16],
    }
    newest = checkpoint.newest(out / "state")
    info = (
        checkpoint.load(newest, distributed.unwrap(net), optimizer, expect=meta)
        if newest
        else {"step": 0, "curve": [], "seconds": 0}
    )
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
    test = [clm.causal_batch(ids) for ids in held_out[:256].split(32)]
    start = time.time()
    # all there is to write if the run was over already
    now = {**meta, "curve": info["curve"], "seconds": info["seconds"]}
    for step in train.progress(run, a.steps) if ctx.rank == 0 else run:
        last = step.number + 1 == a.steps
        if step.number % 250 == 249 or last:
            loss = (
                metrics.mean_loss(net, test[ctx.rank :: ctx.world_size], clm.clm_loss)
                if step.number % 1000 == 999 or last
                else None
            )
            info["curve"].append(
                [step.number + 1, round(step.loss, 3), loss and round(loss, 4)]
            )
            if loss:
                distributed.print0(
                    ctx, f"step {step.number + 1}: held-out loss {loss:.3f}"
                )
        # by the step, not by the clock: all processes save together
        if step.number % 500 == 499 or last:
            now = {
                **meta,
                "curve": info["curve"],
                "seconds": info["seconds"] + time.time() - start,
            }
            checkpoint.save_numbered(
                out / "state",
                distributed.unwrap(net),
                optimizer,
                step=step.number + 1,
                meta=now,
            )
    if ctx.rank == 0:
        net = distributed.unwrap(net)
        hf_format.save(net, out)
        tokenization.save(tokenizer, out, a.length)
        record = {
            "command": " ".join(["python", *sys.argv]),
            "commit": commit,
            "machine": reproducibility.machine(),
            "processes": ctx.world_size,
            "options": vars(a),
            "weights": transformer.count_parameters(net),
            "precision": str(ctx.dtype or torch.float32),
            "tokens": a.steps * a.batch * a.length,
            **report(net, rows, tokenizer, documents, texts, a.length),
            **now,
        }
        (out / "run.json").write_text(
            json.dumps(record, indent=1) + "\n", encoding="utf-8"
        )
    distributed.cleanup()


if __name__ == "__main__":
    main(arguments())
