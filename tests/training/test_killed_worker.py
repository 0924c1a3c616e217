"""A worker that is killed under torchrun, which starts all of them again.
RELIABILITY 22.

`torchrun ... tests/training/test_killed_worker.py FOLDER` is the job whose worker dies.
"""

import os
import pathlib
import signal
import subprocess
import sys

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]  # for the worker
import kill_test  # noqa: E402

from ftlib.training import checkpoint, distributed  # noqa: E402


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
        with open(
            folder / f"steps {attempt} {place.rank}", "a", encoding="utf-8"
        ) as file:
            file.write(f"{step} ")

    ended = kill_test.job(
        folder / "state",
        save=save,
        wrap=lambda net: distributed.wrap(net, place),
        rank=place.rank,
        world_size=place.world_size,
    )
    (folder / f"bits {place.rank}").write_text(ended, encoding="utf-8")
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
    assert (tmp_path / "steps 0 1").read_text(encoding="utf-8").split() == [
        "1",
        "2",
        "3",
        "4",
    ]
    assert (tmp_path / "steps 1 1").read_text(encoding="utf-8").split() == [
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
        (tmp_path / f"{name} {rank}").write_text(ended, encoding="utf-8")
        return True

    def found(name):
        return [
            (tmp_path / f"{name} {rank}").read_text(encoding="utf-8") for rank in (0, 1)
        ]

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


if __name__ == "__main__":
    torch.set_num_threads(1)
    worker(pathlib.Path(sys.argv[1]))
