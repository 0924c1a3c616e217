"""Wrong ways to train a new head on a frozen body, and another right one."""

import torch
import torch.nn.functional as F
from torch import nn


def loop(net, x, labels, parameters, steps=20, lr=0.05, body_eval=True):
    optimizer = torch.optim.SGD(parameters, lr=lr)
    net.train()
    if body_eval:
        net.body.eval()
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()


def freeze(net):
    for p in net.body.parameters():
        p.requires_grad = False


def another(net, x, labels, classes):
    """Features once, without a graph; the head alone sees a gradient."""
    net.requires_grad_(False).eval()
    features = net.body(x)
    net.head = nn.Linear(features.shape[1], classes)
    optimizer = torch.optim.Adam(net.head.parameters(), lr=0.05)
    for _ in range(10):
        optimizer.zero_grad()
        F.cross_entropy(net.head(features), labels).backward()
        optimizer.step()
    return net.head.weight.numel() + net.head.bias.numel()


def norm_drifts(net, x, labels, classes):
    freeze(net)
    net.head = nn.Linear(6, classes)
    loop(net, x, labels, net.head.parameters(), body_eval=False)
    return 28


def nothing_frozen(net, x, labels, classes):
    net.head = nn.Linear(6, classes)
    loop(net, x, labels, net.parameters())
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def optimizer_only(net, x, labels, classes):
    net.head = nn.Linear(6, classes)
    loop(net, x, labels, net.head.parameters())
    return 28


def old_head(net, x, labels, classes):
    freeze(net)
    loop(net, x, labels, net.head.parameters())
    return 49


def count_all(net, x, labels, classes):
    freeze(net)
    net.head = nn.Linear(6, classes)
    loop(net, x, labels, net.head.parameters())
    return sum(p.numel() for p in net.parameters())


def without_biases(net, x, labels, classes):
    freeze(net)
    net.head = nn.Linear(6, classes)
    loop(net, x, labels, net.head.parameters())
    return net.head.weight.numel()


def untrained(net, x, labels, classes):
    freeze(net)
    net.head = nn.Linear(6, classes)
    net.body.eval()
    return 28


def with_new_head(net, x, labels, classes, steps=10, zero=True, sign=1, before=0):
    freeze(net)
    torch.randn(before)
    net.head = nn.Linear(6, classes)
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=0.05)
    net.train()
    net.body.eval()
    for _ in range(steps):
        if zero:
            optimizer.zero_grad()
        (sign * F.cross_entropy(net(x), labels)).backward()
        optimizer.step()
    return 7 * classes


def untrained_after_a_draw(net, x, labels, classes):
    with_new_head(net, x, labels, classes, steps=0, before=9)
    net(x)
    return 28


def one_step(net, x, labels, classes):
    return with_new_head(net, x, labels, classes, steps=1)


def uphill(net, x, labels, classes):
    return with_new_head(net, x, labels, classes, sign=-1)


def step_upwards(net, x, labels, classes):
    freeze(net)
    net.head = nn.Linear(6, classes)
    net.body.eval()
    for _ in range(5):
        slopes = torch.autograd.grad(
            F.cross_entropy(net(x), labels), list(net.head.parameters())
        )
        with torch.no_grad():
            for p, slope in zip(net.head.parameters(), slopes):
                p += 0.1 * slope
    return 28


def other_labels(net, x, labels, classes):
    return with_new_head(net, x, labels[torch.randperm(len(labels))], classes)


def gradients_add_up(net, x, labels, classes):
    return with_new_head(net, x, labels, classes, zero=False)


def few_images(net, x, labels, classes):
    return with_new_head(net, x[:8], labels[:8], classes)


def weight_alone(net, x, labels, classes):
    freeze(net)
    net.head = nn.Linear(6, classes)
    loop(net, x, labels, [net.head.weight])
    return sum(p.numel() for p in net.head.parameters())


def bias_alone(net, x, labels, classes):
    freeze(net)
    net.head = nn.Linear(6, classes)
    loop(net, x, labels, [net.head.bias])
    return sum(p.numel() for p in net.head.parameters())


def number_written_in(net, x, labels, classes):
    with_new_head(net, x, labels, classes)
    return 28


def four_classes(net, x, labels, classes):
    return with_new_head(net, x, labels, 4)


def softmax_before_the_loss(net, x, labels, classes):
    freeze(net)
    net.head = nn.Linear(6, classes)
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=0.05)
    net.body.eval()
    for _ in range(10):
        optimizer.zero_grad()
        F.cross_entropy(net(x).softmax(1), labels).backward()
        optimizer.step()
    return 7 * classes


def five_plain_steps(net, x, labels, classes):
    """Right: exactly five steps, by hand, without an optimizer."""
    net.requires_grad_(False)
    net.head = nn.Linear(net.head.in_features, classes)
    net.eval()
    for _ in range(5):
        log_p = F.log_softmax(net(x), 1)
        loss = -log_p[torch.arange(len(x)), labels].mean()
        slopes = torch.autograd.grad(loss, list(net.head.parameters()))
        with torch.no_grad():
            for p, slope in zip(net.head.parameters(), slopes):
                p -= 0.1 * slope
    return torch.tensor(7 * classes)


def in_batches(net, x, labels, classes):
    """Right: batches of 8, and only the batch-norm in eval mode."""
    freeze(net)
    net.head = nn.Linear(6, classes)
    net.train()
    net.body[1].eval()
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=0.01)
    for _ in range(4):
        for rows in torch.randperm(len(x)).split(8):
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), labels[rows]).backward()
            optimizer.step()
    return sum(p.numel() for p in net.head.parameters())


RIGHT = [five_plain_steps, in_batches]

WRONG = [
    (norm_drifts, "batch-norm drifted"),
    (nothing_frozen, "weights of the body changed"),
    (optimizer_only, "requires_grad=True after the call"),
    (old_head, "old one with 7 outputs"),
    (count_all, "holds the frozen weights too"),
    (without_biases, "4 biases are trained too"),
    (untrained, "never called"),
    (untrained_after_a_draw, "changed 0 times"),
    (one_step, "changed 1 times"),
    (uphill, "without a minus"),
    (step_upwards, "a step goes down"),
    (other_labels, "image i and label i"),
    (gradients_add_up, "add up in the head"),
    (few_images, "8 of the 24 images"),
    (weight_alone, "the bias of the new head"),
    (bias_alone, "the weight of the new head"),
    (number_written_in, "for 3 classes as well"),
    (four_classes, "has weights of shape (4, 6)"),
    (softmax_before_the_loss, "without a softmax"),
]

EQUIVALENT = {
    "`torch.optim.AdamW(net.head.parameters(), lr=0.05)` -> "
    "`torch.optim.AdamW(net.head.parameters())`": (
        "the task names no learning rate, and AdamW's own lowers the loss"
    ),
    "`0.05` -> `0.1`": "the task names no learning rate",
    "`net.train()` -> `pass`": (
        "the body is in eval mode either way, and a linear head has no modes"
    ),
    "`net.train()` -> `net`": (
        "the body is in eval mode either way, and a linear head has no modes"
    ),
    "`10` -> `11`": "the task asks for at least five steps",
    "`10` -> `9`": "the task asks for at least five steps",
}
