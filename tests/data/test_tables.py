"""ftlib/data/tables.py: which rows, which tables are read exactly or refused, and which
data cannot train. RELIABILITY 23 and 24.
"""

import bz2
import csv
import gzip
import io
import lzma
import random
import re
import time

import numpy
import pytest
import torch

from ftlib.course import sources
from ftlib.data import tables


@pytest.fixture(scope="module")
def loaded():
    return {name: sources.load(name) for name in ("imdb", "zh_shop_reviews")}


# ---- which rows: the split and the subset ----


@pytest.mark.parametrize(
    "text, number",
    [
        ("", 10),
        ("a", 10),
        ("A film to remember.", 66),
        ("这本书很好。", 15),
        ("naïve café", 44),
        ("The plot is thin and the actors know it.", 56),
    ],
)
def test_bucket_is_the_same_everywhere(text, number):
    assert tables.bucket(text) == number


@pytest.mark.parametrize("text", [None, float("nan"), b"a", ["a"], 7], ids=repr)
def test_what_is_no_text_has_no_bucket(text, counted):
    with pytest.raises(TypeError, match="a text is needed, this is .*one string at a"):
        tables.bucket(text)
    counted("fault")


def test_subset_is_balanced_nested_and_repeatable(loaded):
    columns = loaded["imdb"]["train"]
    large = tables.subset(columns, 1000)
    assert sum(large["label"]) == 500
    for n in (0, 1, 2, 10, 999):
        small = tables.subset(columns, n)
        assert (
            small["text"] == large["text"][:n] and abs(2 * sum(small["label"]) - n) <= 1
        )
    assert tables.subset(columns, 10, seed=1) != tables.subset(columns, 10)
    assert len(set(tables.subset(columns, len(columns["text"]))["text"])) == len(
        columns["text"]
    )


def test_subset_is_the_same_everywhere():
    columns = {"text": [str(i) for i in range(10)], "label": [0] * 5 + [1] * 5}
    assert tables.subset(columns, 6)["text"] == ["4", "6", "2", "7", "1", "5"]
    assert tables.subset(columns, 6, seed=1)["text"] == ["1", "6", "3", "5", "0", "7"]


def test_subset_of_uneven_or_absent_classes():
    assert sorted(
        tables.subset({"text": list("abcde"), "label": [0, 0, 0, 0, 1]}, 4)["label"]
    ) == [0, 0, 0, 1]
    assert len(tables.subset({"text": list("abcde")}, 3)["text"]) == 3
    for n in (6, -1, 0.5):
        with pytest.raises(ValueError, match=f"{n} rows asked for, the data has 5"):
            tables.subset({"text": list("abcde")}, n)
    assert tables.subset({"text": ["a"]}, 1.0) == {"text": ["a"]}


# ---- what is read and what is refused ----

NAMED = {"labels": ["bad", "good"]}
LONG = "x" * 10_000_000
GOOD = {  # name: (bytes, keywords, texts, labels)
    "plain": (b"text,label\nfine film,1\ndull,0\n", {}, ["fine film", "dull"], [1, 0]),
    "byte-order mark": (b"\xef\xbb\xbftext,label\nfine,1\n", {}, ["fine"], [1]),
    "words that pandas drops": (
        b"text,label\nNA,0\nnull,1\nNone,0\nnan,1\n",
        {},
        ["NA", "null", "None", "nan"],
        [0, 1, 0, 1],
    ),
    "windows line ends": (
        b"text,label\r\nfine,1\r\ndull,0\r\n",
        {},
        ["fine", "dull"],
        [1, 0],
    ),
    "old mac line ends": (
        b"text,label\rfine,1\rdull,0\r",
        {},
        ["fine", "dull"],
        [1, 0],
    ),
    "no newline at the end": (b"text,label\nfine,1", {}, ["fine"], [1]),
    "empty lines": (b"\ntext,label\n\nfine,1\n\n\n", {}, ["fine"], [1]),
    "quotes, commas, line ends inside": (
        b'text,label\n"a ""b"", c\nd",1\n',
        {},
        ['a "b", c\nd'],
        [1],
    ),
    "inches": (b'text,label\n5" screen,1\n', {}, ['5" screen'], [1]),
    "spaces kept, labels stripped": (
        b"text , label\n  two  words ,  1 \n",
        {},
        ["  two  words "],
        [1],
    ),
    "other columns": (b"id,label,note,text\n7,1,,fine\n", {}, ["fine"], [1]),
    "other names": (
        b"review,stars\nfine,3\n",
        {"text": "review", "label": "stars"},
        ["fine"],
        [3],
    ),
    "named labels": (
        b"text,label\nfine,good\ndull,bad\n",
        NAMED,
        ["fine", "dull"],
        [1, 0],
    ),
    "labels that are numbers": (
        b"text,label\nfine,7\ndull,3\n",
        {"labels": [3, 7]},
        ["fine", "dull"],
        [1, 0],
    ),
    "labels of NumPy": (
        b"text,label\nfine,7\ndull,3\n",
        {"labels": numpy.array([3, 7])},
        ["fine", "dull"],
        [1, 0],
    ),
    "a dict of numbers": (
        b"text,label\nfine,7\ndull,-1\n",
        {"labels": {-1: 0, 7: 1}},
        ["fine", "dull"],
        [1, 0],
    ),
    "truth values": (
        b"text,label\nfine,True\ndull,False\n",
        {"labels": [False, True]},
        ["fine", "dull"],
        [1, 0],
    ),
    "names with spaces around them": (
        b"text,label\nfine, good\ndull,bad \n",
        {"labels": ["bad ", "\tgood"]},
        ["fine", "dull"],
        [1, 0],
    ),
    "names in another form of Unicode": (
        "text,label\nfine,cafe\u0301\n".encode(),
        {"labels": ["bar", "caf\xe9"]},
        ["fine"],
        [1],
    ),
    "zero-width characters beside letters": (
        "text,label\na\u200bb,1\n".encode(),
        {},
        ["a\u200bb"],
        [1],
    ),
    "label named NA": (
        b"text,label\nfine,NA\n",
        {"labels": ["NA", "yes"]},
        ["fine"],
        [0],
    ),
    "ten million characters": (
        b"text,label\n" + LONG.encode() + b",1\n",
        {},
        [LONG],
        [1],
    ),
    "unicode separators stay text": (
        "text,label\na\u2028b\x85c,1\n".encode(),
        {},
        ["a\u2028b\x85c"],
        [1],
    ),
}
BAD = {  # name: (bytes, keywords, line, column, words of the message)
    "latin-1": (
        b"text,label\nfine,1\ncaf\xe9,0\n",
        {},
        3,
        "4",
        "0xe9 is not UTF-8; save as CSV UTF-8",
    ),
    "latin-1 after a byte-order mark": (
        b"\xef\xbb\xbftext,label\ncaf\xe9,0\n",
        {},
        2,
        "4",
        "0xe9",
    ),
    "utf-16": ("text,label\nfine,1\n".encode("utf-16"), {}, 1, "1", "not UTF-8"),
    "a spreadsheet": (
        b"PK\x03\x04\x14\x00\x06\x00",
        {},
        1,
        "1",
        "a zip archive, as .xlsx and .ods are, not a table; unpack it, or save",
    ),
    "gzip": (
        gzip.compress(b"text,label\nfine,1\n", mtime=0),
        {},
        1,
        "1",
        "the file is compressed (gzip), not a table; unpack it first, with gunzip",
    ),
    "bzip2": (bz2.compress(b"text,label\n"), {}, 1, "1", "compressed (bzip2)"),
    "xz": (lzma.compress(b"text,label\n"), {}, 1, "1", "compressed (xz)"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", {}, 1, "1", "compressed (zstd)"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00", {}, 1, "1", "a 7z archive"),
    "parquet": (b"PAR1\x15\x04PAR1", {}, 1, "1", "a Parquet file"),
    "arrow": (b"ARROW1\x00\x00", {}, 1, "1", "an Arrow file"),
    "old Excel": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        {},
        1,
        "1",
        "an old Excel file (.xls), not a table; save as CSV UTF-8",
    ),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3", {}, 1, "1", "a PDF"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", {}, 1, "1", "an HDF5 file"),
    "SQLite": (b"SQLite format 3\x00", {}, 1, "1", "an SQLite database"),
    "NUL": (b"text,label\nfine,1\ndu\x00ll,0\n", {}, 3, "3", "NUL character; save"),
    "empty file": (b"", {}, 1, "'text'", "0 such columns"),
    "only line ends": (b"\n\n\n", {}, 1, "'text'", "0 such columns"),
    "no row": (b"text,label\n", {}, 1, "'text'", "no row below the header; add"),
    "no header": (b"fine,1\ndull,0\n", {}, 1, "'text'", "0 such columns in 'fine,1'"),
    "missing column": (
        b"text,sentiment\nfine,1\n",
        {},
        1,
        "'label'",
        "pass other names as text= and label=",
    ),
    "doubled column": (
        b"text,label,text\nfine,1,x\n",
        {},
        1,
        "'text'",
        "2 such columns",
    ),
    "semicolons": (
        b"text;label\nfine;1\n",
        {},
        1,
        "'text'",
        "with commas between columns",
    ),
    "extra comma": (
        b"text,label\nfine,1\nlong, but fine,1\n",
        {},
        3,
        "'label'",
        "3 cells in a row, the header has 2; put",
    ),
    "cell missing": (
        b"text,label\nfine\n",
        {},
        2,
        "'text'",
        "1 cells in a row, the header has 2",
    ),
    "open quote": (
        b'text,label\nfine,1\n"dull,0\nflat,0\n',
        {},
        3,
        "1",
        "not closed at the end of its cell; close it",
    ),
    "open quote in the second cell": (
        b'label,text\n1,"dull\n0,flat\n',
        {},
        2,
        "3",
        "not closed",
    ),
    "quote inside quotes": (
        b'text,label\n"a "b" c",1\n',
        {},
        2,
        "1",
        'inside a cell as ""',
    ),
    "text after a quote": (b'text,label\n"dull" ,0\n', {}, 2, "1", "double quote"),
    "label in words": (
        b"text,label\nfine,1\ndull,negative\n",
        {},
        3,
        "'label'",
        "'negative' is not a whole number",
    ),
    "label with a point": (
        b"text,label\nfine,1.0\n",
        {},
        2,
        "'label'",
        "'1.0' is not a whole number",
    ),
    "negative label": (
        b"text,label\nfine,-1\n",
        {},
        2,
        "'label'",
        "'-1' is not a whole number from 0",
    ),
    "empty label": (
        b"text,label\nfine,\n",
        {},
        2,
        "'label'",
        "'' is not a whole number",
    ),
    "huge label": (
        b"text,label\nfine," + b"9" * 5000 + b"\n",
        {},
        2,
        "'label'",
        "from 0 to 999999",
    ),
    "other digits": (
        "text,label\nfine,１\n".encode(),
        {},
        2,
        "'label'",
        "is not a whole number",
    ),
    "unknown label": (
        b"text,label\nfine,good\nso so,neutral\n",
        NAMED,
        3,
        "'label'",
        "'neutral' is not one of the labels ['bad', 'good']; correct",
    ),
    "empty text": (
        b"text,label\nfine,1\n   ,0\n",
        {},
        3,
        "'text'",
        "the text is empty; remove the row",
    ),
    "zero-width text": (
        "text,label\nfine,1\n\u200b\ufeff \u2060\u00ad,0\n".encode(),
        {},
        3,
        "'text'",
        "the text is empty; remove the row",
    ),
    "a Hangul filler and a variation selector": (
        "text,label\n\u3164\ufe0f,0\n".encode(),
        {},
        2,
        "'text'",
        "the text is empty",
    ),
    "unknown label beside numbers": (
        b"text,label\nfine,3\nso so,5\n",
        {"labels": [3, 7]},
        3,
        "'label'",
        "'5' is not one of the labels ['3', '7']; correct",
    ),
    "fault after a cell of three lines": (
        b'text,label\n"a\nb\nc",x\n',
        {},
        4,
        "'label'",
        "'x' is not",
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_tables_that_load_exactly(tmp_path, name):
    content, keywords, texts, labels = GOOD[name]
    (tmp_path / "mine.csv").write_bytes(content)
    start = time.perf_counter()
    assert tables.read_csv(tmp_path / "mine.csv", **keywords) == {
        "text": texts,
        "label": labels,
    }
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize("name", BAD)
def test_tables_that_are_refused(tmp_path, name):
    content, keywords, line, column, words = BAD[name]
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        tables.read_csv(str(path), **keywords)
    message = str(error.value)
    assert (
        message.startswith(f"{path}, line {line}, column {column}: ")
        and words in message
    )
    assert (
        "; " in message and "\n" not in message and len(message) < len(str(path)) + 300
    )


@pytest.mark.parametrize(
    "labels, words",
    [
        ([], "labels is empty"),
        ("bad", "a list of values is needed, this is a str"),
        ({"bad", "good"}, "this is a set"),
        (["bad", " bad"], "labels has ' bad' at position 1, empty or there before"),
        ([3, "3"], "labels has '3' at position 1"),
        (["bad", " "], "labels has ' ' at position 1"),
        (["bad", None], "labels has None at position 1"),
        ([float("nan")], "labels has nan at position 0"),
        ({"bad": 0, "good": "1"}, "row 1 has label '1', a class id is a whole number"),
        ({"bad": 0, "good": -1}, "row 1 has label -1"),
        ({"bad": 0, "good": 0.5}, "row 1 has label 0.5"),
    ],
)
def test_names_that_can_never_match_are_refused(tmp_path, labels, words, counted):
    (tmp_path / "mine.csv").write_text("text,label\nfine,bad\n", encoding="utf-8")
    with pytest.raises((ValueError, TypeError), match=re.escape(words)):
        tables.read_csv(tmp_path / "mine.csv", labels=labels)
    counted("fault")


def test_there_are_enough_tables():
    assert len(BAD) >= 18 and len(GOOD) >= 10


def test_cells_are_those_of_the_csv_module(tmp_path):
    """4,000 random tables: the same rows, and a fault exactly where the module in
    strict mode sees one.
    """
    draw, path, faults = random.Random(0), tmp_path / "mine.csv", 0
    for _ in range(4000):
        text = "".join(
            draw.choices(
                ["a", "é", ",", '"', '""', "\n", "\r\n", "\r", " ", ',"', '",', '\n"'],
                k=draw.randrange(1, 14),
            )
        )
        path.write_bytes(text.encode())
        try:
            expected = [
                row
                for row in csv.reader(io.StringIO(text, newline=""), strict=True)
                if row not in ([], [""])
            ]
        except csv.Error:
            expected, faults = None, faults + 1
        try:
            found = [[cell for cell, _ in row] for row in tables._records(path)]
        except ValueError:
            found = None
        assert found == expected, repr(text)
    assert 500 < faults < 3500


def careless_table(path):
    """The control: what the csv module's readers give a program that asks no
    questions.
    """
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        return [
            (row["text"], row["label"])
            for row in csv.DictReader(io.StringIO(file.read().replace("\0", "")))
        ]


def test_control_a_careless_reader_takes_most_bad_tables(tmp_path, counted):
    taken = []
    for name, (content, *_) in BAD.items():
        (tmp_path / "mine.csv").write_bytes(content)
        try:
            careless_table(tmp_path / "mine.csv")
            taken.append(name)
        except (KeyError, csv.Error):
            pass
    assert len(taken) > len(BAD) / 2 and {
        "latin-1",
        "extra comma",
        "open quote",
        "unknown label",
    } <= set(taken)
    counted("fault")


def test_control_pandas_drops_words_that_are_texts(tmp_path, counted):
    pandas = pytest.importorskip("pandas")
    (tmp_path / "mine.csv").write_text(
        "text,label\nNA,0\nnull,1\nNone,0\nfine,1\n", encoding="utf-8"
    )
    assert pandas.read_csv(tmp_path / "mine.csv")["text"].isna().sum() == 3
    assert tables.read_csv(tmp_path / "mine.csv")["text"] == [
        "NA",
        "null",
        "None",
        "fine",
    ]
    counted("fault")


# ---- what cannot train ----

TRAIN = {
    "text": ["a", "b", "c", "d"],
    "label": [0, 1, 0, 1],
    "input_ids": [[2, 5], [2, 6, 9], [2, 7], [2, 8]],
}
TEST = {"text": ["e"], "label": [1], "input_ids": [[2, 4]]}


def test_sound_data_passes(loaded):
    tables.check_trainable(TRAIN)
    tables.check_trainable(TRAIN, TEST, batch_size=4, vocab_size=10)
    tables.check_trainable(
        {"input_ids": TRAIN["input_ids"]}, {"input_ids": [[2, 9, 6]]}, vocab_size=10
    )
    for name in ("imdb", "zh_shop_reviews"):
        tables.check_trainable(
            loaded[name]["train"], loaded[name]["test"], batch_size=32
        )


@pytest.mark.parametrize(
    "train, test, keywords, words",
    [
        (
            TRAIN,
            None,
            {"batch_size": 5},
            "train has 4 rows, a batch needs 5; take a smaller batch or more rows",
        ),
        ({"text": [], "label": []}, None, {}, "train has 0 rows"),
        ({"text": ["a", "b"], "label": [1, 1]}, None, {}, "train has labels [1]"),
        (TRAIN, {"text": ["e"], "label": [2]}, {}, "train has labels [0, 1], test [2]"),
        (
            TRAIN,
            {"text": ["e", "c"], "label": [1, 0]},
            {},
            "1 test rows are in train too, row 1 for one",
        ),
        (TRAIN, {"text": [" c\n"], "label": [0]}, {}, "1 test rows are in train too"),
        (
            {"input_ids": [[2, 3], [4, 5]]},
            {"input_ids": [[4, 5]]},
            {},
            "1 test rows are in train too",
        ),
        (
            TRAIN,
            None,
            {"vocab_size": 9},
            "train row 1 has token id 9, the vocabulary has 0 to 8",
        ),
        (
            TRAIN,
            {**TEST, "input_ids": [[2, -1]]},
            {"vocab_size": 10},
            "test row 0 has token id -1",
        ),
        (
            {"text": ["a", "b"], "label": [0]},
            None,
            {},
            "unequal length {'text': 2, 'label': 1}",
        ),
        (TRAIN, {"text": [], "label": []}, {}, "test has 0 rows"),
        (
            {"text": ["a", "b"], "label": [1, 2]},
            None,
            {},
            "train has labels 1 to 2 and no 0, where class ids begin; take 1 from",
        ),
        (
            {"text": ["a", "b"], "label": [1, 2]},
            None,
            {"classes": 2},
            "train row 1 has label 2, a class id is a whole number from 0 to 1",
        ),
        (TRAIN, {"text": ["e"], "label": [-1]}, {}, "test row 0 has label -1"),
        (
            TRAIN,
            {"label": [0]},
            {},
            "train has ['text', 'label', 'input_ids'] and test ['label'], so whether",
        ),
        ({"input_ids": [[2], []]}, None, {}, "train row 1 has [] for token ids"),
        ({"input_ids": ["a b", "c"]}, None, {}, "train row 0 has 'a b' for token ids"),
        ({"input_ids": [[2], None]}, None, {}, "train row 1 has None for token ids"),
        (
            {"input_ids": [[2], [1.5]]},
            None,
            {},
            "train row 1 has 1.5, no token id",
        ),
        (
            {"input_ids": [["a"], [2]]},
            None,
            {},
            "train row 0 has 'a', no token id",
        ),
        # behind the first id; 2.5 was read as 2, and True as 1
        ({"input_ids": [[2], [2, 2.5]]}, None, {}, "train row 1 has 2.5, no token id"),
        ({"input_ids": [[2, True]]}, None, {}, "train row 0 has True, no token id"),
        (
            {"input_ids": [torch.tensor([2, 2.5])]},
            None,
            {},
            "train row 0 has 2.0, no token id",
        ),
        ({"input_ids": [[2, -1]]}, None, {}, "train row 0 has token id -1, the voc"),
        (
            {"input_ids": [[2, 3], [4, 5]], "text": ["a", "b"]},
            {"input_ids": [[4, 5]]},
            {},
            "1 test rows are in train too",
        ),
    ],
)
def test_data_that_cannot_train_is_refused(train, test, keywords, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        tables.check_trainable(train, test, **keywords)


NO_TEXT = [
    None,
    float("nan"),
    b"bytes",
    7,
    ["a", "list"],
    "",
    " \n",
    "\u200b",
    "\ufeff\u2060 \u00ad",
    "\u3164",
]


@pytest.mark.parametrize("text", NO_TEXT, ids=repr)
@pytest.mark.parametrize("name", ["train", "test"])
def test_a_row_without_a_text_is_named(name, text, counted):
    parts = {"train": {"text": ["a", "b", "c"], "label": [0, 1, 0]}}
    parts["test"] = {"text": ["d", "e", "f"], "label": [0, 1, 0]}
    parts[name]["text"][2] = text
    with pytest.raises(ValueError, match=f"^{name} row 2 has .*; remove the row"):
        tables.check_trainable(**parts)
    counted("fault")


NO_LABEL = [-1, 2, 0.5, "1", "good", None, float("nan"), float("inf"), [1], b"1"]


@pytest.mark.parametrize("label", NO_LABEL, ids=repr)
def test_a_row_without_a_class_is_named(label, counted):
    train = {"text": ["a", "b", "c"], "label": [0, 1, label]}
    words = re.escape(f"train row 2 has label {label!r}, a class id is a whole number ")
    with pytest.raises(ValueError, match=f"^{words}from 0 to 1; number the classes"):
        tables.check_trainable(train, classes=2)
    counted("fault")


def test_what_pandas_has_for_nothing_is_named():
    pandas = pytest.importorskip("pandas")
    labels = pandas.Series([0, 1, None], dtype="Int64", index=[2, 0, 1])
    train = pandas.DataFrame({"text": ["a", "b", "c"]}, index=[2, 0, 1])
    with pytest.raises(ValueError, match="train row 2 has label <NA>"):
        tables.check_trainable(train.assign(label=labels))
    with pytest.raises(ValueError, match="row 2 has no label"):
        tables.subset(train.assign(label=labels), 2)
    text = train["text"].where(train["text"] != "b")
    with pytest.raises(ValueError, match=r"train row 1 has (nan|<NA>) \("):
        tables.check_trainable({"text": text, "label": [0, 1, 0]})
    tables.check_trainable(train.assign(label=[0, 1, 0]))
    sound = train.assign(label=[0, 1, 0])
    tables.check_trainable(sound, sound.assign(text=["d", "e", "f"]), classes=2)
    with pytest.raises(ValueError, match="test has 0 rows"):
        tables.check_trainable(sound, sound[:0])
    with pytest.raises(ValueError, match="3 test rows are in train too"):
        tables.check_trainable(sound, sound)
    assert tables.subset(train.assign(label=[0, 1, 0]), 2)["label"] == [0, 1]


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 1],
        [0.0, 1.0, 1.0],
        [False, True, True],
        numpy.array([0, 1, 1], dtype="uint8"),
        [numpy.int64(0), numpy.float32(1), numpy.bool_(True)],
        torch.tensor([0, 1, 1]),
        torch.tensor([0.0, 1.0, 1.0]),
        [torch.tensor(0), torch.tensor(1), torch.tensor(True)],
    ],
    ids=str,
)
def test_whole_numbers_of_any_kind_are_class_ids(labels):
    ids = tables.class_ids(labels, 2)
    assert ids == [0, 1, 1] and {type(i) for i in ids} == {int}
    tables.check_trainable({"text": ["a", "b", "c"], "label": labels}, classes=2)


def test_a_row_that_is_no_target_is_no_class():
    assert tables.class_ids([0, -100, 1], 2) == [0, -100, 1]
    with pytest.raises(ValueError, match=re.escape("train has labels [1]")):
        tables.check_trainable({"text": ["a", "b"], "label": [-100, 1]})


COPIES = {
    "capitals": ("A Fine Film", "a fine FILM"),
    "white space": ("a fine film", "  a fine\n film "),
    "no-break space": ("a fine film", "a\u00a0fine film"),
    "full width": ("a fine film 5", "ａ ｆｉｎｅ ｆｉｌｍ ５"),
    "composed and not": ("caf\xe9", "cafe\u0301"),
    "ligature": ("a fine film", "a \ufb01ne \ufb01lm"),
    "sharp s": ("STRASSE", "stra\xdfe"),
    "zero width space": ("a fine film", "a fi\u200bne film"),
    "byte-order mark": ("a fine film", "\ufeffa fine film"),
    "word joiner": ("好看的电影", "好看\u2060的电影"),
    "soft hyphen": ("a fine film", "a fi\u00adne film"),
    "direction mark": ("a fine film", "a fine film\u200e"),
    "variation selector": ("fine \u2764", "fine \u2764\ufe0f"),
    "control character": ("a fine film é", "a fine\x07 film é"),
    "several": ("Ein CAFÉ", "\ufeff ein\u3000cafe\u0301\u200b"),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_a_test_row_is_found(name, counted):
    for a, b in (COPIES[name], COPIES[name][::-1]):
        assert a != b
        train = {"text": ["nothing", a], "label": [0, 1]}
        with pytest.raises(ValueError, match="1 test rows .*row 1 for one .capitals,"):
            tables.check_trainable(train, {"text": ["other", b], "label": [0, 1]})
    counted("fault")


@pytest.mark.parametrize(
    "a, b", [("a fine film", "a fine firm"), ("5", "6"), ("cafe", "caf\xe9")]
)
def test_another_text_is_no_copy(a, b):
    train = {"text": ["nothing", a], "label": [0, 1]}
    tables.check_trainable(train, {"text": [b], "label": [0]})


@pytest.mark.parametrize(
    "columns, words",
    [
        (
            {"text": "abc", "label": [0, 1, 0]},
            "a list of values is needed, this is a s",
        ),
        ({"text": {"a": 1, "b": 2}, "label": [0, 1]}, "this is a dict"),
        ([["a", 0], ["b", 1]], "a list, not columns; give a dict such as"),
        ({"text": ["a", "b"], "label": [0]}, "unequal length {'text': 2, 'label': 1}"),
    ],
)
def test_what_is_no_table_is_refused(columns, words, counted):
    for function in (lambda c: tables.subset(c, 1), tables.check_trainable):
        with pytest.raises((TypeError, ValueError), match=words):
            function(columns)
        counted("fault")


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_subset_of_rows_without_a_label_is_refused(missing, counted):
    with pytest.raises(ValueError, match="row 1 has no label .*; remove the row"):
        tables.subset({"text": ["a", "b", "c"], "label": [0, missing, 1]}, 2)
    counted("fault")


INVISIBLE = (
    "\x00\x08\x0e\x1b\x7f\x84\x86\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180e"
    "\u180f\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2064\u206f\u2800\u3164\ufe00"
    "\ufe0f\ufeff\uffa0\ufff9\ufffb\U0001d173\U0001d17a\U000e0001\U000e0100"
)
WHITE = " \t\n\r\x0b\x0c\x1c\x85\xa0\u2003\u2028\u3000"
VISIBLE = (
    ".a1-_~\xa1\xac\xae\u0301\u0600\u200a\u2010\u2027\u3001\u4e00\uac00\uff01\ufffc"
)


def test_what_is_seen_of_a_text(counted):
    """Each character alone: is it a text, and does it make another text of one?"""
    for char in INVISIBLE + WHITE:
        assert tables._BLANK.fullmatch(char * 2), hex(ord(char))
        train = {"text": ["a", f" {char}"], "label": [0, 1]}
        with pytest.raises(ValueError, match="train row 1 has the empty text"):
            tables.check_trainable(train)
        counted("fault")
    for char in INVISIBLE:
        assert tables.same(f"é{char}f") == "éf", hex(ord(char))
    for char in WHITE:
        assert tables.same(f"é{char}f") == "é f", hex(ord(char))
    for char in set(VISIBLE) - {"\u200a"}:
        assert not tables._BLANK.fullmatch(char), hex(ord(char))
        assert tables.same(f"é{char}f") not in ("éf", "é f"), hex(ord(char))


def test_nothing_of_numpy_and_pandas_is_a_label():
    pandas = pytest.importorskip("pandas")
    for nothing in (None, float("nan"), numpy.nan, numpy.float64("nan"), pandas.NA):
        assert tables._is_missing(nothing)
        with pytest.raises(ValueError, match="row 1 has no label"):
            tables.subset({"text": ["a", "b"], "label": [0, nothing]}, 1)
    assert tables._is_missing(pandas.NaT)
    assert not any(tables._is_missing(v) for v in (0, "", "nan", 0.0, False, [], "NA"))


def test_labels_at_both_ends_of_the_range():
    assert tables.class_ids([0, 1, 2, -100], 3) == [0, 1, 2, -100]
    assert tables.class_ids([0, 10**6]) == [0, 10**6]
    for wrong in (3, -1, -99, -101, 10**30):
        with pytest.raises(
            ValueError, match=f"row 1 has label {wrong}, .* from 0 to 2"
        ):
            tables.class_ids([0, wrong], 3)
    with pytest.raises(ValueError, match="a class id is a whole number from 0; number"):
        tables.class_ids([-1])


def test_a_test_set_without_a_column_is_none():
    tables.check_trainable(TRAIN, {})
