"""What a program does with a file that another run has begun: it goes on with the same
settings, and refuses others by name.
"""

import argparse
import json
import sys

import domain_adaptation
import nsp
import outputs
import pytest
import scaling


def start(recipe, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", [f"{recipe.__name__}.py", *map(str, words)])
    return recipe.arguments()


SMALL = (
    "--steps 2 --every 1 --batch 4 --length 16 --warmup 1 --vocab 300 --width 16 "
    "--layers 1 --heads 2 --data zh_shop_reviews zh_shop_reviews"
).split()


def test_next_sentences_go_on_with_the_next_seed(tmp_path, monkeypatch, counted):
    out = tmp_path / "nsp.json"

    def run(*words):
        nsp.main(start(nsp, monkeypatch, *SMALL, "--out", out, *words))
        return json.loads(out.read_text(encoding="utf-8"))

    # what the loop of a seed needs, without its minutes
    monkeypatch.setattr(nsp, "corpus", lambda *a: (None, [[]], [[]]))
    monkeypatch.setattr(nsp, "make_batch", lambda *a: {})
    seen = []

    def one_run(loss_fn, seed, *_):
        seen.append(seed)
        return [[seed, seed]] * 4

    monkeypatch.setattr(nsp, "one_run", one_run)
    first = run("--seeds", 1)
    assert first["seeds"] == [0] and first["with"]["loss"] == [[0, 0]]
    second = run("--seeds", 3)
    assert seen == [0, 0, 1, 1, 2, 2] and second["seeds"] == [0, 1, 2]
    assert second["without"]["pairs"] == [[0, 0], [1, 1], [2, 2]]
    for option in ("lr", "mask_prob", "batch", "steps"):
        with pytest.raises(SystemExit, match=f"--{option} .*, this run has 7"):
            run("--seeds", 3, f"--{option}", 7)
        counted("fault")
    assert json.loads(out.read_text(encoding="utf-8")) == second
    with outputs.claim(out, file=True):
        outputs.HELD.clear()  # as in another process
        with pytest.raises(outputs.Taken):
            run("--seeds", 3)


def test_next_sentences_mask_what_the_option_says(monkeypatch):
    """The option and its use had different names once: the program died at once."""
    a = start(nsp, monkeypatch, *SMALL, "--mask_prob", 0.5)
    tokenizer, documents, _ = nsp.corpus(["rotten_tomatoes"], 300, 16)
    index = nsp.torch.arange(64)
    batch = nsp.make_batch(documents[0], index, 0, tokenizer, a, 0)
    assert 0.3 < float((batch["labels"] != -100).float().mean()) < 0.6


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"held_out": 56}, "--held-out 48, this run has 56"),
        ({"widths": [16, 80]}, r"\(80, 0\) too; give another --out"),
        ({"seeds": [0, 1]}, r"\(16, 1\) too; give another --out"),
    ],
)
def test_a_stored_prediction_is_of_its_own_runs(changed, words, counted):
    runs = [{"width": width, "seed": 0} for width in (16, 24, 32, 40)]
    result = {"runs": runs, "prediction": {"width": 48}}
    fits = dict(widths=[16, 24], seeds=[0], held_out=48, out="s.json")
    scaling.closed(result, argparse.Namespace(**fits))
    with pytest.raises(SystemExit, match=words):
        scaling.closed(result, argparse.Namespace(**{**fits, **changed}))
    counted("fault")


def test_too_few_widths_are_told_before_the_first_run(tmp_path, monkeypatch):
    words = ["scaling", "--widths", "16", "24", "32", "--out", str(tmp_path / "s.json")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match="--widths has 3 sizes; .* give 4 or more"):
        scaling.main()
    assert [*tmp_path.iterdir()] == []


def test_an_adapted_encoder_is_kept_by_its_steps(tmp_path, monkeypatch, counted):
    """A trial of 4 steps with another --out once replaced the encoder of 900."""
    recipe = domain_adaptation
    monkeypatch.chdir(tmp_path)
    assert recipe.folder_of("reviews:0", 4) != recipe.folder_of("reviews:0", 900)
    made = []

    def adapt(seed, steps, ctx):
        made.append(steps)
        config = recipe.transformer.Config(9, 8, 1, 1, 16, 8)
        record = {"arm": f"reviews:{seed}", "steps": steps}
        return recipe.transformer.Transformer(config), record

    monkeypatch.setattr(recipe, "adapt", adapt)
    for steps in (900, 4, 900, 4):
        record = recipe.adapted("reviews:0", steps, None)
        assert record == {"arm": "reviews:0", "steps": steps}
    assert made == [900, 4]
    out = tmp_path / "d.json"
    out.write_text(json.dumps({"cells": [], "adaptations": [record]}), encoding="utf-8")
    a = dict(out=out, adapt=["reviews:0"], score=["plain", "reviews:0"], steps=4)
    recipe.check_arms(argparse.Namespace(**a))
    with pytest.raises(SystemExit, match="--steps 4 for reviews:0, this run has 900"):
        recipe.check_arms(argparse.Namespace(**{**a, "steps": 900}))
    with pytest.raises(SystemExit, match="is not there; run --adapt reviews:1"):
        recipe.check_arms(argparse.Namespace(**{**a, "score": ["reviews:1"]}))
    counted("fault", 2)
