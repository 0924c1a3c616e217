"""Every slider and every button of every chapter, by keyboard, in a real browser:
JupyterLab, with the network blocked.

For each chapter that shows widgets a temporary notebook is made of the cells that the
widgets need (those tagged `setup` and `widget`, or, without such tags, those whose
names the widget cells use), run there with Run > Run All Cells, and operated with the
arrow and space keys. Skipped where no Chromium is found; in continuous integration (the
variable CI is set) it must be there.
"""

import ast
import builtins
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import notebooks
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = notebooks.ROOT
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # a microphone that beeps, and nobody to press "allow"
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
TOKEN = "tests"
WAIT = 15_000  # milliseconds for one reaction of a widget
READY = 180_000  # for all cells of a notebook

SAMPLE = """
import ipywidgets as widgets
slider = widgets.IntSlider(value=2, max=9, description="rows")
text = widgets.HTML("2 rows")
back, forth = widgets.Button(description="fewer"), widgets.Button(description="more")
back.on_click(lambda _: setattr(slider, "value", slider.value - 1))
forth.on_click(lambda _: setattr(slider, "value", slider.value + 1))
def redraw(change):
    text.value = f"{change['new']} rows"
slider.observe(redraw, "value")
widgets.VBox([slider, widgets.HBox([back, forth]), text])
"""
DEAD = SAMPLE.replace('slider.observe(redraw, "value")\n', "")
RAISES = SAMPLE + "\n1 / 0"


def chromium():
    """The path of a Chromium, or None."""
    names = (
        os.environ.get("CHROME"),
        "chromium",
        "chromium-browser",
        "google-chrome",
        "chrome",
    )
    return next(
        (found for name in names if name and (found := shutil.which(name))), None
    )


def playwright_installed():
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return False
    return True


MISSING = (
    None
    if chromium() and playwright_installed()
    else "no Chromium (or no playwright) found: pip install playwright, and install "
    "chromium"
)
pytestmark = pytest.mark.skipif(
    MISSING is not None and not os.environ.get("CI"), reason=MISSING or ""
)


# --- the cells that widgets need


def makes_widgets(cell):
    return bool(re.search(r"\bwidgets\.\w|\bipywidgets\.\w", notebooks.source(cell)))


def names_of(tree):
    """(names a cell defines or changes, names it uses)."""
    defined, used = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else defined).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            defined |= {
                (alias.asname or alias.name).split(".")[0] for alias in node.names
            }
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            defined.add(
                node.func.value.id
                # `slider.observe(...)` and `rows.append(...)` change what they are
                # called on
            )
    return defined, used


def imports_of(cells):
    """All imports of these cells, as one cell; they take little time."""
    nodes = [
        node for cell in cells for node in notebooks.parse(notebooks.source(cell)).body
    ]
    kinds = (ast.Import, ast.ImportFrom)
    return "\n".join(ast.unparse(node) for node in nodes if isinstance(node, kinds))


def is_plain(cell):
    """Whether a cell only names constants (a table of sizes), and so calls nothing."""
    tree = notebooks.parse(notebooks.source(cell))
    return all(isinstance(node, ast.Assign) for node in tree.body) and not any(
        isinstance(node, (ast.Call, ast.ListComp, ast.DictComp))
        for node in ast.walk(tree)
    )


def needed(notebook):
    """The code of the cells that the notebook's widgets need, in order."""
    cells = notebooks.code_cells(notebook)
    if any("widget" in notebooks.tags(cell) for cell in cells):
        marked = [
            cell
            for cell in cells
            if {"colab", "setup", "widget"} & set(notebooks.tags(cell))
            or is_plain(cell)
        ]
        return [imports_of(cells), *map(notebooks.source, marked)]
    trees = [notebooks.parse(notebooks.source(cell)) for cell in cells]
    shown = {
        name
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.Assign) and "widgets." in ast.unparse(node.value)
        for name in names_of(node)[0]
    }
    chosen, wanted = [], set()
    for cell, tree in reversed(list(zip(cells, trees))):
        if notebooks.is_exercise(cell):
            continue
        defined, used = names_of(tree)
        if makes_widgets(cell) or used & shown or defined & wanted:
            chosen.insert(0, notebooks.source(cell))
            wanted |= used - set(dir(builtins))
    return chosen


def with_widgets():
    """The chapters that make widgets of their own."""
    return [
        path
        for path in notebooks.chapters()
        if any(map(makes_widgets, notebooks.code_cells(notebooks.read(path))))
    ]


def test_only_the_needed_cells_are_chosen():
    cells = [
        "import ipywidgets as widgets\nimport math",
        "slow = math.sqrt(2)",
        "top = 9",
        "slider = widgets.IntSlider(max=top)",
        "print(slow)",
        "slider.observe(print)\nslider",
    ]
    book = {
        "cells": [
            {"cell_type": "code", "source": text, "metadata": {}} for text in cells
        ]
    }
    assert needed(book) == [cells[0], cells[2], cells[3], cells[5]]
    book["cells"][1]["metadata"]["tags"] = ["setup"]
    book["cells"][3]["metadata"]["tags"] = ["widget"]
    # what is marked, after all imports and with the constants that it may need
    assert needed(book) == cells[:4]


# --- JupyterLab and the browser


class Lab:
    """JupyterLab on a free port of 127.0.0.1 with folders of its own, because two test
    processes start one each.
    """

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            wanted = free.getsockname()[1]
        own = {
            "HOME": "home",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        variables = {
            **os.environ,
            **{name: str(folder / path) for name, path in own.items()},
        }
        variables["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT / "tests" / "offline"), str(ROOT)]
        )
        for path in own.values():
            (folder / path).mkdir()
        (folder / "course" / "chapters").mkdir(parents=True)
        # a chapter finds data/ and its figures where it always finds them
        for name in ("data", "ftlib", "recipes", "chapters/figures"):
            if (ROOT / name).exists():
                (folder / "course" / name).symlink_to(ROOT / name)
        self.log = open(folder / "lab.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                "--ip=127.0.0.1",
                f"--port={wanted}",
                f"--IdentityProvider.token={TOKEN}",
                "--LabServerApp.extension_manager=readonly",
                "--LabApp.collaborative=False",
                f"--ServerApp.root_dir={folder / 'course'}",
            ],
            env=variables,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        self.wait()
        self.request(
            "PUT",
            "/lab/api/settings/@jupyterlab/apputils-extension:notification",
            {"raw": '{"fetchNews": "false", "checkForUpdates": false}'},
        )
        # every cell is drawn, also those that are not on the screen
        self.request(
            "PUT",
            "/lab/api/settings/@jupyterlab/notebook-extension:tracker",
            {"raw": '{"windowingMode": "none"}'},
        )

    def wait(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                self.url = self.address()
                return self.request("GET", "/api/status")
            except (OSError, LookupError, ValueError):  # not there, or half-written
                time.sleep(0.2)
        raise RuntimeError(
            "JupyterLab did not start:\n"
            + (self.folder / "lab.log").read_text(encoding="utf-8")[-3000:]
        )

    def address(self):
        """Where the server says that it listens: if somebody took the wanted port in
        the meantime, perhaps another Lab, it has gone to the next free one.
        """
        told = next((self.folder / "runtime").glob("jpserver-*.json"), None)
        if told is None:
            raise FileNotFoundError("the server does not say yet where it listens")
        port = json.loads(told.read_text(encoding="utf-8"))["port"]
        return f"http://127.0.0.1:{port}"

    def request(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path,
            data,
            {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def add(self, name, sources):
        """Write a notebook and start its kernel; without a session a dialogue would ask
        for one and block.
        """
        cells = [new_markdown_cell("# Widgets"), *map(new_code_cell, sources)]
        book = new_notebook(
            cells=cells,
            metadata={
                "kernelspec": {
                    "name": "python3",
                    "display_name": "Python 3",
                    "language": "python",
                }
            },
        )
        nbformat.write(book, self.folder / "course" / "chapters" / name)
        path = f"chapters/{name}"
        session = self.request(
            "POST",
            "/api/sessions",
            {
                "path": path,
                "name": name,
                "type": "notebook",
                "kernel": {"name": "python3"},
            },
        )
        return session["id"]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    assert MISSING is None, MISSING
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    assert MISSING is None, MISSING
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("chromium")),
            executable_path=chromium(),
            args=FLAGS,
            headless=True,
            viewport={"width": 1400, "height": 1000},
        )
        yield context
        context.close()


# The text of a cell's outputs without the numbers that a slider shows of itself, and
# the pictures: what a reader sees change.
SEEN = """area => {
  const copy = area.cloneNode(true);
  const extra = '.widget-readout, .widget-button, .jupyter-button';
  copy.querySelectorAll(extra).forEach(e => e.remove());
  return copy.innerText + [...copy.querySelectorAll('img')].map(e => e.src).join()
    + [...copy.querySelectorAll('svg')].map(e => e.innerHTML).join();
}"""
# JupyterLab draws an error as a piece of stderr; a warning on stderr is no error
ERRORS = (
    '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"], '
    '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]:has(.ansi-red-fg)'
)


class Page:
    """One notebook, open and run."""

    def __init__(self, lab, browser, name, sources):
        self.lab, self.session = lab, lab.add(name, sources)
        self.page = browser.new_page()
        self.page.goto(f"{lab.url}/lab/tree/chapters/{name}?token={TOKEN}&reset")
        self.page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=60_000)
        # before the page has met the kernel, Run All Cells asks which kernel to take
        self.page.get_by_text(re.compile(r"\| Idle")).first.wait_for(timeout=60_000)
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self.page.wait_for_function(
            """errors => {
            const all = document.querySelectorAll('.jp-CodeCell .jp-InputPrompt');
            const prompts = [...all]
                .map(e => e.textContent.trim());
            const ran = prompts.every(p => /\\[\\d+\\]/.test(p));
            return prompts.length && (ran || document.querySelector(errors));
        }""",
            arg=ERRORS,
            timeout=READY,
        )

    def errors(self):
        return [text.strip() for text in self.page.locator(ERRORS).all_inner_texts()]

    def areas(self):
        """The output areas that hold a control."""
        areas = self.page.locator(".jp-CodeCell .jp-Cell-outputArea")
        return [
            areas.nth(i)
            for i in range(areas.count())
            if areas.nth(i).locator(".noUi-handle, .jupyter-button").count()
        ]

    def moves(self, area, slider):
        """Whether an arrow key changes what the reader sees; first the one that has
        somewhere to go, because the other one costs a whole WAIT.
        """
        end, now = (
            slider.get_attribute(f"aria-value{name}") for name in ("max", "now")
        )
        keys = ["ArrowRight", "ArrowLeft"]
        return any(
            self.changes(area, slider, key)
            for key in (reversed(keys) if end == now else keys)
        )

    def changes(self, area, control, key):
        """Focus `control`, press `key` -> whether what the reader sees changed."""
        before = area.evaluate(SEEN)
        control.focus()
        self.page.keyboard.press(key)
        end = time.monotonic() + WAIT / 1000
        while time.monotonic() < end:
            if area.evaluate(SEEN) != before:
                return True
            self.page.wait_for_timeout(100)
            if key.startswith("Arrow") and self.errors():
                return False
        return False

    def close(self):
        self.page.close()
        self.lab.request("DELETE", f"/api/sessions/{self.session}")


def operate(page):
    """Move every slider and press every button -> (faults, number of controls that did
    something).
    """
    page.page.locator(f"{ERRORS}, .noUi-handle, .jupyter-button").first.wait_for(
        timeout=30_000
    )
    faults, moved = page.errors(), 0
    if faults:
        return faults, moved
    for number, area in enumerate(page.areas()):
        sliders = area.locator(".noUi-handle")
        # a button that opens the computer's own window for files changes nothing here
        buttons = area.locator(".jupyter-button:not(.widget-upload)")
        if sliders.count() and not (
            buttons.count()
            or area.locator("input[type=text], input[type=number], select").count()
        ):
            faults.append(
                f"widget output {number}: a slider without step buttons or a "
                "text field beside it"
            )
        for i in range(sliders.count()):
            if page.moves(area, sliders.nth(i)):
                moved += 1
            else:
                faults.append(
                    f"widget output {number}: slider {i} changes nothing "
                    "that a reader sees"
                )
        still = list(range(buttons.count()))
        # "back" does nothing at the beginning, and something after "next"
        for _ in range(2):
            still = [
                i
                for i in still
                if buttons.nth(i).is_disabled()
                or not page.changes(area, buttons.nth(i), "Space")
            ]
        moved += buttons.count() - len(still)
        faults += [
            f"widget output {number}: button {buttons.nth(i).inner_text()!r} changes "
            "nothing that a reader sees"
            for i in still
        ]
    return faults + page.errors(), moved


@pytest.fixture
def opened(lab, browser):
    """`opened(name, sources)` -> a Page, closed at the end of the test."""
    pages = []

    def open_page(name, sources):
        pages.append(Page(lab, browser, name, sources))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


def test_sample_works(opened):
    assert operate(opened("sample.ipynb", [SAMPLE])) == ([], 3)


@pytest.mark.parametrize(
    "name, text, words",
    [("dead", DEAD, "changes nothing"), ("raises", RAISES, "ZeroDivisionError")],
)
def test_broken_widgets_are_caught(opened, name, text, words, counted, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "WAIT", 1500)
    faults, _ = operate(opened(f"{name}.ipynb", [text]))
    assert any(words in fault for fault in faults), faults
    counted("fault")


@pytest.mark.parametrize("path", with_widgets(), ids=lambda path: path.stem)
def test_chapter(opened, path, counted):
    faults, moved = operate(opened(path.name, needed(notebooks.read(path))))
    assert faults == [] and moved > 0
    counted("widget", moved)


RECORDER = """
import ipywidgets as widgets
from ftlib.course import plot, recorder
plot.explore(
    recorder.collect,
    "The recorder is closed: press the button, or upload wav files.",
    microphone=widgets.ToggleButton(description="open the recorder"),
    files=widgets.FileUpload(accept=".wav", multiple=True),
)
"""


def record_and_upload(opened, tmp_path, source):
    """Say ten words (the browser's microphone beeps), save, upload -> (the saved file,
    what the notebook says then).
    """
    from ftlib.course import recorder

    page = opened("recorder.ipynb", [source]).page
    button = page.get_by_role("button", name="open the recorder")
    button.focus()
    page.keyboard.press("Space")
    frame = page.frame_locator("iframe[title=recorder]")
    for number, word in enumerate(recorder.WORDS, start=1):
        record = frame.get_by_role("button", name=f"record {word}", exact=True)
        record.focus()
        record.press("Space")
        frame.get_by_text(f"{number} of 10 recorded").wait_for(timeout=WAIT)
    with page.expect_download(timeout=WAIT) as download:
        frame.get_by_text("save ten_digits.wav").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    # the window for files belongs to the system; its choice arrives here
    with page.expect_file_chooser() as chooser:
        page.locator(".widget-upload").click()
    chooser.value.set_files(file)
    said = page.get_by_text(re.compile(r"\d+ of 10 digits are in the folder"))
    page.get_by_text("10 of 10 digits are").wait_for(timeout=WAIT)
    return file, said.first.inner_text()


def test_ten_digits_are_recorded_saved_and_uploaded(opened, tmp_path, lab):
    from ftlib.course import recorder
    from ftlib.data import audio

    file, said = record_and_upload(opened, tmp_path, RECORDER)
    sound = audio.read_wav(file)
    assert file.name == "ten_digits.wav" and sound.rate >= 16_000
    seconds = len(sound.samples) / sound.rate
    assert seconds == pytest.approx(10 * recorder.SECONDS, abs=0.01)
    assert "10 of 10" in said and "silent" not in said
    found = recorder.recordings(lab.folder / "course" / "chapters" / "my_digits")
    assert len(found) == 10
    for samples in found.values():  # the microphone beeps once a second
        assert len(samples) == 1.5 * recorder.RATE and samples.abs().max() > 0.1


def test_a_recorder_that_saves_silence_is_caught(opened, tmp_path, counted):
    dead = RECORDER.replace(
        "plot.explore(",
        "recorder.PAGE = recorder.PAGE.replace('32767', '0')\nplot.explore(",
    )
    file, _ = record_and_upload(opened, tmp_path, dead)
    from ftlib.data import audio

    assert float(audio.read_wav(file).samples.abs().max()) == 0
    counted("fault")
