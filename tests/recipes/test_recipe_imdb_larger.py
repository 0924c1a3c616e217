"""The larger encoder on the draws of imdb_push.py: its toy run continues and agrees
with its answers, and the stored file is of the same draws and reviews.
"""

import json
import sys

import imdb_larger as recipe
import pytest
import torch
import transformers
from stages import ROOT

from ftlib.course import hub
from ftlib.objectives import classify
from ftlib.training import optim

TOY = "--labels 20 --tokens 16 --tests 20 --epochs 1 --threads 1".split()
TOY += ["--model", "reviews-bert-mini"]
STORED = ROOT / "data/results/imdb_1000_mpnet.json"
BESIDE = ROOT / "data/results/imdb_1000_adapted.json"


def test_a_toy_run_continues_and_agrees_with_its_answers(tmp_path, monkeypatch):
    out, threads = tmp_path / "toy.json", torch.get_num_threads()

    def run(*words):
        line = ["recipes/imdb_larger.py", *TOY, "--out", str(out), *words]
        monkeypatch.setattr(sys, "argv", line)
        recipe.main()
        return json.loads(out.read_text(encoding="utf-8"))

    first = run("--draws", "1")
    assert run("--draws", "1") == first  # nothing is left to do
    both = run("--draws", "2")
    assert both["cells"][:2] == first["cells"]
    assert [c["step"] for c in both["cells"]] == [*recipe.STEPS, *recipe.STEPS]
    for cell in both["cells"]:
        answers = "".join(f"{int(digit, 16):04b}" for digit in cell["correct"])[:20]
        assert cell["accuracy"] == round(answers.count("1") / 20, 4)
    assert (both["labels"], both["tests"], both["data"]) == (20, 20, "imdb")
    for words, message in (
        (["--exam", "validation"], "imdb, validation"),
        (["--layer-decay", "0.9"], "--layer-decay 0.8, this run has 0.9"),
    ):
        with pytest.raises(SystemExit, match=message):
            run(*words)
    torch.set_num_threads(threads)


def test_mpnet_is_transformers_model_without_dropout(tmp_path, monkeypatch):
    """A small MPNet in the place of the published one: the same numbers as the class
    that transformers chooses, and a rate for each layer.
    """
    sizes = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
    config = transformers.MPNetConfig(vocab_size=50, intermediate_size=32, **sizes)
    transformers.MPNetModel(config).save_pretrained(tmp_path)
    monkeypatch.setattr(hub, "resolve", lambda name: tmp_path)
    monkeypatch.setattr(recipe.tokenization, "load", lambda folder: "a tokenizer")
    net, tokenizer = recipe.larger(recipe.MPNET)
    assert tokenizer == "a tokenizer" and net.pooler is None
    batch = classify.batches_of([[0, 7, 8, 2], [0, 9, 2]])
    (batch,) = [*batch]
    whole = transformers.AutoModel.from_pretrained(tmp_path, use_safetensors=True)
    wanted = whole.eval()(**classify.inputs_of(batch)).last_hidden_state
    read = net.train()(**classify.inputs_of(batch)).last_hidden_state  # no dropout
    here = batch["attention_mask"].bool()
    torch.testing.assert_close(read[here], wanted[here])
    # what fills a row up does not count, although the model pads with another id
    alone = net(torch.tensor([[0, 9, 2]])).last_hidden_state[0]
    torch.testing.assert_close(read[0, :3], alone)  # the shorter row comes first
    model = classify.Classifier(net, 2)
    groups = optim.parameter_groups(model, 1.0, layer_decay=0.5)
    rates = {group["lr"] for group in groups}
    assert rates == {1.0, 0.5, 0.25, 0.125}  # head, two layers, embeddings


def test_the_stored_file_has_the_draws_and_reviews_of_the_one_beside_it():
    stored, beside = (json.loads(p.read_text("utf-8")) for p in (STORED, BESIDE))
    assert stored["model"] == recipe.MPNET
    assert stored["data"] == beside["data"] == "imdb"
    for name in ("labels", "tokens", "tests"):
        assert stored[name] == beside[name]
    made = [(cell["seed"], cell["step"]) for cell in stored["cells"]]
    assert made == [(seed, step) for seed in range(5) for step in recipe.STEPS]
    for cell in stored["cells"]:
        answers = "".join(f"{int(digit, 16):04b}" for digit in cell["correct"])
        answers = answers[: stored["tests"]]
        share = answers.count("1") / stored["tests"]
        assert cell["accuracy"] == round(share, 4)
