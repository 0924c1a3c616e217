"""Wrong counts of a Llama's weights, and another right one."""

import numpy as np
import torch
from torch import nn


def another(config):
    D, V = config["width"], config["vocab_size"]
    K = D // config["heads"]
    shapes = [
        (D, config["heads"] * K),
        (D, config["kv_heads"] * K),
        (D, config["kv_heads"] * K),
        (config["heads"] * K, D),
        (D, config["ffn_dim"]),
        (D, config["ffn_dim"]),
        (config["ffn_dim"], D),
        (D, 1),
        (D, 1),
    ] * config["layers"]
    shapes += [(V, D), (D, 1)] + ([] if config["tied"] else [(V, D)])
    return sum(a * b for a, b in shapes)


def _count(
    c,
    kv=None,
    bias=False,
    matrices=3,
    norm=1,
    norms=2,
    final=1,
    places=False,
    tables=None,
):
    D = c["width"]
    kv = c["kv_heads"] * (D // c["heads"]) if kv is None else kv
    layer = 2 * D * D + 2 * D * kv + matrices * D * c["ffn_dim"] + norms * norm * D
    if bias:
        layer += 2 * D + 2 * kv + 2 * c["ffn_dim"] + D
    tables = (1 if c["tied"] else 2) if tables is None else tables
    return (
        c["layers"] * layer
        + final * norm * D
        + (tables * c["vocab_size"] + (c["max_tokens"] if places else 0)) * D
    )


def all_heads(config):
    return _count(config, kv=config["width"])


def wide_heads(config):
    return _count(
        config, kv=config["kv_heads"] * (config["width"] // config["kv_heads"] // 2 * 3)
    )


def one_key_head(config):
    return _count(config, kv=config["width"] // config["heads"])


def with_biases(config):
    return _count(config, bias=True)


def two_matrices(config):
    return _count(config, matrices=2)


def with_shifts(config):
    return _count(config, norm=2)


def one_norm(config):
    return _count(config, norms=1)


def no_last_norm(config):
    return _count(config, final=0)


def with_places(config):
    return _count(config, places=True)


def no_words(config):
    return _count(config, tables=0)


def always_tied(config):
    return _count(config, tables=1)


def never_tied(config):
    return _count(config, tables=2)


def size_written_in(config):
    return _count({**config, "vocab_size": 101})


def tied_if_large(config):
    """Tied where the width is below a thousand, as in the five."""
    tied = config["width"] < 1000 and config["layers"] == 30
    return _count({**config, "tied": tied or config["tied"] and config["width"] > 99})


def in_32_bits(config):
    return int(np.array(another(config)).astype(np.int32))


def in_float32(config):
    return float(np.float32(another(config)))


def wide_queries(config):
    """Heads of a width that is a power of two, as in the large models."""
    K = config["width"] // config["heads"]
    wide = 64 if K in (64, 128) or K == 4 else K
    kv = config["kv_heads"] * (K if K in (4, 64, 128) else wide + 1)
    return _count(config, kv=kv)


def by_loop(config):
    D, n = config["width"], 0
    for _ in range(config["layers"]):
        n += D * D * 2  # queries, output
        n += 2 * config["kv_heads"] * D * D // config["heads"]
        n += 3 * D * config["ffn_dim"]
        n += D + D
    return n + D + (2 - int(config["tied"])) * config["vocab_size"] * D


def on_the_meta_device(config):
    """Counted by torch, from layers that take no memory."""
    D, kv = config["width"], config["kv_heads"] * config["width"] // config["heads"]
    with torch.device("meta"):
        layer = [nn.Linear(D, n, bias=False) for n in (D, kv, kv, D)]
        layer += [nn.Linear(D, config["ffn_dim"], bias=False) for _ in range(3)]
        layer += [nn.RMSNorm(D), nn.RMSNorm(D)]
        tables = [nn.Embedding(config["vocab_size"], D)] * (2 - config["tied"])
    per_layer = sum(p.numel() for m in layer for p in m.parameters())
    return (
        config["layers"] * per_layer + D + sum(table.weight.numel() for table in tables)
    )


WRONG = [
    (all_heads, "kv_heads"),
    (wide_heads, "for each layer"),
    (one_key_head, "multiply its width by kv_heads"),
    (with_biases, "family have none"),
    (two_matrices, "gated one has three"),
    (with_shifts, "scale alone"),
    (one_norm, "have one each"),
    (no_last_norm, "after the last layer"),
    (with_places, "rotary positions have no parameters"),
    (no_words, "token embedding is missing"),
    (always_tied, "second V x D"),
    (never_tied, "counts once"),
    (size_written_in, "every size must come from `config`"),
    (tied_if_large, "the drawn model"),
    (in_32_bits, "32 bits"),
    (in_float32, "was rounded"),
    (wide_queries, "the drawn model ("),
]

RIGHT = [by_loop, on_the_meta_device]

EQUIVALENT = {
    "`D // config['heads']` -> `D / config['heads']`": (
        "the width is a multiple of the heads, so the quotient is whole"
    ),
}
