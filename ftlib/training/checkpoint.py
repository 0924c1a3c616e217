"""Checkpoints: one safetensors file that holds everything a training run needs to
continue.

What it is: model weights, optimizer state, step number and random states in a file that
is complete or not there. A run that was killed or interrupted continues from the newest
valid file, to the same bits. How to use it in your own script:

>>> import tempfile, torch, checkpoint
>>> folder, model = tempfile.mkdtemp(), torch.nn.Linear(2, 1)
>>> optimizer = torch.optim.AdamW(model.parameters())
>>> path = checkpoint.newest(folder)
>>> start = checkpoint.load(path, model, optimizer)["step"] if path else 0
>>> for step in range(start + 1, 4):
...     model(torch.ones(1, 2)).sum().backward()
...     optimizer.step()
...     path = checkpoint.save_numbered(folder, model, optimizer, step=step)
>>> checkpoint.newest(folder).name
'step-3.safetensors'

Under torchrun every process calls `save` and `load`, with the unwrapped model: process
0 writes the whole, the others hand it their random states and their shares of sharded
weights (FSDP2). Any number of processes can go on from the file. What it is not: a
format for publishing a model, or a seal against forgery (the digest finds damage,
not intent). Needs: torch and safetensors, and memory for the whole file.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import platform
import random
import re
import shutil
import sys
import warnings

import safetensors.torch
import torch
import torch.distributed as dist

FORMAT = 1  # raise it when today's `load` would misread the new file
# where the digest stands, and what stands there while it is computed
MARK, BLANK = b'"sha256":"', b"0" * 64
# what file systems answer that cannot sync: the file is written all the same
NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
BROKEN = (KeyError, TypeError, AttributeError, RecursionError)
PARTS = ("step", "meta", "random", "weights", "groups", "plain")
# state with the shape of its weight
SIZED = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "sum")


def save(path, model, optimizer, *, step, meta=None, hook=None):
    """Write all that is needed to continue after `step` optimizer steps to the file
    `path`, completely or not at all.

    meta: what the run means, for `load` to compare: rates, data, hashes, as plain
        values, NumPy's numbers or tensors, which become numbers and lists. hook: called
        with a word before each operation on the disk. Raises FloatingPointError for
        weights that are not finite, ValueError for a step that is no whole number or an
        optimizer with weights from outside the model, TypeError for values that JSON
        cannot hold, OSError as `write_whole`.
    """
    number = step.item() if hasattr(step, "item") else step
    if type(number) is not int or number < 0:
        raise ValueError(
            f"step is {step!r}; give the number of optimizer steps done, 0 or more"
        )
    named = model.state_dict(keep_vars=True).items()
    tensors = {f"model.{name}": tensor for name, tensor in named}
    info = dict.fromkeys(PARTS) | {
        "format": FORMAT,
        "step": number,
        "meta": _plain("meta", meta or {}),
        "random": _random_states(),
    }
    if optimizer is not None:
        state = optimizer.state_dict()
        slots = {
            f"optimizer.{i}.{key}": value
            for i, slot in state["state"].items()
            for key, value in slot.items()
        }
        tensors |= {
            name: slots.pop(name)
            for name in [*slots]
            if isinstance(slots[name], torch.Tensor)
        }
        info.update(
            weights=_trained(model, optimizer),
            groups=_plain("settings", state["param_groups"]),
            plain=_plain("state", slots),
        )
    # all put a sharded one (a DTensor) together, in one order: a file has none
    for name, tensor in sorted(tensors.items()):
        full = tensor.detach()
        full = full.full_tensor() if hasattr(full, "full_tensor") else full
        # a buffer may: a mask, say
        if isinstance(tensor, torch.nn.Parameter) and not torch.isfinite(full).all():
            raise FloatingPointError(
                f"{name[6:]} is not finite at step {step}; go back to an older file"
            )
        # copies, because the library refuses tensors that share their memory, as tied
        # weights do
        tensors[name] = full.to("cpu", copy=True).contiguous() if _rank() == 0 else None
    if _rank() == 0:
        metadata = {"checkpoint": json.dumps(info), "sha256": BLANK.decode()}
        _write(
            pathlib.Path(path),
            safetensors.torch.save(tensors, metadata),
            hook or (lambda operation: None),
        )
    if _world_size() > 1:
        # no process may count on a checkpoint that is not on the disk yet
        dist.barrier()


def load(path, model, optimizer=None, expect=None):
    """Put the file `path` into `model`, `optimizer` and the random generators; return
    its meta dict, with "step" in it.

    Without an optimizer it leaves the random generators alone. With one, its rate,
    decay and betas become the file's, as in torch: name them in meta and here, so that
    a changed one is refused. expect: fields of meta that must be equal. Raises
    ValueError, with model and optimizer unchanged, for a damaged file, a missing part
    or a difference.
    """
    info, tensors = _read(path)
    # tuples become lists, as they did in the file
    for field, value in _plain("expect", expect or {}).items():
        _demand(path, field, info["meta"].get(field, "nothing"), value)
    weights = {k[6:]: tensor for k, tensor in tensors.items() if k.startswith("model.")}
    own = model.state_dict()
    kinds = [
        {name: f"{tuple(t.shape)} {t.dtype}" for name, t in side.items()}
        for side in (weights, own)
    ]
    _demand(path, "model", *kinds)
    if optimizer is not None:
        if info["groups"] is None:
            raise ValueError(
                f"{path} holds no optimizer; it gives weights, no run goes on from it"
            )
        _demand(path, "optimizer", info["weights"], _trained(model, optimizer))
        # a process that the file does not know keeps its own seed
        if _rank() < len(info["random"]):
            _restore_random(path, info["random"][_rank()])
        optimizer.load_state_dict(_optimizer_state(path, info, tensors, optimizer))
    model.load_state_dict(
        {name: _local_shard(tensor, own[name]) for name, tensor in weights.items()}
    )
    return info["meta"]


def newest(folder, pattern="*.safetensors"):
    """The valid file of `folder` with the highest number in its name (1000 after 999)
    or None; warns of broken ones.
    """
    for path in sorted(pathlib.Path(folder).glob(pattern), key=_step_of, reverse=True):
        try:
            return _read(path) and path
        except (ValueError, OSError) as error:
            warnings.warn(f"passed over a checkpoint: {error}", stacklevel=2)


def save_numbered(
    folder, model, optimizer, *, step, meta=None, keep=2, best=None, hook=None
):
    """Write `folder/step-<step>.safetensors`, then remove old ones; return the new
    path.

    What stays: the newest `keep` valid files (at least 2), the new one, that of step
    `best`; broken ones do not count.
    """
    path = pathlib.Path(folder) / f"step-{int(step)}.safetensors"
    save(path, model, optimizer, step=step, meta=meta, hook=hook)
    kept = 0
    files = [
        p
        for p in path.parent.glob("step-*.safetensors")
        if p.stem[5:].isdigit() and _rank() == 0
    ]
    for old in sorted(files, key=_step_of, reverse=True):
        if kept < max(2, keep):
            kept += old == path or newest(folder, old.name) is not None
        elif old != path and _step_of(old) != best:
            old.unlink(missing_ok=True)
    return path


def write_whole(path, parts, hook=None):
    """Write the bytes of `parts` to the file `path`: temporary file, fsync, replace,
    fsync of the folder. A reader finds the old file or the new one, never a part.

    Raises OSError with path and remedy; on a full disk with the bytes needed and free.
    """
    path, hook = pathlib.Path(path), hook or (lambda operation: None)
    temporary = path.with_name(f".{path.name}.{os.getpid()}@{platform.node()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        hook("open")
        # x: never through a link that is already there; the umask is followed
        with open(temporary, "xb") as file:
            for part in parts:
                hook("write")
                file.write(part)
                file.flush()
            hook("fsync")
            # or a power cut could leave the new name on an empty file
            sync(file.fileno())
        hook("replace")
        os.replace(temporary, path)
        hook("fsync folder")
        sync(path.parent)
    except BaseException as error:
        # after an interrupt, too, no temporary file may stay
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        raise write_error(path, sum(map(len, parts)), error) from error


def write_error(path, size, error):
    """An OSError of the same kind that says in one sentence why the `size` bytes of
    `path` cannot be written, and what helps.
    """
    why, kind = f"{error.strerror or error}", error.errno
    if kind in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        folder = next(f for f in path.absolute().parents if f.is_dir())
        free = shutil.disk_usage(folder).free
        why = f"it needs {size} bytes, {free} are free ({why}); make room there"
    elif kind in (errno.EACCES, errno.EPERM, errno.EROFS):
        why += "; get the permission to write there, or give another folder"
    else:
        why += "; look at the path and its disk, or give another folder"
    return OSError(kind, f"cannot write {path}: {why}")


def sync(target):
    """fsync of a file (its handle) or of a folder: a new name is data of the folder."""
    # Windows opens no folder, and nobody opens one that may not be read
    with contextlib.suppress(PermissionError):
        handle = target if isinstance(target, int) else os.open(target, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in NO_SYNC:
                raise
        finally:
            if handle is not target:
                os.close(handle)


def _write(path, data, hook):
    """The bytes of a checkpoint, with its digest in place of the zeros."""
    (at, digest), data = _digest(data), memoryview(data)
    write_whole(path, (data[:at], digest, data[at + len(digest) :]), hook)


def _sweep(folder):
    """Remove what processes of this machine left behind when they died, or were
    interrupted, while writing.
    """
    for file in folder.glob(f".*@{platform.node()}.tmp"):
        # another process may be sweeping as well
        with contextlib.suppress(OSError, ValueError, OverflowError):
            owner = int(file.name.rpartition("@")[0].rpartition(".")[2])
            # Windows keeps an open file, and has no harmless kill
            if owner != os.getpid() and os.name != "nt":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(owner, 0)
                    continue  # it lives, and may be writing
            file.unlink()


def _digest(data):
    """-> (position, SHA-256) of the whole file: names, types, shapes, bytes, metadata,
    and zeros where the digest goes.
    """
    at = data.find(MARK) + len(MARK)
    return at, hashlib.sha256(
        data[:at] + BLANK + data[at + len(BLANK) :]
    ).hexdigest().encode()


def _read(path):
    """File -> (info, tensors by name). The digest comes first: what is damaged is not
    even parsed.
    """
    data = pathlib.Path(path).read_bytes()
    at, digest = _digest(data)
    if data[at : at + len(digest)] != digest:
        raise ValueError(
            f"{path} is damaged or no checkpoint: the SHA-256 of its "
            f"{len(data)} bytes differs"
        )
    try:
        info = json.loads(
            json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])[
                "__metadata__"
            ]["checkpoint"]
        )
        _demand(path, "format", info["format"], FORMAT)
        info = {part: info[part] for part in PARTS}
        info["meta"] = {**info["meta"], "step": int(info["step"])}
        return info, safetensors.torch.load(data)
    except (*BROKEN, safetensors.SafetensorError) as error:
        raise ValueError(
            f"{path} lacks a part that this reader needs ({error!r}); use another file"
        ) from error


def _step_of(path):
    return int((re.findall(r"\d+", path.stem) or [-1])[-1])


def _plain(part, value):
    """`value` as JSON gives it back: numbers of NumPy and tensors become Python's."""

    def known(value):
        if hasattr(value, "tolist") and part != "state":
            return value.tolist()
        raise TypeError(f"a {type(value).__name__}")

    try:
        return json.loads(json.dumps(value, default=known))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"the {part} cannot be kept as text ({error}); use numbers, text, lists, "
            "dicts" + " (LBFGS keeps lists of tensors)" * (part == "state")
        ) from error


def _demand(path, field, stored, expected):
    if isinstance(stored, dict) and isinstance(expected, dict):
        for key in expected | stored:
            both = [side.get(key, "nothing") for side in (stored, expected)]
            _demand(path, f"{field} {key}", *both)
    elif stored != expected:
        raise ValueError(
            f"{path}: {field} is {stored!r} in the file, {expected!r} here; "
            "use its settings or a new folder"
        )


def _trained(model, optimizer):
    """{number: name} of the weights that the optimizer trains: its own state knows them
    by number only.
    """
    names = {id(weight): name for name, weight in model.named_parameters()}
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if not all(id(weight) in names for weight in weights):
        raise ValueError(
            "the optimizer trains a weight that is not in the model; put it in"
        )
    return {str(number): names[id(weight)] for number, weight in enumerate(weights)}


def _optimizer_state(path, info, tensors, optimizer):
    """The file's parts -> the optimizer's state_dict. Shapes are compared here, because
    fused kernels do not look.
    """
    trained = [w for group in optimizer.param_groups for w in group["params"]]
    slots = tensors | info["plain"]
    state = {}
    for name in filter(re.compile(r"optimizer\.\d+\.").match, slots):
        number, key = name.split(".", 2)[1:]
        weight = trained[int(number)]
        if key in SIZED or (key == "step" and name in tensors):
            shape = [] if key == "step" else [*weight.shape]
            _demand(path, f"shape of {name}", [*slots[name].shape], shape)
        state.setdefault(int(number), {})[key] = (
            _local_shard(slots[name], weight) if key in SIZED else slots[name]
        )
    # its numbers, not the file's
    for group, own in zip(
        info["groups"], optimizer.state_dict()["param_groups"], strict=True
    ):
        # JSON has no tuples
        tuples = {k: tuple(v) for k, v in group.items() if k == "betas"}
        group |= {"params": own["params"], **tuples}
    return {"state": state, "param_groups": info["groups"]}


def _local_shard(full, own):
    """Of a whole tensor the part that this process has of `own`, or all of it; each has
    read the file, so nothing is sent.
    """
    if not hasattr(own, "full_tensor"):
        return full
    return dist.tensor.distribute_tensor(
        full, own.device_mesh, own.placements, src_data_rank=None
    )


def _rank():
    """This process's number; 0 where there is no group of processes."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def _world_size():
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _random_states():
    """The states of torch's, CUDA's, python's and numpy's generators, for each
    process.
    """
    numpy = sys.modules.get("numpy")
    state = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
        "numpy": numpy and numpy.random.get_state(),
    }
    text = json.dumps(state, default=lambda array: array.tolist())
    if _world_size() == 1:
        return [json.loads(text)]
    # as text of a fixed length in a tensor, because torch's own exchange of objects is
    # made of pickles
    device = "cuda" if "nccl" in dist.get_backend() else "cpu"
    mine = torch.tensor(
        [*text.encode().ljust(1 << 16)], dtype=torch.uint8, device=device
    )
    everyone = [torch.empty_like(mine) for _ in range(_world_size())]
    dist.all_gather(everyone, mine)
    return [json.loads(bytes(state.tolist())) for state in everyone]


def _restore_random(path, state):
    try:
        version, words, spare = state["python"]
        random.setstate((version, tuple(words), spare))
        torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
        if state["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state(torch.tensor(state["cuda"], dtype=torch.uint8))
        if state["numpy"] and "numpy" in sys.modules:
            name, words, position, *rest = state["numpy"]
            # numpy checks no bounds
            sys.modules["numpy"].random.set_state(
                (name, words, range(625)[position], *rest)
            )
    except (LookupError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(
            f"{path} holds no valid random state ({error!r}); use another file"
        ) from error
