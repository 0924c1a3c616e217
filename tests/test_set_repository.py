"""tools/set_repository.py: no old address is left on a copy, and all places agree."""

import pathlib
import shutil
import subprocess
import sys

import pytest
import set_repository

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The files of this repository that the tool looks at."""
    folder = tmp_path_factory.mktemp("copy")
    for path in set_repository.files(ROOT):
        to = folder / path.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    return folder


def holding(folder, word):
    return {path for path in set_repository.files(folder) if word in path.read_bytes()}


def test_every_place_agrees_with_pyproject():
    found, slug = set_repository.addresses(), set_repository.current()
    assert {name: other for name, other in found.items() if other != {slug}} == {}
    chapters = {path.name for path in (ROOT / "chapters").glob("*.ipynb")}
    assert {f"chapters/{name}" for name in chapters} <= set(found)
    assert {"README.md", "CITATION.cff", "pyproject.toml"} <= set(found)


@pytest.mark.parametrize("name", ["CITATION.cff", "chapters/00_start_here.ipynb"])
def test_a_place_that_disagrees_is_found(tmp_path, name):
    slug = set_repository.current()
    text = (ROOT / name).read_text(encoding="utf-8")
    assert slug in text
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.replace(slug, "ada/other", 1), encoding="utf-8")
    assert "ada/other" in set_repository.addresses(tmp_path)[name]


def test_no_old_address_is_left_and_nothing_else_changes(copy):
    old, new = set_repository.current(copy), "Ada-L/my.course_2"
    before = {path: path.read_bytes() for path in set_repository.files(copy)}
    changed = set_repository.rewrite(new, copy)
    assert len(changed) >= 19 and changed[-1] == "pyproject.toml"
    assert set_repository.current(copy) == new
    assert holding(copy, old.encode()) == set()
    assert all(slugs == {new} for slugs in set_repository.addresses(copy).values())
    for path, content in before.items():
        assert path.read_bytes() == content.replace(old.encode(), new.encode())
    assert set_repository.rewrite(new, copy) == []  # again: nothing to do
    set_repository.rewrite(old, copy)
    assert {path: path.read_bytes() for path in before} == before  # and back


def test_a_run_that_was_stopped_is_finished_by_the_next(copy):
    old = set_repository.current(copy)
    readme = copy / "README.md"
    half = set_repository.replaced(readme.read_bytes(), old, "ada/course")
    readme.write_bytes(half)
    set_repository.rewrite("ada/course", copy)
    assert holding(copy, old.encode()) == set()
    set_repository.rewrite(old, copy)


def test_a_longer_name_is_another_repository():
    kept = b"github.com/a/b-c github.com/a/bc github.com/a/b.js x/a/b github.com/xa/b"
    assert set_repository.replaced(kept, "a/b", "c/d") == kept
    ours = b"git@github.com:a/b.git raw.githubusercontent.com/a/b/main github.com/a/b."
    new = set_repository.replaced(ours, "a/b", "c/d")
    assert new == ours.replace(b"a/b", b"c/d")


BAD = ["", "ada", "ada/", "/course", "a/b/c", "ada/..", "-ada/x", "ada-/x", "a--b/x"]
BAD += ["ada/x y", "ada/x.git", "https://github.com/ada/x", "ädä/x", "ada/x\n"]


@pytest.mark.parametrize("slug", BAD)
def test_a_malformed_name_is_refused_in_one_sentence(slug):
    tool = [sys.executable, str(ROOT / "tools" / "set_repository.py"), slug]
    run = subprocess.run(tool, capture_output=True, encoding="utf-8")
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.count("\n") == 1 and "is not OWNER/NAME" in run.stderr


def test_a_broken_pyproject_is_named(tmp_path):
    text = '[project]\nname = "x"\n[project.urls]\nRepository = "http://example.org"\n'
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"example\.org.*must be https://github"):
        set_repository.current(tmp_path)
