"""What the live run of chapter 09 learns, over seeds, and which of its choices does it:
the loss where [MASK] is shown and where a token is, every 50 steps.

    python recipes/live_mlm.py                            # about half an hour of a core
    python recipes/live_mlm.py --seeds 0 --arms "short, larger" --languages en

Arms: rows of 16 or of 64 tokens, the blocks' matrices as BERT starts them (0.02) or
four times larger; every step reads as many tokens. Seed 0 of "short, larger" is the
chapter's run. Baselines of each arm on its own validation rows: the unigram, the bigram
from the left, from both neighbours, and a copy of the shown token. Runs that are done
are skipped, so the program may be interrupted.
"""

import argparse
import time
from pathlib import Path

import torch
from grid import about, add, done, same_settings  # beside this file

from ftlib.course import sources
from ftlib.data import tables, tokenization
from ftlib.evaluation import metrics
from ftlib.models import transformer
from ftlib.objectives import mlm
from ftlib.training import optim, train

SETTINGS = dict(
    texts=4000, vocab=2000, width=128, layers=2, tokens=4096, lr=3e-3, warmup=50
)
ARMS = {  # tokens of a row, factor of the matrices at the start
    "short, larger": (16, 4),
    "short": (16, 1),
    "long, larger": (64, 4),
    "long": (64, 1),
}
DATA = {"en": ("imdb", 1, 300), "zh": ("zh_shop_reviews", 3, 1000)}
GAPS = {
    "en": (
        "this is one of the [MASK] films i have ever seen.",
        "the acting was [MASK].",
        "a complete [MASK] of time.",
    ),
    "zh": ("房[MASK]很干净。", "服务态度很[MASK]。", "我很喜[MASK]这本书。"),
}


def corpus(language, s):
    """(tokenizer, training rows, validation rows), rows of 64 tokens."""
    name, times, held_out = DATA[language]
    splits = sources.load(name)
    texts = tables.subset(splits["train"], times * s["texts"])["text"]
    tokenizer = tokenization.train_wordpiece(texts, s["vocab"])
    val = tables.subset(splits["validation"], held_out)["text"]
    rows, val = (
        tokenization.pack(tokenization.encode(tokenizer, part), 64)
        for part in (texts, val)
    )
    return tokenizer, rows, val[:256]


def batches_of(rows, tokenizer, seed, s):
    """Endless masked batches of `tokens` tokens."""
    for epoch, i in train.sample_rows(len(rows), s["tokens"] // rows.shape[1], seed):
        index = torch.tensor(i)
        yield mlm.masked_batch(
            rows[index], index, tokenizer, seed=seed, epoch=epoch, mask_prob=0.2
        )


def baselines(rows, tests, val, tokenizer):
    """Nats of the guesses without a network, on the targets of `tests`."""
    vocab = tokenizer.get_vocab_size()
    special = [tokenizer.token_to_id(name) for name in tokenization.SPECIAL]
    hidden = torch.cat([b["labels"] for b in tests]) != -100
    hidden &= torch.cat([b["input_ids"] for b in tests]) == special[4]
    together = {k: torch.cat([b[k] for b in tests]) for k in ("input_ids", "labels")}
    return {
        "unigram": metrics.unigram_loss(rows, val[hidden], vocab),
        "bigram": metrics.bigram_loss(rows, val, vocab, target_mask=hidden),
        "both neighbours": metrics.neighbours_loss(
            rows, val, vocab, target_mask=hidden
        ),
        "copy": mlm.copy_loss(rows, together, vocab, special[4], special),
    }


def one_run(arm, language, seed, steps, data, s):
    """Train one model -> what the result file lists for it."""
    start = time.process_time()
    tokenizer, rows, val = data
    length, larger = ARMS[arm]
    rows, val = rows.view(-1, length), val.view(-1, length)
    mask_id = tokenizer.token_to_id("[MASK]")
    tests = [
        mlm.masked_batch(val[i], i, tokenizer, seed=999)
        for i in torch.arange(len(val)).split(s["tokens"] // length)
    ]
    apart = list(zip(*(mlm.split_targets(batch, mask_id) for batch in tests)))
    torch.manual_seed(seed)
    sizes = (tokenizer.get_vocab_size(), s["width"], s["layers"], 4, 4 * s["width"])
    net = transformer.LanguageModel(
        transformer.Config(*sizes, 64, init_std=0.02 * larger)
    )
    optimizer = optim.adamw(optim.parameter_groups(net, s["lr"]))
    run = train.steps(
        net,
        batches_of(rows, tokenizer, seed, s),
        mlm.mlm_loss,
        optimizer,
        schedule=lambda step: optim.warmup_linear(step, s["warmup"], steps),
    )
    curve = []
    for step in run:
        if (step.number + 1) % 50 == 0:
            parts = [metrics.mean_loss(net, part, mlm.mlm_loss) for part in apart]
            curve.append([step.number + 1, *(round(nats, 4) for nats in parts)])
        if step.number + 1 == steps:
            break
    found = {
        text: [token for token, _ in mlm.fill_mask(net, tokenizer, text, k=4)[0]]
        for text in GAPS[language]
    }
    lines = baselines(rows, tests, val, tokenizer)
    return {
        "language": language,
        "arm": arm,
        "seed": seed,
        "steps": steps,
        "hidden": curve[-1][1],
        "visible": curve[-1][2],
        **{name: round(nats, 4) for name, nats in lines.items()},
        "curve": curve,
        "fills": found,
        "cpu_seconds": round(time.process_time() - start),
    }


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    a.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    a.add_argument("--languages", nargs="+", choices=DATA, default=list(DATA))
    a.add_argument("--steps", type=int, default=600)
    a.add_argument("--out", type=Path, default=Path("data/results/live_mlm.json"))
    for name, value in SETTINGS.items():
        a.add_argument(f"--{name}", type=type(value), default=value)
    a = a.parse_args()
    settings = {name: getattr(a, name) for name in SETTINGS} | {"steps": a.steps}
    facts = {**about(), "settings": settings}
    same_settings(a.out, facts, list(settings))
    for language in a.languages:
        data = corpus(language, settings)
        for seed in a.seeds:
            for arm in a.arms:
                keys = ("language", "arm", "seed")
                if (language, arm, seed) not in done(a.out, *keys):
                    cell = one_run(arm, language, seed, a.steps, data, settings)
                    add(a.out, cell, facts, order=list(keys))
                    print({k: v for k, v in cell.items() if k != "curve"}, flush=True)


if __name__ == "__main__":
    main()
