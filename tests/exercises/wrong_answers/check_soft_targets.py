"""Chapter 23: temperature squared times a divergence."""

import torch.nn.functional as F


def logs(student, teacher, t):
    return F.log_softmax(teacher / t, 1), F.log_softmax(student / t, 1)


def another(student, teacher, temperature):
    total = 0.0
    for s, u in zip(student / temperature, teacher / temperature):
        p = u.softmax(0)
        log_ratio = (u - u.logsumexp(0)) - (s - s.logsumexp(0))
        total = total + (p * log_ratio).sum()
    return total * temperature**2


def in_double(student, teacher, temperature):
    """Right: float64 and a plain number."""
    p, q = logs(student.double(), teacher.double(), temperature)
    return float(temperature**2 * (p.exp() * (p - q)).sum())


def no_factor(student, teacher, temperature):
    return another(student, teacher, temperature) / temperature**2


def once(student, teacher, temperature):
    return another(student, teacher, temperature) / temperature


def mean(student, teacher, temperature):
    return another(student, teacher, temperature) / len(student)


def mean_of_all(student, teacher, temperature):
    return another(student, teacher, temperature) / student.numel()


def exchanged(student, teacher, temperature):
    return another(teacher, student, temperature)


def cross_entropy(student, teacher, temperature):
    p, q = logs(student, teacher, temperature)
    return -(temperature**2) * (p.exp() * q).sum()


def cold(student, teacher, temperature):
    return temperature**2 * another(student, teacher, 1.0)


def negative(student, teacher, temperature):
    return -another(student, teacher, temperature)


def log_of_softmax(student, teacher, temperature):
    p, q = ((x / temperature).softmax(1) for x in (teacher, student))
    return temperature**2 * (p * (p.log() - q.log())).sum()


def squared(student, teacher, temperature):
    p, q = ((x / temperature).softmax(1) for x in (teacher, student))
    return temperature**2 * (p - q).square().sum()


def times(student, teacher, temperature):
    return another(student, teacher, 1 / temperature)


RIGHT = [in_double]

WRONG = [
    (no_factor, "squared is missing"),
    (once, "take its square"),
    (mean, "mean over texts"),
    (mean_of_all, "mean over all numbers"),
    (exchanged, "exchanged"),
    (cross_entropy, "own entropy"),
    (cold, "no effect"),
    (negative, "sign is turned"),
    (log_of_softmax, "NaN"),
    (squared, "expected"),
    (times, "expected"),
]

ROWS = "for a matrix torch takes dimension 1, and warns"
EQUIVALENT = {
    "`F.log_softmax(teacher / temperature, dim=1)` -> "
    "`F.log_softmax(teacher / temperature)`": ROWS,
    "`F.log_softmax(student / temperature, dim=1)` -> "
    "`F.log_softmax(student / temperature)`": ROWS,
    "the result is detached": "the value is measured; nothing is trained through it",
}
