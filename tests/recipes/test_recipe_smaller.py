"""recipes/smaller.py: the teacher's file, students, heads, and the whole program on a
few sentences, interrupted and continued.
"""

import importlib.util
import json
import subprocess
import sys

import pytest
import torch
from stages import ROOT

from ftlib.course import hub
from ftlib.models import transformer
from ftlib.objectives import classify

PROGRAM = ROOT / "recipes" / "smaller.py"


@pytest.fixture(scope="module")
def recipe():
    sys.path.insert(0, str(PROGRAM.parent))
    spec = importlib.util.spec_from_file_location("smaller", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small():
    torch.manual_seed(0)
    config = transformer.Config(60, 32, 6, 4, 64, 64, pre_norm=False, init_std=0.3)
    return classify.Classifier(transformer.Transformer(config), 2)


def test_the_two_thousand_the_others_and_the_test_are_apart(recipe):
    task = recipe.Task()
    own, others = set(task.train["text"]), set(task.others)
    assert len(task.train["text"]) == recipe.LABELS
    assert len(task.others) == recipe.UNLABELLED
    assert not own & others and not (own | others) & set(task.test["text"])
    assert not (own | others) & set(task.val["text"])
    assert abs(sum(task.train["label"]) - recipe.LABELS / 2) <= 1


def test_a_copied_student_has_the_teachers_blocks_and_no_head(recipe):
    teacher = small()
    copied, scratch = (recipe.new_student(teacher, c, 3) for c in (True, False))
    for own, n in zip(copied.encoder.blocks, recipe.KEPT):
        there = teacher.encoder.blocks[n]
        torch.testing.assert_close(own.up.weight, there.up.weight)
    assert len(scratch.encoder.blocks) == 2
    for net in (copied, scratch):
        assert not torch.equal(net.head.weight, teacher.head.weight)
        assert all(p.requires_grad for p in net.parameters())
    first = scratch.encoder.blocks[0].up.weight
    assert not torch.equal(first, teacher.encoder.blocks[2].up.weight)
    again = recipe.new_student(teacher, False, 3)
    torch.testing.assert_close(again.encoder.blocks[0].up.weight, first)


def test_soft_targets_reach_sentences_without_a_label(recipe):
    """The columns that a student's batches hold, and the rows that teach it."""
    calls = []
    monkey = pytest.MonkeyPatch()
    monkey.setattr(recipe, "fit", lambda net, *a, **k: calls.append((a, k)) or net)
    monkey.setattr(recipe, "rows_of", lambda tokenizer, texts, tokens: texts)

    class Few:
        train = {"text": [[5], [6]], "label": [0, 1]}
        others = [[7], [8], [9]]

    logits = torch.zeros(5, 2)
    for name in recipe.STUDENTS:
        recipe.train_student(name, small(), None, Few, logits, 0, 1e-3, None, 2)
    monkey.undo()
    for name, ((rows, labels, *_), more) in zip(recipe.STUDENTS, calls):
        soft = "soft" in name
        assert len(rows) == (5 if soft else 2)
        assert labels == [0, 1] + [-100] * (3 * soft)
        assert ("logits" in more) == soft


def test_the_stored_adapter_is_the_teacher_of_the_chapter(recipe):
    folder = hub.checkpoints().parent / "results" / "smaller_adapter"
    merged, tokenizer = recipe.load_teacher(folder)
    apart, _ = recipe.load_teacher(folder, merge=False)
    texts = ["a warm , funny and wise film .", "a dull mess ."]
    one, other = (recipe.logits_of(net, tokenizer, texts) for net in (merged, apart))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert one.argmax(1).tolist() == [1, 0]
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert sum(sizes) < 1e6


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smaller")

    def run(*options):
        program = [sys.executable, str(PROGRAM), "--out", str(folder / "try.json")]
        few = ["--folder", str(folder / "adapter"), "--tests", "16", "--labels", "32"]
        return subprocess.run(
            [*program, *few, "--seeds", "0", "--updates", "2", *options],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )

    return run, folder / "try.json"


def test_the_program_goes_through_and_does_nothing_twice(trial, recipe):
    run, out = trial
    for part in ("teacher", "students", "students"):
        done = run("--part", part)
        assert done.returncode == 0, done.stderr[-2000:]
    assert not done.stdout.strip()  # the second time there is nothing left
    result = json.loads(out.read_text(encoding="utf-8"))
    parts = [cell["part"] for cell in result["cells"]]
    assert parts.count("rates") == 2 * len(recipe.RATES)
    assert parts.count("students") == len(recipe.STUDENTS) + 1  # and one in int8
    assert all(0 <= cell["accuracy"] <= 1 for cell in result["cells"])
    assert all(len(cell["correct"]) == 4 for cell in result["cells"])
    refused = run("--part", "students", "--updates", "3")
    assert refused.returncode != 0 and "--updates" in refused.stderr


def test_times_say_what_they_measured(recipe):
    found = recipe.times({"a": lambda texts: None}, ["x"] * 40, 32, rounds=6)
    assert set(found["a"]) == {"p50", "p90", "p99"}
    assert 0 <= found["a"]["p50"] <= found["a"]["p99"] < 100
