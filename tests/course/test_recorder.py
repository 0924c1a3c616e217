"""ftlib/course/recorder.py: uploads become 0.wav to 9.wav, what is no wav file is told,
and the page holds the ten words. The recorder itself is tested in a browser.
"""

import html
import io
import wave

import pytest
import torch

from ftlib.course import recorder


def wav(samples, rate=8_000):
    """A wav file of 16 bits from whole numbers."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        file.writeframes(torch.tensor(samples, dtype=torch.int16).numpy().tobytes())
    return data.getvalue()


def test_ten_digits_are_taken_apart(tmp_path):
    together = [1000 * (i // 100) for i in range(1000)]
    folder = tmp_path / "mine"
    recorder.save("ten_digits (1).wav", wav(together, 16_000), folder)
    found = recorder.recordings(folder)
    assert list(found) == list(range(10))
    for digit, samples in found.items():
        torch.testing.assert_close(samples, torch.full((100,), digit * 1000 / 32768))


def test_single_files_keep_their_digit_and_are_resampled(tmp_path):
    recorder.save("7.wav", wav([3000] * 800), tmp_path)
    recorder.save("3 again.wav", wav([0] * 80), tmp_path)
    found = recorder.recordings(tmp_path)
    assert set(found) == {3, 7} and len(found[7]) == 1600


@pytest.mark.parametrize("name", ["seven.wav", "10.wav", "2024.wav", "../7.wav"])
def test_a_name_without_a_digit_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="tells no digit"):
        recorder.save(name, wav([0] * 80), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_uploads_of_both_versions_of_ipywidgets():
    new = ({"name": "1.wav", "content": memoryview(b"abc")},)
    old = {"1.wav": {"metadata": {}, "content": b"abc"}}
    assert recorder.uploaded(new) == recorder.uploaded(old) == [("1.wav", b"abc")]
    assert recorder.uploaded(()) == recorder.uploaded({}) == []


def test_what_is_there_is_told(tmp_path):
    folder = tmp_path / "mine"
    text = recorder.collect(False, (), folder)
    assert "0 of 10" in text and "iframe" not in text and not folder.exists()
    files = [("1.wav", wav([9000] * 80)), ("2.wav", wav([5] * 80)), ("3.wav", b"ID3")]
    files = tuple({"name": name, "content": data} for name, data in files)
    text = recorder.collect(False, files, folder)
    assert "2 of 10" in text and "3.wav was not taken" in text
    assert "recorded again: [2]" in text


def test_a_damaged_file_is_told_and_not_raised(tmp_path):
    files = ({"name": "ten_digits.wav", "content": b"RIFF\0\0"},)
    assert "ten_digits.wav was not taken" in recorder.collect(False, files, tmp_path)
    (tmp_path / "5.wav").write_bytes(b"RIFF")
    assert "0 of 10" in recorder.collect(False, (), tmp_path)


def test_the_page_asks_for_ten_words(tmp_path):
    text = html.unescape(recorder.collect(True, (), tmp_path))
    assert all(f"'{word}'" in text for word in recorder.WORDS)
    assert "WORDS" not in text and "SECONDS" not in text


def test_the_loudest_second():
    sound = torch.zeros(40_000)
    sound[22_000:30_000] = 0.5
    sound[0] = 0.6
    best = recorder.loudest_second(sound)
    assert len(best) == 16_000 and best.sum() == 4_000
    short = torch.ones(7)
    assert recorder.loudest_second(short) is short
