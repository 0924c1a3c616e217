"""Text files are opened as UTF-8 by name, everywhere: where nothing is said, Windows
takes its code page, and a file with a Chinese character is garbage or an error.
"""

import ast
import os
import pathlib
import re
import subprocess
import sys

import notebooks
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted(
    path
    for path in ROOT.rglob("*.py")
    if not {".venv", "build", "runs"} & {*path.relative_to(ROOT).parts}
)
# calls that open a text file -> the place of the mode among their arguments, if any
MODE = {"open": 1, "fdopen": 1, "read_text": None, "write_text": None}
TEMPORARY = ("NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile")
# whose `open` takes no encoding
OTHERS = ("os", "Image", "tarfile", "zipfile", "webbrowser", "wave")


def mode_of(call, name, owner):
    """The mode that a call names: text, None (not a plain string), or the default."""
    place = MODE[name]
    # path.open(mode), open(path, mode)
    if name == "open" and owner not in ("", "io", "builtins"):
        place = 0
    named = [k.value for k in call.keywords if k.arg == "mode"]
    given = named or call.args[place : place + 1]
    if not given:
        return "r"
    return given[0].value if isinstance(given[0], ast.Constant) else None


def without_encoding(text):
    """The calls in `text` that open a text file and do not say its encoding."""
    found = []
    for call in ast.walk(ast.parse(text)):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        owner = getattr(call.func, "value", None)
        owner = ast.unparse(owner) if owner else ""
        if {"encoding", None} & {k.arg for k in call.keywords}:
            continue
        if name in TEMPORARY:
            mode = next((k.value for k in call.keywords if k.arg == "mode"), None)
            mode = getattr((call.args or [mode])[0], "value", "w+b")
        elif name not in MODE or (name == "open" and owner in OTHERS):
            continue
        elif MODE[name] is None:
            # the encoding is read_text's first argument and write_text's second
            mode = "b" if len(call.args) > (name == "write_text") else "r"
        else:
            mode = mode_of(call, name, owner)
        if mode is not None and "b" not in mode:
            found.append(f"line {call.lineno}: {ast.unparse(call)[:70]}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_the_encoding_of_what_it_opens(path):
    assert without_encoding(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", notebooks.chapters(), ids=lambda path: path.stem)
def test_a_chapter_says_the_encoding_of_what_it_opens(path):
    for cell in notebooks.code_cells(notebooks.read(path)):
        text = ast.unparse(notebooks.parse(notebooks.source(cell)))
        assert without_encoding(text) == [], text


@pytest.mark.parametrize(
    "text",
    [
        "open('a.txt')",
        "open('a.txt', 'w')",
        "open(path, mode='a')",
        "path.open()",
        "path.open('w')",
        "path.read_text()",
        "path.write_text('电影')",
        "io.open('a.txt')",
        "os.fdopen(handle, 'w')",
        "tempfile.NamedTemporaryFile('w')",
        "tempfile.TemporaryFile(mode='w+')",
    ],
)
def test_a_planted_fault_is_caught(text, counted):
    assert without_encoding(text)
    counted("fault")


@pytest.mark.parametrize(
    "text",
    [
        "open('a.bin', 'rb')",
        "path.open('wb')",
        "open(path, mode)",
        "os.open(folder, os.O_RDONLY)",
        "path.read_text('utf-8')",
        "path.write_text('a', 'utf-8')",
        "open('a.txt', encoding='utf-8')",
        "tempfile.NamedTemporaryFile()",
        "open('a.txt', **how)",
    ],
)
def test_what_is_sound_passes(text):
    assert without_encoding(text) == []


# a run's files in a folder with a Chinese name, in a Python that takes ASCII where
# nothing is said, as a Windows code page would
RUN = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import grid, outputs, pretraining
from ftlib.data import tokenization
from ftlib.models import hf_format, transformer
import locale
assert locale.getpreferredencoding(False) != "UTF-8"
folder = pathlib.Path(ascii(sys.argv[2])[1:-1].encode().decode("unicode_escape"))
texts = ["\\u7535\\u5f71 film"] * 9
tokenizer = tokenization.train_wordpiece(texts, 60)
net = transformer.LanguageModel(transformer.Config(60, 16, 1, 2, 32, 12))
with outputs.claim(folder):
    pretraining.write(folder, net, tokenizer, 12, {"texts": texts[0]})
transformer.from_state(*hf_format.load(folder))
assert tokenization.load(folder).get_vocab() == tokenizer.get_vocab()
facts = {"texts": texts[0], "out": str(folder)}
for seed in (0, 1):
    grid.same_settings(folder / "grid.json", facts)
    grid.add(folder / "grid.json", {"seed": seed}, facts, order=["seed"])
assert len(grid.read(folder / "grid.json")["cells"]) == 2
"""


def test_a_run_writes_and_reads_a_folder_with_a_chinese_name(tmp_path):
    folder = tmp_path / "\u6211\u7684 \u6a21\u578b"
    name = str(folder).encode("unicode_escape").decode()
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    environment.pop("PYTHONIOENCODING", None)
    command = [sys.executable, "-X", "warn_default_encoding", "-c", RUN]
    ended = subprocess.run(
        [*command, str(ROOT / "recipes"), name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    ours = re.findall(rf"{ROOT}/(?:ftlib|recipes).*EncodingWarning.*", ended.stderr)
    assert ours == []
