"""recipes/assistant.py: the nearest command fills in what the sentence has, a share of
the templates keeps every kind of call, and the program adds only what is missing.
"""

import json
import sys

import assistant as recipe
import numpy as np
import pytest

from ftlib.course import commands
from ftlib.objectives import instruct

ROWS = [
    ("turn on the kitchen light", "TurnOn", {"area": "kitchen"}, "a"),
    ("turn on the hall light", "TurnOn", {"area": "hall"}, "a"),
    ("start the fan in the hall", "TurnOn", {"area": "hall"}, "b"),
    ("dim the lamp to 30", "Dim", {"level": "30", "name": "lamp"}, "c"),
    ("stop", "Stop", {}, "d"),
]
ROWS = [
    {
        "text": text,
        "call": instruct.call_text(intent, slots),
        "intent": intent,
        "values": slots,
        "template": template,
    }
    for text, intent, slots, template in ROWS
]


def test_the_nearest_command_takes_names_and_numbers_of_the_sentence():
    nearest = recipe.Nearest(ROWS)
    assert nearest.mask("dim the lamp to 7") == ("dim the @name to #", ["lamp", "7"])
    answers = nearest(["turn on the light of the hall", "please stop", "dim lamp to 8"])
    assert answers[0] == "{intent: TurnOn, area: hall}"
    assert answers[1] == "{intent: Stop}"
    assert answers[2] == "{intent: Dim, level: 8, name: lamp}"
    assert np.argmax(nearest.doubt(None, None)) >= 0
    assert nearest(["stop"]) == ["{intent: Stop}"]
    assert nearest.doubt(None, None)[0] == pytest.approx(0, abs=1e-6)


def test_a_name_fills_the_slot_of_its_kind_wherever_it_stands():
    rows = [
        ("timer named pizza for 5 minutes", {"minutes": "5", "name": "pizza"}),
        ("timer named tea for 3 minutes", {"minutes": "3", "name": "tea"}),
        ("volume down by 20 in the hall", {"area": "hall", "step": "-20"}),
    ]
    rows = [
        ROWS[0] | {"text": t, "values": v, "call": instruct.call_text("Do", v)}
        for t, v in rows
    ] + [ROWS[4]]
    for way in (recipe.Nearest(rows), recipe.Linear(rows)):
        answers = way(["timer for 9 minutes named tea", "hall volume down by 7"])
        assert answers[0] == "{intent: Do, minutes: 9, name: tea}"
        assert answers[1] == "{intent: Do, area: hall, step: -7}"
        assert len(way.doubt(None, None)) == 2


def test_a_share_of_the_templates_keeps_every_kind_of_call():
    for seed in range(5):
        kept = recipe.drawn(ROWS, 0.25, seed)
        assert {row["intent"] for row in kept} == {"TurnOn", "Dim", "Stop"}
        assert len(kept) < len(ROWS)
    assert recipe.drawn(ROWS, 1.0, 0) == ROWS


def test_exact_means_the_whole_call():
    answers = [ROWS[0]["call"], ROWS[0]["call"]]
    assert recipe.exact(answers, ROWS) == "10"
    assert recipe.share_of("1101") == 0.75


@pytest.fixture
def small(monkeypatch):
    """Two languages with few commands, and two steps of training."""
    whole = {language: commands.load(language) for language in recipe.LANGUAGES}

    def load(language):
        return {p: rows[:: len(rows) // 25] for p, rows in whole[language].items()}

    monkeypatch.setattr(recipe.commands, "load", load)
    monkeypatch.setattr(recipe, "SETTINGS", {"lr": 1e-3, "steps": 2, "size": 4})


def test_the_program_adds_only_what_is_missing(small, tmp_path, monkeypatch, capsys):
    out, folder = tmp_path / "assistant.json", tmp_path / "saved"
    line = ["assistant.py", "--out", str(out), "--tests", "3", "--seeds", "0"]
    line += ["--shares", "1.0", "--save", str(folder)]
    monkeypatch.setattr(sys, "argv", [*line, "--methods", "tf-idf", "pretrained"])
    recipe.main(recipe.arguments())
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    assert {cell["method"] for cell in cells} == {"tf-idf", "pretrained"}
    cell = next(cell for cell in cells if cell["method"] == "pretrained")
    for language in recipe.LANGUAGES:
        # untrained, it copies whole sentences, and some answers are cut at 60 tokens
        own = cell[language]
        assert own["constrained valid"] > own["free valid"] == 0
        assert len(cell[language]["test"]) == len(cell[language]["test doubt"]) == 3
    assert (folder / "model.safetensors").is_file()
    before = out.read_text(encoding="utf-8")
    capsys.readouterr()
    recipe.main(recipe.arguments())
    assert out.read_text(encoding="utf-8") == before and not capsys.readouterr().out
