"""What a trained parameter is worth: accuracy against trained parameters. Chapter 19's
first figure.

    python recipes/parameter_efficient.py --stages tune edge grid
    python recipes/parameter_efficient.py --stages tune grid --labels 64 --tests 64 \\
        --methods head "LoRA r4 q+v" --tries 1 --seeds 0 --out runs/try.json

The file is written after every cell and done cells are skipped, so the run may be
interrupted at any moment; `--minutes` ends it after a cell. Stages: `tune` tries the
same number of learning rates for each method, on validation texts, with labels that
`grid` does not use; `edge` goes on upwards where the highest of them is the best;
`grid` trains with the best one and reads the test texts once a seed.
"""

import argparse
import time
from pathlib import Path

import torch
from grid import about, add, read, same_settings
from peft_methods import (
    METHODS,
    accuracy_of,
    best_rate,
    correct_per_text,
    encoder_of,
    fit,
    next_rate,
    prepare,
)
from transformers import logging

from ftlib.course import hub, sources
from ftlib.data import tables, tokenization
from ftlib.objectives import classify
from ftlib.training import distributed

STAGES = ("tune", "edge", "grid")


def one_run(method, rate, seed, train_subset, test, settings):
    """A cell of `tune` or `grid`: every text's verdict is kept, as one long hexadecimal
    number.
    """
    torch.manual_seed(seed)
    encoder, start = encoder_of(settings.base), time.perf_counter()
    prepare(encoder, method)
    net = fit(
        classify.Classifier(encoder, 2),
        settings.rows(train_subset["text"]),
        train_subset["label"],
        rate,
        seed,
        settings.ctx,
        settings.epochs,
    )
    seconds = time.perf_counter() - start
    correct = correct_per_text(
        net, settings.rows(test["text"]), test["label"], settings.ctx
    )
    return {
        "rate": rate,
        "trained": classify.trainable(net),
        "accuracy": accuracy_of(correct),
        "texts": len(correct),
        "right": f"{int('1' + ''.join(map(str, correct)), 2):x}",
        "seconds": round(seconds, 1),
    }


def rates_of(stage, method, a):
    """The learning rates that a stage still has to try; [None]: the best one."""
    if stage == "grid":
        yield None
    elif stage == "tune":
        yield from METHODS[method][0][: a.tries]
    else:
        while rate := next_rate(read(a.out)["cells"], method):
            yield rate


def jobs(a):
    """(stage, seed, method, rate) in the order in which they make sense; made when it
    is reached, so that `grid` knows what `tune` found.
    """
    for stage in a.stages:
        for seed in a.seeds if stage == "grid" else [100]:
            for method in a.methods:
                for rate in rates_of(stage, method, a):
                    yield stage, seed, method, rate


def is_done(cells, stage, seed, method, rate):
    return any(
        (c["stage"], c["seed"], c.get("method", "")) == (stage, seed, method)
        and rate in (None, c["rate"])
        for c in cells
    )


def arguments():
    kind = argparse.RawDescriptionHelpFormatter
    a = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    a.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    a.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    a.add_argument("--base", default="reviews-bert-mini")
    sizes = dict(labels=1000, tests=876, tokens=48, epochs=3, tries=4)
    for name, value in sizes.items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--minutes", type=float, default=600.0)
    out = Path("data/results/parameter_efficient.json")
    a.add_argument("--out", type=Path, default=out)
    return a.parse_args(), list(sizes)


def main():
    a, sizes = arguments()
    torch.set_num_threads(1)
    # the head of the masked LM stays unread, as it should
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    a.ctx, films = distributed.setup(), sources.load("rotten_tomatoes")
    tokenizer = tokenization.load(hub.resolve(a.base))
    a.rows = lambda texts: tokenization.encode(tokenizer, texts, a.tokens)
    facts = {
        **about(a.ctx),
        "base": a.base,
        "data": "rotten_tomatoes",
        **{name: getattr(a, name) for name in sizes},
        "methods": {k: [list(v[0]), v[1]] for k, v in METHODS.items()},
    }
    same_settings(a.out, facts, ["base", *sizes])
    test = tables.subset(films["test"], a.tests)
    most = min(a.tests, len(films["validation"]["text"]))
    validation = tables.subset(films["validation"], most)
    start = time.perf_counter()
    for stage, seed, method, rate in jobs(a):
        cells = read(a.out)["cells"]
        if is_done(cells, stage, seed, method, rate):
            continue
        if time.perf_counter() - start > 60 * a.minutes:
            break
        rate = rate or best_rate(cells, method, METHODS[method][0][1])
        train_subset = tables.subset(films["train"], a.labels, seed)
        texts = test if stage == "grid" else validation
        cell = {"stage": stage, "seed": seed, "method": method}
        cell |= one_run(method, rate, seed, train_subset, texts, a)
        add(a.out, cell, facts, order=["stage", "seed", "method"])
        print({k: v for k, v in cell.items() if k != "right"}, flush=True)


if __name__ == "__main__":
    main()
