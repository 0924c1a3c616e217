"""The autograd of chapter 02 against torch's and against differences: values, tensors,
order, repetition, bad input.
"""

import math
import random

import pytest
import torch
import torch.nn.functional as F

from ftlib.models import autograd
from ftlib.models.autograd import (
    Tensor,
    Value,
    central_differences,
    softmax_cross_entropy,
    topological,
    unbroadcast,
)


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=dtype
    )


def far(a, b):
    return (a - b).abs().max().item()


# --- Value


def expression(leaves, seed, steps, lift):
    """A random expression of `steps` operations over `leaves`; lift(kind, nodes) does
    one operation.
    """
    draw, nodes = random.Random(seed), list(leaves)
    for _ in range(steps):
        kind = draw.choice(
            ["+", "*", "-", "tanh", "sigmoid", "**2", "log", "exp", "2*", "5+"]
        )
        nodes.append(lift(kind, draw.choice(nodes[-8:]), draw.choice(nodes)))
    return nodes[-1] + sum(leaves)


def lift(kind, a, b):
    one = {
        "tanh": lambda: a.tanh(),
        "sigmoid": lambda: a.sigmoid(),
        "**2": lambda: (a * 0.1) ** 2,
        "2*": lambda: 2 * a,
        "exp": lambda: a.tanh().exp(),
        "log": lambda: (a * a + 1).log(),
        "5+": lambda: 5 + a,
        "-": lambda: a - b,
        "+": lambda: a + b,
        "*": lambda: (a * 0.5) * b.tanh(),
    }
    return one[kind]()


@pytest.mark.parametrize("seed", range(20))
def test_values_equal_torch(seed):
    numbers = [0.7, -1.3, 0.2]
    ours, theirs = (
        [Value(x) for x in numbers],
        [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in numbers],
    )
    a, b = expression(ours, seed, 60, lift), expression(theirs, seed, 60, lift)
    a.backward(), b.backward()
    assert math.isclose(a.data, b.item(), rel_tol=1e-12)
    for mine, leaf in zip(ours, theirs):
        assert math.isclose(mine.grad, leaf.grad.item(), rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize(
    "made",
    [
        lambda x, y: -x,
        lambda x, y: x - y,
        lambda x, y: 1 - x,
        lambda x, y: x / y,
        lambda x, y: x / 4,
        lambda x, y: 3 / x,
        lambda x, y: (1 - x) / (-y / 2) - 5 / (x * y),
    ],
)
def test_numbers_on_either_side_of_minus_and_division(made):
    ours = Value(0.7), Value(-1.3)
    theirs = [torch.tensor(v.data, dtype=torch.float64) for v in ours]
    theirs = [leaf.requires_grad_() for leaf in theirs]
    a, b = made(*ours), made(*theirs) + 0 * theirs[0] * theirs[1]
    a.backward(), b.backward()
    assert math.isclose(a.data, b.item(), rel_tol=1e-12)
    for mine, leaf in zip(ours, theirs):
        assert math.isclose(mine.grad, leaf.grad.item(), rel_tol=1e-12, abs_tol=1e-15)
    with pytest.raises(ZeroDivisionError):
        ours[0] / 0


def test_a_value_used_twice_gets_both_gradients():
    x = Value(3.0)
    (x * x).backward()
    assert x.grad == 6.0
    y = Value(3.0)
    (y + y + y).backward()
    assert y.grad == 3.0


@pytest.mark.parametrize(
    "leaf", [lambda: Value(3.0), lambda: Tensor(torch.tensor(3.0))]
)
def test_calls_add_up_in_leaves_alone(leaf):
    """micrograd gives 18 here: what a computed node kept from the first call is passed
    on by the second.
    """
    x = leaf()
    middle = x * x
    result = middle * 1.0
    result.backward(), result.backward()
    assert float(x.grad) == 12.0 and float(middle.grad) == 1.0
    root = leaf()
    root.backward()
    assert float(root.grad) == 1.0


def test_order_comes_before_parents_each_node_once():
    a, b = Value(1.0), Value(2.0)
    c = a * b
    d = c + a
    e = d * c
    order = topological(e)
    place = {node: i for i, node in enumerate(order)}
    assert len(order) == len(place) == 5 and order[0] is e
    assert all(place[node] < place[parent] for node in order for parent in node.parents)


def test_forty_diamonds_and_a_long_chain():
    """2^40 paths, and a chain deeper than Python's recursion limit."""
    x = Value(1.0)
    node = x
    for _ in range(40):
        node = node + node
    node.backward()
    assert x.grad == 2.0**40 and len(topological(node)) == 41
    y = Value(1.0)
    node = y
    for _ in range(20_000):
        node = node + 1.0
    node.backward()
    assert y.grad == 1.0


# --- Tensor


SHAPES = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 1), (3, 4)),
    ((3, 4), ()),
    ((1,), (3, 4)),
    ((2, 1, 4), (3, 1)),
    ((0, 2), (2,)),
]


@pytest.mark.parametrize("left, right", SHAPES)
@pytest.mark.parametrize("kind", ["+", "*"])
def test_broadcasting_equals_torch(kind, left, right):
    a, b = drawn(*left), drawn(*right, seed=1)
    x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
    theirs = x + y if kind == "+" else x * y
    g = drawn(*theirs.shape, seed=2)
    theirs.backward(g)
    ours = Tensor(a) + Tensor(b) if kind == "+" else Tensor(a) * Tensor(b)
    assert far(ours.data, theirs.detach()) == 0 if ours.data.numel() else True
    for pull, leaf in zip(ours.pulls, (x, y)):
        assert pull(g).shape == leaf.grad.shape
        assert torch.allclose(pull(g), leaf.grad, atol=1e-12)


def test_unbroadcast_sums_what_was_repeated():
    g = torch.ones(5, 3, 4)
    assert unbroadcast(g, (3, 4)).tolist() == torch.full((3, 4), 5.0).tolist()
    assert unbroadcast(g, (3, 1)).flatten().tolist() == [20.0] * 3
    assert unbroadcast(g, ()).item() == 60 and unbroadcast(g, (5, 3, 4)) is g


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize(
    "dtype, within", [(torch.float64, 1e-12), (torch.float32, 1e-4)]
)
def test_a_net_equals_torch(name, dtype, within):
    start = [
        drawn(7, 5, dtype=dtype),
        drawn(5, seed=1, dtype=dtype),
        drawn(5, 3, seed=2, dtype=dtype),
    ]
    x, labels = drawn(11, 7, seed=3, dtype=dtype), torch.arange(11) % 3
    W, b, U = ours = [Tensor(p) for p in start]
    loss = softmax_cross_entropy(getattr(Tensor(x) @ W + b, name)() @ U, labels) * 0.25
    loss.backward()
    w, c, u = theirs = [p.clone().requires_grad_() for p in start]
    expected = (
        F.cross_entropy(getattr(torch, name)(x @ w + c) @ u, labels, reduction="sum")
        * 0.25
    )
    expected.backward()
    assert far(loss.data, expected.detach()) < within
    assert all(
        mine.grad.dtype == dtype and far(mine.grad, leaf.grad) < within
        for mine, leaf in zip(ours, theirs)
    )


def test_a_tensor_used_twice():
    x, start = drawn(4, 4), drawn(4, 4, seed=1)
    W, w = Tensor(start), start.clone().requires_grad_()
    loss = softmax_cross_entropy(
        (Tensor(x) @ W).tanh() @ W + Tensor(x), torch.arange(4)
    )
    loss.backward()
    F.cross_entropy((x @ w).tanh() @ w + x, torch.arange(4), reduction="sum").backward()
    assert far(W.grad, w.grad) < 1e-12


def test_cross_entropy_of_large_logits_is_finite():
    logits = Tensor(torch.tensor([[1000.0, 0.0], [-1000.0, 0.0]]))
    loss = softmax_cross_entropy(logits, torch.tensor([0, 0]))
    loss.backward()
    assert loss.data.item() == 1000 and logits.grad.tolist() == [[0, 0], [-1, 1]]


def test_what_is_given_is_not_changed():
    given = torch.zeros(2, 2, requires_grad=True)
    x = Tensor(given)
    softmax_cross_entropy(x * 3.0, torch.tensor([0, 1])).backward()
    assert (
        given.grad is None
        and not given.detach().any()
        and x.grad.any()
        and not x.data.requires_grad
    )


def test_errors_name_value_limit_and_remedy():
    with pytest.raises(ValueError, match=r"not from shape \(2, 3\); sum"):
        Tensor(torch.zeros(2, 3)).backward()
    for labels in ([0, 3], [-1, 0]):
        with pytest.raises(ValueError, match="classes 0 to 2"):
            softmax_cross_entropy(Tensor(torch.zeros(2, 3)), torch.tensor(labels))


# --- differences


def test_differences_find_a_gradient_and_a_wrong_one():
    logits, labels = drawn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    ours = Tensor(logits)
    softmax_cross_entropy(ours, labels).backward()
    measured = central_differences(
        lambda v: softmax_cross_entropy(Tensor(v), labels).data, logits
    )
    assert measured.shape == (5, 4) and far(measured, ours.grad) < 1e-9
    assert far(measured, -ours.grad) > 1e-2
    assert logits.equal(drawn(5, 4))  # not changed


def test_differences_of_a_plain_number():
    x = torch.tensor(2.0, dtype=torch.float64)
    assert abs(central_differences(lambda v: float(v) ** 3, x).item() - 12) < 1e-8


def test_it_does_not_lean_on_torch_autograd(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("torch's autograd was used")

    monkeypatch.setattr(torch.Tensor, "backward", refuse)
    monkeypatch.setattr(torch.autograd, "grad", refuse)
    x = autograd.Tensor(drawn(2, 2))
    softmax_cross_entropy(x @ x, torch.tensor([0, 1])).backward()
    assert x.grad.any()
