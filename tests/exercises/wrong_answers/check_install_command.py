"""Chapter 00, clinic: install into the kernel's own Python."""

import sys


def another(package):
    return (sys.executable, "-m", "pip", "install", "-q", package)


def bare_pip(package):
    return ["pip", "install", package]


def bare_python(package):
    return ["python", "-m", "pip", "install", package]


def one_string(package):
    return f"{sys.executable} -m pip install {package}"


def as_root(package):
    return ["sudo", sys.executable, "-m", "pip", "install", package]


def user(package):
    return [sys.executable, "-m", "pip", "install", "--user", package]


def without_m(package):
    return [sys.executable, "pip", "install", package]


WRONG = [
    (bare_pip, "another Python"),
    (bare_python, "not the kernel's"),
    (one_string, "list of words"),
    (as_root, "sudo"),
    (user, "home folder"),
    (without_m, "three words"),
]
