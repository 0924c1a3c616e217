"""Chapter 22: how often chance alone makes so large a difference."""

from ftlib.evaluation import trust

measure = trust.demographic_parity_difference


def another(predicted, groups, shuffles):
    def rate(names, which):
        own = [p for p, g in zip(predicted, names) if g == which]
        return sum(own) / len(own)

    def difference(names):
        return abs(rate(names, "a") - rate(names, "b"))

    observed, hits = difference(groups), 1
    for names in shuffles:
        hits += difference(names) >= observed
    return hits / (1 + len(shuffles))


def at_least(predicted, groups, shuffles):
    observed = measure(predicted, groups)
    return sum(measure(predicted, other) >= observed for other in shuffles)


def without_the_observed(predicted, groups, shuffles):
    return at_least(predicted, groups, shuffles) / len(shuffles)


def divided_by_shuffles(predicted, groups, shuffles):
    return (1 + at_least(predicted, groups, shuffles)) / len(shuffles)


def smaller(predicted, groups, shuffles):
    return 1 - another(predicted, groups, shuffles)


def larger_only(predicted, groups, shuffles):
    observed = measure(predicted, groups)
    hits = sum(measure(predicted, other) > observed for other in shuffles)
    return (1 + hits) / (1 + len(shuffles))


def one_side(predicted, groups, shuffles):
    def signed(names):
        sums = {"a": 0, "b": 0}
        for p, name in zip(predicted, names):
            sums[name] += p
        return (sums["a"] - sums["b"]) / names.count("a")

    hits = sum(signed(other) >= signed(groups) for other in shuffles)
    return (1 + hits) / (1 + len(shuffles))


def the_difference(predicted, groups, shuffles):
    return measure(predicted, groups) + 0.001


WRONG = [
    (without_the_observed, "count the observed dealing"),
    (divided_by_shuffles, "61 dealings"),
    (smaller, "smaller differences"),
    (larger_only, "at least as large"),
    (one_side, "in favour of either group"),
    (the_difference, "the fraction is"),
]
