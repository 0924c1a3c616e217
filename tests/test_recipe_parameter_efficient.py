"""The recipe of chapter 19 at toy size: it continues, keeps its verdicts, and what
trains is what the formula says. And its stored file.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPE, STORED = (
    ROOT / "recipes/parameter_efficient.py",
    ROOT / "data/results/parameter_efficient.json",
)
TOY = "--labels 48 --tests 24 --epochs 1 --tries 1 --seeds 0".split()


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("parameter_efficient", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*words):
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "FTLIB_DEVICE": "cpu",
        "HF_HUB_OFFLINE": "1",
    }
    ended = subprocess.run(
        [sys.executable, RECIPE, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=400,
        env=env,
        cwd=ROOT,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout.splitlines()


def bits(cell):
    return [int(b) for b in bin(int(cell["right"], 16))[3:]]


def test_toy_run_continues_and_counts(tmp_path):
    out, methods = (
        tmp_path / "toy.json",
        ["head", "BitFit", "adapter 16", "LoRA r4 q+v", "full"],
    )
    assert (
        len(run(*TOY, "--stages", "tune", "--methods", *methods[:2], "--out", out)) == 2
    )
    # two of ten were there
    assert (
        len(run(*TOY, "--stages", "tune", "grid", "--methods", *methods, "--out", out))
        == 8
    )
    assert (
        run(*TOY, "--stages", "tune", "grid", "--methods", *methods, "--out", out) == []
    )
    cells = json.loads(out.read_text())["cells"]
    trained = {c["method"]: c["trained"] for c in cells}
    assert trained["head"] == 514 and trained["LoRA r4 q+v"] == 514 + 4 * 8 * 512
    assert (
        trained["adapter 16"] == 514 + 8 * (2 * 256 * 16 + 256 + 16)
        and trained["full"] > 5_000_000 > trained["BitFit"] > 514
    )
    for cell in cells:
        assert (
            len(bits(cell)) == cell["texts"] == 24
            and round(sum(bits(cell)) / 24, 4) == cell["accuracy"]
        )


def test_toy_parts(tmp_path):
    out = tmp_path / "toy.json"
    assert len(run(*TOY, "--stages", "compose", "tags", "--out", out)) == 2
    compose, tags = json.loads(out.read_text())["cells"]
    first, last = compose["mix"][0], compose["mix"][4]
    # weights 0 and 1
    assert (
        first["sentiment"] == compose["sentiment alone"]
        and last["source"] == compose["source alone"]
    )
    assert set(tags["alone"]) == set(tags["added"]) == {"shop", "names"}


def test_neither_length_nor_end_tells_the_source(recipe):
    from ftlib.course import sources

    mixed = recipe.mixed_texts(
        sources.load("imdb")["test"], sources.load("rotten_tomatoes")["test"], 876, 0
    )
    assert {len(text.split()) for text in mixed["text"]} == {20} and 700 < len(
        mixed["text"]
    ) == 2 * sum(mixed["label"])
    assert all(text[-1].isalnum() or text[-1] == "_" for text in mixed["text"])


def test_bottleneck_starts_as_its_base(recipe):
    base, x = torch.nn.Linear(8, 6), torch.randn(3, 8)
    assert torch.equal(recipe.Bottleneck(base, 2)(x), base(x))


def test_tags_lie_on_their_characters(recipe):
    from ftlib.course import hub, sources
    from ftlib.data import tables, tokenization

    tokenizer = tokenization.load(hub.resolve("zh-bert-mini"))
    columns = {
        "text": ["江泽民在北京"],
        "words": [["江", "泽民", "在", "北京"]],
        "tags": [["nr", "nr", "p", "ns"]],
    }
    (row,), (labels,) = recipe.tagged_rows(tokenizer, columns, 48)
    assert labels == [-100, 1, 1, 1, 0, 2, 2, -100] and len(row) == 8
    real = tables.subset(sources.load("peoples_daily")["test"], 50)
    rows, labels = recipe.tagged_rows(tokenizer, real, 48)
    assert all(len(a) == len(b) <= 48 for a, b in zip(rows, labels)) and {1, 2, 3} <= {
        k for places in labels for k in places
    }


def test_best_rate_prefers_the_lower_of_equals(recipe):
    cells = [
        dict(stage="tune", method="head", rate=r, accuracy=a)
        for r, a in ((0.1, 0.6), (0.01, 0.6), (0.001, 0.5))
    ]
    assert (
        recipe.best_rate(cells, "head", None) == 0.01
        and recipe.best_rate(cells, "full", 7) == 7
    )


def test_the_edge_is_left_behind(recipe):
    cells = [
        dict(stage="tune", method="head", rate=r, accuracy=a)
        for r, a in ((0.001, 0.5), (0.003, 0.6), (0.01, 0.7))
    ]
    assert (
        recipe.next_rate(cells, "head") == 0.03
        and recipe.next_rate(cells[:2], "head") == 0.01
        and recipe.next_rate(cells, "full") is None
    )
    cells.append(dict(stage="edge", method="head", rate=0.03, accuracy=0.8))
    assert (
        recipe.next_rate(cells, "head") == 0.1
        and recipe.best_rate(cells, "head", None) == 0.03
    )
    cells.append(dict(stage="edge", method="head", rate=0.1, accuracy=0.8))
    # of equal ones the lower is the best
    assert recipe.next_rate(cells, "head") is None


def test_stored_file_is_complete():
    stored = json.loads(STORED.read_text())
    cells, methods = stored["cells"], list(stored["methods"])
    for method in methods:
        tried = [c for c in cells if c["stage"] == "tune" and c["method"] == method]
        grid = {
            c["seed"]: c
            for c in cells
            if c["stage"] == "grid" and c["method"] == method
        }
        # as many tries for each, and the same seeds
        assert len(tried) == stored["tries"] and {0, 1, 2, 3} <= grid.keys()
        beyond = [c for c in cells if c["stage"] == "edge" and c["method"] == method]
        best = min((-c["accuracy"], c["rate"]) for c in tried + beyond)[1]
        assert best < max(c["rate"] for c in tried + beyond)  # no best rate at the edge
        for cell in grid.values():
            assert (
                cell["rate"] == best
                and round(sum(bits(cell)) / cell["texts"], 4) == cell["accuracy"]
            )
    assert len(stored["commit"]) == 40 and stored["machine"]
