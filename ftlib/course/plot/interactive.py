"""Figures that a reader changes, stored as a picture for pages without a kernel."""

import base64
import textwrap

import matplotlib.pyplot as plt

from .shown import checked, display_captioned, in_notebook, still


def explore(draw, caption, **controls) -> None:
    """A figure that the reader changes, with a still picture for static pages.

    draw: a function of the controls' values that returns a figure, or (fig, ax).
    caption: as for `show`; it describes the first state. controls: widgets of
    ipywidgets by the name of `draw`'s argument; a slider gets two buttons, so that it
    works from the keyboard. One output holds both the widget and the picture: Jupyter
    shows the widget, and pages without a kernel show the picture.

        def draw(temperature):
            return plot.bars(weights(temperature), label="attention weight")

        heat = widgets.FloatSlider(1.0, min=0.25, max=8, step=0.25)
        plot.explore(draw, "At temperature 1 ...", temperature=heat)
    """
    import ipywidgets

    fig = _figure_of(draw, controls)
    caption = checked(fig, caption)
    data, metadata = still(fig, caption)
    plt.close(fig)
    width = metadata["image/png"]["width"]
    png = base64.b64decode(data["image/png"])
    picture = ipywidgets.Image(value=png, format="png", width=width)

    def redraw(change):
        changed = _figure_of(draw, controls)
        picture.value = base64.b64decode(still(changed, "")[0]["image/png"])
        plt.close(changed)

    rows = []
    for name, control in controls.items():
        control.description = control.description or name.replace("_", " ")
        control.observe(redraw, "value")
        rows.append(ipywidgets.HBox([control, *_buttons(control)]))
    box = ipywidgets.VBox([*rows, picture])
    if not in_notebook():
        print(textwrap.fill(caption, 88, break_long_words=False))
        return
    view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
    data = {"application/vnd.jupyter.widget-view+json": view, **data}
    display_captioned(data, metadata, caption)


def _figure_of(draw, controls):
    drawn = draw(**{name: control.value for name, control in controls.items()})
    return drawn[0] if isinstance(drawn, tuple) else drawn


def _buttons(control):
    """Two buttons that move a slider by one step."""
    import ipywidgets

    if not hasattr(control, "step"):
        return []

    def move(sign):
        value = control.value + sign * control.step
        control.value = min(max(value, control.min), control.max)

    made = []
    for sign, word in ((-1, "less"), (1, "more")):
        button = ipywidgets.Button(description=word, layout={"width": "5em"})
        button.on_click(lambda _, sign=sign: move(sign))
        made.append(button)
    return made
