"""MiniLM reads film reviews: masked-LM training of a LoRA adapter beside its frozen
weights. Two megabytes, for recipes/imdb_push.py and chapter 14.

    python recipes/adapt_minilm.py
    python recipes/adapt_minilm.py --steps 4 --head_steps 2 --warmup 1 --batch 2 \\
        --length 16 --tests 4 --out runs/try               # a small trial

MiniLM comes without a masked-LM head, and a new one is wrong about everything at first.
So the head learns alone for --head_steps: its first gradients would only disturb the
encoder. The word vectors stay frozen; they are the head's output matrix too. The
adapter learns at the head's rate: with --encoder_lr 3e-4 in place of 1e-3 a run of 360
steps ended with a higher loss at hidden tokens (data/results/adapter_rates.json: two
runs, `--steps 360 --head_steps 80 --warmup 30`).

The logits of 30,522 tokens are tensors of 200 MB, which Linux's C library gives back
after each step and gets zeroed again. With an allocator that keeps them, such as
`LD_PRELOAD=libtcmalloc_minimal.so.4` (Debian: libtcmalloc-minimal4), a step on two
threads took 1.8 s in place of 2.6.

The texts are the training splits of IMDb and Rotten Tomatoes, never their labels, and
no text of a validation or test split. A run that was cut off goes on from the newest
checkpoint in runs/. The folder opens with `ftlib.models.lora.load` and with peft.
"""

import argparse
import time
from pathlib import Path

import mlm_rows  # beside this file
import outputs
import pretraining
import torch
from finetune import encoder_of

from ftlib.course import sources
from ftlib.data import tokenization
from ftlib.evaluation import metrics
from ftlib.models import lora, transformer
from ftlib.objectives import mlm
from ftlib.training import checkpoint, distributed, optim, train

NAME, TARGETS = "all-MiniLM-L6-v2", ["qkv", "out", "up", "down"]
SPLITS = ("train", "validation")


def parse():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = dict(steps=3600, head_steps=200, batch=64, length=128, rank=32, alpha=32)
    pretraining.options(a, **sizes, tests=512, seed=0, mask_prob=0.2, lr=1e-3)
    pretraining.options(a, warmup=100, minutes_between_saves=5.0, threads=1)
    a.add_argument("--encoder_lr", type=float, help="of the adapter; --lr if not given")
    a.add_argument("--work", type=Path, default=Path("runs/adapt_minilm"))
    a.add_argument("--out", type=Path, default=Path("data/results/reviews_adapter"))
    a = a.parse_args()
    a.encoder_lr = a.lr if a.encoder_lr is None else a.encoder_lr
    if not 0 <= a.head_steps < a.steps:
        raise SystemExit(
            f"--head_steps is {a.head_steps} of {a.steps} steps; leave some for the "
            "adapter"
        )
    return a


def texts(split):
    names = ("imdb", "rotten_tomatoes")
    return [text for name in names for text in sources.load(name)[split]["text"]]


def model_of(a):
    """(masked-LM with MiniLM's encoder, an adapter in it, and a new head; tokenizer)"""
    encoder, tokenizer = encoder_of(NAME)
    torch.manual_seed(a.seed)
    net = transformer.LanguageModel(encoder.config)
    net.encoder.load_state_dict(encoder.state_dict())
    lora.add(net.encoder, TARGETS, rank=a.rank, alpha=a.alpha)
    return net, tokenizer


def adapter(net):
    """The tensors that the encoder learns with."""
    return [p for n, p in net.encoder.named_parameters() if n.endswith((".A", ".B"))]


def groups(net, a):
    """What learns, for the optimizer: the head at --lr, the adapter at --encoder_lr."""
    inside = {id(p) for p in adapter(net)}
    head = [p for p in net.parameters() if p.requires_grad and id(p) not in inside]
    return [
        {"params": ps, "lr": lr, "initial_lr": lr, "weight_decay": 0.0}
        for ps, lr in ((head, a.lr), (adapter(net), a.encoder_lr))
    ]


def let_learn(net, step, a):
    """The adapter waits until the head has learned for --head_steps."""
    for tensor in adapter(net):
        tensor.requires_grad_(step >= a.head_steps)


def batches(rows, tokenizer, first, a):
    for epoch, picked in train.sample_rows(len(rows), a.batch, a.seed, first=first):
        index = torch.tensor(picked)
        how = dict(seed=a.seed, epoch=epoch, mask_prob=a.mask_prob)
        yield mlm.masked_batch(rows[index], index, tokenizer, **how)


def resumed(net, optimizer, meta, a):
    newest = checkpoint.newest(a.work / "state")
    if not newest:
        return {"step": 0, "curve": [], "seconds": 0.0}
    return checkpoint.load(newest, net, optimizer, expect=meta)


def run(net, tokenizer, rows, tests, a, ctx):
    """Train to the end -> what the run remembers: curve and seconds."""
    optimizer = optim.adamw(groups(net, a))
    names = "steps head_steps batch length rank alpha seed mask_prob lr warmup".split()
    names.append("encoder_lr")
    meta = {name: getattr(a, name) for name in names}
    info = resumed(net, optimizer, meta, a)
    let_learn(net, info["step"], a)
    saved = time.time()
    steps = train.steps(
        net,
        batches(rows, tokenizer, info["step"], a),
        mlm.mlm_loss,
        optimizer,
        first=info["step"],
        dtype=ctx.dtype,
        schedule=lambda step: optim.warmup_linear(step, a.warmup, a.steps),
    )
    if info["step"] == a.steps:
        return info
    for step in steps:
        done, now = step.number + 1, time.time()
        if done % 100 == 0 or done == a.steps:
            loss = metrics.mean_loss(net, tests, mlm.mlm_loss)
            info["curve"].append([done, round(step.loss, 3), round(loss, 4)])
            print(f"step {done}: validation loss {loss:.3f}", flush=True)
        let_learn(net, done, a)
        if done == a.steps or now - saved > 60 * a.minutes_between_saves:
            info["seconds"], saved = info["seconds"] + now - saved, now
            kept = {**meta, "curve": info["curve"], "seconds": info["seconds"]}
            state = a.work / "state"
            checkpoint.save_numbered(state, net, optimizer, step=done, meta=kept)
        if done == a.steps:
            return info


def main():
    a = parse()
    torch.set_num_threads(a.threads)
    ctx, commit = distributed.setup(a.seed), pretraining.commit()
    with outputs.claim(a.out):
        net, tokenizer = model_of(a)
        encoded = {s: tokenization.encode(tokenizer, texts(s)) for s in SPLITS}
        rows, held_out = (tokenization.pack(encoded[s], a.length) for s in SPLITS)
        tests = mlm_rows.test_batches(held_out, tokenizer, a.tests)
        info = run(net, tokenizer, rows, tests, a, ctx)
        apart = mlm_rows.loss_apart(net, tests, rows, tokenizer, ctx)
        seen = {name: info[name] for name in ("curve", "seconds")}
        more = dict(loss_apart=apart, base=NAME)
        record = pretraining.record_of(net, a, ctx, commit, seen, **more)
        record["options"] = {k: str(v) for k, v in vars(a).items()}

        def fill(draft):
            lora.save(net.encoder, draft, base=NAME, half=True)

        outputs.write_folder(a.out, fill, 4 * sum(p.numel() for p in adapter(net)))
        outputs.write_json(a.out / "run.json", record)
        print(apart)


if __name__ == "__main__":
    main()
