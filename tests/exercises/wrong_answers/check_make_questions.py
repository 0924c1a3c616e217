"""Half repairs of the clinic's snippet, and another right one."""

import torch


def another(input_ids, vocab_size, mask_id, special_ids):
    masked, labels = input_ids.clone(), torch.full_like(input_ids, -100)
    ordinary = ~torch.isin(input_ids, torch.tensor(special_ids))
    chosen = (torch.rand(input_ids.shape) < 0.15) & ordinary
    labels[chosen] = input_ids[chosen]
    masked[chosen] = mask_id
    return {
        "input_ids": masked,
        "labels": labels,
        "attention_mask": torch.ones_like(masked),
    }


def _chosen(input_ids, special_ids, mask_prob=0.15):
    return (torch.rand(input_ids.shape) < mask_prob) & ~torch.isin(
        input_ids, torch.tensor(special_ids)
    )


def copied_and_nothing_else(input_ids, vocab_size, mask_id, special_ids):
    chosen, input_ids = torch.rand(input_ids.shape) < 0.15, input_ids.clone()
    input_ids[chosen] = mask_id
    return {"input_ids": input_ids, "labels": input_ids.clone()}


def all_targets(input_ids, vocab_size, mask_id, special_ids):
    masked = input_ids.masked_fill(_chosen(input_ids, special_ids), mask_id)
    return {"input_ids": masked, "labels": input_ids}


def nothing_hidden(input_ids, vocab_size, mask_id, special_ids):
    return {
        "input_ids": input_ids,
        "labels": input_ids.masked_fill(~_chosen(input_ids, special_ids), -100),
    }


def masked_labels(input_ids, vocab_size, mask_id, special_ids):
    chosen = _chosen(input_ids, special_ids)
    masked = input_ids.masked_fill(chosen, mask_id)
    return {"input_ids": masked, "labels": masked.masked_fill(~chosen, -100)}


def special_asked(input_ids, vocab_size, mask_id, special_ids):
    chosen = torch.rand(input_ids.shape) < 0.15
    return {
        "input_ids": input_ids.masked_fill(chosen, mask_id),
        "labels": input_ids.masked_fill(~chosen, -100),
    }


def in_place(input_ids, vocab_size, mask_id, special_ids):
    chosen = _chosen(input_ids, special_ids)
    labels = input_ids.masked_fill(~chosen, -100)
    input_ids[chosen] = mask_id
    return {"input_ids": input_ids, "labels": labels}


def zeros(input_ids, vocab_size, mask_id, special_ids):
    chosen = _chosen(input_ids, special_ids)
    return {
        "input_ids": input_ids.masked_fill(chosen, mask_id),
        "labels": input_ids * chosen,
    }


def half(input_ids, vocab_size, mask_id, special_ids):
    chosen = _chosen(input_ids, special_ids, 0.5)
    return {
        "input_ids": input_ids.masked_fill(chosen, mask_id),
        "labels": input_ids.masked_fill(~chosen, -100),
    }


def zero_at_the_targets(input_ids, vocab_size, mask_id, special_ids):
    chosen = _chosen(input_ids, special_ids)
    return {
        "input_ids": input_ids.masked_fill(chosen, 0),
        "labels": input_ids.masked_fill(~chosen, -100),
    }


def special_below_5(input_ids, vocab_size, mask_id, special_ids):
    return another(input_ids, vocab_size, mask_id, [0, 1, 2, 3, 4])


def mask_is_4(input_ids, vocab_size, mask_id, special_ids):
    return another(input_ids, vocab_size, 4, special_ids)


def same_mask(input_ids, vocab_size, mask_id, special_ids):
    torch.manual_seed(1)
    return another(input_ids, vocab_size, mask_id, special_ids)


def random_words(input_ids, vocab_size, mask_id, special_ids):
    chosen = _chosen(input_ids, special_ids)
    drawn = torch.randint(5, vocab_size, input_ids.shape)
    return {
        "input_ids": torch.where(chosen, drawn, input_ids),
        "labels": input_ids.masked_fill(~chosen, -100),
    }


def a_pair(input_ids, vocab_size, mask_id, special_ids):
    return tuple(another(input_ids, vocab_size, mask_id, special_ids).values())


def same_number(input_ids, vocab_size, mask_id, special_ids):
    draw = torch.rand(input_ids.shape).masked_fill(
        torch.isin(input_ids, torch.tensor(special_ids)), 2
    )
    chosen = torch.zeros_like(input_ids, dtype=torch.bool)
    chosen.scatter_(1, draw.topk(7, largest=False).indices, True)
    return {
        "input_ids": input_ids.masked_fill(chosen, mask_id),
        "labels": input_ids.masked_fill(~chosen, -100),
    }


def in_ten(input_ids, vocab_size, mask_id, special_ids):
    chosen = _chosen(input_ids, special_ids, 0.1)
    return {
        "input_ids": input_ids.masked_fill(chosen, mask_id),
        "labels": input_ids.masked_fill(~chosen, -100),
    }


def lists(input_ids, vocab_size, mask_id, special_ids):
    masked, labels = [], []
    for row in input_ids.tolist():
        draws = [
            token not in special_ids and torch.rand(()).item() < 0.15 for token in row
        ]
        masked.append([mask_id if draw else i for i, draw in zip(row, draws)])
        labels.append([i if draw else -100 for i, draw in zip(row, draws)])
    return {"input_ids": torch.tensor(masked), "labels": torch.tensor(labels)}


def eighty_ten_ten(input_ids, vocab_size, mask_id, special_ids):
    chosen = _chosen(input_ids, special_ids)
    how, words = torch.rand(input_ids.shape), torch.ones(vocab_size)
    words[special_ids] = 0
    drawn = words.multinomial(input_ids.numel(), replacement=True)
    masked = input_ids.masked_fill(chosen & (how < 0.8), mask_id)
    masked = torch.where(chosen & (how >= 0.9), drawn.view(how.shape), masked)
    return {"labels": input_ids.masked_fill(~chosen, -100), "input_ids": masked}


def other_special_ids(input_ids, vocab_size, mask_id, special_ids):
    chosen = _chosen(input_ids, special_ids)
    masked = input_ids.masked_fill(chosen, mask_id)
    masked[chosen & (torch.rand(input_ids.shape) < 0.1)] = special_ids[0]
    return {"input_ids": masked, "labels": input_ids.masked_fill(~chosen, -100)}


WRONG = [
    (copied_and_nothing_else, "as in the snippet"),
    (all_targets, "all tokens are targets"),
    (nothing_hidden, "nothing is masked"),
    (masked_labels, "would be [MASK]"),
    (special_asked, "special tokens are targets"),
    (in_place, "changes input_ids, which it was given"),
    (zeros, "0 is a token"),
    (half, "instead of 0.15"),
    (zero_at_the_targets, "not mask_id"),
    (special_below_5, "special ids [0, 7, 12] and mask_id = 7: special tokens"),
    (mask_is_4, "mask_id = 7"),
    (same_mask, "same positions"),
    (random_words, "of the targets show mask_id"),
    (a_pair, "batch is a tuple"),
    (same_number, "same number of targets"),
    (in_ten, "0.10 instead"),
    (other_special_ids, "another special token"),
]

RIGHT = [lists, eighty_ten_ten]

EQUIVALENT = {
    ("`torch.rand(input_ids.shape) < 0.15` -> `torch.rand(input_ids.shape) <= 0.15`"): (
        "torch.rand gives exactly that number once in 16 million draws"
    ),
}
