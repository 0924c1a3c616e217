"""The recipes as programs: alone, under torchrun and accelerate, interrupted and
started again. About two minutes on a busy machine.
"""

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types

import pytest
import tokenizers
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from stages import ROOT

from ftlib.course import sources
from ftlib.data import streaming, tokenization
from ftlib.evaluation import metrics
from ftlib.models import hf_format, transformer
from ftlib.objectives import classify
from ftlib.training import distributed

PRETRAIN, FINETUNE, DEMO = (
    ROOT / "recipes" / f"{name}.py" for name in ("pretrain_mlm", "finetune", "demo_mlm")
)
TINY = (
    "--data rotten_tomatoes --steps 24 --stages 16:7 32:13 64:4 --length 32 "
    "--batch 8 --vocab 400 --width 16 --layers 1 --heads 2 --warmup 2 --lr 1e-2"
).split()


def variables(**more):
    """The environment without what another launcher may have left there."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    }
    return {
        **kept,
        "OMP_NUM_THREADS": "1",
        "FTLIB_DEVICE": "cpu",
        "FTLIB_BF16": "0",
        "GLOO_SOCKET_IFNAME": "lo",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        **more,
    }


def run(*command, timeout=240):
    ended = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=variables(),
        cwd=ROOT,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def torchrun(processes=2):
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nproc_per_node={processes}",
        "--master_addr=127.0.0.1",
        f"--master_port={31500 + os.getpid() % 2000}",
    ]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The folder that one uninterrupted process writes."""
    folder = tmp_path_factory.mktemp("pretrained")
    run(sys.executable, PRETRAIN, *TINY, "--out", folder)
    return folder


def record(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def distance(a, b):
    a, b = (load_file(folder / "model.safetensors") for folder in (a, b))
    assert a.keys() == b.keys()
    return max((a[k].float() - b[k].float()).abs().max().item() for k in a)


def test_pretraining_writes_a_folder_that_transformers_opens(pretrained):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer, net = (
        AutoTokenizer.from_pretrained(pretrained),
        AutoModelForMaskedLM.from_pretrained(pretrained).eval(),
    )
    batch = tokenizer("a good [MASK] about a man", return_tensors="pt")
    with torch.no_grad():
        theirs = net(batch["input_ids"]).logits
        ours = (
            transformer.from_state(*hf_format.load(pretrained))
            .eval()(batch["input_ids"])
            .logits
        )
    assert (theirs - ours).abs().max() < 1e-4
    run = record(pretrained)
    assert (
        run["steps"] == 24
        and run["processes"] == 1
        and run["tokens"] == 24 * 8 * 32
        and run["precision"] == "torch.float32"
    )
    ((number, loss, held_out),) = run["curve"]
    # one target in five is visible
    mean = 0.8 * run["loss_apart"]["hidden"] + 0.2 * run["loss_apart"]["visible"]
    assert abs(mean - held_out) < 0.05
    # 24 steps: it knows the frequent pieces by now, and no more
    assert number == 24 and held_out < run["unigram"] + 0.5
    # what a checkpoint from before the streams remembers, and no more
    assert "lanes" not in run and "tanh" not in run["config"]
    assert (run["commit"] is None or len(run["commit"]) == 40) and str(
        ROOT
    ) not in json.dumps(
        {k: v for k, v in run.items() if k not in ("command", "options")}
    )


def test_two_processes_train_the_same_model(pretrained, tmp_path):
    run(*torchrun(), PRETRAIN, *TINY, "--out", tmp_path)
    ours, theirs = record(tmp_path), record(pretrained)
    assert ours["processes"] == 2 and ours["vocabulary"] == theirs["vocabulary"]
    assert (
        abs(ours["curve"][-1][1] - theirs["curve"][-1][1]) < 2e-3
        and abs(ours["curve"][-1][2] - theirs["curve"][-1][2]) < 2e-3
    )
    # measured by both processes together; once one of them did so alone, and waited
    apart = [run["loss_apart"] for run in (ours, theirs)]
    keys = "hidden unigram visible copy neighbours beside beside_neighbours"
    assert apart[0].keys() == {*keys.split(), "beside_share"}
    assert apart[0]["beside_share"] == apart[1]["beside_share"] > 0.5
    assert all(abs(apart[0][name] - apart[1][name]) < 5e-3 for name in apart[0])
    # float32 sums in another order, through 24 steps of AdamW
    assert distance(tmp_path, pretrained) < 5e-3


def test_accelerate_starts_the_same_file(pretrained, tmp_path):
    pytest.importorskip("accelerate")
    run(
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "1",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        PRETRAIN,
        *TINY,
        "--out",
        tmp_path,
    )
    assert distance(tmp_path, pretrained) == 0.0


def test_interrupted_and_started_again_gives_the_same_weights(
    pretrained, tmp_path, counted
):
    """Ctrl-C after a few steps, the same line again: the bytes of the uninterrupted
    run. A third start changes nothing.
    """
    line = [
        sys.executable,
        str(PRETRAIN),
        *TINY,
        "--out",
        str(tmp_path),
        "--minutes_between_saves",
        "0",
    ]
    # a program started in the background ignores Ctrl-C, and its children inherit that
    listen = (
        (lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
        if os.name == "posix"
        else None
    )
    process = subprocess.Popen(
        line,
        env=variables(),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen,
    )
    deadline = time.time() + 120
    while (
        not list((tmp_path / "state").glob("step-[3-9].safetensors"))
        and time.time() < deadline
    ):
        assert process.poll() is None, process.stderr.read()[-2000:]
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0 and "KeyboardInterrupt" in error
    assert not (tmp_path / "model.safetensors").exists()
    run(*line)
    assert distance(tmp_path, pretrained) == 0.0
    assert record(tmp_path)["curve"] == record(pretrained)["curve"]
    # controls: the files show a wrong run, and another job is not continued
    before = (tmp_path / "model.safetensors").read_bytes()
    other = subprocess.run(
        [*line, "--seed", "1"],
        env=variables(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert other.returncode != 0 and "seed" in other.stderr
    assert (tmp_path / "model.safetensors").read_bytes() == before
    run(*line)  # over already: nothing is left to do
    assert (tmp_path / "model.safetensors").read_bytes() == before
    counted("fault")


@pytest.mark.parametrize("first", [0, 3, 7, 12, 20, 23])
def test_stages_give_each_step_as_many_tokens_and_go_on_anywhere(first):
    recipe, place = (
        module(PRETRAIN),
        distributed.DistributedContext(torch.device("cpu"), 0, 1, None),
    )
    options = vars(
        recipe_arguments(
            recipe,
            "--stages",
            "16:7",
            "32:13",
            "64:4",
            "--steps",
            "24",
            "--length",
            "32",
            "--batch",
            "8",
            "--accumulate",
            "2",
        )
    )
    a, rows = argparse.Namespace(**options), torch.arange(5, 5 + 40 * 64).view(40, 64)
    tokenizer = tokenization.train_wordpiece(
        ["one film and another film " + " ".join("abcdefghijklmnop")] * 9, 60
    )
    whole = list(
        recipe.mlm_rows.batches_from(
            rows % 20 + 5, recipe.mlm_rows.stages_of(a), 0, tokenizer, a, place
        )
    )
    shapes = [tuple(b["input_ids"].shape) for b in whole]
    assert shapes == [(8, 16)] * 14 + [(4, 32)] * 26 + [(2, 64)] * 8
    rest = list(
        recipe.mlm_rows.batches_from(
            rows % 20 + 5, recipe.mlm_rows.stages_of(a), first, tokenizer, a, place
        )
    )
    assert len(rest) == 48 - 2 * first and all(
        torch.equal(x["labels"], y["labels"]) for x, y in zip(whole[2 * first :], rest)
    )


@pytest.mark.parametrize("count", [1, 7, 40, 100])
def test_held_out_rows_come_from_everywhere(count, monkeypatch):
    monkeypatch.syspath_prepend(str(PRETRAIN.parent))
    import pretraining

    numbers = pretraining.everywhere(range(40), count).tolist()
    assert len(set(numbers)) == len(numbers) == min(count, 40)
    assert numbers == sorted(numbers) and 0 <= numbers[0] and numbers[-1] <= 39
    # of a file sorted by class, as many of each
    if count > 1:
        assert abs(sum(number < 20 for number in numbers) - len(numbers) / 2) <= 0.5


class LeftReader(torch.nn.Module):
    """Knows that the tokens 5 to 24 follow each other in a ring, and reads the left
    neighbour alone: sure where that is shown, undecided where it is not.
    """

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, mask=None, segments=None, target_mask=None):
        logits = torch.zeros(*input_ids.shape, 25)
        left = input_ids[:, :-1]
        follows = (left - 4) % 20 + 5
        logits[:, 1:].scatter_(2, follows[..., None], 30.0 * (left > 4)[..., None])
        return types.SimpleNamespace(logits=logits[target_mask])


def test_gaps_between_shown_tokens_are_measured_apart(monkeypatch):
    monkeypatch.syspath_prepend(str(PRETRAIN.parent))
    import mlm_rows

    rows = (torch.arange(40)[:, None] + torch.arange(64)) % 20 + 5
    names = [*tokenization.SPECIAL, *"abcdefghijklmnopqrst"]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({name: i for i, name in enumerate(names)})
    )
    tests = mlm_rows.test_batches(rows, tokenizer)
    ctx = distributed.DistributedContext(torch.device("cpu"), 0, 1, None)
    measure = (LeftReader(), tests, rows, tokenizer, ctx)
    apart = mlm_rows.loss_apart(*measure)
    # between two shown tokens nothing is covered, for the reader and the counts
    assert apart["beside"] < 0.01 < 0.3 < apart["hidden"]
    labels = torch.cat([batch["labels"] for batch in tests]).tolist()
    shown = torch.cat([batch["input_ids"] for batch in tests]).tolist()
    hidden = [[token == 4 for token in row] for row in shown]
    beside = [
        [x and 0 < i < 63 and row[i - 1] == row[i + 1] == -100 for i, x in enumerate(h)]
        for row, h in zip(labels, hidden)
    ]
    for name, places in (("neighbours", hidden), ("beside_neighbours", beside)):
        mask = torch.tensor(places)
        loss = metrics.neighbours_loss(rows, rows, 25, target_mask=mask)
        assert apart[name] == round(loss, 4)
    assert apart["beside_neighbours"] < apart["neighbours"] < apart["unigram"] - 0.3
    # both neighbours of a gap are no targets: 0.85 of 0.85, less at a row's two ends
    assert abs(apart["beside_share"] - 0.7) < 0.05
    monkeypatch.setattr(mlm_rows, "MOST_COUNTED", 24)
    few = {name: apart[name] for name in ("hidden", "unigram", "visible", "copy")}
    assert mlm_rows.loss_apart(*measure) == few


@pytest.mark.parametrize("recipe", [PRETRAIN, PRETRAIN.with_name("pretrain_clm.py")])
def test_the_rows_of_a_step_are_the_same_for_every_number_of_processes(recipe):
    """45 rows in steps of 16, the last one of 13, resumed at each step of two epochs
    with other micro-batches and processes.
    """
    recipe = module(recipe)
    words = "--batch 16 --steps 6 --length 16".split()
    a, rows = recipe_arguments(recipe, *words), torch.arange(45 * 16).view(45, 16)
    tokenizer = tokenization.train_wordpiece(["one film and another film"] * 9, 60)

    def read(step, accumulate, world):
        """The rows of each step from `step` on, over all processes."""
        a.accumulate, parts = accumulate, []
        for rank in range(world):
            ctx = distributed.DistributedContext(torch.device("cpu"), rank, world, None)
            if hasattr(recipe, "mlm_rows"):
                stages = recipe.mlm_rows.stages_of(a)
                data = recipe.mlm_rows.batches_from(
                    rows % 20 + 5, stages, step, tokenizer, a, ctx
                )
            else:
                data = recipe.batches_from(rows, step, a, ctx)
            count = (6 - step) * accumulate
            parts.append([b["index"].tolist() for b in itertools.islice(data, count)])
        return [
            sorted(i for part in parts for b in part[k : k + accumulate] for i in b)
            for k in range(0, (6 - step) * accumulate, accumulate)
        ]

    whole = read(0, 1, 1)
    assert [len(step) for step in whole] == [16, 16, 13] * 2
    assert sorted(sum(whole[:3], [])) == list(range(45)) == sorted(sum(whole[3:], []))
    for step, (accumulate, world) in enumerate([(4, 1), (1, 3), (3, 2), (2, 4)]):
        assert read(step, accumulate, world) == whole[step:]


def recipe_arguments(recipe, *words):
    """What the recipe reads from a command line."""
    before, sys.argv = sys.argv, ["pretrain_mlm.py", *words]
    try:
        return recipe.arguments()
    finally:
        sys.argv = before


def test_stages_that_do_not_fit_are_refused():
    recipe = module(PRETRAIN)
    for words, message in (
        (["--stages", "16:7", "--steps", "8"], "7 steps and --steps is 8"),
        (["--stages", "48:1", "64:1", "--steps", "2"], "must divide 64"),
    ):
        with pytest.raises(ValueError, match=message):
            recipe.mlm_rows.stages_of(recipe_arguments(recipe, *words))


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    ended = subprocess.run(
        [
            sys.executable,
            str(PRETRAIN),
            *TINY,
            "--accumulate",
            "5",
            "--out",
            str(tmp_path),
        ],
        env=variables(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (
        ended.returncode != 0
        and "--batch gives steps of 4 rows, not one for each of 5 micro-batches x 1 "
        "processes"
        in ended.stderr
    )


# ---- more text than memory, more machines than one ----


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """(line, folder of an uninterrupted run of one process over two files, its
    checkpoint of step 10).
    """
    texts = sources.load("rotten_tomatoes")["train"]["text"][::2]
    half, here = len(texts) // 2, tmp_path_factory.mktemp("streamed")
    (here / "a.txt").write_text("\n".join(texts[:half]), encoding="utf-8")
    (here / "b.jsonl").write_text(
        "".join(json.dumps({"body": t}) + "\n" for t in texts[half:]), encoding="utf-8"
    )
    line = [
        *TINY[2:],
        "--text",
        f"{here}/a.txt",
        f"{here}/b.jsonl",
        "--field",
        "body",
        "--lanes",
        "4",
    ]
    recipe = module(PRETRAIN)
    save = recipe.pretraining.checkpoint.save_numbered

    def copying(folder, *arguments, step, **more):
        path = save(folder, *arguments, step=step, **more)
        if step == 10:
            shutil.copy(path, here)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe.pretraining.checkpoint, "save_numbered", copying)
        for name, value in (("FTLIB_DEVICE", "cpu"), ("FTLIB_BF16", "0")):
            patch.setenv(name, value)
        recipe.main(
            recipe_arguments(
                recipe,
                *line,
                "--minutes_between_saves",
                "0",
                "--out",
                str(here / "whole"),
            )
        )
    return line, here / "whole", here / "step-10.safetensors"


def begun(folder, file):
    """`folder` as a run leaves it that was stopped behind this checkpoint."""
    (folder / "state").mkdir()
    shutil.copy(file, folder / "state")
    return folder


def test_a_stream_learns_from_the_files(streamed):
    line, folder, file = streamed
    run, kept = (
        record(folder),
        json.loads((folder / "run.json").read_text(encoding="utf-8"))["data"],
    )
    assert (
        [name for name, _ in kept["files"]] == ["a.txt", "b.jsonl"]
        and run["lanes"] == 4
        and "position" not in run
    )
    ((number, loss, held_out),) = run["curve"]
    assert number == 24 and held_out < run["unigram"] + 0.5
    assert tokenization.load(folder).get_vocab_size() == 400
    with safe_open(file, "pt") as opened:
        position = json.loads(opened.metadata()["checkpoint"])["meta"]["position"]
    # a step takes four of the longest rows, one of each lane
    assert position["taken"] == 10 and len(position["lanes"]) == 4


def test_two_machines_go_on_with_shares_where_one_process_was(streamed, tmp_path):
    """Two rendezvous groups of one process each on loopback, FSDP2, from the checkpoint
    of step 10: the losses of one process.
    """
    line, folder, file = streamed
    part, port = begun(tmp_path, file), 33500 + os.getpid() % 2000
    line_of_the_documentation = re.sub(r"\\\n\s*", "", module(PRETRAIN).__doc__)
    found = re.search(
        "torchrun (--nnodes=2 --nproc_per_node=8 .*HOST.*)recipes/",
        line_of_the_documentation,
    )
    words = found[1]
    words = (
        words.replace("node=8", "node=1")
        .replace("HOST:29500", f"127.0.0.1:{port}")
        .split()
    )
    nodes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "torch.distributed.run",
                *words,
                str(PRETRAIN),
                "--shard",
                *line,
                "--out",
                str(part),
            ],
            env=variables(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    errors = [node.communicate(timeout=240)[1][-3000:] for node in nodes]
    # not by what they say: the one that holds the meeting place may be gone before the
    # other has taken leave, of which torchrun then warns in many words
    assert [node.returncode for node in nodes] == [0, 0], errors
    ours, theirs = record(part), record(folder)
    assert (
        ours["processes"] == 2
        and ours["options"]["shard"]
        and ours["data"] == theirs["data"]
    )
    assert (
        abs(ours["curve"][-1][1] - theirs["curve"][-1][1]) < 2e-3
        and abs(ours["curve"][-1][2] - theirs["curve"][-1][2]) < 2e-3
    )
    # float32 sums in another order, through 14 steps of AdamW
    assert distance(part, folder) < 5e-3


def test_another_place_in_the_stream_is_noticed(
    streamed, tmp_path, monkeypatch, counted
):
    """The planted fault: the checkpoint's position is forgotten, so the run reads the
    beginning again.
    """
    line, folder, file = streamed
    recipe = module(PRETRAIN)

    class Forgetful(streaming.TextStream):
        def __init__(self, *arguments, position, **more):
            super().__init__(*arguments, position=None, **more)

    begun(tmp_path, file)
    monkeypatch.setattr(recipe.streaming, "TextStream", Forgetful)
    for name, value in (("FTLIB_DEVICE", "cpu"), ("FTLIB_BF16", "0")):
        monkeypatch.setenv(name, value)
    recipe.main(recipe_arguments(recipe, *line, "--out", str(tmp_path)))
    assert distance(tmp_path, folder) > 5e-3
    counted("fault")


def test_test_batches_are_dealt_out_in_equal_numbers():
    """Three processes, seven batches: three each, and what fills up asks nothing."""
    tests = [
        {"input_ids": torch.tensor([[i]]), "labels": torch.tensor([[i]])}
        for i in range(7)
    ]
    shares = [
        module(PRETRAIN).pretraining.dealt(
            tests, distributed.DistributedContext(torch.device("cpu"), rank, 3, None)
        )
        for rank in range(3)
    ]
    assert [len(share) for share in shares] == [3, 3, 3]
    assert sorted(int(b["labels"]) for share in shares for b in share) == [
        -100,
        -100,
        *range(7),
    ]


def test_a_machine_that_sees_another_folder_is_told(two_processes, counted):
    """Process 1 found no checkpoint where process 0 found step 5, or made another
    vocabulary of other files.
    """
    recipe, a = module(PRETRAIN), argparse.Namespace(out="runs/here")

    def work(rank):
        place, ours = (
            distributed.DistributedContext(torch.device("cpu"), rank, 2, None),
            "0123456789abcdef",
        )
        recipe.pretraining.same_for_all(5, ours, place, a)
        for step, vocabulary, words in (
            (
                5 - 5 * rank,
                ours,
                "found step 0 in runs/here and process 0 step 5, with the same",
            ),
            (
                5,
                ours if rank == 0 else "f" * 16,
                "process 0 step 5, with another vocabulary",
            ),
        ):
            with (
                pytest.raises(ValueError, match=words)
                if rank == 1
                else contextlib.nullcontext()
            ):
                recipe.pretraining.same_for_all(step, vocabulary, place, a)
        return True

    assert two_processes(work) == [0, 0]
    counted("fault", 2)


def test_a_data_set_is_streamed_by_the_recipe(streamed, tmp_path, monkeypatch):
    """--hub with a local folder: the same recipe, without a network."""
    pytest.importorskip("datasets")
    line, folder, _ = streamed
    (tmp_path / "hub").mkdir()
    shutil.copy(folder.parent / "b.jsonl", tmp_path / "hub" / "train.jsonl")
    recipe, words = (
        module(PRETRAIN),
        [*line[: line.index("--text")], *line[line.index("--field") :]],
    )
    for name, value in (
        ("FTLIB_DEVICE", "cpu"),
        ("FTLIB_BF16", "0"),
        ("HF_HUB_OFFLINE", "1"),
    ):
        monkeypatch.setenv(name, value)
    recipe.main(
        recipe_arguments(
            recipe,
            *words,
            "--hub",
            str(tmp_path / "hub"),
            "--out",
            str(tmp_path / "run"),
        )
    )
    run = record(tmp_path / "run")
    assert (
        run["data"] == {"files": 1, "shares of a file": 4}
        and run["curve"][-1][2] < run["unigram"] + 0.5
    )


# ---- fine-tuning ----

TEXTS = [
    "good film",
    "a good good film",
    "bad",
    "a bad film indeed",
    "good",
    "so very bad",
    "good story",
]
LABELS = [1, 1, 0, 0, 1, 0, 1]


def tuned(
    place=distributed.DistributedContext(torch.device("cpu"), 0, 1, None), **more
):
    finetune = module(FINETUNE)
    tokenizer = tokenization.train_wordpiece(TEXTS * 3, 60)
    torch.manual_seed(0)
    encoder = transformer.Transformer(
        transformer.Config(
            tokenizer.get_vocab_size(),
            width=16,
            layers=1,
            heads=2,
            ffn_dim=32,
            max_tokens=12,
        )
    )
    net, steps = finetune.finetune(
        encoder,
        tokenizer,
        TEXTS,
        LABELS,
        tokens=12,
        ctx=place,
        **{"epochs": 12, "size": 3, "lr": 1e-2, **more},
    )
    return finetune, tokenizer, net, steps


def test_finetuning_learns_and_scores():
    finetune, tokenizer, net, steps = tuned()
    # 7 texts: batches of 3, 3 and 1
    assert len(steps) == 12 * 3 and [s.targets for s in steps[:3]].count(1) == 1
    logits, right = finetune.score(net, tokenizer, TEXTS, LABELS, 12)
    assert right.tolist() == [1.0] * 7 and logits.shape == (7, 2)
    assert len(tuned(epochs=1, min_steps=10)[3]) >= 10  # few labels: more epochs
    again = tuned()[2]
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters()))


def test_long_texts_keep_both_ends():
    tokenizer = tokenization.train_wordpiece(
        ["a b c d e f g h i j k l m n o p"] * 3, 60
    )
    words = "a b c d e f g h i j k l"
    front, ends = (
        module(FINETUNE).rows_of(tokenizer, [words, "a b"], 8, head)
        for head in (None, 3)
    )
    pieces = [[tokenizer.id_to_token(i) for i in row] for row in (front[0], ends[0])]
    assert pieces == [["[CLS]", *"abcdef", "[SEP]"], ["[CLS]", *"abijkl", "[SEP]"]]
    assert front[1] == ends[1] and len(ends[1]) == 4  # a short text is left alone


def test_more_processes_than_rows_count_each_row_once(monkeypatch, counted):
    """A batch of one row and two processes: the second one reads a row, asks nothing,
    and takes part in the exchange.
    """
    finetune = module(FINETUNE)
    seen = []

    def steps(net, batches, *_, **__):
        seen.append([(b["index"].tolist(), b["labels"].tolist()) for b in batches])
        return []

    monkeypatch.setattr(finetune.train, "steps", steps)
    monkeypatch.setattr(finetune.distributed, "wrap", lambda net, place: net)
    tokenizer = tokenization.train_wordpiece(TEXTS * 3, 60)
    for rank in range(4):
        encoder = transformer.Transformer(
            transformer.Config(
                60, width=16, layers=1, heads=2, ffn_dim=32, max_tokens=12
            )
        )
        finetune.finetune(
            encoder,
            tokenizer,
            TEXTS,
            LABELS,
            tokens=12,
            epochs=1,
            size=3,
            ctx=distributed.DistributedContext(torch.device("cpu"), rank, 4, None),
        )
    # all take the same number of steps
    assert len({len(batches) for batches in seen}) == 1
    assert all(len(rows) > 0 for batches in seen for rows, _ in batches)
    asked = [
        (i, label)
        for batches in seen
        for rows, labels in batches
        for i, label in zip(rows, labels)
        if label != -100
    ]
    assert sorted(asked) == list(enumerate(LABELS))
    counted("fault")


def test_finetune_as_a_program(pretrained):
    out = run(
        sys.executable,
        FINETUNE,
        "--model",
        pretrained,
        "--labels",
        "40",
        "--epochs",
        "1",
        "--tokens",
        "16",
    )
    assert "test accuracy 0." in out and "95 % interval" in out


def test_classifier_from_a_saved_folder(pretrained):
    finetune = module(FINETUNE)
    encoder, tokenizer = finetune.encoder_of(str(pretrained))
    fresh, _ = finetune.encoder_of(str(pretrained), scratch=True)
    kept = transformer.from_state(*hf_format.load(pretrained)).encoder
    assert torch.equal(encoder.tokens.weight, kept.tokens.weight) and not torch.equal(
        fresh.tokens.weight, kept.tokens.weight
    )
    assert (
        vars(fresh.config) == vars(kept.config)
        and classify.Classifier(encoder, 2).head.in_features == 16
    )
    assert tokenizer.get_vocab_size() == 400


# ---- the demo ----


def test_demo_without_the_pretrained_model_says_so(monkeypatch, capsys):
    demo = module(DEMO)

    def missing(name):
        raise FileNotFoundError(f"no model in nowhere/{name}")

    monkeypatch.setattr(demo.hub, "resolve", missing)
    monkeypatch.setattr(sys, "argv", ["demo", "--fill", "a [MASK] film"])
    demo.main()
    assert (
        capsys.readouterr().out
        == "reviews-bert-mini cannot be used: no model in nowhere/reviews-bert-mini\n"
    )


def test_quick_demo_runs_all_its_parts(pretrained, monkeypatch, capsys):
    demo = module(DEMO)
    monkeypatch.setattr(demo.hub, "resolve", lambda name: str(pretrained))
    monkeypatch.setattr(sys, "argv", ["demo", "--quick"])
    demo.main()
    out = capsys.readouterr().out
    # the curve and its lines
    assert "unigram |" in out and "bigram |" in out and out.count("*") > 5
    # 40 steps cannot; it must not say otherwise
    assert "goal of 0.8 was NOT reached here" in out
    assert out.count("before:") == out.count("after:") == 3
    assert "the difference:" in out and out.count("95 % interval") == 3
    monkeypatch.setattr(sys, "argv", ["demo", "--fill", "a [MASK] [MASK] film"])
    demo.main()
    assert capsys.readouterr().out.count(";") == 1


def test_module_hands_over_to_the_demo(pretrained):
    """`python -m ftlib.objectives.mlm`, from any folder; options reach the demo."""
    ended = subprocess.run(
        [sys.executable, "-m", "ftlib.objectives.mlm", "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        env=variables(),
        cwd=pretrained,
    )
    assert ended.returncode == 0 and "--fill TEXT" in ended.stdout


@pytest.mark.parametrize("recipe", ["pretrain_mlm", "pretrain_clm"])
@pytest.mark.parametrize(
    "option, value",
    [
        ("lr", 0.5),
        ("weight_decay", 0.5),
        ("warmup", 7),
        ("seed", 9),
        ("batch", 8),
        ("steps", 77),
        ("length", 16),
    ],
)
def test_a_run_does_not_go_on_with_another_setting(
    recipe, option, value, tmp_path, counted
):
    """The optimizer's own rate comes back with its state: a changed --lr would be
    recorded and not used.
    """
    program = module(ROOT / "recipes" / f"{recipe}.py")
    pretraining = program.pretraining
    tokenizer = tokenization.train_wordpiece(["a film about films"] * 9, 60)

    def start(**changed):
        a = recipe_arguments(program, "--out", str(tmp_path))
        vars(a).update(changed)
        config = transformer.Config(60, 8, 1, 1, 16, 32)
        meta = pretraining.meaning(config, tokenizer, a)
        return (*pretraining.start(config, a, distributed.setup()), meta)

    net, optimizer, meta = start()
    pretraining.save(tmp_path, net, optimizer, 3, meta | {"step": 3})
    assert pretraining.resume(tmp_path, *start())["step"] == 3
    with pytest.raises(ValueError, match=f"{option} is .* in the file, {value} here"):
        pretraining.resume(tmp_path, *start(**{option: value}))
    counted("fault")


def test_one_process_says_which_threads_are_faster(monkeypatch, capsys):
    import pretraining

    said = "1 thread: a small step takes 1 ms with 1 and 9 ms with 2"
    monkeypatch.setattr(pretraining.reproducibility, "pick_threads", lambda: said)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    pretraining.describe(distributed.DistributedContext(cpu, 0, 1, None))
    assert capsys.readouterr().out.splitlines()[0] == said
    # of several processes the launcher decides, and a GPU has its own
    for ctx in ((cpu, 0, 2, None), (gpu, 0, 1, None)):
        pretraining.describe(distributed.DistributedContext(*ctx))
        assert said not in capsys.readouterr().out
