"""``mm synthesize``: triplets or clips, each with its exact ground truth, and a sheet of pictures."""

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
from torch import Tensor

from mm import plugins
from mm._version import __version__
from mm.cli.console import warnings_as_lines
from mm.cli.contact_sheet import (
    LABEL_LETTERS,
    SHEET,
    SHEET_ROWS,
    Pixels,
    directions,
    eight_bit,
    sheet,
    sheet_row,
)
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

FRAMES, FPS, CRF = 64, 30.0, 23.0
BATCH = 4  # samples rendered at once
CACHE = 256 * 2**20  # bytes of decoded photographs and cut-outs that are kept
DIFFERENCE_GAIN = 10
TRIPLET = ("xa", "xb", "y")
PERTURBED = ("xb_perturbed", "y_perturbed")
# What an earlier run can have left: --overwrite removes it.
OWN_FILES = re.compile(
    r"\d{6,}(_(xa|xb|y|xb_perturbed|y_perturbed|layers)\.png|_motion\.npy|_(clip|truth)\.mkv|\.json)|" + SHEET
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    names = [subset.name for subset in SUBSETS]
    parser.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--subset", choices=(*names, "all"), default="all", help="the kind of scene; all: the five in turn"
    )
    parser.add_argument("--count", type=int, default=10, metavar="N", help="number of triplets or clips")
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
    clips = parser.add_argument_group("clips")
    clips.add_argument(
        "--clip",
        action="store_true",
        help="write clips: a video, its magnified truth, and each layer's motion over time",
    )
    clips.add_argument("--frames", type=int, metavar="N", help=f"of a clip (default: {FRAMES})")
    clips.add_argument("--fps", type=float, metavar="HZ", help=f"frames a second (default: {FPS:g})")
    clips.add_argument(
        "--band",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="the band, Hz, in which the layers vibrate (default: one for each clip)",
    )
    clips.add_argument("--steady", action="store_true", help="no motion but the vibration")
    clips.add_argument(
        "--codec", choices=("h264", "hevc", "mjpeg"), help="compress the clip, and write what a decoder shows"
    )
    clips.add_argument("--crf", type=float, help=f"the codec's constant rate factor (default: {CRF:g})")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--perturbed", action="store_true", help="write the colour-perturbed frames as well")


def run(args: argparse.Namespace) -> None:
    """Render the triplets and write them, their truth and the contact sheet."""
    if args.count < 1:
        raise InputError(f"--count must be at least 1, got {args.count}")
    for name in ("frames", "fps", "band", "steady", "codec", "crf"):
        if getattr(args, name) and not args.clip:
            raise InputError(f"--{name} is of clips; add --clip")
    # Here, not above: the bars are needed once the arguments are known to be good.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with warnings_as_lines():
        plugins.load_plugins(args.plugins)
        width, height = args.size
        limits = MotionLimits(
            max_factor=args.max_factor, max_motion=args.max_motion, max_magnified=args.max_magnified
        )
        motion = motion_of(args.motion)
        if args.clip:
            from mm.cli.synthesize_clips import COLUMNS, clip_synthesizer, write_clips

            kind = "clips"
            clips = clip_synthesizer(args, motion, limits).to(choose_device(args.device))
            sets = datasets(args, clips)
            written = write_clips(args, clips, sets)
        else:
            kind = "triplets"
            synthesizer = Synthesizer(height, width, motion=motion, limits=limits)
            synthesizer.to(choose_device(args.device))
            sets = datasets(args, synthesizer)
            written = _write_triplets(args, synthesizer, sets)
        prepare_folder(args.out)
        console = Console()
        bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        rows: list[Pixels] = []
        with Progress(*bars, console=console, transient=True) as progress:
            steps = progress.add_task("rendering", total=args.count)
            for row in written:
                if len(rows) < SHEET_ROWS:
                    rows.append(row)
                progress.advance(steps)
        write_png(args.out / SHEET, sheet(rows, COLUMNS if args.clip else _COLUMNS))
    shown = f"the first {len(rows)}" if len(rows) < args.count else "all"
    console.print(
        f"{args.count} {kind} of {width}×{height} px in {args.out}; {shown} on {args.out / SHEET}",
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


def motion_of(text: str) -> MotionGenerator:
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


def datasets(args: argparse.Namespace, synthesizer: Synthesizer) -> list[LayersDataset]:
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


def layers_of(sets: list[LayersDataset], numbers: range, device: torch.device) -> dict[str, Tensor]:
    """Return the layers of some samples as a batch; sample i is of set i, round and round."""
    samples = [sets[number % len(sets)][number] for number in numbers]
    return {name: torch.stack([s[name] for s in samples]).to(device) for name in samples[0]}


def facts_of(args: argparse.Namespace, batch: dict[str, Tensor], place: int) -> dict[str, Any]:
    """Return what the record of any sample says."""
    return {
        "index": int(batch["index"][place]),
        "seed": args.seed,
        "sample_seed": int(batch["seed"][place]),
        "subset": SUBSETS[int(batch["subset"][place])].name,
        "version": __version__,
    }


# -- what is written ---------------------------------------------------------------------------------------


def _write_triplets(
    args: argparse.Namespace, synthesizer: Synthesizer, sets: list[LayersDataset]
) -> Iterator[Pixels]:
    """Render and write the triplets one after the other, and give each one's row of the sheet."""
    device = next(synthesizer.buffers()).device
    for start in range(0, args.count, BATCH):
        batch = layers_of(sets, range(start, min(start + BATCH, args.count)), device)
        frames = synthesizer(batch)
        for place, truth in enumerate(ground_truth(synthesizer, batch)):
            sample = {name: frames[name][place].cpu() for name in TRIPLET + PERTURBED}
            facts = facts_of(args, batch, place)
            _write(args.out, facts, sample, truth, args.perturbed)
            yield _sheet_row(facts, sample, truth)


def prepare_folder(folder: Path) -> None:
    """Make the folder, and remove what an earlier run left in it."""
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
        write_png(folder / file, eight_bit(sample[name]))
    write_png(folder / f"{stem}_layers.png", truth.visible.numpy())
    field = None
    if not all(layer.is_translation for layer in truth.layers):
        field = f"{stem}_motion.npy"
        np.save(folder / field, truth.displacement.numpy())
    height, width = truth.visible.shape
    record = facts | {
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
    (folder / f"{stem}.json").write_text(readable_json(record) + "\n")


def readable_json(record: dict[str, Any]) -> str:
    """Return a record as JSON that a person can read: pairs of numbers stay on one line."""
    return re.sub(r"\[\s+([^\s\[\]{},]+),\s+([^\s\[\]{},]+)\s+\]", r"[\1, \2]", json.dumps(record, indent=1))


def write_png(path: Path, pixels: Pixels) -> None:
    """Write a picture, BGR or grey."""
    _, data = cv2.imencode(".png", pixels)
    path.write_bytes(data.tobytes())


_COLUMNS = (
    "xa",
    "xb",
    "y",
    f"|xb - xa| x {DIFFERENCE_GAIN}",
    "|y - xa|",
    "motion (hue: direction)",
    "one row of xa, xb, y",
)


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
        eight_bit(xa),
        eight_bit(xb),
        eight_bit(y),
        eight_bit(((xb - xa).abs() * DIFFERENCE_GAIN).clamp(0, 1)),
        np.asarray(cv2.applyColorMap(amount, cv2.COLORMAP_INFERNO), np.uint8),
        directions(truth.displacement, largest),
        eight_bit(bands[:, : xa.shape[1]]),
    ]
    objects = len(truth.layers) - 1
    motions = ", ".join(sorted({layer.motion for layer in truth.layers}))
    label = (
        f"{facts['index']:06d} {facts['subset']}",
        f"factor {truth.factor:.3g}",
        f"{largest:.3g} -> {largest * truth.factor:.3g} px",
        f"{objects} object{'' if objects == 1 else 's'}",
        motions[:LABEL_LETTERS],
        motions[LABEL_LETTERS:],
    )
    return sheet_row(label, pictures)
