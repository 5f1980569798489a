"""``mm export``: a checkpoint as weights with a card, or any network as a graph for other programs."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from mm.errors import InputError
from mm.files import check_free, output
from mm.networks import weights
from mm.synthesis import MotionLimits

FORMATS = ("onnx", "torch")
# Of mm evaluate, those that score methods level by level.
MEASUREMENTS = ("subpixel", "noise", "static", "gain")
SCORES = ("ssim", "ssim_std", "psnr", "psnr_std", "gain", "gain_std", "gain_median")
# Of how a measurement was made, what a card tells.
SETTINGS = ("version", "scenes", "size", "seed", "renderers", "rounding", "held_out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "checkpoint",
        metavar="CKPT",
        help="a checkpoint that mm fit wrote; for --format onnx or torch any weights, by name or file",
    )
    parser.add_argument(
        "output",
        type=output,
        metavar="OUT",
        help="the file to write, .safetensors, .onnx or .pt2; beside it goes its card, OUT.json, or the "
        "streaming form, OUT_encode and OUT_draw",
    )
    parser.add_argument(
        "--format",
        choices=("weights", *FORMATS),
        default="weights",
        help="onnx: for ONNX Runtime and others; torch: programs of torch.export; the factor is an input, "
        "and sides are multiples of 4 px (the paper's network) or 16 px (splat)",
    )
    parser.add_argument(
        "--card",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="facts to add to the card, such as the data's name and licence",
    )
    parser.add_argument(
        "--evaluation",
        metavar="FOLDER",
        help="what mm evaluate wrote of this checkpoint, to put its scores into the card",
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="the checkpoint's name in that evaluation (default: the only one that is not the input)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the weights, averaged ones where the checkpoint has them, and the card."""
    source, target = Path(args.checkpoint), args.output
    if args.format != "weights":
        return _graphs(args)
    check_free([target.with_suffix(".json")], overwrite=args.overwrite)
    if source.suffix != ".ckpt":
        raise InputError(f"{str(source)!r} is not a checkpoint: its name must end in .ckpt")
    if args.column and not args.evaluation:
        raise InputError("--column names a method in an evaluation: give --evaluation FOLDER too")
    extra: dict[str, Any] = dict(_fact(text) for text in args.card)
    network = weights.load(source)
    if args.evaluation:
        extra["evaluation"] = evaluation(Path(args.evaluation), weights.digest(network), args.column)
    weights.save(network, target, {**card(weights.read_checkpoint(source)), **extra})
    print(f"wrote {target} ({target.stat().st_size / 1e6:.1f} MB) and {target.with_suffix('.json')}")
    return 0


def _graphs(args: argparse.Namespace) -> int:
    if args.card or args.evaluation or args.column:
        raise InputError("a card goes with weights; leave --card, --evaluation and --column out")
    # Here, not above: weights need none of it.
    from mm.networks.export import export, files

    check_free(files(args.output, args.format), overwrite=args.overwrite)
    for path, difference in export(weights.load(args.checkpoint), args.output, args.format).items():
        size = path.stat().st_size / 1e6
        print(f"wrote {path} ({size:.1f} MB), within {difference:.1g} of the network at three sizes")
    return 0


def card(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint tells of its training, as JSON-able values.

    Folders are named by their last part only: where somebody keeps the data is of no use to a reader.
    """
    run = checkpoint.get("run", {})
    training = checkpoint.get("training", {})
    config = _without_folders(run.get("config", {}))
    trainer = config.get("trainer", {})
    data = config.get("data", {})
    options = data.get("init_args", {})
    synthesis = (options.get("synthesizer") or {}).get("init_args", {})
    averaged = any(name.startswith("ema.") for name in checkpoint["state_dict"])
    limits = _widest(synthesis, options.get("subsets"))
    found: dict[str, Any] = {
        "data": {
            "photographs": options.get("photographs") or "procedural",
            "cutouts": options.get("cutouts") or "procedural",
        },
        "steps": checkpoint.get("global_step"),
        "samples_seen": training.get("samples_seen"),
        "wall_time_hours": round(training.get("seconds", 0.0) / 3600, 4),
        "hardware": run.get("hardware"),
        "precision": trainer.get("precision"),
        "averaged": averaged,
        "validation": {"step": training.get("scored_at"), **_by_subset(training.get("scores", {}))},
        "software": run.get("software"),
        "started": run.get("started"),
        # What the network was trained for; beyond it, results are a guess, and `mm magnify` says so.
        "max_input_motion": limits["max_motion"],
        "max_magnified_motion": limits["max_magnified"],
        "max_factor": limits["max_factor"],
        "configuration": {
            "seed": config.get("seed_everything"),
            "model": {
                key: value
                for key, value in config.get("model", {}).items()
                if key not in ("network", "network_config")
            },
            "average": config.get("average"),
            "data": data,
            "trainer": {
                key: trainer[key]
                for key in ("max_steps", "gradient_clip_val", "accumulate_grad_batches", "precision")
                if key in trainer
            },
        },
    }
    return {key: value for key, value in found.items() if value is not None}


def evaluation(folder: Path, digest: str, column: str | None = None) -> dict[str, Any]:
    """Return the scores that ``mm evaluate`` wrote into a folder, as JSON-able values.

    Args:
        folder: with the CSV and the JSON of at least one measurement.
        digest: of the card's network, as :func:`mm.networks.weights.digest` returns it.
        column: the method that the card is of; None for the only one beside the input.

    Returns:
        by measurement, how it was made and a row a level: ``this`` is the card's network, the other methods
        of the same run stand beside it under their names. A score is None where the method failed, and is
        left out if the measurement does not take it.

    Raises:
        InputError: for a folder without measurements, a file that is missing, cut off or damaged, a column
            that a measurement lacks, or one that was measured with other weights.
    """
    from mm.evaluation.candidates import BASELINE
    from mm.evaluation.tables import read_csv

    tables = [folder / f"{name}.csv" for name in MEASUREMENTS if (folder / f"{name}.csv").is_file()]
    if not tables:
        raise InputError(
            f"{folder} holds no measurement of mm evaluate ({', '.join(f'{n}.csv' for n in MEASUREMENTS)})"
        )
    found: dict[str, Any] = {}
    for path in tables:
        rows, made = read_csv(path), _settings(path)
        methods = list(dict.fromkeys(row.method for row in rows if row.method != BASELINE))
        own = column or (methods[0] if len(methods) == 1 else None)
        if own not in methods:
            if not methods:
                raise InputError(f"{path} has no line of a method: measure again")
            asked = f"none of its methods is {column!r}" if column else "it has several methods"
            raise InputError(f"{path}: {asked}; give --column one of {', '.join(methods)}")
        _check_weights(path, made, own, digest)
        taken = [key for key in SCORES if not all(math.isnan(getattr(row, key)) for row in rows)]
        levels: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in rows:
            place = {"content": row.content, "renderer": row.renderer, "motion": row.motion}
            place |= {"factor": row.factor, "noise": row.noise}
            level = levels.setdefault(tuple(place.values()), place)
            name = "this" if row.method == own else row.method
            for key in taken:
                value = getattr(row, key)
                # JSON has neither NaN nor the infinite PSNR of an output that is the truth itself.
                level.setdefault(key, {})[name] = round(value, 4) if math.isfinite(value) else None
            if "gain" in taken:
                level.setdefault("gain_scenes", {})[name] = row.gain_scenes
        told = {key: made[key] for key in SETTINGS if key in made}
        measured_on = made.get("measured_on")
        if isinstance(measured_on, dict) and own in measured_on:
            told["measured_on"] = measured_on[own]
        found[path.stem] = {**told, "levels": list(levels.values())}
    return found


def _settings(table: Path) -> dict[str, Any]:
    """Return what ``mm evaluate`` wrote beside a table about how it was made."""
    path = table.with_suffix(".json")
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{table} has no {path.name} beside it, which says what was measured: measure again"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; measure again") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON, or is cut off ({error}): measure again") from error
    if not isinstance(made, dict):
        raise InputError(f"{path} is not what mm evaluate writes, it holds no object: measure again")
    return made


def _check_weights(table: Path, made: dict[str, Any], column: str, digest: str) -> None:
    """Raise InputError unless ``column`` was measured with the weights of this digest."""
    measured = made.get("weights")
    if not isinstance(measured, dict):
        raise InputError(
            f"{table.with_suffix('.json')} does not say which weights were measured, it is of an earlier "
            "version: measure again"
        )
    if column not in measured:
        raise InputError(
            f"{table}: the column {column!r} is a method without weights; give --column one of "
            f"{', '.join(measured) or 'those of a run with --methods NAME=CKPT'}"
        )
    if measured[column] != digest:
        raise InputError(
            f"{table}: the column {column!r} was measured with other weights (SHA-256 "
            f"{str(measured[column])[:12]}…, the checkpoint's are {digest[:12]}…): measure this checkpoint"
        )


def _by_subset(scores: dict[str, float]) -> dict[str, Any]:
    """Turn ``val/sharp/ssim`` into ``{"sharp": {"ssim": …}}``, rounded; the mean score stands beside them."""
    nested: dict[str, Any] = {}
    for key, value in scores.items():
        *subset, name = key.split("/")[1:]
        place = nested.setdefault(subset[0], {}) if subset else nested
        place[name] = round(value, 5)
    return nested


def _widest(synthesis: dict[str, Any], weights: dict[str, float] | None) -> dict[str, float]:
    """Return the farthest that the limits of the subsets that were drawn from go.

    Args:
        synthesis: the synthesizer's options.
        weights: of the subsets by name, those that are left out being none; None for all of them.
    """
    general = {**asdict(MotionLimits()), **(synthesis.get("limits") or {})}
    drawn = [
        {**general, **(recipe.get("limits") or {})}
        for recipe in synthesis.get("subsets") or ()
        if weights is None or weights.get(recipe["name"], 0) > 0
    ]
    return {
        name: max(limits[name] for limits in drawn or [general])
        for name in ("max_motion", "max_magnified", "max_factor")
    }


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(inner) for inner in value]
    if isinstance(value, str) and (
        PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
    ):
        return PureWindowsPath(value).name if "\\" in value else PurePosixPath(value).name
    return value


def _fact(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise InputError(f"--card takes KEY=VALUE, got {text!r}")
    return key, value
