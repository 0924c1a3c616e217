"""The translator of chapter 16 taught another program: pairs of one file of JupyterLab,
tested on other sentences of that file and on JupyterLab's other files.

    python recipes/translation_adapt.py
    python recipes/translation_adapt.py --teach 40 --rates 1e-3 --out try.json

Writes data/results/translation_adapt.json. Learning rate and number of steps are those
with the best BLEU (greedy) on --choose pairs of the file that are neither taught nor
tested. Which pairs they are is stored as numbers of rows of `translations.load()`, so
that the memory and the dictionary can be taught the same ones.
"""

import argparse
import copy
import hashlib
import time
from collections import Counter
from pathlib import Path

import grid  # beside this file
import outputs
import torch
from translation_scores import scored, translate

from ftlib.course import hub, translations
from ftlib.data import tokenization
from ftlib.models import pegasus_format, seq2seq
from ftlib.objectives import classify
from ftlib.training import distributed, optim, train


def arguments(line=None):
    kind = argparse.RawDescriptionHelpFormatter
    a = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    a.add_argument("--model", default="en-zh-mini", help="a name of the hub, or folder")
    a.add_argument("--teach", type=int, default=900, help="pairs that are taught")
    a.add_argument("--choose", type=int, default=100, help="pairs to choose on")
    a.add_argument("--tests", type=int, default=300, help="sentences of a test set")
    a.add_argument("--rates", type=float, nargs="+", default=[5e-4, 2e-3, 4e-3])
    a.add_argument("--steps", type=int, default=400)
    a.add_argument("--every", type=int, default=100, help="steps from score to score")
    a.add_argument("--batch", type=int, default=32)
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--out", default="data/results/translation_adapt.json")
    return a.parse_args(line)


def split_rows(pairs, a):
    """{"teach", "choose", "same file", "other files"}: numbers of rows. The first three
    are of the largest file, and rows with the lowest hash come first.
    """
    order = [hashlib.sha256(en.encode()).hexdigest() for en in pairs["en"]]
    rows = sorted(range(len(order)), key=order.__getitem__)
    largest = Counter(pairs["file"]).most_common(1)[0][0]
    inside = [i for i in rows if pairs["file"][i] == largest]
    outside = [i for i in rows if pairs["file"][i] != largest]
    result, start = {}, 0
    for name, n in (("teach", a.teach), ("choose", a.choose), ("same file", a.tests)):
        result[name], start = inside[start : start + n], start + n
    return result | {"other files": outside[: a.tests]}


def picked(pairs, rows):
    return {name: [values[i] for i in rows] for name, values in pairs.items()}


def batches(tokenizer, pairs, a):
    """a.steps batches with labels, of sentences of like length, pass after pass."""
    sources = tokenization.encode(tokenizer, pairs["en"], 96)
    targets = [row[1:] for row in tokenization.encode(tokenizer, pairs["zh"], 96)]
    sizes = [len(s) + len(t) for s, t in zip(sources, targets)]
    made, epoch = 0, 0
    while made < a.steps:
        for rows in classify.length_grouped(sizes, a.batch, seed=a.seed, epoch=epoch):
            batch = tokenization.pad([sources[i] for i in rows])
            labels = tokenization.pad([targets[i] for i in rows])
            ids = labels["input_ids"].masked_fill(labels["attention_mask"] == 0, -100)
            yield batch | {"labels": ids}
            made += 1
            if made == a.steps:
                return
        epoch += 1


def adapt(model, tokenizer, sets, rate, a, ctx):
    """[(cell, weights)] every a.every steps of one run with a learning rate."""
    torch.manual_seed(a.seed)
    net, begin, found = copy.deepcopy(model), time.perf_counter(), []
    steps = train.steps(
        net.train(),
        batches(tokenizer, sets["teach"], a),
        seq2seq.seq2seq_loss,
        optim.adamw(optim.parameter_groups(net, lr=rate)),
        schedule=lambda step: optim.warmup_linear(step, a.steps // 20, a.steps),
        dtype=ctx.dtype,
    )
    losses = []
    for step in steps:
        losses.append(step.loss)
        if len(losses) % a.every and len(losses) < a.steps:
            continue
        texts, _, _ = translate(net.eval(), tokenizer, sets["choose"]["en"])
        cell = {"rate": rate, "steps": len(losses)} | scored(texts, sets["choose"])
        cell["loss"] = round(sum(losses[-a.every :]) / len(losses[-a.every :]), 3)
        cell["seconds"] = round(time.perf_counter() - begin, 1)
        found.append((cell, copy.deepcopy(net.state_dict())))
        net.train()
        print(cell, flush=True)
    return found


def main(a):
    ctx = distributed.setup(0)
    out = Path(a.out)
    folder = Path(hub.resolve(a.model))
    with outputs.claim(out, file=True):
        model = seq2seq.from_folder(*pegasus_format.load(folder)).to(ctx.device)
        tokenizer = tokenization.load(folder)
        pairs = translations.load()["neighbour"]
        rows = split_rows(pairs, a)
        sets = {name: picked(pairs, own) for name, own in rows.items()}
        tried = [
            cell
            for rate in a.rates
            for cell in adapt(model, tokenizer, sets, rate, a, ctx)
        ]
        best, weights = max(tried, key=lambda pair: pair[0]["bleu"])
        texts, _, _ = translate(model.eval(), tokenizer, sets["choose"]["en"])
        before = scored(texts, sets["choose"])
        result = grid.about(ctx) | {
            "weights": hashlib.sha256(
                (folder / "model.safetensors").read_bytes()
            ).hexdigest(),
            "threads": torch.get_num_threads(),
            "options": {k: v for k, v in vars(a).items() if k not in ("out", "model")},
            "rows": rows,
            "before": before,
            "tried": [cell for cell, _ in tried],
            "chosen": {key: best[key] for key in ("rate", "steps")},
            "hypotheses": {},
        }
        for when in ("before", "after"):
            if when == "after":
                model.load_state_dict(weights)
            result["hypotheses"][when] = {
                name: translate(model.eval(), tokenizer, sets[name]["en"])[0]
                for name in ("same file", "other files")
            }
        grid.write(out, result)


if __name__ == "__main__":
    main(arguments())
