"""Checks of chapter 13: recall by hand, InfoNCE, an experiment on the temperature, a
broken loss of CLIP, the loss of SimCLR.

>>> import torch
>>> from ftlib.course.checks.contrastive import check_found_within
>>> check_found_within(lambda scores, own, k: (scores.argmax(1) == own).sum())
hint: only the very first is looked at, and k is 3

What it is not: the losses (contrastive.py) or the metrics (retrieval.py). Needs: torch,
ftlib.
"""

import torch
import torch.nn.functional as F

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import experiment
from ftlib.course.checks.numeric import close
from ftlib.objectives import contrastive


def _searches():
    """(scores, own, k) of drawn and hand-made searches, with ties in every fourth."""
    for seed in range(1, 13):
        draw = torch.Generator().manual_seed(seed)
        queries, candidates = 40 + seed, 30 - seed
        scores = torch.randn(queries, candidates, generator=draw)
        if seed % 4 == 0:
            scores = scores.round()
        own = torch.randint(candidates, (queries,), generator=draw)
        yield scores, own, 1 + 2 * (seed % 5)
    yield torch.tensor([[0.1, 0.9, 0.5]]), torch.tensor([1]), 1
    yield torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.3, 0.4]]), torch.tensor([2, 0]), 2
    yield torch.ones(3, 4), torch.tensor([0, 1, 3]), 2


def _hits(scores, own, k):
    """1 for each query whose own candidate is among its first k, ties against it."""
    mine = scores.gather(1, own[:, None])
    return ((scores >= mine).sum(1) <= k).double()


@exercise
def check_found_within(answer):
    """answer(scores (Q, N), own (Q,), k) -> the fraction of queries, a number."""
    for scores, own, k in _searches():
        value, hits = float(answer(scores, own, k)), _hits(scores, own, k)
        if close(value, hits.mean()):
            continue
        expect(
            not close(value, hits.sum()) or close(hits.sum(), 0),
            f"the value is {value:g}, a number of queries; divide by all of them",
        )
        optimist = ((scores > scores.gather(1, own[:, None])).sum(1) < k).double()
        expect(
            not close(value, optimist.mean()),
            "a search that gives all candidates the same score looks good in your "
            "count; let candidates with an equal score count as better",
        )
        diagonal = torch.arange(len(scores)) % scores.shape[1]
        mine = scores.gather(1, own[:, None])
        tied = bool(((scores == mine).sum(1) > 1).any())
        expect(
            tied or not close(value, _hits(scores, diagonal, k).mean()),
            "you look for candidate i of query i; its right candidate is own[i]",
        )
        expect(
            not close(value, _hits(scores, own, 1).mean())
            and not close(value, _hits(scores, own, 1).sum()),
            f"only the very first is looked at, and k is {k}",
        )
        expect(
            not close(value, _hits(-scores, own, k).mean()),
            "the lowest scores come first in your order; higher is better",
        )
        expect(
            False,
            f"of {len(scores)} queries among {scores.shape[1]} candidates with k = {k} "
            f"the value is {value:.6f}, expected {float(hits.mean()):.6f}; equal "
            "scores count against you",
        )
    return correct("found within k, and equal scores do not help")


def _pairs(count, width, seed):
    """`count` pairs of vectors of different lengths that take gradients."""
    draw = torch.Generator().manual_seed(seed)
    length = 0.3 + 3 * torch.rand(2, count, 1, generator=draw)
    vectors = torch.randn(2, count, width, generator=draw) * length
    vectors[1] += 0.7 * vectors[0]
    return [v.clone().requires_grad_() for v in vectors]


def _scalar(loss):
    """Raise the hint unless the loss is a tensor of one number."""
    expect(
        isinstance(loss, torch.Tensor) and loss.numel() == 1,
        "return the loss as a tensor of one number, so that backward() can be called",
    )
    expect(bool(torch.isfinite(loss).all()), f"the loss is {float(loss.detach())}")
    expect(
        loss.requires_grad,
        "the loss has lost its gradients; leave out detach(), float() and no_grad()",
    )


def _same_gradients(answer_loss, right_loss, inputs):
    got = torch.autograd.grad(answer_loss.sum(), inputs, allow_unused=True)
    wanted = torch.autograd.grad(right_loss, inputs)
    for name, one, other in zip(("first", "second"), got, wanted):
        expect(
            one is not None and torch.allclose(one, other, atol=1e-4, rtol=1e-3),
            f"the value is correct, and the gradient of the {name} vectors is not; "
            "detach nothing and round nothing",
        )


def _values(a, b, temperature, normalize=True, reverse=False):
    """Cross-entropies (B,) of each row of a against all rows of b."""
    if normalize:
        a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
    logits = a @ b.T * temperature if reverse else a @ b.T / temperature
    return F.cross_entropy(logits, torch.arange(len(a)), reduction="none")


@exercise
def check_pair_nce(answer):
    """answer(queries (B, D), keys (B, D), temperature) -> the sum over pairs."""
    for count, width, temperature in ((4, 8, 0.1), (9, 5, 0.5), (2, 3, 1.0), (1, 4, 2)):
        q, k = _pairs(count, width, count)
        loss = answer(q, k, temperature)
        _scalar(loss)
        value, correct_loss = float(loss.detach()), _values(q, k, temperature).sum()
        if close(value, correct_loss.detach(), 1e-4):
            _same_gradients(loss, correct_loss, [q, k])
            continue
        correct_loss = correct_loss.detach()
        q, k = q.detach(), k.detach()
        wrong = (
            (correct_loss / count, "the value is the mean over pairs; return the sum"),
            (
                _values(k, q, temperature).sum(),
                "each key looks for its query; turn it round: each row of scores "
                "belongs to a query",
            ),
            (
                _values(q, k, temperature, normalize=False).sum(),
                "the vectors are compared by their scalar product, so long ones win; "
                "scale each to length 1 first",
            ),
            (
                _values(q, k, temperature, reverse=True).sum(),
                "you multiply by the temperature; divide by it",
            ),
            (
                _values(q, k, 1.0).sum(),
                "the temperature does nothing in your function",
            ),
        )
        for number, words in wrong:
            expect(not close(value, number, 1e-4) or count == 1, words)
        expect(
            False,
            f"with {count} pairs and temperature {temperature} the sum is {value:.5f}, "
            f"expected {float(correct_loss):.5f}; cross-entropy over each query's "
            "row of similarities, the right key stands on the diagonal",
        )
    return correct("each query finds its key among all")


def by_temperature(run):
    """run(balanced, seed) as a function of 0.07 or 1.0 and the seed."""

    def run_at(temperature, seed):
        expect(
            float(temperature) in (0.07, 1.0),
            f"you run temperature {temperature}; compare 0.07 with 1.0",
        )
        return run(float(temperature) == 0.07, seed)

    return run_at


@exercise
def check_colder(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(temperature, seed) is a recall.
    """
    return experiment(answer, "0.07 minus 1.0", by_temperature)


NAMES = (
    ["cat", "dog", "cat", "sun"],
    ["a", "b", "c", "d", "e", "b", "b"],
    ["moon", "star"],
)


@exercise
def check_repaired_clip(answer):
    """answer(pictures (B, D), texts (B, D), names, temperature) -> the mean loss."""
    for seed, (names, temperature) in enumerate(zip(NAMES, (0.1, 0.5, 1.0))):
        p, t = _pairs(len(names), 6, seed)
        loss = answer(p, t, list(names), temperature)
        _scalar(loss)
        numbers = torch.tensor([sorted(set(names)).index(n) for n in names])
        known = dict(temperature=temperature)
        correct_loss = contrastive.clip_loss(p, t, numbers, **known) / len(names)
        value = float(loss.detach())
        if close(value, correct_loss.detach(), 1e-4):
            _same_gradients(loss, correct_loss, [p, t])
            continue
        p, t, correct_loss = p.detach(), t.detach(), correct_loss.detach()
        there = contrastive.info_nce(p, t, numbers, **known) / len(names)
        back = contrastive.info_nce(t, p, numbers, **known) / len(names)
        every = contrastive.clip_loss(p, t, **known) / len(names)
        raw = contrastive.clip_loss(p, t, numbers, normalize=False, **known)
        hot = contrastive.clip_loss(p, t, numbers, temperature=1 / temperature)
        wrong = (
            (
                correct_loss * len(names),
                "the value is the sum over pairs; take the mean",
            ),
            (there + back, "both directions are added; take their mean"),
            (there, "only pictures look for texts; add the way back, logits.T"),
            (back, "only texts look for pictures; add the other direction"),
            (
                every,
                "two pairs of one name are negatives of each other; hide them from "
                "the softmax with -inf, and leave the diagonal",
            ),
            (raw / len(names), "long vectors win; scale each to length 1"),
            (hot / len(names), "the temperature is multiplied; divide by it"),
        )
        for number, words in wrong:
            expect(not close(value, number, 1e-4), words)
        expect(
            False,
            f"for the names {names} at temperature {temperature} the loss is "
            f"{value:.5f}, expected {float(correct_loss):.5f}; there are four "
            "faults: lengths, temperature, direction, and equal names",
        )
    return correct("four faults found, both directions, no friend among the enemies")


def _views(a, b, temperature, itself=False, normalize=True):
    """Cross-entropies (2 B,) of each view against all others."""
    rows = torch.cat([a, b])
    rows = F.normalize(rows, dim=-1) if normalize else rows
    logits = rows @ rows.T / temperature
    if not itself:
        logits = logits.fill_diagonal_(float("-inf"))
    partner = torch.arange(len(rows)).roll(len(a))
    return F.cross_entropy(logits, partner, reduction="none")


@exercise
def check_two_view_loss(answer):
    """answer(first (B, D), second (B, D), temperature) -> the mean over 2 B views."""
    for count, width, temperature in ((4, 8, 0.1), (9, 5, 0.5), (3, 4, 1.0), (2, 6, 2)):
        a, b = _pairs(count, width, count)
        loss = answer(a, b, temperature)
        _scalar(loss)
        correct_loss = contrastive.nt_xent(a, b, temperature=temperature) / count
        value = float(loss.detach())
        if close(value, correct_loss.detach(), 1e-4):
            _same_gradients(loss, correct_loss, [a, b])
            continue
        a, b, correct_loss = a.detach(), b.detach(), correct_loss.detach()
        views = _views(a, b, temperature)
        known = dict(temperature=temperature)
        wrong = (
            (views.sum(), "the value is the sum over views; take the mean"),
            (views.sum() / count, "divide by all 2B views, not by the B pictures"),
            (
                _views(a, b, temperature, itself=True).mean(),
                "each view finds itself; set the diagonal to minus infinity",
            ),
            (
                _views(a, b, temperature, normalize=False).mean(),
                "long vectors win; scale each to length 1",
            ),
            (_views(a, b, 1 / temperature).mean(), "divide by the temperature"),
            (_views(a, b, 1.0).mean(), "the temperature does nothing in your function"),
            (views[:count].mean(), "only the first views look; the second look too"),
            (views[count:].mean(), "only the second views look; the first look too"),
            (
                contrastive.info_nce(a, b, **known) / count,
                "first views are compared with second ones alone; the other first "
                "views are negatives too, so the table has 2B rows and columns",
            ),
            (
                contrastive.clip_loss(a, b, **known) / count,
                "this is the loss of CLIP; views of one kind are negatives too, so "
                "the table has 2B rows and columns",
            ),
        )
        for number, words in wrong:
            expect(not close(value, number, 1e-4), words)
        expect(
            False,
            f"with {count} pictures at temperature {temperature} the mean is "
            f"{value:.5f}, expected {float(correct_loss):.5f}; the partner of view i "
            "is view i + B, and that of view i + B is view i",
        )
    return correct("every view finds its partner, and none finds itself")
