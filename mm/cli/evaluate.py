"""``mm evaluate MEASUREMENT``: measurements of methods side by side, as a table and pictures."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shlex
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm import plugins
from mm._version import __version__
from mm.cli.console import warnings_as_lines
from mm.errors import InputError
from mm.files import check_free

if TYPE_CHECKING:
    from rich.console import Console

    from mm.evaluation.runner import Measurement
    from mm.evaluation.tables import Table


@dataclass(frozen=True)
class _Entry:
    """A measurement as the command line knows it, before anything is imported.

    Attributes:
        help: one line.
        path: module and class.
        options: that it takes, beside those that all take.
        count: of scenes, if not given.
        size: of the frames, if not given.
        methods: side by side, if not given.
    """

    help: str
    path: str
    options: tuple[str, ...] = ()
    count: int = 16
    size: str = "192x192"
    methods: str = "learned"


MEASUREMENTS = {
    "subpixel": _Entry(
        "how small a motion can be shown: 0.01 to 1 px, magnified to 10 px",
        "mm.evaluation.subpixel:Subpixel",
        ("levels", "pairs"),
    ),
    "noise": _Entry(
        "how much noise is borne, at 0.05 px × 200 and 0.5 px × 20",
        "mm.evaluation.noise:Noise",
        ("levels", "pairs"),
    ),
    "static": _Entry(
        "nothing moves and only the noise differs, at × 20",
        "mm.evaluation.static:Static",
        ("levels", "pairs"),
    ),
    "gain": _Entry(
        "measured output motion over the true one, for motion of the whole frame",
        "mm.evaluation.frame_gain:Gain",
        ("levels", "factors", "temporal"),
    ),
    "frequency": _Entry(
        "the part of a small change that is shown, by spatial frequency",
        "mm.evaluation.frequency:Frequency",
        ("levels", "factors", "temporal"),
    ),
    "kernels": _Entry(
        "linear kernels that the encoder's channels are nearest to", "mm.evaluation.kernels:EncoderKernels"
    ),
    "physical": _Entry(
        "the irregular motion of a shaken object, recovered from the magnified clip",
        "mm.evaluation.physical:Physical",
        ("factors",),
    ),
    "clip": _Entry(
        "whole clips with drift, shake, noise and compression: likeness, gain in the band, leak, flicker, "
        "detail, colour and time, beside the input and an oracle that knows the true field",
        "mm.evaluation.clip:ClipMeasurement",
        ("axes", "frames"),
        count=4,
        size="128x128",
    ),
    "protocol": _Entry(
        "published evaluations, by --set: figure8 (the paper's, as its authors' later script runs it), disc "
        "(a swinging disc), geometric (translation, rotation, noise, blur)",
        "mm.evaluation.published:protocol",
        ("set",),
    ),
    "leaderboard": _Entry(
        "every method and the shipped networks on such clips, at nine levels of five axes, ranked",
        "mm.evaluation.leaderboard:Leaderboard",
        ("axes", "frames"),
        count=4,
        size="128x128",
        methods="linear,phase,riesz,acceleration,flow,layered,oh2018-mm=oh2018-mm,"
        "splat=splat,splat-small=splat-small",
    ),
}
BYTES_A_PIXEL = 300  # of each frame of a clip: what is rendered, magnified and scored


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    described = "; ".join(f"{name}: {entry.help}" for name, entry in MEASUREMENTS.items())
    parser.add_argument("measurement", choices=tuple(MEASUREMENTS), help=described)
    parser.add_argument(
        "--out", type=Path, default=Path("evaluation"), metavar="DIR", help="the folder to write"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a measurement that is there")
    parser.add_argument(
        "--methods",
        metavar="NAME[=WEIGHTS],…",
        help="side by side: registered methods (learned: the network with the shipped weights), and "
        "NAME=WEIGHTS for the network with other weights; the input itself is always shown "
        "(default: learned; leaderboard: all)",
    )
    parser.add_argument(
        "--renderer", choices=("fourier", "project", "both"), default="both", help="of the scenes"
    )
    parser.add_argument(
        "--count", type=int, metavar="N", help="number of scenes (default: 16; clip, leaderboard: 4)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the scenes and the noise")
    parser.add_argument(
        "--size",
        metavar="WxH",
        help="of the frames, px; not of kernels (default: 192x192; clip, leaderboard: 128x128)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    images = parser.add_argument_group("what the scenes show")
    images.add_argument(
        "--photographs",
        nargs="+",
        metavar="DIR",
        help="folders, or the name of an image source; procedural ones if not given",
    )
    images.add_argument(
        "--cutouts", nargs="+", metavar="DIR", help="objects: folders of RGBA images, or the name of a source"
    )
    images.add_argument(
        "--plugins", nargs="+", default=[], metavar="PATH", help="a .py file, or a folder of them, to load"
    )
    levels = parser.add_argument_group("how it is measured")
    levels.add_argument(
        "--levels",
        metavar="X,…",
        help="other than the protocol's: input motion in px (subpixel, gain, frequency); "
        "noise factors (noise, static). Motion × factor must be 0.1 to 30 px (gain) or 0.1 to 0.5 px "
        "(frequency); others are left out",
    )
    levels.add_argument(
        "--factors",
        metavar="X,…",
        help="other than the protocol's: several for gain and frequency, one for physical",
    )
    levels.add_argument("--set", metavar="NAME", help="protocol: figure8 (default), disc or geometric")
    levels.add_argument(
        "--axis",
        action="append",
        dest="axes",
        metavar="NAME=X,…",
        help="clip, leaderboard: values of factor, crf (H.264, or none), noise (grey levels), drift, shake, "
        "other (px), flicker (%%) or band (upper over lower edge); given several times, every combination "
        "is measured, as in --axis factor=20,50 --axis crf=none,18,23. Without it each axis varies alone",
    )
    levels.add_argument(
        "--frames", type=int, metavar="N", help="clip, leaderboard: frames of each clip (default: 60)"
    )
    levels.add_argument(
        "--rounding",
        choices=("random", "nearest", "none"),
        default="random",
        help="of the input to 8 bits; random: 102.3 becomes 103 in 30 %% of cases",
    )
    levels.add_argument(
        "--pairs",
        action="store_true",
        help="subpixel, noise and static: measure registered methods on two frames, as the learned one; "
        "without it those with a temporal mode are measured as in the paper, on a clip that moves at 3 Hz, "
        "30 frames a second, through a FIR filter of 30 taps, 0.5 to 7.5 Hz",
    )
    levels.add_argument(
        "--temporal",
        action="store_true",
        help="gain and frequency: measure every method, the network too, in temporal mode on that clip, not "
        "on two frames; 61 frames are magnified for each scene, level and direction, so gain has few levels "
        "without --levels and --factors",
    )
    levels.add_argument(
        "--no-gain", action="store_true", help="subpixel only: leave out the gain, for half of the time"
    )


def run(args: argparse.Namespace) -> None:
    """Measure, and write the table and the picture."""
    entry = MEASUREMENTS[args.measurement]
    for name in ("count", "size", "methods"):
        if getattr(args, name) is None:
            setattr(args, name, getattr(entry, name))
    width, height = _size(args.size)
    options = {
        "levels": _numbers("--levels", args.levels),
        "factors": _numbers("--factors", args.factors),
        "pairs": args.pairs or None,
        "temporal": args.temporal or None,
        "axes": args.axes,
        "frames": args.frames,
        "set": args.set,
    }
    for option, value in options.items():
        if value is not None and option not in entry.options:
            takers = ", ".join(name for name, each in MEASUREMENTS.items() if option in each.options)
            name = "axis" if option == "axes" else option
            raise InputError(f"--{name} is for {takers}; {args.measurement} has none, leave it out")
    if args.count < 1:
        raise InputError(f"--count must be at least 1 scene, got {args.count}")
    if args.seed < 0:
        raise InputError(f"--seed must be at least 0, got {args.seed}")
    outputs = [args.out / f"{args.measurement}{suffix}" for suffix in (".json", ".csv", ".md")]
    check_free(outputs, overwrite=args.overwrite)
    # Here, not above: `mm evaluate --help` needs none of them.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mm.evaluation.candidates import candidates
    from mm.evaluation.pictures import named_pictures
    from mm.evaluation.renderers import chosen_renderers
    from mm.evaluation.runner import Conditions
    from mm.evaluation.scene_spec import check_size
    from mm.networks.weights import digest
    from mm.runtime import choose_device

    check_size(height, width)
    console = Console()
    with warnings_as_lines():
        plugins.load_plugins(args.plugins)
        device = choose_device(args.device)
        names = [text for text in args.methods.split(",") if text.strip()]
        on_clips = "pairs" in entry.options and not args.pairs
        methods = candidates(
            names, device, clips=on_clips, temporal=args.temporal, streams="axes" in entry.options
        )
        pictures, held_out = named_pictures(args.photographs, args.cutouts, max(height, width))
        renderers = chosen_renderers(args.renderer)
        conditions = Conditions(args.count, args.seed, renderers, device, args.rounding)
        given = {name: options[name] for name in entry.options if name in ("levels", "factors")}
        if args.measurement == "subpixel":
            given["gain"] = not args.no_gain
        elif args.measurement == "gain":
            given["temporal"] = args.temporal
        elif args.set is not None:
            given["name"] = args.set
        elif "axes" in entry.options:
            given = _clip_settings(args, width, height)
        module, name = entry.path.split(":")
        measurement: Measurement = getattr(importlib.import_module(module), name)(
            pictures, (height, width), **given
        )
        total = measurement.steps(methods, conditions)
        _prepare_folder(args.out)
        # What a method has to say of every clip is said once.
        warnings.simplefilter("default", UserWarning)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        begun = time.perf_counter()
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(f"measuring {args.measurement}", total=total)
            found = measurement.run(methods, conditions, lambda: progress.advance(task))
    seconds = round(time.perf_counter() - begun, 1)
    tells_protocol = "pairs" in entry.options or args.temporal
    measured_on = {each.name: each.measured_on for each in methods} if tells_protocol else {}
    settings = {
        "version": __version__,
        "measurement": args.measurement,
        "methods": args.methods.split(","),
        "weights": {each.name: digest(each.network) for each in methods if each.network is not None},
        **({"measured_on": measured_on} if tells_protocol else {}),
        "renderers": list(renderers),
        "scenes": args.count,
        "seed": args.seed,
        "size": [width, height],
        "rounding": args.rounding,
        **({"set": args.set} if "set" in entry.options else {}),
        **({"axes": args.axes, "frames": given["frames"]} if "axes" in entry.options else {}),
        "photographs": args.photographs or "procedural",
        **({"held_out": held_out} if args.photographs or args.cutouts else {}),
        "cutouts": args.cutouts or "procedural",
        "device": str(device),
        "seconds": seconds,
    }
    sheet = args.out / f"{args.measurement}.json"
    # An earlier run's table must not stand beside these settings, should this run be stopped here.
    for suffix in (".csv", ".md"):
        sheet.with_suffix(suffix).unlink(missing_ok=True)
    sheet.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    with warnings_as_lines():
        files = [*measurement.write(args.out, found), sheet.name]
    tables = list(measurement.tables(found))
    for table in tables:
        print_table(console, table)
    lines = list(measurement.notes(found))
    for text in dict.fromkeys(measured_on.values()):
        lines.append(
            f"{', '.join(name for name, on in measured_on.items() if on == text)}: measured on {text}"
        )
    if args.photographs or args.cutouts:
        lines.append(held_out)
    page = sheet.with_suffix(".md")
    page.write_text(_page(args, settings, tables, lines), encoding="utf-8")
    files.append(page.name)
    lines.append(f"scenes: {args.count}, in {seconds} s on {device}; see {args.out}/ for {', '.join(files)}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def print_table(console: Console, table: Table) -> None:
    """Print a table, the best scores in bold."""
    from rich.table import Table as Grid

    if table.title:
        # Not the grid's own title, which would be broken at the grid's width.
        console.print(f"\n{table.title}", soft_wrap=True)
    grid = Grid()
    for place, name in enumerate(table.head):
        grid.add_column(name, justify="left" if place < table.text else "right")
    for line in table.marked("[bold]", "[/]"):
        grid.add_row(*line)
    wide = console.options.update(max_width=10_000)
    if console.measure(grid, options=wide).maximum > console.width:
        # The grid would cut off its cells.
        console.print(table.markdown(), soft_wrap=True, markup=False, highlight=False)
    else:
        console.print(grid)


def _page(args: argparse.Namespace, settings: dict[str, Any], tables: list[Table], notes: list[str]) -> str:
    """Return the tables in Markdown, with the command that makes them again."""
    import torch

    renderers = [f"the {name} renderer" for name in settings["renderers"]]
    command = ["mm", "evaluate", args.measurement]
    for name, value in vars(args).items():
        flag = f"--{ {'axes': 'axis'}.get(name, name.replace('_', '-')) }"
        left_out = name in ("measurement", "out", "overwrite", "device")
        if left_out or value is None or value is False or value == []:
            continue
        if name == "axes":
            command += [part for each in value for part in (flag, each)]
        else:
            command += [flag, *(value if isinstance(value, list) else [] if value is True else [str(value)])]
    facts = [
        f"mm {__version__}, torch {torch.__version__.partition('+')[0]}, {settings['device']}",
        f"seed {args.seed}: {args.count} scenes of {args.size} px, each by {' and by '.join(renderers)}",
        *(f"weights of {name}: {value}" for name, value in settings["weights"].items()),
    ]
    parts = [
        f"# mm evaluate {args.measurement}",
        f"```sh\n{shlex.join(command)}\n```",
        "\n".join(f"- {fact}" for fact in facts),
    ]
    parts += [part for table in tables for part in (table.title, table.markdown().rstrip()) if part]
    return "\n\n".join([*parts, *notes]) + "\n"


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None:
        raise InputError(f"--size is WIDTHxHEIGHT in px, such as 192x192, got {text!r}")
    return int(match[1]), int(match[2])


def _clip_settings(args: argparse.Namespace, width: int, height: int) -> dict[str, Any]:
    """Return the levels and the length that ``clip`` is measured with."""
    from mm.evaluation.clip import FRAMES, crossed_levels
    from mm.magnify.memory import check_frames

    frames = FRAMES if args.frames is None else args.frames
    check_frames(frames, width, height, BYTES_A_PIXEL)
    axes = {}
    for text in args.axes or ():
        name, _, values = text.partition("=")
        axes[name] = tuple(
            None if name == "crf" and part.strip() == "none" else _number("--axis", part)
            for part in dict.fromkeys(values.split(","))
        )
    return {"levels": crossed_levels(axes) if axes else None, "frames": frames}


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    return tuple(dict.fromkeys(_number(option, part) for part in text.split(",")))


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"{option} is numbers with commas between them, such as 0.1,1, got {text!r}"
        ) from None


def _prepare_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
