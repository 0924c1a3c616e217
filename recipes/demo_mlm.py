"""Masked language modelling in three minutes: `make demo`, or `python -m
ftlib.objectives.mlm`.

    python -m ftlib.objectives.mlm            train live, fill masks, fine-tune
    python -m ftlib.objectives.mlm --quick    everything, smaller
    python -m ftlib.objectives.mlm --fill "this film was [MASK]"    only your text

1. A small BERT is trained on film reviews before your eyes, until it beats the best
   guess without context by 0.8 nats.
2. reviews-bert-mini, pretrained for much longer, fills masks; so does the same model
   with random weights.
3. Both are fine-tuned on 1,000 labelled film sentences.
"""

import argparse
import random
import shutil
import sys
import time
from pathlib import Path

import torch

# `python -m ftlib.objectives.mlm` runs this file from elsewhere
sys.path.insert(0, str(Path(__file__).resolve().parent))

from finetune import encoder_of, finetune, score

from ftlib.course import hub, plot, reproducibility, sources
from ftlib.data import tables, tokenization
from ftlib.evaluation import intervals, metrics
from ftlib.models import hf_format, transformer
from ftlib.objectives import mlm
from ftlib.training import optim, train

# Rows of 8: the neighbours that give a word away are soon found among so few. In rows
# of 32, 900 steps were not enough
LIVE = dict(
    texts=6000,
    vocab=2000,
    length=8,
    width=128,
    layers=2,
    heads=4,
    batch=128,
    lr=2e-3,
    warmup=50,
    steps=2000,
    limit=120,
)
QUICK = LIVE | dict(texts=300, width=32, batch=32, steps=40, warmup=5, limit=20)
SENTENCES = [
    "this film was [MASK]",
    "the acting is [MASK] and the story is boring",
    "one of the best [MASK] i have ever seen",
]
NAME, GOAL = "reviews-bert-mini", 0.8  # nats under the unigram line


def corpus(c):
    """(tokenizer, training rows, validation rows) of film reviews, none from a test
    split, packed without padding.
    """
    splits = sources.load("imdb")
    texts, held_out = (
        random.Random(0).sample(splits[split]["text"], n)
        for split, n in (("train", c["texts"]), ("validation", 200))
    )
    tokenizer = tokenization.train_wordpiece(texts[:3000], c["vocab"])
    rows, held_out = (
        tokenization.pack(tokenization.encode(tokenizer, t), c["length"])
        for t in (texts, held_out)
    )
    return tokenizer, rows, held_out[: 8192 // c["length"]]


def live(c):
    """Train until GOAL is reached or the time is up, draw the curve, say what was
    reached.
    """
    print("1. Training a BERT from random weights on film reviews", flush=True)
    torch.manual_seed(0)
    tokenizer, rows, held_out = corpus(c)
    vocab = tokenizer.get_vocab_size()
    sizes = (vocab, c["width"], c["layers"], c["heads"], 4 * c["width"], c["length"])
    config = transformer.Config(*sizes, init_std=0.08)  # about 1 / sqrt(width)
    net = transformer.LanguageModel(config)
    test = [
        mlm.masked_batch(held_out[i], i, tokenizer, seed=999)
        for i in torch.arange(len(held_out)).split(128)
    ]
    target_mask = torch.cat([b["labels"] for b in test]) != -100
    lines = {
        "unigram": metrics.unigram_loss(rows, held_out[target_mask], vocab),
        "bigram": metrics.bigram_loss(rows, held_out, vocab, target_mask=target_mask),
    }
    print(
        f"   {transformer.count_parameters(net):,} parameters, {rows.numel():,} "
        f"tokens. Nats a token: guessing without context {lines['unigram']:.2f}, "
        f"from the token\n   before {lines['bigram']:.2f}. The goal: {GOAL} under "
        "the first.",
        flush=True,
    )
    batches = (
        mlm.masked_batch(
            rows[i], torch.tensor(i), tokenizer, seed=0, epoch=epoch, mask_prob=0.2
        )
        for epoch, i in train.sample_rows(len(rows), c["batch"])
    )
    run = train.steps(
        net,
        batches,
        mlm.mlm_loss,
        optim.adamw(optim.parameter_groups(net, c["lr"])),
        schedule=lambda step: optim.warmup_linear(step, c["warmup"], c["steps"]),
    )
    losses, start = [metrics.mean_loss(net, test, mlm.mlm_loss)], time.perf_counter()
    for step in train.progress(run, c["steps"]):
        done, seconds = step.number + 1, time.perf_counter() - start
        over = seconds > c["limit"] or done == c["steps"]
        if done % 50 == 0 or over:
            losses.append(metrics.mean_loss(net, test, mlm.mlm_loss))
        if over or lines["unigram"] - losses[-1] >= GOAL:
            break
    gain = lines["unigram"] - losses[-1]
    print(
        plot.terminal_curve(
            losses,
            lines,
            width=min(90, shutil.get_terminal_size().columns - 12),
            height=14,
        )
    )
    message = (
        "the goal is reached: the model reads its context"
        if gain >= GOAL
        else f"the goal of {GOAL} was NOT reached here"
    )
    print(
        f"   Validation loss after each 50 steps. At the end, after {done:,} steps and "
        f"{seconds:.0f} s: {losses[-1]:.2f}, {abs(gain):.2f} nats "
        f"{'under' if gain > 0 else 'over'} unigram;\n   {message}."
    )


def fill(net, tokenizer, text):
    guesses = mlm.fill_mask(net, tokenizer, text)
    return "; ".join(
        ", ".join(f"{token} {p:.2f}" for token, p in mask) for mask in guesses
    )


def tune(labels):
    print(
        f"\n3. Good or bad? Fine-tuning on {labels:,} labelled film sentences, from "
        "random and from pretrained weights",
        flush=True,
    )
    splits, correct = sources.load("rotten_tomatoes"), {}
    train_subset, test = tables.subset(splits["train"], labels), splits["test"]
    for name in ("scratch", "pretrained"):
        torch.manual_seed(0)
        encoder, tokenizer = encoder_of(NAME, scratch=name == "scratch")
        net, _ = finetune(
            encoder,
            tokenizer,
            train_subset["text"],
            train_subset["label"],
            lr=5e-4,
            tokens=64,
            min_steps=60,
            show=True,
        )
        _, correct[name] = score(net, tokenizer, test["text"], test["label"], 64)
        low, high = intervals.bootstrap_interval(correct[name])
        print(
            f"   {name:10} test accuracy {correct[name].mean():.3f}, 95 % interval "
            f"{low:.3f} to {high:.3f}",
            flush=True,
        )
    # the same texts: compare text by text
    low, high = intervals.bootstrap_interval(correct["pretrained"] - correct["scratch"])
    print(
        "   the difference: "
        f"{correct['pretrained'].mean() - correct['scratch'].mean():+.3f}, "
        "95 % interval "
        f"{low:+.3f} to {high:+.3f}, "
        f"over {len(test['label'])} texts and one seed"
        + ("; it holds 0, so this run proves no gain" if low <= 0 <= high else "")
    )


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--fill", metavar="TEXT", help="only fill the [MASK]s of this text")
    a.add_argument("--quick", action="store_true", help="smaller, to see that it runs")
    a = a.parse_args()
    if a.fill is None:
        print(reproducibility.pick_threads(), flush=True)
        live(QUICK if a.quick else LIVE)
    try:
        folder = hub.resolve(NAME)
    except (FileNotFoundError, KeyError, ValueError) as error:
        return print(f"{NAME} cannot be used: {error.args[0]}")
    net = transformer.from_state(*hf_format.load(folder)).eval()
    tokenizer = tokenization.load(folder)
    if a.fill is not None:
        return print(fill(net, tokenizer, a.fill))
    print(
        f"\n2. Filling masks: random weights, and after pretraining ({NAME}, "
        f"{transformer.count_parameters(net):,} parameters)"
    )
    blank = transformer.LanguageModel(net.config).eval()
    for text in SENTENCES:
        print(
            f"   {text}\n      before: {fill(blank, tokenizer, text)}\n      after:  "
            f"{fill(net, tokenizer, text)}"
        )
    tune(60 if a.quick else 1000)


if __name__ == "__main__":
    main()
