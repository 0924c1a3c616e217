"""A run that stops anywhere and goes on ends with the same bits as one that never
stopped. RELIABILITY 1 to 5 and 7.
"""

import contextlib
import itertools
import json
import random
import shutil
import signal
import time

import numpy
import pytest
import torch
import torch.distributed as dist

from ftlib.models import transformer
from ftlib.objectives import mlm
from ftlib.training import checkpoint, optim, train

# steps of 8 rows in 2 micro-batches; 3 steps an epoch, 9 in all: three epochs
ROWS, SIZE, STEPS, ACCUMULATE, VOCABULARY = 22, 4, 9, 2, 40
CONFIG = transformer.Config(
    VOCABULARY, width=16, layers=2, heads=2, ffn_dim=32, max_tokens=8, dropout=0.1
)
CORPUS = torch.randint(
    5, VOCABULARY, (ROWS, 8), generator=torch.Generator().manual_seed(0)
)
PARTS = (
    "optimizer",
    "schedule",
    "torch random state",
    "python random state",
    "numpy random state",
    "data position",
    "epoch",
)


def batches(start=0, forget=None, seen=None, rank=0, world_size=1):
    """Masked micro-batches from step `start`; python's and numpy's generators change a
    token each, as augmentation would.
    """
    size = SIZE * ACCUMULATE * world_size
    per_epoch = -(-ROWS // size)
    first = {"data position": 0, "epoch": start % per_epoch}.get(forget, start)
    for epoch, rows in train.sample_rows(ROWS, size, seed=1, first=first):
        if seen is not None:
            seen.append((epoch, rows))
        ids = CORPUS[rows].clone()
        ids[random.randrange(len(rows)), 0] = 5 + random.randrange(VOCABULARY - 5)
        ids[numpy.random.randint(len(rows)), 1] = 5 + numpy.random.randint(
            VOCABULARY - 5
        )
        ids, labels = mlm.mask_tokens(
            ids,
            VOCABULARY,
            4,
            range(5),
            seed=1,
            epoch=epoch,
            index=torch.tensor(rows),
            mask_prob=0.3,
        )
        batch = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "labels": labels,
            "index": torch.tensor(rows),
        }
        yield from train.split_micro_batches(batch, ACCUMULATE, rank, world_size)


def scramble(part, optimizer):
    """Undo the restoring of one part."""
    if part == "optimizer":
        optimizer.state.clear()
    elif part == "torch random state":
        torch.manual_seed(99)
    elif part == "python random state":
        random.seed(99)
    elif part == "numpy random state":
        numpy.random.seed(99)


def run(folder, forget=None, seen=None, wrap=None, rank=0, world_size=1, last=STEPS):
    """One training cell: build everything, take up the newest checkpoint if there is
    one, train to the end -> all bits.
    """
    torch.manual_seed(rank), random.seed(rank), numpy.random.seed(rank)
    net = transformer.LanguageModel(CONFIG)
    optimizer = optim.adamw(optim.parameter_groups(net, lr=1e-2))
    path = checkpoint.newest(folder)
    start = checkpoint.load(path, net, optimizer)["step"] if path else 0
    scramble(forget, optimizer)
    losses = []
    data = batches(start, forget, seen, rank, world_size)
    for step in itertools.islice(
        train.steps(
            wrap(net) if wrap else net,
            data,
            mlm.mlm_loss,
            optimizer,
            accumulate=ACCUMULATE,
            schedule=lambda n: optim.warmup_linear(n, 4, 2 * STEPS),
            first=0 if forget == "schedule" else start,
        ),
        max(0, last - start),
    ):
        losses.append((step.number, step.loss, step.lr, step.grad_norm))
        checkpoint.save_numbered(
            folder,
            net,
            optimizer,
            step=step.number + 1,
            keep=STEPS,
            meta={"loss": step.loss},
        )
    return bits(net, optimizer), losses


def bits(net, optimizer):
    """Weights, optimizer state, rates and the four random states as one comparable
    value.
    """

    def plain(value):
        if isinstance(value, torch.Tensor):
            return [
                str(value.dtype),
                *value.shape,
                value.contiguous().flatten().view(torch.uint8).tolist(),
            ]
        return value.tolist()

    name, *rest = numpy.random.get_state()
    return json.dumps(
        [
            net.state_dict(),
            optimizer.state_dict(),
            torch.get_rng_state(),
            random.getstate(),
            rest,
        ],
        default=plain,
        sort_keys=True,
    )


def copy_of(folder, name, until):
    """A new folder with the checkpoints up to step `until`, as if the run had ended
    there.
    """
    place = folder.parent / name
    place.mkdir()
    for step in range(1, until + 1):
        shutil.copy(folder / f"step-{step}.safetensors", place)
    return place


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its folder with a checkpoint of each step, its final bits,
    its losses.
    """
    folder = tmp_path_factory.mktemp("resume") / "whole"
    return folder, *run(folder)


def test_resume_from_every_checkpoint(whole):
    folder, final, losses = whole
    assert run(folder.parent / "again") == (final, losses)  # the run itself repeats
    assert (
        len({loss for _, loss, *_ in losses}) == STEPS
        and len({rate for *_, rate, _ in losses}) > 4
    )
    for step in range(1, STEPS + 1):
        ended, rest = run(copy_of(folder, f"from {step}", step))
        assert rest == losses[step:], f"resumed after step {step}"
        assert ended == final, f"resumed after step {step}"


@pytest.mark.parametrize("part", PARTS)
def test_forgetting_one_part_is_noticed(whole, part):
    folder, final, _ = whole
    # step 4 is in the second epoch
    assert run(copy_of(folder, f"without {part}", 4), forget=part)[0] != final


# ---- the data: each row once, whoever reads it (3, 4, 5) ----


class Masked(torch.utils.data.Dataset):
    """(epoch, rows) -> masked ids and labels; `careless` draws from the global
    generator instead.
    """

    def __init__(self, careless=False):
        self.careless = careless

    def __getitem__(self, key):
        epoch, rows = key
        seed = int(torch.randint(10**6, ())) if self.careless else 1
        return torch.cat(
            mlm.mask_tokens(
                CORPUS[rows],
                VOCABULARY,
                4,
                range(5),
                seed=seed,
                epoch=epoch,
                index=torch.tensor(rows),
            )
        )


def read(workers, start=0, careless=False):
    torch.manual_seed(0)
    keys = list(train.sample_rows(ROWS, SIZE, seed=1, first=start, epochs=2))
    loader = torch.utils.data.DataLoader(
        Masked(careless), sampler=keys, batch_size=None, num_workers=workers
    )
    return [batch.tolist() for batch in loader]


def test_masks_are_the_same_for_any_number_of_workers_and_after_a_resume():
    alone = read(0)
    assert len(alone) == 12 and len({str(batch) for batch in alone}) == 12
    assert read(1) == alone and read(2) == alone
    assert [read(0, start) for start in range(12)] == [
        alone[start:] for start in range(12)
    ]
    assert read(2, start=5) == alone[5:]
    careless = read(0, careless=True)  # control
    assert (
        read(2, careless=True) != careless and read(0, 5, careless=True) != careless[5:]
    )


def test_three_resumes_inside_one_epoch_see_each_row_once(tmp_path):
    def pieces(forget=None):
        folder, seen = tmp_path / str(forget), []
        for last in (1, 2, 3):  # three steps are one epoch
            run(folder, forget=forget, seen=seen, last=last)
        return sorted(row for epoch, rows in seen for row in rows if epoch == 0)

    assert pieces() == list(range(ROWS))
    assert pieces(forget="data position") != list(range(ROWS))  # control


def test_a_run_resumed_three_times_inside_one_epoch(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ACCUMULATE", 1)  # six steps an epoch

    def pieces(forget=None):
        folder, seen = tmp_path / str(forget), []
        for last in (1, 3, 4, 6):
            ended = run(folder, forget=forget, seen=seen, last=last)
        assert {epoch for epoch, _ in seen} == {0}
        return sorted(row for _, rows in seen for row in rows), ended[0]

    rows, ended = pieces()
    assert rows == list(range(ROWS))
    assert ended == run(tmp_path / "whole", last=6)[0]
    rows, other = pieces(forget="data position")  # control
    assert rows != list(range(ROWS)) and other != ended


def test_resume_at_the_end_of_an_epoch_runs_the_whole_next_one(whole):
    seen = []
    run(copy_of(whole[0], "end of epoch", 3), seen=seen, last=6)
    assert {epoch for epoch, _ in seen} == {1}
    assert [row for _, rows in seen for row in rows] == train.order(ROWS, 1, 1).tolist()
    seen = []
    # control
    run(
        copy_of(whole[0], "end of epoch, forgotten", 3),
        forget="epoch",
        seen=seen,
        last=6,
    )
    assert [row for _, rows in seen for row in rows] != train.order(ROWS, 1, 1).tolist()


# ---- interrupts (7) ----


@contextlib.contextmanager
def interrupt(after):
    """KeyboardInterrupt in whatever the body does `after` seconds from now, as the stop
    button of a notebook sends it.
    """

    def stop(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def gradients_on():
    """For the tests that follow: of about 400 interrupts one comes inside torch's
    no_grad, in an optimizer's step for one, and leaves gradients off.
    """
    yield
    torch.set_grad_enabled(True)


def test_gradients_that_an_interrupt_left_off_are_on_in_the_loop(whole, gradients_on):
    folder, final, _ = whole
    torch.set_grad_enabled(False)
    assert run(folder.parent / "gradients off")[0] == final


def test_an_interrupted_cell_run_again_gives_the_same_result(whole, gradients_on):
    folder, final, _ = whole
    start = time.perf_counter()
    run(folder.parent / "timed")
    duration, draw = time.perf_counter() - start, random.Random(0)
    interrupts = finished = 0
    while interrupts < 40:
        place = folder.parent / f"stopped {finished}"
        for _ in range(40 - interrupts):
            try:
                with interrupt(duration * draw.uniform(0.01, 0.6)):
                    ended = run(place)[0]
                break
            except KeyboardInterrupt:
                interrupts += 1
        else:
            ended = run(place)[0]
        assert ended == final
        assert list(place.glob(".*")) == [] and len(list(place.iterdir())) == STEPS
        finished += 1
    assert finished > 1


def test_control_a_naive_cell_does_not(whole):
    """The cell of most tutorials: the model lives in another cell, the loop begins at
    0.
    """
    torch.manual_seed(0), random.seed(0), numpy.random.seed(0)
    net = transformer.LanguageModel(CONFIG)
    optimizer = optim.adamw(optim.parameter_groups(net, lr=1e-2))

    def cell(last):
        for _ in itertools.islice(
            train.steps(
                net,
                batches(),
                mlm.mlm_loss,
                optimizer,
                accumulate=ACCUMULATE,
                schedule=lambda n: optim.warmup_linear(n, 4, 2 * STEPS),
            ),
            last,
        ):
            pass

    cell(3)
    cell(STEPS)
    assert bits(net, optimizer) != whole[1]


# ---- two processes ----


def test_two_processes_with_dropout_continue_exactly(tmp_path, two_processes):
    def work(rank, forget=None):
        options = {
            "wrap": torch.nn.parallel.DistributedDataParallel,
            "rank": rank,
            "world_size": 2,
            "last": 6,
        }
        final, losses = run(tmp_path / "whole", **options)
        if rank == 0:
            copy_of(tmp_path / "whole", "part", 3)
        dist.barrier()
        resumed = run(
            tmp_path / "part", **options, forget=forget if rank == 1 else None
        )
        return resumed == (final, losses[3:])

    assert two_processes(work) == [0, 0]
    shutil.rmtree(tmp_path / "whole"), shutil.rmtree(tmp_path / "part")
    # control: only process 1 forgets
    assert two_processes(lambda rank: work(rank, "torch random state")) == [2, 2]
