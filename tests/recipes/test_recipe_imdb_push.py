"""IMDb with few labels, step by step: the students learn what they should from a
teacher, and at toy size the stored steps are those that the file's answers give.
"""

import argparse
import json
import sys
from pathlib import Path

import imdb_push as recipe
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from ftlib.course import sources
from ftlib.data import tables

TOY = "--labels 20 --tokens 16 --pool 30 --sure 10 --tests 20 --draws 1".split()


@pytest.fixture(scope="module")
def columns():
    return tables.subset(sources.load("rotten_tomatoes")["train"], 300)


def test_a_sure_teacher_is_as_good_as_labels(columns):
    """Probabilities of 1 and 0 are labels, so the student is the plain model of all."""
    texts, labels = columns["text"], columns["label"]
    teacher = F.one_hot(torch.tensor(labels[100:]), 2).float()
    student = recipe.taught(texts[:100], labels[:100], texts[100:], teacher)
    plain = recipe.words().fit(texts, labels)
    new = sources.load("rotten_tomatoes")["test"]["text"][:50]
    wanted = recipe.log_probs(plain, new)
    torch.testing.assert_close(student(new), wanted, atol=2e-3, rtol=0)


def test_a_teacher_who_does_not_know_teaches_nothing(columns):
    texts, labels = columns["text"], columns["label"]
    teacher = torch.full((200, 2), 0.5)
    student = recipe.taught(texts[:100], labels[:100], texts[100:], teacher)
    sure = F.one_hot(torch.tensor(labels[100:]), 2).float()
    taught = recipe.taught(texts[:100], labels[:100], texts[100:], sure)
    new = texts[100:]  # a sure teacher's student has learned these
    half, whole = (
        (model(new).argmax(-1) == torch.tensor(labels[100:])).float().mean()
        for model in (student, taught)
    )
    assert half < 0.75 and whole > 0.95


def test_confident_rows_are_the_surest_and_balanced():
    positive = torch.tensor([0.9, 0.8, 0.7, 0.95, 0.6, 0.1, 0.3])
    teacher = torch.stack([1 - positive, positive], -1)
    assert sorted(recipe.confident(teacher, 4)) == [0, 3, 5, 6]
    # only two are of class 0, so six cannot be had without preferring class 1
    assert len(recipe.confident(teacher, 6)) == 4
    assert recipe.confident(teacher[:5], 4) == []


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("push")
    words = [*TOY, "--work", str(folder / "work"), "--out", str(folder / "toy.json")]
    more = ["--exam", "validation", "--out", str(folder / "develop.json")]
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLIB_BF16", "0")
        patch.setattr(sys, "argv", ["recipes/imdb_push.py", *words])
        recipe.main()
        first = (folder / "toy.json").read_text(encoding="utf-8")
        recipe.main()  # nothing is left to do
        sys.argv = ["recipes/imdb_push.py", *words, *more[:2]]
        with pytest.raises(SystemExit, match="imdb, validation; give another --out"):
            recipe.main()
        sys.argv += more[2:]
        recipe.main()
    torch.set_num_threads(threads)
    assert (folder / "toy.json").read_text(encoding="utf-8") == first
    kept = {
        exam: {
            p.stem: load_file(p) for p in folder.glob(f"work/*-{exam}/*.safetensors")
        }
        for exam in ("test", "validation")
    }
    develop = json.loads((folder / "develop.json").read_text(encoding="utf-8"))
    return json.loads(first), kept["test"], develop, kept["validation"]


def test_every_step_is_stored_and_agrees_with_its_answers(stored):
    result = stored[0]
    assert [cell["step"] for cell in result["cells"]] == list(recipe.STEPS)
    for cell in result["cells"]:
        answers = "".join(f"{int(digit, 16):04b}" for digit in cell["correct"])[:20]
        assert cell["accuracy"] == round(answers.count("1") / 20, 4)
    assert result["tests"] == 20 and result["labels"] == 20


def test_the_rate_is_the_one_with_the_lowest_loss(stored):
    result, kept = stored[:2]
    losses = kept["rate"]["losses"].tolist()
    assert len(losses) == len(recipe.RATES)
    last = result["cells"][-1]
    assert last["lr"] == recipe.RATES[losses.index(min(losses))]
    assert last["C"] in recipe.STRENGTHS and 0 <= last["pool correct"] <= 1


def test_the_kept_steps_are_the_stored_ones(stored):
    result, kept = stored[:2]
    truth = torch.tensor(tables.subset(sources.load("imdb")["test"], 20)["label"])
    for step, predicted in (
        ("MiniLM", kept["minilm"]["cut"]),
        ("two windows", kept["minilm"]["windows"]),
        ("MiniLM, student", kept["student-10"]["windows"]),
    ):
        (cell,) = [c for c in result["cells"] if c["step"] == step]
        accuracy = (predicted.argmax(-1) == truth).double().mean()
        assert cell["accuracy"] == round(float(accuracy), 4)
    assert kept["minilm"]["pool"].shape == (30, 2)


def test_words_of_words_know_nothing_of_minilm(monkeypatch):
    """A MiniLM that is surely wrong about the pool misleads the words' student, and
    leaves the control alone.
    """
    splits = sources.load("rotten_tomatoes")
    sizes = dict(labels=100, pool=300, tokens=16, sure=20, exam="test", adapter=None)
    a = argparse.Namespace(**sizes, work=Path("unused"))
    draw = recipe.Draw(a, splits, 0, None)
    draw.test = draw.pool  # what the student has learned by heart
    wrong = F.one_hot(1 - torch.tensor(draw.pool["label"]), 2) * 40.0 - 40.0
    anything = torch.zeros(300, 2)
    made = {
        "rate": {"losses": torch.zeros(len(recipe.RATES))},
        "minilm": {"cut": anything, "windows": anything, "pool": wrong},
        "student-20": {"windows": anything},
    }
    monkeypatch.setattr(draw, "kept", lambda name, make: made[name])
    found, _ = draw.steps()
    truth = torch.tensor(draw.test["label"])
    right = {k: (found[k].argmax(-1) == truth).double().mean() for k in recipe.STEPS}
    assert right["words, student"] < 0.3 and right["words of words"] > 0.5
    assert abs(right["words of words"] - right["words"]) < 0.1


def test_development_is_judged_by_the_validation_reviews(stored):
    _, _, result, kept = stored
    truth = torch.tensor(tables.subset(sources.load("imdb")["validation"], 20)["label"])
    (cell,) = [c for c in result["cells"] if c["step"] == "MiniLM"]
    accuracy = (kept["minilm"]["cut"].argmax(-1) == truth).double().mean()
    assert cell["accuracy"] == round(float(accuracy), 4)
    assert (kept["minilm"]["cut"] - stored[1]["minilm"]["cut"]).abs().max() > 0.001
    torch.testing.assert_close(kept["minilm"]["pool"], stored[1]["minilm"]["pool"])


def test_the_pool_holds_no_labelled_and_no_test_review():
    splits = sources.load("imdb")
    rows = tables.subset(splits["train"], 1000 + 19_000, 3)["text"]
    labelled = set(tables.subset(splits["train"], 1000, 3)["text"])
    assert set(rows[:1000]) == labelled and not labelled & set(rows[1000:])
    assert not set(rows) & set(splits["test"]["text"])
