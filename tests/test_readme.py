"""The front page is small and true, its example runs, its tables are the tool's."""

import ast
import html
import math
import os
import pathlib
import re
import subprocess
import sys

import hero_figure
import pytest
import readme_tables

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
LIMIT = 8000  # bytes: what a visitor reads before deciding
SECTIONS = ["Start", "The loop", "Chapters", "ftlib", "For teachers"]


def test_it_is_small_and_says_what_a_visitor_asks():
    assert len(README.encode("utf-8")) <= LIMIT
    headings = re.findall(r"^## (.+)$", README, re.M)
    assert headings[: len(SECTIONS)] == SECTIONS
    for words in ("make lab", "make test", "tools\\bootstrap.py lab", "INSTALL.md"):
        assert words in README
    assert "placeholder" in README and "tools/set_repository.py" in README


def example():
    """The program of the section "The loop"."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.S | re.M)
    assert len(blocks) == 1
    return blocks[0]


def run(program, folder):
    """Run a program in an empty folder, without a network, as a reader would."""
    paths = [str(ROOT / "tests" / "offline"), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def losses(printed):
    return [float(loss) for loss in re.findall(r"^step \d+: loss (.+)$", printed, re.M)]


def test_the_example_runs_and_learns(tmp_path, counted):
    still = example().replace("lr=2e-4", "lr=0.0")
    assert still != example()
    done = run(f"{example()}\nprint('without learning')\n{still}", tmp_path)
    assert done.returncode == 0, done.stderr
    found, control = map(losses, done.stdout.split("without learning"))
    # 64 reviews, 16 a batch, 4 passes, 2 micro-batches a step
    assert len(found) == len(control) == 8
    assert found[0] == pytest.approx(math.log(2), abs=0.1)  # two classes, untrained
    assert found[-1] < 0.5 < control[-1]
    counted("fault")


def test_the_example_is_short():
    tree = ast.parse(example())
    imports = (ast.Import, ast.ImportFrom)
    assert len([node for node in tree.body if not isinstance(node, imports)]) <= 10
    assert isinstance(tree.body[-1], ast.For)
    assert "steps(" in ast.unparse(tree.body[-1].iter)


def test_the_figure_is_drawn_from_the_stored_results():
    """Compared in words: versions of matplotlib change the lines of an SVG."""
    path = ROOT / "chapters" / "figures" / "label_efficiency.svg"
    picture = path.read_text(encoding="utf-8")
    results = hero_figure.read()
    assert f"<desc>{html.escape(hero_figure.words(results))}</desc>" in picture
    drawn = {m for result in results.values() for m in hero_figure.curves(result)}
    for name in [*results, *(hero_figure.METHODS[method][0] for method in drawn)]:
        assert f"<!-- {name} -->" in picture, name  # matplotlib names what it writes
    assert "chapters/figures/label_efficiency.svg" in README


def made_up(draws, **more):
    """A stored grid in which the words get 60 and 70 %, and MiniLM 10 points more."""
    cells = [
        {"method": method, "n": n, "seed": seed, "accuracy": first + n / 1000}
        for method, first in (("words, whole text", 0.5), ("MiniLM frozen", 0.6))
        for n in (100, 200)
        for seed in range(draws[method])
    ]
    return {"cells": cells, "tests": 1000, "tokens": 256, **more}


def test_points_of_few_draws_are_left_out(counted):
    few = made_up({"words, whole text": 5, "MiniLM frozen": 4})
    assert list(hero_figure.curves(few)) == ["words, whole text"]
    enough = made_up({"words, whole text": 5, "MiniLM frozen": 5})
    said = hero_figure.words({"whole reviews": enough, "single sentences": few})
    assert "counted words: 60 with 100, 70 with 200; MiniLM, frozen: 70" in said
    assert said.count("counted words") == 2 and said.count("MiniLM") == 1
    with pytest.raises(ValueError, match="label_efficiency.py"):
        hero_figure.curves(made_up({"words, whole text": 4, "MiniLM frozen": 5}))
    counted("fault", 2)


def test_both_panels_read_as_many_tokens(counted):
    grid = made_up({"words, whole text": 5, "MiniLM frozen": 5})
    with pytest.raises(ValueError, match="too many values"):
        hero_figure.words({"whole reviews": grid, "other": {**grid, "tokens": 64}})
    counted("fault")


def test_two_panels_with_one_legend():
    grid = made_up({"words, whole text": 5, "MiniLM frozen": 5})
    picture = hero_figure.svg({"whole reviews": grid, "single sentences": grid})
    assert picture.count("<!-- counted words -->") == 1
    assert "<!-- single sentences -->" in picture and "<title>" in picture


def test_the_tables_are_those_of_the_tool():
    for page, text in readme_tables.pages().items():
        assert (ROOT / page).read_text(encoding="utf-8") == text, page


def test_every_room_and_every_file_is_on_the_map():
    rooms = {path.parent.name for path in (ROOT / "ftlib").glob("*/__init__.py")}
    assert rooms == set(readme_tables.ROOMS)
    table = readme_tables.file_table()
    names = [path.stem for path in (ROOT / "ftlib").glob("*/*.py")]
    for name in set(names) - {"__init__"}:
        assert f"[{name}](" in table, name


OPENINGS = {
    "Core: ~75 min of study. Deeper: ~60 min more. Runs in 1.3 min, 1.6 GB": (
        "75 + 60 min",
        "1.3 min, 1.6 GB",
    ),
    "**Core**: ~75 min of study. Runs in 2 min, 1 GB": ("75 min", "2 min, 1 GB"),
    "**Measured**: 2.5 min, 1.6 GB on two CPU cores": ("–", "2.5 min, 1.6 GB"),
    "nothing": ("–", "–"),
}


@pytest.mark.parametrize("line", OPENINGS)
def test_the_times_of_an_opening_cell(line):
    assert readme_tables.times(f"# 01 · T\n\n{line}\n") == OPENINGS[line]


def test_another_table_is_noticed(monkeypatch, tmp_path, capsys, counted):
    (tmp_path / "ftlib").mkdir()
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    page = tmp_path / "ftlib" / "README.md"
    page.write_text(
        (ROOT / "ftlib" / "README.md").read_text(encoding="utf-8"), encoding="utf-8"
    )
    tables = readme_tables.TABLES
    made = {mark: make() for mark, (_, make) in tables.items()}
    fixed = {m: (tables[m][0], lambda m=m: made[m]) for m in tables}
    monkeypatch.setattr(readme_tables, "ROOT", tmp_path)
    monkeypatch.setattr(readme_tables, "TABLES", fixed)
    assert readme_tables.main(["--check"]) == 0
    for path, old in (
        (tmp_path / "README.md", "Gradient descent"),
        (tmp_path / "README.md", "[models](ftlib/models)"),
        (page, "[oom]"),
    ):
        good = path.read_text(encoding="utf-8")
        assert old in good
        path.write_text(good.replace(old, "another", 1), encoding="utf-8")
        assert readme_tables.main(["--check"]) == 1
        assert "another table" in capsys.readouterr().out
        assert readme_tables.main([]) == 0 and path.read_text(encoding="utf-8") == good
        counted("fault")
    page.write_text("# Files\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks <!-- files:begin -->"):
        readme_tables.main([])


@pytest.mark.parametrize(
    "docstring, sentence",
    [
        ("One sentence.\n\nMore.", "One sentence."),
        ("Broken over\ntwo lines. Then more.", "Broken over two lines."),
        ("BERT (Devlin et al. 2019): a | b\n", "BERT (Devlin et al. 2019): a \\| b"),
    ],
)
def test_the_first_sentence_of_a_file(docstring, sentence, tmp_path):
    path = tmp_path / "file.py"
    path.write_text(f'"""{docstring}"""\n', encoding="utf-8")
    assert readme_tables.summary(path) == sentence


def test_a_file_without_a_docstring_is_refused(tmp_path):
    path = tmp_path / "silent.py"
    path.write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="silent.py has no docstring"):
        readme_tables.summary(path)
