"""Checkpoints against what careless code does: another job's file, kills, power cuts, a
full disk, damage, rotation, numbers that are not finite. RELIABILITY 6, 8 to 13 and 18.
"""

import itertools
import os
import random
import resource
import signal
import subprocess
import sys
import warnings

import kill_test
import pytest
import safetensors
import safetensors.torch
import torch
from forked import child  # beside this file
from stages import ROOT
from test_train import planted

from ftlib.models import transformer
from ftlib.objectives import mlm
from ftlib.training import checkpoint, optim, train


def net_and_optimizer(width=8):
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(4, width), torch.nn.Dropout(0.5), torch.nn.Linear(width, 2)
    )
    return net, torch.optim.AdamW(net.parameters(), lr=0.1)


def steps_in(folder):
    return sorted(int(path.stem[5:]) for path in folder.glob("step-*.safetensors"))


# ---- another job's checkpoint (6) ----


def test_control_without_the_comparison_another_job_goes_on(tmp_path):
    """Same shapes, another vocabulary: a reader that compares nothing takes it; the
    message of ours names field and values.
    """
    net, optimizer = net_and_optimizer()
    path = tmp_path / "step-1.safetensors"
    checkpoint.save(path, net, optimizer, step=1, meta={"vocabulary": "aaaa"})
    assert checkpoint.load(path, *net_and_optimizer())["step"] == 1
    with pytest.raises(ValueError) as error:
        checkpoint.load(path, *net_and_optimizer(), expect={"vocabulary": "bbbb"})
    assert "vocabulary is 'aaaa' in the file, 'bbbb' here" in str(error.value)


# ---- killed before whatever the system is asked to do (8) ----


def killed_at(folder, save, number, count=None):
    """Run `save(folder)` in a child that is killed before change number `number` to the
    folder -> its wait status.

    The operating system's view, so that an operation for which the writer calls no hook
    (mkdir, the removals of rotation) is hit as well. With `count`, a file, nothing is
    killed and the number of changes is written there.
    """

    def work():
        left = [number]

        def watch(event, arguments):
            changes = event in ("os.mkdir", "os.rename", "os.remove") or (
                event == "open"
                and isinstance(arguments[2], int)
                and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            if changes and str(folder) in str(arguments[0]):
                left[0] -= 1
                if left[0] < 0 and count is None:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        save(folder)
        if count:
            count.write_text(str(number - left[0]), encoding="utf-8")

    return child(work)


def four_saves(folder):
    for step in range(1, 5):
        checkpoint.save_numbered(folder, *net_and_optimizer(), step=step)


def four_careless_saves(folder):
    """The control: the old file goes before the new one is there, and the new one is
    written in place.
    """
    for step in range(1, 5):
        net, optimizer = net_and_optimizer()
        checkpoint.save(folder.parent / "elsewhere", net, optimizer, step=step)
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*"):
            old.unlink()
        (folder / f"step-{step}.safetensors").write_bytes(
            (folder.parent / "elsewhere").read_bytes()
        )


def lost_by_kills(place, save):
    """(how many changes the system sees, how many kills leave less than a valid
    checkpoint that had been there).
    """
    assert killed_at(place / "whole", save, 0, count=place / "count") == 0
    changes, lost, best = int((place / "count").read_text(encoding="utf-8")), 0, 0
    for number in range(changes):
        folder = place / f"killed {number}" / "run"
        folder.parent.mkdir()
        status = killed_at(folder, save, number)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, number
        with warnings.catch_warnings():
            # a file that is passed over would be a partial one
            warnings.simplefilter("error")
            try:
                path = checkpoint.newest(folder)
            except UserWarning:
                path = None
        found = checkpoint.load(path, net_and_optimizer()[0])["step"] if path else 0
        lost, best = lost + (found < best), max(best, found)
    return changes, lost


def test_killed_before_each_change_that_the_system_sees(tmp_path, counted):
    for name in ("ours", "careless"):
        (tmp_path / name).mkdir()
    changes, lost = lost_by_kills(tmp_path / "ours", four_saves)
    # of each save a file and a rename; and two old files that go
    assert changes >= 4 * 2 + 2 and lost == 0
    assert lost_by_kills(tmp_path / "careless", four_careless_saves)[1] >= 3
    counted("fault")


def test_a_small_kill_test_and_its_control(counted):
    """`make kill-test` with few kills: it passes on ours, and says so loudly of a
    writer that overwrites in place.
    """

    def run(*words):
        ended = subprocess.run(
            [sys.executable, str(ROOT / "tools" / "kill_test.py"), *words],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        return ended.returncode, ended.stdout

    code, said = run("--kills", "8")
    # so few kills may all miss the saves, and then it says that
    assert said.startswith("8 kills with seed 0") and (
        code == 0 or "of the kills hit a save" in said
    ), said
    code, said = run("--kills", "100", "--careless")
    assert code == 1 and said.startswith("FAILED: a kill left a part of a file"), said
    with pytest.raises(RuntimeError, match="did not end in 0 s"):
        kill_test.kill_often(kills=1, seed=0, seconds=0)
    counted("fault", 2)


# ---- a power cut while old files are rotated out (10) ----


def lost_to_a_power_cut(log):
    """How many states of the disk after a cut, at any moment of `log`, hold no file of
    the last acknowledged step or a later one.

    A file counts if its content was synced. Of the changes to names since the folder
    was synced, any subset may be there.
    """
    synced, names, pending, safe, lost, states = set(), {}, [], 0, 0, 0
    for operation, *rest in log:
        if operation == "synced":
            synced.add(rest[0])
        elif operation == "folder":
            for old, new, step in pending:
                names.pop(old, None)
                names.update({new: step} if new else {})
            pending = []
        elif operation == "acknowledged":
            safe = rest[0]
        else:
            pending.append(rest)
        for subset in itertools.product([False, True], repeat=len(pending)):
            there = dict(names)
            for old, new, step in itertools.compress(pending, subset):
                there.pop(old, None)
                there.update({new: step} if new else {})
            states, lost = (
                states + 1,
                lost
                + (
                    max([step for step in there.values() if step in synced], default=0)
                    < safe
                ),
            )
    assert states > 30
    return lost


def test_a_power_cut_during_rotation_loses_nothing(tmp_path, monkeypatch, counted):
    log, now = [], [0]
    real = {name: getattr(os, name) for name in ("fsync", "replace", "unlink")}

    def fsync(handle):
        log.append(
            ("folder",)
            if os.path.isdir(f"/proc/self/fd/{handle}")
            else ("synced", now[0])
        )
        real["fsync"](handle)

    def replace(old, new):
        log.append(("names", str(old), str(new), now[0]))
        real["replace"](old, new)

    def unlink(path, **more):
        log.append(("names", str(path), None, 0))
        real["unlink"](path, **more)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    for name, stand_in in (("fsync", fsync), ("replace", replace), ("unlink", unlink)):
        monkeypatch.setattr(os, name, stand_in)
    for now[0] in range(1, 6):
        checkpoint.save_numbered(tmp_path, *net_and_optimizer(), step=now[0])
        log.append(("acknowledged", now[0]))
    monkeypatch.undo()
    # the removal comes last
    assert [entry[0] for entry in log[-5:]] == [
        "synced",
        "names",
        "folder",
        "names",
        "acknowledged",
    ]
    assert lost_to_a_power_cut(log) == 0
    # controls: no fsync of the file, none of the folder, and a rotation that keeps one
    # and removes before the folder is synced
    assert lost_to_a_power_cut([entry for entry in log if entry[0] != "synced"]) > 0
    assert lost_to_a_power_cut([entry for entry in log if entry[0] != "folder"]) > 0
    one, path = [], lambda step: str(tmp_path / f"step-{step}.safetensors")
    for step in range(1, 6):
        one += [
            ("synced", step),
            ("names", "new", path(step), step),
            ("names", path(step - 1), None, 0),
            ("folder",),
            ("acknowledged", step),
        ]
    assert lost_to_a_power_cut(one) > 0
    counted("fault", 3)


# ---- a full disk (11), damage (12), rotation (13): what careless code does there ----


def test_control_a_plain_writer_on_a_full_disk_loses_the_old_file(tmp_path, counted):
    path = tmp_path / "model.safetensors"
    tensors = {"weight": torch.ones(10_000)}
    safetensors.torch.save_file(tensors, path)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with open(path, "wb") as file:
            file.write(safetensors.torch.save(tensors))

    assert child(work) != 0
    with pytest.raises(safetensors.SafetensorError):
        safetensors.torch.load_file(path)
    counted("fault")


def test_control_the_plain_reader_takes_nearly_every_flipped_file(tmp_path, counted):
    """With a model of usual shape (most of the file is weights) safetensors alone
    accepts damaged weights; ours refuses all.
    """
    net, optimizer = net_and_optimizer(width=20_000)
    path = tmp_path / "step-1.safetensors"
    checkpoint.save(path, net, None, step=1)
    good, draw, plain = path.read_bytes(), random.Random(1), 0
    for _ in range(100):
        at = draw.randrange(len(good) * 8)
        flipped = bytearray(good)
        flipped[at // 8] ^= 1 << at % 8
        try:
            plain += bool(safetensors.torch.load(bytes(flipped)))
        except safetensors.SafetensorError:
            pass
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match="damaged"):
            checkpoint.load(path, net)
    assert plain >= 90
    counted("fault")


def careless_rotation(folder, key, valid):
    """Keep the two last ones by `key`; `valid` says whether broken files are left out
    of the count.
    """
    files = sorted(folder.glob("step-*.safetensors"), key=key, reverse=True)
    good = [path for path in files if not valid or len(path.read_bytes()) > 10]
    for path in files:
        if path not in good[:2]:
            path.unlink()


def test_control_a_careless_rotation_removes_the_wrong_files(tmp_path, counted):
    def left(name, steps, broken, key, valid):
        (tmp_path / name).mkdir()
        for step in steps:
            checkpoint.save(
                tmp_path / name / f"step-{step}.safetensors",
                *net_and_optimizer(),
                step=step,
            )
        for step in broken:
            (tmp_path / name / f"step-{step}.safetensors").write_bytes(b"torn")
        careless_rotation(tmp_path / name, key, valid)
        return steps_in(tmp_path / name)

    number = lambda path: int(path.stem[5:])  # noqa: E731
    assert left("sound", [998, 999, 1000], [], number, True) == [999, 1000]
    # the newest is gone
    assert left("by name", [998, 999, 1000], [], lambda path: path.name, True) == [
        998,
        999,
    ]
    # only broken ones stay
    assert left("by number alone", [1, 2], [5, 6], number, False) == [5, 6]
    counted("fault", 2)


# ---- no checkpoint holds what is not finite (18) ----


def test_no_checkpoint_of_a_poisoned_run_holds_nan(tmp_path, counted):
    def poisoned(net, batch):
        return mlm.mlm_loss(net, batch) * (
            float("nan") if {3, 9} & set(batch["index"].tolist()) else 1.0
        )

    def run(folder, steps):
        torch.manual_seed(0)
        net = transformer.LanguageModel(kill_test.CONFIG)
        optimizer = optim.adamw(optim.parameter_groups(net, 1e-2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            skipped = []
            for step in itertools.islice(
                steps(net, kill_test.batches(0), poisoned, optimizer), 6
            ):
                skipped.append(step.skipped)
                checkpoint.save_numbered(
                    folder, net, optimizer, step=step.number + 1, keep=9
                )
        return skipped

    skipped = run(tmp_path / "ours", train.steps)
    assert 0 < sum(skipped) < 6 and steps_in(tmp_path / "ours") == [1, 2, 3, 4, 5, 6]
    for path in (tmp_path / "ours").glob("*"):
        assert all(
            tensor.isfinite().all()
            for tensor in safetensors.torch.load_file(path).values()
        )
    broken = planted("if finite and sum(counted):", "if True:")["steps"]
    # the loop lets it in, and the writer refuses it
    with pytest.raises(FloatingPointError, match="not finite at step"):
        run(tmp_path / "broken", broken)
    counted("fault")
