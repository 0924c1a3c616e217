"""Wrong ways to find copies, and another right one."""

import re


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
]
