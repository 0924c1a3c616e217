"""Checks of chapter 08: two entropies of a text, a smoothed bigram baseline, top-p by
hand, and two broken snippets.

>>> from ftlib.course.checks.causal_lm import check_uneven_perplexity
>>> check_uneven_perplexity(
...     lambda pairs: sum(loss for loss, count in pairs if count) / 3
... )
hint: this is a mean loss in nats; perplexity is its exponential

What it is not: a test of one way to count. Numbers are compared with sums made here, in
float64, as closely as float32 answers allow (1e-5, or 3e-6 of the number).
Needs: torch, ftlib.

Shapes: N rows, T tokens, B rows of a batch, V vocabulary.
"""

import math

import torch
import torch.nn.functional as F

from ftlib.course.checks import correct, exercise, expect, forbid
from ftlib.course.checks.numeric import (
    expect_none_of,
    expect_unrounded,
    near,
    two_numbers,
    uses,
)
from ftlib.objectives import clm

V = 12


def _text(rows, tokens, seed):
    """(N, T) ids in which each token depends on the one before it; ids 10 and 11 never
    occur.
    """
    g = torch.Generator().manual_seed(seed)
    table = torch.rand(10, 10, generator=g) ** 4
    ids = torch.randint(0, 10, (rows, 1), generator=g)
    for _ in range(tokens - 1):
        ids = torch.cat(
            [ids, torch.multinomial(table[ids[:, -1]], 1, generator=g)], dim=1
        )
    return ids


def _pairs(ids, size=V):
    """(V, V) counts: how often does the column's token follow the row's, inside the
    rows of `ids`.
    """
    return (
        torch.bincount(
            (ids[:, :-1] * size + ids[:, 1:]).flatten(), minlength=size * size
        )
        .view(size, size)
        .double()
    )


def _entropy(p):
    return float(-torch.special.xlogy(p, p).sum())


def _both_entropies(ids, size):
    """(unigram, bigram), nats."""
    p = torch.bincount(ids.flatten(), minlength=size).double() / ids.numel()
    joint = _pairs(ids, size) / ids[:, 1:].numel()
    return _entropy(p), _entropy(joint) - _entropy(joint.sum(1))


def _wrong_unigrams(ids, expected):
    p = torch.bincount(ids.flatten(), minlength=V).double() / ids.numel()
    smooth = (p * ids.numel() + 1) / (ids.numel() + V)
    added = (
        "1 was added to the counts; smoothing is for a text that was not counted, "
        "and here you compute the entropy of the counts themselves"
    )
    return [
        (
            expected[0] / math.log(2),
            "the unigram entropy is in bits; the course counts in nats, so take the "
            "natural logarithm",
        ),
        (
            math.log(V),
            "the first number is ln V, the entropy of a uniform distribution; use how "
            "often each token occurs",
        ),
        (_entropy(smooth), added),
        (float(-(p * smooth.log()).sum()), added),
        (
            _both_entropies(ids[:, :-1], V)[0],
            "the last token of each row is left out of the unigram entropy; all "
            "tokens are counted there",
        ),
        (-expected[0], "the unigram entropy is negative; the sum has a minus before"),
    ]


def _wrong_bigrams(ids, expected):
    pairs = _pairs(ids)
    joint, first = pairs / pairs.sum(), pairs.sum(1)
    seen = pairs[pairs > 0] / first[:, None].expand_as(pairs)[pairs > 0]
    rows = pairs / first[:, None].clamp(min=1)
    often = pairs * (pairs > 1)
    back = pairs.sum(0)
    return [
        (
            _entropy(joint),
            "the second number is the entropy of pairs, of both tokens together; the "
            "first token is given, so divide by its count: p(b | a)",
        ),
        (
            float(-seen.log().mean()),
            "each kind of pair counts once; weight it by how often it occurs",
        ),
        (
            float(-torch.special.xlogy(rows, rows).sum(1)[first > 0].mean()),
            "each token a counts once; weight its entropy by how often a stands before "
            "another token",
        ),
        (
            _both_entropies(ids.flatten()[None], V)[1],
            "pairs run across the border of two rows; the last token of a row and the "
            "first of the next are not a pair",
        ),
        (
            _entropy(joint) - _entropy(back / back.sum()),
            "this predicts a token given the next one; divide by the count of the "
            "first token of a pair",
        ),
        (
            _entropy(joint) - expected[0],
            "the entropy of all tokens is subtracted from that of the pairs; subtract "
            "that of the tokens that stand before another, without the last of a row",
        ),
        (
            float(-torch.special.xlogy(often, rows).sum() / pairs.sum()),
            "pairs that occur once are left out; they count too",
        ),
        (
            expected[1] / math.log(2),
            "the bigram entropy is in bits; take the natural logarithm there too",
        ),
        (
            math.exp(expected[1]),
            "this is a perplexity; the bigram entropy is its logarithm",
        ),
        (-expected[1], "the bigram entropy is negative; the sum has a minus before"),
    ]


@exercise
def check_two_entropies(answer):
    """answer(ids (N, T), vocab_size) -> (unigram entropy, bigram entropy) of this text,
    nats, from its own counts.
    """
    ids = _text(40, 15, seed=1)
    one, two = two_numbers(answer(ids.clone(), V), "unigram entropy, bigram entropy")
    expected = _both_entropies(ids, V)
    expect(
        math.isfinite(one),
        "the unigram entropy is not a number: ids 10 and 11 never occur, and 0 log 0 "
        "counts as 0; leave them out, or take torch.special.xlogy",
    )
    expect(
        math.isfinite(two),
        "the bigram entropy is not a number: most pairs never "
        "occur; sum over those that do",
    )
    expect(
        not (near(one, expected[1]) and near(two, expected[0])),
        "the two numbers are correct and the other way round; the unigram entropy "
        "comes first",
    )
    expect_none_of(one, expected[0], _wrong_unigrams(ids, expected))
    expect_unrounded(one, expected[0], "the unigram entropy")
    expect(
        near(one, expected[0]),
        f"the unigram entropy is {one:.7g}, expected {expected[0]:.7g}; take minus "
        "the sum of p log p over the tokens",
    )
    expect_none_of(two, expected[1], _wrong_bigrams(ids, expected))
    expect_unrounded(two, expected[1], "the bigram entropy")
    expect(
        near(two, expected[1]),
        f"the bigram entropy is {two:.7g}, expected {expected[1]:.7g}; take the mean "
        "of -log(count(ab) / count(a as a first token))",
    )
    _expect_second_text(answer)
    return correct(
        f"{expected[0]:.2f} nats per token alone, {expected[1]:.2f} given the token "
        "before"
    )


def _expect_second_text(answer):
    """A short text with a larger vocabulary, in which many tokens stand once."""
    size = 31
    ids = torch.randint(0, size, (6, 5), generator=torch.Generator().manual_seed(3))
    ids[0, 0], ids[1:, 2] = size - 1, 4  # the largest id, and some pairs twice
    ids[1:3, 3] = 5
    one, two = two_numbers(answer(ids, size), "unigram entropy, bigram entropy")
    expected = _both_entropies(ids, size)
    prefix = (
        f"correct for the first text; in a second text, with a vocabulary of {size}"
    )
    expect(
        near(one, expected[0]),
        f"{prefix}, the unigram entropy is {one:.7g}, expected {expected[0]:.7g}",
    )
    table = _pairs(ids, size)
    halved = table / table.sum(1, keepdim=True).clamp(min=2)
    expect_none_of(
        two,
        expected[1],
        [
            (
                float(-torch.special.xlogy(table, halved).sum() / table.sum()),
                "a token that stands only once before another has p(b | a) = 1 for "
                "that one, and in your function 1/2",
            )
        ],
    )
    expect(
        near(two, expected[1]),
        f"{prefix}, the bigram entropy is {two:.7g}, expected {expected[1]:.7g}",
    )
    # the first token of a row is always 0, and the second any other
    ids = torch.stack([torch.zeros(8, dtype=torch.long), torch.arange(1, 9)], dim=1)
    one, two = two_numbers(answer(ids, 9), "unigram entropy, bigram entropy")
    expected = _both_entropies(ids, 9)
    expect(
        near(one, expected[0]) and near(two, expected[1]),
        f"for the pairs of 0 with each of 1 to 8 the entropies are ({one:.7g}, "
        f"{two:.7g}), expected ({expected[0]:.7g}, {expected[1]:.7g}); the second may "
        "be the larger one, and its place is still the second",
    )


def _bigram_line(p, rows):
    """Mean of -log p over the pairs in the rows, for a table p (V, V)."""
    return float(-p[rows[:, :-1], rows[:, 1:]].log().mean())


def _smooth(counts, add, axis=1):
    return (counts + add) / (counts + add).sum(axis, keepdim=True)


def _wrong_lines(train, val, add, expected):
    """[(a wrong baseline, its hint)]."""
    pairs, own = _pairs(train), _pairs(val)
    p, sums = _smooth(pairs, add), pairs.sum(1, keepdim=True)
    every = torch.bincount(train.flatten(), minlength=V).double()[:, None]
    single = _smooth(every.T, add).expand(V, V)
    raised = pairs.clamp(min=add)
    seen = pairs[val[:, :-1], val[:, 1:]] > 0
    alone = "this baseline ignores the token before; count pairs"
    return [
        (
            expected / math.log(2),
            "the baseline is in bits; the loss of a model is in nats, so use the "
            "natural logarithm",
        ),
        (
            _bigram_line((pairs + add) / (sums + add), val),
            "count(a) gets `add` once; each of the V tokens after a got one, so "
            "count(a) grows by add * V, or the row adds up to more than 1",
        ),
        (
            _bigram_line((pairs + add) / sums.clamp(min=1), val),
            "the row of a adds up to more than 1: count(a) must grow by all that was "
            "added to its row, add * V",
        ),
        (
            _bigram_line((pairs + add) / (every + add * V), val),
            "count(a) is the number of all tokens a here; the last tokens of the rows "
            "begin no pair and are not counted",
        ),
        (
            _bigram_line(_smooth(own, add), val),
            "the pairs were counted in the validation text; count in the training "
            "text only",
        ),
        (
            _bigram_line(_smooth(own + pairs, add), val),
            "the pairs were counted in both texts; count in the training text only",
        ),
        (
            _bigram_line(p, train),
            "this is the loss on the training text; take the mean over the pairs of "
            "the validation text",
        ),
        (
            _bigram_line(_smooth(pairs, add, axis=0), val),
            "each column adds up to 1; each row must, because p(b | a) is a "
            "distribution over b",
        ),
        (_bigram_line(single, val), alone),
        (float(-single[0][val].log().mean()), alone),
        (
            float(-p[own > 0].log().mean()),
            "each kind of pair counts once; take the mean over the pairs as they stand",
        ),
        (
            _bigram_line(raised / raised.sum(1, keepdim=True), val),
            "counts below `add` are raised to `add`; add it to every count",
        ),
        (
            float(-p[val[:, :-1], val[:, 1:]][seen].log().mean()),
            "the mean is over the pairs that the training text has; the others are "
            "what `add` is for",
        ),
        (
            _bigram_line(_smooth(pairs, 1.0), val),
            f"1 is added to every count, and `add` is {add}, not a whole number here",
        ),
        (
            math.exp(expected),
            "this is a perplexity; the baseline is its logarithm",
        ),
        (
            expected * val[:, 1:].numel(),
            "this is the sum; the baseline is a mean, in nats per token",
        ),
    ]


@exercise
def check_smoothed_line(answer):
    """answer(train_ids, held_ids, vocab_size, add) -> nats per token of the validation
    text, of p(b | a) = (count(ab) + add) / (count(a) + add V).
    """
    train, val, add = _text(20, 12, seed=2), _text(9, 12, seed=2), 0.5
    # some new pairs
    val = torch.cat(
        [val, torch.randint(0, V, (3, 12), generator=torch.Generator().manual_seed(5))]
    )
    got = float(answer(train.clone(), val.clone(), V, add))
    expected = first = _bigram_line(_smooth(_pairs(train), add), val)
    expect(
        math.isfinite(got),
        "the baseline is infinite: a pair that is not in the training text has "
        "probability 0; add `add` to every count",
    )
    expect_none_of(got, expected, _wrong_lines(train, val, add, expected))
    expect_unrounded(got, expected, "the baseline")
    expect(
        near(got, expected),
        f"the baseline is {got:.7g}, expected {expected:.7g}; take the mean of -log "
        "p(b | a) over the pairs inside the rows",
    )
    again = float(answer(train.clone(), val.clone(), V, 3.0))
    expected = _bigram_line(_smooth(_pairs(train), 3.0), val)
    expect(
        near(again, expected),
        f"with add=3 the baseline is {again:.7g}, expected {expected:.7g}; use the "
        "argument `add`",
    )
    g = torch.Generator().manual_seed(6)
    for size, tokens, add in ((20, 12, 0.1), (V, 5, 25)):
        rows = torch.randint(0, size, (7, tokens), generator=g)
        again = float(answer(train.clone(), rows, size, add))
        wanted = _bigram_line(_smooth(_pairs(train, size), add), rows)
        expect(
            near(again, wanted),
            f"with add={add}, a vocabulary of {size} and a validation set in rows of "
            f"{tokens} tokens the baseline is {again:.7g}, expected {wanted:.7g}",
        )
    return correct(
        f"{first:.2f} nats with 0.5 added to each count, {expected:.2f} with 3"
    )


NUCLEUS_HINTS = [
    (
        [0, 1, 0, 0, 0],
        "the token that carries the sum over p was left out; 0.5 alone does not "
        "reach 0.6, so keep two tokens",
    ),
    (
        [2 / 3, 1 / 3, 0, 0, 0],
        "the result is in sorted order; put each probability back at the index of "
        "its token",
    ),
    (
        [0, 0.5, 0, 0, 0.25],
        "the kept probabilities add up to 0.75; divide by their sum",
    ),
    (
        [0, 0, 0, 0, 0],
        "no single token has probability p, so nothing is left; p is a sum over the "
        "most likely tokens, not a threshold for one",
    ),
    (
        [0, 4 / 7, 1 / 7, 0, 2 / 7],
        "one token too many: 0.5 and 0.25 reach 0.6; keep a token only if the more "
        "likely ones do not reach p",
    ),
    (
        [1 / 11, 8 / 11, 2 / 11, 0, 0],
        "the sum is taken in the order in which the tokens stand; begin with the "
        "likeliest",
    ),
    (
        [0, 0.5, 0, 0, 0.5],
        "the two tokens got equal shares; they keep their probabilities, so that one "
        "stays twice as likely as the other",
    ),
    (
        [0, 0.625, 0, 0, 0.375],
        "what is missing to 1 was added to each of the kept tokens; scale them",
    ),
]


@exercise
def check_nucleus(answer):
    """answer(probabilities (V,), p) -> (V,): the smallest set of most likely tokens
    whose probabilities reach p, rescaled to add up to 1; 0 elsewhere.
    """
    library = "write it without ftlib.objectives.clm"
    expect(
        not uses(answer, clm.keep_top_p),
        f"your function calls keep_top_p; {library}",
    )
    path = "ftlib.objectives.clm."
    with forbid(path + "keep_top_p", path + "sample_token", instead=library):
        q = torch.tensor([0.0625, 0.5, 0.125, 0.0625, 0.25])
        got = _vector(answer(q.clone(), 0.6), 5)
        _expect_two_kept(got)
        for p, wanted, words in (
            (0.1, [0, 1, 0, 0, 0], "keep the most likely token, and no other"),
            (1.0, q.tolist(), "keep every token"),
            (
                0.75,
                [0, 2 / 3, 0, 0, 1 / 3],
                "the two most likely tokens reach p exactly, and that is enough",
            ),
            (0.5, [0, 1, 0, 0, 0], "the most likely token alone reaches p exactly"),
        ):
            got = _vector(answer(q.clone(), p), 5)
            expect(_same(got, wanted), f"with p = {p:g} {words}")
        g = torch.Generator().manual_seed(0)
        for p in (0.3, 0.6, 0.9, 0.97):
            many = (torch.randn(40, generator=g) * 1.5).softmax(0)
            _expect_kept(answer, many, p, "40 tokens")
        _expect_kept(answer, torch.full((4,), 0.25), 0.5, "4 equally likely tokens")
    return correct(
        "the smallest set of tokens that reaches p, each at its own index, adding up "
        "to 1"
    )


def _vector(result, size):
    """The reader's vector, list or array in float64."""
    got = torch.as_tensor(result).double()
    expect(
        tuple(got.shape) == (size,),
        f"the shape is {tuple(got.shape)}, expected ({size},): one probability for "
        "each token of the vocabulary",
    )
    return got


def _expect_two_kept(got):
    """The result for p = 0.6 has its hints."""
    for wanted, words in NUCLEUS_HINTS:
        expect(not _same(got, wanted), words)
    expect(
        not bool(torch.isnan(got).any()),
        "no single token has probability p, so the sum of what is left is 0, and the "
        "result is nan; p is a sum over the most likely tokens, not a threshold for "
        "one",
    )
    for digits in (1, 2, 3, 4):
        fewer = [0, round(2 / 3, digits), 0, 0, round(1 / 3, digits)]
        expect(
            _same(got, [0, 2 / 3, 0, 0, 1 / 3]) or not _same(got, fewer),
            f"the result is rounded to {digits} digits; return the numbers themselves",
        )
    expect(
        abs(float(got.sum()) - 1) < 1e-5,
        f"the result adds up to {float(got.sum()):.7g}, and must add up to 1",
    )
    expect(
        _same(got, [0, 2 / 3, 0, 0, 1 / 3]),
        f"for p = 0.6 the result is {[round(x, 4) for x in got.tolist()]}; keep the "
        "two most likely tokens",
    )


def _expect_kept(answer, q, p, what):
    """Of equally likely tokens any may be kept, but as few as it takes."""
    got = _vector(answer(q.clone(), p), len(q))
    kept, ordered = got > 0, q.double().sort(descending=True).values
    fewest = int((ordered.cumsum(0) - ordered < p).sum())
    expect(
        int(kept.sum()) == fewest,
        f"of {what} and with p = {p:g} you keep {int(kept.sum())}, "
        f"and {fewest} reach p",
    )
    expect(
        bool((q[kept].min() >= q[~kept].max()).all()),
        f"of {what} and with p = {p:g} a token is kept that is less likely than one "
        "that is not",
    )
    scaled = torch.where(kept, q.double(), 0.0)
    expect(
        _same(got, (scaled / scaled.sum()).tolist()),
        f"of {what} and with p = {p:g} the correct tokens are kept, but their "
        "probabilities are not those of the vector, divided by their sum",
    )


def _same(got, wanted):
    return torch.allclose(
        got, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-5
    )


def _wrong_perplexities(pairs):
    """[(a wrong perplexity, its hint)]."""
    real = [(loss, count) for loss, count in pairs if count]
    losses, total = [loss for loss, _ in real], sum(n for _, n in real)
    total_nll = sum(loss * n for loss, n in real)
    mean, means = total_nll / total, sum(losses) / len(real)
    longer = [(loss, n) for loss, n in real if n > 1]
    still = "this is a mean loss in nats; perplexity is its exponential"
    return [
        (mean, still),
        (means, still),
        (total_nll, "this is the sum of the nats; divide by all tokens, then take exp"),
        (
            math.exp(means),
            "this is a mean of means: the document with 1 token counts as much as the "
            "one with 12; weight each by its tokens",
        ),
        (
            math.exp(sum(losses) / len(pairs)),
            "this is an nth root over documents, a mean of means, in which each counts "
            "as much as any other; weight each by its tokens",
        ),
        (
            math.exp(sorted(losses)[len(losses) // 2]),
            "this is the median document; perplexity is of all tokens together",
        ),
        (
            sum(map(math.exp, losses)) / len(real),
            "this is a mean of perplexities: one hard document outweighs all others; "
            "add up the nats first, take the exponential once",
        ),
        (
            sum(math.exp(loss) * n for loss, n in real) / total,
            "the perplexities are weighted by tokens and averaged; average the losses "
            "that way, and take the exponential at the end",
        ),
        (
            2**mean,
            "the losses are in nats, so the base is e; 2 to the loss is for bits",
        ),
        (10**mean, "the losses are in nats, so the base is e and not 10 to the loss"),
        (
            math.exp(total_nll / len(real)),
            "the nats are divided by the number of documents; divide by the number of "
            "tokens",
        ),
        (
            math.exp(total_nll / len(pairs)),
            "the nats are divided by the number of all documents; divide by the number "
            "of tokens",
        ),
        (
            math.exp(total_nll / (total + 1)),
            "the nats are divided by one token too many; a document without targets "
            "counts as 0 tokens, not as 1: divide by all target tokens",
        ),
        (
            math.exp(sum(loss * n for loss, n in longer) / sum(n for _, n in longer)),
            "the document with one predicted token is left out; only those with 0 "
            "have nothing to say",
        ),
    ]


@exercise
def check_uneven_perplexity(answer):
    """Clinic. answer([(mean loss in nats, number of target tokens)]) -> perplexity of
    the whole text.
    """

    def expected_for(pairs):
        real = [(loss, count) for loss, count in pairs if count]
        return math.exp(sum(loss * n for loss, n in real) / sum(n for _, n in real))

    pairs = [(4.5, 1), (2.0, 7), (3.0, 12), (float("nan"), 0)]
    got, expected = float(answer(list(pairs))), expected_for(pairs)
    expect(
        not math.isnan(got),
        "the result is not a number: a document of one token has no targets, and its "
        "mean loss is nan; leave out documents with 0 targets",
    )
    expect_none_of(got, expected, _wrong_perplexities(pairs))
    expect_unrounded(got, expected, "the perplexity")
    expect(
        near(got, expected),
        f"the perplexity is {got:.7g}, expected {expected:.7g}; take exp(all "
        "nats / all target tokens)",
    )
    nan = float("nan")
    for again in ([(nan, 0), (1.5, 30), (nan, 0), (6.0, 2), (2.5, 1)], [(0.25, 9)]):
        got = float(answer(list(again)))
        expect(
            not math.isnan(got),
            "two documents without targets give nan; leave out each of them, wherever "
            "it stands",
        )
        expect(
            near(got, expected_for(again)),
            f"correct for the first documents; for other documents, {again}, the "
            f"perplexity is {got:.7g}, expected {expected_for(again):.7g}",
        )
    means = math.exp((4.5 + 2 + 3) / 3)
    return correct(
        f"{expected:.2f} for all 20 tokens; a mean of means gives {means:.2f}"
    )


def _batch(lengths, tokens, scale=2.0, size=V, seed=4):
    """(logits, ids, mask) of a padded batch; padding has an id that words have too."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, size, (len(lengths), tokens), generator=g)
    ids[0, tokens // 2], mask = 0, torch.ones_like(ids)
    for row, length in enumerate(lengths):
        ids[row, length:], mask[row, length:] = 3, 0
    return torch.randn(*ids.shape, size, generator=g) * scale, ids, mask


def _total_nll(logits, labels, keep):
    each = F.cross_entropy(
        logits.flatten(0, 1).double(), labels.flatten(), reduction="none"
    )
    return float((each * keep.flatten()).sum())


def _wrong_sums(logits, ids, mask, expected):
    """[(a wrong sum of nats, its hint)]."""
    here, after = logits[:, :-1], ids[:, 1:]
    padding = int((mask[:, 1:] == 0).sum())
    return [
        (
            _total_nll(logits, ids, mask),
            "the labels are not shifted: position t predicts token t, which is its "
            "input; let it predict token t + 1",
        ),
        (
            _total_nll(logits, ids, torch.ones_like(mask)),
            "the labels are not shifted, and padding counts as a target, as in the "
            "snippet",
        ),
        (
            _total_nll(logits[:, 1:], ids[:, :-1], mask[:, :-1]),
            "shifted the wrong way: position t predicts token t - 1; drop the last "
            "position of the logits and the first of the labels",
        ),
        (
            _total_nll(here, after, torch.ones_like(after)),
            f"padding counts as a target: {padding} labels are not tokens; leave out "
            "the positions where attention_mask is 0",
        ),
        (
            _total_nll(here, after, mask[:, :-1]),
            "the mask is not shifted with the labels; it says whether a label is real, "
            "so drop its first position too",
        ),
        (
            _total_nll(logits, ids.roll(-1, 1), mask),
            "roll moves the first token to the last position; drop it instead",
        ),
        (
            _total_nll(here, after, after != 0),
            "id 0 is taken for padding; a word may have id 0, and padding another "
            "one: attention_mask says which positions are real",
        ),
        (
            _total_nll(here, after, F.pad(mask[:, 2:], (0, 1))),
            "the last real token of each row is left out; it is a target too",
        ),
        (-expected, "the sum has the wrong sign: nats are minus the log-likelihood"),
        (expected / math.log(2), "the sum is in bits; take the natural logarithm"),
    ]


@exercise
def check_target_nll(answer):
    """Clinic. answer(logits (B, T, V), input_ids, attention_mask (B, T), padded on the
    right) -> (sum of nats, number of targets).
    """
    total, targets, batch = _sum_and_count(answer, (9, 5, 2, 7), 9)
    logits, ids, mask = batch
    count = int(mask[:, 1:].sum())
    expected = _total_nll(logits[:, :-1], ids[:, 1:], mask[:, 1:])
    expect(
        not (near(total, count) and near(targets, expected)),
        "the two numbers are the other way round; the sum comes first",
    )
    wrong = _wrong_sums(logits, ids, mask, expected)
    expect_none_of(total, expected, wrong)
    expect(
        not any(
            near(total, value / n)
            for value in (*(value for value, _ in wrong), expected)
            for n in (int(mask.sum()), count, ids[:, 1:].numel(), ids.numel())
        ),
        "the first number is a mean; return the sum and the count, so that batches "
        "can be added up",
    )
    expect_unrounded(total, expected, "the sum")
    expect(
        near(total, expected),
        f"the sum is {total:.7g} nats, expected {expected:.7g}; repair the shift, "
        "the padding and the mean one by one",
    )
    expect(
        targets != int(mask.sum()),
        "you count all real tokens; the first token of each row is not a target",
    )
    expect(
        targets == count,
        f"{targets:g} targets came back, expected {count}: the real tokens after "
        "the first of each row",
    )
    _expect_other_batches(answer)
    return correct(f"{count} targets, each predicted at the position before it")


def _sum_and_count(answer, lengths, tokens, **how):
    batch = _batch(lengths, tokens, **how)
    got = answer(*(tensor.clone() for tensor in batch))
    return *two_numbers(got, "sum of the nats, number of target tokens"), batch


def _expect_other_batches(answer):
    """Another shape, logits whose softmax underflows, and rows without targets."""
    total, targets, batch = _sum_and_count(
        answer, (6, 3, 4), 6, scale=200.0, size=7, seed=8
    )
    logits, ids, mask = batch
    expected = _total_nll(logits[:, :-1], ids[:, 1:], mask[:, 1:])
    expect(
        math.isfinite(total),
        f"with logits of some hundreds the sum is {total}: a probability there is "
        "rounded to 0 before its logarithm is taken; use log_softmax or cross_entropy",
    )
    expect(
        total > 0.9 * expected,
        f"with logits of some hundreds the sum is {total:.7g}, expected "
        f"{expected:.7g}: large losses are cut off; is a value clamped, or is a "
        "small number added before the logarithm? Use log_softmax or cross_entropy",
    )
    expect(
        near(total, expected) and targets == 10,
        f"correct for the first batch; in one of 3 rows of 6 tokens the result is "
        f"({total:.7g}, {targets:g}), expected ({expected:.7g}, 10)",
    )
    total, targets, _ = _sum_and_count(answer, (1, 1), 4)
    expect(
        total == 0 and targets == 0,
        "two rows of one real token have no targets at all, and the result is "
        f"({total:g}, {targets:g}), expected (0, 0); a sum of nothing is 0",
    )
