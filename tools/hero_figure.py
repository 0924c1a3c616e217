"""Draw chapters/figures/label_efficiency.svg from data/results/label_efficiency.json, and print it in words.

    python tools/hero_figure.py

The same data gives the same bytes. Cells that some method lacks are not drawn. Needs: matplotlib, ftlib.
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
from ftlib import plot  # noqa: E402

NAMES = {"MiniLM fine-tuned": "blue", "MiniLM frozen": "orange", "reviews-bert-mini": "green", "scratch": "grey"}

NEEDED = (10, 32, 100, 320, 1000)  # a seed without these is left out; more labels are drawn where every seed has them


def curves(result):
    """(sizes, seeds, {method: accuracies in percent, one list for each seed}) of the seeds that are complete."""
    table = {(c["method"], c["seed"], c["n"]): 100 * c["accuracy"] for c in result["cells"]}
    present = sorted({n for _, _, n in table})
    seeds = [s for s in sorted({s for _, s, _ in table}) if all((m, s, n) in table for m in NAMES for n in NEEDED)]
    if not seeds:
        raise ValueError(f"no seed has a cell for each method at {NEEDED} labels; run recipes/label_efficiency.py on")
    sizes = [n for n in present if all((m, s, n) in table for m in NAMES for s in seeds)]
    return sizes, seeds, {m: [[table[m, s, n] for n in sizes] for s in seeds] for m in NAMES}


def mean(runs):
    return [sum(column) / len(column) for column in zip(*runs)]


def draw(result):
    """The figure."""
    sizes, seeds, runs = curves(result)
    fig, ax = plot.figure(wide=True)
    for method, color in NAMES.items():
        plot.band(ax, sizes, runs[method], label=method, color=plot.COLORS[color]).set(marker="o", markersize=3)
    ax.set(xscale="log", xlabel="labelled reviews", ylabel="right on held-out reviews (%)")
    ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
    ax.minorticks_off()
    plot.label_lines(ax)
    return fig


def words(result):
    """The figure as a sentence or two."""
    sizes, seeds, runs = curves(result)
    said = "; ".join(f"{m}: " + ", ".join(f"{v:.0f}" for v in mean(runs[m])) for m in NAMES)
    return (f"Percent of {result['tests']:,} held-out film reviews classified right, mean of {len(seeds)} seeds with a band from the lowest "
            f"to the highest, after {', '.join(f'{n:,}' for n in sizes)} labels. {said}.")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--result", type=pathlib.Path, default=ROOT / "data" / "results" / "label_efficiency.json")
    a.add_argument("--out", type=pathlib.Path, default=ROOT / "chapters" / "figures" / "label_efficiency.svg")
    a = a.parse_args()
    result, text = json.loads(a.result.read_text(encoding="utf-8")), io.StringIO()
    fig = draw(result)
    with matplotlib.rc_context({"svg.hashsalt": "label_efficiency"}):
        fig.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    head, rest = text.getvalue().split("<svg ", 1)
    attributes, rest = rest.split(">", 1)
    # a title and a description inside the file are what a screen reader says when the file is opened alone
    said = f"<title>What a label is worth</title><desc>{html.escape(words(result))}</desc>"
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.write_text(f'{head}<svg role="img" {attributes}>{said}{rest}', encoding="utf-8")
    print(words(result))


if __name__ == "__main__":
    main()
