"""The Chinese three-class grid at toy size: what it stores can be scored again, a
second start adds only what is missing.
"""

import importlib.util
import json
import sys

import pytest
import torch
from stages import ROOT

from ftlib.course import sources
from ftlib.data import tables
from ftlib.evaluation import metrics

TOY = "--sizes 30 --tests 30 --seeds 0 --three 1 --steps 3".split()


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location(
        "sentiment_zh", ROOT / "recipes" / "sentiment_zh.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def start(recipe, tmp_path_factory):
    """`start(*words)` -> what the file holds after the program has run with these
    words.
    """
    out, threads = tmp_path_factory.mktemp("grid") / "toy.json", torch.get_num_threads()

    def run(*words, monkey=pytest.MonkeyPatch):
        with monkey.context() as patch:
            patch.setattr(
                sys, "argv", ["recipes/sentiment_zh.py", *words, "--out", str(out)]
            )
            patch.setenv("FTLIB_BF16", "0")
            recipe.main(recipe.arguments())
        torch.set_num_threads(threads)
        return json.loads(out.read_text(encoding="utf-8"))

    return run


def test_three_classes_are_held_out_and_short(recipe):
    train, test = recipe.three_classes("train"), recipe.three_classes("test")
    assert set(train["label"]) == set(test["label"]) == {0, 1, 2}
    assert {len(t) >= 10 and len(t) <= 60 for t in train["text"] + test["text"]} == {
        True
    }
    assert not set(train["text"]) & set(test["text"])
    odd = recipe.swapped()
    assert not {t for texts in odd.values() for t in texts} & set(train["text"])
    paper = set(
        sources.load("peoples_daily")["test"]["text"]
        + sources.load("peoples_daily")["validation"]["text"]
    )
    assert (
        set(odd["opinions in the newspaper"]) <= paper
        and not set(odd["lukewarm reviews"]) & paper
    )


def test_views_hold_no_word(recipe):
    text = "房间还可以，ＯＫ 3!"
    assert [recipe.VIEWS[v](text) for v in recipe.VIEWS] == [
        "字" * len(text),
        "，!",
        "字字字字字，ＯＫ 3!",
        text,
    ]


def test_the_grid_stores_answers_and_goes_on(start):
    first = start(*TOY)
    assert len(first["truth"]) == 30 and first["truth"].count("1") == 10
    assert {(c["method"], c["n"], c["seed"]) for c in first["cells"]} == {
        (m, 30, 0) for m in ("character n-grams", "scratch", "zh-bert-mini")
    }
    for cell in first["cells"]:
        answers = torch.tensor([int(a) for a in cell["answers"]])
        assert (
            0.1
            < metrics.accuracy(answers, torch.tensor([int(a) for a in first["truth"]]))
            <= 1
        )
        assert all(
            len(cell[name]) == number for name, number in first["swapped"].items()
        )
    assert len(first["three"]) == 2 and all(
        len(c["own"]) == 3 and len(c["answers"]) == 30 for c in first["three"]
    )
    assert [p["view"] for p in first["probes"]] == [
        "length",
        "punctuation",
        "shape",
        "whole text",
    ]
    assert all(p["low"] <= p["accuracy"] <= p["high"] for p in first["probes"])
    assert (first["commit"] is None or len(first["commit"]) == 40) and str(
        ROOT
    ) not in json.dumps({**first, "commands": []})
    again = start(*TOY)
    # nothing was run a second time
    assert again["cells"] == first["cells"] and again["three"] == first["three"]
    with pytest.raises(SystemExit, match="another --out"):
        start(*[*TOY[:-1], "4"])


def test_the_stored_grid_is_whole(recipe):
    stored = json.loads(
        (ROOT / "data" / "results" / "sentiment_zh.json").read_text(encoding="utf-8")
    )
    cells = {(c["method"], c["n"], c["seed"]): c for c in stored["cells"]}
    assert len(cells) == len(stored["cells"]) == 3 * 3 * 5
    assert stored["truth"] == recipe.digits(
        tables.subset(recipe.three_classes("test"), stored["settings"]["tests"])[
            "label"
        ]
    )
    assert {len(c["answers"]) for c in cells.values()} == {stored["settings"]["tests"]}
    odd = recipe.swapped()
    assert stored["swapped"] == {name: len(texts) for name, texts in odd.items()}
    # one cell made again: the counting model is quick, and depends on nothing but the
    # data
    few = tables.subset(recipe.three_classes("train"), 300, 1)
    answer = recipe.train("character n-grams", few, 1, 60, 16, None, 64)
    again, before = (
        recipe.digits(answer(odd["lukewarm reviews"])),
        cells["character n-grams", 300, 1]["lukewarm reviews"],
    )
    assert sum(a != b for a, b in zip(again, before)) <= 2
