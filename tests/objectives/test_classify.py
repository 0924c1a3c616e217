"""Heads on both kinds of encoder: pooling without padding, freezing, order of
predictions, batches of like length.
"""

import pytest
import torch

from ftlib.models import transformer
from ftlib.objectives import classify
from ftlib.training import optim, train

LENGTHS = [3, 9, 5, 12, 3, 7, 4, 11, 6, 8, 10, 3, 5]
ROWS = [
    torch.randint(5, 60, (n,), generator=torch.Generator().manual_seed(i)).tolist()
    for i, n in enumerate(LENGTHS)
]
LABELS = [i % 2 for i in range(len(ROWS))]


def ours():
    torch.manual_seed(0)
    return transformer.Transformer(
        transformer.Config(60, width=16, layers=2, heads=2, ffn_dim=32, max_tokens=12)
    )


def theirs():
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    return BertModel(
        BertConfig(
            vocab_size=60,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


@pytest.fixture(params=[ours, theirs], ids=["ftlib", "transformers"])
def encoder(request):
    return request.param()


def test_pooling_ignores_padding(counted):
    hidden, mask = (
        torch.randn(3, 6, 4),
        (torch.arange(6) < torch.tensor([6, 2, 4])[:, None]).long(),
    )
    pooled = classify.pool(hidden, mask)
    for row, n in enumerate([6, 2, 4]):
        assert torch.allclose(pooled[row], hidden[row, :n].mean(0), atol=1e-6)
    dirty = hidden.masked_fill(mask[..., None] == 0, 1e3)
    assert torch.equal(classify.pool(dirty, mask), pooled)
    # control: without the mask it counts
    assert not torch.allclose(classify.pool(dirty), classify.pool(hidden))
    assert torch.equal(classify.pool(hidden, mask, "first"), hidden[:, 0])
    assert classify.pool(hidden[:1], torch.zeros(1, 6)).isfinite().all()
    with pytest.raises(
        ValueError, match="pooling is 'max', known are 'mean' and 'first'"
    ):
        classify.pool(hidden, mask, "max")
    counted("fault")


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_predict_keeps_the_order_whatever_the_batches(encoder, pooling):
    net = classify.Classifier(encoder, 3, pooling=pooling, dropout=0.5).train()
    whole = classify.predict(
        net, classify.batches_of(ROWS, size=1, order=[[i] for i in range(len(ROWS))])
    )
    assert whole.shape == (len(ROWS), 3) and net.training
    for size, order in (
        (4, None),
        (5, classify.length_grouped(LENGTHS, 5, seed=3)),
        (13, None),
    ):
        assert torch.allclose(
            classify.predict(net, classify.batches_of(ROWS, size=size, order=order)),
            whole,
            atol=1e-5,
        )
    plain = [
        {k: v for k, v in b.items() if k != "index"}
        for b in classify.batches_of(ROWS, order=[[2, 0], [5]])
    ]
    # without `index`: as they come
    assert torch.allclose(classify.predict(net, plain), whole[[2, 0, 5]], atol=1e-5)


def test_features_are_what_the_head_reads(encoder):
    net = classify.Classifier(encoder, 2, dropout=0.0).eval()
    vectors = classify.features(encoder, classify.batches_of(ROWS, size=4))
    assert vectors.shape == (len(ROWS), 16) and not vectors.requires_grad
    assert torch.allclose(
        net.head(vectors), classify.predict(net, classify.batches_of(ROWS)), atol=1e-5
    )


def with_kinds(batch, kind):
    """The batch of a tokenizer that marks the two texts of a pair."""
    kinds = torch.zeros_like(batch["input_ids"])
    kinds[:, 1:] = kind
    return {**batch, "token_type_ids": kinds}


def paired():
    """Our encoder with two sentence embeddings."""
    torch.manual_seed(0)
    sizes = dict(width=16, layers=2, heads=2, ffn_dim=32, max_tokens=12, segments=2)
    return transformer.Transformer(transformer.Config(60, **sizes, pre_norm=False))


@pytest.mark.parametrize("make", [paired, theirs], ids=["ftlib", "transformers"])
def test_which_text_of_a_pair_a_token_is_of_reaches_the_encoder(make, counted):
    """A tokenizer of transformers gives `token_type_ids`: they must neither be refused
    nor be dropped.
    """
    encoder = make().eval()
    net = classify.Classifier(encoder, 2, dropout=0.0).eval()
    results = []
    for kind in (0, 1):
        batches = [with_kinds(b, kind) for b in classify.batches_of(ROWS, size=4)]
        vectors = classify.features(encoder, batches)
        assert torch.allclose(
            net.head(vectors), classify.predict(net, batches), atol=1e-5
        )
        asked = {**batches[0], "labels": torch.tensor([0, 1, 0, 1])}
        results.append([vectors, classify.classification_loss(net, asked)])
    # control: a kind that is dropped gives equal results
    assert not torch.allclose(results[0][0], results[1][0], atol=1e-3)
    assert not torch.allclose(results[0][1], results[1][1])
    counted("fault")


def test_features_need_no_mask(encoder):
    """Rows of equal length: without a mask as with one of ones."""
    ids = torch.tensor([ROWS[0], ROWS[4]])
    whole = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    one, other = (classify.features(encoder, [b]) for b in (whole, {"input_ids": ids}))
    assert torch.allclose(one, other, atol=1e-6)


def test_frozen_bytes_stay(encoder, counted):
    def trained(freeze):
        net = classify.Classifier(encoder, 2)
        if freeze:
            classify.freeze(net.encoder)
        before = {k: v.clone() for k, v in net.state_dict().items()}
        optimizer = optim.adamw(optim.parameter_groups(net, 1e-2, weight_decay=0.1))
        batches = classify.batches_of(
            ROWS, LABELS, order=classify.length_grouped(LENGTHS, 4)
        )
        list(train.steps(net, batches, classify.classification_loss, optimizer))
        return {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}

    assert trained(True) == {"head.weight", "head.bias"}
    classify.freeze(encoder, frozen=False)
    assert len(trained(False)) > 20  # control
    counted("fault")


def test_trainable_counts_what_an_optimizer_would_change(encoder):
    net = classify.Classifier(encoder, 2)
    everything = classify.trainable(net)
    assert everything == sum(p.numel() for p in net.parameters())
    classify.freeze(net.encoder)
    assert classify.trainable(net) == 16 * 2 + 2
    assert classify.freeze(net, frozen=False) == everything
    assert classify.trainable(net) == everything


def test_classification_loss_is_a_sum_over_what_is_asked():
    net = classify.Classifier(ours(), 2, dropout=0.0)
    (batch,) = classify.batches_of(ROWS, LABELS, size=20)
    parts = [
        classify.classification_loss(net, b)
        for b in classify.batches_of(ROWS, LABELS, size=3)
    ]
    whole = classify.classification_loss(net, batch)
    assert abs(sum(parts) - whole) < 1e-4
    batch["labels"][2] = -100
    one = torch.nn.functional.cross_entropy(
        net(**classify.inputs_of(batch)).logits, batch["labels"]
    )
    assert abs(classify.classification_loss(net, batch) - 12 * one) < 1e-4


def test_overfits_a_few_texts():
    net = classify.Classifier(ours(), 2, dropout=0.0)
    order = (
        batch
        for epoch in range(40)
        for batch in classify.length_grouped(LENGTHS, 7, epoch=epoch)
    )
    optimizer = optim.adamw(optim.parameter_groups(net, 5e-3))
    list(
        train.steps(
            net,
            classify.batches_of(ROWS, LABELS, order=order),
            classify.classification_loss,
            optimizer,
        )
    )
    assert (
        classify.predict(net, classify.batches_of(ROWS)).argmax(-1)
        == torch.tensor(LABELS)
    ).all()


@pytest.mark.parametrize("n, size", [(1, 4), (13, 4), (1000, 16), (1003, 16)])
def test_length_grouped_covers_each_row_once(n, size):
    lengths = torch.randint(
        1, 200, (n,), generator=torch.Generator().manual_seed(0)
    ).tolist()
    batches = classify.length_grouped(lengths, size, seed=1, epoch=2, window=5)
    assert sorted(i for b in batches for i in b) == list(range(n))
    assert all(len(b) <= size for b in batches) and len(batches) == -(-n // size)
    assert batches == classify.length_grouped(lengths, size, seed=1, epoch=2, window=5)
    if n > 100:
        for other in (dict(seed=2, epoch=2), dict(seed=1, epoch=3)):
            assert classify.length_grouped(lengths, size, window=5, **other) != batches


def test_length_grouped_saves_padding():
    lengths = torch.randint(
        5, 200, (2000,), generator=torch.Generator().manual_seed(0)
    ).tolist()

    def padded(batches):
        return sum(len(b) * max(lengths[i] for i in b) for b in batches) / sum(lengths)

    shuffled = torch.randperm(2000, generator=torch.Generator().manual_seed(1)).split(
        16
    )
    assert (
        padded(classify.length_grouped(lengths, 16))
        < 1.1
        < 1.5
        < padded([b.tolist() for b in shuffled])
    )
    firsts = [max(lengths[i] for i in b) for b in classify.length_grouped(lengths, 16)]
    assert firsts != sorted(firsts)  # short and long batches in random order


def test_batches_are_padded_to_their_own_longest_row():
    batches = list(classify.batches_of(ROWS, LABELS, order=[[0, 2], [3]], pad_id=9))
    assert [b["input_ids"].shape for b in batches] == [(2, 5), (1, 12)]
    assert batches[0]["input_ids"][0].tolist() == ROWS[0] + [9, 9] and batches[0][
        "attention_mask"
    ][0].tolist() == [1, 1, 1, 0, 0]
    assert batches[0]["labels"].tolist() == [0, 0] and batches[0]["index"].tolist() == [
        0,
        2,
    ]
    assert "labels" not in next(classify.batches_of(ROWS))
    with pytest.raises(ValueError, match="width is None"):
        classify.Classifier(torch.nn.Identity(), 2)
