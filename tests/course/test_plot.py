"""Figures: colours to tell apart, captions, what is drawn, texts that stay apart."""

import doctest
import itertools
import json
import math
import subprocess
import sys

import matplotlib
import nbformat
import numpy
import pytest
import torch
from stages import ROOT

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from ftlib.course import plot  # noqa: E402
from ftlib.course.plot import interactive  # noqa: E402
from ftlib.course.plot.house import SMALLEST_TEXT  # noqa: E402

ALT = "The loss falls from 2 to 1."
# Simulated dichromacy in linear light (Machado, Oliveira and Fernandes 2009, severity
# 1)
PROTANOPIA = (
    (0.152286, 1.052583, -0.204868),
    (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
)
DEUTERANOPIA = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)
SAME = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def linear(color):
    return [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in matplotlib.colors.to_rgb(color)
    ]


def luminance(color):
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(color)))


def contrast(color):
    """Contrast against white, as WCAG counts it."""
    return 1.05 / (luminance(color) + 0.05)


def lab(color, matrix):
    """CIE L*a*b* of `color` as somebody with `matrix`'s vision sees it."""
    rgb = [
        min(1, max(0, sum(m * c for m, c in zip(row, linear(color))))) for row in matrix
    ]
    xyz = [
        sum(m * c for m, c in zip(row, rgb)) / white
        for row, white in zip(
            (
                (0.4124, 0.3576, 0.1805),
                (0.2126, 0.7152, 0.0722),
                (0.0193, 0.1192, 0.9505),
            ),
            (0.9505, 1.0, 1.089),
        )
    ]
    x, y, z = (
        value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116
        for value in xyz
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def closest(colors):
    """The smallest distance between two of the colours under three kinds of vision (2
    is barely visible).
    """
    return min(
        math.dist(lab(a, m), lab(b, m))
        for a, b in itertools.combinations(colors, 2)
        for m in (SAME, PROTANOPIA, DEUTERANOPIA)
    )


def test_colors_are_dark_enough_for_text():
    assert min(map(contrast, plot.COLORS.values())) >= 4.5


def test_colors_can_be_told_apart():
    assert closest(plot.COLORS.values()) >= 20


def test_pale_or_confusable_colors_are_caught(counted):
    assert contrast("#E69F00") < 4.5
    assert closest(["#1B7F1B", "#B03010"]) < 20  # a green and a red
    counted("fault", 2)


def lines():
    fig, ax = plot.figure()
    ax.plot([0, 1], [2, 1], label="train")
    return fig, ax


def test_show_prints_the_sentence_and_closes(capsys):
    fig, _ = lines()
    plot.show(fig, caption=ALT)
    assert capsys.readouterr().out == ALT + "\n"
    assert fig.number not in plt.get_fignums()


def test_show_wants_a_sentence():
    with pytest.raises(ValueError, match="the caption has 2 words"):
        plot.show(lines()[0], "The loss")


EMPTY = {
    "nothing": lambda ax: None,
    "a line without points": lambda ax: ax.plot([], []),
    "only not-a-number": lambda ax: ax.plot([0, 1], [math.nan, math.nan]),
    "no scatter point": lambda ax: ax.scatter([], []),
    "only a title": lambda ax: ax.set(title="loss", xlabel="step"),
}
FULL = {
    "a line": lambda ax: ax.plot([0, 1], [2, math.nan][:2]),
    "bars": lambda ax: ax.bar([0, 1], [2, 1]),
    "an image": lambda ax: ax.imshow([[1, 2], [3, 4]]),
    "points": lambda ax: ax.scatter([1], [2]),
    "an area": lambda ax: ax.fill_between([0, 1], [0, 0], [1, 2]),
    "a histogram": lambda ax: ax.hist([1, 2, 2]),
    "a mesh": lambda ax: ax.pcolormesh([[1, 2], [3, 4]]),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_figures_are_refused(name, counted):
    fig, ax = plot.figure()
    EMPTY[name](ax)
    with pytest.raises(ValueError, match="panel 1 of 1 has no finite data"):
        plot.show(fig, caption=ALT)
    plt.close(fig)
    counted("fault")


@pytest.mark.parametrize("name", FULL)
def test_drawn_figures_are_shown(name):
    fig, ax = plot.figure()
    FULL[name](ax)
    plot.show(fig, caption=ALT)


def test_an_empty_panel_among_full_ones_is_refused():
    fig, axes = plot.figure(wide=True, columns=2)
    axes[0].plot([0, 1], [2, 1])
    with pytest.raises(ValueError, match="panel 2 of 2"):
        plot.show(fig, caption=ALT)
    axes[1].axis("off")
    plot.show(fig, caption=ALT)


def test_sizes_are_the_two_of_the_house():
    assert plot.figure()[0].get_size_inches().tolist() == [3.5, 2.5]
    assert plot.figure(wide=True)[0].get_size_inches().tolist() == [5.0, 3.0]
    assert plot.figure(size=plot.WIDEST)[0].get_size_inches().tolist() == [6.0, 3.5]
    plt.close("all")


def test_band_draws_the_mean_and_the_range():
    fig, ax = plot.figure()
    line = plot.band(
        ax, [0, 1], [[2, 1], [4, 2]], label="train", color=plot.COLORS["green"]
    )
    assert line.get_ydata().tolist() == [3.0, 1.5]
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (1, 4)
    with pytest.raises(ValueError, match=r"runs have \[2, 3\] points and x has 2"):
        plot.band(ax, [0, 1], [[1, 2], [1, 2, 3]])
    plt.close(fig)


def test_labels_do_not_overlap():
    fig, ax = plot.figure()
    for name, end in (("train", 1.0), ("validation", 1.001), ("baseline", 3.0)):
        ax.plot([0, 1], [2, end], label=name)
    plot.label_lines(ax)
    fig.canvas.draw()
    boxes = sorted(
        (text.get_window_extent() for text in ax.texts), key=lambda box: box.y0
    )
    assert len(boxes) == 3 and all(
        low.y1 <= high.y0 + 1 for low, high in itertools.pairwise(boxes)
    )
    assert [text.get_color() for text in ax.texts] and all(
        box.x1 <= fig.bbox.x1 for box in boxes
    )
    plt.close(fig)


def test_terminal_curve():
    art = plot.terminal_curve(
        [10 - i / 10 for i in range(101)], {"unigram": 5.0}, width=40, height=11
    ).splitlines()
    assert (
        len(art) == 11
        and art[5].startswith("unigram |-")
        and art[0].count("*")
        and art[-1].rstrip().endswith("*")
    )
    assert max(map(len, art)) <= 40 + len("unigram |")
    assert plot.terminal_curve([1.0], width=5, height=1) == "1.00 |*****"
    assert "*" in plot.terminal_curve([math.nan, 2.0, 1.0], width=9, height=3)
    with pytest.raises(ValueError, match="none is finite"):
        plot.terminal_curve([math.nan])


def test_without_ipython_show_prints():
    code = (
        "import sys; sys.modules['IPython'] = None; sys.modules['IPython.display'] = "
        "None\n"
        "import matplotlib; matplotlib.use('Agg')\nfrom ftlib.course import plot\n"
        f"fig, ax = plot.figure(); ax.plot([1, 2]); plot.show(fig, caption={ALT!r})"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True
        ).stdout
        == ALT + "\n"
    )


# --- captions in a notebook

CELL = """
from ftlib.course import plot
fig, ax = plot.lines([1, 2], {"a": [3, 4]}, xlabel="step", ylabel="loss")
plot.show(fig, "Is 3 < 4 & does it
    rise? Yes.")
"""


@pytest.fixture(scope="module")
def outputs():
    """Outputs of two cells, a figure and a widget, run in a kernel."""
    nbclient = pytest.importorskip("nbclient")
    interactive = """
import ipywidgets
from ftlib.course import plot
def draw(height): return plot.bars({"a": height}, label="height")
slider = ipywidgets.IntSlider(3, min=0, max=9)
plot.explore(draw, "The bar has a height of 3.", height=slider)
"""
    cells = [nbformat.v4.new_code_cell(CELL.replace("\n    rise", " rise"))]
    cells.append(nbformat.v4.new_code_cell(interactive))
    cells.append(nbformat.v4.new_code_cell("before = slider.value\nslider.value = 4"))
    table = """
field = ipywidgets.Text("a & b")
def words(text): return f"<b>{len(text)} letters</b><br>&lt;{text}&gt;"
plot.explore(words, "The text has five letters.", text=field)
"""
    cells.append(nbformat.v4.new_code_cell(table))
    notebook = nbformat.v4.new_notebook(cells=cells)
    root = str(ROOT)
    run = nbclient.NotebookClient(notebook, resources={"metadata": {"path": root}})
    run.execute()
    return [cell.outputs for cell in notebook.cells]


def test_a_notebook_stores_the_picture_and_its_caption(outputs):
    picture, caption = outputs[0]
    assert set(picture.data) == {"image/png", "text/plain"}
    assert picture.data["text/plain"] == "<figure, 500 x 300>"
    said = "Is 3 < 4 & does it rise? Yes."
    assert picture.metadata["image/png"] == {"width": 500, "height": 300, "alt": said}
    assert caption.metadata == {"ftlib": {"caption": True}}
    assert caption.data["text/plain"] == said
    assert caption.data["text/html"].startswith("<figcaption style=")
    assert (
        "Is 3 &lt; 4 &amp; does it rise? Yes.</figcaption>" in caption.data["text/html"]
    )
    assert {o.output_type for o in outputs[0]} == {"display_data"}


def test_a_widget_stores_a_still_picture_in_the_same_output(outputs):
    widget, caption = outputs[1]
    assert set(widget.data) == {
        "application/vnd.jupyter.widget-view+json",
        "image/png",
        "text/plain",
    }
    assert widget.metadata["image/png"]["alt"] == "The bar has a height of 3."
    assert caption.metadata["ftlib"]["caption"] and not outputs[2]


def test_a_widget_of_words_stores_its_table(outputs):
    widget, caption = outputs[3]
    assert widget.data["text/html"] == "<b>5 letters</b><br>&lt;a & b&gt;"
    assert widget.data["text/plain"] == "5 letters <a & b>"
    assert "application/vnd.jupyter.widget-view+json" in widget.data
    assert caption.data["text/plain"] == "The text has five letters."


def boxed(monkeypatch):
    """The boxes that `explore` makes, in a list that fills."""
    ipywidgets = pytest.importorskip("ipywidgets")
    made, kept = [], ipywidgets.VBox
    monkeypatch.setattr(
        ipywidgets, "VBox", lambda children: made.append(kept(children)) or made[-1]
    )
    return made


def test_a_slider_over_a_list_moves_by_one_entry(monkeypatch, capsys):
    ipywidgets = pytest.importorskip("ipywidgets")
    made = boxed(monkeypatch)
    slider = ipywidgets.SelectionSlider(options=[10, 100, 1000], value=100)
    plot.explore(lambda rows: f"{rows} rows", "There are 100 rows here.", rows=slider)
    row, screen = made[0].children
    less, more = row.children[1:]
    assert screen.value == "100 rows"
    more.click()
    more.click()  # the end of the list
    assert slider.value == 1000 and screen.value == "1000 rows"
    less.click()
    less.click()
    assert screen.value == "10 rows"


def test_a_heatmap_has_the_title_that_it_is_given():
    _, ax = plot.heatmap([[1, 0], [0, 1]], title="attention of head 0")
    assert ax.get_title() == "attention of head 0"


def test_ten_steps_of_a_tenth_are_one(monkeypatch, capsys):
    ipywidgets = pytest.importorskip("ipywidgets")
    made = boxed(monkeypatch)
    slider = ipywidgets.FloatSlider(0.0, min=0.0, max=2.0, step=0.1)
    plot.explore(lambda x: f"{x!r}", "The value is zero at first.", x=slider)
    more = made[0].children[0].children[2]
    for _ in range(10):
        more.click()
    assert made[0].children[1].value == "1.0"


def pressed(monkeypatch, interactive):
    """Press each button of two sliders, found by its word and its row -> the changes
    {(row, word): (of the first slider, of the second)}.
    """
    ipywidgets = pytest.importorskip("ipywidgets")
    made, found = boxed(monkeypatch), {}
    sliders = {
        "rows": ipywidgets.IntSlider(50, min=0, max=100, step=10),
        "rate": ipywidgets.FloatSlider(0.5, min=0.0, max=1.0, step=0.25),
    }
    interactive.explore(
        lambda rows, rate: f"{rows} {rate}", "There are two sliders here.", **sliders
    )
    for row in made[0].children[:-1]:
        slider, *buttons = row.children
        name = next(n for n, s in sliders.items() if s is slider)
        for button in buttons:
            sliders["rows"].value, sliders["rate"].value = 50, 0.5
            button.click()
            changes = sliders["rows"].value - 50, sliders["rate"].value - 0.5
            found[name, button.description] = changes
            assert made[0].children[-1].value == " ".join(
                str(s.value) for s in sliders.values()
            )
    return found


MOVES = {
    ("rows", "less"): (-10, 0),
    ("rows", "more"): (10, 0),
    ("rate", "less"): (0, -0.25),
    ("rate", "more"): (0, 0.25),
}


def test_each_button_does_what_it_says_to_its_own_slider(monkeypatch, capsys):
    assert pressed(monkeypatch, plot) == MOVES
    # the lesser one stands on the left
    assert [word for row, word in pressed(monkeypatch, plot)][:2] == ["less", "more"]


@pytest.mark.parametrize(
    "old, new",
    [
        ('(-1, "less"), (1, "more")', '(1, "less"), (-1, "more")'),
        ('(-1, "less"), (1, "more")', '(-1, "more"), (1, "less")'),
        ("lambda _, sign=sign: move(sign)", "lambda _: move(sign)"),
        ("*_buttons(control)", "*_buttons([*controls.values()][len(rows) - 1])"),
        ("sign * step", "sign"),
    ],
    ids=["exchanged", "words exchanged", "both the last", "of another", "another step"],
)
def test_buttons_that_do_another_thing_are_caught(
    old, new, mutated, monkeypatch, capsys, counted
):
    assert pressed(monkeypatch, mutated(interactive, old, new)) != MOVES
    counted("fault")


def test_an_explored_table_needs_a_caption(capsys):
    ipywidgets = pytest.importorskip("ipywidgets")
    with pytest.raises(ValueError, match="at least 5 are needed"):
        plot.explore(lambda a: "<b>x</b>", "Too short.", a=ipywidgets.IntSlider(1))


def test_a_widget_redraws_and_its_buttons_stop_at_the_ends(monkeypatch, capsys):
    ipywidgets = pytest.importorskip("ipywidgets")
    made, drawn = boxed(monkeypatch), []

    def draw(height):
        drawn.append(height)
        return plot.bars({"a": height}, label="height")

    slider = ipywidgets.IntSlider(8, min=0, max=9)
    plot.explore(draw, "The bar has a height of 8.", height=slider)
    assert capsys.readouterr().out == "The bar has a height of 8.\n"
    row, picture = made[0].children
    before = picture.value
    less, more = row.children[1:]
    more.click()
    more.click()
    assert slider.value == 9 and drawn == [8, 9] and picture.value != before
    less.click()
    assert drawn == [8, 9, 8] and picture.value == before
    assert not plt.get_fignums() and slider.description == "height"


# --- what is drawn

SEEDS = {"A": [1.0, 3.0, 2.0], "B": [4.0, 4.0, 7.0]}


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def boxes(fig):
    """The boxes of all texts that are to be seen, without the ticks of axes."""
    fig.draw_without_rendering()
    found = []
    for ax in fig.axes:
        texts = [*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label]
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            low, high = sorted(limits)
            ticks = zip(axis.get_ticklocs(), axis.get_ticklabels())
            texts += [label for at, label in ticks if low <= at <= high]
        found += [t for t in texts if t.get_text() and t.get_visible()]
    for legend in fig.legends:
        found += legend.get_texts()
    return [(t, t.get_window_extent()) for t in found]


def touching(fig):
    """Pairs of texts that cover each other, and texts that leave the figure."""
    found = boxes(fig)
    bad = [
        (a.get_text(), b.get_text())
        for (a, x), (b, y) in itertools.combinations(found, 2)
        if x.x0 + 1 < y.x1 and y.x0 + 1 < x.x1 and x.y0 + 1 < y.y1 and y.y0 + 1 < x.y1
    ]
    page = fig.bbox
    bad += [
        (t.get_text(), "edge")
        for t, box in found
        if box.x0 < -1 or box.y0 < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1
    ]
    return bad


def test_lines_draws_curves_bands_and_baselines():
    fig, ax = plot.lines(
        [1, 10, 100],
        {"mean": torch.tensor([[1.0, 2, 3], [3, 4, 5]]), "one": [5, 4, float("nan")]},
        xlabel="labels",
        ylabel="loss",
        log="x",
        xticks=[1, 10, 1000],
        baselines={"chance": 0.5},
        styles={"one": "--"},
        faint=("one",),
    )
    mean, one, chance = ax.lines
    assert mean.get_ydata().tolist() == [2, 3, 4] and mean.get_xdata()[2] == 100
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (1, 5)
    assert (one.get_linestyle(), one.get_marker(), one.get_alpha()) == (
        "--",
        "None",
        0.35,
    )
    assert list(chance.get_ydata()) == [0.5, 0.5]
    assert ax.get_xscale() == "log" and not ax.get_xticks(minor=True).size
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "10", "1,000"]
    assert sorted(t.get_text() for t in ax.texts) == ["chance", "mean", "one"]
    ends = {t.get_text(): t.xy[1] for t in ax.texts}
    assert ends == {"mean": 4, "one": 4, "chance": 0.5}  # "one" ends where it is finite


def test_lines_takes_names_own_positions_and_one_curve():
    fig, ax = plot.lines(["few", "many"], [1, 2], xlabel="", ylabel="accuracy")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["few", "many"]
    assert ax.lines[0].get_xdata().tolist() == [0, 1] and not ax.texts
    x = {"a": [1, 2], "b": [5, 6, 7]}
    curves = {"a": [1, 2], "b": [1, 2, 3]}
    fig, ax = plot.lines(x, curves, xlabel="x", ylabel="y")
    assert ax.lines[1].get_xdata().tolist() == [5, 6, 7]
    fig, axes = plot.figure(columns=2)
    assert plot.lines(None, [1, 2], xlabel="x", ylabel="y", ax=axes[1]) == (
        fig,
        axes[1],
    )


@pytest.mark.parametrize("horizontal", [True, False])
def test_bars_and_their_numbers_intervals_and_baselines(horizontal):
    fig, ax = plot.bars(
        {"A": 2.0, "B": 3.0},
        label="accuracy",
        intervals={"A": (1.5, 2.5), "B": (2.9, 3.4)},
        baselines={"chance": 1},
        fmt="{:.1f}",
        horizontal=horizontal,
        colors={"A": "orange", "B": "blue"},
    )
    lengths = [b.get_width() if horizontal else b.get_height() for b in ax.patches]
    assert lengths == [2, 3]
    along = [line.get_xydata()[:, 0 if horizontal else 1].tolist() for line in ax.lines]
    assert along[:2] == [[1.5, 2.5], [2.9, 3.4]]
    assert list(ax.lines[2].get_xdata() if horizontal else ax.lines[2].get_ydata()) == [
        1,
        1,
    ]
    numbers = {t.get_text(): t.xy[0 if horizontal else 1] for t in ax.texts}
    assert numbers["2.0"] == 2.5 and numbers["3.0"] == 3.4  # beyond the interval
    assert matplotlib.colors.same_color(
        ax.patches[0].get_facecolor(), plot.COLORS["orange"]
    )
    if horizontal:  # the first name is at the top
        assert ax.get_ylim()[0] > ax.get_ylim()[1]


@pytest.mark.parametrize("horizontal", [True, False])
def test_the_number_of_a_bar_stands_beyond_its_end(horizontal):
    values = {"loss": -2.0, "gain": 3.0}
    fig, ax = plot.bars(values, label="change", fmt="{:.1f}", horizontal=horizontal)
    found = {t.get_text(): box for t, box in boxes(fig)}
    side = 0 if horizontal else 1
    low, high = ax.transData.transform([(-2, -2), (3, 3)])[:, side]
    assert found["-2.0"].max[side] < low - 1 and high + 1 < found["3.0"].min[side]


def test_bars_side_by_side_and_stacked():
    values = {"one": {"A": 1, "B": 2}, "two": {"B": 5, "A": 4}}
    fig, ax = plot.bars(values, label="MB", horizontal=False)
    left, right = ax.patches[0], ax.patches[2]
    assert left.get_x() + left.get_width() <= right.get_x() + 1e-9
    assert [b.get_height() for b in ax.patches] == [1, 2, 4, 5]
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["one", "two"]
    fig, ax = plot.bars(values, label="MB", stacked=True)
    assert [b.get_x() for b in ax.patches] == [0, 0, 1, 2]


@pytest.mark.parametrize("horizontal", [True, False])
def test_dots_with_means_or_intervals(horizontal):
    fig, ax = plot.dots(SEEDS, label="accuracy", horizontal=horizontal)
    value = 0 if horizontal else 1
    assert [c.get_offsets()[:, value].tolist() for c in ax.collections] == [
        *SEEDS.values()
    ]
    assert [line.get_xydata()[0, value] for line in ax.lines] == [2, 5]  # the means
    fig, ax = plot.dots(
        SEEDS,
        label="accuracy",
        intervals=lambda v: (v.min(), v.max()),
        horizontal=horizontal,
    )
    ends = [line.get_xydata()[:, value].tolist() for line in ax.lines]
    assert ends == [[1, 3], [2], [4, 7], [5]]
    one = plot.dots({"A": 5, "B": [7]}, label="accuracy", horizontal=horizontal)[1]
    places = [c.get_offsets()[:, 1 - value].tolist() for c in one.collections]
    assert places == [[0], [1]]  # one seed stands where its name is
    rows = [line.get_xydata()[0, 1 - value] for line in ax.lines]
    assert rows[0] == rows[1] and all(
        c.get_offsets()[:, 1 - value].max() < rows[0] for c in ax.collections[:1]
    )


def test_dots_in_series_and_given_intervals():
    values = {"plain": SEEDS, "adapted": {"A": [2, 2], "B": [3, 3]}}
    spans = {s: {"A": (1, 2), "B": (3, 4)} for s in values}
    fig, ax = plot.dots(
        values, label="accuracy", intervals=spans, baselines={"none": 0}
    )
    assert len(ax.collections) == 4 and [t.get_text() for t in ax.texts] == ["none"]
    assert ax.lines[0].get_ydata().tolist() == [1, 2]


def test_heatmap_writes_numbers_where_they_fit():
    fig, ax = plot.heatmap(
        [[0.0, 1.0]], ["row"], ["a", "b"], label="weight", limits=(0, 1)
    )
    assert [t.get_text() for t in ax.texts] == ["0.00", "1.00"]
    assert [t.get_color() for t in ax.texts] == ["white", "black"]
    assert ax.images[0].get_clim() == (0, 1) and len(fig.axes) == 2
    fig, ax = plot.heatmap(torch.rand(40, 40), xlabel="key", ylabel="query")
    assert not ax.texts
    fig, axes = plot.heatmap({"before": [[1, 2]], "after": [[3, 4]]})
    assert [a.get_title() for a in axes] == ["before", "after"]
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim() == (1, 4)


def test_images_take_the_usual_shapes():
    pictures = {
        "grey": [[0, 1], [1, 0]],
        "last": torch.rand(4, 6, 3),
        "first": torch.rand(3, 4, 6),
    }
    fig, axes = plot.images(pictures)
    shapes = [ax.images[0].get_array().shape for ax in axes]
    assert shapes == [(2, 2), (4, 6, 3), (4, 6, 3)] and axes[0].get_title() == "grey"
    fig, axes = plot.images([255 * numpy.ones((2, 2, 3))] * 3, rows=2)
    assert axes.shape == (2, 2) and axes[0, 0].images[0].get_array().max() == 1
    plot.show(fig, ALT)  # the empty place in the grid is no empty panel


def test_scatter_and_hist():
    groups = {"a": ([1, 2], [3, 4]), "b": ([1, 5], [5, 6])}
    fig, ax = plot.scatter(groups, xlabel="x", ylabel="y", baselines={"chance": 3})
    assert ax.collections[1].get_offsets().tolist() == [[1, 5], [5, 6]]
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["a", "b"]
    fig, ax = plot.hist(
        [1, 10, 10, 100], xlabel="tokens", log="x", bins=2, marks={"cut": 20}
    )
    assert [b.get_height() for b in ax.patches] == [1, 3] and ax.get_xscale() == "log"
    assert list(ax.lines[0].get_xdata()) == [20, 20]


def test_groups_of_points_have_colours_and_named_points_need_none():
    def drawn(groups):
        _, ax = plot.scatter(groups, xlabel="x", ylabel="y")
        return [tuple(c.get_facecolor()[0]) for c in ax.collections]

    assert len(set(drawn({"a": ([1, 2], [3, 4]), "b": ([1, 5], [5, 6])}))) == 2
    assert len(set(drawn({"a": ([1, 2], [3, 4]), "b": (1, 5)}))) == 2
    assert len(set(drawn({"a": (1, 3), "b": (1, 5)}))) == 1


def test_tensors_that_need_gradients_are_drawn():
    losses = [torch.tensor(2.0, requires_grad=True) * n for n in (1, 2)]
    _, ax = plot.lines(None, losses, xlabel="step", ylabel="loss")
    assert ax.lines[0].get_ydata().tolist() == [2, 4]
    _, ax = plot.lines(None, torch.stack(losses), xlabel="step", ylabel="loss")
    assert ax.lines[0].get_ydata().tolist() == [2, 4]


def test_baselines_keep_the_labels_apart():
    fig, ax = plot.lines(
        [0, 1], {"a": [1, 2.0], "b": [1, 2.01]}, xlabel="x", ylabel="y"
    )
    plot.baseline(ax, 2.02, "chance")
    plot.baseline(ax, 0.5, "warm-up ends", vertical=True)
    plot.baseline(ax, 0.52, "data ends", vertical=True)
    assert len(ax.texts) == 5 and touching(fig) == []


ERRORS = {
    "no value per x": lambda: plot.lines([1, 2], {"a": [1]}, xlabel="", ylabel=""),
    "not finite": lambda: plot.lines(None, {"a": [math.nan]}, xlabel="", ylabel=""),
    "ragged seeds": lambda: plot.lines(
        None, {"a": [[1], [1, 2]]}, xlabel="", ylabel=""
    ),
    "too many colours": lambda: plot.lines(
        None, {str(i): [1] for i in range(7)}, xlabel="", ylabel=""
    ),
    "a colour of its own": lambda: plot.bars({"a": 1}, label="", colors="red"),
    "no bars": lambda: plot.bars({}, label=""),
    "bars without value": lambda: plot.bars({"a": math.nan}, label=""),
    "other names": lambda: plot.bars({"a": {"x": 1}, "b": {"y": 1}}, label=""),
    "dots without value": lambda: plot.dots({"a": []}, label=""),
    "baseline": lambda: plot.bars({"a": 1}, label="", baselines={"b": math.inf}),
    "names of rows": lambda: plot.heatmap([[1, 2]], ["a", "b"]),
    "three dimensions": lambda: plot.heatmap([[[1]]]),
    "a picture of four": lambda: plot.images([numpy.ones((2, 2, 4))]),
    "no picture": lambda: plot.images([]),
    "x without y": lambda: plot.scatter({"a": ([1, 2], [1])}, xlabel="", ylabel=""),
    "empty histogram": lambda: plot.hist([], xlabel=""),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_drawn_is_said_in_one_sentence(name, counted):
    with pytest.raises(ValueError) as caught:
        ERRORS[name]()
    sentence = str(caught.value)
    assert "\n" not in sentence and 20 < len(sentence) < 160, sentence
    counted("fault")


# --- real results: nothing covers anything, no text under 8 points

RESULTS = ROOT / "data" / "results"


def read(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def label_curves():
    """The methods that have all sizes in some draw, each with the draws it has; words
    once, because there are six colours.
    """
    found, sizes, curves = {}, [10, 32, 100], {}
    cells = read("label_efficiency")["cells"]
    for cell in [c for c in cells if c["method"] != "words, same tokens"]:
        draws = found.setdefault(cell["method"], {}).setdefault(cell["seed"], {})
        draws[cell["n"]] = cell["accuracy"]
    for method, draws in found.items():
        runs = [[d[n] for n in sizes] for d in draws.values() if d.keys() >= {*sizes}]
        if runs:
            curves[method] = runs
    look = {"log": "x", "xticks": sizes, "baselines": {"majority class": 0.5}}
    return plot.lines(sizes, curves, xlabel="labels", ylabel="accuracy", **look)[0]


def methods():
    found = {}
    for cell in read("parameter_efficient")["cells"]:
        if cell["stage"] == "grid":
            found.setdefault(cell["method"], []).append(cell)
    return found


def method_bars():
    means = {m: numpy.mean([c["accuracy"] for c in cs]) for m, cs in methods().items()}
    look = {"fmt": "{:.3f}", "baselines": {"majority class": 0.5}, "size": plot.WIDEST}
    return plot.bars(means, label="accuracy", **look)[0]


def method_points():
    points = {
        m: (cs[0]["trained"], numpy.mean([c["accuracy"] for c in cs]))
        for m, cs in methods().items()
    }
    return plot.scatter(
        points, xlabel="parameters", ylabel="accuracy", log="x", size=plot.WIDEST
    )[0]


def forgetting_maps():
    result = read("forgetting")
    mean = {
        m: numpy.mean(
            [c["matrix"] for c in result["cells"] if c["method"] == m], axis=0
        )
        for m in ("naive", "replay 500 texts")
    }
    rows = [f"after {task}" for task in result["tasks"]]
    return plot.heatmap(mean, rows, result["tasks"], label="accuracy", fmt="{:.2f}")[0]


def seed_dots():
    found = {m: [c["accuracy"] for c in cs] for m, cs in methods().items()}
    return plot.dots(found, label="accuracy", baselines={"majority": 0.5})[0]


def two_panels():
    result = read("nsp")
    fig, axes = plot.figure(columns=2, size=plot.WIDEST)
    for ax, what, place in zip(axes, ("all pairs", "of one collection"), (3, 4)):
        curves = {
            arm: [
                [row[place] for row in cell["curve"]]
                for cell in result["cells"]
                if cell["arm"] == arm
            ]
            for arm in ("with", "without")
        }
        steps = [row[0] for row in result["cells"][0]["curve"]]
        look = {"title": what, "ax": ax, "baselines": {"chance": 0.5}}
        plot.lines(steps, curves, xlabel="step", ylabel="accuracy", **look)
    return fig


REAL = (
    label_curves,
    method_bars,
    method_points,
    forgetting_maps,
    seed_dots,
    two_panels,
)


@pytest.mark.parametrize("draw", REAL, ids=lambda draw: draw.__name__)
def test_texts_of_real_figures_stay_apart_and_are_large_enough(draw):
    fig = draw()
    assert touching(fig) == []
    assert min(text.get_fontsize() for text, _ in boxes(fig)) >= 8


def test_texts_that_touch_are_caught(counted):
    fig = two_panels()
    fig.axes[0].text(0.5, 0.5, "one", transform=fig.axes[0].transAxes)
    fig.axes[0].text(0.5, 0.5, "other", transform=fig.axes[0].transAxes)
    assert touching(fig) == [("one", "other")]
    fig = two_panels()
    fig.axes[1].text(5, 0.5, "far", transform=fig.axes[1].transAxes, in_layout=False)
    assert touching(fig) == [("far", "edge")]
    counted("fault", 2)


def test_examples_in_the_docstrings():
    names = ("compare", "curves", "maps", "labels")
    modules = [sys.modules[f"{plot.__name__}.{name}"] for name in names]
    results = [doctest.testmod(module) for module in (plot, *modules)]
    assert all(result.failed == 0 and result.attempted for result in results)


def test_labels_that_want_one_height_move_up_and_down_alike():
    from ftlib.course.plot.labels import _spread

    assert _spread([50, 50, 50], 10) == pytest.approx([40, 50, 60])
    assert _spread([0, 4, 100], 10) == pytest.approx([-3, 7, 100])


def test_an_empty_name_pushes_nobody_away():
    from ftlib.course.plot.labels import fit_names

    fig, ax = plot.figure()
    names = ["a name of some length here", "", ""]
    ax.set_xlim(0, 9)
    ax.set_xticks([3, 4, 5], names)
    fig.draw_without_rendering()
    fit_names(ax)
    assert [text.get_text() for text in ax.get_xticklabels()] == names


def test_names_of_points_keep_clear_of_a_text_that_is_there():
    from ftlib.course.plot.labels import label_points

    fig, ax = plot.figure()
    ax.scatter([0, 1], [0, 1])
    ax.set(xlim=(-1, 2), ylim=(-1, 2))
    note = ax.text(0.05, 0, "a note that was there before", va="center")
    label_points(ax, {"name": (0, 0)}, {"name": "black"})
    (name,) = [text for text in ax.texts if text.get_text() == "name"]
    assert not name.get_window_extent().overlaps(note.get_window_extent())


def test_numbers_in_cells_are_as_small_as_text_may_be():
    _, ax = plot.heatmap([[1, 2], [3, 4]], fmt="{:.0f}")
    sizes = {text.get_fontsize() for text in ax.texts}
    assert sizes == {SMALLEST_TEXT}
