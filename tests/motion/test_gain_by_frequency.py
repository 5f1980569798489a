"""The gain by frequency of an output that is made of waves, each moved by a known part."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.motion import BANDS, gain_by_frequency

COARSE, FINE = 0.03125, 0.375  # cycles/px


def waves(coarse: float, fine: float) -> Tensor:
    """A coarse wave along x and a fine one along y, moved by so many px."""
    position = torch.arange(128.0)
    along = torch.sin(2 * math.pi * COARSE * (position - coarse))
    down = torch.sin(2 * math.pi * FINE * (position - fine))
    return (0.5 + 0.1 * along + 0.1 * down[:, None]).expand(1, 3, 128, 128)


def bands_of(gain: Tensor) -> tuple[float, float]:
    return tuple(
        float(gain[[low <= frequency < high for low, high in pairwise(BANDS)].index(True)])
        for frequency in (COARSE, FINE)
    )


@pytest.mark.parametrize(("coarse", "fine"), [(1.0, 1.0), (0.0, 0.0), (1.3, 0.5), (0.5, -0.2)])
def test_each_band_has_the_part_that_its_wave_was_moved_by(coarse: float, fine: float) -> None:
    gain = gain_by_frequency(waves(0, 0), waves(0.1 * coarse, 0.1 * fine), waves(0.1, 0.1))
    assert gain.shape == (len(BANDS) - 1,)
    assert bands_of(gain) == pytest.approx((coarse, fine), abs=0.02)


def test_samples_count_by_the_change_that_is_in_them() -> None:
    """A sample in which nothing is wanted has no say, however noisy its output."""
    still, moved = waves(0, 0), waves(0.1, 0.1)
    noise = still + 0.1 * torch.randn(still.shape, generator=torch.Generator().manual_seed(0))
    gain = gain_by_frequency(torch.cat([still, still]), torch.cat([moved, noise]), torch.cat([moved, still]))
    assert bands_of(gain) == pytest.approx((1, 1), abs=1e-4)


def test_a_band_without_change_has_no_gain() -> None:
    nothing = torch.full((1, 1, 64, 64), 0.5)
    assert gain_by_frequency(nothing, nothing + 0.1, nothing).isnan().all()


@pytest.mark.parametrize("slope", [0.0, 0.004])
def test_what_arithmetic_alone_puts_into_a_band_is_no_change(slope: float) -> None:
    """A grey wall and a ramp, with errors as of a renderer in 32 bit."""
    generator = torch.Generator().manual_seed(0)

    def ramp(moved: float) -> Tensor:
        row = 0.2 + slope * (torch.arange(128.0) - moved)
        return row.expand(1, 3, 128, 128) + 1e-6 * torch.randn(1, 3, 128, 128, generator=generator)

    gain = gain_by_frequency(ramp(0), ramp(0.05), ramp(0.5))
    assert gain[1:].isnan().all()
    if slope:
        assert gain[0] == pytest.approx(0.1, abs=0.01)
    else:
        assert gain[0].isnan()


def test_a_change_of_a_fifth_of_the_rounding_has_a_gain() -> None:
    generator = torch.Generator().manual_seed(0)
    still = torch.full((2, 3, 128, 128), 0.5)
    change = 0.2 / 255 / math.sqrt(12) * torch.randn(still.shape, generator=generator)
    gain = gain_by_frequency(still, still + 0.5 * change, still + change)
    assert gain == pytest.approx([0.5] * 7, abs=1e-3)
    assert gain_by_frequency(still, still + 0.1 * change, still + 0.2 * change).isnan().all()


def test_brightness_counts_in_the_lowest_band_alone() -> None:
    still, moved = waves(0, 0), waves(0, 0.1)
    gain = gain_by_frequency(still, moved + 0.1, moved + 0.2, (0, 0.1, 0.3, 0.5))
    assert gain[0] == pytest.approx(0.5)
    assert gain[2] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("edges", [(), (0.1,), (0.2, 0.1), (-0.1, 0.2)])
def test_edges_that_do_not_rise_are_refused(edges: tuple[float, ...]) -> None:
    frames = torch.zeros(1, 3, 16, 16)
    with pytest.raises(InputError, match="edges must be two or more frequencies that rise from 0 on"):
        gain_by_frequency(frames, frames, frames, edges)


def test_frames_of_different_sizes_are_refused() -> None:
    one, other = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 17)
    with pytest.raises(InputError, match="must be of one size"):
        gain_by_frequency(one, other, one)
