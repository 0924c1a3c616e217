"""What a training step gains, and what a process costs, where the C library keeps the
memory of freed tensors: with `distributed.reuse_freed_memory()` and without.

    python benchmarks/freed_memory.py            writes benchmarks/results/
                                                 freed_memory.json
    python benchmarks/freed_memory.py --quick    tiny, one round; writes nothing
    python benchmarks/render.py                  makes the table

Each run is a process of its own, because the C library cannot be set back, and the two
ways take turns. Counted are the page faults of a step, which are exact, beside its
time, and the largest resident memory of the process. The runs of one shape are masked
LM as the recipes do it; those of many shapes have rows of 16 to 256 tokens, as in
fine-tuning, and show what is paid.
"""

import argparse
import json
import pathlib
import resource
import statistics
import time

import torch
from processes import launch  # beside this file
from stream_memory import peak

from ftlib.course import reproducibility
from ftlib.models import transformer
from ftlib.objectives import mlm
from ftlib.training import distributed, optim, train

HERE = pathlib.Path(__file__).resolve().parent
# what: vocabulary, width, layers, heads, rows, shortest and longest row, steps
RUNS = {
    "vocabulary of MiniLM": (30522, 384, 6, 12, 32, 128, 128, 12),
    "recipe": (8000, 256, 4, 4, 32, 128, 128, 24),
    "many shapes": (8000, 128, 2, 4, 64, 16, 256, 160),
}
QUICK = {"quick": (400, 32, 1, 2, 4, 16, 16, 4)}
WARM = 6
WAYS = ("given back", "kept")


def batches(vocab, rows, shortest, longest, steps):
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        length = int(torch.randint(shortest, longest + 1, (), generator=generator))
        ids = torch.randint(5, vocab, (rows, length), generator=generator)
        how = dict(seed=0, epoch=0, index=torch.arange(rows) + step * rows)
        ids, labels = mlm.mask_tokens(ids, vocab, 4, range(5), **how)
        yield {"input_ids": ids, "labels": labels}


def child(way, run):
    """Train; print seconds and page faults of a step, and the largest memory."""
    vocab, width, layers, heads, rows, shortest, longest, steps = (QUICK | RUNS)[run]
    if way == "kept" and not distributed.reuse_freed_memory():
        raise SystemExit("this C library cannot be told to keep freed memory")
    ctx = distributed.setup(seed=0, device="cpu")
    config = transformer.Config(vocab, width, layers, heads, 4 * width, longest)
    net = transformer.LanguageModel(config)
    # made beforehand: only the training is counted
    data = list(batches(vocab, rows, shortest, longest, WARM + steps))
    optimizer = optim.adamw(optim.parameter_groups(net, 1e-4))

    def now():
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        return time.perf_counter(), faults

    marks = [now()]
    for _ in train.steps(net, data, mlm.mlm_loss, optimizer, dtype=ctx.dtype):
        marks.append(now())
    marks = marks[WARM:]
    seconds = [b[0] - a[0] for a, b in zip(marks, marks[1:])]
    found = {
        "seconds": round(statistics.median(seconds), 4),
        "faults": round((marks[-1][1] - marks[0][1]) / (len(marks) - 1)),
        "peak": peak(),
    }
    print(json.dumps(found))


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--quick", action="store_true")
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    a = a.parse_args()
    if a.child:
        return child(*a.child)
    rows = {}
    for turn in range(1 if a.quick else a.rounds):
        for run in QUICK if a.quick else RUNS:
            # its memory is what this one is for, and that does not ask the threads
            for threads in (1,) if a.quick or run == "many shapes" else (1, 2):
                for way in WAYS[:: -1 if turn % 2 else 1]:
                    words = ["--child", way, run]
                    made = json.loads(
                        launch(__file__, words, 1, threads).splitlines()[-1]
                    )
                    key = {"run": run, "threads": threads, "way": way}
                    row = rows.setdefault((run, threads, way), key)
                    for name, value in made.items():
                        row.setdefault(name, []).append(value)
                    print(run, threads, way, made, flush=True)
    if not a.quick:
        record = {
            "what": "freed memory, given back or kept",
            "command": "python benchmarks/freed_memory.py",
            "commit": reproducibility.commit(__file__),
            "runs": RUNS,
            "precision": str(distributed.setup(device="cpu").dtype or torch.float32),
            "machine": reproducibility.machine(),
            "versions": reproducibility.versions(("torch", "numpy")),
            "threads": "1 to 2",
            "rows": list(rows.values()),
        }
        (HERE / "results" / "freed_memory.json").write_text(
            json.dumps(record, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
