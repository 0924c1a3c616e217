"""Wrong ways to mask tokens, and another right one."""

import torch


def another(input_ids, vocab_size, mask_id, special_ids, mask_prob=0.15):
    masked, labels = input_ids.clone(), torch.full_like(input_ids, -100)
    keep = torch.ones_like(input_ids, dtype=torch.bool)
    for i in special_ids:
        keep &= input_ids != i
    for b, t in ((torch.rand(input_ids.shape) < mask_prob) & keep).nonzero().tolist():
        labels[b, t] = input_ids[b, t]
        how = torch.rand(1).item()
        if how < 0.8:
            masked[b, t] = mask_id
        elif how < 0.9:
            masked[b, t] = torch.randint(max(special_ids) + 1, vocab_size, (1,)).item()
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


WRONG = [
    (all_targets, "every position is a target"),
    (zeros, "0 is a token"),
    (special_too, "special tokens are targets"),
    (always_mask, "every target becomes [MASK]"),
    (labels_after, "before you write [MASK]"),
    (in_place, "changes the ids"),
    (kept_not_asked, "no target stays unchanged"),
    (two_draws, "72 %"),
    (same_mask, "same positions"),
    (fixed_share, "mask_prob=0.4"),
    (one_random_word, "all alike"),
    (same_number, "same number of targets"),
]
