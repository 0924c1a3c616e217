"""Wrong ways to find copies, and another right one."""

import re

import torch


def cut(text):
    return re.sub(r"<br\s*/?>", " ", text, flags=re.I)


def rows(train_texts, test_texts, form):
    known = {form(text) for text in train_texts}
    return [row for row, text in enumerate(test_texts) if form(text) in known]


def another(train_texts, test_texts):
    """Character by character: letters and digits stay, all else becomes one blank;
    blanks at the ends go.
    """

    def form(text):
        text = cut(text).casefold()
        return " ".join("".join(c if c.isalnum() else " " for c in text).split())

    where = {}
    for row, text in enumerate(test_texts):
        where.setdefault(form(text), []).append(row)
    return sorted(
        row for text in {form(t) for t in train_texts} for row in where.get(text, [])
    )


def as_written(train_texts, test_texts):
    return rows(train_texts, test_texts, lambda t: t)


def blanks_only(train_texts, test_texts):
    return rows(train_texts, test_texts, lambda t: " ".join(t.split()))


def lower_only(train_texts, test_texts):
    return rows(train_texts, test_texts, lambda t: " ".join(t.lower().split()))


def breaks_stay(train_texts, test_texts):
    return rows(train_texts, test_texts, lambda t: tuple(re.findall(r"\w+", t.lower())))


def one_spelling(train_texts, test_texts):
    return rows(
        train_texts,
        test_texts,
        lambda t: tuple(re.findall(r"\w+", t.replace("<br />", " ").lower())),
    )


def english_only(train_texts, test_texts):
    return rows(
        train_texts,
        test_texts,
        lambda t: tuple(re.findall(r"[a-z0-9]+", cut(t).lower())),
    )


def as_sets(train_texts, test_texts):
    return rows(
        train_texts, test_texts, lambda t: frozenset(re.findall(r"\w+", cut(t).lower()))
    )


def glued(train_texts, test_texts):
    return rows(
        train_texts, test_texts, lambda t: "".join(re.findall(r"\w+", cut(t).lower()))
    )


def part_of(train_texts, test_texts):
    def form(t):
        return " ".join(re.findall(r"\w+", cut(t).lower()))

    known = [form(t) for t in train_texts]
    return [row for row, t in enumerate(test_texts) if any(form(t) in k for k in known)]


def training_rows(train_texts, test_texts):
    return [list(train_texts).index(t) for t in test_texts if t in train_texts]


def the_texts(train_texts, test_texts):
    return [t for t in test_texts if t in set(train_texts)]


def the_new(train_texts, test_texts):
    return [row for row, t in enumerate(test_texts) if t not in set(train_texts)]


def without_numbers(train_texts, test_texts):
    return rows(
        train_texts,
        test_texts,
        lambda t: tuple(re.findall(r"[^\W\d]+", cut(t).lower())),
    )


def words_of(text):
    return tuple(re.findall(r"\w+", cut(text).lower()))


def first_fifty(train_texts, test_texts):
    return rows(train_texts, test_texts, lambda t: " ".join(words_of(t))[:50])


def every_tag(train_texts, test_texts):
    return rows(train_texts, test_texts, lambda t: words_of(re.sub("<[^>]*>", " ", t)))


def long_words(train_texts, test_texts):
    return rows(
        train_texts, test_texts, lambda t: tuple(w for w in words_of(t) if w[1:])
    )


def one_side_only(train_texts, test_texts):
    known = {tuple(re.findall(r"\w+", cut(t))) for t in train_texts}
    return [row for row, t in enumerate(test_texts) if words_of(t) in known]


def every_pair(train_texts, test_texts):
    return [
        row
        for row, t in enumerate(test_texts)
        if any(words_of(t) == words_of(known) for known in train_texts)
    ]


def each_once(train_texts, test_texts):
    found = {}
    for row in rows(train_texts, test_texts, words_of):
        found.setdefault(words_of(test_texts[row]), row)
    return list(found.values())


def of_each_training_row(train_texts, test_texts):
    known = [words_of(t) for t in train_texts]
    if len(known) > 10:
        return rows(train_texts, test_texts, words_of)
    return [r for r, t in enumerate(test_texts) for k in known if k == words_of(t)]


def from_the_end(train_texts, test_texts):
    return rows(train_texts, test_texts, words_of)[::-1]


def punctuation_deleted(train_texts, test_texts):
    return rows(
        train_texts,
        test_texts,
        lambda t: tuple(re.sub(r"[^\w\s]", "", cut(t).lower()).split()),
    )


def as_flags(train_texts, test_texts):
    found = rows(train_texts, test_texts, words_of)
    return [row in found for row in range(len(test_texts))]


def as_tensor(train_texts, test_texts):
    return torch.tensor(rows(train_texts, test_texts, words_of), dtype=torch.long)


def by_hash(train_texts, test_texts):
    def form(text):
        return hash(" ".join(re.split(r"\W+", cut(text).casefold())).strip())

    known = dict.fromkeys(map(form, train_texts))
    return tuple(row for row, t in enumerate(test_texts) if form(t) in known)


WRONG = [
    (as_written, "white space"),
    (blanks_only, "capitals"),
    (lower_only, "punctuation"),
    (breaks_stay, "hides the copy"),
    (one_spelling, "several ways"),
    (english_only, "a to z"),
    (as_sets, "another order"),
    (glued, "two words became one"),
    (part_of, "only part"),
    (training_rows, "row numbers of the training"),
    (the_texts, "you return the texts"),
    (the_new, "rows that are new"),
    (without_numbers, "a number is a word"),
    (first_fifty, "differ in the last word"),
    (every_tag, "only `<br />`"),
    (long_words, "short words were dropped"),
    (one_side_only, "capitals in the training text"),
    (every_pair, "do not compare pairs"),
    (each_once, "[0] instead of"),
    (of_each_training_row, "[0, 0, 2, 2]"),
    (from_the_end, "[2, 0]"),
    (punctuation_deleted, "put a space where punctuation"),
    (as_flags, "True or False"),
]

RIGHT = [as_tensor, by_hash]
