"""Chapter 21: recordings at 16 kHz, one channel."""

import torch

from ftlib.data import audio


def another(samples, rate):
    samples = audio.resample(samples, rate, 16_000)
    return samples if samples.ndim == 1 else samples.sum(0) / len(samples)


def skipped(samples, rate):
    samples = samples if samples.ndim == 1 else samples.mean(0)
    return samples[:: max(1, rate // 16_000)]


def interpolated(samples, rate):
    """Right in length and in low tones, but nothing is filtered."""
    samples = samples if samples.ndim == 1 else samples.mean(0)
    n = round(len(samples) * 16_000 / rate)
    x = torch.nn.functional.interpolate(samples[None, None], size=n, mode="linear")
    return x[0, 0]


def unchanged(samples, rate):
    return samples


def first_channel(samples, rate):
    samples = samples if samples.ndim == 1 else samples[0]
    return audio.resample(samples, rate, 16_000)


def sum_of_channels(samples, rate):
    samples = samples if samples.ndim == 1 else samples.sum(0)
    return audio.resample(samples, rate, 16_000)


def channels_kept(samples, rate):
    return audio.resample(samples, rate, 16_000)


def mean_over_time(samples, rate):
    samples = samples if samples.ndim == 1 else samples.mean(dim=1)
    return audio.resample(samples, rate, 16_000)


def backwards(samples, rate):
    samples = samples if samples.ndim == 1 else samples.mean(0)
    return audio.resample(samples, 16_000, rate)


def as_list(samples, rate):
    return another(samples, rate).tolist()


def with_batch(samples, rate):
    return another(samples, rate)[None]


WRONG = [
    (skipped, "half a second at 44100"),
    (interpolated, "filter before samples"),
    (unchanged, "half a second at"),
    (first_channel, "one alone loses"),
    (sum_of_channels, "became their sum"),
    (channels_kept, "average them"),
    (mean_over_time, "dimension 0"),
    (backwards, "half a second at"),
    (as_list, "return a tensor"),
    (with_batch, "return one channel"),
]

EQUIVALENT = {"the result is detached": "nobody takes the gradient of a recording"}
