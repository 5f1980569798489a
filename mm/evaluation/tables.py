"""Scores over scenes, and the tables that hold them: as CSV, on a terminal, in Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from mm.errors import InputError

# SSIM (or the logarithm of a gain): two methods that differ by less are equal.
TOLD_APART = 0.005


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation and median over scenes.

    Attributes:
        mean: NaN if no scene could be measured.
        deviation: NaN for a single scene.
        count: scenes that went into the mean.
        median: NaN with the mean. It differs much from the mean where a few scenes are unlike the others.
    """

    mean: float
    deviation: float
    count: int
    median: float = math.nan

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Summarise scores that every scene has; a NaN is a method's failure, and the mean is NaN too."""
        kept = list(values)
        if not kept:
            return cls(math.nan, math.nan, 0)
        mean = sum(kept) / len(kept)
        middle = math.nan if math.isnan(mean) else median(kept)
        # An infinite PSNR, of an output that is the truth itself, has no spread.
        if len(kept) == 1 or not math.isfinite(mean):
            return cls(mean, math.nan, len(kept), middle)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in kept) / (len(kept) - 1))
        return cls(mean, deviation, len(kept), middle)

    @classmethod
    def of_measured(cls, values: Iterable[float]) -> Spread:
        """Summarise where NaN values are scenes that could not be measured; ``count`` leaves them out."""
        return cls.of(value for value in values if not math.isnan(value))

    def __str__(self) -> str:
        """Mean ± deviation, three decimals."""
        return f"{self.mean:.3f}" if math.isnan(self.deviation) else f"{self.mean:.3f} ± {self.deviation:.3f}"


class PairScore(NamedTuple):
    """Scores of one output frame against its truth; NaN where a score is not taken.

    Attributes:
        ssim: over the whole frame.
        psnr: dB.
        gain: measured output displacement over the true one.
    """

    ssim: float = math.nan
    psnr: float = math.nan
    gain: float = math.nan


@dataclass(frozen=True)
class Row:
    """One line of a measurement of pairs of frames.

    Attributes:
        measurement: "subpixel", "noise", "static" or "gain".
        content: what the scenes show: "objects", "picture" or "pattern".
        renderer: "fourier" or "project".
        method: the column's name.
        motion: px between the two frames.
        factor: asked for.
        noise: the noise factor of the protocol.
        scenes: how many.
        ssim, ssim_std: against the truth, over the whole frame, its rim continued by reflection; mean and
            standard deviation over scenes; NaN if the method gave one scene no image.
        psnr, psnr_std: dB.
        gain, gain_std: measured output displacement over the true one.
        gain_scenes: scenes in which the gain could be measured.
        gain_median: over these; it separates a method's error from a few scenes that show next to nothing.
    """

    measurement: str
    content: str
    renderer: str
    method: str
    motion: float
    factor: float
    noise: float
    scenes: int
    ssim: float = math.nan
    ssim_std: float = math.nan
    psnr: float = math.nan
    psnr_std: float = math.nan
    gain: float = math.nan
    gain_std: float = math.nan
    gain_scenes: int = 0
    gain_median: float = math.nan

    @property
    def level(self) -> tuple[float, float, float]:
        """Motion, factor and noise."""
        return self.motion, self.factor, self.noise

    def spread(self, metric: str) -> Spread:
        """Return the mean, deviation and median of "ssim", "psnr" or "gain"."""
        count, middle = (self.gain_scenes, self.gain_median) if metric == "gain" else (self.scenes, math.nan)
        return Spread(getattr(self, metric), getattr(self, f"{metric}_std"), count, middle)


COLUMNS = tuple(field.name for field in fields(Row))


@dataclass(frozen=True)
class Table:
    """A table as a person reads it.

    Attributes:
        title: above it; "" for none.
        head: the columns' names.
        lines: of cells.
        text: number of columns, from the left, that hold text and not numbers.
        best: (line, column) of the best scores.
    """

    title: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]
    text: int = 0
    best: frozenset[tuple[int, int]] = frozenset()

    def marked(self, before: str, after: str) -> Iterator[list[str]]:
        """Yield the lines with the best scores between two marks."""
        for i, line in enumerate(self.lines):
            yield [f"{before}{cell}{after}" if (i, j) in self.best else cell for j, cell in enumerate(line)]

    def markdown(self) -> str:
        """Return the table in Markdown, without its title."""
        rule = ["---" if j < self.text else "---:" for j in range(len(self.head))]
        return "".join(f"| {' | '.join(line)} |\n" for line in (self.head, rule, *self.marked("**", "**")))


def by_level(name: str, rows: Sequence[Row], metrics: Iterable[str] = ("ssim", "gain")) -> Iterator[Table]:
    """Yield a table for each content, renderer and metric: a line a level, a column a method.

    Args:
        name: of the measurement.
        rows: of it.
        metrics: those that no row has are left out.
    """
    methods = list(dict.fromkeys(row.method for row in rows))
    taken = [metric for metric in metrics if not all(math.isnan(getattr(row, metric)) for row in rows)]
    several = any(row.scenes > 1 for row in rows)
    for content, renderer in dict.fromkeys((row.content, row.renderer) for row in rows):
        shown = [row for row in rows if (row.content, row.renderer) == (content, renderer)]
        levels = list(dict.fromkeys(row.level for row in shown))
        for metric in taken:
            scores = {(row.level, row.method): row.spread(metric) for row in shown}
            what = f"{name}: {'SSIM with the truth' if metric == 'ssim' else 'gain of the motion'}"
            if name == "gain":
                what = f"gain on {content}s"
            spread = "mean ± deviation over scenes" + (", and median" if metric == "gain" else "")
            lines, best = [], set()
            for i, level in enumerate(levels):
                found = [scores[level, method] for method in methods]
                winner = best_of([each.mean for each in found], metric)
                if winner is not None:
                    best.add((i, 3 + winner))
                lines.append([*(f"{value:.4g}" for value in level), *(_cell(each, metric) for each in found)])
            yield Table(
                f"{what}, {renderer} renderer; {spread if several else 'one scene'}",
                ["px", "×", "noise", *methods],
                lines,
                best=frozenset(best),
            )


def _cell(score: Spread, metric: str) -> str:
    return f"{score}, {score.median:.3f}" if metric == "gain" and score.count > 1 else str(score)


def best_of(scores: Sequence[float], metric: str = "ssim") -> int | None:
    """Return the place of the best score, or None if there is no score: a gain is best near 1."""
    known = [place for place, score in enumerate(scores) if not math.isnan(score)]
    key: Callable[[int], float] = lambda place: -abs(scores[place] - 1) if metric == "gain" else scores[place]  # noqa: E731
    return max(known, key=key, default=None)


def agreement(rows: Sequence[Row]) -> tuple[int, int]:
    """Return how many pairs of methods the renderers put into the same order, and of how many.

    A pair is two methods at one level; by SSIM, or by nearness of the gain to 1 where there is no SSIM.
    Pairs that no renderer tells apart by :data:`TOLD_APART` are not counted.
    """

    def value(row: Row) -> float:
        return row.ssim if not math.isnan(row.ssim) else -abs(math.log(max(row.gain, 1e-3)))

    levels: dict[tuple[Any, ...], dict[str, dict[str, float]]] = {}
    for row in rows:
        of_level = levels.setdefault((row.content, *row.level), {})
        of_level.setdefault(row.renderer, {})[row.method] = value(row)
    same = total = 0
    for by_renderer in levels.values():
        if len(by_renderer) < 2:
            continue
        for one, other in combinations(next(iter(by_renderer.values())), 2):
            gaps = [scores[one] - scores[other] for scores in by_renderer.values()]
            if any(math.isnan(gap) for gap in gaps) or max(map(abs, gaps)) < TOLD_APART:
                continue
            total += 1
            same += min(gaps) > 0 or max(gaps) < 0
    return same, total


# --- CSV --------------------------------------------------------------------------------------------------


def csv_text(columns: Sequence[str], lines: Iterable[Iterable[str | float | int]]) -> str:
    """Return lines under a header as CSV; NaN is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_written(value) for value in line] for line in lines)
    return text.getvalue()


def to_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with a header; what was not measured is empty."""
    return csv_text(COLUMNS, ([getattr(row, name) for name in COLUMNS] for row in rows))


def read_csv(path: Path) -> list[Row]:
    """Return the rows of a file that :func:`to_csv` made.

    Raises:
        InputError: for a file that cannot be read, has other columns, is cut off or has a cell that is no
            number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.reader(file, strict=True)
            if tuple(next(lines, ())) != COLUMNS:
                raise InputError(
                    f"{path} is no table of a measurement: its columns are not {', '.join(COLUMNS)}"
                )
            return [_row(cells, f"{path}, line {lines.line_num}") for cells in lines]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; measure again") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV that can be read ({error}); measure again") from error


def _row(cells: Sequence[str], place: str) -> Row:
    if len(cells) != len(COLUMNS):
        raise InputError(f"{place}: {len(cells)} cells instead of {len(COLUMNS)}; measure again")
    values = {}
    for field, text in zip(fields(Row), cells, strict=True):
        try:
            values[field.name] = _parsed(text, str(field.type))
        except ValueError:
            raise InputError(f"{place}: {field.name} is no number: {text!r}; measure again") from None
    return Row(**values)


def _written(value: str | float | int) -> str:
    if not isinstance(value, float):
        return str(value)
    return "" if math.isnan(value) else f"{value:.6g}"


def _parsed(text: str, kind: str) -> Any:
    if kind == "str":
        return text
    if kind == "int":
        return int(text)
    return float(text) if text else math.nan
