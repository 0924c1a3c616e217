"""Parts that stay, a test part that only the chosen model sees, and groups: in the
intervals, in the folds and in the choice.
"""

import json
import random

import pytest
import torch
from test_project import sentences, write

from ftlib.__main__ import main
from ftlib.course.project import candidates, folds, judging, leads, reading, run
from ftlib.evaluation import intervals


def parts_of(data):
    return {t: p for p, columns in data.parts.items() for t in columns["text"]}


@pytest.mark.parametrize("group", [None, "who"])
def test_a_row_keeps_its_part_when_the_file_grows(tmp_path, group):
    texts, labels = sentences(600)
    rows = {"text": texts, "label": labels, "who": [f"g{i % 80}" for i in range(600)]}
    small = {name: cells[:300] for name, cells in rows.items()}
    first = reading.data_of(write(tmp_path / "a.csv", small), "text", "label", group)
    later = reading.data_of(write(tmp_path / "b.csv", rows), "text", "label", group)
    before, after = parts_of(first), parts_of(later)
    assert first.facts["split"] == later.facts["split"] == 0
    assert len(before) < len(after) and before.items() <= after.items()
    sizes = [len(columns["text"]) for columns in later.parts.values()]
    assert [n / 600 for n in sizes] == pytest.approx([0.7, 0.15, 0.15], abs=0.1)


def test_equal_rows_keep_their_parts_too():
    texts, labels = ["a", "b"] * 100, ["x", "y", "y", "x"] * 50
    before = reading.sides(texts[:160], labels[:160])
    assert reading.sides(texts, labels)[:160] == before
    assert set(before) == set(reading.PARTS)


def test_small_files_are_dealt_again_and_remember_it(tmp_path, monkeypatch):
    """Ten rows a class: the first split leaves a class out of a part; the folder keeps
    the one that did not, also when the file grows until the first one would do.
    """
    monkeypatch.chdir(tmp_path)
    plan = candidates.Plan(64, 0, 0, 1.0)
    monkeypatch.setattr(run.Project, "plan", lambda self: plan)
    texts, labels = sentences(400)
    labels = ["bad", "good"] * 200
    n = next(
        n for n in range(20, 60, 2) if reading.dealt(texts[:n], labels[:n])[1] and n
    )
    rows = {"text": texts, "label": labels}
    path = write(tmp_path / "a.csv", {name: c[:n] for name, c in rows.items()})
    assert main(["project", path]) == 2  # no --text: every row an identifier
    assert main(["project", path, "--text", "text", "--out", "p"]) == 0
    split = reading.dealt(texts[:n], labels[:n])[1]
    write(tmp_path / "a.csv", rows)
    assert reading.dealt(texts, labels)[1] == 0 < split
    assert main(["project", path, "--text", "text", "--out", "p"]) == 0
    record = json.loads((tmp_path / "p/record.json").read_text(encoding="utf-8"))
    assert record["data"]["split"] == split
    assert f"--split {split}" in record["command"]
    sheet = (tmp_path / "p/DATA.md").read_text(encoding="utf-8")
    assert f"give --split {split}" in sheet


def test_a_class_that_misses_in_a_part_is_one_sentence():
    texts = [f"text {i}" for i in range(40)]
    with pytest.raises(ValueError, match="class 'rare' .* at least [12].*; find more"):
        reading.dealt(texts, ["often"] * 38 + ["rare"] * 2)


# --- the test part


class Spy:
    """A model that notes which texts it is asked about."""

    def __init__(self, correct, labels):
        self.correct, self.labels, self.texts = correct, labels, set()

    def predict(self, texts):
        self.texts |= set(texts)
        ids = torch.tensor([self.labels[text] for text in texts])
        wrong = torch.tensor([hash(t) % 100 >= 100 * self.correct for t in texts])
        z = torch.nn.functional.one_hot(torch.where(wrong, 1 - ids, ids), 2)
        return torch.log_softmax(3 * z.double(), dim=1)

    def save(self, folder):
        (folder / "words.json").write_text("{}", encoding="utf-8")


@pytest.mark.parametrize("taken", ["counted words", "frozen encoder"])
def test_a_model_that_is_not_chosen_never_sees_a_test_row(tmp_path, monkeypatch, taken):
    monkeypatch.chdir(tmp_path)
    texts, labels = sentences(400)
    path = write(tmp_path / "a.csv", {"text": texts, "label": labels})
    ids = {t: int(n == "good") for t, n in zip(texts, labels)}
    score = {"counted words": 0.6, "frozen encoder": 0.5, "fine-tuned encoder": 0.55}
    spies = {n: Spy(0.95 if n == taken else s, ids) for n, s in score.items()}
    for name, method in zip(spies, ("words", "frozen", "tuned")):

        def make(self, spy=spies[name]):
            return spy, 10

        make.__name__ = method
        monkeypatch.setattr(run.Project, method, make)
    monkeypatch.setattr(run.Project, "write", lambda self, record: None)
    assert main(["project", path, "--text", "text"]) == 0
    test = set(reading.data_of(path, "text", "label").parts["test"]["text"])
    for name, spy in spies.items():
        may = name in (taken, "counted words")
        assert bool(spy.texts & test) is may and spy.texts - test


# --- groups


def clustered(seed, groups=30):
    """Rows of which a group's are nearly all correct or nearly all wrong."""
    draw, hits, names = random.Random(seed), [], []
    for group in range(groups):
        chance = draw.choice([0.05, 0.95])
        for _ in range(draw.randint(5, 15)):
            hits.append(int(draw.random() < chance))
            names.append(group)
    return hits, names


def test_the_interval_over_groups_holds_what_it_promises_and_that_of_rows_does_not():
    kept = {"rows": 0, "groups": 0}
    for seed in range(100):
        hits, names = clustered(seed)
        low, high = intervals.wilson_interval(sum(hits), len(hits))
        kept["rows"] += low <= 0.5 <= high
        low, high = intervals.cluster_bootstrap(hits, names, samples=1000)
        kept["groups"] += low <= 0.5 <= high
    assert kept["groups"] >= 88 and kept["rows"] < 70


def test_a_group_for_each_row_is_the_usual_bootstrap_and_error():
    hits, _ = clustered(0)
    alone = range(len(hits))
    ours = intervals.cluster_bootstrap(hits, alone)
    assert ours == pytest.approx(intervals.bootstrap_interval(hits), abs=0.01)
    usual = float(torch.tensor(hits).double().std() / len(hits) ** 0.5)
    assert intervals.cluster_error(hits, alone) == pytest.approx(usual)
    assert intervals.cluster_error(hits, [0] * len(hits)) == float("inf")
    with pytest.raises(ValueError, match="9 groups, at least 10"):
        intervals.cluster_bootstrap(hits[:90], [i % 9 for i in range(90)])
    with pytest.raises(ValueError, match="one group for each"):
        intervals.cluster_bootstrap(hits, [1])


def test_judge_and_choose_count_groups():
    hits, names = clustered(1)
    labels = torch.zeros(len(hits), dtype=torch.long)
    z = torch.tensor([[2.0, 0.0] if h else [0.0, 2.0] for h in hits])
    other = torch.tensor([[2.0, 0.0] if g % 3 else [0.0, 2.0] for g in names])
    rows = judging.judge(z, labels, "ab", 0, other)
    own = judging.judge(z, labels, "ab", 0, other, groups=names)
    width = lambda span: span[1] - span[0]  # noqa: E731
    assert width(own["interval"]) > 1.5 * width(rows["interval"])
    lead = [report["against baseline"][1:] for report in (own, rows)]
    assert width(lead[0]) > 1.5 * width(lead[1])
    assert leads.interval_of_counts(own["groups"]) == own["interval"]
    answers = {"counted words": z, "network": other}
    errors = [
        judging.choose(answers, labels, groups=g).get("error", 0) for g in (None, names)
    ]
    assert errors[1] > 1.5 * errors[0] > 0


def test_few_groups_or_rows_show_nothing():
    assert leads.shown(leads.of([0] * 9, [1] * 9)) == "not shown"
    few = [i % 5 for i in range(100)]
    assert leads.shown(leads.of([0] * 100, [1] * 100, few)) == "not shown"
    low, high = leads.interval([1] * 100, few)
    assert low < 0.6 and high == 1


def test_folds_keep_groups_together():
    draw = random.Random(0)
    names = [draw.randrange(20) for _ in range(200)]
    labels = [draw.randrange(3) for _ in range(200)]
    pairs = folds.folds_of(labels, names)
    assert len(pairs) == 5
    for a, b in pairs:
        assert not {names[i] for i in a} & {names[i] for i in b}
    assert folds.folds_of(labels, None) == 5
    assert folds.folds_of([0] * 50 + [1] * 50, ["x"] * 50 + ["y"] * 50) == 5


def test_a_project_with_groups(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan, asked = candidates.Plan(64, 0, 0, 1.0), []
    monkeypatch.setattr(run.Project, "plan", lambda self: plan)
    fold = candidates.folds_of
    monkeypatch.setattr(
        candidates, "folds_of", lambda *all: asked.append(all[1]) or fold(*all)
    )
    texts, labels = sentences(400)
    who = [f"g{i % 90}" for i in range(400)]
    path = write(tmp_path / "a.csv", {"text": texts, "label": labels, "who": who})
    assert main(["project", path, "--text", "text", "--group", "who"]) == 0
    record = json.loads((tmp_path / "projects/a/record.json").read_text("utf-8"))
    counts = record["test"]["groups"]
    assert sum(n for _, n in counts) == record["test"]["n"] and len(asked[0]) > 200
    html = (tmp_path / "projects/a/report.html").read_text(encoding="utf-8")
    assert f"The interval counts the {len(counts)} values of who" in html
    main(["rubric", "projects/a"])
    assert "interval               1 of 1" in capsys.readouterr().out
    record["test"]["interval"] = intervals.wilson_interval(
        sum(h for h, _ in counts), record["test"]["n"]
    )
    del record["test"]["groups"]
    (tmp_path / "projects/a/record.json").write_text(json.dumps(record), "utf-8")
    main(["rubric", "projects/a"])
    assert "with --group the interval is over groups" in capsys.readouterr().out
