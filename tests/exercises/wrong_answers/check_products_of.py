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
]
