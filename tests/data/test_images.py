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
