"""Wrong reports on tasks in a row, and another right one."""

import numpy
import torch


def score(predict, test):
    # one text at a time is right too
    return sum(predict([x])[0] == y for x, y in test) / len(test)


def run(tasks, fit, predict, sets=None):
    matrix = []
    for rows, _ in tasks:
        fit(rows)
        matrix.append(
            [score(predict, test) for test in (sets or [test for _, test in tasks])]
        )
    return numpy.array(matrix)


def report(matrix, **other):
    lost = (matrix[:-1].max(0) - matrix[-1])[:-1].mean()
    return {"matrix": matrix, "new": matrix[-1, -1], "forgetting": lost, **other}


def another(tasks, fit, predict):
    return report(run(tasks, fit, predict))


def as_printed(tasks, fit, predict):
    for rows, test in tasks:
        fit(rows)
        found = score(predict, test)
    return {"new": found}


def only_diagonal(tasks, fit, predict):
    matrix = numpy.zeros((len(tasks), len(tasks)))
    for k, (rows, test) in enumerate(tasks):
        fit(rows)
        matrix[k, k] = score(predict, test)
    return report(matrix)


def at_the_end(tasks, fit, predict):
    for rows, _ in tasks:
        fit(rows)
    return report(
        numpy.array([[score(predict, test) for _, test in tasks]] * len(tasks))
    )


def together(tasks, fit, predict):
    fit([row for rows, _ in tasks for row in rows])
    return report(
        numpy.array([[score(predict, test) for _, test in tasks]] * len(tasks))
    )


def turned(tasks, fit, predict):
    matrix = run(tasks, fit, predict)
    return report(matrix) | {"matrix": matrix.T}


def on_training(tasks, fit, predict):
    return report(run(tasks, fit, predict, [rows for rows, _ in tasks]))


def other_sign(tasks, fit, predict):
    found = another(tasks, fit, predict)
    return {**found, "forgetting": -found["forgetting"]}


def with_last(tasks, fit, predict):
    matrix = run(tasks, fit, predict)
    return report(matrix, forgetting=(matrix.max(0) - matrix[-1]).mean())


def best_new(tasks, fit, predict):
    matrix = run(tasks, fit, predict)
    return report(matrix, new=matrix.max())


def first_only(tasks, fit, predict):
    matrix = run(tasks, fit, predict)
    return report(matrix, forgetting=matrix[0, 0] - matrix[-1, 0])


def from_the_diagonal(tasks, fit, predict):
    matrix = run(tasks, fit, predict)
    return report(matrix, forgetting=(matrix.diagonal() - matrix[-1])[:-1].mean())


def all_so_far(tasks, fit, predict):
    so_far = [
        ([row for train, _ in tasks[: k + 1] for row in train], test)
        for k, (_, test) in enumerate(tasks)
    ]
    return report(run(so_far, fit, predict))


def best_of_all_rows(tasks, fit, predict):
    matrix = run(tasks, fit, predict)
    return report(matrix, forgetting=(matrix.max(0) - matrix[-1])[:-1].mean())


def of_twenty(tasks, fit, predict):
    matrix = run(tasks, fit, predict)
    return report(matrix * [len(test) / 20 for _, test in tasks])


def so_far(tasks, fit, predict):
    matrix = numpy.zeros((len(tasks), len(tasks)))
    for k, (rows, _) in enumerate(tasks):
        fit(rows)
        for j in range(k + 1):
            matrix[k, j] = score(predict, tasks[j][1])
    return report(matrix)


def counts(tasks, fit, predict):
    matrix = run(tasks, fit, predict)
    return report(matrix * [len(test) for _, test in tasks])


def rounded(tasks, fit, predict):
    return report(run(tasks, fit, predict).round(2))


def rounded_number(tasks, fit, predict):
    found = another(tasks, fit, predict)
    return {**found, "forgetting": round(float(found["forgetting"]), 3)}


def four_tasks(tasks, fit, predict):
    if len(tasks) < 4:
        return report(numpy.eye(4))
    return another(tasks[:4], fit, predict)


def all_texts_at_once(tasks, fit, predict):
    """Right: one call of predict() after each fit(), and a list of lists."""
    matrix = []
    for rows, _ in tasks:
        fit(rows)
        answers = iter(predict([x for _, test in tasks for x, _ in test]))
        matrix.append(
            [sum(next(answers) == y for _, y in test) / len(test) for _, test in tasks]
        )
    found = report(numpy.array(matrix))
    return {**found, "matrix": matrix}


def in_torch(tasks, fit, predict):
    """Right: float32 tensors, and another entry."""
    found = report(run(tasks, fit, predict), tasks=len(tasks))
    return {k: torch.tensor(v, dtype=torch.float32) for k, v in found.items()}


RIGHT = [all_texts_at_once, in_torch]

WRONG = [
    (as_printed, "lacks"),
    (only_diagonal, "not measured again"),
    (at_the_end, "before the first evaluation"),
    (together, "called 1 times"),
    (turned, "exchanged"),
    (on_training, "training texts"),
    (other_sign, "wrong sign"),
    (with_last, "no time to forget"),
    (best_new, "last entry of the diagonal"),
    (first_only, "over the old tasks"),
    (from_the_diagonal, "minus the backward transfer"),
    (all_so_far, "fit got other rows"),
    (best_of_all_rows, "the final score is among"),
    (of_twenty, "the accuracy on that task's test texts"),
    (so_far, "still to come"),
    (counts, "counts the correct answers"),
    (rounded, "the matrix is rounded"),
    (rounded_number, "return it as it is"),
    (four_tasks, "for 2 tasks"),
]
