"""Kill a training run with SIGKILL at random moments, 200 times: it must end with the
bits of a run that nobody touched.

    make kill-test                                          200 kills, one to three
    minutes python tools/kill_test.py --kills 50 --seed 3 --seconds 120
    python tools/kill_test.py --careless                    the control: a writer that
    overwrites in place; the test must find it

After each kill: no file of the folder is a part of a checkpoint, the newest one is at
least as new as the last step that the run was told is safe, and the run goes on from
it. It ends with status 1 and a sentence at the first thing that is not so, when the
time is over, or when too few kills hit a save. Needs os.fork (Linux, macOS).
"""

import argparse
import collections
import hashlib
import itertools
import json
import mmap
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
import warnings

import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ftlib.models import transformer  # noqa: E402
from ftlib.objectives import mlm  # noqa: E402
from ftlib.training import checkpoint, optim, train  # noqa: E402

ROWS, BATCH, STEPS, VOCABULARY = 64, 16, 12, 200  # three epochs of four steps
CONFIG = transformer.Config(
    VOCABULARY, width=64, layers=2, heads=2, ffn_dim=128, max_tokens=16, dropout=0.1
)
CORPUS = torch.randint(
    5, VOCABULARY, (ROWS, 16), generator=torch.Generator().manual_seed(0)
)
# what a run may be doing: "" is anything but saving, and the last one lasts until the
# older files have been rotated out
WORDS = ["", "open", "write", "fsync", "replace", "fsync folder"]
HITS = 0.1  # the smallest share of kills that must hit a save


def batches(start, accumulate=1, rank=0, world_size=1):
    """Masked micro-batches from step `start`."""
    for epoch, rows in train.sample_rows(ROWS, BATCH, seed=1, first=start):
        rows = torch.tensor(rows)
        ids, labels = mlm.mask_tokens(
            CORPUS[rows],
            VOCABULARY,
            4,
            range(5),
            seed=1,
            epoch=epoch,
            index=rows,
            mask_prob=0.3,
        )
        batch = {"input_ids": ids, "labels": labels, "index": rows}
        yield from train.split_micro_batches(batch, accumulate, rank, world_size)


def job(
    folder,
    *,
    save=checkpoint.save_numbered,
    hook=None,
    done=None,
    wrap=None,
    rank=0,
    world_size=1,
    accumulate=1,
    forget=False,
):
    """A small pretraining run that takes up the newest checkpoint of `folder` and saves
    each step -> a hash of all bits.

    done(step): told after each save. wrap: what makes the model a parallel one. forget:
    do not restore the random state.
    """
    torch.manual_seed(rank)
    net = transformer.LanguageModel(CONFIG)
    optimizer = optim.adamw(optim.parameter_groups(net, 1e-2))
    path = checkpoint.newest(folder)
    start = checkpoint.load(path, net, optimizer)["step"] if path else 0
    if forget:
        torch.manual_seed(99)
    run = train.steps(
        wrap(net) if wrap else net,
        batches(start, accumulate, rank, world_size),
        mlm.mlm_loss,
        optimizer,
        accumulate=accumulate,
        first=start,
        schedule=lambda step: optim.warmup_linear(step, 4, 2 * STEPS),
    )
    for step in itertools.islice(run, STEPS - start):
        save(folder, net, optimizer, step=step.number + 1, hook=hook)
        if done:
            done(step.number + 1)
    return bits(net, optimizer)


def bits(net, optimizer):
    """SHA-256 over weights, optimizer state, rates and torch's random state."""
    digest = hashlib.sha256()
    state = optimizer.state_dict()
    slots = [
        value
        for _, slot in sorted(state["state"].items())
        for _, value in sorted(slot.items())
    ]
    for tensor in (*net.state_dict().values(), *slots, torch.get_rng_state()):
        digest.update(
            tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    digest.update(json.dumps(state["param_groups"], sort_keys=True).encode())
    return digest.hexdigest()


def careless_save(folder, net, optimizer, *, step, meta=None, hook=None):
    """The control: a valid checkpoint, copied piece by piece to the place where the
    readers look.
    """
    with tempfile.TemporaryDirectory() as elsewhere:
        checkpoint.save(
            pathlib.Path(elsewhere) / "whole", net, optimizer, step=step, meta=meta
        )
        data = (pathlib.Path(elsewhere) / "whole").read_bytes()
    pathlib.Path(folder).mkdir(exist_ok=True)
    with open(pathlib.Path(folder) / f"step-{step}.safetensors", "wb") as file:
        for at in range(0, len(data), 1 << 15):
            hook("write")
            file.write(data[at : at + (1 << 15)])
            file.flush()
            os.fsync(file.fileno())  # as careful as can be, and in the wrong place


class Child:
    """One forked run, with two bytes of memory shared with it: what it does on the
    disk, and the last step it calls safe.
    """

    def __init__(self, folder, save):
        self.shared = mmap.mmap(-1, 2)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                ended = job(folder, save=save, hook=self._at, done=self._done)
                (folder / "bits").write_text(ended, encoding="utf-8")
                os._exit(0)
            except BaseException as error:
                sys.stderr.write(f"the run stopped by itself: {error!r}\n")
                os._exit(1)

    def _at(self, operation):
        self.shared[0] = WORDS.index(operation)

    def _done(self, step):
        self.shared[:] = bytes([0, step])

    def kill_after(self, seconds):
        """-> what the kill hit (a word of WORDS), or None if the run had ended by
        itself. RuntimeError if it failed.
        """
        deadline = time.perf_counter() + seconds
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        while not pid and time.perf_counter() < deadline:
            time.sleep(0.0002)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            os.kill(self.pid, signal.SIGKILL)
            status = os.waitpid(self.pid, 0)[1]
        if os.WIFSIGNALED(status):
            return WORDS[self.shared[0]]
        if status:
            raise RuntimeError("a resumed run failed; its own words stand above")
        return None


def look(folder, safe):
    """Raise RuntimeError if a file of `folder` is a part of a checkpoint, or a step
    that was called safe is lost.
    """
    newest = 0
    for path in folder.glob("*.safetensors"):
        try:
            newest = max(
                newest, checkpoint.load(path, transformer.LanguageModel(CONFIG))["step"]
            )
        except ValueError as error:
            raise RuntimeError(f"a kill left a part of a file: {error}") from error
    if newest < safe:
        raise RuntimeError(
            f"step {safe} was called safe, and the newest checkpoint is "
            f"of step {newest}"
        )


def kill_often(kills, seed, seconds, save=checkpoint.save_numbered):
    """-> (Counter of what the kills hit, number of runs that ended). RuntimeError at
    the first thing that is wrong.
    """
    draw = random.Random(seed)
    hits = collections.Counter()
    ended = 0
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        # a checkpoint that is passed over is a broken file
        warnings.simplefilter("error")
        # here, so that no child has to import what the first step needs
        job(pathlib.Path(scratch) / "first")
        whole, forked = pathlib.Path(scratch) / "whole", time.perf_counter()
        if Child(whole, save).kill_after(seconds) is not None:
            raise RuntimeError(
                "the run that nobody is to touch did not end in "
                f"{seconds} s; give it more --seconds"
            )
        duration, wanted = (
            time.perf_counter() - forked,
            (whole / "bits").read_text(encoding="utf-8"),
        )
        while hits.total() < kills:
            folder, safe = pathlib.Path(scratch) / str(ended), 0
            while True:
                if time.perf_counter() - start > seconds:
                    raise RuntimeError(
                        f"{hits.total()} of {kills} kills after "
                        f"{seconds} s; give it more --seconds"
                    )
                child = Child(folder, save)
                hit = child.kill_after(
                    draw.uniform(0, duration / 2) if hits.total() < kills else seconds
                )
                safe = max(safe, child.shared[1])
                look(folder, safe)
                if hit is None:
                    break
                hits[hit] += 1
            if (folder / "bits").read_text(encoding="utf-8") != wanted:
                raise RuntimeError(
                    f"run {ended} of seed {seed} ended with other bits "
                    "than the run that nobody touched"
                )
            ended += 1
    return hits, ended


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value, words in (
        ("kills", 200, "how many"),
        ("seed", 0, "of the moments"),
        ("seconds", 900, "after which it gives up"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=value, help=f"{words} ({value})"
        )
    parser.add_argument(
        "--careless",
        action="store_true",
        help="the control: a writer that overwrites in place",
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # a forked child has no threads of its parent's pool
    start = time.perf_counter()
    try:
        hits, ended = kill_often(
            options.kills,
            options.seed,
            options.seconds,
            careless_save if options.careless else checkpoint.save_numbered,
        )
    except RuntimeError as error:
        print(f"FAILED: {error}")
        return 1
    in_save = hits.total() - hits[""]
    print(
        f"{hits.total()} kills with seed {options.seed} in "
        f"{time.perf_counter() - start:.0f} s, {ended} runs ended, each with the "
        "wanted bits"
    )
    print(
        f"{in_save} kills hit a save: "
        + ", ".join(f"{hits[word]} in {word}" for word in WORDS[1:])
        + " and rotation"
    )
    if in_save < HITS * hits.total():
        print(
            f"FAILED: fewer than {HITS:.0%} of the kills hit a save, so this test "
            "shows little"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
