"""Regions of a clip that are followed by registration with the first frame, and how well each is known.

A standard uncertainty has three parts. Noise differs from frame to frame and averages out. Rounding to whole
levels repeats with the motion where no noise hides the steps (:meth:`Followed.rounding`), and a codec with
predicted pictures holds small motion back (:func:`codec_px`): neither averages out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import detrend
from torch import Tensor

from mm.errors import InputError
from mm.motion.camera import displacement_of
from mm.motion.registration import FLAT, Registered, register
from mm.temporal.uneven import resampled
from mm.video.grid import Region

Floats = NDArray[np.floating]

SEARCH = 20  # px, how far a place may go within the frames of one push
AROUND = SEARCH + 12  # px beyond a region that its registration sees
FOUND = 0.6  # correlation with the first frame below which a place is lost
CERTAIN = 0.9  # correlation above which a place is not searched for
CLOSE = 2.0  # px from where a place was, likewise
MARGIN = 0.02  # of correlation, by which a place further off must be better
ITERATIONS, SMOOTHING = 10, 0.6  # of registration
STEADY = 9  # frames over which the noise's variance is averaged
TRUST = (0.5, 2.0)  # how far the scatter over time may correct the variance that registration sees
# The part of a px's rounding (1/12 of a level squared) that is left in what registration sees, and how fast
# noise, in the same measure, hides the steps (dithering: exp(-4π²) a level squared).
ROUNDED, DITHERED = 0.9 / 12, 4 * math.pi**2 * 0.9 / 12
# Standard deviation of what a codec holds back, px, by its step in levels over the texture in levels per px,
# and by how much it grows where all blocks are repeated. Fitted to H.264 at CRF 18 to 28;
# `python -m benchmarks.instrument` measures the coverage.
HELD_BACK, REPEATED = 0.023, 1.0
HELD = 2.0  # the variance of what it holds back of an amplitude, over that of a frame's displacement


@dataclass(frozen=True)
class Followed:
    """The followed motion of one region.

    Attributes:
        displacement: (T, 2) px from the first frame, order (x, y).
        covariance: (T, 2, 2) px², of the noise.
        agreement: (T,) correlation with the first frame.
        tensor: (2, 2) structure tensor, see :class:`mm.motion.LocalDisplacement`.
    """

    displacement: Floats
    covariance: Floats
    agreement: Floats
    tensor: Floats

    @property
    def sound(self) -> NDArray[np.bool_]:
        """(T,) whether the region was found."""
        return (self.agreement > FOUND) & np.isfinite(self.displacement).all(1)

    def evenly(self, steps: Floats) -> tuple[Floats, Floats]:
        """Return the displacement and the noise's covariance at even times; what was lost is interpolated.

        Args:
            steps: (T,) times of the frames, in steps of the even ones.
        """
        sound = self.sound
        if sound.sum() < 2:
            return np.zeros_like(self.displacement), np.zeros_like(self.covariance)
        even = np.arange(math.floor(steps[-1] + 1e-6) + 1)
        filled = [np.interp(steps, steps[sound], axis[sound]) for axis in self.displacement.T]
        moved = resampled(steps, np.stack(filled, 1), even)
        noise = np.where(sound[:, None, None], self.covariance, self.covariance[sound].mean(0))
        noise = uniform_filter1d(noise, STEADY, axis=0, mode="nearest")
        nearest = np.searchsorted((steps[1:] + steps[:-1]) / 2, even)
        return moved, _corrected(moved, noise[nearest])

    def rounding(self, pixels: int) -> Floats:
        """Return the covariance (2, 2) px² of what rounding to whole levels makes of a position.

        Args:
            pixels: of the region.
        """
        sound = self.sound
        if sound.sum() < 2:
            return np.zeros((2, 2))
        seen = self.covariance[sound][1:].mean(0)
        # Per px, in levels squared: what is more than rounding is noise.
        level = float(np.trace(self.tensor @ seen)) / 2 * pixels * 255**2
        return seen * math.exp(-DITHERED * max(level / ROUNDED - 1, 0.0))


class PlaceFollower:
    """Registers regions of frames, which come a few at a time, with the first frame.

    Args:
        regions: (x, y, width, height) px.
        names: of the regions, for messages.
    """

    def __init__(self, regions: Sequence[Region], names: Sequence[str]) -> None:
        self.regions, self.names = list(regions), list(names)
        self._references: list[Tensor] = []
        self._last = [np.zeros(2) for _ in regions]
        self._parts: list[list[tuple[Tensor, ...]]] = [[] for _ in regions]

    def push(self, grey: Tensor) -> None:
        """Take the next frames' luminance (n, H, W).

        Raises:
            InputError: for a region without texture, with the first frame.
        """
        size = (grey.shape[2], grey.shape[1])
        for number, region in enumerate(self.regions):
            box, weight = _box(region, size)
            x, y, width, height = box
            if len(self._references) == number:
                self._references.append(grey[:1, y : y + height, x : x + width].clone())
            # The window goes along with the region, as far as the frame goes.
            shift = [
                int(np.clip(round(moved), -begin, side - begin - length))
                for moved, begin, length, side in zip(
                    self._last[number], (x, y), (width, height), size, strict=True
                )
            ]
            left, top = x + shift[0], y + shift[1]
            found = self._registered(
                self._references[number][:, None],
                grey[:, None, top : top + height, left : left + width],
                weight,
                self._last[number] - shift,
            )
            moved = found.displacement + torch.tensor(shift, dtype=found.displacement.dtype)
            if not self._parts[number] and float(found.tensor[0].trace()) < FLAT:
                raise InputError(
                    f"{self.names[number]} has no texture to follow in its {region[2]}×{region[3]} px at "
                    f"x {region[0]}, y {region[1]}; choose a place with edges or marks"
                )
            sound = moved[(found.agreement > FOUND) & moved.isfinite().all(-1)]
            if len(sound):
                self._last[number] = sound[-1].double().numpy()
            self._parts[number].append((moved, found.covariance, found.agreement, found.tensor[:1]))

    def _registered(self, reference: Tensor, frames: Tensor, weight: Tensor, near: Floats) -> Registered:
        """Register frames, at first near where the region was; a pattern that repeats fits elsewhere too."""
        close = register(reference, frames, tuple(near), 0, weight, ITERATIONS, SMOOTHING)
        moved = close.displacement - torch.as_tensor(near).to(close.displacement)
        near_by = moved.norm(dim=-1) < CLOSE
        doubtful = ~((close.agreement > CERTAIN) & near_by)
        if not doubtful.any():
            return close
        far = register(reference, frames[doubtful], tuple(near), SEARCH, weight, ITERATIONS, SMOOTHING)
        better = far.agreement > close.agreement[doubtful] + MARGIN * near_by[doubtful]
        where = doubtful.nonzero()[:, 0][better]
        for own, other in zip(close, far, strict=True):
            own[where] = other[better]
        return close

    def finish(self, camera: Sequence[Floats] = ()) -> list[Followed]:
        """Return what was followed, one for each region.

        Args:
            camera: transforms of the frames, (n, 2, 3) a push, see :class:`mm.motion.camera.Camera`: their
                displacement is taken out. Empty for a camera that stands still.
        """
        return [
            Followed(
                displacement=torch.cat([each[0] for each in part]).double().numpy() - _moved(region, camera),
                covariance=torch.cat([each[1] for each in part]).double().numpy(),
                agreement=torch.cat([each[2] for each in part]).double().numpy(),
                tensor=part[0][3][0].double().numpy(),
            )
            for region, part in zip(self.regions, self._parts, strict=True)
        ]


def _moved(region: Region, camera: Sequence[Floats]) -> Floats:
    """Return by how much the camera moves a region's centre, px."""
    x, y, width, height = region
    if not camera:
        return np.zeros(2)
    return displacement_of(np.concatenate(camera), x + (width - 1) / 2, y + (height - 1) / 2)


def codec_px(tensor: Floats, step: float, repeated: float = 0.0) -> Floats:
    """Return the covariance (2, 2) px² of the motion that a codec holds back.

    Args:
        tensor: (2, 2) mean outer product of the luminance gradient, per px², luminance in [0, 1].
        step: the quantiser's step in levels of 255.
        repeated: the share of blocks that repeat the one before, in [0, 1].
    """
    if step == 0:
        return np.zeros((2, 2))
    values, vectors = np.linalg.eigh(tensor)
    held = HELD_BACK * (1 + REPEATED * repeated) * step / (255 * np.sqrt(values.clip(1e-12)))
    # A px at most: where there is no texture in a direction, nothing is known of it anyway.
    return (vectors * np.minimum(held, 1.0) ** 2) @ vectors.T


def held_px(codec: Floats, degrees: float) -> float:
    """Return px, the standard deviation of what a codec holds back of an amplitude.

    Args:
        codec: (2, 2) px², see :func:`codec_px`.
        degrees: direction of the motion, from x toward y.
    """
    along = np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
    return math.sqrt(HELD * float(along @ codec @ along))


def _box(region: Region, size: tuple[int, int]) -> tuple[Region, Tensor]:
    """Return what registration sees around a region, and the region's weight within it."""
    x, y, width, height = region
    left, top = max(x - AROUND, 0), max(y - AROUND, 0)
    right, bottom = min(x + width + AROUND, size[0]), min(y + height + AROUND, size[1])
    weight = torch.zeros(bottom - top, right - left)
    weight[y - top : y - top + height, x - left : x - left + width] = 1
    return (left, top, right - left, bottom - top), weight


def _corrected(moved: Floats, noise: Floats) -> Floats:
    """Scale the variances that registration sees to the scatter over time, as far as both can be noise."""
    power = np.abs(np.fft.rfft(detrend(moved, axis=0) * np.hanning(len(moved))[:, None], axis=0)) ** 2
    scatter = np.median(power[2:], axis=0) / (math.log(2) * (np.hanning(len(moved)) ** 2).sum())
    seen = np.einsum("tii->ti", noise).mean(0).clip(1e-14)
    ratio = np.sqrt((scatter / seen).clip(*TRUST))
    return noise * ratio[:, None] * ratio
