"""The roofline of a masked-LM training step (Williams et al. 2009): where its time
goes, and how fast it can be at most on this machine.

    python benchmarks/roofline.py            writes benchmarks/results/roofline.json
    python benchmarks/roofline.py --rows 32  writes roofline_32.json
    python benchmarks/roofline.py --quick    tiny, to see that it runs; writes nothing
    python benchmarks/render.py              makes the table

Operations run one after the other, and each (of forward, backward and update) takes at
least the longer of two times: its arithmetic at the speed of the fastest large matrix
product, and the numbers that it reads and writes, each once, at the speed of the
fastest copy of any size, such as fit into a cache too. Both speeds are the best that
this machine reached in any round. A second, nearer bound takes each product at the
fastest that it ran alone, with the shapes and strides that it has in the step. The
measured time of a kind of operation is its share in torch's profiler, of a step timed
without the profiler. The Trainer's step is timed in the same rounds, so both bounds are
also ratios to it.
"""

import argparse
import collections
import json
import pathlib
import statistics
import sys
import tempfile
import time

import torch
from mlm_step import RATE, WARM, batches, peak, with_steps, with_trainer
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.flop_counter import flop_registry
from transformers import AutoModelForMaskedLM
from transformers.utils import logging

from ftlib.course import reproducibility
from ftlib.models import hf_format, transformer
from ftlib.objectives import mlm
from ftlib.training import distributed, optim, train

HERE = pathlib.Path(__file__).resolve().parent
# a part of the operation's name: its kind; the first that fits
KINDS = {
    "attention": "attention",
    "mm": "matrix products",
    "layer_norm": "layer norm",
    "gelu": "GELU",
    "softmax": "softmax and loss",
    "nll_loss": "softmax and loss",
    "adam": "update",
    "foreach": "update",
    "embedding": "embedding and picking",
    "index": "embedding and picking",
    "nonzero": "embedding and picking",
}
OTHER = "adding, copying, casting"
# these only write their first argument, or read no more rows than they give
WRITE_ONLY = {"aten::zero_", "aten::fill_", "aten::copy_"}
PICK = {"aten::embedding", "aten::index"}


def kind_of(name):
    return next((kind for part, kind in KINDS.items() if part in name), OTHER)


def size(tensors):
    return sum(t.numel() * t.element_size() for t in tensors)


def tensors_in(tree):
    return [x for x in tree_flatten(tree)[0] if isinstance(x, torch.Tensor)]


def bytes_of(func, args, kwargs, out):
    """What a call reads and writes at least: every number once."""
    schema = func._schema
    if any(r.alias_info and not r.alias_info.is_write for r in schema.returns):
        return 0  # a view
    if schema.name == "aten::_unsafe_view":
        return 0  # one too, whose schema does not say so
    changed = [
        value
        for value, argument in zip(args, schema.arguments)
        if argument.alias_info
        and argument.alias_info.is_write
        and argument.name != "grads"  # AdamW writes them for a scaled loss alone
    ]
    written = tensors_in(changed)
    made = [t for t in tensors_in(out) if all(t is not w for w in written)]
    if schema.name in PICK:
        return 2 * size(made) + size(tensors_in(args[1:]))
    if schema.name.startswith(("aten::empty", "aten::new_empty")):
        return 0
    read = tensors_in((args, kwargs))
    if schema.name in WRITE_ONLY:
        read = tensors_in(args[1:])
    return size(read) + size(written) + size(made)


def operations_of(func, args, kwargs, out):
    """Floating-point operations of a product, 0 of anything else."""
    if func.overloadpacket in flop_registry:
        return flop_registry[func.overloadpacket](*args, **kwargs, out_val=out)
    # the counter does not know the CPU's fused kernel: two products of (T, E) and
    # (E, T) forward, four backward
    if "attention_for_cpu" in func._schema.name:
        products = 4 if "backward" in func._schema.name else 2
        query = args[1 if products == 4 else 0]
        *batch, T, E = query.shape
        return products * 2 * torch.Size(batch).numel() * T * T * E
    return 0


class Recorder(TorchDispatchMode):
    """Counts the calls that reach torch's kernels, {(name, operations, bytes): calls},
    and keeps the arguments' shapes of one product of each sort.
    """

    def __init__(self):
        super().__init__()
        self.calls, self.products = collections.Counter(), {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        operations = operations_of(func, args, kwargs, out)
        row = func._schema.name, operations, bytes_of(func, args, kwargs, out)
        self.calls[row] += 1
        if operations and row not in self.products:
            like = tree_map(shape_of, (args, kwargs))
            self.products[row] = func, *like
        return out


class Like:
    """What a tensor is, without its numbers."""

    def __init__(self, tensor):
        self.shape, self.stride = tensor.shape, tensor.stride()
        self.dtype = tensor.dtype

    def made(self):
        made = torch.empty_strided(self.shape, self.stride, dtype=self.dtype)
        return made.normal_() if self.dtype.is_floating_point else made.zero_()


def shape_of(value):
    return Like(value) if isinstance(value, torch.Tensor) else value


def made(value):
    return value.made() if isinstance(value, Like) else value


def alone(func, args, kwargs, tries=12):
    """Seconds of a call by itself, the best of `tries`."""
    args, kwargs = tree_map(made, (args, kwargs))
    best = float("inf")
    for _ in range(tries):
        start = time.perf_counter()
        func(*args, **kwargs)
        best = min(best, time.perf_counter() - start)
    return best


def bandwidth(tries=20, sizes=(1, 2, 4, 8, 16, 64)):
    """Bytes a second read and written by the fastest copy of `sizes` MB."""
    best = 0.0
    for megabytes in sizes:
        source = torch.ones(megabytes * 250_000)
        target = torch.empty_like(source)
        for _ in range(tries):
            start = time.perf_counter()
            target.copy_(source)
            seconds = time.perf_counter() - start
            best = max(best, 2 * size([source]) / seconds)
    return best


def loop_of(net, data, dtype):
    optimizer = optim.adamw(optim.parameter_groups(net, RATE))
    return train.steps(net, data, mlm.mlm_loss, optimizer, dtype=dtype)


def counted(net, data, dtype):
    """(rows {"name", "kind", "operations", "bytes", "calls"} of one step, products)."""
    run, recorder = loop_of(net, data, dtype), Recorder()
    next(run)  # the optimizer makes its state in the first step
    with recorder:
        next(run)
    return [
        dict(name=n, kind=kind_of(n), operations=o, bytes=b, calls=calls)
        for (n, o, b), calls in recorder.calls.items()
        if o or b
    ], recorder.products


def profiled(net, data, dtype):
    """{kind: its share of the time of a step}, "calls and Python" included."""
    run = loop_of(net, data, dtype)
    next(run)
    with profile(activities=[ProfilerActivity.CPU]) as record:
        start = time.perf_counter()
        for _ in run:
            pass
        seconds = time.perf_counter() - start
    shares = collections.Counter()
    for event in record.key_averages():
        if event.key.startswith("aten::"):
            kind = kind_of(event.key)
            shares[kind] += event.self_cpu_time_total / 1e6 / seconds
    assert sum(shares.values()) <= 1.01  # no time is counted twice
    shares["calls and Python"] = 1 - sum(shares.values())
    return dict(shares)


def one_precision(folder, data, kind, rounds):
    """Rows of the step's operations, shares of its time, and the rounds."""
    dtype = torch.bfloat16 if kind == "bfloat16" else None

    def ours():
        return transformer.from_state(*hf_format.load(folder))

    rows, products = counted(ours(), data, dtype)
    turns, fastest = [], {}
    for turn in range(rounds):
        found = {"peak": peak(getattr(torch, kind)), "bandwidth": bandwidth()}
        times, _ = with_steps(ours(), data, mlm.mlm_loss, dtype)
        found["ftlib"] = statistics.median(times[WARM:])
        theirs = AutoModelForMaskedLM.from_pretrained(folder)
        times, _ = with_trainer(theirs, data, dtype)
        found["Trainer"] = statistics.median(times[WARM:])
        for row, call in products.items():
            fastest[row] = min(alone(*call), fastest.get(row, float("inf")))
        turns.append(found)
        print(f"round {turn + 1} {kind}: {found}", flush=True)
    for row in rows:
        key = row["name"], row["operations"], row["bytes"]
        if key in fastest:
            row["alone"] = fastest[key]
    shares = profiled(ours(), data, dtype)
    return dict(precision=kind, operations=rows, shares=shares, rounds=turns)


def measure(sizes, rounds, steps, kinds):
    data = batches(steps + WARM, sizes["batch"], sizes["tokens"], sizes["vocab"])
    width = sizes["width"]
    inner = (width, sizes["layers"], sizes["heads"], 4 * width, sizes["tokens"])
    torch.manual_seed(0)
    start = transformer.LanguageModel(transformer.Config(sizes["vocab"], *inner))
    with tempfile.TemporaryDirectory() as folder:
        hf_format.save(start, folder, half=False)
        return [one_precision(folder, data, kind, rounds) for kind in kinds]


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--quick", action="store_true")
    a.add_argument("--rounds", type=int, default=4)
    a.add_argument("--steps", type=int, default=12)
    a.add_argument("--rows", type=int, default=16)
    a = a.parse_args()
    logging.set_verbosity_error(), logging.disable_progress_bar()
    kinds = ["float32"]
    if distributed.native_bf16(torch.device("cpu")):
        kinds.append("bfloat16")
    if a.quick:
        tiny = dict(layers=1, width=32, heads=2, vocab=100, tokens=16, batch=4)
        measure(tiny, 1, 2, kinds[:1])
        return
    sizes = dict(layers=4, width=256, heads=4, vocab=8000, tokens=128, batch=a.rows)
    record = {
        "what": "roofline of a masked-LM training step",
        "command": " ".join(["python", *sys.argv]),
        "commit": reproducibility.commit(__file__),
        "sizes": sizes,
        "machine": reproducibility.machine(),
        "versions": reproducibility.versions(),
        "threads": torch.get_num_threads(),
        "parts": measure(sizes, a.rounds, a.steps, kinds),
    }
    out = "roofline" if a.rows == 16 else f"roofline_{a.rows}"
    (HERE / "results" / f"{out}.json").write_text(
        json.dumps(record, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
