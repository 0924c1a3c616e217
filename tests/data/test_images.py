"""ftlib/data/images.py: what goes in is prepared, augmented and drawn as it says."""

import re

import pytest
import torch

from ftlib.data.images import FONTS, LETTERS, augment, glyphs, prepare


def test_prepare_normalises_and_refuses_bytes():
    x = prepare(torch.tensor([[[0.0, 1.0]]]).expand(1, 2, 2), 2)
    assert x.shape == (1, 3, 2, 2) and torch.allclose(
        x[0, 0, 0], torch.tensor([-127 / 128, 1.0])
    )
    with pytest.raises(ValueError, match="0 to 1 is needed"):
        prepare(torch.full((1, 3, 4, 4), 200.0), 4)


def test_augment_depends_on_seed_epoch_and_row_alone():
    x = torch.rand(4, 1, 16, 16)
    a = augment(x, torch.arange(4), 0, 0)
    assert torch.equal(a[2:3], augment(x[2:3], torch.tensor([2]), 0, 0))
    for other in (augment(x, torch.arange(4), 1, 0), augment(x, torch.arange(4), 0, 1)):
        assert not torch.allclose(a, other, atol=1e-3)
    still = augment(x, torch.arange(4), 0, 0, turn=0, zoom=0, shift=0, shear=0)
    assert torch.allclose(still, x, atol=1e-5)


def test_augment_keeps_its_limits():
    x = torch.zeros(200, 1, 32, 32)
    x[:, :, 15:17, 15:17] = 1
    moved = augment(x, torch.arange(200), 0, 0, turn=0, zoom=0, shear=0, shift=0.25)
    columns = (moved.sum((1, 2)) * torch.arange(32.0)).sum(1) / moved.sum((1, 2, 3))
    assert 6 < (columns - 15.5).abs().max() <= 8.01


def test_padding_says_what_comes_in_from_outside():
    white = torch.ones(20, 1, 8, 8)
    border, zeros = (
        augment(white, torch.arange(20), 0, 0, padding=padding)
        for padding in ("border", "zeros")
    )
    assert (
        torch.allclose(border, white, atol=1e-5)
        and zeros.min() < 0.5
        and zeros.max() <= 1 + 1e-5
    )


def test_glyphs_are_letters_that_fill_the_page():
    images, labels = glyphs(104, size=24, seed=3)
    again, _ = glyphs(104, size=24, seed=3)
    other, _ = glyphs(104, size=24, seed=4)
    assert torch.equal(images, again) and not torch.equal(images, other)
    assert labels.bincount().tolist() == [2] * 52 and not re.search(r"\d", LETTERS)
    assert (
        images.min() == 0 and images.max() == 1 and (images.mean((1, 2)) > 0.01).all()
    )


def test_no_font_draws_an_empty_box():
    """A font without a letter draws the same box for all; every font must tell A from
    B.
    """
    for font in FONTS:
        pair, _ = glyphs(52, size=24, seed=0, fonts=(font,))
        assert len({image.numpy().tobytes() for image in pair}) == 52, font


@pytest.mark.parametrize(
    "images, words",
    [
        (torch.rand(8, 8), r"images have the shape \(8, 8\); give one or more"),
        (torch.rand(0, 8, 8), r"the shape \(0, 8, 8\)"),
        (torch.rand(2, 3, 0, 8), r"the shape \(2, 3, 0, 8\)"),
        (torch.rand(2, 8, 8, 3), r"the shape \(2, 8, 8, 3\).*permute them"),
        (torch.rand(2, 4, 8, 8), r"the shape \(2, 4, 8, 8\)"),
        (torch.full((2, 8, 8), float("nan")), "values reach from nan to nan"),
        (torch.rand(2, 8, 8) - 1, "values reach from -"),
        (torch.full((1, 8, 8), 255, dtype=torch.uint8), "divide by 255"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images, words, counted):
    with pytest.raises(ValueError, match=words):
        prepare(images, 8)
    counted("fault")


def test_grey_images_of_any_kind_are_prepared_alike():
    grey = (torch.rand(3, 8, 8) > 0.5).float()
    wanted = prepare(grey, 16)
    for images in (
        grey[:, None],
        grey[:, None].expand(-1, 3, -1, -1),
        grey.numpy(),
        grey.to(torch.uint8),
        grey.bool(),
    ):
        assert torch.equal(prepare(images, 16), wanted)
    with pytest.raises(ValueError, match="size is 0"):
        prepare(grey, 0)


@pytest.mark.parametrize(
    "shape, rows",
    [((4, 16, 16), 4), ((4, 1, 16, 16), 3), ((0, 1, 16, 16), 0), ((1, 1, 16, 16), 4)],
)
def test_images_and_row_numbers_belong_together(shape, rows, counted):
    with pytest.raises(
        ValueError, match="give .B, C, h, w., at least one, and the row"
    ):
        augment(torch.rand(shape), torch.arange(rows), 0, 0)
    counted("fault")


def test_row_numbers_may_be_a_list():
    x = torch.rand(2, 1, 8, 8)
    a, b = (augment(x, index, 0, 0) for index in ([3, 5], torch.tensor([3, 5])))
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    "more",
    [
        dict(count=0),
        dict(count=-1),
        dict(size=0),
        dict(characters=""),
        dict(fonts=()),
        dict(fonts="DejaVuSans"),
    ],
)
def test_glyphs_of_nothing_are_refused(more, counted):
    with pytest.raises(ValueError, match="give 1 or more of each, and fonts as a list"):
        glyphs(**(dict(count=2) | more))
    counted("fault")


def test_zoom_keeps_its_limits():
    """A square of 16 pixels keeps within a tenth of its width and of its height."""
    x = torch.zeros(200, 1, 64, 64)
    x[:, :, 24:40, 24:40] = 1
    zoomed = augment(x, torch.arange(200), 0, 0, turn=0, shift=0, shear=0, zoom=0.1)
    for axis in (2, 3):
        side = zoomed.amax((1, 5 - axis)).sum(1)
        assert 16 / 1.1 - 0.2 < side.min() < 15.2 and 16.8 < side.max() < 16 / 0.9 + 0.2
