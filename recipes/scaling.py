"""How the loss falls with the size of a model: a family of small causal models, a law
fitted to them, and one larger run that the law predicts before it starts. Chapter 10's
grid; about 7 minutes of one core.

    python recipes/scaling.py                    # family, prediction, held-out run
    python recipes/scaling.py --part family      # up to the prediction; commit it
    python recipes/scaling.py --part held-out    # refused while none is stored
    python recipes/scaling.py --widths 16 24 32 40 --held-out 48 --steps 60 \\
        --texts 200 --out runs/try.json          # a small trial

All models read equally many tokens in rows of equal length, differ in width alone, and
learn at a rate that falls as 1 / width. The result file is written after each run and
done runs are skipped, so the program may be interrupted.
"""

import argparse
import datetime
import itertools
import time
from pathlib import Path

import outputs  # beside this file: Python puts a script's own folder on its path
import torch
from grid import about, read, same_settings, write

from ftlib.course import sources
from ftlib.data import tables, tokenization
from ftlib.evaluation import cost, metrics, scaling
from ftlib.models import transformer
from ftlib.objectives import clm
from ftlib.training import distributed, optim, train

SETTINGS = dict(
    steps=3000, batch=16, length=32, vocab=256, layers=2, texts=6000, validation=600
)
# over the width: 0.02 at width 16, 0.002 at width 160; both were near the best of two
# or three tried
RATE = 0.32


def corpus(s):
    """Packed rows (M, T) of training reviews and held-out rows of validation reviews;
    the vocabulary is the training texts'.
    """
    splits = sources.load("imdb")
    subset = {
        split: tables.subset(splits[split], n)["text"]
        for split, n in (("train", s["texts"]), ("validation", s["validation"]))
    }
    tokenizer = tokenization.train_wordpiece(subset["train"], s["vocab"])
    return [
        tokenization.pack(tokenization.encode(tokenizer, subset[split]), s["length"])
        for split in ("train", "validation")
    ]


def build(width, s):
    """A causal model of `width`, its matrices started at 0.5 / sqrt(width) so that
    narrow ones leave the plateau as well.
    """
    net = transformer.LanguageModel(
        transformer.Config(
            s["vocab"],
            width,
            s["layers"],
            width // 8,
            4 * width,
            s["length"],
            causal=True,
        )
    )
    for name, p in net.encoder.named_parameters():
        if p.ndim == 2:
            p.data.normal_(0, 0.5 / width**0.5 if name.startswith("blocks") else 0.1)
    return net


def shape(width, s):
    return dict(
        vocab_size=s["vocab"], width=width, layers=s["layers"], ffn_dim=4 * width
    )


def operations(width, s):
    """Counted for one token of training: forward, and twice that for backward. clm_loss
    makes logits at every place.
    """
    return round(
        3
        * sum(cost.flops(**shape(width, s), T=s["length"], head="tied").values())
        / s["length"]
    )


def one_run(width, seed, rows, val, s, ctx):
    """Train one model -> a row of the result: sizes, validation loss in nats,
    wall-clock and processor seconds.
    """
    torch.manual_seed(seed)
    net = distributed.wrap(build(width, s), ctx)
    shuffle = train.sample_rows(len(rows), s["batch"], seed)
    batches = (
        clm.causal_batch(rows[i]) for _, i in itertools.islice(shuffle, s["steps"])
    )
    optimizer = optim.adamw(optim.parameter_groups(net, RATE / width))
    schedule = lambda step: optim.warmup_cosine(
        step, s["steps"] // 20, s["steps"], min_ratio=0.05
    )  # noqa: E731
    start, clock = time.perf_counter(), time.process_time()
    for step in train.steps(
        net, batches, clm.clm_loss, optimizer, schedule=schedule, dtype=ctx.dtype
    ):
        pass
    seconds, processor = time.perf_counter() - start, time.process_time() - clock
    tests = [clm.causal_batch(chunk) for chunk in val[:2048].split(64)]
    counted = cost.parameters(
        **shape(width, s), positions=s["length"], norm_out=True, head="tied"
    )
    return {
        "width": width,
        "seed": seed,
        "weights": sum(counted.values()),
        "weights_in_blocks": sum(counted.values()) - counted["embeddings"],
        "flops_per_token": operations(width, s),
        "tokens": s["steps"] * s["batch"] * s["length"],
        "train_loss": round(step.loss, 4),
        "loss": round(metrics.mean_loss(net, tests, clm.clm_loss), 4),
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
    }


def now():
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def foretell(runs, width, s):
    """The prediction for `width` from the family alone: the form that was better one
    size ahead, its law, its band.
    """
    sizes, losses = [r["weights"] for r in runs], [r["loss"] for r in runs]
    forms = {"power": scaling.fit_power, "floor": scaling.fit_irreducible}
    ahead = {
        name: round(scaling.backtest_error(sizes, losses, fit), 4)
        for name, fit in forms.items()
    }
    form = min(ahead, key=ahead.get)
    weights = sum(
        cost.parameters(
            **shape(width, s), positions=s["length"], norm_out=True, head="tied"
        ).values()
    )
    middle, low, high = scaling.predict(sizes, losses, weights, forms[form])
    return {
        "width": width,
        "weights": weights,
        "form": form,
        "backtest_error": ahead,
        "law": forms[form](sizes, losses)._asdict(),
        "loss": round(middle, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "level": 0.95,
        "runs": len(runs),
        "written": now(),
    }


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--part", choices=["family", "held-out", "all"], default="all")
    a.add_argument("--widths", type=int, nargs="+", default=[16, 24, 40, 64, 96])
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    a.add_argument("--held-out", type=int, default=160, metavar="WIDTH")
    a.add_argument("--threads", type=int, default=1)
    for name, value in SETTINGS.items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--out", type=Path, default=Path("data/results/scaling.json"))
    a = a.parse_args()
    if len({*a.widths}) < 4:
        raise SystemExit(
            f"--widths has {len({*a.widths})} sizes; a law is fitted to 3 and tried on "
            "the next one, so give 4 or more"
        )
    torch.set_num_threads(a.threads)
    # the whole file is in this process's memory
    with outputs.claim(a.out, file=True):
        grid(a, distributed.setup())


def closed(result, a):
    """Stop where the stored prediction was made for other runs than are asked for."""
    made = sorted({(r["width"], r["seed"]) for r in result["runs"]})
    asked = set(itertools.product(a.widths, a.seeds))
    if more := sorted(asked - {*made}):
        raise SystemExit(
            f"{a.out} holds a prediction from (width, seed) {made}, this run has "
            f"{more[0]} too; give another --out"
        )
    width = result["prediction"]["width"]
    if width != a.held_out:
        raise SystemExit(
            f"{a.out} was made with --held-out {width}, this run has {a.held_out}; "
            "give another --out"
        )


def grid(a, ctx):
    s = {name: getattr(a, name) for name in SETTINGS}
    facts = {**about(ctx), "rate_times_width": RATE, "data": "imdb", "settings": s}
    same_settings(a.out, facts, list(SETTINGS), made="runs")
    result = {"runs": [], **read(a.out)}
    if "prediction" in result:
        closed(result, a)
    elif a.part == "held-out":
        raise SystemExit(f"{a.out} holds no prediction yet; run --part family first")
    commit = facts["commit"]
    result = {
        "commands": result.get("commands", []),
        **facts,
        "threads": a.threads,
        "seeds": a.seeds,
        **{
            k: v
            for k, v in result.items()
            if k in ("commit", "peak", "runs", "prediction", "held_out")
        },
    }
    rows, val = corpus(s)
    # a formula, not a measurement: kept equal to what the code says today
    for r in result["runs"]:
        r["flops_per_token"] = operations(r["width"], s)
    if "peak" not in result:
        result["peak"] = {
            str(dtype): round(cost.matmul_speed(512, dtype, tries=100))
            for dtype in (torch.float32, torch.bfloat16)
        }
    done = {(r["width"], r["seed"]) for r in result["runs"]}
    for width, seed in (
        itertools.product(a.widths, a.seeds) if "prediction" not in result else ()
    ):
        if (width, seed) not in done:
            result["runs"].append(one_run(width, seed, rows, val, s, ctx))
            write(a.out, result)
            print(result["runs"][-1], flush=True)
    if "prediction" not in result:  # from here on it is never changed
        result["prediction"] = foretell(result["runs"], a.held_out, s)
        write(a.out, result)
        print(result["prediction"], flush=True)
    if a.part != "family" and "held_out" not in result:
        start = now()  # later than `written`
        result["held_out"] = {
            "began": start,
            "commit": commit,
            **one_run(result["prediction"]["width"], a.seeds[0], rows, val, s, ctx),
        }
        write(a.out, result)
        print(result["held_out"], flush=True)


if __name__ == "__main__":
    main()
