"""Chapter 22: the column on which the mistakes hang."""

from ftlib.evaluation import trust


def reports(columns, is_correct):
    return {
        name: trust.slice_report(is_correct, codes) for name, codes in columns.items()
    }


def another(columns, is_correct):
    rows = reports(columns, is_correct)
    return min(rows, key=lambda name: min(row.p_corrected for row in rows[name]))


def lowest_accuracy(columns, is_correct):
    rows = reports(columns, is_correct)
    return min(rows, key=lambda name: min(row.accuracy for row in rows[name]))


def raw_p(columns, is_correct):
    rows = reports(columns, is_correct)
    return min(rows, key=lambda name: min(row.p for row in rows[name]))


def always_age(columns, is_correct):
    return "age"


def number_of_column(columns, is_correct):
    return list(columns).index(another(columns, is_correct))


def benjamini(columns, is_correct):
    best = {}
    for name, codes in columns.items():
        rows = trust.slice_report(is_correct, codes, trust.benjamini_hochberg)
        best[name] = min(row.p_corrected for row in rows)
    return min(best, key=best.get)


WRONG = [
    (lowest_accuracy, "few rows"),
    (raw_p, "many codes are many chances"),
    (always_age, "the mistakes hang on"),
    (number_of_column, "name of a column"),
]

RIGHT = [benjamini]
