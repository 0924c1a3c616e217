"""recipes/film_questions.py: parts without a common film, rows for training, the
threshold of "no answer", and the rules that it is compared with.
"""

import film_questions as recipe
import pytest
import torch
from finetune import encoder_of

from ftlib.course import silver, sources
from ftlib.objectives import extractive_qa

PEOPLE = [(f"Maria Keller{c}", f"Tom Hart{c}", f"Ann Wit{c}") for c in "abcdef"]
FILMS = [
    {"title": f"Night {n}", "year": 1980 + n, "directors": [d], "cast": [a, b]}
    for n, (d, a, b) in enumerate(PEOPLE)
]


def review(n, more=""):
    director, actor, _ = PEOPLE[n]
    return f"In this film {actor} is fine. It was directed by {director}. {more}"


@pytest.fixture
def made(monkeypatch):
    """The questions of few reviews; film 0 has one in every split."""
    texts = {
        "train": [review(0), review(1), review(2)],
        "validation": [review(0), review(3)],
        "test": [review(0), review(4)],
    }
    monkeypatch.setattr(sources, "films", lambda: FILMS)
    columns = {split: {"text": rows} for split, rows in texts.items()}
    monkeypatch.setattr(sources, "load", lambda name: columns)
    return recipe.parts()


def test_no_film_stands_in_two_parts_and_the_test_asks_in_other_words(made):
    numbers = {part: {q["film"] for q in asked} for part, asked in made.items()}
    assert numbers == {"train": {1, 2}, "validation": {3}, "test": {0, 4}}
    words = {part: {q["question"] for q in asked} for part, asked in made.items()}
    assert not words["test"] & (words["train"] | words["validation"])


def question(kind="director", more=""):
    (row,) = silver.named_films([review(5, more)], FILMS)
    asked = silver.questions([row], FILMS)
    return next(q for q in asked if q["kind"] == kind)


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = encoder_of(recipe.MODEL)[1]
    tokenizer.no_truncation()
    return tokenizer


def test_a_window_that_is_called_empty_holds_no_answer(tokenizer):
    q = question(more="The wood is old. " * 80 + "Maria Kellerf again.")
    windows = recipe.windows_of(tokenizer, q)
    assert len(windows) > 2
    rows = recipe.training_rows(tokenizer, [q], recipe.WAYS[1], 0)
    (window, (first, last)), (_, nothing) = rows
    start, end = window["offsets"][first][0], window["offsets"][last][1]
    assert q["context"][start:end] == q["answers"][0] == "Maria Kellerf"
    assert nothing == (0, 0) and not recipe._has(rows[1][0], q)
    assert len(recipe.training_rows(tokenizer, [q], recipe.WAYS[0], 0)) == 1


def test_a_network_learns_and_answers_with_words_of_the_review():
    q, ctx = question(), recipe.distributed.setup()
    settings = recipe.SETTINGS | dict(size=2, epochs=1)
    net, tokenizer = recipe.finetune([q, q], recipe.WAYS[0], 0, ctx, **settings)
    for cut in (False, True):
        ((text, above),) = recipe.answers(net, tokenizer, [q], ctx, cut)
        assert text in q["context"] and abs(above) < 100
    assert isinstance(net, extractive_qa.QuestionAnswering)
    assert torch.isfinite(net.head.weight).all()


def test_the_threshold_is_the_one_with_the_best_f1():
    asked = [{"answers": a} for a in (["x"], ["y"], [], [])]
    given = [("x", -3.0), ("y", 1.0), ("z", 2.0), ("z", 5.0)]
    threshold = recipe.best_threshold(given, asked)
    assert recipe.decided(given, threshold) == ["x", "y", "", ""]
    # where every question has an answer, none is taken away
    known = [{"answers": [text]} for text, _ in given]
    threshold = recipe.best_threshold(given, known)
    assert recipe.decided(given, threshold) == ["x", "y", "z", "z"]


def test_the_rules_answer_as_their_names_say():
    q = question()
    trained = [question()] * 2
    assert recipe.first_name(q, trained) == "Tom Hartf"
    near = recipe.near_a_cue(q, trained)
    assert extractive_qa.exact_match(near, ["Maria Kellerf"]) == 1
    assert recipe.most_frequent(q, trained) == "Maria Kellerf"
    year = question("year", more="From 1985.")
    assert recipe.first_name(year, []) == recipe.near_a_cue(year, []) == "1985"
    assert recipe.first_name({"kind": "year", "context": "none"}, []) == ""


def test_a_third_of_the_drawn_questions_has_no_answer():
    asked = [{"answers": ["a"] if i % 2 else [], "i": i} for i in range(200)]
    picked = recipe.drawn(asked, 60, seed=1)
    assert sum(bool(q["answers"]) for q in picked) == 40 and len(picked) == 60
    assert picked == recipe.drawn(asked, 60, seed=1) != recipe.drawn(asked, 60, seed=2)
