"""Three tasks in a row for one encoder: what is forgotten, and what replay, EWC,
freezing and LoRA do about it. Chapter 17's figures.

    python recipes/forgetting.py --seeds 0 1 2 3 4
    python recipes/forgetting.py --methods naive "replay 20 texts" --seeds 0 \\
        --train 40 --tests 20 --out runs/try.json      # a small trial

Every task has a head of its own and the text's task is told (task-incremental); what
they share is the encoder. A seed draws the training texts, the heads, the order and the
memory; the test texts are the same for all. Done cells are skipped.
"""

import argparse
import functools
import random
import re
import time
from pathlib import Path

import torch
import torch.nn.functional as F

# beside this file: Python puts a script's own folder on its path
from finetune import encoder_of
from grid import about, add, done, same_settings
from torch import nn

from ftlib.course import sources
from ftlib.data import tables, tokenization
from ftlib.models import lora
from ftlib.objectives import classify
from ftlib.training import continual, distributed, optim, train

NAME, EPOCHS, BATCH, LR, TOKENS = "reviews-bert-mini", 3, 16, 5e-4, 48
# of a batch, when there is a memory; texts of a task for its Fisher information
SHARE, ASKED = 0.25, 100
METHODS = {
    "naive": {},
    **{f"replay {n} texts": dict(memory=n) for n in (20, 100, 500)},
    "replay, all kept": dict(memory=10**6),
    **{f"EWC {n:,}": dict(ewc=float(n)) for n in (10**4, 10**5, 10**6)},
    "frozen encoder": dict(frozen=True, lr=5e-3),
    # the rate of the naive run, as a control
    "LoRA, shared": dict(rank=8, lr=2e-3),
    "LoRA, shared, slow": dict(rank=8, lr=LR),
    "LoRA, one a task": dict(rank=8, lr=2e-3, apart=True),
    "joint": dict(joint=True),
}


loaded = functools.cache(sources.load)


class Tasks(nn.Module):
    """One encoder and a head for each task."""

    def __init__(self, encoder, tasks):
        super().__init__()
        self.encoder, self.dropout = encoder, nn.Dropout(0.1)
        self.heads = nn.ModuleList(
            nn.Linear(encoder.config.width, 2) for _ in range(tasks)
        )

    def forward(self, input_ids, attention_mask, task):
        """task (B,): which head answers each row -> logits (B, 2)."""
        hidden = self.encoder(
            input_ids, attention_mask=attention_mask
        ).last_hidden_state
        vectors = self.dropout(classify.pool(hidden, attention_mask))
        # (B, K, 2); a head costs next to nothing
        logits = torch.stack([head(vectors) for head in self.heads], dim=1)
        return logits[torch.arange(len(task)), task]


def loss_of(model, batch):
    return F.cross_entropy(
        model(batch["input_ids"], batch["attention_mask"], batch["task"]).float(),
        batch["labels"],
        reduction="sum",
    )


def passages(split, seed):
    """24 words from inside each long IMDb review, in an order drawn from the seed."""
    results = [
        words[30:54]
        for text in loaded("imdb")[split]["text"]
        if len(words := text.split()) >= 80
    ]
    random.Random(seed).shuffle(results)
    return results


def names_someone(words):
    """Whether a capitalised word stands inside a sentence: a person, a place,
    a title.
    """
    neighbours = zip(words, words[1:])
    return any(
        re.fullmatch("[A-Z][a-z]+", word.strip(".,!?()'\""))
        and not before.endswith((".", "!", "?", '"', ")", ":"))
        for before, word in neighbours
    )


def balanced(no, yes, n):
    return [*no[: n // 2], *yes[: n // 2]], [0] * (n // 2) + [1] * (n // 2)


def sentiment(split, n, seed):
    """Is a critic's sentence (Rotten Tomatoes) positive?"""
    subset = tables.subset(loaded("rotten_tomatoes")[split], n, seed)
    return subset["text"], subset["label"]


def writer(split, n, seed):
    """Did a critic (0) or a viewer (1, a passage of IMDb) write it? Lower-cased, as the
    critics' sentences are.
    """
    critics = tables.subset(
        {"text": loaded("rotten_tomatoes")[split]["text"]}, n // 2, seed + 100
    )["text"]
    return balanced(
        critics,
        [" ".join(words[:21]).lower() for words in passages(split, seed)[: n // 2]],
        n,
    )


def name(split, n, seed):
    """Does a viewer's passage name somebody or something? Decided by its capital
    letters, which are then taken away.
    """
    texts = {
        yes: [
            " ".join(words).lower()
            for words in passages(split, seed + 200)
            if names_someone(words) == yes
        ]
        for yes in (False, True)
    }
    return balanced(texts[False], texts[True], n)


TASKS = {"sentiment": sentiment, "writer": writer, "name": name}


def learn(net, rows, labels, task, order, ctx, lr, loss_fn):
    """Train on the rows in the order given; rows of several tasks may share a batch,
    `task` says whose each one is.
    """
    order = list(order)
    batches = (
        {**b, "task": torch.tensor([task[r] for r in b["index"].tolist()])}
        for b in classify.batches_of(rows, labels, order=order)
    )
    list(
        train.steps(
            net,
            batches,
            loss_fn,
            optim.adamw(optim.parameter_groups(net, lr)),
            dtype=ctx.dtype,
            schedule=lambda step: optim.warmup_linear(
                step, len(order) // 10, len(order)
            ),
        )
    )


@torch.no_grad()
def accuracies(net, tests, ctx):
    """One row of the matrix: the share of right answers on each task's test texts."""
    net.eval()
    results = []
    for k, (rows, labels) in enumerate(tests):
        correct = 0
        for batch in classify.batches_of(rows, labels, size=64):
            with torch.autocast("cpu", torch.bfloat16, enabled=ctx.dtype is not None):
                logits = net(
                    batch["input_ids"],
                    batch["attention_mask"],
                    torch.full_like(batch["labels"], k),
                )
            correct += int((logits.argmax(-1) == batch["labels"]).sum())
        results.append(correct / len(rows))
    net.train()
    return results


def fresh(seed, tasks, rank=None, frozen=False):
    torch.manual_seed(seed)
    encoder, tokenizer = encoder_of(NAME)
    net = Tasks(encoder, tasks)
    if rank:
        lora.add(net.encoder, ["qkv", "out", "up", "down"], rank, 2 * rank)
    if frozen:
        classify.freeze(net.encoder)
    return net, tokenizer


def anchor_of(net, rows, labels, task):
    """EWC's memory of a task: where the weights are, and how much each one matters to
    it.
    """
    batches = (
        {**b, "task": torch.tensor([task])}
        for b in classify.batches_of(
            rows[:ASKED], labels, order=[[r] for r in range(min(ASKED, len(rows)))]
        )
    )
    weights = continual.fisher(
        net, batches, lambda net, b: net(b["input_ids"], b["attention_mask"], b["task"])
    )
    return continual.copy_weights(net), weights


def sequence(
    seed,
    n,
    tests,
    ctx,
    *,
    memory=0,
    ewc=0.0,
    frozen=False,
    rank=None,
    lr=LR,
    apart=False,
    joint=False,
):
    """Train on the tasks in a row -> the matrix [after task t][on task k]."""
    count = len(TASKS)
    net, tokenizer = fresh(seed, count, rank, frozen)
    rows, labels, task, kept, anchors, matrix = [], [], [], [], [], []
    encoded_tests = [
        (tokenization.encode(tokenizer, texts, TOKENS), y) for texts, y in tests
    ]
    for k, make in enumerate(TASKS.values()):
        texts, y = make("train", n, seed)
        # shuffled once: the first rows serve EWC, and they must not be of one class
        mix = train.order(len(texts), seed, 7).tolist()
        rows = rows + tokenization.encode(tokenizer, [texts[i] for i in mix], TOKENS)
        labels = labels + [y[i] for i in mix]
        task += [k] * len(texts)
        first = len(rows) - len(texts)
        if joint and k + 1 < count:
            continue
        if apart:
            net, _ = fresh(seed + k, count, rank)
        new = range(len(rows)) if joint else range(first, len(rows))
        # without a memory `kept` is empty, and every batch is of the new task alone
        order = (
            [new[r] for r in fresh_rows] + [kept[r] for r in old]
            for epoch in range(EPOCHS)
            for fresh_rows, old in continual.replay_batches(
                len(new), len(kept), SHARE, BATCH, seed, epoch
            )
        )
        learn(
            net,
            rows,
            labels,
            task,
            order,
            ctx,
            lr,
            continual.with_penalty(loss_of, anchors, ewc) if anchors else loss_of,
        )
        row = accuracies(net, encoded_tests, ctx)
        # with a part for each task, the old tasks are answered by their own parts,
        # which nothing has touched since
        matrix.append([*matrix[-1][:k], *row[k:]] if apart and k else row)
        if memory:
            kept = continual.reservoir(range(len(rows)), memory, seed)
        if ewc and k + 1 < count:
            anchors.append(anchor_of(net, rows[first:], labels[first:], k))
    return matrix * count if joint else matrix


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    for option, value in dict(train=600, tests=600, threads=1).items():
        a.add_argument(f"--{option}", type=int, default=value)
    a.add_argument("--out", type=Path, default=Path("data/results/forgetting.json"))
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    ctx = distributed.setup()
    facts = {
        **about(ctx),
        "model": NAME,
        "tasks": list(TASKS),
        "train": a.train,
        "tests": a.tests,
        "epochs": EPOCHS,
        "batch": BATCH,
        "lr": LR,
        "methods": METHODS,
    }
    same_settings(a.out, facts, ["train", "tests"])
    tests = [make("test", a.tests, 0) for make in TASKS.values()]
    for seed in a.seeds:
        for method in a.methods:
            if (method, seed) not in done(a.out, "method", "seed"):
                start = time.perf_counter()
                matrix = sequence(seed, a.train, tests, ctx, **METHODS[method])
                cell = {
                    "method": method,
                    "seed": seed,
                    "matrix": [[round(v, 4) for v in row] for row in matrix],
                    "seconds": round(time.perf_counter() - start, 1),
                }
                add(a.out, cell, facts, order=["seed", "method"])
                print(method, seed, cell["matrix"], cell["seconds"], flush=True)


if __name__ == "__main__":
    main()
