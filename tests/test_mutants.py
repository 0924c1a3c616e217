"""tools/mutants.py makes the mutants that its labels promise, all of them programs."""

import ast
import json
import os
import shutil
import subprocess
import sys

import mutants
import mutation_score
import pytest


def labels(source):
    return [mutant.label for mutant in mutants.mutants(source)]


def test_every_kind_of_mutant_is_made():
    source = '''
def f(a, b, dim=1):
    """Text stays."""
    if a < b and not a:
        raise ValueError("5 is too small")
    c = torch.stack([a, b]).sum(dim=-1)
    c += 2
    b.append(g(a, b))
    return a[1:] @ c
'''
    found = labels(source)
    for label in (
        "`a < b` -> `a <= b`",  # a comparison flipped
        "`a < b` -> `a >= b`",
        "`a < b and (not a)` -> `a < b or not a`",
        "`not a` -> `a`",
        "`1` -> `2`",  # a constant shifted
        "`c += 2` -> `c -= 2`",  # an operator exchanged
        "`a[1:] @ c` -> `a[1:] * c`",
        "`torch.stack([a, b]).sum(dim=-1)` -> `torch.stack([a, b]).sum()`",
        "`torch.stack([a, b]).sum(dim=-1)` -> `torch.stack([a, b]).mean(dim=-1)`",
        "`torch.stack([a, b]).sum(dim=-1)` -> `torch.stack([a, b])`",  # a call dropped
        "`torch.stack([a, b])` -> `[a, b]`",
        "`g(a, b)` -> `g(b, a)`",  # arguments swapped
        "`b.append(g(a, b))` -> `pass`",
        "`a[1:]` -> `a[:]`",
        "`c += 2` -> `pass`",
        "`if a < b and (not a)` -> `if True`",
    ):
        assert label in found, label
    assert not any("Text" in label or "5" in label for label in found)


def test_each_mutant_is_one_change_and_the_source_stays():
    source = "def f(x):\n    return [v + 1 for v in x if v > 0][:2]"
    made = mutants.mutants(source)
    original = ast.unparse(ast.parse(source))
    texts = [mutant.source for mutant in made]
    assert len(set(texts)) == len(texts) and original not in texts
    assert len(set(labels(source))) == len(made)
    assert labels(source) == labels("# moved\n\n" + source)


def test_a_string_without_syntax_is_refused():
    with pytest.raises(SyntaxError):
        mutants.mutants("def f(:")


def test_every_file_of_the_library_has_tests_to_face():
    files = mutation_score.library_files()
    assert len(files) > 20
    for file in files:
        assert mutation_score.mirrored(file), file


def test_a_sample_of_the_library_is_drawn_before_its_texts_are_written():
    file = "ftlib/training/oom.py"
    drawn = mutation_score.library_mutants(12, 3, [file])
    assert drawn == mutation_score.library_mutants(12, 3, [file])
    assert drawn != mutation_score.library_mutants(12, 4, [file])
    source = (mutation_score.ROOT / file).read_text(encoding="utf-8")
    every = {mutant.source for mutant in mutants.mutants(source)}
    texts = {mutant.source for _, mutant in drawn}
    assert len(texts) == 12 and texts <= every
    assert {str(path) for path, _ in drawn} == {file}
    # all of them, where more are asked for
    everything = mutation_score.library_mutants(10**6, 3, [file])
    assert {mutant.source for _, mutant in everything} == every


def test_a_warm_process_reads_the_files_anew_for_each_run(tmp_path, counted):
    """Its verdicts are those of a fresh pytest: passed, failed, and -1 for too long."""
    process = subprocess.Popen(
        [sys.executable, str(mutation_score.ROOT / "tools" / "warm_tests.py")],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )

    def verdict(source, seconds=60):
        (tmp_path / "halves.py").write_text(source, encoding="utf-8")
        request = {"files": ["test_halves.py"], "names": ["half"], "seconds": seconds}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    (tmp_path / "test_halves.py").write_text(
        "import halves\n\n\ndef test_half():\n    assert halves.half(4) == 2\n",
        encoding="utf-8",
    )
    good = "def half(x):\n    return x / 2\n"
    assert verdict(good) == 0
    assert verdict(good.replace("/", "*")) == 1
    assert verdict(good) == 0  # what a run before has imported is gone
    assert verdict("def half(x):\n    while True:\n        pass\n", seconds=5) == -1
    assert verdict(good) == 0
    process.stdin.close()
    assert process.wait(30) == 0
    counted("fault", 2)


def test_the_changed_function_is_found():
    before = (
        "def a():\n    return 1\n\n\nclass B:\n    def c(self):\n        return 2\n"
    )
    changed = mutation_score.changed_names
    assert changed(before, before.replace("1", "3")) == ["a"]
    assert changed(before, before.replace("2", "3")) == ["B", "c"]
    assert changed(before, before) == []


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A repository with one module that is tested, one whose test fails as it is."""
    for name, text in {
        "ftlib/a/good.py": "def half(x):\n    return x / 2\n",
        "ftlib/a/sick.py": "def twice(x):\n    return 2 * x\n",
        "tests/a/test_good.py": "from ftlib.a import good\n\n\n"
        "def test_half():\n    assert good.half(8) == 4\n",
        "tests/a/test_sick.py": "def test_nothing():\n    assert 1 == 2, 'sick'\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    tools = mutation_score.ROOT / "tools"
    shutil.copytree(tools, tmp_path / "tools")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setattr(mutation_score, "ROOT", tmp_path)
    return tmp_path


def test_a_file_whose_tests_fail_is_named_and_the_others_are_tried(small, capsys):
    status = mutation_score.main(["library", "--sample", "99", "--jobs", "1"])
    said = capsys.readouterr().out.splitlines()
    sick = [line for line in said if line.startswith("ftlib/a/sick.py: ")]
    count = len(mutants.mutants((small / "ftlib/a/sick.py").read_text("utf-8")))
    assert sick[0].startswith(
        "ftlib/a/sick.py: its tests fail without a mutant; FAILED "
        "tests/a/test_sick.py::test_nothing"
    )
    assert sick[1] == (
        f"ftlib/a/sick.py: {count} not tried, its tests fail without a mutant; mend "
        "them"
    )
    assert len(sick) == 2 and count > 1
    tried = len(mutants.mutants((small / "ftlib/a/good.py").read_text("utf-8")))
    assert f"{tried} of {tried} mutants refused, 100.0%" in said
    assert status == 1  # though all that were tried are refused
    options = ["library", "ftlib/a/good.py", "--sample", "99", "--jobs", "1"]
    assert mutation_score.main(options) == 0


def test_the_copy_is_whole(small, tmp_path_factory):
    """What is written in place on one side, such as a result, stays there."""
    copy = mutation_score.copy_of_repository(tmp_path_factory.mktemp("copy"))
    file = "ftlib/a/good.py"
    before = (small / file).read_text("utf-8")
    with open(copy / file, "a", encoding="utf-8") as written:
        written.write("# of the copy")
    assert (small / file).read_text("utf-8") == before
    with open(small / "tests/a/test_good.py", "w", encoding="utf-8") as written:
        written.write("1 / 0")
    assert "half" in (copy / "tests/a/test_good.py").read_text("utf-8")
