"""Wrong forms of a paired bootstrap of F1, and another right one."""

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
]
