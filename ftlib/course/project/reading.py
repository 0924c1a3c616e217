"""A table of texts and labels from a file: what is wrong with it, and three parts that
share no text and no group.

    >>> rows = {"review": ["good film", "Good  film", "bad film", "so so"]}
    >>> rows["stars"] = ["5", "5", "1", "1"]
    >>> texts, labels, facts = usable(rows, "review", "stars")
    >>> texts, facts["repeated"]
    (['good film', 'bad film', 'so so'], 1)

Raises ValueError with one sentence for a file or a column that cannot be used.
"""

import csv
import hashlib
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ftlib.data import tables

PARTS = {"train": 0.7, "validation": 0.15, "test": 0.15}
MOST_CLASSES, LEAST_ROWS = 50, 10  # classes in all; rows of each class
SHOWN = 40  # characters of a value in a message


class Data(NamedTuple):
    """`names` of the C classes; `parts`: {"train", "validation", "test"} -> columns
    {"text", "label" (class ids), and the other columns as text}; `facts` about the
    file.
    """

    names: list[str]
    parts: dict[str, dict]
    facts: dict


# --- the file


def read(path) -> dict[str, list[str]]:
    """{column: cells as text} of a .csv, .tsv or .jsonl file in UTF-8."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file; give the table's path")
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 (byte {error.start}); save the table as "
            '"CSV UTF-8", or convert it: iconv -f GBK -t UTF-8'
        ) from error
    rows = _json_rows if path.suffix in (".jsonl", ".json") else _table_rows
    try:
        columns = rows(path, content)
    except csv.Error as error:
        raise ValueError(
            f"{path}: {error}; double a quote inside of a text, or take it away"
        ) from error
    if not columns or not next(iter(columns.values())):
        raise ValueError(
            f"{path} has no row below its header; give a file with one row per text"
        )
    return columns


def _table_rows(path, content):
    delimiter = "\t" if path.suffix == ".tsv" else ","
    csv.field_size_limit(10_000_000)
    # strict: a quote that is never closed would swallow the rows behind it
    lines = csv.reader(
        io.StringIO(content, newline=""), delimiter=delimiter, strict=True
    )
    header = [name.strip() for name in next(lines, [])]
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice or not all(header):
        what = f"two columns {twice[0]!r}" if twice else "a column without a name"
        raise ValueError(f"{path} has {what}; give each column a name of its own")
    columns = {name: [] for name in header}
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {lines.line_num}: {len(cells)} cells, the header has "
                f"{len(header)}; put a text that holds {delimiter!r} between double "
                "quotes"
            )
        for name, cell in zip(header, cells):
            columns[name].append(cell)
    return columns


def _json_rows(path, content):
    rows = []
    # not splitlines: a text may hold other characters that end a line
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise ValueError(
                f'{path}, line {number} is no object; write one {{"text": ...}} a line'
            )
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {n: ["" if r.get(n) is None else str(r[n]) for r in rows] for n in names}


def fingerprint(path) -> str:
    """The file's SHA-256, 16 digits of it."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


# --- what is in it


def usable(columns, text, label, distinct=True):
    """(texts, labels, facts) without rows that have no text, no label, or the text of a
    row before. Of a text with two labels no row stays: nobody knows which is right.

    distinct: False keeps such rows, as two people may have the same numbers.
    """
    for name in (text, label):
        if name not in columns:
            raise ValueError(
                f"there is no column {name!r}; the file has {', '.join(columns)}"
            )
    facts = Counter(rows=len(columns[text]))
    labels_of = {}
    for words, name in zip(columns[text], columns[label]):
        if words.strip() and name.strip():
            labels_of.setdefault(tables.same(words), set()).add(name.strip())
    kept, seen = [], set()
    for row, (words, name) in enumerate(zip(columns[text], columns[label])):
        key = tables.same(words)
        if not words.strip() or not name.strip():
            facts["no text" if not words.strip() else "no label"] += 1
        elif distinct and len(labels_of[key]) > 1:
            facts["two labels"] += 1
        elif distinct and key in seen:
            facts["repeated"] += 1
        else:
            seen.add(key)
            kept.append(row)
    texts = [columns[text][row] for row in kept]
    labels = [columns[label][row].strip() for row in kept]
    return texts, labels, {**facts, "used": len(kept), "kept rows": kept}


def _check_classes(labels, column):
    counts = Counter(labels)
    if len(counts) < 2:
        raise ValueError(
            f"column {column!r} has {len(counts)} different values among the usable "
            "rows; a classifier needs two classes or more"
        )
    if len(counts) > MOST_CLASSES:
        raise ValueError(
            f"column {column!r} has {len(counts)} different values such as "
            f"{', '.join(sorted(counts)[:3])[:SHOWN]}, at most {MOST_CLASSES} are "
            "classes; join them, or cut numbers into ranges"
        )
    name, count = counts.most_common()[-1]
    if count < LEAST_ROWS:
        raise ValueError(
            f"class {name[:SHOWN]!r} has {count} rows, each class needs {LEAST_ROWS} "
            "so that some can be tested; find more, or join it with another class"
        )


def language(texts) -> str:
    """ "zh" where a third of the letters are Chinese characters, else "en"; other
    languages are not told apart.
    """
    some = "".join(texts[:: max(1, len(texts) // 500)])
    letters = sum(c.isalpha() for c in some)
    chinese = len(re.findall(r"[\u4e00-\u9fff]", some))
    return "zh" if letters and chinese / letters > 1 / 3 else "en"


# --- the parts


def _order(value, seed):
    return hashlib.sha256(f"{seed} {value}".encode()).hexdigest()


def sides(texts, labels, groups=None, seed=0) -> list[str]:
    """The part of each row: by a hash of its text within its class, or, with `groups`,
    by a hash of its group, so that no person or product is on two sides.

    Raises ValueError where a class is missing from a part.
    """
    if groups is not None:
        ends, total = {}, 0.0
        for name, fraction in PARTS.items():
            total += fraction
            ends[name] = total
        side = {}
        for group in set(groups):
            position = int(_order(group, seed)[:8], 16) / 16**8
            side[group] = next(
                name for name, end in ends.items() if position < end + 1e-9
            )
        result = [side[group] for group in groups]
    else:
        result = [""] * len(texts)
        for name in sorted(set(labels)):
            rows = [row for row, own in enumerate(labels) if own == name]
            rows.sort(key=lambda row: _order(tables.same(texts[row]), seed))
            first = 0
            for number, (part, fraction) in enumerate(PARTS.items(), 1):
                last = (
                    len(rows)
                    if number == len(PARTS)
                    else first + max(1, round(fraction * len(rows)))
                )
                for row in rows[first:last]:
                    result[row] = part
                first = last
    _check_sides(result, labels)
    return result


def _check_sides(result, labels):
    for part in PARTS:
        here = {label for side, label in zip(result, labels) if side == part}
        missing = sorted(set(labels) - here)
        rows = Counter(label for side, label in zip(result, labels) if side == "train")
        missing += sorted(name for name in set(labels) if rows[name] < 2)
        if missing:
            raise ValueError(
                f"too few rows of class {missing[0][:SHOWN]!r} came into the {part} "
                "part; "
                "its rows belong to too few groups, so find more or leave --group out"
            )


def as_text(columns, names):
    """One text for each row of a table without texts: "age 31, kind a". It decides the
    row's part, and shows the row.
    """
    rows = zip(*(columns[name] for name in names))
    return [", ".join(f"{n} {c}" for n, c in zip(names, row)) for row in rows]


def data_of(path, text, label, group=None, seed=0) -> Data:
    """Read, check and deal the table of a file. text: the column of texts, or None for
    a table of numbers and categories.
    """
    columns = read(path)
    is_text = text is not None
    if not is_text:
        names = [name for name in columns if name not in (label, group)]
        for name in {"text", "label"} & set(names):
            raise ValueError(
                f"{path} has a column {name!r} beside --label {label}, a name that is "
                "used inside; rename it"
            )
        text = "a row of the table"
        columns = columns | {text: as_text(columns, names)}
    texts, labels, facts = usable(columns, text, label, is_text)
    _check_classes(labels, label)
    kept = facts.pop("kept rows")
    others = {
        name: [cells[row] for row in kept]
        for name, cells in columns.items()
        if name not in (text, label)
    }
    if group is not None and group not in others:
        raise ValueError(
            f"there is no column {group!r} to group by; the file has "
            f"{', '.join(columns)}"
        )
    result = sides(texts, labels, group and others[group], seed)
    names = sorted(set(labels), key=_as_number)
    parts = {}
    for part in PARTS:
        rows = [row for row, side in enumerate(result) if side == part]
        parts[part] = {"text": [texts[row] for row in rows]}
        parts[part]["label"] = [names.index(labels[row]) for row in rows]
        for name, cells in others.items():
            parts[part].setdefault(name, [cells[row] for row in rows])
    lengths = sorted(len(words) for words in texts)
    facts |= {"language": language(texts), "sha256": fingerprint(path)}
    facts |= {"characters": [lengths[0], lengths[len(lengths) // 2], lengths[-1]]}
    facts["classes"] = {
        name: {p: parts[p]["label"].count(i) for p in PARTS}
        for i, name in enumerate(names)
    }
    return Data(names, parts, facts)


def _as_number(name):
    """Names that are numbers in the order of the numbers, before the other names."""
    try:
        return (0, float(name), name)
    except ValueError:
        return (1, 0.0, name)
