"""One figure style, the figures that recur in a course, and captions under them.

What it is: a few functions over matplotlib. Each draws one kind of figure in the house
style: colours that colour-blind readers can tell apart and that are dark enough for
text, names written beside the curves, baselines labelled, no text under 8 points.

How to use it:

>>> curves = {"train": [2.0, 1.2, 1.0], "validation": [2.1, 1.5, 1.4]}
>>> fig, ax = lines(None, curves, xlabel="step", ylabel="loss (nats per token)")
>>> show(fig, "The training loss falls from 2.0 to 1.0 nats per token in 2 steps.")
The training loss falls from 2.0 to 1.0 nats per token in 2 steps.
>>> print(terminal_curve([3.0, 2.0, 1.0], {"unigram": 2.6}, width=12, height=5))
   3.00 |****
unigram |------------
        |    ****
        |
   1.00 |        ****

What it is not: a wrapper of matplotlib. Every function returns matplotlib's own
objects; go on drawing with them. `ax=` draws into a panel that is there already, and
further keywords (`ylim=`, `title=`, `xticks=`) go to matplotlib's `ax.set`.

Where to look: `house` has colours and sizes, `shown` captions, `curves`, `compare`
and `maps` the kinds of figures, `labels` what keeps texts apart, `interactive` the
figures that a reader changes.

Needs: matplotlib (which brings numpy and Pillow). In a notebook it uses IPython to
display the picture; in a plain script `show` prints the caption. `explore` needs
ipywidgets.

Shapes: S seeds, N points, R rows, C columns, H x W pixels.
"""

import matplotlib.pyplot as plt

from .compare import bars, dots
from .curves import hist, lines, scatter
from .house import COLORS, SMALL, WIDE, WIDEST, figure, style
from .interactive import explore
from .labels import band, baseline, label_lines
from .maps import heatmap, images
from .shown import show, still
from .terminal import terminal_curve

__all__ = [
    "COLORS",
    "SMALL",
    "WIDE",
    "WIDEST",
    "band",
    "bars",
    "baseline",
    "dots",
    "explore",
    "figure",
    "heatmap",
    "hist",
    "images",
    "label_lines",
    "lines",
    "plt",
    "scatter",
    "show",
    "still",
    "style",
    "terminal_curve",
]
