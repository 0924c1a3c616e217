"""Checkers for chapter 02: gradients by hand, and the order in which backward visits a
graph.

Gradients are judged against central differences in float64, which know nothing of the
formula. Graphs are judged by their result and by how often the answer looks at a
node: a ladder of 40 diamonds has 2^40 paths.

Needs: torch, ftlib.

Shapes: N rows, B texts, T tokens, D and E widths, C classes.
"""

import torch

from ftlib.course.checks import correct, exercise, expect
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


@exercise
def check_loss_and_gradient(answer):
    """answer(logits (N, C), labels (N,)) -> (mean cross-entropy, its gradient
    (N, C)).
    """
    logits, labels = 2 * drawn(6, 4, seed=1), torch.tensor([0, 3, 1, 1, 2, 0])
    kept, rows = logits.clone(), torch.arange(6)

    def mean_loss(z):
        return (z.logsumexp(1) - z[rows, labels]).mean()

    loss, gradient = answer(logits, labels)
    loss, gradient = torch.as_tensor(loss), torch.as_tensor(gradient)
    expect(
        torch.equal(logits, kept),
        "your function changes the logits it was given; work on a copy",
    )
    expect(
        loss.numel() == 1,
        f"the loss has shape {tuple(loss.shape)}; return one number, the mean over "
        "the rows",
    )
    expected, p = mean_loss(logits), logits.softmax(1)
    expect(
        not near(loss.reshape(()), 6 * expected),
        "the loss is a sum; take the mean over the rows",
    )
    sideways = (logits.logsumexp(0) - logits)[rows, labels].mean()
    expect(
        not near(loss.reshape(()), sideways),
        "the softmax runs down the columns, over texts; the classes of one text "
        "compete, so use dim=1",
    )
    expect(
        near(loss.reshape(()), expected),
        f"the loss is {float(loss):.4f}, expected {float(expected):.4f}; take the "
        "mean of -log softmax(logits)[label]",
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
    expect(
        near(gradient, measured),
        f"the gradient is {float((gradient - measured).abs().max()):.4f} away from "
        "central differences; it is (softmax(logits) - one_hot(labels)) / N",
    )
    large, sure = answer(
        torch.tensor([[1000.0, 0.0], [0.0, 1000.0]], dtype=torch.float64),
        torch.tensor([0, 0]),
    )
    expect(
        near(torch.as_tensor(large).reshape(()), torch.tensor(500.0))
        and bool(torch.as_tensor(sure).isfinite().all()),
        "logits of 1000 give NaN or infinity, because exp overflows; subtract each "
        "row's largest logit first",
    )
    return correct(
        "the gradient is within 1e-6 of central differences, and logits of "
        "1000 stay finite"
    )


@exercise
def check_linear_gradients(answer):
    """answer(x (N, D), weight (E, D), bias (E,), g (N, E)) -> (gradients of x, weight,
    bias) for y = x weight.T + bias.
    """
    x = drawn(5, 3, seed=2)
    weight = drawn(4, 3, seed=3)
    bias = drawn(4, seed=4)
    g = drawn(5, 4, seed=5)
    got = answer(x, weight, bias, g)
    expect(
        len(got) == 3,
        f"{len(got)} gradients came back; return three: of x, of weight, of bias",
    )
    dx, dweight, dbias = map(torch.as_tensor, got)
    expect(
        tuple(dweight.shape) != (3, 4),
        "the gradient of weight is (D, E), and torch's weight is (E, D); check which "
        "factor comes first in the product",
    )
    expect(
        tuple(dbias.shape) != (5, 4),
        "the gradient of bias is g itself, (N, E); the bias was added to N rows, so "
        "sum g over them",
    )
    for name, gradient, of in (
        ("x", dx, x),
        ("weight", dweight, weight),
        ("bias", dbias, bias),
    ):
        _shape(name, gradient, of.shape)
    expect(
        not near(dbias, g.mean(0)),
        "the gradient of bias is a mean; every row adds its own term, so it is a sum",
    )
    expect(
        not near(dweight, g.T @ x / 5),
        "the gradient of weight is divided by N; if the loss is a mean, g contains "
        "the factor 1/N already",
    )
    for name, gradient, of in (
        ("x", dx, x),
        ("weight", dweight, weight),
        ("bias", dbias, bias),
    ):

        def result(v, name=name):
            given = {"x": x, "weight": weight, "bias": bias} | {name: v}
            return ((given["x"] @ given["weight"].T + given["bias"]) * g).sum()

        measured = central_differences(result, of)
        expect(
            not near(gradient, -measured), f"the gradient of {name} has the wrong sign"
        )
        expect(
            near(gradient, measured),
            f"the gradient of {name} has the correct shape and wrong numbers; write "
            "one element of y as a sum and see what multiplies it",
        )
    return correct(
        "three gradients with the shapes of x, weight and bias, all equal "
        "to central differences"
    )


@exercise
def check_scaling_gradients(answer):
    """answer(x (B, T, D), scale (D,), shift (B, 1, 1), g (B, T, D)) -> gradients of x,
    scale, shift in (x - shift) scale.
    """
    x = drawn(2, 4, 3, seed=6)
    scale = drawn(3, seed=7)
    shift = drawn(2, 1, 1, seed=8)
    g = drawn(2, 4, 3, seed=9)
    got = answer(x, scale, shift, g)
    expect(
        len(got) == 3,
        f"{len(got)} gradients came back; return three: of x, of scale, of shift",
    )
    dx, dscale, dshift = map(torch.as_tensor, got)
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
    for name, gradient, of in (
        ("x", dx, x),
        ("scale", dscale, scale),
        ("shift", dshift, shift),
    ):
        _shape(name, gradient, of.shape)
    expect(
        not near(dscale, (g * x).sum((0, 1))),
        "scale multiplies x - shift, not x; that difference is its local derivative",
    )
    expect(
        not near(dscale, (g * (x - shift)).mean((0, 1))),
        "these are means over the copies; every copy adds its own term, so sum",
    )
    for name, gradient, of in (
        ("x", dx, x),
        ("scale", dscale, scale),
        ("shift", dshift, shift),
    ):

        def result(v, name=name):
            given = {"x": x, "scale": scale, "shift": shift} | {name: v}
            return ((given["x"] - given["shift"]) * given["scale"] * g).sum()

        measured = central_differences(result, of)
        expect(
            not near(gradient, -measured),
            f"the gradient of {name} has the wrong sign; shift is subtracted, so its "
            "local derivative is negative",
        )
        expect(
            near(gradient, measured),
            f"the gradient of {name} has the correct shape and wrong numbers; "
            "multiply g by the local derivative first, then sum",
        )
    return correct(
        "each gradient has the shape of its tensor, and equals central differences"
    )


class Counted(dict):
    """A graph that counts its look-ups, and stops an answer that walks every path."""

    visits, most = 0, 20_000

    def __getitem__(self, name):
        self.visits += 1
        if self.visits > self.most:
            raise RuntimeError(
                f"looked up {self.most:,} times in a graph of {len(self)} nodes: it "
                "walks every path; remember which nodes were visited"
            )
        return super().__getitem__(name)

    def get(self, name, default=None):
        return self[name] if name in self else default


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
        order = list(answer(given, root))
        for node in order:
            for parent in given[node]:
                expect(
                    order.index(node) < order.index(parent),
                    f"{parent} comes before {node}, which uses it, in {order}; put a "
                    "node after all nodes that use it",
                )
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
        hasattr(got, "grad"),
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
    return correct(
        "every use adds its term, and a node passes its gradient on once, when it is "
        "complete"
    )
