"""Metrics of ranking: recall@k, hit rate, reciprocal rank and nDCG, with equal scores
and seen items treated honestly.

Use it:

    >>> # 2 queries, 4 candidates; row: the scores of a query
    >>> scores = torch.tensor([[0.9, 0.1, 0.8, 0.3], [0.2, 0.2, 0.2, 0.2]])
    >>> relevant = torch.tensor([[0, 0, 1, 1], [1, 0, 0, 0]])
    >>> recall_at_k(scores, relevant, k=2).tolist()
    [0.5, 0.5]
    >>> # the mean of 1, 1/2, 1/3 and 1/4 for the query that ties them all
    >>> [round(value, 3) for value in reciprocal_rank(scores, relevant).tolist()]
    [0.5, 0.521]
    >>> # one relevant candidate a query: its number is enough
    >>> hit_rate_at_k(scores, torch.tensor([0, 0]), k=3).round(decimals=9).tolist()
    [1.0, 0.75]
    >>> # graded: how relevant each candidate is
    >>> graded = torch.tensor([[3, 0, 0, 1], [1, 0, 0, 0]])
    >>> [round(value, 3) for value in ndcg_at_k(scores, graded, k=2).tolist()]
    [0.826, 0.408]

Every function returns one number a query, (Q,) float64. Average them for the report,
and take the interval from the single values.

Ties. Candidates with equal scores have no order of their own. Whoever sorts them lets
the sorting decide, and then a model that gives all candidates one score can look
perfect. Here each number is the exact expectation over all orders of the tied
candidates, as in McSherry & Najork 2008. So constant scores give the value of chance.

What it is not: the search. Needs: torch only. All queries are sorted at once, which
takes about 60 Q N bytes; give large tables in parts of a few hundred queries.

Shapes: Q queries, N candidates.
"""

import torch


def _check_candidates(scores, excluded):
    """(scores, excluded) as tensors (Q, N), float64 and bool."""
    # float64 keeps every order and every tie of the shorter types
    scores = torch.as_tensor(scores).double()
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(
            f"scores have the shape {tuple(scores.shape)}, (Q, N) is needed with at "
            "least 1 query and 1 candidate; write scores[None] for a single query"
        )
    if scores.isnan().any():
        query, candidate = scores.isnan().nonzero()[0].tolist()
        raise ValueError(
            f"the score of query {query} and candidate {candidate} is NaN, which has "
            "no position in an order; find out where it comes from"
        )
    if excluded is None:
        return scores, torch.zeros_like(scores, dtype=torch.bool)
    excluded = torch.as_tensor(excluded, device=scores.device)
    if excluded.dtype != torch.bool or excluded.shape != scores.shape:
        raise ValueError(
            f"excluded is {excluded.dtype} {tuple(excluded.shape)}, torch.bool "
            f"{tuple(scores.shape)} is needed, True where a candidate is not ranked; "
            "compare or call .bool()"
        )
    return scores, excluded


def _gains(relevant, scores, excluded):
    """How relevant each candidate is, (Q, N) float64, 0 for not at all."""
    relevant = torch.as_tensor(relevant, device=scores.device)
    queries, candidates = scores.shape
    if relevant.ndim == 1 and relevant.dtype in (torch.long, torch.int):
        if relevant.shape == (queries,):
            wrong = (relevant < 0) | (relevant >= candidates)
            if wrong.any():
                query = int(wrong.nonzero()[0])
                raise ValueError(
                    f"query {query} has the relevant candidate {int(relevant[query])}, "
                    f"the candidates are 0 to {candidates - 1}; give its column"
                )
            columns = torch.arange(candidates, device=scores.device)
            relevant = columns == relevant[:, None]
    if relevant.shape != scores.shape:
        raise ValueError(
            f"relevant is {relevant.dtype} {tuple(relevant.shape)}, scores are "
            f"{tuple(scores.shape)}; give one value for each score, or the number of "
            f"one relevant candidate a query, a LongTensor ({queries},)"
        )
    gains = relevant.double()
    if not ((gains >= 0) & (gains < float("inf"))).all():  # NaN compares false
        raise ValueError(
            f"relevant has values from {float(gains.min()):g} to "
            f"{float(gains.max()):g}, 0 or more is needed; 0 is not relevant at all"
        )
    if not (gains > 0).any(dim=1).all():
        query = int((gains > 0).any(dim=1).logical_not().nonzero()[0])
        raise ValueError(
            f"query {query} has 0 relevant candidates, so nothing can be found for it; "
            "leave the query out, and say how many you left out"
        )
    if (excluded & (gains > 0)).any():
        query, candidate = (excluded & (gains > 0)).nonzero()[0].tolist()
        raise ValueError(
            f"candidate {candidate} of query {query} is relevant and excluded; "
            "exclude what was seen before, and never what is to be found"
        )
    return gains


def _check_k(k, excluded):
    if isinstance(k, bool) or not hasattr(k, "__index__"):
        raise TypeError(f"k is {k!r}, a whole number is needed; give 10")
    if k < 1:
        raise ValueError(f"k is {k}, the first k are looked at; give 1 or more")
    fewest, query = (~excluded).sum(dim=1).min(dim=0)
    if k > fewest:
        raise ValueError(
            f"k is {k}, query {int(query)} has {int(fewest)} candidates that are not "
            "excluded, so all would be among the first k; give a smaller k"
        )


def _groups(scores, excluded):
    """For each candidate (above, tied), (Q, N): how many have a higher score, and how
    many have its own, itself included. Excluded ones count for nobody.
    """
    lowest = float("-inf")
    ranked = scores.masked_fill(excluded, lowest)
    ascending = ranked.sort(dim=1).values
    upto = torch.searchsorted(ascending, ranked, right=True)
    tied = upto - torch.searchsorted(ascending, ranked)
    # a score of -inf is a score; those that are excluded stand beside it in the order
    tied = tied - excluded.sum(dim=1, keepdim=True) * (ranked == lowest)
    return scores.shape[1] - upto, tied.clamp(min=1)


def _prepare(scores, relevant, k, excluded):
    scores, excluded = _check_candidates(scores, excluded)
    gains = _gains(relevant, scores, excluded)
    if k is not None:
        _check_k(k, excluded)
    return gains, *_groups(scores, excluded), excluded


def _log_choose(n, k):
    """log of n over k, for tensors of whole numbers; -inf where k > n or k < 0."""
    n, k = n.double(), k.double()
    possible = (k >= 0) & (k <= n)
    n, k = n.clamp(min=0), torch.where(possible, k, 0)
    rest = torch.where(possible, n - k, 0)
    value = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(rest + 1)
    return value.masked_fill(~possible, float("-inf"))


def recall_at_k(scores, relevant, k, excluded=None) -> torch.Tensor:
    """Of a query's relevant candidates, the fraction among its first k: (Q,) float64.

    scores: (Q, N), the higher the better. relevant: (Q, N), above 0 where a candidate
        is relevant; or a LongTensor (Q,), the number of each query's only one, as
        torch.arange(Q) is for texts and their images.
    excluded: bool (Q, N), True where a candidate must not be ranked (what a user has
        seen). It takes no position, whatever its score.
    Ties count with their expectation; see the top of the file. With more than k
    relevant candidates even a perfect order stays below 1.
    Raises ValueError for other shapes, NaN, a query without a relevant candidate or
    with an excluded one, k below 1 or above the number of ranked candidates.
    """
    gains, above, tied, _ = _prepare(scores, relevant, k, excluded)
    # k - above positions are left for its group, and each member gets one alike
    chance = ((k - above).double() / tied).clamp(0, 1)
    is_relevant = gains > 0
    return (chance * is_relevant).sum(dim=1) / is_relevant.sum(dim=1)


def hit_rate_at_k(scores, relevant, k, excluded=None) -> torch.Tensor:
    """Whether one of the first k candidates is relevant, 1 or 0; with ties, how likely
    it is: (Q,) float64.

    Arguments and errors as in `recall_at_k`, and the same number where a query has one
    relevant candidate. Leave-one-out of recommenders (He et al. 2017): relevant is the
    one film held back of each user, (Q,), excluded are the films of the training set.
    Rank all others: HR@10 among 100 sampled films can order methods otherwise
    (Krichene & Rendle 2020).
    """
    gains, above, tied, _ = _prepare(scores, relevant, k, excluded)
    is_relevant = gains > 0
    left = k - above  # positions left for its group
    surely = (is_relevant & (left >= tied)).any(dim=1)
    # one group at most lies across position k; a hit is missed if its first ones are
    # all drawn from the others
    across = is_relevant & (left > 0) & (left < tied)
    count = across.sum(dim=1)
    left, tied = ((x * across).amax(dim=1) for x in (left, tied))
    missed = (_log_choose(tied - count, left) - _log_choose(tied, left)).exp()
    return torch.where(surely, 1.0, 1 - missed)


def reciprocal_rank(scores, relevant, k=None, excluded=None) -> torch.Tensor:
    """1 / the position of the first relevant candidate: (Q,) float64. Its mean is the
    MRR (Voorhees 1999).

    k: positions after it count 0, as in MRR@10; None looks at all. The other arguments
        and errors are those of `recall_at_k`. With ties it is the expectation of
        1 / position, which is more than 1 / the expected position.
    """
    gains, above, tied, excluded = _prepare(scores, relevant, k, excluded)
    is_relevant = gains > 0
    candidates = gains.shape[1]
    best = above.masked_fill(~is_relevant, candidates).min(dim=1, keepdim=True)
    first = is_relevant & (above == best.values)
    count = first.sum(dim=1, keepdim=True)
    tied = tied.gather(1, best.indices)
    # the first of `count` is number j of its group: the others come after it
    j = torch.arange(1, candidates + 1, device=gains.device)[None]
    log_p = _log_choose(tied - j, count - 1) - _log_choose(tied, count)
    position = best.values + j
    counts = position <= (candidates if k is None else k)
    return (log_p.exp() * counts / position).sum(dim=1)


def ndcg_at_k(scores, gains, k=None, exponential=False, excluded=None) -> torch.Tensor:
    """Normalised discounted cumulative gain (Järvelin & Kekäläinen 2002): the gains of
    the first k, each over log2(1 + position), over the best that any order reaches;
    (Q,) float64, from 0 to 1.

    gains: (Q, N), 0 or more: 0 and 1, or grades such as stars; or a LongTensor (Q,),
        the number of the only relevant candidate. k: None looks at all.
    exponential: a grade g counts 2^g - 1, as in Burges et al. 2005, and not g. For 0
        and 1 it is the same. Papers differ: say which you used.
    The other arguments and errors are those of `recall_at_k`. With ties it is the
    expectation, as in scikit-learn's ndcg_score.
    """
    gains, above, tied, excluded = _prepare(scores, gains, k, excluded)
    gains = torch.expm1(gains * 0.6931471805599453) if exponential else gains
    candidates = gains.shape[1]
    k = candidates if k is None else k
    position = torch.arange(1, candidates + 1, device=gains.device)
    discount = torch.log2(1.0 + position.double()).reciprocal() * (position <= k)
    # of the first n positions together, n from 0 to N
    total = torch.cat([discount.new_zeros(1), discount.cumsum(dim=0)])
    mean = (total[above + tied] - total[above]) / tied  # over the positions of a group
    # an excluded candidate is never relevant, so its gain is 0
    best = (gains.sort(dim=1, descending=True).values * discount).sum(dim=1)
    return (gains * mean).sum(dim=1) / best


def expected_rank(scores, relevant, excluded=None) -> torch.Tensor:
    """The position of each query's relevant candidate, from 1; tied ones share the
    mean of their positions: (Q,) float64.

    relevant: a LongTensor (Q,), or (Q, N) with one relevant candidate a query.
    Its median over queries tells what a recall of 0 does not: how far off a search is.
    Raises ValueError for a query with several relevant candidates, and what
    `recall_at_k` raises.
    """
    gains, above, tied, _ = _prepare(scores, relevant, None, excluded)
    is_relevant = gains > 0
    count = is_relevant.sum(dim=1)
    if count.max() > 1:
        raise ValueError(
            f"query {int(count.argmax())} has {int(count.max())} relevant candidates, "
            "a rank belongs to one; use reciprocal_rank, which takes the first"
        )
    rank = above + (tied.double() + 1) / 2
    return (rank * is_relevant).sum(dim=1)
