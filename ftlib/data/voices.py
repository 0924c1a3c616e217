"""Text spoken by synthetic voices: espeak-ng, a small program, called through ctypes.

Use it (the package espeakng-loader brings the program; extra `sound`):

    samples, rate = speak("seven", "en-us+klatt2", speed=160)   # (N,) float32, 22050 Hz
    names()[:3]                                   # ['Alex', 'Alicia', 'Andrea']
    rows = by_family(names(), val=0.15, test=0.25)   # {"train": [...], ...}

Without the package `available()` is False and `speak` raises one sentence:

    >>> family("robosoft7"), family("steph")
    ('robosoft', 'steph')
    >>> parts = by_family(["klatt", "klatt2", "Gene", "Gene2", "Hugo"], test=0.5)
    >>> sorted(sum(parts.values(), []))
    ['Gene', 'Gene2', 'Hugo', 'klatt', 'klatt2']

Each voice is a set of formants and a pitch laid over one model of a language, so all of
them make the same mistakes. Variants of one family are close relatives, so they are
dealt to one part.

`trim` cuts the silence off any sound and puts it into a window.

What it is not: a voice that could be taken for a person's. Needs: torch; to speak,
espeakng-loader.
"""

import ctypes
import functools
import hashlib
import importlib.util
import pathlib
import re

import torch
import torch.nn.functional as F

ODD = ("whisper", "whisperf", "fast")  # no voice in the breath; only a speed


def available() -> bool:
    """Whether espeakng-loader is installed."""
    return importlib.util.find_spec("espeakng_loader") is not None


@functools.cache
def _engine():
    """(library, rate), once a process."""
    if not available():
        raise ModuleNotFoundError(
            "espeakng-loader is not installed, so nothing can be spoken; run pip "
            "install espeakng-loader==0.2.4"
        )
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    # 2: sound goes to a callback, as fast as it is made, and to no loudspeaker
    data = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(2, 0, data, 0)
    library.espeak_ng_SetRandSeed(0)  # some voices have breath in them
    if rate <= 0:
        raise OSError(
            f"espeak-ng answered {rate} and did not start; install espeakng-loader "
            "again"
        )
    return library, rate


def names() -> list[str]:
    """The variants that can be put behind a language, as in "en-us+Alex"."""
    _engine()
    import espeakng_loader

    folder = pathlib.Path(espeakng_loader.get_data_path(), "voices", "!v")
    every = sorted(path.name for path in folder.iterdir())
    return [name for name in every if name not in ODD]


def speak(text, voice="en-us", speed=175, pitch=50) -> tuple[torch.Tensor, int]:
    """(samples (N,) float32 from -1 to 1, rate in Hz) of a text.

    voice: a language, "+" and a variant. speed: words a minute, 80 to 450. pitch: 0 to
        100, 50 is the voice's own.
    The engine remembers what it spoke before, so that the same call sounds a little
    different the second time, as people do. In one order everything repeats.
    Raises ValueError for a voice that does not exist and for a text without a sound,
    ModuleNotFoundError without the package.
    """
    library, rate = _engine()
    if not text.strip():
        raise ValueError(f"{text!r} has no sound; give a text with letters or digits")
    chunks = []
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )

    def take(wave, count, events):
        if wave and count > 0:
            chunks.append(bytes(ctypes.string_at(wave, 2 * count)))
        return 0  # go on

    callback = kind(take)  # kept alive until the text is spoken
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.encode()):
        raise ValueError(
            f"there is no voice {voice!r}; write a language, + and a variant, such as "
            "en-us+klatt2 (names() lists the variants)"
        )
    for number, value in ((1, speed), (3, pitch)):
        library.espeak_SetParameter(number, int(value), 0)
    letters = text.encode()
    # 1: the text is UTF-8
    library.espeak_Synth(letters, len(letters) + 1, 0, 1, 0, 1, None, None)
    library.espeak_Synchronize()
    data = bytearray(b"".join(chunks))
    return torch.frombuffer(data, dtype=torch.int16).float() / 32768, rate


def trim(samples, rate, seconds=1.0, quiet=1e-4) -> torch.Tensor:
    """(N,) -> (seconds rate,): the sound without the silence before and behind it, in
    the middle of a window; what is too long is cut at its end.

    quiet: silence is what has less than this part of the power of the loudest 10 ms.
    """
    hop = max(1, rate // 100)
    padded = F.pad(samples, (0, -len(samples) % hop))
    power = padded.view(-1, hop).square().mean(dim=1)
    loud = (power > quiet * power.max()).nonzero()
    length = round(seconds * rate)
    if not len(loud):
        return torch.zeros(length)
    sound = samples[int(loud[0]) * hop : (int(loud[-1]) + 1) * hop][:length]
    before = (length - len(sound)) // 2
    return F.pad(sound, (before, length - len(sound) - before))


def family(name) -> str:
    """The name of a voice without its number: robosoft1 to robosoft8 are relatives."""
    return re.sub(r"\d+$", "", name).lower()


def by_family(voices, val=0.0, test=0.25) -> dict[str, list[str]]:
    """{"train", "validation", "test"} -> voices. Families are dealt, by a hash of their
    name, so that no relative of a test voice is trained on.
    """
    parts = {"train": [], "validation": [], "test": []}
    for voice in voices:
        digest = hashlib.sha256(family(voice).encode()).digest()
        number = int.from_bytes(digest[:4], "big") / 2**32
        part = "test" if number < test else "train"
        part = "validation" if test <= number < test + val else part
        parts[part].append(voice)
    return parts
