"""Wrong ways to keep both ends of a row, and another right one."""

import torch


def another(row, max_tokens):
    if len(row) <= max_tokens:
        return row
    back = (max_tokens - 2) // 2
    front = max_tokens - 2 - back
    return row[: 1 + front] + row[len(row) - 1 - back :]


def head(row, max_tokens):
    return row if len(row) <= max_tokens else row[: max_tokens - 1] + row[-1:]


def tail(row, max_tokens):
    return row if len(row) <= max_tokens else row[:1] + row[-(max_tokens - 1) :]


def no_end(row, max_tokens):
    return row[:max_tokens]


def no_front(row, max_tokens):
    return row[-max_tokens:]


def frame_not_counted(row, max_tokens):
    text, half = row[1:-1], max_tokens // 2
    return (
        row
        if len(row) <= max_tokens
        else [row[0], *text[: max_tokens - half], *text[-half:], row[-1]]
    )


def odd_to_the_end(row, max_tokens):
    front = (max_tokens - 2) // 2
    return (
        row
        if len(row) <= max_tokens
        else row[: 1 + front] + row[len(row) - (max_tokens - 1 - front) :]
    )


def minus_zero(row, max_tokens):
    text, room = row[1:-1], max_tokens - 2
    back = room // 2
    return (
        row
        if len(row) <= max_tokens
        else [row[0], *text[: room - back], *text[-back:], row[-1]]
    )


def always_cut(row, max_tokens):
    text, room = row[1:-1], max_tokens - 2
    front = (room + 1) // 2
    return [row[0], *text[:front], *text[max(0, len(text) - (room - front)) :], row[-1]]


def in_place(row, max_tokens):
    while len(row) > max_tokens:
        del row[len(row) // 2]
    return row


def sorted_ids(row, max_tokens):
    return [row[0], *sorted(another(row, max_tokens)[1:-1]), row[-1]]


def two_and_three(row, max_tokens):
    return [2, *another(row, max_tokens)[1:-1], 3]


def twenty_ids(row, max_tokens):
    if len(row) <= max_tokens:
        return row
    front = (max_tokens - 1) // 2
    return [*row[: 1 + front], *row[21 - (max_tokens - 2 - front) :]]


def each_once(row, max_tokens):
    return [row[0], *dict.fromkeys(another(row, max_tokens)[1:-1]), row[-1]]


def by_deleting(row, max_tokens):
    row = list(row)
    while len(row) > max_tokens:
        del row[1 + (max_tokens - 1) // 2]
    return row


def by_tensor(row, max_tokens):
    row = torch.tensor(row)
    left_out = max(0, len(row) - max_tokens)
    front = 1 + (max_tokens - 1) // 2 if left_out else 0
    return torch.cat([row[:front], row[front + left_out :]])


WRONG = [
    (head, "only the start of the text"),
    (tail, "only the end of the text"),
    (no_end, "closing [SEP]"),
    (no_front, "its [CLS] at the start"),
    (frame_not_counted, "[CLS] and [SEP] count too"),
    (odd_to_the_end, "odd position went to the end"),
    (minus_zero, "text[-0:]"),
    (always_cut, "leave a row that fits"),
    (in_place, "changes row, which it was given"),
    (sorted_ids, "any order"),
    (two_and_three, "whatever they are"),
    (twenty_ids, "expected"),
    (each_once, "gives ["),
]

RIGHT = [by_deleting, by_tensor]

EQUIVALENT = {
    "`len(row) <= max_tokens` -> `len(row) < max_tokens`": (
        "of a row of exactly max_tokens both halves are the whole text"
    ),
}
