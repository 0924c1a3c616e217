"""Filters that leave test texts in a corpus, and another right one."""

import re


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


WRONG = [
    (as_printed, "other case and punctuation"),
    (nothing, "every document is kept"),
    (lower_case, "inside a longer one"),
    (as_substring, "half a test text"),
    (case_as_written, "quotations are removed"),
    (common_words, "no document is kept"),
    (five_words, "without a common run"),
    (lowered_result, "keep them as written"),
    (removes_in_place, "build a new one"),
    (as_a_set, "in the order"),
    (eight_written_in, "is n used"),
]
