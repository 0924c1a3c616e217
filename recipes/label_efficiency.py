"""What a label is worth: accuracy against the number of labelled texts, eight ways,
over draws of the labels. Chapter 14's figure.

    python recipes/label_efficiency.py                     # whole film reviews
    python recipes/label_efficiency.py --data rotten_tomatoes    # single sentences
    python recipes/label_efficiency.py --sizes 10 100 --tests 200 --draws 1 \\
        --out runs/try.json                                # a small trial

A seed draws the labels, the new weights and the order; the labels of N = 10 are the
first of those of N = 32. The networks read at most 256 tokens of a review, its first
128 and its last 128. Counted words read all of it, and once more the part that the
networks read. Every setting is fixed beforehand or chosen inside the N labels (the C of
a probe, by cross-validation). For every test text the file says whether the answer was
correct, so that methods can be compared text by text; `elsewhere` is the accuracy on
sentences of Rotten Tomatoes, with no label from there.

The result file is written after every cell of the grid and done cells are skipped, so
the run may be interrupted at any moment, and a second process may work on other methods
in the same file.
"""

import argparse
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F

# beside this file: Python puts a script's own folder on its path
from finetune import encoder_of, finetune, rows_of, score
from grid import about, add, done, same_settings
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from ftlib.course import sources
from ftlib.data import tables
from ftlib.evaluation import metrics
from ftlib.objectives import classify
from ftlib.training import distributed, optim, train

SIZES = (10, 32, 100, 320, 1000, 3200, 10000)
FEW = 320  # up to so many labels a draw says little, and twice as many are made
WORDS, CUT = "words, whole text", "words, same tokens"
MINILM = "all-MiniLM-L6-v2"
# name -> model, and what finetune() is told; no settings: a probe on frozen features
NETWORKS = {
    "scratch": ("reviews-bert-mini", dict(lr=5e-4, min_steps=60)),
    "reviews-bert-mini": ("reviews-bert-mini", dict(lr=5e-4, min_steps=60)),
    "MiniLM frozen": (MINILM, None),
    "MiniLM fine-tuned": (MINILM, dict(lr=2e-4, layer_decay=0.8, min_steps=60)),
}
# only with the sizes that they are made for
CONTRASTIVE, ZERO_SHOT = "MiniLM contrastive", "MiniLM zero-shot"
ONLY = {CONTRASTIVE: (10, 32, 100), ZERO_SHOT: (0,)}
METHODS = (WORDS, CUT, *NETWORKS, CONTRASTIVE, ZERO_SHOT)
# what zero-shot compares a text with, class 0 and class 1
SENTENCES = ("A terrible film, a waste of time.", "A wonderful film, a joy to watch.")


class Windows(nn.Module):
    """An encoder that reads long rows in windows of its own length, side by side: the
    hidden states (B, T, D) of a row stand in its order.
    """

    def __init__(self, encoder, windows=2):
        super().__init__()
        self.encoder, self.window = encoder, encoder.config.max_tokens
        self.config = replace(encoder.config, max_tokens=windows * self.window)

    def forward(self, input_ids, attention_mask):
        (B, T), W = input_ids.shape, self.window
        if T <= W:
            return self.encoder(input_ids, attention_mask)
        ids, mask = (
            F.pad(x, (0, -T % W)).view(-1, W) for x in (input_ids, attention_mask)
        )
        real = mask.any(1)  # the second window of a short row holds nothing
        read = self.encoder(ids[real], mask[real]).last_hidden_state
        hidden = read.new_zeros(*ids.shape, read.shape[-1])
        hidden = hidden.index_put((real.nonzero()[:, 0],), read)
        return classify.Output(hidden.view(B, -1, read.shape[-1])[:, :T])


def words(strength=10.0):
    """Counts of words and pairs of neighbours, damped, weighted by rarity; a line."""
    counts = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(counts, LogisticRegression(C=strength, max_iter=2000))


def probe(features, labels, test):
    """Logits (M, C) of a logistic regression on features (N, D); its strength C is
    chosen by cross-validation on the N.
    """
    folds = min(5, *(labels.count(label) for label in set(labels)))
    search = GridSearchCV(
        LogisticRegression(max_iter=5000), {"C": [0.1, 1, 10, 100, 1000]}, cv=folds
    )
    return torch.tensor(search.fit(features, labels).predict_log_proba(test))


def network(name, tokens, scratch=False):
    """(encoder, tokenizer) of a model that may read `tokens` tokens."""
    encoder, tokenizer = encoder_of(name, scratch)
    fits = encoder.config.max_tokens >= tokens
    return (encoder if fits else Windows(encoder)), tokenizer


def vectors(encoder, tokenizer, texts, tokens, ctx):
    """(N, D): the mean of each text's token vectors, scaled to length 1."""
    batches = classify.batches_of(rows_of(tokenizer, texts, tokens, tokens // 2))
    return F.normalize(classify.features(encoder, batches, dtype=ctx.dtype).float())


def pair_loss(encoder, batch):
    """Every pair of the batch's texts: the cosine of their vectors should be 1 within a
    class and 0 between classes (the loss of SetFit, Tunstall et al. 2022, which draws
    pairs one by one). A sum over the pairs, scaled to a sum over texts.
    """
    hidden = encoder(**classify.inputs_of(batch)).last_hidden_state
    x = F.normalize(classify.pool(hidden.float(), batch["attention_mask"]), dim=-1)
    same = (batch["labels"][:, None] == batch["labels"]).float()
    pairs = torch.ones_like(same).triu(1).bool()
    loss = (x @ x.T - same)[pairs].square()
    return loss.mean() * len(x)


def contrastive(encoder, tokenizer, texts, labels, seed, tokens, ctx, lr=5e-5):
    """Train `encoder` in place so that texts of a class come to lie together."""
    torch.manual_seed(seed)
    rows, steps = rows_of(tokenizer, texts, tokens, tokens // 2), 60
    drawn = train.sample_rows(len(rows), min(16, len(rows)), seed)
    # a row alone has no partner
    order = list(islice((batch for _, batch in drawn if len(batch) > 1), steps))
    run = train.steps(
        encoder,
        classify.batches_of(rows, labels, order=order),
        pair_loss,
        optim.adamw(optim.parameter_groups(encoder, lr)),
        dtype=ctx.dtype,
        schedule=lambda step: optim.warmup_linear(step, steps // 10, steps),
    )
    for _ in run:
        pass


def beginnings_and_ends(texts, tokens):
    """The part of each text that a network reads whose rows hold `tokens` tokens."""
    tokenizer, cut = network(MINILM, tokens)[1], []
    for text, code in zip(texts, tokenizer.encode_batch(texts), strict=True):
        if len(code.ids) > tokens:
            # the first and the last entry are [CLS] and [SEP], which are no characters
            front = code.offsets[tokens // 2 - 1][1]
            back = code.offsets[-(tokens - tokens // 2)][0]
            text = f"{text[:front]} {text[back:]}"
        cut.append(text)
    return cut


class Grid:
    """What every cell needs: the splits, both test sets, and frozen features, which are
    computed once.
    """

    def __init__(self, data, tokens, tests, ctx):
        self.tokens, self.ctx = tokens, ctx
        splits, elsewhere = sources.load(data), sources.load("rotten_tomatoes")["test"]
        self.train, self.test = splits["train"], splits["test"]
        if tests:
            self.test = tables.subset(self.test, tests)
        self.elsewhere = None if data == "rotten_tomatoes" else elsewhere
        self.features = {}

    def tests(self):
        return [t for t in (self.test, self.elsewhere) if t]

    def frozen(self, texts):
        """MiniLM's vectors of the texts (N, D); each text is read once."""
        new = [t for t in dict.fromkeys(texts) if t not in self.features]
        if new:
            found = vectors(*network(MINILM, self.tokens), new, self.tokens, self.ctx)
            self.features.update(zip(new, found, strict=True))
        return torch.stack([self.features[text] for text in texts])

    def logits(self, method, subset, seed):
        """Train one way on `subset` -> (seconds of training, logits of each test)."""
        if method in (WORDS, CUT):
            return self.of_words(method, subset)
        if method == ZERO_SHOT:
            classes = self.frozen(SENTENCES)
            return 0.0, [self.frozen(t["text"]) @ classes.T for t in self.tests()]
        if method == CONTRASTIVE:
            return self.of_pairs(subset, seed)
        if NETWORKS[method][1] is None:
            features = self.frozen(subset["text"])
            tests = [self.frozen(t["text"]) for t in self.tests()]
            start = time.perf_counter()
            found = [probe(features, subset["label"], test) for test in tests]
            return time.perf_counter() - start, found
        return self.of_network(method, subset, seed)

    def of_words(self, method, subset):
        def texts(columns):
            if method == WORDS:
                return columns["text"]
            return beginnings_and_ends(columns["text"], self.tokens)

        start = time.perf_counter()
        model = words().fit(texts(subset), subset["label"])
        seconds = time.perf_counter() - start
        return seconds, [
            torch.tensor(model.predict_log_proba(texts(test))) for test in self.tests()
        ]

    def of_pairs(self, subset, seed):
        encoder, tokenizer = network(MINILM, self.tokens)
        settings = dict(seed=seed, tokens=self.tokens, ctx=self.ctx)
        start = time.perf_counter()
        contrastive(encoder, tokenizer, subset["text"], subset["label"], **settings)
        seconds = time.perf_counter() - start
        features, *tests = (
            vectors(encoder, tokenizer, t["text"], self.tokens, self.ctx)
            for t in (subset, *self.tests())
        )
        return seconds, [probe(features, subset["label"], test) for test in tests]

    def of_network(self, method, subset, seed):
        (name, settings), n = NETWORKS[method], len(subset["label"])
        torch.manual_seed(seed)  # the random weights of "scratch" are drawn here
        encoder, tokenizer = network(name, self.tokens, scratch=method == "scratch")
        cut = dict(tokens=self.tokens, head=self.tokens // 2, ctx=self.ctx)
        start = time.perf_counter()
        net, _ = finetune(
            encoder,
            tokenizer,
            subset["text"],
            subset["label"],
            epochs=1 if n >= 10000 else 2 if n >= 3200 else 3,
            size=min(16, n),
            seed=seed,
            **cut,
            **settings,
        )
        seconds = time.perf_counter() - start
        return seconds, [
            score(net, tokenizer, t["text"], t["label"], **cut)[0] for t in self.tests()
        ]


def one_cell(grid, method, n, seed):
    """One point of the figure: {method, n, seed, accuracy, ...}."""
    seconds, found = grid.logits(method, tables.subset(grid.train, n, seed), seed)
    labels = [torch.tensor(test["label"]) for test in grid.tests()]
    correct = found[0].argmax(-1) == labels[0]
    cell = {
        "method": method,
        "n": n,
        "seed": seed,
        "accuracy": round(float(correct.double().mean()), 4),
        "macro_f1": round(metrics.macro_f1(found[0], labels[0], 2), 4),
        "seconds": round(seconds, 1),
        "correct": bits(correct),
    }
    if grid.elsewhere:
        cell["elsewhere"] = round(metrics.accuracy(found[1], labels[1]), 4)
    return cell


def bits(correct):
    """Which test texts were answered correctly, as hexadecimal digits of four texts.

    >>> bits(torch.tensor([1, 0, 0, 0, 1]))
    '88'
    """
    text = "".join(str(int(c)) for c in correct)
    text += "0" * (-len(text) % 4)
    return "".join(f"{int(text[i : i + 4], 2):x}" for i in range(0, len(text), 4))


def wanted(methods, sizes, draws, most, first=0):
    """(method, n, seed) of each cell: all sizes of one draw, then the next draw."""
    for seed in range(first, 2 * draws):
        for method in methods:
            for n in [n for n in ONLY.get(method, sizes) if n in (0, *sizes)]:
                # without labels nothing is drawn
                last = 1 if n == 0 else 2 * draws if n <= FEW else draws
                if n <= most and seed < last:
                    yield method, n, seed


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--data", default="imdb", choices=("imdb", "rotten_tomatoes"))
    a.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    a.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    for name, value in dict(draws=5, threads=1, tokens=256, tests=0).items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--first", type=int, default=0, help="the first draw's seed")
    a.add_argument("--out", type=Path)
    a = a.parse_args()
    name = "label_efficiency" + ("" if a.data == "imdb" else "_sentences")
    out = a.out or Path(f"data/results/{name}.json")
    torch.set_num_threads(a.threads)
    ctx = distributed.setup()
    grid = Grid(a.data, a.tokens, a.tests, ctx)
    facts = {
        **about(ctx),
        "data": a.data,
        "tokens": a.tokens,
        "head": a.tokens // 2,
        "tests": len(grid.test["label"]),
        "methods": {k: list(v) for k, v in NETWORKS.items()},
        "zero_shot": SENTENCES,
    }
    same_settings(out, facts, ["data", "tokens", "tests"])
    most = len(grid.train["text"])
    for method, n, seed in wanted(a.methods, a.sizes, a.draws, most, a.first):
        if (method, n, seed) not in done(out, "method", "n", "seed"):
            cell = one_cell(grid, method, n, seed)
            add(out, cell, facts, order=["seed", "n", "method"])
            print({k: v for k, v in cell.items() if k != "correct"}, flush=True)


if __name__ == "__main__":
    main()
