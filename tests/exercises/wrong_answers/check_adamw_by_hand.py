"""Wrong AdamWs, and another right one."""

import numpy as np
import torch


def another(w, gradient, steps, lr, beta1, beta2, eps, weight_decay):
    m = s = 0.0
    for t in range(steps):
        g = gradient(w)
        m, s = m + (1 - beta1) * (g - m), s + (1 - beta2) * (g**2 - s)
        rate = lr / (1 - beta1 ** (t + 1))
        w = (
            w
            - lr * weight_decay * w
            - rate * m / ((s / (1 - beta2 ** (t + 1))) ** 0.5 + eps)
        )
    return w


def _walk(
    w,
    gradient,
    steps,
    lr,
    beta1,
    beta2,
    eps,
    weight_decay,
    *,
    correct=(True, True),
    l2=False,
    shrink=None,
    last=False,
    inside=False,
    root=True,
    start=1,
    sign=1,
    stored=False,
):
    m = s = torch.zeros_like(w)
    shrink = 1 - lr * weight_decay if shrink is None else shrink
    for t in range(start, steps + start):
        g = sign * gradient(w)
        g = g + weight_decay * w if l2 else g
        m, s = beta1 * m + (1 - beta1) * g, beta2 * s + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**t) if correct[0] else m
        s_hat = s / (1 - beta2**t) if correct[1] else s
        if stored:
            m, s = m_hat, s_hat
        size = (
            (s_hat + eps).sqrt() if inside else (s_hat.sqrt() if root else s_hat) + eps
        )
        w = (w - lr * m_hat / size) * shrink if last else w * shrink - lr * m_hat / size
    return w


def l2(*args):
    return _walk(*args, l2=True, shrink=1)


def adam(*args):
    return _walk(*args, shrink=1)


def unscaled(*args):
    return _walk(*args, shrink=1 - args[-1])


def shrink_last(*args):
    return _walk(*args, last=True)


def no_correction(*args):
    return _walk(*args, correct=(False, False))


def only_m(*args):
    return _walk(*args, correct=(True, False))


def only_s(*args):
    return _walk(*args, correct=(False, True))


def stored(*args):
    return _walk(*args, stored=True)


def inside(*args):
    return _walk(*args, inside=True)


def no_root(*args):
    return _walk(*args, root=False)


def from_zero(*args):
    return _walk(*args, start=0)


def swapped(w, gradient, steps, lr, beta1, beta2, eps, weight_decay):
    return _walk(w, gradient, steps, lr, beta2, beta1, eps, weight_decay)


def uphill(*args):
    return _walk(*args, sign=-1)


def in_place(w, *args):
    return w.copy_(_walk(w, *args))


def first_gradient(w, gradient, *args):
    g = gradient(w)
    return _walk(w, lambda _: g, *args)


def own_eps(*args):
    return _walk(*args[:-2], 1e-8, args[-1])


def own_betas(w, gradient, steps, lr, beta1, beta2, *args):
    return _walk(w, gradient, steps, lr, 0.9, 0.999, *args)


def gradient_of_shrunk(w, gradient, steps, lr, *args):
    return _walk(w, lambda w: gradient(w * (1 - lr * args[-1])), steps, lr, *args)


def from_two(*args):
    return _walk(*args, start=2)


def decays_to_start(w, gradient, steps, lr, *args):
    shift, m, s = lr * args[-1] * w, 0.0, 0.0
    for t in range(1, steps + 1):
        g = gradient(w)
        m, s = args[0] * m + (1 - args[0]) * g, args[1] * s + (1 - args[1]) * g * g
        m_hat, s_hat = m / (1 - args[0] ** t), s / (1 - args[1] ** t)
        w = w - shift - lr * m_hat / (s_hat.sqrt() + args[2])
    return w


def at_most_ten(w, gradient, steps, *args):
    return _walk(w, gradient, min(steps, 10), *args)


def fewer_digits(w, gradient, *args):
    return _walk(w.float(), lambda w: gradient(w.double()).float(), *args)


def rounded(*args):
    return _walk(*args).round(decimals=4)


def one_gradient_a_row(w, gradient, *args):
    return _walk(
        w,
        lambda w: (
            gradient(w).reshape(len(w), -1)[:, :1].reshape(-1, *[1] * (w.ndim - 1))
        ),
        *args,
    )


def built_in(w, gradient, steps, lr, beta1, beta2, eps, weight_decay):
    w = torch.nn.Parameter(w.clone())
    optimizer = torch.optim.AdamW([w], lr, (beta1, beta2), eps, weight_decay)
    for _ in range(steps):
        w.grad = gradient(w.detach())
        optimizer.step()
    return w.detach()


def in_numpy(w, gradient, steps, lr, beta1, beta2, eps, weight_decay):
    w, m, s = w.numpy().copy(), 0, 0
    for t in range(1, steps + 1):
        g = gradient(torch.from_numpy(w)).numpy()
        m, s = beta1 * m + (1 - beta1) * g, beta2 * s + (1 - beta2) * g**2
        rate = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
        step = rate * m / (np.sqrt(s) + eps * np.sqrt(1 - beta2**t))
        w = w - lr * weight_decay * w - step
    return torch.from_numpy(w)


class InPlace:
    """On a copy, with the calls that optimizers use."""

    def __call__(self, w, gradient, steps, lr, beta1, beta2, eps, weight_decay):
        w = w.clone()
        m, s = torch.zeros_like(w), torch.zeros_like(w)
        for t in range(1, steps + 1):
            g = gradient(w)
            m.lerp_(g, 1 - beta1)
            s.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            size = (s / (1 - beta2**t)).sqrt_().add_(eps)
            w.mul_(1 - lr * weight_decay).addcdiv_(m, size, value=-lr / (1 - beta1**t))
        return w


def _named(wrong):
    """Called with names by the check; the forms above take places."""

    def called(w, gradient, steps, lr, beta1, beta2, eps, weight_decay):
        return wrong(w, gradient, steps, lr, beta1, beta2, eps, weight_decay)

    called.__name__ = wrong.__name__
    return called


WRONG = [
    (_named(wrong), words)
    for wrong, words in (
        (l2, "that is L2"),
        (adam, "this is Adam"),
        (unscaled, "lr * weight_decay"),
        (shrink_last, "shrink first"),
        (no_correction, "bias correction"),
        (only_m, "second moment is not"),
        (only_s, "first moment is not"),
        (stored, "correct a copy"),
        (inside, "inside the square root"),
        (no_root, "divide by its square root"),
        (from_zero, "the first step is t = 1"),
        (swapped, "are exchanged"),
        (uphill, "uphill"),
        (in_place, "changes w"),
        (first_gradient, "call it once a step"),
        (own_eps, "eps is 1e-8"),
        (own_betas, "0.9 and 0.999"),
        (gradient_of_shrunk, "shrunk already"),
        (from_two, "starts with t = 2"),
        (decays_to_start, "the first w"),
        (at_most_ten, "after 100"),
        (fewer_digits, "result float32"),
        (built_in, "calls AdamW"),
        (one_gradient_a_row, "and 9 steps"),
        (rounded, "w is rounded"),
    )
]

RIGHT = [in_numpy, InPlace()]
