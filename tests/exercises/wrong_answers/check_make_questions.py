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


def unchanged(input_ids, vocab_size, mask_id, special_ids):
    chosen = torch.rand(input_ids.shape) < 0.15
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


WRONG = [
    (unchanged, "as in the snippet"),
    (all_targets, "all tokens are targets"),
    (nothing_hidden, "nothing is masked"),
    (masked_labels, "would be [MASK]"),
    (special_asked, "special tokens are targets"),
    (in_place, "changes the ids"),
    (zeros, "0 is a token"),
    (half, "instead of 0.15"),
]
