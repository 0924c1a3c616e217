"""What a label is worth: accuracy against the number of labelled reviews, four ways,
over seeds. Chapter 14's figure.

    python recipes/label_efficiency.py --seeds 0 1 2
    python recipes/label_efficiency.py --sizes 10 100 --tests 200 --seeds 0 \\
        --out runs/try.json                            # a small trial

The result file is written after every cell of the grid and done cells are skipped, so
the run may be interrupted at any moment, and a second process may work on other methods
or seeds in the same file. The labels of N=10 are the first of those of N=32. Every
choice is fixed beforehand (rates, epochs) or made with the N labels alone (the probe's
C, by cross-validation).
"""

import argparse
import time
from pathlib import Path

import torch

# beside this file: Python puts a script's own folder on its path
from finetune import encoder_of, finetune, score
from grid import about, add, done, same_settings
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from ftlib.course import sources
from ftlib.data import tables, tokenization
from ftlib.evaluation import metrics
from ftlib.objectives import classify
from ftlib.training import distributed

SIZES = (10, 32, 100, 320, 1000, 3200, 10000)
# name -> model, and what finetune() is told; no settings: a probe on frozen features
METHODS = {
    "scratch": ("reviews-bert-mini", dict(lr=5e-4, min_steps=60)),
    "reviews-bert-mini": ("reviews-bert-mini", dict(lr=5e-4, min_steps=60)),
    "MiniLM frozen": ("all-MiniLM-L6-v2", None),
    "MiniLM fine-tuned": (
        "all-MiniLM-L6-v2",
        dict(lr=2e-4, layer_decay=0.8, min_steps=60),
    ),
}


def probe(train, labels, test):
    """Logits (M, 2) of a logistic regression on features (N, D); its strength C is
    chosen by cross-validation on the N.
    """
    folds = min(5, labels.count(0), labels.count(1))
    search = GridSearchCV(
        LogisticRegression(max_iter=5000), {"C": [0.01, 0.1, 1, 10, 100]}, cv=folds
    )
    return torch.tensor(search.fit(train, labels).predict_log_proba(test))


def features_of(name, texts, tokens):
    encoder, tokenizer = encoder_of(name)
    return classify.features(
        encoder, classify.batches_of(tokenization.encode(tokenizer, texts, tokens))
    )


def one_cell(method, train_subset, test, vectors, tokens, seed, ctx):
    """Train one way on `few` -> {accuracy, macro_f1, seconds} on `test`. Only the
    training is timed.
    """
    (name, settings), n, start = (
        METHODS[method],
        len(train_subset["label"]),
        time.perf_counter(),
    )
    # vectors: (features of the N texts, features of the test texts)
    if settings is None:
        logits = probe(vectors[0], train_subset["label"], vectors[1])
        seconds = time.perf_counter() - start
    else:
        torch.manual_seed(seed)  # the random weights of "scratch" are drawn here
        encoder, tokenizer = encoder_of(name, scratch=method == "scratch")
        net, _ = finetune(
            encoder,
            tokenizer,
            train_subset["text"],
            train_subset["label"],
            epochs=1 if n >= 10000 else 2 if n >= 3200 else 3,
            size=min(16, n),
            tokens=tokens,
            seed=seed,
            ctx=ctx,
            **settings,
        )
        seconds = time.perf_counter() - start
        logits, _ = score(net, tokenizer, test["text"], test["label"], tokens, ctx)
    labels = torch.tensor(test["label"])
    return {
        "accuracy": round(metrics.accuracy(logits, labels), 4),
        "macro_f1": round(metrics.macro_f1(logits, labels, 2), 4),
        "seconds": round(seconds, 1),
    }


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    a.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    a.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    for name, value in dict(threads=1, tokens=64, tests=1000).items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument(
        "--out", type=Path, default=Path("data/results/label_efficiency.json")
    )
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    ctx = distributed.setup()
    facts = {
        **about(ctx),
        "data": "imdb",
        "tokens": a.tokens,
        "tests": a.tests,
        "methods": {k: list(v) for k, v in METHODS.items()},
    }
    same_settings(a.out, facts, ["tokens", "tests"])
    splits = sources.load("imdb")
    test, features = tables.subset(splits["test"], a.tests), {}
    for seed in a.seeds:
        for method in a.methods:
            todo = [
                n
                for n in a.sizes
                if (method, n, seed) not in done(a.out, "method", "n", "seed")
            ]
            # smaller sets begin the largest one: its features are computed once
            if todo and METHODS[method][1] is None:
                texts = tables.subset(splits["train"], max(todo), seed)["text"]
                features["train"] = features_of(METHODS[method][0], texts, a.tokens)
                if "test" not in features:
                    features["test"] = features_of(
                        METHODS[method][0], test["text"], a.tokens
                    )
            for n in todo:
                train_subset = tables.subset(splits["train"], n, seed)
                vectors = (
                    (features["train"][:n], features["test"])
                    if METHODS[method][1] is None
                    else None
                )
                cell = {
                    "method": method,
                    "n": n,
                    "seed": seed,
                    **one_cell(
                        method, train_subset, test, vectors, a.tokens, seed, ctx
                    ),
                }
                add(a.out, cell, facts, order=["seed", "n", "method"])
                print(cell, flush=True)


if __name__ == "__main__":
    main()
