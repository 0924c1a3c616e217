"""int8 and int4 against onnxruntime, pruning against torch.nn.utils.prune, heads that
are gone against heads that are silenced, and a clock that is fair.
"""

import copy

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn.utils import prune

from ftlib.deploy import compress
from ftlib.models import transformer
from ftlib.objectives import classify

W = torch.randn(48, 64, generator=torch.Generator().manual_seed(0))
W[3] *= 20  # one output far larger than the others


def net(seed=0):
    torch.manual_seed(seed)
    config = transformer.Config(60, 32, 3, 4, 64, 16, pre_norm=False, init_std=0.3)
    return classify.Classifier(transformer.Transformer(config), 2, dropout=0.0)


IDS = torch.randint(5, 60, (8, 9), generator=torch.Generator().manual_seed(1))
BATCH = {
    "input_ids": IDS,
    "attention_mask": (torch.arange(9) < torch.tensor([[9], [5]] * 4)).long(),
    "labels": torch.tensor([0, 1] * 4),
}


def runtime(kind, results, given, **attributes):
    """What onnxruntime computes for one node; results: {name: type}."""
    inputs = [
        helper.make_tensor_value_info(
            k, helper.np_dtype_to_tensor_dtype(v.dtype), list(v.shape)
        )
        for k, v in given.items()
    ]
    node = helper.make_node(kind, list(given), list(results), **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        inputs,
        [helper.make_tensor_value_info(k, t, None) for k, t in results.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, given)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_int8_is_onnxruntimes_quantize_linear(axis):
    made = compress.quantize_int8(W, axis)
    scale = made.scale.flatten().numpy()
    more = {} if axis is None else {"axis": axis}
    scale = scale[0] if axis is None else scale
    given = {
        "x": W.numpy(),
        "s": np.asarray(scale),
        "z": np.zeros(np.shape(scale), np.int8),
    }
    (theirs,) = runtime("QuantizeLinear", {"y": TensorProto.INT8}, given, **more)
    np.testing.assert_array_equal(made.values.numpy(), theirs)


@pytest.mark.parametrize("per_channel", [False, True])
def test_int8_is_what_quantize_dynamic_writes(per_channel, tmp_path):
    import onnx
    from onnx import numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 48])],
        [numpy_helper.from_array(W.T.contiguous().numpy(), "w")],
    )
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    onnx.save(model, tmp_path / "a.onnx")
    quantize_dynamic(
        tmp_path / "a.onnx",
        tmp_path / "b.onnx",
        per_channel=per_channel,
        weight_type=QuantType.QInt8,
    )
    stored = {
        t.name: numpy_helper.to_array(t)
        for t in onnx.load(tmp_path / "b.onnx").graph.initializer
    }
    made = compress.quantize_int8(W.T, 1 if per_channel else None)
    np.testing.assert_array_equal(made.values.numpy(), stored["w_quantized"])
    np.testing.assert_array_equal(
        made.scale.numpy().flatten(), stored["w_scale"].flatten()
    )
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(2))
    session = onnxruntime.InferenceSession(tmp_path / "b.onnx")
    theirs = torch.tensor(session.run(None, {"x": x.numpy()})[0])
    ours = compress.quantize_int8(W, 0 if per_channel else None)
    torch.testing.assert_close(
        compress.int8_linear(x, ours), theirs, atol=1e-3, rtol=1e-5
    )


def test_activations_are_onnxruntimes_dynamic_quantize_linear():
    for seed, shift in ((0, 0.0), (1, 3.0), (2, -9.0)):
        x = torch.randn(7, 33, generator=torch.Generator().manual_seed(seed)) + shift
        results = dict(y=TensorProto.UINT8, s=TensorProto.FLOAT, z=TensorProto.UINT8)
        theirs = runtime("DynamicQuantizeLinear", results, {"x": x.numpy()})
        for own, other in zip(compress.quantize_activations(x), theirs):
            np.testing.assert_allclose(own.float().numpy(), other, rtol=1e-6)


@pytest.mark.parametrize("group", [16, 32])
def test_int4_is_onnxruntimes_blocked_quantize_linear(group):
    made = compress.quantize_int4(W, group)
    scale = made.scale.reshape(48, 64 // group).numpy()
    graph = helper.make_graph(
        [
            helper.make_node(
                "QuantizeLinear",
                ["x", "s"],
                ["y"],
                axis=1,
                block_size=group,
                output_dtype=TensorProto.INT4,
            ),
            helper.make_node("Cast", ["y"], ["z"], to=TensorProto.INT8),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [48, 64]),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, scale.shape),
        ],
        [helper.make_tensor_value_info("z", TensorProto.INT8, [48, 64])],
    )
    opset = [helper.make_opsetid("", 21)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (theirs,) = session.run(None, {"x": W.numpy(), "s": scale})
    np.testing.assert_array_equal(made.values.reshape(48, 64).numpy(), theirs)


@pytest.mark.parametrize(
    "quantize",
    [
        compress.quantize_int8,
        lambda w: compress.quantize_int8(w, 0),
        lambda w: compress.quantize_int8(w, 1),
        lambda w: compress.quantize_int4(w, 16),
    ],
)
def test_no_number_moves_by_more_than_half_a_step(quantize, counted):
    made = quantize(W)
    error = (made.dequantize() - W).abs().reshape(made.values.shape)
    assert bool((error <= made.scale / 2 * (1 + 1e-5)).all())
    # the planted fault: cutting off instead of rounding
    cut = (W.reshape(made.values.shape) / made.scale).trunc() * made.scale
    cut_error = (cut - W.reshape(made.values.shape)).abs()
    assert not bool((cut_error <= made.scale / 2 * (1 + 1e-5)).all())
    counted("fault")


def test_more_scales_err_less():
    errors = [
        float((made.dequantize() - W)[:3].square().mean())
        for made in (
            compress.quantize_int8(W),
            compress.quantize_int8(W, 0),
        )
    ]
    assert errors[1] < errors[0] / 20
    fours = [
        float((compress.quantize_int4(W, g).dequantize() - W).square().mean())
        for g in (64, 32, 8)
    ]
    assert fours[0] > fours[1] > fours[2]


def test_zeros_and_bytes():
    zero = compress.quantize_int8(torch.zeros(2, 4), 0)
    assert float(zero.dequantize().abs().sum()) == 0
    assert compress.quantize_int8(W, 0).nbytes() == 48 * 64 + 4 * 48
    assert compress.quantize_int4(W, 32).nbytes() == 48 * 32 + 4 * 96


def test_int4_packs_two_in_a_byte_and_back():
    values = compress.quantize_int4(W, 32).values
    packed = compress.pack_int4(values)
    assert packed.dtype == torch.uint8 and len(packed) == W.numel() // 2
    assert torch.equal(compress.unpack_int4(packed), values.flatten())
    every = torch.arange(-8, 8, dtype=torch.int8)
    assert torch.equal(compress.unpack_int4(compress.pack_int4(every)), every)


def test_simulate_rounds_a_copy_and_counts_its_bytes():
    model = net()
    before = copy.deepcopy(model.state_dict())
    made, size = compress.simulate(model, compress.quantize_int8)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    large = compress.matrices(model)
    rest = sum(p.numel() for p in model.parameters())
    rest -= sum(w.numel() for w in large.values())
    assert size == 4 * rest + sum(w.numel() + 4 for w in large.values())
    name = "encoder.blocks.1.up.weight"
    one, _ = compress.simulate(model, compress.quantize_int8, [name])
    changed = [
        key
        for key, tensor in one.state_dict().items()
        if not torch.equal(tensor, before[key])
    ]
    assert changed == [name] and made is not model
    with pytest.raises(ValueError, match="there is no matrix"):
        compress.simulate(model, compress.quantize_int8, ["up"])


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9])
def test_pruning_is_torchs(fraction):
    model = net()
    ours = compress.prune_magnitude(model, fraction)
    theirs = copy.deepcopy(model)
    for module in theirs.modules():
        if isinstance(module, nn.Linear):
            prune.l1_unstructured(module, "weight", fraction)
            prune.remove(module, "weight")
    for name, own in ours.named_parameters():
        torch.testing.assert_close(own, theirs.get_parameter(name))
    assert abs(compress.zeros(ours) - fraction) < 0.01
    assert compress.zeros(model) == 0


def test_pruning_of_all_together_is_torchs():
    ours = compress.prune_magnitude(net(), 0.5, each=False)
    theirs = net()
    pairs = [(m, "weight") for m in theirs.modules() if isinstance(m, nn.Linear)]
    prune.global_unstructured(pairs, prune.L1Unstructured, amount=0.5)
    for module, _ in pairs:
        prune.remove(module, "weight")
    for name, own in compress.matrices(ours, False).items():
        torch.testing.assert_close(own, theirs.get_parameter(name))


def test_equal_magnitudes_take_no_more_than_their_share():
    model = nn.Sequential(nn.Linear(4, 4))
    nn.init.constant_(model[0].weight, 0.5)
    assert compress.zeros(compress.prune_magnitude(model, 0.25)) == 0.25


def silenced(model, heads):
    """The same heads, multiplied by 0 in place."""
    made = copy.deepcopy(model)
    for layer, head in heads:
        out = made.encoder.blocks[layer].attention.out
        with torch.no_grad():
            out.weight[:, head * 8 : (head + 1) * 8] = 0
    return made


def test_heads_that_are_gone_are_heads_that_are_silent():
    model, gone = net(), [(0, 1), (0, 3), (2, 0)]
    small = compress.prune_heads(model, gone)
    reads = classify.inputs_of(BATCH)
    torch.testing.assert_close(
        small(**reads).logits, silenced(model, gone)(**reads).logits
    )
    assert compress.weight_bytes(small) < compress.weight_bytes(model)
    assert small.encoder.blocks[0].attention.heads == 2


def test_importance_is_the_derivative_of_the_loss():
    model = net()
    found = compress.head_importance(model, [BATCH], classify.classification_loss)
    assert found.shape == (3, 4) and model.training

    def losses(factor, layer, head):
        made = copy.deepcopy(model).eval()
        with torch.no_grad():
            out = made.encoder.blocks[layer].attention.out
            out.weight[:, head * 8 : (head + 1) * 8] *= factor
            z = made(BATCH["input_ids"], BATCH["attention_mask"]).logits
        return torch.nn.functional.cross_entropy(z, BATCH["labels"], reduction="none")

    for layer, head in ((0, 0), (1, 3), (2, 2)):
        each = (losses(1.01, layer, head) - losses(0.99, layer, head)) / 0.02
        # the signs of the texts do not cancel
        assert float(each.sum().abs()) < 0.9 * float(each.abs().sum())
        slope = float(each.abs().mean())
        assert abs(float(found[layer, head]) - slope) < 0.02 * slope + 1e-3
    one_by_one = [{k: v[n : n + 1] for k, v in BATCH.items()} for n in range(8)]
    again = compress.head_importance(model, one_by_one, classify.classification_loss)
    torch.testing.assert_close(again, found)


def test_a_shared_matrix_is_counted_once():
    tied = torch.nn.Sequential(torch.nn.Embedding(20, 40), torch.nn.Linear(40, 20))
    tied[1].weight = tied[0].weight
    assert list(compress.matrices(tied)) == ["0.weight"]
    _, size = compress.simulate(tied, compress.quantize_int8)
    assert 800 < size < 4 * 800


def test_the_clock_takes_turns_and_forgets_the_first_calls():
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    found = compress.time_calls(calls, rounds=4, warmup=2)
    assert order == ["a", "b"] * 6
    assert {k: len(v) for k, v in found.items()} == {"a": 4, "b": 4}
    seconds = [0.1, 0.2, 0.3, 0.9]
    for p in (50, 90, 99):
        assert abs(compress.percentile(seconds, p) - np.percentile(seconds, p)) < 1e-9


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: compress.quantize_int8(torch.ones(2, 2).long()), "is no float"),
        (lambda: compress.quantize_int8(W / 0), "not finite"),
        (lambda: compress.quantize_int4(W, 48), "divides it"),
        (lambda: compress.pack_int4(torch.ones(3, dtype=torch.int8)), "share a byte"),
        (lambda: compress.prune_magnitude(net(), 1.0), "less than 1"),
        (lambda: compress.prune_heads(net(), [(0, 4)]), "no head 4"),
        (lambda: compress.prune_heads(net(), [(1, h) for h in range(4)]), "0 heads"),
        (lambda: compress.time_calls({}, rounds=0), "1 or more"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
