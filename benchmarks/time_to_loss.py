"""Time to quality: how long ftlib's recipes take to reach the loss that transformers'
Trainer has at the end of its time, each with the model and recipe of its own.

    python benchmarks/time_to_loss.py --minutes 30 --seeds 0 1 2
    python benchmarks/time_to_loss.py --minutes 30 --seeds 3 --add    one more seed
    python benchmarks/time_to_loss.py --task clm --minutes 30
    python benchmarks/time_to_loss.py --task classify --minutes 3
    python benchmarks/time_to_loss.py --ideas --minutes 6 --seeds 0
    python benchmarks/time_to_loss.py --quick    all tasks, tiny; writes nothing
    python benchmarks/render.py                  makes the table and the curve

Tasks: mlm, the held-out loss at [MASK] positions of film reviews; clm, the held-out
loss of the next token; classify, the share of errors on validation sentences after
1,000 labels, both from reviews-bert-mini. The contenders have equal sizes, tokenizers,
texts and precision, and take turns of --slice seconds in one process, so that a slow
minute of the machine meets both. Each has a clock of its own; measuring stops it. The
learning rate falls with that clock, from the recipe's value to 0. A third contender is
ftlib's recipe once more, whose clock ends after a fifth of the time: its rate falls to
0 within that fifth.

Trainer: BertForMaskedLM, GPT2LMHeadModel, or the classifier that transformers opens,
with what run_mlm.py, run_clm.py and run_glue.py do: rows of 128 tokens, 15 % masked,
dropout 0.1 in new models, texts padded to 128. Its learning rate is the best of --rates
after runs that together take as long as one run.

--add: keep the seeds of the record that is there, and the rate that was tuned for it;
refused where sizes, time, precision or threads are others.
--ideas: the recipe for mlm with one of its ideas taken away, or one added, at a time.
Writes benchmarks/results/time_to_loss_TASK.json (--ideas: time_to_loss_ideas.json).
"""

import argparse
import concurrent.futures
import json
import pathlib
import sys
import tempfile
import threading
import time

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "recipes"))
import finetune  # noqa: E402
import mlm_rows  # noqa: E402
import pretrain_clm  # noqa: E402
import pretraining  # noqa: E402

from ftlib.course import hub, reproducibility, sources  # noqa: E402
from ftlib.data import tables, tokenization  # noqa: E402
from ftlib.evaluation import metrics  # noqa: E402
from ftlib.models import transformer  # noqa: E402
from ftlib.objectives import classify, clm, mlm  # noqa: E402
from ftlib.training import distributed, optim, train  # noqa: E402

CPU = torch.device("cpu")
SIZES = dict(vocab=8000, width=256, layers=4, heads=4, held_out=256, labels=1000)
TINY = dict(vocab=400, width=16, layers=1, heads=2, held_out=16, labels=40)
# recipes/pretrain_mlm.py as the published reviews-bert-mini was trained; of the stages
# the share of the time. `tokens`: of one step
MLM = dict(
    stages=((16, 0.06), (64, 0.82), (128, 0.12)),
    tokens=4096,
    mask_prob=0.2,
    init_std=0.06,
    lr=1e-3,
    pre_norm=True,
    everywhere=False,
    packed=True,
    muon=False,
    dtype="best",
)
IDEAS = {
    "ftlib": {},
    "without short rows first": dict(stages=((128, 1.0),)),
    "logits at all positions": dict(everywhere=True),
    "norm behind each part": dict(pre_norm=False),
    "initial gain of 0.02": dict(init_std=0.02),
    "learning rate of 5e-5": dict(lr=5e-5),
    "padded, not packed": dict(packed=False, stages=((128, 1.0),)),
    "the other precision": dict(dtype="other"),
    "with Muon": dict(muon=True),
}
WARMUP = 0.02  # of the time
FIFTH = "ftlib in a fifth"


class Turns:
    """Whose turn it is: one contender computes, the others wait."""

    def __init__(self, names, seconds):
        self.names, self.seconds = list(names), seconds
        self.changed = threading.Condition()

    def wait(self, name):
        with self.changed:
            self.changed.wait_for(lambda: self.names[0] == name)

    def next(self):
        with self.changed:
            self.names.append(self.names.pop(0))
            self.changed.notify_all()

    def leave(self, name):
        with self.changed:
            self.names.remove(name)
            self.changed.notify_all()


class Clock:
    """The seconds that a contender has computed, and its points (seconds, score)."""

    def __init__(self, name, budget, turns, measure, points=24, now=time.perf_counter):
        self.name, self.budget, self.turns = name, budget, turns
        self.measure, self.now = measure, now
        self.spent, self.steps, self.curve, self.since = 0.0, 0, [], None
        self.due = [budget * (i + 1) / points for i in range(points)]

    def begin(self):
        self.turns.wait(self.name)
        self.since = self.taken = self.now()

    def fraction(self):
        """Of the budget, from 0 to 1."""
        running = 0.0 if self.since is None else self.now() - self.since
        return min(1.0, (self.spent + running) / self.budget)

    def factor(self, *_):
        """On the learning rate: a short warm-up, then down to 0."""
        done = self.fraction()
        return min(1.0, max(done, WARMUP / 20) / WARMUP, (1 - done) / (1 - WARMUP))

    def step(self, model):
        """After each step -> whether the time is over."""
        now = self.now()
        self.spent, self.steps = self.spent + now - self.since, self.steps + 1
        over = self.spent >= self.budget
        if over or self.spent >= self.due[0]:
            self.due = [t for t in self.due if t > self.spent] or [self.budget]
            self.curve.append([round(self.spent, 3), round(self.measure(model), 4)])
            print(f"{self.name} {self.spent:.0f} s {self.curve[-1][1]}", flush=True)
        if not over and now - self.taken > self.turns.seconds:
            self.turns.next()
            self.turns.wait(self.name)
            self.taken = self.now()
        self.since = self.now()
        return over


class Both:
    """Muon (Jordan et al. 2024) for the matrices of the blocks and AdamW for the rest,
    as one optimizer.
    """

    def __init__(self, model, lr):
        blocks = [p for p in model.encoder.blocks.parameters() if p.ndim == 2]
        known = {id(p) for p in blocks}
        groups = optim.parameter_groups(model, lr)
        for group in groups:
            group["params"] = [p for p in group["params"] if id(p) not in known]
        # `match_rms_adamw`: a rate of AdamW fits (Liu et al. 2025)
        muon = torch.optim.Muon(blocks, lr=lr, adjust_lr_fn="match_rms_adamw")
        self.parts = muon, optim.adamw([g for g in groups if g["params"]])
        self.param_groups = [g for part in self.parts for g in part.param_groups]

    def step(self):
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none=True):
        for part in self.parts:
            part.zero_grad(set_to_none)


def precision(which):
    """None (float32) or bfloat16: the faster one here, or the other."""
    fast = distributed.native_bf16(CPU)
    return torch.bfloat16 if fast == (which == "best") else None


def loop(model, batches, loss_fn, optimizer, clock, dtype):
    """ftlib's loop until the clock is over."""
    clock.begin()
    run = train.steps(
        model, batches, loss_fn, optimizer, dtype=dtype, schedule=clock.factor
    )
    for _ in run:
        if clock.step(model):
            return


def their_trainer(model, data, lr, batch, collator, clock, seed):
    """transformers' Trainer until the clock is over."""
    import transformers

    class Watch(transformers.TrainerCallback):
        def on_train_begin(self, *_, **__):
            clock.begin()

        def on_step_end(self, arguments, state, control, **_):
            if clock.step(model):
                control.should_training_stop = True

    class ByTheClock(transformers.Trainer):
        """The rate falls in a straight line, with the time and not with the steps."""

        def create_scheduler(self, num_training_steps, optimizer=None):
            optimizer = optimizer or self.optimizer
            make = torch.optim.lr_scheduler.LambdaLR
            self.lr_scheduler = make(optimizer, clock.factor)
            return self.lr_scheduler

    with tempfile.TemporaryDirectory() as folder:
        settings = transformers.TrainingArguments(
            folder,
            max_steps=10**7,
            per_device_train_batch_size=batch,
            learning_rate=lr,
            optim="adamw_torch_fused",
            bf16=precision("best") is not None,
            use_cpu=True,
            seed=seed,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        made = ByTheClock(
            model,
            settings,
            train_dataset=data,
            data_collator=collator,
            callbacks=[Watch()],
        )
        made.train()


class Masked:
    """Masked LM: the loss where [MASK] is shown, rows of 128."""

    def __init__(self, sizes, data):
        self.sizes, texts = sizes, mlm_rows.corpus(data, sizes["vocab"], 128, 128)
        self.tokenizer, self.rows, held_out = texts
        self.data = data
        mask_id = self.tokenizer.token_to_id("[MASK]")
        tests = mlm_rows.test_batches(held_out, self.tokenizer, sizes["held_out"])
        self.tests = [mlm.split_targets(batch, mask_id)[0] for batch in tests]

    def padded(self):
        """A row for each text, cut at 128 tokens."""
        texts = [t for d in self.data for t in sources.load(d)["train"]["text"]]
        ids = tokenization.encode(self.tokenizer, texts, max_tokens=128)
        return tokenization.pad(ids)["input_ids"]

    def batches(self, rows, seed, clock, s):
        """Masked batches; the clock says how long the rows are."""
        ends = torch.tensor([share for _, share in s["stages"]]).cumsum(0)
        lengths, orders = [length for length, _ in s["stages"]], {}
        if not s["packed"]:
            lengths = [rows.shape[1]]
        while True:
            stage = int((ends[:-1] <= clock.fraction()).sum())
            length = lengths[stage]
            view, size = rows.view(-1, length), max(1, s["tokens"] // length)
            order = orders.setdefault(length, train.sample_rows(len(view), size, seed))
            epoch, i = next(order)
            index = torch.tensor(i)
            how = dict(seed=seed, epoch=epoch, mask_prob=s["mask_prob"])
            batch = mlm.masked_batch(view[index], index, self.tokenizer, **how)
            if not s["packed"]:
                batch["attention_mask"] = (view[index] != 0).long()
            yield batch

    def ours(self, seed, clock, **changes):
        s, z = {**MLM, **changes}, self.sizes
        torch.manual_seed(seed)
        shape = (self.tokenizer.get_vocab_size(), z["width"], z["layers"], z["heads"])
        more = dict(init_std=s["init_std"], pre_norm=s["pre_norm"])
        config = transformer.Config(*shape, 4 * z["width"], 128, **more)
        model = transformer.LanguageModel(config)
        groups = optim.parameter_groups(model, s["lr"])
        optimizer = Both(model, s["lr"]) if s["muon"] else optim.adamw(groups)
        loss_fn = everywhere if s["everywhere"] else mlm.mlm_loss
        # made before the clock begins
        rows = self.rows if s["packed"] else self.padded()
        batches = self.batches(rows, seed, clock, s)
        loop(model, batches, loss_fn, optimizer, clock, precision(s["dtype"]))

    def theirs(self, seed, clock, lr):
        import transformers

        z, V = self.sizes, self.tokenizer.get_vocab_size()
        names = ("pad", "unk", "cls", "sep", "mask")
        special = {f"{name}_token": f"[{name.upper()}]" for name in names}
        fast = transformers.PreTrainedTokenizerFast(
            tokenizer_object=self.tokenizer, **special
        )
        torch.manual_seed(seed)
        config = transformers.BertConfig(
            vocab_size=V,
            hidden_size=z["width"],
            num_hidden_layers=z["layers"],
            num_attention_heads=z["heads"],
            intermediate_size=4 * z["width"],
            max_position_embeddings=128,
        )
        model = transformers.BertForMaskedLM(config)
        collator = transformers.DataCollatorForLanguageModeling(fast)
        data = [{"input_ids": row} for row in self.rows]
        their_trainer(model, data, lr, 32, collator, clock, seed)

    def baseline(self):
        labels = torch.cat([b["labels"][b["labels"] != -100] for b in self.tests])
        vocab = self.tokenizer.get_vocab_size()
        return {"unigram": metrics.unigram_loss(self.rows, labels, vocab)}

    def measure(self, model):
        ours = isinstance(model, transformer.LanguageModel)
        return metrics.mean_loss(
            model, self.tests, mlm.mlm_loss if ours else everywhere
        )


def everywhere(model, batch):
    """Logits at all positions; the loss leaves out those that are no targets."""
    given = {k: batch[k] for k in ("input_ids", "attention_mask") if k in batch}
    logits = model(**given).logits.float().flatten(0, 1)
    labels = batch["labels"].flatten()
    return F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")


class Causal:
    """Causal LM: the loss of the next token in rows of 128."""

    def __init__(self, sizes, data):
        self.sizes = sizes
        made = pretrain_clm.corpus(data, sizes["vocab"], 128)
        self.tokenizer, self.rows, documents, _ = made
        held_out = tokenization.pack(documents, 128)
        held_out = held_out[pretraining.everywhere(held_out, sizes["held_out"])]
        self.tests = [clm.causal_batch(ids) for ids in held_out.split(32)]
        self.held_out = held_out

    def ours(self, seed, clock):
        z, V = self.sizes, self.tokenizer.get_vocab_size()
        torch.manual_seed(seed)
        shape = (V, z["width"], z["layers"], z["heads"], 4 * z["width"], 128)
        config = transformer.Config(*shape, causal=True, init_std=0.06)
        model = transformer.LanguageModel(config)
        order = train.sample_rows(len(self.rows), 32, seed)
        batches = (clm.causal_batch(self.rows[i]) for _, i in order)
        optimizer = optim.adamw(optim.parameter_groups(model, 2e-3))
        loop(model, batches, clm.clm_loss, optimizer, clock, precision("best"))

    def theirs(self, seed, clock, lr):
        import transformers

        z, V = self.sizes, self.tokenizer.get_vocab_size()
        torch.manual_seed(seed)
        shape = dict(n_embd=z["width"], n_layer=z["layers"], n_head=z["heads"])
        config = transformers.GPT2Config(vocab_size=V, n_positions=128, **shape)
        model = transformers.GPT2LMHeadModel(config)
        data = [{"input_ids": row, "labels": row} for row in self.rows]
        collator = transformers.default_data_collator
        their_trainer(model, data, lr, 32, collator, clock, seed)

    def baseline(self):
        vocab = self.tokenizer.get_vocab_size()
        nats = metrics.unigram_loss(self.rows, self.held_out[:, 1:], vocab)
        return {"unigram": nats}

    def measure(self, model):
        return metrics.mean_loss(model, self.tests, clm.clm_loss)


class Labels:
    """A classifier of film sentences, fine-tuned: the share of errors on validation."""

    def __init__(self, sizes, data):
        splits = sources.load("rotten_tomatoes")
        self.train = tables.subset(splits["train"], sizes["labels"], 0)
        self.val = tables.subset(splits["validation"], 2 * sizes["held_out"], 0)
        self.folder = hub.resolve("reviews-bert-mini")
        self.tokenizer = tokenization.load(self.folder)
        # each is measured on the rows that it is trained on: padded to the longest of
        # a batch, or to 128
        rows = finetune.rows_of(self.tokenizer, self.val["text"], 128, None)
        self.tests = list(classify.batches_of(rows, self.val["label"], classes=2))

    def ours(self, seed, clock):
        encoder, _ = finetune.encoder_of("reviews-bert-mini")
        torch.manual_seed(seed)
        model = classify.Classifier(encoder, 2)
        rows = finetune.rows_of(self.tokenizer, self.train["text"], 128, None)

        def batches():
            for epoch in range(10**7):
                order = classify.length_grouped([*map(len, rows)], 16, seed, epoch)
                labels = self.train["label"]
                yield from classify.batches_of(rows, labels, order=order, classes=2)

        optimizer = optim.adamw(optim.parameter_groups(model, 3e-4))
        loss_fn = classify.classification_loss
        loop(model, batches(), loss_fn, optimizer, clock, precision("best"))

    def theirs(self, seed, clock, lr):
        import transformers

        torch.manual_seed(seed)
        make = transformers.AutoModelForSequenceClassification.from_pretrained
        model = make(self.folder, num_labels=2, use_safetensors=True)
        fast = transformers.AutoTokenizer.from_pretrained(self.folder)
        how = dict(truncation=True, max_length=128, padding="max_length")
        made = fast(self.train["text"], **how)
        names = ("input_ids", "attention_mask")
        data = [
            {name: made[name][i] for name in names} | {"labels": label}
            for i, label in enumerate(self.train["label"])
        ]
        collator = transformers.default_data_collator
        their_trainer(model, data, lr, 16, collator, clock, seed)

    def baseline(self):
        labels = self.train["label"]
        wrong = [y != max(set(labels), key=labels.count) for y in self.val["label"]]
        return {"commonest class": sum(wrong) / len(wrong)}

    def measure(self, model):
        correct, training = [], model.training
        model.eval()
        with torch.no_grad():
            for batch in self.tests:
                output = model(batch["input_ids"], batch["attention_mask"])
                correct.append(output.logits.argmax(-1) == batch["labels"])
        model.train(training)
        return 1 - torch.cat(correct).float().mean().item()


TASKS = {"mlm": Masked, "clm": Causal, "classify": Labels}
RATES = {
    "mlm": [3e-4, 1e-3, 3e-3],
    "clm": [3e-4, 1e-3, 3e-3],
    "classify": [5e-5, 1e-4, 3e-4],
}


def race(task, contenders, seed, budget, seconds):
    """Let them take turns -> [{"contender", "seed", "steps", "curve"}]. contenders:
    {name: function of (seed, clock)}; that of FIFTH has a fifth of the budget. Every
    other seed begins with the last one.
    """
    names = list(contenders)[:: -1 if seed % 2 else 1]
    turns = Turns(names, seconds)
    clocks = {
        name: Clock(name, budget / 5 if name == FIFTH else budget, turns, task.measure)
        for name in names
    }

    def run(name):
        try:
            contenders[name](seed, clocks[name])
        finally:
            turns.leave(name)

    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        for future in [pool.submit(run, name) for name in names]:
            future.result()
    rows = []
    for name in contenders:
        made = clocks[name]
        rows.append(
            {"contender": name, "seed": seed, "steps": made.steps, "curve": made.curve}
        )
        print(
            f"seed {seed} {name}: {made.steps} steps, {made.curve[-1][1]}", flush=True
        )
    return rows


def tuned(task, rates, budget, seconds):
    """{rate: score at the end} of runs that together take as long as one."""
    found = {}
    for lr in rates:
        run = {f"rate {lr:g}": lambda seed, clock: task.theirs(seed, clock, lr)}
        rows = race(task, run, 100, budget / len(rates), seconds)
        found[f"{lr:g}"] = rows[0]["curve"][-1][1]
    return found


SAME = ("task", "budget", "sizes", "precision", "threads")


def joined(before, after):
    """One record of two with different seeds. Raises SystemExit where they were not
    made alike.
    """
    for name in SAME:
        if before[name] != after[name]:
            raise SystemExit(
                f"{name} is {after[name]}, in the record {before[name]}; make them "
                "equal, or leave --add out and begin a new record"
            )
    seeds = {row["seed"] for row in after["rows"]}
    if both := seeds & {row["seed"] for row in before["rows"]}:
        raise SystemExit(f"the record has seed {min(both)} already; choose others")
    told = {}
    for name in ("command", "commit", "machine", "versions"):
        # outside a repository there is no commit
        known = filter(None, (before[name], after[name]))
        told[name] = "; ".join(dict.fromkeys(known)) or None
    return {**before, **told, "rows": before["rows"] + after["rows"]}


def measure(
    name,
    sizes,
    data,
    *,
    budget,
    seeds,
    seconds,
    rates,
    ideas=False,
    found=(),
    save=None,
):
    """What the record holds: the tuned rates, and a row for each contender and seed.
    found: rates that were tuned before, {rate: score}; save: gets what there is after
        each seed.
    """
    task = TASKS[name](sizes, data)
    if ideas:
        contenders = {
            idea: lambda seed, clock, changes=changes: task.ours(seed, clock, **changes)
            for idea, changes in IDEAS.items()
        }
        found = {}
    else:
        found = found or tuned(task, rates, budget, seconds)
        best = float(min(found, key=found.get))
        contenders = {
            "ftlib": task.ours,
            "Trainer": lambda seed, clock: task.theirs(seed, clock, best),
            FIFTH: task.ours,
        }
    record = {
        "task": name,
        "budget": budget,
        "rates": found,
        "baseline": task.baseline(),
        "rows": [],
    }
    for seed in seeds:
        record["rows"] += race(task, contenders, seed, budget, seconds)
        if save:
            save(record)
    return record


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--task", choices=TASKS, default="mlm")
    a.add_argument("--minutes", type=float, default=30.0, help="of each run")
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    a.add_argument("--slice", type=float, default=30.0, help="seconds of a turn")
    a.add_argument("--rates", type=float, nargs="+", help="that the Trainer tries")
    a.add_argument("--data", nargs="+", default=["imdb", "rotten_tomatoes"])
    a.add_argument("--ideas", action="store_true")
    a.add_argument("--quick", action="store_true")
    a.add_argument("--add", action="store_true", help="seeds to the record")
    a.add_argument("--out", type=pathlib.Path, help="in place of results/...json")
    a = a.parse_args()
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if a.quick:
        how = dict(budget=0.6, seeds=[0], seconds=0.2, rates=[1e-3])
        for name in TASKS:
            print(name, measure(name, TINY, ["rotten_tomatoes"], **how))
        print("ideas", measure("mlm", TINY, ["rotten_tomatoes"], **how, ideas=True))
        return
    before = {
        "what": "time to quality",
        "command": " ".join(["python", *sys.argv]),
        "commit": reproducibility.commit(__file__),
        "machine": reproducibility.machine(),
        "versions": reproducibility.versions(),
        "threads": torch.get_num_threads(),
        "sizes": SIZES,
        "precision": str(precision("best") or torch.float32),
    }
    how = dict(budget=60 * a.minutes, seeds=a.seeds, seconds=a.slice, ideas=a.ideas)
    how["rates"] = a.rates or RATES[a.task]
    out = a.out or HERE / "results" / (
        f"time_to_loss_{'ideas' if a.ideas else a.task}.json"
    )
    task = "mlm" if a.ideas else a.task
    kept = json.loads(out.read_text(encoding="utf-8")) if a.add else None
    if kept:  # what does not fit is refused before an hour is spent on it
        asked = [{"seed": seed} for seed in a.seeds]
        joined(kept, before | {"task": task, "budget": how["budget"], "rows": asked})
        how["found"] = kept["rates"]

    def save(made):  # a seed takes an hour: what stops the next one loses none
        record = joined(kept, before | made) if kept else before | made
        out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    measure(task, SIZES, a.data, **how, save=save)


if __name__ == "__main__":
    main()
