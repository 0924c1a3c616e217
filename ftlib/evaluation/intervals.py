"""Intervals and tests: how far a measured number may be off, and whether one method
beats another.

Use it:

    >>> low, high = t_interval([0.81, 0.79, 0.83, 0.80])  # four seeds
    >>> print(f"{low:.2f} to {high:.2f}")
    0.78 to 0.83
    >>> # is b better than a, seed by seed?
    >>> mean, low, high = paired_t([0.80, 0.78, 0.81, 0.79], [0.81, 0.80, 0.82, 0.81])
    >>> print(f"{mean:+.3f}, {low:+.3f} to {high:+.3f}")
    +0.015, +0.006 to +0.024

Which one: `t_interval` and `paired_t` for seeds, `bootstrap_interval` and
`paired_bootstrap` for test texts, `wilson_interval` for a proportion of few texts,
`cluster_bootstrap` where texts belong together, such as those of one author.

What it is not: a statistics package; scipy.stats is one, and the tests compare with it.
Needs: torch, and scipy for Student's t.
"""

import math
import statistics

import torch
from scipy.special import stdtrit


def bootstrap_interval(values, level=0.95, samples=10_000, seed=0, least=10):
    """Percentile bootstrap interval (Efron 1979) of the mean of `values`: (low, high).

    values: one number per independent unit (a text: 1 if correct, 0 if wrong).
    least: the fewest values that are taken. A 95 % interval of 5 normal numbers holds
        the mean in 84 % of all cases, of 10 in 90 %. Raises ValueError for fewer.
    """
    values = torch.as_tensor(values, dtype=torch.float64)
    if len(values) < least:
        raise ValueError(
            f"{len(values)} values, at least {least} are needed: with fewer the "
            "bootstrap promises too much; use t_interval, or wilson_interval for a "
            "proportion"
        )
    generator = torch.Generator().manual_seed(seed)
    means = []
    chunk = max(1, 4_000_000 // len(values))  # bounded memory for long lists
    for start in range(0, samples, chunk):
        picked = torch.randint(
            len(values), (min(chunk, samples - start), len(values)), generator=generator
        )
        means.append(values[picked].mean(dim=1))
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(torch.cat(means), edges).tolist()
    return low, high


def cluster_bootstrap(values, groups, level=0.95, samples=10_000, seed=0, least=10):
    """Percentile bootstrap interval of the mean of `values` that draws groups and not
    values: (low, high).

    values: a number per row (1 if correct, 0 if wrong, or a difference of two models).
    groups: the group of each row, such as its author. Rows of one group are alike, so
        that they say less than as many independent ones.
    least: the fewest groups that are taken. Raises ValueError for fewer.
    """
    sums, counts = _group_sums(values, groups)
    if len(sums) < least:
        raise ValueError(
            f"{len(sums)} groups, at least {least} are needed: with fewer the "
            "bootstrap promises too much; find rows of more groups"
        )
    generator = torch.Generator().manual_seed(seed)
    means, chunk = [], max(1, 4_000_000 // len(sums))
    for start in range(0, samples, chunk):
        shape = min(chunk, samples - start), len(sums)
        picked = torch.randint(len(sums), shape, generator=generator)
        means.append(sums[picked].sum(dim=1) / counts[picked].sum(dim=1))
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(torch.cat(means), edges).tolist()
    return low, high


def cluster_error(values, groups):
    """The standard error of the mean of `values` whose rows belong to groups. With a
    group for each row it is the usual one, std / sqrt(N); infinite with one group.
    """
    sums, counts = _group_sums(values, groups)
    if len(sums) < 2:
        return math.inf
    mean = sums.sum() / counts.sum()
    spread = ((sums - mean * counts) ** 2).sum() * len(sums) / (len(sums) - 1)
    return float(spread.sqrt() / counts.sum())


def _group_sums(values, groups):
    """(sum, number of rows) of each group, two tensors (G,)."""
    values, groups = torch.as_tensor(values, dtype=torch.float64), list(groups)
    if len(values) != len(groups) or not groups:
        raise ValueError(
            f"there are {len(values)} values and {len(groups)} groups; give one group "
            "for each value, and at least one"
        )
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    index = torch.tensor([number[group] for group in groups])
    zeros = torch.zeros(len(number), dtype=torch.float64)
    ones = torch.ones_like(values)
    return zeros.index_add(0, index, values), zeros.index_add(0, index, ones)


def t_interval(values, level=0.95):
    """Student's t interval (1908) of the mean of `values`: (low, high).

    values: one number per independent run, usually a seed. It keeps its promise for two
        runs already if they spread like a bell curve, and pays with its width: two
        values give 12.7 standard errors to both sides, five 2.8, twenty 2.1. Raises
        ValueError for fewer than two.
    """
    values = torch.as_tensor(values, dtype=torch.float64)
    n = len(values)
    if n < 2:
        raise ValueError(f"{n} value gives no interval; at least 2 are needed")
    reach = stdtrit(n - 1, (1 + level) / 2) * values.std() / math.sqrt(n)
    return float(values.mean() - reach), float(values.mean() + reach)


def wilson_interval(correct, n, level=0.95):
    """Interval of a proportion from counts alone (Wilson 1927): `correct` of `n` ->
    (low, high).

    It holds what it promises where the bootstrap cannot: 3 correct of 3 leave no spread
    to resample, and give (0.44, 1).
    """
    if not 0 <= correct <= n or n < 1:
        raise ValueError(
            f"{correct} correct of {n} is no proportion; correct must lie between 0 "
            "and n, and n be at least 1"
        )
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    centre = correct + z * z / 2
    spread = z * math.sqrt(correct * (n - correct) / n + z * z / 4)
    return max(0.0, (centre - spread) / (n + z * z)), min(
        1.0, (centre + spread) / (n + z * z)
    )


def paired_bootstrap(a, b, level=0.95, samples=10_000, seed=0):
    """Is b better than a? -> (mean of b - a, low, high), a bootstrap interval of the
    paired differences.

    a, b: (N,) numbers that belong together in pairs: the same texts (1 if correct, 0 if
        wrong), or ten seeds and more. What makes a text hard for both cancels. An
        interval that holds 0 shows no difference. Raises ValueError for fewer than ten
        pairs.
    """
    a, b = (torch.as_tensor(values, dtype=torch.float64) for values in (a, b))
    if a.shape != b.shape:
        raise ValueError(
            f"a has {len(a)} values and b {len(b)}; a pair needs both, "
            "from the same seed or text"
        )
    low, high = bootstrap_interval(b - a, level, samples, seed)
    return float((b - a).mean()), low, high


def paired_t(a, b, level=0.95):
    """Is b better than a? -> (mean of b - a, low, high), Student's t interval of the
    paired differences.

    a, b: (S,) results of the same seeds. With fewer than five pairs it is so wide that
        only a large difference lies outside. Raises ValueError for fewer than two.
    """
    a, b = (torch.as_tensor(values, dtype=torch.float64) for values in (a, b))
    if a.shape != b.shape:
        raise ValueError(
            f"a has {len(a)} values and b {len(b)}; a pair needs both, from the same "
            "seed"
        )
    low, high = t_interval(b - a, level)
    return float((b - a).mean()), low, high


def sign_flip_test(a, b, samples=10_000, seed=0):
    """p-value of "a and b are exchangeable": how often random signs give so large a
    mean of b - a, in either direction.

    a, b: (N,) pairs as in `paired_bootstrap`. If the names a and b meant nothing, each
    difference could as well have the other sign (Fisher 1935). The observed signs count
    as one of the draws, so that p is never 0.
    """
    differences = torch.as_tensor(b, dtype=torch.float64) - torch.as_tensor(
        a, dtype=torch.float64
    )
    generator = torch.Generator().manual_seed(seed)
    extreme = 1
    chunk = max(1, 4_000_000 // len(differences))
    for start in range(0, samples, chunk):
        signs = (
            torch.randint(
                2, (min(chunk, samples - start), len(differences)), generator=generator
            ).double()
            * 2
            - 1
        )
        extreme += int(
            ((signs @ differences).abs() >= differences.sum().abs() - 1e-12).sum()
        )
    return extreme / (samples + 1)
