"""Wrong repairs of the clinic's loop, and another right one."""

import torch
import torch.nn.functional as F


def run(
    net,
    x,
    labels,
    steps,
    *,
    loss=F.cross_entropy,
    train=True,
    body_eval=True,
    zero=True,
    learns=None,
    rule=torch.optim.Adam,
):
    for p in net.body.parameters():
        p.requires_grad = False
    net.train(train)
    if body_eval:
        net.body.eval()
    optimizer = rule(learns or net.head.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        if zero:
            optimizer.zero_grad()
        value = loss(net(x), labels)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def another(net, x, labels, steps):
    with torch.no_grad():
        features = net.body.eval()(x)
    optimizer, losses = torch.optim.Adam(net.head.parameters(), lr=0.1), []
    for _ in range(steps):
        loss = -net.head(features).log_softmax(1)[range(len(labels)), labels].mean()
        net.head.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def as_printed(net, x, labels, steps):
    return run(
        net,
        x,
        labels,
        steps,
        loss=lambda z, y: F.cross_entropy(z.softmax(-1), y),
        body_eval=False,
        zero=False,
    )


def softmax_stays(net, x, labels, steps):
    return run(
        net, x, labels, steps, loss=lambda z, y: F.cross_entropy(z.softmax(-1), y)
    )


def likelihood_of_probabilities(net, x, labels, steps):
    return run(net, x, labels, steps, loss=lambda z, y: F.nll_loss(z.softmax(-1), y))


def gradients_add_up(net, x, labels, steps):
    return run(net, x, labels, steps, zero=False)


def everything_learns(net, x, labels, steps):
    net.train()
    net.body.eval()
    optimizer, losses = torch.optim.Adam(net.parameters(), lr=0.1), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def one_loss(net, x, labels, steps):
    return run(net, x, labels, steps)[-1:]


def summed(net, x, labels, steps):
    return run(
        net, x, labels, steps, loss=lambda z, y: F.cross_entropy(z, y, reduction="sum")
    )


def with_decay(net, x, labels, steps):
    return run(net, x, labels, steps, rule=torch.optim.AdamW)


WRONG = [
    (as_printed, "batch-norm drifted"),
    (softmax_stays, "softmax twice"),
    (likelihood_of_probabilities, "logarithms of probabilities"),
    (gradients_add_up, "gradients add up"),
    (everything_learns, "weights of the body changed"),
    (one_loss, "one for each of the 6 steps"),
    (summed, "the first loss is"),
    (with_decay, "keep Adam"),
]
