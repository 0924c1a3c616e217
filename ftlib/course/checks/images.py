"""Checks of chapter 12: a frozen backbone, pooled feature maps, learning rates by
depth, overlapping boxes, a repaired loop.

>>> from ftlib.course.checks.images import check_layer_rates
>>> check_layer_rates(lambda parts, lr, decay: [lr] * parts)
hint: all layers have one learning rate; each layer below the head learns at `decay`
times the rate of the layer above it

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
    """Raise the hint for whatever changed in a body that should be frozen."""
    names = moved(net.body, before)
    weights = [
        name for name in names if "running" not in name and "num_batches" not in name
    ]
    expect(
        not weights,
        f"weights of the body changed ({', '.join(weights)}); set requires_grad = "
        "False for all of its parameters, and give the optimizer those of the head",
    )
    expect(
        not names,
        f"the body's batch-norm drifted ({', '.join(names)}): running statistics "
        "change in train mode, with or without gradients; call net.body.eval() after "
        "net.train()",
    )


@contextlib.contextmanager
def watched(classes, width=6):
    """Watch every new head while it learns -> {id: (head, its weights at each forward
    pass, [(which of them, fresh gradient)])}.
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
        f"the new head's weights changed {steps} times during training; take at least "
        "five optimizer steps on cross-entropy, with an optimizer that has the new "
        "head's parameters",
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
        f"the loss went from {start:.2f} to {end:.2f}, but a step goes down, against "
        "the gradient, and not too far; lower the learning rate",
    )


@exercise
def check_train_head(answer):
    """answer(net, x, labels, classes) -> how many parameters were trained; net.head is
    new, net.body unchanged.
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
        f"the new head has weights of shape {tuple(net.head.weight.shape)}, expected "
        "(classes, width of the features) = (4, 6)",
    )
    trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
    expect(
        trained == 28,
        f"{trained} parameters have requires_grad=True after the call, expected 28: 4 "
        "x 6 weights and 4 biases of the head",
    )
    expect(
        int(count) != 24,
        "the count is 24, but the head's 4 biases are trained too; count them",
    )
    expect(
        int(count) != sum(p.numel() for p in net.parameters()),
        "the count holds the frozen weights too; count only where requires_grad is "
        "True",
    )
    expect(int(count) == 28, f"the count is {count}, expected 28 trained parameters")
    expect(
        all(bool(torch.isfinite(p).all()) for p in net.head.parameters()),
        "the head has NaN or infinite weights; lower the learning rate",
    )
    expect(
        id(net.head) in seen,
        "the new head was never called on the images; take at least five optimizer "
        "steps on net(x)",
    )
    with torch.no_grad():
        features = net.eval().body(x)
    learning_faults(*seen[id(net.head)], features, labels)
    return correct("the head learned 28 parameters, and not a byte of the body changed")


@exercise
def check_mean_and_max(answer):
    """answer(maps (B, C, h, w)) -> (B, 2C): the mean of each feature map, then its
    maximum.
    """
    feature_maps = (
        torch.randn(3, 5, 4, 6, generator=torch.Generator().manual_seed(1)) - 4
    )
    value = answer(feature_maps)
    mean, top = feature_maps.mean((2, 3)), feature_maps.amax((2, 3))
    expect(
        value.shape != (3, 5),
        "5 numbers came back for each image, expected 10: means and maxima side by "
        "side (torch.cat, dim=1)",
    )
    expect(
        value.shape != (6, 5),
        "the two were concatenated along the images; concatenate along the channels, "
        "dim=1",
    )
    expect(
        value.ndim == 2,
        f"the shape is {tuple(value.shape)}, expected (B, 2C); it has no height and "
        "no width",
    )
    expect(
        value.shape == (3, 10),
        f"the shape is {tuple(value.shape)}, expected (B, 2C) = (3, 10); reduce over "
        "dims 2 and 3",
    )
    expect(
        not torch.allclose(value, torch.cat([top, mean], 1)),
        "the maxima come first; put the means first",
    )
    expect(
        not torch.allclose(
            value, torch.cat([mean, feature_maps.abs().amax((2, 3))], 1)
        ),
        "the maximum is taken of the absolute values; a map may be negative "
        "everywhere, so take it of the values",
    )
    expect(
        not torch.allclose(
            value, torch.cat([mean, feature_maps.relu().amax((2, 3))], 1)
        ),
        "the maximum of a map that is negative everywhere came back as 0; do not "
        "start from 0",
    )
    expect(
        torch.allclose(value, torch.cat([mean, top], 1), atol=1e-5),
        "the values are wrong; use mean((2, 3)) and amax((2, 3))",
    )
    big = torch.randn(2, 5, 9, 9, generator=torch.Generator().manual_seed(2))
    expect(
        torch.allclose(
            answer(big), torch.cat([big.mean((2, 3)), big.amax((2, 3))], 1), atol=1e-5
        ),
        "maps of 9 x 9 give something else; do not write the size of the maps into "
        "the function",
    )
    return correct("any image size gives 2C features")


@exercise
def check_layer_rates(answer):
    """answer(parts, lr, decay) -> a list of `parts` learning rates, from the input to
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
        f"{len(rates)} learning rates came back, expected 4: the head counts as a "
        "layer",
    )
    expect(
        not like([0.1] * 4),
        "all layers have one learning rate; each layer below the head learns at "
        "`decay` times the rate of the layer above it",
    )
    expect(
        not like(expected[::-1]),
        "the order is wrong; the layer next to the input has the lowest learning "
        "rate, and the list begins there",
    )
    expect(
        not like([rate * 0.5 for rate in expected]),
        "every learning rate is `decay` times too small; the head itself learns at lr",
    )
    expect(
        not like([0.025, 0.05, 0.075, 0.1]),
        "the learning rates fall in a straight line; multiply by `decay` from layer "
        "to layer",
    )
    expect(
        not like([0.5**k for k in (3, 2, 1, 0)]),
        "lr is missing from the product; multiply by it",
    )
    expect(
        like(expected),
        f"for 4 layers, lr 0.1 and decay 0.5 the learning rates are {rates}, expected "
        f"{expected}",
    )
    # at 0.5 one half, `decay` and `1 - decay` are the same number
    rates = [float(rate) for rate in answer(3, 0.1, 0.8)]
    expect(
        not like([0.004, 0.02, 0.1]),
        "a decay of 0.8 gives factors of 0.2; multiply by `decay` itself, not by 1 - "
        "decay",
    )
    expect(
        not like([0.025, 0.05, 0.1]),
        "a decay of 0.8 still halves the learning rates; use the argument `decay`",
    )
    expect(
        like([0.064, 0.08, 0.1]),
        f"for 3 layers, lr 0.1 and decay 0.8 the learning rates are {rates}, expected "
        "[0.064, 0.08, 0.1]",
    )
    rates = [float(rate) for rate in answer(1, 0.3, 0.5)]
    expect(like([0.3]), "a network that is only a head must learn at lr")
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
        f"the shape is {tuple(value.shape)}, expected (N,) = (6,): one number for "
        "each pair",
    )
    expect(
        not like(overlap),
        "the value is the area of the intersection; divide it by the area of the union",
    )
    expect(
        not like(overlap / torch.tensor([32.0, 5, 16, 9])),
        "the union counts the intersection twice; subtract it once from the sum of "
        "the areas",
    )
    expect(
        not like(overlap / torch.tensor([16.0, 1, 8, 1])),
        "you divide by the smaller area, so a small box inside a large one would "
        "have overlap 1; divide by the area of the union",
    )
    expect(
        not (value[1].abs() > 1e-6),
        "boxes that do not touch have an overlap other than 0; clamp width and "
        "height of the intersection at 0",
    )
    expect(
        like(expected),
        f"the values are {[round(float(v), 3) for v in value[:4]]}, expected "
        f"{[round(float(v), 3) for v in expected]}",
    )
    beside, below = value[4].abs() > 1e-6, value[5].abs() > 1e-6
    expect(
        not (beside and below),
        "boxes beside or below each other have an overlap other than 0; one negative "
        "side is enough for an intersection of 0",
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
    Adam at learning rate 0.1, body unchanged.
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
        f"{len(losses)} losses came back, expected one for each of the 6 steps",
    )
    frozen_faults(net, before)
    expect(
        abs(losses[0] - twice) > 1e-4,
        "softmax twice: cross_entropy takes logits and applies softmax itself, so a "
        "softmax before it flattens the gradient; leave it out",
    )
    expect(
        abs(losses[0] - other) > 1e-4,
        "nll_loss expects logarithms of probabilities; use cross_entropy on the logits",
    )
    expect(
        abs(losses[0] - expected[0]) < 1e-4,
        f"the first loss is {losses[0]:.3f}, expected {expected[0]:.3f}: "
        "cross-entropy of the logits, with the body in eval mode",
    )
    expect(
        abs(losses[1] - expected[1]) < 1e-3,
        f"the second loss is {losses[1]:.3f}, expected {expected[1]:.3f}: Adam at "
        "learning rate 0.1 on the head, one step for each loss",
    )
    expect(
        max(abs(a - b) for a, b in zip(losses, decayed)) > 2e-5,
        "these are the losses of AdamW, whose weight decay shrinks the head; keep Adam",
    )
    expect(
        all(abs(a - b) < 5e-5 for a, b in zip(losses, expected)),
        "the losses differ from the expected ones after the second step, because "
        "gradients add up; call optimizer.zero_grad() before each backward",
    )
    return correct("logits into the loss, fresh gradients, and a frozen body")
