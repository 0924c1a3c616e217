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


def gains_are_nothing(scores):
    return float((scores[-1] - scores.diagonal())[:-1].clamp(max=0).mean())


def gains_are_losses(scores):
    return -float((scores[-1] - scores.diagonal())[:-1].abs().mean())


def rounded(scores):
    return round(another(scores), 4)


def three_of_all(scores):
    return float((scores[-1] - scores.diagonal())[:-1][:3].mean())


def middle_one(scores):
    return float((scores[-1] - scores.diagonal())[:-1].median())


def with_numpy(scores):
    """Right: NumPy's own number."""
    scores = scores.numpy()
    return (scores[-1, :-1] - scores.diagonal()[:-1]).mean()


def by_the_trace(scores):
    """Right: the last row's sum minus the trace, in float64, as a 0-d tensor."""
    scores = scores.double()
    return (scores[-1].sum() - scores.trace()) / (len(scores) - 1)


RIGHT = [with_numpy, by_the_trace]

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
    (gains_are_nothing, "do not clamp it"),
    (gains_are_losses, "keep the sign of a gain"),
    (rounded, "rounded"),
    (three_of_all, "with 6 tasks"),
    (middle_one, "take the mean over k"),
]
