"""The recipe of chapter 19 at toy size: it continues, keeps its verdicts, and what
trains is what the formula says. And its stored file.
"""

import json
import os
import subprocess
import sys

import pytest
import torch
from stages import ROOT

RECIPE = ROOT / "recipes/parameter_efficient.py"
COMBINED = ROOT / "recipes/combined_adapters.py"
STORED = ROOT / "data/results/parameter_efficient.json"
TOY = "--labels 48 --tests 24 --epochs 1 --tries 1 --seeds 0".split()


@pytest.fixture(scope="module")
def combined():
    import combined_adapters

    return combined_adapters


@pytest.fixture(scope="module")
def methods():
    import peft_methods

    return peft_methods


def run(*words, recipe=RECIPE):
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "FTLIB_DEVICE": "cpu",
        "HF_HUB_OFFLINE": "1",
    }
    ended = subprocess.run(
        [sys.executable, recipe, *map(str, words)],
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
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
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


def test_toy_adapters(tmp_path):
    out = tmp_path / "toy.json"
    words = [*TOY[: TOY.index("--tries")], *TOY[TOY.index("--seeds") :], "--out", out]
    assert len(run(*words, recipe=COMBINED)) == 2
    assert run(*words, recipe=COMBINED) == []
    compose, tags = json.loads(out.read_text(encoding="utf-8"))["cells"]
    first, last = compose["mix"][0], compose["mix"][4]
    # weights 0 and 1
    assert (
        first["sentiment"] == compose["sentiment alone"]
        and last["source"] == compose["source alone"]
    )
    assert set(tags["alone"]) == set(tags["added"]) == {"shop", "names"}


def test_neither_length_nor_end_tells_the_source(combined):
    from ftlib.course import sources

    mixed = combined.mixed_texts(
        sources.load("imdb")["test"], sources.load("rotten_tomatoes")["test"], 876, 0
    )
    assert {len(text.split()) for text in mixed["text"]} == {20} and 700 < len(
        mixed["text"]
    ) == 2 * sum(mixed["label"])
    assert all(text[-1].isalnum() or text[-1] == "_" for text in mixed["text"])


def test_bottleneck_starts_as_its_base(methods):
    base, x = torch.nn.Linear(8, 6), torch.randn(3, 8)
    assert torch.equal(methods.Bottleneck(base, 2)(x), base(x))


def test_tags_lie_on_their_characters(combined):
    from ftlib.course import hub, sources
    from ftlib.data import tables, tokenization

    tokenizer = tokenization.load(hub.resolve("zh-bert-mini"))
    columns = {
        "text": ["江泽民在北京"],
        "words": [["江", "泽民", "在", "北京"]],
        "tags": [["nr", "nr", "p", "ns"]],
    }
    (row,), (labels,) = combined.tagged_rows(tokenizer, columns, 48)
    assert labels == [-100, 1, 1, 1, 0, 2, 2, -100] and len(row) == 8
    real = tables.subset(sources.load("peoples_daily")["test"], 50)
    rows, labels = combined.tagged_rows(tokenizer, real, 48)
    assert all(len(a) == len(b) <= 48 for a, b in zip(rows, labels)) and {1, 2, 3} <= {
        k for places in labels for k in places
    }


def test_best_rate_prefers_the_lower_of_equals(methods):
    cells = [
        dict(stage="tune", method="head", rate=r, accuracy=a)
        for r, a in ((0.1, 0.6), (0.01, 0.6), (0.001, 0.5))
    ]
    assert (
        methods.best_rate(cells, "head", None) == 0.01
        and methods.best_rate(cells, "full", 7) == 7
    )


def test_the_edge_is_left_behind(methods):
    cells = [
        dict(stage="tune", method="head", rate=r, accuracy=a)
        for r, a in ((0.001, 0.5), (0.003, 0.6), (0.01, 0.7))
    ]
    assert (
        methods.next_rate(cells, "head") == 0.03
        and methods.next_rate(cells[:2], "head") == 0.01
        and methods.next_rate(cells, "full") is None
    )
    cells.append(dict(stage="edge", method="head", rate=0.03, accuracy=0.8))
    assert (
        methods.next_rate(cells, "head") == 0.1
        and methods.best_rate(cells, "head", None) == 0.03
    )
    cells.append(dict(stage="edge", method="head", rate=0.1, accuracy=0.8))
    # of equal ones the lower is the best
    assert methods.next_rate(cells, "head") is None


def test_stored_file_is_complete():
    stored = json.loads(STORED.read_text(encoding="utf-8"))
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
