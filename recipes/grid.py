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

A run may be interrupted at any moment, and two processes may fill one file: each takes
its turn, and of a cell that both have made the first one stays.
"""

import json

import outputs  # beside this file
import torch

from ftlib.course import reproducibility

# where numbers come from, and no part of what they mean
ORIGIN = ("commit", "dirty", "machine", "versions")


def about(ctx=None):
    """Where the numbers come from: commit (None where there is no git), whether code
    had changed since, machine, versions, precision.
    """
    return {
        "commit": reproducibility.commit(__file__),
        "dirty": reproducibility.changed(__file__),
        "machine": reproducibility.machine(),
        "versions": reproducibility.versions(),
        "precision": str(ctx and ctx.dtype or torch.float32),
    }


def read(path):
    """The result file, or an empty one. One sentence for what is no result file."""
    if not path.exists():
        return {"cells": []}
    try:
        return {"cells": [], **json.loads(path.read_text(encoding="utf-8"))}
    except (ValueError, TypeError) as error:
        raise SystemExit(
            f"{path} is no file of results ({error}); give another --out"
        ) from error


def done(path, *keys):
    """The values of `keys` in each cell that is there: {(value, ...)}."""
    return {tuple(cell[key] for key in keys) for cell in read(path)["cells"]}


def write(path, result):
    """Replace the file in one move, with this run's command in it: whoever interrupts
    finds the old file or the new one.
    """
    commands = sorted({*result.get("commands", []), outputs.command()})
    outputs.write_json(path, {**result, "commands": commands}, ensure_ascii=False)


def add(path, cell, facts, order):
    """Put one cell into the file: read again, because another process may have added
    one. order: what the cells are sorted by; a cell that has all of this and the rate
    in common with one that is there stays out.
    """
    names = [*order, "rate"]
    with outputs.claim(path, file=True, wait=60):
        old = read(path)
        what = [cell.get(name) for name in names]
        if what in [[c.get(name) for name in names] for c in old["cells"]]:
            print(f"another process has made {what} meanwhile; its cell stays")
            return
        cells = [*old["cells"], cell]
        cells.sort(key=lambda c: [c.get(key, "") for key in order])
        seeds = sorted({c["seed"] for c in cells})
        new = {**old, **facts, "seeds": seeds, "cells": cells}
        # one cell of changed code is enough: a later clean run does not make it clean
        new["dirty"] = old.get("dirty") or new.get("dirty")
        write(path, new)


def same_settings(path, facts, options=(), made="cells"):
    """Stop, before anything is computed, where the file cannot be written, or was made
    with other settings than this run has: its numbers would be of two kinds.

    facts: settings by name; of nested ones those are compared that both have. options:
        the names that are options of the command line. made: what the file lists.
    """
    with outputs.claim(path, file=True, wait=60):
        old = read(path)
    if not old.get(made):
        return
    flags = {option.replace("-", "_"): f"--{option}" for option in options}
    # tuples become lists, as they did in the file
    new = {k: v for k, v in facts.items() if k not in ORIGIN}
    for name, before, now in _differences(old, json.loads(json.dumps(new))):
        flag = flags.get(name.split()[-1], name)
        remedy = "give another --out"
        if name == "precision":
            remedy = f"set FTLIB_BF16={int('bfloat16' in before)}, or {remedy}"
        raise SystemExit(
            f"{path} was made with {flag} {before}, this run has {now}; {remedy}"
        )


def _differences(old, new, inside=""):
    """(name, value in the file, value now) of each setting that both have, and that
    differs.
    """
    for key in old.keys() & new.keys():
        before, now, name = old[key], new[key], f"{inside} {key}".strip()
        if isinstance(before, dict) and isinstance(now, dict):
            yield from _differences(before, now, name)
        elif str(before).removeprefix("torch.") != str(now).removeprefix("torch."):
            yield name, before, now
