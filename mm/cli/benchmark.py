"""``mm benchmark``: where the time of a training step goes, how many samples a second, how much memory."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mm.errors import InputError, did_you_mean

SUBJECTS = {"train": "a training step of a configuration, as mm fit would run it"}
STEPS, WARMUP = 50, 10
_TRAIN = "mm benchmark train"
# Batches that are made in this process to see what one costs a worker.
_WORKER_BATCHES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options: what is measured has a parser of its own (:func:`train_parser`)."""
    subjects = "; ".join(f"{name}: {text}" for name, text in SUBJECTS.items())
    parser.add_argument("subject", metavar="SUBJECT", help=subjects)
    parser.add_argument(
        "options",
        nargs=argparse.REMAINDER,
        metavar="…",
        help="its options: `mm benchmark train --help` lists them",
    )


def train_parser() -> argparse.ArgumentParser:
    """Return the parser of what follows ``mm benchmark train``; all that it does not know is ``mm fit``'s."""
    parser = argparse.ArgumentParser(
        prog=_TRAIN,
        usage="mm benchmark train --config FILE [--steps N] [--warmup N] [--json FILE] [options of mm fit]",
        description="Trains a configuration for a few steps and prints where the time of a step goes, "
        "samples a second and memory. Nothing is validated, saved or sent to a server.",
        epilog="The samples a second are of steps that nothing disturbs; as many are then timed part by "
        "part. All other options are those of mm fit: --config, --trainer.precision, --data.num_workers, …",
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"each way (default: {STEPS})")
    parser.add_argument(
        "--warmup", type=int, default=WARMUP, metavar="N", help=f"left out first (default: {WARMUP})"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        InputError: for an unknown subject, options that cannot be used, or a training that fails.
    """
    if args.subject not in SUBJECTS:
        hint = did_you_mean(args.subject, SUBJECTS) or f"; there is {', '.join(SUBJECTS)}"
        raise InputError(f"mm benchmark measures no {args.subject!r}{hint}")
    parser = train_parser()
    try:
        options, training = parser.parse_known_args(args.options)
    except argparse.ArgumentError as error:
        raise InputError(f"{error}; `{parser.prog} --help` lists the options") from error
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise InputError(f"cannot write {options.json}: there is no folder {options.json.absolute().parent}")
    figures = measure(training, options.steps, options.warmup)
    if figures is None:
        return 0
    print(table(figures))
    if options.json is not None:
        try:
            options.json.write_text(
                json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        except OSError as error:
            raise InputError(f"cannot write {options.json}: {error.strerror}; name another file") from error
    return 0


def measure(
    arguments: list[str], steps: int, warmup: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any] | None:
    """Train for a few steps and return the figures.

    Args:
        arguments: the options of ``mm fit``.
        steps: to measure each way; see :class:`mm.training.profile.StepProfiler`.
        warmup: steps to leave out first.
        clock: seconds.

    Returns:
        plain values as ``--json`` writes them: ``samples_per_second``, ``step_ms``, ``parts`` (ms and share
        of a step), ``worker`` (ms a batch costs one worker; None without workers), ``memory_mib``, and what
        it was measured on. None on all ranks but the first.

    Raises:
        InputError: for a configuration that cannot be used.
    """
    # Here, for the help must not pay for Lightning.
    from pytorch_lightning.callbacks import ModelCheckpoint, ProgressBar

    from mm.cli.fit import build, prepare
    from mm.training.profile import StepProfiler, peak_memory
    from mm.training.provenance import hardware, software

    profiler = StepProfiler(steps, warmup, clock=clock)
    training = prepare("benchmark train", arguments)
    with tempfile.TemporaryDirectory(prefix="mm-benchmark-") as folder:
        cli = build([*training, *_no_traces(folder, profiler.trainer_steps)], run=False, command=_TRAIN)
        trainer: Any = cli.trainer
        data = cli.datamodule
        # A bar waits for the device, to show the loss.
        left_out = (ModelCheckpoint, ProgressBar)
        trainer.callbacks = [one for one in trainer.callbacks if not isinstance(one, left_out)]
        profiler.device = trainer.strategy.root_device
        trainer.profiler = profiler
        trainer.fit(cli.model, data)
        times = profiler.result()
        if not trainer.is_global_zero:
            return None
        device = trainer.strategy.root_device
        return {
            "samples_per_second": data.batch_size * trainer.world_size / times.step,
            "step_ms": 1e3 * times.step,
            "profiled_step_ms": 1e3 * times.profiled_step,
            "parts": {
                part: {"ms": 1e3 * seconds, "share": times.share(part)}
                for part, seconds in times.parts.items()
            },
            "worker": worker_times(data, clock),
            "memory_mib": peak_memory(device) | {"images": data.cached_bytes / 2**20},
            "steps": steps,
            "batch_size": data.batch_size,
            "frame": [data.synthesizer.geometry.height, data.synthesizer.geometry.width],
            "num_workers": data.num_workers,
            "render_on": data.render_on,
            "precision": str(trainer.precision),
            "hardware": hardware(device, trainer.world_size),
            "software": software(),
        }


def _no_traces(folder: str, steps: int) -> list[str]:
    """Return the options that keep a run to ``steps`` steps of training, and to ``folder``."""
    chosen = {
        "default_root_dir": folder,
        # The table of metrics remains: it is part of every run.
        "logger": "false",
        "max_steps": str(steps),
        "max_epochs": "-1",
        "limit_val_batches": "0",
        "num_sanity_val_steps": "0",
    }
    return [f"--trainer.{name}={value}" for name, value in chosen.items()]


def worker_times(data: Any, clock: Callable[[], float] = time.perf_counter) -> dict[str, float] | None:
    """Return what a training batch costs one worker, ms: its ``layers``, and its ``synthesis`` if it renders.

    Measured in this process, on one thread as workers have, once the images are decoded. None without
    workers: then the step waits for exactly that.
    """
    import torch
    from torch.utils.data import default_collate

    if data.num_workers == 0:
        return None
    dataset = data.dataset("train")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spent = {"layers": 0.0, "synthesis": 0.0}
    try:
        for batch in range(_WORKER_BATCHES + 1):
            begun = clock()
            first = batch * data.batch_size
            layers = default_collate([dataset[first + place] for place in range(data.batch_size)])
            made = clock()
            if data.render_on == "workers":
                data.synthesizer.cpu()(layers)
            if batch > 0:
                # The first one builds the pipelines.
                spent["layers"] += made - begun
                spent["synthesis"] += clock() - made
    finally:
        torch.set_num_threads(threads)
    return {part: 1e3 * seconds / _WORKER_BATCHES for part, seconds in spent.items()}


def table(figures: dict[str, Any]) -> str:
    """Lay the figures of :func:`measure` out as text."""
    height, width = figures["frame"]
    machine = figures["hardware"]
    count = machine.get("threads")
    threads = "" if count is None else f", {count} thread{'' if count == 1 else 's'}"
    batch, ranks, workers = figures["batch_size"], machine["ranks"], figures["num_workers"]
    lines = [
        f"{machine['device']}{threads} · {figures['precision']} · {ranks} × batch {batch} of "
        f"{width}×{height} px · {workers} workers, rendering on the {figures['render_on']}",
        "",
        f"{'part of a step':<18}{'ms':>10}{'share':>9}",
    ]
    parts = figures["parts"]
    lines += [f"{name:<18}{part['ms']:>10.2f}{part['share']:>8.1%} " for name, part in parts.items()]
    lines += [
        f"{'sum':<18}{figures['profiled_step_ms']:>10.2f}",
        "",
        f"{figures['samples_per_second']:.1f} samples/s, {figures['step_ms']:.2f} ms a step "
        f"({figures['steps']} steps that nothing disturbs, end to end)",
    ]
    worker = figures["worker"]
    if worker is not None:
        cost = sum(worker.values())
        what = f"layers {worker['layers']:.1f} ms"
        if figures["render_on"] == "workers":
            what += f" and synthesis {worker['synthesis']:.1f} ms, beside the step and not in it"
        lines.append(
            f"a batch costs a worker {what}: {workers} workers on cores of their own can feed "
            f"{1e3 * workers * batch * ranks / cost:.0f} samples/s"
        )
    memory = figures["memory_mib"]
    if "allocated" in memory:
        lines.append(
            f"device memory at most {memory['allocated']:.0f} MiB in tensors, "
            f"{memory['reserved']:.0f} MiB with the allocator's reserve"
        )
    elif memory["process"] is not None:
        lines.append(f"memory of the training process at most {memory['process']:.0f} MiB (no workers')")
    lines.append(f"decoded images {memory['images']:.1f} MiB, shared by the workers of a rank")
    return "\n".join(lines)
