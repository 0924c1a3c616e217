"""Figures with two axes of numbers: lines, points, how often a value occurs."""

from collections.abc import Mapping

import numpy

from .house import WIDE, colors_of, panel_of
from .labels import (
    band,
    baseline,
    label_lines,
    label_points,
    legend_above,
    rule,
    set_scales,
)
from .numbers import array


def lines(
    x,
    curves,
    *,
    xlabel,
    ylabel,
    baselines=None,
    log="",
    colors=None,
    styles=None,
    faint=(),
    ax=None,
    size=WIDE,
    **settings,
) -> tuple:
    """Curves with their names at their ends -> (fig, ax).

    x: (N,) numbers or names, None for 0, 1, 2, ..., or a dict with one x per curve.
    curves: {name: (N,)}, or {name: (S, N)} for the mean and a band over S seeds; one
    curve without a name may be given alone. baselines: {name: y}, dashed. log: "x",
    "y" or "xy". colors: names of COLORS, a list or {name: color}. styles: {name: "--"},
    formats of matplotlib. faint: names of curves that are drawn pale (a noisy loss
    under its mean). Raises ValueError if lengths disagree or nothing is finite.

    >>> from ftlib.course import plot
    >>> seeds = {"a": [[1, 2], [3, 4]]}
    >>> fig, ax = plot.lines([1, 2], seeds, xlabel="step", ylabel="loss")
    >>> ax.lines[0].get_ydata().tolist(), ax.get_ylabel()
    ([2.0, 3.0], 'loss')
    >>> plot.plt.close(fig)
    """
    fig, ax = panel_of(ax, size)
    curves = curves if isinstance(curves, Mapping) else {"": curves}
    palette = colors_of(curves, colors)
    for name, values in curves.items():
        y = array(values, name or "the curve")
        points, names = _positions(x[name] if isinstance(x, Mapping) else x, y)
        look = (styles or {}).get(name) or ("o-" if len(points) <= 12 else "-")
        _curve(ax, points, y, name, palette[name], look, name in faint)
        if names:
            settings = {"xticks": points, "xticklabels": names} | settings
    set_scales(ax, log, xlabel=xlabel, ylabel=ylabel, **settings)
    for name, y in (baselines or {}).items():
        rule(ax, y, name)
    label_lines(ax)
    return fig, ax


def scatter(
    groups,
    *,
    xlabel,
    ylabel,
    baselines=None,
    log="",
    colors=None,
    ax=None,
    size=WIDE,
    **settings,
) -> tuple:
    """Points in groups -> (fig, ax); a group of one point has its name beside it.

    groups: {name: (x, y)} with x and y (N,) or numbers. baselines: {name: y}, dashed.
    log: "x", "y" or "xy". Larger groups get a legend above the panel if there are two
    or more. Raises ValueError if lengths disagree or nothing is finite.

    >>> from ftlib.course import plot
    >>> fig, ax = plot.scatter({"a": (1, 2), "b": (2, 4)}, xlabel="size", ylabel="loss")
    >>> [text.get_text() for text in ax.texts]
    ['a', 'b']
    >>> plot.plt.close(fig)
    """
    fig, ax = panel_of(ax, size)
    single, many = {}, []
    if colors is None and all(numpy.ndim(x) == 0 for x, _ in groups.values()):
        colors = ["blue"] * len(groups)  # the name tells them apart
    palette = colors_of(groups, colors)
    for name, (x, y) in groups.items():
        x, y = (numpy.atleast_1d(array(v, name)) for v in (x, y))
        if len(x) != len(y):
            raise ValueError(
                f"{name} has {len(x)} x and {len(y)} y; every point needs both"
            )
        ax.scatter(x, y, s=18, color=palette[name], label=name, zorder=2)
        if len(x) == 1:
            single[name] = (x[0], y[0])
        else:
            many.append(name)
    set_scales(ax, log, xlabel=xlabel, ylabel=ylabel, **settings)
    for name, y in (baselines or {}).items():
        baseline(ax, y, name)
    if len(many) > 1:
        legend_above(fig, ax, many)
    label_points(ax, single, palette)
    return fig, ax


def hist(
    values,
    *,
    xlabel,
    ylabel="count",
    bins=30,
    marks=None,
    log="",
    colors=None,
    ax=None,
    size=WIDE,
    **settings,
) -> tuple:
    """How often each value occurs -> (fig, ax).

    values: (N,) or {name: (N,)}; several are drawn over each other with the same bins.
    bins: a count or the edges. marks: {name: x}, dashed vertical lines. log: "x"
    spaces the bins evenly on a logarithmic axis. Raises ValueError if nothing is
    finite.

    >>> from ftlib.course import plot
    >>> fig, ax = plot.hist([1, 1, 2], bins=[0.5, 1.5, 2.5], xlabel="stars")
    >>> [int(bar.get_height()) for bar in ax.patches]
    [2, 1]
    >>> plot.plt.close(fig)
    """
    fig, ax = panel_of(ax, size)
    series = values if isinstance(values, Mapping) else {"": values}
    palette = colors_of(series, colors)
    tables = {k: array(v, k or "the histogram").ravel() for k, v in series.items()}
    tables = {k: v[numpy.isfinite(v)] for k, v in tables.items()}
    everything = numpy.concatenate(list(tables.values()))
    if isinstance(bins, int):
        low, high = everything.min(), everything.max()
        if "x" in log:
            low = everything[everything > 0].min()
            bins = numpy.geomspace(low, high, bins + 1)
        else:
            bins = numpy.histogram_bin_edges(everything, bins)
    alpha = 0.55 if len(tables) > 1 else 1.0
    for name, table in tables.items():
        ax.hist(table, bins=bins, color=palette[name], alpha=alpha, label=name)
    set_scales(ax, log, xlabel=xlabel, ylabel=ylabel, **settings)
    for name, x in (marks or {}).items():
        baseline(ax, x, name, vertical=True)
    if len(tables) > 1:
        legend_above(fig, ax, list(tables))
    return fig, ax


def _positions(x, y):
    """x as numbers and, if it holds names, the names."""
    x = range(y.shape[-1]) if x is None else x
    names = [str(v) for v in x] if len(x) and isinstance(x[0], str) else None
    points = numpy.arange(len(x)) if names else array(x, "x")
    if len(points) != y.shape[-1]:
        raise ValueError(
            f"a curve has {y.shape[-1]} points and x has {len(points)}; every curve "
            "needs one value per x"
        )
    return points, names


def _curve(ax, x, y, name, color, look, faint):
    """One curve, with a band if `y` has seeds."""
    marker = "".join(c for c in look if c in "o.xsD") or "None"
    dashes = look.translate({ord(c): None for c in "o.xsD" if c != "."})
    if dashes != "-.":
        dashes = dashes.replace(".", "")
    drawn = band(ax, x, y, name, color) if y.ndim == 2 else ax.plot(x, y, label=name)[0]
    drawn.set(color=color, marker=marker, markersize=3.5, linestyle=dashes or "None")
    if faint:
        drawn.set(alpha=0.35, linewidth=0.8)
