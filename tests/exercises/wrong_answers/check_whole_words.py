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


WRONG = [
    (nothing, "nothing has changed"),
    (first_only, "only the first tokens"),
    (any_piece, "when any of its tokens is chosen"),
    (one_piece, "only one token follows"),
    (across_rows, "next row"),
    (spreads, "first token is not chosen"),
    (in_place, "work on a copy"),
]
