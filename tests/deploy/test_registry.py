"""The register of adapters: fingerprints, refusals with planted faults, exact sums."""

import json

import pytest
import torch
from torch import nn

from ftlib.deploy import registry
from ftlib.models import lora


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 5))


def filled(seed, rank=2, alpha=4):
    made = net()
    lora.add(made, ["0", "3"], rank, alpha)
    torch.manual_seed(seed)
    for name, weight in made.named_parameters():
        if weight.requires_grad:
            nn.init.normal_(weight)
    return made


def test_fingerprint_is_of_the_base_alone():
    one = registry.fingerprint(net())
    assert (
        len(one) == 64
        and one == registry.fingerprint(net())
        and one
        == registry.fingerprint(filled(1))
        == registry.fingerprint(filled(2, rank=3))
    )


def test_half_precision_file_and_its_copy_are_one_base():
    half = net().half()
    assert (
        registry.fingerprint(half)
        == registry.fingerprint(net().half().float())
        != registry.fingerprint(net())
    )


def _one_number(model):
    model[0].weight.data[0, 0] += 1e-6


def _exchanged(model):
    a, b = model[0].bias.data[0].clone(), model[0].bias.data[1].clone()
    model[0].bias.data[0], model[0].bias.data[1] = b, a


def _merged(model):
    lora.add(model, ["0"], 1)
    model[0].B.data.fill_(0.1)
    lora.merge(model)


@pytest.mark.parametrize("change", [_one_number, _exchanged, _merged])
def test_any_change_of_the_base_is_seen(change, counted):
    model = net()
    change(model)
    assert registry.fingerprint(model) != registry.fingerprint(net())
    counted("fault")


def test_names_and_shapes_count():
    a, b = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)
    nn.init.ones_(a.weight), nn.init.ones_(b.weight)
    assert registry.fingerprint(a) != registry.fingerprint(b)
    assert registry.fingerprint(nn.ModuleDict({"x": a})) != registry.fingerprint(
        nn.ModuleDict({"y": a})
    )


@pytest.fixture
def shelf(tmp_path):
    base = registry.fingerprint(net())
    for number, name in enumerate(("mood", "topic")):
        lora.save(filled(number), tmp_path / name, base="net")
        registry.register(
            tmp_path, name, base, task=name, metric={"accuracy": 0.5 + number / 10}
        )
    return tmp_path


def test_found_parts_load_and_swap(shelf):
    base = net()
    mark = registry.fingerprint(base)
    assert list(registry.read(shelf)) == ["mood", "topic"] and registry.read(shelf)[
        "topic"
    ]["metric"] == {"accuracy": 0.6}
    x, answers = torch.ones(1, 8), []
    for name in ("mood", "topic", "mood"):
        lora.load(base, registry.find(shelf, name, mark))
        answers.append(base(x))
        lora.unload(base)
    assert torch.equal(answers[0], answers[2]) and not torch.equal(
        answers[0], answers[1]
    )


def _flip(shelf):
    path = shelf / "mood" / lora.WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _alpha(shelf):
    path = shelf / "mood" / lora.CONFIG
    path.write_text(
        path.read_text(encoding="utf-8").replace('"lora_alpha": 4', '"lora_alpha": 8'),
        encoding="utf-8",
    )


def _remove(shelf):
    (shelf / "mood" / lora.CONFIG).unlink()


def _extra(shelf):
    (shelf / "mood" / "more.safetensors").write_bytes(b"x")


def _exchange(shelf):
    (shelf / "mood" / lora.WEIGHTS).write_bytes(
        (shelf / "topic" / lora.WEIGHTS).read_bytes()
    )


@pytest.mark.parametrize("damage", [_flip, _alpha, _remove, _extra, _exchange])
def test_altered_files_are_refused(shelf, damage, counted):
    damage(shelf)
    mark = registry.fingerprint(net())
    with pytest.raises(
        ValueError, match="of adapter 'mood' is not the file that was registered"
    ):
        registry.find(shelf, "mood", mark)
    assert damage is _exchange or registry.find(shelf, "topic", mark)
    counted("fault")


def test_wrong_base_and_unknown_name_are_refused_in_one_sentence(shelf, counted):
    other = registry.fingerprint(net(seed=9))
    with pytest.raises(
        ValueError, match="was trained on the base .* load its base"
    ) as caught:
        registry.find(shelf, "mood", other)
    assert "\n" not in str(caught.value) and other[:12] in str(caught.value)
    with pytest.raises(KeyError, match="no adapter 'mod'.*mood, topic"):
        registry.find(shelf, "mod", other)
    counted("fault", 2)


@pytest.mark.parametrize("name", ["../mood", "a/b", "", ".hidden", "a b"])
def test_names_stay_in_the_folder(shelf, name, counted):
    with pytest.raises(ValueError, match="rename"):
        registry.register(shelf, name, "0" * 64, "mood", {})
    counted("fault")


def test_a_part_without_files_is_refused(shelf):
    with pytest.raises(FileNotFoundError, match="0 files"):
        registry.register(shelf, "empty", "0" * 64, "mood", {})
    assert (
        "empty"
        not in json.loads((shelf / registry.REGISTER).read_text(encoding="utf-8"))[
            "adapters"
        ]
    )


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.25, 0.75), (2.0, -1.0)])
def test_combined_product_is_the_sum_of_products(weights):
    a, b = filled(1, rank=2, alpha=4), filled(2, rank=3, alpha=6)
    state = lora.combine(
        [lora.adapter_state_dict(a), lora.adapter_state_dict(b)],
        [2 * w for w in weights],
    )
    both = net()
    lora.add(both, ["0", "3"], rank=5, alpha=5)
    lora.load_state(both, state)
    for layer in (0, 3):
        wanted = (
            weights[0] * a[layer].delta_weight() + weights[1] * b[layer].delta_weight()
        )
        assert (both[layer].delta_weight() - wanted).abs().max() < 1e-5


def test_combine_refuses_what_does_not_fit():
    a, b = lora.adapter_state_dict(filled(1)), lora.adapter_state_dict(filled(2))
    with pytest.raises(ValueError, match="1 adapters and 2 weights"):
        lora.combine([a], [1, 1])
    b.pop("3.lora_B.weight")
    with pytest.raises(ValueError, match="3.lora_B.weight is not in all adapters"):
        lora.combine([a, b], [1, 1])


def test_gap_is_zero_for_equal_parts_and_large_for_strangers():
    a, b = lora.adapter_state_dict(filled(1)), lora.adapter_state_dict(filled(2))
    assert (
        max(lora.factor_average_error([a, a]).values()) < 1e-6
        and min(lora.factor_average_error([a, b]).values()) > 0.3
    )


def test_a_folder_beside_the_files_is_no_file(shelf):
    """Some viewers leave a folder of their own, such as .ipynb_checkpoints."""
    (shelf / "mood" / ".ipynb_checkpoints").mkdir()
    assert registry.find(shelf, "mood", registry.fingerprint(net()))
