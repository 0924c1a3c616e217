"""Files of other programs, columns of a table, what gives the label away, what the
drift rule sees, and networks that have time for a part of the rows.
"""

import json
import random
from types import SimpleNamespace

import pytest
import torch
from test_project import sentences, write

from ftlib.__main__ import main
from ftlib.course.project import (
    candidates,
    columns,
    fitting,
    leakage,
    run,
    table_file,
    watch,
)
from ftlib.course.project import sentences as told

ROWS = {"text": ["café, nice", "不错"], "stars": ["5", "1"]}


def as_bytes(sign, encoding, rows=ROWS):
    lines = [
        sign.join(rows),
        *(sign.join(f'"{c}"' for c in r) for r in zip(*rows.values())),
    ]
    return ("\r\n".join(lines) + "\r\n").encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_encodings_and_separators_give_the_same_columns(tmp_path, encoding, sign):
    path = tmp_path / "a.csv"
    path.write_bytes(as_bytes(sign, encoding))
    assert table_file.read(path) == ROWS
    path.write_bytes(("sep=" + sign + "\r\n").encode() + as_bytes(sign, "utf-8"))
    assert table_file.read(path) == ROWS


@pytest.mark.parametrize(
    "content, words",
    [
        ("text;stars\n不错的书;1\n".encode("gb18030"), "iconv -f GB18030"),
        ("text;stars\ncafé au lait;1\n".encode("cp1252"), "iconv -f WINDOWS-1252"),
        (b"PK\x03\x04xyz", "is a spreadsheet"),
        (b"PAR1xyz", "is a Parquet file"),
        (b"text,stars\na\0b,1\n", "zero character (character 12)"),
        (b"\xff\xfea\0b", "is not UTF-16"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_remedy(tmp_path, content, words):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError) as error:
        table_file.read(tmp_path / "a.csv")
    assert words in str(error.value) and ";" in str(error.value)


# --- columns


def test_a_number_with_gaps_stays_a_number():
    for gap in ("n/a", "-", "?", "", " NaN "):
        cells = [*map(str, range(1, 30)), gap, "100"]
        shape = columns.Columns().fit({"n": cells})
        assert not shape.kinds and shape.scales["n"][2:] == [15.5, 1]
        x = shape.matrix({"n": ["15.5", gap, "odd"]})
        assert x.shape == (3, 2) and x[0, 0] == x[1, 0] == x[2, 0]
        assert x[:, 1].tolist() == [0, 1, 1]
        assert shape.readings() == [["n", "number", "1 missing, read as 15.5"]]
    few = columns.Columns().fit({"n": [*map(str, range(99)), "broken"]})
    assert "among them 'broken'" in few.readings()[0][2]
    full = columns.Columns().fit({"n": ["1", "2", "4"]})
    assert full.matrix({"n": ["", "2"]}).shape == (2, 1)  # no indicator, the median
    assert full.matrix({"n": ["", "2"]})[:, 0].unique().numel() == 1


def test_columns_that_say_nothing_are_left_out():
    rows = {
        "kind": ["a", "b"] * 20,
        "who": [f"name {i}" for i in range(40)],
        "id": [str(7 * i) for i in range(40)],
        "same": ["x"] * 40,
        "year": [str(1900 + i) for i in range(40)],
    }
    found = {r[0]: (r[1], r[2]) for r in columns.Columns().fit(rows).readings()}
    assert found["kind"][0] == "category" and found["year"][0] == "number"
    for name, why in (
        ("who", "identifier"),
        ("id", "identifier"),
        ("same", "constant"),
    ):
        assert found[name][0] == "left out" and why in found[name][1]
    with pytest.raises(ValueError, match="no column is left .*same: constant"):
        columns.Columns().fit({"same": ["x"] * 9})


def test_commas_in_numbers():
    fit = lambda *cells: columns.Columns().fit({"n": list(cells)})  # noqa: E731
    shape = fit("1,5", "2,25", "1.234,5")
    assert shape.numbers_of("n", ["1,5", "1.234,5"]) == [1.5, 1234.5]
    shape = fit("1,234,567", "2,000", "12.5")
    assert shape.numbers_of("n", ["1,234,567", "12.5"]) == [1234567.0, 12.5]
    with pytest.raises(ValueError, match="may mean 1.234 or 1234; write"):
        fit("1,234", "5,678")
    with pytest.raises(ValueError, match="both signs before decimals"):
        fit("1,5", "1.5")
    assert columns.Columns(**shape.facts()).commas == {"n": "thousands"}


def test_a_table_says_how_it_was_read_and_what_tells_the_label(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    ill = [draw.random() < 0.4 for _ in range(300)]
    rows = {
        "size": [f"{draw.gauss(i, 1):.2f}".replace(".", ",") for i in ill],
        "treated": ["yes" if i else "no" for i in ill],
        "patient": [f"p-{i}" for i in range(300)],
        "state": ["ill" if i else "well" for i in ill],
    }
    rows["size"][::50] = ["n/a"] * 6
    assert main(["project", write("a.csv", rows), "--label", "state"]) == 0
    assert "the column 'treated' alone tells state" in capsys.readouterr().out
    record = json.loads((tmp_path / "projects/a/record.json").read_text("utf-8"))
    kinds = {row[0]: row[1] for row in record["columns"]}
    assert kinds == {"size": "number", "treated": "category", "patient": "left out"}
    assert [row[0] for row in record["suspicious"]] == ["treated"]
    for name in ("report.html", "DATA.md"):
        page = (tmp_path / "projects/a" / name).read_text(encoding="utf-8")
        assert "identifier" in page and "decimal comma" in page
    assert main(["predict", "projects/a", "a.csv"]) == 0


def test_a_word_that_tells_the_label_is_named():
    texts, labels = sentences(300)
    ids = [int(n == "good") for n in labels]
    assert leakage.of_texts(texts, ids, ["bad", "good"]) == []
    leaky = [f"{t} rated{n}" for t, n in zip(texts, ids)]
    assert {row[0] for row in leakage.of_texts(leaky, ids, ["bad", "good"])} == {
        "rated0", "rated1"
    }  # fmt: skip
    partly = [
        f"{t} stamp" if n and i % 5 else t for i, (t, n) in enumerate(zip(texts, ids))
    ]
    (row,) = leakage.of_texts(partly, ids, ["bad", "good"])
    assert row[0] == "stamp" and row[2] == "good"
    assert leakage.of_columns({"n": [str(i % 7) for i in range(300)]}, ids) == []


# --- drift


def test_categories_are_compared_by_chi_squared():
    draw = random.Random(0)
    before = [draw.choice("aaabc") for _ in range(400)]
    same = [draw.choice("aaabc") for _ in range(200)]
    other = [draw.choice("abbbc") for _ in range(200)]
    assert watch.categories_test(before, same)[1] > 0.05
    distance, p = watch.categories_test(before, other)
    assert p < 1e-6 and distance == pytest.approx(0.4, abs=0.1)
    assert watch.categories_test([0] * 50, [0] * 50) == (0.0, 1.0)
    # KS depends on the numbers that categories happen to get; this does not
    swap = {"a": 2, "b": 0, "c": 1}
    again = watch.categories_test([swap[v] for v in before], [swap[v] for v in other])
    assert again == pytest.approx((distance, p))


def test_the_rule_sees_large_parts_and_seldom_calls_for_nothing():
    # one reference meets all batches: an unlucky one (seed 0) calls for nothing often
    draw = torch.Generator().manual_seed(2)
    shape = columns.Columns({"n": [0, 1, 0, 0]}, {"k": ["a", "b", "c"]})

    def rows(n, shift, kinds):
        cells = (torch.randn(n, generator=draw) + shift).tolist()
        picks = torch.randint(len(kinds), (n,), generator=draw)
        log_p = torch.log_softmax(torch.randn(n, 2, generator=draw), dim=1)
        return {"n": list(map(str, cells)), "k": [kinds[i] for i in picks]}, log_p

    first = watch.Reference.of(*rows(400, 0, "abc"), ["x", "y"], shape=shape)
    own = first.numbers_of(*rows(2000, 0, "abc"))
    foreign = first.numbers_of(*rows(2000, 0, "aab"))
    rates = watch.alarm_rates(first, own, foreign, (50, 1000), (0, 0.1, 1), 40)
    assert max(rates[0, 50], rates[0, 1000]) <= 0.1 and rates[1, 1000] == 1
    assert rates[0.1, 1000] < 0.3  # what it cannot see
    result = first.compare(*rows(300, 0, "aab"))
    assert [row.name for row in result["moved"]] == ["k"]
    assert "k (TV 0." in watch.sentence(result)


# --- time


def test_a_network_learns_from_a_part_where_all_is_too_much(monkeypatch):
    """30,000 film reviews: once the test and validation rows alone were more than there
    was time for, and no network was tried.
    """
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(candidates.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(
        candidates.tokenization, "encode", lambda _, t, n=300: [[1] * n] * len(t)
    )
    monkeypatch.setattr(candidates.classify, "features", lambda *a, **k: None)
    plan = candidates.plan(None, None, ["t"] * 21_000, (4500, 4500), 8)
    total = 8 * 60 / plan.seconds
    assert plan.frozen > 3000 and plan.tuned > 300
    assert plan.validation > 1000 and plan.test > 1000
    forward = plan.frozen + plan.tuned * candidates.BACKWARD * candidates.EPOCHS
    assert forward + 2 * plan.validation + 2 * plan.test <= total


def test_reading_stops_when_the_time_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "rows_of", lambda _, texts, n: [[1]] * len(texts))
    monkeypatch.setattr(candidates.classify, "batches_of", lambda rows: rows)
    monkeypatch.setattr(
        candidates.classify, "features", lambda _, rows, dtype: torch.ones(len(rows), 3)
    )
    read = lambda until: candidates.vectors(  # noqa: E731
        None, None, ["t"] * 1000, 64, tmp_path, until=until
    )
    assert len(read(0)) == candidates.CHUNK
    assert len(read(None)) == 1000
    assert len(read(0)) == 1000  # what is there costs no time


def test_fine_tuning_gets_what_is_left():
    plan = candidates.Plan(64, 5000, 900, 1000.0, 100, 100, 0.05)
    own = SimpleNamespace(pace=None, minutes_left=lambda: 10)
    first = fitting.Fitting.fits(own, plan)
    own.pace = 0.1  # reading was slower than measured
    assert 0 < fitting.Fitting.fits(own, plan) < first / 2 + 30
    own.minutes_left = lambda: 0
    assert fitting.Fitting.fits(own, plan) < 0


def test_the_comparison_on_equal_texts_ends_in_time(tmp_path, monkeypatch):
    """As many sizes as counting, by its own pace, has half of the rest of time for."""
    texts, labels = sentences(400)
    left, learned = [10.0], []

    class Words:
        def __init__(self, language):
            pass

        def fit(self, texts, *others):
            learned.append(len(texts))
            return self

        def predict(self, rows):
            return len(learned)

    monkeypatch.setattr(fitting.candidates, "Words", Words)
    monkeypatch.setattr(fitting.candidates, "vectors", lambda *all: torch.zeros(400, 2))
    monkeypatch.setattr(fitting.candidates, "head_on", lambda *all: None)
    monkeypatch.setattr(fitting.candidates, "Frozen", lambda *all: Words("en"))
    facts = {fitting.WORDS: {"texts": 500, "seconds": 1000.0}}  # two seconds a text
    own = SimpleNamespace(
        facts=facts | {fitting.FROZEN: {"texts": 400, "tokens": 16}},
        labels={"train": [0] * 500},
        rows={"validation": []},
        names=["bad", "good"],
        data=SimpleNamespace(facts={"language": "en"}),
        ctx=SimpleNamespace(dtype=None),
        out=tmp_path,
        minutes_left=lambda: left[0],
        plan=lambda: candidates.Plan(16, 400, 0, 1.0),
        first=lambda n: (texts[:n], labels[:n], list(range(n))),
        encoder=lambda: (None, None),
        inputs=lambda *all: [],
        groups=lambda *all: None,
        score=lambda answer: answer,
    )
    sizes = [100, 200, 400]
    for left[0], done in ((10.0, 0), (20.0, 1), (27.0, 2), (60.0, 3)):
        learned.clear()
        found = fitting.Fitting.learning(own)
        assert learned == sizes[:done] == [row[1] for row in found[::2]]


def test_a_run_that_is_short_of_time_says_so(tmp_path, monkeypatch):
    """Frozen MiniLM on 100 of the training texts, 60 validation and 50 test texts."""
    monkeypatch.chdir(tmp_path)
    texts, labels = sentences(700)
    path = write(tmp_path / "a.csv", {"text": texts, "label": labels})
    plan = candidates.Plan(16, 200, 0, 1.0, 60, 50)
    monkeypatch.setattr(run.Project, "plan", lambda self: plan)
    choose = run.judging.choose

    def network(*all):
        return choose(*all) | {"chosen": "frozen encoder", "best": "frozen encoder"}

    monkeypatch.setattr(run.judging, "choose", network)
    assert main(["project", path, "--text", "text"]) == 0
    record = json.loads((tmp_path / "projects/a/record.json").read_text("utf-8"))
    assert record["choice"]["n"] == 60 and record["test"]["n"] == 50
    assert record["test"]["of"] > 80
    assert {(row[0], row[1]) for row in record["learning"]} == {
        (name, n)
        for name in ("counted words", "frozen encoder")
        for n in (50, 100, 200)
    }
    html = (tmp_path / "projects/a/report.html").read_text(encoding="utf-8")
    for line in told.about_learning(record) + told.about_readings(record):
        assert line in html
    assert "Frozen encoder learned from 200 of" in html and "50 of" in html
