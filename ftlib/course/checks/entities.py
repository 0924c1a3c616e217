"""Checks of chapter 15: tags for tokens, F1 of entities, padded labels, the best valid
span, and an experiment on pretraining.

>>> from ftlib.course.checks.entities import check_first_token_tags
>>> check_first_token_tags(
...     lambda word_ids, tags: [
...         None if word is None else tags[word] for word in word_ids
...     ]
... )
hint: a token that continues a word has a tag; only the first token of a word gets one,
the others None

What it is not: a metric library (tagging.py and extractive_qa.py hold the functions).
Needs: torch, ftlib.
"""

import random

import torch

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import experiment
from ftlib.course.checks.numeric import close, is_rounded
from ftlib.objectives import extractive_qa, tagging

KINDS = ("PER", "LOC", "ORG")


def sentence(rng):
    """(word_ids, tags) of a random sentence with special tokens and padding."""
    words = rng.randint(1, 7)
    tags = [rng.choice(["O", "B-PER", "I-PER", "B-LOC"]) for _ in range(words)]
    ids = [None]
    for word in range(words):
        ids += [word] * rng.randint(1, 3)
    return ids + [None] * rng.randint(1, 3), tags


@exercise
def check_first_token_tags(answer):
    """answer(word_ids, tags) -> one tag a token, None where it has none."""
    rng = random.Random(0)
    fixed = ([None, 0, 1, 2, 2, None], ["B-PER", "I-PER", "B-LOC"])
    # truncated: the last word has no token; the same word number never returns
    truncated = ([None, 0, 0, 1, None], ["B-LOC", "O", "B-PER"])
    bare = ([0, 0, 1, 2], ["B-LOC", "I-LOC", "O"])
    for word_ids, tags in [fixed, truncated, bare, *(sentence(rng) for _ in range(40))]:
        got, wanted = answer(word_ids, tags), tagging.align_tags(word_ids, tags)
        expect(
            isinstance(got, (list, tuple)) and len(got) == len(word_ids),
            f"return a list of one entry a token: {len(word_ids)} for {word_ids}",
        )
        got = list(got)
        for token, word in enumerate(word_ids):
            expect(
                word is not None or got[token] is None,
                f"token {token} of {word_ids} belongs to no word and has "
                f"{got[token]!r}; it gets None",
            )
            expect(
                wanted[token] is None or got[token] is not None,
                f"token {token} of {word_ids} is the first of its word and has None; "
                "the first token gets the word's tag",
            )
        for token in range(len(word_ids)):
            expect(
                wanted[token] is not None or got[token] is None,
                "a token that continues a word has a tag; only the first token of a "
                "word gets one, the others None",
            )
        expect(got == wanted, f"{word_ids} with {tags} gives {got}, not {wanted}")
    return correct("each word is tagged once, at its first token")


def found_names(rng, sentences):
    """Random spans of each sentence; those of two calls share some."""
    return [
        [
            (start, start + rng.randint(1, 2), rng.choice(KINDS[:2]))
            for start in sorted(rng.sample(range(0, 12, 3), rng.randint(0, 3)))
        ]
        for _ in range(sentences)
    ]


def f1_of(actual, predicted):
    correct_ones = sum(len({*a} & {*p}) for a, p in zip(actual, predicted))
    claimed = sum(map(len, predicted)) + sum(map(len, actual))
    return 2 * correct_ones / claimed if claimed else 0.0


def wrong_f1(actual, predicted):
    """[(a wrong value, its hint)]."""
    pairs = list(zip(actual, predicted))
    hits = sum(len({*a} & {*p}) for a, p in pairs)
    each = [f1_of([a], [p]) for a, p in pairs]
    together = [{s for row in rows for s in row} for rows in (actual, predicted)]
    ends = [[[s[:2] for s in row] for row in rows] for rows in (actual, predicted)]
    return [
        (
            hits / max(1, sum(map(len, predicted))),
            "this is precision; F1 asks as well how many of the actual ones are found",
        ),
        (
            hits / max(1, sum(map(len, actual))),
            "this is recall; F1 asks as well how many of the predicted ones are "
            "correct",
        ),
        (
            sum(each) / len(each),
            "this is a mean over sentences; count over all sentences, then compute F1 "
            "once",
        ),
        (
            2 * len(together[0] & together[1]) / max(1, sum(map(len, together))),
            "spans of different sentences are mixed; (0, 2) of one sentence is not "
            "(0, 2) of another",
        ),
        (f1_of(*ends), "the type is not compared; a place is no person"),
    ]


@exercise
def check_entity_f1(answer):
    """answer(actual, predicted) -> F1; both lists of sentences, each a list of
    (start, end, type).
    """
    rng = random.Random(1)
    fixed = (
        [[(0, 2, "PER"), (3, 4, "LOC")], [(0, 2, "PER")], []],
        [[(0, 2, "PER"), (3, 5, "LOC")], [(0, 2, "LOC")], [(0, 2, "PER")]],
    )
    cases = [fixed, *((found_names(rng, 6), found_names(rng, 6)) for _ in range(30))]
    for actual, predicted in cases:
        got, wanted = float(answer(actual, predicted)), f1_of(actual, predicted)
        for value, words in wrong_f1(actual, predicted):
            expect(close(got, wanted) or not close(got, value), words)
        expect(not is_rounded(got, wanted), "F1 is rounded; return it as it is")
        expect(close(got, wanted), f"F1 is {got:.6f}, expected {wanted:.6f}")
    for actual, predicted in (([[]], [[]]), ([[(0, 1, "PER")]], [[]])):
        expect(
            float(answer(actual, predicted)) == 0,
            "where nothing is correct F1 counts as 0, also where nothing is there",
        )
    return correct("whole names are counted, over all sentences")


@exercise
def check_padded_labels(answer):
    """answer(rows) -> LongTensor (B, T), padded so that no loss counts the padding."""
    draw = random.Random(2)
    drawn = [
        [[draw.randint(-1, 6) for _ in range(draw.randint(1, 5))] for _ in range(4)]
        for _ in range(20)
    ]
    drawn = [[[-100 if x < 0 else x for x in row] for row in rows] for rows in drawn]
    for rows in ([[1, 2, 0], [3]], [[4], [0, 5, 6, 1]], [[2]], *drawn):
        got = answer(rows)
        longest = max(map(len, rows))
        expect(torch.is_tensor(got), "return a tensor, which a batch can hold")
        expect(
            got.shape == (len(rows), longest),
            f"the shape is {tuple(got.shape)}, expected {(len(rows), longest)}: as "
            "long as the longest row",
        )
        expect(
            got.dtype == torch.long,
            f"the labels are {got.dtype}; class numbers are whole, torch.long",
        )
        for row, own in zip(got.tolist(), rows):
            expect(
                row[: len(own)] == own,
                f"the labels {own} became {row[: len(own)]}; keep them, -100 too",
            )
            expect(
                all(x == -100 for x in row[len(own) :]),
                f"the padding has {row[len(own) :]}; 0 is the class O, and only -100 "
                "is left out of the loss",
            )
    return correct("padding is -100, and no loss will count it")


@exercise
def check_best_valid_span(answer):
    """answer(start, end, longest) -> (first, last), the best valid span of tokens."""
    draw = torch.Generator().manual_seed(3)
    fixed = (torch.tensor([0.0, 1.0, 5.0, 0.0]), torch.tensor([0.0, 4.0, 1.0, 3.0]), 4)
    cases = [
        (
            torch.randn(n, generator=draw) - away,
            torch.randn(n, generator=draw) - away,
            longest,
        )
        for n in (1, 2, 5, 8)
        for longest in (1, 2, 3, 20)
        for away in (0, 10)
    ] * 2
    for start, end, longest in [fixed, *cases]:
        got = tuple(int(x) for x in answer(start, end, longest))
        expect(len(got) == 2, "return two positions: (first, last)")
        first, last = got
        expect(first <= last, f"the span {got} ends before it starts")
        expect(
            last - first < longest,
            f"the span {got} has {last - first + 1} tokens, at most {longest} are "
            "allowed",
        )
        # position 0 is an ordinary token here
        pad = torch.tensor([-1e6])
        allowed = torch.tensor([False] + [True] * len(start))
        best = extractive_qa.best_span(
            torch.cat([pad, start]), torch.cat([pad, end]), allowed, longest
        )
        wanted = (best.start - 1, best.end - 1)
        expect(
            got == wanted,
            f"the span {got} has the score {float(start[first] + end[last]):.3f}, and "
            f"{wanted} has {best.score:.3f}; try every pair of a first and a last",
        )
    return correct("the best pair that fits together")


@exercise
def check_pretraining(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(pretrained, seed) is an F1.
    """
    return experiment(answer, "pretrained minus scratch")
