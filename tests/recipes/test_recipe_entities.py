"""recipes/entities.py: the dictionary, Viterbi against every path, a linear model that
finds a name it never saw, and the program, which adds only what is missing.
"""

import itertools
import json
import sys

import entities as recipe
import numpy
import pytest

from ftlib.course import sources
from ftlib.objectives import tagging


def test_the_dictionary_takes_the_longest_and_drops_everyday_words():
    texts = ["新华社在北京", "北京大学在北京", "新年", "新书", "新"]
    spans = [[(0, 3, "ORG"), (4, 6, "LOC")], [(0, 4, "ORG"), (5, 7, "LOC")]]
    spans += [[(0, 1, "PER")], [], []]  # 新 is a name in one of five places
    known = recipe.Dictionary(texts, spans)
    assert set(known.names) == {"新华社", "北京", "北京大学"}
    assert known("去北京大学，去北京") == [(1, 5, "ORG"), (7, 9, "LOC")]
    assert known("") == []


def valid(path):
    tags = [recipe.CLASSES[i] for i in path]
    return all(
        tag[0] != "I" or (before[0] in "BI" and before[1:] == tag[1:])
        for before, tag in zip(["O", *tags], tags)
    )


@pytest.mark.parametrize("seed", range(5))
def test_viterbi_finds_the_best_of_all_valid_paths(seed):
    draw = numpy.random.default_rng(seed)
    classes = len(recipe.CLASSES)
    scores = draw.normal(size=(4, classes))
    moves = draw.normal(size=(classes, classes))

    def total(path):
        steps = sum(moves[a, b] for a, b in zip(path, path[1:]))
        return steps + sum(row[i] for row, i in zip(scores, path))

    paths = itertools.product(range(classes), repeat=4)
    best = max((path for path in paths if valid(path)), key=total)
    assert recipe.viterbi(scores, moves + recipe.RULES) == list(best)


def test_the_linear_model_finds_a_name_that_it_never_saw():
    """By the character before it; the dictionary, the control, cannot."""
    texts = [f"记者{name}说" for name in ("甲乙", "丙丁", "戊己", "庚辛")]
    spans = [[(2, 4, "PER")]] * len(texts) + [[]] * 3
    texts += ["读者来信", "笔者说过", "记录在案"]
    model = recipe.Perceptron(texts, spans, seed=0, epochs=10)
    known = recipe.Dictionary(texts, spans)
    assert model("记者王李说") == [(2, 4, "PER")] and known("记者王李说") == []
    tags = recipe.char_tags("记者王李说", model("记者王李说"))
    assert tags == tagging.repair_bio(tags)


def test_f1_is_that_of_the_stored_counts():
    found = [[(0, 2, "PER"), (3, 4, "LOC")], [], [(0, 1, "ORG")]]
    spans = [[(0, 2, "PER")], [(1, 2, "LOC")], [(0, 1, "PER")]]
    rows = recipe.counts(found, spans)
    assert rows == [[1, 2, 1], [0, 0, 1], [0, 1, 1]]
    assert recipe.f1(rows) == pytest.approx(2 / 6) and recipe.f1([[0, 0, 0]]) == 0


@pytest.fixture(scope="module")
def news():
    return sources.entities()


def test_small_draws_begin_large_ones(news):
    few, many = (recipe.drawn(news["train"], n, 3)[0] for n in (20, 100))
    assert many[:20] == few and len(recipe.drawn(news["train"], 0, 3)[0]) == len(
        news["train"]["text"]
    )


def test_a_network_learns_and_predicts_spans_of_the_text(news):
    texts, spans = recipe.drawn(news["train"], 6, 0)
    net, tokenizer = recipe.finetune(texts, spans, least=2)
    found = recipe.predict(net, tokenizer, texts)
    assert len(found) == 6
    assert all(0 <= a < b <= len(t) for t, own in zip(texts, found) for a, b, _ in own)


def test_the_program_adds_only_what_is_missing(news, tmp_path, monkeypatch, capsys):
    out = tmp_path / "entities.json"
    monkeypatch.setattr(sources, "entities", lambda: news)
    command = f"entities.py --seeds 0 --tests 30 --out {out} --methods dictionary"

    def run(sizes):
        monkeypatch.setattr(sys, "argv", [*command.split(), "--sizes", *sizes.split()])
        recipe.main(recipe.arguments())
        return capsys.readouterr().out.count("dictionary")

    assert [run("20"), run("20 40"), run("20 40")] == [1, 1, 0]
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    assert [cell["n"] for cell in cells] == [20, 40]
    rows = [[*map(int, row.split("/"))] for row in cells[1]["counts"].split()]
    assert recipe.f1(rows) == pytest.approx(cells[1]["f1"], abs=1e-5)
    with pytest.raises(SystemExit):  # other tests: numbers of another kind
        monkeypatch.setattr(sys, "argv", [*command.split(), "--tests", "10"])
        recipe.main(recipe.arguments())
