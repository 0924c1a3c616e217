"""What a fresh clone is installed from: the files agree with each other, and tools/bootstrap.py does what it says."""
import ast
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
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


# --- the lists of packages -----------------------------------------------------------------------------------------------

def requirements(project):
    """{name: limits} of the base and every extra."""
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    return {Requirement(line).name: str(Requirement(line).specifier) for line in lines}


def conda_requirements(environment):
    """The same from environment.yml, without Python and pip, with pip's names."""
    *lines, last = environment["dependencies"]
    lines = lines + [line for line in last["pip"] if not line.startswith("-e")]
    found = {Requirement(line).name: str(Requirement(line).specifier) for line in lines}
    found["torch"] = found.pop("pytorch", "missing")
    return {name: limits for name, limits in found.items() if name not in ("python", "pip")}


def pins(text):
    return dict(line.split("==") for line in text.splitlines() if line and not line.startswith("#"))


def constraint_faults(text, project):
    """What is wrong with a constraints.txt, a sentence for each fault."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [f"{line}: not name==version" for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)]
    if found:
        return found
    exact = {re.sub("[-_.]+", "-", name).lower(): version for name, version in pins(text).items()}
    for name, limits in requirements(project).items():
        if name.lower() not in exact:
            found.append(f"{name}: not pinned")
        elif exact[name.lower()] not in Requirement(name + limits).specifier:
            found.append(f"{name}: {exact[name.lower()]} is outside of {limits}")
    return found


def test_conda_and_pip_install_the_same():
    assert conda_requirements(CONDA) == requirements(PROJECT)
    assert CONDA["dependencies"][-1]["pip"][-1] == "-e ."
    assert f"python{PROJECT['requires-python']}" in CONDA["dependencies"]


def test_a_difference_between_conda_and_pip_is_found():
    other = {**PROJECT, "dependencies": [line.replace("torch>=2.6", "torch>=2.7") for line in PROJECT["dependencies"]]}
    assert conda_requirements(CONDA) != requirements(other)
    fewer = {**CONDA, "dependencies": [line for line in CONDA["dependencies"] if line != "peft>=0.15"]}
    assert conda_requirements(fewer) != requirements(PROJECT)


def test_constraints():
    assert constraint_faults(CONSTRAINTS, PROJECT) == []
    assert pins(CONSTRAINTS)["torch"] == "2.13.0"
    assert "ftlib" not in pins(CONSTRAINTS)


@pytest.mark.parametrize("old, new, fault", [
    ("torch==2.13.0", "torch==2.13.0+cpu", "not name==version"),
    ("torch==2.13.0", "torch @ file:///somewhere/torch.whl", "not name==version"),
    ("torch==2.13.0", "torch==2.2.2", "torch: 2.2.2 is outside of >=2.6"),
    ("torch==2.13.0", "", "torch: not pinned"),
])
def test_each_planted_constraint_is_found(old, new, fault):
    assert any(fault in found for found in constraint_faults(CONSTRAINTS.replace(old, new), PROJECT))


def test_the_constraints_are_what_is_tested_here():
    """In the environment that `make` built, the pinned versions are the installed ones. Elsewhere (conda, Colab) they need not be."""
    if not (pathlib.Path(sys.prefix) / "ftlib-ready.txt").exists():
        pytest.skip("this environment was not made by make")
    from importlib.metadata import PackageNotFoundError, version
    for name, pinned in pins(CONSTRAINTS).items():
        try:
            assert version(name).split("+")[0] == pinned, name
        except PackageNotFoundError:
            pass  # a package of another platform


def test_pip_has_nothing_to_complain_about():
    run = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert run.returncode == 0 or "No module named pip" in run.stderr, run.stdout


# --- tools/bootstrap.py --------------------------------------------------------------------------------------------------

def test_an_old_python_can_read_bootstrap():
    source = (ROOT / "tools" / "bootstrap.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 4))
    assert source.isascii()  # Python 2 refuses other letters
    assert not any(isinstance(node, (ast.JoinedStr, ast.AnnAssign)) for node in ast.walk(ast.parse(source)))
    imported = {alias.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= set(sys.stdlib_module_names)


def test_a_python_that_is_too_old_says_so_in_one_sentence(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "NEEDED", (99, 0))
    monkeypatch.setattr(bootstrap, "another_python", lambda: None)
    monkeypatch.setattr(bootstrap, "ensure", lambda: pytest.fail("it went on"))
    with pytest.raises(SystemExit) as stopped:
        bootstrap.main(["lab"])
    said = capsys.readouterr().err
    assert stopped.value.code == 1 and said.count("\n") == 1 and "needs Python 99.0 or later" in said and "PYTHON=" in said


def test_a_newer_python_is_used_if_there_is_one(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap, "NEEDED", (99, 0))
    monkeypatch.setattr(bootstrap, "another_python", lambda: ["newer"])
    called = []
    monkeypatch.setattr(bootstrap.subprocess, "call", lambda command, **_: called.append(command) or 7)
    with pytest.raises(SystemExit) as stopped:
        bootstrap.main(["lab"])
    assert stopped.value.code == 7
    assert called == [["newer", str(ROOT / "tools" / "bootstrap.py"), "lab"]]


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
    (clone / "constraints.txt").write_bytes(text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert bootstrap.fingerprint(str(clone)) == first  # git on Windows writes other line ends
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
    """Replace the programs that ensure() starts. `recorded.fail` names one that is to fail."""
    class Recorded(list):
        fail = None

    calls = Recorded()

    def call(command, **_):
        kind = command[2]  # python -m venv, python -m pip
        calls.append(kind)
        if kind == "venv" and calls.fail != "venv":
            python = pathlib.Path(bootstrap.python_of(command[-1]))
            python.parent.mkdir(parents=True, exist_ok=True)
            python.touch()
        return 1 if kind == calls.fail else 0

    monkeypatch.setattr(bootstrap.subprocess, "call", call)
    monkeypatch.setattr(bootstrap, "runs", lambda command: os.path.exists(command[0]))
    return calls


def test_the_second_make_installs_nothing(bootstrap, recorded, clone):
    python = bootstrap.ensure(str(clone))
    assert recorded == ["venv", "pip"] and python == bootstrap.python_of(str(clone / ".venv"))
    assert bootstrap.ensure(str(clone)) == python and len(recorded) == 2
    (clone / "constraints.txt").write_text("six==1.17.0\n")
    bootstrap.ensure(str(clone))
    assert recorded == ["venv", "pip", "pip"]  # newer versions go into the same environment
    os.remove(python)
    bootstrap.ensure(str(clone))
    assert recorded == ["venv", "pip", "pip", "venv", "pip"]  # its Python was removed: make it anew


def test_a_moved_environment_is_made_anew(bootstrap, recorded, clone):
    """Its scripts begin with the absolute path of a Python that is no longer there."""
    bootstrap.ensure(str(clone))
    stamp = clone / ".venv" / "ftlib-ready.txt"
    stamp.write_text(stamp.read_text().replace(str(clone), str(clone) + "-before"))
    bootstrap.ensure(str(clone))
    assert recorded == ["venv", "pip", "venv", "pip"]


@pytest.mark.parametrize("fail, words", [("venv", "python3-venv"), ("pip", "Troubleshooting")])
def test_what_fails_is_said_and_tried_again(bootstrap, recorded, clone, capsys, fail, words):
    recorded.fail = fail
    with pytest.raises(SystemExit):
        bootstrap.ensure(str(clone))
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (clone / ".venv" / "ftlib-ready.txt").exists()
    recorded.fail = None
    bootstrap.ensure(str(clone))
    assert (clone / ".venv" / "ftlib-ready.txt").exists()


def test_a_failed_update_leaves_no_stamp(bootstrap, recorded, clone):
    bootstrap.ensure(str(clone))
    before = (clone / "constraints.txt").read_text()
    (clone / "constraints.txt").write_text("six==1.17.0\n")
    recorded.fail = "pip"
    with pytest.raises(SystemExit):
        bootstrap.ensure(str(clone))
    (clone / "constraints.txt").write_text(before)  # the old list again: but the environment may hold half of the new one
    recorded.fail = None
    bootstrap.ensure(str(clone))
    assert recorded == ["venv", "pip", "pip", "pip"]


def test_how_the_lab_is_started(bootstrap, capsys):
    plain = bootstrap.lab_arguments(str(ROOT), None, None)
    assert "--no-browser" not in plain and not any("port" in word for word in plain)
    headless = bootstrap.lab_arguments(str(ROOT), "none", "8899")
    assert "--no-browser" in headless and "--ServerApp.port=8899" in headless
    for arguments in (plain, headless):
        assert not re.search("token|password|ip=|allow_origin|disable_check_xsrf", " ".join(arguments))  # protection stays on
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


def test_jupyter_here_starts_this_python():
    from jupyter_client.kernelspec import get_kernel_spec
    program = get_kernel_spec("python3").argv[0]
    assert not os.path.isabs(program) or pathlib.Path(sys.prefix) in pathlib.Path(program).parents


# --- make, CI and the files that name each other -------------------------------------------------------------------------

@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_make():
    def make(*arguments):
        return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True)

    for target in ("lab", "test", "demo", "storm", "doctor", "env"):
        assert f"tools/bootstrap.py {target}" in make("-n", target).stdout
    assert "tools/bootstrap.py storm --seed 7" in make("-n", "storm", "ARGS=--seed 7").stdout
    assert make("-n").stdout == make("-n", "lab").stdout  # `make` alone is `make lab`
    without = make("env", "PYTHON=")
    assert without.returncode != 0 and "No Python found: install Python 3.11" in without.stderr


def test_ci_runs_make_test():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in script and "tools/bootstrap.py test" in script
    assert os.name == "nt" or os.access(ROOT / ".ci" / "run", os.X_OK)
    if shutil.which("bash"):
        assert subprocess.run(["bash", "-n", ".ci/run"], cwd=ROOT).returncode == 0
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        assert ".ci/run" in path.read_text(encoding="utf-8")
        yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("apt", [0, 100])
def test_ci_exits_as_make_does(tmp_path, apt):
    """With commands of our own in place of the real ones: whatever apt-get does, the status is make's, and nobody is asked."""
    if os.name == "nt" or not shutil.which("bash"):
        pytest.skip("needs a POSIX shell")
    commands = tmp_path / "bin"
    commands.mkdir()
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    for name, body in {"id": "echo 0", "apt-get": f"exit {apt}", "timeout": 'shift; "$@"', "make": "cat; exit 3"}.items():
        (commands / name).write_text(f"#!/bin/sh\n{body}\n")
        (commands / name).chmod(0o755)
    for name in ("dirname", "grep", "cat", "sh"):
        (commands / name).symlink_to(shutil.which(name))
    run = subprocess.run([shutil.which("bash"), str(tmp_path / ".ci" / "run")], env={"PATH": str(commands)},
                         input="waiting for a person", capture_output=True, text=True, timeout=20)
    assert run.returncode == 3, run.stderr
    assert run.stdout == ""  # `cat` found no standard input
    assert ("going on without" in run.stderr) == bool(apt)


def test_links_of_the_readme_lead_somewhere():
    local = re.findall(r"\]\((?!https?://)([^)#]+)\)", README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(local) >= 6
    assert [path for path in local if not (ROOT / path).exists()] == []


def test_one_address_and_one_version():
    repository = PROJECT["urls"]["Repository"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == repository and str(citation["version"]) == PROJECT["version"]
    assert repository.replace("https://github.com/", "colab.research.google.com/github/") in README
    assert set(re.findall(r"\.\[([a-z,]+)\]", README)) == {"data,notebook,hf"}
    assert {"data", "notebook", "hf"} <= set(PROJECT["optional-dependencies"])


def test_bootstrap_installs_every_extra(bootstrap):
    assert set(bootstrap.EXTRAS.split(",")) == set(PROJECT["optional-dependencies"])  # after one install the network may go


def test_the_map_of_the_library():
    source = (ROOT / "ftlib" / "__init__.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr)  # a docstring and nothing else
    named = set(re.findall(r"^    (\w+)  ", source, re.M))
    there = {path.stem for path in (ROOT / "ftlib").glob("*.py")} - {"__init__"} | {"checks"}
    assert there <= named, f"not on the map: {sorted(there - named)}"
    assert named <= there, f"on the map and not there: {sorted(named - there)}"


def test_nothing_names_one_machine():
    files = ["README.md", "Makefile", "constraints.txt", "environment.yml", "pyproject.toml", "CONTRIBUTING.md", ".gitignore",
             "CITATION.cff", ".ci/run", "tools/bootstrap.py", "ftlib/doctor.py", "ftlib/seed.py"]
    places = re.compile(r"/(?:home|root|Users|work|opt|tmp)/|file://|[A-Z]:\\\\")
    for name in files:
        assert not places.search((ROOT / name).read_text(encoding="utf-8")), name
    assert places.search("/home/ada/course")  # the detector detects
