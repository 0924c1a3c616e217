"""Token classification: BIO tags aligned with subword tokens, entities read from them,
their precision, recall and F1, and a head with its loss.

Use it:

    >>> # "Ang Lee left Taipei": the tokenizer made two tokens of Taipei
    >>> word_ids = [None, 0, 1, 2, 3, 3, None]
    >>> tags = align_tags(word_ids, ["B-PER", "I-PER", "O", "B-LOC"])
    >>> tags
    [None, 'B-PER', 'I-PER', 'O', 'B-LOC', None, None]
    >>> tag_ids(tags, bio_classes(["PER", "LOC"]))
    [-100, 1, 2, 0, 3, -100, -100]
    >>> entity_spans(["B-PER", "I-PER", "O", "B-LOC"])
    [(0, 2, 'PER'), (3, 4, 'LOC')]
    >>> # an entity counts if its two ends and its type are correct
    >>> span_scores([["B-PER", "I-PER", "O"]], [["B-PER", "O", "B-LOC"]]).f1
    0.0

A tag is "O" outside of entities, "B-TYPE" at the first token of one and "I-TYPE" at the
others (Ramshaw & Marcus 1995; IOB2 in seqeval). Ends of spans are exclusive, as in
Python's slices. None marks a position without a tag, whose label is -100.

What it is not: the encoder or the loop (train.py); nested entities, for which a token
needs several tags. Needs: torch only.

Shapes: B batch, T tokens, D width, C classes.
"""

from collections import Counter
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


def bio_classes(types) -> list[str]:
    """["O", "B-PER", "I-PER", ...]: the classes of a head for these types of entity, in
    the order of their ids.
    """
    if isinstance(types, str) or len({*types}) != len(types) or not types:
        raise ValueError(
            f"types are {types!r:.60}; give a list of different names, ['PER', 'LOC']"
        )
    return ["O", *(f"{mark}-{kind}" for kind in types for mark in "BI")]


def _split(tag, position):
    """(mark, type) of a tag; the type of "O" is None. ValueError for what is none."""
    mark, _, kind = tag.partition("-") if isinstance(tag, str) else ("", "", "")
    if tag == "O":
        return "O", None
    if mark not in ("B", "I") or not kind:
        raise ValueError(
            f"tag {position} is {tag!r:.40}, BIO has 'O', 'B-TYPE' and 'I-TYPE'; "
            "convert other schemes, and leave out positions without a tag"
        )
    return mark, kind


def _word_numbers(word_ids, words):
    """Yield (token, word, whether it is the word's first) of every token of a word."""
    before = None
    for token, word in enumerate(word_ids):
        if word is not None:
            if not 0 <= word < words:
                raise ValueError(
                    f"token {token} belongs to word {word}, there are {words} tags; "
                    "give one tag a word, and the word_ids of the same sentence"
                )
            yield token, word, word != before
        before = word


def align_tags(word_ids, tags, every_token=False) -> list[str | None]:
    """The tags of words -> the tags of their tokens, None where a token has none.

    word_ids: for each token the number of its word, None for special tokens and
        padding, as `encoding.word_ids` of a fast tokenizer says. tags: one a word.
    every_token: False tags the first token of a word, as BERT (Devlin et al. 2019): a
        word is one decision. True tags all of them, B- continued by I-, or one word
        would become several entities. Words that truncation cut off have no token.
    Raises ValueError for a word without a tag, or a tag that is not BIO.
    """
    kinds = [_split(tag, position)[1] for position, tag in enumerate(tags)]
    aligned = [None] * len(word_ids)
    for token, word, first in _word_numbers(word_ids, len(tags)):
        if first:
            aligned[token] = tags[word]
        elif every_token:
            aligned[token] = "O" if kinds[word] is None else f"I-{kinds[word]}"
    return aligned


def word_tags(word_ids, tags, words) -> list[str]:
    """The tags predicted for tokens -> one tag a word, that of its first token. Undoes
    `align_tags`; a word that truncation cut off is "O", and so found by nobody.

    word_ids, tags: one a token. words: how many words the sentence has.
    """
    if len(word_ids) != len(tags):
        raise ValueError(
            f"there are {len(word_ids)} word_ids and {len(tags)} tags; give one of "
            "each a token"
        )
    result = ["O"] * words
    for token, word, first in _word_numbers(word_ids, words):
        if first:
            result[word] = tags[token]
    return result


def tags_of_offsets(offsets, spans) -> list[str | None]:
    """Entities as character spans -> a tag for each token; None for special tokens,
    whose offsets are empty.

    offsets: (start, end) of each token in the text, from the tokenizer. spans: (start,
        end, type) of each entity, in characters.
    A token belongs to an entity if it has one of its characters. So an end inside of a
    token moves to the end of that token. Spans after the last token, which truncation
    cut off, are left out.
    Raises ValueError for an empty span, one that lies between tokens, and two that
    share a token: nested entities, or a tokenizer that is too coarse.
    """
    tags = [None if start == end else "O" for start, end in offsets]
    last = max((end for _, end in offsets), default=0)
    for start, end, kind in sorted(spans):
        if not 0 <= start < end:
            raise ValueError(
                f"the span {(start, end, kind)} holds no character; give start < end, "
                "counted from 0"
            )
        tokens = [
            i
            for i, (first, behind) in enumerate(offsets)
            if first < behind and first < end and behind > start
        ]
        if not tokens and start < last:
            raise ValueError(
                f"the span {(start, end, kind)} holds no token, only what the "
                "tokenizer drops; correct the span"
            )
        for i in tokens:
            if tags[i] != "O":
                raise ValueError(
                    f"the span {(start, end, kind)} shares token {i} with another, and "
                    "a token has one tag; keep the longer span, or a finer tokenizer"
                )
            tags[i] = f"B-{kind}" if i == tokens[0] else f"I-{kind}"
    return tags


def tag_ids(tags, classes) -> list[int]:
    """Tags -> class ids; None -> -100, which no loss counts.

    classes: list of all tags, see `bio_classes`. Raises ValueError for an unknown tag.
    """
    ids = {tag: number for number, tag in enumerate(classes)}
    unknown = [tag for tag in tags if tag is not None and tag not in ids]
    if unknown:
        raise ValueError(
            f"tag {unknown[0]!r:.40} is none of the {len(ids)} classes, {classes[:5]} "
            "...; add its type to the classes"
        )
    return [-100 if tag is None else ids[tag] for tag in tags]


def repair_bio(tags) -> list[str]:
    """The same entities in valid BIO: an I- that continues nothing, at the start, after
    "O" or after another type, becomes B-.

    A model that tags each token alone writes such tags. conlleval and seqeval read them
    in this way.
    """
    repaired, before = [], None
    for position, tag in enumerate(tags):
        mark, kind = _split(tag, position)
        repaired.append(f"B-{kind}" if mark == "I" and kind != before else tag)
        before = kind
    return repaired


def entity_spans(tags, strict=False) -> list[tuple[int, int, str]]:
    """(start, end, type) of each entity, in order; end is exclusive.

    tags: one a token (or word). strict: False repairs the tags first, as conlleval and
    seqeval do unless told otherwise. True takes only what begins with B-, and an I- of
    another type ends the entity; seqeval calls it mode="strict", scheme=IOB2.
    """
    spans, start, before = [], None, None
    for position, tag in enumerate([*(tags if strict else repair_bio(tags)), "O"]):
        mark, kind = _split(tag, position)
        if start is not None and (mark != "I" or kind != before):
            spans.append((start, position, before))
            start = None
        if mark == "B":
            start, before = position, kind
    return spans


def character_spans(tags, offsets, strict=False) -> list[tuple[int, int, str]]:
    """(start, end, type) of each entity in characters of the text; undoes
    `tags_of_offsets` where spans begin and end with tokens.

    tags, offsets: one a token, special tokens (None) included.
    """
    if len(tags) != len(offsets):
        raise ValueError(
            f"there are {len(tags)} tags and {len(offsets)} offsets; give one of each "
            "a token"
        )
    kept = [i for i, tag in enumerate(tags) if tag is not None]
    return [
        (offsets[kept[start]][0], offsets[kept[end - 1]][1], kind)
        for start, end, kind in entity_spans([tags[i] for i in kept], strict)
    ]


class SpanScores(NamedTuple):
    """precision = correct / predicted, recall = correct / actual, f1 their harmonic
    mean (0 / 0 counts as 0); and the three counts of entities.
    """

    precision: float
    recall: float
    f1: float
    correct: int
    predicted: int
    actual: int


def _scores(correct, predicted, actual):
    return SpanScores(
        correct / max(predicted, 1),
        correct / max(actual, 1),
        2 * correct / max(predicted + actual, 1),
        correct,
        predicted,
        actual,
    )


def span_scores_by_type(actual, predicted, strict=False) -> dict[str, SpanScores]:
    """type -> its SpanScores, sorted by type; arguments as in `span_scores`."""
    if len(actual) != len(predicted):
        raise ValueError(
            f"there are {len(actual)} actual and {len(predicted)} predicted sentences; "
            "give the tags of the same sentences"
        )
    counts = [Counter(), Counter(), Counter()]
    for row, (a, p) in enumerate(zip(actual, predicted)):
        if isinstance(a, str) or isinstance(p, str) or len(a) != len(p):
            raise ValueError(
                f"sentence {row} has {len(a)} actual and {len(p)} predicted tags; give "
                "a list of tags a sentence, one a word"
            )
        a, p = {*entity_spans(a, strict)}, {*entity_spans(p, strict)}
        for count, spans in zip(counts, (a & p, p, a)):
            count.update(kind for _, _, kind in spans)
    correct, claimed, known = counts
    return {
        kind: _scores(correct[kind], claimed[kind], known[kind])
        for kind in sorted(claimed | known)
    }


def span_scores(actual, predicted, strict=False) -> SpanScores:
    """Precision, recall and F1 of whole entities over all sentences (micro average), as
    conlleval (Tjong Kim Sang & De Meulder 2003) and seqeval count them.

    actual, predicted: lists of sentences, each a list of tags, one a word. An entity is
        correct if start, end and type are; half of one is worth nothing. strict: see
        `entity_spans`.
    Accuracy of tags would be near 1 for a model that finds nothing: most are "O".
    Raises ValueError where sentences do not belong together, or for tags not in BIO.
    """
    rows = span_scores_by_type(actual, predicted, strict).values()
    return _scores(*(sum(row[i] for row in rows) for i in (3, 4, 5)))


class Output(NamedTuple):
    """Named as in transformers: `last_hidden_state` (B, T, D), `logits` (B, T, C)."""

    last_hidden_state: torch.Tensor
    logits: torch.Tensor


class TokenClassifier(nn.Module):
    """Encoder, dropout and one new dense layer for every token: (B, T) ids ->
    `Output.logits` (B, T, C).

    encoder: anything whose output has `.last_hidden_state`. `width` is read from its
        config if it has one.
    """

    def __init__(self, encoder, classes, dropout=0.1, width=None):
        super().__init__()
        config = getattr(encoder, "config", None)
        # transformers says hidden_size, ftlib says width
        width = (
            width
            or getattr(config, "hidden_size", None)
            or getattr(config, "width", None)
        )
        if width is None:
            raise ValueError(
                "width is None and the encoder has no config to read it "
                "from; pass width="
            )
        self.encoder = encoder
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(width, classes)
        # small: the first predictions should be undecided
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids, attention_mask=None, **more) -> Output:
        hidden = self.encoder(
            input_ids, attention_mask=attention_mask, **more
        ).last_hidden_state
        return Output(hidden, self.head(self.dropout(hidden)))


def inputs_of(batch):
    """The entries of a batch that a model reads; labels and row numbers stay behind."""
    return {
        k: batch[k]
        for k in ("input_ids", "attention_mask", "token_type_ids")
        if k in batch
    }


def token_classification_loss(model, batch) -> torch.Tensor:
    """The SUM of the cross-entropies, in nats, over the labels (B, T) that are not
    -100; divided by their number, the loss of transformers.

    model: a TokenClassifier, or AutoModelForTokenClassification. Raises ValueError for
    labels of another shape, and for a label that is no class of the head.
    """
    logits = model(**inputs_of(batch)).logits  # (B, T, C)
    labels, classes = batch["labels"], logits.shape[-1]
    if labels.shape != logits.shape[:2] or labels.is_floating_point():
        raise ValueError(
            f"labels are {labels.dtype} {tuple(labels.shape)}, there are "
            f"{tuple(logits.shape[:2])} tokens; give a class id or -100 for each, and "
            "pad labels with -100 where input_ids are padded"
        )
    wrong = (labels != -100) & ((labels < 0) | (labels >= classes))
    if wrong.any():
        row, token = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"token {token} of row {row} has label {int(labels[row, token])}, the head "
            f"has the classes 0 to {classes - 1}; number them by bio_classes"
        )
    return F.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten().long(), reduction="sum"
    )
