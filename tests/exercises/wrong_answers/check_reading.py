"""Chapter 09: does a model read, as an experiment with a smallest rise that matters."""

import functools

import experiment_answers as common
from experiment_answers import GUESS, SEEDS, paired

__all__ = ["RIGHT", "WRONG", "another"]


def judged(answer):
    """The same answer with the words of this exercise, by its own interval."""

    @functools.wraps(answer)
    def of_reading(run):
        result = answer(run)
        if isinstance(result, dict) and isinstance(result["interval"], tuple):
            low, high = result["interval"]
            says = "does not read" if high < 0.1 else "not shown"
            result["conclusion"] = "reads" if low > 0.1 else says
        return result

    return of_reading


another = judged(common.another)


@judged
def a_large_guess(run):
    return common.report(paired(run), predicted=3)


def against_zero(run):
    result = another(run)
    low, high = result["interval"]
    says = "does not read" if high < 0 else "not shown"
    return {**result, "conclusion": "reads" if low > 0 else says}


def by_the_mean(run):
    result = another(run)
    says = "reads" if result["measured"] > 0.1 else "does not read"
    return {**result, "conclusion": says}


# those that go wrong before they conclude
BEFORE = [
    common.no_guess,
    common.guess_afterwards,
    common.two_numbers,
    common.one_way,
    common.same_seed,
    common.apart,
    common.five_seeds,
    common.second_minus_first,
    common.in_points,
    common.median,
    common.extremes,
    common.from_zero,
    common.normal,
    common.unpaired,
]
WRONG = [(judged(wrong), words) for wrong, words in common.WRONG if wrong in BEFORE]
WRONG += [
    (common.one_end, "pair of numbers"),
    (common.another, "say one of reads"),
    (against_zero, "on which side of 0.1"),
    (by_the_mean, "the draws do not decide"),
    (common.always_undecided, "on which side of 0.1"),
]

RIGHT = [judged(right) for right in common.RIGHT] + [a_large_guess]

BORDER = "no interval of measured runs ends exactly there"
EQUIVALENT = {
    "`0.5` -> `1.0`": GUESS,
    "`low > 0.1` -> `low >= 0.1`": BORDER,
    "`high < 0.1` -> `high <= 0.1`": BORDER,
    "`10` -> `11`": SEEDS,
}
