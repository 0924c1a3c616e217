"""Filters that leave test texts in a corpus, and another right one."""

import re

from ftlib.data import corpus


def _words(text):
    return re.findall(r"\w+", text.lower())


def _runs(text, n):
    words = _words(text)
    return {" ".join(words[i : i + n]) for i in range(len(words) - n + 1)}


def another(documents, tests, n):
    kept, padded = [], [f" {' '.join(_words(text))} " for text in documents]
    needles = [f" {run} " for text in tests for run in _runs(text, n)]
    for document, text in zip(documents, padded):
        if not any(needle in text for needle in needles):
            kept.append(document)
    return kept


def as_printed(documents, tests, n):
    return [text for text in documents if text not in tests]


def nothing(documents, tests, n):
    return list(documents)


def lower_case(documents, tests, n):
    banned = {" ".join(_words(text)) for text in tests}
    return [text for text in documents if " ".join(_words(text)) not in banned]


def as_substring(documents, tests, n):
    banned = [" ".join(_words(text)) for text in tests]
    return [
        text
        for text in documents
        if not any(test in " ".join(_words(text)) for test in banned)
    ]


def case_as_written(documents, tests, n):
    def runs(text):
        words = text.split()
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    banned = set().union(*map(runs, tests))
    return [text for text in documents if not runs(text) & banned]


def common_words(documents, tests, n):
    banned = set().union(*(_words(text) for text in tests))
    return [text for text in documents if not set(_words(text)) & banned]


def five_words(documents, tests, n):
    banned = set().union(*(_runs(text, 5) for text in tests))
    return [text for text in documents if not _runs(text, 5) & banned]


def lowered_result(documents, tests, n):
    return [text.lower() for text in another(documents, tests, n)]


def removes_in_place(documents, tests, n):
    kept = another(documents, tests, n)
    documents[:] = kept
    return documents


def as_a_set(documents, tests, n):
    return sorted(set(another(documents, tests, n)))


def eight_written_in(documents, tests, n):
    return another(documents, tests, 8)


def as_text(documents, tests, n):
    needles = [run for text in tests for run in _runs(text, n)]
    return [
        text
        for text in documents
        if not any(needle in " ".join(_words(text)) for needle in needles)
    ]


def once_each(documents, tests, n):
    return list(dict.fromkeys(another(documents, tests, n)))


def one_long_test(documents, tests, n):
    return another(documents, [" ".join(tests)], n)


def any_order(documents, tests, n):
    def bags(text):
        return {tuple(sorted(run.split())) for run in _runs(text, n)}

    banned = set().union(*map(bags, tests))
    return [text for text in documents if not bags(text) & banned]


def short_ones_dropped(documents, tests, n):
    return [text for text in another(documents, tests, n) if len(_words(text)) >= n]


def eight_or_more(documents, tests, n):
    return another(documents, tests, max(n, 8))


def first_test_alone(documents, tests, n):
    return another(documents, tests[:2], n)


def more_than_one_run(documents, tests, n):
    banned = set().union(*(_runs(text, n) for text in tests))
    return [text for text in documents if len(_runs(text, n) & banned) < 2]


def ascii_letters(documents, tests, n):
    def runs(text):
        words = re.findall("[a-z0-9]+", text.lower())
        return {" ".join(words[i : i + n]) for i in range(len(words) - n + 1)}

    banned = set().union(*map(runs, tests))
    return [text for text in documents if not runs(text) & banned]


def library(documents, tests, n):
    return [
        document
        for document in documents
        if all(corpus.ngrams(document, n).isdisjoint(_runs(text, n)) for text in tests)
    ]


def position_by_position(documents, tests, n):
    def shares(one, two):
        return any(
            one[i : i + n] == two[j : j + n]
            for i in range(len(one) - n + 1)
            for j in range(len(two) - n + 1)
        )

    kept = []
    for document in documents:
        if not any(shares(_words(document), _words(test)) for test in tests):
            kept += [document]
    return kept


def stripped(documents, tests, n):
    return [" ".join(text.split()) for text in another(documents, tests, n)]


WRONG = [
    (as_printed, "other case and punctuation"),
    (nothing, "every document is kept"),
    (lower_case, "inside a longer one"),
    (as_substring, "half a test text"),
    (case_as_written, "quotations are removed"),
    (common_words, "no document is kept"),
    (five_words, "without a common run"),
    (lowered_result, "keep them as written"),
    (removes_in_place, "changes documents, which it was given"),
    (as_a_set, "in the order"),
    (eight_written_in, "is n used"),
    (as_text, "part of a word"),
    (once_each, "twice"),
    (one_long_test, "end of one test text"),
    (any_order, "in another order"),
    (short_ones_dropped, "fewer than"),
    (eight_or_more, "with n = 4 every"),
    (first_test_alone, "of several tests"),
    (more_than_one_run, "exactly one"),
    (ascii_letters, "a Chinese test"),
    (stripped, "spaces and line ends"),
]

RIGHT = [library, position_by_position]
