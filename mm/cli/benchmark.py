"""``mm benchmark``: samples a second, and each stage of a training step in time, launches, bytes and FLOPs.

Launches, bytes and FLOPs need no GPU: the operators of one step are counted in PyTorch's dispatcher. A named
card's roofline is the least time for them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.errors import InputError

if TYPE_CHECKING:
    from mm.training.stages import Stages

# Card -> bytes a second, and dense FLOPs a second in TF32 and in 16 bits, by the makers' data sheets.
CARDS = {
    "h200": (4.8e12, 494e12, 989e12),
    "h100": (3.35e12, 494e12, 989e12),
    "a100": (2.04e12, 156e12, 312e12),
    "l40s": (0.864e12, 183e12, 362e12),
    "rtx4090": (1.008e12, 82.6e12, 165e12),
}
# Parts of the two peaks that tuned kernels reach, and seconds that the host needs for a launch.
REACHED, LAUNCH = 0.75, 5e-6
_COMMAND = "mm benchmark train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options; all others are those of ``mm fit``."""
    parser.add_argument("subject", choices=["train"], help="train: a training step of a configuration")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="…", help=f"see {_COMMAND} --help")


def train_parser() -> argparse.ArgumentParser:
    """Return the parser of the options of ``mm benchmark train``."""
    parser = argparse.ArgumentParser(
        prog=_COMMAND,
        usage=f"{_COMMAND} --config FILE [--steps N] [--warmup N] [--card NAME] [--json FILE] [mm fit's …]",
        description="Train a configuration for a few steps, without validation and checkpoints, and print "
        "samples a second and the stages of a step. All other options are those of mm fit.",
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument("--steps", type=int, default=50, metavar="N", help="timed steps (default: 50)")
    parser.add_argument("--warmup", type=int, default=10, metavar="N", help="steps before them (default: 10)")
    parser.add_argument("--card", choices=[*CARDS], help="add the least time on this GPU, by its data sheet")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        InputError: for options that cannot be used, or a training that ends early.
    """
    parser = train_parser()
    try:
        options, training = parser.parse_known_args(args.options)
    except argparse.ArgumentError as error:
        raise InputError(f"{error}; `{parser.prog} --help` lists the options") from error
    for name, value, least in (("steps", options.steps, 1), ("warmup", options.warmup, 0)):
        if value < least:
            raise InputError(f"--{name} must be at least {least}, got {value}")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise InputError(f"cannot write {options.json}: there is no folder {options.json.absolute().parent}")
    figures = measure(training, options.steps, options.warmup, options.card)
    if figures is None:
        return 0
    print(table(figures))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def measure(
    arguments: Sequence[str], steps: int, warmup: int, card: str | None = None
) -> dict[str, Any] | None:
    """Train for a few steps and return the figures.

    Args:
        arguments: the options of ``mm fit``.
        steps: number of timed steps.
        warmup: number of steps before them.
        card: a name of :data:`CARDS` or None.

    Returns:
        plain values as ``--json`` writes them; None on all ranks but the first.

    Raises:
        InputError: for a configuration that cannot be used.
    """
    import torch
    from pytorch_lightning.callbacks import Callback, ModelCheckpoint, ProgressBar

    from mm.cli.fit import build, prepare
    from mm.training.provenance import hardware, software
    from mm.training.stages import Stages

    stages = Stages(steps, warmup)
    options = prepare("benchmark train", list(arguments))
    with tempfile.TemporaryDirectory(prefix="mm-benchmark-") as folder:
        chosen = {"default_root_dir": folder, "logger": "false", "max_steps": stages.trainer_steps}
        chosen |= {"max_epochs": -1, "limit_val_batches": 0, "num_sanity_val_steps": 0}
        options += [f"--trainer.{name}={value}" for name, value in chosen.items()]
        cli = build(options, run=False, command=_COMMAND)
        trainer: Any = cli.trainer
        data = cli.datamodule
        # A bar waits for the device, to show the loss.
        kept: list[Callback] = [
            c for c in trainer.callbacks if not isinstance(c, ModelCheckpoint | ProgressBar)
        ]
        trainer.callbacks, trainer.profiler = kept, stages
        stages.device = device = trainer.strategy.root_device
        trainer.fit(cli.model, data)
        if stages.begun < stages.trainer_steps:
            raise InputError(
                f"the training ended after {stages.begun} of the benchmark's {stages.trainer_steps} steps; "
                "leave trainer.max_time and trainer.fast_dev_run out, or give fewer --steps"
            )
        if not trainer.is_global_zero:
            return None
        memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
        return {
            "samples_per_second": data.batch_size * trainer.world_size / stages.step,
            "step_ms": 1e3 * stages.step,
            "stages": _stages(stages, card, str(trainer.precision)),
            "card": card,
            "device_memory_mib": memory,
            "decoded_images_mib": data.cached_bytes / 2**20,
            "steps": steps,
            "batch_size": data.batch_size,
            "frame": [data.synthesizer.geometry.height, data.synthesizer.geometry.width],
            "num_workers": data.num_workers,
            "render_on": data.render_on,
            "precision": str(trainer.precision),
            "hardware": hardware(device, trainer.world_size),
            "software": software(),
        }


def _stages(stages: Stages, card: str | None, precision: str) -> dict[str, dict[str, float]]:
    found = {}
    for name, each in stages.counts.items():
        row = {"ms": 1e3 * stages.seconds[name], **each}
        if card is not None:
            row["least_ms"] = 1e3 * roofline(each, card, sixteen_bits=precision != "32-true")
        found[name] = row
    return found


def roofline(counts: Mapping[str, float], card: str, sixteen_bits: bool) -> float:
    """Return the least seconds of a stage on a card: the slowest of its memory, arithmetic and launches.

    Source: Williams et al. 2009, *Roofline*. Kernels are not fused, and reach 75 % of the data sheet's peaks.
    """
    memory, *arithmetic = CARDS[card]
    at_peak = max(counts["bytes"] / memory, counts["flops"] / arithmetic[sixteen_bits])
    return max(at_peak / REACHED, counts["launches"] * LAUNCH)


def table(figures: dict[str, Any]) -> str:
    """Lay the figures of :func:`measure` out as text."""
    (height, width), card = figures["frame"], figures["card"]
    machine, stages = figures["hardware"], figures["stages"]
    lines = [
        f"{machine['device']} · {figures['precision']} · {machine['ranks']} × batch {figures['batch_size']} "
        f"of {width}×{height} px · {figures['num_workers']} workers, rendering on the {figures['render_on']}",
        "",
        f"{'stage':<18}{'ms':>10}{'launches':>10}{'GB':>10}{'GFLOP':>10}"
        + (f"{card + ' ms':>12}" if card else ""),
    ]
    total = {key: sum(row[key] for row in stages.values()) for key in next(iter(stages.values()))}
    for name, row in {**stages, "sum": total}.items():
        line = f"{name:<18}{row['ms']:>10.2f}{row['launches']:>10.0f}{row['bytes'] / 1e9:>10.3f}"
        line += f"{row['flops'] / 1e9:>10.2f}" + (f"{row['least_ms']:>12.3f}" if card else "")
        lines.append(line)
    lines += [
        "",
        f"{figures['samples_per_second']:.1f} samples/s, {figures['step_ms']:.2f} ms a step, undisturbed",
    ]
    if card:
        samples = figures["batch_size"] * 1e3 / total["least_ms"]
        lines.append(f"{card}: at most {samples:.0f} samples/s a card at 75 % of its data sheet, predicted")
    if figures["device_memory_mib"] is not None:
        lines.append(f"device memory at most {figures['device_memory_mib']:.0f} MiB in tensors")
    lines.append(f"decoded images {figures['decoded_images_mib']:.1f} MiB, shared by the workers of a rank")
    return "\n".join(lines)
