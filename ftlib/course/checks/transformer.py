"""Checks of chapter 07: counting the parameters of five models, positions of padded
rows, a decoder block, GPT-2's weights, and a broken snippet.

>>> import torch
>>> from ftlib.course.checks.transformer import check_position_ids
>>> check_position_ids(lambda attention_mask: attention_mask.cumsum(dim=-1))
hint: the first real token gets position 1; the table begins with row 0, so subtract 1

What it is not: a test of speed. Counts must be exact; vectors, and the gradients of
the decoder block, are compared in float64 within 1e-6.
Needs: torch, transformers (for the last check), ftlib.

Shapes: B batch, T tokens, S tokens of the sequence that is read, D width, H heads.
"""

import random
import types

import torch
from torch import nn

from ftlib.course.checks import correct, exercise, expect, forbid
from ftlib.course.checks.attention import expect_gradients, expect_own_code
from ftlib.models import attention, blocks

# the models that these sizes belong to; `max_tokens` is how far they were trained to
# read
CONFIGS = {
    "tiny": dict(
        vocab_size=101,
        width=24,
        layers=3,
        heads=6,
        kv_heads=2,
        ffn_dim=40,
        max_tokens=16,
        tied=False,
    ),
    "SmolLM-135M": dict(
        vocab_size=49152,
        width=576,
        layers=30,
        heads=9,
        kv_heads=3,
        ffn_dim=1536,
        max_tokens=2048,
        tied=True,
    ),
    "TinyLlama-1.1B": dict(
        vocab_size=32000,
        width=2048,
        layers=22,
        heads=32,
        kv_heads=4,
        ffn_dim=5632,
        max_tokens=2048,
        tied=False,
    ),
    "Llama-2-7B": dict(
        vocab_size=32000,
        width=4096,
        layers=32,
        heads=32,
        kv_heads=32,
        ffn_dim=11008,
        max_tokens=4096,
        tied=False,
    ),
    "Llama-3-8B": dict(
        vocab_size=128256,
        width=4096,
        layers=32,
        heads=32,
        kv_heads=8,
        ffn_dim=14336,
        max_tokens=8192,
        tied=False,
    ),
}


def llama_params(
    c,
    kv_width=None,
    biases=0,
    matrices=3,
    norm=1,
    norms=2,
    final=1,
    positions=0,
    tables=None,
    words=True,
):
    """The number of parameters of a Llama, with whatever mistake the arguments make."""
    D, K = c["width"], c["width"] // c["heads"]
    kv = c["kv_heads"] * K if kv_width is None else kv_width
    layer = D * D + 2 * D * kv + D * D + matrices * D * c["ffn_dim"] + norms * norm * D
    layer += biases * (2 * D + 2 * kv + 2 * c["ffn_dim"] + D)
    tables = 2 - c["tied"] if tables is None else tables
    return (
        c["layers"] * layer
        + final * norm * D
        + (tables * c["vocab_size"] + positions * c["max_tokens"]) * D
    )


def _mistakes(c):
    """[(wrong count, hint)] for one configuration."""
    D, K = c["width"], c["width"] // c["heads"]
    return [
        (
            llama_params(c, kv_width=D),
            "you gave keys and values as many heads as queries; they have kv_heads, "
            "each as wide as a query head: D x (kv_heads * K)",
        ),
        (
            llama_params(c, kv_width=K),
            "you gave keys and values one head; multiply its width by kv_heads",
        ),
        (
            llama_params(c, biases=1),
            "you count biases in the linear layers; models of this family have none",
        ),
        (
            llama_params(c, matrices=2),
            "you count two matrices in the feed-forward layer; a gated one has three",
        ),
        (
            llama_params(c, norm=2),
            "you count a scale and a shift in each norm; an RMS norm has a scale "
            "alone, D parameters",
        ),
        (
            llama_params(c, norms=1),
            "you count one norm in a layer; attention and feed-forward have one each",
        ),
        (
            llama_params(c, final=0),
            "the norm after the last layer is missing: D parameters",
        ),
        (
            llama_params(c, positions=1),
            "you count a table of positions; rotary positions have no parameters",
        ),
        (llama_params(c, tables=0), "the token embedding is missing: V x D"),
    ]


def drawn_configs(n=40, seed=0):
    """[config] of all kinds: tied or not, one layer, as many heads as kv_heads."""
    rng, results = random.Random(seed), []
    for _ in range(n):
        kv_heads, K = rng.randint(1, 4), rng.randint(1, 9)
        heads = kv_heads * rng.randint(1, 4)
        results.append(
            dict(
                vocab_size=rng.randint(2, 300_000),
                width=heads * K,
                layers=rng.randint(1, 9),
                heads=heads,
                kv_heads=kv_heads,
                ffn_dim=rng.randint(1, 500),
                max_tokens=rng.randint(1, 999),
                tied=rng.random() < 0.5,
            )
        )
    return results


def _expect_count(got, config, name):
    """Refuse a count that is not that of the configuration."""
    expected = llama_params(config)
    expect(
        got == expected or not config["tied"] or got != llama_params(config, tables=2),
        f"{name} is tied: its output matrix is the token embedding and counts "
        "once; add a second matrix only if tied is False",
    )
    if got == expected:
        return
    for wrong, words in _mistakes(config):
        if wrong != expected:
            expect(got != wrong, f"{name}: {words}")
    expect(
        float(got) != float(torch.tensor(expected, dtype=torch.float32)),
        f"{name} has {expected:,} parameters and you count {got:,}; the count was "
        "rounded, so use Python's integers and no float32",
    )
    expect(
        (expected - int(got)) % 2**32 != 0,
        f"{name} has {expected:,} parameters and you count {got:,}: an integer of 32 "
        "bits is too small for it, so use Python's integers",
    )
    expect(
        False,
        f"the tiny model is correct, but {name} has {expected:,} parameters and "
        f"you count {got:,}; every size must come from `config`, and `tied` alone says "
        "whether there is a second table",
    )


@exercise
def check_count_params(answer):
    """answer(config: dict) -> int, the number of parameters of a model of Llama's
    family; five configurations.
    """
    tiny = CONFIGS["tiny"]
    got, expected = answer(dict(tiny)), llama_params(tiny)
    for wrong, words in _mistakes(tiny):
        expect(got != wrong, words)
    expect(
        got != llama_params(tiny, tables=1),
        "the output matrix is missing where it is not tied: with tied=False it is a "
        "second V x D",
    )
    difference = got - expected
    expect(
        difference == 0,
        f"the tiny model has {expected:,} parameters and you count {got:,}, "
        f"{abs(difference):,} too {'many' if difference > 0 else 'few'} "
        f"({difference / tiny['layers']:,.1f} for each layer); count one module at a "
        "time",
    )
    for name, config in CONFIGS.items():
        _expect_count(answer(dict(config)), config, name)
    for config in drawn_configs():
        sizes = ", ".join(f"{key}={value}" for key, value in config.items())
        _expect_count(answer(dict(config)), config, f"the drawn model ({sizes})")
    return correct(
        f"five of five, Llama-3-8B has {llama_params(CONFIGS['Llama-3-8B']):,} "
        "parameters"
    )


POSITIONS = "positions.position_ids", "positions.sinusoidal", "positions.rotary_tables"


def _expect_positions(answer):
    """Compare on drawn masks: other sizes, padding on either side or both, one token,
    none.
    """
    rng = random.Random(0)
    for _ in range(60):
        B, T = rng.randint(1, 5), rng.randint(1, 9)
        rows = []
        for _ in range(B):
            n = rng.randint(0, T)
            left = rng.choice((0, T - n, rng.randint(0, T - n)))
            rows.append([0] * left + [1] * n + [0] * (T - n - left))
        mask = torch.tensor(rows)
        got = answer(mask.clone())
        expect(
            tuple(got.shape) == (B, T),
            f"the mask {rows} gives the shape {tuple(got.shape)}, expected {(B, T)}",
        )
        wanted, real = mask.cumsum(-1) - 1, mask.bool()
        expect(
            torch.equal(got[real].long(), wanted[real]),
            f"the mask {rows} gives {got.tolist()}; in each row the first real token "
            "takes row 0, wherever it stands, the next one row 1",
        )
        expect(
            int(got.min()) >= 0 and int(got.max()) < T,
            f"the mask {rows} gives {got.tolist()}; padding takes a row too, and a "
            f"table for {T} tokens has the rows 0 to {T - 1}",
        )


@exercise
def check_position_ids(answer):
    """answer(attention_mask (B, T) of 0/1) -> integer (B, T): the position of each
    real token in its own text.
    """
    mask = torch.tensor(
        [[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]]
    )
    T, real, instead = 6, mask.bool(), "count the real tokens yourself"
    names = {name.split(".")[-1] for name in POSITIONS}
    expect_own_code(answer, names, instead)
    with forbid(*(f"ftlib.models.{name}" for name in POSITIONS), instead=instead):
        got = answer(mask.clone())
    expect(
        tuple(got.shape) == (4, T),
        f"the shape is {tuple(got.shape)}; every token of every row has a position, "
        "so return (B, T) = (4, 6)",
    )
    expect(
        not got.is_floating_point() and got.dtype != torch.bool,
        f"the positions have dtype {got.dtype}; an embedding is indexed with integers",
    )
    expect(
        not bool((got[real] == 0).all()),
        "all positions are 0, so every token gets the same row of the table; count "
        "the tokens",
    )
    expect(
        not torch.equal(got, torch.arange(T).expand(4, T)),
        "padding on the left counts as text: the first token of the second row gets "
        "position 2; count real tokens only",
    )
    expect(
        not torch.equal(got, torch.arange(T) * mask),
        "padding has position 0 now, but the first token of the second row still has "
        "position 2; count real tokens only",
    )
    expect(
        not torch.equal(got[real], mask.cumsum(0)[real])
        and not torch.equal(got[real], mask.cumsum(0)[real] - 1),
        "you count down the batch; the tokens of a text are along the last axis",
    )
    count = mask.cumsum(-1)
    length = mask.sum(-1, keepdim=True)
    expect(
        not torch.equal(got[:2], (torch.arange(T) - (T - length)).clamp(min=0)[:2])
        or not bool((got[2, :3] == 0).all()),
        "you take every row as padded on the left; in the third row padding stands on "
        "the right, and its first token takes row 0",
    )
    expect(
        not torch.equal(got[real], mask.flip(-1).cumsum(-1).flip(-1)[real] - 1),
        "you count from the right end; the first real token of a text has position 0",
    )
    shift = (got - (count - 1))[real]
    expect(
        not bool((shift == 1).all()),
        "the first real token gets position 1; the table begins with row 0, so "
        "subtract 1",
    )
    expect(
        not (shift[0] > 0 and bool((shift == shift[0]).all())),
        f"the first real token gets position {int(got[0, 0])}, as in a RoBERTa with "
        f"padding id {int(got[0, 0]) - 1}; this table begins with row 0",
    )
    expect(
        torch.equal(got[real], (count - 1)[real]),
        f"the positions are {got.tolist()}; count the real tokens of each row from 0",
    )
    expect(
        int(got.min()) >= 0,
        "padding gets position -1, which is not a row of the table: nn.Embedding "
        "raises, and table[-1] silently takes the last row",
    )
    expect(
        int(got.max()) < T,
        f"padding gets position {int(got.max())}, and a table for {T} tokens has no "
        "such row",
    )
    _expect_positions(answer)
    return correct("a text has the same positions wherever its padding is")


def _drawn(*shape, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def _near(got, other):
    return got.shape == other.shape and bool(
        torch.allclose(got.double(), other, rtol=0, atol=1e-6)
    )


def decoder_parts(D=12, heads=3, ffn_dim=20):
    """Three norms with scales and shifts of their own, two attention
    layers and a feed-forward layer, in float64.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        norms = [nn.LayerNorm(D).double() for _ in range(3)]
        for norm in norms:
            nn.init.normal_(norm.weight, 1, 0.3), nn.init.normal_(norm.bias, 0, 0.3)
        self_attn, cross_attn = (
            attention.MultiHeadAttention(D, heads).double() for _ in range(2)
        )
        return norms, self_attn, cross_attn, blocks.FeedForward(D, ffn_dim).double()


def _pre_norm(x, memory, mask, norms, self_attn, cross_attn, mlp):
    """The block as the task asks for it."""
    x = x + self_attn(norms[0](x), mask=mask)
    x = x + cross_attn(norms[1](x), context=memory)
    return x + mlp(norms[2](x))


@torch.no_grad()
def _expect_other_inputs(answer):
    """Compare with other masks and sizes, and where memory is as long as x."""
    parts = decoder_parts()
    for B, T, S, window, advice in (
        (1, 6, 6, 2, "pass on the mask that is given"),
        (3, 4, 1, 9, "pass on the mask that is given, also where it is causal"),
        (2, 1, 3, 1, "sizes come from x and memory"),
    ):
        x, memory = _drawn(B, T, 12, seed=3), _drawn(B, S, 12, seed=4)
        mask = attention.causal_mask(T).triu(1 - window)
        got = answer(x.clone(), memory.clone(), mask.clone(), *parts)
        expect(
            _near(got, _pre_norm(x, memory, mask, *parts)),
            f"for {B} texts of {T} tokens, {S} tokens of memory and a mask of "
            f"{int(mask.sum())} ones the outputs differ from the expected ones; "
            f"{advice}, to self_attn alone",
        )


def _expect_norms(got, block, norms):
    """Refuse one norm for all, norms made anew, and norms exchanged."""
    expect(
        not any(_near(got, block(n=[n] * 3)) for n in norms),
        "all three sub-layers share one norm; each has its own: norms[0] to norms[2]",
    )
    plain = [lambda y: nn.functional.layer_norm(y, y.shape[-1:])] * 3
    expect(
        not _near(got, block(n=plain)),
        "the norms are made anew, without their scales and shifts; call the three "
        "norms that are given",
    )
    for order in ((0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)):
        expect(
            not _near(got, block(n=[norms[i] for i in order])),
            "a norm stands before another sub-layer than its own; norms[0] is for "
            "self-attention, norms[1] for cross-attention, norms[2] for mlp",
        )


@exercise
def check_pre_norm_decoder(answer):
    """answer(x (B, T, D), memory (B, S, D), mask (T, T), norms, self_attn, cross_attn,
    mlp) -> (B, T, D).
    """
    x = _drawn(2, 5, 12)
    memory = 2 * _drawn(2, 7, 12, seed=1) + 1
    mask = attention.causal_mask(5)
    norms, self_attn, cross_attn, mlp = decoder_parts()

    def block(
        n=norms,
        mask=mask,
        memory=memory,
        normed_path=False,
        residual=1,
        order="arf",
        start=False,
    ):
        y = x
        for name in order:
            i = "arf".index(name)
            z = n[i](y)
            made = {
                "a": lambda: self_attn(z, mask=mask),
                "r": lambda: cross_attn(z, context=memory),
                "f": lambda: mlp(z),
            }[name]()
            y = made + residual * (x if start else z if normed_path else y)
        return y

    instead = "write the three sub-layers out"
    classes = {"DecoderBlock", "EncoderBlock", "Residual"}
    expect_own_code(answer, classes, instead)
    with torch.no_grad():
        paths = (f"ftlib.models.blocks.{name}" for name in sorted(classes))
        with forbid(*paths, instead=instead):
            got = answer(
                x.clone(), memory.clone(), mask, norms, self_attn, cross_attn, mlp
            )
        expected = block()
        expect(
            tuple(got.shape) != (2, 7, 12),
            "the result has the length of memory; queries come from x, keys and "
            "values from memory",
        )
        expect(
            tuple(got.shape) == (2, 5, 12),
            f"the shape is {tuple(got.shape)}, expected that of x: (2, 5, 12)",
        )
        after = norms[2](
            (
                h := norms[1](
                    (g := norms[0](x + self_attn(x, mask=mask)))
                    + cross_attn(g, context=memory)
                )
            )
            + mlp(h)
        )
        expect(
            not _near(got, after),
            "the norms come after the sums; pre-norm applies each one before its "
            "sub-layer and leaves the sum alone",
        )
        expect(
            not _near(got, block(residual=0)),
            "there is no residual connection; add the output of each sub-layer to "
            "the x from before its norm",
        )
        expect(
            not _near(got, block(normed_path=True)),
            "the residual carries the normalized vectors; normalize the input of the "
            "sub-layer, and add its output to the x from before the norm",
        )
        expect(
            not _near(got, block(start=True)),
            "every sub-layer adds to the first x, so the sums before it are lost; "
            "continue from the last sum",
        )
        expect(
            not _near(got, block(mask=None)),
            "the mask is not used: each token sees later ones; pass it to self_attn",
        )
        expect(
            not _near(got, block(memory=None)),
            "cross-attention attends to x itself; its keys and values come from "
            "memory: context=memory",
        )
        expect(
            not any(_near(got, block(memory=n(memory))) for n in norms),
            "memory went through a norm; the encoder has already ended with one, so "
            "pass it to cross_attn as it is",
        )
        expect(
            not _near(got, block(order="afr")),
            "feed-forward comes before cross-attention; it is the last of the three "
            "sub-layers",
        )
        expect(
            not _near(got, block(order="raf")),
            "cross-attention comes before self-attention; it is the second of the "
            "three sub-layers",
        )
        expect(
            not _near(got, block(order="af")),
            "memory is never used; the second sub-layer is cross_attn(..., "
            "context=memory)",
        )
        _expect_norms(got, block, norms)
        expect(
            not _near(got, norms[2](expected)),
            "one norm too many; the norm after the last block belongs to the model, "
            "not to the block",
        )
        expect(
            _near(got, expected),
            "the outputs differ from the expected ones by "
            f"{(got - expected).abs().max():.2g}; write one line for each sub-layer",
        )
    _expect_other_inputs(answer)
    parts = (norms, self_attn, cross_attn, mlp)
    expect_gradients(
        lambda x, memory: answer(x, memory, mask, *parts),
        lambda x, memory: _pre_norm(x, memory, mask, *parts),
        dict(x=x, memory=memory),
    )
    return correct(
        "three sub-layers, each after its own norm, and a path from input to output "
        "without a norm"
    )


PLACES = {
    "self_attn.norm": "ln_1",
    "self_attn.sublayer.out": "attn.c_proj",
    "mlp.norm": "ln_2",
    "mlp.sublayer.up": "mlp.c_fc",
    "mlp.sublayer.down": "mlp.c_proj",
}


def gpt2_state(D=8, layers=2, seed=0):
    """Random tensors under the names and in the shapes of GPT2Model's blocks: a linear
    weight is (inputs, outputs).
    """
    shapes = {
        "ln_1": (D,),
        "ln_2": (D,),
        "attn.c_attn": (D, 3 * D),
        "attn.c_proj": (D, D),
        "mlp.c_fc": (D, 4 * D),
        "mlp.c_proj": (4 * D, D),
    }
    state = {}
    for layer in range(layers):
        for n, (name, shape) in enumerate(shapes.items()):
            state[f"h.{layer}.{name}.weight"] = _drawn(
                *shape, seed=seed + 20 * layer + 2 * n
            )
            state[f"h.{layer}.{name}.bias"] = _drawn(
                shape[-1], seed=seed + 20 * layer + 2 * n + 1
            )
    return state


def gpt2_right(state, layer):
    """What an EncoderBlock with MultiHeadAttention needs of block `layer` -> {our name:
    tensor}.
    """
    made = {
        f"{ours}.{kind}": state[f"h.{layer}.{theirs}.{kind}"].T
        if kind == "weight" and "norm" not in ours
        else state[f"h.{layer}.{theirs}.{kind}"]
        for ours, theirs in PLACES.items()
        for kind in ("weight", "bias")
    }
    for kind in ("weight", "bias"):
        for name, part in zip(
            ("query", "key", "value"),
            state[f"h.{layer}.attn.c_attn.{kind}"].chunk(3, dim=-1),
        ):
            made[f"self_attn.sublayer.{name}.{kind}"] = (
                part.T if kind == "weight" else part
            )
    return made


def _expect_other_blocks(answer):
    """Compare on a model of 13 layers and another width, with its tensors in any order,
    in float32.
    """
    state = gpt2_state(D=6, layers=13, seed=1000)
    names = sorted(state)
    random.Random(0).shuffle(names)
    state = {name: state[name].float() for name in names}
    for layer in (12, 1, 0, 10):
        got, expected = answer(dict(state), layer), gpt2_right(state, layer)
        expect(
            got.keys() == expected.keys(),
            f"of a model of 13 layers, layer {layer} gives {len(got)} names, expected "
            f"{len(expected)}; h.1 is not h.10 or h.12, so mind the dot behind it",
        )
        for name, tensor in expected.items():
            expect(
                got[name].dtype == tensor.dtype,
                f"{name} has dtype {got[name].dtype}, expected {tensor.dtype}, that of "
                "the file",
            )
            expect(
                torch.equal(got[name], tensor),
                f"{name} of layer {layer} is wrong in a model of 13 layers of width 6 "
                "whose tensors come in another order; go by the names and by the "
                "shapes of the tensors",
            )


@exercise
def check_gpt2_block(answer):
    """answer(state: {GPT-2's name: tensor}, layer) -> {name in EncoderBlock:
    tensor}.
    """
    state = gpt2_state()
    got = answer(dict(state), 1)
    expected = gpt2_right(state, 1)
    other = gpt2_right(state, 0)
    expect(
        isinstance(got, dict),
        f"the result is a {type(got).__name__}; return a dict from our names to "
        "tensors",
    )
    missing = sorted(expected.keys() - got.keys())
    extra = sorted(got.keys() - expected.keys())
    expect(
        not missing or not all(name.endswith("bias") for name in missing),
        "the biases are missing, all or some: " + ", ".join(missing[:3]),
    )
    expect(
        not missing,
        f"the name {missing[0] if missing else ''} is missing"
        + (f", and {extra[0]} is none of the block's names" if extra else "")
        + "; print block.state_dict().keys()",
    )
    expect(
        not extra,
        f"{extra[0] if extra else ''} is none of the block's names; "
        "load_state_dict would refuse it",
    )
    same = {
        name: got[name].shape == expected[name].shape
        and torch.equal(got[name], expected[name])
        for name in expected
    }
    expect(
        not all(
            torch.equal(got[n], other[n])
            for n in expected
            if got[n].shape == other[n].shape
        )
        or all(same.values()),
        "this is block 0 whatever `layer` says; put the number of the layer into the "
        "names",
    )
    for a, b in (("query", "key"), ("query", "value"), ("key", "value")):
        swapped = f"self_attn.sublayer.{a}.bias"
        expect(
            same[swapped]
            or not torch.equal(got[swapped], expected[f"self_attn.sublayer.{b}.bias"]),
            f"{a} holds what is {b}'s; GPT-2's c_attn holds query, key and value in "
            "this order",
        )
    K = 4  # two heads
    woven = state["h.1.attn.c_attn.bias"].view(2, 3, K)[:, 0].flatten()
    expect(
        not torch.equal(got["self_attn.sublayer.query.bias"], woven),
        "the split goes head by head, as in GPT-NeoX; GPT-2 keeps all queries "
        "first, then all keys, then all values",
    )
    expect(
        same["self_attn.norm.weight"]
        or not torch.equal(got["self_attn.norm.weight"], expected["mlp.norm.weight"]),
        "the two norms are exchanged: ln_1 comes before attention, ln_2 before "
        "feed-forward; their shapes are the same, so no error tells you",
    )
    square = [
        n
        for n in expected
        if n.endswith("weight")
        and expected[n].ndim == 2
        and got[n].shape == expected[n].shape
        and torch.equal(got[n], expected[n].T)
        and not same[n]
    ]
    flipped = [
        n
        for n in expected
        if n.endswith("weight")
        and expected[n].ndim == 2
        and got[n].shape == expected[n].T.shape != expected[n].shape
    ]
    expect(
        not (flipped and square),
        "nothing is transposed: GPT-2 keeps a linear weight as (inputs, outputs), "
        "nn.Linear as (outputs, inputs)",
    )
    expect(
        not square,
        f"{square[0] if square else ''} is not transposed, and as it is square no "
        "error tells you; the outputs would be wrong",
    )
    expect(
        not flipped,
        f"{flipped[0] if flipped else ''} is not transposed; its shape should be "
        f"{tuple(expected[flipped[0]].shape) if flipped else ''}",
    )
    wrong = [name for name in expected if not same[name]]
    expect(
        not wrong,
        f"{wrong[0] if wrong else ''} has the shape "
        f"{tuple(got[wrong[0]].shape) if wrong else ''} or numbers of another tensor; "
        "split c_attn along its last axis, and compare one name at a time",
    )
    _expect_other_blocks(answer)
    return correct(
        f"{len(expected)} tensors, each under its name and correctly transposed"
    )


def tiny_bert():
    """A BertModel of transformers with random weights, large enough positions to be
    noticed, in float64.
    """
    from transformers import BertConfig, BertModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(
            BertConfig(
                vocab_size=60,
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=12,
                initializer_range=0.3,
            )
        )
    return model.double().eval()


def _expect_other_texts(answer, model):
    """Compare where the mask is not what the ids say, on either side, for one text."""
    g = torch.Generator().manual_seed(0)
    for mask, advice in (
        ([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], "go by attention_mask"),
        ([[0, 0, 1, 1, 1], [0, 1, 1, 1, 1]], "padding may stand on the left"),
        ([[1, 1, 1]], "one text gives (1, D)"),
    ):
        mask = torch.tensor(mask)
        # id 0 stands for a token here, and what is masked is not 0
        ids = torch.randint(1, 60, mask.shape, generator=g)
        ids[:, -1][mask[:, -1] == 1] = 0
        hidden = model(ids, attention_mask=mask).last_hidden_state
        expected = torch.stack([h[m.bool()].mean(0) for h, m in zip(hidden, mask)])
        got = answer(model, ids.clone(), mask.clone())
        expect(
            _near(got, expected),
            f"for the mask {mask.tolist()} the vectors are wrong; {advice}",
        )


@exercise
def check_repaired_vectors(answer):
    """Clinic. answer(model: BertModel, input_ids (B, T), attention_mask (B, T)) -> (B,
    D), means over the real tokens.
    """
    model = tiny_bert()
    ids = torch.tensor([[2, 11, 12, 13, 14, 3], [2, 21, 22, 3, 0, 0]])
    mask, words = (ids != 0).long(), model.embeddings.word_embeddings
    with torch.no_grad():
        got = answer(model, ids.clone(), mask.clone())
        if isinstance(got, torch.Tensor) and tuple(got.shape) == (2, 6, 16):
            expect(
                False,
                "these are the vectors of all tokens, (B, T, D); take their "
                "mean over the real tokens",
            )
        expect(
            tuple(got.shape) == (2, 16),
            f"the shape is {tuple(got.shape)}, expected one vector for each text: (B, "
            "D) = (2, 16)",
        )

        def mean(hidden, weights=mask):
            return (hidden * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)

        inside = types.SimpleNamespace(
            **{
                "both": model(ids, attention_mask=mask).last_hidden_state,
                "blind": model(ids).last_hidden_state,
                "bare": model.encoder(words(ids)).last_hidden_state,
                "normed": model.encoder(
                    model.embeddings.LayerNorm(words(ids))
                ).last_hidden_state,
                "bare_hidden": model.encoder(
                    words(ids), attention_mask=_additive(mask)
                ).last_hidden_state,
                "twice": model(
                    inputs_embeds=model.embeddings(ids), attention_mask=mask
                ).last_hidden_state,
            }
        )
        everything = torch.ones_like(mask)
        for hidden in (inside.bare, inside.normed, inside.bare_hidden):
            for weights, more in (
                (everything, "; padding still counts too"),
                (mask, ""),
            ):
                expect(
                    not _near(got, mean(hidden, weights)),
                    "the position embeddings are missing: with word_embeddings alone "
                    "a shuffled text looks the same; model.embeddings(input_ids) or "
                    f"the whole model adds them{more}",
                )
        expect(
            not _near(got, mean(inside.twice)),
            "position embeddings are added twice: inputs_embeds takes word "
            "embeddings, and the model adds positions itself",
        )
        expect(
            not _near(got, mean(inside.blind, everything)),
            "padding counts twice: tokens attend to it, and the mean includes it",
        )
        expect(
            not _near(got, mean(inside.both, everything)),
            "the mean still counts the vectors of padding; weight them with "
            "attention_mask",
        )
        expect(
            not _near(got, mean(inside.blind)),
            "the mean is correct, but tokens attend to padding; pass attention_mask "
            "to the model",
        )
        expect(
            not _near(got, (inside.both * mask[..., None]).sum(1) / 6),
            "the sum leaves padding out but is divided by T; divide by the number of "
            "real tokens",
        )
        expect(
            not _near(got, (inside.both * mask[..., None]).sum(1)),
            "this is the sum over the real tokens; divide it by their number",
        )
        expect(
            not _near(got, inside.both[:, 0]),
            "this is the vector of [CLS]; return the mean over all real tokens",
        )
        expect(
            not _near(got, model(ids, attention_mask=mask).pooler_output),
            "this is pooler_output, a layer on [CLS] trained for another task; take "
            "the mean of last_hidden_state",
        )
        frame = mask.clone()
        frame[:, 0] = frame[[0, 1], mask.sum(1) - 1] = 0
        expect(
            not _near(got, mean(inside.both, frame)),
            "the mean leaves [CLS] and [SEP] out; they are real tokens too",
        )
        expected = mean(inside.both)
        expect(
            not _near(got, nn.functional.normalize(expected, dim=-1)),
            "the vectors are divided by their length; return the plain mean",
        )
        hidden = model(ids, attention_mask=mask, output_hidden_states=True)
        for i, states in enumerate(hidden.hidden_states[:-1]):
            expect(
                not _near(got, mean(states)),
                f"these are means of hidden_states[{i}]; return those of the last "
                "hidden states",
            )
        expect(
            _near(got, expected),
            "the vectors differ from the expected ones by "
            f"{(got - expected).abs().max():.2g}; repair one fault at a time",
        )
        _expect_other_texts(answer, model)
    return correct(
        "hidden states instead of logits, position embeddings in, padding out"
    )


def _additive(mask):
    """(B, T) of 0/1 -> (B, 1, 1, T) to add to the scores."""
    return torch.where(mask.bool(), 0.0, -1e9).double()[:, None, None, :]
