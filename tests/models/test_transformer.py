"""The transformer and its parts against torch's: equal numbers for equal weights."""

import pytest
import torch
from torch import nn

from ftlib.models import hf_format, positions, transformer

SIZES = dict(vocab_size=60, width=32, layers=2, heads=4, ffn_dim=64, max_tokens=16)


def loud(net):
    """Weights so large that every part of the model shows in the logits: at 0.02 a
    forgotten bias hides in the noise.
    """
    generator = torch.Generator().manual_seed(1)
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=generator) * 0.3
    return net.eval()


def padded(pad_id=0):
    """(ids, attention mask) of three rows, the second one padded."""
    ids = torch.randint(5, 60, (3, 12), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    ids[1, 7:], mask[1, 7:] = pad_id, 0
    return ids, mask


def far(a, b, mask=None):
    """The largest distance between a and b at real tokens."""
    a, b = (a, b) if mask is None else (a[mask.bool()], b[mask.bool()])
    return (a - b).abs().max().item()


@pytest.mark.parametrize(
    "kind",
    [{}, {"pre_norm": False}, {"causal": True}, {"nsp_head": True, "segments": 2}],
    ids=str,
)
def test_where_is_the_selected_full_logits(kind):
    """The last block works at the asked places only; logits and gradients are those of
    the whole model.
    """
    net = loud(transformer.LanguageModel(transformer.Config(**SIZES | kind)))
    ids, mask = padded()
    where = torch.rand(ids.shape, generator=torch.Generator().manual_seed(3)) < 0.3
    full = net(ids, mask).logits
    assert (
        far(net(ids, mask, target_mask=where).logits, full[where])
        < 1e-5 * full.abs().max()
    )
    assert net(ids, mask, target_mask=torch.zeros_like(where)).logits.shape == (0, 60)
    whole, asked = (
        torch.autograd.grad(
            x.logsumexp(-1).sum(), list(net.parameters()), allow_unused=True
        )
        for x in (full[where], net(ids, mask, target_mask=where).logits)
    )
    assert all(
        a is b is None or far(a, b) < 1e-5 * b.abs().max().clamp(min=1)
        for a, b in zip(asked, whole)
    )


def test_where_through_two_processes(two_processes):
    """DDP sees only forward(): had `where` been another method, the gradients would not
    travel.
    """

    def work(rank):
        torch.set_num_threads(1)
        net = transformer.LanguageModel(transformer.Config(**SIZES))
        ids = torch.randint(
            5, 60, (2, 2, 12), generator=torch.Generator().manual_seed(5)
        )
        where = torch.rand(ids.shape, generator=torch.Generator().manual_seed(6)) < 0.4

        def loss(net, rows):
            return nn.functional.cross_entropy(
                net(ids[rows], target_mask=where[rows]).logits,
                ids[rows][where[rows]],
                reduction="sum",
            )

        whole = torch.autograd.grad(loss(net, 0) + loss(net, 1), list(net.parameters()))
        # must outlive the backward: its hooks send the gradients
        wrapped = nn.parallel.DistributedDataParallel(net)
        loss(wrapped, rank).backward()
        return all(far(2 * p.grad, g) < 1e-4 for p, g in zip(net.parameters(), whole))

    assert two_processes(work) == [0, 0]
    assert two_processes(lambda rank: False) == [2, 2]


@pytest.mark.parametrize("pad", [False, True])
def test_causal_model_does_not_see_the_future(pad, counted):
    ids, mask = padded()
    mask = mask if pad else None
    for causal in (True, False):
        net = loud(
            transformer.LanguageModel(transformer.Config(**SIZES, causal=causal))
        )
        before = net(ids, mask).logits
        for t in (1, 4, 11):
            changed = ids.clone()
            changed[:, t] = 5 + (changed[:, t] - 4) % 55
            after = net(changed, mask).logits
            same = torch.equal(before[:, :t], after[:, :t])
            # control: a bidirectional model sees it
            assert same if causal else not same
            assert not torch.equal(before[:, t:], after[:, t:])
    counted("fault")


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torchs(masked):
    net = transformer.Attention(transformer.Config(**SIZES)).eval()
    reference = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    reference.load_state_dict(
        {
            "in_proj_weight": net.qkv.weight,
            "in_proj_bias": net.qkv.bias + 0.1,
            "out_proj.weight": net.out.weight,
            "out_proj.bias": net.out.bias + 0.2,
        }
    )
    net.qkv.bias.data += 0.1
    net.out.bias.data += 0.2
    x, (_, mask) = torch.randn(3, 12, 32), padded()
    hidden = mask == 0 if masked else None
    wanted, _ = reference(x, x, x, key_padding_mask=hidden)
    assert (
        far(net(x, mask[:, None, None, :].bool() if masked else None), wanted, mask)
        < 1e-5
    )


@pytest.mark.parametrize("causal", [False, True])
def test_attention_written_out_for_bfloat16_equals_the_fused_one(causal, counted):
    q, k, v = (
        torch.randn(3, 2, 4, 9, 8, generator=torch.Generator().manual_seed(3))
        .requires_grad_()
        .unbind()
    )
    # (B, 1, 1, T): the second row is padded
    shown = torch.arange(9) < torch.tensor([9, 5])[:, None, None, None]
    for mask in (
        None,
        shown & torch.ones(9, 9, dtype=torch.bool).tril() if causal else shown,
    ):
        ours = transformer._attention(
            q, k, v, mask, 0.0, is_causal=causal and mask is None
        )
        theirs = nn.functional.scaled_dot_product_attention(
            q, k, v, mask, is_causal=causal and mask is None
        )
        weight = torch.randn(ours.shape, generator=torch.Generator().manual_seed(4))
        slopes = [
            torch.autograd.grad((y * weight).sum(), (q, k, v)) for y in (ours, theirs)
        ]
        assert (
            far(ours, theirs) < 1e-6 and max(far(a, b) for a, b in zip(*slopes)) < 1e-5
        )
    # the control
    assert (
        far(
            transformer._attention(q, k, v, None, 0.0, False),
            transformer._attention(q, k, v, shown, 0.0, False),
        )
        > 0.01
    )
    net = transformer.LanguageModel(
        transformer.Config(60, 32, 2, 4, 64, 16, causal=causal)
    ).eval()
    ids, mask = padded()
    exact = net(ids, mask).logits
    with torch.autocast("cpu", torch.bfloat16):
        trained = net(ids, mask).logits.float()
        with torch.no_grad():  # the fused forward
            read = net(ids, mask).logits.float()
    for logits in (trained, read):
        assert far(logits, exact) < 0.02 * exact.abs().max()


@pytest.mark.parametrize("grad", [True, False])
def test_attention_is_written_out_where_a_backward_follows(grad, monkeypatch, counted):
    """On a CPU with bfloat16: the fused kernel's forward is faster, its backward is
    slower (short rows).
    """
    calls, written_out = [], transformer._attention

    def spy(*args, **how):
        calls.append(1)
        return written_out(*args, **how)

    monkeypatch.setattr(transformer, "_attention", spy)
    config = transformer.Config(60, 32, 2, 4, 64, 16)
    net = transformer.LanguageModel(config)
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16):
        net(*padded())
    assert len(calls) == (config.layers if grad else 0)


FROM = torch.arange(9) >= torch.tensor([0, 4, 8])[:, None, None, None]
HIDDEN = {  # masks with queries that may look nowhere
    "left": FROM & torch.ones(9, 9, dtype=torch.bool).tril(),
    "nothing": torch.tensor([True, False, True])[:, None, None, None].expand(
        3, 1, 1, 9
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", HIDDEN)
def test_a_query_without_keys_gets_zeros_as_from_sdpa(name, dtype, counted):
    """NaN there would reach every row: 0 times NaN is NaN in the next layer."""
    mask, slopes, outputs = HIDDEN[name], [], []
    exact = torch.randn(3, 3, 2, 9, 8, generator=torch.Generator().manual_seed(3))
    weight = torch.randn(3, 2, 9, 8, generator=torch.Generator().manual_seed(4))
    for attend, kind in (
        (transformer._attention, dtype),
        (nn.functional.scaled_dot_product_attention, dtype),
        (nn.functional.scaled_dot_product_attention, torch.float64),
    ):
        q, k, v = exact.to(kind).requires_grad_().unbind()
        with torch.autograd.detect_anomaly(check_nan=True):
            y = attend(q, k, v, mask, 0.0, is_causal=False)
            grads = torch.autograd.grad((y * weight.to(kind)).sum(), (q, k, v))
        outputs.append(y.double())
        slopes.append([grad.double() for grad in grads])
    nowhere = ~mask.any(-1).expand(3, 2, 9)
    assert nowhere.any() and (outputs[0][nowhere] == 0).all()
    assert (slopes[0][0][nowhere] == 0).all()
    within = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 0.05}[dtype]
    for reference in (1, 2):
        close = max(1e-5, within) if reference == 2 else within
        assert far(outputs[0], outputs[reference]) < close
        assert all(far(a, b) < close for a, b in zip(slopes[0], slopes[reference]))
    # the control: what was written here before
    scores = (q @ k.transpose(-1, -2)).masked_fill(~mask, -torch.inf)
    assert (scores.softmax(-1) @ v).isnan().any()
    counted("fault")


def left(ids, lengths, pad_id=0):
    """(ids, mask) of rows that end together: row i keeps its last lengths[i] ids."""
    mask = (torch.arange(ids.shape[1]) >= ids.shape[1] - lengths[:, None]).long()
    return ids.masked_fill(mask == 0, pad_id), mask


LENGTHS = torch.tensor([12, 5, 1])


@pytest.mark.parametrize("kind", [{}, {"causal": True}, {"pre_norm": False}], ids=str)
@pytest.mark.parametrize("how", ["float32", "autocast", "bfloat16"])
def test_training_on_rows_padded_left_stays_finite(how, kind):
    """In bfloat16 on a CPU it was NaN at the first step, in every weight."""
    torch.manual_seed(0)
    net = transformer.LanguageModel(transformer.Config(**SIZES | kind))
    net = net.bfloat16() if how == "bfloat16" else net
    ids, mask = left(padded()[0], LENGTHS)
    mask[2] = 0  # a row of padding alone, to fill up a batch
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
            logits = net(ids, mask).logits
        loss = nn.functional.cross_entropy(logits.float()[mask > 0], ids[mask > 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        assert logits.isfinite().all()
    assert all(p.isfinite().all() for p in net.parameters())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("how", ["float32", "autocast", "bfloat16"])
def test_a_causal_row_padded_left_is_read_as_without_its_padding(how, counted):
    net = loud(transformer.LanguageModel(transformer.Config(**SIZES, causal=True)))
    net = net.bfloat16() if how == "bfloat16" else net
    full = padded()[0]
    ids, mask = left(full, LENGTHS)
    where = positions.position_ids(mask)
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        got = net(ids, mask, position_ids=where).logits.float()
        columns = net(ids, mask).logits.float()
        for row, n in enumerate(LENGTHS.tolist()):
            alone = net(full[row : row + 1, 12 - n :]).logits.float()
            near = (1e-5 if how == "float32" else 0.05) * alone.abs().max().item()
            assert far(got[row, 12 - n :], alone[0]) < near
            # the control: counting columns, another text for all but the full row
            assert n == 12 or far(columns[row, 12 - n :], alone[0]) > near
    counted("fault", 2)


def test_positions_are_counted_as_in_transformers(tmp_path):
    """By columns unless told, whatever the mask: generate() of transformers, too, tells
    its model where the tokens of a padded row stand.
    """
    from transformers import AutoModelForCausalLM

    net = loud(transformer.LanguageModel(transformer.Config(**SIZES, causal=True)))
    hf_format.save(net, tmp_path, half=False)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids, mask = left(padded()[0], LENGTHS)
    where = positions.position_ids(mask)
    for more in ({}, {"position_ids": where}):
        wanted = theirs(ids, attention_mask=mask, **more).logits
        near = 1e-5 * wanted.abs().max()
        assert far(net(ids, mask, **more).logits, wanted, mask) < near
        some = net(ids, mask, target_mask=mask > 0, **more).logits
        assert far(some, wanted[mask > 0]) < near
    for bad in (where + 16, where - 1):
        with pytest.raises(ValueError, match="the model has 0 to 15; count from 0"):
            net(ids, mask, position_ids=bad)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_block_equals_torchs_encoder_layer(pre_norm):
    net = loud(transformer.Block(transformer.Config(**SIZES, pre_norm=pre_norm)))
    reference = nn.TransformerEncoderLayer(
        32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=pre_norm
    ).eval()
    names = {
        "self_attn.in_proj_": "attention.qkv.",
        "self_attn.out_proj.": "attention.out.",
        "linear1.": "up.",
        "linear2.": "down.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    ours = net.state_dict()
    reference.load_state_dict(
        {
            their + kind: ours[our + kind]
            for their, our in names.items()
            for kind in ("weight", "bias")
        }
    )
    x = torch.randn(3, 12, 32)
    wanted = reference(x)
    assert far(net(x), wanted) < 1e-5 * wanted.abs().max()


def test_dropout_only_while_training():
    net = transformer.LanguageModel(transformer.Config(**SIZES, dropout=0.5))
    ids, _ = padded()
    assert not torch.equal(net.train()(ids).logits, net(ids).logits)
    assert torch.equal(net.eval()(ids).logits, net(ids).logits)


def places_of_dropout(monkeypatch, training, transformer=transformer, **more):
    """What a forward drops -> [(what, probability)]: the output of the embeddings, then
    for each block attention weights, output of attention, of feed-forward.
    """
    net = transformer.LanguageModel(transformer.Config(**SIZES, **more))
    outputs, seen = {}, []
    encoder = net.train(training).encoder
    watched = {"embeddings": encoder.norm_in}
    for i, block in enumerate(encoder.blocks):
        watched |= {f"attention {i}": block.attention, f"mlp {i}": block.down}
    for name, module in watched.items():
        module.register_forward_hook(
            lambda *call, name=name: outputs.setdefault(name, call[-1])
        )

    def dropout(x, p=0.5, training=True, inplace=False):
        name = next((n for n, y in outputs.items() if y is x), "something else")
        seen.append((name, p if training else 0.0))
        return x

    def sdpa(q, k, v, mask=None, dropout_p=0.0, is_causal=False, **more):
        seen.append(("weights", dropout_p))
        return fused(q, k, v, mask, 0.0, is_causal)

    fused = nn.functional.scaled_dot_product_attention
    with monkeypatch.context() as patch:
        patch.setattr(nn.functional, "dropout", dropout)
        patch.setattr(nn.functional, "scaled_dot_product_attention", sdpa)
        net(padded()[0])
    return seen


def wanted_places(p, layers):
    parts = [["weights", f"attention {i}", f"mlp {i}"] for i in range(layers)]
    return [(name, p) for name in ["embeddings", *sum(parts, [])]]


@pytest.mark.parametrize("pre_norm", [True, False])
def test_every_place_drops_with_the_probability_of_the_configuration(
    pre_norm, monkeypatch
):
    more, layers = {"pre_norm": pre_norm}, SIZES["layers"]
    for p in (0.3, 0.1, 0.0):
        seen = places_of_dropout(monkeypatch, True, dropout=p, **more)
        assert seen == wanted_places(p, layers)
    seen = places_of_dropout(monkeypatch, False, dropout=0.3, **more)
    assert seen == wanted_places(0.0, layers)


@pytest.mark.parametrize(
    "old, new",
    [
        ("self.dropout if self.training else 0.0", "0.0"),
        ("self.dropout if self.training else 0.0", "self.dropout"),
        ("self.dropout = config.dropout", "self.dropout = 0.1"),
        ("x, mask = self.drop(self.norm_in(x)),", "x, mask = self.norm_in(x),"),
        (
            "x = kept + self.drop(self.attention(self.norm1(x), mask, target_mask))",
            "x = kept + self.attention(self.norm1(x), mask, target_mask)",
        ),
        (
            "return x + self.drop(self.down(self.gelu(self.up(self.norm2(x)))))",
            "return x + self.down(self.gelu(self.up(self.norm2(x))))",
        ),
        ("self.drop = nn.Dropout(config.dropout)", "self.drop = nn.Dropout(0.1)"),
        (
            "self.down(self.gelu(self.up(self.norm2(x))))",
            "self.down(self.drop(self.gelu(self.up(self.norm2(x)))))",
        ),
    ],
)
def test_a_place_with_another_probability_is_caught(
    old, new, mutated, monkeypatch, counted
):
    changed, right = mutated(transformer, old, new), True
    for training, p in ((True, 0.3), (True, 0.0), (False, 0.3)):
        seen = places_of_dropout(monkeypatch, training, changed, dropout=p)
        right &= seen == wanted_places(p if training else 0.0, SIZES["layers"])
    assert not right
    counted("fault")


def test_attention_written_out_drops_weights(monkeypatch):
    """Of the form for bfloat16 on a processor: weights, not values, and scaled up."""
    q = torch.zeros(1, 1, 4, 2)  # all weights are a quarter
    v = torch.eye(4)[None, None]
    torch.manual_seed(0)
    drawn = torch.cat(
        [transformer._attention(q, q, v, None, 0.5, False) for _ in range(500)]
    )
    # a weight that stays is twice as large
    assert set(drawn.unique().tolist()) == {0.0, 0.5}
    assert abs((drawn == 0).float().mean() - 0.5) < 0.03
    torch.testing.assert_close(
        transformer._attention(q, q, v, None, 0.0, False),
        torch.full((1, 1, 4, 4), 0.25),
    )


def test_count_and_start():
    """Shared weights count once; an untrained model's loss is that of a guess among all
    tokens.
    """
    net = transformer.LanguageModel(transformer.Config(8000))
    block = 4 * 256 * 256 + 4 * 256 + 2 * 256 * 1024 + 1024 + 256 + 4 * 256
    assert (
        transformer.count_parameters(net)
        == 8000 * 256
        + 128 * 256
        + 4 * block
        + 4 * 256
        + 256 * 256
        + 256
        + 2 * 256
        + 8000
    )
    ids = torch.randint(5, 8000, (4, 32), generator=torch.Generator().manual_seed(0))
    loss = nn.functional.cross_entropy(
        net(ids).logits.flatten(0, 1), ids.roll(1, 1).flatten()
    )
    assert abs(loss.item() - torch.tensor(8000.0).log().item()) < 0.3
