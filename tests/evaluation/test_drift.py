"""Drift: PSI by hand, KS and ADWIN against scipy and river, lines that keep their rate
of false alarms, a sequential test that may be looked at all the time.
"""

import math

import numpy
import pytest
from river import drift as river_drift
from scipy import integrate, stats

from ftlib.evaluation import drift, trust


def rng_of(seed=0):
    return numpy.random.default_rng(seed)


def test_psi_by_hand():
    reference = numpy.arange(100)  # edges at 49.5
    current = numpy.array([1] * 30 + [80] * 10)
    p, q = (50.5 / 101, 50.5 / 101), (30.5 / 41, 10.5 / 41)
    wanted = sum((b - a) * math.log(b / a) for a, b in zip(p, q))
    assert drift.psi(reference, current, bins=2) == pytest.approx(wanted)
    assert drift.psi(reference, reference) == pytest.approx(0)


def test_psi_of_two_values_sees_both():
    reference, current = numpy.repeat([0, 1], 50), numpy.repeat([0, 1], [5, 95])
    assert drift.psi(reference, current) > 1
    assert drift.psi(reference, reference) == 0
    # the smaller value is rare, and becomes common: as much as the other way round
    rare, common = numpy.repeat([0, 1], [5, 95]), numpy.repeat([0, 1], [60, 40])
    mirrored = drift.psi(1 - rare, 1 - common)
    assert drift.psi(rare, common) == pytest.approx(mirrored) and mirrored > 1


def test_psi_of_chance_falls_with_the_number_of_values():
    rng, means = rng_of(), []
    for n in (100, 400, 1600):
        values = [drift.psi(rng.normal(size=n), rng.normal(size=n)) for _ in range(60)]
        means.append(numpy.mean(values))
    # 2 (bins - 1) / N
    assert means == pytest.approx([18 / n for n in (100, 400, 1600)], rel=0.2)


@pytest.mark.parametrize("value", [0, 1e9, -1e9])
def test_psi_of_one_value_is_finite(value):
    reference = rng_of().normal(size=200)
    assert 1 < drift.psi(reference, numpy.full(50, value)) < 100
    assert drift.psi(numpy.zeros(10), numpy.zeros(10)) == 0


def test_report_is_scipy_and_holm():
    rng = rng_of()
    reference = {k: rng.normal(size=300) for k in "abc"}
    current = {k: rng.normal(size=200) + 0.5 * (k == "b") for k in "abc"}
    rows = drift.report(reference, current)
    assert rows[0].name == "b"
    for row in rows:
        theirs = stats.ks_2samp(reference[row.name], current[row.name])
        assert (row.ks, row.p) == (theirs.statistic, theirs.pvalue)
        assert row.psi == drift.psi(reference[row.name], current[row.name])
    wanted = trust.holm([row.p for row in rows])
    assert [row.p_corrected for row in rows] == pytest.approx(wanted)


def test_correction_keeps_the_rate_of_false_findings():
    rng, raw, corrected = rng_of(1), 0, 0
    for _ in range(200):
        a, b = ({k: rng.normal(size=60) for k in range(12)} for _ in range(2))
        rows = drift.report(a, b)
        raw += rows[0].p < 0.05
        corrected += min(row.p_corrected for row in rows) < 0.05
    # 12 looks find something in nearly every second comparison
    assert raw > 60 and corrected <= 18


def test_mmd_by_hand_and_by_chance():
    x, y = numpy.array([[0.0], [1.0]]), numpy.array([[2.0], [4.0]])

    def kernel(a, b):
        return math.exp(-((a - b) ** 2) / 2)

    across = sum(kernel(a, b) for a in (0, 1) for b in (2, 4)) / 4
    wanted = kernel(0, 1) + kernel(2, 4) - 2 * across
    assert drift.mmd(x, y, width=1) == pytest.approx(wanted)
    rng = rng_of()
    same = [
        drift.mmd(rng.normal(size=(40, 8)), rng.normal(size=(40, 8))) for _ in range(50)
    ]
    assert abs(numpy.mean(same)) < 0.004 and min(same) < 0
    assert drift.mmd(rng.normal(size=(40, 8)), 1 + rng.normal(size=(40, 8))) > 0.1


def test_permutation_p_is_uniform_without_a_change():
    rng, p = rng_of(), []

    def means(x, y):
        return abs(x.mean() - y.mean())

    for seed in range(150):
        x, y = rng.normal(size=20), rng.normal(size=30)
        p.append(drift.permutation_p(means, x, y, times=59, seed=seed))
    assert stats.kstest(p, "uniform").pvalue > 0.01 and min(p) >= 1 / 60
    assert drift.permutation_p(means, x, y + 2, times=59) == 1 / 60


def streams():
    rng = rng_of()
    yield "coin", (rng.random(2500) < 0.3).astype(float)
    yield "coin that changes", (rng.random(3000) < numpy.repeat([0.2, 0.4], 1500)) * 1.0
    yield "steps", rng.normal(numpy.repeat([0, 1, 0, 3], 700))
    yield "slope", rng.normal(numpy.linspace(0, 3, 3000))
    yield "constant", numpy.full(500, 7.0)
    yield "heavy tails", rng.standard_t(2, 3000)
    yield "wider", rng.normal(0, numpy.repeat([1, 5], 1000))


@pytest.mark.parametrize("settings", [{}, {"delta": 0.1}, {"clock": 1, "delta": 0.01}])
@pytest.mark.parametrize("name", [name for name, _ in streams()])
def test_adwin_equals_river(name, settings):
    stream = dict(streams())[name]
    ours, theirs, found = drift.Adwin(**settings), river_drift.ADWIN(**settings), 0
    for value in stream:
        changed = ours.update(float(value))
        theirs.update(float(value))
        assert changed == theirs.drift_detected and ours.width == theirs.width
        assert ours.mean == pytest.approx(theirs.estimation)
        if changed:  # river starts over
            ours, found = drift.Adwin(**settings), found + 1
    if name in ("coin that changes", "steps", "slope"):
        assert found


ADWIN_FAULTS = {
    "no shortest part": ("if min(n0, n1) < self.shortest:", "if min(n0, n1) < 1:"),
    "half the correction": ("2 / 3 * chance * m", "1 / 3 * chance * m"),
    "forgets the spread between": (
        "self.rows[i + 1].append((a + b, da + db + _between(n, a, n, b)))",
        "self.rows[i + 1].append((a + b, da + db))",
    ),
    "drops one bucket alone": ("while self._is_cut():", "if self._is_cut():"),
    "drops the newest": ("self.rows[-1].popleft()", "self.rows[-1].pop()"),
}


@pytest.mark.parametrize("fault", ADWIN_FAULTS)
def test_a_wrong_adwin_is_noticed(mutated, monkeypatch, counted, fault):
    monkeypatch.setattr(drift, "Adwin", mutated(drift, *ADWIN_FAULTS[fault]).Adwin)
    with pytest.raises((AssertionError, ZeroDivisionError, ValueError)):
        for name, _ in streams():
            test_adwin_equals_river(name, {"clock": 1, "delta": 0.01})
    counted("fault")


def test_cusum_by_hand():
    detector = drift.Cusum(mean=1, std=2, slack=0.5, line=1.9)
    values = []
    for score in (1, 4, 4, 4, 1, -9):
        called = detector.update(score)
        values.append((called, detector.value))
    assert values == [
        (False, 0),
        (False, 1),
        (True, 0),
        (False, 1),
        (False, 0.5),
        (False, 0),
    ]


def test_a_tuned_line_keeps_its_rate_and_finds_a_change():
    rng = rng_of()

    def make(line):
        return drift.Cusum(0, 1, slack=0.25, line=line)

    quiet = [rng.normal(size=1000) for _ in range(40)]
    line = drift.tune_line(make, quiet, wanted=0.5)
    fresh = [rng.normal(size=1000) for _ in range(60)]
    rate = numpy.mean([len(drift.alarms(lambda: make(line), s)) for s in fresh])
    assert 0.2 < rate < 1.0  # 0.5 and the noise of 40 and 60 streams
    shifted = [numpy.r_[s[:500], s[500:] + 1.0] for s in fresh]
    delays = [drift.delay(lambda: make(line), s, 500) for s in shifted]
    assert numpy.median(delays) < 30
    # lower lines call earlier and more often
    assert drift.tune_line(make, quiet, wanted=5) < line


def test_delay_does_not_count_what_came_before():
    class At:
        def __init__(self, *times):
            self.times, self.t = times, -1

        def update(self, value):
            self.t += 1
            return self.t in self.times

    assert drift.delay(lambda: At(3, 12), range(20), 10) == 2
    assert drift.delay(lambda: At(3), range(20), 10) == math.inf


@pytest.mark.parametrize("wrong, other", [(0, 0), (3, 0), (5, 9), (20, 4), (300, 310)])
def test_evidence_is_the_integral(wrong, other):
    n = wrong + other
    peak = max(wrong / max(n, 1), 0.5)

    def ratio(t):
        logs = wrong * math.log(2 * t) + (other * math.log(2 - 2 * t) if other else 0)
        return 2 * math.exp(logs)

    wanted, _ = integrate.quad(ratio, 0.5, 1 - 1e-12, points=[peak], limit=200)
    assert drift.evidence(wrong, other) == pytest.approx(wanted, rel=1e-5)
    assert drift.evidence(10_000, 0) > 1e100  # and no overflow


def canary(seed, current, candidate, n=1500, fraction=0.3):
    rng, test = rng_of(seed), drift.CanaryTest(alpha=0.05)
    for _ in range(n):
        is_candidate = rng.random() < fraction
        test.update(
            is_candidate, rng.random() < (candidate if is_candidate else current)
        )
        if test.is_worse:
            return test.pairs
    return math.inf


def test_canary_keeps_its_false_alarms_and_finds_a_worse_version():
    equal = [canary(seed, 0.8, 0.8) for seed in range(200)]
    false = sum(pairs < math.inf for pairs in equal)
    # looked at after every answer: at most 5 %, and three standard errors
    assert false <= 10 + 9
    worse = [canary(seed, 0.8, 0.55) for seed in range(40)]
    assert sum(pairs < math.inf for pairs in worse) >= 38
    assert sum(canary(s, 0.7, 0.9) < math.inf for s in range(40)) == 0


def test_a_stream_that_becomes_harder_is_no_fault_of_the_candidate(counted):
    """Both are correct in 72 % of 1,000 requests and in half of the next. Paired with
    old answers of the current version, the candidate would look worse.
    """

    def rolled_back(recent, seed):
        rng, test = rng_of(seed), drift.CanaryTest(recent=recent)
        for i in range(3000):
            test.update(rng.random() < 0.2, rng.random() < (0.72, 0.5)[i >= 1000])
        return test.is_worse

    assert sum(rolled_back(20, seed) for seed in range(15)) <= 1
    assert sum(rolled_back(10_000, seed) for seed in range(15)) > 10
    counted("fault")


def test_looking_all_the_time_at_a_common_test_calls_too_often():
    """Why a sequential test is needed: the same streams and a test for one look."""
    false = 0
    for seed in range(100):
        rng = rng_of(seed)
        wrong = numpy.cumsum(rng.random(300) < 0.5)
        n = numpy.arange(1, 301)
        false += bool((stats.binom.sf(wrong - 1, n, 0.5)[10:] < 0.05).any())
    assert false > 15


def test_canary_pairs_in_order():
    test = drift.CanaryTest()
    for is_candidate, is_correct in [(1, 0), (1, 1), (1, 0), (0, 1), (0, 1)]:
        test.update(is_candidate, is_correct)
    assert (test.pairs, test.candidate_wrong, test.current_wrong) == (2, 1, 0)
    assert [len(v) for v in test.unpaired.values()] == [1, 0]


def test_equal_rows_and_a_constant_stream_raise_no_alarm():
    same = numpy.ones((20, 3))
    assert drift.mmd(same, same) == pytest.approx(0, abs=1e-12)
    assert drift.permutation_p(drift.mmd, same, same, times=20) == 1
    adwin, rng = drift.Adwin(), numpy.random.default_rng(23)
    for value in [*rng.normal(size=300), *[0.1] * 4000]:
        adwin.update(value)
