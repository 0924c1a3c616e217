"""Wrong repairs of the clinic's loop, and another right one."""

import copy

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


def after_the_step(net, x, labels, steps):
    return run(net, x, labels, steps + 1)[1:]


def of_a_copy(net, x, labels, steps):
    return run(copy.deepcopy(net), x, labels, steps)


def rounded(net, x, labels, steps):
    return [round(loss, 4) for loss in run(net, x, labels, steps)]


def six_steps(net, x, labels, steps):
    return run(net, x, labels, 6)


def cleared_before_the_step(net, x, labels, steps):
    return run(net, x, labels, 1) * steps


def small_decay(net, x, labels, steps):
    def rule(parameters, lr):
        return torch.optim.Adam(parameters, lr=lr, weight_decay=0.01)

    return run(net, x, labels, steps, rule=rule)


def another_rate(net, x, labels, steps):
    return run(net, x, labels, steps, rule=lambda p, lr: torch.optim.Adam(p, lr=0.01))


def made_anew(net, x, labels, steps):
    return [run(net, x, labels, 1)[0] for _ in range(steps)]


def body_gets_gradients(net, x, labels, steps):
    net.train()
    net.body.eval()
    optimizer, losses = torch.optim.Adam(net.head.parameters(), lr=0.1), []
    for _ in range(steps):
        net.zero_grad()
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def norm_alone(net, x, labels, steps):
    """Right: only the batch-norm in eval mode, and 0-d tensors in a tensor."""
    net.body.requires_grad_(False)
    net.train()
    net.body[1].eval()
    free = [p for p in net.parameters() if p.requires_grad]
    optimizer, losses = torch.optim.Adam(free, lr=0.1), []
    for _ in range(steps):
        loss = F.nll_loss(F.log_softmax(net(x), 1), labels)
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def no_mode_for_the_head(net, x, labels, steps):
    """Right: everything in eval mode; a linear head has no modes."""
    net.body.requires_grad_(False)
    net.eval()
    optimizer = torch.optim.Adam(net.head.parameters(), 0.1)
    losses = []
    while len(losses) < steps:
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return tuple(losses)


RIGHT = [norm_alone, no_mode_for_the_head]

WRONG = [
    (as_printed, "batch-norm drifted"),
    (softmax_stays, "softmax twice"),
    (likelihood_of_probabilities, "logarithms of probabilities"),
    (gradients_add_up, "gradients add up"),
    (everything_learns, "weights of the body changed"),
    (one_loss, "one for each of the 6 steps"),
    (summed, "the first loss is"),
    (with_decay, "keep Adam"),
    (after_the_step, "taken after its step"),
    (of_a_copy, "not a copy"),
    (rounded, "losses are rounded"),
    (six_steps, "6 losses came back"),
    (cleared_before_the_step, "the head does not move"),
    (small_decay, "no other argument"),
    (another_rate, "the second loss is"),
    (made_anew, "made anew"),
    (body_gets_gradients, "body get gradients"),
]

EQUIVALENT = {
    "`net.train()` -> `pass`": (
        "the body is in eval mode either way, and a linear head has no modes"
    ),
    "`net.train()` -> `net`": (
        "the body is in eval mode either way, and a linear head has no modes"
    ),
}
