"""``mm magnify``: a clip in, the same clip with its motion magnified out."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

from mm.cli.arguments import add_settings, add_stabilize, add_work, settings
from mm.cli.console import rate, warnings_as_lines
from mm.errors import InputError
from mm.files import check_free, output
from mm.magnify import clip
from mm.magnify.monitor import UNSEEN
from mm.magnify.presets import preset
from mm.magnify.settings import Settings
from mm.methods.parameters import split
from mm.plugins import load_plugins
from mm.registry import methods
from mm.video.containers import CONTAINERS, X264_PRESETS
from mm.video.writer import DEFAULT_CRF, DEFAULT_PRESET


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_settings(parser, several=True)
    parser.add_argument(
        "output",
        type=output,
        nargs="?",
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
    out.add_argument(
        "--out-dir",
        type=Path,
        metavar="DIR",
        help="magnify every IN into this folder, under its own name; .mp4 where that names no video",
    )
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
    out.add_argument(
        "--resume",
        action="store_true",
        help="keep finished parts beside OUT until it is complete, and go on from those of a stopped render; "
        "with --out-dir, clips whose output is there are left",
    )
    cluster = parser.add_argument_group("cluster")
    cluster.add_argument(
        "--submit",
        choices=("slurm", "local"),
        help="with --out-dir, one job a clip, on SLURM or as processes of this machine; needs submitit",
    )
    cluster.add_argument(
        "--job",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="what submitit asks of the cluster, such as slurm_partition=gpu gpus_per_node=1 timeout_min=600",
    )
    out.add_argument("--quiet", action="store_true", help="no progress and no summary")


def run(args: argparse.Namespace) -> int:
    """Magnify the clips and print what was done; 1 if some of several could not be."""
    with warnings_as_lines():
        load_plugins(args.plugins)
        jobs = _jobs(args)
        if args.out_dir is None:
            _magnify(args, *jobs[0])
            return 0
        args.out_dir.mkdir(parents=True, exist_ok=True)
        if args.submit is not None:
            return _submit(args, jobs)
        failed = 0
        for source, target in jobs:
            try:
                _magnify(args, source, target)
            except InputError as error:
                print(f"mm: error: {error}", file=sys.stderr)
                failed += 1
    if failed:
        print(f"mm: error: {failed} of {len(jobs)} clips could not be magnified", file=sys.stderr)
    return 1 if failed else 0


def _jobs(args: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Return each clip with its output, all free.

    Raises:
        InputError: for too few or too many names, or an output that exists, that is an input, or that two
            clips would have.
    """
    if args.submit is not None and args.out_dir is None:
        raise InputError("--submit makes a job of each clip; give --out-dir DIR")
    if args.out_dir is None:
        if len(args.input) != 2:
            raise InputError(
                "several clips need --out-dir DIR; without it give IN and OUT"
                if len(args.input) > 2
                else "the following arguments are required: OUT, or --out-dir DIR"
            )
        jobs = [(args.input[0], args.input[1])]
    else:
        jobs = [(source, args.out_dir / _named(source, args.lossless)) for source in args.input]
        if args.resume and not args.overwrite:
            jobs = [(source, target) for source, target in jobs if not target.exists()]
    by_target: dict[Path, Path] = {}
    for source, target in jobs:
        if target in by_target:
            raise InputError(f"{by_target[target]} and {source} would both be {target}; rename one")
        by_target[target] = source
    check_free(by_target, [source for source, _ in jobs], overwrite=args.overwrite)
    return jobs


def _submit(args: argparse.Namespace, jobs: list[tuple[Path, Path]]) -> int:
    if importlib.util.find_spec("submitit") is None:
        raise InputError(
            "--submit needs submitit; install it with: pip install 'motion-magnification[cluster]'"
        )
    import submitit

    logs = args.out_dir / ".jobs"
    executor = submitit.AutoExecutor(folder=logs, cluster=args.submit)
    asked: dict[str, Any] = {
        name: int(value) if value.isdecimal() else value for name, value in split(args.job).items()
    }
    try:
        executor.update_parameters(name="mm-magnify", **asked)
    except (NameError, TypeError, ValueError) as error:
        raise InputError(f"--job {' '.join(args.job)} is not what submitit takes: {error}") from error
    with executor.batch():
        submitted = [executor.submit(_job, args, *job) for job in jobs]
    print(f"{len(submitted)} jobs ({', '.join(job.job_id for job in submitted)}); their logs are in {logs}")
    if args.submit == "slurm":
        return 0
    failed = [job for job in submitted if job.exception() is not None]
    for job in failed:
        lines = str(job.exception()).strip().splitlines()
        said = next((line for line in reversed(lines) if "Error: " in line), lines[-1])
        print(f"mm: error: job {job.job_id}: {said.partition('InputError: ')[2] or said}", file=sys.stderr)
    return 1 if failed else 0


def _job(args: argparse.Namespace, source: Path, target: Path) -> None:
    with warnings_as_lines():
        load_plugins(args.plugins)
        _magnify(args, source, target)


def _named(source: Path, lossless: bool) -> str:
    if source.is_dir():
        return source.resolve().name
    suffix = source.suffix if source.suffix.lower() in CONTAINERS else ".mp4"
    return source.stem + (".mkv" if lossless else suffix)


def _magnify(args: argparse.Namespace, source: Path, target: Path) -> None:
    reveals = None if args.preset is None else preset(args.preset).reveals
    along = {} if args.direction is None else {"direction": f"{args.direction:g}"}
    report = clip.magnify(
        source,
        target,
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
        resume=args.resume,
        progress=not args.quiet,
        on_start=None if args.quiet or reveals is None else lambda found: _announce(found, reveals),
        **settings(args),
    )
    if not args.quiet:
        print("\n".join(summary(report)), flush=True)


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
