"""Chapter 00, clinic: install into the kernel's own Python."""

import os
import pathlib
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


def _pip(*words):
    return [sys.executable, "-m", "pip", *words]


def from_a_file(package):
    return _pip("install", "-r", package)


def into_a_folder(package):
    return _pip("install", "--target", ".", package)


def only_downloads(package):
    return _pip("download", package)


def installs_nothing(package):
    return _pip("install", "--dry-run", package)


def without_the_version(package):
    return _pip("install", package.split(">")[0])


def joined(package):
    return [sys.executable, "-m pip install", package]


def at_the_end_of_the_link(package):
    found = os.path.realpath(sys.executable)
    # without a link there is nothing to get wrong
    return [found if found != sys.executable else "/usr/bin/env", *_pip("install")[1:]]


def by_the_search_path(package):
    here = os.environ.get("PATH", "").endswith("nothing-here")
    return [
        "/usr/bin/python3" if here else sys.executable,
        *_pip("install", package)[1:],
    ]


def quiet(package):
    return _pip("install", "--quiet", package)


def isolated(package):
    return [sys.executable, "-I", *_pip("install", package)[1:]]


def with_options_around(package):
    index = "https://pypi.org/simple"
    return _pip("--no-input", "install", "-I", "-i", index, package, "--upgrade")


def a_path_first(package):
    return pathlib.Path(sys.executable), "-mpip", "install", "--", package


WRONG = [
    (bare_pip, "another Python"),
    (bare_python, "not the kernel's"),
    (one_string, "list of words"),
    (as_root, "sudo"),
    (user, "home folder"),
    (without_m, "three words"),
    (from_a_file, "expects a file"),
    (into_a_folder, "into another place"),
    (only_downloads, "instead of install"),
    (installs_nothing, "installs nothing"),
    (without_the_version, "as it was given"),
    (joined, "they are"),
    (by_the_search_path, "another search path"),
]

RIGHT = [quiet, isolated, with_options_around, a_path_first]
