"""Masked language modelling in three minutes: `make demo`, or `python -m ftlib.mlm`.

    python -m ftlib.mlm                                  train live, fill masks, fine-tune
    python -m ftlib.mlm --fill "this film was [MASK]"    only fill your text
    python recipes/demo_mlm.py --quick                   a minute's worth of everything, smaller

1. A small BERT is trained on film reviews before your eyes, until it beats the best guess without context by 0.8 nats.
2. reviews-bert-mini, which had 40 minutes instead of two, fills masks; so does the same model with random weights.
3. Both are fine-tuned on 1,000 labelled film sentences.
"""

import argparse
import random
import shutil
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))  # `python -m ftlib.mlm` runs this file from elsewhere

from finetune import encoder_of, finetune, score

from ftlib import data, evaluate, hub, mlm, model, optim, plot, tokenize, train

# Small on purpose: rows of 32 teach what stands beside what with a quarter of the tokens that rows of 128 need
LIVE = dict(texts=6000, vocab=2000, length=32, width=128, layers=2, heads=4, batch=32, lr=3e-3, warmup=50, steps=3000, limit=150)
QUICK = LIVE | dict(texts=300, width=32, batch=8, steps=40, limit=20)
SENTENCES = ["this film was [MASK]", "the acting is [MASK] and the story is boring", "one of the best [MASK] i have ever seen",
             "a waste of [MASK]", "i would not recommend this movie to [MASK]"]
NAME, GOAL = "reviews-bert-mini", 0.8  # nats under the unigram line


def masked(rows, index, epoch, vocab, seed, share):
    ids, labels = mlm.mask_tokens(rows[index], vocab, 4, range(5), seed=seed, epoch=epoch, index=index, share=share)
    return {"input_ids": ids, "labels": labels}


def corpus(c):
    """(training rows, held-out rows, vocabulary size): film reviews that no test split holds, packed without padding."""
    splits, parts = data.load("imdb"), {}
    for part, count in (("train", c["texts"]), ("validation", 200)):
        texts = splits[part]["text"]
        parts[part] = random.Random(0).sample(texts, count)  # the file is sorted by class
    tokenizer = tokenize.train_wordpiece(parts["train"][:3000], c["vocab"])
    rows = [tokenize.pack(tokenize.encode(tokenizer, texts), c["length"]) for texts in parts.values()]
    return rows[0], rows[1][:256], tokenizer.get_vocab_size()


def live(c):
    """Train until GOAL is reached or the time is up, draw the curve, say what was reached."""
    print("1. Training a BERT from random weights on film reviews", flush=True)
    rows, held_out, vocab = corpus(c)
    torch.manual_seed(0)
    net = model.LanguageModel(model.Config(vocab, c["width"], c["layers"], c["heads"], 4 * c["width"], c["length"]))
    optimizer = optim.adamw(optim.parameter_groups(net, c["lr"]))
    test = [masked(held_out, i, 0, vocab, seed=999, share=0.15) for i in torch.arange(len(held_out)).split(64)]
    asked = torch.cat([b["labels"] for b in test]) != -100
    lines = {"unigram": evaluate.unigram_loss(rows, held_out[asked], vocab), "bigram": evaluate.bigram_loss(rows, held_out, vocab, places=asked)}
    print(f"   {model.count(net):,} weights, {rows.numel():,} tokens of text. Guessing without context costs {lines['unigram']:.2f} nats a token,\n"
          f"   from the token before {lines['bigram']:.2f}. The goal: {GOAL} nats under the first line.", flush=True)
    batches = (masked(rows, torch.tensor(i), epoch, vocab, seed=0, share=0.2) for epoch, i in train.stream(len(rows), c["batch"]))
    run = train.steps(net, batches, mlm.mlm_loss, optimizer, schedule=lambda step: optim.warmup_linear(step, c["warmup"], c["steps"]))
    losses, began = [evaluate.mean_loss(net, test, mlm.mlm_loss)], time.perf_counter()
    for step in train.progress(run, c["steps"]):
        done, seconds = step.number + 1, time.perf_counter() - began
        if done % 50 == 0 or done == c["steps"]:
            losses.append(evaluate.mean_loss(net, test, mlm.mlm_loss))
        if lines["unigram"] - losses[-1] >= GOAL or seconds > c["limit"] or done == c["steps"]:
            break
    gap = lines["unigram"] - losses[-1]
    print(plot.terminal_curve(losses, lines, width=min(90, shutil.get_terminal_size().columns - 12), height=14))
    print(f"   held-out loss after each 50 steps. After {done:,} steps and {seconds:.0f} s it is {losses[-1]:.2f}, {abs(gap):.2f} nats "
          f"{'under' if gap > 0 else 'over'} the unigram line:\n   " + ("the goal is reached; the model reads its context." if gap >= GOAL else
          f"the goal of {GOAL} is NOT reached on this machine within {c['limit']} s. More time would do it, see recipes/pretrain_mlm.py."))


def pretrained():
    """(model, tokenizer) of reviews-bert-mini, or None with a sentence that says what is missing."""
    try:
        folder = hub.resolve(NAME)
    except (FileNotFoundError, KeyError, ValueError) as error:
        print(f"{NAME} cannot be used: {error.args[0]}")
        return None
    return model.load(folder).eval(), tokenize.load(folder)


def fill(net, tokenizer, text, k=5):
    guesses = mlm.fill_mask(net, tokenizer, text, k)
    return "; ".join(", ".join(f"{piece} {p:.2f}" for piece, p in mask) for mask in guesses)


def fill_before_and_after(net, tokenizer):
    print(f"\n2. Filling masks: random weights, and after pretraining ({NAME}, {model.count(net):,} weights)")
    torch.manual_seed(0)
    blank = model.LanguageModel(net.config).eval()
    for text in SENTENCES:
        print(f"   {text}\n      before: {fill(blank, tokenizer, text)}\n      after:  {fill(net, tokenizer, text)}", flush=True)


def tune(labels):
    print(f"\n3. Good or bad? Fine-tuning on {labels:,} labelled film sentences, from random and from pretrained weights", flush=True)
    splits, right = data.load("rotten_tomatoes"), {}
    few, test = data.subset(splits["train"], labels), splits["test"]
    for name in ("scratch", "pretrained"):
        torch.manual_seed(0)
        encoder, tokenizer = encoder_of(NAME, scratch=name == "scratch")
        net, _ = finetune(encoder, tokenizer, few["text"], few["label"], lr=5e-4, tokens=64, min_steps=60, show=True)
        _, right[name] = score(net, tokenizer, test["text"], test["label"], 64)
        low, high = evaluate.bootstrap_interval(right[name])
        print(f"   {name:10} test accuracy {right[name].mean():.3f}, 95 % interval {low:.3f} to {high:.3f}", flush=True)
    low, high = evaluate.bootstrap_interval(right["pretrained"] - right["scratch"])  # the same texts: compare text by text
    print(f"   the difference: {right['pretrained'].mean() - right['scratch'].mean():+.3f}, 95 % interval {low:+.3f} to {high:+.3f}, "
          f"over {len(test['label'])} texts and one seed")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--fill", metavar="TEXT", help="only fill the [MASK]s of this text")
    a.add_argument("--quick", action="store_true", help="smaller, to see that it runs")
    a = a.parse_args()
    if a.fill is None:
        live(QUICK if a.quick else LIVE)
    found = pretrained()
    if found is None:
        return
    if a.fill is not None:
        print(fill(*found, a.fill))
        return
    fill_before_and_after(*found)
    tune(60 if a.quick else 1000)


if __name__ == "__main__":
    main()
