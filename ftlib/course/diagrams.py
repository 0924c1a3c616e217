"""The drawn diagrams of the chapters: which there are, their text, and how to show one.

What it is: a diagram is `chapters/figures/NAME.svg`, with a picture of the same name
beside it. `show` displays the picture, because a picture appears everywhere: JupyterLab
hides an SVG in a notebook that it does not trust yet, and GitHub does not draw every
SVG in a notebook's output.

How to use it:

>>> from ftlib.course import diagrams
>>> "07_block" in diagrams.names()
True
>>> diagrams.words("07_block")[0]
'A transformer block keeps the shape of what goes through it.'

What it is not: a way to draw. `tools/draw_diagrams.py` draws all diagrams.

Needs: a copy of the course, since the figures are not part of the package; without it
`show` displays the title alone.
"""

import base64
import pathlib
import re
import struct
import xml.etree.ElementTree as ElementTree

from .plot.shown import display_captioned, in_notebook

NAMESPACE = "{http://www.w3.org/2000/svg}"


def figures_folder() -> pathlib.Path | None:
    """Where the figures are: in the course above this file, or above the notebook."""
    here = pathlib.Path(__file__).resolve()
    for folder in (*here.parents, pathlib.Path.cwd(), *pathlib.Path.cwd().parents):
        if (folder / "chapters" / "figures").is_dir():
            return folder / "chapters" / "figures"
    return None


def names() -> list:
    """The names of all diagrams, such as "07_block"."""
    folder = figures_folder()
    drawn = folder.glob("[0-9][0-9]_*.svg") if folder else []
    return sorted(path.stem for path in drawn)


def svg(name) -> str:
    """The text of a diagram's SVG. Raises ValueError for a name that is not there."""
    known = names()
    if name not in known:
        raise ValueError(
            f"no diagram {name!r}; there are {', '.join(known) or 'none'} in "
            "chapters/figures of the course"
        )
    return (figures_folder() / f"{name}.svg").read_text(encoding="utf-8")


def words(name) -> tuple:
    """(title, description) of a diagram: its caption and its alternative text."""
    root = ElementTree.fromstring(svg(name))
    texts = (root.find(NAMESPACE + tag).text for tag in ("title", "desc"))
    return tuple(" ".join(text.split()) for text in texts)


def show(name) -> None:
    """Display a diagram with its title as the caption.

    The description is the alternative text. A plain script prints the title. Raises
    ValueError for an unknown name, with the names that there are.
    """
    if figures_folder() is None:  # installed without the course
        print(f"The diagram {name} is in the course's chapters/figures.")
        return
    title, description = words(name)
    if not in_notebook():
        print(title)
        return
    picture = (figures_folder() / f"{name}.png").read_bytes()
    width, height = (side // 2 for side in struct.unpack(">II", picture[16:24]))
    data = {
        "image/png": base64.b64encode(picture).decode(),
        "text/plain": f"<figure, {width} x {height}>\n{description}",
    }
    about = {"width": width, "height": height, "alt": description}
    metadata = {"image/png": about, "ftlib": {"diagram": name}}
    display_captioned(data, metadata, title)


def picture_source(png) -> str:
    """The SHA-256 of the SVG that a picture (bytes) was made of, "" if unknown."""
    match = re.search(rb"tEXtSource\x00([0-9a-f]{64})", png)
    return match.group(1).decode() if match else ""
