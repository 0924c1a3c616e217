"""Where am I running: the environment of one process and of several, and the precision."""
import pytest
import torch
import torch.distributed as dist

from ftlib import launch

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "FTLIB_DEVICE")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_one_process_needs_no_environment(capsys):
    place = launch.setup(seed=3, device="cpu")
    assert (place.device.type, place.rank, place.world) == ("cpu", 0, 1)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), wanted)
    net = torch.nn.Linear(2, 2)
    assert launch.wrap(net, place) is net and launch.unwrap(net) is net
    launch.say(place, "once")
    launch.say(place._replace(rank=1), "never")
    assert capsys.readouterr().out == "once\n"
    launch.finish()


def test_a_half_set_environment_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="WORLD_SIZE is 2 but RANK is not set; start with torchrun"):
        launch.setup(device="cpu")
    assert not dist.is_initialized()


def test_the_device_can_be_chosen(monkeypatch):
    monkeypatch.setenv("FTLIB_DEVICE", "meta")
    assert launch.pick_device().type == "meta"
    monkeypatch.delenv("FTLIB_DEVICE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert launch.pick_device(1) == torch.device("cuda", 1)
    with pytest.raises(ValueError, match="LOCAL_RANK is 2 and this machine has 2 GPUs; start at most one process per GPU"):
        launch.pick_device(2)


@pytest.mark.parametrize("amx, kind", [(True, torch.bfloat16), (False, None)])
def test_bfloat16_where_it_is_fast(amx, kind, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.delenv("FTLIB_BF16", raising=False)
    assert launch.setup(device="cpu").dtype is kind
    for word, wanted in (("0", None), ("1", torch.bfloat16)):
        monkeypatch.setenv("FTLIB_BF16", word)
        assert launch.setup(device="cpu").dtype is wanted and launch.setup(device="cpu", bf16=True).dtype is torch.bfloat16
    monkeypatch.delenv("FTLIB_BF16")
    assert launch.setup(device="cpu", bf16=False).dtype is None and launch.setup(device="cpu", bf16=True).dtype is torch.bfloat16
    assert ("bfloat16 autocast" if amx else "float32") in launch.describe(launch.setup(device="cpu"))
    assert not launch.native_bf16(torch.device("mps"))


def test_a_group_of_one_through_the_environment(monkeypatch, tmp_path):
    """What torchrun sets, with one process: DDP, the wrapped model and back, and the way out."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    place = launch.Place(torch.device("cpu"), 0, 2, None)
    net = torch.nn.Linear(2, 2)
    wrapped = launch.wrap(net, place)
    assert type(wrapped).__name__ == "DistributedDataParallel" and launch.unwrap(wrapped) is net
    assert "process 1 of 2" in launch.describe(place)
    launch.finish()
    assert not dist.is_initialized()
