"""Parameter groups, layer decay and schedules against torch and transformers."""

import pytest
import torch

from ftlib.models import transformer
from ftlib.objectives import classify
from ftlib.training import optim


def net(**more):
    torch.manual_seed(0)
    return classify.Classifier(
        transformer.Transformer(
            transformer.Config(
                60, width=16, layers=3, heads=2, ffn_dim=32, max_tokens=12, **more
            )
        ),
        2,
    )


def names_of(module, groups):
    """{parameter name: its group}."""
    of = {id(p): g for g in groups for p in g["params"]}
    assert len(of) == sum(len(g["params"]) for g in groups)  # none is in two groups
    return {n: of.get(id(p)) for n, p in module.named_parameters()}


def test_matrices_decay_and_vectors_do_not():
    module = net()
    groups = names_of(module, optim.parameter_groups(module, lr=1e-3, weight_decay=0.1))
    assert len(groups) == len(list(module.parameters())) and None not in groups.values()
    for name, group in groups.items():
        vector = name.endswith(".bias") or "norm" in name
        assert group["weight_decay"] == (0.0 if vector else 0.1), name
        assert group["lr"] == group["initial_lr"] == 1e-3


def test_transformers_agrees_which_weights_decay():
    from transformers.trainer_pt_utils import get_parameter_names

    module = net()
    theirs = set(get_parameter_names(module, [torch.nn.LayerNorm], [r"bias"]))
    ours = {
        n
        for n, g in names_of(module, optim.parameter_groups(module, 1e-3)).items()
        if g["weight_decay"]
    }
    assert ours == theirs


def test_layer_decay():
    module = net()
    groups = names_of(module, optim.parameter_groups(module, lr=1.0, layer_decay=0.5))
    rates = {
        "head.weight": 1.0,
        "encoder.norm_out.bias": 1.0,
        "encoder.blocks.2.up.weight": 0.5,
        "encoder.blocks.1.norm1.bias": 0.25,
        "encoder.blocks.0.attention.qkv.weight": 0.125,
        "encoder.tokens.weight": 0.0625,
        "encoder.norm_in.weight": 0.0625,
    }
    for name, rate in rates.items():
        assert groups[name]["lr"] == rate, name
    assert {g["lr"] for g in groups.values()} == {1.0, 0.5, 0.25, 0.125, 0.0625}


def test_layer_decay_knows_the_names_of_transformers():
    from transformers import BertConfig, BertModel

    bert = BertModel(
        BertConfig(
            vocab_size=60,
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=32,
        )
    )
    ours = names_of(net(), optim.parameter_groups(net(), 1.0)) and [
        optim.depth(n) for n, _ in net().encoder.named_parameters()
    ]
    theirs = [optim.depth(n) for n, _ in bert.named_parameters()]
    assert set(theirs) == {0, 1, 2, 3, None} == set(ours)
    assert (
        optim.depth("embeddings.LayerNorm.weight") == 0
        and optim.depth("encoder.layer.2.attention.output.LayerNorm.bias") == 3
    )
    assert (
        optim.depth("pooler.dense.weight") is None
        and optim.depth("transformer.h.11.mlp.c_fc.weight") == 12
    )


def test_frozen_weights_are_left_out():
    module = net()
    classify.freeze(module.encoder)
    groups = optim.parameter_groups(module, 1e-3)
    assert sum(p.numel() for g in groups for p in g["params"]) == 16 * 2 + 2
    classify.freeze(module)
    with pytest.raises(ValueError, match="0 parameters have requires_grad=True"):
        optim.parameter_groups(module, 1e-3)


def test_fused_adamw_equals_the_plain_one(counted):
    def trained(make):
        module = net().double()
        optimizer = make(optim.parameter_groups(module, 1e-2, weight_decay=0.1))
        for step in range(20):
            torch.manual_seed(step)
            module.eval()(
                torch.randint(5, 60, (4, 10))
            ).logits.square().sum().backward()
            optimizer.step(), optimizer.zero_grad()
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    def plain(groups, betas=(0.9, 0.98)):
        return torch.optim.AdamW(
            groups, betas=betas, eps=1e-8, foreach=False, fused=False
        )

    assert optim.adamw(optim.parameter_groups(net(), 1e-3)).defaults["fused"]
    wanted = trained(plain)
    assert (trained(optim.adamw) - wanted).abs().max() < 1e-10
    # control: torch's default
    assert (
        trained(lambda groups: plain(groups, (0.9, 0.999))) - wanted
    ).abs().max() > 1e-4
    counted("fault")


@pytest.mark.parametrize("warmup, total", [(3, 10), (0, 7), (1, 50)])
def test_schedules_equal_transformers_shifted_by_one(warmup, total):
    """Ours starts at 1/warmup instead of 0: the first step of theirs changes
    nothing.
    """
    from transformers import (
        get_cosine_schedule_with_warmup,
        get_linear_schedule_with_warmup,
    )

    def theirs(make, warmup, total):
        (factor,) = make(
            torch.optim.SGD([torch.zeros(1)], lr=1.0), warmup, total
        ).lr_lambdas
        return factor

    linear, cosine = (
        theirs(get_linear_schedule_with_warmup, warmup, total),
        theirs(get_cosine_schedule_with_warmup, warmup, total),
    )
    for step in range(total + 3):
        if step < warmup:
            assert (
                optim.warmup_linear(step, warmup, total)
                == optim.warmup_cosine(step, warmup, total)
                == linear(step + 1)
            )
        else:
            assert abs(optim.warmup_linear(step, warmup, total) - linear(step)) < 1e-12
        if warmup <= step <= total:
            assert abs(optim.warmup_cosine(step, warmup, total) - cosine(step)) < 1e-12


def test_schedules_stay_in_range_and_refuse_nonsense():
    for schedule in (optim.warmup_linear, optim.warmup_cosine):
        factors = [schedule(s, 4, 20) for s in range(30)]
        assert (
            0 <= min(factors)
            and max(factors) == 1
            and factors[:4] == [0.25, 0.5, 0.75, 1.0]
            and factors[20:] == [0.0] * 10
        )
        with pytest.raises(ValueError, match="warmup is 20 steps and the run has 20"):
            schedule(0, 20, 20)
        with pytest.raises(ValueError, match="step is -1"):
            schedule(-1, 2, 20)
    assert optim.warmup_cosine(99, 4, 20, min_ratio=0.1) == 0.1


# --- the update rules, written out


def walked(update, steps=100, **settings):
    """Three float64 tensors through `steps` updates on a problem whose gradients change
    size from step to step.
    """
    ws, states = start(), [{}, {}, {}]
    for step in range(steps):
        gs = gradients(ws, step)
        ws, states = map(
            list, zip(*(update(w, g, s, **settings) for w, g, s in zip(ws, gs, states)))
        )
    return ws


def start():
    g = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, generator=g, dtype=torch.float64)
        for shape in ((4, 3), (5,), ())
    ]


def gradients(ws, step):
    g = torch.Generator().manual_seed(step)
    return [
        10.0 ** (i - 1)
        * (w + 0.3 * torch.randn(w.shape, generator=g, dtype=torch.float64))
        for i, w in enumerate(ws)
    ]


def walked_by_torch(make, steps=100):
    ws = [torch.nn.Parameter(w) for w in start()]
    optimizer = make(ws)
    for step in range(steps):
        for w, g in zip(ws, gradients([w.detach() for w in ws], step)):
            w.grad = g
        optimizer.step()
    return ws


def apart(ours, theirs):
    return max(float((a - b.detach()).abs().max()) for a, b in zip(ours, theirs))


RULES = {
    "sgd": (
        optim.momentum_update,
        dict(lr=0.05, beta=0.0),
        lambda ws: torch.optim.SGD(ws, 0.05),
    ),
    "momentum": (
        optim.momentum_update,
        dict(lr=0.01),
        lambda ws: torch.optim.SGD(ws, 0.01, momentum=0.9),
    ),
    "rmsprop": (
        optim.rmsprop_update,
        dict(lr=0.01),
        lambda ws: torch.optim.RMSprop(ws, 0.01),
    ),
    "adam": (optim.adam_update, dict(lr=0.01), lambda ws: torch.optim.Adam(ws, 0.01)),
    "adam, other settings": (
        optim.adam_update,
        dict(lr=0.01, betas=(0.8, 0.95), eps=1e-3),
        lambda ws: torch.optim.Adam(ws, 0.01, betas=(0.8, 0.95), eps=1e-3),
    ),
    "adamw, torch's own decay": (
        optim.adamw_update,
        dict(lr=0.01),
        lambda ws: torch.optim.AdamW(ws, 0.01),
    ),
    "adamw": (
        optim.adamw_update,
        dict(lr=0.01, weight_decay=0.3),
        lambda ws: torch.optim.AdamW(ws, 0.01, weight_decay=0.3),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_updates_equal_torch_over_100_steps(name):
    update, settings, make = RULES[name]
    assert apart(walked(update, **settings), walked_by_torch(make)) < 1e-10


def test_another_default_is_caught(mutated, counted):
    update, settings, make = RULES["adamw, torch's own decay"]
    for old, new in (
        ("eps=1e-8, weight_decay=0.01):", "eps=1e-8, weight_decay=0.015):"),
        ("(w * (1 - lr * weight_decay), g,", "(w * (1 - weight_decay), g,"),
    ):
        wrong = mutated(optim, old, new).adamw_update
        assert apart(walked(wrong, **settings), walked_by_torch(make)) > 1e-6
        counted("fault")


def test_the_optimizer_of_the_course_has_the_settings_that_its_docstring_names():
    layer = torch.nn.Linear(2, 2)
    (matrix, vector) = optim.parameter_groups(layer, lr=0.5)
    assert [g["weight_decay"] for g in (matrix, vector)] == [0.01, 0.0]
    assert [g["lr"] for g in (matrix, vector)] == [0.5, 0.5]
    optimizer = optim.adamw([matrix, vector])
    for group in optimizer.param_groups:
        assert (group["betas"], group["eps"]) == ((0.9, 0.98), 1e-8)
        assert group["fused"] and not group["amsgrad"] and not group["maximize"]


def test_l2_in_the_gradient_is_caught(counted):
    """The control: Adam with L2 is not AdamW."""
    theirs = walked_by_torch(lambda ws: torch.optim.Adam(ws, 0.01, weight_decay=0.3))
    assert apart(walked(optim.adamw_update, lr=0.01, weight_decay=0.3), theirs) > 1e-3
    counted("fault")


def test_updates_change_nothing_in_place():
    w, g = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0])
    for update in (
        optim.momentum_update,
        optim.rmsprop_update,
        optim.adam_update,
        optim.adamw_update,
    ):
        _, state = update(w, g, {}, lr=0.1)
        kept = {key: torch.as_tensor(value).clone() for key, value in state.items()}
        _, later = update(w, g, state, lr=0.1)
        assert w.tolist() == [1, 2] and g.tolist() == [0.5, -1] and later is not state
        assert all(torch.equal(torch.as_tensor(state[key]), kept[key]) for key in kept)
