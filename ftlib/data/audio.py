"""Speech as tensors: wav files, resampling, log-mel spectrograms, word error rate, and
CTC written out.

Use it:

    >>> rate = 16_000
    >>> tone = torch.sin(2 * math.pi * 440 * torch.arange(rate) / rate)  # 1 s of A
    >>> features = log_mel(tone, rate)  # 80 mels, 100 frames a second
    >>> features.shape
    torch.Size([80, 100])
    >>> resample(tone, rate, 8_000).shape
    torch.Size([8000])
    >>> word_errors("turn the light on", "turn light off").rate  # one lost, one wrong
    0.5
    >>> # 3 frames of 2 classes, 0 is the blank: "1" along 6 of 8 paths
    >>> round(float((-ctc_loss(torch.zeros(1, 3, 2), torch.tensor([[1]]))).exp()), 4)
    0.75

The log-mel features are those of Whisper (Radford et al. 2022) as transformers computes
them. A model reads them right only at the sampling rate that it was trained with.

What it is not: a reader of mp3 or flac. Needs: torch only.

Shapes: N samples, F frames, K frequencies, M mels; B batch, C classes, S labels a row.
"""

import math
import struct
from typing import NamedTuple

import torch
import torch.nn.functional as F


class Sound(NamedTuple):
    """`samples` (N,) or (channels, N), float32 from -1 to 1; `rate` in samples a second
    (Hz).
    """

    samples: torch.Tensor
    rate: int


# --- files


def _chunks(data):
    """name -> bytes of each chunk of a RIFF file."""
    chunks, position = {}, 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + size]
        # a program that writes into a pipe does not know the size yet
        if len(body) < size and not (name == b"data" and size >= 2**32 - 256):
            raise ValueError(
                f"chunk {name.decode('latin1')!r} should have {size} bytes, the file "
                f"has {len(body)} more; it was cut off, so copy it again"
            )
        chunks.setdefault(name, body)
        position += 8 + size + size % 2  # chunks begin at even positions
    return chunks


def read_wav(path, mono=True) -> Sound:
    """A wav file of whole numbers (PCM) with 8, 16, 24 or 32 bits -> Sound.

    mono: True gives (N,), the mean over channels; False (channels, N).
    Raises ValueError for another kind of file, for floating point and compressed wav,
    for one that is cut off, and for one without a sample.
    """
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(
            f"{path} begins with {data[:4]!r}, a wav file with b'RIFF'; convert it, "
            "with ffmpeg -i in.mp3 -c:a pcm_s16le out.wav say"
        )
    try:
        chunks = _chunks(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if len(chunks.get(b"fmt ", b"")) < 16 or b"data" not in chunks:
        raise ValueError(
            f"{path} has the chunks {sorted(c.decode('latin1') for c in chunks)}, "
            "'fmt ' and 'data' are needed; copy or convert it again"
        )
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    if kind == 0xFFFE and len(chunks[b"fmt "]) >= 26:  # the extended header
        kind = struct.unpack_from("<H", chunks[b"fmt "], 24)[0]
    if kind != 1 or bits not in (8, 16, 24, 32) or not channels or not rate:
        raise ValueError(
            f"{path} has the format {kind} with {bits} bits, {channels} channels at "
            f"{rate} Hz; read are whole numbers (format 1) of 8, 16, 24 or 32 bits, so "
            "convert it, with ffmpeg -i in.wav -c:a pcm_s16le out.wav say"
        )
    samples = _decode(chunks[b"data"], bits)
    samples = samples[: len(samples) // channels * channels].view(-1, channels).T
    if not samples.shape[1]:
        raise ValueError(f"{path} has 0 samples; record it again")
    return Sound(samples.mean(dim=0) if mono else samples.contiguous(), rate)


def _decode(data, bits):
    """Little-endian PCM -> float32 from -1 to 1."""
    size = bits // 8
    data = bytearray(data[: len(data) // size * size])  # torch wants a buffer to write
    if not data:
        return torch.zeros(0)
    if bits == 24:
        parts = torch.frombuffer(data, dtype=torch.uint8).view(-1, 3).int()
        # the highest byte carries the sign
        whole_numbers = parts[:, 0] | parts[:, 1] << 8 | (parts[:, 2] << 24) >> 8
    else:
        kinds = {8: torch.uint8, 16: torch.int16, 32: torch.int32}
        whole_numbers = torch.frombuffer(data, dtype=kinds[bits])
    if bits == 8:  # the only width without a sign: silence is 128
        return (whole_numbers.float() - 128) / 128
    return (whole_numbers.double() / 2 ** (bits - 1)).float()


def resample(samples, rate, new_rate, chunk=16_384) -> torch.Tensor:
    """(..., N) samples at `rate` Hz -> (..., ceil(N new_rate / rate)) at `new_rate`.

    Interpolation by a windowed sinc: a low-pass at half of the lower rate, 10 zero
    crossings to each side under a Kaiser window (beta 5), as scipy's resample_poly.
    Leaving out samples instead would fold high frequencies into low ones.
    chunk: how many samples are computed at once; more take more memory.
    Raises ValueError for rates below 1, rates that are no whole numbers, and NaN.
    """
    samples = _check_samples(samples)
    if min(rate, new_rate) < 1 or rate != int(rate) or new_rate != int(new_rate):
        raise ValueError(
            f"the rates are {rate} and {new_rate} Hz; whole numbers from 1 are needed, "
            "16000 say"
        )
    common = math.gcd(int(rate), int(new_rate))
    up, down = int(new_rate) // common, int(rate) // common
    if up == down:
        return samples.clone()
    half = 10 * max(up, down)
    # the filter, in steps of 1 / up of the old samples
    t = torch.arange(-half, half + 1, dtype=torch.float64, device=samples.device)
    window = torch.special.i0(5 * (1 - (t / half) ** 2).clamp(min=0).sqrt())
    taps = torch.sinc(t / max(up, down)) * window
    taps = taps / taps.sum() * up
    N = samples.shape[-1]
    reach = half // up + 1
    padded = F.pad(samples, (reach, reach))
    offsets = torch.arange(-reach, reach + 1, device=samples.device)
    results = []
    for start in range(0, -(-N * up // down), chunk):
        n = torch.arange(
            start, min(start + chunk, -(-N * up // down)), device=samples.device
        )
        nearest = n * down // up  # the old sample at or before the new one
        k = nearest[:, None] + offsets
        position = n[:, None] * down - k * up + half
        weight = taps[position.clamp(0, 2 * half)]
        weight = weight.masked_fill((position < 0) | (position > 2 * half), 0)
        values = padded[..., (k + reach).clamp(max=N + 2 * reach - 1)]
        results.append((values * weight.to(samples)).sum(dim=-1))
    return torch.cat(results, dim=-1)


def _check_samples(samples):
    samples = torch.as_tensor(samples)
    if not samples.is_floating_point() or samples.ndim < 1 or 0 in samples.shape:
        raise ValueError(
            f"samples are {samples.dtype} {tuple(samples.shape)}; give fractions from "
            "-1 to 1, (..., N) with N of 1 or more (divide 16-bit numbers by 32768)"
        )
    if not samples.isfinite().all():
        raise ValueError("a sample is NaN or infinite; look where it comes from")
    return samples


# --- features


def frames(samples, size=400, hop=160) -> torch.Tensor:
    """(..., N) -> (..., F, size), F = N // hop: frame f is centred at sample f hop; the
    ends are mirrored.

    size, hop: in samples; at 16 kHz, 400 and 160 are 25 and 10 ms. Raises ValueError
    for too few samples to mirror, or for one frame.
    """
    samples = _check_samples(samples)
    N = samples.shape[-1]
    if min(size, hop) < 1 or N <= size // 2 or N < hop:
        raise ValueError(
            f"there are {N} samples for frames of {size} every {hop}; give "
            f"{max(size // 2 + 1, hop)} samples or more (pad with zeros), and a size "
            "and a hop from 1"
        )
    flat = samples.reshape(1, -1, N)
    flat = F.pad(flat, (size // 2, size // 2), mode="reflect")
    framed = flat.unfold(-1, size, hop)[..., : N // hop, :]
    return framed.reshape(*samples.shape[:-1], *framed.shape[-2:])


def hann_window(size, device=None) -> torch.Tensor:
    """(size,) float64: rises from 0 to 1 and falls again, so that a frame has no edges.
    The periodic form, as for every FFT.
    """
    turn = torch.arange(size, dtype=torch.float64, device=device) / size
    return 0.5 - 0.5 * torch.cos(2 * math.pi * turn)


def power_spectrum(samples, size=400, hop=160) -> torch.Tensor:
    """(..., N) -> (..., K, F), K = size // 2 + 1: how much of each frequency a frame
    has, |FFT|^2. Row k is k rate / size Hz.
    """
    framed = frames(samples, size, hop)
    window = hann_window(size, framed.device).to(framed)
    return torch.fft.rfft(framed * window).abs().square().transpose(-1, -2)


def hertz_to_mel(hertz) -> torch.Tensor:
    """The mel scale of Slaney 1998: 3 mels are 200 Hz up to 1000 Hz, then logarithmic,
    27 mels for a factor of 6.4. Equal steps sound alike.
    """
    hertz = torch.as_tensor(hertz, dtype=torch.float64)
    high = 15 + 27 / math.log(6.4) * (hertz.clamp(min=1000) / 1000).log()
    return torch.where(hertz < 1000, hertz * 3 / 200, high)


def mel_to_hertz(mel) -> torch.Tensor:
    """Undoes `hertz_to_mel`."""
    mel = torch.as_tensor(mel, dtype=torch.float64)
    return torch.where(
        mel < 15, mel * 200 / 3, 1000 * ((mel - 15) * math.log(6.4) / 27).exp()
    )


def mel_filters(rate=16_000, size=400, mels=80, low=0.0, high=8000.0) -> torch.Tensor:
    """(M, K) float64: triangles between neighbours on the mel scale, from `low` to
    `high` Hz, each of area 1 in Hz (Slaney 1998), as librosa's default.

    Raises ValueError for limits outside of 0 to rate / 2, and where a triangle is so
    narrow that no frequency of the FFT falls into it.
    """
    if not 0 <= low < high <= rate / 2 or mels < 1:
        raise ValueError(
            f"{mels} mels from {low} to {high} Hz at {rate} Hz; give 1 or more, and "
            f"limits from 0 to {rate / 2}, half of the rate"
        )
    edges = hertz_to_mel([low, high]).tolist()
    edges = mel_to_hertz(torch.linspace(*edges, mels + 2, dtype=torch.float64))
    hertz = torch.arange(size // 2 + 1, dtype=torch.float64) * rate / size
    left, centre, end = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    up, down = (hertz - left) / (centre - left), (end - hertz) / (end - centre)
    filters = torch.minimum(up, down).clamp(min=0) * 2 / (end - left)
    if not filters.any(dim=1).all():
        raise ValueError(
            f"{mels} mels are too narrow for an FFT of {size} samples at {rate} Hz; "
            "take fewer mels or longer frames"
        )
    return filters


def log_mel(samples, rate, mels=80, seconds=None) -> torch.Tensor:
    """The features of Whisper: (..., N) samples at 16,000 Hz -> (..., M, F), 100 frames
    a second.

    Frames of 25 ms under a Hann window, power, mel filters up to 8 kHz, log10; what is
    more than 8 below the loudest value is raised to that, then (x + 4) / 4.
    rate: of the samples. mels: 80, or 128 for large-v3. seconds: fill up with zeros or
    cut to this length; the encoder of Whisper reads 30.
    Raises ValueError for another rate: the pitch of everything would be wrong.
    """
    samples = torch.as_tensor(samples)
    if rate != 16_000:
        raise ValueError(
            f"the samples have {rate} Hz, the model was trained with 16000; write "
            f"resample(samples, {rate}, 16000) first"
        )
    if seconds is not None:
        length = round(seconds * rate)
        samples = F.pad(samples[..., :length], (0, max(0, length - samples.shape[-1])))
    power = power_spectrum(samples)
    filters = mel_filters(rate, mels=mels).to(power)
    features = (filters @ power).clamp(min=1e-10).log10()
    loudest = features.amax(dim=(-1, -2), keepdim=True)
    return (torch.maximum(features, loudest - 8) + 4) / 4


# --- errors


class Errors(NamedTuple):
    """Words (or characters) replaced, lost and added, and how many the reference has;
    `rate` is their sum over that, and may be above 1.
    """

    substitutions: int
    deletions: int
    insertions: int
    length: int

    @property
    def rate(self) -> float:
        """(substitutions + deletions + insertions) / length; inf for a reference of
        none that got words, 0.0 if it got none.
        """
        wrong = self.substitutions + self.deletions + self.insertions
        return wrong / self.length if self.length else (math.inf if wrong else 0.0)


def word_errors(reference, hypothesis, characters=False) -> Errors:
    """The fewest changes from the reference to the hypothesis (Levenshtein 1966):
    `.rate` is the word error rate.

    characters: count characters, spaces left out, in place of words: Chinese has no
        spaces. Case and punctuation count; normalise both texts first.
    Of several ways with as few changes the one with most substitutions is counted.
    For many sentences add the counts (`total_errors`): a mean of rates gives short
    sentences too much weight.
    """
    if not isinstance(reference, str) or not isinstance(hypothesis, str):
        raise TypeError(
            f"two texts are needed, not {type(reference).__name__} and "
            f"{type(hypothesis).__name__}; use total_errors for lists of texts"
        )
    one, other = reference.split(), hypothesis.split()
    if characters:
        one, other = "".join(one), "".join(other)
    # best[j]: (changes, insertions + deletions, deletions) to the first j of `other`
    best = [(j, j, 0) for j in range(len(other) + 1)]
    for i, word in enumerate(one, start=1):
        diagonal, best[0] = best[0], (i, i, i)
        for j, heard in enumerate(other, start=1):
            wrong = word != heard
            kept = (diagonal[0] + wrong, diagonal[1], diagonal[2])
            lost = (best[j][0] + 1, best[j][1] + 1, best[j][2] + 1)
            added = (best[j - 1][0] + 1, best[j - 1][1] + 1, best[j - 1][2])
            diagonal, best[j] = best[j], min(kept, lost, added)
    changes, both, deletions = best[-1]
    return Errors(changes - both, deletions, both - deletions, len(one))


def total_errors(references, hypotheses, characters=False) -> Errors:
    """The counts of `word_errors` added up over all sentences."""
    if len(references) != len(hypotheses) or isinstance(references, str):
        raise ValueError(
            f"there are {len(references)} references and {len(hypotheses)} hypotheses; "
            "give two lists of texts, or use word_errors for two texts"
        )
    rows = [word_errors(r, h, characters) for r, h in zip(references, hypotheses)]
    return Errors(*(sum(row[i] for row in rows) for i in range(4)))


# --- connectionist temporal classification


def _check_ctc(logits, labels, lengths, blank):
    B, most, C = logits.shape if logits.ndim == 3 else (0, 0, 0)
    if not B or labels.ndim != 2 or len(labels) != B or labels.is_floating_point():
        raise ValueError(
            f"logits are {tuple(logits.shape)}, labels {labels.dtype} "
            f"{tuple(labels.shape)}; give (B, F, C), and class ids (B, S), -100 at "
            "their padding"
        )
    if lengths.shape != (B,) or ((lengths < 1) | (lengths > most)).any():
        raise ValueError(
            f"input_lengths are {lengths.tolist()}, a row has up to {most} frames; "
            f"give a whole number from 1 to {most} for each of {B} rows"
        )
    is_label = labels != -100
    wrong = is_label & ((labels < 0) | (labels >= C) | (labels == blank))
    wrong[:, 1:] |= is_label[:, 1:] & ~is_label[:, :-1]
    if wrong.any():
        row, position = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"label {position} of row {row} is {int(labels[row, position])}; give "
            f"classes from 0 to {C - 1} without the blank, {blank}, and -100 after the "
            "last"
        )
    # the same label twice needs a blank between, or it would be read as one
    twice = (is_label[:, 1:] & (labels[:, 1:] == labels[:, :-1])).sum(dim=1)
    needed = is_label.sum(dim=1) + twice
    if (needed > lengths).any():
        row = int((needed > lengths).nonzero()[0])
        raise ValueError(
            f"row {row} has {int(lengths[row])} frames, its labels need "
            f"{int(needed[row])} with a blank between equal neighbours; leave the row "
            "out, or shorten the frames less"
        )


def ctc_loss(logits, labels, input_lengths=None, blank=0) -> torch.Tensor:
    """Connectionist temporal classification (Graves et al. 2006): the SUM over rows of
    -log of the probability that some path through the frames reads as the labels, in
    nats. A path reads as its classes with repetitions joined and blanks dropped.

    logits: (B, F, C). labels: (B, S), class ids, -100 behind the last. input_lengths:
        (B,) frames that are no padding; None: all. blank: its class.
    The forward algorithm: from frame to frame, the log-probability of all ways to be at
    each label. F.ctc_loss is faster and gives the same, except for a row without any
    label: it is no target, so 0 here. train.steps divides by the number of labels.
    Raises ValueError for labels that are no classes, and rows with too few frames.
    """
    lengths = torch.full((len(logits),), logits.shape[1] if logits.ndim == 3 else 0)
    lengths = (lengths if input_lengths is None else input_lengths).to(labels.device)
    _check_ctc(logits, labels, lengths, blank)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    log_p = logits.to(dtype).log_softmax(dim=-1)
    is_label, (B, S) = labels != -100, labels.shape
    # blank, first label, blank, second label, ..., blank
    states = labels.new_full((B, 2 * S + 1), blank)
    states[:, 1::2] = labels.masked_fill(~is_label, blank)
    # a blank may be left out between two different labels
    skips = (states != blank) & (states != states.roll(2, dims=1))
    skips[:, :2] = False
    seen = log_p.gather(2, states[:, None].expand(-1, log_p.shape[1], -1))
    never = -1e30  # and not -inf, whose gradient is NaN
    alpha = torch.full_like(seen[:, 0], never)
    alpha = torch.cat([seen[:, 0, :2], alpha[:, 2:]], dim=1)
    for t in range(1, log_p.shape[1]):
        stay, step = alpha, F.pad(alpha, (1, 0), value=never)[:, :-1]
        skip = F.pad(alpha, (2, 0), value=never)[:, : 2 * S + 1]
        skip = skip.masked_fill(~skips, never)
        moved = torch.stack([stay, step, skip]).logsumexp(dim=0) + seen[:, t]
        alpha = torch.where((t < lengths)[:, None], moved, alpha)
    last = 2 * is_label.sum(dim=1, keepdim=True)  # the blank behind the last label
    ends = alpha.gather(1, torch.cat([last, (last - 1).clamp(min=0)], dim=1))
    return -ends.logsumexp(dim=1).masked_fill(~is_label.any(dim=1), 0).sum()


def ctc_greedy(logits, input_lengths=None, blank=0) -> list[list[int]]:
    """The reading of the most probable path: the best class of each frame, repetitions
    joined, blanks dropped. (B, F, C) -> B lists of class ids.

    Not always the most probable reading, whose many paths may have more in sum.
    """
    if logits.ndim != 3:
        raise ValueError(
            f"logits are {tuple(logits.shape)}; give (B, F, C), logits[None] for one"
        )
    lengths = [logits.shape[1]] * len(logits)
    lengths = lengths if input_lengths is None else input_lengths.tolist()
    return [
        [c for c in row[:n].unique_consecutive().tolist() if c != blank]
        for row, n in zip(logits.argmax(dim=-1), lengths)
    ]
