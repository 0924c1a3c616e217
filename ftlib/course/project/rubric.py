"""Is a project finished? Twenty points, and one sentence for each that is missing.

    python -m ftlib rubric projects/reviews

Nothing is believed that can be counted again: intervals, the rule of choice, the
correction of the slices and the exported file are. What you wrote into ANSWERS.md is
put into the pages first. Whether the answers are true no program can tell.

    >>> row = Row("interval", 0, 2, "give the 95 % interval of the test accuracy")
    >>> print(told([row]))
    interval               0 of 2  give the 95 % interval of the test accuracy
    0 of 2 points
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

from ftlib.course.project import answers, leads, page, served, watch
from ftlib.deploy import versions
from ftlib.evaluation import intervals, trust

PARITY = 1e-3  # of a log-probability


class Row(NamedTuple):
    """A line of the rubric; `missing` is "" where all points are given."""

    name: str
    points: int
    most: int
    missing: str


def check(folder) -> list[Row]:
    """The rubric of a finished project. Raises ValueError where there is none."""
    folder = Path(folder)
    path = folder / "record.json"
    if not path.is_file():
        raise ValueError(
            f"{folder} has no record.json; run `python -m ftlib project` to its end"
        )
    record = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for name, most, test in CHECKS:
        try:
            missing = test(record, folder)
        except (KeyError, TypeError, ValueError, OSError, IndexError) as error:
            missing = f"it is not there or cannot be read ({type(error).__name__})"
        rows.append(Row(name, 0 if missing else most, most, missing or ""))
    given = answers.missing(answers.read(folder))
    for name, questions in (("card", answers.CARD), ("data sheet", answers.DATA)):
        open_ones = [key for key in questions if key in given]
        missing = open_ones and f"in {answers.FILE} answer: {', '.join(open_ones)}"
        n = len(questions)
        rows.append(Row(name, n - len(open_ones), n, missing or ""))
    return rows


def told(rows) -> str:
    """The rubric as text."""
    lines = [f"{r.name:20} {r.points:3} of {r.most}  {r.missing}" for r in rows]
    got, most = sum(r.points for r in rows), sum(r.most for r in rows)
    return "\n".join([*(line.rstrip() for line in lines), f"{got} of {most} points"])


def report(folder) -> bool:
    """Put the answers into the pages, print the rubric -> whether all is there."""
    path = Path(folder) / "record.json"
    if path.is_file():
        page.write(json.loads(path.read_text(encoding="utf-8")), folder)
    rows = check(folder)
    print(told(rows))
    return all(row.points == row.most for row in rows)


# --- what is looked at: a sentence where something is missing, else None


def data(record, folder):
    facts = record["data"]
    parts = [sum(counts.values()) for counts in facts["classes"].values()]
    left = ("no text", "no label", "repeated", "two labels")
    if facts["used"] != sum(parts) or facts["rows"] != facts["used"] + sum(
        facts.get(name, 0) for name in left
    ):
        return "the rows that were read, left out and used do not add up"
    if min(min(counts.values()) for counts in facts["classes"].values()) < 1:
        return "a class is missing from a part; find more rows of it"


def baseline(record, folder):
    choice = record["choice"]
    if choice.get("baseline") not in choice["scores"] or len(choice["scores"]) < 2:
        return "compare a cheap baseline and one model more; more --minutes may help"
    if not 0 < record["test"]["most frequent class"] <= 1:
        return "say what the most frequent class alone gets"


def chosen(record, folder):
    """The rule of judging.choose, from the recorded scores."""
    choice, never = record["choice"], "boosted trees"
    scores, base = choice["scores"], choice["baseline"]
    best = max((s, n == base, n) for n, s in scores.items() if n != never)[2]
    if best != base:
        lead = scores[best] - scores[base]
        if abs(lead - choice["lead"][0]) > 1e-6 or choice["error"] <= 0:
            return "the lead does not follow from the validation scores"
        best = best if leads.is_taken(lead, choice["error"]) else base
    if choice["chosen"] != best:
        return (
            f"{choice['chosen']} was taken, and one standard error on the validation "
            f"part says {best}"
        )


def once(record, folder):
    path = Path(folder) / "readings.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    if len(rows) != 1 or record["readings"] != 1:
        return (
            f"the test part was read with {len(rows)} settings; test the one you keep "
            "on rows that nobody has seen"
        )
    if rows[0]["model"] != record["choice"]["chosen"]:
        return "another model was tested than the one that was chosen"


def interval(record, folder):
    test = record["test"]
    hits = sum(row[i] for i, row in enumerate(test["confusion"]))
    n = sum(map(sum, test["confusion"]))
    counts, by_group = test.get("groups"), record["options"]["group"] is not None
    if by_group != bool(counts) or counts and sum(r for _, r in counts) != n:
        return "with --group the interval is over groups, and their counts are missing"
    wanted = intervals.wilson_interval(hits, n)
    if by_group:
        wanted = leads.interval_of_counts(counts)
    if abs(test["accuracy"] - hits / n) > 1e-6 or n != test["n"]:
        return "the accuracy is not the one of the confusion table"
    if max(abs(a - b) for a, b in zip(wanted, test["interval"])) > 0.005:
        return f"give the 95 % interval: {page.span(hits / n, *wanted)}"
    if record["choice"]["chosen"] != record["choice"]["baseline"]:
        mean, low, high = test["against baseline"]
        if not low <= mean <= high or low == high:
            return "give the interval of the lead over the baseline"


def slices(record, folder):
    rows = record["slices"]
    if not rows:
        return "no slice was looked at; keep a column such as the source in the table"
    wanted = trust.holm([row["p"] for row in rows])
    if any(abs(row["p_corrected"] - p) > 1e-6 for row, p in zip(rows, wanted)):
        return f"correct the p-values for all {len(rows)} slices (Holm)"


def calibration(record, folder):
    test = record["test"]
    count = sum(test["reliability"][0])
    if count != test["n"] or test["temperature"] <= 0:
        return "show how confidence and accuracy go together"
    if not 0 <= test["ece after"] <= 1 or not 0 <= test["ece by chance"] <= 1:
        return "give the calibration error beside what chance alone would show"


def exported(record, folder):
    result = record["export"]
    if versions.digest(Path(folder) / "model") != result["digest"]:
        return "model/ is not the folder that was tested; run the project again"
    if not result["parity"] <= PARITY:
        return f"the file differs by {result['parity']:.0e}, at most {PARITY:.0e}"
    if versions.current(folder) != "model":
        return "current.json does not point to model/, so no service starts"
    served.Served(folder)


def drift(record, folder):
    reference = watch.Reference.load(Path(folder) / "model")
    if min(map(len, reference.numbers.values())) < watch.LEAST:
        return f"new rows need {watch.LEAST} old ones to be compared with; find more"
    test = record["drift"]["test"]
    if test["moved"]:
        return f"the test part has drifted from the validation part: {test['moved']}"


def report_card(record, folder):
    html = (Path(folder) / "report.html").read_text(encoding="utf-8")
    if re.search(r'<script|(?:src|href)="(?!data:)', html):
        return "report.html needs something from outside"
    test = record["test"]
    for told in (page.span(test["accuracy"], *test["interval"]), page.STYLE[:20]):
        if told not in html:
            return "report.html is not the one of this record; run the rubric again"


CHECKS = (
    ("data", 1, data),
    ("baseline", 1, baseline),
    ("choice", 1, chosen),
    ("test read once", 2, once),
    ("interval", 1, interval),
    ("slices", 1, slices),
    ("calibration", 1, calibration),
    ("export", 1, exported),
    ("drift reference", 2, drift),
    ("report card", 1, report_card),
)
