"""Wrong ways to mask whole words, and another right one."""

import torch


def another(chosen, starts):
    out = chosen.clone()
    for t in range(1, chosen.shape[1]):
        out[:, t] = torch.where(starts[:, t], chosen[:, t], out[:, t - 1])
    return out


def nothing(chosen, starts):
    return chosen.clone()


def first_only(chosen, starts):
    return chosen & starts


def any_piece(chosen, starts):
    word = starts.int().cumsum(1)
    out = torch.zeros_like(chosen)
    for row, w, c in zip(out, word, chosen):
        row[:] = torch.isin(w, w[c])
    return out


def one_piece(chosen, starts):
    out = chosen & starts
    out[:, 1:] |= out[:, :-1].clone() & ~starts[:, 1:]
    return out


def across_rows(chosen, starts):
    flat, begin = chosen.flatten(), starts.flatten()
    places = torch.arange(len(flat))
    first = torch.where(begin, places, 0).cummax(0).values
    return flat[first].view(chosen.shape)


def spreads(chosen, starts):
    out = chosen.clone()
    for t in range(1, chosen.shape[1]):
        out[:, t] = out[:, t] | (out[:, t - 1] & ~starts[:, t])
    return out


def in_place(chosen, starts):
    for t in range(1, chosen.shape[1]):
        chosen[:, t] = torch.where(starts[:, t], chosen[:, t], chosen[:, t - 1])
    return chosen


def rows_begin_unmasked(chosen, starts):
    out = another(chosen, starts)
    return out & (starts.int().cumsum(1) > 0)


def at_most_four(chosen, starts):
    out, last = chosen & starts, chosen & starts
    last[:, 0] = out[:, 0] = chosen[:, 0]
    for _ in range(3):
        last = torch.cat([torch.zeros_like(last[:, :1]), last[:, :-1]], 1) & ~starts
        out = out | last
    return out


def last_token_decides(chosen, starts):
    out = chosen.clone()
    for t in range(chosen.shape[1] - 2, -1, -1):
        out[:, t] = torch.where(starts[:, t + 1], chosen[:, t], out[:, t + 1])
    return out


def upside_down(chosen, starts):
    return ~another(chosen, starts)


def eight_positions(chosen, starts):
    places = torch.arange(8).expand_as(chosen)
    first = torch.where(starts, places, 0).cummax(dim=1).values
    return chosen.gather(1, first)


def lists(chosen, starts):
    out = []
    for draws, begins in zip(chosen.tolist(), starts.tolist()):
        row = []
        for t, (draw, begin) in enumerate(zip(draws, begins)):
            row.append(draw if begin or t == 0 else row[-1])
        out.append(row)
    return out


def by_word_number(chosen, starts):
    begins = starts.clone()
    begins[:, 0] = True
    return chosen[begins][begins.flatten().cumsum(0).view(chosen.shape) - 1]


WRONG = [
    (nothing, "nothing has changed"),
    (first_only, "only the first tokens"),
    (any_piece, "when any of its tokens is chosen"),
    (one_piece, "only one token follows"),
    (across_rows, "next row"),
    (spreads, "first token is not chosen"),
    (in_place, "changes chosen, which it was given"),
    (rows_begin_unmasked, "begins inside a word"),
    (at_most_four, "words of up to 32 tokens"),
    (last_token_decides, "last token"),
    (upside_down, "opposite"),
    (eight_positions, "RuntimeError"),
]

RIGHT = [lists, by_word_number]

EQUIVALENT = {
    (
        "`torch.arange(chosen.shape[1]).expand_as(chosen)` -> "
        "`torch.arange(chosen.shape[1])`"
    ): "torch.where expands it to all rows",
}
