"""Wrong overlaps of two texts, and another right one."""

import collections
import re
from fractions import Fraction

import torch

from ftlib.data import corpus


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


def with_corpus(a, b, n):
    return corpus.jaccard(corpus.ngrams(a, n), corpus.ngrams(b, n))


def three_written_in(a, b, n):
    return another(a, b, 3)


def two_or_three(a, b, n):
    return another(a, b, min(n, 3))


def ascii_letters(a, b, n):
    words = [re.findall("[a-z0-9]+", text.lower()) for text in (a, b)]
    return _share(_runs(words[0], n), _runs(words[1], n))


def letters_without_digits(a, b, n):
    words = [re.findall(r"[^\W\d]+", text.lower()) for text in (a, b)]
    return _share(_runs(words[0], n), _runs(words[1], n))


def punctuation_taken_out(a, b, n):
    words = [re.sub(r"[^\w\s]", "", text.lower()).split() for text in (a, b)]
    return _share(_runs(words[0], n), _runs(words[1], n))


def glued(a, b, n):
    runs = [["".join(run) for run in _runs(_words(text), n)] for text in (a, b)]
    return _share(*runs)


def any_order(a, b, n):
    runs = [[tuple(sorted(run)) for run in _runs(_words(text), n)] for text in (a, b)]
    return _share(*runs)


def rounded(a, b, n):
    return round(another(a, b, n), 2)


def share_of_the_first(a, b, n):
    one, two = set(_runs(_words(a), n)), set(_runs(_words(b), n))
    return len(one & two) / len(one)


def a_fraction(a, b, n):
    one, two = {}, {}
    for found, text in ((one, a), (two, b)):
        words = _words(text)
        for i in range(len(words)):
            if i + n <= len(words):
                found[" ".join(words[i : i + n])] = True
    shared = sum(run in two for run in one)
    return Fraction(shared, len(one) + len(two) - shared)


def a_tensor(a, b, n):
    one, two = set(_runs(_words(a), n)), set(_runs(_words(b), n))
    every = list(one | two)
    table = torch.tensor([[run in one, run in two] for run in every])
    return table.all(1).float().mean()


def side_by_side(a, b, n):
    return _share(_runs(_words(a), n)[::n], _runs(_words(b), n)[::n])


WRONG = [
    (side_by_side, "overlapping"),
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
    (with_corpus, "without corpus"),
    (three_written_in, "runs of 2 words"),
    (two_or_three, "runs of 4 words"),
    (ascii_letters, "letters beyond a to z"),
    (letters_without_digits, "digits"),
    (punctuation_taken_out, "apostrophe"),
    (glued, "glued"),
    (any_order, "in another order"),
    (rounded, "rounded"),
    (share_of_the_first, "of the first text"),
]

RIGHT = [a_fraction, a_tensor]
