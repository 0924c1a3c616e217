"""What the two pretraining recipes share: common options, the model, resuming, the
curve, and the folder that a run leaves.

    options(parser, steps=3000, length=64, ...)      # one command-line option for each
    net, optimizer = start(config, a, ctx)
    info = resume(out, net, optimizer, meta)         # {"step": 0, ...} in a new folder
    for step in run:
        record_loss(step, info, a, ctx, held_out_loss)
        save(out, net, optimizer, step.number + 1, meta | now)
    write(out, net, tokenizer, a.length, record_of(net, a, ctx, commit, meta))
"""

import hashlib

import outputs  # beside this file
import torch

from ftlib.course import reproducibility
from ftlib.data import tokenization
from ftlib.models import hf_format, transformer
from ftlib.training import checkpoint, distributed, optim

HELP = {
    "init_std": "standard deviation of the blocks' matrices at the start; 0.02 suits "
    "BERT's width of 768, in a narrow model the blocks then hardly change what passes "
    "through",
    "accumulate": "micro-batches of a step in each process",
    "batch": "rows of a step, over all processes and micro-batches",
}
EVERY, MEASURED = 250, 1000  # steps between two points, and two validation losses


def options(parser, **defaults):
    """One option for each name, of the type of its default."""
    for name, value in defaults.items():
        parser.add_argument(
            f"--{name}", type=type(value), default=value, help=HELP.get(name)
        )


def commit():
    """The commit that this runs from, None where there is no git; read at the start,
    because it may change.
    """
    return reproducibility.commit(__file__)


def describe(ctx):
    """Say where this runs. One process on a processor first looks how many threads are
    faster at the moment; of several processes each has what its launcher gave it.
    """
    if ctx.device.type == "cpu" and ctx.world_size == 1:
        print(reproducibility.pick_threads(), flush=True)
    distributed.print0(ctx, distributed.describe(ctx))


def start(config, a, ctx, before=None, shard=False):
    """(model on its device, its optimizer); `before`: a folder to take weights from."""
    if before:
        net = transformer.from_state(*hf_format.load(before))
    else:
        net = transformer.LanguageModel(config)
    net = distributed.wrap(net, ctx, shard)
    return net, optim.adamw(optim.parameter_groups(net, a.lr, a.weight_decay))


def meaning(config, tokenizer, a):
    """What a checkpoint must agree with before a run goes on from it."""
    vocabulary = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()[:16]
    # the optimizer's own come back with its state: a changed one would be recorded and
    # not used
    rates = {name: getattr(a, name) for name in ("lr", "weight_decay", "warmup")}
    return {
        **rates,
        "length": a.length,
        "config": vars(config),
        "data": a.data,
        "batch": a.batch,
        "steps": a.steps,
        "seed": a.seed,
        "vocabulary": vocabulary,  # other ids would scramble the embeddings
    }


def resume(out, net, optimizer, meta):
    """What the newest checkpoint in `out` remembers, or the beginning."""
    newest = checkpoint.newest(out / "state")
    if not newest:
        return {"step": 0, "curve": [], "seconds": 0}
    return checkpoint.load(newest, distributed.unwrap(net), optimizer, expect=meta)


def agreed(yes, ctx):
    """Process 0's answer for all: a checkpoint is written together, and their clocks
    differ.
    """
    answer = torch.tensor([float(yes)], device=ctx.device)
    if ctx.world_size > 1:
        torch.distributed.broadcast(answer, 0)
    return bool(answer)


def same_for_all(step, vocabulary, ctx, a):
    """ValueError if a process goes on from another step or has another vocabulary than
    process 0: it may see other files.
    """
    mine = torch.tensor([step, int(vocabulary[:15], 16)], device=ctx.device)
    first = mine.clone()
    if ctx.world_size > 1:
        torch.distributed.broadcast(first, 0)
    if mine.tolist() != first.tolist():
        which = "the same" if mine[1] == first[1] else "another"
        raise ValueError(
            f"process {ctx.rank} found step {step} in {a.out} and process 0 step "
            f"{int(first[0])}, with {which} vocabulary; give a folder and texts that "
            "all machines see"
        )


def everywhere(rows, count):
    """Numbers (N,) of at most `count` rows, evenly over all of them: the data sets'
    files are sorted by class, and the first rows are of one.
    """
    count = min(count, len(rows))
    return torch.linspace(0, len(rows) - 1, count).round().long()


def dealt(batches, ctx):
    """This process's share of the batches, and one without targets where others have
    one more: sharded models run together.
    """
    mine = batches[ctx.rank :: ctx.world_size]
    missing = -(-len(batches) // ctx.world_size) - len(mine)
    empty = torch.full_like(batches[0]["labels"], -100)
    return mine + [{**batches[0], "labels": empty} for _ in range(missing)]


def record_loss(step, info, a, ctx, held_out_loss):
    """Add a point to the curve where one is due; every process calls it."""
    done = step.number + 1
    if done % EVERY and done != a.steps:
        return
    due = done % MEASURED == 0 or done == a.steps
    loss = round(held_out_loss(), 4) if due else None
    info["curve"].append([done, round(step.loss, 3), loss])
    if loss:
        distributed.print0(ctx, f"step {done}: validation loss {loss:.3f}")


def save(out, net, optimizer, done, meta):
    """A checkpoint of step `done`, with what the run means and has seen."""
    model = distributed.unwrap(net)
    checkpoint.save_numbered(out / "state", model, optimizer, step=done, meta=meta)


def record_of(net, a, ctx, made_at, meta, **more):
    """What run.json holds: where the weights come from, and their numbers."""
    return {
        "command": outputs.command(),
        "commit": made_at,
        "machine": reproducibility.machine(),
        "processes": ctx.world_size,
        "options": vars(a),
        "weights": transformer.count_parameters(net),
        "precision": str(ctx.dtype or torch.float32),
        "tokens": a.steps * a.batch * a.length,
        **more,
        **meta,
    }


def after(before, record):
    """The record of a run that went on from the weights of another one: both commands,
    one curve.
    """
    steps = before["steps"]
    curve = [[step + steps, *losses] for step, *losses in record["curve"]]
    summed = ("steps", "tokens", "seconds")
    return {
        **record,
        "command": f"{before['command']} && {record['command']}",
        "curve": before["curve"] + curve,
        "stages": before["stages"] + record["stages"],
        "options": before["options"],
        "went_on": record["options"],
        "loss_by_quarter_before": before.get("loss_by_quarter"),
        **{key: before[key] + record[key] for key in summed},
    }


def write(out, net, tokenizer, max_tokens, record):
    """The folder that transformers reads, and run.json: each file whole, or the one of
    before.
    """

    def fill(draft):
        hf_format.save(net, draft)
        tokenization.save(tokenizer, draft, max_tokens)

    outputs.write_folder(out, fill, outputs.bytes_of(net, 2))
    outputs.write_json(out / "run.json", record)
