"""Federated averaging: the mean is weighted, one local step equals the big batch, rows
are dealt once, rounds repeat.
"""

import itertools

import pytest
import torch
import torch.nn.functional as F

from ftlib.training import federated

N = 60
X = torch.randn(N, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(1))


def tiny(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3)
    ).double()


def loss_fn(model, batch):
    return F.cross_entropy(model(batch["x"]), batch["labels"], reduction="sum")


def client(part, epochs=1, size=None):
    def batches(number):
        for _ in range(epochs):
            for rows in part.split(size or len(part)):
                yield {"x": X[rows], "labels": Y[rows]}

    return batches


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.3)


def run(parts, number=3, **options):
    model = tiny()
    done = list(
        itertools.islice(
            federated.rounds(
                model, [client(p) for p in parts], loss_fn, sgd, **options
            ),
            number,
        )
    )
    return flat(model), done


# ---- the mean ----


def test_one_local_step_equals_the_big_batch(counted):
    """Weighted by size; the unweighted mean, FedAvg's mean of means, does not."""
    big = tiny()
    optimizer = sgd(big)
    for _ in range(3):
        optimizer.zero_grad()
        (loss_fn(big, {"x": X, "labels": Y}) / N).backward()
        optimizer.step()
    uneven = [torch.arange(4), torch.arange(4, 13), torch.arange(13, N)]
    got, done = run(uneven)
    assert (got - flat(big)).abs().max() < 1e-14
    assert [r.targets for r in done] == [N] * 3 and done[0].loss == pytest.approx(
        float(loss_fn(tiny(), {"x": X, "labels": Y})) / N
    )
    right, federated.average = (
        federated.average,
        lambda states, sizes: right(states, [1] * len(sizes)),
    )
    try:
        assert (run(uneven)[0] - flat(big)).abs().max() > 1e-3
    finally:
        federated.average = right
    counted("fault")


def test_average_of_every_kind_of_tensor():
    a = {
        "w": torch.tensor([0.0, 4.0]),
        "half": torch.tensor([1.0]).bfloat16(),
        "seen": torch.tensor(3),
    }
    b = {
        "w": torch.tensor([4.0, 0.0]),
        "half": torch.tensor([2.0]).bfloat16(),
        "seen": torch.tensor(7),
    }
    mean = federated.average([a, b], [3, 1])
    assert (
        mean["w"].tolist() == [1.0, 3.0]
        and mean["half"].item() == 1.25
        and int(mean["seen"]) == 7
    )
    assert {name: t.dtype for name, t in mean.items()} == {
        name: t.dtype for name, t in a.items()
    }
    assert a["w"].tolist() == [0.0, 4.0]  # the clients' own tensors stay
    nan = {**b, "w": torch.tensor([float("nan"), 0.0])}
    # a client without rows has no say
    assert federated.average([a, nan], [3, 0])["w"].tolist() == [0.0, 4.0]


@pytest.mark.parametrize(
    "states, sizes, words",
    [
        ([{"w": torch.ones(2)}], [0], "not all 0"),
        ([{"w": torch.ones(2)}], [1, 2], "one size"),
        ([], [], "one size"),
        ([{"w": torch.ones(2)}] * 2, [2, -1], "0 or more"),
        (
            [{"w": torch.ones(2)}, {"w": torch.ones(3)}],
            [1, 1],
            "client 1 has other names or shapes",
        ),
        (
            [{"w": torch.ones(2)}, {"v": torch.ones(2)}],
            [1, 1],
            "client 1 has other names or shapes",
        ),
        (
            [{"w": torch.ones(2)}, {"w": torch.tensor([1.0, float("inf")])}],
            [1, 1],
            "weights of client 1 are not finite",
        ),
    ],
)
def test_what_cannot_be_averaged_is_refused(states, sizes, words):
    with pytest.raises(ValueError, match=words):
        federated.average(states, sizes)


# ---- who has which rows ----


def test_rows_are_dealt_once_and_evenly():
    parts = federated.iid_partition(N, 7, seed=3)
    assert sorted(torch.cat(parts).tolist()) == list(range(N)) and {
        len(p) for p in parts
    } == {8, 9}
    assert [p.tolist() for p in parts] == [
        p.tolist() for p in federated.iid_partition(N, 7, seed=3)
    ]
    assert parts[0].tolist() != federated.iid_partition(N, 7, seed=4)[0].tolist()
    for clients in (0, N + 1):
        with pytest.raises(ValueError, match="1 to 60 clients"):
            federated.iid_partition(N, clients)


def imbalance(parts, labels):
    """The mean over clients of the largest class's share."""
    return sum(
        float(torch.bincount(labels[p], minlength=2).max() / len(p)) for p in parts
    ) / len(parts)


def test_uneven_rows_are_dealt_once_and_follow_alpha():
    labels = torch.arange(600) % 2
    near, far = (
        federated.dirichlet_partition(labels, 6, alpha, seed=1) for alpha in (100, 0.2)
    )
    for parts in (near, far):
        assert (
            sorted(torch.cat(parts).tolist()) == list(range(600))
            and min(map(len, parts)) >= 10
        )
    assert imbalance(near, labels) < 0.6 < 0.8 < imbalance(far, labels)
    assert [p.tolist() for p in far] == [
        p.tolist() for p in federated.dirichlet_partition(labels, 6, 0.2, seed=1)
    ]
    before = torch.get_rng_state()
    federated.dirichlet_partition(labels, 6, 0.2)
    assert torch.equal(before, torch.get_rng_state())  # no generator but its own
    with pytest.raises(ValueError, match="fewer than 200 of 600 rows"):
        federated.dirichlet_partition(labels, 6, 0.2, min_rows=200, tries=3)


# ---- rounds ----


def test_rounds_repeat_and_resume():
    parts = federated.dirichlet_partition(Y, 4, 1.0, min_rows=2)
    whole, done = run(parts, 4, client_fraction=0.5, seed=5)
    model = tiny()
    for r in federated.rounds(
        model, [client(p) for p in parts], loss_fn, sgd, client_fraction=0.5, seed=5
    ):
        if r.number == 1:
            break
    rest = list(
        itertools.islice(
            federated.rounds(
                model,
                [client(p) for p in parts],
                loss_fn,
                sgd,
                client_fraction=0.5,
                seed=5,
                first=2,
            ),
            2,
        )
    )
    assert torch.equal(flat(model), whole) and rest == done[2:]
    assert all(
        r.clients == 2 and r.bytes_sent == 2 * 2 * 8 * flat(model).numel() for r in done
    )


def test_who_takes_part_depends_on_seed_and_round():
    picks = [federated.chosen(10, 0.3, 0, n) for n in range(20)]
    assert (
        all(len(set(p)) == 3 and p == sorted(p) for p in picks)
        and len({tuple(p) for p in picks}) > 10
    )
    assert (
        picks[4] == federated.chosen(10, 0.3, 0, 4) != federated.chosen(10, 0.3, 1, 4)
    )
    assert federated.chosen(10, 0.01, 0, 0) and federated.chosen(10, 1.0, 0, 0) == list(
        range(10)
    )


def test_a_batch_that_asks_nothing_is_passed_over():
    model = tiny()
    before = flat(model)
    blank = {"x": X[:3], "labels": torch.full((3,), -100)}
    assert federated.train_client(model, [blank], loss_fn, sgd(model)) == (
        0,
        0,
    ) and torch.equal(flat(model), before)
    lost, targets = federated.train_client(
        model, [blank, {"x": X[:4], "labels": Y[:4]}], loss_fn, sgd(model)
    )
    assert targets == 4 and lost > 0 and not torch.equal(flat(model), before)
