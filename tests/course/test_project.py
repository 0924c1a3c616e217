"""ftlib/course/project and `python -m ftlib`: reading and its faults, parts that share
nothing, the choice, the page, a run that is interrupted, and answers of the model that
was written.
"""

import argparse
import csv
import io
import json
import random
import re
import shlex
from types import SimpleNamespace

import pytest
import torch

from ftlib.__main__ import main
from ftlib.course.project import (
    candidates,
    judging,
    leads,
    numbers,
    page,
    reading,
    run,
    served,
)

GOOD = "fine lovely warm clever bright honest funny rich".split()
BAD = "dull flat cold stupid grey false boring poor".split()


def sentences(n, seed=0):
    """(texts, labels) of which words tell the class, with a few exceptions."""
    draw, texts, labels = random.Random(seed), [], []
    for i in range(n):
        label = i % 2
        said = draw.sample(GOOD if label else BAD, 2) + draw.sample(GOOD + BAD, 1)
        texts.append(f"film {i} was {' and '.join(said)} to the end")
        labels.append(("bad", "good")[label if draw.random() > 0.1 else 1 - label])
    return texts, labels


def write(path, columns):
    with open(path, "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        lines.writerows(zip(*columns.values()))
    return str(path)


@pytest.fixture
def films(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts, labels = sentences(200)
    origin = ["web" if i % 3 else "<b>paper</b>" for i in range(200)]
    return write("films.csv", {"review": texts, "mood": labels, "origin": origin})


def project(*words):
    return main(["project", *words])


# --- reading


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.csv", "", "no row below"),
        ("a.csv", "text,label\n", "no row below"),
        ("a.csv", "text,text\na,b\n", "two columns 'text'"),
        ("a.csv", "text,\na,b\n", "a column without a name"),
        ("a.csv", "text,label\na\n", "line 2: 1 cells, the header has 2"),
        ("a.jsonl", '{"text": "a"}\n[1]\n', "line 2 is no object"),
        ("a.csv", b"text,label\n\xff,a\n", "not UTF-8 (byte 11)"),
        ("a.csv", 'text,label\n"good,0\nbad,1\n', "unexpected end of data"),
        ("a.tsv", 'text\tlabel\n"good\t0\n"bad\t1\n', "double a quote"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as error:
        reading.read(path)
    assert words in str(error.value) and ";" in str(error.value)


def test_every_kind_of_file_gives_the_same_columns(tmp_path):
    rows = {"text": ['a "b", c', "d\ne"], "label": ["1", "2"]}
    write(tmp_path / "a.csv", rows)
    (tmp_path / "a.tsv").write_text(
        'text\tlabel\n"a ""b"", c"\t1\n"d\ne"\t2\n', encoding="utf-8"
    )
    lines = [json.dumps({"text": t, "label": n}) for t, n in zip(*rows.values())]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for kind in ("csv", "tsv", "jsonl"):
        assert reading.read(tmp_path / f"a.{kind}") == rows


def test_other_ends_of_a_line_belong_to_a_text(tmp_path):
    line = json.dumps({"text": "a\u2028b\u0085c", "label": "1"}, ensure_ascii=False)
    (tmp_path / "a.jsonl").write_text(line + "\n", encoding="utf-8")
    assert reading.read(tmp_path / "a.jsonl")["text"] == ["a\u2028b\u0085c"]


def test_equal_rows_of_a_table_are_two_people(tmp_path):
    path = write(
        tmp_path / "a.csv",
        {"age": ["30"] * 100 + ["40"] * 100, "ill": ["yes", "no", "no", "no"] * 50},
    )
    data = reading.data_of(path, None, "ill")
    assert data.facts["used"] == 200 and "repeated" not in data.facts
    assert sum(map(len, (part["age"] for part in data.parts.values()))) == 200
    rows = {"text": ["1", "2"] * 20, "ill": ["yes", "no"] * 20}
    with pytest.raises(ValueError, match="rename it"):
        reading.data_of(write(tmp_path / "b.csv", rows), None, "ill")


def test_usable_counts_what_it_leaves_out():
    rows = {
        "t": ["a", " A ", "b", "b", "", "c", "\uff43", "d"],
        "l": ["1", "1", "1", "2", "1", "", "1", "2"],
    }
    texts, labels, facts = reading.usable(rows, "t", "l")
    assert texts == ["a", "\uff43", "d"] and labels == ["1", "1", "2"]
    counts = {k: v for k, v in facts.items() if k != "kept rows"}
    assert counts == {"rows": 8, "used": 3, "repeated": 1, "two labels": 2,
                      "no text": 1, "no label": 1}  # fmt: skip
    assert facts["kept rows"] == [0, 6, 7]


@pytest.mark.parametrize(
    "labels, words",
    [
        (["a"] * 40, "has 1 different values"),
        ([str(i) for i in range(60)] * 10, "at most 50"),
        (["a"] * 40 + ["rare"] * 3, "class 'rare' has 3 rows"),
    ],
)
def test_labels_that_are_no_classes(tmp_path, labels, words):
    texts = [f"text {i}" for i in range(len(labels))]
    path = write(tmp_path / "a.csv", {"text": texts, "label": labels})
    with pytest.raises(ValueError, match=words):
        reading.data_of(path, "text", "label")


def test_parts_share_no_text_and_no_group_and_stay_when_the_order_changes():
    texts, labels = sentences(300)
    found = reading.sides(texts, labels)
    assert found.count("test") == pytest.approx(45, abs=20)
    back = reading.sides(texts[::-1], labels[::-1])[::-1]
    assert back == found != reading.sides(texts, labels, seed=1)
    groups = [f"g{i % 40}" for i in range(300)]
    by_group = reading.sides(texts, labels, groups)
    assert all(
        len({s for s, g in zip(by_group, groups) if g == name}) == 1
        for name in set(groups)
    )
    assert set(by_group) == set(reading.PARTS)
    with pytest.raises(ValueError, match="too few"):
        reading.sides(texts, labels, ["one"] * 300)


def test_language():
    assert reading.language(["good film", "bad"]) == "en"
    assert reading.language(["很好看的电影", "OK 不错"]) == "zh"


# --- judging


def answers(correct, labels):
    """Logits that are correct where `correct` says so."""
    predicted = torch.where(torch.tensor(correct).bool(), labels, 1 - labels)
    return torch.nn.functional.one_hot(predicted, 2).double()


def test_the_simpler_model_is_taken_where_the_lead_is_within_one_error():
    labels = torch.arange(200) % 2
    words = [i % 4 != 0 for i in range(200)]
    little = [i % 4 != 0 or i in (0, 4) for i in range(200)]
    little = [c and i not in (1,) for i, c in enumerate(little)]
    for other, chosen in ((little, "counted words"), ([True] * 200, "network")):
        found = judging.choose(
            {
                "counted words": answers(words, labels),
                "network": answers(other, labels),
            },
            labels,
        )
        assert found["best"] == "network" and found["chosen"] == chosen
        assert (found["lead"][0] < found["error"]) is (chosen == "counted words")
    never = judging.choose(
        {"counted words": answers(words, labels), "t": answers([True] * 200, labels)},
        labels, never=["t"],
    )  # fmt: skip
    assert never["chosen"] == never["best"] == "counted words"


def test_judge_counts_as_by_hand():
    labels = torch.tensor([0] * 30 + [1] * 10)
    z = answers([i not in (0, 1, 2, 35) for i in range(40)], labels) * 3
    rival = answers([True] * 40, labels)
    # of the training part class 1 is the most frequent one
    assert judging.judge(z, labels, "ab", 1)["most frequent class"] == 0.25
    report = judging.judge(z, labels, ["a", "b"], 0, rival)
    assert report["accuracy"] == pytest.approx(0.9) and report["n"] == 40
    assert report["most frequent class"] == pytest.approx(0.75)
    assert report["confusion"] == [[27, 3], [1, 9]]
    assert report["classes"]["b"]["precision"] == pytest.approx(9 / 12)
    assert report["classes"]["b"]["recall"] == pytest.approx(0.9)
    assert report["against baseline"][0] == pytest.approx(-0.1)
    json.dumps(report)


def test_a_weak_slice_is_found_and_the_rest_is_not():
    columns = {
        "text": ["x" * (10 + i % 7) for i in range(400)], "label": [0] * 400,
        "place": ["hall" if i % 4 == 0 else "yard" for i in range(400)],
        "who": [f"u{i}" for i in range(400)],
    }  # fmt: skip
    right = [0 if i % 4 == 0 and i % 8 == 0 else 1 for i in range(400)]
    columns["place"][:3] = ["roof"] * 3
    cuts = judging.slices_of(columns)
    table, too_small = judging.slice_table(right, cuts)
    assert too_small == [["place", "roof", 3]]
    assert judging.not_cut(columns, cuts) == {"who": 400}
    # the correction counts every slice that is shown
    assert [r["p_corrected"] for r in table] == judging.trust.holm(
        [r["p"] for r in table]
    )
    assert {row["cut"] for row in table} == {"characters", "place"}
    shown = {row["name"] for row in table if row["p_corrected"] < 0.05}
    assert table[0]["name"] == "hall" and shown == {"hall", "yard"}


# --- the models


def test_words_are_the_same_after_saving(tmp_path):
    for language in ("en", "zh"):
        texts, labels = sentences(60)
        labels = [int(label == "good") for label in labels]
        words = candidates.Words(language).fit(texts, labels)
        words.save(tmp_path)
        again = candidates.Words.load(tmp_path)
        assert torch.equal(again.predict(texts), words.predict(texts))
    assert not list(tmp_path.glob("*.pkl"))


def test_line_equals_scikit_learn_and_survives_saving(tmp_path):
    from sklearn.linear_model import LogisticRegression

    draw = random.Random(0)
    rows = {"a": [str(draw.random()) for _ in range(90)]}
    rows["kind"] = [draw.choice(["x", "y", ""]) for _ in range(90)]
    labels = [
        int(float(a) + (k == "x") > 0.9) + (k == "y") for a, k in zip(*rows.values())
    ]
    line = numbers.Line().fit(rows, labels)
    x = line.columns.matrix(rows)
    assert x.shape == (90, 1 + 3) and x.dtype == torch.float32
    best = max(
        abs(LogisticRegression(C=C, max_iter=2000).fit(x.numpy(), labels)
            .predict_log_proba(x.numpy()) - line.predict(rows).numpy()).max() * -1
        for C in (0.01, 0.1, 1, 10)
    )  # fmt: skip
    assert -best < 1e-5
    for model in (line, numbers.Small().fit(rows, labels)):
        model.save(tmp_path)
        again = numbers.load(tmp_path)
        assert torch.equal(again.predict(rows), model.predict(rows))


def test_empty_and_strange_cells_of_a_table():
    shape = numbers.Columns().fit({"n": ["1", "", "3"], "k": ["a", "b", "a"]})
    x = shape.matrix({"n": ["", "seven", "1e99"], "k": ["a", "new", ""]})
    assert x.tolist() == [[0, 1, 1, 0], [0, 1, 0, 0], [5, 0, 0, 0]]


def test_the_head_answers_as_the_regression_on_frozen_vectors():
    from sklearn.linear_model import LogisticRegression

    class Encoder(torch.nn.Module):
        config = SimpleNamespace(width=6)

    inside = torch.randn(80, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1
    labels = [int(v > 1) for v in inside[:, 0]]
    net = candidates.head_on(Encoder(), inside, labels, 2)
    scaled = ((inside - inside.mean(0)) / inside.std(0, correction=0)).numpy()
    ours = torch.log_softmax(net.head(inside), dim=1).detach().numpy()
    gaps = [
        abs(LogisticRegression(C=C, max_iter=2000).fit(scaled, labels)
            .predict_log_proba(scaled) - ours).max()
        for C in (1e-3, 1e-2, 0.1, 1.0)
    ]  # fmt: skip
    assert min(gaps) < 1e-3


def test_less_time_is_less_text(monkeypatch):
    clock = iter(range(0, 1000, 2))  # 2 s for the measured batches
    monkeypatch.setattr(candidates.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(
        candidates.tokenization,
        "encode",
        lambda _, texts, n=300: [[1] * n] * len(texts),
    )
    monkeypatch.setattr(candidates.classify, "features", lambda *a, **k: None)
    plans = [
        candidates.plan(None, None, ["t"] * 2000, (250, 250), minutes)
        for minutes in (0.01, 0.8, 4, 60, 120)
    ]
    assert plans[0].speed == 64 * 64 / 2
    assert [p.tokens for p in plans] == [64, 64, 64, 256, 256]
    # where not all fits, a quarter of the time each for validation and test
    assert [(p.validation, p.test) for p in plans[:3]] == [
        (2, 2),
        (192, 192),
        (250,) * 2,
    ]
    assert [p.frozen for p in plans] == [0, 384, 2000, 2000, 2000]
    assert [p.tuned for p in plans] == [0, 0, 318, 1323, 2000]


# --- a run


def test_a_project_of_texts_and_its_answers(films, capsys, monkeypatch):
    monkeypatch.setattr(
        run.Project, "plan", lambda self: candidates.Plan(64, 0, 0, 1.0)
    )
    assert (
        project(films, "--text", "review", "--label", "mood", "--group", "origin") == 2
    )
    assert "too few" in capsys.readouterr().err
    assert project(films, "--text", "review", "--label", "mood") == 0
    said = capsys.readouterr().out
    assert (
        "3/8  counted words" in said and "left out, --minutes 20 is too little" in said
    )
    assert said.count(" thread") == 1  # whichever number was faster before it began
    out = run.Path("projects/films")
    record = json.loads((out / "record.json").read_text(encoding="utf-8"))
    assert record["choice"]["chosen"] == "counted words"
    assert 20 < record["test"]["n"] < 40 and record["test"]["accuracy"] > 0.7
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;paper" in html and "<b>paper" not in html
    assert "<script" not in html and not re.findall(r'(?:src|href)="(?!data:)', html)
    for row in ("README.md", "DATA.md"):
        assert record["options"]["name"] in (out / row).read_text(encoding="utf-8")
    assert main(["predict", "projects/films", films, "--text", "review"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 200 and {r["answer"] for r in rows} == {"bad", "good"}
    agree = sum(r["answer"] == r["mood"] for r in rows) / 200
    assert agree > 0.8 and all(0.5 <= float(r["confidence"]) <= 1 for r in rows)
    assert main(["predict", "projects/films", films, "--text", "mod"]) == 2
    assert "no column 'mod'" in capsys.readouterr().err


def test_no_text_of_yours_where_none_is_wanted(films, monkeypatch):
    monkeypatch.setattr(
        run.Project, "plan", lambda self: candidates.Plan(64, 0, 0, 1.0)
    )
    assert project(films, "--text", "review", "--label", "mood", "--no-texts") == 0
    for path in run.Path("projects/films").glob("*.*"):
        assert "to the end" not in path.read_text(encoding="utf-8"), path


def test_an_interrupted_run_goes_on_and_another_file_starts_anew(
    films, monkeypatch, capsys
):
    monkeypatch.setattr(
        run.Project, "plan", lambda self: candidates.Plan(64, 0, 0, 1.0)
    )
    line = [films, "--text", "review", "--label", "mood"]
    made, fit = [], candidates.Words.fit

    def counted(self, texts, labels, groups=None):
        made.append(len(texts))
        return fit(self, texts, labels, groups)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(candidates.Words, "fit", counted)
    with monkeypatch.context() as patch:
        patch.setattr(run.Project, "judged", stop)
        assert project(*line) == 130
    assert "goes on from here" in capsys.readouterr().err and len(made) == 1
    assert project(*line) == 0
    # the answers were kept; the weights are fitted once more to be written
    assert len(made) == 2
    before = run.Path("projects/films/record.json").read_text(encoding="utf-8")
    assert project(*line) == 0
    after = run.Path("projects/films/record.json").read_text(encoding="utf-8")
    without = [re.sub(r'"seconds": [\d.]+', "", text) for text in (before, after)]
    assert without[0] == without[1]
    with open(films, "a", encoding="utf-8") as file:
        file.write("one more honest text,good,web\n")
    steps = len(made)
    assert project(*line) == 0 and len(made) > steps


def test_a_project_of_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    rows = {"size": [f"{draw.gauss(0, 1):.3f}" for _ in range(240)]}
    rows["kind"] = [draw.choice("xyz") for _ in range(240)]
    rows["state"] = [
        "ill" if float(s) + 2 * (k == "x") > 0.8 else "well"
        for s, k in zip(*rows.values())
    ]
    path = write("cells.csv", rows)
    assert project(path, "--label", "state") == 0
    record = json.loads(run.Path("projects/cells/record.json").read_text("utf-8"))
    assert set(record["candidates"]) == {run.LINE, "small network", run.TREES}
    assert record["test"]["accuracy"] > 0.9 and record["choice"]["chosen"] != run.TREES
    assert "Boosted trees are compared" in page.html_page(record)
    assert " thread" not in capsys.readouterr().out  # no network to choose them for
    assert main(["predict", "projects/cells", path]) == 0
    answers = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert sum(r["answer"] == r["state"] for r in answers) > 215
    del rows["kind"]
    assert main(["predict", "projects/cells", write("less.csv", rows)]) == 2
    assert "no column 'kind'" in capsys.readouterr().err


def test_a_network_answers_the_same_after_it_is_written(films, monkeypatch, capsys):
    """Frozen MiniLM on long texts: the ONNX file reads both ends too."""
    texts, labels = sentences(120)
    texts = [f"{text} " + "filler words here " * 12 + text for text in texts]
    path = write("long.csv", {"text": texts, "label": labels})
    plan = candidates.Plan(16, 84, 0, 1.0)
    monkeypatch.setattr(run.Project, "plan", lambda self: plan)
    found = {}

    def best(answers, *_):
        found.update(answers)
        return {"chosen": "frozen encoder", "best": "frozen encoder", "lead": [0, 0, 0],
                "scores": {"frozen encoder": 0.9}, "baseline": run.WORDS,
                "leads": {"frozen encoder": [0, 0, 0]}, "error": 0.0}  # fmt: skip

    monkeypatch.setattr(judging, "choose", best)
    assert project(path, "--text", "text", "--label", "label") == 0
    record = json.loads(run.Path("projects/long/record.json").read_text("utf-8"))
    assert record["export"]["parity"] < 1e-3
    own = served.Served("projects/long")
    data = reading.data_of(path, "text", "label")
    theirs = own.predict(data.parts["validation"]["text"])
    # the temperature is inside the file, so that every server has it
    assert own.temperature == 1 and record["test"]["temperature"] != 1
    temperature = record["test"]["temperature"]
    ours = torch.log_softmax(found["frozen encoder"] / temperature, dim=1)
    # in training bf16 may be used
    assert (theirs - ours).abs().max() < 0.1 * ours.abs().max()
    assert (theirs.argmax(1) == ours.argmax(1)).double().mean() > 0.9


def test_a_folder_that_is_not_its_own_is_left_alone(films, capsys):
    folder = run.Path("mine")
    (folder / "work").mkdir(parents=True)
    (folder / "work" / "thesis.tex").write_text("years", encoding="utf-8")
    line = [films, "--text", "review", "--label", "mood", "--out", "mine"]
    assert project(*line) == 2
    assert "holds something else" in capsys.readouterr().err
    assert (folder / "work" / "thesis.tex").read_text(encoding="utf-8") == "years"


def test_the_command_in_the_card_makes_the_same_project(films, monkeypatch):
    monkeypatch.setattr(
        run.Project, "plan", lambda self: candidates.Plan(64, 0, 0, 1.0)
    )
    line = [films, "--text", "review", "--label", "mood", "--no-texts"]
    assert project(*line, "--name", "two words") == 0
    record = json.loads(run.Path("projects/two words/record.json").read_text("utf-8"))
    words = shlex.split(record["command"])[4:]
    parser = argparse.ArgumentParser()
    run.options_of(parser)
    again = vars(parser.parse_args(words))
    again["command"] = "project"
    assert again == record["options"]


def test_no_class_is_missing_from_the_first_rows(films):
    own = SimpleNamespace(
        parts={"train": {"text": list("abcdefghij"), "label": [0] * 7 + [1] * 3}},
        o=SimpleNamespace(seed=0),
    )
    for n in (4, 6, 10):
        texts, labels, rows = run.Project.first(own, n)
        assert [own.parts["train"]["text"][row] for row in rows] == texts
        assert len(texts) == n and min(labels.count(0), labels.count(1)) >= 2


def test_dates_in_seconds_stay_apart_and_nothing_is_infinite():
    cells = [str(1_700_000_000 + i) for i in range(100)]
    shape = numbers.Columns().fit({"when": cells})
    assert len(shape.matrix({"when": cells})[:, 0].unique()) == 100
    shape = numbers.Columns().fit({"n": ["1", "inf", "3"]})
    assert shape.matrix({"n": ["inf", "2"]}).tolist() == [[0, 1], [0, 0]]


def test_the_command_line_names_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert project("nothing.csv", "--label", "a") == 2
    assert "is no file" in capsys.readouterr().err
    assert main(["predict", "nowhere", "a.csv"]) == 2
    assert "has no project.json" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bake"])


def test_words_that_differ_are_found_in_both_languages():
    texts = ["a fine film", "fine music here", "a dull film", "dull music"] * 3
    labels = [1, 1, 0, 0] * 3
    counts = candidates.single_terms("en")
    words = judging.words_that_differ(texts, labels, ["bad", "good"], counts, most=1)
    assert words == {"bad": ["dull"], "good": ["fine"]}
    texts = ["很好看的电影", "真的好看啊", "太难看了", "难看的电影"] * 3
    counts = candidates.single_terms("zh")
    words = judging.words_that_differ(texts, labels, ["bad", "good"], counts, most=1)
    assert words == {"bad": ["难看"], "good": ["好看"]}


def test_texts_without_a_word_have_no_telling_words():
    counts = candidates.single_terms("en")
    words = judging.words_that_differ(["!!", "?", "!!", "?"], [0, 1] * 2, "ab", counts)
    assert words == {"a": [], "b": []}


def test_counted_words_read_signs_alone():
    texts = ["\N{GRINNING FACE} !", "?", "x \N{GRINNING FACE}", "? ?"] * 5
    labels = [int("?" in text) for text in texts]
    words = candidates.Words().fit(texts, labels)
    assert words.predict(texts).argmax(1).tolist() == labels


def verdict_of(name, score, lead, **more):
    """The verdict's last sentence about a model beside the chosen baseline."""
    choice = {"chosen": run.LINE, "best": run.LINE, "baseline": run.LINE, "lead": None}
    choice |= {"scores": {run.LINE: 0.8, name: score}, "leads": {name: lead}} | more
    test = {"accuracy": 0.8, "interval": (0.7, 0.9), "n": 50}
    test |= {"most frequent class": 0.6, "against baseline": lead}
    return page.verdict({"options": {"text": None}, "choice": choice, "test": test})[-1]


def test_the_verdict_tells_who_was_ahead_and_cannot_be_taken():
    told = verdict_of(run.TREES, 0.9, (0.1, 0.02, 0.2))
    assert told.startswith("Boosted trees are better than logistic regression")
    assert "cannot be taken" in told
    told = verdict_of(run.TREES, 0.7, (-0.1, -0.2, 0.01))
    assert "not shown to be better or worse" in told and "taken" not in told


@pytest.mark.parametrize(
    "lead, words",
    [
        ((0.03, 0.01, 0.05), "better than"),
        ((-0.03, -0.05, -0.01), "worse than"),
        ((0.03, 0.0, 0.06), "not shown to be better or worse than"),
    ],
)
def test_every_comparison_is_the_sentence_of_its_interval(lead, words):
    name = "small network"
    own = leads.sentence(name, run.LINE, lead, "on the test rows")
    assert words in own
    # the chosen model's, from the test part; the others', from the validation part
    assert verdict_of(name, 0.83, lead, chosen=name, best=name, error=0.01) == own
    told = leads.sentence(name, run.LINE, lead, "on the validation rows")
    assert verdict_of(name, 0.7, lead) == told
    ahead = verdict_of(name, 0.83, lead, best=name, error=0.04)
    assert ahead.startswith(told) and "below one standard error, 4.0" in ahead


def test_a_second_model_is_a_second_reading(tmp_path):
    project = SimpleNamespace(out=tmp_path)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "meaning.json").write_text("{}", encoding="utf-8")
    names = ["counted words", "counted words", "frozen encoder"]
    read = [run.Project.note_reading(project, name) for name in names]
    assert read == [1, 1, 2]
