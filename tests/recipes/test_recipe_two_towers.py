"""recipes/two_towers.py: its parts on made-up numbers, and the baselines of the films
as a program, interrupted and continued.
"""

import importlib.util
import json
import subprocess
import sys

import pytest
import torch
from stages import ROOT

from ftlib.course import wheels

PROGRAM = ROOT / "recipes" / "two_towers.py"


@pytest.fixture(scope="module")
def recipe():
    sys.path.insert(0, str(PROGRAM.parent))
    spec = importlib.util.spec_from_file_location("two_towers", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ridge_finds_a_linear_map(recipe):
    inputs, weights = torch.randn(200, 6).double(), torch.randn(6, 3).double()
    found = recipe.ridge_map(inputs, inputs @ weights, 1e-6)
    torch.testing.assert_close(found.double(), weights, atol=1e-4, rtol=1e-4)


def test_scaling_looks_at_the_training_rows_alone(recipe):
    vectors = torch.randn(2, 40, 5)
    changed = vectors.clone()
    changed[:, 30:] += 100
    rows = torch.arange(30)
    one, other = recipe.scaled(vectors, rows), recipe.scaled(changed, rows)
    torch.testing.assert_close(one[:, :30], other[:, :30])
    bag = recipe.characters(["ab", "b", "zz"], [0, 1])
    assert bag.shape == (3, 2) and float(bag[2].abs().sum()) == 0


def test_a_user_without_films_gets_zeros_and_the_newest_film_comes_first(recipe):
    tower = recipe.Recent(films=5, width=4).eval()
    none = torch.full((1, recipe.RECENT), 5)
    assert float(tower(none).detach().abs().sum()) == 0
    one = none.clone()
    one[0, 0] = 3
    torch.testing.assert_close(tower(one)[0], tower.table.weight[3])


@pytest.fixture(scope="module")
def films(recipe):
    if not wheels.is_here(wheels.table()["recbole"]):
        pytest.skip("recbole has not been fetched")
    return recipe.film_rows()


def test_no_test_film_stands_in_what_is_known_before(recipe, films):
    seen = recipe.seen_films(films, ~(films["last"] | films["validation"]))
    users = torch.arange(films["users"])
    for split in ("last", "validation"):
        assert not seen[users, films["film"][films[split]]].any()
    row = int(films["last"].nonzero()[0])
    newest = films["film"][row - 1 - torch.arange(recipe.RECENT)]
    assert (films["before"][row] == newest).all()
    assert (films["before"][films["first"]] == films["films"]).all()


def test_the_program_writes_a_cell_once(films, tmp_path):
    out = tmp_path / "out.json"
    command = [sys.executable, PROGRAM, "--parts", "films", "--seeds", "0"]
    command += ["--methods", "popularity", "--out", out]
    for _ in range(2):
        ended = subprocess.run(
            [*map(str, command)], capture_output=True, text=True, cwd=ROOT, timeout=300
        )
        assert ended.returncode == 0, ended.stderr[-2000:]
    (cell,) = json.loads(out.read_text(encoding="utf-8"))["cells"]
    stored = ROOT / "data" / "results" / "two_towers.json"
    known = [
        c
        for c in json.loads(stored.read_text(encoding="utf-8"))["cells"]
        if c["method"] == "popularity"
    ]
    assert cell["hr@10"] == pytest.approx(known[0]["hr@10"], abs=0.002)
    assert ended.stdout == ""  # the second run found it done
