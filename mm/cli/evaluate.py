"""``mm evaluate MEASUREMENT``: the paper's measurements of methods side by side, as a table and pictures."""

from __future__ import annotations

import argparse
import json
import math
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm import plugins
from mm._version import __version__
from mm.cli.console import refusals_as_lines, warnings_as_lines
from mm.errors import InputError
from mm.files import check_free

if TYPE_CHECKING:
    import torch

    from mm.evaluation.candidates import Candidate, Filtered
    from mm.evaluation.comparison import Conditions, Row, Spread
    from mm.evaluation.frequency import Response
    from mm.evaluation.kernels import Kernels, Part
    from mm.evaluation.physical import Course
    from mm.evaluation.scene_spec import Pictures, SceneSpec

MEASUREMENTS = {
    "subpixel": "how small a motion can be shown: 0.01 to 1 px, magnified to 10 px",
    "noise": "how much noise is borne, at 0.05 px × 200 and 0.5 px × 20",
    "static": "nothing moves and only the noise differs, at × 20",
    "gain": "measured output motion over the true one, for motion of the whole frame",
    "frequency": "the part of a small change that is shown, by spatial frequency",
    "kernels": "linear kernels that the encoder's channels are nearest to",
    "physical": "the irregular motion of a shaken object, recovered from the magnified clip",
}
WITH_LEVELS = ("subpixel", "noise", "static", "gain", "frequency")
WITH_FACTORS = ("gain", "frequency", "physical")
WITH_CLIPS = ("subpixel", "noise", "static")
TEMPORAL = ("gain", "frequency")  # measured in temporal mode if that is asked for
IN_FIGURE_8 = ("subpixel", "noise")  # the paper's a; b and c
FIGURE_8 = "figure8.png"
# Settings that its panels must share; methods may be missing in one, but a name means the same weights.
ALIKE = ("photographs", "cutouts", "size", "scenes", "seed", "rounding")
COUNT = 16
SIZE = "192x192"
CACHE = 256 * 2**20  # bytes of decoded photographs and cut-outs that are kept
LARGEST_CUTOUT = 400  # px, longest side of a procedural one: what an object needs in a frame of 570 px

Advance = Callable[[], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    described = "; ".join(f"{name}: {text}" for name, text in MEASUREMENTS.items())
    parser.add_argument("measurement", choices=tuple(MEASUREMENTS), help=described)
    parser.add_argument(
        "--out", type=Path, default=Path("evaluation"), metavar="DIR", help="the folder to write"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a measurement that is there")
    parser.add_argument(
        "--methods",
        default="learned",
        metavar="NAME[=WEIGHTS],…",
        help="side by side: registered methods (learned: the network with the shipped weights), and "
        "NAME=WEIGHTS for the network with other weights; the input itself is always shown",
    )
    parser.add_argument(
        "--renderer", choices=("fourier", "project", "both"), default="both", help="of the scenes"
    )
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help="number of scenes")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes and the noise")
    parser.add_argument("--size", default=SIZE, metavar="WxH", help="of the frames, px; not of kernels")
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


@dataclass(frozen=True)
class _Setup:
    """The arguments, checked, and what they name."""

    args: argparse.Namespace
    levels: tuple[float, ...] | None
    factors: tuple[float, ...] | None
    size: tuple[int, int]
    methods: list[Candidate | Filtered]
    pictures: Pictures
    renderers: tuple[str, ...]
    device: torch.device

    @property
    def conditions(self) -> Conditions:
        from mm.evaluation.comparison import Conditions

        return Conditions(
            self.args.count, self.args.seed, self.renderers, self.device, rounding=self.args.rounding
        )

    @property
    def on_pairs(self) -> list[Candidate]:
        """The methods that are measured on pairs of frames: all of them but for :data:`WITH_CLIPS`."""
        from mm.evaluation.candidates import Filtered

        return [method for method in self.methods if not isinstance(method, Filtered)]


@dataclass(frozen=True)
class _Job:
    """One measurement, ready to run.

    Attributes:
        steps: how often ``measure`` advances the bar.
        measure: returns what was found.
        write: writes it into a folder, beside the settings; returns the files' names.
        tell: prints it.
    """

    steps: int
    measure: Callable[[Advance], Any]
    write: Callable[[Path, Any], list[str]]
    tell: Callable[[Any, Any], None]


def run(args: argparse.Namespace) -> None:
    """Measure, and write the table and the picture."""
    width, height = _size(args.size)
    levels, factors = _numbers("--levels", args.levels), _numbers("--factors", args.factors)
    for option, given, where in (("--levels", levels, WITH_LEVELS), ("--factors", factors, WITH_FACTORS)):
        if given is not None and args.measurement not in where:
            raise InputError(f"{option} is for {', '.join(where)}; {args.measurement} has none, leave it out")
    clips = args.measurement in WITH_CLIPS
    if args.pairs and not clips:
        raise InputError(
            f"--pairs is for {', '.join(WITH_CLIPS)}; {args.measurement} has no clips, leave it out"
        )
    if args.temporal and args.measurement not in TEMPORAL:
        raise InputError(
            f"--temporal is for {', '.join(TEMPORAL)}; {args.measurement} is not measured in temporal mode, "
            "leave it out"
        )
    if args.count < 1:
        raise InputError(f"--count must be at least 1 scene, got {args.count}")
    if args.seed < 0:
        raise InputError(f"--seed must be at least 0, got {args.seed}")
    tables = [args.out / f"{args.measurement}{suffix}" for suffix in (".json", ".csv")]
    check_free(tables, overwrite=args.overwrite)
    # Here, not above: `mm evaluate --help` needs none of them.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mm.evaluation.candidates import FilteredNetwork, Network, candidates, protocol
    from mm.evaluation.comparison import Row, agreement
    from mm.evaluation.renderers import chosen_renderers
    from mm.evaluation.scene_spec import check_size
    from mm.networks.weights import digest
    from mm.runtime import choose_device

    check_size(height, width)
    console = Console()
    with warnings_as_lines():
        plugins.load_plugins(args.plugins)
        device = choose_device(args.device)
        names = [text for text in args.methods.split(",") if text.strip()]
        methods = candidates(names, device, clips=clips and not args.pairs, temporal=args.temporal)
        pictures, held_out = _pictures(args, max(height, width))
        renderers = chosen_renderers(args.renderer)
        job = _job(_Setup(args, levels, factors, (height, width), methods, pictures, renderers, device))
        _prepare_folder(args.out)
        # What a method has to say of every clip is said once.
        warnings.simplefilter("default", UserWarning)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        begun = time.perf_counter()
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(f"measuring {args.measurement}", total=job.steps)
            found = job.measure(lambda: progress.advance(task))
    seconds = round(time.perf_counter() - begun, 1)
    tells_protocol = clips or args.temporal
    measured_on = {method.name: protocol(method) for method in methods} if tells_protocol else {}
    networks = {
        method.name: method.network for method in methods if isinstance(method, (Network, FilteredNetwork))
    }
    settings = {
        "version": __version__,
        "measurement": args.measurement,
        "methods": args.methods.split(","),
        "weights": {name: digest(network) for name, network in networks.items()},
        **({"measured_on": measured_on} if tells_protocol else {}),
        "renderers": list(renderers),
        "scenes": args.count,
        "seed": args.seed,
        "size": [width, height],
        "rounding": args.rounding,
        "photographs": args.photographs or "procedural",
        **({"held_out": held_out} if args.photographs or args.cutouts else {}),
        "cutouts": args.cutouts or "procedural",
        "device": str(device),
        "seconds": seconds,
    }
    sheet = args.out / f"{args.measurement}.json"
    with refusals_as_lines(args.out):
        # Of an earlier run: should this one be stopped here, its table must not stand beside these settings.
        sheet.with_suffix(".csv").unlink(missing_ok=True)
        sheet.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        with warnings_as_lines():
            files = [*job.write(args.out, found), sheet.name]
    job.tell(console, found)
    scored = [row for row in found if isinstance(row, Row)] if isinstance(found, list) else []
    same, pairs = agreement(scored)
    if pairs:
        console.print(
            f"the renderers put {same} of {pairs} pairs of methods into the same order",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
    for text in dict.fromkeys(measured_on.values()):
        columns_so = ", ".join(name for name, of_it in measured_on.items() if of_it == text)
        console.print(f"{columns_so}: measured on {text}", highlight=False, soft_wrap=True, markup=False)
    if args.photographs or args.cutouts:
        console.print(held_out, highlight=False, soft_wrap=True, markup=False)
    console.print(
        f"scenes: {args.count}, in {seconds} s on {device}; see {args.out}/ for {', '.join(files)}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


# -- the measurements --------------------------------------------------------------------------------------


def _job(setup: _Setup) -> _Job:
    if setup.args.measurement == "gain":
        return _gain(setup)
    if setup.args.measurement == "frequency":
        return _frequency(setup)
    if setup.args.measurement == "kernels":
        return _kernels(setup)
    if setup.args.measurement == "physical":
        return _physical(setup)
    return _against_truth(setup)


def _against_truth(setup: _Setup) -> _Job:
    from mm.evaluation import noise, static, subpixel
    from mm.evaluation.comparison import compare

    args = setup.args
    test = {"subpixel": subpixel, "noise": noise, "static": static}[args.measurement]
    levels = test.levels(setup.levels)

    def measure(advance: Advance) -> list[Row]:
        return compare(
            args.measurement,
            levels,
            lambda index: test.scene(setup.pictures, *setup.size, args.seed, index),
            setup.methods,
            setup.conditions,
            gain=args.measurement == "subpixel" and not args.no_gain,
            advance=advance,
        )

    return _Job(len(levels) * args.count * len(setup.renderers), measure, _write_rows, _tell_rows)


def _gain(setup: _Setup) -> _Job:
    from mm.evaluation.gain import compare_gain
    from mm.evaluation.protocol import (
        CLIP_FACTORS,
        CLIP_MOTIONS,
        GAIN_FACTORS,
        GAIN_MOTIONS,
        GAIN_OUTPUTS,
        gain_levels,
    )
    from mm.evaluation.scene_spec import pattern, picture

    args = setup.args
    # A clip is magnified for each number in temporal mode.
    motions, factors = (CLIP_MOTIONS, CLIP_FACTORS) if args.temporal else (GAIN_MOTIONS, GAIN_FACTORS)
    levels = gain_levels(setup.levels or motions, setup.factors or factors)
    # The farthest that any run may ask for: which piece of a photograph is taken must not hang on the levels,
    # or one that is measured alone would not compare with the same among others.
    reach = max(GAIN_OUTPUTS[1], *(level.output_motion for level in levels))
    contents: dict[str, Callable[[int], SceneSpec]] = {
        "picture": lambda index: picture(setup.pictures, *setup.size, args.seed, index, reach),
        "pattern": lambda index: pattern(*setup.size, args.seed, index, reach),
    }

    def measure(advance: Advance) -> list[Row]:
        return compare_gain(
            levels,
            contents,
            setup.methods,
            setup.conditions,
            advance=advance,
        )

    steps = len(levels) * len(contents) * args.count * len(setup.renderers)
    return _Job(steps, measure, _write_rows, _tell_rows)


def _frequency(setup: _Setup) -> _Job:
    from mm.evaluation.figures import draw_frequency
    from mm.evaluation.frequency import FACTORS, MOTIONS, OUTPUTS, compare_frequency, responses_csv
    from mm.evaluation.protocol import gain_levels
    from mm.evaluation.scene_spec import picture

    args = setup.args
    levels = gain_levels(setup.levels or MOTIONS, setup.factors or FACTORS, OUTPUTS)
    reach = max(max(level.motion, level.output_motion) for level in levels)

    def measure(advance: Advance) -> list[Response]:
        return compare_frequency(
            levels,
            lambda index: picture(setup.pictures, *setup.size, args.seed, index, reach),
            setup.methods,
            setup.conditions,
            advance=advance,
        )

    def write(folder: Path, found: list[Response]) -> list[str]:
        (folder / "frequency.csv").write_text(responses_csv(found), encoding="utf-8")
        draw_frequency(folder / "frequency.png", found)
        return ["frequency.csv", "frequency.png"]

    return _Job(len(levels) * args.count * len(setup.renderers), measure, write, _tell_frequency)


def _kernels(setup: _Setup) -> _Job:
    import numpy as np

    from mm.evaluation.candidates import BASELINE, Network
    from mm.evaluation.figures import draw_kernels
    from mm.evaluation.kernels import PLACES, kernel_pictures, kernels_csv, measure_kernels

    networks = []
    for method in setup.on_pairs:
        if isinstance(method, Network):
            networks.append(method)
        elif method.name != BASELINE:
            raise InputError(f"the method {method.name!r} has no encoder to measure; leave it out")

    def measure(advance: Advance) -> dict[str, dict[Part, Kernels]]:
        pictures = kernel_pictures(setup.pictures, setup.args.seed, setup.args.count).to(setup.device)
        return {each.name: measure_kernels(each.network.encode, pictures, advance) for each in networks}

    def write(folder: Path, found: dict[str, dict[Part, Kernels]]) -> list[str]:
        (folder / "kernels.csv").write_text(kernels_csv(found), encoding="utf-8")
        arrays: dict[str, Any] = {
            f"{name}.{part}": kernels.weights.numpy()
            for name, parts in found.items()
            for part, kernels in parts.items()
        }
        np.savez_compressed(folder / "kernels.npz", **arrays)
        draw_kernels(folder / "kernels.png", found)
        return ["kernels.csv", "kernels.npz", "kernels.png"]

    return _Job(PLACES * len(networks), measure, write, _tell_kernels)


def _physical(setup: _Setup) -> _Job:
    from mm.evaluation.figures import draw_physical
    from mm.evaluation.physical import FACTOR, FPS, check_factor, compare_physical, courses_csv

    args = setup.args
    factors = setup.factors or (FACTOR,)
    if len(factors) > 1:
        raise InputError(f"physical is measured at one factor, got {args.factors}; give one with --factors")
    check_factor(factors[0])

    def measure(advance: Advance) -> list[Course]:
        return compare_physical(
            setup.pictures,
            setup.size,
            setup.on_pairs,
            setup.conditions,
            factor=factors[0],
            advance=advance,
        )

    def write(folder: Path, found: list[Course]) -> list[str]:
        (folder / "physical.csv").write_text(courses_csv(found), encoding="utf-8")
        draw_physical(folder / "physical.png", found, FPS)
        return ["physical.csv", "physical.png"]

    steps = args.count * len(setup.renderers) * len(setup.on_pairs)
    return _Job(steps, measure, write, _tell_physical)


def _pictures(args: argparse.Namespace, longest: int) -> tuple[Pictures, str]:
    """Return the photographs and cut-outs that are named, or procedural ones; and how many are held out.

    Of named images that are not on the list of those that no training sees, nobody knows whether a network
    was trained on them. Procedural ones are drawn with a seed that training refuses.
    """
    import numpy as np
    import torch
    from torch import Tensor

    from mm.data.bank import ImageBank, ImageCache
    from mm.data.held_out import PROCEDURAL_SEED, held_out
    from mm.data.procedural import ProceduralCutouts, ProceduralPhotographs
    from mm.data.sources import FolderOfCutouts, FolderOfPhotographs, build_source
    from mm.evaluation.protocol import GAIN_OUTPUTS
    from mm.evaluation.scene_spec import OBJECT_SIZE, PLACE, Pictures

    def one(given: list[str]) -> str | list[str]:
        return given[0] if len(given) == 1 else given

    # As large as they are shown: nothing is gained by drawing them larger.
    whole = longest + 2 * max(int(PLACE * longest) + 16, int(GAIN_OUTPUTS[1]) + 8)
    photographs = (
        build_source(one(args.photographs), FolderOfPhotographs)
        if args.photographs
        else ProceduralPhotographs(size=whole, seed=PROCEDURAL_SEED)
    )
    cutouts = (
        build_source(one(args.cutouts), FolderOfCutouts)
        if args.cutouts
        else ProceduralCutouts(
            size=min(LARGEST_CUTOUT, int(OBJECT_SIZE[1] * longest) + 16), seed=PROCEDURAL_SEED
        )
    )
    cache = ImageCache(CACHE)
    behind = ImageBank(photographs, kind="photograph", cache=cache)
    before = ImageBank(cutouts, kind="cut-out", cache=cache)

    def tensor(pixels: Any) -> Tensor:
        return torch.from_numpy(np.array(pixels.transpose(2, 0, 1))).float() / 255

    def photograph(seed: int, index: int) -> Tensor:
        return tensor(behind.draw(np.random.default_rng([seed, index])))

    def cutout(seed: int, index: int, number: int) -> Tensor:
        return tensor(before.draw(np.random.default_rng([seed, index, number + 1])))

    named = [source for source, given in ((photographs, args.photographs), (cutouts, args.cutouts)) if given]
    images, known = sum(map(len, named)), sum(len(held_out(source)) for source in named)
    return Pictures(photograph, cutout), f"{known} of {images} images are on the list that no training sees"


# -- arguments ---------------------------------------------------------------------------------------------


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None:
        raise InputError(f"--size is WIDTHxHEIGHT in px, such as {SIZE}, got {text!r}")
    return int(match[1]), int(match[2])


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise InputError(
            f"{option} is numbers with commas between them, such as 0.1,1, got {text!r}"
        ) from None


def _prepare_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file; name a folder")
    with refusals_as_lines(folder):
        folder.mkdir(parents=True, exist_ok=True)


# -- what is shown -----------------------------------------------------------------------------------------


def _differ(one: Path, other: Path) -> str:
    """Return what two measurements' settings do not have in common, in words; empty if they go together."""
    settings = []
    for path in (one, other):
        try:
            settings.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return "settings"
    differing = [key for key in ALIKE if settings[0].get(key) != settings[1].get(key)]
    weights = [each.get("weights", {}) for each in settings]
    if any(weights[0][name] != weights[1][name] for name in weights[0].keys() & weights[1].keys()):
        differing.append("weights of one name")
    return ", ".join(differing)


def _joined(folder: Path, tables: list[Path]) -> list[Row]:
    """Return the rows of both tables; InputError if they do not go together, or one cannot be read."""
    from mm.evaluation.comparison import read_csv

    differ = _differ(*(path.with_suffix(".json") for path in tables))
    if differ:
        raise InputError(
            f"{' and '.join(IN_FIGURE_8)} in {folder} were measured with other {differ}; measure both alike"
        )
    return [row for each in tables for row in read_csv(each)]


def _write_rows(folder: Path, rows: list[Row]) -> list[str]:
    """Write the table and the picture of a measurement with levels."""
    from mm.evaluation.comparison import to_csv
    from mm.evaluation.figures import draw_figure8, draw_gain

    measurement = rows[0].measurement
    table, picture = f"{measurement}.csv", f"{measurement}.png"
    (folder / table).write_text(to_csv(rows), encoding="utf-8")
    if measurement == "gain":
        draw_gain(folder / picture, rows)
        return [table, picture]
    draw_figure8(folder / picture, rows)
    # With what an earlier run has left, as the paper's figure has them side by side.
    tables = [folder / f"{name}.csv" for name in IN_FIGURE_8]
    if measurement not in IN_FIGURE_8 or not all(each.is_file() for each in tables):
        return [table, picture]
    try:
        both = _joined(folder, tables)
    except InputError as error:
        # No reason to keep back what was just measured.
        (folder / FIGURE_8).unlink(missing_ok=True)
        warnings.warn(f"no {FIGURE_8}: {error}", stacklevel=2)
        return [table, picture]
    draw_figure8(folder / FIGURE_8, both)
    return [table, picture, FIGURE_8]


def _tell_rows(console: Any, rows: list[Row]) -> None:
    from rich.table import Table

    measurement = rows[0].measurement
    methods = list(dict.fromkeys(row.method for row in rows))
    metrics = [name for name in ("ssim", "gain") if not all(math.isnan(getattr(row, name)) for row in rows)]
    groups = dict.fromkeys((row.content, row.renderer) for row in rows)
    for content, renderer, metric in ((*group, name) for group in groups for name in metrics):
        what = f"{measurement}: {'SSIM with the truth' if metric == 'ssim' else 'gain of the motion'}"
        if measurement == "gain":
            what = f"gain on {content}s"
        # Not the table's own title, which would be broken at the table's width.
        spread = "one scene"
        if any(row.scenes > 1 for row in rows):
            spread = "mean ± deviation over scenes" + (", and median" if metric == "gain" else "")
        console.print(f"\n{what}, {renderer} renderer; {spread}", soft_wrap=True)
        table = Table()
        for name in ("px", "×", "noise"):
            table.add_column(name, justify="right")
        for name in methods:
            table.add_column(name, justify="right")
        shown = [row for row in rows if (row.content, row.renderer) == (content, renderer)]
        for level in dict.fromkeys((row.motion, row.factor, row.noise) for row in shown):
            line = {row.method: row for row in shown if (row.motion, row.factor, row.noise) == level}
            best = _best(metric, line)
            table.add_row(
                *(f"{value:.4g}" for value in level),
                *(_cell(metric, line[name], name == best) for name in methods),
            )
        console.print(table)


def _best(metric: str, line: dict[str, Row]) -> str | None:
    """Return the method with the best score, or None if no method has one."""
    scores = {name: getattr(row, metric) for name, row in line.items()}
    known = [name for name, score in scores.items() if not math.isnan(score)]
    if metric == "gain":
        return min(known, key=lambda name: abs(scores[name] - 1), default=None)
    return max(known, key=lambda name: scores[name], default=None)


def _cell(metric: str, row: Row, best: bool) -> str:
    text = _told(getattr(row, metric), getattr(row, f"{metric}_std"))
    if metric == "gain" and row.gain_scenes > 1:
        text += f", {row.gain_median:.3f}"
    return f"[bold]{text}[/]" if best else text


def _tell_frequency(console: Any, found: list[Response]) -> None:
    from rich.table import Table

    from mm.evaluation.frequency import bands

    for renderer, level in dict.fromkeys((each.renderer, each.level) for each in found):
        what = f"change shown over true change, {level.motion:g} px × {level.factor:g}, {renderer} renderer"
        console.print(f"\n{what}; mean ± deviation over scenes", soft_wrap=True)
        shown = [each for each in found if (each.renderer, each.level) == (renderer, level)]
        table = Table()
        for name in ("cycles/px", *(each.method for each in shown)):
            table.add_column(name, justify="right")
        for place, (low, high) in enumerate(bands()):
            table.add_row(
                f"{low:g} – {high:g}",
                *(_told(each.gains[place].mean, each.gains[place].deviation) for each in shown),
            )
        console.print(table)


def _told(mean: float, deviation: float) -> str:
    return f"{mean:.3f}" if math.isnan(deviation) else f"{mean:.3f} ± {deviation:.3f}"


def _tell_kernels(console: Any, found: dict[str, dict[Part, Kernels]]) -> None:
    from rich.table import Table

    table = Table()
    for name in ("method", "part", "variance explained: median", "best channels"):
        table.add_column(name)
    for method, parts in found.items():
        for part, kernels in parts.items():
            best = ", ".join(f"{i} ({100 * float(kernels.explained[i]):.0f} %)" for i in kernels.best(4))
            table.add_row(method, part, f"{100 * float(kernels.explained.nanmedian()):.0f} %", best)
    console.print(table)


def _tell_physical(console: Any, courses: list[Course]) -> None:
    from rich.table import Table

    from mm.evaluation.physical import summarise

    def told(spread: Spread, scenes: int) -> str:
        text = _told(spread.mean, spread.deviation)
        return text if spread.count == scenes else f"{text} in {spread.count} of {scenes} scenes"

    table = Table()
    for name in ("renderer", "method", "correlation", "amplitude error", "frames measured"):
        table.add_column(name, justify="left" if name in ("renderer", "method") else "right")
    for each in summarise(courses):
        spreads = (told(spread, each.scenes) for spread in (each.correlation, each.amplitude_error))
        measured = f"{each.frames - each.unmeasured} of {each.frames}"
        table.add_row(each.renderer, each.method, *spreads, measured)
    console.print(table)
