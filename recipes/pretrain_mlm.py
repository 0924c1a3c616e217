"""Pretrain a small BERT on film reviews: chapter 09 as a program. Interrupt it, start
it again: it goes on where it was.

    python recipes/pretrain_mlm.py --out runs/reviews-bert-mini
    torchrun --nproc_per_node=2 recipes/pretrain_mlm.py ...          accelerate launch
    recipes/pretrain_mlm.py ...

--batch counts the rows of one optimizer step over all processes and micro-batches, so
the same line trains the same model on one core and on many. --stages 16:500 64:6500
128:1000 trains 500 steps on rows of 16 tokens, then 6,500 on rows of 64, then 1,000 on
rows of 128, with as many tokens in every step: on short rows a model leaves the plateau
of word counts early. Writes a transformers folder (config.json, model.safetensors,
tokenizer.json) and run.json.

More text than memory: --text a.txt b.jsonl ... reads files with one document a line
(the field "text" of a .jsonl line), and
--hub NAME [CONFIG] the training split of a stream of the `datasets` library, which may
be a local folder. The vocabulary then comes from a sample, one document in a hundred is
held out by its hash, and each of --lanes lanes is read by one process.

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
import hashlib
import itertools
import json
import subprocess
import sys
import time
import zlib
from pathlib import Path

import torch

from ftlib.course import reproducibility, sources
from ftlib.data import streaming, tokenization
from ftlib.evaluation import metrics
from ftlib.models import hf_format, transformer
from ftlib.objectives import mlm
from ftlib.training import checkpoint, distributed, optim, train


def arguments():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = dict(
        steps=3000,
        length=64,
        batch=64,
        max_tokens=128,
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
    for name, value in dict(
        lr=1e-3, mask_prob=0.2, weight_decay=0.01, minutes_between_saves=5.0
    ).items():
        a.add_argument(f"--{name}", type=float, default=value)
    a.add_argument(
        "--gain",
        type=float,
        default=3.0,
        help="how much larger than 0.02 the blocks' matrices start",
    )
    a.add_argument(
        "--stages",
        nargs="+",
        metavar="LENGTH:STEPS",
        help="rows of other lengths; each length divides the longest",
    )
    a.add_argument(
        "--start",
        help="a folder that this recipe wrote: go on from its "
        "weights, with a new optimizer and schedule",
    )
    a.add_argument("--data", nargs="+", default=["imdb", "rotten_tomatoes"])
    a.add_argument(
        "--text",
        nargs="+",
        metavar="FILE",
        help="stream files instead of --data: .txt or .jsonl, a document a line",
    )
    a.add_argument(
        "--hub",
        nargs="+",
        metavar="NAME",
        help="stream a data set instead: NAME or folder, CONFIG if it has several",
    )
    a.add_argument(
        "--field",
        default="text",
        help="where the text is, in .jsonl files and data sets",
    )
    a.add_argument(
        "--lanes",
        type=int,
        default=8,
        help="of a stream: a multiple of the processes that divides the rows of a step",
    )
    a.add_argument(
        "--shard",
        action="store_true",
        help="share weights and optimizer out over the processes (FSDP2)",
    )
    a.add_argument("--out", default="runs/pretrain_mlm")
    return a.parse_args()


def corpus(names, vocab, longest, length):
    """Vocabulary from, and packed rows of, the training texts; held-out rows from
    validation. Test texts stay unread.
    """
    splits = [sources.load(name) for name in names]
    texts = {
        split: [t for s in splits for t in s[split]["text"]]
        for split in ("train", "validation")
    }
    tokenizer = tokenization.train_wordpiece(texts["train"], vocab)
    return tokenizer, *(
        tokenization.pack(tokenization.encode(tokenizer, texts[p]), n)
        for p, n in (("train", longest), ("validation", length))
    )


def stream_of(a):
    """The source of --text or --hub, cut so that each lane has at least four parts, or
    None: the texts are in memory.
    """
    if a.text:
        return streaming.Files(
            a.text,
            min(
                1 << 20,
                max(1, sum(Path(p).stat().st_size for p in a.text) // (4 * a.lanes)),
            ),
            a.field,
        )
    if a.hub:
        import datasets  # only who asks for it needs it

        builder = datasets.load_dataset_builder(*a.hub)
        # every lane has a file open, of which the library would read 10 MB of text, or
        # a whole row group of parquet, at once
        for size, most in (("chunksize", 1 << 18), ("batch_size", 1000)):
            if hasattr(builder.config, size):
                setattr(
                    builder.config,
                    size,
                    min(getattr(builder.config, size) or most, most),
                )
        return streaming.Shards(
            builder.as_streaming_dataset(split="train"), a.lanes, a.field
        )


def trained_on(text):
    """Whether a streamed text is for training. A function of the text: however often it
    comes, it stays on its side.
    """
    # not tables.bucket: the text may be one side of a split by that
    return zlib.crc32(text.encode()) % 100 > 0


def streamed_corpus(source, vocab, longest, length):
    """As `corpus`, from a sample of the stream; its rows serve for counting tokens
    only.
    """
    texts = streaming.sample(source)
    train, held_out = (
        [t for t in texts if trained_on(t) == yes] for yes in (True, False)
    )
    tokenizer = tokenization.train_wordpiece(train, vocab)
    # ids take far more room than letters
    sample = [t for t in streaming.sample(source, letters=1_000_000) if trained_on(t)]
    return tokenizer, *(
        tokenization.pack(tokenization.encode(tokenizer, chosen), n)
        for chosen, n in ((sample, longest), (held_out[:1000], length))
    )


def stages_of(a):
    """[(tokens a row, steps)]; without --stages one stage of rows of --length.
    ValueError if they do not fit together.
    """
    stages = (
        [tuple(map(int, s.split(":"))) for s in a.stages]
        if a.stages
        else [(a.length, a.steps)]
    )
    lengths, steps = [length for length, _ in stages], sum(n for _, n in stages)
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


def batches_from(rows, stages, step, tokenizer, a, ctx):
    """The micro-batches of this process from optimizer step `step` on, (B, T) with B x
    T the same in all stages.
    """
    for length, steps in stages:
        # the same text, cut more often
        view, per_step = rows.view(-1, length), a.batch * a.length // length
        micro, skip = a.accumulate * steps, a.accumulate * step
        if skip < micro:
            order = train.sample_rows(
                len(view),
                per_step // (a.accumulate * ctx.world_size),
                a.seed,
                ctx.rank,
                ctx.world_size,
                start=skip,
            )
            for epoch, i in itertools.islice(order, micro - skip):
                yield masked(
                    view, torch.tensor(i), epoch, tokenizer, a.mask_prob, a.seed
                )
        step = max(0, step - steps)


def batches_from_stream(stream, stages, step, tokenizer, a, ctx):
    """As `batches_from`, of rows that the stream packs on the way; after each step the
    stream stands behind its rows.
    """
    for length, steps in stages:
        pieces_per_row = stream.length // length  # the longest rows, cut more often
        for _ in range(steps - step):
            rows, index = stream.take(
                a.batch * a.length // (stream.length * ctx.world_size)
            )
            rows, index = (
                rows.view(-1, length),
                (
                    index[:, None] * pieces_per_row + torch.arange(pieces_per_row)
                ).flatten(),
            )
            for ids, numbers in zip(
                rows.chunk(a.accumulate), index.chunk(a.accumulate)
            ):
                # epoch 0: a row's number never comes again
                yield hidden(ids, numbers, 0, tokenizer, a.mask_prob, a.seed)
        step = max(0, step - steps)


def masked(rows, index, epoch, tokenizer, mask_prob, seed):
    return hidden(rows[index], index, epoch, tokenizer, mask_prob, seed)


def hidden(ids, index, epoch, tokenizer, mask_prob, seed):
    special = [tokenizer.token_to_id(t) for t in tokenization.SPECIAL]
    ids, labels = mlm.mask_tokens(
        ids,
        tokenizer.get_vocab_size(),
        special[4],
        special,
        seed=seed,
        epoch=epoch,
        index=index,
        mask_prob=mask_prob,
    )
    return {"input_ids": ids, "labels": labels, "index": index}


def dealt(tests, ctx):
    """This process's share of the batches, and one that asks nothing where others have
    one more: sharded models run together.
    """
    mine = tests[ctx.rank :: ctx.world_size]
    missing = -(-len(tests) // ctx.world_size) - len(mine)
    return mine + [
        {**tests[0], "labels": torch.full_like(tests[0]["labels"], -100)}
        for _ in range(missing)
    ]


def loss_by_quarter(net, rows, tokenizer, a, ctx):
    """Held-out loss in each quarter of rows of --max_tokens: are the last places as
    good as the first? Every process calls it.
    """
    quarter, losses = rows.shape[1] // 4, []
    for first in range(0, 4 * quarter, quarter):
        tests = [
            masked(rows, i, 0, tokenizer, 0.15, seed=999)
            for i in torch.arange(min(256, len(rows))).split(32)
        ]
        for batch in tests:
            batch["labels"][:, :first] = batch["labels"][:, first + quarter :] = -100
        losses.append(round(metrics.mean_loss(net, dealt(tests, ctx), mlm.mlm_loss), 4))
    return losses


def after(before, record):
    """The record of a run that went on from the weights of another one: both commands,
    one curve.
    """
    curve = [
        [step + before["steps"], loss, held_out]
        for step, loss, held_out in record["curve"]
    ]
    return {
        **record,
        "command": f"{before['command']} && {record['command']}",
        "curve": before["curve"] + curve,
        "stages": before["stages"] + record["stages"],
        "options": before["options"],
        "went_on": record["options"],
        "loss_by_quarter_before": before.get("loss_by_quarter"),
        **{key: before[key] + record[key] for key in ("steps", "tokens", "seconds")},
    }


def agreed(yes, ctx):
    """Process 0's answer for all: a checkpoint is written together, and their clocks
    differ.
    """
    answer = torch.tensor([float(yes)], device=ctx.device)
    if ctx.world_size > 1:
        torch.distributed.broadcast(answer, 0)
    return bool(answer)


def same_for_all(step, vocabulary, ctx, a):
    """ValueError if a process goes on from another step or has another vocabulary than
    process 0: it may see other files.
    """
    mine = torch.tensor([step, int(vocabulary[:15], 16)], device=ctx.device)
    first = mine.clone()
    if ctx.world_size > 1:
        torch.distributed.broadcast(first, 0)
    if mine.tolist() != first.tolist():
        raise ValueError(
            f"process {ctx.rank} found step {step} in {a.out} and "
            f"process 0 step {int(first[0])}, with "
            f"{'the same' if mine[1] == first[1] else 'another'} "
            "vocabulary; give a folder and texts that all machines see"
        )


def main(a):
    ctx, out, stages = distributed.setup(a.seed), Path(a.out), stages_of(a)
    for rows in (a.batch * a.length // length for length, _ in stages):
        if rows % (a.accumulate * ctx.world_size):
            raise ValueError(
                f"--batch gives steps of {rows} rows, not a multiple of "
                f"{a.accumulate} micro-batches x {ctx.world_size} "
                "processes; "
                "change one of them"
            )
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    distributed.print0(ctx, distributed.describe(ctx))
    longest, source = max(length for length, _ in stages), stream_of(a)
    if source and a.batch * a.length // longest % a.lanes:
        raise ValueError(
            f"a step has {a.batch * a.length // longest} rows of "
            f"{longest} tokens, not a multiple of --lanes {a.lanes}; "
            "change one of them"
        )
    tokenizer, rows, held_out = (
        streamed_corpus(source, a.vocab, longest, a.length)
        if source
        else corpus(a.data, a.vocab, longest, a.length)
    )
    config = transformer.Config(
        tokenizer.get_vocab_size(),
        a.width,
        a.layers,
        a.heads,
        4 * a.width,
        a.max_tokens,
    )
    net = (
        transformer.from_state(*hf_format.load(a.start))
        if a.start
        else transformer.LanguageModel(config)
    )
    if a.start and tokenization.load(a.start).get_vocab() != tokenizer.get_vocab():
        raise ValueError(
            f"{a.start} has another vocabulary than --vocab {a.vocab} of "
            f"{a.data} gives; take the same data and size"
        )
    for matrix in (
        p for p in net.encoder.blocks.parameters() if p.ndim == 2 and not a.start
    ):
        # 0.02 suits BERT's width of 768; in a narrow model the blocks hardly change
        # what passes through
        matrix.data *= a.gain
    net = distributed.wrap(net, ctx, a.shard)
    optimizer = optim.adamw(optim.parameter_groups(net, a.lr, a.weight_decay))
    # what Config learned later is named only where it is on, so that a run from before
    # goes on
    sizes = {
        name: value for name, value in vars(config).items() if name != "tanh" or value
    }
    meta = {
        "config": sizes,
        "data": a.data,
        "batch": a.batch,
        "steps": a.steps,
        "seed": a.seed,
        "mask_prob": a.mask_prob,
        "stages": stages,
        "start": a.start,
        # other ids would scramble the embeddings
        "vocabulary": hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:16],
    }
    if source:
        meta |= {"data": source.describe(), "lanes": a.lanes}
    newest = checkpoint.newest(out / "state")
    info = (
        checkpoint.load(newest, distributed.unwrap(net), optimizer, expect=meta)
        if newest
        else {"step": 0, "curve": [], "seconds": 0}
    )
    same_for_all(info["step"], meta["vocabulary"], ctx, a)
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
            keep=trained_on,
        )
    batches = (
        batches_from_stream(stream, stages, info["step"], tokenizer, a, ctx)
        if source
        else batches_from(rows, stages, info["step"], tokenizer, a, ctx)
    )
    run = train.steps(
        net,
        batches,
        mlm.mlm_loss,
        optimizer,
        accumulate=a.accumulate,
        first=info["step"],
        dtype=ctx.dtype,
        schedule=lambda step: optim.warmup_linear(step, a.warmup, a.steps),
    )
    test = [
        masked(held_out, i, 0, tokenizer, 0.15, seed=999)
        for i in torch.arange(min(512, len(held_out))).split(32)
    ]
    start = saved = time.time()
    # all there is to write if the run was over already
    now = {**meta, "curve": info["curve"], "seconds": info["seconds"]}
    run = itertools.islice(run, a.steps - info["step"])
    for step in train.progress(run, a.steps) if ctx.rank == 0 else run:
        last = step.number + 1 == a.steps
        if step.number % 250 == 249 or last:
            loss = (
                metrics.mean_loss(net, dealt(test, ctx), mlm.mlm_loss)
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
        if agreed(last or time.time() - saved > 60 * a.minutes_between_saves, ctx):
            saved = time.time()
            now = {
                **meta,
                "curve": info["curve"],
                "seconds": info["seconds"] + saved - start,
            }
            here = {"position": stream.position()} if source else {}
            checkpoint.save_numbered(
                out / "state",
                distributed.unwrap(net),
                optimizer,
                step=step.number + 1,
                meta=now | here,
            )
    # the held-out rows, joined to rows of --max_tokens
    k = max(1, a.max_tokens // a.length)
    quarters = loss_by_quarter(
        distributed.unwrap(net),
        held_out[: len(held_out) // k * k].view(-1, a.length * k),
        tokenizer,
        a,
        ctx,
    )
    weights = distributed.full_state_dict(net)
    if ctx.rank == 0:
        net = transformer.LanguageModel(distributed.unwrap(net).config)
        net.load_state_dict(weights)
        hf_format.save(net, out)
        tokenization.save(tokenizer, out, a.max_tokens)
        unigram = metrics.unigram_loss(
            rows,
            torch.cat([b["labels"][b["labels"] != -100] for b in test]),
            config.vocab_size,
        )
        record = {
            "command": " ".join(["python", *sys.argv]),
            "commit": commit,
            "machine": reproducibility.machine(),
            "processes": ctx.world_size,
            "options": vars(a),
            "weights": transformer.count_parameters(net),
            "precision": str(ctx.dtype or torch.float32),
            "tokens": a.steps * a.batch * a.length,
            "unigram": unigram,
            "loss_by_quarter": quarters,
            **now,
        }
        if a.start:
            record = after(
                json.loads((Path(a.start) / "run.json").read_text(encoding="utf-8")),
                record,
            )
        (out / "run.json").write_text(
            json.dumps(record, indent=1) + "\n", encoding="utf-8"
        )
    distributed.cleanup()


if __name__ == "__main__":
    main(arguments())
