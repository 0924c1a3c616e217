"""Pretrain a small BERT on film reviews: chapter 09 as a program. Interrupt it, start
it again: it goes on where it was.

    python recipes/pretrain_mlm.py --out runs/reviews-bert-mini
    torchrun --nproc_per_node=2 recipes/pretrain_mlm.py ...
    accelerate launch recipes/pretrain_mlm.py ...

--batch counts the rows of one optimizer step over all processes and micro-batches, so
the same line trains the same model on one core and on many. --stages 16:500 64:6500
128:1000 trains 500 steps on rows of 16 tokens, then 6,500 on rows of 64, then 1,000 on
rows of 128, with as many tokens in every step: on short rows a model leaves the plateau
of word counts early. Writes a transformers folder (config.json, model.safetensors,
tokenizer.json) and run.json.

More text than memory: --text a.txt b.jsonl ... reads files with one document a line
(the field "text" of a .jsonl line), and --hub NAME [CONFIG] the training split of a
stream of the `datasets` library, which may be a local folder. The vocabulary then comes
from a sample, one document in a hundred is held out by its hash, and each of --lanes
lanes is read by one process.

More than one machine: the same line on each of them, here two with 8 GPUs each; HOST is
the address of either one.

    torchrun --nnodes=2 --nproc_per_node=8 --rdzv-backend=c10d \\
        --rdzv-endpoint=HOST:29500 --rdzv-id=mlm \\
        recipes/pretrain_mlm.py --shard --lanes 16 --text /data/*.jsonl \\
        --out /shared/run

Without the rendezvous, on machine 0 and 1: torchrun --nnodes=2 --node-rank=0
--master-addr=HOST --master-port=29500 ... (then --node-rank=1). All must see the same
--text files and the same --out folder. --shard (FSDP2) shares weights and optimizer out
over all processes; without it each holds everything (DDP). The checkpoint is one and
the same file either way.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import mlm_rows  # beside this file
import outputs
import pretraining
import torch

from ftlib.data import streaming, tokenization
from ftlib.evaluation import metrics
from ftlib.models import transformer
from ftlib.objectives import mlm
from ftlib.training import distributed, optim, train


def arguments():
    kind = argparse.RawDescriptionHelpFormatter
    a = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    pretraining.options(
        a, steps=3000, length=64, batch=64, accumulate=1, max_tokens=128, vocab=8000
    )
    pretraining.options(
        a, width=256, layers=4, heads=4, init_std=0.06, seed=0, mask_prob=0.2
    )
    pretraining.options(
        a, lr=1e-3, warmup=100, weight_decay=0.01, minutes_between_saves=5.0, lanes=8
    )
    a.add_argument("--stages", nargs="+", metavar="LENGTH:STEPS")
    a.add_argument("--start", help="a folder of this recipe: go on from its weights")
    a.add_argument("--data", nargs="+", default=["imdb", "rotten_tomatoes"])
    a.add_argument("--text", nargs="+", metavar="FILE", help="in place of --data")
    a.add_argument("--hub", nargs="+", metavar="NAME", help="in place of --data")
    a.add_argument("--field", default="text", help="of a .jsonl line or a data set")
    a.add_argument("--shard", action="store_true", help="FSDP2 in place of DDP")
    a.add_argument("--out", default="runs/pretrain_mlm")
    return a.parse_args()


def texts_of(a, source, longest):
    """(tokenizer, training rows, validation rows), from memory or from the stream."""
    if source:
        texts = mlm_rows.streamed_corpus(source, a.vocab, longest, a.length)
    else:
        texts = mlm_rows.corpus(a.data, a.vocab, longest, a.length)
    if a.start and tokenization.load(a.start).get_vocab() != texts[0].get_vocab():
        raise ValueError(
            f"{a.start} has another vocabulary than --vocab {a.vocab} of {a.data} "
            "gives; take the same data and size"
        )
    return texts


def finish(net, rows, held_out, tests, tokenizer, a, ctx, commit, meta):
    """Measure the model and write its folder; every process calls it."""
    quarters = mlm_rows.loss_by_quarter(net, held_out, tokenizer, a, ctx)
    apart = mlm_rows.loss_apart(net, tests, rows, tokenizer, ctx)
    weights = distributed.full_state_dict(net)
    if ctx.rank:
        return
    net = transformer.LanguageModel(distributed.unwrap(net).config)
    net.load_state_dict(weights)
    targets = torch.cat([b["labels"][b["labels"] != -100] for b in tests])
    unigram = metrics.unigram_loss(rows, targets, tokenizer.get_vocab_size())
    more = {"unigram": unigram, "loss_by_quarter": quarters, "loss_apart": apart}
    record = pretraining.record_of(net, a, ctx, commit, meta, **more)
    if a.start:
        before = (Path(a.start) / "run.json").read_text(encoding="utf-8")
        record = pretraining.after(json.loads(before), record)
    pretraining.write(Path(a.out), net, tokenizer, a.max_tokens, record)


def main(a):
    stages, ctx = mlm_rows.stages_of(a), distributed.setup(a.seed)
    # before anything is computed: a second run, or no right to write there
    with outputs.claim(a.out, rank=ctx.rank):
        pretrain(a, ctx, Path(a.out), stages)
        distributed.cleanup()


def pretrain(a, ctx, out, stages):
    source, longest = mlm_rows.stream_of(a), max(length for length, _ in stages)
    mlm_rows.check_rows(a, stages, ctx.world_size, source)
    commit = pretraining.commit()
    pretraining.describe(ctx)
    tokenizer, rows, held_out = texts_of(a, source, longest)
    sizes = (tokenizer.get_vocab_size(), a.width, a.layers, a.heads, 4 * a.width)
    config = transformer.Config(*sizes, a.max_tokens, init_std=a.init_std)
    net, optimizer = pretraining.start(config, a, ctx, a.start, a.shard)
    meta = pretraining.meaning(config, tokenizer, a)
    meta |= {"mask_prob": a.mask_prob, "stages": stages, "start": a.start}
    if source:
        meta |= {"data": source.describe(), "lanes": a.lanes}
        meta |= {"field": a.field, "hub": a.hub}
    info = pretraining.resume(out, net, optimizer, meta)
    pretraining.same_for_all(info["step"], meta["vocabulary"], ctx, a)
    if source:
        stream = streaming.TextStream(
            source,
            lambda texts: tokenization.encode(tokenizer, texts),
            longest,
            lanes=a.lanes,
            seed=a.seed,
            rank=ctx.rank,
            world_size=ctx.world_size,
            position=info.get("position"),
            keep=mlm_rows.trained_on,
        )
    make = mlm_rows.batches_from_stream if source else mlm_rows.batches_from
    run = train.steps(
        net,
        make(stream if source else rows, stages, info["step"], tokenizer, a, ctx),
        mlm.mlm_loss,
        optimizer,
        accumulate=a.accumulate,
        first=info["step"],
        dtype=ctx.dtype,
        schedule=lambda step: optim.warmup_linear(step, a.warmup, a.steps),
    )
    run = itertools.islice(run, a.steps - info["step"])
    tests = mlm_rows.test_batches(held_out, tokenizer)

    def held_out_loss():
        mine = pretraining.dealt(tests, ctx)
        return metrics.mean_loss(net, mine, mlm.mlm_loss)

    # all there is to write if the run was over already
    now = {"curve": info["curve"], "seconds": info["seconds"]}
    begin = saved = time.time()
    for step in train.progress(run, a.steps) if ctx.rank == 0 else run:
        done = step.number + 1
        pretraining.record_loss(step, info, a, ctx, held_out_loss)
        due = done == a.steps or time.time() - saved > 60 * a.minutes_between_saves
        # the clocks differ, and a checkpoint is written together
        if pretraining.agreed(due, ctx):
            seconds, saved = info["seconds"] + time.time() - begin, time.time()
            now = {"curve": info["curve"], "seconds": seconds}
            here = {"position": stream.position()} if source else {}
            pretraining.save(out, net, optimizer, done, meta | now | here)
    finish(net, rows, held_out, tests, tokenizer, a, ctx, commit, meta | now)


if __name__ == "__main__":
    main(arguments())
