"""Tables of texts and labels: your own CSV with located errors, balanced subsets,
splits by a hash, and a last check.

What it is: `read_csv` reads your own table and names file, line, column and remedy of
each fault. `bucket` says on which side of a split a text belongs. `subset` takes n
rows, classes balanced. `check_trainable` refuses data that cannot train before the
first step does.

    >>> bucket("A film to remember.")
    66
    >>> subset({"text": ["a", "b", "c", "d"], "label": [0, 0, 0, 1]}, 2)["label"]
    [0, 1]

What it is not: a loader for data larger than memory (`streaming.py` is), nor pandas.
What it needs: Python 3.11.
"""

import hashlib
import pathlib
import re
from itertools import zip_longest


def bucket(text):
    """0..99, a function of the text alone: below 80 is train, below 90 validation, the
    rest test.

    So a text keeps its side on every machine, however its file is sorted, extended or
    shortened.
    """
    return int(hashlib.sha256(text.encode("utf-8")).hexdigest()[:8], 16) % 100


def by_position(values):
    """A list of the values in their order, whatever holds them: a pandas column would
    be looked up by its index, and the numbers of a tensor are no keys of a dict.
    """
    return values.tolist() if hasattr(values, "tolist") else list(values)


def subset(columns, n, seed=0):
    """The first n of all rows in an order drawn from `seed`, the classes in turn;
    subset(n) begins subset(m) for n < m.

    A class that is used up is left out of the turns. Raises ValueError when there are
    fewer than n rows.
    """
    columns = {name: by_position(values) for name, values in columns.items()}
    rows = len(next(iter(columns.values())))
    if not 0 <= n <= rows:
        raise ValueError(
            f"{n} rows asked for, the data has {rows}; ask for 0 to {rows}"
        )
    labels, groups = columns.get("label", [0] * rows), {}
    # Sorted by a hash, not shuffled: nothing depends on a generator's state or on the
    # Python version.
    for row in sorted(
        range(rows), key=lambda row: hashlib.sha256(f"{seed} {row}".encode()).digest()
    ):
        groups.setdefault(labels[row], []).append(row)
    turns = zip_longest(*(groups[label] for label in sorted(groups)))
    order = [row for turn in turns for row in turn if row is not None][:n]
    return {key: [values[row] for row in order] for key, values in columns.items()}


def read_csv(path, text="text", label="label", labels=None):
    """{"text": [str], "label": [int]} from a UTF-8 table with commas and a header line;
    other columns are left out.

    Labels are whole numbers from 0 or, with `labels=["bad", "good"]`, names, which
    become their position in that list, or, with `labels={"bad": 0, "good": 1}`, the
    numbers given. Texts stay as written: "NA" and "null" are words.
    Each fault is a ValueError with file, line, column and remedy.
    """
    rows, columns = _records(path), {"text": [], "label": []}
    header = [cell.strip() for cell, _ in next(rows, [])]
    for name in (text, label):
        if header.count(name) != 1:
            raise _fault(
                path,
                (1, repr(name)),
                f"{header.count(name)} such columns in {','.join(header)[:80]!r}",
                "write one, with commas between columns, or pass other names "
                "as text= and label=",
            )
    for row in rows:
        if len(row) != len(header):
            end = header[min(len(row), len(header)) - 1]
            raise _fault(
                path,
                (row[0][1], repr(end)),
                f"{len(row)} cells in a row, the header has {len(header)}",
                "put a text that holds commas between double quotes",
            )
        value, line = row[header.index(text)]
        if not value.strip():
            raise _fault(
                path, (line, repr(text)), "the text is empty", "remove the row"
            )
        columns["text"].append(value)
        value, line = row[header.index(label)]
        columns["label"].append(
            _label(value.strip(), labels, path, (line, repr(label)))
        )
    if not columns["text"]:
        raise _fault(
            path, (1, repr(text)), "no row below the header", "add a line for each text"
        )
    return columns


def _label(value, labels, path, location):
    if labels is None:
        if not re.fullmatch("[0-9]{1,6}", value):
            raise _fault(
                path,
                location,
                f"label {value[:40]!r} is not a whole number from 0 to 999999",
                "number the classes from 0, or pass their names as labels=[...]",
            )
        return int(value)
    if value not in labels:
        raise _fault(
            path,
            location,
            f"{value[:40]!r} is not one of the labels {list(labels)}",
            "correct cell or list",
        )
    return labels[value] if isinstance(labels, dict) else list(labels).index(value)


def _fault(path, location, what, remedy):
    return ValueError(
        f"{path}, line {location[0]}, column {location[1]}: {what}; {remedy}"
    )


def _location(before):
    """(line, column), from 1 and in characters as editors count, of what follows the
    text `before`.
    """
    lines = re.split(r"\r\n?|\n", before)
    return len(lines), len(lines[-1]) + 1


# One cell and what ends it. The csv module reads the same cells, but cannot say where a
# quote was opened.
_CELL = re.compile(r'(?:"([^"]*+(?:""[^"]*+)*+)"|([^",\r\n][^,\r\n]*|))(,|\r\n?|\n|\Z)')


def _records(path):
    """Yield each row as a list of (cell, line); empty lines are left out."""
    try:
        content = pathlib.Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        location = _location(error.object[: error.start].decode("utf-8"))
        raise _fault(
            path,
            location,
            f"byte 0x{error.object[error.start]:02x} is not UTF-8",
            "save as CSV UTF-8",
        ) from None
    if "\0" in content:
        raise _fault(
            path,
            _location(content[: content.index("\0")]),
            "a NUL character",
            "save as CSV UTF-8",
        )
    row, line, position = [], 1, 0
    while position < len(content) or row:
        match = _CELL.match(content, position)
        if match is None:
            raise _fault(
                path,
                _location(content[:position]),
                "this double quote is not closed at the end of its cell",
                'close it, and write a double quote inside a cell as ""',
            )
        quoted, plain, end = match.groups()
        row.append((plain if quoted is None else quoted.replace('""', '"'), line))
        line, position = line + len(re.findall(r"\r\n?|\n", match[0])), match.end()
        if end != ",":
            if len(row) > 1 or row[0][0]:
                yield row
            row = []


def check_trainable(train, test=None, batch_size=1, vocab_size=None):
    """Raise ValueError if columns (text, label, input_ids: lists of token ids) cannot
    train or be tested fairly.

    Refused: fewer rows than a batch, one class, a class only in test, test rows in
        train, ids beyond the vocabulary.
    """
    test, rows = test or {}, len(next(iter(train.values()), []))
    if rows < max(1, batch_size):
        raise ValueError(
            f"train has {rows} rows, a batch needs {batch_size}; take a "
            "smaller batch or more rows"
        )
    for name, columns in (("train", train), ("test", test)):
        lengths = {key: len(values) for key, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"{name} has columns of unequal length {lengths}; each "
                "row needs a value in each"
            )
        for row, ids in enumerate(columns.get("input_ids", []) if vocab_size else []):
            if wrong := [int(i) for i in ids if not 0 <= i < vocab_size]:
                raise ValueError(
                    f"{name} row {row} has token id {wrong[0]}, the "
                    f"vocabulary has 0 to {vocab_size - 1}; "
                    "use the tokenizer that belongs to the model"
                )
    known, tested = (
        {int(label) for label in columns.get("label", [])} for columns in (train, test)
    )
    if len(known) == 1 or tested - known:
        raise ValueError(
            f"train has labels {sorted(known)}, test {sorted(tested)}; "
            "train needs two, and all of test's"
        )
    key = "text" if "text" in train else "input_ids"
    seen = {_same(value) for value in train.get(key, [])}
    if both := [
        row for row, value in enumerate(test.get(key, [])) if _same(value) in seen
    ]:
        raise ValueError(
            f"{len(both)} test rows are in train too, row {both[0]} for "
            "one; drop duplicates, then split"
        )


def _same(value):
    """What makes two rows the same: the text whatever its white space, or the ids."""
    return (
        " ".join(value.split())
        if isinstance(value, str)
        else tuple(int(i) for i in value)
    )
