"""The folders of transformers for models of transformer.py: a pure translation of
configurations and tensors.

Use it:

    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> TINY = dict(
    ...     vocab_size=2,
    ...     width=2,
    ...     layers=1,
    ...     heads=1,
    ...     ffn_dim=2,
    ...     max_tokens=2,
    ...     causal=False,
    ...     pre_norm=False,
    ...     segments=2,
    ...     nsp_head=False,
    ...     norm_eps=1e-12,
    ...     pad_id=0,
    ...     gelu_tanh=False,
    ... )
    >>> folder = Path(tempfile.mkdtemp())
    >>> names = [
    ...     n
    ...     for ours in our_names(TINY, head=True)
    ...     for n in their_names(ours, "bert")[0]
    ... ]
    >>> save_file(
    ...     {
    ...         n: torch.zeros(2, 2) if n.endswith("weight") else torch.zeros(2)
    ...         for n in names
    ...     },
    ...     folder / "model.safetensors",
    ... )
    >>> _ = (folder / "config.json").write_text(
    ...     json.dumps(config_json(SimpleNamespace(**TINY, dropout=0.0), "bert"))
    ... )
    >>> # our words for the sizes, our names for the tensors; no model yet
    >>> config, state = load(folder)
    >>> config["layers"], [name for name in state if "qkv.w" in name]
    (1, ['encoder.blocks.0.attention.qkv.weight'])

`transformer.from_state(config, state)` makes the model. `save(model, folder)` writes a
folder that gives the same logits in `AutoModelForMaskedLM` or `AutoModelForCausalLM`;
it takes any module with our names and a `config`.
Families: BERT, RoBERTa-PreLayerNorm and GPT-2. What it is not: every variant of the
field. Needs: torch, safetensors.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

# Our names and those of transformers for the same part; `{}` is the number of the
# layer, `^` marks a name that is whole.
_BERT = {
    "tokens": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "segments": "embeddings.token_type_embeddings",
    "norm_in": "embeddings.LayerNorm",
    "blocks.{}.attention.qkv": "encoder.layer.{}.attention.self.query|key|value",
    "blocks.{}.attention.out": "encoder.layer.{}.attention.output.dense",
    "blocks.{}.up": "encoder.layer.{}.intermediate.dense",
    "blocks.{}.down": "encoder.layer.{}.output.dense",
    "blocks.{}.norm1": "encoder.layer.{}.attention.output.LayerNorm",
    "blocks.{}.norm2": "encoder.layer.{}.output.LayerNorm",
    "pooler": "pooler.dense",
    "next_sentence": "^cls.seq_relationship",
    "dense": "^cls.predictions.transform.dense",
    "norm": "^cls.predictions.transform.LayerNorm",
    "": "^cls.predictions",
}
_FAMILIES = {
    "bert": _BERT,
    "roberta-prelayernorm": _BERT
    | {
        "blocks.{}.norm1": "encoder.layer.{}.attention.LayerNorm",
        "blocks.{}.norm2": "encoder.layer.{}.intermediate.LayerNorm",
        "norm_out": "LayerNorm",
        "dense": "^lm_head.dense",
        "norm": "^lm_head.layer_norm",
        "": "^lm_head",
    },
    "gpt2": {
        "tokens": "wte",
        "positions": "wpe",
        "norm_out": "ln_f",
        "blocks.{}.norm1": "h.{}.ln_1",
        "blocks.{}.norm2": "h.{}.ln_2",
        "blocks.{}.attention.qkv": "h.{}.attn.c_attn",
        "blocks.{}.attention.out": "h.{}.attn.c_proj",
        "blocks.{}.up": "h.{}.mlp.c_fc",
        "blocks.{}.down": "h.{}.mlp.c_proj",
    },
}
_SIZES = (
    "vocab_size hidden_size num_hidden_layers num_attention_heads "
    "intermediate_size max_position_embeddings layer_norm_eps",
    # the BERTs' words, and GPT-2's
    "vocab_size n_embd n_layer n_head n_inner n_positions layer_norm_epsilon",
)


def our_names(config, head):
    """The names of a model's tensors, in order; `head`: with the output head that a
    LanguageModel has.
    """

    def both(prefix):
        return [f"{prefix}.weight", f"{prefix}.bias"]

    names = ["tokens.weight", "positions.weight"] + ["segments.weight"] * bool(
        config["segments"]
    )
    names += [] if config["causal"] else both("norm_in")
    for i in range(config["layers"]):
        for layer in ("attention.qkv", "attention.out", "up", "down", "norm1", "norm2"):
            names += both(f"blocks.{i}.{layer}")
    names += both("norm_out") if config["pre_norm"] else []
    if not head:
        return names
    names = [f"encoder.{name}" for name in names]
    names += [] if config["causal"] else [*both("dense"), *both("norm"), "bias"]
    return names + (
        [*both("pooler"), *both("next_sentence")] if config["nsp_head"] else []
    )


def their_names(ours, family):
    """Our name -> ([their name or names], is the matrix turned); theirs are three where
    we join query, key and value.
    """
    module, _, kind = ours.removeprefix("encoder.").rpartition(".")
    layer = module.split(".")[1] if module.startswith("blocks.") else ""
    theirs = _FAMILIES[family][module.replace(f".{layer}.", ".{}.", 1)].format(layer)
    theirs = theirs[1:] if theirs.startswith("^") else f"{_prefix(family)}.{theirs}"
    theirs = [
        theirs.replace("query|key|value", p)
        for p in ("query", "key", "value")[: 1 + 2 * ("|" in theirs)]
    ]
    # GPT-2's weights: (inputs, outputs)
    return [f"{name}.{kind}" for name in theirs], ".c_" in theirs[
        0
    ] and kind == "weight"


def _prefix(family):
    return {"gpt2": "transformer"}.get(family, family.replace("-", "_"))


def _known(folder, c):
    """The family of a configuration. Raises ValueError for one that this file does not
    translate.
    """
    family, tied = c.get("model_type"), c.get("tie_word_embeddings", True)
    act = c.get("activation_function" if family == "gpt2" else "hidden_act", "gelu")
    if family not in _FAMILIES or act not in ("gelu", "gelu_new") or not tied:
        raise ValueError(
            f"{folder} holds a model of type {family!r}, "
            f"hidden_act={act!r}, tie_word_embeddings={tied}; "
            f"load() reads {', '.join(_FAMILIES)} with 'gelu' or "
            "'gelu_new' and True"
        )
    return family, act


def load(folder):
    """A transformers folder -> (config, state): the arguments of our Config, and {our
    name: float32 tensor}.

    The names begin with "encoder." where the file holds a head (a LanguageModel's), and
    do not where it holds none (MiniLM). Raises ValueError for a family or a variant
    this file does not know, KeyError, naming the tensor, if one is missing.
    """
    c = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    family, act = _known(folder, c)
    gpt, pad = family == "gpt2", c.get("pad_token_id") or 0
    # RoBERTa counts positions from the padding id + 1
    shift = pad + 1 if family.startswith("roberta") else 0
    tensors, prefix = load_file(Path(folder) / "model.safetensors"), _prefix(family)
    tensors = {
        k if k.startswith((prefix, "cls.", "lm_head.")) else f"{prefix}.{k}": v
        for k, v in tensors.items()
    }
    vocab_size, width, layers, heads, ffn_dim, positions, eps = (
        c.get(key) for key in _SIZES[gpt].split()
    )
    config = dict(
        vocab_size=vocab_size,
        width=width,
        layers=layers,
        heads=heads,
        ffn_dim=ffn_dim or 4 * width,
        max_tokens=positions - shift,
        causal=gpt,
        pre_norm=family != "bert",
        segments=c["type_vocab_size"] if family == "bert" else 0,
        nsp_head="cls.seq_relationship.weight" in tensors,
        norm_eps=eps,
        pad_id=pad,
        gelu_tanh=act == "gelu_new",
    )
    state = {}
    head = gpt or bool({"cls.predictions.bias", "lm_head.bias"} & tensors.keys())
    for ours in our_names(config, head):
        theirs, turned = their_names(ours, family)
        if missing := set(theirs) - tensors.keys():
            raise KeyError(
                f"{folder} lacks the tensor {sorted(missing)[0]}; it is not "
                f"a complete {family} model"
            )
        state[ours] = torch.cat(
            [tensors[n].float().T if turned else tensors[n].float() for n in theirs]
        )[shift if "positions" in ours else 0 :]
        # RoBERTa adds its one sentence embedding everywhere; our positions carry it
        if shift and "positions" in ours:
            state[ours] += tensors[f"{prefix}.embeddings.token_type_embeddings.weight"][
                0
            ].float()
    return config, state


def config_json(config, family):
    """What config.json holds for a configuration (an object with our fields)."""
    c = config
    gpt = family == "gpt2"
    shift = config.pad_id + 1 if family.startswith("roberta") else 0
    sizes = [
        c.vocab_size,
        c.width,
        c.layers,
        c.heads,
        c.ffn_dim,
        c.max_tokens + shift,
        c.norm_eps,
    ]
    common = {
        "model_type": family,
        **dict(zip(_SIZES[gpt].split(), sizes)),
        "pad_token_id": c.pad_id,
        "dtype": "float32",
        "activation_function" if gpt else "hidden_act": "gelu_new"
        if c.gelu_tanh
        else "gelu",
    }
    if gpt:
        return common | {
            "architectures": ["GPT2LMHeadModel"],
            "bos_token_id": None,
            "eos_token_id": None,
            "resid_pdrop": c.dropout,
            "embd_pdrop": c.dropout,
            "attn_pdrop": c.dropout,
        }
    return common | {
        "architectures": [
            ("BertFor" if family == "bert" else "RobertaPreLayerNormFor") + "MaskedLM"
        ],
        "type_vocab_size": c.segments or 1,
        "hidden_dropout_prob": c.dropout,
        "attention_probs_dropout_prob": c.dropout,
    }


def save(model, folder, half=True):
    """Write config.json and model.safetensors (float16 if `half`) so that transformers
    gives equal logits.

    model: a Transformer or LanguageModel of transformer.py. Raises ValueError for what
        no class of transformers holds:
    causal with post-norm, segments with pre-norm.
    """
    c, folder = model.config, Path(folder)
    if (c.causal and not c.pre_norm) or (c.pre_norm and c.segments):
        raise ValueError(
            f"causal={c.causal}, pre_norm={c.pre_norm}, "
            f"segments={c.segments} has no class in transformers; "
            "save a causal model with pre_norm=True and segments=0, or "
            "segments with pre_norm=False"
        )
    family = "gpt2" if c.causal else "roberta-prelayernorm" if c.pre_norm else "bert"
    shift, tensors = c.pad_id + 1 if family.startswith("roberta") else 0, {}
    for ours, t in model.state_dict().items():
        theirs, turned = their_names(ours, family)
        t = t.detach().cpu().to(torch.float16 if half else torch.float32)
        t = F.pad(t, (0, 0, shift, 0)) if "positions" in ours else t.T if turned else t
        tensors |= {
            name: chunk.clone(memory_format=torch.contiguous_format)
            for name, chunk in zip(theirs, t.chunk(len(theirs)))
        }
    # both BERTs have sentence embeddings: one that adds nothing
    if not c.segments and not c.causal:
        tensors[f"{_prefix(family)}.embeddings.token_type_embeddings.weight"] = (
            torch.zeros(1, c.width)
        )
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(
        json.dumps(config_json(c, family), indent=1) + "\n", encoding="utf-8"
    )
