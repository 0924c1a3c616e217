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
    "--first_steps 2 --steps 2 --every 1 --batch 4 --length 16 --warmup 1 --vocab 300 "
    "--width 16 --layers 1 --heads 2 --labels 50 --epochs 1 --data rotten_tomatoes "
    "rotten_tomatoes"
).split()


def test_next_sentences_go_on_with_the_next_seed(tmp_path, monkeypatch, counted):
    out = tmp_path / "nsp.json"

    def run(*words):
        nsp.main(start(nsp, monkeypatch, *SMALL, "--out", out, *words))
        return json.loads(out.read_text(encoding="utf-8"))

    # the loop over seeds and arms, without its minutes
    seen = []

    def one_run(arm, weights, seed, *_):
        seen.append((seed, arm))
        return {"seed": seed, "arm": arm, "curve": [[0]]}

    monkeypatch.setattr(nsp, "one_run", one_run)
    monkeypatch.setattr(nsp, "first_weights", lambda *a: "weights")
    assert run("--seeds", 0)["seeds"] == [0]
    second = run("--seeds", 0, 1)
    every = [(seed, arm) for seed in (0, 1) for arm in ("with", "without")]
    assert seen == every and second["seeds"] == [0, 1]
    assert [(cell["seed"], cell["arm"]) for cell in second["cells"]] == every
    for option in ("lr", "mask_prob", "batch", "steps", "labels"):
        with pytest.raises(SystemExit, match=f"--{option} .*, this run has 7"):
            run("--seeds", 2, f"--{option}", 7)
        counted("fault")
    assert json.loads(out.read_text(encoding="utf-8")) == second and seen == every
    with outputs.claim(out, file=True):
        outputs.HELD.clear()  # as in another process
        claim = outputs.claim
        monkeypatch.setattr(
            outputs, "claim", lambda *a, **k: claim(*a, **{**k, "wait": 0})
        )
        with pytest.raises(outputs.Taken):
            run("--seeds", 2)


def small_corpus(monkeypatch, *words):
    a = start(nsp, monkeypatch, *SMALL, *words)
    return a, nsp.corpus(a.data, a)


def test_next_sentences_mask_what_the_option_says(monkeypatch):
    """The option and its use had different names once: the program died at once."""
    a, (tokenizer, read, *_) = small_corpus(monkeypatch, "--mask_prob", 0.5)
    batch = nsp.make_batch(read[0], nsp.torch.arange(64), 0, tokenizer, a, 0)
    assert 0.3 < float((batch["labels"] != -100).float().mean()) < 0.6


def test_pairs_are_what_their_label_says(monkeypatch):
    """Found again in the texts: B follows A, lies GAP behind it, stands before it."""
    a, (tokenizer, read, labelled, held_out) = small_corpus(monkeypatch)
    for part in (read, labelled, held_out):
        assert len(part[0]) == len(part[1]) > 0
    half = (a.length - 3) // 2
    marked = [list(range(1000 * i, 1000 * i + 60)) for i in range(80)]
    for task, apart in (
        ("next sentence", half),
        ("same text", half + nsp.GAP),
        ("order", half),
    ):
        pairs = nsp.task_pairs(task, [marked], tokenizer, a.length, 0)
        again = nsp.task_pairs(task, [marked], tokenizer, a.length, 0)
        assert nsp.torch.equal(pairs["input_ids"], again["input_ids"])
        ids, labels = pairs["input_ids"], pairs["next_sentence_label"]
        between = ids[:, half + 2] - ids[:, 1]
        assert len(labels) == 80 and 20 < int(labels.sum()) < 60
        assert (between[labels == 0] == apart).all()
        foreign = (ids[:, half + 2] // 1000 != ids[:, 1] // 1000)[labels == 1]
        assert (
            (between[labels == 1] == -half).all() if task == "order" else foreign.all()
        )
        kinds = pairs["token_type_ids"]
        assert (kinds[:, : half + 2] == 0).all() and (kinds[:, half + 2 :] == 1).all()


def test_shared_tokens_tell_what_a_threshold_can():
    """Pairs with label 0 share half of B's tokens, the others one or none."""
    kinds = nsp.torch.tensor([[0] * 4 + [1] * 5] * 4)
    rows = [
        [2, 5, 6, 3, 5, 6, 8, 9, 3],
        [2, 5, 6, 3, 7, 4, 8, 9, 3],
        [2, 5, 6, 3, 5, 6, 9, 9, 3],
        [2, 5, 6, 3, 5, 4, 8, 9, 3],
    ]
    labels = nsp.torch.tensor([0, 1, 0, 1])
    pairs = {
        "input_ids": nsp.torch.tensor(rows),
        "token_type_ids": kinds,
        "next_sentence_label": labels,
    }
    assert nsp.overlap(pairs).tolist() == [0.5, 0.0, 0.5, 0.25]
    assert nsp.by_overlap(pairs, pairs) == 1
    turned = {**pairs, "next_sentence_label": 1 - labels}
    assert nsp.by_overlap(pairs, turned) == 0


def test_arms_start_alike_and_tasks_leave_the_model_alone(monkeypatch):
    """A run of both arms with two steps each."""
    a, data = small_corpus(monkeypatch)
    tokenizer, read, _, held_out = data
    texts = [text for collection in read for text in collection]
    net = nsp.first_weights(texts, tokenizer, a, 0)
    before = {name: x.clone() for name, x in net.state_dict().items()}
    part = [nsp.make_batch(held_out[0], nsp.torch.arange(40), 0, tokenizer, a, 9)]
    cells = {arm: nsp.one_run(arm, net, 0, data, [part, part], a) for arm in nsp.ARMS}
    assert all(nsp.torch.equal(x, before[n]) for n, x in net.state_dict().items())
    one, other = (cell["curve"] for cell in cells.values())
    assert one[0] == other[0] and one[-1] != other[-1] and one[-1][0] == a.steps
    for cell in cells.values():
        assert cell["tasks"].keys() == set(nsp.TASKS)
        assert all(t["rate"] in nsp.RATES for t in cell["tasks"].values())


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
