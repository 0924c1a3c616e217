"""What every program with --out does with it: one owner at a time, whole files, and one
sentence where something is in the way.

    with outputs.claim(folder):                  # before step 1
        ...
        outputs.write_json(folder / "run.json", record)
        outputs.write_folder(folder, lambda draft: hf_format.save(net, draft), size)

`claim` writes a lock file with its owner (process, machine, start), whose age says when
the owner was last seen alive. A second run is refused in one sentence; the lock of an
owner that is dead is taken over. So a folder that cannot be written is noticed before
the first step as well.

The recipes that import it lie beside it: Python puts a script's own folder on its path.
"""

import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import sys
import threading
import time
from pathlib import Path

from ftlib.training import checkpoint

# seconds between two signs of life, and without one until an owner on another machine
# counts as dead
BEAT, DEAD = 20.0, 300.0
HELD = set()  # the locks of this process


class Taken(SystemExit):
    """Another process owns the output; the sentence is all that a program prints."""


def command():
    """The line that started this program."""
    return " ".join(["python", *sys.argv])


def lock_of(out, file=False):
    """The lock of a folder lies in it, that of a file beside it."""
    return out.with_name(f"{out.name}.lock") if file else out / "run.lock"


@contextlib.contextmanager
def claim(out, *, file=False, rank=0, wait=0.0):
    """Be the only one who writes `out`, a folder or (`file`) a file, until the block
    ends. Of several processes only the one of rank 0 claims; inside of the block a
    second claim is the same one.

    wait: seconds in which to ask again while another one owns it. Raises Taken, and
        SystemExit with one sentence if `out` cannot be written.
    """
    out, end = Path(out), time.monotonic() + wait
    lock, mine = lock_of(out.absolute(), file), json.dumps(_me())
    if rank or lock in HELD:
        yield
        return
    while True:
        try:
            _take(lock, mine, out, file)
            break
        except Taken:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        except OSError as error:
            words = str(error.args[-1])
            raise SystemExit(
                words if str(out) in words else f"{out}: {words}"
            ) from None
    stop = threading.Event()
    threading.Thread(target=_live, args=(lock, mine, stop), daemon=True).start()
    HELD.add(lock)
    try:
        yield
    finally:
        HELD.discard(lock)
        stop.set()
        with contextlib.suppress(OSError):
            if lock.read_text(encoding="utf-8") == mine:
                lock.unlink()


def _take(lock, mine, out, file):
    """Write `mine` into the lock. `x` asks and writes in one move."""
    now = _try_to_write(lock, out, file)
    try:
        with open(lock, "x", encoding="utf-8") as opened:
            opened.write(mine)
        return
    except FileExistsError:
        pass
    _refuse_a_live_one(lock, out, now)
    # one at a time: two may have found the same dead owner
    guard = lock.with_name(f"{lock.name}.takeover")
    with contextlib.suppress(OSError):
        if now - guard.stat().st_mtime > DEAD:
            guard.unlink()  # it died in between
    try:
        open(guard, "x", encoding="utf-8").close()
    except FileExistsError:
        words = f"another process is taking {out} over; try again in a moment"
        raise Taken(words) from None
    try:
        _refuse_a_live_one(lock, out, now)
        checkpoint.write_whole(lock, [mine.encode()])
    finally:
        guard.unlink(missing_ok=True)


def _try_to_write(lock, out, file):
    """OSError where no file can be written -> the time on the disk's own clock, which
    may be another machine's.
    """
    if out.exists() and out.is_dir() == file:
        kind, wanted = ("folder", "file") if file else ("file", "folder")
        raise OSError(f"{out} is a {kind}; name a {wanted}, or move it away")
    folders = [lock.parent] + [out / "state"] * (out / "state").is_dir()
    for folder in folders:
        trial = folder / f".{lock.name}.{os.getpid()}@{platform.node()}.tmp"
        try:
            checkpoint.write_whole(trial, [b"a trial"])
        except OSError as error:
            raise checkpoint.write_error(out, 7, error.__cause__) from error
    now = trial.stat().st_mtime
    for folder in folders:
        (folder / trial.name).unlink(missing_ok=True)
    return now


def _me():
    """Who this process is, as it stands in a lock."""
    return {
        "process": os.getpid(),
        "machine": platform.node(),
        "since": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "ticks": _ticks(os.getpid()),
        "job": os.environ.get("TORCHELASTIC_RUN_ID"),
        "start": int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)),
        "command": command(),
    }


def _refuse_a_live_one(lock, out, now):
    """Taken, with its owner, unless the owner of the lock is dead."""
    try:
        age = max(0.0, now - lock.stat().st_mtime)
        text = lock.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return  # it has ended in this moment
    try:
        owner = dict(json.loads(text))
    except (ValueError, TypeError):
        owner = {}  # it is being written, or was never written to its end
    if _is_dead(owner, age):
        return
    raise Taken(
        f"{out} is in use: process {owner.get('process', '?')} on "
        f"{owner.get('machine', 'an unknown machine')} has written there since "
        f"{owner.get('since', '?')} ({owner.get('command', '?')}; last seen {age:.0f} "
        f"seconds ago); wait for it, give another --out, or remove {lock} if it is gone"
    )


def _is_dead(owner, age):
    """Whether the owner of a lock, last seen `age` seconds ago, is gone."""
    me, number = _me(), owner.get("process")
    # torchrun starts a job again after a process died: the lock is of its last start
    again = owner.get("job") == me["job"] and owner.get("start", 0) < me["start"]
    if again and me["job"] not in (None, "none"):
        return True
    # Windows has no question that does not end the process: there the age decides
    here = owner.get("machine") == me["machine"] and os.name != "nt"
    if not here or type(number) is not int:
        return age > DEAD
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # somebody else's: it lives
    # the number may have been given to another process since
    return bool(owner.get("ticks")) and owner["ticks"] != _ticks(number)


def _ticks(process):
    """When a process began, in ticks since the machine did; None where the system does
    not say, and for one that has ended and that nobody has asked about (a zombie).
    """
    try:
        text = Path(f"/proc/{process}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def _live(lock, mine, stop):
    """Touch the lock until `stop`. Whoever slept so long that another one took over
    must not write any more.
    """
    while not stop.wait(BEAT):
        with contextlib.suppress(OSError):
            if lock.read_text(encoding="utf-8") == mine:
                os.utime(lock)
            elif not stop.is_set():
                words = f"another process has taken {lock} over; this one ends"
                print(words, file=sys.stderr, flush=True)
                os._exit(1)


def write_json(path, value, **how):
    """The value as JSON, in one move; `how` goes to json.dumps."""
    text = json.dumps(value, **{"indent": 1, **how}) + "\n"
    # a path of bytes that are no UTF-8 is text of half characters
    checkpoint.write_whole(path, [text.encode("utf-8", "backslashreplace")])


def write_folder(out, fill, size):
    """`fill(draft)` writes files into an empty folder; then each of them goes into
    `out` in one move. Until all are written, those of before stay.

    size: bytes of the files, about. Raises OSError with path, bytes and remedy.
    """
    out = Path(out)
    draft = out / f".{os.getpid()}@{platform.node()}.draft"
    try:
        out.mkdir(parents=True, exist_ok=True)
        _sweep(out)
        draft.mkdir()
        fill(draft)
        files = sorted(draft.iterdir())
        for file in files:
            with open(file, "rb+") as opened:
                checkpoint.sync(opened.fileno())
        for file in files:
            os.replace(file, out / file.name)
        checkpoint.sync(out)
    except Exception as error:
        cause = _of_the_disk(error)
        if cause is None:
            raise
        raise checkpoint.write_error(out, size, cause) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _sweep(out):
    """Remove the drafts of processes that died while writing, and of this one."""
    for draft in out.glob(f".*@{platform.node()}.draft"):
        number = draft.name[1:].partition("@")[0]
        owner = {"machine": platform.node(), "process": int("0" + number)}
        if owner["process"] == os.getpid() or _is_dead(owner, 0):
            shutil.rmtree(draft, ignore_errors=True)


def _of_the_disk(error):
    """The OSError in an error, or None: safetensors and tokenizers say it in words."""
    if isinstance(error, OSError):
        return error
    if found := re.search(r"os error (\d+)", str(error)):
        return OSError(int(found[1]), os.strerror(int(found[1])))
    return None


def bytes_of(net, each):
    """Bytes of the model's tensors at `each` bytes a number."""
    return each * sum(tensor.numel() for tensor in net.state_dict().values())
