"""The front page is small and true, its example runs, its tables are the tool's."""

import ast
import html
import json
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


def hero():
    names = ("label_efficiency.json", "label_efficiency_tfidf.json")
    texts = [(hero_figure.RESULTS / n).read_text(encoding="utf-8") for n in names]
    return [json.loads(text) for text in texts]


def test_the_figure_is_drawn_from_the_stored_results():
    """Compared in words: versions of matplotlib change the lines of an SVG."""
    path = ROOT / "chapters" / "figures" / "label_efficiency.svg"
    picture = path.read_text(encoding="utf-8")
    result = hero_figure.joined(*hero())
    assert f"<desc>{html.escape(hero_figure.words(result))}</desc>" in picture
    for label, *_ in hero_figure.METHODS.values():
        assert f"<!-- {label} -->" in picture, label  # matplotlib names what it writes
    assert "chapters/figures/label_efficiency.svg" in README
    assert "no network here beats it" in README


def test_what_the_caption_says_of_the_baseline(counted):
    def beaten(result):
        _, _, runs = hero_figure.curves(result)
        means = {method: hero_figure.mean(run) for method, run in runs.items()}
        whole = means.pop("TF-IDF, whole review")
        del means["TF-IDF"]
        rows = zip(whole, *means.values(), strict=True)
        return [row for row in rows if max(row[1:]) > row[0]]

    result = hero_figure.joined(*hero())
    assert beaten(result) == []
    for cell in result["cells"]:
        if cell["method"] == "MiniLM fine-tuned" and cell["n"] == 1000:
            cell["accuracy"] += 0.1
    assert len(beaten(result)) == 1
    counted("fault")


def test_results_of_other_tests_are_not_joined(counted):
    networks, counting = hero()
    counting["tests"] = 10
    with pytest.raises(ValueError, match="tests is 1000 in one file and 10"):
        hero_figure.joined(networks, counting)
    counting["tests"], counting["cells"] = networks["tests"], counting["cells"][:3]
    with pytest.raises(ValueError, match="tfidf_baseline.py"):
        hero_figure.curves(hero_figure.joined(networks, counting))
    counted("fault", 2)


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
        (tmp_path / "README.md", "`transformer`"),
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
