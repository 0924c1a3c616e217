"""Checks of chapter 09: masking, whole words, the unigram baseline, a loss taken apart,
an experiment on reading, and a broken batch.

>>> from ftlib.course.checks.masked_lm import check_hide_tokens
>>> check_hide_tokens(
...     lambda ids, vocab_size, mask_id, special_ids, mask_prob=0.15: (ids, ids)
... )
hint: every position is a target; set the labels to -100 at the others, or the model
learns to copy its input

What it is not: a test of one random generator; counts are judged by binomial bounds
that a correct answer leaves less than once in 10,000 checks. Needs: torch, ftlib.

Shapes: B rows, T tokens, V vocabulary.
"""

import math

import torch

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import experiment
from ftlib.course.checks.numeric import (
    expect_none_of,
    expect_unrounded,
    near,
    two_numbers,
)
from ftlib.evaluation import metrics

V, MASK, SPECIAL = 1000, 4, [0, 1, 2, 3, 4]


def rows(count=400, tokens=64, seed=5):
    """(B, T) ids with [CLS] 2 in front, [SEP] 3 behind, and [PAD] 0 after the end of
    every second row.
    """
    ids = torch.randint(
        5, V, (count, tokens), generator=torch.Generator().manual_seed(seed)
    )
    ids[:, 0], ids[:, -1] = 2, 3
    ids[::2, 40], ids[::2, 41:] = 3, 0
    return ids


def within(hits, trials, p, sigmas=4.5):
    """Whether `hits` of `trials` is what a coin of probability p gives, but for once in
    100,000 cases.
    """
    return abs(hits - trials * p) <= sigmas * math.sqrt(trials * p * (1 - p))


OTHER = {"vocab_size": 30, "mask_id": 7, "special_ids": [0, 7, 12]}
PREFIX = "with a vocabulary of 30, special ids [0, 7, 12] and mask_id = 7: "


def other_rows(count=400, tokens=40, seed=7):
    """(B, T) ids of the small vocabulary OTHER; every second token is 5."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, OTHER["vocab_size"], (count, tokens), generator=g)
    ids[torch.isin(ids, torch.tensor(OTHER["special_ids"]))] = 20
    ids[torch.rand(ids.shape, generator=g) < 0.5] = 5
    ids[:, 0], ids[:, -1] = 0, 12
    return ids


def _expect_places(before, masked, labels, special=SPECIAL, prefix=""):
    """What can be checked without counting: the target positions, and the ids that must
    not change.
    """
    targets = labels != -100
    expect(
        tuple(labels.shape) == tuple(before.shape) == tuple(masked.shape),
        f"{prefix}shapes are {tuple(masked.shape)} and "
        f"{tuple(labels.shape)}, both must "
        f"be {tuple(before.shape)}",
    )
    expect(
        not bool((labels[masked == before] == 0).float().mean() > 0.5),
        f"{prefix}labels are 0 at the ignored positions, and 0 is a token; use -100, "
        "the label that the loss ignores",
    )
    expect(
        not bool(targets.all()),
        f"{prefix}every position is a target; set the labels to -100 at the others, or "
        "the model learns to copy its input",
    )
    expect(
        bool(targets.any()),
        f"{prefix}there are no targets: every label is -100; at the chosen positions "
        "the label is the original id",
    )
    expect(
        not bool(torch.isin(before[targets], torch.tensor(special)).any()),
        f"{prefix}special tokens are targets; [CLS], [SEP] and [PAD] teach nothing "
        "about words, so never choose special_ids",
    )
    expect(
        bool((labels[targets] == before[targets]).all()),
        f"{prefix}labels do not hold the original ids; copy them before you write "
        "[MASK] into the row",
    )
    expect(
        bool((masked[~targets] == before[~targets]).all()),
        f"{prefix}a token was changed at a position that is not a target; leave those "
        "tokens as they are",
    )


def _expect_independent(targets):
    """Rows 1, 3, 5 ... have their ordinary tokens at the same positions."""
    expect(
        not torch.equal(targets[1], targets[3]),
        "the targets stand at the same positions in every row; draw for each position "
        "of each row: torch.rand(ids.shape) < mask_prob",
    )
    expect(
        len(set(targets[1::2].sum(1).tolist())) > 3,
        "rows of equal length all have the same number of targets; choose each "
        "position independently: torch.rand(ids.shape) < mask_prob",
    )


def _expect_shares(hidden, kept):
    """80 % [MASK], 10 % another word, 10 % unchanged; `hidden` is what the model reads
    at the targets, `kept` what stood there.
    """
    n = len(kept)
    covered, unchanged = int((hidden == MASK).sum()), int((hidden == kept).sum())
    expect(
        covered < n,
        "every target becomes [MASK]; real texts contain no [MASK], so 10 % of the "
        "targets stay unchanged and 10 % become random tokens",
    )
    expect(
        unchanged > 0.02 * n,
        "no target stays unchanged; the 10 % that keep their token are targets too, "
        "so their label is not -100",
    )
    expect(
        not within(covered, n, 0.72) or within(covered, n, 0.8),
        "72 % become [MASK]: the 10 % were drawn from what another draw had left; "
        "use one draw and cut it at 0.8 and 0.9",
    )
    expect(
        within(covered, n, 0.8),
        f"{covered / n:.3f} of the targets become [MASK], expected 0.8",
    )
    early = int((hidden == MASK)[: n // 2].sum())
    expect(
        within(early, n // 2, 0.8),
        f"{early / (n // 2):.3f} of the targets in the first half of the batch become "
        "[MASK], expected 0.8 everywhere; draw for each position what becomes of it",
    )
    expect(
        within(unchanged, n, 0.1 + 0.1 / V),
        f"{unchanged / n:.3f} of the targets stay unchanged, expected 0.1",
    )
    changed = hidden[(hidden != MASK) & (hidden != kept)]
    expect(
        not bool(torch.isin(changed, torch.tensor(SPECIAL)).any()),
        "a random token is a special token; draw only from ids outside special_ids",
    )
    expect(
        len(changed.unique()) > len(changed) / 2,
        "the random tokens are all alike; draw a new one for every position",
    )
    low = int((changed < (V + len(SPECIAL)) / 2).sum())
    expect(
        within(low, len(changed), 0.5),
        f"{low} of {len(changed)} random tokens are in the lower half of the "
        "vocabulary; draw every ordinary id alike",
    )


def _expect_draws(answer, before, total, first):
    """Other calls: new positions each time, from torch's generator, as many as
    `mask_prob` says, and 0.15 where nothing is said.
    """

    def targets(**how):
        masked, labels = map(torch.as_tensor, answer(before, V, MASK, SPECIAL, **how))
        return masked, int((labels != -100).sum())

    again = [targets(mask_prob=0.15) for _ in range(2)]
    expect(
        not torch.equal(again[0][0], first[0]),
        "two calls mask the same positions; draw a new mask in every call, so that "
        "the model sees a new one in every epoch",
    )
    expect(
        {first[1]} != {n for _, n in again},
        f"three calls choose {first[1]} targets each; whether a position is a target "
        "is a draw of its own: torch.rand(ids.shape) < mask_prob",
    )
    torch.manual_seed(3)
    one, _ = targets(mask_prob=0.15)
    torch.manual_seed(3)
    expect(
        torch.equal(one, targets(mask_prob=0.15)[0]),
        "after the same torch.manual_seed another mask is drawn; use torch's global "
        "generator, as torch.rand does",
    )
    n = targets()[1]
    expect(
        within(n, total, 0.15),
        f"without the argument mask_prob {n / total:.3f} of the ordinary tokens are "
        "targets; keep the default of 0.15",
    )
    n = targets(mask_prob=0.4)[1]
    expect(
        within(n, total, 0.4),
        f"with mask_prob=0.4 {n / total:.3f} of the ordinary tokens are targets; use "
        "the argument instead of a constant",
    )
    for fraction, wanted in ((1.0, total), (0.0, 0)):
        n = targets(mask_prob=fraction)[1]
        expect(
            n == wanted,
            f"with mask_prob={fraction:g} {n} of {total} ordinary tokens are targets, "
            f"expected {wanted}",
        )


def _expect_other_ids(answer):
    """Nothing of the first test's vocabulary is written into the function."""
    before, special = other_rows(), OTHER["special_ids"]
    masked, labels = map(
        torch.as_tensor, answer(before, *OTHER.values(), mask_prob=0.5)
    )
    _expect_places(before, masked, labels, special, PREFIX)
    targets = labels != -100
    hidden, kept, n = masked[targets], before[targets], int(targets.sum())
    covered = int((hidden == OTHER["mask_id"]).sum())
    expect(
        within(covered, n, 0.8),
        f"{PREFIX}{covered / n:.3f} of the targets become [MASK], expected 0.8",
    )
    changed = hidden[(hidden != OTHER["mask_id"]) & (hidden != kept)]
    expect(
        not bool(torch.isin(changed, torch.tensor(special)).any()),
        f"{PREFIX}a random token is a special token",
    )
    counts = torch.bincount(changed, minlength=30)
    never = [i for i in range(30) if i not in special and not counts[i]]
    expect(
        not never and len(counts) == 30,
        f"{PREFIX}of {len(changed)} random tokens none is one of "
        f"{never}; draw from all "
        "ids outside special_ids",
    )
    expect(
        int(counts.max()) < 0.15 * len(changed),
        f"{PREFIX}id {int(counts.argmax())} is drawn far more often than others, as "
        "often as it stands in the text; draw every ordinary id alike",
    )


@exercise
def check_hide_tokens(answer):
    """answer(input_ids (B, T), vocab_size, mask_id, special_ids, mask_prob=0.15) ->
    (masked ids, labels), both (B, T).
    """
    before = rows()
    result = answer(before, V, MASK, SPECIAL, mask_prob=0.15)
    expect(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "return two tensors: (masked ids, labels)",
    )
    masked, labels = map(torch.as_tensor, result)
    _expect_places(before, masked, labels)
    targets, ordinary = labels != -100, ~torch.isin(before, torch.tensor(SPECIAL))
    n, total = int(targets.sum()), int(ordinary.sum())
    _expect_independent(targets)
    hidden = masked[targets]
    expect(
        within(n, total, 0.15) or int((hidden == before[targets]).sum()) < 0.02 * n,
        f"{n} of {total} tokens are targets, {n / total:.3f} instead of mask_prob = "
        "0.15",
    )
    _expect_shares(hidden, before[targets])
    _expect_draws(answer, before, total, (masked, n))
    _expect_other_ids(answer)
    behind = int((hidden == MASK).sum()) / n
    return correct(
        f"{n} of {total} tokens are targets, {behind:.2f} of them became [MASK], no "
        "special token was touched"
    )


def _followed(chosen, starts):
    """Every token has the draw of the first token of its word, row by row."""
    rows = []
    for draws, begins in zip(chosen.tolist(), starts.tolist()):
        row = []
        for draw, begin in zip(draws, begins):
            row.append(draw if begin or not row else row[-1])
        rows.append(row)
    return torch.tensor(rows)


@exercise
def check_whole_words(answer):
    """answer(chosen, starts), both bool (B, T) -> bool (B, T): every token of a word
    follows its first token.
    """

    def ask(chosen, starts):
        got = torch.as_tensor(answer(chosen, starts)).bool()
        expect(
            got.shape == chosen.shape,
            f"the shape is {tuple(got.shape)}, expected {tuple(chosen.shape)}",
        )
        return got

    starts = torch.tensor([[1, 0, 0, 1, 1, 0, 1, 0], [1, 1, 0, 0, 1, 0, 0, 0]]).bool()
    chosen = torch.tensor([[1, 0, 0, 0, 0, 1, 1, 0], [0, 1, 0, 0, 0, 0, 1, 0]]).bool()
    expected = torch.tensor([[1, 1, 1, 0, 0, 0, 1, 1], [0, 1, 1, 1, 0, 0, 0, 0]]).bool()
    got = ask(chosen, starts)
    expect(
        not torch.equal(got, chosen),
        "nothing has changed; where the first token of a word is chosen, choose all "
        "tokens of that word",
    )
    expect(
        not torch.equal(got, chosen & starts),
        "only the first tokens of words are left; the tokens that continue a word "
        "must follow its first one",
    )
    expect(
        not torch.equal(got, ~expected),
        "the result is the opposite: true is where the first token is not chosen",
    )
    anywhere = torch.tensor([[1, 1, 1, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1, 1]]).bool()
    expect(
        not torch.equal(got, anywhere),
        "a word is masked when any of its tokens is chosen, so long words are masked "
        "more often; let the first token alone decide",
    )
    last = torch.tensor([[0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]).bool()
    expect(
        not torch.equal(got, last),
        "the last token of each word decides; let the first one decide",
    )
    one = chosen & starts
    one[:, 1:] |= one[:, :-1].clone() & ~starts[:, 1:]
    expect(
        not torch.equal(got, one),
        "only one token follows; mask all tokens of a word, also of one with three "
        "tokens or more",
    )
    expect(
        not bool((got & ~expected & ~chosen).any()),
        "a word was masked although its first token is not chosen",
    )
    expect(
        torch.equal(got, expected),
        "a token does not follow the first token of its word; go through each row "
        "from left to right",
    )
    _expect_borders(ask)
    return correct("every token follows the first token of its word")


def _expect_borders(ask):
    """Rows that begin inside a word, and many random rows."""
    starts = torch.tensor([[1, 0, 1], [0, 0, 1]]).bool()
    border = ask(torch.tensor([[0, 0, 1], [0, 0, 0]]).bool(), starts)
    expect(
        not bool(border[1, 0]),
        "the last word of one row reaches into the next row; treat each row by itself",
    )
    border = ask(torch.tensor([[0, 0, 0], [1, 0, 0]]).bool(), starts)
    expect(
        border.tolist() == [[False] * 3, [True, True, False]],
        "the second row begins inside a word and its first position is chosen, but "
        "these tokens are not masked; treat the first position of a row as a start",
    )
    g = torch.Generator().manual_seed(0)
    for fraction in (0.7, 0.1):
        starts = torch.rand(300, 32, generator=g) < fraction
        chosen = torch.rand(300, 32, generator=g) < 0.15
        got = ask(chosen, starts)
        expect(
            torch.equal(got & starts, chosen & starts),
            "the first tokens have changed; keep the choice that was made for them",
        )
        expect(
            torch.equal(got, _followed(chosen, starts)),
            "in a longer test, with words of up to 32 tokens, a token differs from the "
            "first token of its word",
        )


def _wrong_unigram_lines(train, val, size, expected):
    """[(a wrong baseline, its hint)]."""

    def line(counts, target):
        return float(-(counts / counts.sum()).log()[target.flatten()].mean())

    counts = torch.bincount(train.flatten(), minlength=size).double()
    own = torch.bincount(val.flatten(), minlength=size).double()
    p = (counts + 1) / (counts + 1).sum()
    entropy = (
        "this is the entropy of the training text; the baseline is the mean loss on "
        "the validation tokens"
    )
    itself = (
        "the counts come from the validation text itself; count in the training text "
        "only"
    )
    some = [
        (
            -float(((counts + 1) / (counts.sum() + more)).log()[val.flatten()].mean()),
            f"1 is added to every count, and the number of all tokens grows by {more}; "
            "it grows by V, or the probabilities add up to more than 1",
        )
        for more in (0, 1)
    ]
    kinds = len(torch.cat([train.flatten(), val.flatten()]).unique())
    return some + [
        (
            expected / math.log(2),
            "the baseline is in bits; the course gives losses in nats, so use the "
            "natural logarithm",
        ),
        (line(own + 1, val), itself),
        (line(own, val), itself),
        (
            line(own + counts + 1, val),
            "both texts are counted; count in the training text only",
        ),
        (line(counts + 1, train), entropy),
        (float(-(p * p.log()).sum()), entropy),
        (
            float(-p.log().mean()),
            "every token of the vocabulary counts once; take the mean over the tokens "
            "of the validation text",
        ),
        (
            line(counts + 1, val.unique()),
            "each kind of token once: take the mean over the tokens of the validation "
            "text as they stand, frequent ones more often",
        ),
        (
            line(counts.clamp(min=1), val),
            "counts of 0 are raised to 1 and the others stay; add 1 to every count",
        ),
        (
            line(counts + 0.5, val),
            "0.5 is added to every count; the task adds 1",
        ),
        (
            -float(((counts + 1) / (counts.sum() + kinds)).log()[val.flatten()].mean()),
            "1 is added only for the tokens that occur; add 1 for every token of the "
            "vocabulary",
        ),
        (
            math.log(size),
            "this is ln V, the loss of a uniform guess; use the counts of the training "
            "text",
        ),
        (
            math.exp(expected),
            "this is the perplexity; the baseline is its logarithm",
        ),
        (
            expected * val.numel(),
            "this is the sum; the baseline is a mean, in nats per token",
        ),
    ]


@exercise
def check_unigram_line(answer):
    """answer(train_ids, held_out_ids, vocab_size) -> nats per token of the validation
    text, from counts with one added.
    """
    g = torch.Generator().manual_seed(12)
    p = torch.arange(1, 41).float().reciprocal()
    train = torch.multinomial(p, 600, True, generator=g).view(20, 30)
    val = torch.multinomial(p, 200, True, generator=g).view(10, 20)
    val[0, 0] = 44  # a token that the training text does not have
    expected, got = metrics.unigram_loss(train, val, 45), float(answer(train, val, 45))
    expect(
        math.isfinite(got),
        "the baseline is infinite: a token that is not in the training text has "
        "probability 0; add 1 to every count",
    )
    expect_none_of(got, expected, _wrong_unigram_lines(train, val, 45, expected))
    expect_unrounded(got, expected, "the baseline")
    expect(
        near(got, expected),
        f"the baseline is {got:.7g}, expected {expected:.7g}; take the mean of "
        "-log((count + 1) / (all + V))",
    )
    for ids, other, size in (
        (train, val, 60),
        (train.flatten(), val.view(5, 2, 20), 45),
        (train.view(5, 4, 30), val.flatten()[:7], 45),
    ):
        again = float(answer(ids, other, size))
        wanted = metrics.unigram_loss(ids, other, size)
        expect(
            near(again, wanted),
            f"correct for the first texts; for a vocabulary of {size}, training ids of "
            f"shape {tuple(ids.shape)} and validation ids of shape "
            f"{tuple(other.shape)} the baseline is {again:.7g}, expected {wanted:.7g}",
        )
    return correct(
        f"{got:.2f} nats per token: a model above this baseline does not use its "
        "input yet"
    )


def _expect_covered(masked, labels, mask, special, prefix=""):
    """Most targets show mask_id; a tenth may stay, and a tenth be another word."""
    hidden = masked[labels != -100]
    expect(
        len(hidden.unique()) > 1 or int(hidden[0]) == mask,
        f"{prefix}the targets show id {int(hidden[0])} to the model, and not mask_id",
    )
    others = hidden[hidden != mask]
    expect(
        not bool(torch.isin(others, torch.tensor(special)).any()),
        f"{prefix}some targets show another special token than mask_id to the model",
    )
    fraction = float((hidden == mask).float().mean())
    expect(
        fraction > 0.75,
        f"{prefix}{fraction:.2f} of the targets show mask_id to the "
        "model; put it at every "
        "target position",
    )


@exercise
def check_make_questions(answer):
    """Clinic. answer(input_ids, vocab_size, mask_id, special_ids) -> batch dict:
    "input_ids", "labels".
    """

    def ask(*arguments):
        batch = answer(*arguments)
        expect(
            hasattr(batch, "keys"),
            f"the batch is a {type(batch).__name__}; return a dict with input_ids and "
            "labels",
        )
        expect(
            {"input_ids", "labels"} <= set(batch),
            f"the batch has {sorted(batch)}; it needs input_ids and labels",
        )
        return torch.as_tensor(batch["input_ids"]), torch.as_tensor(batch["labels"])

    before = rows(seed=9)
    masked, labels = ask(before, V, MASK, SPECIAL)
    expect(
        not bool((labels == masked).all()),
        "the labels are a copy of the masked row, as in the snippet; use the ids "
        "from before the masking, and only at the masked positions",
    )
    expect(
        not torch.equal(masked, before),
        "nothing is masked: the model sees every target; put the masked ids into the "
        "batch",
    )
    expect(
        not bool((labels == before).all()),
        "all tokens are targets: 85 % of them stand unmasked in the input, and the "
        "model learns to copy; set the other labels to -100",
    )
    expect(
        not bool((labels == masked)[labels != -100].float().mean() > 0.5),
        "the labels are the masked row, so the correct token for [MASK] would be "
        "[MASK]; keep the ids from before",
    )
    _expect_places(before, masked, labels)
    _expect_covered(masked, labels, MASK, SPECIAL)
    _expect_independent(labels != -100)
    n = int((labels != -100).sum())
    total = int((~torch.isin(before, torch.tensor(SPECIAL))).sum())
    expect(
        within(n, total, 0.15),
        f"{n} of {total} tokens are targets, {n / total:.2f} instead of 0.15",
    )
    expect(
        not torch.equal(ask(before, V, MASK, SPECIAL)[1], labels),
        "two calls choose the same positions; draw new ones in every call",
    )
    before = other_rows()
    masked, again = ask(before, *OTHER.values())
    _expect_places(before, masked, again, OTHER["special_ids"], PREFIX)
    _expect_covered(masked, again, OTHER["mask_id"], OTHER["special_ids"], PREFIX)
    return correct(
        f"{n} masked tokens are targets, the other {labels.numel() - n} positions are "
        "ignored"
    )


def _measured(mask_id=MASK, seed=21, shape=(30, 20), dtype=torch.float64):
    """(losses, input_ids, labels) of one batch, (B, T) each. A target is hidden, or
    shows its own token or another one; elsewhere the losses are those of a copy, and
    one place shows mask_id without being a target.
    """
    g = torch.Generator().manual_seed(seed)
    before = torch.randint(5, 90, shape, generator=g)
    before[before == mask_id] = 91
    target = torch.rand(shape, generator=g) < 0.3
    target[0] = False  # a row without targets
    how = torch.rand(shape, generator=g)
    shown = torch.where(target & (how < 0.6), mask_id, before)
    other = torch.where(before == 50, 51, 50)
    shown = torch.where(target & (how >= 0.8), other, shown)
    target[0, :2] = False
    shown[0, 0] = mask_id
    losses = torch.rand(shape, generator=g, dtype=torch.float64) + 0.1
    losses = losses + 6 * (shown == mask_id) + 3 * (target & (how >= 0.8))
    return losses.to(dtype), shown, before.masked_fill(~target, -100)


def _wrong_parts(losses, shown, labels, mask_id):
    """Known wrong numbers for the hidden and the visible part, with their hints."""
    target, hidden = labels != -100, shown == mask_id
    every = "it counts positions that are no targets; labels are -100 there"
    hidden_rows, visible_rows = (
        torch.stack([row[part].mean() for row, part in zip(losses, kind) if part.any()])
        for kind in (target & hidden, target & ~hidden)
    )
    return (
        [
            (losses[hidden].mean(), f"the first number is wrong: {every}"),
            (losses[target].mean(), "the first number is the mean over all targets"),
            (
                losses[target & ~hidden].mean(),
                "the two numbers are exchanged: first where [MASK] is shown",
            ),
            (losses[target & hidden].sum(), "the first number is a sum; take the mean"),
            (
                losses[target & hidden].sum() / target.sum(),
                "the first sum is divided by all targets; divide by its own",
            ),
            (
                hidden_rows.mean(),
                "the first number is a mean of the rows' means, and rows have "
                "different numbers of targets",
            ),
            (losses[target & hidden].median(), "the first number is a median"),
        ],
        [
            (losses[~hidden].mean(), f"the second number is wrong: {every}"),
            (losses[target].mean(), "the second number is the mean over all targets"),
            (
                losses[target & (shown == labels)].mean(),
                "the second number leaves out the targets that show another token; "
                "they are visible too",
            ),
            (
                losses[target & ~hidden & (shown != labels)].mean(),
                "the second number leaves out the targets that show their own token; "
                "they are visible too",
            ),
            (losses[~target].mean(), "the second number is that of no target at all"),
            (
                losses[target & ~hidden].sum(),
                "the second number is a sum; take the mean",
            ),
            (
                losses[target & ~hidden].sum() / target.sum(),
                "the second sum is divided by all targets; divide by its own",
            ),
            (
                visible_rows.mean(),
                "the second number is a mean of the rows' means, and rows have "
                "different numbers of targets",
            ),
        ],
    )


@exercise
def check_two_losses(answer):
    """answer(losses (B, T), input_ids (B, T), labels (B, T), mask_id) -> mean loss of
    the targets that show [MASK], mean loss of the other targets.
    """
    names = "mean where [MASK] is shown, mean at the visible targets"
    for number, (mask_id, batch) in enumerate(
        [
            (MASK, _measured()),
            (7, _measured(7, seed=22)),
            (MASK, _measured(seed=23, shape=(1, 40), dtype=torch.float32)),
            (MASK, _measured(seed=24, shape=(40, 6), dtype=torch.float32)),
        ]
    ):
        losses, shown, labels = batch
        if len(losses) == 1:  # the first row of `_measured` has no targets
            labels = torch.where(torch.arange(40) % 3 == 0, 33, -100)[None]
            shown = torch.where(torch.arange(40) % 6 == 0, mask_id, shown)
        target, hidden = labels != -100, shown == mask_id
        got = two_numbers(answer(losses, shown, labels, mask_id), names)
        wanted = losses[target & hidden].mean(), losses[target & ~hidden].mean()
        parts = _wrong_parts(losses, shown, labels, mask_id)
        batch_name = (
            "" if number == 0 else f" (shape {tuple(shown.shape)}, mask {mask_id})"
        )
        for value, wanted_loss, wrong, name in zip(
            got, wanted, parts, names.split(", ")
        ):
            wanted_loss = float(wanted_loss)
            expect(
                math.isfinite(value),
                f"the {name} is not a number; take the mean over the targets of that "
                "kind",
            )
            expect_none_of(
                value, wanted_loss, [(float(n), f"{w}{batch_name}") for n, w in wrong]
            )
            expect_unrounded(value, wanted_loss, f"the {name}")
            expect(
                near(value, wanted_loss),
                f"the {name} is {value:.7g} and not {wanted_loss:.7g}{batch_name}",
            )
    return correct(
        "the two kinds of target are told apart; now see what the run has learned"
    )


# far above 0.1 and a little; shown and small; nothing; on the border; better when
# shuffled
RISES = (0.6, 1), (0.13, 1), (0.05, 1), (0.0, 0), (0.1, 1), (-0.3, 1)


@exercise
def check_reading(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(shuffled, seed) is a loss in nats.
    """
    return experiment(
        answer,
        "shuffled minus true",
        border=0.1,
        verdicts=("reads", "does not read", "not shown"),
        gains=RISES,
        of_accuracies=False,
    )
