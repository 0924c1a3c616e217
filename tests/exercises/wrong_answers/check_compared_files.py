"""Chapter 23: the accuracy of files that are different files."""

import os
from pathlib import Path

import numpy as np


def accuracies(paths, load, texts, labels):
    return {
        name: float(np.mean(np.asarray(load(path)(texts)).argmax(1) == labels))
        for name, path in paths.items()
    }


def another(paths, load, texts, labels):
    seen = []
    for path in paths.values():
        data = Path(path).read_bytes()
        if data in seen:
            raise ValueError("the same file again")
        seen.append(data)
    return accuracies(paths, load, texts, labels)


def unchecked(paths, load, texts, labels):
    return accuracies(paths, load, texts, labels)


def by_size(paths, load, texts, labels):
    if len({os.path.getsize(path) for path in paths.values()}) < len(paths):
        raise ValueError("two files have one length")
    return accuracies(paths, load, texts, labels)


def neighbours(paths, load, texts, labels):
    data = [Path(path).read_bytes() for path in paths.values()]
    if any(a == b for a, b in zip(data, data[1:])):
        raise ValueError("two files are one")
    return accuracies(paths, load, texts, labels)


def first_file(paths, load, texts, labels):
    predict = load(next(iter(paths.values())))
    right = float(np.mean(predict(texts).numpy().argmax(1) == labels))
    another(paths, load, texts, labels)
    return dict.fromkeys(paths, right)


def percent(paths, load, texts, labels):
    return {k: 100 * v for k, v in another(paths, load, texts, labels).items()}


def best(paths, load, texts, labels):
    return max(another(paths, load, texts, labels).values())


def errors(paths, load, texts, labels):
    return {k: 1 - v for k, v in another(paths, load, texts, labels).items()}


EQUIVALENT = {
    "`np.array(labels)` -> `labels`": "numpy compares its array with a list as well",
}

WRONG = [
    (unchecked, "one file under two names"),
    (by_size, "different files are refused"),
    (neighbours, "one file under two names"),
    (first_file, "load each file"),
    (percent, "a share of 1"),
    (best, "{name: accuracy}"),
    (errors, "expected"),
]
