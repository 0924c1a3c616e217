"""Checks of chapter 00: accuracy, intervals, a prediction and its test, when to use a
pretrained model, the kernel's Python.

Use them as the chapter does: write the function, then call the check with it.

>>> check_share_right(
...     lambda predictions, labels: (
...         sum(p == y for p, y in zip(predictions, labels)) / len(labels)
...     )
... )
correct: the fraction of correct predictions, between 0 and 1, is the accuracy

What it is not: a place to look up the solutions; they are folded beneath each exercise.
Needs: the standard library.
"""

import os
import random
import statistics
import sys
from numbers import Real

from ftlib.course.checks import correct, exercise, expect


def _number(value):
    """A number, or what a tensor or array without axes holds; anything else ends the
    check.
    """
    given = value
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    expect(
        isinstance(value, Real) and not isinstance(value, bool),
        f"the result is a {type(given).__name__}; return one number",
    )
    return value


@exercise
def check_share_right(answer):
    """`share_right(predictions, labels)`: two lists of N integers -> the accuracy, the
    fraction of positions where they are equal.
    """
    result = _number(answer([1, 1, 1, 0], [0, 0, 1, 0]))
    expect(
        result != 2,
        "you return the number of correct predictions; divide by how many there are, "
        "so that tests of different length can be compared",
    )
    expect(
        result != 50,
        "you return a percentage; accuracy lies between 0 and 1, so leave out the "
        "factor 100",
    )
    expect(
        abs(result - 0.5) < 2e-7,
        f"you return {result}, expected 0.5: 2 of these 4 predictions are correct; "
        "compare position by position and divide by 4",
    )
    result = _number(answer([1, 1, 0, 0, 0], [1, 0, 0, 0, 0]))
    expect(
        abs(result - 0.2) > 2e-7,
        "you return the fraction of wrong predictions; 4 of these 5 are correct, so "
        "return 0.8",
    )
    expect(
        min(abs(result - 1), abs(result - 0.5)) > 2e-7,
        "you look at one class only; a prediction of 0 where the label is 0 is "
        "correct too, and all 5 predictions count",
    )
    expect(
        abs(result - 0.8) < 2e-7,
        f"you return {result}, expected 0.8: 4 of these 5 predictions are correct",
    )
    expect(
        abs(_number(answer([0, 1], [1, 0]))) < 2e-7,
        "the predictions 0, 1 for the labels 1, 0 are both wrong; the order of a "
        "list matters",
    )
    drawn = random.Random(0)
    for n in (3, 1, 7, 1000):
        labels = [drawn.randrange(2) for _ in range(n)]
        predictions = [1 - y if drawn.random() < 0.3 else y for y in labels]
        if n == 3:
            labels, predictions = [0, 1, 1], [0, 1, 0]
        agree = sum(map(int.__eq__, predictions, labels))
        result = _number(answer(predictions, labels))
        expect(
            n != 3 or not 2e-7 < abs(result - agree / n) < 0.05,
            f"you return {result!r} for {agree} correct of {n}, which is "
            f"{agree / n:.7f}: the result is rounded; return all digits",
        )
        expect(
            abs(result - agree / n) < 2e-7,
            f"you return {result!r} for {agree} correct of {n}; the lists may have any "
            "length, and you divide by that",
        )
    return correct(
        "the fraction of correct predictions, between 0 and 1, is the accuracy"
    )


# accuracies on eight runs, some easy and some hard
EASY = [0.60, 0.66, 0.71, 0.75, 0.80, 0.69, 0.63, 0.77]
# a small advantage on every one of them
STEADY = [0.02, 0.025, 0.015, 0.02, 0.03, 0.02, 0.01, 0.02]
# no advantage: a mean of 0.004
NOISE = [0.06, -0.05, 0.05, -0.06, 0.07, -0.04, 0.02, -0.02]


def _differences(n, mean, errors, seed):
    """n differences in random order that spread as a normal distribution does; their
    mean is `errors` times its own standard error.
    """
    normal = statistics.NormalDist()
    spread = [normal.inv_cdf((i + 0.5) / n) for i in range(n)]
    random.Random(seed).shuffle(spread)
    factor = mean / errors * n**0.5 / statistics.stdev(spread)
    return [mean + factor * value for value in spread]


# the advantage of the better method on each run, whether it is beyond noise, hint
SUBSETS = [
    (
        [0.0] * 6,
        False,
        "the two lists are equal and you name a winner; an interval from 0 to 0 "
        "contains 0",
    ),
    (
        [0.003, 0.004, 0.002, 0.003, 0.0035, 0.0025, 0.003, 0.004, 0.002, 0.003],
        True,
        "an advantage of 0.003 on every one of 10 runs is small, and still beyond "
        "noise; compare it with its own spread, not with a fixed limit, and do not "
        "round",
    ),
    (
        _differences(10, 0.05, 0.5, seed=1),
        False,
        "a mean difference of 0.05 is large, but here the runs spread so much "
        "that it is noise; compare it with its own spread, not with a fixed limit",
    ),
    (
        [0.01] * 9 + [-0.03] * 3,
        False,
        "the method that wins on 9 of 12 runs loses as much on the other 3; the "
        "number of wins says nothing of their size",
    ),
    (
        _differences(40, 0.03, 13.2, seed=2),
        True,
        "one method is far better on 39 of 40 runs and a little worse on one, and "
        "you leave it undecided; it need not win on each",
    ),
    (
        # the same accuracies, each 0.02 higher, on other runs
        [a + 0.02 - b for a, b in zip(EASY[3:] + EASY[:3], EASY)],
        False,
        "on these 8 runs one method is up to 0.17 better and up to 0.10 worse; a "
        "difference is between the two accuracies of one run, so do not sort the "
        "lists or pair them anew",
    ),
    (
        _differences(100, 0.02, 6, seed=3),
        True,
        "on 100 runs the mean difference is 6 of its standard errors from 0; the "
        "standard error of a mean is the spread divided by the root of N",
    ),
    (
        _differences(30, 0.02, 0.5, seed=4),
        False,
        "a mean difference of half its standard error is noise; the standard error "
        "is the spread divided by the root of N, not by N",
    ),
    (
        _differences(30, 0.02, 1.5, seed=5),
        False,
        "a mean difference of 1.5 of its standard errors is no proof: one in seven "
        "comparisons of equal methods shows as much; your interval is too narrow, "
        "take 95 %",
    ),
    (
        _differences(30, 0.02, 2.95, seed=6),
        True,
        "a mean difference of 2.95 of its standard errors on 30 runs is beyond "
        "noise; your interval is too wide, take 95 %",
    ),
]


@exercise
def check_decide(answer):
    """`decide(first, second)`: accuracies of two methods on N runs -> "first",
    "second" or "undecided". Any interval or test of the differences between 90 and
    99 % is taken.
    """

    def decided(first, second):
        chosen = answer(list(first), list(second))
        expect(
            isinstance(chosen, str) and chosen in ("first", "second", "undecided"),
            f'the result is {chosen!r}; return one of the words "first", "second" and '
            '"undecided"',
        )
        return chosen

    better, noisy = (
        [a + d for a, d in zip(EASY, change)] for change in (STEADY, NOISE)
    )
    expect(
        decided(noisy, EASY) == "undecided",
        "a mean that is larger by 0.004, with differences from -0.06 to +0.07, is "
        "noise; compute an interval of the differences and check whether it contains "
        "0",
    )
    chosen = decided(better, EASY)
    expect(
        chosen != "second",
        "the first method is better on each of these runs and you return "
        "'second'; subtract the second from the first",
    )
    expect(
        chosen == "first",
        "the first method is better by 0.01 to 0.03 on every run, and you leave it "
        "undecided; an interval of each list alone is wide because the runs differ "
        "in difficulty, so take the difference on each run first and then one "
        "interval of these differences",
    )
    expect(
        decided(EASY, better) == "second",
        "here the whole interval lies below 0 and the second method is better; your "
        "function never says so",
    )
    for number, (change, beyond, message) in enumerate(SUBSETS):
        drawn = random.Random(number)
        base = [drawn.uniform(0.5, 0.8) for _ in change]
        base = EASY if len(change) == len(EASY) else base
        other = [a + d for a, d in zip(base, change)]
        expect(
            decided(other, base) == ("first" if beyond else "undecided")
            and decided(base, other) == ("second" if beyond else "undecided"),
            message,
        )
    return correct(
        "you take differences on the same runs, and trust them when their "
        "interval does not contain 0"
    )


# how far ten or five runs may lie from their mean
TEN_RUNS = [0.03, -0.02, 0.01, -0.04, 0.02, 0.0, -0.01, 0.03, -0.03, 0.01]
FIVE_RUNS = [0.01, -0.03, 0.04, -0.04, 0.02]
CONCLUSIONS = ("as predicted", "more than predicted", "less than predicted")


def _forecast(answer, differences):
    """The four entries of one experiment, each of its kind; ends the check if not."""
    runs = []

    def run(n):
        expect(
            isinstance(n, int) and 2 <= n <= 100,
            f"run was called with {n!r}; it takes a number of labels from 2 to 100",
        )
        runs.append(n)
        return list(differences)

    result = answer(run)
    expect(runs, "your function never calls run, so nothing is measured; call run(64)")
    expect(
        len(runs) == 1,
        f"run is called {len(runs)} times; an experiment that is repeated until it "
        "pleases proves nothing, so run it once and keep the result",
    )
    expect(
        isinstance(result, dict)
        and {"predicted", "measured", "interval", "conclusion"} == set(result),
        "return a dictionary with the entries predicted, measured, interval and "
        f"conclusion; yours is {str(result)[:60]}",
    )
    _number(result["measured"])
    try:
        low, high = (float(_number(end)) for end in result["interval"])
    except (TypeError, ValueError):
        expect(False, "interval is a pair of numbers, (low, high)")
    expect(
        result["conclusion"] in CONCLUSIONS,
        f"the conclusion is {result['conclusion']!r}; it is one of "
        f"{', '.join(CONCLUSIONS)}",
    )
    predicted = result["predicted"]
    expect(
        predicted is not None and predicted is not ...,
        "predicted is still empty; write down your guess before you run anything",
    )
    return _number(predicted), _number(result["measured"]), (low, high), result


@exercise
def check_forecast(answer):
    """`forecast(run)`: a guess, then `run(64)` -> the paired differences of ten draws;
    returns {"predicted", "measured", "interval", "conclusion"}.
    """
    first, *_ = _forecast(answer, TEN_RUNS)
    first = float(first)
    guesses = {first}
    # as predicted, above and below it, and as predicted from a few runs that scatter
    for runs, centre in (
        (TEN_RUNS, 0.114),
        (TEN_RUNS, first + 0.003),
        (TEN_RUNS, first + 0.13),
        (TEN_RUNS, first - 0.13),
        (FIVE_RUNS, first - 0.02),
    ):
        differences = [centre + run for run in runs]
        predicted, measured, (low, high), result = _forecast(answer, differences)
        guesses.add(float(predicted))
        mean = statistics.mean(differences)
        expect(
            abs(predicted) <= 1,
            f"you predict {predicted}; a difference of two accuracies lies between -1 "
            "and 1, and five points are 0.05",
        )
        expect(
            len(guesses) == 1,
            "your prediction changes with the result; a prediction is a fixed number, "
            "written down before the run",
        )
        expect(
            abs(measured - 100 * mean) > 1e-6 or abs(mean) < 1e-6,
            "measured is in percentage points; leave the accuracies between 0 and 1",
        )
        expect(
            abs(measured - sum(differences)) > 1e-6 or abs(mean) < 1e-6,
            "measured is the sum of the differences; take their mean",
        )
        expect(
            abs(measured - mean) < 1e-6,
            f"measured is {measured:.3f} and the mean of the differences {mean:.3f}",
        )
        expect(
            abs(low - min(differences)) > 1e-9 or abs(high - max(differences)) > 1e-9,
            "your interval reaches from the lowest to the highest draw; that shows "
            "the scatter of single draws, and the question is how far their mean may "
            "be off",
        )
        spread = statistics.stdev(differences) / len(differences) ** 0.5
        reach = {10: 2.2622, 5: 2.7764}[len(differences)] * spread
        expect(
            abs(low + high - 2 * mean) < 1e-6,
            "your interval does not have the mean in its middle; take t_interval of "
            "the differences",
        )
        expect(
            abs((high - low) / 2 - 1.96 * spread) > 1e-6,
            "your interval reaches 1.96 standard errors to each side, which suits "
            "hundreds of values; few values tell their own scatter only roughly, so "
            "take t_interval",
        )
        expect(
            abs((high - low) / 2 - reach) < 1e-4,
            f"your interval is {high - low:.3f} wide, expected {2 * reach:.3f}; take "
            "t_interval of the differences",
        )
        wanted = CONCLUSIONS[(predicted < low) + 2 * (predicted > high)]
        if result["conclusion"] == wanted:
            continue
        opposite = {CONCLUSIONS[1], CONCLUSIONS[2]} == {wanted, result["conclusion"]}
        expect(
            not opposite,
            f"you predicted {predicted}, the interval is {low:.3f} to {high:.3f}, and "
            f"you conclude {result['conclusion']!r}; what was measured is {wanted!r}",
        )
        expect(
            result["conclusion"] == "as predicted",
            f"the prediction {predicted} lies inside the interval {low:.3f} to "
            f"{high:.3f}, so nothing speaks against it; conclude 'as predicted'",
        )
        expect(
            False,
            f"the prediction {predicted} lies outside the interval {low:.3f} to "
            f"{high:.3f}, and you conclude 'as predicted'",
        )
    return correct(
        "a guess before the run, a number with its interval, and a conclusion that "
        "follows from both"
    )


CHOICES = ("rule", "bag of words", "pretrained", "table model")
NUMBERS = "{}: a table model learns from columns of numbers, and this is text"
REASONS = {  # situation -> (best choice, {another choice: the misunderstanding})
    "a": (
        "pretrained",
        {
            "bag of words": (
                "a: 15 messages are few, and most words of a new message never "
                "occurred in them; a pretrained model knows these words from its "
                "pretraining"
            ),
            "rule": (
                "a: the three topics are a matter of meaning, and no list of words "
                "covers all the ways to express them"
            ),
        },
    ),
    "b": (
        "rule",
        {
            "pretrained": (
                "b: the numbers have one fixed form; a pattern of one line finds them "
                "without a mistake and without training"
            ),
            "bag of words": (
                "b: every invoice number is a new word, so counts of known words "
                "cannot find it; its form is fixed"
            ),
        },
    ),
    "c": (
        "bag of words",
        {
            "pretrained": (
                "c: 400,000 labels teach the words themselves, and a large model "
                "misses the limit of 1 millisecond on one core"
            ),
            "rule": (
                "c: forty departments are too many for hand-written patterns, and "
                "you have 400,000 examples to learn from"
            ),
        },
    ),
    "d": (
        "table model",
        {
            "pretrained": (
                "d: there is no text here; a language model cannot read twelve "
                "columns of numbers"
            ),
            "bag of words": "d: there are no words to count in twelve columns of "
            "numbers",
            "rule": (
                "d: the rule is not known in advance; it has to be learned from what "
                "customers did"
            ),
        },
    ),
    "e": (
        "pretrained",
        {
            "bag of words": (
                "e: a question and its answer often share no word; you need "
                "embeddings of meaning, and there are no labels to train on"
            ),
            "rule": "e: no pattern says which paragraphs mean the same as a question",
        },
    ),
}


@exercise
def check_choose(answer):
    """`choose(situation)`: "a" to "e" -> one of "rule", "bag of words", "pretrained",
    "table model".
    """
    for situation, (best, why) in REASONS.items():
        choice = answer(situation)
        expect(
            choice in CHOICES,
            f"{situation}: {choice!r} is none of the four choices; return one of "
            f"{', '.join(CHOICES)}",
        )
        expect(choice == best, why.get(choice, NUMBERS.format(situation)))
    expect(
        all(answer(each) == REASONS[each][0] for each in reversed(REASONS)),
        "asked in another order you give other answers; decide by the letter that "
        "`situation` holds",
    )
    return correct(
        "few labels or none: pretrained; a fixed form: a rule; many labels and no "
        "time: words; no text: a table model"
    )


# options of pip whose value is the next word
VALUED = (
    "-i --index-url --extra-index-url --trusted-host --timeout --retries --proxy "
    "--cache-dir --log -c --constraint -f --find-links --progress-bar --cert "
    "--upgrade-strategy --only-binary --no-binary --root-user-action --report"
).split()
ELSEWHERE = ("-t", "--target", "--prefix", "--root", "--python")


@exercise
def check_install_command(answer):
    """`install_command(package)`: the list of words that installs `package` into the
    Python of this kernel. Options that do not change where it goes are welcome.
    """
    _check_words(answer, "tqdm")
    for package in ("some-package", "PyYAML>=6,<7", "tokenizers[testing]"):
        _check_words(answer, package)
    # an answer that asks the search path may find this Python by luck
    path = os.environ.get("PATH")
    os.environ["PATH"] = os.curdir + "/nothing-here"
    try:
        first = list(answer("tqdm"))[0]
    finally:
        os.environ.pop("PATH") if path is None else os.environ.update(PATH=path)
    expect(
        first is not None and os.fspath(first) == sys.executable,
        f"with another search path the first word is {first!r}; which program is "
        "found there may differ, so use sys.executable",
    )
    return correct("this Python installs for itself, whatever the search path says")


def _check_words(answer, package):
    words = answer(package)
    expect(
        not isinstance(words, str),
        "one string is split differently by every system; return a list of words",
    )
    words = [os.fspath(w) if isinstance(w, os.PathLike) else w for w in words]
    expect(
        all(isinstance(word, str) for word in words),
        f"the words are {words}, and not all of them are strings",
    )
    expect(
        "sudo" not in words,
        "sudo changes the system's Python, not the kernel's, and can break its "
        "programs; leave it out",
    )
    expect(
        "--user" not in words,
        "--user installs into your home folder, where an environment does not look; "
        "leave it out",
    )
    expect(
        words[:1] not in (["pip"], ["pip3"]),
        "`pip` is the first program of that name on the search path, which may "
        "belong to another Python; start it with sys.executable, -m, pip",
    )
    expect(
        words[:1] not in (["python"], ["python3"]),
        "`python` is the first one on the search path, not the kernel's; use "
        "sys.executable",
    )
    real = os.path.realpath(sys.executable)
    expect(
        real == sys.executable or words[:1] != [real],
        f"{real} is the file that sys.executable links to; an environment is found by "
        "the link, so use sys.executable itself",
    )
    expect(
        words[:1] == [sys.executable],
        f"the first word is {words[:1]}; it must be sys.executable, the program that "
        "runs this kernel",
    )
    _check_arguments(_after_pip(words), package)


def _after_pip(words):
    """The words after `-m pip`, without the options of Python before them."""
    rest = words[1:]
    while rest and rest[0] in ("-I", "-E", "-s", "-P", "-u", "-B", "-q"):
        rest = rest[1:]
    if rest[:1] == ["-mpip"]:
        return rest[1:]
    expect(
        rest[:2] == ["-m", "pip"],
        "after sys.executable come the three words -m, pip and install; they are "
        f"{rest[:3]}",
    )
    return rest[2:]


def _check_arguments(rest, package):
    """What pip is told: to install, here, this package and nothing else."""
    for option in rest:
        name = option.split("=")[0]
        expect(
            name not in ELSEWHERE,
            f"{name} installs into another place, where this kernel does not look; "
            "leave it out",
        )
        expect(
            name not in ("--dry-run", "--help", "-h", "--version"),
            f"with {name} pip installs nothing; leave it out",
        )
    positions, before = [], ""
    for word in rest:
        if word == package or (not word.startswith("-") and before not in VALUED):
            positions.append((before, word))
        before = word
    positional = [word for _, word in positions]
    expect(
        positional[:1] == ["install"],
        "after sys.executable come the three words -m, pip and install; pip is told "
        f"{positional[:1]} instead of install",
    )
    expect(
        positional == ["install", package],
        f"asked for {package!r}, the command installs {positional[1:]}; after install "
        "must come the name of the package, as it was given",
    )
    before = positions[-1][0]
    expect(
        before not in ("-r", "--requirement", "-e", "--editable"),
        f"after {before} pip expects a file or a folder, not the name of a package; "
        "leave it out",
    )
