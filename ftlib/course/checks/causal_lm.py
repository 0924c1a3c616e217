"""Checks of chapter 08: two entropies of a text, a smoothed bigram baseline, top-p by
hand, and two broken snippets.

>>> from ftlib.course.checks.causal_lm import check_uneven_perplexity
>>> check_uneven_perplexity(
...     lambda pairs: sum(loss for loss, count in pairs if count) / 3
... )
hint: this is a mean loss in nats; perplexity is its exponential

What it is not: a test of one way to count. Numbers are compared with sums made here, in
float64, within 1e-4.
Needs: torch, ftlib.

Shapes: N rows, T tokens, B rows of a batch, V vocabulary.
"""

import math

import torch
import torch.nn.functional as F

from ftlib.course.checks import correct, exercise, expect

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


def _near(a, b):
    return abs(a - b) < 1e-4


@exercise
def check_two_entropies(answer):
    """answer(ids (N, T), vocab_size) -> (unigram entropy, bigram entropy) of this text,
    nats, from its own counts.
    """
    ids = _text(40, 15, seed=1)
    got = answer(ids.clone(), V)
    expect(
        len(got) == 2,
        f"{len(got)} numbers came back; return two, the unigram "
        "entropy and the bigram entropy",
    )
    one, two = float(got[0]), float(got[1])
    pairs = _pairs(ids)
    p = torch.bincount(ids.flatten(), minlength=V).double() / ids.numel()
    joint = pairs / pairs.sum()
    first = pairs.sum(1)
    expected = _entropy(p), _entropy(joint) - _entropy(first / first.sum())
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
        not _near(one, expected[0] / math.log(2)),
        "the unigram entropy is in bits; the course counts in nats, so take the "
        "natural logarithm",
    )
    expect(
        not _near(one, math.log(V)),
        "the first number is ln V, the entropy of a uniform distribution; use how "
        "often each token occurs",
    )
    smooth = (p * ids.numel() + 1) / (ids.numel() + V)
    expect(
        not (
            _near(one, _entropy(smooth)) or _near(one, float(-(p * smooth.log()).sum()))
        ),
        "1 was added to the counts; smoothing is for a text that was not counted, "
        "and here you compute the entropy of the counts themselves",
    )
    expect(
        _near(one, expected[0]),
        f"the unigram entropy is {one:.3f}, expected {expected[0]:.3f}; take minus "
        "the sum of p log p over the tokens",
    )
    expect(
        not _near(two, _entropy(joint)),
        "the second number is the entropy of pairs, of both tokens together; the "
        "first token is given, so divide by its count: p(b | a)",
    )
    seen = pairs[pairs > 0] / first[:, None].expand_as(pairs)[pairs > 0]
    expect(
        not _near(two, float(-seen.log().mean())),
        "each kind of pair counts once; weight it by how often it occurs",
    )
    rows = pairs / first[:, None].clamp(min=1)
    expect(
        not _near(
            two, float(-torch.special.xlogy(rows, rows).sum(1)[first > 0].mean())
        ),
        "each token a counts once; weight its entropy by how often a stands before "
        "another token",
    )
    flat = ids.flatten()[None]
    across = _pairs(flat)
    expect(
        not _near(
            two,
            _entropy(across / across.sum()) - _entropy(across.sum(1) / across.sum()),
        ),
        "pairs run across the border of two rows; the last token of a row and the "
        "first of the next are not a pair",
    )
    back = pairs.sum(0)
    expect(
        not _near(two, _entropy(joint) - _entropy(back / back.sum())),
        "this predicts a token given the next one; divide by the count of the first "
        "token of a pair",
    )
    expect(
        _near(two, expected[1]),
        f"the bigram entropy is {two:.3f}, expected {expected[1]:.3f}; take the mean "
        "of -log(count(ab) / count(a as a first token))",
    )
    return correct(
        f"{expected[0]:.2f} nats per token alone, {expected[1]:.2f} given the token "
        "before"
    )


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
    got, pairs = float(answer(train.clone(), val.clone(), V, add)), _pairs(train)

    def cost(p, rows=val):
        return float(-p[rows[:, :-1], rows[:, 1:]].log().mean())

    def smooth(c, add=add, axis=1):
        return (c + add) / (c + add).sum(axis, keepdim=True)

    expected = cost(smooth(pairs))
    expect(
        math.isfinite(got),
        "the baseline is infinite: a pair that is not in the training text has "
        "probability 0; add `add` to every count",
    )
    expect(
        not _near(got, expected / math.log(2)),
        "the baseline is in bits; the loss of a model is in nats, so use the natural "
        "logarithm",
    )
    expect(
        not _near(got, cost((pairs + add) / (pairs.sum(1, keepdim=True) + add))),
        "count(a) gets `add` once; each of the V tokens after a got one, so count(a) "
        "grows by add * V, or the row adds up to more than 1",
    )
    expect(
        not _near(got, cost((pairs + add) / pairs.sum(1, keepdim=True).clamp(min=1))),
        "the row of a adds up to more than 1: count(a) must grow by all that was "
        "added to its row, add * V",
    )
    expect(
        not _near(got, cost(smooth(_pairs(val)))),
        "the pairs were counted in the validation text; count in the training text "
        "only",
    )
    expect(
        not _near(got, cost(smooth(pairs), train)),
        "this is the loss on the training text; take the mean over the pairs of the "
        "validation text",
    )
    expect(
        not _near(got, cost(smooth(pairs, axis=0))),
        "each column adds up to 1; each row must, because p(b | a) is a distribution "
        "over b",
    )
    single = torch.bincount(train.flatten(), minlength=V).double()
    expect(
        not _near(got, float(-smooth(single[None])[0][val[:, 1:]].log().mean()))
        and not _near(got, float(-smooth(single[None])[0][val].log().mean())),
        "this baseline ignores the token before; count pairs",
    )
    expect(
        not _near(got, math.exp(expected)),
        "this is a perplexity; the baseline is its logarithm",
    )
    expect(
        not _near(got, expected * val[:, 1:].numel()),
        "this is the sum; the baseline is a mean, in nats per token",
    )
    expect(
        _near(got, expected),
        f"the baseline is {got:.3f}, expected {expected:.3f}; take the mean of -log "
        "p(b | a) over the pairs inside the rows",
    )
    again = float(answer(train.clone(), val.clone(), V, 3.0))
    expected = cost(smooth(pairs, 3.0))
    expect(
        _near(again, expected),
        f"with add=3 the baseline is {again:.3f}, expected {expected:.3f}; use the "
        "argument `add`",
    )
    return correct(
        f"{cost(smooth(pairs)):.2f} nats with 0.5 added to each count, "
        f"{expected:.2f} with 3"
    )


@exercise
def check_nucleus(answer):
    """answer(probabilities (V,), p) -> (V,): the smallest set of most likely tokens
    whose probabilities reach p, rescaled to add up to 1; 0 elsewhere.
    """
    q = torch.tensor([0.0625, 0.5, 0.125, 0.0625, 0.25])
    got = torch.as_tensor(answer(q.clone(), 0.6)).double()
    expect(
        tuple(got.shape) == (5,),
        f"the shape is {tuple(got.shape)}, expected (5,): one probability for each "
        "token of the vocabulary",
    )
    expect(
        not _same(got, [0, 1, 0, 0, 0]),
        "the token that carries the sum over p was left out; 0.5 alone does not "
        "reach 0.6, so keep two tokens",
    )
    expect(
        not _same(got, [2 / 3, 1 / 3, 0, 0, 0]),
        "the result is in sorted order; put each probability back at the index of "
        "its token",
    )
    expect(
        not _same(got, [0, 0.5, 0, 0, 0.25]),
        "the kept probabilities add up to 0.75; divide by their sum",
    )
    expect(
        not bool(torch.isnan(got).any()) and not _same(got, [0, 0, 0, 0, 0]),
        "no single token has probability p, so nothing is left; p is a sum over the "
        "most likely tokens, not a threshold for one",
    )
    expect(
        not _same(got, [0, 4 / 7, 1 / 7, 0, 2 / 7]),
        "one token too many: 0.5 and 0.25 reach 0.6; keep a token only if the more "
        "likely ones do not reach p",
    )
    expect(
        not _same(got, [0, 4 / 7, 1 / 7, 0, 2 / 7])
        and abs(float(got.sum()) - 1) < 1e-5,
        f"the result adds up to {float(got.sum()):.3f}, and must add up to 1",
    )
    expect(
        _same(got, [0, 2 / 3, 0, 0, 1 / 3]),
        f"for p = 0.6 the result is {[round(x, 2) for x in got.tolist()]}; keep the "
        "two most likely tokens",
    )
    subset = torch.as_tensor(answer(q.clone(), 0.1)).double()
    expect(
        _same(subset, [0, 1, 0, 0, 0]),
        "with p = 0.1 keep the most likely token, and no other",
    )
    full = torch.as_tensor(answer(q.clone(), 1.0)).double()
    expect(_same(full, q.tolist()), "with p = 1 keep every token")
    edge = torch.as_tensor(answer(q.clone(), 0.75)).double()
    expect(
        _same(edge, [0, 2 / 3, 0, 0, 1 / 3]),
        "with p = 0.75 the two most likely tokens reach p exactly, and that is enough",
    )
    return correct(
        "the smallest set of tokens that reaches p, each at its own index, adding up "
        "to 1"
    )


def _same(got, wanted):
    return torch.allclose(got, torch.tensor(wanted, dtype=torch.float64), atol=1e-5)


@exercise
def check_uneven_perplexity(answer):
    """Clinic. answer([(mean loss in nats, number of target tokens)]) -> perplexity of
    the whole text.
    """
    pairs = [(4.0, 1), (2.0, 7), (3.0, 12), (float("nan"), 0)]
    real = [(loss, count) for loss, count in pairs if count]
    total = sum(n for _, n in real)
    mean = sum(loss * n for loss, n in real) / total
    got = float(answer(list(pairs)))
    expect(
        not math.isnan(got),
        "the result is not a number: a document of one token has no targets, and its "
        "mean loss is nan; leave out documents with 0 targets",
    )
    means = sum(loss for loss, _ in real) / len(real)
    expect(
        not (_near(got, mean) or _near(got, means)),
        "this is a mean loss in nats; perplexity is its exponential",
    )
    expect(
        not _near(got, math.exp(means)),
        "this is a mean of means: the document with 1 token counts as much as the "
        "one with 12; weight each by its tokens",
    )
    expect(
        not (_near(got, sum(math.exp(loss) for loss, _ in real) / len(real))),
        "this is a mean of perplexities: one hard document outweighs all others; add "
        "up the nats first, take the exponential once",
    )
    expect(
        not _near(got, sum(math.exp(loss) * n for loss, n in real) / total),
        "the perplexities are weighted by tokens and averaged; average the losses "
        "that way, and take the exponential at the end",
    )
    expect(
        not _near(got, 2**mean),
        "the losses are in nats, so the base is e; 2 to the loss is for bits",
    )
    expect(
        not _near(got, math.exp(min(mean * total / len(real), 700))),
        "the nats are divided by the number of documents; divide by the number of "
        "tokens",
    )
    expect(
        not _near(got, math.exp(mean * total / len(pairs))),
        "the nats are divided by the number of all documents; divide by the number "
        "of tokens",
    )
    expect(
        _near(got, math.exp(mean)),
        f"the perplexity is {got:.3f}, expected {math.exp(mean):.3f}; take exp(all "
        "nats / all target tokens)",
    )
    return correct(
        f"{math.exp(mean):.2f} for all {total} tokens; a mean of means gives "
        f"{math.exp(means):.2f}"
    )


@exercise
def check_target_nll(answer):
    """Clinic. answer(logits (B, T, V), input_ids, attention_mask (B, T), padded on the
    right) -> (sum of nats, number of targets).
    """
    g = torch.Generator().manual_seed(4)
    ids = torch.randint(1, V, (4, 9), generator=g)
    mask = torch.ones(4, 9, dtype=torch.long)
    for row, length in ((1, 5), (2, 2), (3, 7)):
        ids[row, length:], mask[row, length:] = 0, 0
    logits = torch.randn(4, 9, V, generator=g) * 2
    got = answer(logits.clone(), ids.clone(), mask.clone())
    expect(
        isinstance(got, (tuple, list)) and len(got) == 2,
        "return two numbers: the sum of the nats, and the number of target tokens",
    )
    total, targets = float(got[0]), int(got[1])

    def cost(position, label, keep):
        each = F.cross_entropy(
            position.flatten(0, 1).double(), label.flatten(), reduction="none"
        )
        return float((each * keep.flatten()).sum()), int(keep.sum())

    here, after = logits[:, :-1], ids[:, 1:]
    expected = cost(here, after, mask[:, 1:])
    wrong = {
        cost(logits, ids, mask)[0]: (
            "the labels are not shifted: position t predicts token t, which is its "
            "input; let it predict token t + 1"
        ),
        cost(logits, ids, torch.ones_like(mask))[0]: (
            "the labels are not shifted, and padding counts as a target, as in the "
            "snippet"
        ),
        cost(logits[:, 1:], ids[:, :-1], mask[:, :-1])[0]: (
            "shifted the wrong way: position t predicts token t - 1; drop the last "
            "position of the logits and the first of the labels"
        ),
        cost(here, after, torch.ones_like(after))[0]: (
            "padding counts as a target: 12 labels are not tokens; leave out the "
            "positions where attention_mask is 0"
        ),
        cost(here, after, mask[:, :-1])[0]: (
            "the mask is not shifted with the labels; it says whether a label is real, "
            "so drop its first position too"
        ),
        cost(logits, ids.roll(-1, 1), mask)[
            0
        ]: "roll moves the first token to the last position; drop it instead",
    }
    for value, words in wrong.items():
        expect(not _near(total, value), words)
    expect(
        not any(
            n and _near(total, value / n)
            for value in (*wrong, expected[0])
            for n in (24, 23, 19, 32, 36)
        ),
        "the first number is a mean; return the sum and the count, so that batches "
        "can be added up",
    )
    expect(
        _near(total, expected[0]),
        f"the sum is {total:.3f} nats, expected {expected[0]:.3f}; repair the shift, "
        "the padding and the mean one by one",
    )
    expect(
        targets != int(mask.sum()),
        "you count all real tokens; the first token of each row is not a target",
    )
    expect(
        targets == expected[1],
        f"{targets} targets came back, expected {expected[1]}: the real tokens after "
        "the first of each row",
    )
    return correct(f"{expected[1]} targets, each predicted at the position before it")
