"""How much memory a stream takes: text files of two sizes through the pipeline of recipes/pretrain_mlm.py, to the last row.

    python benchmarks/stream_memory.py          writes benchmarks/results/stream_memory.json; takes most of an hour on one core
    python benchmarks/stream_memory.py --quick  3 MB, to see that it runs; writes nothing

Each line of the result is a process of its own, and its peak is what the system counted as resident (VmHWM), with Python,
torch and the tokenizer in it. "files" and "data set" sample the text, train a vocabulary of 8,000 and take every row of one
epoch; "in memory" is the same without a stream; "recipe" trains a model of 2 layers and width 64 for 20 steps of 8 rows.
"""

import argparse
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


def write(path, megabytes):
    """Film reviews, a document a line, repeated until the file has that many million bytes."""
    from ftlib import data

    lines = [" ".join(text.split()) + "\n" for name in ("imdb", "rotten_tomatoes") for text in data.load(name)["train"]["text"]]
    with open(path, "w", encoding="utf-8") as file:
        while True:
            for line in lines:
                if file.write(line) and file.tell() >= megabytes * 1_000_000:
                    return


def peak():
    """Bytes that this process has had resident at most."""
    try:
        status = pathlib.Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])  # since this program began, not since its parent did
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def child(kind, path, length=128, lanes=8):
    """One measurement in this process -> {"peak", "after_imports", "tokens", "seconds"}."""
    import pretrain_mlm as recipe
    from ftlib import streaming, tokenize

    imported, began = peak(), time.time()
    words = ["--steps", "20", "--batch", "8", "--layers", "2", "--width", "64", "--length", str(length), "--warmup", "2", "--lanes", str(lanes)]
    sys.argv = ["", *words, "--hub" if kind == "data set" else "--text", str(path.parent if kind == "data set" else path)]
    a = recipe.arguments()
    if kind == "recipe":
        a.out = str(path.parent / "run")
        recipe.main(a)
        tokens = a.steps * a.batch * a.length
    elif kind == "in memory":
        texts = path.read_text(encoding="utf-8").splitlines()
        tokens = tokenize.pack(tokenize.encode(tokenize.train_wordpiece(texts, a.vocab), texts), length).numel()
    else:
        source = recipe.stream_of(a)
        tokenizer = recipe.streamed_corpus(source, a.vocab, length, length)[0]
        stream = streaming.Stream(source, lambda t: tokenize.encode(tokenizer, t), length, lanes=lanes, keep=recipe.trained_on)
        tokens = 0
        while sum(part for part, _, _ in stream.position()["lanes"]) < len(source):  # every part once
            tokens += stream.take(8 * lanes)[0].numel()
    return {"peak": peak(), "after_imports": imported, "tokens": tokens, "seconds": round(time.time() - began, 1)}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--quick", action="store_true")
    a.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    a = a.parse_args()
    if a.child:
        print(json.dumps(child(a.child[0], pathlib.Path(a.child[1]))))
        return
    from ftlib import seed

    small, large = (2, 3) if a.quick else (100, 1000)
    runs = [("files", large), ("recipe", large), ("data set", large), ("files", small), ("data set", small), ("in memory", small)]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    packages = ("torch", "tokenizers", "safetensors", "numpy", "datasets", "pyarrow")
    record = {"what": "peak memory of a stream", "command": "python benchmarks/stream_memory.py", "commit": commit, "machine": seed.machine(),
              "versions": seed.versions(packages), "threads": int(os.environ.get("OMP_NUM_THREADS", seed.cores())), "rows": []}
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in (small, large):
            os.makedirs(f"{folder}/{megabytes}", exist_ok=True)
            write(f"{folder}/{megabytes}/train.txt", megabytes)
        for kind, megabytes in runs:
            ended = subprocess.run([sys.executable, __file__, "--child", kind, f"{folder}/{megabytes}/train.txt"], capture_output=True, text=True,
                                   env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": f"{folder}/cache"})
            if ended.returncode:
                raise SystemExit(ended.stderr[-3000:])
            record["rows"].append({"kind": kind, "megabytes": megabytes, **json.loads(ended.stdout.splitlines()[-1])})
            print(record["rows"][-1], flush=True)
            if not a.quick:  # after each line, since the whole takes long
                (HERE / "results" / "stream_memory.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
