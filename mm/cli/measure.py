"""``mm measure``: displacement, vibrations and their uncertainties at places of a clip."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mm.cli.arguments import add_stabilize, numbers
from mm.cli.console import warnings_as_lines
from mm.errors import InputError

if TYPE_CHECKING:
    from mm.motion.measure import Measurement

LISTED = 5  # vibrations a place that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("input", type=Path, metavar="IN", help="a video, or a folder of images")
    places = parser.add_argument_group("places (those that move most if none is given), px of the input")
    for name, parts, text in (
        ("--point", "x,y", "measure the region about this point"),
        ("--roi", "x,y,width,height", "measure this region"),
        ("--line", "x0,y0,x1,y1", "measure points along this line"),
    ):
        places.add_argument(
            name,
            type=numbers(name, parts, int if name == "--roi" else float),
            action="append",
            default=[],
            metavar=parts.upper(),
            help=f"{text}; may be given several times",
        )
    places.add_argument("--size", type=int, default=32, metavar="PX", help="side of the region about a point")
    places.add_argument(
        "--direction",
        type=float,
        metavar="DEG",
        help='direction of the displacement "along", from x toward y; that of most motion if not given',
    )
    places.add_argument(
        "--shape",
        type=float,
        action="append",
        default=[],
        metavar="HZ",
        help="draw and animate how the whole picture moves at this frequency; may be given several times",
    )
    scale = parser.add_argument_group("scale and time")
    scale.add_argument("--mm-per-px", type=float, metavar="K", help="millimetres a px")
    scale.add_argument(
        "--known-length",
        type=numbers("--known-length", "px,mm"),
        metavar="PX,MM",
        help="a length in the picture, px and mm",
    )
    scale.add_argument(
        "--fps",
        type=float,
        metavar="HZ",
        help="frames per second of capture, if the container's rate is not it; a folder needs it",
    )
    scale.add_argument("--start", type=float, metavar="S", help="begin at this time of playback, seconds")
    scale.add_argument("--end", type=float, metavar="S", help="stop before this time of playback, seconds")
    add_stabilize(parser)
    band = parser.add_argument_group("spectrum")
    band.add_argument("--low", type=float, metavar="HZ", help="look for vibrations from this frequency on")
    band.add_argument("--high", type=float, metavar="HZ", help="look for vibrations up to this frequency")
    band.add_argument(
        "--resolution", type=float, metavar="HZ", help="of Welch's spectrum; the whole record's if not given"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the files; else IN_measured")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier measurement in --out")


def run(args: argparse.Namespace) -> None:
    """Measure, write the files and print what was found."""
    out: Path = args.out or Path(f"{args.input.resolve().stem}_measured")
    if (out / "report.json").exists() and not args.overwrite:
        raise InputError(
            f"{out} holds a measurement; name another folder with --out, or add --overwrite to replace it"
        )
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is no folder; name another with --out")
    # Here, not above: `mm measure --help` needs none of them.
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    from mm.motion.measure import measure
    from mm.reports.measurement import write_files

    columns = (TextColumn("{task.description}"), TextColumn("{task.completed} frames"))
    terminal = Console(stderr=True)
    with (
        warnings_as_lines(),
        Progress(*columns, console=terminal, transient=True, disable=not sys.stderr.isatty()) as bar,
    ):
        task = bar.add_task(f"measuring {args.input.name}", total=None)
        found = measure(
            args.input,
            points=args.point,
            rois=args.roi,
            lines=args.line,
            size=args.size,
            direction=args.direction,
            mm_per_px=args.mm_per_px,
            known_length=args.known_length,
            fps=args.fps,
            start=args.start,
            end=args.end,
            low=args.low,
            high=args.high,
            resolution=args.resolution,
            shapes=args.shape,
            stabilize=args.stabilize,
            still=args.still,
            advance=lambda count: bar.advance(task, count),
        )
    write_files(found, out)
    for line in found.warnings:
        print(f"mm: warning: {line}", file=sys.stderr)
    print("\n".join([*summary(found, args.fps is None), f"see {out / 'report.html'}"]))


def summary(found: Measurement, playback: bool) -> list[str]:
    """Return the lines that the command prints.

    Args:
        found: by the measurement.
        playback: whether the capture rate is the container's for want of another.
    """
    lines = [
        f"{found.path}: {len(found.times_s)} frames at {found.rate_hz:.6g} a second, {found.duration_s:.4g} s"
    ]
    if playback:
        lines.append("frequencies assume the container's rate; for a high-speed clip give --fps")
    if found.compression_line is not None:
        lines.append(found.compression_line)
    for place in found.places:
        lines.append(f"{place.name} at x {place.x_px:g}, y {place.y_px:g}: {place.verdict}")
        for each in place.sinusoids[:LISTED]:
            amplitude = f"{each.amplitude_px:.4g} ± {each.amplitude_px_u:.1g} px"
            if found.mm_per_px is not None:
                amplitude += f" = {each.amplitude_px * found.mm_per_px:.4g} mm"
            damping = f", damping ratio {each.damping_ratio:.2g}" if each.damping_ratio is not None else ""
            marks = f" ({', '.join(each.marks)}?)" if each.marks else ""
            lines.append(
                f"  {each.frequency_hz:.6g} ± {each.frequency_hz_u:.1g} Hz: {amplitude} along "
                f"{each.direction_deg:.0f}°, phase {each.phase_deg:.0f}°{damping}{marks}"
            )
    return lines
