"""Heads on both kinds of encoder: pooling without padding, freezing, order of
predictions, batches of like length.
"""

import re

import numpy
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


def test_a_new_head_is_undecided_and_padding_alone_is_no_nan():
    net = classify.Classifier(ours(), 3, dropout=0.0)
    assert net.head.bias.eq(0).all() and 0.01 < net.head.weight.std() < 0.03
    assert net.dropout.p == 0.0 and classify.Classifier(ours(), 3).dropout.p == 0.1
    hidden, mask = torch.randn(2, 5, 4), torch.zeros(2, 5).long()
    mask[0, :2] = 1
    pooled = classify.pool(hidden, mask)
    assert pooled[1].eq(0).all()
    torch.testing.assert_close(pooled[0], hidden[0, :2].mean(0))
    with pytest.raises(ValueError, match="pad got no rows"):
        classify.pad([])


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


class Bare(torch.nn.Module):
    """A model that gives these logits (B, C)."""

    def __init__(self, logits):
        super().__init__()
        self.scores = logits

    def forward(self, input_ids):
        return classify.Output(None, self.scores)


def loss_of_bfloat16(classify=classify):
    """The loss of logits as autocast leaves them over what float32, without smoothing,
    makes of the same logits.
    """
    generator = torch.Generator().manual_seed(0)
    scores = (torch.randn(40, 3, generator=generator) * 4).bfloat16()
    labels = torch.arange(40) % 3
    loss = classify.classification_loss(
        Bare(scores), {"input_ids": labels[:, None], "labels": labels}
    )
    wanted = -scores.double().log_softmax(-1).gather(-1, labels[:, None]).sum()
    return loss.item() / wanted.item(), loss.dtype


def test_the_loss_of_bfloat16_logits_is_made_in_float32(mutated, counted):
    ratio, dtype = loss_of_bfloat16()
    assert abs(ratio - 1) < 1e-5 and dtype == torch.float32
    old = 'F.cross_entropy(logits.float(), labels, reduction="sum")'
    for part, other in (
        (".float()", ""),
        ('"sum"', '"sum", label_smoothing=0.1'),
        ('"sum"', '"mean"'),
    ):
        ratio, _ = loss_of_bfloat16(mutated(classify, old, old.replace(part, other)))
        assert abs(ratio - 1) > 1e-4
        counted("fault")


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


def places_of_the_shortest(classify=classify):
    """Where the batch of the shortest texts stands in 60 epochs. One window holds all
    30 batches, so that sorted ones would begin with it each time.
    """
    lengths = list(range(120))
    places = []
    for epoch in range(60):
        batches = classify.length_grouped(lengths, 4, seed=epoch % 3, epoch=epoch)
        places.append(next(i for i, b in enumerate(batches) if 0 in b))
        # like lengths are together all the same
        assert all(max(b) - min(b) == 3 for b in batches)
    return places


def test_batches_of_like_length_come_in_another_order_each_epoch(mutated, counted):
    places = places_of_the_shortest()
    assert len(set(places)) > 20 and 10 < sum(places) / 60 < 19
    old = "torch.randperm(len(batches), generator=generator).tolist()"
    for new in ("range(len(batches))", "range(len(batches) - 1, -1, -1)"):
        assert len(set(places_of_the_shortest(mutated(classify, old, new)))) == 1
        counted("fault")
    # the same order of batches in every epoch, and one that nobody can repeat
    fixed = "torch.randperm(len(batches), generator=torch.Generator()).tolist()"
    assert len(set(places_of_the_shortest(mutated(classify, old, fixed)))) == 1
    loose = mutated(classify, old, "torch.randperm(len(batches)).tolist()")
    a, b = (loose.length_grouped(list(range(120)), 4) for _ in range(2))
    assert a != b
    a, b = (classify.length_grouped(list(range(120)), 4) for _ in range(2))
    assert a == b
    counted("fault", 2)


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


# ---- what is refused before the first batch ----

WRONG = [-1, 3, 0.5, "1", numpy.str_("1"), b"1", None, float("nan"), [1]]


@pytest.mark.parametrize("label", WRONG, ids=repr)
def test_a_label_that_is_no_class_is_refused_at_once(label, counted):
    labels = [0, 1, 2, label, *LABELS[4:]]
    words = re.escape(
        f"row 3 has label {label!r}, a class id is a whole number from 0 "
    )
    with pytest.raises(ValueError, match=f"^{words}to 2; number the classes from 0"):
        classify.batches_of(ROWS, labels, classes=3)  # nothing was read from it
    counted("fault")


@pytest.mark.parametrize(
    "hold",
    [
        list,
        tuple,
        iter,
        lambda labels: [float(label) for label in labels],
        lambda labels: [bool(label) for label in labels],
        numpy.array,
        lambda labels: numpy.array(labels, dtype="float32"),
        torch.tensor,
        lambda labels: torch.tensor(labels) == 1,
        lambda labels: [torch.tensor(label) for label in labels],
    ],
)
def test_whole_numbers_of_any_kind_are_labels(hold):
    for batch in classify.batches_of(ROWS, hold(LABELS), size=4, classes=2):
        assert batch["labels"].dtype == torch.long
        assert batch["labels"].tolist() == [LABELS[i] for i in batch["index"]]


def test_pandas_labels_with_nothing_in_a_row_are_refused(counted):
    pandas = pytest.importorskip("pandas")
    for missing, kind in ((None, "Int64"), (float("nan"), "float64")):
        labels = pandas.Series([*LABELS[:-1], missing], dtype=kind)
        with pytest.raises(ValueError, match="row 12 has label (<NA>|nan)"):
            classify.batches_of(ROWS, labels)
        counted("fault")


def test_an_ignored_label_stays():
    (batch,) = classify.batches_of(ROWS[:2], [-100, 1], order=[[0, 1]], classes=2)
    assert batch["labels"].tolist() == [-100, 1]


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: classify.batches_of([]), ValueError, "there are 0 rows"),
        (lambda: classify.batches_of(iter(())), ValueError, "there are 0 rows"),
        (
            lambda: classify.batches_of(ROWS, LABELS[:-1]),
            ValueError,
            "there are 13 rows and 12 labels; each row needs one",
        ),
        (
            lambda: classify.batches_of(ROWS, LABELS + [0]),
            ValueError,
            "there are 13 rows and 14 labels",
        ),
        (
            lambda: classify.batches_of(ROWS, "0101"),
            TypeError,
            "this is a str, \"'0101",
        ),
        (
            lambda: classify.batches_of({"input_ids": ROWS, "label": LABELS}),
            TypeError,
            "a list of values is needed, this is a dict",
        ),
        (
            lambda: classify.batches_of(["a film", "another"]),
            TypeError,
            "row 0 is 'a film', not a list of token ids; encode the texts first",
        ),
        (lambda: classify.batches_of([2, 7, 3]), TypeError, "row 0 is 2, not a list"),
        (lambda: classify.batches_of([[2], []]), ValueError, "row 1 has no token"),
        (lambda: classify.batches_of([[2], None]), TypeError, "row 1 is None"),
        (lambda: classify.batches_of([[2], [1.5]]), ValueError, "row 1 has 1.5, token"),
        (lambda: classify.batches_of([[2, True]]), ValueError, "row 0 has True, token"),
        (lambda: classify.batches_of([["a"]]), ValueError, "row 0 has 'a', token ids"),
        (lambda: classify.batches_of(torch.rand(2, 3)), ValueError, "row 0 has 0."),
        (lambda: classify.batches_of(ROWS, size=0), ValueError, "size is 0; a batch"),
        (lambda: classify.batches_of(ROWS, size=-4), ValueError, "size is -4; a batch"),
        (
            lambda: list(classify.batches_of(ROWS, order=[[0], [13]])),
            ValueError,
            "the order has row 13, the rows are 0 to 12",
        ),
        (
            lambda: list(classify.batches_of(ROWS, order=[[0, -1]])),
            ValueError,
            "the order has row -1",
        ),
        (
            lambda: classify.length_grouped(LENGTHS, 0),
            ValueError,
            "size is 0 and window 50",
        ),
        (
            lambda: classify.length_grouped(LENGTHS, 4, window=0),
            ValueError,
            "size is 4 and window 0",
        ),
        (
            lambda: classify.length_grouped(ROWS, 4),
            TypeError,
            "not a number of tokens; give [len(row) for row in rows]",
        ),
        (
            lambda: classify.length_grouped(["a", "b"], 4),
            TypeError,
            "length 0 is 'a', not a number of tokens",
        ),
    ],
)
def test_rows_that_cannot_be_read_are_refused(call, error, words, counted):
    with pytest.raises(error, match=re.escape(words)):
        call()
    counted("fault")


def test_predictions_of_nothing_are_refused(counted):
    net = classify.Classifier(ours(), 2)
    batches = classify.batches_of(ROWS)
    assert len(classify.predict(net, batches)) == len(ROWS)
    for function in (
        classify.predict,
        lambda net, b: classify.features(net.encoder, b),
    ):
        with pytest.raises(
            ValueError, match="0 batches; an iterator gives its batches"
        ):
            function(net, batches)  # the generator is used up
        with pytest.raises(TypeError, match=re.escape("write [batch]")):
            function(net, next(classify.batches_of(ROWS)))
        counted("fault", 2)


@pytest.mark.parametrize(
    "labels, words",
    [
        ([1, 2, 3], "row 2 of the batch has label 3, the head has the classes 0 to 2"),
        ([0, -1, 2], "row 1 of the batch has label -1"),
        ([0.0, 1.0, 2.0], "labels are torch.float32 (3,), class ids are whole numbers"),
        ([[0], [1], [2]], "labels are torch.int64 (3, 1)"),
        ([[1, 0, 0]] * 3, "labels are torch.int64 (3, 3)"),
    ],
)
def test_the_loss_names_a_label_that_is_no_class(labels, words, counted):
    net = classify.Classifier(ours(), 3)
    (batch,) = classify.batches_of(ROWS[:3], [0, 1, 2], order=[[0, 1, 2]])
    batch["labels"] = torch.tensor(labels)
    with pytest.raises(ValueError, match=re.escape(words)):
        classify.classification_loss(net, batch)
    counted("fault")


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.bool])
def test_the_loss_reads_any_whole_number(kind):
    net = classify.Classifier(ours(), 2, dropout=0.0)
    (batch,) = classify.batches_of(ROWS[:3], [0, 1, 1], order=[[0, 1, 2]])
    wanted = classify.classification_loss(net, batch)
    batch["labels"] = batch["labels"].to(kind)
    assert torch.equal(classify.classification_loss(net, batch), wanted)


def test_a_head_of_one_class_has_nothing_to_learn(counted):
    net = classify.Classifier(ours(), 1)
    (batch,) = classify.batches_of(ROWS[:3], [0, 0, 0], order=[[0, 1, 2]])
    with pytest.raises(ValueError, match="the head has 1 class, so the loss is 0"):
        classify.classification_loss(net, batch)
    # what torch says to it: nothing
    logits = net(**classify.inputs_of(batch)).logits
    assert torch.nn.functional.cross_entropy(logits, batch["labels"]).item() == 0
    counted("fault")
