"""``mm magnify``: a clip in, the same clip with its motion magnified out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mm.cli.console import rate, warnings_as_lines
from mm.errors import InputError
from mm.files import output
from mm.magnify import clip
from mm.magnify.monitor import UNSEEN
from mm.magnify.presets import PRESETS, preset
from mm.magnify.settings import Settings
from mm.methods.parameters import split
from mm.plugins import load_plugins
from mm.registry import methods
from mm.temporal import FILTERS
from mm.video.containers import X264_PRESETS
from mm.video.writer import DEFAULT_CRF, DEFAULT_PRESET


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("input", type=Path, metavar="IN", help="a video, a folder of images, or a TIFF stack")
    parser.add_argument(
        "output",
        type=output,
        metavar="OUT",
        help="a video (.mp4, .m4v, .mov, .mkv, .webm, .avi, .gif); no suffix: a folder of PNG images",
    )
    what = parser.add_argument_group("what is magnified")
    # No defaults where a preset may have a value: what is None was not given.
    what.add_argument(
        "--preset",
        metavar="NAME",
        help=f"begin from a named set of parameters: {', '.join(PRESETS)}; `mm presets` explains them",
    )
    what.add_argument(
        "--factor",
        type=float,
        help="gain of the displacement; 1 leaves motion as it is, 0 takes it away (default: 10)",
    )
    what.add_argument(
        "--mode",
        choices=("static", "dynamic", "temporal"),
        help="motion against the first frame, against the frame before, or within a band of frequencies "
        "(default: temporal if a band is given, else what the method does by itself, static for most)",
    )
    what.add_argument("--low", type=float, metavar="HZ", help="lower edge of the band")
    what.add_argument("--high", type=float, metavar="HZ", help="upper edge of the band")
    what.add_argument(
        "--fps",
        type=float,
        metavar="HZ",
        help="frames per second of capture, if the container's rate is not it",
    )
    what.add_argument("--filter", choices=tuple(FILTERS), help="the temporal filter (default: butter)")
    what.add_argument(
        "--order", type=int, metavar="N", help="of the Butterworth filters: 2, 4, 6 or 8; higher is steeper"
    )
    what.add_argument(
        "--taps",
        type=int,
        metavar="N",
        help="length of the fir filter in frames; if not given, the band decides",
    )
    what.add_argument(
        "--depth",
        type=int,
        metavar="BITS",
        help="bits of a sample of images that keep fewer in 16, such as 12 of many cameras",
    )
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
        "--ignore-cuts", action="store_true", help="take the whole clip for one shot, cuts or not"
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
            order=args.order,
            taps=args.taps,
            options=split(args.option),
            preset=args.preset,
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
            x264_preset=args.x264_preset,
            depth=args.depth,
            batch=args.batch,
            cuts=not args.ignore_cuts,
            progress=not args.quiet and sys.stdout.isatty(),
            on_start=None if args.quiet or reveals is None else lambda settings: _announce(settings, reveals),
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


def _region(text: str) -> clip.Region:
    parts = text.split(",")
    try:
        x, y, width, height = (int(part) for part in parts)
    except ValueError:
        raise InputError(f"--roi must be four whole numbers x,y,width,height in px, got {text!r}") from None
    return x, y, width, height
