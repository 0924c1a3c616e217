"""The report of a project as one HTML file that stands alone (its figures inside, no
script, nothing fetched), and the same as a model card and a data sheet in Markdown.

    write(record, folder)   # the record is what run.py has written into record.json

Every number comes from the record, and what only a person knows from ANSWERS.md. What
a person typed (texts, names of columns and classes) is escaped.
"""

import base64
import html
import io
from pathlib import Path

from ftlib.course import plot
from ftlib.course.project import answers, leads
from ftlib.course.project.sentences import (
    CUTS_SHOWN,
    LIMITS,
    NEVER,
    about_columns,
    about_confidence,
    about_data,
    about_drift,
    about_learning,
    about_parts,
    about_readings,
    about_slices,
    about_suspicions,
    p_value,
    percent,
    source,
    span,
    unit,
    use,
    verdict,
)

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2em auto;
       padding: 0 1em; color: #222; }
h1 { margin-bottom: 0; } h2 { margin-top: 1.8em; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 0.6em 0; }
td, th { padding: 0.25em 0.8em; border-bottom: 1px solid #e5e5e5; text-align: left;
         vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; } .big { font-size: 1.25em; } .note { color: #555; }
.warning { border-left: 4px solid #b04000; padding-left: 1em; }
"""


# --- HTML


def escape(value):
    return html.escape(str(value))


def table(header, rows, numbers=()):
    """An HTML table; the columns in `numbers` stand on the right."""
    mark = lambda i: ' class="n"' if i in numbers else ""  # noqa: E731
    head = "".join(f"<th{mark(i)}>{escape(h)}</th>" for i, h in enumerate(header))
    body = "".join(
        "<tr>"
        + "".join(f"<td{mark(i)}>{escape(c)}</td>" for i, c in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def picture(fig, description):
    """The figure as a PNG inside the page."""
    out = io.BytesIO()
    fig.savefig(out, format="png", dpi=110, bbox_inches="tight")
    plot.plt.close(fig)
    code = base64.b64encode(out.getvalue()).decode("ascii")
    return f'<img alt="{escape(description)}" src="data:image/png;base64,{code}">'


def paragraphs(lines):
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def candidates_table(record):
    choice, rows = record["choice"], []
    for name, score in sorted(choice["scores"].items(), key=lambda pair: -pair[1]):
        facts, lead = record["candidates"][name], choice["leads"].get(name)
        against = f"{leads.shown(lead)}, {leads.points(lead)}" if lead else "baseline"
        texts = f"{facts['texts']:,}"
        mark = "taken" if name == choice["chosen"] else ""
        rows.append(
            (name, percent(score), against, texts, f"{facts['seconds']:.0f} s", mark)
        )
    against = f"against {choice['baseline']}"
    return table(
        (
            "model",
            "validation accuracy",
            against,
            f"training {unit(record)}",
            "time",
            "",
        ),
        rows,
        (1, 3, 4),
    )


def learning_table(record):
    rows = [
        (name, f"{n:,}", percent(score)) for name, n, score in record["learning"] or []
    ]
    header = ("model", f"training {unit(record)}", "validation accuracy")
    return table(header, rows, (1, 2)) if rows else ""


def columns_table(record):
    rows = record["columns"]
    return table(("column", "read as", ""), rows) if rows else ""


def reliability(record):
    count, confidence, accuracy = record["test"]["reliability"]
    kept = [i for i, n in enumerate(count) if n >= 5]
    fig, ax = plot.figure(size=(4, 3))
    ax.plot([0, 1], [0, 1], "--", color=plot.COLORS["grey"], lw=1)
    ax.plot([confidence[i] for i in kept], [accuracy[i] for i in kept], "o-", ms=4)
    ax.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    return picture(fig, "Accuracy over confidence; the dashed line is calibrated.")


def confusion(record):
    names, counts = record["names"], record["test"]["confusion"]
    if len(names) > 12:
        return "<p>There are too many classes for a picture.</p>"
    size = 2 + 0.5 * len(names)
    fig, ax = plot.figure(size=(size + 1, size))
    names = [name.replace("$", r"\$") for name in names]  # no formula
    plot.heatmap(counts, names, names, fmt="{:.0f}", label="texts", ax=ax)
    ax.set(xlabel="answer", ylabel="label")
    return picture(fig, "Labels in rows, answers in columns.")


def write(record, folder) -> None:
    """report.html, README.md and DATA.md, with the answers of the folder's reader."""
    given = answers.read(folder)
    pages = {
        "report.html": html_page(record, given),
        "README.md": model_card(record, given),
        "DATA.md": data_sheet(record, given),
    }
    for name, content in pages.items():
        (Path(folder) / name).write_text(content, encoding="utf-8", newline="\n")


def html_page(record, given=None) -> str:
    """The whole report."""
    options, test, given = record["options"], record["test"], given or {}
    classes = [
        (name, f"{c['n']:,}", percent(c["precision"]), percent(c["recall"]),
         span(c["f1"], *c["f1 interval"]))
        for name, c in test["classes"].items()
    ]  # fmt: skip
    parts = [
        (name, *(f"{n:,}" for n in counts.values()))
        for name, counts in record["data"]["classes"].items()
    ]
    slices = [
        (r["cut"], r["name"], f"{r['n']:,}", span(r["accuracy"], r["low"], r["high"]),
         p_value(r["p_corrected"]))
        for r in record["slices"][:CUTS_SHOWN]
    ]  # fmt: skip
    body = [
        f"<h1>{escape(options['name'])}</h1>",
        f'<p class="note">{escape(options["file"])}, from {escape(source(record))} to '
        f"{escape(options['label'])}, {escape(record['date'])}</p>",
        f'<div class="big">{paragraphs(verdict(record))}</div>',
        warnings(record),
        "<h2>Data</h2>" + paragraphs(about_data(record)),
        table(("class", "train", "validation", "test"), parts, (1, 2, 3)),
        paragraphs(about_columns(record)) + columns_table(record),
        words_table(record),
        "<h2>Models compared</h2>" + candidates_table(record),
        paragraphs(about_learning(record)) + learning_table(record),
        f"<p>Another model than {escape(record['choice']['baseline'])} is taken if its "
        f"lead on the validation {unit(record)} is above one standard error."
        f"{escape(NEVER) if 'boosted trees' in record['candidates'] else ''}</p>",
        "<h2>The test</h2>",
        table(
            ("class", unit(record), "precision", "recall", "F1"), classes, (1, 2, 3, 4)
        ),
        f"<p>Macro-F1 {percent(test['macro_f1'])}. Brackets are 95 % intervals.</p>"
        + paragraphs(about_readings(record)),
        confusion(record),
        "<h2>Where it is wrong</h2>" + paragraphs(about_slices(record)),
        table(("cut", "slice", unit(record), "accuracy", "p"), slices, (2, 3, 4)),
        mistakes(record),
        "<h2>Does it know when it is unsure?</h2>"
        + paragraphs(about_confidence(record)),
        reliability(record),
        "<h2>Tomorrow</h2>" + paragraphs(about_drift(record)),
        "<h2>What may not be concluded</h2>" + paragraphs(LIMITS),
        "<h2>What only people know</h2>"
        + paragraphs(answers.lines_of(given, answers.QUESTIONS)),
        "<h2>Use it</h2>" + paragraphs(use(record)),
    ]
    title = escape(options["name"])
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>"
        + "\n".join(body)
        + "</body></html>\n"
    )


def warnings(record):
    lines = about_suspicions(record)
    return f'<div class="warning">{paragraphs(lines)}</div>' if lines else ""


def words_table(record):
    rows = [(name, ", ".join(w)) for name, w in record["words"].items()]
    if not any(words for _, words in rows):
        return ""
    sentence = (
        "<p>Words whose share of the texts differs most between the classes. Is one of "
    )
    sentence += "them the answer itself, or a trace of where the texts come from?</p>"
    return sentence + table(("class", "words"), rows)


def mistakes(record):
    if not record["mistakes"]:
        return ""
    rows = [
        (m["text"][:300], m["label"], m["answer"], percent(m["confidence"]))
        for m in record["mistakes"]
    ]
    sentence = (
        "<p>The wrong answers that the model is surest of. Look at them first: often "
    )
    sentence += "the label is wrong.</p>"
    return sentence + table(
        (unit(record)[:-1], "label", "answer", "confidence"), rows, (3,)
    )


# --- Markdown


def markdown_table(header, rows):
    clean = lambda c: str(c).replace("|", "\\|").replace("\n", " ")  # noqa: E731
    lines = [" | ".join(map(clean, header)), " | ".join("---" for _ in header)]
    lines += [" | ".join(map(clean, row)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def model_card(record, given=None) -> str:
    """README.md of the project's folder."""
    o, classes = record["options"], record["test"]["classes"]
    rows = [
        (name, c["n"], percent(c["precision"]), percent(c["recall"]))
        for name, c in classes.items()
    ]
    compared = ", ".join(record["choice"]["scores"])
    return joined(
        f"# {o['name']}",
        "## What for",
        listed(answers.lines_of(given or {}, answers.CARD)),
        "## What came out",
        "\n".join(
            [*verdict(record), *about_suspicions(record), *about_readings(record)]
        ),
        f"Chosen among {compared} on the validation {unit(record)}.",
        markdown_table(("class", f"test {unit(record)}", "precision", "recall"), rows),
        "## Where it is wrong",
        listed(about_slices(record)),
        "## Confidence",
        "\n".join(about_confidence(record)),
        "## Tomorrow",
        "\n".join(about_drift(record)),
        "## What it is not good for",
        listed(LIMITS),
        "## How it was made",
        f"`{record['command']}`",
        f"{record['machine']}. {record['versions']}. Seed {o['seed']}.",
    )


def data_sheet(record, given=None) -> str:
    """DATA.md: what is known about the table, and questions that only its owner can
    answer.
    """
    data, o = record["data"], record["options"]
    rows = [(name, *counts.values()) for name, counts in data["classes"].items()]
    return joined(
        f"# The data of {o['name']}",
        f"{o['file']}, SHA-256 {data['sha256']}..., from {source(record)} to "
        f"{o['label']}.",
        "\n".join([*about_data(record), *about_columns(record)]),
        columns_sheet(record),
        markdown_table(("class", "train", "validation", "test"), rows),
        about_parts(record),
        "## What only people know",
        listed(answers.lines_of(given or {}, answers.DATA)),
    )


def columns_sheet(record):
    rows = record["columns"]
    return markdown_table(("column", "read as", ""), rows) if rows else ""


def joined(*paragraphs):
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def listed(lines):
    return "\n".join(f"- {line}" for line in lines)
