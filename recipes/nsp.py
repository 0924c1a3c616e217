"""Does next-sentence prediction help: the masked words, or a task on pairs? Two arms
with the same rows, masks and first weights; only the loss differs.

    python recipes/nsp.py                            # about three quarters of an hour
    python recipes/nsp.py --seeds 0 --out /tmp/nsp.json

Each seed first reads rows of 16 tokens without pairs, for both arms together: without
it a model of this size copies what it sees and learns nothing of hidden words for long.
Then arm "with" trains on the sum of the masked-word loss and the next-sentence loss
(mlm.pretraining_loss), arm "without" on the masked-word loss alone. Kept every --every
steps, on held-out texts: the loss where [MASK] is shown and where a token is, and the
accuracy on next sentences, on all collections and within one.

Then each model is fine-tuned on --labels pairs of texts that it has not read, once for
each task. The learning rate is chosen from RATES on other pairs (DEV), the accuracy
counted on the held-out texts.

    next sentence   does B follow A? The pretraining task itself, on texts of one
                    collection: a positive control, here it must help
    same text       are A and B, with GAP tokens between them, from one text?
    order           A and B are neighbours. Which came first (Lan et al. 2020)?

A task's cheap baseline is a threshold on the share of B's tokens that A has as well.
Cells that are done are skipped, so the program may be interrupted.
"""

import argparse
import copy
import functools
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from grid import about, add, done, same_settings  # beside this file

from ftlib.course import sources
from ftlib.data import tokenization
from ftlib.evaluation import metrics
from ftlib.models import transformer
from ftlib.objectives import mlm
from ftlib.training import optim, train

ARMS = {"with": mlm.pretraining_loss, "without": mlm.mlm_loss}
TASKS = ("next sentence", "same text", "order")
RATES = (3e-4, 1e-3)
GAP, DEV = 15, 300
SIZES = dict(
    first_steps=400,
    steps=800,
    every=100,
    batch=64,
    length=64,
    warmup=50,
    vocab=2000,
    width=128,
    layers=2,
    heads=4,
    labels=500,
    epochs=8,
)


def arguments():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in SIZES.items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    a.add_argument("--lr", type=float, default=3e-3)
    a.add_argument("--mask_prob", type=float, default=0.15)
    a.add_argument("--data", nargs="+", default=["zh_shop_reviews", "peoples_daily"])
    a.add_argument("--out", type=Path, default=Path("data/results/nsp.json"))
    return a.parse_args()


def corpus(names, a):
    """A vocabulary, and for each collection three lists of texts as ids without special
    tokens: to pretrain on, to take labelled pairs from, to judge by. Each text is long
    enough for two segments and the gap, and all collections give as many texts.
    """
    splits = [sources.load(name) for name in names]
    tokenizer = tokenization.train_wordpiece(
        [t for s in splits for t in s["train"]["text"]], a.vocab
    )
    parts = []
    for split in ("train", "validation"):
        rows = [tokenization.encode(tokenizer, s[split]["text"]) for s in splits]
        long = [[r[1:-1] for r in each if len(r) >= a.length + GAP] for each in rows]
        parts.append([each[: min(map(len, long))] for each in long])
    own = -(-(a.labels + DEV) // len(names))  # of each collection, rounded up
    read, labelled = zip(*((each[own:], each[:own]) for each in parts[0]))
    return tokenizer, read, labelled, parts[1]


def make_batch(documents, index, epoch, tokenizer, a, seed):
    """Pairs, masked. Pairs and masks draw from the same recipe of random numbers, so
    they get different seeds.
    """
    special = [tokenizer.token_to_id(t) for t in tokenization.SPECIAL]
    batch = mlm.sentence_pairs(
        documents,
        index,
        a.length,
        special[2],
        special[3],
        seed=1000 + seed,
        epoch=epoch,
    )
    how = dict(seed=seed, epoch=epoch, mask_prob=a.mask_prob)
    return {**batch, **mlm.masked_batch(batch["input_ids"], index, tokenizer, **how)}


def correct_pairs(net, batches):
    """The share of pairs whose label the head gives."""
    right = total = 0
    with torch.no_grad():
        for batch in batches:
            output = net(batch["input_ids"], None, batch["token_type_ids"])
            guess = output.next_sentence_logits.argmax(-1)
            right += int((guess == batch["next_sentence_label"]).sum())
            total += len(guess)
    return right / total


def examine(net, tests, mask_id):
    """Loss where [MASK] is shown and where a token is, accuracy on pairs of all
    collections and within one (the mean over collections).
    """
    apart = zip(*(mlm.split_targets(batch, mask_id) for batch in tests[0]))
    losses = [metrics.mean_loss(net, list(part), mlm.mlm_loss) for part in apart]
    pairs = [correct_pairs(net, batches) for batches in tests]
    found = [*losses, pairs[0], sum(pairs[1:]) / len(pairs[1:])]
    return [round(x, 4) for x in found]


def first_weights(documents, tokenizer, a, seed):
    """A model that has read rows of 16 tokens, without pairs."""
    torch.manual_seed(seed)
    sizes = (tokenizer.get_vocab_size(), a.width, a.layers, a.heads, 4 * a.width)
    # the matrices four times larger than BERT's, as in chapter 09's live run
    config = transformer.Config(
        *sizes, a.length, init_std=0.08, segments=2, nsp_head=True
    )
    net = transformer.LanguageModel(config)
    rows = tokenization.pack(documents, 16)
    size = a.batch * a.length // 16
    batches = (
        mlm.masked_batch(
            rows[torch.tensor(i)], torch.tensor(i), tokenizer, seed=seed, epoch=epoch
        )
        for epoch, i in train.sample_rows(len(rows), size, seed)
    )
    return train_model(net, batches, mlm.mlm_loss, a.lr, a.first_steps, a.warmup)


def train_model(net, batches, loss_fn, lr, steps, warmup, every=0, look=None):
    """Train `steps` steps; look(net, step) after every `every`."""
    optimizer = optim.adamw(optim.parameter_groups(net, lr))
    rate = functools.partial(optim.warmup_linear, warmup=warmup, total=steps)
    run = train.steps(net, batches, loss_fn, optimizer, schedule=rate)
    for _, step in zip(range(steps), run):
        if every and (step.number + 1) % every == 0:
            look(net, step.number + 1)
    return net


def two_segments(task, collection, i, draw, half):
    """Two stretches of `half` ids and the label of the pair that text i begins. B's
    place in its text is drawn alike for both labels, so that it tells nothing.
    """
    document, coin = collection[i], draw.random() < 0.5
    apart = half + (GAP if task == "same text" else 0)

    def place(text):
        return draw.randrange(len(text) - half - apart + 1)

    start = place(document)
    first = document[start : start + half]
    second = document[start + apart : start + apart + half]
    if task == "order":
        return (second, first, 1) if coin else (first, second, 0)
    if coin:
        other = draw.randrange(len(collection) - 1)
        foreign = collection[other + (other >= i)]
        start = place(foreign) + apart
        second = foreign[start : start + half]
    return first, second, int(coin)


def task_pairs(task, collections, tokenizer, length, seed):
    """One pair from each text, shuffled: {"input_ids", "token_type_ids",
    "next_sentence_label"}. A foreign segment comes from the same collection.
    """
    draw = random.Random(f"{task} {seed}")
    cls_id, sep_id = map(tokenizer.token_to_id, tokenization.SPECIAL[2:4])
    half, rows = (length - 3) // 2, []
    for collection in collections:
        for i in range(len(collection)):
            a, b, label = two_segments(task, collection, i, draw, half)
            rows.append(([cls_id, *a, sep_id, *b, sep_id], label))
    draw.shuffle(rows)
    ids, labels = map(torch.tensor, zip(*rows))
    kinds = torch.zeros_like(ids)
    kinds[:, half + 2 :] = 1
    return {
        "input_ids": ids,
        "token_type_ids": kinds,
        "next_sentence_label": labels,
    }


def take(pairs, index):
    return {name: column[index] for name, column in pairs.items()}


def pair_loss(net, batch):
    """Summed cross-entropy of the pairs' labels."""
    output = net(batch["input_ids"], None, batch["token_type_ids"])
    return F.cross_entropy(
        output.next_sentence_logits, batch["labels"], reduction="sum"
    )


def finetuned(net, pairs, lr, a, seed):
    """A copy of `net` with a new head, fine-tuned on the pairs."""
    torch.manual_seed(seed)
    net = copy.deepcopy(net)
    torch.nn.init.normal_(net.next_sentence.weight, std=0.02)
    torch.nn.init.zeros_(net.next_sentence.bias)
    count, size = len(pairs["input_ids"]), 25
    named = dict(pairs)
    named["labels"] = named.pop("next_sentence_label")  # the only targets here
    batches = (take(named, i) for _, i in train.sample_rows(count, size, seed))
    steps = a.epochs * count // size
    return train_model(net, batches, pair_loss, lr, steps, steps // 10)


def overlap(pairs):
    """The share of B's tokens that A has as well, for each pair."""
    shares = []
    for ids, kinds in zip(pairs["input_ids"], pairs["token_type_ids"]):
        first, second = set(ids[kinds == 0].tolist()), ids[kinds == 1][:-1].tolist()
        shares.append(sum(token in first for token in second) / len(second))
    return torch.tensor(shares)


def by_overlap(known, asked):
    """Accuracy on `asked` of the best threshold for `known`: few shared tokens are
    label 1.
    """
    shares, labels = overlap(known), known["next_sentence_label"]
    found = [((shares < t).long() == labels).sum() for t in shares]
    threshold = shares[torch.stack(found).argmax()]
    guess = (overlap(asked) < threshold).long()
    return float((guess == asked["next_sentence_label"]).float().mean())


def judge_task(net, task, data, a, seed):
    """{"accuracy", "rate", "overlap"} of one task."""
    tokenizer, _, labelled, held_out = data
    pairs = task_pairs(task, labelled, tokenizer, a.length, seed)
    known, dev = take(pairs, slice(a.labels)), take(pairs, slice(a.labels, None))
    asked = task_pairs(task, held_out, tokenizer, a.length, 999)
    models = {lr: finetuned(net, known, lr, a, seed) for lr in RATES}
    rate = max(RATES, key=lambda lr: correct_pairs(models[lr], [dev]))
    return {
        "accuracy": round(correct_pairs(models[rate], [asked]), 4),
        "rate": rate,
        "overlap": round(by_overlap(known, asked), 4),
    }


def one_run(arm, start, seed, data, tests, a):
    """Train one arm from the weights `start` -> the cell of the result file."""
    begun, tokenizer = time.process_time(), data[0]
    mask_id, texts = tokenizer.token_to_id("[MASK]"), [t for c in data[1] for t in c]
    net = copy.deepcopy(start)
    curve = [[0, *examine(net, tests, mask_id)]]
    batches = (
        make_batch(texts, torch.tensor(i), epoch, tokenizer, a, seed)
        for epoch, i in train.sample_rows(len(texts), a.batch, seed)
    )

    def look(net, step):
        curve.append([step, *examine(net, tests, mask_id)])

    train_model(net, batches, ARMS[arm], a.lr, a.steps, a.warmup, a.every, look)
    return {
        "seed": seed,
        "arm": arm,
        "curve": curve,  # step, hidden, visible, pairs, pairs within one collection
        "tasks": {task: judge_task(net, task, data, a, seed) for task in TASKS},
        "cpu_seconds": round(time.process_time() - begun),
    }


def main(a):
    free = ("out", "seeds")  # the number of seeds may grow
    settings = {k: v for k, v in vars(a).items() if k not in free}
    facts = {**about(), "settings": settings}
    same_settings(a.out, facts, list(settings))
    if all(
        (seed, arm) in done(a.out, "seed", "arm") for seed in a.seeds for arm in ARMS
    ):
        return
    data = corpus(a.data, a)
    tokenizer, read, _, held_out = data
    texts = [text for collection in read for text in collection]
    # judged on all collections together, and on each alone, where the subject gives
    # less away
    tests = [
        [make_batch(t, i, 0, tokenizer, a, 999) for i in torch.arange(len(t)).split(64)]
        for t in ([row for rows in held_out for row in rows], *held_out)
    ]
    facts |= {"texts": [*map(len, read)], "held_out": [*map(len, held_out)]}
    mask_id = tokenizer.token_to_id("[MASK]")
    hidden = [mlm.split_targets(batch, mask_id)[0]["labels"] for batch in tests[0]]
    asked = torch.cat(hidden)
    asked = asked[asked != -100]
    vocab = tokenizer.get_vocab_size()
    rows = tokenization.pack(texts, a.length)
    facts["unigram"] = round(metrics.unigram_loss(rows, asked, vocab), 4)
    for seed in a.seeds:
        left = [arm for arm in ARMS if (seed, arm) not in done(a.out, "seed", "arm")]
        start = left and first_weights(texts, tokenizer, a, seed)
        for arm in left:
            cell = one_run(arm, start, seed, data, tests, a)
            add(a.out, cell, facts, order=["seed", "arm"])
            print({k: v for k, v in cell.items() if k != "curve"}, cell["curve"][-1])


if __name__ == "__main__":
    main(arguments())
