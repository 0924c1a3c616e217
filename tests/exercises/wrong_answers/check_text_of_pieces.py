"""Wrong ways back from byte pieces to text, and another right one."""

import codecs
import re
import unicodedata

from tokenizers import decoders


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


def g_to_space(pieces):
    return another(pieces).replace("Ġ", " ")


def one_blank(pieces):
    return re.sub(r" +", " ", another(pieces))


def unix_lines(pieces):
    return another(pieces).replace("\r\n", "\n")


def normalized(pieces):
    return unicodedata.normalize("NFC", another(pieces))


def without_marks(pieces):
    text = another(pieces)
    return text if text.endswith("\ufffd") else text.replace("\ufffd", "")


def lower_case(pieces):
    return another(pieces).lower()


def needs_a_piece(pieces):
    return another(pieces) if pieces[0] else ""


def mark_for_each_byte(pieces):
    table, text = _byte_of(), ""
    found = bytearray(table[char] for char in "".join(pieces))
    while found:
        try:
            return text + found.decode("utf-8")
        except UnicodeDecodeError as error:
            text += found[: error.start].decode("utf-8")
            text += "\ufffd" * (error.end - error.start)
            del found[: error.end]
    return text


def by_library(pieces):
    return decoders.ByteLevel().decode(list(pieces))


def stepwise(pieces):
    table = _byte_of()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = "".join(decoder.decode(bytes([table[c]])) for p in pieces for c in p)
    return text + decoder.decode(b"", final=True)


WRONG = [
    (piece_by_piece, "join the bytes of all tokens"),
    (spaces_only, "read as letters"),
    (joined_only, "Ġ is still there"),
    (stripped, "spaces at both ends"),
    (halves_dropped, "dropped silently"),
    (strict, "UnicodeDecodeError"),
    (not_decoded, "is a bytes"),
    (g_to_space, "the letter Ġ itself"),
    (one_blank, "runs of spaces"),
    (unix_lines, "line ends"),
    (normalized, "do not normalize"),
    (without_marks, "in the text itself"),
    (lower_case, "capitals belong"),
    (needs_a_piece, "IndexError"),
    (mark_for_each_byte, "a row cut inside"),
]

RIGHT = [by_library, stepwise]
