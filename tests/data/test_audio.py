"""Sound against the standard library, scipy, transformers and torch."""

import itertools
import math
import random
import struct
import wave

import numpy
import pytest
import torch
import torch.nn.functional as F

from ftlib.data import audio
from ftlib.training import train


def noise(*shape, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=g, dtype=dtype) * 1.6 - 0.8


# --- files


def bytes_of(samples, bits):
    """(channels, N) whole numbers -> the bytes of PCM, number by number."""
    numbers = samples.T.flatten().tolist()
    if bits == 8:
        return bytes(n + 128 for n in numbers)
    return b"".join(n.to_bytes(bits // 8, "little", signed=True) for n in numbers)


def write(path, samples, bits, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes(bytes_of(samples, bits))
    return path


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_every_width_is_read_as_it_was_written(bits, channels, tmp_path):
    top = 2 ** (bits - 1)
    g = torch.Generator().manual_seed(bits)
    samples = torch.randint(-top, top, (channels, 101), generator=g)
    samples[:, :3] = torch.tensor([-top, top - 1, 0])
    path = write(tmp_path / "a.wav", samples, bits)
    sound = audio.read_wav(path, mono=False)
    assert sound.rate == 8000 and sound.samples.dtype == torch.float32
    assert torch.equal(sound.samples, (samples.double() / top).float())
    assert sound.samples[0, 0] == -1 and sound.samples[0, 2] == 0
    mono = audio.read_wav(path).samples
    torch.testing.assert_close(mono, sound.samples.mean(0))


def riff(*chunks):
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def header(kind=1, channels=1, rate=8000, bits=16):
    size = channels * bits // 8
    return struct.pack("<HHIIHH", kind, channels, rate, rate * size, size, bits)


PCM = struct.pack("<4h", 0, 8192, -16384, 32767)
HALVES = [0, 0.25, -0.5, 32767 / 32768]
EXTENDED = header(0xFFFE) + struct.pack("<HHIH14s", 22, 16, 4, 1, b"\0" * 14)


def test_what_recorders_and_ffmpeg_write_is_read(tmp_path):
    path = tmp_path / "a.wav"
    for chunks in (
        [(b"fmt ", EXTENDED), (b"data", PCM)],  # what 24-bit recorders write
        [(b"LIST", b"odd"), (b"fmt ", header()), (b"data", PCM), (b"id3 ", b"x")],
    ):
        path.write_bytes(riff(*chunks))
        assert audio.read_wav(path).samples.tolist() == HALVES
    # ffmpeg into a pipe: the size is not known when the header is written
    data = riff((b"fmt ", header()), (b"data", PCM))
    data = data.replace(b"data" + struct.pack("<I", 8), b"data\xff\xff\xff\xff")
    path.write_bytes(data)
    assert audio.read_wav(path).samples.tolist() == HALVES


WAV = riff((b"fmt ", header()), (b"data", PCM))
BAD_FILES = {
    "mp3": (b"ID3\x04" + b"\0" * 60, r"begins with b'ID3\\x04', a wav file with"),
    "empty": (b"", "begins with b''"),
    "cut off": (WAV[:-3], "chunk 'data' should have 8 bytes, the file has 5 more"),
    "no data": (riff((b"fmt ", header())), r"has the chunks \['fmt '\]"),
    "no header": (riff((b"data", PCM)), r"has the chunks \['data'\]"),
    "short header": (riff((b"fmt ", b"\1\0"), (b"data", PCM)), "are needed; copy"),
    "floating point": (
        riff((b"fmt ", header(3, bits=32)), (b"data", PCM)),
        "has the format 3 with 32 bits, 1 channels at 8000 Hz",
    ),
    "compressed": (riff((b"fmt ", header(7, bits=8)), (b"data", PCM)), "format 7"),
    "extended floating point": (
        riff((b"fmt ", EXTENDED[:24] + b"\3\0" + b"\0" * 14), (b"data", PCM)),
        "has the format 3",
    ),
    "12 bits": (riff((b"fmt ", header(bits=12)), (b"data", PCM)), "with 12 bits"),
    "no channel": (riff((b"fmt ", header(channels=0)), (b"data", PCM)), "0 channels"),
    "no sample": (riff((b"fmt ", header()), (b"data", b"")), "has 0 samples"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_pcm_file_is_refused_by_name(name, tmp_path):
    data, words = BAD_FILES[name]
    path = tmp_path / "bad.wav"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="bad.wav") as error:
        audio.read_wav(path)
    error.match(words)


# --- resampling


RATES = [(44100, 16000), (8000, 16000), (16000, 8000), (22050, 16000), (48000, 44100)]


@pytest.mark.parametrize("rate, new_rate", RATES)
def test_resampling_equals_scipy(rate, new_rate):
    from scipy.signal import resample_poly

    samples = noise(2, 1003)
    common = math.gcd(rate, new_rate)
    wanted = resample_poly(samples.numpy(), new_rate // common, rate // common, axis=-1)
    for chunk in (16_384, 100):
        got = audio.resample(samples, rate, new_rate, chunk)
        torch.testing.assert_close(got, torch.from_numpy(wanted), rtol=0, atol=1e-12)
    short = audio.resample(samples.float(), rate, new_rate)
    assert short.dtype == torch.float32
    torch.testing.assert_close(short.double(), got, rtol=0, atol=1e-5)


def test_a_tone_keeps_its_pitch_and_a_high_one_is_not_folded(counted):
    def tone(hertz, rate):
        return torch.sin(2 * math.pi * hertz * torch.arange(rate).double() / rate)

    ours = audio.resample(tone(440, 44100), 44100, 16000)[200:-200]
    torch.testing.assert_close(ours, tone(440, 16000)[200:-200], rtol=0, atol=1e-3)
    # 7 kHz does not exist at 8 kHz; leaving out samples makes 1 kHz of it
    high = tone(7000, 16000)
    assert audio.resample(high, 16000, 8000)[100:-100].abs().max() < 1e-2
    assert high[::2].abs().max() > 0.9
    counted("fault")


def test_the_same_rate_and_odd_rates():
    samples = noise(500)
    assert torch.equal(audio.resample(samples, 16000, 16000), samples)
    # no common factor: 44,101 phases
    assert audio.resample(samples, 44101, 16000).shape == (
        math.ceil(500 * 16000 / 44101),
    )


# --- features


def whisper(mels=80):
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=mels)


def speech(n, seed=0):
    """Something with vowels: harmonics that swell and pause, and a little noise."""
    t = torch.arange(n).double() / 16000
    tones = sum(
        torch.sin(2 * math.pi * 130 * k * t + k) / k for k in range(1, 30)
    ) * torch.sin(2 * math.pi * 1.5 * t).clamp(min=0)
    return (0.2 * tones + 0.002 * noise(n, seed=seed)).float()


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("n", [48_000, 31_234])
def test_features_equal_those_of_transformers(n, mels):
    samples, extractor = speech(n), whisper(mels)
    theirs = extractor(samples.numpy(), sampling_rate=16_000, return_tensors="pt")
    theirs = theirs.input_features[0]
    short = audio.log_mel(samples, 16_000, mels, seconds=30)
    ours = audio.log_mel(samples.double(), 16_000, mels, seconds=30)
    assert short.shape == (mels, 3000) and short.dtype == torch.float32
    assert ours.std() > 0.1
    torch.testing.assert_close(short, theirs, rtol=0, atol=1e-5 if mels == 80 else 2e-5)
    # their functions of the single steps compute in float64
    from transformers import audio_utils

    long = audio_utils.spectrogram(
        F.pad(samples.double(), (0, 480_000 - n)).numpy(),
        audio_utils.window_function(400, "hann"),
        frame_length=400,
        hop_length=160,
        power=2.0,
        mel_filters=extractor.mel_filters,
        log_mel="log10",
    )[:, :-1]
    long = torch.from_numpy((numpy.maximum(long, long.max() - 8.0) + 4.0) / 4.0)
    torch.testing.assert_close(ours, long.double(), rtol=0, atol=1e-6)
    # their extractor computes in float32. On some processors that alone takes it more
    # than 1e-5 away from their own float64, and ours can be no nearer to it
    theirs_rounded = float((theirs - long).abs().max())
    bound = max(1e-5, theirs_rounded + 1e-6)
    torch.testing.assert_close(ours, theirs.double(), rtol=0, atol=bound)
    # a batch is its rows, one louder than the other
    both = torch.stack([samples, samples * 0.01])
    rows = audio.log_mel(both, 16_000, mels)
    assert rows.shape == (2, mels, n // 160)
    for row, sound in zip(rows, both):
        torch.testing.assert_close(row, audio.log_mel(sound, 16_000, mels))


@pytest.mark.parametrize("mels", [80, 128])
def test_mel_filters_equal_those_of_transformers(mels):
    ours = audio.mel_filters(mels=mels)
    theirs = torch.from_numpy(whisper(mels).mel_filters).T
    torch.testing.assert_close(ours, theirs.double(), rtol=1e-9, atol=1e-12)
    hertz = torch.linspace(0, 12000, 50, dtype=torch.float64)
    torch.testing.assert_close(audio.mel_to_hertz(audio.hertz_to_mel(hertz)), hertz)
    # 3 mels are 200 Hz, 27 mels a factor of 6.4
    assert audio.hertz_to_mel([200.0, 1000.0, 6400.0]).tolist() == pytest.approx(
        [3, 15, 42]
    )


def test_the_spectrum_is_that_of_torch_and_shows_a_tone():
    samples = noise(3, 2000)
    window = torch.hann_window(400, dtype=torch.float64)
    torch.testing.assert_close(audio.hann_window(400), window)
    theirs = torch.stft(samples, 400, 160, window=window, return_complex=True)
    ours = audio.power_spectrum(samples)
    torch.testing.assert_close(ours, theirs[..., :-1].abs() ** 2)
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(16000).double() / 16000)
    loudest = audio.power_spectrum(tone)[:, 20:-20].argmax(0)
    assert loudest.unique().tolist() == [1000 * 400 // 16000]


def test_frames_lie_around_their_sample():
    samples = torch.arange(20.0)
    framed = audio.frames(samples, size=4, hop=5)
    assert framed.tolist() == [
        [2, 1, 0, 1],
        [3, 4, 5, 6],
        [8, 9, 10, 11],
        [13, 14, 15, 16],
    ]


def test_another_rate_is_refused_and_resampling_is_the_remedy(counted):
    """The planted fault: 8 kHz read as 16 kHz has every pitch an octave too high."""
    samples = speech(32_000)
    slow = audio.resample(samples, 16_000, 8_000)
    with pytest.raises(ValueError, match=r"have 8000 Hz, .* resample\(samples, 8000"):
        audio.log_mel(slow, 8_000)
    known = audio.log_mel(samples, 16_000)
    back = audio.log_mel(audio.resample(slow, 8_000, 16_000), 16_000)
    wrong = audio.log_mel(slow, 16_000, seconds=2)
    low = slice(0, 50)  # below 4 kHz nothing was lost
    assert (back - known)[low].abs().mean() < 0.05
    assert (wrong - known)[low].abs().mean() > 0.2
    counted("fault")


# --- word error rate


def slow_errors(one, other):
    """(changes, -substitutions) over all alignments, by recursion."""
    if not one or not other:
        return len(one) + len(other), 0
    changed, substitutions = slow_errors(one[1:], other[1:])
    wrong = one[0] != other[0]
    ways = [(changed + wrong, substitutions - wrong)]
    for rest in ((one[1:], other), (one, other[1:])):
        changed, substitutions = slow_errors(*rest)
        ways.append((changed + 1, substitutions))
    return min(ways)


def test_errors_equal_a_recursion():
    draw = random.Random(0)
    for _ in range(150):
        one, other = (draw.choices("abc", k=draw.randint(0, 5)) for _ in range(2))
        errors = audio.word_errors(" ".join(one), " ".join(other))
        changes, substitutions = slow_errors(one, other)
        assert sum(errors[:3]) == changes and errors.substitutions == -substitutions
        assert errors.insertions - errors.deletions == len(other) - len(one)
        assert errors.length == len(one)


def test_errors_by_hand():
    heard = audio.word_errors("turn all of it off", "turn of it all on please")
    assert heard == (1, 1, 2, 5) and heard.rate == 0.8
    # one lost, one replaced, one added would be as few
    heard = audio.word_errors("turn the light on", "please turn light off")
    assert heard == (3, 0, 0, 4)
    assert audio.word_errors("a b", "a b c d e").rate == 1.5  # above 1
    assert audio.word_errors("", "a").rate == math.inf
    assert audio.word_errors("", "").rate == 0.0
    # Chinese has no spaces: one word, or four characters
    assert audio.word_errors("打开灯光", "打开灯").rate == 1.0
    assert audio.word_errors("打开 灯光", "打开灯", characters=True) == (0, 1, 0, 4)


def test_rates_are_not_averaged(counted):
    references, hypotheses = ["a", "a b c d e f g h i"], ["b", "a b c d e f g h i"]
    total = audio.total_errors(references, hypotheses)
    assert total == (1, 0, 0, 10) and total.rate == 0.1
    rates = [audio.word_errors(*pair).rate for pair in zip(references, hypotheses)]
    assert sum(rates) / 2 == 0.5  # the mean of rates is another number
    counted("fault")


# --- CTC


def case(seed=0, B=4, frames=9, C=5, S=4, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(B, frames, C, generator=g, dtype=dtype) * 2
    labels = torch.randint(1, C, (B, S), generator=g)
    counts = torch.tensor([4, 1, 3, 2])[:B]
    labels[torch.arange(S) >= counts[:, None]] = -100
    lengths = torch.tensor([9, 5, 8, 9])[:B]
    return logits, labels, lengths


def of_torch(logits, labels, lengths, blank=0):
    return F.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1),
        labels[labels != -100],
        lengths,
        (labels != -100).sum(1),
        blank,
        reduction="sum",
    )


@pytest.mark.parametrize(
    "dtype, close", [(torch.float64, 1e-10), (torch.float32, 1e-4)]
)
@pytest.mark.parametrize("seed", range(4))
def test_ctc_equals_torch_with_its_gradient(seed, dtype, close):
    logits, labels, lengths = case(seed, dtype=dtype)
    if seed:  # a blank must stand between equal neighbours
        labels[0, 1] = labels[0, 0]
    both = [logits.clone().requires_grad_() for _ in range(2)]
    ours = audio.ctc_loss(both[0], labels, lengths)
    theirs = of_torch(both[1], labels, lengths)
    torch.testing.assert_close(ours, theirs, rtol=close, atol=close)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(both[0].grad, both[1].grad, rtol=close, atol=close)
    # another blank, all frames
    shifted = torch.where(labels == -100, -100, labels - 1)
    full = torch.full((4,), 9)
    torch.testing.assert_close(
        audio.ctc_loss(logits, shifted, blank=4),
        of_torch(logits, shifted, full, blank=4),
        rtol=close,
        atol=close,
    )


def read(path):
    return [c for c, _ in itertools.groupby(path) if c != 0]


@pytest.mark.parametrize("labels", [[1], [1, 2], [2, 2]])
def test_ctc_is_the_sum_over_all_paths(labels):
    logits = case(7, B=1, frames=5, C=3)[0]
    p = logits[0].softmax(-1).tolist()
    total = sum(
        math.prod(row[c] for row, c in zip(p, path))
        for path in itertools.product(range(3), repeat=5)
        if read(path) == labels
    )
    loss = audio.ctc_loss(logits, torch.tensor([labels]))
    assert loss.item() == pytest.approx(-math.log(total), rel=1e-12)


def test_exactly_enough_frames_leave_one_path_and_no_nan():
    logits = case(3, B=1, frames=3, C=3)[0].requires_grad_()
    loss = audio.ctc_loss(logits, torch.tensor([[2, 2]]))  # 2, blank, 2
    path = logits.log_softmax(-1)[0, [0, 1, 2], [2, 0, 2]]
    torch.testing.assert_close(loss, -path.sum())
    loss.backward()
    assert logits.grad.isfinite().all()


def test_a_row_without_labels_is_no_target():
    logits, labels, lengths = case()
    labels[2] = -100
    kept = torch.tensor([0, 1, 3])
    logits.requires_grad_()
    loss = audio.ctc_loss(logits, labels, lengths)
    wanted = audio.ctc_loss(logits[kept], labels[kept], lengths[kept])
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    assert not logits.grad[2].any() and logits.grad[kept].any()


def test_greedy_decoding_joins_repetitions_and_drops_blanks(mutated, counted):
    paths = torch.tensor([[0, 1, 1, 0, 1, 2, 2], [3, 3, 0, 0, 3, 1, 1], [0] * 7])
    logits = F.one_hot(paths, 4).double()
    assert audio.ctc_greedy(logits) == [[1, 1, 2], [3, 3, 1], []]
    assert audio.ctc_greedy(logits, torch.tensor([4, 7, 2])) == [[1], [3, 3, 1], []]
    assert [read(path) for path in paths.tolist()] == audio.ctc_greedy(logits)
    # the planted fault: blanks dropped first, and the repeated label is lost
    without = [[c for c, _ in itertools.groupby(p) if c] for p in [[1, 1, 1, 2, 2]]]
    assert without == [[1, 2]] != audio.ctc_greedy(logits)[:1]
    counted("fault")


def test_it_learns_in_the_loop():
    """Sounds of 1 to 3 frames for each label, and a network without memory."""
    torch.manual_seed(0)
    g, draw = torch.Generator().manual_seed(0), random.Random(0)
    voice = torch.randn(5, 8, generator=g)
    labels = torch.full((16, 4), -100)
    features, lengths = torch.zeros(16, 24, 8), torch.zeros(16, dtype=torch.long)
    for row in range(16):
        text = [draw.randint(1, 4) for _ in range(draw.randint(1, 4))]
        path = [0]
        for c in text:
            path += [c] * draw.randint(1, 3) + [0] * draw.randint(1, 2)
        labels[row, : len(text)] = torch.tensor(text)
        features[row, : len(path)] = voice[path]
        lengths[row] = len(path)
    batch = {"input_features": features, "labels": labels, "input_lengths": lengths}
    model = torch.nn.Linear(8, 5)

    def loss_fn(model, batch):
        logits = model(batch["input_features"])
        return audio.ctc_loss(logits, batch["labels"], batch["input_lengths"])

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    steps = [*train.steps(model, [batch] * 60, loss_fn, optimizer)]
    assert steps[0].targets == int((labels != -100).sum())
    assert steps[-1].loss < 0.1 * steps[0].loss
    texts = [row[row != -100].tolist() for row in labels]
    assert audio.ctc_greedy(model(features).detach(), lengths) == texts


LOGITS, LABELS, LENGTHS = case()
ONE = torch.tensor([[1]])
REFUSED = {
    "16-bit numbers": (
        lambda: audio.resample(torch.ones(9, dtype=torch.int16), 1, 2),
        r"samples are torch.int16 \(9,\); give fractions",
    ),
    "no sample": (lambda: audio.frames(torch.zeros(2, 0)), r"\(2, 0\)"),
    "NaN": (lambda: audio.log_mel(torch.full((900,), torch.nan), 16000), "is NaN or"),
    "a rate of 0": (lambda: audio.resample(noise(9), 0, 8000), "rates are 0 and 8000"),
    "a broken rate": (lambda: audio.resample(noise(9), 8000, 0.5), "8000 and 0.5 Hz"),
    "too short": (
        lambda: audio.frames(noise(200)),
        "there are 200 samples for frames of 400 every 160; give 201 samples",
    ),
    "shorter than a hop": (lambda: audio.frames(noise(9), 4, 10), "give 10 samples"),
    "a hop of 0": (lambda: audio.frames(noise(900), 400, 0), "every 0"),
    "mels above half of the rate": (
        lambda: audio.mel_filters(8000),
        "from 0.0 to 8000.0 Hz at 8000 Hz; give 1 or more, and limits from 0 to 4000.0",
    ),
    "too many mels": (lambda: audio.mel_filters(size=100), "80 mels are too narrow"),
    "other sentences": (
        lambda: audio.total_errors(["a"], []),
        "there are 1 references and 0 hypotheses",
    ),
    "two texts as lists": (lambda: audio.total_errors("a", "b"), "use word_errors"),
    "one row of logits": (
        lambda: audio.ctc_loss(LOGITS[0], LABELS),
        r"logits are \(9, 5\)",
    ),
    "labels of other rows": (
        lambda: audio.ctc_loss(LOGITS, LABELS[:2]),
        r"labels torch.int64 \(2, 4\)",
    ),
    "one row to decode": (
        lambda: audio.ctc_greedy(LOGITS[0]),
        r"logits are \(9, 5\); give \(B, F, C\)",
    ),
    "too long": (
        lambda: audio.ctc_loss(LOGITS, LABELS, LENGTHS + 1),
        r"input_lengths are \[10, 6, 9, 10\], a row has up to 9 frames",
    ),
    "the blank as a label": (
        lambda: audio.ctc_loss(LOGITS[:1], ONE * 0),
        "label 0 of row 0 is 0; give classes from 0 to 4 without the blank, 0",
    ),
    "no such class": (lambda: audio.ctc_loss(LOGITS[:1], ONE * 5), "row 0 is 5"),
    "padding before a label": (
        lambda: audio.ctc_loss(LOGITS[:1], torch.tensor([[1, -100, 2]])),
        "label 2 of row 0 is 2; give .* and -100 after the last",
    ),
    "too few frames": (
        lambda: audio.ctc_loss(LOGITS[:1, :2], torch.tensor([[1, 1]])),
        "row 0 has 2 frames, its labels need 3",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused(name):
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        call()


def test_two_texts_are_needed():
    with pytest.raises(TypeError, match="not list and str; use total_errors"):
        audio.word_errors(["a"], "a")


def test_numpy_is_taken_too():
    samples = noise(4000)
    ours = audio.log_mel(samples.numpy().astype(numpy.float64), 16_000)
    torch.testing.assert_close(ours, audio.log_mel(samples, 16_000))


@pytest.mark.parametrize(
    "call",
    [
        audio.power_spectrum,
        lambda samples: audio.log_mel(samples, 16_000),
        lambda samples: audio.resample(samples, 16_000, 8_000),
        lambda samples: audio.resample(samples, 16_000, 16_000),
    ],
    ids=["power_spectrum", "log_mel", "resample", "resample to the same"],
)
def test_every_door_looks_at_the_samples(call):
    samples = torch.zeros(16_000)
    samples[7] = torch.nan
    with pytest.raises(ValueError, match="a sample is NaN or infinite"):
        call(samples)
    with pytest.raises(ValueError, match="divide 16-bit numbers by 32768"):
        call(torch.zeros(16_000, dtype=torch.int16))


def test_a_list_of_fractions_is_cut_and_filled_up():
    samples = [0.5, -0.5] * 8_000
    expected = audio.log_mel(torch.tensor(samples), 16_000, seconds=2)
    torch.testing.assert_close(audio.log_mel(samples, 16_000, seconds=2), expected)
