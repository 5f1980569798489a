"""``mm slice``: x–t and y–t slices of clips, one above the other, to see motion in one picture."""

from __future__ import annotations

import argparse
import math
import warnings
from dataclasses import replace
from pathlib import Path

from mm.cli.console import warnings_as_lines
from mm.errors import InputError
from mm.files import output
from mm.reports.slice_figure import draw
from mm.video import open_clip
from mm.video.slices import Slice, slice_clip


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
        return replace(found, times=found.times * (float(clip.info.rate) / args.fps))
