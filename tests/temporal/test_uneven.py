"""Frames at uneven times: sinusoids that are known at every time, filtered where frames are rare and many."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from mm.errors import InputError
from mm.temporal import from_band
from mm.temporal.band import Band
from mm.temporal.uneven import Grid, UnevenFilter, grid_of, resampled

# 60 frames a second for 4 s, then 30 for 4 s, as phones do in poor light.
SECONDS = np.r_[np.arange(240) / 60, 4 + np.arange(120) / 30]


def halves(seconds: np.ndarray) -> list[np.ndarray]:
    """Masks of the times in the middle of either half, away from the ends and from the change."""
    return [(seconds > 1) & (seconds < 3), (seconds > 5) & (seconds < 7)]


def amplitude_and_phase(seconds: np.ndarray, values: np.ndarray, hertz: float) -> tuple[float, float]:
    turns = 2 * np.pi * hertz * seconds
    basis = np.stack([np.sin(turns), np.cos(turns), np.ones_like(turns)], 1)
    sine, cosine, _ = np.linalg.lstsq(basis, values, rcond=None)[0]
    return float(np.hypot(sine, cosine)), float(np.degrees(np.arctan2(cosine, sine)))


def filtered(band: Band, grid: Grid, x: torch.Tensor, sizes: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    grid.places.clear()
    filter_ = UnevenFilter(from_band(band), grid)
    blocks, at = [], 0
    for size in sizes:
        grid.note([round(second * 90000) for second in SECONDS[at : at + size]], Fraction(1, 90000), False)
        blocks += list(filter_.push_aligned(x[at : at + size]))
        at += size
    blocks += list(filter_.flush_aligned())
    return torch.cat([block.input for block in blocks]), torch.cat([block.band for block in blocks])


@pytest.mark.parametrize("name", ["butter", "fir", "ideal"])
def test_a_rate_that_changes_midway_changes_no_gain(name: str) -> None:
    grid = grid_of(SECONDS, 45)
    assert grid is not None
    # One value in the band, a slow one, and one above it.
    x = torch.from_numpy(np.sin(2 * np.pi * np.outer(SECONDS, [4.0, 0.5, 9.0]))).float() + 3
    inputs, band = filtered(Band(3, 5, grid.rate, name), grid, x, [len(x)])
    torch.testing.assert_close(inputs, x)
    # Butterworth, forward and backward, is at 4 Hz what it is at an even rate.
    expected = abs(from_band(Band(3, 5, grid.rate, name)).gain(4.0))
    for part in halves(SECONDS):
        amplitude, phase = amplitude_and_phase(SECONDS[part], band[part, 0].numpy(), 4.0)
        assert amplitude == pytest.approx(expected, rel=0.02)
        assert abs(phase) < 1
        assert float(band[part, 1:].abs().max()) < 0.1


def test_chunks_make_no_difference() -> None:
    grid = grid_of(SECONDS, 45)
    assert grid is not None
    x = torch.randn(len(SECONDS), 2, 3, generator=torch.Generator().manual_seed(0))
    band = Band(3, 5, grid.rate)
    whole = filtered(band, grid, x, [len(x)])
    for sizes in ([1] * len(x), [7] * 60, [300, 0, 60]):
        for part, same in zip(filtered(band, grid, x, sizes), whole, strict=True):
            assert torch.equal(part, same)


def test_frames_on_the_grid_are_filtered_as_even_ones() -> None:
    """A part of a clip is even at another rate than the container's average."""
    x = torch.randn(len(SECONDS), 4, generator=torch.Generator().manual_seed(0))
    band = Band(3, 5, 60.0)
    grid = Grid(60.0, 60.0, 240, 240)
    filter_ = UnevenFilter(from_band(band), grid)
    grid.note(range(240), Fraction(1, 60), True)
    found = filter_.filter_all(x[:240])
    torch.testing.assert_close(found, from_band(band).filter_all(x[:240]), rtol=0, atol=1e-6)


def test_a_clip_too_short_is_refused_and_another_may_follow() -> None:
    grid = Grid(60.0, 30.0, 20, 15)
    filter_ = UnevenFilter(from_band(Band(2, 5, 60.0)), grid)
    grid.note(range(0, 30, 2), Fraction(1, 60), True)
    filter_.push(torch.rand(14, 3))
    with pytest.raises(InputError, match="needs at least 30"):
        filter_.flush()
    grid.note(range(0, 80, 2), Fraction(1, 60), True)
    assert filter_.push(torch.rand(40, 3)).shape[0] + filter_.flush().shape[0] == 40


@pytest.mark.parametrize("rate", [24, 30000 / 1001, 60, 240, 600, 1000])
def test_times_that_are_rounded_to_milliseconds_are_even(rate: float) -> None:
    seconds = np.round(np.arange(500) / rate, 3)
    assert grid_of(seconds, rate, 0.001) is None


def test_a_grid_has_the_fastest_rate() -> None:
    for seconds in (SECONDS, np.round(SECONDS, 3)):
        grid = grid_of(seconds, 40, 0.001)
        assert grid is not None
        assert grid.rate == pytest.approx(60, rel=0.002)
        assert grid.slowest == pytest.approx(30, rel=0.002)
        assert grid.points == pytest.approx(1 + 60 * SECONDS[-1], abs=1)
    part = grid_of(SECONDS[:240], 45)
    assert part is not None
    assert (part.rate, part.slowest) == pytest.approx((60, 60))


def test_a_frame_that_is_missing_makes_a_rate_uneven() -> None:
    grid = grid_of(np.delete(np.arange(101), 30) / 25, 25)
    assert grid is not None
    assert grid.rate == pytest.approx(25)
    assert grid.points == 101


def test_a_rate_that_varies_too_much_is_refused() -> None:
    grid = grid_of(np.r_[np.arange(20) / 1000, 1 + np.arange(20)], 2)
    assert grid is not None
    with pytest.raises(InputError, match=r"a\.mp4.* 1 to 1000 a second, so that 40 frames .*-vf fps"):
        grid.check("a.mp4")


def test_interpolation_follows_a_sinusoid_and_does_not_overshoot_a_gap() -> None:
    times = np.r_[np.arange(30) / 30, 21 + np.arange(30) / 30]
    values = np.sin(2 * np.pi * 3 * times)[:, None]
    wanted = np.linspace(0.1, 0.9, 200)
    found = resampled(times, values, wanted)[:, 0]
    np.testing.assert_allclose(found, np.sin(2 * np.pi * 3 * wanted), atol=0.02)
    assert np.abs(resampled(times, values, np.linspace(0, 22, 999))).max() < 1.5
    assert np.array_equal(resampled(times, values, times), values)
