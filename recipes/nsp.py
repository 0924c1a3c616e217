"""Does next-sentence prediction help the masked words? Two arms: same rows, masks,
first weights; another loss.

    python recipes/nsp.py --steps 1000 --seeds 3 --out data/results/nsp.json

Arm "with": the sum of the masked-word loss and the next-sentence loss
(mlm.pretraining_loss). Arm "without": the masked-word loss alone (mlm.mlm_loss) on the
same pairs. The result holds, for each arm and seed, the held-out loss and accuracy of
the masked words and the held-out accuracy on the pairs, every --every steps. Seeds that
are done are skipped, so the run may be interrupted.
"""

import argparse
import functools
import sys
import time
from pathlib import Path

import outputs  # beside this file: Python puts a script's own folder on its path
import torch
from grid import read, same_settings

from ftlib.course import reproducibility, sources
from ftlib.data import tokenization
from ftlib.models import transformer
from ftlib.objectives import mlm
from ftlib.training import optim, train


def arguments():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = dict(
        steps=1000,
        every=100,
        batch=32,
        length=64,
        warmup=50,
        vocab=2000,
        width=128,
        layers=2,
        heads=4,
    )
    sizes["seeds"] = 3
    for name, value in sizes.items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--lr", type=float, default=3e-3)
    a.add_argument("--mask_prob", type=float, default=0.15)
    a.add_argument("--data", nargs="+", default=["zh_shop_reviews", "peoples_daily"])
    a.add_argument("--out", type=Path, default=Path("data/results/nsp.json"))
    return a.parse_args()


def corpus(names, vocab, length):
    """A vocabulary, and for each collection its texts of at least `length` pieces, as
    ids without special tokens.

    Every collection gives as many training texts as the smallest has, so that a foreign
    text is as often from another collection as its share says.
    """
    splits = [sources.load(name) for name in names]
    tokenizer = tokenization.train_wordpiece(
        [t for s in splits for t in s["train"]["text"]], vocab
    )
    collected = []
    for split in ("train", "validation"):
        encoded = [tokenization.encode(tokenizer, s[split]["text"]) for s in splits]
        long = [
            [row[1:-1] for row in rows if len(row) - 2 >= length] for rows in encoded
        ]
        collected.append([rows[: min(map(len, long))] for rows in long])
    return tokenizer, *collected


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


@torch.no_grad()
def judge(net, batches):
    """(loss, accuracy) on the masked words and accuracy on the pairs."""
    loss = correct = targets = follows = pairs = 0
    for batch in batches:
        target_mask = batch["labels"] != -100
        output = net(
            batch["input_ids"], None, batch["token_type_ids"], target_mask=target_mask
        )
        target = batch["labels"][target_mask]
        loss += float(
            torch.nn.functional.cross_entropy(output.logits, target, reduction="sum")
        )
        correct = correct + int((output.logits.argmax(-1) == target).sum())
        targets = targets + len(target)
        follows += int(
            (
                output.next_sentence_logits.argmax(-1) == batch["next_sentence_label"]
            ).sum()
        )
        pairs += len(batch["next_sentence_label"])
    return (
        round(loss / targets, 4),
        round(correct / targets, 4),
        round(follows / pairs, 4),
    )


def examine(net, tests):
    """Words and pairs on all collections, then the mean accuracy on pairs within one
    collection.
    """
    alone = [judge(net, batches)[2] for batches in tests[1:]]
    return *judge(net, tests[0]), round(sum(alone) / len(alone), 4)


def one_run(loss_fn, seed, documents, tests, tokenizer, a):
    torch.manual_seed(seed)
    config = transformer.Config(
        tokenizer.get_vocab_size(),
        a.width,
        a.layers,
        a.heads,
        4 * a.width,
        a.length,
        segments=2,
        nsp_head=True,
        # as in recipes/pretrain_mlm.py: at BERT's 0.02 a narrow model stays at word
        # counts for long
        init_std=0.06,
    )
    net = transformer.LanguageModel(config)
    optimizer = optim.adamw(optim.parameter_groups(net, a.lr))
    batches = (
        make_batch(documents, torch.tensor(i), epoch, tokenizer, a, seed)
        for epoch, i in train.sample_rows(len(documents), a.batch, seed)
    )
    curve = [examine(net, tests)]
    rate = functools.partial(optim.warmup_linear, warmup=a.warmup, total=a.steps)
    for step in train.steps(net, batches, loss_fn, optimizer, schedule=rate):
        if (step.number + 1) % a.every == 0:
            curve.append(examine(net, tests))
            print(
                f"  seed {seed} step {step.number + 1}: {curve[-1]}",
                file=sys.stderr,
                flush=True,
            )
        if step.number + 1 == a.steps:
            return [list(column) for column in zip(*curve)]


def main(a):
    # the whole file is in this process's memory
    with outputs.claim(a.out, file=True):
        compare(a)


def compare(a):
    start = time.time()
    commit = reproducibility.commit(__file__)
    # the number of seeds may grow
    free = ("out", "seeds")
    settings = {k: v for k, v in vars(a).items() if k not in free}
    same_settings(a.out, {"settings": settings}, list(settings), made="seeds")
    tokenizer, documents, held_out = corpus(a.data, a.vocab, a.length)
    # the pairs are judged on all collections together, and on each alone, where the
    # subject gives less away
    tests = [[row for rows in held_out for row in rows], *held_out]
    tests = [
        [make_batch(t, i, 0, tokenizer, a, 999) for i in torch.arange(len(t)).split(64)]
        for t in tests
    ]
    arms = {"with": mlm.pretraining_loss, "without": mlm.mlm_loss}
    names = ("loss", "accuracy", "pairs", "pairs_in_one_collection")
    old = read(a.out)
    result = {arm: old.get(arm, {name: [] for name in names}) for arm in arms}
    seeds, together = old.get("seeds", []), [row for rows in documents for row in rows]
    for seed in range(len(seeds), a.seeds):
        for arm, loss_fn in arms.items():
            print(f"arm {arm}", file=sys.stderr)
            columns = one_run(loss_fn, seed, together, tests, tokenizer, a)
            for name, column in zip(names, columns):
                result[arm][name].append(column)
        seeds = [*seeds, seed]
        # written after every seed, so that a run that is stopped leaves the seeds it
        # has finished
        record = {
            "command": outputs.command(),
            "commit": commit,
            "machine": reproducibility.machine(),
            "seeds": seeds,
            "settings": settings,
            "documents": [len(rows) for rows in documents],
            "held_out": [len(rows) for rows in held_out],
            "seconds": round(old.get("seconds", 0) + time.time() - start),
            "steps": list(range(0, a.steps + 1, a.every)),
            **result,
        }
        outputs.write_json(a.out, record, indent=None)


if __name__ == "__main__":
    main(arguments())
