"""The levels at which a method is measured, and how a frame is recorded at each.

The levels are those of the paper (Oh et al. 2018, section 5.2 and Figure 8) at the steps of the public
evaluation that follows it: input motion in steps of 10^0.1, noise factors in steps of 10^0.2. Below the
public evaluation's 0.04 px the same steps go on to the paper's 0.01 px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from mm.errors import InputError

Rounding = Literal["random", "nearest", "none"]

PUBLIC_MOTIONS = (0.04, 0.05, 0.063, 0.079, 0.1, 0.13, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.79, 1.0)
SUBPIXEL_MOTIONS = (0.01, 0.013, 0.016, 0.02, 0.025, 0.032, *PUBLIC_MOTIONS)  # px of input motion
SUBPIXEL_OUTPUT = 10.0  # px: "the factor chosen for 10 px of output"

NOISE_FACTORS = tuple(float(f"{10 ** (0.2 * step):.3g}") for step in range(-10, 11))  # 0.01 … 100
NOISE_CASES = ((0.05, 200.0), (0.5, 20.0))  # (px of input motion, factor): Figure 8, b and c
STATIC_FACTOR = 20.0
STATIC_NOISE_FACTORS = (0.0, *NOISE_FACTORS)

GAIN_FACTORS = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
GAIN_MOTIONS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)  # px of input motion
GAIN_OUTPUTS = (0.1, 30.0)  # px of output motion, least and most: 30 is what the paper trains for
# In temporal mode, where a clip is magnified for each number.
CLIP_MOTIONS, CLIP_FACTORS = (0.02, 0.05, 0.1, 0.5), (10.0,)

LEVELS = 255  # of an 8-bit frame
MAX_MOTION = 60.0  # px of output motion that scenes are built for
MAX_NOISE = 1000.0


@dataclass(frozen=True)
class Level:
    """One point of a measurement.

    Attributes:
        motion: how far each moving layer moves between the two frames, px.
        factor: by which it is to be magnified.
        noise: the noise factor f: the variance of the noise is f² × the pixel's value, both in 1/255.
        background_moves: whether the background moves as well as the objects.
    """

    motion: float
    factor: float
    noise: float = 0.0
    background_moves: bool = True

    @property
    def output_motion(self) -> float:
        """The displacement of each moving layer in the output, px."""
        return self.motion * self.factor


def subpixel_levels(motions: tuple[float, ...] = SUBPIXEL_MOTIONS) -> list[Level]:
    """Return the levels of the sub-pixel test: no noise, everything moves, 10 px of output.

    Raises:
        InputError: for a motion that is not above 0, or needs a factor below 1.
    """
    for motion in motions:
        _check("motion", motion, 0.001, SUBPIXEL_OUTPUT, "px")
    return [Level(motion, SUBPIXEL_OUTPUT / motion) for motion in motions]


def noise_levels(noises: tuple[float, ...] = NOISE_FACTORS) -> list[Level]:
    """Return the levels of the noise test, one case after the other: the background does not move.

    Raises:
        InputError: for a noise factor that is negative or beyond reason.
    """
    _check_noises(noises)
    return [
        Level(motion, factor, noise, background_moves=False)
        for motion, factor in NOISE_CASES
        for noise in noises
    ]


def static_levels(noises: tuple[float, ...] = STATIC_NOISE_FACTORS) -> list[Level]:
    """Return the levels of the static test: nothing moves, and only the noise differs.

    Raises:
        InputError: for a noise factor that is negative or beyond reason.
    """
    _check_noises(noises)
    return [Level(0.0, STATIC_FACTOR, noise, background_moves=False) for noise in noises]


def gain_levels(
    motions: tuple[float, ...] = GAIN_MOTIONS,
    factors: tuple[float, ...] = GAIN_FACTORS,
    outputs: tuple[float, float] = GAIN_OUTPUTS,
) -> list[Level]:
    """Return every motion at every factor whose product lies within ``outputs``, px.

    Raises:
        InputError: for a motion or factor that is not above 0, or if no product lies within.
    """
    for motion in motions:
        _check("motion", motion, 0.001, outputs[1], "px")
    for factor in factors:
        _check("factor", factor, 0.001, 10000.0, "times")
    least, most = outputs
    # Rounding must not decide whether 0.3 px × 100 is 30 px.
    levels = [Level(m, f) for f in factors for m in motions if least * 0.999 <= m * f <= most * 1.001]
    if not levels:
        raise InputError(
            f"none of the motions at any of the factors gives an output motion of {least:g} to {most:g} px; "
            f"choose others, such as {most / 10:g} px at a factor of 10"
        )
    return levels


def add_noise(frames: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Return frames with Gaussian noise of variance noise² × value, in 1/255; not clamped.

    Args:
        frames: (…, H, W) in [0, 1].
        noise: the noise factor.
        generator: on the CPU, so that the noise is the same whatever the device.
    """
    grain = torch.randn(frames.shape, generator=generator).to(frames)
    return frames + grain * (noise / LEVELS) * (frames.clamp_min(0) * LEVELS).sqrt()


def record_frames(
    frames: Tensor, noise: float, generator: torch.Generator, rounding: Rounding = "random"
) -> Tensor:
    """Return what an 8-bit camera records of ``frames`` (…, H, W) in [0, 1], as float32 in [0, 1].

    Args:
        frames: the true scene.
        noise: the noise factor; 0 for none.
        generator: of the noise and the rounding.
        rounding: "random": 102.3 becomes 103 in 30 % of cases (Oh et al. 2018, section 3.3), which keeps on
            average a change of less than a step; "nearest"; "none" leaves the frames unrounded.

    Raises:
        InputError: for another rounding.
    """
    if rounding not in get_args(Rounding):
        raise InputError(f"rounding must be one of {', '.join(get_args(Rounding))}, got {rounding!r}")
    # Drawn first, so that the rounding is the same at every noise level, and the noise at every rounding.
    uniform = torch.rand(frames.shape, generator=generator).to(frames)
    noisy = add_noise(frames, noise, generator).clamp(0, 1) * LEVELS
    if rounding == "none":
        return noisy / LEVELS
    rounded = (noisy + uniform).floor().clamp(max=LEVELS) if rounding == "random" else noisy.round()
    return rounded / LEVELS


def seeded(*key: int) -> torch.Generator:
    """Return a generator whose numbers depend on the whole key and on nothing else."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def _check_noises(noises: tuple[float, ...]) -> None:
    for noise in noises:
        _check("noise factor", noise, 0.0, MAX_NOISE, "")


def _check(name: str, value: float, least: float, most: float, unit: str) -> None:
    if not least <= value <= most:
        unit = f" {unit}" if unit else ""
        raise InputError(f"{name} must be between {least:g} and {most:g}{unit}, got {value:g}")
