"""Two processes against one: the same optimizer step, 16 rows of 128 tokens, on one
core, on two cores, and on two processes that hold the whole model each (DDP) or share
it out (FSDP2).

    python benchmarks/processes.py            writes benchmarks/results/processes.json
    python benchmarks/processes.py --rows 32  the step of recipes/pretrain_mlm.py;
                                              writes processes_32.json
    python benchmarks/processes.py --quick    one short round of the first precision;
                                              writes nothing
    python benchmarks/render.py               makes the table

Each contender is a program of its own (torchrun needs that), and they take turns. The
gradients of the two processes are averaged by gloo over loopback, once a step; with
FSDP2 the weights travel too. The losses must be equal: it is the same training.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch

from ftlib.course import reproducibility
from ftlib.models import transformer
from ftlib.objectives import mlm
from ftlib.training import distributed, optim, train

HERE = pathlib.Path(__file__).resolve().parent
TOKENS = 128
VOCAB = 8000
WARM = 2
# nats. Over 12 steps of bfloat16 the contenders were 0.000005 apart; twice the learning
# rate makes 0.0005, two processes that exchange nothing 0.0015
MOST_APART = 1e-4
# name: (processes, threads of each, FSDP2)
CONTENDERS = {
    "one process, one thread": (1, 1, False),
    "one process, two threads": (1, 2, False),
    "two processes, DDP": (2, 1, False),
    "two processes, FSDP2": (2, 1, True),
}


def child(steps, precision, rows, shard):
    """Train; process 0 prints the tokens per second of the whole group, and the mean
    loss, as JSON.
    """
    ctx = distributed.setup(seed=0, device="cpu", bf16=precision == "bfloat16")
    net = distributed.wrap(
        transformer.LanguageModel(transformer.Config(VOCAB, 256, 4, 4, 1024, TOKENS)),
        ctx,
        shard=shard,
    )
    generator, batches = torch.Generator().manual_seed(0), []
    for i in range(steps + WARM):
        ids = torch.randint(5, VOCAB, (rows, TOKENS), generator=generator)
        ids, labels = mlm.mask_tokens(
            ids,
            VOCAB,
            4,
            range(5),
            seed=0,
            epoch=0,
            index=torch.arange(rows) + i * rows,
        )
        batches.append(
            {
                "input_ids": ids[ctx.rank :: ctx.world_size],
                "labels": labels[ctx.rank :: ctx.world_size],
            }
        )
    times, losses = [time.perf_counter()], []
    for step in train.steps(
        net,
        batches,
        mlm.mlm_loss,
        optim.adamw(optim.parameter_groups(net, 1e-4)),
        dtype=ctx.dtype,
    ):
        times.append(time.perf_counter())
        losses.append(step.loss)
    seconds = [b - a for a, b in zip(times, times[1:])][WARM:]
    distributed.print0(
        ctx,
        json.dumps(
            {
                "rate": rows * TOKENS / statistics.median(seconds),
                "loss": statistics.mean(losses),
            }
        ),
    )
    distributed.cleanup()


def launch(program, words, processes, threads=1, **variables):
    """Run a program of this folder in so many processes -> what they printed."""
    launcher = ["-m", "torch.distributed.run", "--standalone"]
    launcher += [f"--nproc_per_node={processes}"]
    command = [sys.executable, *(launcher if processes > 1 else []), program]
    settings = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(HERE.parent),
        **variables,
    }
    ended = subprocess.run(
        [*command, *map(str, words)], env=settings, capture_output=True, text=True
    )
    if ended.returncode:
        raise SystemExit(ended.stderr[-3000:])
    return ended.stdout


def start(processes, threads, shard, steps, precision, rows):
    """Run one contender -> what its process 0 printed."""
    words = ["--child", f"--steps={steps}", f"--precisions={precision}"]
    words += [f"--rows={rows}", *["--shard"] * shard]
    printed = launch(__file__, words, processes, threads)
    return json.loads(printed.strip().splitlines()[-1])


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--quick", action="store_true")
    for hidden in ("--child", "--shard"):
        a.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--steps", type=int, default=12)
    a.add_argument("--rows", type=int, default=16)
    a.add_argument(
        "--precisions",
        nargs="+",
        default=["float32", "bfloat16"]
        if distributed.native_bf16(torch.device("cpu"))
        else ["float32"],
    )
    a = a.parse_args()
    if a.child:
        return child(a.steps, a.precisions[0], a.rows, a.shard)
    kinds = a.precisions[:1] if a.quick else a.precisions
    rates = {(name, kind): [] for kind in kinds for name in CONTENDERS}
    losses = {kind: [] for kind in kinds}
    for _ in range(1 if a.quick else a.rounds):
        for (name, kind), values in rates.items():
            answer = start(*CONTENDERS[name], 3 if a.quick else a.steps, kind, a.rows)
            values.append(round(answer["rate"], 1))
            print(
                f"{name:32} {kind:9} {values[-1]:8,.0f} tokens/s  loss "
                f"{answer['loss']:.3f}",
                flush=True,
            )
            losses[kind].append(answer["loss"])
            if max(losses[kind]) - min(losses[kind]) > MOST_APART:
                raise SystemExit(
                    f"{name} has a loss of {answer['loss']:.5f} with {kind}, others "
                    f"{losses[kind][0]:.5f}: that is another training; no file is "
                    "written"
                )
    more, end = (f" --rows {a.rows}", f"_{a.rows}") if a.rows != 16 else ("", "")
    if not a.quick:
        rows = [
            {"contender": name, "precision": kind, "tokens_per_second": values}
            for (name, kind), values in rates.items()
        ]
        record = {
            "what": "two processes against one",
            "command": f"python benchmarks/processes.py{more}",
            "commit": reproducibility.commit(__file__),
            "step_rows": a.rows,
            "machine": reproducibility.machine(),
            "versions": reproducibility.versions(),
            "threads": "1 to 2",
            "rows": rows,
        }
        (HERE / "results" / f"processes{end}.json").write_text(
            json.dumps(record, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
