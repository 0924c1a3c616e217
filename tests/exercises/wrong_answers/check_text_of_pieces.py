"""Wrong ways back from byte pieces to text, and another right one."""


def _byte_of():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(number): number for number in printable}
    for number in range(256):
        if number not in printable:
            table[chr(256 + len(table) - len(printable))] = number
    return table


def another(pieces):
    table, out = _byte_of(), bytearray()
    for piece in pieces:
        out.extend(table[char] for char in piece)
    return str(out, "utf-8", "replace")


def piece_by_piece(pieces):
    table = _byte_of()
    return "".join(
        bytes(table[char] for char in piece).decode("utf-8", errors="replace")
        for piece in pieces
    )


def spaces_only(pieces):
    return "".join(pieces).replace("Ġ", " ")


def joined_only(pieces):
    return "".join(pieces)


def stripped(pieces):
    return another(pieces).strip()


def halves_dropped(pieces):
    table = _byte_of()
    return bytes(table[char] for char in "".join(pieces)).decode(
        "utf-8", errors="ignore"
    )


def strict(pieces):
    table = _byte_of()
    return bytes(table[char] for char in "".join(pieces)).decode("utf-8")


def not_decoded(pieces):
    table = _byte_of()
    return bytes(table[char] for char in "".join(pieces))


WRONG = [
    (piece_by_piece, "join the bytes of all tokens"),
    (spaces_only, "read as letters"),
    (joined_only, "Ġ is still there"),
    (stripped, "spaces at both ends"),
    (halves_dropped, "dropped silently"),
    (strict, "UnicodeDecodeError"),
    (not_decoded, "is a bytes"),
]
