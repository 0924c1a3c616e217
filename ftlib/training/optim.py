"""Which weights decay, which layer learns how fast, how the rate moves over the run,
and the updates written out.

Use it:

    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
    >>> groups = parameter_groups(model, lr=1e-3, weight_decay=0.1)
    >>> [(g["weight_decay"], len(g["params"])) for g in groups]
    [(0.1, 1), (0.0, 3)]
    >>> optimizer = adamw(groups)
    >>> [round(warmup_linear(step, warmup=2, total=6), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    >>> w, state = torch.tensor([1.0, -2.0]), {}
    >>> # a step on half the squared length, whose gradient is w
    >>> for _ in range(3):
    ...     w, state = adamw_update(w, w, state, lr=0.1, weight_decay=0.0)
    >>> [round(x, 2) for x in w.tolist()]
    [0.7, -1.7]

A schedule is a plain function from the number of the optimizer step to a factor on the
rate; `train.steps` multiplies. So nothing has to be saved or restored: step 700 of a
resumed run asks the same function the same question.

The `..._update` functions are the four classical rules as pure functions, weights and
state in, weights and state out, one tensor at a time: to read, to change, to try an
idea. `state` starts as {} and is never changed in place.

What it is not: a fast optimizer. For training take torch's fused AdamW (`adamw`); the
tests and chapter 03 show that the functions here give the same weights. Needs: torch
only.
"""

import math
import re

import torch


def depth(name):
    """The layer number in a parameter name: 0 for embeddings, i + 1 for block i, None
    for what lies behind the blocks.

    Knows the names of ftlib (`blocks.3.`) and transformers (`layer.3.`, `h.3.`).
    """
    match = re.search(r"(?:blocks|layers?|h)\.(\d+)\.", name)
    if match:
        return int(match.group(1)) + 1
    embedding = re.search(r"embeddings|tokens|positions|segments|norm_in|wte|wpe", name)
    return 0 if embedding else None


def parameter_groups(model, lr, weight_decay=0.01, layer_decay=1.0, depth=depth):
    """Groups for an optimizer: matrices decay, vectors do not, and deeper layers may
    learn faster.

    Weight decay pulls towards zero, which makes sense for the matrices and not for
    biases and norm gains. With `layer_decay` d < 1 a layer k steps below the head
    learns at lr * d**k (ULMFiT, Howard & Ruder 2018): what lies near the input is
    general already and should move less. `depth` gives the layer of a parameter's name,
    None for the head; the one here knows transformers, `cnn.layer_numbers` a CNN.

    Frozen parameters (requires_grad False) are left out. Returns a list of dicts;
    raises ValueError if nothing is left.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError(
            "0 parameters have requires_grad=True, training needs at "
            "least one; unfreeze a layer or the head"
        )
    # the head stands one above the highest layer, frozen or not, at the full rate
    top = max(depth(name) or 0 for name, _ in model.named_parameters()) + 1
    groups = {}
    for name, p in named:
        layer = depth(name)
        below = 0 if layer is None else top - layer
        decay = weight_decay if p.ndim >= 2 else 0.0
        rate = lr * layer_decay**below
        # few large groups: the fused step is fast then
        groups.setdefault((rate, decay), []).append(p)
    return [
        {"params": ps, "lr": rate, "initial_lr": rate, "weight_decay": decay}
        for (rate, decay), ps in groups.items()
    ]


def adamw(groups, betas=(0.9, 0.98), eps=1e-8):
    """torch's AdamW (Loshchilov & Hutter 2019) in its fused form: one pass over the
    weights instead of a dozen.

    beta2 = 0.98 forgets the size of old gradients after about 50 steps instead of
    1,000; short runs want that.
    """
    return torch.optim.AdamW(groups, betas=betas, eps=eps, fused=True)


def _check(step, warmup, total):
    if not 0 <= warmup < total:
        raise ValueError(
            f"warmup is {warmup} steps and the run has {total}; warm-up "
            "must be shorter than the run"
        )
    if step < 0:
        raise ValueError(
            f"step is {step}, the first step is 0; count optimizer steps from 0"
        )


def warmup_linear(step, warmup, total):
    """Factor in 0..1: up in a straight line for `warmup` steps, then down in a straight
    line to 0 at step `total`.
    """
    _check(step, warmup, total)
    if step < warmup:
        return (step + 1) / warmup  # + 1: a first step at rate 0 would change nothing
    # max: a step beyond the planned end changes nothing, instead of climbing the loss
    return max(0.0, (total - step) / (total - warmup))


def warmup_cosine(step, warmup, total, min_ratio=0.0):
    """Factor in min_ratio..1: up in a straight line for `warmup` steps, then down along
    half a cosine to `min_ratio`.

    Loshchilov & Hutter 2017, without restarts.
    """
    _check(step, warmup, total)
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / (total - warmup))
    return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * done))


def momentum_update(w, g, state, lr, beta=0.9):
    """One step of SGD with momentum (Polyak 1964) -> (new w, new state). w, g: tensors
    of one shape; beta 0 is plain SGD.

    torch's form: a sum of old gradients that fade by beta, so a steady gradient moves w
    by lr / (1 - beta) a step.
    """
    # no factor 1 - beta here, as in torch; with it, lr would mean something else
    v = beta * state.get("v", 0.0) + g
    return w - lr * v, {"v": v}


def rmsprop_update(w, g, state, lr, beta=0.99, eps=1e-8):
    """One step of RMSprop (Tieleman & Hinton 2012) -> (new w, new state): the gradient
    over its own recent size.
    """
    s = beta * state.get("s", 0.0) + (1 - beta) * g * g
    # s starts at 0 and nothing corrects it, so the first step is 1 / sqrt(1 - beta)
    # times too long, as in torch
    return w - lr * g / (s.sqrt() + eps), {"s": s}


def adam_update(w, g, state, lr, betas=(0.9, 0.999), eps=1e-8):
    """One step of Adam (Kingma & Ba 2015) -> (new w, new state). Nearly every weight
    moves by about lr at most.
    """
    beta1, beta2 = betas
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0.0) + (1 - beta1) * g
    s = beta2 * state.get("s", 0.0) + (1 - beta2) * g * g
    # both means start at 0 and hold only 1 - beta**t of their weight; the state itself
    # stays uncorrected
    m_hat, s_hat = m / (1 - beta1**t), s / (1 - beta2**t)
    return w - lr * m_hat / (s_hat.sqrt() + eps), {"t": t, "m": m, "s": s}


def adamw_update(w, g, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    """One step of AdamW (Loshchilov & Hutter 2019) -> (new w, new state): shrink the
    weights, then a step of Adam.

    The decay never enters g, so it is not divided by the gradient's size: every weight
    loses the share lr * weight_decay.
    """
    return adam_update(w * (1 - lr * weight_decay), g, state, lr, betas, eps)
