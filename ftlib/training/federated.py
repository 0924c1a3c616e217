"""Federated averaging: clients train on data that stays with them, and a server
averages their weights.

What it is: FedAvg (McMahan et al. 2017) in one process, to study what it does to a
model before you build a network for it: how rows are dealt to clients, evenly or not,
the weighted mean of their weights, and the rounds as a generator.

How to use it:

>>> import torch
>>> _ = torch.manual_seed(0)
>>> x, y = torch.randn(40, 3), torch.arange(40) % 2
>>> # uneven in size and in classes
>>> parts = dirichlet_partition(y, clients=4, alpha=0.5, min_rows=1)
>>> sorted(torch.cat(parts).tolist()) == list(range(40))
True
>>> clients = [
...     lambda number, part=part: [{"x": x[part], "labels": y[part]}] for part in parts
... ]
>>> # the SUM over the targets, never a mean
>>> def loss_fn(model, batch):
...     return torch.nn.functional.cross_entropy(
...         model(batch["x"]), batch["labels"], reduction="sum"
...     )
>>> model = torch.nn.Linear(3, 2)
>>> for round in rounds(
...     model, clients, loss_fn, lambda m: torch.optim.SGD(m.parameters(), lr=0.1)
... ):
...     if round.number == 2:
...         break
>>> # 8 weights of 4 bytes, down and up, 4 clients
>>> round.clients, round.targets, round.bytes_sent
(4, 40, 256)

The loop's body is yours: evaluate, save and `break` there, as with train.steps.
What it is not: a network, and no privacy by itself: weights tell about the rows that
made them (Zhu et al. 2019 rebuild rows from gradients). Each client starts with a new
optimizer: only weights travel. What it needs: torch only.
Words: a *client* holds rows, a *round* is one exchange; K clients, N rows, C classes.
"""

import itertools
from typing import NamedTuple

import torch


class Round(NamedTuple):
    """What one round did."""

    number: int  # counted from 0
    # mean over all targets that were trained on, each before its own local step, nats
    loss: float
    targets: int  # how many there were, over all clients of the round
    clients: int  # how many took part
    bytes_sent: int  # of this round, weights to the clients and back


def iid_partition(rows, clients, seed=0):
    """Rows 0 .. rows - 1 shuffled and dealt out evenly -> K LongTensors; sizes differ
    by one at most.
    """
    if not 0 < clients <= rows:
        raise ValueError(f"{rows} rows for {clients} clients; take 1 to {rows} clients")
    return list(
        torch.randperm(
            rows, generator=torch.Generator().manual_seed(seed)
        ).tensor_split(clients)
    )


def dirichlet_partition(labels, clients, alpha, seed=0, min_rows=10, tries=1000):
    """Labels (N,) -> K LongTensors of row numbers, uneven in size and in classes (Hsu,
    Qi, Brown 2019).

    Each class is cut by shares from a Dirichlet distribution: alpha = 100 is nearly
    even, 0.1 gives most clients one class. Drawn again until every client has
    `min_rows`; raises ValueError where `tries` draws do not.
    """
    labels = torch.as_tensor(labels)
    draw = torch.distributions.Dirichlet(
        torch.full((clients,), float(alpha), dtype=torch.float64)
    )
    # the distribution knows the global generator alone; this puts it back
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(tries):
            parts = [[] for _ in range(clients)]
            for c in labels.unique():
                rows = (labels == c).nonzero().squeeze(1)
                cuts = (draw.sample().cumsum(0) * len(rows)).round().long()[:-1]
                for part, some in zip(
                    parts, rows[torch.randperm(len(rows))].tensor_split(cuts)
                ):
                    part.append(some)
            parts = [torch.cat(part) for part in parts]
            if min(map(len, parts)) >= min_rows:
                return parts
    raise ValueError(
        f"{tries} draws with alpha = {alpha} left a client of {clients} "
        f"with fewer than {min_rows} of "
        f"{len(labels)} rows; take fewer clients, a larger alpha or a "
        "smaller min_rows"
    )


def average(states, sizes):
    """K state dicts and K sizes (rows or targets) -> one state dict, the mean weighted
    by size.

    Sums run in float64; a tensor of integers (a counter) keeps its largest value.
    Raises ValueError for sizes that add up to nothing, names or shapes that differ, and
    a client whose weights are not finite.
    """
    total = sum(sizes)
    if len(states) != len(sizes) or min(sizes, default=0) < 0 or total == 0:
        raise ValueError(
            f"{len(states)} clients with the sizes {list(sizes)}; give "
            "one size, 0 or more, for each, not all 0"
        )
    for k, state in enumerate(states):
        if {name: t.shape for name, t in state.items()} != {
            name: t.shape for name, t in states[0].items()
        }:
            raise ValueError(
                f"client {k} has other names or shapes than client 0; all "
                "must train the same model"
            )
        # one NaN would reach every client with the next round
        if sizes[k] and not all(torch.isfinite(t).all() for t in state.values()):
            raise ValueError(
                f"the weights of client {k} are not finite; leave it out of this round"
            )
    mean = {}
    for name, first in states[0].items():
        if first.is_floating_point():
            weighted = sum(
                s[name].double() * (n / total) for s, n in zip(states, sizes) if n
            )
            mean[name] = weighted.to(first.dtype)
        else:
            mean[name] = torch.stack([s[name] for s in states]).amax(0)
    return mean


def train_client(model, batches, loss_fn, optimizer):
    """One optimizer step for each batch, in place -> (summed loss, number of targets).
    A batch without targets is passed over.
    """
    total = targets = 0
    for batch in batches:
        n = int((batch["labels"] != -100).sum())
        if n:
            optimizer.zero_grad()
            loss = loss_fn(model, batch)
            (loss / n).backward()
            optimizer.step()
            total, targets = total + loss.item(), targets + n
    return total, targets


def chosen(clients, client_fraction, seed, number):
    """Which of the clients take part in round `number`: a function of (seed, number),
    at least one.
    """
    many = max(1, round(client_fraction * clients))
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    return torch.randperm(clients, generator=generator)[:many].sort().values.tolist()


def rounds(
    model, clients, loss_fn, make_optimizer, *, client_fraction=1.0, seed=0, first=0
):
    """Federated averaging on `model`, in place, without end: yields a Round after each
    exchange.

    clients: K functions; client(number) -> this round's batches, dicts of tensors with
        "labels", as often as it trains
        on them (five epochs are five times its rows). loss_fn(model, batch): the sum
        over labels != -100.
    make_optimizer(model): a new optimizer, for each client and round. client_fraction:
    the part of the clients drawn for a round.
    first: number of the first round; (model, first) is all that a resumed run needs, if
        `client` depends on `number` alone.
    """
    model.train()
    for number in itertools.count(first):
        begin = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        bytes_of_one = sum(
            tensor.numel() * tensor.element_size() for tensor in begin.values()
        )
        taking_part = chosen(len(clients), client_fraction, seed, number)
        states = []
        sizes = []
        total = 0.0
        for k in taking_part:
            # every client starts from the server's weights
            model.load_state_dict(begin)
            lost, targets = train_client(
                model, clients[k](number), loss_fn, make_optimizer(model)
            )
            states.append(
                {name: tensor.clone() for name, tensor in model.state_dict().items()}
            )
            sizes.append(targets)
            total += lost
        model.load_state_dict(average(states, sizes))
        model.train()  # the reader's loop body may have evaluated
        yield Round(
            number,
            total / sum(sizes),
            sum(sizes),
            len(taking_part),
            2 * bytes_of_one * len(taking_part),
        )
