"""Wrong repairs of a backward pass that overwrites, and another right one."""


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


WRONG = [
    (snippet, "overwrites"),
    (adds_in_stack_order, "more than once"),
    (adds_and_visits_once, "before all its users"),
    (every_path, "along every path"),
    (root_not_set, "all gradients are 0"),
    (nothing_returned_that_helps, "return the root"),
    (local_alone, "local derivative 2 alone"),
]
