"""The file that a long grid writes: one cell after another, each in one move. What the
grids of this folder share.

    from grid import about, add, done, same_settings

    facts = about(ctx) | {"data": "imdb", "tests": 600}
    same_settings(path, facts, ["tests"])  # a file of another trial is left alone
    if ("full", 0) not in done(path, "method", "seed"):
        cell = {"method": "full", "seed": 0, "accuracy": 0.69}
        add(path, cell, facts, order=["seed", "method"])

The recipes that import it lie beside it: Python puts a script's own folder on its
path.

A run may be interrupted at any moment, and two processes may fill one file as long as
they do not share a cell.
"""

import json
import os
import subprocess
import sys

import torch

from ftlib.course import reproducibility


def about(ctx=None):
    """Where the numbers come from: commit, whether code had changed since, machine,
    versions, precision.
    """
    commit, changed = (
        subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip()
        for words in (
            ["rev-parse", "HEAD"],
            ["status", "--porcelain", "recipes", "ftlib"],
        )
    )
    return {
        "commit": commit,
        "dirty": bool(changed),
        "machine": reproducibility.machine(),
        "versions": reproducibility.versions(),
        "precision": str(ctx and ctx.dtype or torch.float32),
    }


def read(path):
    """The result file, or an empty one."""
    return (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"cells": []}
    )


def done(path, *keys):
    """The values of `keys` in each cell that is there: {(value, ...)}."""
    return {tuple(cell[key] for key in keys) for cell in read(path)["cells"]}


def write(path, result):
    """Replace the file in one move, with this run's command in it: whoever interrupts
    finds the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    commands = sorted({*result.get("commands", []), " ".join(["python", *sys.argv])})
    draft.write_text(
        json.dumps({**result, "commands": commands}, indent=1, ensure_ascii=False)
        + "\n",
        encoding="utf-8",
    )
    os.replace(draft, path)


def add(path, cell, facts, order):
    """Put one cell into the file: read again, because another process may have added
    one. order: what the cells are sorted by.
    """
    old = read(path)
    cells = sorted(
        [*old["cells"], cell], key=lambda c: [c.get(key, "") for key in order]
    )
    write(
        path,
        {**old, **facts, "seeds": sorted({c["seed"] for c in cells}), "cells": cells},
    )


def same_settings(path, facts, keys):
    """Stop where the file was made with other settings than this run has."""
    old = read(path)
    for key in keys if old["cells"] else ():
        if old[key] != facts[key]:
            raise SystemExit(
                f"{path} was made with --{key} {old[key]}, this run has "
                f"{facts[key]}; give another --out"
            )
