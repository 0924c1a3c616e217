"""Plan a run before it starts: a law fitted to small runs, with its uncertainty.

Use it:

    >>> sizes, losses = [1e4, 3e4, 1e5, 3e5], [4.00, 3.60, 3.22, 2.90]
    >>> law = fit_power(sizes, losses)
    >>> f"loss = {law.a:.1f} N^-{law.alpha:.3f}, at a million weights {law(1e6):.2f}"
    'loss = 9.5 N^-0.094, at a million weights 2.59'
    >>> low, high = interval(
    ...     [law.alpha for law in bootstrap_laws(sizes, losses, samples=200)]
    ... )
    >>> low <= law.alpha <= high
    True

The law is L = a N^-alpha + irreducible_loss: N parameters (or tokens, or operations),
L the loss in nats (Kaplan et al. 2020; Hoffmann et al. 2022). `fit_power` holds the
irreducible loss at 0, `fit_irreducible` looks for it; `backtest_error` says which of
them to trust a step ahead.

What it is not: a law of nature. It describes runs of one family, made in one way, over
the range that was run; the interval holds the scatter of the runs and nothing about a
change of data, depth or learning rate. Needs: torch only.
Letters: N size, R runs, S samples.
"""

import math
import statistics
from typing import NamedTuple

import torch


class Law(NamedTuple):
    """L(N) = a N^-alpha + irreducible_loss; call it with a size, or with several."""

    a: float
    alpha: float
    irreducible_loss: float = 0.0

    def __call__(self, size):
        if isinstance(size, (int, float)):
            return self.a * size**-self.alpha + self.irreducible_loss
        return [self(float(n)) for n in size]


def _checked(sizes, losses):
    """Both as float64 tensors (R,), or a ValueError that says what is wrong."""
    sizes, losses = (torch.as_tensor(v, dtype=torch.float64) for v in (sizes, losses))
    if sizes.shape != losses.shape:
        raise ValueError(
            f"there are {len(sizes)} sizes and {len(losses)} losses; each "
            "run needs one of both"
        )
    if sizes.numel() and (
        min(sizes.min(), losses.min()) <= 0 or not torch.isfinite(sizes + losses).all()
    ):
        raise ValueError(
            "a size or a loss is not positive and finite, and has no "
            "logarithm; leave the run out and say so"
        )
    if len(sizes.unique()) < 2:
        raise ValueError(
            f"{len(sizes.unique())} different size, a slope needs at "
            "least 2; run another size"
        )
    return sizes, losses


def fit_power(sizes, losses):
    """Least squares of a straight line through log loss against log size -> Law. sizes,
    losses: (R,), one for each run.
    """
    sizes, losses = _checked(sizes, losses)
    x, y = sizes.log(), losses.log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return Law(math.exp(y.mean() - slope * x.mean()), -float(slope))


def fit_irreducible(sizes, losses, tries=200):
    """As `fit_power`, with the floor that fits best among `tries` from 0 to just under
    the lowest loss -> Law.

    Three numbers need three sizes or more; with little curvature in the data many
    floors fit nearly as well.
    """
    sizes, losses = _checked(sizes, losses)
    if len(sizes.unique()) < 3:
        raise ValueError(
            f"{len(sizes.unique())} sizes, a floor needs at least 3; fit_power needs 2"
        )
    # (tries, 1)
    floors = torch.linspace(0, 0.98, tries, dtype=torch.float64)[:, None] * losses.min()
    # (R,), (tries, R): one line for each floor
    x, y = sizes.log(), (losses - floors).log()
    x = x - x.mean()
    slope = (x * y).sum(1, keepdim=True) / x.square().sum()
    fitted = (y.mean(1, keepdim=True) + slope * x).exp() + floors
    # errors count in log loss, as in fit_power
    best = int((fitted.log() - losses.log()).square().sum(1).argmin())
    a = math.exp(y[best].mean() - slope[best] * sizes.log().mean())
    return Law(a, -float(slope[best]), float(floors[best]))


def residuals(law, sizes, losses):
    """log(measured / fitted) of each run, (R,) floats; 0.01 is about one per cent."""
    return [math.log(loss / law(float(n))) for n, loss in zip(sizes, losses)]


def bootstrap_laws(sizes, losses, fit=fit_power, samples=1000, seed=0, least=3):
    """Fit again on runs drawn with replacement (Efron 1979) -> list of S Laws.

    least: draws with fewer different sizes than this are drawn again, for a line
        through one size is no line.
    """
    sizes, losses = _checked(sizes, losses)
    least = min(least, len(sizes.unique()))
    generator, laws = torch.Generator().manual_seed(seed), []
    while len(laws) < samples:
        picked = torch.randint(len(sizes), (len(sizes),), generator=generator)
        if len(sizes[picked].unique()) >= least:
            laws.append(fit(sizes[picked], losses[picked]))
    return laws


def interval(values, level=0.95):
    """The quantiles that leave (1 - level) / 2 on either side -> (low, high)."""
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(
        torch.as_tensor(values, dtype=torch.float64), edges
    ).tolist()
    return low, high


def predict(sizes, losses, at, fit=fit_power, level=0.95, samples=1000, seed=0):
    """The loss of ONE new run of size `at` -> (middle, low, high).

    Two uncertainties: of the line, by fitting again on drawn runs, and of a single run
    around it, by adding a residual drawn from the fit. The interval of the line alone
    would be too narrow for a run. The residuals of a fit are smaller than the scatter
    they come from, hence the factor.
    """
    law = fit(sizes, losses)
    left = torch.tensor(residuals(law, sizes, losses), dtype=torch.float64)
    left = left * math.sqrt(
        len(left) / max(1, len(left) - (2 if law.irreducible_loss == 0 else 3))
    )
    drawn = left[
        torch.randint(
            len(left), (samples,), generator=torch.Generator().manual_seed(seed + 1)
        )
    ]
    laws = bootstrap_laws(sizes, losses, fit, samples, seed)
    low, high = interval(
        [law(at) * math.exp(r) for law, r in zip(laws, drawn.tolist())], level
    )
    return law(at), low, high


def backtest_error(sizes, losses, fit, start=3):
    """How wrong `fit` was one size ahead -> the largest |log(measured / predicted)|
    over the family.

    For each size from the `start`-th on, fit on the smaller ones and compare its mean
    loss with the prediction. This is how to choose between forms of the law before the
    held-out run is looked at.
    """
    grid, pairs = sorted(set(sizes)), list(zip(sizes, losses))
    errors = []
    for i in range(start, len(grid)):
        known = [(n, loss) for n, loss in pairs if n < grid[i]]
        law = fit(*zip(*known))
        mean = statistics.fmean(loss for n, loss in pairs if n == grid[i])
        errors.append(abs(math.log(mean / law(float(grid[i])))))
    return max(errors)
