"""Answer questions about whole film reviews: MiniLM fine-tuned on silver answers of
ftlib/course/silver.py. Chapter 15's second grid.

    python recipes/film_questions.py              # about 25 minutes on one core
    python recipes/film_questions.py --questions 60 --tests 20 --seeds 0 \\
        --out runs/try.json                       # a small trial

Two ways to train: on windows that hold the answer alone ("answers only"), and with
windows that do not ("with empty windows"): another window of the same review, and one
of each question without an answer. Tested on reviews of films that no training review
is about, in wordings that no training question has; once on a window that holds the
answer (cut), once on the whole review. The threshold of "no answer" is chosen on the
validation part. Baselines read the same whole reviews.

For each test question the file keeps the answer given. Done cells are skipped.
"""

import argparse
import random
import re
import time
from collections import Counter
from pathlib import Path

import torch
from finetune import encoder_of
from grid import about, add, done, same_settings

from ftlib.course import silver, sources
from ftlib.objectives import extractive_qa as qa
from ftlib.training import distributed, optim, train

MODEL, TOKENS, STRIDE = "all-MiniLM-L6-v2", 128, 32
WAYS = ("answers only", "with empty windows")
SETTINGS = dict(lr=1e-4, layer_decay=0.9, epochs=2, size=16)
CUES = {"director": r"direct|helm", "cast": r"star|play|role|perform|act(or|ress|ing)"}


def parts(seed=0):
    """{"train", "validation", "test"} -> questions; no film in two of them."""
    films, reviews, taken, made = sources.films(), sources.load("imdb"), set(), {}
    for split in ("test", "validation", "train"):
        rows = silver.named_films(reviews[split]["text"], films)
        rows = [row for row in rows if row["film"] not in taken]
        taken |= {row["film"] for row in rows}
        made[split] = silver.questions(rows, films, seed, unseen=split == "test")
    return made


def drawn(asked, n, seed):
    """n questions in random order, at most as many without an answer as with a name."""
    order = list(range(len(asked)))
    random.Random(seed).shuffle(order)
    known = [i for i in order if asked[i]["answers"]][: round(n * 2 / 3)]
    unknown = [i for i in order if not asked[i]["answers"]][: n - len(known)]
    picked = known + unknown
    random.Random(seed).shuffle(picked)
    return [asked[i] for i in picked]


def windows_of(tokenizer, question):
    """All windows of a question's review."""
    context = tokenizer.encode(question["context"], add_special_tokens=False)
    return qa.answer_windows(
        tokenizer.encode(question["question"], add_special_tokens=False).ids,
        context.ids,
        context.offsets,
        TOKENS,
        tokenizer.token_to_id("[CLS]"),
        tokenizer.token_to_id("[SEP]"),
        STRIDE,
    )


def labelled(windows, question):
    """(windows with the answer and their labels, windows without)."""
    if not question["answers"]:
        return [], windows
    labels = [
        qa.answer_positions(w, question["start"], question["end"]) for w in windows
    ]
    own = [(w, pair) for w, pair in zip(windows, labels) if pair != (0, 0)]
    return own, [w for w, pair in zip(windows, labels) if pair == (0, 0)]


def training_rows(tokenizer, asked, way, seed):
    """[(window, (first, last))]; (0, 0) where the window has no answer."""
    rng, rows = random.Random(seed), []
    for question in asked:
        own, empty = labelled(windows_of(tokenizer, question), question)
        # a name may stand there again: such a window is not empty
        empty = [w for w in empty if not _has(w, question)]
        rows += own[:1]
        if way == "with empty windows" and empty:
            rows.append((rng.choice(empty), (0, 0)))
    return rows


def _has(window, question):
    spans = [span for span in window["offsets"] if span]
    text = question["context"][spans[0][0] : spans[-1][1]]
    return any(answer in text for answer in question["answers"])


def finetune(asked, way, seed, ctx, *, lr, layer_decay, epochs, size):
    """(QuestionAnswering, tokenizer)."""
    torch.manual_seed(seed)
    encoder, tokenizer = encoder_of(MODEL)
    tokenizer.no_truncation()
    net = qa.QuestionAnswering(encoder)
    rows = training_rows(tokenizer, asked, way, seed)
    total = epochs * -(-len(rows) // size)

    def batches():
        for _, picked in train.sample_rows(len(rows), size, seed, epochs=epochs):
            own = [rows[i] for i in picked]
            yield qa.window_batch([w for w, _ in own], [pair for _, pair in own])

    groups = optim.parameter_groups(net, lr, layer_decay=layer_decay)
    run = train.steps(
        net,
        batches(),
        qa.answer_loss,
        optim.adamw(groups),
        dtype=ctx.dtype,
        schedule=lambda step: optim.warmup_linear(step, total // 10, total),
    )
    for _ in run:
        pass
    return net, tokenizer


def scores_of(net, windows, ctx):
    """start and end scores (W, T) of the windows of one question."""
    batch = qa.window_batch(windows)
    net.eval()
    with (
        torch.inference_mode(),
        torch.autocast("cpu", ctx.dtype, enabled=ctx.dtype is not None),
    ):
        output = net(**batch)
    return output.start_logits.float(), output.end_logits.float()


def answers(net, tokenizer, asked, ctx, cut=False):
    """[(text of the best span, how much the score of "no answer" is above it)]."""
    given = []
    for question in asked:
        windows = windows_of(tokenizer, question)
        if cut:
            windows = [w for w, _ in labelled(windows, question)[0]][:1]
        answer = qa.best_answer(
            question["context"],
            windows,
            *scores_of(net, windows, ctx),
            max_answer_tokens=12,
            null_threshold=float("inf"),
        )
        given.append((answer.text, round(answer.null_score - answer.score, 3)))
    return given


def decided(given, threshold):
    return ["" if above > threshold else text for text, above in given]


def mean_f1(texts, asked):
    values = [qa.answer_f1(t, q["answers"]) for t, q in zip(texts, asked)]
    return sum(values) / len(values)


def best_threshold(given, asked):
    """The threshold with the highest F1 on these (validation) questions."""
    tried = sorted({above for _, above in given}) + [float("inf")]
    return max(tried, key=lambda t: mean_f1(decided(given, t), asked))


# --- baselines


def first_name(question, trained):
    """The first run of capitalised words, or the first year."""
    pattern = silver.YEAR if question["kind"] == "year" else silver.NAMES
    found = pattern.search(question["context"])
    return found.group() if found else ""


def most_frequent(question, trained):
    """The commonest answer to such a question in training, "" for none."""
    own = [(q["answers"] or [""])[0] for q in trained if q["kind"] == question["kind"]]
    return Counter(own).most_common(1)[0][0]


def near_a_cue(question, trained):
    """The name nearest to a word such as "directed" or "stars"; none without a cue."""
    if question["kind"] == "year":
        return first_name(question, trained)
    text = question["context"]
    names = list(silver.NAMES.finditer(text))
    cues = [m.start() for m in re.finditer(CUES[question["kind"]], text)]
    pairs = [
        (min(abs(n.start() - c), abs(n.end() - c)), n) for n in names for c in cues
    ]
    near = [pair for pair in pairs if pair[0] < 40]
    return min(near, key=lambda pair: pair[0])[1].group() if near else ""


BASELINES = {
    "first capitalised name": first_name,
    "most frequent answer": most_frequent,
    "name near a cue word": near_a_cue,
}


def main(a):
    torch.set_num_threads(1)
    ctx, made = distributed.setup(), parts()
    test = drawn(made["test"], a.tests, 0)
    val = drawn(made["validation"], a.tests, 0)
    with_answer = [q for q in test if q["answers"]]
    facts = about(ctx) | {
        "settings": SETTINGS | {"tokens": TOKENS, "stride": STRIDE},
        "tests": len(test),
        "questions": a.questions,
        "kinds": [q["kind"] for q in test],
        "answers": [q["answers"] for q in test],
        "pool": {split: len(asked) for split, asked in made.items()},
    }
    same_settings(a.out, facts, ["tests", "questions"])
    for seed in a.seeds:
        trained = drawn(made["train"], a.questions, seed)
        ways = [*(BASELINES if seed == 0 else ()), *WAYS]
        for way in ways:
            if (way, seed) in done(a.out, "method", "seed"):
                continue
            start, cell = time.time(), {"method": way, "seed": seed}
            if way in BASELINES:
                whole = [BASELINES[way](q, trained) for q in test]
            else:
                net, tokenizer = finetune(trained, way, seed, ctx, **SETTINGS)
                threshold = float("inf")
                if way == WAYS[1]:
                    threshold = best_threshold(answers(net, tokenizer, val, ctx), val)
                given = answers(net, tokenizer, test, ctx)
                whole = decided(given, threshold)
                cell["spans"] = [text for text, _ in given]
                cut = answers(net, tokenizer, with_answer, ctx, cut=True)
                cell["cut"] = [text for text, _ in cut]
                cell["threshold"] = threshold if threshold < 1e9 else None
            cell |= {"whole": whole, "f1": round(mean_f1(whole, test), 4)}
            cell["seconds"] = round(time.time() - start)
            add(a.out, cell, facts, ["method", "seed"])
            print(way, seed, cell["f1"], cell["seconds"], "s", flush=True)


def arguments():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--questions", type=int, default=800)
    a.add_argument("--tests", type=int, default=240)
    a.add_argument("--seeds", type=int, nargs="+", default=range(3))
    a.add_argument("--out", type=Path, default=Path("data/results/film_questions.json"))
    return a.parse_args()


if __name__ == "__main__":
    main(arguments())
