"""Two LoRA adapters on one base: what each does alone, added, averaged, and with the
other's head. Chapter 19's second figure.

    python recipes/combined_adapters.py --seeds 0 1 2 3 4
    python recipes/combined_adapters.py --stages compose --labels 64 --tests 64 \\
        --seeds 0 --out runs/try.json

`compose`: sentiment and the source of a text, in English. `tags`: shop reviews and
names in a newspaper, in Chinese. The file is that of parameter_efficient.py, whose best
learning rate for LoRA is taken if it is there. Done cells are skipped.
"""

import argparse
import re
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from grid import about, add, done, read, same_settings
from peft_methods import QV, accuracy_of, best_rate, correct_per_text, encoder_of, fit
from transformers import logging

from ftlib.course import hub, sources
from ftlib.data import tables, tokenization
from ftlib.evaluation import metrics
from ftlib.models import lora
from ftlib.objectives import classify
from ftlib.training import distributed

ADAPTER = dict(targets=QV, rank=8, alpha=16)
# without punctuation: the two sources set it differently
WORD = re.compile(r"\w+(?:['’]\w+)*")
EVEN = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])


class Tagger(classify.Classifier):
    """A class for each token: logits (B, T, C)."""

    def forward(self, input_ids, attention_mask=None, **more):
        hidden = self.encoder(
            input_ids, attention_mask=attention_mask, **more
        ).last_hidden_state
        return classify.Output(hidden, self.head(self.dropout(hidden)))


def tagging_loss(model, batch):
    """The SUM of the cross-entropies over the places that ask for a class."""
    logits = model(**classify.inputs_of(batch)).logits
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), batch["labels"].flatten(), reduction="sum"
    )


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


def train_adapter(net, rows, labels, seed, settings, **more):
    """Adapter and head of `net`, trained -> (adapter's tensors, the head's)."""
    lora.add(net.encoder, **ADAPTER)
    s = settings
    fit(net, rows, labels, s.rate, seed, s.ctx, s.epochs, **more)
    head = {name: tensor.clone() for name, tensor in net.head.state_dict().items()}
    return lora.adapter_state_dict(net.encoder), head


def logits_of(tensors, head, rows, settings):
    """Logits of the base with this adapter and this head."""
    net = classify.Classifier(encoder_of(settings.base), 2)
    net.head.load_state_dict(head)
    rank = next(iter(tensors.values())).shape[0]
    # a combined adapter carries its scale in B
    alpha = 2 * rank if rank == ADAPTER["rank"] else rank
    lora.add(net.encoder, QV, rank, alpha)
    lora.load_state(net.encoder, tensors)
    return classify.predict(net, classify.batches_of(rows), settings.ctx.dtype)


def middle(a, b):
    """The mean of two sets of tensors."""
    return {name: (a[name] + b[name]) / 2 for name in a}


def compose(seed, settings):
    """One seed: adapters for sentiment and for the source of a text, alone, added,
    averaged.
    """
    films, imdb = sources.load("rotten_tomatoes"), sources.load("imdb")
    n = settings.labels
    draw = tables.subset(films["train"], 2 * n, seed)
    halves = [{k: v[i * n : (i + 1) * n] for k, v in draw.items()} for i in (0, 1)]
    tests = {
        "sentiment": tables.subset(films["test"], settings.tests),
        "source": mixed_texts(imdb["test"], films["test"], settings.tests, 0),
    }
    rows = {name: settings.rows(columns["text"]) for name, columns in tests.items()}

    def adapter(start, columns):
        torch.manual_seed(start)
        net = classify.Classifier(encoder_of(settings.base), 2)
        texts = settings.rows(columns["text"])
        return train_adapter(net, texts, columns["label"], seed, settings)

    def score(tensors, head, task):
        logits = logits_of(tensors, head, rows[task], settings)
        return round(metrics.accuracy(logits, tests[task]["label"]), 4)

    first = adapter(seed, halves[0])
    source = adapter(seed + 500, mixed_texts(imdb["train"], films["train"], n, seed))
    second = adapter(seed + 1000, halves[1])
    same = adapter(seed, halves[1])
    both = adapter(seed, draw)
    logits = [logits_of(*a, rows["sentiment"], settings) for a in (first, second)]
    cell = {
        "sentiment alone": score(*first, "sentiment"),
        "source alone": score(*source, "source"),
        "second half alone": score(*second, "sentiment"),
        "second half, same start alone": score(*same, "sentiment"),
        "both halves in one part": score(*both, "sentiment"),
        "wrong part": score(source[0], first[1], "sentiment"),
        "two parts' logits": round(
            metrics.accuracy(sum(logits), tests["sentiment"]["label"]), 4
        ),
    }
    for name, other in (("", second), (", same start", same)):
        head = middle(first[1], other[1])
        # scale 2 / 2
        product = lora.combine([first[0], other[0]], [1.0, 1.0])
        cell[f"average of products{name}"] = score(product, head, "sentiment")
        factors = middle(first[0], other[0])
        cell[f"average of factors{name}"] = score(factors, head, "sentiment")
    cell["mix"] = []
    for weight in [*EVEN.tolist(), None]:  # None: both at full strength, the sum
        scales = [2.0, 2.0] if weight is None else [2 - 2 * weight, 2 * weight]
        tensors = lora.combine([first[0], source[0]], scales)
        scores = {
            "sentiment": score(tensors, first[1], "sentiment"),
            "source": score(tensors, source[1], "source"),
        }
        cell["mix"].append({"weight": weight, **scores})
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


def name_f1(net, rows, labels):
    """F1 over the tokens of names."""
    net.eval()
    results, true = [], []
    with torch.no_grad():
        for batch in tag_batches(rows, labels):
            keep = batch["labels"] != -100
            logits = net(**classify.inputs_of(batch)).logits
            results.append(logits.argmax(-1)[keep])
            true.append(batch["labels"][keep])
    results, true = torch.cat(results), torch.cat(true)
    hits = int(((results == true) & (true > 0)).sum())
    named, real = int((results > 0).sum()), int((true > 0).sum())
    return round(2 * hits / max(1, named + real), 4)


def tags(seed, settings):
    """One seed on the Chinese base: adapters for shop reviews and for names in the
    newspaper, alone and added.
    """
    shop, paper = sources.load("zh_shop_reviews"), sources.load("peoples_daily")
    tokenizer = tokenization.load(hub.resolve("zh-bert-mini"))
    tokens = settings.tokens

    def draw(columns, n, start):
        subset = tables.subset(columns, n, start)
        return tokenization.encode(tokenizer, subset["text"], tokens), subset["label"]

    shop_rows = draw(shop["train"], settings.labels, seed)
    shop_test = draw(shop["test"], settings.tests, 0)
    names = tables.subset(paper["train"], settings.labels, seed)
    names_test = tables.subset(paper["test"], settings.tests)
    names_test = tagged_rows(tokenizer, names_test, tokens)
    torch.manual_seed(seed)
    reader = classify.Classifier(encoder_of("zh-bert-mini"), 2)
    train_adapter(reader, *shop_rows, seed, settings)
    torch.manual_seed(seed + 500)
    tagger = Tagger(encoder_of("zh-bert-mini"), 4)
    how = dict(loss=tagging_loss, batches=tag_batches)
    names = tagged_rows(tokenizer, names, tokens)
    train_adapter(tagger, *names, seed, settings, **how)
    nets = [reader, tagger]

    def score():
        correct = correct_per_text(reader, *shop_test, settings.ctx)
        return {"shop": accuracy_of(correct), "names": name_f1(tagger, *names_test)}

    states = [lora.adapter_state_dict(net.encoder) for net in nets]
    cell = {"alone": score()}
    for name, weight in (("added", 2.0), ("averaged", 1.0)):
        for net in nets:
            lora.unload(net.encoder)
            lora.add(net.encoder, QV, 2 * ADAPTER["rank"], 2 * ADAPTER["rank"])
            lora.load_state(net.encoder, lora.combine(states, [weight, weight]))
        cell[name] = score()
    return cell


STAGES = {"compose": compose, "tags": tags}


def main():
    kind = argparse.RawDescriptionHelpFormatter
    a = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    a.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    a.add_argument("--base", default="reviews-bert-mini")
    sizes = dict(labels=1000, tests=876, tokens=48, epochs=3)
    for name, value in sizes.items():
        a.add_argument(f"--{name}", type=int, default=value)
    out = Path("data/results/parameter_efficient.json")
    a.add_argument("--out", type=Path, default=out)
    a = a.parse_args()
    torch.set_num_threads(1)
    # the head of the masked LM stays unread, as it should
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    ctx, tokenizer = distributed.setup(), tokenization.load(hub.resolve(a.base))
    settings = SimpleNamespace(
        **vars(a),
        ctx=ctx,
        rate=best_rate(read(a.out)["cells"], "LoRA r4 q+v", 1e-3),
        rows=lambda texts: tokenization.encode(tokenizer, texts, a.tokens),
    )
    facts = {
        **about(ctx),
        "base": a.base,
        **{name: getattr(a, name) for name in sizes},
    }
    same_settings(a.out, facts, ["base", *sizes])
    for stage in a.stages:
        for seed in a.seeds:
            if (stage, seed) in done(a.out, "stage", "seed"):
                continue
            start = time.perf_counter()
            cell = {"stage": stage, "seed": seed, "rate": settings.rate}
            cell |= STAGES[stage](seed, settings)
            cell["seconds"] = round(time.perf_counter() - start, 1)
            add(a.out, cell, facts, order=["stage", "seed", "method"])
            print(cell, flush=True)


if __name__ == "__main__":
    main()
