"""Showing a figure once, with a caption under it."""

import base64
import html
import io
import textwrap

import matplotlib
import matplotlib.pyplot as plt
import numpy
from PIL import Image

# GitHub drops the style and keeps the words; no colour, so that it suits a dark page
CAPTION = (
    '<figcaption style="max-width: 42em; font-size: 90%; font-style: italic; '
    'margin: 0 0 1em 0">{}</figcaption>'
)


def show(fig, caption) -> None:
    """Display `fig` once with `caption` under it, and close it.

    `caption` is a sentence or two that a person would write, with numbers computed from
    the data. It is also the alternative text for readers who cannot see the figure. A
    plain script prints it. Raises ValueError for a caption of fewer than five words,
    and for a figure with an empty panel.
    """
    caption = checked(fig, caption)
    if not in_notebook():
        print(textwrap.fill(caption, 88, break_long_words=False))
    else:
        data, metadata = still(fig, caption)
        display_captioned(data, metadata, caption)
    plt.close(fig)  # otherwise Jupyter shows an open figure again at the cell's end


def still(fig, caption) -> tuple:
    """`fig` as a picture for a notebook -> (data, metadata) of one output.

    128 colours are enough for a plot and make the picture three times smaller; the same
    figure gives the same bytes.
    """
    drawn, buffer = io.BytesIO(), io.BytesIO()
    fig.savefig(drawn, format="png")
    picture = Image.open(drawn).convert("RGB")
    picture = picture.quantize(128, dither=Image.Dither.NONE)
    picture.save(buffer, format="png", optimize=True)
    width, height = (round(inches * 100) for inches in fig.get_size_inches())
    data = {
        "image/png": base64.b64encode(buffer.getvalue()).decode(),
        "text/plain": f"<figure, {width} x {height}>",
    }
    return data, {"image/png": {"width": width, "height": height, "alt": caption}}


def display_captioned(data, metadata, caption) -> None:
    """Display an output and, under it, its caption as an output of its own."""
    from IPython.display import display

    display(data, metadata=metadata, raw=True)
    display(
        {"text/html": CAPTION.format(html.escape(caption)), "text/plain": caption},
        metadata={"ftlib": {"caption": True}},
        raw=True,
    )


def in_notebook():
    """Whether IPython is there and running."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return get_ipython() is not None


def checked(fig, caption):
    """The caption in one line, if it is a sentence and every panel of `fig` (if there
    is one) shows something.
    """
    words = str(caption).split()
    if len(words) < 5:
        raise ValueError(
            f"the caption has {len(words)} words, at least 5 are needed; say what the "
            "figure shows, with its numbers"
        )
    if fig is None:
        return " ".join(words)
    visible = [ax for ax in fig.axes if ax.axison or ax.has_data()]
    if not visible:
        raise ValueError("the figure has no axes with data; draw something before show")
    for number, ax in enumerate(visible):
        artists = (*ax.lines, *ax.collections, *ax.images, *ax.patches)
        if not any(map(_drawn, artists)):
            raise ValueError(
                f"panel {number + 1} of {len(visible)} has no finite data; draw "
                "something in it, or ax.axis('off')"
            )
    return " ".join(words)


def _drawn(artist):
    """Whether an artist puts at least one finite point, or one patch, on the page."""
    if isinstance(artist, matplotlib.lines.Line2D):
        return bool(numpy.isfinite(artist.get_xydata()).all(axis=1).any())
    if isinstance(artist, matplotlib.image.AxesImage):
        return artist.get_array() is not None and artist.get_array().size > 0
    if isinstance(artist, matplotlib.collections.PathCollection):  # scatter
        return len(artist.get_offsets()) > 0
    if isinstance(artist, matplotlib.collections.Collection):
        paths = artist.get_paths()
        return artist.get_array() is not None or any(len(p.vertices) for p in paths)
    return True
