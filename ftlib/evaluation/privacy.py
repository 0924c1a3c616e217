"""What a model tells about single training rows: membership attacks, and DP-SGD with
its accountant.

Use it:

    >>> members, others = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.15])
    >>> round(auroc(-members, -others), 3)  # a low loss says "member"
    0.778
    >>> # 1 % of the rows in each of 1,000 steps, noise 1.1 times the clipping norm
    >>> round(epsilon_of(0.01, 1.1, 1000, delta=1e-5), 2)
    1.71
    >>> model = torch.nn.Linear(3, 2)
    >>> x, y = torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])
    >>> loss_fn = torch.nn.functional.cross_entropy
    >>> gradients = per_example_gradients(model, loss_fn, x, y)
    >>> gradients["weight"].shape
    torch.Size([5, 2, 3])

What it is not: a guarantee for your release. Rows that belong to one person must be
counted as one row, tuning on the private rows costs privacy as well, and `DPSGD` draws
its noise from torch's ordinary generator. The tests compare with opacus. Needs: torch,
scipy.

Shapes: B rows of a batch, N members, M others, R reference models.
"""

import math

import torch
from scipy.special import gammaln, ndtr
from torch.func import functional_call, grad, vmap

# --- was this row in the training set?


def auroc(members, others) -> float:
    """How often a member scores higher than somebody else, ties half: 0.5 is guessing,
    1 is certainty. members: (N,), others: (M,).
    """
    others = torch.as_tensor(others, dtype=torch.float64).sort().values
    members = torch.as_tensor(members, dtype=torch.float64)
    below = torch.searchsorted(others, members)
    up_to = torch.searchsorted(others, members, right=True)
    return float((below + up_to).double().mean() / (2 * len(others)))


def auroc_interval(members, others, level=0.95, samples=1000, seed=0):
    """Bootstrap interval of `auroc`, members and others drawn anew -> (low, high)."""
    members, others = (torch.as_tensor(v).double() for v in (members, others))
    draw, values = torch.Generator().manual_seed(seed), []
    for _ in range(samples):
        picked = [
            v[torch.randint(len(v), (len(v),), generator=draw)]
            for v in (members, others)
        ]
        values.append(auroc(*picked))
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(torch.tensor(values, dtype=torch.float64), edges)
    return float(low), float(high)


def tpr_at_fpr(members, others, fpr=0.01) -> float:
    """The fraction of members that score above a threshold which at most `fpr` of the
    others pass (Carlini et al. 2022): guessing gets `fpr` itself.
    """
    others = torch.as_tensor(others).double().sort(descending=True).values
    allowed = int(fpr * len(others))  # how many of the others may pass
    if allowed >= len(others):
        return 1.0
    return float((torch.as_tensor(members).double() > others[allowed]).double().mean())


def logit_of_probability(logits, labels):
    """log(p / (1 - p)) of the true class -> (N,) float64: nearly a bell curve over
    models, which losses are not, and exact where a loss rounds to 0.

    logits: (N, C), labels: (N,). It falls as the loss rises, so the attack by loss may
    use it: rows whose losses are all 0 in 32 bits stay apart.
    """
    logits = torch.as_tensor(logits, dtype=torch.float64)
    labels = torch.as_tensor(labels)[:, None]
    others = logits.scatter(1, labels, -torch.inf).logsumexp(dim=1)
    return logits.gather(1, labels)[:, 0] - others


def likelihood_ratio(target, reference, was_in):
    """The scores of LiRA (Carlini et al. 2022): log N(target | in) - log N(target |
    out), higher for members -> (N,).

    target: (N,) `logit_of_probability` of each row under the model that is attacked.
    reference: (R, N) the same under reference models, was_in: bool (R, N), whether the
    reference model had the row. One spread is shared by all rows, which is steadier
    with few models. Raises ValueError for a row that fewer than 2 models had, or had
    not.
    """
    reference = torch.as_tensor(reference, dtype=torch.float64)
    means, residuals = [], []
    for mask in (was_in, ~was_in):
        count = mask.sum(dim=0)
        if int(count.min()) < 2:
            raise ValueError(
                f"row {int(count.argmin())} was in, or out, of {int(count.min())} "
                "reference models; train more, each on a random half"
            )
        mean = (reference * mask).sum(dim=0) / count
        means.append(mean)
        residuals.append((reference - mean)[mask])
    inside, outside = (r.std().clamp(min=1e-6) for r in residuals)
    return (
        ((target - means[1]) / outside) ** 2 - ((target - means[0]) / inside) ** 2
    ) / 2 + torch.log(outside / inside)


# --- DP-SGD (Abadi et al. 2016)


def per_example_gradients(model, loss_fn, x, y):
    """{name: (B, *shape)}: the gradient of each row's loss, in one pass.

    x: (B, ...), or a dict of such tensors, the model's arguments by name; y: (B, ...).
    loss_fn(output, y) of one row, in a batch of one. No layer may mix rows: batch norm
    cannot be used. Dropout must be off.
    """
    params = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    rest = {n: p for n, p in model.named_parameters() if not p.requires_grad}
    rest |= dict(model.named_buffers())

    def loss_of_one(params, x, y):
        state = (params | rest,)
        if isinstance(x, dict):
            row = {name: value[None] for name, value in x.items()}
            output = functional_call(model, state, kwargs=row)
        else:
            output = functional_call(model, state, (x[None],))
        return loss_fn(getattr(output, "logits", output), y[None])

    return vmap(grad(loss_of_one), in_dims=(None, 0, 0))(params, x, y)


def clip_rows(gradients, max_norm):
    """The sum over rows of gradients whose norm over *all* tensors is at most
    `max_norm` -> ({name: shape}, norms before clipping (B,)).
    """
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()])
    norms = norms.norm(dim=0)  # (B,)
    factor = (max_norm / norms.clamp(min=1e-12)).clamp(max=1)
    return {n: torch.einsum("b,b...->...", factor, g) for n, g in gradients.items()}, (
        norms
    )


def poisson_rows(rows, rate, seed, step):
    """Row numbers of one step: each row is in with probability `rate`, on its own, as
    the accountant assumes -> LongTensor, possibly empty.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    return (torch.rand(rows, generator=generator) < rate).nonzero()[:, 0]


def private_step(model, optimizer, loss_fn, x, y, *, batch, max_norm, noise, generator):
    """One step of DP-SGD: clip each row's gradient, add Gaussian noise of standard
    deviation noise * max_norm to the sum, divide by the *expected* batch size.

    x, y: the rows that `poisson_rows` drew. noise 0 clips and gives no privacy.
    """
    params = {n: p for n, p in model.named_parameters() if p.requires_grad}
    sums = {n: torch.zeros_like(p) for n, p in params.items()}
    if len(y):
        sums, _ = clip_rows(per_example_gradients(model, loss_fn, x, y), max_norm)
    for name, p in params.items():
        drawn = torch.randn(p.shape, generator=generator)
        # the size that was drawn is private, the expected size is not
        p.grad = (sums[name] + noise * max_norm * drawn) / batch
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


# --- how much privacy is left: the accountant

ORDERS = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64))


def _log_add(a, b):
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _log_subtract(a, b):
    return a if b == -math.inf else a + math.log(-math.expm1(min(b - a, -1e-300)))


def _log_moment_whole(q, sigma, order):
    """log E of the order-th moment, a binomial sum (Mironov et al. 2019, section
    3.3, whole orders).
    """
    total = -math.inf
    for i in range(order + 1):
        term = (
            gammaln(order + 1) - gammaln(i + 1) - gammaln(order - i + 1)
            + i * math.log(q) + (order - i) * math.log1p(-q)
        )  # fmt: skip
        total = _log_add(total, float(term) + (i * i - i) / (2 * sigma**2))
    return total


def _log_tail(x):
    """log of the probability that a standard normal is above x."""
    if x < 20:
        return math.log(float(ndtr(-x)))
    # ndtr is 0 out there; the first terms of its asymptotic series
    return -x * x / 2 - math.log(x * math.sqrt(2 * math.pi)) + math.log1p(-1 / x**2)


def _log_moment_fraction(q, sigma, order):
    """The same for an order that is no whole number: an infinite sum in two halves."""
    halves, i = [-math.inf, -math.inf], 0
    z = sigma**2 * math.log(1 / q - 1) + 0.5
    coefficient, sign = 0.0, 1
    while True:
        j = order - i
        # E over the half where the second density is the smaller one, and the other
        first = coefficient + i * math.log(q) + j * math.log1p(-q)
        first += (i * i - i) / (2 * sigma**2) + _log_tail((i - z) / sigma)
        second = coefficient + j * math.log(q) + i * math.log1p(-q)
        second += (j * j - j) / (2 * sigma**2) + _log_tail((z - j) / sigma)
        add = _log_add if sign > 0 else _log_subtract
        halves = [add(halves[0], first), add(halves[1], second)]
        i += 1
        # the binomial coefficient (order over i), whose sign changes beyond the order
        coefficient += math.log(abs(order - i + 1)) - math.log(i)
        sign = sign if order - i + 1 > 0 else -sign
        if i > order + 1 and max(first, second) < -30:
            return _log_add(*halves)


def renyi_divergence(q, noise, order) -> float:
    """Renyi differential privacy of one step of the subsampled Gaussian mechanism
    (Mironov, Talwar and Zhang 2019), at `order` > 1.

    q: the fraction of rows in a step. noise: standard deviation over clipping norm.
    """
    if q == 0:
        return 0.0
    if noise == 0:
        return math.inf
    if q == 1:
        return order / (2 * noise**2)
    exact = _log_moment_whole if float(order).is_integer() else _log_moment_fraction
    order = int(order) if float(order).is_integer() else order
    return exact(q, noise, order) / (order - 1)


def epsilon_of(q, noise, steps, delta, orders=ORDERS) -> float:
    """The epsilon of (epsilon, delta)-differential privacy after `steps` steps: the
    best over the orders (conversion of Balle et al. 2020).

    It says that what anybody concludes changes by at most a factor exp(epsilon) when
    one row is taken away, except with probability `delta`; choose `delta` well below
    1 / rows. Raises ValueError for numbers that mean nothing.
    """
    if not (0 <= q <= 1 and noise >= 0 and steps >= 0 and 0 < delta < 1):
        raise ValueError(
            f"q {q}, noise {noise}, steps {steps}, delta {delta}: q must be a fraction "
            "of rows, delta lie between 0 and 1, and neither of the others be negative"
        )
    if steps == 0 or q == 0:
        return 0.0
    best = math.inf
    for order in orders:
        total = steps * renyi_divergence(q, noise, order)
        lost = (math.log(delta) + math.log(order)) / (order - 1)
        best = min(best, total + math.log1p(-1 / order) - lost)
    return max(0.0, best)


def noise_for(epsilon, q, steps, delta) -> float:
    """The least noise (to three digits) with which `steps` steps cost at most
    `epsilon`; math.inf needs none.
    """
    if epsilon == math.inf:
        return 0.0
    low, high = 0.1, 1.0
    while epsilon_of(q, high, steps, delta) > epsilon:
        low, high = high, 2 * high
        if high > 1e4:
            raise ValueError(f"no noise up to {high:g} reaches epsilon {epsilon}")
    while high / low > 1.0005:
        middle = math.sqrt(low * high)
        if epsilon_of(q, middle, steps, delta) > epsilon:
            low = middle
        else:
            high = middle
    return high
