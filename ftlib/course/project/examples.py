"""Five prepared projects, each a table like one of your own:

    python -m ftlib project --example german-credit
    python -m ftlib project --example film-reviews --rows 3000

`write` puts the table into a CSV file, and from there on nothing is special.

    >>> sorted(EXAMPLES)[:3]
    ['breast-cancer', 'film-reviews', 'german-credit']
"""

import csv
import hashlib
from pathlib import Path
from typing import NamedTuple

from ftlib.course import sources


class Example(NamedTuple):
    """A project's columns, and one sentence about it. make() -> {column: cells}."""

    text: str | None
    label: str
    about: str
    make: object


def _films():
    table = {"review": [], "verdict": [], "source": []}
    for source in ("imdb", "rotten_tomatoes"):
        _add_texts(table, sources.load(source), "review", source=source)
    return table


def _shop():
    table = {"review": [], "verdict": []}
    _add_texts(table, sources.load("zh_shop_reviews"), "review")
    return table


def _add_texts(table, splits, text, **more):
    for columns in splits.values():
        table[text] += columns["text"]
        table["verdict"] += [("bad", "good")[label] for label in columns["label"]]
        for name, value in more.items():
            table[name] += [value] * len(columns["text"])


def _tumours():
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    table = dict(zip(map(str, data.feature_names), data.data.T.tolist()))
    return table | {"tumour": [str(data.target_names[i]) for i in data.target]}


def _credit():
    table = dict(sources.load("german_credit")["all"])
    # read from another column by a documentation that is wrong (data/README.md)
    table.pop("sex")
    risk = [("bad", "good")[label] for label in table.pop("label")]
    return table | {"risk": risk}


def _power():
    table = sources.power_signatures()
    numbers = [f"appliance {label}" for label in table.pop("label")]
    return table | {"appliance": numbers}


EXAMPLES = {
    "film-reviews": Example(
        "review", "verdict", "33,432 film reviews and sentences, English", _films
    ),
    "shop-reviews": Example("review", "verdict", "17,361 shop reviews, Chinese", _shop),
    "breast-cancer": Example(
        None, "tumour", "medicine: 569 tumours, measured in microscope pictures",
        _tumours,
    ),
    "power-signatures": Example(
        None, "appliance", "industry: 200 recordings of the power of ten kinds",
        _power,
    ),
    "german-credit": Example(
        None, "risk", "finance: 1,000 loans of the 1970s; for no decision", _credit
    ),
}  # fmt: skip


def write(name, path, rows=None) -> Example:
    """Write the example's table to `path` as CSV. rows: that many, drawn by a hash.

    Raises ValueError for an unknown name, OSError where its package cannot be fetched.
    """
    if name not in EXAMPLES:
        raise ValueError(f"no example {name!r}; there are {', '.join(EXAMPLES)}")
    table = EXAMPLES[name].make()
    lines = list(zip(*table.values()))
    if rows is not None and rows < len(lines):
        kept = sorted(range(len(lines)), key=_order)[:rows]
        lines = [lines[row] for row in sorted(kept)]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(table)
        out.writerows(lines)
    return EXAMPLES[name]


def _order(row):
    return hashlib.sha256(str(row).encode()).digest()


def fill(options) -> None:
    """An example's name in the options becomes a file and its columns."""
    if (options.example is None) == (options.file is None):
        raise ValueError(
            "give the path of a table, or --example with one of "
            f"{', '.join(EXAMPLES)}; not both"
        )
    if options.rows is not None and options.example is None:
        raise ValueError("--rows is for an example; cut your own file yourself")
    if options.example is None:
        return
    path = Path("projects") / f"{options.example}.csv"
    made = write(options.example, path, options.rows)
    options.file, options.text, options.label = str(path), made.text, made.label
