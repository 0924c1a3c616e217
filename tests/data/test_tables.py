"""ftlib/data/tables.py: which rows, which tables are read exactly or refused, and which
data cannot train. RELIABILITY 23 and 24.
"""

import csv
import io
import random
import re
import time

import pytest

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
    with pytest.raises(ValueError, match="6 rows asked for, the data has 5"):
        tables.subset({"text": list("abcde")}, 6)


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
    "a spreadsheet": (b"PK\x03\x04\x14\x00\x06\x00", {}, 1, "6", "NUL"),
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
    (tmp_path / "mine.csv").write_text("text,label\nNA,0\nnull,1\nNone,0\nfine,1\n")
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
    ],
)
def test_data_that_cannot_train_is_refused(train, test, keywords, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        tables.check_trainable(train, test, **keywords)
