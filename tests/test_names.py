"""The names of ftlib are the field's: none of the words that the course once used in
their place is the name of a variable, argument, attribute, function, class or file.
"""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# a word that only this course used -> the field's
FIELD = {
    "asked": "target_mask, is_target or targets",
    "began": "start",
    "by_depth": "layer-wise learning rates: parameter_groups(layer_decay=...)",
    "cut": "split_micro_batches",
    "deal": "iid_partition",
    "deal_by_label": "dirichlet_partition",
    "few": "train_subset",
    "finish": "cleanup",
    "floor": "irreducible_loss (of a law), min_ratio (of a schedule)",
    "follow_faster": "set_bn_momentum",
    "found": "result",
    "gap": "factor_average_error, difference",
    "halving": "retry_on_oom",
    "held": "val",
    "inner": "ffn_dim",
    "launch": "distributed",
    "maps": "feature_maps",
    "nats": "document_nll",
    "neighbours_to_halves": "interleaved_to_half",
    "next_token": "sample_token",
    "pairs_head": "nsp_head",
    "piece": "token",
    "pieces": "accumulate (micro-batches), tokens (of a text)",
    "place": "position (in a text), ctx (processes), location (of a file)",
    "places": "positions",
    "rehearse": "replay_batches",
    "return_map": "return_weights",
    "right": "correct",
    "room": "capacity",
    "rotate": "apply_rotary",
    "said": "predicted",
    "say": "print0",
    "sent": "bytes_sent",
    "share": "mask_prob, mfu, client_fraction or replay_ratio",
    "small": "SmallCNN",
    "stretch": "interpolate_positions",
    "tanh": "gelu_tanh",
    "was": "was_training",
    "weight_on": "attention_mass",
    "where": "target_mask",
    "whole": "full_state_dict, full",
    "without_tests": "decontaminate",
    "world": "world_size, settings",
    "worst_ahead": "backtest_error",
}
FILES_BEFORE = "evaluate launch memory model parts seed tokenize vision".split()
# everyday or mathematical meanings: (file, word) -> what it means there
EVERYDAY = {
    ("course/plot/labels.py", "gap"): "points between two labels",
    ("course/plot/labels.py", "right"): "the right end of a row of labels",
    ("evaluation/metrics.py", "gap"): "confidence minus accuracy, as in the paper",
    ("models/attention.py", "maps"): "attention maps",
    ("objectives/distill.py", "maps"): "attention maps",
    ("models/autograd.py", "tanh"): "the function",
    ("models/cnn.py", "right"): "pixels of padding on the right",
}


def bound(tree):
    """(line, name) of every name that a syntax tree binds or defines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            if isinstance(node.ctx, ast.Store):
                yield node.lineno, getattr(node, "id", getattr(node, "attr", ""))
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.lineno, node.name


def left_words(text, file):
    """One sentence for each name of `file` that the field has another word for."""
    for line, name in sorted(set(bound(ast.parse(text)))):
        word = name.strip("_")
        if word in FIELD and (file, word) not in EVERYDAY:
            yield f"{file}:{line}: {name}; the field says {FIELD[word]}"


FILES = sorted((ROOT / "ftlib").rglob("*.py"))


def test_no_file_of_ftlib_has_a_name_of_our_own():
    faults = []
    for path in FILES:
        file = path.relative_to(ROOT / "ftlib").as_posix()
        faults += left_words(path.read_text(encoding="utf-8"), file)
        faults += [file] if path.stem in FILES_BEFORE else []
    assert not faults, "\n".join(faults)
    assert len(FILES) > 40


def test_every_exception_is_needed():
    needed = set()
    for path in FILES:
        file = path.relative_to(ROOT / "ftlib").as_posix()
        names = bound(ast.parse(path.read_text(encoding="utf-8")))
        needed |= {(file, name.strip("_")) for _, name in names}
    assert EVERYDAY.keys() <= needed


PLANTED = {
    "variable": "asked = labels != -100",
    "argument": "def f(x, *, place=None): ...",
    "attribute": "self.share = 0.5",
    "function": "def _whole(model): ...",
    "class": "class Room: ...\nclass room: ...",
    "in a loop": "for few in texts: ...",
    "lambda": "f = lambda held: 1",
    "unpacked": "_, right = score()",
    "walrus": "if (found := g()): ...",
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_word_of_our_own_is_caught(name, counted):
    assert len(list(left_words(PLANTED[name], "data/sample.py"))) == 1
    counted("fault")


@pytest.mark.parametrize(
    "text", ["torch.where(a, b, c)", "math.floor(x)", "f(right=1)", "'asked'"]
)
def test_what_other_libraries_call_so_is_fine(text):
    assert not list(left_words(text, "data/sample.py"))


def two_of_a_name(files):
    """Names that more than one of these paths would be imported by."""
    stems = [path.stem for path in files if path.stem not in ("__init__", "conftest")]
    return sorted({stem for stem in stems if stems.count(stem) > 1})


def test_a_bare_import_finds_one_file():
    # the tests put these folders on the path: a helper of theirs called processes.py
    # was once what `import processes` found in place of the benchmark, or not, with the
    # order in which the tests ran
    folders = ("tools", "recipes", "benchmarks", "tests")
    files = [p for folder in folders for p in (ROOT / folder).rglob("*.py")]
    assert not two_of_a_name(files)
    assert len(files) > 150
    twin = ROOT / "tests/training/cost_model.py"
    assert two_of_a_name([*files, twin]) == ["cost_model"]
