"""The clip on which a method with a temporal filter is measured (Oh et al. 2018, section 5.2 and Figure 8).

The paper gives the phase-based method not two frames but a video: everything moves at 3 Hz, at 30 frames a
second, and a FIR filter of 30 taps passes 0.5 to 7.5 Hz. Here each moving layer swings about rest by
``motion · cos(2π · 3 · (t − 30) / 30)`` px, so that in the clip's middle it stands where it does in the moved
frame of a pair, and the truth is that of the pair.

At 3 Hz the gain of that filter is 1.013: a method that is right shows ``1 + 1.013 · (factor − 1)`` times the
motion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from mm.evaluation.protocol import Rounding, record_frames, seeded
from mm.temporal import Band

FPS = 30.0
FREQUENCY = 3.0  # Hz, of the motion
BAND = Band(0.5, 7.5, FPS, "fir", taps=30)
FRAMES = 61  # a period of the band's low edge, and one more for the middle
MIDDLE = FRAMES // 2

_PERIOD = round(FPS / FREQUENCY)  # frames; the course repeats exactly


def swing() -> Tensor:
    """Return the displacements of the clip that differ, as parts of the motion: (6,), 1 first, −1 last."""
    step = torch.arange(_PERIOD // 2 + 1, dtype=torch.float64)
    return torch.cos(2 * math.pi * step / _PERIOD)


def place(frame: int) -> int:
    """Return which of :func:`swing` the clip's frame of this number shows; the middle one shows the first."""
    since = (frame - MIDDLE) % _PERIOD
    return min(since, _PERIOD - since)


def record(
    positions: Tensor, middle: Tensor, noise: float, key: tuple[int, ...], rounding: Rounding
) -> Iterator[Tensor]:
    """Record the clip, a frame at a time, so that never all of it is held.

    Args:
        positions: (6, 3, H, W) in [0, 1], the scene at each displacement of :func:`swing`.
        middle: (3, H, W), the clip's middle frame as it has been recorded: that of the pair, so that every
            method is asked to magnify one and the same frame.
        noise: the noise factor of the protocol.
        key: seeds the noise and the rounding, which are each frame's own.
        rounding: as in :func:`mm.evaluation.protocol.record_frames`.

    Yields:
        61 frames (3, H, W) float32 in [0, 1].
    """
    for frame in range(FRAMES):
        if frame == MIDDLE:
            yield middle
        else:
            yield record_frames(positions[place(frame)], noise, seeded(*key, frame), rounding)
