"""Wrong unigram lines, and another right one."""

import math
from collections import Counter

import numpy as np
import torch


def another(train_ids, held_out_ids, vocab_size):
    counts = Counter(train_ids.flatten().tolist())
    total = sum(counts.values()) + vocab_size
    held = held_out_ids.flatten().tolist()
    return sum(-math.log((counts[i] + 1) / total) for i in held) / len(held)


def _line(counts, held):
    return float(-(counts / counts.sum()).log()[held.flatten()].mean())


def _counts(ids, vocab_size):
    return torch.bincount(ids.flatten(), minlength=vocab_size).double()


def nothing_added(train_ids, held_out_ids, vocab_size):
    return _line(_counts(train_ids, vocab_size), held_out_ids)


def in_bits(train_ids, held_out_ids, vocab_size):
    return another(train_ids, held_out_ids, vocab_size) / math.log(2)


def own_counts(train_ids, held_out_ids, vocab_size):
    return _line(_counts(held_out_ids, vocab_size) + 1, held_out_ids)


def entropy_of_train(train_ids, held_out_ids, vocab_size):
    p = (_counts(train_ids, vocab_size) + 1) / (train_ids.numel() + vocab_size)
    return float(-(p * p.log()).sum())


def over_vocabulary(train_ids, held_out_ids, vocab_size):
    p = (_counts(train_ids, vocab_size) + 1) / (train_ids.numel() + vocab_size)
    return float(-p.log().mean())


def uniform(train_ids, held_out_ids, vocab_size):
    return math.log(vocab_size)


def perplexity(train_ids, held_out_ids, vocab_size):
    return math.exp(another(train_ids, held_out_ids, vocab_size))


def unseen_alone(train_ids, held_out_ids, vocab_size):
    return _line(_counts(train_ids, vocab_size).clamp(min=1), held_out_ids)


def not_in_the_sum(train_ids, held_out_ids, vocab_size):
    counts = _counts(train_ids, vocab_size)
    return float(-((counts + 1) / counts.sum()).log()[held_out_ids.flatten()].mean())


def one_in_the_sum(train_ids, held_out_ids, vocab_size):
    counts = _counts(train_ids, vocab_size)
    return float(
        -((counts + 1) / (counts.sum() + 1)).log()[held_out_ids.flatten()].mean()
    )


def rounded(train_ids, held_out_ids, vocab_size):
    return round(another(train_ids, held_out_ids, vocab_size), 3)


def each_kind_once(train_ids, held_out_ids, vocab_size):
    return another(train_ids, held_out_ids.unique(), vocab_size)


def a_sum(train_ids, held_out_ids, vocab_size):
    return another(train_ids, held_out_ids, vocab_size) * held_out_ids.numel()


def rows_alone(train_ids, held_out_ids, vocab_size):
    lines = [another(train_ids, row, vocab_size) for row in held_out_ids]
    return sum(lines) / len(lines) if held_out_ids.dim() == 2 else lines[0]


def ids_of_training(train_ids, held_out_ids, vocab_size):
    return another(train_ids, held_out_ids, max(45, int(train_ids.max()) + 1))


def one_count_for_all(train_ids, held_out_ids, vocab_size):
    kinds = len(torch.cat([train_ids.flatten(), held_out_ids.flatten()]).unique())
    return another(train_ids, held_out_ids, kinds)


def both_texts(train_ids, held_out_ids, vocab_size):
    everything = torch.cat([train_ids.flatten(), held_out_ids.flatten()])
    return another(everything, held_out_ids, vocab_size)


def half_added(train_ids, held_out_ids, vocab_size):
    return _line(_counts(train_ids, vocab_size) + 0.5, held_out_ids)


def with_numpy(train_ids, held_out_ids, vocab_size):
    counts = np.bincount(train_ids.numpy().ravel(), minlength=vocab_size) + 1
    p = (counts / counts.sum()).astype(np.float32)
    return -np.log(p[held_out_ids.numpy().ravel()]).mean()


def cross_entropy(train_ids, held_out_ids, vocab_size):
    log_counts = (_counts(train_ids, vocab_size) + 1).log().float()
    held = held_out_ids.reshape(-1)
    return torch.nn.functional.cross_entropy(
        log_counts.expand(len(held), vocab_size), held
    )


WRONG = [
    (nothing_added, "infinite"),
    (in_bits, "bits"),
    (own_counts, "validation text itself"),
    (entropy_of_train, "entropy of the training text"),
    (over_vocabulary, "every token of the vocabulary counts once"),
    (uniform, "ln V"),
    (perplexity, "perplexity"),
    (unseen_alone, "raised to 1"),
    (not_in_the_sum, "all tokens grows by 0"),
    (one_in_the_sum, "grows by 1"),
    (rounded, "rounded"),
    (each_kind_once, "each kind of token once"),
    (a_sum, "this is the sum"),
    (rows_alone, "validation ids of shape (5, 2, 20)"),
    (ids_of_training, "for a vocabulary of 60"),
    (one_count_for_all, "that occur"),
    (both_texts, "both texts"),
    (half_added, "0.5 is added"),
]

RIGHT = [with_numpy, cross_entropy]

EQUIVALENT = {
    (
        "`torch.bincount(train_ids.flatten(), minlength=vocab_size).double()` -> "
        "`torch.bincount(train_ids.flatten(), minlength=vocab_size)`"
    ): "float32 is exact enough here, and the task names no dtype",
    "`held_out_ids.flatten()` -> `held_out_ids`": (
        "indexing takes ids of any shape, and the mean is over all"
    ),
}
