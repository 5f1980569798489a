"""``mm compare``: several methods on one clip, side by side in a video, in slices and on one page."""

from __future__ import annotations

import argparse
import json
import platform
import re
import shlex
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm._version import __version__
from mm.cli.notices import refusals_as_lines, warnings_as_lines
from mm.errors import InputError
from mm.methods import clip
from mm.methods.layout import Layout, Region
from mm.plugins import load_plugins
from mm.registry import methods
from mm.temporal import FILTERS, Band

if TYPE_CHECKING:
    import torch

    from mm.evaluation.report import Method
    from mm.evaluation.side_by_side import Panel
    from mm.evaluation.views import Place, Views
    from mm.video import ClipInfo

LEARNED = "learned"
INPUT = "input"
VIDEO, PAGE, SETTINGS = "compare.mp4", "compare.html", "compare.json"
SLICES = {"x": "slice_x.png", "y": "slice_y.png"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "input", type=Path, metavar="IN", help="a video, or a folder of PNG, TIFF or JPEG images"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("comparison"), metavar="DIR", help="the folder to write"
    )
    parser.add_argument(
        "--methods",
        default="learned,phase,linear",
        metavar="NAME[=WEIGHTS],…",
        help="side by side: registered methods, and NAME=WEIGHTS for the network with other weights",
    )
    what = parser.add_argument_group("what is magnified, as in `mm magnify`")
    what.add_argument(
        "--factor", type=float, default=10.0, help="gain of the displacement; 1 changes nothing"
    )
    what.add_argument(
        "--mode",
        choices=("static", "dynamic", "temporal"),
        help="temporal if a band is given and static if not, unless said here",
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
    what.add_argument("--roi", metavar="X,Y,W,H", help="magnify only this region, px of the input")
    what.add_argument("--scale", type=float, default=1.0, help="resize the frames first")
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


@dataclass(frozen=True)
class _Contender:
    """One of the methods.

    Attributes:
        name: what the user called it.
        method: the registered name.
        weights: of the network; None for the shipped ones.
        file: the name of its clip.
    """

    name: str
    method: str
    weights: str | None
    file: str


@dataclass(frozen=True)
class _Setup:
    """The arguments, checked, and what they name."""

    args: argparse.Namespace
    mode: Any
    band: Band | None
    region: Region | None
    row: int | None
    column: int | None
    contenders: list[_Contender]
    info: ClipInfo
    size: tuple[int, int]
    device: torch.device


def run(args: argparse.Namespace) -> None:
    """Magnify the clip with every method, and write the video, the slices and the page.

    A method that cannot work on this clip is named with its reason, on the page and on the terminal; the
    others are compared.

    Raises:
        InputError: for arguments that cannot be used, before any work; or if no method worked.
    """
    with warnings_as_lines():
        load_plugins(args.plugins)
        setup = _checked(args)
        place, chosen = _place(setup)
        table = [_magnify(setup, contender) for contender in setup.contenders]
        _refuse_if_none(table)
        from mm.evaluation.side_by_side import Panel, compose
        from mm.evaluation.views import Views

        gain = f"× {args.factor:g}"
        worked = [method for method in table if method.worked]
        panels = [Panel(INPUT), *(Panel(each.name, gain, args.out / each.path) for each in worked)]
        views = Views(place, len(panels))
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
            files = _write(setup, panels, views, table, chosen, grid.size)
    if not args.quiet:
        print(chosen)
        print(f"{args.out}/: {', '.join(files)}")


# -- arguments ---------------------------------------------------------------------------------------------


def _checked(args: argparse.Namespace) -> _Setup:
    from mm.device import choose_device
    from mm.networks.magnification import check_factor
    from mm.networks.weights import load
    from mm.video import open_clip

    contenders = _contenders(args.methods)
    check_factor(args.factor, 1)
    device = choose_device(args.device)
    row, column = _line(args)
    with open_clip(args.input, start=args.start, end=args.end, folder_rate=args.fps) as opened:
        info = opened.info
    region = None if args.roi is None else _whole_numbers("--roi", args.roi, ("x", "y", "width", "height"))
    layout = Layout.of(info, args.scale, region, False)
    for name, option, position, limit in (
        ("row", "--row", row, info.height),
        ("column", "--column", column, info.width),
    ):
        if position is not None and not 0 <= position < limit:
            raise InputError(
                f"{name} {position} lies outside {args.input}, which has {name}s 0 to {limit - 1}; "
                f"change {option}{'' if args.line is None else ' (in --line)'}"
            )
    band = _band(args, info)
    mode = args.mode or ("static" if band is None else "temporal")
    if mode == "temporal" and band is None:
        raise InputError("temporal mode needs a band of frequencies; give --low and --high in Hz")
    for contender in contenders:
        if contender.weights is not None:
            # Only to know now that they can be loaded.
            load(contender.weights, "cpu")
    _prepare(args, contenders)
    return _Setup(args, mode, band, region, row, column, contenders, info, layout.size, device)


def _contenders(text: str) -> list[_Contender]:
    found: list[_Contender] = []
    taken = {Path(name).stem.lower() for name in (VIDEO, *SLICES.values())}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, is_weights, source = (piece.strip() for piece in part.partition("="))
        if not name or (is_weights and not source):
            raise InputError(f"a method is NAME, or NAME=WEIGHTS, got {part!r}")
        if name == INPUT:
            raise InputError(f"the {INPUT} is always shown; leave it out of --methods")
        if name in {each.name for each in found}:
            raise InputError(f"the method {name!r} is given twice; give each clip a name of its own")
        if not is_weights:
            methods.get(name)
        stem = re.sub(r"[^\w.-]+", "_", name).strip("._") or "method"
        number, base = 1, stem
        while stem.lower() in taken:
            number += 1
            stem = f"{base}-{number}"
        taken.add(stem.lower())
        found.append(
            _Contender(name, LEARNED if is_weights else name, source if is_weights else None, f"{stem}.mp4")
        )
    if not found:
        raise InputError("no method is given; name at least one with --methods, such as learned")
    return found


def _line(args: argparse.Namespace) -> tuple[int | None, int | None]:
    """The row and the column that are given."""
    if args.line is None:
        return args.row, args.column
    if args.row is not None or args.column is not None:
        raise InputError("--line gives both the row and the column; leave out --row and --column")
    x, y = _whole_numbers("--line", args.line, ("x", "y"))
    return y, x


def _whole_numbers(option: str, text: str, names: Sequence[str]) -> Any:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != len(names):
        raise InputError(f"{option} must be {len(names)} whole numbers {','.join(names)} in px, got {text!r}")
    return numbers


def _band(args: argparse.Namespace, info: ClipInfo) -> Band | None:
    if args.low is None and args.high is None:
        return None
    if args.low is None or args.high is None:
        given, value, other = ("low", args.low, "high") if args.high is None else ("high", args.high, "low")
        raise InputError(f"a band needs two edges: --{given} {value:g} Hz is given, --{other} is missing")
    if info.is_folder and args.fps is None:
        raise InputError(f"{args.input} is a folder of images, which has no frame rate; give it with --fps")
    return Band(args.low, args.high, float(info.rate) if args.fps is None else args.fps, args.filter)


def _prepare(args: argparse.Namespace, contenders: Sequence[_Contender]) -> None:
    """Make the folder, once nothing would be written over the input."""
    out: Path = args.out
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    if out.exists() and out.samefile(args.input):
        raise InputError(f"--out {out} is the folder of the input; name another one")
    for name in (VIDEO, *(each.file for each in contenders)):
        if (out / name).exists() and (out / name).samefile(args.input):
            raise InputError(f"{out / name} would be written over, and is the input; name another --out")
    with refusals_as_lines(out):
        out.mkdir(parents=True, exist_ok=True)


# -- the work ----------------------------------------------------------------------------------------------


def _place(setup: _Setup) -> tuple[Place, str]:
    """Where and when to look, in px of the clips that are shown; and how that was chosen, for the user."""
    from mm.evaluation.motion_line import map_motion
    from mm.evaluation.views import Place
    from mm.video import open_clip

    args = setup.args
    with (
        warnings.catch_warnings(),
        open_clip(args.input, start=args.start, end=args.end, folder_rate=args.fps) as opened,
    ):
        warnings.simplefilter("ignore", UserWarning)
        frames = (chunk.frames for chunk in opened.chunks())
        band = setup.band if setup.mode == "temporal" else None
        found = map_motion(frames, mode=setup.mode, band=band, region=setup.region)
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
    if not found.moves:
        chosen += " No motion was found that could be told from noise."
    height, width = setup.size
    if setup.size != (setup.info.height, setup.info.width):
        chosen += f" Below, px are those of the clips, which are {width}×{height} px."
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


def _magnify(setup: _Setup, contender: _Contender) -> Method:
    """Make one method's clip; a method that refuses says why, in its line of the table."""
    from mm.evaluation.report import Method

    args, failure, report = setup.args, "", None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            report = clip.magnify(
                args.input,
                args.out / contender.file,
                factor=args.factor,
                mode=setup.mode,
                method=contender.method,
                low=args.low,
                high=args.high,
                fps=args.fps,
                filter=args.filter,
                weights=contender.weights,
                device=args.device,
                precision=args.precision,
                start=args.start,
                end=args.end,
                scale=args.scale,
                roi=setup.region,
                progress=not args.quiet and sys.stdout.isatty(),
            )
        except InputError as error:
            failure = str(error)
    for warning in caught:
        text = f"{contender.name}: {warning.message}"
        warnings.warn(
            text if issubclass(warning.category, UserWarning) else str(warning.message),
            warning.category,
            stacklevel=2,
        )
    notes = tuple(str(each.message) for each in caught if issubclass(each.category, UserWarning))
    if report is None:
        warnings.warn(f"{contender.name} did not work: {failure}", stacklevel=2)
        return Method(contender.name, failure, worked=False, notes=notes)
    if not args.quiet:
        print(
            f"{contender.name}: {report.frames} frames in {report.seconds:.1f} s, "
            f"{report.speed:.2g} frames a second"
        )
    return Method(
        contender.name,
        report.method,
        path=contender.file,
        seconds=report.seconds,
        speed=report.speed,
        notes=notes,
    )


def _refuse_if_none(table: Sequence[Method]) -> None:
    if any(method.worked for method in table):
        return
    reasons = list(dict.fromkeys(method.says for method in table))
    if len(reasons) == 1:
        raise InputError(reasons[0])
    raise InputError("no method worked: " + "; ".join(f"{method.name}: {method.says}" for method in table))


# -- what is written ---------------------------------------------------------------------------------------


def _write(
    setup: _Setup,
    panels: Sequence[Panel],
    views: Views,
    table: Sequence[Method],
    chosen: str,
    video_size: tuple[int, int],
) -> list[str]:
    """Write the slices, the page and the settings; return the names of all files."""
    from mm.cli.slice import draw
    from mm.evaluation.report import Page, page

    args, out = setup.args, setup.args.out
    labels = [panel.name if not panel.more else f"{panel.name} {panel.more}" for panel in panels]
    slices = {along: views.slices(along) for along in SLICES}
    for along, name in SLICES.items():
        draw(slices[along], labels, out / name)
    files = [PAGE, VIDEO, *(method.path for method in table if method.worked), *SLICES.values(), SETTINGS]
    parameters = _parameters(setup, views.frames) | {"Files": ", ".join(files)}
    assert views.still is not None
    content = Page(
        title=f"{args.input.name}: motion × {args.factor:g}",
        lead=f"{', '.join(panel.name for panel in panels[1:])}, beside the input. {chosen}",
        command=_command(setup),
        parameters=parameters,
        methods=table,
        video=out / VIDEO,
        video_size=video_size,
        labels=labels,
        still=views.still,
        crops=views.crops,
        crop=views.place.crop(setup.size),
        moment=(views.seconds, views.place.frame),
        rows=slices["x"],
        columns=slices["y"],
        focus=views.place.focus,
        chosen=chosen,
        version=__version__,
    )
    (out / PAGE).write_text(page(content), encoding="utf-8")
    settings = {
        "version": __version__,
        "command": content.command,
        "parameters": parameters,
        "methods": [asdict(method) for method in table],
        "line": {"row": views.place.row, "column": views.place.column, "chosen": chosen},
        "moment": {"frame": views.place.frame, "seconds": views.seconds, "point": list(views.place.point)},
    }
    (out / SETTINGS).write_text(json.dumps(settings, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return files


def _parameters(setup: _Setup, frames: int) -> dict[str, str]:
    args, info, (height, width) = setup.args, setup.info, setup.size
    shown = "" if (width, height) == (info.width, info.height) else f", worked on at {width}×{height} px"
    span = "all of it"
    if args.start is not None or args.end is not None:
        span = f"{args.start or 0:g} s to " + ("the end" if args.end is None else f"{args.end:g} s")
    capture = float(info.rate) if args.fps is None else args.fps
    return {
        "Clip": f"{args.input.name}, {info.width}×{info.height} px{shown}",
        "Frames": f"{frames} ({span})",
        "Frames a second": f"{capture:.4g} captured, {float(info.rate):.4g} played",
        "Factor": f"{args.factor:g} (total gain of the displacement)",
        "Mode": setup.mode,
        "Band": (
            "none"
            if setup.band is None
            else f"{setup.band.low:g}–{setup.band.high:g} Hz, {setup.band.filter} filter"
        ),
        "Region": "the whole frame"
        if args.roi is None
        else f"{args.roi} (x,y,width,height in px of the input)",
        "Device": _device(setup.device) + (", bf16" if args.precision == "bf16" else ""),
    }


def _device(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"{device} ({platform.machine()}, {threads} thread{'s' if threads > 1 else ''})"


def _command(setup: _Setup) -> str:
    """The line that does the same again, with what differs from the defaults, and the line that was found."""
    args = setup.args
    words = ["mm", "compare", str(args.input), "--methods", args.methods, "--factor", f"{args.factor:.12g}"]
    words += ["--mode", setup.mode]
    for option in ("low", "high", "fps", "start", "end", "roi", "line", "row", "column"):
        value = getattr(args, option)
        if value is not None:
            words += [f"--{option}", f"{value:.12g}" if isinstance(value, float) else str(value)]
    for option, default in (("filter", "butter"), ("scale", 1.0), ("device", "auto"), ("precision", "32")):
        value = getattr(args, option)
        if value != default:
            words += [f"--{option}", f"{value:.12g}" if isinstance(value, float) else str(value)]
    if args.plugins:
        words += ["--plugins", *(str(each) for each in args.plugins)]
    return shlex.join([*words, "--out", str(args.out)])
