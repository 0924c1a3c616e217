"""Make this course's environment and start things in it. Standard library only; `make` calls it, and so can you.

    python tools/bootstrap.py lab       make .venv if it is missing or out of date, then open JupyterLab on chapter 00
    python tools/bootstrap.py test      ... then run every test (what follows is handed to tools/test.py)
    python tools/bootstrap.py demo      ... then run the masked-language-model demo
    python tools/bootstrap.py storm     ... then kill a training run 200 times (what follows is handed to tools/storm.py)
    python tools/bootstrap.py doctor    ... then say whether this machine is ready
    python tools/bootstrap.py env       only make .venv

Two environment variables: BROWSER=none opens no browser, PORT=8899 chooses the port.

The environment is whole or absent: a stamp is written after pip has succeeded, and holds a hash of all that the
installation depends on. The same hash means that nothing is installed and the network is not used.

The syntax stays readable for old Pythons, so that an old one can say in a sentence what is wrong.
"""
import hashlib
import os
import signal
import subprocess
import sys
import time

NEEDED = (3, 11)
EXTRAS = "data,notebook,hf,test,browser"  # everything at once: after one install the network may go away
FIRST = "chapters/00_start_here.ipynb"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def say(text):
    print(text)
    sys.stdout.flush()  # pip and Jupyter write to the same terminal


def stop(sentence):
    sys.stderr.write(sentence + "\n")
    raise SystemExit(1)


def runs(command):
    """Does this command run and succeed? Its output is thrown away."""
    with open(os.devnull, "w") as nowhere:
        try:
            return subprocess.call(command, stdout=nowhere, stderr=nowhere) == 0
        except OSError:
            return False


def recent(command):
    """Is this command a Python that is new enough? (An alias or a shim may exist and not run.)"""
    return runs(command + ["-c", "import sys; sys.exit(sys.version_info < (%d, %d))" % NEEDED])


def another_python():
    """A newer Python than the one running this file, as the beginning of a command, or None."""
    for minor in (13, 12, 11, 14):  # 3.14 last: the newest Python is the one that packages support last
        for command in (["python3.%d" % minor], ["py", "-3.%d" % minor]):
            if recent(command):
                return command
    return None


def python_of(venv):
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return os.path.join(venv, folder, name)


def fingerprint(root):
    """Two lines that say what an installation depends on: a hash of the lists of packages, and the folder."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(root, name), "rb") as file:
            digest.update(file.read().replace(b"\r\n", b"\n"))
    digest.update(EXTRAS.encode("utf-8"))
    return digest.hexdigest() + "\n" + os.path.realpath(root)


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except (IOError, OSError):
        return None


def ensure(root=ROOT):
    """Make `.venv` under `root` if it is missing, broken, moved or out of date. Returns its Python."""
    venv = os.path.join(root, ".venv")
    python, stamp, want = python_of(venv), os.path.join(venv, "ftlib-ready.txt"), fingerprint(root)
    have = read(stamp)
    if have == want and recent([python]):
        return python
    began = time.time()
    moved = have is not None and have.split("\n")[1:] != want.split("\n")[1:]  # its scripts hold the old folder's path
    if moved or not (recent([python]) and runs([python, "-m", "pip", "--version"])):
        say("1/2  Making .venv with Python %d.%d" % sys.version_info[:2])
        # --clear: what stands there was made elsewhere, was stopped, or belongs to a Python that is gone
        if subprocess.call([sys.executable, "-m", "venv", "--clear", venv]) != 0:
            stop("This Python could not make an environment; on Debian and Ubuntu `sudo apt install python3-venv` "
                 "brings the missing part, elsewhere install Python from python.org, then run this again.")
    elif os.path.exists(stamp):
        os.remove(stamp)  # from here until pip has succeeded the environment is not whole
    say("2/2  Installing the course's packages into .venv: this happens once and takes minutes, most of it download")
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
               "-c", "constraints.txt", "-e", ".[%s]" % EXTRAS]
    if subprocess.call(command, cwd=root) != 0:
        stop("pip could not install the packages: the lines above that begin with ERROR say why, "
             "and README.md lists the usual causes under Troubleshooting; then run this again.")
    with open(stamp, "w") as file:
        file.write(want + "\n")
    say("     ready in %.0f s; from now on this step is skipped and the network is not needed" % (time.time() - began))
    return python


def environment(python):
    """The variables a program in `.venv` gets: its own commands first, its own Jupyter kernel first."""
    variables = dict(os.environ)
    folder = os.path.dirname(python)
    variables["PATH"] = folder + os.pathsep + variables.get("PATH", "")
    variables["VIRTUAL_ENV"] = os.path.dirname(folder)
    variables["JUPYTER_PREFER_ENV_PATH"] = "1"  # not the kernel that some other project registered for this user
    variables.pop("PYTHONHOME", None)
    return variables


def become(python, arguments, root=ROOT):
    """Run the environment's Python in place of this one, so that Ctrl-C and the exit status are its own."""
    command, variables = [python] + arguments, environment(python)
    os.chdir(root)
    if os.name != "nt":
        os.execve(python, command, variables)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows has no exec: wait, and leave Ctrl-C to the child
    raise SystemExit(subprocess.call(command, env=variables))


def lab_arguments(root, browser, port):
    """What JupyterLab is started with. Its token stays on and it listens to this machine only."""
    arguments = ["-m", "jupyterlab", "--ServerApp.root_dir=" + root]
    if os.path.exists(os.path.join(root, *FIRST.split("/"))):
        arguments.append("--LabApp.default_url=/lab/tree/" + FIRST)  # also in the address that the terminal shows
    if browser == "none":
        arguments.append("--no-browser")
    if port:
        if not (port.isdigit() and 0 < int(port) < 65536):
            stop("PORT is %r and must be a number from 1 to 65535." % port)
        arguments += ["--ServerApp.port=" + port, "--ServerApp.port_retries=0"]  # this port or an error
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")  # in a container; elsewhere start as an ordinary user
    return arguments


def main(arguments):
    commands = {
        "lab": lambda: lab_arguments(ROOT, os.environ.get("BROWSER"), os.environ.get("PORT")),
        "test": lambda: [os.path.join("tools", "test.py")] + arguments[1:],
        "demo": lambda: ["-m", "ftlib.mlm"] + arguments[1:],
        "storm": lambda: [os.path.join("tools", "storm.py")] + arguments[1:],
        "doctor": lambda: ["-m", "ftlib.doctor"] + arguments[1:],
        "env": None,
    }
    if not arguments or arguments[0] not in commands:
        stop("Say what to do, one of: %s." % ", ".join(sorted(commands)))
    if sys.version_info < NEEDED:
        newer = another_python()
        if newer is None:
            stop("This course needs Python %d.%d or later and found %d.%d: install a newer one from python.org, "
                 "or name one that you have (PYTHON=/path/to/python3.12 make), and run this again."
                 % (NEEDED + tuple(sys.version_info[:2])))
        raise SystemExit(subprocess.call(newer + [os.path.abspath(__file__)] + arguments))
    prepare = commands[arguments[0]]
    started = prepare() if prepare else None  # a wrong PORT is said before minutes of installing
    python = ensure()
    if started is None:
        say("The environment in .venv is ready.")
        return
    if arguments[0] == "lab":
        say("Starting JupyterLab (Ctrl-C, twice, stops it). If no browser opens, use the address with the token.")
    become(python, started)


if __name__ == "__main__":
    main(sys.argv[1:])
