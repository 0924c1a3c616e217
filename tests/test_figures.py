"""Figures: colours that can be told apart and read as text, no empty figure, none without a sentence."""

import itertools
import math
import subprocess
import sys

import matplotlib
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from ftlib import plot  # noqa: E402

ALT = "The loss falls from 2 to 1."
# Simulated dichromacy in linear light (Machado, Oliveira and Fernandes 2009, severity 1)
PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
SAME = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def linear(color):
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in matplotlib.colors.to_rgb(color)]


def luminance(color):
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(color)))


def contrast(color):
    """Contrast against white, as WCAG counts it."""
    return 1.05 / (luminance(color) + 0.05)


def lab(color, matrix):
    """CIE L*a*b* of `color` as somebody with `matrix`'s vision sees it."""
    rgb = [min(1, max(0, sum(m * c for m, c in zip(row, linear(color))))) for row in matrix]
    xyz = [
        sum(m * c for m, c in zip(row, rgb)) / white
        for row, white in zip(
            ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)), (0.9505, 1.0, 1.089)
        )
    ]
    x, y, z = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def closest(colors):
    """The smallest distance between two of the colours under three kinds of vision (2 is barely visible)."""
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
    plot.show(fig, alt=ALT)
    assert capsys.readouterr().out == ALT + "\n"
    assert fig.number not in plt.get_fignums()


def test_show_wants_a_sentence():
    with pytest.raises(ValueError, match="alt has 2 words"):
        plot.show(lines()[0], alt="The loss")


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
        plot.show(fig, alt=ALT)
    plt.close(fig)
    counted("fault")


@pytest.mark.parametrize("name", FULL)
def test_drawn_figures_are_shown(name):
    fig, ax = plot.figure()
    FULL[name](ax)
    plot.show(fig, alt=ALT)


def test_an_empty_panel_among_full_ones_is_refused():
    fig, axes = plot.figure(wide=True, columns=2)
    axes[0].plot([0, 1], [2, 1])
    with pytest.raises(ValueError, match="panel 2 of 2"):
        plot.show(fig, alt=ALT)
    axes[1].axis("off")
    plot.show(fig, alt=ALT)


def test_sizes_are_the_two_of_the_house():
    assert plot.figure()[0].get_size_inches().tolist() == [3.5, 2.5]
    assert plot.figure(wide=True)[0].get_size_inches().tolist() == [5.0, 3.0]
    plt.close("all")


def test_band_draws_the_mean_and_the_range():
    fig, ax = plot.figure()
    line = plot.band(ax, [0, 1], [[2, 1], [4, 2]], label="train", color=plot.COLORS["green"])
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
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert len(boxes) == 3 and all(low.y1 <= high.y0 + 1 for low, high in itertools.pairwise(boxes))
    assert [text.get_color() for text in ax.texts] and all(box.x1 <= fig.bbox.x1 for box in boxes)
    plt.close(fig)


def test_terminal_curve():
    art = plot.terminal_curve([10 - i / 10 for i in range(101)], {"unigram": 5.0}, width=40, height=11).splitlines()
    assert len(art) == 11 and art[5].startswith("unigram |-") and art[0].count("*") and art[-1].rstrip().endswith("*")
    assert max(map(len, art)) <= 40 + len("unigram |")
    assert plot.terminal_curve([1.0], width=5, height=1) == "1.00 |*****"
    assert "*" in plot.terminal_curve([math.nan, 2.0, 1.0], width=9, height=3)
    with pytest.raises(ValueError, match="none is finite"):
        plot.terminal_curve([math.nan])


def test_without_ipython_show_prints():
    code = (
        "import sys; sys.modules['IPython'] = None; sys.modules['IPython.display'] = None\n"
        "import matplotlib; matplotlib.use('Agg')\nfrom ftlib import plot\n"
        f"fig, ax = plot.figure(); ax.plot([1, 2]); plot.show(fig, alt={ALT!r})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == ALT + "\n"
