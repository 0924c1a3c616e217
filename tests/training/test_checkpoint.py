"""Checkpoint files: whole or not there, damage is found, the right ones are kept.
RELIABILITY 6, 8, 10, 11, 12 and 13.
"""

import errno
import itertools
import json
import os
import pathlib
import platform
import random
import re
import resource
import signal
import warnings

import numpy
import pytest
import safetensors.torch
import torch
from forked import child  # beside this file

from ftlib.training import checkpoint

META = {"config": {"width": 8, "layers": [1, 2]}, "data": "aaaa", "vocabulary": "bbbb"}


def build(seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2)
    )
    return model, torch.optim.AdamW(model.parameters(), lr=0.1, betas=(0.9, 0.98))


def train(folder, last=4, hook=None, done=None):
    """The resume of checkpoint.py's docstring around a loop with dropout -> final
    state. `done` is told of each save.
    """
    model, optimizer = build()
    path = checkpoint.newest(folder)
    start = checkpoint.load(path, model, optimizer)["step"] if path else 0
    for step in range(start, last):
        model(torch.full((3, 4), float(step))).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        checkpoint.save_numbered(
            folder, model, optimizer, step=step + 1, keep=3, hook=hook
        )
        if done:
            done(step + 1)
    return {**model.state_dict(), "next draw": torch.rand(2)}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def forge(path, change, tensors=None):
    """Rewrite the checkpoint `path` with its description changed by `change`, under a
    digest that fits.
    """
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    info = json.loads(header["__metadata__"]["checkpoint"])
    stored = safetensors.torch.load(data)
    stored.update(tensors or {})
    info = change(info) or info
    data = safetensors.torch.save(
        stored, {"checkpoint": json.dumps(info), "sha256": "0" * 64}
    )
    at, digest = checkpoint._digest(data)
    path.write_bytes(data[:at] + digest + data[at + 64 :])


@pytest.fixture
def saved(tmp_path):
    """A folder with step-1 and step-2."""
    train(tmp_path, last=2)
    return tmp_path


# ---- what comes back, and what is refused (6) ----


class Odd(torch.nn.Module):
    """Tied weights, a weight that is not contiguous, buffers, a number without
    dimensions, bfloat16, nothing at all.
    """

    def __init__(self):
        super().__init__()
        self.table, self.out = (
            torch.nn.Embedding(6, 4),
            torch.nn.Linear(4, 6, bias=False),
        )
        self.out.weight = self.table.weight
        self.turned = torch.nn.Parameter(torch.rand(3, 4).t())
        self.small = torch.nn.Parameter(torch.rand(3).bfloat16())
        self.norm = torch.nn.BatchNorm1d(3)
        self.register_buffer("none", torch.empty(0, 2))

    def forward(self, ids):
        hidden = self.norm(self.table(ids) @ self.turned) * self.small.float()
        return self.out(hidden @ self.turned.t())


def test_everything_comes_back(tmp_path):
    model, other = Odd(), Odd()
    optimizer, fresh = (
        torch.optim.AdamW(m.parameters(), lr=lr, betas=(0.9, 0.9))
        for m, lr in ((model, 0.1), (other, 5.0))
    )
    model(torch.arange(6)).square().sum().backward()
    optimizer.step()
    path = tmp_path / "folder" / "one.safetensors"
    checkpoint.save(
        path, model, optimizer, step=7, meta={**META, "step": 3, "pair": (1, 2)}
    )
    draws = torch.rand(3), random.random()
    meta = checkpoint.load(path, other, fresh, expect={"pair": (1, 2)})
    assert meta == {**META, "pair": [1, 2], "step": 7}
    assert torch.equal(torch.rand(3), draws[0]) and random.random() == draws[1]
    assert (
        same(other.state_dict(), model.state_dict())
        and other.out.weight is other.table.weight
    )
    before, after = optimizer.state_dict(), fresh.state_dict()
    assert (
        after["param_groups"] == before["param_groups"]
        and after["state"].keys() == before["state"].keys()
    )
    assert all(
        same(after["state"][number], before["state"][number])
        for number in before["state"]
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda weights: torch.optim.SGD(weights, lr=0.1),
        lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
        lambda weights: torch.optim.Adam(weights, amsgrad=True),
        lambda weights: torch.optim.AdamW(weights, fused=True),
        lambda weights: torch.optim.Adagrad(weights),
        lambda weights: torch.optim.RMSprop(weights),
        lambda weights: torch.optim.Adafactor(weights),
        lambda weights: torch.optim.NAdam(weights),
    ],
)
def test_optimizers_continue_exactly(tmp_path, make):
    def run(steps, path=None):
        model, _ = build()
        optimizer = make(model.parameters())
        if path:
            checkpoint.load(path, model, optimizer)
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()
        return model, optimizer

    checkpoint.save(tmp_path / "a.safetensors", *run(2), step=2)
    assert same(
        run(2, tmp_path / "a.safetensors")[0].state_dict(), run(4)[0].state_dict()
    )


def test_weights_alone_leave_the_random_state(saved):
    model, optimizer = build()
    before = torch.get_rng_state()
    assert checkpoint.load(saved / "step-2.safetensors", model) == {"step": 2}
    assert torch.equal(torch.get_rng_state(), before)
    checkpoint.load(saved / "step-2.safetensors", model, optimizer)  # control
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "expect, words",
    [
        ({"config": {"width": 9, "layers": [1, 2]}}, ("config width", "8", "9")),
        ({"config": {"width": 8, "layers": [1]}}, ("config layers", "[1, 2]", "[1]")),
        (
            {"config": {"width": 8, "layers": [1, 2], "heads": 2}},
            ("config heads", "nothing", "2"),
        ),
        ({"config": {"width": 8}}, ("config layers", "[1, 2]", "nothing")),
        ({"data": "cccc"}, ("data", "aaaa", "cccc")),
        ({"vocabulary": "dddd"}, ("vocabulary", "bbbb", "dddd")),
        ({"tokenizer": "x"}, ("tokenizer", "nothing", "x")),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, expect, words):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, *build(), step=1, meta=META)
    model, optimizer = build(seed=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError) as error:
        checkpoint.load(path, model, optimizer, expect=expect)
    assert all(word in str(error.value) for word in (str(path), *words)), error.value
    assert same(model.state_dict(), before) and not optimizer.state
    # control: equal settings are not refused
    checkpoint.load(path, model, optimizer, expect=META)


def test_other_models_and_optimizers_are_refused_by_name(saved):
    path, (model, _) = saved / "step-2.safetensors", build()
    weights = [*model.parameters()]
    swapped = torch.optim.AdamW([weights[1], weights[0], *weights[2:]])
    fewer = torch.optim.AdamW(weights[:3])
    for other, words in [
        (swapped, ("optimizer 0", "0.weight", "0.bias")),
        (fewer, ("optimizer 3", "2.bias", "nothing")),
    ]:
        with pytest.raises(ValueError) as error:
            checkpoint.load(path, model, other)
        assert all(word in str(error.value) for word in words), error.value
    groups = torch.optim.AdamW([{"params": weights[:1]}, {"params": weights[1:]}])
    with pytest.raises(ValueError):
        checkpoint.load(path, model, groups)
    for change, words in [
        (
            lambda: model.append(torch.nn.Linear(2, 2)),
            ("model 3.weight", "nothing", "(2, 2)"),
        ),
        (lambda: model.pop(3) and model.double(), ("float32", "float64")),
    ]:
        change()
        with pytest.raises(ValueError) as error:
            checkpoint.load(path, model, None)
        assert all(word in str(error.value) for word in words), error.value


def without(*keys):
    def change(info):
        part = info
        for key in keys[:-1]:
            part = part[key]
        del part[keys[-1]]

    return change


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda info: info.update(format=2), "format is 2"),
        (without("format"), "format"),
        (without("step"), "step"),
        (without("meta"), "meta"),
        (without("random"), "random"),
        (lambda info: info.update(groups=None), "no optimizer"),
        (without("random", 0, "torch"), "torch"),
        (without("random", 0, "python"), "python"),
        (without("random", 0, "numpy"), "numpy"),
        (without("random", 0, "cuda"), "cuda"),
        (without("groups"), "groups"),
        (without("weights"), "weights"),
        (without("plain"), "plain"),
    ],
)
def test_another_version_or_a_missing_part_is_refused(saved, change, word):
    path = saved / "step-2.safetensors"
    forge(path, lambda info: None)
    # control: the forger's file is good when nothing is changed
    checkpoint.load(path, *build())
    forge(path, change)
    model, optimizer = build(seed=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=word):
        checkpoint.load(path, model, optimizer)
    assert same(model.state_dict(), before) and not optimizer.state


def test_what_cannot_be_saved_is_refused(tmp_path):
    model, optimizer = build()
    checkpoint.save(tmp_path / "a.safetensors", model, optimizer, step=1)
    lost = torch.optim.AdamW([*model.parameters(), torch.nn.Parameter(torch.ones(1))])
    with pytest.raises(ValueError, match="not in the model"):
        checkpoint.save(tmp_path / "a.safetensors", model, lost, step=2)
    model[2].bias.data[0] = float("nan")
    with pytest.raises(FloatingPointError, match="2.bias is not finite at step 2"):
        checkpoint.save(tmp_path / "a.safetensors", model, optimizer, step=2)
    assert checkpoint.load(tmp_path / "a.safetensors", build()[0])["step"] == 1


# ---- killed while writing (8) ----


class Killer:
    """A hook that ends the process before operation number `at`."""

    def __init__(self, at):
        self.left = at

    def __call__(self, operation):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


def killed_runs(folder, operations):
    """For each operation of a run: a folder in which a run was killed before it, and
    the last step it was told is safe.
    """
    for at in range(operations):
        place, safe = folder / str(at), folder / f"{at}.safe"
        safe.write_text("0", encoding="utf-8")
        status = child(
            lambda: train(
                place,
                hook=Killer(at),
                done=lambda step: safe.write_text(str(step), encoding="utf-8"),
            )
        )
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (
            f"operation {at}: the child was not killed"
        )
        yield place, int(safe.read_text(encoding="utf-8"))


def broken(folder):
    found = []
    for path in folder.glob("*.safetensors"):
        try:
            checkpoint.load(path, build()[0])
        except ValueError:
            found.append(path)
    return found


def test_killed_before_each_operation(tmp_path):
    seen = []
    whole = train(tmp_path / "whole", hook=seen.append)
    assert (
        seen[:7]
        == ["open", "write", "write", "write", "fsync", "replace", "fsync folder"]
        and len(seen) == 28
    )
    left = 0
    for folder, safe in killed_runs(tmp_path, len(seen)):
        assert broken(folder) == []
        left += len([*folder.glob(".*.tmp")])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            path = checkpoint.newest(folder)
            assert (
                safe
                <= (checkpoint.load(path, build()[0])["step"] if path else 0)
                <= safe + 1
            )
            assert same(train(folder), whole)
        # a later save sweeps what the killed process left
        assert safe == 4 or [*folder.glob(".*")] == []
    assert left > 10  # the kills did hit the middle of files


def write_in_place(path, data, hook):
    at, digest = checkpoint._digest(data)
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as file:
        for part in (data[:at], digest, data[at + 64 :]):
            hook("write")
            file.write(part)
            file.flush()


def test_control_in_place_writer_leaves_partial_files(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_write", write_in_place)
    assert sum(len(broken(folder)) for folder, _ in killed_runs(tmp_path, 12)) >= 8


# ---- a power cut (10): what was not synced may be lost, torn or out of order ----


class Recorder:
    """Stands in for `open` and `os` inside checkpoint.py and writes down what reaches
    the disk, in order.
    """

    def __init__(self):
        self.log, self.handles = [], {}

    def __getattr__(self, name):
        return getattr(os, name)

    def open_file(self, path, mode):
        file, recorder = open(path, mode), self
        self.handles[file.fileno()] = path.name
        self.log.append(("create", path.name))

        class Proxy:
            def __enter__(self):
                return self

            def __exit__(self, *error):
                file.close()

            def __getattr__(self, name):
                return getattr(file, name)

            def write(self, part):
                recorder.log.append(("write", path.name, bytes(part)))
                file.write(part)

        return Proxy()

    def open(self, folder, flags):
        handle = os.open(folder, flags)
        self.handles[handle] = None  # the folder
        return handle

    def fsync(self, handle):
        self.log.append(
            ("sync", self.handles[handle]) if self.handles[handle] else ("sync folder",)
        )

    def replace(self, old, new):
        self.log.append(("rename", old.name, new.name))
        os.replace(old, new)


def after_power_cut(log):
    """Every content of the folder, {name: bytes}, that the disk may hold when the power
    goes after the operations `log`.
    """
    contents, synced, names, open_names, pending = {}, {}, {}, {}, []
    for number, (operation, *rest) in enumerate(log):
        if operation == "create":
            contents[number], open_names[rest[0]] = b"", number
            pending.append({"add": (rest[0], number)})
        elif operation == "write":
            contents[open_names[rest[0]]] += rest[1]
        elif operation == "sync":
            synced[open_names[rest[0]]] = contents[open_names[rest[0]]]
        elif operation == "rename":
            open_names[rest[1]] = open_names.pop(rest[0])
            pending.append({"drop": rest[0], "add": (rest[1], open_names[rest[1]])})
        elif operation == "sync folder":
            names, pending = entries(names, pending), []
    for subset in itertools.product([False, True], repeat=len(pending)):
        folder = entries(names, itertools.compress(pending, subset))
        possible = [
            {synced[i]}
            if synced.get(i) == contents[i]
            else {
                b"",
                contents[i][:100],
                contents[i][:-1],
                bytes(len(contents[i])),
                contents[i],
            }
            for i in folder.values()
        ]
        for chosen in itertools.product(*possible):
            yield dict(zip(folder, chosen))


def entries(names, changes):
    names = dict(names)
    for change in changes:
        names.pop(change.get("drop"), None)
        names.update([change["add"]])
    return names


def lost(log):
    """How many possible states after a cut, at any moment of `log`, hold no valid file
    of the last acknowledged step.
    """
    count = safe = states = 0
    steps = {}
    for moment, (operation, *rest) in enumerate(log):
        if operation == "acknowledged":
            safe = rest[0]
        for folder in after_power_cut(log[: moment + 1]):
            best = 0
            for name, data in folder.items():
                if name.endswith(".safetensors"):
                    if data not in steps:
                        at, digest = checkpoint._digest(data)
                        valid = data[at : at + 64] == digest
                        steps[data] = (
                            json.loads(
                                json.loads(
                                    data[8 : 8 + int.from_bytes(data[:8], "little")]
                                )["__metadata__"]["checkpoint"]
                            )["step"]
                            if valid
                            else 0
                        )
                    best = max(best, steps[data])
            states, count = states + 1, count + (best < safe)
    assert states > 50
    return count


@pytest.mark.parametrize("name", ["step-{}.safetensors", "last.safetensors"])
def test_power_cut_never_loses_an_acknowledged_checkpoint(tmp_path, monkeypatch, name):
    recorder = Recorder()
    monkeypatch.setattr(checkpoint, "os", recorder)
    monkeypatch.setattr(checkpoint, "open", recorder.open_file, raising=False)
    for step in (1, 2, 3):
        checkpoint.save(tmp_path / name.format(step), *build(), step=step)
        recorder.log.append(("acknowledged", step))
    log = recorder.log
    assert [entry[0] for entry in log] == [
        "create",
        "write",
        "write",
        "write",
        "sync",
        "rename",
        "sync folder",
        "acknowledged",
    ] * 3
    assert lost(log) == 0
    # controls: each thing left out loses one
    assert lost([entry for entry in log if entry[0] != "sync"]) > 0
    assert lost([entry for entry in log if entry[0] != "sync folder"]) > 0
    target = {entry[1]: entry[2] for entry in log if entry[0] == "rename"}
    in_place = [
        (entry[0], target.get(entry[1], entry[1]), *entry[2:])
        if len(entry) > 1
        else entry
        for entry in log
        if entry[0] != "rename"
    ]
    # in place, only a file that is written over can be lost
    assert (lost(in_place) > 0) == (name == "last.safetensors")


# ---- a full disk (11) ----


def test_full_disk_names_path_and_bytes_and_keeps_the_old_file(saved):
    report = saved / "report"

    def work():
        model, optimizer = build()
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            checkpoint.save_numbered(saved, model, optimizer, step=3)
        except OSError as error:
            report.write_text(f"{error.errno} {error}", encoding="utf-8")

    assert child(work) == 0
    text = report.read_text(encoding="utf-8")
    assert str(saved / "step-3.safetensors") in text and re.search(
        r"needs 3\d{4} "
        r"bytes, \d+ are "
        r"free",
        text,
    ), text
    assert sorted(path.name for path in saved.iterdir()) == [
        "report",
        "step-1.safetensors",
        "step-2.safetensors",
    ]
    assert checkpoint.newest(saved).name == "step-2.safetensors"
    # control: without the limit there is room
    checkpoint.save_numbered(saved, *build(), step=3)


def test_error_of_the_disk_keeps_its_kind(saved, monkeypatch):
    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left") as error:
        checkpoint.save(saved / "step-3.safetensors", *build(), step=3)
    assert error.value.errno == 28 and [*saved.glob(".*")] == []


# ---- damage (12) ----


def test_flips_and_truncations_are_rejected(saved):
    path, draw, plain = saved / "step-2.safetensors", random.Random(0), 0
    good = path.read_bytes()
    damaged = []
    for _ in range(100):
        at = draw.randrange(len(good) * 8)
        damaged.append(
            good[: at // 8] + bytes([good[at // 8] ^ 1 << at % 8]) + good[at // 8 + 1 :]
        )
    damaged += [good[: draw.randrange(len(good))] for _ in range(49)] + [b""]
    for number, data in enumerate(damaged):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="damaged"):
            checkpoint.load(path, *build())
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert checkpoint.newest(saved).name == "step-1.safetensors"
        assert len(said) == 1 and str(path) in str(said[0].message)
        try:
            plain += number < 100 and bool(safetensors.torch.load(data))
        except safetensors.SafetensorError:
            pass
    assert plain > 30  # control: the plain reader takes many of the flipped files


def test_newest_of_nothing(tmp_path):
    assert (
        checkpoint.newest(tmp_path) is None
        and checkpoint.newest(tmp_path / "not there") is None
    )
    (tmp_path / "step-1.safetensors").write_bytes(b"no")
    with pytest.warns(UserWarning, match="passed over"):
        assert checkpoint.newest(tmp_path) is None


# ---- rotation, temporary files, permissions (13) ----


def save_all(folder, steps, **more):
    for step in steps:
        checkpoint.save_numbered(folder, *build(), step=step, **more)
    return sorted(
        int(path.stem[5:])
        for path in folder.glob("step-*.safetensors")
        if path.stem[5:].isdigit()
    )


def test_rotation_sorts_by_number(tmp_path):
    assert save_all(tmp_path, [998, 999, 1000, 1001]) == [1000, 1001]
    # control: by name, 9 is last
    assert (
        save_all(tmp_path / "b", [8, 9, 10]) == [9, 10]
        and sorted(["9", "10"])[-1] == "9"
    )
    assert checkpoint.newest(tmp_path / "b").name == "step-10.safetensors"


def test_rotation_keeps_at_least_two_and_the_best(tmp_path):
    assert save_all(tmp_path, [1, 2, 3], keep=1) == [2, 3]
    assert save_all(tmp_path, [4, 5, 6], best=3) == [3, 5, 6]
    assert save_all(tmp_path, [7, 8], best=7) == [7, 8]
    assert save_all(tmp_path, [9, 10], best=7, keep=3) == [7, 8, 9, 10]


def test_rotation_never_removes_the_only_valid_one(tmp_path):
    save_all(tmp_path, [1, 2])
    for step in (5, 6, 7):
        (tmp_path / f"step-{step}.safetensors").write_bytes(b"torn")
    with pytest.warns(UserWarning, match="passed over"):
        left = save_all(tmp_path, [3])
    assert left == [2, 3, 5, 6, 7]  # by number alone, 2 and 3 would have gone


def test_files_that_are_not_numbered_checkpoints_are_left_alone(tmp_path):
    mine = [
        tmp_path / name
        for name in (
            "notes.txt",
            "best.safetensors",
            "step-x.safetensors",
            "step-1-mine.safetensors",
        )
    ]
    for path in mine:
        path.write_text("mine", encoding="utf-8")
    save_all(tmp_path, [1, 2, 3, 4])
    assert [path.read_text(encoding="utf-8") for path in mine] == ["mine"] * 4


def test_temporary_files_of_dead_processes_are_swept(tmp_path):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    here = platform.node()
    dead, alive, mine, elsewhere, other = (
        tmp_path / name
        for name in (
            f".step-1.safetensors.{pid}@{here}.tmp",
            f".step-1.safetensors.{os.getppid()}@{here}.tmp",
            f".step-1.safetensors.{os.getpid()}@{here}.tmp",
            f".step-1.safetensors.{pid}@{here}2.tmp",
            ".notes.tmp",
        )
    )
    for path in (dead, alive, mine, elsewhere, other):
        path.write_bytes(b"part")
    save_all(tmp_path, [2])
    assert [path.exists() for path in (dead, alive, mine, elsewhere, other)] == [
        False,
        True,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_umask_is_followed(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        save_all(tmp_path, [1])
    finally:
        os.umask(before)
    assert pathlib.Path(tmp_path / "step-1.safetensors").stat().st_mode & 0o777 == mode


def test_a_link_at_the_temporary_name_is_not_followed(tmp_path):
    target, path = tmp_path / "target", tmp_path / "run" / "a.safetensors"
    target.write_text("mine", encoding="utf-8")
    path.parent.mkdir()

    def plant(operation):
        if operation == "open":
            (
                path.parent / f".a.safetensors.{os.getpid()}@{platform.node()}.tmp"
            ).symlink_to(target)

    with pytest.raises(OSError):
        checkpoint.save(path, *build(), step=1, hook=plant)
    assert target.read_text(encoding="utf-8") == "mine"


# ---- what the disk or the rights refuse, and what a file system cannot ----


@pytest.mark.parametrize("call", ["file", "folder", "both"])
@pytest.mark.parametrize("kind", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_drive_that_cannot_sync_is_written(tmp_path, monkeypatch, call, kind):
    """Network drives answer EINVAL to an fsync of a folder: the file is there, and no
    handle stays open.
    """

    def fsync(handle):
        folder = os.path.isdir(f"/proc/self/fd/{handle}")
        if call == "both" or folder == (call == "folder"):
            raise OSError(kind, os.strerror(kind))

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(checkpoint.os, "fsync", fsync)
    checkpoint.save_numbered(tmp_path, *build(), step=1)
    assert checkpoint.newest(tmp_path).name == "step-1.safetensors"
    assert [*tmp_path.glob(".*")] == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_whose_sync_fails_is_told_and_closed(tmp_path, monkeypatch, counted):
    def fsync(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EIO, "Input/output error")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(checkpoint.os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error; look at the path"):
        checkpoint.save(tmp_path / "a.safetensors", *build(), step=1)
    assert len(os.listdir("/proc/self/fd")) == before
    counted("fault")


@pytest.mark.parametrize("kind", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_missing_right_is_called_one(saved, monkeypatch, kind, counted):
    def replace(old, new):
        raise OSError(kind, os.strerror(kind))

    monkeypatch.setattr(checkpoint.os, "replace", replace)
    with pytest.raises(OSError) as error:
        checkpoint.save(saved / "step-3.safetensors", *build(), step=3)
    text = str(error.value)
    assert f"cannot write {saved / 'step-3.safetensors'}: {os.strerror(kind)}" in text
    assert "permission to write" in text and "room" not in text
    assert error.value.errno == kind and [*saved.glob(".*")] == []
    counted("fault")


def test_a_folder_that_may_not_be_written_is_called_that(tmp_path, counted):
    """A real folder without the right to write, as a user who is not root."""
    folder, report = tmp_path / "shut", tmp_path / "report"
    folder.mkdir()
    folder.chmod(0o555)
    report.write_text("", encoding="utf-8")
    report.chmod(0o666)
    for place in (tmp_path, *tmp_path.parents[:3]):
        place.chmod(place.stat().st_mode | 0o055)

    def work():
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            checkpoint.save(folder / "new" / "a.safetensors", *build(), step=1)
        except PermissionError as error:
            report.write_text(str(error), encoding="utf-8")

    assert child(work) == 0
    text = report.read_text(encoding="utf-8")
    assert f"cannot write {folder / 'new' / 'a.safetensors'}" in text
    assert "permission to write" in text and "room" not in text
    counted("fault")


def test_a_file_where_a_folder_should_be_is_told(tmp_path):
    (tmp_path / "run").write_text("mine", encoding="utf-8")
    path = tmp_path / "run" / "a.safetensors"
    with pytest.raises(OSError, match=f"cannot write {path}: .*; look at the path"):
        checkpoint.save(path, *build(), step=1)


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_asks_for_room(tmp_path, monkeypatch, kind):
    path = tmp_path / "new" / "run.json"

    def fsync(handle):
        raise OSError(kind, os.strerror(kind))

    monkeypatch.setattr(checkpoint.os, "fsync", fsync)
    with pytest.raises(OSError, match=r"needs 12 bytes, \d+ are free .*; make room"):
        checkpoint.write_whole(path, [b"a text ", b"of 12"])
    assert not path.exists()


def test_any_file_is_written_whole(tmp_path):
    path = tmp_path / "new" / "run.json"
    checkpoint.write_whole(path, [b"old"])
    checkpoint.write_whole(path, [b"n", b"ew"])
    assert path.read_bytes() == b"new" and [*path.parent.iterdir()] == [path]


# ---- what meta may hold ----


def test_numbers_of_numpy_and_of_tensors_are_kept_in_meta(tmp_path):
    path = tmp_path / "a.safetensors"
    meta = {
        "loss": numpy.float32(0.5),
        "rows": numpy.int64(7),
        "shuffled": numpy.bool_(True),
        "curve": numpy.arange(3),
        "rate": torch.tensor(0.25),
        "nested": {"bits": [numpy.uint8(3)]},
    }
    checkpoint.save(path, *build(), step=1, meta=meta)
    wanted = {
        "loss": 0.5,
        "rows": 7,
        "shuffled": True,
        "curve": [0, 1, 2],
        "rate": 0.25,
        "nested": {"bits": [3]},
    }
    assert checkpoint.load(path, *build(), expect=meta) == wanted | {"step": 1}
    with pytest.raises(ValueError, match="rows is 7 in the file, 8 here"):
        checkpoint.load(path, *build(), expect={"rows": numpy.int64(8)})


@pytest.mark.parametrize(
    "meta, words",
    [
        ({"seen": {1, 2}}, "a set"),
        ({"run": print}, "a builtin_function_or_method"),
        ({(1, 2): "pair"}, "keys must be str"),
    ],
)
def test_what_meta_cannot_hold_is_one_sentence(tmp_path, meta, words, counted):
    with pytest.raises(TypeError, match=f"the meta cannot be kept as text .*{words}"):
        checkpoint.save(tmp_path / "a.safetensors", *build(), step=1, meta=meta)
    assert [*tmp_path.iterdir()] == []
    counted("fault")


def test_a_rate_in_a_tensor_is_kept_as_a_number(tmp_path):
    model, _ = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(0.25))
    checkpoint.save(tmp_path / "a.safetensors", model, optimizer, step=1)
    checkpoint.load(tmp_path / "a.safetensors", model, optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_an_optimizer_whose_state_no_file_holds_is_refused(tmp_path, counted):
    model = build()[0].eval()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=5)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(2, 4)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with pytest.raises(TypeError, match="the state cannot be kept .*LBFGS"):
        checkpoint.save(tmp_path / "a.safetensors", model, optimizer, step=1)
    counted("fault")


def test_two_are_kept_unless_said(tmp_path):
    """The newest may be the one that a crash has cut off; then the other counts."""
    for step in (1, 2, 3):
        checkpoint.save_numbered(tmp_path, *build(), step=step)
    kept = sorted(path.name for path in tmp_path.glob("step-*.safetensors"))
    assert kept == ["step-2.safetensors", "step-3.safetensors"]


@pytest.mark.parametrize("step", [1.7, -1, True, "3"])
def test_a_step_that_is_no_number_of_steps_is_refused(step, tmp_path):
    """Cut to a whole number, 1.7 would send a resumed run back to another row."""
    for call in (
        lambda: checkpoint.save(tmp_path / "x.safetensors", *build(), step=step),
        lambda: checkpoint.save_numbered(tmp_path, *build(), step=step),
    ):
        with pytest.raises(
            ValueError, match="the number of optimizer steps done, 0 or more"
        ):
            call()
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("step", [numpy.int64(3), torch.tensor(3)])
def test_whole_numbers_of_other_libraries_are_steps(step, tmp_path):
    path = checkpoint.save_numbered(tmp_path, *build(), step=step)
    assert path.name == "step-3.safetensors"
    assert checkpoint.load(path, *build())["step"] == 3
