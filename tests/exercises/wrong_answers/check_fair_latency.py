"""Chapter 23: the wait for one text, without the first calls."""

import statistics

import numpy as np


def times_of(predict, texts, warmup, clock, unit=1000):
    for _ in range(warmup):
        predict([texts[0]])
    times = []
    for text in texts:
        start = clock()
        predict([text])
        times.append(unit * (clock() - start))
    return times


def another(predict, texts, warmup, clock):
    times = sorted(times_of(predict, texts, warmup, clock))
    return statistics.median(times), times[int(0.99 * (len(times) - 1))]


def as_array(predict, texts, warmup, clock):
    """Right: an array as a list, the upper of two neighbours."""
    times = times_of(predict, texts, warmup, clock)
    upper = np.percentile(times, 99, method="higher")
    return [np.median(times), upper]


def article(predict, texts, warmup, clock):
    start = clock()
    predict(texts)
    took = 1000 * (clock() - start) / len(texts)
    return took, took


def mean(predict, texts, warmup, clock):
    times = times_of(predict, texts, warmup, clock)
    return np.mean(times), np.percentile(times, 99)


def in_seconds(predict, texts, warmup, clock):
    times = times_of(predict, texts, warmup, clock, 1)
    return tuple(np.percentile(times, [50, 99]))


def cold(predict, texts, warmup, clock):
    times = times_of(predict, texts, 0, clock)
    return tuple(np.percentile(times, [50, 99]))


def warm_calls_counted(predict, texts, warmup, clock):
    times = times_of(predict, [texts[0]] * warmup + list(texts), 0, clock)
    return tuple(np.percentile(times, [50, 99]))


def slowest(predict, texts, warmup, clock):
    times = times_of(predict, texts, warmup, clock)
    return np.median(times), max(times)


def p90(predict, texts, warmup, clock):
    times = times_of(predict, texts, warmup, clock)
    return tuple(np.percentile(times, [50, 90]))


def string(predict, texts, warmup, clock):
    times = []
    for text in texts:
        start = clock()
        predict(text)
        times.append(1000 * (clock() - start))
    return tuple(np.percentile(times, [50, 99]))


def one_number(predict, texts, warmup, clock):
    return float(np.median(times_of(predict, texts, warmup, clock)))


RIGHT = [as_array]

WARM = "any text warms the model up"
EQUIVALENT = {"`0` -> `1`": WARM, "`0` -> `-1`": WARM}

WRONG = [
    (article, "one text a call"),
    (mean, "take the median"),
    (in_seconds, "these are seconds"),
    (cold, "that are not counted"),
    (warm_calls_counted, "median of the calls that count"),
    (slowest, "leaves the slowest 1 % out"),
    (p90, "99 % of the calls"),
    (string, "give it [text]"),
    (one_number, "return two numbers"),
]
