"""Colours, sizes and the style of every figure."""

from collections.abc import Mapping

import matplotlib
import matplotlib.pyplot as plt

# Chosen by two measurements that a test repeats: contrast of at least 4.5 to 1 against
# white, so that text may have the colour of its line, and a visible distance between
# any two of them under simulated protanopia and deuteranopia.
COLORS = {
    "blue": "#0A3AEE",
    "orange": "#B25901",
    "green": "#135226",
    "purple": "#652E66",
    "grey": "#757575",
    "black": "#1A1A1A",
}
SMALL, WIDE, WIDEST = (3.5, 2.5), (5.0, 3.0), (6.0, 3.5)  # inches
SMALLEST_TEXT = 8  # points


def style() -> None:
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
            "legend.fontsize": SMALLEST_TEXT,
            # the same to colour-blind readers, and ordered in grey
            "image.cmap": "cividis",
            "figure.constrained_layout.use": True,
        }
    )


def figure(wide=False, rows=1, columns=1, size=None) -> tuple:
    """A new figure in the house style -> (fig, ax); with several panels ax is an array.

    It has 3.5 x 2.5 inches, 5 x 3 with `wide`, or `size`, a pair of inches.
    """
    style()
    return plt.subplots(rows, columns, figsize=size or (WIDE if wide else SMALL))


def panel_of(ax, size):
    return figure(size=size) if ax is None else (ax.figure, ax)


def colors_of(names, colors):
    """{name: colour} from names of COLORS, a list or a dict."""
    if colors is None:
        colors = list(COLORS)
    if not isinstance(colors, Mapping):
        colors = [colors] * len(names) if isinstance(colors, str) else list(colors)
        if len(colors) < len(names):
            raise ValueError(
                f"there are {len(names)} names and {len(colors)} colours; draw fewer, "
                "or say with colors= which share one"
            )
        colors = dict(zip(names, colors))
    unknown = sorted(set(colors.values()) - set(COLORS))
    if unknown:
        raise ValueError(f"no colour {unknown[0]!r}; there are {', '.join(COLORS)}")
    return {name: COLORS[colors.get(name, "grey")] for name in names}
