"""What the loop costs: train.steps against the same training written by hand, with
nothing counted, checked or recorded.

    python benchmarks/loop.py            writes benchmarks/results/loop.json
    python benchmarks/loop.py --quick    tiny, to see that it runs; writes nothing
    python benchmarks/render.py          makes the table

Both take turns, a few steps each, with one model and one optimizer. The ratio is bare
seconds / seconds of train.steps: 1.00 means that counting targets, summing over
processes and looking for values that are not finite cost nothing.
"""

import argparse
import json
import pathlib
import statistics
import time

import torch
import torch.nn.functional as F

from ftlib.course import reproducibility
from ftlib.models import transformer
from ftlib.objectives import mlm
from ftlib.training import optim, train

HERE = pathlib.Path(__file__).resolve().parent
SIZES = {
    "recipe": dict(
        layers=4, width=256, heads=4, vocab=8000, tokens=128, batch=16, accumulate=1
    ),
    "recipe, 4 micro-batches": dict(
        layers=4, width=256, heads=4, vocab=8000, tokens=128, batch=4, accumulate=4
    ),
    "small": dict(
        layers=2, width=128, heads=4, vocab=2000, tokens=32, batch=32, accumulate=1
    ),
}


def batches(count, size, tokens, vocab):
    ids = torch.randint(
        5, vocab, (count, size, tokens), generator=torch.Generator().manual_seed(0)
    )
    made = [
        mlm.mask_tokens(
            ids[i],
            vocab,
            4,
            range(5),
            seed=0,
            epoch=0,
            index=torch.arange(size) + i * size,
        )
        for i in range(count)
    ]
    return [{"input_ids": hidden, "labels": labels} for hidden, labels in made]


def bare(net, data, optimizer, accumulate):
    """The shortest right loop: no result, no check."""
    net.train()
    for i in range(0, len(data), accumulate):
        group = data[i : i + accumulate]
        count = sum((b["labels"] != -100).sum() for b in group)
        for b in group:
            target_mask = b["labels"] != -100
            (
                F.cross_entropy(
                    net(b["input_ids"], target_mask=target_mask).logits,
                    b["labels"][target_mask],
                    reduction="sum",
                )
                / count
            ).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def whole(net, data, optimizer, accumulate):
    for _ in train.steps(net, data, mlm.mlm_loss, optimizer, accumulate=accumulate):
        pass


def measure(sizes, rounds, steps):
    """{"bare", "steps": seconds per optimizer step in each round}."""
    torch.manual_seed(0)
    net = transformer.LanguageModel(
        transformer.Config(
            sizes["vocab"],
            sizes["width"],
            sizes["layers"],
            sizes["heads"],
            4 * sizes["width"],
            sizes["tokens"],
        )
    )
    optimizer = optim.adamw(optim.parameter_groups(net, 1e-4))
    data = batches(
        steps * sizes["accumulate"], sizes["batch"], sizes["tokens"], sizes["vocab"]
    )
    seconds = {"bare": [], "steps": []}
    for turn in range(rounds + 1):
        for name, loop in (
            (("bare", bare), ("steps", whole))
            if turn % 2
            else (("steps", whole), ("bare", bare))
        ):
            start = time.perf_counter()
            loop(net, data, optimizer, sizes["accumulate"])
            seconds[name].append((time.perf_counter() - start) / steps)
    # the first round warms up
    return {name: values[1:] for name, values in seconds.items()}


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--quick", action="store_true")
    a.add_argument("--rounds", type=int, default=10)
    a.add_argument("--steps", type=int, default=4)
    a = a.parse_args()
    if a.quick:
        print(
            measure(
                dict(
                    layers=1,
                    width=32,
                    heads=2,
                    vocab=100,
                    tokens=16,
                    batch=4,
                    accumulate=2,
                ),
                2,
                2,
            )
        )
        return
    rows = []
    for name, sizes in SIZES.items():
        seconds = measure(sizes, a.rounds, a.steps * (10 if name == "small" else 1))
        # neighbours in time
        ratio = statistics.median(
            b / s for b, s in zip(seconds["bare"], seconds["steps"])
        )
        rows.append(
            {
                "name": name,
                **sizes,
                "ratio": round(ratio, 4),
                **{k: [round(s, 5) for s in v] for k, v in seconds.items()},
            }
        )
        print(
            f"{name:24} bare {statistics.median(seconds['bare']):.4f} s  steps "
            f"{statistics.median(seconds['steps']):.4f} s  ratio {ratio:.3f}",
            flush=True,
        )
    record = {
        "what": "the loop's own cost",
        "command": "python benchmarks/loop.py",
        "machine": reproducibility.machine(),
        "versions": reproducibility.versions(),
        "threads": torch.get_num_threads(),
        "rows": rows,
    }
    (HERE / "results" / "loop.json").write_text(
        json.dumps(record, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
