"""Every exercise's checker against syntax-tree mutants of the folded solution
(tools/mutants.py): each is refused, or the catalogue says why it is let through.

In wrong_answers/check_NAME.py, both {label of the mutant: reason}:
EQUIVALENT  the mutant is still a right answer
TOLERATED   the mutant is wrong and the checker takes it; these count against the score
            (tools/test.py asks for 95 %)
"""

import contextlib
import signal

import mutants
import notebooks
import pytest
import torch
from test_exercises import ALL, checker, define, wrong_answers

from ftlib.course.checks import correct, exercise, expect

SECONDS = 10  # for one mutant; an endless loop is a refused one


class Late(BaseException):
    """No Exception, so that no checker takes it for one of the answer's."""


@contextlib.contextmanager
def limit(seconds):
    """Raise Late after `seconds`."""

    def late(*_):
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        # where the signal came inside torch's no_grad, gradients would stay off
        torch.set_grad_enabled(True)


def takes(check, answer):
    """Whether the check says "correct"."""
    try:
        with limit(SECONDS):
            return check(answer).status == "correct"
    except Late:
        return False


def survivors(check, name, solution, names):
    """(labels of the mutants that the check takes, number of all mutants)."""
    found, tried = [], 0
    for mutant in mutants.mutants(solution):
        try:
            answer = define(mutant.source, name, names)
        except Exception:  # it is not even a function: nobody gets as far as the check
            continue
        tried += 1
        if takes(check, answer):
            found.append(mutant.label)
    for answer in mutants.spoiled(define(solution, name, names)):
        taken = takes(check, answer)
        tried += answer.differs
        if taken and answer.differs:
            found.append(answer.label)
    return found, tried


def audit(found, equivalent, tolerated):
    """What is wrong with a catalogue's two lists -> [sentence]."""
    listed = equivalent | tolerated
    return [
        *(f"the check takes the mutant {label}" for label in found - listed.keys()),
        *(f"{label} is listed and refused" for label in listed.keys() - found),
        *(f"{label} is in both lists" for label in equivalent.keys() & tolerated),
        *(f"{label}: no reason" for label in listed if len(listed[label]) < 10),
    ]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer on Windows")
@pytest.mark.parametrize(
    "path, item", ALL, ids=[f"{path.stem[:2]}-{item.check}" for path, item in ALL]
)
def test_mutants_are_refused(path, item, counted):
    catalogue = wrong_answers(item.check)
    equivalent = getattr(catalogue, "EQUIVALENT", {})
    tolerated = getattr(catalogue, "TOLERATED", {})
    found, tried = survivors(
        checker(item.check), item.name, item.solution, notebooks.namespace(path)
    )
    assert audit(set(found), equivalent, tolerated) == []
    counted("mutant", tried - len(found))
    if tolerated:
        counted("tolerated mutant", len(tolerated))


# --- planted faults: what the tool must see

HALVES = "def halves(x):\n    return [v / 2 for v in x if v > 0]"


@exercise
def check_halves(answer):
    expect(answer([2, 4, 0, -2]) == [1, 2], "halves of the positive ones")
    return correct("all halved")


@exercise
def check_careless(answer):
    expect(answer([2, 4]) == [1, 2], "halves")
    return correct("all halved")


def test_a_thorough_check_leaves_only_what_is_the_same():
    found, tried = survivors(check_halves, "halves", HALVES, {})
    # numbers between 0 and 1 are not asked for, and the guard of `exercise` sees
    # that an argument is changed
    assert found == ["`0` -> `1`"] and tried >= 8


def test_a_careless_check_is_seen(counted):
    found, _ = survivors(check_careless, "halves", HALVES, {})
    assert {"`v > 0` -> `v >= 0`", "`0` -> `-1`"} <= set(found)
    counted("fault")


def test_an_endless_mutant_is_refused(monkeypatch, counted):
    monkeypatch.setitem(globals(), "SECONDS", 0.2)
    source = "def count(n):\n    i = 0\n    while i < n:\n        i += 1\n    return i"

    @exercise
    def check_count(answer):
        expect(answer(3) == 3 and answer(0) == 0, "it counts up to n")
        return correct("counted")

    found, _ = survivors(check_count, "count", source, {})
    assert "`i += 1` -> `pass`" not in found
    counted("fault")


def test_lost_gradients_and_changed_arguments_are_tried(counted):
    import torch

    source = "def loss(x):\n    return (x * x).sum()"

    def value_alone(answer):
        expect(float(answer(torch.tensor([1.0, 2.0]))) == 5, "the sum of squares")
        return correct("summed")

    found, _ = survivors(exercise(value_alone), "loss", source, {})
    assert found == ["the result is detached"]
    careless = exercise(changes=("x",))(value_alone)
    found, _ = survivors(careless, "loss", source, {})
    assert found == ["the result is detached", "x is changed"]
    counted("fault", 2)


def test_lists_that_do_not_agree_are_seen(counted):
    reason = "still a right answer"
    assert audit({"a", "b"}, {"a": reason}, {"b": reason}) == []
    assert audit({"a"}, {}, {}) == ["the check takes the mutant a"]
    assert audit(set(), {"a": reason}, {}) == ["a is listed and refused"]
    assert audit({"a"}, {"a": reason}, {"a": reason}) == ["a is in both lists"]
    assert audit({"a"}, {"a": "so"}, {}) == ["a: no reason"]
    counted("fault", 4)
