"""The pyramids as mathematics: reconstruction, tight frame, shift as phase, an independent implementation."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods.pyramids import SteerablePyramid, laplacian

SIZES = [(64, 64), (33, 48), (51, 37), (8, 9)]


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


# --- Laplacian ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_laplacian_reconstructs(size: tuple[int, int]) -> None:
    images = noise(2, 3, *size)
    levels = laplacian.depth(*size)
    parts = laplacian.build(images, levels)
    assert len(parts) == levels + 1
    torch.testing.assert_close(laplacian.collapse(parts), images, atol=1e-6, rtol=0)


def test_reduction_and_expansion_are_the_binomial_kernel() -> None:
    impulse = torch.zeros(1, 17, 17)
    impulse[0, 8, 8] = 1
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    # Every second pixel of the blurred impulse.
    reduced = laplacian.reduce(impulse)[0]
    torch.testing.assert_close(reduced[3:6, 3:6], torch.outer(kernel[::2], kernel[::2]))
    assert reduced.sum() == reduced[3:6, 3:6].sum()
    coarse = torch.zeros(1, 9, 9)
    coarse[0, 4, 4] = 1
    expanded = laplacian.expand(coarse, (17, 17))[0]
    torch.testing.assert_close(expanded[6:11, 6:11], torch.outer(2 * kernel, 2 * kernel))


def test_a_plane_keeps_its_slope_inside() -> None:
    plane = torch.arange(40.0).expand(1, 40, 40)
    coarse = laplacian.reduce(plane)[0]
    torch.testing.assert_close(coarse[:, 1:-1], 2 * torch.arange(1.0, 19).expand(20, 18))
    back = laplacian.expand(coarse[None], (40, 40))[0]
    torch.testing.assert_close(back[:, 4:-4], plane[0, :, 4:-4])


@pytest.mark.parametrize(
    "weights", [(0.5, 2.0, 3.0, 3.0), (0, 0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0), (2.0, 0, 0, 0)]
)
def test_weighted_is_the_collapse_of_weighted_levels(weights: tuple[float, ...]) -> None:
    images = noise(2, 1, 33, 48)
    parts = [w * part for w, part in zip(weights, laplacian.build(images, 3), strict=True)]
    torch.testing.assert_close(
        laplacian.weighted(images, weights), laplacian.collapse(parts), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_longest_wavelength_is_half_in_the_level_and_half_above(level: int) -> None:
    wavelength = laplacian.longest_wavelength(level)
    x = torch.arange(512.0)
    wave = torch.cos(2 * math.pi * x / wavelength).expand(1, 64, 512)
    weights = [1.0] * (level + 1) + [0.0]
    held = laplacian.weighted(wave, weights)[0, 32, 128:384]
    inside = wave[0, 32, 128:384]
    # Projection on the wave itself; what aliases is orthogonal to it.
    assert float(held @ inside / (inside @ inside)) == pytest.approx(0.5, abs=0.02)


# --- steerable ------------------------------------------------------------------------------------


def pyramids(size: tuple[int, int]) -> list[SteerablePyramid]:
    return [
        SteerablePyramid(*size, orientations=k, bandwidth=bandwidth, angular=angular)
        for k, bandwidth, angular in (
            (4, 1.0, "compact"),
            (8, 0.5, "compact"),
            (3, 1.0, "steerable"),
            (4, 0.5, "steerable"),
        )
    ]


@pytest.mark.parametrize("size", [*SIZES, (4, 4)])
def test_steerable_reconstructs_and_is_a_tight_frame(size: tuple[int, int]) -> None:
    images = noise(2, 3, *size)
    pixels = size[0] * size[1]
    for pyramid in pyramids(size):
        parts, high = pyramid.analyse(images), pyramid.highpass(images)
        back = pyramid.synthesise(parts.oriented, parts.lowpass, high)
        torch.testing.assert_close(back, images, atol=5e-6, rtol=0)
        # Squares, each times the pixels that its sample stands for.
        energy = sum(
            float(part.abs().square().sum()) * pixels / band.count
            for band, part in zip(pyramid.bands, pyramid.split(parts.oriented), strict=True)
        )
        energy += float(parts.lowpass.square().sum()) * pixels / math.prod(pyramid.lowpass_size)
        energy += float(high.square().sum())
        assert energy == pytest.approx(float(images.square().sum()), rel=1e-5)


def test_synthesis_is_the_adjoint_of_analysis() -> None:
    """⟨analyse(x), c⟩ = ⟨x, synthesise(c)⟩ for any c, with samples weighted as in the tight frame."""
    pyramid = SteerablePyramid(33, 48)
    images = noise(1, 1, 33, 48)
    generator = torch.Generator().manual_seed(3)
    other = torch.randn(1, 1, pyramid.samples, dtype=torch.complex64, generator=generator)
    left = sum(
        float((a * b.conj()).real.sum()) * 33 * 48 / band.count
        for band, a, b in zip(
            pyramid.bands, pyramid.split(pyramid.analyse(images).oriented), pyramid.split(other), strict=True
        )
    )
    right = float((images * pyramid.synthesise(other)).sum())
    assert left == pytest.approx(right, rel=1e-4)


def wave(height: int, width: int, across: int, down: int, phase: float = 0.0) -> Tensor:
    """A cosine of whole cycles per image."""
    y = torch.arange(height, dtype=torch.float64)[:, None] / height
    x = torch.arange(width, dtype=torch.float64)[None] / width
    return torch.cos(2 * math.pi * (across * x + down * y) + phase).float()[None, None]


@pytest.mark.parametrize(("across", "down"), [(8, 0), (0, 6), (6, 5), (-5, 6), (3, -1)])
@pytest.mark.parametrize("angular", ["compact", "steerable"])
def test_a_shift_turns_the_phase_of_a_wave(across: int, down: int, angular: str) -> None:
    height, width, shift = 60, 72, (0.7, -0.4)
    pyramid = SteerablePyramid(height, width, angular=angular)  # type: ignore[arg-type]
    turn = -2 * math.pi * (across * shift[0] / width + down * shift[1] / height)
    still = pyramid.analyse(wave(height, width, across, down)).oriented
    moved = pyramid.analyse(wave(height, width, across, down, turn)).oriented
    seen = 0
    for band, a, b in zip(pyramid.bands, pyramid.split(still), pyramid.split(moved), strict=True):
        if a.abs().mean() < 1e-3:
            continue
        seen += 1
        # The amplitude of a pure wave is flat; the sign says which of ±k the sector holds.
        assert float(a.abs().std()) < 1e-4
        sign = 1 if across * math.cos(band.angle) + down * math.sin(band.angle) > 0 else -1
        expected = torch.polar(torch.tensor(1.0), torch.tensor(sign * turn))
        torch.testing.assert_close(b, a * expected, atol=1e-5, rtol=0)
    assert seen >= 1


def test_amplitudes_are_those_of_the_image() -> None:
    """A unit wave in the middle of a sector, spread over rings whose squares sum to 1: 1/√2 in all."""
    for bandwidth in (1.0, 0.5):
        pyramid = SteerablePyramid(64, 64, bandwidth=bandwidth)
        parts = pyramid.split(pyramid.analyse(wave(64, 64, 7, 0)).oriented)
        assert sum(float(part.abs().square().mean()) for part in parts) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("orientations", [2, 4])
def test_subbands_agree_with_pyrtools(orientations: int) -> None:
    """Spectra of every subband against an independent implementation."""
    pyrtools = pytest.importorskip("pyrtools")
    size, order = 64, orientations - 1
    image = noise(size, size)
    theirs = pyrtools.pyramids.SteerablePyramidFreq(
        image.double().numpy(), height=3, order=order, is_complex=True
    ).pyr_coeffs
    ours = SteerablePyramid(size, size, orientations=orientations, scales=3, angular="steerable")
    spectra = {}
    for band, part in zip(ours.bands, ours.split(ours.analyse(image[None, None]).oriented), strict=True):
        whole = np.zeros((size, size), dtype=complex)
        tall, wide = band.window.shape
        rows, columns = band.row + np.arange(tall), band.column + np.arange(wide)
        whole[np.ix_(rows % size, columns % size)] = torch.fft.fft2(part[0, 0], norm="forward")[:tall, :wide]
        spectra[band.scale, round(math.degrees(band.angle))] = whole
    matched = set()
    for scale in range(3):
        for k in range(orientations):
            small = np.fft.fft2(theirs[scale, k]) / theirs[scale, k].size
            frequencies = np.fft.fftfreq(len(small), 1 / len(small)).astype(int)
            whole = np.zeros((size, size), dtype=complex)
            whole[np.ix_(frequencies % size, frequencies % size)] = small
            # Opposite sectors are each other's conjugates, and a fixed turn of all phases is convention.
            best = {
                name: max(
                    abs(np.vdot(candidate, whole)) / (np.linalg.norm(candidate) * np.linalg.norm(whole))
                    for candidate in (mine, np.conj(np.roll(mine[::-1, ::-1], (1, 1), (0, 1))))
                )
                for name, mine in spectra.items()
                if name[0] == scale
            }
            name = max(best, key=lambda key: best[key])
            assert best[name] > 1 - 1e-4
            matched.add(name)
    assert len(matched) == 3 * orientations


def test_highpass_and_lowpass_agree_with_pyrtools() -> None:
    pyrtools = pytest.importorskip("pyrtools")
    image = noise(64, 64)
    theirs = pyrtools.pyramids.SteerablePyramidFreq(
        image.double().numpy(), height=3, order=3, is_complex=True
    )
    ours = SteerablePyramid(64, 64, orientations=4, scales=3, angular="steerable")
    high = torch.from_numpy(np.asarray(theirs.pyr_coeffs["residual_highpass"])).float()
    torch.testing.assert_close(ours.highpass(image[None, None])[0, 0], high, atol=2e-4, rtol=0)
    low = np.asarray(theirs.pyr_coeffs["residual_lowpass"])
    lowpass = ours.analyse(image[None, None]).lowpass[0, 0]
    assert float(lowpass.mean()) == pytest.approx(float(image.mean()), abs=1e-6)
    spectrum, other = torch.fft.fft2(lowpass, norm="forward").abs(), np.abs(np.fft.fft2(low)) / low.size
    scale = other[0, 0] / float(spectrum[0, 0])
    for row, column in ((0, 1), (1, 0), (1, 1), (2, 1), (0, 3)):
        assert float(spectrum[row, column]) == pytest.approx(other[row, column] / scale, abs=1e-5)


def test_the_default_goes_down_to_waves_as_long_as_the_image() -> None:
    pyramid = SteerablePyramid(96, 128)
    still = wave(96, 128, 2, 0)  # 64 px long
    assert float(pyramid.analyse(still).lowpass.abs().max()) < 1e-5
    assert pyramid.scales == 5


def test_negligible_subbands_are_passed_over() -> None:
    pyramid = SteerablePyramid(64, 64)
    parts = pyramid.analyse(noise(1, 1, 64, 64)).oriented
    assert pyramid.synthesise(parts, negligible=1e3).abs().max() == 0
    torch.testing.assert_close(pyramid.synthesise(parts, negligible=1e-7), pyramid.synthesise(parts))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"height": 3}, "at least 4×4 px, got 64×3 px"),
        ({"scales": 9}, "64×64 px have at most 5 scales of 1 octaves, got 9"),
        ({"scales": 0}, "at least 1, got 0"),
        ({"orientations": 1}, "from 2 to 32, got 1"),
        ({"bandwidth": 3.0}, "from 0.25 to 2 octaves, got 3"),
        ({"angular": "square"}, "compact or steerable, got 'square'"),
    ],
)
def test_bad_options(options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        SteerablePyramid(**{"height": 64, "width": 64, **options})  # type: ignore[arg-type]
