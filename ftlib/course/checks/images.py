"""Checks of chapter 12: a frozen backbone, pooled maps, rates by depth, overlapping
boxes, a repaired loop.

>>> from ftlib.course.checks.images import check_layer_rates
>>> check_layer_rates(lambda parts, lr, decay: [lr] * parts)
hint: all parts learn at one rate; each part below the head learns at `decay` times
the rate of the part above it

What it is not: a training library (train.py trains). Needs: torch.
"""

import contextlib
import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from ftlib.course.checks import correct, exercise, expect


class Plain(nn.Module):
    """A network as articles write it: `body` (with batch-norm and dropout) and `head`,
    train() and eval() as torch has them.
    """

    def __init__(self, classes=7, width=6):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(x))


def example(classes=4, count=24):
    """A network that has seen images, and a batch from another domain: brighter, with
    more contrast, each class tinted.
    """
    draw = torch.Generator().manual_seed(5)
    torch.manual_seed(5)  # the decorator gives the reader's random state back
    net = Plain()
    for _ in range(3):
        net.train()(torch.randn(16, 3, 8, 8, generator=draw))
    labels = torch.arange(count) % classes
    tint = 3 * torch.randn(classes, 3, 1, 1, generator=draw)
    return (
        net,
        2 + 3 * torch.randn(count, 3, 8, 8, generator=draw) + tint[labels],
        labels,
    )


def moved(module, before):
    """Names of the tensors of a module whose bytes are not those of `before`."""
    return [
        name
        for name, value in module.state_dict().items()
        if not torch.equal(value, before[name])
    ]


def frozen_faults(net, before):
    """Raise the hint for whatever moved in a body that should have stood still."""
    names = moved(net.body, before)
    weights = [
        name for name in names if "running" not in name and "num_batches" not in name
    ]
    expect(
        not weights,
        f"weights of the body moved ({', '.join(weights)}); set "
        "requires_grad = False for all of its parameters, "
        "and give the optimizer those of the head",
    )
    expect(
        not names,
        f"the body's batch-norm drifted ({', '.join(names)}): running "
        "statistics move in train mode, gradient or not; "
        "call net.body.eval() after net.train()",
    )


@contextlib.contextmanager
def watched(classes, width=6):
    """Watch every new head while it learns -> {id: (head, its weights at each question,
    [(which of them, fresh gradient)])}.
    """
    seen = {}

    def note(module, inputs):
        if isinstance(module, nn.Linear) and module.weight.shape == (classes, width):
            head, states, fresh = seen.setdefault(id(module), (module, [], []))
            if not states and head.weight.requires_grad:
                head.weight.register_hook(
                    lambda gradient: fresh.append((len(states) - 1, gradient.clone()))
                )
            if not states or moved(head, states[-1]):
                states.append(copy.deepcopy(head.state_dict()))

    handle = nn.modules.module.register_module_forward_pre_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


def learning_faults(head, states, fresh, features, labels):
    """Raise the hint for a head that was not trained on these labels, from what
    `watched` saw of it.
    """
    steps = len(states) - 1 + bool(moved(head, states[-1]))
    expect(
        steps >= 5,
        f"the new head's weights changed {steps} times while it was "
        "asked; take at least five optimizer steps on "
        "cross-entropy, with an optimizer that holds the new head's "
        "parameters",
    )
    left, total = head.weight.grad, sum(gradient for _, gradient in fresh)
    # a gradient cleared in time is the last one alone, or none
    expect(
        left is None
        or len(fresh) < 2
        or torch.allclose(left, fresh[-1][1])
        or not torch.allclose(left, total, rtol=1e-3),
        "the gradients of all steps add up in the head; call optimizer.zero_grad() "
        "in every step",
    )

    def likeness(y):
        """How much the gradients that the head got point where cross-entropy on the
        labels y points, from -1 to 1.
        """
        return float(
            F.cosine_similarity(
                total.flatten(),
                ((votes - len(fresh) * F.one_hot(y)).T @ features).flatten(),
                dim=0,
            )
        )

    if fresh:
        votes = sum(
            F.linear(features, *states[i].values()).softmax(1) for i, _ in fresh
        )
        draw, own = torch.Generator().manual_seed(7), likeness(labels)
        expect(
            own > -0.9,
            "the gradient points uphill; call backward() on the loss "
            "itself, without a minus",
        )
        others = max(
            likeness(labels[torch.randperm(len(labels), generator=draw)])
            for _ in range(60)
        )
        expect(
            own > max(0.9, others),
            "the head learned other labels than those it "
            "was given; keep image i and label i together",
        )
    start, end = (
        float(F.cross_entropy(F.linear(features, *state.values()), labels))
        for state in (states[0], head.state_dict())
    )
    expect(
        end < start,
        f"the loss went from {start:.2f} to {end:.2f}: a step goes "
        "down, against the gradient, and not too far; "
        "lower the learning rate",
    )


@exercise
def check_train_head(answer):
    """answer(net, x, labels, classes) -> how many numbers were trained; net.head is
    new, net.body as it was.
    """
    net, x, labels = example()
    before = copy.deepcopy(net.body.state_dict())
    old = copy.deepcopy(net.head.state_dict())
    with watched(4) as seen:
        count = answer(net, x, labels, 4)
    frozen_faults(net, before)
    expect(
        net.head.weight.shape != old["weight"].shape,
        "net.head is the old one with 7 outputs; put a new nn.Linear(6, classes) there",
    )
    expect(
        net.head.weight.shape == (4, 6),
        "the new head has weights of shape "
        f"{tuple(net.head.weight.shape)}, "
        "(classes, width of the "
        "features) = (4, 6) is needed",
    )
    trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
    expect(
        trained == 28,
        f"{trained} numbers have requires_grad=True after the call, "
        "28 are right: 4 x 6 weights and 4 biases of the head",
    )
    expect(int(count) != 24, "the count is 24: the head's 4 biases are trained too")
    expect(
        int(count) != sum(p.numel() for p in net.parameters()),
        "the count holds the frozen weights too; count where requires_grad is True",
    )
    expect(int(count) == 28, f"the count is {count}, 28 numbers were trained")
    expect(
        all(bool(torch.isfinite(p).all()) for p in net.head.parameters()),
        "the head is not finite; lower the learning rate",
    )
    expect(
        id(net.head) in seen,
        "the new head was never asked about the images; take "
        "at least five optimizer steps on net(x)",
    )
    with torch.no_grad():
        features = net.eval().body(x)
    learning_faults(*seen[id(net.head)], features, labels)
    return correct("the head learned 28 numbers, and not a byte of the body moved")


@exercise
def check_mean_and_max(answer):
    """answer(maps (B, C, h, w)) -> (B, 2C): the mean of each map, then its largest
    value.
    """
    feature_maps = (
        torch.randn(3, 5, 4, 6, generator=torch.Generator().manual_seed(1)) - 4
    )
    value = answer(feature_maps)
    mean, top = feature_maps.mean((2, 3)), feature_maps.amax((2, 3))
    expect(
        value.shape != (3, 5),
        "5 numbers came back for each image, 10 are asked: "
        "means and maxima side by side (torch.cat, dim=1)",
    )
    expect(
        value.shape != (6, 5),
        "the two were joined along the images; join them along the channels, dim=1",
    )
    expect(
        value.ndim == 2,
        f"the shape is {tuple(value.shape)}; (B, 2C) has no height and no width left",
    )
    expect(
        value.shape == (3, 10),
        f"the shape is {tuple(value.shape)}, (B, 2C) = (3, "
        "10) is asked; reduce over dims 2 and 3",
    )
    expect(
        not torch.allclose(value, torch.cat([top, mean], 1)),
        "the maxima come first; the means are asked first",
    )
    expect(
        not torch.allclose(
            value, torch.cat([mean, feature_maps.abs().amax((2, 3))], 1)
        ),
        "the maximum is taken of the absolute values; a map may be negative everywhere",
    )
    expect(
        not torch.allclose(
            value, torch.cat([mean, feature_maps.relu().amax((2, 3))], 1)
        ),
        "a maximum of a map that is negative everywhere came back as 0",
    )
    expect(
        torch.allclose(value, torch.cat([mean, top], 1), atol=1e-5),
        "the values are others; mean((2, 3)) and amax((2, 3))",
    )
    big = torch.randn(2, 5, 9, 9, generator=torch.Generator().manual_seed(2))
    expect(
        torch.allclose(
            answer(big), torch.cat([big.mean((2, 3)), big.amax((2, 3))], 1), atol=1e-5
        ),
        "maps of 9 x 9 give something else; the size of the maps must not be "
        "written into the function",
    )
    return correct("any image size gives 2C numbers")


@exercise
def check_layer_rates(answer):
    """answer(parts, lr, decay) -> a list of `parts` rates, from the input to
    the head.
    """
    rates = [float(rate) for rate in answer(4, 0.1, 0.5)]
    expected = [0.0125, 0.025, 0.05, 0.1]

    def like(other):
        return len(rates) == len(other) and all(
            math.isclose(a, b, rel_tol=1e-5) for a, b in zip(rates, other)
        )

    expect(
        len(rates) == 4,
        f"{len(rates)} rates came back for 4 parts; the head counts as a part",
    )
    expect(
        not like([0.1] * 4),
        "all parts learn at one rate; each part below the head "
        "learns at `decay` times the rate of the part above it",
    )
    expect(
        not like(expected[::-1]),
        "the order is turned round: what lies near the input "
        "moves least, and the list begins there",
    )
    expect(
        not like([rate * 0.5 for rate in expected]),
        "every rate is `decay` times too small: the head itself learns at lr",
    )
    expect(
        not like([0.025, 0.05, 0.075, 0.1]),
        "the rates fall in a straight line; multiply by `decay` from part to part",
    )
    expect(not like([0.5**k for k in (3, 2, 1, 0)]), "lr is missing from the product")
    expect(
        like(expected),
        f"for 4 parts, lr 0.1 and decay 0.5 the rates are {rates}; {expected} is right",
    )
    # at 0.5 one half, `decay` and `1 - decay` are the same number
    rates = [float(rate) for rate in answer(3, 0.1, 0.8)]
    expect(
        not like([0.004, 0.02, 0.1]),
        "a decay of 0.8 gives factors of 0.2: "
        "multiply by `decay` itself, not by 1 - decay",
    )
    expect(
        not like([0.025, 0.05, 0.1]),
        "a decay of 0.8 still halves the rates; use the `decay` that was given",
    )
    expect(
        like([0.064, 0.08, 0.1]),
        "for 3 parts, lr 0.1 and decay 0.8 the rates are "
        f"{rates}; [0.064, 0.08, 0.1] is right",
    )
    rates = [float(rate) for rate in answer(1, 0.3, 0.5)]
    expect(like([0.3]), "a network that is only a head learns at lr")
    return correct("the head at lr, the input at lr * decay ** (parts - 1)")


@exercise
def check_box_overlap(answer):
    """answer(a (N, 4), b (N, 4)) -> (N,) intersection over union of boxes (left, top,
    right, bottom).
    """
    # the last two are apart in one direction alone: beside, and below each other
    a = torch.tensor(
        [
            [0.0, 0, 4, 4],
            [0, 0, 2, 2],
            [1, 1, 3, 5],
            [0, 0, 4, 2],
            [0, 0, 2, 4],
            [0, 0, 4, 2],
        ]
    )
    b = torch.tensor(
        [
            [2.0, 2, 6, 6],
            [5, 5, 6, 6],
            [1, 1, 3, 5],
            [1, 0, 2, 1],
            [5, 1, 7, 3],
            [1, 5, 3, 7],
        ]
    )
    value, expected = answer(a, b), torch.tensor([4 / 28, 0.0, 1.0, 1 / 8])
    overlap = torch.tensor([4.0, 0, 8, 1])

    def like(other):
        return torch.allclose(value[:4].float(), other, atol=1e-5)

    expect(
        value.shape == (6,),
        f"the shape is {tuple(value.shape)}; one number for "
        "each pair, (N,) = (6,), is asked",
    )
    expect(
        not like(overlap),
        "the value is the area of the intersection; divide it by the area of the union",
    )
    expect(
        not like(overlap / torch.tensor([32.0, 5, 16, 9])),
        "the union counts the "
        "intersection twice; "
        "subtract it once from "
        "the sum of the areas",
    )
    expect(
        not like(overlap / torch.tensor([16.0, 1, 8, 1])),
        "the divisor is the "
        "smaller area; a small box "
        "inside a large one would "
        "count as found",
    )
    expect(
        not (value[1].abs() > 1e-6),
        "boxes that do not touch have an overlap other "
        "than 0; clamp width and height of the "
        "intersection at 0",
    )
    expect(
        like(expected),
        f"the values are {[round(float(v), 3) for v in value[:4]]}; "
        f"{[round(float(v), 3) for v in expected]} is right",
    )
    beside, below = value[4].abs() > 1e-6, value[5].abs() > 1e-6
    expect(
        not (beside and below),
        "boxes beside or below each other have an overlap "
        "other than 0; one negative side is enough to be "
        "apart",
    )
    expect(
        not beside,
        "boxes beside each other, at one height, have an overlap other "
        "than 0; clamp the width too",
    )
    expect(
        not below,
        "boxes below each other, in one column, have an overlap other "
        "than 0; clamp the height too",
    )
    return correct("0 for boxes apart, 1 for the same box")


def by_the_book(net, x, labels, steps, rule=torch.optim.Adam):
    """The repaired loop: what check_fit_frozen compares with -> the losses before each
    step.
    """
    for p in net.body.parameters():
        p.requires_grad = False
    net.train()
    net.body.eval()
    optimizer, losses = rule(net.head.parameters(), lr=0.1), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@exercise
def check_fit_frozen(answer):
    """answer(net, x, labels, steps) -> the losses before each step, head trained by
    Adam at rate 0.1, body untouched.
    """
    net, x, labels = example(classes=7, count=28)
    # who puts only the batch-norm in eval mode has repaired the drift too
    net.body[3].p = 0.0
    before = copy.deepcopy(net.body.state_dict())
    expected = by_the_book(copy.deepcopy(net), x, labels, 6)
    decayed = by_the_book(copy.deepcopy(net), x, labels, 6, torch.optim.AdamW)
    with torch.no_grad():
        logits = copy.deepcopy(net).eval()(x)
        twice = float(F.cross_entropy(logits.softmax(1), labels))
        other = float(F.nll_loss(logits.softmax(1), labels))
    losses = [float(loss) for loss in answer(net, x, labels, 6)]
    expect(
        len(losses) == 6,
        f"{len(losses)} losses came back, one for each of the 6 steps is asked",
    )
    frozen_faults(net, before)
    expect(
        abs(losses[0] - twice) > 1e-4,
        "softmax twice: cross_entropy takes logits "
        "and does its own softmax, so a softmax "
        "before it "
        "flattens the gradient",
    )
    expect(
        abs(losses[0] - other) > 1e-4,
        "nll_loss wants logarithms of probabilities; give cross_entropy the logits",
    )
    expect(
        abs(losses[0] - expected[0]) < 1e-4,
        f"the first loss is {losses[0]:.3f}, "
        f"{expected[0]:.3f} is right: "
        "cross-entropy of "
        "the logits, with the body in eval mode",
    )
    expect(
        abs(losses[1] - expected[1]) < 1e-3,
        f"the second loss is {losses[1]:.3f}, "
        f"{expected[1]:.3f} is right: Adam at "
        "rate 0.1 on "
        "the head, one step for each loss",
    )
    expect(
        max(abs(a - b) for a, b in zip(losses, decayed)) > 2e-5,
        "these are the "
        "losses of AdamW, "
        "whose weight "
        "decay pulls at "
        "the head; "
        "keep Adam",
    )
    expect(
        all(abs(a - b) < 5e-5 for a, b in zip(losses, expected)),
        "the losses part "
        "from the right "
        "ones after the "
        "second step: "
        "gradients add "
        "up; call "
        "optimizer.zero_grad() before each backward",
    )
    return correct(
        "logits into the loss, fresh gradients, and a body that stands still"
    )
