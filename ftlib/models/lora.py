"""LoRA: train a low-rank correction of chosen linear layers and nothing else (Hu et al.
2021).

Use it:

    >>> net = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 4))
    >>> x, before = torch.ones(2, 8), net(torch.ones(2, 8))
    >>> # the layer named 0; everything else is frozen
    >>> add(net, targets=["0"], rank=2, alpha=4)
    ['0']
    >>> # B starts at zero; 2 * (8 + 8) weights are left to train
    >>> torch.equal(net(x), before), trainable(net)
    (True, 32)
    >>> # fold the product into the weight: a plain layer again
    >>> merge(net), type(net[0]).__name__
    (['0'], 'Linear')

It works on any module with `nn.Linear` layers: ftlib's `qkv, out, up, down`,
transformers' `query, value` ... A head of your own stays trainable if you call
`add(model.encoder, ...)` instead of `add(model, ...)`. `save` writes the two files that
`peft.PeftModel.from_pretrained` opens, `load` reads them; no names of classes, no code,
safetensors only.

What it is not: peft. No convolutions or embeddings, no quantised bases, one adapter in
a model at a time (to add two adapters, see `combine`). `nn.MultiheadAttention` reads
its weights itself and so cannot be a target. Needs: torch, safetensors.

Shapes: B batch, T tokens, D_in and D_out the widths of a layer, r the rank.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

# peft's names
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
# Options of peft that would change the numbers: a file that sets one to anything else
# is refused.
PLAIN = {
    "peft_type": "LORA",
    "bias": "none",
    "use_dora": False,
    "use_rslora": False,
    "fan_in_fan_out": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "modules_to_save": None,
    "layers_to_transform": None,
}
# Options that load() reads, and those that change no number once A and B are there;
# every other one must be off. Of the starts these leave the base as it was.
READ = {"r", "lora_alpha", "lora_dropout", "target_modules"}
HARMLESS = set(
    "task_type auto_mapping peft_version base_model_name_or_path revision "
    "inference_mode layers_pattern megatron_core qalora_group_size runtime_config "
    "eva_config".split()
)
STARTS = (True, False, None, "gaussian", "eva", "orthogonal")


class LoRALinear(nn.Module):
    """y = W x + b + alpha / r * B A x, (..., D_in) -> (..., D_out): W and b frozen, A
    (r, D_in) random, B (D_out, r) zero.
    """

    def __init__(self, base, rank, alpha, dropout=0.0):
        super().__init__()
        if not 1 <= rank <= min(base.weight.shape):
            raise ValueError(
                f"rank is {rank}, a layer of {base.in_features} to "
                f"{base.out_features} allows 1 to "
                f"{min(base.weight.shape)}; choose one of these"
            )
        self.base, self.rank, self.alpha = base.requires_grad_(False), rank, alpha
        # float32: small steps vanish in half precision
        made = dict(device=base.weight.device, dtype=torch.float32)
        self.A = nn.Parameter(torch.empty(rank, base.in_features, **made))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank, **made))
        # as nn.Linear and peft: uniform within 1 / sqrt(D_in)
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.dropout = nn.Dropout(dropout)

    @property
    def scale(self):
        """alpha / r: with it a rank may be changed and the learning rate kept, more or
        less.
        """
        return self.alpha / self.rank

    def delta_weight(self):
        """What the adapter adds to the weight: (D_out, D_in)."""
        return self.scale * self.B @ self.A

    def forward(self, x):
        # two thin products, never the (D_out, D_in) matrix: r * (D_in + D_out)
        # multiplications a row
        low = F.linear(self.dropout(x).to(self.A.dtype), self.A)
        y = self.base(x)
        return y + (self.scale * F.linear(low, self.B)).to(y.dtype)


def _layers(model, kind):
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, kind)
    }


def _put(model, name, module):
    parent, _, last = name.rpartition(".")  # get_submodule("") is the model itself
    setattr(model.get_submodule(parent), last, module)


def target_modules(model, targets):
    """Names of the linear layers that a target names: the whole name, or its end after
    a dot.

    Raises ValueError for a target that matches none, with the names that exist.
    """
    linear = _layers(model, nn.Linear)
    ends = {
        target: [n for n in linear if n == target or n.endswith(f".{target}")]
        for target in targets
    }
    if none := [target for target, matches in ends.items() if not matches] or (
        [] if ends else ["(no target)"]
    ):
        # the last word of each name: twelve layers have the same six words
        there = sorted({name.rpartition(".")[2] for name in linear}) or ["none at all"]
        raise ValueError(
            f"no linear layer is named {none[0]}; the model has "
            f"{', '.join(there)}; choose targets among these"
        )
    return [
        name for name in linear if any(name in matches for matches in ends.values())
    ]


def count(model, targets, rank):
    """How many weights an adapter of this rank has: the sum of r * (D_in + D_out) over
    the layers, before anything is built.
    """
    return sum(
        rank * (layer.in_features + layer.out_features)
        for layer in map(model.get_submodule, target_modules(model, targets))
    )


def trainable(model):
    """How many weights an optimizer would change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def add(model, targets, rank=8, alpha=16, dropout=0.0):
    """Freeze `model`, put a LoRALinear in the place of each target -> the names. The
    outputs stay the same until a step.
    """
    if inside := list(_layers(model, LoRALinear)):
        raise ValueError(
            f"{inside[0]} and {len(inside) - 1} more layers carry an adapter "
            "already; merge() or unload() it first"
        )
    names = target_modules(model, targets)
    # all, or an error and none
    layers = {
        name: LoRALinear(model.get_submodule(name), rank, alpha, dropout)
        for name in names
    }
    model.requires_grad_(False)
    for name, layer in layers.items():
        _put(model, name, layer.train(model.training))
    return names


def unload(model):
    """Take the adapter off: the base layers as they were, bit for bit -> the names.
    They stay frozen.
    """
    # a list of names made before the first change: the walk must not see its own edits
    layers = _layers(model, LoRALinear)
    for name, layer in layers.items():
        _put(model, name, layer.base)
    return list(layers)


@torch.no_grad()
def merge(model):
    """Fold the adapter into the base: W + alpha / r * B A, plain layers that cost
    nothing extra -> the names.

    A weight that another layer owns too (an output matrix that is the embedding) is
    untied: the other layer keeps the old one. Tell whoever saves such a model, in
    transformers with `model.config.tie_word_embeddings = False`.
    """
    for layer in _layers(model, LoRALinear).values():
        # float32 first: a half-precision W loses the small product if both are rounded
        # before the sum
        merged = layer.base.weight.float() + layer.delta_weight().float()
        # a parameter of its own: written into the old one, it would move every layer
        # that shares it
        layer.base.weight = nn.Parameter(merged.to(layer.base.weight.dtype), False)
    return unload(model)


def adapter_state_dict(model):
    """{"<layer>.lora_A.weight": (r, D_in), "<layer>.lora_B.weight": (D_out, r)}: copies
    of the adapter, and nothing of the base.
    """
    return {
        f"{name}.lora_{letter}.weight": getattr(layer, letter).detach().clone()
        for name, layer in _layers(model, LoRALinear).items()
        for letter in "AB"
    }


@torch.no_grad()
def load_state(model, tensors):
    """Put an adapter's tensors into layers that add() has made; swapping an adapter is
    this call, alpha / r stays the model's.

    Raises ValueError if a name or a shape is not the model's: another base, other
    targets or another rank.
    """
    mine = {
        f"{name}.lora_{letter}.weight": getattr(layer, letter)
        for name, layer in _layers(model, LoRALinear).items()
        for letter in "AB"
    }
    if different := sorted(mine.keys() ^ tensors.keys()):
        owner = "model" if different[0] in mine else "adapter"
        raise ValueError(
            f"{different[0]} is in the {owner} alone; add() the targets "
            "that this adapter was trained with, to its own base"
        )
    for name, tensor in tensors.items():  # look at all before the first is changed
        if tensor.shape != mine[name].shape:
            raise ValueError(
                f"{name} has the shape {tuple(tensor.shape)}, the model's "
                f"{tuple(mine[name].shape)}; "
                "take the rank and the base that this adapter was trained "
                "with"
            )
    for name, tensor in tensors.items():
        # in place: an optimizer, or a compiled model, keeps its references
        mine[name].copy_(tensor)


def save(model, folder, base="", half=False):
    """Write the adapter as peft does: adapter_config.json and adapter_model.safetensors
    (float16 if `half`).

    base: the name or folder of the base, which peft's AutoPeftModel looks up; the file
        does not hold it.
    """
    layers, folder = _layers(model, LoRALinear), Path(folder)
    if not layers:
        raise ValueError(
            "the model carries no adapter; add() one and train it before save()"
        )
    folder.mkdir(parents=True, exist_ok=True)
    first = next(iter(layers.values()))
    # whole names: an end such as "dense" would match other layers too when peft looks
    # for it
    config = {
        **PLAIN,
        "base_model_name_or_path": base,
        "r": first.rank,
        "lora_alpha": first.alpha,
        "lora_dropout": first.dropout.p,
        "target_modules": sorted(layers),
        "inference_mode": True,
        "task_type": None,
    }
    tensors = {
        PREFIX + name: t.cpu().to(torch.float16 if half else torch.float32).contiguous()
        for name, t in adapter_state_dict(model).items()
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def load(model, folder):
    """Add the adapter of a folder that save() or peft wrote to its base -> the names of
    its layers.

    Raises ValueError for a kind of adapter that this file does not compute.
    """
    config = json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
    for key, value in config.items():
        known = key in READ | HARMLESS or value == PLAIN.get(key)
        known = known or (key == "init_lora_weights" and value in STARTS)
        if value and not known:
            raise ValueError(
                f"{folder} has {key}={value!r}, load() computes "
                f"plain LoRA with {PLAIN.get(key)!r}; open it with peft"
            )
    tensors = {
        name.removeprefix(PREFIX): t
        for name, t in load_file(Path(folder) / WEIGHTS).items()
    }
    # peft writes ends of names or, as save() does, whole names; matches() takes both
    targets = config["target_modules"]
    names = add(
        model,
        [targets] if isinstance(targets, str) else targets,
        config["r"],
        config["lora_alpha"],
        config["lora_dropout"],
    )
    load_state(model, tensors)
    return names


def combine(states, weights):
    """One adapter whose product is the weighted sum of the adapters' products: ranks
    add up, B holds the weights.

    The result has the scale 1 (alpha = rank), so a weight must include the adapter's
    own alpha / r. Exact: [B1 B2] [A1; A2] = B1 A1 + B2 A2, while the mean of A times
    the mean of B would mix in B1 A2 and B2 A1, which nobody has trained.
    """
    if len(states) != len(weights) or not states:
        raise ValueError(
            f"{len(states)} adapters and {len(weights)} weights; give one "
            "weight for each of at least 1 adapter"
        )
    if different := set.union(*map(set, states)) - set.intersection(*map(set, states)):
        raise ValueError(
            f"{min(different)} is not in all adapters; combine adapters with "
            "the same targets on the same base"
        )
    return {
        name: torch.cat([s[name] for s in states], 0)
        if name.endswith("lora_A.weight")
        else torch.cat([w * s[name] for s, w in zip(states, weights)], 1)
        for name in states[0]
    }


def factor_average_error(states):
    """How far a mean of factors is from the mean of products: the relative Frobenius
    distance, 0 for equal adapters.

    states: two adapters of equal rank. Returns {layer: number}.
    """
    one, two = states
    errors = {}
    for name in (
        n.removesuffix(".lora_A.weight") for n in one if n.endswith("lora_A.weight")
    ):
        (a1, b1), (a2, b2) = (
            (s[f"{name}.lora_A.weight"], s[f"{name}.lora_B.weight"]) for s in (one, two)
        )
        expected, got = (b1 @ a1 + b2 @ a2) / 2, (b1 + b2) @ (a1 + a2) / 4
        errors[name] = float((got - expected).norm() / expected.norm().clamp(min=1e-12))
    return errors
