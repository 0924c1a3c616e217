"""Convolutional networks to read, freeze and fine-tune: EfficientNet-Lite0 and a small
one.

Use it:

    >>> # random weights; `load_lite0(path)` for ImageNet's
    >>> net = efficientnet_lite0(classes=10).eval()
    >>> # `images.prepare` makes them as the published model reads them
    >>> x = torch.rand(2, 3, 32, 32)
    >>> x.shape, net.feature_maps(x).shape, net(x).shape
    (torch.Size([2, 3, 32, 32]), torch.Size([2, 1280, 1, 1]), torch.Size([2, 10]))
    >>> # batch-norm inside stays as it is, even after net.train()
    >>> freeze(net.stem), freeze(net.blocks[:12])
    (0, 0)
    >>> # for learning rates that fall from the head to the stem
    >>> layer = layer_numbers(net)
    >>> [layer.get(name) for name in ("stem.0.weight", "top.0.weight", "head.bias")]
    [0, 17, None]

    net = load_lite0(hub.resolve("efficientnet-lite0") +
    "/efficientnet-lite0-57934424.pth")
    groups = optim.parameter_groups(net, 1e-3, layer_decay=0.8, depth=layer.get)
    steps = train.steps(net, batches, image_loss, optim.adamw(groups))

Batches are {"pixel_values": (B, 3, S, S), "labels": (B,)}, as transformers' image
models read them. What it is not: a zoo of models. Weights are EfficientNet-Lite0's (Tan
& Le 2019; the Lite variants of 2020: ReLU6, no squeeze-excitation). Needs: torch.
Shapes: B images, C channels, S side in pixels, W width of the features, K classes.
"""

import re

import torch
import torch.nn.functional as F
from torch import nn

# repeats, kernel, stride of the first, expansion, channels out: the table of
# EfficientNet-B0, which Lite0 shares
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A convolution that pads as TensorFlow does: the output has ceil(side / stride),
    and an odd pixel of padding goes to the right and to the bottom. With stride 2
    torch's padding=k//2 looks one pixel further up and to the left.
    """

    def forward(self, x):
        k, stride = self.kernel_size[0], self.stride[0]
        down, right = (
            max((-(-side // stride) - 1) * stride + k - side, 0) for side in x.shape[2:]
        )
        # only where the two sides differ: a padded copy costs time
        if down % 2 or right % 2:
            x = F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
            return F.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)
        return F.conv2d(
            x, self.weight, self.bias, stride, (down // 2, right // 2), 1, self.groups
        )


def conv_norm(inputs, outputs, kernel=1, stride=1, groups=1, act=True):
    """Convolution without a bias, batch-norm (which has one), ReLU6: (B, inputs, S, S)
    -> (B, outputs, S / stride, ...).
    """
    conv = SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False)
    # eps and momentum of the published model; torch's own defaults are 1e-5 and 0.1
    return nn.Sequential(
        conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01), *[nn.ReLU6()] * act
    )


class Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): widen by 1x1, look around in each
    channel alone, narrow by 1x1, add.
    """

    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        self.expand = conv_norm(inputs, hidden) if expansion > 1 else nn.Identity()
        self.depthwise = conv_norm(hidden, hidden, kernel, stride, groups=hidden)
        # no ReLU: it would throw away what few channels hold
        self.project = conv_norm(hidden, outputs, act=False)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class Network(nn.Module):
    """A backbone (stem, blocks, top), mean pooling, and a head that may be any module
    from (B, W) to (B, K).
    """

    def __init__(self, stem, blocks, top, head):
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.top = top
        self.head = head

    def feature_maps(self, x, depth=None):
        """(B, 3, S, S) -> the feature maps behind `depth` blocks (0: the stem), or
        behind the top if it is None.
        """
        x = self.stem(x)
        for block in self.blocks[:depth]:
            x = block(x)
        return self.top(x) if depth is None else x

    def features(self, x):
        """(B, 3, S, S) -> (B, W): the mean of each map, whatever its size. So any image
        size fits the head.
        """
        return self.feature_maps(x).mean((2, 3))

    def forward(self, pixel_values):
        return self.head(self.features(pixel_values))

    def train(self, mode=True):
        """As torch's, but a batch-norm whose gain is frozen stays in eval: its running
        statistics are weights too.
        """
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
                module.eval()
        return self


def efficientnet_lite0(classes=1000, stem_stride=2):
    """EfficientNet-Lite0 with random weights -> Network with W = 1280. stem_stride=1
    keeps small images twice as large.
    """
    blocks, channels = [], 32
    for repeats, kernel, stride, expansion, outputs in STAGES:
        for i in range(repeats):
            blocks.append(
                Block(channels, outputs, kernel, stride if i == 0 else 1, expansion)
            )
            channels = outputs
    return Network(
        conv_norm(3, 32, 3, stem_stride),
        blocks,
        conv_norm(channels, 1280),
        nn.Linear(1280, classes),
    )


class SmallCNN(Network):
    """A network of 4 plain convolutions for small images, (B, 3, S, S) -> (B, classes),
    with W = 4 * width.
    """

    def __init__(self, classes, width=24):
        blocks = [
            conv_norm(width, 2 * width, 3, 2),
            conv_norm(2 * width, 4 * width, 3, 2),
        ]
        top, head = conv_norm(4 * width, 4 * width, 3), nn.Linear(4 * width, classes)
        super().__init__(conv_norm(3, width, 3), blocks, top, head)
        set_bn_momentum(self)


def set_bn_momentum(net, momentum=0.1):
    """Let the running statistics of batch-norm follow within 1 / momentum steps: 0.01
    needs hundreds, short runs have tens.
    """
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    return net


def load_lite0(path, stem_stride=2):
    """The published file of 296 tensors -> Network in eval mode with ImageNet's 1000
    classes.

    Read with weights_only=True, so that the file can hold numbers and nothing that
    runs; check its SHA-256 before (hub.py does). Raises RuntimeError if a tensor is
    missing, left over, or has another shape.
    """
    names = (
        (r"^_conv_stem", "stem.0"),
        (r"^_bn0", "stem.1"),
        (r"^_conv_head", "top.0"),
        (r"^_bn1", "top.1"),
        (r"^_fc", "head"),
        (r"^_blocks", "blocks"),
        (r"_expand_conv", "expand.0"),
        (r"_bn0", "expand.1"),
        (r"_depthwise_conv", "depthwise.0"),
        (r"_bn1", "depthwise.1"),
        (r"_project_conv", "project.0"),
        (r"_bn2", "project.1"),
    )
    state = {}
    for key, value in torch.load(path, map_location="cpu", weights_only=True).items():
        for theirs, ours in names:
            key = re.sub(theirs, ours, key)
        state[key] = value
    net = efficientnet_lite0(stem_stride=stem_stride)
    net.load_state_dict(state, strict=True)
    return net.eval()


def image_loss(net, batch):
    """Cross-entropy in nats, summed over the labels that are not -100, from logits: no
    softmax before it.
    """
    out = net(batch["pixel_values"])
    return F.cross_entropy(
        getattr(out, "logits", out).float(), batch["labels"], reduction="sum"
    )


def freeze(module, frozen=True):
    """Stop (or, frozen=False, let) a module's parameters learn -> how many of them
    still do. A frozen one has no gradient, and so no update and no decay.
    """
    for p in module.parameters():
        p.requires_grad = not frozen
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def layer_numbers(net):
    """{name: layer} of the parameters: 0 in the stem, i + 1 in block i, the next in the
    top. The head has none. `optim.parameter_groups(..., depth=layer_numbers(net).get)`
    makes learning rates that fall from layer to layer.
    """
    layers = enumerate([net.stem, *net.blocks, net.top])
    number = {id(p): k for k, layer in layers for p in layer.parameters()}
    named = net.named_parameters()
    return {name: number[id(p)] for name, p in named if id(p) in number}
