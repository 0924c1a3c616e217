"""Names of persons, places and organisations in Chinese newspaper sentences: entity F1
against the number of labelled sentences, four ways. Chapter 15's figure.

    python recipes/entities.py --choose          # settings, on the validation part
    python recipes/entities.py                   # about 80 minutes on one core
    python recipes/entities.py --methods zh-bert-mini --sizes 0 --epochs 3
                                                 # entities_3_epochs.json, an hour
    python recipes/entities.py --sizes 50 --seeds 0 --tests 100 --out runs/try.json

The ways: a dictionary of the names in the labelled sentences; a linear model over
windows of characters, with Viterbi (an averaged structured perceptron, Collins 2002);
zh-bert-mini with random weights; zh-bert-mini pretrained. All read the same characters
and are tested on the same sentences, none of which stands among the training ones. A
seed draws the labelled sentences, the new weights and the order. With all sentences
nothing is drawn, so a seed stands for weights and order alone.

For each test sentence the file keeps three counts (correct, predicted, actual names),
so that F1 and its interval can be computed again. Done cells are skipped, so the run
may be interrupted at any moment.
"""

import argparse
import math
import random
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from finetune import encoder_of
from grid import about, add, done, same_settings
from torch.nn.utils.rnn import pad_sequence

from ftlib.course import sources
from ftlib.objectives import classify, tagging
from ftlib.training import distributed, optim, train

TYPES = ("PER", "LOC", "ORG")
CLASSES = tagging.bio_classes(TYPES)
MODEL, TOKENS = "zh-bert-mini", 128
SIZES = (100, 320, 1000, 3200, 0)  # 0: all
METHODS = ("dictionary", "windows of characters", "scratch", "zh-bert-mini")
# chosen by --choose on 1,000 validation sentences with 1,000 labelled ones of seed 100,
# which no cell of the grid draws
SETTINGS = {
    "windows of characters": dict(epochs=20),
    "scratch": dict(lr=1e-3),
    "zh-bert-mini": dict(lr=1e-3),
}


def char_tags(text, spans):
    """One BIO tag for each character."""
    return tagging.tags_of_offsets([(i, i + 1) for i in range(len(text))], spans)


# --- a dictionary


class Dictionary:
    """Every name of the labelled sentences that is a name in at least half of the
    places where its characters stand; the longest fit wins, from left to right.
    """

    def __init__(self, texts, spans):
        kinds = defaultdict(Counter)
        for text, own in zip(texts, spans):
            for start, end, kind in own:
                kinds[text[start:end]][kind] += 1
        self.longest = max(map(len, kinds), default=1)
        seen = Counter()
        for text in texts:
            for i in range(len(text)):
                for n in range(1, self.longest + 1):
                    if i + n <= len(text) and text[i : i + n] in kinds:
                        seen[text[i : i + n]] += 1
        self.names = {
            name: count.most_common(1)[0][0]
            for name, count in kinds.items()
            if 2 * count.total() >= seen[name]
        }

    def __call__(self, text):
        spans, i = [], 0
        while i < len(text):
            for n in range(min(self.longest, len(text) - i), 0, -1):
                if kind := self.names.get(text[i : i + n]):
                    spans.append((i, i + n, kind))
                    i += n - 1
                    break
            i += 1
        return spans


# --- a linear model over windows of characters


def window_features(text):
    """For each character the characters around it, alone, in pairs and in threes."""
    c = ["^", "^", *text, "$", "$"]
    return [
        [
            *(f"{k}{c[i + k]}" for k in range(5)),
            *(f"p{k}{c[i + k]}{c[i + k + 1]}" for k in range(4)),
            f"q{c[i + 1]}{c[i + 3]}",
            *(f"t{k}{c[i + k]}{c[i + k + 1]}{c[i + k + 2]}" for k in range(3)),
        ]
        for i in range(len(text))
    ]


def forbidden():
    """(C, C): -inf where one tag may not follow another; and which may not begin."""
    rules = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.float32)
    for j, tag in enumerate(CLASSES):
        if tag[0] == "I":
            for i, before in enumerate(CLASSES):
                if before[1:] != tag[1:]:
                    rules[i, j] = -np.inf
    return rules, np.array([-np.inf if t[0] == "I" else 0 for t in CLASSES])


RULES, BEGIN = forbidden()


def viterbi(scores, moves):
    """The best valid sequence of classes for scores (T, C) and transitions (C, C)."""
    best, back = scores[0] + BEGIN, []
    for row in scores[1:]:
        paths = best[:, None] + moves
        back.append(paths.argmax(0))
        best = paths.max(0) + row
    path = [int(best.argmax())]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    return path[::-1]


class Perceptron:
    """Averaged structured perceptron: after a wrong sentence the features of the true
    tags gain 1 and those of the predicted tags lose 1; the mean of all weights counts.
    """

    def __init__(self, texts, spans, seed=0, epochs=10):
        self.ids = {}
        rows = [
            np.array(
                [
                    [self.ids.setdefault(f, len(self.ids)) for f in position]
                    for position in window_features(text)
                ]
            )
            for text in texts
        ]
        targets = [
            np.array(tagging.tag_ids(char_tags(t, s), CLASSES))
            for t, s in zip(texts, spans)
        ]
        shape = len(self.ids), len(CLASSES)
        weights, late = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        moves, late_moves = np.zeros_like(RULES), np.zeros_like(RULES)
        rng, order, step = random.Random(seed), list(range(len(texts))), 0
        for _ in range(epochs):
            rng.shuffle(order)
            for n in order:
                step += 1
                row, true = rows[n], targets[n]
                guess = np.array(viterbi(weights[row].sum(1), moves + RULES))
                wrong = np.flatnonzero(guess != true)
                if not len(wrong):
                    continue
                for sign, tags in ((1, true), (-1, guess)):
                    where = row[wrong], tags[wrong, None]
                    np.add.at(weights, where, sign)
                    np.add.at(late, where, sign * step)
                    np.add.at(moves, (tags[:-1], tags[1:]), sign)
                    np.add.at(late_moves, (tags[:-1], tags[1:]), sign * step)
        self.weights = weights - late / (step + 1)
        self.moves = moves - late_moves / (step + 1) + RULES

    def __call__(self, text):
        scores = np.stack(
            [
                self.weights[[self.ids[f] for f in position if f in self.ids]].sum(0)
                for position in window_features(text)
            ]
        )
        tags = [CLASSES[i] for i in viterbi(scores, self.moves)]
        return tagging.entity_spans(tags)


# --- an encoder


def encode(tokenizer, texts, spans=None):
    """(rows of ids, offsets, rows of labels or None) of texts, cut at TOKENS."""
    tokenizer.enable_truncation(TOKENS)
    encodings = tokenizer.encode_batch(texts)
    offsets = [e.offsets for e in encodings]
    labels = spans and [
        tagging.tag_ids(tagging.tags_of_offsets(o, s), CLASSES)
        for o, s in zip(offsets, spans)
    ]
    return [e.ids for e in encodings], offsets, labels


def token_batches(rows, labels, order):
    """Padded batches; labels with -100, which no loss counts."""
    for picked in order:
        batch = classify.pad([rows[r] for r in picked])
        own = [torch.tensor(labels[r]) for r in picked]
        yield batch | {"labels": pad_sequence(own, True, -100)}


def finetune(
    texts, spans, seed=0, lr=1e-3, scratch=False, ctx=None, size=16, least=300, epochs=0
):
    """A TokenClassifier and its tokenizer. `epochs` 0: 3 of them, 1 from 10,000
    sentences on, and at least so many steps.
    """
    torch.manual_seed(seed)  # the head's weights, and all of them from scratch
    encoder, tokenizer = encoder_of(MODEL, scratch)
    net = tagging.TokenClassifier(encoder, len(CLASSES))
    rows, _, labels = encode(tokenizer, texts, spans)
    per_epoch = math.ceil(len(rows) / size)
    chosen = 3 if len(rows) < 10_000 else 1
    epochs = epochs or max(chosen, math.ceil(least / per_epoch))
    lengths, total = [len(row) for row in rows], epochs * per_epoch
    order = [
        batch
        for epoch in range(epochs)
        for batch in classify.length_grouped(lengths, size, seed, epoch)
    ]
    run = train.steps(
        net,
        token_batches(rows, labels, order),
        tagging.token_classification_loss,
        optim.adamw(optim.parameter_groups(net, lr)),
        dtype=ctx and ctx.dtype,
        schedule=lambda step: optim.warmup_linear(step, total // 10, total),
    )
    for _ in run:
        pass
    return net, tokenizer


def predict(net, tokenizer, texts, ctx=None):
    """The names in each text, as spans of characters."""
    rows, offsets, _ = encode(tokenizer, texts)
    spans = [None] * len(texts)
    net.eval()
    for batch in classify.batches_of(rows, size=64):
        numbers = batch.pop("index").tolist()
        with (
            torch.inference_mode(),
            torch.autocast("cpu", ctx and ctx.dtype, enabled=bool(ctx and ctx.dtype)),
        ):
            classes = net(**batch).logits.argmax(-1).tolist()
        for number, row in zip(numbers, classes):
            own = offsets[number]
            tags = [None if a == b else CLASSES[c] for (a, b), c in zip(own, row)]
            spans[number] = tagging.character_spans(tags, own)
    return spans


# --- the grid


def drawn(pool, n, seed):
    """n sentences of the pool (all for 0); those of a small n begin those of a large
    one.
    """
    order = list(range(len(pool["text"])))
    random.Random(seed).shuffle(order)
    order = order[: n or None]
    return [pool["text"][i] for i in order], [pool["spans"][i] for i in order]


def answers(method, texts, spans, test_texts, seed, ctx, **settings):
    if method == "dictionary":
        return [*map(Dictionary(texts, spans), test_texts)]
    if method == "windows of characters":
        return [*map(Perceptron(texts, spans, seed, **settings), test_texts)]
    scratch = method == "scratch"
    net, tokenizer = finetune(texts, spans, seed, scratch=scratch, ctx=ctx, **settings)
    return predict(net, tokenizer, test_texts, ctx)


def counts(found, spans):
    """[[correct, predicted, actual], ...] of each sentence."""
    return [[len({*f} & {*s}), len(f), len(s)] for f, s in zip(found, spans)]


def f1(rows):
    correct, predicted, actual = map(sum, zip(*rows))
    return 2 * correct / max(predicted + actual, 1)


def choose(data, ctx):
    """Print F1 on validation sentences for each setting that is tried."""
    texts, spans = drawn(data["train"], 1000, 100)
    val_texts, val_spans = drawn(data["validation"], 1000, 100)
    tried = [("windows of characters", dict(epochs=e)) for e in (5, 10, 20)]
    tried += [
        (method, dict(lr=lr)) for method in METHODS[:1:-1] for lr in (5e-4, 1e-3, 2e-3)
    ]
    for method, settings in tried:
        start = time.time()
        found = answers(method, texts, spans, val_texts, 100, ctx, **settings)
        score = f1(counts(found, val_spans))
        print(
            method, settings, f"{score:.3f}", f"{time.time() - start:.0f} s", flush=True
        )


def main(a):
    torch.set_num_threads(1)
    data, ctx = sources.entities(), distributed.setup()
    if a.choose:
        return choose(data, ctx)
    test_texts, test_spans = drawn(data["test"], a.tests, 0)
    facts = about(ctx) | {
        "tests": len(test_texts),
        "train": len(data["train"]["text"]),
        "settings": SETTINGS,
    }
    if a.epochs:
        facts["epochs"] = a.epochs
    same_settings(a.out, facts, ["tests", "epochs"])
    for n in a.sizes:
        for seed in a.seeds if 0 < n < 3200 else a.seeds[:3]:
            for method in a.methods:
                if (method, n, seed) in done(a.out, "method", "n", "seed"):
                    continue
                start = time.time()
                texts, spans = drawn(data["train"], n, seed)
                settings = dict(SETTINGS.get(method, {}))
                if a.epochs and method != "dictionary":
                    settings["epochs"] = a.epochs
                found = answers(method, texts, spans, test_texts, seed, ctx, **settings)
                rows = counts(found, test_spans)
                cell = {
                    "method": method,
                    "n": n,
                    "seed": seed,
                    "f1": round(f1(rows), 5),
                }
                cell["seconds"] = round(time.time() - start)
                cell["counts"] = " ".join("/".join(map(str, row)) for row in rows)
                add(a.out, cell, facts, ["n", "method", "seed"])
                print(method, n, seed, cell["f1"], cell["seconds"], "s", flush=True)


def arguments():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--choose", action="store_true", help="try settings, store nothing")
    a.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    a.add_argument("--seeds", type=int, nargs="+", default=range(5))
    a.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    a.add_argument("--tests", type=int, default=2000)
    a.add_argument("--epochs", type=int, default=0, help="instead of those chosen")
    a.add_argument("--out", type=Path)
    a = a.parse_args()
    # cells of two lengths of training are never in one file
    name = f"entities_{a.epochs}_epochs.json" if a.epochs else "entities.json"
    a.out = a.out or Path("data/results", name)
    return a


if __name__ == "__main__":
    main(arguments())
