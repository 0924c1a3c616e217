"""How far do 1,000 labels go? MiniLM on IMDb: both ends of each review, adapted to
reviews first, over seeds.

    python recipes/imdb_push.py --adapt 900
    python recipes/imdb_push.py --tokens 32 --labels 40 --tests 40 --seeds 0 \\
        --out runs/try.json                            # a small trial

--adapt: masked-LM steps on the texts of the train split first (don't stop pretraining,
Gururangan et al. 2020).
--split validation is for choosing; the test split is for the end. Done seeds are
skipped.
"""

import argparse
import time
from pathlib import Path

import outputs  # beside this file: Python puts a script's own folder on its path
import torch
from finetune import encoder_of, finetune, score
from grid import about, add, done, same_settings

from ftlib.course import sources
from ftlib.data import tables, tokenization
from ftlib.evaluation import intervals, metrics
from ftlib.models import hf_format, transformer
from ftlib.objectives import mlm
from ftlib.training import distributed, optim, train

# HEAD: the share of a long review's pieces taken from its front
LR, LAYER_DECAY, EPOCHS, HEAD = 2e-4, 0.8, 3, 0.25


def adapt(encoder, tokenizer, texts, steps, ctx, tokens=128, size=32, lr=3e-4):
    """Train `encoder` in place for some steps of masked-language modelling on `texts`,
    with a new masked-LM head.
    """
    torch.manual_seed(0)
    net = transformer.LanguageModel(encoder.config)
    net.encoder.load_state_dict(encoder.state_dict())
    rows = tokenization.pack(tokenization.encode(tokenizer, texts), tokens)

    def masked(epoch, picked):
        index = torch.tensor(picked)
        how = dict(seed=0, epoch=epoch, mask_prob=0.2)
        return mlm.masked_batch(rows[index], index, tokenizer, **how)

    batches = (
        masked(epoch, picked) for epoch, picked in train.sample_rows(len(rows), size)
    )
    run = train.steps(
        net,
        batches,
        mlm.mlm_loss,
        optim.adamw(optim.parameter_groups(net, lr)),
        dtype=ctx.dtype,
        schedule=lambda step: optim.warmup_linear(step, steps // 15, steps),
    )
    for step in train.progress(run, steps):
        if step.number + 1 == steps:
            break
    encoder.load_state_dict(net.encoder.state_dict())


def adapted(a, texts, ctx):
    """(encoder, tokenizer), after --adapt steps; kept in runs/ so that every seed and
    every restart begins with the same one.
    """
    encoder, tokenizer = encoder_of("all-MiniLM-L6-v2")
    if a.adapt:
        folder = Path(f"runs/imdb_push-{a.adapt}")
        with outputs.claim(folder):
            if not (folder / "model.safetensors").exists():
                adapt(encoder, tokenizer, texts, a.adapt, ctx)

                def fill(draft):
                    hf_format.save(encoder, draft, half=False)

                outputs.write_folder(folder, fill, outputs.bytes_of(encoder, 4))
        encoder = transformer.from_state(*hf_format.load(folder))
    return encoder, tokenizer


def one_seed(a, splits, seed, ctx):
    """Fine-tune on the labels of seed `number` -> logits, right or wrong for each
    held-out text.
    """
    train_subset = tables.subset(splits["train"], a.labels, seed)
    val = tables.subset(splits[a.split], a.tests)
    how = dict(
        epochs=EPOCHS,
        lr=LR,
        layer_decay=LAYER_DECAY,
        tokens=a.tokens,
        seed=seed,
        head=int(HEAD * a.tokens),
        ctx=ctx,
        show=True,
    )
    encoder, tokenizer = adapted(a, splits["train"]["text"], ctx)
    net, _ = finetune(
        encoder, tokenizer, train_subset["text"], train_subset["label"], **how
    )
    return score(net, tokenizer, val["text"], val["label"], a.tokens, ctx, how["head"])


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    for name, value in dict(
        labels=1000, tokens=256, tests=1000, adapt=0, threads=1
    ).items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--split", default="test", choices=("test", "validation"))
    a.add_argument("--out", type=Path, default=Path("data/results/imdb_1000.json"))
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    options = ["labels", "tokens", "tests", "adapt", "split"]
    splits, ctx = sources.load("imdb"), distributed.setup()
    facts = {
        **about(ctx),
        "data": "imdb",
        "model": "all-MiniLM-L6-v2",
        **{name: getattr(a, name) for name in options},
        "lr": LR,
        "layer_decay": LAYER_DECAY,
        "epochs": EPOCHS,
        "head": HEAD,
    }
    same_settings(a.out, facts, options)
    for seed in a.seeds:
        # asked anew: a second process may have done it meanwhile
        if (seed,) in done(a.out, "seed"):
            continue
        start = time.perf_counter()
        logits, correct = one_seed(a, splits, seed, ctx)
        seconds = time.perf_counter() - start
        labels = tables.subset(splits[a.split], a.tests)["label"]
        low, high = intervals.bootstrap_interval(correct)
        cell = {
            "seed": seed,
            "accuracy": round(float(correct.mean()), 4),
            "interval": [round(low, 4), round(high, 4)],
            "macro_f1": round(metrics.macro_f1(logits, torch.tensor(labels), 2), 4),
            "seconds": round(seconds, 1),
        }
        add(a.out, cell, facts, order=["seed"])
        print(cell, flush=True)


if __name__ == "__main__":
    main()
