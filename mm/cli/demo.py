"""``mm demo``: a clip whose motion is known and cannot be seen, magnified, and the error in numbers."""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mm._version import __version__
from mm.errors import InputError
from mm.evaluation.vibrating_clip import MARGIN, DemoClip, demo_clip
from mm.evaluation.vibration import MOTION_TOLERANCE, STILL_LIMIT, VibrationReport, measure_vibration
from mm.files import output_folder
from mm.runtime import new_figure

FRAMES = 60
FPS = 30.0
SEED = 1
BATCH = 4  # frames pushed at once, and a step of the progress bar
BAND = (1.0, 8.0)  # Hz, of temporal mode: holds everything that vibrates in the clip
CRF = 6  # of the clips written: the input's motion must survive the encoder
ENLARGED = 2  # in the side-by-side clip
FILES = ("input.mp4", "magnified.mp4", "side_by_side.mp4", "slice.png", "report.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "--out", type=output_folder, default=Path("demo"), metavar="DIR", help="the folder to write"
    )
    parser.add_argument("--factor", type=float, default=10.0, help="how many times as large motion becomes")
    parser.add_argument("--amplitude", type=float, default=0.2, metavar="PX", help="of the clip's motion, px")
    parser.add_argument(
        "--mode",
        choices=("static", "dynamic", "temporal"),
        default="static",
        help="what motion is measured from",
    )
    parser.add_argument("--weights", default=None, metavar="NAME|FILE", help="other than the shipped ones")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def run(args: argparse.Namespace) -> None:
    """Render the clip, magnify it, write both and a slice, and report what was measured."""
    _check(args)
    # Here, not above: the network is needed once the arguments are known to be good.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mm.methods.learned import LearnedMagnifier
    from mm.runtime import choose_device
    from mm.temporal import Band

    device = choose_device(args.device)
    band = Band(*BAND, fps=FPS, filter="ideal") if args.mode == "temporal" else None
    magnifier = LearnedMagnifier(
        args.weights, factor=args.factor, mode=args.mode, band=band, batch=BATCH, device=device
    )
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        steps = progress.add_task("rendering", total=FRAMES)
        clip = demo_clip(amplitude=args.amplitude, frames=FRAMES, fps=FPS, seed=SEED)
        truth = clip.magnified(args.factor, args.mode)
        progress.update(steps, description="magnifying")
        begun = time.perf_counter()
        done = []
        for some in clip.frames.split(BATCH):
            done.append(magnifier.push(some))
            progress.advance(steps, len(some))
        output = torch.cat([*done, magnifier.flush()])
        seconds = time.perf_counter() - begun
        progress.update(steps, description="measuring")
        report = measure_vibration(clip, output, args.factor, args.mode, truth=truth)
        progress.update(steps, description="writing")
        _write(args.out, clip, output, truth)
    details = {
        "version": __version__,
        "weights": str(args.weights) if args.weights else "shipped",
        "device": str(device),
        "frames": FRAMES,
        "size": list(clip.scene.size),
        "seed": SEED,
        "noise": clip.noise,
        "magnify_seconds": round(seconds, 3),
        "frames_per_second": round(FRAMES / seconds, 2),
    }
    (args.out / "report.json").write_text(json.dumps(details | report.as_dict(), indent=1) + "\n")
    _tell(console, report, details, args.out)


def _check(args: argparse.Namespace) -> None:
    for name, value in (("--factor", args.factor), ("--amplitude", args.amplitude)):
        if not math.isfinite(value) or value <= 0:
            raise InputError(f"{name} must be a number above 0, got {value:g}")
    # In dynamic mode the magnified motion is velocity's, which is at most twice the swing.
    travel = args.factor * args.amplitude * (2 if args.mode == "dynamic" else 1)
    if travel > MARGIN:
        raise InputError(
            f"--factor {args.factor:g} of --amplitude {args.amplitude:g} px is motion of up to {travel:g} "
            f"px, and the clip has room for {MARGIN} px; lower one of them"
        )
    args.out.mkdir(parents=True, exist_ok=True)


def _write(folder: Path, clip: DemoClip, output: Tensor, truth: Tensor) -> None:
    from mm.video import VideoWriter

    clips = (
        ("input.mp4", clip.frames),
        ("magnified.mp4", output),
        ("side_by_side.mp4", _side_by_side({"input": clip.frames, "magnified": output, "truth": truth})),
    )
    for name, frames in clips:
        with VideoWriter(
            folder / name, (frames.shape[-2], frames.shape[-1]), rate=clip.fps, crf=CRF
        ) as writer:
            for some in frames.split(8):
                writer.write(some)
    _draw_slices(folder / "slice.png", clip, output, truth)


def _side_by_side(clips: dict[str, Tensor]) -> Tensor:
    """Return the clips enlarged, beside one another, each under its name."""
    import cv2
    import numpy as np

    parts = []
    for name, frames in clips.items():
        large = F.interpolate(frames, scale_factor=ENLARGED, mode="bicubic", align_corners=False).clamp(0, 1)
        title = np.zeros((24, large.shape[-1]), np.uint8)
        cv2.putText(title, name, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 220, 1, cv2.LINE_AA)
        strip = torch.from_numpy(title).float() / 255
        parts.append(torch.cat([strip.expand(len(large), 3, -1, -1), large], -2))
    gap = torch.zeros(*parts[0].shape[:-1], 4)
    return torch.cat([parts[0], *(piece for part in parts[1:] for piece in (gap, part))], -1)


def _draw_slices(path: Path, clip: DemoClip, output: Tensor, truth: Tensor) -> None:
    """Draw x–t slices through the string and a disc: input, magnified, truth."""
    figure = new_figure(10, 5.5, 120)
    names = ("string", "disc along x")
    axes = figure.subplots(len(names), 3, sharex=True, squeeze=False)
    for row, name in zip(axes, names, strict=True):
        inside = clip.regions[name].nonzero()
        line = int(inside[:, 0].float().mean())
        middle, reach = int(inside[:, 1].float().mean()), 26
        for axis, title, frames in zip(
            row, ("input", "magnified", "truth"), (clip.frames, output, truth), strict=True
        ):
            first = max(middle - reach, 0)
            picture = frames[:, :, line, first : middle + reach].permute(2, 0, 1).clamp(0, 1).numpy()
            last = first + len(picture)
            axis.imshow(
                picture,
                aspect="auto",
                interpolation="nearest",
                extent=(0, len(frames) / clip.fps, last - 0.5, first - 0.5),
            )
            axis.set_title(f"{title}: {name}, row {line}", fontsize=9)
        row[0].set_ylabel("x / px")
    for axis in axes[-1]:
        axis.set_xlabel("time / s")
    figure.savefig(path)


def _tell(console: Any, report: VibrationReport, details: dict[str, Any], folder: Path) -> None:
    from rich.table import Table

    table = Table(
        title=f"motion magnified × {report.factor:g}, {report.mode} mode (amplitudes in px)",
        title_justify="left",
    )
    for name in ("", "Hz", "input", "expected", "measured", "error"):
        table.add_column(name, justify="left" if not name else "right")
    for region in report.regions:
        table.add_row(
            region.name,
            f"{region.frequency:g}",
            f"{region.input_amplitude:.3f}",
            f"{region.expected_amplitude:.2f}",
            f"{region.measured_amplitude:.2f}",
            f"{100 * (region.gain - 1):+.1f} %",
        )
    console.print(table)

    def verdict(met: bool) -> str:
        return "[green]met[/]" if met else "[red]NOT met[/]"

    # Velocity, which dynamic mode magnifies, has another amplitude in each region.
    full = report.factor * report.amplitude
    pixels = (
        "" if report.mode == "dynamic" else f" ({report.gain * full:.2f} px where {full:.2f} px is right)"
    )
    within = sum(region.within for region in report.regions)
    console.print(
        f"motion: {within} of {len(report.regions)} things move within {100 * MOTION_TOLERANCE:.0f} % "
        f"of what is right; on average {100 * (report.gain - 1):+.0f} %{pixels}, within "
        f"{100 * MOTION_TOLERANCE:.0f} %: {verdict(report.motion_met)}",
        soft_wrap=True,
    )
    console.print(
        f"what is still stays still: it changes by {report.still_change:.2f}/255 RMS, the noise of the input "
        f"being {report.still_change_input:.2f}/255; below {STILL_LIMIT:g}/255: {verdict(report.still_met)}",
        soft_wrap=True,
    )
    console.print(
        f"magnified {details['frames']} frames of {details['size'][1]}×{details['size'][0]} px in "
        f"{details['magnify_seconds']:.1f} s on {details['device']}; see {folder}/ for {', '.join(FILES)}",
        soft_wrap=True,
    )
