"""What the other files of RELIABILITY leave open: lines 4, 6, 8, 10 to 13, 16, 18 to
20, 22 to 24 and 26, each with its control.

`torchrun ... tests/training/test_survival.py FOLDER` is the job whose worker line
22 kills.
"""

import csv
import io
import itertools
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import tomllib
import warnings

import pytest
import safetensors
import safetensors.torch
import torch
from processes import child  # beside this file
from stages import ROOT

sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
import kill_test  # noqa: E402

from ftlib.data import tables, tokenization  # noqa: E402
from ftlib.models import transformer  # noqa: E402
from ftlib.objectives import classify, mlm  # noqa: E402
from ftlib.training import checkpoint, distributed, oom, optim, train  # noqa: E402


def net_and_optimizer(width=8):
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(4, width), torch.nn.Dropout(0.5), torch.nn.Linear(width, 2)
    )
    return net, torch.optim.AdamW(net.parameters(), lr=0.1)


def steps_in(folder):
    return sorted(int(path.stem[5:]) for path in folder.glob("step-*.safetensors"))


# ---- three resumes inside one epoch (4) ----


def test_a_run_resumed_three_times_inside_one_epoch(tmp_path, monkeypatch):
    import test_resume

    monkeypatch.setattr(test_resume, "ACCUMULATE", 1)  # six steps an epoch

    def pieces(forget=None):
        folder, seen = tmp_path / str(forget), []
        for last in (1, 3, 4, 6):
            ended = test_resume.run(folder, forget=forget, seen=seen, last=last)
        assert {epoch for epoch, _ in seen} == {0}
        return sorted(row for _, rows in seen for row in rows), ended[0]

    rows, ended = pieces()
    assert rows == list(range(test_resume.ROWS))
    assert ended == test_resume.run(tmp_path / "whole", last=6)[0]
    rows, other = pieces(forget="data position")  # control
    assert rows != list(range(test_resume.ROWS)) and other != ended


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
            count.write_text(str(number - left[0]))

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
    changes, lost, best = int((place / "count").read_text()), 0, 0
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


# ---- every head that a chapter trains with Trainer is among those of test_trainer.py
# (16) ----


def heads_of(cells):
    """Code cells of one chapter -> (heads that are trained with Trainer, findings)."""
    import transformers

    from ftlib.course import hub

    text = "\n".join(cells)
    calls = re.findall(
        r"(?<![\w])(?:transformers\.)?Trainer\(((?:[^()]|\([^()]*\))*)\)", text
    )
    if not calls:
        return set(), []
    found = [
        f"Trainer({call.split(',')[0]}, ...) without compute_loss_func"
        for call in calls
        if "compute_loss_func" not in call
    ]
    heads = set(re.findall(r"\b(?!AutoModel)([A-Z]\w+For[A-Z]\w+)\(", text))
    for auto, rest in re.findall(
        r"\b(AutoModelFor\w+)\.from_pretrained\((.*?)\)", text, re.S
    ):
        # the folder stands in the call, or in a variable that an earlier line sets
        first = re.match(r"\s*(\w+)\s*,", rest)
        where = rf"(?m)^{first[1]} = (.*)$" if first else "(?!)"
        lines = re.findall(where, text)
        name = re.search(
            r'hub\.resolve\("([\w.-]+)"', lines[-1] if len(set(lines)) == 1 else rest
        )
        if not name:
            found.append(
                f"{auto}.from_pretrained({rest}): which head is that? write "
                'hub.resolve("name") in the call'
            )
            continue
        config = transformers.AutoConfig.from_pretrained(hub.resolve(name[1]))
        heads.add(getattr(transformers, auto)._model_mapping[type(config)].__name__)
    return heads, found


def code_cells(path):
    return [
        "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]


def test_every_head_that_a_chapter_trains_with_trainer_is_tested():
    pytest.importorskip("accelerate")
    import test_trainer

    heads = set()
    for path in sorted((ROOT / "chapters").glob("[0-9]*.ipynb")):
        mine, found = heads_of(code_cells(path))
        assert found == [] and mine <= set(test_trainer.HEADS), (path.name, mine, found)
        heads |= mine
    assert heads, (
        "no chapter uses Trainer: either that is so, or this test no longer sees it"
    )


@pytest.mark.parametrize(
    "text",
    [
        "net = transformers.GPT2ForSequenceClassification(tiny)\nTrainer(net, "
        "settings, "
        "compute_loss_func=loss)",
        "trainer = transformers.Trainer(net, TrainingArguments(folder), "
        "train_dataset=rows)",
        "net = AutoModelForTokenClassification.from_pretrained(folder)\nTrainer(net, "
        "compute_loss_func=loss)",
        "net = AutoModelForTokenClassification.from_pretrained("
        'hub.resolve("reviews-bert-mini"))\n'
        "Trainer(net, compute_loss_func=loss)",
    ],
)
def test_an_untested_head_is_noticed(text, counted):
    pytest.importorskip("accelerate")
    import test_trainer

    heads, found = heads_of([text])
    assert found or not heads <= set(test_trainer.HEADS)
    counted("fault")


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
    import test_train

    broken = test_train.planted("if finite and sum(counted):", "if True:")["steps"]
    # the loop lets it in, and the writer refuses it
    with pytest.raises(FloatingPointError, match="not finite at step"):
        run(tmp_path / "broken", broken)
    counted("fault")


# ---- out of memory (19) ----

# The scores of a step are 16 x 64 x 10000 x 8 bytes = 82 MB, and three such are alive
# at once; half of one is still above the 32 MB from which glibc gives memory back to
# the system when it is freed
# 46 rows: steps of 16, 16, 14, 16, 16 rows in two epochs
WORDS, LENGTH, STEP_ROWS, STEP_COUNT = 10_000, 64, 16, 5


def whole_steps(first):
    for _, rows in itertools.islice(
        train.sample_rows(46, STEP_ROWS, seed=2, start=first), STEP_COUNT - first
    ):
        ids = torch.randint(
            5, WORDS, (46, LENGTH), generator=torch.Generator().manual_seed(0)
        )[rows]
        yield {"input_ids": ids, "labels": ids.clone(), "index": torch.tensor(rows)}


def scores_of_all(net, batch):
    return torch.nn.functional.cross_entropy(
        net(batch["input_ids"]).logits.flatten(0, 1),
        batch["labels"].flatten(),
        reduction="sum",
    )


def narrow_run(folder, tried, squeeze=None, keep_step=True):
    """A `run(size, accumulate)` for oom.retry_on_oom: {step: loss}; after two steps
    `squeeze()` takes memory away.
    """
    losses = {}

    def run(size, accumulate):
        tried.append((size, accumulate))
        torch.manual_seed(0)
        net = transformer.LanguageModel(
            transformer.Config(
                WORDS, width=8, layers=1, heads=2, ffn_dim=8, max_tokens=LENGTH
            )
        ).double()
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
        path = checkpoint.newest(folder)
        first = checkpoint.load(path, net, optimizer)["step"] if path else 0
        data = (
            part
            for batch in whole_steps(first)
            for part in train.split_micro_batches(batch, STEP_ROWS // size)
        )
        for step in train.steps(
            net,
            data,
            scores_of_all,
            optimizer,
            accumulate=accumulate if keep_step else 1,
            first=first,
        ):
            losses[step.number] = step.loss
            checkpoint.save_numbered(folder, net, optimizer, step=step.number + 1)
            if squeeze and step.number == 1:
                squeeze()
        return losses

    return run


def squeeze(megabytes=170):
    """From now on this process gets no more than so many megabytes of addresses beyond
    what it has.
    """
    now = (
        int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        * resource.getpagesize()
    )
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20,) * 2)


def in_a_child(folder, work):
    """What `work()` returns in a forked process, through a file."""
    folder.mkdir(exist_ok=True)
    assert child(lambda: (folder / "report.json").write_text(json.dumps(work()))) == 0
    return json.loads((folder / "report.json").read_text())


@pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="needs /proc and RLIMIT_AS"
)
def test_out_of_memory_goes_on_with_half_the_micro_batch_and_the_same_step(
    tmp_path, counted
):
    def survived():
        tried = []
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            losses = oom.retry_on_oom(
                narrow_run(tmp_path / "squeezed", tried, squeeze), STEP_ROWS
            )
        return tried, losses, [str(warning.message) for warning in said]

    def without(mean_of=None):
        try:
            return narrow_run(tmp_path / "stopped", [], squeeze)(STEP_ROWS, 1)
        except RuntimeError as error:
            return [oom.out_of_memory(error), str(error)]

    wanted = narrow_run(tmp_path / "whole", [])(STEP_ROWS, 1)
    tried, losses, said = in_a_child(tmp_path / "a", survived)
    # one real failure, in the third step, and the second attempt fits
    assert tried == [[16, 1], [8, 2]], (tried, said)
    assert said == [
        "out of memory with micro-batches of 16 rows; again with 2 of 8 rows a step"
    ]
    assert losses.keys() == {str(step) for step in wanted} and len(wanted) == STEP_COUNT
    # the same steps, short ones too
    assert (
        max(abs(losses[str(step)] / loss - 1) for step, loss in wanted.items()) < 1e-12
    )
    # controls: without halving the run ends there; half the micro-batch without twice
    # as many is another training
    fits, words = in_a_child(tmp_path / "b", without)
    assert fits and "memory" in words and steps_in(tmp_path / "stopped") == [1, 2]
    smaller = narrow_run(tmp_path / "smaller", [], keep_step=False)(8, 2)
    assert len(smaller) == 2 * len(wanted) and abs(smaller[4] / wanted[4] - 1) > 1e-4
    counted("fault", 2)


@pytest.mark.parametrize(
    "error, again",
    [
        (MemoryError(), True),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
            True,
        ),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:126] DefaultCPUAllocator: can't "
                "allocate memory: you tried to allocate 9 bytes"
            ),
            True,
        ),
        (
            RuntimeError(
                "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."
            ),
            True,
        ),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (FloatingPointError("3 steps in a row"), False),
        (ValueError("memory"), False),
    ],
)
def test_only_a_failed_allocation_is_tried_again(error, again, monkeypatch):
    # seconds, with all that the tests have imported
    monkeypatch.setattr(oom.gc, "collect", lambda: 0)
    tried = []

    def run(size, accumulate):
        tried.append((size, accumulate))
        raise error

    with warnings.catch_warnings(), pytest.raises(type(error)):
        warnings.simplefilter("ignore")
        oom.retry_on_oom(run, 12)
    # three rows cannot be halved
    assert tried == ([(12, 1), (6, 2), (3, 4)] if again else [(12, 1)])


def test_one_of_several_processes_is_not_tried_again(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    tried = []
    with pytest.raises(MemoryError):
        oom.retry_on_oom(
            lambda size, accumulate: tried.append(size) or bytearray(2**62), 16
        )
    assert tried == [16]


@pytest.mark.parametrize("rows, parts", [(1, 1), (5, 1), (5, 2), (3, 4), (1, 4)])
def test_cut_makes_as_many_parts_as_asked_and_loses_no_row(rows, parts):
    batch = {
        "input_ids": torch.arange(2 * rows).view(rows, 2),
        "labels": torch.arange(rows),
        "next_sentence_label": torch.arange(rows),
    }
    got = list(train.split_micro_batches(batch, parts))
    assert len(got) == parts and all(
        part["input_ids"].shape[0] == part["labels"].shape[0] > 0 for part in got
    )
    asked = [
        label for part in got for label in part["labels"].tolist() if label != -100
    ]
    assert sorted(asked) == list(range(rows))
    assert all((part["labels"] == part["next_sentence_label"]).all() for part in got)


def test_finetuning_in_pieces_is_the_same_training(monkeypatch, counted):
    import test_recipes

    recipe, plain = test_recipes.module(test_recipes.FINETUNE), classify.Classifier
    monkeypatch.setattr(
        classify,
        "Classifier",
        lambda encoder, classes: plain(encoder, classes, dropout=0.0),
    )
    config = dict(width=16, layers=1, heads=2, ffn_dim=32, max_tokens=12, dropout=0.0)

    def tuned(pieces):
        tokenizer = tokenization.train_wordpiece(test_recipes.TEXTS * 3, 60)
        torch.manual_seed(0)
        encoder = transformer.Transformer(
            transformer.Config(tokenizer.get_vocab_size(), **config)
        )
        return recipe.finetune(
            encoder,
            tokenizer,
            test_recipes.TEXTS,
            test_recipes.LABELS,
            epochs=3,
            size=3,
            lr=1e-3,
            tokens=12,
            accumulate=pieces,
        )[1]

    def apart(a, b):
        assert [step.targets for step in a] == [step.targets for step in b]
        return max(abs(one.loss - other.loss) for one, other in zip(a, b))

    wanted = tuned(1)
    # four parts of three rows: one asks nothing
    assert apart(tuned(2), wanted) < 1e-5 and apart(tuned(4), wanted) < 1e-5
    # control: parts that repeat a row instead of asking nothing
    monkeypatch.setattr(
        train,
        "split_micro_batches",
        lambda batch, parts: (
            {k: v[i % len(v)][None] for k, v in batch.items()} for i in range(parts)
        ),
    )
    with pytest.raises(AssertionError):
        apart(tuned(4), wanted)
    counted("fault")


# ---- once per update (20): what the counts of test_train.py would be otherwise ----


@pytest.mark.parametrize(
    "old, new, what",
    [
        ("schedule(number)", "schedule(number * accumulate)", "rates"),
        (
            "sums[k] += value.detach().double()",
            "sums[k] += value.detach().double(); "
            "torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)",
            "clips",
        ),
        (
            "sums[k] += value.detach().double()",
            "sums[k] += value.detach().double(); "
            "[p.grad.zero_() for p in "
            "model.parameters()]",
            "zeroed too often",
        ),
    ],
)
def test_per_micro_batch_instead_of_per_update_is_noticed(
    old, new, what, monkeypatch, counted
):
    import test_train

    clipped, clip = [], torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(
        torch.nn.utils, "clip_grad_norm_", lambda *a: clipped.append(1) or clip(*a)
    )

    def run(steps):
        clipped.clear()
        net, asked = test_train.tiny(), []
        optimizer = test_train.Recording(net.parameters(), lr=0.5)
        list(
            steps(
                net,
                test_train.cut(test_train.rows_of(14), [2] * 7),
                mlm.mlm_loss,
                optimizer,
                accumulate=3,
                clip=0.1,
                schedule=lambda n: asked.append(n) or 1.0,
            )
        )
        return (
            asked,
            len(clipped),
            [
                round(torch.cat([g.flatten() for g in seen]).norm().item(), 3)
                for seen in optimizer.seen
            ],
        )

    assert run(train.steps) == ([0, 1, 2], 3, [0.1, 0.1, 0.1])
    assert run(test_train.planted(old, new)["steps"]) != (
        [0, 1, 2],
        3,
        [0.1, 0.1, 0.1],
    ), what
    counted("fault")


# ---- a worker is killed under torchrun (22) ----


def worker(folder):
    """Process 1 of the first attempt dies by SIGKILL in step 5; what each attempt saved
    and ended with is written down.
    """
    attempt, place = (
        int(os.environ["TORCHELASTIC_RESTART_COUNT"]),
        distributed.setup(device="cpu"),
    )

    def save(where, net, optimizer, *, step, hook):
        if (attempt, place.rank, step) == (0, 1, 5):
            os.kill(os.getpid(), signal.SIGKILL)
        checkpoint.save_numbered(where, net, optimizer, step=step, keep=kill_test.STEPS)
        with open(folder / f"steps {attempt} {place.rank}", "a") as file:
            file.write(f"{step} ")

    ended = kill_test.job(
        folder / "state",
        save=save,
        wrap=lambda net: distributed.wrap(net, place),
        rank=place.rank,
        world_size=place.world_size,
    )
    (folder / f"bits {place.rank}").write_text(ended)
    distributed.cleanup()


def test_a_worker_killed_under_torchrun_ends_with_the_same_bits(
    tmp_path, two_processes, counted
):
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    }
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node=2",
            "--max-restarts=1",
            "--monitor-interval=0.1",
            __file__,
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env={**kept, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert ended.returncode == 0, ended.stderr[:3000] + ended.stderr[-1000:]
    # the first attempt was killed, and the second one went on where it stopped; it did
    # not begin again
    assert (tmp_path / "steps 0 1").read_text().split() == ["1", "2", "3", "4"]
    assert (tmp_path / "steps 1 1").read_text().split() == [
        str(step) for step in range(5, kill_test.STEPS + 1)
    ]

    def alone(rank, name, forget=False):
        place = distributed.DistributedContext(torch.device("cpu"), rank, 2, None)
        ended = kill_test.job(
            tmp_path / name,
            wrap=lambda net: distributed.wrap(net, place),
            rank=rank,
            world_size=2,
            forget=forget,
        )
        (tmp_path / f"{name} {rank}").write_text(ended)
        return True

    def found(name):
        return [(tmp_path / f"{name} {rank}").read_text() for rank in (0, 1)]

    assert two_processes(lambda rank: alone(rank, "untouched")) == [0, 0]
    assert found("bits") == found("untouched")
    (tmp_path / "forgetful").mkdir()
    (tmp_path / "state" / "step-4.safetensors").rename(
        tmp_path / "forgetful" / "step-4.safetensors"
    )
    assert two_processes(lambda rank: alone(rank, "forgetful", forget=True)) == [0, 0]
    # control: the random state is not taken up
    assert found("forgetful") != found("untouched")
    counted("fault")


# ---- bad tables (23), data that cannot train (24) ----


def careless_table(path):
    """The control: what the csv module's readers give a program that asks no
    questions.
    """
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        return [
            (row["text"], row["label"])
            for row in csv.DictReader(io.StringIO(file.read().replace("\0", "")))
        ]


def test_control_a_careless_reader_takes_most_bad_tables(tmp_path, counted):
    import test_data

    taken = []
    for name, (content, *_) in test_data.BAD.items():
        (tmp_path / "mine.csv").write_bytes(content)
        try:
            careless_table(tmp_path / "mine.csv")
            taken.append(name)
        except (KeyError, csv.Error):
            pass
    assert len(taken) > len(test_data.BAD) / 2 and {
        "latin-1",
        "extra comma",
        "open quote",
        "unknown label",
    } <= set(taken)
    counted("fault")


def test_control_pandas_drops_words_that_are_texts(tmp_path, counted):
    pandas = pytest.importorskip("pandas")
    (tmp_path / "mine.csv").write_text("text,label\nNA,0\nnull,1\nNone,0\nfine,1\n")
    assert pandas.read_csv(tmp_path / "mine.csv")["text"].isna().sum() == 3
    assert tables.read_csv(tmp_path / "mine.csv")["text"] == [
        "NA",
        "null",
        "None",
        "fine",
    ]
    counted("fault")


@pytest.mark.parametrize(
    "labels, ids, words",
    [([1] * 7, 60, "train has labels \\[1\\]"), (None, 9, "the vocabulary has 0 to 8")],
)
def test_the_recipe_refuses_what_cannot_train_before_step_1(
    labels, ids, words, monkeypatch, counted
):
    import test_recipes

    recipe, taken = test_recipes.module(test_recipes.FINETUNE), []
    tokenizer = tokenization.train_wordpiece(test_recipes.TEXTS * 3, 60)

    def start():
        encoder = transformer.Transformer(
            transformer.Config(
                ids, width=16, layers=1, heads=2, ffn_dim=32, max_tokens=12
            )
        )
        recipe.finetune(
            encoder,
            tokenizer,
            test_recipes.TEXTS,
            labels or test_recipes.LABELS,
            tokens=12,
            epochs=1,
            size=3,
        )

    real = train.steps
    monkeypatch.setattr(
        recipe.train,
        "steps",
        lambda *a, **k: (taken.append(step) or step for step in real(*a, **k)),
    )
    with pytest.raises(ValueError, match=words):
        start()
    assert taken == []
    # control: without the question it trains on one class, or dies with an index error
    # in the middle
    monkeypatch.setattr(recipe.tables, "check_trainable", lambda *a, **k: None)
    if labels:
        start()
        assert len(taken) == 3
    else:
        with pytest.raises(IndexError):
            start()
    counted("fault")


# ---- every chapter runs, without a network and without a GPU (26) ----


def test_every_chapter_is_run_without_network_and_gpu(counted):
    import test_runner

    runner = test_runner.runner
    run = {
        pathlib.Path(word).name
        for word in runner.stages()["chapters"]
        if word.endswith(".ipynb")
    }
    there = {path.name for path in (ROOT / "chapters").glob("*.ipynb")}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    options = settings["tool"]["pytest"]["ini_options"]["addopts"]
    assert run == there and "--nbval" in options
    variables = runner.tests.environment("chapters")
    ask = [
        sys.executable,
        "-c",
        "import socket, torch; "
        "print(torch.cuda.is_available())\n"
        "try: socket.create_connection(('192.0.2.1', 9), timeout=2)\nexcept "
        "BaseException as error: print(error)",
    ]
    seen = subprocess.run(
        ask, env=variables, capture_output=True, text=True, timeout=100
    ).stdout
    assert seen.startswith("False\n") and "network is blocked" in seen, seen
    # control: without the variables of the stage nothing is blocked
    plain = {key: value for key, value in variables.items() if key != "PYTHONPATH"}
    assert (
        "network is blocked"
        not in subprocess.run(
            ask, env=plain, capture_output=True, text=True, timeout=100
        ).stdout
    )
    assert (variables["CUDA_VISIBLE_DEVICES"], variables["FTLIB_DEVICE"]) == ("", "cpu")
    assert "FTLIB_DEVICE" not in {
        key: value
        for key, value in runner.tests.environment("unit").items()
        if key not in os.environ
    }
    counted("fault")


if __name__ == "__main__":
    torch.set_num_threads(1)
    worker(pathlib.Path(sys.argv[1]))
