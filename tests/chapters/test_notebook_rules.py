"""The rules of a chapter: each detector must catch a planted fault, and no chapter may
have a finding.
"""

import base64
import io
import pathlib

import lint_notebooks
import measure_chapters
import nbformat
import notebooks
import pytest
import run_notebook
import study_time
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

SENTENCE = "The loss falls from 3.10 to 1.25 nats per token."


def picture(color=(0, 101, 179)):
    """A small PNG, base64: a rectangle of `color` on white, or only white."""
    from PIL import Image

    image, data = Image.new("RGB", (60, 40), "white"), io.BytesIO()
    if color:
        image.paste(color, (10, 10, 30, 30))
    image.save(data, format="png")
    return base64.b64encode(data.getvalue()).decode()


def shown(color=(0, 101, 179), alt=SENTENCE):
    return new_output(
        "display_data",
        {"image/png": picture(color), "text/plain": "<figure, 60 x 40>"},
        metadata={"image/png": {"alt": alt}},
    )


def diagram():
    output = shown()
    output.metadata["ftlib"] = {"diagram": "07_block"}
    return output


def caption(text=SENTENCE):
    """A caption, as show stores it after its picture."""
    data = {"text/html": f"<figcaption>{text}</figcaption>", "text/plain": text}
    return new_output("display_data", data, metadata={"ftlib": {"caption": True}})


def printed(text):
    return new_output("stream", name="stdout", text=text)


def clean():
    """A notebook without a fault."""
    cells = [
        new_markdown_cell("# 00 · Sample\n\nA claim, and `<script>` only as code."),
        new_code_cell("import ftlib", execution_count=1),
        new_markdown_cell("## Part\n\nText.\n\n### Detail\n\n## Next part"),
        new_code_cell(
            "show(fig, alt=...)",
            execution_count=2,
            outputs=[shown(), caption()],
        ),
    ]
    return new_notebook(cells=cells)


@pytest.fixture
def findings(tmp_path):
    """`findings(notebook)` -> the names of the rules that it breaks."""

    def find(notebook):
        path = tmp_path / "00_sample.ipynb"
        nbformat.write(notebook, path)
        return sorted({finding.split(":")[0] for finding in lint_notebooks.lint(path)})

    return find


def add_code(text="1", outputs=(), **metadata):
    def plant(notebook):
        number = len(notebooks.code_cells(notebook)) + 1
        notebook.cells += [
            new_markdown_cell("Text."),
            new_code_cell(
                text, execution_count=number, outputs=list(outputs), metadata=metadata
            ),
        ]

    return plant


def add_text(text):
    return lambda notebook: notebook.cells.append(new_markdown_cell(text))


def strip(notebook):
    for cell in notebooks.code_cells(notebook):
        cell.execution_count = None


def swap(notebook):
    notebook.cells[1].execution_count, notebook.cells[3].execution_count = 2, 1


def break_widgets(notebook):
    notebook.metadata["widgets"] = {lint_notebooks.STATE: {"version_major": 2}}


def poison_widget(notebook):
    notebook.metadata["widgets"] = {
        lint_notebooks.STATE: {
            "state": {"1" * 32: {"state": {"value": "<script>alert(1)</script>"}}}
        }
    }


def widget_without_state(notebook):
    add_code(
        outputs=[
            new_output("display_data", {lint_notebooks.VIEW: {"model_id": "2" * 32}})
        ]
    )(notebook)


def both(*plants):
    def plant(notebook):
        for each in plants:
            each(notebook)

    return plant


def in_view(notebook):
    """The last output's data, with what the picture rules ask of one."""
    output = notebook.cells[-1].outputs[-1]
    output.metadata["image/png"] = {"alt": SENTENCE}
    notebook.cells[-1].outputs.extend([caption()])
    return output.data


def third_in_a_row(notebook):
    notebook.cells += [new_code_cell("1", execution_count=n) for n in (3, 4)]


def html(text):
    return add_code(outputs=[new_output("display_data", {"text/html": text})])


# put together here, so that this file holds nothing that looks like a key
KEY = "hf_" + "aB3" * 10
FAULTS = {
    "stripped": (strip, "order"),
    "run out of order": (swap, "order"),
    "error stored": (
        add_code(
            outputs=[
                new_output("error", ename="ValueError", evalue="x", traceback=["x"])
            ]
        ),
        "errors",
    ),
    "picture without a sentence": (add_code(outputs=[shown()]), "described"),
    "caption as program output": (
        add_code(outputs=[shown(), printed(SENTENCE + "\n")]),
        ["captions", "described"],
    ),
    "two pictures, one sentence": (
        add_code(outputs=[shown(), shown(), caption()]),
        "described",
    ),
    "markdown picture without alt": (
        add_text("![](https://colab.research.google.com/assets/colab-badge.svg)"),
        "described",
    ),
    "markdown picture that is not there": (
        add_text("![a small diagram](figures/none.svg)"),
        "described",
    ),
    "empty plot": (add_code(outputs=[shown(None), caption()]), "drawn"),
    "plot with black frame only": (
        add_code(outputs=[shown((0, 0, 0)), caption()]),
        None,
    ),
    "plot past show()": (
        add_code(
            outputs=[
                new_output(
                    "display_data",
                    {"image/png": picture(), "text/plain": "<Figure size 60x40>"},
                    metadata={"image/png": {"alt": SENTENCE}},
                ),
                caption(),
            ]
        ),
        "drawn",
    ),
    "widget block without state": (break_widgets, "widgets"),
    "widget whose state is missing": (widget_without_state, ["still", "widgets"]),
    "widget with a still, without its state": (
        both(
            widget_without_state,
            lambda notebook: in_view(notebook).update(shown().data),
        ),
        "widgets",
    ),
    "absolute path in an output": (
        add_code(outputs=[printed("saved /home/ann/course/model.safetensors\n")]),
        "machine",
    ),
    "absolute path in a traceback": (
        add_code(outputs=[printed('File "C:\\\\Users\\\\ann\\\\x.py"\n')]),
        "machine",
    ),
    "absolute path in code": (add_code("open('/tmp/x.txt')"), "machine"),
    "memory address": (
        add_code(outputs=[printed("<object at 0x7f00aa11bb22>\n")]),
        "machine",
    ),
    "key in code": (add_code(f"token = '{KEY}'"), "secrets"),
    "key in an output": (add_code(outputs=[printed(KEY)]), "secrets"),
    "password in code": (add_code("password = 'correct-horse'"), "secrets"),
    "hidden source": (add_code(jupyter={"source_hidden": True}), "hidden"),
    "hidden by tag": (add_code(tags=["remove-input"]), "hidden"),
    "hidden outputs": (add_code(jupyter={"outputs_hidden": True}), "hidden"),
    "hidden Colab form": (add_code(cellView="form"), "hidden"),
    "script in markdown": (add_text("Hello <script>alert(1)</script>"), "active"),
    "handler in markdown": (add_text('<b onclick="alert(1)">x</b>'), "active"),
    "script link in markdown": (add_text("[x](javascript:alert(1))"), "active"),
    "frame in an output": (
        html("<iframe src='https://example.org'></iframe>"),
        "active",
    ),
    "script in an output": (
        add_code(
            outputs=[new_output("display_data", {"application/javascript": "alert(1)"})]
        ),
        "active",
    ),
    "script in a widget": (poison_widget, "active"),
    "remote picture in markdown": (
        add_text("![a remote diagram](https://example.org/x.png)"),
        "active",
    ),
    "heading jump": (add_text("#### Deep"), "headings"),
    "second title": (add_text("# Again"), "headings"),
    "too large": (add_code(outputs=[printed("x" * 600_000)]), "sizes"),
    "three code cells in a row": (third_in_a_row, "sizes"),
    "long cell": (add_code("\n".join(f"a{i} = {i}" for i in range(26))), "sizes"),
    "long folded cell": (
        lambda notebook: folded("# @title On\n" + "a = 1\n" * 61, "colab")(notebook),
        "sizes",
    ),
    "long class": (
        add_code("class A:\n" + "\n".join(f"    a{i} = {i}" for i in range(36))),
        "sizes",
    ),
}


# --- folds, verdicts, captions, style: rules of tools/cell_rules.py
CLAIMS = "# @title Checks of this section\n"
FOLD = {"jupyter": {"source_hidden": True}, "cellView": "form"}


def folded(text, *own):
    return add_code(text, tags=list(own), **FOLD)


def widget(notebook):
    """A widget whose state is stored, and no picture."""
    notebook.metadata["widgets"] = {lint_notebooks.STATE: {"state": {"1" * 32: {}}}}
    view = {lint_notebooks.VIEW: {"model_id": "1" * 32}, "text/plain": "Box()"}
    add_code(outputs=[new_output("display_data", view)])(notebook)


def tolerated(**fields):
    return add_code(tolerance=fields)


def code(text, **metadata):
    """A cell of code alone: parsed by the rules, never run."""
    return add_code(text, **metadata)


FAULTS |= {
    "verdict in an output": (
        add_code(outputs=[printed("the same: True\n")]),
        "verdicts",
    ),
    "verdict as the result": (
        add_code(outputs=[new_output("execute_result", {"text/plain": "False"})]),
        "verdicts",
    ),
    "comparison printed": (code("print('lower:', a < b)"), "verdicts"),
    "comparison formatted": (code("print(f'lower: {a < b}')"), "verdicts"),
    "bool printed": (code("print(bool(a))"), "verdicts"),
    "all printed": (code("print((a == b).all().item())"), "verdicts"),
    "torch.equal printed": (code("print(torch.equal(a, b))"), "verdicts"),
    "isclose as the last line": (code("math.isclose(a, b)"), "verdicts"),
    "not printed": (code("print(x, not a and b)"), "verdicts"),
    "bare assert": (code("assert a < b"), "claims"),
    "bare assert in a loop": (code("for a in b:\n    assert a"), "claims"),
    "open claims": (code(CLAIMS + "assert a", tags=["claims"]), "claims"),
    "claims without a title": (folded("assert a", "claims"), "claims"),
    "claims that train": (folded(CLAIMS + "steps(model)", "claims"), "claims"),
    "claims that define": (folded(CLAIMS + "def f():\n    pass", "claims"), "claims"),
    "claims that print": (
        folded(CLAIMS + "for a in b:\n    print(a)", "claims"),
        "claims",
    ),
    "claims with an output": (
        add_code(CLAIMS + "assert a", [printed("ok\n")], tags=["claims"], **FOLD),
        "claims",
    ),
    "two claims cells in a section": (
        both(folded(CLAIMS + "assert a", "claims"), folded(CLAIMS, "claims")),
        "claims",
    ),
    "drawing tagged and open": (
        code("show(fig, alt)", tags=["hide-input"]),
        "hide_input",
    ),
    "drawing without a title": (folded("show(fig, alt)", "hide-input"), "hide_input"),
    "folded code that shows nothing": (
        folded("# @title Figure\nax.plot(a)", "hide-input"),
        "hide_input",
    ),
    "folded training": (
        folded("# @title Figure\nloss.backward()\nshow(fig, alt)", "hide-input"),
        "hide_input",
    ),
    "folded assert": (
        folded("# @title F\ndef f():\n    assert a\nshow(fig, alt)", "hide-input"),
        "hide_input",
    ),
    "Colab's cell in the open": (code("!git clone -q x", tags=["colab"]), "setup"),
    "Colab's lines in the set-up": (code("%pip install x", tags=["setup"]), "setup"),
    "long set-up": (
        code("\n".join(f"import a{i}" for i in range(13)), tags=["setup"]),
        "setup",
    ),
    "picture without alternative text": (
        add_code(outputs=[shown(alt=""), caption()]),
        "captions",
    ),
    "caption unlike the alternative text": (
        add_code(outputs=[shown(), caption(SENTENCE.replace("1.25", "1.35"))]),
        "captions",
    ),
    "caption of two words": (
        add_code(outputs=[shown(), caption("The loss")]),
        ["captions", "described"],
    ),
    "widget without a still": (widget, "still"),
    "seven lines of drawing": (
        code("fig, left = plot.figure()\n" + "left.plot(a)\n" * 5 + "show(fig, alt)"),
        None,
    ),
    "eight lines of drawing": (
        code("fig, (left, right) = plot.figure()\n" + "right[0].plot(a)\n" * 6),
        "drawing",
    ),
    "tuple as a statement": (code("seed_everything(0), plot.style()"), "style"),
    "tuple in the middle": (code("a, b\nc = 1"), "style"),
    "lambda with a name": (code("f = lambda x: x"), "style"),
    "two statements in a line": (code("a = 1; b = 2"), "style"),
    "two statements in a loop": (code("for a in b:\n    c = 1; d = 2"), "style"),
    "private name imported": (code("from ftlib.x import _noise"), "style"),
    "private name reached": (code("from ftlib import x\nx._noise()"), "style"),
    "long line": (code("a = '" + "x" * 83 + "'"), "style"),
    "tolerance without a reason": (tolerated(relative=0.1), "tolerance"),
    "tolerance with a short reason": (
        tolerated(relative=0.1, reason="it varies"),
        "tolerance",
    ),
    "tolerance misspelt": (
        tolerated(relativ=0.1, reason="only five batches are averaged"),
        "tolerance",
    ),
}

FINE = {
    "a boolean that is the lesson": code("print(a < b)", tags=["booleans"]),
    "a setting printed": add_code(outputs=[printed("Config(tied=True, heads=4)\n")]),
    "a count of agreements": code("print((a == b).sum(), sum(a == b))"),
    "folded claims": folded(
        CLAIMS + "import x\na = x.b\nassert a\ntorch.testing.assert_close(a, c)\n"
        "with torch.no_grad():\n    assert a\nfor b in a:\n    assert b",
        "claims",
    ),
    "two sections, two claims cells": both(
        folded(CLAIMS + "assert a", "claims"),
        add_text("## The section after it"),
        folded(CLAIMS + "assert a", "claims"),
    ),
    "an exercise with an assert": code(
        "def f(): pass\nassert f\ncheck_f(f)", tags=["exercise"]
    ),
    "an assert in a function": code("def f(a):\n    assert a"),
    "tensors that agree": code("torch.testing.assert_close(a, b)"),
    "a folded drawing": folded(
        "# @title Figure\n" + "ax.plot(a)\n" * 9 + "plot.show(fig, alt)", "hide-input"
    ),
    "a folded function": folded(
        "# @title F\ndef draw(a):\n    ax.plot(a)", "hide-input"
    ),
    "Colab's cell": folded("# @title On Colab\n!git clone -q x", "colab"),
    "a caption of its own": add_code(outputs=[shown(), caption()]),
    "values shown": code("a, b"),
    "a long line for the shell": folded(
        "# @title On Colab\n%pip install -q " + "x" * 90, "colab"
    ),
    "a widget with a still": both(
        widget, lambda notebook: in_view(notebook).update(shown().data)
    ),
    "a widget with a table": both(
        widget, lambda notebook: in_view(notebook).update({"text/html": "<p>2 rows"})
    ),
    "a diagram under its title": add_code(
        outputs=[diagram(), caption("The block keeps the shape of its input.")]
    ),
    "a progress bar": both(
        widget,
        lambda notebook: in_view(notebook).update(
            {"text/plain": "0%| | 0/3 [00:00<?, ?it/s]"}
        ),
    ),
    "a tolerance": tolerated(
        relative=0.1, absolute=0.5, integers=3, reason="only five batches are averaged"
    ),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_fine_has_no_finding(name, findings):
    notebook = clean()
    FINE[name](notebook)
    assert findings(notebook) == []


def test_clean_notebook_has_no_finding(findings):
    assert findings(clean()) == []


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_caught(name, findings, counted):
    plant, rule = FAULTS[name]
    notebook = clean()
    plant(notebook)
    expected = rule if isinstance(rule, list) else [rule] if rule else []
    assert findings(notebook) == expected, name
    counted("fault")


def test_every_rule_has_a_planted_fault():
    assert {rule.__name__ for rule in lint_notebooks.RULES} == {
        rule for _, rule in FAULTS.values() if isinstance(rule, str)
    }


def test_empty_axes_are_a_finding(findings):
    """An axis frame with ticks and a grid, and nothing in it."""
    import matplotlib.pyplot as plt

    from ftlib.course import plot

    fig, ax = plot.figure()
    data = io.BytesIO()
    fig.savefig(data, format="png")
    plt.close(fig)
    notebook = clean()
    notebook.cells[3].outputs[0].data["image/png"] = base64.b64encode(
        data.getvalue()
    ).decode()
    assert findings(notebook) == ["drawn"]


def test_folded_cells_are_no_cells_in_a_row(findings):
    notebook = clean()
    claims = new_code_cell(CLAIMS, execution_count=4, metadata={"tags": ["claims"]})
    claims.metadata.update(FOLD)
    notebook.cells += [new_code_cell("1", execution_count=3), claims]
    assert findings(notebook) == []
    notebook.cells.append(new_code_cell("1", execution_count=5))
    assert findings(notebook) == ["sizes"]


def test_class_of_35_lines_is_fine(findings):
    notebook = clean()
    add_code("class A:\n" + "\n".join(f"    a{i} = {i}" for i in range(34)))(notebook)
    assert findings(notebook) == []


@pytest.mark.parametrize("path", notebooks.chapters(), ids=lambda path: path.stem)
def test_chapter_keeps_the_rules(path, counted):
    found = lint_notebooks.lint(path)
    broken = {finding.split(":")[0] for finding in found}
    expected = lint_notebooks.coming(path)
    new = [finding for finding in found if finding.split(":")[0] not in expected]
    assert new == []
    kept = sorted(expected - broken)
    assert kept == [], f"{path.stem} keeps {kept} now: take it off COMING"
    counted("chapter")
    outputs = [
        output
        for cell in notebooks.code_cells(notebooks.read(path))
        for output in cell["outputs"]
    ]
    counted("figure", sum("image/png" in output.get("data", {}) for output in outputs))


# --- running


def write(path, *sources):
    """A notebook of code cells at `path`, not yet run."""
    cells = [new_markdown_cell("# Sample")]
    for text in sources:
        cells += [new_code_cell(text), new_markdown_cell("Text.")]
    nbformat.write(new_notebook(cells=cells), path)
    return path


WIDGET = """
import ipywidgets as widgets
from tqdm.auto import tqdm
from ftlib.course import plot
slider = widgets.IntSlider(value=2, max=9)
for _ in tqdm(range(3)):
    print("row")
plot.explore(lambda rows: f"<b>{rows}</b>", "A table of 2 short rows.", rows=slider)
"""
FIGURE = """
from ftlib.course.plot import figure, show
fig, ax = figure()
ax.plot([0, 1], [2, 1])
show(fig, "The loss falls from 2 to 1.")
"""


def test_a_second_run_gives_the_same_bytes(tmp_path, findings, validate):
    noise = "import random\n0 * random.random()"
    path = write(tmp_path / "00_sample.ipynb", WIDGET, FIGURE, noise)
    assert run_notebook.main([str(path)]) == 0
    first = path.read_bytes()
    assert run_notebook.main(["--check", str(path)]) == 0
    assert path.read_bytes() == first
    shown_at_first = b"[00:00<?, ?it/s]"
    assert b"it/s" not in first.replace(shown_at_first, b"")
    assert findings(nbformat.read(path, as_version=4)) == []
    checked = validate(path)
    assert checked.returncode == 0, checked.stdout


def test_a_run_that_changes_is_noticed(tmp_path):
    path = write(tmp_path / "00_sample.ipynb", "import time; print(time.time_ns())")
    assert run_notebook.main([str(path)]) == 0
    assert run_notebook.main(["--check", str(path)]) == 1


def test_a_failing_cell_leaves_the_file_as_it_was(tmp_path):
    path = write(tmp_path / "00_sample.ipynb", "1 / 0")
    before = path.read_bytes()
    assert run_notebook.main([str(path)]) == 1
    assert path.read_bytes() == before


def test_the_clock_of_a_progress_bar_is_cut():
    cases = {
        "100%|##| 20/20 [00:03<00:00,  6.5it/s]": "100%|##| 20/20",
        " 5/5 [00:00&lt;00:00, 82.7it/s]": " 5/5",
        " 5/? [1:02:03<?, 1.20s/it, loss=2.10]": " 5/?, loss=2.10",
        "shape [2, 3]": "shape [2, 3]",
    }
    for before, after in cases.items():
        assert run_notebook.CLOCK.sub(r"\1", before) == after


def finished(path, counts=True):
    """Give the cells run numbers without running them."""
    notebook = nbformat.read(path, as_version=4)
    for number, cell in enumerate(notebooks.code_cells(notebook), 1):
        cell.execution_count = number
    nbformat.write(notebook, path)
    return path


HAZARDS = {
    "loops": (["while True:\n    pass"], "Timeout of"),
    "dies": (["import os\nos._exit(1)", "1"], "failed"),
    "reaches for the network": (
        ["import socket\nsocket.create_connection(('example.org', 80), timeout=3)"],
        "network is blocked",
    ),
    "looks up a name": (
        ["import socket\nsocket.getaddrinfo('example.org', 80)"],
        "network is blocked",
    ),
    "asks the hub": (
        [
            "from huggingface_hub import "
            "hf_hub_download\nhf_hub_download('bert-base-uncased', 'config.json')"
        ],
        "ffline",
    ),
    "prints something else": (["print('not what is stored')"], "Cell outputs differ"),
}


@pytest.mark.parametrize("name", HAZARDS)
def test_hazard_is_noticed(name, tmp_path, validate, counted):
    sources, words = HAZARDS[name]
    result = validate(
        finished(write(tmp_path / "00_hazard.ipynb", *sources)),
        timeout=4 if name in ("loops", "dies") else 60,
    )
    assert result.returncode == 1 and words in result.stdout, result.stdout[-2000:]
    counted("fault")


def test_loopback_stays_open(tmp_path, validate):
    text = (
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname()).close()\nserver.close()"
    )
    result = validate(finished(write(tmp_path / "00_local.ipynb", text)))
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("text", ["while True:\n    pass", "import os\nos._exit(1)"])
def test_run_notebook_notices_hazards(tmp_path, text, capsys):
    path = write(tmp_path / "00_hazard.ipynb", text)
    assert run_notebook.main(["--timeout", "3", str(path)]) == 1
    assert "file left as it was" in capsys.readouterr().out


def test_a_stripped_notebook_passes_nbval_and_fails_here(tmp_path, validate, findings):
    """The reason for the rule about run numbers: nbval compares nothing where a cell
    has none.
    """
    path = write(tmp_path / "00_stripped.ipynb", "print('anything')")
    assert validate(path).returncode == 0
    assert "order" in findings(nbformat.read(path, as_version=4))


# --- measurements, badges, the table in the README


def test_measurements_badges_and_readme_agree():
    assert measure_chapters.disagreements() == []


def test_disagreements_are_caught(tmp_path, monkeypatch):
    folder = tmp_path / "chapters"
    folder.mkdir()
    opening = (
        "# 01 · Sample\n\nA claim.\n\n**Measured**: 9 min, 9 GB on two CPU cores\n\n"
        "[![Open in "
        "Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://example.org/wrong)"
    )
    nbformat.write(
        new_notebook(cells=[new_markdown_cell(opening)]), folder / "01_sample.ipynb"
    )
    (tmp_path / "README.md").write_text(
        "Course\n\n<!-- chapters:begin -->\n<!-- chapters:end -->\nEnd\n",
        encoding="utf-8",
    )
    (tmp_path / "pyproject.toml").write_bytes(
        (notebooks.ROOT / "pyproject.toml").read_bytes()
    )
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "CHAPTERS", folder)
    monkeypatch.setattr(measure_chapters, "OLD_LINES", "")
    assert any(
        "not in measured.json" in line for line in measure_chapters.disagreements()
    )
    measure_chapters.write({"01_sample": {"minutes": 1.5, "gigabytes": 0.6}})
    assert measure_chapters.disagreements() == []
    good = {
        path: path.read_text(encoding="utf-8")
        for path in (
            tmp_path / "README.md",
            folder / "01_sample.ipynb",
            folder / "measured.json",
        )
    }
    assert (
        "1.5 min, 0.6 GB" in good[folder / "01_sample.ipynb"]
        and "Sample" in good[tmp_path / "README.md"]
    )
    for path, text in good.items():
        for old, new in (("1.5", "1.4"), ("0.6", "0.7")):
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
            assert measure_chapters.disagreements(), (path.name, old)
        path.write_text(text, encoding="utf-8")
    path = folder / "01_sample.ipynb"
    path.write_text(good[path].replace("blob/main", "blob/other"), encoding="utf-8")
    assert any("badge" in line for line in measure_chapters.disagreements())
    path.write_text(good[path], encoding="utf-8")
    measure_chapters.write({"01_sample": {"minutes": 3.5, "gigabytes": 0.6}})
    assert any("at most" in line for line in measure_chapters.disagreements())


def test_measurement_is_a_number_that_a_reader_can_use():
    entry = {"minutes": 2.0, "gigabytes": 1.25}
    assert measure_chapters.run_of(entry) == "2 min, 1.2 GB"


# --- study time


def text_of_words(number):
    return new_markdown_cell(" ".join(["word"] * number))


def studied():
    """A chapter of 30 minutes, and 15 deeper."""
    exercise = "> **Difficulty** 2 of 5 · **Time** 10 min\n\n<details>A b c</details>"
    return new_notebook(
        cells=[
            new_markdown_cell("# 01 · Sample\n\n" + "long opening " * 500),
            text_of_words(2000),  # 10
            new_code_cell("\n".join(["# comment", *["a = 1"] * 100])),  # 10
            new_code_cell("a = 1\n" * 100, metadata={"tags": ["claims"]}),
            new_markdown_cell(exercise),  # 10
            new_markdown_cell("## Deeper: more\n\n```python\n" + "a\n" * 50 + "```"),
            text_of_words(2000),
            new_markdown_cell("## Summary"),
        ]
    )


def test_study_time():
    assert study_time.study(studied()) == (30, 15)
    assert study_time.line(studied(), "1.3 min, 1.6 GB") == (
        "Core: ~30 min of study. Deeper: ~15 min more. Runs in 1.3 min, 1.6 GB"
    )
    notebook = studied()
    notebook.cells[5:] = []
    assert study_time.line(notebook, "2 min, 1 GB") == (
        "Core: ~30 min of study. Runs in 2 min, 1 GB"
    )
    assert study_time.words_of("[two words](a/b) don't `x` 预训练模型 **four**") == 8


def test_study_time_is_written_once_and_a_wrong_one_is_caught(monkeypatch, counted):
    path, entry = pathlib.Path("01_sample.ipynb"), {"minutes": 1.3, "gigabytes": 1.6}
    notebook = studied()

    def missing():
        return list(measure_chapters.times_missing(path, notebook, entry))

    notebook.cells[0].source += "\n\n" + measure_chapters.old_line(entry) + "\n\nEnd"
    monkeypatch.setattr(measure_chapters, "OLD_LINES", "01")
    assert missing() == []  # 01 is on the list of old lines
    for _ in range(2):
        text = measure_chapters.opening_of(notebook, path.stem, entry)
        notebook.cells[0].source = text
    assert text.count("min of study") == 1 and "Measured" not in text
    assert "take it off" in missing()[0]
    monkeypatch.setattr(measure_chapters, "OLD_LINES", "")
    assert missing() == []
    for old, new in (("~30", "~25"), ("~15", "~20"), ("1.3 min", "1.2 min")):
        notebook.cells[0].source = text.replace(old, new)
        assert "does not say" in missing()[0]
        counted("fault")
