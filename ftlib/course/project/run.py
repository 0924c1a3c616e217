"""The steps of a project, one after another, each kept when it is done:

    python -m ftlib project reviews.csv --text review --label stars
    python -m ftlib project --example breast-cancer

1 read and check, 2 deal into three parts, 3 counted words, 4 frozen encoder, 5 the
encoder fine-tuned, 6 choose on the validation part, 7 test once, 8 write the model,
what new rows are compared with (watch.py), its card, a data sheet and report.html.
Start it again after an interruption: it goes on behind the last step that was
finished. A changed file or option starts anew.
"""

import argparse
import copy
import datetime
import hashlib
import json
import shlex
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ftlib.course import reproducibility
from ftlib.course.project import (
    answers,
    candidates,
    examples,
    judging,
    numbers,
    page,
    reading,
    served,
    watch,
)
from ftlib.deploy import versions
from ftlib.training import distributed, train

# what changes the result, and with it whether kept steps may be used
MEANING = ("text", "label", "group", "minutes", "encoder", "seed")
WORDS, LINE, TREES = served.WORDS, "logistic regression", "boosted trees"
TIME = 0.75  # of the minutes that are left, what is planned
LONGEST_SHOWN = 2000  # characters of a text in the record


def options_of(parser):
    parser.add_argument("file", nargs="?", help="a .csv, .tsv or .jsonl table in UTF-8")
    parser.add_argument("--example", choices=examples.EXAMPLES, help="instead of one")
    parser.add_argument("--rows", type=int, help="of an example, at most")
    parser.add_argument(
        "--text", help="the column of texts; without it every column is an input"
    )
    parser.add_argument("--label", default="label", help="the column of classes")
    parser.add_argument(
        "--group", help="a column: rows that share its value stay in one part"
    )
    parser.add_argument("--minutes", type=float, default=20, help="for all")
    parser.add_argument("--encoder", help="a name or a folder; else by the language")
    parser.add_argument("--name", help="the title; else the file's name")
    parser.add_argument("--out", help="a folder; else projects/<name>")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--no-texts",
        action="store_true",
        help="show no text of yours in the report (a model of counted words still "
        "holds their words)",
    )


def report(step, text):
    print(f"{step}/8  {text}", flush=True)


class Kept:
    """Results of finished steps: JSON files in `folder`, dropped if `meaning` is
    another than the one they were made with.
    """

    def __init__(self, folder, meaning):
        self.folder = Path(folder)
        told = self.folder / "meaning.json"
        text = json.dumps(meaning, sort_keys=True)
        if self.folder.exists() and not (
            told.exists() and told.read_text(encoding="utf-8") == text
        ):
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        told.write_text(text, encoding="utf-8")

    def __call__(self, name, make):
        path = self.folder / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        value = make()
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        draft.replace(path)
        return value


def bar(total, unit):
    """A progress bar over a range of first rows, or over steps."""
    if total < 3:
        return iter
    quiet = not (sys.stderr.isatty() or "ipykernel" in sys.modules)
    return lambda items: tqdm(
        items, total=total, unit=unit, leave=False, mininterval=10 if quiet else 0.5
    )


class Project:
    """One run; `record` is what report.html shows."""

    def __init__(self, options):
        self.started = time.time()
        examples.fill(options)
        self.o = options
        self.o.name = options.name or Path(options.file).stem
        self.o.out = str(options.out or Path("projects") / self.o.name)
        self.out = Path(self.o.out)
        used = self.out.exists() and any(self.out.iterdir())
        if used and not (self.out / "work" / "meaning.json").is_file():
            raise ValueError(
                f"{self.out} holds something else, which would be overwritten; give an "
                "empty folder as --out"
            )
        self.data = reading.data_of(
            options.file, options.text, options.label, options.group, options.seed
        )
        meaning = {name: getattr(options, name) for name in MEANING}
        self.kept = Kept(
            self.out / "work", meaning | {"file": self.data.facts["sha256"]}
        )
        self.ctx = distributed.setup(options.seed)
        self.parts, self.names = self.data.parts, self.data.names
        self.labels = {p: torch.tensor(c["label"]) for p, c in self.parts.items()}
        self.models, self.facts = {}, {}
        self.baseline = LINE if options.text is None else WORDS

    def run(self):
        facts = self.data.facts
        report(
            1, f"{facts['used']:,} of {facts['rows']:,} rows, {len(self.names)} classes"
        )
        sizes = {part: len(c["label"]) for part, c in self.parts.items()}
        report(2, ", ".join(f"{part} {n:,}" for part, n in sizes.items()))
        answers = self.compare()
        choice = judging.choose(
            answers["validation"], self.labels["validation"], self.baseline, [TREES]
        )
        report(6, f"taken: {choice['chosen']}")
        record = self.judged(choice, answers)
        test = record["test"]
        report(7, f"test accuracy {page.span(test['accuracy'], *test['interval'])}")
        self.write(record)
        report(8, f"{self.out / 'report.html'}")
        return record

    # --- candidates

    def compare(self):
        """{"validation", "test"} -> {model: log-probabilities}. The test answers are
        made here, and nobody looks at them before the choice.
        """
        answers = {"validation": {}, "test": {}}
        for step, (name, make) in enumerate(self.ways(), 3):
            made = self.kept(name.replace(" ", "_"), lambda: self.answered(make))
            if not made:
                report(
                    step,
                    f"{name}: left out, --minutes {self.o.minutes:g} is too little",
                )
                continue
            self.facts[name] = made["facts"]
            for part in answers:
                answers[part][name] = torch.tensor(made[part], dtype=torch.float64)
            score = judging.metrics.accuracy(
                answers["validation"][name], self.labels["validation"]
            )
            report(step, f"{name}: validation accuracy {page.percent(score)}")
        return answers

    def ways(self):
        if self.o.text is None:
            yield LINE, self.line
            yield "small network", self.small_network
            yield TREES, self.trees
            return
        yield WORDS, self.words
        yield "frozen encoder", self.frozen
        yield "fine-tuned encoder", self.tuned

    def answered(self, make):
        start = time.time()
        model, texts = make()
        if model is None:
            return None
        made = {p: model.predict(self.inputs(p)) for p in ("validation", "test")}
        facts = {"texts": texts, "seconds": time.time() - start}
        self.models[make.__name__] = model
        return {p: z.tolist() for p, z in made.items()} | {"facts": facts}

    def inputs(self, part):
        """What the models of this project read: texts, or columns."""
        columns = self.parts[part]
        if self.o.text is not None:
            return columns["text"]
        own = ("text", "label", self.o.group)
        return {name: cells for name, cells in columns.items() if name not in own}

    def line(self):
        return self.fitted(numbers.Line())

    def small_network(self):
        return self.fitted(numbers.Small(self.o.seed))

    def trees(self):
        return self.fitted(numbers.Trees(self.o.seed))

    def fitted(self, model):
        labels = self.parts["train"]["label"]
        return model.fit(self.inputs("train"), labels), len(labels)

    def words(self):
        part = self.parts["train"]
        model = candidates.Words(self.data.facts["language"])
        return model.fit(part["text"], part["label"]), len(part["text"])

    def encoder(self):
        name = self.o.encoder or candidates.ENCODERS[self.data.facts["language"]]
        return candidates.encoder_of(name)

    def plan(self):
        """What fits into the minutes that counting words has left."""
        others = len(self.labels["validation"]) + len(self.labels["test"])

        def measured():
            left = TIME * (self.o.minutes - (time.time() - self.started) / 60)
            encoder, texts = self.encoder(), self.parts["train"]["text"]
            return candidates.plan(
                *encoder, texts, others, max(0, left), self.ctx.dtype
            )

        return candidates.Plan(*self.kept("plan", measured))

    def first(self, n):
        """The first n training texts and labels, in an order by hash."""
        part, seed = self.parts["train"], self.o.seed
        order = sorted(
            range(len(part["text"])),
            key=lambda row: hashlib.sha256(f"{seed} {row}".encode()).digest(),
        )
        # two rows of each class in front: none may be missing
        seen, later = Counter(), {}
        for row in order:
            seen[part["label"][row]] += 1
            later[row] = seen[part["label"][row]] > 2
        order = sorted(order, key=later.get)[:n]
        return [[part[k][row] for row in order] for k in ("text", "label")]

    def frozen(self):
        plan = self.plan()
        if not plan.frozen:
            return None, 0
        (encoder, tokenizer), (texts, labels) = self.encoder(), self.first(plan.frozen)
        inside = candidates.vectors(
            encoder, tokenizer, texts, plan.tokens, self.out / "work" / "vectors",
            bar(-(-len(texts) // candidates.CHUNK), "k texts"), self.ctx.dtype,
        )  # fmt: skip
        net = candidates.head_on(encoder, inside, labels, len(self.names))
        return self.network(net, tokenizer, plan), len(texts)

    def tuned(self):
        plan = self.plan()
        if not plan.tuned:
            return None, 0
        (encoder, tokenizer), (texts, labels) = self.encoder(), self.first(plan.tuned)
        net, steps, total = candidates.tuned(
            encoder, tokenizer, texts, labels, len(self.names), plan.tokens,
            self.o.seed, self.ctx.dtype,
        )  # fmt: skip
        for _ in train.progress(steps, total):
            pass
        return self.network(net, tokenizer, plan), len(texts)

    def network(self, net, tokenizer, plan):
        return candidates.Network(net, tokenizer, plan.tokens, self.ctx.dtype)

    # --- what is said and written

    def judged(self, choice, answers):
        name, test = choice["chosen"], self.parts["test"]
        logits, labels = answers["test"][name], self.labels["test"]
        usual = int(self.labels["train"].bincount().argmax())
        temperature = judging.temperature_of(
            answers["validation"][name], self.labels["validation"]
        )
        rival = None if name == self.baseline else answers["test"][self.baseline]
        shown = judging.mistakes(logits / temperature, test, self.names)
        shown = [] if self.o.no_texts else shown
        return {
            "options": vars(self.o),
            "names": self.names,
            "data": self.data.facts,
            "words": self.telling_words(),
            "candidates": self.facts,
            "choice": choice,
            "readings": self.note_reading(name),
            "test": judging.judge(
                logits, labels, self.names, usual, rival, temperature
            ),
            "slices": judging.slice_table(
                judging.correct(logits, labels),
                judging.slices_of(test, self.o.text is not None),
            ),
            "mistakes": [m | {"text": m["text"][:LONGEST_SHOWN]} for m in shown],
            "date": datetime.date.today().isoformat(),
            "command": "python -m ftlib project "
            + " ".join(filter(None, _arguments(self.o))),
            "machine": reproducibility.machine(),
            "versions": reproducibility.versions(),
        }

    def note_reading(self, name):
        """How many settings and models have seen the test part, this one counted. The
        list outlives a change of file or options.
        """
        path, now = self.out / "readings.json", datetime.date.today().isoformat()
        told = self.out / "work" / "meaning.json"
        settings = hashlib.sha256(told.read_bytes()).hexdigest()[:16]
        rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        if (settings, name) not in [(row["settings"], row["model"]) for row in rows]:
            rows.append({"settings": settings, "model": name, "date": now})
            path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        return len(rows)

    def telling_words(self):
        if self.o.no_texts or self.o.text is None:
            return {}
        part, language = self.parts["train"], self.data.facts["language"]
        return judging.words_that_differ(
            part["text"], part["label"], self.names, candidates.single_terms(language)
        )

    def write(self, record):
        """The model's folder, the record, the questions, and the three pages."""
        self.export(record)
        own = self.out / answers.FILE
        if not own.exists():
            own.write_text(answers.blank(self.o.name), encoding="utf-8")
        text = json.dumps(record, ensure_ascii=False, indent=1) + "\n"
        (self.out / "record.json").write_text(text, encoding="utf-8", newline="\n")
        page.write(record, self.out)

    def export(self, record):
        folder, chosen = self.out / "model", record["choice"]["chosen"]
        make = dict(self.ways())[chosen]
        # after an interruption the weights are not there: the step runs once more
        model = self.models.get(make.__name__) or make()[0]
        shutil.rmtree(folder, ignore_errors=True)  # the model of an earlier choice
        folder.mkdir(parents=True)
        temperature, facts = record["test"]["temperature"], {"kind": chosen}
        facts |= {"labels": self.names, "text": self.o.text, "temperature": temperature}
        if hasattr(model, "save"):
            model.save(folder)
            served.write_config(folder, self.names)
            record["export"] = {}
        else:
            facts["temperature"] = 1.0  # it is in the file's weights
            record["export"] = export_network(model, folder, self.names, temperature)
        text = json.dumps(facts, ensure_ascii=False, indent=1) + "\n"
        (folder / "project.json").write_text(text, encoding="utf-8")
        record["export"] |= self.compared(folder, model, temperature)
        record["drift"] = self.watched(folder, model)
        record["export"]["digest"] = versions.digest(folder)
        versions.activate(self.out, folder.name)

    def compared(self, folder, model, temperature, most=200):
        """The file against the model it was made from, on test rows."""
        inputs = self.inputs("test")
        inputs = (
            {name: cells[:most] for name, cells in inputs.items()}
            if isinstance(inputs, dict)
            else inputs[:most]
        )
        if isinstance(model, candidates.Network):
            # the file computes in float32, so that is what it is compared with
            model = candidates.Network(model.net.float(), model.tokenizer, model.tokens)
        parity = served.largest_difference(folder, model, inputs, temperature)
        n = min(most, len(self.labels["test"]))
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        return {"parity": parity, "texts": n, "megabytes": size}

    def watched(self, folder, model):
        """drift.json from the validation part; the test part should be like it."""
        own = served.Served(folder)
        inputs = {part: self.inputs(part) for part in ("validation", "test")}
        answered = {part: own.predict(rows) for part, rows in inputs.items()}
        is_text = self.o.text is not None
        reference = watch.Reference.of(
            inputs["validation"], answered["validation"], self.names,
            self.parts["train"]["text"] if is_text else (),
            self.data.facts["language"], None if is_text else model.columns,
        )  # fmt: skip
        reference.save(folder)
        result = watch.as_facts(reference.compare(inputs["test"], answered["test"]))
        return {"reference": len(self.labels["validation"]), "test": result}


def export_network(model, folder, names, temperature):
    """ONNX of a network whose log-odds are divided by the temperature."""
    from ftlib.deploy import export

    net = copy.deepcopy(model.net).float()
    with torch.no_grad():
        net.head.weight /= temperature
        net.head.bias /= temperature
    facts = export.export(net, model.tokenizer, folder, names, model.tokens)
    return {"opset": facts["opset"]}


def _arguments(options):
    """The command line that makes the same project."""
    if options.example:
        yield f"--example {options.example}"
        yield f"--rows {options.rows}" if options.rows else ""
    else:
        yield shlex.quote(options.file)
        yield f"--label {shlex.quote(options.label)}"
    own = ("group",) if options.example else ("text", "group")
    for name in (*own, "encoder", "name", "out"):
        if getattr(options, name):
            yield f"--{name} {shlex.quote(getattr(options, name))}"
    yield f"--minutes {options.minutes:g} --seed {options.seed}"
    if options.no_texts:
        yield "--no-texts"


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m ftlib project",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options_of(parser)
    return Project(parser.parse_args(arguments)).run()
