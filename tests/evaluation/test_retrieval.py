"""Ranking metrics against slow loops over all orders of the ties, and scikit-learn."""

import itertools
import math

import pytest
import torch

from ftlib.evaluation import retrieval


def problem(seed, levels, queries=8, candidates=6, one=False):
    """(scores, gains, excluded): few levels make many ties, None makes none."""
    g = torch.Generator().manual_seed(seed)
    shape = (queries, candidates)
    scores = torch.randn(shape, generator=g, dtype=torch.float64)
    if levels:
        scores = torch.randint(levels, shape, generator=g).double()
    gains = (torch.randint(7, shape, generator=g) - 3).clamp(min=0).double()
    target = torch.randint(candidates, (queries,), generator=g)
    columns = torch.arange(candidates)
    is_target = columns == target[:, None]
    gains = is_target.double() if one else torch.where(is_target, 2.0, gains)
    excluded = torch.rand(shape, generator=g) < 0.6
    # two at least are ranked
    excluded &= (gains == 0) & (columns > 1)
    return scores, gains, excluded


def orders(scores, excluded):
    """Every order, best first, that agrees with the scores of one query."""
    ranked = [i for i in range(len(scores)) if not excluded[i]]
    levels = sorted({float(scores[i]) for i in ranked}, reverse=True)
    groups = [[i for i in ranked if scores[i] == level] for level in levels]
    for parts in itertools.product(*(itertools.permutations(g) for g in groups)):
        yield [i for part in parts for i in part]


def recall(order, gains, k):
    relevant = [i for i, gain in enumerate(gains) if gain > 0]
    return sum(i in order[:k] for i in relevant) / len(relevant)


def hit(order, gains, k):
    return float(any(gains[i] > 0 for i in order[:k]))


def reciprocal(order, gains, k):
    position = 1 + min(order.index(i) for i, gain in enumerate(gains) if gain > 0)
    return 1 / position if position <= k else 0.0


def ndcg(order, gains, k, gain_of=float):
    def dcg(ordered):
        return sum(gain_of(x) / math.log2(n + 2) for n, x in enumerate(ordered[:k]))

    return dcg([gains[i] for i in order]) / dcg(sorted(gains, reverse=True))


def exponential_ndcg(order, gains, k):
    return ndcg(order, gains, k, lambda gain: 2**gain - 1)


METRICS = {
    "recall": (retrieval.recall_at_k, recall),
    "hit rate": (retrieval.hit_rate_at_k, hit),
    "reciprocal rank": (retrieval.reciprocal_rank, reciprocal),
    "nDCG": (retrieval.ndcg_at_k, ndcg),
    "exponential nDCG": (
        lambda *a, **k: retrieval.ndcg_at_k(*a, exponential=True, **k),
        exponential_ndcg,
    ),
}


def slow(metric, scores, gains, k, excluded):
    """The mean over every order of the ties, query by query."""
    values = []
    for row, gain, out in zip(scores, gains.tolist(), excluded):
        every = [metric(order, gain, k) for order in orders(row, out)]
        values.append(sum(every) / len(every))
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("levels", [None, 3, 2, 1])
@pytest.mark.parametrize("name", METRICS)
def test_each_metric_is_the_mean_over_all_orders_of_the_ties(name, levels):
    metric, loop = METRICS[name]
    for seed in range(3):
        scores, gains, excluded = problem(seed, levels)
        assert levels is None or excluded.any()
        for k in (1, 2):
            for out in (excluded, torch.zeros_like(excluded)):
                wanted = slow(loop, scores, gains, k, out)
                got = metric(scores, gains, k=k, excluded=out)
                torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
        everywhere = scores.shape[1]
        wanted = slow(loop, scores, gains, everywhere, torch.zeros_like(excluded))
        got = metric(scores, gains, k=everywhere)
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["reciprocal rank", "nDCG"])
def test_without_k_every_position_counts(name):
    metric, loop = METRICS[name]
    scores, gains, excluded = problem(5, 3)
    wanted = slow(loop, scores, gains, scores.shape[1], excluded)
    got = metric(scores, gains, excluded=excluded)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def test_sorting_the_ties_as_they_come_is_caught(counted):
    """The planted fault: a sort that keeps the order of the columns finds the first
    candidate of constant scores every time.
    """
    scores, target = torch.zeros(6, 20), torch.zeros(6, dtype=torch.long)
    order = scores.sort(dim=1, descending=True, stable=True).indices
    assert (order[:, :1] == target[:, None]).all()  # recall@1 of 100 %
    assert retrieval.recall_at_k(scores, target, 1).tolist() == [1 / 20] * 6
    counted("fault")


@pytest.mark.parametrize("k", [1, 3, None])
@pytest.mark.parametrize("levels", [None, 4])
def test_ndcg_equals_scikit_learn(k, levels):
    from sklearn.metrics import ndcg_score

    scores, gains, _ = problem(2, levels, queries=40, candidates=30)
    got = retrieval.ndcg_at_k(scores, gains, k)
    theirs = [
        ndcg_score(g[None].numpy(), s[None].numpy(), k=k) for g, s in zip(gains, scores)
    ]
    torch.testing.assert_close(got, torch.tensor(theirs, dtype=torch.float64))


def test_constant_scores_are_chance_whatever_is_relevant():
    _, gains, _ = problem(3, None, queries=5, candidates=40)
    scores = torch.full(gains.shape, 0.3)
    assert torch.allclose(
        retrieval.recall_at_k(scores, gains, 10),
        torch.tensor(10 / 40, dtype=torch.float64),
    )
    target = gains.argmax(1)
    harmonic = sum(1 / n for n in range(1, 41)) / 40
    got = retrieval.reciprocal_rank(scores, target)
    assert torch.allclose(got, torch.tensor(harmonic, dtype=torch.float64))
    assert retrieval.expected_rank(scores, target).tolist() == [20.5] * 5


@pytest.mark.parametrize("levels", [None, 3])
def test_the_number_of_a_candidate_is_its_row_of_zeros_and_a_one(levels):
    scores, gains, excluded = problem(4, levels, one=True)
    target = gains.argmax(1)
    for metric, _ in METRICS.values():
        for form in (gains, gains.bool(), gains.long()):
            assert torch.equal(
                metric(scores, target, k=2, excluded=excluded),
                metric(scores, form, k=2, excluded=excluded),
            )
    # with one relevant candidate a hit is its recall
    torch.testing.assert_close(
        retrieval.hit_rate_at_k(scores, target, 2, excluded),
        retrieval.recall_at_k(scores, target, 2, excluded),
    )
    ranks = [
        sum(order.index(t) + 1 for order in every) / len(every)
        for t, every in zip(
            target.tolist(), ([*orders(s, e)] for s, e in zip(scores, excluded))
        )
    ]
    assert retrieval.expected_rank(scores, target, excluded).tolist() == pytest.approx(
        ranks
    )


def test_what_was_seen_takes_no_position():
    """Leave-one-out: the films that a user knows stand first, and count for nothing."""
    scores = torch.tensor([[9.0, 8.0, 7.0, 1.0, 0.0]])
    seen = torch.tensor([[True, True, False, False, False]])
    target = torch.tensor([2])
    assert retrieval.hit_rate_at_k(scores, target, 1).tolist() == [0.0]
    assert retrieval.hit_rate_at_k(scores, target, 1, seen).tolist() == [1.0]
    assert retrieval.expected_rank(scores, target, seen).tolist() == [1.0]
    # a score of -inf is one of the lowest, beside those that are out of the order
    scores = torch.tensor([[9.0, 8.0, 7.0, -torch.inf, -torch.inf]])
    rank = retrieval.expected_rank(scores, torch.tensor([3]), seen)
    assert rank.tolist() == [2.5]
    assert retrieval.hit_rate_at_k(scores, torch.tensor([3]), 2, seen).tolist() == [0.5]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.long])
def test_short_types_keep_their_ties(dtype):
    scores, gains, _ = problem(6, 5, candidates=30)
    for metric, _ in METRICS.values():
        assert torch.equal(
            metric(scores.to(dtype), gains, k=4), metric(scores, gains, k=4)
        )
    near = torch.tensor([[1.0, 1.001]])  # one number in bfloat16
    target = torch.tensor([1])
    assert retrieval.expected_rank(near, target).tolist() == [1.0]
    assert retrieval.expected_rank(near.bfloat16(), target).tolist() == [1.5]


def test_many_ties_stay_exact():
    """5,000 candidates with one score: the counts are far beyond float64, their ratios
    are not.
    """
    scores = torch.zeros(1, 5000)
    relevant = torch.arange(5000)[None] < 50
    got = retrieval.hit_rate_at_k(scores, relevant, 100)
    missed = math.prod((4950 - i) / (5000 - i) for i in range(100))
    assert got.item() == pytest.approx(1 - missed, rel=1e-9)
    # the mean of 1 / first position, counted backwards
    mean, none_yet = 0.0, 1.0
    for n in range(4951):
        here = 50 / (5000 - n)
        mean, none_yet = mean + none_yet * here / (n + 1), none_yet * (1 - here)
    got = retrieval.reciprocal_rank(scores, relevant)
    assert got.item() == pytest.approx(mean, rel=1e-9)


SCORES, TARGET = torch.rand(3, 5), torch.tensor([0, 1, 2])
NONE = torch.zeros(3, 5, dtype=torch.bool)
REFUSED = {
    "one query without its row": (
        (SCORES[0], TARGET, 1),
        r"scores have the shape \(5,\), \(Q, N\) is needed .* scores\[None\]",
    ),
    "no candidate": ((SCORES[:, :0], TARGET, 1), r"shape \(3, 0\)"),
    "NaN": (
        (SCORES.where(SCORES != SCORES[1, 2], torch.nan), TARGET, 1),
        "query 1 and candidate 2 is NaN",
    ),
    "excluded by numbers": (
        (SCORES, TARGET, 1, NONE.long()),
        r"excluded is torch.int64 \(3, 5\), torch.bool \(3, 5\) is needed",
    ),
    "excluded for one query": ((SCORES, TARGET, 1, NONE[:1]), r"bool \(1, 5\)"),
    "another number of queries": (
        (SCORES, TARGET[:2], 1),
        r"relevant is torch.int64 \(2,\), scores are \(3, 5\)",
    ),
    "fractions as numbers of candidates": (
        (SCORES, TARGET.float(), 1),
        r"relevant is torch.float32 \(3,\)",
    ),
    "no such candidate": (
        (SCORES, torch.tensor([0, 5, 1]), 1),
        "query 1 has the relevant candidate 5, the candidates are 0 to 4",
    ),
    "a negative gain": ((SCORES, SCORES - 2, 1), "0 or more is needed"),
    "a gain of NaN": ((SCORES, SCORES * torch.nan, 1), "0 or more is needed"),
    "no relevant candidate": (
        (SCORES, torch.tensor([[1, 0, 0, 0, 0], [0] * 5, [1, 0, 0, 0, 0]]), 1),
        "query 1 has 0 relevant candidates, .* leave the query out",
    ),
    "relevant and excluded": (
        (SCORES, TARGET, 1, torch.arange(5).expand(3, 5) == 2),
        "candidate 2 of query 2 is relevant and excluded",
    ),
    "k of 0": ((SCORES, TARGET, 0), "k is 0, the first k"),
    "k above the candidates": ((SCORES, TARGET, 6), "k is 6, query 0 has 5 candidates"),
    "k above those not excluded": (
        (SCORES, TARGET, 4, torch.tensor([[0] * 5, [0] * 5, [1, 1, 0, 0, 0]]).bool()),
        "k is 4, query 2 has 3 candidates that are not excluded",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("metric", METRICS)
def test_what_cannot_be_ranked_is_refused(name, metric):
    (scores, relevant, k, *excluded), words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        METRICS[metric][0](scores, relevant, k=k, excluded=(excluded or [None])[0])


@pytest.mark.parametrize("k", [2.0, "2", True])
def test_a_k_that_is_no_whole_number_is_refused(k):
    with pytest.raises(TypeError, match="a whole number is needed"):
        retrieval.recall_at_k(SCORES, TARGET, k)


def test_a_rank_belongs_to_one_candidate():
    with pytest.raises(ValueError, match="query 1 has 2 relevant candidates"):
        retrieval.expected_rank(
            SCORES[:2], torch.tensor([[1, 0, 0, 0, 0], [1, 1, 0, 0, 0]])
        )


@pytest.mark.parametrize(
    "old, new",
    [
        (" / tied).clamp(0, 1)", " / 1).clamp(0, 1)"),  # ties counted for the model
        ("return scores.shape[1] - upto,", "return scores.shape[1] - upto + tied - 1,"),
        ("tied = tied - excluded.sum(dim=1, keepdim=True) * (ranked == lowest)", ""),
    ],
)
def test_another_treatment_of_ties_is_caught(old, new, mutated, counted):
    changed = mutated(retrieval, old, new)
    scores, gains, excluded = problem(1, 3)
    scores = scores.masked_fill(scores == 0, -torch.inf)
    arguments = (scores, gains, 2, excluded)
    wanted = slow(recall, *arguments)
    assert torch.allclose(retrieval.recall_at_k(*arguments), wanted)
    assert not torch.allclose(changed.recall_at_k(*arguments), wanted)
    counted("fault")
