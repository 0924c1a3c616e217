"""recipes/trust.py: a leak that is there and one that is not, misspellings, the plan,
and the program, which adds only what is missing.
"""

import json
import sys

import pytest
import torch
import trust as recipe

from ftlib.course import people


@pytest.fixture
def few_people(monkeypatch):
    """120 people of whom only noise is known: what a network learns, it remembers."""
    draw = torch.Generator().manual_seed(0)
    x, y = torch.rand(4160, 9, generator=draw), torch.arange(4160) % 2
    monkeypatch.setattr(
        people, "adult_matrices", lambda: (x, y, x[-160:] + 0.01, y[-160:])
    )


def test_overfitting_leaks_and_clipping_with_noise_does_not(few_people, monkeypatch):
    monkeypatch.setattr(recipe, "OVERFITTED", dict(batch=60, steps=1200, lr=1e-2))
    leak = recipe.overfitted_cell(120, 0, width=128)
    private = recipe.overfitted_cell(120, 0, width=128, epsilon=1.0)
    assert leak["auroc"] > 0.68 and leak["accuracy"][0] > 0.8
    assert private["auroc"] < 0.62 and private["noise"] > 1


def test_private_training_reports_noise_and_accuracies(few_people, monkeypatch):
    settings = dict(batch=20, steps=10, lr=0.5, max_norm=0.5)
    monkeypatch.setattr(recipe, "PRIVATE", {120: settings})
    none = recipe.dp_cell(120, float("inf"), 0)
    some = recipe.dp_cell(120, 2.0, 0)
    assert none["noise"] == 0 < some["noise"]
    for cell in (none, some):
        assert 0 <= min(cell["accuracy"]) and 0 < cell["auroc"] < 1


def test_rows_for_choosing_are_never_trained_on(few_people):
    x, _, _ = recipe.adult_rows(100, 3)
    all_x = people.adult_matrices()[0]
    chosen = {tuple(row) for row in all_x[-4000:].tolist()}
    assert not chosen & {tuple(row) for row in x.tolist()}


def test_counted_words_remember_their_sentences():
    def part(start):
        texts = [f"word{i} other{i} film" for i in range(start, start + 40)]
        return {"text": texts, "label": [i % 2 for i in range(40)]}

    cell = recipe.words_attack([part(0), part(100)])
    assert cell["auroc"] > 0.95 and cell["accuracy"][0] == 1


def test_misspelled_changes_as_many_words_as_it_should():
    text = "a wonderful film with many fine scenes"
    for budget in (1, 2):
        changed = recipe.misspelled(text, budget, seed=1)
        pairs = zip(text.split(), changed.split())
        assert sum(a != b for a, b in pairs) == budget
    assert recipe.misspelled("so it is", 2, 0) == "so it is"


def test_the_plan_has_every_cell_of_the_stored_file_once():
    plan = [
        (kind, name, seed)
        for kind, name, seed, _ in recipe.plan(recipe.KINDS, range(5))
    ]
    assert len(set(plan)) == len(plan)
    path = recipe.Path(__file__).parents[2] / "data" / "results" / "trust.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    made = [(c["kind"], c["name"], c["seed"]) for c in stored["cells"]]
    assert sorted(made) == sorted(plan)
    assert stored["dirty"] is False and stored["commit"]


def test_the_program_adds_only_what_is_missing(tmp_path, monkeypatch, capsys):
    out, made = tmp_path / "try.json", []

    def cell(seed):
        made.append(seed)
        return {"value": seed}

    monkeypatch.setattr(recipe, "KINDS", {"lira": (cell, 2)})
    command = ["trust.py", "--kinds", "lira", "--seeds", "0", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    recipe.main(recipe.arguments())
    recipe.main(recipe.arguments())
    assert made == [0]
    command[4:5] = ["0", "1"]
    monkeypatch.setattr(sys, "argv", command)
    recipe.main(recipe.arguments())
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    assert made == [0, 1] and [c["value"] for c in cells] == [0, 1]
