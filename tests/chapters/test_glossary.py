"""chapters/glossary.md: each term once, in order, with its Chinese, a sentence and the
chapter that has it.
"""

import json
import re

import pytest
from stages import ROOT

GLOSSARY = ROOT / "chapters" / "glossary.md"
# the field's name for what the chapter explains in other words
OTHER_WORDS = {
    "additive smoothing",
    "bounding box",
    "completeness",
    "dynamic masking",
    "dynamic quantization",
    "folding in (of a low-rank part)",
    "graceful shutdown",
    "group-wise quantization",
    "held-out data",
    "layer-wise learning rate decay",
    "plasticity",
    "self-supervised learning",
}


def rows_of(text):
    return [
        re.split(r"\s*\|\s*", line.strip().strip("|").strip())
        for line in text.splitlines()
        if line.startswith("| ")
    ][1:]


def words_missing(text):
    """{term: its words of which no form stands in the chapter that is named}."""
    chapters, missing = {}, {}
    for path in sorted((ROOT / "chapters").glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ("".join(cell["source"]) for cell in cells)
        chapters[path.name[:2]] = " ".join(sources).lower()
    for term, *_, chapter in rows_of(text):
        words = re.findall(r"[a-z0-9]+", re.sub(r"\(.*?\)", "", term).lower())
        words = set(words) - {"a", "and", "in", "of", "the", "to"}
        # forms of a word begin alike: normalization, normaliser
        said = {w for w in words if re.search(rf"\b{w[:5]}", chapters[chapter])}
        if words != said:
            missing[term] = words - said
    return missing


def faults(text):
    """What is wrong with a glossary, a sentence for each fault."""
    rows = rows_of(text)
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


def test_a_chapter_has_the_words_of_its_terms():
    text = GLOSSARY.read_text(encoding="utf-8")
    assert set(words_missing(text)) == OTHER_WORDS
    # the control: a term under a chapter that has been rewritten without it
    rows = dict((row[0], "| " + " | ".join(row) + " |") for row in rows_of(text))
    elsewhere = rows["hash"].replace("| 04 |", "| 00 |")
    planted = text.replace(rows["hash"], elsewhere)
    assert planted != text and words_missing(planted)["hash"] == {"hash"}


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
