"""The blocks against torch's own layers and against ftlib/models/transformer.py; what
depends on what; gradients reach every weight.
"""

import pytest
import torch
from torch import nn

from ftlib.course.checks import transformer as checks
from ftlib.models import attention, blocks, transformer

B, T, S, D, H, INNER = 3, 7, 9, 32, 4, 48


def drawn(*shape, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def encoder(theirs, pre_norm):
    """An EncoderBlock with the weights of an nn.TransformerEncoderLayer."""
    ours = blocks.EncoderBlock(
        attention.from_torch(theirs.self_attn), D, INNER, pre_norm
    ).double()
    for part, other in (
        (ours.self_attn.norm, theirs.norm1),
        (ours.mlp.norm, theirs.norm2),
        (ours.mlp.sublayer.up, theirs.linear1),
        (ours.mlp.sublayer.down, theirs.linear2),
    ):
        part.load_state_dict(other.state_dict())
    return ours


def decoder(theirs, pre_norm):
    ours = blocks.DecoderBlock(
        attention.from_torch(theirs.self_attn),
        attention.from_torch(theirs.multihead_attn),
        D,
        INNER,
        pre_norm,
    ).double()
    for part, other in (
        (ours.self_attn.norm, theirs.norm1),
        (ours.cross_attn.norm, theirs.norm2),
        (ours.mlp.norm, theirs.norm3),
        (ours.mlp.sublayer.up, theirs.linear1),
        (ours.mlp.sublayer.down, theirs.linear2),
    ):
        part.load_state_dict(other.state_dict())
    return ours


def torch_layer(kind, pre_norm, seed=0):
    torch.manual_seed(seed)
    layer = kind(
        D,
        H,
        INNER,
        0.0,
        "gelu",
        batch_first=True,
        norm_first=pre_norm,
        dtype=torch.float64,
    )
    # norms and biases of 1 and 0 would hide an exchange
    for name, p in layer.named_parameters():
        nn.init.normal_(p, 1.0 if "norm" in name and "weight" in name else 0.0, 0.3)
    return layer


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_encoder_block_equals_torch(pre_norm, causal):
    theirs, x = torch_layer(nn.TransformerEncoderLayer, pre_norm), drawn(B, T, D)
    mask = attention.causal_mask(T) if causal else None
    expected = theirs(x, src_mask=None if mask is None else ~mask)
    assert (encoder(theirs, pre_norm)(x, mask) - expected).abs().max() < 1e-12
    # the planted fault: the other form
    assert (encoder(theirs, not pre_norm)(x, mask) - expected).abs().max() > 0.1


@pytest.mark.parametrize("pre_norm", [True, False])
def test_decoder_block_equals_torch(pre_norm):
    theirs, x, memory = (
        torch_layer(nn.TransformerDecoderLayer, pre_norm),
        drawn(B, T, D),
        drawn(B, S, D, seed=1),
    )
    hidden = torch.arange(S) >= torch.tensor([[9], [5], [1]])
    expected = theirs(
        x, memory, tgt_mask=~attention.causal_mask(T), memory_key_padding_mask=hidden
    )
    ours = decoder(theirs, pre_norm)(
        x, memory, attention.causal_mask(T), attention.padding_mask(~hidden)
    )
    assert (ours - expected).abs().max() < 1e-12


@pytest.mark.parametrize("pre_norm", [True, False])
def test_encoder_block_equals_the_block_of_the_model(pre_norm):
    torch.manual_seed(0)
    theirs = transformer.Block(
        transformer.Config(10, width=D, heads=H, ffn_dim=INNER, pre_norm=pre_norm)
    ).double()
    ours = blocks.EncoderBlock(
        attention.MultiHeadAttention(D, H), D, INNER, pre_norm
    ).double()
    for part, other in (
        (ours.self_attn.norm, theirs.norm1),
        (ours.mlp.norm, theirs.norm2),
        (ours.mlp.sublayer.up, theirs.up),
        (ours.mlp.sublayer.down, theirs.down),
        (ours.self_attn.sublayer.out, theirs.attention.out),
    ):
        part.load_state_dict(other.state_dict())
    for i, part in enumerate(
        (
            ours.self_attn.sublayer.query,
            ours.self_attn.sublayer.key,
            ours.self_attn.sublayer.value,
        )
    ):
        part.weight.data[:], part.bias.data[:] = (
            theirs.attention.qkv.weight.chunk(3)[i],
            theirs.attention.qkv.bias.chunk(3)[i],
        )
    x = drawn(B, T, D)
    assert (ours(x) - theirs(x)).abs().max() < 1e-12


def test_pre_norm_keeps_the_path_and_post_norm_does_not():
    x = drawn(B, T, D)
    for pre_norm in (True, False):
        block = blocks.EncoderBlock(
            attention.MultiHeadAttention(D, H), D, INNER, pre_norm
        ).double()
        for part in (block.self_attn.sublayer.out, block.mlp.sublayer.down):
            nn.init.zeros_(part.weight), nn.init.zeros_(part.bias)
        assert torch.equal(block(x), x) == pre_norm


def test_who_does_not_choose_gets_pre_norm():
    x, memory = drawn(B, T, D), drawn(B, S, D, seed=1)
    attend = [attention.MultiHeadAttention(D, H) for _ in range(2)]
    for make, given in (
        (lambda *form: blocks.Residual(blocks.FeedForward(D, INNER), D, *form), ()),
        (lambda *form: blocks.EncoderBlock(attend[0], D, INNER, *form), ()),
        (lambda *form: blocks.DecoderBlock(*attend, D, INNER, *form), (memory,)),
    ):
        outputs = []
        for form in ((), (True,), (False,)):
            torch.manual_seed(0)
            outputs.append(make(*form).double()(x, *given))
        assert torch.equal(outputs[0], outputs[1])
        assert not torch.allclose(outputs[0], outputs[2])


def test_causal_decoder_leaks_nothing_and_reads_all_memory():
    block, x, memory = (
        decoder(torch_layer(nn.TransformerDecoderLayer, True), True),
        drawn(1, T, D),
        drawn(1, S, D, seed=1),
    )
    before = block(x, memory, attention.causal_mask(T))
    for t in range(1, T):
        changed = x.clone()
        changed[:, t] += 1
        after = block(changed, memory, attention.causal_mask(T))
        assert torch.equal(after[:, :t], before[:, :t]) and not torch.equal(
            after[:, t], before[:, t]
        )
    for s in range(S):
        changed = memory.clone()
        changed[:, s] += 1
        assert (
            (block(x, changed, attention.causal_mask(T)) - before).abs().amax(dim=-1)
            > 0
        ).all()


def test_gradients_reach_every_weight():
    block = decoder(torch_layer(nn.TransformerDecoderLayer, False), False)
    block(drawn(B, T, D), drawn(B, S, D, seed=1)).square().sum().backward()
    # a bias of the keys adds the same to all scores of a query, so its gradient is 0 up
    # to rounding
    assert [
        n
        for n, p in block.named_parameters()
        if not p.grad.abs().max() > 1e-12 and "key.bias" not in n
    ] == []


def test_gpt2_block_gives_the_hidden_states_of_transformers():
    """The mapping that exercise 7.4 asks for, against the model itself."""
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=50,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=12,
        activation_function="gelu",
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.3,
    )
    theirs = GPT2Model(config).double().eval()
    ids = torch.randint(50, (2, 9))
    with torch.no_grad():
        states = theirs(ids, output_hidden_states=True).hidden_states
        for layer, (x, y) in enumerate(zip(states, states[1:])):
            block = blocks.EncoderBlock(
                attention.MultiHeadAttention(16, 2), 16, 64
            ).double()
            block.load_state_dict(checks.gpt2_right(theirs.state_dict(), layer))
            made = block(x, attention.causal_mask(9))
            # the last state of transformers has had the last norm
            made = theirs.ln_f(made) if layer == 1 else made
            assert (made - y).abs().max() < 1e-9
