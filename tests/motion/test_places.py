"""Uncertainties of places against scenes moved by exact Fourier shifts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import mm
from mm.evaluation.scenes import Scene, layer, random_texture, record
from mm.motion.places import Followed, PlaceFollower
from mm.video import write_clip

RATE, FRAMES, REGION = 100.0, 80, (16, 16, 32, 32)


def swinging(seed: int, amplitude: float, hertz: float, noise: float) -> Tensor:
    """(T, 1, 64, 64): a texture that swings along x, recorded in 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    scene = Scene((layer("wall", random_texture(80, 80, generator, contrast=0.05, tint=0)),), 8)
    moved = torch.zeros(FRAMES, 1, 2, dtype=torch.float64)
    moved[:, 0, 0] = amplitude * torch.cos(2 * math.pi * hertz / RATE * torch.arange(FRAMES))
    return record(scene.frames(moved)[:, :1], noise=noise, seed=seed)


def followed(frames: Tensor) -> Followed:
    follower = PlaceFollower([REGION], ["region"])
    follower.push(frames[:, 0])
    return follower.finish()[0]


def test_rounding_repeats_with_the_motion_where_no_noise_hides_its_steps() -> None:
    pixels = REGION[2] * REGION[3]
    plain, noisy = (followed(swinging(0, 0.3, 7.3, noise)) for noise in (0.0, 1.0))
    seen = plain.covariance[1:].mean(0)
    assert 0.3 < np.trace(plain.rounding(pixels)) / np.trace(seen) <= 1
    assert np.trace(noisy.rounding(pixels)) < 0.01 * np.trace(seen)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_intervals_hold_amplitude_and_frequency(tmp_path: Path, noise: float) -> None:
    apart = []
    for seed in range(6):
        generator = np.random.default_rng(seed)
        amplitude, hertz = float(10 ** generator.uniform(-1.7, 0)), float(generator.uniform(5, 40))
        pixels = swinging(seed, amplitude, hertz, noise).expand(-1, 3, -1, -1)
        path = tmp_path / f"{seed}.mkv"
        write_clip(path, pixels, rate=RATE, lossless=True)
        found = mm.measure(path, rois=[REGION]).places[0].sinusoids[0]
        assert 0 < found.amplitude_px_u < max(0.1 * amplitude, 0.004)
        apart.append(
            [
                (found.amplitude_px - amplitude) / found.amplitude_px_u,
                (found.frequency_hz - hertz) / found.frequency_hz_u,
            ]
        )
    assert (np.abs(apart) < 1.96).mean(0).min() >= 5 / 6
    assert np.abs(apart).max() < 4
