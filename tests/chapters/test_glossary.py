"""chapters/glossary.md: each term once, in order, with its Chinese, a sentence and a
chapter that exists.
"""

import re

import pytest
from stages import ROOT

GLOSSARY = ROOT / "chapters" / "glossary.md"


def faults(text):
    """What is wrong with a glossary, a sentence for each fault."""
    rows = [
        re.split(r"\s*\|\s*", line.strip().strip("|").strip())
        for line in text.splitlines()
        if line.startswith("| ")
    ][1:]
    found, terms = [], [row[0].casefold() for row in rows]
    found += [
        f"{term} stands there twice"
        for term in sorted(set(terms))
        if terms.count(term) > 1
    ]
    found += [f"{a} stands before {b}" for a, b in zip(terms, terms[1:]) if a > b]
    for row in rows:
        if len(row) != 4 or not all(row):
            found.append(f"{row[0]}: the row is not complete")
            continue
        term, chinese, sentence, chapter = row
        if not re.search(r"[\u4e00-\u9fff]", chinese):
            found.append(f"{term}: no Chinese")
        if (
            not (sentence[0].isupper() or sentence[0].isdigit())
            or not sentence.endswith(".")
            or ". " in sentence
        ):
            found.append(f"{term}: not one sentence")
        if not re.fullmatch(r"\d\d", chapter) or int(chapter) > 25:
            found.append(f"{term}: there is no chapter {chapter}")
    return (
        found
        if len(rows) >= 80
        else found + [f"{len(rows)} terms, and at least 80 are promised"]
    )


def test_glossary():
    assert faults(GLOSSARY.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "old, new, fault",
    [
        ("| attention mask |", "| attention |", "attention stands there twice"),
        ("| ablation |", "| zebra |", "zebra stands before"),
        ("消融实验", "", "ablation: the row is not complete"),
        ("消融实验", "ablation", "ablation: no Chinese"),
        (
            "of the gradient by the square",
            "of it. The square",
            "Adam: not one sentence",
        ),
        (
            "how much the result changes. | 06",
            "how much the result changes. | 26",
            "ablation: there is no chapter 26",
        ),
    ],
)
def test_each_planted_fault_is_found(old, new, fault):
    text = GLOSSARY.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    assert any(fault in found for found in faults(text.replace(old, new, 1)))


def test_too_short():
    assert (
        "at least 80"
        in faults("| term | Chinese | meaning | chapter |\n|---|---|---|---|\n")[-1]
    )
