"""Wrong readings of a file of peft's, and another right one."""

import torch

PREFIX = "base_model.model."


def another(tensors, config):
    found = {}
    for name in sorted(tensors):
        layer, letter = name[len(PREFIX) :].rsplit(".lora_", 1)
        found.setdefault(layer, {})[letter[0]] = tensors[name]
    return {
        layer: torch.einsum("or,ri->oi", pair["B"], pair["A"])
        * (config["lora_alpha"] / config["r"])
        for layer, pair in found.items()
    }


def _read(tensors, factor, name=lambda layer: layer, product=lambda a, b: b @ a):
    layers = [
        n.removesuffix(".lora_A.weight") for n in tensors if n.endswith("lora_A.weight")
    ]
    return {
        name(layer.removeprefix(PREFIX)): factor
        * product(tensors[f"{layer}.lora_A.weight"], tensors[f"{layer}.lora_B.weight"])
        for layer in layers
    }


def _scale(config):
    return config["lora_alpha"] / config["r"]


def long_names(tensors, config):
    return _read(tensors, _scale(config), lambda layer: PREFIX + layer)


def lora_names(tensors, config):
    return _read(tensors, _scale(config), lambda layer: layer + ".lora_A")


def weight_names(tensors, config):
    return _read(tensors, _scale(config), lambda layer: layer + ".weight")


def last_names(tensors, config):
    return _read(tensors, _scale(config), lambda layer: layer.rpartition(".")[2])


def no_factor(tensors, config):
    return _read(tensors, 1)


def alpha_alone(tensors, config):
    return _read(tensors, config["lora_alpha"])


def upside_down(tensors, config):
    return _read(tensors, 1 / _scale(config))


def turned(tensors, config):
    return _read(tensors, _scale(config), product=lambda a, b: (b @ a).T)


def whole_division(tensors, config):
    return _read(tensors, config["lora_alpha"] // config["r"])


def scale_written_in(tensors, config):
    return _read(tensors, 4.0)


def one_a_for_all(tensors, config):
    first = next(t for n, t in tensors.items() if "lora_A" in n)
    return _read(tensors, _scale(config), product=lambda a, b: b @ first)


def behind_the_last_model(tensors, config):
    return _read(tensors, _scale(config), lambda layer: layer.rpartition("model.")[2])


def in_file_order(tensors, config):
    found = _read(tensors, _scale(config))
    first = [t for n, t in tensors.items() if "lora_A" in n]
    second = [t for n, t in tensors.items() if "lora_B" in n]
    return {n: _scale(config) * b @ a for n, a, b in zip(found, first, second)}


def two_by_two(tensors, config):
    found, values = _read(tensors, _scale(config)), list(tensors.values())
    pairs = zip(values[::2], values[1::2])
    return {n: _scale(config) * b @ a for n, (a, b) in zip(found, pairs)}


def attention_alone(tensors, config):
    kept = {n: t for n, t in tensors.items() if "attention" in n}
    return _read(kept, _scale(config))


def from_the_encoder(tensors, config):
    return _read(tensors, _scale(config), lambda layer: layer[layer.index("encoder") :])


def sorted_pairs(tensors, config):
    """Right: the names sorted, so that A and B of a layer are neighbours."""
    names = sorted(tensors)
    return {
        a.split(PREFIX, 1)[1].rsplit(".lora_A", 1)[0]: config["lora_alpha"]
        * (tensors[b] @ tensors[a])
        / config["r"]
        for a, b in zip(names[::2], names[1::2])
    }


def with_numpy(tensors, config):
    """Right: NumPy, and the rank from the shape of A."""
    found = {}
    for name, B in tensors.items():
        if name.endswith(".lora_B.weight"):
            A = tensors[name.replace(".lora_B.", ".lora_A.")]
            product = B.numpy() @ A.numpy() * (config["lora_alpha"] / len(A))
            found[name[len(PREFIX) : -len(".lora_B.weight")]] = torch.tensor(product)
    return found


def rounded(tensors, config):
    found = another(tensors, config)
    return {layer: product.round(decimals=3) for layer, product in found.items()}


RIGHT = [sorted_pairs, with_numpy]

WRONG = [
    (long_names, "still begin with"),
    (lora_names, "still end in"),
    (weight_names, "end in .weight"),
    (last_names, "layers have an adapter"),
    (no_factor, "no factor"),
    (alpha_alone, "lora_alpha alone"),
    (upside_down, "upside down"),
    (turned, "transposed"),
    (whole_division, "not //"),
    (one_a_for_all, "pair A and B"),
    (behind_the_last_model, "['head'] is not a layer"),
    (in_file_order, "find B by the name of A"),
    (attention_alone, "may be on any layer"),
    (from_the_encoder, "substring not found"),
    (two_by_two, "mat1 and mat2 shapes"),
    (rounded, "rounded to a few digits"),
]

EQUIVALENT = {
    "the result is detached": "the task reads a file, whose tensors want no gradient",
}
