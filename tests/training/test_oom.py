"""Out of memory: the run goes on with half the micro-batch and the same step, after a
failed allocation alone. RELIABILITY 19.
"""

import gc
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
import warnings

import pytest
import torch

from ftlib.models import transformer
from ftlib.training import checkpoint, oom, train

# The scores of a step are 16 x 64 x 10000 x 8 bytes = 82 MB, and three such are alive
# at once; half of one is still above the 32 MB from which glibc gives memory back to
# the system when it is freed
# 46 rows: steps of 16, 16, 14, 16, 16 rows in two epochs
WORDS, LENGTH, STEP_ROWS, STEP_COUNT = 10_000, 64, 16, 5


def whole_steps(first):
    for _, rows in itertools.islice(
        train.sample_rows(46, STEP_ROWS, seed=2, first=first), STEP_COUNT - first
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
    # what waits to be collected would be counted as in use, and then freed
    gc.collect()
    now = (
        int(pathlib.Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
        * resource.getpagesize()
    )
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20,) * 2)


def survived(folder):
    """What a run that is squeezed tries, its losses, and what it says."""
    tried = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        losses = oom.retry_on_oom(narrow_run(folder, tried, squeeze), STEP_ROWS)
    return tried, losses, [str(warning.message) for warning in said]


def stopped(folder):
    """Why the same run ends without a second attempt."""
    try:
        return narrow_run(folder, [], squeeze)(STEP_ROWS, 1)
    except RuntimeError as error:
        return [oom.out_of_memory(error), str(error)]


def in_a_new_process(work, folder):
    """What `work(folder)` returns in a Python of its own. A fork would inherit what
    earlier tests have freed, and could live on that beyond the limit.
    """
    here = pathlib.Path(__file__)
    code = (
        "import json, pathlib, sys; import test_oom\n"
        f"found = test_oom.{work.__name__}(pathlib.Path(sys.argv[1]))\n"
        "print(json.dumps(found))"
    )
    paths = [str(here.parent), str(here.parents[2]), os.environ.get("PYTHONPATH", "")]
    ended = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="needs /proc and RLIMIT_AS"
)
def test_out_of_memory_goes_on_with_half_the_micro_batch_and_the_same_step(
    tmp_path, counted
):
    wanted = narrow_run(tmp_path / "whole", [])(STEP_ROWS, 1)
    tried, losses, said = in_a_new_process(survived, tmp_path / "squeezed")
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
    fits, words = in_a_new_process(stopped, tmp_path / "stopped")
    assert fits and "memory" in words
    kept = {path.stem for path in (tmp_path / "stopped").glob("step-*.safetensors")}
    assert kept == {"step-1", "step-2"}
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
