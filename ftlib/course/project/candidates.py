"""The models that a project compares: counted words with a logistic regression, a
frozen pretrained encoder with one, and the same encoder fine-tuned.

    >>> texts = ["a good film", "good fun", "a bad film", "bad taste"] * 5
    >>> words = Words().fit(texts, [1, 1, 0, 0] * 5)
    >>> words.predict(["good", "bad"]).argmax(1).tolist()
    [1, 0]

Each has `predict(texts)` -> log-probabilities (N, C), float64. What they may cost is
counted in minutes: `plan` measures this machine for a few seconds and says how many
tokens of how many texts there is time for.
"""

import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ftlib.course import hub
from ftlib.course.project.folds import folds_of
from ftlib.data import tokenization
from ftlib.models import hf_format, transformer
from ftlib.objectives import classify
from ftlib.training import optim, train

ENCODERS = {"en": "all-MiniLM-L6-v2", "zh": "zh-bert-mini"}
LENGTHS = (256, 128, 64)  # tokens of a text, the most first
CHUNK = 256  # texts whose vectors are kept in one file
LEAST = 50  # texts; with fewer a network is not worth its minutes
PART = 4  # a network answers validation texts for a quarter of its time at most
MANY = 10_000  # texts, from which on three folds are enough
LR, EPOCHS, SIZE, DECAY = 3e-4, 3, 16, 0.8
# a step of training costs about as much as this many forward passes
BACKWARD = 3.5


# --- counted words


class Words:
    """Counted words and signs and pairs of them (characters where the text is Chinese),
    weighted by rarity, and a logistic regression whose C five-fold cross-validation
    chooses; with `groups` of the rows no group is on both sides of a fold.
    """

    def __init__(self, language="en"):
        self.language = language

    def _counts(self, **more):
        chinese = {"analyzer": "char", "ngram_range": (1, 3)}
        # words of one letter and signs too: a text may have nothing else
        words = {"token_pattern": r"\w+|[^\w\s]", "ngram_range": (1, 2)}
        how = chinese if self.language == "zh" else words
        return TfidfVectorizer(sublinear_tf=True, **how, **more)

    def fit(self, texts, labels, groups=None):
        most = 200_000  # terms; a service has to load them
        strength = {"logisticregression__C": (1, 3, 10, 30, 100)}
        folds = folds_of(labels, groups, 3 if len(texts) > MANY else 5)
        with tempfile.TemporaryDirectory() as counted:
            # each fold's texts are counted once, and not for each C again
            line = make_pipeline(
                self._counts(max_features=most),
                LogisticRegression(max_iter=2000),
                memory=counted,
            )
            search = GridSearchCV(line, strength, cv=folds).fit(texts, labels)
        self.C = search.best_params_["logisticregression__C"]
        self.counts, line = (step for _, step in search.best_estimator_.steps)
        self.weight, self.bias = _two_sided(line)
        return self

    def predict(self, texts):
        rows = self.counts.transform(list(texts))
        logits = rows @ self.weight.numpy().T + self.bias.numpy()
        return torch.log_softmax(torch.as_tensor(logits), dim=1)

    def save(self, folder):
        """words.json and words.safetensors: data and no pickle, so nothing can run."""
        folder = Path(folder)
        terms = {term: int(i) for term, i in self.counts.vocabulary_.items()}
        facts = {"language": self.language, "C": self.C, "terms": terms}
        text = json.dumps(facts, ensure_ascii=False)
        (folder / "words.json").write_text(text, encoding="utf-8")
        idf = torch.as_tensor(self.counts.idf_)
        tensors = {"weight": self.weight, "bias": self.bias, "idf": idf}
        save_file(tensors, folder / "words.safetensors")

    @classmethod
    def load(cls, folder):
        folder = Path(folder)
        facts = json.loads((folder / "words.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "words.safetensors")
        words = cls(facts["language"])
        words.C, words.weight, words.bias = (
            facts["C"],
            tensors["weight"],
            tensors["bias"],
        )
        words.counts = words._counts(vocabulary=facts["terms"])
        words.counts.idf_ = tensors["idf"].numpy()
        return words


def single_terms(language):
    """A counter of which words a text has; of pairs of characters where it is Chinese,
    which has no spaces.
    """
    chinese = {"analyzer": "char", "ngram_range": (2, 2)}
    how = chinese if language == "zh" else {"token_pattern": r"\b\w\w\w+\b"}
    return CountVectorizer(binary=True, min_df=2, **how)


def _two_sided(line):
    """(weight (C, D), bias (C,)) of a fitted logistic regression; with two classes
    scikit-learn keeps one row.
    """
    weight, bias = torch.as_tensor(line.coef_), torch.as_tensor(line.intercept_)
    if len(weight) == 1:
        weight = torch.cat([torch.zeros_like(weight), weight])
        bias = torch.cat([torch.zeros_like(bias), bias])
    return weight.contiguous(), bias.contiguous()


# --- what there is time for


class Plan(NamedTuple):
    """tokens: of a text, at most. frozen, tuned: how many training texts each way gets;
    0 leaves it out. speed: tokens a second of a forward pass. validation, test: how
    many texts a network answers, None for all. seconds: of a text's forward pass.
    """

    tokens: int
    frozen: int
    tuned: int
    speed: float
    validation: int | None = None
    test: int | None = None
    seconds: float = 0.0


def plan(encoder, tokenizer, texts, answered, minutes, dtype=None) -> Plan:
    """What fits into `minutes`, half for the frozen encoder and half for fine-tuning.

    texts: of the training part. answered: (validation, test) texts. Where not all can
    be read, a quarter of the time goes to each of them and the rest to training. The
    speed is measured on up to 64 texts.
    """
    some = tokenization.encode(tokenizer, texts[:64], LENGTHS[-1])
    batches = list(classify.batches_of(some))
    classify.features(encoder, batches[:1], dtype=dtype)  # the first is slower
    start = time.perf_counter()
    classify.features(encoder, batches, dtype=dtype)
    speed = sum(map(len, some)) / (time.perf_counter() - start)
    lengths = [len(row) for row in tokenization.encode(tokenizer, texts[:500])]
    for tokens in LENGTHS:
        mean = sum(min(tokens, n) for n in lengths) / len(lengths)
        capacity = minutes * 60 / 2 * speed / mean  # texts read in half the time
        if capacity >= len(texts) + sum(answered):
            break
    validation, test = (min(n, int(capacity / PART)) for n in answered)
    left = capacity - validation - test
    frozen = max(0, min(len(texts), int(left)))
    tuned = max(0, min(len(texts), int(left / (BACKWARD * EPOCHS))))
    if validation < min(LEAST, answered[0]) or test < min(LEAST, answered[1]):
        frozen = tuned = 0
    frozen, tuned = (n if n >= LEAST else 0 for n in (frozen, tuned))
    return Plan(tokens, frozen, tuned, speed, validation, test, mean / speed)


# --- encoders


def encoder_of(name):
    """(encoder, tokenizer) of a name in hub.MODELS or of a folder."""
    folder = hub.resolve(name)
    net = transformer.from_state(*hf_format.load(folder, dropout=0.0))
    return getattr(net, "encoder", net), tokenization.load(folder)


def rows_of(tokenizer, texts, tokens):
    """Token ids; of a long text both ends, as each has a part of the verdict."""
    return tokenization.encode(tokenizer, texts, tokens, keep="both")


class Network:
    """An encoder with a linear head that predicts from texts."""

    def __init__(self, net, tokenizer, tokens, dtype=None):
        self.net, self.tokenizer, self.tokens = net, tokenizer, tokens
        self.dtype = dtype

    def predict(self, texts):
        rows = rows_of(self.tokenizer, texts, self.tokens)
        logits = classify.predict(self.net, classify.batches_of(rows), self.dtype)
        return torch.log_softmax(logits.double(), dim=1)


class Frozen(Network):
    """The same on frozen vectors, which are kept in `folder`, so that nothing is read
    twice.
    """

    def __init__(self, net, tokenizer, tokens, folder, dtype=None):
        super().__init__(net, tokenizer, tokens, dtype)
        self.folder = Path(folder)

    @torch.no_grad()
    def predict(self, texts):
        own = self.folder / hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
        made = vectors(
            self.net.encoder, self.tokenizer, texts, self.tokens, own, dtype=self.dtype
        )
        logits = self.net.head.float()(made)
        return torch.log_softmax(logits.double(), dim=1)


def vectors(
    encoder, tokenizer, texts, tokens, folder, show=iter, dtype=None, until=None
):
    """(N, D) frozen vectors of the texts, a file for each 256 of them in `folder`, so
    that an interrupted run goes on. until: the time (time.time()) after which no more
    are computed; then the vectors are those of the first texts.
    """
    folder, chunks = Path(folder), []
    folder.mkdir(parents=True, exist_ok=True)
    for first in show(range(0, len(texts), CHUNK)):
        path = folder / f"{first}.safetensors"
        if not path.exists():
            if until is not None and chunks and time.time() > until:
                break
            rows = rows_of(tokenizer, texts[first : first + CHUNK], tokens)
            made = classify.features(encoder, classify.batches_of(rows), dtype=dtype)
            save_file({"vectors": made.float().cpu()}, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)
        chunks.append(load_file(path)["vectors"])
    return torch.cat(chunks)


def head_on(encoder, inside, labels, classes, groups=None):
    """A Classifier whose head is the logistic regression on frozen vectors (N, D); C by
    cross-validation. The scaling of the vectors is folded into the head.
    """
    line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    strength = {"logisticregression__C": (1e-3, 1e-2, 0.1, 1.0)}
    search = GridSearchCV(line, strength, cv=folds_of(labels, groups))
    search.fit(inside.numpy(), labels)
    scaler, line = (step for _, step in search.best_estimator_.steps)
    weight, bias = _two_sided(line)
    scale = torch.as_tensor(scaler.scale_)
    weight = weight / scale
    bias = bias - weight @ torch.as_tensor(scaler.mean_)
    net = classify.Classifier(encoder, classes)
    with torch.no_grad():
        net.head.weight.copy_(weight)
        net.head.bias.copy_(bias)
    return net


def tuned(encoder, tokenizer, texts, labels, classes, tokens, seed=0, dtype=None):
    """(net, iterator of train.Step, number of steps): run the iterator to its end and
    the net is fine-tuned, all layers, lower ones at lower rates.
    """
    torch.manual_seed(seed)
    net = classify.Classifier(encoder, classes)
    rows = rows_of(tokenizer, texts, tokens)
    lengths = list(map(len, rows))
    order = [
        batch
        for epoch in range(EPOCHS)
        for batch in classify.length_grouped(lengths, SIZE, seed, epoch)
    ]
    steps = train.steps(
        net,
        classify.batches_of(rows, labels, order=order, classes=classes),
        classify.classification_loss,
        optim.adamw(optim.parameter_groups(net, LR, layer_decay=DECAY)),
        dtype=dtype,
        schedule=lambda s: optim.warmup_linear(s, max(1, len(order) // 10), len(order)),
    )
    return net, steps, len(order)
