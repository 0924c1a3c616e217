"""Wrong unigram lines, and another right one."""

import math
from collections import Counter

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


WRONG = [
    (nothing_added, "infinite"),
    (in_bits, "bits"),
    (own_counts, "validation text itself"),
    (entropy_of_train, "entropy of the training text"),
    (over_vocabulary, "every token of the vocabulary counts once"),
    (uniform, "ln V"),
    (perplexity, "perplexity"),
]
