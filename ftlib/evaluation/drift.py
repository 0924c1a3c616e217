"""Has the stream changed, and is the new version worse: PSI, KS with correction,
distances of embeddings, ADWIN, CUSUM with a tuned alarm line, a sequential test for a
canary.

Use it:

    >>> rng = numpy.random.default_rng(0)
    >>> before, after = rng.normal(0, 1, 500), rng.normal(0.5, 1, 500)
    >>> round(psi(before, before), 2), round(psi(before, after), 2)
    (0.0, 0.24)
    >>> [row.name for row in report({"length": before}, {"length": after})]
    ['length']
    >>> adwin = Adwin()
    >>> alarms = [t for t in range(2000) if adwin.update(rng.random() + (t > 1000))]
    >>> 1000 < alarms[0] < 1100
    True
    >>> test = CanaryTest(alpha=0.01)
    >>> for i in range(200):  # the candidate is wrong every third time
    ...     test.update(is_candidate=True, is_correct=i % 3 > 0)
    ...     test.update(is_candidate=False, is_correct=True)
    >>> test.is_worse
    True

What it is not: a reason. A statistic that moves says that something is different, and
nothing about what, or whether it does harm. Needs: numpy, scipy.

Shapes: N values of a feature, T requests in their order, D width of an embedding.
"""

import collections
import math
from typing import NamedTuple

import numpy
from scipy import special, stats


def psi(reference, current, bins=10) -> float:
    """The population stability index of a feature: sum of (q - p) log(q / p) over bins.

    The edges are quantiles of `reference`; a feature of few values has a bin for each.
    Half a value is added to each bin, so that an empty one does not make it infinite.
    0.1 and 0.25 are the limits of tradition; what chance alone gives depends on N
    (about 2 x bins / N).
    """
    levels = numpy.linspace(0, 1, bins + 1)[1:-1]
    edges, values = numpy.quantile(reference, levels), numpy.unique(reference)
    if len(values) > 1:
        # a last edge on the largest value would leave nothing above it
        edges = numpy.minimum(edges, values[-2])
    edges = numpy.unique(edges)
    # "left": a value on an edge belongs below it, so that 0 and 1 are two bins
    p, q = (
        numpy.bincount(numpy.searchsorted(edges, v, "left"), minlength=len(edges) + 1)
        for v in (reference, current)
    )
    p, q = ((n + 0.5) / (n.sum() + 0.5 * len(n)) for n in (p, q))
    return float(((q - p) * numpy.log(q / p)).sum())


class Row(NamedTuple):
    """A feature's comparison; p_corrected counts how many features are looked at."""

    name: str
    psi: float
    ks: float
    p: float
    p_corrected: float


def holm(p_values) -> list[float]:
    """Corrected p-values (Holm 1979): if those up to 0.05 are called findings, the
    chance of *any* false one is at most 5 %, however the tests depend on each other.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def report(reference, current) -> list[Row]:
    """[Row], the smallest p first. reference, current: {feature: N values}."""
    tests = {k: stats.ks_2samp(reference[k], current[k]) for k in reference}
    corrected = holm([float(t.pvalue) for t in tests.values()])
    rows = [
        Row(k, psi(reference[k], current[k]), float(t.statistic), float(t.pvalue), c)
        for (k, t), c in zip(tests.items(), corrected)
    ]
    return sorted(rows, key=lambda row: row.p)


def mmd(x, y, width=None) -> float:
    """The squared maximum mean discrepancy of two sets of embeddings (N, D), (M, D),
    unbiased, with a Gaussian kernel (Gretton et al. 2012); about 0 where both come from
    one distribution. width: of the kernel, by default the median distance.
    """
    both = numpy.concatenate([x, y]).astype(float)
    squares = (both**2).sum(1)
    far = numpy.maximum(squares[:, None] + squares - 2 * both @ both.T, 0)
    if width is None:
        # 0 where most rows are equal, and nothing can be divided by it
        width = math.sqrt(numpy.median(far[numpy.triu_indices(len(both), 1)])) or 1.0
    return _mmd(numpy.exp(-far / (2 * width**2)), len(x))


def _mmd(kernel, n):
    m = len(kernel) - n
    inside = (kernel[:n, :n].sum() - numpy.trace(kernel[:n, :n])) / (n * (n - 1))
    other = (kernel[n:, n:].sum() - numpy.trace(kernel[n:, n:])) / (m * (m - 1))
    return float(inside + other - 2 * kernel[:n, n:].mean())


def permutation_p(statistic, x, y, times=200, seed=0) -> float:
    """The fraction of dealings of all rows into two sets whose statistic is at least as
    large, the observed one counted with them.
    """
    both, n = numpy.concatenate([x, y]), len(x)
    rng, observed = numpy.random.default_rng(seed), statistic(x, y)
    dealt = (both[rng.permutation(len(both))] for _ in range(times))
    return (1 + sum(statistic(d[:n], d[n:]) >= observed for d in dealt)) / (1 + times)


class Adwin:
    """Adaptive windowing (Bifet & Gavalda 2007): the longest recent window whose two
    halves, however cut, have means that chance can explain.

    The window is kept as buckets of 1, 2, 4, ... values, at most `buckets` of a size.
    delta: the chance of a false alarm at one look, roughly. Looks every `clock` values.
    Equal to river.drift.ADWIN in alarms and in width, up to the alarm: after it, river
    starts over, and this one goes on with the newer part of its window.
    """

    def __init__(self, delta=0.002, clock=32, buckets=5, shortest=5, grace=10):
        self.delta, self.clock, self.buckets = delta, clock, buckets
        self.shortest, self.grace = shortest, grace
        # rows[i]: (sum, squared deviations) of buckets of 2**i values, the oldest first
        self.rows = [collections.deque()]
        self.width, self.total, self.deviations, self.seen = 0, 0.0, 0.0, 0

    @property
    def mean(self):
        return self.total / self.width if self.width else 0.0

    def update(self, value):
        """Add a value -> whether the mean has changed."""
        self.deviations += _between(self.width, self.total, 1, value)
        self.rows[0].append((value, 0.0))
        self.width, self.total, self.seen = (
            self.width + 1,
            self.total + value,
            self.seen + 1,
        )
        self._compress()
        changed = False
        if self.seen % self.clock == 0 and self.width > self.grace:
            while self._is_cut():
                self._drop_oldest()
                changed = True
        return changed

    def _compress(self):
        for i, row in enumerate(self.rows):
            if len(row) <= self.buckets:
                break
            (a, da), (b, db) = row.popleft(), row.popleft()
            if i + 1 == len(self.rows):
                self.rows.append(collections.deque())
            n = 2**i
            self.rows[i + 1].append((a + b, da + db + _between(n, a, n, b)))

    def _drop_oldest(self):
        total, deviations = self.rows[-1].popleft()
        n = 2 ** (len(self.rows) - 1)
        self.width, self.total = self.width - n, self.total - total
        self.deviations -= deviations + _between(n, total, self.width, self.total)
        if not self.rows[-1]:
            self.rows.pop()

    def _is_cut(self):
        """Is there a cut whose two sides differ by more than chance?"""
        n0 = total0 = 0
        for i in reversed(range(len(self.rows))):
            for total, _ in self.rows[i]:
                n0, total0 = n0 + 2**i, total0 + total
                n1 = self.width - n0
                if min(n0, n1) < self.shortest:
                    continue
                difference = total0 / n0 - (self.total - total0) / n1
                if abs(difference) > self._epsilon(n0, n1):
                    return True
        return False

    def _epsilon(self, n0, n1):
        chance = math.log(2 * math.log(self.width) / self.delta)
        m = 1 / (n0 - self.shortest + 1) + 1 / (n1 - self.shortest + 1)
        variance = max(0.0, self.deviations / self.width)  # rounding
        return math.sqrt(2 * m * variance * chance) + 2 / 3 * chance * m


def _between(n, total_n, m, total_m):
    """What joining two sets adds to their squared deviations: the means' distance."""
    if not n:
        return 0.0
    return n * m * (total_n / n - total_m / m) ** 2 / (n + m)


class Cusum:
    """How far the recent scores lie above their usual mean, summed up (Page 1954):
    value = max(0, value + (score - mean) / std - slack).

    slack: in standard deviations, half of the shift that matters. line: the alarm line;
    `tune_line` finds one.
    """

    def __init__(self, mean, std, slack=0.25, line=math.inf):
        self.mean, self.std, self.slack, self.line = mean, std, slack, line
        self.value = 0.0

    def update(self, score):
        """Add a score -> whether the value is above the line. Then it starts again."""
        z = (score - self.mean) / self.std
        self.value = max(0.0, self.value + z - self.slack)
        if self.value <= self.line:
            return False
        self.value = 0.0
        return True


def alarms(make, stream) -> list[int]:
    """At which requests a new detector, make(), calls."""
    detector = make()
    return [t for t, value in enumerate(stream) if detector.update(value)]


def delay(make, stream, start) -> float:
    """Requests from `start`, where the change is, to the first alarm at or after it;
    infinite where there is none. An alarm before `start` is a false one and does not
    count.
    """
    return next((t - start for t in alarms(make, stream) if t >= start), math.inf)


def tune_line(make, streams, wanted) -> float:
    """The lowest alarm line at which simulated streams without a change call at most
    `wanted` times each, on average; by bisection, to one in a thousand.

    make(line): a detector. streams: a list of streams as they are when nothing is
    wrong, each as long as the time that `wanted` is meant for, such as a week.
    """

    def rate(line):
        return sum(len(alarms(lambda: make(line), s)) for s in streams) / len(streams)

    low, high = 0.0, 1.0
    while rate(high) > wanted:
        low, high = high, 2 * high
    while high - low > high / 1000:
        middle = (low + high) / 2
        low, high = (middle, high) if rate(middle) > wanted else (low, middle)
    return high


class CanaryTest:
    """Is the candidate wrong more often? A test that may be looked at after every
    answer.

    A judged answer of the candidate is paired with one of the current version's last
    `recent`, so that both met the same stream: older ones are dropped. Pairs in which
    exactly one is wrong decide: if both are equally good, each side is the wrong one in
    half of them. The evidence is a likelihood ratio, mixed over all chances above one
    half. While the candidate is no worse, the chance that it ever exceeds 1 / alpha is
    at most alpha (Ville 1939; Robbins 1970).
    """

    def __init__(self, alpha=0.01, recent=20):
        self.alpha = alpha
        self.unpaired = {k: collections.deque(maxlen=recent) for k in (True, False)}
        self.candidate_wrong = self.current_wrong = self.pairs = 0
        self.is_worse = False

    def update(self, is_candidate, is_correct) -> None:
        """Add a judged answer."""
        self.unpaired[bool(is_candidate)].append(bool(is_correct))
        if all(self.unpaired.values()):
            candidate, current = (self.unpaired[k].popleft() for k in (True, False))
            self.pairs += 1
            self.candidate_wrong += current and not candidate
            self.current_wrong += candidate and not current
            self.is_worse |= self.evidence >= 1 / self.alpha

    @property
    def evidence(self) -> float:
        """The likelihood ratio: 1 at the start, large where the candidate is worse."""
        return evidence(self.candidate_wrong, self.current_wrong)


def evidence(wrong, other) -> float:
    """2 x integral from 1/2 to 1 of t**wrong (1 - t)**other dt, over (1/2)**n: n pairs
    in which exactly one is wrong, `wrong` times the candidate.
    """
    a, b = wrong + 1, other + 1
    # above one half: the upper tail of a Beta(a, b)
    upper = special.betaincc(a, b, 0.5)
    log = special.betaln(a, b) + (wrong + other + 1) * math.log(2)
    return float(upper * math.exp(min(log, 700)))
