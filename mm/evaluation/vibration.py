"""Measured motion of a magnified demonstration clip against the exact one.

The displacement of each moving region, frame by frame, is read off the clip by :mod:`mm.motion`; the
output's course is compared with the true one's, read in the same way off the true magnified clip.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.vibrating_clip import MOVERS, DemoClip, Mode, Mover
from mm.motion import measure_displacement

MOTION_TOLERANCE = 0.15  # of the expected motion
STILL_LIMIT = 2.0  # in 1/255, root mean square
AROUND = 12  # px round a region that its registration sees, beside the search
ITERATIONS = 10  # of registration; a region that is textured both ways settles to 0.001 px in five


@dataclass(frozen=True)
class RegionMotion:
    """One vibrating region: amplitudes in px along its direction, and the courses they were fitted to.

    ``gain`` is the part of the output's course that follows the true one, over it: 1 is right, a course in
    step but half as large is 0.5, one in antiphase is negative. ``measured_amplitude`` is the gain times
    the expected one.
    """

    name: str
    frequency: float
    input_amplitude: float
    expected_amplitude: float
    measured_amplitude: float
    gain: float
    input_course: tuple[float, ...]
    expected_course: tuple[float, ...]
    measured_course: tuple[float, ...]

    @property
    def within(self) -> bool:
        """True if the gain is within the tolerance."""
        return abs(self.gain - 1) <= MOTION_TOLERANCE


@dataclass(frozen=True)
class VibrationReport:
    """The result of :func:`measure_vibration`.

    Attributes:
        factor, mode, amplitude, fps: as asked for; amplitude in px.
        regions: one for each thing that vibrates.
        still_change: how much the region where nothing moves differs from its own first frame, root mean
            square over its pixels, channels and all frames, in 1/255. Sensor noise is part of it.
        still_change_input: the same of the input: what noise alone makes.
    """

    factor: float
    mode: Mode
    amplitude: float
    fps: float
    regions: tuple[RegionMotion, ...]
    still_change: float
    still_change_input: float

    @property
    def gain(self) -> float:
        """Mean gain over the regions."""
        return sum(region.gain for region in self.regions) / len(self.regions)

    @property
    def motion_met(self) -> bool:
        """True if the mean gain is within the tolerance."""
        return abs(self.gain - 1) <= MOTION_TOLERANCE

    @property
    def still_met(self) -> bool:
        """True if the still region stays still."""
        return self.still_change < STILL_LIMIT

    def as_dict(self) -> dict[str, Any]:
        """Return everything, with the criteria and whether they were met, for JSON."""
        return asdict(self) | {
            "gain": self.gain,
            "motion_tolerance": MOTION_TOLERANCE,
            "motion_met": self.motion_met,
            "regions_within_tolerance": [region.name for region in self.regions if region.within],
            "still_limit": STILL_LIMIT,
            "still_met": self.still_met,
        }


def measure_vibration(
    clip: DemoClip, output: Tensor, factor: float, mode: Mode = "static", *, truth: Tensor | None = None
) -> VibrationReport:
    """Measure the motion and the stillness of a magnified clip.

    Args:
        clip: the input and what is true of it.
        output: (T, 3, H, W) in [0, 1]: what a method made of ``clip.frames``.
        factor: by which it was asked to magnify.
        mode: in which it did.
        truth: ``clip.magnified(factor, mode)``, if it is at hand.

    Raises:
        InputError: an output of another size or length than the clip.
    """
    if output.shape != clip.frames.shape:
        raise InputError(
            f"the magnified clip is {tuple(output.shape)} and its input {tuple(clip.frames.shape)}; "
            "they must be alike"
        )
    truth = clip.magnified(factor, mode) if truth is None else truth
    # Far enough for an output that moves half as much again; a tight search is also a quick one.
    limit = min(max(output.shape[-2:]) // 2, 4 + round(3 * max(factor, 1) * clip.amplitude))
    regions = []
    for mover in MOVERS:
        courses = (_course(clip, mover, frames, limit) for frames in (clip.frames, truth, output))
        regions.append(_compare(mover, *courses))
    still = clip.still(factor, mode)
    return VibrationReport(
        factor,
        mode,
        clip.amplitude,
        clip.fps,
        tuple(regions),
        _change(output, still),
        _change(clip.frames, still),
    )


def _course(clip: DemoClip, mover: Mover, frames: Tensor, limit: int) -> Tensor:
    """Return (T,) px along the mover's direction, from the first frame; 0 where nothing can be measured."""
    region = clip.regions[mover.name]
    top, bottom, left, right = _bounds(region, limit + AROUND)
    rows, columns = slice(top, bottom), slice(left, right)
    moved = measure_displacement(
        clip.frames[:1, :, rows, columns],
        frames[:, :, rows, columns],
        weight=region[rows, columns],
        limit=limit,
        iterations=ITERATIONS,
    )
    return moved.nan_to_num(0.0) @ torch.tensor(mover.direction, dtype=moved.dtype)


def _compare(mover: Mover, shown: Tensor, expected: Tensor, measured: Tensor) -> RegionMotion:
    a, e, m = (course.double() - course.double().mean() for course in (shown, expected, measured))
    amplitude = float((2 * (e**2).mean()).sqrt())
    gain = float((m * e).sum() / (e**2).sum().clamp_min(1e-20))
    return RegionMotion(
        mover.name,
        mover.frequency,
        float((2 * (a**2).mean()).sqrt()),
        amplitude,
        gain * amplitude,
        gain,
        *(tuple(round(value, 5) for value in course.tolist()) for course in (shown, expected, measured)),
    )


def _bounds(region: Tensor, around: int) -> tuple[int, int, int, int]:
    rows, columns = region.any(1).nonzero()[:, 0], region.any(0).nonzero()[:, 0]
    height, width = region.shape
    return (
        max(int(rows[0]) - around, 0),
        min(int(rows[-1]) + around + 1, height),
        max(int(columns[0]) - around, 0),
        min(int(columns[-1]) + around + 1, width),
    )


def _change(frames: Tensor, still: Tensor) -> float:
    inside = frames[..., still]
    return float((inside - inside[:1]).double().pow(2).mean().sqrt() * 255)
