"""Wrong losses of a padded batch, and another right one."""

import torch
import torch.nn.functional as F


def another(logits, input_ids, attention_mask):
    log_p = logits.log_softmax(-1)
    total, asked = 0.0, 0
    for row, length in enumerate(attention_mask.sum(1).tolist()):
        for t in range(1, length):
            total, asked = (
                total - log_p[row, t - 1, input_ids[row, t]].item(),
                asked + 1,
            )
    return total, asked


def _sum(logits, labels, kept):
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return (each * kept.flatten()).sum(), kept.sum()


def as_printed(logits, input_ids, attention_mask):
    return _sum(logits, input_ids, torch.ones_like(input_ids))


def not_shifted(logits, input_ids, attention_mask):
    return _sum(logits, input_ids, attention_mask)


def wrong_way(logits, input_ids, attention_mask):
    return _sum(logits[:, 1:], input_ids[:, :-1], attention_mask[:, :-1])


def padding_asked(logits, input_ids, attention_mask):
    return _sum(logits[:, :-1], input_ids[:, 1:], torch.ones_like(input_ids[:, 1:]))


def mask_not_shifted(logits, input_ids, attention_mask):
    return _sum(logits[:, :-1], input_ids[:, 1:], attention_mask[:, :-1])


def rolled(logits, input_ids, attention_mask):
    return _sum(logits, input_ids.roll(-1, 1), attention_mask)


def still_a_mean(logits, input_ids, attention_mask):
    total, asked = another(logits, input_ids, attention_mask)
    return total / asked, asked


def only_the_sum(logits, input_ids, attention_mask):
    return torch.tensor(another(logits, input_ids, attention_mask)[0])


def all_tokens_counted(logits, input_ids, attention_mask):
    return another(logits, input_ids, attention_mask)[0], attention_mask.sum()


def places_counted(logits, input_ids, attention_mask):
    return another(logits, input_ids, attention_mask)[0], input_ids[:, 1:].numel()


def first_row_only(logits, input_ids, attention_mask):
    return another(logits[:1], input_ids[:1], attention_mask[:1])


WRONG = [
    (as_printed, "as in the snippet"),
    (not_shifted, "let it predict token t + 1"),
    (wrong_way, "the wrong way"),
    (padding_asked, "not tokens"),
    (mask_not_shifted, "not shifted with the labels"),
    (rolled, "roll moves"),
    (still_a_mean, "is a mean"),
    (only_the_sum, "return two numbers"),
    (all_tokens_counted, "all real tokens"),
    (places_counted, "targets came back"),
    (first_row_only, "one by one"),
]
