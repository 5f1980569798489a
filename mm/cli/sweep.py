"""``mm sweep FILE``: many trainings, with values from a W&B sweep file, without W&B's server.

A sweep has a folder::

    study.journal       Optuna's study, if no --storage is named
    results.csv         a row a trial: state, metric, seconds, values, the error of a failed one
    trial-0007/         the run's folder, as mm fit writes it, and output.txt
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from mm.sweeps import Sweep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="a sweep file, experiments/sweeps/*.yaml")
    add("--count", type=int, help="trials of the study (default: the file's run_cap, or the whole grid)")
    add("--jobs", type=int, default=1, help="trials at a time; GPUs are shared out")
    add("--out", type=Path, metavar="DIR", help="the sweep's folder (default: runs/sweeps/NAME of the file)")
    add("--storage", metavar="URL", help="a database instead of a journal in DIR, as sqlite:///FILE")
    add("--seed", type=int, default=0, help="of the values")
    add(
        "--method", choices=("random", "grid", "bayes"), help="another than the file's; bayes is Optuna's TPE"
    )
    add("--retry", action="store_true", help="repeat the trials that failed")
    add("--fit", nargs=argparse.REMAINDER, default=[], help="all that follows is added to every mm fit")


def run(args: argparse.Namespace) -> int:
    """Run the study's trials, beside other processes that share it, and print the best.

    Returns:
        0, or 1 if no trial is complete.

    Raises:
        InputError: for a file, an option or a folder that cannot be used.
    """
    from mm.sweeps import Study, first_values, read_sweep
    from mm.sweeps.study import grid_axes

    # A run must not wait for a login; its record can be uploaded later.
    os.environ.setdefault("WANDB_MODE", "offline")
    sweep = read_sweep(args.file)
    method = args.method or sweep.content["method"]
    count: Any = sweep.content.get("run_cap") if args.count is None else args.count
    if method == "grid":
        size = math.prod(map(len, grid_axes(sweep).values()))
        count = min(count or size, size)
    for option, value, least in (("count", count, 1), ("jobs", args.jobs, 1), ("seed", args.seed, 0)):
        if type(value) is not int or value < least:
            raise InputError(f"--{option} must be a number of at least {least}, got {value}")
    check(sweep, first_values(sweep, method, args.seed)[0], args.fit)
    folder = args.out or Path("runs") / "sweeps" / args.file.stem
    study = Study(sweep, folder, method, args.seed, args.fit, args.storage)
    try:
        study.run(count, args.jobs, args.retry)
    finally:
        _show(study.rows, sweep)
    return 0 if any(row["state"] == "complete" for row in study.rows) else 1


def check(sweep: Sweep, values: Mapping[str, Any], fit: Sequence[str] = ()) -> None:
    """Make all parts of a run, short of running it, so often that each listed value is in one.

    Raises:
        InputError: for an option or a value that ``mm fit`` refuses, or a metric that no run logs.
    """
    from mm.cli.fit import build, short
    from mm.plugins import load_plugins, take_option
    from mm.sweeps import fit_options

    given = {short(word.partition("=")[0].removeprefix("--")) for word in fit}
    if twice := given & {"trainer.default_root_dir", "ckpt_path", *map(short, sweep.parameters)}:
        raise InputError(f"--fit {' '.join(fit)}: the sweep itself sets {', '.join(twice)}; leave it out")
    listed = {name: each.choices for name, each in sweep.parameters.items() if hasattr(each, "choices")}
    for at in range(max(map(len, listed.values()), default=1)):
        made = {**values, **{name: choices[at % len(choices)] for name, choices in listed.items()}}
        plugins, words = take_option([*fit_options(sweep, made), *fit])
        load_plugins(plugins)
        logging.disable(logging.WARNING)  # Lightning's remarks on a run that does not take place.
        try:
            with tempfile.TemporaryDirectory() as root, warnings.catch_warnings(action="ignore"):
                cli = build([*words, f"--trainer.default_root_dir={root}"], run=False)
        except InputError as error:
            raise InputError(f"{sweep.path}, with {made}: {error}") from error
        finally:
            logging.disable(logging.NOTSET)
    known = cli.model.logged_metrics(cli.datamodule)
    # A callback of the user's may log anything.
    if sweep.metric not in known and not cli.config.get("trainer.callbacks"):
        hint = did_you_mean(sweep.metric, known)
        raise InputError(f"{sweep.path}: no run logs the metric {sweep.metric!r}{hint} (logged: {known})")


def _show(rows: Sequence[Mapping[str, Any]], sweep: Sweep) -> None:
    """Print the five best trials, and how many there are of each state."""
    done = [row for row in rows if row["state"] == "complete"]
    for row in sorted(done, key=lambda row: row[sweep.metric], reverse=sweep.maximize)[:5]:
        values = {name: row[name] for name in (sweep.metric, "trial", *sweep.parameters)}
        print(
            ", ".join(
                f"{name} {v:.4g}" if isinstance(v, float) else f"{name} {v}" for name, v in values.items()
            )
        )
    print(", ".join(f"{n} {state}" for state, n in Counter(row["state"] for row in rows).items()))
