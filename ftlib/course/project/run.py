"""The steps of a project, one after another, each kept when it is done:

    python -m ftlib project reviews.csv --text review --label stars
    python -m ftlib project --example breast-cancer

1 read and check, 2 split into three parts, 3 counted words, 4 frozen encoder, 5 the
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
import shutil
import time
from pathlib import Path

import torch

from ftlib.course import reproducibility
from ftlib.course.project import (
    answers,
    candidates,
    examples,
    fitting,
    judging,
    leakage,
    numbers,
    page,
    reading,
    sentences,
    served,
    watch,
)
from ftlib.course.project.options import MEANING, command_of, options_of
from ftlib.course.project.steps import Kept, report
from ftlib.deploy import versions
from ftlib.training import distributed

WORDS, FROZEN, TUNED = fitting.WORDS, fitting.FROZEN, fitting.TUNED
LINE, TREES = "logistic regression", "boosted trees"
WATCHED = 1000  # rows of a part for the comparison with new ones
LONGEST_SHOWN = 2000  # characters of a text in the record


class Project(fitting.Fitting):
    """One run; `record` is what report.html shows.

    `rows`: {part: the rows that are answered}; all, unless the time is too short.
    """

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
        self.data = self.read()
        meaning = {name: getattr(options, name) for name in MEANING}
        self.kept = Kept(
            self.out / "work", meaning | {"file": self.data.facts["sha256"]}
        )
        self.keep_split()
        self.ctx = distributed.setup(options.seed)
        self.parts, self.names = self.data.parts, self.data.names
        self.labels = {p: torch.tensor(c["label"]) for p, c in self.parts.items()}
        self.rows = {p: list(range(len(z))) for p, z in self.labels.items()}
        self.models, self.facts, self.pace = {}, {}, None
        self.baseline = LINE if options.text is None else WORDS

    def read(self):
        """The table in its parts."""
        o = self.o
        split = self.splits().get(self.split_key()) if o.split is None else o.split
        data = reading.data_of(o.file, o.text, o.label, o.group, o.seed, split)
        o.split = data.facts["split"]
        return data

    def splits(self):
        path = self.out / "split.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def split_key(self):
        return json.dumps([self.o.text, self.o.label, self.o.group, self.o.seed])

    def keep_split(self):
        """The folder remembers the split, so that a row keeps its part when others are
        added.
        """
        splits = self.splits() | {self.split_key(): self.o.split}
        text = json.dumps(splits, ensure_ascii=False, indent=1) + "\n"
        (self.out / "split.json").write_text(text, encoding="utf-8")

    def run(self):
        facts = self.data.facts
        report(
            1, f"{facts['used']:,} of {facts['rows']:,} rows, {len(self.names)} classes"
        )
        sizes = {part: len(c["label"]) for part, c in self.parts.items()}
        report(2, ", ".join(f"{part} {n:,}" for part, n in sizes.items()))
        # two threads beside another program can be four times slower than one
        if self.o.text is not None and self.ctx.device.type == "cpu":
            print(f"     {reproducibility.pick_threads()}", flush=True)
        choice = self.chosen(self.compare())
        report(6, f"taken: {choice['chosen']}")
        record = self.judged(choice)
        for line in sentences.comparisons(record):
            print(f"     {line}")
        test = record["test"]
        report(7, f"test accuracy {page.span(test['accuracy'], *test['interval'])}")
        self.write(record)
        for line in sentences.about_suspicions(record):
            print(f"     {line}")
        report(8, f"{self.out / 'report.html'}")
        return record

    # --- candidates

    def compare(self):
        """{model: log-probabilities of the validation rows}. No test row is answered
        here.
        """
        made = {}
        for step, (name, make) in enumerate(self.ways(), 3):
            kept = self.kept(name.replace(" ", "_"), lambda: self.answered(make))
            if not kept:
                report(
                    step,
                    f"{name}: left out, --minutes {self.o.minutes:g} is too little",
                )
                continue
            self.facts[name] = kept["facts"]
            made[name] = torch.tensor(kept["validation"], dtype=torch.float64)
            answered = kept["rows"]
            if len(answered) < len(self.rows["validation"]):
                self.rows["validation"] = answered
            score = judging.metrics.accuracy(
                made[name], self.labels["validation"][answered]
            )
            report(step, f"{name}: validation accuracy {page.percent(score)}")
        return {name: self.on_rows(z) for name, z in made.items()}

    def on_rows(self, z):
        """Of a model's validation answers those about the rows that all have answered.
        A model that was short of time has answered just these.
        """
        rows = self.rows["validation"]
        return z if len(z) == len(rows) else z[rows]

    def chosen(self, answers):
        """judging.choose of the models' validation answers, which stay for `judged`."""
        self.answers = answers
        labels = self.labels["validation"][self.rows["validation"]]
        return judging.choose(
            answers, labels, self.baseline, [TREES], self.groups("validation")
        )

    def ways(self):
        if self.o.text is None:
            yield LINE, self.line
            yield "small network", self.small_network
            yield TREES, self.trees
            return
        yield WORDS, self.words
        yield FROZEN, self.frozen
        yield TUNED, self.tuned

    def answered(self, make):
        """A model is made and answers validation rows."""
        start = time.time()
        model, texts = make()
        if model is None:
            return None
        rows = self.rows_for(model, "validation")
        z = model.predict(self.inputs("validation", rows))
        facts = {"texts": texts, "seconds": time.time() - start}
        if isinstance(model, candidates.Network):
            facts["tokens"] = model.tokens
        self.models[make.__name__] = model
        return {"validation": z.tolist(), "rows": rows, "facts": facts}

    def rows_for(self, model, part):
        """The rows of a part that there is time to answer."""
        rows = list(range(len(self.labels[part])))
        if not isinstance(model, candidates.Network):
            return rows
        n = getattr(self.plan(), part)
        if n is None or n >= len(rows):
            return rows
        return sorted(fitting.in_hash_order(len(rows), self.o.seed)[:n])

    def tested(self, choice):
        """{model: log-probabilities of the test rows} of the chosen model and of the
        baseline that it is compared with. Nobody else sees a test row.
        """
        names = list(dict.fromkeys([choice["chosen"], choice["baseline"]]))
        self.rows["test"] = self.rows_for(self.model(names[0]), "test")

        def made(name):
            inputs = self.inputs("test", self.rows["test"])
            return self.model(name).predict(inputs).tolist()

        key = lambda name: f"test_{name}".replace(" ", "_")  # noqa: E731
        kept = {name: self.kept(key(name), lambda n=name: made(n)) for name in names}
        return {n: torch.tensor(z, dtype=torch.float64) for n, z in kept.items()}

    def model(self, name):
        """The fitted model; after an interruption it is fitted once more."""
        make = dict(self.ways())[name]
        if make.__name__ not in self.models:
            self.models[make.__name__] = make()[0]
        return self.models[make.__name__]

    def inputs(self, part, rows=None):
        """What the models of this project read: texts, or columns."""
        columns = self.parts[part]
        if rows is not None and len(rows) < len(columns["text"]):
            columns = {k: [cells[i] for i in rows] for k, cells in columns.items()}
        if self.o.text is not None:
            return columns["text"]
        own = ("text", "label", self.o.group)
        return {name: cells for name, cells in columns.items() if name not in own}

    def groups(self, part, rows=None):
        """The group of each row, None without --group."""
        if self.o.group is None:
            return None
        cells = self.parts[part][self.o.group]
        return [cells[i] for i in (self.rows[part] if rows is None else rows)]

    # --- what is said and written

    def judged(self, choice):
        """The record: the chosen model answers the test part, and is judged."""
        name, base = choice["chosen"], choice["baseline"]
        learning = self.kept("learning", self.learning)
        tested = self.tested(choice)
        test = {
            k: [v[i] for i in self.rows["test"]] for k, v in self.parts["test"].items()
        }
        logits, labels = tested[name], self.labels["test"][self.rows["test"]]
        usual = int(self.labels["train"].bincount().argmax())
        temperature = judging.temperature_of(
            self.answers[name], self.labels["validation"][self.rows["validation"]]
        )
        shown = judging.mistakes(logits / temperature, test, self.names)
        shown = [] if self.o.no_texts else shown
        cuts = judging.slices_of(test, self.o.text is not None)
        slices, too_small = judging.slice_table(judging.correct(logits, labels), cuts)
        judgement = judging.judge(
            logits, labels, self.names, usual, None if name == base else tested[base],
            temperature, self.groups("test"),
        )  # fmt: skip
        return {
            "options": vars(self.o),
            "names": self.names,
            "data": self.data.facts,
            "columns": self.column_readings(),
            "suspicious": self.suspicious(),
            "words": self.telling_words(),
            "candidates": self.facts,
            "learning": learning,
            "choice": choice,
            "readings": self.note_reading(name),
            "test": judgement | {"of": len(self.labels["test"])},
            "slices": slices,
            "slices left out": too_small,
            "not cut": judging.not_cut(test, cuts),
            "mistakes": [m | {"text": m["text"][:LONGEST_SHOWN]} for m in shown],
            "date": datetime.date.today().isoformat(),
            "command": command_of(self.o),
            "machine": reproducibility.machine(),
            "versions": reproducibility.versions(),
        }

    def column_readings(self):
        """How each column of a table was read."""
        if self.o.text is not None:
            return []
        shape = numbers.Columns().fit(self.inputs("train"))
        rows = shape.readings()
        if self.o.group is not None:
            rows.append([self.o.group, "left out", "--group"])
        return rows

    def suspicious(self):
        """What alone gives the label away in the training part."""
        part = self.parts["train"]
        if self.o.text is None:
            return leakage.of_columns(
                self.inputs("train"), part["label"], self.groups("train")
            )
        rows = leakage.of_texts(
            part["text"], part["label"], self.names, self.data.facts["language"]
        )
        hidden = "(not shown, --no-texts)"
        return [[hidden, *row[1:]] if self.o.no_texts else row for row in rows]

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
        model = self.model(chosen)
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
        inputs = self.inputs("test", self.rows["test"][:most])
        if isinstance(model, candidates.Network):
            # the file computes in float32, so that is what it is compared with
            model = candidates.Network(model.net.float(), model.tokenizer, model.tokens)
        parity = served.largest_difference(folder, model, inputs, temperature)
        n = min(most, len(self.rows["test"]))
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        return {"parity": parity, "texts": n, "megabytes": size}

    def watched(self, folder, model):
        """drift.json from the validation part; the test part should be like it."""
        own = served.Served(folder)
        rows = {part: self.rows[part] for part in ("validation", "test")}
        if isinstance(model, candidates.Network):
            rows = {part: own_rows[:WATCHED] for part, own_rows in rows.items()}
        inputs = {part: self.inputs(part, rows[part]) for part in rows}
        answered = {part: own.predict(rows) for part, rows in inputs.items()}
        is_text = self.o.text is not None
        reference = watch.Reference.of(
            inputs["validation"], answered["validation"], self.names,
            self.parts["train"]["text"] if is_text else (),
            self.data.facts["language"], None if is_text else model.columns,
        )  # fmt: skip
        reference.save(folder)
        result = watch.as_facts(reference.compare(inputs["test"], answered["test"]))
        return {"reference": len(rows["validation"]), "test": result}


def export_network(model, folder, names, temperature):
    """ONNX of a network whose log-odds are divided by the temperature."""
    from ftlib.deploy import export

    net = copy.deepcopy(model.net).float()
    with torch.no_grad():
        net.head.weight /= temperature
        net.head.bias /= temperature
    facts = export.export(net, model.tokenizer, folder, names, model.tokens)
    return {"opset": facts["opset"]}


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m ftlib project",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options_of(parser)
    return Project(parser.parse_args(arguments)).run()
