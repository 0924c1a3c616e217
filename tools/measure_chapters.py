"""Run each chapter, measure it, and write what was measured where readers look.

    python tools/measure_chapters.py                     # every chapter
    python tools/measure_chapters.py chapters/09_*.ipynb # some of them
    python tools/measure_chapters.py --write-only        # run nothing, write what
    measured.json holds

Minutes are wall-clock time from the start of the kernel to its end; gigabytes (10^9
bytes) are the peak of the kernel and its children. They go to chapters/measured.json,
to the line "Core: ~75 min of study. ... Runs in 1.3 min, 1.6 GB" of each opening cell
(the study time is computed: study_time.py), and to the table in README.md between the
marks `<!-- chapters:begin -->` and `<!-- chapters:end -->`. The Colab badges come
from the repository's address in pyproject.toml.
"""

import argparse
import json
import pathlib
import re
import sys
import tomllib

import nbformat

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import notebooks  # noqa: E402
import readme_tables  # noqa: E402
import run_notebook  # noqa: E402
import study_time  # noqa: E402

LIMITS = {"minutes": 3.0, "gigabytes": 2.0}
MEASURED = re.compile(r"(?:\*\*Measured\*\*:|Core: ~\d+ min of study\.).*")
# Chapters whose opening has no study time yet: --write-only writes all of them, and
# each that has it must leave this list
OLD_LINES = ""
BADGE = re.compile(
    r"\[!\[([^\]]*)\]\(https://colab\.research\.google\.com/assets/colab-badge\.svg\)\]\(([^)]*)\)"
)


def repository():
    """The one address of the repository, from pyproject.toml."""
    with open(notebooks.ROOT / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]["urls"]["Repository"].rstrip("/")


def badge_link(name):
    """Where Colab opens the chapter `name`."""
    return (
        repository().replace(
            "https://github.com/", "https://colab.research.google.com/github/"
        )
        + f"/blob/main/chapters/{name}.ipynb"
    )


def number(value):
    """One decimal, and none where it is zero: 2, 1.5, 0.1."""
    return f"{value:.1f}".removesuffix(".0")


def run_of(entry):
    """Time and memory as readers see them: 1.3 min, 1.6 GB."""
    return f"{number(entry['minutes'])} min, {number(entry['gigabytes'])} GB"


def old_line(entry):
    """What an opening cell says that has no study time yet."""
    return f"**Measured**: {run_of(entry)} on two CPU cores"


def measured_path():
    return notebooks.CHAPTERS / "measured.json"


def load():
    return (
        json.loads(measured_path().read_text(encoding="utf-8"))
        if measured_path().exists()
        else {}
    )


def opening_of(notebook, name, entry):
    """The opening cell's text with its line of times and its badge set right."""
    text = notebooks.source(notebook["cells"][0])
    text = BADGE.sub(
        lambda match: match.group().replace(
            f"]({match.group(2)})", f"]({badge_link(name)})"
        ),
        text,
    )
    line = study_time.line(notebook, run_of(entry))
    return (
        MEASURED.sub(lambda _: line, text)
        if MEASURED.search(text)
        else f"{text.rstrip()}\n\n{line}"
    )


def write(measured):
    """Put `measured` (name -> minutes, gigabytes) into measured.json, the opening cells
    and the README.
    """
    measured = {
        path.stem: measured[path.stem]
        for path in notebooks.chapters()
        if path.stem in measured
    }
    measured_path().write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    for path in notebooks.chapters():
        notebook = nbformat.read(path, as_version=4)
        if path.stem in measured:
            notebook.cells[0].source = opening_of(
                notebook, path.stem, measured[path.stem]
            )
            run_notebook.identify(notebook.cells)
            path.write_bytes(run_notebook.text_of(notebook))
    readme = notebooks.ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    table = readme_tables.chapter_table()
    text = readme_tables.replaced(text, "chapters", table, "README.md")
    readme.write_text(text, encoding="utf-8")


def times_missing(path, notebook, entry):
    """Where an opening cell does not say the study time and the measured run."""
    line = study_time.line(notebook, run_of(entry))
    says = MEASURED.findall(notebooks.source(notebook["cells"][0]))
    is_old = path.stem[:2] in OLD_LINES.split()
    if is_old and says == [line]:
        yield f"{path.stem}: says its study time now; take it off OLD_LINES"
    elif says != [old_line(entry) if is_old else line]:
        yield (
            f"{path.stem}: the opening cell does not say {line!r}; run "
            "tools/measure_chapters.py --write-only"
        )


def disagreements():
    """Where measured.json, the chapters and the README do not say the same, or a
    chapter is over its limits.
    """
    measured, found = load(), []
    for path in notebooks.chapters():
        entry, notebook = measured.get(path.stem), notebooks.read(path)
        opening = notebooks.source(notebook["cells"][0])
        if entry is None:
            found.append(
                f"{path.stem}: not in measured.json; run tools/measure_chapters.py"
            )
            continue
        found += times_missing(path, notebook, entry)
        if [link for _, link in BADGE.findall(opening)] != [badge_link(path.stem)]:
            found.append(
                f"{path.stem}: the opening cell needs one Colab badge, to "
                f"{badge_link(path.stem)}"
            )
        found += [
            f"{path.stem}: {entry[what]:.1f} {what}, at most {limit}"
            for what, limit in LIMITS.items()
            if entry[what] > limit
        ]
    found += [
        f"{name}: in measured.json and not in chapters"
        for name in set(measured) - {p.stem for p in notebooks.chapters()}
    ]
    text = (notebooks.ROOT / "README.md").read_text(encoding="utf-8")
    try:
        table = readme_tables.chapter_table()
        whole = readme_tables.replaced(text, "chapters", table, "README.md")
    except ValueError as error:
        return [*found, str(error)]
    if text != whole:
        remedy = "run tools/measure_chapters.py --write-only"
        found.append(
            f"README.md: the table of chapters is not the measured one; {remedy}"
        )
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", type=pathlib.Path)
    parser.add_argument("--write-only", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    fresh = {}
    for path in [] if options.write_only else options.paths or notebooks.chapters():
        run = run_notebook.execute(path)
        path.write_bytes(run_notebook.text_of(run_notebook.normalise(run.notebook)))
        # rounded up to one decimal: what is written is never less than what was needed
        entry = {
            "minutes": -(-run.seconds // 6) / 10,
            "gigabytes": -(-run.gigabytes * 10 // 1) / 10,
        }
        fresh[path.stem] = entry
        print(f"{path.name}: {run.seconds:.0f} s, {run.gigabytes:.2f} GB", flush=True)
    write(
        {**load(), **fresh}
    )  # read now: another process may have measured other chapters meanwhile
    for finding in disagreements():
        print(finding)
    return 1 if disagreements() else 0


if __name__ == "__main__":
    sys.exit(main())
