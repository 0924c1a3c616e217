"""ftlib/evaluation/trust.py: slices, calibration and rates of groups against
scikit-learn, scipy and fairlearn; exchanges of words.
"""

import random

import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import false_discovery_control

from ftlib.evaluation import intervals, metrics, trust

fairness = pytest.importorskip("fairlearn.metrics")


def drawn(seed, n=400, groups="abc"):
    """Predictions, labels and groups, the groups with different rates."""
    rng = random.Random(seed)
    group = [rng.choice(groups) for _ in range(n)]
    label = [int(rng.random() < 0.3 + 0.1 * groups.index(g)) for g in group]
    predicted = [int(rng.random() < 0.2 + 0.5 * y) for y in label]
    return predicted, label, group


# --- slices


def test_intervals_are_those_of_intervals():
    for correct, n in ((0, 3), (3, 3), (7, 20), (500, 1000)):
        assert trust.wilson_interval(correct, n) == intervals.wilson_interval(
            correct, n
        )
    with pytest.raises(ValueError, match="4 correct of 3"):
        trust.wilson_interval(4, 3)


def test_corrections():
    p = [0.01, 0.04, 0.03, 0.005, 0.5]
    # by hand: sorted 0.005 * 5, 0.01 * 4, 0.03 * 3, then never falling
    assert trust.holm(p) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
    assert trust.benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))
    rng = random.Random(0)
    for _ in range(20):
        p = [rng.random() ** 3 for _ in range(9)]
        assert trust.benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))
        corrected = zip(trust.holm(p), trust.benjamini_hochberg(p), p)
        assert all(a >= b - 1e-9 and b >= c - 1e-9 for a, b, c in corrected)
    assert trust.holm([]) == []


def test_holm_keeps_its_promise_and_no_correction_does_not():
    """20 slices of noise: 5 % of the tables may have a finding."""
    rng, false = random.Random(1), {"holm": 0, "none": 0}
    for _ in range(300):
        slices = [i % 20 for i in range(1000)]
        correct = [int(rng.random() < 0.7) for _ in slices]
        rows = trust.slice_report(correct, slices)
        false["holm"] += min(row.p_corrected for row in rows) <= 0.05
        false["none"] += min(row.p for row in rows) <= 0.05
    assert false["holm"] <= 24 and false["none"] > 120


def test_a_bad_slice_is_seen():
    rng = random.Random(2)
    slices = [f"s{i % 10}" for i in range(2000)]
    correct = [int(rng.random() < (0.6 if s == "s3" else 0.8)) for s in slices]
    rows = {row.name: row for row in trust.slice_report(correct, slices)}
    assert rows["s3"].p_corrected < 0.01 and rows["s3"].accuracy < 0.7
    assert sum(row.n for row in rows.values()) == 2000
    assert all(r.low < r.accuracy < r.high for r in rows.values())
    assert trust.slice_report([1, 0], ["one", "one"])[0].p == 1
    with pytest.raises(ValueError, match="3 answers and 2 slice names"):
        trust.slice_report([1, 0, 1], ["a", "b"])


# --- calibration


def logits_of(seed, n=2000, sharpness=1.0):
    draw = torch.Generator().manual_seed(seed)
    logits = 1.5 * torch.randn(n, 3, generator=draw, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=draw)[:, 0]
    return sharpness * logits, labels


def test_bins_give_the_calibration_error_of_metrics():
    for seed in range(5):
        logits, labels = logits_of(seed, sharpness=2.0)
        count, confidence, accuracy = trust.reliability_bins(logits, labels)
        kept = count > 0
        gaps = (count * (confidence - accuracy).abs())[kept].sum() / len(labels)
        assert float(gaps) == pytest.approx(metrics.calibration_error(logits, labels))
        assert int(count.sum()) == len(labels)
        assert bool(accuracy[~kept].isnan().all())


def test_temperature_is_the_most_likely_one():
    for seed, sharpness in ((0, 1.0), (1, 3.0), (2, 0.4)):
        logits, labels = logits_of(seed, sharpness=sharpness)
        fitted = trust.fit_temperature(logits, labels)

        def loss(t, logits=logits, labels=labels):
            return float(torch.nn.functional.cross_entropy(logits / t, labels))

        best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x
        assert fitted == pytest.approx(best, rel=1e-3)
        assert fitted == pytest.approx(sharpness, rel=0.12)
        assert bool(((logits / fitted).argmax(1) == logits.argmax(1)).all())
    with pytest.raises(ValueError, match="all 2 answers are correct"):
        trust.fit_temperature(torch.eye(2), torch.tensor([0, 1]))


def test_a_calibrated_model_lies_within_what_chance_does():
    inside = 0
    for seed in range(20):
        logits, labels = logits_of(seed, n=500)
        chance = trust.calibrated_ece(logits, samples=100)
        inside += metrics.calibration_error(logits, labels) <= chance[95]
        loud = metrics.calibration_error(3 * logits, labels)
        assert loud > trust.calibrated_ece(3 * logits, samples=100)[-1]
    assert inside >= 17
    assert chance[0] > 0


# --- groups


@pytest.mark.parametrize("seed", range(10))
def test_differences_are_those_of_fairlearn(seed):
    predicted, label, group = drawn(seed)
    ours = trust.demographic_parity_difference(predicted, group)
    theirs = fairness.demographic_parity_difference(
        label, predicted, sensitive_features=group
    )
    assert ours == pytest.approx(theirs, abs=1e-9)
    ours = trust.equalized_odds_difference(predicted, label, group)
    theirs = fairness.equalized_odds_difference(
        label, predicted, sensitive_features=group
    )
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_rates():
    rates = trust.group_rates([1, 0, 1, 1], [1, 1, 0, 1], ["a", "a", "a", "b"])
    assert rates["a"] == (3, pytest.approx(2 / 3), 0.5, 1)
    assert rates["b"][:3] == (1, 1, 1) and rates["b"].fpr != rates["b"].fpr
    with pytest.raises(ValueError):
        trust.group_rates([1], [1, 0], ["a", "a"])


def test_interval_and_chance():
    predicted, label, group = drawn(3, n=3000, groups="ab")
    value = trust.equalized_odds_difference(predicted, label, group)
    low, high = trust.difference_interval(
        trust.equalized_odds_difference, predicted, label, groups=group, samples=200
    )
    assert low <= value <= high
    # the groups answer alike, so the names could as well be dealt out
    chance = trust.shuffled_differences(
        trust.equalized_odds_difference, predicted, label, groups=group, samples=100
    )
    assert value <= chance[98]
    parity = trust.demographic_parity_difference
    chance = trust.shuffled_differences(parity, label, groups=group, samples=100)
    assert parity(label, group) > chance[-1]


def test_thresholds_select_the_rate():
    rng = random.Random(4)
    group = [rng.choice("ab") for _ in range(1000)]
    score = [rng.random() + 0.5 * (g == "b") for g in group]
    label = [int(rng.random() < s / 2) for s in score]
    for labels in (None, label):
        t = trust.group_thresholds(score, group, 0.3, labels)
        selected = [int(s >= t[g]) for s, g in zip(score, group)]
        rates = trust.group_rates(selected, label, group)
        name = "selected" if labels is None else "tpr"
        assert all(abs(getattr(r, name) - 0.3) < 0.005 for r in rates.values())
    assert trust.group_thresholds([0.5], ["a"], 0)["a"] == float("inf")


# --- words


def test_exchange():
    table = {"ann": "bob", "bob": "ann"}
    text = "Ann saw Bob, ANNA and ann's bobsled."
    assert trust.swap_words(text, table) == "Bob saw Ann, ANNA and bob's bobsled."
    assert trust.swap_words(trust.swap_words(text, table), table) == text
    assert trust.swap_words("", table) == ""


def test_misspelling():
    assert trust.misspell("terrible") == "terirble"
    assert trust.misspell("bad") == "bad"
    for word in ("film", "wonderful", "story"):
        wrong = trust.misspell(word)
        assert sorted(wrong) == sorted(word) and wrong != word
        assert wrong[0] == word[0] and wrong[-1] == word[-1]


def test_the_worst_misspelling_hits_the_word_that_counts():
    def scores(texts):
        return [text.count("wonderful") + 0.5 * text.count("story") for text in texts]

    text = "a wonderful film with a story"
    once = trust.worst_misspelling(text, scores)
    assert once == "a wonedrful film with a story"
    twice = trust.worst_misspelling(text, scores, budget=2)
    assert scores([twice]) == [0] and "film" in twice
    assert trust.worst_misspelling("so it is", scores, budget=5) == "so it is"


def test_negated():
    assert trust.negated("The film was good.") == "The film was not good."
    with pytest.raises(ValueError, match="has no is"):
        trust.negated("Good film.")
