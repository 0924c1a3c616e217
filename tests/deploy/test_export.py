"""The exported file against the model it came from: free shapes, padding, one file,
what is refused, and a planted fault that the comparison must notice.
"""

import json
import random
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from ftlib.course import sources
from ftlib.data import tokenization
from ftlib.deploy import export
from ftlib.models import transformer
from ftlib.objectives import classify

TEXTS = sources.load("rotten_tomatoes")["test"]["text"][:200]
LABELS = ["blame", "neither", "praise"]


def small(pre_norm=True, causal=False, seed=0):
    torch.manual_seed(seed)
    encoder = transformer.Transformer(
        transformer.Config(
            400, 32, 2, 4, 64, 64, pre_norm=pre_norm, causal=causal, init_std=0.2
        )
    )
    net = classify.Classifier(encoder, 3)
    nn.init.normal_(net.head.weight)
    return net


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.train_wordpiece(TEXTS * 3, 400)


@pytest.fixture(scope="module", params=[True, False], ids=["pre-norm", "post-norm"])
def written(request, tokenizer, tmp_path_factory):
    net = small(request.param)
    net.train()
    net.encoder.blocks[0].eval()
    folder = tmp_path_factory.mktemp("exported") / "new"
    facts = export.export(net, tokenizer, folder, LABELS, max_tokens=48)
    return net, folder, facts


def test_it_agrees_with_the_model_on_200_real_texts(written):
    net, folder, _ = written
    assert len(TEXTS) == 200
    assert export.check(folder, net, TEXTS) < 1e-4


def test_it_agrees_with_predict_of_the_library(written, tokenizer):
    net, folder, _ = written
    rows = tokenization.encode(tokenizer, TEXTS, 48)
    ours = classify.predict(net, classify.batches_of(rows)).numpy()
    np.testing.assert_allclose(export.load(folder).predict(TEXTS), ours, atol=1e-4)


def test_modes_and_methods_are_as_before(written):
    net, _, _ = written
    assert net.training and not net.encoder.blocks[0].training
    assert not {"_mask", "_positions"} & set(vars(net.encoder))


def test_both_sizes_are_free_and_there_is_one_file(written):
    _, folder, facts = written
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model)
    shapes = {
        value.name: [
            d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim
        ]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert shapes["input_ids"] == shapes["attention_mask"] == ["B", "T"]
    assert shapes["logits"] == ["B", 3]
    assert not any(t.external_data for t in model.graph.initializer)
    assert sorted(p.name for p in folder.iterdir()) == sorted(export.FILES)
    assert facts["opset"] == model.opset_import[0].version


def test_a_text_alone_is_answered_as_in_company(written):
    service = export.load(written[1], threads=1)
    alone = np.concatenate([service.predict([text]) for text in TEXTS[:20]])
    np.testing.assert_allclose(service.predict(TEXTS)[:20], alone, atol=1e-5)


def test_little_of_what_is_computed_is_padding(written, monkeypatch):
    service, computed = export.load(written[1]), []
    logits = service.logits

    def counting(rows):
        computed.append(len(rows) * max(map(len, rows)))
        return logits(rows)

    monkeypatch.setattr(service, "logits", counting)
    texts = TEXTS[:32]
    service.predict(texts)
    tokens = sum(map(len, service.rows(texts)))
    assert tokens <= sum(computed) < 1.12 * tokens
    computed.clear()
    service.predict(texts, size=32, padding=None)
    assert sum(computed) > 1.15 * tokens


@pytest.mark.parametrize("size, padding", [(1, 0.2), (8, 0.2), (8, 0.0), (5, None)])
def test_buckets_hold_every_row_once_and_little_padding(size, padding):
    draw = random.Random(size)
    lengths = [draw.randrange(1, 120) for _ in range(200)]
    found = export.buckets(lengths, size, padding)
    assert sorted(sum(found, [])) == list(range(200))
    shortest = [lengths[bucket[0]] for bucket in found]
    for bucket, least in zip(found, shortest):
        assert len(bucket) <= size
        assert padding is None or lengths[bucket[-1]] <= (1 + padding) * least
    # none is smaller than it must be
    for bucket, least, after in zip(found, shortest, shortest[1:]):
        is_longer = padding is not None and after > (1 + padding) * least
        assert len(bucket) == size or is_longer
    assert export.buckets([], size, padding) == []


@pytest.mark.parametrize("wrong", [{"size": 0}, {"padding": -0.1}])
def test_buckets_of_nothing(wrong):
    with pytest.raises(ValueError, match="take 1 or more"):
        export.buckets([3, 4], **wrong)


def test_long_texts_are_cut_and_none_is_one_batch_of_nothing(written):
    service = export.load(written[1])
    assert max(map(len, service.rows([" ".join(TEXTS)]))) == 48
    assert service.predict([]).shape == (0, 3)
    with pytest.raises(TypeError, match="one string"):
        service.predict("a film")


def test_rows_that_were_cut_in_another_way(written, tokenizer):
    service, long = export.load(written[1]), [" ".join(TEXTS[:9]), TEXTS[9]]
    both = tokenization.encode(tokenizer, long, 48, keep="both")
    ends = service.predict_rows(both)
    front = service.predict(long)
    assert np.abs(ends[0] - front[0]).max() > 1e-3
    np.testing.assert_allclose(ends[1], front[1], atol=1e-5)


def test_tokens_are_counted_uncut(written):
    count = export.token_counter(written[1])
    rows = tokenization.encode(tokenization.load(written[1]), TEXTS[:9])
    assert [count(text) for text in TEXTS[:9]] == list(map(len, rows))
    assert count(" ".join(TEXTS)) > 48


def test_a_service_needs_no_torch():
    names = ("export", "batching", "versions", "serve", "http_server")
    lines = [f"import ftlib.deploy.{name}" for name in names]
    code = "; ".join([*lines, "import sys", "sys.exit('torch' in sys.modules)"])
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_config_says_what_was_written(written, tokenizer):
    _, folder, facts = written
    stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert stored == facts
    assert facts["labels"] == LABELS and facts["max_tokens"] == 48
    assert facts["pad_id"] == tokenizer.token_to_id("[PAD]")
    assert facts["versions"]["torch"] == torch.__version__


def test_the_comparison_notices_other_weights_and_a_lost_mask(
    written, monkeypatch, counted
):
    net, folder, _ = written
    assert export.check(folder, small(net.encoder.config.pre_norm, seed=1), TEXTS) > 0.1
    service = export.load(folder)
    right = service.predict(TEXTS)

    def without_mask(self, rows):
        T = max(map(len, rows))
        ids = np.array([row + [0] * (T - len(row)) for row in rows])
        return self.session.run(
            ["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        )[0]

    monkeypatch.setattr(export.Service, "logits", without_mask)
    assert np.abs(service.predict(TEXTS) - right).max() > 1e-2
    counted("fault")
    counted("fault")


@pytest.mark.parametrize("per_channel", [False, True])
def test_int8_is_smaller_and_near(written, tmp_path, per_channel):
    net, folder, _ = written
    facts = export.quantize(folder, tmp_path / "int8", per_channel)
    assert facts["int8"] == ("per channel" if per_channel else "per tensor")
    assert 0 < export.check(tmp_path / "int8", net, TEXTS[:50]) < 1
    model = onnx.load(tmp_path / "int8" / "model.onnx")
    kinds = [numpy_helper.to_array(t).dtype for t in model.graph.initializer]
    assert kinds.count(np.int8) >= 8
    before = sum(numpy_helper.to_array(t).nbytes for t in model.graph.initializer)
    whole = onnx.load(folder / "model.onnx").graph.initializer
    assert before < 0.45 * sum(numpy_helper.to_array(t).nbytes for t in whole)


def test_another_file_under_the_same_name_is_refused(written, tokenizer, tmp_path):
    folder = written[1]
    export.export(small(seed=2), tokenizer, tmp_path, LABELS, max_tokens=48)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(ValueError, match="another file"):
        export.load(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        export.load(tmp_path)


@pytest.mark.parametrize(
    "change, error, words",
    [
        (dict(labels=["a", "b"]), ValueError, "2 labels and the model has 3"),
        (dict(labels=["a", "a", "b"]), ValueError, "a name of its own"),
        (dict(max_tokens=65), ValueError, "3 to 64"),
        (dict(tokenizer="wordpiece"), TypeError, "tokenizers library"),
        (dict(model=small(causal=True)), ValueError, "causal"),
        (dict(model=small().bfloat16()), ValueError, "float32"),
    ],
)
def test_what_is_refused(change, error, words, tokenizer, tmp_path):
    given = dict(model=small(), tokenizer=tokenizer, labels=LABELS, max_tokens=48)
    with pytest.raises(error, match=words):
        export.export(folder=tmp_path, **{**given, **change})
