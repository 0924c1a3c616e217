"""Pretrain a small BERT on film reviews: chapter 09 as a program. Interrupt it, start it again: it goes on where it was.

    python recipes/pretrain_mlm.py --out runs/reviews-bert-mini
    torchrun --nproc_per_node=2 recipes/pretrain_mlm.py ...          accelerate launch recipes/pretrain_mlm.py ...

--batch counts the rows of one optimizer step over all processes and micro-batches, so the same line trains the same model
on one core and on many. Writes a transformers folder (config.json, model.safetensors, tokenizer.json) and run.json.
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
    a.add_argument("--data", nargs="+", default=["imdb", "rotten_tomatoes"])
    a.add_argument("--out", default="runs/pretrain_mlm")
    return a.parse_args()


def corpus(names, vocab, length):
    """Vocabulary from, and packed rows of, the training texts; held-out rows from validation. Test texts stay unread."""
    splits = [data.load(name) for name in names]
    texts = {part: [t for s in splits for t in s[part]["text"]] for part in ("train", "validation")}
    tokenizer = tokenize.train_wordpiece(texts["train"], vocab)
    return tokenizer, *(tokenize.pack(tokenize.encode(tokenizer, texts[p]), length) for p in ("train", "validation"))


def masked(rows, index, epoch, tokenizer, share, seed):
    special = [tokenizer.token_to_id(t) for t in tokenize.SPECIAL]
    ids, labels = mlm.mask_tokens(rows[index], tokenizer.get_vocab_size(), special[4], special,
                                  seed=seed, epoch=epoch, index=index, share=share)
    return {"input_ids": ids, "labels": labels, "index": index}


def agreed(yes, place):
    """Process 0's answer for all: a checkpoint is written together, and their clocks differ."""
    answer = torch.tensor([float(yes)], device=place.device)
    if place.world > 1:
        torch.distributed.broadcast(answer, 0)
    return bool(answer)


def main(a):
    place, out = launch.setup(a.seed), Path(a.out)
    if a.batch % (a.accumulate * place.world):
        raise ValueError(f"--batch is {a.batch} rows, not a multiple of {a.accumulate} micro-batches x {place.world} processes; "
                         "change one of them")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    launch.say(place, launch.describe(place))
    tokenizer, rows, held_out = corpus(a.data, a.vocab, a.length)
    config = model.Config(tokenizer.get_vocab_size(), a.width, a.layers, a.heads, 4 * a.width, a.max_tokens)
    net = launch.wrap(model.LanguageModel(config), place)
    optimizer = optim.adamw(optim.parameter_groups(net, a.lr, a.weight_decay))
    meta = {"config": vars(config), "data": a.data, "batch": a.batch, "steps": a.steps, "seed": a.seed, "share": a.share,
            "vocabulary": hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:16]}  # other ids would scramble the embeddings
    found = checkpoint.newest(out / "state")
    info = checkpoint.load(found, launch.unwrap(net), optimizer, expect=meta) if found else {"step": 0, "curve": [], "seconds": 0}
    size = a.batch // (a.accumulate * place.world)
    order = train.stream(len(rows), size, a.seed, place.rank, place.world, start=info["step"] * a.accumulate)
    batches = (masked(rows, torch.tensor(i), epoch, tokenizer, a.share, a.seed) for epoch, i in order)
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
    if place.rank == 0:
        model.save(launch.unwrap(net), out)
        tokenize.save(tokenizer, out, a.max_tokens)
        unigram = evaluate.unigram_loss(rows, torch.cat([b["labels"][b["labels"] != -100] for b in test]), config.vocab_size)
        record = {"command": " ".join(["python", *sys.argv]), "commit": commit, "machine": seed.machine(), "processes": place.world,
                  "options": vars(a), "weights": model.count(launch.unwrap(net)), "precision": str(place.dtype or torch.float32),
                  "tokens": a.steps * a.batch * a.length, "unigram": unigram, **now}
        (out / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    launch.finish()


if __name__ == "__main__":
    main(arguments())
