"""Checks of chapter 16: what the decoder reads, positions that know the answer, BLEU,
beam search on a small table, and an experiment on beams.

>>> from ftlib.course.checks.translation import check_start_and_shift
>>> check_start_and_shift(lambda labels, bos_id, pad_id: labels)
hint: row 0 begins with 11; the decoder's first input is the start token, 2

What it is not: a metric library (ftlib/evaluation/translation.py holds the functions).
Needs: torch, ftlib.
"""

import math
import random
from collections import Counter

import torch

from ftlib.course.checks import correct, exercise, expect, forbid
from ftlib.course.checks.classification import experiment
from ftlib.course.checks.numeric import close, is_rounded


def drawn_labels(draw, bos_id):
    """(B, T) labels that end with 3, then -100."""
    rows, longest = draw.randint(1, 4), draw.randint(1, 6)
    labels = torch.full((rows, longest), -100)
    for row in labels:
        n = draw.randint(1, longest)
        ids = [draw.randint(10, 20) for _ in range(n - 1)] + [3]
        row[:n] = torch.tensor(ids)
    labels[0, -1] = 3 if labels[0, -1] == -100 else labels[0, -1]
    return labels


@exercise
def check_start_and_shift(answer):
    """answer(labels, bos_id, pad_id) -> decoder_input_ids, both (B, T)."""
    draw = random.Random(0)
    fixed = torch.tensor([[11, 12, 3], [13, 3, -100]])
    for bos, pad, labels in [
        (2, 0, fixed),
        (2, 0, torch.tensor([[3]])),
        *(
            (bos, pad, drawn_labels(draw, bos))
            for bos, pad in ((2, 0), (5, 1), (0, 0), (7, 9))
            for _ in range(8)
        ),
    ]:
        got = answer(labels, bos, pad)
        expect(torch.is_tensor(got), "return a tensor of token ids")
        expect(
            got.shape == labels.shape,
            f"the shape is {tuple(got.shape)}, expected {tuple(labels.shape)}: one "
            "input for each label, so the last label is read by nobody",
        )
        expect(
            got.dtype == torch.long, f"the ids are {got.dtype}, they must be torch.long"
        )
        for number, (row, own) in enumerate(zip(got.tolist(), labels.tolist())):
            expect(
                row[0] == bos,
                f"row {number} begins with {row[0]}; the decoder's first input is the "
                f"start token, {bos}",
            )
            expect(
                -100 not in row,
                "-100 is no token and has no embedding; where a label is ignored the "
                f"decoder reads padding, {pad}",
            )
            wanted = [bos] + [pad if x == -100 else x for x in own[:-1]]
            left = [bos] + [pad if x == -100 else x for x in own[1:]]
            expect(
                row == wanted or row != left,
                f"the labels {own} moved to the left; an input is the label before",
            )
            expect(row == wanted, f"{own} gives {row}, expected {wanted}")
    return correct("every position reads the labels before its own, and not its own")


# --- which positions know their answer


def network(leak, vocab=12, width=8, seed=0):
    """labels (T,) -> logits (T, V) of a random model that may read too much.

    leak: how far ahead a position sees; 0 is correct, 1 its own label, None all. A set:
        the positions that see their own label.
    """
    draw = torch.Generator().manual_seed(seed)
    table = torch.randn(vocab, width, generator=draw, dtype=torch.float64)
    head = torch.randn(width, vocab, generator=draw, dtype=torch.float64)

    def logits_of(labels):
        rows = []
        for t in range(len(labels)):
            ahead = leak if not isinstance(leak, set) else int(t in leak)
            last = len(labels) if ahead is None else min(len(labels), t + ahead)
            seen = table[labels[:last]]
            weights = torch.arange(1, last + 1, dtype=torch.float64)
            mixed = (seen * weights[:, None].cos()).sum(0)
            rows.append(torch.tanh(mixed) @ head)
        return torch.stack(rows)

    return logits_of


def knowing(leak, length):
    """The positions that the network's outputs depend on labels from themselves on."""
    if isinstance(leak, set):
        return sorted(leak)
    return list(range(length)) if leak is None or leak > 0 else []


@exercise
def check_leaky_positions(answer):
    """answer(logits_of, labels, vocab) -> sorted positions whose logits change when
    labels from there on change.
    """
    draw = torch.Generator().manual_seed(0)
    for seed, leak in enumerate((0, 1, {2}, {0, 3}, None, 2, {4}, 0, {1, 2, 3}, {0})):
        for length in (5, 7):
            labels = torch.randint(12, (length,), generator=draw)
            wanted = knowing(leak, length)
            calls = []

            def recorded(ids, network_of=network(leak, seed=seed), calls=calls):
                calls.append(ids)
                expect(
                    torch.is_tensor(ids) and ids.shape == labels.shape,
                    f"call logits_of with labels of the same length, {length}",
                )
                expect(
                    bool(((ids >= 0) & (ids < 12)).all()),
                    "a changed label must be a token of the vocabulary, 0 to 11",
                )
                return network_of(ids)

            got = answer(recorded, labels, 12)
            expect(isinstance(got, (list, tuple)), "return a list of position numbers")
            got = [int(t) for t in got]
            expect(
                calls != [],
                "call logits_of: whether a model looks ahead shows in its outputs",
            )
            missed = sorted(set(wanted) - set(got))
            extra = sorted(set(got) - set(wanted))
            tries = sum(not torch.equal(ids, labels) for ids in calls)
            expect(
                tries > 0 or got == wanted,
                "logits_of is never called with changed labels; only a change shows "
                "who looks ahead",
            )
            once = tries == 1
            expect(
                not (extra and once),
                "all labels are changed at once, so nobody can tell which change was "
                "seen; test one position after another",
            )
            expect(
                not (missed and once),
                "one change is tried for all positions; test one after another",
            )
            expect(
                not extra,
                f"position {extra[:1]} is named and uses the labels before it alone; "
                "change no label before the position that you test",
            )
            expect(
                not missed,
                f"position {missed[:1]} sees a label that it has to predict, and is "
                "not named; change its own label and those behind it",
            )
            expect(got == wanted, f"{got} are the positions, in order: {wanted}")
    return correct("who sees the answer is found, whatever the model is made of")


# --- BLEU


def sentences(draw, count):
    """(hypotheses, references): lists of token lists that have much in common."""
    references = [
        [draw.choice("abcdef") for _ in range(draw.randint(4, 12))]
        for _ in range(count)
    ]
    hypotheses = []
    for reference in references:
        mine = [draw.choice("abcdef") if draw.random() < 0.2 else t for t in reference]
        dropped = draw.choice([0, 0, 1, 2, -1, -2])
        mine = (
            mine[: len(mine) - dropped] if dropped > 0 else mine + mine[:1] * -dropped
        )
        hypotheses.append(mine)
    return hypotheses, references


def runs_of(tokens, n):
    """Counter of the runs of n tokens."""
    return Counter(zip(*(tokens[i:] for i in range(n))))


def bleu_sums(hypotheses, references, clip=True):
    """[matches], [totals] of 1 to 4 tokens, hypothesis and reference length."""
    matches, totals = [], []
    for n in range(1, 5):
        pairs = [(runs_of(h, n), runs_of(r, n)) for h, r in zip(hypotheses, references)]
        both = [
            (h & r).total() if clip else sum(c for gram, c in h.items() if gram in r)
            for h, r in pairs
        ]
        matches.append(sum(both))
        totals.append(sum(h.total() for h, _ in pairs))
    return matches, totals, sum(map(len, hypotheses)), sum(map(len, references))


def plain_bleu(matches, totals, ours, theirs, penalty=True):
    if 0 in matches or 0 in totals:
        return 0.0
    value = math.exp(sum(math.log(m / t) for m, t in zip(matches, totals)) / 4)
    return 100 * value * (math.exp(min(0, 1 - theirs / ours)) if penalty else 1)


def wrong_bleu(hypotheses, references):
    """[(a wrong value, its hint)]."""
    sums = bleu_sums(hypotheses, references)
    matches, totals, ours, theirs = sums
    ratios = [m / t if t else 0 for m, t in zip(matches, totals)]
    each = [plain_bleu(*bleu_sums([h], [r])) for h, r in zip(hypotheses, references)]
    swapped = bleu_sums(references, hypotheses)
    unclipped = bleu_sums(hypotheses, references, clip=False)
    return [
        (
            plain_bleu(*unclipped),
            "an n-gram is counted more often than the reference has it; clip: "
            "at most the smaller of the two counts",
        ),
        (
            plain_bleu(*sums, penalty=False),
            "the brevity penalty is missing; without it a few sure words would win",
        ),
        (
            100 * math.exp(1 - theirs / ours) * plain_bleu(*sums, penalty=False) / 100,
            "the brevity penalty is never above 1; a long text is not rewarded",
        ),
        (
            sum(each) / len(each),
            "this is a mean over sentences; add up the counts of all sentences first",
        ),
        (
            100 * sum(ratios) / 4 * math.exp(min(0, 1 - theirs / ours)),
            "this is the plain mean of the four precisions; BLEU takes the geometric "
            "mean",
        ),
        (
            plain_bleu(*swapped),
            "hypothesis and reference are swapped; precision is a share of what the "
            "hypothesis says",
        ),
        (plain_bleu(*sums) / 100, "BLEU runs from 0 to 100; multiply by 100"),
    ]


@exercise
def check_bleu_by_hand(answer):
    """answer(hypotheses, references) -> BLEU 0 to 100, both lists of token lists."""
    draw = random.Random(1)
    the = [["a"] * 5 + ["b", "c", "d", "e"]], [["a", "b", "c", "d", "e", "a"]]
    longer = [list("abcdefab")], [list("abcdef")]
    cases = [the, longer, *(sentences(draw, draw.randint(1, 5)) for _ in range(40))]
    with forbid(
        "ftlib.evaluation.translation.bleu",
        "ftlib.evaluation.translation.bleu_of",
        instead="count the n-grams yourself",
    ):
        for hypotheses, references in cases:
            got = float(answer(hypotheses, references))
            wanted = plain_bleu(*bleu_sums(hypotheses, references))
            for value, words in wrong_bleu(hypotheses, references):
                expect(close(got, wanted, 1e-4) or not close(got, value, 1e-4), words)
            expect(not is_rounded(got, wanted), "BLEU is rounded; return it as it is")
            expect(
                close(got, wanted, 1e-4), f"BLEU is {got:.4f}, expected {wanted:.4f}"
            )
        for hypotheses, references in (
            ([list("abab")], [list("cdcd")]),
            ([list("abcx")], [list("abcd")]),
            ([[]], [list("abcd")]),
            ([list("ab")], [list("ab")]),
        ):
            expect(
                float(answer(hypotheses, references)) == 0,
                f"{''.join(hypotheses[0])!r} against {''.join(references[0])!r} has no "
                "run of four tokens in common, so BLEU without smoothing is 0",
            )
    return correct("clipped, added up over sentences, and short texts pay")


# --- beam search on a table

TABLE = {
    (): (0.0, 0.55, 0.45),
    (1,): (0.40, 0.30, 0.30),
    (2,): (0.95, 0.03, 0.02),
}


def table_of(chances):
    """prefix -> [log-probability of token 0 (the end), 1, 2, ...]."""

    def next_log_probs(prefix):
        row = chances.get(tuple(prefix), (1.0,) + (0.0,) * (len(chances[()]) - 1))
        return [math.log(p) if p else -math.inf for p in row]

    return next_log_probs


def drawn_table(draw, tokens=4, steps=4):
    """Every text of at most `steps` tokens, with no two scores alike."""
    memory = {}

    def next_log_probs(prefix):
        prefix = tuple(prefix)
        if prefix not in memory:
            weights = [draw.random() ** 3 + 0.01 for _ in range(tokens)]
            weights[0] *= 1 if prefix else 0.05
            total = sum(weights)
            memory[prefix] = [math.log(w / total) for w in weights]
        return list(memory[prefix])

    return next_log_probs


def beams(next_log_probs, width, steps):
    """(tokens, log-probability) of the best finished text, by the exercise's rules."""
    alive, finished = [((), 0.0)], []
    for _ in range(steps):
        longer = [
            (prefix + (token,), score + log_prob)
            for prefix, score in alive
            for token, log_prob in enumerate(next_log_probs(prefix))
            if log_prob > -math.inf
        ]
        longer = sorted(longer, key=lambda pair: -pair[1])[:width]
        finished += [(text[:-1], score) for text, score in longer if text[-1] == 0]
        alive = [(text, score) for text, score in longer if text[-1] != 0]
    return max(finished, key=lambda pair: pair[1], default=((), -math.inf))


def beam_cases(draw):
    """(next_log_probs, width, steps) with a finished text."""
    yield table_of(TABLE), 1, 3
    yield table_of(TABLE), 2, 3
    count = 0
    while count < 60:
        case = drawn_table(draw), draw.randint(1, 5), draw.randint(2, 5)
        if beams(*case)[1] > -math.inf:
            count += 1
            yield case


@exercise
def check_beam_by_hand(answer):
    """answer(next_log_probs, width, steps) -> (tokens, log-probability)."""
    for next_log_probs, width, steps in beam_cases(random.Random(2)):

        def unfinished(prefix, table=next_log_probs):
            expect(
                0 not in list(prefix),
                f"next_log_probs is asked what follows {list(prefix)}, which has "
                "ended; a finished text takes no further step",
            )
            return table(prefix)

        got = answer(unfinished, width, steps)
        expect(
            isinstance(got, (list, tuple)) and len(got) == 2,
            "return two things: the list of tokens and their log-probability",
        )
        tokens, score = [int(t) for t in got[0]], float(got[1])
        expect(0 not in tokens, "the end token 0 is no part of the text; leave it out")
        own = sum(next_log_probs(tokens[:i])[t] for i, t in enumerate(tokens))
        ended = own + next_log_probs(tokens)[0]
        expect(
            close(score, ended) or not close(score, own),
            "the score of the end token is missing; a text is finished when the end "
            "has been paid for",
        )
        expect(
            close(score, ended) or not close(score, math.exp(ended)),
            "this is a probability; return the log-probability, a sum of logs",
        )
        expect(
            close(score, ended),
            f"the text {tokens} has the log-probability {ended:.4f}, not {score:.4f}",
        )
        wanted, best = beams(next_log_probs, width, steps)
        greedy = beams(next_log_probs, 1, steps)
        expect(
            tokens == list(wanted) or width == 1 or tokens != list(greedy[0]),
            f"with width {width} this is the greedy text, {score:.4f}; keep {width} "
            f"beginnings, and {list(wanted)} with {best:.4f} is found",
        )
        expect(
            tokens == list(wanted),
            f"width {width}, {steps} steps: {tokens} has {score:.4f}, expected "
            f"{list(wanted)} with {best:.4f}",
        )
    return correct("the best beginnings go on together, and ended texts compete")


@exercise
def check_beam_gain(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(beam, seed) is a chrF as a fraction.
    """
    return experiment(answer, "beam minus greedy")
