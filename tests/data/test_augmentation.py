from __future__ import annotations

import cv2
import numpy as np
import pytest

from mm.data import Augmentation
from mm.data.augmentation import RIM, LayerAugmenter, premultiply
from mm.errors import InputError

PLAIN = Augmentation(colour=0.0, blur=0.0)


def augmenter(augmentation: Augmentation | None = None, height: int = 70, width: int = 90) -> LayerAugmenter:
    return LayerAugmenter(height, width, patch=48, shortest_frame_side=64, augmentation=augmentation)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, channels), dtype=np.uint8)


def ellipse(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(
        mask, (width // 2, height // 2), (width // 2 - 1, height // 2 - 1), 0, 0, 360, 255, -1, cv2.LINE_AA
    )
    pixels = np.dstack((np.full((height, width, 3), colour, np.uint8), mask))
    # What lies under alpha 0 means nothing and must not be seen.
    pixels[mask == 0, :3] = (0, 255, 0)
    return pixels


def test_the_result_depends_on_the_generator_alone() -> None:
    photograph, cutout = noise(100, 130), ellipse(60, 40, (200, 30, 90))
    fresh, used = augmenter(), augmenter()
    for seed in range(20):
        used.background(noise(80, 100), np.random.default_rng(1000 + seed))
    for seed in (5, 3, 3):
        for augment, image in (("background", photograph), ("patch", cutout)):
            one = getattr(fresh, augment)(image, np.random.default_rng(seed))
            other = getattr(used, augment)(image, np.random.default_rng(seed))
            np.testing.assert_array_equal(one, other)


def test_transforms_of_one_call_draw_different_numbers() -> None:
    # If each transform were seeded alike, flipped and unflipped backgrounds would have different mean
    # brightness.
    photograph = np.tile(np.linspace(60, 200, 130).astype(np.uint8)[None, :, None], (100, 1, 3))
    results = [augmenter().background(photograph, np.random.default_rng(seed)) for seed in range(60)]
    flipped = np.array([result[:, 0].mean() > result[:, -1].mean() for result in results])
    means = np.array([result.mean() for result in results])
    assert 15 < flipped.sum() < 45
    assert abs(means[flipped].mean() - means[~flipped].mean()) < 3 * means.std() / np.sqrt(15)


@pytest.mark.parametrize("size", [(70, 90), (300, 200), (71, 400), (40, 50), (20, 17)])
def test_backgrounds_have_the_size_whatever_the_photograph(size: tuple[int, int]) -> None:
    for seed in range(5):
        result = augmenter().background(noise(*size), np.random.default_rng(seed))
        assert result.shape == (70, 90, 3)
        assert result.dtype == np.uint8


def test_backgrounds_are_scaled_between_what_fits_and_twice() -> None:
    # Stripes of a known period: the period of the result is the scale.
    period = 16
    x = np.arange(280)
    row = (127 + 100 * np.sin(2 * np.pi * x / period)).astype(np.uint8)
    photograph = np.tile(row[None, :, None], (140, 1, 3))
    scales = []
    for seed in range(40):
        row = augmenter(PLAIN).background(photograph, np.random.default_rng(seed))[35, :, 0].astype(float)
        spectrum = np.abs(np.fft.rfft((row - row.mean()) * np.hanning(90), 4096))
        scales.append(4096 / np.argmax(spectrum) / period)
    # 70 × 90 out of 140 × 280 fits from 1/2 on.
    assert 0.48 < min(scales) < 0.6
    assert 1.4 < max(scales) < 2.05


def test_objects_are_centred_with_a_transparent_rim_and_premultiplied() -> None:
    for seed in range(60):
        size = np.random.default_rng(seed).integers(40, 200, 2)
        patch = augmenter().patch(ellipse(*size, (250, 240, 230)), np.random.default_rng(seed))
        alpha = patch[..., 3].astype(int)
        assert patch.shape == (48, 48, 4)
        assert max(edge.max() for edge in (patch[:RIM], patch[-RIM:], patch[:, :RIM], patch[:, -RIM:])) == 0
        assert (patch[..., :3] <= patch[..., 3:]).all()
        assert alpha.max() > 200
        y, x = np.mgrid[:48, :48]
        middle = (alpha * x).sum() / alpha.sum(), (alpha * y).sum() / alpha.sum()
        assert np.abs(np.array(middle) - 23.5).max() < 1.0


def test_colour_under_alpha_0_is_never_seen() -> None:
    for seed in range(30):
        cutout = ellipse(90, 60, (200, 40, 90))
        patch = augmenter(PLAIN).patch(cutout, np.random.default_rng(seed)).astype(float)
        visible = patch[..., 3] > 64
        straight = patch[visible, :3] * 255 / patch[visible, 3:]
        # Rounded twice at a quarter of the full alpha: half a level of colour becomes two, twice.
        assert np.abs(straight - (200, 40, 90)).max() < 5


def test_objects_are_scaled_into_the_range_and_never_more_than_twice() -> None:
    settings = Augmentation(object_size=(0.2, 0.6), rotation=0.0, colour=0.0, blur=0.0)
    sides = []
    for seed in range(60):
        alpha = augmenter(settings).patch(ellipse(100, 60, (9, 9, 9)), np.random.default_rng(seed))[..., 3]
        rows, columns = np.flatnonzero(alpha.max(1) > 64), np.flatnonzero(alpha.max(0) > 64)
        sides.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    # 0.2 and 0.6 of 64 px.
    assert 11 <= min(sides) < 17
    assert 33 < max(sides) <= 39
    tiny = [augmenter(settings).patch(ellipse(8, 8, (9, 9, 9)), np.random.default_rng(s)) for s in range(20)]
    assert max(np.ptp(np.flatnonzero(patch[..., 3].max(0))) + 1 for patch in tiny) <= 16


def test_premultiplying_rounds_to_the_nearest() -> None:
    colour, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    rgba = np.dstack((colour, colour, colour, alpha))
    exact = colour.astype(float) * alpha / 255
    assert np.abs(premultiply(rgba)[..., 0] - exact).max() <= 0.5


def test_bad_settings_are_errors() -> None:
    with pytest.raises(InputError, match="rotation is a share"):
        Augmentation(rotation=1.5)
    with pytest.raises(InputError, match="rising fractions"):
        Augmentation(object_size=(0.5, 0.1))
