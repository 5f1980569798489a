"""The table of a sweep's trials, ``results.csv``: whole at any moment, and where a second call goes on."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from mm.errors import InputError
from mm.files import replacing
from mm.sweeps.definition import Metric

Status = Literal["finished", "failed", "interrupted"]
FILE = "results.csv"


@dataclass(frozen=True)
class Result:
    """One trial's row.

    Attributes:
        trial: its number, from 0.
        status: ``finished``, ``failed``, or ``interrupted``: to be gone on with.
        metric: the best value that the run logged; None if it logged none.
        seconds: that its processes ran, all together.
        error: the last line of a failed trial.
    """

    trial: int
    status: Status
    metric: float | None
    seconds: float
    error: str = ""


class Results:
    """The rows by trial, on the disk after every change.

    Args:
        folder: of the sweep.
        metric: names its column.
        parameters: names of the value columns.

    Raises:
        InputError: if the file that is there is none of this sweep.
    """

    def __init__(self, folder: Path, metric: Metric, parameters: Iterable[str]) -> None:
        self.path = folder / FILE
        self.metric = metric
        self.parameters = tuple(parameters)
        self.rows: dict[int, Result] = {}
        self._values: dict[int, dict[str, str]] = {}
        if self.path.exists():
            self._read()

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's header."""
        return ("trial", "status", self.metric.name, "seconds", *self.parameters, "error")

    def values(self, trial: int) -> dict[str, str]:
        """Return the values of a trial that has a row, as they stand in the table."""
        return self._values[trial]

    def add(self, result: Result, values: Mapping[str, Any]) -> None:
        """Put a row in, or in the place of the trial's last one; the seconds add up."""
        before = self.rows.get(result.trial)
        if before is not None:
            result = replace(result, seconds=result.seconds + before.seconds)
        self.rows[result.trial] = result
        self._values[result.trial] = {name: str(values[name]) for name in self.parameters}
        self._write()

    def _write(self) -> None:
        # A kill leaves the old table or the new one, whole.
        with replacing(self.path) as new, new.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            for trial, row in sorted(self.rows.items()):
                metric = "" if row.metric is None else repr(row.metric)
                values = self._values[trial].values()
                writer.writerow([trial, row.status, metric, f"{row.seconds:.1f}", *values, row.error])

    def _read(self) -> None:
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                if tuple(reader.fieldnames or ()) != self.columns:
                    raise ValueError("its columns are others")
                for line in reader:
                    self._take(line)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{self.path} is not the table of this sweep ({error}); name another folder with --out"
            ) from error

    def _take(self, line: dict[str, str]) -> None:
        trial, status = int(line["trial"]), line["status"]
        if status not in get_args(Status):
            raise ValueError(f"trial {trial} has the status {status!r}")
        metric = float(line[self.metric.name]) if line[self.metric.name] else None
        row = Result(trial, status, metric, float(line["seconds"]), line["error"])  # type: ignore[arg-type]
        self.rows[trial] = row
        self._values[trial] = {name: line[name] for name in self.parameters}


def ranked(rows: Iterable[Result], metric: Metric) -> list[Result]:
    """Return the finished trials, the best first; of equals the earlier one."""
    sign = -1.0 if metric.goal == "maximize" else 1.0
    done = [row for row in rows if row.status == "finished" and row.metric is not None]
    return sorted(done, key=lambda row: (sign * (row.metric or 0.0), row.trial))


def best_logged(folder: Path, metric: Metric) -> float | None:
    """Return the best finite value of the metric in a run's folder, over all its starts; None for none.

    The best and not the last one, for that is the state of which a run keeps ``best.ckpt``.
    """
    values = []
    for path in folder.rglob("metrics.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            values += [_number(line.get(metric.name)) for line in csv.DictReader(file)]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    return max(finite) if metric.goal == "maximize" else min(finite)


def _number(cell: str | None) -> float:
    """Return what a cell says; NaN for one that is empty, or that a killed run wrote in part."""
    try:
        return float(cell or "nan")
    except ValueError:
        return math.nan
