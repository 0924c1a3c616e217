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
from ftlib.course.checks.numeric import rounded_tensor


def is_rounded(value, expected):
    """Whether `value` is `expected` rounded to some digits."""
    return any(abs(value - round(float(expected), k)) < 1e-7 for k in range(1, 7))


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


def example(classes=4, count=24, seed=5):
    """A network that has seen images, and a batch from another domain: brighter, with
    more contrast, each class tinted.
    """
    draw = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # the decorator gives the reader's random state back
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
    still = {"weight", "bias"} - set(moved(head, states[0]))
    expect(
        not still,
        f"the {' and the '.join(sorted(still))} of the new head never changed; give "
        "the optimizer all of net.head.parameters()",
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
            own > others,
            "the head learned other labels than those it was given, or by another "
            "loss than cross-entropy; keep image i and label i together",
        )
        expect(
            own > 0.9,
            "the gradients are not those of F.cross_entropy(net(x), labels) on these "
            "images, with the body in eval mode and without a softmax before the loss",
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


def count_faults(count, net, classes):
    """Raise the hint for a head of another shape, or a count that is not that of its
    parameters.
    """
    expect(
        net.head.weight.shape == (classes, 6),
        f"the new head has weights of shape {tuple(net.head.weight.shape)}, expected "
        f"(classes, width of the features) = ({classes}, 6)",
    )
    trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
    expect(
        trained == 7 * classes,
        f"{trained} parameters have requires_grad=True after the call, expected "
        f"{7 * classes}: {classes} x 6 weights and {classes} biases of the head",
    )
    expect(
        int(count) != 6 * classes,
        f"the count is {6 * classes}, but the head's {classes} biases are trained "
        "too; count them",
    )
    expect(
        int(count) != sum(p.numel() for p in net.parameters()),
        "the count holds the frozen weights too; count only where requires_grad is "
        "True",
    )
    expect(
        classes == 4 or int(count) != 28,
        f"the count is 28 for {classes} classes as well; count the parameters "
        "instead of writing a number into your function",
    )
    expect(
        int(count) == 7 * classes,
        f"the count is {count}, expected {7 * classes} trained parameters",
    )


def train_head_once(answer, classes):
    """Raise the hint for a head that is not new, not trained, or not alone trained."""
    net, x, labels = example(classes, seed=classes + 1)
    images = []
    net.body.register_forward_pre_hook(
        lambda _, given: images.extend(given[0].detach().flatten(1).unbind())
    )
    before = copy.deepcopy(net.body.state_dict())
    old = copy.deepcopy(net.head.state_dict())
    with watched(classes) as seen:
        count = answer(net, x, labels, classes)
    frozen_faults(net, before)
    expect(
        net.head.weight.shape != old["weight"].shape,
        "net.head is the old one with 7 outputs; put a new nn.Linear(6, classes) there",
    )
    count_faults(count, net, classes)
    expect(
        all(bool(torch.isfinite(p).all()) for p in net.head.parameters()),
        "the head has NaN or infinite weights; lower the learning rate",
    )
    expect(
        id(net.head) in seen,
        "the new head was never called on the images; take at least five optimizer "
        "steps on net(x)",
    )
    used = [any(torch.equal(row, image) for image in images) for row in x.flatten(1)]
    expect(
        sum(used) in (0, len(x)),  # 0: the layers were called one by one
        f"only {sum(used)} of the {len(x)} images reach the body; train on all of `x`",
    )
    with torch.no_grad():
        features = net.eval().body(x)
    learning_faults(*seen[id(net.head)], features, labels)


@exercise
def check_train_head(answer):
    """answer(net, x, labels, classes) -> how many parameters were trained; net.head is
    new, net.body unchanged.
    """
    train_head_once(answer, 4)
    train_head_once(answer, 3)
    return correct("the head alone learned, and not a byte of the body changed")


def pooling_of_other_sizes(answer):
    """Raise the hint for a pooling that loses dimensions of length 1, the layout or the
    gradients.
    """
    for shape in ((1, 5, 4, 6), (3, 1, 4, 6), (2, 4, 1, 1), (1, 1, 3, 2)):
        feature_maps = (
            torch.randn(shape, generator=torch.Generator().manual_seed(3)) + 1
        )
        value = answer(feature_maps)
        expect(
            value.shape == (shape[0], 2 * shape[1]),
            f"maps of shape {shape} give the shape {tuple(value.shape)}, expected "
            f"{(shape[0], 2 * shape[1])}; a dimension of length 1 is kept, so name "
            "the dims instead of squeeze()",
        )
        expected = torch.cat([feature_maps.mean((2, 3)), feature_maps.amax((2, 3))], 1)
        expect(
            torch.allclose(value, expected, atol=1e-5),
            f"maps of shape {shape} give other values than mean((2, 3)) and "
            "amax((2, 3))",
        )
    turned = torch.randn(2, 7, 5, 3, generator=torch.Generator().manual_seed(4))
    feature_maps = turned.permute(0, 3, 2, 1).requires_grad_()  # not contiguous
    value = answer(feature_maps)
    expected = torch.cat([feature_maps.mean((2, 3)), feature_maps.amax((2, 3))], 1)
    expect(
        torch.allclose(value, expected, atol=1e-5),
        "maps that are not contiguous in memory give other values; permute() has made "
        "them, so use flatten() or reshape() with the dims of `maps`",
    )
    expect(
        value.requires_grad,
        "the result is cut off from `maps`, so no layer before the pooling could "
        "learn; leave out detach(), no_grad() and NumPy",
    )
    weight = torch.randn(2, 6, generator=torch.Generator().manual_seed(5))
    got, wanted = (
        torch.autograd.grad((v * weight).sum(), feature_maps, retain_graph=True)[0]
        for v in (value, expected)
    )
    expect(
        torch.allclose(got, wanted, atol=1e-5),
        "the gradients of `maps` are not those of a mean and a maximum; is one half "
        "of the result cut off from `maps`?",
    )


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
        not rounded_tensor(value, torch.cat([mean, top], 1)),
        "the means and maxima are rounded; return them as they are",
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
    pooling_of_other_sizes(answer)
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
    for parts, lr, decay in ((12, 3e-4, 0.87), (2, 5e-6, 0.35), (5, 0.01, 1.0)):
        rates = [float(rate) for rate in answer(parts, lr, decay)]
        expected = [lr * decay ** (parts - 1 - k) for k in range(parts)]
        expect(
            like(expected) or not all(map(is_rounded, rates, expected)),
            f"the learning rates are rounded: {rates[0]} instead of {expected[0]:.6g}; "
            "small ones would become 0",
        )
        lowest = min(rates, default=0)
        expect(
            like(expected)
            or not like([max(rate, lowest) for rate in expected])
            or decay == 1,
            f"no learning rate is below {lowest:.3g}, but nothing stops the decay; "
            "return the product as it is",
        )
        expect(
            like(expected),
            f"for {parts} layers, lr {lr} and decay {decay} the learning rates are "
            f"{rates}, expected {expected}",
        )
    return correct("the head at lr, the input at lr * decay ** (parts - 1)")


def boxes(count, seed, scale, dtype=torch.float32):
    """(count, 4) boxes around 0, some of them with negative corners."""
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=g, dtype=dtype) - 0.6
    size = 0.2 + 0.8 * torch.rand(count, 2, generator=g, dtype=dtype)
    return scale * torch.cat([corner, corner + size], 1)


def overlap_by_hand(a, b):
    """Intersection over union, one pair after the other."""
    values = []
    for p, q in zip(a.tolist(), b.tolist()):
        width = max(0.0, min(p[2], q[2]) - max(p[0], q[0]))
        height = max(0.0, min(p[3], q[3]) - max(p[1], q[1]))
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (p, q)]
        values.append(width * height / (sum(areas) - width * height))
    return torch.tensor(values)


def many_boxes(answer):
    """Raise the hint for overlaps that are wrong for some sizes, places or numbers of
    boxes.
    """
    touching = torch.tensor([[2.0, 0, 4, 3]]), torch.tensor([[4.0, 1, 7, 2]])
    for count, seed, scale, dtype in (
        (200, 1, 1, torch.float32),
        (50, 2, 900, torch.float32),
        (1, 3, 1, torch.float32),
        (7, 4, 0.01, torch.float64),
    ):
        a, b = boxes(count, seed, scale, dtype), boxes(count, seed + 10, scale, dtype)
        value, expected = torch.as_tensor(answer(a, b)), overlap_by_hand(a, b)
        expect(
            value.shape == (count,),
            f"{count} pair{'s' * (count > 1)} of boxes give the shape "
            f"{tuple(value.shape)}, expected ({count},)",
        )
        off = (value.float() - expected).abs()
        i = int(off.argmax())
        expect(
            off.max() < 1e-4,
            f"the boxes {[round(v, 3) for v in a[i].tolist()]} and "
            f"{[round(v, 3) for v in b[i].tolist()]} get {float(value[i]):.6g}, "
            f"expected {float(expected[i]):.6g}",
        )
    expect(
        abs(float(torch.as_tensor(answer(*touching))[0])) < 1e-6,
        "two boxes that share an edge and no area have an overlap other than 0",
    )


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
    value = torch.as_tensor(answer(a, b))
    expected, overlap = (
        torch.tensor([4 / 28, 0.0, 1.0, 1 / 8]),
        torch.tensor([4.0, 0, 8, 1]),
    )

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
        not like(torch.tensor([9 / 41, 0.0, 1.0, 4 / 15])),
        "every width and height is one too large, as in libraries that count pixels; "
        "here it is right - left and bottom - top",
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
        like(expected) or not all(map(is_rounded, value[:4].tolist(), expected)),
        "the values are rounded; return the quotient as it is",
    )
    expect(
        like(expected),
        f"the values are {[float(f'{v:.5g}') for v in value[:4]]}, expected "
        f"{[float(f'{v:.5g}') for v in expected]}",
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
    many_boxes(answer)
    return correct("0 for boxes apart, 1 for the same box")


def by_the_book(net, x, labels, steps, rule=torch.optim.Adam, zero=True, renewed=False):
    """The repaired loop: what check_fit_frozen compares with -> the losses before each
    step.

    zero, renewed: without clearing the gradients; a new optimizer in every step.
    """
    for p in net.body.parameters():
        p.requires_grad = False
    net.train()
    net.body.eval()
    optimizer, losses = rule(net.head.parameters(), lr=0.1), []
    for _ in range(steps):
        if renewed:
            optimizer = rule(net.head.parameters(), lr=0.1)
        if zero:
            optimizer.zero_grad()
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def alike(losses, others, tolerance=5e-5):
    """Whether two lists of losses are the same up to the order of additions."""
    return len(losses) == len(others) and all(
        abs(a - b) < tolerance for a, b in zip(losses, others)
    )


def loss_faults(losses, net, x, labels, steps):
    """Raise the hint for losses that are not those of the repaired loop on a copy of
    `net`, the network before the call.
    """

    def run(count=steps, **options):
        return by_the_book(copy.deepcopy(net), x, labels, count, **options)

    expected = run()
    with torch.no_grad():
        logits = copy.deepcopy(net).eval()(x)
        twice = float(F.cross_entropy(logits.softmax(1), labels))
        other = float(F.nll_loss(logits.softmax(1), labels))
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
        not alike(losses, run(steps + 1)[1:]),
        "each loss is taken after its step; return the loss that is stepped on, the "
        "one before the step",
    )
    expect(
        not all(map(is_rounded, losses, expected)),
        "the losses are rounded; return loss.item() as it is",
    )
    expect(
        abs(losses[0] - expected[0]) < 1e-4,
        f"the first loss is {losses[0]:.4f}, expected {expected[0]:.4f}: "
        "cross-entropy of the logits, with the body in eval mode",
    )
    expect(
        not alike(losses, losses[:1] * steps),
        f"the loss is {losses[0]:.4f} at every step, so the head does not move; clear "
        "the gradients before backward(), not between backward() and step()",
    )
    expect(
        abs(losses[1] - expected[1]) < 1e-3,
        f"the second loss is {losses[1]:.4f}, expected {expected[1]:.4f}: Adam at "
        "learning rate 0.1 on the head, one step for each loss",
    )
    expect(
        alike(losses, expected, 2e-5) or not alike(losses, run(rule=torch.optim.AdamW)),
        "these are the losses of AdamW, whose weight decay shrinks the head; keep Adam",
    )
    expect(
        not alike(losses, run(zero=False)),
        "the losses differ from the expected ones after the second step, because "
        "gradients add up; call optimizer.zero_grad() before each backward",
    )
    expect(
        not alike(losses, run(renewed=True)),
        "the losses differ from the expected ones after the second step, because Adam "
        "is made anew in every step and forgets its moments; make it once",
    )
    expect(
        alike(losses, expected),
        f"the losses are {[round(v, 5) for v in losses]}, expected "
        f"{[round(v, 5) for v in expected]}; keep Adam as it is printed, with no other "
        "argument than lr=0.1, and clear its gradients in every step",
    )


@exercise
def check_fit_frozen(answer):
    """answer(net, x, labels, steps) -> the losses before each step, head trained by
    Adam at learning rate 0.1, body unchanged.
    """
    for steps, seed in ((6, 5), (3, 8)):
        net, x, labels = example(classes=7, count=28, seed=seed)
        # who puts only the batch-norm in eval mode has repaired the drift too
        net.body[3].p = 0.0
        started, before = copy.deepcopy(net), copy.deepcopy(net.body.state_dict())
        losses = [float(loss) for loss in answer(net, x, labels, steps)]
        expect(
            len(losses) == steps,
            f"{len(losses)} losses came back, expected one for each of the {steps} "
            "steps",
        )
        frozen_faults(net, before)
        loss_faults(losses, started, x, labels, steps)
        expect(
            moved(net.head, started.head.state_dict()),
            "the losses are right, and net.head is what it was before the call; train "
            "the network that was given, not a copy",
        )
        expect(
            not any(p.grad is not None and p.grad.any() for p in net.body.parameters()),
            "the weights of the body get gradients, which cost time and memory for "
            "nothing; set requires_grad = False for each of net.body.parameters()",
        )
    return correct("logits into the loss, fresh gradients, and a frozen body")
