"""The model of a project's folder, read again: answers for a table, and an HTTP
service.

    python -m ftlib predict projects/reviews new.csv --text review > answers.csv
    python -m ftlib serve projects/reviews

`Served(folder).predict(texts)` are log-probabilities (N, C). `load` and `counter` are
what ftlib/deploy/serve.py asks for. It reads JSON and safetensors or ONNX, nothing that
can run code.
"""

import csv
import json
import sys
from pathlib import Path

import numpy
import torch

from ftlib.course.project import candidates, numbers, reading, watch
from ftlib.data import tokenization

WORDS = "counted words"
LONGEST = 5000  # characters of a text that a service of counted words takes


class Served:
    """The model of a project's folder: `predict(texts)`, or `predict(columns)` of a
    table, -> log-probabilities (N, C) at the project's temperature. `labels` are the
    names of the classes.
    """

    def __init__(self, folder):
        folder = Path(folder)
        if not (folder / "project.json").is_file():
            folder = folder / "model"
        if not (folder / "project.json").is_file():
            raise ValueError(
                f"{folder} has no project.json; give the folder that "
                "`python -m ftlib project` has written"
            )
        facts = json.loads((folder / "project.json").read_text(encoding="utf-8"))
        self.folder, self.kind, self.labels = folder, facts["kind"], facts["labels"]
        self.text, self.temperature = facts.get("text"), facts["temperature"]
        self.is_text = (folder / "tokenizer.json").exists() or self.kind == WORDS
        if not self.is_text:
            model = numbers.load(folder)
            self.logits, self.shape = model.predict, model.columns
            self.columns = [*self.shape.scales, *self.shape.kinds]
        elif self.kind == WORDS:
            self.logits = candidates.Words.load(folder).predict
        else:
            self.logits = _network(folder)

    def predict(self, inputs):
        inputs = list(inputs) if self.is_text else inputs
        logits = torch.as_tensor(self.logits(inputs), dtype=torch.float64)
        return torch.log_softmax(logits / self.temperature, dim=1)

    def inputs_of(self, columns, text=None):
        """What `predict` reads of a table's columns. Raises ValueError for a column
        that is not there.
        """
        text = text or self.text or "text"
        for name in [text] if self.is_text else self.columns:
            if name not in columns:
                raise ValueError(
                    f"there is no column {name!r}; the file has {', '.join(columns)}"
                )
        return columns[text] if self.is_text else columns


def _network(folder):
    from ftlib.deploy import export

    service, tokenizer = export.load(folder, None), tokenization.load(folder)
    tokens = service.facts["max_tokens"]
    # cut as the network was trained, and not by the service's tokenizer
    return lambda texts: service.predict_rows(
        candidates.rows_of(tokenizer, texts, tokens)
    )


def predict(options, out=None):
    """Write the table again as CSV with two more columns, `answer` and `confidence`.
    Whether the rows have drifted is said beside it.
    """
    served, columns = Served(options.folder), reading.read(options.file)
    inputs = served.inputs_of(columns, options.text)
    log_p = served.predict(inputs)
    lines = csv.writer(out or sys.stdout, lineterminator="\n")
    lines.writerow([*columns, "answer", "confidence"])
    for row, p in zip(zip(*columns.values()), log_p.exp()):
        lines.writerow([*row, served.labels[int(p.argmax())], f"{float(p.max()):.4f}"])
    if (served.folder / watch.FILE).is_file():
        result = watch.Reference.load(served.folder).compare(inputs, log_p)
        print(watch.sentence(result), file=sys.stderr)


# --- over HTTP


class Rows:
    """`predict(texts)` -> (N, C) as the service wants it."""

    def __init__(self, served):
        self.served = served

    def predict(self, texts):
        return self.served.predict(texts).numpy()


def load(folder):
    """For `--load` of ftlib/deploy/serve.py: any model of texts, at its temperature, a
    long text cut as in training.
    """
    return Rows(Served(folder))


def counter(folder):
    """For `--count`: characters for counted words. A network takes every text, because
    it is cut as in training.
    """
    return len if Served(folder).kind == WORDS else lambda text: 1


def write_config(folder, labels):
    """config.json of a model without one: what the service reads first."""
    facts = {"labels": labels, "max_tokens": LONGEST, "counted in": "characters"}
    text = json.dumps(facts, ensure_ascii=False, indent=1) + "\n"
    (Path(folder) / "config.json").write_text(text, encoding="utf-8")


def serve(folder, more=()):
    """Answer over HTTP until it is stopped. more: options of ftlib/deploy/serve.py."""
    if not Served(folder).is_text:
        raise ValueError(
            f"{folder} reads a table, and the service reads texts; use "
            "`python -m ftlib predict`"
        )
    try:
        from ftlib.deploy import serve as service
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{error.name} is not installed; pip install 'ftlib[serve]'"
        ) from error
    here = "ftlib.course.project.served"
    service.main(
        [str(folder), "--load", f"{here}:load", "--count", f"{here}:counter", *more]
    )


def largest_difference(folder, model, inputs, temperature):
    """Of a log-probability of the folder's model to the same one of `model`."""
    theirs = Served(folder).predict(inputs).numpy()
    ours = torch.log_softmax(model.predict(inputs) / temperature, dim=1).numpy()
    return float(numpy.abs(theirs - ours).max())
