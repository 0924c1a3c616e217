"""A checkpoint of a sharded run is the same single file, and 1 or 2 processes, sharded
or not, go on from it alike.

`torchrun --nproc_per_node=2 tests/training/test_sharding.py folder` is what the test
starts; the single process runs here.
"""

import itertools
import json
import pathlib
import sys

import pytest
import torch
from safetensors import safe_open
from test_invariance import (
    BATCH,
    ROWS,
    V,
    apart,
    loss_in_its_own_type,
    masked,
    torchrun,
)

from ftlib.models import transformer
from ftlib.training import checkpoint, distributed, optim, train

CUT, LAST = 2, 6  # two epochs of three steps; saved after the second
KINDS = {"ddp": False, "sharded": True}
CONFIG = transformer.Config(V, width=16, layers=2, heads=2, ffn_dim=32, max_tokens=12)


def run(place, shard, folder, name=None, found=None, forget=False):
    """Train to the end, or from the file `found`; write `name` after step CUT, or after
    the last one -> the losses.
    """
    torch.manual_seed(0)
    net = distributed.wrap(transformer.LanguageModel(CONFIG).double(), place, shard)
    optimizer = optim.adamw(optim.parameter_groups(net, 1e-2))
    start = (
        checkpoint.load(folder / found, distributed.unwrap(net), optimizer)["step"]
        if found
        else 0
    )
    if forget:
        optimizer.state.clear()
    data = (
        mine
        for epoch, rows in train.sample_rows(ROWS, BATCH, 1, first=start)
        for mine in train.split_micro_batches(
            masked(rows, epoch), 1, place.rank, place.world_size
        )
    )
    losses = []
    for step in itertools.islice(
        train.steps(net, data, loss_in_its_own_type, optimizer, clip=0.5, first=start),
        LAST - start,
    ):
        losses.append(step.loss)
        if name and step.number + 1 == (LAST if found else CUT):
            checkpoint.save(
                folder / name,
                distributed.unwrap(net),
                optimizer,
                step=step.number + 1,
                meta={"made by": "a test"},
            )
    return losses


def with_shares_of_the_optimizer(place, folder):
    """The planted fault: behind the weights, which come first, `save` gets the share of
    process 0 -> how many tensors.
    """
    sharded, save, calls = torch.distributed.tensor.DTensor, checkpoint.save, []
    full = sharded.full_tensor
    count = len(transformer.LanguageModel(CONFIG).state_dict())

    def scattered(tensor):
        calls.append(tensor)
        return full(tensor) if len(calls) <= count else tensor.to_local()

    # patched here only, because the steps ask for whole norms too
    def broken(*arguments, **more):
        sharded.full_tensor = scattered
        save(*arguments, **more)
        sharded.full_tensor = full

    checkpoint.save = broken
    run(place, True, folder, "broken")
    checkpoint.save = save
    return len(calls) - count


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The folder with the files that one process, two, and two with shares wrote; {"who
    from which file": losses}.
    """
    folder, alone = (
        tmp_path_factory.mktemp("shards"),
        distributed.DistributedContext(torch.device("cpu"), 0, 1, None),
    )
    losses = {"one": run(alone, False, folder, "one")}
    ended = torchrun(pathlib.Path(__file__).resolve(), folder)
    assert ended.returncode == 0, ended.stderr[-3000:]
    losses |= json.loads((folder / "out.json").read_text(encoding="utf-8"))
    losses |= {
        f"one from {name}": run(alone, False, folder, f"one from {name}", name)
        for name in ("one", "ddp", "sharded")
    }
    losses["one forgets"] = run(alone, False, folder, found="sharded", forget=True)
    return folder, losses


# the second: saved by who went on from a file, whose order is none
@pytest.mark.parametrize("more", ["", " from sharded"])
def test_the_file_is_the_same_for_any_number_of_processes(found, more):
    def described(name):
        with safe_open(found[0] / f"{name}{more}", "pt") as file:
            info = json.loads(file.metadata()["checkpoint"])
            # one for each process, the only part that tells how many wrote it
            states = len(info.pop("random"))
            return states, info, {key: file.get_tensor(key) for key in file.keys()}

    (_, info, tensors), *others = map(described, ("one", "ddp", "sharded"))
    for states, other, theirs in others:
        assert (states, other) == (2, info) and theirs.keys() == tensors.keys()
        assert any(".exp_avg_sq" in key for key in tensors)
        for key, tensor in tensors.items():
            assert (theirs[key].shape, theirs[key].dtype) == (
                tensor.shape,
                tensor.dtype,
            )
            assert (theirs[key].double() - tensor.double()).abs().max() < 1e-9, key


@pytest.mark.parametrize("name", ["one", "ddp", "sharded"])
@pytest.mark.parametrize("who", ["one", "ddp", "sharded"])
def test_every_kind_of_run_goes_on_from_every_file(found, who, name):
    losses = found[1]
    assert len(losses["one"]) == LAST and apart(losses[who], losses["one"]) < 1e-12
    assert apart(losses[f"{who} from {name}"], losses["one"][CUT:]) < 1e-12
    if who == name:
        # the same processes: the same bits
        assert losses[f"{who} from {name}"] == losses[who][CUT:]


def test_a_forgotten_or_scattered_optimizer_is_noticed(found, counted):
    folder, losses = found
    assert apart(losses["one forgets"][1:], losses["one"][CUT + 1 :]) > 1e-4
    assert losses["shares"] > 20
    with pytest.raises(ValueError, match=r"shape of optimizer\.\d+\.exp_avg"):
        run(
            distributed.DistributedContext(torch.device("cpu"), 0, 1, None),
            False,
            folder,
            found="broken",
        )
    counted("fault", 2)


if __name__ == "__main__":
    here, place = pathlib.Path(sys.argv[1]), distributed.setup(device="cpu", bf16=False)
    results = {kind: run(place, shard, here, kind) for kind, shard in KINDS.items()}
    for kind, shard in KINDS.items():
        results |= {
            f"{kind} from {name}": run(place, shard, here, f"{kind} from {name}", name)
            for name in ("one", "ddp", "sharded")
        }
    results["shares"] = with_shares_of_the_optimizer(place, here)
    if place.rank == 0:
        (here / "out.json").write_text(json.dumps(results), encoding="utf-8")
    distributed.cleanup()
