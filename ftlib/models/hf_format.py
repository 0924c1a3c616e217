"""The folders of transformers for models of transformer.py: a pure translation of
configurations and tensors.

Use it:

    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> sizes = "vocab_size width layers heads ffn_dim max_tokens segments pad_id"
    >>> TINY = dict(zip(sizes.split(), (2, 2, 1, 1, 2, 2, 2, 0)), norm_eps=1e-12)
    >>> TINY |= dict.fromkeys(("causal", "pre_norm", "nsp_head", "gelu_tanh"), False)
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
field: a setting or a tensor that would change the numbers, and that our model does not
have, is refused by name. Needs: torch, safetensors.
"""

import json
import re
from pathlib import Path

import torch
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
_DROPOUTS = (
    ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
)
# Every field of a config.json is read, or plain, or harmless, or refused. Read: with
# the values that transformers takes where a field is not there.
_BERT_READ = dict(zip(_SIZES[0].split(), (30522, 768, 12, 12, 3072, 512, 1e-12))) | {
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "pad_token_id": 0,
}
_READ = {
    "bert": _BERT_READ,
    "roberta-prelayernorm": _BERT_READ | {"vocab_size": 50265, "pad_token_id": 1},
    "gpt2": dict(zip(_SIZES[1].split(), (50257, 768, 12, 12, None, 1024, 1e-5)))
    | {"activation_function": "gelu_new", "initializer_range": 0.02}
    | {"pad_token_id": None, **dict.fromkeys(_DROPOUTS[1], 0.1)},
}
# plain: another value would change the numbers
_PLAIN = {
    "tie_word_embeddings": True,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "cross_attention_hidden_size": None,
    "position_embedding_type": "absolute",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "pruned_heads": {},
    "quantization_config": None,
}
# harmless: they say where a model comes from, what its outputs are called, how it is
# trained, generates or saves memory, or what code and heads do that are not read here
_HARMLESS = set(
    "model_type architectures transformers_version dtype use_bfloat16 use_cache "
    "attn_implementation chunk_size_feed_forward gradient_checkpointing prefix "
    "reorder_and_upcast_attn tf_legacy_loss tie_encoder_decoder remove_invalid_values "
    "id2label label2id num_labels problem_type finetuning_task task_specific_params "
    "tokenizer_class bos_token_id eos_token_id sep_token_id cls_token_id mask_token_id "
    "unk_token_id decoder_start_token_id classifier_dropout directionality n_ctx "
    "n_special predict_special_tokens max_length min_length do_sample early_stopping "
    "diversity_penalty temperature typical_p repetition_penalty length_penalty "
    "bad_words_ids encoder_no_repeat_ngram_size no_repeat_ngram_size suppress_tokens "
    "num_return_sequences exponential_decay_length_penalty auto_map".split()
)
_HARMLESS_START = tuple(
    "_ summary_ pooler_ torch output_ return_dict num_beam top_ forced_ begin_".split()
)
# transformers' names of the two functions that are called GELU -> is it the tanh one
_GELU = dict.fromkeys(("gelu", "gelu_python"), False) | dict.fromkeys(
    ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate"), True
)
# tensors that change nothing: buffers of older versions, the pooler of a model whose
# hidden states are read
_UNUSED = re.compile(r"\.(embeddings\.position_ids|attn\.(masked_)?bias|pooler\..*)$")
# copies of our tensors, which transformers ties
_COPIES = {
    "lm_head.weight": "encoder.tokens.weight",
    "lm_head.decoder.weight": "encoder.tokens.weight",
    "cls.predictions.decoder.weight": "encoder.tokens.weight",
    "lm_head.decoder.bias": "bias",
    "cls.predictions.decoder.bias": "bias",
}


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


def _shift(family, pad_id):
    """RoBERTa counts positions from the padding id + 1."""
    return pad_id + 1 if family.startswith("roberta") else 0


def _kinds(family):
    return their_names("segments.weight", family)[0][0]


def _known(folder):
    """(family, config.json with the values that it leaves out). Raises ValueError for a
    family, or a field, that this file does not translate.
    """
    c = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    family = c.get("model_type")
    if family not in _FAMILIES:
        raise ValueError(
            f"{folder} holds a model of type {family!r}, load() reads "
            f"{', '.join(_FAMILIES)}; open it with transformers"
        )
    for key, value in c.items():
        if value != _PLAIN.get(key, value):
            raise ValueError(
                f"{folder} has {key}={value!r}, load() computes the model with "
                f"{_PLAIN[key]!r} alone; open it with transformers"
            )
        known = key in _HARMLESS | _PLAIN.keys() | _READ[family].keys()
        if not known and not key.startswith(_HARMLESS_START):
            raise ValueError(
                f"{folder} has {key}={value!r}, unknown to load(); take it out if it "
                "changes no number, else open the folder with transformers"
            )
    c = _READ[family] | c
    key = "activation_function" if family == "gpt2" else "hidden_act"
    if c[key] not in _GELU:
        raise ValueError(
            f"{folder} has {key}={c[key]!r}, load() computes {', '.join(_GELU)}; open "
            "it with transformers"
        )
    pad, positions = c["pad_token_id"], c.get("max_position_embeddings")
    if family.startswith("roberta") and (pad is None or not -1 <= pad < positions - 1):
        raise ValueError(
            f"{folder} has pad_token_id={pad}, positions of {family} begin behind it "
            f"and end at {positions}; correct config.json"
        )
    return family, c


def _dropout(folder, family, c):
    """The one dropout of a configuration. Raises ValueError where it has several."""
    rates = {key: c[key] for key in _DROPOUTS[family == "gpt2"]}
    if len(set(rates.values())) > 1:
        told = ", ".join(f"{key}={rate}" for key, rate in rates.items())
        raise ValueError(
            f"{folder} has {told}, our model has one dropout; choose it with "
            "load(folder, dropout=...), or open the folder with transformers"
        )
    return rates.popitem()[1]


def _tensors(folder, family):
    """{full name as transformers has it today: tensor} of a folder."""
    prefix, tensors = _prefix(family), {}
    for name, tensor in load_file(Path(folder) / "model.safetensors").items():
        # the first BERTs were published with TensorFlow's words for a LayerNorm
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
        name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
        # a model without head has no prefix
        prefixed = name.startswith((f"{prefix}.", "cls.", "lm_head."))
        tensors[name if prefixed else f"{prefix}.{name}"] = tensor
    return tensors


def _refuse_rest(folder, family, rest, state):
    """Raises ValueError, naming it, for a tensor that our model has no place for."""
    for name, tensor in sorted(rest.items()):
        copied = state.get(_COPIES.get(name))
        same = copied is not None and torch.equal(copied, tensor.float())
        if not same and not _UNUSED.search(name):
            name = name.removeprefix(f"{_prefix(family)}.")
            raise ValueError(
                f"{folder} holds the tensor {name} {tuple(tensor.shape)}, our {family} "
                "has no place for it; open the folder with transformers, or save it "
                "from there without that part"
            )


def load(folder, dropout=None):
    """A transformers folder -> (config, state): the arguments of our Config, and {our
    name: float32 tensor}.

    dropout: takes the place of the file's, for a model that shall be trained without.
    The names begin with "encoder." where the file holds a head (a LanguageModel's), and
    do not where it holds none (MiniLM). A RoBERTa keeps the first of its sentence
    embeddings. Raises ValueError, naming it, for a family, a field of config.json or a
    tensor this file does not translate, KeyError, naming the tensor, if one is missing.
    """
    family, c = _known(folder)
    gpt, pad = family == "gpt2", c["pad_token_id"] or 0
    shift, tensors = _shift(family, pad), _tensors(folder, family)
    vocab_size, width, layers, heads, ffn_dim, positions, eps = (
        c[key] for key in _SIZES[gpt].split()
    )
    head = gpt or bool({"cls.predictions.bias", "lm_head.bias"} & tensors.keys())
    config = dict(
        vocab_size=vocab_size,
        width=width,
        layers=layers,
        heads=heads,
        ffn_dim=ffn_dim or 4 * width,
        max_tokens=positions - shift,
        causal=gpt,
        pre_norm=family != "bert",
        dropout=_dropout(folder, family, c) if dropout is None else dropout,
        segments=c["type_vocab_size"] if family == "bert" else 0,
        nsp_head=head and "cls.seq_relationship.weight" in tensors,
        norm_eps=eps,
        pad_id=pad,
        gelu_tanh=_GELU[c["activation_function" if gpt else "hidden_act"]],
        init_std=c["initializer_range"],
    )
    state = {}

    def take(name):
        if name not in tensors:
            raise KeyError(
                f"{folder} lacks the tensor {name}; it is not a complete {family} model"
            )
        return tensors.pop(name).float()

    for ours in our_names(config, head):
        theirs, turned = their_names(ours, family)
        state[ours] = torch.cat([take(n).T if turned else take(n) for n in theirs])
    if family.startswith("roberta"):
        _roberta_positions(config, state, shift, head, take(_kinds(family))[0])
    _refuse_rest(folder, family, tensors, state)
    return config, state


def _roberta_positions(config, state, shift, head, kind):
    """RoBERTa adds its first sentence embedding, `kind` (D,), everywhere; our positions
    carry it, and so does the vector that padding has instead of a position.
    """
    start = "encoder." if head else ""
    table = state[f"{start}positions.weight"] + kind
    state[f"{start}positions.weight"] = table[shift:]
    if shift and table[shift - 1].any():
        config["pad_vector"] = True
        state[f"{start}pad_vector"] = table[shift - 1]


def config_json(config, family):
    """What config.json holds for a configuration (an object with our fields)."""
    c = config
    gpt = family == "gpt2"
    most = c.max_tokens + _shift(family, c.pad_id)
    sizes = (c.vocab_size, c.width, c.layers, c.heads, c.ffn_dim, most, c.norm_eps)
    common = {
        "model_type": family,
        **dict(zip(_SIZES[gpt].split(), sizes)),
        "pad_token_id": c.pad_id,
        "initializer_range": getattr(c, "init_std", 0.02),
        **dict.fromkeys(_DROPOUTS[gpt], c.dropout),
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
        }
    return common | {
        "architectures": [
            ("BertFor" if family == "bert" else "RobertaPreLayerNormFor")
            + ("PreTraining" if c.nsp_head else "MaskedLM")
        ],
        "type_vocab_size": c.segments or 1,
    }


def _family(c):
    """The family of transformers that holds a configuration. Raises ValueError where
    there is none.
    """
    if (c.pre_norm and (c.segments or c.nsp_head)) or (c.causal and not c.pre_norm):
        raise ValueError(
            f"causal={c.causal}, pre_norm={c.pre_norm}, "
            f"segments={c.segments}, nsp_head={c.nsp_head} has no class in "
            "transformers; save a causal model with pre_norm=True, segments=0 and "
            "nsp_head=False, or segments and nsp_head with pre_norm=False"
        )
    if not c.causal and not -1 <= c.pad_id < c.vocab_size:
        raise ValueError(
            f"pad_id is {c.pad_id}, the vocabulary has 0 to {c.vocab_size - 1}; choose "
            "one of these, or -1 for none"
        )
    return "gpt2" if c.causal else "roberta-prelayernorm" if c.pre_norm else "bert"


def save(model, folder, half=True):
    """Write config.json and model.safetensors (float16 if `half`) so that transformers
    gives equal logits.

    model: a Transformer or LanguageModel of transformer.py. Raises ValueError for what
        no class of transformers holds: causal with post-norm, segments or a
        next-sentence head with pre-norm, and a tensor that is not the model's own.
    """
    c, folder = model.config, Path(folder)
    family, tensors = _family(c), {}
    shift, state = _shift(family, c.pad_id), model.state_dict()
    own = [n for n in state if n.removeprefix("encoder.") == "pad_vector" and shift]
    pads = state.pop(own[0]).cpu() if own else torch.zeros(c.width)
    for ours, t in state.items():
        try:
            theirs, turned = their_names(ours, family)
        except KeyError:
            raise ValueError(
                f"the model holds {ours}, which {family} has no place for; merge() or "
                "unload() an adapter, and take off what you have added, before save()"
            ) from None
        t = t.detach().cpu()
        if "positions" in ours and shift:
            # row `pad_id`, the last before the positions, is padding's
            t = torch.cat([t.new_zeros(shift - 1, c.width), pads.to(t)[None], t])
        t = (t.T if turned else t).to(torch.float16 if half else torch.float32)
        tensors |= {
            name: chunk.clone(memory_format=torch.contiguous_format)
            for name, chunk in zip(theirs, t.chunk(len(theirs)))
        }
    # both BERTs have sentence embeddings: one that adds nothing
    if not c.segments and not c.causal:
        tensors[_kinds(family)] = torch.zeros(1, c.width)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(
        json.dumps(config_json(c, family), indent=1) + "\n", encoding="utf-8"
    )
