"""Contrastive losses against torch, transformers and the formulas of the papers, alone
and in two processes.
"""

import functools
import math

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from ftlib.objectives import contrastive
from ftlib.training import distributed, train

OBJECTIVES = {
    "one direction": contrastive.info_nce,
    "both": contrastive.clip_loss,
    "SimCLR": contrastive.nt_xent,
}
B, D = 7, 5


def pairs(seed=0, size=B, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(size, D, generator=g, dtype=dtype) for _ in range(2)]


def cosines(a, b):
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    return a @ b.T


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_both_directions_equal_cross_entropy_and_transformers(temperature, dtype):
    from transformers.models.clip import modeling_clip

    queries, keys = pairs(dtype=dtype)
    logits = cosines(queries, keys) / temperature
    one = F.cross_entropy(logits, torch.arange(B), reduction="sum")
    torch.testing.assert_close(
        contrastive.info_nce(queries, keys, temperature=temperature),
        one,
        rtol=1e-6,
        atol=1e-6,
    )
    theirs = modeling_clip.image_text_contrastive_loss(logits)
    torch.testing.assert_close(
        contrastive.clip_loss(queries, keys, temperature=temperature) / B,
        theirs,
        rtol=1e-6,
        atol=1e-6,
    )


def clip_of_transformers():
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    side = dict(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    config = CLIPConfig(
        text_config=dict(
            side,
            vocab_size=40,
            max_position_embeddings=8,
            bos_token_id=0,
            eos_token_id=2,
        ),
        vision_config=dict(side, image_size=8, patch_size=4),
        projection_dim=6,
    )
    return CLIPModel(config).eval()


def test_a_clip_model_of_transformers_has_this_loss_and_these_gradients():
    # in float64, so that no processor's order of sums shows
    model = clip_of_transformers().double()
    g = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 40, (4, 6), generator=g)
    ids[:, -1] = 2
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(4, 3, 8, 8, generator=g).double(),
    }
    output = model(**inputs, return_loss=True)
    output.loss.backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    output = model(**inputs)
    ours = contrastive.clip_loss(
        output.image_embeds,
        output.text_embeds,
        temperature=(-model.logit_scale).exp(),
    )
    torch.testing.assert_close(
        ours / 4, model(**inputs, return_loss=True).loss, rtol=1e-6, atol=1e-6
    )
    (ours / 4).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter.grad, wanted[name], rtol=1e-4, atol=1e-6, msg=name
        )


def test_nt_xent_is_the_formula_of_the_paper():
    """Equation 1 of Chen et al. 2020 and the sum over 2k - 1, 2k that follows it."""
    first, second = pairs()
    views = torch.stack([first, second], 1).flatten(0, 1)  # 1, 2 of one image
    similarity = cosines(views, views).tolist()
    temperature, total = 0.3, 0.0
    for i in range(2 * B):
        j = i ^ 1  # the other view
        others = [
            math.exp(similarity[i][k] / temperature) for k in range(2 * B) if k != i
        ]
        total -= math.log(math.exp(similarity[i][j] / temperature) / sum(others))
    got = contrastive.nt_xent(first, second, temperature=temperature)
    assert got.item() == pytest.approx(total / 2, rel=1e-12)


def test_scalar_products_are_compared_if_told():
    queries, keys = pairs()
    wanted = F.cross_entropy(queries @ keys.T, torch.arange(B), reduction="sum")
    got = contrastive.info_nce(queries, keys, temperature=1, normalize=False)
    torch.testing.assert_close(got, wanted)


LABELS = torch.tensor([4, 9, 4, -100, 0, 9, 4])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_pairs_about_one_thing_are_no_negatives(name):
    """A slow loop: each row sees its own key, and those with another label."""
    queries, keys = pairs()
    got = OBJECTIVES[name](queries, keys, LABELS, temperature=0.2)
    total = 0.0
    sides = [(queries, keys), (keys, queries)][: 1 if name == "one direction" else 2]
    for a, b in sides:
        for i in (i for i in range(B) if LABELS[i] != -100):
            own = cosines(a, b)[i, i] / 0.2
            seen = [own]
            for j in range(B):
                if LABELS[j] not in (LABELS[i], -100):
                    seen.append(cosines(a, b)[i, j] / 0.2)
                    if name == "SimCLR":
                        seen.append(cosines(a, a)[i, j] / 0.2)
            total += (torch.logsumexp(torch.stack(seen), 0) - own) / len(sides)
    torch.testing.assert_close(got, total)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_pair_that_is_left_out_might_as_well_be_absent(name, counted):
    queries, keys = (x.requires_grad_() for x in pairs())
    labels = torch.arange(B)
    labels[[1, 4]] = -100
    loss = OBJECTIVES[name](queries, keys, labels)
    loss.backward()
    kept = labels != -100
    fewer = [x.detach()[kept].requires_grad_() for x in (queries, keys)]
    wanted = OBJECTIVES[name](*fewer)
    wanted.backward()
    torch.testing.assert_close(loss, wanted)
    for x, y in zip((queries, keys), fewer):
        torch.testing.assert_close(x.grad[kept], y.grad)
        assert not x.grad[~kept].any()
    # control: with -100 among the negatives it is another loss
    everything = OBJECTIVES[name](queries, keys)
    assert abs(everything * 5 / 7 - wanted) > 1e-3
    counted("fault")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_nothing_but_left_out_pairs_gives_0_and_no_nan(name):
    queries, keys = (x.requires_grad_() for x in pairs())
    loss = OBJECTIVES[name](queries, keys, torch.full((B,), -100))
    loss.backward()
    assert loss == 0 and not queries.grad.any() and not keys.grad.any()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_table_of_no_negatives_does_what_equal_labels_do(name):
    queries, keys = pairs()
    labels = torch.tensor([0, 1, 0, 2, 1, 3, 4])
    table = labels[:, None] == labels
    ours = OBJECTIVES[name](queries, keys, not_negative=table)
    torch.testing.assert_close(ours, OBJECTIVES[name](queries, keys, labels))
    assert ours < OBJECTIVES[name](queries, keys)


# --- the temperature


def test_a_learnable_temperature_gets_its_gradient_and_stops_at_its_lowest():
    temperature = contrastive.Temperature(0.07)
    assert temperature().item() == pytest.approx(0.07)
    queries, keys = pairs(dtype=torch.float32)
    contrastive.clip_loss(queries, keys, temperature=temperature()).backward()
    slope = temperature.log_scale.grad.item()
    h, losses = 1e-2, []
    for step in (h, -h):
        t = math.exp(-(-math.log(0.07) + step))
        losses.append(contrastive.clip_loss(queries, keys, temperature=t).item())
    assert slope == pytest.approx((losses[0] - losses[1]) / (2 * h), rel=1e-2)
    with torch.no_grad():
        temperature.log_scale.fill_(9.0)
    temperature.zero_grad()
    assert temperature().item() == pytest.approx(0.01)
    temperature().backward()  # it can come back
    assert temperature.log_scale.grad.item() != 0
    fixed = contrastive.Temperature(0.5, learnable=False)
    assert not fixed().requires_grad
    assert fixed.train()().item() == pytest.approx(0.5)


def test_autocast_leaves_the_similarities_in_float32(mutated, counted):
    queries, keys = pairs(dtype=torch.float32)
    wanted = contrastive.clip_loss(queries, keys, temperature=0.01)
    changed = mutated(
        contrastive,
        "torch.autocast(rows.device.type, enabled=False)",
        "torch.autocast(rows.device.type, enabled=True)",
    )
    with torch.autocast("cpu", torch.bfloat16):
        got = contrastive.clip_loss(queries, keys, temperature=0.01)
        wrong = changed.clip_loss(queries, keys, temperature=0.01)
        short = contrastive.clip_loss(queries.bfloat16(), keys.bfloat16())
    assert torch.equal(got, wanted) and short.dtype == torch.float32
    assert abs(wrong - wanted) > 1e-3 * wanted
    counted("fault")


# --- the loop


def towers(dtype=torch.float64):
    torch.manual_seed(0)
    return contrastive.TwoTowers(torch.nn.Linear(6, D), torch.nn.Linear(4, D)).to(dtype)


G = torch.Generator().manual_seed(3)
ROWS = 24
MEANING = torch.randn(ROWS, 3, generator=G, dtype=torch.float64)
COLUMNS = {
    "query_input": MEANING
    @ torch.randn(3, 6, generator=G, dtype=torch.float64)
    * torch.linspace(0.5, 2, ROWS, dtype=torch.float64)[:, None],
    "key_input": MEANING @ torch.randn(3, 4, generator=G, dtype=torch.float64),
    "labels": torch.arange(ROWS) // 2 * 2,  # two rows about each thing
}


def run(objective, rank=0, world_size=1):
    """Train with train.steps -> (losses, targets, weights)."""
    context = distributed.DistributedContext(
        torch.device("cpu"), rank, world_size, None
    )
    model = distributed.wrap(towers(), context)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = (
        mine
        for _, rows in train.sample_rows(ROWS, 9, 0, epochs=4)  # 9, 9 and 6 rows
        for mine in train.split_micro_batches(
            {name: column[rows] for name, column in COLUMNS.items()},
            1,
            rank,
            world_size,
        )
    )
    loss_fn = functools.partial(contrastive.contrastive_loss, objective=objective)
    steps = [*train.steps(model, batches, loss_fn, optimizer)]
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    return [s.loss for s in steps], [s.targets for s in steps], weights


@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_processes_train_as_one(name, two_processes, counted):
    losses, targets, weights = run(OBJECTIVES[name])
    assert targets == [9, 9, 6] * 4 and losses[-3] < losses[0]

    def work(rank):
        got, n, end = run(OBJECTIVES[name], rank, 2)
        same = max(abs(a - b) for a, b in zip(got, losses, strict=True)) < 1e-12
        return same and n == targets and (end - weights).abs().max() < 1e-12

    def without_the_others(rank):
        """The planted fault: gradients of the losses of this process alone."""
        contrastive._Gather.backward = staticmethod(
            lambda ctx, g: (g.split(ctx.sizes)[dist.get_rank()], None)
        )
        return work(rank)

    assert two_processes(work) == [0, 0]
    assert two_processes(without_the_others) == [2, 2]
    counted("fault")


@pytest.mark.parametrize("share", [(4, 3), (1, 6)])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_loss_and_gradients_of_two_processes_add_up(name, share, two_processes):
    """Uneven shares; the second process has a copy of a row that is left out."""
    queries, keys = (x.requires_grad_() for x in pairs())
    labels = LABELS.clone()
    wanted = OBJECTIVES[name](queries, keys, labels)
    wanted.backward()
    table = torch.zeros(B, B + 1, dtype=torch.bool)
    mine = [slice(0, share[0]), slice(share[0], B)]

    def work(rank):
        q, k = (x.detach()[mine[rank]].clone() for x in (queries, keys))
        own, hidden = labels[mine[rank]], table[mine[rank]]
        if rank == 1:  # as split_micro_batches fills an empty micro-batch
            q, k = torch.cat([q, q[:1]]), torch.cat([k, k[:1]])
            own = torch.cat([own, torch.tensor([-100])])
            hidden = torch.cat([hidden, hidden[:1]])
        q, k = q.requires_grad_(), k.requires_grad_()
        loss = OBJECTIVES[name](q, k, own, not_negative=hidden)
        loss.backward()
        total = loss.detach().clone()
        dist.all_reduce(total)
        n = len(queries[mine[rank]])
        close = functools.partial(torch.allclose, rtol=0, atol=1e-12)
        rows, first = contrastive.gather_rows(own)
        return (
            close(total, wanted)
            and close(q.grad[:n], queries.grad[mine[rank]])
            and close(k.grad[:n], keys.grad[mine[rank]])
            and not q.grad[n:].any()
            and first == mine[rank].start
            and rows.tolist() == labels.tolist() + [-100]
        )

    assert two_processes(work) == [0, 0]


def test_rows_without_labels_are_all_different_in_two_processes(two_processes):
    queries, keys = pairs()
    wanted = contrastive.clip_loss(queries, keys)

    def work(rank):
        mine = slice(0, 3) if rank == 0 else slice(3, B)
        total = contrastive.clip_loss(queries[mine], keys[mine])
        dist.all_reduce(total)
        return torch.allclose(total, wanted, rtol=0, atol=1e-12)

    assert two_processes(work) == [0, 0]


def test_columns_reach_their_tower_by_name():
    class Tower(torch.nn.Module):
        def forward(self, input_ids, attention_mask):
            return input_ids.float() * attention_mask

    model = contrastive.TwoTowers(Tower(), torch.nn.Identity())
    ids, mask = torch.ones(2, 3).long(), torch.tensor([[1, 1, 0], [1, 0, 0]])
    output = model(
        query_input_ids=ids, query_attention_mask=mask, key_input=torch.zeros(2, 3)
    )
    assert output.queries.tolist() == mask.tolist() and not output.keys.any()
    with pytest.raises(ValueError, match="none begins with key_; rename"):
        model(query_input_ids=ids, query_attention_mask=mask)
    # one module twice is one set of weights
    shared = torch.nn.Linear(3, 2)
    assert len(list(contrastive.TwoTowers(shared, shared).parameters())) == 3
    known = contrastive.Temperature(0.5, learnable=False)
    assert contrastive.TwoTowers(shared, shared, known).temperature is known


Q, K = pairs()
REFUSED = {
    "other shapes": ((Q, K[:3]), r"queries are \(7, 5\), keys \(3, 5\)"),
    "single vectors": ((Q[0], K[0]), r"queries are \(5,\)"),
    "no pair": ((Q[:0], K[:0]), r"\(0, 5\)"),
    "ids": ((Q.long(), K.long()), "queries are torch.int64, vectors are needed"),
    "a temperature of 0": ((Q, K, None, 0.0), "the temperature is 0.0"),
    "labels of another batch": ((Q, K, torch.arange(3)), r"int64 \(3,\), there are 7"),
    "labels that are shares": ((Q, K, torch.rand(7)), r"float32 \(7,\)"),
    "a label below 0": ((Q, K, torch.arange(7) - 2), "pair 0 has the label -2"),
    "a single pair": ((Q[:1], K[:1]), "none of the 1 pairs has a negative"),
    "one label for all": (
        (Q, K, torch.zeros(7).long()),
        "none of the 7 pairs has a negative",
    ),
    "a table of another batch": (
        (Q, K, None, 0.1, torch.zeros(3, 3).bool()),
        r"not_negative is torch.bool \(3, 3\), torch.bool \(7, 7\)",
    ),
    "a table of numbers": ((Q, K, None, 0.1, torch.eye(7)), "float32"),
}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_batch_of_pairs_is_refused(name, objective):
    arguments, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        OBJECTIVES[objective](*arguments)


@pytest.mark.parametrize("start", [0.0, -1.0, 0.001, math.inf])
def test_a_temperature_that_cannot_start_is_refused(start):
    with pytest.raises(ValueError, match=f"the temperature starts at {start}"):
        contrastive.Temperature(start)


def test_labels_of_any_whole_type_are_numbers_of_pairs():
    torch.manual_seed(0)
    a, b = torch.randn(4, 8), torch.randn(4, 8)
    labels = torch.tensor([0, 1, 1, -100])
    expected = contrastive.clip_loss(a, b, labels)
    for dtype in (torch.int32, torch.int16, torch.int8):
        torch.testing.assert_close(
            contrastive.clip_loss(a, b, labels.to(dtype)), expected
        )
