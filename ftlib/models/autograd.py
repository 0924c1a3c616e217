"""Backpropagation small enough to read: a scalar `Value`, a `Tensor`, and a
finite-difference check for both.

What it is: operators that record what they were computed from. `Value` keeps a number
for each edge of that record, its local derivative; `Tensor` keeps a function that pulls
a gradient back. `backward()` walks the record once.

Use it:

    >>> w, x = Value(0.4), Value(2.0)
    >>> loss = (w * x - 1) ** 2
    >>> loss.backward()
    >>> # d loss / d w = 2 (w x - 1) x
    >>> round(loss.data, 4), round(w.grad, 4)
    (0.04, -0.8)
    >>> W, b = Tensor(torch.zeros(3, 2)), Tensor(torch.zeros(2))
    >>> loss = softmax_cross_entropy(
    ...     Tensor(torch.eye(3)) @ W + b, torch.tensor([0, 1, 1])
    ... )
    >>> loss.backward()
    >>> # summed over the 3 rows b was added to
    >>> b.grad.tolist()
    [0.5, -0.5]
    >>> central_differences(
    ...     lambda v: (v**2).sum(), torch.tensor([3.0], dtype=torch.float64)
    ... ).round(decimals=6).tolist()
    [6.0]

As in torch, gradients of leaves (nodes that were not computed) add up over calls of
backward(): set `leaf.grad` to zero before each step. Gradients of computed nodes belong
to one call.

What it is not: fast, or complete. It has the operations of a small classifier, and
tells you where the others would go.
Needs: torch, for its arrays; torch's own autograd is not used.

Shapes: N rows, D and E widths, C classes.
"""

import math

import torch


def topological(root):
    """Every node that `root` was computed from, each one before its parents: [root,
    ..., leaves].

    So a node's turn comes when all that use it have had theirs, and its gradient is
    complete.
    """
    order, seen, stack = [], set(), [(root, False)]
    # a stack of our own: a chain of 1,000 operations would exceed Python's recursion
    # limit
    while stack:
        node, finished = stack.pop()
        if finished:
            order.append(node)
        elif node not in seen:
            # without `seen` a value that is used twice doubles the work, at every level
            # again
            seen.add(node)
            # comes off the stack after everything beneath it
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return order[::-1]


class Value:
    """A number that remembers its parents and, for each of them, the local derivative d
    self / d parent.
    """

    def __init__(self, data, parents=(), local=(), op=""):
        self.data, self.grad = float(data), 0.0
        self.parents, self.local, self.op = parents, local, op

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0), "+")

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(
            self.data * other.data, (self, other), (other.data, self.data), "*"
        )

    def __pow__(self, n):
        return Value(self.data**n, (self,), (n * self.data ** (n - 1),), f"**{n}")

    def exp(self):
        e = math.exp(self.data)
        return Value(e, (self,), (e,), "exp")

    def log(self):
        return Value(math.log(self.data), (self,), (1 / self.data,), "log")

    def tanh(self):
        t = math.tanh(self.data)
        return Value(t, (self,), (1 - t * t,), "tanh")

    def sigmoid(self):
        s = 1 / (1 + math.exp(-self.data))
        return Value(s, (self,), (s * (1 - s),), "sigmoid")

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + other * -1.0

    def __truediv__(self, other):
        return self * other**-1

    # for 2 * x, 1 - x, 1 / x and sum([x, y]), where the number stands first
    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other):
        return -self + other

    def __rtruediv__(self, other):
        return self**-1 * other

    def backward(self):
        order = topological(self)
        for node in order:
            # only leaves add up over several calls
            node.grad = 0.0 if node.parents else node.grad
        self.grad += 1.0  # d self / d self
        for node in order:
            for parent, local in zip(node.parents, node.local):
                # adds: a value that is used twice has two ways to the result
                parent.grad += node.grad * local


def unbroadcast(gradient, shape):
    """Sum `gradient` over the axes along which a tensor of `shape` was repeated; the
    result has that shape.

    Each copy that broadcasting made is one use of the same number, and gradients add
    over uses.
    """
    for _ in range(gradient.ndim - len(shape)):
        gradient = gradient.sum(0)  # axes that broadcasting put in front
    for axis, size in enumerate(shape):
        if size == 1:
            # an axis of 1 that was stretched
            gradient = gradient.sum(axis, keepdim=True)
    return gradient


class Tensor:
    """An array that remembers its parents and, for each, a function from d result / d
    self to d result / d parent.
    """

    def __init__(self, data, parents=(), pulls=()):
        self.data = torch.as_tensor(data).detach()
        self.grad = torch.zeros_like(self.data)
        self.parents, self.pulls = parents, pulls

    def __add__(self, other):
        pulls = (
            lambda g: unbroadcast(g, self.data.shape),
            lambda g: unbroadcast(g, other.data.shape),
        )
        return Tensor(self.data + other.data, (self, other), pulls)

    def __mul__(self, other):
        other = (
            other
            if isinstance(other, Tensor)
            else Tensor(torch.as_tensor(other, dtype=self.data.dtype))
        )
        pulls = (
            lambda g: unbroadcast(g * other.data, self.data.shape),
            lambda g: unbroadcast(g * self.data, other.data.shape),
        )
        return Tensor(self.data * other.data, (self, other), pulls)

    def __matmul__(self, other):  # (N, D) @ (D, E) -> (N, E)
        pulls = lambda g: g @ other.data.T, lambda g: self.data.T @ g
        return Tensor(self.data @ other.data, (self, other), pulls)

    # a function of each element alone: its local derivatives are one number for each
    # element
    def map(self, y, slope):
        return Tensor(y, (self,), (lambda g: g * slope,))

    def relu(self):
        return self.map(self.data.clamp(min=0), (self.data > 0).to(self.data.dtype))

    def tanh(self):
        return self.map(y := self.data.tanh(), 1 - y * y)

    def sigmoid(self):
        return self.map(y := self.data.sigmoid(), y * (1 - y))

    def backward(self):
        if self.data.numel() != 1:
            raise ValueError(
                "backward() starts from one number, not from shape "
                f"{tuple(self.data.shape)}; sum to a loss"
            )
        order = topological(self)
        # from here on as in Value.backward, with a function in the place of a number
        for node in order:
            node.grad = torch.zeros_like(node.data) if node.parents else node.grad
        self.grad = self.grad + 1
        for node in order:
            for parent, pull in zip(node.parents, node.pulls):
                parent.grad = parent.grad + pull(node.grad)


def softmax_cross_entropy(logits, labels):
    """Summed -log softmax(logits)[label] over the rows: logits Tensor (N, C), labels
    (N,) -> Tensor ().

    One operation, because together the two have a short gradient: softmax(logits) -
    one_hot(labels). Raises ValueError for labels outside 0..C-1.
    """
    N, C = logits.data.shape
    if not 0 <= int(labels.min()) <= int(labels.max()) < C:
        raise ValueError(
            f"labels are {int(labels.min())} to {int(labels.max())}, the "
            f"logits have classes 0 to {C - 1}; "
            "renumber the labels or widen the last layer"
        )
    # same softmax, and exp cannot overflow
    shifted = logits.data - logits.data.max(1, keepdim=True).values
    log_p = shifted - shifted.exp().sum(1, keepdim=True).log()
    one_hot = torch.zeros_like(log_p)
    one_hot[torch.arange(N), labels] = 1
    return Tensor(
        -(log_p * one_hot).sum(), (logits,), (lambda g: g * (log_p.exp() - one_hot),)
    )


def central_differences(f, x, step=1e-5):
    """d f / d x, x's shape, from two values of `f` for each element: (f(x + h) - f(x -
    h)) / 2h.

    `f` takes a tensor like `x` and returns one number. Compare in float64: with this
    step float32 keeps one or two digits, because the two values are almost equal.
    """
    flat, slopes = x.detach().clone().flatten(), []
    for i in range(len(flat)):
        there, back = flat.clone(), flat.clone()
        there[i], back[i] = flat[i] + step, flat[i] - step
        # the step after rounding
        slopes.append(
            (f(there.view_as(x)) - f(back.view_as(x))) / float(there[i] - back[i])
        )
    return torch.stack(
        [torch.as_tensor(slope, dtype=x.dtype) for slope in slopes]
    ).view_as(x)
