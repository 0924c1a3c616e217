"""Chapter 00: a prediction, a run, an interval and a conclusion."""

import statistics

import torch

from ftlib.evaluation.intervals import t_interval


def report(predicted, differences, interval=None, measured=None):
    low, high = interval or t_interval(differences)
    conclusion = "as predicted"
    if predicted < low:
        conclusion = "more than predicted"
    if predicted > high:
        conclusion = "less than predicted"
    mean = statistics.mean(differences)
    return {
        "predicted": predicted,
        "measured": mean if measured is None else measured,
        "interval": (low, high),
        "conclusion": conclusion,
    }


def another(run):
    return report(0.1, run(64))


def with_tensors(run):
    differences = torch.tensor(run(64), dtype=torch.float64)
    return report(-0.2, run_once(differences), measured=differences.mean())


def run_once(differences):
    return differences.tolist()


def with_sixteen_labels(run):
    return report(0, run(16))


def no_guess(run):
    return {**another(run), "predicted": None}


def guess_afterwards(run):
    differences = run(64)
    return report(statistics.mean(differences), differences)


def in_points(run):
    differences = run(64)
    return report(10, differences)


def measured_in_points(run):
    differences = run(64)
    return report(0.1, differences, measured=100 * statistics.mean(differences))


def total(run):
    differences = run(64)
    return report(0.1, differences, measured=sum(differences))


def median(run):
    differences = run(64)
    return report(0.1, differences, measured=statistics.median(differences))


def extremes(run):
    differences = run(64)
    return report(0.1, differences, (min(differences), max(differences)))


def normal(run):
    differences = run(64)
    reach = 1.96 * statistics.stdev(differences) / len(differences) ** 0.5
    mean = statistics.mean(differences)
    return report(0.1, differences, (mean - reach, mean + reach))


def one_deviation(run):
    differences = run(64)
    mean, reach = statistics.mean(differences), statistics.stdev(differences)
    return report(0.1, differences, (mean - reach, mean + reach))


def from_zero(run):
    differences = run(64)
    return report(0.1, differences, (0.0, t_interval(differences)[1]))


def upside_down(run):
    result = another(run)
    turned = {
        "more than predicted": "less than predicted",
        "less than predicted": "more than predicted",
    }
    result["conclusion"] = turned.get(result["conclusion"], result["conclusion"])
    return result


def content(run):
    return {**another(run), "conclusion": "as predicted"}


def never_content(run):
    result = report(0.11, run(64))
    if result["conclusion"] == "as predicted":
        result["conclusion"] = "more than predicted"
    return result


def until_it_pleases(run):
    run(64)
    return another(run)


def invented(run):
    return report(0.1, [0.11, 0.12, 0.13])


def two_numbers(run):
    return 0.1, statistics.mean(run(64))


def a_verdict(run):
    return {**another(run), "conclusion": "MiniLM wins"}


def one_number(run):
    return {**another(run), "interval": 0.1}


def all_labels(run):
    return report(0.1, run(1000))


WRONG = [
    (no_guess, "still empty"),
    (guess_afterwards, "changes with the result"),
    (in_points, "five points are 0.05"),
    (measured_in_points, "percentage points"),
    (total, "the sum"),
    (median, "mean of the differences"),
    (extremes, "lowest to the highest"),
    (normal, "1.96"),
    (one_deviation, "wide, expected"),
    (from_zero, "in its middle"),
    (upside_down, "what was measured is"),
    (content, "lies outside"),
    (never_content, "lies inside"),
    (until_it_pleases, "2 times"),
    (invented, "never calls run"),
    (two_numbers, "dictionary"),
    (a_verdict, "MiniLM wins"),
    (one_number, "a pair of numbers"),
    (all_labels, "from 2 to 100"),
]

RIGHT = [with_tensors, with_sixteen_labels]

ANY_NUMBER = "the task names 64, and a run with another number is as honest"
EDGE = "a guess that meets the interval's end to the last digit may count either way"
EQUIVALENT = {
    "`0.2` -> `0.4`": "every guess is a right one before the run",
    "`64` -> `65`": ANY_NUMBER,
    "`64` -> `63`": ANY_NUMBER,
    "`predicted < low` -> `predicted <= low`": EDGE,
    "`predicted > high` -> `predicted >= high`": EDGE,
}
