"""``mm magnify``: a clip in, the same clip with its motion magnified out."""

from __future__ import annotations

import argparse
import sys

from mm.cli.arguments import add_settings, add_stabilize, add_work, settings
from mm.cli.console import rate, warnings_as_lines
from mm.files import output
from mm.magnify import clip
from mm.magnify.monitor import UNSEEN
from mm.magnify.presets import preset
from mm.magnify.settings import Settings
from mm.methods.parameters import split
from mm.plugins import load_plugins
from mm.registry import methods
from mm.video.containers import X264_PRESETS
from mm.video.writer import DEFAULT_CRF, DEFAULT_PRESET


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_settings(parser)
    parser.add_argument(
        "output",
        type=output,
        metavar="OUT",
        help="a video (.mp4, .m4v, .mov, .mkv, .webm, .avi, .gif); no suffix: a folder of PNG images",
    )
    add_stabilize(parser)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--depth",
        type=int,
        metavar="BITS",
        help="bits of a sample of images that keep fewer in 16, such as 12 of many cameras",
    )
    how.add_argument(
        "--method", help=f"one of: {', '.join(sorted(methods))}, or a plug-in's (default: learned)"
    )
    how.add_argument(
        "-o",
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the method's own, such as orientations=8 for phase; can be given several times; "
        "`mm methods NAME` lists them",
    )
    how.add_argument(
        "--direction",
        type=float,
        metavar="DEGREES",
        help="magnify motion along this direction alone, from right (0) to down (90); splat weights take it",
    )
    how.add_argument(
        "--weights", metavar="NAME|FILE", help="shipped weights, or a .safetensors, .ckpt or .npz file"
    )
    add_work(how)
    how.add_argument(
        "--batch", type=int, metavar="N", help="frames at once; chosen by their size if not given"
    )
    out = parser.add_argument_group("what is written")
    out.add_argument("--side-by-side", action="store_true", help="put the input left of the output")
    out.add_argument("--lossless", action="store_true", help="write FFV1 (.mkv) instead of H.264")
    out.add_argument(
        "--crf", type=float, default=DEFAULT_CRF, help="quality of H.264, 0 to 51, lower is better"
    )
    out.add_argument(
        "--x264-preset",
        choices=X264_PRESETS,
        default=DEFAULT_PRESET,
        help=f"speed of H.264's encoder, slower ones make smaller files (default: {DEFAULT_PRESET})",
    )
    out.add_argument("--quiet", action="store_true", help="no progress bar and no summary")


def run(args: argparse.Namespace) -> None:
    """Magnify the clip and print what was done."""
    with warnings_as_lines():
        load_plugins(args.plugins)
        reveals = None if args.preset is None else preset(args.preset).reveals
        along = {} if args.direction is None else {"direction": f"{args.direction:g}"}
        report = clip.magnify(
            args.input,
            args.output,
            method=args.method,
            options=split(args.option) | along,
            weights=args.weights,
            side_by_side=args.side_by_side,
            stabilize=args.stabilize,
            still=args.still,
            lossless=args.lossless,
            crf=args.crf,
            x264_preset=args.x264_preset,
            depth=args.depth,
            batch=args.batch,
            progress=not args.quiet and sys.stdout.isatty(),
            on_start=None if args.quiet or reveals is None else lambda found: _announce(found, reveals),
            **settings(args),
        )
    if not args.quiet:
        print("\n".join(summary(report)))


def _announce(settings: Settings, reveals: str) -> None:
    """Print what a preset and the command's own options come to, before the work."""
    print(f"preset {settings.preset}: {reveals}")
    print("\n".join(f"  {line}" for line in settings.lines()), flush=True)


def summary(report: clip.ClipReport) -> list[str]:
    """The lines that end the command."""
    width, height = report.size
    lines = [
        f"{report.target}: {report.frames} frames of {width}×{height} px at {report.rate:.6g} a second",
        report.method,
        f"{report.seconds:.1f} s, {rate(report.speed)}",
    ]
    columns, rows = report.padding
    if columns or rows:
        lines[0] += (
            f" (the last {'column and row' if columns and rows else 'column' if columns else 'row'} repeated"
        )
        lines[0] += " to make the size even, as H.264 4:2:0 needs; --lossless keeps odd sizes)"
    if report.largest_motion is not None:
        against = {"static": " from the first frame", "dynamic": " from frame to frame"}
        named = against.get(report.settings.mode, " in the band")
        if report.largest_amplitude:
            named += f" (amplitude {report.largest_amplitude:.2g} px, half of peak to peak)"
        lines.append(f"largest motion in the input{named}: {_motion(report, report.largest_motion)}")
    return lines


def _motion(report: clip.ClipReport, largest: float) -> str:
    """Say how far the input moves, and what follows for the factor."""
    factor, reach = report.settings.factor, report.trained_reach
    found = f"about {largest:.2g} px" if largest else "too small to measure here; mm spectrum measures less"
    if reach is None or (largest or UNSEEN) * factor <= reach:
        return found
    if largest:
        return f"{found}; a factor of at most {reach / largest:.2g} keeps it within {reach:g} px"
    return f"{found}. Past {reach / factor:.2g} px, × {factor:g} is past the {reach:g} px of the training"
