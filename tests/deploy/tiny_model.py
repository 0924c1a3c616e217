"""A model for the tests of the service: its answer is a function of the text and of one
number in a file, and it has texts that break it, block it and answer NaN.

    python -m ftlib.deploy.serve FOLDER --load tiny_model:load
"""

import hashlib
import json
import pathlib
import time
import zlib

import numpy
from tokenizers import Tokenizer, models, pre_tokenizers


class Tiny:
    def __init__(self, shift):
        self.shift = shift

    def predict(self, texts):
        if any(text == "poison" for text in texts):
            raise RuntimeError(f"secret inside of the model: {texts}")
        slow = [float(t.split()[1]) for t in texts if t.startswith("slow")]
        time.sleep(max(slow, default=0))
        rows = numpy.array([expected(text, self.shift) for text in texts])
        if "nan" in texts:
            rows[texts.index("nan")] = numpy.nan
        return rows


def expected(text, shift):
    """Scores of a text: a different row for each."""
    return [(zlib.crc32(text.encode()) % 1000) / 500 - 1 + shift, 0.0]


def probability(text, shift):
    """Of the more probable class."""
    score = abs(expected(text, shift)[0])
    return 1 / (1 + numpy.exp(-score))


def save(folder, shift):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    weights = json.dumps({"shift": shift}).encode()
    (folder / "model.json").write_bytes(weights)
    config = {
        "labels": ["high", "low"],
        "max_tokens": 20,
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


def load(folder):
    folder = pathlib.Path(folder)
    weights = (folder / "model.json").read_bytes()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if hashlib.sha256(weights).hexdigest() != config["sha256"]:
        raise ValueError(f"{folder} has another model than its config says")
    return Tiny(json.loads(weights)["shift"])
