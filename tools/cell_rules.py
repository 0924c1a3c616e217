"""Rules about what stands in a cell: numbers and no verdicts, folds, figures, style.

Each rule is a generator `rule(notebook, path)` of sentences, as in lint_notebooks.py,
which runs them all; tests/chapters/test_notebook_rules.py plants faults for each.

Tags and metadata that a chapter uses:

    colab       what Colab needs; folded, and nothing else in it
    setup       the visible set-up: imports and the seed
    claims      the checks of what a section's prose says; folded, at most one a section
    hide-input  drawing code too long to be read; folded
    booleans    True or False is what this cell teaches
    tolerance   metadata: {"relative", "absolute", "integers", "reason"} (numeric.py)

Folded means `jupyter.source_hidden` is true, `cellView` is "form", and the first line
is `# @title ...` (for claims: `# @title Checks of this section`).
"""

import ast
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import numeric  # noqa: E402
from notebooks import (  # noqa: E402
    code_lines,
    is_exercise,
    join,
    parse,
    source,
    tags,
    text_of,
)

FOLDED = ("claims", "hide-input", "colab")  # the only cells whose source may be folded
CLAIMS_TITLE = "# @title Checks of this section"
LIMITS = {"columns": 88, "drawing lines": 6, "set-up lines": 12, "caption words": 5}
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
VIEW = "application/vnd.jupyter.widget-view+json"
VERDICT = re.compile(r"\b(?:True|False)\b")
ARGUMENT = re.compile(r"\(.*\w=(?:True|False)\b")  # Config(tied=True) is a setting
JUDGES = {"bool", "all", "any", "equal", "allclose", "isclose", "array_equal"}
TRAINS = {"backward", "step", "steps", "fit", "train"}
DRAWS = {"ax", "axes", "fig", "plt", "plot"}


def numbered(notebook):
    """(number, cell, syntax tree) of each code cell."""
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            yield number, cell, parse(source(cell))


def is_folded(cell):
    data = cell.get("metadata", {})
    hidden = data.get("jupyter", {}).get("source_hidden") is True
    return hidden and data.get("cellView") == "form"


def name_of(call):
    """The last name of what is called: `equal` of torch.equal(a, b)."""
    function = call.func
    return getattr(function, "attr", getattr(function, "id", ""))


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


# --- numbers, not verdicts


def is_verdict(node):
    """Whether an expression is true or false, or a string made of such values."""
    if isinstance(node, ast.BoolOp):
        return any(map(is_verdict, node.values))
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not)
    if isinstance(node, ast.JoinedStr):
        parts = [part for part in node.values if isinstance(part, ast.FormattedValue)]
        return any(is_verdict(part.value) for part in parts)
    if isinstance(node, ast.Call):
        inner = isinstance(node.func, ast.Attribute) and name_of(node) == "item"
        return is_verdict(node.func.value) if inner else name_of(node) in JUDGES
    return isinstance(node, ast.Compare)


def verdicts(notebook, path):
    for number, cell, tree in numbered(notebook):
        if "booleans" in tags(cell):
            continue
        lines = text_of(cell).splitlines()
        shown = [x for x in lines if VERDICT.search(x) and not ARGUMENT.search(x)]
        if shown:
            yield f"cell {number}: a verdict is put out ({shown[0].strip()[:60]!r})"
        for call in calls(tree):
            if name_of(call) == "print" and any(map(is_verdict, call.args)):
                yield f"cell {number}: line {call.lineno} prints a verdict"
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr) and is_verdict(last.value):
            yield f"cell {number}: the last line shows a verdict; show the number"


# --- folded cells


def is_check(node):
    """Whether a statement checks, or prepares a check."""
    if isinstance(node, (ast.For, ast.With)):
        return all(map(is_check, node.body))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return "testing." in ast.unparse(node.value.func)
    return isinstance(node, (ast.Assert, ast.Assign, ast.Import, ast.ImportFrom))


def bare_asserts(tree):
    """Asserts that a cell runs itself, without those inside functions and classes."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Assert):
            yield node
        elif not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            yield from bare_asserts(node)


def sections(notebook):
    """The number of the section (heading of level 1 or 2) that each cell is in."""
    section, found = 0, []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            section += bool(re.search(r"^##?\s", source(cell), re.M))
        found.append(section)
    return found


def claims(notebook, path):
    section_of, seen = sections(notebook), set()
    for number, cell, tree in numbered(notebook):
        if "claims" not in tags(cell):
            open_cell = not is_exercise(cell) and "clinic" not in tags(cell)
            for node in bare_asserts(tree) if open_cell else ():
                yield (
                    f"cell {number}: a bare assert in line {node.lineno}; it belongs "
                    "in the section's claims cell, or is torch.testing.assert_close"
                )
            continue
        if not is_folded(cell) or source(cell).split("\n")[0].strip() != CLAIMS_TITLE:
            yield f"cell {number}: claims that are not folded under {CLAIMS_TITLE!r}"
        for node in tree.body:
            if not is_check(node):
                yield f"cell {number}: line {node.lineno} of the claims is no check"
        if cell.get("outputs") or any(name_of(call) == "print" for call in calls(tree)):
            yield f"cell {number}: claims put something out; they are silent"
        if section_of[number] in seen:
            yield f"cell {number}: a second claims cell in its section"
        seen.add(section_of[number])


def hide_input(notebook, path):
    for number, cell, tree in numbered(notebook):
        if "hide-input" not in tags(cell):
            continue
        if not is_folded(cell) or not source(cell).startswith("# @title "):
            yield f"cell {number}: tagged hide-input and not folded under a # @title"
        last = tree.body[-1] if tree.body else None
        shows = isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)
        shows = shows and name_of(last.value) in ("show", "display")
        if not shows and not isinstance(last, ast.FunctionDef):
            yield f"cell {number}: folded, and ends neither in show(...) nor in a def"
        if any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
            yield f"cell {number}: an assert in a folded drawing; put it in the claims"
        trained = sorted({name_of(call) for call in calls(tree)} & TRAINS)
        if trained:
            yield f"cell {number}: a folded drawing calls {trained[0]}(); show training"


def hidden(notebook, path):
    never = re.compile(r"hide[-_](?!input$)|remove[-_]|hide_input")
    for number, cell in enumerate(notebook["cells"]):
        data, own = cell.get("metadata", {}), tags(cell)
        jupyter = data.get("jupyter", {})
        folded = jupyter.get("source_hidden") or data.get("cellView") == "form"
        if folded and not set(own) & set(FOLDED):
            yield f"cell {number}: folded without one of the tags {', '.join(FOLDED)}"
        if (
            jupyter.get("outputs_hidden")
            or data.get("collapsed")
            or data.get("hide_input")
            or any(never.match(tag) for tag in own)
        ):
            yield f"cell {number}: hidden from the reader"


def setup(notebook, path):
    visible = []
    for number, cell, _ in numbered(notebook):
        text, own = source(cell), tags(cell)
        if "colab" in own and not (is_folded(cell) and text.startswith("# @title ")):
            yield f"cell {number}: tagged colab and not folded under a # @title"
        fetches = re.search(r"^\s*(?:!git clone|%pip|!pip)", text, re.M)
        if fetches and "colab" not in own:
            yield f"cell {number}: what Colab needs stands in its own cell (tag colab)"
        visible += [(number, text)] if "setup" in own else []
    for number, text in visible:
        lines, limit = len(code_lines(text)), LIMITS["set-up lines"]
        if lines > limit:
            yield f"cell {number}: {lines} lines of visible set-up, at most {limit}"


# --- figures


def caption_after(outputs, place):
    """The caption that follows the picture at `place` -> (text, whether program output
    stands in for it).
    """
    after = outputs[place + 1] if place + 1 < len(outputs) else {}
    if after.get("metadata", {}).get("ftlib", {}).get("caption") is True:
        return join(after.get("data", {}).get("text/plain", "")), False
    return join(after.get("text", "")) if after.get("name") == "stdout" else "", True


def pictures_of(notebook):
    """(number of the cell, its outputs, place) of each picture that a cell drew."""
    for number, cell in enumerate(notebook["cells"]):
        outputs = cell.get("outputs", [])
        for place, output in enumerate(outputs):
            if any(kind in output.get("data", {}) for kind in PICTURES):
                yield number, outputs, place


def captions(notebook, path):
    for number, outputs, place in pictures_of(notebook):
        output, (text, printed) = outputs[place], caption_after(outputs, place)
        if "image/png" in output["data"]:
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            if len(alt.split()) < LIMITS["caption words"]:
                yield f"cell {number}: a picture without alternative text; use show"
            # a diagram's alternative text describes it; its caption is its title
            drawn = "diagram" in output.get("metadata", {}).get("ftlib", {})
            if text and not printed and not drawn and text.split() != alt.split():
                yield f"cell {number}: the caption is not the alternative text"
        if printed and text:
            yield f"cell {number}: a caption as program output; run the cell again"


def still(notebook, path):
    for number, cell in enumerate(notebook["cells"]):
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            static = {*PICTURES, "text/html"} & set(data)
            bar = "it/s]" in join(data.get("text/plain", ""))  # tqdm's stands in a line
            if VIEW in data and not static and not bar:
                yield (
                    f"cell {number}: a widget without a still picture or table for "
                    "pages without a kernel; use plot.explore"
                )


def base_of(node):
    """The name that an expression starts with: `axes` of axes[0].plot."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def drawing_names(tree):
    """Names that hold a figure or axes in a cell."""
    found = set(DRAWS)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if name_of(node.value) in ("figure", "subplots"):
                names = ast.walk(ast.Tuple(node.targets, ast.Store()))
                found |= {name.id for name in names if isinstance(name, ast.Name)}
    return found


def drawing(notebook, path):
    for number, cell, tree in numbered(notebook):
        if is_folded(cell):
            continue
        names = drawing_names(tree)
        lines = {call.lineno for call in calls(tree) if base_of(call.func) in names}
        limit = LIMITS["drawing lines"]
        if len(lines) > limit:
            yield (
                f"cell {number}: {len(lines)} lines that draw, at most {limit}; use "
                "plot's helpers, or fold the cell (tag hide-input)"
            )


# --- the code's style


def shares_line(tree):
    """Statements that stand on the line of the statement before them."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, [])
            for first, second in zip(block, block[1:]) if type(block) is list else ():
                if first.end_lineno == second.lineno:
                    yield second


def private_names(tree):
    """Private names of other modules: imported, or reached through the module."""
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules |= {name.asname or name.name.split(".")[0] for name in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (name.name for name in node.names if is_private(name.name))
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if isinstance(node.value, ast.Name) and node.value.id in modules:
                yield ast.unparse(node)


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def style(notebook, path):
    trees = list(numbered(notebook))
    for number, cell, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Tuple):
                # the last line of a cell shows its value
                if node is not tree.body[-1] or calls(node):
                    yield f"cell {number}: a tuple as a statement (line {node.lineno})"
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
                yield f"cell {number}: a lambda with a name (line {node.lineno}); def"
        for node in shares_line(tree):
            yield f"cell {number}: two statements in line {node.lineno}"
        for place, line in enumerate(source(cell).split("\n"), 1):
            limit = LIMITS["columns"]
            if len(line) > limit and not line.lstrip().startswith(("%", "!")):
                yield f"cell {number}: line {place} is longer than {limit} columns"
    whole = ast.Module([node for _, _, tree in trees for node in tree.body], [])
    for name in private_names(whole):
        yield f"the private name {name} of another module"


def tolerance(notebook, path):
    for number, cell in enumerate(notebook["cells"]):
        try:
            numeric.Tolerance.of(cell.get("metadata", {}))
        except ValueError as error:
            yield f"cell {number}: {error}"


RULES = (
    verdicts,
    claims,
    hide_input,
    hidden,
    setup,
    captions,
    still,
    drawing,
    style,
    tolerance,
)
