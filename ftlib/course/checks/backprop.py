"""Checkers for chapter 02: gradients by hand, and the order in which backward visits a
graph.

Gradients are judged against central differences in float64, which know nothing of the
formula. Graphs are judged by their result and by how often the answer looks at a
node: a ladder of 40 diamonds has 2^40 paths.

Needs: torch, ftlib.

Shapes: N rows, B texts, T tokens, D and E widths, C classes.
"""

import math
import random

import torch

from ftlib.course.checks import correct, exercise, expect, forbid
from ftlib.course.checks.gradient_descent import apart, is_rounded, worst
from ftlib.models.autograd import central_differences


def drawn(*shape, seed):
    """Normal numbers in float64, the same on every call."""
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def near(a, b, within=1e-6):
    """Whether two tensors of one shape agree in every entry."""
    a = torch.as_tensor(a)
    return tuple(a.shape) == tuple(b.shape) and bool((a - b).abs().max() < within)


def _shape(name, got, wanted):
    got = tuple(torch.as_tensor(got).shape)
    expect(
        got == tuple(wanted),
        f"the gradient of {name} has shape {got}, expected {tuple(wanted)}; it always "
        f"has the shape of {name} itself",
    )


def _loss_and_gradient(answer, logits, labels):
    with forbid(
        "torch.autograd.grad",
        "torch.autograd.backward",
        instead="compute the gradient by formula, without autograd",
    ):
        result = answer(logits, labels)
    expect(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "return the pair (loss, gradient)",
    )
    loss, gradient = (torch.as_tensor(each).detach() for each in result)
    expect(
        loss.numel() == 1,
        f"the loss has shape {tuple(loss.shape)}; return one number, the mean over "
        "the rows",
    )
    return loss.reshape(()), gradient


def _mean_loss(labels):
    return lambda z: (z.logsumexp(1) - z[torch.arange(len(labels)), labels]).mean()


@exercise
def check_loss_and_gradient(answer):
    """answer(logits (N, C), labels (N,)) -> (mean cross-entropy, its gradient
    (N, C)).
    """
    logits, labels = 2 * drawn(6, 4, seed=1), torch.tensor([0, 3, 1, 1, 2, 0])
    loss, gradient = _loss_and_gradient(answer, logits, labels)
    mean_loss = _mean_loss(labels)
    expected, p = mean_loss(logits), logits.softmax(1)
    expect(
        not near(loss, 6 * expected),
        "the loss is a sum; take the mean over the rows",
    )
    sideways = (logits.logsumexp(0) - logits)[torch.arange(6), labels].mean()
    expect(
        not near(loss, sideways),
        "the softmax runs down the columns, over texts; the classes of one text "
        "compete, so use dim=1",
    )
    expect(
        near(loss, expected) or not is_rounded(loss, expected),
        f"the loss is rounded to {float(loss):g}; return all its digits",
    )
    expect(
        near(loss, expected),
        f"the loss is {apart(loss, expected)}; take the mean of -log "
        "softmax(logits)[label]",
    )
    _shape("the logits", gradient, (6, 4))
    measured = central_differences(mean_loss, logits)
    expect(
        not near(gradient, 6 * measured),
        "the gradient is N times too large; the loss is a mean, so divide the "
        "gradient of every row by N",
    )
    expect(
        not near(gradient, -measured),
        "the gradient has the wrong sign; it is p - one_hot, not one_hot - p",
    )
    expect(
        not near(gradient, p / 6) and not near(gradient, p),
        "this is the softmax alone; subtract 1 at each row's label",
    )
    at_label = torch.nn.functional.one_hot(labels, 4) * measured
    expect(
        not near(gradient, at_label),
        "only the label's own logit has a gradient; the others are in the softmax's "
        "denominator and have one too",
    )
    index, mine, wanted = worst(gradient, measured)
    expect(
        near(gradient, measured) or not is_rounded(gradient, measured),
        "the gradient is rounded; return all its digits",
    )
    expect(
        near(gradient, measured),
        f"the gradient for logit {tuple(index)} is {apart(mine, wanted, '+')} by "
        "central differences; it is (softmax(logits) - one_hot(labels)) / N",
    )
    for n, c in ((1, 5), (3, 3), (9, 2)):
        logits = 2 * drawn(n, c, seed=10 + n)
        labels = torch.arange(n, 0, -1) % c
        loss, gradient = _loss_and_gradient(answer, logits, labels)
        measured = central_differences(_mean_loss(labels), logits)
        expect(
            near(loss, _mean_loss(labels)(logits)) and near(gradient, measured),
            f"correct for 6 rows of 4 classes, and not for {n} of {c}; take both sizes "
            "from the logits",
        )
    _check_large(answer)
    return correct(
        "the gradient is within 1e-6 of central differences, and logits of "
        "1000 stay finite"
    )


# logits, labels, loss: two rows each
LARGE = [
    ([[1000.0, 0.0], [0.0, 1000.0]], [0, 0], 500.0),
    ([[1000.0, -1000.0], [-1000.0, 1000.0]], [1, 1], 1000.0),
    ([[-1000.0, -1000.0], [-2000.0, -1000.0]], [0, 1], math.log(2) / 2),
    ([[1000.0, 1000.0], [-1000.0, -1000.0]], [0, 1], math.log(2)),
]


def _check_large(answer):
    for logits, labels, wanted in LARGE:
        rows = f"the logits {logits} with the labels {labels}"
        logits = torch.tensor(logits, dtype=torch.float64)
        labels = torch.tensor(labels)
        loss, gradient = _loss_and_gradient(answer, logits, labels)
        expect(
            bool(loss.isfinite()) and bool(gradient.isfinite().all()),
            f"{rows} give NaN or infinity: exp of a large number overflows, and the "
            "sum of exp of numbers far below 0 is 0; subtract each row's largest logit "
            "first",
        )
        expect(
            near(loss, torch.tensor(wanted, dtype=torch.float64)),
            f"for {rows} the loss is {apart(loss, wanted)}; a limit on p or on the "
            "logits hides how wrong the model is",
        )
        one_hot = torch.nn.functional.one_hot(labels, 2)
        slope = (logits.softmax(1) - one_hot) / 2
        expect(
            near(gradient, slope),
            f"for {rows} the loss is correct, and the gradient is {gradient.tolist()}, "
            f"expected {slope.tolist()}",
        )


def _three(answer, given, g):
    """The answer's three gradients for the tensors of `given` (name -> tensor)."""
    got = answer(*given.values(), g)
    names = list(given)
    expect(
        isinstance(got, (tuple, list)) and len(got) == 3,
        f"{len(got) if isinstance(got, (tuple, list)) else 'no'} gradients came back; "
        f"return three: of {names[0]}, of {names[1]}, of {names[2]}",
    )
    return {name: torch.as_tensor(each).detach() for name, each in zip(names, got)}


def _check_three(got, given, forward, g, sign, numbers):
    """Compare three gradients with central differences; `sign` and `numbers` end the
    hints.
    """
    for name, gradient in got.items():

        def result(v, name=name):
            return (forward(**(given | {name: v})) * g).sum()

        measured = central_differences(result, given[name])
        expect(
            not near(gradient, -measured) or near(gradient, measured),
            f"the gradient of {name} has the wrong sign{sign}",
        )
        expect(
            near(gradient, measured) or not is_rounded(gradient, measured),
            f"the gradient of {name} is rounded; return all its digits",
        )
        expect(
            near(gradient, measured),
            f"the gradient of {name} has the correct shape and wrong numbers; "
            f"{numbers}",
        )


def _check_other_sizes(answer, given, forward, g, letters, square):
    """The same for other sizes; `square`: they are equal, so that no shape tells one
    axis from the other.
    """
    got = _three(answer, given, g)
    for name, gradient in got.items():

        def result(v, name=name):
            return (forward(**(given | {name: v})) * g).sum()

        fits = near(gradient, central_differences(result, given[name]))
        expect(
            fits or not square,
            f"where {letters}, the gradient of {name} is wrong: a shape that fits does "
            "not tell which axis is which; decide by the formula, not by the shape",
        )
        expect(
            fits,
            f"correct for one set of sizes, and for {letters} the gradient of {name} "
            "is wrong; take the sizes from the tensors",
        )


def _linear(x, weight, bias):
    return x @ weight.T + bias


@exercise
def check_linear_gradients(answer):
    """answer(x (N, D), weight (E, D), bias (E,), g (N, E)) -> (gradients of x, weight,
    bias) for y = x weight.T + bias.
    """

    def tensors(N, D, E):
        return {
            "x": drawn(N, D, seed=2),
            "weight": drawn(E, D, seed=3),
            "bias": drawn(E, seed=4),
        }, drawn(N, E, seed=5)

    given, g = tensors(5, 3, 4)
    got = _three(answer, given, g)
    expect(
        tuple(got["weight"].shape) != (3, 4),
        "the gradient of weight is (D, E), and torch's weight is (E, D); check which "
        "factor comes first in the product",
    )
    expect(
        tuple(got["bias"].shape) != (5, 4),
        "the gradient of bias is g itself, (N, E); the bias was added to N rows, so "
        "sum g over them",
    )
    for name, gradient in got.items():
        _shape(name, gradient, given[name].shape)
    expect(
        not near(got["bias"], g.mean(0)),
        "the gradient of bias is a mean; every row adds its own term, so it is a sum",
    )
    expect(
        not near(got["weight"], g.T @ given["x"] / 5),
        "the gradient of weight is divided by N; if the loss is a mean, g contains "
        "the factor 1/N already",
    )
    _check_three(
        got,
        given,
        _linear,
        g,
        "",
        "write one element of y as a sum and see what multiplies it",
    )
    for N, D, E in ((1, 2, 3), (7, 1, 2), (2, 5, 1)):
        _check_other_sizes(
            answer,
            *_parts(tensors(N, D, E), _linear),
            f"N = {N}, D = {D} and E = {E}",
            False,
        )
    _check_other_sizes(
        answer, *_parts(tensors(3, 3, 3), _linear), "N = D = E = 3", True
    )
    return correct(
        "three gradients with the shapes of x, weight and bias, all equal "
        "to central differences"
    )


def _parts(tensors, forward):
    given, g = tensors
    return given, forward, g


def _scaled(x, scale, shift):
    return (x - shift) * scale


@exercise
def check_scaling_gradients(answer):
    """answer(x (B, T, D), scale (D,), shift (B, 1, 1), g (B, T, D)) -> gradients of x,
    scale, shift in (x - shift) scale.
    """

    def tensors(B, T, D):
        return {
            "x": drawn(B, T, D, seed=6),
            "scale": drawn(D, seed=7),
            "shift": drawn(B, 1, 1, seed=8),
        }, drawn(B, T, D, seed=9)

    given, g = tensors(2, 4, 3)
    got = _three(answer, given, g)
    dscale, dshift = got["scale"], got["shift"]
    expect(
        not any(tuple(d.shape) == (2, 4, 3) for d in (dscale, dshift)),
        "a gradient still has the broadcast shape (B, T, D); sum over the axes along "
        "which the tensor was broadcast",
    )
    expect(
        tuple(dscale.shape) != (4, 3),
        "scale was broadcast over texts and over tokens; you summed over one of the "
        "two",
    )
    expect(
        tuple(dshift.shape) != (2,),
        "the gradient of shift lost its axes of 1: (B,) instead of (B, 1, 1); "
        "keepdim=True keeps them",
    )
    for name, gradient in got.items():
        _shape(name, gradient, given[name].shape)
    away = given["x"] - given["shift"]
    expect(
        not near(dscale, (g * given["x"]).sum((0, 1))),
        "scale multiplies x - shift, not x; that difference is its local derivative",
    )
    expect(
        not near(dscale, (g * away).mean((0, 1))),
        "these are means over the copies; every copy adds its own term, so sum",
    )
    _check_three(
        got,
        given,
        _scaled,
        g,
        "; shift is subtracted, so its local derivative is negative",
        "multiply g by the local derivative first, then sum",
    )
    for B, T, D in ((1, 2, 5), (4, 1, 2), (3, 2, 1)):
        _check_other_sizes(
            answer,
            *_parts(tensors(B, T, D), _scaled),
            f"B = {B}, T = {T} and D = {D}",
            False,
        )
    _check_other_sizes(
        answer, *_parts(tensors(3, 3, 3), _scaled), "B = T = D = 3", True
    )
    return correct(
        "each gradient has the shape of its tensor, and equals central differences"
    )


class _Looks:
    """How often an answer looks at a graph; an answer that walks every path is
    stopped.
    """

    def __init__(self, most=20_000):
        self.left = self.most = most

    def look(self, nodes):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError(
                f"looked up {self.most:,} times in a graph of {nodes} nodes: it walks "
                "every path; remember which nodes were visited"
            )


class _Parents(list):
    """The names of one node, which tell when they are gone through."""

    def __init__(self, names, looks, nodes):
        super().__init__(names)
        self.looks, self.nodes = looks, nodes

    def __iter__(self):
        self.looks.look(self.nodes)
        return super().__iter__()


class Counted(dict):
    """A graph that counts its look-ups; those in a copy of it count too."""

    def __init__(self, graph):
        self.looks = _Looks()
        super().__init__(
            {k: _Parents(v, self.looks, len(graph)) for k, v in graph.items()}
        )

    def __getitem__(self, name):
        self.looks.look(len(self))
        return super().__getitem__(name)

    def get(self, name, default=None):
        return self[name] if name in self else default


def _drawn_graph(seed):
    """A graph of names in an order that says nothing, and a root among them."""
    choose = random.Random(seed)
    names = choose.sample("abcdefghijk", 9)
    edges = {
        name: [choose.choice(names[:i]) for _ in range(choose.randrange(4))]
        if i
        else []
        for i, name in enumerate(names)
    }
    listed = choose.sample(names, len(names))
    return Counted({name: edges[name] for name in listed}), names[6 + seed % 3]


def _check_order(order, graph, root):
    """Each name that root depends on, once, and before its parents."""
    reached, todo = {root}, [root]
    while todo:
        for parent in graph[todo.pop()]:
            if parent not in reached:
                reached.add(parent)
                todo.append(parent)
    shown = f"for {dict(graph)} and the root {root}"
    expect(
        set(order) == reached,
        f"{shown} the list has {sorted(map(str, set(order)))}; the root depends on "
        f"{sorted(map(str, reached - {root}))}",
    )
    expect(
        len(order) == len(reached),
        f"{shown} a name is in the list more than once: {order}",
    )
    for node in order:
        for parent in graph[node]:
            expect(
                order.index(node) < order.index(parent),
                f"{shown} {parent} comes before {node}, which uses it, in {order}; put "
                "a node after all nodes that use it",
            )


@exercise
def check_backward_order(answer):
    """answer(parents_of: dict name -> [names], root) -> [root, ...]: each node once,
    before its parents.
    """
    graph = Counted(
        {
            "w": [],
            "x": [],
            "a": ["w", "x"],
            "b": ["a", "w"],
            "c": ["b", "a"],
            "unused": ["w"],
        }
    )
    got = list(answer(graph, "c"))
    expect(
        "unused" not in got,
        "`unused` is in the list, and c was not computed from "
        "it; start at root and follow parents",
    )
    expect(
        set(got) == set("cbawx"),
        f"the list has {sorted(set(map(str, got)))}; c was computed from a, b, w and x",
    )
    expect(
        len(got) == len(set(got)),
        "a node is in the list more than once, and would pass its gradient on twice; "
        "visit each node once",
    )
    expect(
        got[0] != "w" and got[-1] != "c",
        "the list runs forwards, leaves first; backward starts at the root, so "
        "reverse it",
    )
    expect(
        got[0] == "c",
        f"the list starts with {got[0]}; the root comes first, because no other node "
        "has a gradient yet",
    )
    graphs = [
        (graph, "c"),
        (Counted({"x": [], "a": ["x"], "b": ["a"], "c": ["a", "b"]}), "c"),
        (Counted({"x": [], "a": ["x"], "b": ["a"], "c": ["b", "a"]}), "c"),
        (
            Counted(
                {
                    "x": [],
                    "a": ["x"],
                    "b": ["a"],
                    "d": ["b"],
                    "e": ["x", "d"],
                    "f": ["e", "x", "b"],
                }
            ),
            "f",
        ),
    ]
    for given, root in graphs:
        _check_order(list(answer(given, root)), given, root)
    for root in ("b", "w"):
        _check_order(list(answer(graph, root)), graph, root)
    for seed in range(12):
        given, root = _drawn_graph(seed)
        _check_order(list(answer(given, root)), given, root)
    ladder = Counted({0: []} | {i: [i - 1, i - 1] for i in range(1, 41)})
    expect(
        list(answer(ladder, 40)) == list(range(40, -1, -1)),
        "in a ladder of 40 nodes, each used twice, the order must be 40, 39, ..., 0",
    )
    return correct(
        "users first in every graph, and 41 nodes with 2^40 paths are visited once each"
    )


class _Node:
    """A node with .grad, .parents and .local, which counts how often its parents are
    looked up.
    """

    visits, most = 0, 50_000

    def __init__(self, *edges):
        self.grad = 0.0
        self._parents = tuple(p for p, _ in edges)
        self.local = tuple(d for _, d in edges)

    @property
    def parents(self):
        _Node.visits += 1
        if _Node.visits > self.most:
            raise RuntimeError(
                "a graph of 41 nodes was walked along every path; pass a node's "
                "gradient on once, when it is complete"
            )
        return self._parents


@exercise
def check_pull_back(answer):
    """Clinic. answer(root) -> root, with d root / d node in .grad of every node;
    .parents and .local are given.
    """
    _Node.visits = 0
    x = _Node()
    square = _Node((x, 3.0), (x, 3.0))
    got = answer(square)
    expect(
        got is square,
        "return the root, as the snippet does; its nodes carry the gradients",
    )
    expect(
        x.grad != 0 or square.grad != 0,
        "all gradients are 0; set the root's own gradient to 1, d root / d root",
    )
    expect(
        square.grad == 1,
        f"the root's gradient is {square.grad}, expected 1: d root / d root",
    )
    expect(
        x.grad != 3,
        "for x * x at 3 the gradient of x is 3: the second use "
        "overwrites the first; add instead",
    )
    expect(
        x.grad == 6,
        f"for x * x at 3 the gradient of x is {x.grad}, expected 6: 3 from each use",
    )
    result = []
    # c = a + 3a with a = 2x, the two parents of c in both orders
    for turned in (False, True):
        x = _Node()
        a = _Node((x, 2.0))
        b = _Node((a, 3.0))
        answer(_Node(*([(b, 1.0), (a, 1.0)] if turned else [(a, 1.0), (b, 1.0)])))
        result.append(x.grad)
    expect(
        result != [2, 2],
        "in c = a + 3a, a = 2x, the gradient of x is the local derivative 2 alone; "
        "multiply it by the gradient of the node it comes from",
    )
    expect(
        max(result) <= 8,
        f"in c = a + 3a, a = 2x, the gradient of x is {max(result)}, expected 8: a "
        "passes its gradient on more than once, and what it sent before is sent again",
    )
    expect(
        min(result) >= 8,
        f"in c = a + 3a, a = 2x, the gradient of x is {min(result)}, expected 8: a "
        "passes its gradient on before all its users have added theirs; use a "
        "topological order",
    )
    start = node = _Node()
    for _ in range(40):
        node = _Node((node, 0.5), (node, 0.5))
    answer(node)
    expect(
        abs(start.grad - 1) < 1e-12,
        "the mean of a number with itself, 40 times over, has a gradient of "
        f"{start.grad}, expected 1",
    )
    for seed in range(20):
        _check_drawn(answer, seed)
    return correct(
        "every use adds its term, and a node passes its gradient on once, when it is "
        "complete"
    )


def _check_drawn(answer, seed):
    """A drawn graph of whole numbers, where gradients may cancel to 0."""
    choose = random.Random(seed)
    nodes = [_Node()]
    for _ in range(5):
        edges = [
            (choose.choice(nodes), float(choose.choice((-2, -1, 0, 1, 1, 3))))
            for _ in range(choose.randrange(1, 3))
        ]
        nodes.append(_Node(*edges))
    root = nodes[-2 if seed % 3 else -1]
    wanted = dict.fromkeys(nodes, 0.0) | {root: 1.0}
    for node in reversed(nodes):
        for parent, local in zip(node.parents, node.local):
            wanted[parent] += local * wanted[node]
    expect(answer(root) is root, "return the root")
    for number, node in enumerate(nodes):
        expect(
            abs(node.grad - wanted[node]) < 1e-9,
            f"in a drawn graph with the edges (node, parent, local derivative) "
            f"{_edges(nodes)}, the gradient of root {nodes.index(root)} with respect "
            f"to node {number} is {apart(node.grad, wanted[node])}; it may be 0, "
            "negative or large on the way, and every node has one",
        )


def _edges(nodes):
    return [
        (i, nodes.index(parent), local)
        for i, node in enumerate(nodes)
        for parent, local in zip(node.parents, node.local)
    ]
