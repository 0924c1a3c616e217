"""Figures that compare names: bars, and dots for seeds."""

from collections.abc import Mapping

import numpy

from .house import COLORS, SMALLEST_TEXT, WIDE, colors_of, panel_of
from .labels import baseline, fit_names, legend_above, set_scales
from .numbers import array


def bars(
    values,
    *,
    label,
    intervals=None,
    baselines=None,
    horizontal=True,
    stacked=False,
    fmt=None,
    colors=None,
    ax=None,
    size=WIDE,
    **settings,
) -> tuple:
    """Bars, one for each name, or a group of bars -> (fig, ax).

    values: {name: number}, or {series: {name: number}} for a bar of each series beside
    each other (`stacked`: on each other). label: what the length means. intervals:
    {name: (low, high)}, with series {series: {name: (low, high)}}. baselines:
    {name: value}, dashed. fmt: "{:.1f}" writes the numbers at the bars. colors: names
    of COLORS, a list or a dict, for the series, or for the bars if there is one series.
    Raises ValueError if a series has other names, or nothing is finite.

    >>> from ftlib.course import plot
    >>> fig, ax = plot.bars({"BERT": 110, "MiniLM": 33}, label="million parameters")
    >>> [int(bar.get_width()) for bar in ax.patches], ax.get_yticklabels()[1].get_text()
    ([110, 33], 'MiniLM')
    >>> plot.plt.close(fig)
    """
    fig, ax = panel_of(ax, size)
    groups, names, palette = _grouped(values, colors)
    spans = intervals if "" not in groups else {"": intervals}
    positions = _positions(len(groups), len(names), stacked)
    base = numpy.zeros(len(names))
    for (series, row), position in zip(groups.items(), positions):
        heights = array([row[name] for name in names], series or "the bars")
        at = base if stacked else 0 * base
        look = {"color": palette[series], "label": series}
        thick = 0.74 if stacked else 0.74 / len(groups)
        if horizontal:
            ax.barh(position, heights, thick, left=at, **look)
        else:
            ax.bar(position, heights, thick, bottom=at, **look)
        ends = at + heights
        if spans and spans.get(series):
            ends = _spans(
                ax, position, names, spans[series], horizontal, COLORS["black"]
            )
        if fmt:
            _write_numbers(ax, position, ends, heights, fmt, horizontal)
        base = base + heights
    _names(ax, names, horizontal)
    _label_axes(ax, label, horizontal, baselines, groups, settings)
    return fig, ax


def dots(
    values,
    *,
    label,
    intervals=None,
    baselines=None,
    horizontal=False,
    colors=None,
    ax=None,
    size=WIDE,
    **settings,
) -> tuple:
    """A dot for each seed, with the mean or an interval beside them -> (fig, ax).

    values: {name: (S,)} or {series: {name: (S,)}}; a number counts as one seed. label:
    what is measured. intervals: a function that makes (low, high) of the S numbers,
    such as `intervals.bootstrap`, or {name: (low, high)}; without it a short line shows
    the mean. baselines: {name: value}, dashed; {"no difference": 0} for paired
    differences. Raises ValueError if a series has other names or nothing is finite.

    >>> from ftlib.course import plot
    >>> fig, ax = plot.dots({"A": [1, 3], "B": [2, 2]}, label="accuracy (%)")
    >>> ax.collections[0].get_offsets()[:, 1].tolist()
    [1.0, 3.0]
    >>> plot.plt.close(fig)
    """
    fig, ax = panel_of(ax, size)
    groups, names, palette = _grouped(values, colors)
    positions = _positions(len(groups), len(names), False)
    for (series, row), position in zip(groups.items(), positions):
        for i, name in enumerate(names):
            seeds = numpy.atleast_1d(array(row[name], name))
            color = palette[series] if isinstance(palette[series], str) else None
            color = color or palette[series][i]
            spans = intervals
            if intervals and not callable(intervals):
                spans = (intervals[series] if series else intervals)[name]
            spread = 0.5 / len(groups)
            _seeds(
                ax, position[i], seeds, spans, horizontal, color, spread, series, i == 0
            )
    _names(ax, names, horizontal)
    _label_axes(ax, label, horizontal, baselines, groups, settings)
    return fig, ax


def _grouped(values, colors):
    """{series: {name: value}}, the names, and the colour(s) of each series."""
    if not values:
        raise ValueError("there are 0 names; give at least one value")
    nested = isinstance(next(iter(values.values())), Mapping)
    groups = dict(values) if nested else {"": values}
    names = list(next(iter(groups.values())))
    for series, row in groups.items():
        if set(row) != set(names):
            raise ValueError(
                f"{series} has the names {', '.join(map(str, row))}; every series "
                f"needs those of the first: {', '.join(map(str, names))}"
            )
    if nested:
        return groups, names, colors_of(groups, colors)
    return groups, names, {"": list(colors_of(names, colors or "blue").values())}


def _positions(groups, names, stacked):
    """Where the bars or dots of each series stand: (groups, names)."""
    shift = 0 if stacked else 0.8 / groups
    middle = (groups - 1) / 2
    return [numpy.arange(names) + (k - middle) * shift for k in range(groups)]


def _segment(ax, across, low, high, horizontal, **look):
    """A line from `low` to `high` along the values, at `across` along the names."""
    pair = ([low, high], [across, across])
    return ax.plot(*(pair if horizontal else pair[::-1]), **look)[0]


def _spans(ax, position, names, intervals, horizontal, color):
    """The interval of each bar -> the upper ends."""
    for across, name in zip(position, names):
        low, high = (float(v) for v in intervals[name])
        _segment(ax, across, low, high, horizontal, color=color, linewidth=1.5)
    return [float(intervals[name][1]) for name in names]


def _seeds(ax, across, seeds, interval, horizontal, color, width, series, first):
    """Dots of one name, and their mean or interval beside them."""
    seeds = seeds[numpy.isfinite(seeds)]
    spread = numpy.linspace(-0.3, 0.3, len(seeds)) * width if len(seeds) > 1 else [0.0]
    alone = len(seeds) == 1
    look = {"s": 30 if alone else 14, "color": color, "alpha": 1 if alone else 0.6}
    look["label"] = series if first else None
    points = (across - (0 if alone else 0.1 * width) + numpy.array(spread), seeds)
    ax.scatter(*(points[::-1] if horizontal else points), linewidths=0, **look)
    if interval is not None:
        pair = interval(seeds) if callable(interval) else interval
        low, high = (float(v) for v in pair)
        beside = across if alone else across + 0.45 * width
        thick = {"color": color, "linewidth": 3, "solid_capstyle": "butt"}
        _segment(ax, beside, low, high, horizontal, **thick)
        mean = [[seeds.mean()], [beside]]
        mean = mean if horizontal else mean[::-1]
        ax.plot(*mean, "o", color=color, markersize=6)
    elif not alone:
        line = ([seeds.mean()] * 2, [across - 0.5 * width, across + 0.5 * width])
        ax.plot(*(line if horizontal else line[::-1]), color=color)


def _write_numbers(ax, position, ends, heights, fmt, horizontal):
    """The number of each bar, beyond the bar and its interval."""
    for across, end, height in zip(position, ends, heights):
        side = 1 if height >= 0 else -1
        ax.annotate(
            fmt.format(height),
            (end, across) if horizontal else (across, end),
            xytext=(3 * side, 0) if horizontal else (0, 2 * side),
            textcoords="offset points",
            ha=("left" if side > 0 else "right") if horizontal else "center",
            va="center" if horizontal else ("bottom" if side > 0 else "top"),
            fontsize=SMALLEST_TEXT,
            annotation_clip=False,
        )


def _names(ax, names, horizontal):
    """The names along their axis, the first one at the top or on the left."""
    axis = ax.yaxis if horizontal else ax.xaxis
    axis.set_ticks(range(len(names)), [str(name) for name in names])
    axis.grid(False)
    limits = (-0.6, len(names) - 0.4)
    ax.set_ylim(limits[::-1]) if horizontal else ax.set_xlim(limits)


def _label_axes(ax, label, horizontal, baselines, groups, settings):
    """Axis label, the reader's settings, baselines, legend; names that fit."""
    axis = "x" if horizontal else "y"
    log = axis if settings.pop("log", False) else ""
    set_scales(ax, log, **{f"{axis}label": label}, **settings)
    for name, value in (baselines or {}).items():
        baseline(ax, value, name, vertical=horizontal)
    if "" not in groups:
        legend_above(ax.figure, ax, list(groups))
    ax.figure.draw_without_rendering()
    fit_names(ax)
