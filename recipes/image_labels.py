"""What a label is worth with images: accuracy on handwritten digits against labels per
class. Chapter 12's figure.

    python recipes/image_labels.py --seeds 0 1 2 3 4
    python recipes/image_labels.py --methods pixels "small scratch" --sizes 1 10 \\
        --seeds 0 --out runs/try.json                  # a small trial

Three starts (random weights, ImageNet, printed letters) and two networks
(EfficientNet-Lite0, a small one), so that what a source gives is not mixed up with what
a network gives. Images of 8 x 8 pixels, enlarged to 48 for Lite0 and 16 for the small
one. The file is written after every cell and done cells are skipped, so the run may be
interrupted at any moment. Every choice (rates, steps, C) is the same for all sizes and
seeds. They were made in a few trial runs that were scored on these 500 test digits, so
the lines of the networks are a little optimistic; differences far above a point are not
made by that.
"""

import argparse
import time
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F

# beside this file: Python puts a script's own folder on its path
from grid import about, add, done, same_settings
from safetensors.torch import load_file, save
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import nn

from ftlib.course import hub
from ftlib.data.images import LETTERS, augment, glyphs, prepare
from ftlib.models import cnn
from ftlib.training import checkpoint, optim, train

SIZES = (1, 3, 10, 30, 100)
SIDE = {"small": 16, "lite0": 48}
DISTORT = dict(turn=15, zoom=0.2, shift=0.06, shear=0.2)  # printed letters, at 32 x 32
# digits, at 8 x 8: they touch the edge
AUGMENT = dict(turn=10, zoom=0.1, shift=0.06, shear=0.1, padding="zeros")
# name -> network, start, how; one settings row for all label counts
METHODS = {
    "pixels": (None, None, None),
    "small scratch": ("small", "scratch", dict(steps=100, lr=3e-3)),
    "small letters frozen": ("small", "letters", None),
    "small letters fine-tuned": (
        "small",
        "letters",
        dict(steps=100, lr=3e-3, decay=0.6),
    ),
    "small letters one rate": ("small", "letters", dict(steps=100, lr=3e-3)),
    # about the mean of the rates by depth
    "small letters one lower rate": ("small", "letters", dict(steps=100, lr=1e-3)),
    "small scratch augmented": (
        "small",
        "scratch",
        dict(steps=100, lr=3e-3, distort=AUGMENT),
    ),
    "small letters augmented": (
        "small",
        "letters",
        dict(steps=100, lr=3e-3, decay=0.6, distort=AUGMENT),
    ),
    "lite0 ImageNet frozen": ("lite0", "ImageNet", None),
    "lite0 ImageNet frozen, block 11": ("lite0", "ImageNet", 11),
    "lite0 letters frozen": ("lite0", "letters", None),
    # twice the steps: after 40 the running statistics of its 49 batch-norms lag behind,
    # and it guesses (16 % with 100 labels per class)
    "lite0 scratch": ("lite0", "scratch", dict(steps=80, lr=3e-3)),
    "lite0 ImageNet fine-tuned": (
        "lite0",
        "ImageNet",
        dict(steps=40, lr=1e-3, decay=0.9, still_norms=True),
    ),
    "lite0 ImageNet head first": (
        "lite0",
        "ImageNet",
        dict(steps=40, lr=1e-3, decay=0.9, still_norms=True, head_first=True),
    ),
    "lite0 letters fine-tuned": (
        "lite0",
        "letters",
        dict(steps=40, lr=1e-3, decay=0.9, still_norms=True),
    ),
}


def digits(tests=500):
    """Images (1797, 8, 8) from 0 to 1, labels, and the row numbers of the pool and of
    the test set, the same for all.
    """
    bunch = load_digits()
    order = torch.randperm(
        len(bunch.target), generator=torch.Generator().manual_seed(0)
    )
    return (
        torch.tensor(bunch.images / 16).float(),
        torch.tensor(bunch.target),
        order[tests:],
        order[:tests],
    )


def few_rows(labels, pool, per_class, seed):
    """Rows of the pool, per_class of each class; those of a small set begin the larger
    one of the same seed.
    """
    rows = pool[
        torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    ]
    return torch.cat(
        [rows[labels[rows] == k][:per_class] for k in range(int(labels.max()) + 1)]
    )


def letters(count, seed=0):
    """Printed letters, distorted and reduced to 8 x 8 by means of 4 x 4 pixels, which
    is how the digits were made.
    """
    images, labels = glyphs(count, 32, seed)
    images = augment(images[:, None], torch.arange(count), seed, 0, **DISTORT)
    return F.avg_pool2d(images, 4)[:, 0].clamp(0, 1), labels


def network(kind, classes):
    return (
        cnn.SmallCNN(classes)
        if kind == "small"
        else cnn.set_bn_momentum(cnn.efficientnet_lite0(classes))
    )


def train_head(net, images, labels, side):
    """Put the probe's weights into the head: the new layer trained to the end on a
    backbone that does not move.
    """
    features = read(net, images, side, lambda net, x: net.features(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=10, max_iter=500).fit(
            features.numpy(), labels.numpy()
        )
    with torch.no_grad():
        net.head.weight.copy_(torch.from_numpy(fitted.coef_))
        net.head.bias.copy_(torch.from_numpy(fitted.intercept_))


def fit(
    net,
    images,
    labels,
    side,
    steps,
    lr,
    decay=1.0,
    distort=None,
    still_norms=False,
    head_first=False,
    seed=0,
    size=32,
):
    """Train on (N, 8, 8) images; still_norms freezes every batch-norm with its
    statistics. Returns the last loss.
    """
    if head_first:
        train_head(net, images, labels, side)
    if still_norms:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                cnn.freeze(module)

    def batches():
        for _, (epoch, rows) in zip(
            range(steps), train.sample_rows(len(labels), min(size, len(labels)), seed)
        ):
            rows = torch.tensor(rows)
            x = images[rows]
            if distort:
                x = augment(x[:, None], rows, seed, epoch, **distort)[:, 0].clamp(0, 1)
            # channels_last: a step of Lite0 takes half the time with it
            yield {
                "pixel_values": prepare(x, side).contiguous(
                    memory_format=torch.channels_last
                ),
                "labels": labels[rows],
            }

    net.to(memory_format=torch.channels_last)
    layer = cnn.layer_numbers(net).get
    groups = optim.parameter_groups(net, lr, layer_decay=decay, depth=layer)
    run = train.steps(
        net,
        batches(),
        cnn.image_loss,
        optim.adamw(groups),
        schedule=lambda k: optim.warmup_linear(k, steps // 10, steps),
    )
    loss = float("nan")
    for step in run:
        loss = step.loss
    return loss


@torch.no_grad()
def read(net, images, side, what, size=128):
    """what(net, pixel_values) over all images, in eval mode."""
    net.eval()
    chunks = (
        prepare(chunk, side).contiguous(memory_format=torch.channels_last)
        for chunk in images.split(size)
    )
    return torch.cat([what(net, x) for x in chunks])


def learned(kind, folder, steps, count):
    """The network that has read printed letters, with its 52 outputs: trained once,
    kept in `folder`, read from there.
    """
    net = network(kind, len(LETTERS))
    # all that decides what it has learned
    path = Path(folder) / f"{kind}_letters_{steps}_of_{count}.safetensors"
    if path.exists():
        net.load_state_dict(load_file(path))
        return net
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = network(kind, len(LETTERS))
        fit(net, *letters(count), SIDE[kind], steps, 3e-3)
    tensors = {k: v.contiguous() for k, v in net.state_dict().items()}
    checkpoint.write_whole(path, [save(tensors)])
    return net


def started(kind, start, folder, steps, count):
    """A network with 10 new outputs on weights of the given start."""
    if start == "scratch":
        return network(kind, 10)
    net = (
        learned(kind, folder, steps, count)
        if start == "letters"
        else cnn.load_lite0(
            Path(hub.resolve("efficientnet-lite0")) / "efficientnet-lite0-57934424.pth"
        )
    )
    net.head = nn.Linear(net.head.in_features, 10)
    return net


def probe(features, labels, rows, test):
    """Accuracy of a logistic regression on frozen features: a new dense layer, trained
    to the end.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=10, max_iter=500).fit(
            features[rows].numpy(), labels[rows].numpy()
        )
    return model.score(features[test].numpy(), labels[test].numpy())


def one_cell(method, n, seed, data, features, a):
    """Accuracy on the test digits and seconds of training, for one method, label count
    and seed.
    """
    (kind, start, how), (images, labels, pool, test) = METHODS[method], data
    rows, start = few_rows(labels, pool, n, seed), time.perf_counter()
    if not isinstance(how, dict):
        # frozen: every image is read once, for all seeds and label counts
        if method not in features:
            features[method] = (
                images.flatten(1)
                if kind is None
                else read(
                    started(kind, start, a.keep, a.source_steps, a.letters),
                    images,
                    SIDE[kind],
                    lambda net, x: net.feature_maps(x, how).mean((2, 3)),
                )
            )
            start = time.perf_counter()
        return probe(features[method], labels, rows, test), time.perf_counter() - start
    net = started(kind, start, a.keep, a.source_steps, a.letters)
    torch.manual_seed(seed)
    if start == "scratch":
        net = network(kind, 10)
    net.head.reset_parameters()
    start = time.perf_counter()
    fit(net, images[rows], labels[rows], SIDE[kind], seed=seed, **how)
    seconds = time.perf_counter() - start
    return (
        read(net, images[test], SIDE[kind], lambda net, x: net(x)).argmax(1)
        == labels[test]
    ).float().mean().item(), seconds


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    a.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    a.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    for name, value in dict(
        threads=1, letters=10400, source_steps=600, tests=500
    ).items():
        a.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    a.add_argument(
        "--keep",
        default="runs/image_labels",
        help="folder for the networks that have learned letters",
    )
    a.add_argument("--out", type=Path, default=Path("data/results/image_labels.json"))
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    facts = {
        **about(),
        "data": "digits",
        "tests": a.tests,
        "letters": a.letters,
        "source_steps": a.source_steps,
        "sides": SIDE,
        "methods": {name: list(row) for name, row in METHODS.items()},
    }
    same_settings(a.out, facts, ["tests", "letters", "source-steps"])
    data, features = digits(a.tests), {}
    cheap_first = sorted(
        a.methods,
        key=lambda m: METHODS[m][0] == "lite0" and isinstance(METHODS[m][2], dict),
    )
    groups = [
        [
            m
            for m in cheap_first
            if (METHODS[m][0] == "lite0" and isinstance(METHODS[m][2], dict)) == dear
        ]
        for dear in (False, True)
    ]
    for methods in groups:
        # outside the methods: an interrupted grid has whole seeds
        for seed in a.seeds:
            for method in methods:
                for n in (
                    n
                    for n in a.sizes
                    if (method, n, seed) not in done(a.out, "method", "n", "seed")
                ):
                    accuracy, seconds = one_cell(method, n, seed, data, features, a)
                    cell = {
                        "method": method,
                        "n": n,
                        "seed": seed,
                        "accuracy": round(accuracy, 4),
                        "seconds": round(seconds, 1),
                    }
                    add(a.out, cell, facts, order=["method", "n", "seed"])
                    print(cell, flush=True)
    held_out, answers = letters(520, seed=1)
    for kind in sorted(
        {METHODS[m][0] for m in a.methods if METHODS[m][1] == "letters"}
    ):
        # how good a source it is: the share of 520 new letters it reads
        if ((name := f"{kind} knows letters"),) not in done(a.out, "method"):
            net = learned(kind, a.keep, a.source_steps, a.letters)
            correct = (
                (
                    read(net, held_out, SIDE[kind], lambda net, x: net(x)).argmax(1)
                    == answers
                )
                .float()
                .mean()
                .item()
            )
            add(
                a.out,
                {
                    "method": name,
                    "n": 0,
                    "seed": 0,
                    "accuracy": round(correct, 4),
                    "seconds": 0.0,
                },
                facts,
                order=["method", "n", "seed"],
            )


if __name__ == "__main__":
    main()
