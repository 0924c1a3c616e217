"""Continual learning against references: the papers' formulas written out, closed-form
Fisher information, scikit-learn.
"""

import itertools

import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from ftlib.training import continual, optim, train


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("k", [2, 3, 5])
def test_numbers_of_the_matrix(k):
    scores = rand(k, k, seed=k)
    back = sum(scores[k - 1][j] - scores[j][j] for j in range(k - 1)) / (k - 1)
    lost = sum(
        max(scores[t][j] for t in range(k - 1)) - scores[k - 1][j] for j in range(k - 1)
    ) / (k - 1)
    assert (
        abs(continual.backward_transfer(scores) - back) < 1e-6
        and abs(continual.forgetting(scores) - lost) < 1e-6
    )
    assert (
        abs(
            continual.learning_accuracy(scores)
            - sum(scores[j][j] for j in range(k)) / k
        )
        < 1e-6
    )
    assert abs(continual.final(scores) - scores[-1].mean()) < 1e-6


def test_forgetting_and_backward_transfer_differ_where_a_middle_task_helped():
    scores = torch.tensor([[0.7, 0, 0], [0.8, 0.9, 0], [0.7, 0.9, 0.9]])
    assert continual.backward_transfer(scores) == pytest.approx(
        0
    ) and continual.forgetting(scores) == pytest.approx(0.05)


@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (3,)])
def test_a_matrix_that_is_not_square_is_refused(shape):
    with pytest.raises(ValueError, match="K at least 2"):
        continual.forgetting(torch.zeros(shape))


def test_reservoir_gives_every_row_the_same_chance():
    counts = torch.zeros(20)
    for seed in range(3000):
        kept = continual.reservoir(iter(range(20)), 5, seed)
        assert len(set(kept)) == 5
        counts[kept] += 1
    # 3000 draws of chance 1/4: a standard deviation of 24 about 750
    assert (counts - 750).abs().max() < 100
    first = sum(continual.reservoir(range(20), 5, s)[:1] == [0] for s in range(300))
    assert first < 150  # control: keeping the first rows would give 300
    assert (
        continual.reservoir(range(3), 5) == [0, 1, 2]
        and continual.reservoir(range(9), 0) == []
    )


@pytest.mark.parametrize(
    "new, old, share, size",
    [
        (10, 3, 0.5, 4),
        (100, 40, 0.2, 16),
        (7, 5, 0.0, 4),
        (33, 1, 0.25, 8),
        (5, 0, 0.5, 4),
    ],
)
def test_rehearse_shows_each_new_row_once_and_the_share_of_old_ones(
    new, old, share, size
):
    batches = continual.replay_batches(new, old, share, size, seed=3, epoch=1)
    past = round(share * size) if old else 0
    assert sorted(r for rows, _ in batches for r in rows) == list(range(new))
    assert all(
        len(kept) == past and all(0 <= r < old for r in kept) for _, kept in batches
    )
    assert all(len(rows) == size - past for rows, _ in batches[:-1])
    counts = torch.bincount(
        torch.tensor([r for _, kept in batches for r in kept], dtype=torch.long),
        minlength=old,
    )
    # dealt evenly
    assert not old or not past or counts.max() - counts.min() <= -(-past // old)
    assert batches == continual.replay_batches(new, old, share, size, seed=3, epoch=1)
    if new > 5:
        assert batches != continual.replay_batches(
            new, old, share, size, seed=3, epoch=2
        )


def test_rehearse_refuses_a_share_of_one():
    with pytest.raises(ValueError, match="leaves 0 for the new task"):
        continual.replay_batches(5, 5, 1.0, 4)


def logits_of(net, batch):
    return net(batch["input_ids"])


def test_fisher_of_logistic_regression_is_the_closed_form():
    """For softmax(W x): the diagonal at W[c, d] is the mean of p_c (1 - p_c) x_d
    squared.
    """
    torch.manual_seed(0)
    net, x = torch.nn.Linear(4, 3), torch.randn(20, 4)
    found = continual.fisher(net, [{"input_ids": row[None]} for row in x], logits_of)
    p = net(x).softmax(-1).detach()
    right = ((p * (1 - p))[:, :, None] * x[:, None, :].square()).mean(0)
    assert torch.allclose(found["weight"], right, atol=1e-6) and torch.allclose(
        found["bias"], (p * (1 - p)).mean(0), atol=1e-6
    )
    mean_first = (p.mean(0) * (1 - p.mean(0)))[:, None] * x.mean(0).square()
    # control: the order of square and mean matters
    assert not torch.allclose(right, mean_first, atol=1e-2)


def test_fisher_leaves_model_and_other_heads_alone():
    net = torch.nn.ModuleDict(
        {"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2)}
    ).train()
    before = continual.copy_weights(net)
    found = continual.fisher(
        net,
        [{"input_ids": torch.ones(1, 2)}],
        lambda net, batch: net["a"](batch["input_ids"]),
    )
    assert found["b.weight"].abs().sum() == 0 < found["a.weight"].abs().sum()
    assert net.training and all(p.grad is None for p in net.parameters())
    assert all(torch.equal(p, before[n]) for n, p in net.named_parameters())
    net["b"].requires_grad_(False)
    assert set(continual.copy_weights(net)) == {"a.weight", "a.bias"}


def test_fisher_refuses_batches_and_nothing():
    net = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="text by text"):
        continual.fisher(net, [{"input_ids": torch.ones(3, 2)}], logits_of)
    with pytest.raises(ValueError, match="at least 1 text"):
        continual.fisher(net, [], logits_of)


def test_penalty_is_the_quadratic_form_and_its_gradient():
    net = torch.nn.Linear(3, 2)
    anchor, weights = (
        continual.copy_weights(net),
        {n: rand(*p.shape, seed=1) for n, p in net.named_parameters()},
    )
    with torch.no_grad():
        net.weight += 0.5
    value = continual.penalty(net, anchor, weights)
    value.backward()
    assert torch.allclose(
        value, 0.5 * 0.25 * weights["weight"].sum()
    ) and torch.allclose(net.weight.grad, 0.5 * weights["weight"])


@pytest.mark.parametrize("pieces", [1, 2, 4])
def test_the_penalty_does_not_depend_on_how_a_step_is_cut(pieces):
    x, y = (
        torch.randn(8, 3, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0, 1, 1, -100, 0, 0, 1, -100]),
    )

    def loss(net, batch):
        return F.cross_entropy(
            net(batch["input_ids"]), batch["labels"], reduction="sum"
        )

    torch.manual_seed(1)
    net = torch.nn.Linear(3, 2)
    anchor = {n: p + 0.3 for n, p in continual.copy_weights(net).items()}
    anchors = [(anchor, {n: torch.ones_like(p) for n, p in anchor.items()})]
    whole = loss(net, {"input_ids": x, "labels": y}) / 6 + 2.0 * continual.penalty(
        net, *anchors[0]
    )
    want = torch.autograd.grad(whole, list(net.parameters()))
    cut = [
        {"input_ids": a, "labels": b} for a, b in zip(x.chunk(pieces), y.chunk(pieces))
    ]
    before = [p.detach().clone() for p in net.parameters()]
    list(
        train.steps(
            net,
            cut,
            continual.with_penalty(loss, anchors, 2.0),
            torch.optim.SGD(net.parameters(), lr=0.1),
            accumulate=pieces,
            clip=None,
        )
    )
    assert all(
        torch.allclose(b - p, 0.1 * g, atol=1e-6)
        for b, p, g in zip(before, net.parameters(), want)
    )


def test_ewc_keeps_a_task_that_plain_training_loses():
    """Task a looks at place 0, task b at place 1, and in b place 0 misleads: the whole
    point of the penalty, in two weights.
    """
    g = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=g)
    a, b = (x[:, 0] > 0).long(), (x[:, 1] - 0.8 * x[:, 0] > 0).long()
    lost = {}
    for strength in (0.0, 30.0):
        torch.manual_seed(0)
        net = torch.nn.Linear(2, 2)

        def run(labels, loss):
            batches = (
                {"input_ids": x[i : i + 50], "labels": labels[i : i + 50]}
                for i in itertools.islice(itertools.cycle(range(0, 400, 50)), 160)
            )
            list(
                train.steps(
                    net, batches, loss, optim.adamw(optim.parameter_groups(net, 0.02))
                )
            )

        def plain(net, batch):
            return F.cross_entropy(
                net(batch["input_ids"]), batch["labels"], reduction="sum"
            )

        run(a, plain)
        before = (net(x).argmax(-1) == a).float().mean()
        anchors = [
            (
                continual.copy_weights(net),
                continual.fisher(
                    net, [{"input_ids": row[None]} for row in x[:100]], logits_of
                ),
            )
        ]
        run(b, continual.with_penalty(plain, anchors, strength))
        lost[strength] = float(before - (net(x).argmax(-1) == a).float().mean())
    assert lost[0.0] > 0.3 and lost[30.0] < lost[0.0] / 2


def clouds(seed=0, each=30, classes=4):
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(each)
    return torch.randn(classes, 8, generator=g)[labels] * 2 + torch.randn(
        classes * each, 8, generator=g
    ), labels


def test_prototypes_and_neighbours_agree_with_scikit_learn():
    (known, labels), (asked, _) = clouds(), clouds(1)
    unit, ask = F.normalize(known, dim=-1), F.normalize(asked, dim=-1)
    centroids = NearestCentroid().fit(unit, labels).centroids_
    means = continual.prototypes(known, labels)
    assert torch.allclose(
        means, F.normalize(torch.tensor(centroids), dim=-1).float(), atol=1e-5
    )
    found = continual.nearest(asked, means)
    assert torch.allclose(found, ask @ means.T) and found.shape == (120, 4)
    # cosine weights at equal votes only break ties, so the classes with one clear
    # winner must agree
    theirs = KNeighborsClassifier(
        7, metric="cosine", algorithm="brute", weights=lambda d: 1 - d
    ).fit(known.numpy(), labels)
    votes = continual.neighbours(asked, known, labels, k=7)
    assert torch.equal(votes.argmax(-1), torch.tensor(theirs.predict(asked.numpy())))


def test_a_new_class_changes_no_old_mean():
    known, labels = clouds()
    old = continual.prototypes(known[labels < 3], labels[labels < 3])
    assert torch.allclose(continual.prototypes(known, labels)[:3], old)


def test_classes_without_texts_and_too_many_neighbours_are_refused():
    with pytest.raises(ValueError, match="class 1 of 3 has no vector"):
        continual.prototypes(torch.ones(2, 2), torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="3 texts are stored"):
        continual.neighbours(torch.ones(1, 2), torch.ones(3, 2), [0, 1, 1], k=5)


def test_plain_lists_are_matrices_and_a_wrong_shape_is_refused():
    assert continual.final([[0.9, 0.1], [0.5, 0.8]]) == pytest.approx(0.65)
    for wrong in ([[0.9, 0.1]], [0.5, 0.8]):
        with pytest.raises(ValueError, match="give K rows"):
            continual.final(wrong)


def test_the_seed_is_0_unless_said():
    assert continual.replay_batches(40, 9, 0.5, 8) == continual.replay_batches(
        40, 9, 0.5, 8, seed=0, epoch=0
    )
