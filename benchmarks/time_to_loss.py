"""Time to quality: how long ftlib's recipes take to reach the loss that transformers'
Trainer has at the end of its time, each with the model and recipe of its own.

    python benchmarks/time_to_loss.py --minutes 30 --seeds 0 1 2
    python benchmarks/time_to_loss.py --minutes 30 --seeds 3 --add    one more seed
    python benchmarks/time_to_loss.py --tune-more 1e-4    one more rate for the Trainer
    python benchmarks/time_to_loss.py --task clm --minutes 30
    python benchmarks/time_to_loss.py --task classify --minutes 2
    python benchmarks/time_to_loss.py --ideas --minutes 6 --seeds 0 1
    python benchmarks/time_to_loss.py --quick    all tasks, tiny; writes nothing
    python benchmarks/render.py                  makes the table and the curve

Tasks: mlm, the held-out loss at [MASK] positions of film reviews; clm, the held-out
loss of the next token; classify, the share of errors on validation sentences after
1,000 labels, which the seed draws, both from reviews-bert-mini. The contenders have
equal sizes, tokenizers, texts and precision. They are made one after the other, then
take turns of --slice seconds in one process, so that a slow minute of the machine meets
both. Each has a clock of its own; measuring stops it. The learning rate falls with that
clock, from the recipe's value to 0. A third contender is ftlib's recipe once more,
whose clock ends after a fifth of the time: its rate falls to 0 within that fifth. One
that fails keeps its curve, with the error as "stopped", and the others go on.

Trainer: BertForMaskedLM, GPT2LMHeadModel, or the classifier that transformers opens,
with what run_mlm.py, run_clm.py and run_glue.py do: rows of 128 tokens, 15 % masked,
dropout 0.1 in new models, texts padded to 128. Its learning rate is the best of --rates
after runs that together take as long as one run, and of up to two rates beyond them for
as long as the lowest or the highest is the best.

--add: keep the seeds of the record that is there, and the rate that was tuned for it;
refused where sizes, time, precision or threads are others.
--tune-more: add rates to the tuning of the record, without racing again. Where the best
one changes, the race has to be run again.
--ideas: the recipe for mlm with one of its ideas taken away, or one added, at a time.
Writes benchmarks/results/time_to_loss_TASK.json (--ideas: time_to_loss_ideas.json).
"""

import argparse
import concurrent.futures
import json
import math
import pathlib
import sys
import tempfile
import threading
import time
import traceback

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "recipes"))
import finetune  # noqa: E402
import mlm_rows  # noqa: E402
import pretrain_clm  # noqa: E402
import pretraining  # noqa: E402
from render import FIFTH, best_rate, edge  # noqa: E402

from ftlib.course import hub, reproducibility, sources  # noqa: E402
from ftlib.data import tables, tokenization  # noqa: E402
from ftlib.evaluation import metrics  # noqa: E402
from ftlib.models import transformer  # noqa: E402
from ftlib.objectives import classify, clm, mlm  # noqa: E402
from ftlib.training import distributed, optim, train  # noqa: E402

CPU = torch.device("cpu")
SIZES = dict(vocab=8000, width=256, layers=4, heads=4, held_out=256, labels=1000)
TINY = dict(vocab=400, width=16, layers=1, heads=2, held_out=16, labels=40)
# recipes/pretrain_mlm.py; of the stages the fraction of the time, `tokens` of one step.
# The published reviews-bert-mini had twice this learning rate and 300, 6,700 and 1,000
# steps of such rows, then a second run: 1,200 steps of 128 tokens at 1e-3
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
# more time for short rows: 6 % of a few minutes would leave every idea on the plateau
IDEA_STAGES = ((16, 0.30), (64, 0.58), (128, 0.12))
LONG_ROWS = dict(stages=((128, 1.0),))
IDEAS = {
    "ftlib": {},
    "without short rows": LONG_ROWS,
    "logits at all positions": dict(everywhere=True),
    "post-norm, learning rate not retuned": dict(pre_norm=False),
    "initial std of 0.02, learning rate not retuned": dict(init_std=0.02),
    "learning rate of 5e-5": dict(lr=5e-5),
    "padded and cut at 128, not packed": dict(packed=False, **LONG_ROWS),
    "the other precision": dict(dtype="other"),
    "with Muon": dict(muon=True),
}
# what an idea is compared with, where that is not the full recipe
AGAINST = {"padded and cut at 128, not packed": "without short rows"}
WARMUP = 0.02  # of the time
POINTS = [(i + 1) / 24 for i in range(24)]  # of the time, where it is measured
MINUTES = {"mlm": 30.0, "clm": 30.0, "classify": 2.0, "ideas": 6.0}


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

    def __init__(self, name, budget, turns, task, now=time.perf_counter):
        self.name, self.budget, self.turns = name, budget, turns
        self.measure, self.now = task.measure, now
        self.spent, self.steps, self.curve, self.since = 0.0, 0, [], None
        self.due = [budget * fraction for fraction in task.points]

    def begin(self):
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
            score = self.measure(model)
            if not math.isfinite(score):
                raise FloatingPointError(f"the score is {score} at step {self.steps}")
            self.curve.append([round(self.spent, 3), round(score, 4)])
            print(f"{self.name} {self.spent:.1f} s {self.curve[-1][1]}", flush=True)
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
        # AdamW's, in place of Muon's default of 0.1
        decay = max(group["weight_decay"] for group in groups)
        # `match_rms_adamw`: a rate of AdamW fits (Liu et al. 2025)
        how = dict(weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        muon = torch.optim.Muon(blocks, lr=lr, **how)
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
    """ftlib's loop as a function that runs until the clock is over."""

    def run():
        clock.begin()
        for _ in train.steps(
            model, batches, loss_fn, optimizer, dtype=dtype, schedule=clock.factor
        ):
            if clock.step(model):
                return

    return run


def their_trainer(model, data, lr, batch, collator, clock, seed):
    """transformers' Trainer as a function that runs until the clock is over."""
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

    folder = tempfile.TemporaryDirectory()
    settings = transformers.TrainingArguments(
        folder.name,
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

    def run():
        with folder:
            made.train()

    return run


class Masked:
    """Masked LM: the loss where [MASK] is shown, rows of 128."""

    points = POINTS

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
        shape = (self.tokenizer.get_vocab_size(), z["width"], z["layers"], z["heads"])
        more = dict(init_std=s["init_std"], pre_norm=s["pre_norm"])
        config = transformer.Config(*shape, 4 * z["width"], 128, **more)
        model = transformer.LanguageModel(config)
        groups = optim.parameter_groups(model, s["lr"])
        optimizer = Both(model, s["lr"]) if s["muon"] else optim.adamw(groups)
        loss_fn = everywhere if s["everywhere"] else mlm.mlm_loss
        rows = self.rows if s["packed"] else self.padded()
        batches = self.batches(rows, seed, clock, s)
        return loop(model, batches, loss_fn, optimizer, clock, precision(s["dtype"]))

    def theirs(self, seed, clock, lr):
        import transformers

        z, V = self.sizes, self.tokenizer.get_vocab_size()
        names = ("pad", "unk", "cls", "sep", "mask")
        special = {f"{name}_token": f"[{name.upper()}]" for name in names}
        fast = transformers.PreTrainedTokenizerFast(
            tokenizer_object=self.tokenizer, **special
        )
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
        return their_trainer(model, data, lr, 32, collator, clock, seed)

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

    points = POINTS

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
        shape = (V, z["width"], z["layers"], z["heads"], 4 * z["width"], 128)
        config = transformer.Config(*shape, causal=True, init_std=0.06)
        model = transformer.LanguageModel(config)
        order = train.sample_rows(len(self.rows), 32, seed)
        batches = (clm.causal_batch(self.rows[i]) for _, i in order)
        optimizer = optim.adamw(optim.parameter_groups(model, 2e-3))
        dtype = precision("best")
        return loop(model, batches, clm.clm_loss, optimizer, clock, dtype)

    def theirs(self, seed, clock, lr):
        import transformers

        z, V = self.sizes, self.tokenizer.get_vocab_size()
        shape = dict(n_embd=z["width"], n_layer=z["layers"], n_head=z["heads"])
        config = transformers.GPT2Config(vocab_size=V, n_positions=128, **shape)
        model = transformers.GPT2LMHeadModel(config)
        data = [{"input_ids": row, "labels": row} for row in self.rows]
        collator = transformers.default_data_collator
        return their_trainer(model, data, lr, 32, collator, clock, seed)

    def baseline(self):
        vocab = self.tokenizer.get_vocab_size()
        nats = metrics.unigram_loss(self.rows, self.held_out[:, 1:], vocab)
        return {"unigram": nats}

    def measure(self, model):
        return metrics.mean_loss(model, self.tests, clm.clm_loss)


class Labels:
    """A classifier of film sentences, fine-tuned: the share of errors on validation."""

    # each a sixth later than the one before: most is learnt in the first seconds
    points = [0.85**i for i in range(35, -1, -1)]

    def __init__(self, sizes, data):
        splits = sources.load("rotten_tomatoes")
        self.sizes, self.train = sizes, splits["train"]
        sentences = len(splits["validation"]["text"])
        # all of them, except with --quick
        count = min(sentences, 4 * sizes["held_out"])
        self.val = tables.subset(splits["validation"], count, 0)
        self.folder = hub.resolve("reviews-bert-mini")
        self.tokenizer = tokenization.load(self.folder)
        # both models are measured on the same batches, each padded to its longest row;
        # padding is masked, so that rows of 128 would give the same scores
        rows = finetune.rows_of(self.tokenizer, self.val["text"], 128, None)
        self.tests = list(classify.batches_of(rows, self.val["label"], classes=2))

    def labelled(self, seed):
        return tables.subset(self.train, self.sizes["labels"], seed)

    def ours(self, seed, clock):
        train_subset = self.labelled(seed)
        encoder, _ = finetune.encoder_of("reviews-bert-mini")
        model = classify.Classifier(encoder, 2)
        rows = finetune.rows_of(self.tokenizer, train_subset["text"], 128, None)

        def batches():
            for epoch in range(10**7):
                order = classify.length_grouped([*map(len, rows)], 16, seed, epoch)
                labels = train_subset["label"]
                yield from classify.batches_of(rows, labels, order=order, classes=2)

        optimizer = optim.adamw(optim.parameter_groups(model, 3e-4))
        loss_fn = classify.classification_loss
        return loop(model, batches(), loss_fn, optimizer, clock, precision("best"))

    def theirs(self, seed, clock, lr):
        import transformers

        train_subset = self.labelled(seed)
        make = transformers.AutoModelForSequenceClassification.from_pretrained
        model = make(self.folder, num_labels=2, use_safetensors=True)
        fast = transformers.AutoTokenizer.from_pretrained(self.folder)
        how = dict(truncation=True, max_length=128, padding="max_length")
        made = fast(train_subset["text"], **how)
        names = ("input_ids", "attention_mask")
        data = [
            {name: made[name][i] for name in names} | {"labels": label}
            for i, label in enumerate(train_subset["label"])
        ]
        collator = transformers.default_data_collator
        return their_trainer(model, data, lr, 16, collator, clock, seed)

    def baseline(self):
        labels = list(self.train["label"])
        commonest = max(set(labels), key=labels.count)
        wrong = [y != commonest for y in self.val["label"]]
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
    """Let them take turns -> [{"contender", "seed", "steps", "curve"}], and "stopped",
    the error, where one failed. contenders: {name: function of (seed, clock) that makes
    a model and gives back the function that trains it}; that of FIFTH has a fifth of
    the budget. Every other seed begins with the last one.
    """
    names = list(contenders)[:: -1 if seed % 2 else 1]
    turns = Turns(names, seconds)
    clocks, runs, stopped = {}, {}, {}
    for name in names:
        clocks[name] = Clock(name, budget / 5 if name == FIFTH else budget, turns, task)
        # no thread runs yet: they share torch's generator
        torch.manual_seed(seed)
        runs[name] = contenders[name](seed, clocks[name])

    def run(name):
        try:
            turns.wait(name)
            runs[name]()
        except Exception as error:  # the others' hour counts
            traceback.print_exc()
            stopped[name] = f"{type(error).__name__}: {error}"
        finally:
            turns.leave(name)

    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        for future in [pool.submit(run, name) for name in names]:
            future.result()
    rows = []
    for name in contenders:
        steps, curve = clocks[name].steps, clocks[name].curve
        row = {"contender": name, "seed": seed, "steps": steps, "curve": curve}
        end = curve[-1][1] if curve else "no score"
        if name in stopped:
            row["stopped"], end = stopped[name], f"{end}, stopped: {stopped[name]}"
        rows.append(row)
        print(f"seed {seed} {name}: {steps} steps, {end}", flush=True)
    return rows


def try_rate(task, lr, budget, seconds):
    """The Trainer's score at the end of a run, None where it fails."""
    run = {f"rate {lr:g}": lambda seed, clock: task.theirs(seed, clock, lr)}
    (row,) = race(task, run, 100, budget, seconds)
    return None if "stopped" in row else row["curve"][-1][1]


def tuned(task, rates, budget, seconds):
    """{rate: score at the end} of runs that together take as long as one; while the
    best rate is the lowest or the highest, up to two beyond it get as long.
    """
    tried, queue = {}, list(rates)
    while queue:
        lr = queue.pop(0)
        tried[f"{lr:g}"] = try_rate(task, lr, budget / len(rates), seconds)
        if not queue and len(tried) < len(rates) + 2 and edge(tried):
            factor = 1 / 3 if edge(tried) == "lowest" else 3.3
            queue.append(float(f"{float(best_rate(tried)) * factor:.0e}"))
    return tried


def tune_more(record, task, rates, seconds, save):
    """Add rates to the record's tuning, after runs as long as those in it. save: gets
    the record after each.
    """
    before = {"rate": best_rate(record["rates"])}
    # what a record from before this option leaves out: nothing was added to it
    before["tuning_seconds"] = record["budget"] / len(record["rates"])
    record = {**before, **record, "rates": dict(record["rates"])}
    for lr in rates:
        score = try_rate(task, lr, record["tuning_seconds"], seconds)
        record["rates"][f"{lr:g}"] = score
        save(record)
    best, rate = best_rate(record["rates"]), record["rate"]
    if best == rate:
        print(f"{rate} is still the best rate; the record holds")
    else:
        print(
            f"THE BEST RATE IS NOW {best}. The record was raced with {rate} and no "
            "longer holds: run it again, without --add"
        )


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
    record = {"task": name, "budget": budget, "rates": {}}
    if ideas:
        record["stages"] = IDEA_STAGES
        contenders = {
            idea: lambda seed, clock, changes=changes: task.ours(
                seed, clock, **{"stages": IDEA_STAGES, **changes}
            )
            for idea, changes in IDEAS.items()
        }
    else:
        record["rates"] = found or tuned(task, rates, budget, seconds)
        record["tuning_seconds"] = budget / len(rates)
        record["rate"] = best_rate(record["rates"])
        best = float(record["rate"])
        contenders = {
            "ftlib": task.ours,
            "Trainer": lambda seed, clock: task.theirs(seed, clock, best),
            FIFTH: task.ours,
        }
    record |= {"baseline": task.baseline(), "rows": []}
    for seed in seeds:
        rows = race(task, contenders, seed, budget, seconds)
        for row in rows if ideas else ():
            row["against"] = AGAINST.get(row["contender"], "ftlib")
        record["rows"] += rows
        if save:
            save(record)
    return record


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--task", choices=TASKS, default="mlm")
    a.add_argument("--minutes", type=float, help=f"of each run; default {MINUTES}")
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    a.add_argument("--slice", type=float, default=30.0, help="seconds of a turn")
    a.add_argument("--rates", type=float, nargs="+", help="that the Trainer tries")
    a.add_argument("--data", nargs="+", default=["imdb", "rotten_tomatoes"])
    either = a.add_mutually_exclusive_group()  # the ideas have no rate to tune
    either.add_argument("--ideas", action="store_true")
    either.add_argument(
        "--tune-more", type=float, nargs="+", metavar="RATE", help="into the record"
    )
    a.add_argument("--quick", action="store_true")
    a.add_argument("--add", action="store_true", help="seeds to the record")
    a.add_argument("--out", type=pathlib.Path, help="in place of results/...json")
    a = a.parse_args()
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if a.quick:
        how = dict(budget=0.6, seeds=[0], seconds=0.2, rates=[1e-3])
        runs = [(name, False) for name in TASKS] + [("mlm", True)]
        for name, ideas in runs:
            made = measure(name, TINY, ["rotten_tomatoes"], **how, ideas=ideas)
            print("ideas" if ideas else name, made)
            if any("stopped" in row for row in made["rows"]):
                raise SystemExit("a contender stopped early, see above")
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
    task = "mlm" if a.ideas else a.task
    name = "ideas" if a.ideas else task
    out = a.out or HERE / "results" / f"time_to_loss_{name}.json"
    how = dict(budget=60 * (a.minutes or MINUTES[name]), seconds=a.slice, ideas=a.ideas)
    how |= dict(seeds=a.seeds, rates=a.rates or RATES[task])

    def write(record):
        out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    kept = None
    if a.add or a.tune_more:
        kept = json.loads(out.read_text(encoding="utf-8"))
    if a.tune_more:
        now = before | {"task": task, "budget": kept["budget"], "rows": []}
        known = [f"{lr:g}" for lr in a.tune_more if f"{lr:g}" in kept["rates"]]
        if known:
            raise SystemExit(f"the record has the rate {known[0]} already")
        record = joined(kept, now)  # refuses what is not alike
        tune_more(record, TASKS[task](SIZES, a.data), a.tune_more, a.slice, write)
        return
    if kept:  # what does not fit is refused before an hour is spent on it
        asked = [{"seed": seed} for seed in a.seeds]
        joined(kept, before | {"task": task, "budget": how["budget"], "rows": asked})
        how["found"] = kept["rates"]
        rate = kept.get("rate")
        if rate and rate != best_rate(kept["rates"]):
            raise SystemExit(
                f"the record was raced with the rate {rate}, the best is "
                f"{best_rate(kept['rates'])} since; leave --add out and race again"
            )

    def save(made):  # a seed takes an hour: what stops the next one loses none
        write(joined(kept, before | made) if kept else before | made)

    measure(task, SIZES, a.data, **how, save=save)


if __name__ == "__main__":
    main()
