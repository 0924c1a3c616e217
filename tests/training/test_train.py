"""The loop's arithmetic: accumulation equals the big batch, nothing asked, not finite,
once per update. RELIABILITY 14, 17, 18, 20.
"""

import contextlib
import inspect
import io
import itertools
import math
import random
import sys
import warnings

import pytest
import torch
import torch.nn.functional as F

from ftlib.models import transformer
from ftlib.objectives import classify, mlm
from ftlib.training import optim, train

V = 40


def planted(old, new):
    """ftlib/training/train.py with one piece of its text changed, as a namespace."""
    text = inspect.getsource(train)
    assert text.count(old) >= 1, old
    space = {"__name__": "planted"}
    exec(compile(text.replace(old, new), "planted", "exec"), space)
    return space


class Recording(torch.optim.SGD):
    """Keeps the gradients of each update; at rate 0 the weights stay, so that runs can
    be compared.
    """

    def __init__(self, params, lr=0.0):
        super().__init__(params, lr=lr)
        self.seen, self.zeroed = [], 0

    def step(self):
        self.seen.append(
            [p.grad.clone() for g in self.param_groups for p in g["params"]]
        )
        super().step()

    def zero_grad(self, set_to_none=True):
        self.zeroed += 1
        super().zero_grad(set_to_none)


def tiny(dtype=torch.float32, **more):
    torch.manual_seed(0)
    return transformer.LanguageModel(
        transformer.Config(
            V, width=16, layers=2, heads=2, ffn_dim=32, max_tokens=12, **more
        )
    ).to(dtype)


def rows_of(count):
    """Rows with very uneven questions: from 1 to 11 of 12 tokens are asked, and the
    ends are padded.
    """
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, V, (count, 12), generator=generator)
    asked = (
        torch.rand(count, 12, generator=generator)
        < torch.linspace(0.05, 0.9, count)[:, None]
    )
    asked[:, 1] = True
    mask = (torch.arange(12) < torch.linspace(4, 12, count).long()[:, None]).long()
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": torch.where(asked & mask.bool(), ids, -100),
        "index": torch.arange(count),
    }


def cut(batch, sizes):
    """A batch cut into micro-batches of these sizes."""
    return [
        dict(zip(batch, parts))
        for parts in zip(*(v.split(sizes) for v in batch.values()))
    ]


def loss_in_its_own_type(net, batch):
    """mlm_loss without its cast to float32, so that a float64 model has a
    float64 loss.
    """
    asked = batch["labels"] != -100
    return F.cross_entropy(
        net(batch["input_ids"], batch["attention_mask"], target_mask=asked).logits,
        batch["labels"][asked],
        reduction="sum",
    )


def gradients(
    batches,
    accumulate,
    dtype=torch.float32,
    steps=train.steps,
    loss_fn=loss_in_its_own_type,
):
    """([Step], [gradients of each update])."""
    net = tiny(dtype)
    optimizer = Recording(net.parameters())
    done = list(
        steps(net, batches, loss_fn, optimizer, accumulate=accumulate, clip=None)
    )
    return done, optimizer.seen


def apart(a, b):
    """The largest relative distance between two lists of gradients."""
    return max(((x - y).norm() / y.norm()).item() for x, y in zip(a, b))


# ---- 14: accumulation ----

CUTS = {"even": [4, 4, 4, 4], "uneven": [1, 7, 3, 5], "rows of one": [1] * 16}


@pytest.mark.parametrize(
    "dtype, limit",
    [(torch.float32, 1e-6), (torch.float64, 1e-14)],
    ids=["float32", "float64"],
)
@pytest.mark.parametrize("sizes", CUTS.values(), ids=CUTS)
def test_accumulation_equals_the_big_batch(sizes, dtype, limit):
    batch = rows_of(16)
    (whole,), (wanted,) = gradients([batch], 1, dtype)
    (parts,), (got,) = gradients(cut(batch, sizes), len(sizes), dtype)
    assert apart(got, wanted) < limit
    assert abs(parts.loss - whole.loss) < limit * whole.loss
    assert (
        (parts.targets, parts.tokens)
        == (whole.targets, whole.tokens)
        == (int((batch["labels"] != -100).sum()), int(batch["attention_mask"].sum()))
    )


@pytest.mark.parametrize(
    "old, new",
    [
        ("counts[k], 1))", "int((batch[k] != -100).sum()), 1) / len(group))"),
        ("(world_size / max(counts[k], 1))", "world_size"),
    ],
    ids=["mean of means", "no division"],
)
def test_wrong_divisions_are_caught(old, new, counted):
    batch = rows_of(16)
    _, (wanted,) = gradients([batch], 1)
    _, (got,) = gradients(cut(batch, [1, 7, 3, 5]), 4, steps=planted(old, new)["steps"])
    assert apart(got, wanted) > 1e-2
    counted("fault")


def test_a_short_last_group_is_divided_by_its_own_targets():
    batch = rows_of(14)
    last = {k: v[12:] for k, v in batch.items()}
    steps, seen = gradients(cut(batch, [4, 4, 4, 2]), 3, torch.float64)
    (alone,), (wanted,) = gradients([last], 1, torch.float64)
    assert len(steps) == 2 and steps[1].targets == alone.targets
    assert apart(seen[1], wanted) < 1e-14


def test_each_part_of_a_joint_loss_has_its_own_count(counted):
    """20 tokens and 1 pair a row: one sum divided once would drown the pairs."""
    batch = rows_of(16) | {"next_sentence_label": torch.tensor([0, 1, -100, 1] * 4)}

    def joint(net, b):
        output = net(b["input_ids"], b["attention_mask"])
        words = F.cross_entropy(
            output.logits.flatten(0, 1), b["labels"].flatten(), reduction="sum"
        )
        return {
            "labels": words,
            "next_sentence_label": F.cross_entropy(
                output.logits[:, 0, :2], b["next_sentence_label"], reduction="sum"
            ),
        }

    (whole,), (wanted,) = gradients([batch], 1, torch.float64, loss_fn=joint)
    for sizes in CUTS.values():
        (parts,), (got,) = gradients(
            cut(batch, sizes), len(sizes), torch.float64, loss_fn=joint
        )
        assert apart(got, wanted) < 1e-14 and abs(parts.loss - whole.loss) < 1e-13
    net = tiny(torch.float64)
    sums = joint(net, batch)
    asked = int((batch["labels"] != -100).sum())
    assert (
        abs(
            whole.loss
            - (sums["labels"] / asked + sums["next_sentence_label"] / 12).item()
        )
        < 1e-13
    )
    assert whole.targets == asked + 12
    _, (drowned,) = gradients(
        [batch], 1, torch.float64, loss_fn=lambda net, b: sum(joint(net, b).values())
    )
    assert apart(drowned, wanted) > 1e-2
    counted("fault")


def test_pairs_alone_are_targets_too():
    """Without a column `labels`: the same gradient as the pairs under that name."""
    batch = rows_of(16)
    pairs = batch.pop("labels")[:, 0].clamp(min=0) % 2

    def loss(net, b, name):
        logits = net(b["input_ids"], b.get("attention_mask")).logits[:, 0, :2]
        return F.cross_entropy(logits, b[name], reduction="sum")

    def pair_loss(net, b):
        return {"next_sentence_label": loss(net, b, "next_sentence_label")}

    def plain_loss(net, b):
        return loss(net, b, "labels")

    named = {**batch, "next_sentence_label": pairs}
    (step,), (got,) = gradients([named], 1, torch.float64, loss_fn=pair_loss)
    plain = {**batch, "labels": pairs}
    (same,), (wanted,) = gradients([plain], 1, torch.float64, loss_fn=plain_loss)
    assert apart(got, wanted) == 0 and step.loss == same.loss and step.targets == 16
    del named["attention_mask"]
    (step,), _ = gradients([named], 1, torch.float64, loss_fn=pair_loss)
    assert step.tokens == batch["input_ids"].numel()


@pytest.mark.parametrize(
    "column, returned, sentence",
    [
        ("label", "label", "columns .*'label'.*; targets are read from `labels`"),
        ("label", None, "give one of them that name"),
        ("pair_label", None, r"the sums \['labels'\], the batch .*\['pair_label'\]"),
        ("labels", "pairs", r"the sums \['pairs'\], the batch .*\['labels'\]"),
    ],
)
def test_a_column_without_its_name_is_told_before_the_first_step(
    column, returned, sentence, counted
):
    """It was a KeyError: 'labels', from inside the loop."""
    batch = rows_of(4)
    batch[column] = batch.pop("labels")[:, 0].clamp(min=0)

    def loss(net, b):
        logits = net(b["input_ids"], b["attention_mask"]).logits[:, 0]
        value = F.cross_entropy(logits, b[column], reduction="sum")
        return {returned: value} if returned else value

    net = tiny()
    before = [p.clone() for p in net.parameters()]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=sentence):
        next(train.steps(net, [batch], loss, optimizer))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters()))
    counted("fault")


def test_same_update_as_a_hand_written_loop():
    """Three updates of AdamW with clipping and a schedule, against plain torch."""
    batch, schedule = rows_of(12), lambda step: optim.warmup_linear(step, 1, 4)
    net, reference = tiny(torch.float64), tiny(torch.float64)
    run = train.steps(
        net,
        cut(batch, [2] * 6),
        loss_in_its_own_type,
        torch.optim.AdamW(net.parameters(), lr=1e-2),
        accumulate=2,
        schedule=schedule,
        clip=0.5,
    )
    optimizer = torch.optim.AdamW(reference.parameters(), lr=1e-2)
    for step, part in zip(run, cut(batch, [4] * 3)):
        loss = loss_in_its_own_type(reference, part) / (part["labels"] != -100).sum()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        optimizer.param_groups[0]["lr"] = 1e-2 * schedule(step.number)
        optimizer.step(), optimizer.zero_grad()
        assert (
            abs(step.loss - loss.item()) < 1e-12
            and abs(step.grad_norm - norm.item()) < 1e-10
        )
        assert step.lr == 1e-2 * schedule(step.number) and not step.skipped
    assert (
        max(
            (a - b).abs().max().item()
            for a, b in zip(net.parameters(), reference.parameters())
        )
        < 1e-10
    )


# ---- 17: nothing asked ----


def bits(net, optimizer):
    state = [v.clone() for s in optimizer.state.values() for v in s.values()]
    return [p.detach().clone() for p in net.parameters()] + state


def same(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def test_a_step_with_nothing_asked_changes_nothing(counted):
    net = tiny()
    optimizer = optim.adamw(optim.parameter_groups(net, 1e-2))
    (batch,) = cut(rows_of(4), [4])
    nothing = batch | {"labels": torch.full_like(batch["labels"], -100)}
    run = train.steps(net, [batch, nothing, batch], mlm.mlm_loss, optimizer)
    next(run)
    before = bits(net, optimizer)
    step = next(run)
    assert (
        step.skipped
        and step.loss == 0.0
        and step.targets == 0
        and step.grad_norm == 0.0
    )
    assert same(before, bits(net, optimizer))
    assert not next(run).skipped and not same(before, bits(net, optimizer))
    # control: weight decay and old momentum would have moved the weights
    run = planted("if finite and sum(counted):", "if finite:")["steps"](
        net, [nothing], mlm.mlm_loss, optimizer
    )
    before = bits(net, optimizer)
    next(run)
    assert not same(before, bits(net, optimizer))
    counted("fault")


def test_a_micro_batch_with_nothing_asked_does_not_matter():
    batch = rows_of(8)
    nothing = {k: v[:2] for k, v in batch.items()} | {
        "labels": torch.full((2, 12), -100)
    }
    _, (wanted,) = gradients([batch], 1, torch.float64)
    (step,), (got,) = gradients(
        [nothing, *cut(batch, [4, 4]), nothing], 4, torch.float64
    )
    assert apart(got, wanted) < 1e-14 and not step.skipped


# ---- 18: not finite ----


def poisoned(how, at):
    """A loss that is not finite, or only its gradient, in the micro-batches that hold
    one of the rows `at`.
    """

    def loss_fn(net, batch):
        loss = mlm.mlm_loss(net, batch)
        if not set(batch["index"].tolist()) & set(at):
            return loss
        if how == "gradient":  # sqrt(0): the value is 0, its slope infinite
            return loss + torch.sqrt(net.encoder.tokens.weight[0, 0] * 0)
        return loss * float(how)

    return loss_fn


@pytest.mark.parametrize("how", ["nan", "inf", "gradient"])
def test_a_step_that_is_not_finite_leaves_everything_as_it_was(how, counted):
    net = tiny()
    optimizer = optim.adamw(optim.parameter_groups(net, 1e-2))
    batches = cut(rows_of(16), [2] * 8)
    run = train.steps(
        net,
        batches,
        poisoned(how, [5]),
        optimizer,
        accumulate=2,
        schedule=lambda step: 1 / (step + 1),
    )
    next(run)
    before = bits(net, optimizer)
    with pytest.warns(
        UserWarning,
        match=r"step 1: .*learning rate 0\.005, rows \[4, "
        r"5, 6, 7\]; nothing was updated",
    ):
        step = next(run)
    assert step.skipped and same(before, bits(net, optimizer))
    assert all(p.grad is None for p in net.parameters())
    steps = list(run)
    assert [s.skipped for s in steps] == [False, False] and not same(
        before, bits(net, optimizer)
    )
    assert all(p.isfinite().all() for p in net.parameters())
    # control: without the question, the weights are lost
    broken = planted("if finite and sum(counted):", "if True:")["steps"](
        net, batches, poisoned(how, [5]), optimizer, accumulate=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        list(itertools.islice(broken, 2))
    assert not all(p.isfinite().all() for p in net.parameters())
    counted("fault")


def test_training_stops_after_a_few_in_a_row():
    batches = cut(rows_of(16), [2] * 8)
    net = tiny()
    optimizer = optim.adamw(optim.parameter_groups(net, 1e-2))
    before = bits(net, optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(
            FloatingPointError,
            match=r"step 2: .*rows \[4, 5\].*3 "
            r"steps in a row were not finite, "
            r"so lower the rate",
        ):
            list(train.steps(net, batches, poisoned("nan", range(16)), optimizer))
        assert same(before, bits(net, optimizer))
        # two, one good, two: never three in a row
        run = list(train.steps(net, batches, poisoned("nan", [0, 2, 6, 8]), optimizer))
    assert [s.skipped for s in run] == [
        True,
        True,
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    with pytest.warns(UserWarning, match="rows unknown"):
        next(
            train.steps(
                net,
                [{k: v for k, v in batches[0].items() if k != "index"}],
                lambda net, b: mlm.mlm_loss(net, b) * float("nan"),
                optimizer,
            )
        )


# ---- 20: once per update ----


def test_clipping_schedule_and_zeroing_once_per_update(monkeypatch, counted):
    asked, clipped = [], []
    clip = torch.nn.utils.clip_grads_with_norm_
    monkeypatch.setattr(
        torch.nn.utils,
        "clip_grads_with_norm_",
        lambda *a: clipped.append(1) or clip(*a),
    )
    net = tiny()
    optimizer = Recording(net.parameters(), lr=0.5)
    run = train.steps(
        net,
        cut(rows_of(14), [2] * 7),
        mlm.mlm_loss,
        optimizer,
        accumulate=3,
        first=5,
        clip=0.1,
        schedule=lambda n: asked.append(n) or 0.1 * n,
    )
    steps = list(run)
    assert [s.number for s in steps] == asked == [5, 6, 7]  # 3, 3 and 1 micro-batches
    assert len(clipped) == optimizer.zeroed == len(optimizer.seen) == 3
    assert [round(s.lr, 10) for s in steps] == [0.25, 0.3, 0.35]
    for seen, step in zip(optimizer.seen, steps):
        assert step.grad_norm > 0.1  # the norm before clipping
        assert abs(torch.cat([g.flatten() for g in seen]).norm().item() - 0.1) < 1e-4
    assert optimizer.param_groups[0]["initial_lr"] == 0.5
    # below the limit nobody multiplies them by 1
    clipped.clear()
    net = tiny()
    free = Recording(net.parameters(), lr=0.5)
    list(train.steps(net, [rows_of(4)] * 2, mlm.mlm_loss, free, clip=1e6))
    assert len(free.seen) == 2
    assert not clipped
    # control: gradients that are not zeroed grow from step to step
    net = tiny()
    stale = Recording(net.parameters(), lr=0.0)
    list(
        planted("optimizer.zero_grad(set_to_none=True)", "pass")["steps"](
            net, [rows_of(4)] * 3, mlm.mlm_loss, stale, clip=None
        )
    )
    assert apart(stale.seen[2], stale.seen[0]) > 1
    counted("fault")


@pytest.mark.parametrize(
    "old, new, what",
    [
        ("schedule(number)", "schedule(number * accumulate)", "rates"),
        (
            "sums[k] += value.detach().double()",
            "sums[k] += value.detach().double(); norm = torch.tensor(1.0); "
            "torch.nn.utils.clip_grads_with_norm_(model.parameters(), 0.01, norm)",
            "clips",
        ),
        (
            "sums[k] += value.detach().double()",
            "sums[k] += value.detach().double(); "
            "[p.grad.zero_() for p in "
            "model.parameters()]",
            "zeroed too often",
        ),
    ],
)
def test_per_micro_batch_instead_of_per_update_is_noticed(
    old, new, what, monkeypatch, counted
):
    clipped, clip = [], torch.nn.utils.clip_grads_with_norm_
    monkeypatch.setattr(
        torch.nn.utils,
        "clip_grads_with_norm_",
        lambda *a: clipped.append(1) or clip(*a),
    )

    def run(steps):
        clipped.clear()
        net, asked = tiny(), []
        optimizer = Recording(net.parameters(), lr=0.5)
        list(
            steps(
                net,
                cut(rows_of(14), [2] * 7),
                mlm.mlm_loss,
                optimizer,
                accumulate=3,
                clip=0.1,
                schedule=lambda n: asked.append(n) or 1.0,
            )
        )
        return (
            asked,
            len(clipped),
            [
                round(torch.cat([g.flatten() for g in seen]).norm().item(), 3)
                for seen in optimizer.seen
            ],
        )

    assert run(train.steps) == ([0, 1, 2], 3, [0.1, 0.1, 0.1])
    assert run(planted(old, new)["steps"]) != (
        [0, 1, 2],
        3,
        [0.1, 0.1, 0.1],
    ), what
    counted("fault")


@pytest.mark.parametrize("rows, parts", [(1, 1), (5, 1), (5, 2), (3, 4), (1, 4)])
def test_cut_makes_as_many_parts_as_asked_and_loses_no_row(rows, parts):
    batch = {
        "input_ids": torch.arange(2 * rows).view(rows, 2),
        "labels": torch.arange(rows),
        "next_sentence_label": torch.arange(rows),
    }
    got = list(train.split_micro_batches(batch, parts))
    assert len(got) == parts and all(
        part["input_ids"].shape[0] == part["labels"].shape[0] > 0 for part in got
    )
    asked = [
        label for part in got for label in part["labels"].tolist() if label != -100
    ]
    assert sorted(asked) == list(range(rows))
    assert all((part["labels"] == part["next_sentence_label"]).all() for part in got)


def test_bfloat16_keeps_weights_and_update_in_float32():
    net = tiny()
    (plain,), _ = gradients([rows_of(16)], 1)
    (step,) = train.steps(
        net,
        [rows_of(16)],
        mlm.mlm_loss,
        optim.adamw(optim.parameter_groups(net, 1e-3)),
        dtype=torch.bfloat16,
    )
    assert abs(step.loss - plain.loss) < 0.02 * plain.loss and step.loss != plain.loss
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_leaving_the_loop_early_costs_no_extra_batch():
    taken = []
    batches = (taken.append(i) or b for i, b in enumerate(cut(rows_of(12), [2] * 6)))
    net = tiny()
    for step in train.steps(
        net, batches, mlm.mlm_loss, Recording(net.parameters()), accumulate=2
    ):
        if step.number == 1:
            break
    assert taken == [0, 1, 2, 3]


# ---- the stream ----


def shares(seed, rows, size, first, steps, accumulate, world):
    """What each process reads of `steps` steps, as the recipes do it -> a list of
    (epoch, [rows of each micro-batch of each process]).
    """

    def of_rank(rank):
        for epoch, i in train.sample_rows(rows, size, seed, first=first):
            batch = {"labels": torch.tensor(i)}
            for part in train.split_micro_batches(batch, accumulate, rank, world):
                assert len(part["labels"])  # none is ever without a row
                # one without a target stands for a process that has nothing to do
                yield epoch, [row for row in part["labels"].tolist() if row != -100]

    parts = [
        list(itertools.islice(of_rank(rank), steps * accumulate))
        for rank in range(world)
    ]
    for k in range(0, steps * accumulate, accumulate):
        here = [part[k : k + accumulate] for part in parts]
        (epoch,) = {epoch for micro_batches in here for epoch, _ in micro_batches}
        yield epoch, [rows for micro_batches in here for _, rows in micro_batches]


def test_the_rows_of_a_step_depend_on_seed_and_step_alone():
    """Random rows, sizes, micro-batches, processes and starts: each step has the rows
    of one process with one micro-batch, shared out as evenly as can be.
    """
    draw = random.Random(0)
    idle = short = 0
    for _ in range(150):
        rows, size = draw.randint(1, 120), draw.randint(1, 40)
        accumulate, world = draw.randint(1, 5), draw.randint(1, 5)
        seed, first = draw.randint(0, 9), draw.randint(0, 300)
        wanted = list(
            itertools.islice(train.sample_rows(rows, size, seed, first=first), 8)
        )
        got = list(shares(seed, rows, size, first, 8, accumulate, world))
        for (epoch, step), (its, parts) in zip(wanted, got, strict=True):
            assert its == epoch == first // -(-rows // size)
            first += 1
            assert sorted(i for part in parts for i in part) == sorted(step)
            sizes = [len(part) for part in parts]
            assert max(sizes) - min(sizes) <= 1
            idle, short = idle + (min(sizes) == 0), short + (len(step) < size)
    assert idle > 100 and short > 100


@pytest.mark.parametrize("rows, size", [(22, 4), (16, 4), (100, 16), (97, 16), (3, 8)])
def test_each_epoch_has_every_row_once_and_whole_steps_first(rows, size):
    steps = list(train.sample_rows(rows, size, seed=3, epochs=3))
    sizes = [size] * (rows // size) + [rows % size] * (rows % size > 0)
    assert [len(i) for _, i in steps] == sizes * 3
    for epoch in range(3):
        seen = [i for e, picked in steps for i in picked if e == epoch]
        assert seen == train.order(rows, 3, epoch).tolist()


@pytest.mark.parametrize("rows, change", [(100, (1, 4)), (97, (4, 1)), (97, (2, 8))])
@pytest.mark.parametrize("what", ["micro-batches", "processes"])
def test_a_resume_with_other_shares_loses_and_repeats_no_row(rows, change, what):
    """At every step of two epochs."""
    per_epoch = -(-rows // 16)
    for stop in range(2 * per_epoch):
        rest, seen = 2 * per_epoch - stop, []
        for (first, steps), count in zip(((0, stop), (stop, rest)), change):
            parts = (count, 1) if what == "micro-batches" else (1, count)
            seen += shares(1, rows, 16, first, steps, *parts)
        for epoch in range(2):
            mine = [i for e, part in seen if e == epoch for rows in part for i in rows]
            assert sorted(mine) == list(range(rows)), (stop, epoch)


def test_steps_that_are_cut_by_the_micro_batch_are_caught(counted):
    """What the sampler once did: rows cut into micro-batches, and `accumulate` of them
    taken for a step, also across the end of an epoch.
    """
    cut = list(train.sample_rows(100, 4, seed=1, epochs=2))
    whole = list(train.sample_rows(100, 16, seed=1, epochs=2))
    four = [sum((i for _, i in cut[k : k + 4]), []) for k in range(0, len(cut), 4)]
    assert [sorted(i) for _, i in whole] != [sorted(i) for i in four]
    # eight steps of four micro-batches; resumed with one, some rows come again
    seen = [i for epoch, rows in cut[: 8 * 4] + whole[8:] if epoch for i in rows]
    assert len(seen) == 112 and len(set(seen)) == 100
    counted("fault")


def shared_run(split, rank=0, world=1, accumulate=1):
    """Nine rows in steps of four, four and one -> [(loss, targets)], the end's weights.
    With more than one process, all of them call it.
    """
    net = tiny(torch.float64)
    # look at the weights of the model inside
    model = torch.nn.parallel.DistributedDataParallel(net) if world > 1 else net
    batch = rows_of(9)
    data = (
        part
        for _, i in train.sample_rows(9, 4, seed=2, epochs=2)
        for part in split({k: v[i] for k, v in batch.items()}, accumulate, rank, world)
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    run = train.steps(
        model, data, loss_in_its_own_type, optimizer, accumulate=accumulate
    )
    steps = [(step.loss, step.targets) for step in run]
    return steps, torch.cat([p.detach().flatten() for p in net.parameters()])


def test_a_process_without_a_row_takes_part_in_the_step(two_processes, counted):
    steps, weights = shared_run(train.split_micro_batches)

    def work(rank, split=train.split_micro_batches):
        same = True
        for accumulate in (1, 2):
            got, end = shared_run(split, rank, 2, accumulate)
            same &= [n for _, n in got] == [n for _, n in steps]
            same &= all(abs(a - b) < 1e-12 for (a, _), (b, _) in zip(got, steps))
            same &= bool((end - weights).abs().max() < 1e-12)
        return same

    assert len(steps) == 6 and two_processes(work) == [0, 0]
    # control: the row that is read again is trained on again
    again = planted(
        "torch.full_like(value[:1], -100) if key in asks else value[:1]", "value[:1]"
    )["split_micro_batches"]
    assert two_processes(lambda rank: work(rank, again)) == [2, 2]
    counted("fault")


def test_stream_continues_anywhere():
    """Lines 3 to 5: resuming at each step, the epoch's end and three times in one epoch
    included, changes no row.
    """
    whole = list(itertools.islice(train.sample_rows(22, 4, seed=1), 20))
    for first in range(14):
        assert (
            list(itertools.islice(train.sample_rows(22, 4, seed=1, first=first), 6))
            == whole[first : first + 6]
        )
    pieces = [
        list(itertools.islice(train.sample_rows(22, 4, seed=1, first=s), n))
        for s, n in ((0, 2), (2, 1), (3, 2), (5, 1))
    ]
    assert sorted(i for piece in pieces for _, rows in piece for i in rows) == list(
        range(22)
    )
    # at the end of an epoch the whole next one follows
    assert next(train.sample_rows(22, 4, seed=1, first=6))[0] == 1
    again = list(train.sample_rows(22, 4, first=6, epochs=2))
    assert again == list(train.sample_rows(22, 4, seed=0, epochs=2))[6:]
    assert list(train.sample_rows(22, 4, first=12, epochs=2)) == []


@pytest.mark.parametrize(
    "rows, size, first", [(0, 4, 0), (8, 0, 0), (8, -1, 0), (8, 4, -1)]
)
def test_rows_that_make_no_step_are_refused(rows, size, first):
    message = f"{rows} rows in steps of {size} from step {first}; give at least 1 row"
    with pytest.raises(ValueError, match=message):
        next(train.sample_rows(rows, size, first=first))


@pytest.mark.parametrize(
    "accumulate, rank, world", [(0, 0, 1), (-1, 0, 1), (1, 1, 1), (1, -1, 2), (1, 0, 0)]
)
def test_shares_that_nobody_has_are_refused(accumulate, rank, world):
    message = f"accumulate is {accumulate} and rank {rank} of {world}; give 1 micro-"
    with pytest.raises(ValueError, match=message):
        next(train.split_micro_batches(rows_of(4), accumulate, rank, world))


def test_order_depends_on_seed_and_epoch_alone():
    torch.manual_seed(9)
    a = train.order(50, 1, 2)
    torch.rand(7)
    assert torch.equal(a, train.order(50, 1, 2)) and sorted(a.tolist()) == list(
        range(50)
    )
    assert not torch.equal(a, train.order(50, 1, 3)) and not torch.equal(
        a, train.order(50, 2, 2)
    )


# pairs that one sum or another would take for the same: 1_000_003 is the factor
PAIRS = [(s, e) for s in (0, 1, 2, 3) for e in (0, 1, 2, 3, 1_000_002, 1_000_003)]
PAIRS += [(0, 2_000_006), (1, 1_000_004), (5, 2_000_005), (-1, 0), (-1, 1)]


def test_every_seed_and_epoch_has_an_order_of_its_own():
    orders = {tuple(train.order(50, seed, epoch).tolist()) for seed, epoch in PAIRS}
    assert len(orders) == len(PAIRS)
    # what runs of before have seen
    first = torch.Generator().manual_seed(3 * 1_000_003 + 2)
    assert torch.equal(train.order(50, 3, 2), torch.randperm(50, generator=first))


@pytest.mark.parametrize(
    "formula", ["seed + epoch", "seed * 1_000_003 + epoch", "epoch", "seed"]
)
def test_seeds_that_share_an_order_are_caught(formula, counted):
    wrong = planted("seed * 1_000_003 + epoch % 1_000_003", formula)["order"]
    wrong_in_old = planted("1 + epoch // 1_000_003", "1")["order"]
    for order in (wrong_in_old,) if formula.startswith("seed *") else (wrong,):
        orders = {tuple(order(50, seed, epoch).tolist()) for seed, epoch in PAIRS}
        assert len(orders) < len(PAIRS)
    counted("fault")


# ---- progress ----


def run_of(count):
    return (train.Step(i, 5.0 - i, 10, 0.1, 1.0, 100, False) for i in range(count))


def test_progress_prints_plain_lines_where_there_is_no_terminal(monkeypatch):
    # the notebook plugin of pytest has imported it
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    clock = itertools.count(0, 4.0)
    monkeypatch.setattr(train.time, "perf_counter", lambda: next(clock))
    file = io.StringIO()
    assert list(train.progress(run_of(7), 7, every=10.0, file=file)) == list(run_of(7))
    lines = file.getvalue().splitlines()
    # steps 3 and 6 after 12 s each, and the last
    assert len(lines) == 3 and "\r" not in file.getvalue()
    assert lines[0].startswith("step 3/7  loss 3.000  ") and lines[0].endswith(
        "min left"
    )
    assert "25 tokens/s" in lines[0] and lines[-1].startswith("step 7/7")


def lines_of_a_resumed_run(monkeypatch, train=train):
    """What `progress` prints of steps 4 to 7 of 7, a minute and 100 tokens each."""
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    clock = itertools.count(0, 60.0)
    monkeypatch.setattr(train.time, "perf_counter", lambda: next(clock))
    file = io.StringIO()
    list(train.progress(itertools.islice(run_of(7), 3, None), 7, 90.0, file))
    return file.getvalue().splitlines()


def test_progress_of_a_resumed_run_counts_its_own_steps(monkeypatch, mutated, counted):
    wanted = [
        "step 5/7  loss 1.000  2 tokens/s  2.0 min left",
        "step 7/7  loss -1.000  2 tokens/s  0.0 min left",
    ]
    assert lines_of_a_resumed_run(monkeypatch) == wanted
    for old, new in (
        ("* (now - start) / done", "* (now - start) / (step.number + 1)"),
        ("(total - step.number - 1) *", "(total - step.number) *"),
        ("{left / 60:.1f}", "{left:.1f}"),
        ("now - shown_at > every or", "now - start > every or"),
        ("shown_at, left = now,", "left ="),
        ("tokens + step.tokens, done + 1,", "step.tokens, done + 1,"),
    ):
        wrong = lines_of_a_resumed_run(monkeypatch, mutated(train, old, new))
        assert wrong != wanted, new
        counted("fault")


def test_progress_draws_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    file = Terminal()
    assert len(list(train.progress(run_of(7), 7, file=file))) == 7
    assert "7/7" in file.getvalue() and "loss -1.000" in file.getvalue()


def test_classification_uses_the_same_loop():
    torch.manual_seed(0)
    net = classify.Classifier(
        transformer.Transformer(
            transformer.Config(
                V, width=16, layers=1, heads=2, ffn_dim=32, max_tokens=12
            )
        ),
        classes=2,
        dropout=0.0,
    )
    batch = {k: v for k, v in rows_of(6).items() if k != "labels"} | {
        "labels": torch.tensor([0, 1, 1, 0, -100, 1])
    }
    optimizer = Recording(net.parameters())
    list(train.steps(net, [batch], classify.classification_loss, optimizer, clip=None))
    list(
        train.steps(
            net,
            cut(batch, [1, 2, 3]),
            classify.classification_loss,
            optimizer,
            accumulate=3,
            clip=None,
        )
    )
    assert apart(optimizer.seen[1], optimizer.seen[0]) < 1e-5


# --- a step that is skipped changes nothing; a learning rate is what its owner set


class Normed(torch.nn.Module):
    """A batch norm, dropout and a head: what a forward changes beside the weights."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.drop = torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.drop(self.norm(x)))


def loss_of(model, batch):
    return torch.nn.functional.cross_entropy(
        model(batch["x"]), batch["labels"], ignore_index=-100, reduction="sum"
    )


def rows(*, poison=False, targets=True, seed=0):
    g = torch.Generator().manual_seed(seed)
    x, labels = torch.randn(8, 4, generator=g), torch.arange(8) % 2
    x[3, 0] = float("nan") if poison else x[3, 0]
    return {"x": x, "labels": labels if targets else torch.full_like(labels, -100)}


def differing(fault, accumulate):
    """The tensors that differ between a run with a step that is skipped and the same
    run without it; after it, dropout draws again.
    """
    bad = rows(poison=True) if fault == "a NaN in a row" else rows(targets=False)
    good = [rows(seed=1), rows(seed=2)]

    def trained(batches):
        model = Normed()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        torch.manual_seed(5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = train.steps(model, batches, loss_of, optimizer, accumulate=accumulate)
            return model.state_dict(), [step.skipped for step in run]

    skipping, flags = trained([good[0]] * accumulate + [bad] * accumulate + [good[1]])
    without, _ = trained([good[0]] * accumulate + [good[1]])
    assert flags == [False, True, False]
    return {name for name in without if not torch.equal(skipping[name], without[name])}


SKIPPED = pytest.mark.parametrize("fault", ["a NaN in a row", "no target"])


@SKIPPED
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_skipped_step_changes_nothing_at_all(fault, accumulate):
    assert not differing(fault, accumulate)


@SKIPPED
def test_a_skipped_step_that_moves_the_statistics_is_caught(
    fault, monkeypatch, counted
):
    def only_random(state, device):
        torch.set_rng_state(state[1])

    monkeypatch.setattr(train, "_restore", only_random)
    assert {"norm.running_mean", "norm.num_batches_tracked"} <= differing(fault, 1)
    counted("fault")


@SKIPPED
def test_a_skipped_step_that_draws_random_numbers_is_caught(
    fault, monkeypatch, counted
):
    def only_buffers(state, device):
        with torch.no_grad():
            for buffer, before in state[0]:
                buffer.copy_(before)

    monkeypatch.setattr(train, "_restore", only_buffers)
    assert "head.weight" in differing(fault, 1)
    counted("fault")


def rates_used(**settings):
    model = Normed()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    batches, used = [rows(seed=i) for i in range(4)], []
    for step in train.steps(model, batches, loss_of, optimizer, **settings):
        used.append(step.lr)
        scheduler.step()
    return used


def test_a_scheduler_of_torch_decides_when_no_schedule_is_given(counted):
    assert rates_used() == [1.0, 0.5, 0.25, 0.125]
    # what the loop once did: a factor of 1 on the first learning rate, always
    assert rates_used(schedule=lambda step: 1.0) == [1.0, 1.0, 1.0, 1.0]
    counted("fault")


def test_a_learning_rate_set_by_hand_is_used():
    model = Normed()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    optimizer.param_groups[0]["lr"] = 0.3
    assert next(train.steps(model, [rows()], loss_of, optimizer)).lr == 0.3


@pytest.mark.parametrize("accumulate", [0, -1])
def test_a_step_without_a_micro_batch_is_refused(accumulate):
    model = Normed()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(ValueError, match=f"accumulate is {accumulate}, .* at least 1"):
        next(train.steps(model, [rows()], loss_of, optimizer, accumulate=accumulate))


# --- what one step does, and nobody would see


class Watched(Normed):
    """Notes the mode of each forward, and whether the exchange was held back."""

    def __init__(self):
        super().__init__()
        self.held, self.seen = False, []

    @contextlib.contextmanager
    def no_sync(self):
        self.held = True
        yield
        self.held = False

    def forward(self, x):
        self.seen.append((self.training, self.held))
        return super().forward(x)


def watched(train=train):
    """The modes of three steps of three, three and two micro-batches; the reader
    evaluates between them.
    """
    model = Watched()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [rows(seed=i) for i in range(8)]
    for _ in train.steps(model, batches, loss_of, optimizer, accumulate=3):
        model.eval()
    return model.seen


def test_each_step_trains_and_exchanges_once_whatever_the_reader_does(mutated, counted):
    three = [(True, True), (True, True), (True, False)]
    assert watched() == [*three, *three, *three[1:]]
    for old, new in (
        ("        model.train()  #", "        pass  #"),
        ("i + 1 < len(group) and", "i + 1 <= len(group) and"),
        ("i + 1 < len(group) and", "i + 1 < 3 and"),
        ("i + 1 < len(group) and", "False and"),
        ('hasattr(model, "no_sync")\n', "True\n        hold = i > 0\n"),
    ):
        assert watched(mutated(train, old, new)) != watched()
        counted("fault")


def after_a_loss_of(value, train=train):
    """Whether a step is skipped whose loss is not finite and whose gradient is."""
    model = Normed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = train.steps(
            model, [rows()], lambda m, b: loss_of(m, b) + value, optimizer
        )
        return next(run).skipped


def test_a_loss_that_is_not_finite_is_enough_to_skip(mutated, counted):
    assert [after_a_loss_of(x) for x in (0.0, math.nan, math.inf, -math.inf)] == [
        False,
        True,
        True,
        True,
    ]
    for old, new in (
        (' and abs(loss) < float("inf")', ""),
        (' and abs(loss) < float("inf")', ' and loss < float("inf")'),
    ):
        wrong = mutated(train, old, new)
        found = [after_a_loss_of(x, wrong) for x in (math.nan, -math.inf)]
        assert not all(found)
        counted("fault")


@pytest.mark.parametrize("patience", [1, 2])
def test_training_stops_after_as_many_as_it_is_told(patience):
    model, done = Normed(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [rows(poison=True) for _ in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(FloatingPointError, match=f"{patience} steps in a row"):
            for step in train.steps(
                model, batches, loss_of, optimizer, patience=patience
            ):
                done.append(step)
    assert len(done) == patience - 1


@pytest.mark.parametrize("count, dots", [(7, ""), (8, ""), (9, " ...")])
def test_a_warning_names_at_most_eight_rows(count, dots):
    model = Normed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.full((count, 4), math.nan)
    batch = {"x": x, "labels": torch.zeros(count).long(), "index": torch.arange(count)}
    with pytest.warns(UserWarning) as said:
        next(train.steps(model, [batch], loss_of, optimizer))
    assert f"rows {list(range(count))[:8]}{dots}; nothing" in str(said[0].message)


def test_counts_beyond_what_float32_holds_are_exact():
    assert train._total([2**24 + 1, 3], torch.device("cpu")) == [2**24 + 1, 3]


def test_no_clipping_still_measures_the_gradient():
    norms = []
    for clip in (None, 1e-3):
        model = Normed()
        model.drop.p = 0.0
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        norms.append(next(train.steps(model, [rows()], loss_of, optimizer, clip=clip)))
    assert norms[0].grad_norm == norms[1].grad_norm > 1e-3


# --- what no step can work with


class Closing(torch.optim.SGD):
    """Somebody's optimizer whose step needs the loss again."""

    def step(self, closure):
        raise AssertionError("no step may be taken")


@pytest.mark.parametrize("kind", [torch.optim.LBFGS, Closing])
def test_an_optimizer_that_needs_a_closure_is_refused_before_step_1(kind):
    model = Normed()
    optimizer, seen = kind(model.parameters(), lr=0.1), []
    batches = (seen.append(i) or rows() for i in range(3))
    with pytest.raises(ValueError, match=f"{kind.__name__} computes the loss several"):
        next(train.steps(model, batches, loss_of, optimizer))
    assert not seen and all(p.grad is None for p in model.parameters())


OTHERS = [
    kind
    for kind in vars(torch.optim).values()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and kind.__name__ not in ("Optimizer", "LBFGS", "SparseAdam", "Muon")
]


@pytest.mark.parametrize("kind", OTHERS, ids=lambda kind: kind.__name__)
def test_every_other_optimizer_of_torch_takes_a_step(kind):
    model = Normed()
    optimizer = kind(model.parameters(), lr=0.1)
    # a scheduler wraps the optimizer's step
    torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
    before = model.head.weight.detach().clone()
    assert not next(train.steps(model, [rows()], loss_of, optimizer)).skipped
    assert not torch.equal(before, model.head.weight)


def test_one_row_under_batch_norm_is_refused_with_a_remedy(counted):
    model = Normed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (one,) = cut({k: v[:1] for k, v in rows().items()}, [1])
    run = train.steps(model, [rows(), one], loss_of, optimizer)
    next(run)
    with pytest.raises(ValueError, match="1 row, and batch norm .*drop_last=True"):
        next(run)
    # frozen, it needs no statistics of the batch: `eval` in a model's own train()
    model.norm.train = lambda mode=True: model.norm
    model.norm.eval().training = False
    assert not next(train.steps(model, [one], loss_of, optimizer)).skipped
    # without the sentence torch's own, which names no remedy
    bare = planted(
        "loss = _loss(loss_fn, model, batch)", "loss = loss_fn(model, batch)"
    )
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        next(bare["steps"](Normed(), [one], loss_of, optimizer))
    counted("fault")


def test_another_error_of_the_loss_stays_what_it_is():
    def broken(model, batch):
        raise ValueError("of the reader")

    model = Normed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="^of the reader$"):
        next(train.steps(model, [rows()], broken, optimizer))
