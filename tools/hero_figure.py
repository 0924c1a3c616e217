"""Draw chapters/figures/label_efficiency.svg and print it in words.

    python tools/hero_figure.py

From data/results/label_efficiency.json (the networks) and label_efficiency_tfidf.json
(the baseline that counts words). The same data gives the same bytes. Cells that some
method lacks are not drawn. Needs: matplotlib, ftlib.
"""

import argparse
import html
import io
import json
import pathlib
import sys

import matplotlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
matplotlib.use("Agg")
from ftlib.course import plot  # noqa: E402

RESULTS = ROOT / "data" / "results"
# method in the files -> (its name in the figure, colour, line)
METHODS = {
    "MiniLM fine-tuned": ("MiniLM, fine-tuned", "blue", "-"),
    "MiniLM frozen": ("MiniLM, frozen", "orange", "-"),
    "reviews-bert-mini": ("our BERT, fine-tuned", "green", "-"),
    "scratch": ("from scratch", "grey", "-"),
    "TF-IDF": ("TF-IDF, same tokens", "black", "--"),
    "TF-IDF, whole review": ("TF-IDF, whole review", "black", ":"),
}
# a seed without these is left out; more labels are drawn where every seed has them
NEEDED = (10, 32, 100, 320, 1000)


def joined(*results):
    """One result with the cells of all. Raises ValueError where the tests differ."""
    first = results[0]
    for other in results[1:]:
        for key in ("data", "tokens", "tests"):
            if other[key] != first[key]:
                raise ValueError(f"{key} is {first[key]} in one file and {other[key]}")
    return {**first, "cells": [cell for result in results for cell in result["cells"]]}


def curves(result):
    """(sizes, complete seeds, {method: [a list of percents for each seed]})."""
    table = {(c["method"], c["seed"], c["n"]): c["accuracy"] for c in result["cells"]}

    def complete(seed):
        return all((m, seed, n) in table for m in METHODS for n in NEEDED)

    seeds = [seed for seed in sorted({s for _, s, _ in table}) if complete(seed)]
    if not seeds:
        raise ValueError(
            f"no seed has a cell for each method at {NEEDED} labels; run "
            "recipes/label_efficiency.py and recipes/tfidf_baseline.py"
        )
    sizes = [
        n
        for n in sorted({n for _, _, n in table})
        if all((m, s, n) in table for m in METHODS for s in seeds)
    ]
    runs = {m: [[100 * table[m, s, n] for n in sizes] for s in seeds] for m in METHODS}
    return sizes, seeds, runs


def mean(runs):
    return [sum(column) / len(column) for column in zip(*runs, strict=True)]


def draw(result):
    """The figure."""
    sizes, _, runs = curves(result)
    fig, ax = plot.figure(wide=True)
    for method, (label, color, dashes) in METHODS.items():
        line = plot.band(ax, sizes, runs[method], label=label, color=plot.COLORS[color])
        line.set(marker="o", markersize=3, linestyle=dashes)
    ax.set(xscale="log", xlabel="labelled reviews", ylabel="test accuracy (%)")
    ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
    ax.minorticks_off()
    plot.label_lines(ax)
    return fig


def words(result):
    """The figure as a sentence or two."""
    sizes, seeds, runs = curves(result)
    said = "; ".join(
        f"{label}: " + ", ".join(f"{value:.0f}" for value in mean(runs[method]))
        for method, (label, *_) in METHODS.items()
    )
    return (
        f"Accuracy in percent on {result['tests']:,} film reviews of the test set, "
        f"mean of {len(seeds)} seeds with a band from the lowest to the highest, after "
        f"{', '.join(f'{n:,}' for n in sizes)} labels. The networks read the first "
        f"{result['tokens']} tokens. {said}."
    )


def svg(result):
    """The figure as a file of its own."""
    text, fig = io.StringIO(), draw(result)
    with matplotlib.rc_context({"svg.hashsalt": "label_efficiency"}):
        fig.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    head, rest = text.getvalue().split("<svg ", 1)
    attributes, rest = rest.split(">", 1)
    # what a screen reader says when the file is opened alone
    about = html.escape(words(result))
    about = f"<title>What a label is worth</title><desc>{about}</desc>"
    return f'{head}<svg role="img" {attributes}>{about}{rest}'


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("label_efficiency.json", "label_efficiency_tfidf.json")
    files = [RESULTS / name for name in names]
    out = ROOT / "chapters" / "figures" / "label_efficiency.svg"
    a.add_argument("--results", type=pathlib.Path, nargs="+", default=files)
    a.add_argument("--out", type=pathlib.Path, default=out)
    a = a.parse_args()
    result = joined(*(json.loads(p.read_text(encoding="utf-8")) for p in a.results))
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.write_text(svg(result), encoding="utf-8")
    print(words(result))


if __name__ == "__main__":
    main()
