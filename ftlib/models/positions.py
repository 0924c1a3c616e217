"""Positions for transformers: waves to add, rotations of queries and keys, position ids
of padded rows, longer tables.

Use it:

    >>> # add row t to the vector of token t
    >>> sinusoidal(512, 64).shape
    torch.Size([512, 64])
    >>> # once for a model: cosines and sines
    >>> tables = rotary_tables(512, 64)
    >>> # (B, H, T, K); keys alike, values not
    >>> q = torch.randn(2, 4, 10, 64)
    >>> apply_rotary(q, *tables).shape
    torch.Size([2, 4, 10, 64])
    >>> # padded left, padded right
    >>> position_ids(torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]])).tolist()
    [[0, 0, 0, 1, 2], [0, 1, 2, 0, 0]]
    >>> # a learned table for texts of 5 tokens
    >>> interpolate_positions(torch.tensor([[0.0], [1.0], [2.0]]), 5).tolist()
    [[0.0], [0.5], [1.0], [1.5], [2.0]]

Which: learned tables and waves say where a token stands, rotations how far two tokens
are apart. A table ends at its last row; waves and rotations are defined everywhere,
which does not mean that a trained model copes (chapter 07 measures it). `apply_rotary`
turns number k together with number k + K/2, as Llama, Qwen and Mistral do in
transformers. The paper and GPT-J turn neighbours, 2k with 2k + 1: `interleaved_to_half`
reorders the rows of such a query or key matrix. What it is not: a model, nor every
scheme (no ALiBi, no YaRN). Needs: torch.
Shapes: B batch, H heads, T tokens, D width, K head width (even).
"""

import torch
import torch.nn.functional as F


def sinusoidal(T, D, base=10000.0):
    """Waves (Vaswani et al. 2017) -> (T, D): sines in the even columns, cosines in the
    odd ones, slower to the right.

    Column 2k turns by base**(-2k / D) radians a token. Raises ValueError if D is odd.
    """
    if D % 2:
        raise ValueError(
            f"width {D} is odd, each wave needs a sine and a cosine; "
            "choose an even width"
        )
    # (D/2,) radians a token, from 1 down to about 1 / base
    speed = base ** (-torch.arange(0, D, 2) / D)
    angle = torch.arange(T)[:, None] * speed  # (T, D/2)
    # (T, D/2, 2) -> (T, D)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def rotary_tables(T, K, base=10000.0, scale=1.0):
    """Cosines and sines for `apply_rotary`, each (T, K/2). K is the width of a head,
    not of the model.

    scale: divides the positions, so that scale=4 squeezes a text four times as long
        into the trained range (position
    interpolation, Chen et al. 2023). Raises ValueError if K is odd.
    """
    if K % 2:
        raise ValueError(
            f"head width {K} is odd, rotations turn pairs of numbers; "
            "choose an even head width"
        )
    speed = base ** (-torch.arange(0, K, 2) / K)  # (K/2,) radians a token
    angle = torch.arange(T)[:, None] / scale * speed  # (T, K/2)
    return angle.cos(), angle.sin()


def apply_rotary(x, cos, sin, positions=None):
    """Turn each pair of numbers by its token's angle (Su et al. 2021): x (..., T, K) ->
    (..., T, K).

    The first T rows of the tables are used, or those of `positions`: (T,), or (B, 1, T)
    for x (B, H, T, K), for padding on the left and for generation with a cache. Raises
    ValueError for more tokens than rows, or a position beyond the table.
    """
    most = x.shape[-2] if positions is None else int(positions.max()) + 1
    if most > len(cos):
        raise ValueError(
            f"the text reaches position {most}, the tables have {len(cos)} "
            f"rows; make them with T={most}"
        )
    cos, sin = (
        t[:most] if positions is None else t[positions] for t in (cos.to(x), sin.to(x))
    )
    a, b = x.chunk(2, dim=-1)  # number k is paired with number k + K/2
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def interleaved_to_half(weight, heads):
    """Reorder a query or key matrix (H K, D), or its bias (H K,), made for pairs (2k,
    2k + 1), for use with `apply_rotary`.
    """
    apart = weight.view(heads, -1, 2, *weight.shape[1:])  # (H, K/2, 2, ...)
    return apart.transpose(1, 2).reshape(weight.shape)


def position_ids(attention_mask):
    """(B, T) of 1 for tokens and 0 for padding -> (B, T): 0 for the first real token of
    a row, whatever stands before it.

    Padding gets 0, a row that exists; nobody looks there. A RoBERTa of transformers
    counts from padding_idx + 1 instead.
    """
    return (attention_mask.long().cumsum(dim=-1) - 1).clamp(
        min=0
    ) * attention_mask.long()


def interpolate_positions(table, T):
    """A learned table (S, D) drawn out to (T, D) by linear interpolation; its first and
    last row stay where they are.

    It gives a model of 512 positions a start for texts of 2,048; train it some more on
    long texts. T < S is refused: slice.
    """
    if len(table) > T:
        raise ValueError(
            f"the table has {len(table)} rows, more than the {T} asked "
            f"for; take table[:{T}]"
        )
    # (1, D, S) -> (1, D, T)
    drawn = F.interpolate(
        table.T[None].float(), size=T, mode="linear", align_corners=True
    )
    return drawn[0].T.to(table.dtype)
