"""Figures of matrices and pictures."""

import math
from collections.abc import Mapping

import matplotlib
import numpy

from .house import SMALLEST_TEXT, WIDE, figure
from .labels import fit_names
from .numbers import array, picture_array


def heatmap(
    matrix,
    rows=None,
    columns=None,
    *,
    xlabel=None,
    ylabel=None,
    label=None,
    limits=None,
    fmt="{:.2f}",
    ax=None,
    size=WIDE,
    **settings,
) -> tuple:
    """A matrix as colours, with numbers in the cells if they fit -> (fig, ax).

    matrix: (R, C), or {title: (R, C)} for panels with one colour scale (ax is then an
    array). rows, columns: names of the R rows and C columns. label: what the colour
    means; it adds a colour bar. limits: (low, high) of the colours. fmt: of the numbers
    in the cells, None for none. Raises ValueError if the number of names is wrong.

    >>> from ftlib.course import plot
    >>> fig, ax = plot.heatmap([[1, 0], [0.5, 0.5]], ["was", "dull"], ["was", "dull"])
    >>> [text.get_text() for text in ax.texts]
    ['1.00', '0.00', '0.50', '0.50']
    >>> plot.plt.close(fig)
    """
    panels = dict(matrix) if isinstance(matrix, Mapping) else {"": matrix}
    tables = {k: array(m, k or "the matrix", dimensions=2) for k, m in panels.items()}
    if ax is None:
        fig, axes = figure(columns=len(tables), size=size)
    else:
        fig, axes = numpy.atleast_1d(ax)[0].figure, ax
    low, high = limits or (
        min(numpy.nanmin(t) for t in tables.values()),
        max(numpy.nanmax(t) for t in tables.values()),
    )
    for (title, table), panel in zip(tables.items(), numpy.atleast_1d(axes)):
        panel.imshow(table, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
        panel.grid(False)
        panel.set(**{"title": title, "xlabel": xlabel, "ylabel": ylabel} | settings)
        _cell_names(panel, table.shape, rows, columns)
        panel.label_outer()
    if label:
        fig.colorbar(numpy.atleast_1d(axes)[0].images[0], ax=axes, label=label)
    fig.draw_without_rendering()
    for panel in numpy.atleast_1d(axes):
        fit_names(panel)
    for table, panel in zip(tables.values(), numpy.atleast_1d(axes)):
        if fmt:
            _write_cells(panel, table, fmt, (low, high))
    return fig, axes


def images(pictures, *, rows=1, cmap="gray", limits=None, size=None) -> tuple:
    """Pictures in a row or a grid, with titles -> (fig, axes).

    pictures: {title: picture}, or a list of pictures, each (H, W), (H, W, 3) or
    (3, H, W). limits: (low, high) of the grey values, the same for all pictures; None
    spreads each picture. Raises ValueError for another shape.

    >>> from ftlib.course import plot
    >>> fig, axes = plot.images({"a flower": [[0, 1], [1, 0]], "its edges": [[1, 1]]})
    >>> [ax.get_title() for ax in axes]
    ['a flower', 'its edges']
    >>> plot.plt.close(fig)
    """
    titled = isinstance(pictures, Mapping)
    titles = list(pictures) if titled else [""] * len(pictures)
    made = [picture_array(p) for p in (pictures.values() if titled else pictures)]
    if not made:
        raise ValueError("there are 0 pictures; give at least one")
    columns = math.ceil(len(made) / rows)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in made)
    high = rows * (min(2.5, 6.0 / columns * tallest) + 0.3 * titled)
    fig, axes = figure(rows=rows, columns=columns, size=size or (6.0, high))
    low, top = limits or (None, None)
    for panel in numpy.atleast_1d(axes).flat:
        panel.axis("off")
    for panel, title, picture in zip(numpy.atleast_1d(axes).flat, titles, made):
        panel.imshow(picture, cmap=cmap, vmin=low, vmax=top, interpolation="nearest")
        panel.set_title(title)
    return fig, axes


def _cell_names(ax, shape, rows, columns):
    """The names of a matrix's rows and columns."""
    for axis, names, count in (
        (ax.yaxis, rows, shape[0]),
        (ax.xaxis, columns, shape[1]),
    ):
        if names is None:
            axis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=8))
            continue
        if len(names) != count:
            which = "rows" if axis is ax.yaxis else "columns"
            raise ValueError(
                f"the matrix has {count} {which} and there are {len(names)} names; "
                "give one for each"
            )
        axis.set_ticks(range(count), [str(n) for n in names], fontsize=SMALLEST_TEXT)


def _write_cells(ax, table, fmt, limits):
    """The numbers into the cells, black or white; none if one is too wide."""
    cell = ax.get_window_extent()
    size = cell.width / table.shape[1], cell.height / table.shape[0]
    image, scale = ax.images[0], matplotlib.colors.Normalize(*limits)
    texts = []
    for (i, j), value in numpy.ndenumerate(table):
        red, green, blue, _ = image.cmap(scale(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text = ax.text(
            j,
            i,
            fmt.format(value),
            ha="center",
            va="center",
            fontsize=SMALLEST_TEXT,
            color="white" if dark else "black",
        )
        texts.append(text)
        box = text.get_window_extent()
        if box.width + 4 > size[0] or box.height + 2 > size[1]:
            for text in texts:
                text.remove()
            return
