"""Wrong counts of a Llama's weights, and another right one."""


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
    (size_written_in, "written into your function"),
]
