"""No file that this project loads can run code, and no line of it asks for that.
RELIABILITY 28.

Two halves: poisoned files are handed to each loader, and a lint over the syntax tree
looks for the calls that would unpickle.
"""

import ast
import json
import os
import pathlib
import random
import re
import subprocess
import sys

import numpy
import pytest
import safetensors.torch
import torch

from ftlib.data import tokenization
from ftlib.models import hf_format, transformer
from ftlib.training import checkpoint

ROOT = pathlib.Path(__file__).resolve().parent.parent


# ---- poisoned files ----


def pickled(marker):
    """The bytes of a pickle that makes the file `marker` when it is loaded, written by
    hand.
    """
    return f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()


@pytest.fixture
def marker(tmp_path):
    """The file that poison would make. After the test it must not be there."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists(), "a file that was loaded has run code"


def source(marker):
    return f"import pathlib; pathlib.Path({str(marker)!r}).touch()"


def test_control_the_poison_works(tmp_path):
    for name, program in [
        ("pickle", "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"),
        ("numpy", "import numpy, sys; numpy.load(sys.argv[1], allow_pickle=True)"),
        ("torch", "import torch, sys; torch.load(sys.argv[1], weights_only=False)"),
        ("source", "import sys; exec(open(sys.argv[1]).read())"),
    ]:
        file, made = tmp_path / f"{name}.file", tmp_path / name
        file.write_bytes(source(made).encode() if name == "source" else pickled(made))
        subprocess.run(
            [sys.executable, "-c", program, str(file)], capture_output=True, timeout=60
        )
        assert made.exists(), name


def build():
    torch.manual_seed(0)
    net = torch.nn.Linear(40, 30)
    return net, torch.optim.AdamW(net.parameters(), fused=True)


@pytest.fixture
def saved(tmp_path):
    net, optimizer = build()
    net(torch.ones(1, 40)).sum().backward()
    optimizer.step()
    checkpoint.save(
        tmp_path / "step-1.safetensors",
        net,
        optimizer,
        step=1,
        meta={"config": {"width": 40}},
    )
    return tmp_path / "step-1.safetensors"


def forge(path, change=None, tensors=None, text=None):
    """Write the checkpoint `path` again under a digest that fits: description changed,
    tensors replaced, or any text.
    """
    data = path.read_bytes()
    info = json.loads(
        json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"][
            "checkpoint"
        ]
    )
    if change:
        change(info)
    stored = {**safetensors.torch.load(data), **(tensors or {})}
    data = safetensors.torch.save(
        stored, {"checkpoint": text or json.dumps(info), "sha256": "0" * 64}
    )
    at, digest = checkpoint._digest(data)
    path.write_bytes(data[:at] + digest + data[at + 64 :])


def survives(work):
    """Run `work` in a forked process -> whether that process ended by itself. A crash
    in C code would kill it.
    """
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFEXITED(os.waitpid(pid, 0)[1])


def train_on(path):
    """Load `path` and use all that was loaded: the state of the fused optimizer and of
    each random generator.
    """
    net, optimizer = build()
    checkpoint.load(path, net, optimizer)
    for _ in range(3):
        net(torch.ones(1, 40)).sum().backward()
        optimizer.step()
        numpy.random.random(1000), torch.rand(1000), random.random()


@pytest.mark.parametrize(
    "header",
    [b"", b'{"__metadata__":{"checkpoint":"', b'{"sha256":"' + b"0" * 64 + b'"}'],
)
def test_checkpoint_that_is_a_pickle(tmp_path, marker, header):
    path = tmp_path / "step-1.safetensors"
    path.write_bytes(header + pickled(marker))
    with pytest.raises(ValueError):
        checkpoint.load(path, *build())
    with pytest.warns(UserWarning):
        assert checkpoint.newest(tmp_path) is None


def test_text_in_a_checkpoint_stays_text(saved, marker):
    poison = {
        "code": source(marker),
        "pickle": pickled(marker).decode(),
        "yaml": f"!!python/object/apply:os.system ['touch {marker}']",
        "__reduce__": ["os.system", [f"touch {marker}"]],
        "__class__": "subprocess.Popen",
    }
    forge(saved, lambda info: info["meta"].update(poison))
    assert checkpoint.load(saved, *build()) == {
        **poison,
        "config": {"width": 40},
        "step": 1,
    }


def forgeries(marker):
    """name -> (change to the description, replaced tensors) of checkpoints that are
    forged under a digest that fits.
    """
    code = source(marker)

    def put(*keys, value):
        def change(info):
            for key in keys[:-1]:
                info = info[key]
            info[keys[-1]] = value

        return change

    state = random.Random(0).getstate()[1]
    return {
        "step is code": (put("step", value=code), None),
        "step is a list": (put("step", value=[1]), None),
        "meta is a list": (put("meta", value=[code]), None),
        "random is code": (put("random", value=code), None),
        "torch state too short": (put("random", 0, "torch", value=[0] * 100), None),
        "torch state of zeros": (put("random", 0, "torch", value=[255] * 5056), None),
        "torch state is code": (put("random", 0, "torch", value=code), None),
        "python place": (
            put("random", 0, "python", value=[3, [*state[:-1], 10**6], None]),
            None,
        ),
        "python version": (
            put("random", 0, "python", value=[9, list(state), None]),
            None,
        ),
        "python words": (put("random", 0, "python", value=[3, [-1] * 625, None]), None),
        "numpy place beyond its words": (
            put("random", 0, "numpy", 2, value=10**6),
            None,
        ),
        "numpy place before its words": (
            put("random", 0, "numpy", 2, value=-(10**6)),
            None,
        ),
        "numpy words": (put("random", 0, "numpy", 1, value=[0] * 5), None),
        "numpy generator": (put("random", 0, "numpy", 0, value="os.system"), None),
        "groups are code": (put("groups", value=code), None),
        "no groups": (put("groups", value=[]), None),
        "short state": (None, {"optimizer.0.exp_avg": torch.zeros(1)}),
        "short second state": (None, {"optimizer.0.exp_avg_sq": torch.zeros(30, 1)}),
        "step of no size": (None, {"optimizer.0.step": torch.zeros(0)}),
        "state of a weight that is not there": (
            None,
            {"optimizer.7.exp_avg": torch.zeros(1)},
        ),
        "state number": (None, {"optimizer.x.exp_avg": torch.zeros(1200)}),
        "state is text": (put("plain", value={"optimizer.0.exp_avg": code}), None),
        "weight of another shape": (None, {"model.weight": torch.zeros(2)}),
        "another weight": (None, {"model.__class__": torch.zeros(2)}),
    }


HARMLESS = {"state number"}  # read over, as a name that nobody asks for


@pytest.mark.parametrize("name", sorted(forgeries("x")))
def test_forged_checkpoints_are_refused_and_crash_nothing(saved, marker, name):
    forge(saved)
    train_on(saved)  # control: the forger's file is good when nothing is changed
    forge(saved, *forgeries(marker)[name])
    assert survives(lambda: train_on(saved))
    if name not in HARMLESS:
        with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
            checkpoint.load(saved, *build())


def test_control_numpy_itself_takes_a_place_beyond_its_words():
    generator = numpy.random.RandomState(0)
    name, words, _, *rest = generator.get_state()
    generator.set_state((name, words, 10**6, *rest))
    assert generator.get_state()[2] == 10**6  # the next draw would read there


def test_control_short_state_would_crash_the_fused_optimizer(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "SIZED", ())
    forge(
        saved,
        None,
        {
            "optimizer.0.exp_avg": torch.zeros(1),
            "optimizer.0.exp_avg_sq": torch.zeros(1),
        },
    )
    net, optimizer = build()
    # nobody looks, and the next step would write beyond the one number
    checkpoint.load(saved, net, optimizer)
    assert optimizer.state[net.weight]["exp_avg"].shape != net.weight.shape


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{}",
        "[]",
        "1",
        "null",
        "NaN",
        '{"format": 1}',
        '{"format": ' + "9" * 5000 + "}",
        "\x00",
    ],
)
def test_descriptions_that_are_no_checkpoint(saved, text):
    forge(saved, text=text)
    with pytest.raises(ValueError):
        checkpoint.load(saved, *build())


def test_random_forgeries_never_crash(saved, marker):
    """200 descriptions with a value replaced somewhere, in one forked process; each
    loads or raises.
    """
    draw, good = random.Random(0), saved.read_bytes()
    values = [None, -1, 10**30, "", source(marker), [], {}, [[]], float("nan"), True]

    def spoil(info):
        key, part = None, info
        while isinstance(part, (dict, list)) and part and draw.random() < 0.8:
            inside, key = (
                part,
                draw.choice(list(part))
                if isinstance(part, dict)
                else draw.randrange(len(part)),
            )
            part = inside[key]
        if key is not None:
            inside[key] = draw.choice(values)

    def work():
        for _ in range(200):
            saved.write_bytes(good)
            forge(saved, spoil)
            try:
                train_on(saved)
            except Exception:
                pass
        (saved.parent / "reached the end").touch()

    assert survives(work) and (saved.parent / "reached the end").exists()


def model_folder(folder, marker):
    """A model folder that has poison wherever a careless loader would look, and is good
    otherwise.
    """
    config = transformer.Config(60, width=8, layers=1, heads=2, ffn_dim=8, max_tokens=8)
    torch.manual_seed(0)
    hf_format.save(transformer.LanguageModel(config), folder)
    tokenizer = tokenization.train_wordpiece(["a good film", "a bad film"], 60)
    tokenization.save(tokenizer, folder)
    for name in (
        "pytorch_model.bin",
        "training_args.bin",
        "optimizer.pt",
        "model.pkl",
        "tokenizer.pkl",
        "weights.npy",
    ):
        (folder / name).write_bytes(pickled(marker))
    for name in (
        "modeling_poison.py",
        "configuration_poison.py",
        "tokenization_poison.py",
        "__init__.py",
    ):
        (folder / name).write_text(
            source(marker) + "\nclass Poison: pass\n", encoding="utf-8"
        )
    for name in ("config.json", "tokenizer_config.json"):
        settings = json.loads((folder / name).read_text(encoding="utf-8"))
        settings["auto_map"] = {
            "AutoConfig": "configuration_poison.Poison",
            "AutoModel": "modeling_poison.Poison",
            "AutoModelForMaskedLM": "modeling_poison.Poison",
            "AutoTokenizer": ["tokenization_poison.Poison"] * 2,
        }
        (folder / name).write_text(json.dumps(settings), encoding="utf-8")
    return folder


def test_poison_beside_a_good_model_is_not_touched(tmp_path, marker):
    folder = model_folder(tmp_path / "model", marker)
    assert transformer.from_state(*hf_format.load(folder))(
        torch.tensor([[2, 3]])
    ).logits.shape == (1, 2, 60)
    assert tokenization.encode(tokenization.load(folder), ["a good film"])


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_poison_in_place_of_a_file_is_refused(tmp_path, marker, name):
    folder = model_folder(tmp_path / "model", marker)
    load = tokenization.load if name == "tokenizer.json" else hf_format.load
    load(folder)
    texts = [
        pickled(marker),
        source(marker).encode(),
        b"[" * 100_000,
        b"",
        b'{"model_type": "bert", "model": {"type": "os.system"}}',
        json.dumps(
            {"model_type": source(marker), "version": "1.0", "model": source(marker)}
        ).encode(),
    ]
    for text in texts:
        (folder / name).write_bytes(text)
        with pytest.raises(Exception):
            load(folder)
    (folder / name).unlink()  # the pickles that lie beside it are no substitute
    with pytest.raises(FileNotFoundError):
        load(folder)


def test_transformers_as_the_chapters_call_it(tmp_path, marker):
    """AutoTokenizer and AutoModelForMaskedLM.from_pretrained(folder,
    use_safetensors=True), in a process without a terminal.
    """
    folder = model_folder(tmp_path / "model", marker)
    program = (
        "import sys\nfrom transformers import AutoModelForMaskedLM, "
        "AutoTokenizer\nfor load in (\n"
        "        lambda: AutoTokenizer.from_pretrained(sys.argv[1]),\n"
        "        lambda: AutoModelForMaskedLM.from_pretrained(sys.argv[1], "
        "use_safetensors=True)):\n"
        "    try:\n        print('loaded', type(load()).__name__)\n    except "
        "Exception as error:\n        print('refused', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert len(re.findall("^(?:loaded|refused)", done.stdout, re.M)) == 2, (
        done.stdout + done.stderr
    )


def test_arrays_of_numpy(tmp_path, marker):
    numpy.save(tmp_path / "good.npy", numpy.arange(3))
    assert numpy.load(tmp_path / "good.npy").tolist() == [0, 1, 2]
    header = (tmp_path / "good.npy").read_bytes()[:128].replace(b"'<i8'", b"'|O' ")
    for data in (pickled(marker), header + pickled(marker)):
        (tmp_path / "bad.npy").write_bytes(data)
        with pytest.raises(ValueError, match="allow_pickle"):
            numpy.load(tmp_path / "bad.npy")


# ---- the lint ----

MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "shelve",
    "marshal",
    "jsonpickle",
}
CALLS = {
    "joblib.load",
    "torch.distributed.checkpoint.load",
    "torch.distributed.checkpoint.load_state_dict",
    "torch.distributed.checkpoint.FileSystemReader",
    "torch.distributed.checkpoint.state_dict_loader.load",
}
# the only value each may be given
SAFE = {"weights_only": True, "allow_pickle": False, "trust_remote_code": False}


def dotted(node, names):
    """`np.load` -> "numpy.load", with `names` from the file's imports; "" for what is
    not a plain chain of names.
    """
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return f"?.{parts[0]}" if parts else ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


def imported(tree):
    """{name in this file: what it stands for}."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(
                {alias.asname: alias.name for alias in node.names if alias.asname}
            )
        elif isinstance(node, ast.ImportFrom):
            names.update(
                {
                    alias.asname or alias.name: f"{node.module or ''}.{alias.name}"
                    for alias in node.names
                }
            )
    return names


def settings(node):
    """(name, value) of whatever gives a name a value: keyword, dict entry, default of
    an argument, assignment.
    """
    if isinstance(node, ast.Call):
        yield from ((keyword.arg, keyword.value) for keyword in node.keywords)
    elif isinstance(node, ast.Dict):
        yield from (
            (key.value, value)
            for key, value in zip(node.keys, node.values)
            if isinstance(key, ast.Constant)
        )
    elif isinstance(node, ast.arguments):
        plain = [*node.posonlyargs, *node.args]
        yield from (
            (argument.arg, value)
            for argument, value in zip(
                plain[len(plain) - len(node.defaults) :], node.defaults
            )
        )
        yield from (
            (argument.arg, value)
            for argument, value in zip(node.kwonlyargs, node.kw_defaults)
            if value
        )
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            key = target.slice if isinstance(target, ast.Subscript) else None
            name = getattr(
                target, "id", getattr(target, "attr", getattr(key, "value", None))
            )
            yield name, node.value


def finding(node, names):
    """What is wrong with one node of the syntax tree, or None."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] in MODULES:
                return f"import {alias.name}"
    if isinstance(node, ast.ImportFrom):
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            if (
                (node.module or "").split(".")[0] in MODULES
                or full in CALLS
                or alias.name == "read_pickle"
            ):
                return f"from {node.module} import {alias.name}"
    if isinstance(node, (ast.Attribute, ast.Name)):
        name = dotted(node, names)
        if name in CALLS or name.endswith(".read_pickle"):
            return name
    if isinstance(node, ast.Call):
        name = dotted(node.func, names)
        first = (
            node.args[0].value
            if node.args and isinstance(node.args[0], ast.Constant)
            else ""
        )
        if (
            name.split(".")[-1] in ("import_module", "__import__")
            and str(first).split(".")[0] in MODULES
        ):
            return f"{name}({first!r})"
        if name == "torch.load" and not any(
            keyword.arg == "weights_only" for keyword in node.keywords
        ):
            return "torch.load without weights_only=True; write safetensors"
        if name == "numpy.load" and len(node.args) > 2:
            return "numpy.load with allow_pickle by position"
    for name, value in settings(node):
        if name in SAFE and not (
            isinstance(value, ast.Constant) and value.value is SAFE[name]
        ):
            return f"{name}={ast.unparse(value)}"
    return None


def lint(text):
    """-> ["line N: what"] for one Python text."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        return [f"cannot be read: {error}"]
    names = imported(tree)
    found = [
        (node.lineno if hasattr(node, "lineno") else 0, finding(node, names))
        for node in ast.walk(tree)
    ]
    return sorted({f"line {line}: {what}" for line, what in found if what})


def python_cells(path):
    """[(place, text)] of a notebook: its code cells without magics, and the python
    blocks in its text.
    """
    cells = []
    for number, cell in enumerate(
        json.loads(path.read_text(encoding="utf-8"))["cells"], start=1
    ):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            cells += [
                (f"cell {number}, block", block)
                for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
            ]
        elif cell["cell_type"] == "code" and not re.match(
            r"%%(?!time|capture|timeit)", text
        ):
            cells.append(
                (
                    f"cell {number}",
                    re.sub(r"^([ \t]*)([%!].*|\S*\?\??)$", r"\1pass", text, flags=re.M),
                )
            )
    return cells


def lint_folder(root):
    """-> ([findings], [files looked at]) of every Python file and notebook under
    `root`, hidden folders left out.
    """
    found, files = [], []
    for folder, inside, names in os.walk(root):
        inside[:] = sorted(
            name
            for name in inside
            if not name.startswith(".")
            and name not in ("__pycache__", "runs", "build", "dist")
        )
        for path in (
            pathlib.Path(folder) / name
            for name in sorted(names)
            if name.endswith((".py", ".ipynb"))
        ):
            texts = (
                python_cells(path)
                if path.suffix == ".ipynb"
                else [("", path.read_text(encoding="utf-8"))]
            )
            found += [
                f"{path.relative_to(root)} {place} {what}"
                for place, text in texts
                for what in lint(text)
            ]
            files.append(str(path.relative_to(root)))
    return found, files


def test_nothing_in_this_project_unpickles():
    found, files = lint_folder(ROOT)
    assert found == []
    assert {
        "ftlib/training/checkpoint.py",
        "ftlib/models/transformer.py",
        "tests/test_hostile.py",
    } <= set(files) and len(files) > 20
    notebooks = [
        str(path.relative_to(ROOT)) for path in (ROOT / "chapters").glob("*.ipynb")
    ]
    assert set(notebooks) <= set(files)


FAULTS = [
    "import pickle",
    "import pickle as p",
    "from pickle import loads",
    "import _pickle",
    "import dill",
    "import cloudpickle",
    "import shelve",
    "import joblib\njoblib.load('x')",
    "import joblib as j\nj.load('x')",
    "from joblib import load",
    "import joblib\nf = joblib.load",
    "import pandas as pd\npd.read_pickle('x')",
    "from pandas import read_pickle",
    "frame().read_pickle('x')",
    "import torch\ntorch.load('x')",
    "import torch as t\nt.load('x', weights_only=False)",
    "from torch import load\nload('x')",
    "import torch\ntorch.load('x', weights_only=flag)",
    "f(weights_only=0)",
    "import numpy as np\nnp.load('x', allow_pickle=True)",
    "import numpy as np\nnp.load('x', None, True)",
    "f('x', trust_remote_code=True)",
    "f('x', **{'trust_remote_code': True})",
    "f('x', **dict(trust_remote_code=True))",
    "options = {}\noptions['trust_remote_code'] = True",
    "trust_remote_code = True",
    "def f(x, trust_remote_code=True): pass",
    "def f(*, trust_remote_code=True): pass",
    "config.trust_remote_code = True",
    "import torch.distributed.checkpoint as dcp\ndcp.load({})",
    "from torch.distributed import checkpoint\ncheckpoint.load({})",
    "from torch.distributed.checkpoint import load",
    "import torch\ntorch.distributed.checkpoint.load({})",
    "from torch.distributed.checkpoint import FileSystemReader",
    "__import__('pickle')",
    "import importlib\nimportlib.import_module('dill')",
    "def f():\n    if x:\n        import pickle",
    "class A:\n    def f(self):\n        return [g(allow_pickle=True) for g in h]",
    "f(",
]
CLEAN = [
    "# import pickle",
    "'import pickle'",
    "import joblib\njoblib.dump(1, 'x')",
    "f(weights_only=True)",
    "f(allow_pickle=False)",
    "f(trust_remote_code=False)",
    "import torch\ntorch.load('x', weights_only=True)",
    "from ftlib.training import checkpoint\ncheckpoint.load('x', m)",
    "import numpy as np\nnp.load('x')",
    "import torch.distributed.checkpoint as dcp\ndcp.save({})",
    "import json\njson.load(file)",
    "def f(trust_remote_code=False): pass",
    "options = {'trust_remote_code': False}",
    "pickles = ['dill']",
]


@pytest.mark.parametrize("text", FAULTS)
def test_planted_fault_is_found(text, counted):
    assert len(lint(text)) >= 1
    counted("fault")


@pytest.mark.parametrize("text", CLEAN)
def test_clean_line_is_not(text):
    assert lint(text) == []


def test_planted_faults_in_files_and_notebooks(tmp_path, counted):
    def cell(kind, text):
        return {
            "cell_type": kind,
            "source": text.splitlines(keepends=True),
            "metadata": {},
        }

    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".venv").mkdir()
    (tmp_path / "deep" / "er" / "a.py").write_text(
        "x = 1\nimport pickle\n", encoding="utf-8"
    )
    (tmp_path / ".venv" / "b.py").write_text("import pickle\n", encoding="utf-8")
    cells = [
        cell("code", "%matplotlib inline\n!ls\nimport torch\nlen?\n"),
        cell("code", "%%bash\nimport pickle\n"),
        cell("markdown", "import pickle"),
        cell("code", "if True:\n    %time x = 1\n    f(trust_remote_code=True)"),
        cell("markdown", "Solution\n```python\nimport dill\n```\n"),
    ]
    (tmp_path / "c.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    found, files = lint_folder(tmp_path)
    assert files == ["c.ipynb", "deep/er/a.py"]
    assert found == [
        "c.ipynb cell 4 line 3: trust_remote_code=True",
        "c.ipynb cell 5, block line 1: import dill",
        "deep/er/a.py  line 2: import pickle",
    ]
    counted("fault", len(found))
