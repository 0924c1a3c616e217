"""Diagrams: drawn by the script as stored, nothing overlaps, shown with words."""

import hashlib
import re

import diagram
import draw_diagrams
import pytest

from ftlib.course import diagrams

NAMES = sorted(draw_diagrams.DRAWINGS)


@pytest.fixture(scope="module")
def drawings():
    return {name: draw_diagrams.DRAWINGS[name]().svg() for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_is_what_the_script_draws(name):
    assert draw_diagrams.stale(name) == ""


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps_and_the_house_style_is_kept(name, drawings):
    assert diagram.faults(drawings[name]) == []


def test_every_stored_diagram_has_a_drawing():
    assert diagrams.names() == NAMES


def test_the_check_sees_an_old_file_and_an_old_picture(tmp_path, monkeypatch, counted):
    monkeypatch.setattr(draw_diagrams, "FIGURES", tmp_path)
    name, svg = NAMES[0], draw_diagrams.DRAWINGS[NAMES[0]]().svg()
    assert "differs" in draw_diagrams.stale(name)
    (tmp_path / f"{name}.svg").write_text(svg.replace("Start here", "Start"), "utf-8")
    assert "differs" in draw_diagrams.stale(name)
    (tmp_path / f"{name}.svg").write_text(svg, "utf-8")
    assert "was made of another" in draw_diagrams.stale(name)
    other = b"tEXtSource\x00" + hashlib.sha256(b"other").hexdigest().encode()
    (tmp_path / f"{name}.png").write_bytes(other)
    assert "was made of another" in draw_diagrams.stale(name)
    right = b"tEXtSource\x00" + hashlib.sha256(svg.encode()).hexdigest().encode()
    (tmp_path / f"{name}.png").write_bytes(right)
    assert draw_diagrams.stale(name) == ""
    assert draw_diagrams.main(["--check", name]) == 0
    counted("fault", 4)


def sample(*extra):
    """Two boxes, an arrow, a text, and what is added to them."""
    d = diagram.Diagram(
        "A box leads to another one.", "Two boxes and one arrow between them.", 120
    )
    a, b = d.box(40, 30, 120, 40, "input"), d.box(300, 30, 120, 40, "output", "blue")
    d.arrow(a.right, b.left)
    d.text(360, 90, "a text below")
    for add in extra:
        add(d)
    return d.svg()


FAULTS = {
    "text on text": (lambda d: d.text(365, 92, "another"), "covers"),
    "text over the edge of a box": (
        lambda d: d.text(160, 34, "wide"),
        "leaves its box",
    ),
    "text wider than its box": (lambda d: d.box(500, 30, 40, 30, "too wide"), "leaves"),
    "text off the page": (lambda d: d.text(700, 20, "far right"), "leaves the page"),
    "box off the page": (lambda d: d.box(600, 90, 80, 40), "leaves the page"),
    "box on box": (lambda d: d.box(400, 20, 90, 30), "two boxes overlap"),
    "line through a box": (
        lambda d: d.arrow((200, 60), (600, 60)),
        "a line crosses the box",
    ),
    "line through a text": (
        lambda d: d.arrow((320, 90), (420, 90)),
        "a line crosses 'a text below'",
    ),
    "small text": (lambda d: d.text(600, 20, "small", 9), "smaller than 12"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_overlaps_or_is_too_small_is_found(name, counted):
    assert diagram.faults(sample()) == []
    add, said = FAULTS[name]
    found = diagram.faults(sample(add))
    assert any(said in sentence for sentence in found), found
    counted("fault")


TEXT_FAULTS = {
    "no title": (r"<title>.*?</title>\n", "", "<title>"),
    "short description": (r"<desc>.*?</desc>", "<desc>A box</desc>", "<desc>"),
    "another width": ('width="720"', 'width="700"', "720 is needed"),
    "another colour": ("#0A3AEE", "#FF0000", "not in the palette"),
    "a script": ("</svg>", "<script/></svg>", "<script>"),
    "a picture from elsewhere": ("</svg>", '<image href="x"/></svg>', "<image>"),
    "no ground": (r'<rect width="720".*?/>\n', "", "ground"),
}


@pytest.mark.parametrize("name", TEXT_FAULTS)
def test_a_diagram_that_leaves_the_house_style_is_found(name, counted):
    pattern, new, said = TEXT_FAULTS[name]
    changed, count = re.subn(pattern, new, sample(), count=1)
    assert count == 1 and any(said in sentence for sentence in diagram.faults(changed))
    counted("fault")


def test_words_and_text():
    title, description = diagrams.words("09_mlm")
    assert len(title.split()) >= 5 and len(description.split()) > 20
    assert diagrams.svg("09_mlm").startswith("<svg ")


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match="no diagram '99_none'; there are 00_map, "):
        diagrams.svg("99_none")
    with pytest.raises(ValueError, match="00_map"):
        diagrams.show("99_none")


def test_a_script_prints_the_title(capsys):
    diagrams.show("07_block")
    title, _ = diagrams.words("07_block")
    assert capsys.readouterr().out == title + "\n"


def test_without_the_course_show_says_where_it_is(monkeypatch, capsys):
    monkeypatch.setattr(diagrams, "figures_folder", lambda: None)
    diagrams.show("07_block")
    assert "07_block is in the course's chapters/figures" in capsys.readouterr().out


def test_a_notebook_stores_picture_words_and_caption(monkeypatch):
    seen = []
    monkeypatch.setattr(diagrams, "in_notebook", lambda: True)
    monkeypatch.setattr(diagrams, "display_captioned", lambda *a: seen.append(a))
    diagrams.show("07_block")
    data, metadata, caption = seen[0]
    title, description = diagrams.words("07_block")
    assert caption == title and metadata["image/png"]["alt"] == description
    assert metadata["image/png"]["width"] == 720
    assert metadata["image/png"]["height"] == draw_diagrams.draw_07_block().height
    assert data["text/plain"].startswith("<figure, 720 x ")
    assert description in data["text/plain"] and len(data["image/png"]) < 100_000


def test_the_map_marks_the_chapters_that_exist(drawings):
    exist = {int(p.name[:2]) for p in draw_diagrams.ROOT.glob("chapters/[0-9]*.ipynb")}
    solid = len(re.findall(r'fill-opacity="0.16"', drawings["00_map"]))
    assert solid == len(exist) == 26
    numbers = re.findall(r">(\d\d)</text>", drawings["00_map"])
    assert sorted(map(int, numbers)) == list(range(1, 26))
