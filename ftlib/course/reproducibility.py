"""Seeds, threads, and one line that says what machine a number was measured on.

How to use it:

>>> import torch
>>> seed_everything(0)
>>> first = torch.rand(3)
>>> seed_everything(0)
>>> bool(torch.equal(first, torch.rand(3)))
True
>>> machine().count(",") >= 3
True

What it is not: a promise of equal bits elsewhere. The same seed on the same machine
with the same number of threads gives the same numbers; another processor, thread count
or version of torch may differ in the last digits, and a GPU may choose other algorithms
from run to run (`torch.use_deterministic_algorithms(True)` forbids that, at a price in
speed). It does not change PYTHONHASHSEED, which Python reads before any of your code
runs: do not let results depend on the order of a set.

What it needs: torch. numpy is seeded too if it is there.
"""

import functools
import importlib.metadata
import importlib.util
import os
import platform
import random
import subprocess
import sys
import time

import torch


def seed_everything(seed=0, threads=None) -> None:
    """Seed Python's, numpy's and torch's global generators; optionally fix the number
    of torch's threads.

    seed: 0 .. 2**32 - 1 (numpy takes no more); threads: at least 1, or None to leave
        them as they are. The first call in a notebook, though, asks `pick_threads`, and
        says so if fewer threads are faster, as where others use the cores.
    Raises ValueError for a value outside these limits.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(
            f"seed is {seed}, the limits are 0 and 2**32 - 1; choose one between them"
        )
    if threads is not None and threads < 1:
        raise ValueError(
            f"threads is {threads}, the least is 1; leave it out to keep "
            "the present number"
        )
    random.seed(seed)
    torch.manual_seed(seed)  # the processor and every GPU
    if importlib.util.find_spec("numpy"):
        import numpy

        numpy.random.seed(seed)
    if threads is not None:
        torch.set_num_threads(threads)
    elif "ipykernel" in sys.modules and not os.environ.get("OMP_NUM_THREADS"):
        _threads_of_a_notebook()


@functools.cache
def _threads_of_a_notebook():
    """Pick the number of threads once, and say so where it is not the usual one: the
    cells will take longer than the chapter says.
    """
    most = torch.get_num_threads()
    sentence = pick_threads()
    if torch.get_num_threads() < most:
        print(f"Fewer threads are faster here now. {sentence[0].upper()}{sentence[1:]}")


def cores():
    """How many processor cores this process may use (a container or a cluster may allow
    fewer than there are).
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pick_threads(seconds=1.0, step=None, clock=time.perf_counter) -> str:
    """Let torch compute with one thread or with all that it would take, whichever is
    faster here and now -> a sentence that says which, and by how much.

    seconds: how long the two take turns at step(), a small training step by default.
        What counts is the mean: where others use the cores as well, a thread that waits
        for its turn holds up all the rest, now and then.
    OMP_NUM_THREADS decides where it is set, and nothing is timed. No random number is
    drawn. Results of another number of threads may differ in the last digits.
    """
    most = torch.get_num_threads()
    if os.environ.get("OMP_NUM_THREADS") or most == 1:
        why = "OMP_NUM_THREADS" if os.environ.get("OMP_NUM_THREADS") else "this machine"
        return f"{_threads(most)}, as {why} says"
    step, times = step or _small_step(), {1: [], most: []}
    end = clock() + seconds
    # the first turn of each starts its threads and prepares its kernels
    while clock() < end or len(times[most]) < 2:
        for threads, taken in times.items():
            torch.set_num_threads(threads)
            start = clock()
            step()
            taken.append(clock() - start)
    one, many = (sum(taken[1:]) / len(taken[1:]) for taken in times.values())
    # a tenth faster at least: the cores that are left over serve somebody else
    best = most if many < 0.9 * one else 1
    torch.set_num_threads(best)
    return (
        f"{_threads(best)}: a small step takes {1000 * one:.1f} ms with 1 and "
        f"{1000 * many:.1f} ms with {most} (OMP_NUM_THREADS sets another number)"
    )


def _threads(number):
    return f"{number} thread" + ("s" if number > 1 else "")


def _small_step(rows=128, width=256):
    """Forward and backward of one feed-forward part, some 5 ms of a core."""
    x = torch.full((rows, width), 0.1)
    up = torch.full((width, 4 * width), 0.01, requires_grad=True)
    down = torch.full((4 * width, width), 0.01, requires_grad=True)

    def step():
        y = torch.nn.functional.gelu(x @ up) @ down
        torch.autograd.grad(y.square().mean(), (up, down))

    return step


def memory_gb():
    """Memory this process may use, in GB (10**9 bytes), or None where the system does
    not say.
    """
    amounts = []
    try:
        amounts.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        amounts.append(_windows_memory())
    for path in (
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ):
        try:
            with open(path, encoding="utf-8") as file:
                # the limit of a container; "max" means none
                amounts.append(int(file.read()))
        except (OSError, ValueError):
            continue
    amounts = [amount for amount in amounts if amount]
    return min(amounts) / 1e9 if amounts else None


def _windows_memory():
    """Bytes of memory on Windows, which has no sysconf; None elsewhere."""
    import ctypes

    if not hasattr(ctypes, "windll"):
        return None
    # MEMORYSTATUSEX: two 32-bit fields, then seven of 64 bits; 64 bytes in all
    status = (ctypes.c_ulonglong * 8)()
    ctypes.cast(status, ctypes.POINTER(ctypes.c_ulong))[0] = 64
    return (
        status[1]
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        else None
    )


def processor():
    """The processor's name as its maker writes it, as far as the system tells."""
    if sys.platform == "darwin":
        answer = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True
        )
        return answer.stdout.strip() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown processor"


def has_bf16(cpuinfo="/proc/cpuinfo"):
    """Can this machine multiply in bfloat16 natively? (Emulation works everywhere and
    is slower than float32; whether the native product pays, training/distributed.py
    measures.)
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if sys.platform == "darwin":
        answer = subprocess.run(
            ["sysctl", "-n", "hw.optional.arm.FEAT_BF16"],
            capture_output=True,
            text=True,
        )
        return answer.stdout.strip() == "1"
    try:
        with open(cpuinfo, encoding="utf-8", errors="replace") as file:
            words = set(file.read().split())
    except OSError:
        return False
    # the first two are Intel's and AMD's, the last is ARM's
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})


def _git(file, *words):
    """What git says about the repository that holds `file`; None without git, and for
    a file that no repository follows.
    """
    folder, name = os.path.split(os.path.abspath(file))
    answer = ""
    # an environment inside of another project's repository must not bear its commit
    for arguments in (["ls-files", "--error-unmatch", name], words):
        try:
            ended = subprocess.run(
                ["git", "-C", folder, *arguments],
                capture_output=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError:  # no git on this machine
            return None
        if ended.returncode:
            return None
        answer = ended.stdout.strip()
    return answer


def commit(file=__file__):
    """The commit (40 digits) of the repository that follows `file`, whatever folder you
    are in; None where there is none, or no git. Ask at the start: it may change.
    """
    return _git(file, "rev-parse", "HEAD")


def changed(file=__file__, folders=("recipes", "ftlib")):
    """Whether something in these folders of the repository differs from its commit;
    None where `commit` is None.
    """
    status = _git(file, "status", "--porcelain", "--", *(f":/{f}" for f in folders))
    return None if status is None else bool(status)


def machine():
    """One line: processor, cores, memory in GB, bf16, and the GPU if there is one. It
    names no user, host or path.
    """
    memory = memory_gb()
    parts = [
        processor(),
        f"{cores()} core" + ("s" if cores() > 1 else ""),
        f"{memory:.0f} GB" if memory else "memory unknown",
        "bf16" if has_bf16() else "no bf16",
    ]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def versions(packages=("torch", "transformers", "tokenizers", "safetensors", "numpy")):
    """One line: the versions of Python and of the named packages; those that are not
    installed are left out.
    """
    parts = [f"Python {platform.python_version()}"]
    for name in packages:
        try:
            parts.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(parts)
