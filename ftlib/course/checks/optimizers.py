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

import math

import torch

from ftlib.course.checks import correct, exercise, expect, forbid
from ftlib.course.checks.gradient_descent import apart, is_rounded

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
    sizes = torch.logspace(-3, 3, len(w), dtype=w.dtype)
    return sizes.reshape(-1, *[1] * (w.ndim - 1)) * (w + torch.cos(3 * w))


def _walk(w, steps, lr, beta1, beta2, eps, weight_decay, fault=None):
    """`steps` steps of AdamW, or of AdamW with one known mistake."""
    m, s = torch.zeros_like(w), torch.zeros_like(w)
    if fault == "betas":
        beta1, beta2 = beta2, beta1
    if fault == "own eps":
        eps = 1e-8
    if fault == "own betas":
        beta1, beta2 = 0.9, 0.999
    first = w
    for t in range(1, steps + 1):
        at = w * (1 - lr * weight_decay) if fault == "gradient late" else w
        g = _gradient(at) * (-1 if fault == "sign" else 1)
        t = t + 1 if fault == "from two" else t
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
        if fault == "decay to start":
            w = w - lr * weight_decay * first - step
        else:
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
    "own eps": "eps is 1e-8 whatever the argument says; use `eps`",
    "own betas": "beta1 and beta2 are 0.9 and 0.999 whatever the arguments say",
    "gradient late": (
        "the gradient is taken at the weights that are shrunk already; take it first, "
        "at the w of the step before"
    ),
    "from two": "the correction starts with t = 2; the first step is t = 1",
    "decay to start": (
        "each step subtracts lr * weight_decay times the first w; take the present w"
    ),
}


OPTIMIZERS = [
    f"torch.optim.{name}"
    for name in ("Adam", "AdamW", "NAdam", "RAdam", "adam.Adam", "adamw.AdamW")
]


@exercise
def check_adamw_by_hand(answer):
    """answer(w, gradient, steps, lr, beta1, beta2, eps, weight_decay) -> w after
    `steps` steps of AdamW.
    """
    w, calls = torch.linspace(-1, 2, 7, dtype=torch.float64), []

    def gradient(w):
        calls.append(1)
        return _gradient(w)

    def run(w, steps, **settings):
        with forbid(*OPTIMIZERS, instead="write the optimizer from the formulas"):
            got = answer(w.clone(), gradient, steps, **settings)
        expect(
            isinstance(got, torch.Tensor) and got.shape == w.shape,
            f"return w alone, a tensor of shape {tuple(w.shape)}; keep state and step "
            "number inside",
        )
        expect(
            got.dtype == w.dtype,
            f"w is {str(w.dtype)[6:]} and the result {str(got.dtype)[6:]}; make the "
            "moments with zeros_like",
        )
        return got.detach()

    got = run(w, 4, **ADAMW)
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
    wanted = _walk(w, 4, **ADAMW)
    expect(
        _near(got, wanted) or not is_rounded(got, wanted),
        "w is rounded; return all its digits",
    )
    away = float((got - wanted).abs().max())
    expect(
        away < CLOSE,
        f"after 4 steps w differs from torch's by {away:.1e}; compare one step by hand",
    )
    expect(
        _near(got, run(w, 4, **ADAMW)),
        "a second run gives other weights; start the moments at 0 in each call",
    )
    away = float((run(w, 100, **ADAMW) - _torch_walk(w, 100, **ADAMW)).abs().max())
    expect(
        away < CLOSE,
        f"correct for 4 steps, but {away:.1e} from torch after 100; does t count "
        "every step?",
    )
    for settings, w, steps in (
        (
            (0.02, 0.9, 0.999, 1e-8, 0.1),
            torch.linspace(-1, 2, 21, dtype=w.dtype).reshape(7, 3),
            9,
        ),
        ((0.3, 0.5, 0.7, 1e-3, 0.0), w[:1] + 2, 1),
        ((0.1, 0.0, 0.9, 1e-6, 0.5), w, 3),
    ):
        named = dict(zip(ADAMW, settings))
        got, wanted = run(w, steps, **named), _torch_walk(w, steps, **named)
        expect(
            _near(got, wanted, 1e-9),
            f"correct with one set of arguments, and with {named}, shape "
            f"{tuple(w.shape)} and {steps} steps w differs from torch's by "
            f"{float((got - wanted).abs().max()):.1e}; use every argument as it is",
        )
    return correct("100 steps, within 1e-10 of torch.optim.AdamW")


def _torch_walk(w, steps, lr, beta1, beta2, eps, weight_decay):
    parameter = torch.nn.Parameter(w.clone())
    optimizer = torch.optim.AdamW([parameter], lr, (beta1, beta2), eps, weight_decay)
    for _ in range(steps):
        parameter.grad = _gradient(parameter.detach())
        optimizer.step()
    return parameter.detach()


# --- a schedule


def _rate(step, peak, warmup, hold, total, lowest):
    """The learning rate of a step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = max(0.0, (step - warmup - hold) / (total - warmup - hold))
    return lowest + (peak - lowest) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


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
        # float32 holds seven digits
        return abs(a - b) < 2e-7 * peak

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
        rates[total + 10] > lowest or near(rates[total + 10], lowest),
        f"at step {total} the learning rate is the floor, and at step {total + 10} it "
        f"is {rates[total + 10]:.4g}; it stays at the floor",
    )
    expect(
        near(rates[total + 10], lowest),
        f"at step {total} the learning rate is the floor, and at step {total + 10} it "
        f"is {rates[total + 10]:.4g}: the cosine rises again; stop its progress at 1",
    )
    expect(
        near(float(answer(0, peak, 0, 0, 10, 0.0)), peak),
        "without warm-up and hold, step 0 must have the learning rate peak",
    )
    wanted = [_rate(step, peak, warmup, hold, total, lowest) for step in range(67)]
    step = max(range(67), key=lambda i: abs(rates[i] - wanted[i]))
    expect(
        near(rates[step], wanted[step]) or not is_rounded(rates, wanted),
        f"the learning rate is rounded: at step {step} it is "
        f"{apart(rates[step], wanted[step])}; return all its digits",
    )
    expect(
        near(rates[step], wanted[step]),
        f"at step {step} the learning rate is {apart(rates[step], wanted[step])}: "
        "start, middle and end of the decay are correct, and the curve between them is "
        "not half a cosine",
    )
    for setting in (
        (0.3, 1, 0, 7, 0.0),
        (0.3, 0, 4, 9, 0.1),
        (1e-4, 8, 0, 1000, 1e-5),
        (2.0, 3, 2, 6, 0.5),
        (1.0, 9, 3, 30, 0.4),
    ):
        peak = setting[0]
        for step in range(setting[3] + 30):
            rate, wanted = float(answer(step, *setting)), _rate(step, *setting)
            expect(
                near(rate, wanted),
                f"correct with one set of arguments, and with peak, warmup, hold, "
                f"total and floor {setting} the learning rate of step {step} is "
                f"{apart(rate, wanted)}; use every argument as it is",
            )
    return correct(
        "up in 5 steps, 10 at the peak, along half a cosine to the floor, and no jump"
    )


# --- clipping


def _clipped(answer, grads, limit):
    """(the clipped gradients, their global norm before) of the answer, as a flat tensor
    and a float.
    """
    result = answer([x.clone() for x in grads], limit)
    expect(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "return the pair (clipped, norm)",
    )
    out = list(result[0])
    expect(
        len(out) == len(grads) and all(a.shape == b.shape for a, b in zip(out, grads)),
        "the clipped gradients must be a list with the same shapes as grads",
    )
    expect(
        all(a.dtype == b.dtype for a, b in zip(out, grads)),
        f"gradients in {str(grads[0].dtype)[6:]} come back in {str(out[0].dtype)[6:]}; "
        "multiply them by a number",
    )
    return _flat(out), float(result[1])


def _flat(grads):
    return torch.cat([x.detach().flatten() for x in grads])


@exercise
def check_clip_all(answer):
    """answer(grads, limit) -> (list of clipped gradients, their global norm before)."""
    g = torch.Generator().manual_seed(1)
    grads = [
        torch.randn(shape, generator=g, dtype=torch.float64)
        for shape in ((4, 3), (6,), (2, 2))
    ]
    flat, limit = _flat(grads), 2.0
    norm = float(flat.norm())
    joined, returned = _clipped(answer, grads, limit)
    single = torch.cat([x.flatten() * min(1.0, limit / float(x.norm())) for x in grads])
    mistakes = [
        (
            flat.clamp(-limit, limit),
            "each number is clamped by itself, which changes the gradient's "
            "direction; multiply all of them by one factor",
        ),
        (
            single,
            "each tensor is clipped by its own norm; take the norm over all tensors "
            "together",
        ),
        (
            flat * limit / sum(float(x.norm()) for x in grads),
            "the norms are added up; the global norm is the root of the sum of all "
            "squares",
        ),
        (
            flat * limit / norm**2,
            "you divide by the squared norm; take the root",
        ),
        (
            flat * limit / float(flat.abs().max()),
            "this limits the largest number; limit the norm, the root of the sum of "
            "squares",
        ),
        (
            flat * limit / float(flat.abs().sum()),
            "this limits the sum of the sizes; limit the norm, the root of the sum of "
            "squares",
        ),
        (
            flat * limit / norm * len(flat) ** 0.5,
            "this limits the root of the mean square; the norm is the root of the sum "
            "of squares",
        ),
        (flat / norm, "the norm becomes 1, whatever the limit says; make it `limit`"),
        (flat, "nothing is clipped; the norm is above the limit"),
    ]
    for value, message in mistakes:
        expect(not _near(joined, value), message)
    along = float(joined @ flat / (joined.norm() * norm))
    expect(
        along > 1 - 1e-9,
        "the clipped gradient points in another direction; multiply all numbers by "
        "one factor",
    )
    expect(
        _near(joined, flat * limit / norm, 1e-5),
        f"the norm of the clipped gradient is {apart(joined.norm(), limit)}, the limit",
    )
    _check_below(answer, grads, limit)
    expect(
        abs(returned - limit) > 1e-3,
        "the norm you return is the one after clipping; return the one before, for "
        "the log",
    )
    expect(
        abs(returned - norm) < 1e-6 or not is_rounded(returned, norm),
        f"the norm that you return is rounded to {returned:g}; return all its digits",
    )
    expect(
        abs(returned - norm) < 1e-6,
        f"the norm before clipping is in your result {apart(returned, norm)}",
    )
    zeros, returned = _clipped(answer, [torch.zeros(3), torch.zeros(2)], limit)
    expect(
        bool((zeros == 0).all()) and returned == 0,
        "gradients of zeros do not stay zeros, with a norm of 0; do not divide by a "
        "norm of 0",
    )
    _check_other_lists(answer)
    return correct(
        f"norm {norm:.2f} became {limit}, the direction is the same, and gradients "
        "below the limit stay as they are"
    )


def _check_below(answer, grads, limit):
    """Gradients with a norm under the limit, far and just."""
    norm = float(_flat(grads).norm())
    for ratio in (0.01, 0.999):
        shorter = [x * ratio * limit / norm for x in grads]
        same, _ = _clipped(answer, shorter, limit)
        expect(
            _near(same, _flat(shorter)),
            "a gradient with a norm below the limit was changed; clipping never "
            "increases a norm",
        )


def _check_other_lists(answer):
    """Other limits, numbers of tensors, sizes and types, on both sides of the limit."""
    g = torch.Generator().manual_seed(2)
    for shapes, limit, size, dtype in (
        (((5,),), 0.5, 0.5001, torch.float64),
        (((2, 3, 2), (), (1, 4)), 10.0, 2e3, torch.float32),
        (((3,), (3,), (3,), (3,), (3,)), 1.0, 0.8, torch.float64),
        (((7, 2), (2,)), 3.0, 12.0, torch.float32),
    ):
        grads = [torch.randn(shape, generator=g, dtype=dtype) for shape in shapes]
        factor = size / float(_flat(grads).norm())
        grads = [x * factor for x in grads]
        joined, returned = _clipped(answer, grads, limit)
        wanted, close = _flat(grads) * min(1.0, limit / size), 1e-5 * max(1.0, limit)
        expect(
            _near(joined, wanted, close),
            f"correct for one list of gradients, and for {len(grads)} with a norm of "
            f"{size:g} and the limit {limit:g} the norm afterwards is "
            f"{apart(joined.norm(), min(size, limit))}; use `limit` and every tensor",
        )
        expect(
            abs(returned - size) < 1e-5 * size,
            f"for {len(grads)} gradients the norm before is {apart(returned, size)}",
        )
