"""Three classes in Chinese: negative and positive shop reviews, newspaper lines as
"neutral". Chapter 14's stored grid.

    python recipes/sentiment_zh.py      # about 8 minutes on one core with bf16
    python recipes/sentiment_zh.py --sizes 30 --tests 30 --seeds 0 --steps 3 \\
        --three 1 --out runs/try.json   # a small trial

What it stores: the answers of every model to the same test texts, a digit for each, so
that every score and interval can be computed again; what tells the newspaper from the
shop without a word (probes); the answers to lukewarm reviews and to opinions in the
newspaper (swapped); and what three training sentences give (three). Done cells are
skipped, so the run may be interrupted at any moment.
"""

import argparse
import re
import time
from pathlib import Path

import outputs  # beside this file: Python puts a script's own folder on its path
import torch
from finetune import encoder_of, finetune, score
from grid import about, read, same_settings, write
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ftlib.course import sources
from ftlib.data import tables
from ftlib.evaluation import intervals
from ftlib.training import distributed

CLASSES = ("negative", "neutral", "positive")  # 0, 1, 2
METHODS = ("character n-grams", "scratch", "zh-bert-mini")
THREE = {
    "text": [
        "这家店的服务太差了，我非常失望。",
        "会议于今天上午在北京举行。",
        "这本书写得很好，我非常喜欢。",
    ],
    "label": [0, 1, 2],
}
# words of a customer who is neither for nor against
LUKEWARM = re.compile("还可以|还行|一般般|过得去|凑合|中规中矩|马马虎虎|不好不坏")
# words of somebody who is
OPINION = re.compile(
    "喜欢|喜爱|满意|失望|糟糕|精彩|难看|好看|优美|讨厌|遗憾|令人|感动|出色|不满|痛心|美好|愤怒|可喜"
)
VIEWS = {  # what a classifier may see of a text; the first three hold no word
    "length": lambda text: "字" * len(text),
    "punctuation": lambda text: "".join(
        c for c in text if not c.isalnum() and not c.isspace()
    ),
    # every Chinese character the same one
    "shape": lambda text: re.sub("[\u4e00-\u9fff]", "字", text),
    "whole text": lambda text: text,
}


def three_classes(split):
    """Texts of 10 to 60 characters, so that none is cut and none is a mere heading:
    label 0 negative, 1 newspaper, 2 positive.
    """
    shop = sources.load("zh_shop_reviews")[split]
    paper = sources.load("peoples_daily")[split]
    pairs = [
        *((t, 2 * y) for t, y in zip(shop["text"], shop["label"])),
        *((t, 1) for t in paper["text"]),
    ]
    kept = [(t, y) for t, y in pairs if 10 <= len(t) <= 60]
    return {"text": [t for t, _ in kept], "label": [y for _, y in kept]}


def swapped():
    """Held-out texts that break the rule "neutral is newspaper": {"lukewarm reviews":
    [...], "opinions in the newspaper": [...]}.
    """
    splits = [three_classes(split) for split in ("validation", "test")]
    rows = [row for split in splits for row in zip(split["text"], split["label"])]
    return {
        "lukewarm reviews": [t for t, y in rows if y != 1 and LUKEWARM.search(t)],
        "opinions in the newspaper": [
            t for t, y in rows if y == 1 and OPINION.search(t)
        ],
    }


def digits(answers):
    return "".join(str(int(a)) for a in answers)


def train(method, train_subset, seed, steps, size, ctx, tokens, lr=5e-4):
    """-> a function from texts to classes (N,)."""
    # 1 to 3 characters: a Chinese word has mostly 1 or 2, and nobody has to cut them
    # out
    if method == "character n-grams":
        net = make_pipeline(
            TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True),
            LogisticRegression(C=10, max_iter=2000),
        )
        net.fit(train_subset["text"], train_subset["label"])
        return net.predict
    torch.manual_seed(seed)  # the random weights of "scratch" are drawn here
    encoder, tokenizer = encoder_of("zh-bert-mini", scratch=method == "scratch")
    net, _ = finetune(
        encoder,
        tokenizer,
        train_subset["text"],
        train_subset["label"],
        epochs=3,
        size=min(size, len(train_subset["text"])),
        lr=lr,
        tokens=tokens,
        seed=seed,
        classes=3,
        ctx=ctx,
        min_steps=steps,
    )
    return lambda texts: score(net, tokenizer, texts, [0] * len(texts), tokens, ctx)[
        0
    ].argmax(-1)


def probe(view, train_subset, test):
    """How well "newspaper or shop?" is answered from a view of the texts alone
    (balanced, so that 0.5 is guessing).
    """
    net = make_pipeline(
        CountVectorizer(
            analyzer="char",
            ngram_range=(1, 3),
            binary=view != "length",
            lowercase=False,
        ),
        LogisticRegression(max_iter=5000),
    )
    sees = VIEWS[view]
    net.fit([sees(t) for t in train_subset["text"]], train_subset["label"])
    correct = net.predict([sees(t) for t in test["text"]]) == test["label"]
    low, high = intervals.bootstrap_interval(torch.tensor(correct))
    return {
        "view": view,
        "accuracy": round(float(correct.mean()), 4),
        "low": round(low, 4),
        "high": round(high, 4),
    }


def as_newspaper(columns, n):
    """n texts, half of them newspaper: label 1."""
    return tables.subset(
        {"text": columns["text"], "label": [int(y == 1) for y in columns["label"]]}, n
    )


def arguments():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    a.add_argument("--sizes", type=int, nargs="+", default=[30, 300, 3000])
    for name, value in dict(tests=1200, tokens=64, size=16, steps=60, three=20).items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--out", type=Path, default=Path("data/results/sentiment_zh.json"))
    return a.parse_args()


def main(a):
    torch.set_num_threads(1)
    # the whole file is in this process's memory
    with outputs.claim(a.out, file=True):
        grid(a)


def grid(a):
    ctx, pool = distributed.setup(), three_classes("train")
    test, odd = tables.subset(three_classes("test"), a.tests), swapped()
    sides = (
        as_newspaper(pool, min(3000, 100 * a.tests)),
        as_newspaper(three_classes("test"), a.tests // 2),
    )
    settings = {k: getattr(a, k) for k in ("tests", "tokens", "size", "steps")}
    result, facts = {"three": [], "seconds": 0, **read(a.out)}, about(ctx)
    same_settings(a.out, {**facts, "settings": settings}, list(settings))
    result = {
        "commands": result.get("commands", []),
        **facts,
        "settings": settings,
        "classes": CLASSES,
        **{k: result[k] for k in ("seconds", "cells", "three")},
        "truth": digits(test["label"]),
        "swapped": {name: len(texts) for name, texts in odd.items()},
        "three_texts": THREE["text"],
        "probes": [probe(view, *sides) for view in VIEWS],
    }
    done = {(c["method"], c["n"], c["seed"]) for c in result["cells"]}
    todo = [
        ("grid", m, n, s)
        for s in a.seeds
        for n in a.sizes
        for m in METHODS
        if (m, n, s) not in done
    ]
    done = {(c["steps"], c["lr"], c["seed"]) for c in result["three"]}
    # three sentences: the usual 3 epochs at 2e-5, which is 3 steps; and as many steps
    # and as high a rate as the grid has
    todo += [
        ("three", *way, s)
        for s in range(a.three)
        for way in ((3, 2e-5), (a.steps, 5e-4))
        if (*way, s) not in done
    ]
    for kind, *what in todo:
        start = time.time()
        if kind == "grid":
            method, n, seed = what
            answer = train(
                method,
                tables.subset(pool, n, seed),
                seed,
                a.steps,
                a.size,
                ctx,
                a.tokens,
            )
            result["cells"].append(
                {
                    "method": method,
                    "n": n,
                    "seed": seed,
                    "answers": digits(answer(test["text"])),
                    **{name: digits(answer(texts)) for name, texts in odd.items()},
                }
            )
        else:
            steps, lr, seed = what
            answer = train(
                "zh-bert-mini", THREE, seed, steps, a.size, ctx, a.tokens, lr
            )
            result["three"].append(
                {
                    "steps": steps,
                    "lr": lr,
                    "seed": seed,
                    "own": digits(answer(THREE["text"])),
                    "answers": digits(answer(test["text"])),
                }
            )
        result["seconds"] = round(result["seconds"] + time.time() - start)
        write(a.out, result)
        print(*what, round(time.time() - start, 1), "s", flush=True)


if __name__ == "__main__":
    main(arguments())
