"""What a label is worth: accuracy against the number of labelled reviews, four ways, over seeds. Chapter 14's figure.

    python recipes/label_efficiency.py --seeds 0 1 2
    python recipes/label_efficiency.py --sizes 10 100 --tests 200 --seeds 0 --out runs/try.json     (a small trial)

The result file is written after every cell of the grid and done cells are skipped, so the run may be interrupted at any
moment, and a second process may work on other methods or seeds in the same file. The labels of N=10 are the first of those of N=32.
Every choice is fixed beforehand (rates, epochs) or made with the N labels alone (the probe's C, by cross-validation).
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
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from ftlib import classify, data, evaluate, launch, optim, seed, tokenize

SIZES = (10, 32, 100, 320, 1000, 3200, 10000)
METHODS = {  # name -> model, and what finetune() is told; no settings: a probe on frozen features
    "scratch": ("reviews-bert-mini", dict(lr=5e-4, min_steps=60)),
    "reviews-bert-mini": ("reviews-bert-mini", dict(lr=5e-4, min_steps=60)),
    "MiniLM frozen": ("all-MiniLM-L6-v2", None),
    "MiniLM fine-tuned": ("all-MiniLM-L6-v2", dict(lr=2e-4, layer_decay=0.8, min_steps=60)),
}


def probe(train, labels, test):
    """Logits (M, 2) of a logistic regression on features (N, D); its strength C is chosen by cross-validation on the N."""
    folds = min(5, labels.count(0), labels.count(1))
    search = GridSearchCV(LogisticRegression(max_iter=5000), {"C": [0.01, 0.1, 1, 10, 100]}, cv=folds)
    return torch.tensor(search.fit(train, labels).predict_log_proba(test))


def features_of(name, texts, tokens):
    encoder, tokenizer = encoder_of(name)
    return classify.features(encoder, classify.batches_of(tokenize.encode(tokenizer, texts, tokens)))


def one_cell(method, few, test, vectors, tokens, number, place):
    """Train one way on `few` -> {accuracy, macro_f1, seconds} on `test`. Only the training is timed."""
    (name, settings), n, began = METHODS[method], len(few["label"]), time.perf_counter()
    if settings is None:  # vectors: (features of the N texts, features of the test texts)
        logits, seconds = probe(vectors[0], few["label"], vectors[1]), time.perf_counter() - began
    else:
        torch.manual_seed(number)  # the random weights of "scratch" are drawn here
        encoder, tokenizer = encoder_of(name, scratch=method == "scratch")
        net, _ = finetune(encoder, tokenizer, few["text"], few["label"], epochs=1 if n >= 10000 else 2 if n >= 3200 else 3,
                          size=min(16, n), tokens=tokens, seed=number, place=place, **settings)
        seconds = time.perf_counter() - began
        logits, _ = score(net, tokenizer, test["text"], test["label"], tokens, place)
    labels = torch.tensor(test["label"])
    return {"accuracy": round(evaluate.accuracy(logits, labels), 4), "macro_f1": round(evaluate.macro_f1(logits, labels, 2), 4),
            "seconds": round(seconds, 1)}


def read(path):
    """The result file, or an empty one."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"cells": []}


def add(path, cell, about):
    """Put one cell into the file: read again, because another process may have added one, and replace it in one move."""
    old = read(path)
    cells = sorted([*old["cells"], cell], key=lambda c: (c["seed"], c["n"], c["method"]))
    commands = sorted({*old.get("commands", []), " ".join(["python", *sys.argv])})
    result = {"commands": commands, **about, "seeds": sorted({c["seed"] for c in cells}), "cells": cells}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    a.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    a.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    for name, value in dict(threads=1, tokens=64, tests=1000).items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--out", type=Path, default=Path("data/results/label_efficiency.json"))
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    place = launch.setup()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    about = {"commit": commit, "machine": seed.machine(), "versions": seed.versions(),
             "precision": str(place.dtype or torch.float32), "data": "imdb", "tokens": a.tokens, "tests": a.tests, "methods": {k: list(v) for k, v in METHODS.items()}}
    old = read(a.out)
    for key in ("tokens", "tests") if old["cells"] else ():
        if old[key] != about[key]:
            raise SystemExit(f"{a.out} was made with --{key} {old[key]}, this run has {about[key]}; give another --out")
    splits = data.load("imdb")
    test, held = data.subset(splits["test"], a.tests), {}
    for number in a.seeds:
        for method in a.methods:
            done = {(c["method"], c["n"], c["seed"]) for c in read(a.out)["cells"]}
            todo = [n for n in a.sizes if (method, n, number) not in done]
            if todo and METHODS[method][1] is None:  # smaller sets begin the largest one: its features are computed once
                texts = data.subset(splits["train"], max(todo), number)["text"]
                held["train"] = features_of(METHODS[method][0], texts, a.tokens)
                if "test" not in held:
                    held["test"] = features_of(METHODS[method][0], test["text"], a.tokens)
            for n in todo:
                few = data.subset(splits["train"], n, number)
                vectors = (held["train"][:n], held["test"]) if METHODS[method][1] is None else None
                cell = {"method": method, "n": n, "seed": number, **one_cell(method, few, test, vectors, a.tokens, number, place)}
                add(a.out, cell, about)
                print(cell, flush=True)


if __name__ == "__main__":
    main()
