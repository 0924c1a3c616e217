"""Synthetic voices: what they say is as long as it should be, families stay together,
silence is cut.
"""

import pytest
import torch

from ftlib.data import voices

speaks = pytest.mark.skipif(
    not voices.available(), reason="espeakng-loader, the extra `sound`"
)


@speaks
def test_a_voice_speaks_and_speed_and_pitch_do_something():
    samples, rate = voices.speak("seven", "en-us+Alex")
    assert rate == 22050 and samples.dtype == torch.float32
    assert 0.2 < len(samples) / rate < 1 and 0.05 < float(samples.abs().max()) <= 1
    slow, _ = voices.speak("seven", "en-us+Alex", speed=90)
    assert len(slow) > 1.3 * len(samples)
    for pitch, low, high in ((20, 40, 120), (90, 120, 400)):
        sound, _ = voices.speak("aaaa", "en-us+Alex", pitch=pitch)
        power = torch.fft.rfft(sound[4000:8410]).abs()
        hertz = torch.arange(len(power)) * rate / 4410
        peak = float(hertz[(power * (hertz < 450)).argmax()])
        assert low < peak, (pitch, peak)


@speaks
def test_there_are_many_voices_and_every_one_speaks():
    assert len(voices.names()) > 90 and not set(voices.ODD) & set(voices.names())
    for name in voices.names()[::9]:
        samples, rate = voices.speak("five", f"en-us+{name}")
        assert 0.1 < len(samples) / rate < 2 and samples.abs().max() > 0.01


@speaks
def test_what_cannot_be_spoken_is_refused():
    with pytest.raises(ValueError, match="no voice 'xx.+'"):
        voices.speak("five", "xx+nobody")
    with pytest.raises(ValueError, match="has no sound"):
        voices.speak("", "en-us")


def test_without_the_package_one_sentence(monkeypatch):
    monkeypatch.setattr(voices, "available", lambda: False)
    voices._engine.cache_clear()
    with pytest.raises(ModuleNotFoundError, match="pip install espeakng-loader"):
        voices.speak("five")


def test_families_are_dealt_whole():
    names = [f"{stem}{n}" for stem in "abcdefghijklmnopqrst" for n in ("", 2, 3)]
    parts = voices.by_family(names, val=0.2, test=0.3)
    assert sorted(sum(parts.values(), [])) == sorted(names)
    assert all(parts.values())
    of = {voices.family(v): part for part, own in parts.items() for v in own}
    for part, own in parts.items():
        assert all(of[voices.family(v)] == part for v in own)
    # a voice more moves no other
    more = voices.by_family([*names, "new"], val=0.2, test=0.3)
    assert all(set(parts[k]) <= set(more[k]) for k in parts)


def test_trim_centres_the_sound():
    sound = torch.zeros(8000)
    sound[3200:4000] = 1.0
    window = voices.trim(sound, 16_000, seconds=0.25)
    assert len(window) == 4000 and float(window.sum()) == 800
    first = int(window.nonzero()[0])
    assert first == (4000 - 800) // 2
    assert float(voices.trim(sound, 16_000, seconds=0.02).sum()) == 320
    assert not voices.trim(torch.zeros(500), 16_000).any()
