"""The baseline of the label-efficiency figure: counted words, and a line through them.

    python recipes/tfidf_baseline.py --seeds 0 1 2
    python recipes/tfidf_baseline.py --sizes 10 100 --tests 200 --out runs/try.json

TF-IDF of words and word pairs with logistic regression, the cheapest method that a
network has to beat. Twice: on the whole review, and on the tokens that the networks of
label_efficiency.py read. The same seeds, training sets and test reviews as there.
Nothing is chosen by looking at results: C is 10, everywhere. Needs: scikit-learn.
"""

import argparse
import time
from pathlib import Path

from grid import about, add, done, same_settings  # beside this file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from transformers import AutoTokenizer

from ftlib.course import hub, sources
from ftlib.data import tables

SIZES = (10, 32, 100, 320, 1000, 3200, 10000)
WHOLE, CUT = "TF-IDF, whole review", "TF-IDF"


def beginnings(texts, tokens):
    """The part of each text that a network reads, whose rows hold `tokens` tokens."""
    tokenizer = AutoTokenizer.from_pretrained(hub.resolve("all-MiniLM-L6-v2"))
    settings = {"truncation": True, "max_length": tokens}
    rows = tokenizer(texts, return_offsets_mapping=True, **settings)["offset_mapping"]
    return [t[: max(b for _, b in row)] for t, row in zip(texts, rows, strict=True)]


def classifier(strength=10.0):
    """Counts of words and pairs of neighbours, damped, weighted by rarity; a line."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(words, LogisticRegression(C=strength, max_iter=2000))


def one_cell(train, test):
    """Train on columns text and label -> {accuracy, seconds} on `test`."""
    start = time.perf_counter()
    model = classifier().fit(train["text"], train["label"])
    seconds = time.perf_counter() - start
    score = model.score(test["text"], test["label"])
    return {"accuracy": round(score, 4), "seconds": round(seconds, 1)}


def parse():
    style = argparse.RawDescriptionHelpFormatter
    a = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    a.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    a.add_argument("--tokens", type=int, default=64)
    a.add_argument("--tests", type=int, default=1000)
    out = Path("data/results/label_efficiency_tfidf.json")
    a.add_argument("--out", type=Path, default=out)
    return a.parse_args()


def main():
    a = parse()
    facts = {**about(), "data": "imdb", "tokens": a.tokens, "tests": a.tests}
    same_settings(a.out, facts, ["tokens", "tests"])
    splits = sources.load("imdb")
    test = tables.subset(splits["test"], a.tests)
    there = done(a.out, "method", "n", "seed")
    for seed in a.seeds:
        for n in a.sizes:
            train = tables.subset(splits["train"], n, seed)
            for method in (WHOLE, CUT):
                if (method, n, seed) in there:
                    continue
                pair = [train, test]
                if method == CUT:
                    pair = [
                        {**p, "text": beginnings(p["text"], a.tokens)} for p in pair
                    ]
                cell = {"method": method, "n": n, "seed": seed, **one_cell(*pair)}
                add(a.out, cell, facts, order=["seed", "n", "method"])
                print(cell, flush=True)


if __name__ == "__main__":
    main()
