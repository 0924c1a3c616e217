"""Images as tensors: scaled as a published model reads them, augmented by row number,
and letters drawn from fonts.

Use it:

    >>> # grey images, values 0 to 1
    >>> x = prepare(torch.rand(2, 8, 8), size=32)
    >>> x.shape
    torch.Size([2, 3, 32, 32])
    >>> # what happens to an image depends on its row alone
    >>> augment(x, torch.tensor([7, 8]), seed=0, epoch=0).shape
    torch.Size([2, 3, 32, 32])

What it is not: a loader of image files. Needs: torch; matplotlib and Pillow for
`glyphs` alone.
Shapes: B images, h and w their sides in pixels.
"""

import torch
import torch.nn.functional as F

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "cmr10",
    "cmb10",
    "cmss10",
    "cmtt10",
    "cmmi10",
)


def prepare(images, size):
    """Grey (B, h, w) or (B, 1, h, w), or colour (B, 3, h, w), values 0 to 1 ->
    (B, 3, size, size) as the published model was trained to read.

    Raises ValueError for values of 0 to 255, which would reach the network 255 times
    too large, for NaN, for none, and for other shapes. A single image needs [None], or
    its three colours would be taken for three grey images.
    """
    images = torch.as_tensor(images)
    colours = images.shape[1] if images.ndim == 4 else 1
    if images.ndim not in (3, 4) or colours not in (1, 3) or 0 in images.shape:
        raise ValueError(
            f"images have the shape {tuple(images.shape)}; give one or more, (B, h, w) "
            "or (B, 3, h, w), with the colours before the sides (permute them)"
        )
    images = images if images.is_floating_point() else images.float()
    # NaN compares false
    if not (images.max() <= 1.001 and images.min() >= -0.001):
        raise ValueError(
            f"values reach from {images.min():.3g} to {images.max():.3g}, "
            "0 to 1 is needed; "
            "divide by 255 (digits: by 16)"
        )
    if size < 1:
        raise ValueError(f"size is {size}; an image has a side of 1 pixel or more")
    images = images[:, None] if images.ndim == 3 else images
    images = images.expand(-1, 3, -1, -1)  # three times the same grey
    if images.shape[2:] != (size, size):
        images = F.interpolate(
            images, (size, size), mode="bilinear", align_corners=False
        )
    # the mean and deviation of the Lite models, not the (0.485, ...) of most others
    return (images * 255 - 127) / 128


def augment(
    images,
    index,
    seed,
    epoch,
    turn=10.0,
    zoom=0.1,
    shift=0.1,
    shear=0.1,
    padding="border",
):
    """Images (B, C, h, w) turned (degrees), zoomed, shifted (share of the side) and
    sheared, each within the given limits.

    What happens to an image depends on (seed, epoch, its row number `index`) alone, as
    a mask does in mlm.py.
    padding: what comes in from outside, "border" (the edge goes on: photographs) or
        "zeros" (black: digits that touch the edge).
    Raises ValueError for images of another shape, or another number of rows.
    """
    index = torch.as_tensor(index)
    if images.ndim != 4 or 0 in images.shape or index.shape != images.shape[:1]:
        raise ValueError(
            f"images have the shape {tuple(images.shape)}, index {tuple(index.shape)}; "
            "give (B, C, h, w), at least one, and the row number of each, (B,)"
        )
    draws = []
    for i in index.tolist():
        generator = torch.Generator().manual_seed(
            ((seed * 1_000_003 + epoch) * 1_000_000_007 + i) % 2**63
        )
        draws.append(torch.rand(6, generator=generator) * 2 - 1)
    u = torch.stack(draws)
    angle, lean = torch.deg2rad(turn * u[:, 0]), shear * u[:, 1]
    sx, sy = 1 + zoom * u[:, 2], 1 + zoom * u[:, 3]
    cos, sin = angle.cos(), angle.sin()
    # affine_grid's coordinates reach from -1 to 1, so a share of the side counts twice
    across = torch.stack([cos * sx, lean - sin * sy, 2 * shift * u[:, 4]], 1)
    down = torch.stack([sin * sx, cos * sy, 2 * shift * u[:, 5]], 1)
    grid = F.affine_grid(
        torch.stack([across, down], 1), list(images.shape), align_corners=False
    )
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def glyphs(count, size=32, seed=0, characters=LETTERS, fonts=FONTS):
    """Printed characters in many fonts and sizes -> images (count, size, size), white
    on black, 0 to 1, and labels (count,).

    Label k is characters[k]; every character comes equally often. The fonts are those
    inside matplotlib. Raises ValueError for a count or size below 1, no characters, or
    one font's name in place of a list.
    """
    if min(count, size, len(characters)) < 1 or isinstance(fonts, str) or not fonts:
        raise ValueError(
            f"count is {count}, size {size}, characters {characters!r:.40}, fonts "
            f"{fonts!r:.40}; give 1 or more of each, and fonts as a list"
        )
    from pathlib import Path

    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    generator = torch.Generator().manual_seed(seed)
    images = torch.empty(count, size, size)
    labels = torch.arange(count) % len(characters)
    for i, label in enumerate(labels.tolist()):
        u = torch.rand(2, generator=generator).tolist()
        font = ImageFont.truetype(
            folder / f"{fonts[int(u[0] * len(fonts))]}.ttf",
            round(size * (0.9 + 0.5 * u[1])),
        )
        page = Image.new("L", (size, size))
        ImageDraw.Draw(page).text(
            (size / 2, size / 2), characters[label], fill=255, font=font, anchor="mm"
        )
        images[i] = torch.tensor(list(page.tobytes())).view(size, size) / 255
    return images, labels
