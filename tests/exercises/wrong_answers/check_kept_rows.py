"""Chapter 25: the rows that may stay."""

import collections


def another(texts, labels):
    groups = collections.defaultdict(list)
    for row, text in enumerate(texts):
        groups[text.strip().lower()].append(row)
    groups.pop("", None)
    one = [rows for rows in groups.values() if len({labels[r] for r in rows}) == 1]
    return sorted(rows[0] for rows in one)


def empty_too(texts, labels):
    return sorted(
        {*another(texts, labels), *(i for i, t in enumerate(texts) if not t.strip())}
    )


def repeated(texts, labels):
    keys = [t.strip().lower() for t in texts]
    names = collections.defaultdict(set)
    for key, label in zip(keys, labels):
        names[key].add(label)
    return [i for i, key in enumerate(keys) if key and len(names[key]) == 1]


def first_label(texts, labels):
    seen, kept = set(), []
    for row, text in enumerate(texts):
        key = text.strip().lower()
        if key and key not in seen:
            seen.add(key)
            kept.append(row)
    return kept


def exact(texts, labels):
    return [
        i for i, t in enumerate(texts)
        if t.strip() and t not in texts[:i]
        and len({y for u, y in zip(texts, labels) if u == t}) == 1
    ]  # fmt: skip


def the_texts(texts, labels):
    return {texts[row] for row in another(texts, labels)}


WRONG = [
    (empty_too, "without a text stays"),
    (repeated, "stays twice"),
    (first_label, "two labels stays"),
    (exact, "may stay"),
    (the_texts, "a list of row numbers"),
]
