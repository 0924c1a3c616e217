"""Does reading the domain first pay? Masked-LM on reviews, then fine-tuning on few
labels, against no reading. Chapter 17's figure.

    python recipes/domain_adaptation.py --adapt reviews:0
    python recipes/domain_adaptation.py --score plain reviews:0
    python recipes/domain_adaptation.py --adapt reviews:0 --steps 4 \\
        --score plain reviews:0 --labels 8 --seeds 0 --tests 40 --out runs/try.json

The first line keeps one adapted encoder in runs/, the second fine-tunes each over
--labels and --seeds, the third is a small trial.

An arm is reviews:SEED, the seed of the adaptation (new head, order, masks), or "plain".
The masked-LM texts are training texts of Rotten Tomatoes and IMDb; no text of a
validation or test split is among them. Done cells are skipped, so a run may be cut off.
"""

import argparse
import json
import time
from pathlib import Path

import outputs  # beside this file: Python puts a script's own folder on its path
import torch
from finetune import encoder_of, finetune, score
from grid import about, add, done, read, same_settings, write

from ftlib.course import sources
from ftlib.data import tables, tokenization
from ftlib.evaluation import metrics
from ftlib.models import hf_format, transformer
from ftlib.objectives import mlm
from ftlib.training import distributed, optim, train

NAME, LENGTH, BATCH, SHARE = "all-MiniLM-L6-v2", 64, 32, 0.2
# those of label_efficiency.py, fixed before any run here
TUNING = dict(lr=2e-4, layer_decay=0.8, epochs=3, min_steps=60, tokens=64)


def reviews(split):
    """Texts of one split of both film-review sets, no labels: train for reading,
    validation for the loss.
    """
    return [
        text
        for name in ("rotten_tomatoes", "imdb")
        for text in sources.load(name)[split]["text"]
    ]


def masked(rows, tokenizer, seed, epoch, index, mask_prob=SHARE):
    how = dict(seed=seed, epoch=epoch, mask_prob=mask_prob)
    return mlm.masked_batch(rows[index], index, tokenizer, **how)


def adapt(seed, steps, ctx, lr=3e-4):
    """MiniLM after `steps` of masked-LM on the training texts, with a new masked-LM
    head, and the record of the run.
    """
    encoder, tokenizer = encoder_of(NAME)
    texts = reviews("train")
    # the file is sorted by class; packing lays neighbours into one row
    order = train.order(len(texts), 0, 0).tolist()
    rows, val = (
        tokenization.pack(tokenization.encode(tokenizer, group), LENGTH)
        for group in ([texts[i] for i in order], reviews("validation"))
    )
    val = val[train.order(len(val), 1, 0)[:256]]
    torch.manual_seed(seed)
    net = transformer.LanguageModel(encoder.config)
    net.encoder.load_state_dict(encoder.state_dict())
    test = [
        masked(val, tokenizer, 999, 0, i, 0.15)
        for i in torch.arange(len(val)).split(32)
    ]
    batches = (
        masked(rows, tokenizer, seed, epoch, torch.tensor(i))
        for epoch, i in train.sample_rows(len(rows), BATCH, seed)
    )
    curve = [[0, None, round(metrics.mean_loss(net, test, mlm.mlm_loss, ctx.dtype), 4)]]
    start = time.perf_counter()
    run = train.steps(
        net,
        batches,
        mlm.mlm_loss,
        optim.adamw(optim.parameter_groups(net, lr)),
        dtype=ctx.dtype,
        schedule=lambda step: optim.warmup_linear(step, steps // 15, steps),
    )
    for step in run:
        last = step.number + 1 == steps
        if step.number % 100 == 99 or last:
            curve.append(
                [
                    step.number + 1,
                    round(step.loss, 4),
                    round(metrics.mean_loss(net, test, mlm.mlm_loss, ctx.dtype), 4),
                ]
            )
            print(seed, curve[-1], f"{time.perf_counter() - start:.0f} s", flush=True)
        if last:
            break
    filled = mlm.fill_mask(net, tokenizer, "this movie was absolutely [MASK] .")
    return net.encoder, {
        "arm": f"reviews:{seed}",
        "steps": steps,
        "tokens": steps * BATCH * LENGTH,
        "corpus_tokens": rows.numel(),
        "lr": lr,
        "seconds": round(time.perf_counter() - start, 1),
        "curve": curve,
        "filled": [token for token, _ in filled[0]],
    }


def one_cell(arm, labels, seed, tests, ctx, steps):
    """Fine-tune an arm's encoder on `labels` sentences of Rotten Tomatoes, drawn from
    the seed -> accuracy on test sentences.
    """
    splits, (encoder, tokenizer), start = (
        sources.load("rotten_tomatoes"),
        encoder_of(NAME),
        time.perf_counter(),
    )
    encoder = (
        encoder
        if arm == "plain"
        else transformer.from_state(*hf_format.load(folder_of(arm, steps)))
    )
    train_subset = tables.subset(splits["train"], labels, seed)
    test = tables.subset(splits["test"], tests)
    net, _ = finetune(
        encoder,
        tokenizer,
        train_subset["text"],
        train_subset["label"],
        seed=seed,
        ctx=ctx,
        **TUNING,
    )
    _, correct = score(
        net, tokenizer, test["text"], test["label"], TUNING["tokens"], ctx
    )
    return {
        "arm": arm,
        "labels": labels,
        "seed": seed,
        "accuracy": round(float(correct.mean()), 4),
        "seconds": round(time.perf_counter() - start, 1),
    }


def folder_of(arm, steps):
    """Where an adapted encoder is kept, by all that decides what it has read."""
    return Path("runs/domain_adaptation") / f"{arm.replace(':', '-')}-{steps}"


def adapted(arm, steps, ctx):
    """Adapt an arm and keep it in its folder, unless it is there; -> its record."""
    folder = folder_of(arm, steps)
    with outputs.claim(folder):
        if not (folder / "run.json").exists():
            encoder, record = adapt(int(arm.removeprefix("reviews:")), steps, ctx)

            def fill(draft):
                hf_format.save(encoder, draft, half=False)

            outputs.write_folder(folder, fill, outputs.bytes_of(encoder, 4))
            outputs.write_json(folder / "run.json", record)
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def check_arms(a):
    """Stop where the file's arms were adapted for other steps, or are not there yet."""
    kept = {r["arm"]: r["steps"] for r in read(a.out).get("adaptations", [])}
    for arm in {*a.adapt, *a.score} - {"plain"}:
        if kept.get(arm, a.steps) != a.steps:
            raise SystemExit(
                f"{a.out} was made with --steps {kept[arm]} for {arm}, this run has "
                f"{a.steps}; give another --out"
            )
        if arm not in a.adapt and not folder_of(arm, a.steps).is_dir():
            raise SystemExit(
                f"{folder_of(arm, a.steps)} is not there; run --adapt {arm} --steps "
                f"{a.steps} first"
            )


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--adapt", nargs="+", default=[], metavar="reviews:SEED")
    a.add_argument("--score", nargs="+", default=[], metavar="ARM")
    a.add_argument("--labels", type=int, nargs="+", default=[100, 1000])
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    for name, value in dict(steps=900, tests=876, threads=1).items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument(
        "--out", type=Path, default=Path("data/results/domain_adaptation.json")
    )
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    ctx = distributed.setup()
    facts = {
        **about(ctx),
        "model": NAME,
        "data": "rotten_tomatoes",
        "tests": a.tests,
        "length": LENGTH,
        "batch": BATCH,
        "share": SHARE,
        "tuning": TUNING,
    }
    same_settings(a.out, facts, ["tests"])
    check_arms(a)
    for arm in a.adapt:
        record = adapted(arm, a.steps, ctx)
        with outputs.claim(a.out, file=True, wait=60):
            old = read(a.out)
            others = [r for r in old.get("adaptations", []) if r["arm"] != arm]
            runs = sorted([*others, record], key=lambda r: r["arm"])
            write(a.out, {**old, **facts, "adaptations": runs})
    for seed in a.seeds:
        for labels in a.labels:
            # arms innermost: a run that is cut off leaves whole pairs
            for arm in a.score:
                if (arm, labels, seed) not in done(a.out, "arm", "labels", "seed"):
                    cell = one_cell(arm, labels, seed, a.tests, ctx, a.steps)
                    add(a.out, cell, facts, order=["labels", "seed", "arm"])
                    print(cell, flush=True)


if __name__ == "__main__":
    main()
