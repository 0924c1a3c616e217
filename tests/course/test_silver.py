"""ftlib/course/silver.py: names in a text, the film of a review, questions and their
silver answers.
"""

import pytest

from ftlib.course import silver

FILMS = [
    {
        "title": "The Long Night",
        "year": 1987,
        "directors": ["Maria Keller"],
        "cast": ["Tom Hart", "Ann de Wit", "Maria Keller"],
    },
    {
        "title": "Another Day",
        "year": 1990,
        "directors": ["Jon Berg"],
        "cast": ["Tom Hart", "Eva Lund"],
    },
]


@pytest.mark.parametrize(
    "text, names",
    [
        ("Tom Hart's best, and Ann de Wit. No more.", ["Tom Hart", "Ann de Wit"]),
        ("Director Maria Keller", ["Maria Keller"]),
        ("tom hart, Tom, Hart", []),
        ("", []),
    ],
)
def test_mentions_are_the_full_names(text, names):
    found = silver.mentions(text, silver.people_of(FILMS))
    assert [name for *_, name in found] == names
    assert all(text[a:b] == name for a, b, name in found)


def test_a_film_needs_two_names_and_more_than_any_other():
    both = "Maria Keller and Tom Hart."
    texts = [both, "Tom Hart alone.", "Tom Hart, Ann de Wit, Eva Lund."]
    assert [row["text"] for row in silver.named_films(texts, FILMS)] == [both]


def test_answers_are_where_the_review_says_them():
    text = "Tom Hart is good in The Long Night (1987) by Maria Keller."
    asked = silver.questions(silver.named_films([text], FILMS), FILMS)
    assert {q["kind"]: q["answers"] for q in asked} == {
        "director": ["Maria Keller"],
        "cast": ["Tom Hart"],  # who directs and acts is no answer to "who acts?"
        "year": ["1987"],
    }
    assert all(text[q["start"] : q["end"]] in q["answers"] for q in asked)


def test_no_answer_is_said_only_where_it_is_known():
    with_title = "The Long Night: Tom Hart and Ann de Wit."
    asked = silver.questions(silver.named_films([with_title], FILMS), FILMS)
    unanswered = {q["kind"] for q in asked if not q["answers"]}
    assert unanswered == {"director", "year"}
    # another year stands there, or the director's family name: nobody knows
    for text in (with_title + " Of 1999.", with_title + " Keller."):
        more = silver.questions(silver.named_films([text], FILMS), FILMS)
        assert len(more) == len(asked) - 1


def test_wordings_of_the_test_are_in_no_training_question():
    for train, test in silver.WORDINGS.values():
        assert not {*train} & {*test}
    rows = silver.named_films(["Maria Keller and Tom Hart."] * 20, FILMS)
    kinds = [
        {q["question"] for q in silver.questions(rows, FILMS, unseen=unseen)}
        for unseen in (False, True)
    ]
    assert not kinds[0] & kinds[1]
