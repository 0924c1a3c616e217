"""Chapter 21: a split by families of voices."""

import random
import re


def family(row):
    return re.sub(r"\d+$", "", row["voice"])


def another(rows, test_share=0.3):
    families = sorted({family(row) for row in rows})
    random.Random(5).shuffle(families)
    held = set(families[: max(1, int(test_share * len(families)))])
    train = [row for row in rows if family(row) not in held]
    return train, [row for row in rows if family(row) in held]


def by_row(rows):
    rows = sorted(rows, key=lambda row: (row["word"], row["voice"]))
    random.Random(0).shuffle(rows)
    return rows[len(rows) // 4 :], rows[: len(rows) // 4]


def by_voice(rows):
    names = sorted({row["voice"] for row in rows})
    random.Random(0).shuffle(names)
    held = set(names[: len(names) // 4])
    train = [row for row in rows if row["voice"] not in held]
    return train, [row for row in rows if row["voice"] in held]


def by_word(rows):
    train = [row for row in rows if row["word"] == "one"]
    return train, [row for row in rows if row["word"] != "one"]


def lost(rows):
    train, test = another(rows)
    return train, test[:2]


def nothing_for_training(rows):
    return [], rows


def mostly_test(rows):
    return another(rows)[::-1]


def every_time_anew(rows):
    families = sorted({family(row) for row in rows})
    held = set(random.sample(families, max(1, len(families) // 3)))
    train = [row for row in rows if family(row) not in held]
    return train, [row for row in rows if family(row) in held]


WRONG = [
    (by_row, "speak on both sides"),
    (by_voice, "families have voices on both sides"),
    (by_word, "speak on both sides"),
    (lost, "none is lost"),
    (nothing_for_training, "empty"),
    (mostly_test, "leave most for training"),
    (every_time_anew, "deals differently"),
]

LOT = "any order of the families is a fair deal, if it is always the same"
SHARE = "a fifth or a third of the families is as good a share"
EQUIVALENT = {
    "`random.Random(0).shuffle(families)` -> `pass`": LOT,
    "`random.Random(0).shuffle(families)` -> `random.Random(0)`": LOT,
    "`0` -> `1`": LOT,
    "`0` -> `-1`": LOT,
    "`set(families[:len(families) // 4 or 1])` -> "
    "`families[:len(families) // 4 or 1]`": "a list answers `in` as a set does",
    "`4` -> `5`": SHARE,
    "`4` -> `3`": SHARE,
}
