"""Versions of a model in one folder: a pointer to the current one, the way back, and a
canary that answers a part of the requests first.

Use it:

    >>> import tempfile
    >>> shelf = Path(tempfile.mkdtemp())
    >>> for name in ("v1", "v2"):
    ...     (shelf / name).mkdir()
    >>> activate(shelf, "v1")
    'v1'
    >>> activate(shelf, "v2")
    'v2'
    >>> rollback(shelf)
    'v1'
    >>> current(shelf), known(shelf)
    ('v1', ['v1', 'v2'])
    >>> activate(shelf, "../v3")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: version '../v3' has more than letters, digits, ...

Each version is a folder that nobody changes any more. `current.json` names the version
that serves, and those that served before it. It is replaced in one move, so a reader
finds the old pointer or the new one, also after a crash.

What it is not: a store with access rights (who may write the folder may move the
pointer), or a lock: two writers at once leave one of the two pointers. Needs: nothing
but Python.
"""

import asyncio
import collections
import hashlib
import json
import logging
import os
import re
from pathlib import Path

POINTER = "current.json"
log = logging.getLogger("service")


def valid_name(name):
    """The name, if it is one: a version's name comes over the network and becomes a
    path.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ValueError(
            f"version {name!r} has more than letters, digits, '.', '_' and '-', or "
            "more than 64 of them; rename its folder"
        )
    return name


def known(folder):
    """The names of all versions, sorted."""
    return sorted(p.name for p in Path(folder).iterdir() if p.is_dir())


def history(folder):
    """The versions that have served, the current one last; [] before the first."""
    pointer = Path(folder) / POINTER
    if not pointer.exists():
        return []
    return json.loads(pointer.read_text(encoding="utf-8"))["history"]


def current(folder):
    """The name of the version that serves, or None."""
    return (history(folder) or [None])[-1]


def _point(folder, names):
    draft = Path(folder) / f"{POINTER}.{os.getpid()}.tmp"
    with open(draft, "w", encoding="utf-8") as file:
        json.dump({"history": names}, file)
        file.flush()
        # without it a crash may leave a pointer that is there and empty
        os.fsync(file.fileno())
    os.replace(draft, Path(folder) / POINTER)


def activate(folder, name, keep=20):
    """Let `name` be the current version -> its name. keep: how many names the history
    holds.

    Raises ValueError for a name that leads out of the folder, FileNotFoundError for one
    that is not there.
    """
    if not (Path(folder) / valid_name(name)).is_dir():
        raise FileNotFoundError(
            f"there is no version {name!r} in {folder}, only {known(folder)}; copy it "
            "there first"
        )
    names = history(folder)
    if names[-1:] != [name]:
        _point(folder, [*names, name][-keep:])
    return name


def rollback(folder):
    """Let the version before the current one serve again -> its name.

    Raises LookupError where there is none. Called twice, it goes back twice.
    """
    names = history(folder)
    if len(names) < 2:
        raise LookupError(
            f"the history of {folder} is {names}, so there is no version to go back "
            "to; activate one by name"
        )
    _point(folder, names[:-1])
    return names[-2]


def digest(folder):
    """SHA-256 over names and bytes of a version's files: whether one has changed."""
    total = hashlib.sha256()
    for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
        with open(path, "rb") as file:
            own = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()} {own}\n".encode())
    return total.hexdigest()


class Rollout:
    """Which version answers which request.

    start(name): loads a version and returns what answers for it: an object with
    `await submit(texts)` and `await close()`. folder: where the pointer is. monitor, if
    given, has answered(version, texts, rows) and feedback(version, is_correct); each
    returns None, or (reason, whether to roll back). A candidate that fails `failures`
    times, by an error or by its deadline, goes without being asked about.
    """

    def __init__(self, start, folder, monitor=None, failures=5):
        self.start, self.folder, self.monitor = start, folder, monitor
        self.failures, self.failed = failures, 0
        self.running = {}  # name -> what answers
        self.version = self.candidate = None
        self.fraction, self.draining = 0.0, False
        self.alarms = collections.deque(maxlen=100)
        self.answered_by = (
            collections.OrderedDict()
        )  # request id -> version, for feedback
        self.tasks = set()
        self.moving = asyncio.Lock()  # one change of versions at a time

    @property
    def ready(self):
        return self.version is not None and not self.draining

    def pointed(self):
        """The version that the folder's pointer names."""
        name = current(self.folder)
        if name is None:
            raise LookupError(f"{self.folder} has no {POINTER}; activate a version")
        return name

    async def begin(self):
        """Load the current version, before the first request."""
        await self._load(self.pointed())
        self._serve(self.pointed())
        self.draining = False

    async def _load(self, name):
        """Load beside those that serve. What fails here changes nothing."""
        valid_name(name)
        if name not in self.running:
            loop = asyncio.get_running_loop()
            self.running[name] = await loop.run_in_executor(None, self.start, name)

    def _keep(self, *names):
        """The other versions get nothing new, and go after their last answer."""
        for name in set(self.running) - set(names):
            self._later(self.running.pop(name).close())

    def _later(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def activate(self, name):
        """From now on `name` answers everything."""
        async with self.moving:
            await self._load(name)
            # the pointer moves only after the model is there
            activate(self.folder, name)
            self._serve(name)

    def _serve(self, name):
        self.version, self.candidate, self.fraction = name, None, 0.0
        self._keep(name)

    async def canary(self, name, fraction):
        """Let `name` answer a fraction of the requests beside the current version."""
        async with self.moving:
            await self._load(name)
            self.candidate, self.fraction, self.failed = name, fraction, 0
            self._keep(self.version, name)

    async def rollback(self):
        """The one call: away with the candidate; without one, back to the version
        before. Returns the version that serves now.
        """
        async with self.moving:
            if self.candidate is not None:
                self._serve(self.version)
                return self.version
            names = history(self.folder)
            if len(names) > 1:
                await self._load(names[-2])
            self._serve(rollback(self.folder))
            return self.version

    def version_of(self, request_id):
        """The same request id always gets the same version."""
        if self.candidate is None:
            return self.version
        number = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
        chosen = int.from_bytes(number, "big") / 2**64 < self.fraction
        return self.candidate if chosen else self.version

    async def answer(self, texts, request_id):
        """(version, rows (B, C)) of one request."""
        version = self.version_of(request_id)
        try:
            rows = await self.running[version].submit(texts)
        except Exception as error:
            self._note_failure(version, error)
            raise
        self.answered_by[request_id] = version
        if len(self.answered_by) > 10_000:
            self.answered_by.popitem(last=False)
        self._ask_monitor("answered", version, texts, rows)
        return version, rows

    def _note_failure(self, version, error):
        # a full queue and an end are no fault of the version; 504, too late, may be
        if version != self.candidate or getattr(error, "status", 500) in (429, 503):
            return
        self.failed += 1
        if self.failed >= self.failures:
            self._heed((f"the candidate failed {self.failed} times", True))

    def _ask_monitor(self, what, *facts):
        if self.monitor:
            try:
                self._heed(getattr(self.monitor, what)(*facts))
            except Exception:  # the answer is there, and is given
                log.exception("the monitor failed")

    def feedback(self, request_id, is_correct):
        """Somebody says whether an answer was right. Raises KeyError for an answer that
        is not among the last 10,000; each answer counts once.
        """
        version = self.answered_by.pop(request_id)
        self._ask_monitor("feedback", version, is_correct)

    def _heed(self, alarm):
        if alarm is not None:
            reason, go_back = alarm
            self.alarms.append(reason)
            log.warning("alarm", extra={"facts": {"reason": reason}})
            if go_back and self.candidate is not None:
                self._serve(self.version)

    async def close(self):
        """Take nothing more, finish what was taken."""
        self.draining = True
        for name in list(self.running):
            self._later(self.running.pop(name).close())
        while self.tasks:
            await asyncio.gather(*self.tasks)
