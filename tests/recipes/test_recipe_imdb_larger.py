"""The larger encoder on the draws of imdb_push.py: its toy run continues and agrees
with its answers, and the stored file is of the same draws and reviews.
"""

import argparse
import json
import sys

import imdb_larger as recipe
import pytest
import torch
import transformers
from stages import ROOT

from ftlib.course import hub, sources
from ftlib.data import tables
from ftlib.objectives import classify
from ftlib.training import distributed, optim

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

    first, steps = run("--draws", "1"), recipe.steps
    monkeypatch.setattr(recipe, "steps", None)
    assert run("--draws", "1") == first  # nothing is left to do
    monkeypatch.setattr(recipe, "steps", steps)
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


@pytest.mark.parametrize("seed", [0, 3])
def test_the_steps_are_of_the_labels_of_their_draw(monkeypatch, seed):
    """The encoder and the words learn from the draw's labels and read the test; the
    second step is the mean of their log-probabilities.
    """
    splits, seen = sources.load("imdb"), []
    splits["test"] = tables.subset(splits["test"], 6)
    sizes = dict(labels=20, tokens=16, lr=1e-4, layer_decay=0.8, epochs=2)
    a = argparse.Namespace(**sizes, model="reviews-bert-mini", exam="test")
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(seed))
    words = torch.randn(6, 2).log_softmax(-1)

    def finetune(encoder, tokenizer, texts, labels, **how):
        seen.append((texts, labels))
        assert how["lr"] == 1e-4 and how["layer_decay"] == 0.8
        assert (how["epochs"], how["tokens"], how["head"]) == (2, 16, 8)
        return "a network", []

    def counted(texts, labels):
        seen.append((texts, labels))
        return "words"

    def log_probs(model, texts):
        assert model == "words" and texts == splits["test"]["text"]
        return words

    def predict(net, batches, dtype):
        index = torch.cat([batch["index"] for batch in batches])
        assert net == "a network" and sorted(index.tolist()) == list(range(6))
        return logits

    for name, fake in (("finetune", finetune), ("counted", counted)):
        monkeypatch.setattr(recipe, name, fake)
    monkeypatch.setattr(recipe, "log_probs", log_probs)
    monkeypatch.setattr(recipe.classify, "predict", predict)
    made = recipe.steps(a, splits, seed, distributed.setup(device="cpu"))
    draw = tables.subset(splits["train"], 20, seed)
    assert seen == [(draw["text"], draw["label"])] * 2
    read = logits.log_softmax(-1)
    assert list(made) == list(recipe.STEPS)
    torch.testing.assert_close(made["MPNet"], read)
    torch.testing.assert_close(made["with words"], (read + words) / 2)


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
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    rates = {name: rates[id(p)] for name, p in model.named_parameters()}
    for name, rate in rates.items():
        layer = name.partition("layer.")[2][:1]
        table = "head" in name or "relative_attention_bias" in name
        wanted = 1.0 if table else {"1": 0.5, "0": 0.25, "": 0.125}[layer]
        assert rate == wanted, name


def test_the_stored_file_is_whole_and_made_as_the_one_beside_it():
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
