"""Reading chapters: their cells, their exercises, and the code a reader sees. Tests and
tools share this file.
"""

import ast
import dataclasses
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
DETAILS = re.compile(r"<details[^>]*>\s*<summary>(.*?)</summary>(.*?)</details>", re.S)
FENCE = re.compile(r"```python\n(.*?)```", re.S)


def chapters():
    """The notebooks of the course, in order."""
    return sorted(CHAPTERS.glob("[0-9][0-9]_*.ipynb"))


def read(path):
    """The notebook's JSON."""
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def join(text):
    """Notebook files hold text as a string or as a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def source(cell):
    return join(cell["source"])


def tags(cell):
    return cell.get("metadata", {}).get("tags", [])


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def parse(text):
    """The syntax tree of a cell; lines for IPython (`%pip`, `!ls`) become `pass`."""
    lines = [re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in text.splitlines()]
    return ast.parse("\n".join(lines))


def code_lines(text):
    """Lines that are neither blank nor comment."""
    return [
        line
        for line in text.splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]


def is_sketch(cell):
    return source(cell).lstrip().startswith("# sketch")


def is_exercise(cell):
    return cell["cell_type"] == "code" and "exercise" in tags(cell)


def definitions(notebook):
    """The whole functions and classes a chapter shows -> [(name, syntax tree)], without
    sketches and exercises.
    """
    return [
        (node.name, node)
        for cell in code_cells(notebook)
        if not is_sketch(cell) and not is_exercise(cell)
        for node in parse(source(cell)).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    ]


@dataclasses.dataclass
class Exercise:
    """One exercise of a chapter: what is asked, what is blank, and what the
    fold holds.
    """

    chapter: str
    task: str  # the markdown before the blank
    stub: str  # the code cell, without its last line
    name: str  # the function the reader writes
    check: str  # the checker that the last line calls
    outputs: str  # what the notebook stores beneath the blank
    folds: dict  # summary -> text

    @property
    def solution(self):
        fences = FENCE.findall(self.folds.get("Solution", ""))
        return fences[0] if len(fences) == 1 else None


def exercises(path):
    """The exercises of a notebook. Raises ValueError where the markup is not the agreed
    one.
    """
    cells, found = read(path)["cells"], []
    for number, cell in enumerate(cells):
        if not is_exercise(cell):
            continue
        where = f"{pathlib.Path(path).name}, cell {number}"
        last = parse(source(cell)).body[-1]
        call = (
            last.value
            if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)
            else None
        )
        if (
            call is None
            or not isinstance(call.func, ast.Name)
            or len(call.args) != 1
            or not isinstance(call.args[0], ast.Name)
        ):
            raise ValueError(f"{where}: an exercise cell ends with `check_name(name)`")
        before = source(cells[number - 1]) if number else ""
        after = source(cells[number + 1]) if number + 1 < len(cells) else ""
        found.append(
            Exercise(
                pathlib.Path(path).stem,
                before,
                "\n".join(source(cell).rstrip().splitlines()[: last.lineno - 1]),
                call.args[0].id,
                call.func.id,
                text_of(cell),
                {title.strip(): body for title, body in DETAILS.findall(after)},
            )
        )
    return found


def text_of(cell):
    """All the text a cell has put out."""
    parts = []
    for output in cell.get("outputs", []):
        parts.append(join(output.get("text", "")))
        parts.append(join(output.get("data", {}).get("text/plain", "")))
    return "\n".join(filter(None, parts))


def namespace(path):
    """What an exercise may lean on, without running the chapter: its imports, functions
    and literal constants.
    """
    names = {"__name__": "chapter"}
    for cell in code_cells(read(path)):
        if is_exercise(cell) or is_sketch(cell):
            continue
        for node in parse(source(cell)).body:
            if isinstance(
                node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
            ) or _literal(node):
                try:
                    exec(compile(ast.Module([node], []), str(path), "exec"), names)
                except NameError:
                    # a default argument made by a cell that was not run; no exercise
                    # can lean on it
                    continue
    return names


def _literal(node):
    try:
        return isinstance(node, ast.Assign) and (ast.literal_eval(node.value), True)[1]
    except (ValueError, TypeError):
        return False
