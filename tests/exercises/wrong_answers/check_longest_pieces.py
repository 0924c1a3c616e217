"""Wrong ways to cut a word by WordPiece, and another right one."""

import unicodedata

from tokenizers import models


def another(word, vocab):
    pieces, rest = [], word
    while rest:
        mark = "##" if pieces else ""
        fitting = [n for n in range(1, len(rest) + 1) if mark + rest[:n] in vocab]
        if not fitting:
            return ["[UNK]"]
        pieces.append(mark + rest[: max(fitting)])
        rest = rest[max(fitting) :]
    return pieces


def _cut(word, vocab, pick=max, mark="##", unknown=lambda pieces: ["[UNK]"]):
    pieces, rest = [], word
    while rest:
        front = mark if pieces else ""
        fitting = [n for n in range(1, len(rest) + 1) if front + rest[:n] in vocab]
        if not fitting:
            return unknown(pieces)
        pieces.append(front + rest[: pick(fitting)])
        rest = rest[pick(fitting) :]
    return pieces


def shortest(word, vocab):
    return _cut(word, vocab, pick=min)


def no_mark(word, vocab):
    return _cut(word, set(vocab) | {"s"}, mark="")


def only_the_rest(word, vocab):
    return _cut(word, vocab, unknown=lambda pieces: [*pieces, "[UNK]"])


def first_only(word, vocab):
    return _cut(word, vocab)[:1]


def from_the_right(word, vocab):
    pieces, rest = [], word
    while rest:
        for start in range(len(rest)):
            piece = ("##" if start else "") + rest[start:]
            if piece in vocab:
                pieces.insert(0, piece)
                rest = rest[:start]
                break
        else:
            return ["[UNK]"]
    return pieces


def empty_when_unknown(word, vocab):
    return _cut(word, vocab, unknown=lambda pieces: [])


def lower_case(word, vocab):
    return _cut(word.lower(), {token.lower() for token in vocab})


def without_accents(word, vocab):
    letters = unicodedata.normalize("NFD", word)
    return _cut("".join(c for c in letters if not unicodedata.combining(c)), vocab)


def goes_back(word, vocab, mark=""):
    for end in range(len(word), 0, -1):
        if mark + word[:end] in vocab:
            rest = goes_back(word[end:], vocab, "##") if word[end:] else []
            if rest != ["[UNK]"]:
                return [mark + word[:end], *rest]
    return ["[UNK]"]


def skips_letters(word, vocab):
    pieces, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        for end in range(len(word), start, -1):
            if mark + word[start:end] in vocab:
                pieces.append(mark + word[start:end])
                start = end
                break
        else:
            start += 1
    return pieces if word[-1] != "z" else ["[UNK]"]


def either_form(word, vocab):
    """A token for the start of a word is taken inside of one too."""
    return _cut(word, set(vocab) | {"##" + t for t in vocab if t == "s"})


def twenty_letters(word, vocab):
    return _cut(word, {token for token in vocab if len(token) < 20})


def fewest(word, vocab, mark=""):
    if not word:
        return []
    found = []
    for end in range(len(word), 0, -1):
        if mark + word[:end] in vocab:
            rest = fewest(word[end:], vocab, "##")
            if rest != ["[UNK]"]:
                found.append([mark + word[:end], *rest])
    return min(found, key=len, default=["[UNK]"])


def recursive(word, vocab, mark=""):
    if not word:
        return ()
    for end in reversed(range(1, len(word) + 1)):
        if mark + word[:end] in vocab:
            rest = recursive(word[end:], vocab, "##")
            return ("[UNK]",) if "[UNK]" in rest else (mark + word[:end], *rest)
    return ("[UNK]",)


def by_library(word, vocab):
    ids = {token: i for i, token in enumerate(sorted({*vocab, "[UNK]"}))}
    model = models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=10_000)
    return [token.value for token in model.tokenize(word)]


WRONG = [
    (shortest, "the shortest token"),
    (no_mark, "lacks its prefix"),
    (only_the_rest, "only the rest became unknown"),
    (first_only, "the rest of the word is lost"),
    (from_the_right, "from the left, not from the right"),
    (empty_when_unknown, "z matches no token"),
    (lower_case, "capitals were changed"),
    (without_accents, "é is another letter"),
    (goes_back, "does not go back"),
    (skips_letters, "a stretch in the middle"),
    (either_form, "for the start of a word"),
    (twenty_letters, "may have any length"),
    (fewest, "keep the longest first token"),
]

RIGHT = [recursive, by_library]
