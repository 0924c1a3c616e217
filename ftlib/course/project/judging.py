"""What a project says about a model: the choice on the validation part, then the test
part, read once.

    >>> good = torch.tensor([[2.0, 0.0]] * 30 + [[0.0, 2.0]] * 30)
    >>> labels = torch.tensor([0] * 30 + [1] * 30)
    >>> guess = good.flip(1) * 0.1
    >>> choose({"counted words": guess, "network": good}, labels)["chosen"]
    'network'
    >>> choose({"counted words": good, "network": good}, labels)["chosen"]
    'counted words'

Shapes: N texts, C classes; a model's answers are log-probabilities or logits (N, C).
"""

import numpy
import torch

from ftlib.course.project import leads
from ftlib.course.project.columns import comma_of
from ftlib.course.project.columns import number as number_in
from ftlib.evaluation import metrics, trust

MOST_VALUES, LEAST_TEXTS = 12, 10  # of a column that is cut into slices; of a slice


def correct(logits, labels):
    """1.0 or 0.0 for each answer, a list."""
    return (logits.argmax(1) == labels).double().tolist()


def choose(answers, labels, baseline="counted words", never=(), groups=None):
    """The model to take: the best on the validation part, unless its lead over the
    baseline is below one standard error; then the baseline, which is simpler
    (leads.is_taken).

    answers: {name: (N, C)}, the baseline among them. never: names that are compared and
    not taken. groups: of the N rows, or None. Returns {"chosen", "best", "scores",
    "baseline", "n": rows, "leads": {name: (mean, low, high) over the baseline}, "lead"
    of the best and its standard "error"}.
    """
    scores = {name: metrics.accuracy(z, labels) for name, z in answers.items()}
    can = [name for name in scores if name not in never]
    best = max(can, key=lambda name: (scores[name], name == baseline))
    is_correct = {name: correct(z, labels) for name, z in answers.items()}
    simple = is_correct[baseline]
    result = {"chosen": baseline, "best": best, "scores": scores, "lead": None}
    result |= {"baseline": baseline, "n": len(labels)}
    result["leads"] = {
        name: leads.of(simple, own, groups)
        for name, own in is_correct.items()
        if name != baseline
    }
    if best != baseline:
        error = leads.standard_error(simple, is_correct[best], groups)
        result |= {"lead": result["leads"][best], "error": error}
        if leads.is_taken(result["lead"][0], error):
            result["chosen"] = best
    return result


def temperature_of(logits, labels):
    """The temperature from the validation part; 1 where every answer is correct."""
    try:
        return trust.fit_temperature(logits, labels)
    except ValueError:
        return 1.0


def judge(logits, labels, names, usual, rival=None, temperature=1.0, groups=None):
    """Numbers about the answers to the test part: accuracy with an interval, macro-F1,
    each class, confusion, calibration before and after the temperature, and the
    difference to a `rival`'s answers with its interval.

    usual: the number of the most frequent class of the training part. That of the test
    part is known to nobody who has yet to answer it. groups: of the rows; the intervals
    of the accuracy and of the difference are then over groups.
    """
    is_correct, classes = correct(logits, labels), len(names)
    table = metrics.confusion(logits, labels, classes)
    report = {
        "n": len(labels),
        "accuracy": metrics.accuracy(logits, labels),
        "interval": leads.interval(is_correct, groups),
        "most frequent class": float((labels == usual).float().mean()),
        "macro_f1": metrics.macro_f1(logits, labels, classes),
        "confusion": [[int(v) for v in row] for row in table],
        "classes": _classes(logits, labels, names),
        "temperature": temperature,
        "ece": metrics.calibration_error(logits, labels),
        "ece after": metrics.calibration_error(logits / temperature, labels),
        # what a perfectly calibrated model would show, in 19 of 20 cases at most
        "ece by chance": trust.calibrated_ece(logits / temperature)[189],
    }
    bins = trust.reliability_bins(logits / temperature, labels)
    report["reliability"] = [[float(v) for v in row] for row in bins]
    if groups is not None:
        report["groups"] = leads.group_counts(is_correct, groups)
    if rival is not None:
        report["against baseline"] = leads.of(
            correct(rival, labels), is_correct, groups
        )
    return report


def _classes(logits, labels, names):
    """{class: its texts, precision, recall, F1 with a bootstrap interval}."""
    f1, low, high = metrics.f1_interval(
        logits.argmax(1), labels, len(names), samples=500
    )
    rows = {}
    for number, name in enumerate(names):
        precision, recall, _ = metrics.precision_recall(logits, labels, number)
        rows[name] = {"n": int((labels == number).sum()), "precision": precision}
        rows[name] |= {"recall": recall, "f1": float(f1[number])}
        rows[name]["f1 interval"] = [float(low[number]), float(high[number])]
    return rows


def slices_of(columns, is_text=True, own=("text", "label")):
    """{column: value of each text} of what may be cut into slices: the length in three
    parts (of texts), each other column with 2 to 12 values, and each column of more
    numbers in two halves.
    """
    cuts, lengths = {}, [len(text) for text in columns["text"]]
    order = sorted(lengths)
    edges = order[len(order) // 3], order[2 * len(order) // 3]
    words = f"up to {edges[0]}", f"{edges[0] + 1} to {edges[1]}", f"over {edges[1]}"
    if is_text:
        cuts["characters"] = [words[sum(n > edge for edge in edges)] for n in lengths]
    for name, values in columns.items():
        if name in own:
            continue
        kinds = values if len(set(values)) <= MOST_VALUES else _halves(values)
        if kinds and len(set(kinds)) > 1:
            cuts[name] = kinds
    return cuts


def _halves(cells):
    """Each cell's half, where all that are not empty are numbers, else None."""
    try:
        comma = comma_of("", cells)
    except ValueError:
        return None
    numbers = [number_in(cell, comma) for cell in cells]
    known = sorted(n for n in numbers if n is not None and n == n)
    if None in numbers or not known:
        return None
    middle = known[len(known) // 2]
    under, over = f"below {middle:g}", f"{middle:g} and more"
    return ["empty" if n != n else under if n < middle else over for n in numbers]


def slice_table(is_correct, cuts):
    """(rows about all slices of all cuts, [[cut, slice, texts] that are too small]).
    The p-values are corrected for the number of rows (Holm), the lowest accuracy comes
    first.
    """
    rows, too_small = [], []
    for column, values in cuts.items():
        for row in trust.slice_report(is_correct, values, correction=list):
            if row.n >= LEAST_TEXTS:
                rows.append((column, row))
            else:
                too_small.append([column, row.name, row.n])
    fixed = trust.holm([row.p for _, row in rows])
    table = [
        {"cut": column, **row._asdict(), "p_corrected": p}
        for (column, row), p in zip(rows, fixed)
    ]
    return sorted(table, key=lambda row: row["accuracy"]), too_small


def not_cut(columns, cuts, own=("text", "label")):
    """{column: how many values it has} of the columns that are no cut."""
    return {
        name: len(set(values))
        for name, values in columns.items()
        if name not in own and name not in cuts and len(set(values)) > 1
    }


def mistakes(logits, columns, names, most=8):
    """The wrong answers that the model is surest of: often the label is wrong."""
    sure = torch.softmax(logits.double(), dim=1)
    labels = torch.tensor(columns["label"])
    wrong = (logits.argmax(1) != labels).nonzero()[:, 0].tolist()
    wrong.sort(key=lambda row: -float(sure[row].max()))
    return [
        {
            "text": columns["text"][row],
            "label": names[columns["label"][row]],
            "answer": names[int(logits[row].argmax())],
            "confidence": float(sure[row].max()),
        }
        for row in wrong[:most]
    ]


def words_that_differ(texts, labels, names, counts, most=8):
    """{class: the terms whose share of its texts is most above that of the others}: a
    look at what the labels hang on, before any model.

    counts: a CountVectorizer that says what a term is.
    """
    try:
        has, labels = counts.fit_transform(texts), numpy.array(labels)
    except ValueError:  # no term stands in two texts
        return {name: [] for name in names}
    terms, result = counts.get_feature_names_out(), {}
    for number, name in enumerate(names):
        inside, others = (
            numpy.asarray(has[rows].mean(axis=0))[0]
            for rows in (labels == number, labels != number)
        )
        order = numpy.argsort(others - inside)[:most]
        result[name] = terms[order].tolist()
    return result
