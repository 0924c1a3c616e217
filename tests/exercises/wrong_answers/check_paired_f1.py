"""Wrong forms of a paired bootstrap of F1, and another right one."""

import numpy as np
import torch


def f1(said, labels):
    hits = float((said * labels).sum())
    return 2 * hits / max(1.0, float(said.sum() + labels.sum()))


def gaps(said_a, said_b, labels, samples, seed, size=None):
    g = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(samples):
        rows = torch.randint(len(labels), (size or len(labels),), generator=g)
        found.append(f1(said_b[rows], labels[rows]) - f1(said_a[rows], labels[rows]))
    return torch.tensor(found, dtype=torch.float64)


def middle(found, low=0.025, high=0.975):
    return found.quantile(low).item(), found.quantile(high).item()


def another(said_a, said_b, labels, samples=1000, seed=0):
    """Sorted by hand, and with weights (how often a text was drawn) instead of rows."""
    g, n, found = torch.Generator().manual_seed(seed), len(labels), []
    for _ in range(samples):
        w = torch.bincount(torch.randint(n, (n,), generator=g), minlength=n).double()
        one = [
            2 * float((w * s * labels).sum()) / float((w * (s + labels)).sum())
            for s in (said_a, said_b)
        ]
        found.append(one[1] - one[0])
    found.sort()
    cut = round(0.025 * samples)
    return f1(said_b, labels) - f1(said_a, labels), found[cut], found[-1 - cut]


def turned_round(said_a, said_b, labels, samples=1000, seed=0):
    return another(said_b, said_a, labels, samples, seed)


def of_accuracy(said_a, said_b, labels, samples=1000, seed=0):
    gap = (said_b == labels).double() - (said_a == labels).double()
    g = torch.Generator().manual_seed(seed)
    found = gap[torch.randint(len(gap), (samples, len(gap)), generator=g)].mean(dim=1)
    return float(gap.mean()), *middle(found)


def macro(said_a, said_b, labels, samples=1000, seed=0):
    both = [(f1(s, labels) + f1(1 - s, 1 - labels)) / 2 for s in (said_a, said_b)]
    return both[1] - both[0], *middle(gaps(said_a, said_b, labels, samples, seed))


def centre_of_samples(said_a, said_b, labels, samples=1000, seed=0):
    found = gaps(said_a, said_b, labels, samples, seed)
    return float(found.mean()), *middle(found)


def unpaired(said_a, said_b, labels, samples=1000, seed=0):
    g, n, found = torch.Generator().manual_seed(seed), len(labels), []
    for _ in range(samples):
        i, j = (torch.randint(n, (n,), generator=g) for _ in range(2))
        found.append(f1(said_b[j], labels[j]) - f1(said_a[i], labels[i]))
    return f1(said_b, labels) - f1(said_a, labels), *middle(
        torch.tensor(found, dtype=torch.float64)
    )


def without_replacement(said_a, said_b, labels, samples=1000, seed=0):
    gap = f1(said_b, labels) - f1(said_a, labels)
    return gap, gap, gap


def upside_down(said_a, said_b, labels, samples=1000, seed=0):
    low, high = middle(gaps(said_a, said_b, labels, samples, seed))
    return f1(said_b, labels) - f1(said_a, labels), high, low


def ninety(said_a, said_b, labels, samples=1000, seed=0):
    return f1(said_b, labels) - f1(said_a, labels), *middle(
        gaps(said_a, said_b, labels, samples, seed), 0.05, 0.95
    )


def error_of_the_mean(said_a, said_b, labels, samples=1000, seed=0):
    gap, found = (
        f1(said_b, labels) - f1(said_a, labels),
        gaps(said_a, said_b, labels, samples, seed),
    )
    half = 1.96 * float(found.std()) / samples**0.5
    return gap, gap - half, gap + half


def no_seed(said_a, said_b, labels, samples=1000, seed=0):
    found = gaps(said_a, said_b, labels, samples, int(torch.randint(10**6, ())))
    return f1(said_b, labels) - f1(said_a, labels), *middle(found)


def fixed_seed(said_a, said_b, labels, samples=1000, seed=0):
    return f1(said_b, labels) - f1(said_a, labels), *middle(
        gaps(said_a, said_b, labels, samples, 0)
    )


def _with(answer, difference=lambda d: d, ends=lambda low, high: (low, high)):
    """`answer` with its three numbers changed."""

    def changed(said_a, said_b, labels, samples=1000, seed=0):
        gap, low, high = answer(said_a, said_b, labels, samples, seed)
        return difference(gap), *ends(low, high)

    return changed


def from_the_deviation(said_a, said_b, labels, samples=1000, seed=0):
    gap = f1(said_b, labels) - f1(said_a, labels)
    half = 1.96 * float(gaps(said_a, said_b, labels, samples, seed).std())
    return gap, gap - half, gap + half


def reflected(said_a, said_b, labels, samples=1000, seed=0):
    gap, low, high = another(said_a, said_b, labels, samples, seed)
    return gap, 2 * gap - high, 2 * gap - low


def ninety_nine(said_a, said_b, labels, samples=1000, seed=0):
    return f1(said_b, labels) - f1(said_a, labels), *middle(
        gaps(said_a, said_b, labels, samples, seed), 0.005, 0.995
    )


def fifty(said_a, said_b, labels, samples=1000, seed=0):
    return f1(said_b, labels) - f1(said_a, labels), *middle(
        gaps(said_a, said_b, labels, samples, seed), 0.25, 0.75
    )


def always_a_thousand(said_a, said_b, labels, samples=1000, seed=0):
    return another(said_a, said_b, labels, 1000, seed)


def always_three_hundred_texts(said_a, said_b, labels, samples=1000, seed=0):
    return f1(said_b, labels) - f1(said_a, labels), *middle(
        gaps(said_a, said_b, labels, samples, seed, size=300)
    )


def without_sign(said_a, said_b, labels, samples=1000, seed=0):
    return tuple(map(abs, another(said_a, said_b, labels, samples, seed)))


def other_defaults(said_a, said_b, labels, samples=2000, seed=0):
    return another(said_a, said_b, labels, samples, seed)


def relative(said_a, said_b, labels, samples=1000, seed=0):
    base = f1(said_a, labels)
    return tuple(x / base for x in another(said_a, said_b, labels, samples, seed))


rounded = _with(another, lambda d: round(d, 4))
rounded.__name__ = "rounded"
ends_rounded = _with(another, ends=lambda low, high: (round(low, 3), round(high, 3)))
ends_rounded.__name__ = "ends_rounded"
in_percent = _with(another, lambda d: 100 * d)
in_percent.__name__ = "in_percent"


def by_numpy(said_a, said_b, labels, samples=1000, seed=0):
    a, b, y = (column.numpy() for column in (said_a, said_b, labels))
    rng, found = np.random.default_rng(seed), []

    def score(said, truth):
        return 2 * (said * truth).sum() / max(1, (said + truth).sum())

    for _ in range(samples):
        rows = rng.integers(len(y), size=len(y))
        found.append(score(b[rows], y[rows]) - score(a[rows], y[rows]))
    return score(b, y) - score(a, y), *np.percentile(found, [2.5, 97.5])


def in_float32(said_a, said_b, labels, samples=1000, seed=0):
    n, g = len(labels), torch.Generator().manual_seed(seed)
    rows = torch.randint(n, (samples, n), generator=g)

    def scores(rows):
        a, b = (
            2 * (s * labels)[rows].sum(-1) / (s + labels)[rows].sum(-1).clamp(min=1)
            for s in (said_a, said_b)
        )
        return b - a

    ends = scores(rows).quantile(torch.tensor([0.025, 0.975]))
    return [scores(torch.arange(n)), *ends]


WRONG = [
    (turned_round, "wrong sign"),
    (of_accuracy, "accuracies"),
    (macro, "macro-F1"),
    (centre_of_samples, "each once"),
    (unpaired, "the same texts for a and b"),
    (without_replacement, "with replacement"),
    (upside_down, "low is larger than high"),
    (ninety, "hold only 90 %"),
    (error_of_the_mean, "far too narrow"),
    (no_seed, "same seed gives another interval"),
    (fixed_seed, "must depend on seed"),
    (from_the_deviation, "evenly around"),
    (reflected, "lie below low"),
    (ninety_nine, "0.4% above high"),
    (fifty, "0.25 and 0.75 half"),
    (always_a_thousand, "40 samples give"),
    (always_three_hundred_texts, "as many texts as there are"),
    (without_sign, "no absolute values"),
    (other_defaults, "keep the defaults"),
    (relative, "divided by F1 of a"),
    (rounded, "the difference is rounded"),
    (ends_rounded, "low and high are rounded"),
    (in_percent, "in percent"),
]

RIGHT = [by_numpy, in_float32]

EQUIVALENT = {
    (
        "`metrics.precision_recall(said_a[rows], labels[rows])` -> "
        "`metrics.precision_recall(labels[rows], said_a[rows])`"
    ): ("F1 is the same for predictions and labels exchanged"),
    (
        "`metrics.precision_recall(said_b[rows], labels[rows])` -> "
        "`metrics.precision_recall(labels[rows], said_b[rows])`"
    ): ("F1 is the same for predictions and labels exchanged"),
    ("`torch.tensor(redrawn, dtype=torch.float64)` -> `torch.tensor(redrawn)`"): (
        "seven digits of a quantile that is random in the second one"
    ),
}
