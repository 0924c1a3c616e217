"""Right and wrong ways to do an experiment in pairs: the catalogue of every exercise
whose check is `experiment` and whose `run` takes (True or False, seed).
"""

import math
import statistics

import numpy as np

from ftlib.evaluation.intervals import t_interval


def report(differences, predicted=0.02, interval=None, measured=None):
    low, high = interval or t_interval(differences)
    return {
        "predicted": predicted,
        "measured": statistics.mean(differences) if measured is None else measured,
        "interval": (low, high),
        "conclusion": "helps" if low > 0 else "hurts" if high < 0 else "not shown",
    }


def paired(run, seeds=range(20)):
    return [run(True, seed) - run(False, seed) for seed in seeds]


def another(run):
    return report(paired(run))


def other_seeds(run):
    return report(paired(run, range(100, 112)), predicted=-0.1)


def one_way_first(run):
    first = np.array([run(True, seed) for seed in range(15)])
    second = np.array([run(False, seed) for seed in range(15)])
    return report((first - second).tolist())


def no_guess(run):
    return {**another(run), "predicted": None}


def guess_in_points(run):
    return report(paired(run), predicted=3)


def guess_afterwards(run):
    differences = paired(run)
    return report(differences, predicted=statistics.mean(differences))


def two_numbers(run):
    return statistics.mean(paired(run)), 0.02


def one_end(run):
    return {**another(run), "interval": 0.01}


def another_word(run):
    return {**another(run), "conclusion": "the first wins"}


def one_way(run):
    return report([run(True, seed) - 0.56 for seed in range(20)])


def same_seed(run):
    return report([run(True, seed) - run(False, 0) for seed in range(20)])


def apart(run):
    return report([run(True, seed) - run(False, seed + 50) for seed in range(20)])


def five_seeds(run):
    return report(paired(run, range(5)))


def second_minus_first(run):
    return report([-d for d in paired(run)])


def in_points(run):
    differences = paired(run)
    return report(differences, measured=100 * statistics.mean(differences))


def median(run):
    differences = paired(run, range(12))
    return report(differences, measured=statistics.median(differences) + 1e-4)


def extremes(run):
    differences = paired(run)
    return report(differences, interval=(min(differences), max(differences)))


def from_zero(run):
    differences = paired(run)
    return report(differences, interval=(0.0, t_interval(differences)[1]))


def normal(run):
    differences = paired(run)
    mean = statistics.mean(differences)
    reach = 1.96 * statistics.stdev(differences) / math.sqrt(len(differences))
    return report(differences, interval=(mean - reach, mean + reach))


def unpaired(run):
    first = [run(True, seed) for seed in range(20)]
    second = [run(False, seed) for seed in range(20)]
    mean = statistics.mean(first) - statistics.mean(second)
    spread = statistics.variance(first) + statistics.variance(second)
    reach = 2.02 * math.sqrt(spread / 20)
    return report([mean], interval=(mean - reach, mean + reach))


def by_the_mean(run):
    result = another(run)
    result["conclusion"] = "helps" if result["measured"] > 0 else "hurts"
    return result


def always_undecided(run):
    return {**another(run), "conclusion": "not shown"}


WRONG = [
    (no_guess, "still empty"),
    (guess_in_points, "three points are 0.03"),
    (guess_afterwards, "changes with the result"),
    (two_numbers, "dictionary"),
    (one_end, "pair of numbers"),
    (another_word, "the first wins"),
    (one_way, "run both ways"),
    (same_seed, "run twice in the same way"),
    (apart, "different seeds"),
    (five_seeds, "few where a run"),
    (second_minus_first, "wrong sign"),
    (in_points, "percentage points"),
    (median, "the mean of the paired differences is"),
    (extremes, "lowest to the highest"),
    (from_zero, "in its middle"),
    (normal, "narrower than 95 %"),
    (unpaired, "are the runs paired"),
    (by_the_mean, "the draws do not decide"),
    (always_undecided, "on which side of 0"),
]

RIGHT = [other_seeds, one_way_first]

GUESS = "every guess is a right one before the run"
SEEDS = "ten seeds or more are right"
