"""Plan a run before it starts: a law fitted to small runs, with its uncertainty, and a cost model with its assumptions.

Use it:

    >>> sizes, losses = [1e4, 3e4, 1e5, 3e5], [4.00, 3.60, 3.22, 2.90]
    >>> law = fit_power(sizes, losses)
    >>> f"loss = {law.a:.1f} N^-{law.alpha:.3f}, at a million weights {law(1e6):.2f}"
    'loss = 9.5 N^-0.094, at a million weights 2.59'
    >>> low, high = interval([law.alpha for law in bootstrap_laws(sizes, losses, samples=200)])
    >>> low <= law.alpha <= high
    True
    >>> machine = Machine("one rented GPU", peak=1e15, memory_gb=80, price=2.5)
    >>> plan = run_cost(weights=1e9, tokens=2e10, machine=machine, share=0.4)
    >>> f"{plan.hours:.0f} hours, {plan.memory_gb:.0f} GB of state, {plan.money:.0f} units of money"
    '83 hours, 16 GB of state, 208 units of money'

The law is L = a N^-alpha + floor: N weights (or tokens, or operations), L the loss in nats (Kaplan et al. 2020; Hoffmann et al.
2022). `fit_power` holds the floor at 0, `fit_floor` looks for it; `worst_ahead` says which of them to trust a step ahead.

What it is not: a law of nature. It describes runs of one family, made in one way, over the range that was run; the interval
holds the scatter of the runs and nothing about a change of data, depth or learning rate. The cost model knows no failures,
no waiting and no memory for activations. Needs: torch only.
Letters: N size, R runs, S samples.
"""

import math
import statistics
import time
from typing import NamedTuple

import torch


class Law(NamedTuple):
    """L(N) = a N^-alpha + floor; call it with a size, or with several."""

    a: float
    alpha: float
    floor: float = 0.0

    def __call__(self, size):
        if isinstance(size, (int, float)):
            return self.a * size**-self.alpha + self.floor
        return [self(float(n)) for n in size]


def _checked(sizes, losses):
    """Both as float64 tensors (R,), or a ValueError that says what is wrong."""
    sizes, losses = (torch.as_tensor(v, dtype=torch.float64) for v in (sizes, losses))
    if sizes.shape != losses.shape:
        raise ValueError(f"there are {len(sizes)} sizes and {len(losses)} losses; each run needs one of both")
    if sizes.numel() and (min(sizes.min(), losses.min()) <= 0 or not torch.isfinite(sizes + losses).all()):
        raise ValueError("a size or a loss is not positive and finite, and has no logarithm; leave the run out and say so")
    if len(sizes.unique()) < 2:
        raise ValueError(f"{len(sizes.unique())} different size, a slope needs at least 2; run another size")
    return sizes, losses


def fit_power(sizes, losses):
    """Least squares of a straight line through log loss against log size -> Law. sizes, losses: (R,), one for each run."""
    sizes, losses = _checked(sizes, losses)
    x, y = sizes.log(), losses.log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return Law(math.exp(y.mean() - slope * x.mean()), -float(slope))


def fit_floor(sizes, losses, tries=200):
    """As `fit_power`, with the floor that fits best among `tries` from 0 to just under the lowest loss -> Law.

    Three numbers need three sizes or more; with little curvature in the data many floors fit nearly as well.
    """
    sizes, losses = _checked(sizes, losses)
    if len(sizes.unique()) < 3:
        raise ValueError(f"{len(sizes.unique())} sizes, a floor needs at least 3; fit_power needs 2")
    floors = torch.linspace(0, 0.98, tries, dtype=torch.float64)[:, None] * losses.min()  # (tries, 1)
    x, y = sizes.log(), (losses - floors).log()  # (R,), (tries, R): one line for each floor
    x = x - x.mean()
    slope = (x * y).sum(1, keepdim=True) / x.square().sum()
    fitted = (y.mean(1, keepdim=True) + slope * x).exp() + floors
    best = int((fitted.log() - losses.log()).square().sum(1).argmin())  # errors count in log loss, as in fit_power
    a = math.exp(y[best].mean() - slope[best] * sizes.log().mean())
    return Law(a, -float(slope[best]), float(floors[best]))


def residuals(law, sizes, losses):
    """log(measured / fitted) of each run, (R,) floats; 0.01 is about one per cent."""
    return [math.log(loss / law(float(n))) for n, loss in zip(sizes, losses)]


def bootstrap_laws(sizes, losses, fit=fit_power, samples=1000, seed=0, least=3):
    """Fit again on runs drawn with replacement (Efron 1979) -> list of S Laws.

    least: draws with fewer different sizes than this are drawn again, for a line through one size is no line.
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
    low, high = torch.quantile(torch.as_tensor(values, dtype=torch.float64), edges).tolist()
    return low, high


def predict(sizes, losses, at, fit=fit_power, level=0.95, samples=1000, seed=0):
    """The loss of ONE new run of size `at` -> (middle, low, high).

    Two uncertainties: of the line, by fitting again on drawn runs, and of a single run around it, by adding a residual
    drawn from the fit. The interval of the line alone would be too narrow for a run. The residuals of a fit are smaller
    than the scatter they come from, hence the factor.
    """
    law = fit(sizes, losses)
    left = torch.tensor(residuals(law, sizes, losses), dtype=torch.float64)
    left = left * math.sqrt(len(left) / max(1, len(left) - (2 if law.floor == 0 else 3)))
    drawn = left[torch.randint(len(left), (samples,), generator=torch.Generator().manual_seed(seed + 1))]
    laws = bootstrap_laws(sizes, losses, fit, samples, seed)
    low, high = interval([law(at) * math.exp(r) for law, r in zip(laws, drawn.tolist())], level)
    return law(at), low, high


def worst_ahead(sizes, losses, fit, start=3):
    """How wrong `fit` was one size ahead -> the largest |log(measured / predicted)| over the family.

    For each size from the `start`-th on, fit on the smaller ones and compare its mean loss with the prediction. This is
    how to choose between forms of the law before the held-out run is looked at.
    """
    grid, pairs = sorted(set(sizes)), list(zip(sizes, losses))
    errors = []
    for i in range(start, len(grid)):
        known = [(n, loss) for n, loss in pairs if n < grid[i]]
        law = fit(*zip(*known))
        mean = statistics.fmean(loss for n, loss in pairs if n == grid[i])
        errors.append(abs(math.log(mean / law(float(grid[i])))))
    return max(errors)


class Machine(NamedTuple):
    """peak: operations a second of one device in the type used; price: of one device for an hour, your own assumption."""

    name: str
    peak: float
    memory_gb: float
    price: float


class Plan(NamedTuple):
    """What a run costs, as far as a formula knows."""

    flops: float
    hours: float
    memory_gb: float  # weights, gradients and Adam's state on each device, activations not
    money: float


def run_cost(weights, tokens, machine, devices=1, share=0.4, flops_per_token=None, sharded=False, bytes_per_weight=16):
    """Time, memory and money of a training run -> Plan.

    share: of the peak that the run reaches, 0 to 1, measured on a run of yours or an assumption to be named.
    flops_per_token: counted for your model; the rule of 6 operations for each weight otherwise.
    sharded: state divided over the devices instead of copied to each. bytes_per_weight: 16 for float32 with Adam.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}, a part of the peak lies between 0 and 1; measure one on a short run")
    if devices < 1:
        raise ValueError(f"devices is {devices}, a run needs at least 1")
    flops = (6 * weights if flops_per_token is None else flops_per_token) * tokens
    hours = flops / (machine.peak * share * devices) / 3600
    memory = weights * bytes_per_weight / 1e9 / (devices if sharded else 1)
    return Plan(flops, hours, memory, hours * devices * machine.price)


def matmul_speed(size=512, dtype=torch.float32, device="cpu", tries=30):
    """Operations a second of a (size, size) product, the best of `tries`: a peak that is measured, not printed on a box.

    Many short tries, because the best of them is one that no other program interrupted. A GPU needs a size of 8192 or so.
    """
    a, seconds = torch.ones(size, size, dtype=dtype, device=device), []
    for _ in range(tries):  # the first one prepares the kernel; the best leaves it out
        began = time.perf_counter()
        product = a @ a
        float(product[0, 0])  # a GPU works on after the call returns; reading a number waits for it
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)
