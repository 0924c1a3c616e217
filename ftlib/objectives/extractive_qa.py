"""Extractive question answering: windows over long texts, scores of start and end, the
best span or "no answer", exact match and F1.

Use it:

    >>> # 2 tokens of question, 5 of context, windows of 8 tokens that share 1
    >>> offsets = [(0, 3), (4, 7), (8, 10), (11, 15), (16, 22)]
    >>> made = answer_windows(
    ...     [7, 8],
    ...     [11, 12, 13, 14, 15],
    ...     offsets,
    ...     max_tokens=8,
    ...     stride=1,
    ...     cls_id=2,
    ...     sep_id=3,
    ... )
    >>> [window["input_ids"] for window in made]
    [[2, 7, 8, 3, 11, 12, 13, 3], [2, 7, 8, 3, 13, 14, 15, 3]]
    >>> # the answer is in characters 8 to 15, so only the second window has it
    >>> [answer_positions(window, 8, 15) for window in made]
    [(0, 0), (4, 5)]
    >>> exact_match("The Ang Lee.", ["Ang Lee"]), answer_f1("Lee", ["Ang Lee"])
    (1.0, 0.6666666666666666)

As in BERT (Devlin et al. 2019), position 0, [CLS], stands for "no answer". Labels
(B, 2) are the positions of the first and the last token of the answer, both inclusive.

What it is not: the encoder or the loop (train.py). Needs: torch only.

Shapes: B batch, T tokens, D width, W windows of one text.
"""

import re
import string
import unicodedata
from collections import Counter
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


class Output(NamedTuple):
    """Named as in transformers: `start_logits` and `end_logits`, (B, T)."""

    start_logits: torch.Tensor
    end_logits: torch.Tensor


class QuestionAnswering(nn.Module):
    """Encoder and one dense layer that gives each token two scores: (B, T) ids ->
    `Output.start_logits`, `Output.end_logits` (B, T).

    encoder: anything whose output has `.last_hidden_state`. `width` is read from its
        config if it has one.
    """

    def __init__(self, encoder, width=None):
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
        self.encoder, self.head = encoder, nn.Linear(width, 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids, attention_mask=None, **more) -> Output:
        hidden = self.encoder(
            input_ids, attention_mask=attention_mask, **more
        ).last_hidden_state
        return Output(*self.head(hidden).unbind(dim=-1))


def inputs_of(batch):
    """The entries of a batch that a model reads; labels and row numbers stay behind."""
    return {
        k: batch[k]
        for k in ("input_ids", "attention_mask", "token_type_ids")
        if k in batch
    }


def answer_loss(model, batch) -> torch.Tensor:
    """The SUM of the cross-entropies, in nats, of starts and ends over the labels
    (B, 2) that are not -100; divided by their number, the loss of transformers.

    model: a QuestionAnswering, or AutoModelForQuestionAnswering. All T positions
    compete, so a model learns that an answer lies neither in the question nor in the
    padding. Raises ValueError for labels of another shape, or beyond the last token.
    """
    output = model(**inputs_of(batch))
    logits = torch.stack([output.start_logits, output.end_logits], dim=1)  # (B, 2, T)
    labels, tokens = batch["labels"], logits.shape[-1]
    if labels.shape != logits.shape[:2] or labels.is_floating_point():
        raise ValueError(
            f"labels are {labels.dtype} {tuple(labels.shape)}, there are "
            f"{len(logits)} rows; give the positions of the first and the last token "
            f"of each answer, whole numbers ({len(logits)}, 2)"
        )
    wrong = (labels != -100) & ((labels < 0) | (labels >= tokens))
    if wrong.any():
        row, side = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"the answer of row {row} has the position {int(labels[row, side])}, the "
            f"row has 0 to {tokens - 1}; write 0 where the window lacks the answer"
        )
    return F.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten().long(), reduction="sum"
    )


# --- long texts


def answer_windows(
    question, context, offsets, max_tokens, cls_id, sep_id, stride=128
) -> list[dict]:
    """[CLS] question [SEP] context [SEP] in as many windows as the context needs.

    question, context: lists of ids without special tokens. offsets: (start, end) in
        characters of each token of the context. max_tokens: of a window, special tokens
        included. stride: tokens that neighbouring windows share, as the word is used in
        tokenizers (in BERT's own program doc_stride is the step). An answer of up to
        stride + 1 tokens is complete in one of them.
    Returns W dicts: "input_ids" and "token_type_ids" (1 for the context and its [SEP]),
    lists of ints, and "offsets", None where a token is not of the context.
    Raises ValueError for an empty context, offsets of another one, a question that
    leaves no space, and a stride as long as the space.
    """
    if len(context) != len(offsets) or not len(context):
        raise ValueError(
            f"the context has {len(context)} tokens and {len(offsets)} offsets; give "
            "one for each of its tokens, at least 1"
        )
    space = max_tokens - len(question) - 3
    if not 0 <= stride < space:
        raise ValueError(
            f"max_tokens is {max_tokens}, the question has {len(question)} tokens, so "
            f"{space} are left for the context and the stride is {stride}; shorten the "
            "question, or take a stride from 0 to less than what is left"
        )
    before = [cls_id, *question, sep_id]
    windows = []
    for start in range(0, len(context), space - stride):
        ids = [*context[start : start + space], sep_id]
        windows.append(
            {
                "input_ids": before + ids,
                "token_type_ids": [0] * len(before) + [1] * len(ids),
                "offsets": [
                    *[None] * len(before),
                    *offsets[start : start + space],
                    None,
                ],
            }
        )
        if start + space >= len(context):
            break
    return windows


def answer_positions(window, start, end) -> tuple[int, int]:
    """(first, last) token of the answer, both inclusive; (0, 0), "no answer", where the
    window does not hold all of it.

    window: of `answer_windows`. start, end: characters of the answer, end exclusive.
    Raises ValueError for an answer without a character or a token.
    """
    if not 0 <= start < end:
        raise ValueError(
            f"the answer reaches from {start} to {end}; give start < end in characters "
            "from 0, and (0, 0) as the label of a question without an answer"
        )
    tokens = [(i, span) for i, span in enumerate(window["offsets"]) if span is not None]
    if tokens[0][1][0] > start or tokens[-1][1][1] < end:
        return 0, 0
    own = [i for i, (first, behind) in tokens if first < end and behind > start]
    if not own:
        raise ValueError(
            f"characters {start} to {end} hold no token, only what the tokenizer "
            "drops; correct the answer"
        )
    return own[0], own[-1]


def window_batch(windows, labels=None, pad_id=0) -> dict[str, torch.Tensor]:
    """Windows -> "input_ids", "token_type_ids", "attention_mask" (B, T), padded to the
    longest, and "labels" (B, 2) if there are any.
    """
    if not windows or (labels is not None and len(labels) != len(windows)):
        raise ValueError(
            f"there are {len(windows)} windows and {len(labels or [])} labels; give "
            "(first, last) for each of at least 1 window"
        )
    longest = max(len(window["input_ids"]) for window in windows)
    batch = {}
    for name, fill in (("input_ids", pad_id), ("token_type_ids", 0)):
        rows = [w[name] + [fill] * (longest - len(w[name])) for w in windows]
        batch[name] = torch.tensor(rows)
    lengths = torch.tensor([[len(window["input_ids"])] for window in windows])
    batch["attention_mask"] = (torch.arange(longest) < lengths).long()
    if labels is not None:
        batch["labels"] = torch.tensor([[*pair] for pair in labels])
    return batch


# --- from scores to answers


class Span(NamedTuple):
    """Tokens `start` to `end`, both inclusive, the sum of their two scores, and the sum
    at position 0, "no answer".
    """

    start: int
    end: int
    score: float
    null_score: float


def best_span(start_logits, end_logits, allowed, max_answer_tokens=30) -> Span:
    """The span with the highest start + end score that is valid: inside of `allowed`,
    start not after end, at most max_answer_tokens long.

    start_logits, end_logits: (T,). allowed: T booleans, True for tokens of the context.
    The best start and the best end alone need not fit together. Raises ValueError for
    other shapes, NaN, a length below 1, and where position 0 or no position is allowed.
    """
    start, end = (torch.as_tensor(x).float() for x in (start_logits, end_logits))
    allowed = torch.as_tensor(allowed, device=start.device)
    if start.ndim != 1 or not start.shape == end.shape == allowed.shape:
        raise ValueError(
            f"start_logits are {tuple(start.shape)}, end_logits {tuple(end.shape)}, "
            f"allowed {tuple(allowed.shape)}; give T of each, one row at a time"
        )
    if max_answer_tokens < 1 or not allowed.any() or allowed[0]:
        raise ValueError(
            f"{int(allowed.sum())} positions are allowed, max_answer_tokens is "
            f"{max_answer_tokens}; allow 1 or more of the context, not position 0, and "
            "answers of 1 token or more"
        )
    if start.isnan().any() or end.isnan().any():
        raise ValueError("a score is NaN, which no span can be chosen by; look there")
    valid = torch.ones(len(start), len(start), dtype=torch.bool, device=start.device)
    valid = valid.triu() & ~valid.triu(max_answer_tokens)
    valid &= allowed[:, None] & allowed
    scores = (start[:, None] + end).masked_fill(~valid, float("-inf"))
    first, last = divmod(int(scores.argmax()), len(start))
    return Span(first, last, float(scores[first, last]), float(start[0] + end[0]))


class Answer(NamedTuple):
    """`text` is context[start:end]; "" with start = end = 0 for "no answer"."""

    text: str
    start: int
    end: int
    score: float
    null_score: float


def best_answer(
    context,
    windows,
    start_logits,
    end_logits,
    max_answer_tokens=30,
    null_threshold=0.0,
) -> Answer:
    """The best span over all windows of a text, mapped back to its characters.

    context: the text. windows: W of `answer_windows`. start_logits, end_logits: (W, T),
        padding on the right.
    null_threshold: there is no answer if the score of "no answer" is above that of the
        best span by more than this. Choose it on the validation set; inf always
        answers. "No answer" has its lowest score over the windows, as in BERT's own
        program: one window that is sure to hold an answer is enough.
    """
    if not len(windows) == len(start_logits) == len(end_logits) > 0:
        raise ValueError(
            f"there are {len(windows)} windows, {len(start_logits)} rows of start and "
            f"{len(end_logits)} of end scores; give the same windows, at least 1"
        )
    spans = []
    for window, start, end in zip(windows, start_logits, end_logits):
        allowed = [span is not None for span in window["offsets"]]
        n = len(allowed)  # what follows is padding
        spans.append(best_span(start[:n], end[:n], allowed, max_answer_tokens))
    null_score = min(span.null_score for span in spans)
    number = max(range(len(spans)), key=lambda i: spans[i].score)
    best, offsets = spans[number], windows[number]["offsets"]
    if null_score - best.score > null_threshold:
        return Answer("", 0, 0, best.score, null_score)
    first, behind = offsets[best.start][0], offsets[best.end][1]
    return Answer(context[first:behind], first, behind, best.score, null_score)


# --- exact match and F1

# Chinese and Japanese: they stand without spaces, so a character is a token
CJK = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")


def normalize_answer(text) -> str:
    """Lower case, without punctuation, the articles a, an, the, and double spaces: what
    SQuAD's official script compares (Rajpurkar et al. 2016).

    That script removes the punctuation of ASCII alone. A text with Chinese characters
    loses all that Unicode calls punctuation, and its characters are set apart by
    spaces, as scripts for Chinese do (CMRC 2018).
    """
    text = text.lower()
    is_cjk = CJK.search(text) is not None
    text = "".join(
        c
        for c in text
        if c not in string.punctuation
        and not (is_cjk and unicodedata.category(c).startswith("P"))
    )
    text = re.sub(r"\b(a|an|the)\b", " ", text)
    return " ".join(CJK.sub(r" \1 ", text).split())


def _best_over(score, predicted, answers):
    if isinstance(answers, str):
        raise TypeError(
            f"answers is the text {answers!r:.40}; give a list of all correct answers, "
            "[] for a question that has none"
        )
    predicted = normalize_answer(predicted)
    # no answer is the text "", as in the script for SQuAD 2.0
    known = [normalize_answer(answer) for answer in answers]
    known = [answer for answer in known if answer] or [""]
    return max(score(predicted, answer) for answer in known)


def exact_match(predicted, answers) -> float:
    """1.0 if the text is one of the correct answers after `normalize_answer`, else 0.0;
    the mean over questions is EM.

    predicted: a text, "" for "no answer". answers: all correct texts; none, or only
        empty ones, for a question that the context does not answer.
    """
    return _best_over(lambda one, other: float(one == other), predicted, answers)


def answer_f1(predicted, answers) -> float:
    """F1 of the words (in Chinese: the characters) that the text shares with a correct
    answer, the best over `answers`; arguments as in `exact_match`.

    Words are counted with repetitions, whatever their order. "No answer" shares all
    with itself and nothing with others.
    """
    return _best_over(_shared_words, predicted, answers)


def _shared_words(one, other):
    one, other = Counter(one.split()), Counter(other.split())
    if not one or not other:
        return float(one == other)
    return 2 * (one & other).total() / (one.total() + other.total())
