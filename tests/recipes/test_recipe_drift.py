"""recipes/drift.py: the memory and the draws, an update that forgets and one that does
not, and the plan of the stored file.
"""

import json

import drift as recipe
import numpy
import pytest


def part(n, shift, seed):
    """n texts whose label is the sign of column `shift`."""
    rng = numpy.random.default_rng(seed)
    vectors = 0.05 * rng.normal(size=(n, 384))
    vectors[:, shift] = rng.normal(size=n)
    label = (vectors[:, shift] > 0).astype(int)
    words = ["fine" if y else "dull" for y in label]
    return {
        "text": [f"{w} {'new' if shift else 'old'} {i}" for i, w in enumerate(words)],
        "label": label.tolist(),
        "vectors": vectors,
        "tokens": [3] * n,
    }


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setattr(recipe, "NEW", 120)
    monkeypatch.setattr(recipe, "KEPT", 120)
    monkeypatch.setattr(recipe, "CS", (0.1, 1.0))
    keys = list(recipe.SIZES)
    return {k: part(300, int(k[0] == "zh"), i) for i, k in enumerate(keys)}


def test_new_data_alone_forgets_and_replay_does_not(data):
    alone = recipe.update_cell(data, "new data alone", 0)
    replay = recipe.update_cell(data, "with replay", 0)
    assert alone["rows"] == 120 and replay["rows"] == 240
    assert alone["accuracy"][0] < 0.6 < 0.7 < replay["accuracy"][0]
    assert min(alone["accuracy"][1], replay["accuracy"][1]) > 0.8
    assert len(replay["weight"]) == 384 and replay["C"] in (0.1, 1.0)


def test_a_seed_draws_the_same_rows_again(data):
    cells = [recipe.update_cell(data, "with replay", seed) for seed in (0, 0, 1)]
    assert cells[0] == cells[1] != cells[2]


def test_counted_characters_read_the_texts(data):
    cell = recipe.update_cell(data, "counted characters", 0)
    assert min(cell["accuracy"]) > 0.9 and "weight" not in cell


def test_scores_are_of_the_stored_head(data, monkeypatch):
    weight = numpy.zeros(384)
    weight[0] = 2
    monkeypatch.setattr(recipe, "stored_head", lambda: (weight, 0.5))
    scores = recipe.scores_cell(data)["scores"]
    wanted = 2 * data["en", "test"]["vectors"][:, 0] + 0.5
    assert numpy.allclose(scores["test"]["odds"], wanted, atol=1e-3)
    far = numpy.mean(scores["new"]["distance"]), numpy.mean(scores["test"]["distance"])
    assert all(0 <= v <= 2 for v in far)


def test_the_plan_has_every_cell_of_the_stored_file_once():
    plan = list(recipe.plan(range(5)))
    assert len(set(plan)) == len(plan)
    stored = json.loads(
        (recipe.Path(__file__).parents[2] / recipe.OUT).read_text("utf-8")
    )
    made = [(c["kind"], c["name"], c["seed"]) for c in stored["cells"]]
    assert sorted(made) == sorted(plan)
