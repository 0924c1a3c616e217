"""Chapter 21: the word error rate."""

import math
from functools import cache


def another(reference, hypothesis):
    said, heard = reference.split(), hypothesis.split()

    @cache
    def changes(i, j):
        if not i or not j:
            return i + j
        kept = changes(i - 1, j - 1) + (said[i - 1] != heard[j - 1])
        return min(kept, changes(i - 1, j) + 1, changes(i, j - 1) + 1)

    n = changes(len(said), len(heard))
    return n / len(said) if said else math.inf if n else 0.0


def of(said, heard):
    return another(" ".join(said), " ".join(heard))


def count(reference, hypothesis):
    rate = another(reference, hypothesis)
    return rate * len(reference.split()) if rate < math.inf else rate


def in_percent(reference, hypothesis):
    return 100 * another(reference, hypothesis)


def by_characters(reference, hypothesis):
    return of(reference, hypothesis)


def by_the_hypothesis(reference, hypothesis):
    rate = another(reference, hypothesis)
    n = len(hypothesis.split())
    return rate * len(reference.split()) / n if n else 1.0


def by_position(reference, hypothesis):
    said, heard = reference.split(), hypothesis.split()
    wrong = sum(a != b for a, b in zip(said, heard)) + abs(len(said) - len(heard))
    return wrong / len(said) if said else math.inf if heard else 0.0


def as_a_set(reference, hypothesis):
    said, heard = set(reference.split()), set(hypothesis.split())
    return len(said ^ heard) / len(said) if said else math.inf if heard else 0.0


def at_most_one(reference, hypothesis):
    return min(1.0, another(reference, hypothesis))


def no_substitution(reference, hypothesis):
    said, heard = reference.split(), hypothesis.split()

    @cache
    def changes(i, j):
        if not i or not j:
            return i + j
        if said[i - 1] == heard[j - 1]:
            return changes(i - 1, j - 1)
        return 1 + min(changes(i - 1, j), changes(i, j - 1))

    n = changes(len(said), len(heard))
    return n / len(said) if said else math.inf if n else 0.0


def empty_is_zero(reference, hypothesis):
    return another(reference, hypothesis) if reference else 0.0


def empty_is_wrong(reference, hypothesis):
    return another(reference, hypothesis) if reference else math.inf


def text(reference, hypothesis):
    return f"{another(reference, hypothesis):.2f}"


WRONG = [
    (count, "divide by the"),
    (in_percent, "in per cent"),
    (by_characters, "the first word is lost"),
    (by_the_hypothesis, "not 0.25"),
    (by_position, "not 0.6"),
    (as_a_set, "not 0.333"),
    (at_most_one, "two words are added"),
    (no_substitution, "one word is lost and one replaced"),
    (empty_is_zero, "infinitely many"),
    (empty_is_wrong, "no error"),
    (text, "one number"),
]

EQUIVALENT = {
    "`min(kept, row[j] + 1, row[j - 1] + 1)` -> "
    "`min(row[j] + 1, kept, row[j - 1] + 1)`": "the smallest of three, in any order",
}
