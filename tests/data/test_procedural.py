from __future__ import annotations

import numpy as np
import pytest

from mm.data import ProceduralCutouts, ProceduralPhotographs, ProceduralTextures
from mm.errors import InputError


def spectral_slope(pictures: list[np.ndarray]) -> float:
    """Exponent p of the mean radial power spectrum f^p of the luminance."""
    side = pictures[0].shape[0]
    window = np.outer(np.hanning(side), np.hanning(side))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    edges = np.geomspace(3 / side, 0.35, 10)
    power = np.zeros(9)
    for picture in pictures:
        grey = picture.astype(float).mean(axis=2)
        spectrum = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
        for band in range(9):
            power[band] += spectrum[(frequency >= edges[band]) & (frequency < edges[band + 1])].mean()
    return float(np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(power), 1)[0])


def test_the_spectrum_falls_as_that_of_photographs() -> None:
    source = ProceduralPhotographs(size=192)
    slope = spectral_slope([source.load(index) for index in range(24)])
    # Ensembles of photographs: −1.8 to −2.8 (Tolhurst et al. 1992; van der Schaaf and van Hateren 1996).
    assert -2.9 < slope < -1.8


def test_the_measurement_of_the_slope_is_right() -> None:
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(192), np.fft.fftfreq(192)))
    frequency[0, 0] = np.inf
    for exponent in (1.0, 2.0):
        noise = np.random.default_rng(0).normal(size=(24, 192, 192))
        pictures = [np.fft.ifft2(np.fft.fft2(field) / frequency ** (exponent / 2)).real for field in noise]
        slope = spectral_slope([np.repeat(picture[..., None], 3, axis=2) for picture in pictures])
        assert slope == pytest.approx(-exponent, abs=0.1)


@pytest.mark.material
def test_real_photographs_have_that_slope_too(material) -> None:
    from mm.data import FolderOfPhotographs

    source = FolderOfPhotographs([str(material / "data" / "backgrounds")])
    slope = spectral_slope([source.load(index)[:256, :256] for index in range(0, 1600, 40)])
    procedural = ProceduralPhotographs(size=256)
    assert slope == pytest.approx(spectral_slope([procedural.load(index) for index in range(40)]), abs=0.4)


def test_pictures_differ_in_the_ways_that_photographs_do() -> None:
    pictures = np.stack([ProceduralPhotographs(size=96).load(index) for index in range(40)]) / 255
    means = pictures.mean(axis=(1, 2))
    assert means.mean() == pytest.approx(0.42, abs=0.1)
    assert means.std(axis=0).min() > 0.05, "pictures have tints and exposures of their own"
    assert pictures.std(axis=(1, 2)).min() > 0.02, "none is flat"
    saturation = pictures.max(axis=3) - pictures.min(axis=3)
    assert 0.05 < saturation.mean() < 0.25


def test_textures_are_smooth_and_hardly_clipped() -> None:
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(192), np.fft.fftfreq(192)))
    source = ProceduralTextures(size=192)
    for picture in (source.load(index) for index in range(20)):
        assert np.isin(picture, (0, 255)).mean() < 0.003
        values = picture.astype(float)
        assert 0.03 < values.std(axis=(0, 1)).mean() / 255 < 0.14
        power = np.abs(np.fft.fft2(values - values.mean(axis=(0, 1)), axes=(0, 1))) ** 2
        # The shortest period of a band is 6 px; the dither, of all frequencies, is what is left above.
        assert power[frequency > 1 / 4].sum() / power.sum() < 0.02
        assert power[frequency < 1 / 200].sum() / power.sum() < 0.01


@pytest.mark.parametrize("source", [ProceduralPhotographs, ProceduralTextures, ProceduralCutouts])
def test_an_image_is_a_function_of_seed_and_number(source: type[ProceduralPhotographs]) -> None:
    first, second, other = source(size=64, seed=4), source(size=64, seed=4), source(size=64, seed=5)
    second.load(0)
    np.testing.assert_array_equal(first.load(7), second.load(7))
    assert not np.array_equal(first.load(7)[:20, :20], first.load(8)[:20, :20])
    assert not np.array_equal(first.load(7)[:20, :20], other.load(7)[:20, :20])
    assert first.identity(7) != other.identity(7)


def test_objects_have_antialiased_masks_texture_and_sometimes_holes() -> None:
    source = ProceduralCutouts(size=96)
    holes = partial = 0
    for index in range(40):
        image = source.load(index)
        alpha = image[..., 3]
        assert image.shape[2] == 4
        assert 48 <= max(image.shape[:2]) <= 96
        assert (alpha == 255).mean() > 0.15
        partial += ((alpha > 0) & (alpha < 255)).sum() > 20
        assert image[alpha == 255][:, :3].std() > 1.5
        holes += _has_hole(alpha)
    assert partial == 40
    assert 3 < holes < 30


def _has_hole(alpha: np.ndarray) -> bool:
    import cv2

    outside = np.pad((alpha < 128).astype(np.uint8), 1, constant_values=1)
    count, _, statistics, _ = cv2.connectedComponentsWithStats(outside, connectivity=4)
    return bool((statistics[1:, cv2.CC_STAT_AREA] > 12).sum() > 1) and count > 2


def test_bad_numbers_are_errors() -> None:
    with pytest.raises(InputError, match="size"):
        ProceduralPhotographs(size=3)
