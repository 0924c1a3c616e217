"""The folders of transformers for the encoder-decoder of seq2seq.py: a Pegasus.

Use it:
    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> sizes = dict.fromkeys(_SIZES.values(), 2) | {"dropout": 0.0, "dim": 4}
    >>> tensors = {"tokens.weight": torch.ones(2, 4)}
    >>> tiny = SimpleNamespace(
    ...     config=SimpleNamespace(**sizes), state_dict=lambda: tensors
    ... )
    >>> folder = Path(tempfile.mkdtemp())
    >>> save(tiny, folder)
    >>> config, state = load(folder, names=["tokens.weight"])
    >>> config["dim"], state["tokens.weight"].dtype
    (4, torch.float32)

`save(model, folder)` writes what AutoModelForSeq2SeqLM opens, with the same logits;
`seq2seq.from_folder(*load(folder))` reads it, and a Pegasus of the same kind: that is
the class of transformers with norms before each part and sinusoidal positions.

What it is not: a reader of every Pegasus; a setting that would change the numbers, and
that our model does not have, is refused by name. Needs: torch, safetensors.
"""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

# ours -> theirs; `|` parts what we join
_NAMES = {
    "attention.qkv": "self_attn.q_proj|self_attn.k_proj|self_attn.v_proj",
    "attention.out": "self_attn.out_proj",
    "norm1": "self_attn_layer_norm",
    "cross.query": "encoder_attn.q_proj",
    "cross.kv": "encoder_attn.k_proj|encoder_attn.v_proj",
    "cross.out": "encoder_attn.out_proj",
    "norm_cross": "encoder_attn_layer_norm",
    "up": "fc1",
    "down": "fc2",
    "norm2": "final_layer_norm",
}
_SIZES = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "max_len",
    "d_model": "dim",
    "encoder_attention_heads": "heads",
    "decoder_attention_heads": "heads",
    "encoder_layers": "encoder_layers",
    "decoder_layers": "decoder_layers",
    "encoder_ffn_dim": "ffn_dim",
    "decoder_ffn_dim": "ffn_dim",
    "dropout": "dropout",
    "attention_dropout": "dropout",
    "pad_token_id": "pad_id",
    "decoder_start_token_id": "bos_id",
    "eos_token_id": "eos_id",
}
# what our model computes, and no other value of it
_PLAIN = {
    "model_type": "pegasus",
    "activation_function": "gelu",
    "scale_embedding": True,
    "tie_word_embeddings": True,
    "activation_dropout": 0.0,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
    "is_encoder_decoder": True,
    "forced_eos_token_id": None,
}


_UNUSED = re.compile(r"embed_positions|embed_tokens|lm_head|final_logits_bias")


def sinusoids(length, dim):
    """Positions (length, dim): sines in the first half, cosines in the second."""
    angle = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def pegasus_names(name):
    """Our name of a tensor -> the names that transformers has for its parts."""
    side, _, rest = name.partition(".")
    if name == "tokens.weight":
        return ["model.shared.weight"]
    if side.startswith("norm_"):
        return [f"model.{side[5:]}.layer_norm.{rest}"]
    layer, _, rest = rest.partition(".")
    part, _, kind = rest.rpartition(".")
    each = _NAMES[part].split("|")
    return [f"model.{side}.layers.{layer}.{theirs}.{kind}" for theirs in each]


def save(model, folder, half=True):
    """Write config.json and model.safetensors (float16 if `half`), which
    AutoModelForSeq2SeqLM opens as a Pegasus with the same logits.
    """
    c, folder, tensors = vars(model.config), Path(folder), {}
    for name, tensor in model.state_dict().items():
        parts = pegasus_names(name)
        tensor = tensor.detach().cpu().to(torch.float16 if half else torch.float32)
        for theirs, part in zip(parts, tensor.chunk(len(parts))):
            tensors[theirs] = part.clone(memory_format=torch.contiguous_format)
    # float32: rounded sinusoids would be other positions
    for side in ("encoder", "decoder"):
        waves = sinusoids(c["max_len"], c["dim"])
        tensors[f"model.{side}.embed_positions.weight"] = waves
    tensors["final_logits_bias"] = torch.zeros(1, c["vocab_size"])
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = _PLAIN | {theirs: c[ours] for theirs, ours in _SIZES.items()}
    config |= {"architectures": ["PegasusForConditionalGeneration"], "dtype": "float32"}
    config["bos_token_id"] = c["bos_id"]
    text = json.dumps(config, indent=1) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


def tensor_names(config):
    """The names of a model's tensors."""
    parts = ["attention.qkv", "attention.out", "norm1", "up", "down", "norm2"]
    crossed = [*parts, "cross.query", "cross.kv", "cross.out", "norm_cross"]
    modules = ["norm_encoder", "norm_decoder"]
    for i in range(config["encoder_layers"]):
        modules += [f"encoder.{i}.{part}" for part in parts]
    for i in range(config["decoder_layers"]):
        modules += [f"decoder.{i}.{part}" for part in crossed]
    both = [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")]
    return ["tokens.weight", *both]


def load(folder, dropout=None, names=None):
    """A folder -> (config, state): the arguments of seq2seq.Config, and {our name:
    float32 tensor}.

    dropout: takes the place of the file's. names: the tensors wanted, all unless told.
    Raises ValueError, naming it, for a setting that our model does not have, or a
    tensor that it has no place for, KeyError for one that is missing.
    """
    folder = Path(folder)
    c = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for key, value in _PLAIN.items():
        if c.get(key, value) != value:
            raise ValueError(
                f"{folder} has {key}={c[key]!r}, load() computes the model with "
                f"{value!r} alone; open it with transformers"
            )
    config = {}
    for theirs, ours in _SIZES.items():
        if theirs not in c:
            raise ValueError(f"{folder} has no {theirs}; add it to config.json")
        if config.setdefault(ours, c[theirs]) != c[theirs]:
            raise ValueError(
                f"{folder} has {theirs}={c[theirs]!r} beside {config[ours]!r}, our "
                f"model has one {ours}; open it with transformers"
            )
    if dropout is not None:
        config["dropout"] = dropout
    tensors, state = load_file(folder / "model.safetensors"), {}
    for name in tensor_names(config) if names is None else names:
        parts = pegasus_names(name)
        if missing := [theirs for theirs in parts if theirs not in tensors]:
            raise KeyError(
                f"{folder} lacks the tensor {missing[0]}; it is no complete model"
            )
        state[name] = torch.cat([tensors.pop(theirs).float() for theirs in parts])
    rest = [name for name in sorted(tensors) if not _UNUSED.search(name)]
    bias = tensors.get("final_logits_bias")
    if rest or (bias is not None and bias.any()):
        raise ValueError(
            f"{folder} holds the tensor {[*rest, 'final_logits_bias'][0]}, our model "
            "has no place for it; open it with transformers"
        )
    return config, state
