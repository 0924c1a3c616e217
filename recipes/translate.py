"""Train a small translator, English to Chinese, on human translations of seven
programs: chapter 16 as a program. Interrupt it, start it again: it goes on where it
was.

    python recipes/translate.py --out runs/en-zh-mini
    torchrun --nproc_per_node=2 recipes/translate.py ...

--batch counts the pairs of one optimizer step over all processes and micro-batches.
Files of Home Assistant that no training sentence comes from are the validation set and
the test set (`translations.load`). The test set is not read here. Writes a transformers
folder (config.json, model.safetensors, tokenizer.json), which opens as a Pegasus, and
run.json; `translation_scores.py` translates the test sets with it.
"""

import argparse
import functools
import hashlib
import itertools
import json
import time
from pathlib import Path

import outputs  # beside this file
import pretraining
import torch

from ftlib.course import translations
from ftlib.data import tokenization
from ftlib.evaluation import metrics
from ftlib.models import pegasus_format, seq2seq, transformer
from ftlib.objectives import classify
from ftlib.training import checkpoint, distributed, optim, train


def arguments(line=None):
    kind = argparse.RawDescriptionHelpFormatter
    a = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    pretraining.options(a, steps=4500, length=96, batch=64, accumulate=1, seed=0)
    pretraining.options(a, vocab=6000, width=192, heads=4, layers=3, ffn=512)
    pretraining.options(a, dropout=0.15, smoothing=0.1, lr=3e-3, warmup=100)
    pretraining.options(a, weight_decay=0.01, every=200, average=5, keep=5)
    pretraining.options(a, lexical=250)
    a.add_argument("--packages", nargs="+", default=list(translations.PACKAGES))
    a.add_argument("--decoder-layers", type=int, default=2)
    a.add_argument("--stop", type=int, help="end at this step, before all --steps")
    a.add_argument("--decay", type=int, default=0, help="steps to rate 0 before --stop")
    a.add_argument("--out", default="runs/en-zh-mini")
    return a.parse_args(line)


def encoded(tokenizer, pairs, length):
    """(source rows, target rows) of the pairs that have at most `length` tokens on each
    side. A source keeps its [CLS], a target only its [SEP]: the model writes that.
    """
    sources = tokenization.encode(tokenizer, pairs["en"])
    targets = [row[1:] for row in tokenization.encode(tokenizer, pairs["zh"])]
    both = zip(sources, targets, strict=True)
    kept = [(s, t) for s, t in both if max(len(s), len(t)) <= length]
    return [s for s, _ in kept], [t for _, t in kept]


def batch_of(sources, targets, rows):
    """The batch of some row numbers: input_ids, attention_mask, labels, index."""
    batch = tokenization.pad([sources[i] for i in rows])
    labels = tokenization.pad([targets[i] for i in rows])
    batch["labels"] = labels["input_ids"].masked_fill(
        labels["attention_mask"] == 0, -100
    )
    return batch | {"index": torch.tensor(rows)}


def batches_from(sources, targets, step, a, ctx):
    """The micro-batches of this process from optimizer step `step` on: pairs of like
    length, in an order that depends on the seed and the epoch.
    """
    lengths = [len(s) + len(t) for s, t in zip(sources, targets)]
    each = -(-len(lengths) // a.batch)  # steps of an epoch
    parts = a.accumulate, ctx.rank, ctx.world_size
    for epoch in itertools.count(step // each):
        groups = classify.length_grouped(lengths, a.batch, a.seed, epoch)
        for rows in groups[step - epoch * each :]:
            batch = batch_of(sources, targets, rows)
            yield from train.split_micro_batches(batch, *parts)
            step += 1


def start(config, a, ctx):
    """(model on its device, its optimizer)."""
    net = distributed.wrap(seq2seq.Seq2Seq(config), ctx)
    groups = optim.parameter_groups(net, a.lr, a.weight_decay)
    return net, optim.adamw(groups)


def lexical_loss(net, table, batch):
    """How probable each target token is if some source token, any of them, stands for
    it: the sum of -log(mean over s of p(target | source token s)), as in IBM's Model 1
    (Brown et al. 1993), with p = softmax(E @ table @ embedding of s).
    """
    x = net.norm_encoder(net.tokens(batch["input_ids"]))  # (B, S, D)
    logits = net.head(table(x)).float().log_softmax(-1)  # (B, S, V)
    is_target, mask = batch["labels"] != -100, batch["attention_mask"].bool()
    wanted = batch["labels"].clamp(min=0)[:, None].expand(-1, x.shape[1], -1)
    each = logits.gather(2, wanted).masked_fill(~mask[..., None], -torch.inf)
    each = each.logsumexp(1) - mask.sum(1, keepdim=True).log()  # (B, T)
    return -each[is_target].sum()


def lexical_start(net, batches, steps, a, ctx):
    """Teach the embedding which tokens translate each other, without attention, and let
    the last cross-attention begin with that table: it copies what it looks at, as a
    word of the other language. The same in every process.
    """
    D = net.config.dim
    table = torch.nn.Linear(D, D, bias=False).to(ctx.device)
    torch.nn.init.eye_(table.weight)
    pair = torch.nn.ModuleList([net.tokens, table])
    run = train.steps(
        pair,
        itertools.islice(batches, steps),
        lambda _, batch: lexical_loss(net, table, batch),
        optim.adamw(optim.parameter_groups(pair, 4e-3, 0.0)),
        schedule=lambda step: optim.warmup_linear(step, 20, steps + 21),
        dtype=ctx.dtype,
    )
    for step in run:
        if step.number % 50 == 49:
            distributed.print0(ctx, f"table, step {step.number + 1}: {step.loss:.3f}")
    with torch.no_grad():
        last = net.decoder[-1].cross
        last.kv.weight[D:] = table.weight
        torch.nn.init.eye_(last.out.weight)
    net.zero_grad(set_to_none=True)  # the norm had gradients and no optimizer


def rate_factor(step, a, end):
    """Warm-up and a cosine over --steps; a run that ends earlier falls to 0 in a
    straight line over its last --decay steps.
    """
    factor = optim.warmup_cosine(step, a.warmup, a.steps)
    early = end < a.steps and a.decay
    return factor * min(1.0, (end - step) / a.decay) if early else factor


def meaning(config, tokenizer, pairs, a):
    """What a checkpoint must agree with before a run goes on from it."""
    names = "lr weight_decay warmup length batch steps seed smoothing lexical packages"
    text = json.dumps([pairs["en"], pairs["zh"]], ensure_ascii=False)
    vocabulary = tokenizer.to_str()
    return {name: getattr(a, name) for name in names.split()} | {
        "config": vars(config),
        "vocabulary": hashlib.sha256(vocabulary.encode()).hexdigest()[:16],
        "pairs": hashlib.sha256(text.encode()).hexdigest()[:16],
    }


def unigram_of(targets, val_targets, vocab_size):
    """The loss on validation of who knows how frequent each token is, and no source."""
    seen, wanted = (
        torch.tensor([i for row in rows for i in row])
        for rows in (targets, val_targets)
    )
    return round(metrics.unigram_loss(seen, wanted, vocab_size), 4)


def averaged(net, folder, count):
    """The mean of the weights in the newest `count` checkpoints, put into a copy of the
    model: the last steps jump about in a valley, and their middle lies deeper.
    """
    paths = sorted(folder.glob("step-*.safetensors"), key=lambda p: int(p.stem[5:]))
    model, total = seq2seq.Seq2Seq(net.config), None
    for path in paths[-count:]:
        checkpoint.load(path, model)
        state = model.state_dict()
        state = {name: tensor.double() for name, tensor in state.items()}
        total = state if total is None else {n: total[n] + t for n, t in state.items()}
    model.load_state_dict({n: t / len(paths[-count:]) for n, t in total.items()})
    return model.to(next(net.parameters()).device).eval()


def main(a):
    ctx = distributed.setup(a.seed)
    # before anything is computed: a second run, or no right to write there
    with outputs.claim(a.out, rank=ctx.rank):
        translate(a, ctx, Path(a.out))
        distributed.cleanup()


def translate(a, ctx, out):
    commit, splits = pretraining.commit(), translations.load(a.packages)
    pretraining.describe(ctx)
    pairs = splits["train"]
    tokenizer = tokenization.train_bpe(pairs["en"] + pairs["zh"], a.vocab)
    sources, targets = encoded(tokenizer, pairs, a.length)
    val_rows = encoded(tokenizer, splits["validation"], a.length)
    parts = torch.arange(len(val_rows[0])).split(128)
    val = [batch_of(*val_rows, rows.tolist()) for rows in parts]
    config = seq2seq.Config(
        vocab_size=tokenizer.get_vocab_size(),
        max_len=128,
        dim=a.width,
        heads=a.heads,
        encoder_layers=a.layers,
        decoder_layers=a.decoder_layers,
        ffn_dim=a.ffn,
        dropout=a.dropout,
    )
    net, optimizer = start(config, a, ctx)
    meta = meaning(config, tokenizer, pairs, a)
    info = pretraining.resume(out, net, optimizer, meta)
    begin = time.time()
    if info["step"] == 0 and a.lexical:
        alone = ctx._replace(rank=0, world_size=1)
        batches = batches_from(sources, targets, 0, a, alone)
        lexical_start(distributed.unwrap(net), batches, a.lexical, a, ctx)
    end = min(a.stop or a.steps, a.steps)
    run = train.steps(
        net,
        batches_from(sources, targets, info["step"], a, ctx),
        functools.partial(seq2seq.seq2seq_loss, smoothing=a.smoothing),
        optimizer,
        accumulate=a.accumulate,
        first=info["step"],
        dtype=ctx.dtype,
        schedule=lambda step: rate_factor(step, a, end),
    )
    run = itertools.islice(run, max(0, end - info["step"]))

    def val_loss(model):
        mine = pretraining.dealt(val, ctx)
        return round(metrics.mean_loss(model, mine, seq2seq.seq2seq_loss), 4)

    now = {key: info.get(key, 0) for key in ("seconds", "tokens")}
    now["curve"], before = info["curve"], now["seconds"]
    for step in train.progress(run, end) if ctx.rank == 0 else run:
        done, now["tokens"] = step.number + 1, now["tokens"] + step.tokens
        if done % a.every == 0 or done == end:
            loss = val_loss(net)
            now["seconds"] = before + time.time() - begin
            now["curve"].append([done, round(step.loss, 3), loss, now["seconds"]])
            distributed.print0(ctx, f"step {done}: validation loss {loss:.3f}")
            model = distributed.unwrap(net)
            how = {"step": done, "meta": meta | now, "keep": max(a.keep, a.average)}
            checkpoint.save_numbered(out / "state", model, optimizer, **how)
    if ctx.rank == 0:
        net = distributed.unwrap(net)
        record = write(out, net, tokenizer, a, ctx, val_loss)
        record |= meta | now | {"commit": commit, "train_pairs": len(sources)}
        record["stopped"] = now["curve"][-1][0]
        record["unigram"] = unigram_of(targets, val_rows[1], config.vocab_size)
        outputs.write_json(out / "run.json", record)


def name_inputs(folder):
    """Tell AutoTokenizer what the model reads: `generate` refuses token_type_ids."""
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def write(out, net, tokenizer, a, ctx, val_loss):
    """The folder that transformers reads, with the mean of the last checkpoints where
    that is better on validation; returns what is worth recording.
    """
    mean = averaged(net, out / "state", a.average)
    losses = {"last": val_loss(net), "averaged": val_loss(mean)}
    best = mean if losses["averaged"] < losses["last"] else net

    def fill(draft):
        pegasus_format.save(best, draft)
        tokenization.save(tokenizer, draft, best.config.max_len)
        name_inputs(draft)

    outputs.write_folder(out, fill, outputs.bytes_of(best, 2))
    return {
        "command": outputs.command(),
        "machine": pretraining.reproducibility.machine(),
        "processes": ctx.world_size,
        "options": vars(a),
        "weights": transformer.count_parameters(best),
        "precision": str(ctx.dtype or torch.float32),
        "validation_loss": losses,
    }


if __name__ == "__main__":
    main(arguments())
