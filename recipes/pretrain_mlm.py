"""Pretrain a small BERT on film reviews: chapter 09 as a program. Interrupt it, start it again: it goes on where it was.

    python recipes/pretrain_mlm.py --out runs/reviews-bert-mini
    torchrun --nproc_per_node=2 recipes/pretrain_mlm.py ...          accelerate launch recipes/pretrain_mlm.py ...

--batch counts the rows of one optimizer step over all processes and micro-batches, so the same line trains the same model
on one core and on many. --stages 16:500 64:6500 128:1000 trains 500 steps on rows of 16 tokens, then 6,500 on rows of 64,
then 1,000 on rows of 128, with as many tokens in every step: on short rows a model leaves the plateau of word counts early. Writes a transformers folder (config.json, model.safetensors, tokenizer.json) and run.json.
"""

import argparse
import hashlib
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from ftlib import checkpoint, data, evaluate, launch, mlm, model, optim, seed, tokenize, train


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = dict(steps=3000, length=64, batch=64, max_tokens=128, accumulate=1, warmup=100, vocab=8000, width=256, layers=4, heads=4, seed=0)
    for name, value in sizes.items():
        a.add_argument(f"--{name}", type=int, default=value)
    for name, value in dict(lr=1e-3, share=0.2, weight_decay=0.01, minutes_between_saves=5.0).items():
        a.add_argument(f"--{name}", type=float, default=value)
    a.add_argument("--gain", type=float, default=3.0, help="how much larger than 0.02 the blocks' matrices start")
    a.add_argument("--stages", nargs="+", metavar="LENGTH:STEPS", help="rows of other lengths; each length divides the longest")
    a.add_argument("--start", help="a folder that this recipe wrote: go on from its weights, with a new optimizer and schedule")
    a.add_argument("--data", nargs="+", default=["imdb", "rotten_tomatoes"])
    a.add_argument("--out", default="runs/pretrain_mlm")
    return a.parse_args()


def corpus(names, vocab, longest, length):
    """Vocabulary from, and packed rows of, the training texts; held-out rows from validation. Test texts stay unread."""
    splits = [data.load(name) for name in names]
    texts = {part: [t for s in splits for t in s[part]["text"]] for part in ("train", "validation")}
    tokenizer = tokenize.train_wordpiece(texts["train"], vocab)
    return tokenizer, *(tokenize.pack(tokenize.encode(tokenizer, texts[p]), n) for p, n in (("train", longest), ("validation", length)))


def stages_of(a):
    """[(tokens a row, steps)]; without --stages one stage of rows of --length. ValueError if they do not fit together."""
    stages = [tuple(map(int, s.split(":"))) for s in a.stages] if a.stages else [(a.length, a.steps)]
    lengths, steps = [length for length, _ in stages], sum(n for _, n in stages)
    if steps != a.steps:
        raise ValueError(f"the --stages have {steps} steps and --steps is {a.steps}; make them equal")
    if any(max(lengths) % length or a.batch * a.length % length for length in lengths):
        raise ValueError(f"rows of {lengths} tokens must divide {max(lengths)} and the {a.batch * a.length} tokens of a step; change --stages")
    return stages


def batches_from(rows, stages, step, tokenizer, a, place):
    """The micro-batches of this process from optimizer step `step` on, (B, T) with B x T the same in all stages."""
    for length, steps in stages:
        view, per_step = rows.view(-1, length), a.batch * a.length // length  # the same text, cut more often
        micro, skip = a.accumulate * steps, a.accumulate * step
        if skip < micro:
            order = train.stream(len(view), per_step // (a.accumulate * place.world), a.seed, place.rank, place.world, start=skip)
            for epoch, i in itertools.islice(order, micro - skip):
                yield masked(view, torch.tensor(i), epoch, tokenizer, a.share, a.seed)
        step = max(0, step - steps)


def masked(rows, index, epoch, tokenizer, share, seed):
    special = [tokenizer.token_to_id(t) for t in tokenize.SPECIAL]
    ids, labels = mlm.mask_tokens(rows[index], tokenizer.get_vocab_size(), special[4], special,
                                  seed=seed, epoch=epoch, index=index, share=share)
    return {"input_ids": ids, "labels": labels, "index": index}


def loss_by_quarter(net, rows, tokenizer, a, place):
    """Held-out loss in each quarter of rows of --max_tokens: are the last places as good as the first? Every process calls it."""
    quarter, losses = rows.shape[1] // 4, []
    for first in range(0, 4 * quarter, quarter):
        tests = [masked(rows, i, 0, tokenizer, 0.15, seed=999) for i in torch.arange(min(256, len(rows))).split(32)]
        for batch in tests:
            batch["labels"][:, :first] = batch["labels"][:, first + quarter :] = -100
        losses.append(round(evaluate.mean_loss(net, tests[place.rank :: place.world], mlm.mlm_loss), 4))
    return losses


def after(before, record):
    """The record of a run that went on from the weights of another one: both commands, one curve."""
    curve = [[step + before["steps"], loss, held_out] for step, loss, held_out in record["curve"]]
    return {**record, "command": f"{before['command']} && {record['command']}", "curve": before["curve"] + curve,
            "stages": before["stages"] + record["stages"], "options": before["options"], "went_on": record["options"],
            "loss_by_quarter_before": before.get("loss_by_quarter"), **{key: before[key] + record[key] for key in ("steps", "tokens", "seconds")}}


def agreed(yes, place):
    """Process 0's answer for all: a checkpoint is written together, and their clocks differ."""
    answer = torch.tensor([float(yes)], device=place.device)
    if place.world > 1:
        torch.distributed.broadcast(answer, 0)
    return bool(answer)


def main(a):
    place, out, stages = launch.setup(a.seed), Path(a.out), stages_of(a)
    for rows in (a.batch * a.length // length for length, _ in stages):
        if rows % (a.accumulate * place.world):
            raise ValueError(f"--batch gives steps of {rows} rows, not a multiple of {a.accumulate} micro-batches x {place.world} processes; "
                             "change one of them")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    launch.say(place, launch.describe(place))
    tokenizer, rows, held_out = corpus(a.data, a.vocab, max(length for length, _ in stages), a.length)
    config = model.Config(tokenizer.get_vocab_size(), a.width, a.layers, a.heads, 4 * a.width, a.max_tokens)
    net = model.load(a.start) if a.start else model.LanguageModel(config)
    if a.start and tokenize.load(a.start).get_vocab() != tokenizer.get_vocab():
        raise ValueError(f"{a.start} has another vocabulary than --vocab {a.vocab} of {a.data} gives; take the same data and size")
    for matrix in (p for p in net.encoder.blocks.parameters() if p.ndim == 2 and not a.start):
        matrix.data *= a.gain  # 0.02 suits BERT's width of 768; in a narrow model the blocks hardly change what passes through
    net = launch.wrap(net, place)
    optimizer = optim.adamw(optim.parameter_groups(net, a.lr, a.weight_decay))
    meta = {"config": vars(config), "data": a.data, "batch": a.batch, "steps": a.steps, "seed": a.seed, "share": a.share, "stages": stages, "start": a.start,
            "vocabulary": hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:16]}  # other ids would scramble the embeddings
    found = checkpoint.newest(out / "state")
    info = checkpoint.load(found, launch.unwrap(net), optimizer, expect=meta) if found else {"step": 0, "curve": [], "seconds": 0}
    batches = batches_from(rows, stages, info["step"], tokenizer, a, place)
    run = train.steps(net, batches, mlm.mlm_loss, optimizer, accumulate=a.accumulate, first=info["step"], dtype=place.dtype,
                      schedule=lambda step: optim.warmup_linear(step, a.warmup, a.steps))
    test = [masked(held_out, i, 0, tokenizer, 0.15, seed=999) for i in torch.arange(min(512, len(held_out))).split(32)]
    began = saved = time.time()
    now = {**meta, "curve": info["curve"], "seconds": info["seconds"]}  # all there is to write if the run was over already
    run = itertools.islice(run, a.steps - info["step"])
    for step in train.progress(run, a.steps) if place.rank == 0 else run:
        last = step.number + 1 == a.steps
        if step.number % 250 == 249 or last:
            loss = evaluate.mean_loss(net, test[place.rank :: place.world], mlm.mlm_loss) if step.number % 1000 == 999 or last else None
            info["curve"].append([step.number + 1, round(step.loss, 3), loss and round(loss, 4)])
            if loss:
                launch.say(place, f"step {step.number + 1}: held-out loss {loss:.3f}")
        if agreed(last or time.time() - saved > 60 * a.minutes_between_saves, place):
            saved = time.time()
            now = {**meta, "curve": info["curve"], "seconds": info["seconds"] + saved - began}
            checkpoint.save_numbered(out / "state", launch.unwrap(net), optimizer, step=step.number + 1, meta=now)
    k = max(1, a.max_tokens // a.length)  # the held-out rows, joined to rows of --max_tokens
    quarters = loss_by_quarter(launch.unwrap(net), held_out[: len(held_out) // k * k].view(-1, a.length * k), tokenizer, a, place)
    if place.rank == 0:
        model.save(launch.unwrap(net), out)
        tokenize.save(tokenizer, out, a.max_tokens)
        unigram = evaluate.unigram_loss(rows, torch.cat([b["labels"][b["labels"] != -100] for b in test]), config.vocab_size)
        record = {"command": " ".join(["python", *sys.argv]), "commit": commit, "machine": seed.machine(), "processes": place.world,
                  "options": vars(a), "weights": model.count(launch.unwrap(net)), "precision": str(place.dtype or torch.float32),
                  "tokens": a.steps * a.batch * a.length, "unigram": unigram,
                  "loss_by_quarter": quarters, **now}
        if a.start:
            record = after(json.loads((Path(a.start) / "run.json").read_text(encoding="utf-8")), record)
        (out / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    launch.finish()


if __name__ == "__main__":
    main(arguments())
