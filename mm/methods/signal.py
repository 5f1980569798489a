"""The course of a few numbers over a clip, and what a band of frequencies selects of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mm.temporal import Band, from_band
from mm.temporal.band import frames_in


class SignalBand:
    """Band-passes the course of a transform whose slow part is far larger than its fast one.

    The filters of :mod:`mm.temporal` are made for what hardly moves, and take a clip to stand still before
    its first and after its last frame. A region that crosses the frame does not, and the kinks at the ends
    would be in every band, as large as the motion itself. So the course is continued beyond both ends by its
    own reflection in the end point, which goes on with the same speed; and first a weighted mean over two
    periods of the low edge is taken out, a Hann window, which is zero at the low edge's multiples, below 3 %
    between them, and follows even motion exactly. What moves evenly has then nothing in the band.

    Args:
        band: the frequencies to select.
    """

    def __init__(self, band: Band) -> None:
        self.band = band
        self.filter = from_band(band)
        self._half = frames_in(1 / band.low, band.fps)
        # Of length 2·half, sampled with a zero at both ends, so that its spectrum is zero where it should be.
        window = torch.hann_window(2 * self._half, periodic=True, dtype=torch.float64)
        self._mean = torch.cat([window, window[:1]])[:, None] / window.sum()
        self._ends = self._half + max(self.filter.delay, self._half)
        self._reset()

    @property
    def delay(self) -> int:
        """Frames by which output is later than input, at most."""
        return max(self._ends, self._half + self.filter.delay)

    def memory(self, values: int, frames: int) -> int:
        """Bytes held at most between calls."""
        held = 2 * self.filter.memory(values, frames + 2 * self._ends)
        return held + 8 * values * (2 * self._half + 2 * self._ends + self.filter.delay + 3)

    def push(self, values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Take the next frame's numbers (n,); give (numbers, what is in the band) of the frames now known."""
        values = values.double()
        self._count += 1
        self._recent.append(values)
        if self._begun:
            # Of the past only what the reflection at the end needs is kept.
            self._recent.popleft()
            yield from self._through([values])
        elif self._count > self._ends:
            yield from self._begin()

    def flush(self) -> Iterator[tuple[Tensor, Tensor]]:
        """End the clip; give what was waiting.

        Raises:
            InputError: for a clip shorter than the filter needs.
        """
        try:
            if not self._count:
                return
            self.band.check_length(self._count, self.filter.min_frames)
            if not self._begun:
                yield from self._begin()
            yield from self._through(self._continued(0, self._ends)[len(self._recent) :])
            for done in self.filter.flush_aligned():
                yield from self._own(done.band)
        finally:
            self._reset()

    def _reset(self) -> None:
        self.filter = from_band(self.band)
        self._recent: deque[Tensor] = deque()
        self._window: deque[Tensor] = deque()
        self._waiting: deque[Tensor] = deque()
        self._begun = False
        self._count = self._given = 0
        # What is put before the beginning, less what the first whole window swallows.
        self._skip = self._ends - self._half

    def _continued(self, before: int, after: int) -> list[Tensor]:
        known = torch.stack(list(self._recent)).numpy()
        ends = ((before, after), (0, 0))
        # A single frame tells nothing of a speed.
        if len(known) == 1:
            return list(torch.from_numpy(np.pad(known, ends, mode="edge")))
        return list(torch.from_numpy(np.pad(known, ends, mode="reflect", reflect_type="odd")))

    def _begin(self) -> Iterator[tuple[Tensor, Tensor]]:
        self._begun = True
        yield from self._through(self._continued(self._ends, 0))

    def _through(self, values: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for one in values:
            self._window.append(one)
            if len(self._window) <= 2 * self._half:
                continue
            window = torch.stack(list(self._window))
            self._window.popleft()
            centre = window[self._half]
            self._waiting.append(centre)
            for done in self.filter.push_aligned((centre - (self._mean * window).sum(0))[None]):
                yield from self._own(done.band)

    def _own(self, band: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Put the numbers beside their band, and leave out what was added at the ends."""
        for passed in band:
            values = self._waiting.popleft()
            if self._skip:
                self._skip -= 1
            elif self._given < self._count:
                self._given += 1
                yield values, passed
