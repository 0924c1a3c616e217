"""Wrong backward transfers, and another right one."""


def another(scores):
    K, total = len(scores), 0.0
    for k in range(K - 1):
        total += float(scores[K - 1, k]) - float(scores[k, k])
    return total / (K - 1)


def with_last(scores):
    return float((scores[-1] - scores.diagonal()).mean())


def turned_sign(scores):
    return -another(scores)


def from_best(scores):
    return float((scores[-1] - scores[:-1].max(0).values)[:-1].mean())


def turned_matrix(scores):
    return another(scores.T)


def summed(scores):
    return another(scores) * (len(scores) - 1)


def from_first_row(scores):
    return float((scores[-1] - scores[0])[:-1].mean())


def last_step(scores):
    return float((scores[-1] - scores[-2])[:-1].mean())


def four_tasks(scores):
    return float((scores[-1] - scores.diagonal())[:-1].sum()) / 3


def next_row(scores):
    changes = [float(scores[k + 1, k] - scores[k, k]) for k in range(len(scores) - 1)]
    return sum(changes) / len(changes)


WRONG = [
    (with_last, "nothing came after it"),
    (turned_sign, "wrong sign"),
    (from_best, "best score so far"),
    (turned_matrix, "rows and columns"),
    (summed, "divide by K - 1"),
    (from_first_row, "first row"),
    (last_step, "only the last step"),
    (four_tasks, "size written into your function"),
    (next_row, "the very next task"),
]
