"""ftlib/models/cnn.py: the published weights against a second, functional writing;
frozen parts; padding.
"""

import pathlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import nn

from ftlib.course import hub
from ftlib.data.images import prepare
from ftlib.models import cnn
from ftlib.training import optim, train

FILE = "efficientnet-lite0-57934424.pth"


@pytest.fixture(scope="module")
def path():
    return pathlib.Path(hub.resolve("efficientnet-lite0")) / FILE


@pytest.fixture(scope="module")
def state(path):
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def net(path):
    return cnn.load_lite0(path)


def by_hand(x, state):
    """The network once more, from the file's own names and functions alone; shapes of
    the tensors say kernel and expansion.
    """

    def conv(x, name, stride=1, groups=1):
        w, pad = state[name + ".weight"], []
        for side in x.shape[:1:-1]:  # TensorFlow's "same"
            total = max((-(-side // stride) - 1) * stride + w.shape[-1] - side, 0)
            pad += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pad), w, stride=stride, groups=groups)

    def norm(x, name):
        mean, var, gain, bias = (
            state[f"{name}.{k}"][:, None, None]
            for k in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-3).sqrt() * gain + bias

    x = norm(conv(x, "_conv_stem", 2), "_bn0").clamp(0, 6)
    for i in range(16):
        name, y = f"_blocks.{i}.", x
        if name + "_expand_conv.weight" in state:
            y = norm(conv(y, name + "_expand_conv"), name + "_bn0").clamp(0, 6)
        y = norm(
            conv(
                y, name + "_depthwise_conv", 2 if i in (1, 3, 5, 11) else 1, y.shape[1]
            ),
            name + "_bn1",
        ).clamp(0, 6)
        y = norm(conv(y, name + "_project_conv"), name + "_bn2")
        x = x + y if y.shape == x.shape else y
    x = norm(conv(x, "_conv_head"), "_bn1").clamp(0, 6).mean((2, 3))
    return x @ state["_fc.weight"].T + state["_fc.bias"]


# --- EfficientNet-Lite0
# ------------------------------------------------------------------------------


def test_every_tensor_of_the_file_is_loaded(net, state):
    assert len(state) == len(net.state_dict()) == 296 and not net.training
    assert sum(p.numel() for p in net.parameters()) == 4_652_008
    assert torch.equal(
        net.blocks[3].depthwise[0].weight, state["_blocks.3._depthwise_conv.weight"]
    )
    assert torch.equal(net.top[1].running_var, state["_bn1.running_var"])
    assert torch.equal(net.blocks[15].expand[1].bias, state["_blocks.15._bn0.bias"])


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (1, 3, 45, 61), (1, 3, 224, 224)])
def test_outputs_are_those_of_a_second_writing(net, state, shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(net(x), by_hand(x, state), atol=2e-4)
        # the comparison can fail
        assert not torch.allclose(net(x.flip(3)), by_hand(x, state), atol=2e-2)


@pytest.mark.parametrize("fault", ["missing", "left over", "another shape"])
def test_a_file_that_does_not_fit_is_refused(state, tmp_path, fault):
    changed = dict(state)
    if fault == "missing":
        del changed["_blocks.7._bn1.running_mean"]
    elif fault == "left over":
        changed["_blocks.16._bn1.weight"] = torch.ones(3)
    else:
        changed["_fc.weight"] = torch.zeros(10, 1280)
    torch.save(changed, tmp_path / FILE)
    with pytest.raises(RuntimeError):
        cnn.load_lite0(tmp_path / FILE)


class Planted:
    def __reduce__(self):
        return (print, ("this line must never appear",))


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"_fc.bias": Planted()}, tmp_path / FILE)
    with pytest.raises(Exception, match="[Ww]eights"):
        cnn.load_lite0(tmp_path / FILE)
    assert "never appear" not in capsys.readouterr().out


def test_one_block_is_that_of_transformers(state):
    """transformers has EfficientNet with SiLU and squeeze-excitation; its parts without
    these are an independent block.
    """
    from transformers import EfficientNetConfig
    from transformers.models.efficientnet import modeling_efficientnet as theirs

    config = EfficientNetConfig(hidden_act="relu6", batch_norm_eps=1e-3)
    parts = [
        theirs.EfficientNetExpansionLayer(config, 40, 240, 1),
        theirs.EfficientNetDepthwiseLayer(config, 240, 2, 3, adjust_padding=True),
    ]
    mine = cnn.Block(40, 80, 3, 2, 6).eval()
    for part, conv, own in (
        (parts[0], "expand_conv", mine.expand),
        (parts[1], "depthwise_conv", mine.depthwise),
    ):
        part.eval()
        getattr(part, conv).load_state_dict(own[0].state_dict())
        norm = part.expand_bn if conv == "expand_conv" else part.depthwise_norm
        norm.load_state_dict(own[1].state_dict())
        norm.eps = own[1].eps
    x = torch.randn(2, 40, 14, 14)
    with torch.no_grad():
        assert torch.allclose(
            mine.depthwise(mine.expand(x)), parts[1](parts[0](x)), atol=1e-5
        )


@pytest.mark.parametrize(
    "side, kernel, stride, out",
    [
        (8, 3, 2, 4),
        (7, 3, 2, 4),
        (8, 5, 2, 4),
        (9, 5, 1, 9),
        (2, 5, 2, 1),
        (1, 3, 2, 1),
    ],
)
def test_same_padding(side, kernel, stride, out):
    conv = cnn.SameConv(1, 1, kernel, stride, bias=False)
    x = torch.randn(1, 1, side, side)
    y = conv(x)
    assert y.shape[2:] == (out, out)
    plain = F.conv2d(x, conv.weight, stride=stride, padding=kernel // 2)
    odd = max((out - 1) * stride + kernel - side, 0) % 2
    # the same as torch's unless a pixel is left over
    assert torch.allclose(y, plain, atol=1e-6) != bool(odd)


def test_the_two_photographs(net):
    def top(name, k=3):
        photo = Image.fromarray(load_sample_image(name))
        w, h = photo.size
        c = int(min(w, h) * 0.875)
        photo = photo.crop(
            ((w - c) // 2, (h - c) // 2, (w + c) // 2, (h + c) // 2)
        ).resize((224, 224), Image.BICUBIC)
        x = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            return net(prepare(x, 224))[0].topk(k).indices.tolist()

    assert top("flower.jpg")[0] == 985  # daisy
    assert top("china.jpg")[0] == 698  # palace


# --- frozen parts
# ------------------------------------------------------------------------------


def batches(net, steps=3):
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        yield {
            "pixel_values": torch.randn(4, 3, 32, 32, generator=generator) * 3 + 1,
            "labels": torch.tensor([0, 1, 2, -100]),
        }


def rates(net, lr, decay):
    layer = cnn.layer_numbers(net).get
    return optim.parameter_groups(net, lr, 0.1, layer_decay=decay, depth=layer)


def run(net):
    optimizer = optim.adamw(rates(net, 1e-2, 0.8))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    losses = [
        step.loss for step in train.steps(net, batches(net), cnn.image_loss, optimizer)
    ]
    return losses, {
        k for k, v in net.state_dict().items() if not torch.equal(v, before[k])
    }


def test_frozen_bytes_are_unchanged_and_the_head_learns():
    net = cnn.SmallCNN(3)
    assert [cnn.freeze(part) for part in (net.stem, net.blocks, net.top)] == [0, 0, 0]
    _, changed = run(net)
    assert changed == {"head.weight", "head.bias"}
    assert not net.top[1].training and net.training and net.head.training


def test_plain_train_mode_moves_the_statistics():
    """The planted fault of the clinic: with torch's own train() the same run changes a
    frozen backbone.
    """
    net = cnn.SmallCNN(3)
    for part in (net.stem, net.blocks, net.top):
        cnn.freeze(part)
    net.train = lambda mode=True: nn.Module.train(net, mode)
    _, changed = run(net)
    assert any("running_mean" in name for name in changed)


def test_unfrozen_norms_train_again():
    net = cnn.SmallCNN(3)
    cnn.freeze(net.stem)
    assert cnn.freeze(net.stem, frozen=False) == sum(
        p.numel() for p in net.stem.parameters()
    )
    assert net.train().stem[1].training


def test_rates_fall_with_depth_and_leave_out_what_is_frozen():
    net = cnn.efficientnet_lite0(10)
    # the same numbers a second way: from the head down, part by part
    expected = {
        id(p): 0.5**below
        for below, part in enumerate([net.head, net.top, *net.blocks[::-1], net.stem])
        for p in part.parameters()
    }
    groups = rates(net, 1.0, 0.5)
    assert {id(p): g["lr"] for g in groups for p in g["params"]} == expected
    assert expected[id(net.stem[0].weight)] == 0.5**18
    assert all(
        (p.ndim >= 2) == (g["weight_decay"] > 0) for g in groups for p in g["params"]
    )
    cnn.freeze(net.top)  # a frozen layer still lies between the head and the blocks
    part = {id(p): g["lr"] for g in rates(net, 1.0, 0.5) for p in g["params"]}
    top = {id(p) for p in net.top.parameters()}
    assert part == {p: rate for p, rate in expected.items() if p not in top}
    cnn.freeze(net)
    with pytest.raises(ValueError, match="requires_grad"):
        rates(net, 1.0, 0.5)


def test_layer_numbers():
    net = cnn.SmallCNN(3)
    layer = cnn.layer_numbers(net)
    numbers = [layer.get(name) for name, _ in net.named_parameters()]
    assert numbers == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [None] * 2
    # a head that is as deep as a network is a head all the same
    net.head = cnn.SmallCNN(3)
    assert len(cnn.layer_numbers(net)) == 12


def test_loss_is_the_sum_over_what_is_asked():
    net, batch = cnn.SmallCNN(3).eval(), next(batches(None))
    logits = net(batch["pixel_values"])
    expected = -logits.log_softmax(1)[range(3), batch["labels"][:3]].sum()
    assert torch.allclose(cnn.image_loss(net, batch), expected)


def test_a_model_of_transformers_takes_the_same_batch():
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=4,
        hidden_sizes=[4, 8],
        depths=[1, 1],
        layer_type="basic",
        num_labels=3,
    )
    assert (
        cnn.image_loss(ResNetForImageClassification(config), next(batches(None))).ndim
        == 0
    )
