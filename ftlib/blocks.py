"""The blocks of a transformer, to read and to take apart: residual with norm, feed-forward, encoder and decoder block.

Use it, with any attention layer that is called as `attention(x, context, mask)`, such as that of attention.py:

    >>> class Mean(nn.Module):                                      # the simplest attention: look at all alike
    ...     def forward(self, x, context=None, mask=None):
    ...         return (x if context is None else context).mean(dim=1, keepdim=True).expand_as(x)
    >>> block = EncoderBlock(Mean(), width=8, inner=32)
    >>> import torch
    >>> x, memory = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    >>> block(x).shape
    torch.Size([2, 5, 8])
    >>> DecoderBlock(Mean(), Mean(), width=8, inner=32)(x, memory).shape    # reads a sequence of another length
    torch.Size([2, 5, 8])

    from attention import MultiHeadAttention                        # both files copied into your project
    block = EncoderBlock(MultiHeadAttention(384, 12), width=384, inner=1536, pre_norm=False)

A decoder without an encoder (GPT) is an EncoderBlock with a causal mask: what makes it a decoder is the mask alone.
With pre_norm the sum that leaves the last block has seen no norm: put one more nn.LayerNorm behind it.
Weights of torch's own layers fit: see tests/test_blocks.py for which part is which.
What it is not: a model (no embeddings, no head; model.py has them), nor fast, nor with dropout. Needs: torch.
Shapes: B batch, T tokens, S tokens of the sequence that is read, D width.
"""

import torch.nn.functional as F
from torch import nn


# Parts have names of what they do: attend (look at other tokens), read (another sequence), think (each token alone).


class FeedForward(nn.Module):
    """Two linear layers with GELU between, the same for each token: (..., D) -> (..., inner) -> (..., D)."""

    def __init__(self, width, inner):
        super().__init__()
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


class Residual(nn.Module):
    """A part with its residual and its norm, before the part or after the sum: (B, T, D) -> (B, T, D)."""

    def __init__(self, part, width, pre_norm=True, eps=1e-5):
        super().__init__()
        self.part, self.norm, self.pre_norm = part, nn.LayerNorm(width, eps=eps), pre_norm

    def forward(self, x, **given):
        if self.pre_norm:
            return x + self.part(self.norm(x), **given)  # x goes through untouched (Xiong et al. 2020)
        return self.norm(x + self.part(x, **given))  # the form of Vaswani et al. 2017, BERT and MiniLM


class EncoderBlock(nn.Module):
    """Attention, then feed-forward, each in its Residual: (B, T, D) -> (B, T, D). With a causal mask: a block of GPT."""

    def __init__(self, attention, width, inner, pre_norm=True, eps=1e-5):
        super().__init__()
        self.attend = Residual(attention, width, pre_norm, eps)
        self.think = Residual(FeedForward(width, inner), width, pre_norm, eps)

    def forward(self, x, mask=None):
        """mask: bool that broadcasts to (B, H, T, T), True where a query may look."""
        return self.think(self.attend(x, mask=mask))


class DecoderBlock(nn.Module):
    """Self-attention, attention to an encoder's output, feed-forward: x (B, T, D), memory (B, S, D) -> (B, T, D)."""

    def __init__(self, attention, reading, width, inner, pre_norm=True, eps=1e-5):
        super().__init__()
        self.attend = Residual(attention, width, pre_norm, eps)
        self.read = Residual(reading, width, pre_norm, eps)
        self.think = Residual(FeedForward(width, inner), width, pre_norm, eps)

    def forward(self, x, memory, mask=None, memory_mask=None):
        """mask (T, T) is causal as a rule; memory_mask (B, 1, 1, S) hides the padding of the sequence that is read."""
        x = self.attend(x, mask=mask)
        return self.think(self.read(x, context=memory, mask=memory_mask))  # memory itself is not normed again
