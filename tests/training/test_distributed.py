"""Where am I running: the environment of one process and of several, and the
precision.
"""

import contextlib
import sys

import pytest
import torch
import torch.distributed as dist
from stages import ROOT
from test_invariance import torchrun

from ftlib.training import distributed

NAMES = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "FTLIB_DEVICE",
)


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_one_process_needs_no_environment(capsys):
    place = distributed.setup(seed=3, device="cpu")
    assert (place.device.type, place.rank, place.world_size) == ("cpu", 0, 1)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), wanted)
    net = torch.nn.Linear(2, 2)
    assert distributed.wrap(net, place) is net and distributed.unwrap(net) is net
    distributed.print0(place, "once")
    distributed.print0(place._replace(rank=1), "never")
    assert capsys.readouterr().out == "once\n"
    distributed.cleanup()


def test_a_half_set_environment_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        ValueError, match="WORLD_SIZE is 2 but RANK is not set; start with torchrun"
    ):
        distributed.setup(device="cpu")
    assert not dist.is_initialized()


def test_the_device_can_be_chosen(monkeypatch):
    monkeypatch.setenv("FTLIB_DEVICE", "meta")
    assert distributed.pick_device().type == "meta"
    monkeypatch.delenv("FTLIB_DEVICE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert distributed.pick_device(1) == torch.device("cuda", 1)
    with pytest.raises(
        ValueError,
        match="LOCAL_RANK is 2 and this machine has 2 GPUs; "
        "start at most one process per GPU",
    ):
        distributed.pick_device(2)


@pytest.mark.parametrize(
    "amx, avx, gain, kind",
    [
        (True, True, 0, torch.bfloat16),
        (False, True, 3.9, torch.bfloat16),
        (False, True, 1.97, torch.bfloat16),
        (False, True, 1.4, None),
        (False, True, 1.1, None),
        (False, False, 3.9, None),
    ],
)
def test_bfloat16_where_it_is_fast(amx, avx, gain, kind, monkeypatch):
    """AMX settles it; AVX512-BF16 alone only where a product was measured to
    be faster.
    """
    for name, has in (("amx_tile", amx), ("avx512_bf16", avx)):
        monkeypatch.setattr(
            torch.cpu, f"_is_{name}_supported", lambda has=has: has, raising=False
        )
    monkeypatch.setattr(distributed, "_bf16_gain", lambda: gain)
    monkeypatch.delenv("FTLIB_BF16", raising=False)
    assert distributed.setup(device="cpu").dtype is kind
    assert ("bfloat16 autocast" if kind else "float32") in distributed.describe(
        distributed.setup(device="cpu")
    )
    for word, wanted in (("0", None), ("1", torch.bfloat16)):
        monkeypatch.setenv("FTLIB_BF16", word)
        assert (
            distributed.setup(device="cpu").dtype is wanted
            and distributed.setup(device="cpu", bf16=True).dtype is torch.bfloat16
        )
    monkeypatch.delenv("FTLIB_BF16")
    assert (
        distributed.setup(device="cpu", bf16=False).dtype is None
        and distributed.setup(device="cpu", bf16=True).dtype is torch.bfloat16
    )
    assert not distributed.native_bf16(torch.device("mps"))


def test_the_gain_of_bfloat16_is_measured(monkeypatch):
    """A clock that says what a product takes: the gain is the ratio of the best times.
    And a real one is a number above 0.
    """
    # float32: 9, 6, 6; bfloat16: 9, 3, 2
    ticks = iter([0, 9, 9, 15, 15, 21] + [30, 39, 39, 42, 42, 44])
    with monkeypatch.context() as patch:
        patch.setattr(distributed.time, "perf_counter", lambda: next(ticks))
        assert distributed._bf16_gain.__wrapped__(size=2, tries=3) == 3
    assert (
        distributed._bf16_gain() > 0
        and distributed._bf16_gain() == distributed._bf16_gain()
    )


def test_a_group_of_one_through_the_environment(monkeypatch, tmp_path):
    """What torchrun sets, with one process: DDP, the wrapped model and back, and the
    way out.
    """
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    place = distributed.DistributedContext(torch.device("cpu"), 0, 2, None)
    net = torch.nn.Linear(2, 2)
    wrapped = distributed.wrap(net, place)
    assert (
        type(wrapped).__name__ == "DistributedDataParallel"
        and distributed.unwrap(wrapped) is net
    )
    assert "process 1 of 2" in distributed.describe(place)
    distributed.cleanup()
    assert not dist.is_initialized()


def test_shares_are_put_together_again(two_processes):
    """Two processes with different weights: both get those of process 0, hold half, and
    process 0 can have the whole.
    """

    def work(rank):
        place = distributed.DistributedContext(torch.device("cpu"), rank, 2, None)
        torch.manual_seed(0)
        # 5 and 1 rows over 2
        wanted = torch.nn.Sequential(
            torch.nn.Linear(3, 5), torch.nn.Linear(5, 1)
        ).state_dict()
        torch.manual_seed(rank)
        net = distributed.wrap(
            torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 1)),
            place,
            shard=True,
        )
        mine = sum(p.to_local().numel() for p in net.parameters())
        found = distributed.full_state_dict(net)
        assert (
            distributed.unwrap(net) is net
            and mine == (18 if rank == 0 else 8)
            and sum(p.numel() for p in net.parameters()) == 26
        )
        assert found.keys() == (wanted.keys() if rank == 0 else set())
        return all(torch.equal(found[k], wanted[k]) for k in found)

    assert two_processes(work) == [0, 0]
    net = torch.nn.Linear(2, 2)
    assert distributed.full_state_dict(net)["bias"] is not net.bias and torch.equal(
        distributed.full_state_dict(net)["bias"], net.bias
    )


class Pooled(torch.nn.Module):
    """As transformers' AutoModel under a head that pools by itself: two weights that
    the loss never reaches.
    """

    def __init__(self):
        super().__init__()
        self.dense, self.pooler = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)

    def forward(self, x, pooled=False):
        return self.pooler(x) + self.dense(x) if pooled else self.dense(x)


def trained(rank, unused, accumulate=1, model=Pooled, pooled=lambda number: False):
    """Three steps of SGD on other rows in each process -> the first weight."""
    place = distributed.DistributedContext(torch.device("cpu"), rank, 2, None)
    torch.manual_seed(0)
    net = distributed.wrap(model(), place, unused=unused)
    draw = torch.Generator().manual_seed(rank)
    for _ in range(3):
        for number in range(accumulate):
            last = number + 1 == accumulate
            with contextlib.nullcontext() if last else net.no_sync():
                x = torch.randn(4, 3, generator=draw)
                net(x, pooled(number)).square().sum().backward()
        for weight in net.parameters():
            if weight.grad is not None:
                weight.data -= 0.01 * weight.grad
                weight.grad = None
    return distributed.unwrap(net).dense.weight.detach()


def equal_on_both(tensor):
    both = [torch.empty_like(tensor) for _ in range(2)]
    dist.all_gather(both, tensor)
    return torch.equal(*both)


def test_weights_that_the_loss_leaves_out_are_named(two_processes, counted):
    """Without the option one sentence with the first name and the remedy; torch alone
    trains the first step on gradients that nobody exchanged.
    """

    def work(rank):
        words = "left out 2 trainable weights, pooler.weight first.*unused=True"
        for accumulate in (1, 2):
            with pytest.raises(ValueError, match=words):
                trained(rank, False, accumulate)
        return True

    def alone(rank):
        distributed._watch = lambda wrapped: None
        with pytest.raises(RuntimeError, match="Expected to have finished reduction"):
            trained(rank, False)
        return True

    assert two_processes(work) == [0, 0]
    assert two_processes(alone) == [0, 0]
    counted("fault")


def test_the_option_trains_what_is_used(two_processes):
    def work(rank):
        found = [trained(rank, True, accumulate) for accumulate in (1, 2)]
        return all(map(equal_on_both, found))

    assert two_processes(work) == [0, 0]


def test_a_weight_that_some_micro_batches_leave_out_is_no_fault(two_processes):
    """Only the last micro-batch of a step is exchanged, and it asks all weights."""

    def work(rank):
        return equal_on_both(trained(rank, False, 2, pooled=lambda number: number > 0))

    assert two_processes(work) == [0, 0]


def test_nobody_watches_once_all_weights_were_used(two_processes):
    def work(rank):
        place = distributed.DistributedContext(torch.device("cpu"), rank, 2, None)
        net = distributed.wrap(torch.nn.Linear(3, 2), place)
        net.eval()(torch.ones(1, 3))  # an evaluation says nothing
        watched = [len(net._forward_pre_hooks)]
        for _ in range(3):
            net(torch.ones(1, 3)).sum().backward()
            watched.append(len(net._forward_pre_hooks))
        return (
            watched == [1, 1, 0, 0]
            and not net.module.weight._post_accumulate_grad_hooks
        )

    assert two_processes(work) == [0, 0]


def test_gloos_threads_get_time_where_the_group_is_kept(monkeypatch, tmp_path):
    """FSDP2 keeps the group and so its threads: the process must not end at once.
    Without FSDP2 nothing is waited for.
    """
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    waited = []
    monkeypatch.setattr(
        distributed.time,
        "sleep",
        lambda seconds: waited.append((seconds, dist.is_initialized())),
    )
    # False: the group had been left by then
    for loaded, wanted in ((False, []), (True, [(0.2, False)])):
        monkeypatch.delitem(sys.modules, "torch.distributed.fsdp", raising=False)
        if loaded:
            # any module: its name is what counts
            monkeypatch.setitem(sys.modules, "torch.distributed.fsdp", dist)
        dist.init_process_group(
            "gloo", init_method=f"file://{tmp_path}/meet {loaded}", rank=0, world_size=1
        )
        distributed.cleanup()
        assert waited == wanted


SCRIPT = """
import os, sys, torch
import torch.distributed as dist
from ftlib.training import distributed

def threads():
    tasks = os.listdir("/proc/self/task")
    names = [open(f"/proc/self/task/{t}/comm").read().strip() for t in tasks]
    return names.count("pt_gloo_runloop")

def main():
    if sys.argv[1] == "setup":
        place = distributed.setup(device="cpu")
    else:  # the control: what setup does, without its import
        dist.init_process_group("gloo")
        rank, cpu = dist.get_rank(), torch.device("cpu")
        place = distributed.DistributedContext(cpu, rank, 2, None)
    net = distributed.wrap(torch.nn.Linear(2, 2), place)
    net(torch.ones(1, 2)).sum().backward()
    distributed.cleanup()
    return place.rank, threads()

rank, before = main()
if rank == 0:
    print(before, threads())
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="threads are counted in /proc"
)
@pytest.mark.parametrize("way, left", [("setup", 0), ("control", 2)])
def test_no_thread_of_gloo_outlives_the_model(way, left, tmp_path):
    """A thread that is left may abort the process while Python shuts down; the control
    shows that it would be left.
    """
    (tmp_path / "x.py").write_text(SCRIPT, encoding="utf-8")
    ended = torchrun(
        tmp_path / "x.py",
        way,
        environment={"PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.split() == ["2", str(left)]
