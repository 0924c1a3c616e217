"""What a trained weight is worth: accuracy against trained parameters, and what it
costs to add two parts. Chapter 19's figures.

    python recipes/parameter_efficient.py --stages tune edge grid compose tags
    python recipes/parameter_efficient.py --stages tune grid --methods head "LoRA r4
    q+v" --labels 64 --tests 64 --tries 1 --seeds 0 --out runs/try.json

The file is written after every cell and done cells are skipped, so the run may be
interrupted at any moment; `--minutes` ends it after a cell. Stages: `tune` tries the
same number of learning rates for each method, on validation texts, with labels that
`grid` does not use; `edge` goes on upwards where the highest of them is the best;
`grid` trains with the best one and reads the test texts once a seed; `compose` and
`tags` add and average LoRA parts.
"""

import argparse
import re
import time
from pathlib import Path

import torch

# beside this file: Python puts a script's own folder on its path
from grid import about, add, read
from torch import nn
from transformers import AutoModel, logging

from ftlib.course import hub, sources
from ftlib.data import tables, tokenization
from ftlib.evaluation import metrics
from ftlib.models import lora
from ftlib.objectives import classify
from ftlib.training import distributed, optim, train

LOW, MIDDLE, HIGH = (
    (1e-4, 3e-4, 1e-3, 3e-3),
    (3e-4, 1e-3, 3e-3, 1e-2),
    (1e-3, 3e-3, 1e-2, 3e-2),
)
# "dense": after attention, and both of feed-forward
QV, ALL = ["query", "value"], ["query", "key", "value", "dense"]
METHODS = {
    "head": (HIGH, {}),
    "BitFit": (MIDDLE, {}),
    "adapter 16": (MIDDLE, {}),
    "full": (LOW, {}),
    # the same scale 2 at all ranks
    **{
        f"LoRA r{rank} {name}": (
            MIDDLE,
            dict(targets=targets, rank=rank, alpha=2 * rank),
        )
        for name, targets in (("q+v", QV), ("all", ALL))
        for rank in (1, 4, 16)
    },
}
STAGES = ("tune", "edge", "grid", "compose", "tags")
PART = dict(targets=QV, rank=8, alpha=16)  # of the stages compose and tags
# without punctuation: the two sources set it differently
WORD = re.compile(r"\w+(?:['’]\w+)*")
EVEN = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])


class Bottleneck(nn.Module):
    """Houlsby et al. 2019: a narrow pair of layers behind a frozen one, before the
    residual is added.
    """

    def __init__(self, base, width):
        super().__init__()
        self.base, self.down, self.up = (
            base,
            nn.Linear(base.out_features, width),
            nn.Linear(width, base.out_features),
        )
        nn.init.zeros_(self.up.weight)  # the block starts as it was, as with LoRA's B
        nn.init.zeros_(self.up.bias)

    def forward(self, x):
        y = self.base(x)
        return y + self.up(nn.functional.gelu(self.down(y)))


class Tagger(classify.Classifier):
    """A class for each token: logits (B, T, C)."""

    def forward(self, input_ids, attention_mask=None):
        hidden = self.encoder(
            input_ids, attention_mask=attention_mask
        ).last_hidden_state
        return classify.Output(hidden, self.head(self.dropout(hidden)))


def tagging_loss(model, batch):
    """The SUM of the cross-entropies over the places that ask for a class."""
    logits = model(**classify.inputs_of(batch)).logits
    return nn.functional.cross_entropy(
        logits.float().flatten(0, 1), batch["labels"].flatten(), reduction="sum"
    )


def encoder_of(name):
    """The encoder under transformers' names, which are the names that peft's files
    carry; no pooler: mini has none.
    """
    return AutoModel.from_pretrained(
        hub.resolve(name),
        use_safetensors=True,
        add_pooling_layer=False,
        attn_implementation="eager",
    )


def prepare(encoder, method):
    """Leave trainable in the encoder what the method trains."""
    if method != "full":
        classify.freeze(encoder)
    if method == "BitFit":  # Ben Zaken et al. 2022
        for name, weight in encoder.named_parameters():
            weight.requires_grad_(name.endswith("bias"))
    if method.startswith("adapter"):
        # behind attention and behind feed-forward
        for name in lora.target_modules(encoder, ["output.dense"]):
            parent, _, last = name.rpartition(".")
            setattr(
                encoder.get_submodule(parent),
                last,
                Bottleneck(encoder.get_submodule(name), int(method.split()[1])),
            )
    if method.startswith("LoRA"):
        lora.add(encoder, **METHODS[method][1])


def fit(
    net,
    rows,
    labels,
    rate,
    seed,
    ctx,
    epochs=3,
    size=16,
    loss=classify.classification_loss,
    batches=classify.batches_of,
):
    """Train what is trainable -> the net. The order of the rows is a function of
    `number`.
    """
    order = [
        o
        for epoch in range(epochs)
        for o in classify.length_grouped(
            [len(r) for r in rows], min(size, len(rows)), seed, epoch
        )
    ]
    run = train.steps(
        net,
        batches(rows, labels, order=order),
        loss,
        optim.adamw(optim.parameter_groups(net, rate)),
        dtype=ctx.dtype,
        schedule=lambda step: optim.warmup_linear(
            step, max(1, len(order) // 10), len(order)
        ),
    )
    for _ in run:
        pass
    return net


def correct_per_text(net, rows, labels, ctx):
    """1 or 0 for each text."""
    return (
        (
            classify.predict(net, classify.batches_of(rows), ctx.dtype).argmax(-1)
            == torch.tensor(labels)
        )
        .int()
        .tolist()
    )


def accuracy_of(correct):
    return round(sum(correct) / len(correct), 4)


def one_run(method, rate, seed, train_subset, test, settings):
    """A cell of `tune` or `grid`: every text's verdict is kept, as one long hexadecimal
    number.
    """
    torch.manual_seed(seed)
    encoder, start = encoder_of(settings.base), time.perf_counter()
    prepare(encoder, method)
    net = fit(
        classify.Classifier(encoder, 2),
        settings.rows(train_subset["text"]),
        train_subset["label"],
        rate,
        seed,
        settings.ctx,
        settings.epochs,
    )
    seconds, correct = (
        time.perf_counter() - start,
        correct_per_text(net, settings.rows(test["text"]), test["label"], settings.ctx),
    )
    return {
        "rate": rate,
        "trained": classify.trainable(net),
        "accuracy": accuracy_of(correct),
        "texts": len(correct),
        "right": f"{int('1' + ''.join(map(str, correct)), 2):x}",
        "seconds": round(seconds, 1),
    }


def mixed_texts(reviews, snippets, n, seed):
    """n texts or as many as there are, half of each source: 1 a review of IMDb, 0 a
    snippet.

    Only texts of 20 words or more, cut to 20 and without punctuation, so that neither
    their number of words nor their end tells. (A classifier on the number of letters
    and of tokens is still right for two texts of three: critics' words are longer.)
    """
    sides = []
    for columns in (reviews, snippets):
        rows = [
            (WORD.findall(text.lower())[:20], label)
            for text, label in zip(columns["text"], columns["label"])
        ]
        sides.append(
            {
                "text": [" ".join(w) for w, _ in rows if len(w) == 20],
                "label": [label for w, label in rows if len(w) == 20],
            }
        )
    each = min(n // 2, *(len(side["text"]) for side in sides))
    return {
        "text": [t for side in sides for t in tables.subset(side, each, seed)["text"]],
        "label": [1] * each + [0] * each,
    }


def compose(seed, settings):
    """One seed: parts for sentiment and for the source of a text, alone, added,
    averaged.
    """
    films, imdb = sources.load("rotten_tomatoes"), sources.load("imdb")
    n, rate = settings.labels, settings.rate
    draw = tables.subset(films["train"], 2 * n, seed)
    half = [{k: v[i * n : (i + 1) * n] for k, v in draw.items()} for i in (0, 1)]
    mixed = mixed_texts(imdb["train"], films["train"], n, seed)
    tests = {
        "sentiment": tables.subset(films["test"], settings.tests),
        "source": mixed_texts(imdb["test"], films["test"], settings.tests, 0),
    }
    rows = {name: settings.rows(t["text"]) for name, t in tests.items()}

    def adapter(start, texts):
        torch.manual_seed(start)
        net = classify.Classifier(encoder_of(settings.base), 2)
        lora.add(net.encoder, **PART)
        fit(
            net,
            settings.rows(texts["text"]),
            texts["label"],
            rate,
            seed,
            settings.ctx,
            settings.epochs,
        )
        return lora.adapter_state_dict(net.encoder), {
            k: v.clone() for k, v in net.head.state_dict().items()
        }

    def logits(tensors, head, task):
        net = classify.Classifier(encoder_of(settings.base), 2)
        net.head.load_state_dict(head)
        rank = next(iter(tensors.values())).shape[0]
        # a combined part carries its scale in B
        lora.add(net.encoder, QV, rank, 2 * rank if rank == PART["rank"] else rank)
        lora.load_state(net.encoder, tensors)
        return classify.predict(
            net, classify.batches_of(rows[task]), settings.ctx.dtype
        )

    def score(tensors, head, task):
        return round(
            metrics.accuracy(logits(tensors, head, task), tests[task]["label"]), 4
        )

    def middle(a, b):
        return {k: (a[k] + b[k]) / 2 for k in a}

    first, source, second, same = (
        adapter(seed, half[0]),
        adapter(seed + 500, mixed),
        adapter(seed + 1000, half[1]),
        adapter(seed, half[1]),
    )
    both = adapter(seed, draw)
    cell = {
        "sentiment alone": score(*first, "sentiment"),
        "source alone": score(*source, "source"),
        "second half alone": score(*second, "sentiment"),
        "second half, same start alone": score(*same, "sentiment"),
        "both halves in one part": score(*both, "sentiment"),
        "wrong part": score(source[0], first[1], "sentiment"),
    }
    cell["two parts' logits"] = round(
        metrics.accuracy(
            logits(*first, "sentiment") + logits(*second, "sentiment"),
            tests["sentiment"]["label"],
        ),
        4,
    )
    for name, other in (("", second), (", same start", same)):
        head = middle(first[1], other[1])
        # scale 2 / 2
        cell[f"average of products{name}"] = score(
            lora.combine([first[0], other[0]], [1.0, 1.0]), head, "sentiment"
        )
        cell[f"average of factors{name}"] = score(
            middle(first[0], other[0]), head, "sentiment"
        )
    cell["mix"] = []
    for weight in [*EVEN.tolist(), None]:  # None: both at full strength, the sum
        tensors = lora.combine(
            [first[0], source[0]],
            [2.0, 2.0] if weight is None else [2 - 2 * weight, 2 * weight],
        )
        cell["mix"].append(
            {
                "weight": weight,
                "sentiment": score(tensors, first[1], "sentiment"),
                "source": score(tensors, source[1], "source"),
            }
        )
    return cell


TAGS = {"nr": 1, "ns": 2, "nt": 3}  # person, place, organisation; everything else is 0


def tagged_rows(tokenizer, columns, tokens):
    """Ids and one class a token of People's Daily; -100 on [CLS] and [SEP]."""
    rows, labels = [], []
    for text, words, tags in zip(columns["text"], columns["words"], columns["tags"]):
        # one for each character
        kinds = [TAGS.get(tag, 0) for word, tag in zip(words, tags) for _ in word]
        encoded = tokenizer.encode(text)
        classes = [kinds[a] if b > a else -100 for a, b in encoded.offsets]
        rows.append(encoded.ids[:tokens])
        labels.append(classes[:tokens])
    return rows, labels


def tag_batches(rows, labels, order=None, size=32):
    """Padded batches whose labels have one class a token."""
    for batch in classify.batches_of(rows, size=size, order=order):
        batch["labels"] = torch.full_like(batch["input_ids"], -100)
        for i, row in enumerate(batch["index"].tolist()):
            batch["labels"][i, : len(labels[row])] = torch.tensor(labels[row])
        yield batch


def tags(seed, settings):
    """One seed on the Chinese base: parts for shop reviews and for names in the
    newspaper, alone and added.
    """
    shop, paper, tokenizer = (
        sources.load("zh_shop_reviews"),
        sources.load("peoples_daily"),
        tokenization.load(hub.resolve("zh-bert-mini")),
    )

    def read(texts):
        return tokenization.encode(tokenizer, texts, settings.tokens)

    train_subset, test = (
        tables.subset(shop["train"], settings.labels, seed),
        tables.subset(shop["test"], settings.tests),
    )
    names = tagged_rows(
        tokenizer, tables.subset(paper["train"], settings.labels, seed), settings.tokens
    )
    tagged_test = tagged_rows(
        tokenizer, tables.subset(paper["test"], settings.tests), settings.tokens
    )
    nets = []
    for start, kind, classes, (rows, labels), more in (
        (
            seed,
            classify.Classifier,
            2,
            (read(train_subset["text"]), train_subset["label"]),
            {},
        ),
        (seed + 500, Tagger, 4, names, dict(loss=tagging_loss, batches=tag_batches)),
    ):
        torch.manual_seed(start)
        net = kind(encoder_of("zh-bert-mini"), classes)
        lora.add(net.encoder, **PART)
        nets.append(
            fit(
                net,
                rows,
                labels,
                settings.rate,
                seed,
                settings.ctx,
                settings.epochs,
                **more,
            )
        )

    def score():
        results, wanted = [], []
        nets[1].eval()
        with torch.no_grad():
            for batch in tag_batches(*tagged_test):
                keep = batch["labels"] != -100
                results.append(
                    nets[1](**classify.inputs_of(batch)).logits.argmax(-1)[keep]
                )
                wanted.append(batch["labels"][keep])
        results, wanted = torch.cat(results), torch.cat(wanted)
        hit, named, real = (
            int(x.sum())
            for x in ((results == wanted) & (wanted > 0), results > 0, wanted > 0)
        )
        return {
            "shop": accuracy_of(
                correct_per_text(
                    nets[0], read(test["text"]), test["label"], settings.ctx
                )
            ),
            # F1 over the tokens of names
            "names": round(2 * hit / max(1, named + real), 4),
        }

    alone, states = score(), [lora.adapter_state_dict(net.encoder) for net in nets]
    both = {}
    for name, weight in (("added", 2.0), ("averaged", 1.0)):
        for net in nets:
            lora.unload(net.encoder)
            lora.add(net.encoder, QV, 2 * PART["rank"], 2 * PART["rank"])
            lora.load_state(net.encoder, lora.combine(states, [weight, weight]))
        both[name] = score()
    return {"alone": alone, **both}


def best_rate(cells, method, fallback):
    """The rate with the highest validation accuracy; of equal ones the lowest."""
    tried = [
        (-c["accuracy"], c["rate"])
        for c in cells
        if c["stage"] in ("tune", "edge") and c["method"] == method
    ]
    return min(tried)[1] if tried else fallback


def next_rate(cells, method):
    """The rate above the highest tried, on the ladder 1, 3, 10, ..., as long as the
    highest is the best; else None.
    """
    tried = {
        c["rate"]
        for c in cells
        if c["stage"] in ("tune", "edge") and c["method"] == method
    }
    if not tried or best_rate(cells, method, None) < max(tried):
        return None
    return float(f"{max(tried) * (3 if f'{max(tried):e}'[0] == '1' else 10 / 3):.0e}")


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    a.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    a.add_argument("--base", default="reviews-bert-mini")
    for name, value in dict(
        labels=1000, tests=876, tokens=48, epochs=3, tries=4
    ).items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--minutes", type=float, default=600.0)
    a.add_argument(
        "--out", type=Path, default=Path("data/results/parameter_efficient.json")
    )
    a = a.parse_args()
    torch.set_num_threads(1)
    # the head of the masked LM stays unread, as it should
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    a.ctx, films = distributed.setup(), sources.load("rotten_tomatoes")
    tokenizer = tokenization.load(hub.resolve(a.base))
    a.rows = lambda texts: tokenization.encode(tokenizer, texts, a.tokens)
    facts = {
        **about(a.ctx),
        "base": a.base,
        "data": "rotten_tomatoes",
        **{k: getattr(a, k) for k in ("labels", "tests", "tokens", "epochs", "tries")},
        "methods": {k: [list(v[0]), v[1]] for k, v in METHODS.items()},
    }
    test, validation = (
        tables.subset(films["test"], a.tests),
        tables.subset(
            films["validation"], min(a.tests, len(films["validation"]["text"]))
        ),
    )

    # in the order in which they make sense; a job is made when it is reached, so `grid`
    # knows what `tune` found
    def jobs():
        for stage in a.stages:
            for seed in [100] if stage in ("tune", "edge") else a.seeds:
                for method in a.methods if stage in ("tune", "edge", "grid") else [""]:
                    while stage == "edge" and (
                        rate := next_rate(read(a.out)["cells"], method)
                    ):
                        yield stage, seed, method, rate
                    for rate in (
                        METHODS[method][0][: a.tries]
                        if stage == "tune"
                        else [None]
                        if stage != "edge"
                        else []
                    ):
                        yield stage, seed, method, rate

    start = time.perf_counter()
    for stage, seed, method, rate in jobs():
        cells = read(a.out)["cells"]
        if any(
            (c["stage"], c["seed"], c.get("method", "")) == (stage, seed, method)
            and rate in (None, c["rate"])
            for c in cells
        ):
            continue
        if time.perf_counter() - start > 60 * a.minutes:
            break
        start = time.perf_counter()
        if stage in ("tune", "edge", "grid"):
            rate = rate or best_rate(cells, method, METHODS[method][0][1])
            train_subset = tables.subset(films["train"], a.labels, seed)
            cell = one_run(
                method,
                rate,
                seed,
                train_subset,
                test if stage == "grid" else validation,
                a,
            )
        else:
            a.rate = best_rate(cells, "LoRA r4 q+v", 1e-3)
            cell = {
                "rate": a.rate,
                **{"compose": compose, "tags": tags}[stage](seed, a),
                "seconds": round(time.perf_counter() - start, 1),
            }
        cell = {
            "stage": stage,
            "seed": seed,
            **({"method": method} if method else {}),
            **cell,
        }
        add(a.out, cell, facts, order=["stage", "seed", "method"])
        print({k: v for k, v in cell.items() if k != "right"}, flush=True)


if __name__ == "__main__":
    main()
