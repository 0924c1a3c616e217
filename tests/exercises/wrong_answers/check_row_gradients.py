"""Chapter 22: the gradient of each row."""

import torch
from torch.func import functional_call, grad, vmap


def another(model, loss_fn, x, y):
    rows = []
    for i in range(len(x)):
        loss = loss_fn(model(x[i][None]), y[i][None])
        parts = torch.autograd.grad(loss, list(model.parameters()))
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)


def by_vmap(model, loss_fn, x, y):
    state = {name: p.detach() for name, p in model.named_parameters()}

    def loss(state, row, label):
        return loss_fn(functional_call(model, state, (row[None],)), label[None])

    parts = vmap(grad(loss), in_dims=(None, 0, 0))(state, x, y)
    return torch.cat([part.flatten(1) for part in parts.values()], dim=1)


def added_up(model, loss_fn, x, y):
    model.zero_grad()
    rows = []
    for i in range(len(x)):
        loss_fn(model(x[i : i + 1]), y[i : i + 1]).backward()
        rows.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    return torch.stack(rows)


def whole_batch(model, loss_fn, x, y):
    model.zero_grad()
    loss_fn(model(x), y).backward()
    row = torch.cat([p.grad.flatten() for p in model.parameters()])
    return row.repeat(len(x), 1)


def divided(model, loss_fn, x, y):
    return another(model, loss_fn, x, y) / len(x)


def unit_length(model, loss_fn, x, y):
    return torch.nn.functional.normalize(another(model, loss_fn, x, y), dim=1)


def weights_only(model, loss_fn, x, y):
    return another(model, loss_fn, x, y)[:, :12]


def list_of_rows(model, loss_fn, x, y):
    return list(another(model, loss_fn, x, y))


def turned(model, loss_fn, x, y):
    return -another(model, loss_fn, x, y).flip(0)


WRONG = [
    (added_up, "add up"),
    (whole_batch, "gradient of the whole batch"),
    (divided, "divided by the batch size"),
    (unit_length, "clipping comes later"),
    (weights_only, "all parameters side by side"),
    (list_of_rows, "return one tensor"),
    (turned, "differ from those of single rows"),
]

RIGHT = [by_vmap]
