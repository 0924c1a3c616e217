"""One figure style, and a `show` that says in words what a figure shows.

What it is: five small helpers over matplotlib, so that every figure has one of two sizes, colours that colour-blind
readers can tell apart and that are dark enough for text, names written beside the lines, and a sentence beneath for
readers who cannot see it.

How to use it:

>>> fig, ax = figure()
>>> line = ax.plot([0, 1, 2], [2.0, 1.2, 1.0], label="train")
>>> _ = ax.set(xlabel="step", ylabel="loss (nats per token)")
>>> label_lines(ax)
>>> show(fig, alt="The training loss falls from 2.0 to 1.0 nats per token in 2 steps.")
The training loss falls from 2.0 to 1.0 nats per token in 2 steps.
>>> print(terminal_curve([3.0, 2.0, 1.0], {"unigram": 2.6}, width=12, height=5))
   3.00 |****
unigram |------------
        |    ****
        |
   1.00 |        ****

What it is not: a wrapper of matplotlib. `figure` returns matplotlib's own objects; draw with them.

Needs: matplotlib (which brings Pillow). In a notebook it uses IPython to display the picture; in a plain script `show`
prints the sentence only.

Shapes: S seeds, N points.
"""

import base64
import io
import math
import textwrap

import matplotlib
import matplotlib.pyplot as plt
from PIL import Image

# Chosen by two measurements that a test repeats: contrast of at least 4.5 to 1 against white, so that text may have the
# colour of its line, and a visible distance between any two of them under simulated protanopia and deuteranopia.
COLORS = {
    "blue": "#0A3AEE",
    "orange": "#B25901",
    "green": "#135226",
    "purple": "#652E66",
    "grey": "#757575",
    "black": "#1A1A1A",
}
SMALL, WIDE = (3.5, 2.5), (5.0, 3.0)  # inches


def style():
    """Set the figure style for this session (`figure` does it for you)."""
    matplotlib.rcParams.update(
        {
            "figure.dpi": 100,
            "savefig.dpi": 144,
            "font.size": 9,
            "font.family": "DejaVu Sans",
            "axes.prop_cycle": matplotlib.cycler(color=list(COLORS.values())),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#E3E3E3",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "axes.titlesize": 9,
            "axes.labelsize": 9,
            "lines.linewidth": 1.6,
            "legend.frameon": False,
            "image.cmap": "cividis",  # the same to colour-blind readers, and ordered in grey
            "figure.constrained_layout.use": True,
        }
    )


def figure(wide=False, rows=1, columns=1):
    """A new figure in the house style -> (fig, ax), 3.5 x 2.5 inches or 5 x 3; with several panels ax is an array."""
    style()
    return plt.subplots(rows, columns, figsize=WIDE if wide else SMALL)


def show(fig, alt):
    """Display `fig` once, close it, and print `alt`: a sentence, best computed from the data, of what is to be seen.

    Raises ValueError for a sentence of fewer than five words, and for a figure with an empty panel.
    """
    words = str(alt).split()
    if len(words) < 5:
        raise ValueError(
            f"alt has {len(words)} words, at least 5 are needed; say what the figure shows, with its numbers"
        )
    visible = [ax for ax in fig.axes if ax.axison or ax.has_data()]
    if not visible:
        raise ValueError("the figure has no axes with data; draw something before show")
    for number, ax in enumerate(visible):
        if not any(_drawn(artist) for artist in (*ax.lines, *ax.collections, *ax.images, *ax.patches)):
            raise ValueError(
                f"panel {number + 1} of {len(visible)} has no finite data; draw something in it, or ax.axis('off')"
            )
    _display(fig, str(alt))
    plt.close(fig)  # otherwise Jupyter shows an open figure a second time at the end of the cell
    print(textwrap.fill(" ".join(words), 110, break_long_words=False, break_on_hyphens=False))


def _drawn(artist):
    """Whether an artist puts at least one finite point, or one patch, on the page."""
    if isinstance(artist, matplotlib.lines.Line2D):
        return any(math.isfinite(x) and math.isfinite(y) for x, y in artist.get_xydata())
    if isinstance(artist, matplotlib.image.AxesImage):
        return artist.get_array() is not None and artist.get_array().size > 0
    if isinstance(artist, matplotlib.collections.PathCollection):  # scatter
        return len(artist.get_offsets()) > 0
    if isinstance(artist, matplotlib.collections.Collection):
        return artist.get_array() is not None or any(len(path.vertices) for path in artist.get_paths())
    return True


def _display(fig, alt):
    """Send the picture to the notebook, if there is one."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return
    if get_ipython() is None:
        return
    drawn, buffer = io.BytesIO(), io.BytesIO()
    fig.savefig(drawn, format="png")
    # 128 colours are enough for a plot and make the file three times smaller; the same data gives the same bytes
    Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
    width, height = (round(inches * 100) for inches in fig.get_size_inches())
    display(
        {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": f"<figure, {width} x {height}>"},
        metadata={"image/png": {"width": width, "height": height, "alt": alt}},
        raw=True,
    )


def band(ax, x, runs, label=None, color=None):
    """Draw the mean of `runs` (S, N) over `x` (N,) and a band from the lowest to the highest seed -> the line."""
    runs = [[float(value) for value in run] for run in runs]
    x = [float(value) for value in x]
    lengths = {len(run) for run in runs}
    if lengths != {len(x)}:
        raise ValueError(f"runs have {sorted(lengths)} points and x has {len(x)}; every run needs one value per x")
    columns = list(zip(*runs))
    (line,) = ax.plot(x, [sum(column) / len(column) for column in columns], label=label, color=color)
    # the whole range, not a standard deviation: with three to five seeds a deviation promises more than it knows
    ax.fill_between(
        x, [min(c) for c in columns], [max(c) for c in columns], color=line.get_color(), alpha=0.2, linewidth=0
    )
    return line


def label_lines(ax, gap=11):
    """Write each line's label at its right end in the line's colour (no legend), at least `gap` points apart."""
    ends = []
    ax.get_ylim()  # settles the limits; before that a position on the page means nothing
    for line in ax.lines:
        points = [(x, y) for x, y in line.get_xydata() if math.isfinite(x) and math.isfinite(y)]
        if points and not line.get_label().startswith("_"):
            ends.append((ax.transData.transform(points[-1])[1], points[-1], line))
    floor = -math.inf
    pixels = gap * ax.figure.dpi / 72  # a point is 1/72 inch
    for height, point, line in sorted(ends, key=lambda end: end[0]):
        placed = max(height, floor + pixels)
        ax.annotate(
            line.get_label(),
            point,
            xytext=(4, (placed - height) * 72 / ax.figure.dpi),
            textcoords="offset points",
            color=line.get_color(),
            va="center",
            fontsize=8,
            annotation_clip=False,
        )
        floor = placed


def terminal_curve(values, lines=None, width=60, height=12):
    """Draw `values` (N,) as text, with a dashed horizontal line for each `name: y` of `lines`; returns the text.

    Each column shows the mean of the values that fall into it. Raises ValueError where there is nothing finite to draw.
    """
    lines = dict(lines or {})
    values = [float(value) for value in values]
    if not any(map(math.isfinite, values)):
        raise ValueError(f"there are {len(values)} values and none is finite; a curve needs at least one")
    heights = [value for value in (*values, *lines.values()) if math.isfinite(value)]
    low, high = min(heights), max(heights)
    step = (high - low) / max(1, height - 1) or 1.0
    names = {round((high - y) / step): name for name, y in lines.items()}
    grid = [["-" if row in names else " "] * width for row in range(height)]
    for column in range(width):
        start = column * len(values) // width
        part = [v for v in values[start : max(start + 1, (column + 1) * len(values) // width)] if math.isfinite(v)]
        if part:
            grid[round((high - sum(part) / len(part)) / step)][column] = "*"
    labels = {0: f"{high:.2f}", height - 1: f"{low:.2f}"} | names
    margin = max(map(len, labels.values()))
    return "\n".join(f"{labels.get(row, ''):>{margin}} |{''.join(grid[row])}".rstrip() for row in range(height))
