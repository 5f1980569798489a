"""``mm synthesize``: training triplets as pictures, each with its exact ground truth, and a sheet of them."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mm import plugins
from mm._version import __version__
from mm.cli.console import refusals_as_lines, warnings_as_lines
from mm.errors import InputError
from mm.files import output_folder
from mm.registry import motion_generators
from mm.runtime import choose_device
from mm.synthesis import (
    SUBSETS,
    Mixture,
    MotionGenerator,
    MotionLimits,
    SampleTruth,
    Synthesizer,
    ground_truth,
)

if TYPE_CHECKING:
    from mm.data.dataset import LayersDataset

Pixels = NDArray[np.uint8]

BATCH = 4  # samples rendered at once
CACHE = 256 * 2**20  # bytes of decoded photographs and cut-outs that are kept
SHEET = "contact_sheet.png"
SHEET_ROWS = 24
CELL = 160  # px, longest side of a picture on the sheet
DIFFERENCE_GAIN = 10
TRIPLET = ("xa", "xb", "y")
PERTURBED = ("xb_perturbed", "y_perturbed")
# What an earlier run can have left: --overwrite removes it.
OWN_FILES = re.compile(
    r"\d{6,}(_(xa|xb|y|xb_perturbed|y_perturbed|layers)\.png|_motion\.npy|\.json)|" + SHEET
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    names = [subset.name for subset in SUBSETS]
    parser.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--subset", choices=(*names, "all"), default="all", help="the kind of scene; all: the five in turn"
    )
    parser.add_argument("--count", type=int, default=10, metavar="N", help="number of triplets")
    parser.add_argument("--size", type=_size, default="384x384", metavar="WxH", help="of the frames, px")
    parser.add_argument("--seed", type=int, default=0, help="sample i depends on this and on i alone")
    images = parser.add_argument_group("what is rendered")
    images.add_argument(
        "--photographs",
        nargs="+",
        metavar="DIR",
        help="backgrounds: folders, or the name of an image source; procedural ones if not given",
    )
    images.add_argument(
        "--cutouts", nargs="+", metavar="DIR", help="objects: folders of RGBA images, or the name of a source"
    )
    images.add_argument(
        "--plugins", nargs="+", default=[], metavar="PATH", help="a .py file, or a folder of them, to load"
    )
    motion = parser.add_argument_group("how it moves")
    motion.add_argument(
        "--motion",
        default="translation",
        metavar="NAME[:WEIGHT],…",
        help=f"motion generators, drawn with these weights: {', '.join(sorted(motion_generators))}",
    )
    defaults = MotionLimits()
    motion.add_argument("--max-factor", type=float, default=defaults.max_factor, help="largest factor")
    motion.add_argument(
        "--max-motion", type=float, default=defaults.max_motion, metavar="PX", help="largest input motion"
    )
    motion.add_argument(
        "--max-magnified",
        type=float,
        default=defaults.max_magnified,
        metavar="PX",
        help="largest magnified motion",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--perturbed", action="store_true", help="write the colour-perturbed frames as well")


def run(args: argparse.Namespace) -> None:
    """Render the triplets and write them, their truth and the contact sheet."""
    if args.count < 1:
        raise InputError(f"--count must be at least 1, got {args.count}")
    # Here, not above: the bars are needed once the arguments are known to be good.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with warnings_as_lines():
        plugins.load_plugins(args.plugins)
        width, height = args.size
        limits = MotionLimits(
            max_factor=args.max_factor, max_motion=args.max_motion, max_magnified=args.max_magnified
        )
        synthesizer = Synthesizer(height, width, motion=_motion(args.motion), limits=limits)
        synthesizer.to(choose_device(args.device))
        sets = _datasets(args, synthesizer)
        _prepare_folder(args.out)
        console = Console()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        rows: list[Pixels] = []
        with Progress(*columns, console=console, transient=True) as progress:
            steps = progress.add_task("rendering", total=args.count)
            for batch, frames, truths in _render(synthesizer, sets, args.count):
                for place, truth in enumerate(truths):
                    number = int(batch["index"][place])
                    sample = {name: frames[name][place].cpu() for name in TRIPLET + PERTURBED}
                    facts = {
                        "index": number,
                        "seed": args.seed,
                        "sample_seed": int(batch["seed"][place]),
                        "subset": SUBSETS[int(batch["subset"][place])].name,
                    }
                    with refusals_as_lines(args.out):
                        _write(args.out, facts, sample, truth, args.perturbed)
                    if len(rows) < SHEET_ROWS:
                        rows.append(_sheet_row(facts, sample, truth))
                    progress.advance(steps)
        with refusals_as_lines(args.out):
            _write_png(args.out / SHEET, _sheet(rows))
    shown = f"the first {len(rows)}" if len(rows) < args.count else "all"
    console.print(
        f"{args.count} triplets of {width}×{height} px in {args.out}; {shown} on {args.out / SHEET}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


# -- what is rendered --------------------------------------------------------------------------------------


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"a size is WIDTHxHEIGHT in px, such as 384x384, got {text!r}")
    return int(match[1]), int(match[2])


def _motion(text: str) -> MotionGenerator:
    """Return what ``NAME[:WEIGHT],…`` describes.

    Raises:
        InputError: for an unknown name, or a weight that is no number of at least 0.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, colon, weight = part.strip().partition(":")
        try:
            weights[name] = float(weight) if colon else 1.0
        except ValueError:
            raise InputError(
                f"--motion {part!r}: the weight must be a number; write NAME:WEIGHT, such as rotation:0.5"
            ) from None
    if len(weights) == 1 and next(iter(weights.values())) > 0:
        generator: MotionGenerator = motion_generators.get(next(iter(weights)))()
        return generator
    return Mixture(weights)


def _datasets(args: argparse.Namespace, synthesizer: Synthesizer) -> list[LayersDataset]:
    """Return one set of layers for each subset that is wanted."""
    from mm.data.bank import ImageBank, ImageCache
    from mm.data.dataset import LayersDataset
    from mm.data.procedural import ProceduralCutouts, ProceduralPhotographs
    from mm.data.sources import FolderOfCutouts, FolderOfPhotographs, ImageSource, build_source

    def source(
        given: list[str] | None, folders_are: type[FolderOfPhotographs] | type[FolderOfCutouts]
    ) -> ImageSource | None:
        if given is None:
            return None
        return build_source(given[0] if len(given) == 1 else given, folders_are)

    geometry = synthesizer.geometry
    # At the size at which they are used: nothing is gained by drawing procedural images larger.
    photographs = source(args.photographs, FolderOfPhotographs) or ProceduralPhotographs(
        size=max(geometry.background_size)
    )
    cutouts = source(args.cutouts, FolderOfCutouts) or ProceduralCutouts(size=geometry.object_size)
    cache = ImageCache(CACHE)
    banks = (
        ImageBank(photographs, kind="photograph", cache=cache),
        ImageBank(cutouts, kind="cut-out", cache=cache),
    )
    names = [subset.name for subset in SUBSETS] if args.subset == "all" else [args.subset]
    return [LayersDataset(*banks, geometry, name, seed=args.seed, length=args.count) for name in names]


def _render(
    synthesizer: Synthesizer, sets: list[LayersDataset], count: int
) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor], list[SampleTruth]]]:
    """Give batches, their frames, and the truth of each sample; sample i is of set i, round and round."""
    device = next(synthesizer.buffers()).device
    for start in range(0, count, BATCH):
        samples = [sets[number % len(sets)][number] for number in range(start, min(start + BATCH, count))]
        batch = {name: torch.stack([s[name] for s in samples]).to(device) for name in samples[0]}
        yield batch, synthesizer(batch), ground_truth(synthesizer, batch)


# -- what is written ---------------------------------------------------------------------------------------


def _prepare_folder(folder: Path) -> None:
    with refusals_as_lines(folder):
        folder.mkdir(parents=True, exist_ok=True)
        there = list(folder.iterdir())
        # All of them: those of a longer run would be taken for this one's.
        for file in there:
            if file.is_file() and OWN_FILES.fullmatch(file.name):
                file.unlink()


def _write(
    folder: Path, facts: dict[str, Any], sample: dict[str, Tensor], truth: SampleTruth, perturbed: bool
) -> None:
    stem = f"{facts['index']:06d}"
    frames = {name: f"{stem}_{name}.png" for name in TRIPLET + (PERTURBED if perturbed else ())}
    for name, file in frames.items():
        _write_png(folder / file, _eight_bit(sample[name]))
    _write_png(folder / f"{stem}_layers.png", truth.visible.numpy())
    field = None
    if not all(layer.is_translation for layer in truth.layers):
        field = f"{stem}_motion.npy"
        np.save(folder / field, truth.displacement.numpy())
    height, width = truth.visible.shape
    record = facts | {
        "version": __version__,
        "factor": truth.factor,
        "size": [width, height],
        "frames": frames,
        # Values are the layers' labels.
        "visible_layer": f"{stem}_layers.png",
        # (H, W, 2) float32, px (x, y), of what is visible in xa; the layers' own displacements say all where
        # every one of them is a translation.
        "displacement_field": field,
        "layers": [
            {
                "kind": layer.kind,
                "order": order,
                "label": layer.label,
                "motion": layer.motion,
                "is_translation": layer.is_translation,
                "centre": layer.centre,
                "displacement": layer.displacement,
                "magnified_displacement": layer.magnified,
            }
            for order, layer in enumerate(truth.layers)
        ],
    }
    # Last, so that a sample that has its JSON is complete.
    (folder / f"{stem}.json").write_text(_json(record) + "\n")


def _json(record: dict[str, Any]) -> str:
    """Return a record as JSON that a person can read: pairs of numbers stay on one line."""
    return re.sub(r"\[\s+([^\s\[\]{},]+),\s+([^\s\[\]{},]+)\s+\]", r"[\1, \2]", json.dumps(record, indent=1))


def _eight_bit(frame: Tensor) -> Pixels:
    """Return a frame (3, H, W) as BGR (H, W, 3), to the nearest step; only a clean target is not on one."""
    rgb = (frame.permute(1, 2, 0) * 255.0).round().to(torch.uint8).numpy()
    return np.ascontiguousarray(rgb[..., ::-1])


def _write_png(path: Path, pixels: Pixels) -> None:
    _, data = cv2.imencode(".png", pixels)
    path.write_bytes(data.tobytes())


# -- the contact sheet -------------------------------------------------------------------------------------


_COLUMNS = (
    "xa",
    "xb",
    "y",
    f"|xb - xa| x {DIFFERENCE_GAIN}",
    "|y - xa|",
    "motion (hue: direction)",
    "one row of xa, xb, y",
)
_LABEL_WIDTH, _GAP = 190, 4
_LABEL_LETTERS, _LABEL_LINES = 28, 6
_FONT, _FONT_SCALE, _LINE_HEIGHT = cv2.FONT_HERSHEY_SIMPLEX, 0.38, 16
_INK = 225


def _sheet_row(facts: dict[str, Any], sample: dict[str, Tensor], truth: SampleTruth) -> Pixels:
    """Return a sample's pictures beside one another, under a label."""
    xa, xb, y = (sample[name] for name in TRIPLET)
    change = (y - xa).abs().mean(0)
    amount = (change * 2.0 * 255.0).clamp(0, 255).to(torch.uint8).numpy()
    # The row that shows most of the motion.
    row = int(change.sum(1).argmax())
    band = -(-xa.shape[1] // 3)
    bands = torch.cat([frame[:, row : row + 1].expand(-1, band, -1) for frame in (xa, xb, y)], dim=1)
    largest = float(truth.displacement.norm(dim=-1).max())
    pictures = [
        _eight_bit(xa),
        _eight_bit(xb),
        _eight_bit(y),
        _eight_bit(((xb - xa).abs() * DIFFERENCE_GAIN).clamp(0, 1)),
        np.asarray(cv2.applyColorMap(amount, cv2.COLORMAP_INFERNO), np.uint8),
        _directions(truth.displacement, largest),
        _eight_bit(bands[:, : xa.shape[1]]),
    ]
    cells = [_fit(picture) for picture in pictures]
    objects = len(truth.layers) - 1
    motions = ", ".join(sorted({layer.motion for layer in truth.layers}))
    # A wide frame is lower than its label is.
    low = max(0, _LABEL_LINES * _LINE_HEIGHT + _GAP - cells[0].shape[0])
    cells = [np.pad(cell, ((0, low), (0, 0), (0, 0))) for cell in cells]
    label = np.zeros((cells[0].shape[0], _LABEL_WIDTH, 3), np.uint8)
    for line, text in enumerate(
        (
            f"{facts['index']:06d} {facts['subset']}",
            f"factor {truth.factor:.3g}",
            f"{largest:.3g} -> {largest * truth.factor:.3g} px",
            f"{objects} object{'' if objects == 1 else 's'}",
            motions[:_LABEL_LETTERS],
            motions[_LABEL_LETTERS : 2 * _LABEL_LETTERS],
        )
    ):
        _print(label, text[:_LABEL_LETTERS], (6, _LINE_HEIGHT * (line + 1)))
    return _beside([label, *cells])


def _sheet(rows: list[Pixels]) -> Pixels:
    width = rows[0].shape[1]
    cell = (width - _LABEL_WIDTH) // len(_COLUMNS)
    wrapped = [_wrapped(title, cell - 2 * _GAP) for title in _COLUMNS]
    height = max(map(len, wrapped)) * _LINE_HEIGHT + 2 * _GAP
    titles = np.zeros((height, width, 3), np.uint8)
    for column, lines in enumerate(wrapped):
        for line, text in enumerate(lines):
            _print(titles, text, (_LABEL_WIDTH + _GAP + column * cell, _LINE_HEIGHT * (line + 1)))
    gap = np.zeros((_GAP, width, 3), np.uint8)
    return np.concatenate([titles, *(piece for row in rows for piece in (row, gap))])


def _fit(picture: Pixels) -> Pixels:
    """Return a picture as large as a cell: enlarged a whole number of times, or shrunk."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    if longest <= CELL:
        return picture.repeat(CELL // longest, axis=0).repeat(CELL // longest, axis=1)
    size = (max(1, round(width * CELL / longest)), max(1, round(height * CELL / longest)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _directions(displacement: Tensor, largest: float) -> Pixels:
    """Return a field (H, W, 2) as colours: hue by direction, brightness by length."""
    x, y = displacement.numpy()[..., 0], displacement.numpy()[..., 1]
    hue = (np.degrees(np.arctan2(y, x)) % 360 / 2).astype(np.uint8)
    value = np.hypot(x, y) / max(largest, 1e-9) * 255
    hsv = np.dstack((hue, np.full_like(hue, 255), value.astype(np.uint8)))
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)


def _beside(pictures: list[Pixels]) -> Pixels:
    gap = np.zeros((pictures[0].shape[0], _GAP, 3), np.uint8)
    return np.concatenate([piece for picture in pictures for piece in (picture, gap)], axis=1)


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of at most ``width`` px each; a word that is longer than that stands alone."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and cv2.getTextSize(longer, _FONT, _FONT_SCALE, 1)[0][0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _print(picture: Pixels, text: str, place: tuple[int, int]) -> None:
    cv2.putText(picture, text, place, _FONT, _FONT_SCALE, (_INK, _INK, _INK), 1, cv2.LINE_AA)
