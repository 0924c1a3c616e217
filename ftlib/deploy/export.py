"""A classifier as one ONNX file with its tokenizer and labels, run by onnxruntime and
compared with the model it came from.

Use it, with any model whose output has `.logits`:

    >>> import tempfile
    >>> import torch
    >>> from typing import NamedTuple
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> words = {"[PAD]": 0, "[UNK]": 1, "good": 2, "bad": 3}
    >>> tokenizer = Tokenizer(models.WordLevel(words, "[UNK]"))
    >>> tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> class Answer(NamedTuple):
    ...     logits: torch.Tensor
    >>> class Net(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.table = torch.nn.Embedding(4, 2)
    ...
    ...     def forward(self, input_ids, attention_mask):
    ...         vectors = self.table(input_ids) * attention_mask[..., None]
    ...         return Answer(vectors.sum(1))
    >>> net, folder = Net(), tempfile.mkdtemp()
    >>> facts = export(net, tokenizer, folder, labels=["bad", "good"], max_tokens=8)
    >>> service = load(folder)
    >>> service.predict(["good", "bad bad good"]).shape
    (2, 2)
    >>> check(folder, net, ["good", "bad bad good"]) < 1e-6
    True

The folder holds model.onnx (one file, weights inside; inputs `input_ids` and
`attention_mask`, int64 (B, T), both sizes free; output `logits`, float32 (B, C)),
tokenizer.json and config.json (labels, max_tokens, pad_id, opset, versions, SHA-256 of
model.onnx). Nothing else is needed to serve it: no torch, no ftlib but this file.

`quantize` writes such a folder again with int8 weights, by onnxruntime's own dynamic
quantization. What it is not: a server (serve.py), or an exporter of models that write
text. Padding stands on the right. Needs: torch, onnx, onnxscript, onnxruntime,
tokenizers; to load and predict, onnxruntime and tokenizers are enough.

Shapes: B batch, T tokens, C classes, N texts.
"""

import contextlib
import functools
import hashlib
import json
import logging
import math
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FILES = ("model.onnx", "tokenizer.json", "config.json")
OPSET = 20


def _two_inputs(model):
    """The model with two named inputs and one output, as the file has them."""
    import torch  # here and below: a service that only loads needs no torch

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    return Logits()


def in_eval_mode(function):
    """`function(model, ...)` with dropout and the like switched off; afterwards every
    module has the mode that it had, also after an error or Ctrl-C.
    """

    @functools.wraps(function)
    def switched(model, *arguments, **keywords):
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            return function(model, *arguments, **keywords)
        finally:
            for module, training in modes.items():
                module.training = training

    return switched


@contextlib.contextmanager
def _one_path(model):
    """ftlib's encoder looks into a batch, and takes a faster path where nothing is
    padded. A graph has one path: the one with a mask. Positions count the columns,
    which is the same for padding on the right.
    """
    encoders = [
        m for m in model.modules() if hasattr(m, "_mask") and hasattr(m, "_positions")
    ]
    for encoder in encoders:
        if encoder.config.causal:
            raise ValueError(
                "the encoder is causal, export writes classifiers on bidirectional "
                "encoders alone; export a bidirectional one"
            )
        encoder._mask = lambda mask, T: mask[:, None, None, :].bool()
        encoder._positions = lambda ids, given, own=encoder.positions: own.weight[
            : ids.shape[1]
        ]
    try:
        yield
    finally:
        for encoder in encoders:
            del encoder._mask, encoder._positions


@in_eval_mode
def _write_graph(model, path, max_tokens, opset):
    """model.onnx: two rows of eight tokens are traced, and both sizes are left free."""
    import torch

    device = next(model.parameters()).device
    ids = torch.ones(2, min(8, max_tokens), dtype=torch.long, device=device)
    mask = torch.ones_like(ids)
    mask[1, -1] = 0
    sizes = {0: torch.export.Dim("B"), 1: torch.export.Dim("T", max=max_tokens)}
    with (
        _one_path(model),
        torch.no_grad(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(None),  # the exporter reports its steps
    ):
        warnings.simplefilter("ignore")
        level = logging.getLogger("torch.onnx").level
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            torch.onnx.export(
                _two_inputs(model),
                (ids, mask),
                str(path),
                input_names=["input_ids", "attention_mask"],
                output_names=["logits"],
                dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
                opset_version=opset,
                dynamo=True,
                # False: the weights stand inside, and one file is all there is to copy
                external_data=False,
            )
        finally:
            logging.getLogger("torch.onnx").setLevel(level)


def file_hash(path):
    """SHA-256 of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def export(model, tokenizer, folder, labels, max_tokens=256, opset=OPSET):
    """Write model.onnx, tokenizer.json and config.json into `folder` -> what stands in
    config.json.

    model: a module called with `input_ids` and `attention_mask` (B, T) whose output has
        `.logits` (B, C). It is traced in eval mode, and keeps the mode it had.
    tokenizer: one of the tokenizers library. labels: C names, in the order of the
    classes. max_tokens: longer texts are cut at their end by the written tokenizer.

    Raises TypeError for another tokenizer; ValueError for labels that are not C
    different names, for a max_tokens below 3 or beyond the model's, for a causal model,
    and for weights that are not float32.
    """
    if not isinstance(tokenizer, Tokenizer):
        raise TypeError(
            f"tokenizer is {type(tokenizer).__name__}, not one of the tokenizers "
            "library; give the backend_tokenizer of one of transformers"
        )
    labels = [str(label) for label in labels]
    _check(model, labels, max_tokens)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_graph(model, folder / "model.onnx", max_tokens, opset)
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.enable_truncation(max_tokens)
    copy.save(str(folder / "tokenizer.json"))
    pad_id = copy.token_to_id("[PAD]")
    facts = {
        "labels": labels,
        "max_tokens": max_tokens,
        "pad_id": 0 if pad_id is None else pad_id,
        "opset": opset,
        "versions": {n: version(n) for n in ("torch", "onnx", "onnxruntime")},
        "sha256": file_hash(folder / "model.onnx"),
    }
    _write_config(folder, facts)
    classes = load(folder).session.get_outputs()[0].shape[1]
    if classes != len(labels):
        raise ValueError(
            f"there are {len(labels)} labels and the model has {classes} classes; name "
            "each class once"
        )
    return facts


def _write_config(folder, facts):
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    (Path(folder) / "config.json").write_text(text, encoding="utf-8")


def _check(model, labels, max_tokens):
    if len(set(labels)) != len(labels) or not labels:
        raise ValueError(
            f"labels are {labels}, each class needs a name of its own; name them"
        )
    configs = (getattr(m, "config", None) for m in model.modules())
    most = [getattr(c, "max_tokens", None) for c in configs]
    most = min((m for m in most if isinstance(m, int)), default=max_tokens)
    if not 3 <= max_tokens <= most:
        raise ValueError(
            f"max_tokens is {max_tokens}, it may be 3 to {most} with this model; "
            "choose a length between them"
        )
    for name, weight in model.named_parameters():
        if str(weight.dtype) != "torch.float32":
            raise ValueError(
                f"{name} is {weight.dtype}, the file holds float32; call "
                "model.float() first, and quantize the file"
            )


class Service:
    """An exported classifier: `predict(texts)` -> logits (N, C) as a float32 array.

    threads: how many cores a prediction may use; None lets onnxruntime take all.
    """

    def __init__(self, folder, threads=1):
        folder = Path(folder)
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{folder} has no {', '.join(missing)}; write the folder with export()"
            )
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.facts, self.labels = facts, facts["labels"]
        self.path = folder / "model.onnx"
        weights = self.path.read_bytes()
        actual = hashlib.sha256(weights).hexdigest()
        if actual != facts["sha256"]:
            raise ValueError(
                f"{self.path} has the SHA-256 {actual[:12]}..., and "
                f"config.json says {facts['sha256'][:12]}...; it is another file than "
                "the one that was written here, so export again"
            )
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads:
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
        # the bytes that were hashed, not the file, which may be another by now
        self.session = onnxruntime.InferenceSession(
            weights, options, providers=["CPUExecutionProvider"]
        )

    def rows(self, texts):
        """Token ids of each text, a list of N lists."""
        if isinstance(texts, str):
            raise TypeError("texts is one string; put it into a list")
        return [code.ids for code in self.tokenizer.encode_batch(list(texts))]

    def logits(self, rows):
        """Logits (B, C) of one padded batch of rows."""
        T = max(len(row) for row in rows)
        ids = np.full((len(rows), T), self.facts["pad_id"], dtype=np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        return self.session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[
            0
        ]

    def predict(self, texts, size=8, padding=0.2):
        """Logits (N, C) of the texts, in their order, computed in the `buckets`
        that their lengths make. Raises ValueError for a text without any token.
        """
        rows = self.rows(texts)
        for n, row in enumerate(rows):
            if not row:
                raise ValueError(
                    f"text {n} is {texts[n]!r} and has no token; leave it out"
                )
        return self.predict_rows(rows, size, padding)

    def predict_rows(self, rows, size=8, padding=0.2):
        """The same for lists of token ids, which may be cut in another way."""
        result = np.zeros((len(rows), len(self.labels)), dtype=np.float32)
        for bucket in buckets([len(row) for row in rows], size, padding):
            result[bucket] = self.logits([rows[n] for n in bucket])
        return result


def buckets(lengths, size=8, padding=0.2):
    """Which rows share a batch, from the shortest to the longest: lists of row numbers.
    A bucket has at most `size` rows, and none of them is more than `padding` longer
    than its shortest; None sets no such limit.

    Padding is computed like tokens. On a processor core eight film sentences in one
    batch took 1.4 times as long as one by one, and in buckets as long.

    >>> buckets([5, 20, 6, 21, 5])
    [[0, 4, 2], [1, 3]]
    """
    if size < 1 or (padding is not None and padding < 0):
        raise ValueError(
            f"size is {size} and padding {padding}; take 1 or more, and 0 or more"
        )
    result, most = [], 0
    for n in sorted(range(len(lengths)), key=lambda n: lengths[n]):
        if result and len(result[-1]) < size and lengths[n] <= most:
            result[-1].append(n)
        else:
            result.append([n])
            most = math.inf if padding is None else (1 + padding) * lengths[n]
    return result


def token_counter(folder):
    """count(text): how many tokens a text has for the model in this folder, uncut."""
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_truncation()
    return lambda text: len(tokenizer.encode(text).ids)


def load(folder, threads=1):
    """The `Service` of a folder that `export` or `quantize` wrote.

    Raises FileNotFoundError for a file that is missing, ValueError where model.onnx is
    not the file that config.json describes.
    """
    return Service(folder, threads)


def check(folder, model, texts, size=8):
    """The largest difference between a logit of the file and the same logit of `model`,
    over all texts. 1e-4 is what float32 allows in other orders of the same sums.
    """
    service = load(folder)
    return _largest_difference(model, service, texts, service.predict(texts, size))


@in_eval_mode
def _largest_difference(model, service, texts, theirs):
    """Of the model's own logits to theirs (N, C), text by text, without padding."""
    import torch

    device = next(model.parameters()).device
    worst = 0.0
    with _one_path(model), torch.no_grad():
        for n, row in enumerate(service.rows(texts)):
            ids = torch.tensor([row], device=device)
            ours = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            difference = np.abs(ours.float().cpu().numpy()[0] - theirs[n]).max()
            worst = max(worst, float(difference))
    return worst


def quantize(folder, out, per_channel=False, names=None):
    """Write the folder again with int8 weights (onnxruntime's quantize_dynamic) -> what
    stands in its config.json. Activations become 8-bit when it runs, with one range for
    all numbers of a call: a text's logits depend a little on the texts beside it.

    per_channel: one scale for each output of a matrix instead of one for all. names:
        only these nodes of the graph; None takes every matrix product.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    folder, out = Path(folder), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises a step that is for other graphs
    try:
        quantize_dynamic(
            folder / "model.onnx",
            out / "model.onnx",
            per_channel=per_channel,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=names,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
        )
    finally:
        root.setLevel(level)
    shutil.copyfile(folder / "tokenizer.json", out / "tokenizer.json")
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    facts |= {"int8": "per channel" if per_channel else "per tensor"}
    facts |= {"sha256": file_hash(out / "model.onnx")}
    _write_config(out, facts)
    return facts
