"""``mm magnify``: a clip in, the same clip with its motion magnified out."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from mm.cli.notices import warnings_as_lines
from mm.errors import InputError
from mm.methods import clip
from mm.plugins import load_plugins
from mm.registry import methods
from mm.temporal import FILTERS
from mm.video.writer import DEFAULT_CRF


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "input", type=Path, metavar="IN", help="a video, or a folder of PNG, TIFF or JPEG images"
    )
    parser.add_argument(
        "output",
        type=Path,
        metavar="OUT",
        help="a video (.mp4, .m4v, .mov, .mkv); no suffix: a folder of PNG images",
    )
    what = parser.add_argument_group("what is magnified")
    what.add_argument(
        "--factor", type=float, default=10.0, help="gain of the displacement; 1 changes nothing"
    )
    what.add_argument(
        "--mode",
        choices=("static", "dynamic", "temporal"),
        default="static",
        help="motion against the first frame, against the frame before, or within a band of frequencies",
    )
    what.add_argument("--low", type=float, metavar="HZ", help="lower edge of the band")
    what.add_argument("--high", type=float, metavar="HZ", help="upper edge of the band")
    what.add_argument(
        "--fps",
        type=float,
        metavar="HZ",
        help="frames per second of capture, if the container's rate is not it",
    )
    what.add_argument("--filter", choices=tuple(FILTERS), default="butter", help="the temporal filter")
    what.add_argument("--start", type=float, metavar="S", help="begin at this time of playback, seconds")
    what.add_argument("--end", type=float, metavar="S", help="stop before this time of playback, seconds")
    what.add_argument(
        "--roi",
        metavar="X,Y,W,H",
        help="magnify only this region, px of the input; the rest is kept",
    )
    what.add_argument("--scale", type=float, default=1.0, help="resize the frames first")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--method", default="learned", help=f"one of: {', '.join(sorted(methods))}, or a plug-in's"
    )
    how.add_argument(
        "--plugins", nargs="+", default=[], metavar="PATH", help="a .py file, or a folder of them, to load"
    )
    how.add_argument(
        "--weights", metavar="NAME|FILE", help="shipped weights, or a .safetensors, .ckpt or .npz file"
    )
    how.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    how.add_argument("--precision", choices=("32", "bf16"), default="32", help="bf16 is faster on a GPU")
    how.add_argument(
        "--batch", type=int, metavar="N", help="frames at once; chosen by their size if not given"
    )
    out = parser.add_argument_group("what is written")
    out.add_argument("--side-by-side", action="store_true", help="put the input left of the output")
    out.add_argument("--lossless", action="store_true", help="write FFV1 (.mkv) instead of H.264")
    out.add_argument(
        "--crf", type=float, default=DEFAULT_CRF, help="quality of H.264, 0 to 51, lower is better"
    )
    out.add_argument("--quiet", action="store_true", help="no progress bar and no summary")


def run(args: argparse.Namespace) -> None:
    """Magnify the clip and print what was done."""
    with _sigterm_cleans_up(), warnings_as_lines():
        load_plugins(args.plugins)
        report = clip.magnify(
            args.input,
            args.output,
            factor=args.factor,
            mode=args.mode,
            method=args.method,
            low=args.low,
            high=args.high,
            fps=args.fps,
            filter=args.filter,
            weights=args.weights,
            device=args.device,
            precision=args.precision,
            side_by_side=args.side_by_side,
            start=args.start,
            end=args.end,
            scale=args.scale,
            roi=None if args.roi is None else _region(args.roi),
            lossless=args.lossless,
            crf=args.crf,
            batch=args.batch,
            progress=not args.quiet and sys.stdout.isatty(),
        )
    if not args.quiet:
        print("\n".join(summary(report)))


def summary(report: clip.ClipReport) -> list[str]:
    """The lines that end the command."""
    width, height = report.size
    lines = [
        f"{report.target}: {report.frames} frames of {width}×{height} px at {report.rate:.4g} a second",
        report.method,
        f"{report.seconds:.1f} s, {report.speed:.2g} frames a second",
    ]
    columns, rows = report.padding
    if columns or rows:
        lines[0] += (
            f" (the last {'column and row' if columns and rows else 'column' if columns else 'row'} repeated"
        )
        lines[0] += " to make the size even, as H.264 4:2:0 needs; --lossless keeps odd sizes)"
    if report.largest_motion:
        lines.append(f"largest motion in the input: about {report.largest_motion:.2g} px")
    return lines


def _region(text: str) -> clip.Region:
    parts = text.split(",")
    try:
        x, y, width, height = (int(part) for part in parts)
    except ValueError:
        raise InputError(f"--roi must be four whole numbers x,y,width,height in px, got {text!r}") from None
    return x, y, width, height


@contextlib.contextmanager
def _sigterm_cleans_up() -> Iterator[None]:
    """Let SIGTERM, by which schedulers end a job, clean up as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread may have handlers.
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
