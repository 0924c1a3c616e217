"""Checks of chapter 00: accuracy, intervals, bytes, when to use a pretrained model, the
kernel's Python.

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

import sys
from numbers import Real

from ftlib.course.checks import correct, exercise, expect


@exercise
def check_share_right(answer):
    """`share_right(predictions, labels)`: two lists of N integers -> the accuracy, the
    fraction of positions where they are equal.
    """
    result = answer([1, 1, 1, 0], [0, 0, 1, 0])
    expect(
        isinstance(result, Real),
        f"the result is a {type(result).__name__}; return one number",
    )
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
        abs(result - 0.5) < 1e-9,
        f"you return {result}, expected 0.5: 2 of these 4 predictions are correct; "
        "compare position by position and divide by 4",
    )
    result = answer([1, 1, 0, 0, 0], [1, 0, 0, 0, 0])
    expect(
        abs(result - 0.2) > 1e-9,
        "you return the fraction of wrong predictions; 4 of these 5 are correct, so "
        "return 0.8",
    )
    expect(
        min(abs(result - 1), abs(result - 0.5)) > 1e-9,
        "you look at one class only; a prediction of 0 where the label is 0 is "
        "correct too, and all 5 predictions count",
    )
    expect(
        abs(result - 0.8) < 1e-9,
        f"you return {result}, expected 0.8: 4 of these 5 predictions are correct",
    )
    expect(
        abs(answer([0, 1], [1, 0])) < 1e-9,
        "the predictions 0, 1 for the labels 1, 0 are both wrong; the order of a "
        "list matters",
    )
    return correct(
        "the fraction of correct predictions, between 0 and 1, is the accuracy"
    )


# accuracies on eight subsets, some easy and some hard
EASY = [0.60, 0.66, 0.71, 0.75, 0.80, 0.69, 0.63, 0.77]
# a small advantage on every one of them
STEADY = [0.02, 0.025, 0.015, 0.02, 0.03, 0.02, 0.01, 0.02]
# no advantage: a mean of 0.004
NOISE = [0.06, -0.05, 0.05, -0.06, 0.07, -0.04, 0.02, -0.02]


@exercise
def check_decide(answer):
    """`decide(first, second)`: accuracies of two methods on N subsets -> "first",
    "second" or "undecided".
    """
    better, noisy = (
        [a + d for a, d in zip(EASY, change)] for change in (STEADY, NOISE)
    )
    chosen = answer(noisy, EASY)
    expect(
        isinstance(chosen, str) and chosen in ("first", "second", "undecided"),
        f'the result is {chosen!r}; return one of the words "first", "second" and '
        '"undecided"',
    )
    expect(
        chosen == "undecided",
        "a mean that is larger by 0.004, with differences from -0.06 to +0.07, is "
        "noise; compute an interval of the differences and check whether it contains "
        "0",
    )
    chosen = answer(better, EASY)
    expect(
        chosen != "second",
        "the first method is better on each of these subsets and you return "
        "'second'; subtract the second from the first",
    )
    expect(
        chosen == "first",
        "the first method is better by 0.01 to 0.03 on every subset, but two "
        "separate intervals overlap because the subsets differ in difficulty; take "
        "the difference on each subset first and then one interval of these "
        "differences",
    )
    expect(
        answer(EASY, better) == "second",
        "here the whole interval lies below 0 and the second method is better; your "
        "function never says so",
    )
    return correct(
        "you take differences on the same subsets, and trust them when their "
        "interval does not contain 0"
    )


@exercise
def check_bytes_of(answer):
    """`bytes_of(vocabulary, width, classes, bytes_each)`: bytes of an embedding (V, D)
    and a linear layer D -> C with biases.
    """
    V, D, C, size = 1000, 16, 3, 2
    weights = V * D + D * C + C
    result = answer(V, D, C, size)
    expect(
        isinstance(result, Real),
        f"the result is a {type(result).__name__}; return one number",
    )
    expect(
        result != weights,
        "you return the number of parameters; multiply by `bytes_each`, the bytes of "
        "one parameter",
    )
    expect(
        result != weights * size * 8,
        "you count bits; a byte is 8 bits, and `bytes_each` is in bytes already",
    )
    expect(
        result != (V * D + D * C) * size,
        "the layer's biases are missing; add one parameter for each class",
    )
    expect(
        result != (D * C + C) * size,
        "the embedding is missing; it has `width` numbers for each of the tokens, "
        "and is by far the largest tensor",
    )
    expect(
        result != V * D * D * C * size,
        "you multiply the sizes of the two tensors; both are in memory, so add them",
    )
    expect(
        result == weights * size,
        f"you return {result}, expected {weights * size}: {V} tokens of width {D} and "
        f"{C} classes are {weights} parameters of {size} bytes",
    )
    expect(
        answer(7, 5, 2, 4) == (7 * 5 + 5 * 2 + 2) * 4,
        "correct for one set of sizes only; use the arguments",
    )
    return correct("embedding + layer + biases, times the bytes of one parameter")


CHOICES = ("rule", "bag of words", "pretrained", "table model")
NUMBERS = "{}: a table model learns from columns of numbers, and this is text"
REASONS = {  # situation -> (best choice, {another choice: the misunderstanding})
    "a": (
        "pretrained",
        {
            "bag of words": (
                "a: 150 letters are few, and most words of a new letter never "
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
    return correct(
        "few labels or none: pretrained; a fixed form: a rule; many labels and no "
        "time: words; no text: a table model"
    )


@exercise
def check_install_command(answer):
    """`install_command(package)`: the list of words that installs `package` into the
    Python of this kernel.
    """
    words = answer("tqdm")
    expect(
        not isinstance(words, str),
        "one string is split differently by every system; return a list of words",
    )
    words = list(words)
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
    expect(
        words[:1] == [sys.executable],
        f"the first word is {words[:1]}; it must be sys.executable, the program that "
        "runs this kernel",
    )
    expect(
        words[1:4] == ["-m", "pip", "install"],
        "after sys.executable come the three words -m, pip and install",
    )
    expect(
        words[-1] == "tqdm" and list(answer("some-package"))[-1] == "some-package",
        "the last word must be the name of the package",
    )
    return correct("this Python installs for itself, whatever the search path says")
