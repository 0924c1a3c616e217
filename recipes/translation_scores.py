"""What a trained translator writes for the test sets of chapter 16: beam widths and
length penalties on validation, then the chosen search, greedy and other widths on files
it has not seen, on another program and on everyday sentences.

    python recipes/translation_scores.py --state runs/en-zh-mini/state
    python recipes/translation_scores.py --tests 40 --widths 1 2 --out try.json

Writes data/results/translation.json. Nothing is chosen on a test set: width and penalty
are those with the best BLEU on validation. Beside the model stand the cheap answers
(nearest training sentence, word table, and the one or the other by similarity), each
with the model's gain over it and a bootstrap interval over whole files. --state names
the checkpoints of the run; their BLEU against the seconds of training is stored too.
Each row of a test set is named by its number in `translations.load()`, and where a set
has more than --tests rows, those with the lowest hash are taken.
"""

import argparse
import hashlib
import time
from pathlib import Path

import grid  # beside this file
import outputs
import torch

from ftlib.course import hub, translations
from ftlib.data import tokenization
from ftlib.evaluation import translation
from ftlib.models import pegasus_format, seq2seq
from ftlib.training import checkpoint, distributed

SETS = ("test", "neighbour", "everyday")
MAX_NEW = 96


def arguments(line=None):
    kind = argparse.RawDescriptionHelpFormatter
    a = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    a.add_argument("--model", default="en-zh-mini", help="a name of the hub, or folder")
    a.add_argument("--state", help="folder of the run's checkpoints, for the curve")
    a.add_argument("--tests", type=int, default=1000, help="sentences of a set")
    a.add_argument("--points", type=int, default=300, help="sentences of the curve")
    a.add_argument("--widths", type=int, nargs="+", default=[1, 2, 4, 8])
    a.add_argument("--penalties", type=float, nargs="+", default=[0.0, 0.6, 1.0, 1.4])
    a.add_argument("--out", default="data/results/translation.json")
    return a.parse_args(line)


def drawn(pairs, count):
    """{"row", "en", "zh", "file"} of `count` pairs, those with the lowest hash; in the
    order of the set.
    """
    digests = [hashlib.sha256(en.encode()).hexdigest() for en in pairs["en"]]
    rows = sorted(sorted(range(len(digests)), key=digests.__getitem__)[:count])
    return {"row": rows} | {name: [v[i] for i in rows] for name, v in pairs.items()}


def translate(model, tokenizer, texts, width=1, penalty=1.0, size=64):
    """(Chinese, log-probability, tokens with the end) of each English text. Greedy
    search is a beam of width 1.
    """
    c = model.config
    rows = tokenization.encode(tokenizer, texts, max_tokens=c.max_len)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    written, scores, lengths = ([None] * len(rows) for _ in range(3))
    for start in range(0, len(order), size):
        part = order[start : start + size]
        batch = tokenization.pad([rows[i] for i in part], c.pad_id)
        # no text is much longer than its source
        most = min(MAX_NEW, 2 * batch["input_ids"].shape[1] + 8, c.max_len)
        batch = {
            name: t.to(next(model.parameters()).device) for name, t in batch.items()
        }
        lists, found = seq2seq.beam_search(
            model, **batch, width=width, length_penalty=penalty, max_new=most
        )
        for i, ids, score in zip(part, lists, found):
            tokens = len(ids) + (len(ids) < most)  # the end counts, where there is one
            written[i] = tokenization.decode(tokenizer, ids)
            scores[i], lengths[i] = round(score * tokens**penalty, 3), tokens
    return written, scores, lengths


def scored(hypotheses, pairs):
    """BLEU and chrF of a set, rounded."""
    return {
        "bleu": round(translation.bleu(hypotheses, pairs["zh"]), 2),
        "chrf": round(translation.chrf(hypotheses, pairs["zh"]), 2),
    }


def search_grid(model, tokenizer, pairs, a):
    """[{"width", "length_penalty", "bleu", "chrf", "mean_log_prob", "seconds"}] on
    validation; a beam of 1 has no use for a penalty.
    """
    cells = []
    for width in a.widths:
        for penalty in a.penalties if width > 1 else [1.0]:
            begin = time.perf_counter()
            texts, log_probs, _ = translate(
                model, tokenizer, pairs["en"], width, penalty
            )
            cell = {"width": width, "length_penalty": penalty}
            cell |= scored(texts, pairs)
            cell["mean_log_prob"] = round(sum(log_probs) / len(log_probs), 3)
            cell["seconds"] = round(time.perf_counter() - begin, 1)
            cells.append(cell)
            print(cell, flush=True)
    return cells


class Cheap:
    """Answers that need no network, made from the training pairs alone."""

    def __init__(self, train, similar=0.75):
        self.memory = translation.NearestSentence(train["en"], train["zh"])
        self.table = translation.WordTable(train["en"], train["zh"])
        self.similar = similar

    def __call__(self, texts):
        """{name: Chinese of each text}. The third takes the nearest sentence where it
        is `similar` enough, else the word table.
        """
        near = self.memory.nearest(texts)
        gloss = [self.table.gloss(text) for text in texts]
        both = zip(near, gloss, strict=True)
        either = [n[0] if n[2] >= self.similar else g for n, g in both]
        nearest = [n[0] for n in near]
        return {"nearest": nearest, "word_table": gloss, "nearest_or_table": either}


def beside(hypotheses, cheap, pairs):
    """{baseline: its scores and the gain of `hypotheses` over it, [low, high]}."""
    # whole files are drawn, where there are enough of them
    files = pairs["file"] if len(set(pairs["file"])) >= 10 else None
    result = {}
    for name, texts in cheap(pairs["en"]).items():
        gain = translation.bleu_difference(texts, hypotheses, pairs["zh"], groups=files)
        gain = [round(value, 2) for value in gain]
        result[name] = scored(texts, pairs) | {"gain": gain[0], "interval": gain[1:]}
        result[name]["drawn"] = "files" if files else "sentences"
        print(name, result[name], flush=True)
    return result


def curve(state, model, tokenizer, sets, count):
    """[{"step", "seconds", set: BLEU of greedy search}] of the checkpoints of a run."""
    points = []
    small = {name: drawn(pairs, count) for name, pairs in sets.items()}
    paths = Path(state).glob("step-*.safetensors")
    for path in sorted(paths, key=lambda p: int(p.stem[5:])):
        net = seq2seq.Seq2Seq(model.config)
        meta = checkpoint.load(path, net)
        point = {"step": meta["step"], "seconds": round(meta["seconds"])}
        for name, pairs in small.items():
            texts, _, _ = translate(net, tokenizer, pairs["en"])
            point[name] = scored(texts, pairs)["bleu"]
        points.append(point)
        print(point, flush=True)
    return points


def main(a):
    ctx = distributed.setup(0)
    out = Path(a.out)
    folder = Path(hub.resolve(a.model))
    with outputs.claim(out, file=True):
        model = seq2seq.from_folder(*pegasus_format.load(folder)).to(ctx.device)
        tokenizer = tokenization.load(folder)
        splits = translations.load()
        val = drawn(splits["validation"], a.tests)
        cells = search_grid(model, tokenizer, val, a)
        best = max(cells, key=lambda cell: cell["bleu"])
        chosen = best["width"], best["length_penalty"]
        result = grid.about() | {
            "model": Path(a.model).name,
            "weights": hashlib.sha256(
                (folder / "model.safetensors").read_bytes()
            ).hexdigest(),
            "threads": torch.get_num_threads(),
            "tests": a.tests,
            "points": a.points,
            "validation": cells,
            "chosen": {"width": chosen[0], "length_penalty": chosen[1]},
        }
        sets = {name: drawn(splits[name], a.tests) for name in SETS}
        result["sets"], cheap = {}, Cheap(splits["train"])
        for name, pairs in sets.items():
            cell = written(model, tokenizer, pairs, chosen, a)
            hypotheses = cell["beam"]["hypotheses"]
            cell["baselines"] = beside(hypotheses, cheap, pairs)
            result["sets"][name] = cell
        if a.state:
            result["curve"] = curve(a.state, model, tokenizer, sets, a.points)
        grid.write(out, result)


def written(model, tokenizer, pairs, chosen, a):
    """What a set's sentences became: greedy and by the chosen search, with scores; of
    the other widths the scores alone, at the chosen penalty.
    """
    result = {"rows": pairs["row"], "widths": []}
    for width in sorted({1, chosen[0], *a.widths}):
        texts, log_probs, lengths = translate(
            model, tokenizer, pairs["en"], width, chosen[1]
        )
        cell = {"width": width} | scored(texts, pairs)
        cell["mean_log_prob"] = round(sum(log_probs) / len(log_probs), 3)
        result["widths"].append(cell)
        kept = {"hypotheses": texts, "log_prob": log_probs, "length": lengths}
        if width == 1:
            result["greedy"] = kept
        if width == chosen[0]:
            result["beam"] = kept
        print(cell, flush=True)
    return result


if __name__ == "__main__":
    main(arguments())
