"""Chapter 18: a split by template."""

import random


def another(rows, test_share=0.25):
    templates = sorted({row["template"] for row in rows})
    random.Random(1).shuffle(templates)
    held = set(templates[: max(1, int(test_share * len(templates)))])
    train = [row for row in rows if row["template"] not in held]
    return train, [row for row in rows if row["template"] in held]


def by_sentence(rows):
    rows = sorted(rows, key=lambda row: row["text"])
    random.Random(0).shuffle(rows)
    cut = len(rows) // 4
    return rows[cut:], rows[:cut]


def only_new_sentences(rows):
    train, test = another(rows)
    return train, test[:1]


def all_for_the_test(rows):
    return [], rows


def mostly_test(rows):
    return another(rows)[::-1]


def every_time_anew(rows):
    templates = sorted({row["template"] for row in rows})
    held = random.choice(templates)
    train = [row for row in rows if row["template"] != held]
    return train, [row for row in rows if row["template"] == held]


WRONG = [
    (by_sentence, "stand on both sides"),
    (only_new_sentences, "none is lost"),
    (all_for_the_test, "empty"),
    (mostly_test, "leave most for training"),
    (every_time_anew, "draw with a seed"),
]


LOT = "any order of the templates is a fair deal, if it is always the same"
SHARE = "a fifth or a third of the templates is as good a share"
EQUIVALENT = {
    "`random.Random(0).shuffle(templates)` -> `pass`": LOT,
    "`random.Random(0).shuffle(templates)` -> `random.Random(0)`": LOT,
    "`0` -> `1`": LOT,
    "`0` -> `-1`": LOT,
    "`set(templates[:len(templates) // 4 or 1])` -> "
    "`templates[:len(templates) // 4 or 1]`": "a list answers `in` as a set does",
    "`4` -> `5`": SHARE,
    "`4` -> `3`": SHARE,
}
