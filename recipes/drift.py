"""What chapter 24 shows and cannot compute while you wait: how a film classifier scores
its own sentences and Chinese shop reviews, and four ways to update it.

    python recipes/drift.py                    # two minutes on one core of its own
    python recipes/drift.py --seeds 0 --texts 60 --out runs/try.json

The classifier is MiniLM, frozen, with a logistic regression as its head (the stored
head of recipes/trust.py is version 1). A seed draws the labelled Chinese reviews and
the old sentences that are kept. Nothing is chosen on the test texts: C comes from
5-fold cross-validation on the labelled ones.
"""

import argparse
from pathlib import Path

import numpy
import torch
from finetune import encoder_of
from grid import about, add, done, read, same_settings
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from ftlib.course import sources
from ftlib.data import tables, tokenization
from ftlib.objectives import classify
from ftlib.training import continual, distributed

OUT, TRUST = Path("data/results/drift.json"), Path("data/results/trust.json")
TOKENS = 64
NEW, KEPT = 500, 500  # labelled Chinese reviews; old sentences in the memory
CS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
DATA = {"en": "rotten_tomatoes", "zh": "zh_shop_reviews"}
# how many texts of a split are read; None: all
SIZES = {
    ("en", "train"): 1500,
    ("en", "validation"): None,
    ("en", "test"): None,
    ("zh", "train"): 1500,
    ("zh", "validation"): 600,
    ("zh", "test"): 800,
}


def columns_of(language, part, limit=None):
    """{"text", "label"} of the first texts of a split, balanced by class."""
    columns = sources.load(DATA[language])[part]
    sizes = (SIZES[language, part], limit, len(columns["text"]))
    size = min(s for s in sizes if s is not None)
    if size == len(columns["text"]):
        return columns
    return tables.subset(columns, size, seed=0)


def vectors_of(texts):
    """(N, 384) of MiniLM, and the number of tokens of each text."""
    encoder, tokenizer = encoder_of("all-MiniLM-L6-v2")
    rows = tokenization.encode(tokenizer, texts, TOKENS)
    vectors = classify.features(encoder, classify.batches_of(rows))
    return vectors.numpy(), [len(row) for row in rows]


def everything(limit=None):
    """{(language, part): columns with vectors and tokens}."""
    found = {}
    for key in SIZES:
        columns = columns_of(*key, limit)
        vectors, tokens = vectors_of(columns["text"])
        found[key] = columns | {"vectors": vectors, "tokens": tokens}
    return found


def stored_head():
    """Weight (384,) and bias of version 1: the log-odds of "good"."""
    (head,) = (cell for cell in read(TRUST)["cells"] if cell["kind"] == "head")
    return numpy.array(head["weight"]), head["bias"]


def rounded(values, digits=4):
    return [round(float(v), digits) for v in values]


def scores_cell(data):
    """For each text: its tokens, its log-odds under version 1, and how far its vector
    lies from the mean of the training sentences (1 - cosine).
    """
    weight, bias = stored_head()
    middle = data["en", "train"]["vectors"].mean(0)
    cell = {}
    for name, key in {
        "validation": ("en", "validation"),
        "test": ("en", "test"),
        "new": ("zh", "validation"),
    }.items():
        own = data[key]
        lengths = numpy.linalg.norm(own["vectors"], axis=1) * numpy.linalg.norm(middle)
        cell[name] = {
            "tokens": own["tokens"],
            "odds": rounded(own["vectors"] @ weight + bias),
            "distance": rounded(1 - own["vectors"] @ middle / lengths),
            "label": own["label"],
        }
    return {"scores": cell}


def fitted(make, x, y):
    """The model with the C of the best cross-validation, fitted; and that C."""
    means = {C: cross_val_score(make(C), x, y, cv=5).mean() for C in CS}
    C = max(means, key=means.get)
    return make(C).fit(x, y), C


def logistic(C):
    return LogisticRegression(C=C, max_iter=3000)


def words(C):
    """Characters and their pairs and triples, which serve both languages."""
    counts = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    return make_pipeline(counts, LogisticRegression(C=30 * C, max_iter=3000))


def chosen(columns, rows):
    return {k: [columns[k][i] for i in rows] for k in ("text", "label", "vectors")}


def joined(*parts):
    return {k: [v for part in parts for v in part[k]] for k in parts[0]}


def update_cell(data, way, seed):
    """One way to learn from NEW labelled Chinese reviews -> accuracies on the English
    and the Chinese test texts.
    """
    old, new = data["en", "train"], data["zh", "train"]
    draw = torch.Generator().manual_seed(seed)
    few = torch.randperm(len(new["label"]), generator=draw)[:NEW].tolist()
    kept = continual.reservoir(range(len(old["label"])), KEPT, seed)
    labelled, memory = chosen(new, few), chosen(old, kept)
    trained = {
        "new data alone": labelled,
        "with replay": joined(labelled, memory),
        "everything": joined(labelled, chosen(old, range(len(old["label"])))),
        "counted characters": joined(labelled, chosen(old, range(len(old["label"])))),
    }
    tests = [data["en", "test"], data["zh", "test"]]
    if way == "no update":
        weight, bias = stored_head()
        right = [(t["vectors"] @ weight + bias > 0) == t["label"] for t in tests]
        return {"accuracy": rounded([r.mean() for r in right])}
    rows = trained[way]
    kind = "text" if way == "counted characters" else "vectors"
    make = words if kind == "text" else logistic
    model, C = fitted(make, rows[kind], rows["label"])
    cell = {"C": C, "rows": len(rows["label"])}
    cell["accuracy"] = rounded([model.score(t[kind], t["label"]) for t in tests])
    if kind == "vectors":
        cell |= {"weight": rounded(model.coef_[0], 5)}
        cell |= {"bias": round(float(model.intercept_[0]), 5)}
    return cell


WAYS = (
    "no update",
    "new data alone",
    "with replay",
    "everything",
    "counted characters",
)


def plan(seeds):
    """(kind, name, seed) of every cell."""
    yield "scores", "version 1", 0
    for seed in seeds:
        for way in WAYS:
            yield "update", way, seed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--texts", type=int, help="at most so many of a split")
    parser.add_argument("--out", type=Path, default=OUT)
    settings = parser.parse_args()
    ctx = distributed.setup(seed=0)
    facts = about(ctx) | {"tokens": TOKENS, "new": NEW, "kept": KEPT, "Cs": list(CS)}
    facts |= {"texts": settings.texts}
    same_settings(settings.out, facts, ["texts"])
    have = done(settings.out, "kind", "name", "seed")
    missing = [cell for cell in plan(settings.seeds) if cell not in have]
    if not missing:
        return
    data = everything(settings.texts)
    for kind, name, seed in missing:
        made = scores_cell(data) if kind == "scores" else update_cell(data, name, seed)
        cell = {"kind": kind, "name": name, "seed": seed} | made
        add(settings.out, cell, facts, order=["kind", "name", "seed"])
        print(kind, name, seed, made.get("accuracy", ""))


if __name__ == "__main__":
    main()
