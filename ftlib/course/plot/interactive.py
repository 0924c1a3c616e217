"""Figures and tables that a reader changes, stored for pages without a kernel."""

import base64
import html
import re
import textwrap

import matplotlib.pyplot as plt

from .shown import checked, display_captioned, in_notebook, still

VIEW = "application/vnd.jupyter.widget-view+json"


def explore(draw, caption, **controls) -> None:
    """A figure or a table that the reader changes, with a still one for static pages.

    draw: a function of the controls' values that returns a figure, (fig, ax), or a
    string of HTML. caption: as for `show`; it describes the first state. controls:
    widgets of ipywidgets by the name of `draw`'s argument; a slider gets two buttons,
    so that it works from the keyboard. One output holds both the widget and what it
    shows first: Jupyter takes the widget, and pages without a kernel take the other.
    Raises ValueError for a caption of fewer than five words.

        def draw(temperature):
            return plot.bars(weights(temperature), label="attention weight")

        heat = widgets.FloatSlider(1.0, min=0.25, max=8, step=0.25)
        plot.explore(draw, "At temperature 1 ...", temperature=heat)
    """
    import ipywidgets

    first = _drawn(draw, controls)
    caption = checked(None if isinstance(first, str) else first, caption)
    data, metadata = _stored(first, caption)
    screen = _screen(data, metadata)

    def redraw(change):
        changed, _ = _stored(_drawn(draw, controls), "")
        screen.value = _content(changed)

    rows = []
    for name, control in controls.items():
        control.description = control.description or name.replace("_", " ")
        control.observe(redraw, "value")
        rows.append(ipywidgets.HBox([control, *_buttons(control)]))
    box = ipywidgets.VBox([*rows, screen])
    if not in_notebook():
        print(textwrap.fill(caption, 88, break_long_words=False))
        return
    view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
    display_captioned({VIEW: view, **data}, metadata, caption)


def _drawn(draw, controls):
    drawn = draw(**{name: control.value for name, control in controls.items()})
    return drawn[0] if isinstance(drawn, tuple) else drawn


def _stored(drawn, caption):
    """A figure or HTML as (data, metadata) of an output; a figure is closed."""
    if not isinstance(drawn, str):
        stored = still(drawn, caption)
        plt.close(drawn)
        return stored
    words = re.sub(r"<[^>]*>", " ", drawn)
    plain = " ".join(html.unescape(words).split())
    return {"text/html": drawn, "text/plain": plain}, {}


def _content(data):
    """What a widget shows of an output: the bytes of its picture, or its HTML."""
    picture = data.get("image/png")
    return base64.b64decode(picture) if picture else data["text/html"]


def _screen(data, metadata):
    """The widget that shows an output."""
    import ipywidgets

    if "image/png" not in data:
        return ipywidgets.HTML(_content(data))
    width = metadata["image/png"]["width"]
    return ipywidgets.Image(value=_content(data), format="png", width=width)


def _buttons(control):
    """Two buttons that move a slider by one step."""
    import ipywidgets

    if isinstance(control, ipywidgets.SelectionSlider):  # a slider over a list
        name, step, low, high = "index", 1, 0, len(control.options) - 1
    elif hasattr(control, "step"):
        name, step, low, high = "value", control.step, control.min, control.max
    else:
        return []

    def move(sign):
        value = round(getattr(control, name) + sign * step, 10)  # 0.1 + 0.2 is no 0.3
        setattr(control, name, min(max(value, low), high))

    made = []
    for sign, word in ((-1, "less"), (1, "more")):
        button = ipywidgets.Button(description=word, layout={"width": "5em"})
        button.on_click(lambda _, sign=sign: move(sign))
        made.append(button)
    return made
