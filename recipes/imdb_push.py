"""How far do 1,000 labels go? IMDb, step by step, each step over five draws of the
labels, on every test review. Chapter 14's section on unlabelled text.

    python recipes/imdb_push.py
    python recipes/imdb_push.py --labels 40 --tokens 32 --pool 60 --tests 40 \\
        --draws 1 --out runs/try.json                      # a small trial
    python recipes/imdb_push.py --adapter data/results/reviews_adapter \\
        --out data/results/imdb_1000_adapted.json          # after adapt_minilm.py
    python recipes/imdb_push.py --adapter data/results/reviews_adapter --pool 19000 \\
        --out data/results/imdb_1000_pool.json             # all other training reviews
    python recipes/imdb_push.py --exam validation --first 10 --draws 12 \\
        --out runs/develop.json         # to change a step: the test stays unread

The steps, each with the one before it:

    words           counted words and pairs of words, logistic regression
    MiniLM          fine-tuned on both ends of each review
    two windows     the same network reads the first and the last tokens, averaged
    both            MiniLM's and the words' log-probabilities, averaged; the teacher is
                    the same with one window
    words, student  words again, taught by the teacher's probabilities for a pool of
                    other training reviews
    words of words  the control: the same, but the words alone are the teacher
    MiniLM, student MiniLM again, with the most confident of these beside the labels
    all             the mean of both students and of MiniLM

Everything is chosen inside the labels of a draw: the words' C by cross-validation,
MiniLM's learning rate on a fifth of them (with half the tokens, for time). The labels
of the pool are read for two things: it has as many reviews of each class, as the whole
set has, and the result says how many of the teacher's are correct. Of a finished step
the log-probabilities are kept in --work, so a run may be interrupted.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F

# beside this file: Python puts a script's own folder on its path
from finetune import encoder_of, finetune, rows_of
from grid import about, add, done, same_settings
from label_efficiency import MINILM, bits, words
from safetensors.torch import load_file, save_file
from scipy.sparse import vstack
from sklearn.model_selection import GridSearchCV

from ftlib.course import sources
from ftlib.data import tables
from ftlib.models import lora
from ftlib.objectives import classify
from ftlib.training import distributed

STRENGTHS, RATES = (1, 3, 10, 30, 100), (5e-5, 1e-4, 2e-4)
STEPS = (
    "words",
    "MiniLM",
    "two windows",
    "both",
    "words, student",
    "words of words",
    "MiniLM, student",
    "all",
)


def log_probs(model, texts):
    return torch.tensor(model.predict_log_proba(texts)).float()


def counted(texts, labels):
    """The words' model; C by five-fold cross-validation on the texts."""
    strength = {"logisticregression__C": STRENGTHS}
    return GridSearchCV(words(), strength, cv=5).fit(texts, labels)


def taught(texts, labels, pool, teacher):
    """The words' model of labelled texts and of texts with probabilities (N, 2): each
    of these stands there once for each class, with its probability as weight.
    """
    counts, line = words().steps
    counts, line = counts[1].fit([*texts, *pool]), line[1]
    pool = counts.transform(pool)
    rows = vstack([counts.transform(texts), pool, pool])
    weights = torch.cat([torch.ones(len(texts)), *teacher.double().T]).numpy()
    classes = [*labels, *[0] * pool.shape[0], *[1] * pool.shape[0]]
    line.fit(rows, classes, sample_weight=weights)
    return lambda new: log_probs(line, counts.transform(new))


def confident(teacher, most):
    """Row numbers of the `most` rows whose probabilities (N, 2) are surest, as many of
    each class: an unbalanced choice would teach the student to prefer a class.
    """
    predicted = teacher.argmax(-1)
    each = [
        sorted((predicted == c).nonzero()[:, 0].tolist(), key=lambda r: -teacher[r, c])
        for c in (0, 1)
    ]
    share = min(most // 2, *map(len, each))
    return [row for rows in each for row in rows[:share]]


class Draw:
    """One draw of the labels: MiniLM and the words on it, and what they predict."""

    def __init__(self, a, splits, seed, ctx):
        self.a, self.seed, self.ctx = a, seed, ctx
        self.labelled = tables.subset(splits["train"], a.labels, seed)
        # the rows after the labelled ones, in the same order
        rows = tables.subset(splits["train"], a.labels + a.pool, seed)
        self.pool = {name: column[a.labels :] for name, column in rows.items()}
        self.test = splits[a.exam]
        reads = a.adapter.name if a.adapter else "MiniLM"
        sizes = f"{a.labels}-{a.tokens}-{a.pool}-{seed}"
        self.folder = a.work / f"{reads}-{sizes}-{a.exam}"

    def kept(self, name, make):
        """make()'s tensors by name, from the folder if an earlier start has made
        them.
        """
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(make(), path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)
        return load_file(path)

    def base(self):
        """(MiniLM, its tokenizer); with --adapter it has read reviews before."""
        encoder, tokenizer = encoder_of(MINILM)
        if self.a.adapter:
            lora.load(encoder, self.a.adapter)
            lora.merge(encoder)
            encoder.requires_grad_(True)
        return encoder, tokenizer

    def tuned(self, texts, labels, lr, tokens, epochs=3):
        encoder, tokenizer = self.base()
        how = dict(lr=lr, layer_decay=0.8, tokens=tokens, head=tokens // 2)
        how["epochs"] = epochs
        net, _ = finetune(
            encoder, tokenizer, texts, labels, seed=self.seed, ctx=self.ctx, **how
        )
        return net, tokenizer

    def read(self, net, rows):
        logits = classify.predict(net, classify.batches_of(rows), self.ctx.dtype)
        return F.log_softmax(logits.float(), -1)

    def cut(self, net, tokenizer, texts, tokens=None):
        """Log-probabilities from the first and the last tokens of each text."""
        tokens = tokens or self.a.tokens
        return self.read(net, rows_of(tokenizer, texts, tokens, tokens // 2))

    def windows(self, net, tokenizer, texts):
        """The mean over the first `tokens` and the last `tokens` tokens of each."""
        most, rows = self.a.tokens, rows_of(tokenizer, texts, 100_000)
        ends = [row if len(row) <= most else row[-most:] for row in rows]
        return (self.read(net, [r[:most] for r in rows]) + self.read(net, ends)) / 2

    def rate(self):
        """The learning rate with the lowest loss on a fifth of the labels."""
        (texts, labels), losses = self.labelled.values(), {}
        (fifth, tokens) = len(texts) // 5, self.a.tokens // 2
        for lr in RATES:
            net, tokenizer = self.tuned(texts[fifth:], labels[fifth:], lr, tokens)
            predicted = self.cut(net, tokenizer, texts[:fifth], tokens)
            losses[lr] = F.nll_loss(predicted, torch.tensor(labels[:fifth]))
        return {"losses": torch.stack([*losses.values()])}

    def minilm(self):
        """Fine-tuned on the labels: log-probabilities of the test (cut, and in two
        windows) and of the pool.
        """
        net, tokenizer = self.tuned(*self.labelled.values(), self.lr, self.a.tokens)
        test, pool = self.test["text"], self.pool["text"]
        return {
            "cut": self.cut(net, tokenizer, test),
            "windows": self.windows(net, tokenizer, test),
            "pool": self.cut(net, tokenizer, pool),
        }

    def student(self, teacher):
        """MiniLM on the labels and on the teacher's most confident ones."""
        (texts, labels), rows = self.labelled.values(), confident(teacher, self.a.sure)
        more = [self.pool["text"][row] for row in rows]
        labels = [*labels, *teacher[rows].argmax(-1).tolist()]
        # four times as many texts: two epochs are already three times as many steps
        how = dict(lr=self.lr, tokens=self.a.tokens, epochs=2)
        net, tokenizer = self.tuned([*texts, *more], labels, **how)
        return {"windows": self.windows(net, tokenizer, self.test["text"])}

    def steps(self):
        """{step: log-probabilities of the test}, and what else is worth knowing."""
        texts, labels = self.labelled["text"], self.labelled["label"]
        losses = self.kept("rate", self.rate)["losses"]
        self.lr = RATES[int(losses.argmin())]
        model = counted(texts, labels)
        out = {"words": log_probs(model, self.test["text"])}
        own = self.kept("minilm", self.minilm)
        out["MiniLM"], out["two windows"] = own["cut"], own["windows"]
        out["both"] = (out["words"] + own["windows"]) / 2
        pool = log_probs(model, self.pool["text"])
        teacher = F.softmax((pool + own["pool"]) / 2, -1)
        for step, marks in {
            "words, student": teacher,
            "words of words": F.softmax(pool, -1),
        }.items():
            learned = taught(texts, labels, self.pool["text"], marks)
            out[step] = learned(self.test["text"])
        # rate and MiniLM are the same however many of its marks are used
        name = f"student-{self.a.sure}"
        student = self.kept(name, lambda: self.student(teacher))
        out["MiniLM, student"] = student["windows"]
        last = [out["words, student"], out["MiniLM, student"], own["windows"]]
        out["all"] = sum(last) / 3
        truth = torch.tensor(self.pool["label"])
        correct, sure = teacher.argmax(-1) == truth, confident(teacher, self.a.sure)
        return out, {
            "lr": self.lr,
            "C": model.best_params_["logisticregression__C"],
            "pool correct": round(float(correct.float().mean()), 4),
            "sure correct": round(float(correct[sure].float().mean()), 4),
            "sure": len(sure),
        }


def parse():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in dict(
        labels=1000, tokens=256, pool=8000, sure=3200, tests=0, draws=5, threads=1
    ).items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--adapter", type=Path, help="a folder of adapt_minilm.py")
    a.add_argument("--exam", choices=["test", "validation"], default="test")
    a.add_argument("--first", type=int, default=0, help="the first draw's seed")
    a.add_argument("--work", type=Path, default=Path("runs/imdb_push"))
    a.add_argument("--out", type=Path, default=Path("data/results/imdb_1000.json"))
    return a.parse_args()


def main():
    a = parse()
    torch.set_num_threads(a.threads)
    splits, ctx = sources.load("imdb"), distributed.setup()
    if a.tests:
        splits[a.exam] = tables.subset(splits[a.exam], a.tests)
    options = ["labels", "tokens", "pool", "sure", "tests", "adapter"]
    facts = {
        **about(ctx),
        "data": "imdb" if a.exam == "test" else f"imdb, {a.exam}",
        "model": MINILM,
        **{name: getattr(a, name) for name in options[:-2]},
        "adapter": a.adapter and a.adapter.name,
        "tests": len(splits[a.exam]["text"]),
    }
    same_settings(a.out, facts, options)
    truth = torch.tensor(splits[a.exam]["label"])
    for seed in range(a.first, a.draws):
        if ("all", seed) in done(a.out, "step", "seed"):
            continue
        found, more = Draw(a, splits, seed, ctx).steps()
        for number, step in enumerate(STEPS):
            correct = found[step].argmax(-1) == truth
            accuracy = round(float(correct.double().mean()), 4)
            cell = {"seed": seed, "number": number, "step": step, "accuracy": accuracy}
            cell |= {"correct": bits(correct), **(more if step == "all" else {})}
            add(a.out, cell, facts, order=["seed", "number"])
            print(seed, step, accuracy, more if step == "all" else "", flush=True)


if __name__ == "__main__":
    main()
