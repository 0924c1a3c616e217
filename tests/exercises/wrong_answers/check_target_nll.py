"""Wrong losses of a padded batch, and another right one."""

import numpy as np
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


def padding_by_id(logits, input_ids, attention_mask):
    return _sum(logits[:, :-1], input_ids[:, 1:], input_ids[:, 1:] != 0)


def probabilities_first(logits, input_ids, attention_mask):
    p = logits.softmax(-1)[:, :-1].gather(2, input_ids[:, 1:, None]).squeeze(2)
    kept = attention_mask[:, 1:] != 0
    return -p[kept].log().sum(), kept.sum()


def clamped(logits, input_ids, attention_mask):
    p = logits.softmax(-1)[:, :-1].gather(2, input_ids[:, 1:, None]).squeeze(2)
    kept = attention_mask[:, 1:] != 0
    return -(p[kept] + 1e-9).log().sum(), kept.sum()


def log_likelihood(logits, input_ids, attention_mask):
    total, asked = another(logits, input_ids, attention_mask)
    return -total, asked


def in_bits(logits, input_ids, attention_mask):
    total, asked = another(logits, input_ids, attention_mask)
    return total / 0.6931471805599453, asked


def mean_times_count(logits, input_ids, attention_mask):
    labels = input_ids.masked_fill(attention_mask == 0, -100)[:, 1:]
    asked = (labels != -100).sum()
    mean = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels)
    return mean * asked, asked


def four_rows(logits, input_ids, attention_mask):
    log_p = logits.log_softmax(-1)[:, :-1]
    picked = log_p[torch.arange(4)[:, None], torch.arange(8), input_ids[:, 1:]]
    return -(picked * attention_mask[:, 1:]).sum(), attention_mask[:, 1:].sum()


def rounded(logits, input_ids, attention_mask):
    total, asked = another(logits, input_ids, attention_mask)
    return round(total, 2), asked


def count_first(logits, input_ids, attention_mask):
    return another(logits, input_ids, attention_mask)[::-1]


def half_a_target(logits, input_ids, attention_mask):
    total, asked = another(logits, input_ids, attention_mask)
    return total, asked + 0.5


def last_real_token_left_out(logits, input_ids, attention_mask):
    shorter = attention_mask.clone()
    for row, length in enumerate(attention_mask.sum(1).tolist()):
        shorter[row, length - 1] = 0
    return another(logits, input_ids, shorter)


def with_numpy(logits, input_ids, attention_mask):
    x, ids = logits.double().numpy(), input_ids.numpy()
    kept = attention_mask.bool().numpy()[:, 1:]
    x = x - x.max(-1, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(-1, keepdims=True))
    picked = np.take_along_axis(log_p[:, :-1], ids[:, 1:, None], -1)[..., 0]
    return [-picked[kept].sum(), kept.sum()]


def row_by_row(logits, input_ids, attention_mask):
    total, asked = torch.zeros(()), 0
    for x, ids, mask in zip(logits, input_ids, attention_mask):
        ids = ids[mask.bool()]
        total = total + F.cross_entropy(x[: len(ids) - 1], ids[1:], reduction="sum")
        asked += len(ids) - 1
    return total, torch.tensor(float(asked))


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
    (padding_by_id, "id 0"),
    (probabilities_first, "log_softmax"),
    (clamped, "small number added"),
    (log_likelihood, "wrong sign"),
    (in_bits, "in bits"),
    (mean_times_count, "no targets at all"),
    (four_rows, "IndexError"),
    (rounded, "rounded"),
    (count_first, "the sum comes first"),
    (half_a_target, "targets came back, expected 19"),
    (last_real_token_left_out, "last real token"),
]

RIGHT = [with_numpy, row_by_row]

EQUIVALENT = {
    (
        "`F.cross_entropy(logits, labels, ignore_index=-100, reduction='sum')` "
        "-> `F.cross_entropy(logits, labels, reduction='sum')`"
    ): "-100 is the default of cross_entropy",
    "`int((labels != -100).sum())` -> `(labels != -100).sum()`": (
        "a number in a tensor is a number, and the task names no type"
    ),
}
