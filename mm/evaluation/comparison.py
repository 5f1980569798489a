"""The shared run of the measurements: scenes × levels × renderers × methods → mean and spread over scenes."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from mm.errors import InputError
from mm.evaluation import oscillation
from mm.evaluation.candidates import Candidate, Filtered
from mm.evaluation.protocol import Level, Rounding, record_frames, seeded
from mm.evaluation.renderers import stage
from mm.evaluation.scene_spec import SceneSpec
from mm.motion import motion_gain

BATCH_PIXELS = {"cpu": 2**17, "cuda": 2**21}  # that go through a method at once
SEARCH = 8  # px beyond the true motion that the gain's registration searches

_Case = tuple[float, float, bool]


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation and median over scenes.

    Attributes:
        mean: NaN if no scene could be measured.
        deviation: NaN for a single scene.
        count: scenes that went into the mean.
        median: NaN with the mean. Far from it where a few scenes are unlike the others.
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


@dataclass(frozen=True)
class Conditions:
    """What a comparison keeps the same for all levels and methods.

    Attributes:
        count: of scenes.
        seed: of the noise and the rounding.
        renderers: names.
        device: where the methods are.
        rounding: of the frames that the methods are given: see :func:`~mm.evaluation.protocol.record_frames`.

    Raises:
        InputError: for a count below 1.
    """

    count: int
    seed: int
    renderers: Sequence[str]
    device: torch.device
    rounding: Rounding = "random"

    def __post_init__(self) -> None:
        check_count(self.count)


@dataclass(frozen=True)
class Row:
    """One line of a measurement's table.

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
        gain_median: over these; it tells a method's own error from a few scenes that show next to nothing.
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


# SSIM (or, of gains, their logarithm): a smaller difference between two methods is none.
TOLD_APART = 0.005

COLUMNS = tuple(field.name for field in fields(Row))


def compare(
    measurement: str,
    levels: Sequence[Level],
    scenes: Callable[[int], SceneSpec],
    methods: Sequence[Candidate | Filtered],
    conditions: Conditions,
    *,
    gain: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Measure how near each method comes to the truth at each level.

    The frames that the methods are given are recorded (noise, rounding), the truth is not. All methods are
    given the same frames; those with a temporal filter a clip (:mod:`mm.evaluation.oscillation`), of which
    the middle frame is the moved one of the pair.

    Args:
        measurement: its name.
        levels: what to measure at.
        scenes: scene by number.
        methods: side by side.
        conditions: scenes, renderers, device.
        gain: whether to measure the motion gain too (registration of windows: as much work as the network's).
        advance: called once for each scene × renderer × level.

    Returns:
        renderer by renderer, method by method, in the order of the levels.
    """
    seed, device, rounding = conditions.seed, conditions.device, conditions.rounding
    found: dict[tuple[str, str, Level], list[tuple[float, float, float]]] = defaultdict(list)
    for index in range(conditions.count):
        content = scenes(index)
        for renderer in conditions.renderers:
            shown = stage(renderer, content, device)
            rendered = {
                case: shown.frames(_moved(content, case, (0.0, 1.0, case[1])))
                for case in dict.fromkeys(map(_case, levels))
            }
            swings: dict[_Case, Tensor] = {}
            for some in batches(levels, content.size, device):
                clean = torch.stack([rendered[_case(level)] for level in some]).to(device)
                recorded = torch.stack(
                    [
                        record_frames(frames[:2], level.noise, seeded(seed, index, 11), rounding)
                        for frames, level in zip(clean, some, strict=True)
                    ]
                )
                factor = torch.tensor([level.factor for level in some], device=device)
                if any(isinstance(method, Filtered) for method in methods):
                    # Of the levels at hand alone; cases of noise have theirs from one batch to the next.
                    swings = {
                        case: swings[case]
                        if case in swings
                        else shown.frames(_moved(content, case, oscillation.swing().tolist())).to(device)
                        for case in dict.fromkeys(map(_case, some))
                    }
                for method in methods:
                    if isinstance(method, Filtered):
                        keys = [(seed, index, 12)] * len(some)
                        places = [swings[_case(level)] for level in some]
                        output = on_clips(method, some, places, recorded[:, 1], keys, rounding)
                    else:
                        output = method.magnify(recorded[:, 0], recorded[:, 1], factor)
                    scores = _scores(clean[:, 0], output, clean[:, 2], some, gain)
                    for level, values in zip(some, scores, strict=True):
                        found[renderer, method.name, level].append(values)
                for _ in some:
                    advance()
    rows = []
    for renderer in conditions.renderers:
        for method in methods:
            for level in levels:
                ssims, psnrs, gains = zip(*found[renderer, method.name, level], strict=True)
                ssim, psnr, shows = Spread.of(ssims), Spread.of(psnrs), Spread.of_measured(gains)
                rows.append(
                    Row(
                        measurement,
                        "objects",
                        renderer,
                        method.name,
                        level.motion,
                        level.factor,
                        level.noise,
                        conditions.count,
                        ssim.mean,
                        ssim.deviation,
                        psnr.mean,
                        psnr.deviation,
                        shows.mean,
                        shows.deviation,
                        shows.count,
                        shows.median,
                    )
                )
    return rows


def check_count(count: int) -> None:
    """Raise InputError unless ``count`` scenes can be measured."""
    if count < 1:
        raise InputError(f"count must be at least 1 scene, got {count}")


def batches(
    levels: Sequence[Level], size: tuple[int, int], device: torch.device
) -> Iterable[Sequence[Level]]:
    """Cut the levels into what goes through a method at once."""
    step = max(1, BATCH_PIXELS.get(device.type, BATCH_PIXELS["cpu"]) // (size[0] * size[1]))
    return [levels[start : start + step] for start in range(0, len(levels), step)]


def on_clips(
    method: Filtered,
    levels: Sequence[Level],
    swings: Sequence[Tensor],
    middles: Tensor,
    keys: Sequence[tuple[int, ...]],
    rounding: Rounding,
) -> Tensor:
    """Return (B, 3, H, W): what a method makes of a clip each, one at a time.

    Args:
        method: of a clip.
        levels: (B,) the noise of the clip, and the factor.
        swings: (B,) the scene at each displacement of :func:`mm.evaluation.oscillation.swing`.
        middles: (B, 3, H, W) the clips' middle frames, as they have been recorded.
        keys: (B,) seeds of the noise and the rounding.
        rounding: see :func:`mm.evaluation.protocol.record_frames`.
    """
    outputs = []
    for level, places, middle, key in zip(levels, swings, middles, keys, strict=True):
        clip = oscillation.record(places, middle, level.noise, key, rounding)
        outputs.append(method.magnify(clip, level.factor))
    return torch.stack(outputs)


def _case(level: Level) -> _Case:
    """What of a level decides how the scene moves."""
    return level.motion, level.factor, level.background_moves


def _moved(content: SceneSpec, case: _Case, gains: Sequence[float]) -> Tensor:
    """Return (T, 1 + K, 2): the displacements when everything has moved by ``gains`` times its motion."""
    motion, _, background_moves = case
    moves = torch.ones(len(content.directions), 1, dtype=torch.float64)
    moves[0] = float(background_moves)
    return torch.tensor(gains, dtype=torch.float64)[:, None, None] * content.directions * moves * motion


def _scores(
    reference: Tensor, output: Tensor, truth: Tensor, levels: Sequence[Level], with_gain: bool
) -> list[tuple[float, float, float]]:
    """Return SSIM, PSNR / dB and motion gain of each sample; the gain NaN if not wanted or nothing moves."""
    output, truth = output.float(), truth.float()
    ssim = structural_similarity_index_measure(output, truth, data_range=1.0, reduction="none")
    assert isinstance(ssim, Tensor)
    psnr = peak_signal_noise_ratio(output, truth, data_range=1.0, dim=(1, 2, 3), reduction="none")
    gain = torch.full((len(levels),), math.nan)
    farthest = max(level.output_motion for level in levels)
    if with_gain and farthest > 0:
        gain = motion_gain(reference, output, truth, limit=math.ceil(farthest) + SEARCH)
    return list(
        zip(ssim.reshape(-1).tolist(), psnr.reshape(-1).tolist(), gain.reshape(-1).tolist(), strict=True)
    )


def agreement(rows: Sequence[Row]) -> tuple[int, int]:
    """Return how many pairs of methods the renderers put into the same order, and of how many.

    A pair is two methods at one level; by SSIM, or by nearness of the gain to 1 where there is no SSIM.
    Pairs that no renderer tells apart by :data:`TOLD_APART` are not counted.
    """

    def value(row: Row) -> float:
        return row.ssim if not math.isnan(row.ssim) else -abs(math.log(max(row.gain, 1e-3)))

    levels: dict[tuple[Any, ...], dict[str, dict[str, float]]] = {}
    for row in rows:
        of_level = levels.setdefault((row.content, row.motion, row.factor, row.noise), {})
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


# --- tables ----------------------------------------------------------------------------------------------


def to_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with a header; what was not measured is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(_written(value) for value in asdict(row).values())
    return text.getvalue()


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
