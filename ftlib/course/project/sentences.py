"""What the record of a project says, in sentences: for the page, the card, the data
sheet and the chapter. Every number comes from the record.
"""

from ftlib.course.project import leads

CUTS_SHOWN = 12  # slices and numbers that are listed


def percent(value):
    return f"{100 * value:.1f} %"


def span(value, low, high):
    return f"{percent(value)} [{100 * low:.1f}, {100 * high:.1f}]"


def p_value(p):
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


def unit(record):
    return "texts" if record["options"]["text"] else "rows"


def source(record):
    """What is read: the column of texts, or all columns."""
    return record["options"]["text"] or "all other columns"


# --- what came out


def verdict(record):
    """What came out, in a few sentences."""
    test, chosen = record["test"], record["choice"]["chosen"]
    lines = [
        f"{chosen.capitalize()} answers {span(test['accuracy'], *test['interval'])} of "
        f"{test['n']:,} test {unit(record)} correctly, which no setting was chosen on. "
        "Always saying the most frequent class gets "
        f"{percent(test['most frequent class'])}."
    ]
    return [*lines, *about_groups(record), *comparisons(record)]


def comparisons(record):
    """One sentence for each other model: against the baseline, by the interval of the
    differences. The chosen model's is from the test part.
    """
    choice, lines = record["choice"], []
    chosen, baseline = choice["chosen"], choice["baseline"]
    if chosen != baseline:
        rows = f"on the test {unit(record)}"
        lead = record["test"]["against baseline"]
        lines.append(leads.sentence(chosen, baseline, lead, rows))
    rows = f"on the validation {unit(record)}"
    for name, lead in choice["leads"].items():
        if name == chosen:
            continue
        words = leads.sentence(name, baseline, lead, rows)
        if name == choice["best"]:
            words += (
                " Its lead is below one standard error, "
                f"{100 * choice['error']:.1f} points, so the cheaper model is taken."
            )
        elif choice["scores"][name] > choice["scores"][choice["best"]]:
            words += (
                f" {name.capitalize()} are compared and cannot be taken, because their "
                "file would be a pickle."
            )
        lines.append(words)
    return lines


def about_groups(record):
    """What the interval is over, where rows belong together."""
    counts = record["test"].get("groups")
    if not counts:
        return []
    name = record["options"]["group"]
    line = (
        f"The interval counts the {len(counts):,} values of {name} in the test part "
        f"and not the {unit(record)}, because {unit(record)} of one {name} are alike."
    )
    if len(counts) < leads.LEAST:
        line += " So few show little: find more."
    return [line]


def about_readings(record):
    """How often the test part has been looked at, and by which models."""
    n, chosen, baseline = (
        record["readings"],
        record["choice"]["chosen"],
        record["choice"]["baseline"],
    )
    also = "" if chosen == baseline else f" and, to compare, {baseline}"
    lines = [f"Only {chosen}{also} answered test {unit(record)}."]
    of = record["test"].get("of", record["test"]["n"])
    if of > record["test"]["n"]:
        lines.append(
            f"They are {record['test']['n']:,} of {of:,}, as many as --minutes "
            f"{record['options']['minutes']:g} allowed."
        )
    if n == 1:
        return ["The test part was read once.", *lines]
    return [
        f"The test part was read with {n} different settings or files. The best of "
        "several looks better than it is, so test on new rows before you rely on it.",
        *lines,
    ]


def about_learning(record):
    """Whether all training texts were read, and what more of them may bring."""
    rows = record.get("learning") or []
    total = sum(counts["train"] for counts in record["data"]["classes"].values())
    lines = []
    for name, facts in record["candidates"].items():
        if facts["texts"] < total:
            tokens = (
                f", up to {facts['tokens']} tokens of each"
                if facts.get("tokens")
                else ""
            )
            lines.append(
                f"{name.capitalize()} learned from {facts['texts']:,} of {total:,} "
                f"training {unit(record)}{tokens}, as many as the minutes allowed."
            )
    of = sum(counts["validation"] for counts in record["data"]["classes"].values())
    n = record["choice"].get("n", of)
    if n < of:
        lines.append(
            f"The models are compared on {n:,} of {of:,} validation {unit(record)}."
        )
    if rows:
        lines.append(
            "The table below gives each model the same training texts. If the accuracy "
            "still grows in its last lines, more --minutes may help."
        )
    return lines


# --- the data


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


def about_columns(record):
    """How the columns of a table were read."""
    rows = record.get("columns") or []
    if not rows:
        return []
    counts = {kind: sum(row[1] == kind for row in rows) for kind in KINDS}
    words = [f"{n} as {word}" for word, n in zip(KINDS.values(), counts.values()) if n]
    return ["The columns were read so: " + ", ".join(words) + "."]


KINDS = {
    "number": "numbers",
    "category": "categories",
    "left out": "nothing (left out)",
}


def about_suspicions(record):
    """What alone gives the label away."""
    lines = []
    for name, kind, label, score in record.get("suspicious") or []:
        answer = repr(label) if label else record["options"]["label"]
        lines.append(
            f"Suspicious: the {kind} {name!r} alone tells {answer} in training "
            f"({percent(score)}). If it is written down after the answer is known, "
            "take it out of the table and run again."
        )
    return lines


# --- where it is wrong


def about_slices(record):
    n, left_out = len(record["slices"]), record.get("slices left out", [])
    rows = [row for row in record["slices"] if row["p_corrected"] < 0.05]
    lines = [
        f"{row['cut']} {row['name']}: {span(row['accuracy'], row['low'], row['high'])} "
        f"of {row['n']:,} {unit(record)}, p {p_value(row['p_corrected'])} after the "
        "correction."
        for row in rows
    ]
    if not rows:
        lines = [
            f"{n} slices were compared. After the correction for their number none "
            "differs from the rest."
        ]
    elif n > len(rows):
        lines.append(f"The correction counts all {n} slices that were compared.")
    if n > CUTS_SHOWN:
        lines.append(f"The table has the {CUTS_SHOWN} with the lowest accuracy of {n}.")
    if left_out:
        lines.append(
            f"Left out as too small, with fewer than 10 {unit(record)}: "
            f"{_some([f'{row[0]} {row[1]}' for row in left_out])}."
        )
    not_cut = record.get("not cut", {})
    if not_cut:
        names = [f"{name} ({count:,} values)" for name, count in not_cut.items()]
        lines.append(
            f"Not cut into slices, as their values are too many: {_some(names)}."
        )
    if record["test"].get("groups"):
        lines.append(
            f"These intervals and p-values count {unit(record)} and not groups, so "
            "they promise too much."
        )
    return lines


def _some(names):
    more = len(names) - CUTS_SHOWN
    return ", ".join(names[:CUTS_SHOWN]) + (f" and {more} more" if more > 0 else "")


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
    names = _some([row[0] for row in test["rows"]])
    lines = [
        f"`predict` compares new {unit(record)} with {n:,} validation {unit(record)} "
        f"({names or 'nothing'})."
    ]
    if not test["rows"]:
        return [*lines, f"The test part has too few {unit(record)} to try that."]
    moved = ", ".join(test["moved"])
    words = f"these moved: {moved}" if moved else "nothing moved, as it should be"
    return [*lines, f"On the {test['n']:,} test {unit(record)} {words}."]


# --- its use


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


def about_parts(record):
    """How the rows were dealt."""
    split = record["data"].get("split", 0)
    name = record["options"]["group"] or f"the {unit(record)[:-1]}"
    return (
        f"The parts are dealt by a hash of {name} with fixed limits, split {split}: a "
        "row keeps its part when the file is sorted and when it grows. Elsewhere "
        f"give --split {split}."
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
