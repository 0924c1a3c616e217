"""Formulas against counts: weights of models on the meta device, products watched by
FlopCounterMode.
"""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaPreLayerNormConfig,
    RobertaPreLayerNormForMaskedLM,
)

from ftlib.course.checks import transformer as checks
from ftlib.evaluation import cost
from ftlib.models import transformer

BERT = dict(positions=40, segments=2, norm_in=True)
NUMBERS = (300, 48, 3, 80)  # V, D, L, inner


def bert(kind, config=BertConfig, **more):
    V, D, L, ffn_dim = NUMBERS
    return kind(
        config(
            vocab_size=V,
            hidden_size=D,
            num_hidden_layers=L,
            num_attention_heads=4,
            intermediate_size=ffn_dim,
            max_position_embeddings=40,
            **more,
        )
    )


def gpt2(tied):
    V, D, L, ffn_dim = NUMBERS
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=V,
            n_embd=D,
            n_layer=L,
            n_head=4,
            n_inner=ffn_dim,
            n_positions=40,
            tie_word_embeddings=tied,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


MODELS = {
    "BertModel": (lambda: bert(BertModel), dict(**BERT, head="pooler")),
    "BertModel without pooler": (
        lambda: BertModel(bert(BertModel).config, add_pooling_layer=False),
        dict(**BERT, head="none"),
    ),
    "BertForMaskedLM": (lambda: bert(BertForMaskedLM), dict(**BERT, head="masked")),
    "RobertaPreLayerNorm": (
        lambda: bert(
            RobertaPreLayerNormForMaskedLM, RobertaPreLayerNormConfig, type_vocab_size=1
        ),
        dict(positions=40, segments=1, norm_in=True, norm_out=True, head="masked"),
    ),
    "GPT-2": (lambda: gpt2(True), dict(positions=40, norm_out=True, head="tied")),
    "GPT-2, untied": (
        lambda: gpt2(False),
        dict(positions=40, norm_out=True, head="untied"),
    ),
}


def made(name):
    with torch.device("meta"):
        return MODELS[name][0](), torch.zeros(2, 16, dtype=torch.long)


@pytest.mark.parametrize("name", MODELS)
def test_weights_by_formula_and_by_count(name):
    net, _ = made(name)
    assert sum(cost.parameters(*NUMBERS, **MODELS[name][1]).values()) == sum(
        p.numel() for p in net.parameters()
    )


@pytest.mark.parametrize("name", MODELS)
def test_operations_by_formula_and_by_count(name):
    net, ids = made(name)
    with FlopCounterMode(display=False) as counter:
        net(input_ids=ids)
    parts = cost.flops(*NUMBERS, T=16, head=MODELS[name][1]["head"])
    assert 2 * sum(parts.values()) == counter.get_total_flops()  # two texts


def test_parts_are_those_of_ftlibs_model():
    net = transformer.LanguageModel(
        transformer.Config(
            300,
            width=48,
            layers=3,
            heads=4,
            ffn_dim=80,
            max_tokens=40,
            segments=2,
            pre_norm=False,
        )
    )
    parts = cost.parameters(*NUMBERS, **BERT, head="masked")
    by_name = dict.fromkeys(parts, 0)
    for name, p in net.named_parameters():
        part = (
            "norms"
            if ".norm" in name
            else "attention"
            if "attention" in name
            else "feed-forward"
            if "blocks" in name
            else "embeddings"
            if name.startswith("encoder")
            else "head"
        )
        by_name[part] += p.numel()
    assert by_name == parts


def test_only_asked_tokens_cost_a_head():
    all_of_them, three = (
        cost.flops(*NUMBERS, T=16, head="masked", targets=n)["head"] for n in (16, 3)
    )
    assert three * 16 == all_of_them * 3


def test_rule_of_six():
    net, ids = made("GPT-2")
    with FlopCounterMode(display=False) as counter:
        net(input_ids=ids).logits.sum().backward()
    forward = 2 * sum(cost.flops(*NUMBERS, T=16, head="tied").values())
    assert counter.get_total_flops() == 3 * forward
    assert (
        abs(
            cost.training_flops(sum(p.numel() for p in net.parameters()), 32)
            / (3 * forward)
            - 1
        )
        < 0.15
    )


def test_scores_equal_the_rest_at_six_widths():
    parts = cost.flops(1, 48, 5, 4 * 48, T=6 * 48)
    assert parts["scores"] == parts["projections"] + parts["feed-forward"]


def test_training_bytes_of_adam():
    net = torch.nn.Linear(30, 40)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 30)).sum().backward()
    optimizer.step()
    held = [p for p in net.parameters()] + [p.grad for p in net.parameters()]
    held += [t for s in optimizer.state.values() for k, t in s.items() if k != "step"]
    assert cost.training_bytes(30 * 40 + 40) == sum(
        t.numel() * t.element_size() for t in held
    )


MACHINE = cost.Machine("made up", peak=1e12, memory_gb=80, price=3.0)


def test_time_memory_and_money_of_a_run():
    """6 x 1e9 weights x 1e6 tokens are 6e15 operations: 6,000 s at the whole peak."""
    plan = cost.run_cost(1e9, 1e6, MACHINE, mfu=0.5)
    assert plan.flops == cost.training_flops(1e9, 1e6) == 6e15
    assert plan.hours == pytest.approx(12000 / 3600)
    assert plan.money == pytest.approx(plan.hours * 3.0)
    # float32 weights, gradients, two means of Adam; 1 GB is 1e9 bytes
    assert plan.memory_gb == pytest.approx(cost.training_bytes(1e9) / 1e9)
    counted = cost.run_cost(1e9, 1e6, MACHINE, mfu=0.5, flops_per_token=2e9)
    assert counted.hours == pytest.approx(plan.hours / 3)
    assert cost.run_cost(1e9, 1e6, MACHINE, bytes_per_weight=6).memory_gb == 6


def test_devices_share_time_and_only_sharded_ones_memory():
    one, four, sharded = (
        cost.run_cost(1e9, 1e6, MACHINE, **options)
        for options in ({}, {"devices": 4}, {"devices": 4, "sharded": True})
    )
    assert four.hours == sharded.hours == pytest.approx(one.hours / 4)
    assert four.money == sharded.money == pytest.approx(one.money)
    assert (one.memory_gb, four.memory_gb, sharded.memory_gb) == (16, 16, 4)


@pytest.mark.parametrize("options", [{"mfu": 0}, {"mfu": 1.01}, {"devices": 0}])
def test_a_run_that_cannot_be_is_refused(options, counted):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} is "):
        cost.run_cost(1e9, 1e6, MACHINE, **options)
    assert cost.run_cost(1e9, 1e6, MACHINE, mfu=1, devices=1).hours == 6000 / 3600
    counted("fault")


def test_an_unknown_head_is_refused():
    with pytest.raises(
        ValueError, match="head is 'lm', it must be one of none, pooler"
    ):
        cost.parameters(*NUMBERS, head="lm")


@pytest.mark.parametrize("name", checks.CONFIGS)
def test_configurations_of_exercise_1_are_those_of_transformers(name):
    c = checks.CONFIGS[name]
    config = LlamaConfig(
        vocab_size=c["vocab_size"],
        hidden_size=c["width"],
        num_hidden_layers=c["layers"],
        num_attention_heads=c["heads"],
        num_key_value_heads=c["kv_heads"],
        intermediate_size=c["ffn_dim"],
        tie_word_embeddings=c["tied"],
    )
    with torch.device("meta"):
        net = LlamaForCausalLM(config)
    assert checks.llama_params(c) == sum(p.numel() for p in net.parameters())


def test_distinct_mistakes_give_distinct_counts():
    c = checks.CONFIGS["tiny"]
    wrong = [count for count, _ in checks._mistakes(c)] + [
        checks.llama_params(c, tables=1)
    ]
    assert len(set(wrong)) == len(wrong)
    assert checks.llama_params(c) not in wrong


def test_speed_of_a_product_counts_two_operations_for_each_of_size_cubed(monkeypatch):
    ticks = iter([0.0, 3.0, 10.0, 12.0])  # two tries, of 3 and of 2 seconds
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(ticks))
    assert cost.matmul_speed(size=10, tries=2) == 2 * 10**3 / 2


@pytest.mark.parametrize("asked", [True, False])
def test_kept_bytes_are_what_autograd_keeps(asked):
    """Storages that the graph holds and that are no weights, by saved_tensors_hooks."""
    V, D, L, ffn_dim = 50, 64, 5, 192
    config = transformer.Config(V, D, L, 4, ffn_dim, max_tokens=32)
    net, ids = transformer.Transformer(config), torch.randint(5, V, (8, 32))
    weights = {p.untyped_storage().data_ptr() for p in net.parameters()}
    target_mask = torch.arange(32).expand(8, 32) % 4 == 0 if asked else None
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage  # alive, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        net(ids, target_mask=target_mask)
    found = sum(s.nbytes() for at, s in kept.items() if at not in weights)
    formula = cost.activation_bytes(D, L, ffn_dim, 256, 64 if asked else None)
    # what is left out: embeddings, the first and the last norm, and single columns
    assert 0.95 < formula / found < 1


def test_the_memory_of_a_process_by_hand():
    sizes = dict(vocab_size=100, width=8, layers=2, ffn_dim=32, positions=10)
    parts = cost.parameters(**sizes, norm_out=True, head="masked")
    weights, table = sum(parts.values()), 4 * 100 * 8
    few = dict(**sizes, tokens=1, targets=1)
    assert cost.process_bytes(**few) == 16 * weights + 2 * table
    assert cost.process_bytes(**few, devices=2) == 16 * weights + 3 * table
    block = 4 * (parts["attention"] + parts["feed-forward"]) / 2
    for n in (2, 4):
        sharded = cost.process_bytes(**few, devices=n, sharded=True)
        assert sharded == 16 * weights / n + (4 - 1 / n) * table + 2 * block
    # many tokens: the moment when the backward pass begins
    many = dict(**sizes, tokens=1000, targets=150)
    kept = cost.activation_bytes(8, 2, 32, 1000, 150) + 3 * 4 * 100 * 150
    assert cost.process_bytes(**many) == 12 * weights + kept
    assert cost.process_bytes(**many, devices=2) == 16 * weights + kept


def test_the_seconds_of_an_exchange(counted):
    """Two devices send half of the bytes twice; many send nearly all of them twice."""
    assert cost.exchange_seconds(8e9, 1, 1e9) == 0
    assert cost.exchange_seconds(8e9, 2, 1e9) == 8
    assert cost.exchange_seconds(8e9, 1000, 1e9) == pytest.approx(16, rel=2e-3)
    assert cost.exchange_seconds(8e9, 2, 1e9, parts=3) == 12
    assert cost.exchange_seconds(0, 9, 1e9, latency=1e-3) == pytest.approx(0.016)
    with pytest.raises(ValueError, match="devices is 0, a run needs at least 1"):
        cost.exchange_seconds(1.0, 0, 1.0)
    with pytest.raises(ValueError, match="bandwidth is 0; give bytes a second"):
        cost.exchange_seconds(1.0, 2, 0)
    with pytest.raises(ValueError, match="devices is 0, a run needs at least 1"):
        cost.process_bytes(100, 8, 2, 32, tokens=1, devices=0)
    counted("fault")
