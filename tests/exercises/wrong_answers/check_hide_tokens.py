"""Wrong ways to mask tokens, and another right one."""

import numpy as np
import torch


def another(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    masked, labels = input_ids.clone(), torch.full_like(input_ids, -100)
    keep = torch.ones_like(input_ids, dtype=torch.bool)
    ordinary = torch.tensor([i for i in range(vocab_size) if i not in special_ids])
    for i in special_ids:
        keep &= input_ids != i
    for b, t in ((torch.rand(input_ids.shape) < mask_prob) & keep).nonzero().tolist():
        labels[b, t] = input_ids[b, t]
        how = torch.rand(1).item()
        if how < 0.8:
            masked[b, t] = mask_id
        elif how < 0.9:
            masked[b, t] = ordinary[torch.randint(len(ordinary), ())]
    return masked, labels


def _chosen(input_ids, special_ids, mask_prob):
    return (torch.rand(input_ids.shape) < mask_prob) & ~torch.isin(
        input_ids, torch.tensor(special_ids)
    )


def _hide(input_ids, asked, vocab_size, mask_id, low=5):
    how, drawn = (
        torch.rand(input_ids.shape),
        torch.randint(low, vocab_size, input_ids.shape),
    )
    masked = torch.where(asked & (how < 0.8), mask_id, input_ids)
    return torch.where(asked & (how >= 0.9), drawn, masked)


def all_targets(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    return _hide(
        input_ids, _chosen(input_ids, special_ids, mask_prob), vocab_size, mask_id
    ), input_ids


def zeros(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked = _chosen(input_ids, special_ids, mask_prob)
    return _hide(input_ids, asked, vocab_size, mask_id), input_ids * asked


def special_too(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked = torch.rand(input_ids.shape) < mask_prob
    return _hide(input_ids, asked, vocab_size, mask_id), input_ids.masked_fill(
        ~asked, -100
    )


def always_mask(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked = _chosen(input_ids, special_ids, mask_prob)
    return input_ids.masked_fill(asked, mask_id), input_ids.masked_fill(~asked, -100)


def labels_after(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked = _chosen(input_ids, special_ids, mask_prob)
    masked = _hide(input_ids, asked, vocab_size, mask_id)
    return masked, masked.masked_fill(~asked, -100)


def in_place(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked = _chosen(input_ids, special_ids, mask_prob)
    labels = input_ids.masked_fill(~asked, -100)
    input_ids[asked] = mask_id
    return input_ids, labels


def kept_not_asked(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    masked = _hide(
        input_ids, _chosen(input_ids, special_ids, mask_prob), vocab_size, mask_id
    )
    return masked, input_ids.masked_fill(masked == input_ids, -100)


def two_draws(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked = _chosen(input_ids, special_ids, mask_prob)
    other = asked & (torch.rand(input_ids.shape) < 0.1)
    hidden = asked & ~other & (torch.rand(input_ids.shape) < 0.8)
    masked = input_ids.masked_fill(hidden, mask_id)
    masked = torch.where(other, torch.randint(5, vocab_size, input_ids.shape), masked)
    return masked, input_ids.masked_fill(~asked, -100)


def same_mask(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    torch.manual_seed(0)
    asked = _chosen(input_ids, special_ids, mask_prob)
    return _hide(input_ids, asked, vocab_size, mask_id), input_ids.masked_fill(
        ~asked, -100
    )


def fixed_share(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked = _chosen(input_ids, special_ids, 0.15)
    return _hide(input_ids, asked, vocab_size, mask_id), input_ids.masked_fill(
        ~asked, -100
    )


def one_random_word(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked, how = _chosen(input_ids, special_ids, mask_prob), torch.rand(input_ids.shape)
    masked = torch.where(asked & (how < 0.8), mask_id, input_ids)
    masked[asked & (how >= 0.9)] = int(torch.randint(5, vocab_size, (1,)))
    return masked, input_ids.masked_fill(~asked, -100)


def same_number(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    draw = torch.rand(input_ids.shape).masked_fill(
        torch.isin(input_ids, torch.tensor(special_ids)), 2
    )
    asked = torch.zeros_like(input_ids, dtype=torch.bool)
    asked.scatter_(
        1, draw.topk(int(mask_prob * input_ids.shape[1]), largest=False).indices, True
    )
    return _hide(input_ids, asked, vocab_size, mask_id), input_ids.masked_fill(
        ~asked, -100
    )


def default_of_30(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.3):
    return another(input_ids, vocab_size, mask_id, special_ids, mask_prob)


def special_below_5(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    return another(input_ids, vocab_size, mask_id, [0, 1, 2, 3, 4], mask_prob)


def mask_is_4(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    return another(input_ids, vocab_size, 4, special_ids, mask_prob)


def drawn_above_the_special(
    input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15
):
    asked = _chosen(input_ids, special_ids, mask_prob)
    low = max(special_ids) + 1 if max(special_ids) < vocab_size - 1 else 1
    masked = _hide(input_ids, asked, vocab_size, mask_id, low)
    return masked, input_ids.masked_fill(~asked, -100)


def drawn_from_the_text(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked, how = _chosen(input_ids, special_ids, mask_prob), torch.rand(input_ids.shape)
    words = input_ids[~torch.isin(input_ids, torch.tensor(special_ids))]
    drawn = words[torch.randint(len(words), input_ids.shape)]
    masked = torch.where(asked & (how < 0.8), mask_id, input_ids)
    masked = torch.where(asked & (how >= 0.9), drawn, masked)
    return masked, input_ids.masked_fill(~asked, -100)


def numpy_generator(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    draw = torch.from_numpy(np.random.rand(*input_ids.shape))
    asked = (draw < mask_prob) & ~torch.isin(input_ids, torch.tensor(special_ids))
    masked = _hide(input_ids, asked, vocab_size, mask_id)
    return masked, input_ids.masked_fill(~asked, -100)


def exact_share_of_the_batch(
    input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15
):
    free = (~torch.isin(input_ids, torch.tensor(special_ids))).flatten().nonzero()[:, 0]
    asked = torch.zeros(input_ids.numel(), dtype=torch.bool)
    asked[free[torch.randperm(len(free))[: round(mask_prob * len(free))]]] = True
    asked = asked.view(input_ids.shape)
    masked = _hide(input_ids, asked, vocab_size, mask_id)
    return masked, input_ids.masked_fill(~asked, -100)


def same_places_in_every_row(
    input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15
):
    asked = (torch.rand(input_ids.shape[1]) < mask_prob).expand_as(input_ids)
    asked = asked & ~torch.isin(input_ids, torch.tensor(special_ids))
    masked = _hide(input_ids, asked, vocab_size, mask_id)
    return masked, input_ids.masked_fill(~asked, -100)


def at_most_half(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    return another(input_ids, vocab_size, mask_id, special_ids, min(mask_prob, 0.5))


def at_least_one_each(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked = _chosen(input_ids, special_ids, mask_prob)
    words = ~torch.isin(input_ids, torch.tensor(special_ids))
    asked[torch.arange(len(input_ids)), words.int().argmax(1)] |= ~asked.any(1)
    masked = _hide(input_ids, asked, vocab_size, mask_id)
    return masked, input_ids.masked_fill(~asked, -100)


def lower_half_drawn(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked = _chosen(input_ids, special_ids, mask_prob)
    return _hide(input_ids, asked, vocab_size // 2, mask_id), input_ids.masked_fill(
        ~asked, -100
    )


def one_list_of_places(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    ordinary = [i for i in range(vocab_size) if i not in special_ids]
    masked, labels = input_ids.tolist(), torch.full_like(input_ids, -100).tolist()
    for row, asked in zip(masked, labels):
        for t, token in enumerate(row):
            if token not in special_ids and torch.rand(()) < mask_prob:
                asked[t], how = token, torch.rand(()).item()
                if how < 0.8:
                    row[t] = mask_id
                elif how < 0.9:
                    row[t] = ordinary[int(torch.randint(len(ordinary), ()))]
    return torch.tensor(masked), torch.tensor(labels)


def bernoulli(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    ordinary = torch.ones(vocab_size)
    ordinary[list(special_ids)] = 0
    asked = torch.bernoulli(ordinary[input_ids] * mask_prob).bool()
    labels = torch.where(asked, input_ids, -100)
    hidden = torch.bernoulli(torch.full(input_ids.shape, 0.8)).bool() & asked
    other = torch.bernoulli(torch.full(input_ids.shape, 0.5)).bool() & asked & ~hidden
    masked = input_ids.clone()
    masked[hidden] = mask_id
    drawn = torch.multinomial(ordinary, input_ids.numel(), replacement=True)
    return torch.where(other, drawn.view(input_ids.shape), masked), labels


def first_ones_masked(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    asked = _chosen(input_ids, special_ids, mask_prob)
    masked, (b, t) = input_ids.clone(), asked.nonzero(as_tuple=True)
    most, rest = int(0.8 * len(b)), int(0.9 * len(b))
    masked[b[:most], t[:most]] = mask_id
    drawn = torch.randint(5, vocab_size, (rest - most,))
    masked[b[most:rest], t[most:rest]] = drawn
    return masked, input_ids.masked_fill(~asked, -100)


WRONG = [
    (all_targets, "every position is a target"),
    (zeros, "0 is a token"),
    (special_too, "special tokens are targets"),
    (always_mask, "every target becomes [MASK]"),
    (labels_after, "before you write [MASK]"),
    (in_place, "changes input_ids, which it was given"),
    (kept_not_asked, "no target stays unchanged"),
    (two_draws, "72 %"),
    (same_mask, "same positions"),
    (fixed_share, "mask_prob=0.4"),
    (one_random_word, "all alike"),
    (same_number, "same number of targets"),
    (default_of_30, "default"),
    (special_below_5, "special ids [0, 7, 12] and mask_id = 7: special tokens"),
    (mask_is_4, "mask_id = 7: 0.0"),
    (drawn_above_the_special, "none is one of"),
    (drawn_from_the_text, "as often as"),
    (numpy_generator, "torch's global generator"),
    (exact_share_of_the_batch, "three calls choose"),
    (same_places_in_every_row, "same positions in every row"),
    (at_most_half, "mask_prob=1"),
    (at_least_one_each, "mask_prob=0"),
    (lower_half_drawn, "lower half of the vocabulary"),
    (first_ones_masked, "first half of the batch"),
]

RIGHT = [one_list_of_places, bernoulli]

EQUIVALENT = {
    "`set(special_ids)` -> `special_ids`": "a list holds the same ids as its set",
    (
        "`torch.rand(input_ids.shape) < mask_prob` -> "
        "`torch.rand(input_ids.shape) <= mask_prob`"
    ): ("torch.rand gives exactly that number once in 16 million draws"),
    "`how < 0.8` -> `how <= 0.8`": (
        "torch.rand gives exactly that number once in 16 million draws"
    ),
    "`how >= 0.9` -> `how > 0.9`": (
        "torch.rand gives exactly that number once in 16 million draws"
    ),
}
