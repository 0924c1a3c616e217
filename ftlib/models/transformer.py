"""One transformer: bidirectional (BERT) or causal (GPT), norm before or after each
part, in plain PyTorch.

Use it:
    >>> model = LanguageModel(
    ...     Config(
    ...         vocab_size=100, width=32, layers=2, heads=4, ffn_dim=64, max_tokens=16
    ...     )
    ... )
    >>> ids, where = torch.randint(5, 100, (2, 16)), torch.arange(32).view(2, 16) == 3
    >>> # everywhere, and at the target position alone
    >>> model(ids).logits.shape, model(ids, target_mask=where).logits.shape
    (torch.Size([2, 16, 100]), torch.Size([1, 100]))

`from_state(*hf_format.load(folder))` is the model of a BERT, RoBERTa-PreLayerNorm or
GPT-2 folder of transformers (hf_format.py lies beside this file). What it is not: every
variant of the field. Needs: torch. Shapes: B batch, T tokens, D width, H heads, K = D /
H head width, V vocabulary, A target positions.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    """The sizes of a model. `segments=2` adds sentence embeddings, `nsp_head=True` the
    next-sentence head of BERT.

    A model computes what the class of transformers does that holds it: BERT post-norm,
    RoBERTa-PreLayerNorm pre-norm, GPT-2 causal. So `pad_id` takes no position in a
    pre-norm encoder, as in RoBERTa: positions count the other tokens.
    """

    vocab_size: int
    width: int = 256
    layers: int = 4
    heads: int = 4
    ffn_dim: int = 1024  # width of the feed-forward part
    max_tokens: int = 128
    causal: bool = False
    pre_norm: bool = True
    # on embeddings, attention and both parts of a block; 0 suits pretraining on few
    # epochs
    dropout: float = 0.0
    segments: int = 0
    nsp_head: bool = False
    norm_eps: float = 1e-5
    pad_id: int = 0
    # GPT-2's approximation of GELU; RoBERTa's masked-LM head never has it
    gelu_tanh: bool = False
    # of the blocks' matrices at the start: 0.02 suits BERT's width of 768, and in a
    # narrow model the blocks then hardly change what passes through
    init_std: float = 0.02
    # RoBERTa: pad_id has a vector of its own where other tokens have a position
    pad_vector: bool = False


class Output(NamedTuple):
    """What a model returns; named as in transformers, so that losses read `.logits` of
    either.
    """

    last_hidden_state: torch.Tensor
    logits: torch.Tensor | None = None
    next_sentence_logits: torch.Tensor | None = None


def _attention(q, k, v, mask, drop, is_causal):
    """SDPA written out. On a CPU with bfloat16 the fused kernel's backward costs more
    than all matrix products together in short rows; its forward alone is faster.

    A query that may look nowhere (padding on the left of a causal row) gets zeros, as
    from SDPA.
    """
    scores = q @ k.transpose(-1, -2) * k.shape[-1] ** -0.5  # (B, H, T, T)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is not None:
        # the lowest number weighs exactly 0 beside any other; a row of -inf alone would
        # be NaN, which the next layer's product with 0 spreads to every row
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    # autocast may have made the softmax float32, as CUDA's does
    y = F.dropout(scores.softmax(-1), drop).to(v.dtype) @ v
    return y if mask is None else y.masked_fill(~mask.any(-1, keepdim=True), 0.0)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017), (B, T, D) -> (B, T, D)."""

    def __init__(self, config):
        super().__init__()
        self.heads = config.heads
        self.causal = config.causal
        self.dropout = config.dropout
        # one product instead of three
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x, mask=None, target_mask=None):
        B, T, D = x.shape
        # 3 x (B, H, T, K)
        q, k, v = (
            self.qkv(x)
            .view(B, T, 3, self.heads, D // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        # SDPA refuses a mask together with is_causal, so _mask() has put causality into
        # the mask when there is one
        fused = (
            F.scaled_dot_product_attention
            if x.device.type != "cpu"
            or q.dtype != torch.bfloat16
            or not torch.is_grad_enabled()
            else _attention
        )
        y = fused(
            q,
            k,
            v,
            mask,
            self.dropout if self.training else 0.0,
            is_causal=self.causal and mask is None,
        )
        y = y.transpose(1, 2).reshape(B, T, D)  # (B, H, T, K) -> (B, T, D)
        return self.out(y if target_mask is None else y[target_mask])


class Block(nn.Module):
    """Attention and feed-forward, each with its residual and norm, (B, T, D) -> (B, T,
    D), or (A, D) at the target positions.
    """

    def __init__(self, config):
        super().__init__()
        W = config.width
        eps = config.norm_eps
        self.pre_norm = config.pre_norm
        self.attention = Attention(config)
        self.up, self.down = nn.Linear(W, config.ffn_dim), nn.Linear(config.ffn_dim, W)
        self.norm1, self.norm2 = nn.LayerNorm(W, eps=eps), nn.LayerNorm(W, eps=eps)
        self.gelu = nn.GELU("tanh" if config.gelu_tanh else "none")
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x, mask=None, target_mask=None):
        # attention reads every position; what follows is for each position alone
        kept = x if target_mask is None else x[target_mask]
        # the residual path stays free of norms, which lets deep models start learning
        # at once
        if self.pre_norm:
            x = kept + self.drop(self.attention(self.norm1(x), mask, target_mask))
            # (B, T, D) -> (B, T, inner) -> (B, T, D)
            return x + self.drop(self.down(self.gelu(self.up(self.norm2(x)))))
        x = self.norm1(kept + self.drop(self.attention(x, mask, target_mask)))
        return self.norm2(x + self.drop(self.down(self.gelu(self.up(x)))))


class Transformer(nn.Module):
    """Embeddings and blocks: `input_ids (B, T)` -> `Output.last_hidden_state (B, T,
    D)`, or (A, D) at `target_mask`.

    position_ids (B, T): the position of each token; None counts the columns from 0, as
    transformers does (a pre-norm encoder counts the tokens that are not `pad_id`, as
    RoBERTa). For causal rows with padding on the left give those of
    positions.position_ids(attention_mask), and a row is read as without its padding.
    token_type_ids (B, T): the segment of each token, 0 unless told.
    """

    def __init__(self, config):
        super().__init__()
        if config.width % config.heads:
            raise ValueError(
                f"width {config.width} is not a multiple of heads "
                f"{config.heads}; change one of them"
            )
        if config.layers < 1 or config.max_tokens < 1:
            raise ValueError(
                f"layers={config.layers} and max_tokens={config.max_tokens}, a model "
                "needs at least 1 of each; raise the one that is smaller"
            )
        self.config, self.drop, W = config, nn.Dropout(config.dropout), config.width
        self.tokens = nn.Embedding(config.vocab_size, W)
        self.positions = nn.Embedding(config.max_tokens, W)
        if config.pad_vector:  # no parameter: it gets no gradient in RoBERTa either
            self.register_buffer("pad_vector", torch.zeros(W))
        self.segments = nn.Embedding(config.segments, W) if config.segments else None
        self.norm_in = (
            nn.Identity() if config.causal else nn.LayerNorm(W, eps=config.norm_eps)
        )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm_out = (
            nn.LayerNorm(W, eps=config.norm_eps) if config.pre_norm else nn.Identity()
        )
        _initialise(self)

    def _mask(self, attention_mask, T):
        """(B, T) of 0/1 -> bool (B, 1, 1 or T, T) for SDPA, True where a query may
        look; None if nothing is hidden. A mask (B, 1, T, T) says it for each query, as
        in transformers, and is taken as it is.
        """
        if attention_mask is not None and attention_mask.ndim == 4:
            return attention_mask.bool()
        if attention_mask is None or bool(attention_mask.all()):
            return None  # the unmasked kernel is faster
        mask = attention_mask[:, None, None, :].bool()
        return (
            mask & torch.ones(T, T, dtype=torch.bool, device=mask.device).tril()
            if self.config.causal
            else mask
        )

    def _positions(self, input_ids, position_ids):
        """The vectors (T, D) or (B, T, D) that say where a token stands."""
        T, most, c = input_ids.shape[1], len(self.positions.weight), self.config
        if position_ids is not None:
            if int(position_ids.min()) < 0 or int(position_ids.max()) >= most:
                raise ValueError(
                    f"position_ids reach from {int(position_ids.min())} to "
                    f"{int(position_ids.max())}, the model has 0 to {most - 1}; "
                    "count from 0 and truncate longer texts"
                )
            return self.positions(position_ids)
        if c.causal or not c.pre_norm:
            return self.positions.weight[:T]
        pads = input_ids == c.pad_id
        if not bool(pads.any()):
            return self.positions.weight[:T]
        # as RoBERTa: padding takes no position, and has a vector of its own
        x = self.positions(((~pads).cumsum(-1) - 1).clamp(min=0))
        own = self.pad_vector if c.pad_vector else torch.zeros_like(x[0, 0])
        return torch.where(pads[..., None], own, x)

    def _kinds(self, input_ids, token_type_ids):
        """The vectors (B, T, D) of the segments, or 0 for a model without them."""
        if self.segments is not None:
            return self.segments(
                torch.zeros_like(input_ids)
                if token_type_ids is None
                else token_type_ids
            )
        if token_type_ids is not None and (
            self.config.causal or bool(token_type_ids.any())
        ):
            raise ValueError(
                f"token_type_ids reach {int(token_type_ids.max())}, the model knows no "
                "segments; leave them out or use a model with segments"
            )
        return 0

    def forward(
        self,
        input_ids,
        attention_mask=None,
        token_type_ids=None,
        target_mask=None,
        position_ids=None,
    ):
        if (T := input_ids.shape[1]) > (most := self.config.max_tokens):
            raise ValueError(
                f"text has {T} tokens, the model reads at most {most}; "
                "truncate it or use a longer model"
            )
        x = self.tokens(input_ids) + self._positions(input_ids, position_ids)
        if self.segments is not None or token_type_ids is not None:
            x = x + self._kinds(input_ids, token_type_ids)
        x, mask = self.drop(self.norm_in(x)), self._mask(attention_mask, T)
        for block in self.blocks[:-1]:
            x = block(x, mask)
        # the last block's other positions are never read
        return Output(self.norm_out(self.blocks[-1](x, mask, target_mask)))


class LanguageModel(nn.Module):
    """A transformer that names tokens: masked-LM head of BERT, or GPT-2's bare output
    matrix if `config.causal`.
    """

    def __init__(self, config):
        super().__init__()
        self.config, self.encoder, D = config, Transformer(config), config.width
        if not config.causal:
            self.dense = nn.Linear(D, D)
            self.norm = nn.LayerNorm(D, eps=config.norm_eps)
            self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        if config.nsp_head:
            self.pooler, self.next_sentence = nn.Linear(D, D), nn.Linear(D, 2)
        _initialise(self)

    def head(self, x):
        """(..., D) -> (..., V); the output matrix is the token embedding (Press & Wolf
        2017).
        """
        if not self.config.causal:
            # BERT's head has the blocks' GELU, RoBERTa's always the exact one
            gelu_tanh = self.config.gelu_tanh and not self.config.pre_norm
            x = F.gelu(self.dense(x), approximate="tanh" if gelu_tanh else "none")
            x = self.norm(x)
        return F.linear(
            x, self.encoder.tokens.weight, None if self.config.causal else self.bias
        )

    # an argument: DDP sees only forward()
    def forward(
        self,
        input_ids,
        attention_mask=None,
        token_type_ids=None,
        target_mask=None,
        position_ids=None,
    ):
        # the next-sentence head reads position 0 as well
        early = None if self.config.nsp_head else target_mask
        x = self.encoder(
            input_ids, attention_mask, token_type_ids, early, position_ids
        ).last_hidden_state
        # (B, T, V), or (A, V) at the target positions
        logits = self.head(x if target_mask is early else x[target_mask])
        pairs = (
            self.next_sentence(torch.tanh(self.pooler(x[:, 0])))
            if self.config.nsp_head
            else None
        )
        return Output(x, logits, pairs)


def _initialise(model):
    """Normal(0, 0.02) weights and zero biases, as in BERT, and `init_std` in the
    blocks; positions start as sinusoids (Vaswani et al. 2017) and are learned.
    """
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            std = model.config.init_std if "blocks." in name else 0.02
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    positions = next(m for m in model.modules() if isinstance(m, Transformer)).positions
    T, D = positions.weight.shape
    # (T, D/2): who stands beside whom; an odd width has one cosine less
    angle = torch.arange(T)[:, None] * 1000.0 ** -torch.linspace(0, 1, (D + 1) // 2)
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)[:, :D]
    positions.weight.data[:] = 0.03 * waves


def count_parameters(model):
    """How many weights the model has; shared ones count once."""
    return sum(p.numel() for p in model.parameters())


def from_state(config, state):
    """The model of a configuration (dict) and its tensors, as `hf_format.load(folder)`
    gives them.

    A LanguageModel where the tensors hold a head, a Transformer where they do not
    (MiniLM). Raises RuntimeError, naming it, for a tensor that is missing, unknown or
    of another shape.
    """
    has_head = any(name.startswith("encoder.") for name in state)
    model = (LanguageModel if has_head else Transformer)(Config(**config))
    model.load_state_dict(state)
    return model
