"""The parts that all diagrams of the course are made of, and what a diagram must keep.

What it is: `Diagram` collects boxes, arrows, rows of tokens and texts, and writes an
SVG: 720 units wide, white ground with round corners, the colours of
`ftlib.course.plot`, a title, a description, text as text. `faults` says where a diagram
breaks these rules, where a text leaves its box, and where things cover each other.

How to use it:

>>> d = Diagram("A box leads to another.", "Two boxes; an arrow joins them.", 100)
>>> a, b = d.box(40, 30, 120, 40, "input"), d.box(300, 30, 120, 40, "output", "blue")
>>> d.arrow(a.right, b.left)
>>> faults(d.svg())
[]

Needs: ftlib, and Pillow with the font DejaVu Sans of matplotlib to measure texts. That
font is wide, so that a text that fits here fits with other fonts.
"""

import functools
import html
import itertools
import math
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

import matplotlib
from PIL import ImageFont

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from ftlib.course.plot import COLORS  # noqa: E402

WIDTH, SMALLEST = 720, 12
SVG = "{http://www.w3.org/2000/svg}"


class Box(NamedTuple):
    """A rectangle; `left`, `right`, `top`, `bottom` are the middles of its sides."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self):
        return self.x, self.y + self.height / 2

    @property
    def right(self):
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self):
        return self.x + self.width / 2, self.y

    @property
    def bottom(self):
        return self.x + self.width / 2, self.y + self.height


@functools.cache
def _font(bold):
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = pathlib.Path(matplotlib.get_data_path(), "fonts/ttf", name)
    return ImageFont.truetype(str(path), 100)


def text_width(text, size, bold=False) -> float:
    """How wide a text is, in units, at a font size."""
    return _font(bold).getlength(text) * size / 100


class Diagram:
    """A drawing in the making; its methods add parts and return where they are."""

    def __init__(self, title, description, height):
        self.title, self.description, self.height = title, description, height
        self.parts = []

    def text(self, x, y, text, size=13, color="black", anchor="middle", bold=False):
        """A text with its vertical middle at `y`; several lines with a line break."""
        rows = text.split("\n")
        for i, row in enumerate(rows):
            at = y + (i - (len(rows) - 1) / 2) * size * 1.25 + size * 0.35
            weight = ' font-weight="bold"' if bold else ""
            self.parts.append(
                f'<text x="{x:g}" y="{at:g}" font-size="{size}"{weight} '
                f'text-anchor="{anchor}" fill="{COLORS[color]}">'
                f"{html.escape(row, quote=False)}</text>"
            )

    def box(
        self,
        x,
        y,
        width,
        height,
        text="",
        color="black",
        size=13,
        tint=0.08,
        dashed=False,
        bold=False,
    ) -> Box:
        """A rectangle with round corners, and a text in its middle."""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" '
            f'fill="{COLORS[color]}" fill-opacity="{tint:g}" '
            f'stroke="{COLORS[color]}" stroke-width="1.2"{dashes}/>'
        )
        if text:
            self.text(x + width / 2, y + height / 2, text, size, "black", bold=bold)
        return Box(x, y, width, height)

    def bar(self, x, y, width, height, color):
        """A small filled bar without an edge, such as a mark on a box."""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'fill="{COLORS[color]}"/>'
        )

    def group(self, x, y, width, height, color="grey", tint=0.04) -> Box:
        """A large rectangle behind parts that belong together; draw it before them."""
        return self.box(x, y, width, height, "", color, tint=tint, dashed=True)

    def circle(self, x, y, text, color="black", radius=12) -> Box:
        """A small circle with a sign in it, such as +."""
        self.parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="{radius}" fill="#FFFFFF" '
            f'stroke="{COLORS[color]}" stroke-width="1.2"/>'
        )
        self.text(x, y, text, 14)
        return Box(x - radius, y - radius, 2 * radius, 2 * radius)

    def arrow(self, *points, color="black", dashed=False, head=True):
        """A line through points, with a head at its end."""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        *_, (x0, y0), (x1, y1) = points
        length = math.hypot(x1 - x0, y1 - y0)
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        drawn = [*points[:-1], (x1 - 6 * ux * head, y1 - 6 * uy * head)]
        path = " ".join(f"{x:g},{y:g}" for x, y in drawn)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{COLORS[color]}" '
            f'stroke-width="1.6"{dashes}/>'
        )
        if head:
            sides = [
                (x1 - 8 * ux - s * 4 * uy, y1 - 8 * uy + s * 4 * ux) for s in (1, -1)
            ]
            corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(x1, y1), *sides])
            self.parts.append(f'<polygon points="{corners}" fill="{COLORS[color]}"/>')

    def tokens(self, x, y, words, colors=None, height=30, gap=6, width=None, size=13):
        """A row of small boxes, one a token, as wide as needed -> list of Box."""
        made = []
        colors = colors or ["black"] * len(words)
        for word, color in zip(words, colors):
            wide = width or text_width(word, size) + 16
            made.append(self.box(x, y, wide, height, word, color, size))
            x += wide + gap
        return made

    def svg(self) -> str:
        """The whole drawing as text; the same parts give the same text."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
            f'height="{self.height}" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            'font-family="sans-serif">'
        )
        ground = (
            f'<rect width="{WIDTH}" height="{self.height}" rx="12" fill="#FFFFFF"/>'
        )
        words = (
            f"<title>{html.escape(self.title, quote=False)}</title>",
            f"<desc>{html.escape(self.description, quote=False)}</desc>",
        )
        return "\n".join([head, *words, ground, *self.parts, "</svg>"]) + "\n"


# --- what a diagram must keep


ALLOWED = {"svg", "title", "desc", "rect", "text", "polyline", "polygon", "circle"}


def faults(svg) -> list:
    """What is wrong with a diagram, one sentence for each fault."""
    root = ElementTree.fromstring(svg)
    found = list(_frame(root)) + list(_look(root))
    return found + list(_layout(root))


def _frame(root):
    """Size, title, description, and nothing but plain shapes."""
    box = (root.get("viewBox") or "").split()
    if root.get("width") != str(WIDTH) or box[:3] != ["0", "0", str(WIDTH)]:
        yield f"the width is {root.get('width')}, viewBox {box}; {WIDTH} is needed"
    for name in ("title", "desc"):
        part = root.find(SVG + name)
        if part is None or len((part.text or "").split()) < 5:
            yield f"<{name}> with at least five words is missing"
    for element in root.iter():
        if element.tag.removeprefix(SVG) not in ALLOWED:
            yield f"<{element.tag.removeprefix(SVG)}> is not one of the parts"


def _look(root):
    """Only colours of the house, no small text, a ground under everything."""
    colors = {color.lower() for color in COLORS.values()} | {"#ffffff", "none"}
    for element in root.iter():
        for where in ("fill", "stroke"):
            color = element.get(where)
            if color and color.lower() not in colors:
                yield f"{where} {color} is not in the palette"
    for element in root.iter(SVG + "text"):
        if float(element.get("font-size", 0)) < SMALLEST:
            yield f"{element.text!r} is smaller than {SMALLEST} units"
    rects = root.findall(SVG + "rect")
    if not rects or rects[0].get("fill") != "#FFFFFF" or not rects[0].get("rx"):
        yield "the white ground with round corners is missing"


def _text_box(element):
    size, x = float(element.get("font-size")), float(element.get("x"))
    wide = text_width(element.text or "", size, bool(element.get("font-weight")))
    left = {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor", "start")]
    top = float(element.get("y")) - 0.8 * size
    return Box(x - left * wide, top, wide, size)


def _overlap(a, b, slack=0.5):
    """Whether two boxes have an area in common."""
    return (
        a.x + slack < b.x + b.width
        and b.x + slack < a.x + a.width
        and a.y + slack < b.y + b.height
        and b.y + slack < a.y + a.height
    )


def _inside(a, b, margin=0):
    """Whether box `a` lies within `b`."""
    return (
        b.x + margin <= a.x
        and b.y + margin <= a.y
        and a.x + a.width <= b.x + b.width - margin
        and a.y + a.height <= b.y + b.height - margin
    )


def _rect(element):
    return Box(*(float(element.get(k, 0)) for k in ("x", "y", "width", "height")))


def _layout(root):
    """Texts, boxes and lines that leave the page or cover each other."""
    texts = [(e.text, _text_box(e)) for e in root.iter(SVG + "text")]
    boxes = [_rect(e) for e in root.iter(SVG + "rect")][1:]
    page = Box(0, 0, WIDTH, float(root.get("height")))
    for what, box in texts + [("a box", box) for box in boxes]:
        if not _inside(box, page, 6):
            yield f"{what!r} leaves the page"
    for (a, x), (b, y) in itertools.combinations(texts, 2):
        if _overlap(x, y):
            yield f"{a!r} covers {b!r}"
    for (text, x), box in itertools.product(texts, boxes):
        if _overlap(x, box) and not _inside(x, box, 2):
            yield f"{text!r} leaves its box"
    for a, b in itertools.combinations(boxes, 2):
        if _overlap(a, b) and not _inside(a, b) and not _inside(b, a):
            yield f"two boxes overlap at {a.x:g}, {a.y:g} and {b.x:g}, {b.y:g}"
    yield from _lines(root, texts, boxes)


def _lines(root, texts, boxes):
    """Lines that cross a text, or the inside of a box that holds no other box."""
    leaves = [b for b in boxes if not any(_inside(a, b) for a in boxes if a != b)]
    for element in root.iter(SVG + "polyline"):
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", element.get("points"))]
        points = list(zip(numbers[::2], numbers[1::2]))
        for start, end in zip(points, points[1:]):
            for text, box in texts:
                if _crosses(start, end, box):
                    yield f"a line crosses {text!r}"
            for box in leaves:
                if _crosses(start, end, box, 2):
                    yield f"a line crosses the box at {box.x:g}, {box.y:g}"


def _crosses(start, end, box, slack=0):
    """Whether a segment has a point inside a box (made smaller by `slack`)."""
    for i in range(101):
        x = start[0] + (end[0] - start[0]) * i / 100
        y = start[1] + (end[1] - start[1]) * i / 100
        across = box.x + slack < x < box.x + box.width - slack
        if across and box.y + slack < y < box.y + box.height - slack:
            return True
    return False
