"""Templates against their own sentences; the split: no wording of the test could come
from a training template, and a fault that lets one through is seen.
"""

import functools
import random
import re

import pytest

from ftlib.course import commands
from ftlib.objectives import instruct

TEMPLATE = "[please] (turn|switch) [all [of]] {area} light[s] (on;<when>)"
RULES = {"when": commands.parse("(now|at {hour:time})")}


def test_the_tree_of_a_template():
    assert commands.parse("a [b|{c:d}]") == (
        "seq",
        [
            ("text", "a "),
            (
                "alt",
                [
                    ("alt", [("seq", [("text", "b")]), ("seq", [("slot", "c", "d")])]),
                    ("text", ""),
                ],
            ),
        ],
    )
    with pytest.raises(ValueError, match="never closed"):
        commands.parse("(turn on")
    with pytest.raises(ValueError, match="never opened"):
        commands.parse("turn) on")


@pytest.mark.parametrize("seed", range(40))
def test_every_sentence_drawn_is_one_that_the_template_allows(seed):
    tree = commands.parse(TEMPLATE)
    parts = commands.sample_sentence(tree, RULES, random.Random(seed))
    wording = "".join(p if isinstance(p, str) else "{" + p[0] + "}" for p in parts)
    assert commands.matches(wording, [tree], RULES)
    assert not commands.matches(wording + " x", [tree], RULES)


def test_orders_and_choices():
    tree = commands.parse(TEMPLATE)
    for yes in ("turn {area} lights on now", "switch all of {area} light at {hour} on"):
        assert commands.matches(yes, [tree], RULES)
    for no in (
        "turn {area} lights on",
        "turn of {area} light on now",
        "turn lights on",
    ):
        assert not commands.matches(no, [tree], RULES)


@pytest.fixture(scope="module", params=["en", "zh"])
def language(request):
    return request.param


@pytest.fixture(scope="module")
def data(language):
    return commands.load(language)


def test_counts(language, data):
    sizes = {part: len(rows) for part, rows in data.items()}
    least = {"en": (11000, 150, 350, 200), "zh": (8000, 70, 240, 150)}[language]
    for part, n in zip(("train", "validation", "test", "new_values"), least):
        assert n < sizes[part] < 1.3 * n, sizes
    assert min(sizes["unrelated_validation"], sizes["unrelated_test"]) > 30


def test_calls_can_be_read_and_every_form_is_known(data):
    schema = instruct.call_schema([(r["text"], r["call"]) for r in data["train"]])
    for part in ("validation", "test", "new_values"):
        for row in data[part]:
            call = instruct.parse_call(row["call"])
            assert call["intent"] == row["intent"]
            slots = tuple(key for key in call if key != "intent")
            assert (row["intent"], slots) in schema["forms"]
            assert row["text"] == commands.normal(row["text"])


def test_nothing_is_shared_between_the_parts(data):
    seen = {"template": set(), "text": set(), "wording": set()}
    for part in ("train", "validation", "test"):
        for key, earlier in seen.items():
            own = {row[key] for row in data[part]}
            assert not own & earlier, (part, key)
            earlier |= own


def test_no_training_template_allows_a_wording_of_the_test(language, data, counted):
    raw = commands.read(language)
    house = commands.House(raw, language)
    rows = [r for r in commands.templates(raw) if r["intent"] not in commands.UNRELATED]
    parts = commands.split_templates(rows)
    trees = [row["tree"] for row in parts["train"]]
    patterns = [re.compile(commands.pattern(tree, house.rules)) for tree in trees]

    def leaks(tested):
        bare = {re.sub(r"\s+", "", row["wording"]) for row in tested}
        return sum(any(p.fullmatch(w) for p in patterns) for w in bare)

    assert leaks(data["test"]) == leaks(data["validation"]) == 0
    # the planted fault: templates dealt, sentences not compared
    rng = random.Random(0)
    careless = [
        commands.command(r, house, rng) for r in parts["test"] for _ in range(4)
    ]
    assert leaks(careless) > 3
    counted("fault")


def test_new_names_are_in_no_training_command(data):
    trained = {v for row in data["train"] for v in row["values"].values()}
    for row in data["new_values"]:
        assert {*commands.names_of(row)} - trained, row


def test_near_equal_counts_one_word():
    others = ["turn on the {area} light", "stop"]
    assert commands.near_equal("turn on {area} light", others)
    assert commands.near_equal("turn off the {area} light", others)
    assert not commands.near_equal("turn off {area} light", others)
    assert commands.near_equal("打开灯", ["打开的灯"])
    assert commands._edits("kitten", "sitting", 3) == 3
    assert commands._edits("kitten", "sitting", 1) > 1


def test_near_equal_agrees_with_the_definition():
    @functools.cache
    def distance(a, b):
        if not a or not b:
            return len(a) + len(b)
        changed = distance(a[1:], b[1:]) + (a[0] != b[0])
        return min(changed, distance(a[1:], b) + 1, distance(a, b[1:]) + 1)

    draw = random.Random(0)
    for _ in range(500):
        a, b = ("".join(draw.choices("xyz", k=draw.randint(1, 6))) for _ in range(2))
        for most in (0, 1, 2):
            assert commands.near_equal(a, [b], most) == (distance(a, b) <= most)


def test_what_people_type_is_written_like_the_commands():
    assert (
        commands.normal("  Turn ON the light, please! ") == "turn on the light please"
    )
    assert commands.normal("[SEP]{a}") == "sep a"
    assert commands.normal("把亮度调到50%。") == "把亮度调到50%"


def test_an_unknown_language_is_named():
    with pytest.raises(KeyError, match="no commands in 'xx'; there are en, zh"):
        commands.read("xx")
