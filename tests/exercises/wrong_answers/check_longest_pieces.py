"""Wrong ways to cut a word by WordPiece, and another right one."""


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


WRONG = [
    (shortest, "the shortest token"),
    (no_mark, "lacks its prefix"),
    (only_the_rest, "only the rest became unknown"),
    (first_only, "the rest of the word is lost"),
    (from_the_right, "from the left, not from the right"),
    (empty_when_unknown, "z matches no token"),
]
