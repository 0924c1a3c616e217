"""Smaller models: int8 and int4 weights, pruned weights and heads, and a clock that
compares fairly.

Use it:

    >>> w = torch.tensor([[0.10, -0.20, 0.05], [4.00, -1.00, 2.00]])
    >>> per_tensor, per_channel = quantize_int8(w), quantize_int8(w, axis=0)
    >>> per_channel.values
    tensor([[  64, -127,   32],
            [ 127,  -32,   64]], dtype=torch.int8)
    >>> # no number moves by more than half a step
    >>> bool(((per_channel.dequantize() - w).abs() <= per_channel.scale / 2).all())
    True
    >>> # one scale for everything leaves nothing of the small row
    >>> per_tensor.values[0]
    tensor([ 3, -6,  2], dtype=torch.int8)

A number x becomes a whole number round(x / scale) and comes back as scale times that.
int8 is onnxruntime's symmetric weight format (-127 to 127, zero stays zero), int4 its
blocked one. `simulate` puts the rounded weights into a float model: quality as after
quantizing, speed as before. What it is not: a fast kernel (export.py writes the file
that has them), or a search for better roundings (GPTQ, AWQ). Needs: torch.

Shapes: O outputs, I inputs of a matrix (O, I), H heads, K head width, D width, G
numbers of a group.
"""

import copy
import functools
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Quantized:
    """Whole numbers and the steps between them: `values` (..., int8), `scale` that
    broadcasts over them, and the bits of one number in a file.
    """

    values: torch.Tensor
    scale: torch.Tensor
    bits: int = 8
    shape: tuple = ()

    def dequantize(self):
        """The float32 numbers that the whole ones stand for, in the first shape."""
        return (self.values.float() * self.scale).reshape(self.shape)

    def nbytes(self):
        """Bytes in a file: the whole numbers, and four for each scale."""
        return -(-self.values.numel() * self.bits // 8) + 4 * self.scale.numel()


def _rounded(x, scale, most):
    # a tensor of zeros has no scale: any will do
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    # torch rounds halves to even, as ONNX's QuantizeLinear does
    return torch.round(x / scale).clamp(-most, most).to(torch.int8), scale


def _check(weight):
    if not weight.is_floating_point() or not torch.isfinite(weight).all():
        raise ValueError(
            f"the weight is {weight.dtype} and has numbers that are not finite, or is "
            "no float; quantize trained float weights"
        )
    return weight.detach().float()


def quantize_int8(weight, axis=None):
    """A weight in int8, symmetric: scale = largest magnitude / 127.

    axis: None for one scale, or the dimension that gets one scale an entry (0: each
        output of a torch matrix (O, I)). Raises ValueError for numbers that are not
        finite floats.
    """
    weight = _check(weight)
    if axis is None:
        largest = weight.abs().max()
    else:
        others = [d for d in range(weight.ndim) if d != axis % weight.ndim]
        largest = weight.abs().amax(others, keepdim=True)
    values, scale = _rounded(weight, largest / 127, 127)
    return Quantized(values, scale, 8, tuple(weight.shape))


def quantize_int4(weight, group=32):
    """A matrix (O, I) in int4: each row in groups of `group` inputs, each group with a
    scale of its own, largest magnitude / 7 (the format of GPTQ, Frantar et al. 2022).
    Raises ValueError where the group does not divide I.
    """
    weight = _check(weight)
    if weight.shape[-1] % group:
        raise ValueError(
            f"a row has {weight.shape[-1]} inputs, no multiple of the group {group}; "
            "choose a group that divides it"
        )
    parts = weight.reshape(-1, group)  # (O * I / G, G)
    values, scale = _rounded(parts, parts.abs().amax(1, keepdim=True) / 7, 7)
    return Quantized(values, scale, 4, tuple(weight.shape))


def pack_int4(values):
    """Two numbers from -8 to 7 in each byte, the first in the low half -> uint8 of half
    as many entries, flat. Raises ValueError for an odd count.
    """
    flat = values.flatten()
    if len(flat) % 2:
        raise ValueError(f"there are {len(flat)} numbers; two share a byte, so add one")
    flat = (flat & 15).to(torch.uint8)
    return flat[0::2] | (flat[1::2] << 4)


def unpack_int4(packed):
    """What `pack_int4` packed, flat, as int8."""
    halves = torch.stack([packed & 15, packed >> 4], dim=1).flatten().to(torch.int8)
    return torch.where(halves > 7, halves - 16, halves)


def quantize_activations(x):
    """(values uint8, scale, zero point) of numbers met at run time, as ONNX's
    DynamicQuantizeLinear: 256 steps between the smallest and the largest number, and 0
    is one of them.
    """
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / 255 if high > low else torch.ones(())
    zero = torch.round(-low / scale).clamp(0, 255)
    return (torch.round(x / scale) + zero).clamp(0, 255).to(torch.uint8), scale, zero


def int8_linear(x, quantized, bias=None):
    """x W^T + b in whole numbers, (..., I) -> (..., O): x is rounded now, the products
    are summed exactly, and one multiplication at the end gives floats back.

    quantized: a weight (O, I) of quantize_int8. A processor adds int8 products in
        int32; float64 holds the same sums exactly, and is what this uses.
    """
    values, scale, zero = quantize_activations(x)
    sums = (values.double() - zero) @ quantized.values.double().T
    y = (sums * scale * quantized.scale.flatten()).float()
    return y if bias is None else y + bias


def matrices(model, embeddings=True):
    """{name: weight} of what compression is about: the matrices of linear layers, and
    the tables of embeddings. A matrix that two layers share comes once.
    """
    kinds = (nn.Linear, nn.Embedding) if embeddings else (nn.Linear,)
    once = {}
    for name, module in model.named_modules():
        if isinstance(module, kinds):
            one = f"{name}.weight".lstrip("."), module.weight
            once.setdefault(id(module.weight), one)
    return dict(once.values())


@torch.no_grad()
def simulate(model, quantize, names=None):
    """(copy of the model whose matrices were rounded by `quantize` and came back as
    float32, bytes of the whole model in a file). The model stays as it is.

    quantize: a function from a weight to a Quantized. names: only these of `matrices`;
        the rest stays float32, four bytes each.
    """
    rounded = copy.deepcopy(model)
    weights = matrices(rounded)
    for name in set(names or ()) - set(weights):
        raise ValueError(
            f"there is no matrix {name!r}; choose among {', '.join(list(weights)[:4])}"
            " ... of matrices(model)"
        )
    size = 4 * sum(p.numel() for p in rounded.parameters())
    for name, weight in weights.items():
        if names is None or name in names:
            made = quantize(weight)
            size += made.nbytes() - 4 * weight.numel()
            weight.copy_(made.dequantize())
    return rounded, size


@torch.no_grad()
def prune_magnitude(model, fraction, each=True, embeddings=False):
    """A copy of the model whose smallest weights are 0 (Han et al. 2015).

    fraction: 0 up to 1, of the weights of each matrix, or, each=False, of all together.
    The shapes stay, so the time stays: a product with zeros costs what others cost.
    Raises ValueError for another fraction.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction is {fraction}; take 0 or more and less than 1")
    pruned = copy.deepcopy(model)
    weights = list(matrices(pruned, embeddings).values())
    pools = [[w] for w in weights] if each else [weights]
    for pool in pools:
        sizes = torch.cat([w.abs().flatten() for w in pool])
        k = round(fraction * len(sizes))
        # by rank, so that equal magnitudes cannot take more than their share
        keep = torch.ones_like(sizes, dtype=torch.bool)
        keep[sizes.topk(k, largest=False).indices] = False
        for w, kept in zip(pool, keep.split([w.numel() for w in pool])):
            w.mul_(kept.view_as(w))
    return pruned


def zeros(model, embeddings=False):
    """The share of weights of the matrices that are 0."""
    weights = list(matrices(model, embeddings).values())
    total = sum(w.numel() for w in weights)
    return sum(int((w == 0).sum()) for w in weights) / total


class FewerHeads(nn.Module):
    """ftlib's self-attention with some of its heads: smaller matrices, same call."""

    def __init__(self, attention, heads):
        super().__init__()
        D, K = attention.out.out_features, attention.out.in_features // attention.heads
        self.heads, self.width = len(heads), K
        rows = torch.cat([torch.arange(h * K, (h + 1) * K) for h in heads])
        width = attention.heads * K
        three = torch.cat([rows, rows + width, rows + 2 * width])
        self.qkv, self.out = nn.Linear(D, len(three)), nn.Linear(len(rows), D)
        with torch.no_grad():
            self.qkv.weight.copy_(attention.qkv.weight[three])
            self.qkv.bias.copy_(attention.qkv.bias[three])
            self.out.weight.copy_(attention.out.weight[:, rows])
            self.out.bias.copy_(attention.out.bias)

    def forward(self, x, mask=None, target_mask=None):
        B, T, _ = x.shape
        q, k, v = (
            self.qkv(x).view(B, T, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        )
        y = F.scaled_dot_product_attention(q, k, v, mask)
        y = y.transpose(1, 2).reshape(B, T, self.heads * self.width)
        return self.out(y if target_mask is None else y[target_mask])


def in_eval_mode(function):
    """`function(model, ...)` with dropout and the like switched off; afterwards every
    module has the mode that it had, also after an error or Ctrl-C.
    """

    @functools.wraps(function)
    def switched(model, *arguments, **keywords):
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            return function(model, *arguments, **keywords)
        finally:
            for module, training in modes.items():
                module.training = training

    return switched


@in_eval_mode
def head_importance(model, batches, loss_fn):
    """(L, H): how much the loss would move if a head were switched off, to first order:
    the mean over texts of |d loss / d gate|, a gate of 1 standing on each head's output
    (Michel et al. 2019). Each text has gates of its own, or their signs would cancel.

    model: ftlib's Classifier. loss_fn(model, batch): a sum over texts, as for training.
    """
    heads = [block.attention.heads for block in model.encoder.blocks]
    gates, hooks = [], []  # of the batch that is read: (B, H) for each layer

    def gated(module, arguments, layer):
        (y,) = arguments  # (B, T, D), head after head
        y = y.unflatten(-1, (heads[layer], -1))
        return ((y * gates[layer][:, None, :, None]).flatten(-2),)

    for layer, block in enumerate(model.encoder.blocks):
        hook = functools.partial(gated, layer=layer)
        hooks.append(block.attention.out.register_forward_pre_hook(hook))
    total, rows = torch.zeros(len(heads), heads[0]), 0
    try:
        for batch in batches:
            B = len(batch["input_ids"])
            gates[:] = [torch.ones(B, H, requires_grad=True) for H in heads]
            grads = torch.autograd.grad(loss_fn(model, batch), gates)
            total += torch.stack(grads).abs().sum(1)
            rows += B
    finally:
        for hook in hooks:
            hook.remove()
    return total / max(rows, 1)


def prune_heads(model, heads):
    """A copy of ftlib's Classifier without `heads`, pairs (layer, head): the matrices
    get smaller, so memory and time do too.

    Raises ValueError for a head that is not there, and where a layer would keep none.
    """
    pruned = copy.deepcopy(model)
    blocks = pruned.encoder.blocks
    for layer, head in heads:
        if not (0 <= layer < len(blocks) and 0 <= head < blocks[layer].attention.heads):
            raise ValueError(
                f"there is no head {head} in layer {layer}; layers are 0 to "
                f"{len(blocks) - 1}, heads 0 to {blocks[0].attention.heads - 1}"
            )
    for layer, block in enumerate(blocks):
        gone = {h for at, h in heads if at == layer}
        kept = [h for h in range(block.attention.heads) if h not in gone]
        if not kept:
            raise ValueError(
                f"layer {layer} would keep 0 heads; leave it one at least, or drop the "
                "whole layer"
            )
        if gone:
            block.attention = FewerHeads(block.attention, kept)
    return pruned


def weight_bytes(model):
    """Bytes of the model's parameters as they are in memory; shared ones count once."""
    return sum(p.numel() * p.element_size() for p in model.parameters())


def time_calls(calls, rounds=30, warmup=3):
    """{name: list of `rounds` seconds} of functions without arguments, measured in
    turn: in each round every function runs once, so that a slow minute of the machine
    meets all of them. The first `warmup` rounds are not kept.
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; measure 1 or more")
    seconds = {name: [] for name in calls}
    for number in range(warmup + rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            took = time.perf_counter() - start
            if number >= warmup:
                seconds[name].append(took)
    return seconds


def percentile(seconds, p):
    """The value below which `p` percent of the measurements lie, as numpy does it."""
    values = torch.as_tensor(seconds, dtype=torch.float64)
    return float(torch.quantile(values, p / 100))
