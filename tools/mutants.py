"""Syntax-tree mutants of a Python text: the mistakes that a reader makes in an answer
and an engineer in a library, one at a time.

>>> for mutant in mutants("def half(x):\\n    return x / 2"):
...     print(mutant.label)
`x / 2` -> `x * 2`
`2` -> `3`
`2` -> `1`

A checker, or a test, that takes a mutant for the original does not look at what the
mutant changed. `spoiled` makes two more faults of a function that need no syntax: a
result cut off from its gradients, and an argument that is changed.

Needs: torch, numpy.
"""

import ast
import copy
import functools
import inspect
from typing import NamedTuple

import numpy as np
import torch


class Mutant(NamedTuple):
    """One changed text. `label` names the change and stays the same when lines move."""

    label: str
    source: str


COMPARED = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
OPERATED = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
WORDS = {"sum": "mean", "mean": "sum", "max": "min", "min": "max", "argmax": "argmin"}


def _changed(node, **fields):
    """A copy of `node` with other fields."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _of_compare(node):
    for i, op in enumerate(node.ops):
        for other in COMPARED[type(op)]:
            yield _changed(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])


def _of_binary(node):
    for other in OPERATED.get(type(node.op), ()):
        yield _changed(node, op=other())


def _of_boolean(node):
    yield _changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for i in range(len(node.values)):
        rest = node.values[:i] + node.values[i + 1 :]
        yield rest[0] if len(rest) == 1 else _changed(node, values=rest)


def _of_constant(node):
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
        yield ast.Constant(node.value - 1)
    elif isinstance(node.value, float) and 0 < node.value < 1e-4:
        # a small constant keeps a division finite; a little more would not show, and
        # what shows is that it is missing
        yield ast.Constant(0.0)
    elif isinstance(node.value, float):
        yield ast.Constant(node.value * 2 or 1.0)
    elif isinstance(node.value, str) and node.value in WORDS:
        yield ast.Constant(WORDS[node.value])


# a number is a number in a tensor too
CONVERSIONS = {"item", "tolist", "float"}


def _of_call(node):
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    to_python = name in CONVERSIONS and (name != "float" or bool(node.args))
    if not to_python and not any(isinstance(a, ast.Starred) for a in node.args):
        # dropped: what it was applied to stays
        method = isinstance(node.func, ast.Attribute)
        if method and not _is_module(node.func.value):
            yield node.func.value
        elif node.args:
            yield node.args[0]
        if len(node.args) > 1:
            yield _changed(node, args=[node.args[1], node.args[0], *node.args[2:]])
    if isinstance(node.func, ast.Attribute) and node.func.attr in WORDS:
        yield _changed(node, func=_changed(node.func, attr=WORDS[node.func.attr]))
    if isinstance(node.func, ast.Name) and node.func.id in WORDS:
        yield _changed(node, func=_changed(node.func, id=WORDS[node.func.id]))
    for i in range(len(node.keywords)):
        yield _changed(node, keywords=node.keywords[:i] + node.keywords[i + 1 :])


MODULES = {"torch", "F", "nn", "np", "math", "functional", "itertools", "random"}


def _is_module(node):
    """Whether `torch` or `torch.nn.functional` stands before the dot."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in MODULES


def _of_subscript(node):
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for i, part in enumerate(parts):
        if not isinstance(part, ast.Slice) or not (part.lower or part.upper):
            continue
        if part.lower and part.upper:
            wider = [_changed(part, lower=None), _changed(part, upper=None)]
        else:
            wider = [ast.Slice()]
        for new in wider:
            whole = [*parts[:i], new, *parts[i + 1 :]]
            inside = ast.Tuple(whole, ast.Load()) if len(whole) > 1 else new
            yield _changed(node, slice=inside)


def _of_unary(node):
    if isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
        yield node.operand


def _of_choice(node):
    yield _changed(node, test=ast.Constant(True))
    yield _changed(node, test=ast.Constant(False))


def _of_statement(node):
    yield ast.Pass()


def _of_comprehension(node):
    for i, each in enumerate(node.generators):
        for j in range(len(each.ifs)):
            fewer = _changed(each, ifs=each.ifs[:j] + each.ifs[j + 1 :])
            others = [*node.generators[:i], fewer, *node.generators[i + 1 :]]
            yield _changed(node, generators=others)


RULES = {
    ast.Compare: _of_compare,
    ast.BinOp: _of_binary,
    ast.BoolOp: _of_boolean,
    ast.Constant: _of_constant,
    ast.Call: _of_call,
    ast.Subscript: _of_subscript,
    ast.UnaryOp: _of_unary,
    ast.If: _of_choice,
    ast.IfExp: _of_choice,
    ast.AugAssign: _of_statement,
    ast.Delete: _of_statement,
    ast.Break: _of_statement,
    ast.Continue: _of_statement,
    ast.ListComp: _of_comprehension,
    ast.SetComp: _of_comprehension,
    ast.DictComp: _of_comprehension,
    ast.GeneratorExp: _of_comprehension,
}


def _new_nodes(node):
    """The nodes that may stand in the place of `node`."""
    yield from RULES.get(type(node), lambda _: ())(node)
    if isinstance(node, ast.AugAssign):
        for other in OPERATED.get(type(node.op), ()):
            yield _changed(node, op=other())
    # a call whose result nobody takes: a list that is appended to, an optimizer's step
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()


def _skipped(tree):
    """What no mutant changes: docstrings, annotations, messages of errors."""
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Assert)):
            skipped.update(ast.walk(node))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            skipped.update(ast.walk(node))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                skipped.update(ast.walk(decorator))
        elif isinstance(node, ast.Call) and _is_warning(node):
            skipped.update(ast.walk(node))
    return skipped


def _is_warning(node):
    name = node.func
    text = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")
    return text in {"warn", "print", "print0"}


def _short(node):
    """What a label says of a node: its text, of a statement with a body its head."""
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}"
    return " ".join(ast.unparse(node).split())


def unparsed(source):
    """The text as mutants are written, without comments and layout."""
    return ast.unparse(ast.parse(source))


def mutants(source):
    """Every Mutant of a text, in the order of its lines.

    Comments and layout are lost: a mutant is text made from a syntax tree. Raises
    SyntaxError if the text cannot be parsed.
    """
    seen, named = {}, []
    for label, text_of in candidates(source):
        if (text := text_of()) is not None:
            seen[label] = seen.get(label, 0) + 1
            again = f" ({seen[label]})" if seen[label] > 1 else ""
            named.append(Mutant(label + again, text))
    return named


def candidates(source):
    """[(label, text_of)] in the order of the lines: text_of() is the mutant's text, or
    None where it is no program. To write a text takes far longer than to
    find its place, so that a sample is drawn before.
    """
    tree = ast.parse(source)
    skipped = _skipped(tree)
    found = []
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            children = value if isinstance(value, list) else [value]
            for i, child in enumerate(children):
                if not isinstance(child, ast.AST) or child in skipped:
                    continue
                for new in _new_nodes(child):
                    label = f"`{_short(child)}` -> `{_short(new)}`"
                    how = (tree, parent, field, i, value, new)
                    text_of = functools.partial(_replaced, *how)
                    found.append((_place(child, parent), label, text_of))
    found.sort(key=lambda each: each[0])
    return [each[1:] for each in found]


def _place(child, parent):
    where = child if hasattr(child, "lineno") else parent
    return getattr(where, "lineno", 0), getattr(where, "col_offset", 0)


def _replaced(tree, parent, field, i, value, new):
    """The text of the tree with one child of `parent` replaced; None where Python does
    not take it.
    """
    before = value[i] if isinstance(value, list) else value
    try:
        _put(parent, field, i, new)
        text = ast.unparse(ast.fix_missing_locations(tree))
        compile(text, "<mutant>", "exec")
    except (SyntaxError, ValueError, AttributeError, TypeError):
        return None
    finally:
        _put(parent, field, i, before)
    return text


def _put(parent, field, i, node):
    value = getattr(parent, field)
    if isinstance(value, list):
        value[i] = node
    else:
        setattr(parent, field, node)


# --- faults of a function, not of its text


def _tensors(value):
    """The tensors in a value and in the containers that it is."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors(each)


def _mapped(value, change):
    """`value` with every tensor in it, and in the containers that it is, changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {k: _mapped(v, change) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        new = [_mapped(v, change) for v in value]
        named = hasattr(value, "_fields")
        return type(value)(*new) if named else type(value)(new)
    return value


def _change(value):
    """Change a tensor, array, list, dict or set in place -> whether it could."""
    if isinstance(value, torch.Tensor):
        with torch.no_grad():
            value.logical_not_() if value.dtype == torch.bool else value.add_(1)
    elif isinstance(value, list):
        value.append(value[-1] if value else None)
    elif isinstance(value, dict):
        value["changed"] = None
    elif isinstance(value, set):
        value.add("changed")
    elif type(value).__module__ == "numpy" and getattr(value, "ndim", 0):
        value += np.ones((), value.dtype)
    else:
        return False
    return True


class Detached:
    """`function` with a result that is cut off from its gradients. `differs` tells
    whether a call had gradients to lose.
    """

    label = "the result is detached"

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function
        self.differs = False

    def __call__(self, *args, **kwargs):
        if not self.differs:
            self.differs = self._has_gradients(*_mapped((args, kwargs), _with_gradient))
        return _mapped(self.function(*args, **kwargs), torch.Tensor.detach)

    def _has_gradients(self, args, kwargs):
        state = torch.get_rng_state()
        try:
            with torch.enable_grad():
                result = self.function(*args, **kwargs)
            return any(t.requires_grad for t in _tensors(result))
        except Exception:  # it does not take tensors that want a gradient
            return False
        finally:
            torch.set_rng_state(state)


def _with_gradient(tensor):
    if not tensor.is_floating_point():
        return tensor.clone()
    return tensor.detach().clone().requires_grad_()


class Changing:
    """`function` that changes one argument in place after the result is there.
    `differs` tells whether a call gave something that can be changed.
    """

    def __init__(self, function, name):
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.label = f"{name} is changed"
        self.differs = False

    def __call__(self, *args, **kwargs):
        given = inspect.signature(self.function).bind(*args, **kwargs).arguments
        value = given.get(self.name)
        result = self.function(*args, **kwargs)
        if inspect.isgenerator(result):
            result = iter(list(result))
        # a result that is the argument itself must stay what it was
        if not isinstance(value, torch.nn.Module):
            result = copy.deepcopy(result) if result is value else result
        self.differs |= _change(value)
        return result


def spoiled(function):
    """`function` with a detached result, and with each of its arguments changed."""
    names = inspect.signature(function).parameters
    return [Detached(function), *(Changing(function, name) for name in names)]
