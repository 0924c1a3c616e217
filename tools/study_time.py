"""How long a chapter takes to study, computed from the chapter itself.

Words are read at 200 a minute, lines of code at 10 a minute, and an exercise takes the
minutes that its box names. What the reader has not to read is not counted: outputs,
folded cells, and the hints and solutions in an exercise's fold. Sections headed
`## Deeper: ...` count as deeper, all others as core.

`line` makes the sentence of the opening cell, which measure_chapters.py writes.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import notebooks  # noqa: E402

WORDS, LINES = 200, 10  # a minute
ROUNDED = 5  # minutes
FOLDED = {"claims", "hide-input", "colab"}
HEADING = re.compile(r"^##\s+(.*)$", re.M)
EXERCISE = re.compile(r"\*\*Time\*\*\s+(\d+)\s*min")
FOLDS = re.compile(r"<details.*?</details>", re.S)
FENCED = re.compile(r"^```.*?^```", re.S | re.M)
WORD = re.compile(r"[^\W_](?:[\w'’-]*\w)?")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def words_of(text) -> int:
    """How many words of prose a markdown cell has; two Chinese characters are one."""
    text = FENCED.sub("", FOLDS.sub("", text))
    text = re.sub(r"\]\([^)]*\)|<[^>]+>", " ", text)  # addresses and HTML are not read
    characters = len(CHINESE.findall(text))
    return len(WORD.findall(CHINESE.sub(" ", text))) + (characters + 1) // 2


def lines_of(cell) -> int:
    """How many lines of code a cell has to read, in markdown the fenced ones."""
    if cell["cell_type"] == "code":
        folded = FOLDED & set(notebooks.tags(cell))
        return 0 if folded else len(notebooks.code_lines(notebooks.source(cell)))
    fences = FENCED.findall(FOLDS.sub("", notebooks.source(cell)))
    return sum(len(notebooks.code_lines(fence)) - 2 for fence in fences)


def minutes_of(cell) -> float:
    """Minutes for one cell."""
    minutes = lines_of(cell) / LINES
    if cell["cell_type"] == "markdown":
        text = notebooks.source(cell)
        minutes += words_of(text) / WORDS
        minutes += sum(int(number) for number in EXERCISE.findall(text))
    return minutes


def study(notebook) -> tuple[int, int]:
    """(core, deeper) minutes of a chapter, in steps of five; 0: there is no deeper."""
    minutes, deeper = {False: 0.0, True: 0.0}, False
    for place, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            titles = HEADING.findall(FENCED.sub("", notebooks.source(cell)))
            deeper = titles[-1].startswith("Deeper:") if titles else deeper
        if place:  # the opening holds the sentence itself, and is no study
            minutes[deeper] += minutes_of(cell)
    core, more = (ROUNDED * round(minutes[part] / ROUNDED) for part in (False, True))
    return max(ROUNDED, core), max(ROUNDED, more) if minutes[True] else 0


def line(notebook, run) -> str:
    """The sentence of the opening cell; `run` is what was measured: "1.3 min, 1.6 GB".

    It does not depend on what the opening says, so writing it twice changes nothing.
    """
    core, deeper = study(notebook)
    more = f" Deeper: ~{deeper} min more." if deeper else ""
    return f"Core: ~{core} min of study.{more} Runs in {run}"
