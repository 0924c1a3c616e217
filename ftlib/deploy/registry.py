"""Adapters on one frozen base: a register of files that knows which base each adapter
belongs to, and sums of adapters.

Use it, with any module and any adapter of lora.py:

    >>> import tempfile
    >>> from torch import nn
    >>> net, shelf = nn.Linear(4, 2), Path(tempfile.mkdtemp())
    >>> (shelf / "mood").mkdir()
    >>> _ = (shelf / "mood" / "adapter_model.safetensors").write_bytes(b"...")
    >>> entry = register(
    ...     shelf, "mood", fingerprint(net), task="sentiment", metric={"accuracy": 0.76}
    ... )
    >>> # every file and the base are as they were
    >>> find(shelf, "mood", fingerprint(net)) == shelf / "mood"
    True
    >>> find(shelf, "mood", fingerprint(nn.Linear(4, 2)))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: adapter 'mood' was trained on the base ..., this one is ...; load its
    base, or train the adapter again on this one

A low-rank adapter fits the weights it was trained on and no others. Names and shapes do
not tell: two bases of one architecture take each other's adapters without an error and
answer nonsense. So the register keeps a SHA-256 of the base with every adapter.

What it is not: a signature. Who may write the folder can write the register too. Needs:
torch.

Shapes: r the rank, D_in and D_out the widths of a layer. An adapter is
{"<layer>.lora_A.weight": (r, D_in), "<layer>.lora_B.weight": (D_out, r)}.
"""

import hashlib
import json
import os
import re
from pathlib import Path

import torch

REGISTER = "adapters.json"


def fingerprint(model):
    """SHA-256 (64 hexadecimal digits) over names, shapes and values of the base's
    weights; an adapter in the model does not count.

    Values are hashed as float32, so a half-precision file and its float32 copy are one
    base. One weight at a time is copied.
    """
    digest = hashlib.sha256()
    weights = {
        name.replace(".base.", "."): tensor
        for name, tensor in model.state_dict().items()
        if not re.search(r"\.[AB]$|\.lora_", name)
    }
    # sorted: the order of definition is not a property of a model
    for name in sorted(weights):
        tensor = weights[name].detach().cpu()
        tensor = (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        # a view: no second copy
        digest.update(tensor.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def file_hash(path):
    """SHA-256 of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(folder):
    """{name: entry} of all registered adapters; {} for a folder without a register."""
    path = Path(folder) / REGISTER
    return (
        json.loads(path.read_text(encoding="utf-8"))["adapters"]
        if path.exists()
        else {}
    )


def register(folder, name, base, task, metric):
    """Enter the files of folder/name under `name` -> the entry. base: fingerprint(...);
    metric: {name: number}, as measured.

    Raises ValueError for a name that leads out of the folder, FileNotFoundError where
    there is no file to enter.
    """
    # it becomes a path; "../x" must not
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"adapter name {name!r} has more than letters, digits, '.', '_' "
            "and '-'; rename the adapter's folder"
        )
    files = sorted(path for path in (Path(folder) / name).glob("*") if path.is_file())
    if not files:
        raise FileNotFoundError(
            f"{Path(folder) / name} has 0 files, an adapter needs at "
            "least 1; save it there first"
        )
    entry = {
        "task": task,
        "base": base,
        "metric": metric,
        "files": {path.name: file_hash(path) for path in files},
        "bytes": sum(path.stat().st_size for path in files),
    }
    draft = Path(folder) / f"{REGISTER}.{os.getpid()}.tmp"
    draft.write_text(
        json.dumps({"adapters": {**read(folder), name: entry}}, indent=1) + "\n",
        encoding="utf-8",
    )
    # in one move: a reader sees the old register or the new one
    os.replace(draft, Path(folder) / REGISTER)
    return entry


def find(folder, name, base):
    """The folder of an adapter, after its files and its base were compared with the
    register.

    Raises KeyError for an unknown name, ValueError for another base or a file that was
    changed, removed or added.
    """
    entries = read(folder)
    if name not in entries:
        raise KeyError(
            f"no adapter {name!r} in {Path(folder) / REGISTER}; there are "
            f"{', '.join(sorted(entries)) or 'none'}"
        )
    entry, location = entries[name], Path(folder) / name
    if entry["base"] != base:
        raise ValueError(
            f"adapter {name!r} was trained on the base {entry['base'][:12]}, "
            f"this one is {base[:12]}; "
            "load its base, or train the adapter again on this one"
        )
    there = {
        path.name: file_hash(path) for path in location.glob("*") if path.is_file()
    }
    if wrong := sorted(
        file
        for file in there.keys() | entry["files"].keys()
        if there.get(file) != entry["files"].get(file)
    ):
        raise ValueError(
            f"{wrong[0]} of adapter {name!r} is not the file that was "
            "registered; fetch the adapter again, "
            "or register it anew if you changed it yourself"
        )
    return location
