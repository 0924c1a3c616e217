"""recipes/preferences.py: two judges from different reviews, pairs ordered by the
first, one small run of each method, and the program adds only what is missing.
"""

import json
import sys

import preferences as recipe
import pytest
import torch

from ftlib.course import sources
from ftlib.objectives import preference

SMALL = recipe.SETTINGS | {
    "new": 6,
    "group": 3,
    "prompts": 2,
    "pairs": 2,
    "pool": 4,
    "reviews": (60, 20),
}


@pytest.fixture(scope="module")
def whole():
    return {name: sources.load(name) for name in ("imdb", "rotten_tomatoes")}


def thinned(columns, every):
    return {name: column[::every] for name, column in columns.items()}


@pytest.fixture
def small(monkeypatch, whole):
    def load(name):
        parts = whole[name].items()
        return {part: thinned(rows, len(rows["text"]) // 80) for part, rows in parts}

    monkeypatch.setattr(recipe.sources, "load", load)
    monkeypatch.setattr(recipe, "SETTINGS", SMALL)
    return load("imdb")


def test_no_review_serves_both_judges(small):
    _, tokenizer = recipe.load_writer()
    # long ones: "I have seen it twice." stands in many reviews
    longer = SMALL | {"new": 20}
    first, second = recipe.own_passages(tokenizer, small["train"], longer)
    assert len(first[0]) > len(second[0]) > 20
    assert not set(first[0]) & set(second[0])
    assert {*first[1]} == {*second[1]} == {0, 1}


def test_pairs_are_ordered_by_the_judge_and_know_the_reference(small):
    model, tokenizer = recipe.load_writer()
    prompts = recipe.beginnings(tokenizer, small["validation"]["text"], 8)[:4]

    def judge(texts):
        return torch.tensor([float(text.count("e")) for text in texts])

    pairs = recipe.make_pairs(model, tokenizer, judge, prompts, SMALL, 0)
    assert pairs["input_ids"].shape == (4, 2, 14)
    assert (pairs["input_ids"][:, 0, :8] == prompts).all()
    for chosen, rejected in pairs["input_ids"]:
        better, worse = judge(
            recipe.written(tokenizer, torch.stack([chosen, rejected]), 8)
        )
        assert better >= worse
    assert preference.implicit_rewards(model, pairs).abs().max() < 1e-4


def test_the_program_adds_only_what_is_missing(small, tmp_path, monkeypatch, capsys):
    out = tmp_path / "preferences.json"
    line = ["preferences.py", "--out", str(out), "--tests", "4", "--seeds", "0"]
    monkeypatch.setattr(sys, "argv", [*line, "--at", "1", "2", "--betas", "0.1"])
    recipe.main(recipe.arguments())
    result = json.loads(out.read_text(encoding="utf-8"))
    cells = {cell["method"]: cell for cell in result["cells"]}
    assert set(cells) == {"baselines", *recipe.METHODS}
    for method in recipe.METHODS:
        curve = cells[method]["curve"]
        assert [point["steps"] for point in curve] == [1, 2]
        assert 0 < curve[0]["seconds"] <= curve[1]["seconds"]
        assert 0 < curve[1]["distinct in all"] <= 1 and len(cells[method]["texts"]) == 4
    best = [row["words"] for row in cells["baselines"]["best of"]]
    assert best == sorted(best) and best[-1] > best[0]
    assert "margin" in cells["dpo"]["curve"][0]
    assert len(result["probe"]["weights"]) == 384
    before = out.read_text(encoding="utf-8")
    capsys.readouterr()
    recipe.main(recipe.arguments())
    assert json.loads(out.read_text(encoding="utf-8"))["cells"] == result["cells"]
    assert (
        json.loads(before)["probe"] == result["probe"] and not capsys.readouterr().out
    )
