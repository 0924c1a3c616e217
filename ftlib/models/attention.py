"""Attention as plain functions: scaled dot products, masks, heads, and the maps of a
model that you have loaded.

Use it:

    >>> _ = torch.manual_seed(0)
    >>> # one text of 4 tokens, width 8
    >>> x = torch.randn(1, 4, 8)
    >>> layer = MultiHeadAttention(width=8, heads=2)
    >>> y, weights = layer(x, mask=causal_mask(4), return_weights=True)
    >>> y.shape, weights.shape
    (torch.Size([1, 4, 8]), torch.Size([1, 2, 4, 4]))
    >>> # the first token sees itself alone
    >>> weights[0, 0, 0].tolist()
    [1.0, 0.0, 0.0, 0.0]
    >>> # the third token is padding: nobody looks at it
    >>> padding_mask(torch.tensor([[1, 1, 0]])).tolist()
    [[[[True, True, False]]]]

A mask is bool and says where a query MAY look, as in F.scaled_dot_product_attention
(nn.MultiheadAttention says the
opposite: True is hidden). Combine masks with `&`. A query that may look nowhere gets
zeros, and no NaN. What it is not: fast. The map is written out, 4 T^2 bytes a head;
F.scaled_dot_product_attention gives the same numbers without it, and a model should
call that. Use these where you need to see, change or explain the map. Needs: torch.
Shapes: B batch, T queries, S keys and values (T = S in self-attention), D width, H
heads, K = D / H, L layers.
"""

import functools

import torch
from torch import nn


def attend(q, k, v, mask=None, scale=None, return_weights=False):
    """Scaled dot-product attention (Vaswani et al. 2017): q (..., T, K), k (..., S, K),
    v (..., S, K) -> (..., T, K).

    mask: bool, broadcast to (..., T, S), True where the query may look. scale: 1 /
        sqrt(K) unless told. With
    return_weights also the weights (..., T, S). Raises TypeError for a mask that is not
    bool.
    """
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError(
            f"mask has dtype {mask.dtype}, attend() takes bool with True = "
            "may look; write mask.bool()"
        )
    scale = k.shape[-1] ** -0.5 if scale is None else scale
    scores = q @ k.transpose(-1, -2) * scale  # (..., T, S)
    if mask is not None:
        # exp(-inf) is 0, and the others still add up to 1
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(dim=-1)  # over the keys
    if mask is not None:
        # a row without any key is 0/0; zeros as in SDPA, and no NaN gradient
        weights = weights.masked_fill(~mask, 0.0)
    output = weights @ v  # (..., T, K)
    return (output, weights) if return_weights else output


def causal_mask(T, device=None):
    """Bool (T, T): token t may look at tokens 0 to t, itself included."""
    return torch.ones(T, T, dtype=torch.bool, device=device).tril()


def padding_mask(attention_mask):
    """(B, S) of 1 for real tokens and 0 for padding -> bool (B, 1, 1, S), which fits
    scores of shape (B, H, T, S).

    It hides padding as a key. Padding as a query still gets an output; leave that out
    of your loss or your mean.
    """
    if attention_mask.ndim != 2:
        raise ValueError(
            f"attention_mask has {attention_mask.ndim} dimensions, (B, S) "
            "has 2; give one row for each text"
        )
    return attention_mask[:, None, None, :].bool()


def split_heads(x, heads):
    """(B, T, D) -> (B, H, T, K): each token's vector is cut into H pieces of K numbers,
    one for each head.
    """
    B, T, D = x.shape
    if D % heads:
        raise ValueError(
            f"width {D} is not a multiple of heads {heads}; change one of them"
        )
    # view() before transpose(): to view as (B, H, T, K) at once would mix numbers of
    # different tokens
    return x.view(B, T, heads, D // heads).transpose(1, 2)


def join_heads(x):
    """(B, H, T, K) -> (B, T, D): the pieces of each token side by side again; undoes
    split_heads.
    """
    B, H, T, K = x.shape
    return x.transpose(1, 2).reshape(B, T, H * K)


class MultiHeadAttention(nn.Module):
    """Attention in `heads` parts side by side, with a projection before and after: (B,
    T, D) -> (B, T, D).
    """

    def __init__(self, width, heads):
        super().__init__()
        if width % heads:
            raise ValueError(
                f"width {width} is not a multiple of heads {heads}; change one of them"
            )
        self.heads = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x, context=None, mask=None, return_weights=False):
        """Queries come from x (B, T, D), keys and values from context (B, S, D), which
        is x unless given.
        """
        context = x if context is None else context
        q = split_heads(self.query(x), self.heads)  # (B, H, T, K)
        k = split_heads(self.key(context), self.heads)  # (B, H, S, K)
        v = split_heads(self.value(context), self.heads)
        y, weights = attend(q, k, v, mask, return_weights=True)
        # each output number may use the results of all heads
        y = self.out(join_heads(y))
        return (y, weights) if return_weights else y


def from_torch(theirs):
    """A MultiHeadAttention with the weights of an nn.MultiheadAttention (batch_first or
    not); inputs are (B, T, D). Ours has no dropout: in training theirs drops weights.

    Raises ValueError where ours has no place for its weights: bias=False, kdim or vdim,
    add_bias_kv, add_zero_attn.
    """
    if (
        theirs.in_proj_weight is None
        or theirs.in_proj_bias is None
        or theirs.bias_k is not None
        or theirs.add_zero_attn
    ):
        raise ValueError(
            f"{theirs} has no single input projection with bias, or extra "
            "keys; make it with bias=True and "
            "without kdim, vdim, add_bias_kv and add_zero_attn"
        )
    ours = MultiHeadAttention(theirs.embed_dim, theirs.num_heads).to(
        theirs.in_proj_weight
    )
    with torch.no_grad():
        projections = zip(
            (ours.query, ours.key, ours.value),
            theirs.in_proj_weight.chunk(3),
            theirs.in_proj_bias.chunk(3),
        )
        # torch keeps the three matrices above each other, (3 D, D)
        for projection, weight, bias in projections:
            projection.weight.copy_(weight)
            projection.bias.copy_(bias)
    ours.out.load_state_dict(theirs.out_proj.state_dict())
    return ours


def in_eval_mode(function):
    """`function(model, ...)` with dropout and the like switched off; afterwards every
    module has the mode that it had, also after an error or Ctrl-C.
    """

    @functools.wraps(function)
    def switched(model, *arguments, **keywords):
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            return function(model, *arguments, **keywords)
        finally:
            for module, training in modes.items():
                module.training = training

    return switched


@in_eval_mode
def attention_maps(model, input_ids, attention_mask=None):
    """Every map of a model of ftlib/models/transformer.py -> (L, B, H, T, T); row = the
    token that looks, column = looked at.

    Works for any model whose attention layers have a linear `qkv` and a number `heads`;
    `causal` is honoured. The model runs once, in eval mode and without gradient. Raises
    ValueError where there is no such layer.
    """
    layers = [m for m in model.modules() if hasattr(m, "qkv") and hasattr(m, "heads")]
    if not layers:
        raise ValueError(
            f"{type(model).__name__} has no layer with `qkv` and `heads`; "
            "load it with ftlib/models/transformer.py"
        )
    # A fused kernel never has the map, so the products are caught on their way and the
    # map is computed again.
    caught = []
    hooks = [
        layer.qkv.register_forward_hook(
            lambda chunk, inputs, output: caught.append(output)
        )
        for layer in layers
    ]
    try:
        with torch.no_grad():
            model(input_ids, attention_mask)
    finally:  # a hook that stays would fill the memory, call by call
        for hook in hooks:
            hook.remove()
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    maps = []
    for layer, qkv in zip(layers, caught):
        q, k, v = (split_heads(chunk, layer.heads) for chunk in qkv.chunk(3, dim=-1))
        may = padding_mask(mask)
        may = (
            may & causal_mask(q.shape[2], q.device)
            if getattr(layer, "causal", False)
            else may
        )
        maps.append(attend(q, k, v, may, return_weights=True)[1])
    return torch.stack(maps)


def attention_mass(maps, key_mask):
    """The mean weight that queries put on marked keys: maps (L, B, H, T, T),
    key_mask bool (B, T, T) -> (L, H).

    key_mask[b, i, j] marks key j for query i; a query with no marked key has no part in
    the mean. So `key_mask` chooses what is measured: the token before, [SEP], the same
    word. Raises ValueError where nothing is marked.
    """
    has_key = key_mask.any(dim=-1)  # (B, T)
    if not has_key.any():
        raise ValueError(
            "key_mask marks 0 keys, the mean needs at least 1; check the "
            "ids that you compare"
        )
    # (L, B, H, T); a query without a marked key gives 0
    on = (maps * key_mask[:, None]).sum(dim=-1)
    return on.sum(dim=(1, 3)) / has_key.sum()
