"""Low-rank parts against peft (outputs, gradients, files) and against the formula of Hu
et al. 2021, on small random models.
"""

import json

import pytest
import torch
from torch import nn

from ftlib.models import lora, transformer


def bert(seed=0):
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    return BertModel(
        BertConfig(
            vocab_size=60,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=12,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        add_pooling_layer=False,
    ).eval()


def own(seed=0):
    torch.manual_seed(seed)
    return transformer.Transformer(
        transformer.Config(
            vocab_size=60, width=16, layers=2, heads=2, ffn_dim=32, max_tokens=12
        )
    ).eval()


IDS = torch.randint(3, 60, (3, 7), generator=torch.Generator().manual_seed(1))
MODELS = {
    "transformers": (bert, ["query", "value"]),
    "transformers, all": (bert, ["query", "key", "value", "dense"]),
    "ftlib": (own, ["qkv"]),
    "ftlib, all": (own, ["qkv", "out", "up", "down"]),
}


def fill(net, seed=3, size=0.3):
    """Numbers into A and B, as if trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.requires_grad:
                weight.copy_(size * torch.randn(weight.shape, generator=generator))


def hidden(net):
    with torch.no_grad():
        return net(IDS).last_hidden_state


@pytest.mark.parametrize("name", MODELS)
def test_a_new_part_changes_nothing_and_a_filled_one_does(name):
    build, targets = MODELS[name]
    net = build()
    before = hidden(net)
    lora.add(net, targets, rank=2)
    assert torch.equal(hidden(net), before)
    fill(net)
    assert (hidden(net) - before).abs().max() > 0.01


@pytest.mark.parametrize("name", MODELS)
def test_merged_equals_part_and_removed_equals_base(name):
    build, targets = MODELS[name]
    net = build()
    before, kinds = hidden(net), [type(m) for m in net.modules()]
    lora.add(net, targets, rank=2, alpha=3)
    fill(net)
    with_part, held = hidden(net), lora.adapter_state_dict(net)
    lora.unload(net)
    assert torch.equal(hidden(net), before)
    lora.add(net, targets, rank=2, alpha=3)
    lora.load_state(net, held)
    assert torch.equal(hidden(net), with_part)
    lora.merge(net)
    assert (hidden(net) - with_part).abs().max() < 1e-5 and [
        type(m) for m in net.modules()
    ] == kinds
    assert not torch.equal(hidden(net), before)


def test_one_layer_is_the_formula():
    torch.manual_seed(0)
    base = nn.Linear(10, 6).double()
    part, x = lora.LoRALinear(base, 3, 12).double(), torch.randn(4, 10).double()
    with torch.no_grad():
        part.B.normal_()
    wanted = x @ (base.weight + 12 / 3 * part.B @ part.A).T + base.bias
    assert (part(x) - wanted).abs().max() < 1e-12 and (
        part.delta_weight() - 4 * part.B @ part.A
    ).abs().max() < 1e-12


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rank", [1, 4])
def test_count_by_formula_is_what_trains(name, rank):
    build, targets = MODELS[name]
    net = build()
    said = lora.count(net, targets, rank)
    lora.add(net, targets, rank)
    assert (
        said
        == lora.trainable(net)
        == sum(t.numel() for t in lora.adapter_state_dict(net).values())
    )


def test_the_base_gets_no_gradient_and_at_the_start_a_gets_zero():
    net = bert()
    lora.add(net, ["query", "value"], 2)
    net(IDS).last_hidden_state[..., 0].square().sum().backward()
    with_grad = {name for name, p in net.named_parameters() if p.grad is not None}
    assert with_grad == {
        name for name, _ in net.named_parameters() if name.endswith((".A", ".B"))
    }
    parts = [m for m in net.modules() if isinstance(m, lora.LoRALinear)]
    assert all(not part.A.grad.any() and part.B.grad.any() for part in parts)


def test_dropout_is_for_the_part_in_training_alone():
    net = bert()
    lora.add(net, ["query"], 2, dropout=0.5)
    fill(net)
    assert torch.equal(hidden(net), hidden(net))
    net.train()
    assert not torch.equal(hidden(net), hidden(net))


def test_half_precision_base_keeps_float32_parts():
    net = bert().to(torch.bfloat16)
    lora.add(net, ["query", "value"], 2)
    fill(net)
    assert {p.dtype for p in net.parameters() if p.requires_grad} == {
        torch.float32
    } and hidden(net).dtype == torch.bfloat16
    lora.merge(net)
    assert {p.dtype for p in net.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("half", [False, True])
def test_saved_opens_in_peft_and_back(tmp_path, half):
    import peft

    net = bert()
    lora.add(net, ["query", "attention.output.dense"], rank=3, alpha=5)
    fill(net)
    ours = hidden(net)
    lora.save(net, tmp_path / "ours", base="somewhere", half=half)
    assert sorted(p.name for p in (tmp_path / "ours").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    opened = peft.PeftModel.from_pretrained(bert(), tmp_path / "ours").eval()
    assert (hidden(opened) - ours).abs().max() < (1e-6 if not half else 5e-3)
    assert opened.peft_config["default"].base_model_name_or_path == "somewhere"
    opened.save_pretrained(tmp_path / "peft")
    back = bert()
    names = lora.load(back, tmp_path / "peft")
    assert len(names) == 4 and (hidden(back) - hidden(opened)).abs().max() < 1e-6


def test_same_start_gives_pefts_training():
    """Equal A and B at the start: losses of 12 AdamW steps agree, and so do the tensors
    at the end.
    """
    import peft

    ours, theirs = (
        bert(),
        peft.get_peft_model(
            bert(),
            peft.LoraConfig(r=2, lora_alpha=6, target_modules=["query", "value"]),
        ),
    )
    lora.add(ours, ["query", "value"], 2, 6)
    start = {
        name.removeprefix("base_model.model."): t
        for name, t in peft.get_peft_model_state_dict(theirs).items()
    }
    lora.load_state(ours, start)
    losses = []
    for net in (ours, theirs):
        optimizer = torch.optim.AdamW(
            [p for p in net.parameters() if p.requires_grad], lr=1e-2
        )
        for _ in range(12):
            loss = (net(IDS).last_hidden_state[..., :4] - 1).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    assert (
        losses[0] == pytest.approx(losses[12], abs=1e-6)
        and losses[11] < 0.9 * losses[0]
    )
    assert max(abs(a - b) for a, b in zip(losses[:12], losses[12:])) < 1e-5
    end = {
        name.removeprefix("base_model.model."): t
        for name, t in peft.get_peft_model_state_dict(theirs).items()
    }
    assert all(
        (end[name] - t).abs().max() < 1e-4
        for name, t in lora.adapter_state_dict(ours).items()
    )


def test_an_adapter_is_written_into_a_folder_that_is_not_there_yet(tmp_path):
    net = bert()
    lora.add(net, ["query"], 2)
    folder = tmp_path / "runs" / "mine"
    for _ in range(2):  # and over itself
        lora.save(net, folder)
    assert (folder / lora.CONFIG).is_file()


@pytest.mark.parametrize(
    "key, value",
    [
        ("use_dora", True),
        ("use_rslora", True),
        ("bias", "all"),
        ("peft_type", "IA3"),
        ("rank_pattern", {"query": 4}),
        ("modules_to_save", ["classifier"]),
    ],
)
def test_other_kinds_are_refused(tmp_path, key, value, counted):
    net = bert()
    lora.add(net, ["query"], 2)
    lora.save(net, tmp_path)
    config = json.loads((tmp_path / lora.CONFIG).read_text(encoding="utf-8"))
    (tmp_path / lora.CONFIG).write_text(
        json.dumps(config | {key: value}), encoding="utf-8"
    )
    with pytest.raises(ValueError, match=key):
        lora.load(bert(), tmp_path)
    counted("fault")


def test_errors_say_what_is_there(counted):
    net = bert()
    with pytest.raises(
        ValueError,
        match="no linear layer is named qkv; the model has dense, key, query, value",
    ):
        lora.add(net, ["query", "qkv"])
    with pytest.raises(ValueError, match="no target"):
        lora.add(net, [])
    with pytest.raises(ValueError, match="rank is 17.*1 to 16"):
        lora.add(net, ["query"], rank=17)
    # nothing was changed by the refused calls
    assert all(p.requires_grad for p in net.parameters())
    with pytest.raises(ValueError, match="carries no adapter"):
        lora.save(net, "unused")
    lora.add(net, ["query"], rank=2)
    with pytest.raises(ValueError, match="carry an adapter already"):
        lora.add(net, ["value"])
    other = bert()
    lora.add(other, ["query"], rank=3)
    before = lora.adapter_state_dict(other)
    with pytest.raises(ValueError, match=r"shape \(2, 16\), the model's \(3, 16\)"):
        lora.load_state(other, lora.adapter_state_dict(net))
    assert all(
        torch.equal(before[k], v) for k, v in lora.adapter_state_dict(other).items()
    )
    other = bert()
    lora.add(other, ["value"], rank=2)
    with pytest.raises(ValueError, match="alone"):
        lora.load_state(other, lora.adapter_state_dict(net))
    with pytest.raises(ValueError, match="none at all"):
        lora.add(nn.Conv1d(2, 2, 1), ["query"])
    counted("fault", 8)


def test_targets_match_whole_words():
    net = nn.ModuleDict(
        {
            "key": nn.Linear(4, 4),
            "monkey": nn.Linear(4, 4),
            "a": nn.ModuleDict({"key": nn.Linear(4, 4)}),
        }
    )
    assert lora.target_modules(net, ["key"]) == [
        "key",
        "a.key",
    ] and lora.target_modules(net, ["a.key"]) == ["a.key"]


# ---- tied weights ----


def gpt2(seed=0):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=60,
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=12,
        bos_token_id=None,
        eos_token_id=None,
    )
    return GPT2LMHeadModel(config).eval()


def test_merge_moves_no_other_owner_of_a_tied_weight(tmp_path, counted):
    """lm_head is the embedding: written into it, the adapter of the one would move what
    every token looks like.
    """
    net = gpt2()
    assert net.lm_head.weight is net.transformer.wte.weight
    embedding = net.transformer.wte.weight.detach().clone()
    assert lora.add(net, ["lm_head"], rank=2, alpha=4) == ["lm_head"]
    fill(net)
    with torch.no_grad():
        adapted = net(IDS).logits
        delta = net.lm_head.delta_weight()
        lora.merge(net)
        assert torch.equal(net.transformer.wte.weight, embedding)
        assert (net(IDS).logits - adapted).abs().max() < 1e-5
        # the control: what one weight for both would give
        net.lm_head.weight = net.transformer.wte.weight
        net.transformer.wte.weight += delta
        assert (net(IDS).logits - adapted).abs().max() > 0.1
    counted("fault")


def test_a_merged_head_that_was_tied_comes_back_from_a_folder(tmp_path):
    from transformers import GPT2LMHeadModel

    net = gpt2()
    lora.add(net, ["lm_head"], rank=2)
    fill(net)
    lora.merge(net)
    net.config.tie_word_embeddings = False
    net.save_pretrained(tmp_path)
    again = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert (again(IDS).logits - net(IDS).logits).abs().max() < 1e-6


def test_two_layers_with_one_weight_are_merged_apart():
    net = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "c": own()})
    net["b"].weight = net["a"].weight
    start, x = net["a"].weight.detach().clone(), torch.randn(3, 4)
    lora.add(net, ["a", "b"], 2)
    fill(net)
    with torch.no_grad():
        before = [net[name](x) for name in "ab"]
        lora.merge(net)
        after = [net[name](x) for name in "ab"]
    assert all((p - q).abs().max() < 1e-5 for p, q in zip(before, after))
    assert not torch.equal(net["a"].weight, start)
    assert not any(net[name].weight.requires_grad for name in "ab")


@pytest.mark.parametrize(
    "key, value",
    [
        ("lora_bias", True),
        ("layer_replication", [[0, 1]]),
        ("alora_invocation_tokens", [3]),
        ("trainable_token_indices", [1]),
        ("use_qalora", True),
        ("init_lora_weights", "pissa"),
        ("init_lora_weights", "olora"),
        ("arrow_config", {"top_k": 1}),
        ("an_option_of_tomorrow", 1),
    ],
)
def test_an_option_that_changes_the_numbers_is_refused(tmp_path, key, value, counted):
    net = bert()
    lora.add(net, ["query"], 2)
    lora.save(net, tmp_path)
    config = json.loads((tmp_path / lora.CONFIG).read_text(encoding="utf-8"))
    for harmless in ("gaussian", True):
        config["init_lora_weights"] = harmless
        (tmp_path / lora.CONFIG).write_text(json.dumps(config), encoding="utf-8")
        lora.load(bert(), tmp_path)
    (tmp_path / lora.CONFIG).write_text(
        json.dumps(config | {key: value}), encoding="utf-8"
    )
    with pytest.raises(ValueError, match=f"{key}=.*open it with peft"):
        lora.load(bert(), tmp_path)
    counted("fault")
