"""Convolutional networks to read, freeze and fine-tune: EfficientNet-Lite0 and a small one, with images that need no network.

Use it:

    >>> net = efficientnet_lite0(classes=10).eval()             # random weights; `load_lite0(path)` for ImageNet's
    >>> x = prepare(torch.rand(2, 8, 8), size=32)               # grey images, values 0 to 1
    >>> x.shape, net.maps(x).shape, net(x).shape
    (torch.Size([2, 3, 32, 32]), torch.Size([2, 1280, 1, 1]), torch.Size([2, 10]))
    >>> freeze(net.stem), freeze(net.blocks[:12])               # batch-norm inside stays as it is, even after net.train()
    (0, 0)
    >>> groups = rates_by_depth(net, lr=1e-3, decay=0.5)        # the head learns at lr, what lies deeper more slowly
    >>> sorted({group["lr"] for group in groups}, reverse=True)
    [0.001, 0.0005, 0.00025, 0.000125, 6.25e-05, 3.125e-05]

    net = load_lite0(hub.resolve("efficientnet-lite0") + "/efficientnet-lite0-57934424.pth")
    loss = train.steps(net, batches, image_loss, optim.adamw(groups))

Batches are {"pixel_values": (B, 3, S, S), "labels": (B,)}, as transformers' image models read them.
What it is not: a zoo of models, nor a loader of image files. Weights are EfficientNet-Lite0's (Tan & Le 2019; the Lite
variants of 2020: ReLU6, no squeeze-excitation). Needs: torch; matplotlib and Pillow for `glyphs` alone.
Shapes: B images, C channels, S side in pixels, W width of the features, K classes.
"""

import re

import torch
import torch.nn.functional as F
from torch import nn

# repeats, kernel, stride of the first, expansion, channels out: the table of EfficientNet-B0, which Lite0 shares
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif",
         "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmb10", "cmss10",
         "cmtt10", "cmmi10")


class SameConv(nn.Conv2d):
    """A convolution that pads as TensorFlow does: the output has ceil(side / stride), and an odd pixel of padding goes
    to the right and to the bottom. With stride 2 torch's padding=k//2 looks one pixel further up and to the left."""

    def forward(self, x):
        k, stride = self.kernel_size[0], self.stride[0]
        down, right = (max((-(-side // stride) - 1) * stride + k - side, 0) for side in x.shape[2:])
        if down % 2 or right % 2:  # only where the two sides differ: a padded copy costs time
            x = F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
            return F.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)
        return F.conv2d(x, self.weight, self.bias, stride, (down // 2, right // 2), 1, self.groups)


def conv_norm(inputs, outputs, kernel=1, stride=1, groups=1, act=True):
    """Convolution without a bias, batch-norm (which has one), ReLU6: (B, inputs, S, S) -> (B, outputs, S / stride, ...)."""
    conv = SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False)
    # eps and momentum of the published model; torch's own defaults are 1e-5 and 0.1
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01), *[nn.ReLU6()] * act)


class Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): widen by 1x1, look around in each channel alone, narrow by 1x1, add."""

    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        inner = inputs * expansion
        self.expand = conv_norm(inputs, inner) if expansion > 1 else nn.Identity()
        self.depthwise = conv_norm(inner, inner, kernel, stride, groups=inner)
        self.project = conv_norm(inner, outputs, act=False)  # no ReLU: it would throw away what few channels hold
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class Network(nn.Module):
    """A backbone (stem, blocks, top), mean pooling, and a head that may be any module from (B, W) to (B, K)."""

    def __init__(self, stem, blocks, top, head):
        super().__init__()
        self.stem, self.blocks, self.top, self.head = stem, nn.ModuleList(blocks), top, head

    def maps(self, x, depth=None):
        """(B, 3, S, S) -> the feature maps behind `depth` blocks (0: the stem), or behind the top if it is None."""
        x = self.stem(x)
        for block in self.blocks[:depth]:
            x = block(x)
        return self.top(x) if depth is None else x

    def features(self, x):
        """(B, 3, S, S) -> (B, W): the mean of each map, whatever its size. So any image size fits the head."""
        return self.maps(x).mean((2, 3))

    def forward(self, pixel_values):
        return self.head(self.features(pixel_values))

    def train(self, mode=True):
        """As torch's, but a batch-norm whose gain is frozen stays in eval: its running statistics are weights too."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d) and not part.weight.requires_grad:
                part.eval()
        return self


def efficientnet_lite0(classes=1000, stem_stride=2):
    """EfficientNet-Lite0 with random weights -> Network with W = 1280. stem_stride=1 keeps small images twice as large."""
    blocks, channels = [], 32
    for repeats, kernel, stride, expansion, outputs in STAGES:
        for i in range(repeats):
            blocks.append(Block(channels, outputs, kernel, stride if i == 0 else 1, expansion))
            channels = outputs
    return Network(conv_norm(3, 32, 3, stem_stride), blocks, conv_norm(channels, 1280), nn.Linear(1280, classes))


def small(classes, width=24):
    """A network of 4 plain convolutions for small images -> Network with W = 4 * width."""
    blocks = [conv_norm(width, 2 * width, 3, 2), conv_norm(2 * width, 4 * width, 3, 2)]
    net = Network(conv_norm(3, width, 3), blocks, conv_norm(4 * width, 4 * width, 3), nn.Linear(4 * width, classes))
    return follow_faster(net)


def follow_faster(net, momentum=0.1):
    """Let the running statistics of batch-norm follow within 1 / momentum steps: 0.01 needs hundreds, short runs have tens."""
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = momentum
    return net


def load_lite0(path, stem_stride=2):
    """The published file of 296 tensors -> Network in eval mode with ImageNet's 1000 classes.

    Read with weights_only=True, so that the file can hold numbers and nothing that runs; check its SHA-256 before (hub.py
    does). Raises RuntimeError if a tensor is missing, left over, or has another shape.
    """
    names = ((r"^_conv_stem", "stem.0"), (r"^_bn0", "stem.1"), (r"^_conv_head", "top.0"), (r"^_bn1", "top.1"), (r"^_fc", "head"),
             (r"^_blocks", "blocks"), (r"_expand_conv", "expand.0"), (r"_bn0", "expand.1"), (r"_depthwise_conv", "depthwise.0"),
             (r"_bn1", "depthwise.1"), (r"_project_conv", "project.0"), (r"_bn2", "project.1"))
    state = {}
    for key, value in torch.load(path, map_location="cpu", weights_only=True).items():
        for theirs, ours in names:
            key = re.sub(theirs, ours, key)
        state[key] = value
    net = efficientnet_lite0(stem_stride=stem_stride)
    net.load_state_dict(state, strict=True)
    return net.eval()


def prepare(images, size):
    """Grey (B, h, w) or colour (B, 3, h, w), values 0 to 1 -> (B, 3, size, size) as the published model was trained to read.

    Raises ValueError for values of 0 to 255, which would reach the network 255 times too large.
    """
    if images.max() > 1.001 or images.min() < -0.001:
        raise ValueError(f"values reach from {images.min():.3g} to {images.max():.3g}, 0 to 1 is needed; "
                         "divide by 255 (digits: by 16)")
    images = images[:, None].expand(-1, 3, -1, -1) if images.ndim == 3 else images
    if images.shape[2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False)
    return (images * 255 - 127) / 128  # the mean and deviation of the Lite models, not the (0.485, ...) of most others


def image_loss(net, batch):
    """Cross-entropy in nats, summed over the labels that are not -100, from logits: no softmax before it."""
    out = net(batch["pixel_values"])
    return F.cross_entropy(getattr(out, "logits", out).float(), batch["labels"], reduction="sum")


def freeze(part, frozen=True):
    """Stop (or, frozen=False, let) a part's weights learn -> how many of its weights still do."""
    for p in part.parameters():
        p.requires_grad = not frozen
    return sum(p.numel() for p in part.parameters() if p.requires_grad)


def rates_by_depth(net, lr, decay=0.8, weight_decay=0.01):
    """Groups for an optimizer: the head learns at lr, each part below it at `decay` times the rate of the one above."""
    groups = []
    for below, part in enumerate([net.head, net.top, *reversed(net.blocks), net.stem]):
        learns = [p for p in part.parameters() if p.requires_grad]
        for matrix in (True, False):  # weight decay pulls to zero, which makes sense for kernels and not for gains and biases
            params = [p for p in learns if (p.ndim >= 2) == matrix]
            rate = lr * decay**below
            if params:
                groups.append({"params": params, "lr": rate, "initial_lr": rate, "weight_decay": weight_decay * matrix})
    if not groups:
        raise ValueError("0 parameters have requires_grad=True, training needs at least one; unfreeze a part or the head")
    return groups


def augment(images, index, seed, epoch, turn=10.0, zoom=0.1, shift=0.1, shear=0.1, padding="border"):
    """Images (B, C, h, w) turned (degrees), zoomed, shifted (share of the side) and sheared, each within the given limits.

    What happens to an image depends on (seed, epoch, its row number `index`) alone, as a mask does in mlm.py.
    padding: what comes in from outside, "border" (the edge goes on: photographs) or "zeros" (black: digits that touch the edge).
    """
    draws = []
    for i in index.tolist():
        generator = torch.Generator().manual_seed(((seed * 1_000_003 + epoch) * 1_000_000_007 + i) % 2**63)
        draws.append(torch.rand(6, generator=generator) * 2 - 1)
    u = torch.stack(draws)
    angle, lean = torch.deg2rad(turn * u[:, 0]), shear * u[:, 1]
    sx, sy = 1 + zoom * u[:, 2], 1 + zoom * u[:, 3]
    cos, sin = angle.cos(), angle.sin()
    # affine_grid's coordinates reach from -1 to 1, so a share of the side counts twice
    across = torch.stack([cos * sx, lean - sin * sy, 2 * shift * u[:, 4]], 1)
    down = torch.stack([sin * sx, cos * sy, 2 * shift * u[:, 5]], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def glyphs(count, size=32, seed=0, characters=LETTERS, fonts=FONTS):
    """Printed characters in many fonts and sizes -> images (count, size, size), white on black, 0 to 1, and labels (count,).

    Label k is characters[k]; every character comes equally often. The fonts are those inside matplotlib.
    """
    from pathlib import Path

    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder, generator = Path(matplotlib.get_data_path()) / "fonts" / "ttf", torch.Generator().manual_seed(seed)
    images, labels = torch.empty(count, size, size), torch.arange(count) % len(characters)
    for i, label in enumerate(labels.tolist()):
        u = torch.rand(2, generator=generator).tolist()
        font = ImageFont.truetype(folder / f"{fonts[int(u[0] * len(fonts))]}.ttf", round(size * (0.9 + 0.5 * u[1])))
        page = Image.new("L", (size, size))
        ImageDraw.Draw(page).text((size / 2, size / 2), characters[label], fill=255, font=font, anchor="mm")
        images[i] = torch.tensor(list(page.tobytes())).view(size, size) / 255
    return images, labels
