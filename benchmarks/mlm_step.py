"""Tokens per second of a masked-LM training step: ftlib's loop and model against
transformers' Trainer, equal weights and batches.

    python benchmarks/mlm_step.py            writes benchmarks/results/mlm_step.json
    python benchmarks/mlm_step.py --precisions float32    where bfloat16 is emulated
                                             and would take an hour
    python benchmarks/mlm_step.py --rows 32  the step of recipes/pretrain_mlm.py;
                                             writes mlm_step_32.json
    python benchmarks/mlm_step.py --quick    tiny, to see that it runs; writes nothing
    python benchmarks/render.py              makes the table

The contenders take turns in one process, so that a slow minute of the machine meets all
of them:
  ftlib      train.steps + mlm.mlm_loss + ftlib's model, which makes logits at the asked
             places only
  loop       train.steps with transformers' model, to tell the loop's part from the
             model's
  Trainer    transformers' Trainer with transformers' model
             (RobertaPreLayerNormForMaskedLM), fused AdamW, the same clipping
  Lightning  Lightning's Trainer with transformers' model and the same optimizer, where
             `pip install lightning` was run before
Batches are made beforehand, so nobody reads or masks text while the clock runs. The
first steps of a round do not count. In each round the machine's peak is measured as
well: the fastest of some large matrix products in each precision.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModelForMaskedLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils import logging

from ftlib.course import reproducibility
from ftlib.models import hf_format, transformer
from ftlib.objectives import mlm
from ftlib.training import optim, train

try:
    import lightning.pytorch as lightning
except ModuleNotFoundError:  # not a dependency of the course
    lightning = None

HERE, WARM, RATE = pathlib.Path(__file__).resolve().parent, 2, 1e-4


def batches(count, size, tokens, vocab):
    """Masked rows of random ids; the speed does not depend on what the ids say."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for i in range(count):
        ids = torch.randint(5, vocab, (size, tokens), generator=generator)
        ids, labels = mlm.mask_tokens(
            ids,
            vocab,
            4,
            range(5),
            seed=0,
            epoch=0,
            index=torch.arange(size) + i * size,
        )
        made.append({"input_ids": ids, "labels": labels})
    return made


def with_steps(net, data, loss_fn, dtype):
    """Seconds of each step of ftlib's loop, and the mean loss: equal numbers show that
    all contenders train the same model.
    """
    optimizer = optim.adamw(optim.parameter_groups(net, RATE))
    times = [time.perf_counter()]
    losses = []
    for step in train.steps(
        net,
        data,
        loss_fn,
        optimizer,
        dtype=dtype,
        schedule=lambda s: optim.warmup_linear(s, 1, len(data)),
    ):
        times.append(time.perf_counter())
        losses.append(step.loss)
    return [b - a for a, b in zip(times, times[1:])], statistics.mean(losses)


def their_loss(net, batch):
    """transformers' mean, as the sum that train.steps wants."""
    return net(**batch).loss * (batch["labels"] != -100).sum()


class Clock(TrainerCallback):
    def __init__(self):
        self.times = []

    def on_step_begin(self, *_, **__):
        self.times = self.times or [time.perf_counter()]

    def on_step_end(self, *_, **__):
        self.times.append(time.perf_counter())


class GivenBatches(Trainer):
    """A Trainer that takes the batches as they are."""

    def get_train_dataloader(self):
        return torch.utils.data.DataLoader(self.train_dataset, batch_size=None)


def with_trainer(net, data, dtype):
    """Seconds of each step of transformers' Trainer."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            max_steps=len(data),
            learning_rate=RATE,
            warmup_steps=1,
            optim="adamw_torch_fused",
            adam_beta2=0.98,
            weight_decay=0.01,
            max_grad_norm=1.0,
            bf16=dtype is not None,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        result = GivenBatches(
            net, settings, train_dataset=data, callbacks=[clock]
        ).train()
    return [b - a for a, b in zip(clock.times, clock.times[1:])], result.training_loss


def with_lightning(net, data, dtype):
    """Seconds of each step of Lightning's Trainer, and the mean loss."""

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.times, self.losses = net.train(), [time.perf_counter()], []

        def training_step(self, batch, _):
            loss = self.net(**batch).loss
            self.losses.append(loss.detach())
            return loss

        def on_train_batch_start(self, *_):
            self.times[:1] = (
                [time.perf_counter()] if len(self.times) == 1 else self.times[:1]
            )

        def on_train_batch_end(self, *_):
            self.times.append(time.perf_counter())

        # Lightning's own refuses fused optimizers in mixed precision
        def configure_gradient_clipping(self, *_, **__):
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)

        def configure_optimizers(self):
            optimizer = optim.adamw(optim.parameter_groups(self.net, RATE))
            schedule = torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda s: optim.warmup_linear(s, 1, len(data))
            )
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": schedule, "interval": "step"},
            }

    module = Module()
    quiet = dict(
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer = lightning.Trainer(
        max_steps=len(data),
        accelerator="cpu",
        devices=1,
        precision="bf16-mixed" if dtype else "32-true",
        **quiet,
    )
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=None))
    return [b - a for a, b in zip(module.times, module.times[1:])], float(
        torch.stack(module.losses).mean()
    )


def peak(dtype, tries=12):
    """Operations a second of a product of (2048, 1024) and (1024, 1024), the best of
    `tries`: what this machine can do at most.
    """
    a = torch.randn(2048, 1024).to(dtype)
    b = torch.randn(1024, 1024).to(dtype)
    best = float("inf")
    for _ in range(tries):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 2048 * 1024 * 1024 / best


def arithmetic(net, batch, loss_fn):
    """Floating-point operations of one forward and backward pass, counted: what the two
    models cannot both avoid.
    """
    # the counter does not know the CPU's fused kernel
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        loss_fn(net.train(), batch).backward()
    return counter.get_total_flops()


def measure(sizes, rounds, steps, kinds=("float32", "bfloat16")):
    """Rows {contender, precision, tokens_per_second: [one per round]}, the operations
    of a step of either model, and the peaks.
    """
    data = batches(steps + WARM, sizes["batch"], sizes["tokens"], sizes["vocab"])
    config = transformer.Config(
        sizes["vocab"],
        sizes["width"],
        sizes["layers"],
        sizes["heads"],
        4 * sizes["width"],
        sizes["tokens"],
    )
    torch.manual_seed(0)
    start = transformer.LanguageModel(config)
    names = ("ftlib", "loop", "Trainer", *(["Lightning"] if lightning else []))
    rates = {(name, kind): [] for kind in kinds for name in names}
    peaks = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        hf_format.save(start, folder, half=False)  # the same weights for all
        operations = {
            "ftlib": arithmetic(
                transformer.from_state(*hf_format.load(folder)), data[0], mlm.mlm_loss
            ),
            "transformers": arithmetic(
                AutoModelForMaskedLM.from_pretrained(folder), data[0], their_loss
            ),
        }
        for turn in range(rounds):
            for kind in kinds:
                peaks[kind].append(peak(getattr(torch, kind)))
            for name, kind in rates:
                dtype = torch.bfloat16 if kind == "bfloat16" else None
                net = (
                    transformer.from_state(*hf_format.load(folder))
                    if name == "ftlib"
                    else AutoModelForMaskedLM.from_pretrained(folder)
                )
                if name == "Trainer":
                    times, loss = with_trainer(net, data, dtype)
                elif name == "Lightning":
                    times, loss = with_lightning(net, data, dtype)
                else:
                    times, loss = with_steps(
                        net,
                        data,
                        mlm.mlm_loss if name == "ftlib" else their_loss,
                        dtype,
                    )
                rates[name, kind].append(
                    sizes["batch"] * sizes["tokens"] / statistics.median(times[WARM:])
                )
                print(
                    f"round {turn + 1} {name:9} {kind:9} "
                    f"{rates[name, kind][-1]:8,.0f} tokens/s  loss {loss:.3f}",
                    flush=True,
                )
    return (
        [
            {
                "contender": n,
                "precision": k,
                "tokens_per_second": [round(r, 1) for r in v],
            }
            for (n, k), v in rates.items()
        ],
        operations,
        peaks,
    )


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--quick", action="store_true")
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--steps", type=int, default=12)
    a.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    a.add_argument("--rows", type=int, default=16)
    a = a.parse_args()
    logging.set_verbosity_error(), logging.disable_progress_bar()
    sizes = dict(layers=4, width=256, heads=4, vocab=8000, tokens=128, batch=a.rows)
    if a.quick:
        print(
            measure(
                dict(layers=1, width=32, heads=2, vocab=100, tokens=16, batch=4), 1, 3
            )[1]
        )
        return
    rows, operations, peaks = measure(sizes, a.rounds, a.steps, a.precisions)
    record = {
        "what": "masked-LM training step",
        "command": " ".join(["python", *sys.argv]),
        "commit": reproducibility.commit(__file__),
        "operations": operations,
        "peaks": {kind: [round(p) for p in values] for kind, values in peaks.items()},
        "sizes": sizes,
        "steps_per_round": a.steps,
        "machine": reproducibility.machine(),
        "versions": reproducibility.versions(),
        "threads": torch.get_num_threads(),
        "rows": rows,
    }
    out = "mlm_step" if a.rows == 16 else f"mlm_step_{a.rows}"
    (HERE / "results" / f"{out}.json").write_text(
        json.dumps(record, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
