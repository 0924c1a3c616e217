"""The generated tables: chapters and rooms in README.md, files in ftlib/README.md.

    python tools/readme_tables.py            write each between its marks
    python tools/readme_tables.py --check    status 1 if a page holds another table

Study time, minutes and gigabytes come from the line in each chapter's opening cell. The
map comes from the first sentence of each file's docstring.
"""

import ast
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import notebooks  # noqa: E402

ROOT = notebooks.ROOT
ROOMS = (
    "data",
    "models",
    "objectives",
    "training",
    "evaluation",
    "deploy",
    "course",
)
STUDY = re.compile(
    r"Core: ~(?P<core>\d+) min of study\."
    r"(?: Deeper: ~(?P<deeper>\d+) min more\.)?"
    r" Runs in (?P<minutes>[\d.]+) min, (?P<gigabytes>[\d.]+) GB"
)
MEASURED = re.compile(r"Measured: (?P<minutes>[\d.]+) min, (?P<gigabytes>[\d.]+) GB")


def times(opening):
    """(study, run) of an opening cell, as the table shows them; "–" for none."""
    text = opening.replace("*", "")
    match = STUDY.search(text) or MEASURED.search(text)
    if match is None:
        return "–", "–"
    found = match.groupdict()
    study = found.get("core", "–")
    if found.get("deeper"):
        study += f" + {found['deeper']}"
    if study != "–":
        study += " min"
    return study, f"{found['minutes']} min, {found['gigabytes']} GB"


def title(opening):
    """The text of the opening cell's heading, without its number."""
    lines = opening.splitlines()
    heading = next((line for line in lines if line.startswith("# ")), "# ?")
    return re.sub(r"^\d+\s*[·.:-]\s*", "", heading[2:].strip())


def chapter_table():
    """One row a chapter: number, title, study time, run time and memory."""
    rows = ["| | Chapter | Study | Runs in |", "|---|---|---|---|"]
    for path in notebooks.chapters():
        opening = notebooks.source(notebooks.read(path)["cells"][0])
        study, run = times(opening)
        link = f"[{title(opening)}](chapters/{path.name})"
        rows.append(f"| {path.stem[:2]} | {link} | {study} | {run} |")
    return "\n".join(rows)


def summary(path):
    """The first sentence of a file's docstring; ValueError where there is none."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(
            f"{path} has no docstring; its first sentence is its row on the map"
        )
    paragraph = " ".join(text.split("\n\n")[0].split())  # the source breaks its lines
    sentence = re.split(r"(?<=\.) (?=[A-Z])", paragraph)[0]
    return sentence.replace("|", "\\|")


def members(room):
    """The files of a room of ftlib, and its packages, sorted by name."""
    folder = ROOT / "ftlib" / room
    files = [path for path in folder.glob("*.py") if path.stem != "__init__"]
    packages = [path.parent for path in folder.glob("*/__init__.py")]
    return sorted(files + packages, key=lambda path: path.stem)


def room_table():
    """The short map: a row a room."""
    rows = ["| Room | What it is for |", "|---|---|"]
    for room in ROOMS:
        about = summary(ROOT / "ftlib" / room / "__init__.py")
        rows.append(f"| [{room}](ftlib/{room}) | {about} |")
    return "\n".join(rows)


def file_table():
    """The long map: a row a file, with the first sentence of its docstring."""
    rows = ["| File | What it is |", "|---|---|"]
    for room in ROOMS:
        about = summary(ROOT / "ftlib" / room / "__init__.py")
        rows.append(f"| **{room}** | **{about}** |")
        for path in members(room):
            inside = path if path.suffix else path / "__init__.py"
            link = f"[{path.stem}]({room}/{path.name})"
            rows.append(f"| {link} | {summary(inside)} |")
    return "\n".join(rows)


# mark -> (page, what stands between the marks)
TABLES = {
    "chapters": ("README.md", chapter_table),
    "rooms": ("README.md", room_table),
    "files": ("ftlib/README.md", file_table),
}


def replaced(text, mark, table, page):
    """`text` with `table` between its marks. Raises ValueError where there are none."""
    begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
    if begin not in text or end not in text:
        raise ValueError(
            f"{page} lacks {begin} or {end}; put both where the table belongs"
        )
    head, rest = text.split(begin, 1)
    return f"{head}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}"


def pages():
    """{page: its text as it should be}."""
    wanted = {}
    for mark, (page, make) in TABLES.items():
        text = wanted.get(page) or (ROOT / page).read_text(encoding="utf-8")
        wanted[page] = replaced(text, mark, make(), page)
    return wanted


def main(arguments):
    status = 0
    for page, text in pages().items():
        if "--check" not in arguments:
            (ROOT / page).write_text(text, encoding="utf-8")
        elif (ROOT / page).read_text(encoding="utf-8") != text:
            print(f"{page} holds another table; run python tools/readme_tables.py")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
