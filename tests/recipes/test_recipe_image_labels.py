"""recipes/image_labels.py at toy size: every way to train, nested draws, interrupted
and continued, another setting refused to mix.
"""

import importlib.util
import json
import subprocess
import sys

import pytest
import torch
from stages import ROOT

TOY = [
    "--sizes",
    "1",
    "--seeds",
    "0",
    "--source-steps",
    "2",
    "--letters",
    "52",
    "--tests",
    "40",
]


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location(
        "image_labels", ROOT / "recipes" / "image_labels.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(tmp_path, *words):
    command = [
        sys.executable,
        ROOT / "recipes" / "image_labels.py",
        "--out",
        tmp_path / "out.json",
        "--keep",
        tmp_path / "keep",
        *TOY,
        *words,
    ]
    ended = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads((tmp_path / "out.json").read_text(encoding="utf-8")), ended.stdout


def test_cells_are_written_once_and_the_run_continues(tmp_path):
    first, _ = run(tmp_path, "--methods", "pixels", "small letters frozen")
    assert [(c["method"], c["n"], c["seed"]) for c in first["cells"]] == [
        ("pixels", 1, 0),
        ("small knows letters", 0, 0),
        ("small letters frozen", 1, 0),
    ]
    assert (
        first["cells"][0]["accuracy"] > 0.3
        and first["tests"] == 40
        and first["commit"]
        and "machine" in first
    )
    second, said = run(
        tmp_path,
        "--methods",
        "pixels",
        "small letters fine-tuned",
        "small scratch augmented",
    )
    assert (
        len(second["cells"]) == 5
        and "pixels" not in said
        and len(second["commands"]) == 2
    )
    assert [c for c in second["cells"] if c["method"] == "pixels"] == first["cells"][:1]


def test_another_setting_is_not_mixed_in(tmp_path):
    run(tmp_path, "--methods", "pixels")
    with pytest.raises(
        AssertionError,
        match="was made with --tests 40, this run has 50; give another --out",
    ):
        run(tmp_path, "--methods", "pixels", "--tests", "50")


def test_draws_are_balanced_nested_and_off_the_test_set(recipe):
    images, labels, pool, test = recipe.digits()
    assert (
        images.min() == 0
        and images.max() == 1
        and not set(pool.tolist()) & set(test.tolist())
    )
    assert len(set(pool.tolist()) | set(test.tolist())) == 1797
    small, large = (set(recipe.few_rows(labels, pool, n, 3).tolist()) for n in (3, 10))
    assert (
        small < large <= set(pool.tolist())
        and labels[sorted(large)].bincount().tolist() == [10] * 10
    )
    assert recipe.few_rows(labels, pool, 100, 0).shape == (1000,)
    assert small != set(recipe.few_rows(labels, pool, 3, 4).tolist())


def test_letters_are_made_as_the_digits_were(recipe):
    images, labels = recipe.letters(52)
    assert (
        images.shape == (52, 8, 8)
        and 0 <= images.min()
        and images.max() <= 1
        and labels.tolist() == list(range(52))
    )


def test_still_norms_stay_and_the_rest_learns(recipe):
    torch.manual_seed(0)
    net, images = recipe.network("small", 10), torch.rand(12, 8, 8)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    recipe.fit(
        net, images, torch.arange(12) % 10, 16, steps=12, lr=1e-2, still_norms=True
    )
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert (
        "stem.0.weight" in changed
        and "head.weight" in changed
        and not any("running" in k or k.endswith("stem.1.weight") for k in changed)
    )
    recipe.fit(net, images, torch.arange(12) % 10, 16, steps=2, lr=1e-2)
    # frozen once, frozen until told otherwise
    assert torch.equal(net.stem[1].running_mean, before["stem.1.running_mean"])


@pytest.mark.parametrize("start", ["scratch", "letters", "ImageNet"])
def test_every_start_gets_a_new_head_of_ten(recipe, tmp_path, start):
    kind = "lite0" if start == "ImageNet" else "small"
    net = recipe.started(kind, start, tmp_path, 2, 52)
    assert net.head.weight.shape == (10, net.head.in_features)
    if start == "letters":  # learned once, then read from the file
        (path,) = tmp_path.glob("*.safetensors")
        kept, changed = net.stem[0].weight.clone(), path.stat().st_mtime_ns
        assert (
            torch.equal(
                recipe.started(kind, start, tmp_path, 2, 52).stem[0].weight, kept
            )
            and path.stat().st_mtime_ns == changed
        )
