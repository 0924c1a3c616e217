"""The two recipes of chapter 17 at toy size: what they store, that they go on where
they stopped, and what they must not read.
"""

import collections
import csv
import importlib.util
import json
import re
import subprocess
import sys

import pytest
import torch
from stages import ROOT

from ftlib.course import hub, sources
from ftlib.data import tokenization
from ftlib.training import distributed


def module(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "recipes" / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def run(name, *words):
    ended = subprocess.run(
        [sys.executable, str(ROOT / "recipes" / f"{name}.py"), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


def test_forgetting_fills_the_matrix_and_skips_what_is_done(tmp_path):
    out, line = (
        tmp_path / "try.json",
        ("--seeds", 0, "--train", 16, "--tests", 20, "--methods"),
    )
    run("forgetting", *line, "naive", "LoRA, one a task", "--out", out)
    stored = json.loads(out.read_text(encoding="utf-8"))
    assert {c["method"] for c in stored["cells"]} == {
        "naive",
        "LoRA, one a task",
    } and stored["seeds"] == [0]
    apart = next(c["matrix"] for c in stored["cells"] if c["method"] != "naive")
    # a part for each task: what a task has once, it keeps
    assert (
        all(len(row) == 3 for row in apart)
        and apart[0][0] == apart[1][0] == apart[2][0]
        and apart[1][1] == apart[2][1]
    )
    # nothing was left to do
    assert run("forgetting", *line, "naive", "--out", out) == ""
    refused = subprocess.run(
        [
            sys.executable,
            str(ROOT / "recipes/forgetting.py"),
            "--train",
            "8",
            "--out",
            str(out),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert refused.returncode != 0 and "give another --out" in refused.stderr


def test_a_frozen_encoder_forgets_nothing_and_joint_sees_all():
    recipe, place = (
        module("forgetting"),
        distributed.DistributedContext(torch.device("cpu"), 0, 1, None),
    )
    tests = [make("test", 20, 0) for make in recipe.TASKS.values()]
    frozen = recipe.sequence(0, 8, tests, place, frozen=True)
    # one text of 20: weight decay touches the heads
    assert max(abs(frozen[0][0] - frozen[t][0]) for t in (1, 2)) < 0.06
    joint = recipe.sequence(0, 8, tests, place, joint=True)
    assert joint[0] == joint[1] == joint[2]
    kept = recipe.sequence(0, 8, tests, place, memory=4)
    # control: the memory does something
    assert kept != recipe.sequence(0, 8, tests, place)


def test_the_tasks_are_balanced_and_seeds_draw_other_texts():
    recipe = module("forgetting")
    for make in recipe.TASKS.values():
        texts, labels = make("train", 40, 0)
        assert (
            sum(labels) == 20
            and len(set(texts)) == 40
            and not set(texts) & set(make("test", 40, 0)[0])
        )
        assert set(make("train", 40, 1)[0]) != set(texts)
    texts, labels = recipe.name("train", 40, 0)
    # else the capital letters would give the answer away
    assert all(text == text.lower() for text in texts)
    assert recipe.names_someone(
        "I saw Anna there".split()
    ) and not recipe.names_someone("It was bad. Very bad".split())


def test_the_domain_texts_hold_no_test_text():
    recipe = module("domain_adaptation")
    read = set(recipe.reviews("train"))
    for name in ("rotten_tomatoes", "imdb"):
        splits = sources.load(name)
        assert not read & set(splits["test"]["text"]) and not read & set(
            splits["validation"]["text"]
        )
        # control: the comparison is between texts of one form
        assert set(splits["train"]["text"]) <= read


def test_the_masks_are_a_function_of_seed_and_row():
    recipe = module("domain_adaptation")
    tokenizer = tokenization.load(hub.resolve(recipe.NAME))
    rows = torch.randint(
        1000, 20000, (8, 64), generator=torch.Generator().manual_seed(0)
    )
    a, b, c = (
        recipe.masked(rows, tokenizer, seed, 0, torch.tensor([3, 5]))["labels"]
        for seed in (0, 0, 1)
    )
    assert (
        torch.equal(a, b)
        and not torch.equal(a, c)
        and 0.1 < (a != -100).float().mean() < 0.3
    )


@pytest.mark.parametrize("name", ["domain_adaptation", "forgetting"])
def test_stored_results_are_complete(name):
    stored = json.loads(
        (ROOT / "data" / "results" / f"{name}.json").read_text(encoding="utf-8")
    )
    assert (
        len(stored["commit"]) == 40
        and stored["commands"]
        and "machine" in stored
        and len(stored["seeds"]) >= 3
    )
    keys = [
        (c.get("arm", c.get("method")), c.get("labels"), c["seed"])
        for c in stored["cells"]
    ]
    assert len(keys) == len(set(keys))


def test_the_assistants_sentences_are_distinct_and_balanced():
    with open(ROOT / "data" / "intents.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    counts = collections.Counter(row["intent"] for row in rows)
    assert len(counts) == 9 and set(counts.values()) == {24}
    said = [" ".join(re.findall(r"[a-z0-9']+", row["text"].lower())) for row in rows]
    # a sentence on both sides of a split would be a leak
    assert len(set(said)) == len(said)
