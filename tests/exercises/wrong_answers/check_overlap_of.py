"""Wrong overlaps of two texts, and another right one."""

import collections
import re


def another(a, b, n):
    sets = []
    for text in (a, b):
        words = re.findall(r"[^\W]+", text.casefold())
        sets.append(set(zip(*(words[i:] for i in range(n)))))
    shared = len(sets[0].intersection(sets[1]))
    return shared / (len(sets[0]) + len(sets[1]) - shared)


def _runs(items, n):
    return [tuple(items[i : i + n]) for i in range(len(items) - n + 1)]


def _words(text):
    return re.findall(r"\w+", text.lower())


def _share(one, two):
    return len(set(one) & set(two)) / len(set(one) | set(two))


def single_words(a, b, n):
    return _share(_words(a), _words(b))


def letters(a, b, n):
    return _share(_runs(a.lower(), n), _runs(b.lower(), n))


def as_written(a, b, n):
    return _share(_runs(a.split(), n), _runs(b.split(), n))


def cased(a, b, n):
    return _share(_runs(re.findall(r"\w+", a), n), _runs(re.findall(r"\w+", b), n))


def with_punctuation(a, b, n):
    return _share(_runs(a.lower().split(), n), _runs(b.lower().split(), n))


def one_short(a, b, n):
    return _share(_runs(_words(a), n)[:-1], _runs(_words(b), n)[:-1])


def containment(a, b, n):
    one, two = set(_runs(_words(a), n)), set(_runs(_words(b), n))
    return len(one & two) / min(len(one), len(two))


def over_the_sum(a, b, n):
    one, two = set(_runs(_words(a), n)), set(_runs(_words(b), n))
    return len(one & two) / (len(one) + len(two))


def repeats(a, b, n):
    one, two = _runs(_words(a), n), _runs(_words(b), n)
    return sum(gram in two for gram in one) / len(set(one) | set(two))


def a_count(a, b, n):
    return len(set(_runs(_words(a), n)) & set(_runs(_words(b), n)))


def multisets(a, b, n):
    one, two = (collections.Counter(_runs(_words(text), n)) for text in (a, b))
    return (one & two).total() / (one | two).total()


WRONG = [
    (single_words, "runs of n words"),
    (letters, "n letters"),
    (as_written, "keeps case and punctuation"),
    (cased, "lower the case"),
    (with_punctuation, "letters and digits alone"),
    (one_short, "last run"),
    (containment, "divides by the union"),
    (over_the_sum, "counts the shared runs twice"),
    (repeats, "make sets first"),
    (a_count, "between 0 and 1"),
    (multisets, "print both sets"),
]
