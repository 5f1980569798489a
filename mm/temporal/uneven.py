"""Frames at uneven times: an even grid that they are brought to, filtered on, and brought back from."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mm.errors import InputError
from mm.temporal.base import TemporalFilter

WINDOW = 8  # gaps between frames whose mean is the local rate
STRAY = 0.25  # of a step: times that stray less from even ones are even
SAME_RATE = 0.01  # part by which the container's rate may miss that of its times
MOST = 8  # points of a grid for each frame
_ALIKE = 0.25  # part by which a gap differs from the fastest ones and is of them
_ON = 1e-3  # of a step: a frame so near to a point of the grid is on it

Floats = NDArray[np.floating]


@dataclass
class Grid:
    """Even times that uneven frames are brought to.

    Attributes:
        rate: points a second, the fastest local rate of the frames.
        slowest: the slowest local rate, frames a second.
        points: of the grid over the clip.
        frames: of the clip.
        places: of the frames since the clip's beginning, or since a cut, in points; filled while they come.
    """

    rate: float
    slowest: float
    points: int
    frames: int
    places: list[float] = field(default_factory=list)

    def note(self, pts: Sequence[int], time_base: Fraction, begins: bool) -> None:
        """Note the places of the next frames, by their ticks; ``begins``: the first is that after a cut."""
        if begins:
            self.places.clear()
        self.places += [float(tick * time_base) * self.rate for tick in pts]

    def describe(self) -> str:
        """Return what the rate does, in words."""
        if self.rate - self.slowest <= SAME_RATE * self.rate:
            return f"it has a varying frame rate, here about {_number(self.rate)} a second"
        return f"it has a varying frame rate, {_number(self.slowest)} to {_number(self.rate)} a second"

    def check(self, name: str | Path) -> None:
        """Refuse a grid of more than :data:`MOST` points a frame.

        Raises:
            InputError: with the rates, and what would do.
        """
        if self.points > MOST * self.frames:
            raise InputError(
                f"{name}: {self.describe()}, so that {self.frames} frames would be {self.points} even ones; "
                "take a part of it (--start, --end), or make its rate even, "
                "for example with `ffmpeg -i IN -vf fps=30 OUT`"
            )


def _number(rate: float) -> str:
    return f"{rate:.3g}" if rate < 100 else f"{rate:.0f}"


def grid_of(seconds: Sequence[float] | Floats, rate: float, tick: float = 0.0) -> Grid | None:
    """Return the grid for frames whose times are uneven, None for frames that are even at ``rate``.

    Args:
        seconds: (T,) times of the frames, increasing.
        rate: frames a second as the container has it.
        tick: seconds to which the times are rounded.
    """
    times = np.asarray(seconds, np.float64)
    if len(times) < 3 or times[-1] <= times[0]:
        return None
    step = float(times[-1] - times[0]) / (len(times) - 1)
    stray = np.abs(times - times[0] - step * np.arange(len(times))).max()
    if stray <= max(STRAY * step, tick) and abs(step * rate - 1) <= SAME_RATE:
        return None
    window = min(WINDOW, len(times) - 1)
    local, gaps = (times[window:] - times[:-window]) / window, np.diff(times)
    fastest = float(local.min())
    # Their mean knows the step better than one window of times that are rounded.
    alike = gaps[np.abs(gaps / fastest - 1) < _ALIKE]
    fastest = float(alike.mean()) if len(alike) >= window else fastest
    return Grid(
        1 / fastest, 1 / float(local.max()), math.ceil(step / fastest * (len(times) - 1)) + 1, len(times)
    )


def resampled(places: Floats, values: Floats, wanted: Floats) -> Floats:
    """Interpolate values (T, ...) at increasing places (T,) to other places (M,), held beyond the ends.

    Between frames runs a cubic Hermite spline whose slope at a frame is that between its two neighbours
    (Catmull and Rom 1974): it follows slow signals closely, and long gaps do not make it overshoot.
    """
    index, weights = _weights(places, wanted)
    shape = (-1,) + (1,) * (values.ndim - 1)
    parts = [values[index[:, k]] * weights[:, k].astype(values.dtype).reshape(shape) for k in range(4)]
    found: Floats = sum(parts[1:], parts[0])
    return found


def _weights(places: Floats, wanted: Floats) -> tuple[NDArray[np.integer], Floats]:
    """Return for each wanted place the four frames that it comes from, (M, 4), and their weights."""
    last = len(places) - 1
    left = (np.searchsorted(places, wanted, side="right") - 1).clip(0, max(last - 1, 0))
    index = (left[:, None] + np.arange(-1, 3)).clip(0, last)
    before, begin, end, after = places[index].T
    gap = end - begin
    t = np.divide(wanted - begin, gap, out=np.zeros_like(gap), where=gap > 0).clip(0, 1)
    slope = t * (1 - t) ** 2 * np.divide(gap, end - before, out=np.zeros_like(gap), where=end > before)
    bend = t**2 * (t - 1) * np.divide(gap, after - begin, out=np.zeros_like(gap), where=after > begin)
    rise = t**2 * (3 - 2 * t)
    return index, np.stack([-slope, 1 - rise - bend, rise + slope, bend], 1)


class UnevenFilter(TemporalFilter):
    """A filter for frames at uneven times: works on the points of a grid, and gives the band at the frames.

    Args:
        inner: the filter, made for the grid's rate.
        grid: where it finds each frame's place by the time that the frame is pushed.
    """

    def __init__(self, inner: TemporalFilter, grid: Grid) -> None:
        self.inner, self.grid = inner, grid
        # Two frames on each side are interpolated from, and two points.
        self.delay = inner.delay + 4
        super().__init__(inner.band, inner.storage)

    @property
    def min_frames(self) -> int:
        """Frames of the shortest clip where they are rarest; the points are counted at the clip's end."""
        return max(1, math.floor(self.inner.min_frames * self.grid.slowest / self.grid.rate))

    def check_length(self, frames: int) -> None:
        """Nothing: the inner filter counts points, not frames, at the clip's end."""

    def gain(self, frequency: float) -> complex:
        """The inner filter's; interpolation lessens what is near to half of the local rate."""
        return self.inner.gain(frequency)

    def describe(self) -> str:
        """One line for the user."""
        return f"{self.inner.describe()}; the frames' times are uneven"

    def memory(self, values: int, frames: int) -> int:
        """Bytes held at most between calls."""
        points = math.ceil(frames * self.grid.points / self.grid.frames)
        itemsize = (self.storage or torch.float32).itemsize
        return self.inner.memory(values, points) + values * (self.delay * itemsize + 8 * 4)

    def _reset(self) -> None:
        super()._reset()
        self.inner._reset()
        self._recent: deque[tuple[float, Tensor]] = deque(maxlen=4)
        self._waiting: deque[tuple[float, Tensor]] = deque()
        self._bands: deque[Tensor] = deque()
        # Points that went in, and the first of those whose band is held.
        self._points = self._first_band = 0

    def _take(self, row: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        place = self.grid.places[self._pushed - 1] - self.grid.places[0]
        place = float(round(place)) if abs(place - round(place)) < _ON else place
        self._recent.append((place, row))
        self._waiting.append((place, row))
        if len(self._recent) > 1:
            self._hold(self._between(math.floor(self._recent[-2][0])))
        yield from self._known(math.inf)

    def _finish(self) -> Iterator[tuple[Tensor, Tensor]]:
        self._hold(self._between(math.ceil(self._recent[-1][0])))
        self._hold(self.inner.flush_aligned())
        yield from self._known(-math.inf)

    def _between(self, until: int) -> Iterator[Any]:
        """Put the points up to ``until`` through the inner filter."""
        points = np.arange(self._points, until + 1)
        self._points = max(self._points, until + 1)
        if len(points):
            rows = [row for _, row in self._recent]
            for index, weights in zip(
                *_weights(np.array([place for place, _ in self._recent]), points.astype(float)), strict=True
            ):
                yield from self.inner.push_aligned(self._mixed(rows, index, weights)[None])

    def _hold(self, blocks: Iterable[Any]) -> None:
        for block in blocks:
            self._bands.extend(block.band)

    def _known(self, ahead: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Give the frames whose band is known; two points beyond them are needed if ``ahead`` is infinite."""
        found = []
        while self._waiting and self._bands:
            place, row = self._waiting[0]
            last = self._first_band + len(self._bands) - 1
            if last < (place if place.is_integer() else math.floor(place) + 2) and ahead > 0:
                break
            while self._first_band < math.floor(place) - 1 and len(self._bands) > 1:
                self._bands.popleft()
                self._first_band += 1
            near = list(islice(self._bands, 4))
            index, weights = _weights(self._first_band + np.arange(len(near), dtype=float), np.array([place]))
            self._waiting.popleft()
            found.append((row.to(self._compute), self._mixed(near, index[0], weights[0])))
        if found:
            differences, bands = zip(*found, strict=True)
            yield torch.stack(differences), torch.stack(bands)

    @property
    def _compute(self) -> torch.dtype:
        assert self._first is not None
        return self._first.dtype

    def _mixed(self, rows: list[Tensor], index: Iterable[int], weights: Iterable[float]) -> Tensor:
        parts = [(rows[i], float(w)) for i, w in zip(index, weights, strict=True) if w]
        mixed = parts[0][0].to(self._compute) * parts[0][1]
        for row, weight in parts[1:]:
            mixed.add_(row.to(self._compute), alpha=weight)
        return mixed
