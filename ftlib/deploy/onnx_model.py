"""A folder of export, run with onnxruntime and without torch: what a service loads.

Use it:

    model = load("versions/v1")          # model.onnx, tokenizer.json, config.json
    model.predict(["a fine film"])       # logits (B, C)

    >>> load("nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: ...

`import torch` takes longer than everything else that a service does before its first
answer, and several hundred megabytes. export.py needs it, answering does not.

What it is not: a way to write the folder (export.py). Needs: onnxruntime, tokenizers,
numpy.

Shapes: B batch, T tokens, C classes.
"""

import hashlib
import json
from pathlib import Path

import numpy
import onnxruntime
from tokenizers import Tokenizer


class OnnxModel:
    """predict(texts) -> logits (B, C). threads: how many cores one batch may use."""

    def __init__(self, folder, threads=1):
        folder = Path(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = (folder / "model.onnx").read_bytes()
        digest = hashlib.sha256(weights).hexdigest()
        if digest != config["sha256"]:
            raise ValueError(
                f"{folder / 'model.onnx'} has the SHA-256 {digest[:12]}..., its "
                f"config.json says {config['sha256'][:12]}...; copy the version again"
            )
        self.labels, self.max_tokens = config["labels"], config["max_tokens"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(self.max_tokens)
        self.tokenizer.no_padding()
        self.pad_id = config["pad_id"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # the bytes that were hashed, not the file, which may be another by now
        self.session = onnxruntime.InferenceSession(
            weights, options, providers=["CPUExecutionProvider"]
        )

    def predict(self, texts, size=8):
        """Logits (B, C) as a float32 array, in the order of the texts. Texts of like
        length go through the network together, `size` at a time, so that little of the
        work is padding.
        """
        codes = self.tokenizer.encode_batch(list(texts))
        order = sorted(range(len(codes)), key=lambda i: len(codes[i].ids))
        logits = numpy.zeros((len(codes), len(self.labels)), numpy.float32)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            logits[rows] = self._logits([codes[i].ids for i in rows])
        return logits

    def _logits(self, rows):
        width = max(map(len, rows))
        ids = numpy.full((len(rows), width), self.pad_id, numpy.int64)
        mask = numpy.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        inputs = {"input_ids": ids, "attention_mask": mask}
        return self.session.run(["logits"], inputs)[0]


def load(folder, threads=1):
    """The model of a folder. Raises FileNotFoundError for a file that is missing,
    ValueError where model.onnx is not the file that config.json describes.
    """
    return OnnxModel(folder, threads)


def token_counter(folder):
    """count(text): how many tokens a text has for the model in this folder, uncut."""
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text).ids)
