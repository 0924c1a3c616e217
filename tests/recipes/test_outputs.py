"""What the recipes do with --out: one owner at a time, whole files, one sentence for
what is in the way. RELIABILITY 34 and 35.
"""

import contextlib
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time

import grid
import outputs
import pretraining
import pytest
import torch
from safetensors.torch import load_file
from stages import ROOT
from test_recipes import PRETRAIN, TINY, module, variables  # beside this file

from ftlib.data import tokenization
from ftlib.models import transformer
from ftlib.training import checkpoint

WORKER = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[1])
import outputs
outputs.BEAT, outputs.DEAD = float(sys.argv[4]), float(sys.argv[5])
with outputs.claim(sys.argv[2]):
    print("owner", flush=True)
    time.sleep(float(sys.argv[3]))
print("ended", flush=True)
"""


def worker(folder, seconds=0.0, beat=20, dead=300):
    """A real process that owns `folder` for some seconds."""
    words = [str(ROOT / "recipes"), folder, seconds, beat, dead]
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables(),
    )


def lock(folder, **owner):
    """A lock in `folder` of another owner than this process."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run.lock"
    path.write_text(json.dumps({**outputs._me(), **owner}), encoding="utf-8")
    return path


@contextlib.contextmanager
def ended(process):
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# ---- one owner at a time ----


def test_a_second_process_is_refused_with_the_owners_name(tmp_path, counted):
    with ended(worker(tmp_path, seconds=60)) as first:
        assert first.stdout.readline() == "owner\n"
        second = worker(tmp_path)
        said, error = second.communicate(timeout=60)
        assert second.returncode == 1 and said == ""
        # one sentence, and no traceback
        assert error.count("\n") == 1 and f"{tmp_path} is in use: process" in error
        assert f"process {first.pid} on {platform.node()}" in error
        assert "give another --out" in error and "seconds ago" in error
        # killed, and asked about by nobody: its lock is a dead one's
        first.send_signal(signal.SIGKILL)
        time.sleep(0.2)
        assert (tmp_path / "run.lock").exists()
        third = worker(tmp_path)
        assert third.communicate(timeout=60)[0] == "owner\nended\n"
    assert [*tmp_path.iterdir()] == []  # whoever ends takes the lock along
    counted("fault", 2)


def test_two_that_start_together_are_one_owner(tmp_path):
    """Also where both find the lock of a dead one: eight processes, one winner."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name, before in (("new", None), ("dead", gone.pid)):
        folder = tmp_path / name
        if before:
            lock(folder, process=before)
        processes = [worker(folder, seconds=8) for _ in range(8)]
        found = [p.communicate(timeout=120) for p in processes]
        assert sum(said == "owner\nended\n" for said, _ in found) == 1
        assert all("Traceback" not in error for _, error in found)


def test_the_lock_of_another_machine_grows_old(tmp_path, counted):
    path = lock(tmp_path, machine="elsewhere", process=1)
    with pytest.raises(outputs.Taken, match="on elsewhere"):
        with outputs.claim(tmp_path):
            pass
    old = time.time() - outputs.DEAD - 1
    os.utime(path, (old, old))
    with outputs.claim(tmp_path):
        assert json.loads(path.read_text(encoding="utf-8"))["process"] == os.getpid()
    # on this machine the process decides: a laptop that slept shows an old lock, too
    path = lock(tmp_path, process=os.getppid(), ticks=None)
    os.utime(path, (old, old))
    with pytest.raises(outputs.Taken):
        with outputs.claim(tmp_path):
            pass
    counted("fault", 2)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '{"process": "x"}'])
def test_a_lock_that_nobody_can_read_is_somebodys_until_it_is_old(tmp_path, text):
    (tmp_path / "run.lock").write_text(text, encoding="utf-8")
    with pytest.raises(outputs.Taken, match="remove .*run.lock if it is gone"):
        with outputs.claim(tmp_path):
            pass
    os.utime(tmp_path / "run.lock", (1, 1))
    with outputs.claim(tmp_path):
        pass


def test_a_number_that_another_process_bears_now_is_no_owner(tmp_path):
    if outputs._ticks(os.getpid()) is None:
        pytest.skip("the system does not say when a process began")
    lock(tmp_path, process=os.getppid(), ticks=1)
    with outputs.claim(tmp_path):
        pass


def test_a_job_that_torchrun_starts_again_takes_its_own_lock(tmp_path, monkeypatch):
    lock(tmp_path, machine="elsewhere", process=1, job="mlm", start=0)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mlm")
    with pytest.raises(outputs.Taken):  # another first start of the same name
        with outputs.claim(tmp_path):
            pass
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    with outputs.claim(tmp_path):
        pass


def test_an_owner_shows_that_it_lives_and_ends_when_it_was_replaced(tmp_path, counted):
    with ended(worker(tmp_path, seconds=60, beat=0.05)) as process:
        assert process.stdout.readline() == "owner\n"
        path = tmp_path / "run.lock"
        os.utime(path, (1, 1))
        deadline = time.time() + 30
        while path.stat().st_mtime < 2 and time.time() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 2
        other = path.with_name("other")
        other.write_text("{}", encoding="utf-8")
        os.replace(other, path)
        said, error = process.communicate(timeout=30)
        assert process.returncode == 1 and "another process has taken" in error
        assert path.read_text(encoding="utf-8") == "{}"  # somebody else's stays
    counted("fault")


def test_only_rank_0_claims_and_a_claim_inside_of_one_is_the_same(tmp_path):
    with outputs.claim(tmp_path), outputs.claim(tmp_path, rank=1):
        with outputs.claim(tmp_path):
            pass
        assert (tmp_path / "run.lock").exists()
    assert not (tmp_path / "run.lock").exists()


def test_two_runs_with_different_seeds_on_one_folder(tmp_path, counted):
    """As programs: the second one ends at once with one sentence, the first one's
    result stays.
    """
    line = [sys.executable, str(PRETRAIN), *TINY, "--out", str(tmp_path / "run")]
    quiet = dict(env=variables(), cwd=ROOT, stdout=subprocess.DEVNULL, text=True)
    with ended(subprocess.Popen(line, stderr=subprocess.PIPE, **quiet)) as first:
        deadline = time.time() + 60
        while not (tmp_path / "run" / "run.lock").exists() and time.time() < deadline:
            time.sleep(0.01)
        second = subprocess.run(
            [*line, "--seed", "1"], stderr=subprocess.PIPE, timeout=120, **quiet
        )
        assert second.returncode != 0
        assert "is in use: process" in second.stderr
        assert "Traceback" not in second.stderr
        assert first.wait(timeout=240) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert record["seed"] == 0 and not (tmp_path / "run" / "run.lock").exists()
    counted("fault")


# ---- what cannot be written is noticed before step 1 ----


@pytest.mark.parametrize("recipe", ["pretrain_mlm", "pretrain_clm"])
@pytest.mark.parametrize("kind", ["a file", "under a file", "no right"])
def test_an_output_that_cannot_be_written_is_noticed_at_once(
    recipe, kind, tmp_path, monkeypatch, counted
):
    program = module(ROOT / "recipes" / f"{recipe}.py")
    out = tmp_path / "out" / "run"
    words = "permission to write"
    if kind == "no right":
        monkeypatch.setattr(checkpoint.os, "replace", refuse)
    else:
        blocked = out if kind == "a file" else out.parent
        blocked.parent.mkdir(exist_ok=True)
        blocked.write_text("mine", encoding="utf-8")
        words = "is a file; name a folder" if kind == "a file" else "look at the path"

    def data(*_):
        raise AssertionError("it has begun to work")

    monkeypatch.setattr(program.pretraining, "commit", data)
    monkeypatch.setattr(sys, "argv", [recipe, "--out", str(out)])
    with pytest.raises(SystemExit) as error:
        program.main(program.arguments())
    assert words in str(error.value) and str(out) in str(error.value)
    counted("fault")


def refuse(*_):
    raise PermissionError(13, "Permission denied")


def test_a_state_folder_of_somebody_else_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "state").mkdir()
    real = os.replace

    def replace(old, new):
        refuse() if "state" in str(new) else real(old, new)

    monkeypatch.setattr(checkpoint.os, "replace", replace)
    with pytest.raises(SystemExit, match=f"cannot write {tmp_path}: Permission denied"):
        with outputs.claim(tmp_path):
            pass


# ---- a full disk, whole files ----


def finished(folder, width=16):
    """What the end of a pretraining run writes; wider ones need more bytes."""
    torch.manual_seed(0)
    tokenizer = tokenization.train_wordpiece(["a film about films"] * 9, 60)
    net = transformer.LanguageModel(transformer.Config(60, width, 1, 2, 32, 12))
    pretraining.write(folder, net, tokenizer, 12, {"width": width})


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_full_disk_at_the_end_leaves_what_was_there(tmp_path, counted):
    """A real limit: safetensors alone says no path, no bytes and no remedy."""
    finished(tmp_path / "run")
    before = contents(tmp_path / "run")
    report = tmp_path / "report"
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        try:
            finished(tmp_path / "run", width=64)
        except OSError as error:
            report.write_text(str(error), encoding="utf-8")
        os._exit(0)
    os.waitpid(pid, 0)
    text = report.read_text(encoding="utf-8")
    assert f"cannot write {tmp_path / 'run'}: it needs " in text
    assert "bytes" in text and "are free" in text and "make room" in text
    assert contents(tmp_path / "run") == before  # and no draft
    finished(tmp_path / "run", width=64)  # control
    assert contents(tmp_path / "run").keys() == before.keys()
    assert contents(tmp_path / "run") != before
    counted("fault")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "run.json"])
def test_each_file_is_replaced_whole(tmp_path, monkeypatch, name, counted):
    """A run that is killed before a file is moved leaves that file as it was."""
    finished(tmp_path)
    before = contents(tmp_path)
    real = os.replace

    def replace(old, new):
        if os.path.basename(new) == name:
            raise KeyboardInterrupt
        real(old, new)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        finished(tmp_path, width=32)
    assert contents(tmp_path)[name] == before[name]
    assert contents(tmp_path).keys() == before.keys()
    assert load_file(tmp_path / "model.safetensors")
    counted("fault")


def test_drafts_of_dead_processes_are_swept(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = platform.node()
    dead, alive = (
        tmp_path / f".{number}@{here}.draft" for number in (gone.pid, os.getppid())
    )
    for draft in (dead, alive):
        draft.mkdir()
        (draft / "model.safetensors").write_bytes(b"part")
    finished(tmp_path)
    assert not dead.exists() and alive.exists()


def test_an_error_of_another_kind_keeps_its_words(tmp_path):
    def fill(draft):
        raise ValueError("the model holds an adapter")

    with pytest.raises(ValueError, match="^the model holds an adapter$"):
        outputs.write_folder(tmp_path, fill, 1)
    assert [*tmp_path.iterdir()] == []


def test_a_path_of_bytes_that_are_no_text_can_be_recorded(tmp_path):
    outputs.write_json(tmp_path / "a.json", {"out": "\udcff 电影"}, ensure_ascii=False)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"out": "\udcff 电影"} and "电影" in text


# ---- grids: a file of other settings, and two processes ----


FACTS = {"tests": 8, "precision": "torch.float32", "methods": {"a": ["x", 1]}}


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"tests": 9}, "--tests 8, this run has 9; give another --out"),
        ({"precision": "torch.bfloat16"}, "set FTLIB_BF16=0, or give another --out"),
        ({"methods": {"a": ("x", 2)}}, "methods a \\['x', 1\\], this run has"),
    ],
)
def test_a_grid_does_not_mix_settings(tmp_path, changed, words, counted):
    path = tmp_path / "grid.json"
    grid.add(path, {"seed": 0, "accuracy": 0.5}, FACTS, order=["seed"])
    # more methods than before are more cells
    wider = {**FACTS, "commit": "other", "methods": {"a": ("x", 1), "b": ("y", 1)}}
    grid.same_settings(path, wider, ["tests"])
    with pytest.raises(SystemExit, match=words):
        grid.same_settings(path, FACTS | changed, ["tests"])
    counted("fault")


def test_two_processes_lose_no_cell_of_a_grid(tmp_path, counted):
    path, children = tmp_path / "grid.json", []

    def fill(add):
        for rank in range(4):
            pid = os.fork()
            if pid == 0:
                for i in range(12):
                    add(path, {"seed": 100 * rank + i}, FACTS, order=["seed"])
                os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        children.clear()
        found = len(grid.read(path)["cells"])
        path.unlink()
        return found

    def careless(path, cell, facts, order):
        old = grid.read(path)
        time.sleep(0.01)
        grid.write(path, {**old, **facts, "cells": [*old["cells"], cell]})

    assert fill(grid.add) == 48
    assert fill(careless) < 48
    counted("fault")


def test_of_a_cell_that_two_have_made_the_first_stays(tmp_path, capsys):
    path = tmp_path / "grid.json"
    for accuracy in (0.5, 0.7):
        cell = {"method": "a", "seed": 0, "accuracy": accuracy}
        grid.add(path, cell, FACTS, order=["method", "seed"])
    (cell,) = grid.read(path)["cells"]
    assert cell["accuracy"] == 0.5 and "its cell stays" in capsys.readouterr().out
    # tries of several rates differ in the rate alone
    for rate in (1e-3, 1e-2):
        grid.add(path, {"method": "b", "seed": 0, "rate": rate}, FACTS, ["method"])
    assert len(grid.read(path)["cells"]) == 3


def test_what_is_no_file_of_results_is_one_sentence(tmp_path):
    path = tmp_path / "grid.json"
    for text in ("", "{", "[1]"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit, match="is no file of results"):
            grid.same_settings(path, FACTS)


def test_without_git_the_commit_is_null(tmp_path, monkeypatch, counted):
    monkeypatch.setenv("PATH", str(tmp_path))
    facts = grid.about()
    assert facts["commit"] is None and facts["dirty"] is None
    assert pretraining.commit() is None
    counted("fault")


def test_a_clean_run_does_not_make_an_older_cell_clean(tmp_path):
    path = tmp_path / "cells.json"
    for seed, dirty in ((0, False), (1, True), (2, False)):
        grid.add(path, {"seed": seed}, {"dirty": dirty}, order=["seed"])
        assert grid.read(path)["dirty"] is (seed > 0)
    grid.add(tmp_path / "new.json", {"seed": 0}, {"dirty": None}, order=["seed"])
    assert grid.read(tmp_path / "new.json")["dirty"] is None
