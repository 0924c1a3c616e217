"""Is one model better than another? One answer for the choice, the pages, the console
and the chapter.

    >>> simple, other = [1, 0] * 50, [1, 1, 1, 0] * 25
    >>> lead = of(simple, other)
    >>> shown(lead)
    'better'
    >>> print(sentence("the network", "counted words", lead, "on 100 texts"))
    The network is better than counted words on 100 texts: +25.0 points [+17.0, +33.0].
    >>> shown((0.01, -0.02, 0.04))
    'not shown'

A lead is (mean, low, high) of the differences row by row, 95 %. Where rows belong to
groups, the groups are drawn and not the rows.
"""

import torch

from ftlib.evaluation import intervals

LEAST = 10  # rows or groups; of fewer no lead is shown


def of(simple, other, groups=None):
    """(mean, low, high) of other - simple. simple, other: 1 or 0 of the same rows.
    groups: the group of each row, or None.
    """
    differences = [b - a for a, b in zip(simple, other, strict=True)]
    mean = sum(differences) / len(differences)
    if len(differences if groups is None else set(groups)) < LEAST:
        return mean, -1.0, 1.0
    if groups is None:
        return intervals.paired_bootstrap(simple, other)
    return mean, *intervals.cluster_bootstrap(differences, groups)


def standard_error(simple, other, groups=None) -> float:
    """Of the mean difference."""
    differences = torch.tensor(other, dtype=torch.float64) - torch.tensor(
        simple, dtype=torch.float64
    )
    if groups is None:
        return float(differences.std() / len(differences) ** 0.5)
    return intervals.cluster_error(differences, groups)


def is_taken(mean, error) -> bool:
    """The rule of one standard error (after Breiman et al. 1984, here for pairs): a
    model is taken in place of the baseline if its lead is as large.
    """
    return mean > 0 and mean >= error


def shown(lead) -> str:
    """'better', 'worse' or 'not shown', from the interval."""
    _, low, high = lead
    return "better" if low > 0 else "worse" if high < 0 else "not shown"


def points(lead) -> str:
    mean, low, high = (100 * v for v in lead)
    return f"{mean:+.1f} points [{low:+.1f}, {high:+.1f}]"


def sentence(name, other, lead, rows) -> str:
    """What the interval shows about the model `name` against `other`. rows: on which,
    such as "on the 296 test texts".
    """
    verb = "are" if name.endswith("s") else "is"  # words, trees
    words = {
        "better": f"{verb} better than {other}",
        "worse": f"{verb} worse than {other}",
        "not shown": f"{verb} not shown to be better or worse than {other}",
    }
    first = name[:1].upper() + name[1:]
    return f"{first} {words[shown(lead)]} {rows}: {points(lead)}."


# --- one model


def interval(is_correct, groups=None):
    """(low, high) of the accuracy: Wilson's of rows, or over groups."""
    hits = int(sum(is_correct))
    if groups is None:
        return intervals.wilson_interval(hits, len(is_correct))
    return interval_of_counts(group_counts(is_correct, groups))


def group_counts(is_correct, groups):
    """[[correct, rows] of each group]: what an interval over groups needs, without
    their names.
    """
    counts = {}
    for hit, group in zip(is_correct, groups, strict=True):
        own = counts.setdefault(group, [0, 0])
        own[0] += int(hit)
        own[1] += 1
    return sorted(counts.values())


def interval_of_counts(counts):
    """(low, high) from `group_counts`. With fewer than ten groups, or where all answers
    are correct or none, a group counts as one case (Wilson), which is wide.
    """
    hits, n = (sum(column) for column in zip(*counts))
    if len(counts) < LEAST or hits in (0, n):
        return intervals.wilson_interval(len(counts) * hits / n, len(counts))
    values = [v for hits, rows in counts for v in [1] * hits + [0] * (rows - hits)]
    groups = [i for i, (_, rows) in enumerate(counts) for _ in range(rows)]
    return intervals.cluster_bootstrap(values, groups)
