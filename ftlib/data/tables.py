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
import unicodedata
from collections.abc import Mapping, Set
from itertools import zip_longest


def bucket(text):
    """0..99, a function of the text alone: below 80 is train, below 90 validation, the
    rest test.

    So a text keeps its side on every machine, however its file is sorted, extended or
    shortened. A copy in capitals is another text here: let `check_trainable` compare.
    Raises TypeError for what is no text.
    """
    if not isinstance(text, str):
        raise TypeError(
            f"a text is needed, this is {repr(text)[:40]} ({type(text).__name__}); ask "
            "for one string at a time"
        )
    return int(hashlib.sha256(text.encode("utf-8")).hexdigest()[:8], 16) % 100


def by_position(values):
    """A list of the values in their order, whatever holds them: a pandas column would
    be looked up by its index, and the numbers of a tensor are no keys of a dict.

    Raises TypeError for a string (its letters are no values), a dict or a table (they
    would give the names of their columns) and a set, which has no order.
    """
    kinds = (str, bytes, Mapping, Set)
    if isinstance(values, kinds) or hasattr(values, "columns"):
        raise TypeError(
            f"a list of values is needed, this is a {type(values).__name__}, "
            f"{repr(values)[:40]!r}; give one column, as a list or an array"
        )
    return values.tolist() if hasattr(values, "tolist") else list(values)


def class_ids(labels, classes=None):
    """A list of ints: the labels, each a class id from 0 to classes - 1, or -100 for a
    row that is no target.

    labels: N numbers, in a list, a tensor, a NumPy array or a pandas column. What is a
        whole number is converted: 1.0, which pandas makes of 1 beside a missing value,
        and True. classes: None sets no upper limit.
    Raises ValueError with row, value and remedy for anything else: another number, a
    fraction, text ("1" too, which may be a name), None, NaN.
    """
    ids, most = [], "" if classes is None else f" to {classes - 1}"
    for row, label in enumerate(by_position(labels)):
        try:
            number = int(label)
            exact = bool(label == number)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            number, exact = 0, False
        limit = number + 1 if classes is None else classes
        if not exact or not (number == -100 or 0 <= number < limit):
            raise ValueError(
                f"row {row} has label {repr(label)[:40]}, a class id is a whole number "
                f"from 0{most}; number the classes from 0 (take 1 from labels that "
                "begin at 1) and remove rows without a label"
            )
        ids.append(number)
    return ids


def _columns(columns, name="the data"):
    """{name: list} of a dict of columns or a data frame; ValueError for columns of
    unequal length.
    """
    if not hasattr(columns, "items"):
        raise TypeError(
            f"{name} is a {type(columns).__name__}, not columns; give a dict such as "
            '{"text": [...], "label": [...]}'
        )
    columns = {key: by_position(values) for key, values in columns.items()}
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"{name} has columns of unequal length {lengths}; each row needs a value "
            "in each"
        )
    return columns


def _is_missing(value):
    """Whether a cell is None, NaN or pandas' NA, which all answer this with no."""
    return (
        value is None
        or (isinstance(value, float) and value != value)
        or (type(value).__name__ in ("NAType", "NaTType"))
    )


# nothing is seen of them: control and zero-width characters, byte-order marks, soft
# hyphens, directions, fillers, and what only chooses the look of the letter before
_INVISIBLE = (
    r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5"
    r"\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f"
    r"\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_BLANK = re.compile(rf"[\s{_INVISIBLE}]*")
_NOT_SEEN = re.compile(rf"[{_INVISIBLE}]+")


def subset(columns, n, seed=0):
    """The first n of all rows in an order drawn from `seed`, the classes in turn;
    subset(n) begins subset(m) for n < m.

    columns: a dict of columns, or a data frame. A class that is used up is left out of
    the turns. Raises ValueError when there are fewer than n rows, for columns of
    unequal length, and for a row without a label (None, NaN).
    """
    columns = _columns(columns)
    rows = len(next(iter(columns.values()), []))
    if not 0 <= n <= rows or n != int(n):
        raise ValueError(
            f"{n} rows asked for, the data has {rows}; ask for 0 to {rows}"
        )
    labels, groups = columns.get("label", [0] * rows), {}
    if missing := [row for row in range(rows) if _is_missing(labels[row])]:
        raise ValueError(
            f"row {missing[0]} has no label ({labels[missing[0]]}); remove the row"
        )
    # Sorted by a hash, not shuffled: nothing depends on a generator's state or on the
    # Python version.
    for row in sorted(
        range(rows), key=lambda row: hashlib.sha256(f"{seed} {row}".encode()).digest()
    ):
        groups.setdefault(labels[row], []).append(row)
    turns = zip_longest(*(groups[label] for label in sorted(groups)))
    order = [row for turn in turns for row in turn if row is not None][: int(n)]
    return {key: [values[row] for row in order] for key, values in columns.items()}


def read_csv(path, text="text", label="label", labels=None):
    """{"text": [str], "label": [int]} from a UTF-8 table with commas and a header line;
    other columns are left out.

    Labels are whole numbers from 0 or, with `labels=["bad", "good"]`, names, which
    become their position in that list, or, with `labels={"bad": 0, "good": 1}`, the
    numbers given. Names are compared as text, without the white space around them, so
    that `labels=[3, 7]` finds the cells 3 and 7. Texts stay as written: "NA" and "null"
    are words; one of white space and zero-width characters alone is empty.
    Each fault is a ValueError with file, line, column and remedy.
    """
    labels = _names(labels)
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
        if _BLANK.fullmatch(value):
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


def _name(label):
    """A label as its cell is read: text, in one Unicode form, nothing around it."""
    return unicodedata.normalize("NFC", str(label)).strip()


def _names(labels):
    """{name: number} of a list of names, or of a dict of numbers."""
    if labels is None:
        return None
    if isinstance(labels, Mapping):
        numbers = class_ids(list(labels.values()))
        named = list(labels)
    else:
        named = by_position(labels)
        numbers = list(range(len(named)))
    names = [_name(label) for label in named]
    for i, name in enumerate(names):
        if not name or _is_missing(named[i]) or name in names[:i]:
            raise ValueError(
                f"labels has {named[i]!r} at position {i}, empty or there before; "
                "give each name once, as it is written in the cells"
            )
    if not names:
        raise ValueError("labels is empty; give the names, or None for whole numbers")
    return dict(zip(names, numbers))


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
    if _name(value) not in labels:
        raise _fault(
            path,
            location,
            f"{value[:40]!r} is not one of the labels {list(labels)}",
            "correct cell or list",
        )
    return labels[_name(value)]


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


# How files begin that are no text: what they are, and what to do.
_BINARY = {
    b"\x1f\x8b": ("compressed (gzip)", "unpack it first, with gunzip"),
    b"BZh": ("compressed (bzip2)", "unpack it first, with bunzip2"),
    b"\xfd7zXZ\0": ("compressed (xz)", "unpack it first, with unxz"),
    b"\x28\xb5\x2f\xfd": ("compressed (zstd)", "unpack it first, with unzstd"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it first"),
    b"PK\x03\x04": (
        "a zip archive, as .xlsx and .ods are",
        "unpack it, or save the sheet as CSV UTF-8",
    ),
    b"\xd0\xcf\x11\xe0": ("an old Excel file (.xls)", "save as CSV UTF-8"),
    b"PAR1": ("a Parquet file", "read it with pandas and write it with to_csv"),
    b"ARROW1": ("an Arrow file", "read it with pandas and write it with to_csv"),
    b"%PDF": ("a PDF", "copy the table into a sheet and save as CSV UTF-8"),
    b"SQLite format 3": ("an SQLite database", "write the table as CSV UTF-8"),
    b"\x89HDF": ("an HDF5 file", "read it with pandas and write it with to_csv"),
}


def _records(path):
    """Yield each row as a list of (cell, line); empty lines are left out."""
    content = pathlib.Path(path).read_bytes()
    for start, (kind, remedy) in _BINARY.items():
        if content.startswith(start):
            raise _fault(path, (1, 1), f"the file is {kind}, not a table", remedy)
    try:
        content = content.decode("utf-8-sig")
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


def check_trainable(train, test=None, batch_size=1, vocab_size=None, classes=None):
    """Raise ValueError if columns (text, label, input_ids: lists of token ids) cannot
    train or be tested fairly.

    train, test: dicts of columns, or data frames. Refused: fewer rows than a batch, a
    row without a text (None, NaN, white space, zero-width characters) or without token
    ids, labels that are no class ids (see `class_ids`; below `classes`, or with a 0
    among them if that is None), one class, a class only in test, ids beyond the
    vocabulary, test rows in train.

    Texts are the same if they differ in capitals, white space, zero-width characters,
    the width of letters or another form of Unicode alone (NFKC). Where one side has no
    texts, ids are compared. A copy with a word changed is not found here, but by
    `near_duplicates` of corpus.py.
    """
    parts = {"train": _columns(train, "train")}
    if test is not None and list(test):  # a frame has columns even without rows
        parts["test"] = _columns(test, "test")
    for name, columns in parts.items():
        least = max(1, batch_size) if name == "train" else 1
        rows = len(next(iter(columns.values()), []))
        if rows < least:
            raise ValueError(
                f"{name} has {rows} rows, a batch needs {least}; take a smaller batch "
                "or more rows"
            )
        _check_texts_of(name, columns.get("text", []))
        _check_ids_of(name, columns.get("input_ids", []), vocab_size)
    _check_labels_of(parts, classes)
    if "test" in parts:
        _check_apart(**parts)


def _check_texts_of(name, texts):
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"{name} row {row} has {repr(text)[:40]} ({type(text).__name__}) for a "
                "text; remove the row, or make it a string"
            )
        if _BLANK.fullmatch(text):
            raise ValueError(
                f"{name} row {row} has the empty text {text[:40]!r}; remove the row"
            )


def _check_ids_of(name, rows, vocab_size):
    for row, ids in enumerate(rows):
        kinds = (str, bytes)
        if isinstance(ids, kinds) or not hasattr(ids, "__len__") or not len(ids):
            raise ValueError(
                f"{name} row {row} has {repr(ids)[:40]} for token ids; encode its "
                "text, or remove the row"
            )
        for i in ids.tolist() if hasattr(ids, "tolist") else ids:
            if isinstance(i, bool) or not hasattr(i, "__index__"):
                raise ValueError(
                    f"{name} row {row} has {repr(i)[:40]}, no token id, which is a "
                    "whole number; encode its text"
                )
            if not 0 <= i < (vocab_size or 2**63):
                raise ValueError(
                    f"{name} row {row} has token id {int(i)}, the vocabulary has 0 to "
                    f"{(vocab_size or 2**63) - 1}; use the tokenizer of the model"
                )


def _check_labels_of(parts, classes):
    classes_of = {"train": set(), "test": set()}
    for name, columns in parts.items():
        try:
            ids = class_ids(columns.get("label", []), classes)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
        classes_of[name] = {i for i in ids if i != -100}
    known, tested = classes_of["train"], classes_of["test"]
    if len(known) == 1 or tested - known:
        raise ValueError(
            f"train has labels {sorted(known)}, test {sorted(tested)}; "
            "train needs two, and all of test's"
        )
    if known and classes is None and 0 not in known:
        raise ValueError(
            f"train has labels {min(known)} to {max(known)} and no 0, where class ids "
            "begin; take 1 from labels that begin at 1, or give classes="
        )


def _check_apart(train, test):
    key = "text" if "text" in train and "text" in test else "input_ids"
    if key not in train or key not in test:
        raise ValueError(
            f"train has {list(train)} and test {list(test)}, so whether test rows are "
            "in train cannot be seen; give texts or input_ids in both"
        )
    seen = {same(value) for value in train[key]}
    if both := [row for row, value in enumerate(test[key]) if same(value) in seen]:
        raise ValueError(
            f"{len(both)} test rows are in train too, row {both[0]} for one (capitals, "
            "white space, zero-width characters and Unicode form aside); drop "
            "duplicates, then split"
        )


def same(value):
    """What makes two rows the same: the ids, or the text without its capitals, white
    space, zero-width characters and forms of Unicode.
    """
    if not isinstance(value, str):
        return tuple(int(i) for i in value)
    if value.isascii():  # most texts: nothing to normalise
        return " ".join(value.lower().split())
    value = _NOT_SEEN.sub("", value)
    for _ in range(2):  # folding may undo the normal form, and the other way round
        value = unicodedata.normalize("NFKC", value).casefold()
    return " ".join(value.split())
