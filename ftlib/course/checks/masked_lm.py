"""Checks of chapter 09: masking, the loss at the target positions, whole-word masking,
the unigram baseline, and a broken batch.

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


def _expect_places(ids, before, masked, labels):
    """What can be checked without counting: the target positions, and the ids that must
    not change.
    """
    targets = labels != -100
    expect(
        bool((ids == before).all()),
        "your function changes the ids it was given; work on a copy: input_ids.clone()",
    )
    expect(
        tuple(labels.shape) == tuple(ids.shape) == tuple(masked.shape),
        f"shapes are {tuple(masked.shape)} and {tuple(labels.shape)}, both must be "
        f"{tuple(ids.shape)}",
    )
    expect(
        not bool((labels[masked == before] == 0).float().mean() > 0.5),
        "labels are 0 at the ignored positions, and 0 is a token; use -100, the "
        "label that the loss ignores",
    )
    expect(
        not bool(targets.all()),
        "every position is a target; set the labels to -100 at the others, or the "
        "model learns to copy its input",
    )
    expect(
        bool(targets.any()),
        "there are no targets: every label is -100; at the chosen positions the "
        "label is the original id",
    )
    expect(
        not bool(torch.isin(before[targets], torch.tensor(SPECIAL)).any()),
        "special tokens are targets; [CLS], [SEP] and [PAD] teach nothing about "
        "words, so never choose special_ids",
    )
    expect(
        bool((labels[targets] == before[targets]).all()),
        "labels do not hold the original ids; copy them before you write [MASK] into "
        "the row",
    )
    expect(
        bool((masked[~targets] == before[~targets]).all()),
        "a token was changed at a position that is not a target; leave those tokens "
        "as they are",
    )


@exercise
def check_hide_tokens(answer):
    """answer(input_ids (B, T), vocab_size, mask_id, special_ids, mask_prob=0.15) ->
    (masked ids, labels), both (B, T).
    """
    before = rows()
    ids = before.clone()
    masked, labels = answer(ids, V, MASK, SPECIAL, mask_prob=0.15)
    _expect_places(ids, before, masked, labels)
    targets, ordinary = labels != -100, ~torch.isin(before, torch.tensor(SPECIAL))
    n, total = int(targets.sum()), int(ordinary.sum())
    expect(
        len(set(targets.sum(1).tolist())) > 3,
        "every row has the same number of targets; choose each position "
        "independently: torch.rand(ids.shape) < mask_prob",
    )
    hidden = masked[targets]
    shares = {
        "[MASK]": (hidden == MASK).sum(),
        "unchanged": (hidden == before[targets]).sum(),
    }
    expect(
        int(shares["[MASK]"]) < n,
        "every target becomes [MASK]; real texts contain no [MASK], so 10 % of the "
        "targets stay unchanged and 10 % become random tokens",
    )
    expect(
        int(shares["unchanged"]) > 0.02 * n,
        "no target stays unchanged; the 10 % that keep their token are targets too, "
        "so their label is not -100",
    )
    expect(
        within(n, total, 0.15),
        f"{n} of {total} tokens are targets, {n / total:.3f} instead of mask_prob = "
        "0.15",
    )
    changed = hidden[(hidden != MASK) & (hidden != before[targets])]
    expect(
        not within(int(shares["[MASK]"]), n, 0.72)
        or within(int(shares["[MASK]"]), n, 0.8),
        "72 % become [MASK]: the 10 % were drawn from what another draw had left; "
        "use one draw and cut it at 0.8 and 0.9",
    )
    expect(
        within(int(shares["[MASK]"]), n, 0.8),
        f"{int(shares['[MASK]']) / n:.2f} of the targets become [MASK], expected 0.80",
    )
    expect(
        within(int(shares["unchanged"]), n, 0.1 + 0.1 / V),
        f"{int(shares['unchanged']) / n:.2f} of the targets stay unchanged, expected "
        "0.10",
    )
    expect(
        not bool(torch.isin(changed, torch.tensor(SPECIAL)).any()),
        "a random token is a special token; draw only from ids outside special_ids",
    )
    expect(
        len(changed.unique()) > len(changed) / 2,
        "the random tokens are all alike; draw a new one for every position",
    )
    again, _ = answer(before.clone(), V, MASK, SPECIAL, mask_prob=0.15)
    expect(
        not torch.equal(again, masked),
        "two calls mask the same positions; draw a new mask in every call, so that "
        "the model sees a new one in every epoch",
    )
    _, many = answer(before.clone(), V, MASK, SPECIAL, mask_prob=0.4)
    expect(
        within(int((many != -100).sum()), total, 0.4),
        "mask_prob=0.4 changes nothing; use the argument instead of a constant 0.15",
    )
    behind = int(shares["[MASK]"]) / n
    return correct(
        f"{n} of {total} tokens are targets, {behind:.2f} of them became [MASK], no "
        "special token was touched"
    )


@exercise
def check_target_loss(answer):
    """answer(logits (B, T, V), labels (B, T)) -> the summed cross-entropy over labels
    != -100.
    """
    g = torch.Generator().manual_seed(3)
    logits = torch.randn(4, 10, 50, generator=g) * 2
    ids = torch.randint(0, 50, (4, 10), generator=g)
    labels = torch.where(torch.rand(4, 10, generator=g) < 0.3, ids, -100)
    labels[0, 3] = 0  # id 0 can be a target too
    n, flat = int((labels != -100).sum()), labels.flatten()
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), flat, reduction="sum"
    )
    every = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), flat.clamp(min=0), reduction="sum"
    )
    value = answer(logits, labels)
    got = float(value)

    def near(other):
        return abs(got - float(other)) < 1e-3

    expect(
        not near(expected / n),
        "this is a mean; return the sum, because the loop divides by the number of "
        "targets of the whole step",
    )
    expect(
        not near(expected / labels.numel()),
        "the sum is divided by the number of all positions; ignored positions do not "
        "count, and nothing is divided here",
    )
    expect(
        not near(every),
        "the ignored positions count as targets with token 0; leave out every label "
        "of -100",
    )
    expect(
        not near(every / labels.numel()),
        "this is a mean in which ignored positions count as token 0; sum over the "
        "target positions only",
    )
    kept = flat > 0
    expect(
        not near(
            torch.nn.functional.cross_entropy(
                logits.flatten(0, 1)[kept], flat[kept], reduction="sum"
            )
        ),
        "a target with id 0 is left out; ignored is -100, and 0 is an ordinary id",
    )
    expect(
        not near(-expected),
        "the loss has the wrong sign; it must fall when the correct token becomes "
        "more likely",
    )
    expect(
        not near(expected / math.log(2)),
        "the loss is in bits; use the natural logarithm (nats), as the rest of the "
        "course does",
    )
    expect(
        near(expected),
        f"the loss is {got:.3f}, expected {float(expected):.3f}; sum -log p(label) "
        "over the target positions",
    )
    nothing = float(answer(logits, torch.full_like(labels, -100)))
    expect(
        nothing == 0,
        f"without targets the loss is {nothing}; a sum over no positions is 0",
    )
    return correct(f"{n} of {labels.numel()} positions count, and an empty sum is 0")


@exercise
def check_whole_words(answer):
    """answer(chosen, starts), both bool (B, T) -> bool (B, T): every token of a word
    follows its first token.
    """
    starts = torch.tensor([[1, 0, 0, 1, 1, 0, 1, 0], [1, 1, 0, 0, 1, 0, 0, 0]]).bool()
    chosen = torch.tensor([[1, 0, 0, 0, 0, 1, 1, 0], [0, 1, 0, 0, 0, 0, 1, 0]]).bool()
    expected = torch.tensor([[1, 1, 1, 0, 0, 0, 1, 1], [0, 1, 1, 1, 0, 0, 0, 0]]).bool()
    kept = chosen.clone()
    got = torch.as_tensor(answer(chosen, starts)).bool()
    expect(torch.equal(chosen, kept), "your function changes `chosen`; work on a copy")
    expect(
        tuple(got.shape) == (2, 8),
        f"the shape is {tuple(got.shape)}, expected (2, 8)",
    )
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
    anywhere = torch.tensor([[1, 1, 1, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1, 1]]).bool()
    expect(
        not torch.equal(got, anywhere),
        "a word is masked when any of its tokens is chosen, so long words are masked "
        "more often; let the first token alone decide",
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
    broken = torch.tensor([[1, 0, 1], [0, 0, 1]]).bool()
    none = torch.tensor([[0, 0, 1], [0, 0, 0]]).bool()
    border = torch.as_tensor(answer(none, broken)).bool()
    expect(
        not bool(border[1, 0]),
        "the last word of one row reaches into the next row; treat each row by itself",
    )
    g = torch.Generator().manual_seed(0)
    starts = torch.rand(300, 32, generator=g) < 0.7
    chosen = torch.rand(300, 32, generator=g) < 0.15
    starts[:, 0] = True
    got = torch.as_tensor(answer(chosen, starts)).bool()
    expect(
        torch.equal(got & starts, chosen & starts),
        "the first tokens have changed; keep the choice that was made for them",
    )
    expect(
        bool((got[:, 1:] == got[:, :-1])[~starts[:, 1:]].all()),
        "in a longer test a token differs from the token before it in the same word",
    )
    return correct("every token follows the first token of its word")


@exercise
def check_unigram_line(answer):
    """answer(train_ids, held_out_ids, vocab_size) -> nats per token of the validation
    text, from counts with one added.
    """
    g = torch.Generator().manual_seed(2)
    p = torch.arange(1, 41).float().reciprocal()
    train = torch.multinomial(p, 600, True, generator=g).view(20, 30)
    val = torch.multinomial(p, 200, True, generator=g).view(10, 20)
    val[0, 0] = 44  # a token that the training text does not have
    expected, got = metrics.unigram_loss(train, val, 45), float(answer(train, val, 45))

    def line(counts, target):
        logp = (counts / counts.sum()).log()
        return float(-logp[target.flatten()].mean())

    counts = torch.bincount(train.flatten(), minlength=45).double()
    own = torch.bincount(val.flatten(), minlength=45).double()
    fraction = (counts + 1) / (counts + 1).sum()
    expect(
        math.isfinite(got),
        "the baseline is infinite: a token that is not in the training text has "
        "probability 0; add 1 to every count",
    )
    expect(
        abs(got - expected / math.log(2)) > 1e-4,
        "the baseline is in bits; the course gives losses in nats, so use the "
        "natural logarithm",
    )
    expect(
        abs(got - line(own + 1, val)) > 1e-4 and abs(got - line(own, val)) > 1e-4,
        "the counts come from the validation text itself; count in the training text "
        "only",
    )
    expect(
        abs(got - line(counts + 1, train)) > 1e-4
        and abs(got - float(-(fraction * fraction.log()).sum())) > 1e-4,
        "this is the entropy of the training text; the baseline is the mean loss on "
        "the validation tokens",
    )
    expect(
        abs(got - float(-fraction.log().mean())) > 1e-4,
        "every token of the vocabulary counts once; take the mean over the tokens of "
        "the validation text",
    )
    expect(
        abs(got - math.log(45)) > 1e-4,
        "this is ln V, the loss of a uniform guess; use the counts of the training "
        "text",
    )
    expect(
        abs(got - math.exp(expected)) > 1e-3,
        "this is the perplexity; the baseline is its logarithm",
    )
    expect(
        abs(got - expected) < 1e-4,
        f"the baseline is {got:.3f}, expected {expected:.3f}; take the mean of "
        "-log((count + 1) / (all + V))",
    )
    return correct(
        f"{got:.2f} nats per token: a model above this baseline does not use its "
        "input yet"
    )


@exercise
def check_make_questions(answer):
    """Clinic. answer(input_ids, vocab_size, mask_id, special_ids) -> batch dict:
    "input_ids", "labels".
    """
    before = rows(seed=9)
    ids = before.clone()
    batch = answer(ids, V, MASK, SPECIAL)
    expect(
        {"input_ids", "labels"} <= set(batch),
        f"the batch has {sorted(batch)}; it needs input_ids and labels",
    )
    masked, labels = batch["input_ids"], batch["labels"]
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
    _expect_places(ids, before, masked, labels)
    n = int((labels != -100).sum())
    total = int((~torch.isin(before, torch.tensor(SPECIAL))).sum())
    expect(
        within(n, total, 0.15),
        f"{n} of {total} tokens are targets, {n / total:.2f} instead of 0.15",
    )
    return correct(
        f"{n} masked tokens are targets, the other {labels.numel() - n} positions are "
        "ignored"
    )
