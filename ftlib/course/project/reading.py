"""A table of texts and labels: what is wrong with it, and three parts that share no
text and no group.

    >>> rows = {"review": ["good film", "Good  film", "bad film", "so so"]}
    >>> rows["stars"] = ["5", "5", "1", "1"]
    >>> texts, labels, facts = usable(rows, "review", "stars")
    >>> texts, facts["repeated"]
    (['good film', 'bad film', 'so so'], 1)

Raises ValueError with one sentence for a file or a column that cannot be used.
"""

import hashlib
import re
from collections import Counter
from typing import NamedTuple

from ftlib.course.project.table_file import fingerprint, read
from ftlib.data import tables

PARTS = {"train": 0.7, "validation": 0.15, "test": 0.15}
MOST_CLASSES, LEAST_ROWS = 50, 10  # classes in all; rows of each class
# rows of a class in a part
LEAST_OF_CLASS = {"train": 2, "validation": 1, "test": 1}
SPLITS = 2000  # that are tried for every class to be in every part
SHOWN = 40  # characters of a value in a message


class Data(NamedTuple):
    """`names` of the C classes; `parts`: {"train", "validation", "test"} -> columns
    {"text", "label" (class ids), and the other columns as text}; `facts` about the
    file.
    """

    names: list[str]
    parts: dict[str, dict]
    facts: dict


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


def position_of(value, seed=0, split=0) -> float:
    """A number from 0 to 1 that depends on `value` alone, and on which split it is."""
    first = f"{seed} {value}" if split == 0 else f"{seed}.{split} {value}"
    return int(hashlib.sha256(first.encode()).hexdigest()[:12], 16) / 16**12


def sides(texts, labels, groups=None, seed=0, split=0) -> list[str]:
    """The part of each row: by a hash of its text, or, with `groups`, of its group, so
    that no person or product is on two sides. The limits are fixed, so that a row keeps
    its part whatever other rows come or go.

    Raises ValueError where a class is missing from a part.
    """
    keys = _keys(texts, labels) if groups is None else groups
    ends, total = {}, 0.0
    for name, fraction in PARTS.items():
        total += fraction
        ends[name] = total + 1e-9
    side = {}
    for key in set(keys):
        position = position_of(key, seed, split)
        side[key] = next(name for name, end in ends.items() if position < end)
    result = [side[key] for key in keys]
    _check_sides(result, labels, groups is not None)
    return result


def _keys(texts, labels):
    """What decides about each row: its text; of equal rows, which a table of numbers
    may have, the second has another key than the first, and so on.
    """
    seen, keys = Counter(), []
    for text, label in zip(texts, labels):
        text = tables.same(text)
        copy, seen[text, label] = seen[text, label], seen[text, label] + 1
        keys.append(f"{text}\0{copy}" if copy else text)
    return keys


def _check_sides(result, labels, is_grouped):
    for part, least in LEAST_OF_CLASS.items():
        rows = Counter(own for side, own in zip(result, labels) if side == part)
        for name, count in sorted(Counter(labels).items()):
            if rows[name] < least:
                remedy = (
                    "its rows belong to too few groups, so find more or leave --group "
                    "out"
                    if is_grouped
                    else "find more rows of it, or join it with another class"
                )
                raise ValueError(
                    f"too few rows of class {name[:SHOWN]!r} came into the {part} part "
                    f"({rows[name]} of {count}, at least {least}); {remedy}"
                )


def dealt(texts, labels, groups=None, seed=0, split=None) -> tuple[list[str], int]:
    """(the part of each row, the number of the split). split: one to keep to, as rows
    may have been added since it was made; without one the first with every class in
    every part.
    """
    if split is not None:
        return sides(texts, labels, groups, seed, split), split
    first = None
    for number in range(min(SPLITS, max(20, 2_000_000 // len(texts)))):
        try:
            return sides(texts, labels, groups, seed, number), number
        except ValueError as error:
            first = first or error
    raise first


def as_text(columns, names):
    """One text for each row of a table without texts: "age 31, kind a". It decides the
    row's part, and shows the row.
    """
    rows = zip(*(columns[name] for name in names))
    return [", ".join(f"{n} {c}" for n, c in zip(names, row)) for row in rows]


def data_of(path, text, label, group=None, seed=0, split=None) -> Data:
    """Read, check and split the table of a file. text: the column of texts, or None for
    a table of numbers and categories. split: see `dealt`.
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
    groups = group and others[group]
    result, facts["split"] = dealt(texts, labels, groups, seed, split)
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
