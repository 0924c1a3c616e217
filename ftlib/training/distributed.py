"""Where am I running? One core, one GPU, or one of many processes started by torchrun:
the environment decides.

Use it:

    >>> ctx = setup(device="cpu")
    >>> ctx.rank, ctx.world_size
    (0, 1)
    >>> # unchanged for one process, DDP or (shard=True) FSDP2 for many
    >>> model = wrap(torch.nn.Linear(2, 2), ctx)
    >>> type(unwrap(model)).__name__
    'Linear'
    >>> cleanup()

The same file then runs as `python x.py`, `torchrun --nproc_per_node=2 x.py` and
`accelerate launch x.py`, because all launchers speak through the variables RANK,
WORLD_SIZE and LOCAL_RANK (torch.distributed's env:// convention).

What it is not: a launcher. Needs: torch only.
"""

import functools
import os
import sys
import time
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


class DistributedContext(NamedTuple):
    """The device of this process, its number, how many there are, and the type for
    autocast (None: float32).
    """

    device: torch.device
    rank: int
    world_size: int
    dtype: torch.dtype | None


def pick_device(local_rank=0):
    """CUDA if there is a GPU, then Apple's MPS, else the CPU. `FTLIB_DEVICE=cpu`
    overrides.
    """
    if chosen := os.environ.get("FTLIB_DEVICE"):
        return torch.device(chosen)
    if torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise ValueError(
                f"LOCAL_RANK is {local_rank} and this machine has "
                f"{torch.cuda.device_count()} GPUs; "
                "start at most one process per GPU"
            )
        return torch.device("cuda", local_rank)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def native_bf16(device):
    """Whether bfloat16 products are faster than float32 ones on `device`: GPUs from
    Ampere on, CPUs with AMX tiles.

    CPUs with AVX512-BF16 and no AMX differ: on one our training step ran at 0.57 of its
    float32 speed, on another at 2.6 times, so there one product is timed in both types
    (once a process, 0.02 s). A third machine measured 1.97 to 2.6 times for it from
    start to start: the border lies well below that.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # torch has no public questions for these yet; an older version that lacks the names
    # gets the safe answer
    can = {
        name: getattr(torch.cpu, f"_is_{name}_supported", lambda: False)()
        for name in ("amx_tile", "avx512_bf16")
    }
    return device.type == "cpu" and (
        can["amx_tile"] or (can["avx512_bf16"] and _bf16_gain() > 1.5)
    )


@functools.cache  # the answer must not change within a run
def _bf16_gain(size=512, tries=5):
    """Seconds of a float32 matrix product over those of the same product in bfloat16,
    the best of `tries` each.
    """
    best = []
    for dtype in (torch.float32, torch.bfloat16):
        a, seconds = torch.ones(size, size, dtype=dtype), []
        # the first one prepares the kernel, and the best leaves it out
        for _ in range(tries):
            start = time.perf_counter()
            a @ a
            seconds.append(time.perf_counter() - start)
        best.append(min(seconds))
    return best[0] / best[1]


def setup(seed=None, device=None, bf16=None):
    """Read RANK, WORLD_SIZE and LOCAL_RANK, join the other processes, choose the
    device; returns a DistributedContext.

    bf16: True or False to insist; None uses it where the hardware has it, and
        `FTLIB_BF16=0` or `1` decides instead.
    Raises ValueError on a half-set environment.
    """
    rank = int(os.environ.get("RANK", 0))
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    # without this, every process would think that it is number 0 and wait for the
    # others for ever
    if world_size > 1 and "RANK" not in os.environ:
        raise ValueError(
            f"WORLD_SIZE is {world_size} but RANK is not set; start with "
            "torchrun, or unset WORLD_SIZE"
        )
    device = (
        torch.device(device)
        if device
        else pick_device(int(os.environ.get("LOCAL_RANK", 0)))
    )
    if device.type == "cuda":  # else every process keeps some memory of GPU 0
        torch.cuda.set_device(device)
    if world_size > 1 and not dist.is_initialized():
        # imported later, its default arguments would keep the group alive
        from torch.distributed.nn import functional  # noqa: F401

        # torchrun keeps one store over its restarts, and in it the addresses of
        # processes that are gone: each start gets its own
        store = next(dist.rendezvous("env://", rank, world_size))[0]
        store = dist.PrefixStore(
            f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store
        )
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=store,
            rank=rank,
            world_size=world_size,
        )
    if seed is not None:
        # the same everywhere: all processes must start from the same weights
        torch.manual_seed(seed)
    if bf16 is None:
        bf16 = {"0": False, "1": True}.get(
            os.environ.get("FTLIB_BF16", ""), native_bf16(device)
        )
    return DistributedContext(
        device, rank, world_size, torch.bfloat16 if bf16 else None
    )


def wrap(model, ctx, shard=False, unused=False):
    """Move the model to its device; with more than one process, train it together: DDP,
    or FSDP2 if `shard`.

    DDP (Li et al. 2020): every process holds the whole model, gradients are averaged.
        FSDP2 (Zhao et al. 2023): each holds its share of every weight, gradient and
        optimizer state, and a block is whole only while it computes; a part that sits
        in a ModuleList is a block. All must run forward equally often then, when
        evaluating too. Build the optimizer afterwards.
    unused: for DDP, True where the loss leaves trainable weights out (a pooler that
        nobody asks, one head of several). It looks for them in every step, which takes
        time. Without it the second forward raises ValueError with their names.
    """
    if ctx.world_size == 1:
        return model.to(ctx.device)
    if shard:
        return _sharded(model, ctx)
    model = model.to(ctx.device)
    # on a CPU, DDP wants no list of devices at all
    ids = [ctx.device.index] if ctx.device.type == "cuda" else None
    wrapped = DistributedDataParallel(
        model,
        device_ids=ids,
        find_unused_parameters=unused,
        # else every gradient is there twice: 20 bytes a weight with Adam, not 16
        gradient_as_bucket_view=True,
    )
    if not unused:
        _watch(wrapped)
    return wrapped


def _watch(wrapped):
    """ValueError in the forward that follows a backward without some trainable weight:
    DDP has waited for its gradient, and exchanged none of its neighbours'.
    """
    names, seen, exchanged, hooks = [], set(), [False], []

    # it holds no weight and no model: they must be gone when their last user is
    def look(wrapped, _):
        missing = [name for name in names if name not in seen]
        # nothing seen: the first forward, or an evaluation
        if seen and exchanged[0] and missing:
            raise ValueError(
                f"the loss left out {len(missing)} trainable weights, {missing[0]} "
                "first, and DDP waits for each; freeze or remove them (transformers: "
                "add_pooling_layer=False), or call wrap(..., unused=True)"
            )
        if seen and exchanged[0]:  # all are used: nothing to look for any more
            for hook in hooks:
                hook.remove()
        seen.clear()
        # under no_sync the gradients stay, and may be of some weights only
        exchanged[0] = wrapped.require_backward_grad_sync

    hooks.append(wrapped.register_forward_pre_hook(look))
    for name, weight in wrapped.module.named_parameters():
        if weight.requires_grad:
            names.append(name)
            note = functools.partial(lambda name, weight: seen.add(name), name)
            hooks.append(weight.register_post_accumulate_grad_hook(note))


def _sharded(model, ctx):
    # only here: it takes a second to import
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # DDP does this too: all start from the weights of process 0
    for tensor in [*model.parameters(), *model.buffers()]:
        full = tensor.detach().to(ctx.device).contiguous()
        dist.broadcast(full, 0)
        tensor.data.copy_(full)
    mesh = init_device_mesh(ctx.device.type, (ctx.world_size,))
    lists = [
        module for module in model.modules() if isinstance(module, torch.nn.ModuleList)
    ]
    # reversed: the inner ones come first
    for block in (block for blocks in reversed(lists) for block in blocks):
        # those have no forward of their own
        if not isinstance(block, (torch.nn.ModuleList, torch.nn.ModuleDict)):
            # moves it to the device as well, so the whole model never has to fit there
            fully_shard(block, mesh=mesh)
    # left as it is, the root would stay whole after a forward, and parameters() would
    # then show other tensors
    return fully_shard(model, mesh=mesh, reshard_after_forward=True)


def unwrap(model):
    """The model inside DDP, for saving and for looking at; FSDP2 puts nothing around a
    model.
    """
    # names in a checkpoint must not depend on how many processes wrote it
    return model.module if isinstance(model, DistributedDataParallel) else model


def full_state_dict(model):
    """{name: tensor on the CPU} with every weight complete, on process 0; {} on the
    others, all of which must call it.
    """
    tensors = {}
    for name, tensor in unwrap(model).state_dict().items():
        # one after the other: a process needs room for its share and one whole weight
        full = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        if not dist.is_initialized() or dist.get_rank() == 0:
            tensors[name] = full.detach().to("cpu", copy=True)
    return tensors


def print0(ctx, text):
    """Print once, from process 0."""
    if ctx.rank == 0:
        print(text, flush=True)


def describe(ctx):
    """One sentence: device, processes, precision."""
    kind = "bfloat16 autocast" if ctx.dtype else "float32"
    many = (
        f"process {ctx.rank + 1} of {ctx.world_size}"
        if ctx.world_size > 1
        else "one process"
    )
    return (
        f"running on {ctx.device.type}, {many}, {kind}, {torch.get_num_threads()} "
        "threads"
    )


def cleanup():
    """Leave the group of processes; call it last, so that none waits for one that is
    gone.
    """
    if dist.is_initialized():
        dist.barrier()  # process 0 may still be writing
        dist.destroy_process_group()
        # gloo's threads end with the last holder of the group, and FSDP2's caches hold
        # it for good. A thread that still lets go of its last message while Python
        # shuts down aborts the process (5 of 8 tries with slow threads): give it time
        if "torch.distributed.fsdp" in sys.modules:
            time.sleep(0.2)
