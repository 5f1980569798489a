"""Slices of clips above one another in one picture, with axes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mm.files import replacing
from mm.runtime import new_figure
from mm.video.slices import Slice

# Dots an inch of the picture: a pixel of the slice is at least one dot at this width.
_DPI, _WIDTH_INCHES = 150, 10.0


def draw(
    slices: Sequence[Slice],
    labels: Sequence[str],
    out: Path,
    clock: Literal["playback", "capture"] = "playback",
) -> None:
    """Draw slices above one another, time to the right, the line's pixels upwards as they lie in the frame.

    Args:
        slices: one or more, all rows or all columns.
        labels: what to write above each.
        out: the PNG.
        clock: whether their times are of playback or of capture.

    Raises:
        OSError: if the picture cannot be written.
    """
    # At least two inches of height each, more where the line is long beside the number of frames.
    heights = [2 + min(3.0, _WIDTH_INCHES / 4 * part.lines.shape[2] / len(part.times)) for part in slices]
    figure = new_figure(_WIDTH_INCHES, sum(heights), _DPI)
    slices = [part.evenly() for part in slices]
    axes = figure.subplots(len(slices), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, label, axis in zip(slices, labels, axes, strict=True):
        times = part.times
        step = float(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 1.0
        length = part.lines.shape[2]
        axis.imshow(
            part.lines.permute(2, 0, 1).numpy(),
            aspect="auto",
            interpolation="nearest",
            extent=(float(times[0]) - step / 2, float(times[-1]) + step / 2, length - 0.5, -0.5),
        )
        axis.set_title(f"{label}: {'row' if part.along == 'x' else 'column'} {part.position}", fontsize=9)
        axis.set_xlabel(f"time of {clock} / s")
        axis.set_ylabel(f"{part.along} / px")
    with replacing(out) as new:
        figure.savefig(new, format="png")
