"""Wrong orders for the backward pass, and another right one: Kahn's, which counts how
many users are still to come.
"""

from collections import Counter


def another(parents_of, root):
    reached, stack = {root}, [root]
    while stack:
        for parent in parents_of[stack.pop()]:
            if parent not in reached:
                reached.add(parent)
                stack.append(parent)
    waiting = Counter(parent for node in reached for parent in parents_of[node])
    order, ready = [], [root]
    while ready:
        node = ready.pop()
        order.append(node)
        for parent in parents_of[node]:
            waiting[parent] -= 1
            if waiting[parent] == 0:
                ready.append(parent)
    return order


def _finish(node, parents_of, order):
    if node not in order:
        for parent in parents_of[node]:
            _finish(parent, parents_of, order)
        order.append(node)
    return order


def forwards(parents_of, root):
    return _finish(root, parents_of, [])


def breadth_first(parents_of, root):
    order = [root]
    for node in order:
        order += [
            parent for parent in dict.fromkeys(parents_of[node]) if parent not in order
        ]
    return order


def with_repeats(parents_of, root):
    order = [root]
    for parent in parents_of[root]:
        order += with_repeats(parents_of, parent)
    return order


def everything(parents_of, root):
    order = []
    for node in parents_of:
        _finish(node, parents_of, order)
    return order[::-1]


def every_path(parents_of, root):
    def walk(node):
        path = []
        for parent in parents_of[node]:
            path += walk(parent)
        return path + [node]

    return list(dict.fromkeys(walk(root)))[::-1]


def without_leaves(parents_of, root):
    return [node for node in forwards(parents_of, root)[::-1] if parents_of[node]]


def root_somewhere(parents_of, root):
    order = forwards(parents_of, root)[::-1]
    return order[1:2] + order[:1] + order[2:]


def in_the_order_of_the_dict(parents_of, root):
    reached = set(another(parents_of, root))
    return [name for name in reversed(list(parents_of)) if name in reached]


def from_the_last_name(parents_of, root):
    names = [name for name in parents_of if name != "unused"]
    return another(parents_of, names[-1])


def preorder(parents_of, root):
    order = {}

    def visit(name):
        if name not in order:
            order[name] = True
            for parent in parents_of[name]:
                visit(parent)

    visit(root)
    return list(order)


def changes_the_graph(parents_of, root):
    order = another(parents_of, root)
    parents_of.clear()
    return order


def by_depth(parents_of, root):
    depth = {}

    def deep(name):
        if name not in depth:
            depth[name] = 1 + max(map(deep, parents_of[name]), default=0)
        return depth[name]

    deep(root)
    return tuple(sorted(depth, key=depth.get, reverse=True))


def lazily(parents_of, root):
    return reversed(forwards(parents_of, root))


WRONG = [
    (forwards, "runs forwards"),
    (breadth_first, "which uses it"),
    (with_repeats, "more than once"),
    (everything, "was not computed from it"),
    (every_path, "walks every path"),
    (without_leaves, "computed from a, b, w and x"),
    (root_somewhere, "the root comes first"),
    (in_the_order_of_the_dict, "a comes before d"),
    (from_the_last_name, "the root b the list has"),
    (preorder, "['c', 'a', 'x', 'b']"),
    (changes_the_graph, "changes parents_of"),
]

RIGHT = [by_depth, lazily]
