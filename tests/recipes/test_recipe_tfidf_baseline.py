"""The word-counting baseline: a small trial, cut texts, no learning from noise."""

import json

import pytest
import tfidf_baseline as recipe


def test_a_small_trial(tmp_path, monkeypatch, capsys):
    out = tmp_path / "try.json"
    words = ["recipe", "--sizes", "10", "100", "--tests", "100", "--seeds", "0"]
    monkeypatch.setattr("sys.argv", [*words, "--out", str(out)])
    recipe.main()
    result = json.loads(out.read_text(encoding="utf-8"))
    found = {(c["method"], c["n"]): c["accuracy"] for c in result["cells"]}
    assert set(found) == {(m, n) for m in (recipe.WHOLE, recipe.CUT) for n in (10, 100)}
    assert found[recipe.WHOLE, 100] > 0.55  # chance is 0.5
    capsys.readouterr()
    recipe.main()  # all cells are there
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("sys.argv", [*words, "--tokens", "32", "--out", str(out)])
    with pytest.raises(SystemExit, match="--tokens 64, this run has 32"):
        recipe.main()


def test_texts_are_cut_where_the_networks_stop_reading():
    short, long = "Good film.", "word " * 100
    first, second = recipe.beginnings([short, long], 12)
    assert first == short
    assert second.split() == ["word"] * 10  # [CLS] and [SEP] take two of the twelve


def test_it_learns_the_words_and_nothing_from_shuffled_labels(counted):
    texts = [f"{word} {i}" for i in range(20) for word in ("good", "bad")]
    labels = [1, 0] * 20
    train = {"text": texts, "label": labels}
    assert recipe.one_cell(train, train)["accuracy"] == 1.0
    test = {"text": ["good 77", "bad 78"] * 10, "label": [1, 0] * 10}
    assert recipe.one_cell(train, test)["accuracy"] == 1.0
    halves = {"text": texts, "label": [1, 0, 0, 1] * 10}  # the word says nothing
    assert recipe.one_cell(halves, test)["accuracy"] <= 0.75
    counted("fault")
