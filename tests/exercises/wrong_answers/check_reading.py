"""Chapter 09: does a model read, as an experiment with a smallest rise that matters."""

import math
import statistics

from ftlib.evaluation.intervals import t_interval

__all__ = ["RIGHT", "WRONG", "another"]


def report(rises, predicted=0.4, interval=None, measured=None):
    low, high = interval or t_interval(rises)
    return {
        "predicted": predicted,
        "measured": statistics.mean(rises) if measured is None else measured,
        "interval": (low, high),
        "conclusion": (
            "reads" if low > 0.1 else "does not read" if high < 0.1 else "not shown"
        ),
    }


def paired(run, seeds=range(20)):
    return [run(True, seed) - run(False, seed) for seed in seeds]


def another(run):
    return report(paired(run))


def a_large_guess(run):
    return report(paired(run, range(100, 112)), predicted=3)


def no_guess(run):
    return {**another(run), "predicted": None}


def guess_afterwards(run):
    rises = paired(run)
    return report(rises, predicted=statistics.mean(rises))


def two_numbers(run):
    return statistics.mean(paired(run)), 0.02


def one_end(run):
    return {**another(run), "interval": 0.01}


def another_word(run):
    return {**another(run), "conclusion": "helps"}


def one_way(run):
    return report([run(True, seed) - 0.56 for seed in range(20)])


def same_seed(run):
    return report([run(True, seed) - run(False, 0) for seed in range(20)])


def apart(run):
    return report([run(True, seed) - run(False, seed + 50) for seed in range(20)])


def five_seeds(run):
    return report(paired(run, range(5)))


def true_minus_shuffled(run):
    return report([-rise for rise in paired(run)])


def normal(run):
    rises = paired(run)
    mean = statistics.mean(rises)
    reach = 1.96 * statistics.stdev(rises) / math.sqrt(len(rises))
    return report(rises, interval=(mean - reach, mean + reach))


def against_zero(run):
    rises = paired(run)
    low, high = t_interval(rises)
    says = "reads" if low > 0 else "does not read" if high < 0 else "not shown"
    return {**report(rises), "conclusion": says}


def by_the_mean(run):
    result = another(run)
    reads = result["measured"] > 0.1
    result["conclusion"] = "reads" if reads else "does not read"
    return result


def never_sure(run):
    return {**another(run), "conclusion": "not shown"}


WRONG = [
    (no_guess, "still empty"),
    (guess_afterwards, "changes with the result"),
    (two_numbers, "dictionary"),
    (one_end, "pair of numbers"),
    (another_word, "say one of reads"),
    (one_way, "run both ways"),
    (same_seed, "run twice in the same way"),
    (apart, "different seeds"),
    (five_seeds, "few where a run"),
    (true_minus_shuffled, "wrong sign"),
    (normal, "narrower than 95 %"),
    (against_zero, "above 0 and below 0.1"),
    (by_the_mean, "the runs do not decide"),
    (never_sure, "on which side of 0.1"),
]

RIGHT = [a_large_guess]

BORDER = "no interval of measured runs ends exactly there"
EQUIVALENT = {
    "`0.5` -> `1.0`": "every guess is a right one before the run",
    "`low > 0.1` -> `low >= 0.1`": BORDER,
    "`high < 0.1` -> `high <= 0.1`": BORDER,
    "`10` -> `11`": "ten seeds or more are right",
}
