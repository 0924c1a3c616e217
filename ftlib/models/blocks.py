"""The blocks of a transformer, to read and to take apart: residual with norm,
feed-forward, encoder and decoder block.

Use it, with any attention layer that is called as `attention(x, context, mask)`, such
as that of attention.py:

    >>> # the simplest attention: look at all alike
    >>> class Mean(nn.Module):
    ...     def forward(self, x, context=None, mask=None):
    ...         return (
    ...             (x if context is None else context)
    ...             .mean(dim=1, keepdim=True)
    ...             .expand_as(x)
    ...         )
    >>> block = EncoderBlock(Mean(), width=8, ffn_dim=32)
    >>> import torch
    >>> x, memory = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    >>> block(x).shape
    torch.Size([2, 5, 8])
    >>> # reads a sequence of another length
    >>> DecoderBlock(Mean(), Mean(), width=8, ffn_dim=32)(x, memory).shape
    torch.Size([2, 5, 8])

    from attention import MultiHeadAttention  # both files copied into your project
    attention = MultiHeadAttention(384, 12)
    block = EncoderBlock(attention, width=384, ffn_dim=1536, pre_norm=False)

A decoder without an encoder (GPT) is an EncoderBlock with a causal mask: what makes it
a decoder is the mask alone. With pre_norm the sum that leaves the last block has seen
no norm: put one more nn.LayerNorm behind it. Weights of torch's own layers fit: see
tests/models/test_blocks.py for which part is which. What it is not: a model (no
embeddings, no head; transformer.py has them), nor fast, nor with dropout. Needs: torch.
Shapes: B batch, T tokens, S tokens of the sequence that is read, D width.
"""

import torch.nn.functional as F
from torch import nn

# Parts have names of what they do: self_attn (look at other tokens), cross_attn
# (another sequence), mlp (each token alone).


class FeedForward(nn.Module):
    """Two linear layers with GELU between, the same for each token: (..., D) -> (...,
    ffn_dim) -> (..., D).
    """

    def __init__(self, width, ffn_dim):
        super().__init__()
        self.up, self.down = nn.Linear(width, ffn_dim), nn.Linear(ffn_dim, width)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


class Residual(nn.Module):
    """A sublayer with its residual and its norm, before the sublayer or after the sum:
    (B, T, D) -> (B, T, D).
    """

    def __init__(self, sublayer, width, pre_norm=True, eps=1e-5):
        super().__init__()
        self.sublayer = sublayer
        self.norm = nn.LayerNorm(width, eps=eps)
        self.pre_norm = pre_norm

    def forward(self, x, **given):
        if self.pre_norm:
            # x goes through untouched (Xiong et al. 2020)
            return x + self.sublayer(self.norm(x), **given)
        # the form of Vaswani et al. 2017, BERT and MiniLM
        return self.norm(x + self.sublayer(x, **given))


class EncoderBlock(nn.Module):
    """Attention, then feed-forward, each in its Residual: (B, T, D) -> (B, T, D). With
    a causal mask: a block of GPT.
    """

    def __init__(self, attention, width, ffn_dim, pre_norm=True, eps=1e-5):
        super().__init__()
        self.self_attn = Residual(attention, width, pre_norm, eps)
        self.mlp = Residual(FeedForward(width, ffn_dim), width, pre_norm, eps)

    def forward(self, x, mask=None):
        """mask: bool that broadcasts to (B, H, T, T), True where a query may look."""
        return self.mlp(self.self_attn(x, mask=mask))


class DecoderBlock(nn.Module):
    """Self-attention, attention to an encoder's output, feed-forward: x (B, T, D),
    memory (B, S, D) -> (B, T, D).
    """

    def __init__(
        self, attention, cross_attention, width, ffn_dim, pre_norm=True, eps=1e-5
    ):
        super().__init__()
        self.self_attn = Residual(attention, width, pre_norm, eps)
        self.cross_attn = Residual(cross_attention, width, pre_norm, eps)
        self.mlp = Residual(FeedForward(width, ffn_dim), width, pre_norm, eps)

    def forward(self, x, memory, mask=None, memory_mask=None):
        """mask (T, T) is causal as a rule; memory_mask (B, 1, 1, S) hides the padding
        of the sequence that is cross_attn.
        """
        x = self.self_attn(x, mask=mask)
        # memory itself is not normed again
        return self.mlp(self.cross_attn(x, context=memory, mask=memory_mask))
