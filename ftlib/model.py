"""One transformer: bidirectional (BERT) or causal (GPT), norm before or after each part, in plain PyTorch.

Use it:
    >>> model = LanguageModel(Config(vocab_size=100, width=32, layers=2, heads=4, inner=64, max_tokens=16))
    >>> ids, where = torch.randint(5, 100, (2, 16)), torch.arange(32).view(2, 16) == 3
    >>> model(ids).logits.shape, model(ids, where=where).logits.shape    # everywhere, and at the asked place alone
    (torch.Size([2, 16, 100]), torch.Size([1, 100]))

`load(folder)` reads BERT, RoBERTa-PreLayerNorm and GPT-2 folders of transformers; what `save(model, folder)` writes gives
the same logits in `AutoModelForMaskedLM` or `...ForCausalLM`. What it is not: every variant of the field. Needs: torch, safetensors.
Shapes: B batch, T tokens, D width, H heads, K = D / H head width, V vocabulary, A asked places.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn


@dataclass
class Config:
    """The sizes of a model. `segments=2` adds sentence embeddings, `pairs=True` the next-sentence head of BERT."""
    vocab_size: int
    width: int = 256
    layers: int = 4
    heads: int = 4
    inner: int = 1024  # width of the feed-forward part
    max_tokens: int = 128
    causal: bool = False
    pre_norm: bool = True
    dropout: float = 0.0  # on embeddings, attention and both parts of a block; 0 suits pretraining on few epochs
    segments: int = 0
    pairs: bool = False
    norm_eps: float = 1e-5
    pad_id: int = 0
    tanh: bool = False  # GPT-2's approximation of GELU


class Output(NamedTuple):
    """What a model returns; named as in transformers, so that losses read `.logits` of either."""
    last_hidden_state: torch.Tensor
    logits: torch.Tensor | None = None
    next_sentence_logits: torch.Tensor | None = None


def _attend(q, k, v, mask, drop, is_causal):
    """SDPA written out. On a CPU with bfloat16 the fused kernel's backward costs more than all matrix products together."""
    scores = q @ k.transpose(-1, -2) * k.shape[-1] ** -0.5  # (B, H, T, T)
    if mask is not None or is_causal:
        scores = scores.masked_fill(~(torch.ones_like(scores).bool().tril() if is_causal else mask), float("-inf"))
    return F.dropout(scores.softmax(-1), drop).to(v.dtype) @ v  # autocast may have made the softmax float32, as CUDA's does


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017), (B, T, D) -> (B, T, D)."""
    def __init__(self, config):
        super().__init__()
        self.heads, self.causal, self.dropout = config.heads, config.causal, config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width)  # one product instead of three
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x, mask=None, where=None):
        B, T, D = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)  # 3 x (B, H, T, K)
        # SDPA refuses a mask together with is_causal, so _mask() has put causality into the mask when there is one
        fused = F.scaled_dot_product_attention if x.device.type != "cpu" or q.dtype != torch.bfloat16 else _attend
        y = fused(q, k, v, mask, self.dropout if self.training else 0.0, is_causal=self.causal and mask is None)
        y = y.transpose(1, 2).reshape(B, T, D)  # (B, H, T, K) -> (B, T, D)
        return self.out(y if where is None else y[where])


class Block(nn.Module):
    """Attention and feed-forward, each with its residual and norm, (B, T, D) -> (B, T, D), or (A, D) at the asked places."""
    def __init__(self, config):
        super().__init__()
        W, eps, self.pre_norm, self.attention = config.width, config.norm_eps, config.pre_norm, Attention(config)
        self.up, self.down = nn.Linear(W, config.inner), nn.Linear(config.inner, W)
        self.norm1, self.norm2 = nn.LayerNorm(W, eps=eps), nn.LayerNorm(W, eps=eps)
        self.gelu, self.drop = nn.GELU("tanh" if config.tanh else "none"), nn.Dropout(config.dropout)

    def forward(self, x, mask=None, where=None):
        kept = x if where is None else x[where]  # attention reads every place; what follows is for each place alone
        if self.pre_norm:  # the residual path stays free of norms, which lets deep models start learning at once
            x = kept + self.drop(self.attention(self.norm1(x), mask, where))
            return x + self.drop(self.down(self.gelu(self.up(self.norm2(x)))))  # (B, T, D) -> (B, T, inner) -> (B, T, D)
        x = self.norm1(kept + self.drop(self.attention(x, mask, where)))
        return self.norm2(x + self.drop(self.down(self.gelu(self.up(x)))))


class Transformer(nn.Module):
    """Embeddings and blocks: `input_ids (B, T)` -> `Output.last_hidden_state (B, T, D)`, or (A, D) `where` it is asked."""
    def __init__(self, config):
        super().__init__()
        if config.width % config.heads:
            raise ValueError(f"width {config.width} is not a multiple of heads {config.heads}; change one of them")
        self.config, self.drop, W = config, nn.Dropout(config.dropout), config.width
        self.tokens, self.positions = nn.Embedding(config.vocab_size, W), nn.Embedding(config.max_tokens, W)
        self.segments = nn.Embedding(config.segments, W) if config.segments else None
        self.norm_in = nn.Identity() if config.causal else nn.LayerNorm(W, eps=config.norm_eps)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm_out = nn.LayerNorm(W, eps=config.norm_eps) if config.pre_norm else nn.Identity()
        self.apply(_initialise)

    def _mask(self, attention_mask, T):
        """(B, T) of 0/1 -> bool (B, 1, 1 or T, T) for SDPA, True where a query may look; None if nothing is hidden."""
        if attention_mask is None or bool(attention_mask.all()):
            return None  # the unmasked kernel is faster
        mask = attention_mask[:, None, None, :].bool()
        return mask & torch.ones(T, T, dtype=torch.bool, device=mask.device).tril() if self.config.causal else mask

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, where=None):
        if (T := input_ids.shape[1]) > (most := self.config.max_tokens):
            raise ValueError(f"text has {T} tokens, the model reads at most {most}; truncate it or use a longer model")
        x = self.tokens(input_ids) + self.positions.weight[:T]  # (B, T, D) + (T, D)
        if self.segments is not None:
            x = x + self.segments(torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids)
        x, mask = self.drop(self.norm_in(x)), self._mask(attention_mask, T)
        for block in self.blocks[:-1]:
            x = block(x, mask)
        return Output(self.norm_out(self.blocks[-1](x, mask, where)))  # nobody reads the last block's other places


class LanguageModel(nn.Module):
    """A transformer that names tokens: masked-LM head of BERT, or GPT-2's bare output matrix if `config.causal`."""
    def __init__(self, config):
        super().__init__()
        self.config, self.encoder, D = config, Transformer(config), config.width
        if not config.causal:
            self.dense, self.norm = nn.Linear(D, D), nn.LayerNorm(D, eps=config.norm_eps)
            self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        if config.pairs:
            self.pooler, self.next_sentence = nn.Linear(D, D), nn.Linear(D, 2)
        self.apply(_initialise)

    def head(self, x):
        """(..., D) -> (..., V); the output matrix is the token embedding (Press & Wolf 2017)."""
        x = x if self.config.causal else self.norm(F.gelu(self.dense(x)))
        return F.linear(x, self.encoder.tokens.weight, None if self.config.causal else self.bias)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, where=None):  # an argument: DDP sees only forward()
        early = None if self.config.pairs else where  # the next-sentence head reads place 0 as well
        x = self.encoder(input_ids, attention_mask, token_type_ids, early).last_hidden_state
        logits = self.head(x if where is early else x[where])  # (B, T, V), or (A, V) at the asked places
        pairs = self.next_sentence(torch.tanh(self.pooler(x[:, 0]))) if self.config.pairs else None
        return Output(x, logits, pairs)


def _initialise(module):
    """Normal(0, 0.02) weights and zero biases, as in BERT; positions start as waves (Vaswani et al. 2017) and are learned."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    if isinstance(module, Transformer):  # apply() comes here after the embeddings
        T, D = module.positions.weight.shape
        turn = torch.arange(T)[:, None] * 1000.0 ** -torch.linspace(0, 1, D // 2)  # (T, D/2): who stands beside whom
        module.positions.weight.data[:] = 0.03 * torch.cat([turn.sin(), turn.cos()], dim=1)


def count(model):
    """How many weights the model has; shared ones count once."""
    return sum(p.numel() for p in model.parameters())


# Our names and those of transformers for the same part; `{}` is the number of the layer, `^` marks a name that is whole.
_BERT = {
    "tokens": "embeddings.word_embeddings", "positions": "embeddings.position_embeddings", "segments": "embeddings.token_type_embeddings",
    "norm_in": "embeddings.LayerNorm", "blocks.{}.attention.qkv": "encoder.layer.{}.attention.self.query|key|value",
    "blocks.{}.attention.out": "encoder.layer.{}.attention.output.dense",
    "blocks.{}.up": "encoder.layer.{}.intermediate.dense", "blocks.{}.down": "encoder.layer.{}.output.dense",
    "blocks.{}.norm1": "encoder.layer.{}.attention.output.LayerNorm", "blocks.{}.norm2": "encoder.layer.{}.output.LayerNorm",
    "pooler": "pooler.dense", "next_sentence": "^cls.seq_relationship",
    "dense": "^cls.predictions.transform.dense", "norm": "^cls.predictions.transform.LayerNorm", "": "^cls.predictions"}
_FAMILIES = {"bert": _BERT, "roberta-prelayernorm": _BERT | {
    "blocks.{}.norm1": "encoder.layer.{}.attention.LayerNorm", "blocks.{}.norm2": "encoder.layer.{}.intermediate.LayerNorm",
    "norm_out": "LayerNorm", "dense": "^lm_head.dense", "norm": "^lm_head.layer_norm", "": "^lm_head"}, "gpt2": {
    "tokens": "wte", "positions": "wpe", "norm_out": "ln_f", "blocks.{}.norm1": "h.{}.ln_1", "blocks.{}.norm2": "h.{}.ln_2",
    "blocks.{}.attention.qkv": "h.{}.attn.c_attn", "blocks.{}.attention.out": "h.{}.attn.c_proj",
    "blocks.{}.up": "h.{}.mlp.c_fc", "blocks.{}.down": "h.{}.mlp.c_proj"}}
_SIZES = ("vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size max_position_embeddings layer_norm_eps",
          "vocab_size n_embd n_layer n_head n_inner n_positions layer_norm_epsilon")  # the BERTs' words, and GPT-2's


def _names(model, family):
    """Yield (our name, [their name or names], is the matrix turned); theirs are three where we join query, key and value."""
    for ours in model.state_dict():
        part, _, kind = ours.removeprefix("encoder.").rpartition(".")
        layer = part.split(".")[1] if part.startswith("blocks.") else ""
        theirs = _FAMILIES[family][part.replace(f".{layer}.", ".{}.", 1)].format(layer)
        theirs = theirs[1:] if theirs.startswith("^") else f"{family.replace('-', '_').replace('gpt2', 'transformer')}.{theirs}"
        theirs = [theirs.replace("query|key|value", p) for p in ("query", "key", "value")[:1 + 2 * ("|" in theirs)]]  # GPT-2's weights: (inputs, outputs)
        yield ours, [f"{name}.{kind}" for name in theirs], ".c_" in theirs[0] and kind == "weight"


def load(folder):
    """The model of a transformers folder: a LanguageModel, or a Transformer where the file holds no head (MiniLM).
    Raises ValueError for a family or a variant this file does not know, KeyError, naming the tensor, if one is missing."""
    c = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    family, tied, gpt = c.get("model_type"), c.get("tie_word_embeddings", True), c.get("model_type") == "gpt2"
    act, pad = c.get("activation_function" if gpt else "hidden_act", "gelu"), c.get("pad_token_id") or 0
    if family not in _FAMILIES or act not in ("gelu", "gelu_new") or not tied:
        raise ValueError(f"{folder} holds a model of type {family!r}, hidden_act={act!r}, tie_word_embeddings={tied}; "
                         f"load() reads {', '.join(_FAMILIES)} with 'gelu' or 'gelu_new' and True")
    shift = pad + 1 if family.startswith("roberta") else 0  # RoBERTa counts positions from the padding id + 1
    tensors, state, prefix = load_file(Path(folder) / "model.safetensors"), {}, family.replace("-", "_").replace("gpt2", "transformer")
    tensors = {k if k.startswith((prefix, "cls.", "lm_head.")) else f"{prefix}.{k}": v for k, v in tensors.items()}
    *sizes, inner, positions, eps = (c.get(key) for key in _SIZES[gpt].split())
    config = Config(*sizes, inner or 4 * sizes[1], positions - shift, gpt, family != "bert", pad_id=pad, norm_eps=eps, tanh=act == "gelu_new",
                    segments=c["type_vocab_size"] if family == "bert" else 0, pairs="cls.seq_relationship.weight" in tensors)
    model = (LanguageModel if gpt or {"cls.predictions.bias", "lm_head.bias"} & tensors.keys() else Transformer)(config)
    for ours, theirs, turned in _names(model, family):
        if missing := set(theirs) - tensors.keys():
            raise KeyError(f"{folder} lacks the tensor {sorted(missing)[0]}; it is not a complete {family} model")
        state[ours] = torch.cat([tensors[n].float().T if turned else tensors[n].float() for n in theirs])[shift if "positions" in ours else 0:]
        if shift and "positions" in ours:  # RoBERTa adds its one sentence embedding everywhere; our positions carry it
            state[ours] += tensors[f"{prefix}.embeddings.token_type_embeddings.weight"][0].float()
    model.load_state_dict(state)
    return model


def save(model, folder, half=True):
    """Write config.json and model.safetensors (float16 if `half`) so that transformers gives equal logits.
    Raises ValueError for what no class of transformers holds: causal with post-norm, segments with pre-norm."""
    c, folder = model.config, Path(folder)
    if (c.causal and not c.pre_norm) or (c.pre_norm and c.segments):
        raise ValueError(f"causal={c.causal}, pre_norm={c.pre_norm}, segments={c.segments} has no class in transformers; "
                         "save a causal model with pre_norm=True and segments=0, or segments with pre_norm=False")
    family = "gpt2" if c.causal else "roberta-prelayernorm" if c.pre_norm else "bert"
    shift, state, tensors = c.pad_id + 1 if family.startswith("roberta") else 0, model.state_dict(), {}
    for ours, theirs, turned in _names(model, family):
        t = state[ours].detach().cpu().to(torch.float16 if half else torch.float32)
        t = F.pad(t, (0, 0, shift, 0)) if "positions" in ours else t.T if turned else t
        tensors |= {name: part.clone(memory_format=torch.contiguous_format) for name, part in zip(theirs, t.chunk(len(theirs)))}
    if not c.segments and not c.causal:  # both BERTs have sentence embeddings: one that adds nothing
        tensors[f"{family.replace('-', '_')}.embeddings.token_type_embeddings.weight"] = torch.zeros(1, c.width)
    sizes = [c.vocab_size, c.width, c.layers, c.heads, c.inner, c.max_tokens + shift, c.norm_eps]
    settings = {"model_type": family, **dict(zip(_SIZES[c.causal].split(), sizes)), "pad_token_id": c.pad_id, "dtype": "float32",
                "activation_function" if c.causal else "hidden_act": "gelu_new" if c.tanh else "gelu"}
    settings |= {"architectures": ["GPT2LMHeadModel"], "bos_token_id": None, "eos_token_id": None, "resid_pdrop": c.dropout,
                 "embd_pdrop": c.dropout, "attn_pdrop": c.dropout} if c.causal else {
        "architectures": [("BertFor" if family == "bert" else "RobertaPreLayerNormFor") + "MaskedLM"],
        "type_vocab_size": c.segments or 1, "hidden_dropout_prob": c.dropout, "attention_probs_dropout_prob": c.dropout}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
