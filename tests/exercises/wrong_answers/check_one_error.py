"""Chapter 25: the rule of one standard error."""

import numpy


def taken(correct, baseline, errors=1.0, paired=True):
    rows = {name: numpy.array(row, float) for name, row in correct.items()}
    best = max(rows, key=lambda name: rows[name].mean())
    lead, n = rows[best].mean() - rows[baseline].mean(), len(rows[baseline])
    error = (rows[best] - rows[baseline]).std(ddof=1) / n**0.5
    if not paired:
        error = (rows[best].var(ddof=1) / n + rows[baseline].var(ddof=1) / n) ** 0.5
    return baseline if lead < errors * error else best


def another(correct, baseline):
    return taken(correct, baseline)


def the_best(correct, baseline):
    return taken(correct, baseline, 0)


def two_errors(correct, baseline):
    return taken(correct, baseline, 1.96)


def unpaired(correct, baseline):
    return taken(correct, baseline, paired=False)


def the_baseline(correct, baseline):
    return baseline


def the_worst(correct, baseline):
    return min(correct, key=lambda name: sum(correct[name]))


def the_lead(correct, baseline):
    return max(sum(row) for row in correct.values())


WRONG = [
    (the_best, "below one standard error"),
    (two_errors, "not 1.96"),
    (unpaired, "paired differences"),
    (the_worst, "neither the best"),
    (the_lead, "one of the names"),
    (the_baseline, "you take words"),
]

EQUIVALENT = {
    "`mean(correct[name])` -> `sum(correct[name])`": "all lists have one length",
}
