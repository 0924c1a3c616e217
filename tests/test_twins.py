"""Files of ftlib import nothing from each other, so what two of them need stands in
both: a twin. Twins have one syntax tree, and no public function drifts away unseen.
"""

import ast
import collections
import pathlib
import re

import pytest
import torch
from syntax import WithoutDocstrings

from ftlib.data import images, streaming
from ftlib.objectives import classify, mlm
from ftlib.training import continual, federated, train

FTLIB = pathlib.Path(__file__).resolve().parent.parent / "ftlib"
TWINS = {
    "by_position",
    "check_ids",
    "check_rows",
    "check_texts",
    "checked",
    "class_ids",
    "file_hash",
    "freeze",
    "holm",
    "in_eval_mode",
    "inputs_of",
    "named",
    "pad",
    "sinusoids",
    "trainable",
    "wilson_interval",
}
# one verb for different things: a file's own `load` is its namesake's no twin
NAMESAKES = {"encode", "load", "main", "predict", "read", "save"}
ROOMS = "data models objectives training evaluation deploy".split()


def functions():
    """name -> [(file, syntax tree without docstring)] of the public functions of ftlib
    outside course/.
    """
    found = collections.defaultdict(list)
    for path in sorted(p for room in ROOMS for p in (FTLIB / room).glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                tree = ast.dump(WithoutDocstrings().visit(node))
                found[node.name].append((path.name, tree))
    return found


def drifted(found):
    """The names in several files whose syntax trees differ, namesakes aside."""
    return {
        name
        for name, places in found.items()
        if name not in NAMESAKES and len({tree for _, tree in places}) > 1
    }


def test_twins_are_equal():
    found = functions()
    assert not drifted(found)
    several = {name for name, places in found.items() if len(places) > 1}
    assert TWINS == several - NAMESAKES
    assert NAMESAKES <= several


def test_a_twin_that_drifts_is_caught(counted):
    found = functions()
    file, tree = found["pad"][0]
    found["pad"][0] = (file, tree.replace("'input_ids'", "'ids'"))
    assert drifted(found) == {"pad"}
    counted("fault")


# --- one formula for the seed of (epoch[, row]): two would be two orders of the rows


def seeds(text):
    """The arguments of every `manual_seed` -> source of each, without the generators
    that a plain `seed` starts.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            "manual_seed"
        ):
            if ast.unparse(node.args[0]) != "seed":
                yield ast.unparse(node.args[0])


def other_formulas(text):
    """The seeds that are made in another way than (seed * 1_000_003 + epoch)."""
    known = re.compile(r"seed \* 1000003 \+ (epoch|number)\b")
    return [argument for argument in seeds(text) if not known.search(argument)]


def test_one_formula_makes_every_seed():
    made = 0
    rooms = ("data", "objectives", "training")  # where there are epochs
    for path in (p for room in rooms for p in (FTLIB / room).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert not other_formulas(text), path.name
        made += len(list(seeds(text)))
    assert made >= 6


def drawn(monkeypatch, call):
    """The seeds that the generators started in `call` keep: the lowest 32 bits."""
    kept, real = [], torch.Generator

    class Generator(real):
        def manual_seed(self, seed):
            kept.append(seed % 2**32)
            return super().manual_seed(seed)

    monkeypatch.setattr(torch, "Generator", Generator)
    call()
    monkeypatch.setattr(torch, "Generator", real)
    return kept


RUNS = [(seed, epoch) for seed in range(5) for epoch in range(12)]
WITH_EPOCHS = {
    "order": lambda seed, epoch: train.order(3, seed, epoch),
    "length_grouped": lambda seed, epoch: classify.length_grouped(
        [3, 1], 1, seed, epoch
    ),
    "replay_batches": lambda s, e: continual.replay_batches(4, 4, 0.5, 2, s, e),
    "federated": lambda seed, number: federated.chosen(4, 0.5, seed, number),
    "masks and pairs": lambda seed, epoch: (
        mlm.mask_tokens(
            torch.full((40, 2), 5), 9, 4, [0], seed=seed, epoch=epoch, index=FORTY
        ),
        mlm.sentence_pairs([[7, 8]] * 40, FORTY, 5, 2, 3, seed=seed, epoch=epoch),
    ),
    "augment": lambda seed, epoch: images.augment(
        torch.zeros(40, 1, 2, 2), seed=seed, epoch=epoch, index=FORTY
    ),
    "streams": lambda seed, epoch: [
        streaming._shuffled(2, seed, epoch, part, text)
        for part in range(5)
        for text in range(40)
    ],
}
FORTY = torch.arange(40)


@pytest.mark.parametrize("name", WITH_EPOCHS)
def test_neighbouring_seeds_epochs_and_rows_share_no_generator(name, monkeypatch):
    kept = [
        seed
        for run in RUNS
        for seed in drawn(monkeypatch, lambda: WITH_EPOCHS[name](*run))
    ]
    assert len(kept) >= len(RUNS) and len({*kept}) == len(kept)


def test_shared_generators_are_caught(monkeypatch, counted):
    def start(seed, epoch):
        torch.Generator().manual_seed(seed + epoch)

    kept = [s for run in RUNS for s in drawn(monkeypatch, lambda: start(*run))]
    assert len({*kept}) < len(kept) == len(RUNS)
    counted("fault")


@pytest.mark.parametrize(
    "argument", ["seed + epoch", "seed * 1_000_033 + epoch", "epoch", "1000 * seed"]
)
def test_another_formula_is_caught(argument, counted):
    text = f"g = torch.Generator().manual_seed({argument})"
    assert other_formulas(text) == [ast.unparse(ast.parse(argument))]
    counted("fault")
