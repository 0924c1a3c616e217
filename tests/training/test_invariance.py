"""One or two processes, one, two or four micro-batches: the same losses and weights.
RELIABILITY 15.

`torchrun --nproc_per_node=2 tests/training/test_invariance.py out.json` is what the
test starts; the single process runs here.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from ftlib.evaluation import metrics
from ftlib.models import transformer
from ftlib.objectives import classify, mlm
from ftlib.training import distributed, optim, train

V, ROWS, BATCH, STEPS = 50, 48, 16, 6  # two epochs of three updates
CORPUS = torch.randint(5, V, (ROWS, 12), generator=torch.Generator().manual_seed(0))
# uneven rows, so uneven questions
LENGTH = torch.randint(3, 13, (ROWS,), generator=torch.Generator().manual_seed(1))


def masked(rows, epoch):
    rows = torch.tensor(rows)
    ids, real = CORPUS[rows], torch.arange(12) < LENGTH[rows][:, None]
    hidden, labels = mlm.mask_tokens(
        ids, V, 4, range(5), seed=0, epoch=epoch, index=rows, mask_prob=0.3
    )
    return {
        "input_ids": torch.where(real, hidden, 0),
        "attention_mask": real.long(),
        "labels": labels.where(real, -100),
        "index": rows,
    }


def loss_in_its_own_type(net, batch):
    """mlm_loss without its cast to float32, for float64."""
    asked = batch["labels"] != -100
    return F.cross_entropy(
        net(batch["input_ids"], batch["attention_mask"], target_mask=asked).logits,
        batch["labels"][asked],
        reduction="sum",
    )


def run(place, accumulate, dtype, shard=False):
    """Train -> {"losses", "targets", "tokens", "norms", "weights": a few numbers of the
    end, "held_out", "held": bytes of its state}.
    """
    # sharded, too, all start from the weights of process 0
    torch.manual_seed(0 if not shard else place.rank)
    net = distributed.wrap(
        transformer.LanguageModel(
            transformer.Config(
                V, width=16, layers=2, heads=2, ffn_dim=32, max_tokens=12
            )
        ).to(dtype),
        place,
        shard,
    )
    optimizer = optim.adamw(optim.parameter_groups(net, 1e-2))
    data = (
        mine
        for epoch, rows in train.sample_rows(ROWS, BATCH, 1, epochs=2)
        for mine in train.split_micro_batches(
            masked(rows, epoch), accumulate, place.rank, place.world_size
        )
    )
    loss_fn = mlm.mlm_loss if dtype is torch.float32 else loss_in_its_own_type
    steps = list(
        train.steps(
            net,
            data,
            loss_fn,
            optimizer,
            accumulate=accumulate,
            clip=0.5,
            schedule=lambda s: optim.warmup_linear(s, 2, STEPS),
        )
    )
    # 12 batches over the processes
    mine = [masked(list(range(i, i + 4)), 9) for i in range(0, ROWS, 4)][
        place.rank :: place.world_size
    ]
    # before the weights: a sharded model must come back from it in its shares
    held_out = metrics.mean_loss(net, mine, loss_fn)
    kept = [
        *net.parameters(),
        *(t for slot in optimizer.state.values() for t in slot.values()),
    ]
    return {
        "losses": [s.loss for s in steps],
        "norms": [s.grad_norm for s in steps],
        "targets": [s.targets for s in steps],
        "tokens": [s.tokens for s in steps],
        "weights": [
            w.double().sum().item() for w in distributed.full_state_dict(net).values()
        ],
        "held_out": held_out,
        "held": sum(
            t.to_local().nbytes if hasattr(t, "to_local") else t.nbytes for t in kept
        ),
    }


def local(tensors):
    return [t.to_local() if hasattr(t, "to_local") else t for t in tensors]


def clip_by_share(params, limit, norm):
    """With the norm of a share the planted fault: every process clips its share of the
    gradients by the norm of that share.
    """
    torch._foreach_mul_(local(p.grad for p in params), min(1.0, limit / float(norm)))


def everything(place):
    """All combinations this number of processes can run, and the controls: each divides
    by its own count, clips by its own norm.
    """
    found = {
        f"{kind} {k}": run(place, k, getattr(torch, kind))
        for kind in ("float32", "float64")
        for k in (1, 2, 4)
    }
    found |= {
        f"sharded {kind} {k}": run(place, k, getattr(torch, kind), shard=True)
        for kind, k in (("float32", 1), ("float64", 2))
    }
    total, utils = train._total, torch.nn.utils
    norm, clip = utils.get_total_norm, utils.clip_grads_with_norm_
    train._total = lambda values, device: [v * place.world_size for v in values]
    found["local mean"] = run(place, 1, torch.float64)
    train._total = total
    utils.get_total_norm = lambda gradients: norm(local(gradients))
    utils.clip_grads_with_norm_ = clip_by_share
    found["local norm"] = run(place, 1, torch.float64, shard=True)
    utils.get_total_norm, utils.clip_grads_with_norm_ = norm, clip
    return found


def torchrun(script, *arguments, processes=2, environment=None, timeout=240):
    """Start `script` under torchrun on loopback -> the finished process."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nproc_per_node={processes}",
        "--master_addr=127.0.0.1",
        f"--master_port={29500 + os.getpid() % 2000}",
        str(script),
        *map(str, arguments),
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
            "FTLIB_DEVICE": "cpu",
            **(environment or {}),
        },
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """{"1": ..., "2": ...} by number of processes."""
    out = tmp_path_factory.mktemp("two") / "out.json"
    ended = torchrun(pathlib.Path(__file__).resolve(), out)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return {
        "1": everything(
            distributed.DistributedContext(torch.device("cpu"), 0, 1, None)
        ),
        "2": json.loads(out.read_text(encoding="utf-8")),
    }


def apart(a, b):
    return max(abs(x - y) / max(abs(y), 1e-3) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    "kind, loss, weight", [("float32", 1e-6, 1e-2), ("float64", 1e-13, 1e-9)]
)
def test_processes_and_micro_batches_change_nothing(found, kind, loss, weight):
    wanted = found["1"][f"{kind} 1"]
    # the questions are uneven
    assert len(wanted["losses"]) == STEPS and len(set(wanted["targets"])) > 1
    for processes in ("1", "2"):
        for k in (1, 2, 4):
            got = found[processes][f"{kind} {k}"]
            assert (
                got["targets"] == wanted["targets"]
                and got["tokens"] == wanted["tokens"]
            )
            assert apart(got["losses"], wanted["losses"]) < loss, (processes, k)
            assert abs(got["held_out"] - wanted["held_out"]) < loss * 10
            # AdamW makes rounding visible
            assert apart(got["weights"], wanted["weights"]) < weight, (processes, k)


@pytest.mark.parametrize(
    "name, loss, weight", [("float32 1", 1e-6, 1e-2), ("float64 2", 1e-13, 1e-9)]
)
def test_sharding_changes_nothing_but_the_memory(found, name, loss, weight):
    """Two processes that hold half of everything each: the losses, the norms and the
    weights of one process.
    """
    wanted, got = found["1"][name], found["2"][f"sharded {name}"]
    assert got["targets"] == wanted["targets"] and got["tokens"] == wanted["tokens"]
    assert (
        apart(got["losses"], wanted["losses"]) < loss * 3
        and abs(got["held_out"] - wanted["held_out"]) < loss * 10
    )
    assert (
        apart(got["norms"], wanted["norms"]) < loss * 10
        and apart(got["weights"], wanted["weights"]) < weight
    )
    # what has an odd first dimension gets one row more here
    assert 0.49 < got["held"] / found["2"][name]["held"] < 0.55
    assert found["1"][f"sharded {name}"] == wanted  # alone there is nothing to share


def test_clipping_by_the_norm_of_a_share_is_caught(found, counted):
    wanted, wrong = found["1"]["float64 1"], found["2"]["local norm"]
    # one process: the same thing
    assert apart(found["1"]["local norm"]["norms"], wanted["norms"]) < 1e-5
    assert apart(wrong["norms"], wanted["norms"]) > 0.1
    counted("fault")


def test_local_mean_is_caught(found, counted):
    wanted = found["1"]["float64 1"]
    # one process: the same thing
    assert apart(found["1"]["local mean"]["losses"], wanted["losses"]) < 1e-13
    wrong = found["2"]["local mean"]
    assert (
        apart(wrong["losses"][:1], wanted["losses"][:1]) > 1e-4
        and apart(wrong["weights"], wanted["weights"]) > 1e-4
    )
    counted("fault")


def test_padding_and_order_inside_a_batch_change_nothing():
    """The gradient of a batch is the same with its rows in another order and with more
    padding.
    """

    def gradient(batch):
        net.zero_grad()
        loss_in_its_own_type(net, batch).backward()
        return torch.cat([p.grad.flatten() for p in net.parameters()])

    torch.manual_seed(0)
    net = transformer.LanguageModel(
        transformer.Config(V, width=16, layers=2, heads=2, ffn_dim=32, max_tokens=20)
    ).double()
    batch = masked(list(range(8)), 0)
    wanted = gradient(batch)
    turned = {k: v.flip(0) for k, v in batch.items()}
    longer = {
        k: F.pad(v, (0, 6), value=-100 if k == "labels" else 0)
        for k, v in batch.items()
        if k != "index"
    }
    for other in (turned, longer):
        assert (gradient(other) - wanted).norm() < 1e-13 * wanted.norm()


def test_classifier_is_the_same_alone_and_in_a_batch():
    torch.manual_seed(0)
    net = (
        classify.Classifier(
            transformer.Transformer(
                transformer.Config(
                    V, width=16, layers=2, heads=2, ffn_dim=32, max_tokens=12
                )
            ),
            2,
        )
        .double()
        .eval()
    )
    rows = [CORPUS[i, : LENGTH[i]].tolist() for i in range(20)]
    together = classify.predict(net, classify.batches_of(rows, size=20))
    alone = classify.predict(net, classify.batches_of(rows, size=1))
    assert (together - alone).abs().max() < 1e-6


if __name__ == "__main__":
    here = distributed.setup(device="cpu")
    results = everything(here)
    if here.rank == 0:
        pathlib.Path(sys.argv[1]).write_text(json.dumps(results), encoding="utf-8")
    distributed.cleanup()
