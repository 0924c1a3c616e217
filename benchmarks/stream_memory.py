"""How much memory a stream takes: text files of two sizes through the pipeline of
recipes/pretrain_mlm.py, to the last row.

    python benchmarks/stream_memory.py            writes its result into
                                                  benchmarks/results/; 12 minutes
    python benchmarks/stream_memory.py --quick    3 MB, to see that it runs; writes
                                                  nothing

Each line of the result is a process of its own, and its peak is what the system counted
as resident (VmHWM), with Python, torch and the tokenizer in it. "files" and "data set"
sample the text, train a vocabulary of 8,000 and take every row of one epoch; "in
memory" is the same without a stream; "recipe" trains a model of 2 layers and width 64
for 20 steps of 8 rows.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "recipes"))


def write(folder, megabytes, files=8):
    """Film reviews, a document a line, repeated until each of the files has its share
    of that many million bytes.
    """
    from ftlib.course import sources

    lines = [
        " ".join(text.split()) + "\n"
        for name in ("imdb", "rotten_tomatoes")
        for text in sources.load(name)["train"]["text"]
    ]
    lines, number = itertools.cycle(lines), itertools.count()
    folder.mkdir()
    for path in [folder / f"train-{i}.txt" for i in range(files)]:
        size = 0
        with open(path, "w", encoding="utf-8") as file:
            while size < megabytes * 1_000_000 / files:
                # numbered, so that no text is a copy of another
                line = f"{next(number)} {next(lines)}"
                file.write(line)
                size += len(line.encode())


def peak():
    """Bytes that this process has had resident at most."""
    try:
        status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
        # since this program began, not since its parent did
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
            1 if sys.platform == "darwin" else 1024
        )


def child(kind, folder, length=128, lanes=8):
    """One measurement in this process -> {"peak", "after_imports", "tokens",
    "cpu_seconds"}.
    """
    import mlm_rows
    import pretrain_mlm as recipe

    from ftlib.data import streaming, tokenization

    imported, files = peak(), sorted(map(str, folder.glob("*.txt")))
    words = [
        "--steps",
        "20",
        "--batch",
        "8",
        "--layers",
        "2",
        "--width",
        "64",
        "--length",
        str(length),
        "--warmup",
        "2",
        "--lanes",
        str(lanes),
    ]
    sys.argv = [
        "",
        *words,
        *(["--hub", str(folder)] if kind == "data set" else ["--text", *files]),
    ]
    a = recipe.arguments()
    if kind == "recipe":
        a.out = str(folder / "run")
        recipe.main(a)
        tokens = a.steps * a.batch * a.length
    elif kind == "in memory":
        texts = [
            text
            for path in files
            for text in pathlib.Path(path).read_text(encoding="utf-8").splitlines()
        ]
        tokens = tokenization.pack(
            tokenization.encode(tokenization.train_wordpiece(texts, a.vocab), texts),
            length,
        ).numel()
    else:
        source = mlm_rows.stream_of(a)
        tokenizer = mlm_rows.streamed_corpus(source, a.vocab, length, length)[0]
        stream = streaming.TextStream(
            source,
            lambda t: tokenization.encode(tokenizer, t),
            length,
            lanes=lanes,
            keep=mlm_rows.trained_on,
        )
        tokens = 0
        # every part once
        while sum(part for part, _, _ in stream.position()["lanes"]) < len(source):
            tokens += stream.take(8 * lanes)[0].numel()
    return {
        "peak": peak(),
        "after_imports": imported,
        "tokens": tokens,
        "cpu_seconds": round(time.process_time()),
    }


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--quick", action="store_true")
    a.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    a = a.parse_args()
    if a.child:
        print(json.dumps(child(a.child[0], pathlib.Path(a.child[1]))))
        return
    from ftlib.course import reproducibility

    small, middle, large = (1, 2, 3) if a.quick else (10, 100, 1000)
    runs = [
        ("files", large),
        ("data set", large),
        ("files", small),
        ("data set", small),
        ("recipe", small),
        ("recipe", large),
        ("in memory", middle),
    ]
    packages = ("torch", "tokenizers", "safetensors", "numpy", "datasets", "pyarrow")
    record = {
        "what": "peak memory of a stream",
        "command": "python benchmarks/stream_memory.py",
        "commit": reproducibility.commit(__file__),
        "machine": reproducibility.machine(),
        "versions": reproducibility.versions(packages),
        "threads": int(os.environ.get("OMP_NUM_THREADS", reproducibility.cores())),
        "rows": [],
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        concurrent.futures.ThreadPoolExecutor(2) as pool,
    ):
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_CACHE": f"{folder}/cache",
        }
        for megabytes in (small, middle, large):
            write(pathlib.Path(folder) / str(megabytes), megabytes)

        def measure(run):
            command = [
                sys.executable,
                __file__,
                "--child",
                run[0],
                f"{folder}/{run[1]}",
            ]
            ended = subprocess.run(
                command, capture_output=True, text=True, env=environment
            )
            if ended.returncode:
                raise SystemExit(ended.stderr[-3000:])
            record["rows"].append(
                {
                    "kind": run[0],
                    "megabytes": run[1],
                    **json.loads(ended.stdout.splitlines()[-1]),
                }
            )
            print(record["rows"][-1], flush=True)
            if not a.quick:  # after each, because the whole takes long
                (HERE / "results" / "stream_memory.json").write_text(
                    json.dumps(record, indent=1) + "\n", encoding="utf-8"
                )

        list(pool.map(measure, runs))  # two at a time: the peak is each process's own


if __name__ == "__main__":
    main()
