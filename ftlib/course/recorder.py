"""A microphone in the notebook: ten digits recorded in the browser, saved as one wav
file, and taken apart again.

    plot.explore(
        recorder.collect,
        "Ten digits of yours: record them, or drop wav files.",
        microphone=widgets.ToggleButton(description="open the recorder"),
        files=widgets.FileUpload(accept=".wav", multiple=True),
    )
    samples = recorder.recordings("my_digits")  # {digit: (N,) at 16 kHz}

>>> tone = torch.cat([torch.zeros(16_000), torch.ones(8_000), torch.zeros(16_000)])
>>> loudest_second(tone).sum()
tensor(8000.)

The browser gives a page the microphone only where it trusts it: on this machine
(localhost) and over https, as on Colab. In VS Code record with another program, and
drop the wav files.

What it is not: a recorder of anything longer. Needs: a browser; torch.
"""

import html
import io
import pathlib
import re
import wave

import torch

from ftlib.data import audio

RATE = 16_000
SECONDS = 1.5  # of each digit
WORDS = "zero one two three four five six seven eight nine".split()
TOGETHER = "ten_digits"  # the file of the recorder; browsers add " (1)" to its name
NEARLY_SILENT = 0.02  # of the largest possible sample

# The rate stays that of the machine and stands in the header: browsers resample without
# a good filter, and audio.resample has one.
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Recorder</title>
<style>
body { font: 14px sans-serif; margin: 4px }
button { font: inherit; padding: 4px 10px }
</style>
<p id="say" role="status">Press the button, wait for NOW, and say the word.</p>
<button id="record">record zero</button>
<button id="again" disabled>the last one again</button>
<a id="save" hidden>save ten_digits.wav</a>
<audio id="play" controls hidden></audio>
<script>
const words = WORDS, seconds = SECONDS, parts = [];
const at = name => document.getElementById(name);
let context = null, heard = [], listening = false;

async function open() {
  const sound = { channelCount: 1, noiseSuppression: false, echoCancellation: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: sound });
  context = new AudioContext();
  const tap = context.createScriptProcessor(1024, 1, 1);
  tap.onaudioprocess = event => {
    if (listening) heard.push(event.inputBuffer.getChannelData(0).slice());
  };
  context.createMediaStreamSource(stream).connect(tap);
  tap.connect(context.destination);  // it runs only when it leads somewhere: silence
}

async function record() {
  at("record").disabled = at("again").disabled = true;
  try {
    if (!context) await open();
    await context.resume();
  } catch (error) {
    at("say").textContent = "No microphone: " + error.message +
      ". Record with another program and drop wav files.";
    at("record").disabled = false;
    return;
  }
  const wanted = Math.round(seconds * context.sampleRate);
  heard = [];
  listening = true;
  at("say").textContent = "NOW: " + words[parts.length];
  while (heard.length * 1024 < wanted) await new Promise(go => setTimeout(go, 20));
  listening = false;
  parts.push(heard.flatMap(block => [...block]).slice(0, wanted));
  show();
}

function show() {
  const done = parts.length === words.length;
  at("say").textContent = parts.length + " of " + words.length + " recorded." +
    (done ? " Listen, save the file, and give it to Upload." : "");
  at("record").hidden = done;
  at("record").disabled = false;
  at("record").textContent = "record " + words[parts.length];
  at("again").disabled = parts.length === 0;
  at("save").hidden = at("play").hidden = !done;
  if (!done) return;
  const file = URL.createObjectURL(new Blob([wav()], { type: "audio/wav" }));
  at("save").href = at("play").src = file;
  at("save").download = "ten_digits.wav";
}

function wav() {
  const samples = parts.flat(), bytes = new DataView(new ArrayBuffer(44 +
    2 * samples.length));
  const text = (place, word) => [...word].forEach((letter, i) =>
    bytes.setUint8(place + i, letter.charCodeAt(0)));
  text(0, "RIFF"); bytes.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVE");
  text(12, "fmt "); bytes.setUint32(16, 16, true); bytes.setUint16(20, 1, true);
  bytes.setUint16(22, 1, true); bytes.setUint32(24, context.sampleRate, true);
  bytes.setUint32(28, 2 * context.sampleRate, true); bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  text(36, "data"); bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((x, i) => bytes.setInt16(44 + 2 * i,
    Math.round(32767 * Math.max(-1, Math.min(1, x))), true));
  return bytes.buffer;
}

at("record").onclick = record;
at("again").onclick = () => { parts.pop(); show(); record(); };
</script></html>"""


def frame() -> str:
    """The recorder as an inline frame, HTML."""
    page = PAGE.replace("WORDS", str(WORDS)).replace("SECONDS", str(SECONDS))
    return (
        f'<iframe title="recorder" allow="microphone" srcdoc="{html.escape(page)}" '
        'style="width: 100%; height: 130px; border: 1px solid #ccc"></iframe>'
    )


def uploaded(value) -> list[tuple[str, bytes]]:
    """(name, bytes) of each file of a FileUpload, of ipywidgets 8 or 7 (Colab)."""
    if isinstance(value, dict):
        return [(name, bytes(file["content"])) for name, file in value.items()]
    return [(file["name"], bytes(file["content"])) for file in value]


def save(name, data, folder) -> None:
    """Write an uploaded file as 0.wav to 9.wav into `folder`.

    `ten_digits.wav` holds ten words of one length. Other names begin with their digit.
    Raises ValueError for other names and for what is no wav file.
    """
    folder = pathlib.Path(folder)
    if not (name.startswith(TOGETHER) or re.match(r"[0-9](?![0-9])", name)):
        raise ValueError(
            f"{name} tells no digit; call the files 0.wav to 9.wav, or take the "
            f"recorder's {TOGETHER}.wav"
        )
    if data[:4] != b"RIFF":
        raise ValueError(f"{name} is no wav file; convert it, with ffmpeg say")
    folder.mkdir(exist_ok=True)
    if not name.startswith(TOGETHER):
        (folder / f"{name[0]}.wav").write_bytes(data)
        return
    with wave.open(io.BytesIO(data)) as together:
        length = together.getnframes() // len(WORDS)
        for digit in range(len(WORDS)):
            with wave.open(str(folder / f"{digit}.wav"), "wb") as part:
                part.setparams(together.getparams())
                part.writeframes(together.readframes(length))


def recordings(folder) -> dict[int, torch.Tensor]:
    """{digit: samples (N,) at 16 kHz} of 0.wav to 9.wav in a folder."""
    paths = sorted(pathlib.Path(folder).glob("[0-9].wav"))
    return {
        int(path.stem): audio.resample(*audio.read_wav(path), RATE) for path in paths
    }


def collect(microphone, files, folder="my_digits") -> str:
    """Save what was uploaded, and say what is there, as HTML. A function for
    plot.explore: `microphone` shows the recorder, `files` is the value of a FileUpload.
    """
    lines = []
    for name, data in uploaded(files):
        try:
            save(name, data, folder)
        except (ValueError, EOFError, wave.Error) as error:
            lines.append(f"{name} was not taken: {error}")
    try:
        words = recordings(folder)
    except ValueError as error:
        words = {}
        lines.append(str(error))
    lines.append(f"{len(words)} of {len(WORDS)} digits are in the folder {folder}.")
    quiet = [d for d, sound in words.items() if sound.abs().max() < NEARLY_SILENT]
    if quiet:
        lines.append(f"Nearly silent, better recorded again: {quiet}")
    if microphone:
        lines.append("The recorder asks for the microphone at its first word.")
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return text + (frame() if microphone else "")


def loudest_second(samples, rate=RATE) -> torch.Tensor:
    """(N,) -> at most `rate` samples: the second with the most energy. A microphone is
    never silent, so what is quiet does not show where a word begins.
    """
    if len(samples) <= rate:
        return samples
    energy = torch.cat([torch.zeros(1).double(), samples.double().square().cumsum(0)])
    start = int((energy[rate:] - energy[:-rate]).argmax())
    return samples[start : start + rate]
