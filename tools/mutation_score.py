"""How many mutants (tools/mutants.py) the course refuses, and which it takes.

    python tools/mutation_score.py solutions              # every exercise's checker
    python tools/mutation_score.py solutions 04 check_decide
    python tools/mutation_score.py library --sample 200 --seed 7

`solutions` runs each checker on mutants of its exercise's solution; what is listed in
the exercise's catalogue (tests/exercises/wrong_answers) is said with its reason.
`library` changes one place of ftlib at a time in a copy of the repository and runs the
tests that mirror the file (ftlib/models/lora.py: tests/models/test_lora.py); a mutant
that they take is run against all unit tests with `--thorough`. A survivor is either the
same program or a missing test: read it.

Ends with 1 if the share refused is below `--at-least`.
"""

import argparse
import concurrent.futures
import difflib
import os
import pathlib
import queue
import random
import shutil
import subprocess
import sys
import tempfile
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


def library_mutants():
    """[(file, Mutant)] of every file of the library."""
    return [
        (file, mutant)
        for file in library_files()
        for mutant in mutants.mutants((ROOT / file).read_text(encoding="utf-8"))
    ]


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
    """The files of the repository, linked where the file system can."""
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
        if not (ROOT / name).is_file():
            continue
        try:
            os.link(ROOT / name, target)
        except OSError:
            shutil.copy2(ROOT / name, target)
    return pathlib.Path(folder)


def run_tests(home, files, seconds):
    """Whether the tests pass in `home`; a run that takes too long has not passed."""
    environment = stages.environment("unit")
    # this copy's ftlib, not the one that is installed
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(home / "tests/offline"), str(home)]
    )
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *map(str, files)],
            cwd=home,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def survives(home, file, mutant, seconds, thorough):
    """Whether the tests take `mutant` in the copy `home`, which is put right again."""
    path = home / file
    original = path.read_text(encoding="utf-8")
    path.unlink()  # a link: writing into it would change the original
    path.write_text(mutant.source, encoding="utf-8")
    try:
        taken = run_tests(home, mirrored(file), seconds)
        if taken and thorough:
            taken = run_tests(home, stages.files("unit"), 3600)
    finally:
        path.write_text(original, encoding="utf-8")
    return taken


def library(sample, seed, jobs, files=(), thorough=False, out=print):
    """Try `sample` random mutants of ftlib -> (refused, taken)."""
    everything = [m for m in library_mutants() if not files or str(m[0]) in files]
    chosen = random.Random(seed).sample(everything, min(sample, len(everything)))
    with tempfile.TemporaryDirectory() as folder:
        homes = queue.Queue()
        for i in range(jobs):
            homes.put(copy_of_repository(pathlib.Path(folder) / str(i)))
        times = {}
        for file in sorted({file for file, _ in chosen}):
            home = homes.get()
            start = time.perf_counter()
            if not run_tests(home, mirrored(file), 1800):
                sys.exit(f"the tests of {file} fail without a mutant; mend them first")
            times[file] = 30 + 3 * (time.perf_counter() - start)
            homes.put(home)

        def one(each):
            home = homes.get()
            try:
                return survives(home, *each, times[each[0]], thorough)
            finally:
                homes.put(home)

        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(one, chosen))
    for (file, mutant), taken in zip(chosen, results):
        if taken:
            before = mutants.unparsed((ROOT / file).read_text(encoding="utf-8"))
            out(f"{file}: {mutant.label}    {changed_line(before, mutant.source)}")
    return len(results) - sum(results), sum(results)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("solutions", "library"))
    parser.add_argument("only", nargs="*", help="chapters, checks, or files of ftlib")
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--thorough", action="store_true")
    parser.add_argument("--at-least", type=float, default=AT_LEAST)
    options = parser.parse_args(arguments)
    if options.what == "solutions":
        refused, taken = solutions(options.only)
    else:
        refused, taken = library(
            options.sample,
            options.seed,
            options.jobs,
            options.only,
            options.thorough,
        )
    share = refused / max(refused + taken, 1)
    print(f"{refused} of {refused + taken} mutants refused, {share:.1%}")
    return int(share < options.at_least)


if __name__ == "__main__":
    sys.exit(main())
