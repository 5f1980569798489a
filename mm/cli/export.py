"""``mm export``: the network of a training checkpoint as safetensors, with a card of where it comes from."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from mm.errors import InputError
from mm.networks import weights
from mm.synthesis import MotionLimits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("checkpoint", metavar="CKPT", help="a checkpoint that mm fit wrote")
    parser.add_argument(
        "output", metavar="OUT.safetensors", help="the file to write; OUT.json, its card, goes beside it"
    )
    parser.add_argument(
        "--card",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="facts to add to the card, such as the data's name and licence",
    )


def run(args: argparse.Namespace) -> int:
    """Write the weights, averaged ones where the checkpoint has them, and the card."""
    source, output = Path(args.checkpoint), Path(args.output)
    if source.suffix != ".ckpt":
        raise InputError(f"{str(source)!r} is not a checkpoint: its name must end in .ckpt")
    extra = dict(_fact(text) for text in args.card)
    network = weights.load(source)
    weights.save(network, output, {**card(weights.read_checkpoint(source)), **extra})
    print(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB) and {output.with_suffix('.json')}")
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
    limits = {**asdict(MotionLimits()), **(synthesis.get("limits") or {})}
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
                key: value for key, value in config.get("model", {}).items() if key != "network_config"
            },
            "data": data,
            "trainer": {
                key: trainer[key]
                for key in ("max_steps", "gradient_clip_val", "accumulate_grad_batches", "precision")
                if key in trainer
            },
        },
    }
    return {key: value for key, value in found.items() if value is not None}


def _by_subset(scores: dict[str, float]) -> dict[str, Any]:
    """Turn ``val/sharp/ssim`` into ``{"sharp": {"ssim": …}}``, rounded; the mean score stands beside them."""
    nested: dict[str, Any] = {}
    for key, value in scores.items():
        *subset, name = key.split("/")[1:]
        place = nested.setdefault(subset[0], {}) if subset else nested
        place[name] = round(value, 5)
    return nested


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
