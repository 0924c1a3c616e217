"""Wrong ways to take a block out of GPT-2's weights, and another right one."""

import collections

import torch

NAMES = {
    "ln_1": "self_attn.norm",
    "attn.c_proj": "self_attn.sublayer.out",
    "ln_2": "mlp.norm",
    "mlp.c_fc": "mlp.sublayer.up",
    "mlp.c_proj": "mlp.sublayer.down",
}


def another(state, layer):
    made, start = {}, f"h.{layer}."
    for name, tensor in state.items():
        if not name.startswith(start):
            continue
        part, kind = name.removeprefix(start).rsplit(".", 1)
        tensor = tensor.t().contiguous() if tensor.ndim == 2 else tensor
        if part == "attn.c_attn":
            D = tensor.shape[0] // 3
            made |= {
                f"self_attn.sublayer.{p}.{kind}": tensor[i * D : (i + 1) * D]
                for i, p in enumerate(("query", "key", "value"))
            }
        else:
            made[f"{NAMES[part]}.{kind}"] = tensor
    return made


def _made(
    state,
    layer,
    turned=("c_attn", "c_proj", "c_fc"),
    order=("query", "key", "value"),
    names=NAMES,
):
    made = {}
    for kind in ("weight", "bias"):
        for theirs, ours in names.items():
            t = state[f"h.{layer}.{theirs}.{kind}"]
            made[f"{ours}.{kind}"] = (
                t.T if t.ndim == 2 and theirs.split(".")[1] in turned else t
            )
        for part, t in zip(
            order, state[f"h.{layer}.attn.c_attn.{kind}"].chunk(3, dim=-1)
        ):
            made[f"self_attn.sublayer.{part}.{kind}"] = (
                t.T if t.ndim == 2 and "c_attn" in turned else t
            )
    return made


def nothing_turned(state, layer):
    return _made(state, layer, turned=())


def square_ones_forgotten(state, layer):
    return _made(state, layer, turned=("c_fc", "c_proj"))


def feed_forward_forgotten(state, layer):
    return _made(state, layer, turned=("c_attn", "c_proj"))


def key_first(state, layer):
    return _made(state, layer, order=("key", "query", "value"))


def value_first(state, layer):
    return _made(state, layer, order=("value", "key", "query"))


def norms_exchanged(state, layer):
    return _made(
        state, layer, names={**NAMES, "ln_1": "mlp.norm", "ln_2": "self_attn.norm"}
    )


def always_the_first(state, layer):
    return _made(state, 0)


def without_biases(state, layer):
    return {
        name: t for name, t in _made(state, layer).items() if not name.endswith("bias")
    }


def their_names(state, layer):
    return {name: t for name, t in state.items() if name.startswith(f"h.{layer}.")}


def joined_kept(state, layer):
    return _made(state, layer) | {
        "self_attn.sublayer.qkv.weight": state[f"h.{layer}.attn.c_attn.weight"].T
    }


def head_by_head(state, layer):
    made, heads = _made(state, layer), 2
    for kind in ("weight", "bias"):
        t = state[f"h.{layer}.attn.c_attn.{kind}"]
        t = t.T if t.ndim == 2 else t
        parts = t.view(heads, 3, -1, *t.shape[1:])
        for i, part in enumerate(("query", "key", "value")):
            made[f"self_attn.sublayer.{part}.{kind}"] = parts[:, i].reshape(
                -1, *t.shape[1:]
            )
    return made


def cut_the_wrong_way(state, layer):
    made = _made(state, layer)
    weight = state[f"h.{layer}.attn.c_attn.weight"]
    parts = torch.tensor_split(weight, 3, dim=0)
    return made | {
        f"self_attn.sublayer.{p}.weight": t
        for p, t in zip(("query", "key", "value"), parts)
    }


def a_list(state, layer):
    return list(_made(state, layer).values())


def by_beginning(state, layer):
    """`h.1` is the beginning of `h.10` as well."""
    last = max(int(name.split(".")[1]) for name in state if name[2:3] == str(layer)[:1])
    return _made(state, last if layer == 1 and last > 9 else layer)


def by_order(state, layer):
    """The tensors of the block are taken by their order in the file."""
    values = list(state.values())
    size = len(values) // (1 + max(int(name.split(".")[1]) for name in state))
    mine = dict(
        zip(
            [f"h.{layer}.{n}.{k}" for n in ORDER for k in ("weight", "bias")],
            values[layer * size : (layer + 1) * size],
        )
    )
    return _made(mine, layer)


ORDER = ("ln_1", "ln_2", "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


def always_float64(state, layer):
    return {name: t.double() for name, t in _made(state, layer).items()}


def width_of_eight(state, layer):
    made = _made(state, layer)
    weight = state[f"h.{layer}.attn.c_attn.weight"].T
    for i, part in enumerate(("query", "key", "value")):
        made[f"self_attn.sublayer.{part}.weight"] = weight[8 * i : 8 * i + 8]
    return made


def projections_exchanged(state, layer):
    made = _made(state, layer)
    return made | {
        "self_attn.sublayer.out.bias": made["mlp.sublayer.down.bias"],
        "mlp.sublayer.down.bias": made["self_attn.sublayer.out.bias"],
    }


def copied(state, layer):
    """Parameters of their own, as a module holds them."""
    made = another(state, layer)
    return {name: torch.nn.Parameter(t.clone()) for name, t in sorted(made.items())}


def by_reading(state, layer):
    """Every name of the file is translated, and those of other blocks are skipped."""
    made = collections.OrderedDict()
    for name, tensor in state.items():
        _, number, *path, kind = name.split(".")
        if int(number) != layer:
            continue
        tensor = tensor.permute(*reversed(range(tensor.ndim)))
        if path[-1] == "c_attn":
            for part, third in zip(
                ("query", "key", "value"), tensor.split(len(tensor) // 3)
            ):
                made[f"self_attn.sublayer.{part}.{kind}"] = third
        else:
            made[f"{NAMES['.'.join(path)]}.{kind}"] = tensor
    return made


WRONG = [
    (nothing_turned, "nothing is transposed"),
    (square_ones_forgotten, "as it is square"),
    (feed_forward_forgotten, "mlp.sublayer.up.weight is not transposed"),
    (key_first, "in this order"),
    (value_first, "query holds what is value"),
    (norms_exchanged, "exchanged"),
    (always_the_first, "block 0"),
    (without_biases, "biases"),
    (their_names, "is missing"),
    (joined_kept, "refuse"),
    (head_by_head, "head by head"),
    (cut_the_wrong_way, "last axis"),
    (a_list, "dict"),
    (by_beginning, "of layer 1 is wrong"),
    (by_order, "IndexError"),
    (always_float64, "that of the file"),
    (width_of_eight, "self_attn.sublayer.query.weight of layer 12"),
    (projections_exchanged, "numbers of another tensor"),
]

RIGHT = [copied, by_reading]

EQUIVALENT = {
    ("`tensor.T if tensor.ndim == 2 else tensor` -> `tensor.T if True else tensor`"): (
        "the transpose of a vector is the vector"
    ),
    "the result is detached": (
        "weights are copied into a block, and nothing is trained through the copy"
    ),
}
