"""The memory of one training process against `cost.process_bytes`: one process, two
with DDP, two and four with FSDP2; models that are mostly weights, mostly vocabulary,
or mostly activations.

    python benchmarks/process_memory.py            writes benchmarks/results/
                                                   process_memory.json; 10 minutes
    python benchmarks/process_memory.py --quick    one small model; writes nothing
    python benchmarks/render.py                    makes the table

Measured is the largest resident memory of process 0 (VmHWM) after three steps in
float32, less what it held after the same three steps of a tiny model: Python, torch,
the libraries and the group of processes are not the formula's. glibc keeps freed
memory of less than 32 MB for later; MALLOC_MMAP_THRESHOLD_=65536 makes it give tensors
back. The rows "as it comes" are without that.
"""

import argparse
import gc
import json
import pathlib

import torch
from processes import launch  # beside this file
from stream_memory import peak

from ftlib.course import reproducibility
from ftlib.evaluation import cost
from ftlib.models import transformer
from ftlib.objectives import mlm
from ftlib.training import distributed, optim, train

HERE = pathlib.Path(__file__).resolve().parent
# what it is mostly -> width, layers, vocabulary, rows of a process, tokens of a row
MODELS = {
    "weights": (768, 12, 8000, 4, 32),
    "vocabulary": (512, 6, 30000, 4, 32),
    "activations": (256, 8, 8000, 32, 128),
    "weights and activations": (512, 8, 8000, 16, 128),
}
WAYS = {"one process": 1, "DDP": 2, "FSDP2": 2, "FSDP2 of four": 4}
TINY = (32, 2, 100, 4, 16)


def resident():
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def trained(ctx, sharded, width, layers, vocab, rows, length):
    """Three steps -> the formula's answer in bytes."""
    sizes = dict(width=width, layers=layers, ffn_dim=4 * width)
    config = transformer.Config(vocab, heads=4, max_tokens=length, **sizes)
    net = distributed.wrap(transformer.LanguageModel(config), ctx, shard=sharded)
    together = rows * ctx.world_size
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, vocab, (together, length), generator=generator)
    how = dict(seed=0, epoch=0, index=torch.arange(together))
    ids, labels = mlm.mask_tokens(ids, vocab, 4, range(5), **how)
    mine = slice(ctx.rank, None, ctx.world_size)
    batch = {"input_ids": ids[mine], "labels": labels[mine]}
    optimizer = optim.adamw(optim.parameter_groups(net, 1e-4))
    for _ in train.steps(net, [batch] * 3, mlm.mlm_loss, optimizer):
        pass
    return cost.process_bytes(
        vocab,
        **sizes,
        tokens=rows * length,
        targets=int((batch["labels"] != -100).sum()),
        positions=length,
        devices=ctx.world_size,
        sharded=sharded,
    )


def child(sharded, *sizes):
    ctx = distributed.setup(seed=0, device="cpu", bf16=False)
    trained(ctx, bool(sharded), *TINY)
    gc.collect()
    before = resident()
    formula = trained(ctx, bool(sharded), *sizes)
    found = {"measured": peak() - before, "formula": round(formula)}
    distributed.print0(ctx, json.dumps(found))
    distributed.cleanup()


def start(processes, sharded, sizes, gives_back=True):
    """Run the processes -> what process 0 printed."""
    setting = {"MALLOC_MMAP_THRESHOLD_": "65536"} if gives_back else {}
    words = ["--child", int(sharded), *sizes]
    printed = launch(__file__, words, processes, **setting)
    return json.loads(printed.strip().splitlines()[-1])


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--quick", action="store_true")
    a.add_argument("--child", nargs="+", type=int, help=argparse.SUPPRESS)
    a = a.parse_args()
    if a.child:
        return child(*a.child)
    models = {"quick": (256, 4, 8000, 4, 32)} if a.quick else MODELS
    cases = [(model, way, True) for model in models for way in WAYS]
    if a.quick:
        cases = cases[:3]
    else:
        cases += [("weights", way, False) for way in WAYS]
    rows = []
    for model, way, gives_back in cases:
        found = start(WAYS[way], "FSDP2" in way, models[model], gives_back)
        row = {"model": model, "sizes": models[model], "way": way, **found}
        rows.append({**row, "gives_back": gives_back})
        ratio = found["formula"] / found["measured"]
        print(f"{model}, {way}: {rows[-1]}, formula / measured {ratio:.2f}", flush=True)
    if not a.quick:
        record = {
            "what": "the memory of a training process",
            "command": "python benchmarks/process_memory.py",
            "commit": reproducibility.commit(__file__),
            "machine": reproducibility.machine(),
            "versions": reproducibility.versions(("torch", "numpy")),
            "threads": "1 a process",
            "rows": rows,
        }
        (HERE / "results" / "process_memory.json").write_text(
            json.dumps(record, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
