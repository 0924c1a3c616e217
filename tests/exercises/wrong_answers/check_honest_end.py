"""Chapter 25: an honest end of a project."""

import collections


def score(model, part):
    said = model(part[0])
    return sum(a == y for a, y in zip(said, part[1])) / len(part[1])


def usual(labels):
    return collections.Counter(labels).most_common(1)[0][0]


def ended(models, chosen, part, labels, test):
    hits = [label == usual(labels) for label in test[1]]
    return {
        "chosen": chosen,
        "accuracy": score(models[chosen], part),
        "baseline": sum(hits) / len(hits),
    }


def best_on(models, part):
    return sorted(models, key=lambda name: score(models[name], part))[-1]


def another(models, train, validation, test):
    return ended(models, best_on(models, validation), test, train[1], test)


def on_test(models, train, validation, test):
    return ended(models, best_on(models, test), test, train[1], test)


def on_training(models, train, validation, test):
    return ended(models, best_on(models, train), test, train[1], test)


def looked_at_all(models, train, validation, test):
    for model in models.values():
        score(model, test)
    return another(models, train, validation, test)


def of_validation(models, train, validation, test):
    return ended(models, best_on(models, validation), validation, train[1], test)


def of_training(models, train, validation, test):
    return ended(models, best_on(models, validation), train, train[1], test)


def usual_of_test(models, train, validation, test):
    return ended(models, best_on(models, validation), test, test[1], test)


def coin(models, train, validation, test):
    return another(models, train, validation, test) | {"baseline": 0.123}


def a_tuple(models, train, validation, test):
    return tuple(another(models, train, validation, test).values())


WRONG = [
    (on_test, "best on the *test*"),
    (on_training, "its own training texts"),
    (looked_at_all, "whoever has them looks"),
    (of_validation, "on the test part it is"),
    (of_training, "on the test part it is"),
    (usual_of_test, "most frequent label of the test"),
    (coin, "most frequent training label"),
    (a_tuple, "return a dict"),
]

COMPARED = "two lists agree in as many places, whichever comes first"
TEST = "accuracy(models[chosen](test[0]), test[1])"
BASE = "accuracy([usual] * len(test[1]), test[1])"
EQUIVALENT = {
    "`zip(said, labels)` -> `zip(labels, said)`": COMPARED,
    "`accuracy(m(validation[0]), validation[1])` -> "
    "`accuracy(validation[1], m(validation[0]))`": COMPARED,
    f"`{TEST}` -> `accuracy(test[1], models[chosen](test[0]))`": COMPARED,
    f"`{BASE}` -> `accuracy(test[1], [usual] * len(test[1]))`": COMPARED,
    "`set(train[1])` -> `train[1]`": "the set only saves counting a label twice",
    "`1` -> `0` (5)": "there are as many texts as labels",
}
