"""``mm compare``: several methods on one clip, side by side in a video, in slices and on one page."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mm.cli.compare_files import INPUT, PAGE, VIDEO, write
from mm.cli.compare_setup import Contender, Setup, as_typed, checked
from mm.cli.console import rate, refusals_as_lines, warnings_as_lines
from mm.errors import ClipWarning, InputError
from mm.files import output_folder
from mm.magnify import clip
from mm.magnify.presets import PRESETS
from mm.magnify.shots import CutWarning
from mm.plugins import load_plugins
from mm.temporal import FILTERS

if TYPE_CHECKING:
    from mm.reports.motion_line import MotionMap
    from mm.reports.page import Method
    from mm.reports.views import Place

FAILED = 1  # the exit code where some methods worked and others did not


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "input", type=Path, metavar="IN", help="a video, or a folder of PNG, TIFF or JPEG images"
    )
    parser.add_argument(
        "--out", type=output_folder, default=Path("comparison"), metavar="DIR", help="the folder to write"
    )
    parser.add_argument(
        "--methods",
        default="learned,phase,linear",
        metavar="NAME[=WEIGHTS],…",
        help="side by side: registered methods, and NAME=WEIGHTS for the network with other weights",
    )
    what = parser.add_argument_group("what is magnified, as in `mm magnify`")
    # No defaults where a preset may have a value: what is None was not given.
    what.add_argument(
        "--preset",
        metavar="NAME",
        help=f"begin from a named set of parameters: {', '.join(PRESETS)}; its method's own options are for "
        "that method alone",
    )
    what.add_argument(
        "--factor",
        type=float,
        help="gain of the displacement; 1 leaves motion as it is, 0 takes it away (default: 10)",
    )
    what.add_argument(
        "--mode",
        choices=("static", "dynamic", "temporal"),
        help="the same for all (default: temporal if a band is given, else the preset's, else static)",
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
    what.add_argument("--order", type=int, metavar="N", help="of the Butterworth filters: 2, 4, 6 or 8")
    what.add_argument("--taps", type=int, metavar="N", help="length of the fir filter in frames")
    what.add_argument("--start", type=float, metavar="S", help="begin at this time of playback, seconds")
    what.add_argument("--end", type=float, metavar="S", help="stop before this time of playback, seconds")
    what.add_argument("--roi", metavar="X,Y,W,H", help="magnify only this region, px of the input")
    what.add_argument("--scale", type=float, default=1.0, help="resize the frames first")
    what.add_argument(
        "-o",
        "--option",
        action="append",
        default=[],
        metavar="[METHOD.]NAME=VALUE",
        help="a parameter of one method's own, such as phase.orientations=8, or without METHOD. of every "
        "compared method that has it; can be given several times; `mm methods NAME` lists them",
    )
    what.add_argument(
        "--ignore-cuts", action="store_true", help="take the whole clip for one shot, cuts or not"
    )
    line = parser.add_argument_group(
        "the line of the slices", "px of the input; what is not given is where the clip moves most"
    )
    line.add_argument("--line", metavar="X,Y", help="the column X and the row Y")
    line.add_argument("--row", type=int, metavar="Y", help="the row, px from the top: its x–t slice")
    line.add_argument("--column", type=int, metavar="X", help="the column, px from the left: its y–t slice")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--plugins", nargs="+", default=[], metavar="PATH", help="a .py file, or a folder of them, to load"
    )
    how.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    how.add_argument("--precision", choices=("32", "bf16"), default="32", help="bf16 is faster on a GPU")
    how.add_argument("--quiet", action="store_true", help="no progress bar and no summary")


def run(args: argparse.Namespace) -> int:
    """Magnify the clip with every method, and write the video, the slices and the page.

    A method that cannot work on this clip is named with its reason, on the page and on the terminal; the
    others are compared.

    Returns:
        The exit code: 0, or 1 if a method did not work.

    Raises:
        InputError: for arguments that cannot be used, before any work; or if no method worked.
    """
    with warnings_as_lines():
        load_plugins(args.plugins)
        setup = checked(args)
        found, missing = _map(setup)
        place, chosen = _place(setup, found, missing)
        said: dict[str, type[Warning]] = {}
        table = [_magnify(setup, contender, said) for contender in setup.contenders]
        _refuse_if_none(table)
        from mm.reports.side_by_side import Panel, compose
        from mm.reports.views import Views

        gain = f"× {setup.settings.factor:g}"
        worked = [method for method in table if method.worked]
        panels = [Panel(INPUT), *(Panel(each.name, gain, args.out / each.path) for each in worked)]
        views = Views(place, len(panels), found.frames)
        with warnings.catch_warnings():
            # What there is to say of the clip has been said while the methods read it.
            warnings.simplefilter("ignore", UserWarning)
            grid = compose(
                args.input,
                panels,
                args.out / VIDEO,
                scale=args.scale,
                start=args.start,
                end=args.end,
                folder_rate=args.fps,
                watch=views,
            )
        with refusals_as_lines(args.out):
            # The cuts have a line of their own.
            noticed = [text for text, kind in said.items() if not issubclass(kind, CutWarning)]
            files = write(setup, panels, views, table, chosen, grid.size, found.cuts, noticed)
    if not args.quiet:
        print(chosen)
        print(f"{args.out}/: {', '.join(files)}")
    failed = [method.name for method in table if not method.worked]
    if failed:
        print(
            f"mm: error: {len(failed)} of {len(table)} methods did not work: {', '.join(failed)}; {PAGE} has "
            "the reason beside the others' results",
            file=sys.stderr,
        )
    return FAILED if failed else 0


def _map(setup: Setup) -> tuple[MotionMap, str]:
    """Where and when the clip moves; and why that cannot be told, "" if it can.

    A clip that is too short for it may be long enough for the methods, which decide for themselves.
    """
    from mm.reports.motion_line import TooShortError, map_motion
    from mm.video import open_clip

    args = setup.args
    with (
        warnings.catch_warnings(),
        open_clip(args.input, start=args.start, end=args.end, folder_rate=args.fps) as opened,
    ):
        warnings.simplefilter("ignore", UserWarning)
        frames = (chunk.frames for chunk in opened.chunks())
        band = setup.band if setup.mode == "temporal" else None
        try:
            cuts = not args.ignore_cuts
            return map_motion(frames, mode=setup.mode, band=band, region=setup.region, cuts=cuts), ""
        except TooShortError as error:
            found, missing = error.blank, f"Where the clip moves most cannot be measured: {error}."
    warnings.warn(f"{missing[0].lower()}{missing[1:-1]}", ClipWarning, stacklevel=2)
    return found, missing


def _place(setup: Setup, found: MotionMap, missing: str) -> tuple[Place, str]:
    """Where and when to look, in px of the clips that are shown; and how that was chosen, for the user."""
    from mm.reports.views import Place

    row = found.row() if setup.row is None else setup.row
    column = found.column() if setup.column is None else setup.column
    # With one line given, the place on it that moves most; with none, the place of all that moves most.
    x, y = found.point(row=setup.row, column=setup.column)

    def reason(axis: int) -> str:
        if (setup.row, setup.column)[axis] is not None:
            return "given"
        if found.shift[axis].max() > 0:
            return f"most motion along {'xy'[axis]}"
        return "through the place of most motion" if found.moves else "the middle"

    parts = [f"row {row} ({reason(0)})", f"column {column} ({reason(1)})"]
    chosen = f"Slices through {' and '.join(parts)} of the input."
    if missing:
        chosen += f" {missing} The moment is the middle of the clip."
    elif not found.moves:
        chosen += " No motion was found that could be told from noise."
    height, width = setup.size
    if setup.size != (setup.info.height, setup.info.width):
        chosen += f" Px on the pictures are those of the clips, which are {width}×{height} px."
    across, down = width / setup.info.width, height / setup.info.height

    def scaled(position: int, ratio: float, limit: int) -> int:
        return min(limit - 1, int((position + 0.5) * ratio))

    return (
        Place(
            row=scaled(row, down, height),
            column=scaled(column, across, width),
            point=(scaled(x, across, width), scaled(y, down, height)),
            frame=found.frame(x, y),
            focus=(
                scaled(found.point(row=row)[0], across, width),
                scaled(found.point(column=column)[1], down, height),
            ),
        ),
        chosen,
    )


def _magnify(setup: Setup, contender: Contender, said: dict[str, type[Warning]]) -> Method:
    """Make one method's clip; a method that refuses says why, in its line of the table.

    What is to say of the clip itself is said once for all methods, and added to ``said``.
    """
    from mm.reports.page import Method

    args, failure, report, notes = setup.args, "", None, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            report = clip.magnify(
                args.input,
                args.out / contender.file,
                preset=args.preset,
                factor=args.factor,
                mode=setup.mode,
                method=contender.method,
                low=args.low,
                high=args.high,
                fps=args.fps,
                filter=args.filter,
                order=args.order,
                taps=args.taps,
                options=contender.options,
                weights=contender.weights,
                device=args.device,
                precision=args.precision,
                start=args.start,
                end=args.end,
                scale=args.scale,
                roi=setup.region,
                cuts=not args.ignore_cuts,
                progress=not args.quiet and sys.stdout.isatty(),
            )
        except InputError as error:
            failure = as_typed(str(error), contender.name)
    for warning in caught:
        text = str(warning.message)
        if issubclass(warning.category, ClipWarning):
            if text in said:
                continue
            said[text] = warning.category
        elif issubclass(warning.category, UserWarning):
            notes.append(text)
            text = f"{contender.name}: {text}"
        warnings.warn(text, warning.category, stacklevel=2)
    if report is None:
        warnings.warn(f"{contender.name} did not work: {failure}", stacklevel=2)
        return Method(contender.name, failure, worked=False, notes=tuple(notes))
    if not args.quiet:
        print(f"{contender.name}: {report.frames} frames in {report.seconds:.1f} s, {rate(report.speed)}")
    return Method(
        contender.name,
        report.method,
        path=contender.file,
        seconds=report.seconds,
        speed=report.speed,
        notes=tuple(notes),
    )


def _refuse_if_none(table: Sequence[Method]) -> None:
    if any(method.worked for method in table):
        return
    reasons = list(dict.fromkeys(method.says for method in table))
    if len(reasons) == 1:
        raise InputError(reasons[0])
    raise InputError("no method worked: " + "; ".join(f"{method.name}: {method.says}" for method in table))
