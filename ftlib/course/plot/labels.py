"""Lines and names on a figure, placed so that no text covers another."""

import math

import matplotlib
import numpy

from .house import COLORS, SMALLEST_TEXT
from .numbers import array

END, TOP = "label at the end", "label at the top"  # how labels are found again
# offsets of a name from its point, the best first
_AROUND = [(6, 0), (-6, 0), (0, 6), (0, -6), (5, 5), (5, -5), (-5, 5), (-5, -5)]
_AROUND += [(8, 14), (8, -14), (-8, 14), (-8, -14), (0, 18), (0, -18), (8, -24)]


def band(ax, x, runs, label=None, color=None):
    """The mean of `runs` (S, N) over `x` (N,) and a band over the seeds -> the line.

    The band reaches from the lowest to the highest seed: with three to five seeds a
    standard deviation promises more than it knows. Raises ValueError if a run has not
    one value for each x.
    """
    lengths = {len(run) for run in runs}
    if lengths != {len(x)}:
        raise ValueError(
            f"runs have {sorted(lengths)} points and x has {len(x)}; every run needs "
            "one value per x"
        )
    runs, x = array(runs, label or "the band"), array(x, "x")
    (line,) = ax.plot(x, runs.mean(axis=0), label=label, color=color)
    look = {"color": line.get_color(), "alpha": 0.2, "linewidth": 0}
    ax.fill_between(x, runs.min(axis=0), runs.max(axis=0), **look)
    return line


def baseline(ax, y, label, vertical=False):
    """A dashed grey line at `y`, labelled at its right end -> the line.

    With `vertical` the line stands at x = `y` and its label above the panel. Labels
    that are there already make room.

    >>> from ftlib.course import plot
    >>> fig, ax = plot.figure()
    >>> plot.baseline(ax, 0.5, "chance").get_linestyle()
    '--'
    >>> plot.plt.close(fig)
    """
    line = rule(ax, y, label, vertical)
    place_tops(ax) if vertical else place_ends(ax)
    return line


def label_lines(ax, gap=11) -> None:
    """Write each line's label to the right of the panel, at least `gap` points apart.

    A label has the colour of its line and the height of its last point.
    """
    for line in ax.lines:
        if line.get_label() and not line.get_label().startswith("_"):
            line.set_gid(END)
    place_ends(ax, gap)


def rule(ax, value, label, vertical=False):
    """The dashed line of a baseline, not yet labelled."""
    if not math.isfinite(value):
        raise ValueError(f"the baseline {label} is {value}; a finite number is needed")
    draw = ax.axvline if vertical else ax.axhline
    line = draw(value, color=COLORS["grey"], linestyle="--", linewidth=1, label=label)
    line.set_gid(TOP if vertical else END)
    return line


def place_ends(ax, gap=11):
    """Labels to the right of the panel, at the heights of the lines' last points."""
    for text in [text for text in ax.texts if text.get_gid() == END]:
        text.remove()
    chosen = [line for line in ax.lines if line.get_gid() == END]
    ax.figure.draw_without_rendering()  # a height on the page means nothing before
    low, high = sorted(ax.get_ylim())
    ends = []
    for line in chosen:
        heights = numpy.asarray(line.get_ydata(), dtype=float)
        finite = heights[numpy.isfinite(heights)]
        if len(finite):
            y = min(max(finite[-1], low), high)
            ends.append((ax.transData.transform((ax.get_xlim()[0], y))[1], y, line))
    ends.sort(key=lambda end: end[0])
    pixels = gap * ax.figure.dpi / 72  # a point is 1/72 inch
    heights = _spread([end[0] for end in ends], pixels)
    for (height, y, line), placed in zip(ends, heights):
        ax.annotate(
            line.get_label(),
            (1, y),
            xycoords=ax.get_yaxis_transform(),
            xytext=(4, (placed - height) * 72 / ax.figure.dpi),
            textcoords="offset points",
            color=line.get_color(),
            va="center",
            fontsize=SMALLEST_TEXT,
            annotation_clip=False,
            gid=END,
        )


def _spread(heights, gap):
    """Sorted heights moved as little as possible until they are `gap` apart."""
    blocks = []  # (sum of wished starts, count): neighbours that touch move together
    for i, height in enumerate(heights):
        blocks.append([height - i * gap, 1])
        while len(blocks) > 1 and (
            blocks[-1][0] / blocks[-1][1] <= blocks[-2][0] / blocks[-2][1]
        ):
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    starts = [total / count for total, count in blocks for _ in range(count)]
    return [start + i * gap for i, start in enumerate(starts)]


def place_tops(ax):
    """Labels of vertical baselines above the panel, in as many rows as they need."""
    for text in [text for text in ax.texts if text.get_gid() == TOP]:
        text.remove()
    marks = [line for line in ax.lines if line.get_gid() == TOP]
    ax.figure.draw_without_rendering()
    renderer, taken = ax.figure.canvas.get_renderer(), []
    for line in sorted(marks, key=lambda line: line.get_xdata()[0]):
        text = ax.annotate(
            line.get_label(),
            (line.get_xdata()[0], 1),
            xycoords=ax.get_xaxis_transform(),
            xytext=(0, 2),
            textcoords="offset points",
            color=line.get_color(),
            ha="center",
            va="bottom",
            fontsize=SMALLEST_TEXT,
            annotation_clip=False,
            gid=TOP,
        )
        box = text.get_window_extent(renderer)
        free = [r for r, right in enumerate(taken) if right + 6 < box.x0]
        row = free[0] if free else len(taken)
        taken[row : row + 1] = [box.x1]
        text.xyann = (0, 2 + 11 * row)
    if marks:
        ax.set_title(ax.get_title(), pad=6 + 11 * len(taken))


def set_scales(ax, log, **settings):
    """Labels and scales; on a logarithmic axis the given ticks are plain numbers."""
    for axis in log:
        settings[f"{axis}scale"] = "log"
        ticks = settings.get(f"{axis}ticks")
        if ticks is not None:
            settings.setdefault(f"{axis}ticklabels", _written(ticks))
    ax.set(**{k: v for k, v in settings.items() if k.endswith("scale")})
    ax.set(**{k: v for k, v in settings.items() if not k.endswith("scale")})
    for axis in log:
        if f"{axis}ticks" in settings:
            (ax.xaxis if axis == "x" else ax.yaxis).minorticks_off()


def _written(ticks):
    """Ticks as text with thousands separators, all with the same decimals."""
    texts = [f"{float(tick):,.10g}" for tick in ticks]
    decimals = max(len(text.partition(".")[2]) for text in texts)
    if decimals > 3:  # 0.001 and 100 on one axis: each as short as it is
        return texts
    return [f"{float(tick):,.{decimals}f}" for tick in ticks]


def legend_above(fig, ax, names):
    """A legend above the figure, where it hides nothing; panels may share it."""
    handles, labels = ax.get_legend_handles_labels()
    handle_of = {label: handle for handle, label in zip(handles, labels)}
    for legend in fig.legends:
        if [text.get_text() for text in legend.get_texts()] == names:
            return
    handles = [handle_of[name] for name in names]
    columns = 1 if max(map(len, names)) > 40 else min(3, len(names))
    fig.legend(handles, names, loc="outside upper center", ncols=columns)


def fit_names(ax):
    """Names under the panel that touch are broken at spaces, then turned upright."""
    for attempt in ("break", "turn"):
        ticks = [tick for tick in ax.get_xticklabels() if tick.get_text()]
        boxes = sorted((t.get_window_extent() for t in ticks), key=lambda box: box.x0)
        if all(a.x1 + 2 < b.x0 for a, b in zip(boxes, boxes[1:])):
            return
        if attempt == "break":
            broken = [t.get_text().replace(" ", "\n") for t in ax.get_xticklabels()]
            full = [t.get_text() for t in ax.get_xticklabels()]
            ax.set_xticks(ax.get_xticks(), broken)
        else:
            ax.set_xticks(ax.get_xticks(), full, rotation=90)
        ax.figure.draw_without_rendering()


def label_points(ax, points, palette):
    """A name beside each point, where it covers neither points nor names."""
    ax.margins(0.08)
    ax.figure.draw_without_rendering()
    taken = _obstacles(ax)
    for name, point in points.items():
        text = ax.annotate(
            name,
            point,
            xytext=(0, 0),
            textcoords="offset points",
            color=palette[name],
            fontsize=SMALLEST_TEXT,
            annotation_clip=False,
            in_layout=False,  # otherwise the panel shrinks and the measures are wrong
        )
        tried = []
        for offset in _AROUND:
            _beside(text, offset)
            box = text.get_window_extent()
            hidden = sum(box.overlaps(other) for other in taken)
            inside = ax.bbox.x0 <= box.x0 and box.x1 <= ax.figure.bbox.x1
            hidden += 10 * (not inside) + 10 * (box.y0 < ax.bbox.y0)
            tried.append((hidden, len(tried), offset))
        _beside(text, min(tried)[2])
        taken.append(text.get_window_extent())


def _obstacles(ax):
    """The boxes of what a name must not cover: points, baselines and their labels."""
    box = matplotlib.transforms.Bbox.from_extents
    offsets = numpy.concatenate([c.get_offsets() for c in ax.collections])
    boxes = [
        box(x - 4, y - 4, x + 4, y + 4) for x, y in ax.transData.transform(offsets)
    ]
    for line in ax.lines:
        if line.get_gid() == END:
            y = ax.transData.transform((ax.get_xlim()[0], line.get_ydata()[0]))[1]
            boxes.append(box(ax.bbox.x0, y - 1, ax.bbox.x1, y + 1))
    return boxes + [text.get_window_extent() for text in ax.texts]


def _beside(text, offset):
    """Move a name to `offset` points from its point, growing away from it."""
    text.xyann = offset
    text.set(
        ha=("right", "center", "left")[int(numpy.sign(offset[0])) + 1],
        va=("top", "center", "bottom")[int(numpy.sign(offset[1])) + 1],
    )
