"""What each change gave: the masked-LM training step of ftlib as it is, and with one
thing at a time put back or added.

    python benchmarks/changes.py            writes benchmarks/results/changes.json
    python benchmarks/changes.py --quick    tiny, to see that it runs; writes nothing
    python benchmarks/render.py             makes the table

The variants take turns in one process, with equal weights and batches; the sizes are
those of benchmarks/mlm_step.py.
"""

import argparse
import contextlib
import json
import pathlib
import statistics

import torch
import torch.nn.functional as F
from mlm_step import WARM, batches, with_steps  # the file beside this one

from ftlib.course import reproducibility
from ftlib.models import transformer
from ftlib.objectives import mlm
from ftlib.training import distributed

HERE = pathlib.Path(__file__).resolve().parent


def everywhere(net, batch):
    """Logits at all places, the unasked ones thrown away by the loss."""
    logits = net(batch["input_ids"]).logits.float()
    return F.cross_entropy(
        logits.flatten(0, 1),
        batch["labels"].flatten(),
        ignore_index=-100,
        reduction="sum",
    )


def whole_block(net, batch):
    """Logits at the asked places, but the last block's second half at all of them."""
    target_mask = batch["labels"] != -100
    logits = net.head(net.encoder(batch["input_ids"]).last_hidden_state[target_mask])
    return F.cross_entropy(
        logits.float(), batch["labels"][target_mask], reduction="sum"
    )


@contextlib.contextmanager
def fused_attention():
    """SDPA's fused kernel for bfloat16 on the CPU as well, which the model writes out
    instead.
    """
    kept, transformer._attention = (
        transformer._attention,
        F.scaled_dot_product_attention,
    )
    try:
        yield
    finally:
        transformer._attention = kept


def compiled(net):
    """torch.compile on every block but the last, whose number of asked places changes
    from step to step.
    """
    for block in net.encoder.blocks[:-1]:
        block.compile()


# what: (loss, what to do around the training, what to do to the model, precisions)
VARIANTS = {
    "as it is": (mlm.mlm_loss, contextlib.nullcontext, None, ("float32", "bfloat16")),
    "logits everywhere": (
        everywhere,
        contextlib.nullcontext,
        None,
        ("float32", "bfloat16"),
    ),
    "last block everywhere": (
        whole_block,
        contextlib.nullcontext,
        None,
        ("float32", "bfloat16"),
    ),
    # in float32 it is what the model uses
    "fused attention": (mlm.mlm_loss, fused_attention, None, ("bfloat16",)),
    "compiled blocks": (
        mlm.mlm_loss,
        contextlib.nullcontext,
        compiled,
        ("float32", "bfloat16"),
    ),
}


def measure(sizes, rounds, steps, kinds):
    """[{"variant", "precision", "tokens_per_second": one per round}]."""
    data = batches(steps + WARM, sizes["batch"], sizes["tokens"], sizes["vocab"])
    config = transformer.Config(
        sizes["vocab"],
        sizes["width"],
        sizes["layers"],
        sizes["heads"],
        4 * sizes["width"],
        sizes["tokens"],
    )
    rates = {
        (name, kind): []
        for kind in kinds
        for name, variant in VARIANTS.items()
        if kind in variant[3]
    }
    for turn in range(rounds):
        for (name, kind), values in rates.items():
            loss_fn, around, change, _ = VARIANTS[name]
            torch.manual_seed(0)
            net = transformer.LanguageModel(config)
            if change:
                change(net)
            with around():
                times, loss = with_steps(
                    net, data, loss_fn, torch.bfloat16 if kind == "bfloat16" else None
                )
            values.append(
                round(
                    sizes["batch"] * sizes["tokens"] / statistics.median(times[WARM:]),
                    1,
                )
            )
            print(
                f"round {turn + 1} {name:22} {kind:9} {values[-1]:8,.0f} tokens/s  "
                f"loss {loss:.3f}",
                flush=True,
            )
    return [
        {"variant": name, "precision": kind, "tokens_per_second": values}
        for (name, kind), values in rates.items()
    ]


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--quick", action="store_true")
    a.add_argument("--rounds", type=int, default=4)
    a.add_argument("--steps", type=int, default=12)
    a = a.parse_args()
    kinds = (
        ["float32", "bfloat16"]
        if distributed.native_bf16(torch.device("cpu"))
        else ["float32"]
    )
    if a.quick:
        del VARIANTS["compiled blocks"]  # it wants a C++ compiler, and half a minute
        measure(
            dict(layers=2, width=32, heads=2, vocab=100, tokens=16, batch=4),
            1,
            2,
            ["float32"],
        )
        return
    sizes = dict(layers=4, width=256, heads=4, vocab=8000, tokens=128, batch=16)
    rows = measure(sizes, a.rounds, a.steps, kinds)
    record = {
        "what": "what each change gave",
        "command": "python benchmarks/changes.py",
        "commit": reproducibility.commit(__file__),
        "sizes": sizes,
        "machine": reproducibility.machine(),
        "versions": reproducibility.versions(),
        "threads": torch.get_num_threads(),
        "rows": rows,
    }
    (HERE / "results" / "changes.json").write_text(
        json.dumps(record, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
