"""Attention against torch and transformers: equal numbers, masks that hide, rows
without keys, gradients, maps.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ftlib.models import attention, hf_format, transformer

B, H, T, S, K = 3, 4, 7, 9, 8


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype
    )


def qkv(tokens=S, dtype=torch.float64):
    return (
        drawn(B, H, T, K, dtype=dtype),
        drawn(B, H, tokens, K, seed=1, dtype=dtype),
        drawn(B, H, tokens, K, seed=2, dtype=dtype),
    )


def far(a, b):
    return (a - b).abs().max().item()


MASKS = {
    "none": None,
    "causal": attention.causal_mask(T),
    "padding": attention.padding_mask(
        torch.tensor([[1] * 7, [1] * 3 + [0] * 4, [1] + [0] * 6])
    ),
    "random": torch.rand(B, H, T, T, generator=torch.Generator().manual_seed(3)) < 0.6,
}
MASKS["both"] = MASKS["causal"] & MASKS["padding"]


# ---- attend ----


@pytest.mark.parametrize(
    "dtype, within", [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
@pytest.mark.parametrize("name", MASKS)
def test_equals_sdpa(name, dtype, within):
    q, k, v = qkv(T, dtype)
    assert (
        far(
            attention.attend(q, k, v, MASKS[name]),
            F.scaled_dot_product_attention(q, k, v, MASKS[name]),
        )
        < within
    )


def test_queries_and_keys_of_different_number_and_own_scale():
    q, k, v = qkv()
    assert (
        far(
            attention.attend(q, k, v, scale=0.3),
            F.scaled_dot_product_attention(q, k, v, scale=0.3),
        )
        < 1e-12
    )
    wide = drawn(B, H, S, 5, seed=4)  # values may have another width than keys
    assert attention.attend(q, k, wide).shape == (B, H, T, 5)


def test_equals_its_own_definition():
    q, k, v = qkv()
    output, weights = attention.attend(q, k, v, return_weights=True)
    one = [(q[0, 0, 2] * k[0, 0, j]).sum() / K**0.5 for j in range(S)]
    by_hand = torch.stack(one).exp() / torch.stack(one).exp().sum()
    assert far(weights[0, 0, 2], by_hand) < 1e-12
    assert (
        far(output[0, 0, 2], sum(w * row for w, row in zip(by_hand, v[0, 0]))) < 1e-12
    )


@pytest.mark.parametrize("name", [name for name in MASKS if name != "none"])
def test_hidden_places_weigh_exactly_nothing(name):
    q, k, v = qkv(T)
    _, weights = attention.attend(q, k, v, MASKS[name], return_weights=True)
    seen = MASKS[name].expand_as(weights)
    assert (weights[~seen] == 0).all() and (weights[seen] > 0).all()
    assert far(weights.sum(-1), seen.any(-1).double()) < 1e-12


def test_rows_without_keys_are_zeros_with_a_zero_gradient():
    q, k, v = (t.requires_grad_() for t in qkv(T))
    mask = attention.causal_mask(T).clone()
    mask[3] = False
    output, weights = attention.attend(q, k, v, mask, return_weights=True)
    assert not output[:, :, 3].any() and not weights[:, :, 3].any()
    output.sum().backward()
    assert (
        all(t.grad.isfinite().all() for t in (q, k, v))
        and not q.grad[:, :, 3].any()
        and q.grad[:, :, 4].any()
    )
    # SDPA chose zeros too
    assert (
        far(output.detach(), F.scaled_dot_product_attention(q, k, v, mask).detach())
        < 1e-12
    )


@pytest.mark.parametrize("name", ["none", "causal", "both"])
def test_gradients(name):
    shapes = [(B, 1, T, 4)] * 3
    given = [drawn(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]
    mask = MASKS[name]
    assert torch.autograd.gradcheck(
        lambda q, k, v: attention.attend(q, k, v, mask), given
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_later_token_changes_no_earlier_output(dtype):
    q, k, v = qkv(T, dtype)
    before = attention.attend(q, k, v, attention.causal_mask(T))
    for t in range(T):
        changed = [x.clone() for x in (q, k, v)]
        for x in changed:
            x[:, :, t] = 5 * x[:, :, t] + 1
        after = attention.attend(*changed, attention.causal_mask(T))
        assert torch.equal(after[:, :, :t], before[:, :, :t])  # bit by bit
        assert not torch.equal(after[:, :, t], before[:, :, t])


def test_a_mask_of_numbers_is_refused():
    q, k, v = qkv(T)
    for mask in (torch.ones(T, T), torch.ones(T, T, dtype=torch.long)):
        with pytest.raises(TypeError, match="takes bool"):
            attention.attend(q, k, v, mask)


# ---- masks and heads ----


def test_masks():
    assert attention.causal_mask(3).tolist() == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
    assert attention.padding_mask(torch.tensor([[1, 0]])).shape == (1, 1, 1, 2)
    with pytest.raises(ValueError, match="has 1 dimensions"):
        attention.padding_mask(torch.tensor([1, 0]))


def test_heads_split_and_join():
    x = torch.arange(24).view(1, 3, 8)
    parts = attention.split_heads(x, 2)
    # head 1 of token 2
    assert parts.shape == (1, 2, 3, 4) and parts[0, 1, 2].tolist() == [20, 21, 22, 23]
    assert torch.equal(attention.join_heads(parts), x)
    with pytest.raises(ValueError, match="width 8 is not a multiple of heads 3"):
        attention.split_heads(x, 3)
    with pytest.raises(ValueError, match="width 8 is not a multiple of heads 3"):
        attention.MultiHeadAttention(8, 3)


# ---- the layer ----


@pytest.mark.parametrize(
    "dtype, within", [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("name", ["none", "causal", "padding"])
def test_equals_multihead_attention(name, batch_first, dtype, within):
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(16, 4, batch_first=batch_first, dtype=dtype)
    # zero biases would hide a forgotten one
    nn.init.normal_(theirs.in_proj_bias), nn.init.normal_(theirs.out_proj.bias)
    ours, x = attention.from_torch(theirs), drawn(B, T, 16, dtype=dtype)
    given = x if batch_first else x.transpose(0, 1)
    padding, causal = MASKS["padding"][:, 0, 0], MASKS["causal"]
    hidden = {
        "none": {},
        "causal": {"attn_mask": ~causal},
        "padding": {"key_padding_mask": ~padding},
    }[name]
    right, map_right = theirs(given, given, given, average_attn_weights=False, **hidden)
    right = right if batch_first else right.transpose(0, 1)
    got, map_got = ours(x, mask=MASKS[name], return_weights=True)
    assert far(got, right) < within and far(map_got, map_right) < within


def test_queries_from_one_sequence_keys_from_another():
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(16, 2, batch_first=True, dtype=torch.float64)
    x, context = drawn(B, T, 16), drawn(B, S, 16, seed=1)
    assert (
        far(attention.from_torch(theirs)(x, context), theirs(x, context, context)[0])
        < 1e-12
    )


@pytest.mark.parametrize(
    "more",
    [dict(bias=False), dict(kdim=8), dict(add_bias_kv=True), dict(add_zero_attn=True)],
)
def test_a_layer_with_other_weights_is_refused(more):
    with pytest.raises(ValueError, match="make it with bias=True"):
        attention.from_torch(nn.MultiheadAttention(16, 4, **more))


def test_without_positions_a_new_order_is_a_new_order():
    torch.manual_seed(0)
    layer, x = attention.MultiHeadAttention(16, 4).double(), drawn(B, T, 16)
    order = torch.randperm(T)
    assert far(layer(x)[:, order], layer(x[:, order])) < 1e-12


# ---- the maps of a model ----


def random_bert(folder):
    import transformers

    config = transformers.BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=20,
        attn_implementation="eager",
    )
    theirs = transformers.BertModel(config).eval()
    for p in theirs.parameters():
        # loud weights: flat maps would all look alike
        p.data = torch.randn_like(p) * 0.5
    theirs.save_pretrained(folder)
    return theirs, transformer.from_state(*hf_format.load(folder))


def test_maps_equal_those_of_transformers(tmp_path):
    torch.manual_seed(0)
    theirs, ours = random_bert(tmp_path)
    ids = torch.randint(5, 60, (3, 12))
    mask = torch.ones_like(ids)
    ids[1, 7:], mask[1, 7:] = 0, 0
    with torch.no_grad():
        right = torch.stack(theirs(ids, mask, output_attentions=True).attentions)
    got = attention.attention_maps(ours, ids, mask)
    assert (
        got.shape == (2, 3, 4, 12, 12) and right.std() > 0.05 and far(got, right) < 1e-5
    )
    # no mask is a mask of ones
    assert far(attention.attention_maps(ours, ids[:1]), right[:, :1]) < 1e-5


def test_maps_leave_the_model_as_it_was():
    torch.manual_seed(0)
    net = transformer.LanguageModel(
        transformer.Config(60, 32, 2, 4, 64, 16, causal=True, dropout=0.5)
    ).train()
    ids = torch.randint(5, 60, (2, 9))
    maps = attention.attention_maps(net, ids)
    # dropout is off while it looks
    assert torch.equal(maps, attention.attention_maps(net, ids))
    assert net.training and not any(m._forward_hooks for m in net.modules())
    assert (
        not maps[..., ~attention.causal_mask(9)].any()
        and far(maps.sum(-1), torch.ones(2, 2, 4, 9)) < 1e-5
    )
    with pytest.raises(ValueError, match="text has 20 tokens"):
        attention.attention_maps(net, torch.zeros(1, 20, dtype=torch.long))
    # also after an error
    assert net.training and not any(m._forward_hooks for m in net.modules())
    with pytest.raises(ValueError, match="no layer with `qkv`"):
        attention.attention_maps(nn.Linear(2, 2), ids)
    # one of the two names alone is another layer's
    for name in ("qkv", "heads"):
        other = nn.Linear(2, 2)
        other.register_module(name, nn.Linear(2, 2))
        with pytest.raises(ValueError, match="no layer with `qkv`"):
            attention.attention_maps(other, ids)


def test_weight_on():
    maps = drawn(2, B, H, T, T).softmax(-1)
    places = torch.zeros(B, T, T, dtype=torch.bool)
    # the token before; the first token has none
    places[:, range(1, T), range(T - 1)] = True
    by_hand = torch.stack([maps[:, :, :, i, i - 1] for i in range(1, T)]).mean(
        dim=(0, 2)
    )
    assert far(attention.attention_mass(maps, places), by_hand) < 1e-12
    assert (
        far(attention.attention_mass(maps, torch.ones_like(places)), torch.ones(2, H))
        < 1e-12
    )
    with pytest.raises(ValueError, match="marks 0 keys"):
        attention.attention_mass(maps, torch.zeros_like(places))
