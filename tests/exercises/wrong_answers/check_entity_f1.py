"""Chapter 15: F1 of whole entities."""


def counts(actual, predicted):
    hits = sum(len({*a} & {*p}) for a, p in zip(actual, predicted))
    return hits, sum(map(len, predicted)), sum(map(len, actual))


def another(actual, predicted):
    hits, claimed, known = counts(actual, predicted)
    if not hits:
        return 0.0
    precision, recall = hits / claimed, hits / known
    return 2 * precision * recall / (precision + recall)


def precision(actual, predicted):
    hits, claimed, _ = counts(actual, predicted)
    return hits / max(1, claimed)


def recall(actual, predicted):
    hits, _, known = counts(actual, predicted)
    return hits / max(1, known)


def mean_of_sentences(actual, predicted):
    return sum(another([a], [p]) for a, p in zip(actual, predicted)) / len(actual)


def all_mixed(actual, predicted):
    one, other = ([[s for row in rows for s in row]] for rows in (actual, predicted))
    hits = len({*one[0]} & {*other[0]})
    return 2 * hits / max(1, len({*one[0]}) + len({*other[0]}))


def without_types(actual, predicted):
    cut = [[[s[:2] for s in row] for row in rows] for rows in (actual, predicted)]
    return another(*cut)


def rounded(actual, predicted):
    return round(another(actual, predicted), 3)


def one_for_nothing(actual, predicted):
    return another(actual, predicted) if any(actual) or any(predicted) else 1.0


WRONG = [
    (precision, "this is precision"),
    (recall, "this is recall"),
    (mean_of_sentences, "mean over sentences"),
    (all_mixed, "different sentences are mixed"),
    (without_types, "type is not compared"),
    (rounded, "is rounded"),
    (one_for_nothing, "counts as 0"),
]

EQUIVALENT = {
    "`zip(actual, predicted)` -> `zip(predicted, actual)`": (
        "what two sets share is the same either way round"
    ),
}
