"""Chapter 13: a cold and a warm temperature, as an experiment."""

import statistics

from ftlib.evaluation.intervals import t_interval


def report(differences, predicted=0.02):
    low, high = t_interval(differences)
    return {
        "predicted": predicted,
        "measured": statistics.mean(differences),
        "interval": (low, high),
        "conclusion": "helps" if low > 0 else "hurts" if high < 0 else "not shown",
    }


def paired(run, seeds=range(20)):
    return [run(0.07, seed) - run(1.0, seed) for seed in seeds]


def another(run):
    return report(paired(run))


def other_seeds(run):
    return report(paired(run, range(50, 62)), predicted=-0.1)


def guess_afterwards(run):
    differences = paired(run)
    return report(differences, predicted=statistics.mean(differences))


def no_guess(run):
    return {**another(run), "predicted": None}


def one_seed(run):
    return report(paired(run, [0, 1]))


def unpaired(run):
    return report([run(0.07, seed) - run(1.0, seed + 20) for seed in range(20)])


def turned_round(run):
    return report([-value for value in paired(run)])


def another_temperature(run):
    return report([run(0.1, seed) - run(1.0, seed) for seed in range(20)])


def range_of_draws(run):
    found = paired(run)
    return {**report(found), "interval": (min(found), max(found))}


def always_helps(run):
    return {**another(run), "conclusion": "helps"}


RIGHT = [other_seeds]

WRONG = [
    (guess_afterwards, "prediction changes"),
    (no_guess, "still empty"),
    (one_seed, "at least ten"),
    (unpaired, "different seeds"),
    (turned_round, "wrong sign"),
    (another_temperature, "compare 0.07"),
    (range_of_draws, "lowest to the highest"),
    (always_helps, "you conclude"),
]

EQUIVALENT = {
    "`0.05` -> `0.1`": "any fixed guess is a prediction",
    "`10` -> `11`": "eleven seeds are more than ten",
}
