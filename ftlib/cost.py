"""What a transformer costs before you build it: weights, floating-point operations, bytes, by formula.

Use it:

    >>> bert = dict(vocab_size=30522, width=768, layers=12, inner=3072)
    >>> parts = parameters(**bert, positions=512, segments=2, norm_in=True, head="pooler")
    >>> parts["attention"], sum(parts.values())                      # what BertModel("bert-base-uncased") has
    (28348416, 109482240)
    >>> f"{sum(flops(**bert, T=128, head='pooler').values()) / 1e9:.1f} billion operations to read 128 tokens"
    '22.3 billion operations to read 128 tokens'
    >>> f"{training_flops(124e6, 300e9):.1e} to train 124 M weights on 300 G tokens"
    '2.2e+20 to train 124 M weights on 300 G tokens'
    >>> training_bytes(124_000_000) / 1e9                            # GB: weights, gradients and Adam's two means
    1.984

Formulas hold for BERT, RoBERTa-PreLayerNorm and GPT-2: multi-head attention with biases, two feed-forward matrices, learned
positions, heads as listed at `HEADS`. Llama and its kin differ (chapter 07, exercise 1).
A multiplication and an addition are 2 operations. Counted are matrix products, as torch.utils.flop_counter does: norms,
softmaxes and GELUs are left out, a few operations for each number where a product does thousands.
What it is not: a prediction of seconds (small products do not fill a processor). Needs: the standard library only.
Letters: V vocabulary, D width, L layers, T tokens.
"""

# Which head -> (has D x D and its bias, has a norm, has V biases, has V x D of its own, writes logits)
HEADS = {
    "none": (0, 0, 0, 0, 0),  # hidden states
    "pooler": (1, 0, 0, 0, 0),  # BertModel: one dense layer on [CLS]
    "tied": (0, 0, 0, 0, 1),  # GPT-2: the token table once more, as the output matrix
    "untied": (0, 0, 0, 1, 1),
    "masked": (1, 1, 1, 0, 1),  # BertForMaskedLM: dense, norm, the token table once more, biases
}


def head_parts(head):
    """The row of HEADS for `head`; raises ValueError for another name."""
    if head not in HEADS:
        raise ValueError(f"head is {head!r}, it must be one of {', '.join(HEADS)}")
    return HEADS[head]


def parameters(vocab_size, width, layers, inner, positions=0, segments=0, norm_in=False, norm_out=False, head="none"):
    """How many weights each part has -> {"embeddings", "attention", "feed-forward", "norms", "head"}.

    positions, segments: rows of these tables. norm_in: a norm behind the embeddings (BERT). norm_out: one behind the last
    block (pre-norm models). head: a key of HEADS. A tied output matrix counts once, with the embeddings.
    """
    D = width
    dense, norm, biases, table, _ = head_parts(head)
    return {
        "embeddings": (vocab_size + positions + segments) * D,
        "attention": layers * 4 * (D * D + D),  # query, key, value, output, whatever the number of heads
        "feed-forward": layers * (2 * D * inner + inner + D),
        "norms": (2 * layers + norm_in + norm_out) * 2 * D,  # a scale and a shift each
        "head": dense * (D * D + D) + norm * 2 * D + biases * vocab_size + table * vocab_size * D,
    }


def flops(vocab_size, width, layers, inner, T, head="none", asked=None):
    """Operations to read one text of T tokens -> {"projections", "scores", "feed-forward", "head"}.

    asked: tokens for which the head writes logits, all T unless told. A causal mask saves nothing here: the products are
    computed and then hidden (a fused kernel may skip half of "scores"). Looking up an embedding costs no product.
    """
    D = width
    dense, _, _, _, writes = head_parts(head)
    asked = 1 if head == "pooler" else T if asked is None else asked  # a pooler reads [CLS] alone
    return {
        "projections": layers * 8 * T * D * D,  # four D x D products for each token
        "scores": layers * 4 * T * T * D,  # queries times keys, and map times values: the only part with T squared
        "feed-forward": layers * 4 * T * D * inner,
        "head": 2 * asked * D * (dense * D + writes * vocab_size),
    }


def training_flops(weights, tokens):
    """The rule of 6: a forward pass costs 2 operations for each weight and token, a backward pass twice that.

    Count only weights that multiply (leave out embeddings that are looked up). Attention scores come on top; they equal
    the rest at T = 6 D (Kaplan et al. 2020).
    """
    return 6 * weights * tokens


def training_bytes(weights, weight_bytes=4, optimizer_bytes=8):
    """Memory of weights, their gradients, and the optimizer's state (Adam: two float32 for each weight); activations not."""
    return weights * (2 * weight_bytes + optimizer_bytes)
