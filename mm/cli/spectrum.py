"""``mm spectrum``: the frequencies at which something in a clip moves, and how to magnify them."""

from __future__ import annotations

import argparse
import csv
import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.cli.arguments import add_stabilize
from mm.cli.console import warnings_as_lines
from mm.errors import InputError
from mm.files import check_free, output, replacing
from mm.runtime import new_figure

if TYPE_CHECKING:
    from mm.motion.blocks import BlockMotion
    from mm.motion.spectrum import MotionSpectrum, Peak
    from mm.video.compression import Compression

SHOWN = 0.006  # of the longer side, px that the suggested factor makes of a peak's amplitude
LEAST_SHOWN, MOST_SHOWN = 1.5, 15.0  # px; more than the latter is past the reach of most methods
FACTORS = (2, 100)  # the least and the largest that is suggested
STEADY = 6.0  # periods in the clip, from which on a peak is suggested before one that may be a drift
MAPS = 3  # peaks whose places are drawn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("input", type=Path, metavar="IN", help="a video, or a folder of images")
    parser.add_argument(
        "--fps",
        type=float,
        metavar="HZ",
        help="frames per second of capture, if the container's rate is not it; a folder needs it",
    )
    parser.add_argument("--roi", metavar="X,Y,W,H", help="look only at this region, px of the input")
    parser.add_argument("--start", type=float, metavar="S", help="begin at this time of playback, seconds")
    parser.add_argument("--end", type=float, metavar="S", help="stop before this time of playback, seconds")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="resize the frames first; below 1 for motion of more than a px from frame to frame",
    )
    add_stabilize(parser)
    parser.add_argument("--peaks", type=int, default=8, metavar="N", help="list at most this many")
    parser.add_argument(
        "--out", type=output, metavar="PNG", help="the picture; IN_spectrum.png in this folder if not given"
    )
    parser.add_argument(
        "--csv", type=output, metavar="CSV", help="write frequency, amplitude and noise here too"
    )


def run(args: argparse.Namespace) -> None:
    """Find the frequencies, list them, and draw the spectrum."""
    picture: Path = args.out or Path(f"{args.input.resolve().stem}_spectrum.png")
    for option, path, suffix in (("--out", picture, ".png"), ("--csv", args.csv, ".csv")):
        if path is not None:
            _check_target(option, path, suffix)
    # The parser has not seen a name that was not given.
    check_free([picture], [args.input], overwrite=args.overwrite)
    if args.peaks < 1:
        raise InputError(f"--peaks must be at least 1, got {args.peaks}")
    if args.still is not None and args.stabilize is None:
        raise InputError("--still names what should stand still for --stabilize; give that too")
    region = None if args.roi is None else _region(args.roi)
    # Here, not above: `mm spectrum --help` needs none of them.
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    from mm.motion.blocks import block_motion
    from mm.motion.spectrum import motion_spectrum
    from mm.video import open_clip
    from mm.video.compression import measure_compression

    columns = (TextColumn("{task.description}"), TextColumn("{task.completed} frames"))
    with (
        warnings_as_lines(),
        Progress(
            *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
        ) as bar,
    ):
        task = bar.add_task(f"following {args.input.name}", total=None)
        motion = block_motion(
            args.input,
            fps=args.fps,
            roi=region,
            start=args.start,
            end=args.end,
            scale=args.scale,
            stabilize=args.stabilize,
            still=args.still,
            advance=lambda count: bar.advance(task, count),
        )
        with open_clip(args.input, folder_rate=args.fps) as clip:
            compression = measure_compression(clip.info)
    found = motion_spectrum(motion, args.peaks)
    if args.csv is not None:
        _write_csv(args.csv, found)
    draw(motion, found, args.input.name, picture)
    print(
        "\n".join(
            [
                *summary(args, motion, found, compression),
                f"see {picture}" + (f" and {args.csv}" if args.csv else ""),
            ]
        )
    )


def summary(
    args: argparse.Namespace, motion: BlockMotion, found: MotionSpectrum, compression: Compression | None
) -> list[str]:
    """Return the command's lines: the clip, its peaks, and how to magnify the first certain one.

    A peak is certain if the clip is long enough for its frequency.
    """
    seconds = found.frames / motion.fps
    lines = [
        f"{args.input}: {found.frames} frames at {motion.fps:.6g} a second, {seconds:.3g} s; "
        f"frequencies up to {motion.fps / 2:.6g} Hz, told apart if {2 * found.resolution:.2g} Hz apart"
    ]
    if args.fps is None:
        lines.append(
            "frequencies assume that the clip was captured at its playback rate, "
            f"{motion.playback:.6g} frames a second; for a high-speed clip give --fps"
        )
    lines.append(
        "px are amplitudes, half of peak to peak; directions are counted from x toward y, clockwise on screen"
    )
    if compression is not None:
        lines.append(compression.line())
    if not found.textured:
        lines.append("no texture to follow: nothing can be said of its motion")
    elif not found.peaks:
        lines.append("no motion above the noise")
    else:
        lines.append(
            f"{'Hz':>9}  {'periods':>7}  {'px':>7}  {'× noise':>7}  {'at x, y':>11}  {'direction':>9}  "
            f"{'band / Hz':>13}"
        )
        for peak in found.peaks:
            held = 0.0 if compression is None else _held(motion, compression, peak)
            lines.append(_row(peak) + (f"  codec holds back {held:.2g} px" if peak.amplitude < held else ""))
        lines += [_too_short(peak, found.frames) for peak in found.peaks if peak.band is None]
        told = _told(found)
        if told is not None:
            lines.append(f"to see {_hertz(told.frequency)} Hz: {command(args, motion, told)}")
    if motion.crossed is not None:
        x, y = motion.crossed
        lines.append(
            f"something crosses the picture or moves far, about x {x:.0f}, y {y:.0f}: in mm magnify "
            "--method acceleration leaves steady motion alone, --method layered follows one thing, and "
            "--stabilize takes out the camera's motion"
        )
    return lines


def command(args: argparse.Namespace, motion: BlockMotion, peak: Peak) -> str:
    """The line that magnifies a peak that has a band, for a shell: fast, and so that a viewer sees it."""
    assert peak.band is not None
    low, high = peak.band
    shown = min(max(SHOWN * max(motion.region[2:]), LEAST_SHOWN), MOST_SHOWN)
    factor = max(FACTORS[0], min(FACTORS[1], round(shown / peak.amplitude)))
    source: Path = args.input
    # A folder of images gives a folder.
    target = source.resolve().stem + f"_x{factor}" + ("" if source.is_dir() else ".mp4")
    words = ["mm", "magnify", str(source), target, "--method", "phase", "--factor", f"{factor}"]
    words += ["--mode", "temporal", "--low", f"{low:g}", "--high", f"{high:g}"]
    for option, value in (("fps", args.fps), ("start", args.start), ("end", args.end)):
        if value is not None:
            words += [f"--{option}", f"{value:g}"]
    if args.stabilize is not None:
        words += ["--stabilize", args.stabilize]
    if args.still is not None:
        words += ["--still", ",".join(map(str, args.still))]
    if args.roi is not None:
        words += ["--roi", args.roi.replace(" ", "")]
    return shlex.join(words)


def draw(motion: BlockMotion, found: MotionSpectrum, name: str, out: Path) -> None:
    """Draw the spectrum, its peaks and the band to begin with, and below where the first few peaks are.

    A peak that the clip is too short for is drawn hollow.

    Args:
        motion: what was looked at.
        found: in it.
        name: of the clip, for the title.
        out: the PNG.

    Raises:
        InputError: if the picture cannot be written.
    """
    peaks = found.peaks[:MAPS]
    width, height = motion.region[2:]
    tall = min(5.0, max(1.5, 10 / max(len(peaks), 2) * height / width)) if peaks else 0.0
    figure = new_figure(10, 4 + tall)
    parts = figure.subfigures(2 if peaks else 1, 1, squeeze=False, height_ratios=[4, tall][: 1 + bool(peaks)])
    axis = parts[0, 0].subplots()
    # From one period in the clip: slower than that is trend.
    shown = found.frequencies >= found.resolution
    frequencies = found.frequencies[shown]
    least = 1e-5  # px, drawn instead of nothing
    axis.plot(frequencies, found.amplitude[shown].clip(least), lw=1.2, label="mean over the frame")
    axis.plot(frequencies, found.floor[shown].clip(least), lw=1, ls="--", color="0.5", label="noise floor")
    told = _told(found)
    if told is not None and told.band is not None:
        axis.axvspan(*told.band, color="C1", alpha=0.15, lw=0, label="suggested band")
    for peak in found.peaks:
        height_there = float(_at(found, peak.frequency))
        axis.plot(peak.frequency, height_there, "o", color="C3", ms=4, mfc="C3" if peak.band else "none")
        axis.annotate(
            f"{_hertz(peak.frequency)} Hz" if peak.band else f"{peak.periods:.1f} periods: too few to tell",
            (peak.frequency, height_there),
            (0, 6) if peak.band else (6, 2),
            textcoords="offset points",
            # A peak of few periods lies at the left end.
            ha="center" if peak.band else "left",
            fontsize=8,
        )
    axis.set_yscale("log")
    axis.margins(x=0.01, y=0.12)
    axis.set_xlabel(f"frequency / Hz, at {motion.fps:.6g} frames a second")
    axis.set_ylabel("amplitude / px")
    axis.set_title(f"{name}: " + ("motion" if peaks else "no motion above the noise"), fontsize=10)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    if peaks:
        lower = parts[1, 0]
        for place, peak in zip(lower.subplots(1, len(peaks), squeeze=False)[0], peaks, strict=True):
            _draw_place(lower, place, motion, peak)
    with replacing(out) as new:
        figure.savefig(new, format="png")


def _draw_place(figure: Any, axis: Any, motion: BlockMotion, peak: Peak) -> None:
    """Draw the first frame in grey, and over it each block's amplitude."""
    import numpy as np

    x, y, width, height = motion.region
    axis.imshow(
        motion.picture,
        cmap="gray",
        vmin=0,
        vmax=1,
        extent=(x - 0.5, x + width - 0.5, y + height - 0.5, y - 0.5),
    )
    half = motion.block / 2
    # A block at an edge may read higher; the scale is that of the place that the peak is named for.
    drawn = axis.imshow(
        np.where(peak.blocks > 0, peak.blocks, np.nan),
        cmap="inferno",
        vmin=0,
        vmax=peak.amplitude,
        alpha=0.6,
        extent=(motion.x[0] - half, motion.x[-1] + half, motion.y[-1] + half, motion.y[0] - half),
        interpolation="nearest",
    )
    axis.plot(peak.x, peak.y, "+", color="cyan", ms=9)
    axis.set_xlim(x - 0.5, x + width - 0.5)
    axis.set_ylim(y + height - 0.5, y - 0.5)
    axis.set_title(f"{_hertz(peak.frequency)} Hz, {peak.amplitude:.2g} px", fontsize=9)
    axis.tick_params(labelsize=7)
    figure.colorbar(drawn, ax=axis, shrink=0.8, label="px").ax.tick_params(labelsize=7)


def _row(peak: Peak) -> str:
    band = "too short" if peak.band is None else f"{peak.band[0]:g}–{peak.band[1]:g}"
    place = f"{peak.x:.0f}, {peak.y:.0f}"
    text = f"{_hertz(peak.frequency):>9}  {peak.periods:>7.1f}  {peak.amplitude:>7.3g}  {peak.ratio:>7.3g}  "
    text += f"{place:>11}  {f'{peak.angle:.0f}°':>9}  {band:>13}"
    if peak.harmonic_of is not None:
        text += f"  {round(peak.frequency / peak.harmonic_of)} × {_hertz(peak.harmonic_of)} Hz"
    return text


def _held(motion: BlockMotion, compression: Compression, peak: Peak) -> float:
    """Return px, the amplitude up to which a codec may hold back motion where a peak is strongest."""
    from mm.motion.places import codec_px, held_px

    row, column = abs(motion.y - peak.y).argmin(), abs(motion.x - peak.x).argmin()
    block = (peak.x - motion.block / 2, peak.y - motion.block / 2, motion.block, motion.block)
    repeated = compression.repeated_in(*block) if compression.predicted else 0.0
    codec = codec_px(motion.texture[row, column], compression.step_in(*block), repeated)
    return 2 * held_px(codec, peak.angle)


def _told(found: MotionSpectrum) -> Peak | None:
    """The peak to begin with: the first that is no drift and no harmonic, if there is one."""
    known = [peak for peak in found.peaks if peak.band is not None]
    steady = [peak for peak in known if peak.periods >= STEADY and peak.harmonic_of is None]
    return next(iter(steady or known), None)


def _too_short(peak: Peak, frames: int) -> str:
    from mm.motion.spectrum import LEAST_PERIODS

    needed = math.ceil(LEAST_PERIODS / peak.periods * frames)
    return (
        f"{_hertz(peak.frequency)} Hz: the clip is too short to tell, it holds {peak.periods:.1f} periods, "
        f"which may as well be a drift; {LEAST_PERIODS:g} of them take {needed} frames or more"
    )


def _hertz(frequency: float) -> str:
    """Return a frequency with three digits, and no exponent."""
    digits = max(0, 2 - math.floor(math.log10(frequency)))
    return f"{frequency:.{digits}f}"


def _at(found: MotionSpectrum, frequency: float) -> float:
    return float(found.amplitude[abs(found.frequencies - frequency).argmin()])


def _write_csv(path: Path, found: MotionSpectrum) -> None:
    with replacing(path) as new, new.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frequency_hz", "amplitude_px", "noise_px"])
        for row in zip(found.frequencies, found.amplitude, found.floor, strict=True):
            writer.writerow([f"{value:.6g}" for value in row])


def _check_target(option: str, path: Path, suffix: str) -> None:
    if path.suffix.lower() != suffix:
        raise InputError(f"{option} is written as {suffix[1:].upper()}, got {path}; name it {suffix}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}; make it first")


def _region(text: str) -> tuple[int, int, int, int]:
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--roi must be four whole numbers x,y,width,height in px, got {text!r}") from None
    return x, y, width, height
