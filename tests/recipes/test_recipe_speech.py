"""recipes/speech.py: what learns from voices, what is shared, answers and features, and
the program, which adds only what is missing.
"""

import json

import pytest
import speech as recipe
import torch

from ftlib.course import speech
from ftlib.data import voices

speaks = pytest.mark.skipif(
    not voices.available(), reason="espeakng-loader, the extra `sound`"
)


@pytest.fixture
def data():
    """Ten kinds of noise, said by six voices: easy to tell apart."""
    draw = torch.Generator().manual_seed(0)
    words = torch.rand(10, 80, 100, generator=draw)

    def part(names):
        x = words.repeat(len(names), 1, 1)
        x = x + 0.02 * torch.rand(x.shape, generator=draw)
        samples = torch.rand(len(x), 16_000, generator=draw)
        label = torch.arange(10).repeat(len(names))
        voice = [name for name in names for _ in range(10)]
        return {"x": x, "samples": samples, "label": label, "voice": voice}

    return {"train": part("abcd"), "test": part("ef")}


def test_every_recogniser_learns_and_answers_one_digit_a_word(data, monkeypatch):
    small = recipe.SETTINGS | {"steps": 60, "voices": 3}
    monkeypatch.setattr(recipe, "SETTINGS", small)
    cells = {
        "ten pieces": recipe.logistic_cell(data, 0)["ten pieces"],
        "template": recipe.template_cell(data, 0),
        "scratch": recipe.scratch_cell(data, "plain", 0),
    }
    for name, cell in cells.items():
        assert set(cell["test"]) <= set("01") and len(cell["test"]) == 20, name
        assert cell["test"].count("1") >= 18, name
        assert "train" not in cell


def test_a_seed_draws_voices_and_not_words(data, monkeypatch):
    monkeypatch.setattr(recipe, "SETTINGS", recipe.SETTINGS | {"voices": 3})
    rows = recipe.drawn(data["train"], 0)
    kept = {v for v, r in zip(data["train"]["voice"], rows.tolist()) if r}
    assert len(kept) == 3 and int(rows.sum()) == 30
    assert torch.equal(rows, recipe.drawn(data["train"], 0))
    others = [recipe.drawn(data["train"], seed) for seed in range(1, 8)]
    assert any(not torch.equal(rows, other) for other in others)


def test_features_come_back(data, tmp_path, monkeypatch):
    for part in data.values():
        part["means"] = torch.randn(len(part["label"]), 512)
    path = tmp_path / "features.safetensors"
    recipe.store_features(data, path)
    monkeypatch.setattr(speech, "STORED", path)
    back = speech.stored_parts("features")["test"]
    torch.testing.assert_close(back["x"], data["test"]["means"], atol=0.03, rtol=0)
    assert torch.equal(back["label"], data["test"]["label"])
    assert back["voice"] == data["test"]["voice"]
    mels = speech.stored_parts("log_mel")["train"]
    assert mels["x"].shape == (40, 80, 100)
    pooled = torch.nn.functional.avg_pool1d(data["train"]["x"], 2)
    torch.testing.assert_close(mels["x"][:, :, ::2], pooled, atol=0.01, rtol=0)


def test_sentences_and_commands_are_made_once():
    cells = list(recipe.cells_of(["commands", "scratch"], [0, 1]))
    assert cells.count(("commands", "", 0)) == 1 and ("commands", "", 1) not in cells
    assert len(cells) == 1 + 2 * len(recipe.WAYS)


@speaks
def test_the_program_adds_only_what_is_missing(tmp_path, capsys):
    out = tmp_path / "speech.json"
    line = ["--kinds", "logistic", "--few", "1", "--seeds", "0", "--out", str(out)]
    recipe.main(line)
    assert "logistic" in capsys.readouterr().out
    (cell,) = json.loads(out.read_text(encoding="utf-8"))["cells"]
    assert len(cell["mean"]["test"]) == 10
    recipe.main(line)
    assert "logistic" not in capsys.readouterr().out


def test_the_stored_features_are_those_of_the_voices():
    parts = speech.stored_parts("features")
    for part in ("train", "test"):
        assert len(parts[part]["x"]) == 10 * len(set(parts[part]["voice"]))
    families = [
        {voices.family(v) for v in parts[p]["voice"]} for p in ("train", "test")
    ]
    assert not families[0] & families[1]
    assert torch.bincount(parts["people"]["label"]).min() >= 1
