"""How far do 1,000 labels go? MiniLM on IMDb at 256 pieces, over seeds; first, if you wish, some masked-LM steps on the reviews.

    python recipes/imdb_push.py --seeds 0 1 2 3 4
    python recipes/imdb_push.py --adapt 2000 --out data/results/imdb_1000_adapted.json   (don't stop pretraining, Gururangan et al. 2020)
    python recipes/imdb_push.py --tokens 32 --labels 40 --tests 40 --seeds 0 --out runs/try.json      (a small trial)

Writes the result file after every seed; done seeds are skipped, so it may be interrupted. The adapted encoder reads the texts of the
train split, without their labels; validation and test texts stay unread. Rates, epochs and steps are fixed beforehand.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from finetune import encoder_of, finetune, score  # beside this file: Python puts a script's own folder on its path

from ftlib import data, evaluate, mlm, model, optim, seed, tokenize, train

LR, LAYER_DECAY, EPOCHS = 2e-4, 0.8, 3


def adapt(encoder, tokenizer, texts, steps, tokens, size=16, lr=1e-4):
    """Train `encoder` in place for some steps of masked-language modelling on `texts`, with a new masked-LM head."""
    torch.manual_seed(0)
    net = model.LanguageModel(encoder.config)
    net.encoder.load_state_dict(encoder.state_dict())
    rows = tokenize.pack(tokenize.encode(tokenizer, texts), tokens)
    special = [tokenizer.token_to_id(t) for t in tokenize.SPECIAL]

    def masked(epoch, picked):
        index = torch.tensor(picked)
        ids, labels = mlm.mask_tokens(rows[index], tokenizer.get_vocab_size(), tokenizer.token_to_id("[MASK]"), special,
                                      seed=0, epoch=epoch, index=index, share=0.2)
        return {"input_ids": ids, "labels": labels, "index": index}

    batches = (masked(epoch, picked) for epoch, picked in train.stream(len(rows), size))
    run = train.steps(net, batches, mlm.mlm_loss, optim.adamw(optim.parameter_groups(net, lr)),
                      schedule=lambda step: optim.warmup_linear(step, steps // 10, steps))
    for step in train.progress(run, steps):
        if step.number + 1 == steps:
            break
    encoder.load_state_dict(net.encoder.state_dict())


def adapted(a, texts):
    """(encoder, tokenizer), after --adapt steps; kept in runs/ so that every seed and every restart begins with the same one."""
    encoder, tokenizer = encoder_of("all-MiniLM-L6-v2")
    if a.adapt:
        folder = Path(f"runs/imdb_push-{a.adapt}-{a.tokens}")
        if not (folder / "model.safetensors").exists():
            adapt(encoder, tokenizer, texts, a.adapt, a.tokens)
            model.save(encoder, folder, half=False)
        encoder = model.load(folder)
    return encoder, tokenizer


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    for name, value in dict(labels=1000, tokens=256, tests=1000, adapt=0, threads=1).items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--out", type=Path, default=Path("data/results/imdb_1000.json"))
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    splits = data.load("imdb")
    test = data.subset(splits["test"], a.tests)
    old = json.loads(a.out.read_text(encoding="utf-8")) if a.out.exists() else {"cells": [], "commands": []}
    cells, commands = old["cells"], sorted({*old["commands"], " ".join(["python", *sys.argv])})
    about = {"commands": commands, "commit": commit, "machine": seed.machine(), "versions": seed.versions(), "data": "imdb",
             "model": "all-MiniLM-L6-v2", "labels": a.labels, "tokens": a.tokens, "tests": a.tests, "adapt": a.adapt, "lr": LR,
             "layer_decay": LAYER_DECAY, "epochs": EPOCHS}
    for key in ("labels", "tokens", "tests", "adapt") if cells else ():
        if old[key] != about[key]:
            raise SystemExit(f"{a.out} was made with --{key} {old[key]}, this run has {about[key]}; give another --out")
    for number in [s for s in a.seeds if s not in {c["seed"] for c in cells}]:
        encoder, tokenizer = adapted(a, splits["train"]["text"])
        few, began = data.subset(splits["train"], a.labels, number), time.perf_counter()
        net, _ = finetune(encoder, tokenizer, few["text"], few["label"], epochs=EPOCHS, lr=LR, layer_decay=LAYER_DECAY,
                          tokens=a.tokens, seed=number, show=True)
        seconds = time.perf_counter() - began
        logits, right = score(net, tokenizer, test["text"], test["label"], a.tokens)
        low, high = evaluate.bootstrap_interval(right)
        cells.append({"seed": number, "accuracy": round(float(right.mean()), 4), "interval": [round(low, 4), round(high, 4)],
                      "macro_f1": round(evaluate.macro_f1(logits, torch.tensor(test["label"]), 2), 4), "seconds": round(seconds, 1)})
        a.out.parent.mkdir(parents=True, exist_ok=True)
        draft = a.out.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps({**about, "seeds": [c["seed"] for c in cells], "cells": cells}, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, a.out)
        print(cells[-1], flush=True)


if __name__ == "__main__":
    main()
