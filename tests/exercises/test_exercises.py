"""Every exercise of every chapter: the blank is "not yet", the folded solution and
every catalogued right form (`another`, and RIGHT, an optional list of more) are
"correct", and each catalogued wrong answer (wrong_answers/check_NAME.py) gets a hint
of its own that names the misunderstanding.
"""

import importlib
import importlib.util
import pathlib
import random

import notebooks
import pytest

from ftlib.course import checks
from ftlib.course.checks import Verdict, correct, exercise, expect, hint, not_yet

WRONG_ANSWERS = pathlib.Path(__file__).parent / "wrong_answers"
ENOUGH = 3  # wrong answers of one exercise
ALL = [
    (path, item) for path in notebooks.chapters() for item in notebooks.exercises(path)
]


def checker(name):
    """The checker `name` from one of the topic files of ftlib/course/checks."""
    for path in sorted(pathlib.Path(checks.__file__).parent.glob("*.py")):
        if path.stem != "__init__":
            found = getattr(
                importlib.import_module(f"ftlib.course.checks.{path.stem}"), name, None
            )
            if found is not None:
                return found
    raise LookupError(f"no file of ftlib/course/checks has {name}")


def right_answers(catalogue):
    """`another` and what the catalogue's RIGHT lists -> [answer]."""
    return [catalogue.another, *getattr(catalogue, "RIGHT", [])]


def wrong_answers(name, folder=WRONG_ANSWERS):
    """The module wrong_answers/NAME.py."""
    path = folder / f"{name}.py"
    if not path.exists():
        raise LookupError(
            f"{path.parent.name}/{path.name} is missing; it holds `another` and WRONG"
        )
    spec = importlib.util.spec_from_file_location(f"wrong_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def define(text, name, names):
    """Run `text` (a stub or a solution) as a cell of the chapter would -> the function
    it defines.
    """
    scope = dict(names)
    exec(compile(text, f"<{name}>", "exec"), scope)
    return scope[name]


def markup(item):
    """What is missing around an exercise -> [sentence]."""
    found = []
    if not item.task.lstrip().startswith("### Exercise"):
        found.append("the cell before the blank starts with `### Exercise N.M - Title`")
    if "**Difficulty**" not in item.task or "**Time**" not in item.task:
        found.append("the task has no line with **Difficulty** and **Time**")
    if not any(title.startswith("Hint") for title in item.folds):
        found.append("the cell after the blank has no folded hint")
    if item.solution is None:
        found.append(
            "the cell after the blank needs one folded Solution with one "
            "```python block"
        )
    if item.outputs and "not yet" not in item.outputs:
        found.append(
            f"the notebook stores {item.outputs[:60]!r} beneath the blank, "
            "and should store `not yet`"
        )
    return found


def fingerprint():
    """Where the shared random generators are, as bytes."""
    python, numpy_, torch_ = checks._random_state()
    return repr(python), repr(numpy_[1:3]), torch_.numpy().tobytes()


def watched(check, answer):
    """(verdict, whether the answer or the check drew from the shared generators)."""
    ends, restore = [], checks._restore
    checks._restore = lambda state: (ends.append(fingerprint()), restore(state))
    try:
        verdict = check(answer)
    finally:
        checks._restore = restore
    here = checks._random_state()
    checks._seed(checks.SEED)
    start = fingerprint()
    restore(here)
    return verdict, any(end != start for end in ends)


def by_luck(check, answer, seeds=(1, 2, 3)):
    """The verdicts with other random numbers -> [Verdict]."""
    verdicts, before = [], checks.SEED
    try:
        for checks.SEED in seeds:
            verdicts.append(check(answer))
    finally:
        checks.SEED = before
    return verdicts


def same_kind(one, other):
    """Whether two verdicts say the same, whatever numbers they name."""
    digits = str.maketrans("", "", "0123456789")
    first, second = (repr(x).translate(digits) for x in (one, other))
    return first == second


def audit(check, name, stub, solution, answers, names):
    """What is wrong with an exercise's checker -> ([sentence], number of wrong answers
    that got their hint).
    """
    found, hints = [], {}

    def verdict(answer, wanted, what):
        result, drew = watched(check, answer)
        for other in by_luck(check, answer) if drew else ():
            if not same_kind(other, result):
                found.append(f"{what} gets {result!r}, and by luck {other!r}")
        if not isinstance(result, Verdict) or result.status != wanted:
            found.append(f"{what} gets {result!r}, and should be {wanted!r}")
        elif len(repr(result).splitlines()) != 1:
            found.append(f"{what}: the verdict is more than one line")
        return result

    verdict(define(stub, name, names), "not yet", "the blank")
    verdict(define(solution, name, names), "correct", "the folded solution")
    for right in right_answers(answers):
        called = getattr(right, "__name__", type(right).__name__)
        verdict(right, "correct", f"right answer {called}")
    if len(answers.WRONG) < ENOUGH:
        found.append(
            f"{len(answers.WRONG)} wrong answers, at least {ENOUGH} are needed"
        )
    for wrong, words in answers.WRONG:
        result = verdict(wrong, "hint", f"wrong answer {wrong.__name__}")
        if words.lower() not in repr(result).lower():
            found.append(
                f"wrong answer {wrong.__name__} gets {result!r}, without {words!r}"
            )
        if repr(result) in hints:
            found.append(
                f"{wrong.__name__} and {hints[repr(result)]} get the same hint"
            )
        hints[repr(result)] = wrong.__name__
    return found, len(answers.WRONG)


@pytest.mark.parametrize(
    "path, item", ALL, ids=[f"{path.stem[:2]}-{item.check}" for path, item in ALL]
)
def test_exercise(path, item, counted):
    assert markup(item) == []
    catalogue = wrong_answers(item.check)
    found, caught = audit(
        checker(item.check),
        item.name,
        item.stub,
        item.solution,
        catalogue,
        notebooks.namespace(path),
    )
    assert found == []
    counted("exercise")
    counted("right answer", len(right_answers(catalogue)))
    counted("wrong answer", caught)


def test_every_catalogue_belongs_to_an_exercise():
    used = {item.check for _, item in ALL}
    stems = {path.stem for path in WRONG_ANSWERS.glob("check_*.py")}
    assert not ALL or stems == used


def test_no_two_exercises_share_a_checker():
    names = [item.check for _, item in ALL]
    assert sorted(names) == sorted(set(names))


# --- planted faults: faulty checkers and catalogues must be found


@exercise
def check_double(answer):
    expect(answer(2) == 4, "2 became something else than 4; two times, not plus three")
    expect(answer(3) == 6, "3 became something else than 6; do you square?")
    expect(answer(-1) == -2, "the sign is lost")
    return correct("every number is doubled")


class Answers:
    @staticmethod
    def another(x):
        return x + x

    WRONG = [
        (lambda x: x + 3, "plus three"),
        (lambda x: x * x, "square"),
        (lambda x: abs(2 * x), "sign"),
    ]


STUB, SOLUTION = "def double(x):\n    return None", "def double(x):\n    return 2 * x"


def with_wrong(*wrong):
    return type("Answers", (), {"another": Answers.another, "WRONG": list(wrong)})


def with_right(*right):
    return type("Answers", (Answers,), {"RIGHT": list(right)})


class Doubler:
    """A right answer that has no name of its own."""

    def __call__(self, x):
        return 2 * x


@exercise
def check_double_of_integers(answer):
    expect(type(answer(2)) is int, "the result is no integer")
    return check_double(answer)


FAULTY = {
    "accepts everything": (
        (exercise(lambda answer: correct("fine")), STUB, SOLUTION, Answers),
        "the blank gets",
    ),
    "rejects everything": (
        (exercise(lambda answer: (answer(1), hint("no"))[1]), STUB, SOLUTION, Answers),
        "the folded solution gets",
    ),
    "accepts one wrong answer": (
        (
            check_double,
            STUB,
            SOLUTION,
            with_wrong(*Answers.WRONG, (lambda x: 2 * x, "x")),
        ),
        "gets correct",
    ),
    "hint without the words": (
        (
            check_double,
            STUB,
            SOLUTION,
            with_wrong(*Answers.WRONG[:2], (lambda x: abs(2 * x), "tripled")),
        ),
        "without",
    ),
    "the same hint twice": (
        (
            check_double,
            STUB,
            SOLUTION,
            with_wrong(*Answers.WRONG, (lambda x: x * x + 0, "square")),
        ),
        "the same hint",
    ),
    "too few wrong answers": (
        (check_double, STUB, SOLUTION, with_wrong(*Answers.WRONG[:2])),
        "at least",
    ),
    "the blank is solved": (
        (check_double, SOLUTION, SOLUTION, Answers),
        "the blank gets",
    ),
    "the solution is wrong": (
        (check_double, STUB, "def double(x):\n    return x + 3", Answers),
        "the folded solution gets",
    ),
    "refuses `another`": (
        (
            check_double,
            STUB,
            SOLUTION,
            type("Answers", (Answers,), {"another": staticmethod(lambda x: x + 3)}),
        ),
        "right answer <lambda> gets hint",
    ),
    "a hint that depends on luck": (
        (
            check_double,
            STUB,
            SOLUTION,
            with_wrong(*Answers.WRONG, (lambda x: random.choice([2, 3]) * x, "became")),
        ),
        "and by luck",
    ),
    "refuses one right answer of several": (
        (
            check_double_of_integers,
            STUB,
            SOLUTION,
            with_right(lambda x: x * 2, lambda x: x * 2.0),
        ),
        "right answer <lambda> gets hint: the result is no integer",
    ),
}


def test_good_exercise_has_no_finding():
    for answers in (Answers, with_right(lambda x: x * 2.0, Doubler())):
        assert audit(check_double, "double", STUB, SOLUTION, answers, {}) == ([], 3)
    assert len(right_answers(Answers)) == 1 and len(right_answers(answers)) == 3


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_exercise_is_caught(name, counted):
    (check, stub, solution, answers), words = FAULTY[name]
    found, _ = audit(check, "double", stub, solution, answers, {})
    assert any(words in finding for finding in found), found
    counted("fault")


def test_missing_catalogue_is_caught(tmp_path):
    with pytest.raises(LookupError, match="check_nothing.py is missing"):
        wrong_answers("check_nothing", tmp_path)
    with pytest.raises(LookupError):
        checker("check_nothing")


def test_markup_of_a_chapter_is_read(tmp_path):
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    fold = (
        "<details><summary>Hint "
        "1</summary>\n\nTwice.\n</details>\n<details><summary>Solution</summary>\n\n```python\n"
        f"{SOLUTION}\n```\n</details>"
    )
    cells = [
        new_code_cell(
            "import math\nLIMIT = 5\ndef helper(x):\n    return x\nmodel = helper(3)"
        ),
        new_markdown_cell(
            "### Exercise 1.1 - Double\n\n> **Difficulty** 1 of 5 · "
            "**Time** 3 min\n\nDouble it."
        ),
        new_code_cell(
            f"{STUB}\n\ncheck_double(double)", metadata={"tags": ["exercise"]}
        ),
        new_markdown_cell(fold),
    ]
    path = tmp_path / "01_sample.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    (item,) = notebooks.exercises(path)
    assert (item.name, item.check, item.solution.strip()) == (
        "double",
        "check_double",
        SOLUTION,
    ) and markup(item) == []
    assert {"math", "LIMIT", "helper"} <= set(
        notebooks.namespace(path)
    ) and "model" not in notebooks.namespace(path)
    assert audit(
        check_double,
        item.name,
        item.stub,
        item.solution,
        Answers,
        notebooks.namespace(path),
    ) == ([], 3)
    cells[1].source, cells[3].source = "Double it.", "No fold."
    nbformat.write(new_notebook(cells=cells), path)
    assert len(markup(notebooks.exercises(path)[0])) == 4
    cells[2].source = STUB
    nbformat.write(new_notebook(cells=cells), path)
    with pytest.raises(ValueError, match="ends with"):
        notebooks.exercises(path)


# --- the decorator


def test_blanks_are_not_yet():
    for blank in (None, ..., lambda x: None, lambda x: ...):
        assert check_double(blank).status == "not yet"


def test_exceptions_become_hints_with_their_line():
    def index(x):
        values = [x]
        return values[5]

    verdict = check_double(index)
    line = index.__code__.co_firstlineno + 2
    assert (
        verdict.status == "hint"
        and f"IndexError (list index out of range) on line {line}: `return values[5]`"
        in repr(verdict)
    )
    assert "how many arguments" in repr(check_double(lambda: 4))
    assert "SystemExit" in repr(check_double(lambda x: exit()))


def test_none_on_a_later_call_is_a_hint():
    assert "every path needs a return" in repr(
        check_double(lambda x: 4 if x == 2 else None)
    )


def test_results_that_the_check_cannot_read_become_a_hint():
    check = exercise(
        lambda answer: correct("fine") if answer(1).shape == () else hint("shape")
    )
    assert check(lambda x: 3).status == "hint" and "AttributeError" in repr(
        check(lambda x: 3)
    )


def test_a_check_without_verdict_is_an_error():
    with pytest.raises(TypeError, match="returns a Verdict"):
        exercise(lambda answer: True)(3)
    with pytest.raises(ValueError, match="must be one of"):
        Verdict("perfect", "")


def test_verdicts_are_one_line_and_true_only_when_correct():
    assert repr(hint("a\n  b")) == "hint: a b"
    assert correct("x") and not hint("x") and not not_yet()


def test_random_state_is_the_same_after_a_check():
    import random

    import numpy
    import torch

    check = exercise(
        lambda answer: correct(
            f"{answer(random.random())} {numpy.random.rand()} {torch.rand(1)}"
        )
    )
    before = (
        random.getstate(),
        numpy.random.get_state()[1].tolist(),
        torch.get_rng_state(),
    )
    check(lambda x: x)
    assert (
        random.getstate() == before[0]
        and numpy.random.get_state()[1].tolist() == before[1]
    )
    assert torch.equal(torch.get_rng_state(), before[2])
