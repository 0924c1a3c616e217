"""The rules that every chapter keeps; prints one line for each place where one does
not.

    python tools/lint_notebooks.py chapters/*.ipynb

Each rule is a generator `rule(notebook, path)` of sentences (those about the inside of
cells are in cell_rules.py); tests/chapters/test_notebook_rules.py plants faults for
each.
"""

import ast
import base64
import io
import pathlib
import re
import sys

from markdown_it import MarkdownIt

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cell_rules  # noqa: E402
from notebooks import code_cells, code_lines, join, parse, read, source, tags  # noqa: E402

LIMITS = {
    "kilobytes": 500,
    "cell lines": 25,
    "class lines": 35,
    "folded lines": 60,
    "code cells in a row": 2,
    "words of a description": 5,
}
# the one picture that may come from elsewhere
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
PATHS = re.compile(
    r"(?<![\w.:/~<-])/(?:home|Users|root|tmp|work|var|usr|opt|mnt|srv|private|content)/[\w.-]+|\b[A-Z]:\\+\w+"
)
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
SECRETS = re.compile(
    "|".join(
        (
            r"hf_[A-Za-z0-9]{20,}",
            r"gh[pousr]_[A-Za-z0-9]{20,}",
            r"github_pat_\w{20,}",
            r"sk-[A-Za-z0-9_-]{20,}",
            r"AKIA[0-9A-Z]{16}",
            r"AIza[\w-]{30,}",
            r"xox[abps]-[\w-]{10,}",
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
            r"://[^/\s:@]+:[^/\s:@]+@",
            r"(?i:api_?key|passw(?:or)?d|secret)\s*[=:]\s*[\"'][^\"'\s]{8,}[\"']",
        )
    )
)
ACTIVE = re.compile(
    r"<\s*(?:script|iframe|object|embed|form|link|meta|base)\b|<[^>]+\son\w+\s*=|javascript\s*:|<img[^>]+src=[\"']?(?:https?:)?//",
    re.I,
)
MARKDOWN = MarkdownIt("commonmark")


def texts(cell):
    """Every piece of text a cell shows -> [(what it is, text)]; pictures are left out,
    their bytes are no text.
    """
    found = [("source", source(cell))]
    for output in cell.get("outputs", []):
        found.append(("output", join(output.get("text", ""))))
        found.append(("output", "\n".join(output.get("traceback", []))))
        found += [
            (kind, join(data))
            for kind, data in output.get("data", {}).items()
            if kind.startswith("text/") or kind == "image/svg+xml"
        ]
    return [(kind, text) for kind, text in found if text]


def everything(notebook):
    """(where, kind, text) of the whole notebook, the values of its widgets included."""
    for number, cell in enumerate(notebook["cells"]):
        for kind, text in texts(cell):
            yield f"cell {number}", kind, text
    for name, model in widget_state(notebook).items():
        for key, value in model.get("state", {}).items():
            if isinstance(value, str):
                yield f"widget {name[-6:]}", key, value


def widget_state(notebook):
    return (
        notebook.get("metadata", {}).get("widgets", {}).get(STATE, {}).get("state", {})
    )


def order(notebook, path):
    counts = [cell.get("execution_count") for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        first = next(i for i, count in enumerate(counts) if count != i + 1)
        yield (
            f"code cell {first + 1} has the run number {counts[first]}; run them in "
            "order (tools/run_notebook.py)"
        )


def errors(notebook, path):
    for number, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            if output["output_type"] == "error" and "raises-exception" not in tags(
                cell
            ):
                yield f"cell {number}: ends in {output.get('ename')}"


def described(notebook, path):
    for number, outputs, place in cell_rules.pictures_of(notebook):
        text, printed = cell_rules.caption_after(outputs, place)
        if printed:
            text = ""
        vector = join(outputs[place]["data"].get("image/svg+xml", ""))
        if "<title" in vector and "<desc" in vector:
            continue
        if len(text.split()) < LIMITS["words of a description"]:
            yield (
                f"cell {number}: a picture without a sentence beneath it; use "
                "show(fig, caption)"
            )
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            for alt, target in pictures(source(cell)):
                if len(alt.split()) < 2:
                    yield f"cell {number}: the picture {target} has no alt text"
                if (
                    not target.startswith(("http:", "https:", "data:"))
                    and not (pathlib.Path(path).parent / target).exists()
                ):
                    yield f"cell {number}: the picture {target} does not exist"


def pictures(text):
    """(alt, address) of each picture in a piece of markdown."""
    found = [
        (child.content, child.attrs["src"])
        for token in MARKDOWN.parse(text)
        for child in token.children or []
        if child.type == "image"
    ]
    for tag in re.findall(r"<img\b[^>]*>", text):
        alt = re.search(r"alt=[\"']([^\"']*)", tag)
        target = re.search(r"src=[\"']?([^\"'\s>]*)", tag)
        found.append((alt.group(1) if alt else "", target.group(1) if target else ""))
    return found


def drawn(notebook, path):
    for number, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                if not join(data.get("text/plain", "")).startswith("<figure,"):
                    yield (
                        f"cell {number}: a picture that show() did not make; show "
                        "checks that it is not empty"
                    )
                if blank(join(data["image/png"])):
                    yield f"cell {number}: an empty picture"


def blank(png):
    """Whether a picture (base64) has nothing in it but grey: an empty frame has black
    lines and a pale grid, a plot has a colour or covers some of the page."""
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    colors = picture.getcolors(maxcolors=2**24)
    pixels = picture.width * picture.height
    coloured = sum(
        count for count, (r, g, b) in colors if max(r, g, b) - min(r, g, b) > 20
    )
    background = max(count for count, _ in colors)
    return coloured < pixels * 2e-4 and background > 0.9 * pixels


def widgets(notebook, path):
    block = notebook.get("metadata", {}).get("widgets")
    if block is not None and "state" not in block.get(STATE, {}):
        yield (
            "metadata.widgets has no `state`; GitHub refuses such a notebook "
            "(tools/run_notebook.py writes it)"
        )
    state = widget_state(notebook)
    for number, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            model = output.get("data", {}).get(VIEW, {}).get("model_id")
            if model is not None and model not in state:
                yield f"cell {number}: shows a widget whose state is not stored"


def machine(notebook, path):
    for where, kind, text in everything(notebook):
        found = PATHS.search(text)
        # prose may name a folder of the reader's own machine; code and outputs may not
        # name one of ours
        if found and not (kind == "source" and is_markdown(notebook, where)):
            yield f"{where}: absolute path {found.group()!r} in its {kind}"
        if ADDRESS.search(text) and kind != "source":
            yield (
                f"{where}: a memory address in its {kind}, which differs from run to "
                "run"
            )


def is_markdown(notebook, where):
    return (
        where.startswith("cell ")
        and notebook["cells"][int(where.split()[1])]["cell_type"] == "markdown"
    )


def secrets(notebook, path):
    for where, kind, text in everything(notebook):
        if SECRETS.search(text):
            yield f"{where}: something that looks like a secret in its {kind}"


def active(notebook, path):
    for where, kind, text in everything(notebook):
        if kind == "source" and not is_markdown(notebook, where):
            continue  # code is shown, not interpreted
        # what stands in a code block or between backticks is shown too
        shown = (
            re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
            if kind == "source"
            else text
        )
        if kind in ("output", "text/plain"):
            continue
        found = ACTIVE.search(shown)
        if found:
            yield f"{where}: active content {found.group()!r}"
        if kind == "source":
            for _, target in pictures(shown):
                if target.startswith(("http:", "https:", "//")) and target != BADGE:
                    yield (
                        f"{where}: a picture from elsewhere ({target}); keep it in "
                        "chapters/figures"
                    )
    for number, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            for kind in output.get("data", {}):
                if (
                    "javascript" in kind
                    or kind == "application/pdf"
                    or (kind.startswith("application/vnd.") and kind != VIEW)
                ):
                    yield f"cell {number}: an output of type {kind}"


def headings(notebook, path):
    level, titles = 0, 0
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "markdown":
            continue
        for token in MARKDOWN.parse(source(cell)):
            if token.type == "heading_open":
                new = int(token.tag[1])
                titles += new == 1
                if new > level + 1:
                    yield (
                        f"cell {number}: a heading of level {new} after one of level "
                        f"{level}"
                    )
                if new == 1 and titles == 2:
                    yield f"cell {number}: a second title (level 1)"
                level = new
    if titles == 0:
        yield "no title (level 1)"


def sizes(notebook, path):
    kilobytes = pathlib.Path(path).stat().st_size / 1000
    if kilobytes > LIMITS["kilobytes"]:
        yield f"{kilobytes:.0f} kB, at most {LIMITS['kilobytes']}"
    run = 0
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            run = 0
            continue
        folded = bool(set(tags(cell)) & set(cell_rules.FOLDED))
        run += not folded  # a reader passes over what is folded
        if run == LIMITS["code cells in a row"] + 1:
            yield f"cell {number}: the third code cell in a row; put a sentence between"
        lines = len(code_lines(source(cell)))
        classes = any(
            isinstance(node, ast.ClassDef) for node in parse(source(cell)).body
        )
        limit = LIMITS[
            "folded lines" if folded else "class lines" if classes else "cell lines"
        ]
        if lines > limit:
            yield f"cell {number}: {lines} lines of code, at most {limit}"


RULES = (
    order,
    errors,
    described,
    drawn,
    widgets,
    machine,
    secrets,
    active,
    headings,
    sizes,
    *cell_rules.RULES,
)
# Rules that some chapters break still. Each chapter leaves the list of a rule when it
# keeps it, and a test compares the lists with what is found: they can only shrink.
COMING = {"sizes": "09"}


def coming(path):
    """The rules that the chapter at `path` is known to break -> names."""
    chapter = pathlib.Path(path).stem[:2]
    return {rule for rule, chapters in COMING.items() if chapter in chapters.split()}


def lint(path, rules=RULES):
    """Every finding of every rule about one notebook -> ["rule: sentence", ...]."""
    notebook = read(path)
    return [
        f"{rule.__name__}: {finding}"
        for rule in rules
        for finding in rule(notebook, path)
    ]


def main(paths):
    total, known = 0, 0
    for path in paths:
        expected = coming(path)
        for finding in lint(path):
            is_known = finding.split(":")[0] in expected
            known, total = known + is_known, total + (not is_known)
            mark = "(coming) " if is_known else ""
            print(f"{pathlib.Path(path).name}: {mark}{finding}")
    print(f"{len(paths)} notebooks, {total} findings, {known} known ones (coming)")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
