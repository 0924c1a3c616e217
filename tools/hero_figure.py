"""Draw chapters/figures/label_efficiency.svg and print it in words.

    python tools/hero_figure.py

Two panels, whole reviews and single sentences, from data/results/label_efficiency.json
and label_efficiency_sentences.json (recipes/label_efficiency.py): means over the draws
of the labels, with 95 % t intervals. A point with fewer than five draws is not drawn.
The same data gives the same bytes. Needs: matplotlib, ftlib.
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
from ftlib.evaluation import intervals  # noqa: E402

RESULTS = ROOT / "data" / "results"
PANELS = {
    "whole reviews": "label_efficiency.json",
    "single sentences": "label_efficiency_sentences.json",
}
# method in the files -> (its name in the figure, colour, line)
METHODS = {
    "words, whole text": ("counted words", "black", "--"),
    "scratch": ("from scratch", "grey", "-"),
    "reviews-bert-mini": ("our BERT, fine-tuned", "green", "-"),
    "MiniLM frozen": ("MiniLM, frozen", "orange", "-"),
    "MiniLM fine-tuned": ("MiniLM, fine-tuned", "blue", "-"),
    "MiniLM contrastive": ("MiniLM, contrastive", "purple", "-"),
}
DRAWS = 5  # a point with fewer is left out


def read(folder=RESULTS):
    """{panel: stored grid}."""
    return {
        panel: json.loads((folder / name).read_text(encoding="utf-8"))
        for panel, name in PANELS.items()
    }


def curves(result):
    """{method: {labels: percents of the draws}} of the points that are drawn. Raises
    ValueError where the baseline has none.
    """
    found = {method: {} for method in METHODS}
    for cell in result["cells"]:
        if cell["method"] in found:
            draws = found[cell["method"]].setdefault(cell["n"], {})
            draws[cell["seed"]] = 100 * cell["accuracy"]
    drawn = {
        method: {
            n: [draws[seed] for seed in sorted(draws)]
            for n, draws in sorted(sizes.items())
            if len(draws) >= DRAWS
        }
        for method, sizes in found.items()
    }
    if not drawn["words, whole text"]:
        raise ValueError(
            f"the baseline has no point of {DRAWS} draws; run "
            "recipes/label_efficiency.py"
        )
    return {method: sizes for method, sizes in drawn.items() if sizes}


def mean(values):
    return sum(values) / len(values)


def draw(results):
    """The figure."""
    fig, axes = plot.figure(size=(6, 3.9), columns=2)
    entries = {}
    for ax, (panel, result) in zip(axes, results.items(), strict=True):
        for method, sizes in curves(result).items():
            label, color, dashes = METHODS[method]
            spans = [intervals.t_interval(draws) for draws in sizes.values()]
            look = dict(color=plot.COLORS[color], linestyle=dashes, label=label)
            entries[label] = ax.errorbar(
                list(sizes),
                [(low + high) / 2 for low, high in spans],
                [(high - low) / 2 for low, high in spans],
                marker="o",
                markersize=3,
                **look,
            )
            entries[label].lines[0].set_label(label)
        ax.set(xscale="log", xlabel="labelled texts", title=panel)
        ax.set_xticks([10, 100, 1000, 10000], ["10", "100", "1,000", "10,000"])
        ax.minorticks_off()
    low = min(ax.get_ylim()[0] for ax in axes)
    high = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, high)
    axes[0].set_ylabel("test accuracy (%)")
    fig.legend(entries.values(), entries, loc="outside lower center", ncols=3)
    return fig


def words(results):
    """The figure in a few sentences."""
    said = []
    for panel, result in results.items():
        lines = "; ".join(
            f"{METHODS[method][0]}: "
            + ", ".join(f"{mean(draws):.0f} with {n:,}" for n, draws in sizes.items())
            for method, sizes in curves(result).items()
        )
        said.append(
            f"Accuracy in percent on {result['tests']:,} {panel} of the test set, by "
            f"the number of labels. {lines}."
        )
    (tokens,) = {result["tokens"] for result in results.values()}
    return (
        f"{' '.join(said)} Means over the draws of the labels; the networks read at "
        f"most {tokens} tokens of a text."
    )


def svg(results):
    """The figure as a file of its own."""
    text, fig = io.StringIO(), draw(results)
    with matplotlib.rc_context({"svg.hashsalt": "label_efficiency"}):
        fig.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    head, rest = text.getvalue().split("<svg ", 1)
    attributes, rest = rest.split(">", 1)
    # what a screen reader says when the file is opened alone
    about = html.escape(words(results))
    about = f"<title>What a label is worth</title><desc>{about}</desc>"
    return f'{head}<svg role="img" {attributes}>{about}{rest}'


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out = ROOT / "chapters" / "figures" / "label_efficiency.svg"
    a.add_argument("--results", type=pathlib.Path, default=RESULTS)
    a.add_argument("--out", type=pathlib.Path, default=out)
    a = a.parse_args()
    results = read(a.results)
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.write_text(svg(results), encoding="utf-8")
    print(words(results))


if __name__ == "__main__":
    main()
