"""tools/gpu.py: what it takes along suffices, and every stage says its numbers. One
that hangs, crashes or ignores a signal does not cost the others theirs.
"""

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import gpu
import gpu_stages
import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ftlib.course import plot, translations
from ftlib.models import transformer
from ftlib.objectives import clm, mlm

PAIRS = {
    "en": ["Open the door", "Close the door", "Open the window", "Close the window"],
    "zh": ["打开门", "关闭门", "打开窗户", "关闭窗户"],
    "file": ["toy/1", "toy/2", "toy/3", "toy/4"],
}
NAMES = [name for group, _ in gpu.GROUPS for name in group]


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """(packed folder, output folder) of one whole rehearsal, in a folder that holds
    nothing but what was packed.
    """
    base = tmp_path_factory.mktemp("gpu")
    splits = {
        name: {key: values * times for key, values in PAIRS.items()}
        for name, times in (("train", 20), ("validation", 4))
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translations, "load", lambda: splits)
        gpu.pack(base / "packed")
    kept = {k: v for k, v in os.environ.items() if k != "FTLIB_WHEELS"}
    offline = str(pathlib.Path(__file__).parent / "offline")
    ended = subprocess.run(
        [sys.executable, "tools/gpu.py", "--rehearse", "--out", base / "out"],
        cwd=base / "packed",
        env={**kept, "PYTHONPATH": offline},
        capture_output=True,
        text=True,
        timeout=900,
    )
    results = (base / "out" / "results.json").read_text(encoding="utf-8")
    assert ended.returncode == 0, ended.stdout + ended.stderr + results
    return base / "packed", base / "out"


@pytest.fixture(scope="module")
def stages(rehearsed):
    text = (rehearsed[1] / "results.json").read_text(encoding="utf-8")
    return json.loads(text)["stages"]


def test_what_is_packed_fits_into_64_mib(rehearsed):
    sizes = [p.stat().st_size for p in rehearsed[0].rglob("*") if p.is_file()]
    # the pairs of the test are few, the real ones take a megabyte
    assert 20 * 2**20 < sum(sizes) < 62 * 2**20
    assert (rehearsed[0] / "commit").read_text(encoding="utf-8").strip() == gpu.commit()


def test_every_stage_ran_to_its_end(stages):
    assert {name: stage["state"] for name, stage in stages.items()} == dict.fromkeys(
        NAMES, "done"
    )


def test_the_output_stays_within_its_limits(rehearsed):
    sizes = {path.name: path.stat().st_size for path in rehearsed[1].iterdir()}
    models = ("reviews-bert-mini", "reviews-gpt-mini", "en-zh-mini")
    assert set(sizes) == {"results.json", *(f"{name}.zip" for name in models)}
    assert max(sizes.values()) < gpu.BYTES


def test_the_device_checks_give_numbers(stages):
    found = stages["device"]
    assert all(found[name]["passed"] for name in gpu_stages.CHECKS)
    assert found["loop"]["difference"] == 0 == found["checkpoint"]["difference"]
    assert found["resume"] == {"passed": True, "weights": 0.0, "losses": 0.0}
    assert 0 < found["bf16"]["difference"] < 0.1
    assert found["oom"]["sizes"] == [64, 32, 16]
    assert found["generation"]["cached"] == found["generation"]["padded"] == 1
    assert "torch" in found["versions"] and found["device"] == "cpu"


@pytest.mark.parametrize("name", ["bert_base", "gpt2_small"])
def test_the_steps_are_compared(name, stages):
    found = stages[name]
    for who in ("ftlib", "Trainer", "ftlib, compiled", "Trainer, compiled"):
        row = found[who]
        assert row["tokens_per_second"] > 0 and 0 < row["of_measured_peak"] < 1
        tokens = found["sizes"]["batch"] * found["sizes"]["tokens"]
        each = tokens / row["tokens_per_second"]
        assert row["seconds_a_step"] == pytest.approx(each, rel=0.01)
        # random ids among 100: nobody knows more than that
        assert 3 < row["loss"] < 6
    assert found["ftlib"]["loss"] == pytest.approx(found["Trainer"]["loss"], rel=0.1)
    best = {
        who: max(v["tokens_per_second"] for k, v in found.items() if k.startswith(who))
        for who in ("ftlib", "Trainer")
    }
    ratio = best["ftlib"] / best["Trainer"]
    assert found["against_trainer"] == pytest.approx(ratio, rel=0.01)


def test_three_models_are_trained(stages):
    for name in ("reviews-bert-mini", "reviews-gpt-mini", "en-zh-mini"):
        found = stages[name]
        assert found["run"]["tokens"] > 0 and found["tokens_per_second"] > 0
        assert found["plan"]["seconds_a_step"] > 0
    steps = [
        int(s.split(":")[1]) for s in stages["reviews-bert-mini"]["plan"]["stages"]
    ]
    assert sum(steps) == stages["reviews-bert-mini"]["run"]["steps"] == 30
    curve = stages["en-zh-mini"]["run"]["curve"]
    assert curve[-1][2] < curve[0][2]


def test_the_chapters_begin(stages):
    for name in ("chapter_03", "chapter_08", "chapter_09"):
        assert stages[name]["cells"]["up to"] == 6 and "failed" not in stages[name]


def test_the_archive_is_a_model(rehearsed, tmp_path):
    import zipfile

    from ftlib.models import hf_format

    with zipfile.ZipFile(rehearsed[1] / "reviews-bert-mini.zip") as archive:
        archive.extractall(tmp_path)
    model = transformer.from_state(*hf_format.load(tmp_path))
    assert model.config.width == 16 and (tmp_path / "run.json").is_file()


WORKER = """
import argparse, json, pathlib, signal, subprocess, sys, time
a = argparse.ArgumentParser()
a.add_argument("name")
a.add_argument("--folder", type=pathlib.Path)
a.add_argument("--seconds", type=float)
a.add_argument("--rehearse", action="store_true")
a = a.parse_args()
(a.folder / "facts.jsonl").write_text(json.dumps({"first": 1}) + '\\n{"half', "utf-8")
if a.name == "large":
    (a.folder / "model").mkdir()
    (a.folder / "model" / "model.safetensors").write_bytes(b"weights")
if a.name == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if a.name in ("hangs", "deaf"):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (pathlib.Path(sys.argv[0]).parent / f"{a.name}.pid").write_text(str(child.pid))
    time.sleep(600)
if a.name == "crashes":
    raise ValueError("a planted fault")
"""


@pytest.fixture
def planted(tmp_path, monkeypatch):
    path = tmp_path / "worker.py"
    path.write_text(WORKER, encoding="utf-8")
    monkeypatch.setattr(gpu, "WORKER", path)
    monkeypatch.setattr(gpu, "GRACE", 0.5)
    return tmp_path / "out"


def alive(number):
    try:
        text = pathlib.Path(f"/proc/{number}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def test_a_stage_that_hangs_is_ended_and_the_others_run(planted, counted):
    groups = [(("hangs", "deaf"), 2), (("crashes",), 5), (("large", "good"), 5)]
    begin = time.monotonic()
    results = gpu.run(planted, groups, minutes=1, rehearse=True)
    assert time.monotonic() - begin < 20
    found = results["stages"]
    assert {name: stage["state"] for name, stage in found.items()} == {
        "hangs": "stopped",
        "deaf": "stopped",
        "crashes": "failed",
        "large": "done",
        "good": "done",
    }
    assert all(stage["first"] == 1 for stage in found.values())
    assert "a planted fault" in found["crashes"]["log"][-1]
    assert json.loads((planted / "results.json").read_text("utf-8")) == results
    assert (planted / "large.zip").is_file()
    for name in ("hangs", "deaf"):  # what they had started is gone too
        number = (planted.parent / f"{name}.pid").read_text(encoding="utf-8")
        assert not alive(int(number))
    counted("fault", 3)


def test_when_the_time_is_over_the_rest_is_skipped(planted):
    results = gpu.run(planted, [(("good",), 9)], minutes=0.01, rehearse=True)
    assert results["stages"]["good"]["skipped"] == "no time is left"


def test_a_killed_run_leaves_what_it_has(planted, tmp_path):
    text = (
        "import pathlib, sys; sys.path.insert(0, sys.argv[1]); import gpu\n"
        "gpu.WORKER = pathlib.Path(sys.argv[2])\n"
        "gpu.run(pathlib.Path(sys.argv[3]), [(('good',), 9), (('hangs',), 60)],\n"
        "        minutes=2, rehearse=True)"
    )
    words = [pathlib.Path(gpu.__file__).parent, gpu.WORKER, planted]
    started = subprocess.Popen([sys.executable, "-c", text, *map(str, words)])
    path, pid, end = planted / "results.json", tmp_path / "hangs.pid", time.time() + 60
    stages = {}
    while stages.get("hangs", {}).get("first") != 1 and time.time() < end:
        time.sleep(0.1)
        if path.exists():
            stages = json.loads(path.read_text(encoding="utf-8"))["stages"]
    started.kill()
    started.wait()
    assert stages["good"]["state"] == "done"
    stages = json.loads(path.read_text(encoding="utf-8"))["stages"]
    assert stages["hangs"]["state"] == "running" and stages["hangs"]["first"] == 1
    while not pid.exists():
        time.sleep(0.1)
    os.killpg(os.getpgid(int(pid.read_text(encoding="utf-8"))), signal.SIGKILL)


def test_what_is_too_large_or_too_much_is_removed(tmp_path, monkeypatch, counted):
    monkeypatch.setattr(gpu, "BYTES", 1000)
    for number in range(10):
        (tmp_path / f"{number}.zip").write_bytes(b"x" * (2000 if number == 4 else 10))
    (tmp_path / "results.json").write_text("{}" * 100, encoding="utf-8")
    gone = gpu.tidy(tmp_path)
    assert gone[0] == "4.zip, 2,000 bytes" and len(gone) == 3
    assert len(list(tmp_path.iterdir())) == gpu.FILES
    assert (tmp_path / "results.json").exists()
    counted("fault", 2)


@pytest.mark.parametrize("causal", [False, True])
def test_the_formula_counts_what_torch_counts(causal):
    sizes = {**gpu_stages.TINY, "causal": causal}
    (batch,) = gpu_stages.random_batches(sizes, 1)
    shape = (sizes["vocab"], sizes["width"], sizes["layers"], sizes["heads"])
    config = transformer.Config(*shape, 4 * sizes["width"], sizes["tokens"], causal)
    model = transformer.LanguageModel(config)
    loss_fn = clm.clm_loss if causal else mlm.mlm_loss
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        loss_fn(model, batch).backward()
    targets = int((batch["labels"] != -100).sum())
    counted = counter.get_total_flops()
    assert gpu_stages.operations(sizes, targets) == pytest.approx(counted, rel=1e-6)
    if not causal:  # theirs: logits, and the whole last block, at all positions
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            theirs = gpu_stages.their_model(sizes)
            theirs(**batch).loss.backward()
        every = gpu_stages.operations(sizes, targets, everywhere=True)
        assert every == pytest.approx(counter.get_total_flops(), rel=1e-6)


def test_a_run_that_is_stopped_leaves_its_last_checkpoint(tmp_path):
    from ftlib.models import hf_format
    from ftlib.training import checkpoint, optim

    stage = gpu_stages.Stage(tmp_path, 60, True)
    model = gpu_stages.small_model(device="cpu")
    optimizer = optim.adamw(optim.parameter_groups(model, 1e-3))
    state = tmp_path / "model" / "state"
    meta = {"curve": [[5, 1.0, 2.0]]}
    checkpoint.save_numbered(state, model, optimizer, step=5, meta=meta)
    fresh = gpu_stages.small_model(seed=1, device="cpu")
    with pytest.raises(gpu_stages.Stopped):
        with gpu_stages.saved_when_stopped(stage, lambda: fresh, hf_format.save):
            gpu_stages.stop()
    again = transformer.from_state(*hf_format.load(tmp_path / "model"))
    assert gpu_stages.weights_apart(again, model) < 1e-3  # half precision
    said = (tmp_path / "facts.jsonl").read_text(encoding="utf-8")
    assert json.loads(said) == {"stopped_at": {"step": 5, **meta}}


def test_a_check_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    def broken(stage):
        raise ValueError("a planted fault")

    checks = {"loop": broken, "generation": gpu_stages.check_generation}
    monkeypatch.setattr(gpu_stages, "CHECKS", checks)
    with pytest.raises(SystemExit, match="failed: loop"):
        gpu_stages.device(gpu_stages.Stage(tmp_path, 60, True))
    lines = (tmp_path / "facts.jsonl").read_text(encoding="utf-8").splitlines()
    facts = {k: v for line in lines for k, v in json.loads(line).items()}
    assert facts["loop"]["error"] == "ValueError('a planted fault')"
    assert facts["generation"]["passed"]


def test_without_the_packages_the_translator_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_stages, "sentence_pairs", lambda: None)
    gpu_stages.translation_mini(gpu_stages.Stage(tmp_path, 60, True))
    said = json.loads((tmp_path / "facts.jsonl").read_text(encoding="utf-8"))
    assert said == {"skipped": "the packages with sentence pairs are not here"}


def test_without_accelerate_the_steps_are_timed_alone(tmp_path, monkeypatch):
    stage = gpu_stages.Stage(tmp_path, 60, True)
    assert gpu_stages.contenders(stage) == ("ftlib", "Trainer")
    monkeypatch.setattr(gpu_stages.importlib.util, "find_spec", lambda name: None)
    gpu_stages.steps_of(stage, gpu_stages.BERT, causal=False)
    said = [json.loads(line) for line in open(tmp_path / "facts.jsonl", "rb")]
    names = [name for fact in said for name in fact]
    assert "without_trainer" in names and "ftlib, compiled" in names
    assert "Trainer" not in names and "against_trainer" not in names


def test_controls_of_a_chapter_have_values_without_ipywidgets(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(plot, "explore", plot.explore)
    gpu_stages.without_widgets()
    import ipywidgets

    assert ipywidgets.Text("Hello", continuous_update=False).value == "Hello"
    assert ipywidgets.IntSlider(value=3, min=1).value == 3
    assert plot.explore(print, "a caption", number=ipywidgets.IntSlider(1)) is None
    # torch.compile and transformers look at every module that is there
    assert importlib.util.find_spec("ipywidgets") is not None
    assert not hasattr(ipywidgets, "__file__")


def test_an_output_folder_must_be_empty_and_a_stage_known(tmp_path):
    (tmp_path / "old").touch()
    with pytest.raises(SystemExit, match="is not empty"):
        gpu.main(["--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="no stage nothing"):
        gpu.main(["--out", str(tmp_path / "new"), "--stages", "nothing"])
