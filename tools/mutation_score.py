"""How many mutants (tools/mutants.py) the course refuses, and which it takes.

    python tools/mutation_score.py solutions              # every exercise's checker
    python tools/mutation_score.py solutions 04 check_decide
    python tools/mutation_score.py library --sample 200 --seed 7

`solutions` runs each checker on mutants of its exercise's solution; what is listed in
the exercise's catalogue (tests/exercises/wrong_answers) is said with its reason.
`library` changes one place of ftlib at a time in a copy of the repository and runs the
tests that mirror the file (ftlib/models/lora.py: tests/models/test_lora.py); a mutant
that they take is run against all unit tests with `--thorough`. A survivor is either the
same program or a missing test: read it. It is printed when it is found, and the count
of each file at the end; `--minutes 60` starts no mutant after an hour. The copy is
whole, so that the repository may be worked on meanwhile.

Ends with 1 if the share refused is below `--at-least`, or if the tests of a file fail
without a mutant: the file is named, and its mutants are not tried.
"""

import argparse
import ast
import collections
import concurrent.futures
import difflib
import json
import os
import pathlib
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools"), str(ROOT / "tests" / "exercises")]
import mutants  # noqa: E402
import stages  # noqa: E402

AT_LEAST = 0.95


def changed_line(before, after):
    """The first line of `after` that `before` has not."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return next((line[2:].strip() for line in lines if line.startswith("+ ")), "")


# --- solutions of the exercises


def solutions(wanted, out=print):
    """Run the checkers named in `wanted` (chapters or checks; all if empty) -> (mutants
    refused, mutants taken that are wrong).
    """
    import notebooks
    import test_mutation

    refused = taken = 0
    for path, item in test_mutation.ALL:
        if wanted and not {path.stem[:2], item.check} & set(wanted):
            continue
        catalogue = test_mutation.wrong_answers(item.check)
        equivalent = getattr(catalogue, "EQUIVALENT", {})
        tolerated = getattr(catalogue, "TOLERATED", {})
        check = test_mutation.checker(item.check)
        names = notebooks.namespace(path)
        found, tried = test_mutation.survivors(check, item.name, item.solution, names)
        wrong = [label for label in found if label not in equivalent]
        refused += tried - len(found)
        taken += len(wrong)
        out(f"{path.stem[:2]} {item.check}: {len(wrong)} of {tried} mutants taken")
        texts = {m.label: m.source for m in mutants.mutants(item.solution)}
        plain = mutants.unparsed(item.solution)
        for label in found:
            reason = equivalent.get(label) or tolerated.get(label) or "not listed"
            line = changed_line(plain, texts.get(label, ""))
            out(f"    {label}    {line}\n        {reason}")
    return refused, taken


# --- the library


def library_files():
    """The files of ftlib but the checkers, which have the exercises for a test."""
    files = sorted((ROOT / "ftlib").rglob("*.py"))
    return [p.relative_to(ROOT) for p in files if "checks" not in p.parts]


def library_mutants(sample, seed, files=()):
    """[(file, Mutant)]: a random sample from the library, or from those files of it."""
    everything = [
        (file, *candidate)
        for file in library_files()
        if not files or str(file) in files
        for candidate in mutants.candidates((ROOT / file).read_text(encoding="utf-8"))
    ]
    chosen = []
    for file, label, text_of in random.Random(seed).sample(everything, len(everything)):
        if len(chosen) == sample:
            break
        if (text := text_of()) is not None:
            chosen.append((file, mutants.Mutant(label, text)))
    return chosen


def mirrored(file):
    """The test files of a file of ftlib: its own, else those of its folder.

    >>> [path.name for path in mirrored("ftlib/course/plot/compare.py")]
    ['test_plot.py']
    """
    folder = ROOT / "tests" / pathlib.Path(file).relative_to("ftlib").parent
    stem = pathlib.Path(file).stem
    if not folder.is_dir():  # ftlib/course/plot has one test file, tests/course's
        folder, stem = folder.parent, folder.name
    own = [*folder.glob(f"test_{stem}.py"), *folder.glob(f"test_{stem}_*.py")]
    return [path.relative_to(ROOT) for path in sorted(own or folder.glob("test_*.py"))]


def copy_of_repository(folder):
    """The files of the repository. Not links: who writes into a file of one of the two,
    such as a result that is measured anew, would change it for the tests of the other.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:
        target = pathlib.Path(folder) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)
    return pathlib.Path(folder)


class Home:
    """A copy of the repository and the process that runs its tests (warm_tests.py)."""

    def __init__(self, folder):
        self.folder = copy_of_repository(folder)
        environment = stages.environment("unit")
        # this copy's ftlib, not the one that is installed
        paths = [self.folder / "tests/offline", self.folder]
        environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        # compiled files are known by second and size: two mutants can have both alike
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        self.process = subprocess.Popen(
            # the copy's own: the tests take their ROOT from the tools beside it
            [sys.executable, str(self.folder / "tools" / "warm_tests.py")],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run_tests(self, files, seconds, names=(), log=os.devnull):
        """Whether the tests pass; a run that takes too long has not passed. log: a file
        for what pytest prints.
        """
        request = {"files": [*map(str, files)], "names": names, "seconds": seconds}
        request["log"] = str(log)
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline()) == 0

    def fault(self, file):
        """Which test of a file fails without a mutant, or an empty string."""
        log = self.folder.with_suffix(".txt")
        if self.run_tests(mirrored(file), 1800, log=log):
            return ""
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        return (failed or ["they did not end within 1800 s, or stopped"])[0]

    def survives(self, file, mutant, seconds, thorough):
        """Whether the tests take `mutant` here; the file is put right again."""
        path = self.folder / file
        original = path.read_text(encoding="utf-8")
        path.write_text(mutant.source, encoding="utf-8")
        try:
            names = changed_names(original, mutant.source)
            taken = self.run_tests(mirrored(file), seconds, names)
            if taken and thorough:
                taken = self.run_tests(stages.files("unit"), 3600)
        finally:
            path.write_text(original, encoding="utf-8")
        return taken

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def changed_names(before, after):
    """The functions and classes in which two texts differ, to find their tests by.

    >>> changed_names("def a(): 1\\ndef b(): 2", "def a(): 1\\ndef b(): 3")
    ['b']
    """

    def definitions(text):
        return {
            node.name: ast.dump(node)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        }

    old, new = definitions(before), definitions(after)
    return [name for name in old if old[name] != new.get(name)]


def say(sentence):
    print(sentence, flush=True)  # at once, into a file too


def library(sample, seed, jobs, files=(), thorough=False, minutes=None, out=say):
    """Try `sample` random mutants of ftlib, as many as `minutes` allow -> (refused,
    taken, not tried because the tests of their files fail without a mutant).
    """
    end = time.monotonic() + 60 * (minutes or 1e6)
    chosen = library_mutants(sample, seed, files)
    verdicts = collections.defaultdict(list)  # file -> for each mutant, whether taken
    untried = collections.Counter()  # file -> mutants, where its tests fail without any
    with tempfile.TemporaryDirectory() as folder:
        homes = queue.Queue()
        for i in range(jobs):
            homes.put(Home(pathlib.Path(folder) / str(i)))
        times, timing = {}, collections.defaultdict(threading.Lock)

        def seconds_of(file, home):
            """How long its tests may take: they are run once without a mutant. None if
            they fail.
            """
            with timing[file]:
                if file not in times:
                    start = time.perf_counter()
                    fault = home.fault(file)
                    if fault:
                        out(f"{file}: its tests fail without a mutant; {fault}")
                    spent = time.perf_counter() - start
                    times[file] = None if fault else 30 + 3 * spent
            return times[file]

        def one(each):
            if time.monotonic() > end:
                return
            file, mutant = each
            home = homes.get()
            try:
                seconds = seconds_of(file, home)
                if seconds is None:
                    untried[str(file)] += 1
                    return
                taken = home.survives(file, mutant, seconds, thorough)
                before = mutants.unparsed((home.folder / file).read_text("utf-8"))
            finally:
                homes.put(home)
            verdicts[str(file)].append(taken)
            if taken:
                out(f"{file}: {mutant.label}    {changed_line(before, mutant.source)}")

        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            list(pool.map(one, chosen))
        while not homes.empty():
            homes.get().close()
    for file, taken in sorted(verdicts.items()):
        out(f"{file}: {len(taken) - sum(taken)} of {len(taken)} refused")
    for file, count in sorted(untried.items()):
        out(f"{file}: {count} not tried, its tests fail without a mutant; mend them")
    tried = [taken for each in verdicts.values() for taken in each]
    if len(tried) + untried.total() < len(chosen):
        out(f"{len(tried)} of {len(chosen)} mutants tried in {minutes} minutes")
    return len(tried) - sum(tried), sum(tried), untried.total()


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("solutions", "library"))
    parser.add_argument("only", nargs="*", help="chapters, checks, or files of ftlib")
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="library: start no mutant later")
    parser.add_argument("--thorough", action="store_true")
    parser.add_argument("--at-least", type=float, default=AT_LEAST)
    options = parser.parse_args(arguments)
    untried = 0
    if options.what == "solutions":
        refused, taken = solutions(options.only)
    else:
        refused, taken, untried = library(
            options.sample,
            options.seed,
            options.jobs,
            options.only,
            options.thorough,
            options.minutes,
        )
    share = refused / max(refused + taken, 1)
    print(f"{refused} of {refused + taken} mutants refused, {share:.1%}")
    if untried:
        print(f"{untried} mutants not tried: the tests of their files fail without one")
    return int(share < options.at_least or untried > 0)


if __name__ == "__main__":
    sys.exit(main())
