"""Trains every ablation in this folder, measures all of them side by side, and writes the table.

    python experiments/ablations/run.py --photographs FOLDER --cutouts FOLDER --out runs/ablations

What was trained before is not trained again: a run that was stopped goes on where it stood. The tables have
the SSIM with the truth at 10 px of output (the sub-pixel test) and under noise, and the gain on pictures and
on smooth patterns, each beside the base; then the seconds of training.

    python experiments/ablations/run.py base@500 base@1000 base@2000 base@4000

is a learning curve: a name may say its own number of steps.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import yaml

from mm.errors import did_you_mean

HERE = Path(__file__).parent
BASE = "base"
# px of input motion of the sub-pixel test; motions and factors of the gain
MOTIONS = "0.05,0.2,1"
GAIN_MOTIONS, GAIN_FACTORS = "0.02,0.05,0.2,1", "2,10,50"
NOISES = "0.3,1,3"


def names() -> list[str]:
    """Return the base and what differs from it by one choice."""
    return [BASE, *sorted(path.stem for path in HERE.glob("*.yaml") if path.stem != BASE)]


def steps_of(name: str, otherwise: int | None) -> int:
    """Return the length of a training: the name's own, or ``otherwise``, or the base's."""
    own = name.partition("@")[2]
    base = yaml.safe_load((HERE / f"{BASE}.yaml").read_text(encoding="utf-8"))["trainer"]["max_steps"]
    return int(own or otherwise or base)


def run_mm(*words: str) -> None:
    """Run one command in a process of its own: what a training leaves in memory is no other's."""
    subprocess.run([sys.executable, "-m", "mm", *words], check=True)


def seconds(folder: Path, steps: int) -> float | None:
    """Return how long a training took, or None unless it has come to its end.

    Raises:
        SystemExit: for one that is longer than asked for.
    """
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return None
    checkpoint = torch.load(last, map_location="cpu", weights_only=True)
    reached = checkpoint["global_step"]
    if reached > steps:
        raise SystemExit(f"{folder} was trained for {reached} steps, not {steps}: take another --out")
    return float(checkpoint["training"]["seconds"]) if reached == steps else None


def train(name: str, out: Path, steps: int, extra: list[str]) -> None:
    """Train one to its end, unless it is there."""
    folder = out / name
    if seconds(folder, steps) is not None:
        return
    choice = name.partition("@")[0]
    configs = [HERE / f"{BASE}.yaml", *([] if choice == BASE else [HERE / f"{choice}.yaml"])]
    command = ["fit"]
    command += [word for path in configs for word in ("--config", str(path))]
    command += ["--trainer.default_root_dir", str(folder), "--trainer.max_steps", str(steps), *extra]
    if (folder / "checkpoints" / "last.ckpt").is_file():
        command += ["--ckpt_path", "last"]
    run_mm(*command)


def measure(measurement: str, found: list[str], out: Path, options: list[str]) -> list[dict[str, str]]:
    """Run ``mm evaluate`` with every network as a column, and return the lines of its CSV."""
    columns = ",".join(f"{name}={out / name / 'checkpoints' / 'last.ckpt'}" for name in found)
    size = ["--size", "128x128"]
    run_mm("evaluate", measurement, "--methods", columns, *size, "--out", str(out / "scores"), *options)
    with (out / "scores" / f"{measurement}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(rows: list[dict[str, str]], found: list[str], value: str) -> Iterator[str]:
    """Return a Markdown table: a line a network, a column a level; the mean over the renderers."""

    def level_of(row: dict[str, str]) -> tuple[float, float, float]:
        return float(row["motion"]), float(row["factor"]), float(row["noise"])

    levels = list(dict.fromkeys(map(level_of, rows)))
    heads = [f"{m:g} px ×{f:g}" + (f", noise {n:g}" if n else "") for m, f, n in levels]
    yield "| network | " + " | ".join(heads) + " |"
    yield "|---|" + "---:|" * len(levels)
    for name in found:
        cells = []
        for level in levels:
            numbers = [
                float(r[value]) for r in rows if r["method"] == name and level_of(r) == level and r[value]
            ]
            cells.append(f"{sum(numbers) / len(numbers):.3f}" if numbers else "–")
        yield f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Train, measure, and write RESULTS.md into the output folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="which (default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--photographs", help="folder to train on (default: procedural)")
    parser.add_argument("--cutouts", help="folder of objects to train on (default: procedural)")
    parser.add_argument("--evaluation", help="folder of photographs to measure on (default: procedural)")
    parser.add_argument("--steps", type=int, help="another length of training, optimiser steps")
    parser.add_argument("--count", type=int, default=4, help="scenes to measure on")
    parser.add_argument("--only-measure", action="store_true", help="of what is trained already")
    args = parser.parse_args()
    for name in args.names:
        choice, at, steps = name.partition("@")
        if choice not in names():
            hint = did_you_mean(choice, names()) or f"; there are {', '.join(names())}"
            parser.error(f"no ablation is called {choice!r}{hint}")
        if at and not (steps.isdecimal() and int(steps) > 0):
            parser.error(f"{name!r}: after the @ stands a number of steps, as in {choice}@1000")
    extra = []
    for option in ("photographs", "cutouts"):
        if getattr(args, option):
            extra += [f"--data.{option}", f"[{getattr(args, option)}]"]
    wanted = {name: steps_of(name, args.steps) for name in args.names or names()}
    if not args.only_measure:
        for name, steps in wanted.items():
            train(name, args.out, steps, extra)
    took = {name: seconds(args.out / name, steps) for name, steps in wanted.items()}
    found = [name for name in wanted if took[name] is not None]
    if not found:
        parser.error(f"nothing in {args.out} is trained to its end yet")
    shared = ["--count", str(args.count), "--seed", "0"]
    if args.evaluation:
        shared += ["--photographs", args.evaluation]
    subpixel = measure("subpixel", found, args.out, [*shared, "--levels", MOTIONS, "--no-gain"])
    gain = measure("gain", found, args.out, [*shared, "--levels", GAIN_MOTIONS, "--factors", GAIN_FACTORS])
    noise = measure("noise", found, args.out, [*shared, "--levels", NOISES])
    on = {kind: [row for row in gain if row["content"] == kind] for kind in ("picture", "pattern")}
    lines = ["SSIM with the truth, everything moving, 10 px of output:", ""]
    lines += [*table(subpixel, ["input", *found], "ssim"), "", "SSIM under noise:", ""]
    lines += [*table(noise, ["input", *found], "ssim"), "", "Gain on pictures (1 is right):", ""]
    lines += [*table(on["picture"], ["input", *found], "gain"), "", "Gain on smooth patterns:", ""]
    lines += [*table(on["pattern"], ["input", *found], "gain"), "", "Seconds of training:", ""]
    lines += [f"{name} {took[name]:.0f}" for name in found]
    text = "\n".join(lines) + "\n"
    (args.out / "RESULTS.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
