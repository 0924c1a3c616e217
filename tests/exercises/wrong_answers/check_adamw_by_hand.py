"""Wrong AdamWs, and another right one."""

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
        (in_place, "changes the w"),
        (first_gradient, "call it once a step"),
    )
]
