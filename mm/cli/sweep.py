"""``mm sweep FILE``: many trainings with values drawn from a W&B sweep file, without W&B's server.

A sweep has a folder::

    results.csv         a row a trial: status, metric, seconds, values, the error of a failed one
    sweep.yaml          what the rows belong to: method, seed, metric, parameters, command
    trial-0007/         the run's folder, as mm fit writes it, and output.txt
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from mm.cli.console import refusals_as_lines
from mm.errors import InputError

if TYPE_CHECKING:
    from mm.sweeps import Ended, Results, Sweep

SHOWN = 5
IDENTITY = "sweep.yaml"
OUTPUT = "output.txt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a sweep file, experiments/sweeps/*.yaml")
    parser.add_argument(
        "--count",
        type=int,
        metavar="N",
        help="trials, those of earlier calls included; the file's run_cap, or the whole grid, if not given",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="J", help="trials at a time; GPUs are shared out"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the sweep's folder (default: runs/sweeps/NAME of the file)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the values; trial i has always the same ones")
    parser.add_argument(
        "--method", choices=("grid", "random"), help="another than the file's, as one with bayes needs here"
    )
    parser.add_argument(
        "--retry", action="store_true", help="try trials that failed in an earlier call again"
    )
    parser.add_argument(
        "--fit",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="OPTION",
        help="everything after it is added to every trial's mm fit",
    )


def run(args: argparse.Namespace) -> int:
    """Run the trials that are still to be run, and print the best.

    Returns:
        0, or 1 if no trial has finished.

    Raises:
        InputError: for a file, an option or a folder that cannot be used.
    """
    for option, value, least in (("--jobs", args.jobs, 1), ("--seed", args.seed, 0)):
        if value < least:
            raise InputError(f"{option} must be at least {least}, got {value}")
    if args.count is not None and args.count < 1:
        raise InputError(f"--count must be at least 1 trial, got {args.count}")
    # A run must not wait for a login; what it writes can be uploaded later.
    os.environ.setdefault("WANDB_MODE", "offline")

    from mm.sweeps import Results, read_sweep, started_by, trial_values

    sweep = read_sweep(args.file)
    method = args.method or sweep.method
    if method == "bayes":
        raise InputError(
            f"{sweep.path}: the method bayes needs W&B's server (wandb sweep {sweep.path}); "
            "here --method random draws from the same parameters"
        )
    count = _count(sweep, method, args.count)

    from mm.cli.sweep_check import check_metric, check_runs

    parts = check_runs(sweep, trial_values(sweep, method, args.seed, 0), args.fit)
    check_metric(sweep, parts)
    left_out = started_by(sweep)
    if left_out:
        print(f"left out of {sweep.path}'s command, for only W&B's agent needs it: {left_out}")
    if sweep.early_terminate:
        print("early_terminate needs W&B's server: every trial runs to its end")

    folder = args.out or Path("runs") / "sweeps" / args.file.stem
    with refusals_as_lines(folder), _claimed(folder) as lock:
        _identify(folder, sweep, method, args)
        results = Results(folder, sweep.metric, sweep.parameters)
        done = {"finished"} if args.retry else {"finished", "failed"}
        left = [trial for trial in range(count) if _status(results, trial) not in done]
        if len(left) < count:
            print(f"{count - len(left)} of {count} trials are in {results.path} already")
        work = _Work(sweep, method, args, folder, results, count)
        try:
            work.run(left, lock)
        finally:
            _show(results)
    return 0 if any(row.status == "finished" for row in results.rows.values()) else 1


def _count(sweep: Sweep, method: str, asked: int | None) -> int:
    from mm.sweeps import grid_size

    count = asked or sweep.run_cap
    if method == "grid":
        size = grid_size(sweep)
        if count is not None and count > size:
            print(f"the grid of {sweep.path} has {size} trials, not {count}")
        return min(size, count or size)
    if count is None:
        raise InputError(f"how many trials? --count N, for {sweep.path} has no run_cap")
    return count


def _status(results: Results, trial: int) -> str | None:
    row = results.rows.get(trial)
    return None if row is None else row.status


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[int]:
    """Keep the folder for this call and the trials that it starts, as long as one of them lives."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder} is in use by another mm sweep, or by a trial that one left behind; "
                "wait for its end, or name another folder with --out"
            ) from None
        yield file.fileno()


def _identify(folder: Path, sweep: Sweep, method: str, args: argparse.Namespace) -> None:
    """Write down what the folder's trials are of, or find that they are of something else."""
    identity: dict[str, Any] = {
        "method": method,
        "seed": args.seed,
        "metric": {"name": sweep.metric.name, "goal": sweep.metric.goal},
        "parameters": {
            name: {"distribution": each.kind, **each.options} for name, each in sweep.parameters.items()
        },
        "command": list(sweep.command),
        "fit": list(args.fit),
    }
    path = folder / IDENTITY
    if path.exists():
        try:
            before = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            before = None
        if not isinstance(before, dict):
            raise InputError(f"{path} cannot be read; name another folder with --out")
        other = [key for key, value in identity.items() if before.get(key) != value]
        if other:
            raise InputError(
                f"{folder} holds another sweep than {sweep.path}: its {' and '.join(other)} "
                f"{'is' if len(other) == 1 else 'are'} not the same; name another folder with --out"
            )
        return
    if any(each.name != ".lock" for each in folder.iterdir()):
        raise InputError(f"{folder} holds something else than a sweep; name another folder with --out")
    path.write_text(yaml.safe_dump(identity, sort_keys=False, allow_unicode=True), encoding="utf-8")


class _Work:
    """The trials of one call: what runs, and what is written down of it."""

    def __init__(
        self,
        sweep: Sweep,
        method: str,
        args: argparse.Namespace,
        folder: Path,
        results: Results,
        count: int,
    ) -> None:
        self.sweep = sweep
        self.method = method
        self.args = args
        self.folder = folder
        self.results = results
        self.count = count
        self.cards = _visible_cards()
        # Bytes of a trial's output from earlier calls.
        self.before: dict[int, int] = {}

    def run(self, trials: list[int], lock: int) -> None:
        from mm.sweeps import run_trials

        run_trials(
            trials,
            self.args.jobs,
            command=self.command,
            output=lambda trial: self.place(trial) / OUTPUT,
            environment=self.environment,
            begun=self.begun,
            ended=self.ended,
            inherit=(lock,),
        )

    def place(self, trial: int) -> Path:
        return self.folder / f"trial-{trial:04d}"

    def values(self, trial: int) -> dict[str, Any]:
        from mm.sweeps import trial_values

        return trial_values(self.sweep, self.method, self.args.seed, trial)

    def begun(self, trial: int) -> None:
        values = ", ".join(f"{n.rpartition('.')[2]} {_short(v)}" for n, v in self.values(trial).items())
        print(f"trial {trial}: {values}; what it says: {self.place(trial) / OUTPUT}", flush=True)
        output = self.place(trial) / OUTPUT
        self.before[trial] = output.stat().st_size if output.exists() else 0

    def command(self, trial: int) -> list[str]:
        from mm.sweeps import fit_options

        place = self.place(trial)
        words = [sys.executable, "-m", "mm", "fit", *fit_options(self.sweep, self.values(trial))]
        # Last, so that they win over what the file's command says for the agent.
        words += [*self.args.fit, f"--trainer.default_root_dir={place}"]
        if (place / "checkpoints" / "last.ckpt").is_file():
            words.append("--ckpt_path=last")
        return words

    def environment(self, job: int) -> dict[str, str]:
        from mm.sweeps import graphics_cards

        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        jobs = self.args.jobs
        if self.cards:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(graphics_cards(job, jobs, self.cards))
        if jobs > 1 and hasattr(os, "sched_getaffinity"):
            cores = len(os.sched_getaffinity(0))
            environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // jobs)))
        return environment

    def ended(self, ended: Ended) -> None:
        from mm.sweeps import Result, best_logged

        trial, metric, error = ended.trial, None, ""
        if ended.interrupted:
            status = "interrupted"
        else:
            metric = best_logged(self.place(trial), self.sweep.metric)
            if ended.code:
                error = _last_error(self.place(trial) / OUTPUT, self.before[trial], ended.code)
            elif metric is None:
                error = f"it logged no finite {self.sweep.metric.name}"
            status = "failed" if error else "finished"
        row = Result(trial, status, metric, ended.seconds, error)  # type: ignore[arg-type]
        self.results.add(row, self.values(trial))
        found = f", {self.sweep.metric.name} {metric:.4f}" if metric is not None else ""
        said = f": {error}" if error else ""
        print(
            f"trial {trial} {status} ({len(self.results.rows)} of {self.count})"
            f"{found}, {ended.seconds:.0f} s{said}",
            flush=True,
        )


def _visible_cards() -> list[str]:
    """Return the GPUs of this machine that may be used, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [card.strip() for card in allowed.split(",") if card.strip()]
    return [str(card) for card in range(torch.cuda.device_count())]


def _last_error(output: Path, start: int, code: int) -> str:
    """Return what a trial said last: the line that mm makes of an error, or the end of a traceback."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    text = output.read_bytes()[start:].decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    own = [line for line in lines if line.startswith("mm: error: ")]
    return (own or lines or [f"exit code {code}"])[-1]


def _show(results: Results) -> None:
    """Print the best trials and how many there are of each status."""
    from rich.console import Console
    from rich.table import Table

    from mm.sweeps import ranked

    rows = list(results.rows.values())
    best = ranked(rows, results.metric)[:SHOWN]
    if best:
        table = Table("trial", results.metric.name, "s", *(n.rpartition(".")[2] for n in results.parameters))
        for row in best:
            values = (_short(value) for value in results.values(row.trial).values())
            table.add_row(str(row.trial), f"{row.metric:.4f}", f"{row.seconds:.0f}", *values)
        Console().print(table)
    counts = Counter(row.status for row in rows)
    print(", ".join(f"{count} {status}" for status, count in counts.items()) + f" · {results.path}")


def _short(value: Any) -> str:
    """Return a value with as many digits as one reads."""
    try:
        return f"{float(value):.3g}" if not isinstance(value, bool) else str(value)
    except (TypeError, ValueError):
        return str(value)
