"""Checks of chapter 21: the sampling rate, a split by voice, an experiment on masking,
the word error rate, and the sum over the paths of CTC.

>>> from ftlib.course.checks.speech import check_word_error_rate
>>> check_word_error_rate(lambda reference, hypothesis: float(reference != hypothesis))
hint: 1.0 is the number of changes; divide by the 5 words of the reference

What it is not: a test of recognisers. Needs: torch, ftlib.
"""

import itertools
import math
import random

import torch

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import experiment
from ftlib.data import audio, voices


def tone(hertz, rate, seconds=0.5):
    """(N,) a tone."""
    time = torch.arange(round(rate * seconds)) / rate
    return 0.5 * torch.sin(2 * math.pi * hertz * time)


def pitch(samples, rate=16_000):
    """The frequency with the most power, in Hz, and that power."""
    power = torch.fft.rfft(samples.double()).abs()
    return float(power.argmax()) * rate / len(samples), float(power.max())


@exercise
def check_at_16k(answer):
    """answer(samples, rate) -> (M,) at 16 kHz, one channel."""
    for rate in (44_100, 8_000, 48_000, 22_050, 16_000):
        sound = tone(440, rate)
        got = answer(sound.clone(), rate)
        expect(torch.is_tensor(got), "return a tensor of samples")
        expect(
            got.ndim == 1,
            f"{tuple(sound.shape)} samples became {tuple(got.shape)}; return one "
            "channel, (M,)",
        )
        expect(
            abs(len(got) - 8_000) <= 1,
            f"half a second at {rate} Hz became {len(got)} samples; at 16 kHz it has "
            "8000",
        )
        hertz, _ = pitch(got)
        expect(
            abs(hertz - 440) < 5,
            f"a tone of 440 Hz at {rate} Hz became one of {hertz:.0f} Hz",
        )
    high = answer(tone(11_000, 48_000), 48_000)
    hertz, power = pitch(high)
    expect(
        power < 0.05 * 2_000,
        f"a tone of 11,000 Hz, which 16 kHz cannot hold, came back as one of "
        f"{hertz:.0f} Hz; filter before samples are left out, as audio.resample does",
    )
    for rate in (44_100, 16_000):
        pair = torch.stack([tone(440, rate), tone(1_000, rate)])
        got = answer(pair.clone(), rate)
        expect(
            torch.is_tensor(got) and got.ndim == 1,
            "two channels must come back as one; average them",
        )
        both = audio.resample(pair, rate, 16_000)
        expect(
            len(got) == both.shape[1],
            f"half a second of two channels became {len(got)} samples, not 8000; take "
            "the mean over channels, dimension 0",
        )
        expect(
            float((got - both.sum(dim=0)).abs().max()) > 1e-3,
            "two channels became their sum, which may be louder than 1; take the mean",
        )
        expect(
            float((got - both.mean(dim=0)).abs().max()) < 1e-3,
            "two channels must become their mean; one alone loses what the other says",
        )
    return correct("every rate becomes 16 kHz, and nothing folds down")


@exercise
def check_split_by_voice(answer):
    """answer(rows) -> (train, test): no family of voices on both sides."""
    rng = random.Random(0)
    for size in (3, 6, 12, 30):
        stems = [f"{chr(97 + i % 26)}{'xyz'[i // 26]}" for i in range(size)]
        names = [f"{stem}{n}" for stem in stems for n in ("", "2", "7")]
        rows = [{"voice": v, "word": w} for v in names for w in ("one", "two")]
        rng.shuffle(rows)
        train, test = answer([dict(row) for row in rows])
        expect(len(train) and len(test), "one of the two parts is empty")
        both = sorted((row["voice"], row["word"]) for row in [*train, *test])
        expect(
            both == sorted((row["voice"], row["word"]) for row in rows),
            "every recording stands in exactly one part, and none is lost",
        )
        shared = {r["voice"] for r in train} & {r["voice"] for r in test}
        expect(
            not shared,
            f"{len(shared)} of {len(names)} voices speak on both sides; deal voices, "
            "then take their recordings",
        )
        shared = {voices.family(r["voice"]) for r in train}
        shared &= {voices.family(r["voice"]) for r in test}
        expect(
            not shared,
            f"{len(shared)} of {len(stems)} families have voices on both sides, such "
            f"as {min(shared, default='')}; relatives sound alike, so deal families",
        )
        expect(
            len(rows) / 10 <= len(test) <= len(rows) / 2,
            f"the test has {len(test)} of {len(rows)} recordings; give it a tenth at "
            "least, and leave most for training",
        )
        again = answer([dict(row) for row in rows])
        expect(
            [*again] == [train, test],
            "a second call deals differently; draw with a seed of your own",
        )
    return correct("no family of voices is on both sides")


@exercise
def check_masking_experiment(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(masked, seed) is the accuracy on the neural voice.
    """
    return experiment(answer, "masked minus plain")


CASES = (  # reference, hypothesis, changes, what they are
    ("one two two two three", "two two two three", 1, "the first word is lost"),
    ("five", "five five five", 2, "two words are added"),
    ("turn the light on", "turn light off", 2, "one word is lost and one replaced"),
    ("one two three", "one two three", 0, "nothing is changed"),
    ("stop", "", 1, "the only word is lost"),
    ("a b c d", "x a b c d", 1, "one word is added in front"),
    ("no no", "yes yes yes yes yes", 5, "two are replaced and three added"),
)


@exercise
def check_word_error_rate(answer):
    """answer(reference, hypothesis) -> changes by words of the reference."""
    for reference, hypothesis, changes, words in CASES:
        got, n = answer(reference, hypothesis), len(reference.split())
        expect(
            isinstance(got, (int, float)) and not isinstance(got, bool),
            "return one number",
        )
        expect(
            not (changes and abs(got - 100 * changes / n) < 1e-9),
            f"{got} is in per cent; return the fraction, {changes / n:.3g}",
        )
        expect(
            abs(got - changes) > 1e-9 or changes in (0, n) or n == 1,
            f"{got} is the number of changes; divide by the {n} words of the reference",
        )
        expect(
            abs(got - changes / n) < 1e-9,
            f"{reference!r} heard as {hypothesis!r} is {changes} / {n}, so "
            f"{changes / n:.3g}, not {got:.3g}; {words}",
        )
    expect(
        answer("light on", "lights  on") == 0.5,
        "'light on' heard as 'lights  on' has one word replaced of two; compare words "
        "as split() gives them, not characters",
    )
    expect(answer("", "") == 0, "nothing said and nothing heard is no error, 0.0")
    expect(
        answer("", "hello") == math.inf,
        "nothing said and something heard is infinitely many errors a word, "
        "float('inf')",
    )
    rng = random.Random(0)
    for _ in range(60):
        spoken, heard = (
            " ".join(rng.choices("abcd", k=rng.randint(1, 7))) for _ in "12"
        )
        wanted = audio.word_errors(spoken, heard).rate
        expect(
            abs(answer(spoken, heard) - wanted) < 1e-9,
            f"{spoken!r} heard as {heard!r} is {wanted:.3g}, not "
            f"{answer(spoken, heard)}; is every cell the smallest of its three "
            "neighbours plus the change?",
        )
    return correct("the fewest changes, by the words that were said")


def by_listing(probabilities, labels):
    """The sum over all paths, each looked at."""
    total, frames = 0.0, len(probabilities)
    for path in itertools.product(range(len(probabilities[0])), repeat=frames):
        read = [c for i, c in enumerate(path) if c and (i == 0 or path[i - 1] != c)]
        if read == list(labels):
            total += math.prod(p[c] for p, c in zip(probabilities, path))
    return total


def distribution(rng, classes):
    weights = [rng.random() + 0.05 for _ in range(classes)]
    return [w / sum(weights) for w in weights]


@exercise
def check_ctc_probability(answer):
    """answer(probabilities, labels) -> the probability of the labels."""
    three = [[0.6, 0.4], [0.3, 0.7], [0.5, 0.5]]
    got = answer([list(p) for p in three], [1])
    expect(isinstance(got, (int, float)), "return one number")
    expect(
        abs(got - 0.85) < 1e-9,
        "3 frames of 2 classes read as [1] along 6 of 8 paths, all but [0, 0, 0] and "
        f"[1, 0, 1]; with {three} that is 0.85, not {got:.4g}",
    )
    rng = random.Random(0)
    words = {
        "no label": ([], "without a label only blanks are left"),
        "two labels": ([1, 2], "the blank between two different labels may be absent"),
        "equal neighbours": (
            [2, 2],
            "two equal labels need a blank between, or they are read as one",
        ),
        "too many": ([1, 2, 1, 2, 1, 2], "six labels do not fit into so few frames"),
        "three": ([1, 1, 2], "look at the step over a blank again"),
    }
    for (labels, hint), frames in itertools.product(words.values(), (1, 2, 3, 5)):
        table = [distribution(rng, 3) for _ in range(frames)]
        wanted = by_listing(table, labels)
        got = answer([list(p) for p in table], list(labels))
        expect(
            abs(got - wanted) < 1e-9,
            f"{labels} in {frames} frames has the probability {wanted:.6f}, not "
            f"{got:.6f}; {hint}",
        )
    table = [distribution(rng, 5) for _ in range(30)]
    labels = [1, 3, 3, 2, 4, 1]
    logits = torch.tensor(table, dtype=torch.float64).log()[None]
    wanted = math.exp(-float(audio.ctc_loss(logits, torch.tensor([labels]))))
    got = answer([list(p) for p in table], labels)
    expect(
        abs(got - wanted) < 1e-6 * wanted,
        f"{labels} in 30 frames has the probability {wanted:.4g}, not {got:.4g}",
    )
    return correct("all paths, and no path listed")
