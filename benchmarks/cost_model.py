"""How long will a run take? Three numbers of a machine, fitted on seven short runs,
predict six others of other sizes.

    python benchmarks/cost_model.py            writes benchmarks/results/
                                               cost_model.json; 8 minutes
    python benchmarks/cost_model.py --quick    tiny models; writes nothing
    python benchmarks/render.py                makes the tables

    seconds of a step = operations / speed + numbers / traffic + (layers + 1) x overhead

Operations are three times those of the forward pass (cost.flops); numbers are what the
forward pass keeps (cost.activation_bytes over 4, and the logits): every pass writes and
reads in proportion to them; the overhead is that of calls, which start however small
the product is. The three are fitted by least squares of relative errors, none below 0.
The rival is one number, the share of the peak (MFU). Both are fitted before the six
runs begin. Left out are the optimizer's own traffic and, in bfloat16 on a processor,
the attention maps that are kept.

A run is the masked model, the causal model or the classifier of ftlib, one thread,
AdamW; of its --steps the median counts, and of the rounds the median again.
"""

import argparse
import json
import operator
import pathlib
import statistics
import time

import numpy as np
import torch
from scipy.optimize import nnls

from ftlib.course import reproducibility
from ftlib.evaluation import cost
from ftlib.models import transformer
from ftlib.objectives import classify, clm, mlm
from ftlib.training import distributed, optim, train

HERE = pathlib.Path(__file__).resolve().parent
# kind, vocabulary, width, layers, rows, tokens of a row
FITTED = (
    ("mlm", 800, 64, 2, 32, 32),
    ("mlm", 8000, 128, 2, 32, 64),
    ("mlm", 8000, 256, 4, 16, 128),
    ("mlm", 4000, 512, 2, 8, 128),
    ("clm", 8000, 128, 4, 16, 32),
    ("clm", 2000, 384, 3, 16, 64),
    ("classify", 8000, 192, 6, 16, 64),
)
PREDICTED = (
    ("mlm", 8000, 320, 5, 16, 96),
    ("mlm", 12000, 192, 8, 32, 48),
    ("clm", 6000, 448, 3, 8, 128),
    ("clm", 3000, 160, 6, 32, 64),
    ("classify", 8000, 256, 4, 16, 128),
    ("classify", 20000, 320, 8, 8, 96),
)
SMALL = 64  # the width from which --quick cuts everything down


def made(kind, vocab, width, layers, rows, length):
    """(model, loss, batch, tokens with a target) of a run."""
    torch.manual_seed(0)
    how = dict(heads=4, ffn_dim=4 * width, max_tokens=length, causal=kind == "clm")
    config = transformer.Config(vocab, width, layers, **how)
    ids = torch.randint(5, vocab, (rows, length))
    if kind == "classify":
        labels = torch.randint(0, 2, (rows,))
        net = classify.Classifier(transformer.Transformer(config), 2)
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return net, classify.classification_loss, {**batch, "labels": labels}, None
    net = transformer.LanguageModel(config)
    if kind == "clm":
        return net, clm.clm_loss, {"input_ids": ids, "labels": ids}, ids.numel()
    ids, labels = mlm.mask_tokens(
        ids, vocab, 4, range(5), seed=0, epoch=0, index=torch.arange(rows)
    )
    targets = int((labels != -100).sum())
    return net, mlm.mlm_loss, {"input_ids": ids, "labels": labels}, targets


def terms(kind, vocab, width, layers, rows, length, targets):
    """[thousand million operations, million bytes, blocks] of a step, by formula."""
    tokens, sizes = rows * length, dict(width=width, ffn_dim=4 * width)
    parts = cost.flops(vocab, layers=layers, T=length, head="none", **sizes)
    operations, read = rows * sum(parts.values()), targets
    if kind == "mlm":  # the last block's second half, at the targets alone
        behind = 2 * width * width + 4 * width * sizes["ffn_dim"]
        operations -= (tokens - targets) * behind
        operations += 2 * targets * width * (width + vocab)
    elif kind == "clm":
        operations, read = operations + 2 * tokens * width * vocab, None
    kept = cost.activation_bytes(layers=layers, tokens=tokens, targets=read, **sizes)
    kept += 4 * vocab * (targets or 0)
    return [3 * operations / 1e9, kept / 1e6, layers + 1]


def seconds_of(spec, dtype, steps):
    """(median seconds of a step, the terms)"""
    net, loss, batch, targets = made(*spec)
    optimizer, times = optim.adamw(optim.parameter_groups(net, 1e-4)), []
    last = time.perf_counter()
    for _ in train.steps(net, [batch] * (steps + 2), loss, optimizer, dtype=dtype):
        now = time.perf_counter()
        times.append(now - last)
        last = now
    # two steps prepare kernels and the optimizer's state
    return statistics.median(times[2:]), terms(*spec, targets)


def fitted(found, count):
    """The numbers with which the first `count` of the terms give the seconds."""
    seconds = np.array([s for s, _ in found])
    X = np.array([t for _, t in found])[:, :count] / seconds[:, None]
    return nnls(X, np.ones(len(found)))[0].tolist()


def measured(specs, dtype, steps, rounds):
    found = {}
    for _ in range(rounds):
        for spec in specs:
            found.setdefault(spec, []).append(seconds_of(spec, dtype, steps))
    return {
        spec: ([s for s, _ in values], values[0][1]) for spec, values in found.items()
    }


def predicted(numbers, row):
    """Seconds of a step; one number stands for the operations alone."""
    return sum(map(operator.mul, numbers, row))


def compared(dtype, fit_on, then, steps, rounds):
    """Fit, then run the others -> the rows of one precision."""
    first = measured(fit_on, dtype, steps, rounds)
    medians = [(statistics.median(s), t) for s, t in first.values()]
    counts = {"three numbers": 3, "one number": 1}
    numbers = {name: fitted(medians, count) for name, count in counts.items()}
    rows = []
    for spec, (seconds, row) in {
        **first,
        **measured(then, dtype, steps, rounds),
    }.items():
        rows.append(
            {
                "spec": spec,
                "fitted": spec in first,
                "seconds": [round(s, 5) for s in seconds],
                "terms": [round(t, 3) for t in row],
            }
        )
        ratios = {
            m: predicted(n, row) / statistics.median(seconds)
            for m, n in numbers.items()
        }
        print(dtype, rows[-1], ratios, flush=True)
    return {"precision": str(dtype), "numbers": numbers, "rows": rows}


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--quick", action="store_true")
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--steps", type=int, default=6)
    a = a.parse_args()
    torch.set_num_threads(1)
    dtypes = [None]
    if distributed.native_bf16(torch.device("cpu")):
        dtypes.append(torch.bfloat16)
    fit_on, then = FITTED, PREDICTED
    if a.quick:
        dtypes, a.rounds, a.steps = [None], 1, 2
        fit_on, then = (
            [
                (kind, 200, 4 * (width // SMALL + 1), 2, 4, 16)
                for kind, _, width, *_ in s
            ]
            for s in (fit_on, then)
        )
    kinds = [compared(dtype, fit_on, then, a.steps, a.rounds) for dtype in dtypes]
    if not a.quick:
        record = {
            "what": "a cost model",
            "command": "python benchmarks/cost_model.py",
            "commit": reproducibility.commit(__file__),
            "machine": reproducibility.machine(),
            "versions": reproducibility.versions(("torch", "numpy")),
            "threads": 1,
            "rounds": a.rounds,
            "kinds": kinds,
        }
        (HERE / "results" / "cost_model.json").write_text(
            json.dumps(record, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
