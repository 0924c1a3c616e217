"""Chapter 14's check of an experiment, on its own numbers: with them a paired interval
decides, and one that is not paired does not.
"""

import pytest

from ftlib.course.checks.classification import check_balance, recorded
from ftlib.evaluation import intervals


@pytest.mark.parametrize("gain, above", [(0.03, True), (0.003, False)])
def test_the_gain_of_the_checks_runs(gain, above):
    run = recorded(gain, [])
    arms = [[run(arm, seed) for seed in range(20)] for arm in (False, True)]
    _, low, high = intervals.paired_t(*arms)
    assert low < gain < high and (low > 0) is above
    alone = [intervals.t_interval(arm) for arm in arms]
    assert alone[0][1] > alone[1][0]  # two intervals overlap


def test_a_guess_alone_is_no_experiment(counted):
    verdict = check_balance(lambda run: 0.02)
    assert verdict.status == "hint" and "dictionary" in repr(verdict)
    counted("wrong answer")
