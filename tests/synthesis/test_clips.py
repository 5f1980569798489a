"""Clips: every layer is where its motion over time puts it, and the truth magnifies the band alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from mm.errors import InputError
from mm.motion import measure_displacement
from mm.synthesis import (
    Camera,
    ClipSynthesizer,
    MotionLimits,
    Rotation,
    SubsetConfig,
    TrajectoryConfig,
    Translation,
)

MakeBatch = Callable[..., dict[str, Tensor]]

LIMITS = MotionLimits(min_motion=0.05, max_motion=1.0, max_magnified=8.0, min_factor=4, max_factor=20.0)
BACKGROUND = (SubsetConfig("background", objects=(0, 0)),)


def clean(height: int = 64, width: int = 72, frames: int = 6, **more: Any) -> ClipSynthesizer:
    settings = {
        "noise": (0.0, 0.0),
        "quantised": False,
        "limits": LIMITS,
        "max_objects": 3,
        "trajectories": TrajectoryConfig(share=1.0),
    }
    return ClipSynthesizer(height, width, frames, **(settings | more))


def test_the_background_moves_by_what_is_said(make_batch: MakeBatch) -> None:
    synthesizer = clean(subsets=BACKGROUND, frames=4)
    clip = synthesizer(make_batch(synthesizer.geometry, [1, 2], objects=0))
    band, other = clip["motion"][:, 0], clip["other_motion"][:, 0]
    assert (band.norm(dim=-1).amax(1) > 0.02).all()
    assert (other.norm(dim=-1).amax(1) > 0.1).all()
    for frames, truth, factor, moved, rest in zip(
        clip["frames"], clip["truth"], clip["factor"], band, other, strict=True
    ):
        first = (moved + rest)[:1]
        shown = measure_displacement(frames[:1], frames)
        torch.testing.assert_close(shown, moved + rest - first, atol=1e-3, rtol=0)
        magnified = measure_displacement(frames[:1], truth, limit=16)
        torch.testing.assert_close(magnified, factor * moved + rest - first, atol=2e-3, rtol=0)
    torch.testing.assert_close(clip["displacement"].mean((-2, -1)), band, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shutter", [0.0, 0.5], ids=["global", "rolling"])
@pytest.mark.parametrize("motion", [Translation(), Rotation()], ids=["translation", "rotation"])
def test_the_truth_is_the_frame_with_its_material_moved_on(
    motion: Any, shutter: float, make_batch: MakeBatch
) -> None:
    """At a small factor the displacement field leads from the frame to its truth, objects and all."""
    limits = dataclasses.replace(
        LIMITS, min_motion=0.5, min_factor=2.0, max_factor=2.0, distribution="uniform"
    )
    synthesizer = clean(limits=limits, motion=motion, frames=4, camera=Camera(rolling_shutter=shutter))
    clip = synthesizer(make_batch(synthesizer.geometry, [5]))
    frames, truth, field = clip["frames"][0], clip["truth"][0], clip["displacement"][0]
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(72.0), indexing="ij")
    # Factor 2: the truth at X + d is the frame at X. To first order the truth at X is the frame at X − d.
    warped = torch.empty_like(frames)
    for place, (x, y) in enumerate(zip(columns - field[:, 0], rows - field[:, 1], strict=True)):
        for channel in range(3):
            plane = map_coordinates(frames[place, channel].numpy(), (y.numpy(), x.numpy()), order=5)
            warped[place, channel] = torch.from_numpy(plane)
    inside = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    before = (frames - truth)[inside].abs()
    after = (warped - truth)[inside].abs()
    # Where material disappears behind an object, no displacement leads there.
    assert before.quantile(0.8) > 2e-3
    assert after.quantile(0.8) < 0.1 * before.quantile(0.8)


def test_an_object_moves_by_what_is_said(make_batch: MakeBatch) -> None:
    """One object over a flat background, whose centre of mass gives its place."""
    synthesizer = clean(
        80, 80, subsets=(SubsetConfig("lone", objects=(1, 1)),), max_objects=1, antialias=(0.5, 0.5)
    )
    batch = make_batch(synthesizer.geometry, [3, 4, 5, 6], objects=1)
    batch["background"].fill_(100)
    patch = torch.arange(synthesizer.geometry.object_size) - (synthesizer.geometry.object_size - 1) / 2
    disc = (12 - torch.hypot(patch[:, None], patch)).clamp(0, 1)
    batch["objects"][:] = (200 * disc).to(torch.uint8)
    batch["objects"][:, :, 3] = (255 * disc).to(torch.uint8)
    clip = synthesizer(batch)
    place = _centre_of_mass(clip["frames"])
    magnified = _centre_of_mass(clip["truth"])
    band, other = clip["motion"][:, 1], clip["other_motion"][:, 1]
    light = torch.stack([clip[name].mean((2, 3, 4)).amin(1) for name in ("frames", "truth")]).amin(0)
    # Those whose disc is never cut by the frame's rim.
    seen = light > 0.9999 * clip["frames"].mean((2, 3, 4)).amax()
    assert seen.sum() >= 2
    moved = band + other
    torch.testing.assert_close((place - place[:, :1])[seen], (moved - moved[:, :1])[seen], atol=2e-3, rtol=0)
    step = (clip["factor"] - 1)[:, None, None] * band
    torch.testing.assert_close((magnified - place)[seen], step[seen], atol=4e-3, rtol=0)


def _centre_of_mass(frames: Tensor) -> Tensor:
    light = frames.double().mean(2) - 100 / 255
    height, width = light.shape[-2:]
    total = light.sum((-2, -1))
    x = (light.sum(-2) @ torch.arange(width, dtype=torch.float64)) / total
    y = (light.sum(-1) @ torch.arange(height, dtype=torch.float64)) / total
    return torch.stack((x, y), -1).float()


def test_the_vibration_lies_in_the_band_and_the_rest_outside(make_batch: MakeBatch) -> None:
    synthesizer = clean(
        16,
        16,
        frames=256,
        subsets=BACKGROUND,
        max_objects=0,
        trajectories=TrajectoryConfig(share=1.0, travel=(0, 0)),
    )
    batch = make_batch(synthesizer.geometry, [1, 2, 3], objects=0) | {
        "truth_index": torch.zeros(3, 1, dtype=torch.int64)
    }
    clip = synthesizer(batch)
    window = np.hanning(256)[:, None]
    frequency = np.fft.rfftfreq(256)
    for sample in range(3):
        low, high = clip["band"][sample].tolist()
        assert 0 < low < high <= 0.5
        inside = (frequency > low - 2 / 256) & (frequency < high + 2 / 256)
        for name, share in (("motion", 1.0), ("other_motion", 0.0)):
            course = clip[name][sample, 0].double().numpy()
            power = (np.abs(np.fft.rfft((course - course.mean(0)) * window, axis=0)) ** 2).sum(1)
            assert power[inside].sum() / power.sum() == pytest.approx(share, abs=2e-3), name


def test_a_static_subset_has_no_motion_in_the_band(make_batch: MakeBatch) -> None:
    synthesizer = clean(subsets=(SubsetConfig("static", background_moves=False, objects_move=False),))
    clip = synthesizer(make_batch(synthesizer.geometry, [1]))
    assert clip["displacement"].abs().max() == 0
    torch.testing.assert_close(clip["frames"], clip["truth"], atol=1e-6, rtol=0)
    assert (clip["frames"][:, 1:] - clip["frames"][:, :-1]).abs().max() > 0.01


def test_a_clip_is_a_function_of_its_seed(make_batch: MakeBatch) -> None:
    camera = Camera((0.001, 0.004), (0, 0.02), (0, 0.05), (0, 0.5), chroma=0.5)
    synthesizer = clean(noise=(0.0, 0.01), quantised=True, camera=camera, truth_frames=2, truth_margin=1)
    both = synthesizer(make_batch(synthesizer.geometry, [8, 9]))
    alone = synthesizer(make_batch(synthesizer.geometry, [9]))
    for name, value in alone.items():
        if name != "index":
            assert torch.equal(value[0], both[name][1]), name
    assert not torch.equal(both["frames"][0], both["frames"][1])


def test_truth_at_chosen_frames_is_that_of_all(make_batch: MakeBatch) -> None:
    every, two = clean(frames=5), clean(frames=5, truth_frames=2, truth_margin=1)
    batch = make_batch(every.geometry, [3])
    whole, some = every(batch), two(batch)
    assert torch.equal(whole["frames"], some["frames"])
    chosen = some["truth_index"][0]
    assert chosen.shape == (2,)
    assert 1 <= chosen[0] < chosen[1] <= 3
    for name in ("truth", "displacement"):
        assert torch.equal(whole[name][:, chosen], some[name])
    given = every(batch | {"truth_index": torch.tensor([[4]])})
    assert torch.equal(given["truth"], whole["truth"][:, 4:])


def test_a_rolling_shutter_shears_what_travels(make_batch: MakeBatch) -> None:
    """The last row is read later than the first by the readout, so it shows later travel."""
    travel = TrajectoryConfig(share=1.0, drift=(0, 0), outside=(0, 0), shake=(0, 0), travel=(10, 10))
    still = (SubsetConfig("still", objects=(0, 0), background_moves=False),)
    synthesizer = clean(
        96, 96, frames=6, subsets=still, trajectories=travel, camera=Camera(rolling_shutter=0.8)
    )
    clip = synthesizer(make_batch(synthesizer.geometry, [1], objects=0))
    speed = (clip["other_motion"][0, 0, 1] - clip["other_motion"][0, 0, 0]).double()
    assert float(speed.norm()) == pytest.approx(10 / 5, rel=1e-3)
    plain = clean(96, 96, frames=6, subsets=still, trajectories=travel)
    reference = plain(make_batch(plain.geometry, [1], objects=0))["frames"][0, 2]
    weight = torch.zeros(96, 96)
    late = {}
    for name, middle in (("top", 24), ("bottom", 72)):
        weight.zero_()
        weight[middle - 8 : middle + 8, 12:-12] = 1
        late[name] = measure_displacement(reference[None], clip["frames"][0, 2][None], weight=weight)[0]
    expected = 0.8 * (72 - 24) / 95 * speed.float()
    torch.testing.assert_close(late["bottom"] - late["top"], expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"frames": 1}, "frames must be at least 2, got 1"),
        ({"truth_frames": 9}, "truth_frames must be between 1 and 6, got 9"),
        ({"truth_margin": 3}, "truth_margin must be between 0 and 2"),
    ],
)
def test_bad_numbers_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        clean(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"frequencies": (0.1, 0.7)}, r"at most 0.5 cycles per frame \(Nyquist\), got 0.7"),
        ({"frequencies": (0.3, 0.1)}, "low < high"),
        ({"band_ratio": (1.2, 20.0)}, "band_ratio must be at most 8, .* got 20"),
        ({"kinds": ("saw",)}, "kinds must be among sinusoid, several, noise"),
        ({"share": 1.5}, "share must be between 0 and 1, got 1.5"),
        ({"drift": (2.0, 1.0)}, "drift must satisfy"),
    ],
)
def test_bad_trajectories_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TrajectoryConfig(**settings)


def test_reach_bounds_every_motion() -> None:
    config = TrajectoryConfig(share=1.0)
    from mm.synthesis.random import SampleRandom

    trajectories, _ = config.draw(SampleRandom(torch.arange(64)), 3, 16)
    time = torch.linspace(0, 15, 200)[None, None].expand(64, 1, -1)
    amounts = trajectories.amounts(time)
    assert amounts[..., 0].abs().max() <= 1
    away = amounts[..., 1].abs() + amounts[..., 2:].norm(dim=-1)
    assert 0.2 * config.reach < away.max() <= config.reach
    assert math.isfinite(config.reach)
