"""What the checks of chapters 01 to 03 share: numbers that hints show, rounded results,
and a graph that stops an answer which walks every path.
"""

import numpy
import pytest
import torch

from ftlib.course import checks
from ftlib.course.checks import accumulation, gradient_descent
from ftlib.course.checks.backprop import check_backward_order
from ftlib.course.checks.gradient_descent import apart, is_rounded, worst


@pytest.mark.parametrize(
    "got, wanted, shown",
    [
        (0.5, 0.25, "0.5, expected 0.25"),
        (0.16791, 0.16789, "0.16791, expected 0.16789"),
        (1.0000001, 1.0, "1.0000001, expected 1"),
        (torch.tensor(2.0), 3, "2, expected 3"),
    ],
)
def test_two_numbers_are_shown_with_digits_that_differ(got, wanted, shown):
    assert apart(got, wanted) == shown


def test_signs_are_shown_where_they_matter():
    assert apart(-0.5, 0.25, "+") == "-0.5, expected +0.25"


def test_rounded_numbers_are_told_from_wrong_ones():
    wanted = torch.tensor([0.123456, -2.345678], dtype=torch.float64)
    for digits in (1, 2, 3, 4):
        assert is_rounded(wanted.round(decimals=digits), wanted)
        assert is_rounded(wanted.float().round(decimals=digits), wanted)
    assert is_rounded(torch.tensor([0.12, -2.34], dtype=torch.float64), wanted)  # cut
    for other in (wanted, wanted + 1e-3, 2 * wanted, -wanted, wanted[:1]):
        assert not is_rounded(other, wanted)
    # far away, although it has few digits
    assert not is_rounded(torch.tensor([0.5, 2.0]), wanted)
    assert is_rounded(2.346, 2.345678) and not is_rounded(2.35, 2.245678)


def test_the_worst_entry_is_found_and_nan_is_worse_than_all():
    wanted = torch.zeros(2, 3)
    got = wanted.clone()
    got[1, 2] = 1.0
    assert worst(got, wanted) == ([1, 2], 1.0, 0.0)
    got[0, 1] = float("nan")
    assert worst(got, wanted)[0] == [0, 1]
    assert worst(torch.tensor(2.0), torch.tensor(1.0)) == ([], 2.0, 1.0)


def test_an_answer_that_walks_every_path_of_a_copy_is_stopped(counted):
    def walk(graph, name):
        path = [place for parent in graph[name] for place in walk(graph, parent)]
        return [*path, name]

    def every_path(parents_of, root):
        # a copy looks up nothing in the graph that the check counts in
        copy = dict(parents_of)
        return list(dict.fromkeys(walk(copy, root)))[::-1]

    assert "walks every path" in repr(check_backward_order(every_path))
    counted("fault")


def test_backward_passes_are_counted_and_torch_is_as_before():
    before = torch.autograd.backward, torch.autograd.grad
    x = torch.ones(2, requires_grad=True)
    with accumulation._counted_backward() as passes:
        x.sum().backward()
        torch.autograd.grad(x.sum(), x)
    assert len(passes) == 2
    assert (torch.autograd.backward, torch.autograd.grad) == before


@pytest.mark.parametrize("name", gradient_descent.FORBIDDEN)
def test_every_forbidden_function_exists(name):
    with gradient_descent.forbid(name, instead="write it"):
        pass


def test_a_forbidden_call_gets_its_own_hint_even_if_the_answer_catches_all(counted):
    import torch

    from ftlib.course.checks import correct, exercise, forbid

    @exercise
    def check_own_softmax(answer):
        with forbid("torch.softmax", instead="write it with exp"):
            answer(torch.zeros(2))
        return correct("own code")

    def calls_it(x):
        try:
            return torch.softmax(x, 0)
        except Exception:
            return x.exp() / x.exp().sum()

    verdict = check_own_softmax(calls_it)
    assert repr(verdict) == "hint: your function calls softmax; write it with exp"
    assert check_own_softmax(lambda x: x.exp() / x.exp().sum()).status == "correct"
    assert torch.softmax(torch.zeros(1), 0) == 1  # the function is back
    counted("fault")


def test_a_changed_shape_and_a_table_are_compared_too(counted):
    import pandas
    import torch

    from ftlib.course.checks import correct, exercise

    def check_with(argument):
        return exercise(lambda answer: correct(f"fine {answer(argument)}"))

    def flattens(x):
        x.resize_(6)
        return 1

    verdict = check_with(torch.zeros(2, 3))(flattens)
    assert "changes x" in repr(verdict)
    table = pandas.DataFrame({"text": ["a", "b"]})
    assert check_with(table)(lambda x: len(x)).status == "correct"
    counted("fault")


@pytest.mark.parametrize(
    "given, change",
    [
        (torch.arange(4), lambda x: x.add_(1)),
        (torch.arange(4), lambda x: x.resize_(2, 2)),
        (torch.ones(3, requires_grad=True), lambda x: x.data.zero_()),
        (numpy.arange(4), lambda x: x.sort() or x.__setitem__(0, 9)),
        ([3, [1, 2], (torch.ones(2),)], lambda x: x[2][0].mul_(2)),
        ([3, [1, 2]], lambda x: x[1].append(5)),
        ((torch.ones(2), [1]), lambda x: x[1].clear()),
        ({"a": torch.ones(2), "b": [1]}, lambda x: x.pop("a")),
        ({1, 2}, lambda x: x.add(3)),
    ],
)
def test_what_an_answer_changes_is_put_back_for_the_next_try(given, change, counted):
    """A checker's own inputs once stayed changed, and every later try was judged with
    them.
    """
    kept = checks._copied(given)

    @checks.exercise
    def check_reads(answer):
        answer(given)
        return checks.correct("read")

    def raises(x):
        change(x)
        raise ValueError("after the change")

    verdict = check_reads(lambda x: [change(x), 1])
    assert verdict.status == "hint" and "changes x, which it was given" in str(verdict)
    assert checks._same(given, kept)
    assert "after the change" in str(check_reads(raises))
    assert checks._same(given, kept)
    assert check_reads(lambda x: len(x)).status == "correct"
    counted("fault", 2)


@pytest.mark.parametrize("held", [list, tuple, lambda x: {"a": x[0], "b": [x[1]]}])
def test_parts_that_the_checker_holds_are_put_back_too(held, counted):
    """A new part in the list would leave the checker's own one changed."""
    one, two = torch.arange(3), numpy.arange(3)
    given = held([one, two])

    @checks.exercise
    def check_reads(answer):
        answer(given)
        return checks.correct("read")

    def change(x):
        one.add_(5)
        two[0] = 9
        return 1

    assert "changes x" in str(check_reads(change))
    assert one.tolist() == [0, 1, 2] and two.tolist() == [0, 1, 2]
    assert (given["a"] if isinstance(given, dict) else given[0]) is one
    counted("fault")
