"""The loader without torch equals export's, and refuses another file."""

import hashlib
import json
import subprocess
import sys

import numpy
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from ftlib.deploy import export, onnx_model

WORDS = {"[PAD]": 0, "[UNK]": 1, "good": 2, "bad": 3, "film": 4}


def graph():
    """logits: the mean of the tokens' rows of a table."""
    table = numpy.random.default_rng(0).normal(size=(len(WORDS), 3))
    one, two = numpy.array([1]), numpy.array([2])
    constants = {"table": table.astype(numpy.float32), "one": one, "two": two}
    steps = [
        ("Gather", ["table", "input_ids"], "rows", {}),
        ("Cast", ["attention_mask"], "mask", {"to": TensorProto.FLOAT}),
        ("Unsqueeze", ["mask", "two"], "wide", {}),
        ("Mul", ["rows", "wide"], "kept", {}),
        ("ReduceSum", ["kept", "one"], "sum", {"keepdims": 0}),
        ("ReduceSum", ["mask", "one"], "count", {"keepdims": 1}),
        ("Div", ["sum", "count"], "logits", {}),
    ]
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "T"])
        for name in ("input_ids", "attention_mask")
    ]
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 3])
    return helper.make_model(
        helper.make_graph(
            [helper.make_node(op, i, [o], **more) for op, i, o, more in steps],
            "means",
            ids,
            [out],
            [numpy_helper.from_array(v, k) for k, v in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("v1")
    weights = graph().SerializeToString()
    (path / "model.onnx").write_bytes(weights)
    tokenizer = Tokenizer(models.WordLevel(WORDS, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(6)
    tokenizer.save(str(path / "tokenizer.json"))
    config = {
        "labels": ["a", "b", "c"],
        "max_tokens": 6,
        "pad_id": 0,
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


TEXTS = ["good", "bad bad good film", "film " * 30, "who knows", "good bad film film"]


def test_it_equals_export(folder):
    ours, theirs = onnx_model.load(folder), export.load(folder)
    numpy.testing.assert_allclose(ours.predict(TEXTS), theirs.predict(TEXTS), atol=1e-6)
    assert ours.labels == theirs.labels == ["a", "b", "c"]
    # a text's answer does not depend on its company
    alone = numpy.concatenate([ours.predict([text]) for text in TEXTS])
    numpy.testing.assert_allclose(ours.predict(TEXTS), alone, atol=1e-6)


def test_another_file_is_refused(folder, tmp_path):
    for name in ("model.onnx", "tokenizer.json", "config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config["sha256"] = "0" * 64
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match="SHA-256"):
        onnx_model.load(tmp_path)


def test_it_needs_no_torch():
    """Nor does anything else that a service loads."""
    names = ("onnx_model", "batching", "versions", "serve", "http_server")
    lines = [f"import ftlib.deploy.{name}" for name in names]
    code = "; ".join([*lines, "import sys", "sys.exit('torch' in sys.modules)"])
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
