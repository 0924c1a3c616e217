"""Wrong ways to take a block out of GPT-2's weights, and another right one."""

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
]
