"""Checks of chapter 03: AdamW, a schedule, and clipping by the global norm
(accumulation: see accumulation.py).

>>> from ftlib.course.checks.optimizers import check_clip_all
>>> check_clip_all(lambda grads, limit: ([g.clamp(-limit, limit) for g in grads], 0.0))
hint: each number is clamped by itself, which changes the gradient's direction;
multiply all of them by one factor

Most checks compare the reader's result with those of known mistakes, so that the hint
can name the one that was made.

What it is not: a test of speed. Needs: torch.
"""

import torch

from ftlib.course.checks import correct, exercise, expect

CLOSE = 1e-10  # float64 leaves room for about 1e-13 on these problems


def _near(a, b, tolerance=CLOSE):
    return bool(
        (torch.as_tensor(a).detach() - torch.as_tensor(b).detach()).abs().max()
        < tolerance
    )


# --- AdamW

ADAMW = dict(lr=0.1, beta1=0.8, beta2=0.95, eps=0.01, weight_decay=0.3)


def _gradient(w):
    """Gradients whose sizes differ by a factor of a million, and that do not vanish
    together.
    """
    return torch.logspace(-3, 3, len(w), dtype=w.dtype) * (w + torch.cos(3 * w))


def _walk(w, steps, lr, beta1, beta2, eps, weight_decay, fault=None):
    """`steps` steps of AdamW, or of AdamW with one known mistake."""
    m, s = torch.zeros_like(w), torch.zeros_like(w)
    if fault == "betas":
        beta1, beta2 = beta2, beta1
    for t in range(1, steps + 1):
        g = _gradient(w) * (-1 if fault == "sign" else 1)
        g = g + weight_decay * w if fault == "l2" else g
        m, s = (
            beta1 * m + (1 - beta1) * g,
            beta2 * s + (1 - beta2) * (m * m if fault == "square of m" else g * g),
        )
        m_hat = m if fault in ("no correction", "s only") else m / (1 - beta1**t)
        s_hat = s if fault in ("no correction", "m only") else s / (1 - beta2**t)
        if fault == "stored":
            m, s = m_hat, s_hat
        size = (s_hat + eps).sqrt() if fault == "eps inside" else s_hat.sqrt() + eps
        step = lr * m_hat / (s_hat + eps if fault == "no root" else size)
        shrink = {"l2": 1, "no decay": 1, "unscaled": 1 - weight_decay}.get(
            fault, 1 - lr * weight_decay
        )
        w = (w - step) * shrink if fault == "decay last" else w * shrink - step
    return w


ADAMW_HINTS = {
    "l2": "weight_decay * w is added to the gradient, where Adam divides it away "
    "again: that is L2; shrink w itself instead",
    "no decay": (
        "this is Adam: weight_decay is not used; each step must also subtract lr * "
        "weight_decay * w from w"
    ),
    "unscaled": "the weights shrink by weight_decay in each step; AdamW shrinks them "
    "by lr * weight_decay",
    "decay last": "the weights are shrunk after the step of Adam; shrink first, so "
    "that the new step is not shrunk with them",
    "no correction": (
        "the moments start at 0 and are used as they are; divide them by 1 - beta**t "
        "(bias correction)"
    ),
    "m only": (
        "the first moment is corrected and the second moment is not; divide both by "
        "1 - beta**t"
    ),
    "s only": (
        "the second moment is corrected and the first moment is not; divide both by "
        "1 - beta**t"
    ),
    "stored": (
        "the corrected moments are stored as the state, so they are corrected again "
        "and again; correct a copy"
    ),
    "eps inside": (
        "eps is inside the square root; add it to the root, or small gradients take "
        "other steps"
    ),
    "no root": "the step is divided by the second moment; divide by its square root",
    "betas": (
        "beta1 and beta2 are exchanged; beta1 belongs to the gradients, beta2 to "
        "their squares"
    ),
    "square of m": (
        "the second moment is updated with the squares of the first moment; update "
        "it with g * g"
    ),
    "sign": "the weights move uphill; subtract the step",
}


@exercise
def check_adamw_by_hand(answer):
    """answer(w, gradient, steps, lr, beta1, beta2, eps, weight_decay) -> w after
    `steps` steps of AdamW.
    """
    w, calls = torch.linspace(-1, 2, 7, dtype=torch.float64), []

    def gradient(w):
        calls.append(1)
        return _gradient(w)

    start = w.clone()
    got = answer(w, gradient, 4, **ADAMW)
    expect(
        _near(w, start), "your function changes the w it was given; make new tensors"
    )
    expect(
        got.shape == w.shape,
        f"return w alone, a tensor of shape {tuple(w.shape)}; keep state and step "
        "number inside",
    )
    expect(
        bool(got.isfinite().all()),
        "the weights are not finite: with t = 0 the correction divides by 0; the "
        "first step is t = 1",
    )
    expect(
        len(calls) == 4,
        f"gradient was called {len(calls)} times in 4 steps; call it once a step, at "
        "the present w",
    )
    for fault, words in ADAMW_HINTS.items():
        expect(not _near(got, _walk(w, 4, **ADAMW, fault=fault)), words)
    apart = float((got - _walk(w, 4, **ADAMW)).abs().max())
    expect(
        apart < CLOSE,
        f"after 4 steps w differs from torch's by {apart:.1e}; "
        "compare one step by hand",
    )
    expect(
        _near(got, answer(w, gradient, 4, **ADAMW)),
        "a second run gives other weights; start the moments at 0 in each call",
    )
    parameter, (lr, *betas, eps, decay) = torch.nn.Parameter(w.clone()), ADAMW.values()
    optimizer = torch.optim.AdamW([parameter], lr, betas, eps, decay)
    for _ in range(100):
        parameter.grad = _gradient(parameter.detach())
        optimizer.step()
    apart = float((answer(w, gradient, 100, **ADAMW) - parameter.detach()).abs().max())
    expect(
        apart < CLOSE,
        f"correct for 4 steps, but {apart:.1e} from torch after 100; does t count "
        "every step?",
    )
    return correct("100 steps, within 1e-10 of torch.optim.AdamW")


# --- a schedule


@exercise
def check_rate_at(answer):
    """answer(step, peak, warmup, hold, total, floor) -> the learning rate of this
    step.
    """
    peak, warmup, hold, total, lowest = 0.02, 5, 10, 55, 0.002
    rates = [
        float(answer(step, peak, warmup, hold, total, lowest))
        for step in range(total + 12)
    ]

    def near(a, b):
        return abs(a - b) < 1e-9

    expect(
        not near(rates[0], 0),
        "the first step has learning rate 0 and changes nothing; step counts from 0, "
        "so use step + 1",
    )
    expect(
        not near(max(rates), 1),
        "this is a factor from 0 to 1; multiply it by peak",
    )
    expect(
        not near(max(rates), peak + lowest),
        "the floor is added on top of the peak; the decay goes from peak to floor",
    )
    expect(
        near(max(rates), peak),
        f"the highest learning rate is {max(rates):.4g}, expected {peak}",
    )
    expect(
        all(near(rates[i], peak * (i + 1) / warmup) for i in range(warmup)),
        "the warm-up is not peak * (step + 1) / warmup; it is a straight line that "
        "reaches peak in its last step",
    )
    expect(
        all(near(rate, peak) for rate in rates[warmup : warmup + hold]),
        f"after the warm-up the learning rate stays at peak for hold = {hold} steps; "
        "here it falls at once, or jumps",
    )
    first = rates[warmup + hold]
    expect(
        near(first, peak),
        f"the decay begins at {first:.4g}; count its steps from warmup + hold, so "
        "that there is no jump",
    )
    # the way down has 40 steps
    middle, quarter, end = rates[35], rates[25], rates[total]
    expect(
        not near(quarter, peak + (lowest - peak) * 0.25),
        "the decay is a straight line; half a cosine is slow at both ends",
    )
    expect(not near(end, 0), "the learning rate ends at 0; it must end at floor")
    expect(
        not near(end, 2 * lowest - peak),
        "the cosine runs from 1 to -1; 0.5 * (1 + cos) runs from 1 to 0",
    )
    expect(
        near(end, lowest),
        f"at step {total} the learning rate is {end:.4g}, expected {lowest}, the floor",
    )
    expect(
        near(middle, (peak + lowest) / 2),
        "half-way through the decay the learning rate must be the mean of peak and "
        "floor",
    )
    expect(
        near(rates[total + 10], lowest),
        "after the last step the cosine rises again; stop its progress at 1",
    )
    expect(
        near(float(answer(0, peak, 0, 0, 10, 0.0)), peak),
        "without warm-up and hold, step 0 must have the learning rate peak",
    )
    return correct(
        f"up in {warmup} steps, {hold} at the peak, along half a cosine to the floor, "
        "and no jump"
    )


# --- clipping


@exercise
def check_clip_all(answer):
    """answer(grads, limit) -> (list of clipped gradients, their global norm before)."""
    g = torch.Generator().manual_seed(1)
    grads = [
        torch.randn(shape, generator=g, dtype=torch.float64)
        for shape in ((4, 3), (6,), (2, 2))
    ]
    kept, flat = [x.clone() for x in grads], torch.cat([x.flatten() for x in grads])
    norm, limit = float(flat.norm()), 2.0
    out, returned = answer(grads, limit)
    expect(
        all(map(_near, grads, kept)),
        "the gradients you were given have changed; return new tensors",
    )
    expect(
        len(out) == 3 and all(a.shape == b.shape for a, b in zip(out, kept)),
        "the clipped gradients must be a list with the same shapes as grads",
    )
    joined = torch.cat([x.flatten() for x in out])
    expect(
        not _near(joined, flat.clamp(-limit, limit)),
        "each number is clamped by itself, which changes the gradient's direction; "
        "multiply all of them by one factor",
    )
    single = torch.cat([x.flatten() * min(1.0, limit / float(x.norm())) for x in kept])
    expect(
        not _near(joined, single),
        "each tensor is clipped by its own norm; take the norm over all tensors "
        "together",
    )
    expect(
        not _near(joined, flat * limit / sum(float(x.norm()) for x in kept)),
        "the norms are added up; the global norm is the root of the sum of all squares",
    )
    expect(
        not _near(joined, flat * limit / norm**2),
        "you divide by the squared norm; take the root",
    )
    expect(
        not _near(joined, flat * limit / float(flat.abs().max())),
        "this limits the largest number; limit the norm, the root of the sum of "
        "squares",
    )
    expect(
        _near(joined, flat * limit / norm, 1e-5),
        f"the clipped gradient has norm {float(joined.norm()):.3f}, and the limit is 2",
    )
    scaled = [x / 100 for x in kept]
    lengthened, _ = answer([x.clone() for x in scaled], limit)
    expect(
        all(map(_near, lengthened, scaled)),
        "a gradient with a norm below the limit was changed; clipping never "
        "increases a norm",
    )
    expect(
        abs(float(returned) - limit) > 1e-3,
        "the norm you return is the one after clipping; return the one before, for "
        "the log",
    )
    expect(
        abs(float(returned) - norm) < 1e-6,
        f"the norm before clipping is {float(returned):.3f} in your result, expected "
        f"{norm:.3f}",
    )
    nothing, _ = answer([torch.zeros(3), torch.zeros(2)], limit)
    expect(
        all(bool((x == 0).all()) for x in nothing),
        "gradients of zeros become nan; do not divide by a norm of 0",
    )
    return correct(
        f"norm {norm:.2f} became {limit}, the direction is the same, and gradients "
        "below the limit stay as they are"
    )
