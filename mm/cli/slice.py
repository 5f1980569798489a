"""``mm slice``: x–t and y–t slices of clips, one above the other, to see motion in one picture."""

from __future__ import annotations

import argparse
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Literal

from mm.cli.console import warnings_as_lines
from mm.errors import InputError
from mm.files import output, replacing
from mm.video import open_clip
from mm.video.slices import Slice, slice_clip

# Dots an inch of the picture: a pixel of the slice is at least one dot at this width.
_DPI = 150
_WIDTH_INCHES = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="videos or folders of images")
    line = parser.add_mutually_exclusive_group(required=True)
    line.add_argument("--row", type=int, metavar="Y", help="take this row of every frame, px from the top")
    line.add_argument("--column", type=int, metavar="X", help="take this column, px from the left")
    parser.add_argument(
        "--fps",
        type=float,
        metavar="HZ",
        help="frames per second of capture, if the container's rate is not it, for an axis of that time",
    )
    parser.add_argument("--start", type=float, metavar="S", help="begin at this time of playback, seconds")
    parser.add_argument("--end", type=float, metavar="S", help="stop before this time of playback, seconds")
    parser.add_argument("--out", type=output, required=True, metavar="PNG", help="the picture to write")


def run(args: argparse.Namespace) -> None:
    """Draw the slices; what a clip's slice shows is labelled with the clip's name."""
    out: Path = args.out
    if out.suffix.lower() != ".png":
        raise InputError(f"the picture is written as PNG, got --out {out}; name it .png")
    if not out.absolute().parent.is_dir():
        raise InputError(f"cannot write {out}: there is no folder {out.parent}; make it first")
    if args.fps is not None and not (math.isfinite(args.fps) and args.fps > 0):
        raise InputError(f"--fps must be a number above 0 frames a second, got {args.fps:g}")
    with warnings_as_lines():
        slices = [_slice(name, args) for name in args.inputs]
        _tell_other_sizes(args.inputs, 0 if args.row is None else 1)
    draw(slices, [name.name for name in args.inputs], out, "playback" if args.fps is None else "capture")
    count = len(slices[0].times)
    print(f"{out}: {count} frame{'s' * (count > 1)} of {', '.join(str(name) for name in args.inputs)}")


def _tell_other_sizes(paths: list[Path], axis: int) -> None:
    """Warn of clips whose width (axis 0) or height (1) differ, so that one line is not one place in all."""
    sides = []
    for path in paths:
        with open_clip(path) as clip:
            sides.append((clip.info.width, clip.info.height)[axis])
    for path, side in zip(paths, sides, strict=True):
        # H.264 makes an odd side even by repeating its last line, and no line moves by that.
        if abs(side - sides[0]) > 1:
            what = ("wide", "column") if axis == 0 else ("high", "row")
            warnings.warn(
                f"{path} is {side} px {what[0]} and {paths[0]} {sides[0]} px: the same {what[1]} is another "
                "place in each; mm compare keeps them together",
                stacklevel=2,
            )
            return


def _slice(path: Path, args: argparse.Namespace) -> Slice:
    found = slice_clip(path, row=args.row, column=args.column, start=args.start, end=args.end)
    if args.fps is None:
        return found
    with open_clip(path) as clip:
        return captured(found, float(clip.info.rate), args.fps)


def captured(part: Slice, playback: float, fps: float) -> Slice:
    """A slice with its times in seconds of capture.

    Args:
        part: with times in seconds of playback.
        playback: frames a second of playback.
        fps: frames a second of capture.
    """
    return replace(part, times=part.times * (playback / fps))


def draw(
    slices: list[Slice], labels: list[str], out: Path, clock: Literal["playback", "capture"] = "playback"
) -> None:
    """Draw slices above one another, time to the right, the line's pixels upwards as they lie in the frame.

    Args:
        slices: one or more, all rows or all columns.
        labels: what to write above each.
        out: the PNG.
        clock: whether their times are of playback or of capture.

    Raises:
        InputError: if the picture cannot be written.
    """
    # Here, not above: matplotlib takes a second to load, and only this function needs it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # At least two inches of height each, more where the line is long beside the number of frames.
    heights = [2 + min(3.0, _WIDTH_INCHES / 4 * part.lines.shape[2] / len(part.times)) for part in slices]
    figure = Figure(figsize=(_WIDTH_INCHES, sum(heights)), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
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
