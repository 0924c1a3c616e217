"""The ways to train few weights that parameter_efficient.py and combined_adapters.py
compare: the head alone, biases, bottleneck adapters, LoRA, everything.

    encoder = encoder_of("reviews-bert-mini")
    prepare(encoder, "LoRA r4 q+v")          # freezes, and leaves trainable what trains
    net = fit(classify.Classifier(encoder, 2), rows, labels, rate, seed, ctx)
"""

import torch
from torch import nn
from transformers import AutoModel

from ftlib.course import hub
from ftlib.models import lora
from ftlib.objectives import classify
from ftlib.training import optim, train

LOW = (1e-4, 3e-4, 1e-3, 3e-3)
MIDDLE = (3e-4, 1e-3, 3e-3, 1e-2)
HIGH = (1e-3, 3e-3, 1e-2, 3e-2)
# "dense": after attention, and both of feed-forward
QV, ALL = ["query", "value"], ["query", "key", "value", "dense"]
METHODS = {
    "head": (HIGH, {}),
    "BitFit": (MIDDLE, {}),
    "adapter 16": (MIDDLE, {}),
    "full": (LOW, {}),
    # the same scale 2 at all ranks
    **{
        f"LoRA r{rank} {name}": (
            MIDDLE,
            dict(targets=targets, rank=rank, alpha=2 * rank),
        )
        for name, targets in (("q+v", QV), ("all", ALL))
        for rank in (1, 4, 16)
    },
}


class Bottleneck(nn.Module):
    """Houlsby et al. 2019: a narrow pair of layers behind a frozen one, before the
    residual is added.
    """

    def __init__(self, base, width):
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.out_features, width)
        self.up = nn.Linear(width, base.out_features)
        nn.init.zeros_(self.up.weight)  # the block starts as it was, as with LoRA's B
        nn.init.zeros_(self.up.bias)

    def forward(self, x):
        y = self.base(x)
        return y + self.up(nn.functional.gelu(self.down(y)))


def encoder_of(name):
    """The encoder under transformers' names, which are the names that peft's files
    carry; no pooler: mini has none.
    """
    return AutoModel.from_pretrained(
        hub.resolve(name),
        use_safetensors=True,
        add_pooling_layer=False,
        attn_implementation="eager",
    )


def prepare(encoder, method):
    """Leave trainable in the encoder what the method trains."""
    if method != "full":
        classify.freeze(encoder)
    if method == "BitFit":  # Ben Zaken et al. 2022
        for name, weight in encoder.named_parameters():
            weight.requires_grad_(name.endswith("bias"))
    if method.startswith("adapter"):
        # behind attention and behind feed-forward
        for name in lora.target_modules(encoder, ["output.dense"]):
            parent, _, last = name.rpartition(".")
            setattr(
                encoder.get_submodule(parent),
                last,
                Bottleneck(encoder.get_submodule(name), int(method.split()[1])),
            )
    if method.startswith("LoRA"):
        lora.add(encoder, **METHODS[method][1])


def fit(
    net,
    rows,
    labels,
    rate,
    seed,
    ctx,
    epochs=3,
    size=16,
    loss=classify.classification_loss,
    batches=classify.batches_of,
):
    """Train what is trainable -> the net. The order of the rows is a function of
    `seed`.
    """
    order = [
        o
        for epoch in range(epochs)
        for o in classify.length_grouped(
            [len(r) for r in rows], min(size, len(rows)), seed, epoch
        )
    ]
    run = train.steps(
        net,
        batches(rows, labels, order=order),
        loss,
        optim.adamw(optim.parameter_groups(net, rate)),
        dtype=ctx.dtype,
        schedule=lambda step: optim.warmup_linear(
            step, max(1, len(order) // 10), len(order)
        ),
    )
    for _ in run:
        pass
    return net


def correct_per_text(net, rows, labels, ctx):
    """1 or 0 for each text."""
    return (
        (
            classify.predict(net, classify.batches_of(rows), ctx.dtype).argmax(-1)
            == torch.tensor(labels)
        )
        .int()
        .tolist()
    )


def accuracy_of(correct):
    return round(sum(correct) / len(correct), 4)


def best_rate(cells, method, fallback):
    """The rate with the highest validation accuracy; of equal ones the lowest."""
    tried = [
        (-c["accuracy"], c["rate"])
        for c in cells
        if c["stage"] in ("tune", "edge") and c["method"] == method
    ]
    return min(tried)[1] if tried else fallback


def next_rate(cells, method):
    """The rate above the highest tried, on the ladder 1, 3, 10, ..., as long as the
    highest is the best; else None.
    """
    tried = {
        c["rate"]
        for c in cells
        if c["stage"] in ("tune", "edge") and c["method"] == method
    }
    if not tried or best_rate(cells, method, None) < max(tried):
        return None
    return float(f"{max(tried) * (3 if f'{max(tried):e}'[0] == '1' else 10 / 3):.0e}")
