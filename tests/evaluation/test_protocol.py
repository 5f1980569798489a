"""The levels are the published ones, and the noise has the variance that the protocol says."""

from __future__ import annotations

import itertools

import pytest
import torch

from mm.errors import InputError
from mm.evaluation.protocol import (
    NOISE_FACTORS,
    add_noise,
    gain_levels,
    noise_levels,
    record_frames,
    seeded,
    static_levels,
    subpixel_levels,
)


def test_the_levels_are_the_public_evaluations() -> None:
    subpixel = subpixel_levels()
    motions = [level.motion for level in subpixel]
    assert motions[0] == 0.01
    assert motions == sorted(motions)
    assert set(motions) >= {0.04, 0.063, 0.1, 0.25, 0.5, 0.79, 1.0}
    assert all(level.output_motion == pytest.approx(10) and level.background_moves for level in subpixel)
    assert all(level.noise == 0 for level in subpixel)

    assert len(NOISE_FACTORS) == 21
    assert NOISE_FACTORS[0] == 0.01
    assert NOISE_FACTORS[-1] == 100
    for low, high in itertools.pairwise(NOISE_FACTORS):
        assert high / low == pytest.approx(10**0.2, rel=0.01)
    noise = noise_levels()
    assert {(level.motion, level.factor) for level in noise} == {(0.05, 200), (0.5, 20)}
    assert len(noise) == 2 * 21
    assert not any(level.background_moves for level in noise)

    static = static_levels()
    assert static[0].noise == 0
    assert {level.output_motion for level in static} == {0}


def test_the_gain_is_measured_from_a_tenth_of_a_pixel_to_thirty() -> None:
    levels = gain_levels()
    outputs = [level.output_motion for level in levels]
    assert min(outputs) >= 0.099
    assert max(outputs) == pytest.approx(30)
    pairs = {(level.motion, level.factor) for level in levels}
    assert pairs >= {(0.02, 10), (0.1, 2), (0.02, 100), (0.3, 100), (10, 2)}
    assert (10, 5) not in pairs


@pytest.mark.parametrize("noise", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("value", [20.0, 128.0, 235.0])
def test_the_variance_of_the_noise_is_its_factor_squared_times_the_value(noise: float, value: float) -> None:
    flat = torch.full((3, 300, 300), value / 255)
    grain = (add_noise(flat, noise, seeded(1)) - flat) * 255
    assert float(grain.var()) == pytest.approx(noise**2 * value, rel=0.02)
    assert abs(float(grain.mean())) < 0.02 * noise * value**0.5


def test_random_rounding_keeps_the_mean_and_nearest_does_not() -> None:
    flat = torch.full((3, 200, 200), 102.3 / 255)
    random = record_frames(flat, 0.0, seeded(2)) * 255
    assert set(random.round().unique().tolist()) == {102, 103}
    assert float((random > 102.5).float().mean()) == pytest.approx(0.3, abs=0.01)
    nearest = record_frames(flat, 0.0, seeded(2), "nearest") * 255
    torch.testing.assert_close(nearest, torch.full_like(nearest, 102), atol=1e-4, rtol=0)
    torch.testing.assert_close(record_frames(flat, 0.0, seeded(2), "none"), flat)


@pytest.mark.parametrize("rounding", ["random", "nearest", "none"])
def test_a_recording_is_in_range_and_rounded(rounding: str) -> None:
    frames = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    frames[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    recorded = record_frames(frames, 30.0, seeded(3), rounding)  # type: ignore[arg-type]
    assert recorded.min() == 0
    assert recorded.max() == 1
    steps = recorded * 255
    assert torch.allclose(steps, steps.round(), atol=1e-3) == (rounding != "none")
    with pytest.raises(InputError, match="rounding must be one of random, nearest, none"):
        record_frames(frames, 0.0, seeded(3), "up")  # type: ignore[arg-type]


def test_a_key_decides_all_numbers_and_each_part_of_it_counts() -> None:
    first, again = (torch.rand(4, generator=seeded(1, 2, 3)) for _ in range(2))
    assert torch.equal(first, again)
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 2)):
        assert not torch.equal(first, torch.rand(4, generator=seeded(*other)))


def test_levels_that_make_no_sense() -> None:
    with pytest.raises(InputError, match=r"motion must be between 0\.001 and 10 px, got 0"):
        subpixel_levels((0.0,))
    with pytest.raises(InputError, match="noise factor must be between 0 and 1000, got -1"):
        noise_levels((-1.0,))
    with pytest.raises(InputError, match="got nan"):
        static_levels((float("nan"),))
    with pytest.raises(InputError, match=r"none of the motions .* 0\.1 to 30 px"):
        gain_levels((10.0,), (100.0,))
