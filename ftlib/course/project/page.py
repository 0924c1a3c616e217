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
from ftlib.course.project import answers

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2em auto;
       padding: 0 1em; color: #222; }
h1 { margin-bottom: 0; } h2 { margin-top: 1.8em; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 0.6em 0; }
td, th { padding: 0.25em 0.8em; border-bottom: 1px solid #e5e5e5; text-align: left;
         vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; } .big { font-size: 1.25em; } .note { color: #555; }
"""


def percent(value):
    return f"{100 * value:.1f} %"


def span(value, low, high):
    return f"{percent(value)} [{100 * low:.1f}, {100 * high:.1f}]"


def points(lead):
    mean, low, high = (100 * v for v in lead)
    return f"{mean:+.1f} points [{low:+.1f}, {high:+.1f}]"


# --- sentences that both forms use


def verdict(record):
    """What came out, in two or three sentences."""
    test, chosen = record["test"], record["choice"]["chosen"]
    lines = [
        f"{chosen.capitalize()} answers {span(test['accuracy'], *test['interval'])} of "
        f"{test['n']:,} test {unit(record)} correctly, which no setting was chosen on. "
        "Always saying the most frequent class gets "
        f"{percent(test['most frequent class'])}."
    ]
    baseline = record["choice"]["baseline"]
    if chosen != baseline:
        lead = test["against baseline"]
        shown = (
            "is shown" if lead[1] > 0 else f"is not shown on the test {unit(record)}"
        )
        lines.append(f"Its lead over {baseline}, {points(lead)}, {shown}.")
    elif record["choice"]["lead"]:
        best, lead = record["choice"]["best"], record["choice"]["lead"]
        lines.append(
            f"{best.capitalize()} was ahead on the validation {unit(record)} by "
            f"{points(lead)}. "
            f"That is below one standard error, {100 * record['choice']['error']:.1f} "
            "points, so the cheaper model is taken."
        )
    scores = record["choice"]["scores"]
    first = max(scores, key=scores.get)
    if scores[first] > max(scores[chosen], scores[record["choice"]["best"]]):
        lines.append(
            f"{first.capitalize()} had {percent(scores[first])} on the validation "
            f"{unit(record)}, {chosen} {percent(scores[chosen])}. They are compared "
            "and cannot be taken, because their file would be a pickle."
        )
    elif chosen == record["choice"]["best"] == baseline:
        lines.append(f"No other was better on the validation {unit(record)}.")
    return lines


def unit(record):
    return "texts" if record["options"]["text"] else "rows"


def source(record):
    """What is read: the column of texts, or all columns."""
    return record["options"]["text"] or "all other columns"


def about_data(record):
    data = record["data"]
    lines = [f"{data['rows']:,} rows were read, {data['used']:,} are used."]
    reasons = {
        "no text": "without a text",
        "no label": "without a label",
        "repeated": "with the text of a row before",
        "two labels": "whose text also stands under another label",
    }
    left_out = [f"{data[k]:,} {words}" for k, words in reasons.items() if data.get(k)]
    if left_out:
        lines.append("Left out: " + ", ".join(left_out) + ".")
    if record["options"]["text"]:
        shortest, middle, longest = data["characters"]
        lines.append(
            f"A text has {shortest:,} to {longest:,} characters, half of them "
            f"{middle:,} or fewer."
        )
    if record["options"]["group"]:
        lines.append(
            f"Rows with the same {record['options']['group']} are in the same part."
        )
    return lines


def about_slices(record):
    rows = [row for row in record["slices"] if row["p_corrected"] < 0.05]
    if not rows:
        return [
            f"{len(record['slices'])} slices were compared. After the correction for "
            "their number none differs from the rest."
        ]
    return [
        f"{row['cut']} {row['name']}: {span(row['accuracy'], row['low'], row['high'])} "
        f"of {row['n']:,} {unit(record)}, p {row['p_corrected']:.3f} after the "
        "correction."
        for row in rows
    ]


def about_confidence(record):
    test = record["test"]
    lines = [
        f"The answers' confidence is off by {percent(test['ece after'])} on average "
        f"(expected calibration error, after dividing by the temperature "
        f"{test['temperature']:.2f}; before it {percent(test['ece'])}). A perfectly "
        f"calibrated model would show up to {percent(test['ece by chance'])}."
    ]
    if test["ece after"] > test["ece by chance"]:
        lines.append("So do not read its confidence as a probability.")
    return lines


def about_drift(record):
    """What new rows are compared with, and what the test part showed."""
    test, n = record["drift"]["test"], record["drift"]["reference"]
    names = ", ".join(row[0] for row in test["rows"][:12])
    more = len(test["rows"]) - 12
    lines = [
        f"`predict` compares new {unit(record)} with {n:,} validation {unit(record)} "
        f"({names or 'nothing'}{f' and {more} more' if more > 0 else ''})."
    ]
    if not test["rows"]:
        return [*lines, f"The test part has too few {unit(record)} to try that."]
    moved = ", ".join(test["moved"])
    words = f"these moved: {moved}" if moved else "nothing moved, as it should be"
    return [*lines, f"On the {test['n']:,} test {unit(record)} {words}."]


def about_readings(record):
    """How often the test part has been looked at."""
    n = record["readings"]
    if n == 1:
        return ["The test part was read once."]
    return [
        f"The test part was read with {n} different settings or files. The best of "
        "several looks better than it is, so test on new rows before you rely on it."
    ]


NEVER = (
    " Boosted trees are compared and not taken: their file would be a pickle, which "
    "can run code. If they lead, fit them with scikit-learn where they are used."
)
LIMITS = (
    "The interval is about others of the same kind. What comes from another time, "
    "place or source may be answered worse: monitor it.",
    "Differences between slices are differences of this model on this test, and no "
    "cause.",
    "Who gave the labels, and how often two people agree, is not in the file. No model "
    "can be measured more exactly than its labels.",
)


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
        facts = record["candidates"][name]
        texts = f"{facts['texts']:,}"
        mark = "taken" if name == choice["chosen"] else ""
        rows.append((name, percent(score), texts, f"{facts['seconds']:.0f} s", mark))
    return table(
        ("model", "validation accuracy", f"training {unit(record)}", "time", ""),
        rows,
        (1, 2, 3),
    )


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
         f"{r['p_corrected']:.3f}")
        for r in record["slices"][:12]
    ]  # fmt: skip
    body = [
        f"<h1>{escape(options['name'])}</h1>",
        f'<p class="note">{escape(options["file"])}, from {escape(source(record))} to '
        f"{escape(options['label'])}, {escape(record['date'])}</p>",
        f'<div class="big">{paragraphs(verdict(record))}</div>',
        "<h2>Data</h2>" + paragraphs(about_data(record)),
        table(("class", "train", "validation", "test"), parts, (1, 2, 3)),
        words_table(record),
        "<h2>Models compared</h2>" + candidates_table(record),
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


def use(record):
    folder, text = record["options"]["out"], record["options"]["text"]
    export = record["export"]
    lines = [f"python -m ftlib predict {folder} new.csv"]
    lines += [f"python -m ftlib serve {folder}"] if text else []
    lines.append(
        f"model/ has {export['megabytes']:.1f} MB. On {export['texts']} test "
        f"{unit(record)} its log-probabilities differ by at most "
        f"{export['parity']:.0e} from those of the model before it was written."
    )
    return lines


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
        "\n".join([*verdict(record), *about_readings(record)]),
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
        "\n".join(about_data(record)),
        markdown_table(("class", "train", "validation", "test"), rows),
        f"The parts are dealt by a hash of the {unit(record)[:-1]}: they stay the same "
        "however the file is sorted.",
        "## What only people know",
        listed(answers.lines_of(given or {}, answers.DATA)),
    )


def joined(*paragraphs):
    return "\n\n".join(paragraphs) + "\n"


def listed(lines):
    return "\n".join(f"- {line}" for line in lines)
