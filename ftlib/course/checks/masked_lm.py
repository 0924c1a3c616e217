"""Checks of chapter 09: masking, the loss on asked places, whole words, the unigram
line, and what a model is asked.

>>> from ftlib.course.checks.masked_lm import check_hide_tokens
>>> check_hide_tokens(
...     lambda ids, vocab_size, mask_id, special_ids, mask_prob=0.15: (ids, ids)
... )
hint: every place is asked; labels must be -100 where nothing is asked, or the model
learns to copy what it sees

What it is not: a test of one random generator; counts are judged by binomial bounds
that a right answer leaves less than once in 10,000 checks. Needs: torch, ftlib.

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
    """The part of a mask that needs no counting: what was asked, and what must not
    change.
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
        "labels are 0 where nothing is asked, and 0 is a token; -100 is the number "
        "that the loss leaves out",
    )
    expect(
        not bool(targets.all()),
        "every place is asked; labels must be -100 where nothing is asked, or the "
        "model learns to copy what it sees",
    )
    expect(
        bool(targets.any()),
        "nothing is asked; labels hold the original id at the chosen places",
    )
    expect(
        not bool(torch.isin(before[targets], torch.tensor(SPECIAL)).any()),
        "special tokens are asked; [CLS], [SEP] and [PAD] teach nothing about "
        "words, so leave special_ids out",
    )
    expect(
        bool((labels[targets] == before[targets]).all()),
        "labels do not hold the original ids; take the labels before you write "
        "[MASK] into the row",
    )
    expect(
        bool((masked[~targets] == before[~targets]).all()),
        "a place that is not asked was changed; leave it as it is",
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
        "every row has the same number of questions; draw each place by itself: "
        "torch.rand(ids.shape) < mask_prob",
    )
    hidden = masked[targets]
    shares = {
        "[MASK]": (hidden == MASK).sum(),
        "unchanged": (hidden == before[targets]).sum(),
    }
    expect(
        int(shares["[MASK]"]) < n,
        "every asked word becomes [MASK]; later texts have none, so 10 % stay and "
        "10 % become random",
    )
    expect(
        int(shares["unchanged"]) > 0.02 * n,
        "no asked word stays visible; the tenth that keeps its piece is a question "
        "too, so its label is not -100",
    )
    expect(
        within(n, total, 0.15),
        f"{n} of {total} words are asked, {n / total:.3f} instead of mask_prob = 0.15",
    )
    changed = hidden[(hidden != MASK) & (hidden != before[targets])]
    expect(
        not within(int(shares["[MASK]"]), n, 0.72)
        or within(int(shares["[MASK]"]), n, 0.8),
        "72 % become [MASK]: 10 % were taken from what another draw had left; use "
        "one draw, cut at 0.8 and 0.9",
    )
    expect(
        within(int(shares["[MASK]"]), n, 0.8),
        f"{int(shares['[MASK]']) / n:.2f} of the asked words become [MASK], 0.80 is "
        "asked for",
    )
    expect(
        within(int(shares["unchanged"]), n, 0.1 + 0.1 / V),
        f"{int(shares['unchanged']) / n:.2f} of the asked words stay as they are, "
        "0.10 is asked for",
    )
    expect(
        not bool(torch.isin(changed, torch.tensor(SPECIAL)).any()),
        "a random word is a special token; draw only from ids outside special_ids",
    )
    expect(
        len(changed.unique()) > len(changed) / 2,
        "the random words are all alike; draw a new one for every place",
    )
    again, _ = answer(before.clone(), V, MASK, SPECIAL, mask_prob=0.15)
    expect(
        not torch.equal(again, masked),
        "two calls hide the same places; the model must meet a new mask in every epoch",
    )
    _, many = answer(before.clone(), V, MASK, SPECIAL, mask_prob=0.4)
    expect(
        within(int((many != -100).sum()), total, 0.4),
        "mask_prob=0.4 changes nothing; use the argument instead of a written 0.15",
    )
    behind = int(shares["[MASK]"]) / n
    return correct(
        f"{n} of {total} words asked, {behind:.2f} of them hidden behind "
        "[MASK], no special token touched"
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
    labels[0, 3] = 0  # id 0 can be a question too
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
        "this is a mean; return the sum, and the loop divides by the number of all "
        "targets of the step",
    )
    expect(
        not near(expected / labels.numel()),
        "the sum is divided by all places; unasked places have no part in it, and "
        "nothing is divided",
    )
    expect(
        not near(every),
        "the unasked places count as questions for token 0; leave "
        "out what has the label -100",
    )
    expect(
        not near(every / labels.numel()),
        "this is a mean in which unasked places count as token 0; sum over asked "
        "places only",
    )
    kept = flat > 0
    expect(
        not near(
            torch.nn.functional.cross_entropy(
                logits.flatten(0, 1)[kept], flat[kept], reduction="sum"
            )
        ),
        "a question for token 0 is left out; unasked is -100, and 0 is an ordinary id",
    )
    expect(
        not near(-expected),
        "the sign is turned round; a loss falls when the right token becomes likelier",
    )
    expect(
        not near(expected / math.log(2)),
        "the loss is in bits; use the natural logarithm (nats), as the rest of the "
        "course does",
    )
    expect(
        near(expected),
        f"the loss is {got:.3f}, and {float(expected):.3f} is right; sum -log p(label) "
        "over the asked places",
    )
    nothing = float(answer(logits, torch.full_like(labels, -100)))
    expect(
        nothing == 0,
        f"with nothing asked the loss is {nothing}, and the sum over no places is 0",
    )
    return correct(f"{n} of {labels.numel()} places count, and an empty sum is 0")


@exercise
def check_whole_words(answer):
    """answer(chosen, starts), both bool (B, T) -> bool (B, T): every piece of a word as
    its first piece.
    """
    starts = torch.tensor([[1, 0, 0, 1, 1, 0, 1, 0], [1, 1, 0, 0, 1, 0, 0, 0]]).bool()
    chosen = torch.tensor([[1, 0, 0, 0, 0, 1, 1, 0], [0, 1, 0, 0, 0, 0, 1, 0]]).bool()
    expected = torch.tensor([[1, 1, 1, 0, 0, 0, 1, 1], [0, 1, 1, 1, 0, 0, 0, 0]]).bool()
    kept = chosen.clone()
    got = torch.as_tensor(answer(chosen, starts)).bool()
    expect(torch.equal(chosen, kept), "your function changes `chosen`; work on a copy")
    expect(
        tuple(got.shape) == (2, 8),
        f"the shape is {tuple(got.shape)}, (2, 8) is asked for",
    )
    expect(
        not torch.equal(got, chosen),
        "nothing has changed; a word whose first piece is chosen must be chosen to "
        "its last piece",
    )
    expect(
        not torch.equal(got, chosen & starts),
        "only first pieces are left; the pieces after them must follow",
    )
    anywhere = torch.tensor([[1, 1, 1, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1, 1]]).bool()
    expect(
        not torch.equal(got, anywhere),
        "a word is hidden when any piece is drawn, so long words are hidden more "
        "often; the first piece "
        "alone decides",
    )
    one = chosen & starts
    one[:, 1:] |= one[:, :-1].clone() & ~starts[:, 1:]
    expect(
        not torch.equal(got, one),
        "only one piece follows; a word of three pieces or more must go as a whole",
    )
    expect(
        not bool((got & ~expected & ~chosen).any()),
        "a word was hidden although its first piece is not chosen",
    )
    expect(
        torch.equal(got, expected),
        "a piece does not follow the first piece of its word; look at each row from "
        "left to right",
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
        "the first pieces have changed; they keep their own draw",
    )
    expect(
        bool((got[:, 1:] == got[:, :-1])[~starts[:, 1:]].all()),
        "in a longer test a piece differs from the piece before it in its word",
    )
    return correct("every piece follows the first piece of its word")


@exercise
def check_unigram_line(answer):
    """answer(train_ids, held_out_ids, vocab_size) -> nats per token, counts with one
    added.
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
        "the line is infinite: a token that training never showed has probability "
        "0; add 1 to every count",
    )
    expect(
        abs(got - expected / math.log(2)) > 1e-4,
        "the line is in bits; the loss of the course is in nats, so use the natural "
        "logarithm",
    )
    expect(
        abs(got - line(own + 1, val)) > 1e-4 and abs(got - line(own, val)) > 1e-4,
        "the counts come from the held-out text itself; a guess may only know the "
        "training text",
    )
    expect(
        abs(got - line(counts + 1, train)) > 1e-4
        and abs(got - float(-(fraction * fraction.log()).sum())) > 1e-4,
        "this is the entropy of the training text; the line is what held-out tokens "
        "cost",
    )
    expect(
        abs(got - float(-fraction.log().mean())) > 1e-4,
        "every token of the vocabulary counts once; take the mean over the held-out "
        "tokens",
    )
    expect(
        abs(got - math.log(45)) > 1e-4,
        "this is ln V, the guess that knows nothing; use the counts of the training "
        "text",
    )
    expect(
        abs(got - math.exp(expected)) > 1e-3,
        "this is the perplexity; the line is its logarithm",
    )
    expect(
        abs(got - expected) < 1e-4,
        f"the line is {got:.3f}, and {expected:.3f} is right; mean of -log((count + 1) "
        "/ (all + V))",
    )
    return correct(
        f"{got:.2f} nats per token: a model above this line has not read its input yet"
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
        "the labels are a copy of the masked row, as in the snippet; ask for the "
        "ids from before, and only "
        "where they are hidden",
    )
    expect(
        not torch.equal(masked, before),
        "nothing is hidden: the model sees every answer; the batch needs the masked "
        "ids",
    )
    expect(
        not bool((labels == before).all()),
        "all tokens are targets: 85 % of the answers stand in the input, and the "
        "model learns to copy; "
        "labels need -100",
    )
    expect(
        not bool((labels == masked)[labels != -100].float().mean() > 0.5),
        "the labels are the masked row, so the right answer to [MASK] would be "
        "[MASK]; keep the ids from before",
    )
    _expect_places(ids, before, masked, labels)
    n = int((labels != -100).sum())
    total = int((~torch.isin(before, torch.tensor(SPECIAL))).sum())
    expect(
        within(n, total, 0.15),
        f"{n} of {total} words are asked, {n / total:.2f} instead of 0.15",
    )
    return correct(
        f"{n} hidden words are asked, the other {labels.numel() - n} places are not"
    )
