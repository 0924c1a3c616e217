"""What no program can know about a project: eight questions, in a file that the reader
fills in and no run overwrites.

    >>> given = parse(blank("reviews"))
    >>> missing(given)[:2]
    ['purpose', 'not for']
    >>> given["purpose"] = (
    ...     "The shop sorts new reviews, and a person reads the bad ones."
    ... )
    >>> "purpose" in missing(given)
    False
"""

import re
from pathlib import Path

FILE = "ANSWERS.md"
LEAST = 15  # characters of an answer; 6 where they are Chinese
CARD = {
    "purpose": "What are the answers used for, and who uses them?",
    "not for": "What must the model not be used for?",
    "mistakes": "You have read the surest mistakes in report.html. What did you see?",
    "drift": "Who looks when rows have drifted, and what do they do?",
}
DATA = {
    "origin": "Where do the rows come from, when, and may they be used for this?",
    "labels": "Who gave the labels, with which instruction? How often do two agree?",
    "missing": "Which people or cases are missing?",
    "personal": "Is there anything personal in them, and how long may it be kept?",
}
QUESTIONS = CARD | DATA


def blank(name) -> str:
    """The file as it is handed to the reader."""
    lines = [f"# {name}: what only you can know", ""]
    lines += ["Write below each question. `python -m ftlib rubric FOLDER` reads it."]
    for question in QUESTIONS.values():
        lines += ["", f"## {question}", "", "..."]
    return "\n".join(lines) + "\n"


def parse(text) -> dict[str, str]:
    """{key: answer} of such a file, "" where there is none."""
    result = dict.fromkeys(QUESTIONS, "")
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        question, _, answer = part.partition("\n")
        for key, known in QUESTIONS.items():
            if question.strip() == known:
                result[key] = answer.strip().removeprefix("...").strip()
    return result


def read(folder) -> dict[str, str]:
    """The answers of a project's folder."""
    path = Path(folder) / FILE
    return parse(path.read_text(encoding="utf-8") if path.is_file() else "")


def missing(given) -> list[str]:
    """Keys without an answer: empty, too short to say anything, or one answer for
    several questions.
    """
    same = [answer.strip().lower() for answer in given.values()]
    return [
        key
        for key, answer in given.items()
        if len(answer) < (6 if re.search(r"[\u4e00-\u9fff]", answer) else LEAST)
        or same.count(answer.strip().lower()) > 1
    ]


def lines_of(given, questions) -> list[str]:
    """Question and answer for a card, also those that nobody has answered."""
    return [f"{q} {given.get(key) or 'NOT ANSWERED'}" for key, q in questions.items()]
