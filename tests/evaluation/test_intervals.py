"""Intervals against scipy, textbook formulas and known coverage."""

import math

import pytest
import torch

from ftlib.evaluation import intervals


def test_bootstrap_interval_covers_the_mean():
    """Of 200 samples of 60 numbers, about 95 % of the intervals hold the true mean; of
    50 % intervals, about half.
    """
    generator = torch.Generator().manual_seed(0)
    for level, low, high in ((0.95, 0.88, 0.99), (0.5, 0.38, 0.60)):
        covered = 0
        for _ in range(200):
            a, b = intervals.bootstrap_interval(
                torch.randn(60, generator=generator) + 3, level=level, samples=400
            )
            covered += a <= 3 <= b
        assert low < covered / 200 < high


def test_bootstrap_interval_is_the_textbooks_width():
    right = torch.tensor([1.0] * 80 + [0.0] * 20)
    low, high = intervals.bootstrap_interval(right)
    assert (
        abs((high - low) - 2 * 1.96 * math.sqrt(0.8 * 0.2 / 100)) < 0.02
        and low < 0.8 < high
    )
    assert (
        (low, high)
        == intervals.bootstrap_interval(right)
        != intervals.bootstrap_interval(right, seed=1)
    )
    # in several chunks
    wide = intervals.bootstrap_interval(
        torch.rand(9000, generator=torch.Generator().manual_seed(0)), samples=1000
    )
    assert 0.48 < wide[0] < wide[1] < 0.52


@pytest.mark.parametrize("n", [1, 3, 5, 9])
def test_a_bootstrap_of_few_values_is_refused(n):
    """It says 95 % and holds the mean less often, so a verdict must not hang on it."""
    with pytest.raises(ValueError, match=f"{n} values, at least 10.*t_interval"):
        intervals.bootstrap_interval([0.5] * n)
    with pytest.raises(ValueError, match=f"{n} values, at least 10.*t_interval"):
        intervals.paired_bootstrap([0.5] * n, [0.6] * n)
    assert intervals.bootstrap_interval([0.5] * n, least=1) == (0.5, 0.5)
    intervals.bootstrap_interval(torch.rand(10))


def coverage(interval, n, samples=2000):
    """How often the interval of n normal numbers holds their mean, 0."""
    generator = torch.Generator().manual_seed(n)
    spans = [interval(row) for row in torch.randn(samples, n, generator=generator)]
    return sum(low <= 0 <= high for low, high in spans) / samples


def test_student_covers_where_the_bootstrap_does_not(counted):
    """The numbers of the docstring: 84 % with 5 values, 90 % with 10."""
    for n, promised in ((5, 0.84), (10, 0.90)):
        held = coverage(
            lambda row: intervals.bootstrap_interval(row, 0.95, 400, 0, 2), n
        )
        assert held == pytest.approx(promised, abs=0.02)
        counted("fault")
    for n in (2, 3, 5, 10, 30):
        assert coverage(intervals.t_interval, n) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_student_equals_scipy(level):
    import scipy.stats

    for n in (2, 5, 40):
        values = torch.randn(n, generator=torch.Generator().manual_seed(n))
        error = float(values.double().std()) / math.sqrt(n)
        theirs = scipy.stats.t.interval(
            level, n - 1, float(values.double().mean()), error
        )
        assert intervals.t_interval(values, level) == pytest.approx(theirs, abs=1e-9)
    with pytest.raises(ValueError, match="1 value gives no interval"):
        intervals.t_interval([0.5])


def test_paired_student_equals_scipy():
    import scipy.stats

    a, b = pairs(n=5)
    mean, low, high = intervals.paired_t(a, b)
    test = scipy.stats.ttest_rel(b.numpy(), a.numpy())
    assert (low, high) == pytest.approx(test.confidence_interval(), abs=1e-9)
    assert mean == pytest.approx(float((b - a).mean()))
    # the other way round it is the same interval with the other sign
    assert intervals.paired_t(b, a) == pytest.approx((-mean, -high, -low))
    with pytest.raises(ValueError, match="a has 5 values and b 4"):
        intervals.paired_t(a, b[1:])


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_wilson_equals_scipy_and_covers(level):
    from scipy.stats import binomtest

    for right, n in ((0, 1), (3, 3), (0, 30), (17, 20), (850, 1000)):
        theirs = binomtest(right, n).proportion_ci(level, method="wilson")
        assert intervals.wilson_interval(right, n, level) == pytest.approx(
            (theirs.low, theirs.high), abs=1e-9
        )
    # exact coverage, from the binomial weights: near the promise already for 10 texts,
    # where the bootstrap is far from it
    for n, p in ((10, 0.8), (30, 0.9), (100, 0.5)):
        weight = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
        low_high = [intervals.wilson_interval(k, n, 0.95) for k in range(n + 1)]
        assert (
            0.92
            < sum(w for w, (low, high) in zip(weight, low_high) if low <= p <= high)
            < 0.99
        )
    with pytest.raises(ValueError, match="4 correct of 3"):
        intervals.wilson_interval(4, 3)
    with pytest.raises(ValueError, match="at least 1"):
        intervals.wilson_interval(0, 0)


def pairs(n=40, gap=0.3, seed=0):
    """Two columns that share what is hard, and a gap."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(n, generator=generator, dtype=torch.float64) * 3
    noise = torch.randn(2, n, generator=generator, dtype=torch.float64)
    return shared + noise[0], shared + gap + noise[1]


def test_paired_bootstrap_equals_scipy():
    from scipy.stats import bootstrap

    a, b = pairs()
    difference, low, high = intervals.paired_bootstrap(a, b)
    theirs = bootstrap(
        (a.numpy(), b.numpy()),
        lambda x, y, axis: (y - x).mean(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=0,
    ).confidence_interval
    assert abs(difference - float((b - a).mean())) < 1e-12
    assert abs(low - theirs.low) < 0.03 and abs(high - theirs.high) < 0.03
    assert [round(-x, 9) for x in intervals.paired_bootstrap(b, a)][0] == round(
        difference, 9
    )
    # control: without the pairs the same numbers give an interval that is several times
    # as wide
    unpaired = (
        torch.tensor(intervals.bootstrap_interval(b)).diff()
        + torch.tensor(intervals.bootstrap_interval(a)).diff()
    )
    assert unpaired > 3 * (high - low)
    with pytest.raises(ValueError, match="a has 40 values and b 39"):
        intervals.paired_bootstrap(a, b[1:])


def test_paired_bootstrap_rarely_raises_a_false_alarm():
    """Two columns without a gap: of 200 intervals about 5 % leave 0 out; with a gap of
    two deviations nearly all do.
    """
    for gap, low, high in ((0.0, 0.01, 0.12), (2.0, 0.99, 1.01)):
        outside = 0
        for seed in range(200):
            _, a, b = intervals.paired_bootstrap(
                *pairs(gap=gap, seed=seed), samples=400
            )
            outside += not a <= 0 <= b
        assert low < outside / 200 < high


def test_sign_flip_test_equals_scipy_and_all_signs():
    from scipy.stats import permutation_test

    a, b = pairs(10, gap=0.5)
    exact = permutation_test(
        (a.numpy(), b.numpy()),
        lambda x, y, axis: (y - x).mean(axis),
        permutation_type="samples",
        # 2**10 ways to sign ten differences, all of them
        vectorized=True,
    ).pvalue
    assert abs(intervals.sign_flip_test(a, b) - exact) < 0.02
    assert (
        intervals.sign_flip_test(a, a) == 1.0
        and intervals.sign_flip_test(a, a + 1 + 0.1 * b) > 1 / 10_001
    )
    assert (
        intervals.sign_flip_test(*pairs(40, gap=3.0))
        < 0.001
        < 0.05
        < intervals.sign_flip_test(*pairs(40, gap=0.0))
    )
    assert abs(intervals.sign_flip_test(a, b) - intervals.sign_flip_test(b, a)) < 1e-12
