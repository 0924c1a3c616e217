"""A stream at size: ten thousand million bytes of text, read by two processes.

    python benchmarks/stream_size.py            10 GB; writes its result into
                                                benchmarks/results/; half an hour
    python benchmarks/stream_size.py --quick    16 MB, to see that it runs; writes
                                                nothing

What is asked of it: the largest memory of each process (VmHWM, with Python, torch and
the tokenizer in it); whether two new processes, and one alone, that start from the
position in the middle get the very rows that the first two got there (the control:
from one row further on they must not); and how many tokens a second it gives beside
texts in memory, encoded and packed at once.
For the last question both processes read at the same time, and stream and memory take
turns.

The text is film reviews, repeated and numbered, a document a line.
"""

import argparse
import hashlib
import json
import pathlib
import statistics
import tempfile
import time

import torch
from processes import launch  # beside this file
from stream_memory import peak, write

from ftlib.course import reproducibility
from ftlib.data import streaming, tokenization
from ftlib.training import distributed

HERE = pathlib.Path(__file__).resolve().parent
LENGTH, LANES, ROWS = 128, 8, 64  # tokens a row, lanes, rows of a lane in one take
COMPARED = 20  # takes behind the middle that must come again


def stream_of(folder, ctx, position=None):
    source = streaming.Files(sorted(folder.glob("*.txt")))
    tokenizer = tokenization.load(folder)
    return streaming.TextStream(
        source,
        lambda texts: tokenization.encode(tokenizer, texts),
        LENGTH,
        lanes=LANES,
        rank=ctx.rank,
        world_size=ctx.world_size,
        position=position,
    )


def taken(stream):
    return stream.take(ROWS * len(stream.mine))


def digests(stream, takes):
    """A SHA-256 of each lane's rows and their numbers over the next takes."""
    sums = {lane: hashlib.sha256() for lane in stream.mine}
    for _ in range(takes):
        ids, index = taken(stream)
        for place, lane in enumerate(stream.mine):
            for tensor in (ids, index):
                mine = tensor[place :: len(stream.mine)].contiguous()
                sums[lane].update(mine.numpy().tobytes())
    return {str(lane): digest.hexdigest() for lane, digest in sums.items()}


def read_all(folder, ctx):
    """Every part once, with a stop in the middle."""
    imported, stream, tokens = peak(), stream_of(folder, ctx), 0
    start, middle = time.perf_counter(), None
    while True:
        position = stream.position()
        done = sum(part for part, _, _ in position["lanes"])
        if done >= len(stream.source):
            break
        if middle is None and 2 * done >= len(stream.source):
            middle = {"position": position, "rows": digests(stream, COMPARED)}
            tokens += COMPARED * ROWS * len(stream.mine) * LENGTH
        tokens += taken(stream)[0].numel()
    seconds = time.perf_counter() - start
    return {
        "peak": peak(),
        "after_imports": imported,
        "tokens": tokens,
        "seconds": round(seconds, 1),
        "middle": middle,
    }


def again(folder, ctx, further):
    """The rows behind the middle, by a process that has read nothing before. further:
    rows of each lane to leave out.
    """
    position = json.loads((folder / "middle.json").read_text(encoding="utf-8"))
    for place in position["lanes"]:
        place[2] += further
    return {"rows": digests(stream_of(folder, ctx, position), COMPARED)}


def race(folder, ctx, megabytes, rounds):
    """Tokens a second of the stream, and of as much text in memory, in turns."""
    stream, tokenizer = stream_of(folder, ctx), tokenization.load(folder)
    # each process encodes its own half of these
    texts = streaming.sample(stream.source, letters=megabytes * 1_000_000)
    texts = texts[ctx.rank :: ctx.world_size]
    found = {"stream": [], "memory": []}
    for turn in range(rounds + 1):
        torch.distributed.barrier()
        start = time.perf_counter()
        rows = tokenization.pack(tokenization.encode(tokenizer, texts), LENGTH)
        order = torch.randperm(len(rows))
        each, tokens = ROWS * len(stream.mine), 0
        for first in range(0, len(rows), each):
            tokens += rows[order[first : first + each]].numel()
        memory = tokens / (time.perf_counter() - start)
        torch.distributed.barrier()
        start, count = time.perf_counter(), 0
        while count < tokens:
            count += taken(stream)[0].numel()
        if turn:  # the first one fills the caches
            found["memory"].append(memory)
            found["stream"].append(count / (time.perf_counter() - start))
    return found


def start(processes, kind, folder, *more):
    """Run processes that know each other -> what each found, in order."""
    words = ["--child", kind, folder, *more]
    # RAYON: the tokenizer's own threads
    launch(__file__, words, processes, RAYON_NUM_THREADS="1")
    files = [folder / f"{kind}-{rank}.json" for rank in range(processes)]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def child(kind, folder, *more):
    ctx, folder = distributed.setup(device="cpu"), pathlib.Path(folder)
    call = {"read": read_all, "again": again, "race": race}[kind]
    found = json.dumps(call(folder, ctx, *map(int, more)))
    (folder / f"{kind}-{ctx.rank}.json").write_text(found, encoding="utf-8")
    distributed.cleanup()


def measure(folder, megabytes, racing, rounds):
    """All questions -> the fields of the record."""
    write(folder, megabytes, files=max(8, megabytes // 250))
    source = streaming.Files(sorted(folder.glob("*.txt")))
    texts = streaming.sample(source, letters=min(16, megabytes) * 1_000_000)
    tokenization.save(tokenization.train_wordpiece(texts, 8000), folder)
    del texts
    raced = start(2, "race", folder, racing, rounds)
    print(raced, flush=True)
    readers = start(2, "read", folder)
    middles = [reader.pop("middle") for reader in readers]
    position = json.dumps(middles[0]["position"])
    (folder / "middle.json").write_text(position, encoding="utf-8")
    first = {k: v for middle in middles for k, v in middle["rows"].items()}
    same = {}
    for processes, further in ((2, 0), (1, 0), (1, 1)):
        found = start(processes, "again", folder, further)
        rows = {k: v for process in found for k, v in process["rows"].items()}
        equal = sum(rows[lane] == first[lane] for lane in first)
        name = ("one process", "two processes")[processes - 1]
        same[name + ", one row further" * further] = equal
    ratios = [s / m for one in raced for s, m in zip(one["stream"], one["memory"])]
    return {
        "bytes": sum(source.sizes),
        "rows": readers,
        "lanes": LANES,
        "equal_lanes": same,
        "compared_rows": COMPARED * ROWS * LANES,
        "race": raced,
        "ratios": [round(ratio, 4) for ratio in ratios],
        "ratio": round(statistics.median(ratios), 4),
    }


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--quick", action="store_true")
    a.add_argument("--gigabytes", type=float, default=10.0)
    a.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    a = a.parse_args()
    if a.child:
        return child(*a.child)
    sizes = (16, 1, 1) if a.quick else (round(1000 * a.gigabytes), 40, 6)
    record = {
        "what": "a stream at size",
        "command": f"python benchmarks/stream_size.py --gigabytes {a.gigabytes:g}",
        "commit": reproducibility.commit(__file__),
        "machine": reproducibility.machine(),
        "versions": reproducibility.versions(
            ("torch", "tokenizers", "safetensors", "numpy")
        ),
        "threads": "1 each of two processes",
    }
    with tempfile.TemporaryDirectory() as folder:
        record |= measure(pathlib.Path(folder) / "text", *sizes)
    print(json.dumps(record, indent=1))
    if not a.quick:
        (HERE / "results" / "stream_size.json").write_text(
            json.dumps(record, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
