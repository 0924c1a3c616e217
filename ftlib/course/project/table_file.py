"""The columns of a file: CSV, TSV or JSON lines, whatever program has written it.

    read("reviews.csv")  # {"review": ["good film", ...], "stars": ["5", ...]}

UTF-8 and UTF-16 with or without a byte order mark are read, and a comma, a semicolon, a
tab or a vertical bar between the cells, whichever the header has. All else is refused
with one sentence. Older encodings are among it: a program can guess them, and a wrong
guess would change texts without a word.
"""

import codecs
import csv
import hashlib
import io
import json
import re
from collections import Counter
from pathlib import Path

SEPARATORS = ",;\t|"
BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins with the mark of UTF-16
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FORMATS = {b"PK\x03\x04": "a spreadsheet (.xlsx)", b"PAR1": "a Parquet file"}
FORMATS |= {b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls)", b"\x1f\x8b": "compressed"}


def read(path) -> dict[str, list[str]]:
    """{column: cells as text} of a .csv, .tsv or .jsonl file."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file; give the table's path")
    content = _text(path, path.read_bytes())
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


# --- bytes to text


def _text(path, content) -> str:
    for first, name in FORMATS.items():
        if content.startswith(first):
            raise ValueError(f'{path} is {name}; save the table as "CSV UTF-8"')
    encoding = next((e for mark, e in BOMS.items() if content.startswith(mark)), None)
    encoding = encoding or _utf16_of(content) or "utf-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        kind = encoding.upper().removesuffix("-SIG")
        remedy = f"iconv -f {_likely(content)} -t UTF-8"
        raise ValueError(
            f"{path} is not {kind} (byte {error.start}); save the table as "
            f'"CSV UTF-8", or convert it: {remedy if kind == "UTF-8" else "iconv"}'
        ) from error
    if "\0" in text:
        raise ValueError(
            f"{path} has a zero character (character {text.index(chr(0))}), which no "
            'text has; save the table as "CSV UTF-8"'
        )
    return text


def _utf16_of(content):
    """UTF-16 without its mark: every other byte of the header is zero."""
    start = content[:200]
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = start[first::2].count(0)
        if (
            len(start) > 3
            and zeros > len(start) / 4
            and not start[1 - first :: 2].count(0)
        ):
            return name
    return None


def _likely(content) -> str:
    """Which older encoding it may be: Chinese has two high bytes after one another, an
    accent of Western Europe stands alone.
    """
    runs = re.findall(rb"[\x80-\xff]+", content)
    pairs = sum(len(run) >= 2 for run in runs)
    return "GB18030" if 2 * pairs >= len(runs) else "WINDOWS-1252"


# --- text to columns


def _separator(path, header) -> str:
    """The sign that cuts the header into the most cells; where two do, that of the
    file's ending.
    """
    usual = "\t" if path.suffix == ".tsv" else ","
    kept = re.sub(r'"[^"]*"', "", header)  # a quoted name may hold others
    return max(SEPARATORS, key=lambda sign: (kept.count(sign), sign == usual))


def _table_rows(path, content):
    header = content.lstrip("\r\n").partition("\n")[0].rstrip("\r")
    told = re.fullmatch(r'"?sep=(.)"?', header.strip(" "), re.IGNORECASE)
    if told:  # a line that some spreadsheets write
        content = content.lstrip("\r\n").partition("\n")[2]
    delimiter = told[1] if told else _separator(path, header)
    csv.field_size_limit(10_000_000)
    # strict: a quote that is never closed would swallow the rows behind it
    lines = csv.reader(
        io.StringIO(content, newline=""), delimiter=delimiter, strict=True
    )
    names = [name.strip() for name in next(lines, [])]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not all(names):
        what = f"two columns {twice[0]!r}" if twice else "a column without a name"
        raise ValueError(f"{path} has {what}; give each column a name of its own")
    columns = {name: [] for name in names}
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(names):
            raise ValueError(
                f"{path}, line {lines.line_num}: {len(cells)} cells, the header has "
                f"{len(names)}; put a text that holds {delimiter!r} between double "
                "quotes"
            )
        for name, cell in zip(names, cells):
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
