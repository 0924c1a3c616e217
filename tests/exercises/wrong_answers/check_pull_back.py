"""Wrong repairs of a backward pass that overwrites, and another right one."""

from collections import Counter


def _users_first(root):
    order, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for parent in node.parents:
                visit(parent)
            order.append(node)

    visit(root)
    return order[::-1]


def another(root):
    gradient = {root: 1.0}
    for node in _users_first(root):
        node.grad = gradient[node]
        for parent, local in zip(node.parents, node.local):
            gradient[parent] = gradient.get(parent, 0.0) + local * node.grad
    return root


def _stack(root, add, once=False):
    root.grad, stack, seen = 1.0, [root], set()
    while stack:
        node = stack.pop()
        if once and node in seen:
            continue
        seen.add(node)
        for parent, local in zip(node.parents, node.local):
            parent.grad = (parent.grad if add else 0.0) + local * node.grad
            stack.append(parent)
    return root


def snippet(root):
    return _stack(root, add=False)


def adds_in_stack_order(root):
    return _stack(root, add=True)


def adds_and_visits_once(root):
    return _stack(root, add=True, once=True)


def every_path(root):
    def send(node, gradient):
        node.grad += gradient
        for parent, local in zip(node.parents, node.local):
            send(parent, local * gradient)

    send(root, 1.0)
    return root


def root_not_set(root):
    for node in _users_first(root):
        for parent, local in zip(node.parents, node.local):
            parent.grad += local * node.grad
    return root


def nothing_returned_that_helps(root):
    another(root)
    return root.grad


def local_alone(root):
    root.grad = 1.0
    for node in _users_first(root):
        for parent, local in zip(node.parents, node.local):
            parent.grad += local
    return root


def a_leaf(root):
    another(root)
    return _users_first(root)[-1]


def only_above_zero(root):
    root.grad = 1.0
    for node in _users_first(root):
        if node.grad > 0:
            for parent, local in zip(node.parents, node.local):
                parent.grad += local * node.grad
    return root


def only_leaves(root):
    another(root)
    for node in _users_first(root)[1:]:
        if node.parents:
            node.grad = 0.0
    return root


def limited(root):
    another(root)
    for node in _users_first(root):
        node.grad = max(-8.0, min(node.grad, 8.0))
    return root


def by_waiting(root):
    """Kahn's: a node's turn is when its last user has passed on."""
    waiting = Counter(p for node in _users_first(root) for p in node.parents)
    root.grad, ready = 1, [root]
    while ready:
        node = ready.pop()
        for parent, local in zip(node.parents, node.local):
            parent.grad += local * node.grad
            waiting[parent] -= 1
            if not waiting[parent]:
                ready.append(parent)
    return root


def forwards(root):
    """One walk for each node: what 1 more of it does to the root."""
    nodes = _users_first(root)[::-1]
    for source in nodes:
        change = {}
        for node in nodes:
            change[node] = float(node is source) + sum(
                local * change[p] for p, local in zip(node.parents, node.local)
            )
        source.grad = change[root]
    return root


WRONG = [
    (snippet, "overwrites"),
    (adds_in_stack_order, "more than once"),
    (adds_and_visits_once, "before all its users"),
    (every_path, "along every path"),
    (root_not_set, "all gradients are 0"),
    (nothing_returned_that_helps, "return the root"),
    (local_alone, "local derivative 2 alone"),
    (only_above_zero, "negative"),
    (only_leaves, "with respect to node"),
    (limited, "is -8, expected"),
]

RIGHT = [by_waiting, forwards]
