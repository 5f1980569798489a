"""x–t and y–t slices: one line of every frame, laid side by side, in which a motion is a wavy edge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mm.errors import InputError
from mm.video.reader import open_clip


@dataclass(frozen=True)
class Slice:
    """One line of a clip over time.

    Attributes:
        lines: (T, 3, L) float32 R'G'B' in [0, 1]: for each frame the pixels of the line, left to right or top
            to bottom.
        times: (T,) float64 seconds of playback of each frame, from the clip's beginning.
        along: "x" for a row (an x–t slice), "y" for a column (a y–t slice).
        position: the row or column, in pixels.
    """

    lines: Tensor
    times: Tensor
    along: str
    position: int

    @property
    def image(self) -> Tensor:
        """(3, T, L) for a row, time going down; (3, L, T) for a column, time going right."""
        image = self.lines.permute(1, 0, 2)
        return image if self.along == "x" else image.transpose(1, 2)

    def evenly(self) -> Slice:
        """Return the slice with a line for each of even times; of uneven frames each stays until the next."""
        count, begin, end = len(self.times), float(self.times[0]), float(self.times[-1])
        stray = float((self.times - torch.linspace(begin, end, count, dtype=torch.float64)).abs().max())
        if count < 3 or stray <= (end - begin) / (count - 1) / 2:
            return self
        # No more lines than a picture can show.
        step = max(float(self.times.diff().min()), (end - begin) / (8 * count))
        times = torch.arange(begin, end + step / 2, step, dtype=torch.float64)
        frames = torch.searchsorted(self.times, times + step / 1000, right=True) - 1
        return replace(self, lines=self.lines[frames], times=times)


def slice_clip(
    path: str | Path,
    *,
    row: int | None = None,
    column: int | None = None,
    start: float | None = None,
    end: float | None = None,
) -> Slice:
    """Take one line of every frame of a clip; no more than a few frames are held.

    Args:
        path: a video file or a folder of images.
        row: the row to take, in pixels from the top; give this or ``column``.
        column: the column to take, in pixels from the left.
        start: seconds of playback at which to begin.
        end: seconds of playback before which to stop.

    Raises:
        InputError: if not exactly one line is given, if it lies outside the frame, or if the clip cannot be
        read.
    """
    if (row is None) == (column is None):
        raise InputError("a slice needs one line: give either a row or a column")
    position, along = (row, "x") if row is not None else (column, "y")
    assert position is not None
    with open_clip(path, start=start, end=end) as clip:
        name, limit = ("row", clip.info.height) if along == "x" else ("column", clip.info.width)
        if not 0 <= position < limit:
            raise InputError(f"{name} {position} lies outside {path}, which has {name}s 0 to {limit - 1}")
        lines: list[Tensor] = []
        times: list[float] = []
        for frames, pts in clip.chunks():
            line = frames[:, :, position, :] if along == "x" else frames[:, :, :, position]
            # A copy: a view would keep the whole frames alive.
            lines.append(line.clone())
            times.extend(float(tick * clip.info.time_base) for tick in pts)
    return Slice(torch.cat(lines), torch.tensor(times, dtype=torch.float64), along, position)
