"""Syntax trees for tests that compare code: `from syntax import WithoutDocstrings`."""

import ast


class WithoutDocstrings(ast.NodeTransformer):
    """Drops the docstring of every function and class; a body that was only a docstring
    becomes `pass`.
    """

    def visit(self, node):
        self.generic_visit(node)
        if (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
        return node
