"""The clip that is timed: panels of waves with a known sub-pixel motion, as 8-bit video."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

#: px, one a column of panels
PERIODS = (12, 16, 24, 32, 48)
#: radians from x toward y, one a row of panels: waves along x, along y and along the diagonal
ANGLES = (0.0, math.pi / 2, math.pi / 4)
#: Hz, frames a second, px
FREQUENCY, FPS, AMPLITUDE = 3.0, 30.0, 0.1
_CONTRAST, _NOISE = 0.25, 0.5 / 255


@dataclass(frozen=True)
class Truth:
    """The motion of a magnified clip against the exact one.

    Attributes:
        least, most: measured over true motion, of the panel that moves least and of the one that moves most.
        late: frames by which a panel is late (or early) at most.
    """

    least: float
    most: float
    late: float


class Panels:
    """Panels of plane waves, each moving along itself by 0.1 px at 3 Hz.

    Args:
        width, height: px of the whole frame.
        count: frames.
    """

    def __init__(self, width: int, height: int, count: int) -> None:
        self.width, self.height, self.count = width, height, count
        self._tall, self._wide = height // len(ANGLES), width // len(PERIODS)

    def frames(self) -> Bytes:
        """RGB (count, height, width, 3). Noise of half a step is added before rounding."""
        generator = np.random.default_rng(0)
        out = np.empty((self.count, self.height, self.width, 3), np.uint8)
        shifts = AMPLITUDE * np.sin(2 * np.pi * FREQUENCY / FPS * np.arange(self.count))
        for frame, shift in zip(out, shifts, strict=True):
            grey = np.full((self.height, self.width), 0.5)
            for place, along, period in self._panels():
                grey[place] += _CONTRAST * np.sin(2 * np.pi * (along - shift) / period)
            noisy = grey[..., None] + _NOISE * generator.standard_normal((*grey.shape, 3))
            frame[...] = np.rint(255 * noisy)
        return out

    def truth(self, frames: Bytes, factor: float) -> Truth | None:
        """Compare the motion in the middle of a magnified clip with ``factor`` × the input's.

        None for a clip of fewer than 30 frames, which has no whole period away from its ends.
        """
        period = round(FPS / FREQUENCY)
        start, stop = -(-self.count // 2 // period) * period, (self.count // period - 1) * period
        if stop <= start:
            return None
        time = 2 * np.pi * FREQUENCY / FPS * np.arange(start, stop)
        gains, lates = [], []
        for place, along, length in self._panels():
            grey = frames[start:stop, place[0], place[1]].mean(-1) / 255 - 0.5
            window = np.hanning(grey.shape[1])[:, None] * np.hanning(grey.shape[2])
            turn = 2 * np.pi * along / length
            # Against the wave at rest, seen through the same window.
            part = (grey * window * np.exp(-1j * turn)).sum((1, 2)) / (
                np.sin(turn) * window * np.exp(-1j * turn)
            ).sum()
            moved = -np.angle(part) * length / (2 * np.pi)
            basis = np.stack([np.sin(time), np.cos(time), np.ones_like(time)], 1)
            sine, cosine, _ = np.linalg.lstsq(basis, moved, rcond=None)[0]
            gains.append(math.hypot(sine, cosine) / (AMPLITUDE * factor))
            lates.append(abs(math.atan2(-cosine, sine)) * FPS / (2 * np.pi * FREQUENCY))
        return Truth(min(gains), max(gains), max(lates))

    def _panels(self) -> list[tuple[tuple[slice, slice], Floats, int]]:
        """The place of each panel, the coordinate along its wave there, and its period."""
        panels = []
        for row, angle in enumerate(ANGLES):
            for column, period in enumerate(PERIODS):
                y, x = np.mgrid[: self._tall, : self._wide]
                place = (
                    slice(row * self._tall, (row + 1) * self._tall),
                    slice(column * self._wide, (column + 1) * self._wide),
                )
                panels.append((place, x * math.cos(angle) + y * math.sin(angle), period))
        return panels
